"""Evaluation for a clinic: sensitivity and specificity, a chosen threshold, calibration, subgroups, abstention.

Pictures of one lesion are not independent evidence, so every interval goes by lesions (`intervals`). Nothing is
chosen on test data: temperature and threshold are fitted on validation data.
"""

import collections
import csv
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics

from common.data import metadata_table, sample_list
from common.evaluation import classification, intervals

SMALLEST_GROUP = 10  # a subgroup needs this many lesions with the target, and as many without it, to be meaningful
CURVE_POINTS = 200  # of the ROC curve kept in results.json
COVERAGES = np.linspace(0.1, 1.0, 37)


@dataclasses.dataclass(frozen=True)
class Side:
    """The data of one side of a split that the evaluation needs.

    Attributes:
        probabilities: (n, k) floats, rows summing to 1.
        labels: (n,) class indices.
        about: n `metadata_table.About`.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    about: list[metadata_table.About]

    @property
    def lesions(self) -> list[str]:
        """The lesion of each picture; a picture with "" is a lesion of its own."""
        return [facts.lesion for facts in self.about]

    @property
    def units(self) -> np.ndarray:
        """The number of each picture's lesion, (n,)."""
        return intervals.group_numbers(self.lesions, len(self.labels))


# Calibration --------------------------------------------------------------------------------------------------------


def calibration(before: Side, after: Side) -> dict:
    """Return log loss, calibration error and reliability diagram bins, before and after temperature scaling."""
    found = {}
    for name, side in (("before", before), ("after", after)):
        bins = classification.reliability(side.probabilities, side.labels)
        classes = range(side.probabilities.shape[1])
        found[name] = {
            "log_loss": float(metrics.log_loss(side.labels, side.probabilities, labels=classes)),
            "ece": classification.expected_calibration_error(bins),
            "ece_if_calibrated": classification.error_if_calibrated(side.probabilities, side.units),
            "reliability": bins,
        }  # fmt: skip
    return found


def per_class(side: Side, class_names: Sequence[str], seed: int = 0) -> dict[str, dict]:
    """Return metrics of each class against the rest, as [value, low, high] each.

    Returns:
        {name: {"support": pictures, "lesions": n, "sensitivity": …, "specificity": …, "auc": …,
        "average_precision": …}}; values are None for a class that does not occur. Limits of the last two are None
        with too few lesions of the class (`intervals.Bootstrap.interval`).
    """
    bootstrap, answers = intervals.Bootstrap(side.units, seed), side.probabilities.argmax(axis=1)
    table = {}
    for index, name in enumerate(class_names):
        of_class, said = side.labels == index, answers == index
        table[name] = {
            "support": int(of_class.sum()),
            "lesions": len(np.unique(side.units[of_class])),
            "sensitivity": intervals.share(said, of_class, side.units),
            "specificity": intervals.share(~said, ~of_class, side.units),
            **_ranking(bootstrap, of_class, side.probabilities[:, index]),
        }
    return table


def _ranking(bootstrap: intervals.Bootstrap, positive: np.ndarray, scores: np.ndarray) -> dict[str, list]:
    """Return AUC and average precision, each [value, low, high]."""
    return {
        "auc": bootstrap.interval(lambda weights: auc(positive, scores, weights), positive),
        "average_precision": bootstrap.interval(lambda weights: average_precision(positive, scores, weights), positive),
    }


