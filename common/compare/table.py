"""From the finished runs of several strategies to a table.

Nothing here trains or draws: `compare` reads run directories and returns what compare.json holds, `table` is what the
terminal shows of it. The choice between strategies is made on the validation photos, the test photos only judge it.
"""

import collections
import itertools
import os
import pathlib
import statistics

from common import words
from common.compare import advice, differences, trial_run

TABLE_WIDTH = 100
NOTES = (
    "> the choice, made on the validation photos; ≈ best: not worse than the best by more than noise.",
    "Median and range over seeds. Seconds: of a run + of the features, once for all; trained: parameters.",
)


# The comparison -----------------------------------------------------------------------------------------------


def compare(trials: list[trial_run.Run], root: pathlib.Path, feature_seconds: dict[str, float]) -> dict:
    """What the trials show, ready for JSON.

    Args:
        trials: all of them, the failed too; at least one.
        root: the comparison's directory, which the paths of reports start at.
        feature_seconds: backbone → seconds that the pass through its frozen network took.

    Returns:
        A dict with `chance`, `rows`, `differences`, `choice` and `advice`. Three numbers in a list are the median,
        lowest and highest over seeds. `chance` is None, and so is `choice`, where nothing finished.

    Raises:
        UserError: under one seed two trials have different test photos.
    """
    full = max(run.fraction for run in trials)
    several = len({run.backbone for run in trials}) > 1
    trials_of = collections.defaultdict(list)
    for run in trials:
        trials_of[f"{run.strategy}, {run.backbone}" if several else run.strategy].append(run)
    rows = [_row(name, found, full, root, feature_seconds) for name, found in trials_of.items()]
    rows.sort(key=lambda row: (-row["test"]["accuracy"][0], row["cost"]["seconds"][0]) if row["test"] else (1, 0))
    for row in rows:
        row["beats_scratch_from"] = _beats_scratch_from(row, rows)
    full_size = {
        row["name"]: [run for run in trials_of[row["name"]] if run.fraction == full] for row in rows if row["test"]
    }
    comparison = {
        "chance": _chance(trials),
        "rows": rows,
        "differences": differences.differences(full_size),
        "choice": _choice(rows),
    }
    return comparison | {"advice": advice.advice(comparison)}


def _row(name: str, trials: list[trial_run.Run], full: float, root: pathlib.Path, feature_seconds: dict) -> dict:
    """The row of a strategy with a backbone; `beats_scratch_from`, which needs the other rows, is still missing."""
    first, full_size = trials[0], list(trial_run.by_seed([run for run in trials if run.fraction == full]).values())
    return {
        "name": name,
        "strategy": first.strategy,
        "backbone": first.backbone,
        "what": first.what,
        "role": first.role,
        "failed": sum(not run.finished for run in trials),
        "test": _scores(full_size, "test", ("accuracy", "balanced_accuracy", "log_loss")),
        "validation": _scores(full_size, "validation", ("accuracy",)),
        "cost": _cost(full_size, feature_seconds.get(first.backbone, 0.0) if first.needs_features else 0.0),
        "to_95": _to_95(full_size),
        "fractions": _fractions(trials),
        "per_class": _per_class(full_size),
        "kept": dict(collections.Counter(
            run.results["kept_stage"] for run in full_size if "kept_stage" in run.results
        ).most_common()),
        "runs": [_outcome(run, root) for run in sorted(trials, key=lambda run: (run.fraction, run.seed))],
        "convergence": [_convergence(run) for run in full_size if run.history],
    }  # fmt: skip


def _scores(full_size: list[trial_run.Run], split: str, metrics: tuple[str, ...]) -> dict | None:
    return (
        {name: trial_run.spread(run.results[split][name] for run in full_size) for name in metrics}
        if full_size
        else None
    )


def _cost(full_size: list[trial_run.Run], feature_seconds: float) -> dict | None:
    """The cost of a trial: of the memory the most, of the parameters the median over seeds, which may differ in what
    they kept unfrozen."""
    if not full_size:
        return None
    costs = [run.results["cost"] for run in full_size]
    return {
        "seconds": trial_run.spread(run.seconds for run in full_size),
        "feature_seconds": feature_seconds,
        "epochs": trial_run.spread(cost["epochs"] for cost in costs),
        "peak_memory_bytes": max(cost["peak_memory_bytes"] for cost in costs),
        "trainable_parameters": statistics.median_low(cost["trainable_parameters"] for cost in costs),
        "total_parameters": costs[0]["total_parameters"],
    }


def _to_95(full_size: list[trial_run.Run]) -> dict | None:
    found = [run.to_95() for run in full_size if run.history]
    if not found:
        return None
    epochs, seconds = zip(*found, strict=True)
    return {"epochs": trial_run.spread(epochs), "seconds": trial_run.spread(seconds)}


def _fractions(trials: list[trial_run.Run]) -> list[dict]:
    """The learning curve, from the smallest fraction on."""
    found = collections.defaultdict(list)
    for run in sorted(trials, key=lambda run: run.fraction):
        if run.finished:
            found[run.fraction].append(run)
    return [
        {
            "fraction": fraction,
            "train": statistics.median_low(run.results["data"]["train"] for run in some),
            "accuracy": trial_run.spread(run.accuracy for run in some),
            "seconds": trial_run.spread(run.seconds for run in some),
        }
        for fraction, some in found.items()
    ]


