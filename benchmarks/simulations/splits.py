"""Simulate splits of grouped data: how much the seeds differ, and how often a group of each size is tested.

The old rule assigned groups from the largest to the smallest. It is still the one for data without groups, so the same
units without names of groups show what it does.
"""

import collections
import contextlib
import dataclasses
import io
import itertools
from collections.abc import Sequence

import numpy as np
import tables as markdown_tables

from common.data import sample_list, splits

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
SEEDS = 10
SIZES = (1, 2, 5, 10, 15, 18, 20)

Samples = list[sample_list.Sample]


def tables(repetitions: int) -> list[str]:
    """Return the tables in Markdown; the second has this number of seeds."""
    with contextlib.redirect_stderr(io.StringIO()):  # the lines about shares
        return [differences(), tested(repetitions)]


def differences() -> str:
    """Return, for the old rule and for the new one, how much the splits of ten seeds differ."""
    rows = []
    for name, samples in data_sets().items():
        found = [_compared(samples, new) for new in (False, True)]
        rows.append([name, *(" → ".join(pair) for pair in zip(*found, strict=True))])
    columns = ["groups", "different test sides", "worst share, points off", "mean overlap of two test sides"]
    return f"Splits of {SEEDS} seeds, by size → at random\n\n" + markdown_tables.markdown(columns, rows)


def tested(repetitions: int) -> str:
    """Return the share of seeds that test a group of each size, of two classes of 20 groups of 1 to 20 photos."""
    rows = []
    for name, new in (("by size", False), ("at random", True)):
        samples = in_groups(range(1, 21))
        sides = [_test_side(samples, seed, new) for seed in range(repetitions)]
        counts = collections.Counter(path.rpartition("_")[0] for side in sides for path in side if path.endswith("_0"))
        rows.append([name, *(f"{counts[f'a{size}'] / repetitions:.2f}" for size in SIZES)])
    columns = ["groups are assigned", *(f"{size} photos" for size in SIZES)]
    title = f"Share of {repetitions} seeds that test a group of each size, 0.15 wanted"
    return f"{title}\n\n" + markdown_tables.markdown(columns, rows)


def data_sets() -> dict[str, Samples]:
    """Return made-up data sets by name."""
    rng = np.random.default_rng(0)
    cameras = [
        sample_list.Sample(f"{camera}{label}_{i}", label, f"{camera}")
        for camera in range(30) for label in "abcd" for i in range(rng.integers(1, 10))
    ]  # fmt: skip
    return {
        "2 classes x 20 groups of 1–20": in_groups(range(1, 21)),
        "2 x 20, lognormal": in_groups(np.ceil(rng.lognormal(2, 1, 20)).astype(int)),
        "2 x 20, one of 100": in_groups([*range(1, 20), 100]),
        "5 x 8 of 5–40": in_groups(range(5, 41, 5), "abcde"),
        "30 cameras, 4 classes each": cameras,
        "2 x 4 of 40, 30, 20, 10": in_groups([40, 30, 20, 10]),
        "2 x 20 of 5": in_groups([5] * 20),
    }


def in_groups(sizes: Sequence[int] | np.ndarray, labels: str = "ab") -> Samples:
    """Return samples of each class in groups of these sizes."""
    return [
        sample_list.Sample(f"{label}{number}_{i}", label, f"{label}{number}")
        for label in labels for number, size in enumerate(sizes, start=1) for i in range(size)
    ]  # fmt: skip


def _test_side(samples: Samples, seed: int, new: bool) -> set[str]:
    return {sample.path for sample in _split(samples, seed, new) if sample.split == "test"}


def _split(samples: Samples, seed: int, new: bool) -> Samples:
    """Split samples with the product's function; without names of groups it follows the old rule."""
    units = {sample.path: sample.group for sample in samples}
    named = samples if new else [dataclasses.replace(sample, group="") for sample in samples]
    return splits.split(named, units, seed, FRACTIONS["validation"], FRACTIONS["test"])


def _compared(samples: Samples, new: bool) -> list[str]:
    """Return the number of different test sides, the worst share and the mean overlap, of all seeds."""
    dealt = [_split(samples, seed, new) for seed in range(SEEDS)]
    counts = [collections.Counter(sample.split for sample in one) for one in dealt]
    worst = max(abs(each[side] / len(samples) - share) for each in counts for side, share in FRACTIONS.items())
    tests = [frozenset(sample.path for sample in one if sample.split == "test") for one in dealt]
    overlap = np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in itertools.combinations(tests, 2)])
    return [str(len(set(tests))), f"{100 * worst:.1f}", f"{overlap:.2f}"]
