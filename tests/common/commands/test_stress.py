"""A model that only knows bright from dark, under stress: what happens to it is known."""

import csv
import json
import pathlib
import shutil

import helpers
import keras
import made_up_runs
import numpy as np
import pytest
import toy_grids
from PIL import Image

from common import errors, files
from common.commands import stress
from common.data import targets
from common.media import clips, corruptions, photos
from common.models import frames, raw_input
from common.runs import saved_model

NAMES = ["bright", "dark"]
EACH = 6
LIGHT = {"bright": 200, "dark": 40}


def save(run, medium=photos.PHOTOS, names=NAMES, model=None):
    model = model or made_up_runs.tell_brightness()
    saved_model.save_model(run, saved_model.SavedModel(model, targets.Classes(names), medium))


@pytest.fixture
def run(tmp_path):
    """A finished run whose six bright and six dark test photos are told apart without a mistake."""
    run = made_up_runs.make_run(tmp_path, NAMES, per_class=EACH, skill=50)
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    for number, row in enumerate(rows):
        pixels = np.random.default_rng(number).integers(-9, 10, (40, 60, 3)) + LIGHT[row["label"]]
        Image.fromarray(pixels.astype("uint8")).save(row["path"])
    save(run)
    return run


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def results_of(folder):
    return json.loads((folder / "stress.json").read_text())


def accuracies(folder, kind):
    return [each["accuracy"][0] for each in results_of(folder)["kinds"][kind]["severities"]]


def test_what_light_does_to_a_model_of_light(run, capsys):
    """By sRGB's formula, 200 becomes 147 with half the light, which is bright, and 106 with a quarter."""
    before = content(run)
    assert stress.command(run) == 0
    folder = run / "stress"
    assert sorted(path.name for path in folder.glob("[!.]*")) == [
        f"stress.{end}" for end in ("csv", "html", "json", "png")
    ]
    assert content(run) == before
    assert accuracies(folder, "darker") == [1, 0.5, 0.5, 0.5, 0.5]
    for kind in ("blur", "noise", "jpeg", "rotation", "crop", "fading"):  # they keep the mean
        assert accuracies(folder, kind) == [1] * 5
    results = results_of(folder)
    assert list(results["kinds"]) == list(corruptions.KINDS)
    assert results["clean"]["accuracy"][0] == 1 and results["different"] == 0 and results["left_out"] == 0
    assert results["kinds"]["darker"]["mean"]["change"]["accuracy"][0] == pytest.approx(-0.4)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(folder) and said[2].split()[:6] == ["darker", "100.0", "50.0", "50.0", "50.0", "50.0"]
    assert said[-2].startswith("Not told apart") or said[-2].startswith("Worst: darker")


