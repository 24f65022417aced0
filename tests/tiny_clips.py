"""Clips whose frames spell their numbers, in every container and codec that is read."""

import fractions
import os

import av
import numpy as np
import PIL.Image
import pytest

from common.media import clips, containers

WIDTH, HEIGHT = 96, 64
BITS = 8
KINDS = {
    "plain.mp4": {"codec": "libx264"},
    "open-gop.mp4": {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"},
    "refresh.mp4": {"x264-params": "intra-refresh=1:keyint=10:bframes=0"},
    "hevc.mp4": {"codec": "libx265", "preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "g": "10"},
    "front.mov": {"container_options": {"movflags": "faststart"}},
    "mpeg4.mp4": {"codec": "mpeg4", "bf": "2"},
    "plain.mkv": {"codec": "libx264", "rate": 30},
    "ffv1.mkv": {"codec": "ffv1", "pixel_format": "bgr0"},
    "vp8.webm": {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "16"},
    "live.webm": {"codec": "libvpx", "container_options": {"live": "1"}},
    "vp9.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8"},
    "b-frames.avi": {"codec": "mpeg4", "bf": "2"},
    "h264.avi": {"codec": "libx264"},
    "h264-p.avi": {"codec": "libx264", "bf": "0"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": "2"},
    "plain.ts": {"codec": "libx264"},
    "camera.m2ts": {"codec": "libx264", "bf": "2"},
    "wmv2.wmv": {"codec": "wmv2"},
    "sorenson.flv": {"codec": "flv"},
    "h264.flv": {"codec": "libx264"},
    "phone.3gp": {"codec": "mpeg4"},
    "vp8.ogv": {"codec": "libvpx", "auto-alt-ref": "1"},
    "mpeg2.vob": {"codec": "mpeg2video"},
    "rgb8.gif": {"codec": "gif", "pixel_format": "rgb8"},
    "10-bit.mkv": {"codec": "ffv1", "pixel_format": "yuv420p10le"},
    "16-bit.mkv": {"codec": "ffv1", "pixel_format": "gray16le"},
    "grey.mkv": {"codec": "ffv1", "pixel_format": "gray"},
    "bgra.avi": {"codec": "rawvideo", "pixel_format": "bgra"},
    "rgb.mp4": {"codec": "libx264rgb", "pixel_format": "rgb24"},
    "444.mp4": {"codec": "libx264", "pixel_format": "yuv444p"},
    "qtrle.mov": {"codec": "qtrle", "pixel_format": "rgb24"},
    "png.mov": {"codec": "png", "pixel_format": "rgb24"},
}  # fmt: skip

# Formats that do not give the length of the file.
WITHOUT_LENGTH = ("fragmented.mp4", "live.webm", "mpeg2.mpg", "mpeg2.vob", "plain.ts", "camera.m2ts", "sorenson.flv",
                  "h264.flv")  # fmt: skip


def picture(number, width=WIDTH, height=HEIGHT):
    """A frame whose upper half spells its number in white and black stripes, the highest bit at the left."""
    pixels = np.full((height, width, 3), (200, 60, 90), np.uint8)
    for bit, columns in enumerate(np.array_split(np.arange(width), BITS)):
        pixels[: height // 2, columns] = 255 * (number >> (BITS - 1 - bit) & 1)
    return pixels


def number_of(pixels):
    """The number of a frame; what a codec loses does not matter."""
    stripes = np.array_split(pixels[: len(pixels) // 2].mean((0, 2)), BITS)
    return int("".join(str(int(stripe.mean() > 128)) for stripe in stripes), 2)


def numbers(path, **how):
    return [number_of(pixels) for pixels in clips.read(path, **how)]


def encode(path, codec="libx264", pixel_format="yuv420p", shown=range(40), rate=25, pixels=None, prepare=None, **how):
    """Writes frames that are numbered from 0, each shown from its number in `shown` on, in 1 / rate seconds."""
    container_options = how.pop("container_options", {})
    with av.open(os.fspath(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options={"threads": "1"} | how)
        pixels = pixels or [picture(number) for number in range(len(shown))]
        stream.height, stream.width = pixels[0].shape[:2]
        stream.pix_fmt = pixel_format
        if prepare:
            prepare(stream)
        for moment, values in zip(shown, pixels, strict=True):
            layout = {3: "rgb24", 4: "rgba"}[values.shape[2]]
            frame = av.VideoFrame.from_ndarray(values, layout)
            frame.pts, frame.time_base = moment, fractions.Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def save_frames(folder, names, size=(WIDTH, HEIGHT)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        PIL.Image.fromarray(picture(number, *size)).save(folder / name)
    return str(folder)


def problem(path):
    """What `read` and `inspect` both say about a bad clip."""
    with pytest.raises(containers.ClipError) as raised:
        clips.read(path)
    facts = clips.inspect(path)
    assert facts.problem == str(raised.value)
    assert facts.problem.isprintable() and str(path) not in facts.problem and "; " in facts.problem
    assert (facts.format, facts.width, facts.height, facts.notes) == ("", 0, 0, ())
    assert (facts.frames, facts.seconds) == (0, 0)
    return facts.problem
