"""Differences between strategies: paired over seeds, with an interval and a permutation test."""

import itertools

import numpy as np
from scipy import stats

from common import errors
from common.compare import trial_run
from common.evaluation import intervals

# Differences and noise ----------------------------------------------------------------------------------------


def differences(full_size: dict[str, list[trial_run.Run]]) -> list[dict]:
    """Each pair of rows, the more accurate one first, and whether they differ by more than noise.

    `q` is `p` after Benjamini and Hochberg (1995): of the differences with q up to 0.05 at most about 5 % are chance,
    however many pairs are looked at.

    Args:
        full_size: name of the row → its runs with all training photos.
    """
    found = []
    for first, second in itertools.combinations(full_size, 2):
        pair = difference(full_size[first], full_size[second])
        if pair is None:
            continue
        if pair["difference"] < 0:
            first, second = second, first
            pair |= {"difference": -pair["difference"], "interval": [-limit for limit in reversed(pair["interval"])]}
        del pair["by_seed"]
        found.append({"first": first, "second": second} | pair)
    if found:
        for pair, q in zip(found, stats.false_discovery_control([pair["p"] for pair in found]), strict=True):
            pair |= {"q": float(q), "larger_than_noise": larger_than_noise(q, pair["seeds_agree"])}
    return found


def difference(first: list[trial_run.Run], second: list[trial_run.Run]) -> dict | None:
    """How many more test photos one strategy has right than another, paired over seeds and photos.

    A photo that is a test photo under several seeds is one unit, and so are the photos of a group: their answers are
    no independent evidence.

    Args:
        first, second: the runs of two strategies, one for each seed; only seeds that both finished count.

    Returns:
        A dict with `difference` (the first's accuracy minus the second's, over photos and seeds), `interval`
        ([low, high], 95 %), `p` (two-sided), `seeds_agree` and `by_seed` (the difference under each seed); None
        without a common seed.

    Raises:
        UserError: under one seed the two have different test photos.
    """
    pairs = trial_run.paired(first, second)
    if not pairs:
        return None
    for one, other in pairs:
        if one.answers.paths != other.answers.paths:
            raise errors.UserError(
                f"{one.strategy} and {other.strategy}: seed {one.seed} has other test photos in one than in the "
                "other, so the data changed between them: start the comparison again in another --out"
            )
    steps = [one.answers.right - other.answers.right for one, other in pairs]
    units, numbers = np.unique(np.concatenate([one.answers.units for one, _ in pairs]), return_inverse=True)
    gains = np.zeros(len(units), dtype=int)
    np.add.at(gains, numbers, np.concatenate(steps))
    under_seeds = [float(step.mean()) for step in steps]
    return {
        "difference": float(gains.sum() / len(numbers)),
        "interval": bootstrap_interval(gains, np.bincount(numbers)),
        "p": permutation_p(gains),
        "seeds_agree": seeds_agree(under_seeds),
        "by_seed": under_seeds,
    }


def permutation_p(gains: np.ndarray) -> float:
    """The two-sided p of a sum of paired differences, where by chance each might as well have the other sign.

    This is what `scipy.stats.permutation_test` with `permutation_type="samples"` estimates from random swaps, here
    exact: k units that differ by v add v(2B - k), with B binomial (k, 1/2), and the sums of all v convolve. With one
    photo a unit and one seed it is the exact McNemar test.

    Args:
        gains: (units,) integers, how many more answers the first has right than the second.
    """
    chances = np.ones(1)  # of each number of answers that went to the first, out of all that differ
    for size, count in zip(*np.unique(np.abs(gains[gains != 0]), return_counts=True), strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    differing = len(chances) - 1
    sums = 2 * np.arange(differing + 1) - differing
    return float(min(chances[np.abs(sums) >= abs(gains.sum())].sum(), 1.0))


def bootstrap_interval(gains: np.ndarray, answers: np.ndarray, seed: int = 0) -> list[float]:
    """The 95 % percentile bootstrap interval of the gain for each answer, over units.

    What `scipy.stats.bootstrap` does with `paired=True`, but units that are alike are drawn together, as a
    multinomial count: thousands of units are of a few kinds, which makes it about 30 times faster.

    Args:
        gains: (units,) integers, how many more answers the first has right than the second.
        answers: (units,) integers, how many answers each gave.
        seed: of the resamples.
    """
    kinds, counts = np.unique(np.stack([gains, answers], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(gains), counts / counts.sum(), size=trial_run.RESAMPLES)
    sums = drawn @ kinds
    return np.quantile(sums[:, 0] / sums[:, 1], intervals.TAILS).tolist()


def seeds_agree(values: list[float]) -> bool:
    """Whether the differences under several seeds are no luck of single ones.

    With five and more Student's t-test decides. With fewer it would hardly ever find anything, so there the sign has to
    be the same under each; some may be 0, not all.
    """
    if len(values) < trial_run.SEEDS_FOR_T_TEST or np.ptp(values) == 0:
        return any(values) and (min(values) >= 0 or max(values) <= 0)
    return bool(stats.ttest_1samp(values, 0).pvalue <= trial_run.SIGNIFICANCE)


def larger_than_noise(p: float, agree: bool) -> bool:
    """Whether a difference is more than chance among the test photos, and no luck of single seeds.

    The p knows only the photos. That training itself may turn out better or worse is left to the seeds: three agree by
    chance one time in four, so where an accuracy moves much from seed to seed, five or more of them tell more.
    """
    return bool(p <= trial_run.SIGNIFICANCE and agree)


def between(comparison: dict, first: str, second: str) -> tuple[float, bool] | None:
    """How much more accurate one row is than another, and whether that is larger than noise; None without a common
    seed."""
    for pair in comparison["differences"]:
        if {pair["first"], pair["second"]} == {first, second}:
            return pair["difference"] * (1 if pair["first"] == first else -1), pair["larger_than_noise"]
    return None
