"""Drawn clips of people who do things, for the demo of `recipes/video_actions.py`.

Eight actions in clips of 20 to 48 frames. Four of them make two pairs that differ only in the direction of time:
a cupboard is opened or closed, a ball is thrown or caught. The second of a pair is the clip of the first, run
backwards, so both have the very same frames: whoever looks at frames without their order can only guess. The
others (bow, jump, twirl a hoop, wave a flag) look alike in both directions.

Thirteen persons do every action twice, each in their own room, with their own proportions and clothes. A person is
the group of a split, as the video that clips were cut from is in UCF101 (Soomro et al., 2012, arXiv:1212.0402),
whose file names are used too: `open/v_open_g03_c02.mp4` is the second clip of the third person.

The world has three dimensions, in metres: x to the right, y up, z towards the viewer; the person stands at about
(0, 0, 0). Hands and feet are put somewhere, elbows and knees follow, and thick strokes are drawn along the bones,
the furthest first. An action is a function `motion(random, person)` that returns a function of time.
"""

import colorsys
import dataclasses
import pathlib
import zlib
from collections.abc import Callable, Sequence

import av
import numpy as np
import tqdm
from PIL import Image, ImageFilter

from common import files
from common.demo import drawn_photos

PAIRS = (("open", "close"), ("throw", "catch"))
BACKWARDS = {second: first for first, second in PAIRS}  # the second of a pair is the first, run backwards.
PERSONS = tuple(range(1, 14))
CLIPS = (1, 2)  # each person does each action twice: 208 clips in all.

IMAGE_SIZE = 96  # pixels, as the demo's photos, for which the demo's network was trained.
FRAMES = (20, 48)  # the shortest and the longest clip.
FRAME_RATE = 12  # frames per second.
QUANTIZER = "22"  # of H.264: 0 is lossless, below 18 nobody sees a difference, 51 is the worst.
SUPERSAMPLING = 3  # shapes are drawn at three times the size and averaged, which gives smooth edges.
MARGIN = 1 / 14  # of the canvas is around the picture on each side, so that the camera can shake.
HAZE = 0.3  # how much of the wall's colour lies over the room.
DISTANCE = 5.0  # metres from the viewer to the person.
LEFT, RIGHT = 1, -1  # the figure's own sides.
UP = np.array([0.0, 1.0, 0.0])

Colour = tuple[int, int, int]
# A depth (larger is nearer to the viewer) and what is painted there.
Part = tuple[float, Callable[[drawn_photos.Pen], None]]


def _colour(random, saturation, value, hue=None) -> Colour:
    """A colour with saturation and value between two limits; any hue, if none is given."""
    hue = random.random() if hue is None else hue
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, random.uniform(*saturation), random.uniform(*value))
    return int(255 * red), int(255 * green), int(255 * blue)


def _shade(colour, factor) -> Colour:
    """A colour made darker (`factor` below 1) or lighter."""
    red, green, blue = (min(255, int(channel * factor)) for channel in colour)
    return red, green, blue


def _contrast(random, behind, saturation, value) -> Colour:
    """Of four colours the one that differs most from what is behind."""
    choices = [_colour(random, saturation, value) for _ in range(4)]
    return max(choices, key=lambda choice: np.abs(np.subtract(choice, behind)).sum())


# A person.


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


HAIRSTYLES = ("short", "long", "bun", "cap")
SKINS = ((255, 219, 190), (241, 194, 155), (224, 172, 125), (186, 128, 84), (141, 88, 56), (98, 62, 42))
HAIRS = ((38, 28, 24), (84, 54, 34), (150, 98, 52), (222, 184, 106), (168, 66, 36), (150, 148, 146))


