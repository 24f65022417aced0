"""The report's figures, each a PNG in one calm style; matplotlib's global settings are left alone."""

import dataclasses
import functools
import io
import warnings

import matplotlib.colors
import matplotlib.figure
import matplotlib.font_manager
import matplotlib.patheffects
import matplotlib.style
import matplotlib.ticker
import matplotlib.transforms
import numpy as np
import scipy.optimize
from matplotlib.backends import backend_agg
from PIL import Image

DPI = 200  # two pixels per CSS pixel at 100 CSS pixels per inch: crisp on dense screens
PHOTO_DPI = 120
LONGEST_NAME = 24
LONGEST_STRATEGY = 40  # a strategy's name ends with its backbone, so it is cut in the middle
MOST_NUMBERED_CLASSES = 20  # a confusion matrix with more classes shows colours only

# DejaVu Sans, matplotlib's own font, lacks the scripts of East Asia; the others help where installed.
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans")

FEW_PHOTOS = 10  # a bin of the reliability diagram with fewer is drawn pale: its accuracy says little
PALE = 0.35  # opacity of what says little
DASHED = {"linestyle": (0, (3, 3)), "linewidth": 1.2}

LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Round lengths of time, for an axis that is read in minutes and hours, too; where they stand too close, powers of ten.
ROUND_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000,
                 36000, 86400, 172800, 432000)  # fmt: skip
ROUNDER_SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 432000)
# Accuracies to mark on an axis that is stretched towards 100 %, the roundest first; of a narrow one every percent.
ROUND_SHARES = (0, 1, 0.5, 0.8, 0.9, 0.95, 0.2, 0.6, 0.7, 0.4, 0.3, 0.1, 0.98, 0.85, 0.75)
STRETCH = 1.05  # the axis is the logarithm of what is missing to this accuracy

PERCENT = matplotlib.ticker.PercentFormatter(1, decimals=0, symbol="\N{THIN SPACE}%")


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb; blue and orange are of Okabe and Ito's palette, made for colour-blind eyes.

    The red of what leaks is never alone: the word stands beside it.
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
    lines: tuple[str, ...]  # of many strategies; at least 3:1 against the background, apart for colour-blind eyes, too


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


def _png(colours):
    """Turn `draw(…, theme) -> Figure` into a function that returns a PNG, whatever the user's rcParams.

    Args:
        colours: how many to keep; with 256 a diagram looks the same and takes a third of the bytes.
            None keeps all, as photos need.
    """

    def decorate(draw):
        @functools.wraps(draw)
        def render(*arguments, theme=LIGHT):
            with matplotlib.style.context(_style(theme), after_reset=True), warnings.catch_warnings():
                # A name in a script that no installed font has is drawn as boxes; the page has it right.
                warnings.filterwarnings("ignore", message="Glyph .* missing from")
                canvas = backend_agg.FigureCanvasAgg(draw(*arguments, theme=theme))
                canvas.draw()
            return _encoded(np.asarray(canvas.buffer_rgba()), colours)

        return render

    return decorate


def _encoded(pixels, colours):
    image = Image.fromarray(pixels).convert("RGB")
    file = io.BytesIO()
    # A sheet of photos hardly shrinks, however long one tries.
    (image.quantize(colours) if colours else image).save(file, format="PNG", compress_level=6 if colours else 1)
    return file.getvalue()


@_png(colours=256)
def learning_curve(history, metric, best_epoch=None, *, theme):
    """Draw a metric over the epochs, for training and validation.

    Args:
        history: a dict per epoch with `metric`, `val_<metric>` and `stage` where there are any.
        metric: "loss", "accuracy", …
        best_epoch: the epoch to mark, counted from 0, or None.
        theme: a `Theme`.
    """
    figure, axes = _figure(4.8, 3.2)
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
    _set_value_axis(axes, metric)
    _shade_stages(axes, [row.get("stage") for row in history], theme)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _set_value_axis(axes, metric):
    """A loss starts at 0; anything else here is a share, whose axis has no mark above 100 %."""
    low, high = axes.get_ylim()
    if metric == "loss":
        axes.set_ylim(0, high * 1.04)
        return
    axes.set_ylim(low, min(high, 1.02))
    ticks = matplotlib.ticker.MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, min(high, 1))
    axes.set_yticks([tick for tick in ticks if low <= tick <= 1])
    axes.yaxis.set_major_formatter(PERCENT)


def _mark_best(axes, epoch, value, theme):
    axes.axvline(epoch, color=theme.muted, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    axes.plot(epoch, value, marker="o", markersize=8, markerfacecolor=theme.background, markeredgewidth=2,
              color=theme.validation, linestyle="", label="best epoch", zorder=4)  # fmt: skip


def _shade_stages(axes, stages, theme):
    """Shade every second stage and write its name at the top, if there are several."""
    starts = [index for index, stage in enumerate(stages) if index == 0 or stage != stages[index - 1]]
    if len(starts) < 2:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the names
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(stages)], strict=True)):
        if number % 2:
            axes.axvspan(start + 0.5, end + 0.5, color=theme.grid, alpha=0.55, linewidth=0, zorder=0)
        name = _short(str(stages[start]).replace("_", " "))
        axes.text(start + 0.65, 0.975, name, transform=axes.get_xaxis_transform(), va="top", fontsize=8,
                  color=theme.muted, parse_math=False)  # fmt: skip


