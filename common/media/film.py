"""Decoding a video file: the frames that are shown at some moments, as a person sees them in a player.

PyAV decodes (https://pyav.basswood-io.com), which is FFmpeg. It is asked for less than it can do,
because it prefers a wrong picture to none: a file that ends too early is a shorter film to it, and a
frame that it has to guess is a frame.
"""

import bisect
import contextlib
import dataclasses
import fractions
import itertools
import os
import pathlib
import statistics
import struct

import av
import av.video.reformatter
import numpy as np

from common import files
from common.media import containers, photos

# Matroska rounds times to milliseconds. Where a frame begins and where the clip ends may then be 1.5 ms apart
# from what they should be, so a frame that begins this many seconds after a moment is shown at it.
ROUNDING = 0.002

# Without it Matroska files get a random identity, and all of them FFmpeg's version.
_SAME = {"fflags": "+bitexact"}

# A display matrix of 16.16 fixed-point numbers that turns by quarters or mirrors holds these and zeros.
_ONE = 1 << 16


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
        # Without this, one file in ten or so came out another (x264 of PyAV 18, its lookahead).
        stream = container.add_stream("libx264", rate, options={"x264-params": "cpu-independent=1"})
        stream.pix_fmt = "yuv420p"
    stream.height, stream.width = frames.shape[1:3]
    stream.thread_count = 1  # x264's result depends on it
    return stream


# Files ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Film:
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


@contextlib.contextmanager
def open_file(path):
    """Opens a file for reading, once it is known to have a beginning and an end."""
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
def open_film(file):
    """Gives the `Film` in an open file; anything that goes wrong, in the block too, is a `ClipError`."""
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
            yield film
    except containers.ClipError:
        raise
    except MemoryError as error:
        raise containers.ClipError("too large: there is not enough memory to decode it; scale it down") from error
    # PyAV throws its own errors, and what their like in Python are: EOFError, ValueError, OSError, …
    except Exception as error:
        raise containers.explained(error, file) from error


def _load(container):
    """Reads all packets of the first video stream: what can go wrong before decoding goes wrong here."""
    streams = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise containers.ClipError("no video: there are no moving pictures in it, only sound or a cover; remove it")
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


def _check_stream(stream):
    """Refuses, before decoding, what is unknown, too much or too little; sets the decoder up."""
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
    decoder.thread_count = 1  # many clips are read at a time, and more threads per clip slow them all down


def _too_many_pixels(width, height):
    size = f"{width:,} x {height:,} pixels, more than {containers.MAX_PIXELS:,}"
    return containers.ClipError(f"too many pixels: {size} (decompression bomb?); scale it down")


def _encrypted():
    return containers.ClipError("encrypted: it is protected against copying; get it without protection")


def _packets(container, stream):
    """Returns the packets that hold a frame which is shown, in the order of decoding."""
    packets = []
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise containers.truncated()
        if packet.has_sidedata("encryption_info"):
            raise _encrypted()
        if packet.size:  # PyAV adds an empty one
            packets.append(packet)
        if len(packets) > containers.MAX_FRAMES:
            raise containers.ClipError(f"too long: more than {containers.MAX_FRAMES:,} frames; cut it into clips")
    if len(packets) < len(stream.index_entries):
        raise containers.truncated()
    if not packets:
        raise containers.ClipError(f"no frames: the video in it is empty; {containers.COPY_AGAIN}")
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
        raise containers.ClipError(f"no times: it does not say when its frames are shown; {containers.CONVERT}")
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


def pictures(film, numbers):
    """Returns the pixels of the frames with these numbers, which ascend."""
    converter = Converter(film)
    return [converter.pixels(frame) for frame in _shown(film, [film.times[number] for number in numbers])]


def _shown(film, times):
    """Returns the frames that are shown at these times, which ascend."""
    try:
        return list(_pick(film, times, film.keys))
    except (containers.ClipError, av.FFmpegError):
        # Some files call frames key frames that are none; from its beginning on, such a clip can be decoded.
        return list(_pick(film, times, film.keys[:1]))


def _pick(film, times, keys):
    """Yields the frame that is shown at each time, decoding from the key frame before it."""
    frames = current = following = None
    for time in times:
        key = keys[bisect.bisect_right(keys, (time, len(film.packets))) - 1]
        if frames is None or (following and following[0] < key[0]):
            frames = decoded(film, key)
            current, following = next(frames, None), next(frames, None)
        while following and following[0] <= time:
            current, following = following, next(frames, None)
        if current is None:
            raise containers.ClipError(f"no frames: not one can be decoded; {containers.COPY_AGAIN}")
        yield current[1]


def decoded(film, key):
    """Yields (time, frame) from a key frame on, in the order in which they are shown."""
    frames = _decode(film, key[1])
    if film.guessed:
        yield from _by_arrival(film, frames)
        return
    before = None
    for frame in frames:
        if before is None and key[1] > 0 and not (frame.pts == key[0] and frame.key_frame):
            raise containers.ClipError(f"damaged: a key frame is none; {containers.CONVERT}")
        if frame.pts is None or (before is not None and frame.pts <= before):
            raise containers.ClipError(f"damaged: the times of its frames are out of order; {containers.CONVERT}")
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
        raise containers.ClipError(f"damaged: a frame cannot be decoded in full; {containers.COPY_AGAIN}")
    if (frame.width, frame.height) != film.size:
        (width, height), other = film.size, f"{frame.width} x {frame.height}"
        raise containers.ClipError(
            f"frames of several sizes: {width} x {height} and {other} pixels; {containers.CONVERT}"
        )
    return frame


# Pixels -----------------------------------------------------------------------------------------------------


class Converter:
    """Turns decoded frames of one film into pixels."""

    def __init__(self, film):
        self.film = film
        self.reformatter = av.video.reformatter.VideoReformatter()
        self.saw_transparency = False

    def pixels(self, frame):
        """Returns a frame as uint8 (height, width, 3), upright."""
        with_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
        pixels = self.reformatter.reformat(
            frame, width=display_width(self.film), format="rgba" if with_alpha else "rgb24", threads=1
        ).to_ndarray()
        if with_alpha:
            self.saw_transparency |= bool(pixels[..., 3].min() < 255)
            pixels = _on_white(pixels)
        return _upright(pixels, orientation(frame))


def display_width(film):
    """Returns the width that gives square pixels."""
    width, height = film.size
    aspect = film.stream.sample_aspect_ratio or 1
    corrected = max(round(width * aspect), 1)
    if corrected * height > containers.MAX_PIXELS:
        raise _too_many_pixels(corrected, height)
    return corrected


def _on_white(pixels):
    colours, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def orientation(frame):
    """Returns the display matrix's (a, b, c, d): a pixel at (x, y) belongs at (a x + c y, b x + d y).

    The format is that of the MP4 track header, https://developer.apple.com/documentation/quicktime-file-format.
    """
    data = next((bytes(side) for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = struct.unpack("=5i", data[:20])
    matrix = tuple(fractions.Fraction(value, _ONE) for value in (a, b, c, d))
    if sorted(map(abs, matrix)) != [0, 0, 1, 1] or abs(a) != abs(d):
        raise containers.ClipError("rotated: by a part of a quarter turn; turn it upright and save it again")
    return tuple(map(int, matrix))


def _upright(pixels, orientation):
    a, b, c, d = orientation
    if b:  # x becomes y
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return np.ascontiguousarray(pixels[::d, ::a])
