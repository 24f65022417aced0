"""Reading one photo: the same function for the scan, the training, the report and predict.

`read` returns a photo as a viewer shows it: upright according to its EXIF orientation, in RGB, with transparent areas
on white. A file that cannot be shown like that is an `ImageError`, which says what is wrong and what to do.
"""

import base64
import ctypes
import dataclasses
import functools
import hashlib
import io
import logging
import os
import re
import stat
import warnings
from typing import Any

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageFile

from common import errors
from common.media import medium

# The formats for each extension; files with these extensions count as photos.
_FORMATS_BY_EXTENSION = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".jfif": ("JPEG", "MPO"),
    ".png": ("PNG",),
    ".webp": ("WEBP",),
    ".bmp": ("BMP",),
    ".gif": ("GIF",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
    ".avif": ("AVIF",),
}
EXTENSIONS = tuple(_FORMATS_BY_EXTENSION)

# Pillow is restricted to these formats: others are unsafe, such as EPS, whose plugin starts Ghostscript. The JPEG
# plugin also opens MPO, a JPEG with a second picture that many phones write.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Pillow's own limit (a quarter of a gigabyte at three bytes per pixel), where it only warns.
MAX_PIXELS = 1024**3 // 4 // 3

# A file of MAX_PIXELS uncompressed 16-bit RGBA pixels has 716 MB; a larger file is not a photo.
MAX_BYTES = 1024**3

# The smallest pictures that people classify (the digits of scikit-learn) have 8x8 pixels. A smaller one is a tracking
# pixel, a spacer or a cropping mistake.
MIN_SIDE = 8

SMALL = 32  # pixels per side of the picture that the scan keeps

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_COPY_AGAIN = "copy or download it again"
_CONVERT = "convert it to JPEG"

# The first bytes of common files that are not photos, their names, and advice for the user.
_LOOKS_LIKE = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, advice)
    for pattern, kind, advice in (
        (rb".{0,400}<(!doctype\s+)?html", "an HTML page saved in place of the photo", _COPY_AGAIN),
        (rb".{0,400}<svg", "an SVG drawing", _CONVERT),
        (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML file", _COPY_AGAIN),
        (rb"version https://git-lfs", "a Git LFS pointer", "fetch the photo with `git lfs pull`"),
        (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC photo", _CONVERT),
        (rb".{4}ftyp", "a video", "save a frame of it as JPEG"),
        (rb"%PDF", "a PDF document", "save its picture as JPEG"),
        (rb"%!PS", "a PostScript drawing", _CONVERT),
        (rb"8BPS", "a Photoshop file", _CONVERT),
        (rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51)", "a JPEG 2000 photo", _CONVERT),
        (rb"(\0\0\0\x0cJXL |\xff\x0a)", "a JPEG XL photo", _CONVERT),
        (rb"PK\x03\x04", "a ZIP archive", "unpack it"),
        (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    )
)

# The first bytes of the allowed formats, for files that are too damaged to be opened.
_OURS = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF.{4}WEBP|GIF8|BM.{4}\0{4}|II[*+]\0|MM\0[*+]|.{4}ftypavi[fs]", re.DOTALL)


class ImageError(errors.UnusableFile):
    """A file that cannot be used as a photo."""


@dataclasses.dataclass(frozen=True)
class Photos(medium.Medium):
    """Photos, one per file."""

    name = "photos"
    unit = "photo"
    extensions = EXTENSIONS
    decoder = f"Pillow {PIL.__version__}"
    most_pixels = MAX_PIXELS
    explained_by = "classes"

    @property
    def shape(self) -> tuple[int | None, ...]:
        return None, None, 3

    def inspect(self, path: str | os.PathLike) -> medium.Facts:
        return inspect(path)

    def read(self, path: str | os.PathLike, look: medium.Look = medium.PLAIN) -> np.ndarray:
        return read(path)

    def thumbnail(self, path: str | os.PathLike) -> np.ndarray:
        return read(path)


@dataclasses.dataclass(frozen=True)
class _Picture:
    """A decoded photo: uint8 pixels (height, width, 3), its format, and notes about special handling."""

    pixels: np.ndarray
    format: str
    notes: tuple[str, ...]


PHOTOS = Photos()


def read(path: str | os.PathLike) -> np.ndarray:
    """Return a photo as a uint8 array of shape (height, width, 3), RGB from 0 to 255.

    The EXIF orientation is applied. CMYK, grey, palette and 1-bit pictures are converted to RGB; transparent ones are
    composited on white; 16-bit ones are scaled to 8 bits. Colour profiles (ICC) are ignored, as they were for the
    photos that the published backbones were trained on. Several threads may call this at a time.

    Raises:
        ImageError: the file cannot be used; its message does not name the path.
    """
    return _decode(_content(path)).pixels


def inspect(path: str | os.PathLike) -> medium.Facts:
    """Return the facts about any file; the whole picture is decoded, as in `read`."""
    path = os.fspath(path)
    content = b""
    try:
        content = _content(path)
        picture = _decode(content)
    except ImageError as error:
        return medium.Facts(path=path, bytes=len(content), sha256=_sha256(content), problem=str(error))
    height, width, _ = picture.pixels.shape
    return medium.Facts(
        path=path, bytes=len(content), sha256=_sha256(content), format=picture.format, width=width, height=height,
        notes=_note_name(path, picture.format) + picture.notes, small=small_grey(picture.pixels),
    )  # fmt: skip


def small_grey(pixels: np.ndarray) -> str:
    """Return a photo as `SMALL` x `SMALL` grey pixels, base64: what is needed to find its copies.

    Args:
        pixels: uint8 (height, width, 3).
    """
    grey = Image.fromarray(pixels).convert("L").resize((SMALL, SMALL), Image.Resampling.BOX)
    return base64.b64encode(grey.tobytes()).decode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if content else ""


def _note_name(path: str, picture_format: str) -> tuple[str, ...]:
    """Return a note if the extension stands for another format than the content."""
    extension = os.path.splitext(path)[1].lower()
    if picture_format in _FORMATS_BY_EXTENSION.get(extension, (picture_format,)):
        return ()
    return (f"{picture_format} named {extension}",)


def _content(path: str | os.PathLike) -> bytes:
    """Return the bytes of a file; it is read only once, so that hash and pixels belong to the same content."""
    try:
        _check_file(os.stat(path))
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        what = "a link to nothing" if os.path.islink(path) else "there is no such file"
        raise ImageError(f"missing: {what}; correct the path or remove the entry") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"unreadable: {reason}; check the path and its permissions") from error
    if not content:
        raise ImageError(f"empty: it has zero bytes; {_COPY_AGAIN}")
    return content


def _check_file(status: os.stat_result) -> None:
    """Raise an error for folders and very large files, and for pipes, which could block forever."""
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("not a file: it is a folder; rename or remove it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a file: it is a pipe, a socket or a device; remove it")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"too large: {status.st_size / 1e9:.1f} GB; save it as JPEG")


