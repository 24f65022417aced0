"""The report of a finished run: one page that opens without a network, and its figures as PNG files."""

import base64
import collections
import csv
import dataclasses
import io
import json
import os
import pathlib
import shlex

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from common import evaluation, figures, files, grad_cam, images

SAMPLE_PHOTOS = 24
WRONG_PHOTOS = 12
EXPLAINED_PHOTOS = 6  # with Grad-CAM, of the right and of the wrong answers each
MIX_UPS = 8
LISTED_FILES = 50
THUMBNAIL = 280  # pixels on the longer side, twice what the page shows
SPLITS = ("train", "validation", "test")


def write(run_directory, heatmap_function=None):
    """Write `figures/*.png` and `report.html` into a run directory, from nothing but the files in it.

    Args:
        run_directory: holds config.json, results.json and predictions.csv, and as far as the run wrote them
            history.csv, split.csv and skipped.csv. The photos are read from the paths in these files.
        heatmap_function: takes a list of paths and a list of class indices, and returns as many uint8
            pictures (height, width, 3) and heatmaps (height, width) in 0..1; `grad_cam.heatmaps` makes them.
            Without it the page has no section on what the network looked at.

    Returns:
        The path of report.html.

    Raises:
        OSError, KeyError, ValueError: a file of the run is missing or not as the recipes write it.
    """
    run = Run.read(pathlib.Path(run_directory))
    (run.directory / "figures").mkdir(exist_ok=True)
    page = _template().render(
        run=run,
        results=run.results,
        test=run.results["test"],
        headline=_headline(run),
        groups=_has_groups(run),
        samples=_sample_photos(run),
        curves=_learning_curves(run),
        best_epoch=_kept_epoch(run),
        stages=_stage_curve(run),
        confusion=_confusion_matrix(run),
        mix_ups=_mix_ups(run),
        reliability=_reliability_diagram(run),
        wrong=_wrong_photos(run),
        num_wrong=sum(not row["correct"] for row in run.predictions),
        explained=_explained_photos(run, heatmap_function) if heatmap_function else None,
        listed_files=LISTED_FILES,
        splits=SPLITS,
    )
    path = run.directory / "report.html"
    with files.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


@dataclasses.dataclass(frozen=True)
class Run:
    """What stands in a run directory; `predictions` have numbers for numbers, `history` too."""

    directory: pathlib.Path
    config: dict
    results: dict
    history: list[dict]
    predictions: list[dict]
    split: list[dict]
    skipped: list[dict]

    @classmethod
    def read(cls, directory):
        """Read the files of a run."""
        return cls(
            directory=directory,
            config=json.loads((directory / "config.json").read_text(encoding="utf-8")),
            results=json.loads((directory / "results.json").read_text(encoding="utf-8")),
            history=[_epoch(row) for row in _read_rows(directory / "history.csv")],
            predictions=[_prediction(row) for row in _read_rows(directory / "predictions.csv")],
            split=_read_rows(directory / "split.csv"),
            skipped=_read_rows(directory / "skipped.csv"),
        )

    @property
    def class_names(self):
        """The classes in the order of the model's outputs."""
        return self.results["data"]["class_names"]

    def probabilities_and_labels(self):
        """The test set's probabilities (n, k) and true class indices (n,)."""
        columns = [f"p_{name}" for name in self.class_names]
        probabilities = [[float(row[column]) for column in columns] for row in self.predictions]
        labels = [self.class_names.index(row["label"]) for row in self.predictions]
        return np.array(probabilities), np.array(labels)


def _read_rows(path):
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _epoch(row):
    """An epoch with its numbers as floats; what is empty is left out."""
    stage = {"stage": row["stage"]} if row.get("stage") else {}
    return stage | {name: float(value) for name, value in row.items() if name != "stage" and value}


def _prediction(row):
    correct = row["label"] == row["predicted"]
    return row | {"confidence": float(row["confidence"]), "correct": correct}


# The figures and photos ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure for light and for dark pages, as data URIs, and its width on the page in CSS pixels."""

    light: str
    dark: str
    alt: str
    width: int


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo on the page; `source` is a data URI, or None with `problem` saying why there is no picture."""

    path: str
    label: str
    source: str | None = None
    problem: str = ""
    predicted: str = ""
    confidence: float = 0.0
    heat: str | None = None

    @property
    def name(self):
        """The file's name without its folders."""
        return os.path.basename(self.path)


