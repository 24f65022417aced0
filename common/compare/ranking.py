"""A ranking of pretrained networks by their scores on one task, with what is noise in it, and its verification."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np
from scipy import stats

from common import words
from common.compare import differences, trial_run
from common.evaluation import intervals, transferability

FEWEST_TO_RANK = 3  # a rank correlation of two is a coin's
NOTES = (
    "> recommended: the fewest operations within one standard error of the best. Not told apart: from the best.",
    "Right: ridge regression without the photo (and its group), 95 % interval; neighbours: the same, nearest ones.",
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network that is cut off after one of its layers, and what it costs and scores.

    Attributes:
        network: its name.
        layer: the layer that it is cut off after.
        given: it as `--backbones` takes it.
        flags: the arguments with which the other recipes use it.
        operations: multiply-accumulate operations for one photo.
        parameters: number of its weights.
        milliseconds: for one photo on this machine, in a batch.
        scores: the scores of its pooled features.
    """

    network: str
    layer: str
    given: str
    flags: list[str]
    operations: int
    parameters: int
    milliseconds: float
    scores: transferability.Scores


def rank(candidates: Sequence[Candidate], units: np.ndarray) -> dict:
    """Rank candidates by the default score, the left-out accuracy of ridge regression.

    Each is compared with the best on the same photos. The standard error of the difference goes by units, and Tukey's
    test judges all of them at once, as in `differences`.

    Args:
        candidates: at least one.
        units: (n,) the number of each photo's unit.

    Returns:
        `rows`, the best first, ready for JSON; `best` and `recommended`, each the number of a row. Each row has the
        attributes of its candidate with the scores, `right` as [share, low, high], `lead` (of the best over it),
        `standard_error` and `p` (None for the best), `told_apart`, and `is_best_cut` of its network.
    """
    order = sorted(candidates, key=lambda each: (-each.scores.ridge, each.operations))
    best, everything = order[0].scores.right, np.ones(len(units), bool)
    rows: list[dict] = []
    for candidate in order:
        lead, error = _difference(best, candidate.scores.right, units)
        own = {field.name: getattr(candidate, field.name) for field in dataclasses.fields(candidate)}
        scores = own.pop("scores")
        rows.append(own | {
            "right": intervals.share(scores.right, everything, units),
            "nearest": scores.nearest, "log_evidence": scores.log_evidence, "penalty": scores.penalty,
            "score_seconds": round(scores.seconds, 3), "lead": lead, "standard_error": error,
            "is_best_cut": candidate.network not in {row["network"] for row in rows},
        })  # fmt: skip
    leads, errors = (np.array([row[name] for row in rows]) for name in ("lead", "standard_error"))
    p = differences.p_values(leads, errors**2, np.array(float(units.max())), max(len(rows), 2))
    for number, row in enumerate(rows):
        row["p"] = float(p[number]) if number else None
        row["told_apart"] = bool(number and p[number] <= trial_run.SIGNIFICANCE)
    near = [number for number, row in enumerate(rows) if row["lead"] <= row["standard_error"]]
    recommended = min(near, key=lambda number: (rows[number]["operations"], number))
    return {"rows": rows, "best": 0, "recommended": recommended}


