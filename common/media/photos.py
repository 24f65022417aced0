"""Reading one photo: the same function for the scan, the training, the report and predict.

`read` returns a photo as a viewer shows it: upright according to its EXIF orientation, in sRGB, with transparent areas
on white. A file that cannot be shown like that is an `ImageError`, which says what is wrong and what to do.
"""

import base64
import ctypes
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin

from common import errors
from common.media import augmentation as augmentations
from common.media import colours, deep, dicom, folders, headers, heic, medium, no_photos, primaries, tiff

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
    ".jpe": ("JPEG", "MPO"),
    **dict.fromkeys(heic.EXTENSIONS, ("HEIF",)),
    **dict.fromkeys(dicom.EXTENSIONS, ("DICOM",)),
}
EXTENSIONS = tuple(_FORMATS_BY_EXTENSION)

# Pillow is restricted to these formats: others are unsafe, such as EPS, whose plugin starts Ghostscript. The JPEG
# plugin also opens MPO, a JPEG with a second picture that many phones write.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Pillow's own limit (a quarter of a gigabyte at three bytes per pixel), where it only warns.
MAX_PIXELS = 1024**3 // 4 // 3

# A JPEG of more than MAX_PIXELS is decoded at a half of its size. Phones write 200 megapixels, and a progressive JPEG
# needs up to six bytes for each pixel of its whole size.
MAX_JPEG_PIXELS = 3 * MAX_PIXELS

# A file of MAX_PIXELS uncompressed 16-bit RGBA pixels has 716 MB; a larger file is not a photo.
MAX_BYTES = 1024**3

# The smallest pictures that people classify (the digits of scikit-learn) have 8x8 pixels. A smaller one is a tracking
# pixel, a spacer or a cropping mistake.
MIN_SIDE = 8

SMALL = 32  # pixels per side of the picture that the scan keeps
FRAME = 6  # grey levels from the corner's: less is the frame
FRAME_DUST = 0.02  # of a row or column of a frame may be specks or JPEG's ripples

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ONE_COLOUR = "one colour"  # the note on a photo of which every pixel is the same

OPTIONAL = ("pillow-heif", "pydicom", "python-gdcm")  # packages that read further formats


class ImageError(errors.UnusableFile):
    """A file that cannot be used as a photo."""


def _optional_decoders() -> list[str]:
    """Return the optional packages that are installed, with their versions."""
    installed = [each for name in OPTIONAL for each in importlib.metadata.distributions(name=name)]
    return [f"{each.name} {each.version}" for each in installed]


@dataclasses.dataclass(frozen=True)
class Photos(medium.Medium):
    """Photos, one per file.

    Attributes:
        white: the sample of 16-bit files that becomes 255; the deepest file of a data set decides for all.
    """

    name = "photos"
    unit = "photo"
    extensions = EXTENSIONS
    kin = folders.PICTURES | folders.FILMS
    wanted = "JPEG"
    decoder = ", ".join([f"Pillow {PIL.__version__}", *_optional_decoders()])
    most_pixels = MAX_PIXELS
    explained_by = "classes"

    white: int = deep.WHITE

    @property
    def shape(self) -> tuple[int | None, ...]:
        return None, None, 3

    @property
    def remark(self) -> str:
        return deep.remark(self.white)

    def inspect(self, path: str | os.PathLike) -> medium.Facts:
        return inspect(path)

    def read(self, path: str | os.PathLike, look: medium.Look = medium.PLAIN) -> np.ndarray:
        return read(path, self.white)

    def thumbnail(self, path: str | os.PathLike) -> np.ndarray:
        return read(path, self.white)

    def fitted(self, facts: Iterable[medium.Facts]) -> Self:
        return dataclasses.replace(self, white=deep.white_of(each.largest_sample for each in facts))

    def looks(
        self, side: str, augmentation: augmentations.Augmentation | None = None, views: int = 1, turns: int = 1,
        seed: int = 0,
    ) -> list[medium.Look]:  # fmt: skip
        looks = super().looks(side, augmentation, views, turns, seed)
        if self.white == deep.WHITE:
            return looks
        return [dataclasses.replace(look, mark=f"{look.mark} white {self.white}".strip()) for look in looks]

    def description(self, chooses: bool) -> dict:
        return {} if self.white == deep.WHITE else {"white": self.white}

    def group(self, path: str | os.PathLike) -> str:
        return dicom.patient(path) if os.fspath(path).lower().endswith(dicom.EXTENSIONS) else ""


@dataclasses.dataclass(frozen=True)
class _Picture:
    """A decoded photo: uint8 pixels (height, width, 3), its format, and notes about special handling."""

    pixels: np.ndarray
    format: str
    notes: tuple[str, ...]
    largest_sample: int = 0  # of 16-bit samples


PHOTOS = Photos()


