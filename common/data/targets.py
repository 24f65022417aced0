"""Targets: what is learnt from an item.

They are stored in the splits of a run and in its saved model. A further kind is a subclass of `Targets`.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from common import errors, startup
from common.data import sample_list

KINDS: dict[str, type[Targets]] = {}  # by name


@dataclasses.dataclass(frozen=True)
class Targets:
    """One kind of target; the fields of a subclass describe a data set and are saved with a model.

    Attributes:
        name: the name of the kind in a saved model.
        shown: the keys of an `answer` that `predict` prints.
        too_little, needed: texts of messages about samples that are not `enough`.
    """

    name: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    too_little: ClassVar[str] = "no samples are"
    needed: ClassVar[str] = "there is nothing to learn from"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        KINDS[cls.name] = cls

    def seen(self, samples: Sequence[sample_list.Sample]) -> Self:
        """Return the targets with what a model must know of all usable samples of all sides of a data set."""
        return self

    def enough(self, samples: Sequence[sample_list.Sample]) -> bool:
        """Return whether the samples are enough to learn from."""
        return bool(samples)

    def strata(self, sample: sample_list.Sample) -> str:
        """Return the stratum of a sample; every side gets its share of each. "" if there is only one."""
        return ""

    def of(self, sample: sample_list.Sample) -> Any:
        """Return the target of a sample, a number or an array.

        Raises:
            UserError: the sample's label is not a valid target.
        """
        raise NotImplementedError

    def encoded(self, values: Any) -> tf.Tensor:
        """Return a tensor of targets for the loss, from a tensor or array of values of `of`."""
        raise NotImplementedError

    def answer(self, output: np.ndarray) -> dict:
        """Return the meaning of a model's output as column name → plain number or string."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of an answer."""
        return self.shown

    def judged(self, sample: sample_list.Sample, output: np.ndarray) -> dict:
        """Return an answer with the true target, by the column names of predictions.csv."""
        raise NotImplementedError

    def summary(self, samples: Sequence[sample_list.Sample]) -> dict:
        """Return counts of one side, for results.json."""
        return {"n": len(samples)}

    def about(self) -> dict:
        """Return the description of the targets in results.json and in an export."""
        return dataclasses.asdict(self)

    @property
    def named(self) -> tuple[str, ...]:
        """The names of the classes; empty if there are none."""
        return ()

    def described(self) -> dict:
        """Return what a model's output is, for programs that use an export; the classes there are `class_names`."""
        return {}

    def array(self, samples: Sequence[sample_list.Sample]) -> np.ndarray:
        """Return the targets of samples, (n, …)."""
        return np.array([self.of(sample) for sample in samples])

    def saved(self) -> dict:
        """Return the kind and the fields, for `restored`."""
        return {"name": self.name} | dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Classes(Targets):
    """One of several classes; the index of a class is its position in the list.

    Attributes:
        class_names: sorted; empty before a data set is seen.
    """

    name = "classes"
    shown = ("label", "probability")
    too_little = "fewer than two classes are"
    needed = "a classifier needs at least two classes"

    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))

    def seen(self, samples: Sequence[sample_list.Sample]) -> Self:
        return dataclasses.replace(self, class_names=tuple(sorted({sample.label for sample in samples})))

    def enough(self, samples: Sequence[sample_list.Sample]) -> bool:
        return len({sample.label for sample in samples}) > 1

    def strata(self, sample: sample_list.Sample) -> str:
        return sample.label

    def of(self, sample: sample_list.Sample) -> int:
        return self.class_names.index(sample.label)

    def array(self, samples: Sequence[sample_list.Sample]) -> np.ndarray:
        index = {name: number for number, name in enumerate(self.class_names)}
        return np.array([index[sample.label] for sample in samples], dtype="int64")

    def encoded(self, values: Any) -> tf.Tensor:
        return tf.one_hot(values, len(self.class_names))

    def answer(self, output: np.ndarray) -> dict:
        best = int(output.argmax())
        probabilities = {f"p_{name}": float(value) for name, value in zip(self.class_names, output, strict=True)}
        return {"label": self.class_names[best], "probability": float(output[best])} | probabilities

    @property
    def columns(self) -> tuple[str, ...]:
        return *self.shown, *(f"p_{name}" for name in self.class_names)

    def judged(self, sample: sample_list.Sample, output: np.ndarray) -> dict:
        told = self.answer(output)
        predicted, confidence = told.pop("label"), told.pop("probability")
        correct = int(predicted == sample.label)
        return {"label": sample.label, "predicted": predicted, "confidence": confidence, "correct": correct} | told

    def about(self) -> dict:
        return {"class_names": list(self.class_names)}

    @property
    def named(self) -> tuple[str, ...]:
        return self.class_names

    def described(self) -> dict:
        return {"is": "probabilities of class_names"}

    def summary(self, samples: Sequence[sample_list.Sample]) -> dict:
        return dict(sorted(collections.Counter(sample.label for sample in samples).items()))


CLASSES = Classes()  # before a data set is seen


def restored(saved: dict) -> Targets:
    """Return targets from the result of `Targets.saved`.

    Raises:
        UserError: this version does not know these targets.
    """
    name = saved.get("name") if isinstance(saved, dict) else None
    if isinstance(name, str) and name not in KINDS and name.isidentifier():
        with contextlib.suppress(errors.UserError):
            startup.by_name(f"data.{name}")
    if not isinstance(name, str) or name not in KINDS:
        raise errors.UserError(f"this version has no targets {name!r}; it has {', '.join(sorted(KINDS))}")
    try:
        return KINDS[name](**{key: value for key, value in saved.items() if key != "name"})
    except TypeError as error:
        raise errors.UserError(f"targets {name}: not in this version's format ({error})") from error
