"""The table of a comparison, made from the finished runs of several strategies.

This module neither trains nor draws. `compare` reads run directories and returns the content of compare.json; `table`
formats it for the terminal. The choice between strategies is made on validation photos; test photos only judge it.
"""

import collections
import itertools
import os
import pathlib
import statistics

from common import words
from common.compare import advice, differences, trial_run
from common.evaluation import classification

TABLE_WIDTH = 100
NOTES = (
    "> the choice, made on the validation photos. Worse: than the best or the choice, by more than noise.",
    "Not told apart: from the best; which of the two is better is open. Order: mean test accuracy.",
    "Median and range over seeds. Seconds: one run + the features (computed once); trained: parameters.",
)


# The comparison -----------------------------------------------------------------------------------------------


def compare(trials: list[trial_run.Run], root: pathlib.Path, feature_seconds: dict[str, float]) -> dict:
    """Return the results of all trials, ready for JSON.

    Args:
        trials: all trials, including the failed ones; at least one.
        root: the comparison's directory; the paths of reports are relative to it.
        feature_seconds: backbone → seconds that the pass through its frozen network took.

    Returns:
        A dict with `chance`, `rows`, `differences`, `power`, `choice` and `advice`. Three numbers in a list are the
        median, lowest and highest over seeds. `power` is a sentence on what the comparison can tell. `chance` and
        `choice` are None if nothing finished. The rows are in the order of their mean test accuracy, the best first;
        rows without enough seeds to be compared come after the others, and then those that failed.

    Raises:
        UserError: under one seed two trials have different test photos.
    """
    full = max(run.fraction for run in trials)
    several = len({run.backbone for run in trials}) > 1
    trials_of = collections.defaultdict(list)
    for run in trials:
        trials_of[f"{run.strategy}, {run.backbone}" if several else run.strategy].append(run)
    rows = [_row(name, found, full, root, feature_seconds) for name, found in trials_of.items()]
    full_size = {
        row["name"]: [run for run in trials_of[row["name"]] if run.fraction == full] for row in rows if row["test"]
    }
    shares = differences.shares_right(full_size)
    rows.sort(key=lambda row: _rank(row, shares))
    for row in rows:
        row["beats_scratch_from"] = _beats_scratch_from(row, rows)
    pairs = differences.differences(full_size)
    comparison = {
        "chance": _chance(trials),
        "rows": rows,
        "differences": pairs,
        "power": differences.said_power(full_size, pairs),
        "choice": _choice(rows),
    }
    return comparison | {"advice": advice.advice(comparison)}


def _rank(row: dict, shares: dict[str, float]) -> tuple[int, float, float]:
    """Return a key that sorts rows by the mean test accuracy, which the verdicts are about; ties go to the fastest."""
    if not row["test"]:
        return 2, 0.0, 0.0
    share = shares.get(row["name"], row["test"]["accuracy"][0])
    return int(row["name"] not in shares), -share, row["cost"]["seconds"][0]


def _row(name: str, trials: list[trial_run.Run], full: float, root: pathlib.Path, feature_seconds: dict) -> dict:
    """Return the row of a strategy with a backbone, without `beats_scratch_from`, which needs the other rows."""
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
    """Return the cost of a trial: the maximum of the memory, and the median of the trainable parameters.

    Seeds may differ in the parameters, since each keeps its own best stage.
    """
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
    """Return the learning curve, from the smallest fraction to the largest."""
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
    """Return class → median recall on the test photos, over the seeds with test photos of the class."""
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
    """Return the test accuracy of always answering the largest training class, for the first seed that finished."""
    first = min((run for run in trials if run.finished), key=lambda run: run.seed, default=None)
    return classification.guessing(first.results)["accuracy"] if first else None


def _choice(rows: list[dict]) -> str | None:
    """Return the name of the row with the best validation accuracy on all training photos; ties go to the fastest."""
    finished = [row for row in rows if row["test"]]
    return min(finished, key=trial_run.by_validation)["name"] if finished else None


def model_of(comparison: dict) -> str | None:
    """Return the run directory of the choice's first seed with all training photos, relative to the comparison's."""
    runs = [
        run for row in comparison["rows"] if row["name"] == comparison["choice"] for run in row["runs"] if run["report"]
    ]
    if not runs:
        return None
    largest = max(run["fraction"] for run in runs)
    report = min((run for run in runs if run["fraction"] == largest), key=lambda run: run["seed"])["report"]
    return str(pathlib.PurePosixPath(report).parent)


def _beats_scratch_from(row: dict, rows: list[dict]) -> float | None:
    """Return the smallest fraction whose median test accuracy is above that of training from scratch on all photos."""
    scratch = trial_run.scratch(rows, row["backbone"])
    if trial_run.is_scratch(row) or scratch is None:
        return None
    mark = scratch["test"]["accuracy"][0]
    return next((each["fraction"] for each in row["fractions"] if each["accuracy"][0] > mark), None)


# The table ----------------------------------------------------------------------------------------------------


def table(comparison: dict) -> str:
    """Return the rows as text for the terminal, at most 100 columns wide."""
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
    """Return how a row compares with the best one, which is the first."""
    if row["name"] == comparison["rows"][0]["name"]:
        return "best"
    if row["name"] in differences.not_told_apart(comparison):
        return "not told apart"
    return "worse" if differences.worse(comparison, row["name"]) else "too few seeds"


def _shortened(name: str, width: int) -> str:
    """Cut a name in the middle: the strategy at its start and the backbone at its end distinguish the rows."""
    if len(name) <= width:
        return name
    end = width // 2
    return f"{name[: width - end - 1]}…{name[-end:]}"