def read(path: str | os.PathLike, white: int = deep.WHITE) -> np.ndarray:
    """Return a photo as a uint8 array of shape (height, width, 3), RGB from 0 to 255.

    The EXIF orientation and the colour profile (ICC) are applied. CMYK, grey, palette and 1-bit pictures are converted
    to RGB; transparent ones are composited on white, unless nothing of them would be seen; 16-bit ones are scaled to 8
    bits. Several threads may call this at a time.

    Args:
        path: the file.
        white: the sample of a 16-bit file that becomes 255.

    Raises:
        ImageError: the file cannot be used; its message does not name the path.
    """
    return _decode(_content(path), white).pixels


def inspect(path: str | os.PathLike) -> medium.Facts:
    """Return the facts about any file; the whole picture is decoded, as in `read`, with a white of its own."""
    path = os.fspath(path)
    content = b""
    try:
        content = _content(path)
        picture = _decode(content)
    except ImageError as error:
        return medium.Facts(path=path, bytes=len(content), sha256=_sha256(content), problem=str(error))
    height, width, _ = picture.pixels.shape
    notes = _note_name(path, picture.format) + picture.notes
    return medium.Facts(
        path=path, bytes=len(content), sha256=_sha256(content), format=picture.format, width=width, height=height,
        notes=notes + ((ONE_COLOUR,) if is_one_colour(picture.pixels) else ()),
        small=small_grey(picture.pixels), pixels_sha256=pixels_sha256(picture.pixels),
        largest_sample=picture.largest_sample, header=_header(content) | headers.border(picture.pixels),
    )  # fmt: skip


def _header(content: bytes) -> headers.Properties:
    """Return the properties in the header of a sound file."""
    if dicom.is_dicom(content):
        return {}
    with _opened(content) as image:
        return headers.properties(image)


def is_one_colour(pixels: np.ndarray) -> bool:
    """Return whether all pixels, (…, height, width, 3), are the same."""
    first = pixels.reshape(-1, 3)[0]
    # Few pixels are enough for nearly every photo.
    return bool((pixels[..., ::16, ::16, :] == first).all() and (pixels == first).all())


def pixels_sha256(pixels: np.ndarray) -> str:
    """Return the hash of decoded pixels, uint8, and of their shape."""
    return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).data).hexdigest()


def inside_frame(grey: np.ndarray) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) inside a frame of one colour, such as a white border or a letterbox.

    A frame stands on two opposite sides. If less than half would be left, the background is no frame.

    Args:
        grey: uint8 (height, width).
    """
    height, width = grey.shape
    differs = np.abs(grey.astype("int16") - int(grey[0, 0])) > FRAME
    rows, columns = differs.mean(axis=1) > FRAME_DUST, differs.mean(axis=0) > FRAME_DUST
    (top, bottom), (left, right) = map(_inside, (rows, columns))
    return left, top, right, bottom


def _inside(differs: np.ndarray) -> tuple[int, int]:
    """Return the first place that differs and the one after the last, or all places without a frame on both ends."""
    before, after = int(differs.argmax()), int(differs[::-1].argmax())
    is_frame = before and after and len(differs) - before - after >= len(differs) / 2
    return (before, len(differs) - after) if is_frame else (0, len(differs))


def small_grey(pixels: np.ndarray) -> str:
    """Return a photo without its frame as `SMALL` x `SMALL` grey pixels, base64: what is needed to find its copies.

    Args:
        pixels: uint8 (height, width, 3).
    """
    whole = Image.fromarray(pixels).convert("L")
    grey = whole.crop(inside_frame(np.asarray(whole))).resize((SMALL, SMALL), Image.Resampling.BOX)
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
        raise ImageError(f"empty: it has zero bytes; {no_photos.COPY_AGAIN}")
    return content


def _check_file(status: os.stat_result) -> None:
    """Raise an error for folders and very large files, and for pipes, which could block forever."""
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("not a file: it is a folder; rename or remove it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a file: it is a pipe, a socket or a device; remove it")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"too large: {status.st_size / 1e9:.1f} GB; save it as JPEG")


def _decode(content: bytes, white: int | None = None) -> _Picture:
    """Return the `_Picture` in a file's content; every failure is an `ImageError`."""
    _set_up_pillow()
    try:
        return _decode_dicom(content) if dicom.is_dicom(content) else _decode_with_pillow(content, white)
    except errors.UnusableFile as error:
        raise error if isinstance(error, ImageError) else ImageError(str(error)) from error
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


def _decode_dicom(content: bytes) -> _Picture:
    pixels, notes = dicom.decoded(content, _check_size)
    return _Picture(pixels, "DICOM", notes)


def _decode_with_pillow(content: bytes, white: int | None) -> _Picture:
    with _opened(content) as image:
        reduced = _reduce(image)
        page = _choose_page(image)
        _check_header(image)
        notes = reduced + _note_header(image)
        if image.format == "PNG":
            _check_png_sums(content)
        picture_format, largest = str(image.format), 0
        shown: Image.Image = image
        if deep.is_deep(image):
            shown, largest = deep.as_8_bits(image, lambda: _opened(content, page), white)
        shown.load()
        upright, rotation_notes = _turn_upright(shown)
        pixels, colour_notes = _to_rgb(upright, primaries.of(image))
    return _Picture(pixels, picture_format, notes + rotation_notes + colour_notes, largest)


