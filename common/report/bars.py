"""Horizontal bars of shares, from 0 to 100 %, with their intervals."""

from typing import Any

import matplotlib.axes

from common.report import figures


def set_share_axis(axes: matplotlib.axes.Axes, end: float) -> None:
    """Set up a horizontal axis from 0 to 100 % with a line at each quarter; the space up to `end` is for text."""
    axes.set_xlim(-0.02, end)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xticks([0.25, 0.75], minor=True)
    axes.tick_params(which="minor", length=0)
    axes.xaxis.set_major_formatter(figures.PERCENT)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", which="both")
    axes.spines.left.set_visible(False)


def draw_bar(
    axes: matplotlib.axes.Axes, place: float, value: float | None, limits: tuple[float, float] | None,
    theme: figures.Theme, **style: Any,
) -> None:  # fmt: skip
    """Draw a horizontal bar with its interval and number, or a dash if there is no value."""
    if value is None:
        axes.text(0.03, place, "–", va="center", fontsize=8)
        return
    axes.barh(place, value, 0.62, **style)
    if limits:
        axes.hlines(place, *limits, color=theme.ink, linewidth=1.4)
    end = max(value, *(limits or [0]))
    axes.text(end + 0.03, place, f"{100 * value:.1f}\N{THIN SPACE}%", va="center", fontsize=8)
