"""Metrics of classifiers that give several labels to an item, from their probabilities; scikit-learn computes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import metrics

from common.data import documents


def evaluate(answers: Mapping[str, np.ndarray], corpus: documents.Corpus) -> dict[str, dict]:
    """Evaluate probabilities on validation and test; the threshold of each label is chosen on validation.

    Args:
        answers: `validation` and `test` → the probability of each label, (n, labels).
        corpus: the documents, with `data.tags` as targets.

    Returns:
        Side → the results of `scores`.
    """
    least = thresholds(answers["validation"], corpus.labels("validation"))
    return {side: scores(given, corpus.labels(side), corpus.class_names, least) for side, given in answers.items()}


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probability from which on to give each label, for the highest F1, (labels,); both are (n, labels)."""
    found = []
    for answers, truth in zip(probabilities.T, labels.T, strict=True):
        precision, recall, at = metrics.precision_recall_curve(truth, answers)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        found.append(float(at[np.argmax(f1[:-1])]))
    return np.array(found)


def scores(probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], least: np.ndarray) -> dict:
    """Return the metrics on one side, ready for JSON.

    Args:
        probabilities: (n, labels) floats from 0 to 1.
        labels: (n, labels), 1 where a label is there.
        class_names: the labels.
        least: their thresholds, (labels,).

    Returns:
        `n`, `micro_f1`, `macro_f1`, `exact` (the share of items with all labels right), `mean_average_precision` (the
        mean over the labels, without thresholds), `log_loss` (nats for each label of an item), and `per_class`.
    """
    given = probabilities >= least
    columns = metrics.precision_recall_fscore_support(labels, given, zero_division=0)
    rows = {
        name: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support),
               "average_precision": float(metrics.average_precision_score(labels[:, number], probabilities[:, number])),
               "threshold": float(least[number])}
        for number, (name, precision, recall, f1, support) in enumerate(zip(class_names, *columns, strict=True))
    }  # fmt: skip
    return {
        "n": len(labels),
        "micro_f1": float(metrics.f1_score(labels, given, average="micro", zero_division=0)),
        "macro_f1": float(np.mean([row["f1"] for row in rows.values()])),
        "exact": float(metrics.accuracy_score(labels, given)),
        "mean_average_precision": float(np.mean([row["average_precision"] for row in rows.values()])),
        "log_loss": log_loss(labels, probabilities),
        "per_class": rows,
    }


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean binary cross-entropy of (n, labels) probabilities, in nats."""
    inside = np.clip(np.asarray(probabilities, float), np.finfo("float32").eps, 1 - np.finfo("float32").eps)
    return float(-np.mean(labels * np.log(inside) + (1 - labels) * np.log(1 - inside)))


def always_alike(corpus: documents.Corpus) -> dict[str, Any]:
    """Evaluate the answer that needs no text: each label's share of the training documents."""
    shares = corpus.labels("train").mean(axis=0)
    answers = {side: np.tile(shares, (len(getattr(corpus, side)), 1)) for side in ("validation", "test")}
    return evaluate(answers, corpus)
