"""Decoding a video file: the frames that are shown at given moments, as a player shows them.

PyAV (https://pyav.basswood-io.com), a binding of FFmpeg, decodes. FFmpeg prefers a wrong picture to an error: it plays
a truncated file as a shorter film, and guesses damaged frames. This module raises errors for such files.
"""

import bisect
import contextlib
import dataclasses
import fractions
import io
import itertools
import os
import pathlib
import statistics
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import av
import av.video.reformatter
import numpy as np
from av.video.reformatter import Colorspace

from common import files
from common.media import containers, hdr, photos

# Matroska rounds times to milliseconds, so the begin of a frame and the end of a clip may be wrong by 1.5 ms. A frame
# that begins this many seconds after a moment therefore counts as shown at that moment.
ROUNDING = 0.002

# Without this option, Matroska files contain a random identifier, and all files contain FFmpeg's version.
_SAME = {"fflags": "+bitexact"}

# A display matrix that rotates by quarter turns or mirrors contains only ±this (1 in 16.16 fixed point) and zeros.
_ONE = 1 << 16

# Clips without a colour tag have the colours of BT.709 if they are wider or higher than this, as mpv and libplacebo
# decide (`pl_color_system_guess_ycbcr`); smaller ones those of BT.601, which is FFmpeg's choice for all.
SD_WIDTH, SD_HEIGHT = 1279, 576
_UNTAGGED = 2  # in ITU-T H.273

Frames = Iterator[tuple[int, av.VideoFrame]]  # (time in ticks, frame)


