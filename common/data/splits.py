"""Who trains, who chooses, who judges: splits by class and by group, made from lists of samples.

A group (a patient, a camera, a burst of the same scene) is never divided, and neither are copies of one file.
"""

import collections
import dataclasses
import sys
from collections.abc import Iterable

import numpy as np

from common import errors
from common.data import pipeline, sample_list

DEFAULT_FRACTIONS = {"validation": 0.15, "test": 0.15}
DEMO_FRACTIONS = {"validation": 0.2, "test": 0.6}  # 20 photos of each class train, enough to test on stay


@dataclasses.dataclass(frozen=True)
class Splits:
    """Who trains, who chooses, who judges.

    Attributes:
        source: the `--data` that it came from.
        class_names: sorted; a class's index is its place here.
        train, validation, test: lists of samples.
        quality: what the scan found (`file_checks.summarise`), plus `skipped`, for the report.
        content_of: path → sha256 of the file.
    """

    source: str
    class_names: tuple[str, ...]
    train: list[sample_list.Sample]
    validation: list[sample_list.Sample]
    test: list[sample_list.Sample]
    quality: dict
    content_of: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    def contents(self, split: str) -> list[str]:
        """The sha256 of the files of a split's photos."""
        return [self.content_of[sample.path] for sample in getattr(self, split)]

    def labels(self, split: str) -> np.ndarray:
        """Class indices of a split's photos, int64 (n,)."""
        index = {name: i for i, name in enumerate(self.class_names)}
        return np.array([index[sample.label] for sample in getattr(self, split)], dtype="int64")

    def paths(self, split: str) -> list[str]:
        """The files of a split's photos."""
        return [sample.path for sample in getattr(self, split)]

    def groups(self, split: str) -> list[str]:
        """The groups of a split's photos, "" where a photo has none."""
        return [sample.group for sample in getattr(self, split)]

    def generators(
        self, resize, preprocess, batch_size, seed, augmentation=None, first_epoch=0, balanced=False, clips=None
    ):
        """`train_generator, val_generator, test_generator`; arguments as in `common.data.pipeline`."""
        shape = {"num_classes": len(self.class_names), "resize": resize, "batch_size": batch_size, "clips": clips}
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
        """How many photos of each class a split has, int64 (classes,)."""
        return np.bincount(self.labels(split), minlength=len(self.class_names))

    def summary(self) -> dict:
        """The `data` section of results.json."""
        per_split = {
            name: dict(sorted(collections.Counter(sample.label for sample in getattr(self, name)).items()))
            for name in sample_list.SPLIT_NAMES
        }
        sizes = {name: len(getattr(self, name)) for name in sample_list.SPLIT_NAMES}
        names = {"source": self.source, "class_names": list(self.class_names)}
        return names | sizes | {"per_split": per_split} | self.quality


# Splits -------------------------------------------------------------------------------------------------------


def split(
    samples: list[sample_list.Sample], units: dict[str, str], seed: int, validation_fraction: float,
    test_fraction: float, by_group: bool = False,
) -> list[sample_list.Sample]:  # fmt: skip
    """Puts every photo on one side: stratified by class, whole groups, copies of one file together.

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

    Raises:
        UserError: a class has too few groups for three sides, or the fractions leave nothing to train on.
    """
    if validation_fraction + test_fraction >= 1:
        raise errors.UserError("--validation-fraction and --test-fraction must leave something to train on")
    given = {sample.split for sample in samples}
    if given == {""}:
        fractions = {"train": 1 - validation_fraction - test_fraction, "validation": validation_fraction,
                     "test": test_fraction}  # fmt: skip
        return _deal_out(samples, units, seed, fractions, by_group)
    if "" in given or "train" not in given:
        raise errors.UserError("--data gives splits to some files only, or none to train on; give all or none")
    for side, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if side not in given:
            print(f"data: no {side} split given, so {fraction:.0%} of the training files are taken", file=sys.stderr)
            train = [sample for sample in samples if sample.split == "train"]
            shares = {"train": 1 - fraction, side: fraction}
            dealt = {sample.path: sample for sample in _deal_out(train, units, seed, shares, by_group)}
            samples = [dealt.get(sample.path, sample) for sample in samples]
    return samples


