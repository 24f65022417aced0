"""Photos drawn by code, with a known truth.

The demo needs data without a download. This module draws six classes of things that differ only in their shape, in
pictures with the difficulties of real photos.

A picture has four layers, all from the same random stream: a textured background, clutter, the thing itself, and
something in front of it. Then it is "developed": light, shadow, colour cast, blur, sensor noise.
A class is one painter, a function `painter(pen, random)` that draws with a `drawing.Pen`.
"""

from __future__ import annotations

import colorsys
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tqdm
from PIL import Image, ImageDraw, ImageFilter

from common import files
from common.demo import drawing

IMAGE_SIZE = 96  # pixels; 64 trains twice as fast, but the pictures look better at 96.
SUPERSAMPLING = 3  # shapes are drawn at three times the size and averaged, which gives smooth edges.
MAXIMUM_OCCLUSION = 0.3  # the largest hidden share of a thing, so that its class stays recognisable.
JPEG_QUALITY = 92

Painter = Callable[[drawing.Pen, np.random.Generator], None]


# The six target classes.


def paint_butterfly(pen: drawing.Pen, random: np.random.Generator) -> None:
    """Draw a butterfly; `random` varies its shape."""
    reach, lift, drop = random.uniform(0.75, 1.0), random.uniform(0.6, 0.95), random.uniform(0.55, 0.9)
    upper = np.array([(0.05, 0.0), (0.3, -0.55 * lift), (reach, -lift), (reach, -0.35 * lift), (0.6, 0.05)])
    lower = np.array([(0.05, 0.0), (0.6, 0.05), (0.75 * reach, 0.4), (0.5 * reach, drop), (0.15, 0.45)])
    spot = random.uniform(0.08, 0.17)
    for wing, colour, place in ((lower, pen.trim, (0.42, 0.36)), (upper, pen.body, (0.62, -0.42 * lift))):
        for side in (1, -1):
            pen.blob(wing * (side, 1), colour)
            pen.ellipse(side * place[0] * reach, place[1], spot, spot * 1.2, pen.detail)
    for side in (1, -1):
        pen.stroke([(0, -0.4), (0.12 * side, -0.75), (0.3 * side, -0.9)], 0.05, pen.ink)
    pen.ellipse(0, 0.02, random.uniform(0.07, 0.11), 0.5, pen.ink)


def paint_fish(pen: drawing.Pen, random: np.random.Generator) -> None:
    """Draw a fish; `random` varies its shape."""
    height, fork, fin = random.uniform(0.34, 0.6), random.uniform(0.3, 0.55), random.uniform(0.2, 0.4)
    pen.polygon([(0.4, 0), (0.98, -fork), (0.82, 0), (0.98, fork)], pen.trim)
    pen.blob([(-0.35, -0.7 * height), (0.05, -height - fin), (0.4, -0.3 * height), (0, -0.5 * height)], pen.trim)
    pen.blob([(-0.1, 0.6 * height), (0.15, height + fin * 0.7), (0.3, 0.4 * height)], pen.trim)
    pen.blob([(-0.95, 0.05), (-0.45, -0.85 * height), (0.1, -0.8 * height), (0.6, 0), (0.1, 0.8 * height),
              (-0.45, 0.85 * height)], pen.body)  # fmt: skip
    for x in np.linspace(-0.15, 0.25, random.integers(0, 4)):
        pen.stroke([(x, -0.55 * height), (x + 0.07, 0), (x, 0.55 * height)], 0.07, pen.detail)
    pen.stroke([(-0.42, -0.5 * height), (-0.33, 0), (-0.42, 0.5 * height)], 0.05, pen.ink)
    pen.ellipse(-0.62, -0.2 * height, 0.1, 0.1, pen.detail)
    pen.ellipse(-0.64, -0.2 * height, 0.055, 0.055, pen.ink)


