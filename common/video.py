"""Reading one clip: the same function for the scan, the training, the report and predict.

A clip is a file of moving pictures or a folder of photos, its frames. What `read` returns is what a
person sees in a player: the frames that are shown at some moments, turned upright, in RGB, on white
where they are transparent, with square pixels. Whatever cannot be shown like that is a `ClipError`
that says what is wrong and what to do about it.

PyAV decodes (https://pyav.basswood-io.com), which is FFmpeg. It is asked for less than it can do,
because it prefers a wrong picture to none: a file that ends too early is a shorter film to it, and a
frame that it has to guess is a frame.
"""

import bisect
import contextlib
import dataclasses
import fractions
import hashlib
import itertools
import os
import pathlib
import re
import stat
import statistics
import struct
from collections.abc import Sequence

import av
import av.video.reformatter
import numpy as np

from common import errors, files, images

NAME = "clip"  # what it is called where people read
DECODER = f"PyAV {av.__version__}"

# Which container a file of that name holds; the keys are the names that count as clips.
_FORMATS_BY_EXTENSION = {
    ".avi": "AVI",
    ".mp4": "MP4",
    ".m4v": "MP4",
    ".mov": "MP4",
    ".mkv": "Matroska",
    ".webm": "Matroska",
    ".gif": "GIF",
    ".mpg": "MPEG",
    ".mpeg": "MPEG",
}
EXTENSIONS = tuple(_FORMATS_BY_EXTENSION)

# FFmpeg tries these and no other: its HLS and concatenation formats, for two, open whatever file or
# address the clip names. The keys are the beginnings of its names for them.
_FORMATS = {"avi": "AVI", "mov": "MP4", "matroska": "Matroska", "gif": "GIF", "mpeg": "MPEG"}

SAMPLINGS = ("whole", "window")

# A minute at 100 Mbit/s, as cameras record 4K, has 750 MB, and all of it is held in memory while it is read.
MAX_BYTES = 1024**3

# 8K. Sixteen frames of it have 1.7 GB; a still of a few kilobytes can claim as much.
MAX_PIXELS = 36_000_000

# An hour at 28 frames per second. What one label describes takes seconds.
MAX_FRAMES = 100_000

# Matroska rounds times to milliseconds. Where a frame begins and where the clip ends may then be 1.5 ms apart
# from what they should be, so a frame that begins this many seconds after a moment is shown at it.
_ROUNDING = 0.002

# Without it Matroska files get a random identity, and all of them FFmpeg's version.
_SAME = {"fflags": "+bitexact"}

# A display matrix of 16.16 fixed-point numbers that turns by quarters or mirrors holds these and zeros.
_ONE = 1 << 16

_COPY_AGAIN = "copy or download it again"
_CONVERT = "convert it to MP4 (H.264)"

