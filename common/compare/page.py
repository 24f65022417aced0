"""The page of a comparison of strategies: which one to use, with evidence; it needs no internet connection."""

from __future__ import annotations

import base64
import collections
import dataclasses
import hashlib
import pathlib
import urllib.parse
from typing import Any

import numpy as np

from common import files, words
from common.compare import differences, figures, trial_run
from common.media import corruptions
from common.report import page

FILES = ("templates/compare.html", "templates/sort.js")
TEMPLATES = pathlib.Path(__file__).parent / "templates"

MOST_LINES = 12  # in a figure with a line or a panel for each strategy
MOST_CLASSES = 20  # in the figure of recall per class
TRIAL_COLUMNS = (
    "name", "strategy", "backbone", "seed", "fraction", "accuracy", "validation", "seconds", "report", "error",
)  # fmt: skip
SYMBOLS = {"holds": "✓", "does not hold": "✗", "cannot tell": "?", "by definition": "="}
SPELLINGS = {"l2_sp": "L2-SP"}


def write(directory: pathlib.Path | str, comparison: dict[str, Any]) -> pathlib.Path:
    """Write `compare.html`, `compare.csv`, `compare.json` and `figures/*.png` into a directory.

    Args:
        directory: the comparison's directory; links to the runs' reports are relative to it.
        comparison: the results of a comparison; no other files are read.

    Returns:
        The path of compare.html.

    Raises:
        OSError: a file cannot be written.
    """
    view = Comparison.of(pathlib.Path(directory), comparison)
    (view.directory / "figures").mkdir(parents=True, exist_ok=True)
    _write_trials(view.directory / "compare.csv", comparison["rows"])
    files.write_json(view.directory / "compare.json", comparison)
    script = page.template("sort.js", TEMPLATES).render()
    html = page.template("compare.html", TEMPLATES).render(
        comparison=comparison,
        data=comparison["data"],
        plan=comparison["plan"],
        cost=comparison["cost"],
        rows=view.rows,
        choice=view.choice,
        model=comparison.get("model"),  # comparisons of older versions have none
        ladder=_ladder(view),
        against_best=_against_best(view),
        pairs=[_pair(view, difference) for difference in comparison["differences"]],
        fractions=_fractions(view),
        hidden_classes=max(0, len(comparison["data"]["class_names"]) - MOST_CLASSES),
        front=_front_figure(view),
        data_curves=_data_figure(view),
        convergence=_convergence_figure(view),
        num_curves=sum(bool(row["convergence"]) for row in view.rows),
        recalls=_recall_figure(view),
        stressed=list(next((row["stress"]["kinds"] for row in view.rows if row.get("stress")), ())),
        kinds=corruptions.KINDS,
        most_lines=MOST_LINES,
        symbols=SYMBOLS,
        points=points,
        seconds=seconds,
        title=title,
        script=script,
        script_hash=script_hash(script),
    )
    path = view.directory / "compare.html"
    with files.replacing(path) as temporary:
        # The browser computes the script's hash with "\n" as line ends, so they are the same on every system.
        temporary.write_text(html, encoding="utf-8", errors="replace", newline="\n")
    return path


def script_hash(script: str) -> str:
    """Return the source expression that allows this inline script in a CSP (https://www.w3.org/TR/CSP3/)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _write_trials(path: pathlib.Path, rows: list[dict]) -> None:
    """Write one line for each trial of each row; unknown values are empty."""
    trials = [
        {name: row[name] for name in ("name", "strategy", "backbone")} | run for row in rows for run in row["runs"]
    ]
    files.write_csv(path, list(TRIAL_COLUMNS), ([trial.get(column) for column in TRIAL_COLUMNS] for trial in trials))


# The rows, ready to be shown ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A comparison as the page shows it.

    `rows` are those of the comparison, without the ranges that rest on a single run. Each also has `title`, `errors`,
    `finished` (the finished runs on all training photos), `is_choice` and `not_told_apart` (from the best).
    """

    directory: pathlib.Path
    content: dict[str, Any]
    rows: list[dict]

    @classmethod
    def of(cls, directory: pathlib.Path, comparison: dict[str, Any]) -> Comparison:
        """Return the view of a comparison's results."""
        full = max(comparison["plan"]["fractions"])
        not_told_apart = differences.not_told_apart(comparison)
        rows = [
            _without_false_ranges(row, full)
            | {
                "title": title(row["name"]),
                "errors": _errors(row["runs"]),
                "runs": [_linked(run) for run in row["runs"]],
                "finished": [_linked(run) for run in row["runs"] if run["fraction"] == full and not run["error"]],
                "is_choice": row["name"] == comparison["choice"],
                "not_told_apart": row["name"] in not_told_apart,
            }
            for row in comparison["rows"]
        ]
        return cls(directory, comparison, rows)

    @property
    def choice(self) -> dict | None:
        """The row to use, or None if no trial finished."""
        return next((row for row in self.rows if row["is_choice"]), None)

    @property
    def best(self) -> dict | None:
        """The row with the best mean test accuracy, or None if no trial with all training photos finished."""
        return next((row for row in self.rows if row["test"]), None)

    def titled(self, name: str) -> str:
        """Return the title of the row with this name."""
        return next(row["title"] for row in self.rows if row["name"] == name)


