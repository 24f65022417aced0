"""Drawn photos with several things and their boxes: the demo of object detection.

The things are those of the drawn photos, smaller and several at once, and the scenes have the same difficulties. A box
goes around all that is drawn of a thing, also where something else covers it.
"""

from __future__ import annotations

import colorsys
import copy
import pathlib
import zlib
from xml.sax import saxutils

import numpy as np
import tqdm
from PIL import Image

from common import files
from common.demo import drawing, drawn_photos

SIZE = 192  # pixels; a thing has 40 to 80, as in the photos that the demo's network has learnt from
PHOTOS = 240
MOST = 6  # things in a photo
LEAST_APART = 0.15  # the largest share of a thing's box that another one may cover
TRIES = 20  # places that are tried for a thing

Thing = tuple[str, float, float, float, float]  # class, left, top, right, bottom in pixels


def draw(number: int, size: int = SIZE) -> tuple[np.ndarray, list[Thing]]:
    """Return a photo, uint8 (size, size, 3), and the things in it; the same for the same number."""
    random = np.random.default_rng([zlib.crc32(b"scene"), number])
    things: list[tuple[str, drawing.Pose, list[drawing.Colour], int]] = []
    boxes: list[Thing] = []
    for _ in range(random.integers(1, MOST + 1)):
        name = drawn_photos.CLASS_NAMES[random.integers(len(drawn_photos.CLASS_NAMES))]
        for _ in range(TRIES):
            thing = name, _pose(random), _colours(random), int(random.integers(2**31))
            box = _box(thing, size)
            if box and all(_covered(box, other) <= LEAST_APART for other in boxes):
                things.append(thing)
                boxes.append(box)
                break

    def paint(pen: drawing.Pen, _: np.random.Generator) -> None:
        for thing in things:
            _paint(pen, thing)

    return drawn_photos.paint_photo(paint, random, size), boxes


def _pose(random: np.random.Generator) -> drawing.Pose:
    scale = random.uniform(0.10, 0.21)
    return drawing.Pose(
        centre=0.5 + random.uniform(-1, 1, 2) * (0.52 - scale), scale=scale, turn=np.radians(random.normal(0, 22)),
        stretch=random.uniform(0.85, 1.18), shear=random.uniform(-0.2, 0.2), tilt=random.uniform(-0.18, 0.18, 2),
        mirrored=random.random() < 0.5,
    )  # fmt: skip


def _colours(random: np.random.Generator) -> list[drawing.Colour]:
    """Return the four colours of a pen; the last one is dark."""
    values = ((0.4, 1.0), (0.5, 1.0), (0.5, 1.0), (0.05, 0.3))
    return [
        tuple(int(255 * part) for part in colorsys.hsv_to_rgb(random.random(), random.uniform(0.1, 0.85),
                                                              random.uniform(*value)))
        for value in values
    ]  # fmt: skip


def _paint(pen: drawing.Pen, thing: tuple) -> None:
    """Paint a thing on the canvas of a pen, with its own pose and colours."""
    name, pose, colours, seed = thing
    own = copy.copy(pen)
    own.pose = pose
    own.body, own.trim, own.detail, own.ink = colours
    drawn_photos.PAINTERS[name](own, np.random.default_rng(seed))


def _box(thing: tuple, size: int) -> Thing | None:
    """Return the box around all that is drawn of a thing, None if nothing is inside of the photo."""
    sheet = Image.new("RGBA", (size, size))
    _paint(drawing.Pen(sheet, thing[1], thing[2]), thing)
    found = sheet.getchannel("A").getbbox()
    return (thing[0], *map(float, found)) if found else None


def _covered(box: Thing, other: Thing) -> float:
    """Return the share of the smaller of two boxes that the other covers."""
    (_, *one), (_, *two) = box, other
    across, down = (min(one[side + 2], two[side + 2]) - max(one[side], two[side]) for side in (0, 1))
    smaller = min((each[2] - each[0]) * (each[3] - each[1]) for each in (one, two))
    return max(0.0, across) * max(0.0, down) / smaller


def voc(name: str, size: int, boxes: list[Thing]) -> str:
    """Return the annotation of a photo in the format of Pascal VOC, which counts pixels from 1."""
    objects = "".join(
        f"<object><name>{saxutils.escape(label)}</name><bndbox><xmin>{left + 1:g}</xmin><ymin>{top + 1:g}</ymin>"
        f"<xmax>{right:g}</xmax><ymax>{bottom:g}</ymax></bndbox></object>\n"
        for label, left, top, right, bottom in boxes
    )
    return (
        f"<annotation>\n<filename>{name}</filename>\n<size><width>{size}</width><height>{size}</height>"
        f"<depth>3</depth></size>\n{objects}</annotation>\n"
    )


def write_photos(folder: pathlib.Path, count: int = PHOTOS, size: int = SIZE) -> pathlib.Path:
    """Write `photos/*.jpg` and `annotations/*.xml` into a folder, unless they already exist; return the folder.

    Raises:
        errors.UserError: the folder contains something else, or cannot be written.
    """
    stems = [f"scene_{number:04d}" for number in range(count)]
    expected = {f"photos/{stem}.jpg" for stem in stems} | {f"annotations/{stem}.xml" for stem in stems}

    def is_complete(found: pathlib.Path) -> bool:
        return expected == {path.relative_to(found).as_posix() for path in found.glob("*/*")}

    def write(unfinished: pathlib.Path) -> None:
        for kind in ("photos", "annotations"):
            (unfinished / kind).mkdir()
        for number, stem in enumerate(tqdm.tqdm(stems, desc="drawing scenes", unit="photo", disable=None)):
            pixels, boxes = draw(number, size)
            Image.fromarray(pixels).save(unfinished / "photos" / f"{stem}.jpg", quality=drawn_photos.JPEG_QUALITY)
            text = voc(f"{stem}.jpg", size, boxes)
            (unfinished / "annotations" / f"{stem}.xml").write_text(text, encoding="utf-8")

    return files.complete_folder(folder, is_complete, write, "the demo's scenes")
