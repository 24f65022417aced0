"""Splits into training, validation and test data, by class and by group, made from lists of samples.

A group (a patient, a camera, a burst of the same scene) is never divided, and neither are copies of one file.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Self

import keras
import numpy as np
from scipy import sparse
from sklearn.utils import class_weight

from common import errors, words
from common.data import pipeline, sample_list, unchanged
from common.data import targets as kinds
from common.media import augmentation as augmentations
from common.media import medium as media

DEFAULT_FRACTIONS = {"validation": 0.15, "test": 0.15}
DEMO_FRACTIONS = {"validation": 0.2, "test": 0.6}  # leaves 20 photos of each class to train, and enough to test

LARGE = 1.5  # a group of more than this many times what validation or test needs of a class is assigned first
TOLERANCE, CLASS_TOLERANCE = 0.03, 0.06  # of the shares of all items and of each class
ORDERS, AT_ONCE = 2_000, 100  # random orders of the groups
MOST_STEPS = 20_000  # batches of orders x groups; bounds the time to two seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Splits:
    """The training, validation and test samples of a run.

    Attributes:
        source: the value of `--data`.
        medium: the medium of the items.
        targets: what is learnt from them.
        train, validation, test: lists of samples.
        quality: facts about the data for results.json, such as `file_checks.summarise`, and `skipped`.
        content_of: path → the sha256 of the file, which copies share.
        properties: path → what its file tells besides its content (`Medium.properties`).
    """

    source: str
    medium: media.Medium
    targets: kinds.Targets
    train: list[sample_list.Sample]
    validation: list[sample_list.Sample]
    test: list[sample_list.Sample]
    quality: dict
    content_of: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    properties: dict[str, dict] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, source: str, medium: media.Medium, targets: kinds.Targets, samples: Samples, quality: dict,
        content_of: dict[str, str], **further: Any,
    ) -> Self:  # fmt: skip
        """Make splits from samples that have their sides; the arguments are like the attributes."""
        sides: dict[str, Any] = {
            name: [sample for sample in samples if sample.split == name] for name in sample_list.SPLIT_NAMES
        }
        return cls(
            source=source, medium=medium, targets=targets.seen(samples), **sides, quality=quality,
            content_of=content_of, **further,
        )  # fmt: skip

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their indices; empty if the targets are not classes."""
        return getattr(self.targets, "class_names", ())

    @functools.cached_property
    def reader(self) -> unchanged.Reader:
        """Reads the items, and stops the run if a file is no longer the one that was scanned."""
        return unchanged.Reader(self.medium, self.content_of)

    def contents(self, split: str) -> list[str]:
        """Return the content hashes (`content_of`) of a split's items."""
        return [self.content_of[sample.path] for sample in getattr(self, split)]

    def labels(self, split: str) -> np.ndarray:
        """Return the targets of a split's items, (n, …); for classes their indices, int64 (n,)."""
        return self.targets.array(getattr(self, split))

    def paths(self, split: str) -> list[str]:
        """Return the files of a split's items."""
        return [sample.path for sample in getattr(self, split)]

    def groups(self, split: str) -> list[str]:
        """Return the groups of a split's items, "" for an item without a group."""
        return [sample.group for sample in getattr(self, split)]

    def generators(
        self, resize: keras.Layer, preprocess: pipeline.Function, batch_size: int, seed: int,
        augmentation: augmentations.Augmentation | None = None, first_epoch: int = 0, balanced: bool = False,
    ) -> pipeline.Generators:  # fmt: skip
        """Return `train_generator, val_generator, test_generator`; arguments as in `common.data.pipeline`."""
        shape = {"encode": self.targets.encoded, "resize": resize, "batch_size": batch_size, "medium": self.reader}
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
        """Return the number of items of each class in a split, int64 (classes,)."""
        return np.bincount(self.labels(split), minlength=len(self.class_names))

    def class_weights(self) -> dict[int, float]:
        """Return the `class_weight` for `fit` that gives all classes equal weight: n / (classes x its items)."""
        labels = self.labels("train")
        present = np.unique(labels)
        weights = class_weight.compute_class_weight("balanced", classes=present, y=labels)
        return dict(zip(present.tolist(), weights.tolist(), strict=True))

    def parts(self, column: str) -> dict[str, Self]:
        """Return one `Splits` for each value of a column, such as a domain, task or client.

        Samples keep their sides, and all parts have the same targets. `parts.by_column` gives each part its share of
        every side; a group is on one side in all parts.

        Args:
            column: a column of the samples' `about`.

        Raises:
            UserError: no such column, or a part has no samples to train, validate or test with.
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
        """Return the `data` section of results.json."""
        sides = {name: getattr(self, name) for name in sample_list.SPLIT_NAMES}
        sizes = {name: len(side) for name, side in sides.items()}
        per_split = {name: self.targets.summary(side) for name, side in sides.items()}
        shares = {name: round(size / sum(sizes.values()), 4) for name, size in sizes.items()}
        how = {"per_split": per_split, "shares": shares, "large_groups": self.large_groups()}
        return {"source": self.source} | self.targets.about() | sizes | how | self.quality

    def large_groups(self) -> list[str]:
        """Return the groups that no seed tests: they exceed `LARGE` times the test items of one of their classes."""
        strata = self.targets.strata
        tested = collections.Counter(map(strata, self.test))
        untested = [sample for sample in [*self.train, *self.validation] if sample.group]
        sizes = collections.Counter((sample.group, strata(sample)) for sample in untested)
        return sorted({group for (group, label), size in sizes.items() if size > LARGE * tested[label]})


def value_of(sample: sample_list.Sample, column: str) -> str:
    """Return a sample's value in a further column; raise a UserError if it has none."""
    if not sample.about.get(column):
        raise errors.UserError(
            f"{sample.path}: no {column}; the data needs a column {column!r} with a value in every row"
        )
    return sample.about[column]