def _per_class(full_size: list[trial_run.Run]) -> dict:
    """Class → median recall on the test photos over the seeds that have photos of it."""
    recalls = {}
    for name in full_size[0].results["data"]["class_names"] if full_size else []:
        values = [run.results["test"]["per_class"][name]["recall"] for run in full_size]
        values = [value for value in values if value is not None]
        recalls[name] = statistics.median(values) if values else None
    return recalls


def _outcome(run: trial_run.Run, root: pathlib.Path) -> dict:
    report = pathlib.PurePath(os.path.relpath(run.directory / "report.html", root)) if run.directory else None
    return {
        "seed": run.seed,
        "fraction": run.fraction,
        "accuracy": run.accuracy if run.finished else None,
        "seconds": run.seconds if run.finished else None,
        "report": report.as_posix() if report else None,
        "command": run.command,
        "error": run.error,
    }


def _convergence(run: trial_run.Run) -> dict:
    return {
        "seed": run.seed,
        "epochs": list(range(1, len(run.history) + 1)),
        "seconds": [round(total, 3) for total in itertools.accumulate(epoch["seconds"] for epoch in run.history)],
        "accuracy": [epoch["val_accuracy"] for epoch in run.history],
    }


def _chance(trials: list[trial_run.Run]) -> float | None:
    """The share of the largest class among the test photos of the first seed that finished."""
    first = min((run for run in trials if run.finished), key=lambda run: run.seed, default=None)
    if first is None:
        return None
    supports = [row["support"] for row in first.results["test"]["per_class"].values()]
    return max(supports) / sum(supports)


def _choice(rows: list[dict]) -> str | None:
    """The row that validates best with all training photos; of equal ones the quickest."""
    finished = [row for row in rows if row["test"]]
    return min(finished, key=trial_run.by_validation)["name"] if finished else None


def model_of(comparison: dict) -> str | None:
    """The run directory, relative to the comparison's, of what to use: its first seed with all training photos."""
    runs = [
        run for row in comparison["rows"] if row["name"] == comparison["choice"] for run in row["runs"] if run["report"]
    ]
    if not runs:
        return None
    largest = max(run["fraction"] for run in runs)
    report = min((run for run in runs if run["fraction"] == largest), key=lambda run: run["seed"])["report"]
    return str(pathlib.PurePosixPath(report).parent)


def _beats_scratch_from(row: dict, rows: list[dict]) -> float | None:
    """The smallest fraction with more test photos right than training from scratch on all photos, in the median."""
    scratch = trial_run.scratch(rows, row["backbone"])
    if trial_run.is_scratch(row) or scratch is None:
        return None
    mark = scratch["test"]["accuracy"][0]
    return next((each["fraction"] for each in row["fractions"] if each["accuracy"][0] > mark), None)


# The table ----------------------------------------------------------------------------------------------------


def table(comparison: dict) -> str:
    """The rows for the terminal, at most 100 columns wide."""
    header = ("  strategy", "test accuracy", "seconds", "trained", "the best?", "failed")
    lines = [header, *(_cells(row, comparison) for row in comparison["rows"])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    widths[0] = min(widths[0], TABLE_WIDTH - sum(widths[1:]) - 2 * (len(header) - 1))
    aligned = ("<", ">", ">", ">", "<", ">")
    shown = [
        "  ".join(
            f"{_shortened(text, width):{side}{width}}" for text, side, width in zip(line, aligned, widths, strict=True)
        )
        for line in lines
    ]
    return "\n".join([*(line.rstrip() for line in shown), *NOTES])


def _cells(row: dict, comparison: dict) -> tuple[str, ...]:
    name = f"{'>' if row['name'] == comparison['choice'] else ' '} {row['name']}"
    failed = f"{row['failed']} of {len(row['runs'])}" if row["failed"] else "–"
    if not row["test"]:
        return name, "–", "–", "–", "–", failed
    seconds, features = row["cost"]["seconds"][0], row["cost"]["feature_seconds"]
    price = f"{_digits(seconds)} + {_digits(features)}" if features else _digits(seconds)
    parameters = f"{row['cost']['trainable_parameters']:,}"
    return name, words.share(row["test"]["accuracy"]), price, parameters, _mark(row, comparison), failed


def _digits(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"


def _mark(row: dict, comparison: dict) -> str:
    """How a row stands to the first one."""
    best = comparison["rows"][0]["name"]
    if row["name"] == best:
        return "best"
    found = differences.between(comparison, row["name"], best)
    if found is None:
        return "no common seed"
    gain, larger = found
    return ("better" if gain > 0 else "worse") if larger else "≈ best"


def _shortened(name: str, width: int) -> str:
    """A name cut in its middle: a strategy at its start and a backbone at its end tell rows apart."""
    if len(name) <= width:
        return name
    end = width // 2
    return f"{name[: width - end - 1]}…{name[-end:]}"
