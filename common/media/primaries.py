"""Colours without a profile: a PNG's gamma and primaries (gAMA, cHRM), and Adobe RGB as cameras mark it in EXIF."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from PIL import ExifTags, Image

# x and y of white, red, green and blue in the CIE diagram of 1931, as in a PNG's cHRM.
SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
ADOBE_GAMMA = 256 / 563  # Adobe RGB (1998), 4.3.1.2
SRGB_GAMMA = 0.45455
NEAR = 0.02  # gammas and coordinates that differ by less are rounding
# Bradford's cones, in which a white is adapted to another (Lindbloom, http://www.brucelindbloom.com).
CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Described = tuple[float, tuple[float, ...], str]


def of(image: Any) -> Described | None:
    """Return the gamma, the primaries and a note on the colours that a file describes; None for those of sRGB.

    A profile and a PNG's sRGB chunk go before (PNG, third edition, 4.3). A camera marks Adobe RGB by the colour space
    "uncalibrated" and the interoperability index R03 (Exif 2.32, 4.6.7), or by the colour space 2.

    Args:
        image: an opened file.
    """
    if image.info.get("icc_profile"):
        return None
    if image.format == "PNG":
        return None if "srgb" in image.info else _of_png(image.info)
    if image.format not in ("JPEG", "MPO", "TIFF", "WEBP", "HEIF", "AVIF"):
        return None
    try:
        exif = image.getexif()
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(1, "")
    except Exception:  # damaged EXIF data raise errors like damaged files, but the pixels are fine
        return None
    if space == 2 or (space == 0xFFFF and str(index).startswith("R03")):
        return ADOBE_GAMMA, ADOBE_RGB, "Adobe RGB converted"
    return None


def _of_png(info: dict) -> Described | None:
    gamma, primaries = info.get("gamma"), info.get("chromaticity")
    if not gamma or not 0.1 < gamma < 2.5:  # primaries alone say nothing on the curve
        return None
    if not primaries or not _is_triangle(primaries):
        primaries = SRGB
    if abs(gamma - SRGB_GAMMA) < NEAR and np.allclose(primaries, SRGB, atol=NEAR):
        return None
    return gamma, tuple(primaries), "PNG gamma applied"


def _is_triangle(primaries: tuple[float, ...]) -> bool:
    """Return whether the colours span a triangle, without which they are damaged."""
    white, red, green, blue = np.reshape(primaries, (4, 2))
    area = np.linalg.det(np.stack([green - red, blue - red]))
    return bool(min(white[1], red[1], green[1], blue[1]) > 0 and abs(area) > 0.01 and np.max(primaries) <= 1)


def to_srgb(image: Image.Image, described: Described) -> Image.Image:
    """Return a picture of 8 bits in sRGB.

    Args:
        image: mode L or RGB.
        described: the gamma, primaries and note of its colours.
    """
    gamma, primaries, _ = described
    pixels = np.asarray(image.convert("RGB"))
    light = np.linspace(0, 1, 256, dtype="float32") ** (1 / gamma)
    if np.allclose(primaries, SRGB, atol=NEAR):
        return Image.fromarray(_encoded(light)[pixels])
    matrix = np.linalg.inv(_to_xyz(SRGB)) @ _to_xyz(primaries)
    return Image.fromarray(_encoded(light[pixels] @ matrix.T.astype("float32")))


def _encoded(light: np.ndarray) -> np.ndarray:
    """Return light from 0 to 1 as sRGB's values (IEC 61966-2-1), uint8."""
    light = light.clip(0, 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * values).round().astype("uint8")


@functools.lru_cache(maxsize=16)
def _to_xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """Return the matrix from linear red, green and blue to XYZ, with white adapted to that of sRGB."""
    white, *colours = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in np.reshape(primaries, (4, 2)))
    columns = np.stack(colours, axis=1)
    matrix = columns * np.linalg.solve(columns, white)
    x, y = SRGB[:2]
    there = CONES @ [x / y, 1, (1 - x - y) / y]
    return np.linalg.inv(CONES) @ np.diag(there / (CONES @ white)) @ CONES @ matrix
