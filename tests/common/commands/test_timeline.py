import csv

import keras
import numpy as np
import pytest

from common import errors
from common.commands import timeline
from common.data import targets
from common.media import clips, film
from common.models import frames, raw_input
from common.runs import saved_model


def brightness_run(folder, medium):
    """A run whose model says `light` the lighter a clip's frames are, and `dark` otherwise."""
    inputs = keras.Input((medium.frames, 16, 16, 3), name="clips")
    light = keras.ops.mean(keras.layers.Identity(name="each_frame")(inputs), axis=(1, 2, 3))[:, :1]
    classifier = keras.Model(inputs, keras.ops.concatenate([1 - light, light], axis=-1), name="classifier")
    model = frames.take_raw_clips(classifier, lambda x: x / 255.0, raw_input.resizing(16, "squash"), medium)
    folder.mkdir()
    saved_model.save_model(folder, saved_model.SavedModel(model, targets.Classes(("dark", "light")), medium))
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Twelve seconds at 10 frames a second: dark for 4, light for 3, dark for 5."""
    path = tmp_path_factory.mktemp("video") / "long.mkv"
    levels = np.repeat([20, 230, 20], [40, 30, 50])
    film.write(path, np.broadcast_to(levels[:, None, None, None], (120, 24, 32, 3)).astype("uint8"), 10, lossless=True)
    return path


@pytest.mark.parametrize("medium", [clips.Clips(frames=4), clips.Clips(frames=3, sampling="window", stride=2)])
def test_the_parts_are_those_of_the_video(video, tmp_path, capsys, medium):
    run = brightness_run(tmp_path / "run", medium)
    assert timeline.command(run, video, seconds=1.0, step=0.5, out=tmp_path / "out", batch_size=5) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line.split("\t")[:2] for line in lines[:-1]]
    assert [label for _, label in told] == ["dark", "light", "dark"] and lines[-1] == str(tmp_path / "out")
    change = [float(span.split(" – ")[0].partition(":")[2]) for span, _ in told]
    assert change[0] == 0 and abs(change[1] - 4) <= 0.5 and abs(change[2] - 7) <= 0.5
    with open(tmp_path / "out" / "timeline.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 23 and rows[0]["start"] == "0.00" and rows[-1]["end"] == "12.00"
    inside = [row for row in rows if float(row["start"]) >= 4 and float(row["end"]) <= 7]
    assert len(inside) == 5 and all(float(row["p_light"]) > 0.85 for row in inside)
    assert (tmp_path / "out" / "timeline.png").stat().st_size > 1000


def test_the_end_of_the_video_is_in_the_last_window_and_the_windows_are_told(video, tmp_path, capsys):
    run = brightness_run(tmp_path / "run", clips.Clips(frames=4))
    assert timeline.command(run, video, seconds=5.0, step=3.0, out=tmp_path / "out") == 0
    with open(tmp_path / "out" / "timeline.csv", newline="", encoding="utf-8") as file:
        assert [row["end"] for row in csv.DictReader(file)] == ["5.00", "8.00", "11.00", "12.00"]
    assert "windows of 5.0 s (--seconds for shorter things), moved by 3.0 s" in capsys.readouterr().err


def test_a_window_has_the_frames_of_a_clip_of_its_length(video, tmp_path):
    """The part from 2 to 4 seconds, cut out as a clip, has the answer of that window."""
    run = brightness_run(tmp_path / "run", clips.Clips(frames=4))
    reading = saved_model.Reading.of(saved_model.load_model(run))
    everything = clips.read(video, frames=120)
    film.write(tmp_path / "part.mkv", everything[30:50], 10, lossless=True)
    found = list(timeline.windows(video, reading, clips.Clips(frames=4), 2.0, 1.0))
    wanted = reading.probabilities([reading.looks(tmp_path / "part.mkv")])[0]
    np.testing.assert_allclose(found[3].answer, wanted, atol=1e-6)
    assert len(found) == 11 and (found[3].start, found[3].end) == (3.0, 5.0)


def test_a_video_shorter_than_a_window_is_one_window(video, tmp_path):
    reading = saved_model.Reading.of(saved_model.load_model(brightness_run(tmp_path / "run", clips.Clips(frames=4))))
    (only,) = timeline.windows(video, reading, clips.Clips(frames=4), 60.0, 30.0)
    assert (only.start, only.end) == (0.0, 12.0)


def test_mistakes_are_one_line(video, tmp_path):
    run = brightness_run(tmp_path / "run", clips.Clips(frames=4))
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(errors.UserError, match="give --seconds"):
        timeline.command(run / "model.keras", video)
    with pytest.raises(errors.UserError, match="not a clip"):
        timeline.command(run, tmp_path / "text.avi", seconds=1.0)
    for wrong in ({"seconds": -1.0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"seconds": 1.0, "step": 0.0}):
        with pytest.raises(errors.UserError, match="must be above 0"):
            timeline.command(run, video, **wrong)
    with pytest.raises(errors.UserError, match="a folder; give one video file"):
        timeline.command(run, tmp_path, seconds=1.0)
    with pytest.raises(errors.UserError, match="no such file"):
        timeline.command(run, tmp_path / "nothing.avi", seconds=1.0)