def paint_mushroom(pen: drawing.Pen, random: np.random.Generator) -> None:
    """Draw a mushroom; `random` varies its shape."""
    width, dome, stem = random.uniform(0.7, 0.98), random.uniform(0.6, 0.95), random.uniform(0.17, 0.32)
    brim, foot = random.uniform(-0.1, 0.15), stem * random.uniform(1.1, 1.6)
    pen.blob([(-stem, brim), (stem, brim), (stem, 0.5), (foot, 0.9), (0, 0.95), (-foot, 0.9), (-stem, 0.5)], pen.trim)
    pen.ellipse(0, brim, width * 0.8, 0.14, pen.ink)
    pen.polygon([*drawing.arc(0, brim, width, dome, 180, 360), *drawing.arc(0, brim, width, 0.12, 180, 0)], pen.body)
    for x in np.linspace(-0.62, 0.62, random.integers(2, 5)):
        radius = random.uniform(0.07, 0.14)
        pen.ellipse(x * width, brim - dome * random.uniform(0.3, 0.6), radius * 1.2, radius, pen.detail)


def paint_sailboat(pen: drawing.Pen, random: np.random.Generator) -> None:
    """Draw a sailboat; `random` varies its shape."""
    bow, deck, mast = random.uniform(0.8, 1.0), random.uniform(0.3, 0.5), random.uniform(-0.15, 0.15)
    top, jib = random.uniform(-1.0, -0.8), random.uniform(0.5, 0.8)
    pen.stroke([(mast, top), (mast, deck)], 0.07, pen.ink, curved=False)
    pen.polygon(
        drawing.smooth(
            [(mast + 0.06, top + 0.05), (mast + 0.45, -0.2), (bow * 0.85, deck - 0.12)], closed=False
        ).tolist()
        + [(mast + 0.06, deck - 0.12)],
        pen.trim,
    )
    pen.polygon([(mast - 0.07, top + 0.25), (mast - 0.07, deck - 0.12), (-jib, deck - 0.12)], pen.detail)
    keel = deck + random.uniform(0.3, 0.45)
    pen.blob(
        [(-bow * 0.9, deck), (0, deck), (bow, deck), (bow * 0.62, keel), (0, keel + 0.04), (-bow * 0.6, keel)], pen.body
    )
    if random.random() < 0.5:
        pen.polygon([(mast, top), (mast - 0.28, top + 0.08), (mast, top + 0.16)], pen.body)


def paint_snail(pen: drawing.Pen, random: np.random.Generator) -> None:
    """Draw a snail; `random` varies its shape."""
    radius, x, y = random.uniform(0.48, 0.62), random.uniform(0.1, 0.25), random.uniform(-0.15, 0.0)
    head = random.uniform(-0.45, -0.2)
    pen.blob([(0.98, 0.65), (0.3, 0.4), (-0.35, 0.35), (-0.5, head), (-0.75, head - 0.1), (-0.92, head + 0.1),
              (-0.8, 0.4), (-0.7, 0.66), (0.2, 0.7)], pen.trim)  # fmt: skip
    for tip in (-0.95, -0.62):
        pen.stroke([((tip - 0.75) / 2, head), (tip, head - 0.42)], 0.07, pen.trim)
        pen.ellipse(tip, head - 0.44, 0.06, 0.06, pen.ink)
    pen.ellipse(x, y, radius, radius, pen.body)
    angles = np.linspace(0, random.uniform(1.6, 2.4) * 2 * np.pi, 24)
    growth = np.linspace(0.05, 0.82, 24) * radius
    pen.stroke(np.stack([x + growth * np.cos(angles), y + growth * np.sin(angles)], 1), 0.09, pen.detail)


