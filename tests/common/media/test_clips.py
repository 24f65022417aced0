import concurrent.futures
import dataclasses
import hashlib
import json
import os
import random
import time

import helpers
import numpy as np
import PIL.Image
import pytest
import tiny_clips

from common.data import file_checks
from common.media import clips, containers, film, frame_folders

WIDTH, HEIGHT = tiny_clips.WIDTH, tiny_clips.HEIGHT

# Which frames ---------------------------------------------------------------------------------------------------------


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
    assert clips.indices(range(16), 16, 1, frames) == expected


def test_whole_goes_by_time_not_by_number():
    # Shown for 1, 1, 6 and 2 seconds: the middles of five parts are 1, 3, 5, 7 and 9 seconds.
    assert clips.indices([10, 11, 12, 18], 20, 1, 5) == [1, 2, 2, 2, 3]


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, 120])
@pytest.mark.parametrize("count", [16, 31, 32, 96, 320])
@pytest.mark.parametrize("sampling", clips.SAMPLINGS)
def test_rounding_to_milliseconds_changes_nothing(rate, count, sampling):
    exact = np.arange(count) / rate
    rounded = np.round(exact, 3)
    expected = clips.indices(exact, count / rate, rate, 16, sampling)
    assert clips.indices(rounded, rounded[-1] + round(1 / rate, 3), rate, 16, sampling) == expected


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0, [0, 2, 4]), (0.49, [2, 4, 6]), (0.5, [3, 5, 7]), (1, [5, 7, 9])],
)
def test_window_stands_where_it_is_put(position, expected):
    starts = np.arange(10) / 25
    assert clips.indices(starts, 10 / 25, 25, 3, "window", stride=2, position=position) == expected


def test_every_window_gets_an_equal_share_of_the_positions():
    # Three frames of five: three windows.
    firsts = [
        clips.indices(range(5), 5, 1, 3, "window", stride=1, position=position)[0]
        for position in np.linspace(0, 1, 301)[:-1]
    ]
    assert np.bincount(firsts).tolist() == [100, 100, 100]


def test_window_goes_by_the_nominal_rate_over_dropped_frames():
    # 2 and 3 were dropped, so 1 is shown on.
    assert clips.indices([0, 1, 4, 5, 6], 7, 1, 7, "window", stride=1) == [0, 1, 1, 1, 2, 3, 4]


def test_clip_shorter_than_the_window_repeats_its_last_frame():
    assert clips.indices(range(3), 3, 1, 4, "window", stride=2, position=1) == [0, 2, 2, 2]
    assert clips.indices([0], 1, 1, 3, "window") == [0, 0, 0] == clips.indices([0], 1, 1, 3)


@pytest.mark.parametrize(
    "how", [{"frames": 0}, {"sampling": "all"}, {"stride": 0}, {"position": 1.1}, {"position": float("nan")}]
)
def test_wrong_arguments(tmp_path, how):
    with pytest.raises(ValueError, match=f"{next(iter(how))} must be"):
        clips.read(tmp_path / "none.mp4", **how)


def test_windows_begin_with_the_middle_one_and_a_whole_clip_has_one():
    assert clips.Clips(4, "window", windows=3).positions() == pytest.approx([1 / 2, 1 / 6, 5 / 6])
    assert clips.Clips(4, "whole", windows=3).positions() == [0.5]


# Files ----------------------------------------------------------------------------------------------------------------


def test_facts(tmp_path):
    path = tiny_clips.encode(tmp_path / "clip.mp4", shown=range(10))
    content = (tmp_path / "clip.mp4").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    facts = clips.inspect(tmp_path / "clip.mp4")
    assert facts == clips.Facts(
        path=path, bytes=len(content), sha256=digest, format="MP4 h264", width=WIDTH, height=HEIGHT, frames=10,
        seconds=0.4, pixels_sha256=facts.pixels_sha256, header={"frame rate": 25.0},
    )  # fmt: skip
    fields = json.loads(json.dumps(dataclasses.asdict(facts)))
    assert clips.Facts(**fields | {"notes": tuple(fields["notes"])}) == facts


def test_the_content_counts_not_the_name(tmp_path):
    path = tiny_clips.encode(tmp_path / "clip.mp4", shown=range(10))
    os.rename(path, tmp_path / "clip.avi")
    assert clips.inspect(tmp_path / "clip.avi").notes == ("MP4 named .avi",)


@pytest.mark.parametrize("name", ["one.mp4", "one.avi", "one.mkv", "one.gif", "one.mpg"])
def test_one_frame(tmp_path, name):
    codec = {".gif": "gif", ".mpg": "mpeg2video"}.get(name[3:], "mpeg4")
    path = tiny_clips.encode(tmp_path / name, codec, "rgb8" if codec == "gif" else "yuv420p", range(1))
    assert tiny_clips.numbers(path) == tiny_clips.numbers(path, sampling="window") == [0] * 16
    facts = clips.inspect(path)
    assert "one frame" in facts.notes and facts.frames == 1