def _difference(best: np.ndarray, other: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Return by how much the best is right more often, and the standard error of that by units."""
    steps = best - other
    sums = intervals.unit_sums(steps - steps.mean(), units)
    count = len(sums)
    return float(steps.mean()), float(np.sqrt(count / max(count - 1, 1) * (sums**2).sum()) / len(steps))


def shown(ranking: dict) -> list[dict]:
    """Return the best cut of each network, and the recommended one."""
    recommended = ranking["rows"][ranking["recommended"]]
    return [row for row in ranking["rows"] if row["is_best_cut"] or row is recommended]


def named(row: dict) -> str:
    """Return a candidate in words."""
    return f"{row['network']} up to {row['layer']}"


# In words -----------------------------------------------------------------------------------------------------


def table(ranking: dict) -> str:
    """Return the ranking as text for the terminal."""
    lines = [("  network", "up to", "right", "neighbours", "LogME", "MACs", "weights", "ms/photo", "the best?")]
    for row in shown(ranking):
        is_best = row is ranking["rows"][ranking["best"]]
        mark = ">" if row is ranking["rows"][ranking["recommended"]] else " "
        verdict = "best" if is_best else "worse" if row["told_apart"] else "not told apart"
        lines.append((
            f"{mark} {row['network']}", row["layer"], words.estimate(row["right"]), words.percent(row["nearest"]),
            f"{row['log_evidence']:.3f}", _large(row["operations"]), _large(row["parameters"]),
            f"{row['milliseconds']:.1f}", verdict,
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = "<<>>>>>><"
    texts = [
        "  ".join(f"{text:{side}{width}}" for text, side, width in zip(line, aligned, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*texts, *NOTES])


def _large(count: float) -> str:
    """Format 300,774,272 as 301 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


def advice(ranking: dict) -> list[str]:
    """Return what to use and why, in sentences."""
    rows = ranking["rows"]
    best, choice = rows[ranking["best"]], rows[ranking["recommended"]]
    if choice is best:
        reason = "it has the most photos right, and nothing cheaper is within one standard error of it"
    else:
        reason = (
            f"it has {_large(choice['operations'])} operations instead of {_large(best['operations'])}, and the best, "
            f"{named(best)}, has {words.points(best['right'][0] - choice['right'][0])} more photos right, where one "
            f"standard error is {words.points(choice['standard_error'])}"
        )
    sentences = [f"Use {named(choice)}: {reason}."]
    open_ = [row["network"] for row in rows if row["is_best_cut"] and not row["told_apart"] and row is not best]
    if open_:
        sentences.append(f"Not told apart from the best network, {best['network']}: {words.listed(open_)}.")
    elif len({row["network"] for row in rows}) > 1:
        sentences.append("All other networks are worse by more than noise.")
    cuts = [row for row in rows if row["network"] == best["network"] and not row["is_best_cut"]]
    if cuts and all(row["told_apart"] for row in cuts):
        sentences.append(f"Where to cut matters: {best['network']} after its other layers is worse by more than noise.")
    return sentences


# Verification -------------------------------------------------------------------------------------------------


def verification(ranking: dict, comparison: dict, names: dict[str, str]) -> dict:
    """Compare the ranking with the test accuracies of networks that were trained.

    Args:
        ranking: as `rank` returns it.
        comparison: the results of compare_strategies; of several strategies of a network, the one with the best
            validation accuracy counts.
        names: the networks of the comparison → what `named` calls them.

    Returns:
        `trained`: candidate → mean test accuracy; `told_apart`: candidate → whether it is worse than the most accurate
        by more than noise; `regret`: what the recommended one lacks to the most accurate, None if it failed;
        `rank_correlation`: Kendall's tau of each score, empty with fewer than three.
    """
    kept: dict[str, dict] = {}
    for row in sorted(filter(lambda row: row["test"], comparison["rows"]), key=lambda row: row["validation"]["mean"]):
        kept[names[row["backbone"]]] = row
    trained = {
        name: statistics.fmean(run["accuracy"] for run in row["runs"] if run["accuracy"] is not None)
        for name, row in kept.items()
    }
    top = max(trained, key=trained.__getitem__, default="")
    told_apart = {}
    for name, row in kept.items():
        pair = differences.between(comparison, kept[top]["name"], row["name"])
        told_apart[name] = bool(pair and pair[1] and pair[0] > 0)
    rows = {named(row): row for row in ranking["rows"] if named(row) in trained}
    scores = {
        "ridge": [row["right"][0] for row in rows.values()],
        "neighbours": [row["nearest"] for row in rows.values()],
        "LogME": [row["log_evidence"] for row in rows.values()],
    }
    accuracies, choice = [trained[name] for name in rows], named(ranking["rows"][ranking["recommended"]])
    enough = len(rows) >= FEWEST_TO_RANK
    return {
        "trained": trained, "told_apart": told_apart, "recommended": choice,
        "regret": trained[top] - trained[choice] if choice in trained else None,
        "rank_correlation": {name: _tau(values, accuracies) for name, values in scores.items()} if enough else {},
    }  # fmt: skip


def _tau(scores: Sequence[float], accuracies: Sequence[float]) -> float | None:
    """Return Kendall's tau-b; None if all scores or all accuracies are equal."""
    tau = float(stats.kendalltau(scores, accuracies).statistic)
    return tau if np.isfinite(tau) else None


def verified(found: dict, strategies: Sequence[str]) -> list[str]:
    """Return a verification in sentences."""
    how = f"Trained by {words.listed(list(strategies))} and tested"
    if found["regret"] is None:
        return [f"{how}: the recommended network failed, so nothing is known of it."]
    lead = "the recommended network is the most accurate"
    if found["regret"]:
        apart = "worse by more than noise" if found["told_apart"][found["recommended"]] else "not told apart from it"
        lead = f"the recommended network is {words.points(found['regret'])} behind the most accurate, {apart}"
    sentences = [f"{how}: {lead}."]
    if found["rank_correlation"]:
        told = [f"{name} {'–' if tau is None else f'{tau:.2f}'}" for name, tau in found["rank_correlation"].items()]
        sentences.append(
            f"Rank correlation (Kendall's tau) of the scores with the accuracies of these {len(found['trained'])} "
            f"networks: {', '.join(told)}."
        )
    return sentences