def paint_teapot(pen: drawing.Pen, random: np.random.Generator) -> None:
    """Draw a teapot; `random` varies its shape."""
    width, height, lip = random.uniform(0.48, 0.6), random.uniform(0.42, 0.58), random.uniform(-0.45, -0.25)
    pen.stroke(drawing.arc(width * 0.9, 0.08, 0.42, height * 0.72, -95, 95), 0.13, pen.trim)
    pen.blob(
        [(-width * 0.7, 0.4), (-width * 0.8, 0.0), (-0.78, lip + 0.15), (-0.98, lip), (-0.8, lip - 0.06), (-0.68, 0.1)],
        pen.trim,
    )
    pen.ellipse(0, 0.12, width, height, pen.body)
    pen.box(-width * 0.55, 0.12 + height * 0.8, width * 0.55, 0.18 + height, pen.trim)
    pen.polygon(drawing.arc(0, 0.16 - height * 0.85, width * 0.6, random.uniform(0.12, 0.24), 180, 360), pen.detail)
    pen.ellipse(0, 0.0 - height, 0.1, 0.1, pen.ink)
    if random.random() < 0.6:
        pen.stroke(drawing.arc(0, 0.12, width * 0.93, height * 0.2, 10, 170), 0.09, pen.detail)


PAINTERS: dict[str, Painter] = {
    "butterfly": paint_butterfly,
    "fish": paint_fish,
    "mushroom": paint_mushroom,
    "sailboat": paint_sailboat,
    "snail": paint_snail,
    "teapot": paint_teapot,
}
CLASS_NAMES: tuple[str, ...] = tuple(PAINTERS)


# Clutter: small shapes that belong to no class, behind the thing and in front of it.