@_png(colours=256)
def stage_curve(stages, kept, *, theme):
    """Draw what each training stage brought on validation, and its seconds below.

    Args:
        stages: a dict per stage with `stage`, `validation_loss`, `validation_accuracy`, `seconds`, and `blocks` where
            stages differ by how many are unfrozen.
        kept: name of the stage whose weights were kept.
        theme: a `Theme`.
    """
    upright = len(stages) <= 5
    figure, (upper, middle, lower) = _figure(4.8, 4.6, nrows=3, sharex=True, height_ratios=[2, 2, 1.1])
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
    middle.yaxis.set_major_formatter(PERCENT)
    seconds = [row["seconds"] for row in stages]
    lower.bar(places, seconds, 0.5, color=theme.muted)
    for place, value in zip(places, seconds, strict=True):
        where = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center"}
        lower.annotate(f"{value:,.3g}", (place, value), fontsize=7.5, **where)
    lower.set(ylabel="seconds", ylim=(0, max(max(seconds), 0.1) * 1.35), xlim=(-0.6, len(stages) - 0.4))
    lower.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
    names = [_short(row["stage"].replace("_", " ", 1)) for row in stages]
    if "blocks" in stages[0]:
        gap = "\n" if upright else "  "
        names = [f"{row['blocks']}{gap}{name.removeprefix('from ')}" for row, name in zip(stages, names, strict=True)]
        lower.set_xlabel("blocks unfrozen")
    lower.set_xticks(places, names, rotation=0 if upright else 90, parse_math=False)
    figure.align_ylabels()
    return figure


@_png(colours=256)
def confusion_matrix(matrix, class_names, *, theme):
    """Draw a (k, k) matrix of counts, rows = true classes; the colour is the share of the row, 0..1."""
    matrix = np.asarray(matrix)
    num_classes, longest = len(class_names), max(len(_short(name)) for name in class_names)
    cell = float(np.clip(6 / num_classes, 0.14, 0.85 if num_classes > 2 else 1.2))
    upright = longest * 0.08 < cell  # inches per letter, about
    side, label = cell * num_classes, longest * 0.075
    figure, axes = _figure(side + label + 1.3, side + (0.2 if upright else label) + 0.7)
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


def _label_classes(axes, class_names, upright):
    num_classes = len(class_names)
    names = [_short(name) for name in class_names]
    size = 9 if num_classes <= 20 else 7.5 if num_classes <= 50 else 6.5
    places = np.arange(num_classes) + 0.5
    axes.set_yticks(places, names, fontsize=size, parse_math=False)
    axes.set_xticks(places, names, fontsize=size, rotation=0 if upright else 90, parse_math=False)
    axes.tick_params(length=0)


def _write_counts(axes, matrix, shares, theme):
    size = np.clip(120 / len(matrix), 6.5, 11)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = theme.on_large_share if shares[row, column] > 0.4 else theme.ink
            place = {"ha": "center", "va": "center", "fontsize": size}
            axes.text(column + 0.5, row + 0.5, f"{count}", color=colour, **place)


@_png(colours=256)
def reliability_diagram(bins, *, theme):
    """Draw confidence against accuracy per bin, and below how many photos each bin holds.

    Args:
        bins: what `evaluation.reliability` returns.
        theme: a `Theme`.
    """
    figure, (upper, lower) = _figure(4.8, 4.6, nrows=2, sharex=True, height_ratios=[3.2, 1])
    edges, counts = np.array(bins["edges"]), np.array(bins["counts"])
    filled, width = counts > 0, edges[1]
    centres = (edges[:-1] + width / 2)[filled]
    accuracy, confidence = (np.array(bins[name], float)[filled] for name in ("accuracy", "confidence"))
    few = counts[filled] < FEW_PHOTOS
    upper.bar(centres[few], accuracy[few], width * 0.92, color=theme.train, alpha=PALE)
    upper.bar(centres[~few], accuracy[~few], width * 0.92, color=theme.train, label="accuracy of the bin")
    upper.plot([0, 1], [0, 1], color=theme.muted, label="perfect calibration", **DASHED)
    ends = confidence[~few], accuracy[~few], confidence[~few]  # a gap from a handful of photos would only mislead
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


