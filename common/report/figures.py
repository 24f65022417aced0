"""The report's figures, each a PNG in one plain style; matplotlib's global settings do not change."""

import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import matplotlib.patheffects
import matplotlib.style
import matplotlib.ticker
import numpy as np
from matplotlib.backends import backend_agg
from PIL import Image

from common.report import lettering

DPI = 200  # two pixels per CSS pixel at 100 CSS pixels per inch: crisp on dense screens
PHOTO_DPI = 120
LONGEST_NAME = 24
MOST_NUMBERED_CLASSES = 20  # a confusion matrix with more classes shows colours only

FEW_PHOTOS = 10  # a bin of the reliability diagram with fewer is drawn pale, since its accuracy is uncertain
PALE = 0.35  # opacity of uncertain values
Drawing = matplotlib.figure.Figure
DASHED = {"linestyle": (0, (3, 3)), "linewidth": 1.2}


PERCENT = matplotlib.ticker.PercentFormatter(1, decimals=0, symbol="\N{THIN SPACE}%")


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb; blue and orange are from Okabe and Ito's palette for colour-blind readers.

    The red of leaks is never the only sign: the word is beside it.
    """

    background: str
    ink: str
    muted: str
    grid: str
    train: str
    validation: str
    leak: str  # numbers that are too good
    shares: tuple[str, ...]  # the confusion matrix's scale from 0 to 1
    on_large_share: str  # text on its upper half
    lines: tuple[
        str, ...
    ]  # for many strategies; at least 3:1 against the background, distinct for colour-blind readers


LIGHT = Theme(
    background="#ffffff",
    ink="#1d2733",
    muted="#667181",
    grid="#e4e8ed",
    train="#0072b2",
    validation="#d55e00",
    leak="#c62828",
    shares=("#ffffff", "#0072b2", "#084c7f"),
    on_large_share="#ffffff",
    lines=("#0072b2", "#d55e00", "#009e73", "#882255", "#332288", "#cc79a7", "#667181"),
)
DARK = Theme(
    background="#1a2029",
    ink="#e6eaf0",
    muted="#97a3b3",
    grid="#2f3844",
    train="#56b4e9",
    validation="#e69f00",
    leak="#ff7b72",
    shares=("#1a2029", "#1f6fa3", "#7cc7f2"),
    on_large_share="#0c1117",
    lines=("#56b4e9", "#e69f00", "#44bb99", "#f0e442", "#8899ff", "#ee6655", "#c8d0da"),
)


class Png(bytes):
    """A picture, and its legend: letters that no installed font has → the number that stands for them."""

    legend: dict[str, int]


def png(colours: int | None) -> Callable[[Callable[..., Drawing]], Callable[..., Png]]:
    """Turn `draw(…, theme) -> Figure` into a function that returns a PNG, whatever the user's rcParams.

    Names go through `short`. If some have letters that matplotlib's own font lacks, the figure is drawn once more.

    Args:
        colours: the number of colours to keep. With 256, a diagram looks the same and takes a third of the bytes. None
            keeps all, which photos need.
    """

    def decorate(draw: Callable[..., Drawing]) -> Callable[..., Png]:
        @functools.wraps(draw)
        def render(*arguments: Any, theme: Theme = LIGHT) -> Png:
            names, fonts = lettering.Lettering(), [lettering.OWN]
            with (
                matplotlib.style.context(_style(theme), after_reset=True),
                lettering.of_figure(names),
                warnings.catch_warnings(),
            ):
                warnings.filterwarnings("ignore", message="Glyph .* missing from")  # known a line further
                figure = draw(*arguments, theme=theme)
                fonts, missing = lettering.fonts_for(names.seen)
            if missing or len(fonts) > 1:
                names = lettering.Lettering(missing)
                with (
                    matplotlib.style.context(_style(theme) | {"font.family": fonts}, after_reset=True),
                    lettering.of_figure(names),
                ):
                    figure = draw(*arguments, theme=theme)
            with matplotlib.style.context(_style(theme) | {"font.family": fonts}, after_reset=True):
                canvas = backend_agg.FigureCanvasAgg(figure)
                canvas.draw()
            picture = Png(_encoded(np.asarray(canvas.buffer_rgba()), colours))
            picture.legend = names.legend
            return picture

        return render

    return decorate


def _encoded(pixels: np.ndarray, colours: int | None) -> bytes:
    image = Image.fromarray(pixels).convert("RGB")
    file = io.BytesIO()
    # A sheet of photos hardly shrinks at any level of compression.
    (image.quantize(colours) if colours else image).save(file, format="PNG", compress_level=6 if colours else 1)
    return file.getvalue()


@png(colours=256)
def learning_curve(history: list[dict], metric: str, best_epoch: int | None = None, *, theme: Theme) -> Drawing:
    """Draw a metric over the epochs, for training and validation.

    Args:
        history: a dict per epoch with `metric`, `val_<metric>` and `stage`, as far as they exist.
        best_epoch: the epoch to mark, counted from 0, or None.
    """
    figure, axes = new_figure(4.8, 3.2)
    epochs = np.arange(1, len(history) + 1)
    lines = ((metric, "training", theme.train), (f"val_{metric}", "validation", theme.validation))
    for name, label, colour in lines:
        values = np.array([row.get(name, np.nan) for row in history], float)
        if np.isfinite(values).any():
            axes.plot(epochs, values, color=colour, label=label, marker="o" if len(history) < 12 else "")
            if best_epoch is not None and name.startswith("val_"):
                _mark_best(axes, best_epoch + 1, values[best_epoch], theme)
    axes.set(xlabel="epoch", ylabel=metric.replace("_", " "), xlim=(0.5, len(history) + 0.5))
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(8, integer=True, min_n_ticks=1))
    set_value_axis(axes, metric)
    _shade_stages(axes, [row.get("stage") for row in history], theme)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def set_value_axis(axes: matplotlib.axes.Axes, metric: str) -> None:
    """Set up the axis of a metric: a loss starts at 0; all other metrics are shares, with no mark above 100 %."""
    low, high = axes.get_ylim()
    if metric == "loss":
        axes.set_ylim(0, high * 1.04)
        return
    axes.set_ylim(low, min(high, 1.02))
    ticks = matplotlib.ticker.MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, min(high, 1))
    axes.set_yticks([tick for tick in ticks if low <= tick <= 1])
    axes.yaxis.set_major_formatter(PERCENT)


def _mark_best(axes: matplotlib.axes.Axes, epoch: int, value: float, theme: Theme) -> None:
    axes.axvline(epoch, color=theme.muted, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    axes.plot(epoch, value, marker="o", markersize=8, markerfacecolor=theme.background, markeredgewidth=2,
              color=theme.validation, linestyle="", label="best epoch", zorder=4)  # fmt: skip


def _shade_stages(axes: matplotlib.axes.Axes, stages: Sequence[str | None], theme: Theme) -> None:
    """Shade every second stage and write the names of stages at the top, if there are several."""
    starts = [index for index, stage in enumerate(stages) if index == 0 or stage != stages[index - 1]]
    if len(starts) < 2:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the names
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(stages)], strict=True)):
        if number % 2:
            axes.axvspan(start + 0.5, end + 0.5, color=theme.grid, alpha=0.55, linewidth=0, zorder=0)
        name = short(str(stages[start]).replace("_", " "))
        axes.text(start + 0.65, 0.975, name, transform=axes.get_xaxis_transform(), va="top", fontsize=8,
                  color=theme.muted, parse_math=False)  # fmt: skip


@png(colours=256)
def stage_curve(stages: Sequence[dict], kept: str | None, *, theme: Theme) -> Drawing:
    """Draw the validation loss and accuracy after each training stage, and its seconds below.

    Args:
        stages: a dict per stage with `stage`, `validation_loss`, `validation_accuracy`, `seconds`, and `blocks` if
            stages differ in the number of unfrozen blocks.
        kept: name of the stage whose weights were kept.
    """
    upright = len(stages) <= 5
    figure, (upper, middle, lower) = new_figure(4.8, 4.6, nrows=3, sharex=True, height_ratios=[2, 2, 1.1])
    places = np.arange(len(stages))
    best = next((place for place, row in enumerate(stages) if row["stage"] == kept), None)
    for axes, metric in ((upper, "loss"), (middle, "accuracy")):
        values = np.array([row[f"validation_{metric}"] for row in stages], float)
        axes.plot(places, values, color=theme.validation, marker="o")
        if best is not None:
            axes.plot(best, values[best], marker="o", markersize=8, markerfacecolor=theme.background,
                      markeredgewidth=2, color=theme.validation, linestyle="", zorder=4)  # fmt: skip
        axes.margins(y=0.15)
        axes.set_ylabel(f"validation\n{metric}")
    low, high = middle.get_ylim()
    wider = max(0.0, 0.03 - (high - low)) / 2  # three percent at least, or all marks would show the same number
    middle.set_ylim(low - wider, high + wider)
    middle.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
    middle.yaxis.set_major_formatter(PERCENT)
    seconds = [row["seconds"] for row in stages]
    lower.bar(places, seconds, 0.5, color=theme.muted)
    for place, value in zip(places, seconds, strict=True):
        where = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center"}
        lower.annotate(f"{value:,.3g}", (place, value), fontsize=7.5, **where)
    lower.set(ylabel="seconds", ylim=(0, max(max(seconds), 0.1) * 1.35), xlim=(-0.6, len(stages) - 0.4))
    lower.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
    names = [short(row["stage"].replace("_", " ", 1)) for row in stages]
    if "blocks" in stages[0]:
        gap = "\n" if upright else "  "
        names = [f"{row['blocks']}{gap}{name.removeprefix('from ')}" for row, name in zip(stages, names, strict=True)]
        lower.set_xlabel("blocks unfrozen")
    lower.set_xticks(places, names, rotation=0 if upright else 90, parse_math=False)
    figure.align_ylabels()
    return figure


@png(colours=256)
def confusion_matrix(matrix: list | np.ndarray, class_names: Sequence[str], *, theme: Theme) -> Drawing:
    """Draw a (k, k) matrix of counts, rows = true classes; the colour is the share of the row, 0..1."""
    matrix = np.asarray(matrix)
    num_classes, longest = len(class_names), max(len(short(name)) for name in class_names)
    cell = float(np.clip(6 / num_classes, 0.14, 0.85 if num_classes > 2 else 1.2))
    upright = longest * 0.08 < cell  # inches per letter, about
    side, label = cell * num_classes, longest * 0.075
    figure, axes = new_figure(side + label + 1.3, side + (0.2 if upright else label) + 0.7)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.pcolormesh(
        shares,
        cmap=matplotlib.colors.LinearSegmentedColormap.from_list("share", theme.shares),
        norm=matplotlib.colors.PowerNorm(0.65, vmin=0, vmax=1),  # makes a few percent visible
        edgecolors=theme.grid,
        linewidth=min(1, 8 / num_classes),
    )
    axes.set(xlabel="predicted class", ylabel="true class", aspect="equal")
    axes.invert_yaxis()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    _label_classes(axes, class_names, upright)
    if num_classes <= MOST_NUMBERED_CLASSES:
        _write_counts(axes, matrix, shares, theme)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=30, pad=0.02, format=PERCENT)
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.1, 0.25, 0.5, 0.75, 1])
    bar.set_label("share of the true class", color=theme.muted)
    return figure


def _label_classes(axes: matplotlib.axes.Axes, class_names: Sequence[str], upright: bool) -> None:
    num_classes = len(class_names)
    names = [short(name) for name in class_names]
    size = 9 if num_classes <= 20 else 7.5 if num_classes <= 50 else 6.5
    places = np.arange(num_classes) + 0.5
    axes.set_yticks(places, names, fontsize=size, parse_math=False)
    axes.set_xticks(places, names, fontsize=size, rotation=0 if upright else 90, parse_math=False)
    axes.tick_params(length=0)


def _write_counts(axes: matplotlib.axes.Axes, matrix: np.ndarray, shares: np.ndarray, theme: Theme) -> None:
    size = np.clip(120 / len(matrix), 6.5, 11)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = theme.on_large_share if shares[row, column] > 0.3 else theme.ink
            place = {"ha": "center", "va": "center", "fontsize": size}
            axes.text(column + 0.5, row + 0.5, f"{count}", color=colour, **place)


@png(colours=256)
def reliability_diagram(bins: dict[str, list], *, theme: Theme) -> Drawing:
    """Draw `classification.reliability`: accuracy against confidence per bin, and the number of photos in each bin."""
    figure, (upper, lower) = new_figure(4.8, 4.6, nrows=2, sharex=True, height_ratios=[3.2, 1])
    edges, counts = np.array(bins["edges"]), np.array(bins["counts"])
    filled, width = counts > 0, edges[1]
    centres = (edges[:-1] + width / 2)[filled]
    accuracy, confidence = (np.array(bins[name], float)[filled] for name in ("accuracy", "confidence"))
    few = counts[filled] < FEW_PHOTOS
    upper.bar(centres[few], accuracy[few], width * 0.92, color=theme.train, alpha=PALE)
    upper.bar(centres[~few], accuracy[~few], width * 0.92, color=theme.train, label="accuracy of the bin")
    upper.plot([0, 1], [0, 1], color=theme.muted, label="perfect calibration", **DASHED)
    ends = confidence[~few], accuracy[~few], confidence[~few]  # a gap from a handful of photos would be misleading
    gaps = upper.vlines(*ends, linewidth=2.2, color=theme.validation, zorder=3)
    gaps.set_label("gap to mean confidence")
    upper.set(ylim=(0, 1), ylabel="accuracy")
    lower.bar(centres, counts[filled], width * 0.92, color=theme.muted)
    for centre, count in zip(centres, counts[filled], strict=True):
        place = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center"}
        lower.annotate(f"{count}", (centre, count), fontsize=7, **place)
    lower.set(xlim=(0, 1), ylim=(0, counts.max() * 1.3), xlabel="confidence of the answer", ylabel="photos")
    upper.yaxis.set_major_formatter(PERCENT)
    lower.xaxis.set_major_formatter(PERCENT)
    lower.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3, integer=True))
    figure.legend(loc="outside upper left", ncols=3, fontsize=8, columnspacing=1.2, handlelength=1.4)
    return figure


@png(colours=None)
def photo_sheet(
    pictures: Sequence[np.ndarray | None], captions: Sequence[str], columns: int = 6, *, theme: Theme
) -> Drawing:
    """Draw photos in rows of `columns`, each with a caption of one or two lines below.

    Args:
        pictures: non-empty list of (height, width, 3) uint8 arrays; None leaves the place empty.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height, side = 1.6, 1.95, 1.5  # in inches: a place with its caption, and the side of a picture
    figure = matplotlib.figure.Figure(figsize=(width * columns, height * rows), dpi=PHOTO_DPI)
    # One pair of axes in inches holds all photos: a pair for each photo takes ten times as long to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture = np.full((8, 8, 3), 225, "uint8") if picture is None else picture
        x, y = (number % columns + 0.5) * width, number // columns * height + 0.03 + side / 2
        down, across = (side / 2 * size / max(picture.shape[:2]) for size in picture.shape[:2])
        axes.imshow(picture, extent=(x - across, x + across, y + down, y - down), aspect="auto")
        lines = "\n".join(short(line) for line in caption.splitlines())
        axes.text(x, y + down + 0.05, lines, ha="center", va="top", fontsize=7.5, parse_math=False)
    axes.set(xlim=(0, width * columns), ylim=(height * rows, 0))  # `imshow` has changed them
    return figure


def new_figure(width: float, height: float, dpi: int = DPI, **subplots: Any) -> tuple[matplotlib.figure.Figure, Any]:
    """Return a `Figure`, with its size in inches, and its axes, without pyplot's global list of figures."""
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    return figure, figure.subplots(**subplots)


def short(name: str) -> str:
    """Cut a name that is too long for a narrow place at its end; letters that cannot be drawn become a number."""
    name = lettering.shown(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"


def _style(theme: Theme) -> dict[str, Any]:
    return {
        "font.family": [lettering.OWN],
        "font.size": 9,
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "text.color": theme.ink,
        "axes.labelcolor": theme.muted,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "axes.edgecolor": theme.grid,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "lines.linewidth": 2,
        "lines.markersize": 4.5,
        "legend.frameon": False,
    }
