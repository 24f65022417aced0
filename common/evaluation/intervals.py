"""Intervals: the bootstrap over samples or groups, the exact interval of a proportion, what is noise."""

import numpy as np
from scipy import stats

RESAMPLES = 1000


# Intervals ----------------------------------------------------------------------------------------------------------


class Bootstrap:
    """Draws lesions with replacement: (resamples, n) weights, how often each picture was drawn.

    Args:
        units: (n,) the number of each picture's lesion.
        seed: fixes the draws.
        resamples: how many.
    """

    def __init__(self, units, seed: int = 0, resamples: int = RESAMPLES):
        self.units = np.asarray(units)
        counts = bootstrap_counts(self.units.max() + 1, seed, resamples)
        self.weights = np.concatenate(list(counts))[:, self.units]

    def interval(self, statistic) -> list[float | None]:
        """[value, low, high] of a `statistic` of weights (m, n) with m results.

        Resamples in which it is not defined (NaN) are left out.
        """
        (value,) = statistic(np.ones((1, len(self.units))))
        draws = statistic(self.weights)
        draws = draws[np.isfinite(draws)]
        if not np.isfinite(value) or not len(draws):
            return [None, None, None]
        return [float(value), *np.quantile(draws, TAILS).tolist()]

    def share(self, hits, of) -> list[float | None]:
        """[share, low, high] of `hits` among the pictures `of`, both (n,) booleans.

        Where all are hits, or none, every resample says the same: there it is the exact interval for so many lesions.
        """
        hits, of = np.asarray(hits, bool) & of, np.asarray(of, bool)
        if not of.any():
            return [None, None, None]
        right, total = hits.sum(), of.sum()
        if len(np.unique(self.units[of])) == 1:  # one lesion says nothing about others
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


def accuracy_noise(accuracy, count):
    """Return how far an accuracy (0..1) on `count` samples may be off by chance.

    That is its standard error, but at least one answer: near 1 the normal approximation's standard error vanishes.
    """
    return max((accuracy * (1 - accuracy) / count) ** 0.5, 1 / count) + 1e-6  # the rest is for rounding


def balanced_accuracy_noise(balanced_accuracy, counts):
    """Return how far a balanced accuracy (0..1) may be off by chance: its standard error if all classes were as hard.

    A few photos of a rare class count as much as hundreds of a common one, so it is much noisier than an accuracy.

    Args:
        balanced_accuracy: the mean recall of the classes.
        counts: (k,) photos of each class that it was measured on, each above 0.
    """
    variances = balanced_accuracy * (1 - balanced_accuracy) / np.asarray(counts, float)
    return float(max(variances.sum() ** 0.5 / len(counts), 1 / (len(counts) * min(counts)))) + 1e-6


def group_numbers(groups, size):
    """Number the units that are resampled: groups, and each sample that has none."""
    if groups is None:
        return np.arange(size)
    if len(groups) != size:
        raise ValueError(f"groups: expected {size} strings, got {len(groups)}")
    units = [("group", group) if group else ("sample", index) for index, group in enumerate(groups)]
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    return np.array([numbers[unit] for unit in units])


def bootstrap_counts(units, seed, resamples):
    """Yield (block, units) arrays: how often each resample draws each unit."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_COUNTS // units)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(units, size=(rows, units)) + units * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(float)


def exact_interval(successes, trials):
    """The Clopper-Pearson interval of a proportion."""
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE_LEVEL, method="exact")
    return [float(interval.low), float(interval.high)]