def write(path: str | os.PathLike, frames: np.ndarray, rate: float = 25, lossless: bool = False) -> None:
    """Write a complete clip that `clips.read` and every player can read, or no file at all.

    Args:
        path: must end in .mp4, for H.264, or, if `lossless`, in .mkv or .avi, for FFV1.
        frames: uint8 of shape (frames, height, width, 3), RGB from 0 to 255. H.264 halves the resolution of
            the colours and needs even sides; at an odd side, the last row or column is repeated.
        rate: frames per second.
        lossless: keep every value and the size unchanged.

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


def _add_stream(container: Any, frames: np.ndarray, rate: Any, lossless: bool) -> Any:
    rate = fractions.Fraction(rate).limit_denominator(1001)
    if lossless:
        # Every frame is a key frame with checksums.
        stream = container.add_stream("ffv1", rate, options={"level": "3", "slicecrc": "1", "g": "1"})
        stream.pix_fmt = "bgr0"
    else:
        # Without this option, about one file in ten differed from run to run (x264 of PyAV 18, its lookahead).
        stream = container.add_stream("libx264", rate, options={"x264-params": "cpu-independent=1"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = Colorspace.ITU601  # FFmpeg's own choice, which not all players make
    stream.height, stream.width = frames.shape[1:3]
    stream.thread_count = 1  # x264's output depends on the number of threads
    return stream


# Files ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Film:
    """The video stream of an open file, with all packets in memory and nothing decoded yet.

    A packet holds one compressed frame. The packets are in decoding order, which differs from the order in which
    frames are shown if there are B-frames.
    """

    format: str
    stream: av.VideoStream
    size: tuple[int, int]  # (width, height) as stored, before any correction
    packets: list[av.Packet]
    times: list[int]  # the begin of each frame, ascending, in ticks of the stream's clock
    starts: list[float]  # the same in seconds from the first frame
    end: float  # seconds at which the last frame ends
    rate: float  # nominal frames per second
    keys: list[tuple[int, int]]  # where decoding can start: (time, packet number), times ascending
    guessed: bool  # the frames' own times are FFmpeg's guesses, in the wrong order
    others: int  # the number of further video streams, which are ignored
    lost: int = 0  # the number of frames at the beginning that cannot be decoded; `times` leaves them out
    has_end: bool = True  # False if the format does not give the length of the file


@contextlib.contextmanager
def open_file(path: str | os.PathLike) -> Iterator[io.BufferedReader]:
    """Open a file for reading, after checking its type and size."""
    try:
        containers.check_file(os.stat(path))
        file = open(path, "rb")
    except FileNotFoundError as error:
        what = "a link to nothing" if os.path.islink(path) else "there is no such file"
        raise containers.ClipError(f"missing: {what}; correct the path or remove the entry") from error
    except (OSError, ValueError) as error:
        raise containers.unreadable(error) from error
    with file:
        yield file


@contextlib.contextmanager
def open_film(file: io.BufferedReader) -> Iterator[Film]:
    """Open the `Film` in an open file; every failure, also inside the `with` block, is a `ClipError`."""
    try:
        has_end = containers.check_end(file)
        file.seek(0)
        with av.open(
            file,
            "r",
            options={"format_whitelist": ",".join(containers.FORMATS), "max_pixels": str(containers.MAX_PIXELS)},
            metadata_errors="replace",
            buffer_size=1 << 18,
        ) as container:
            film = _load(container)
            film.has_end = has_end
            yield _from_first_decodable(film)
    except containers.ClipError:
        raise
    except MemoryError as error:
        raise containers.ClipError("too large: there is not enough memory to decode it; scale it down") from error
    # PyAV raises its own errors and Python's: EOFError, ValueError, OSError, …
    except Exception as error:
        raise containers.explained(error, file) from error


def _load(container: Any) -> Film:
    """Read all packets of the first video stream and raise all errors that can be found before decoding."""
    streams = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise containers.ClipError("no video: the file contains only sound or a cover picture; remove it")
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
    name = containers.FORMATS[container.format.name.split(",")[0]]
    return Film(name, stream, size, packets, times, starts, end, rate, keys, guessed, len(streams) - 1)


def _from_first_decodable(film: Film) -> Film:
    """Return the film without the frames of a beginning that was cut off between two key frames."""
    if film.packets[0].is_keyframe or film.guessed:
        return film
    first, _ = next(decoded(film, film.keys[0]), (film.times[0], None))
    lost = bisect.bisect_left(film.times, first)
    starts = [start - film.starts[lost] for start in film.starts[lost:]]
    end, keys = film.end - film.starts[lost], [(first, 0)] + [key for key in film.keys if key[0] > first]
    unseen = sum(packet.pts is not None and packet.pts < first for packet in film.packets)
    return dataclasses.replace(film, times=film.times[lost:], starts=starts, end=end, keys=keys, lost=unseen)


def _check_stream(stream: Any) -> None:
    """Raise an error for an unknown codec, encryption or an unsuitable size; set up the decoder."""
    decoder = stream.codec_context
    if decoder is None:
        raise containers.ClipError(f"unknown codec: FFmpeg has no decoder for it; {containers.CONVERT}")
    if decoder.codec_tag in ("encv", "drmi"):
        raise _encrypted()
    if not decoder.width or not decoder.height:
        raise containers.ClipError(f"damaged: its frames have no size; {containers.COPY_AGAIN}")
    if decoder.width * decoder.height > containers.MAX_PIXELS:
        raise _too_many_pixels(decoder.width, decoder.height)
    if min(decoder.width, decoder.height) < photos.MIN_SIDE:
        size = f"{decoder.width} x {decoder.height} pixels"
        raise containers.ClipError(f"too small: {size}, needs at least {photos.MIN_SIDE} on each side; remove it")
    decoder.options = {"max_pixels": str(containers.MAX_PIXELS)}
    decoder.thread_count = 1  # many clips are read at the same time, so more threads per clip would slow down all


def _too_many_pixels(width: int, height: int) -> containers.ClipError:
    size = f"{width:,} x {height:,} pixels, more than {containers.MAX_PIXELS:,}"
    return containers.ClipError(f"too many pixels: {size} (decompression bomb?); scale it down")


def _encrypted() -> containers.ClipError:
    return containers.ClipError("encrypted: the file is copy-protected; use an unprotected copy")


def _packets(container: Any, stream: Any) -> list[Any]:
    """Return the packets with a frame, in the order of decoding."""
    packets = []
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise containers.truncated()
        if packet.has_sidedata("encryption_info"):
            raise _encrypted()
        if packet.size:  # PyAV adds an empty packet
            packets.append(packet)
        if len(packets) > containers.MAX_FRAMES:
            raise containers.ClipError(f"too long: more than {containers.MAX_FRAMES:,} frames; cut it into clips")
    if len(packets) < len(stream.index_entries):
        raise containers.truncated()
    if not packets:
        raise containers.ClipError(f"no frames: the video is empty; {containers.COPY_AGAIN}")
    return packets


def _times(container: Any, stream: Any, packets: Sequence[Any]) -> tuple[list[int], int, bool]:
    """Return the times of the frames, the duration of the last one, and whether the times are FFmpeg's guesses.

    FFmpeg guesses the times of AVI with B-frames, because AVI only counts packets. It also guesses those of DivX in any
    container, because DivX packs two frames into one packet and nothing into the next.
    """
    guessed = stream.codec_context.has_b_frames and (container.format.name == "avi" or stream.codec.name == "mpeg4")
    durations = {packet.pts: packet.duration for packet in packets if not packet.is_discard}
    if None in durations:
        guessed = True
        durations = {packet.dts: packet.duration for packet in packets if not packet.is_discard}
    count = sum(not packet.is_discard for packet in packets)
    if not durations or None in durations or len(durations) < count:
        raise containers.ClipError(f"no times: the file has no times for its frames; {containers.CONVERT}")
    times = sorted(durations)
    return times, durations[times[-1]] or 0, guessed


def _rate(stream: Any, starts: Sequence[float]) -> float:
    """Return the nominal frames per second: the declared rate, unless most frames contradict it."""
    declared = [float(rate) for rate in (stream.base_rate, stream.average_rate) if rate]
    if len(starts) == 1:
        return declared[0] if declared else 1.0
    typical = 1 / statistics.median(after - before for before, after in itertools.pairwise(starts))
    # Rounded to milliseconds, as in Matroska, 240 frames per second look like 250.
    return next((rate for rate in declared if abs(rate / typical - 1) < 0.05), typical)


def pictures(film: Film, numbers: Iterable[int]) -> list[np.ndarray]:
    """Return the pixels of the frames with the given ascending numbers."""
    converter = Converter(film)
    return [converter.pixels(frame) for frame in _shown(film, [film.times[number] for number in numbers])]


def stream(film: Film, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield the pixels of the frames with the given ascending numbers, decoding one after the other."""
    converter = Converter(film)
    for frame in _pick(film, [film.times[number] for number in numbers], film.keys[:1]):
        yield converter.pixels(frame)


