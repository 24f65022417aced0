"""Intervals at 95 %, [low, high], or None where the data is too small for one; the noise of an accuracy.

Samples of one group (a patient, a lesion, a camera) are not independent, so every interval goes by units: the groups,
and the samples without a group. Shares, their mean and means of losses have formulas. Everything else is a bootstrap.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE_LEVEL = 0.95
TAILS = ((1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2)
RESAMPLES = 1000

# One block of resamples holds at most this many counts (32 MB), whatever the size of the test set.
BLOCK_COUNTS = 4_000_000

FEW_UNITS = 10  # a bootstrap needs at least this many units of every class; below, it is far too narrow


# Units --------------------------------------------------------------------------------------------------------------


def group_numbers(groups: Sequence[str] | None, size: int) -> np.ndarray:
    """Return the number of each sample's unit, int (size,): its group, or the sample itself if it has no group."""
    if groups is None:
        return np.arange(size)
    if len(groups) != size:
        raise ValueError(f"groups: expected {size} strings, got {len(groups)}")
    units = [("group", group) if group else ("sample", index) for index, group in enumerate(groups)]
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    return np.array([numbers[unit] for unit in units])


def unit_sums(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the sum of each unit's rows, (units, …), of `values` (n, …)."""
    sums = np.zeros((units.max() + 1, *np.shape(values)[1:]))
    np.add.at(sums, units, values)
    return sums


# Shares and means ---------------------------------------------------------------------------------------------------


def proportions(hits: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of k shares: Clopper-Pearson intervals of the answers that n answers in G units are worth.

    Units count as n / deff · (t(n - 1) / t(G - 1))² independent answers (Korn and Graubard 1998, Survey Methodology 24,
    193-201). The design effect deff, at least 1, is the variance of the share over units, as a multiple of that of n
    independent answers. The ratio of the 97.5 % points of t allows for a variance that few units show badly. Without
    groups, it is the exact interval of Clopper and Pearson (1934). If all answers are alike, each unit counts as one.
    A single unit of several answers, or of a part of one, says nothing about others: 0 to 1.

    Args:
        hits: (units, k) how many answers of each unit are right.
        sizes: (units, k) the number of its answers.

    Returns:
        The lower and the upper limits, (k,) each; NaN for a share of nothing.
    """
    count, units = sizes.sum(axis=0), (sizes > 0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = hits.sum(axis=0) / count
        variance = units / (units - 1) * ((hits - value * sizes) ** 2).sum(axis=0) / count**2
        effect = np.maximum(variance * (count - 1) / (value * (1 - value)), 1)
        few = (stats.t.ppf(TAILS[1], count - 1) / stats.t.ppf(TAILS[1], units - 1)) ** 2
        worth = np.where(value * (1 - value) > 0, count / effect * few, units)
        right = value * worth
        low = stats.beta.ppf(TAILS[0], right, worth - right + 1)
        high = stats.beta.ppf(TAILS[1], right + 1, worth - right)
    nothing, alone = count == 0, (units == 1) & ((count > 1) | (value * (1 - value) > 0))
    low = np.where(alone | (value == 0), 0.0, low)
    high = np.where(alone | (value == 1), 1.0, high)
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def share(hits: ArrayLike, of: ArrayLike, units: np.ndarray) -> list[float | None]:
    """Return [share, low, high] of `hits` among the samples `of`, both (n,) booleans; None thrice if there are none.

    The limits are those of `proportions`; `units` are the numbers of the samples' units, (n,).
    """
    of = np.asarray(of, bool)
    if not of.any():
        return [None, None, None]
    inside = np.asarray(hits, bool)[of]
    sums = unit_sums(np.stack([inside, np.ones(len(inside))], axis=1), np.unique(units[of], return_inverse=True)[1])
    low, high = proportions(sums[:, :1], sums[:, 1:])
    return [float(inside.mean()), float(low[0]), float(high[0])]


def mean_share(hits: np.ndarray, sizes: np.ndarray) -> list[float]:
    """Return the interval of the mean of k shares, such as the recalls of k classes in a balanced accuracy.

    The distances from the shares to their limits are combined as standard errors are (MOVER: Zou and Donner 2008,
    Statistics in Medicine 27, 1693-1702). Units with answers of several classes make the shares correlated.

    Args:
        hits, sizes: as for `proportions`; a column without answers is left out.
    """
    hits, sizes = (sums[:, sizes.sum(axis=0) > 0] for sums in (hits, sizes))
    values, (low, high) = hits.sum(axis=0) / sizes.sum(axis=0), proportions(hits, sizes)
    errors = (hits - values * sizes) / sizes.sum(axis=0)
    scale = np.sqrt((errors**2).sum(axis=0))
    correlation = errors.T @ errors / np.maximum(np.outer(scale, scale), np.finfo(float).tiny)
    np.fill_diagonal(correlation, 1)
    below, above = (np.sqrt(reach @ correlation @ reach) / len(values) for reach in (values - low, high - values))
    return [float(values.mean() - below), float(values.mean() + above)]


def paired_shares(hits: np.ndarray, then: np.ndarray, sizes: np.ndarray) -> list[float]:
    """Return [gain, low, high] from `hits` to `then` on the same samples: the difference of their `mean_share`.

    The distances to the limits that lie towards each other are combined as standard errors are ("square and add":
    Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10), less what the correlation of the two over units
    takes away. So the interval is narrow where the same answers are right both times. Newcombe's correction of the
    correlation, by half a unit, keeps a width above 0 even if no answer changes.

    Args:
        hits, then: (units, k) how many answers of each unit are right; parts of an answer count, such as means.
        sizes: (units, k) the number of its answers, as for `mean_share`.
    """
    first, second = (_mean_and_errors(each, sizes) for each in (hits, then))
    (low, high), (low_then, high_then) = (mean_share(each, sizes) for each in (hits, then))
    scale = np.sqrt((first[1] ** 2).sum() * (second[1] ** 2).sum())
    covered = first[1] @ second[1]
    if covered > 0:
        covered = max(0.0, covered - 0.5 / len(sizes) ** 2)
    shared = covered / scale if scale else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 - 2 * shared * one * other))

    gain = second[0] - first[0]
    below = reach(second[0] - low_then, high - first[0])
    return [gain, gain - below, gain + reach(high_then - second[0], first[0] - low)]


def _mean_and_errors(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of k shares, and how much each unit moves it, (units,)."""
    hits, sizes = (sums[:, sizes.sum(axis=0) > 0] for sums in (hits, sizes))
    values = hits.sum(axis=0) / sizes.sum(axis=0)
    return float(values.mean()), ((hits - values * sizes) / sizes.sum(axis=0)).mean(axis=1)


def mean(totals: ArrayLike, sizes: ArrayLike, positive: bool = False) -> list[float] | None:
    """Return the interval of a mean over samples that come in units; None for a single unit.

    It is the ratio of two sums over units, with Student's t for G - 1 degrees of freedom (Cochran 1977, Sampling
    Techniques, chapter 6).

    Args:
        totals: (units,) the sum of the values in each unit.
        sizes: (units,) the number of samples in each unit, or another size, such as bytes.
        positive: the values are above 0 and a few are large, as losses are. The interval is that of the mean's
            logarithm, by the delta method, so it reaches further up than down.
    """
    totals, sizes = np.asarray(totals, float), np.asarray(sizes, float)
    units, size = len(totals), sizes.sum()
    if units < 2:
        return None
    value = totals.sum() / size
    error = np.sqrt(units / (units - 1) * ((totals - value * sizes) ** 2).sum()) / size
    reach = stats.t.ppf(TAILS[1], units - 1) * error
    if positive:
        return [float(value * np.exp(sign * reach / value)) for sign in (-1, 1)] if value > 0 else None
    return [float(value - reach), float(value + reach)]


# The bootstrap ------------------------------------------------------------------------------------------------------


def fewest(classes: np.ndarray, units: np.ndarray) -> int:
    """Return the number of units of the rarest class that occurs.

    Args:
        classes: (n,) the class of each sample.
        units: (n,) the number of its unit.
    """
    return min(len(np.unique(units[classes == one])) for one in np.unique(classes))


def limits(draws: np.ndarray, units: int) -> list[float] | None:
    """Return the limits of resampled values; None if they do not vary, which would claim certainty.

    The percentiles are those of the expanded percentile interval (Hesterberg 2015, The American Statistician 69,
    371-386), which allows for few units as Student's t does. Values that are not defined (NaN) are left out.
    """
    draws = draws[np.isfinite(draws)]
    if not len(draws) or np.ptp(draws) < 1e-12:
        return None
    tail = stats.norm.cdf(stats.t.ppf(TAILS[0], units - 1) * np.sqrt(units / (units - 1)))
    return np.quantile(draws, (tail, 1 - tail)).tolist()


def bootstrap_counts(units: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Yield (block, units) arrays of how often each resample draws each unit."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_COUNTS // units)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(units, size=(rows, units)) + units * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(float)


class Bootstrap:
    """A bootstrap that draws units with replacement; `weights`, (resamples, n), count how often a sample was drawn.

    Args:
        units: (n,) the number of each sample's unit.
        seed: fixes the draws.
        resamples: number of resamples.
    """

    def __init__(self, units: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.units = np.asarray(units)
        counts = bootstrap_counts(self.units.max() + 1, seed, resamples)
        self.weights = np.concatenate(list(counts))[:, self.units]

    def interval(self, statistic: Callable[[np.ndarray], np.ndarray], classes: np.ndarray) -> list[float | None]:
        """Return [value, low, high] of a `statistic`, a function of weights (m, n) that returns m values.

        The rarest class decides how much the limits are widened, and they are None if it has fewer than `FEW_UNITS`
        units; `classes` are those of the samples, (n,).
        """
        (value,) = statistic(np.ones((1, len(self.units))))
        if not np.isfinite(value):
            return [None, None, None]
        rarest = fewest(classes, self.units)
        found = limits(statistic(self.weights), rarest) if rarest >= FEW_UNITS else None
        low, high = found or (None, None)
        return [float(value), low, high]


# The noise of an accuracy -------------------------------------------------------------------------------------------


def accuracy_noise(accuracy: float, count: int) -> float:
    """Return how far an accuracy (0..1) on `count` samples may be off by chance.

    This is its standard error, but at least one answer: the normal approximation's standard error vanishes near 1.
    """
    return max((accuracy * (1 - accuracy) / count) ** 0.5, 1 / count) + 1e-6  # 1e-6 allows for rounding
