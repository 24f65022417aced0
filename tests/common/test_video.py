import concurrent.futures
import dataclasses
import fractions
import hashlib
import json
import os
import random
import time

import av
import helpers
import numpy as np
import PIL.Image
import pytest

from common import errors, scan, video

WIDTH, HEIGHT = 96, 64
BITS = 8


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
    return [number_of(pixels) for pixels in video.read(path, **how)]


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


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def write_file(content, name="clip.mp4"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write_file


def problem(path):
    """What `read` and `inspect` both say about a bad clip."""
    with pytest.raises(video.ClipError) as raised:
        video.read(path)
    facts = video.inspect(path)
    assert facts.problem == str(raised.value)
    assert facts.problem.isprintable() and str(path) not in facts.problem and "; " in facts.problem
    assert (facts.format, facts.width, facts.height, facts.notes) == ("", 0, 0, ())
    assert (facts.frames, facts.seconds) == (0, 0)
    return facts.problem


# Which frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (16, list(range(16))),
        (8, [1, 3, 5, 7, 9, 11, 13, 15]),
        (4, [2, 6, 10, 14]),
        (3, [2, 8, 13]),  # at 2.67, 8 and 13.33
        (1, [8]),
        (32, sorted([*range(16), *range(16)])),
    ],
)
def test_whole_takes_the_middles_of_equal_parts(frames, expected):
    assert video.indices(range(16), 16, 1, frames) == expected


def test_whole_goes_by_time_not_by_number():
    # Shown for 1, 1, 6 and 2 seconds: the middles of five parts are 1, 3, 5, 7 and 9 seconds.
    assert video.indices([10, 11, 12, 18], 20, 1, 5) == [1, 2, 2, 2, 3]


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, 120])
@pytest.mark.parametrize("count", [16, 31, 32, 96, 320])
@pytest.mark.parametrize("sampling", video.SAMPLINGS)
def test_rounding_to_milliseconds_changes_nothing(rate, count, sampling):
    exact = np.arange(count) / rate
    rounded = np.round(exact, 3)
    expected = video.indices(exact, count / rate, rate, 16, sampling)
    assert video.indices(rounded, rounded[-1] + round(1 / rate, 3), rate, 16, sampling) == expected


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0, [0, 2, 4]), (0.49, [2, 4, 6]), (0.5, [3, 5, 7]), (1, [5, 7, 9])],
)
def test_window_stands_where_it_is_put(position, expected):
    starts = np.arange(10) / 25
    assert video.indices(starts, 10 / 25, 25, 3, "window", stride=2, position=position) == expected


def test_every_window_gets_an_equal_share_of_the_positions():
    # Three frames of five: three windows.
    firsts = [
        video.indices(range(5), 5, 1, 3, "window", stride=1, position=position)[0]
        for position in np.linspace(0, 1, 301)[:-1]
    ]
    assert np.bincount(firsts).tolist() == [100, 100, 100]


def test_window_goes_by_the_nominal_rate_over_dropped_frames():
    # 2 and 3 were dropped, so 1 is shown on.
    assert video.indices([0, 1, 4, 5, 6], 7, 1, 7, "window", stride=1) == [0, 1, 1, 1, 2, 3, 4]


def test_clip_shorter_than_the_window_repeats_its_last_frame():
    assert video.indices(range(3), 3, 1, 4, "window", stride=2, position=1) == [0, 2, 2, 2]
    assert video.indices([0], 1, 1, 3, "window") == [0, 0, 0] == video.indices([0], 1, 1, 3)


@pytest.mark.parametrize(
    "how", [{"frames": 0}, {"sampling": "all"}, {"stride": 0}, {"position": 1.1}, {"position": float("nan")}]
)
def test_wrong_arguments(tmp_path, how):
    with pytest.raises(ValueError, match=f"{next(iter(how))} must be"):
        video.read(tmp_path / "none.mp4", **how)


