"""What a photo's file tells besides its picture: how it was saved, by which camera and when; its border's colour."""

import contextlib
import datetime
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import ExifTags

Properties = dict[str, float | str]  # a number, or a name of one kind of several

COLOURS = ("red", "green", "blue")
EDGE = 16  # the border is this part of the shorter side
DATES = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTime)


def properties(image: Any) -> Properties:
    """Return the properties of an opened image, which is not decoded; what it does not have is left out.

    They are the mode, the JPEG quantisation tables (a name for each combination, and the mean of the first table: the
    larger, the stronger the compression), the colour profile, the camera and the date (days since the year 1).
    """
    found: Properties = {"mode": image.mode}
    if tables := getattr(image, "quantization", None):
        found["JPEG quantisation tables"] = hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()[:8]
        found["JPEG compression"] = float(np.mean(tables[min(tables)]))
    if profile := image.info.get("icc_profile"):
        found["colour profile"] = hashlib.sha256(profile).hexdigest()[:8]
    return found | _of_exif(image.getexif)


def _of_exif(read: Callable[[], Any]) -> Properties:
    """Return camera and date; nothing for a damaged header, which is no problem for the picture."""
    try:
        exif = read()
        both = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
        names = [str(both.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
        found: Properties = {"EXIF camera": " ".join(filter(None, names))} if any(names) else {}
        if date := next((str(both[tag]) for tag in DATES if tag in both), ""):
            with contextlib.suppress(ValueError):  # such as 0000:00:00
                taken = datetime.datetime.strptime(date[:19], "%Y:%m:%d %H:%M:%S")
                found["EXIF date"] = taken.toordinal() + taken.hour / 24
    except Exception:  # Pillow raises various errors, as for damaged files
        return {}
    return found


def border(pixels: np.ndarray) -> Properties:
    """Return the mean colour of the border, from 0 to 255, of uint8 pixels (height, width, 3)."""
    depth = max(1, min(pixels.shape[:2]) // EDGE)
    inside = pixels[depth:-depth, depth:-depth]
    edge = pixels.sum(axis=(0, 1), dtype="int64") - inside.sum(axis=(0, 1), dtype="int64")
    mean = edge / (pixels.shape[0] * pixels.shape[1] - inside.shape[0] * inside.shape[1])
    return {f"{name} of the border": round(float(value), 2) for name, value in zip(COLOURS, mean, strict=True)}
