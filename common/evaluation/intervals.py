"""Intervals: the bootstrap over samples or groups, the exact interval of a proportion, and the noise of an accuracy."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

RESAMPLES = 1000


# Intervals ----------------------------------------------------------------------------------------------------------


class Bootstrap:
    """A bootstrap that draws lesions with replacement; `weights`, (resamples, n), count how often a picture was drawn.

    Args:
        units: (n,) the number of each picture's lesion.
        seed: fixes the draws.
        resamples: number of resamples.
    """

    def __init__(self, units: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.units = np.asarray(units)
        counts = bootstrap_counts(self.units.max() + 1, seed, resamples)
        self.weights = np.concatenate(list(counts))[:, self.units]

    def interval(self, statistic: Callable[[np.ndarray], np.ndarray]) -> list[float | None]:
        """Return [value, low, high] of a `statistic`, a function of weights (m, n) that returns m values.

        Resamples for which the statistic is not defined (NaN) are left out.
        """
        (value,) = statistic(np.ones((1, len(self.units))))
        draws = statistic(self.weights)
        draws = draws[np.isfinite(draws)]
        if not np.isfinite(value) or not len(draws):
            return [None, None, None]
        return [float(value), *np.quantile(draws, TAILS).tolist()]

    def share(self, hits: np.ndarray, of: np.ndarray) -> list[float | None]:
        """Return [share, low, high] of `hits` among the pictures `of`, both (n,) booleans.

        If all or no pictures are hits, resamples do not vary; the exact interval for the number of lesions is returned.
        """
        hits, of = np.asarray(hits, bool) & of, np.asarray(of, bool)
        if not of.any():
            return [None, None, None]
        right, total = hits.sum(), of.sum()
        if len(np.unique(self.units[of])) == 1:  # one lesion tells nothing about other lesions
            return [float(right / total), 0.0, 1.0]
        if right in (0, total):
            lesions = len(np.unique(self.units[of]))
            return [float(right / total), *exact_interval(lesions if right else 0, lesions)]
        totals = self.weights @ of
        shares = (self.weights @ hits)[totals > 0] / totals[totals > 0]
        return [float(right / total), *np.quantile(shares, TAILS).tolist()]


CONFIDENCE_LEVEL = 0.95
TAILS = ((1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2)

# One block of resamples holds at most this many counts (32 MB), whatever the size of the test set.
BLOCK_COUNTS = 4_000_000

FEW_UNITS = 10  # independent samples or groups below which a bootstrap interval is far too narrow


def accuracy_noise(accuracy: float, count: int) -> float:
    """Return how far an accuracy (0..1) on `count` samples may be off by chance.

    This is its standard error, but at least one answer: the normal approximation's standard error vanishes near 1.
    """
    return max((accuracy * (1 - accuracy) / count) ** 0.5, 1 / count) + 1e-6  # 1e-6 allows for rounding


def group_numbers(groups: Sequence[str] | None, size: int) -> np.ndarray:
    """Return the number of each sample's unit, int (size,): its group, or the sample itself if it has no group."""
    if groups is None:
        return np.arange(size)
    if len(groups) != size:
        raise ValueError(f"groups: expected {size} strings, got {len(groups)}")
    units = [("group", group) if group else ("sample", index) for index, group in enumerate(groups)]
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    return np.array([numbers[unit] for unit in units])


def bootstrap_counts(units: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Yield (block, units) arrays of how often each resample draws each unit."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_COUNTS // units)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(units, size=(rows, units)) + units * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(float)


def exact_interval(successes: int, trials: int) -> list[float]:
    """Return the Clopper-Pearson interval of a proportion, [low, high]."""
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE_LEVEL, method="exact")
    return [float(interval.low), float(interval.high)]