# Files ------------------------------------------------------------------------------------------------------

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


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """One clip of 40 numbered frames for each of `KINDS`."""
    folder = tmp_path_factory.mktemp("clips")
    return {name: encode(folder / name, **dict(kind)) for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_containers_codecs_and_pixel_formats(clips, name):
    path = clips[name]
    assert numbers(path) == [1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28, 31, 33, 36, 38]
    assert numbers(path, sampling="window", position=0) == list(range(0, 32, 2))
    assert numbers(path, frames=3, sampling="window", stride=7, position=1) == [25, 32, 39]
    assert numbers(path, frames=80) == sorted([*range(40), *range(40)])
    pixels = video.read(path, frames=2)
    assert pixels.shape == (2, HEIGHT, WIDTH, 3) and pixels.dtype == np.uint8 and pixels.flags.writeable
    grey = "grey" in name or "16-bit" in name
    tolerance = 90 if name.endswith(".gif") else 12
    np.testing.assert_allclose(pixels[0, -4, 4], (105,) * 3 if grey else (200, 60, 90), atol=tolerance)
    facts = video.inspect(path)
    rate = KINDS[name].get("rate", 25)
    assert facts.problem == "" and (facts.width, facts.height, facts.frames) == (WIDTH, HEIGHT, 40)
    assert facts.seconds == pytest.approx(40 / rate, abs=0.002)
    assert "variable frame rate" not in facts.notes and "alpha composited on white" not in facts.notes
    assert ("grey" in facts.notes) == grey
    assert ("deep colours scaled to 8 bits" in facts.notes) == ("-bit" in name)
    assert ("no sign that its end is there" in facts.notes) == (name in ("fragmented.mp4", "live.webm", "mpeg2.mpg"))


def test_facts(tmp_path):
    path = encode(tmp_path / "clip.mp4", shown=range(10))
    content = (tmp_path / "clip.mp4").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    facts = video.inspect(tmp_path / "clip.mp4")
    assert facts == video.Facts(path, len(content), digest, "MP4 h264", WIDTH, HEIGHT, (), "", 10, 0.4)
    fields = json.loads(json.dumps(dataclasses.asdict(facts)))
    assert video.Facts(**fields | {"notes": tuple(fields["notes"])}) == facts


def test_the_content_counts_not_the_name(tmp_path):
    path = encode(tmp_path / "clip.mp4", shown=range(10))
    os.rename(path, tmp_path / "clip.avi")
    assert video.inspect(tmp_path / "clip.avi").notes == ("MP4 named .avi",)


SLIDES = [0, 1, 2, 10, 11, 30, 31, 32, 33, 60]


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv", "slides.gif"])
def test_variable_frame_rate_goes_by_time(tmp_path, name):
    kind = {"codec": "gif", "pixel_format": "rgb8"} if name.endswith("gif") else {}
    path = encode(tmp_path / name, shown=SLIDES, **kind)
    # 61 frames' time, so that the n-th of 61 middles is that of the n-th frame at the nominal rate.
    shown = [sum(start <= moment for start in SLIDES) - 1 for moment in range(61)]
    assert numbers(path, frames=61) == shown
    assert numbers(path, frames=61, sampling="window", stride=1) == shown
    facts = video.inspect(path)
    assert "variable frame rate" in facts.notes and facts.seconds == pytest.approx(61 / 25, abs=0.002)


def test_a_declared_rate_that_no_frame_keeps(tmp_path):
    chance = random.Random(0)
    shown = [33 * number + chance.randrange(-3, 4) + 10 for number in range(40)]
    path = encode(tmp_path / "clip.mkv", shown=shown, rate=1000)
    with av.open(path) as container:
        assert container.streams.video[0].base_rate == 1000
    assert numbers(path, frames=40, sampling="window", stride=1) == list(range(40))


def test_frames_dropped_from_an_avi(tmp_path):
    shown = [moment for moment in range(42) if moment % 7 != 3]
    path = encode(tmp_path / "clip.avi", "mpeg4", shown=shown)
    expected = [sum(start <= moment for start in shown) - 1 for moment in range(42)]
    assert numbers(path, frames=42) == numbers(path, frames=42, sampling="window", stride=1) == expected


def test_packed_b_frames(tmp_path):
    """DivX put a B-frame into the packet of the P-frame before it, and a frame without content into the next."""
    source = encode(tmp_path / "plain.avi", "mpeg4", shown=range(41), bf="1", g="100", sc_threshold="1000000000")
    with av.open(source) as container:
        header = container.streams.video[0].codec_context.extradata
        frames = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    start = b"\0\0\1\xb6"
    assert [frame[frame.index(start) + 4] >> 6 for frame in frames[:5]] == [0, 1, 2, 1, 2]  # I, P, B, P, B
    packets = [header + b"\0\0\1\xb2DivX503b1393p\0" + frames[0]]
    for number in range(1, len(frames), 2):
        packets += [frames[number] + frames[number + 1], start + b"\x50\x7f"]
    with av.open(str(tmp_path / "packed.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for moment, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts = stream, moment, moment
            packet.time_base = fractions.Fraction(1, 25)
            container.mux(packet)
    assert video.inspect(tmp_path / "packed.avi").problem == ""
    assert numbers(tmp_path / "packed.avi", frames=41) == list(range(41))
    assert numbers(tmp_path / "packed.avi", frames=9, sampling="window", stride=5, position=0) == list(range(0, 41, 5))


def test_an_edit_list_cuts_the_beginning(tmp_path):
    path = encode(tmp_path / "clip.mp4", shown=range(-5, 35))
    assert numbers(path, frames=35) == list(range(5, 40))
    assert video.inspect(path).frames == 35


ORIENTATIONS = [  # degrees, mirrored, and what is then at the left end of the row at the top
    (0, False), (90, False), (180, False), (-90, False), (0, True), (90, True), (180, True), (-90, True),
]  # fmt: skip


@pytest.mark.parametrize(("degrees", "mirrored"), ORIENTATIONS)
@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_rotation(tmp_path, degrees, mirrored, extension):
    def turn(stream):
        stream.set_display_rotation(degrees, hflip=mirrored)

    path = encode(tmp_path / f"turned{extension}", "libx264rgb", "rgb24", range(3), prepare=turn, qp="0")
    expected = picture(1)
    # As PyAV documents it, the frame is first turned counterclockwise and then mirrored.
    expected = np.rot90(expected, degrees // 90)[:, :: -1 if mirrored else 1]
    pixels = video.read(path, frames=3)
    np.testing.assert_array_equal(pixels[1], expected)
    facts = video.inspect(path)
    assert (facts.height, facts.width) == expected.shape[:2]
    assert facts.notes == (("rotation applied",) if degrees or mirrored else ())


def test_rotation_by_less_than_a_quarter(tmp_path):
    path = encode(tmp_path / "clip.mp4", shown=range(3), prepare=lambda stream: stream.set_display_rotation(30))
    assert problem(path).startswith("rotated")


@pytest.mark.parametrize(("aspect", "width"), [("2/1", 192), ("1/2", 48), ("4/3", 128), ("1/1", 96)])
@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_pixels_that_are_not_square(tmp_path, aspect, width, extension):
    def stretch(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(aspect)

    path = encode(tmp_path / f"wide{extension}", prepare=stretch)
    assert video.read(path).shape == (16, HEIGHT, width, 3) and numbers(path, frames=40) == list(range(40))
    facts = video.inspect(path)
    assert (facts.width, facts.height) == (width, HEIGHT)
    assert facts.notes == (() if width == WIDTH else ("non-square pixels corrected",))


def test_the_stretch_comes_before_the_turn(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(2)
        stream.set_display_rotation(90)

    path = encode(tmp_path / "clip.mp4", prepare=prepare)
    assert video.read(path).shape == (16, 2 * WIDTH, HEIGHT, 3)


@pytest.mark.parametrize("name", ["clip.gif", "clip.mkv", "clip.mov"])
def test_transparent_is_white(tmp_path, name):
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[:, WIDTH // 2 :] = (0, 0, 255, 255)
    path = tmp_path / name
    if name.endswith("gif"):
        pictures = [PIL.Image.fromarray(pixels), PIL.Image.fromarray(pixels[::-1, ::-1])]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], disposal=2, duration=100)
    else:
        kind = ("ffv1", "bgra") if name.endswith("mkv") else ("qtrle", "argb")
        encode(path, *kind, shown=range(2), pixels=[pixels, np.ascontiguousarray(pixels[::-1, ::-1])])
    found = video.read(path, frames=2)
    np.testing.assert_array_equal(found[0, 5, [5, -5]], [(255, 255, 255), (0, 0, 255)])
    np.testing.assert_array_equal(found[1, 5, [5, -5]], [(0, 0, 255), (255, 255, 255)])
    assert "alpha composited on white" in video.inspect(path).notes


def test_half_transparent_is_half_white(tmp_path):
    pixels = np.full((HEIGHT, WIDTH, 4), (255, 0, 0, 128), np.uint8)
    path = encode(tmp_path / "clip.mkv", "ffv1", "bgra", range(1), pixels=[pixels])
    np.testing.assert_array_equal(video.read(path)[0, 0, 0], (255, 127, 127))


def several_streams(path, codecs, covers=()):
    """Writes one stream per codec; the frames of the second video stream are numbered from 100."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, codec in enumerate(codecs):
            if codec == "aac":
                streams.append(container.add_stream(codec, rate=44100))
                continue
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = WIDTH, HEIGHT
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if number in covers:
                stream.disposition = av.stream.Disposition.attached_pic
            streams.append(stream)
        for number, stream in enumerate(streams):
            if stream.type == "audio":
                sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
                sound.sample_rate = 44100
                container.mux(stream.encode(sound))
            for moment in range(1 if number in covers else 20) if stream.type == "video" else ():
                frame = av.VideoFrame.from_ndarray(picture(moment + 100 * number))
                frame.pts, frame.time_base = moment, fractions.Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_the_first_of_two_video_streams(tmp_path, extension):
    path = several_streams(tmp_path / f"two{extension}", ["mpeg4", "mpeg4"])
    assert numbers(path, frames=20) == list(range(20))
    assert "first of 2 video streams taken" in video.inspect(path).notes


def test_sound_is_left_aside(tmp_path):
    path = several_streams(tmp_path / "clip.mp4", ["aac", "mpeg4"])
    assert numbers(path, frames=20) == list(range(100, 120)) and video.inspect(path).notes == ()


def test_a_cover_picture_is_left_aside(tmp_path):
    path = several_streams(tmp_path / "clip.mp4", ["mjpeg", "mpeg4"], covers=[0])
    assert numbers(path, frames=20) == list(range(100, 120)) and video.inspect(path).notes == ()


@pytest.mark.parametrize("codecs", [["aac"], ["aac", "mjpeg"]])
def test_sound_without_moving_pictures(tmp_path, codecs):
    path = several_streams(tmp_path / "song.mp4", codecs, covers=[1])
    assert problem(path).startswith("no video: there are no moving pictures in it")


@pytest.mark.parametrize("name", ["one.mp4", "one.avi", "one.mkv", "one.gif", "one.mpg"])
def test_one_frame(tmp_path, name):
    codec = {".gif": "gif", ".mpg": "mpeg2video"}.get(name[3:], "mpeg4")
    path = encode(tmp_path / name, codec, "rgb8" if codec == "gif" else "yuv420p", range(1))
    assert numbers(path) == numbers(path, sampling="window") == [0] * 16
    facts = video.inspect(path)
    assert "one frame" in facts.notes and facts.frames == 1


def test_short_clip(tmp_path):
    path = encode(tmp_path / "short.mp4", shown=range(5))
    assert numbers(path, frames=10) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert numbers(path, frames=8, sampling="window", stride=1) == [0, 1, 2, 3, 4, 4, 4, 4]
    assert numbers(path, frames=4, sampling="window", stride=2, position=1) == [0, 2, 4, 4]


@pytest.mark.parametrize(
    "name", ["with space.mp4", "Übung ✋.mp4", "two\nlines.mp4", b"not utf-8 \xff.mp4", "CLIP.MP4"]
)
def test_names(tmp_path, name):
    path = os.path.join(tmp_path, os.fsdecode(name))
    video.write(path, np.stack([picture(number) for number in range(4)]))
    assert video.is_clip(path) and numbers(path, frames=4) == [0, 1, 2, 3]
    facts = video.inspect(path)
    assert facts.path == path and facts.problem == ""


def test_what_is_a_clip(tmp_path):
    for extension in video.EXTENSIONS:
        assert video.is_clip(f"a{extension}") and video.is_clip(tmp_path / f"a{extension.upper()}")
    assert not any(video.is_clip(name) for name in ("a.jpg", "a.txt", "mp4", ".hidden.mp4", ".mp4"))
    save_frames(tmp_path / "frames", ["0.png"])
    save_frames(tmp_path / ".frames", ["0.png"])
    (tmp_path / "empty.mp4").mkdir()
    assert video.is_clip(tmp_path / "frames")
    assert not video.is_clip(tmp_path / ".frames") and not video.is_clip(tmp_path / "empty.mp4")


# Seeking ----------------------------------------------------------------------------------------------------

LONG = {
    "sparse.mp4": {"x264-params": "keyint=60:min-keyint=60:bframes=3:scenecut=0:b-pyramid=normal"},
    "open.mp4": {"x264-params": "open-gop=1:keyint=25:bframes=3:scenecut=0"},
    "open.mkv": {"x264-params": "open-gop=1:keyint=25:bframes=3:scenecut=0", "rate": 30},
    "open.hevc.mp4": {"codec": "libx265", "preset": "ultrafast",
                      "x265-params": "log-level=none:pools=none:frame-threads=1:keyint=25:open-gop=1:bframes=3"},
    "refresh.mp4": {"x264-params": "intra-refresh=1:keyint=25:bframes=0"},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": "2", "g": "30"},
    "vp8.webm": {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "30", "deadline": "realtime"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_skipping_to_key_frames_changes_nothing(tmp_path, monkeypatch, name):
    path = encode(tmp_path / name, shown=range(250), **dict(LONG[name]))
    decoded = []
    decode = video._decode

    def counted(film, first):
        for frame in decode(film, first):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(video, "_decode", counted)
    every = video.read(path, frames=250, sampling="window", stride=1)
    assert [number_of(pixels) for pixels in every] == list(range(250))
    for how in (
        {"frames": 3},
        {"frames": 16},
        {"frames": 5, "sampling": "window", "stride": 3, "position": 0.8},
        {"frames": 2, "sampling": "window", "stride": 90, "position": 1},
        {"frames": 40},
    ):
        del decoded[:]
        found = video.read(path, **how)
        np.testing.assert_array_equal(found, every[[number_of(pixels) for pixels in found]])
        if how["frames"] < 10 and name != "refresh.mp4":
            assert len(decoded) < 200
    starts = np.arange(250) / 25
    assert numbers(path) == video.indices(starts, 10, 25)


NO_KEY_FRAMES = {  # after the first one
    "mpeg4": {"sc_threshold": "1000000000"},
    "mpeg2video": {"sc_threshold": "1000000000"},
    "libx264": {"sc_threshold": "0"},
    "libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1:bframes=0:scenecut=0"},
    "libvpx": {},
}


@pytest.mark.parametrize("codec", NO_KEY_FRAMES)
@pytest.mark.parametrize("packet", [20, 30])
def test_a_key_frame_that_is_none(tmp_path, monkeypatch, codec, packet):
    path = encode(tmp_path / "clip.mkv", codec, shown=range(60), g="60", bf="0", **NO_KEY_FRAMES[codec])
    expected = video.read(path)
    load = video._load

    def deceived(container):
        film = load(container)
        assert not film.packets[packet].is_keyframe
        film.keys = [film.keys[0], (film.times[30], packet)]
        return film

    monkeypatch.setattr(video, "_load", deceived)
    np.testing.assert_array_equal(video.read(path), expected)
    window = {"sampling": "window", "stride": 1, "position": 1}
    assert numbers(path, **window) == list(range(44, 60))


def test_a_key_frame_that_is_another(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", "mpeg4", shown=range(60), g="20", sc_threshold="1000000000")
    load = video._load

    def deceived(container):
        film = load(container)
        assert film.packets[40].is_keyframe
        film.keys = [film.keys[0], (film.times[30], 40)]
        return film

    monkeypatch.setattr(video, "_load", deceived)
    assert numbers(path, frames=60) == list(range(60)) and numbers(path, frames=3) == [10, 30, 50]


# Folders of frames ------------------------------------------------------------------------------------------


def test_folder_of_frames_in_natural_order(tmp_path):
    names = [f"frame_{number}.png" for number in range(1, 21)]
    folder = save_frames(tmp_path / "clip", names)
    (tmp_path / "clip" / "labels.txt").write_text("no frame")
    (tmp_path / "clip" / "._frame_3.png").write_text("what macOS leaves behind")
    assert [os.path.basename(path) for path in video.frame_paths(folder)] == names
    assert numbers(folder, frames=20) == list(range(20))
    assert numbers(folder, frames=4, sampling="window", stride=3, position=0) == [0, 3, 6, 9]
    facts = video.inspect(folder)
    size = sum((tmp_path / "clip" / name).stat().st_size for name in names)
    expected = video.Facts(folder, size, facts.sha256, "folder of PNG", WIDTH, HEIGHT, (), "", 20, 0.0)
    assert facts == expected and len(facts.sha256) == 64


def test_folder_s_hash_follows_its_content_and_not_its_name(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    first = video.inspect(save_frames(tmp_path / "first", names)).sha256
    assert video.inspect(save_frames(tmp_path / "second", names)).sha256 == first
    os.rename(tmp_path / "second" / "11.png", tmp_path / "second" / "12.png")
    assert video.inspect(tmp_path / "second").sha256 != first
    assert video.inspect(save_frames(tmp_path / "third", names[::-1])).sha256 != first
    assert video.inspect(save_frames(tmp_path / "fourth", names[:-1])).sha256 != first


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    assert problem(tmp_path / "empty").startswith("no frames")
    folder = save_frames(tmp_path / "mixed", ["0.png", "1.png"])
    save_frames(tmp_path / "mixed", ["2.png"], size=(WIDTH, 32))
    assert problem(folder).startswith("frames of several sizes: 96 x 32 and 96 x 64 pixels")
    folder = save_frames(tmp_path / "damaged", ["0.png", "1.png", "two\n.png"])
    content = (tmp_path / "damaged" / "two\n.png").read_bytes()
    (tmp_path / "damaged" / "two\n.png").write_bytes(content[:-40])
    assert problem(folder).startswith(r"bad frame: 'two\n.png' is unusable, truncated: ")
    assert len(video.inspect(folder).sha256) == 64
    (tmp_path / "damaged" / "two\n.png").write_bytes(b"")
    assert "empty" in problem(folder) and video.inspect(folder).sha256 == ""


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert problem(tmp_path) == "unreadable: Permission denied; check the path and its permissions"
    with pytest.raises(video.ClipError, match="unreadable"):
        video.is_clip(tmp_path)


# What is no clip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty: it has zero bytes"),
        (b"<!-- hm --><!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull"),
        (b"#EXTM3U\n#EXTINF:10,\nsecret.mp4\n", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a text file"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a photo"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a photo"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a sound recording"),
        (b"ID3\x03\0\0\0\0\0", "a sound recording"),
        (b"G" + b"\x40" * 187 + b"G" + b"\x40" * 187, "an MPEG transport stream; convert it"),
        (b"\0\0\0\x01\x67\x42\0\x1e", "a bare video stream"),
        (b"FLV\x01\x05\0\0\0\x09", "a Flash video"),
        (b"%PDF-1.4\n%", "a PDF document"),
        (b"PK\x03\x04\0\0", "a ZIP archive"),
        ("nur ein paar Wörter\n".encode() * 40, "a text file"),
        (b"\0" * 1000, "nothing but zeros"),
        (b"\x93\xfa\x01\x88" * 50, "its format is unknown"),
        (b"RIFF\xff\xff\0\0AVI LIST", "truncated"),
        (b"\0\0\0\x20ftypisom", "truncated"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0\0\0\x08mdat", "truncated"),
        (b"\x1a\x45\xdf\xa3\x9f", "truncated"),
        (b"GIF89a", "truncated"),
        (b"GIF89a\0\0\0\0\0\0\0;", "damaged"),
        (b"\0\0\x01\xba\x44\0\x04", "damaged"),
    ],
)
def test_what_is_no_clip_is_named(write, content, expected):
    assert expected in problem(write(content))


def test_a_photo_under_a_clip_s_name(tmp_path):
    for picture_format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"):
        PIL.Image.fromarray(picture(1)).save(tmp_path / "photo.mp4", picture_format)
        assert problem(tmp_path / "photo.mp4") == "not a clip: it looks like a photo; rename or remove it"


def test_a_playlist_opens_no_other_file(tmp_path):
    encode(tmp_path / "secret.ts", "mpeg2video")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n")
    assert "a playlist" in problem(tmp_path / "list.mp4")


def test_encrypted(tmp_path):
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
               "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}  # fmt: skip
    path = encode(tmp_path / "clip.mp4", container_options=options)
    assert problem(path).startswith("encrypted")


def test_unknown_codec(tmp_path):
    path = encode(tmp_path / "clip.avi", "mpeg4")
    content = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(content.replace(b"FMP4", b"QQQQ"))
    assert problem(path).startswith("unknown codec: FFmpeg has no decoder for it; convert it to MP4")


def two_sizes(path):
    """Three frames of 48 x 32 pixels and three of 96 x 64 in one stream."""
    small = encode(path.with_name("small.avi"), "mjpeg", "yuvj420p", range(3), pixels=[picture(0, 48, 32)] * 3)
    large = encode(path.with_name("large.avi"), "mjpeg", "yuvj420p", range(3))
    with av.open(small) as first, av.open(large) as second, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(first.streams.video[0])
        packets = [packet for source in (first, second) for packet in source.demux(video=0) if packet.size]
        for moment, packet in enumerate(packets):
            packet.stream, packet.pts, packet.dts = stream, moment, moment
            output.mux(packet)
    return str(path)


def test_frames_of_several_sizes(tmp_path):
    assert problem(two_sizes(tmp_path / "clip.avi")).startswith("frames of several sizes: 48 x 32 and 96 x 64 pixels")


def test_limits(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_BYTES", 100)
        assert problem(path).startswith("too large")
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_FRAMES", 39)
        assert problem(path).startswith("too long: more than 39 frames")
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_PIXELS", WIDTH * HEIGHT - 1)
        assert "too many pixels" in problem(path) or "decode" in problem(path)
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_PIXELS", 48 * 64)  # only the decoder can know it in time
        assert problem(two_sizes(tmp_path / "clip.avi")).startswith("damaged: it cannot be decoded")
    small = encode(tmp_path / "small.mkv", "ffv1", "bgr0", range(3), pixels=[picture(0, 99, 7)] * 3)
    assert problem(small).startswith("too small: 99 x 7 pixels")


def test_pixels_stretched_beyond_the_limit(tmp_path, monkeypatch):
    def stretch(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(50)

    path = encode(tmp_path / "clip.mp4", shown=range(3), prepare=stretch)
    monkeypatch.setattr(video, "MAX_PIXELS", 100_000)
    assert problem(path).startswith("too many pixels: 4,800 x 64")


def test_missing_pipe_and_link(tmp_path):
    assert problem(tmp_path / "none.mp4") == "missing: there is no such file; correct the path or remove the entry"
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "a pipe" in problem(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to("nowhere")
    assert "a link to nothing" in problem(tmp_path / "link.mp4")
    assert problem("a\0b.mp4").startswith("unreadable")


def test_no_permission(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", shown=range(3))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Root may read everything, and tests often run as root: hence simulated.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(errors.UserError, match="unreadable: Permission denied; check"):
        video.read(path)


@pytest.mark.parametrize("thrown", [KeyError, MemoryError, EOFError, OSError("two\nlines"), av.error.BugError(1, "x")])
def test_whatever_pyav_throws_is_a_clip_error(tmp_path, monkeypatch, thrown):
    path = encode(tmp_path / "clip.mp4", shown=range(3))

    def throw(container):
        raise thrown

    monkeypatch.setattr(video, "_load", throw)
    assert problem(path)


# Damage -----------------------------------------------------------------------------------------------------

CUT = ["plain.mp4", "front.mov", "fragmented.mp4", "hevc.mp4", "plain.mkv", "vp8.webm", "b-frames.avi", "mjpeg.avi",
       "rgb8.gif"]  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_cut_off_file_is_refused_wherever_it_is_cut(clips, write, name):
    with open(clips[name], "rb") as file:
        content = file.read()
    chance = random.Random(0)
    cuts = [1, 3, 7, 9, 15, 31, len(content) // 2, *chance.sample(range(len(content)), 30)]
    for cut in [*cuts, len(content) - 9, len(content) - 2, len(content) - 1]:
        path = write(content[:cut], "cut" + os.path.splitext(name)[1])
        facts = video.inspect(path)
        if name == "fragmented.mp4" and not facts.problem:
            assert "no sign that its end is there" in facts.notes  # cut between two fragments
            continue
        assert facts.problem, f"{cut} of {len(content)} bytes"
        if cut > 2000:
            assert facts.problem.startswith("truncated")
        with pytest.raises(video.ClipError):
            video.read(path)


def test_cut_off_program_stream(clips, write):
    with open(clips["mpeg2.mpg"], "rb") as file:
        content = file.read()
    whole = video.read(clips["mpeg2.mpg"])
    refused = 0
    for cut in range(1001, len(content), 700):
        path = write(content[:cut], "cut.mpg")
        facts = video.inspect(path)
        refused += bool(facts.problem)
        if not facts.problem and facts.frames == 40:
            np.testing.assert_array_equal(video.read(path), whole)
    assert refused > 0.8 * len(range(1001, len(content), 700))


def test_what_follows_a_film_does_no_harm(clips, write):
    for name in ("plain.mp4", "plain.mkv", "mjpeg.avi", "rgb8.gif"):
        with open(clips[name], "rb") as file:
            content = file.read()
        path = write(content + b"\0" * 500, f"clip{os.path.splitext(name)[1]}")
        np.testing.assert_array_equal(video.read(path), video.read(clips[name]))


def test_frames_that_the_table_of_contents_lists_and_the_file_lacks(clips, write):
    with open(clips["front.mov"], "rb") as file:
        content = bytearray(file.read())
    place = content.index(b"mdat") - 4
    with av.open(clips["front.mov"]) as container:
        kept = [packet.pos for packet in container.demux(video=0) if packet.size][20] - place
    content[place : place + 4] = kept.to_bytes(4, "big")
    assert problem(write(bytes(content[: place + kept]), "clip.mov")).startswith("truncated")


def test_tags_in_another_encoding_do_no_harm(tmp_path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        container.metadata["title"] = "Caf?"
        container.add_stream("ffv1", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="bgr0")
        container.mux(container.streams.video[0].encode(av.VideoFrame.from_ndarray(picture(5))))
        container.mux(container.streams.video[0].encode(None))
    content = (tmp_path / "clip.mkv").read_bytes()
    assert b"Caf?" in content
    (tmp_path / "clip.mkv").write_bytes(content.replace(b"Caf?", b"Caf\xe9"))
    assert numbers(tmp_path / "clip.mkv", frames=1) == [5]


def test_damage_inside_a_frame(clips, write):
    for name in ("plain.mp4", "b-frames.avi", "mpeg2.mpg"):
        with open(clips[name], "rb") as file:
            content = bytearray(file.read())
        place = content.index(b"\0\0\1\xb6", 6000) + 20 if name.endswith("avi") else len(content) // 3
        content[place : place + 40] = b"\x55" * 40
        assert video.inspect(write(bytes(content), name)).problem.startswith("damaged")


def test_100_mutated_files(clips, tmp_path, capfd, recwarn):
    chance = random.Random(0)
    seeds = []
    for path in clips.values():
        with open(path, "rb") as file:
            seeds.append(file.read())
    usable = 0
    for number in range(100):
        path = str(tmp_path / f"{number}.mp4")
        with open(path, "wb") as file:
            file.write(helpers.mutated(seeds[number % len(seeds)], chance.choice(seeds), chance, head=700))
        started = time.monotonic()
        facts = video.inspect(path)
        if facts.problem:
            assert facts.problem.isprintable() and ": " in facts.problem and "; " in facts.problem
        else:
            usable += 1
            assert video.read(path).shape == (16, facts.height, facts.width, 3)
        assert time.monotonic() - started < 3
    # The blows are neither weak nor always deadly.
    assert 10 < usable < 90
    assert not recwarn.list and capfd.readouterr() == ("", "")


def test_threads_at_the_same_time(clips):
    paths = list(clips.values())
    expected = [video.read(path) for path in paths]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(video.read, paths * 3), expected * 3, strict=True):
            np.testing.assert_array_equal(found, wanted)


# Writing ----------------------------------------------------------------------------------------------------


def noise(count=5, width=37, height=29):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("extension", [".mkv", ".avi"])
@pytest.mark.parametrize("rate", [25, 30, 29.97, fractions.Fraction(24000, 1001)])
def test_lossless(tmp_path, extension, rate):
    path = tmp_path / f"clip{extension}"
    video.write(path, noise(), rate, lossless=True)
    np.testing.assert_array_equal(video.read(path, frames=5), noise())
    np.testing.assert_array_equal(video.read(path, frames=5, sampling="window", stride=1), noise())
    assert video.inspect(path).seconds == pytest.approx(5 / float(rate), abs=0.002)


def test_h264_pads_odd_sides(tmp_path):
    frames = np.stack([picture(number, 97, 65) for number in range(20)])
    video.write(tmp_path / "clip.mp4", frames)
    found = video.read(tmp_path / "clip.mp4", frames=20)
    assert found.shape == (20, 66, 98, 3)
    assert np.abs(found[:, :65, :97].astype(int) - frames).mean() < 3
    assert np.abs(found[:, :, -1].astype(int) - found[:, :, -2]).mean() < 3
    assert video.inspect(tmp_path / "clip.mp4").format == "MP4 h264"


@pytest.mark.parametrize(("name", "lossless"), [("clip.mp4", False), ("clip.mkv", True), ("clip.avi", True)])
def test_written_again_it_is_the_same_file(tmp_path, name, lossless):
    contents = set()
    for _ in range(2):
        video.write(tmp_path / name, noise(20), lossless=lossless)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_writing_replaces_or_leaves_alone(tmp_path, monkeypatch):
    path = tmp_path / "clip.mkv"
    video.write(path, noise(), lossless=True)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(av.VideoFrame, "from_ndarray", lambda *args: 1 / 0, raising=False)
        with pytest.raises((ZeroDivisionError, TypeError)):
            video.write(path, noise(9), lossless=True)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["clip.mkv"]
    with pytest.raises(OSError):
        video.write(tmp_path / "none" / "clip.mkv", noise(), lossless=True)


@pytest.mark.parametrize(
    ("name", "frames", "lossless", "expected"),
    [
        ("clip.avi", noise(), False, "path must end in .mp4"),
        ("clip.mp4", noise(), True, "path must end in .mkv or .avi"),
        ("clip.mp4", noise().astype(float), False, "frames must be uint8"),
        ("clip.mp4", noise()[0], False, "frames must be uint8"),
        ("clip.mp4", noise()[:0], False, "frames must be uint8"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, frames, lossless, expected):
    with pytest.raises(ValueError, match=expected):
        video.write(tmp_path / name, frames, lossless=lossless)
    assert not os.listdir(tmp_path)


# Real clips -------------------------------------------------------------------------------------------------


def test_real_clips(real_data):
    paths = sorted((real_data / "actions").glob("*/*.avi"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        facts = list(pool.map(video.inspect, paths))
    assert len(facts) == 120 and {found.problem for found in facts} == {""}
    assert {(found.format, found.notes) for found in facts} == {("AVI mpeg4", ())}
    assert len({found.sha256 for found in facts}) == 120
    for found in facts[::20]:
        assert video.read(found.path).shape == (16, found.height, found.width, 3)
        assert found.frames / found.seconds == pytest.approx(30, abs=1)


def test_real_packed_clip_keeps_every_frame_in_order(real_data):
    path = min((real_data / "actions").glob("*/*.avi"), key=os.path.getsize)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    facts = video.inspect(path)
    assert facts.frames == len(every)
    found = video.read(path, frames=len(every), sampling="window", stride=1, position=0)
    np.testing.assert_array_equal(found, every)


def test_the_scan_takes_clips_and_notices_a_changed_frame(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(3):
        PIL.Image.new("RGB", (16, 16), (40 * number, 0, 0)).save(folder / f"{number}.png")
    paths = [str(folder)]
    first = scan.scan(paths, tmp_path / "cache", kind=video)[paths[0]]
    assert (first.frames, first.problem) == (3, "") and scan.scan(paths, tmp_path / "cache", kind=video) == {
        paths[0]: first
    }
    PIL.Image.new("RGB", (16, 16), (0, 200, 0)).save(folder / "1.png")
    assert scan.scan(paths, tmp_path / "cache", kind=video)[paths[0]].sha256 != first.sha256
