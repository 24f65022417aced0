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
import numpy as np
from matplotlib.backends import backend_agg
from PIL import Image

DPI = 200  # two pixels per CSS pixel at 100 CSS pixels per inch: crisp on dense screens
PHOTO_DPI = 120
LONGEST_NAME = 24
MOST_NUMBERED_CLASSES = 20  # a confusion matrix with more classes shows colours only

# DejaVu Sans, matplotlib's own font, lacks the scripts of East Asia; the others help where installed.
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans")

FEW_PHOTOS = 10  # a bin of the reliability diagram with fewer is drawn pale: its accuracy says little
PALE = 0.35  # opacity of what says little
DASHED = {"linestyle": (0, (3, 3)), "linewidth": 1.2}


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


def png(colours):
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


@png(colours=256)
def learning_curve(history, metric, best_epoch=None, *, theme):
    """Draw a metric over the epochs, for training and validation.

    Args:
        history: a dict per epoch with `metric`, `val_<metric>` and `stage` where there are any.
        metric: "loss", "accuracy", …
        best_epoch: the epoch to mark, counted from 0, or None.
        theme: a `Theme`.
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


def set_value_axis(axes, metric):
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
        name = short(str(stages[start]).replace("_", " "))
        axes.text(start + 0.65, 0.975, name, transform=axes.get_xaxis_transform(), va="top", fontsize=8,
                  color=theme.muted, parse_math=False)  # fmt: skip


@png(colours=256)
def stage_curve(stages, kept, *, theme):
    """Draw what each training stage brought on validation, and its seconds below.

    Args:
        stages: a dict per stage with `stage`, `validation_loss`, `validation_accuracy`, `seconds`, and `blocks` where
            stages differ by how many are unfrozen.
        kept: name of the stage whose weights were kept.
        theme: a `Theme`.
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
    wider = max(0.0, 0.03 - (high - low)) / 2  # three percent at least, or every mark would be the same
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
def perplexities(rows, *, theme):
    """Draw what each way of training makes of test documents and, where it was measured, of general texts.

    Args:
        rows: a dict per line with `name`, `test` and `general`, perplexities; `general` may be None. The first row is
            the network before tuning.
        theme: a `Theme`.
    """
    figure, axes = new_figure(6.4, 0.42 * len(rows) + 1.2)
    places = np.arange(len(rows))[::-1]
    marks = (
        ("test", "test documents", "o", theme.train, (0, 5), "bottom"),
        ("general", "general texts: what is forgotten", "D", theme.muted, (0, -6), "top"),
    )
    box = {"facecolor": theme.background, "edgecolor": "none", "pad": 0.6}
    for name, label, marker, colour, offset, side in marks:
        values = np.array([row[name] for row in rows], float)
        if not np.isfinite(values).any():
            continue
        axes.plot(values, places, marker=marker, markersize=7, linestyle="", color=colour, label=label, zorder=3)
        for place, value in zip(places, values, strict=True):
            where = {"xytext": offset, "textcoords": "offset points", "ha": "center", "va": side}
            axes.annotate(_digits(value), (value, place), fontsize=7.5, color=colour, bbox=box, **where)
    first = np.array([rows[0]["test"]], float)[0]
    if np.isfinite(first):
        axes.axvline(first, color=theme.muted, label="before tuning", **DASHED)
    axes.set(xscale="log", xlabel="perplexity, lower is better", ylim=(-0.7, len(rows) - 0.3))
    axes.margins(x=0.1)
    axes.set_yticks(places, [short(row["name"].replace("_", " ")) for row in rows], parse_math=False)
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _digits(value):
    """Three significant digits, without an exponent: 17,600."""
    return f"{float(f'{value:.3g}'):,.10g}"


@png(colours=256)
def confusion_matrix(matrix, class_names, *, theme):
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


def _label_classes(axes, class_names, upright):
    num_classes = len(class_names)
    names = [short(name) for name in class_names]
    size = 9 if num_classes <= 20 else 7.5 if num_classes <= 50 else 6.5
    places = np.arange(num_classes) + 0.5
    axes.set_yticks(places, names, fontsize=size, parse_math=False)
    axes.set_xticks(places, names, fontsize=size, rotation=0 if upright else 90, parse_math=False)
    axes.tick_params(length=0)