def test_the_files_hold_the_same_numbers(run):
    assert stress.command(run, ("darker", "blur"), out=run / "some" / "where") == 0
    folder = run / "some" / "where"
    rows = list(csv.DictReader((folder / "stress.csv").open()))
    assert [(row["kind"], row["severity"]) for row in rows] == [
        ("clean", "0"), *((kind, str(number)) for kind in ("darker", "blur") for number in range(1, 6))
    ]  # fmt: skip
    assert [row["level"] for row in rows[:3]] == ["", "-1 EV", "-2 EV"]
    assert float(rows[2]["accuracy_change"]) == -0.5 and rows[0]["accuracy_change"] == ""
    assert all(float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"]) for row in rows)
    page = made_up_runs.Page((folder / "stress.html").read_text(encoding="utf-8"))
    assert "Worst: darker" in page.text and "60 x 40" not in page.text and "4 x 4 pixels" in page.text
    assert "-1 EV" in page.text and "-50.0" in page.text
    with Image.open(folder / "stress.png") as picture:
        assert picture.width > 400 and len(helpers.colours_of((folder / "stress.png").read_bytes())) > 50


def test_the_same_seed_gives_the_same_files_whatever_the_batches(run, tmp_path):
    for out, batch_size in (("a", 32), ("b", 5)):
        assert stress.command(run, ("noise", "darker", "occlusion"), out=tmp_path / out, batch_size=batch_size) == 0
    assert (tmp_path / "a" / "stress.csv").read_bytes() == (tmp_path / "b" / "stress.csv").read_bytes()


def test_some_of_the_photos(run, capsys):
    assert stress.command(run, ("darker",), most=1) == 0  # a class is missing, and the other has one photo
    assert results_of(run / "stress")["n"] == 1
    assert stress.command(run, ("darker",), most=7) == 0
    assert results_of(run / "stress")["n"] == 7 and "5 more test photos left out" in capsys.readouterr().out


def test_lesions_go_by_balanced_accuracy_and_by_lesion(run):
    results = json.loads((run / "results.json").read_text())
    files.write_json(run / "results.json", results | {"clinic": {}})
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    with_lesions = [[*row.values(), f"{row['label']} {number // 3}"] for number, row in enumerate(rows)]
    files.write_csv(run / "predictions.csv", [*rows[0], "lesion"], with_lesions)
    assert stress.command(run, ("darker",)) == 0
    found = results_of(run / "stress")
    assert found["metric"] == "balanced_accuracy" and found["units"] == 4 and found["n"] == 2 * EACH


def test_a_model_that_answers_otherwise_than_in_the_test_is_said(run, capsys):
    text = (run / "predictions.csv").read_text().replace(",bright,bright,", ",bright,dark,")
    (run / "predictions.csv").write_text(text)
    assert stress.command(run, ("blur",)) == 0
    assert "6 photos got another answer than in predictions.csv" in capsys.readouterr().out


def test_all_frames_of_a_clip_are_changed(run):
    for path in {row["path"] for row in csv.DictReader((run / "predictions.csv").open())}:
        frame = pathlib.Path(path)
        clip = frame.parent / frame.stem
        clip.mkdir()
        for number in range(3):
            shutil.copy(frame, clip / f"{number}.png")
    for name in ("predictions.csv", "split.csv"):
        (run / name).write_text((run / name).read_text().replace(".png", ""))
    results = json.loads((run / "results.json").read_text())
    files.write_json(run / "results.json", results | {"medium": "clips"})
    save(run, clips.Clips(frames=2), model=toy_clips(clips.Clips(frames=2)))
    assert stress.command(run, ("darker", "blur")) == 0
    assert accuracies(run / "stress", "darker") == [1, 0.5, 0.5, 0.5, 0.5]


def toy_clips(medium):
    """The model of photos for the mean of all frames."""
    frames_of_one_size = keras.Input((medium.frames, 4, 4, 3))
    output = keras.layers.Dense(2, activation="softmax")
    classifier = keras.Model(frames_of_one_size, output(keras.layers.GlobalAveragePooling3D()(frames_of_one_size)))
    output.set_weights(made_up_runs.tell_brightness().layers[-1].get_weights())
    return frames.take_raw_clips(classifier, lambda x: x, raw_input.resizing(4, "squash"), medium)


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"), [({"most": 0}, "--most"), ({"batch_size": 0}, "--batch-size"), ({"seed": -1}, "--seed")]
)
def test_settings_that_are_refused(run, settings, message):
    with pytest.raises(errors.UserError, match=message):
        stress.command(run, **settings)


def refused(run, message):
    with pytest.raises(errors.UserError, match=message):
        stress.command(run, ("blur",))
    assert not (run / "stress").exists()


def test_photos_that_are_gone_or_changed(run):
    rows = list(csv.DictReader((run / "predictions.csv").open()))
    content = pathlib.Path(rows[0]["path"]).read_bytes()
    pathlib.Path(rows[0]["path"]).unlink()
    refused(run, "1 of its 12 test photos are not there any more")
    pathlib.Path(rows[0]["path"]).write_bytes(b"")
    refused(run, "empty")
    pathlib.Path(rows[0]["path"]).write_bytes(content)
    split = list(csv.DictReader((run / "split.csv").open()))
    files.write_csv(run / "split.csv", [*split[0], "sha256"], [[*row.values(), "0" * 64] for row in split])
    refused(run, "the file was changed")


def test_what_is_not_a_run_with_test_photos_or_not_its_model(run, tmp_path):
    with pytest.raises(errors.UserError, match="give the directory of the run"):
        stress.command(run / "model.keras")
    save(run, names=["light", "dark"])
    refused(run, "model.keras knows light and dark, but the run learnt bright and dark")
    saved = saved_model.SavedModel(made_up_runs.tell_brightness(), toy_grids.Numbers(1.0), photos.PHOTOS)
    saved_model.save_model(run, saved)
    refused(run, "predicts numbers, but stress only supports classes")
    save(run)
    (run / "predictions.csv").unlink()
    refused(run, "no test photos in its predictions.csv")
    (run / "preset").mkdir()
    (run / "classifier.keras").touch()
    refused(run, "is a run on texts")
    shutil.rmtree(run / "preset")
    (run / "results.json").unlink()
    refused(run, "is not finished")
