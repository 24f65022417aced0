"""Who trains, who chooses, who judges: splits by class and by group, made from lists of samples.

A group (a patient, a camera, a burst of the same scene) is never divided, and neither are copies of one file.
"""

import collections
import dataclasses
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Self

import numpy as np
from scipy import sparse
from sklearn.utils import class_weight

from common import errors
from common.data import pipeline, sample_list
from common.data import targets as kinds
from common.media import medium as media

DEFAULT_FRACTIONS = {"validation": 0.15, "test": 0.15}
DEMO_FRACTIONS = {"validation": 0.2, "test": 0.6}  # 20 photos of each class train, enough to test on stay


@dataclasses.dataclass(frozen=True, kw_only=True)
class Splits:
    """Who trains, who chooses, who judges.

    Attributes:
        source: the `--data` that it came from.
        medium: what the items are.
        targets: what is learnt from them.
        train, validation, test: lists of samples.
        quality: what was found of the data, such as `file_checks.summarise`, plus `skipped`, for results.json.
        content_of: path → what copies share: the sha256 of the file.
    """

    source: str
    medium: media.Medium
    targets: kinds.Targets
    train: list[sample_list.Sample]
    validation: list[sample_list.Sample]
    test: list[sample_list.Sample]
    quality: dict
    content_of: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, source, medium, targets, samples, quality, content_of, **further) -> Self:
        """The splits that samples with their sides make; arguments as the attributes."""
        sides = {name: [sample for sample in samples if sample.split == name] for name in sample_list.SPLIT_NAMES}
        return cls(
            source=source, medium=medium, targets=targets.seen(samples), **sides, quality=quality,
            content_of=content_of, **further,
        )  # fmt: skip

    @property
    def class_names(self) -> tuple[str, ...]:
        """A class's index is its place here; none where the targets are no classes."""
        return getattr(self.targets, "class_names", ())

    def contents(self, split: str) -> list[str]:
        """What the files of a split's items hold, as `content_of` names it."""
        return [self.content_of[sample.path] for sample in getattr(self, split)]

    def labels(self, split: str) -> np.ndarray:
        """The targets of a split's items, (n, …): of classes their indices, int64 (n,)."""
        return self.targets.array(getattr(self, split))

    def paths(self, split: str) -> list[str]:
        """The files of a split's items."""
        return [sample.path for sample in getattr(self, split)]

    def groups(self, split: str) -> list[str]:
        """The groups of a split's items, "" where one has none."""
        return [sample.group for sample in getattr(self, split)]

    def generators(self, resize, preprocess, batch_size, seed, augmentation=None, first_epoch=0, balanced=False):
        """`train_generator, val_generator, test_generator`; arguments as in `common.data.pipeline`."""
        shape = {"encode": self.targets.encoded, "resize": resize, "batch_size": batch_size, "medium": self.medium}
        train_generator = pipeline.training_batches(
            self.paths("train"), self.labels("train"), **shape, seed=seed, preprocess=preprocess,
            augmentation=augmentation, first_epoch=first_epoch, balanced=balanced,
        )  # fmt: skip
        val_generator, test_generator = (
            pipeline.evaluation_batches(self.paths(split), self.labels(split), **shape, preprocess=preprocess)
            for split in ("validation", "test")
        )
        return train_generator, val_generator, test_generator

    def counts(self, split: str = "train") -> np.ndarray:
        """How many items of each class a split has, int64 (classes,)."""
        return np.bincount(self.labels(split), minlength=len(self.class_names))

    def class_weights(self) -> dict[int, float]:
        """`class_weight` for `fit`, with which every class counts alike: n / (classes x items of the class)."""
        labels = self.labels("train")
        present = np.unique(labels)
        weights = class_weight.compute_class_weight("balanced", classes=present, y=labels)
        return dict(zip(present.tolist(), weights.tolist(), strict=True))

    def parts(self, column: str) -> dict[str, Self]:
        """One `Splits` for each domain, task or client: the samples of each value of a column, on their sides.

        Every part has the same targets. `parts.by_column` gives each its share of every side, whole groups on one
        side of all parts together.

        Args:
            column: of the samples' `about`.

        Raises:
            UserError: no such column, or a part has nobody to train, validate or test with.
        """
        found: dict[str, dict[str, list]] = {}
        for side in sample_list.SPLIT_NAMES:
            for sample in getattr(self, side):
                value = value_of(sample, column)
                found.setdefault(value, {name: [] for name in sample_list.SPLIT_NAMES})[side].append(sample)
        for value, sides in found.items():
            if missing := [side for side, samples in sides.items() if not samples]:
                raise errors.UserError(f"no sample of {column} {value!r} is in {' and in '.join(missing)}")
        return {
            value: dataclasses.replace(
                self, train=sides["train"], validation=sides["validation"], test=sides["test"], quality={}
            )
            for value, sides in sorted(found.items())
        }

    def summary(self) -> dict:
        """The `data` section of results.json."""
        sides = {name: getattr(self, name) for name in sample_list.SPLIT_NAMES}
        sizes = {name: len(side) for name, side in sides.items()}
        per_split = {name: self.targets.summary(side) for name, side in sides.items()}
        return {"source": self.source} | self.targets.about() | sizes | {"per_split": per_split} | self.quality


