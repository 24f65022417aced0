"""People drawn by code: their proportions and clothes, their posture, and how a camera sees them.

The world has three dimensions, in metres: x to the right, y up, z towards the viewer; the person stands at about
(0, 0, 0). Hands and feet are put somewhere, elbows and knees follow, and thick strokes are drawn along the bones,
the furthest first.
"""

import colorsys
import dataclasses
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from common.demo import drawing

DISTANCE = 5.0  # metres from the viewer to the person.
LEFT, RIGHT = 1, -1  # the figure's own sides.
UP = np.array([0.0, 1.0, 0.0])

Colour = tuple[int, int, int]
# A depth (larger is nearer to the viewer) and what is painted there.
Part = tuple[float, Callable[[drawing.Pen], None]]


def colour(random, saturation, value, hue=None) -> Colour:
    """A colour with saturation and value between two limits; any hue, if none is given."""
    hue = random.random() if hue is None else hue
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, random.uniform(*saturation), random.uniform(*value))
    return int(255 * red), int(255 * green), int(255 * blue)


def shade(colour, factor) -> Colour:
    """A colour made darker (`factor` below 1) or lighter."""
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue


def contrast(random, behind, saturation, value) -> Colour:
    """Of four colours the one that differs most from what is behind."""
    choices = [colour(random, saturation, value) for _ in range(4)]
    return max(choices, key=lambda choice: np.abs(np.subtract(choice, behind)).sum())


# A person.

HAIRSTYLES = ("short", "long", "bun", "cap")
SKINS = ((255, 219, 190), (241, 194, 155), (224, 172, 125), (186, 128, 84), (141, 88, 56), (98, 62, 42))
HAIRS = ((38, 28, 24), (84, 54, 34), (150, 98, 52), (222, 184, 106), (168, 66, 36), (150, 148, 146))


@dataclasses.dataclass(frozen=True)
class Person:
    """What is the same in all clips of one person; lengths in metres.

    Attributes:
        leg, torso, arm: lengths.
        shoulders, hips: half the width.
        limb: thickness of an arm.
        head: radius.
        shirt, trousers, skin, hair, shoes: colours.
        long_sleeves, long_trousers: whether lower arms and lower legs are covered.
        hairstyle: one of `HAIRSTYLES`.
        wall, floor: colours of the room.
        room: seed of what else is in the room.
    """

    leg: float
    torso: float
    arm: float
    shoulders: float
    hips: float
    limb: float
    head: float
    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    long_sleeves: bool
    long_trousers: bool
    hairstyle: str
    wall: Colour
    floor: Colour
    room: int


def make_person(number: int) -> Person:
    """One of `PERSONS`."""
    random = np.random.default_rng([zlib.crc32(b"person"), number])
    height, build = random.uniform(0.88, 1.08), random.uniform(0.85, 1.2)
    # Neighbours on the list get hues far from each other, and everybody a wall that their shirt stands out from.
    hue = 0.382 * number
    wall = colour(random, (0.1, 0.35), (0.65, 0.95), hue + random.uniform(0.35, 0.65))
    return Person(
        leg=height * random.uniform(0.74, 0.86),
        torso=height * random.uniform(0.48, 0.56),
        arm=height * random.uniform(0.6, 0.68),
        shoulders=build * random.uniform(0.17, 0.21),
        hips=build * random.uniform(0.085, 0.11),
        limb=build * 0.145,
        head=random.uniform(0.17, 0.2),
        shirt=colour(random, (0.6, 0.95), (0.55, 0.95), hue),
        trousers=colour(random, (0.2, 0.7), (0.15, 0.5)),
        skin=SKINS[number % len(SKINS)],
        hair=HAIRS[random.integers(len(HAIRS))],
        shoes=colour(random, (0.1, 0.8), (0.15, 0.9)),
        long_sleeves=bool(random.random() < 0.4),
        long_trousers=bool(random.random() < 0.6),
        hairstyle=HAIRSTYLES[number % len(HAIRSTYLES)],
        wall=wall,
        floor=colour(random, (0.15, 0.5), (0.35, 0.7)),
        room=int(random.integers(1 << 30)),
    )


# A posture, and the joints that follow from it.

