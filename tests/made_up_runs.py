"""Run directories as a recipe leaves them, with made-up answers, and their pages as a reader sees them."""

import contextlib
import html.parser
import importlib

import keras
import numpy as np
import pytest
from PIL import Image

from common import files
from common.data import targets
from common.evaluation import classification, grad_cam
from common.media import photos
from common.report import page
from common.runs import finished_run, saved_model

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
    scores = classification.scores(probabilities, labels, class_names, resamples=100)
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


def tell_brightness():
    """A model of photos that says bright above half of white, surer the further away, and dark below."""
    pixels = keras.Input((None, None, 3), name="pixels")
    preprocessing = keras.Model(pixels, keras.layers.Resizing(4, 4)(pixels), name="preprocessing")
    raw = keras.Input((None, None, 3), name="raw")
    output = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(raw, output(keras.layers.GlobalAveragePooling2D()(preprocessing(raw))))
    slope = np.array([[0.05, -0.05]] * 3) / 3
    output.set_weights([slope, np.array([-6.375, 6.375])])
    return model


def warm_left(paths, class_indices):
    """A heatmap function: every photo is grey and its left half is hot."""
    heat = np.zeros((32, 32), "float32")
    heat[:, :16] = 1
    return [np.full((32, 32, 3), 128, "uint8") for _ in paths], [heat for _ in class_indices]


@contextlib.contextmanager
def model_explained_by(heatmap_function):
    """Gives a saved model without a network, whose photos are explained by a function like `warm_left`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grad_cam, "for_files", lambda model, read: heatmap_function)
        yield saved_model.SavedModel(None, targets.CLASSES, photos.PHOTOS)


def draw(run, heatmap_function=None):
    """Draws the page of a run as `report` does, with the photos explained where there is a function for it."""
    results = finished_run.Result.read(run).results
    sections = [importlib.import_module(f"common.report.{name}") for name in finished_run.sections_of(results)]
    if heatmap_function is None:
        return page.write(run, sections)
    with model_explained_by(heatmap_function) as saved:
        return page.write(run, sections, saved)