def make_person(number: int) -> Person:
    """One of `PERSONS`."""
    random = np.random.default_rng([zlib.crc32(b"person"), number])
    height, build = random.uniform(0.88, 1.08), random.uniform(0.85, 1.2)
    # Neighbours on the list get hues far from each other, and everybody a wall that their shirt stands out from.
    hue = 0.382 * number
    wall = _colour(random, (0.1, 0.35), (0.65, 0.95), hue + random.uniform(0.35, 0.65))
    return Person(
        leg=height * random.uniform(0.74, 0.86),
        torso=height * random.uniform(0.48, 0.56),
        arm=height * random.uniform(0.6, 0.68),
        shoulders=build * random.uniform(0.17, 0.21),
        hips=build * random.uniform(0.085, 0.11),
        limb=build * 0.145,
        head=random.uniform(0.17, 0.2),
        shirt=_colour(random, (0.6, 0.95), (0.55, 0.95), hue),
        trousers=_colour(random, (0.2, 0.7), (0.15, 0.5)),
        skin=SKINS[number % len(SKINS)],
        hair=HAIRS[random.integers(len(HAIRS))],
        shoes=_colour(random, (0.1, 0.8), (0.15, 0.9)),
        long_sleeves=bool(random.random() < 0.4),
        long_trousers=bool(random.random() < 0.6),
        hairstyle=HAIRSTYLES[number % len(HAIRSTYLES)],
        wall=wall,
        floor=_colour(random, (0.15, 0.5), (0.35, 0.7)),
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


def _axes(turn) -> tuple[np.ndarray, np.ndarray]:
    """The unit vectors to the left and forward of who has turned so far."""
    sine, cosine = np.sin(turn), np.cos(turn)
    return np.array([cosine, 0.0, -sine]), np.array([sine, 0.0, cosine])


def make_joints(person: Person, posture: Posture) -> dict:
    """World points, each (3,): `hips`, `neck`, `head`, and by (name, side) those of arms and legs."""
    left, forward = _axes(posture.turn)
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
    """Where the camera stands; it takes the place of a `drawn_photos.Pose` and sees points of three dimensions.

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


def _line(pen, points, width, colour):
    pen.stroke(points, width, colour, curved=False)


def _disc(pen, point, radius, colour):
    pen.stroke([point, point], 2 * radius, colour, curved=False)


# The figure.


def _limb(person, joints, names, side, colours, width, light) -> Callable:
    upper, lower, end = (joints[name, side] for name in names)

    def paint(pen):
        _line(pen, [lower, end], width * 0.85, _shade(colours[1], light))
        _line(pen, [upper, lower], width, _shade(colours[0], light))

    return paint


def _arm(person, joints, side, light) -> Callable:
    lower = person.shirt if person.long_sleeves else person.skin
    bones = _limb(person, joints, ("shoulder", "elbow", "hand"), side, (person.shirt, lower), person.limb, light)

    def paint(pen):
        bones(pen)
        _disc(pen, joints["hand", side], person.limb * 0.55, _shade(person.skin, light))

    return paint


def _leg(person, joints, side, light) -> Callable:
    lower = person.trousers if person.long_trousers else person.skin
    colours = (person.trousers, lower)
    bones = _limb(person, joints, ("hip", "knee", "ankle"), side, colours, person.limb * 1.25, light)

    def paint(pen):
        _line(pen, [joints["ankle", side], joints["toe", side]], person.limb, _shade(person.shoes, light))
        bones(pen)

    return paint


def _torso(person, joints) -> Callable:
    corners = [joints[name, side] for name, side in (("shoulder", 1), ("shoulder", -1), ("hip", -1), ("hip", 1))]
    belt = joints["hips"]

    def paint(pen):
        _line(pen, [*corners[2:], belt], person.limb * 1.5, person.trousers)
        pen.polygon(corners, person.shirt)
        above = [0.85 * corner + 0.15 * joints["neck"] for corner in corners[2:]]
        _line(pen, [*corners[:2], *above, corners[0]], person.limb * 1.25, person.shirt)
        _line(pen, [joints["neck"], joints["head"]], person.limb * 0.8, _shade(person.skin, 0.85))

    return paint


def _hair(person, joints) -> Callable:
    """What hangs down or is knotted at the back of the head."""
    head, radius, back = joints["head"], person.head, -joints["forward"]

    def paint(pen):
        if person.hairstyle == "long":
            top = head + back * radius * 0.4
            _line(pen, [top, top - UP * radius * 1.2], radius * 1.6, person.hair)
        if person.hairstyle == "bun":
            _disc(pen, head + UP * radius * 0.95 + back * radius * 0.6, radius * 0.45, person.hair)

    return paint


def _head(person, joints, view) -> Callable:
    head, forward, radius = joints["head"], joints["forward"], person.head
    facing = view.depth(forward)  # 1 looks at the viewer, -1 away from them.
    cover = _shade(person.shirt, 0.7) if person.hairstyle == "cap" else person.hair

    def paint(pen):
        _disc(pen, head, radius, cover)
        if facing > -0.6:
            chin = head + forward * radius * 0.25 - UP * radius * 0.3
            _disc(pen, chin, radius * (0.8 + 0.08 * max(facing, 0)), person.skin)
        if person.hairstyle == "cap":
            brim = head + UP * radius * 0.35
            _line(pen, [brim, brim + forward * radius * 1.4], 0.06, cover)
        for side in (LEFT, RIGHT):
            eye = forward * 0.85 + joints["left"] * side * 0.42
            if view.depth(eye) > 0.05:
                _disc(pen, head + eye * radius * 0.95 - UP * radius * 0.2, 0.024, (30, 25, 25))

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


# Things.


def ball_part(point, radius, colours, view, turn=0.0) -> Part:
    """A ball with a stripe."""
    across = np.array([np.cos(turn), np.sin(turn), 0.0]) * radius * 0.75

    def paint(pen):
        _disc(pen, point, radius, colours[0])
        _line(pen, [point - across, point + across], radius * 0.5, colours[1])

    return view.depth(point), paint


def flag_part(hand, along, across, length, colours, flutter, view) -> Part:
    """A flag: its stick points `along`, its cloth `across`, each (3,); `flutter` bends the cloth, -1 to 1."""
    top, middle = hand + along * 1.6 * length, hand + along * 0.7 * length
    bend = 0.12 * length * flutter * along
    cloth = [top, top + across * 0.6 * length + bend, top + across * 1.2 * length - bend]
    cloth += [middle + across * 1.2 * length - bend, middle + across * 0.6 * length + bend, middle]

    def paint(pen):
        _line(pen, [hand - along * 0.2 * length, top], 0.04, (70, 56, 44))
        pen.polygon(cloth, colours[0])
        stripe = [0.65 * upper + 0.35 * lower for upper, lower in zip(cloth[:3], cloth[:2:-1], strict=True)]
        _line(pen, stripe, 0.28 * length, colours[1])

    return view.depth(hand) + 0.1, paint


def hoop_parts(middle, radius, tilt, colours, view) -> list[Part]:
    """A hoop that lies around somebody, `tilt` metres higher on the right and in front: its back and its front half."""

    def half(start):
        angles = np.linspace(start, start + np.pi, 14)
        ring = np.stack([np.cos(angles), tilt[0] * np.cos(angles) + tilt[1] * np.sin(angles), np.sin(angles)], axis=1)
        points = middle + radius * ring

        def paint(pen):
            _line(pen, points, 0.09, colours[0])
            _line(pen, points[4:10], 0.09, colours[1])

        return view.depth(middle) + radius * (1 if start == 0 else -1), paint

    return [half(0), half(np.pi)]


def _bright(random, person) -> tuple[Colour, Colour]:
    """Two colours of a thing that stands out from the person's wall and clothes."""
    return _contrast(random, person.wall, (0.6, 1.0), (0.6, 1.0)), _colour(random, (0.0, 0.4), (0.85, 1.0))


def _face(left, bottom, right, top, z) -> np.ndarray:
    return np.array([(left, bottom, z), (right, bottom, z), (right, top, z), (left, top, z)])


def _side(x, bottom, back, top, front) -> np.ndarray:
    return np.array([(x, bottom, back), (x, bottom, front), (x, top, front), (x, top, back)])


@dataclasses.dataclass(frozen=True)
class Cupboard:
    """A cupboard that faces the viewer, with one door; its hinge is on the right.

    Attributes:
        left, width, height, front: where it stands, in metres; `front` is the z of the closed door.
        colour, inside: of the wood and of the darkness in it.
        content: the colours of what stands on its shelves.
    """

    left: float
    width: float
    height: float
    front: float
    colour: Colour
    inside: Colour
    content: tuple[Colour, ...]

    def edge(self, angle: float, height: float) -> np.ndarray:
        """A point (3,) on the edge of the door, opened by `angle` in radians, at this `height`."""
        right = self.left + self.width
        return np.array([right - self.width * np.cos(angle), height, self.front + self.width * np.sin(angle)])

    def handle(self, angle: float) -> np.ndarray:
        """Where the hand holds the door, (3,)."""
        hinge = self.edge(angle, self.height * 0.6)
        return 0.92 * hinge + 0.08 * np.array([self.left + self.width, self.height * 0.6, self.front])

    def paint(self, pen: drawn_photos.Pen, angle: float):
        """Draws it with the door opened by `angle` in radians."""
        left, right, front, back = self.left, self.left + self.width, self.front, self.front - 0.4
        for x in (left, right):
            pen.polygon(_side(x, 0, back, self.height, front), _shade(self.colour, 0.75))
        corners = _face(left, self.height, right, self.height, front)
        corners[2:, 2] = back
        pen.polygon(corners, _shade(self.colour, 1.1))
        pen.polygon(_face(left, 0, right, self.height, front), self.colour)
        if angle > 0.02:
            self._paint_inside(pen)
        self._paint_door(pen, angle)

    def _paint_inside(self, pen):
        edge, shelves = 0.05, len(self.content) // 2
        left, right = self.left + edge, self.left + self.width - edge
        pen.polygon(_face(left, edge, right, self.height - edge, self.front), self.inside)
        step = (self.height - 2 * edge) / shelves
        for shelf in range(shelves):
            bottom = edge + shelf * step
            for place in range(2):
                start = left + (0.12 + 0.46 * place) * (right - left)
                stop, top = start + 0.3 * (right - left), bottom + step * (0.75 - 0.2 * ((shelf + place) % 2))
                pen.polygon(_face(start, bottom, stop, top, self.front - 0.05), self.content[2 * shelf + place])
            _line(pen, [(left, bottom, self.front), (right, bottom, self.front)], 0.035, self.colour)

    def _paint_door(self, pen, angle):
        top, bottom = self.height - 0.02, 0.04
        hinge = np.array([self.left + self.width, 0, self.front])
        corners = [hinge + UP * bottom, self.edge(angle, bottom), self.edge(angle, top), hinge + UP * top]
        pen.polygon(corners, _shade(self.colour, 0.95 - 0.25 * np.sin(angle)))
        _line(pen, [*corners, corners[0]], 0.03, _shade(self.colour, 0.6))
        _disc(pen, self.handle(angle), 0.035, (40, 38, 36))


def _balloon(random) -> Callable[[float, View], list[Part]]:
    """In some clips a balloon floats behind the person: something that moves and means nothing."""
    if random.random() > 0.3:
        return lambda progress, view: []
    start, drift = np.array([random.uniform(-0.8, 0.8), random.uniform(1.2, 1.7), -0.7]), random.uniform(-0.6, 0.6, 3)
    colour, radius = _colour(random, (0.5, 0.9), (0.6, 1.0)), random.uniform(0.1, 0.16)

    def at(progress, view):
        point = start + drift * (1, 0.4, 0.2) * progress

        def paint(pen):
            _line(pen, [point, point - UP * (radius + 0.35)], 0.015, (60, 60, 60))
            _disc(pen, point, radius, colour)

        return [(view.depth(point), paint)]

    return at


def _cupboard(random, wall, left, front) -> Cupboard:
    return Cupboard(
        left=left,
        width=random.uniform(0.44, 0.54),
        height=random.uniform(1.2, 1.7),
        front=front,
        colour=_contrast(random, wall, (0.15, 0.6), (0.45, 0.95)),
        inside=_colour(random, (0.2, 0.5), (0.12, 0.25)),
        content=tuple(_colour(random, (0.4, 0.9), (0.6, 1.0)) for _ in range(2 * random.integers(3, 5))),
    )


# The actions: each returns a function of `progress`, 0 to 1 over the clip, of `seconds` and of the view.

Motion = Callable[[float, float, View], tuple[Posture, list[Part]]]


def _ease(progress, start, stop) -> float:
    """0 before `start`, 1 after `stop`, and a smooth step between them."""
    step = np.clip((progress - start) / (stop - start), 0.0, 1.0)
    return float(step * step * (3 - 2 * step))


def _mix(first, second, weight) -> np.ndarray:
    return (1 - weight) * np.asarray(first) + weight * np.asarray(second)


def _wave(seconds, rate, phase=0.0) -> float:
    """A sine of `rate` cycles per second."""
    return float(np.sin(2 * np.pi * (rate * seconds + phase)))


def waving(random: np.random.Generator, person: Person) -> Motion:
    """Waves a flag from side to side."""
    rate, phase, turn = random.uniform(0.7, 1.2), random.random(), random.uniform(-0.4, 0.4)
    other = random.choice([(0.2, -0.93, 0.1), (0.45, -0.62, 0.1)])
    side, length, colour = random.choice([LEFT, RIGHT]), random.uniform(0.34, 0.42), _bright(random, person)

    def at(progress, seconds, view):
        swing = _wave(seconds, rate, phase)
        tilt = 0.3 + 0.9 * swing
        up = (0.55 + 0.25 * swing, 0.15 - 0.1 * abs(swing), 0.3)
        hands = (up, other) if side == LEFT else (other, up)
        posture = Posture(place=(-0.15 * side, 0.0, 0.0), turn=turn, lean=0.03 * _wave(seconds, rate / 2), hands=hands)
        joints = make_joints(person, posture)
        outward = joints["left"] * side
        along, outward = UP * np.cos(tilt) + outward * np.sin(tilt), outward * np.cos(tilt) - UP * np.sin(tilt)
        return posture, [flag_part(joints["hand", side], along, outward, length, colour, _wave(seconds, 2.5), view)]

    return at


def jumping(random: np.random.Generator, person: Person) -> Motion:
    """Up and down again, arms and legs wide apart in the air."""
    rate, phase, height = random.uniform(0.8, 1.2), random.random(), random.uniform(0.15, 0.25)
    turn, spread = random.uniform(-0.5, 0.5), random.uniform(0.25, 0.4)

    def at(progress, seconds, view):
        cycle = (rate * seconds + phase) % 1.0
        flight = 4 * (cycle - 0.3) * (1 - cycle) / 0.49 if cycle > 0.3 else 0.0
        dip = np.sin(np.pi * cycle / 0.3) if cycle < 0.3 else 0.0
        hand = _mix((0.5, -0.7, -0.1), (0.62, 0.72, 0.05), _ease(flight, 0.0, 0.8))
        foot = (0.08 + spread * flight, 0.0, 0.0)
        posture = Posture(
            place=(0.0, height * flight, 0.0), turn=turn, crouch=0.06 + 0.22 * dip, lean=0.3 * dip,
            hands=(hand, hand), feet=(foot, foot),
        )  # fmt: skip
        return posture, []

    return at


def twirling(random: np.random.Generator, person: Person) -> Motion:
    """Twirls a hoop around the hips."""
    rate, phase, turn = random.choice([-1, 1]) * random.uniform(0.9, 1.4), random.random(), random.uniform(-0.5, 0.5)
    radius, height, colour = random.uniform(0.42, 0.52), random.uniform(0.1, 0.5), _bright(random, person)

    def at(progress, seconds, view):
        sway, swing = _wave(seconds, rate, phase), _wave(seconds, rate, phase + 0.25)
        hand = (0.75 + 0.05 * sway, height, 0.2)
        posture = Posture(
            place=(0.07 * sway, 0.0, 0.07 * swing), turn=turn, crouch=0.04, lean=0.05 * swing,
            hands=(hand, hand), feet=((0.12, 0.0, 0.0),) * 2,
        )  # fmt: skip
        middle = make_joints(person, posture)["hips"] + (-0.12 * sway, 0.1, -0.12 * swing)
        return posture, hoop_parts(middle, radius, (0.25 * sway, 0.25 * swing), colour, view)

    return at


def bowing(random: np.random.Generator, person: Person) -> Motion:
    """Bends forward from the hips and straightens up again, arms at the sides."""
    rate, phase, depth = random.uniform(0.35, 0.6), random.random(), random.uniform(1.0, 1.4)
    turn = random.uniform(0.9, 1.9)

    def at(progress, seconds, view):
        lean = depth * (0.5 - 0.5 * np.cos(2 * np.pi * (rate * seconds + phase)))
        _, forward = _axes(turn)
        back = -0.14 * np.sin(lean) * forward
        along = (0.1, -0.93 * np.cos(0.7 * lean), -0.93 * np.sin(0.7 * lean) + 0.05)
        foot = (0.06, 0.0, 0.14 * np.sin(lean) / person.leg)
        return Posture(place=tuple(back), turn=turn, lean=lean, hands=(along, along), feet=(foot, foot)), []

    return at


def opening(random: np.random.Generator, person: Person) -> Motion:
    """Reaches for the handle of a cupboard, pulls the door open and lets go."""
    cupboard = _cupboard(random, person.wall, left=random.uniform(0.3, 0.38), front=-0.3)
    widest, turn = np.radians(random.uniform(80, 105)), random.uniform(1.4, 1.9)
    reach = random.uniform(0.0, 0.12)
    pull = reach + random.uniform(0.15, 0.25)
    open_ = random.uniform(0.55, 0.75)
    release = open_ + random.uniform(0.08, 0.2)
    place = random.uniform(-0.3, -0.2)

    def at(progress, seconds, view):
        angle = widest * _ease(progress, pull, open_)
        hold = _ease(progress, reach, pull) * (1 - _ease(progress, open_ + 0.03, release))
        grip = (cupboard.handle(angle), hold)
        posture = Posture(
            place=(place + 0.12 * hold, 0.0, 0.0), turn=turn + 0.04 * _wave(seconds, 0.37),
            lean=0.12 * hold + 0.02 * _wave(seconds, 0.5), grips=(((0, 0, 0), 0.0), grip),
            feet=((0.04, 0.0, 0.12), (0.04, 0.0, -0.12)),
        )  # fmt: skip
        return posture, [(-9.0, lambda pen: cupboard.paint(pen, angle))]

    return at


def throwing(random: np.random.Generator, person: Person) -> Motion:
    """Lifts a ball with both hands and throws it out of the picture."""
    radius, turn, place = random.uniform(0.18, 0.24), random.uniform(1.2, 1.9), random.uniform(-0.55, -0.35)
    lift, release = random.uniform(0.05, 0.2), random.uniform(0.42, 0.58)
    speed, rise = random.uniform(1.5, 2.4), random.uniform(0.4, 1.2)
    colours = _bright(random, person)
    raised = np.array([0.0, random.uniform(0.6, 0.8), random.uniform(0.0, 0.2)])
    low, front = np.array([0.0, random.uniform(-0.65, -0.4), 0.45]), np.array([0.0, 0.35, 0.85])

    def pose(progress, seconds):
        hand = _mix(_mix(low, raised, _ease(progress, lift, release - 0.12)), front,
                    _ease(progress, release - 0.12, release + 0.02))  # fmt: skip
        hand = _mix(hand, HANGING, _ease(progress, release + 0.06, release + 0.3))
        swing = _ease(progress, release - 0.15, release + 0.05) * (1 - _ease(progress, release + 0.08, release + 0.3))
        outward = (radius * 0.85 - person.shoulders) / person.arm * (1 - _ease(progress, release, release + 0.1))
        return Posture(
            place=(place + 0.1 * swing, 0.0, 0.0), turn=turn + 0.04 * _wave(seconds, 0.37), crouch=0.05,
            lean=-0.1 + 0.35 * swing + 0.02 * _wave(seconds, 0.5),
            hands=(hand + (outward, 0, 0),) * 2, feet=((0.04, 0.0, 0.16 + 0.05 * swing), (0.04, 0.0, -0.16)),
        )  # fmt: skip

    def held(progress, seconds):
        joints = make_joints(person, pose(progress, seconds))
        between = (joints["hand", LEFT] + joints["hand", RIGHT]) / 2
        return between + 0.3 * radius * joints["forward"]

    def at(progress, seconds, view):
        flight = max(0.0, progress - release) * seconds / max(progress, 1e-9)
        point = held(min(progress, release), seconds)
        point = point + np.array([speed * flight, rise * flight - 2.5 * flight**2, 0.0])
        point[1] = max(point[1], radius)
        return pose(progress, seconds), [ball_part(point, radius, colours, view, turn=3 * flight)]

    return at


MOTIONS = {
    "bow": bowing,
    "jump": jumping,
    "open": opening,
    "throw": throwing,
    "twirl": twirling,
    "wave": waving,
}
ACTIONS = tuple(sorted([*MOTIONS, *BACKWARDS]))


# The room.


def _paint_wall(pen, random, wall):
    pen.polygon(_face(-6, 0, 6, 6, -1.2), wall)
    pattern = random.integers(4)
    if pattern == 1:
        for x in np.arange(-4, 4, random.uniform(0.25, 0.5)):
            pen.polygon(_face(x, 0, x + 0.1, 4, -1.2), _shade(wall, 0.92))
    elif pattern == 2:
        pen.polygon(_face(-6, 0, 6, random.uniform(0.6, 1.1), -1.2), _shade(wall, 0.8))
    elif pattern == 3:
        for height in np.arange(0, 3, 0.3):
            _line(pen, [(-6, height, -1.2), (6, height, -1.2)], 0.02, _shade(wall, 0.88))
    pen.polygon(_face(-6, 0, 6, 0.1, -1.2), _shade(wall, random.choice([0.6, 1.2])))


def _paint_floor(pen, random, floor):
    pen.polygon([(-6, 0, -1.2), (6, 0, -1.2), (6, 0, 3), (-6, 0, 3)], floor)
    if random.random() < 0.6:
        for x in np.arange(-4, 4, random.uniform(0.25, 0.6)):
            _line(pen, [(x, 0, -1.2), (x, 0, 3)], 0.015, _shade(floor, 0.85))
    if random.random() < 0.5:
        angles = np.linspace(0, 2 * np.pi, 24)
        rug = np.stack([1.1 * np.cos(angles), 0 * angles, 0.5 * np.sin(angles) + 0.1], axis=1)
        colour = _colour(random, (0.2, 0.6), (0.4, 0.8))
        pen.polygon(rug, colour)
        pen.polygon(rug * 0.75, _shade(colour, 1.2))


def _paint_window(pen, random, x):
    bottom, half = random.uniform(0.9, 1.1), random.uniform(0.28, 0.4)
    pen.polygon(_face(x - half - 0.05, bottom - 0.05, x + half + 0.05, bottom + 0.85, -1.2), (240, 238, 232))
    pen.polygon(_face(x - half, bottom, x + half, bottom + 0.8, -1.2), (168, 206, 235))
    pen.polygon(_face(x - half, bottom, x + half, bottom + 0.25, -1.2), (126, 168, 104))
    _line(pen, [(x, bottom, -1.2), (x, bottom + 0.8, -1.2)], 0.03, (240, 238, 232))


def _paint_picture(pen, random, x):
    bottom, half, height = random.uniform(1.1, 1.4), random.uniform(0.15, 0.28), random.uniform(0.3, 0.5)
    pen.polygon(_face(x - half, bottom, x + half, bottom + height, -1.2), _colour(random, (0.2, 0.6), (0.2, 0.5)))
    pen.polygon(
        _face(x - half + 0.04, bottom + 0.04, x + half - 0.04, bottom + height - 0.04, -1.2),
        _colour(random, (0.2, 0.7), (0.6, 1.0)),
    )
    _disc(pen, (x, bottom + height / 2, -1.2), height * 0.22, _colour(random, (0.4, 0.9), (0.4, 0.9)))


def _paint_plant(pen, random, x, z):
    green = _shade((78, 148, 70), random.uniform(0.7, 1.2))
    for angle in np.linspace(-1.0, 1.0, 7) + random.uniform(-0.1, 0.1):
        length = random.uniform(0.4, 0.7)
        _line(pen, [(x, 0.3, z), (x + length * np.sin(angle), 0.3 + length * np.cos(angle), z)], 0.08, green)
    pen.polygon(
        [(x - 0.16, 0.35, z), (x + 0.16, 0.35, z), (x + 0.11, 0, z), (x - 0.11, 0, z)],
        _colour(random, (0.3, 0.8), (0.4, 0.8)),
    )


def _paint_lamp(pen, random, x, z):
    height = random.uniform(1.1, 1.5)
    _line(pen, [(x, 0, z), (x, height, z)], 0.04, (70, 66, 62))
    _line(pen, [(x - 0.12, 0.02, z), (x + 0.12, 0.02, z)], 0.05, (70, 66, 62))
    shade = [(x - 0.2, height, z), (x + 0.2, height, z), (x + 0.11, height + 0.28, z), (x - 0.11, height + 0.28, z)]
    pen.polygon(shade, _colour(random, (0.1, 0.5), (0.85, 1.0)))


def _paint_ball(pen, random, x, z):
    radius = random.uniform(0.1, 0.16)
    _disc(pen, (x, radius, z), radius, _colour(random, (0.4, 0.9), (0.5, 1.0)))


def _paint_crate(pen, random, x, z):
    side, colour = random.uniform(0.25, 0.45), _colour(random, (0.2, 0.6), (0.4, 0.9))
    pen.polygon(_face(x - side / 2, 0, x + side / 2, side, z), colour)
    lid = _face(x - side / 2, side, x + side / 2, side, z)
    lid[2:, 2] -= side
    pen.polygon(lid, _shade(colour, 1.15))
    _line(pen, [(x - side / 2, side / 2, z), (x + side / 2, side / 2, z)], 0.03, _shade(colour, 0.7))


def _paint_cupboard(pen, random, x, z):
    cupboard = _cupboard(random, (128, 128, 128), x - 0.25, z)
    cupboard.paint(pen, random.choice([0.0, 1.5]))


FURNITURE = (_paint_plant, _paint_lamp, _paint_ball, _paint_crate, _paint_cupboard)


def _paint_room(pen, person, random):
    """The person's room, and what `random` has put into it for one clip."""
    lasting = np.random.default_rng(person.room)
    _paint_wall(pen, lasting, person.wall)
    for x in (-0.75, 0.75):
        painter = lasting.choice([_paint_window, _paint_picture, None])
        if painter:
            painter(pen, lasting, x + lasting.uniform(-0.2, 0.2))
    _paint_floor(pen, lasting, person.floor)
    if random.random() < 0.6:
        painter = FURNITURE[random.integers(len(FURNITURE))]
        painter(pen, random, random.choice([-1, 1]) * random.uniform(0.75, 1.0), random.uniform(-0.9, -0.6))


def _shadow(pen, x, z, radius, floor):
    angles = np.linspace(0, 2 * np.pi, 20)
    pen.polygon(np.stack([x + radius * np.cos(angles), 0 * angles, z + 0.45 * radius * np.sin(angles)], 1), floor)


# The film.


def _view(random) -> View:
    return View(
        centre=(0.5 + random.uniform(-0.05, 0.05), 0.83 + random.uniform(-0.04, 0.03)),
        scale=random.uniform(0.33, 0.39),
        yaw=random.uniform(-0.3, 0.3),
        pitch=random.uniform(0.08, 0.22),
    )


def _light(random, size) -> np.ndarray:
    """What the colours of a clip are multiplied with, (size, size, 3)."""
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0.0, 0.4)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    ramp = 1 + strength * (x * np.cos(angle) + y * np.sin(angle))
    return (ramp[..., None] * random.uniform(0.93, 1.07, 3) * random.uniform(0.75, 1.15)).astype(np.float32)


