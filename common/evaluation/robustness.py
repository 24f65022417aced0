"""How much a model's score falls when its test items are corrupted: by kind and severity, on the same items."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import words
from common.evaluation import intervals

Answers = Mapping[str, Sequence[np.ndarray]]
METRICS = ("accuracy", "balanced_accuracy")


def evaluate(
    clean: np.ndarray, answers: Answers, labels: np.ndarray, groups: Sequence[str] | None, metric: str = "accuracy"
) -> dict[str, Any]:
    """Return the scores on clean and corrupted items, ready for JSON.

    Args:
        clean: (n, classes) the probabilities for the items as they are.
        answers: kind → the probabilities for each severity.
        labels: (n,) class indices.
        groups: the groups of the items, or None; every interval goes by groups.
        metric: the one of `METRICS` by which kinds are compared.

    Returns:
        `metric`, `n`, `units` (the number of independent ones), `clean` (metric → [value, low, high]), and `kinds` in
        the order of `answers`. A kind has `severities`, `mean` (over them), and `not_told_apart`: the kinds whose mean
        may be the same. A severity has metric → [value, low, high], and `change`: metric → [gain, low, high] against
        the clean items. So has a mean, whose intervals are rather wide.
    """
    right = clean.argmax(axis=1) == labels
    units, found = intervals.group_numbers(groups, len(labels)), {}
    columns = {"accuracy": np.ones((len(labels), 1)), "balanced_accuracy": np.eye(clean.shape[1])[labels]}
    sizes = {name: intervals.unit_sums(column, units) for name, column in columns.items()}

    def sums(hits: np.ndarray, name: str) -> np.ndarray:
        return intervals.unit_sums(hits[:, None] * columns[name], units)

    def score(hits: np.ndarray, name: str) -> list[float]:
        shares = sums(hits, name).sum(axis=0) / np.maximum(sizes[name].sum(axis=0), 1)
        value = float(shares[sizes[name].sum(axis=0) > 0].mean())
        return [value, *intervals.mean_share(sums(hits, name), sizes[name])]

    def change(first: np.ndarray, then: np.ndarray, name: str) -> list[float]:
        return intervals.paired_shares(sums(first, name), sums(then, name), sizes[name])

    def scored(now: np.ndarray) -> dict[str, Any]:
        scores: dict[str, Any] = {name: score(now, name) for name in METRICS}
        return scores | {"change": {name: change(right, now, name) for name in METRICS}}

    hits = {kind: [each.argmax(axis=1) == labels for each in given] for kind, given in answers.items()}
    means = {kind: np.mean(each, axis=0) for kind, each in hits.items()}
    for kind, each in hits.items():
        found[kind] = {
            "severities": [scored(now) for now in each],
            "mean": scored(means[kind]),
            "not_told_apart": [
                other for other in hits if other != kind and _holds_0(change(means[kind], means[other], metric))
            ],
        }  # fmt: skip
    whole = {name: score(right, name) for name in METRICS}
    return {"metric": metric, "n": len(labels), "units": int(units.max()) + 1, "clean": whole, "kinds": found}


def _holds_0(limits: Sequence[float]) -> bool:
    return limits[1] <= 0 <= limits[2]


def worst(found: dict[str, Any]) -> str:
    """Return the kind that lowers the metric most, on average over its severities."""
    return min(found["kinds"], key=lambda kind: found["kinds"][kind]["mean"]["change"][found["metric"]][0])


def verdict(found: dict[str, Any], titles: Mapping[str, str], unit: str) -> list[str]:
    """Return the result in sentences: the worst kind, and which others may be as bad.

    Args:
        found: the result of `evaluate`.
        titles: kind → its name in texts.
        unit: the name of one item, such as photo.
    """
    kind, metric = worst(found), words.words(found["metric"])
    of_kind = found["kinds"][kind]
    gain, low, high = of_kind["mean"]["change"][found["metric"]]
    before, after = (each[found["metric"]][0] for each in (found["clean"], of_kind["mean"]))
    interval = f"95 % interval of the change {100 * low:+.1f} to {100 * high:+.1f} points"
    count = len(of_kind["severities"])
    if gain >= 0 or high >= 0:
        return [
            f"No kind lowers the {metric} by more than chance explains; {titles[kind]} comes nearest, with "
            f"{100 * gain:+.1f} points on average over its {count} severities ({interval})."
        ]
    said = [
        f"Worst: {titles[kind]}. On average over its {count} severities, it lowers the {metric} by "
        f"{words.points(gain)} ({interval}), from {words.percent(before)} on the {unit}s as they are to "
        f"{words.percent(after)}."
    ]
    if also := [titles[other] for other in of_kind["not_told_apart"]]:
        said.append(f"Not told apart from it: {words.listed(also)}.")
    return said
