"""A finished run's model on new data, beside its own test: the same metrics, and whether a drop is more than chance."""

import math
from collections.abc import Sequence

import numpy as np

from common import words
from common.evaluation import classification, intervals

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")


def evaluate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    units: Sequence[str],
    test: dict,
    trained: dict[str, int],
    target: dict | None = None,
    seed: int = 0,
) -> dict:
    """Return all numbers about new data, ready for JSON.

    Args:
        probabilities: (n, k) floats, what the model says.
        labels: (n,) class indices.
        class_names: k strings.
        units: n strings; items of one unit are resampled together.
        test: the run's own test result over the same classes, as `same_classes` gives it.
        trained: class → training items.
        target: what the run wants to find, its `classes` and `threshold`; None for nothing.
        seed: of the bootstrap.

    Returns:
        A dict with `result` and `test` (as `classification.scores`), `difference` (metric → [new minus test, low,
        high]), `baseline` (always the largest training class) and, where there is one, the `target`.
    """
    result = classification.scores(probabilities, labels, class_names, units, seed)
    found = {
        "result": result,
        "test": test,
        "difference": {
            name: difference(result[name], result[f"{name}_interval"], test[name], test[f"{name}_interval"])
            for name in COMPARED
        },
        "baseline": largest_class(labels, class_names, trained),
    }
    if target:
        found["target"] = at_threshold(probabilities, labels, class_names, units, target, seed)
    return found


def same_classes(test: dict, probabilities, labels, class_names, groups, present: Sequence[str], seed: int = 0) -> dict:
    """Return the test result over the classes that the new data has, so that like is compared with like.

    Args:
        test: over all classes; returned as it is where none is missing.
        probabilities, labels, groups: of the run's test items.
        class_names: of the model.
        present: those of the new data.
        seed: of the bootstrap.
    """
    here = np.isin(labels, [class_names.index(name) for name in present])
    if here.all() or not here.any():
        return test
    groups = [group for group, inside in zip(groups, here, strict=True) if inside]
    return classification.scores(probabilities[here], labels[here], class_names, groups, seed)


def difference(new: float, new_limits: Sequence[float], old: float, old_limits: Sequence[float]) -> list[float]:
    """Return the difference of one metric between two independent samples, [new - old, low, high], at 95 %.

    The limits come from those of the two metrics ("square and add": Newcombe 1998, method 10; Zou and Donner 2008): the
    distances to the limits that lie towards each other add as standard errors do. So the difference respects what
    each interval respects, groups and the exact interval of a perfect score, where a bootstrap would see no noise.
    """
    gain = new - old
    below = math.hypot(max(0.0, new - new_limits[0]), max(0.0, old_limits[1] - old))
    above = math.hypot(max(0.0, new_limits[1] - new), max(0.0, old - old_limits[0]))
    return [gain, gain - below, gain + above]


def largest_class(labels, class_names: Sequence[str], trained: dict[str, int]) -> dict:
    """Return what always answering the largest training class would have on the new data."""
    largest = max(class_names, key=lambda name: trained.get(name, 0))
    hits = labels == list(class_names).index(largest)
    return {
        "class": largest,
        "accuracy": float(hits.mean()),
        "balanced_accuracy": float(hits.any() / len(np.unique(labels))),
    }


def at_threshold(probabilities, labels, class_names: Sequence[str], units, target: dict, seed: int = 0) -> dict:
    """Return sensitivity and specificity at the run's own threshold, [value, low, high] each; None of nothing.

    Args:
        probabilities, labels, class_names, units, seed: as for `evaluate`.
        target: has `classes`, and `threshold` for their probabilities together.
    """
    columns = [list(class_names).index(name) for name in target["classes"]]
    positive, called = np.isin(labels, columns), probabilities[:, columns].sum(axis=1) >= target["threshold"]
    bootstrap = intervals.Bootstrap(intervals.group_numbers(units, len(labels)), seed)
    return {
        "classes": list(target["classes"]),
        "threshold": target["threshold"],
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
        "sensitivity": bootstrap.share(called, positive),
        "specificity": bootstrap.share(~called, ~positive),
    }


def verdict(found: dict, unit: str) -> list[str]:
    """Return what the numbers mean, in sentences: whether the drop is more than chance, and what limits the comparison.

    Args:
        found: what `evaluate` returns, with `data` from `labelled.Labelled.summary`.
        unit: one item: photo.
    """
    result, test, data = found["result"], found["test"], found["data"]
    units = min(each.get("interval_units", intervals.FEW_UNITS) for each in (result, test))
    enough = units >= intervals.FEW_UNITS
    said = [_compared("accuracy", found["difference"]["accuracy"], enough)]
    if _outcome(found["difference"]["accuracy"]) != _outcome(found["difference"]["balanced_accuracy"]):
        # The mix of classes is another: each alone would mislead.
        said.append(_compared("balanced accuracy", found["difference"]["balanced_accuracy"], enough))
    if not enough:
        said.append(
            f"With only {units} independent {unit}s or groups on one side, the intervals are far too narrow to tell "
            "whether that is chance."
        )
    if data["missing"]:
        said.append(f"It has no {unit} of {words.listed(data['missing'])}; both columns are over the other classes.")
    if data["test_samples_of_the_run"]:
        said.append(
            f"{words.plural(data['test_samples_of_the_run'], unit)} of it stood in the run's own test too, so the two "
            "results are not independent."
        )
    if data["groups_of_the_run"]:
        said.append("Some of its groups are named like groups that the run has learnt from.")
    if data["files_of_the_run_gone"]:
        said.append(
            f"{words.plural(data['files_of_the_run_gone'], unit)} of the run cannot be read any more: whether they are "
            "here too, nobody knows."
        )
    baseline, present = found["baseline"], len(result["per_class"]) - len(data["missing"])
    if present > 1 and result["accuracy_interval"][0] <= baseline["accuracy"]:
        said.append(
            f"Always answering {baseline['class']} would be right for {words.percent(baseline['accuracy'])}: nothing "
            "shows that the model is better here."
        )
    return said


def _outcome(limits: Sequence[float]) -> int:
    """Return -1 for worse and 1 for better than chance explains, else 0."""
    _, low, high = limits
    return (low > 0) - (high < 0)


def _compared(metric: str, limits: Sequence[float], enough: bool) -> str:
    """Return a sentence on one difference; from too few independent items it draws no conclusion."""
    gain, low, high = limits
    compared = f"{words.points(gain)} {'lower' if gain < 0 else 'higher'} than in" if gain else "the same as in"
    chance = ", more than chance explains" if _outcome(limits) else "; that may be chance"
    interval = f"95 % interval of the difference {100 * low:+.1f} to {100 * high:+.1f} points"
    return f"The {metric} is {compared} the run's test{chance if gain and enough else ''} ({interval})."
