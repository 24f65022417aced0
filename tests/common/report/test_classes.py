"""The report of every kind of run is one self-contained page that says the right numbers."""

import base64
import html
import io
import json
import re
import shlex

import numpy as np
import pytest
from made_up_runs import SCRIPT, Page, draw, make_run, warm_left, write_predictions, write_results
from PIL import Image

from common import files
from common import words as common_words
from common.data import duplicates, name_families, sample_list
from common.report import classes, mix_ups
from common.runs import finished_run


def page_of(run, heatmap_function=None):
    path = draw(run, heatmap_function)
    assert path == run / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def trained(run):
    read = finished_run.FinishedRun.read(run)
    return classes._trained(read.results, read.history)


def test_the_headline_says_the_result_in_plain_words(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose", "tulip"], per_class=10)
    test = json.loads((run / "results.json").read_text())["test"]
    low, high = (100 * limit for limit in test["accuracy_interval"])
    text = page_of(run).text
    assert f"{round(30 * test['accuracy'])} of 30 test photos right" in text
    assert f"95 % interval {low:.1f}–{high:.1f}" in text
    assert "Always answering daisy, in training the most frequent class or one of them, has an accuracy of 33.3" in text
    assert f"less than {100 * test['ece_if_calibrated'][1]:.1f} % in 95 of 100 cases" in text
    assert test["macro_f1_interval"] or "too few for an interval" in text
    assert "does not show that the network has learnt" not in text


def test_a_network_that_guesses_is_said_to_guess(tmp_path):
    text = page_of(make_run(tmp_path, ["daisy", "rose"], per_class=8, skill=0, photos=False)).text
    assert "does not show that the network has learnt" in text


def test_figures_stand_beside_the_page(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], skill=0)
    page_of(run, warm_left)
    photos = {"training_photos", "wrong_photos", "grad_cam"}
    expected = {"loss", "accuracy", "confusion_matrix", "reliability"} | photos
    assert {path.stem for path in (run / "figures").iterdir()} == expected
    for path in (run / "figures").iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"


def test_the_page_asks_for_nothing_from_outside(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"])
    page = page_of(run, warm_left)
    sources = [image["src"] for image in page.all("img")]
    sources += [source["srcset"] for source in page.all("source")]
    assert all(source.startswith("data:image/") for source in sources)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all(link["href"].startswith("#") for link in page.all("a"))
    source = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", source)
    for uri in sources:
        Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).verify()


def test_the_page_is_accessible(tmp_path):
    page = page_of(make_run(tmp_path, ["daisy", "rose"]), warm_left)
    assert all(image["alt"] for image in page.all("img"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
    anchors = {section["id"] for section in page.all("section")}
    assert {link["href"][1:] for link in page.all("a")} <= anchors


def test_every_section_has_its_numbers(tmp_path):
    page = page_of(make_run(tmp_path, ["daisy", "rose"]), warm_left)
    for words in (
        "8 training photos in 2 classes", "grey: 1 photo", "5 epochs", "lowest in epoch 3: 0.300",
        "1 min 33 s", "1.5 GB", "6,424,069", "2 CPU cores, float32", "3.15.1", "not set",
    ):  # fmt: skip
        assert words in page.text, words


def test_the_command_can_be_copied(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    source = page_of(run) and (run / "report.html").read_text(encoding="utf-8")
    shown = html.unescape(re.search(r"<code>(python.*?)</code>", source, re.DOTALL)[1])
    command = "python recipes/feature_extraction.py --data 'my photos'"
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command)
    assert common_words.command_lines("python 'x") == "python 'x"


def test_names_are_escaped(tmp_path):
    run = make_run(tmp_path, [SCRIPT, 'a "quoted" & <b>name</b>'], skill=0)
    files.write_csv(run / "skipped.csv", ["path", "label", "reason"], [[f"{SCRIPT}.jpg", SCRIPT, SCRIPT]])
    page = page_of(run, warm_left)
    source = (run / "report.html").read_text(encoding="utf-8")
    assert SCRIPT not in source and "<b>name" not in source and not page.all("script")
    assert SCRIPT in page.text
    assert any(image["alt"] == f"Training photo of {SCRIPT}" for image in page.all("img"))


def test_unicode_and_spaces_in_paths(tmp_path):
    run = make_run(tmp_path, ["雛菊", "Röschen & Co"], skill=0)
    page = page_of(run)
    assert "test ü_" in page.text and "photo moved" not in page.text


def test_a_photo_that_moved_does_not_break_the_page(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], skill=0)
    photos = sorted((tmp_path / "photos").rglob("*.png"))
    for path in photos[::2]:
        path.rename(path.with_suffix(".elsewhere"))
    asked = []

    def heatmap_function(paths, class_indices):
        asked.extend(paths)
        return warm_left(paths, class_indices)

    assert "photo moved" in page_of(run, heatmap_function).text
    assert asked and not {str(path) for path in photos[::2]} & set(asked)


def test_all_photos_moved(tmp_path):
    page = page_of(make_run(tmp_path, ["daisy", "rose"], skill=0, photos=False), warm_left)
    assert "None of the test photos was found at its path" in page.text


def test_a_photo_that_broke_since_says_why(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], skill=0)
    for path in (tmp_path / "photos").rglob("train*.png"):
        path.write_bytes(b"")
    assert "empty: it has zero bytes" in page_of(run).text