@_png(colours=256)
def roc_curve(target, *, theme):
    """Draw sensitivity against false alarms at every threshold, and the chosen threshold with its intervals.

    Args:
        target: what `clinic.target` returns; a curve or point of None is left out.
        theme: a `Theme`.
    """
    figure, axes = _figure(4.8, 4.8)
    axes.plot([0, 1], [0, 1], color=theme.muted, label="guessing", **DASHED)
    wanted = target["wanted_sensitivity"]
    axes.axhline(wanted, color=theme.validation, label=f"wanted: {PERCENT.format_pct(wanted, 1)}", **DASHED)
    curve = target["roc"]
    false_alarms, sensitivity = (np.array(curve[name], float) for name in ("false_positive_rate", "sensitivity"))
    if np.isfinite(sensitivity).any() and np.isfinite(false_alarms).any():
        axes.plot(false_alarms, sensitivity, color=theme.train, label="all thresholds")
    found, spared = (np.array(target["test"][name], float) for name in ("sensitivity", "specificity"))
    if np.isfinite([found[0], spared[0]]).all():
        axes.hlines(found[0], 1 - spared[2], 1 - spared[1], color=theme.validation, linewidth=1.6, zorder=3)
        axes.vlines(1 - spared[0], found[1], found[2], color=theme.validation, linewidth=1.6, zorder=3)
        axes.plot(1 - spared[0], found[0], marker="o", markersize=9, markerfacecolor=theme.background,
                  markeredgewidth=2, color=theme.validation, linestyle="", label="chosen", zorder=4)  # fmt: skip
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="false alarms: 1 − specificity", ylabel="found: sensitivity")
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    figure.legend(loc="outside upper left", ncols=4, fontsize=8, columnspacing=1.1, handlelength=1.4)
    return figure