def _shake(random, count, side) -> np.ndarray:
    """By how many pixels the camera is off in each frame, (count, 2): two slow waves."""
    seconds = np.arange(count)[:, None] / FRAME_RATE
    rates, phases = random.uniform(0.2, 1.2, (2, 1, 2)), random.random((2, 1, 2))
    waves = np.sin(2 * np.pi * (rates * seconds + phases)).mean(0)
    return np.rint(waves * random.uniform(0.1, 0.3) * MARGIN * side).astype(int)


def _film(action, number, clip, size) -> np.ndarray:
    """One clip of an action in `MOTIONS`, uint8 (frames, size, size, 3)."""
    random = np.random.default_rng([zlib.crc32(action.encode()), number, clip])
    person, count, view = make_person(number), int(random.integers(FRAMES[0], FRAMES[1] + 1)), _view(random)
    motion, margin = MOTIONS[action](random, person), round(size * MARGIN)
    backdrop = Image.new("RGB", ((size + 2 * margin) * SUPERSAMPLING,) * 2)
    colours = (person.shirt, person.trousers, person.skin, person.hair)
    _paint_room(drawn_photos.Pen(backdrop, view, colours), person, random)
    # The camera is focused on the person: what is behind is less sharp and less bright.
    backdrop = Image.blend(backdrop, Image.new("RGB", backdrop.size, person.wall), HAZE)
    backdrop = backdrop.filter(ImageFilter.GaussianBlur(SUPERSAMPLING * size / IMAGE_SIZE))
    light, noise, balloon = _light(random, size), random.uniform(0.3, 1.5), _balloon(random)
    corners = margin * SUPERSAMPLING + _shake(random, count, backdrop.width)
    frames = np.empty((count, size, size, 3), np.uint8)
    for index, (x, y) in enumerate(corners.tolist()):
        canvas = backdrop.copy()
        pen = drawn_photos.Pen(canvas, view, colours)
        progress = index / (count - 1)
        posture, things = motion(progress, index / FRAME_RATE, view)
        _shadow(pen, posture.place[0], posture.place[2], 0.3, _shade(person.floor, 0.75))
        parts = things + balloon(progress, view) + figure_parts(person, posture, view)
        for _, paint in sorted(parts, key=lambda part: part[0]):
            paint(pen)
        canvas = canvas.crop((x, y, x + size * SUPERSAMPLING, y + size * SUPERSAMPLING)).reduce(SUPERSAMPLING)
        pixels = np.asarray(canvas) * light + random.normal(0, noise, (size, size, 1))
        frames[index] = np.clip(pixels, 0, 255)
    return frames[:, :, ::-1] if random.random() < 0.5 else frames


