"""The part of the report on tasks that were learnt one after the other: what is forgotten, and what is kept."""

from __future__ import annotations

import statistics
from typing import Any

import matplotlib.colors
import matplotlib.figure
import numpy as np

from common import words
from common.report import bars, figures, page
from common.runs import finished_run, saved_model

FILES = ("templates/task_by_task.html", "templates/task_by_task_top.html")
SCENARIOS = {
    "class": ("Class-incremental", "each task brings new classes, and any class may be the answer for any photo"),
    "domain": ("Domain-incremental", "each task brings the same classes in another domain, which is not told"),
    "task": ("Task-incremental", "the task of each photo is known, so only the task's own classes can be the answer"),
}
METHODS = {
    "naive": "trained on, with nothing against forgetting",
    "ewc": "elastic weight consolidation: important weights are held, by Fisher's information",
    "si": "synaptic intelligence: important weights are held, by their part in lowering the loss",
    "lwf": "learning without forgetting: the old model's answers for the new photos are kept",
    "replay": "the features of some photos of each class are kept and trained with again",
    "expand": "each task has a head of its own, and the surest one answers",
    "ridge": "sums of features, which add up to those of all photos",
    "joint": "trained with the photos of all tasks so far, for comparison",
}
ALL_PHOTOS = "joint"  # the method that needs them
MOST_TASKS = 30  # in the picture; with more, the table of results.json remains


def section(run: finished_run.FinishedRun, saved: saved_model.SavedModel | None) -> dict[str, Any]:
    """Return the section's entries for the page, as `classes.page` describes, and draw its figures."""
    found = run.results["sequence"]
    names = [task["name"] for task in found["tasks"]]
    alt = f"Accuracy on each of {len(names)} tasks after each of them; the sums below have the same in numbers"
    drawn = 1 < len(names) <= MOST_TASKS
    comparison = rows_of(found.get("comparison", []))
    return {
        "name": "sequence", "covers": [], "contents": [("tasks", "Task by task")], "template": "task_by_task.html",
        "top": "task_by_task_top.html", "scenario": SCENARIOS[found["scenario"]], "method": METHODS[found["method"]],
        "matrix": page.figure(run, "tasks", alt, task_matrix, found["matrix"], names) if drawn else None,
        "classes": [
            {"name": name, "first": found["first"].get(name), "now": run.results["test"]["per_class"][name]["recall"]}
            for name in found["classes"]
        ],
        "comparison": comparison,
        "bars": page.figure(run, "methods", "Average accuracy of each method", method_bars, comparison)
        if comparison else None,
        "methods": METHODS,
    }  # fmt: skip