def seed_of(config: Any) -> int:
    """Return the seed of the split: `split_seed`, or the run's seed if that is None."""
    return config.seed if config.split_seed is None else config.split_seed


def fractions_of(config: Any, default: dict[str, float]) -> tuple[float, float]:
    """Return the fractions of validation and test data from the flags, or the default fractions."""
    return config.validation_fraction or default["validation"], config.test_fraction or default["test"]


# Splits -------------------------------------------------------------------------------------------------------


Strata = Callable[[sample_list.Sample], str]
Samples = Sequence[sample_list.Sample]


def by_label(sample: sample_list.Sample) -> str:
    """Return a sample's class, to stratify by it."""
    return sample.label


def split(
    samples: list[sample_list.Sample], units: dict[str, str], seed: int, validation_fraction: float,
    test_fraction: float, by_group: bool = False, strata: Strata = by_label,
) -> list[sample_list.Sample]:  # fmt: skip
    """Assign every item one side, stratified by class; groups and copies of one file are not divided.

    scikit-learn's `StratifiedGroupKFold` makes only folds of equal size, and may leave a rare class out of a
    fold. Here every side gets its fraction of every class and at least one group of each.

    Without groups, each item goes to the side that lacks the largest fraction of its need (the greedy step of
    iterative stratification, Sechidis et al. 2011). With groups this would give every seed the same split, because
    the largest group would always train. Groups are therefore assigned at random (`_drawn`).

    Splits in the source are kept; a missing validation or test side is taken from the training photos.

    Args:
        samples: usable photos.
        units: path → name of the unit that must stay on one side (`units_of`).
        seed: fixes the split.
        validation_fraction, test_fraction: fractions of all photos, each in 0–1.
        by_group: the fractions count units instead of photos: a unit of four photos counts as much as a unit of one.
        strata: returns the class of a sample for the stratification.

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
        raise errors.UserError("--data gives splits for some files only, or none to train on; give all splits or none")
    for side, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if side not in given:
            print(f"data: no {side} split given, so {fraction:.0%} of the training files are used", file=sys.stderr)
            train = [sample for sample in samples if sample.split == "train"]
            shares = {"train": 1 - fraction, side: fraction}
            dealt = {sample.path: sample for sample in _deal_out(train, units, seed, shares, by_group, strata)}
            samples = [dealt.get(sample.path, sample) for sample in samples]
    return samples


def units_of(
    samples: list[sample_list.Sample], contents: dict[str, str], pairs: Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return path → unit that stays on one side: photos connected by groups, contents or pairs, or through others.

    Args:
        samples: the photos.
        contents: path → sha256 of the file.
        pairs: paths of further photos that belong together.
    """
    keys = [[("content", contents[sample.path]), *([("group", sample.group)] if sample.group else [])]
            for sample in samples]  # fmt: skip
    links = [*(each for each in keys if len(each) > 1),
             *((("content", contents[first]), ("content", contents[second])) for first, second in pairs)]  # fmt: skip
    unit_of = connected((key for each in keys for key in each), links)
    return {sample.path: str(unit_of[each[0]]) for sample, each in zip(samples, keys, strict=True)}


def connected(items: Iterable[Hashable], pairs: Iterable[Sequence]) -> dict:
    """Return item → number of its connected component; `pairs` connect items, and repeated items count once."""
    number = {item: place for place, item in enumerate(dict.fromkeys(items))}
    links = [(number[first], number[second]) for first, second in pairs]
    rows, columns = np.array(links, int).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(links)), (rows, columns)), shape=(len(number), len(number)))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    return dict(zip(number, labels.tolist(), strict=True))


