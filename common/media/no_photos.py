"""What a file is that no decoder of photos can open, in words, with advice."""

import re

COPY_AGAIN = "copy or download it again"
CONVERT = "convert it to JPEG"

# The first bytes of common files that are not photos, their names, and advice for the user.
LOOKS_LIKE = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, advice)
    for pattern, kind, advice in (
        (rb".{0,400}<(!doctype\s+)?html", "an HTML page saved in place of the photo", COPY_AGAIN),
        (rb".{0,400}<svg", "an SVG drawing", CONVERT),
        (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML file", COPY_AGAIN),
        (rb"version https://git-lfs", "a Git LFS pointer", "fetch the photo with `git lfs pull`"),
        (rb".{4}ftyp", "a video", "save a frame of it as JPEG"),
        (rb"%PDF", "a PDF document", "save its picture as JPEG"),
        (rb"%!PS", "a PostScript drawing", CONVERT),
        (rb"8BPS", "a Photoshop file", CONVERT),
        (rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51)", "a JPEG 2000 photo", CONVERT),
        (rb"(\0\0\0\x0cJXL |\xff\x0a)", "a JPEG XL photo", CONVERT),
        (rb"PK\x03\x04", "a ZIP archive", "unpack it"),
        (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    )
)

# The first bytes of the allowed formats, for files that are too damaged to be opened.
OURS = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF.{4}WEBP|GIF8|BM.{4}\0{4}|II[*+]\0|MM\0[*+]|.{4}ftypavi[fs]", re.DOTALL)


def described(content: bytes) -> str:
    """Return a message about a file that no plugin can open."""
    if OURS.match(content):
        return f"damaged: its header cannot be read; {COPY_AGAIN}"
    for pattern, kind, advice in LOOKS_LIKE:
        if pattern.match(content):
            return f"not an image: it looks like {kind}; {advice}"
    if not content.strip(b"\0"):
        return f"not an image: it contains only zeros; {COPY_AGAIN}"
    if _is_text(content[:400]):
        return "not an image: it looks like a text file; remove it"
    return "not an image: its format is unknown; convert it to JPEG or remove it"


def _is_text(content: bytes) -> bool:
    # The cut may be inside a character of several bytes, so errors are ignored; binary data lose more than 3 bytes.
    text = content.decode("utf-8", errors="ignore")
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return len(text.encode()) >= len(content) - 3 and printable == len(text)
