"""The page and the picture of `stress`: scores by kind and severity of corruption, with examples."""

from collections.abc import Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np

from common import words
from common.evaluation import robustness
from common.media import corruptions
from common.report import figures, page
from common.runs import finished_run

FILES = ("templates/robustness.html",)
SHOWN = (1, 3, 5)  # the severities of the examples
COLUMNS = 5  # kinds in a row of the picture
TICKS = ["0", *map(str, corruptions.SEVERITIES)]


@figures.png(colours=None)
def picture(results: dict[str, Any], examples: dict[str, Sequence[np.ndarray]], *, theme: figures.Theme) -> Any:
    """Draw the score by severity for each kind, with its interval, below one photo with this corruption.

    Args:
        results: as `robustness.evaluate` returns them.
        examples: kind → the photo with the severities `SHOWN`, uint8 (height, width, 3) each.
    """
    kinds, metric = results["kinds"], results["metric"]
    columns = min(COLUMNS, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = figures.new_figure(
        2.3 * columns + 0.4, 3.2 * rows + 0.5, nrows=2 * rows, ncols=columns, squeeze=False,
        height_ratios=[0.75, 2.25] * rows,
    )  # fmt: skip
    for number, (name, kind) in enumerate(kinds.items()):
        row, column = divmod(number, columns)
        upper, lower = axes[2 * row, column], axes[2 * row + 1, column]
        _draw_examples(upper, corruptions.KINDS[name], examples[name], theme)
        _draw_curve(lower, results["clean"][metric], [each[metric] for each in kind["severities"]], theme)
        if not column:
            lower.set_ylabel(words.words(metric))
        else:
            lower.set_yticklabels([])
        if number + columns >= len(kinds):
            lower.set_xlabel("severity")
    for number in range(len(kinds), rows * columns):
        row, column = divmod(number, columns)
        axes[2 * row, column].set_axis_off()
        axes[2 * row + 1, column].set_axis_off()
    return figure


def _draw_examples(
    axes: matplotlib.axes.Axes, kind: corruptions.Kind, examples: Sequence[np.ndarray], theme: figures.Theme
) -> None:
    """Draw a photo with some severities of a kind, side by side."""
    gap = np.full((examples[0].shape[0], max(1, examples[0].shape[1] // 20), 3), 255, "uint8")
    gap[:] = [int(theme.background[place : place + 2], 16) for place in (1, 3, 5)]
    parts = [part for example in examples for part in (example, gap)][:-1]
    axes.imshow(np.concatenate(parts, axis=1), interpolation="bilinear")
    axes.set_title(kind.title, fontsize=10, fontweight="bold")
    width = examples[0].shape[1] + gap.shape[1]
    places = [(number + 0.5) * width - gap.shape[1] / 2 for number in range(len(examples))]
    axes.set_xticks(places, [kind.level(severity) for severity in SHOWN], fontsize=7)
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _draw_curve(
    axes: matplotlib.axes.Axes, clean: Sequence[float], scores: Sequence[Sequence[float]], theme: figures.Theme
) -> None:
    """Draw a score, (value, low, high), from the clean photos, severity 0, to the highest severity."""
    values, low, high = np.array([clean, *scores]).T
    places = np.arange(len(values))
    axes.plot(places[[0, -1]], [clean[0]] * 2, color=theme.muted, linewidth=1.2, linestyle=(0, (3, 3)))
    axes.fill_between(places, low, high, color=theme.train, alpha=0.2, linewidth=0)
    axes.plot(places, values, color=theme.train, marker="o")
    axes.set(ylim=(0, 1.02), xticks=places, xticklabels=TICKS[: len(places)])
    axes.yaxis.set_major_formatter(figures.PERCENT)


def html(run: finished_run.FinishedRun, results: dict[str, Any], light: figures.Png, dark: figures.Png) -> str:
    """Return the page: the worst kind, the picture and a table with all severities.

    Args:
        run: the run whose model was measured.
        results: the content of stress.json.
        light, dark: the picture in both themes.
    """
    return page.template("robustness.html").render(
        run=run,
        results=results,
        metric=results["metric"],
        kinds=corruptions.KINDS,
        worst=robustness.worst(results),
        severities=corruptions.SEVERITIES,
        light=page.data_uri(light, "png"),
        dark=page.data_uri(dark, "png"),
    )
