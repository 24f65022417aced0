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
FEW_WRONG = 5  # units with a wrong answer; below, resamples of macro F1 seldom reach the truth
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

    The intervals are those of `intervals`, at 95 %. That of the accuracy is Clopper and Pearson's, and that of the
    balanced accuracy joins those of the recalls (`intervals.mean_share`). That of macro F1 is a bootstrap. It is None
    if a class has fewer than `intervals.FEW_UNITS` units, or fewer than `FEW_WRONG` units have a wrong answer. That of
    the log loss uses Student's t (`intervals.mean`).

    Args:
        probabilities: (n, k) floats, rows summing to 1 within 1e-3.
        labels: (n,) integers in 0..k-1, the true classes.
        class_names: k different strings.
        groups: n strings or None. Samples of one group (a patient, a video) are not independent evidence, so intervals
            go by groups. A sample with "" is a group of its own.
        seed: seed of what is drawn at random: resamples, and labels for `ece_if_calibrated`.
        resamples: number of draws.

    Returns:
        A dict with `n`, `accuracy`, `balanced_accuracy`, `macro_precision`, `macro_recall`, `macro_f1`,
        `macro_auc` (one against the rest), `log_loss` (nats), `ece`, and `ece_if_calibrated` (as `error_if_calibrated`
        returns it). It also has `accuracy_interval`, `balanced_accuracy_interval`, `macro_f1_interval` and
        `log_loss_interval` (each [low, high] or None), and `interval_units`. `spread` is the largest range that the
        probabilities of a class have over all samples; it is 0 if all answers are alike. `per_class` is {name:
        {precision, recall, f1, auc, support}}, and `confusion_matrix` has k rows of k counts, one row per true class.

    Raises:
        ValueError: wrong shapes, labels out of range, or rows that are not probabilities.
    """
    probabilities, labels = _checked(probabilities, labels, class_names)
    predicted = probabilities.argmax(axis=1)
    per_class = _per_class(probabilities, labels, predicted, class_names)
    found: dict = {
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
    units = intervals.group_numbers(groups, len(labels))
    found["ece_if_calibrated"] = error_if_calibrated(probabilities, units, seed, resamples)
    found |= _intervals(probabilities, labels, units, seed, resamples)
    found["interval_units"] = int(units.max()) + 1
    found["spread"] = float(np.ptp(probabilities, axis=0).max())
    matrix = metrics.confusion_matrix(labels, predicted, labels=range(len(class_names))).tolist()
    return {**found, "per_class": per_class, "confusion_matrix": matrix}


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


def error_if_calibrated(
    probabilities: np.ndarray, units: np.ndarray, seed: int = 0, draws: int = 1000, bins: int = CALIBRATION_BINS
) -> list[float]:
    """Return the calibration error of perfectly calibrated answers: [mean, limit that 95 % of the draws stay below].

    The error is never 0 on a finite number of samples, so a measured one has to be compared with these. Whether each
    answer is right is drawn with its own confidence (consistency resampling: Bröcker and Smith 2007, Weather and
    Forecasting 22, 651-661). Samples of one unit share the random number, as pictures of one lesion share a diagnosis.

    Args:
        probabilities: (n, k) floats.
        units: (n,) the number of each sample's unit.
        seed: fixes the draws.
        draws: number of draws.
        bins: as for `reliability`.
    """
    confidence = np.asarray(probabilities, float).max(axis=1)
    bin_numbers = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    generator, in_bins, errors = np.random.default_rng(seed), np.eye(bins)[bin_numbers], []
    block = max(1, intervals.BLOCK_COUNTS // len(confidence))
    for start in range(0, draws, block):
        numbers = generator.random((min(block, draws - start), units.max() + 1))[:, units]
        errors.append(np.abs((numbers < confidence) @ in_bins - confidence @ in_bins).sum(axis=1) / len(confidence))
    drawn = np.concatenate(errors)
    return [float(drawn.mean()), float(np.quantile(drawn, intervals.CONFIDENCE_LEVEL))]


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
    """Return the intervals of the metrics as {metric_interval: [low, high] or None}."""
    num_classes, sums = probabilities.shape[1], _unit_sums(probabilities, labels, group_numbers)
    hits, true, losses = sums[:, :num_classes], sums[:, num_classes : 2 * num_classes], sums[:, -1]
    sizes = true.sum(axis=1)
    low, high = intervals.proportions(hits.sum(axis=1, keepdims=True), sizes[:, None])
    return {
        "accuracy_interval": [float(low[0]), float(high[0])],
        "balanced_accuracy_interval": intervals.mean_share(hits, true),
        "macro_f1_interval": _macro_f1_interval(sums, num_classes, seed, resamples),
        "log_loss_interval": intervals.mean(losses, sizes, positive=True),
    }


def _macro_f1_interval(sums: np.ndarray, num_classes: int, seed: int, resamples: int) -> list[float] | None:
    """Return the bootstrap interval of macro F1; None with too few units of a class, or of wrong answers.

    One matrix product per block of resamples gives all of them: (resamples, units) counts times (units, columns) sums.
    """
    hits, true = sums[:, :num_classes], sums[:, num_classes : 2 * num_classes]
    of_class, wrong = (true > 0).sum(axis=0), (hits.sum(axis=1) < true.sum(axis=1)).sum()
    if of_class[of_class > 0].min() < intervals.FEW_UNITS or wrong < FEW_WRONG:
        return None
    draws = [_macro_f1(counts @ sums, num_classes) for counts in intervals.bootstrap_counts(len(sums), seed, resamples)]
    return intervals.limits(np.concatenate(draws), len(sums))


def _unit_sums(probabilities: np.ndarray, labels: np.ndarray, group_numbers: np.ndarray) -> np.ndarray:
    """Return for each unit: hits per class, true per class, predicted per class, and the summed log loss."""
    one_hot = np.eye(probabilities.shape[1])
    true, guessed = one_hot[labels], one_hot[probabilities.argmax(axis=1)]
    likelihood = probabilities[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(likelihood, np.finfo(float).eps))  # clipped as scikit-learn's log_loss does
    return intervals.unit_sums(np.hstack([true * guessed, true, guessed, losses[:, None]]), group_numbers)


def _macro_f1(sums: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the macro F1 of each resample, (resamples,), over the classes that it drew."""
    hits, true, guessed = (sums[:, num_classes * part : num_classes * (part + 1)] for part in range(3))
    f1 = 2 * hits / np.maximum(true + guessed, 1)
    return np.where(true > 0, f1, 0).sum(axis=1) / (true > 0).sum(axis=1)
