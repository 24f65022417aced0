"""The drawn photos in another style: a second domain with the same six classes, for the demo of domain adaptation.

A style is a function of a finished picture, uint8 (size, size, 3), and a random stream. The things, their classes and
their scenes are drawn as before; only what a camera or a hand makes of them differs.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import tqdm
from PIL import Image, ImageFilter

from common import files
from common.demo import drawn_photos

FIRST_SEED = 500_000  # no picture of another style shows a scene of the demo's own photos


def fog(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put the scene into fog: little contrast, and one pale colour over all."""
    colour, weight = random.uniform(185, 235) * np.array([0.97, 1.0, 1.03]), random.uniform(0.5, 0.65)
    return _pixels(picture * (1 - weight) + colour * weight + random.normal(0, 2, picture.shape))


def dusk(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Take the photo by the light of a street lamp: dark, and much more red than blue."""
    light = random.uniform(0.5, 0.9) * np.array([0.55, 0.35, 0.25])
    return _pixels(picture * light + random.normal(0, 2, picture.shape))


def pencil(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw the outlines with a pencil on paper: grey lines where the brightness changes."""
    grey = Image.fromarray(picture).convert("L").filter(ImageFilter.MedianFilter(3))
    soft = np.asarray(grey.filter(ImageFilter.GaussianBlur(len(picture) / 40)), "float32")
    lines = np.clip(np.asarray(grey, "float32") / np.maximum(soft, 1), 0, 1) ** random.uniform(2, 3)
    paper = random.uniform(225, 250) + random.normal(0, 4, lines.shape)
    return _pixels((lines * paper)[..., None] * np.ones(3))


STYLES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "dusk": dusk, "fog": fog, "pencil": pencil,
}  # fmt: skip


def _pixels(picture: np.ndarray) -> np.ndarray:
    return picture.clip(0, 255).astype("uint8")


def draw(style: str, class_name: str, number: int, size: int = drawn_photos.IMAGE_SIZE) -> np.ndarray:
    """Draw one picture of a class in a style, uint8 (size, size, 3), the same for the same arguments."""
    seed = FIRST_SEED + number
    picture = drawn_photos.draw(class_name, seed, size)
    return STYLES[style](picture, np.random.default_rng([seed, *style.encode()]))


def write_photos(
    folder: pathlib.Path, style: str, per_class: int = 60, size: int = drawn_photos.IMAGE_SIZE
) -> pathlib.Path:
    """Write pictures as `folder/<class>/<class>_0000.jpg`, unless they already exist; arguments as for `draw`.

    Raises:
        errors.UserError: the folder contains something else, or cannot be written.
    """
    names = drawn_photos.CLASS_NAMES
    expected = {f"{name}/{name}_{number:04d}.jpg" for name in names for number in range(per_class)}

    def is_complete(found: pathlib.Path) -> bool:
        return expected == {path.relative_to(found).as_posix() for path in found.glob("*/*")}

    def write(unfinished: pathlib.Path) -> None:
        for path in tqdm.tqdm(sorted(expected), desc=f"drawing {style}", unit="photo", disable=None):
            name, number = path.partition("/")[0], int(path[-8:-4])
            (unfinished / name).mkdir(exist_ok=True)
            picture = Image.fromarray(draw(style, name, number, size))
            picture.save(unfinished / path, quality=drawn_photos.JPEG_QUALITY)

    return files.complete_folder(folder, is_complete, write, f"the drawn photos in the style {style}")
