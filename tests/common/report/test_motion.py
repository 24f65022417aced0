import numpy as np
import pytest

from common.data import targets
from common.media import clips as media_clips
from common.media import film
from common.report import motion
from common.runs import finished_run, saved_model

NAMES = ["close", "open"]


def order(backwards, shuffled):
    rows = {"as it is": 0.0, "reversed": backwards, "shuffled": shuffled}
    return {
        name: {"accuracy": 0.9 - changed, "fall": [changed, changed - 0.1, changed + 0.1], "changed": changed,
               "difference": changed} for name, changed in rows.items()
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run on six clips, of which one was answered wrongly and one has moved."""
    (tmp_path / "figures").mkdir()
    predictions = []
    for number in range(6):
        path = tmp_path / f"v_{number}.mkv"
        if number != 5:
            film.write(path, np.full((4, 8, 10, 3), 40 * number, "uint8"), lossless=True)
        label, predicted = NAMES[number % 2], NAMES[number % 2 if number else 1]
        predictions.append({"path": str(path), "label": label, "predicted": predicted, "confidence": 0.5 + number / 20,
                            "correct": label == predicted})  # fmt: skip
    pairs = [{"classes": ["open", "close"], "n": 6, "accuracy": 5 / 6, "interval": [0.36, 0.99]}]  # of an older run
    pairs.append({"classes": ["left", "right"], "n": 4, "accuracy": 1.0, "interval": [0.4, 1.0], "differ_in": "place"})
    time = {"clips": 60, "order": order(0.5, 0.4), "pairs": pairs}
    results = {"data": {"class_names": NAMES}, "clips": {"time": time}}
    return finished_run.FinishedRun(tmp_path, {}, results, [], predictions, [], [])


def explain(paths, class_indices):
    explain.asked = list(zip([path[-5:-4] for path in paths], class_indices, strict=True))
    clips = np.stack([media_clips.read(path, frames=3) for path in paths])
    return clips, np.linspace(-0.2, 0.4, 3 * len(clips)).reshape(len(clips), 3)


def test_clips_that_are_there_are_explained_by_what_was_answered(run, monkeypatch):
    monkeypatch.setattr(motion, "for_clips", lambda saved: explain)
    found = motion.section(run, saved_model.SavedModel(None, targets.Classes(NAMES), media_clips.Clips()))
    assert explain.asked == [("4", 0), ("3", 1)]  # the surest right one of each class, called last
    assert found["strips"]["wrong"].width == motion.STRIP_WIDTH
    for name in ("order_test", "time_pairs", "wrong_frames", "right_frames"):
        assert (run.directory / "figures" / f"{name}.png").stat().st_size > 500


@pytest.mark.parametrize(
    "backwards, shuffled, uses_time, knows_direction",
    [(0.0, 0.0, False, False), (0.01, 0.3, True, False), (0.3, 0.3, True, True)],
)
def test_what_is_said_about_time(run, backwards, shuffled, uses_time, knows_direction):
    run.results["clips"]["time"] = {"clips": 60, "order": order(backwards, shuffled), "pairs": []}
    found = motion.section(run)
    assert (found["uses_time"], found["knows_direction"]) == (uses_time, knows_direction)
    assert found["needs_time"] == (shuffled > 0.1)  # the interval of the fall does not contain 0
    assert found["pairs"] is None and found["strips"] is None


def test_nothing_is_needed_where_one_person_or_an_older_run_does_not_tell(run):
    of_one_person = order(0.5, 0.4)
    for row in of_one_person.values():
        row["fall"][1:] = [None, None]
    older = {name: {key: row[key] for key in row if key != "fall"} for name, row in order(0.5, 0.4).items()}
    for found in (of_one_person, older):
        run.results["clips"]["time"]["order"] = found
        assert not motion.section(run)["needs_time"]