def _deal_out(
    samples: Samples, unit_of: dict[str, str], seed: int, fractions: dict[str, float], by_group: bool, strata: Strata
) -> list[sample_list.Sample]:
    """Assign every sample one of the sides in `fractions`."""
    members = collections.defaultdict(list)
    for sample in samples:
        members[unit_of[sample.path]].append(sample)
    units, grouped = list(members.values()), any(sample.group for sample in samples)
    if not grouped:
        order = np.random.default_rng(seed).permutation(len(units))
        units = sorted((units[i] for i in order), key=len, reverse=True)
    needs = _needs(units, fractions, by_group, strata)
    counts = [_labels(unit, by_group, strata) for unit in units]
    sides = _drawn(counts, needs, seed) if grouped else _in_order(counts, needs)
    side_of = {sample.path: side for unit, side in zip(units, sides, strict=True) for sample in unit}
    dealt = [dataclasses.replace(sample, split=side_of[sample.path]) for sample in samples]
    _check_every_class(dealt, fractions, strata)
    if grouped:
        _print_shares(counts, sides, fractions)
    return dealt


def _in_order(counts: Iterable[collections.Counter], needs: dict[str, dict]) -> list[str]:
    """Return the side of each unit: the one that lacks the largest fraction of what it needs of the unit's classes."""
    open_needs = {side: dict(need) for side, need in needs.items()}
    sides = []
    for labels in counts:

        def urgency(side: str, labels: collections.Counter = labels) -> float:
            return sum(n * open_needs[side][label] / needs[side][label] for label, n in labels.items())

        sides.append(max(needs, key=urgency))
        for label, count in labels.items():
            open_needs[sides[-1]][label] -= count
    return sides


