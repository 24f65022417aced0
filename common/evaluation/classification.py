"""Test metrics from one array of probabilities; the caller reads the test set once.

The metrics are scikit-learn's where it has them; calibration is implemented here.
"""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from common.data import splits as data_splits
from common.evaluation import intervals

Names = Sequence[str]
CALIBRATION_BINS = 15  # the number of bins in Guo et al. (2017)
HEADLINE = "accuracy"  # the metric that strategies are chosen by and that a report begins with


def evaluate(
    probabilities: np.ndarray, splits: data_splits.Splits, side: str, seed: int = 0, groups: Names | None = None
) -> dict:
    """Return every metric of a classifier on one side of a split, as `scores` does.

    Args:
        probabilities: (n, k) floats, the classifier's output for the side's samples, in their order.
        splits: the splits with the labels, class names and groups.
        side: `train`, `validation` or `test`.
        seed: seed of the bootstrap.
        groups: groups of the samples; default: those of the split.
    """
    groups = splits.groups(side) if groups is None else groups
    return scores(probabilities, splits.labels(side), splits.class_names, groups, seed)


def scores(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Names, groups: Names | None = None,
    seed: int = 0, resamples: int = 2000,
) -> dict:  # fmt: skip
    """Return every metric of a classifier on one set of samples, ready for JSON.

    Macro averages run over the classes that occur in `labels`. A class that occurs but is never predicted has
    precision and F1 0. A class that does not occur has support 0 and None (null in JSON) for all other metrics.

    The intervals are 95 % percentile bootstrap intervals (Efron, 1979). If all answers are right, or all are wrong,
    every resample is the same and the bootstrap would claim certainty ([1, 1]). In that case the interval is that of
    Clopper and Pearson (1934) on the number of resampled units (groups, or samples without groups). It is exact for the
    accuracy. For balanced accuracy and macro F1 it is a substitute that suits classes of similar size.

    Args:
        probabilities: (n, k) floats, rows summing to 1 within 1e-3.
        labels: (n,) integers in 0..k-1, the true classes.
        class_names: k different strings.
        groups: n strings or None. Samples of one group (a patient, a video) are resampled together, since
            they are not independent evidence. A sample with "" is a group of its own.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.

    Returns:
        A dict with `n`, `accuracy`, `balanced_accuracy`, `macro_precision`, `macro_recall`, `macro_f1`,
        `macro_auc` (one against the rest), `log_loss` (nats) and `ece`. It also has `accuracy_interval`,
        `balanced_accuracy_interval`, `macro_f1_interval` and `log_loss_interval` (each [low, high]), and
        `interval_units`. `per_class` is {name: {precision, recall, f1, auc, support}}, and `confusion_matrix` has k
        rows of k counts, one row per true class.

    Raises:
        ValueError: wrong shapes, labels out of range, or rows that are not probabilities.
    """
    probabilities, labels = _checked(probabilities, labels, class_names)
    predicted = probabilities.argmax(axis=1)
    per_class = _per_class(probabilities, labels, predicted, class_names)
    found = {
        "n": len(labels),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": _macro(per_class, "recall"),
        "macro_precision": _macro(per_class, "precision"),
        "macro_recall": _macro(per_class, "recall"),
        "macro_f1": _macro(per_class, "f1"),
        "macro_auc": _macro(per_class, "auc"),
        "log_loss": float(metrics.log_loss(labels, probabilities, labels=range(len(class_names)))),
        "ece": expected_calibration_error(reliability(probabilities, labels)),
    }
    limits = _intervals(probabilities, labels, intervals.group_numbers(groups, len(labels)), seed, resamples)
    matrix = metrics.confusion_matrix(labels, predicted, labels=range(len(class_names))).tolist()
    units = len(np.unique(intervals.group_numbers(groups, len(labels))))
    return {**found, **limits, "interval_units": units, "per_class": per_class, "confusion_matrix": matrix}


def guessing(results: dict) -> dict:
    """Return the test scores of a classifier that always answers the largest training class.

    `results` is the content of results.json. The returned dict has `class`, `accuracy` and `balanced_accuracy`.
    """
    supports = {name: row["support"] for name, row in results["test"]["per_class"].items()}
    counts = results["data"].get("per_split", {}).get("train", supports)
    largest = max(supports, key=lambda name: counts.get(name, 0))
    return {
        "class": largest,
        "accuracy": supports[largest] / max(1, sum(supports.values())),
        "balanced_accuracy": 1 / max(1, sum(support > 0 for support in supports.values())),
    }


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> dict[str, list]:
    """Compare confidence with accuracy in equal-width bins of the top label's probability (Guo et al., 2017).

    Args:
        probabilities: (n, k) floats.
        labels: (n,) integers, the true classes.
        bins: number of bins; bin m holds the confidences in (m / bins, (m + 1) / bins].

    Returns:
        A dict of lists: `edges` (bins + 1), `counts`, and `confidence` and `accuracy` (means; None for an empty bin).
    """
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    bin_numbers = np.digitize(confidence, edges[1:-1], right=True)
    counts = np.bincount(bin_numbers, minlength=bins)
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "confidence": _bin_means(bin_numbers, confidence, counts),
        "accuracy": _bin_means(bin_numbers, correct, counts),
    }


