"""Targets: what is learnt from an item.

The splits of a run and its saved model carry them. A further kind is a subclass of `Targets`.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from common import errors

KINDS: dict[str, type["Targets"]] = {}  # by their names


@dataclasses.dataclass(frozen=True)
class Targets:
    """One kind of target; the fields of a subclass are what it knows of a data set, and are saved with a model.

    Attributes:
        name: of the kind, as a saved model has it.
        shown: the keys of an `answer` that `predict` prints.
        too_little, needed: what is said of samples that are not `enough`.
    """

    name: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    too_little: ClassVar[str] = "no samples are"
    needed: ClassVar[str] = "there is nothing to learn from"

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        KINDS[cls.name] = cls

    def seen(self, samples: Sequence) -> Self:
        """The targets of a data set: what a model must know of all of them.

        Args:
            samples: all usable `sample_list.Sample`s, on their sides.
        """
        return self

    def enough(self, samples: Sequence) -> bool:
        """Whether anything can be learnt from samples."""
        return bool(samples)

    def strata(self, sample) -> str:
        """What a sample is stratified by: every side gets its share of each. "" for all alike."""
        return ""

    def of(self, sample) -> Any:
        """The target of a sample, a number or an array.

        Raises:
            UserError: its label is none.
        """
        raise NotImplementedError

    def encoded(self, values):
        """A tensor of targets as a loss takes them, of a tensor or array of what `of` gives."""
        raise NotImplementedError

    def answer(self, output: np.ndarray) -> dict:
        """What a model's output says, as plain numbers and strings, by the names of columns."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of an answer."""
        return self.shown

    def judged(self, sample, output: np.ndarray) -> dict:
        """An answer beside the truth, by the names of the columns of predictions.csv."""
        raise NotImplementedError

    def summary(self, samples: Sequence) -> dict:
        """What one side has, for results.json."""
        return {"n": len(samples)}

    def about(self) -> dict:
        """What results.json and an export say of the targets."""
        return dataclasses.asdict(self)

    def array(self, samples: Sequence) -> np.ndarray:
        """The targets of samples, (n, …)."""
        return np.array([self.of(sample) for sample in samples])

    def saved(self) -> dict:
        """Its kind and fields, for `restored`."""
        return {"name": self.name} | dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Classes(Targets):
    """One of several classes; a class's index is its place in the list.

    Attributes:
        class_names: sorted; none before a data set is seen.
    """

    name = "classes"
    shown = ("label", "probability")
    too_little = "fewer than two classes are"
    needed = "a classifier needs at least two classes"

    class_names: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "class_names", tuple(self.class_names))

    def seen(self, samples):
        return Classes(tuple(sorted({sample.label for sample in samples})))

    def enough(self, samples):
        return len({sample.label for sample in samples}) > 1

    def strata(self, sample):
        return sample.label

    def of(self, sample):
        return self.class_names.index(sample.label)

    def array(self, samples):
        index = {name: number for number, name in enumerate(self.class_names)}
        return np.array([index[sample.label] for sample in samples], dtype="int64")

    def encoded(self, values):
        return tf.one_hot(values, len(self.class_names))

    def answer(self, output):
        best = int(output.argmax())
        probabilities = {f"p_{name}": float(value) for name, value in zip(self.class_names, output, strict=True)}
        return {"label": self.class_names[best], "probability": float(output[best])} | probabilities

    @property
    def columns(self):
        return *self.shown, *(f"p_{name}" for name in self.class_names)

    def judged(self, sample, output):
        told = self.answer(output)
        predicted, confidence = told.pop("label"), told.pop("probability")
        correct = int(predicted == sample.label)
        return {"label": sample.label, "predicted": predicted, "confidence": confidence, "correct": correct} | told

    def about(self):
        return {"class_names": list(self.class_names)}

    def summary(self, samples):
        return dict(sorted(collections.Counter(sample.label for sample in samples).items()))


CLASSES = Classes()  # of a data set that was not seen yet


def restored(saved: dict) -> Targets:
    """Targets from what `Targets.saved` gives.

    Raises:
        UserError: this version does not have them.
    """
    name = saved.get("name") if isinstance(saved, dict) else None
    if not isinstance(name, str) or name not in KINDS:
        raise errors.UserError(f"{name!r} are no targets of this version; there are {', '.join(sorted(KINDS))}")
    try:
        return KINDS[name](**{key: value for key, value in saved.items() if key != "name"})
    except TypeError as error:
        raise errors.UserError(f"targets {name}: not as this version writes them ({error})") from error