HANGING = (0.16, -0.96, 0.06)
STANDING = (0.06, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Posture:
    """How a person stands. Vectors are (outward, up, forward) as the person sees it; left comes before right.

    Attributes:
        place: the point under the hips, (x, y, z); y is above 0 in a jump.
        turn: the heading in radians: 0 looks at the viewer, pi / 2 to the right.
        crouch: by how much of the leg's length the hips are lowered.
        lean: of the torso, forward, in radians.
        hands: from the shoulder, in lengths of the arm.
        grips: for each hand a world point and how much it draws the hand, 0 to 1.
        feet: from the point under the hip's side, in lengths of the leg.
    """

    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    crouch: float = 0.01
    lean: float = 0.0
    hands: Sequence = (HANGING, HANGING)
    grips: Sequence = (((0.0, 0.0, 0.0), 0.0), ((0.0, 0.0, 0.0), 0.0))
    feet: Sequence = (STANDING, STANDING)


def _bend(start, target, length, pole) -> tuple[np.ndarray, np.ndarray]:
    """The middle joint and the end of two bones of half the `length` each, from `start` towards `target`.

    The joint bends to the side of the vector `pole`. What is too far away is not reached.
    """
    distance = np.linalg.norm(target - start)
    direction = (target - start) / max(distance, 1e-9)
    reach = min(distance, 0.999 * length)
    aside = pole - (pole @ direction) * direction
    aside = aside / max(np.linalg.norm(aside), 1e-9)
    middle = start + direction * reach / 2 + aside * np.sqrt(length**2 - reach**2) / 2
    return middle, start + direction * reach


def axes_of(turn) -> tuple[np.ndarray, np.ndarray]:
    """The unit vectors to the left and forward of who has turned so far."""
    sine, cosine = np.sin(turn), np.cos(turn)
    return np.array([cosine, 0.0, -sine]), np.array([sine, 0.0, cosine])


def make_joints(person: Person, posture: Posture) -> dict:
    """World points, each (3,): `hips`, `neck`, `head`, and by (name, side) those of arms and legs."""
    left, forward = axes_of(posture.turn)
    place = np.asarray(posture.place)
    spine = UP * np.cos(posture.lean) + forward * np.sin(posture.lean)
    hips = place + UP * person.leg * (1 - posture.crouch)
    neck = hips + spine * person.torso
    head = neck + (0.75 * spine + 0.25 * UP + 0.1 * forward) * person.head * 1.25
    joints: dict[str | tuple[str, int], np.ndarray]
    joints = {"hips": hips, "neck": neck, "head": head, "forward": forward, "left": left}
    for side, hand, grip, foot in zip((LEFT, RIGHT), posture.hands, posture.grips, posture.feet, strict=True):
        axes = np.stack([left * side, UP, forward])
        shoulder = neck + left * side * person.shoulders - spine * 0.04
        point, pull = grip
        target = (1 - pull) * (shoulder + person.arm * np.asarray(hand) @ axes) + pull * np.asarray(point)
        elbow_side = 0.5 * side * left - 0.6 * forward - 0.4 * UP
        joints["shoulder", side] = shoulder
        joints["elbow", side], joints["hand", side] = _bend(shoulder, target, person.arm, elbow_side)
        hip = hips + left * side * person.hips
        target = place + left * side * person.hips + person.leg * np.asarray(foot) @ axes
        joints["hip", side] = hip
        joints["knee", side], joints["ankle", side] = _bend(hip, target, person.leg, forward + 0.2 * side * left)
        joints["toe", side] = joints["ankle", side] + forward * 0.13
    return joints


# The camera.


class View:
    """Where the camera stands; it takes the place of a `drawing.Pose` and sees points of three dimensions.

    Args:
        centre: where in the picture the origin of the world is, (x, y), each 0 to 1.
        scale: length of one metre at the origin, as a fraction of the picture's side.
        yaw, pitch: how far the camera has gone to the left and upwards around the origin, in radians.
    """

    def __init__(self, centre, scale, yaw=0.0, pitch=0.0):
        sideways = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        down = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        self.rotation = down @ sideways
        self.centre, self.scale = np.asarray(centre), scale

    def __call__(self, points) -> np.ndarray:
        """World points (n, 3) to fractions of the picture's side (n, 2)."""
        seen = np.asarray(points, dtype=float) @ self.rotation.T
        nearness = DISTANCE / (DISTANCE - seen[:, 2:])
        return self.centre + self.scale * seen[:, :2] * nearness * (1, -1)

    def depth(self, *points) -> float:
        """How near to the viewer the middle of the points is."""
        return float(np.mean(points, axis=0) @ self.rotation[2])


def line(pen, points, width, colour):
    """A straight stroke from point to point."""
    pen.stroke(points, width, colour, curved=False)


def disc(pen, point, radius, colour):
    """A filled circle."""
    pen.stroke([point, point], 2 * radius, colour, curved=False)


# The figure.


def _limb(person, joints, names, side, colours, width, light) -> Callable:
    upper, lower, end = (joints[name, side] for name in names)

    def paint(pen):
        line(pen, [lower, end], width * 0.85, shade(colours[1], light))
        line(pen, [upper, lower], width, shade(colours[0], light))

    return paint


def _arm(person, joints, side, light) -> Callable:
    lower = person.shirt if person.long_sleeves else person.skin
    bones = _limb(person, joints, ("shoulder", "elbow", "hand"), side, (person.shirt, lower), person.limb, light)

    def paint(pen):
        bones(pen)
        disc(pen, joints["hand", side], person.limb * 0.55, shade(person.skin, light))

    return paint


def _leg(person, joints, side, light) -> Callable:
    lower = person.trousers if person.long_trousers else person.skin
    colours = (person.trousers, lower)
    bones = _limb(person, joints, ("hip", "knee", "ankle"), side, colours, person.limb * 1.25, light)

    def paint(pen):
        line(pen, [joints["ankle", side], joints["toe", side]], person.limb, shade(person.shoes, light))
        bones(pen)

    return paint


def _torso(person, joints) -> Callable:
    corners = [joints[name, side] for name, side in (("shoulder", 1), ("shoulder", -1), ("hip", -1), ("hip", 1))]
    belt = joints["hips"]

    def paint(pen):
        line(pen, [*corners[2:], belt], person.limb * 1.5, person.trousers)
        pen.polygon(corners, person.shirt)
        above = [0.85 * corner + 0.15 * joints["neck"] for corner in corners[2:]]
        line(pen, [*corners[:2], *above, corners[0]], person.limb * 1.25, person.shirt)
        line(pen, [joints["neck"], joints["head"]], person.limb * 0.8, shade(person.skin, 0.85))

    return paint


def _hair(person, joints) -> Callable:
    """What hangs down or is knotted at the back of the head."""
    head, radius, back = joints["head"], person.head, -joints["forward"]

    def paint(pen):
        if person.hairstyle == "long":
            top = head + back * radius * 0.4
            line(pen, [top, top - UP * radius * 1.2], radius * 1.6, person.hair)
        if person.hairstyle == "bun":
            disc(pen, head + UP * radius * 0.95 + back * radius * 0.6, radius * 0.45, person.hair)

    return paint


def _head(person, joints, view) -> Callable:
    head, forward, radius = joints["head"], joints["forward"], person.head
    facing = view.depth(forward)  # 1 looks at the viewer, -1 away from them.
    cover = shade(person.shirt, 0.7) if person.hairstyle == "cap" else person.hair

    def paint(pen):
        disc(pen, head, radius, cover)
        if facing > -0.6:
            chin = head + forward * radius * 0.25 - UP * radius * 0.3
            disc(pen, chin, radius * (0.8 + 0.08 * max(facing, 0)), person.skin)
        if person.hairstyle == "cap":
            brim = head + UP * radius * 0.35
            line(pen, [brim, brim + forward * radius * 1.4], 0.06, cover)
        for side in (LEFT, RIGHT):
            eye = forward * 0.85 + joints["left"] * side * 0.42
            if view.depth(eye) > 0.05:
                disc(pen, head + eye * radius * 0.95 - UP * radius * 0.2, 0.024, (30, 25, 25))

    return paint


def figure_parts(person: Person, posture: Posture, view: View) -> list[Part]:
    """What is painted of a person, with the depth of each."""
    joints = make_joints(person, posture)
    middle = view.depth(joints["hips"], joints["neck"])
    head = view.depth(joints["head"]) + 0.05
    parts = [
        (middle, _torso(person, joints)),
        (head, _head(person, joints, view)),
        (head - 0.3 * view.depth(joints["forward"]), _hair(person, joints)),
    ]
    for side in (LEFT, RIGHT):
        depth = view.depth(joints["elbow", side], joints["hand", side])
        parts.append((depth, _arm(person, joints, side, 0.8 if depth < middle else 1.0)))
        depth = view.depth(joints["hip", side], joints["knee", side]) - 0.02
        parts.append((depth, _leg(person, joints, side, 0.8 if depth < middle - 0.02 else 0.95)))
    return parts
