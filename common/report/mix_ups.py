"""Which classes a run takes for which: the confusion matrix, and the most frequent wrong answers."""

from typing import Any

import numpy as np

from common.report import figures, page
from common.runs import finished_run

MOST_CLASSES = 36  # in a matrix; with more, its names are too small to read
FEW, MANY = 8, 30  # listed with a matrix, and in its place


def confusions(run: finished_run.FinishedRun) -> dict[str, Any]:
    """Return `confusion`, a figure or None for too many classes, and `mix_ups`, the most frequent wrong answers.

    A wrong answer has the true class, the predicted class, its count and the share of the true class.
    """
    matrix, names = np.array(run.results["test"]["confusion_matrix"]), run.class_names
    drawn = len(names) <= MOST_CLASSES
    alt = f"Confusion matrix of {len(names)} classes; the most frequent mix-ups are listed below"
    figure = page.figure(run, "confusion_matrix", alt, figures.confusion_matrix, matrix, names) if drawn else None
    totals, wrong = matrix.sum(axis=1), matrix * (1 - np.eye(len(matrix), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[: FEW if drawn else MANY]
    found = [
        {"true": names[row], "predicted": names[column], "count": int(wrong[row, column]),
         "share": wrong[row, column] / totals[row]}
        for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[row, column]
    ]  # fmt: skip
    return {"confusion": figure, "mix_ups": found}
