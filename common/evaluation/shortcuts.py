"""Shortcuts: how far the files' properties alone, such as size and compression, tell the classes.

If they do, a network may have learnt them in place of what the items show, and a test on files of the same kind cannot
tell. Geirhos et al. 2020, Shortcut Learning in Deep Neural Networks (https://arxiv.org/abs/2004.07780).
"""

from __future__ import annotations

import collections
import statistics
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import words
from common.data import sample_list, splits
from common.evaluation import intervals

FOLDS = 5
# Of balanced accuracy, the least for a warning. What an item shows also decides the size of its file and the colour of
# its border: on photos without any fault, these properties are up to 0.15 above chance (docs/measurements.md).
ABOVE_CHANCE = {"file": 0.1, "content": 0.25}
OF_CONTENT = frozenset({
    "size in bytes", "bytes per pixel", "red of the border", "green of the border", "blue of the border",
    "characters", "words", "lines",
})  # fmt: skip
MOST_ITEMS = 20_000  # a sample of more is enough
MOST_KINDS = 12  # the most frequent values of a property in words; only these have columns
LISTED, CLASSES_LISTED = 3, 5  # properties and classes in the report
IMPORTANT = 0.1  # the share of the tree's gain from which on a property is named


def evaluate(data: splits.Splits, seed: int = 0) -> dict[str, dict]:
    """Return how well a small decision tree on the files' properties alone tells the classes.

    The tree is tested on five folds of whole groups, of all items: nothing is chosen by its result. It does not see
    names of files or folders. Classes of fewer than five groups are left out.

    Args:
        data: a run's items with their properties; their targets are classes.
        seed: fixes the folds.

    Returns:
        `file`, with the properties that say nothing about the content, and `content`, with all (`OF_CONTENT`). Each has
        `balanced_accuracy` and `accuracy` of the tree, the `interval` of the first, `chance`, `n`, and `is_warning`.
        `properties` are those that the tree uses most (`name`, `share` of its gain, `per_class`: the typical values);
        `classes` are those that it finds best (`name`, `recall`, `interval`). Empty if there is nothing to compare or
        the comparison fails, which a line on stderr says.
    """
    try:
        return _compared(data, seed)
    except Exception as error:  # the training has ended well, and this must not change it
        print(f"shortcuts: not looked for ({type(error).__name__}: {error})", file=sys.stderr)
        return {}


def _compared(data: splits.Splits, seed: int) -> dict[str, dict]:
    samples = [sample for side in sample_list.SPLIT_NAMES for sample in getattr(data, side)]
    if not data.class_names or not all(data.properties.get(sample.path) for sample in samples):
        return {}
    unit_of = splits.units_of(samples, data.content_of)
    samples = _enough([data.targets.strata(sample) for sample in samples], samples, unit_of, seed)
    labels, classes = _numbered([data.targets.strata(sample) for sample in samples])
    if len(classes) < 2:
        return {}
    units = np.array(_numbered([unit_of[sample.path] for sample in samples])[0])
    properties = [data.properties[sample.path] for sample in samples]
    found = {}
    for kind, left_out in (("file", OF_CONTENT), ("content", frozenset())):
        kept = [{name: value for name, value in each.items() if name not in left_out} for each in properties]
        rows, columns = table(kept)
        if columns:
            answers, gain = cross_validated(rows, np.array(labels), units, seed)
            summary = _summary(answers, np.array(labels), units, classes, kept, _by_property(gain, columns))
            above = summary["balanced_accuracy"] - summary["chance"]
            is_warning = above >= ABOVE_CHANCE[kind] and summary["interval"][0] > summary["chance"]
            found[kind] = summary | {"is_warning": is_warning}
    return found


def _enough(
    labels: Sequence[str], samples: list[sample_list.Sample], unit_of: dict[str, str], seed: int
) -> list[sample_list.Sample]:
    """Return the samples of classes with a group for each fold, at most `MOST_ITEMS` of them."""
    groups = collections.defaultdict(set)
    for label, sample in zip(labels, samples, strict=True):
        groups[label].add(unit_of[sample.path])
    kept = [sample for label, sample in zip(labels, samples, strict=True) if len(groups[label]) >= FOLDS]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(kept))[:MOST_ITEMS])
    return [kept[place] for place in chosen]


def _numbered(names: Sequence[str]) -> tuple[list[int], list[str]]:
    known = sorted(set(names))
    number_of = {name: number for number, name in enumerate(known)}
    return [number_of[name] for name in names], known


def table(properties: Sequence[dict[str, float | str]]) -> tuple[np.ndarray, list[str]]:
    """Return properties as numbers, (n, columns) floats, and the name of each column's property.

    A property in words has a column for each of its frequent values. A missing number becomes -1, which no property
    has; a missing word counts as one more value.
    """
    columns, names = [], []
    for name in dict.fromkeys(name for each in properties for name in each):
        values = [each.get(name) for each in properties]
        if any(isinstance(value, str) for value in values):
            frequent = collections.Counter(values).most_common(MOST_KINDS)
            new = [[float(value == kind) for value in values] for kind, _ in frequent] if len(frequent) > 1 else []
        else:
            new = [[-1.0 if value is None else float(value) for value in values]]
        columns += new
        names += [name] * len(new)
    return np.array(columns).T.reshape(len(properties), len(names)), names