def draw(action: str, person: int, clip: int, size: int = IMAGE_SIZE) -> np.ndarray:
    """Draws one clip.

    Args:
        action: one of `ACTIONS`.
        person: one of `PERSONS`.
        clip: 1 or more; another number gives another clip of the same person.
        size: height and width in pixels, an even number from 32 on.

    Returns:
        uint8 RGB pixels, (frames, size, size, 3), the same for the same arguments. For a pair in `PAIRS` the
        frames of the second action are those of the first in the opposite order.

    Raises:
        ValueError: there is no such action or person, `clip` is under 1, or `size` is odd or under 32.
    """
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}; got {action!r}")
    if person not in PERSONS or clip < 1:
        raise ValueError(f"person must be 1 to {len(PERSONS)} and clip 1 or more; got person={person}, clip={clip}")
    _check_size(size)
    if action in BACKWARDS:
        return _film(BACKWARDS[action], person, clip, size)[::-1]
    return _film(action, person, clip, size)


def _check_size(size):
    # H.264 stores colours at half the resolution, which takes an even number of pixels.
    if size < 32 or size % 2:
        raise ValueError(f"size must be an even number from 32 on; got {size}")


# The files.


def file_name(action: str, person: int, clip: int) -> str:
    """`open/v_open_g03_c02.mp4`: person 3 and clip 2 of an action."""
    return f"{action}/v_{action}_g{person:02d}_c{clip:02d}.mp4"


