"""The figures of a comparison: accuracy against seconds and photos, convergence, tables of shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import matplotlib.text
import matplotlib.ticker
import matplotlib.transforms
import numpy as np
import scipy.optimize

from common.report import figures, lettering

LONGEST_STRATEGY = 40  # longer names are cut in the middle, since they end with the backbone

LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# Round durations, in seconds, minutes and hours; `ROUNDER_SECONDS` are used where these are too close to each other.
ROUND_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000,
                 36000, 86400, 172800, 432000)  # fmt: skip
ROUNDER_SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 432000)
# Accuracies to mark on an axis that is stretched towards 100 %, the roundest first; a narrow axis marks every percent.
ROUND_SHARES = (0, 1, 0.5, 0.8, 0.9, 0.95, 0.2, 0.6, 0.7, 0.4, 0.3, 0.1, 0.98, 0.85, 0.75)
STRETCH = 1.05  # the axis is the logarithm of the distance to this accuracy


@figures.png(colours=256)
def cost_front(
    points: list[dict],
    axis: str = "seconds of training, including the pass through the frozen network",
    accuracy: str = "test accuracy",
    *,
    theme: figures.Theme,
) -> matplotlib.figure.Figure:
    """Draw accuracy against seconds: a named dot for each strategy, and a line along those that nothing cheaper beats.

    Args:
        points: non-empty list of dicts with `name`, `seconds`, `accuracy` as [value, low, high] with None for limits
            that are not known, `on_front` and `is_choice`.
        axis: what the seconds are.
        accuracy: what the accuracy is.
        theme: a `Theme`.
    """
    figure, axes = figures.new_figure(7.4, 4.3 + 0.12 * max(0, len(points) - 8))
    seconds = np.maximum([point["seconds"] for point in points], ROUND_SECONDS[0])
    ends = _set_seconds_axis(axes, seconds.min() / 1.4, seconds.max() * 2.2, 10)  # room for names right of the dots
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
    axes.set(xlabel=axis, ylabel=accuracy)
    figure.legend(loc="outside upper left", ncols=2, fontsize=8)
    _label_points(axes, places, points, steps, theme)
    return figure


@figures.png(colours=256)
def data_curves(curves: list[dict], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw test accuracy against the number of training photos, a line for each strategy with its name at the end.

    Args:
        curves: non-empty list of dicts with `name`, `photos` (ascending), `accuracy` and `is_choice`. `accuracy` is a
            [value, low, high] for each number of photos, with None for limits that are not known.
        theme: a `Theme`.
    """
    figure, axes = figures.new_figure(7.4, max(3.8, 0.24 * len(curves) + 1.2))
    photos = sorted({count for curve in curves for count in curve["photos"]})
    width = np.log(photos[-1] / photos[0]) or 1
    shifts = np.exp(0.008 * width * (np.arange(len(curves)) - (len(curves) - 1) / 2))  # ranges are side by side
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


@figures.png(colours=256)
def convergence_panels(curves: list[dict], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw validation accuracy against seconds, a panel for each strategy with the others pale behind it.

    Args:
        curves: non-empty list of dicts with `name`, `runs` and `is_choice`. Each run has `seconds` and `accuracy`,
            lists of the same length. The first run is the pale line in the other panels.
        theme: a `Theme`.
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    size = (7.4 if columns == 3 else 3.2 * columns + 0.6), 1.75 * rows + 0.55
    figure, grid = figures.new_figure(*size, nrows=rows, ncols=columns, sharex=True, sharey=True, squeeze=False)
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
    figures.set_value_axis(grid[0, 0], "accuracy")
    figure.supxlabel("seconds since the training started", fontsize=9, color=theme.muted)
    figure.supylabel("validation accuracy", fontsize=9, color=theme.muted)
    return figure


def _draw_run(axes: matplotlib.axes.Axes, run: dict, **style: Any) -> None:
    """Draw a run as a line, or as a dot if it has only one epoch."""
    places = np.maximum(run["seconds"], ROUND_SECONDS[0])
    axes.plot(places, run["accuracy"], marker="o" if len(places) == 1 else "", markersize=4, **style)


@figures.png(colours=256)
def share_table(
    shares: np.ndarray, row_names: Sequence[str], column_names: Sequence[str], label: str, *, theme: figures.Theme
) -> matplotlib.figure.Figure:
    """Draw a table of shares: the higher the share, the darker the cell; each contains its percentage.

    Args:
        shares: (rows, columns) floats in 0..1, NaN where not known.
        row_names: one string per row.
        column_names: one string per column.
        label: what the shares are.
        theme: a `Theme`.
    """
    shares = np.asarray(shares, float)
    rows, columns = shares.shape
    width = float(np.clip(6.2 / columns, 0.36, 0.9))
    upright = max(len(figures.short(name)) for name in column_names) * 0.082 < width
    label_width = 0.075 * max(len(_cut(name)) for name in row_names)
    label_height = 0.2 if upright else 0.075 * max(len(figures.short(name)) for name in column_names)
    figure, axes = figures.new_figure(width * columns + label_width + 1.1, 0.34 * rows + label_height + 0.35)
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
    names = [figures.short(name) for name in column_names]
    axes.set_xticks(np.arange(columns) + 0.5, names, rotation=0 if upright else 90, parse_math=False)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=max(6, 3 * rows), pad=0.02, format=figures.PERCENT)
    bar.outline.set_visible(False)
    bar.locator = matplotlib.ticker.MaxNLocator(min(rows + 1, 5), steps=[1, 2, 5, 10])
    bar.update_ticks()
    bar.set_label(label, color=theme.muted)
    return figure


