"""The data of a comparison's trials: a split for each seed, with fractions of its training and validation sides."""

import collections
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from common import errors, streams
from common.data import dataset, sample_list, splits
from common.media import medium as media


def splits_of_seeds(
    config: Any, medium: media.Medium, seeds: int, fractions: Sequence[float], folder: pathlib.Path
) -> dict[tuple[int, float], pathlib.Path]:
    """Split the samples once for each seed, and write a CSV for each fraction of its photos.

    Args:
        config: the Config of a recipe; its `seed` is the first seed.
        medium: what the samples are.
        seeds: the number of seeds.
        fractions: fractions of the training and validation sides, above 0 and up to 1; each contains the smaller ones.
        folder: where the splits are written; existing ones are kept.

    Returns:
        (seed, fraction) → a CSV with the samples of every side.

    Raises:
        UserError: as `dataset.load`; or trials have begun, and a split that they use is gone.
    """
    found, told = {}, streams.each_line_once()
    for seed in range(config.seed, config.seed + seeds):
        place = folder / f"seed{seed}"
        if (folder.parent / "trials").is_dir() and not (place / "split.csv").is_file():
            raise errors.UserError(f"{place / 'split.csv'} is gone; put it back, or start a new comparison")
        place.mkdir(parents=True, exist_ok=True)
        with told:
            whole = dataset.load(dataclasses.replace(config, seed=seed), place, medium)
        for fraction in sorted(fractions, reverse=True):
            path = place / (f"{fraction:g}.csv" if fraction < 1 else "split.csv")
            if fraction < 1 and not path.is_file():
                sample_list.write_csv(path, part_of(whole, fraction, seed))
            found[seed, fraction] = path
    overlap = overlap_of_tests(found)
    share = len(whole.test) / sum(len(side) for side in (whole.train, whole.validation, whole.test))
    if any(sample.group for sample in whole.train) and overlap and overlap > share + splits.TOLERANCE:
        print(
            f"data: two seeds share {overlap:.0%} of their test {medium.unit}s on average; without groups it "
            f"would be {share:.0%}", file=sys.stderr,
        )  # fmt: skip
    return found


def overlap_of_tests(sources: dict[tuple[int, float], pathlib.Path]) -> float | None:
    """Return the mean share of test samples that two seeds have in common, None for one seed.

    Args:
        sources: as `splits_of_seeds` returns them.
    """
    tests = {
        seed: {sample.path for sample in sample_list.read_csv(path) if sample.split == "test"}
        for (seed, _), path in sources.items()
    }
    pairs = list(itertools.combinations(tests.values(), 2))
    return sum(2 * len(one & two) / (len(one) + len(two)) for one, two in pairs) / len(pairs) if pairs else None


def part_of(whole: splits.Splits, fraction: float, seed: int) -> list[sample_list.Sample]:
    """Return a fraction of the training and validation photos of every class, in whole groups, and all test photos.

    Fewer photos to train with also means fewer to choose with. Fractions are nested: with the same seed a larger one
    contains all of a smaller one.

    Args:
        whole: the splits to take the fraction from.
        fraction: above 0, up to 1; at least one photo of every class is kept on each side.
        seed: determines which photos are kept.
    """
    parts = [_part(side, whole, fraction, seed) for side in (whole.train, whole.validation)]
    return [*itertools.chain(*parts), *whole.test]


def _part(
    samples: list[sample_list.Sample], whole: splits.Splits, fraction: float, seed: int
) -> list[sample_list.Sample]:
    """Return the units of each class, in random order, whose photos together come nearest to the fraction.

    A unit counts for its rarest class. The first unit with each class is always kept.
    """
    strata, units = whole.targets.strata, splits.units_of(samples, whole.content_of)
    counts = collections.Counter(map(strata, samples))
    members = collections.defaultdict(list)
    for sample in samples:
        members[units[sample.path]].append(sample)
    found = list(members)
    order = [found[number] for number in np.random.default_rng(seed).permutation(len(found))]
    first = {label: unit for unit in reversed(order) for label in map(strata, members[unit])}
    of_class = collections.defaultdict(list)
    for unit in sorted(order, key=lambda unit: unit not in first.values()):
        of_class[min(map(strata, members[unit]), key=lambda label: (counts[label], label))].append(unit)
    kept: set[str] = set()
    for those in of_class.values():
        sums = np.cumsum([0, *(len(members[unit]) for unit in those)])
        nearest = int(np.abs(sums - fraction * sums[-1]).argmin())
        kept.update(those[: max(nearest, sum(unit in first.values() for unit in those))])
    return [sample for sample in samples if units[sample.path] in kept]


def count_sides(samples: Iterable[sample_list.Sample]) -> dict[str, int]:
    """Return the number of samples on each side of the split."""
    counts = collections.Counter(sample.split for sample in samples)
    return {side: counts[side] for side in sample_list.SPLIT_NAMES}
