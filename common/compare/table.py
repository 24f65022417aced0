"""The table of a comparison, made from the finished runs of several strategies.

This module neither trains nor draws. `compare` reads run directories and returns the content of compare.json; `table`
formats it for the terminal. The choice between strategies is made on validation photos; test photos only judge it.
"""

import collections
import itertools
import os
import pathlib
import statistics
from collections.abc import Callable

from common import words
from common.compare import advice, differences, trial_run
from common.evaluation import classification, intervals
from common.runs import cost

TABLE_WIDTH = 100
NOTES = (
    "> the choice, made on the validation photos. Worse: than the best or the choice, by more than noise.",
    "Not told apart: from the best; which of the two is better is open. Order: mean test accuracy.",
    "Median and range over seeds; validation: the mean accuracy, which the choice goes by.",
    "Seconds: one run + the features (computed once); trained: parameters.",
)


# The comparison -----------------------------------------------------------------------------------------------


def compare(trials: list[trial_run.Run], root: pathlib.Path, feature_seconds: dict[str, float]) -> dict:
    """Return the results of all trials, ready for JSON.

    Args:
        trials: all trials, including the failed ones; at least one.
        root: the comparison's directory; the paths of reports are relative to it.
        feature_seconds: backbone → seconds that the pass through its frozen network took.

    Returns:
        A dict with `chance`, `rows`, `differences`, `power`, `choice` (a row's name), `validation` (why it was chosen),
        `model` (the choice's run whose model to use) and `advice`. Three numbers in a list are the median, lowest and
        highest over seeds. `power` is a sentence on what the comparison can tell. `chance`, `choice`, `validation` and
        `model` are None if nothing finished. The rows are in the order of their mean test accuracy, the best first;
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
    full_size = {row["name"]: _of_size(trials_of[row["name"]], full) for row in rows if row["test"]}
    shares = differences.shares_right(full_size)
    rows.sort(key=lambda row: _rank(row, shares))
    for row in rows:
        scratch = trial_run.scratch(rows, row["backbone"])
        rivals = trials_of[scratch["name"]] if scratch and not trial_run.is_scratch(row) else []
        row["beats_scratch_from"] = beats_scratch_from(trials_of[row["name"]], _of_size(rivals, full))
    pairs = differences.differences(full_size)
    validation = choose(rows, full)
    choice = validation["choice"] if validation else None
    comparison = {
        "chance": _chance(trials),
        "rows": rows,
        "differences": pairs,
        "power": differences.said_power(full_size, pairs),
        "choice": choice,
        "validation": validation,
        "model": next((median_run(row, full) for row in rows if row["name"] == choice), None),
    }
    return comparison | {"advice": advice.advice(comparison)}


def _of_size(trials: list[trial_run.Run], fraction: float) -> list[trial_run.Run]:
    return [run for run in trials if run.fraction == fraction]


def _rank(row: dict, shares: dict[str, float]) -> tuple[int, float, float]:
    """Return a key that sorts rows by the mean test accuracy, which the verdicts are about; ties go to the fastest."""
    if not row["test"]:
        return 2, 0.0, 0.0
    share = shares.get(row["name"], row["test"]["accuracy"][0])
    return int(row["name"] not in shares), -share, row["cost"]["seconds"][0]


def _row(name: str, trials: list[trial_run.Run], full: float, root: pathlib.Path, feature_seconds: dict) -> dict:
    """Return the row of a strategy with a backbone, without `beats_scratch_from`, which needs the other rows."""
    first, full_size = trials[0], list(trial_run.by_seed(_of_size(trials, full)).values())
    return {
        "name": name,
        "strategy": first.strategy,
        "backbone": first.backbone,
        "what": first.what,
        "role": first.role,
        "failed": sum(not run.finished for run in trials),
        "test": _scores(full_size, "test", ("accuracy", "balanced_accuracy", "log_loss")),
        "validation": _validation(full_size),
        "cost": _cost(full_size, feature_seconds.get(first.backbone, 0.0) if first.needs_features else 0.0),
        "to_95": _to_95(full_size),
        "stress": _stress(full_size),
        "fractions": _fractions(trials),
        "step": last_step(trials),
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


def _validation(full_size: list[trial_run.Run]) -> dict | None:
    """Return the scores on validation photos, and the mean accuracy over seeds, which `choose` goes by."""
    scores = _scores(full_size, "validation", ("accuracy", "n"))
    return scores and scores | {"mean": statistics.fmean(run.results["validation"]["accuracy"] for run in full_size)}


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


def _stress(full_size: list[trial_run.Run]) -> dict | None:
    """Return the accuracy on corrupted test photos: over all kinds, and of each kind; None without any."""
    found = [run.stress for run in full_size if run.stress]
    if not found:
        return None
    kinds = {name: [each["kinds"][name]["mean"]["accuracy"][0] for each in found] for name in found[0]["kinds"]}
    return {
        "accuracy": trial_run.spread(map(trial_run.under_stress, found)),
        "clean": trial_run.spread(each["clean"]["accuracy"][0] for each in found),
        "kinds": {name: trial_run.spread(values) for name, values in kinds.items()},
    }


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


def last_step(trials: list[trial_run.Run]) -> dict | None:
    """Return the gain from the last step to more photos, with its interval; None without three seeds that have both."""
    sizes = sorted({run.fraction for run in trials if run.finished})[-2:]
    if len(sizes) < 2:
        return None
    few, many = (_of_size(trials, fraction) for fraction in sizes)
    found = trial_run.enough(many, few) and differences.difference(many, few)
    return {"difference": found["difference"], "interval": found["interval"]} if found else None


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
        "validation": run.results["validation"]["accuracy"] if run.finished else None,
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


def choose(
    rows: list[dict], full: float, noise_of: Callable[[dict], float] | None = None,
    price_of: Callable[[dict], float] = trial_run.price,
) -> dict | None:  # fmt: skip
    """Choose the cheapest row whose validation accuracy is within one standard error of the best row's.

    This is the one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3). An
    accuracy is the mean over the seeds, and a difference that over the seeds that both rows finished. The standard
    error is that of the best accuracy on the validation photos of one seed. It does not shrink with more seeds: what a
    strategy gains by trying several models on these photos and keeping the best stays the same with more seeds too.
    A row that failed under more seeds than another is not chosen, since its seeds may be the easy ones.

    Args:
        rows: of the table.
        full: the fraction of all training photos.
        noise_of: a function of the best row that returns its standard error; default: that of an accuracy.
        price_of: a function of a row that returns what it costs; of equal ones, the first is cheaper.

    Returns:
        None if nothing finished, else `choice` and `best` (rows' names), `lead` (the best's over the choice) and
        `noise` (the standard error), as shares.
    """
    scores = {row["name"]: {run["seed"]: run["validation"] for run in _finished(row, full)} for row in rows}
    most = max(map(len, scores.values()), default=0)
    if not most:
        return None
    scores = {name: score for name, score in scores.items() if len(score) == most}
    means = {name: statistics.fmean(score.values()) for name, score in scores.items()}
    row_of = {row["name"]: row for row in rows}
    cheapest_first = sorted(scores, key=lambda name: price_of(row_of[name]))
    best = max(cheapest_first, key=means.__getitem__)
    if noise_of:
        noise = noise_of(row_of[best])
    else:
        noise = intervals.accuracy_noise(means[best], row_of[best]["validation"]["n"][0])
    leads = {}
    for name, score in scores.items():
        both = [scores[best][seed] - value for seed, value in score.items() if seed in scores[best]]
        leads[name] = statistics.fmean(both) if both else means[best] - means[name]
    choice = next(name for name in cheapest_first if leads[name] <= noise)
    return {"choice": choice, "best": best, "lead": leads[choice], "noise": noise}


def median_run(row: dict, full: float) -> dict:
    """Return the run on all training photos whose validation accuracy is the median over the seeds, the lower of two.

    The first seed's model may be lucky or unlucky; the best would be chosen for its luck.
    """
    runs = _finished(row, full)
    return sorted(runs, key=lambda run: (run["validation"], run["seed"]))[(len(runs) - 1) // 2]


def _finished(row: dict, fraction: float) -> list[dict]:
    return [run for run in row["runs"] if run["report"] and run["fraction"] == fraction]


def beats_scratch_from(trials: list[trial_run.Run], scratch: list[trial_run.Run]) -> float | None:
    """Return the smallest fraction with which a strategy beats training from scratch on all photos.

    Each fraction is compared as in the table of differences. Their p are adjusted after Holm (1979), so the chance that
    any fraction is named by luck is about 5 %.
    """
    found = {}
    for fraction in sorted({run.fraction for run in trials}):
        some = _of_size(trials, fraction)
        pair = trial_run.enough(some, scratch) and differences.difference(some, scratch)
        if pair:
            found[fraction] = pair
    adjusted = trial_run.holm([pair["p"] for pair in found.values()])
    for (fraction, pair), p in zip(found.items(), adjusted, strict=True):
        if p <= trial_run.SIGNIFICANCE and pair["difference"] > 0:
            return fraction
    return None


# The table ----------------------------------------------------------------------------------------------------


def table(comparison: dict) -> str:
    """Return the rows as text for the terminal, at most 100 columns wide."""
    per_hour = comparison.get("plan", {}).get("price_per_hour")
    header = ["  strategy", "test accuracy", "validation", "seconds", "trained", "the best?", "failed"]
    header += [*(["stressed"] if _is_stressed(comparison) else []), *(["price"] if per_hour else [])]
    lines = [header, *(_cells(row, comparison) for row in comparison["rows"])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    widths[0] = min(widths[0], TABLE_WIDTH - sum(widths[1:]) - 2 * (len(header) - 1))
    aligned = ("<", ">", ">", ">", ">", "<", ">", ">", ">")[: len(header)]
    shown = [
        "  ".join(
            f"{_shortened(text, width):{side}{width}}" for text, side, width in zip(line, aligned, widths, strict=True)
        )
        for line in lines
    ]
    told = ["Stressed: accuracy under worse light, blur, other angles and more."] if _is_stressed(comparison) else []
    told += [f"Price: of one run alone with its features, at {per_hour:g} an hour."] if per_hour else []
    return "\n".join([*(line.rstrip() for line in shown), *NOTES, *told])


def _is_stressed(comparison: dict) -> bool:
    return any(row.get("stress") for row in comparison["rows"])


def _cells(row: dict, comparison: dict) -> tuple[str, ...]:
    name = f"{'>' if row['name'] == comparison['choice'] else ' '} {row['name']}"
    failed = f"{row['failed']} of {len(row['runs'])}" if row["failed"] else "–"
    per_hour, stress = comparison.get("plan", {}).get("price_per_hour"), row.get("stress")
    stressed = [words.percent(stress["accuracy"][0]) if stress else "–"] if _is_stressed(comparison) else []
    if not row["test"]:
        return name, "–", "–", "–", "–", "–", failed, *stressed, *(["–"] if per_hour else [])
    seconds, features = row["cost"]["seconds"][0], row["cost"]["feature_seconds"]
    price = f"{_digits(seconds)} + {_digits(features)}" if features else _digits(seconds)
    parameters = f"{row['cost']['trainable_parameters']:,}"
    tested, validated = words.share(row["test"]["accuracy"]), words.percent(row["validation"]["mean"])
    paid = [words.price(cost.price(trial_run.price(row), per_hour))] if per_hour else []
    return name, tested, validated, price, parameters, _mark(row, comparison), failed, *stressed, *paid


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