def test_short_clip(tmp_path):
    path = tiny_clips.encode(tmp_path / "short.mp4", shown=range(5))
    assert tiny_clips.numbers(path, frames=10) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert tiny_clips.numbers(path, frames=8, sampling="window", stride=1) == [0, 1, 2, 3, 4, 4, 4, 4]
    assert tiny_clips.numbers(path, frames=4, sampling="window", stride=2, position=1) == [0, 2, 4, 4]


@pytest.mark.parametrize(
    "name", ["with space.mp4", "Übung ✋.mp4", "two\nlines.mp4", b"not utf-8 \xff.mp4", "CLIP.MP4"]
)
def test_names(tmp_path, name):
    path = os.path.join(tmp_path, os.fsdecode(name))
    film.write(path, np.stack([tiny_clips.picture(number) for number in range(4)]))
    assert clips.is_clip(path) and tiny_clips.numbers(path, frames=4) == [0, 1, 2, 3]
    facts = clips.inspect(path)
    assert facts.path == path and facts.problem == ""


def test_what_is_a_clip(tmp_path):
    for extension in containers.EXTENSIONS:
        assert clips.is_clip(f"a{extension}") and clips.is_clip(tmp_path / f"a{extension.upper()}")
    assert not any(clips.is_clip(name) for name in ("a.jpg", "a.txt", "mp4", ".hidden.mp4", ".mp4"))
    tiny_clips.save_frames(tmp_path / "frames", ["0.png"])
    tiny_clips.save_frames(tmp_path / ".frames", ["0.png"])
    (tmp_path / "empty.mp4").mkdir()
    assert clips.is_clip(tmp_path / "frames")
    assert not clips.is_clip(tmp_path / ".frames") and not clips.is_clip(tmp_path / "empty.mp4")


def test_100_mutated_files(clip_of_kind, tmp_path, capfd, recwarn):
    chance = random.Random(0)
    seeds = []
    for path in clip_of_kind.values():
        with open(path, "rb") as file:
            seeds.append(file.read())
    usable = 0
    for number in range(100):
        path = str(tmp_path / f"{number}.mp4")
        with open(path, "wb") as file:
            file.write(helpers.mutated(seeds[number % len(seeds)], chance.choice(seeds), chance, head=700))
        started = time.monotonic()
        facts = clips.inspect(path)
        if facts.problem:
            assert facts.problem.isprintable() and ": " in facts.problem and "; " in facts.problem
        else:
            usable += 1
            assert clips.read(path).shape == (16, facts.height, facts.width, 3)
        assert time.monotonic() - started < 3
    # The blows are neither weak nor always deadly.
    assert 10 < usable < 90
    assert not recwarn.list and capfd.readouterr() == ("", "")


