"""Photos with 16 bits per sample: what counts as white, and all bits of colours, of which Pillow keeps eight."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import ExifTags, Image

# The largest sample of 8, 10, 12, 14 and 16 bits. Cameras and scanners store all of them in 16 bits, unscaled.
WHITES = (255, 1023, 4095, 16383, 65535)
WHITE = WHITES[-1]

_OPPOSITE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # of big, little and native order


def white_of(largest: Iterable[int]) -> int:
    """Return the sample that is white in photos with these largest samples: the deepest photo decides for all.

    Args:
        largest: 0 for a photo that does not have 16 bits; without any other, the result is `WHITE`.
    """
    deepest = max(largest, default=0) or WHITE
    return next(white for white in WHITES if deepest <= white)


def remark(white: int) -> str:
    """Return a sentence about a white below `WHITE`; "" for that one."""
    return "" if white == WHITE else f"no 16-bit file has a value above {white:,}, so {white:,} is read as white"


def is_deep(image: Any) -> bool:
    """Return whether an open photo that is not loaded yet has 16-bit samples: grey, RGB, or either with alpha."""
    return image.mode.startswith("I;16") or (image.mode in ("RGB", "RGBA") and bool(_order(image)))


def _order(image: Any) -> str:
    """Return the byte order of 16-bit colours, B, L or N; "" for other samples."""
    raw_modes = {_raw_mode(tile) for tile in image.tile}
    orders = {mode[-1] for mode in raw_modes if mode[-4:-1] == ";16" and mode[-1] in _OPPOSITE}
    return orders.pop() if len(orders) == len(raw_modes) == 1 else ""


def _raw_mode(tile: Any) -> str:
    return str(tile.args if isinstance(tile.args, str) else tile.args[0])


def as_8_bits(image: Any, open_again: Callable[[], Any], white: int | None = None) -> tuple[Image.Image, int]:
    """Return a photo for which `is_deep` holds with 8 bits per sample, and its largest sample.

    Args:
        image: the open photo, which is loaded here.
        open_again: opens it anew, because colours are decoded twice.
        white: the sample that becomes 255, also for larger ones; None decides by the photo's own largest sample.
    """
    if _has_12_bits(image):
        samples, white, largest = _grey(image), 4095, 0  # the file itself says what is white
    else:
        samples = _grey(image) if image.mode.startswith("I;16") else _colours(image, open_again)
        largest = int(samples[..., : _colour_channels(samples)].max())
        white = white or white_of([largest])
    transparent = image.info.get("transparency")
    pixels = _scaled(samples, white)
    if getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0:  # TIFF's "white is zero"
        pixels = 255 - pixels
    shown = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if transparent is not None:  # one colour, in 16 bits
        shown.putalpha(Image.fromarray(np.where((samples == transparent).all(axis=2), 0, 255).astype(np.uint8)))
    shown.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return shown, largest


def _has_12_bits(image: Any) -> bool:
    return getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample) == (12,)


def _colour_channels(samples: np.ndarray) -> int:
    return samples.shape[2] - (samples.shape[2] in (2, 4))  # without alpha


def _grey(image: Any) -> np.ndarray:
    image.load()
    return np.array(image).astype(np.uint16)[..., np.newaxis]


def _colours(image: Any, open_again: Callable[[], Any]) -> np.ndarray:
    """Return the samples, uint16 (height, width, 2 to 4). Told the opposite byte order, Pillow keeps the lower byte."""
    if _raw_mode(image.tile[0]) == "LA;16B":  # no opposite in Pillow; both bytes of both channels are read as colours
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        upper_first = np.array(image).astype(np.uint16)
        return upper_first[..., ::2] << 8 | upper_first[..., 1::2]
    opposite = _OPPOSITE[_order(image)]
    with open_again() as other:
        other.tile = [_with_order(tile, opposite) for tile in other.tile]
        lower = np.array(other)
    image.load()
    return np.array(image).astype(np.uint16) << 8 | lower


def _with_order(tile: Any, order: str) -> Any:
    mode = _raw_mode(tile)[:-1] + order
    return tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:]))


def _scaled(samples: np.ndarray, white: int) -> np.ndarray:
    """Return samples as 0–255; an alpha channel that exceeds the white of the colours has its full range."""
    table = np.rint(np.minimum(np.arange(WHITE + 1), white) * (255 / white)).astype(np.uint8)
    pixels = table[samples]
    if _colour_channels(samples) < samples.shape[2] and samples[..., -1].max() > white:
        pixels[..., -1] = samples[..., -1] >> 8
    return pixels