def auc(positive: ArrayLike, scores: ArrayLike, weights: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve for many weightings at once, NaN if only one side has weight.

    scikit-learn's `roc_auc_score` takes one weighting per call; thousands of calls took most of an evaluation's time.

    Args:
        positive: (n,) booleans.
        scores: (n,) floats.
        weights: (m, n) floats, 0 or above.

    Returns:
        (m,) floats in 0–1.
    """
    hits, misses = _by_score(positive, scores, weights)
    below = np.cumsum(misses[:, ::-1], axis=1)[:, ::-1] - misses  # the weight of the negatives with a lower score
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    return np.divide((hits * (below + misses / 2)).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def average_precision(positive: ArrayLike, scores: ArrayLike, weights: np.ndarray) -> np.ndarray:
    """Return scikit-learn's average precision for many weightings at once; arguments and result as in `auc`."""
    hits, misses = _by_score(positive, scores, weights)
    called = np.cumsum(hits + misses, axis=1)
    precision = np.divide(np.cumsum(hits, axis=1), called, out=np.zeros_like(called), where=called > 0)
    total, negatives = hits.sum(axis=1), misses.sum(axis=1)
    defined = (total > 0) & (negatives > 0)
    return np.divide((hits * precision).sum(axis=1), total, out=np.full(len(total), np.nan), where=defined)


def _by_score(positive: ArrayLike, scores: ArrayLike, weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the weights of positives and of negatives at each distinct score, (m, scores), highest score first."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    descending, positive, weights = np.asarray(scores)[order], np.asarray(positive)[order], weights[:, order]
    starts = np.flatnonzero(np.append(True, descending[1:] != descending[:-1]))
    return (np.add.reduceat(weights * side, starts, axis=1) for side in (positive, ~positive))


# The target against the rest ----------------------------------------------------------------------------------------


def target_scores(side: Side, class_names: Sequence[str], targets: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each picture shows a target class (n,), and the summed probability of these classes (n,)."""
    columns = [list(class_names).index(name) for name in targets]
    return np.isin(side.labels, columns), side.probabilities[:, columns].sum(axis=1)


def choose_threshold(
    positive: np.ndarray, scores: ArrayLike, units: np.ndarray, sensitivity: float
) -> tuple[float, dict[str, float]]:
    """Return the threshold that reaches the wanted sensitivity on average; call it with validation pictures.

    A picture is positive if its score is at or above the threshold. The first picture of each lesion counts. The next
    lesion's score is equally likely to fall between any two of n scores, so the k-th highest finds k / (n + 1) on
    average, and k = ceil(s · (n + 1)) finds the share s (conformal prediction: Vovk, Gammerman and Shafer 2005; one
    score of each group: Dunn, Wasserman and Ramdas 2023). If that is more than n, k is n, the lowest score of all.
    The sensitivity at the k-th highest is distributed as Beta(k, n + 1 - k) (tolerance limits: Wilks 1941).

    Args:
        positive: (n,) booleans, at least one true.
        scores: (n,) probabilities of the target.
        units: (n,) the number of each picture's lesion.
        sensitivity: above 0, at most 1.

    Returns:
        The threshold, and what it promises for pictures of new lesions: `lesions` (n), `rank` (k), `on_average` (the
        mean sensitivity) and `probability` (of at least the wanted sensitivity).
    """
    places = np.flatnonzero(positive)
    first = places[np.unique(units[places], return_index=True)[1]]
    count = len(first)
    rank = min(count, int(np.ceil(sensitivity * (count + 1) - 1e-9)))
    promise = {
        "lesions": count,
        "rank": rank,
        "on_average": rank / (count + 1),
        "probability": float(stats.beta.sf(sensitivity, rank, count + 1 - rank)),
    }
    return float(np.sort(np.asarray(scores)[first])[-rank]), promise


def target(
    validation: Side, test: Side, class_names: Sequence[str], targets: Sequence[str], sensitivity: float, seed: int = 0
) -> dict:
    """Evaluate the target classes against the rest, at the threshold chosen on validation pictures.

    Returns:
        A dict for results.json: `classes`, `wanted_sensitivity`, `threshold`, its `promise` (as `choose_threshold`
        returns it), `validation`, `test`, and `roc` with the test curve. `validation` and `test` have sensitivity,
        specificity, positive and negative predictive value, AUC and average precision ([value, low, high]), and the
        counts.
    """
    scored = target_scores(validation, class_names, targets)
    threshold, promise = choose_threshold(*scored, validation.units, sensitivity)
    found = {"classes": list(targets), "wanted_sensitivity": sensitivity, "threshold": threshold, "promise": promise}
    for name, side in (("validation", validation), ("test", test)):
        positive, scores = target_scores(side, class_names, targets)
        called, bootstrap, units = scores >= threshold, intervals.Bootstrap(side.units, seed), side.units
        found[name] = {
            "sensitivity": intervals.share(called, positive, units),
            "specificity": intervals.share(~called, ~positive, units),
            "positive_predictive_value": intervals.share(positive, called, units),
            "negative_predictive_value": intervals.share(~positive, ~called, units),
            **_ranking(bootstrap, positive, scores),
            "true_positives": int((called & positive).sum()),
            "false_negatives": int((~called & positive).sum()),
            "false_positives": int((called & ~positive).sum()),
            "true_negatives": int((~called & ~positive).sum()),
        }
    positive, scores = target_scores(test, class_names, targets)
    false_positives, sensitivities, _ = metrics.roc_curve(positive, scores)
    chosen = np.unique(np.linspace(0, len(sensitivities) - 1, CURVE_POINTS).round().astype(int))
    found["roc"] = {"false_positive_rate": false_positives[chosen].round(5).tolist(),
                    "sensitivity": sensitivities[chosen].round(5).tolist()}  # fmt: skip
    return found


# Whom it holds for --------------------------------------------------------------------------------------------------


def subgroups(
    side: Side, class_names: Sequence[str], targets: Sequence[str], threshold: float
) -> dict[str, list[dict]]:
    """Return results by sex, age band and body site, the largest group first.

    A group is `too_small` if fewer than `SMALLEST_GROUP` of its lesions have the target, or as few do not have it.

    Returns:
        {"sex": [{"value", "pictures", "lesions", "target_lesions", "accuracy", "sensitivity", "specificity",
        "too_small"}, …], "age": …, "site": …}; the three results are [value, low, high].
    """
    positive, scores = target_scores(side, class_names, targets)
    called, right = scores >= threshold, side.probabilities.argmax(axis=1) == side.labels
    units = side.units
    values = {
        "sex": [facts.sex for facts in side.about],
        "age": [metadata_table.age_band(facts.age) for facts in side.about],
        "site": [facts.site for facts in side.about],
    }
    table: dict[str, list[dict]] = {}
    for name, column in values.items():
        table[name] = []
        for value, _ in collections.Counter(column).most_common():
            inside = np.array([other == value for other in column])
            with_target, without = (len(np.unique(units[inside & of])) for of in (positive, ~positive))
            table[name].append({
                "value": value,
                "pictures": int(inside.sum()),
                "lesions": len(np.unique(units[inside])),
                "target_lesions": with_target,
                "accuracy": intervals.share(right, inside, units),
                "sensitivity": intervals.share(called, inside & positive, units),
                "specificity": intervals.share(~called, inside & ~positive, units),
                "too_small": min(with_target, without) < SMALLEST_GROUP,
            })  # fmt: skip
    return table


def abstention(side: Side) -> dict[str, list[float]]:
    """Return accuracy and balanced accuracy on the most confident share of the pictures, for each `coverage`.

    Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500 (risk-coverage curve).
    """
    order = np.argsort(-side.probabilities.max(axis=1), kind="stable")
    right = (side.probabilities.argmax(axis=1) == side.labels)[order]
    labels = side.labels[order]
    curve: dict[str, list[float]] = {"coverage": [], "accuracy": [], "balanced_accuracy": []}
    for coverage in COVERAGES:
        answered = max(1, round(coverage * len(order)))
        recalls = [right[:answered][labels[:answered] == label].mean() for label in np.unique(labels[:answered])]
        curve["coverage"].append(round(float(coverage), 4))
        curve["accuracy"].append(float(right[:answered].mean()))
        curve["balanced_accuracy"].append(float(np.mean(recalls)))
    return curve


def by_lesion(side: Side) -> Side:
    """Return one row per lesion: the mean probabilities of its pictures, with the facts about the first picture.

    Raises:
        ValueError: pictures of one lesion have two labels.
    """
    units = side.units
    _, first, counts = np.unique(units, return_index=True, return_counts=True)
    if (side.labels != side.labels[first][units]).any():
        raise ValueError("labels: pictures of one lesion have two diagnoses")
    sums = np.zeros((len(first), side.probabilities.shape[1]))
    np.add.at(sums, units, side.probabilities)
    return Side(sums / counts[:, None], side.labels[first], [side.about[place] for place in first])


# All of it ----------------------------------------------------------------------------------------------------------


HEADLINE = "balanced_accuracy"  # most pictures have the common diagnosis, so the accuracy tells little
evaluate = classification.evaluate


def clinical(
    validation: Side, test: Side, scaled: tuple[Side, Side], class_names: Sequence[str], targets: Sequence[str],
    sensitivity: float, seed: int = 0,
) -> dict:  # fmt: skip
    """Return the `clinic` section of results.json.

    Args:
        validation, test: sides with calibrated probabilities.
        scaled: the test pictures before and after temperature scaling, with nothing else changed.
        class_names: k strings.
        targets: names of the classes to find; they are evaluated together.
        sensitivity: the wanted sensitivity, above 0, at most 1.
        seed: seed of the bootstrap.
    """
    chosen = target(validation, test, class_names, targets, sensitivity, seed)
    lesions = by_lesion(test)
    return {
        "calibration": calibration(*scaled),
        "per_class": per_class(test, class_names, seed),
        "target": chosen,
        "lesion_level": classification.scores(lesions.probabilities, lesions.labels, class_names, seed=seed),
        "subgroups": subgroups(test, class_names, targets, chosen["threshold"]),
        "abstention": abstention(test),
    }


def leak(honest: dict, leaky: Any, about: dict[str, metadata_table.About]) -> dict:
    """Compare the results of a split by picture with those of a split by lesion.

    Args:
        honest: the `test` section of the run that was split by lesion.
        leaky: a `finished_run.Result` of a run with the same settings that was split by picture.
        about: path → facts about the picture.

    Returns:
        `lesion` and `random`: the results of the two splits. `lesions_on_both_sides`: the share of the random split's
        test pictures whose lesion is in its training data. `seen` and `unseen`: its results on these and on the other
        test pictures. `seconds`: the duration of the second run.
    """
    train = {about[sample.path].lesion for sample in sample_list.read_csv(leaky.directory / "split.csv")
             if sample.split == "train"}  # fmt: skip
    with open(leaky.directory / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seen = [row for row in rows if row["lesion"] and row["lesion"] in train]
    unseen = [row for row in rows if not row["lesion"] or row["lesion"] not in train]
    names = ("n", "accuracy", "accuracy_interval", "balanced_accuracy", "balanced_accuracy_interval", "macro_auc")
    return {
        "lesion": {name: honest[name] for name in names},
        "random": {name: leaky.results["test"][name] for name in names},
        "lesions_on_both_sides": len(seen) / len(rows),
        "seen": _scores(seen),
        "unseen": _scores(unseen),
        "seconds": leaky.results["cost"]["seconds"],
    }


def _scores(rows: list[dict[str, str]]) -> dict:
    """Return accuracy and balanced accuracy of rows of predictions.csv."""
    if not rows:
        return {"n": 0, "accuracy": None, "balanced_accuracy": None}
    labels, answers = [row["label"] for row in rows], [row["predicted"] for row in rows]
    # This is the mean recall of the classes that occur: balanced_accuracy_score warns if an answer is another class.
    recall = metrics.recall_score(labels, answers, labels=sorted(set(labels)), average="macro", zero_division=0)
    accuracy = metrics.accuracy_score(labels, answers)
    return {"n": len(rows), "accuracy": float(accuracy), "balanced_accuracy": float(recall)}