def test_threads_at_the_same_time(clip_of_kind):
    paths = list(clip_of_kind.values())
    expected = [clips.read(path) for path in paths]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(clips.read, paths * 3), expected * 3, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_real_clips(real_data):
    paths = sorted((real_data / "actions").glob("*/*.avi"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        facts = list(pool.map(clips.inspect, paths))
    assert len(facts) == 120 and {found.problem for found in facts} == {""}
    assert {(found.format, found.notes) for found in facts} == {("AVI mpeg4", ())}
    assert len({found.sha256 for found in facts}) == 120
    for found in facts[::20]:
        assert clips.read(found.path).shape == (16, found.height, found.width, 3)
        assert found.frames / found.seconds == pytest.approx(30, abs=1)


# Folders of frames ----------------------------------------------------------------------------------------------------


def test_folder_of_frames_in_natural_order(tmp_path):
    names = [f"frame_{number}.png" for number in range(1, 21)]
    folder = tiny_clips.save_frames(tmp_path / "clip", names)
    (tmp_path / "clip" / "labels.txt").write_text("no frame")
    (tmp_path / "clip" / "._frame_3.png").write_text("what macOS leaves behind")
    assert [os.path.basename(path) for path in frame_folders.frame_paths(folder)] == names
    assert tiny_clips.numbers(folder, frames=20) == list(range(20))
    assert tiny_clips.numbers(folder, frames=4, sampling="window", stride=3, position=0) == [0, 3, 6, 9]
    facts = clips.inspect(folder)
    size = sum((tmp_path / "clip" / name).stat().st_size for name in names)
    expected = clips.Facts(
        path=folder, bytes=size, sha256=facts.sha256, format="folder of PNG", width=WIDTH, height=HEIGHT, frames=20,
        pixels_sha256=facts.pixels_sha256,
    )  # fmt: skip
    assert facts == expected and len(facts.sha256) == 64


def test_folder_s_hash_follows_its_content_and_not_its_name(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    first = clips.inspect(tiny_clips.save_frames(tmp_path / "first", names)).sha256
    assert clips.inspect(tiny_clips.save_frames(tmp_path / "second", names)).sha256 == first
    os.rename(tmp_path / "second" / "11.png", tmp_path / "second" / "12.png")
    assert clips.inspect(tmp_path / "second").sha256 != first
    assert clips.inspect(tiny_clips.save_frames(tmp_path / "third", names[::-1])).sha256 != first
    assert clips.inspect(tiny_clips.save_frames(tmp_path / "fourth", names[:-1])).sha256 != first


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    assert tiny_clips.problem(tmp_path / "empty").startswith("no frames")
    folder = tiny_clips.save_frames(tmp_path / "mixed", ["0.png", "1.png"])
    tiny_clips.save_frames(tmp_path / "mixed", ["2.png"], size=(WIDTH, 32))
    assert tiny_clips.problem(folder).startswith("frames of several sizes: 96 x 32 and 96 x 64 pixels")
    folder = tiny_clips.save_frames(tmp_path / "damaged", ["0.png", "1.png", "two\n.png"])
    content = (tmp_path / "damaged" / "two\n.png").read_bytes()
    (tmp_path / "damaged" / "two\n.png").write_bytes(content[:-40])
    assert tiny_clips.problem(folder).startswith(r"bad frame: 'two\n.png' is unusable, truncated: ")
    assert len(clips.inspect(folder).sha256) == 64
    (tmp_path / "damaged" / "two\n.png").write_bytes(b"")
    assert "empty" in tiny_clips.problem(folder) and clips.inspect(folder).sha256 == ""


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert tiny_clips.problem(tmp_path) == "unreadable: Permission denied; check the path and its permissions"
    with pytest.raises(containers.ClipError, match="unreadable"):
        clips.is_clip(tmp_path)


def test_what_the_sampled_frames_show(tmp_path):
    """A pause of a minute, a still, and a clip in which all frames differ, as files and as folders of frames."""
    pause = tiny_clips.encode(tmp_path / "pause.mp4", shown=[*range(10), *range(1500, 1510)])
    still = tiny_clips.encode(tmp_path / "still.mkv", "ffv1", "bgr0", range(20), pixels=[tiny_clips.picture(3)] * 20)
    moving = tiny_clips.encode(tmp_path / "moving.mp4", shown=range(20))
    grey = tiny_clips.encode(
        tmp_path / "grey.mkv", "ffv1", "bgr0", range(20), pixels=[np.full((64, 96, 3), 90, np.uint8)] * 20
    )
    same = "one picture: 8 of 8 sampled frames"
    assert same in clips.inspect(pause).notes and clips.inspect(still).notes == (same,)
    assert clips.inspect(grey).notes == (same, "one colour") and clips.inspect(moving).notes == ()
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(12):
        PIL.Image.fromarray(tiny_clips.picture(number // 9)).save(folder / f"{number}.png")
    assert clips.inspect(folder).notes == ("one picture: 6 of 8 sampled frames",)
    PIL.Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "0.png")
    assert "one colour" not in clips.inspect(folder).notes
    for number in range(12):
        PIL.Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{number}.png")
    assert clips.inspect(folder).notes == (same, "one colour")


def test_clips_of_the_same_pictures_in_other_bytes(tmp_path):
    pixels = [tiny_clips.picture(number) for number in range(10)]
    one = tiny_clips.encode(tmp_path / "one.mkv", "ffv1", "bgr0", range(10), pixels=pixels)
    other = tiny_clips.encode(tmp_path / "other.avi", "ffv1", "bgr0", range(10), pixels=pixels)
    found, again = clips.inspect(one), clips.inspect(other)
    assert found.sha256 != again.sha256 and found.pixels_sha256 == again.pixels_sha256
    assert clips.inspect(tiny_clips.encode(tmp_path / "more.mkv", "ffv1", "bgr0", range(20))).pixels_sha256 not in (
        found.pixels_sha256, "",
    )  # fmt: skip


def test_the_scan_takes_clips_and_notices_a_changed_frame(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(3):
        PIL.Image.new("RGB", (16, 16), (40 * number, 0, 0)).save(folder / f"{number}.png")
    paths = [str(folder)]
    first = file_checks.scan(paths, clips.Clips(), tmp_path / "cache")[paths[0]]
    assert (first.frames, first.problem) == (3, "") and file_checks.scan(paths, clips.Clips(), tmp_path / "cache") == {
        paths[0]: first
    }
    PIL.Image.new("RGB", (16, 16), (0, 200, 0)).save(folder / "1.png")
    assert file_checks.scan(paths, clips.Clips(), tmp_path / "cache")[paths[0]].sha256 != first.sha256