def _disc(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.ellipse(0, 0, 0.8, 0.8, pen.body)
    pen.ellipse(0, 0, random.uniform(0, 0.6), random.uniform(0, 0.6), pen.trim)


def _leaf(pen: drawing.Pen, random: np.random.Generator) -> None:
    width = random.uniform(0.3, 0.55)
    pen.blob([(0, -1), (width, -0.1), (0.05, 0.8), (-width, -0.1)], pen.body)
    pen.stroke([(0, -0.9), (0.04, 0), (0, 1)], 0.08, pen.trim)


def _splinter(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.polygon(random.uniform(0.5, 1.0, (4, 1)) * [(-1, -0.4), (0.8, -0.6), (1, 0.5), (-0.6, 0.7)], pen.body)


def _stick(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.stroke([(-1.6, 0), (0, random.uniform(-0.4, 0.4)), (1.6, 0)], random.uniform(0.15, 0.35), pen.body)


def _ring(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.stroke(drawing.arc(0, 0, 0.7, 0.7, 0, random.uniform(160, 360)), random.uniform(0.15, 0.4), pen.body)


def _star(pen: drawing.Pen, random: np.random.Generator) -> None:
    radius = np.resize([1.0, random.uniform(0.4, 0.7)], 2 * random.integers(4, 9))
    angles = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    pen.polygon(np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1), pen.body)


CLUTTER: tuple[Painter, ...] = (_disc, _leaf, _splinter, _stick, _ring, _star)


# Backgrounds: each returns (size, size, 3) between 0 and 1, made from two colours.


def _colour(random: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(*saturation), random.uniform(*value)))


def _noise(random: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Return smooth noise (size, size) between 0 and 1, with about `cells` waves per side."""
    coarse = Image.fromarray(random.random((cells + 1, cells + 1), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _fractal(random: np.random.Generator, size: int) -> np.ndarray:
    return 0.5 * _noise(random, size, 3) + 0.3 * _noise(random, size, 9) + 0.2 * _noise(random, size, 27)


def _blend(weight: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    weight = np.clip(weight, 0, 1)[..., None]
    return first * (1 - weight) + second * weight


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size] / size
    return x, y


def _ramp(random: np.random.Generator, size: int, light: float | None = None) -> np.ndarray:
    """Return a plane (size, size) that rises from about -0.5 to 0.5 along a direction."""
    angle = random.uniform(0, 2 * np.pi) if light is None else light
    x, y = _grid(size)
    return (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)


def _clouds(random: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return _blend(2.2 * _fractal(random, size) - 0.6, first, second)


def _planks(random: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    wave = _ramp(random, size) + random.uniform(0, 0.12) * _noise(random, size, 4)
    lines = 0.5 + random.uniform(1, 4) * np.sin(2 * np.pi * random.uniform(3, 9) * wave)
    return _blend(lines + 0.5 * _noise(random, size, 30) - 0.25, first, second)


def _tiles(random: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    count, one, other = random.uniform(3, 7), _ramp(random, size), _ramp(random, size)
    squares = (np.floor(one * count) + np.floor(other * count)) % 2
    return _blend(0.7 * squares + 0.5 * _noise(random, size, 12) - 0.1, first, second)


def _horizon(random: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    height = random.uniform(0.35, 0.75) + 0.1 * _ramp(random, size) + 0.06 * _noise(random, size, 8)
    above = _blend(_fractal(random, size), first, 0.6 * first + 0.4)
    below = _blend(_fractal(random, size), second, 0.6 * second)
    return _blend((_grid(size)[1] - height) * size / 2, above, below)


def _pebbles(random: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    x, y = _grid(size)
    centres = random.random((random.integers(20, 60), 2, 1, 1))
    distances = np.hypot(x - centres[:, 0], y - centres[:, 1])
    nearest, tones = distances.min(0), random.random(len(centres))[distances.argmin(0)]
    return _blend(tones, first, second) * (1.05 - 2.5 * nearest[..., None])


def _bokeh(random: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    lights = Image.new("L", (size, size))
    for x, y, radius in zip(*random.random((3, 12)), strict=True):
        radius = size * (0.03 + 0.09 * radius)
        box = [x * size - radius, y * size - radius, x * size + radius, y * size + radius]
        ImageDraw.Draw(lights).ellipse(box, fill=int(random.integers(60, 200)))
    lights = lights.filter(ImageFilter.GaussianBlur(size / 60))
    return _blend(np.asarray(lights) / 255, _clouds(random, size, first, 0.7 * first), 0.5 + 0.5 * second)


BACKGROUNDS = (_clouds, _planks, _tiles, _horizon, _pebbles, _bokeh)


def _background(random: np.random.Generator, size: int) -> np.ndarray:
    first, second = (_colour(random, (0.05, 0.5), (0.3, 0.95)) for _ in range(2))
    second = first + random.uniform(0.35, 0.9) * (second - first)
    return BACKGROUNDS[random.integers(len(BACKGROUNDS))](random, size, first, second)


# The picture: layers on top of each other, then developed.


def _colours(random: np.random.Generator, behind: np.ndarray) -> list[drawing.Colour]:
    """Return four colours for a pen; the body's is the one of three that differs most from `behind` (3,)."""
    choices = [_colour(random, (0.15, 0.85), (0.4, 1.0)) for _ in range(3)]
    body = max(choices, key=lambda colour: np.abs(colour - behind).sum())
    others = [_colour(random, (0.05, 0.75), (0.5, 1.0)) for _ in range(2)]
    ink = _colour(random, (0.2, 0.9), (0.05, 0.3))
    return [tuple(int(255 * channel) for channel in colour) for colour in (body, *others, ink)]


def _sheet(size: int) -> Image.Image:
    return Image.new("RGBA", (size * SUPERSAMPLING, size * SUPERSAMPLING))


def _pose(random: np.random.Generator) -> drawing.Pose:
    scale = random.uniform(0.26, 0.42)
    return drawing.Pose(
        centre=0.5 + random.uniform(-1, 1, 2) * (0.52 - scale),
        scale=scale,
        turn=np.radians(random.normal(0, 22)),
        stretch=random.uniform(0.85, 1.18),
        shear=random.uniform(-0.2, 0.2),
        tilt=random.uniform(-0.18, 0.18, 2),
        mirrored=random.random() < 0.5,
    )


def _scatter(
    random: np.random.Generator, size: int, count: int | np.integer, scale: tuple[float, float], around: Any,
    distance: tuple[float, float], behind: np.ndarray,
) -> Image.Image:  # fmt: skip
    """Return a sheet with `count` small shapes at `distance` (low, high) from the point `around`."""
    sheet = _sheet(size)
    for painter in random.choice(len(CLUTTER), count):
        angle, away = random.uniform(0, 2 * np.pi), random.uniform(*distance)
        place = np.asarray(around) + away * np.array([np.cos(angle), np.sin(angle)])
        length, turn = random.uniform(*scale), random.uniform(0, 2 * np.pi)
        pose = drawing.Pose(place, length, turn, stretch=random.uniform(0.7, 1.4))
        CLUTTER[painter](drawing.Pen(sheet, pose, _colours(random, behind)), random)
    return sheet


def _layer(sheet: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Average a sheet to the picture's size: colours (size, size, 3) and coverage (size, size), 0 to 1."""
    pixels = np.asarray(sheet.reduce(SUPERSAMPLING), dtype=np.float32) / 255
    return pixels[..., :3], pixels[..., 3]


def _blur(plane: np.ndarray, radius: float) -> np.ndarray:
    """Blur a plane (size, size) between 0 and 1 by `radius` pixels."""
    image = Image.fromarray((np.clip(plane, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


def _surface(random: np.random.Generator, size: int) -> np.ndarray:
    """Return factors that give a surface faint blotches or a faint weave."""
    strength = random.uniform(0.0, 0.35)
    if random.random() < 0.6:
        return 1 + strength * (_noise(random, size, int(random.integers(6, 30))) - 0.5)
    return 1 + strength * 0.5 * np.sin(2 * np.pi * random.uniform(8, 22) * _ramp(random, size))


def _lay(
    photo: np.ndarray, layer: tuple[np.ndarray, np.ndarray], random: np.random.Generator, light: float, depth: float
) -> np.ndarray:
    """Put a layer on the photo: first its shadow, then its surface, which the light makes look round."""
    (colours, coverage), size = layer, len(photo)
    soft = _blur(coverage, size * 0.03)
    step = np.rint(np.array([np.sin(light), np.cos(light)]) * depth * size).astype(int)
    shadow = np.roll(soft, step, axis=(0, 1)) * random.uniform(0.15, 0.6)
    slope_y, slope_x = np.gradient(soft)
    slope = (slope_x * np.cos(light) + slope_y * np.sin(light)) * size
    shade = (1 + slope * 0.06 * random.uniform(0.3, 1.3)) * _surface(random, size)
    surface = np.clip(colours * shade[..., None], 0, 1)
    return _blend(coverage, photo * (1 - shadow[..., None]), surface)


def _develop(photo: np.ndarray, random: np.random.Generator, light: float) -> np.ndarray:
    """Add light, shadow, colour cast, exposure, blur and noise: (size, size, 3), 0 to 1, becomes uint8."""
    size = len(photo)
    photo = photo * (1 - random.uniform(0.1, 0.7) * _ramp(random, size, light))[..., None]
    if random.random() < 0.35:  # The soft edge of a shadow from something outside the picture.
        edge = np.clip(0.5 + (_ramp(random, size) + random.uniform(-0.3, 0.3)) * 12, 0, 1)
        photo = photo * (1 - random.uniform(0.2, 0.45) * edge)[..., None]
    photo = photo * random.uniform(0.88, 1.12, 3) * random.uniform(0.8, 1.2)
    image = Image.fromarray((np.clip(photo, 0, 1) * 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(max(0.0, random.uniform(-0.4, 1.1)) * size / 96))
    noise = random.normal(0, random.uniform(0, 10), (size, size, 1)) + random.normal(0, 2, (size, size, 3))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def paint_photo(painter: Painter, random: np.random.Generator, size: int = IMAGE_SIZE) -> np.ndarray:
    """Return a photo of what `painter` draws, in a scene that `random` chooses: uint8 (size, size, 3)."""
    light, pose = random.uniform(0, 2 * np.pi), _pose(random)
    photo = _background(random, size)
    behind = photo.mean((0, 1))
    clutter = _scatter(random, size, random.integers(2, 9), (0.04, 0.12), (0.5, 0.5), (0.2, 0.65), behind)
    photo = _lay(photo, _layer(clutter), random, light, depth=0.02)
    sheet = _sheet(size)
    painter(drawing.Pen(sheet, pose, _colours(random, behind)), random)
    thing = _layer(sheet)
    photo = _lay(photo, thing, random, light, depth=random.uniform(0.02, 0.06))
    reach = (0.5 * pose.scale, 1.2 * pose.scale)
    front = _layer(_scatter(random, size, random.integers(0, 4), (0.06, 0.16), pose.centre, reach, behind))
    if (front[1] * thing[1]).sum() <= MAXIMUM_OCCLUSION * thing[1].sum():
        photo = _lay(photo, front, random, light, depth=0.03)
    return _develop(photo, random, light)


def photo_random(class_name: str, seed: int) -> np.random.Generator:
    """Return the random stream of one photo, which depends only on its class and seed."""
    return np.random.default_rng([zlib.crc32(class_name.encode()), seed])


def draw(class_name: str, seed: int, size: int = IMAGE_SIZE) -> np.ndarray:
    """Draw one photo of a target class.

    Args:
        class_name: one of `CLASS_NAMES`.
        seed: a non-negative integer; another seed gives another photo.
        size: side in pixels, 32 or more.

    Returns:
        uint8 RGB pixels, (size, size, 3), the same for the same arguments.

    Raises:
        ValueError: the class is unknown, the seed is negative, or the size is under 32.
    """
    if class_name not in PAINTERS:
        raise ValueError(f"class_name must be one of {', '.join(CLASS_NAMES)}; got {class_name!r}")
    if seed < 0 or size < 32:
        raise ValueError(f"seed must be 0 or more and size 32 or more; got seed={seed}, size={size}")
    return paint_photo(PAINTERS[class_name], photo_random(class_name, seed), size)


def _write_class(
    folder: pathlib.Path, class_name: str, per_class: int, seed: int, size: int, progress: tqdm.tqdm
) -> None:
    folder.mkdir()
    for index in range(per_class):
        pixels = draw(class_name, seed * 100_000 + index, size)
        Image.fromarray(pixels).save(folder / f"{class_name}_{index:04d}.jpg", quality=JPEG_QUALITY)
        progress.update()


def _is_complete(folder: pathlib.Path, per_class: int) -> bool:
    expected = {f"{name}/{name}_{index:04d}.jpg" for name in CLASS_NAMES for index in range(per_class)}
    return expected == {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}


def write_photos(folder: pathlib.Path, per_class: int = 100, seed: int = 0, size: int = IMAGE_SIZE) -> pathlib.Path:
    """Write the demo's photos as `folder/<class>/<class>_0000.jpg`, unless they already exist.

    Different seeds share no photo.

    Args:
        folder: the folder to write into; created if it does not exist.
        per_class: photos per class, 1 to 100,000.
        seed: a non-negative integer.
        size: side in pixels, 32 or more.

    Returns:
        The folder's path.

    Raises:
        errors.UserError: the folder contains something else, or cannot be written.
        ValueError: `per_class` is out of range.
    """
    if not 1 <= per_class <= 100_000:
        raise ValueError(f"per_class must be 1 to 100,000; got {per_class}")

    def write(unfinished: pathlib.Path) -> None:
        with tqdm.tqdm(
            total=per_class * len(CLASS_NAMES), desc="drawing photos", unit="photo", disable=None
        ) as progress:
            for class_name in CLASS_NAMES:
                _write_class(unfinished / class_name, class_name, per_class, seed, size, progress)

    return files.complete_folder(folder, lambda found: _is_complete(found, per_class), write, "the demo's photos")