def _drawn(counts: Sequence[collections.Counter], needs: dict[str, dict], seed: int) -> list[str]:
    """Return the side of each unit, drawn at random so that every seed has another split.

    Random orders of the units are tried. In each, every unit is assigned by `_allocate`. The first allocation is
    returned that has every class on every side, all shares within `TOLERANCE` and those of each class within
    `CLASS_TOLERANCE`. If there is none, the one that exceeds them least is returned.

    Args:
        counts: class → number of items (or 1) of each unit.
        needs: side → class → the number that the side should have; the first side is train.
        seed: fixes the split.
    """
    rng, column_of = np.random.default_rng(seed), {label: column for column, label in enumerate(needs["train"])}
    # Each unit has few of the classes: their columns and counts, filled up with the empty column after the last class.
    width = max(map(len, counts))
    columns = np.full((len(counts), width), len(column_of))
    numbers = np.zeros((len(counts), width))
    for row, labels in enumerate(counts):
        columns[row, : len(labels)] = [column_of[label] for label in labels]
        numbers[row, : len(labels)] = list(labels.values())
    wanted = np.array([[*need.values(), 0] for need in needs.values()], float)
    large = (numbers > LARGE * wanted[1:, columns].min(axis=0)).any(axis=1)
    totals = wanted.sum(axis=0)[:-1]
    best, least = np.zeros(len(counts), int), np.inf
    for _ in range(min(ORDERS // AT_ONCE, max(1, MOST_STEPS // len(counts)))):
        orders = np.argsort(rng.random((AT_ONCE, len(counts))) - large, axis=1)  # the large ones come first
        sides, room, lacking = _allocate(orders, columns, numbers, large, wanted, rng)
        off = np.abs(room.sum(axis=2)) / totals.sum() - TOLERANCE
        class_off = np.abs(room) / totals - CLASS_TOLERANCE
        excess = off.clip(0).sum(axis=1) + class_off.clip(0).sum(axis=(1, 2)) + 1000 * lacking.sum(axis=(1, 2))
        first = int(np.argmin(excess))
        if excess[first] < least:
            best, least = sides[first], excess[first]
        if least == 0:
            break
    return [list(needs)[side] for side in best]


def _allocate(
    orders: np.ndarray, columns: np.ndarray, numbers: np.ndarray, large: np.ndarray, wanted: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Assign all units, one after the other, in many orders at once.

    A large unit goes to the side with most room for its classes. Every other unit goes to a side drawn in proportion to
    what the side still needs of them. If as many units of a class are left as sides lack it, one of these is taken.

    Args:
        orders: (orders, units), numbers of units.
        columns, numbers: (units, width), the classes of each unit and their counts.
        large: (units,), which units are large.
        wanted: (sides, classes + 1), the last column is empty.
        rng: draws the sides.

    Returns:
        The sides (orders, units); what is left of `wanted`, and where a class is lacking, (orders, sides, classes).
    """
    row = np.arange(len(orders))[:, None]
    room = np.repeat(wanted[None], len(orders), axis=0)
    lacking = np.ones(room.shape, bool)
    left = np.tile(np.bincount(columns.ravel(), minlength=wanted.shape[1]), (len(orders), 1))
    sides = np.empty(orders.shape, int)
    for unit in orders.T:
        own, number = columns[unit], numbers[unit]  # (orders, width)
        real, open_needs, missing = number > 0, room[row, :, own], lacking[row, :, own]  # (orders, width, sides)
        need = open_needs.clip(0).sum(axis=1)
        drawn = (need + 1e-9) / rng.exponential(size=need.shape)  # the largest is drawn in proportion to `need`
        score = np.where(large[unit][:, None], open_needs.sum(axis=1), drawn)
        must = (missing & (real & (missing.sum(axis=2) >= left[row, own]))[..., None]).any(axis=1)
        side = np.where(must | ~must.any(axis=1, keepdims=True), score, -np.inf).argmax(axis=1)[:, None]
        sides[row, unit[:, None]] = side
        room[row, side, own] -= number
        lacking[row, side, own] &= ~real
        left[row, own] -= real
    return sides, room[..., :-1], lacking[..., :-1]


def _print_shares(counts: Sequence[collections.Counter], sides: Sequence[str], fractions: dict[str, float]) -> None:
    """Print one line if the shares of the sides are not those that were asked for."""
    numbers: collections.Counter = collections.Counter()
    for labels, side in zip(counts, sides, strict=True):
        numbers[side] += sum(labels.values())
    shares = {side: numbers[side] / sum(numbers.values()) for side in fractions}
    if any(abs(shares[side] - fraction) > TOLERANCE for side, fraction in fractions.items()):
        told = ", ".join(f"{shares[side]:.0%} {side} instead of {fraction:.0%}" for side, fraction in fractions.items())
        print(f"data: whole groups do not divide into the shares asked for: {told}", file=sys.stderr)


def _labels(unit: Samples, by_group: bool, strata: Strata) -> collections.Counter:
    """Return the count of a unit for each of its classes: the number of its items, or 1 with `by_group`."""
    labels = collections.Counter(map(strata, unit))
    return collections.Counter(set(labels)) if by_group else labels


def _needs(units: Sequence[Samples], fractions: dict[str, float], by_group: bool, strata: Strata) -> dict[str, dict]:
    """Return the items (or groups) of each class for every side: its fraction, at least one, the rest for train."""
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


def _check_every_class(samples: Samples, sides: Iterable[str], strata: Strata) -> None:
    """Raise an error if a class is missing on a side, which can happen with large groups."""
    present = {(sample.split, strata(sample)) for sample in samples}
    for label in sorted({label for _, label in present}):
        for side in sides:
            if (side, label) not in present:
                raise errors.UserError(
                    f"no group of class {label!r} fits into {side}; its groups are too large or too few, so try "
                    "another --split-seed or other fractions"
                )


def check_classes(samples: Samples, strata: Strata) -> None:
    """Refuse splits in which a side lacks a class.

    Splits that are made here have every class on every side; given ones need not.

    Raises:
        UserError: a class has no item to train, to validate or to test with.
    """
    present = {(sample.split, strata(sample)) for sample in samples}
    labels = sorted({label for _, label in present})
    for side in sample_list.SPLIT_NAMES:
        missing = [label for label in labels if (side, label) not in present]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            there = [each for each in sample_list.SPLIT_NAMES if (each, missing[0]) in present]
            raise errors.UserError(
                f"the given {side} split has no item of class {', '.join(map(repr, missing[:5]))}{more}"
                f"; move some items there, or remove the class ({missing[0]!r} is only in {words.listed(there)})"
            )


def check_leaks(samples: list[sample_list.Sample], contents: dict[str, str]) -> None:
    """Raise a UserError that names the group or two of the files, if a group or a file's content is on two sides."""
    side_of_group: dict[str, str] = {}
    first_of_content: dict[str, sample_list.Sample] = {}
    for sample in samples:
        if sample.group and side_of_group.setdefault(sample.group, sample.split) != sample.split:
            raise errors.UserError(
                f"leak: group {sample.group!r} is in both {side_of_group[sample.group]} and "
                f"{sample.split}; a group must stay on one side"
            )
        first = first_of_content.setdefault(contents[sample.path], sample)
        if first.split != sample.split:
            raise errors.UserError(
                f"leak: {first.path} ({first.split}) and {sample.path} ({sample.split}) are the same file; remove one"
            )