def _bin_means(bin_numbers: np.ndarray, values: np.ndarray, counts: np.ndarray) -> list[float | None]:
    sums = np.bincount(bin_numbers, weights=values, minlength=len(counts))
    return [float(total / count) if count else None for total, count in zip(sums, counts, strict=True)]


def expected_calibration_error(bins: dict[str, list]) -> float:
    """Return the mean gap between confidence and accuracy over the bins of `reliability`, weighted by their counts."""
    columns = zip(bins["counts"], bins["confidence"], bins["accuracy"], strict=True)
    gaps = [count * abs(accuracy - confidence) for count, confidence, accuracy in columns if count]
    return float(sum(gaps) / sum(bins["counts"]))


def _checked(probabilities: np.ndarray, labels: np.ndarray, class_names: Names) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and labels as arrays; the probabilities are scaled so that each row sums to 1."""
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    if probabilities.ndim != 2 or probabilities.shape[0] == 0 or probabilities.shape[1] < 2:
        raise ValueError(f"probabilities: expected (n > 0, k > 1), got shape {probabilities.shape}")
    num_samples, num_classes = probabilities.shape
    if labels.shape != (num_samples,):
        raise ValueError(f"labels: expected shape ({num_samples},), got {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels: expected integers in 0..{num_classes - 1}")
    if len(class_names) != num_classes or len(set(class_names)) != num_classes:
        raise ValueError(f"class_names: expected {num_classes} different names, got {list(class_names)}")
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise ValueError("probabilities: expected finite values, none below 0")
    totals = probabilities.sum(axis=1, keepdims=True)
    if np.abs(totals - 1).max() > 1e-3:
        found = f"{totals.min():.4g} to {totals.max():.4g}"
        raise ValueError(f"probabilities: each row must sum to 1, found {found}")
    return probabilities / totals, labels


def _per_class(probabilities: np.ndarray, labels: np.ndarray, predicted: np.ndarray, class_names: Names) -> dict:
    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(len(class_names)), zero_division=0
    )
    table = {}
    for index, (name, precision, recall, f1, support) in enumerate(zip(class_names, *columns, strict=True)):
        values = {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "auc": _auc(labels == index, probabilities[:, index]),
        }
        table[name] = {**(values if support else dict.fromkeys(values)), "support": int(support)}
    return table


def _auc(is_class: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the area under the ROC curve, None if all samples or no samples are of the class."""
    return None if is_class.all() or not is_class.any() else float(metrics.roc_auc_score(is_class, scores))


def _macro(per_class: dict[str, dict], key: str) -> float | None:
    values = [row[key] for row in per_class.values() if row[key] is not None]
    return float(np.mean(values)) if values else None


def _intervals(
    probabilities: np.ndarray, labels: np.ndarray, group_numbers: np.ndarray, seed: int, resamples: int
) -> dict:
    """Return bootstrap intervals as {metric_interval: [low, high]}.

    Every metric here is a function of sums over samples. One matrix product per block of resamples therefore gives
    all of them: (resamples, units) counts times (units, columns) sums.
    """
    unit_sums = _unit_sums(probabilities, labels, group_numbers)
    draws = [
        _metrics_of_sums(counts @ unit_sums, probabilities.shape[1])
        for counts in intervals.bootstrap_counts(len(unit_sums), seed, resamples)
    ]
    found = {
        f"{name}_interval": np.quantile(np.concatenate([draw[name] for draw in draws]), intervals.TAILS).tolist()
        for name in draws[0]
    }
    right = int((probabilities.argmax(axis=1) == labels).sum())
    if right in (0, len(labels)):
        exact = intervals.exact_interval(len(unit_sums) if right else 0, len(unit_sums))
        share_names = ["accuracy", "balanced_accuracy", "macro_f1"]
        found.update({f"{name}_interval": list(exact) for name in share_names})
    return found


def _unit_sums(probabilities: np.ndarray, labels: np.ndarray, group_numbers: np.ndarray) -> np.ndarray:
    """Return for each unit: hits per class, true per class, predicted per class, and the summed log loss."""
    one_hot = np.eye(probabilities.shape[1])
    true, guessed = one_hot[labels], one_hot[probabilities.argmax(axis=1)]
    likelihood = probabilities[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(likelihood, np.finfo(float).eps))  # clipped as scikit-learn's log_loss does
    columns = np.hstack([true * guessed, true, guessed, losses[:, None]])
    sums = np.zeros((group_numbers.max() + 1, columns.shape[1]))
    np.add.at(sums, group_numbers, columns)
    return sums


def _metrics_of_sums(sums: np.ndarray, num_classes: int) -> dict[str, np.ndarray]:
    """Return the metrics of each resample, (resamples,) each; macro averages run over the classes that it drew."""
    hits, true, guessed = (sums[:, num_classes * part : num_classes * (part + 1)] for part in range(3))
    present = true > 0
    size = true.sum(axis=1)
    recall = hits / np.where(present, true, 1)
    f1 = 2 * hits / np.maximum(true + guessed, 1)
    return {
        "accuracy": hits.sum(axis=1) / size,
        "balanced_accuracy": recall.sum(axis=1) / present.sum(axis=1),
        "macro_f1": np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1),
        "log_loss": sums[:, -1] / size,
    }
