"""The picture of a timeline: the probabilities of classes over the time of a video."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.figure
import numpy as np

from common.report import figures, lettering

MOST_CLASSES = 8  # lines: the classes with the highest mean probability


@figures.png(colours=256)
def picture(
    edges: Sequence[tuple[float, float]], answers: np.ndarray, names: Sequence[str], *, theme: figures.Theme
) -> matplotlib.figure.Figure:
    """Draw the probabilities of the most probable classes, window by window.

    Args:
        edges: begin and end of each window, in seconds.
        answers: (windows, classes) their probabilities.
        names: the classes.
    """
    middles = [(start + end) / 2 for start, end in edges]
    order = np.argsort(-answers.mean(axis=0))[:MOST_CLASSES]
    figure, axes = figures.new_figure(8.0, 0.5 * len(order) + 0.9)
    for place, index in enumerate(order):
        low = place - 0.42
        axes.fill_between(middles, low, low + 0.84 * answers[:, index], step="mid", color=theme.train)
        axes.axhline(low, color=theme.muted, linewidth=0.6)
    axes.set_yticks(range(len(order)), [lettering.shown(names[index]) for index in order], parse_math=False)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(edges[0][0], edges[-1][1])
    axes.set_xlabel("seconds")
    return figure
