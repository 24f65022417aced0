"""Several labels for one item, such as the genres of a film: each label is there or not."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from common import errors, words
from common.data import names, sample_list
from common.data import targets as kinds

MARK = "|"  # between the labels of an item in `Sample.label`, in split.csv and in predictions.csv


def joined(labels: Sequence[str]) -> str:
    """Return labels as one text, sorted."""
    return MARK.join(sorted({label.strip() for label in labels} - {""}))


def split(label: str) -> list[str]:
    """Return the labels in a text that `joined` wrote; none for ""."""
    return label.split(MARK) if label else []


@dataclasses.dataclass(frozen=True)
class Tags(kinds.Targets):
    """None, one or several of some labels.

    Attributes:
        class_names: the labels, sorted; empty before a data set is seen.
        thresholds: the least probability at which each label is given; empty before they are chosen.
    """

    name = "tags"
    shown = ("labels",)

    class_names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "thresholds", tuple(self.thresholds))

    def seen(self, samples: Sequence[sample_list.Sample]) -> Self:
        return dataclasses.replace(
            self, class_names=tuple(sorted({one for each in samples for one in split(each.label)}))
        )

    def of(self, sample: sample_list.Sample) -> np.ndarray:
        there = set(split(sample.label))
        return np.array([name in there for name in self.class_names], "float32")

    def encoded(self, values: Any) -> tf.Tensor:
        return tf.cast(values, "float32")

    def given(self, output: np.ndarray) -> str:
        """Return the labels whose probability reaches their threshold, as one text."""
        return joined([name for name, value, least in zip(self.class_names, output, self.thresholds, strict=True)
                       if value >= least])  # fmt: skip

    def answer(self, output: np.ndarray) -> dict:
        probabilities = {f"p_{name}": float(value) for name, value in zip(self.class_names, output, strict=True)}
        return {"labels": self.given(output)} | probabilities

    @property
    def columns(self) -> tuple[str, ...]:
        return *self.shown, *(f"p_{name}" for name in self.class_names)

    def judged(self, sample: sample_list.Sample, output: np.ndarray) -> dict:
        told = self.answer(output)
        predicted = told.pop("labels")
        return {"label": sample.label, "predicted": predicted, "correct": int(predicted == sample.label)} | told

    def about(self) -> dict:
        return {"class_names": list(self.class_names)}

    @property
    def named(self) -> tuple[str, ...]:
        return self.class_names

    def summary(self, samples: Sequence[sample_list.Sample]) -> dict:
        return dict(sorted(collections.Counter(one for sample in samples for one in split(sample.label)).items()))


def respelled(samples: Sequence[sample_list.Sample], same_names: bool) -> list[sample_list.Sample]:
    """Return the samples with one spelling of each label; raise as `names.one_spelling` does."""
    spelling = names.one_spelling((one for sample in samples for one in split(sample.label)), "class", same_names)
    found = {sample.label: joined([spelling.get(one, one) for one in split(sample.label)]) for sample in samples}
    return names.respelled(samples, found, {})


def check(samples: Sequence[sample_list.Sample]) -> None:
    """Refuse data in which no item has several labels, and splits in which a label cannot be learnt or tested.

    Raises:
        UserError: the message says which label, and what to do.
    """
    if all(len(split(sample.label)) < 2 for sample in samples):
        raise errors.UserError('--multi-label: no document has several labels ("labels": ["a", "b"]); remove it')
    for side in sample_list.SPLIT_NAMES:
        own = [set(split(sample.label)) for sample in samples if sample.split == side]
        for name in sorted({one for sample in samples for one in split(sample.label)}):
            count = sum(name in each for each in own)
            if count in (0, len(own)):
                raise errors.UserError(
                    f"--multi-label: {'no' if not count else 'every'} {side} document has the label "
                    f"{words.printable(name)!r}, so it cannot be {'learnt' if side == 'train' else 'judged'}; add "
                    "documents, remove the label, or try another --split-seed"
                )
