"""The report of every kind of run is one self-contained page that says the right numbers."""

import base64
import html
import html.parser
import io
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from common import evaluation, files, report
from common import page as pages

VOID = {"meta", "img", "source", "wbr", "br", "link"}
SCRIPT = "<script>alert(1)</script>"


class Page(html.parser.HTMLParser):
    """Checks that tags are balanced; collects attributes and the text that a reader sees."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(source)
        assert self.open == []
        self.text = " ".join("".join(self.words).split())  # no-break spaces become spaces, too

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.words.append("" if tag in ("wbr", "b", "span") else " ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def write_photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype="uint8")
    Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC).save(path)


def make_run(root, class_names, per_class=4, epochs=5, skill=1.5, photos=True, stages=()):
    """Write a run directory as a recipe does, with photos beside it; return its path."""
    run = root / "run"
    run.mkdir()
    labels = np.repeat(np.arange(len(class_names)), per_class)
    logits = np.random.default_rng(0).normal(size=(len(labels), len(class_names)))
    logits += skill * np.eye(len(class_names))[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    samples = []
    for split in ("train", "validation", "test"):
        for index, label in enumerate(labels):
            path = root / "photos" / f"class {label}" / f"{split} ü_{index}.png"
            if photos and split != "validation":
                write_photo(path, index)
            samples.append([str(path), class_names[label], "", split])
    files.write_csv(run / "split.csv", ["path", "label", "group", "split"], samples)
    write_predictions(run, class_names, [row for row in samples if row[3] == "test"], probabilities)
    write_history(run, epochs, stages)
    write_results(run, class_names, labels, probabilities, epochs)
    return run


def write_predictions(run, class_names, samples, probabilities):
    rows = []
    for (path, label, *_), row in zip(samples, probabilities, strict=True):
        predicted = class_names[row.argmax()]
        rows.append([path, label, predicted, f"{row.max():.6f}", int(label == predicted), *row])
    columns = ["path", "label", "predicted", "confidence", "correct", *(f"p_{name}" for name in class_names)]
    files.write_csv(run / "predictions.csv", columns, rows)


def write_history(run, epochs, stages):
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
    rows = [[n, 1 / (n + 1), 0.6, 0.3 + abs(n - 2) / 10, 0.6, 0.001, 0.5] for n in range(epochs)]
    if stages:
        columns.insert(1, "stage")
        rows = [[row[0], stage, *row[1:]] for row, stage in zip(rows, stages, strict=True)]
    files.write_csv(run / "history.csv", columns, rows)


def write_results(run, class_names, labels, probabilities, epochs):
    scores = evaluation.evaluate(probabilities, labels, class_names, resamples=100)
    counts = {name: int((labels == index).sum()) for index, name in enumerate(class_names)}
    sizes = {split: len(labels) for split in ("train", "validation", "test")}
    versions = {"python": "3.11.9", "keras": "3.15.1"}
    cost = {
        "seconds": 93.4, "seconds_per_epoch": 0.5, "epochs": epochs, "peak_memory_bytes": 1_500_000_000,
        "trainable_parameters": 6405, "total_parameters": 6_424_069, "prefix_seconds": 0.0, "cache_bytes": 0,
    }  # fmt: skip
    files.write_json(run / "results.json", {
        "recipe": "feature_extraction", "strategy": "frozen base", "seed": 3,
        "data": {"source": "photos/", "class_names": class_names, **sizes, "notes": {"grey": 1}, "skipped": 0,
                 "per_split": dict.fromkeys(sizes, counts)},
        "test": scores, "validation": scores, "cost": cost, "versions": versions,
    })  # fmt: skip
    files.write_json(run / "config.json", {
        "recipe": "feature_extraction", "command": "python recipes/feature_extraction.py --data 'my photos'",
        "config": {"data": "my photos", "resume": None, "no_cache": False, "epochs": epochs},
        "versions": versions, "device": "2 CPU cores, float32", "started": "2026-11-21T03:33:40Z",
    })  # fmt: skip


def warm_left(paths, class_indices):
    """A heatmap function: every photo is grey and its left half is hot."""
    heat = np.zeros((32, 32), "float32")
    heat[:, :16] = 1
    return [np.full((32, 32, 3), 128, "uint8") for _ in paths], [heat for _ in class_indices]


def page_of(run, heatmap_function=None):
    path = report.write(run, heatmap_function)
    assert path == run / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_the_headline_says_the_result_in_plain_words(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose", "tulip"], per_class=10)
    test = json.loads((run / "results.json").read_text())["test"]
    low, high = (100 * limit for limit in test["accuracy_interval"])
    text = page_of(run).text
    assert f"{round(30 * test['accuracy'])} of 30 test photos right" in text
    assert f"95 % interval {low:.1f}–{high:.1f}" in text
    assert "Always guessing the largest class, daisy, would be right for 33.3" in text
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
    assert pages.command_lines("python 'x") == "python 'x"


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
    assert "None of the test photos is where it was" in page.text


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
    predicted = {row["path"]: row["predicted"] for row in pages.Run.read(run).predictions}
    asked = {}

    def heatmap_function(paths, class_indices):
        asked.update(zip(paths, class_indices, strict=True))
        return warm_left(paths, class_indices)

    report.write(run, heatmap_function)
    names = ["daisy", "rose", "tulip"]
    assert {path: names[index] for path, index in asked.items()}.items() <= predicted.items()


def test_the_surest_wrong_photos_come_first(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], per_class=20, skill=0)
    report.write(run)
    wrong = report._wrong_photos(pages.Run.read(run))
    sureness = [photo.confidence for photo in wrong]
    assert sureness == sorted(sureness, reverse=True) and len(wrong) <= report.WRONG_PHOTOS
    assert all(photo.label != photo.predicted for photo in wrong)


def test_mix_ups_are_counted_from_the_matrix(tmp_path):
    run = pages.Run.read(make_run(tmp_path, ["a", "b", "c"], per_class=8, skill=0, photos=False))
    matrix = np.array(run.results["test"]["confusion_matrix"])
    for row in report._mix_ups(run):
        true, predicted = run.class_names.index(row["true"]), run.class_names.index(row["predicted"])
        assert row["count"] == matrix[true, predicted] > 0 and row["share"] == row["count"] / 8
    assert report._mix_ups(run)[0]["count"] == (matrix - np.diag(np.diag(matrix))).max()


def test_many_long_names_and_stages(tmp_path):
    names = [f"{index:02d}_a_class_with_a_name_that_is_much_longer_than_a_column" for index in range(60)]
    run = make_run(tmp_path, names, per_class=1, skill=3, stages=["head"] * 2 + ["fine_tuning"] * 3)
    page_of(run, warm_left)
    assert (run / "report.html").stat().st_size < 3e6


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
    assert len(report._trained(pages.Run.read(run))) == 5
    results = json.loads((run / "results.json").read_text())
    row = {"validation_loss": 0.5, "validation_accuracy": 0.9, "seconds": 1.0}
    results["stages"] = [{"stage": "head"} | row, {"stage": "tuning"} | row]
    files.write_json(run / "results.json", results)
    assert [row["stage"] for row in report._trained(pages.Run.read(run))] == ["head", "head", "tuning"]


def test_the_balanced_accuracy_has_a_curve_where_it_was_measured(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    rows = [[n, 1 / (n + 1), 0.6, 0.5, 0.7, 0.4] for n in range(4)]
    columns = ["epoch", "loss", "accuracy", "balanced_accuracy", "val_loss", "val_balanced_accuracy"]
    files.write_csv(run / "history.csv", columns, rows)
    alts = {image["alt"] for image in page_of(run).all("img")}
    assert "Balanced accuracy on training and validation data in 4 epochs" in alts
    assert Image.open(run / "figures" / "balanced_accuracy.png").width == 960


def test_an_absent_class_is_shown_as_such(tmp_path):
    names = ["daisy", "rose", "tulip"]
    run = make_run(tmp_path, names, per_class=6, photos=False)
    predictions = [row for row in pages.Run.read(run).predictions if row["label"] != "tulip"]
    samples = [[row["path"], row["label"]] for row in predictions]
    probabilities = np.array([[float(row[f"p_{name}"]) for name in names] for row in predictions])
    write_predictions(run, names, samples, probabilities)
    write_results(run, names, np.array([names.index(label) for _, label in samples]), probabilities, 5)
    assert "tulip 0 – – – –" in page_of(run).text


def test_groups_are_mentioned(tmp_path):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    assert "bootstrap over photos" in page_of(run).text
    rows = [[row["path"], row["label"], "patient 1", row["split"]] for row in pages.Run.read(run).split]
    files.write_csv(run / "split.csv", ["path", "label", "group", "split"], rows)
    assert "bootstrap over groups of photos" in page_of(run).text


def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch):
    run = make_run(tmp_path, ["daisy", "rose"], photos=False)
    before = report.write(run).read_bytes()
    (run / "history.csv").unlink()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        report.write(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.rglob(".*"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.5, "0.5 s"), (59.94, "59.9 s"), (93.4, "1 min 33 s"), (3725, "1 h 2 min")],
)
def test_durations(seconds, words):
    assert pages.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 bytes"), (3_276_800, "3.28 MB"), (1.5e9, "1.5 GB"), (None, "–")])
def test_sizes(count, words):
    assert pages.size(count).replace("\N{NO-BREAK SPACE}", " ") == words
