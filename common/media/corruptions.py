"""Graded corruptions of a photo: light, blur, noise, JPEG, rotation, cropping, occlusion and colour.

Each kind has five severities, as in ImageNet-C (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261), from
which the levels of noise and JPEG are taken. Lengths are shares of the photo's side, so they suit every network. The
photo has the network's size already. The noise of a larger photo would be averaged away by the resizing.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

Name = Literal[
    "darker", "brighter", "blur", "noise", "jpeg", "rotation", "crop", "occlusion", "colour_cast", "fading"
]  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)
GREY = 128  # what covers a part of the photo


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of corruption.

    Attributes:
        title: its name in texts.
        levels: the amounts of the five severities, in the unit of `told`.
        told: formats an amount with its unit.
        meaning: what changes, in words.
        change: from a uint8 photo (height, width, 3), an amount and a random generator to the changed photo.
    """

    title: str
    levels: tuple[float, ...]
    told: str
    meaning: str
    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

    def level(self, severity: int) -> str:
        """Return the amount of a severity, 1 to 5, with its unit."""
        return self.told.format(self.levels[severity - 1])


def corrupted(pixels: np.ndarray, name: str, severity: int, seeds: Sequence[int]) -> np.ndarray:
    """Return a photo or clip with one corruption, uint8; all frames of a clip are changed equally.

    What is random, such as the direction of a rotation, depends only on the kind and on `seeds`, so the severities of
    one photo differ in the amount only.

    Args:
        pixels: RGB 0–255, (height, width, 3), or (frames, height, width, 3) for a clip; other numbers are rounded.
        name: a kind of `KINDS`.
        severity: 1 to 5.
        seeds: integers from 0 that identify the photo.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be from 1 to {len(SEVERITIES)}, got {severity}")
    kind, number = KINDS[name], list(KINDS).index(name)
    whole = np.clip(np.round(pixels), 0, 255).astype("uint8")
    frames = whole.reshape(-1, *whole.shape[-3:])
    changed = [
        kind.change(frame, kind.levels[severity - 1], np.random.default_rng([*seeds, number])) for frame in frames
    ]
    return np.stack(changed).reshape(whole.shape)


# Light and colour -------------------------------------------------------------------------------------------------


def _exposure(pixels: np.ndarray, stops: float, _: np.random.Generator) -> np.ndarray:
    """Multiply the light by 2 to the power of `stops`; pixels are sRGB (IEC 61966-2-1), which is not linear."""
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) * 2.0**stops
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return _whole(value * 255)[pixels]


def _colour_cast(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    """Make red stronger and blue weaker, or the other way round, as a wrong white balance does."""
    tilt = _sign(generator) * percent / 100
    return _whole(pixels * np.array([1 + tilt, 1, 1 - tilt]))


def _fading(pixels: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
    """Leave a share of the colour; with 0 the photo is grey."""
    return np.asarray(ImageEnhance.Color(Image.fromarray(pixels)).enhance(percent / 100))


# Sharpness --------------------------------------------------------------------------------------------------------


def _blur(pixels: np.ndarray, percent: float, _: np.random.Generator) -> np.ndarray:
    radius = percent / 100 * min(pixels.shape[:2])  # Pillow's radius is the standard deviation, in pixels
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _noise(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    return _whole(pixels + generator.normal(scale=percent / 100 * 255, size=pixels.shape))


def _jpeg(pixels: np.ndarray, quality: float, _: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=int(quality))
    return np.asarray(Image.open(file).convert("RGB"))


# Geometry ---------------------------------------------------------------------------------------------------------


def _rotation(pixels: np.ndarray, degrees: float, generator: np.random.Generator) -> np.ndarray:
    """Rotate to the left or right; the corners are filled by reflection, as in the augmentation."""
    height, width = pixels.shape[:2]
    border = math.ceil((math.hypot(height, width) - min(height, width)) / 2) + 1
    padded = Image.fromarray(np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="symmetric"))
    turned = padded.rotate(_sign(generator) * degrees, Image.Resampling.BILINEAR)
    return np.asarray(turned)[border : border + height, border : border + width]


def _crop(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    """Keep a part anywhere in the photo, with `percent` of its sides, and enlarge it to the photo's size."""
    height, width = pixels.shape[:2]
    x, y = generator.random(2) * (1 - percent / 100)
    box = (x * width, y * height, (x + percent / 100) * width, (y + percent / 100) * height)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box=box))


def _occlusion(pixels: np.ndarray, percent: float, generator: np.random.Generator) -> np.ndarray:
    """Cover `percent` of the area by a grey rectangle in the proportions of the photo, anywhere in it."""
    height, width = pixels.shape[:2]
    down, across = (round(side * math.sqrt(percent / 100)) for side in (height, width))
    x, y = generator.random(2)
    top, left = round(y * (height - down)), round(x * (width - across))
    covered = pixels.copy()
    covered[top : top + down, left : left + across] = GREY
    return covered


def _sign(generator: np.random.Generator) -> int:
    return int(generator.choice((-1, 1)))


def _whole(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype("uint8")


KINDS: dict[str, Kind] = {
    "darker": Kind("darker", (-1, -2, -3, -4, -5), "{:+g} EV", "half the light per EV", _exposure),
    "brighter": Kind("brighter", (0.5, 1, 1.5, 2, 2.5), "{:+g} EV", "twice the light per EV", _exposure),
    "blur": Kind("blur", (0.5, 1, 1.5, 2, 3), "{:g} %", "Gaussian, standard deviation in % of the side", _blur),
    "noise": Kind("noise", (8, 12, 18, 26, 38), "{:g} %", "Gaussian, standard deviation in % of white", _noise),
    "jpeg": Kind("JPEG", (25, 18, 15, 10, 7), "quality {:g}", "saved with this quality", _jpeg),
    "rotation": Kind("rotation", (5, 10, 20, 30, 45), "{:g}°", "to the left or right", _rotation),
    "crop": Kind("crop", (90, 80, 70, 60, 50), "{:g} %", "% of the side that is left, anywhere in the photo", _crop),
    "occlusion": Kind("occlusion", (5, 10, 20, 30, 40), "{:g} %", "% of the area behind a grey box", _occlusion),
    "colour_cast": Kind(
        "colour cast", (10, 20, 30, 40, 50), "{:g} %", "red up and blue down by this much, or the reverse", _colour_cast
    ),
    "fading": Kind("fading", (80, 60, 40, 20, 0), "{:g} %", "% of the colour that is left; 0 is grey", _fading),
}
