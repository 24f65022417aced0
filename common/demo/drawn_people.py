"""People drawn by code: their proportions and clothes, their posture, and the camera's view of them.

The world has three dimensions, in metres: x to the right, y up, z towards the viewer. The person stands at about
(0, 0, 0). A posture places hands and feet, from which elbows and knees follow. Then thick strokes are drawn along the
bones, the furthest first.
"""

from __future__ import annotations

import colorsys
import dataclasses
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common.demo import drawing

DISTANCE = 5.0  # metres from the viewer to the person.
LEFT, RIGHT = 1, -1  # the figure's own sides.
UP = np.array([0.0, 1.0, 0.0])

Colour = tuple[int, int, int]
# A depth (larger is nearer to the viewer) and the function that paints the part.
Part = tuple[float, Callable[[drawing.Pen], None]]


def colour(
    random: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float], hue: float | None = None
) -> Colour:
    """Return a colour with saturation and value between two limits; the hue is random if none is given."""
    hue = random.random() if hue is None else hue
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, random.uniform(*saturation), random.uniform(*value))
    return int(255 * red), int(255 * green), int(255 * blue)


def shade(colour: Colour, factor: float) -> Colour:
    """Make a colour darker (`factor` below 1) or lighter."""
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue


def contrast(
    random: np.random.Generator, behind: Colour, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    """Return the one of four random colours that differs most from the colour behind."""
    choices = [colour(random, saturation, value) for _ in range(4)]
    return max(choices, key=lambda choice: np.abs(np.subtract(choice, behind)).sum())


# A person.

HAIRSTYLES = ("short", "long", "bun", "cap")
SKINS = ((255, 219, 190), (241, 194, 155), (224, 172, 125), (186, 128, 84), (141, 88, 56), (98, 62, 42))
HAIRS = ((38, 28, 24), (84, 54, 34), (150, 98, 52), (222, 184, 106), (168, 66, 36), (150, 148, 146))


@dataclasses.dataclass(frozen=True)
class Person:
    """The properties that all clips of one person share; lengths are in metres.

    Attributes:
        leg, torso, arm: lengths.
        shoulders, hips: half of their width.
        limb: thickness of an arm.
        head: radius.
        shirt, trousers, skin, hair, shoes: colours.
        long_sleeves, long_trousers: whether lower arms and lower legs are covered.
        hairstyle: one of `HAIRSTYLES`.
        wall, floor: colours of the room.
        room: seed of the other things in the room.
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
    """Return the person with this number."""
    random = np.random.default_rng([zlib.crc32(b"person"), number])
    height, build = random.uniform(0.88, 1.08), random.uniform(0.85, 1.2)
    # Consecutive persons get distant hues, and each gets a wall that contrasts with the shirt.
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
    """The posture of a person. Vectors are (outward, up, forward) as the person sees it; left comes before right.

    Attributes:
        place: the point under the hips, (x, y, z); y is above 0 in a jump.
        turn: the heading in radians: 0 faces the viewer, pi / 2 faces right.
        crouch: how far the hips are lowered, as a fraction of the leg's length.
        lean: the torso's forward lean, in radians.
        hands: position relative to the shoulder, in lengths of the arm.
        grips: for each hand a world point and how strongly it attracts the hand, 0 to 1.
        feet: position relative to the point under the hip's side, in lengths of the leg.
    """

    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0
    crouch: float = 0.01
    lean: float = 0.0
    hands: Sequence = (HANGING, HANGING)
    grips: Sequence = (((0.0, 0.0, 0.0), 0.0), ((0.0, 0.0, 0.0), 0.0))
    feet: Sequence = (STANDING, STANDING)


def _bend(start: np.ndarray, target: np.ndarray, length: float, pole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle joint and the end of two bones of half the `length` each, from `start` towards `target`.

    The joint bends to the side of the vector `pole`. A target that is too far away is not reached.
    """
    distance = np.linalg.norm(target - start)
    direction = (target - start) / max(distance, 1e-9)
    reach: Any = min(distance, 0.999 * length)
    aside = pole - (pole @ direction) * direction
    aside = aside / max(np.linalg.norm(aside), 1e-9)
    middle = start + direction * reach / 2 + aside * np.sqrt(length**2 - reach**2) / 2
    return middle, start + direction * reach


def axes_of(turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors to the left and forward of a person with this heading, in radians."""
    sine, cosine = np.sin(turn), np.cos(turn)
    return np.array([cosine, 0.0, -sine]), np.array([sine, 0.0, cosine])


def make_joints(person: Person, posture: Posture) -> dict:
    """Return world points, each (3,): `hips`, `neck`, `head`, and by (name, side) those of arms and legs."""
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
    """The camera's view; it replaces a `drawing.Pose` and takes points with three dimensions.

    Args:
        centre: position of the world's origin in the picture, (x, y), each 0 to 1.
        scale: length of one metre at the origin, as a fraction of the picture's side.
        yaw, pitch: the camera's rotation to the left and upwards around the origin, in radians.
    """

    def __init__(self, centre: Any, scale: float, yaw: float = 0.0, pitch: float = 0.0) -> None:
        sideways = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        down = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        self.rotation = down @ sideways
        self.centre, self.scale = np.asarray(centre), scale

    def __call__(self, points: Any) -> np.ndarray:
        """Convert world points (n, 3) to fractions of the picture's side (n, 2)."""
        seen = np.asarray(points, dtype=float) @ self.rotation.T
        nearness = DISTANCE / (DISTANCE - seen[:, 2:])
        return self.centre + self.scale * seen[:, :2] * nearness * (1, -1)

    def depth(self, *points: Any) -> float:
        """Return how near the middle of the points is to the viewer."""
        return float(np.mean(points, axis=0) @ self.rotation[2])


def line(pen: drawing.Pen, points: Any, width: float, colour: Colour) -> None:
    """Draw a straight stroke from point to point."""
    pen.stroke(points, width, colour, curved=False)


def disc(pen: drawing.Pen, point: Any, radius: float, colour: Colour) -> None:
    """Draw a filled circle."""
    pen.stroke([point, point], 2 * radius, colour, curved=False)


# The figure.


def _limb(
    person: Person,
    joints: dict,
    names: tuple[str, str, str],
    side: int,
    colours: tuple[Colour, Colour],
    width: float,
    light: float,
) -> Callable[[drawing.Pen], None]:
    upper, lower, end = (joints[name, side] for name in names)

    def paint(pen: drawing.Pen) -> None:
        line(pen, [lower, end], width * 0.85, shade(colours[1], light))
        line(pen, [upper, lower], width, shade(colours[0], light))

    return paint


def _arm(person: Person, joints: dict, side: int, light: float) -> Callable[[drawing.Pen], None]:
    lower = person.shirt if person.long_sleeves else person.skin
    bones = _limb(person, joints, ("shoulder", "elbow", "hand"), side, (person.shirt, lower), person.limb, light)

    def paint(pen: drawing.Pen) -> None:
        bones(pen)
        disc(pen, joints["hand", side], person.limb * 0.55, shade(person.skin, light))

    return paint


def _leg(person: Person, joints: dict, side: int, light: float) -> Callable[[drawing.Pen], None]:
    lower = person.trousers if person.long_trousers else person.skin
    colours = (person.trousers, lower)
    bones = _limb(person, joints, ("hip", "knee", "ankle"), side, colours, person.limb * 1.25, light)

    def paint(pen: drawing.Pen) -> None:
        line(pen, [joints["ankle", side], joints["toe", side]], person.limb, shade(person.shoes, light))
        bones(pen)

    return paint


def _torso(person: Person, joints: dict) -> Callable[[drawing.Pen], None]:
    corners = [joints[name, side] for name, side in (("shoulder", 1), ("shoulder", -1), ("hip", -1), ("hip", 1))]
    belt = joints["hips"]

    def paint(pen: drawing.Pen) -> None:
        line(pen, [*corners[2:], belt], person.limb * 1.5, person.trousers)
        pen.polygon(corners, person.shirt)
        above = [0.85 * corner + 0.15 * joints["neck"] for corner in corners[2:]]
        line(pen, [*corners[:2], *above, corners[0]], person.limb * 1.25, person.shirt)
        line(pen, [joints["neck"], joints["head"]], person.limb * 0.8, shade(person.skin, 0.85))

    return paint


def _hair(person: Person, joints: dict) -> Callable[[drawing.Pen], None]:
    """Return a function that paints long hair or a bun at the back of the head."""
    head, radius, back = joints["head"], person.head, -joints["forward"]

    def paint(pen: drawing.Pen) -> None:
        if person.hairstyle == "long":
            top = head + back * radius * 0.4
            line(pen, [top, top - UP * radius * 1.2], radius * 1.6, person.hair)
        if person.hairstyle == "bun":
            disc(pen, head + UP * radius * 0.95 + back * radius * 0.6, radius * 0.45, person.hair)

    return paint


def _head(person: Person, joints: dict, view: View) -> Callable[[drawing.Pen], None]:
    head, forward, radius = joints["head"], joints["forward"], person.head
    facing = view.depth(forward)  # 1 faces the viewer, -1 faces away.
    cover = shade(person.shirt, 0.7) if person.hairstyle == "cap" else person.hair

    def paint(pen: drawing.Pen) -> None:
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
    """Return the parts of a person to paint, each with its depth."""
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