def _write_counts(axes, matrix, shares, theme):
    size = np.clip(120 / len(matrix), 6.5, 11)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = theme.on_large_share if shares[row, column] > 0.3 else theme.ink
            place = {"ha": "center", "va": "center", "fontsize": size}
            axes.text(column + 0.5, row + 0.5, f"{count}", color=colour, **place)


@png(colours=256)
def reliability_diagram(bins, *, theme):
    """Draw confidence against accuracy per bin, and below how many photos each bin holds.

    Args:
        bins: what `evaluation.reliability` returns.
        theme: a `Theme`.
    """
    figure, (upper, lower) = new_figure(4.8, 4.6, nrows=2, sharex=True, height_ratios=[3.2, 1])
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


@png(colours=256)
def roc_curve(target, *, theme):
    """Draw sensitivity against false alarms at every threshold, and the chosen threshold with its intervals.

    Args:
        target: what `clinic.target` returns; a curve or point of None is left out.
        theme: a `Theme`.
    """
    figure, axes = new_figure(4.8, 4.8)
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


@png(colours=256)
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
    longest = max(len(short(row["name"])) for row in rows)
    size = 1.5 * len(measures) + 0.075 * longest + 0.9, 0.24 * len(rows) + 1.1
    figure, panels = new_figure(*size, ncols=len(measures), sharey=True, squeeze=False)
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
    panels[0, 0].set_yticks(places, [short(row["name"]) for row in rows], parse_math=False)
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


@png(colours=256)
def abstention_curve(curve, *, theme):
    """Draw accuracy and balanced accuracy of the surest share of the photos.

    Args:
        curve: what `clinic.abstention` returns.
        theme: a `Theme`.
    """
    figure, axes = new_figure(4.8, 3.2)
    for name, colour in (("accuracy", theme.train), ("balanced_accuracy", theme.validation)):
        axes.plot(curve["coverage"], np.array(curve[name], float), color=colour, label=name.replace("_", " "))
    axes.set(xlabel="share of the photos that are answered, the surest", ylabel="of these, right")
    axes.set_xlim(min(curve["coverage"]), 1.01)
    set_value_axis(axes, "accuracy")
    axes.xaxis.set_major_formatter(PERCENT)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@png(colours=256)
def imbalance_choices(choices, used, *, theme):
    """Draw what each way to treat rare classes brings, a line for each.

    Args:
        choices: dicts with `choice`, `accuracy`, `balanced_accuracy` and `recall_of_rarest`, None where not known.
        used: the choice of this run.
        theme: a `Theme`.
    """
    figure, axes = new_figure(4.8, 0.34 * len(choices) + 1.1)
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


@png(colours=256)
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
    figure, panels = new_figure(4.8, 2, ncols=2, sharey=True)
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


@png(colours=256)
def accuracy_bars(bars, chance, *, theme):
    """Draw accuracies as lying bars, with a line at what guessing has.

    Args:
        bars: (name, accuracy, interval or None).
        chance: the accuracy of guessing.
        theme: a `Theme`.
    """
    figure, axes = new_figure(4.8, 0.36 * len(bars) + 0.75)
    for place, (_, value, limits) in enumerate(bars):
        _draw_bar(axes, place, value, limits, theme, color=theme.train)
    axes.axvline(chance, color=theme.muted, label="guessing", **DASHED)
    _set_share_axis(axes, 1.25)
    axes.set_yticks(range(len(bars)), [short(name) for name, *_ in bars], parse_math=False)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    figure.legend(loc="outside upper left", fontsize=8)
    return figure


@png(colours=None)
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


@png(colours=None)
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
        lines = "\n".join(short(line) for line in caption.splitlines())
        axes.text(x, y + down + 0.05, lines, ha="center", va="top", fontsize=7.5, parse_math=False)
    axes.set(xlim=(0, width * columns), ylim=(height * rows, 0))  # `imshow` has changed them
    return figure


def new_figure(width, height, dpi=DPI, **subplots):
    """Return a `Figure` of that many inches and its axes, without pyplot's global list of figures."""
    figure = matplotlib.figure.Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    return figure, figure.subplots(**subplots)


def short(name):
    """A name for a narrow place, too long ones without their end."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"


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
