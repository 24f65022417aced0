"""What a run is likely to suffer from, in words: overfitting, underfitting, too few epochs or validation items.

A sentence needs evidence beyond noise. Where nothing is said, nothing was found, which is no proof of health.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import words

GAP = 0.10  # between training and validation; a smaller one is usual, and no reason to act
WIDE = 0.10  # half of the interval of a validation score; a choice among settings seldom differs by more
FALL = 0.02  # of the validation loss over the last fifth of the epochs
ALIKE = 0.02  # range of the probabilities of a class over all items; it is above 0.5 for a head that knows something
HELD = 0.5  # of the stage's highest rate; below, the schedule ends the training anyway

Scores = dict[str, Any]


def found(
    results: Scores, history: Sequence[dict], unit: str, metric: str = "accuracy", said_below: int = 0
) -> list[str]:
    """Return a sentence or more for each symptom of a finished run; an empty list if there is none.

    Args:
        results: the content of results.json.
        history: the epochs of the run's model, each with `val_loss` without penalties, and `stage`, `learning_rate`.
        unit: the name of one item, such as photo.
        metric: `accuracy` or `balanced_accuracy`.
        said_below: with fewer validation items than this, their number has been told already.
    """
    validation, train = results["validation"], results.get("train")
    chooses = "domains" not in results  # there, validation is the source's, and nothing is chosen by it
    told = []
    alike = _all_alike(validation, unit, metric)
    if train:
        under = _underfitting(train, results, unit, metric)
        over = _overfitting(train, validation, unit, metric) if chooses else ""
        told += [over, " ".join(filter(None, [under, alike]))]
    few = _few_items(validation, unit, metric, said_below) if chooses else ""
    told += ["" if train else alike, _too_few_epochs(history), few]
    return [each for each in told if each]


def _all_alike(validation: Scores, unit: str, metric: str) -> str:
    """Look at how far the answers depend on the item at all, if they are not better than guessing."""
    spread, limits = validation.get("spread"), validation.get(f"{metric}_interval")
    supports = [row["support"] for row in validation["per_class"].values()]
    guessing = max(supports) / sum(supports) if metric == "accuracy" else 1 / len(supports)
    if spread is None or spread >= ALIKE or not limits or limits[0] > guessing:
        return ""
    return (
        f"The head has learnt nothing from these features: whatever {unit} it sees, it gives nearly the same "
        f"probabilities (on validation, those of a class differ by at most {spread:.1g}). Look at some {unit}s of each "
        "class first. If people can tell them apart, take another network (--backbone) or layer (--last-layer), or "
        "fine-tune."
    )


def _overfitting(train: Scores, validation: Scores, unit: str, metric: str) -> str:
    """Compare training with validation: the training score is known, that of validation is a sample."""
    limits, gap = validation.get(f"{metric}_interval"), train[metric] - validation[metric]
    if not limits or gap < GAP or train[metric] <= limits[1]:
        return ""
    low, high = (100 * (train[metric] - limit) for limit in reversed(limits))
    return (
        f"Likely overfitting: the {words.words(metric)} is {words.percent(train[metric])} on the training {unit}s and "
        f"{words.points(gap)} lower on validation (95 % interval {low:.1f} to {high:.1f} points). More training "
        f"{unit}s usually help most; augmentation, dropout or a penalty on the weights may help too. The gap does no "
        f"harm by itself, so keep a change only if the {words.words(metric)} on validation rises."
    )


def _underfitting(train: Scores, results: Scores, unit: str, metric: str) -> str:
    """Compare the training score with that of always answering one class."""
    limits = train.get(f"{metric}_interval")
    supports = {name: row["support"] for name, row in train["per_class"].items() if row["support"]}
    if not limits or len(supports) < 2:
        return ""
    largest = max(supports, key=lambda name: supports[name])
    is_share = metric == "accuracy"
    guessing = supports[largest] / sum(supports.values()) if is_share else 1 / len(supports)
    score = f"even on its own training {unit}s, the {words.words(metric)} is {words.percent(train[metric])}"
    advice = (
        f"Train longer or at a higher rate, unfreeze more layers, or take a larger network or weaker penalties. If the "
        f"classes cannot be seen on these {unit}s, no setting helps; look at some of them first."
    )
    always = f"always answering {largest} has {words.percent(guessing)}"
    if limits[0] <= guessing:
        return (
            f"Likely underfitting: {score}, which is not better than guessing by more than noise ({always}). {advice}"
        )
    if limits[1] < (1 + guessing) / 2:
        return f"Perhaps underfitting: {score}, not half of the way from guessing ({always}) to 100 %. {advice}"
    return ""


def _too_few_epochs(history: Sequence[dict]) -> str:
    """Look at the last stage: whether its validation loss still fell, at a rate that had not faded."""
    stages = [list(rows) for _, rows in itertools.groupby(history, key=lambda row: row.get("stage", ""))]
    rows = [row for row in stages[-1] if "val_loss" in row] if stages else []
    losses = np.array([row["val_loss"] for row in rows])
    last = max(2, len(rows) // 5)
    if len(rows) < 2 * last or not np.isfinite(losses).all() or losses.argmin() < len(rows) - 1:
        return ""
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    fall = 1 - losses[-1] / losses[-1 - last] if losses[-1 - last] > 0 else 0
    if fall < FALL or rates and rates[-1] < HELD * max(rates):
        return ""
    stage = f" of the stage {words.words(rows[-1]['stage'])}" if rows[-1].get("stage") else ""
    return (
        f"Perhaps too few epochs: the validation loss{stage} was lowest in the last of {len(rows)} epochs, and fell by "
        f"{words.percent(fall)} in the last {last}. Give it more epochs."
    )


def _few_items(validation: Scores, unit: str, metric: str, said_below: int) -> str:
    limits = validation.get(f"{metric}_interval")
    if not limits or validation["n"] < said_below or (limits[1] - limits[0]) / 2 <= WIDE:
        return ""
    low, high = (100 * limit for limit in limits)
    return (
        f"Few validation {unit}s: with {validation['n']:,}, the {words.words(metric)} on validation is known to "
        f"{low:.0f}–{high:.0f} % only (95 % interval), so choices made by it, such as the epoch or the strategy, are "
        f"partly luck. Take more (--validation-fraction), or compare over several seeds."
    )