def _figure(run, name, alt, draw, *arguments):
    light, dark = (draw(*arguments, theme=theme) for theme in (figures.LIGHT, figures.DARK))
    _write_figure(run, name, light)
    width = Image.open(io.BytesIO(light)).width * 100 // figures.DPI
    return Figure(_data_uri(light, "png"), _data_uri(dark, "png"), alt, width)


def _write_figure(run, name, png):
    with files.replacing(run.directory / "figures" / f"{name}.png") as temporary:
        temporary.write_bytes(png)


def _data_uri(content, kind):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _photos(run, name, rows):
    """Return rows of split.csv or predictions.csv as `Photo`s, and write the sheet figures/<name>.png."""
    pictures = [_read_small(row["path"]) for row in rows]
    photos = [_photo(row, picture) for row, picture in zip(rows, pictures, strict=True)]
    if rows:
        shown = [None if isinstance(picture, str) else picture for picture in pictures]
        _write_figure(run, name, figures.photo_sheet(shown, [_caption(photo) for photo in photos]))
    return photos


def _photo(row, picture):
    told = {name: row[name] for name in ("path", "label", "predicted", "confidence") if name in row}
    if isinstance(picture, str):
        return Photo(**told, problem=picture)
    return Photo(**told, source=_jpeg_uri(picture))


def _caption(photo):
    if photo.predicted in ("", photo.label):
        return photo.label
    return f"{photo.label}\n→ {photo.predicted} {photo.confidence:.0%}"


def _read_small(path):
    """Return a photo shrunk for the page, or why it cannot be shown: a report outlives its photos."""
    if not os.path.exists(path):
        return "photo moved"
    try:
        return _shrink(images.read(path))
    except images.ImageError as error:
        return str(error).partition(";")[0]


def _shrink(picture):
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _jpeg_uri(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=82, optimize=True)
    return _data_uri(file.getvalue(), "jpeg")


# The sections -------------------------------------------------------------------------------------


def _headline(run):
    """What always guessing the largest training class would give, to compare the accuracy with."""
    supports = {name: row["support"] for name, row in run.results["test"]["per_class"].items()}
    counts = run.results["data"].get("per_split", {}).get("train", supports)
    largest = max(run.class_names, key=lambda name: counts.get(name, 0))
    return {
        "right": sum(row["correct"] for row in run.predictions),
        "total": len(run.predictions),
        "largest_class": largest,
        "guessing": supports[largest] / max(1, sum(supports.values())),
    }


def _has_groups(run):
    return any(row.get("group") and row["split"] == "test" for row in run.split)


def _sample_photos(run):
    """Training photos, about as many of each class, spread evenly over its list: the same every time."""
    by_class = collections.defaultdict(list)
    for row in run.split:
        if row["split"] == "train":
            by_class[row["label"]].append(row)
    names = _spread([name for name in run.class_names if by_class[name]], SAMPLE_PHOTOS)
    chosen = []
    for index, name in enumerate(names):
        each, rest = divmod(SAMPLE_PHOTOS, len(names))
        chosen += _spread(by_class[name], each + (index < rest))
    return _photos(run, "training_photos", chosen)