@_png(colours=256)
def forest_plot(rows, measures, count_label, reference_label, *, theme):
    """Draw estimates with their intervals: a line for each row, a panel for each measure.

    Args:
        rows: dicts with `name`, `count` (a text), `pale` (whether the row says little) and [value, low, high] under
            each measure's name, None where it is not known. A row with nothing but a name is a heading.
        measures: a (name, title, reference) for each panel; the reference is drawn as a dashed line.
        count_label: what the counts are.
        reference_label: what the references are.
        theme: a `Theme`.
    """
    longest = max(len(_short(row["name"])) for row in rows)
    size = 1.5 * len(measures) + 0.075 * longest + 0.9, 0.24 * len(rows) + 1.1
    figure, panels = _figure(*size, ncols=len(measures), sharey=True, squeeze=False)
    figure.get_layout_engine().set(wspace=0.06)  # the end of one axis stays apart from the start of the next
    places = np.arange(len(rows))
    for axes, (name, title, reference) in zip(panels[0], measures, strict=True):
        if reference is not None:
            axes.axvline(reference, color=theme.muted, label=reference_label, zorder=1, **DASHED)
        for place, row in zip(places, rows, strict=True):
            _draw_estimate(axes, place, row.get(name, [None]), theme.train, PALE if row.get("pale") else 1)
        axes.set_title(title, fontsize=9)
        _set_share_axis(axes, 1.02)
        if name == "auc":
            axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    panels[0, 0].set_yticks(places, [_short(row["name"]) for row in rows], parse_math=False)
    panels[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    for label, row in zip(panels[0, 0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if "count" in row else "bold")
        label.set_color(theme.muted if row.get("pale") else theme.ink)
    _write_column(panels[0, -1], count_label, [row.get("count", "") for row in rows], theme)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles[:1], labels[:1], loc="outside upper left", fontsize=8)
    return figure


def _set_share_axis(axes, end):
    """A lying axis from 0 to 100 % with a line at each quarter and none across; beyond, to `end`, is room for text."""
    axes.set_xlim(-0.02, end)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xticks([0.25, 0.75], minor=True)
    axes.tick_params(which="minor", length=0)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", which="both")
    axes.spines.left.set_visible(False)


def _draw_estimate(axes, place, estimate, colour, opacity):
    """A point at [value, low, high] and a line through its interval; nothing where the value is None."""
    if estimate[0] is None:
        return
    if None not in estimate:
        axes.hlines(place, *estimate[1:], color=colour, alpha=opacity, linewidth=1.8)
    axes.plot(estimate[0], place, marker="o", markersize=5.5, color=colour, alpha=opacity, clip_on=False)


def _write_column(axes, title, texts, theme):
    """Write a text right of each row."""
    right = {"transform": axes.get_yaxis_transform(), "fontsize": 8, "color": theme.muted}
    for place, text in enumerate(texts):
        axes.text(1.06, place, text, va="center", parse_math=False, **right)
    axes.annotate(title, (1.06, 1), xytext=(0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=8,
                  color=theme.muted, parse_math=False)  # fmt: skip


@_png(colours=256)
def abstention_curve(curve, *, theme):
    """Draw accuracy and balanced accuracy of the surest share of the photos.

    Args:
        curve: what `clinic.abstention` returns.
        theme: a `Theme`.
    """
    figure, axes = _figure(4.8, 3.2)
    for name, colour in (("accuracy", theme.train), ("balanced_accuracy", theme.validation)):
        axes.plot(curve["coverage"], np.array(curve[name], float), color=colour, label=name.replace("_", " "))
    axes.set(xlabel="share of the photos that are answered, the surest", ylabel="of these, right")
    axes.set_xlim(min(curve["coverage"]), 1.01)
    _set_value_axis(axes, "accuracy")
    axes.xaxis.set_major_formatter(PERCENT)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@_png(colours=256)
def imbalance_choices(choices, used, *, theme):
    """Draw what each way to treat rare classes brings, a line for each.

    Args:
        choices: dicts with `choice`, `accuracy`, `balanced_accuracy` and `recall_of_rarest`, None where not known.
        used: the choice of this run.
        theme: a `Theme`.
    """
    figure, axes = _figure(4.8, 0.34 * len(choices) + 1.1)
    names = (("accuracy", theme.train, "o"), ("balanced_accuracy", theme.validation, "o"),
             ("recall_of_rarest", theme.muted, "D"))  # fmt: skip
    places = np.arange(len(choices))
    for name, colour, marker in names:
        values = np.array([row[name] for row in choices], float)
        label = name.replace("_", " ").replace("of rarest", "of the rarest class")
        axes.plot(values, places, marker=marker, markersize=6.5, color=colour, linestyle="", label=label)
    labels = [row["choice"].replace("_", " ") + (" (used)" if row["choice"] == used else "") for row in choices]
    axes.set_yticks(places, labels, parse_math=False)
    axes.set_ylim(len(choices) - 0.4, -0.6)
    _set_share_axis(axes, 1.02)
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=3, fontsize=8, columnspacing=1.2, handlelength=1.4)
    return figure


@_png(colours=256)
def leak_bars(leak, *, theme):
    """Draw accuracy and balanced accuracy of a split by lesion and of one by picture, and what the latter is made of.

    Args:
        leak: `lesion` and `random` with `accuracy`, `balanced_accuracy` and their `_interval`s, `seen` and `unseen`
            without intervals; None where not known.
        theme: a `Theme`.
    """
    bars = (
        ("lesion", "by lesion, honest", theme.train, 1),
        ("random", "by picture, leaks", theme.leak, 1),
        ("seen", "lesion seen in training", theme.leak, PALE),
        ("unseen", "lesion not seen", theme.train, PALE),
    )
    figure, panels = _figure(4.8, 2, ncols=2, sharey=True)
    for axes, metric in zip(panels, ("balanced_accuracy", "accuracy"), strict=True):
        for place, (part, _, colour, opacity) in enumerate(bars):
            value, limits = leak[part][metric], leak[part].get(f"{metric}_interval")
            _draw_bar(axes, place, value, limits, theme, color=colour, alpha=opacity)
        axes.set_title(metric.replace("_", " "), fontsize=9)
        _set_share_axis(axes, 1.42)
    panels[0].set_yticks(range(len(bars)), [label for _, label, *_ in bars])
    panels[0].set_ylim(len(bars) - 0.4, -0.6)
    panels[0].get_yticklabels()[1].set_color(theme.leak)
    return figure


@_png(colours=256)
def accuracy_bars(bars, chance, *, theme):
    """Draw accuracies as lying bars, with a line at what guessing has.

    Args:
        bars: (name, accuracy, interval or None).
        chance: the accuracy of guessing.
        theme: a `Theme`.
    """
    figure, axes = _figure(4.8, 0.36 * len(bars) + 0.75)
    for place, (_, value, limits) in enumerate(bars):
        _draw_bar(axes, place, value, limits, theme, color=theme.train)
    axes.axvline(chance, color=theme.muted, label="guessing", **DASHED)
    _set_share_axis(axes, 1.25)
    axes.set_yticks(range(len(bars)), [_short(name) for name, *_ in bars], parse_math=False)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    figure.legend(loc="outside upper left", fontsize=8)
    return figure


@_png(colours=None)
def frame_strips(strips, contributions, captions, *, theme):
    """Draw clips as strips of frames, each with bars below that say what the frames added to the answer.

    Args:
        strips: list of (frames, height, width, 3) uint8, all with as many frames.
        contributions: (clips, frames) floats, one scale for all.
        captions: as many strings.
        theme: a `Theme`.
    """
    count = len(strips[0])
    figure = matplotlib.figure.Figure(figsize=(10.2, 1.35 * len(strips)), dpi=PHOTO_DPI)
    top = max(np.abs(contributions).max(), 1e-3)
    places = figure.subplots(
        2 * len(strips), 1, squeeze=False,
        gridspec_kw={"height_ratios": [1.6, 1] * len(strips), "left": 0.005, "right": 0.995, "bottom": 0.01,
                     "top": 1 - 0.2 / len(strips), "hspace": 0.32},
    )[:, 0]  # fmt: skip
    for number, (strip, added, caption) in enumerate(zip(strips, contributions, captions, strict=True)):
        pictures, bars = places[2 * number : 2 * number + 2]
        height, width = strip.shape[1:3]
        for frame, pixels in enumerate(strip):
            pictures.imshow(pixels, extent=(frame + 0.03, frame + 0.97, 0, 0.94 * height / width), aspect="auto")
        pictures.set_xlim(0, count)
        pictures.set_ylim(0, 0.94 * height / width)
        pictures.set_title(caption, loc="left", fontsize=8.5, pad=3, color=theme.ink, parse_math=False)
        colours = [theme.train if value > 0 else theme.validation for value in added]
        bars.bar(np.arange(count) + 0.5, added, 0.6, color=colours)
        bars.axhline(0, color=theme.muted, linewidth=0.8)
        bars.set_xlim(0, count)
        bars.set_ylim(-1.1 * top, 1.1 * top)
        pictures.set_axis_off()
        bars.set_axis_off()
    return figure


def _draw_bar(axes, place, value, limits, theme, **style):
    """A lying bar with its interval and number; a dash where there is no value."""
    if value is None:
        axes.text(0.03, place, "–", va="center", fontsize=8)
        return
    axes.barh(place, value, 0.62, **style)
    if limits:
        axes.hlines(place, *limits, color=theme.ink, linewidth=1.4)
    end = max(value, *(limits or [0]))
    axes.text(end + 0.03, place, f"{100 * value:.1f}\N{THIN SPACE}%", va="center", fontsize=8)


@_png(colours=None)
def photo_sheet(pictures, captions, columns=6, *, theme):
    """Draw photos in rows, each with a caption of one or two lines below.

    Args:
        pictures: non-empty list of (height, width, 3) uint8 arrays; None leaves the place empty.
        captions: as many strings.
        columns: photos per row.
        theme: a `Theme`.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height, side = 1.6, 1.95, 1.5  # of a place with its caption, and of a picture, in inches
    figure = matplotlib.figure.Figure(figsize=(width * columns, height * rows), dpi=PHOTO_DPI)
    # All in one pair of axes, in inches: a pair for each photo takes ten times as long to draw.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture = np.full((8, 8, 3), 225, "uint8") if picture is None else picture
        x, y = (number % columns + 0.5) * width, number // columns * height + 0.03 + side / 2
        down, across = (side / 2 * size / max(picture.shape[:2]) for size in picture.shape[:2])
        axes.imshow(picture, extent=(x - across, x + across, y + down, y - down), aspect="auto")
        lines = "\n".join(_short(line) for line in caption.splitlines())
        axes.text(x, y + down + 0.05, lines, ha="center", va="top", fontsize=7.5, parse_math=False)
    axes.set(xlim=(0, width * columns), ylim=(height * rows, 0))  # `imshow` has changed them
    return figure


@_png(colours=256)
def cost_front(points, *, theme):
    """Draw accuracy against seconds: a named dot for each strategy, and a line along those that nothing cheaper beats.

    Args:
        points: non-empty list of dicts with `name`, `seconds`, `accuracy` as [value, low, high], limits None where
            there is no range, `on_front` and `is_choice`.
        theme: a `Theme`.
    """
    figure, axes = _figure(7.4, 4.3 + 0.12 * max(0, len(points) - 8))
    seconds = np.maximum([point["seconds"] for point in points], ROUND_SECONDS[0])
    ends = _set_seconds_axis(axes, seconds.min() / 1.4, seconds.max() * 2.2, 10)  # names stand right of the dots
    _set_accuracy_axis(axes, [limit for point in points for limit in point["accuracy"] if limit is not None])
    places = list(zip(seconds, (point["accuracy"][0] for point in points), strict=True))
    front = sorted(place for place, point in zip(places, points, strict=True) if point["on_front"])
    steps = [*front, (ends[1], front[-1][1])]
    axes.step(*zip(*steps, strict=True), where="post", color=theme.train, linewidth=1.4, alpha=0.6, zorder=2,
              label="nothing cheaper is better")  # fmt: skip
    for second, point in zip(seconds, points, strict=True):
        colour = theme.train if point["on_front"] else theme.muted
        value, *limits = point["accuracy"]
        if None not in limits:
            axes.vlines(second, *limits, color=colour, linewidth=1.2, alpha=0.7, zorder=3)
        axes.plot(second, value, marker="o", markersize=6.5, color=colour, linestyle="", zorder=4)
        if point["is_choice"]:
            axes.plot(second, value, marker="o", markersize=12, markerfacecolor="none", markeredgewidth=2,
                      color=theme.validation, linestyle="", zorder=5, label="what to use")  # fmt: skip
    axes.set(xlabel="seconds of training, the pass through the frozen network included", ylabel="test accuracy")
    figure.legend(loc="outside upper left", ncols=2, fontsize=8)
    _label_points(axes, places, points, steps, theme)
    return figure


@_png(colours=256)
def data_curves(curves, *, theme):
    """Draw test accuracy against the number of training photos, a line for each strategy with its name at the end.

    Args:
        curves: non-empty list of dicts with `name`, `photos` (ascending), `accuracy` as many [value, low, high], limits
            None where there is no range, and `is_choice`.
        theme: a `Theme`.
    """
    figure, axes = _figure(7.4, max(3.8, 0.24 * len(curves) + 1.2))
    photos = sorted({count for curve in curves for count in curve["photos"]})
    width = np.log(photos[-1] / photos[0]) or 1
    shifts = np.exp(0.008 * width * (np.arange(len(curves)) - (len(curves) - 1) / 2))  # ranges stand side by side
    axes.set_xscale("log")
    axes.set_xlim(photos[0] * np.exp(-0.07 * width), photos[-1] * np.exp(0.07 * width))
    everything = [limit for curve in curves for values in curve["accuracy"] for limit in values if limit is not None]
    _set_accuracy_axis(axes, everything)
    _set_photo_ticks(axes, photos)
    styles = []
    for number, (curve, shift) in enumerate(zip(curves, shifts, strict=True)):
        places = np.array(curve["photos"]) * shift
        values = [value for value, *_ in curve["accuracy"]]
        style = {"color": theme.lines[number % len(theme.lines)],
                 "linestyle": LINE_STYLES[number // len(theme.lines) % len(LINE_STYLES)],
                 "linewidth": 2.8 if curve["is_choice"] else 1.5}  # fmt: skip
        for place, (_, *limits) in zip(places, curve["accuracy"], strict=True):
            if None not in limits:
                axes.vlines(place, *limits, color=style["color"], linewidth=1, alpha=0.6)
        axes.plot(places, values, marker=MARKERS[number % len(MARKERS)], zorder=3, **style)
        styles.append({"end": (places[-1], values[-1]), "color": style["color"]})
    axes.set(xlabel="training photos", ylabel="test accuracy")
    _label_ends(axes, styles, curves, theme)
    return figure


@_png(colours=256)
def convergence_panels(curves, *, theme):
    """Draw validation accuracy against seconds, a panel for each strategy with the others pale behind it.

    Args:
        curves: non-empty list of dicts with `name`, `runs` (non-empty, each a `seconds` and an `accuracy`, lists of the
            same length, the run to show behind the others first) and `is_choice`.
        theme: a `Theme`.
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    size = (7.4 if columns == 3 else 3.2 * columns + 0.6), 1.75 * rows + 0.55
    figure, grid = _figure(*size, nrows=rows, ncols=columns, sharex=True, sharey=True, squeeze=False)
    runs = [run for curve in curves for run in curve["runs"]]
    seconds = np.maximum(np.concatenate([run["seconds"] for run in runs]), ROUND_SECONDS[0])
    _set_seconds_axis(grid[0, 0], seconds.min() / 1.2, seconds.max() * 1.2, 6 if columns > 1 else 8)
    for axes, curve in zip(grid.flat, curves, strict=False):
        for other in curves:
            if other is not curve:
                _draw_run(axes, other["runs"][0], color=theme.muted, linewidth=0.8, alpha=0.45, zorder=1)
        for run in curve["runs"]:
            _draw_run(axes, run, color=theme.train, linewidth=1.1, zorder=3)
        name = _cut(curve["name"])
        name = name if len(name) <= 30 else name.replace(", ", ",\n")
        weight = "bold" if curve["is_choice"] else "normal"
        axes.set_title(name, fontsize=8, fontweight=weight, loc="left", pad=4, parse_math=False)
        axes.tick_params(labelsize=8, labelbottom=True)
        axes.grid(axis="x")
    for axes in grid.flat[len(curves) :]:
        axes.set_axis_off()
    _set_value_axis(grid[0, 0], "accuracy")
    figure.supxlabel("seconds since the training started", fontsize=9, color=theme.muted)
    figure.supylabel("validation accuracy", fontsize=9, color=theme.muted)
    return figure


def _draw_run(axes, run, **style):
    """A run's line, or its only epoch as a dot."""
    places = np.maximum(run["seconds"], ROUND_SECONDS[0])
    axes.plot(places, run["accuracy"], marker="o" if len(places) == 1 else "", markersize=4, **style)


@_png(colours=256)
def share_table(shares, row_names, column_names, label, *, theme):
    """Draw a table of shares: the darker the higher, with the percentage written in each cell.

    Args:
        shares: (rows, columns) floats in 0..1, NaN where not known.
        row_names: as many strings as rows.
        column_names: as many strings as columns.
        label: what the shares are.
        theme: a `Theme`.
    """
    shares = np.asarray(shares, float)
    rows, columns = shares.shape
    width = float(np.clip(6.2 / columns, 0.36, 0.9))
    upright = max(len(_short(name)) for name in column_names) * 0.082 < width
    label_width = 0.075 * max(len(_cut(name)) for name in row_names)
    label_height = 0.2 if upright else 0.075 * max(len(_short(name)) for name in column_names)
    figure, axes = _figure(width * columns + label_width + 1.1, 0.34 * rows + label_height + 0.35)
    known = shares[np.isfinite(shares)]
    lowest = np.floor(10 * min(known, default=0)) / 10
    norm = matplotlib.colors.Normalize(min(lowest, 0.9), 1)
    scale = matplotlib.colors.LinearSegmentedColormap.from_list("share", theme.shares)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(shares), cmap=scale, norm=norm, edgecolors=theme.background, linewidth=2
    )
    for (row, column), share in np.ndenumerate(shares):
        text = f"{100 * share:.0f}" if np.isfinite(share) else "–"
        cell = scale(float(norm(share)))[:3] if np.isfinite(share) else theme.background
        colour = max((theme.ink, theme.on_large_share), key=lambda ink: _contrast(ink, cell))  # noqa: B023
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8.5, color=colour)
    axes.invert_yaxis()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.set_yticks(np.arange(rows) + 0.5, [_cut(name) for name in row_names], parse_math=False)
    names = [_short(name) for name in column_names]
    axes.set_xticks(np.arange(columns) + 0.5, names, rotation=0 if upright else 90, parse_math=False)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=max(6, 3 * rows), pad=0.02, format=PERCENT)
    bar.outline.set_visible(False)
    bar.locator = matplotlib.ticker.MaxNLocator(min(rows + 1, 5), steps=[1, 2, 5, 10])
    bar.update_ticks()
    bar.set_label(label, color=theme.muted)
    return figure