def test_no_wrong_answer(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], skill=50)
    page = page_of(run, warm_left)
    assert "No test photo was answered wrongly" in page.text and "mix-ups" not in page.text
    assert "Wrong answers" in page.text and "Right answers" in page.text


def test_without_a_heatmap_function_there_is_no_grad_cam(tmp_path):
    page = page_of(make_run(tmp_path, ["daisy", "rose"], photos=False))
    assert "Grad-CAM" not in page.text
    assert "explained" not in {section["id"] for section in page.all("section")}


def test_the_heat_asked_for_is_that_of_the_answer(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose", "tulip"], per_class=8, skill=0.5)
    predicted = {row["path"]: row["predicted"] for row in finished_run.FinishedRun.read(run).predictions}
    asked = {}

    def heatmap_function(paths, class_indices):
        asked.update(zip(paths, class_indices, strict=True))
        return warm_left(paths, class_indices)

    draw(run, heatmap_function)
    names = ["daisy", "rose", "tulip"]
    assert {path: names[index] for path, index in asked.items()}.items() <= predicted.items()


def test_the_surest_wrong_photos_come_first(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], per_class=20, skill=0)
    draw(run)
    wrong = classes._wrong_photos(finished_run.FinishedRun.read(run))
    sureness = [photo.confidence for photo in wrong]
    assert sureness == sorted(sureness, reverse=True) and len(wrong) <= classes.WRONG_PHOTOS
    assert all(photo.label != photo.predicted for photo in wrong)


def test_mix_ups_are_counted_from_the_matrix(tmp_path):
    run = finished_run.FinishedRun.read(make_run(tmp_path, ["a", "b", "c"], per_class=8, skill=0, photos=False))
    matrix = np.array(run.results["test"]["confusion_matrix"])
    (run.directory / "figures").mkdir()
    found = mix_ups.confusions(run)["mix_ups"]
    for row in found:
        true, predicted = run.class_names.index(row["true"]), run.class_names.index(row["predicted"])
        assert row["count"] == matrix[true, predicted] > 0 and row["share"] == row["count"] / 8
    assert found[0]["count"] == (matrix - np.diag(np.diag(matrix))).max()


def wrong_pairs(run):
    """The number of pairs of classes that were mixed up."""
    matrix = np.array(json.loads((run / "results.json").read_text())["test"]["confusion_matrix"])
    return int(np.count_nonzero(matrix - np.diag(np.diag(matrix))))