def _spread(items, count):
    """At most `count` of the items, evenly spaced."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _learning_curves(run):
    metrics = [name for name in ("loss", "accuracy") if any(name in row for row in run.history)]
    best = _kept_epoch(run)
    return [
        _figure(run, metric, f"{metric.title()} on training and validation data in {len(run.history)} epochs",
                figures.learning_curve, run.history, metric, best)
        for metric in metrics
    ]  # fmt: skip


def _stage_curve(run):
    stages = run.results.get("stages", [])
    if len(stages) < 2:
        return None
    kept = run.results.get("kept_stage")
    alt = (
        f"Validation loss, validation accuracy and seconds of {len(stages)} training stages; the table has the numbers"
    )
    return _figure(run, "stages", alt, figures.stage_curve, stages, kept)


def _kept_epoch(run):
    """The epoch to mark as the best; None where stages decided, and not the lowest loss, what was kept."""
    return None if "kept_stage" in run.results else _best_epoch(run.history)


def _best_epoch(history):
    """The epoch with the lowest validation loss, counted from 0; None where there is no validation loss."""
    losses = np.array([row.get("val_loss", np.nan) for row in history])
    return int(np.nanargmin(losses)) if np.isfinite(losses).any() else None


def _confusion_matrix(run):
    test = run.results["test"]
    alt = f"Confusion matrix of {len(run.class_names)} classes; the most frequent mix-ups are listed below"
    return _figure(run, "confusion_matrix", alt, figures.confusion_matrix, test["confusion_matrix"], run.class_names)


def _mix_ups(run):
    """The most frequent wrong answers: true class, predicted class, count and share of the true class."""
    matrix = np.array(run.results["test"]["confusion_matrix"])
    totals = matrix.sum(axis=1)
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MIX_UPS]
    return [
        {"true": run.class_names[row], "predicted": run.class_names[column], "count": int(wrong[row, column]),
         "share": wrong[row, column] / totals[row]}
        for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[row, column]
    ]  # fmt: skip


def _reliability_diagram(run):
    bins = evaluation.reliability(*run.probabilities_and_labels())
    return _figure(run, "reliability", "Accuracy against confidence, in bins of confidence",
                   figures.reliability_diagram, bins)  # fmt: skip


def _wrong_photos(run):
    wrong = [row for row in run.predictions if not row["correct"]]
    return _photos(run, "wrong_photos", sorted(wrong, key=_minus_confidence)[:WRONG_PHOTOS])


def _minus_confidence(row):
    return -row["confidence"]


def _explained_photos(run, heatmap_function):
    """Photos with the heat for the predicted class, as {"wrong": [...], "right": [...]}."""
    rows = _rows_to_explain(run)
    if not rows:
        return {"wrong": [], "right": []}
    classes = [run.class_names.index(row["predicted"]) for row in rows]
    pictures, heatmaps = heatmap_function([row["path"] for row in rows], classes)
    overlays = [grad_cam.overlay(picture, heat) for picture, heat in zip(pictures, heatmaps, strict=True)]
    photos = [
        dataclasses.replace(_photo(row, _shrink(picture)), heat=_jpeg_uri(_shrink(overlay)))
        for row, picture, overlay in zip(rows, pictures, overlays, strict=True)
    ]
    sheet = [_shrink(picture) for pair in zip(pictures, overlays, strict=True) for picture in pair]
    captions = [caption for photo in photos for caption in (_caption(photo), f"why {photo.predicted}")]
    _write_figure(run, "grad_cam", figures.photo_sheet(sheet, captions))
    return {
        "wrong": [photo for photo, row in zip(photos, rows, strict=True) if not row["correct"]],
        "right": [photo for photo, row in zip(photos, rows, strict=True) if row["correct"]],
    }


def _rows_to_explain(run):
    """The surest wrong answers, and the surest right one of classes spread over the list."""
    there = sorted((row for row in run.predictions if os.path.isfile(row["path"])), key=_minus_confidence)
    wrong = [row for row in there if not row["correct"]]
    surest = {row["label"]: row for row in reversed(there) if row["correct"]}
    right = [surest[name] for name in run.class_names if name in surest]
    return wrong[:EXPLAINED_PHOTOS] + _spread(right, EXPLAINED_PHOTOS)


# The page -----------------------------------------------------------------------------------------


def _template():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent, decimal=_decimal, grouped=_grouped, duration=_duration, size=_size,
        setting=_setting, words=_words, plural=_plural, breakable=_breakable, command_lines=_command_lines,
    )  # fmt: skip
    return environment.get_template("report.html")


def _percent(share, digits=1):
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def _decimal(value, digits=3):
    return "–" if value is None else f"{value:.{digits}f}"


def _grouped(value):
    """6424069 as 6,424,069."""
    return "–" if value is None else f"{value:,}"


def _duration(seconds):
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _size(count):
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{count}\N{NO-BREAK SPACE}bytes"


def _setting(value):
    """A value of the configuration, as one would say it."""
    if value is None or value == "":
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _words(name):
    return str(name).replace("_", " ")


def _plural(count, word):
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _command_lines(command):
    """A command with a line for each flag, which can be copied into a shell as it is."""
    try:
        arguments = shlex.split(command)
    except ValueError:  # an unbalanced quote: not written by us
        return command
    breaks = [index for index, argument in enumerate(arguments) if argument.startswith("--")]
    parts = [arguments[start:end] for start, end in zip([0, *breaks], [*breaks, None], strict=True)]
    return " \\\n    ".join(shlex.join(part) for part in parts)


def _breakable(text):
    """Let a long path or name break after its punctuation."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))