def cross_validated(
    rows: np.ndarray, labels: np.ndarray, units: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a small tree's answer for each row, from folds of whole units, and the mean gain of each column.

    Args:
        rows: (n, columns) floats.
        labels, units: (n,) integers: the classes and the units.
        seed: fixes the folds.
    """
    from sklearn import model_selection, tree  # here: the import takes a second, too long for --help

    folds = model_selection.StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    model = tree.DecisionTreeClassifier(
        max_depth=5, min_samples_leaf=5, class_weight="balanced", random_state=seed
    )  # fmt: skip
    answers, gain = np.zeros_like(labels), np.zeros(rows.shape[1])
    with warnings.catch_warnings(action="ignore"):  # a fold may lack a class, whose groups are large
        for train, test in folds.split(rows, labels, units):
            if len(test):
                answers[test] = model.fit(rows[train], labels[train]).predict(rows[test])
                gain += model.feature_importances_ / FOLDS
    return answers, gain


def _by_property(gain: np.ndarray, columns: Sequence[str]) -> dict[str, float]:
    """Return property → its share of the gain, the largest first."""
    shares: dict[str, float] = {}
    for name, value in zip(columns, gain, strict=True):
        shares[name] = shares.get(name, 0.0) + float(value)
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def _summary(
    answers: np.ndarray, labels: np.ndarray, units: np.ndarray, classes: list[str], properties: Sequence[dict],
    gain: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    of_class = labels[:, None] == np.arange(len(classes))
    right = of_class & (answers == labels)[:, None]
    hits, sizes = (intervals.unit_sums(each.astype(float), units) for each in (right, of_class))
    recalls = [intervals.share(right[:, column], of_class[:, column], units) for column in range(len(classes))]
    balanced, chance = float(np.mean([recall or 0 for recall, _, _ in recalls])), 1 / len(classes)
    interval = intervals.mean_share(hits, sizes)
    found: list[dict[str, Any]] = [
        {"name": name, "recall": round(recall or 0, 4), "interval": [round(low or 0, 4), round(high or 0, 4)]}
        for name, (recall, low, high) in zip(classes, recalls, strict=True)
        if (low or 0) > chance
    ]
    used = [name for name, share in gain.items() if share >= IMPORTANT][:LISTED]
    return {
        "balanced_accuracy": round(balanced, 4),
        "accuracy": round(float((answers == labels).mean()), 4),
        "interval": [round(limit, 4) for limit in interval],
        "chance": round(chance, 4),
        "n": len(labels),
        "properties": [
            {"name": name, "share": round(gain[name], 3), "per_class": _typical(name, properties, labels, classes)}
            for name in used
        ],
        "classes": sorted(found, key=lambda one: -one["recall"])[:CLASSES_LISTED],
    }


def _typical(name: str, properties: Sequence[dict], labels: np.ndarray, classes: list[str]) -> dict[str, str]:
    """Return class → the median of a property, or its most frequent value with its share."""
    found = {}
    for number, label in enumerate(classes):
        values = [each.get(name) for each, own in zip(properties, labels, strict=True) if own == number]
        numbers = [value for value in values if isinstance(value, float | int)]
        if any(isinstance(value, str) for value in values) or not numbers:
            value, count = collections.Counter(values).most_common(1)[0]
            found[label] = f"{value or 'none'} ({count / len(values):.0%})"
        else:
            found[label] = f"{statistics.median(numbers):,.4g}" if len(numbers) > len(values) / 2 else "none"
    return found


def warning(found: dict[str, dict]) -> dict[str, Any] | None:
    """Return the part of the result of `evaluate` that is a warning; of two, the one on the files alone."""
    return next((each for each in found.values() if each["is_warning"]), None)


def sentences(found: dict[str, dict], unit: str) -> list[str]:
    """Return what to tell users about the result of `evaluate`, and what to do about a warning; empty for no result."""
    told = [_told(kind, each) for kind, each in found.items()]
    doubtful = warning(found)
    if not doubtful:
        return told
    used = words.listed([each["name"] for each in doubtful["properties"]])
    best = words.listed([words.printable(each["name"]) for each in doubtful["classes"]])
    told.append(f"the tree uses {used}" + (f"; it finds {best} best" if best else ""))
    if doubtful is found.get("file"):
        advice = f"crop, scale and save the {unit}s of all classes alike"
    else:
        advice = f"look whether the backgrounds or sources of the {unit}s differ between the classes"
    told.append(
        f"the network may have learnt these, which the test on such {unit}s cannot show; {advice}, and test it on "
        "others with the command evaluate"
    )
    return told


def shown(results: dict[str, Any], unit: str) -> dict[str, Any]:
    """Return what pages show of results.json: `sentences`, the `warning` or None, and its `headline`."""
    found = results.get("shortcuts", {})
    doubtful = warning(found)
    headline = _told("file" if doubtful is found.get("file") else "content", doubtful) if doubtful else ""
    return {"sentences": sentences(found, unit), "warning": doubtful, "headline": headline}


def lines(results: dict[str, Any], unit: str) -> list[str]:
    """Return the lines for the terminal, which has only a warning."""
    told = shown(results, unit)
    return [f"shortcut? {sentence}" for sentence in told["sentences"]] if told["warning"] else []


def _told(kind: str, result: dict[str, Any]) -> str:
    low, high = result["interval"]
    what = "the files' properties alone"
    if kind == "content":
        what += ", with their sizes in bytes, lengths and border colours,"
    right, chance = f"{result['balanced_accuracy']:.0%}", f"{result['chance']:.0%}"
    return f"{what} would have {right} right (95 % interval {low:.0%}–{high:.0%}; guessing has {chance})"