def _opened(content: bytes, page: int = 0) -> ImageFile.ImageFile:
    """Return an image that is not decoded yet, at a page of a TIFF."""
    if heic.is_heic(content):
        return heic.opened(content)
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError:
        if not content.startswith(b"\xff\xd8\xff"):
            raise
        return JpegImagePlugin.jpeg_factory(io.BytesIO(content))  # not limited: `_reduce` makes it smaller
    if page:
        image.seek(page)
    return image


def _choose_page(image: Any) -> int:
    """Go to the only whole picture in a TIFF, and return the number of its page; 0 for other formats."""
    if image.format != "TIFF" or image.n_frames == 1:
        return 0
    pages = tiff.whole_pages(image)
    if len(pages) != 1:
        raise ImageError(f"several pages: {image.n_frames}; save the one that you want as JPEG or PNG")
    image.seek(pages[0])
    return pages[0]


def _reduce(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Let libjpeg scale a very large JPEG while it decodes, and return a note."""
    width, height = image.size
    if image.format not in ("JPEG", "MPO") or not MAX_PIXELS < width * height <= MAX_JPEG_PIXELS:
        return ()
    image.draft(None, (width // 2, height // 2))
    return ("scaled down while decoding",)


def _check_size(width: int, height: int) -> None:
    """Raise an error for a photo that is too large or too small."""
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(f"{width:,} x {height:,} pixels, ")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"too small: {width} x {height} pixels, needs at least {MIN_SIDE} on each side; remove it")


def _check_header(image: Any) -> None:
    """Raise an error, before decoding, for a photo that is too large or too small, or several photos in one file."""
    _check_size(*image.size)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in ("MPO", "HEIF", "TIFF"):  # of a TIFF, one page was chosen
        raise ImageError(f"animated: {frames} frames; save the one that you want as JPEG or PNG")
    if image.format == "TIFF" and (unusual := tiff.unusual(image.tag_v2)):
        raise ImageError(unusual)


def _too_many_pixels(size: str = "") -> ImageError:
    return ImageError(f"too many pixels: {size}more than {MAX_PIXELS:,} (decompression bomb?); scale it down")


def _note_header(image: Any) -> tuple[str, ...]:
    notes = []
    if image.format == "MPO" or (image.format == "HEIF" and getattr(image, "n_frames", 1) > 1):
        notes.append("first picture of several taken")
    if image.format == "TIFF" and image.tag_v2.get(ExifTags.Base.Orientation) in _UPRIGHT:
        notes.append("EXIF rotation applied")  # Pillow rotates a TIFF while loading it
    if image.format == "TIFF":
        notes += tiff.notes(image)
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


def _to_rgb(image: Any, described: primaries.Described | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a loaded image as uint8 pixels (height, width, 3), and notes."""
    notes, profile = _note_mode(image.mode), image.info.get("icc_profile")
    if not image.has_transparency_data:
        picture = image if image.mode in ("L", "CMYK", "LAB") else image.convert("RGB")
        rgb, profile_notes = colours.to_srgb(picture, profile, described)
        return np.array(rgb), notes + profile_notes
    with_alpha = image.convert("RGBA")
    picture = with_alpha.getchannel("R") if "grey" in notes else with_alpha.convert("RGB")
    rgb, profile_notes = colours.to_srgb(picture, profile, described)
    notes += profile_notes
    alpha = with_alpha.getchannel("A")
    least, most = alpha.getextrema()
    if most == 0:  # a mask; nothing of the photo would be seen
        return np.array(rgb), (*notes, "alpha ignored: it is 0 everywhere")
    if least < 255:
        notes += ("alpha composited on white",)
        rgb.putalpha(alpha)
        rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
    return np.array(rgb), notes


def _note_mode(mode: str) -> tuple[str, ...]:
    if mode in ("1", "L", "LA", "La"):
        return ("1-bit expanded", "grey") if mode == "1" else ("grey",)
    if mode in ("P", "PA"):
        return ("palette expanded",)
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return (f"{mode} converted",)
    return ()


def _explained(error: Exception, content: bytes) -> ImageError:
    """Convert Pillow's error about a file's content into an `ImageError`."""
    if isinstance(error, Image.UnidentifiedImageError):
        return ImageError(tiff.unusual(tiff.tags_of(content), is_open=False) or no_photos.described(content))
    if isinstance(error, EOFError) or "truncated" in str(error).lower() or _is_cut_off(content):
        return ImageError(f"truncated: the file ends too early; {no_photos.COPY_AGAIN}")
    words = "".join(filter(str.isprintable, str(error)))[:80] or type(error).__name__
    return ImageError(f"damaged: it cannot be decoded ({words}); {no_photos.COPY_AGAIN}")


def _is_cut_off(content: bytes) -> bool:
    """Return whether the end is missing, for formats whose Pillow plugins do not detect it."""
    if content.startswith(b"RIFF"):
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return content.startswith(b"\x89PNG") and b"IEND" not in content[-64:]
