"""The report's section on two domains: the gap, the methods side by side, and a map before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import numpy as np

from common import words
from common.evaluation import domain_gap, domain_map
from common.report import bars, figures, page
from common.runs import finished_run

FILES = ("templates/domain_gap.html", "templates/domain_gap_top.html")
VALIDATORS = {
    "source_validation": "Accuracy on the source's validation data",
    "information_maximisation": "Information maximisation",
    "soft_neighbourhood_density": "Soft neighbourhood density",
}
MOST_CLASSES = 7  # with a colour of their own in the map


def section(run: finished_run.FinishedRun, saved: object = None) -> dict[str, Any]:
    """Return the section on the domains of a run, and draw its figures.

    Args:
        run: a run whose results have a section `domains`.
        saved: not used.

    Returns:
        A part for `classes.page`.
    """
    found = run.results["domains"]
    rows = found["rows"]
    points = finished_run.read_rows(run.directory / domain_map.NAME)
    alt = f"Test accuracy in {found['name']} of {len(rows)} methods; the table has the numbers"
    drawn = [row for row in rows if row["accuracy"]]
    return found | {
        "name": "domains",
        "new": found["name"],
        "template": "domain_gap.html",
        "top": "domain_gap_top.html",
        "covers": (),
        "contents": [("domains", "Domains")],
        "validators": VALIDATORS,
        "best": _best(rows),
        "bars": page.figure(run, "domain_methods", alt, method_bars, drawn, found["method"]) if drawn else None,
        "map": page.figure(run, "domain_map", "Both domains in the plane by t-SNE, before and after the adaptation",
                           map_of_domains, points, run.class_names) if points else None,
        "gap_before": rows[0]["gap"],
        "gap_after": next(row["gap"] for row in rows if row["method"] == found["method"]),
    }  # fmt: skip


def _best(rows: Sequence[dict]) -> dict[str, str]:
    """Return validator → the method without labels of the new domain that it would choose."""
    own = [row for row in rows if not row["needs_labels"]]
    return {name: max(own, key=lambda row: row[name][0])["method"] for name in domain_gap.VALIDATORS}


def warning(result: finished_run.Result) -> str:
    """Return the verdict for the terminal."""
    return "\n".join(f"domains: {sentence}" for sentence in result.results["domains"]["verdict"])


def summary(result: finished_run.Result) -> str:
    """Return the table of the methods for the terminal."""
    found = result.results["domains"]
    width = max(len(row["method"]) for row in found["rows"]) + 2
    lines = [f"{'method':<{width}}{'test in ' + found['name']:>24}{'source validation':>20}{'proxy A-distance':>18}"]
    for row in found["rows"]:
        accuracy = words.share(row["accuracy"]) if row["accuracy"] else "–"
        mark = ">" if row["method"] == found["method"] else " "
        gap = f"{row['gap']['proxy_a_distance']:.2f}" if row["gap"] else "–"
        method = f"{mark} {row['method']}"
        lines.append(f"{method:<{width}}{accuracy:>24}{words.percent(row['source_validation'][0]):>20}{gap:>18}")
    return "\n".join(lines)


def table_of_targets(results: Sequence[finished_run.Result]) -> str:
    """Return a table of several new domains for the terminal: a row for each method, a column for each domain."""
    found = [result.results["domains"] for result in results]
    methods = dict.fromkeys(row["method"] for each in found for row in each["rows"])
    tables = [{row["method"]: row["accuracy"] for row in each["rows"]} for each in found]
    width = max(map(len, methods)) + 2
    lines = [f"{'from ' + found[0]['source'] + ' to':<{width}}" + "".join(f"{each['name']:>22}" for each in found)]
    for method in methods:
        cells = (words.share(table[method]) if table.get(method) else "–" for table in tables)
        lines.append(f"{method:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


# Figures -------------------------------------------------------------------------------------------------------------


@figures.png(colours=256)
def method_bars(rows: Sequence[dict], chosen: str, *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw the test accuracy of each method, with its range over seeds; methods with labels are pale.

    Args:
        rows: as in results.json.
        chosen: the method of the run.
    """
    figure, axes = figures.new_figure(8.6, 0.34 * len(rows) + 0.7)
    for place, row in enumerate(reversed(rows)):
        value, *limits = row["accuracy"]
        colour = theme.validation if row["method"] == chosen else theme.train
        limits = tuple(limits) if limits[0] < limits[1] else None
        bars.draw_bar(axes, place, value, limits, theme, color=colour, alpha=0.45 if row["needs_labels"] else 1)
    axes.set_yticks(range(len(rows)), [row["method"] for row in reversed(rows)], fontsize=8)
    bars.set_share_axis(axes, 1.15)
    return figure


@figures.png(colours=256)
def map_of_domains(
    points: Sequence[dict], class_names: Sequence[str], *, theme: figures.Theme
) -> matplotlib.figure.Figure:
    """Draw both domains in the plane: before and after the adaptation, by domain and by class.

    Args:
        points: the rows of domains.csv.
        class_names: the classes; further ones than `MOST_CLASSES` share one colour.
    """
    figure, axes = figures.new_figure(8.6, 8.4, nrows=2, ncols=2)
    places = {name: np.array([(row[f"x_{name}"], row[f"y_{name}"]) for row in points], float)
              for name in ("before", "after")}  # fmt: skip
    domain = np.array([row["domain"] for row in points])
    label = np.array([row["label"] for row in points])
    for row, name in enumerate(("before", "after")):
        for column, (title, groups) in enumerate(
            (("by domain", dict.fromkeys(domain)), ("by class", [*class_names[:MOST_CLASSES], ""]))
        ):
            values = domain if not column else label
            _scatter(axes[row, column], places[name], values, list(groups), domain == "source", theme)
            axes[row, column].set_title(f"{name} the adaptation, {title}", fontsize=9)
            if not row:
                below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01), "ncols": 4}
                axes[row, column].legend(fontsize=7, frameon=False, **below)
    return figure


def _scatter(
    axes: matplotlib.axes.Axes, places: np.ndarray, values: np.ndarray, groups: list[str], is_source: np.ndarray,
    theme: figures.Theme,
) -> None:  # fmt: skip
    """Draw points, coloured by group; dots are the source, crosses the new domain."""
    known = set(groups) - {""}
    for number, group in enumerate(groups):
        here = values == group if group else ~np.isin(values, list(known))
        if not here.any():
            continue
        colour = theme.lines[number % len(theme.lines)] if group else theme.grid
        for marker, side in (("o", is_source), ("x", ~is_source)):
            chosen = here & side
            if chosen.any():
                named = marker == "o" or not (here & is_source).any()
                x, y = places[chosen].T
                axes.scatter(
                    x, y, s=12, marker=marker, linewidths=0.8, color=colour, label=(group or "other") if named else None
                )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
