"""Several methods of domain adaptation side by side: scores, validators without labels, and what they tell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import words
from common.evaluation import domain_gap, intervals

NEEDS_LABELS = ("few_labels", "few_labels_alone", "target_labels")
BASELINE = "none"
MUCH, FEWEST = 0.2, 5  # a class that loses this recall, with at least this many test items, is named
COUNTED_WORDS = "counted words (TF-IDF)"  # a baseline for texts: logistic regression on the source, without a network


def trial(
    method: str, seed: int, seconds: float, labels: dict[str, np.ndarray], answers: dict[str, np.ndarray],
) -> dict[str, Any]:  # fmt: skip
    """Return the scores of a method on one split.

    Args:
        method: its parts, joined by +.
        seconds: what it took, with the features in the cache.
        labels: class indices of `validation` (of the source) and `test` (of the new domain; empty if it has none).
        answers: probabilities of `validation`, `adapting` and `test`, (n, classes).

    Returns:
        `accuracy` on the test, None without one, its `right` answers, and the validators of `domain_gap`.
    """
    right = answers["test"].argmax(axis=1) == labels["test"]
    return {
        "method": method,
        "seed": seed,
        "seconds": round(seconds, 2),
        "accuracy": float(right.mean()) if len(right) else None,
        "right": right,
        "source_validation": float((answers["validation"].argmax(axis=1) == labels["validation"]).mean()),
        "information_maximisation": domain_gap.information_maximisation(answers["adapting"]),
        "soft_neighbourhood_density": domain_gap.soft_neighbourhood_density(answers["adapting"]),
    }


def rows(trials: Sequence[dict[str, Any]], gaps: dict[str, dict]) -> list[dict[str, Any]]:
    """Return a row for each method, in their order: [median, lowest, highest] over seeds of each score.

    Args:
        trials: as `trial` returns them, the same methods for every seed.
        gaps: method → the gap that it leaves, as `domain_gap.compare` returns it.
    """
    found = []
    for method in dict.fromkeys(each["method"] for each in trials):
        own = [each for each in trials if each["method"] == method]
        row: dict[str, Any] = {"method": method, "needs_labels": needs_labels(method), "gap": gaps.get(method)}
        for name in ("accuracy", "seconds", *domain_gap.VALIDATORS):
            values = [each[name] for each in own]
            row[name] = None if None in values else [statistics.median(values), min(values), max(values)]
        found.append(row)
    return found


def needs_labels(method: str) -> bool:
    """Return whether a method reads labels of the new domain."""
    return bool(set(method.split("+")) & set(NEEDS_LABELS))


def gain(trials: Sequence[dict[str, Any]], method: str, over: str = BASELINE) -> list[float]:
    """Return [gain, low, high] of a method's test accuracy over another's.

    With one seed, low and high are those of the 95 % interval over its test items. With several, the gain is the median
    over seeds, and low and high are its range.
    """
    right = {(each["method"], each["seed"]): each["right"].astype(float) for each in trials}
    seeds = sorted({each["seed"] for each in trials})
    if len(seeds) == 1:
        before, after = (right[name, seeds[0]][:, None] for name in (over, method))
        return [float(value) for value in intervals.paired_shares(before, after, np.ones_like(before))]
    gains = [float((right[method, seed] - right[over, seed]).mean()) for seed in seeds]
    return [statistics.median(gains), min(gains), max(gains)]


def by_class(names: Sequence[str], labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[dict[str, Any]]:
    """Return the recall of each class before and after the adaptation, those that lost most first.

    Args:
        labels: class indices of the test photos, (n,).
        before, after: the class indices that were answered, (n,).
    """
    found = []
    for number, name in enumerate(names):
        here = labels == number
        if here.any():
            recalls = [float((answered[here] == number).mean()) for answered in (before, after)]
            found.append({"class": name, "n": int(here.sum()), "before": recalls[0], "after": recalls[1]})
    return sorted(found, key=lambda row: row["after"] - row["before"])


def correlations(trials: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Return the rank correlation of each validator with the truth over the methods without labels of the new domain.

    It is the median over seeds, None if there are fewer than three methods, or no test.
    """
    own = [each for each in trials if not needs_labels(each["method"]) and each["accuracy"] is not None]
    by_seed = [
        domain_gap.rank_correlations([each for each in own if each["seed"] == seed])
        for seed in sorted({each["seed"] for each in own})
    ]
    found: dict[str, float | None] = {}
    for name in domain_gap.VALIDATORS:
        values = [each[name] for each in by_seed]
        known = [value for value in values if value is not None]
        found[name] = statistics.median(known) if known else None
    return found


def verdict(found: dict[str, Any], unit: str) -> list[str]:
    """Return in sentences what the new domain costs, what the method gains, and what would be better.

    Args:
        found: the section `domains` of results.json.
        unit: the name of one item, such as photo.
    """
    table = {row["method"]: row for row in found["rows"]}
    none, used = table[BASELINE], table[found["method"]]
    if none["accuracy"] is None:
        return [
            f"No {unit} of {found['name']} has a label, so what the gap costs and what the method gains are unknown: "
            f"label a few {unit}s of each class."
        ]
    there, several = none["accuracy"][0], len(found["seeds"]) > 1
    said = [f"The source's model has an accuracy of {words.share(found['at_home'])} at home, on the source's own test "
            f"{unit}s, and {words.share(none['accuracy'])} in {found['name']}."]  # fmt: skip
    if found["method"] != BASELINE:
        value, low, high = found["gain"]
        interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
        interval = f"{interval} over {len(found['seeds'])} splits" if several else f"95 % interval {interval}"
        outcome = "not told apart from doing nothing"
        if low > 0 or high < 0:
            outcome = ("better" if low > 0 else "worse") + (" on each of them" if several else "")
        elif several:
            outcome = "better on some and worse on others" if low < 0 < high else "on some no better than nothing"
        said.append(f"{found['method']} has {words.share(used['accuracy'])}: {100 * value:+.1f} points ({interval}), "
                    f"{outcome}.")  # fmt: skip
        lost = [row for row in found["classes"] if row["n"] >= FEWEST and row["before"] - row["after"] >= MUCH]
        if lost:
            told = (f"{row['class']} ({words.percent(row['before'])} to {words.percent(row['after'])})" for row in lost)
            said.append(f"It finds far fewer {unit}s of {words.listed(list(told))}.")
    without = [row for row in found["rows"] if not row["needs_labels"] and row["method"] != COUNTED_WORDS]
    best = max(without, key=lambda row: row["accuracy"][0])
    few = [row for row in found["rows"] if row["needs_labels"] and row["method"] != "target_labels"]
    if few and (labelled := max(few, key=lambda row: row["accuracy"][0]))["accuracy"][0] > best["accuracy"][0]:
        said.append(f"Label {found['few']}: {labelled['method']} has {words.share(labelled['accuracy'])}, more than "
                    "every method here without labels.")  # fmt: skip
    elif not few and unit == "photo":
        said.append("Three labels of each class are often worth more than any method without labels: --compare shows "
                    "it on these photos, and --method mcc+few_labels uses them.")  # fmt: skip
    if len(without) > 1 and best["accuracy"][0] <= there:
        said.append("No method without labels is better than doing nothing.")
    if counted := table.get(COUNTED_WORDS):
        better = counted["accuracy"][0] > used["accuracy"][0]
        said.append(f"Logistic regression on counted words of the source has {words.share(counted['accuracy'])}"
                    + (f", more than {found['method']}: counting words is enough." if better else "."))  # fmt: skip
    return said