def _decode(content: bytes) -> _Picture:
    """Return the `_Picture` in a file's content; every failure is an `ImageError`."""
    _set_up_pillow()
    try:
        return _decode_with_pillow(content)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels() from error
    except MemoryError as error:
        raise ImageError("too large: there is not enough memory to decode it; scale it down") from error
    # On a damaged file, Pillow's plugins raise various errors: struct.error, SyntaxError, ZeroDivisionError,
    # OverflowError, KeyError, …
    except Exception as error:
        raise _explained(error, content) from error


def _set_up_pillow() -> None:
    """Make Pillow strict about truncated files and silent about unusual ones; cheap if already done.

    It is repeated for every file because other code can undo it. Some libraries set LOAD_TRUNCATED_IMAGES, which turns
    a truncated photo into a half grey one. `warnings.catch_warnings`, which is not thread-safe before Python 3.14,
    resets the filters.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    if ("ignore", None, Warning, re.compile(r"PIL\."), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    _silence_libtiff()


@functools.cache
def _silence_libtiff() -> None:
    """Remove libtiff's error handler, which writes to the terminal directly and not through Python."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            libraries = {line.split(maxsplit=5)[5].strip() for line in maps if "/libtiff" in line}
        for library in libraries:
            ctypes.CDLL(library).TIFFSetErrorHandler(None)
    except (OSError, AttributeError):
        pass  # not on Linux: a damaged TIFF is still refused, but libtiff prints its own message too


def _decode_with_pillow(content: bytes) -> _Picture:
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        _check_header(image)
        notes = _note_header(image)
        if image.format == "PNG":
            _check_png_sums(content)
        picture_format = str(image.format)
        image.load()
        upright, rotation_notes = _turn_upright(image)
        pixels, colour_notes = _to_rgb(upright)
    return _Picture(pixels, picture_format, notes + rotation_notes + colour_notes)


