"""Drawn clips of people who do things, for the demo of `recipes/video_actions.py`.

There are twelve actions in clips of 20 to 48 frames. Four of them form two pairs that differ only in the direction of
time: a cupboard is opened or closed, a ball thrown or caught. The second clip of a pair is the first one played
backwards. Both have the same frames, so a network that ignores their order can only guess. Four more form two pairs
that differ only in the place: someone points to the left or right, or a ball bounces on the left or right of someone.
The second clip of a pair is the mirror image of the first, so a network that ignores places can only guess. The other
actions (bow, jump, twirl a hoop, wave a flag) look alike in both directions and on both sides.

Thirteen persons do every action twice, each in their own room, with their own proportions and clothes. The person is
the group of a split, like the source video in UCF101 (Soomro et al., 2012, arXiv:1212.0402). The file names are also
those of UCF101: `open/v_open_g03_c02.mp4` is the second clip of the third person.

An action is a function `motion(random, person)` that returns a function of time.
"""

from __future__ import annotations

import pathlib
import zlib
from collections.abc import Callable, Collection
from typing import Any

import av
import numpy as np
import tqdm
from PIL import Image, ImageFilter

from common import files
from common.demo import drawing, drawn_people, drawn_rooms, drawn_things

PAIRS = (("open", "close"), ("throw", "catch"))
BACKWARDS = {second: first for first, second in PAIRS}  # the second of a pair is the first played backwards.
PLACE_PAIRS = (("point_left", "point_right"), ("bounce_left", "bounce_right"))
MIRRORED = {second: first for first, second in PLACE_PAIRS}  # the second of a pair is the first's mirror image.
PERSONS = tuple(range(1, 14))
CLIPS = (1, 2)  # each person does each action twice: 312 clips in all.

IMAGE_SIZE = 96  # pixels, like the demo's photos, on which the demo's network was trained.
FRAMES = (20, 48)  # number of frames of the shortest and the longest clip.
FRAME_RATE = 12  # frames per second.
QUANTIZER = "22"  # of H.264: 0 is lossless, below 18 the difference is invisible, 51 is the worst.
SUPERSAMPLING = 3  # shapes are drawn at three times the size and averaged, which gives smooth edges.
MARGIN = 1 / 14  # the margin on each side, as a share of the picture, so that the camera can shake.
HAZE = 0.3  # the weight of the wall's colour that is blended over the room.


# The actions: each returns a function of `progress` (0 to 1 over the clip), `seconds` and the view.

Motion = Callable[[float, float, drawn_people.View], tuple[drawn_people.Posture, list[drawn_people.Part]]]


def _ease(progress: float, start: float, stop: float) -> float:
    """Return 0 before `start`, 1 after `stop`, and a smooth step between them."""
    step = np.clip((progress - start) / (stop - start), 0.0, 1.0)
    return float(step * step * (3 - 2 * step))


def _mix(first: Any, second: Any, weight: float) -> np.ndarray:
    return (1 - weight) * np.asarray(first) + weight * np.asarray(second)


def _wave(seconds: float, rate: float, phase: float = 0.0) -> float:
    """Return a sine of `rate` cycles per second."""
    return float(np.sin(2 * np.pi * (rate * seconds + phase)))