def test_many_long_names_and_stages(tmp_path):
    names = [f"{index:02d}_a_class_with_a_name_that_is_much_longer_than_a_column" for index in range(60)]
    run = make_run(tmp_path, names, per_class=1, skill=3, stages=["head"] * 2 + ["fine_tuning"] * 3)
    page = page_of(run, warm_left)
    assert (run / "report.html").stat().st_size < 3e6
    assert "A matrix of 60 classes would be too large to read" in page.text
    assert not (run / "figures" / "confusion_matrix.png").exists()
    assert len(mix_ups.confusions(finished_run.FinishedRun.read(run))["mix_ups"]) == min(mix_ups.MANY, wrong_pairs(run))


def test_one_epoch_and_no_history(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], epochs=1, photos=False)
    assert "1 epoch." in page_of(run).text
    (run / "history.csv").unlink()
    assert "Learning curves" not in page_of(run).text


def test_only_what_must_be_there(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    results = json.loads((run / "results.json").read_text())
    for name in ("notes", "skipped", "per_split"):
        del results["data"][name]
    del results["strategy"], results["cost"]["prefix_seconds"]
    results["cost"]["seconds_per_epoch"] = None
    files.write_json(run / "results.json", results)
    (run / "split.csv").unlink()
    text = page_of(run).text
    assert "Notes on the files" not in text and "Stages" not in text


def test_notes_on_the_files_say_which_classes_have_them(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    results = json.loads((run / "results.json").read_text())
    notes = {"alpha ignored": {"daisy": [20, 20], "rose": [0, 20]}, "PNG": {"rose": [20, 20], "daisy": [0, 20]}}
    results["data"] |= {
        "notes": {"alpha ignored": 20, "grey": 1}, "notes_per_class": notes, "different_pictures": 20,
        "uneven_notes": ["alpha ignored", "PNG"],
    }  # fmt: skip
    files.write_json(run / "results.json", results)
    text = page_of(run).text
    assert "alpha ignored: 20 photos (20 of 20 daisy, 0 of 20 rose) unevenly spread over the classes" in text
    assert "PNG (20 of 20 rose, 0 of 20 daisy) unevenly spread" in text and "grey: 1 photo" in text
    count = sum(results["data"][side] for side in ("train", "validation", "test"))
    assert f"{count} photos are 20 different pictures after decoding" in text


def test_stages_are_drawn_and_listed(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    results = json.loads((run / "results.json").read_text())
    row = {
        "validation_loss": 0.512,
        "validation_accuracy": 0.875,
        "seconds": 12.5,
        "epochs": 5,
        "trainable_parameters": 2050,
    }
    results["stages"] = [{"stage": "head", "blocks": 0} | row, {"stage": "from_block5", "blocks": 1} | row]
    results["kept_stage"] = "from_block5"
    files.write_json(run / "results.json", results)
    text = page_of(run).text
    assert "Kept: from block5" in text and "0.512" in text and "2,050" in text
    assert Image.open(run / "figures" / "stages.png").width == 960


def test_models_that_were_only_compared_are_left_out_of_the_curves(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False, stages=["head"] * 2 + ["head_focal"] * 2 + ["tuning"])
    assert len(trained(run)) == 5
    results = json.loads((run / "results.json").read_text())
    row = {"validation_loss": 0.5, "validation_accuracy": 0.9, "seconds": 1.0}
    results["stages"] = [{"stage": "head"} | row, {"stage": "tuning"} | row]
    files.write_json(run / "results.json", results)
    assert [row["stage"] for row in trained(run)] == ["head", "head", "tuning"]


def test_the_balanced_accuracy_has_a_curve_where_it_was_measured(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    rows = [[n, 1 / (n + 1), 0.6, 0.5, 0.7, 0.4] for n in range(4)]
    columns = ["epoch", "loss", "accuracy", "balanced_accuracy", "val_loss", "val_balanced_accuracy"]
    files.write_csv(run / "history.csv", columns, rows)
    alts = {image["alt"] for image in page_of(run).all("img")}
    assert "Balanced accuracy on training and validation data in 4 epochs" in alts
    assert Image.open(run / "figures" / "balanced_accuracy.png").width == 960


def test_the_learning_curve_has_no_penalties_where_they_were_measured(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    columns = ["epoch", "loss", "val_loss", "categorical_crossentropy", "val_categorical_crossentropy"]
    files.write_csv(run / "history.csv", columns, [[0, 1.5, 1.4, 0.7, 0.6], [1, 1.2, 1.1, 0.5, 0.65]])
    (first, second) = trained(run)
    assert (first["loss"], first["val_loss"], second["val_loss"]) == (0.7, 0.6, 0.65)
    assert classes._best_epoch([first, second]) == 0  # the sum is lower in the second


def test_what_a_run_suffers_from_stands_on_the_page_and_in_the_terminal(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], per_class=100, skill=8, photos=False)
    assert "likely to suffer from" not in page_of(run).text
    results = json.loads((run / "results.json").read_text())
    worse = results["validation"] | {"accuracy": 0.7, "accuracy_interval": [0.64, 0.76]}
    files.write_json(run / "results.json", results | {"train": results["test"], "validation": worse})
    assert "What this run is likely to suffer from Likely overfitting: the accuracy is" in page_of(run).text
    told = " ".join(classes.summary(finished_run.Result.read(run)).split())
    assert "Likely overfitting" in told and "higher" not in told and "points). More training photos" in told


def test_an_absent_class_is_shown_as_such(tmp_path):
    names = ["daisy", "rose", "tulip"]
    run = make_run(tmp_path, names, per_class=6, photos=False)
    predictions = [row for row in finished_run.FinishedRun.read(run).predictions if row["label"] != "tulip"]
    samples = [[row["path"], row["label"]] for row in predictions]
    probabilities = np.array([[float(row[f"p_{name}"]) for name in names] for row in predictions])
    write_predictions(run, names, samples, probabilities)
    write_results(run, names, np.array([names.index(label) for _, label in samples]), probabilities, 5)
    assert "tulip 0 – – – –" in page_of(run).text


def test_pairs_from_one_source_are_shown_what_does_harm_first(tmp_path):
    run = make_run(tmp_path, ["cat", "dog"])
    assert "from one source" not in page_of(run).text
    rows = [row for row in finished_run.read_rows(run / "split.csv") if row["split"] != "validation"]
    samples = [sample_list.of_row(row) for row in rows]
    cats, tested = ([each.path for each in samples if (each.label, each.split) == ("cat", side)]
                    for side in ("train", "test"))  # fmt: skip
    pairs = [duplicates.Pair(cats[0], cats[1], "name"), duplicates.Pair(cats[1], cats[2], "copy", 0.97),
             duplicates.Pair(cats[3], tested[0], "features", 0.88)]  # fmt: skip
    duplicates.write(run / "duplicates.csv", samples, pairs)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    results["data"] |= duplicates.counts(samples, pairs, name_families.Families({"cat 1": cats[:2]}, {}))
    files.write_json(run / "results.json", results)
    text = page_of(run).text
    assert "By name: 2 photos of 1 source. By picture: 1 pair. By features: 1 pair." in text
    places = [text.index(told) for told in ("by features, 0.88", "by picture, 0.97", "by name")]
    assert "Photos from one source" in text and places == sorted(places) and "train / test" in text
    assert (run / "figures" / "alike_photos.png").is_file()


def test_groups_are_mentioned(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    assert "The intervals go by photos" in page_of(run).text
    rows = [[row["path"], row["label"], "patient 1", row["split"]] for row in finished_run.FinishedRun.read(run).split]
    files.write_csv(run / "split.csv", ["path", "label", "group", "split"], rows)
    assert "The intervals go by groups of photos" in page_of(run).text


def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    before = draw(run).read_bytes()
    (run / "history.csv").unlink()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        draw(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.rglob(".*"))