def value_of(sample: sample_list.Sample, column: str) -> str:
    """A sample's value in a further column.

    Raises:
        UserError: it has none.
    """
    if not sample.about.get(column):
        raise errors.UserError(
            f"{sample.path}: no {column}; the data needs a column {column!r} with a value everywhere"
        )
    return sample.about[column]


def seed_of(config) -> int:
    """That of the split: its own, or the run's."""
    return config.seed if config.split_seed is None else config.split_seed


def fractions_of(config, default: dict[str, float]) -> tuple[float, float]:
    """The fractions to validate and to test with, those of the data where the flags name none."""
    return config.validation_fraction or default["validation"], config.test_fraction or default["test"]


# Splits -------------------------------------------------------------------------------------------------------


Strata = Callable[[sample_list.Sample], str]


def by_label(sample: sample_list.Sample) -> str:
    """A sample's class, to stratify by."""
    return sample.label


def split(
    samples: list[sample_list.Sample], units: dict[str, str], seed: int, validation_fraction: float,
    test_fraction: float, by_group: bool = False, strata: Strata = by_label,
) -> list[sample_list.Sample]:  # fmt: skip
    """Puts every item on one side: stratified by class, whole groups, copies of one file together.

    scikit-learn's `StratifiedGroupKFold` makes folds of equal size only, and may leave a rare class out of a
    fold. Here every side gets its fraction of every class and at least one group of each; groups are dealt out
    from the largest to the smallest (Sechidis et al. 2011, iterative stratification, uses the same greedy need).

    Splits that the source gives are kept; a missing validation or test side is taken from the training photos.

    Args:
        samples: usable photos.
        units: path → name of the unit that must stay on one side (`units_of`).
        seed: fixes the split.
        validation_fraction, test_fraction: of all photos, each in 0–1.
        by_group: the fractions are of the units instead: one with four photos counts as much as one with one.
        strata: gives what is called a class here.

    Raises:
        UserError: a class has too few groups for three sides, or the fractions leave nothing to train on.
    """
    if validation_fraction + test_fraction >= 1:
        raise errors.UserError("--validation-fraction and --test-fraction must leave something to train on")
    given = {sample.split for sample in samples}
    if given == {""}:
        fractions = {"train": 1 - validation_fraction - test_fraction, "validation": validation_fraction,
                     "test": test_fraction}  # fmt: skip
        return _deal_out(samples, units, seed, fractions, by_group, strata)
    if "" in given or "train" not in given:
        raise errors.UserError("--data gives splits to some files only, or none to train on; give all or none")
    for side, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if side not in given:
            print(f"data: no {side} split given, so {fraction:.0%} of the training files are taken", file=sys.stderr)
            train = [sample for sample in samples if sample.split == "train"]
            shares = {"train": 1 - fraction, side: fraction}
            dealt = {sample.path: sample for sample in _deal_out(train, units, seed, shares, by_group, strata)}
            samples = [dealt.get(sample.path, sample) for sample in samples]
    return samples


def units_of(samples: list[sample_list.Sample], contents: dict[str, str]) -> dict[str, str]:
    """Path → the unit that must stay on one side: photos that share a group or their content, also through others.

    Args:
        samples: the photos.
        contents: path → sha256 of the file.
    """
    keys = [[("content", contents[sample.path]), *([("group", sample.group)] if sample.group else [])]
            for sample in samples]  # fmt: skip
    unit_of = connected((key for each in keys for key in each), (each for each in keys if len(each) > 1))
    return {sample.path: str(unit_of[each[0]]) for sample, each in zip(samples, keys, strict=True)}