def _check_header(image: ImageFile.ImageFile) -> None:
    """Raise an error, before decoding, for a photo that is too large or too small, or several photos in one file."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(f"{width:,} x {height:,} pixels, ")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"too small: {width} x {height} pixels, needs at least {MIN_SIDE} on each side; remove it")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format == "TIFF":
        raise ImageError(f"several pages: {frames}; save the one that you want as JPEG or PNG")
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"animated: {frames} frames; save the one that you want as JPEG or PNG")
    if image.mode in ("I", "F"):
        raise ImageError("32-bit samples: their range is unknown; save it with 8 or 16 bits")


def _too_many_pixels(size: str = "") -> ImageError:
    return ImageError(f"too many pixels: {size}more than {MAX_PIXELS:,} (decompression bomb?); scale it down")


def _note_header(image: Any) -> tuple[str, ...]:
    notes = []
    if image.format == "MPO":
        notes.append("first picture of several taken")
    if image.format == "TIFF" and image.tag_v2.get(ExifTags.Base.Orientation) in _UPRIGHT:
        notes.append("EXIF rotation applied")  # Pillow rotates a TIFF while loading it
    if any(";16" in str(tile[3]) for tile in image.tile):
        notes.append("16-bit scaled")
    return tuple(notes)


def _check_png_sums(content: bytes) -> None:
    """Check all checksums of a PNG; Pillow skips those of the pixels while decoding."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        image.verify()


def _turn_upright(image: Any) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the loaded image in its EXIF orientation, and notes."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        transposition = _UPRIGHT.get(orientation)
    except Exception:  # damaged EXIF data raise errors like damaged files, but the pixels are fine
        return image, ("damaged EXIF data ignored",)
    if transposition is None:
        return image, ()
    return image.transpose(transposition), ("EXIF rotation applied",)


def _to_rgb(image: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a loaded image as uint8 pixels (height, width, 3), and notes."""
    if image.mode.startswith("I;16"):
        return _scale_16_bit(image), ("grey",)
    notes = _note_mode(image.mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            notes += ("alpha composited on white",)
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB")), notes


def _note_mode(mode: str) -> tuple[str, ...]:
    if mode in ("1", "L", "LA", "La"):
        return ("1-bit expanded", "grey") if mode == "1" else ("grey",)
    if mode in ("P", "PA"):
        return ("palette expanded",)
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return (f"{mode} converted",)
    return ()


def _scale_16_bit(image: Any) -> np.ndarray:
    """Return 16-bit grey as 8-bit RGB: 65535 becomes 255, while Pillow would clip at 255."""
    samples = np.array(image)
    tags = getattr(image, "tag_v2", {})
    white = 4095 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 65535
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # TIFF's "white is zero"
        samples = white - samples
    if "transparency" in image.info:  # the single transparent grey value of a PNG
        samples = np.where(samples == image.info["transparency"], white, samples)
    grey = np.rint(samples * np.float32(255 / white)).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _explained(error: Exception, content: bytes) -> ImageError:
    """Convert Pillow's error about a file's content into an `ImageError`."""
    if isinstance(error, Image.UnidentifiedImageError):
        return ImageError(_unidentified(content))
    if isinstance(error, EOFError) or "truncated" in str(error).lower() or _is_cut_off(content):
        return ImageError(f"truncated: the file ends too early; {_COPY_AGAIN}")
    words = "".join(filter(str.isprintable, str(error)))[:80] or type(error).__name__
    return ImageError(f"damaged: it cannot be decoded ({words}); {_COPY_AGAIN}")


def _is_cut_off(content: bytes) -> bool:
    """Return whether the end is missing, for formats whose Pillow plugins do not detect it."""
    if content.startswith(b"RIFF"):
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return content.startswith(b"\x89PNG") and b"IEND" not in content[-64:]


def _unidentified(content: bytes) -> str:
    """Return a message about a file that no plugin can open."""
    if _OURS.match(content):
        return f"damaged: its header cannot be read; {_COPY_AGAIN}"
    for pattern, kind, advice in _LOOKS_LIKE:
        if pattern.match(content):
            return f"not an image: it looks like {kind}; {advice}"
    if not content.strip(b"\0"):
        return f"not an image: it contains only zeros; {_COPY_AGAIN}"
    if _is_text(content[:400]):
        return "not an image: it looks like a text file; remove it"
    return "not an image: its format is unknown; convert it to JPEG or remove it"


def _is_text(content: bytes) -> bool:
    # The cut may be inside a character of several bytes, so errors are ignored; binary data lose more than 3 bytes.
    text = content.decode("utf-8", errors="ignore")
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return len(text.encode()) >= len(content) - 3 and printable == len(text)
