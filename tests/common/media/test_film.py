import fractions
import os
import random

import av
import numpy as np
import PIL.Image
import pytest
import tiny_clips

from common.media import clips, containers, film

WIDTH, HEIGHT = tiny_clips.WIDTH, tiny_clips.HEIGHT

# Files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tiny_clips.KINDS)
def test_containers_codecs_and_pixel_formats(clip_of_kind, name):
    path = clip_of_kind[name]
    assert tiny_clips.numbers(path) == [1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28, 31, 33, 36, 38]
    assert tiny_clips.numbers(path, sampling="window", position=0) == list(range(0, 32, 2))
    assert tiny_clips.numbers(path, frames=3, sampling="window", stride=7, position=1) == [25, 32, 39]
    assert tiny_clips.numbers(path, frames=80) == sorted([*range(40), *range(40)])
    pixels = clips.read(path, frames=2)
    assert pixels.shape == (2, HEIGHT, WIDTH, 3) and pixels.dtype == np.uint8 and pixels.flags.writeable
    grey = "grey" in name or "16-bit" in name
    tolerance = 90 if name.endswith(".gif") else 12
    np.testing.assert_allclose(pixels[0, -4, 4], (105,) * 3 if grey else (200, 60, 90), atol=tolerance)
    facts = clips.inspect(path)
    rate = tiny_clips.KINDS[name].get("rate", 25)
    assert facts.problem == "" and (facts.width, facts.height, facts.frames) == (WIDTH, HEIGHT, 40)
    assert facts.seconds == pytest.approx(40 / rate, abs=0.002)
    assert "variable frame rate" not in facts.notes and "alpha composited on white" not in facts.notes
    assert ("grey" in facts.notes) == grey
    assert ("deep colours scaled to 8 bits" in facts.notes) == ("-bit" in name)
    assert ("no sign that its end is there" in facts.notes) == (name in tiny_clips.WITHOUT_LENGTH)


SLIDES = [0, 1, 2, 10, 11, 30, 31, 32, 33, 60]


@pytest.mark.parametrize("name", ["slides.mp4", "slides.mkv", "slides.gif"])
def test_variable_frame_rate_goes_by_time(tmp_path, name):
    kind = {"codec": "gif", "pixel_format": "rgb8"} if name.endswith("gif") else {}
    path = tiny_clips.encode(tmp_path / name, shown=SLIDES, **kind)
    # 61 frames' time, so that the n-th of 61 middles is that of the n-th frame at the nominal rate.
    shown = [sum(start <= moment for start in SLIDES) - 1 for moment in range(61)]
    assert tiny_clips.numbers(path, frames=61) == shown
    assert tiny_clips.numbers(path, frames=61, sampling="window", stride=1) == shown
    facts = clips.inspect(path)
    assert "variable frame rate" in facts.notes and facts.seconds == pytest.approx(61 / 25, abs=0.002)


def test_a_declared_rate_that_no_frame_keeps(tmp_path):
    chance = random.Random(0)
    shown = [33 * number + chance.randrange(-3, 4) + 10 for number in range(40)]
    path = tiny_clips.encode(tmp_path / "clip.mkv", shown=shown, rate=1000)
    with av.open(path) as container:
        assert container.streams.video[0].base_rate == 1000
    assert tiny_clips.numbers(path, frames=40, sampling="window", stride=1) == list(range(40))


def test_frames_dropped_from_an_avi(tmp_path):
    shown = [moment for moment in range(42) if moment % 7 != 3]
    path = tiny_clips.encode(tmp_path / "clip.avi", "mpeg4", shown=shown)
    expected = [sum(start <= moment for start in shown) - 1 for moment in range(42)]
    assert tiny_clips.numbers(path, frames=42) == expected
    assert tiny_clips.numbers(path, frames=42, sampling="window", stride=1) == expected