def title(name: str) -> str:
    """Return a row's name in words: `partial_unfreezing, MobileNetV2` as `partial unfreezing, MobileNetV2`."""
    strategy, comma, backbone = name.partition(", ")
    return SPELLINGS.get(strategy, words.words(strategy)) + comma + backbone


def points(difference: float) -> str:
    """Return a difference of shares in percentage points: 0.012 as +1.2, −0.012 as −1.2."""
    written = f"{100 * difference:+.1f}"
    return written[1:] if float(written) == 0 else written.replace("-", "\N{MINUS SIGN}")


def seconds(value: float) -> str:
    """Return seconds without a unit, for a column: three significant digits, from 100 on no decimals."""
    return f"{value:#.3g}" if value < 99.5 else f"{value:,.0f}"


def _without_false_ranges(row: dict, full: float) -> dict:
    """Return the row with None as the limits of [median, low, high] wherever fewer than two runs finished."""
    finished = collections.Counter(run["fraction"] for run in row["runs"] if run["accuracy"] is not None)
    if finished[full] < 2:
        row = row | {name: _without_range(row[name]) for name in ("test", "validation", "cost", "to_95")}
        if stress := row.get("stress"):
            row["stress"] = (_without_range(stress) or {}) | {"kinds": _without_range(stress["kinds"])}
    fractions = [_without_range(point) if finished[point["fraction"]] < 2 else point for point in row["fractions"]]
    return row | {"fractions": fractions}


def _without_range(section: dict | None) -> dict | None:
    if section is None:
        return None
    return {name: [value[0], None, None] if isinstance(value, list) else value for name, value in section.items()}


def _errors(runs: list[dict]) -> list[dict]:
    """Return each error once: its line, and how many of the runs failed with it."""
    by_line = collections.defaultdict(list)
    for run in runs:
        if run["error"]:
            by_line[run["error"]].append(run)
    return [{"line": line, "count": len(failed), "of": len(runs)} for line, failed in by_line.items()]


def _linked(run: dict) -> dict:
    """Return the run with `link`: the address of its report relative to the page, or None."""
    return run | {"link": run["report"] and urllib.parse.quote(run["report"])}


# What the sections show ---------------------------------------------------------------------------


def _ladder(view: Comparison) -> list[tuple[str, list, bool]]:
    """Return the bars of the choice, training from scratch and guessing: (title, [value, low, high], is_choice)."""
    choice = view.choice
    if choice is None or not choice["test"]:
        return []
    steps = [(choice["title"], choice["test"]["accuracy"], True)]
    for row in view.rows:
        is_rival = row is not choice and trial_run.is_scratch(row) and row["backbone"] == choice["backbone"]
        if is_rival and row["test"]:
            steps.append(("the same network from scratch", row["test"]["accuracy"], False))
    if view.content["chance"] is not None:
        steps.append(("always the largest class", [view.content["chance"], None, None], False))
    return steps


def _pair(view: Comparison, difference: dict) -> dict:
    """Return a difference with the rows' titles and a verdict in words."""
    verdict = "larger than noise" if difference["larger_than_noise"] else "may be noise"
    if difference["p"] is None:
        verdict = "too few seeds"
    titles = {name: view.titled(difference[name]) for name in ("first", "second")}
    return difference | titles | {"verdict": verdict}


def _against_best(view: Comparison) -> list[dict]:
    """Return the differences of the best row to each other row, in the order of the rows."""
    if view.best is None:
        return []
    best, found = view.best["name"], {}
    for difference in view.content["differences"]:
        if difference["first"] == best:
            found[difference["second"]] = _pair(view, difference)
        elif difference["second"] == best:
            interval = difference["interval"] and [-limit for limit in reversed(difference["interval"])]
            turned = {"first": best, "second": difference["first"], "difference": -difference["difference"],
                      "interval": interval}  # fmt: skip
            found[difference["first"]] = _pair(view, difference | turned)
    return [found[row["name"]] for row in view.rows if row["name"] in found]


