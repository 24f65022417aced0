"""Comparison of a model's results on new data with those of its run's test: metrics, differences, a verdict."""

import math
from collections.abc import Sequence

import numpy as np

from common import words
from common.evaluation import classification, intervals

COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")


def evaluate(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], units: Sequence[str], test: dict,
    trained: dict[str, int], target: dict | None = None, seed: int = 0,
) -> dict:  # fmt: skip
    """Return all results on new data, ready for JSON.

    Args:
        probabilities: (n, k) floats, the output of the model.
        labels: (n,) class indices.
        class_names: k strings.
        units: n strings; items of one unit are not independent evidence.
        test: the run's own test result over the same classes, as `same_classes` returns it.
        trained: class → number of training items.
        target: the `classes` that the run is meant to find, and their `threshold`; None if there is no target.
        seed: seed of the bootstrap.

    Returns:
        A dict with `result` and `test` (as `classification.scores`), `difference` (metric → [new minus test, low,
        high]) and `baseline` (always answering the largest training class). With a target it also has `target`.
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
        found["target"] = at_threshold(probabilities, labels, class_names, units, target)
    return found


def same_classes(
    test: dict, probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], groups: Sequence[str],
    present: Sequence[str], seed: int = 0,
) -> dict:  # fmt: skip
    """Return the test result over the classes of the new data only, so that both results are comparable.

    Args:
        test: the result over all classes; returned unchanged if no class is missing.
        probabilities, labels, groups: those of the run's test items.
        class_names: the classes of the model.
        present: the classes of the new data.
        seed: seed of the bootstrap.
    """
    here = np.isin(labels, [class_names.index(name) for name in present])
    if here.all() or not here.any():
        return test
    groups = [group for group, inside in zip(groups, here, strict=True) if inside]
    return classification.scores(probabilities[here], labels[here], class_names, groups, seed)


def difference(
    new: float, new_limits: Sequence[float] | None, old: float, old_limits: Sequence[float] | None
) -> list[float | None]:
    """Return the difference of one metric between two independent samples, [new - old, low, high], at 95 %.

    The limits are None if one of the two intervals is.

    The limits are computed from the two intervals ("square and add": Newcombe 1998, method 10; Zou and Donner 2008).
    The distances to the limits that lie towards each other are combined as standard errors are. So the difference
    accounts for groups, and for the noise of a perfect score.
    """
    gain = new - old
    if new_limits is None or old_limits is None:
        return [gain, None, None]
    below = math.hypot(max(0.0, new - new_limits[0]), max(0.0, old_limits[1] - old))
    above = math.hypot(max(0.0, new_limits[1] - new), max(0.0, old - old_limits[0]))
    return [gain, gain - below, gain + above]


def largest_class(labels: np.ndarray, class_names: Sequence[str], trained: dict[str, int]) -> dict:
    """Return the scores on the new data of always answering the largest training class."""
    largest = max(class_names, key=lambda name: trained.get(name, 0))
    hits = labels == list(class_names).index(largest)
    return {
        "class": largest,
        "accuracy": float(hits.mean()),
        "balanced_accuracy": float(hits.any() / len(np.unique(labels))),
    }


def at_threshold(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], units: Sequence[str], target: dict
) -> dict:  # fmt: skip
    """Return sensitivity and specificity at the run's own threshold, [value, low, high] each; None if undefined.

    Args:
        probabilities, labels, class_names, units: as for `evaluate`.
        target: contains `classes`, and `threshold` for the sum of their probabilities.
    """
    columns = [list(class_names).index(name) for name in target["classes"]]
    positive, called = np.isin(labels, columns), probabilities[:, columns].sum(axis=1) >= target["threshold"]
    numbers = intervals.group_numbers(units, len(labels))
    return {
        "classes": list(target["classes"]),
        "threshold": target["threshold"],
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
        "sensitivity": intervals.share(called, positive, numbers),
        "specificity": intervals.share(~called, ~positive, numbers),
    }


def verdict(found: dict, unit: str) -> list[str]:
    """Return the verdict in sentences: whether the drop is more than chance explains, and the comparison's limits.

    Args:
        found: the result of `evaluate`, with `data` from `labelled.Labelled.summary`.
        unit: the name of one item, such as photo.
    """
    result, data = found["result"], found["data"]
    said = [_compared("accuracy", found["difference"]["accuracy"])]
    if _outcome(found["difference"]["accuracy"]) != _outcome(found["difference"]["balanced_accuracy"]):
        # The mix of classes differs, so one of the two alone would mislead.
        said.append(_compared("balanced accuracy", found["difference"]["balanced_accuracy"]))
    if data["missing"]:
        said.append(
            f"The new data has no {unit} of {words.listed(data['missing'])}; both columns cover the other classes only."
        )
    if data["test_samples_of_the_run"]:
        said.append(
            f"{words.plural(data['test_samples_of_the_run'], unit)} of the new data also occurred in the run's own "
            "test, so the two results are not independent."
        )
    if data["groups_of_the_run"]:
        said.append("Some groups of the new data have the names of groups that the run was trained on.")
    if data["files_of_the_run_gone"]:
        said.append(
            f"{words.plural(data['files_of_the_run_gone'], unit)} of the run can no longer be read, so it is unknown "
            "whether the new data contains them."
        )
    baseline, present = found["baseline"], len(result["per_class"]) - len(data["missing"])
    if present > 1 and result["accuracy_interval"][0] <= baseline["accuracy"]:
        said.append(
            f"Always answering {baseline['class']} would be right for {words.percent(baseline['accuracy'])}; the "
            "results do not show that the model is better."
        )
    return said


def _outcome(limits: Sequence[float]) -> int:
    """Return -1 if the metric is worse than chance explains, 1 if it is better, otherwise 0."""
    _, low, high = limits
    return (low > 0) - (high < 0)


def _compared(metric: str, limits: Sequence[float]) -> str:
    """Return a sentence about one difference."""
    gain, low, high = limits
    compared = f"{words.points(gain)} {'lower' if gain < 0 else 'higher'} than in" if gain else "the same as in"
    chance = ", more than chance explains" if _outcome(limits) else "; that may be chance"
    interval = f"95 % interval of the difference {100 * low:+.1f} to {100 * high:+.1f} points"
    return f"The {metric} is {compared} the run's test{chance if gain else ''} ({interval})."