def rows_of(comparison: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each method: median and range of its measures over seeds and orders, best first."""
    rows = []
    for method in dict.fromkeys(row["method"] for row in comparison):
        own = [row for row in comparison if row["method"] == method]
        measures = {
            name: _median_and_range([row[name] for row in own])
            for name in (
                "average_accuracy",
                "forgetting",
                "backward_transfer",
                "forward_transfer",
                "seconds",
                "validation",
            )
        }
        size = words.size(max(row["kept_bytes"] for row in own))
        kept = {"kept": "all photos" if method == ALL_PHOTOS else size}
        strengths = sorted({row["strength"] for row in own if row["strength"]})
        rows.append({"method": method, "runs": len(own), "strengths": strengths} | kept | measures)
    return sorted(rows, key=lambda row: -row["average_accuracy"][0])


def _median_and_range(values: list[float | None]) -> list[float | None]:
    there = [value for value in values if value is not None]
    return [statistics.median(there), min(there), max(there)] if there else [None, None, None]


@figures.png(colours=256)
def task_matrix(
    matrix: list[list[float | None]], names: list[str], *, theme: figures.Theme
) -> matplotlib.figure.Figure:
    """Draw the accuracy on each task (columns) after each task (rows); what was not measured stays empty."""
    values = np.array([[np.nan if value is None else value for value in row] for row in matrix])
    count, longest = len(names), max(len(figures.short(name)) for name in names)
    cell = float(np.clip(6 / count, 0.3, 0.85))
    figure, axes = figures.new_figure(cell * count + 0.08 * longest + 1.2, cell * count + 0.7)
    colours = matplotlib.colors.LinearSegmentedColormap.from_list("share", theme.shares)
    axes.pcolormesh(np.ma.masked_invalid(values), cmap=colours, vmin=0, vmax=1, edgecolors=theme.grid, linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(column + 0.5, row + 0.5, f"{100 * value:.0f}", ha="center", va="center",
                      color=theme.on_large_share if value > 0.5 else theme.ink,
                      fontstyle="italic" if column > row else "normal")  # fmt: skip
    axes.set(xlabel="tested on task", ylabel="after learning", aspect="equal")
    axes.invert_yaxis()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    places = np.arange(count) + 0.5
    shown = [f"{figures.short(name)}  {number}" for number, name in enumerate(names, start=1)]
    axes.set_yticks(places, shown, parse_math=False)
    axes.set_xticks(places, [str(number) for number in range(1, count + 1)])
    return figure


@figures.png(colours=256)
def method_bars(rows: list[dict[str, Any]], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw the average accuracy of each method, median and range."""
    figure, axes = figures.new_figure(4.8, 0.36 * len(rows) + 0.75)
    for place, row in enumerate(rows):
        value, low, high = row["average_accuracy"]
        bars.draw_bar(axes, place, value, (low, high), theme, color=theme.train)
    bars.set_share_axis(axes, 1.25)
    axes.set_yticks(range(len(rows)), [row["method"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    return figure


def summary(result: finished_run.Result) -> str:
    """Return the lines printed at the end of a run: the matrix, its measures, and the comparison."""
    found = result.results["sequence"]
    title, meaning = SCENARIOS[found["scenario"]]
    names = [figures.short(task["name"]) for task in found["tasks"]]
    width = max(len(name) for name in names)
    lines = [
        f"{title} ({meaning}), {found['method']}: {METHODS[found['method']]}",
        f"{'accuracy after learning':<{width + 8}}"
        + "".join(f"{number:>7}" for number in range(1, len(names) + 1))
        + f"  test {result.unit}s",
    ]
    for number, (name, row) in enumerate(zip(names, found["matrix"], strict=True), start=1):
        cells = "".join(f"{'–' if value is None else f'{value:.3f}':>7}" for value in row)
        tested = found["tasks"][number - 1]["photos"]["test"]
        lines.append(f"{number:>3}. {name:<{max(width, 18)}} {cells}{tested:>{len(result.unit) + 8}}")
    told = {name: found[name] for name in ("average_accuracy", "forgetting", "backward_transfer", "forward_transfer")}
    lines.append(", ".join(f"{words.words(name)} {value:.3f}" for name, value in told.items() if value is not None))
    lines.append(f"kept for later tasks: {words.size(found['kept_bytes'])}; to measure with: "
                 f"{words.size(found['held_bytes'])}")  # fmt: skip
    if found["unmeasured"]:
        lines.append(f"not measured, since their test photos are gone: {words.listed(found['unmeasured'])}")
    rows = rows_of(found.get("comparison", []))
    if rows:
        head = f"  {'method':<10}{'average accuracy':>24}{'forgetting':>12}{'kept':>12}{'seconds':>9}"
        lines.append(f"{head}{'validation':>12}")
    for row in rows:
        value, chosen = words.estimate(row["average_accuracy"], is_share=False), row["method"] == found["method"]
        measures = f"{value:>24}{words.decimal(row['forgetting'][0]):>12}{row['kept']:>12}{row['seconds'][0]:>9.1f}"
        lines.append(
            f"{'> ' if chosen else '  '}{row['method']:<10}{measures}{words.decimal(row['validation'][0]):>12}"
        )
    return "\n".join(lines)