def _contrast(one, other):
    """Contrast of two colours, 1 to 21 (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""
    channels = np.array([matplotlib.colors.to_rgb(one), matplotlib.colors.to_rgb(other)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


def _set_seconds_axis(axes, low, high, most_ticks):
    """A logarithmic axis of seconds that spans a factor of ten at least; returns its ends."""
    missing = np.sqrt(max(1, 10 * low / high))
    low, high = low / missing, high * missing
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [tick for tick in ROUND_SECONDS if low <= tick <= high]
    if len(ticks) > most_ticks:
        ticks = [tick for tick in ROUNDER_SECONDS if low <= tick <= high]
    axes.set_xticks(ticks, [_round_duration(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.grid(axis="x")
    return low, high


def _round_duration(seconds):
    """60 as 1 min."""
    for unit, scale in (("h", 3600), ("min", 60)):
        if seconds >= scale:
            return f"{seconds / scale:g}\N{THIN SPACE}{unit}"
    return f"{seconds:g}\N{THIN SPACE}s"


def _set_accuracy_axis(axes, values):
    """An upright axis around shares, stretched towards 100 %: from 90 to 95 % is as far as from 60 to 75 %.

    Good strategies differ by little where training from scratch is far below.
    """
    low, high = _stretched(min(values)), _stretched(max(values))
    room = max(0.08 * (high - low), 0.2 - (high - low) / 2)
    low, high = max(low - room, _stretched(-0.01)), min(high + room, _stretched(1.01))
    axes.set_ylim(_unstretched(low), _unstretched(high))
    axes.set_yscale("function", functions=(_stretched, _unstretched))
    ticks = _spaced(ROUND_SHARES, low, high)
    ticks = ticks if len(ticks) > 3 else _spaced((*ROUND_SHARES, *np.arange(100) / 100), low, high)
    axes.set_yticks(sorted(ticks))
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_formatter(PERCENT)


def _spaced(shares, low, high):
    """Those of the shares that lie on a stretched axis and do not touch one that stands before them in the list."""
    kept = []
    for share in shares:
        distances = [abs(_stretched(share) - _stretched(other)) for other in kept]
        if low <= _stretched(share) <= high and min(distances, default=high - low) >= 0.07 * (high - low):
            kept.append(share)
    return kept


def _stretched(share):
    return -np.log(np.maximum(STRETCH - np.asarray(share), 1e-3))


def _unstretched(height):
    return STRETCH - np.exp(-np.asarray(height))


def _set_photo_ticks(axes, photos):
    """A tick at each number of training photos, the smaller ones left out where the numbers would touch."""
    low, high = np.log(axes.get_xlim())
    kept = []
    for count in reversed(photos):
        if not kept or np.log(kept[-1] / count) > 0.09 * (high - low):
            kept.append(count)
    axes.set_xticks(kept, [f"{count:,}" for count in kept])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())


# Labels beside dots and lines ---------------------------------------------------------------------


def _label_ends(axes, styles, curves, theme):
    """Write each curve's name right of the axes, at the height where it ends, moved up or down where names would touch.

    The names keep their order and are moved as little as possible, in the least squares sense.
    """
    axes.figure.draw_without_rendering()
    points_high = axes.get_window_extent().height * 72 / axes.figure.dpi
    gap = 11 / points_high  # of the axes' height between two names
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = to_axes.transform([style["end"] for style in styles])[:, 1]
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(order))
    spread = scipy.optimize.isotonic_regression(heights[order] - steps).x
    spread = np.clip(spread, 0, max(0, 1 - steps[-1])) + steps
    for index, height in zip(order, spread, strict=True):
        axes.annotate(
            _cut(curves[index]["name"]), styles[index]["end"], xytext=(1.05, height), xycoords="data",
            textcoords="axes fraction", va="center", fontsize=8, parse_math=False, annotation_clip=False,
            fontweight="bold" if curves[index]["is_choice"] else "normal",
            arrowprops={"arrowstyle": "-", "color": styles[index]["color"], "linewidth": 0.9, "shrinkA": 2,
                        "shrinkB": 4, "relpos": (0, 0.5)},
        )  # fmt: skip


def _label_points(axes, places, points, line, theme):
    """Write each point's name near it, where it covers neither another name nor a dot, a range or the line.

    Each name takes the cheapest of some places around its dot; three rounds, in which names make room for each other.

    Args:
        axes: the axes, complete; its figure's layout is fixed here.
        places: (x, y) of each point, in data coordinates.
        points: as `cost_front` takes them.
        line: (x, y) of the corners of a stepped line.
        theme: a `Theme`.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    pixels = figure.dpi / 72  # per point
    dots = axes.transData.transform(places)
    texts = [_label(axes, point, theme) for point in points]
    sizes = [text.get_window_extent().size + (2 * pixels, 0) for text in texts]
    limits = [[limit for limit in point["accuracy"] if limit is not None] for point in points]
    marks = np.concatenate([_around(dots, 6 * pixels), _range_boxes(axes, places, limits, pixels),
                            _step_boxes(axes, line, pixels)])  # fmt: skip
    inside = axes.get_window_extent().extents
    taken = [None] * len(points)
    for _ in range(3):
        for index, (dot, size) in enumerate(zip(dots, sizes, strict=True)):
            others = [box for number, box in enumerate(taken) if box is not None and number != index]
            obstacles = np.array([*others, *marks])
            choices = _boxes_near(dot, size, pixels)
            taken[index] = min(choices, key=lambda choice: _cost(choice, obstacles, inside))[1]  # noqa: B023
    for dot, box, text, point in zip(dots, taken, texts, points, strict=True):
        text.set_position(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        _draw_leader(axes, dot, box, theme.train if point["on_front"] else theme.muted, pixels)


def _label(axes, point, theme):
    """A name in pixel coordinates, without a place yet; a rim keeps it readable on lines."""
    rim = matplotlib.patheffects.withStroke(linewidth=2.5, foreground=theme.background)
    return axes.text(
        0, 0, _cut(point["name"]), transform=matplotlib.transforms.IdentityTransform(), ha="center", va="center",
        fontsize=8, fontweight="bold" if point["is_choice"] else "normal", parse_math=False, path_effects=[rim],
        color=theme.ink, zorder=6,
    )  # fmt: skip


def _around(centres, radius):
    """Boxes [left, bottom, right, top] around centres (n, 2)."""
    return np.concatenate([centres - radius, centres + radius], axis=1)


def _range_boxes(axes, places, limits, pixels):
    """Boxes around the upright lines from the lowest to the highest of each place's limits."""
    ends = [axes.transData.transform([(x, min(around)), (x, max(around))])
            for (x, _), around in zip(places, limits, strict=True)]  # fmt: skip
    return np.array([[low[0] - pixels, low[1], high[0] + pixels, high[1]] for low, high in ends])


def _step_boxes(axes, line, pixels):
    """Boxes around the level and the upright parts of a stepped line."""
    corners = axes.transData.transform(line)
    half = 0.3 * pixels  # thin, so that a name rather crosses the line than goes far away
    boxes = []
    for left, right in zip(corners, corners[1:], strict=False):
        boxes.append([left[0], left[1] - half, right[0], left[1] + half])
        boxes.append([right[0] - half, left[1], right[0] + half, right[1]])
    return np.array(boxes)


def _boxes_near(dot, size, pixels):
    """Places for a name of a size around a dot, each (how far from the best, box), everything in pixels."""
    width, height = size
    away = 9 * pixels
    places = []
    for level in range(12):
        for sign in (1, -1) if level else (1,):
            middle = dot[1] + sign * level * 0.75 * height
            for left, side in ((dot[0] + away, 0), (dot[0] - away - width, 0.4), (dot[0] - width / 2, 0.8)):
                if side != 0.8 or abs(middle - dot[1]) > away / 2 + height / 2:
                    box = np.array([left, middle - height / 2, left + width, middle + height / 2])
                    places.append((level + side, box))
    return places


def _cost(choice, obstacles, inside):
    """How bad a place is: far from the dot, on top of something, or out of the axes."""
    far, box = choice
    width = np.minimum(box[2], obstacles[:, 2]) - np.maximum(box[0], obstacles[:, 0])
    height = np.minimum(box[3], obstacles[:, 3]) - np.maximum(box[1], obstacles[:, 1])
    covered = (width.clip(0) * height.clip(0)).sum() / ((box[2] - box[0]) * (box[3] - box[1]))
    outside = max(0, inside[0] - box[0], inside[1] - box[1], box[2] - inside[2], box[3] - inside[3])
    return far + 60 * covered + 5 * outside


def _draw_leader(axes, dot, box, colour, pixels):
    """A thin line from a dot to a name that does not stand beside it."""
    end = np.clip(dot, box[:2], box[2:])
    if np.linalg.norm(end - dot) > 9.5 * pixels:
        start = dot + (end - dot) * 5 * pixels / np.linalg.norm(end - dot)
        axes.plot(*zip(start, end, strict=True), transform=matplotlib.transforms.IdentityTransform(), color=colour,
                  linewidth=0.7, alpha=0.8, zorder=1.5, scalex=False, scaley=False)  # fmt: skip


def _figure(width, height, dpi=DPI, **subplots):
    """Return a `Figure` of that many inches and its axes, without pyplot's global list of figures."""
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    return figure, figure.subplots(**subplots)


def _short(name):
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"


def _cut(name):
    """A strategy's name, too long ones without their middle."""
    if len(name) <= LONGEST_STRATEGY:
        return name
    half = (LONGEST_STRATEGY - 1) // 2
    return f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def _style(theme):
    installed = set(matplotlib.font_manager.get_font_names())
    return {
        "font.family": [name for name in FONTS if name in installed],
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
