"""The features of tasks that are learnt one after the other, and those that a state holds to measure with."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable

import numpy as np
import tensorflow as tf

from common.data import sample_list, tasks
from common.features import frozen_prefix

Side = tuple[np.ndarray, list[str]]  # features (n, …) at the cut, and the names of their classes
HELD = "held"  # how the names of such arrays in a state begin


@dataclasses.dataclass(frozen=True, eq=False)
class TaskFeatures:
    """A task as methods see it.

    Attributes:
        name: its name.
        sides: side → features and classes; training items count once for each view, all in their first view first.
        views: the number of views of each training item.
    """

    name: str
    sides: dict[str, Side]
    views: int = 1

    def count(self, side: str) -> int:
        """Return the number of items on a side."""
        return len(self.sides[side][1]) // (self.views if side == "train" else 1)

    @property
    def classes(self) -> list[str]:
        """Its classes, sorted."""
        return sorted(set(self.sides["test"][1]))


def computed(prefix: frozen_prefix.FrozenPrefix, loaded: list[tasks.Task]) -> list[TaskFeatures]:
    """Return the features of tasks.

    Args:
        prefix: its splits are those of all tasks together, as `tasks.together` returns them.
        loaded: the tasks.
    """
    found: dict[str, dict[str, Side]] = {task.name: {} for task in loaded}
    views = 1
    for side in sample_list.SPLIT_NAMES:
        features, start = prefix.features(side).astype("float32"), 0
        views = len(features) if side == "train" else views
        for task in loaded:
            labels = [sample.label for sample in getattr(task.splits, side)]
            own = features[:, start : start + len(labels)]
            found[task.name][side] = np.concatenate(own), labels * len(own)
            start += len(labels)
    return [TaskFeatures(name, sides, views) for name, sides in found.items()]


def joined(parts: list[Side]) -> Side:
    """Return several sets of features and classes as one."""
    return np.concatenate([features for features, _ in parts]), [label for _, labels in parts for label in labels]


def numbers(labels: list[str], known: list[str]) -> np.ndarray:
    """Return the places of classes in the list of known ones, int64 (n,)."""
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[label] for label in labels], dtype="int64")


def accuracy(scores: np.ndarray, labels: list[str], known: list[str]) -> float:
    """Return the share of right answers; an item of a class that is not known yet is answered wrongly."""
    right = [known[number] == label for number, label in zip(scores.argmax(axis=1), labels, strict=True)]
    return float(np.mean(right))


def drawn(rows: Side, per_class: int, seed: list[int]) -> Side:
    """Return some rows of each class, drawn at random; all of a class that has no more."""
    features, labels = rows
    random, own = np.random.default_rng(seed), np.array(labels)
    places = [random.permutation(np.flatnonzero(own == name))[:per_class] for name in sorted(set(labels))]
    chosen = np.concatenate(places)
    return features[chosen], own[chosen].tolist()


def equal_shares(cells: list[Hashable]) -> np.ndarray:
    """Return weights of rows with the mean 1, float32 (n,), so that all cells count the same, however many rows."""
    counts = collections.Counter(cells)
    return np.array([len(cells) / (len(counts) * counts[cell]) for cell in cells], "float32")


def batches(arrays: tuple[np.ndarray, ...], batch_size: int, seed: int) -> tf.data.Dataset:
    """Return rows of arrays in batches, in another order in every epoch, which the seed determines."""
    tensors = [tf.constant(array) for array in arrays]
    order = tf.data.Dataset.range(len(arrays[0])).shuffle(len(arrays[0]), seed).batch(batch_size)
    return order.map(lambda places: tuple(tf.gather(tensor, places) for tensor in tensors))


# In a state ---------------------------------------------------------------------------------------------------


def to_arrays(names: list[str], held: dict[str, TaskFeatures]) -> dict[str, np.ndarray]:
    """Return the features of validation and test items as arrays for a state.

    Args:
        names: the tasks that were learnt, in order.
        held: those of which there are features.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, name in enumerate(names):
        for side in ("validation", "test") if name in held else ():
            features, labels = held[name].sides[side]
            arrays |= {f"{HELD}_{number}_{side}": features, f"{HELD}_{number}_{side}_labels": np.array(labels)}
    return arrays


def from_arrays(names: list[str], arrays: dict[str, np.ndarray]) -> dict[str, TaskFeatures]:
    """Return the tasks of which there are features in a state, by name; arguments as for `to_arrays`."""
    found = {}
    for number, name in enumerate(names):
        keys = {side: f"{HELD}_{number}_{side}" for side in ("validation", "test")}
        if keys["test"] in arrays:
            sides = {side: (arrays[key], arrays[f"{key}_labels"].tolist()) for side, key in keys.items()}
            found[name] = TaskFeatures(name, sides)
    return found