def test_packed_b_frames(tmp_path):
    """DivX put a B-frame into the packet of the P-frame before it, and a frame without content into the next."""
    source = tiny_clips.encode(
        tmp_path / "plain.avi", "mpeg4", shown=range(41), bf="1", g="100", sc_threshold="1000000000"
    )
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
    assert clips.inspect(tmp_path / "packed.avi").problem == ""
    assert tiny_clips.numbers(tmp_path / "packed.avi", frames=41) == list(range(41))
    assert tiny_clips.numbers(tmp_path / "packed.avi", frames=9, sampling="window", stride=5, position=0) == list(
        range(0, 41, 5)
    )


def test_an_edit_list_cuts_the_beginning(tmp_path):
    path = tiny_clips.encode(tmp_path / "clip.mp4", shown=range(-5, 35))
    assert tiny_clips.numbers(path, frames=35) == list(range(5, 40))
    assert clips.inspect(path).frames == 35


ORIENTATIONS = [  # degrees, mirrored, and what is then at the left end of the row at the top
    (0, False), (90, False), (180, False), (-90, False), (0, True), (90, True), (180, True), (-90, True),
]  # fmt: skip


@pytest.mark.parametrize(("degrees", "mirrored"), ORIENTATIONS)
@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_rotation(tmp_path, degrees, mirrored, extension):
    def turn(stream):
        stream.set_display_rotation(degrees, hflip=mirrored)

    path = tiny_clips.encode(tmp_path / f"turned{extension}", "libx264rgb", "rgb24", range(3), prepare=turn, qp="0")
    expected = tiny_clips.picture(1)
    # As PyAV documents it, the frame is first turned counterclockwise and then mirrored.
    expected = np.rot90(expected, degrees // 90)[:, :: -1 if mirrored else 1]
    pixels = clips.read(path, frames=3)
    np.testing.assert_array_equal(pixels[1], expected)
    facts = clips.inspect(path)
    assert (facts.height, facts.width) == expected.shape[:2]
    assert facts.notes == (("rotation applied",) if degrees or mirrored else ())


def test_rotation_by_less_than_a_quarter(tmp_path):
    path = tiny_clips.encode(
        tmp_path / "clip.mp4", shown=range(3), prepare=lambda stream: stream.set_display_rotation(30)
    )
    assert tiny_clips.problem(path).startswith("rotated")


@pytest.mark.parametrize(("aspect", "width"), [("2/1", 192), ("1/2", 48), ("4/3", 128), ("1/1", 96)])
@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_pixels_that_are_not_square(tmp_path, aspect, width, extension):
    def stretch(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(aspect)

    path = tiny_clips.encode(tmp_path / f"wide{extension}", prepare=stretch)
    assert clips.read(path).shape == (16, HEIGHT, width, 3) and tiny_clips.numbers(path, frames=40) == list(range(40))
    facts = clips.inspect(path)
    assert (facts.width, facts.height) == (width, HEIGHT)
    assert facts.notes == (() if width == WIDTH else ("non-square pixels corrected",))


def test_the_stretch_comes_before_the_turn(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(2)
        stream.set_display_rotation(90)

    path = tiny_clips.encode(tmp_path / "clip.mp4", prepare=prepare)
    assert clips.read(path).shape == (16, 2 * WIDTH, HEIGHT, 3)


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
        tiny_clips.encode(path, *kind, shown=range(2), pixels=[pixels, np.ascontiguousarray(pixels[::-1, ::-1])])
    found = clips.read(path, frames=2)
    np.testing.assert_array_equal(found[0, 5, [5, -5]], [(255, 255, 255), (0, 0, 255)])
    np.testing.assert_array_equal(found[1, 5, [5, -5]], [(0, 0, 255), (255, 255, 255)])
    assert "alpha composited on white" in clips.inspect(path).notes


def test_half_transparent_is_half_white(tmp_path):
    pixels = np.full((HEIGHT, WIDTH, 4), (255, 0, 0, 128), np.uint8)
    path = tiny_clips.encode(tmp_path / "clip.mkv", "ffv1", "bgra", range(1), pixels=[pixels])
    np.testing.assert_array_equal(clips.read(path)[0, 0, 0], (255, 127, 127))


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
                frame = av.VideoFrame.from_ndarray(tiny_clips.picture(moment + 100 * number))
                frame.pts, frame.time_base = moment, fractions.Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_the_first_of_two_video_streams(tmp_path, extension):
    path = several_streams(tmp_path / f"two{extension}", ["mpeg4", "mpeg4"])
    assert tiny_clips.numbers(path, frames=20) == list(range(20))
    assert "first of 2 video streams taken" in clips.inspect(path).notes


def test_sound_is_left_aside(tmp_path):
    path = several_streams(tmp_path / "clip.mp4", ["aac", "mpeg4"])
    assert tiny_clips.numbers(path, frames=20) == list(range(100, 120)) and clips.inspect(path).notes == ()


def test_a_cover_picture_is_left_aside(tmp_path):
    path = several_streams(tmp_path / "clip.mp4", ["mjpeg", "mpeg4"], covers=[0])
    assert tiny_clips.numbers(path, frames=20) == list(range(100, 120)) and clips.inspect(path).notes == ()


@pytest.mark.parametrize("codecs", [["aac"], ["aac", "mjpeg"]])
def test_sound_without_moving_pictures(tmp_path, codecs):
    path = several_streams(tmp_path / "song.mp4", codecs, covers=[1])
    assert tiny_clips.problem(path).startswith("no video: the file contains only sound or a cover picture")


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
    path = tiny_clips.encode(tmp_path / name, shown=range(250), **dict(LONG[name]))
    decoded = []
    decode = film._decode

    def counted(film, first):
        for frame in decode(film, first):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(film, "_decode", counted)
    every = clips.read(path, frames=250, sampling="window", stride=1)
    assert [tiny_clips.number_of(pixels) for pixels in every] == list(range(250))
    for how in (
        {"frames": 3},
        {"frames": 16},
        {"frames": 5, "sampling": "window", "stride": 3, "position": 0.8},
        {"frames": 2, "sampling": "window", "stride": 90, "position": 1},
        {"frames": 40},
    ):
        del decoded[:]
        found = clips.read(path, **how)
        np.testing.assert_array_equal(found, every[[tiny_clips.number_of(pixels) for pixels in found]])
        if how["frames"] < 10 and name != "refresh.mp4":
            assert len(decoded) < 200
    starts = np.arange(250) / 25
    assert tiny_clips.numbers(path) == clips.indices(starts, 10, 25)


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
    path = tiny_clips.encode(tmp_path / "clip.mkv", codec, shown=range(60), g="60", bf="0", **NO_KEY_FRAMES[codec])
    expected = clips.read(path)
    load = film._load

    def deceived(container):
        film = load(container)
        assert not film.packets[packet].is_keyframe
        film.keys = [film.keys[0], (film.times[30], packet)]
        return film

    monkeypatch.setattr(film, "_load", deceived)
    np.testing.assert_array_equal(clips.read(path), expected)
    window = {"sampling": "window", "stride": 1, "position": 1}
    assert tiny_clips.numbers(path, **window) == list(range(44, 60))


def test_a_key_frame_that_is_another(tmp_path, monkeypatch):
    path = tiny_clips.encode(tmp_path / "clip.mp4", "mpeg4", shown=range(60), g="20", sc_threshold="1000000000")
    load = film._load

    def deceived(container):
        film = load(container)
        assert film.packets[40].is_keyframe
        film.keys = [film.keys[0], (film.times[30], 40)]
        return film

    monkeypatch.setattr(film, "_load", deceived)
    assert tiny_clips.numbers(path, frames=60) == list(range(60)) and tiny_clips.numbers(path, frames=3) == [10, 30, 50]


# What is refused --------------------------------------------------------------------------------------------


def test_encrypted(tmp_path):
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
               "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}  # fmt: skip
    path = tiny_clips.encode(tmp_path / "clip.mp4", container_options=options)
    assert tiny_clips.problem(path).startswith("encrypted")


def test_unknown_codec(tmp_path):
    path = tiny_clips.encode(tmp_path / "clip.avi", "mpeg4")
    content = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(content.replace(b"FMP4", b"QQQQ"))
    assert tiny_clips.problem(path).startswith("unknown codec: FFmpeg has no decoder for it; convert it to MP4")


def two_sizes(path):
    """Three frames of 48 x 32 pixels and three of 96 x 64 in one stream."""
    small = tiny_clips.encode(
        path.with_name("small.avi"), "mjpeg", "yuvj420p", range(3), pixels=[tiny_clips.picture(0, 48, 32)] * 3
    )
    large = tiny_clips.encode(path.with_name("large.avi"), "mjpeg", "yuvj420p", range(3))
    with av.open(small) as first, av.open(large) as second, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(first.streams.video[0])
        packets = [packet for source in (first, second) for packet in source.demux(video=0) if packet.size]
        for moment, packet in enumerate(packets):
            packet.stream, packet.pts, packet.dts = stream, moment, moment
            output.mux(packet)
    return str(path)


def test_frames_of_several_sizes(tmp_path):
    assert tiny_clips.problem(two_sizes(tmp_path / "clip.avi")).startswith(
        "frames of several sizes: 48 x 32 and 96 x 64 pixels"
    )


def test_limits(tmp_path, monkeypatch):
    path = tiny_clips.encode(tmp_path / "clip.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(containers, "MAX_BYTES", 100)
        assert tiny_clips.problem(path).startswith("too large")
    with monkeypatch.context() as patch:
        patch.setattr(containers, "MAX_FRAMES", 39)
        assert tiny_clips.problem(path).startswith("too long: more than 39 frames")
    with monkeypatch.context() as patch:
        patch.setattr(containers, "MAX_PIXELS", WIDTH * HEIGHT - 1)
        assert "too many pixels" in tiny_clips.problem(path) or "decode" in tiny_clips.problem(path)
    with monkeypatch.context() as patch:
        patch.setattr(containers, "MAX_PIXELS", 48 * 64)  # only the decoder can know it in time
        assert tiny_clips.problem(two_sizes(tmp_path / "clip.avi")).startswith("damaged: it cannot be decoded")
    small = tiny_clips.encode(
        tmp_path / "small.mkv", "ffv1", "bgr0", range(3), pixels=[tiny_clips.picture(0, 99, 7)] * 3
    )
    assert tiny_clips.problem(small).startswith("too small: 99 x 7 pixels")


def test_pixels_stretched_beyond_the_limit(tmp_path, monkeypatch):
    def stretch(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(50)

    path = tiny_clips.encode(tmp_path / "clip.mp4", shown=range(3), prepare=stretch)
    monkeypatch.setattr(containers, "MAX_PIXELS", 100_000)
    assert tiny_clips.problem(path).startswith("too many pixels: 4,800 x 64")


@pytest.mark.parametrize("thrown", [KeyError, MemoryError, EOFError, OSError("two\nlines"), av.error.BugError(1, "x")])
def test_whatever_pyav_throws_is_a_clip_error(tmp_path, monkeypatch, thrown):
    path = tiny_clips.encode(tmp_path / "clip.mp4", shown=range(3))

    def throw(container):
        raise thrown

    monkeypatch.setattr(film, "_load", throw)
    assert tiny_clips.problem(path)


# Damage -----------------------------------------------------------------------------------------------------


def test_frames_that_the_table_of_contents_lists_and_the_file_lacks(clip_of_kind, write):
    with open(clip_of_kind["front.mov"], "rb") as file:
        content = bytearray(file.read())
    place = content.index(b"mdat") - 4
    with av.open(clip_of_kind["front.mov"]) as container:
        kept = [packet.pos for packet in container.demux(video=0) if packet.size][20] - place
    content[place : place + 4] = kept.to_bytes(4, "big")
    assert tiny_clips.problem(write(bytes(content[: place + kept]), "clip.mov")).startswith("truncated")


def test_tags_in_another_encoding_do_no_harm(tmp_path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        container.metadata["title"] = "Caf?"
        container.add_stream("ffv1", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="bgr0")
        container.mux(container.streams.video[0].encode(av.VideoFrame.from_ndarray(tiny_clips.picture(5))))
        container.mux(container.streams.video[0].encode(None))
    content = (tmp_path / "clip.mkv").read_bytes()
    assert b"Caf?" in content
    (tmp_path / "clip.mkv").write_bytes(content.replace(b"Caf?", b"Caf\xe9"))
    assert tiny_clips.numbers(tmp_path / "clip.mkv", frames=1) == [5]


def test_damage_inside_a_frame(clip_of_kind, write):
    for name in ("plain.mp4", "b-frames.avi", "mpeg2.mpg"):
        with open(clip_of_kind[name], "rb") as file:
            content = bytearray(file.read())
        place = content.index(b"\0\0\1\xb6", 6000) + 20 if name.endswith("avi") else len(content) // 3
        content[place : place + 40] = b"\x55" * 40
        assert clips.inspect(write(bytes(content), name)).problem.startswith("damaged")


# Writing ----------------------------------------------------------------------------------------------------


def noise(count=5, width=37, height=29):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("extension", [".mkv", ".avi"])
@pytest.mark.parametrize("rate", [25, 30, 29.97, fractions.Fraction(24000, 1001)])
def test_lossless(tmp_path, extension, rate):
    path = tmp_path / f"clip{extension}"
    film.write(path, noise(), rate, lossless=True)
    np.testing.assert_array_equal(clips.read(path, frames=5), noise())
    np.testing.assert_array_equal(clips.read(path, frames=5, sampling="window", stride=1), noise())
    assert clips.inspect(path).seconds == pytest.approx(5 / float(rate), abs=0.002)


def test_h264_pads_odd_sides(tmp_path):
    frames = np.stack([tiny_clips.picture(number, 97, 65) for number in range(20)])
    film.write(tmp_path / "clip.mp4", frames)
    found = clips.read(tmp_path / "clip.mp4", frames=20)
    assert found.shape == (20, 66, 98, 3)
    assert np.abs(found[:, :65, :97].astype(int) - frames).mean() < 3
    assert np.abs(found[:, :, -1].astype(int) - found[:, :, -2]).mean() < 3
    assert clips.inspect(tmp_path / "clip.mp4").format == "MP4 h264"


@pytest.mark.parametrize(("name", "lossless"), [("clip.mp4", False), ("clip.mkv", True), ("clip.avi", True)])
def test_written_again_it_is_the_same_file(tmp_path, name, lossless):
    contents = set()
    for _ in range(2):
        film.write(tmp_path / name, noise(20), lossless=lossless)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_writing_replaces_or_leaves_alone(tmp_path, monkeypatch):
    path = tmp_path / "clip.mkv"
    film.write(path, noise(), lossless=True)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(av.VideoFrame, "from_ndarray", lambda *args: 1 / 0, raising=False)
        with pytest.raises((ZeroDivisionError, TypeError)):
            film.write(path, noise(9), lossless=True)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["clip.mkv"]
    with pytest.raises(OSError):
        film.write(tmp_path / "none" / "clip.mkv", noise(), lossless=True)


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
        film.write(tmp_path / name, frames, lossless=lossless)
    assert not os.listdir(tmp_path)


# Real clips -------------------------------------------------------------------------------------------------


def test_real_packed_clip_keeps_every_frame_in_order(real_data):
    path = min((real_data / "actions").glob("*/*.avi"), key=os.path.getsize)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    facts = clips.inspect(path)
    assert facts.frames == len(every)
    found = clips.read(path, frames=len(every), sampling="window", stride=1, position=0)
    np.testing.assert_array_equal(found, every)
