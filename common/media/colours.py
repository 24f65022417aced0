"""Colour profiles: from the colours of a camera, a screen or a press to sRGB, which networks were trained on."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from common.media import primaries

PROFILES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's mode for each kind of profile that is applied
STEPS = 17  # along each channel of the table that tells whether a profile changes anything


def to_srgb(
    image: Image.Image, profile: bytes | None, described: primaries.Described | None = None
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a picture as sRGB in mode RGB, and notes.

    The result is that of `ImageCms.profileToProfile`. A picture without a profile, or whose profile is sRGB, keeps its
    values. Several threads may call this at a time.

    Args:
        image: mode L, RGB, CMYK or LAB.
        profile: the embedded ICC profile, None for none.
        described: what the file says on its colours without a profile, as `primaries.of` returns it.
    """
    if not profile and described and image.mode in ("L", "RGB"):
        return primaries.to_srgb(image, described), described[-1:]
    if not profile:
        return image.convert("RGB"), ()
    try:
        mode, transform = _transform(profile)
    # `ImageCmsProfile` raises an OSError, and a profile without a needed table makes the other functions fail.
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB"), ("colour profile ignored: it is damaged",)
    if mode == "RGB" and image.mode == "L":  # grey saved with the profile of a camera or a screen
        image = image.convert("RGB")
    if mode != image.mode:
        return image.convert("RGB"), ("colour profile ignored: it is for another kind of picture",)
    if transform is None:
        return image.convert("RGB"), ()
    return transform.apply(image), ("colour profile applied",)


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes) -> tuple[str, Any]:
    """Return the mode that a profile is for, "" for an unusual one, and its transform; None if it changes nothing.

    Without `NOCACHE`, threads must not share a transform (https://www.littlecms.com, "cmsFLAGS_NOCACHE").
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = PROFILES.get(opened.profile.xcolor_space.strip(), "")
    if not mode:
        return "", None
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(opened, srgb, mode, "RGB", flags=ImageCms.Flags.NOCACHE)
    if mode == "CMYK":
        return mode, transform
    table = _table(mode)
    changed = np.asarray(ImageCms.applyTransform(table, transform)).astype(int) - np.asarray(table.convert("RGB"))
    return mode, transform if np.abs(changed).max() > 1 else None


def _table(mode: str) -> Image.Image:
    """Return a picture of evenly spaced colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
    steps = np.linspace(0, 255, STEPS).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(STEPS, -1, 3))