def write_clip(path: pathlib.Path, frames: np.ndarray) -> None:
    """Writes uint8 RGB frames (n, height, width, 3), even sides, as H.264 in an MP4 file.

    Each frame is coded by itself and with the same quantizer. So a frame looks the same whatever comes before it:
    a clip and the same clip backwards decode to the same pixels, and no trace of the coding tells them apart.
    """
    options = {"qp": QUANTIZER, "g": "1", "threads": "1"}
    with av.open(str(path), "w", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())


def write_clips(folder, persons=PERSONS, clips=CLIPS, size: int = IMAGE_SIZE) -> pathlib.Path:
    """Writes the demo's clips as `folder/<action>/v_<action>_g<person>_c<clip>.mp4`, or finds them already there.

    Args:
        folder: where to; made if it does not exist.
        persons: some of `PERSONS`.
        clips: numbers of clips, 1 to 99, drawn of each person and action.
        size: height and width in pixels, an even number from 32 on.

    Returns:
        The folder's path.

    Raises:
        errors.UserError: something else is in the folder, or it cannot be written.
        ValueError: `persons`, `clips` or `size` is out of range.
    """
    if not persons or not set(persons) <= set(PERSONS) or not clips or not set(clips) <= set(range(1, 100)):
        raise ValueError(f"persons must be from 1 to {len(PERSONS)}, clips from 1 to 99; got {persons} and {clips}")
    _check_size(size)
    wanted = [(action, person, clip) for action in ACTIONS for person in persons for clip in clips]
    names = {file_name(*which) for which in wanted}

    def write(unfinished):
        for which in tqdm.tqdm(wanted, desc="drawing clips", unit="clip"):
            path = unfinished / file_name(*which)
            path.parent.mkdir(exist_ok=True)
            write_clip(path, draw(*which, size))

    return files.complete_folder(folder, lambda found: _names(found) == names, write, "the demo's clips")


def _names(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
