"""The format of a video file, from its first bytes, and checks that its end is not missing."""

import hashlib
import io
import os
import re
import stat

from common import errors

# The container format for each extension; files with these extensions count as clips.
FORMATS_BY_EXTENSION = {
    **dict.fromkeys((".avi", ".divx"), "AVI"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v"), "MP4"),
    **dict.fromkeys((".mkv", ".webm"), "Matroska"),
    ".gif": "GIF",
    **dict.fromkeys((".mpg", ".mpeg", ".vob"), "MPEG"),
    **dict.fromkeys((".ts", ".m2t", ".mts", ".m2ts"), "MPEG-TS"),
    **dict.fromkeys((".wmv", ".asf"), "ASF"),
    ".flv": "FLV",
    ".ogv": "Ogg",
}
EXTENSIONS = tuple(FORMATS_BY_EXTENSION)

# FFmpeg is restricted to these formats: others, such as HLS and concatenation, open any file or address that the
# clip names. The keys are the beginnings of FFmpeg's names for the formats.
FORMATS = {
    "avi": "AVI", "mov": "MP4", "matroska": "Matroska", "gif": "GIF", "mpeg": "MPEG", "mpegts": "MPEG-TS", "asf": "ASF",
    "flv": "FLV", "ogg": "Ogg",
}  # fmt: skip

# A minute of 4K video at 100 Mbit/s has 750 MB, and the whole file is held in memory while it is read.
MAX_BYTES = 1024**3

# 8K. Sixteen such frames have 1.7 GB; even a file of a few kilobytes can declare this size.
MAX_PIXELS = 36_000_000

# An hour at 28 frames per second. A labelled action takes only seconds.
MAX_FRAMES = 100_000

COPY_AGAIN = "copy or download it again"
CONVERT = "convert it to MP4 (H.264)"

# The first bytes of common files that are not clips, their names, and advice for the user.
_LOOKS_LIKE = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, advice)
    for pattern, kind, advice in (
        (rb".{0,400}<(!doctype\s+)?html", "an HTML page saved in place of the clip", COPY_AGAIN),
        (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML file", COPY_AGAIN),
        (rb"version https://git-lfs", "a Git LFS pointer", "fetch the clip with `git lfs pull`"),
        (rb"#EXTM3U", "a playlist", "download the clip that it names"),
        (rb"\xff\xd8\xff|\x89PNG|RIFF.{4}WEBP|BM.{4}\0{4}|II[*+]\0|MM\0[*+]", "a photo", "rename or remove it"),
        (rb"RIFF.{4}WAVE|ID3|fLaC|\xff[\xf1\xf9\xfa\xfb]|.{4}ftypM4A", "a sound recording", "remove it"),
        (rb"\0\0(\0)?\x01", "a bare video stream without times", CONVERT),
        (rb"%PDF", "a PDF document", "remove it"),
        (rb"PK\x03\x04", "a ZIP archive", "unpack it"),
        (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    )
)

# The first bytes of the allowed formats, for files that are too damaged to be opened.
_RIFF = re.compile(rb"RIFF.{4}AVI", re.DOTALL)
_BOXES = re.compile(rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL)
_STILL = re.compile(rb".{4}ftyp(avi[fs]|hei|hev|mif1|msf1)", re.DOTALL)
_EBML = re.compile(rb"\x1a\x45\xdf\xa3")
_GIF = re.compile(rb"GIF8[79]a")
_ASF = re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11")
_TS = re.compile(rb"G.{187}G|.{4}G.{191}G", re.DOTALL)
_FLV = re.compile(rb"FLV\x01")
_OGG = re.compile(rb"OggS")
_MPEG = re.compile(rb"\0\0\x01\xba")
_ASF_FILE = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\0\xc0\x0c\x20\x53\x65"  # the object that gives the file's length


class ClipError(errors.UnusableFile):
    """A file or folder that cannot be used as a clip."""


def sha256(file: io.BufferedReader) -> str:
    """Return the SHA-256 of an open file's content, in hexadecimal."""
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(error) from error


def unreadable(error: Exception) -> ClipError:
    """Return the error for a file or folder that the operating system cannot read."""
    reason = getattr(error, "strerror", None) or str(error)
    return ClipError(f"unreadable: {reason}; check the path and its permissions")


def check_file(status: os.stat_result) -> None:
    """Raise an error for very large or empty files, and for pipes, which could block forever."""
    if not stat.S_ISREG(status.st_mode):
        raise ClipError("not a file: it is a pipe, a socket or a device; remove it")
    if status.st_size > MAX_BYTES:
        raise ClipError(f"too large: {status.st_size / 1e9:.1f} GB; cut it into clips")
    if not status.st_size:
        raise ClipError(f"empty: it has zero bytes; {COPY_AGAIN}")


# What is wrong with it --------------------------------------------------------------------------------------


def truncated() -> ClipError:
    """Return the error for a file that ends too early."""
    return ClipError(f"truncated: the file ends too early; {COPY_AGAIN}")


def check_end(file: io.BufferedReader) -> bool:
    """Raise an error for a file that is shorter than its headers say; FFmpeg would play the rest without an error.

    Returns whether the headers give the length, which some formats do not.
    """
    file.seek(0)
    head = file.read(400)
    for pattern, find_end in _ENDS:
        if pattern.match(head):
            end, is_the_end = find_end(file)
            if end > os.fstat(file.fileno()).st_size:
                raise truncated()
            return is_the_end
    return False


def _read_at(file: io.BufferedReader, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _riff_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of an AVI, which has one chunk or, above a gigabyte, several."""
    end = 0
    while (header := _read_at(file, end, 8)).startswith(b"RIFF"):
        length = int.from_bytes(header[4:], "little")
        if not length:  # 0 until a recording is finished
            raise truncated()
        end += 8 + length + length % 2
    return end, True


def _boxes_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of an MP4, which has boxes with a length (32 bits), a name and perhaps a 64-bit length."""
    end = 0
    names = []
    while header := _read_at(file, end, 16):
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if len(header) < 8:
            raise truncated()
        if not name.isalnum():
            break  # other data after the film
        names.append(name)
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length == 0:
            return end, False  # the box continues to the end of the file
        if length < 8:
            break
        end += length
    if b"moov" not in names:  # the index, which cameras write last
        is_photo = _STILL.match(_read_at(file, 0, 16))
        raise ClipError("not a clip: it looks like a photo; rename or remove it") if is_photo else truncated()
    return end, b"moof" not in names  # of a file with fragments, some may be missing


def _ebml_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of a Matroska file: a header and a segment, whose length is unknown in a live recording."""
    end = 0
    for name in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        header = _read_at(file, end, 12)
        if len(header) < 12:
            raise truncated()
        octets = 9 - header[4].bit_length()  # the number of leading zeros of the first one, plus one
        if header[:4] != name or octets > 8:
            return end, False
        length = int.from_bytes(header[4 : 4 + octets], "big") - (1 << 7 * octets)
        if length == (1 << 7 * octets) - 1:
            return end, False
        end += 4 + octets + length
    return end, True


def _gif_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of a GIF, which has blocks up to a semicolon; a place after the file if there is none."""
    place = 13 + _palette_bytes(_read_at(file, 10, 1))
    while (kind := _read_at(file, place, 1)) in (b"!", b","):
        place += 2 if kind == b"!" else 11 + _palette_bytes(_read_at(file, place + 9, 1))
        while length := _read_at(file, place, 1).strip(b"\0"):
            place += 1 + length[0]
        place += 1
    return place + 1 if kind in (b";", b"") else place, True


def _asf_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end that the header of an ASF file states; a live recording states none, and its length is unknown."""
    place, end = 30, int.from_bytes(_read_at(file, 16, 8), "little")
    while place < end and len(header := _read_at(file, place, 48)) == 48:
        length = int.from_bytes(header[40:], "little")
        if header.startswith(_ASF_FILE):
            return (length, True) if length else (place, False)
        place += max(int.from_bytes(header[16:24], "little"), 24)
    raise truncated()


def _ts_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of a transport stream's last packet of 188 bytes, or of 192 with a time; the length is unknown."""
    size = 188 if _read_at(file, 0, 1) == b"G" else 192
    return -(-os.fstat(file.fileno()).st_size // size) * size, False


def _flv_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of an FLV's last tag (11 bytes, data, 4 bytes); the length is unknown."""
    place = 13
    while (header := _read_at(file, place, 11)) and header[0] in (8, 9, 18):
        place += 15 + int.from_bytes(header[1:4], "big")
    return place, False


def _ogg_end(file: io.BufferedReader) -> tuple[int, bool]:
    """Return the end of an Ogg file's last page of at most 65,307 bytes, and whether it is marked as the last."""
    start = max(os.fstat(file.fileno()).st_size - 65_307, 0)
    tail = _read_at(file, start, 65_307)
    place = tail.rfind(b"OggS")
    if place < 0 or len(tail) < place + 27:
        raise truncated()
    segments = tail[place + 27 : place + 27 + tail[place + 26]]
    return start + place + 27 + tail[place + 26] + sum(segments), bool(tail[place + 5] & 4)


def _palette_bytes(flags: bytes) -> int:
    return 3 * 2 ** (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


_ENDS = (
    (_RIFF, _riff_end), (_BOXES, _boxes_end), (_EBML, _ebml_end), (_GIF, _gif_end), (_ASF, _asf_end), (_TS, _ts_end),
    (_FLV, _flv_end), (_OGG, _ogg_end),
)  # fmt: skip


def explained(error: Exception, file: io.BufferedReader) -> ClipError:
    """Convert FFmpeg's error about a file's content into a `ClipError`."""
    head = _read_at(file, 0, 400)
    if not any(pattern.match(head) for pattern in [*(pattern for pattern, _ in _ENDS), _MPEG]):
        return ClipError(_unidentified(head))
    if isinstance(error, EOFError):
        return truncated()
    words = getattr(error, "strerror", None) or str(error)
    words = "".join(filter(str.isprintable, words))[:80] or type(error).__name__
    return ClipError(f"damaged: it cannot be decoded ({words}); {COPY_AGAIN}")


def _unidentified(head: bytes) -> str:
    """Return a message about a file in a format that FFmpeg is not allowed to open."""
    for pattern, kind, advice in _LOOKS_LIKE:
        if pattern.match(head):
            return f"not a clip: it looks like {kind}; {advice}"
    if not head.strip(b"\0"):
        return f"not a clip: it begins with zeros only; {COPY_AGAIN}"
    text = head.decode("utf-8", errors="ignore")
    if len(text.encode()) >= len(head) - 3 and all(letter.isprintable() or letter.isspace() for letter in text):
        return "not a clip: it looks like a text file; remove it"
    return f"not a clip: its format is unknown; {CONVERT} or remove it"
