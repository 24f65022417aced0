"""The parts of every page about a run: photos and figures as data URIs, templates, the file itself."""

import base64
import dataclasses
import io
import os
import pathlib
import types
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jinja2
import numpy as np
from PIL import Image

from common import errors, files, words
from common.evaluation import grad_cam
from common.media import medium as media
from common.report import figures
from common.runs import finished_run, saved_model

FILES = ("templates/head.html", "templates/macros.html", "templates/style.css")
TEMPLATES = pathlib.Path(__file__).parent / "templates"
THUMBNAIL = 280  # pixels on the longer side, twice what the page shows


# The figures and photos ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure for light and for dark pages, as data URIs, its width on the page in CSS pixels, and its legend."""

    light: str
    dark: str
    alt: str
    width: int
    legend: dict[str, int] = dataclasses.field(default_factory=dict)


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
    def name(self) -> str:
        """The file's name without its folders."""
        return os.path.basename(self.path)


class Drawn(Protocol):
    """What a page is drawn of: a finished run or a comparison."""

    @property
    def directory(self) -> pathlib.Path:
        """The directory that the figures are written to."""


def figure(run: Drawn, name: str, alt: str, draw: Callable[..., figures.Png], *arguments: Any) -> Figure:
    """Draw a figure in both themes, and write the light one as figures/<name>.png."""
    light, dark = (draw(*arguments, theme=theme) for theme in (figures.LIGHT, figures.DARK))
    write_figure(run, name, light)
    width = Image.open(io.BytesIO(light)).width * 100 // figures.DPI
    return Figure(data_uri(light, "png"), data_uri(dark, "png"), alt, width, light.legend)


def write_figure(run: Drawn, name: str, png: bytes) -> None:
    """Write figures/<name>.png."""
    with files.replacing(run.directory / "figures" / f"{name}.png") as temporary:
        temporary.write_bytes(png)


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture's bytes as the source of an `img`; `kind` is "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def photo_sheet(run: finished_run.FinishedRun, name: str, rows: list[dict]) -> list[Photo]:
    """Return rows of split.csv or predictions.csv as `Photo`s, and write the sheet figures/<name>.png."""
    pictures = [read_small(row["path"], run.medium) for row in rows]
    found = [photo(row, picture) for row, picture in zip(rows, pictures, strict=True)]
    if rows:
        shown = [None if isinstance(picture, str) else picture for picture in pictures]
        write_figure(run, name, figures.photo_sheet(shown, [caption(one) for one in found]))
    return found


def explained_photos(
    run: finished_run.FinishedRun, name: str, rows: list[dict], classes: Sequence[str], heatmap_function: Callable
) -> list[Photo]:
    """Return rows of predictions.csv as `Photo`s with the heatmap of one class each, and write figures/<name>.png.

    Args:
        rows: rows of photos that exist.
        classes: the name of the class to explain for each row.
        heatmap_function: from paths and class indices to pictures and heatmaps, as `grad_cam.for_files` returns it.
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


def photo(row: dict, picture: np.ndarray | str) -> Photo:
    """Return a row of split.csv or predictions.csv as a `Photo`; `picture` is the result of `read_small`."""
    told = {name: row[name] for name in ("path", "label", "predicted", "confidence") if name in row}
    if isinstance(picture, str):
        return Photo(**told, problem=picture)
    return Photo(**told, source=jpeg_uri(picture))


def caption(photo: Photo) -> str:
    """Return the caption below a photo on a sheet."""
    if photo.predicted in ("", photo.label):
        return photo.label
    return f"{photo.label}\n→ {photo.predicted} {photo.confidence:.0%}"


def read_small(path: str, medium: media.Medium) -> np.ndarray | str:
    """Return the picture of an item, shrunk for the page, or why it cannot be shown: photos may have been moved."""
    if not os.path.exists(path):
        return f"{medium.unit} moved"
    try:
        return shrink(medium.thumbnail(path))
    except errors.UnusableFile as error:
        return str(error).partition(";")[0]


def shrink(picture: np.ndarray) -> np.ndarray:
    """Return a picture, (height, width, 3) uint8, shrunk to the size of a thumbnail."""
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return np.asarray(image)


def jpeg_uri(picture: np.ndarray) -> str:
    """Return a picture, (height, width, 3) uint8, as a data URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=82, optimize=True)
    return data_uri(file.getvalue(), "jpeg")


# Templates and words ------------------------------------------------------------------------------


def write(
    run_directory: pathlib.Path, sections: Sequence[types.ModuleType], saved: saved_model.SavedModel | None = None
) -> pathlib.Path:
    """Write `report.html` and `figures/*.png` into a run directory, only from the files in it.

    Args:
        run_directory: contains config.json, results.json and predictions.csv; history.csv, split.csv and skipped.csv
            are optional. The photos are read from the paths in these files.
        sections: modules of `common.report`. The first one draws the page with its function `page`, the others add to
            it with their function `section`.
        saved: the run's model. Without it, the page does not explain answers.

    Returns:
        The path of report.html.

    Raises:
        OSError, KeyError, ValueError: a file of the run is missing or was not written by the recipes.
    """
    run = finished_run.FinishedRun.read(pathlib.Path(run_directory))
    (run.directory / "figures").mkdir(exist_ok=True)
    whole, *further = sections
    html = whole.page(run, saved, [module.section(run, saved) for module in further])
    path = run.directory / "report.html"
    with files.replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="replace")
    return path


def template(name: str, folder: pathlib.Path | None = None) -> jinja2.Template:
    """Load a template of this room or of another folder; values in HTML are escaped, in Markdown by the filter `text`.

    Args:
        name: the name of a file in the folder `templates`.
        folder: another room's folder of templates, which may include templates of this room.
    """
    folders = [TEMPLATES] if folder is None else [folder, TEMPLATES]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent, decimal=words.decimal, grouped=words.grouped, duration=words.duration, size=words.size,
        price=words.price, setting=words.setting, words=words.words, plural=words.plural, breakable=words.breakable,
        command_lines=words.command_lines, text=words.markdown_text, estimate=words.estimate,
    )  # fmt: skip
    return environment.get_template(name)
