import os
import random

import numpy as np
import PIL.Image
import pytest
import tiny_clips

from common import errors
from common.media import clips, containers

# What is no clip ------------------------------------------------------------------------------------------------------


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
        (b"G" + b"\x40" * 187 + b"G" + b"\x40" * 187, "damaged"),
        (b"G" + b"\x40" * 187 + b"G" + b"\x40" * 186, "truncated"),
        (b"\0\0\0\x01\x67\x42\0\x1e", "a bare video stream"),
        (b"FLV\x01\x05\0\0\0\x09", "truncated"),
        (b"OggS\0\2" + b"\0" * 20, "truncated"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + b"\0" * 40, "truncated"),
        (b"%PDF-1.4\n%", "a PDF document"),
        (b"PK\x03\x04\0\0", "a ZIP archive"),
        ("nur ein paar Wörter\n".encode() * 40, "a text file"),
        (b"\0" * 1000, "begins with zeros only"),
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
    assert expected in tiny_clips.problem(write(content))


def test_a_photo_under_a_clip_s_name(tmp_path):
    for picture_format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"):
        PIL.Image.fromarray(tiny_clips.picture(1)).save(tmp_path / "photo.mp4", picture_format)
        assert tiny_clips.problem(tmp_path / "photo.mp4") == "not a clip: it looks like a photo; rename or remove it"


def test_a_playlist_opens_no_other_file(tmp_path):
    tiny_clips.encode(tmp_path / "secret.ts", "mpeg2video")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n")
    assert "a playlist" in tiny_clips.problem(tmp_path / "list.mp4")


def test_missing_pipe_and_link(tmp_path):
    missing = "missing: there is no such file; correct the path or remove the entry"
    assert tiny_clips.problem(tmp_path / "none.mp4") == missing
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "a pipe" in tiny_clips.problem(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to("nowhere")
    assert "a link to nothing" in tiny_clips.problem(tmp_path / "link.mp4")
    assert tiny_clips.problem("a\0b.mp4").startswith("unreadable")


def test_no_permission(tmp_path, monkeypatch):
    path = tiny_clips.encode(tmp_path / "clip.mp4", shown=range(3))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Root may read everything, and tests often run as root: hence simulated.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(errors.UserError, match="unreadable: Permission denied; check"):
        clips.read(path)


# Where a file ends ----------------------------------------------------------------------------------------------------


CUT = ["plain.mp4", "front.mov", "fragmented.mp4", "hevc.mp4", "plain.mkv", "vp8.webm", "b-frames.avi", "mjpeg.avi",
       "rgb8.gif", "plain.ts", "camera.m2ts", "wmv2.wmv", "h264.flv", "vp8.ogv"]  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_cut_off_file_is_refused_wherever_it_is_cut(clip_of_kind, write, name):
    with open(clip_of_kind[name], "rb") as file:
        content = file.read()
    chance = random.Random(0)
    cuts = [1, 3, 7, 9, 15, 31, len(content) // 2, *chance.sample(range(len(content)), 30)]
    for cut in [*cuts, len(content) - 9, len(content) - 2, len(content) - 1]:
        path = write(content[:cut], "cut" + os.path.splitext(name)[1])
        facts = clips.inspect(path)
        if name in tiny_clips.WITHOUT_LENGTH and not facts.problem:
            assert "no sign that its end is there" in facts.notes  # cut between two fragments or packets
            continue
        assert facts.problem, f"{cut} of {len(content)} bytes"
        if cut > 2000:
            assert facts.problem.startswith("truncated")
        with pytest.raises(containers.ClipError):
            clips.read(path)


def test_cut_off_program_stream(clip_of_kind, write):
    with open(clip_of_kind["mpeg2.mpg"], "rb") as file:
        content = file.read()
    whole = clips.read(clip_of_kind["mpeg2.mpg"])
    refused = 0
    for cut in range(1001, len(content), 700):
        path = write(content[:cut], "cut.mpg")
        facts = clips.inspect(path)
        refused += bool(facts.problem)
        if not facts.problem and facts.frames == 40:
            np.testing.assert_array_equal(clips.read(path), whole)
    assert refused > 0.8 * len(range(1001, len(content), 700))


def test_what_follows_a_film_does_no_harm(clip_of_kind, write):
    for name in ("plain.mp4", "plain.mkv", "mjpeg.avi", "rgb8.gif"):
        with open(clip_of_kind[name], "rb") as file:
            content = file.read()
        path = write(content + b"\0" * 500, f"clip{os.path.splitext(name)[1]}")
        np.testing.assert_array_equal(clips.read(path), clips.read(clip_of_kind[name]))