def _shown(film: Film, times: Sequence[int]) -> list[av.VideoFrame]:
    """Return the frames that are shown at the given ascending times."""
    try:
        return list(_pick(film, times, film.keys))
    except (containers.ClipError, av.FFmpegError):
        # Some files mark frames as key frames that are not; such a clip can be decoded from its beginning.
        return list(_pick(film, times, film.keys[:1]))


def _pick(film: Film, times: Iterable[int], keys: list[tuple[int, int]]) -> Iterator[av.VideoFrame]:
    """Yield the frame that is shown at each time, decoding from the previous key frame."""
    frames: Any = None
    current = following = None
    for time in times:
        key = keys[bisect.bisect_right(keys, (time, len(film.packets))) - 1]
        if frames is None or (following and following[0] < key[0]):
            frames = decoded(film, key)
            current, following = next(frames, None), next(frames, None)
        while following and following[0] <= time:
            current, following = following, next(frames, None)
        if current is None:
            raise containers.ClipError(f"no frames: none can be decoded; {containers.COPY_AGAIN}")
        yield current[1]


def decoded(film: Film, key: tuple[int, int]) -> Frames:
    """Yield (time, frame) from a key frame on, in the order in which frames are shown."""
    frames = _decode(film, key[1])
    if film.guessed:
        yield from _by_arrival(film, frames)
        return
    before = None
    for frame in frames:
        if before is None and key[1] > 0 and not (frame.pts == key[0] and frame.key_frame):
            raise containers.ClipError(f"damaged: a frame is wrongly marked as a key frame; {containers.CONVERT}")
        if frame.pts is None or (before is not None and frame.pts <= before):
            raise containers.ClipError(f"damaged: the times of its frames are out of order; {containers.CONVERT}")
        before = frame.pts
        yield frame.pts, _sound(film, frame)


def _by_arrival(film: Film, frames: Iterable[Any]) -> Frames:
    """Yield (time, frame) with the time of the packet after which the decoder returned it, which keeps the order."""
    before = None
    for frame in frames:
        if before is None:
            time = film.times[0]
            delay = 0 if frame.dts is None else frame.dts - time
        elif frame.dts is None:  # all packets are decoded, and the decoder still returns frames
            time += before.duration or 1
        else:
            time = frame.dts - delay
        before = frame
        yield time, _sound(film, frame)


