"""What every page about a run is made of: the run's files, photos and figures as data URIs, words for numbers."""

import base64
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

from common import figures, files, grad_cam, images, video

THUMBNAIL = 280  # pixels on the longer side, twice what the page shows

# What Markdown would take for markup in a name; a newline would end a table's row.
MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_[]<>|&~#$"} | {"\n": " ", "\r": " "})


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
            history=[_epoch(row) for row in read_rows(directory / "history.csv")],
            predictions=[_prediction(row) for row in read_rows(directory / "predictions.csv")],
            split=read_rows(directory / "split.csv"),
            skipped=read_rows(directory / "skipped.csv"),
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


def read_rows(path):
    """The rows of a CSV file as dicts; none where there is no such file."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
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


def figure(run, name, alt, draw, *arguments):
    """Draw a figure in both themes, and write the light one as figures/<name>.png."""
    light, dark = (draw(*arguments, theme=theme) for theme in (figures.LIGHT, figures.DARK))
    write_figure(run, name, light)
    width = Image.open(io.BytesIO(light)).width * 100 // figures.DPI
    return Figure(data_uri(light, "png"), data_uri(dark, "png"), alt, width)


def write_figure(run, name, png):
    """Write figures/<name>.png."""
    with files.replacing(run.directory / "figures" / f"{name}.png") as temporary:
        temporary.write_bytes(png)


def data_uri(content, kind):
    """A picture's bytes as they stand in an `img`'s source; `kind` is "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def photos(run, name, rows):
    """Return rows of split.csv or predictions.csv as `Photo`s, and write the sheet figures/<name>.png."""
    pictures = [read_small(row["path"]) for row in rows]
    found = [photo(row, picture) for row, picture in zip(rows, pictures, strict=True)]
    if rows:
        shown = [None if isinstance(picture, str) else picture for picture in pictures]
        write_figure(run, name, figures.photo_sheet(shown, [caption(one) for one in found]))
    return found


def explained_photos(run, name, rows, classes, heatmap_function):
    """Return rows of predictions.csv as `Photo`s with the heat for one class each, and write figures/<name>.png.

    Args:
        run: a `Run`.
        name: of the sheet.
        rows: of photos that are there.
        classes: as many names, the class to explain for each.
        heatmap_function: as `report.write` takes it.
    """
    if not rows:
        return []
    indices = [run.class_names.index(explained) for explained in classes]
    pictures, heatmaps = heatmap_function([row["path"] for row in rows], indices)
    overlays = [grad_cam.overlay(picture, heat) for picture, heat in zip(pictures, heatmaps, strict=True)]
    found = [
        dataclasses.replace(photo(row, shrink(picture)), heat=jpeg_uri(shrink(overlay)))
        for row, picture, overlay in zip(rows, pictures, overlays, strict=True)
    ]
    sheet = [shrink(picture) for pair in zip(pictures, overlays, strict=True) for picture in pair]
    captions = [line for one, why in zip(found, classes, strict=True) for line in (caption(one), f"why {why}")]
    write_figure(run, name, figures.photo_sheet(sheet, captions))
    return found


def photo(row, picture):
    """A row of split.csv or predictions.csv as a `Photo`; `picture` is what `read_small` returns."""
    told = {name: row[name] for name in ("path", "label", "predicted", "confidence") if name in row}
    if isinstance(picture, str):
        return Photo(**told, problem=picture)
    return Photo(**told, source=jpeg_uri(picture))


def caption(photo):
    """What stands below a photo on a sheet."""
    if photo.predicted in ("", photo.label):
        return photo.label
    return f"{photo.label}\n→ {photo.predicted} {photo.confidence:.0%}"


def read_small(path):
    """Return a photo, or a clip's middle frame, shrunk for the page, or why it cannot be shown.

    A report outlives its photos.
    """
    is_clip = os.path.splitext(path)[1].lower() in video.EXTENSIONS or os.path.isdir(path)
    if not os.path.exists(path):
        return "clip moved" if is_clip else "photo moved"
    try:
        return shrink(video.read(path, frames=1)[0] if is_clip else images.read(path))
    except (images.ImageError, video.ClipError) as error:
        return str(error).partition(";")[0]


def shrink(picture):
    """A picture (height, width, 3) of uint8 no larger than a thumbnail."""
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return np.asarray(image)


def jpeg_uri(picture):
    """A picture (height, width, 3) of uint8 as a data URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=82, optimize=True)
    return data_uri(file.getvalue(), "jpeg")


def spread(items, count):
    """At most `count` of the items, evenly spaced."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


# Templates and words ------------------------------------------------------------------------------


def template(name):
    """A template of `common/templates`; what is put into HTML is escaped, Markdown escapes by its filter `text`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
        autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, decimal=decimal, grouped=grouped, duration=duration, size=size, setting=setting, words=words,
        plural=plural, breakable=breakable, command_lines=command_lines, text=markdown_text, estimate=estimate,
    )  # fmt: skip
    return environment.get_template(name)


def percent(share, digits=1):
    """0.5 as 50.0 %."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def decimal(value, digits=3):
    """0.5 as 0.500, and what diverged as 1.01e+304."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e15 else f"{value:.3g}"


def estimate(values, is_share=True):
    """[value, low, high] as 50.0 % (40.0–60.0), or as decimals; a dash where there is no value."""
    value, *limits = values
    shown = percent(value) if is_share else decimal(value)
    if value is None or None in limits:
        return shown
    low, high = (decimal(100 * limit, 1) if is_share else decimal(limit) for limit in limits)
    return f"{shown} ({low}–{high})"


def grouped(value):
    """6424069 as 6,424,069."""
    return "–" if value is None else f"{value:,}"


def duration(seconds):
    """93.4 as 1 min 33 s."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count):
    """1500000000 bytes as 1.5 GB."""
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{count}\N{NO-BREAK SPACE}bytes"


def setting(value):
    """A value of the configuration, as one would say it."""
    if value is None or value == "":
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def words(name):
    """balanced_accuracy as balanced accuracy."""
    return str(name).replace("_", " ")


def plural(count, word):
    """A number and what it counts: 1 photo, 2,000 photos."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def command_lines(command):
    """A command with a line for each flag, which can be copied into a shell as it is."""
    try:
        arguments = shlex.split(command)
    except ValueError:  # an unbalanced quote: not written by us
        return command
    breaks = [index for index, argument in enumerate(arguments) if argument.startswith("--")]
    parts = [arguments[start:end] for start, end in zip([0, *breaks], [*breaks, None], strict=True)]
    return " \\\n    ".join(shlex.join(part) for part in parts)


def breakable(text):
    """Let a long path or name break after its punctuation."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))


def markdown_text(text):
    """A name or a value as Markdown that shows just that, also in a table."""
    return str(text).translate(MARKDOWN)
