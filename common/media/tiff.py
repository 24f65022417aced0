"""TIFF files of other kinds than photos: several pages, more bands than colours, samples without a known range."""

import io
from typing import Any

from PIL import TiffImagePlugin
from PIL.ExifTags import Base

_REDUCED, _MASK = 1, 4  # bits of a page's tag NewSubfileType
_SIGNED, _FLOATING = 2, 3  # in the tag SampleFormat
_CMYK = 5  # in the tag PhotometricInterpretation
_NEEDED = {Base.ImageWidth, Base.PhotometricInterpretation}
_PLACES = {Base.StripOffsets, Base.TileOffsets}
_ADVICE = "their range is unknown; save it with 8 or 16 bits, unsigned"


def whole_pages(image: Any) -> list[int]:
    """Return the numbers of an open file's pages that are not a reduced copy or a mask of another one."""
    pages = []
    for page in range(image.n_frames):
        image.seek(page)
        if not image.tag_v2.get(Base.NewSubfileType, 0) & (_REDUCED | _MASK):
            pages.append(page)
    return pages


def tags_of(content: bytes) -> Any:
    """Return the tags of a file's first page, which Pillow may not open; none of a damaged file or another format."""
    if not content.startswith((b"II*\0", b"MM\0*")):
        return {}
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        found = dict(tags)
    except Exception:  # as Pillow's plugins raise for damaged files: struct.error, SyntaxError, KeyError, …
        return {}
    return found if found.keys() >= _NEEDED and found.keys() & _PLACES else {}


def unusual(tags: Any, is_open: bool = True) -> str:
    """Return why the picture with these tags cannot be read as grey or RGB, and what to do; "" if it can.

    Pillow opens some of these pictures, but drops bands, and clips or reinterprets samples.

    Args:
        tags: tag → value; "" is returned without any.
        is_open: Pillow has opened the file.
    """
    if not tags:
        return ""
    bands, bits = _number(tags, Base.SamplesPerPixel), _number(tags, Base.BitsPerSample)
    sample_format = _number(tags, TiffImagePlugin.SAMPLEFORMAT)
    most = 5 if tags.get(Base.PhotometricInterpretation) == _CMYK else 4  # one for alpha
    if bands > most:
        return f"{bands} bands: only grey and RGB are read; save the bands that you want as an RGB PNG"
    if sample_format == _FLOATING:
        return f"floating-point samples: {_ADVICE}"
    if sample_format == _SIGNED:
        return f"signed {bits}-bit samples: {_ADVICE}"
    if bits > 16:
        return f"{bits}-bit samples: {_ADVICE}"
    return "" if is_open else f"unusual TIFF: {bands} bands of {bits} bits; convert it to PNG"


def _number(tags: Any, tag: int) -> int:
    """Return the largest number of a tag, 1 if it is missing or not a number."""
    values = tags.get(tag, 1)
    numbers = [value for value in (values if isinstance(values, tuple) else (values,)) if isinstance(value, int)]
    return max(numbers, default=1)


def notes(image: Any) -> list[str]:
    """Return notes on an open file, at the page that is read."""
    found = []
    if image.n_frames > 1:
        found.append("reduced copy in the file ignored")
    if image.mode == "RGB" and _number(image.tag_v2, Base.SamplesPerPixel) == 4:
        found.append("fourth band ignored: it is neither a colour nor alpha")
    return found