def connected(items: Iterable[Hashable], pairs: Iterable[Sequence]) -> dict:
    """Item → the number of what hangs together by pairs, also through others.

    Args:
        items: all there are; repeated ones count once.
        pairs: of items.
    """
    number = {item: place for place, item in enumerate(dict.fromkeys(items))}
    links = [(number[first], number[second]) for first, second in pairs]
    rows, columns = np.array(links, int).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(links)), (rows, columns)), shape=(len(number), len(number)))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    return dict(zip(number, labels.tolist(), strict=True))


def _deal_out(
    samples, unit_of: dict[str, str], seed: int, fractions: dict[str, float], by_group: bool, strata: Strata
) -> list[sample_list.Sample]:
    """Gives every sample one of the sides named in `fractions`."""
    members = collections.defaultdict(list)
    for sample in samples:
        members[unit_of[sample.path]].append(sample)
    units = list(members.values())
    order = np.random.default_rng(seed).permutation(len(units))
    units = sorted((units[i] for i in order), key=len, reverse=True)
    needs = _needs(units, fractions, by_group, strata)
    open_needs = {side: dict(need) for side, need in needs.items()}
    side_of: dict[str, str] = {}
    for unit in units:
        labels = _labels(unit, by_group, strata)

        def urgency(side, labels=labels):
            return sum(n * open_needs[side][label] / needs[side][label] for label, n in labels.items())

        side = max(fractions, key=urgency)
        for label, count in labels.items():
            open_needs[side][label] -= count
        side_of.update((sample.path, side) for sample in unit)
    dealt = [dataclasses.replace(sample, split=side_of[sample.path]) for sample in samples]
    _check_every_class(dealt, fractions, strata)
    return dealt


def _labels(unit, by_group: bool, strata: Strata) -> collections.Counter:
    """How much a unit counts for each class that it has items of: 1 for each item, or 1 in all."""
    labels = collections.Counter(map(strata, unit))
    return collections.Counter(set(labels)) if by_group else labels


def _needs(units, fractions, by_group: bool, strata: Strata) -> dict[str, dict[str, float]]:
    """How many items (or groups) of each class every side should get: its fraction, at least one, the rest trains."""
    groups = sum((_labels(unit, True, strata) for unit in units), collections.Counter())
    counts = sum((_labels(unit, by_group, strata) for unit in units), collections.Counter())
    poor = sorted(label for label in counts if groups[label] < len(fractions))
    if poor:
        many = f"{groups[poor[0]]} independent files or groups"
        count = "one independent file or group" if groups[poor[0]] == 1 else many
        raise errors.UserError(
            f"{f'class {poor[0]!r} has' if poor[0] else 'there is'} only {count}, but each of {', '.join(fractions)} "
            f"needs one; add some{' or remove the class' if poor[0] else ''}"
        )
    others = [side for side in fractions if side != "train"]
    needs = {side: {label: max(1, round(fractions[side] * n)) for label, n in counts.items()} for side in others}
    train = {label: max(1, n - sum(needs[side][label] for side in others)) for label, n in counts.items()}
    return {"train": train} | needs


def _check_every_class(samples, sides, strata: Strata) -> None:
    """Refuses a split in which a class is missing on a side: large groups can bring that about."""
    present = {(sample.split, strata(sample)) for sample in samples}
    for label in sorted({label for _, label in present}):
        for side in sides:
            if (side, label) not in present:
                raise errors.UserError(
                    f"no group of class {label!r} fits into {side}: its groups are too large or too "
                    "few; try another --split-seed or other fractions"
                )


def check_leaks(samples: list[sample_list.Sample], contents: dict[str, str]) -> None:
    """Stops when a group or a file's content stands on two sides.

    Raises:
        UserError: names the group or two of the files.
    """
    side_of_group: dict[str, str] = {}
    first_of_content: dict[str, sample_list.Sample] = {}
    for sample in samples:
        if sample.group and side_of_group.setdefault(sample.group, sample.split) != sample.split:
            raise errors.UserError(
                f"leak: group {sample.group!r} is both in {side_of_group[sample.group]} and in "
                f"{sample.split}; a group must stay on one side"
            )
        first = first_of_content.setdefault(contents[sample.path], sample)
        if first.split != sample.split:
            raise errors.UserError(
                f"leak: {first.path} ({first.split}) and {sample.path} ({sample.split}) are the same file; remove one"
            )
