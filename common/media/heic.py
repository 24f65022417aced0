"""Opening HEIC photos, which phones write, with pillow-heif, an optional package."""

import io
import re

from PIL import ImageFile

from common import errors

EXTENSIONS = (".heic", ".heif")
INSTALL = "HEIC: reading it needs an extra package; pip install 'keras-recipes[photos]'"
_BEGINNING = re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL)


def is_heic(content: bytes) -> bool:
    """Return whether a file's content begins like HEIC. An AVIF that begins so is for Pillow."""
    return bool(_BEGINNING.match(content)) and b"avif" not in content[:64]


def opened(content: bytes) -> ImageFile.ImageFile:
    """Return a photo that is not decoded yet. The file's own turns are applied by the decoder, as the format says.

    Raises:
        UnusableFile: pillow-heif is not installed, or the file is damaged.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise errors.UnusableFile(INSTALL) from error
    try:
        return pillow_heif.HeifImageFile(io.BytesIO(content))
    except SyntaxError as error:
        words = "".join(filter(str.isprintable, str(error)))[:80]
        cut_off = any(sign in words for sign in ("end of file", "too small", "Cannot read full", "Insufficient"))
        what = "truncated: the file ends too early" if cut_off else f"damaged: it cannot be decoded ({words})"
        raise errors.UnusableFile(f"{what}; copy or download it again") from error