def units_of(samples: list[sample_list.Sample], contents: dict[str, str]) -> dict[str, str]:
    """Path → the unit that must stay on one side: photos that share a group or their content, also through others.

    Args:
        samples: the photos.
        contents: path → sha256 of the file.
    """
    parent: dict[tuple, tuple] = {}

    def root(key):
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for sample in samples:
        content = root(("content", contents[sample.path]))
        if sample.group:
            parent[content] = root(("group", sample.group))
    return {sample.path: " ".join(root(("content", contents[sample.path]))) for sample in samples}


def _deal_out(
    samples, unit_of: dict[str, str], seed: int, fractions: dict[str, float], by_group: bool
) -> list[sample_list.Sample]:
    """Gives every sample one of the sides named in `fractions`."""
    members = collections.defaultdict(list)
    for sample in samples:
        members[unit_of[sample.path]].append(sample)
    units = list(members.values())
    order = np.random.default_rng(seed).permutation(len(units))
    units = sorted((units[i] for i in order), key=len, reverse=True)
    needs = _needs(units, fractions, by_group)
    open_needs = {side: dict(need) for side, need in needs.items()}
    side_of: dict[str, str] = {}
    for unit in units:
        labels = _labels(unit, by_group)

        def urgency(side, labels=labels):
            return sum(n * open_needs[side][label] / needs[side][label] for label, n in labels.items())

        side = max(fractions, key=urgency)
        for label, count in labels.items():
            open_needs[side][label] -= count
        side_of.update((sample.path, side) for sample in unit)
    dealt = [dataclasses.replace(sample, split=side_of[sample.path]) for sample in samples]
    _check_every_class(dealt, fractions)
    return dealt


def _labels(unit, by_group: bool) -> collections.Counter:
    """How much a unit counts for each class that it has photos of: 1 for each photo, or 1 in all."""
    labels = collections.Counter(sample.label for sample in unit)
    return collections.Counter(set(labels)) if by_group else labels


def _needs(units, fractions, by_group: bool) -> dict[str, dict[str, float]]:
    """How many photos (or groups) of each class every side should get: its fraction, at least one, the rest trains."""
    groups = sum((_labels(unit, by_group=True) for unit in units), collections.Counter())
    counts = sum((_labels(unit, by_group) for unit in units), collections.Counter())
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


def _check_every_class(samples, sides) -> None:
    """Refuses a split in which a class is missing on a side: large groups can bring that about."""
    present = {(sample.split, sample.label) for sample in samples}
    for label in sorted({sample.label for sample in samples}):
        for side in sides:
            if (side, label) not in present:
                raise errors.UserError(
                    f"no group of class {label!r} fits into {side}: its groups are too large or too "
                    "few; try another --split-seed or other fractions"
                )


def count_sides(samples: Iterable[sample_list.Sample]) -> dict[str, int]:
    """Side → how many of the samples are on it."""
    counts = collections.Counter(sample.split for sample in samples)
    return {side: counts[side] for side in sample_list.SPLIT_NAMES}


def part_of_training(splits: Splits, fraction: float, seed: int) -> list[sample_list.Sample]:
    """A fraction of the training photos of every class, by whole groups, and all validation and test photos.

    Nested: with the same seed a larger fraction holds all of a smaller one.

    Args:
        splits: whose training side is thinned out.
        fraction: above 0, up to 1; of every class at least one photo stays.
        seed: fixes which.
    """
    members = collections.defaultdict(list)
    units = units_of(splits.train, splits.content_of)
    for sample in splits.train:
        members[units[sample.path]].append(sample)
    counts = collections.Counter(sample.label for sample in splits.train)
    needs = collections.Counter({label: max(1, round(fraction * count)) for label, count in counts.items()})
    groups = list(members.values())
    kept: set[str] = set()
    for number in np.random.default_rng(seed).permutation(len(groups)):
        if any(needs[sample.label] > 0 for sample in groups[number]):
            kept.update(sample.path for sample in groups[number])
            needs.subtract(sample.label for sample in groups[number])
    return [sample for sample in splits.train if sample.path in kept] + splits.validation + splits.test


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
