"""Figures of the clinical report only: thresholds, groups, abstention, rare classes, the leak."""

from collections.abc import Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from common.report import bars, figures, lettering


@figures.png(colours=256)
def roc_curve(target: dict, *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw sensitivity against false alarms at every threshold, and the chosen threshold with its intervals.

    Args:
        target: the result of `clinic.target`; a curve or point of None is left out.
    """
    figure, axes = figures.new_figure(4.8, 4.8)
    axes.plot([0, 1], [0, 1], color=theme.muted, label="guessing", **figures.DASHED)
    wanted = target["wanted_sensitivity"]
    axes.axhline(
        wanted, color=theme.validation, label=f"wanted: {figures.PERCENT.format_pct(wanted, 1)}", **figures.DASHED
    )
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
    axes.xaxis.set_major_formatter(figures.PERCENT)
    axes.yaxis.set_major_formatter(figures.PERCENT)
    figure.legend(loc="outside upper left", ncols=4, fontsize=8, columnspacing=1.1, handlelength=1.4)
    return figure


@figures.png(colours=256)
def forest_plot(
    rows: Sequence[dict], measures: Sequence[tuple[str, str, float | None]], count_label: str, reference_label: str,
    *, theme: figures.Theme,
) -> matplotlib.figure.Figure:  # fmt: skip
    """Draw estimates with their intervals: a line for each row, a panel for each measure.

    Args:
        rows: dicts with `name`, `count` (a text), `pale` (whether the row is uncertain) and, under each measure's name,
            [value, low, high] with None for unknown numbers. A row with only a name is a heading.
        measures: (name, title, reference) for each panel; the reference is drawn as a dashed line.
        count_label: the heading of the counts.
        reference_label: the legend of the references.
    """
    longest = max(len(figures.short(row["name"])) for row in rows)
    size = 1.5 * len(measures) + 0.075 * longest + 0.9, 0.24 * len(rows) + 1.1
    figure, panels = figures.new_figure(*size, ncols=len(measures), sharey=True, squeeze=False)
    # The end of one axis stays apart from the start of the next.
    figure.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr, call-arg]
    places = np.arange(len(rows))
    for axes, (name, title, reference) in zip(panels[0], measures, strict=True):
        if reference is not None:
            axes.axvline(reference, color=theme.muted, label=reference_label, zorder=1, **figures.DASHED)
        for place, row in zip(places, rows, strict=True):
            _draw_estimate(axes, place, row.get(name, [None]), theme.train, figures.PALE if row.get("pale") else 1)
        axes.set_title(title, fontsize=9)
        bars.set_share_axis(axes, 1.02)
        if name == "auc":
            axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    panels[0, 0].set_yticks(places, [figures.short(row["name"]) for row in rows], parse_math=False)
    panels[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    for label, row in zip(panels[0, 0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if "count" in row else "bold")
        label.set_color(theme.muted if row.get("pale") else theme.ink)
    _write_column(panels[0, -1], count_label, [row.get("count", "") for row in rows], theme)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles[:1], labels[:1], loc="outside upper left", fontsize=8)
    return figure


def _draw_estimate(axes: matplotlib.axes.Axes, place: np.integer, estimate: list, colour: str, opacity: float) -> None:
    """Draw [value, low, high] as a point and a line over its interval; nothing if the value is None."""
    if estimate[0] is None:
        return
    if None not in estimate:
        axes.hlines(place, *estimate[1:], color=colour, alpha=opacity, linewidth=1.8)
    axes.plot(estimate[0], place, marker="o", markersize=5.5, color=colour, alpha=opacity, clip_on=False)


def _write_column(axes: matplotlib.axes.Axes, title: str, texts: Sequence[str], theme: figures.Theme) -> None:
    """Write a text to the right of each row."""
    right: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 8, "color": theme.muted}
    for place, text in enumerate(texts):
        axes.text(1.06, place, text, va="center", parse_math=False, **right)
    axes.annotate(lettering.shown(title), (1.06, 1), xytext=(0, 6), xycoords="axes fraction",
                  textcoords="offset points", fontsize=8, color=theme.muted, parse_math=False)  # fmt: skip


@figures.png(colours=256)
def abstention_curve(curve: dict[str, list[float]], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw accuracy and balanced accuracy of the most confident share of the photos.

    Args:
        curve: the result of `clinic.abstention`.
    """
    figure, axes = figures.new_figure(4.8, 3.2)
    for name, colour in (("accuracy", theme.train), ("balanced_accuracy", theme.validation)):
        axes.plot(curve["coverage"], np.array(curve[name], float), color=colour, label=name.replace("_", " "))
    axes.set(xlabel="share of photos answered, most confident first", ylabel="right answers")
    axes.set_xlim(min(curve["coverage"]), 1.01)
    figures.set_value_axis(axes, "accuracy")
    axes.xaxis.set_major_formatter(figures.PERCENT)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@figures.png(colours=256)
def imbalance_choices(choices: Sequence[dict], used: str, *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw the results of each correction for rare classes, one per line.

    Args:
        choices: dicts with `choice`, `accuracy`, `balanced_accuracy` and `recall_of_rarest`, None if not known.
        used: the choice of this run.
    """
    figure, axes = figures.new_figure(4.8, 0.34 * len(choices) + 1.1)
    names = (("accuracy", theme.train, "o"), ("balanced_accuracy", theme.validation, "o"),
             ("recall_of_rarest", theme.muted, "D"))  # fmt: skip
    places = np.arange(len(choices))
    for name, colour, marker in names:
        values = np.array([row[name] for row in choices], float)
        label = name.replace("_", " ").replace("of rarest", "of the rarest class")
        axes.plot(values, places, marker=marker, markersize=6.5, color=colour, linestyle="", label=label)
    labels = [
        figures.short(row["choice"]).replace("_", " ") + (" (used)" if row["choice"] == used else "") for row in choices
    ]
    axes.set_yticks(places, labels, parse_math=False)
    axes.set_ylim(len(choices) - 0.4, -0.6)
    bars.set_share_axis(axes, 1.02)
    axes.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=3, fontsize=8, columnspacing=1.2, handlelength=1.4)
    return figure


@figures.png(colours=256)
def leak_bars(leak: dict[str, dict], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw accuracy and balanced accuracy of splits by lesion and by picture, and for seen and unseen lesions.

    Args:
        leak: `lesion` and `random` with `accuracy`, `balanced_accuracy` and their `_interval`s, `seen` and `unseen`
            without intervals; None if not known.
    """
    rows = (
        ("lesion", "by lesion, honest", theme.train, 1),
        ("random", "by picture, leaks", theme.leak, 1),
        ("seen", "lesion seen in training", theme.leak, figures.PALE),
        ("unseen", "lesion not seen", theme.train, figures.PALE),
    )
    figure, panels = figures.new_figure(4.8, 2, ncols=2, sharey=True)
    for axes, metric in zip(panels, ("balanced_accuracy", "accuracy"), strict=True):
        for place, (part, _, colour, opacity) in enumerate(rows):
            value, limits = leak[part][metric], leak[part].get(f"{metric}_interval")
            bars.draw_bar(axes, place, value, limits, theme, color=colour, alpha=opacity)
        axes.set_title(metric.replace("_", " "), fontsize=9)
        bars.set_share_axis(axes, 1.42)
    panels[0].set_yticks(range(len(rows)), [label for _, label, *_ in rows])
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    panels[0].get_yticklabels()[1].set_color(theme.leak)
    return figure