def waving(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Wave a flag from side to side."""
    rate, phase, turn = random.uniform(0.7, 1.2), random.random(), random.uniform(-0.4, 0.4)
    other = random.choice([(0.2, -0.93, 0.1), (0.45, -0.62, 0.1)])
    side, length, colour = (
        random.choice([drawn_people.LEFT, drawn_people.RIGHT]),
        random.uniform(0.34, 0.42),
        drawn_things.bright(random, person),
    )

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        swing = _wave(seconds, rate, phase)
        tilt = 0.3 + 0.9 * swing
        up = (0.55 + 0.25 * swing, 0.15 - 0.1 * abs(swing), 0.3)
        hands = (up, other) if side == drawn_people.LEFT else (other, up)
        posture = drawn_people.Posture(
            place=(-0.15 * side, 0.0, 0.0), turn=turn, lean=0.03 * _wave(seconds, rate / 2), hands=hands
        )
        joints = drawn_people.make_joints(person, posture)
        outward = joints["left"] * side
        along, outward = (
            drawn_people.UP * np.cos(tilt) + outward * np.sin(tilt),
            outward * np.cos(tilt) - drawn_people.UP * np.sin(tilt),
        )
        return posture, [
            drawn_things.flag_part(joints["hand", side], along, outward, length, colour, _wave(seconds, 2.5), view)
        ]

    return at


def jumping(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Jump up and down, with arms and legs wide apart in the air."""
    rate, phase, height = random.uniform(0.8, 1.2), random.random(), random.uniform(0.15, 0.25)
    turn, spread = random.uniform(-0.5, 0.5), random.uniform(0.25, 0.4)

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        cycle = (rate * seconds + phase) % 1.0
        flight = 4 * (cycle - 0.3) * (1 - cycle) / 0.49 if cycle > 0.3 else 0.0
        dip = np.sin(np.pi * cycle / 0.3) if cycle < 0.3 else 0.0
        hand = _mix((0.5, -0.7, -0.1), (0.62, 0.72, 0.05), _ease(flight, 0.0, 0.8))
        foot = (0.08 + spread * flight, 0.0, 0.0)
        posture = drawn_people.Posture(
            place=(0.0, height * flight, 0.0), turn=turn, crouch=0.06 + 0.22 * dip, lean=0.3 * dip,
            hands=(hand, hand), feet=(foot, foot),
        )  # fmt: skip
        return posture, []

    return at


def twirling(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Twirl a hoop around the hips."""
    rate, phase, turn = random.choice([-1, 1]) * random.uniform(0.9, 1.4), random.random(), random.uniform(-0.5, 0.5)
    radius, height, colour = random.uniform(0.42, 0.52), random.uniform(0.1, 0.5), drawn_things.bright(random, person)

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        sway, swing = _wave(seconds, rate, phase), _wave(seconds, rate, phase + 0.25)
        hand = (0.75 + 0.05 * sway, height, 0.2)
        posture = drawn_people.Posture(
            place=(0.07 * sway, 0.0, 0.07 * swing), turn=turn, crouch=0.04, lean=0.05 * swing,
            hands=(hand, hand), feet=((0.12, 0.0, 0.0),) * 2,
        )  # fmt: skip
        middle = drawn_people.make_joints(person, posture)["hips"] + (-0.12 * sway, 0.1, -0.12 * swing)
        return posture, drawn_things.hoop_parts(middle, radius, (0.25 * sway, 0.25 * swing), colour, view)

    return at


def bowing(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Bend forward from the hips and straighten up again, with the arms at the sides."""
    rate, phase, depth = random.uniform(0.35, 0.6), random.random(), random.uniform(1.0, 1.4)
    turn = random.uniform(0.9, 1.9)

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        lean = depth * (0.5 - 0.5 * np.cos(2 * np.pi * (rate * seconds + phase)))
        _, forward = drawn_people.axes_of(turn)
        back = -0.14 * np.sin(lean) * forward
        along = (0.1, -0.93 * np.cos(0.7 * lean), -0.93 * np.sin(0.7 * lean) + 0.05)
        foot = (0.06, 0.0, 0.14 * np.sin(lean) / person.leg)
        return drawn_people.Posture(
            place=tuple(back), turn=turn, lean=lean, hands=(along, along), feet=(foot, foot)
        ), []

    return at


def opening(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Reach for the handle of a cupboard, pull the door open and let go."""
    cupboard = drawn_things.make_cupboard(random, person.wall, left=random.uniform(0.3, 0.38), front=-0.3)
    widest, turn = np.radians(random.uniform(80, 105)), random.uniform(1.4, 1.9)
    reach = random.uniform(0.0, 0.12)
    pull = reach + random.uniform(0.15, 0.25)
    open_ = random.uniform(0.55, 0.75)
    release = open_ + random.uniform(0.08, 0.2)
    place = random.uniform(-0.3, -0.2)

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        angle = widest * _ease(progress, pull, open_)
        hold = _ease(progress, reach, pull) * (1 - _ease(progress, open_ + 0.03, release))
        grip = (cupboard.handle(angle), hold)
        posture = drawn_people.Posture(
            place=(place + 0.12 * hold, 0.0, 0.0), turn=turn + 0.04 * _wave(seconds, 0.37),
            lean=0.12 * hold + 0.02 * _wave(seconds, 0.5), grips=(((0, 0, 0), 0.0), grip),
            feet=((0.04, 0.0, 0.12), (0.04, 0.0, -0.12)),
        )  # fmt: skip
        return posture, [(-9.0, lambda pen: cupboard.paint(pen, angle))]

    return at


def throwing(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Lift a ball with both hands and throw it out of the picture."""
    radius, turn, place = random.uniform(0.18, 0.24), random.uniform(1.2, 1.9), random.uniform(-0.55, -0.35)
    lift, release = random.uniform(0.05, 0.2), random.uniform(0.42, 0.58)
    speed, rise = random.uniform(1.5, 2.4), random.uniform(0.4, 1.2)
    colours = drawn_things.bright(random, person)
    raised = np.array([0.0, random.uniform(0.6, 0.8), random.uniform(0.0, 0.2)])
    low, front = np.array([0.0, random.uniform(-0.65, -0.4), 0.45]), np.array([0.0, 0.35, 0.85])

    def pose(progress: float, seconds: float) -> drawn_people.Posture:
        hand = _mix(_mix(low, raised, _ease(progress, lift, release - 0.12)), front,
                    _ease(progress, release - 0.12, release + 0.02))  # fmt: skip
        hand = _mix(hand, drawn_people.HANGING, _ease(progress, release + 0.06, release + 0.3))
        swing = _ease(progress, release - 0.15, release + 0.05) * (1 - _ease(progress, release + 0.08, release + 0.3))
        outward = (radius * 0.85 - person.shoulders) / person.arm * (1 - _ease(progress, release, release + 0.1))
        return drawn_people.Posture(
            place=(place + 0.1 * swing, 0.0, 0.0), turn=turn + 0.04 * _wave(seconds, 0.37), crouch=0.05,
            lean=-0.1 + 0.35 * swing + 0.02 * _wave(seconds, 0.5),
            hands=(hand + (outward, 0, 0),) * 2, feet=((0.04, 0.0, 0.16 + 0.05 * swing), (0.04, 0.0, -0.16)),
        )  # fmt: skip

    def held(progress: float, seconds: float) -> np.ndarray:
        joints = drawn_people.make_joints(person, pose(progress, seconds))
        between = (joints["hand", drawn_people.LEFT] + joints["hand", drawn_people.RIGHT]) / 2
        return between + 0.3 * radius * joints["forward"]

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        flight = max(0.0, progress - release) * seconds / max(progress, 1e-9)
        point = held(min(progress, release), seconds)
        point = point + np.array([speed * flight, rise * flight - 2.5 * flight**2, 0.0])
        point[1] = max(point[1], radius)
        return pose(progress, seconds), [drawn_things.ball_part(point, radius, colours, view, turn=3 * flight)]

    return at


def pointing(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Face the camera, stretch one arm out to the left of the picture and lower it, again and again."""
    rate, phase, turn = random.uniform(0.5, 0.9), random.random(), random.uniform(-0.35, 0.35)
    height, down = random.uniform(-0.1, 0.35), random.uniform(0.12, 0.25)

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        stretch = 0.5 - 0.5 * _wave(seconds, rate, phase)
        hand = _mix((down, -0.93, 0.1), (0.93, height, 0.15), stretch)
        posture = drawn_people.Posture(
            place=(0.1, 0.0, 0.0), turn=turn, lean=0.02 * _wave(seconds, 0.5), hands=((down, -0.93, 0.1), hand)
        )
        return posture, []

    return at


def bouncing(random: np.random.Generator, person: drawn_people.Person) -> Motion:
    """Stand and look on while a ball bounces up and down, on the left of the picture."""
    rate, phase, turn = random.uniform(0.8, 1.3), random.random(), random.uniform(-0.5, 0.5)
    radius, height = random.uniform(0.14, 0.2), random.uniform(0.5, 0.9)
    away, front = random.uniform(0.45, 0.6), random.uniform(0.0, 0.3)
    colours = drawn_things.bright(random, person)

    def at(
        progress: float, seconds: float, view: drawn_people.View
    ) -> tuple[drawn_people.Posture, list[drawn_people.Part]]:
        cycle = (rate * seconds + phase) % 1.0
        point = np.array([-away, radius + 4 * height * cycle * (1 - cycle), front])
        posture = drawn_people.Posture(
            place=(0.15, 0.0, 0.0),
            turn=turn,
            lean=0.04 * _wave(seconds, 0.6),
            crouch=0.03 + 0.02 * _wave(seconds, rate),
        )
        return posture, [drawn_things.ball_part(point, radius, colours, view, turn=seconds)]

    return at


MOTIONS = {
    "bounce_left": bouncing,
    "bow": bowing,
    "jump": jumping,
    "open": opening,
    "point_left": pointing,
    "throw": throwing,
    "twirl": twirling,
    "wave": waving,
}
ACTIONS = tuple(sorted([*MOTIONS, *BACKWARDS, *MIRRORED]))


# The film.


def _view(random: np.random.Generator) -> drawn_people.View:
    return drawn_people.View(
        centre=(0.5 + random.uniform(-0.05, 0.05), 0.83 + random.uniform(-0.04, 0.03)),
        scale=random.uniform(0.33, 0.39),
        yaw=random.uniform(-0.3, 0.3),
        pitch=random.uniform(0.08, 0.22),
    )


def _light(random: np.random.Generator, size: int) -> np.ndarray:
    """Return the factors of a clip's colours, (size, size, 3)."""
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0.0, 0.4)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    ramp = 1 + strength * (x * np.cos(angle) + y * np.sin(angle))
    return (ramp[..., None] * random.uniform(0.93, 1.07, 3) * random.uniform(0.75, 1.15)).astype(np.float32)


def _shake(random: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Return the camera's offset in pixels in each frame, (count, 2): two slow waves."""
    seconds = np.arange(count)[:, None] / FRAME_RATE
    rates, phases = random.uniform(0.2, 1.2, (2, 1, 2)), random.random((2, 1, 2))
    waves = np.sin(2 * np.pi * (rates * seconds + phases)).mean(0)
    return np.rint(waves * random.uniform(0.1, 0.3) * MARGIN * side).astype(int)


def _film(action: str, number: int, clip: int, size: int) -> np.ndarray:
    """Return one clip of an action in `MOTIONS`, uint8 (frames, size, size, 3)."""
    random = np.random.default_rng([zlib.crc32(action.encode()), number, clip])
    person, count, view = (
        drawn_people.make_person(number),
        int(random.integers(FRAMES[0], FRAMES[1] + 1)),
        _view(random),
    )
    motion, margin = MOTIONS[action](random, person), round(size * MARGIN)
    backdrop = Image.new("RGB", ((size + 2 * margin) * SUPERSAMPLING,) * 2)
    colours = (person.shirt, person.trousers, person.skin, person.hair)
    drawn_rooms.paint(drawing.Pen(backdrop, view, colours), person, random)
    # The camera is focused on the person, so the background is less sharp and hazier.
    backdrop = Image.blend(backdrop, Image.new("RGB", backdrop.size, person.wall), HAZE)
    backdrop = backdrop.filter(ImageFilter.GaussianBlur(SUPERSAMPLING * size / IMAGE_SIZE))
    light, noise, balloon = _light(random, size), random.uniform(0.3, 1.5), drawn_things.make_balloon(random)
    corners = margin * SUPERSAMPLING + _shake(random, count, backdrop.width)
    frames = np.empty((count, size, size, 3), np.uint8)
    for index, (x, y) in enumerate(corners.tolist()):
        canvas = backdrop.copy()
        pen = drawing.Pen(canvas, view, colours)
        progress = index / (count - 1)
        posture, things = motion(progress, index / FRAME_RATE, view)
        drawn_rooms.shadow(pen, posture.place[0], posture.place[2], 0.3, drawn_people.shade(person.floor, 0.75))
        parts = things + balloon(progress, view) + drawn_people.figure_parts(person, posture, view)
        for _, paint in sorted(parts, key=lambda part: part[0]):
            paint(pen)
        canvas = canvas.crop((x, y, x + size * SUPERSAMPLING, y + size * SUPERSAMPLING)).reduce(SUPERSAMPLING)
        pixels = np.asarray(canvas) * light + random.normal(0, noise, (size, size, 1))
        frames[index] = np.clip(pixels, 0, 255)
    either = action not in MIRRORED.values() and random.random() < 0.5
    return frames[:, :, ::-1] if either else frames


def draw(action: str, person: int, clip: int, size: int = IMAGE_SIZE) -> np.ndarray:
    """Draw one clip.

    Args:
        action: one of `ACTIONS`.
        person: one of `PERSONS`.
        clip: 1 or more; another number gives another clip of the same person.
        size: height and width in pixels, an even number of 32 or more.

    Returns:
        uint8 RGB pixels, (frames, size, size, 3), the same for the same arguments. For a pair in `PAIRS` the
        frames of the second action are those of the first in reverse order; for one in `PLACE_PAIRS` they are mirrored.

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
    if action in MIRRORED:
        return _film(MIRRORED[action], person, clip, size)[:, :, ::-1]
    return _film(action, person, clip, size)


def _check_size(size: int) -> None:
    # H.264 stores colours at half the resolution, which needs an even number of pixels.
    if size < 32 or size % 2:
        raise ValueError(f"size must be an even number of 32 or more; got {size}")


# The files.


def file_name(action: str, person: int, clip: int) -> str:
    """Return a clip's file name: `open/v_open_g03_c02.mp4` for person 3 and clip 2 of an action."""
    return f"{action}/v_{action}_g{person:02d}_c{clip:02d}.mp4"


def write_clip(path: pathlib.Path, frames: np.ndarray) -> None:
    """Write uint8 RGB frames (n, height, width, 3), with even sides, as H.264 in an MP4 file.

    Each frame is coded on its own and with the same quantizer, so it looks the same whatever comes before it. A clip
    and its reverse therefore decode to the same pixels, and no trace of the coding distinguishes them.
    """
    options = {"qp": QUANTIZER, "g": "1", "threads": "1"}
    with av.open(str(path), "w", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())


def write_clips(
    folder: pathlib.Path, persons: Collection[int] = PERSONS, clips: Collection[int] = CLIPS, size: int = IMAGE_SIZE
) -> pathlib.Path:
    """Write the demo's clips as `folder/<action>/v_<action>_g<person>_c<clip>.mp4`, unless they already exist.

    Args:
        folder: the folder to write into; created if it does not exist.
        persons: some of `PERSONS`.
        clips: the numbers of the clips to draw for each person and action, 1 to 99.
        size: height and width in pixels, an even number of 32 or more.

    Returns:
        The folder's path.

    Raises:
        errors.UserError: the folder contains something else, or cannot be written.
        ValueError: `persons`, `clips` or `size` is out of range.
    """
    if not persons or not set(persons) <= set(PERSONS) or not clips or not set(clips) <= set(range(1, 100)):
        raise ValueError(f"persons must be from 1 to {len(PERSONS)}, clips from 1 to 99; got {persons} and {clips}")
    _check_size(size)
    wanted = [(action, person, clip) for action in ACTIONS for person in persons for clip in clips]
    names = {file_name(*which) for which in wanted}

    def write(unfinished: pathlib.Path) -> None:
        for action, person, clip in tqdm.tqdm(wanted, desc="drawing clips", unit="clip", disable=None):
            path = unfinished / file_name(action, person, clip)
            path.parent.mkdir(exist_ok=True)
            write_clip(path, draw(action, person, clip, size))

    return files.complete_folder(folder, lambda found: _names(found) == names, write, "the demo's clips")


def _names(folder: pathlib.Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