def _decode(film: Film, first: int) -> Iterator[av.VideoFrame]:
    decoder = film.stream.codec_context
    decoder.flush_buffers()
    for packet in itertools.islice(film.packets, first, None):
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _sound(film: Film, frame: av.VideoFrame) -> av.VideoFrame:
    """Return the frame; raise an error if the decoder guessed parts of it or its size differs from the film's."""
    if frame.is_corrupt:
        raise containers.ClipError(f"damaged: a frame cannot be decoded completely; {containers.COPY_AGAIN}")
    if (frame.width, frame.height) != film.size:
        (width, height), other = film.size, f"{frame.width} x {frame.height}"
        raise containers.ClipError(
            f"frames of several sizes: {width} x {height} and {other} pixels; {containers.CONVERT}"
        )
    return frame


# Pixels -----------------------------------------------------------------------------------------------------


class Converter:
    """A converter from decoded frames of one film to pixels."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.reformatter = av.video.reformatter.VideoReformatter()
        self.saw_transparency = False
        self.saw_mask = False

    def pixels(self, frame: av.VideoFrame) -> np.ndarray:
        """Return a frame as uint8 (height, width, 3), in sRGB and upright."""
        with_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        is_hdr = frame.color_trc in hdr.TRANSFERS
        colours: Any = self.reformatter.reformat(
            frame, width=display_width(self.film), format=_LAYOUTS[with_alpha, is_hdr], threads=1,
            src_colorspace=_colourspace(frame),
        ).to_ndarray()  # fmt: skip
        pixels = hdr.to_srgb(colours[..., :3], frame.color_trc, frame.color_primaries) if is_hdr else colours[..., :3]
        if with_alpha:
            pixels = self._on_white(pixels, colours[..., 3] >> 8 if is_hdr else colours[..., 3])
        return _upright(pixels, orientation(frame))

    def _on_white(self, pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        if not alpha.any():  # a mask; nothing of the frame would be seen
            self.saw_mask = True
            return pixels
        self.saw_transparency |= bool(alpha.min() < 255)
        colours, alpha = pixels.astype(np.uint16), alpha[..., np.newaxis].astype(np.uint16)
        return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


_LAYOUTS = {(False, False): "rgb24", (True, False): "rgba", (False, True): "rgb48le", (True, True): "rgba64le"}


def _colourspace(frame: av.VideoFrame) -> int | None:
    """Return how a frame's luma and chroma make RGB, None if the frame says it or FFmpeg's choice is right."""
    if frame.colorspace != _UNTAGGED:
        return None
    if frame.color_trc in hdr.TRANSFERS:
        return hdr.BT2020
    return Colorspace.ITU709 if frame.width > SD_WIDTH or frame.height > SD_HEIGHT else None


def display_width(film: Film) -> int:
    """Return the width that gives square pixels."""
    width, height = film.size
    aspect = film.stream.sample_aspect_ratio or 1
    corrected = max(round(width * aspect), 1)
    if corrected * height > containers.MAX_PIXELS:
        raise _too_many_pixels(corrected, height)
    return corrected


def orientation(frame: Any) -> tuple[int, int, int, int]:
    """Return the display matrix's (a, b, c, d): a pixel at (x, y) is shown at (a x + c y, b x + d y).

    The format is that of the MP4 track header, https://developer.apple.com/documentation/quicktime-file-format.
    """
    data = next((bytes(side) for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = struct.unpack("=5i", data[:20])
    matrix = tuple(fractions.Fraction(value, _ONE) for value in (a, b, c, d))
    if sorted(map(abs, matrix)) != [0, 0, 1, 1] or abs(a) != abs(d):
        raise containers.ClipError("rotated: not by a quarter turn; turn it upright and save it again")
    return int(matrix[0]), int(matrix[1]), int(matrix[2]), int(matrix[3])


def _upright(pixels: np.ndarray, orientation: tuple[int, int, int, int]) -> np.ndarray:
    a, b, c, d = orientation
    if b:  # x becomes y
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return np.ascontiguousarray(pixels[::d, ::a])