# What files that are no clip start with, as people know them, and what to do about it.
_LOOKS_LIKE = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, advice)
    for pattern, kind, advice in (
        (rb".{0,400}<(!doctype\s+)?html", "an HTML page saved in place of the clip", _COPY_AGAIN),
        (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML file", _COPY_AGAIN),
        (rb"version https://git-lfs", "a Git LFS pointer", "fetch the clip with `git lfs pull`"),
        (rb"#EXTM3U", "a playlist", "download the clip that it names"),
        (rb"\xff\xd8\xff|\x89PNG|RIFF.{4}WEBP|BM.{4}\0{4}|II[*+]\0|MM\0[*+]", "a photo", "rename or remove it"),
        (rb"RIFF.{4}WAVE|ID3|OggS|fLaC|\xff[\xf1\xf9\xfa\xfb]|.{4}ftypM4A", "a sound recording", "remove it"),
        (rb"(?-i:G.{187}G|.{4}G.{191}G)", "an MPEG transport stream", _CONVERT),
        (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file", _CONVERT),
        (rb"FLV", "a Flash video", _CONVERT),
        (rb"\0\0(\0)?\x01", "a bare video stream without times", _CONVERT),
        (rb"%PDF", "a PDF document", "remove it"),
        (rb"PK\x03\x04", "a ZIP archive", "unpack it"),
        (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    )
)

# The first bytes of the formats that FFmpeg is given, for files too broken to be opened.
_RIFF = re.compile(rb"RIFF.{4}AVI", re.DOTALL)
_BOXES = re.compile(rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL)
_STILL = re.compile(rb".{4}ftyp(avi[fs]|hei|hev|mif1|msf1)", re.DOTALL)
_EBML = re.compile(rb"\x1a\x45\xdf\xa3")
_GIF = re.compile(rb"GIF8[79]a")
_MPEG = re.compile(rb"\0\0\x01\xba")


class ClipError(errors.UserError):
    """A file or folder that cannot be used as a clip.

    The message reads "kind: details; what to do", on one line and without the path, which the
    caller knows better how to show.
    """


@dataclasses.dataclass(frozen=True)
class Facts(images.Facts):
    """What `inspect` found out about one clip.

    As for a photo; `bytes` and `sha256` are those of all frames where it is a folder, `format` is container and codec
    ("AVI mpeg4", "MP4 h264", "folder of JPEG"), `width` and `height` are those of an upright frame.
    """

    frames: int = 0  # 0 where there is a problem
    seconds: float = 0.0  # 0 where there is a problem, and for a folder of frames, which has no clock


def is_clip(path: str | os.PathLike) -> bool:
    """Whether a file is named like a clip, or a folder has photos in it; hidden ones are no clips.

    Raises:
        ClipError: the folder cannot be listed.
    """
    path = pathlib.Path(path)
    if path.name.startswith("."):
        return False
    return bool(frame_paths(path)) if path.is_dir() else path.suffix.lower() in EXTENSIONS


def frame_paths(folder: str | os.PathLike) -> list[str]:
    """Returns the photos of a folder, which are its frames, in natural order: frame_2 before frame_10.

    Raises:
        ClipError: the folder cannot be listed.
    """
    try:
        names = os.listdir(folder)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from error
    photos = [name for name in names if os.path.splitext(name)[1].lower() in images.EXTENSIONS and name[0] != "."]
    return [os.path.join(folder, name) for name in sorted(photos, key=_natural)]


def _natural(name):
    """The parts of a name, its numbers as numbers; the name itself decides between 1 and 01."""
    return [int(part) if part.isdigit() else part for part in re.split("([0-9]+)", name)], name


def read(
    path: str | os.PathLike,
    frames: int = 16,
    sampling: str = "whole",
    stride: int = 2,
    position: float = 0.5,
) -> np.ndarray:
    """Returns frames of a clip as a uint8 array of shape (frames, height, width, 3), RGB from 0 to 255.

    Each is the frame that a player shows at one moment, however irregular the frame rate is; `indices`
    says which moments. Rotation and mirroring in the file's display matrix are applied; pixels that are
    not square are made so by resizing the width; transparent ones are put on white; deeper ones are
    scaled to 8 bits. The first video stream is read, cover pictures and sound are not. Interlaced frames
    stay as they are. May be called from several threads at a time; one call uses one core.

    Args:
        path: a file, or a folder of photos of one size.
        frames: how many frames to return.
        sampling: "whole", frames from equal parts of the clip, or "window", frames close together.
        stride: frames from one to the next in a window: 1 takes them all.
        position: of the window, from 0 (the beginning of the clip) to 1 (its end).

    Raises:
        ClipError: the clip cannot be used; its message does not name the path.
        ValueError: an argument is out of its range.
    """
    how = {"frames": frames, "sampling": sampling, "stride": stride, "position": position}
    _check_arguments(**how)
    return _read_folder(path, how) if os.path.isdir(path) else _read_file(path, how)


def inspect(path: str | os.PathLike) -> Facts:
    """Returns the `Facts` of a clip, whatever it holds.

    Every frame is decoded, so that `read` will succeed with any arguments; only the first one is
    converted to RGB. A file whose end is missing is a problem, not a shorter clip. Only where a format
    does not say how long the file is, a cut between two of its parts stays hidden, and a note says so:
    in MPEG program streams, and in Matroska and fragmented MP4 as they are recorded live.
    """
    path = os.fspath(path)
    return _inspect_folder(path) if os.path.isdir(path) else _inspect_file(path)


def indices(
    starts: Sequence[float],
    end: float,
    rate: float,
    frames: int = 16,
    sampling: str = "whole",
    stride: int = 2,
    position: float = 0.5,
) -> list[int]:
    """Returns which frames are shown at the moments that a sampling asks for.

    "whole" takes the middles of `frames` equal parts of the clip's time; a clip with fewer frames shows
    some of them repeatedly. "window" numbers the clip by its nominal rate and takes `frames` numbers
    `stride` apart, from the middle of each one's time; `position` chooses evenly among all windows that
    fit. Where not even one fits, it starts with the clip, and the last frame is repeated.

    Args:
        starts: seconds at which the frames begin to be shown, ascending; each is shown until the next.
        end: seconds at which the last one ends.
        rate: nominal frames per second.
        frames, sampling, stride, position: as for `read`.

    Returns:
        `frames` positions in `starts`, ascending.
    """
    length = end - starts[0]
    if sampling == "whole":
        moments = (np.arange(frames) + 0.5) * (length / frames)
    else:
        free = max(round(length * rate) - (frames - 1) * stride - 1, 0)
        first = min(int(position * (free + 1)), free)
        moments = (first + np.arange(frames) * stride + 0.5) / rate
    moments += starts[0] + min(_ROUNDING, 0.25 / rate)
    return (np.searchsorted(starts, moments, side="right") - 1).tolist()


def write(path: str | os.PathLike, frames: np.ndarray, rate: float = 25, lossless: bool = False) -> None:
    """Writes a clip that `read` and every player can read, or none at all.

    Args:
        path: must end in .mp4, which is written as H.264, or, if `lossless`, in .mkv or .avi, as FFV1.
        frames: uint8 of shape (frames, height, width, 3), RGB from 0 to 255. H.264 halves the resolution of
            the colours and needs even sides: an odd one gains a copy of its last row or column.
        rate: frames per second.
        lossless: keep every value and the size as they are.

    Raises:
        ValueError: the name, the shape or the type is wrong.
        OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    extensions = (".mkv", ".avi") if lossless else (".mp4",)
    if path.suffix.lower() not in extensions:
        raise ValueError(f"path must end in {' or '.join(extensions)}, got {path.name!r}")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(f"frames must be uint8 (frames, height, width, 3), got {frames.dtype} {frames.shape}")
    if not lossless:
        height, width = frames.shape[1:3]
        frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with files.replacing(path) as temporary, av.open(os.fspath(temporary), "w", options=_SAME) as container:
        stream = _add_stream(container, frames, rate, lossless)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
        container.mux(stream.encode(None))


def _add_stream(container, frames, rate, lossless):
    rate = fractions.Fraction(rate).limit_denominator(1001)
    if lossless:
        # Every frame is a key frame and carries checksums.
        stream = container.add_stream("ffv1", rate, options={"level": "3", "slicecrc": "1", "g": "1"})
        stream.pix_fmt = "bgr0"
    else:
        stream = container.add_stream("libx264", rate)
        stream.pix_fmt = "yuv420p"
    stream.height, stream.width = frames.shape[1:3]
    stream.thread_count = 1  # x264's result depends on it
    return stream


def _check_arguments(frames, sampling, stride, position):
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    if not 0 <= position <= 1:
        raise ValueError(f"position must be from 0 to 1, got {position}")


# Folders of frames ------------------------------------------------------------------------------------------


def _read_folder(path, how):
    paths = frame_paths(path)
    chosen = indices(range(len(paths)), len(paths), 1, **how) if paths else []
    shown = {number: _photo(paths[number]) for number in sorted(set(chosen))}
    _check_sizes(len(paths), {pixels.shape[1::-1] for pixels in shown.values()})
    return np.stack([shown[number] for number in chosen])


def _inspect_folder(path):
    found = []
    digest = ""
    try:
        found = [images.inspect(frame) for frame in frame_paths(path)]
        digest = _folder_sha256(found)
        for facts in found:
            if facts.problem:
                raise _bad_frame(facts.path, facts.problem)
        _check_sizes(len(found), {(facts.width, facts.height) for facts in found})
    except ClipError as error:
        return Facts(path, sum(facts.bytes for facts in found), digest, "", 0, 0, (), str(error))
    size = sum(facts.bytes for facts in found)
    formats = " and ".join(sorted({facts.format for facts in found}))
    notes = tuple(dict.fromkeys(note for facts in found for note in facts.notes))
    width, height = found[0].width, found[0].height
    return Facts(path, size, digest, f"folder of {formats}", width, height, notes, "", frames=len(found))


def _folder_sha256(found):
    """The hash of the frames' names and contents, in order; "" where one could not be read."""
    if not found or not all(facts.sha256 for facts in found):
        return ""
    lines = [os.fsencode(os.path.basename(facts.path)) + b"\0" + facts.sha256.encode() for facts in found]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _photo(path):
    try:
        return images.read(path)
    except images.ImageError as error:
        raise _bad_frame(path, error) from error


def _bad_frame(path, problem):
    return ClipError(f"bad frame: {os.path.basename(path)!r} is unusable, {problem}")


def _check_sizes(count, sizes):
    """Refuses a folder without frames, or with frames of several (width, height)."""
    if not count:
        raise ClipError("no frames: there is no photo in the folder; fill it or remove it")
    if len(sizes) > 1:
        (width, height), (other_width, other_height) = sorted(sizes)[:2]
        raise ClipError(
            f"frames of several sizes: {width} x {height} and {other_width} x {other_height} pixels; "
            "bring them to one size"
        )


# Files ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Film:
    """The video stream of an open file, with all of its packets in memory, nothing decoded yet.

    A packet holds one compressed frame. They come in the order in which they are decoded, which with
    B-frames is not that in which they are shown.
    """

    format: str
    stream: av.VideoStream
    size: tuple[int, int]  # (width, height) as stored, before any correction
    packets: list[av.Packet]
    times: list[int]  # when a frame begins to be shown, ascending, in ticks of the stream's clock
    starts: list[float]  # the same in seconds from the first one
    end: float  # seconds at which the last one ends
    rate: float  # nominal frames per second
    keys: list[tuple[int, int]]  # where decoding can start: times ascending, numbers of packets
    guessed: bool  # the frames' own times are guesses of FFmpeg's, in the wrong order
    others: int  # further video streams, left aside
    has_end: bool = True  # False where the format does not say how long the file is


def _read_file(path, how):
    with _file(path) as file, _film(file) as film:
        chosen = indices(film.starts, film.end, film.rate, **how)
        numbers = sorted(set(chosen))
        shown = dict(zip(numbers, _pictures(film, numbers), strict=True))
    return np.stack([shown[number] for number in chosen])


def _inspect_file(path):
    size, digest = 0, ""
    try:
        with _file(path) as file:
            digest, size = _sha256(file), os.fstat(file.fileno()).st_size
            with _film(file) as film:
                return _facts(path, size, digest, film)
    except ClipError as error:
        return Facts(path, size, digest, "", 0, 0, (), str(error))


def _sha256(file):
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(error) from error


def _facts(path, size, digest, film):
    frames = _decoded(film, film.keys[0])
    _, first = next(frames, (None, None))
    if first is None:
        raise ClipError(f"no frames: not one can be decoded; {_COPY_AGAIN}")
    count = 1 + sum(1 for _ in frames)
    converter = _Converter(film)
    height, width, _ = converter.pixels(first).shape
    notes = _note_name(path, film.format) + _notes(film, first, converter)
    codec = film.stream.codec.canonical_name
    picture_format = film.format if codec == film.format.lower() else f"{film.format} {codec}"
    return Facts(path, size, digest, picture_format, width, height, notes, "", count, round(film.end, 6))


def _note_name(path, container_format):
    """Notes a name that promises another format than the content has."""
    extension = os.path.splitext(path)[1].lower()
    if _FORMATS_BY_EXTENSION.get(extension, container_format) == container_format:
        return ()
    return (f"{container_format} named {extension}",)


def _notes(film, frame, converter):
    notes = {
        "rotation applied": _orientation(frame) != (1, 0, 0, 1),
        "non-square pixels corrected": _display_width(film) != film.size[0],
        "alpha composited on white": converter.saw_transparency,
        "grey": len(frame.format.components) < 3 and not frame.format.has_palette,
        "deep colours scaled to 8 bits": any(component.bits > 8 for component in frame.format.components),
        "interlaced": frame.interlaced_frame,
        "variable frame rate": _is_irregular(film.starts),
        "one frame": len(film.times) == 1,
        "no sign that its end is there": not film.has_end,
        f"first of {1 + film.others} video streams taken": film.others > 0,
    }
    return tuple(note for note, applies in notes.items() if applies)


def _is_irregular(starts):
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    return bool(gaps) and max(gaps) > 1.5 * min(gaps) + _ROUNDING


@contextlib.contextmanager
def _file(path):
    """Opens a file for reading, once it is known to have a beginning and an end."""
    try:
        _check_file(os.stat(path))
        file = open(path, "rb")
    except FileNotFoundError as error:
        what = "a link to nothing" if os.path.islink(path) else "there is no such file"
        raise ClipError(f"missing: {what}; correct the path or remove the entry") from error
    except (OSError, ValueError) as error:
        raise _unreadable(error) from error
    with file:
        yield file


def _unreadable(error):
    reason = getattr(error, "strerror", None) or str(error)
    return ClipError(f"unreadable: {reason}; check the path and its permissions")


def _check_file(status):
    """Refuses giants, and pipes, which could keep us waiting for ever."""
    if not stat.S_ISREG(status.st_mode):
        raise ClipError("not a file: it is a pipe, a socket or a device; remove it")
    if status.st_size > MAX_BYTES:
        raise ClipError(f"too large: {status.st_size / 1e9:.1f} GB; cut it into clips")
    if not status.st_size:
        raise ClipError(f"empty: it has zero bytes; {_COPY_AGAIN}")


@contextlib.contextmanager
def _film(file):
    """Gives the `_Film` in an open file; anything that goes wrong, in the block too, is a `ClipError`."""
    try:
        has_end = _check_end(file)
        file.seek(0)
        with av.open(
            file,
            "r",
            options={"format_whitelist": ",".join(_FORMATS), "max_pixels": str(MAX_PIXELS)},
            metadata_errors="replace",
            buffer_size=1 << 18,
        ) as container:
            film = _load(container)
            film.has_end = has_end
            yield film
    except ClipError:
        raise
    except MemoryError as error:
        raise ClipError("too large: there is not enough memory to decode it; scale it down") from error
    # PyAV throws its own errors, and what their like in Python are: EOFError, ValueError, OSError, …
    except Exception as error:
        raise _explained(error, file) from error


def _load(container):
    """Reads all packets of the first video stream: what can go wrong before decoding goes wrong here."""
    streams = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise ClipError("no video: there are no moving pictures in it, only sound or a cover; remove it")
    stream = streams[0]
    _check_stream(stream)
    size = (stream.codec_context.width, stream.codec_context.height)
    packets = _packets(container, stream)
    times, last_duration, guessed = _times(container, stream, packets)
    starts = [float((time - times[0]) * stream.time_base) for time in times]
    rate = _rate(stream, starts)
    end = starts[-1] + (float(last_duration * stream.time_base) or 1 / rate)
    keys = [(packet.pts, number) for number, packet in enumerate(packets) if packet.is_keyframe and not guessed]
    keys = [(times[0], 0)] + sorted(key for key in keys if key[0] > times[0])
    name = _FORMATS[container.format.name.split(",")[0]]
    return _Film(name, stream, size, packets, times, starts, end, rate, keys, guessed, len(streams) - 1)


def _check_stream(stream):
    """Refuses, before decoding, what is unknown, too much or too little; sets the decoder up."""
    decoder = stream.codec_context
    if decoder is None:
        raise ClipError(f"unknown codec: FFmpeg has no decoder for it; {_CONVERT}")
    if decoder.codec_tag in ("encv", "drmi"):
        raise _encrypted()
    if not decoder.width or not decoder.height:
        raise ClipError(f"damaged: its frames have no size; {_COPY_AGAIN}")
    if decoder.width * decoder.height > MAX_PIXELS:
        raise _too_many_pixels(decoder.width, decoder.height)
    if min(decoder.width, decoder.height) < images.MIN_SIDE:
        size = f"{decoder.width} x {decoder.height} pixels"
        raise ClipError(f"too small: {size}, needs at least {images.MIN_SIDE} on each side; remove it")
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.thread_count = 1  # many clips are read at a time, and more threads per clip slow them all down


def _too_many_pixels(width, height):
    size = f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}"
    return ClipError(f"too many pixels: {size} (decompression bomb?); scale it down")


def _encrypted():
    return ClipError("encrypted: it is protected against copying; get it without protection")


def _packets(container, stream):
    """Returns the packets that hold a frame which is shown, in the order of decoding."""
    packets = []
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise _truncated()
        if packet.has_sidedata("encryption_info"):
            raise _encrypted()
        if packet.size:  # PyAV adds an empty one
            packets.append(packet)
        if len(packets) > MAX_FRAMES:
            raise ClipError(f"too long: more than {MAX_FRAMES:,} frames; cut it into clips")
    if len(packets) < len(stream.index_entries):
        raise _truncated()
    if not packets:
        raise ClipError(f"no frames: the video in it is empty; {_COPY_AGAIN}")
    return packets


def _times(container, stream, packets):
    """Returns when the frames are shown, for how long the last one is, and whether this is guesswork.

    FFmpeg guesses which frame is shown when with B-frames in AVI, which only counts its packets, and with
    DivX in whatever it was copied to, which packs two frames into one packet and nothing into the next.
    """
    guessed = stream.codec_context.has_b_frames and (container.format.name == "avi" or stream.codec.name == "mpeg4")
    durations = {packet.pts: packet.duration for packet in packets if not packet.is_discard}
    if None in durations:
        guessed = True
        durations = {packet.dts: packet.duration for packet in packets if not packet.is_discard}
    count = sum(not packet.is_discard for packet in packets)
    if not durations or None in durations or len(durations) < count:
        raise ClipError(f"no times: it does not say when its frames are shown; {_CONVERT}")
    times = sorted(durations)
    return times, durations[times[-1]] or 0, guessed


def _rate(stream, starts):
    """Returns the nominal frames per second: what the file declares, unless most frames contradict it."""
    declared = [float(rate) for rate in (stream.base_rate, stream.average_rate) if rate]
    if len(starts) == 1:
        return declared[0] if declared else 1.0
    typical = 1 / statistics.median(after - before for before, after in itertools.pairwise(starts))
    # Milliseconds, as in Matroska, make 240 frames per second look like 250.
    return next((rate for rate in declared if abs(rate / typical - 1) < 0.05), typical)


def _pictures(film, numbers):
    """Returns the pixels of the frames with these numbers, which ascend."""
    converter = _Converter(film)
    return [converter.pixels(frame) for frame in _shown(film, [film.times[number] for number in numbers])]


def _shown(film, times):
    """Returns the frames that are shown at these times, which ascend."""
    try:
        return list(_pick(film, times, film.keys))
    except (ClipError, av.FFmpegError):
        # Some files call frames key frames that are none; from its beginning on, such a clip can be decoded.
        return list(_pick(film, times, film.keys[:1]))


def _pick(film, times, keys):
    """Yields the frame that is shown at each time, decoding from the key frame before it."""
    frames = current = following = None
    for time in times:
        key = keys[bisect.bisect_right(keys, (time, len(film.packets))) - 1]
        if frames is None or (following and following[0] < key[0]):
            frames = _decoded(film, key)
            current, following = next(frames, None), next(frames, None)
        while following and following[0] <= time:
            current, following = following, next(frames, None)
        if current is None:
            raise ClipError(f"no frames: not one can be decoded; {_COPY_AGAIN}")
        yield current[1]


def _decoded(film, key):
    """Yields (time, frame) from a key frame on, in the order in which they are shown."""
    frames = _decode(film, key[1])
    if film.guessed:
        yield from _by_arrival(film, frames)
        return
    before = None
    for frame in frames:
        if before is None and key[1] > 0 and not (frame.pts == key[0] and frame.key_frame):
            raise ClipError(f"damaged: a key frame is none; {_CONVERT}")
        if frame.pts is None or (before is not None and frame.pts <= before):
            raise ClipError(f"damaged: the times of its frames are out of order; {_CONVERT}")
        before = frame.pts
        yield frame.pts, _sound(film, frame)


def _by_arrival(film, frames):
    """Yields (time, frame), timed by the packet at which it left the decoder, which keeps the order."""
    before = None
    for frame in frames:
        if before is None:
            time = film.times[0]
            delay = 0 if frame.dts is None else frame.dts - time
        elif frame.dts is None:  # the packets have come to an end, the frames have not
            time += before.duration or 1
        else:
            time = frame.dts - delay
        before = frame
        yield time, _sound(film, frame)


def _decode(film, first):
    decoder = film.stream.codec_context
    decoder.flush_buffers()
    for packet in itertools.islice(film.packets, first, None):
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _sound(film, frame):
    """Returns a frame, unless the decoder had to guess parts of it or it has another size than the film."""
    if frame.is_corrupt:
        raise ClipError(f"damaged: a frame cannot be decoded in full; {_COPY_AGAIN}")
    if (frame.width, frame.height) != film.size:
        (width, height), other = film.size, f"{frame.width} x {frame.height}"
        raise ClipError(f"frames of several sizes: {width} x {height} and {other} pixels; {_CONVERT}")
    return frame


# Pixels -----------------------------------------------------------------------------------------------------


class _Converter:
    """Turns decoded frames of one film into pixels."""

    def __init__(self, film):
        self.film = film
        self.reformatter = av.video.reformatter.VideoReformatter()
        self.saw_transparency = False

    def pixels(self, frame):
        """Returns a frame as uint8 (height, width, 3), upright."""
        with_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        pixels = self.reformatter.reformat(
            frame, width=_display_width(self.film), format="rgba" if with_alpha else "rgb24", threads=1
        ).to_ndarray()
        if with_alpha:
            self.saw_transparency |= bool(pixels[..., 3].min() < 255)
            pixels = _on_white(pixels)
        return _upright(pixels, _orientation(frame))


def _display_width(film):
    """Returns the width that gives square pixels."""
    width, height = film.size
    aspect = film.stream.sample_aspect_ratio or 1
    corrected = max(round(width * aspect), 1)
    if corrected * height > MAX_PIXELS:
        raise _too_many_pixels(corrected, height)
    return corrected


def _on_white(pixels):
    colours, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _orientation(frame):
    """Returns the display matrix's (a, b, c, d): a pixel at (x, y) belongs at (a x + c y, b x + d y).

    The format is that of the MP4 track header, https://developer.apple.com/documentation/quicktime-file-format.
    """
    data = next((bytes(side) for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = struct.unpack("=5i", data[:20])
    matrix = tuple(fractions.Fraction(value, _ONE) for value in (a, b, c, d))
    if sorted(map(abs, matrix)) != [0, 0, 1, 1] or abs(a) != abs(d):
        raise ClipError("rotated: by a part of a quarter turn; turn it upright and save it again")
    return tuple(map(int, matrix))


def _upright(pixels, orientation):
    a, b, c, d = orientation
    if b:  # x becomes y
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return np.ascontiguousarray(pixels[::d, ::a])


# What is wrong with it --------------------------------------------------------------------------------------


def _truncated():
    return ClipError(f"truncated: the file ends too early; {_COPY_AGAIN}")


def _check_end(file):
    """Refuses a file that ends before its own headers say; FFmpeg would play what is there.

    Returns whether they say so, which in some formats they do not.
    """
    file.seek(0)
    head = file.read(16)
    for pattern, find_end in ((_RIFF, _riff_end), (_BOXES, _boxes_end), (_EBML, _ebml_end), (_GIF, _gif_end)):
        if pattern.match(head):
            end, is_the_end = find_end(file)
            if end > os.fstat(file.fileno()).st_size:
                raise _truncated()
            return is_the_end
    return False


def _read_at(file, place, count):
    file.seek(place)
    return file.read(count)


def _riff_end(file):
    """The end of an AVI: one chunk or, above a gigabyte, several."""
    end = 0
    while (header := _read_at(file, end, 8)).startswith(b"RIFF"):
        length = int.from_bytes(header[4:], "little")
        if not length:  # as it is until a recording is finished
            raise _truncated()
        end += 8 + length + length % 2
    return end, True


def _boxes_end(file):
    """The end of an MP4: boxes of a length (32 bits), a name and perhaps a longer length (64 bits)."""
    end = 0
    names = []
    while header := _read_at(file, end, 16):
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if len(header) < 8:
            raise _truncated()
        if not name.isalnum():
            break  # whatever follows the film
        names.append(name)
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length == 0:
            return end, False  # it goes on for as long as the file
        if length < 8:
            break
        end += length
    if b"moov" not in names:  # the table of contents, which cameras write last
        is_photo = _STILL.match(_read_at(file, 0, 16))
        raise ClipError("not a clip: it looks like a photo; rename or remove it") if is_photo else _truncated()
    return end, b"moof" not in names  # fragments, of which there may have been more


def _ebml_end(file):
    """The end of a Matroska file: a header and a segment, which in a live recording is of unknown length."""
    end = 0
    for name in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        header = _read_at(file, end, 12)
        if len(header) < 12:
            raise _truncated()
        octets = 9 - header[4].bit_length()  # as many as the first one has zeros in front, and one more
        if header[:4] != name or octets > 8:
            return end, False
        length = int.from_bytes(header[4 : 4 + octets], "big") - (1 << 7 * octets)
        if length == (1 << 7 * octets) - 1:
            return end, False
        end += 4 + octets + length
    return end, True


def _gif_end(file):
    """The end of a GIF: blocks up to a semicolon; beyond every file if there is none."""
    place = 13 + _palette_bytes(_read_at(file, 10, 1))
    while (kind := _read_at(file, place, 1)) in (b"!", b","):
        place += 2 if kind == b"!" else 11 + _palette_bytes(_read_at(file, place + 9, 1))
        while length := _read_at(file, place, 1).strip(b"\0"):
            place += 1 + length[0]
        place += 1
    return place + 1 if kind in (b";", b"") else place, True


def _palette_bytes(flags):
    return 3 * 2 ** (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


def _explained(error, file):
    """Turns FFmpeg's words about a file's content into ours."""
    head = _read_at(file, 0, 400)
    if not any(pattern.match(head) for pattern in (_RIFF, _BOXES, _EBML, _GIF, _MPEG)):
        return ClipError(_unidentified(head))
    if isinstance(error, EOFError):
        return _truncated()
    words = getattr(error, "strerror", None) or str(error)
    words = "".join(filter(str.isprintable, words))[:80] or type(error).__name__
    return ClipError(f"damaged: it cannot be decoded ({words}); {_COPY_AGAIN}")


def _unidentified(head):
    """Says what a file is that FFmpeg was not allowed to open."""
    for pattern, kind, advice in _LOOKS_LIKE:
        if pattern.match(head):
            return f"not a clip: it looks like {kind}; {advice}"
    if not head.strip(b"\0"):
        return f"not a clip: it begins with nothing but zeros; {_COPY_AGAIN}"
    text = head.decode("utf-8", errors="ignore")
    if len(text.encode()) >= len(head) - 3 and all(letter.isprintable() or letter.isspace() for letter in text):
        return "not a clip: it looks like a text file; remove it"
    return f"not a clip: its format is unknown; {_CONVERT} or remove it"