def _fractions(view: Comparison) -> list[dict]:
    """Return all fractions of the rows, smallest first, each with its number of training photos."""
    found = {point["fraction"]: point["train"] for row in view.rows for point in row["fractions"]}
    return [{"fraction": fraction, "train": found[fraction]} for fraction in sorted(found)]


def _front_figure(view: Comparison) -> page.Figure | None:
    points = [
        {"name": row["title"], "seconds": trial_run.price(row), "accuracy": row["test"]["accuracy"],
         "is_choice": row["is_choice"]}
        for row in view.rows
        if row["test"] and row["cost"]
    ]  # fmt: skip
    if len(points) < 2:
        return None
    points = [point | {"on_front": is_on_front(point, points)} for point in points]
    alt = f"Test accuracy against seconds of {len(points)} strategies; the table below has the numbers"
    return page.figure(view, "accuracy_against_seconds", alt, figures.cost_front, points)


def is_on_front(point: dict, points: list[dict]) -> bool:
    """Return whether no other point is at least as good in accuracy and seconds and better in one of them."""
    accuracy, seconds = point["accuracy"][0], point["seconds"]
    return not any(
        other["accuracy"][0] >= accuracy
        and other["seconds"] <= seconds
        and (other["accuracy"][0], other["seconds"]) != (accuracy, seconds)
        for other in points
    )


def _few(rows: list[dict]) -> list[dict]:
    """Return the best rows, as many as fit in a figure; training from scratch and the choice are always included."""
    needed = [row for row in rows if row["is_choice"] or trial_run.is_scratch(row)]
    others = [row for row in rows if row not in needed]
    kept = [row["name"] for row in needed + others[: max(0, MOST_LINES - len(needed))]]
    return [row for row in rows if row["name"] in kept]


def _data_figure(view: Comparison) -> page.Figure | None:
    if len(_fractions(view)) < 2:
        return None
    curves = [
        {"name": row["title"], "is_choice": row["is_choice"], "photos": [point["train"] for point in row["fractions"]],
         "accuracy": [point["accuracy"] for point in row["fractions"]]}
        for row in _few([row for row in view.rows if row["fractions"]])
    ]  # fmt: skip
    alt = f"Test accuracy of {len(curves)} strategies against the number of training photos; numbers below"
    return page.figure(view, "accuracy_against_photos", alt, figures.data_curves, curves)


def _convergence_figure(view: Comparison) -> page.Figure | None:
    curves = [
        {"name": row["title"], "is_choice": row["is_choice"], "runs": _median_first(row)}
        for row in _few([row for row in view.rows if row["convergence"]])
    ]
    if not curves:
        return None
    alt = f"Validation accuracy against seconds of {len(curves)} strategies, a line for each seed"
    return page.figure(view, "convergence", alt, figures.convergence_panels, curves)


def _median_first(row: dict) -> list[dict]:
    """Return the curves of a row's seeds; the one with the median best accuracy comes first."""
    runs = sorted(row["convergence"], key=lambda run: max(run["accuracy"]))
    middle = runs.pop((len(runs) - 1) // 2)
    return [middle, *runs]


def _recall_figure(view: Comparison) -> page.Figure | None:
    rows = [row for row in view.rows if row["test"] and row["per_class"]]
    if not rows:
        return None
    names = view.content["data"]["class_names"]
    recalls = np.array([[row["per_class"].get(name) for name in names] for row in rows], float)
    shown = telling_classes(recalls)
    alt = f"Recall of {len(rows)} strategies for {len(shown)} classes"
    names = [names[index] for index in shown]
    return page.figure(view, "recall_per_class", alt, figures.share_table,
                       recalls[:, shown], [row["title"] for row in rows], names, "recall")  # fmt: skip


def telling_classes(recalls: np.ndarray) -> list[int]:
    """Return the indices of the classes to show: all, or those on which the strategies differ most, in that order.

    Args:
        recalls: (strategies, classes) floats, NaN where a class has no test photo.
    """
    if recalls.shape[1] <= MOST_CLASSES:
        return list(range(recalls.shape[1]))
    known = np.isfinite(recalls)
    highest = np.where(known, recalls, -np.inf).max(axis=0)
    lowest = np.where(known, recalls, np.inf).min(axis=0)
    return np.argsort(lowest - highest, kind="stable")[:MOST_CLASSES].tolist()  # without any recall: inf, so last