def _contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours, 1 to 21 (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""
    channels = np.array([matplotlib.colors.to_rgb(one), matplotlib.colors.to_rgb(other)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


def _set_seconds_axis(axes: matplotlib.axes.Axes, low: float, high: float, most_ticks: int) -> tuple[float, float]:
    """Set a logarithmic axis of seconds that spans at least a factor of ten, and return its ends."""
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


def _round_duration(seconds: float) -> str:
    """Return a duration in words: 60 as 1 min."""
    for unit, scale in (("h", 3600), ("min", 60)):
        if seconds >= scale:
            return f"{seconds / scale:g}\N{THIN SPACE}{unit}"
    return f"{seconds:g}\N{THIN SPACE}s"


def _set_accuracy_axis(axes: matplotlib.axes.Axes, values: list[float]) -> None:
    """Set a vertical axis of shares that is stretched towards 100 %: 90 to 95 % is as long as 60 to 75 %.

    Without it the small differences of good strategies would not show when training from scratch is far below them.
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
    axes.yaxis.set_major_formatter(figures.PERCENT)


def _spaced(shares: Iterable[float], low: float, high: float) -> list[float]:
    """Return the shares that lie on a stretched axis and are not too close to an earlier one of the list."""
    kept: list[float] = []
    for share in shares:
        distances = [abs(_stretched(share) - _stretched(other)) for other in kept]
        if low <= _stretched(share) <= high and min(distances, default=high - low) >= 0.07 * (high - low):
            kept.append(share)
    return kept


def _stretched(share: Any) -> Any:
    return -np.log(np.maximum(STRETCH - np.asarray(share), 1e-3))


def _unstretched(height: Any) -> Any:
    return STRETCH - np.exp(-np.asarray(height))


def _set_photo_ticks(axes: matplotlib.axes.Axes, photos: list[int]) -> None:
    """Set a tick at each number of training photos; where labels would touch, the smaller number has none."""
    low, high = np.log(axes.get_xlim())
    kept: list[int] = []
    for count in reversed(photos):
        if not kept or np.log(kept[-1] / count) > 0.09 * (high - low):
            kept.append(count)
    axes.set_xticks(kept, [f"{count:,}" for count in kept])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())


# Labels beside dots and lines ---------------------------------------------------------------------


def _label_ends(axes: matplotlib.axes.Axes, styles: list[dict], curves: list[dict], theme: figures.Theme) -> None:
    """Write each curve's name right of the axes, at the height where the curve ends; move names that would touch.

    The names keep their order and are moved as little as possible, in the least-squares sense.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()
    points_high = axes.get_window_extent().height * 72 / figure.dpi
    gap = 11 / points_high  # between two names, as a share of the axes' height
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


def _label_points(
    axes: matplotlib.axes.Axes, places: list[tuple], points: list[dict], line: list[tuple], theme: figures.Theme
) -> None:
    """Write each point's name near it, where it covers neither another name nor a dot, a range or the line.

    Each name takes the cheapest of several places around its dot. In three rounds the names make room for each other.

    Args:
        axes: the complete axes; this function fixes the layout of their figure.
        places: (x, y) of each point, in data coordinates.
        points: the points of `cost_front`.
        line: (x, y) of the corners of a stepped line.
        theme: a `Theme`.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    pixels = figure.dpi / 72  # per point
    dots = axes.transData.transform(places)
    texts = [_label(axes, point, theme) for point in points]
    sizes = [np.add(text.get_window_extent().size, (2 * pixels, 0)) for text in texts]
    limits = [[limit for limit in point["accuracy"] if limit is not None] for point in points]
    marks = np.concatenate([_around(dots, 6 * pixels), _range_boxes(axes, places, limits, pixels),
                            _step_boxes(axes, line, pixels)])  # fmt: skip
    inside = np.asarray(axes.get_window_extent().extents)
    taken: list[Any] = [None] * len(points)
    for _ in range(3):
        for index, (dot, size) in enumerate(zip(dots, sizes, strict=True)):
            others = [box for number, box in enumerate(taken) if box is not None and number != index]
            obstacles = np.array([*others, *marks])
            choices = _boxes_near(dot, size, pixels)
            taken[index] = min(choices, key=lambda choice: _cost(choice, obstacles, inside))[1]  # noqa: B023
    for dot, box, text, point in zip(dots, taken, texts, points, strict=True):
        text.set_position(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        _draw_leader(axes, dot, box, theme.train if point["on_front"] else theme.muted, pixels)


def _label(axes: matplotlib.axes.Axes, point: dict, theme: figures.Theme) -> matplotlib.text.Text:
    """Write a name in pixel coordinates, not yet at its place; an outline keeps it readable on lines."""
    rim = matplotlib.patheffects.withStroke(linewidth=2.5, foreground=theme.background)
    return axes.text(
        0, 0, _cut(point["name"]), transform=matplotlib.transforms.IdentityTransform(), ha="center", va="center",
        fontsize=8, fontweight="bold" if point["is_choice"] else "normal", parse_math=False, path_effects=[rim],
        color=theme.ink, zorder=6,
    )  # fmt: skip


def _around(centres: np.ndarray, radius: float) -> np.ndarray:
    """Return boxes [left, bottom, right, top] around centres (n, 2)."""
    return np.concatenate([centres - radius, centres + radius], axis=1)


def _range_boxes(
    axes: matplotlib.axes.Axes, places: list[tuple], limits: list[list[float]], pixels: float
) -> np.ndarray:
    """Return boxes around the vertical lines from the lowest to the highest of each place's limits."""
    ends = [axes.transData.transform([(x, min(around)), (x, max(around))])
            for (x, _), around in zip(places, limits, strict=True)]  # fmt: skip
    return np.array([[low[0] - pixels, low[1], high[0] + pixels, high[1]] for low, high in ends])


def _step_boxes(axes: matplotlib.axes.Axes, line: list[tuple], pixels: float) -> np.ndarray:
    """Return boxes around the horizontal and vertical parts of a stepped line."""
    corners = axes.transData.transform(line)
    half = 0.3 * pixels  # thin, so that crossing the line costs a name less than a place far away
    boxes = []
    for left, right in zip(corners, corners[1:], strict=False):
        boxes.append([left[0], left[1] - half, right[0], left[1] + half])
        boxes.append([right[0] - half, left[1], right[0] + half, right[1]])
    return np.array(boxes)


def _boxes_near(dot: np.ndarray, size: np.ndarray, pixels: float) -> list[tuple[float, np.ndarray]]:
    """Return places for a name around a dot, each (distance from the best place, box), with boxes in pixels."""
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


def _cost(choice: tuple[float, np.ndarray], obstacles: np.ndarray, inside: np.ndarray) -> float:
    """Return how bad a place is: far from the dot, on top of something, or outside the axes."""
    far, box = choice
    width = np.minimum(box[2], obstacles[:, 2]) - np.maximum(box[0], obstacles[:, 0])
    height = np.minimum(box[3], obstacles[:, 3]) - np.maximum(box[1], obstacles[:, 1])
    covered = (width.clip(0) * height.clip(0)).sum() / ((box[2] - box[0]) * (box[3] - box[1]))
    outside = max(0, inside[0] - box[0], inside[1] - box[1], box[2] - inside[2], box[3] - inside[3])
    return far + 60 * covered + 5 * outside


def _draw_leader(axes: matplotlib.axes.Axes, dot: np.ndarray, box: np.ndarray, colour: str, pixels: float) -> None:
    """Draw a thin line from a dot to its name, unless the name is beside the dot."""
    end = np.clip(dot, box[:2], box[2:])
    if np.linalg.norm(end - dot) > 9.5 * pixels:
        start = dot + (end - dot) * 5 * pixels / np.linalg.norm(end - dot)
        axes.plot(*zip(start, end, strict=True), transform=matplotlib.transforms.IdentityTransform(), color=colour,
                  linewidth=0.7, alpha=0.8, zorder=1.5, scalex=False, scaley=False)  # fmt: skip


def _cut(name: str) -> str:
    """Return a strategy's name, with the middle cut out if it is too long."""
    name = lettering.shown(name)
    if len(name) <= LONGEST_STRATEGY:
        return name
    half = (LONGEST_STRATEGY - 1) // 2
    return f"{name[:half].rstrip()}…{name[-half:].lstrip()}"
