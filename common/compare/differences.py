"""Differences between strategies: paired over seeds, with an interval and a permutation test."""

import itertools

import numpy as np
from scipy import stats

from common import errors
from common.compare import trial_run
from common.evaluation import intervals

# Differences and noise ----------------------------------------------------------------------------------------


def differences(full_size: dict[str, list[trial_run.Run]]) -> list[dict]:
    """Return each pair of rows, the more accurate one first, and whether they differ by more than noise.

    `q` is `p` adjusted after Benjamini and Hochberg (1995). Of the differences with q up to 0.05, at most about 5 %
    are chance, however many pairs are compared.

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
    """Return the difference in test accuracy of two strategies, paired over seeds and photos.

    A photo that is a test photo under several seeds is one unit, and so are the photos of a group. Their answers are
    not independent evidence.

    Args:
        first, second: the runs of two strategies, one for each seed; only seeds that both finished count.

    Returns:
        None without a common seed, else a dict. `difference` is the first's accuracy minus the second's, over photos
        and seeds; `by_seed` has it for each seed. `interval` ([low, high], 95 %), `p` (two-sided) and `seeds_agree`
        belong to it.

    Raises:
        UserError: under one seed the two have different test photos.
    """
    pairs = trial_run.paired(first, second)
    if not pairs:
        return None
    for one, other in pairs:
        if one.answers.paths != other.answers.paths:
            raise errors.UserError(
                f"{one.strategy} and {other.strategy} have different test photos with seed {one.seed}, so the data "
                "changed between the two runs; start the comparison again with another --out"
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
    """Return the two-sided p of a sum of paired differences, whose signs are random under the null hypothesis.

    It is the exact value of what `scipy.stats.permutation_test` with `permutation_type="samples"` estimates from
    random swaps. The k units that differ by v add v(2B - k), with B binomial (k, 1/2); the sums of all v are convolved.
    With one photo per unit and one seed it is the exact McNemar test.

    Args:
        gains: (units,) integers, the first's number of right answers minus the second's.
    """
    chances = np.ones(1)  # the probability of each number of wins of the first, among all answers that differ
    for size, count in zip(*np.unique(np.abs(gains[gains != 0]), return_counts=True), strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    differing = len(chances) - 1
    sums = 2 * np.arange(differing + 1) - differing
    return float(min(chances[np.abs(sums) >= abs(gains.sum())].sum(), 1.0))


def bootstrap_interval(gains: np.ndarray, answers: np.ndarray, seed: int = 0) -> list[float]:
    """Return the 95 % percentile bootstrap interval of the gain per answer, resampling units.

    It does what `scipy.stats.bootstrap` does with `paired=True`, but draws equal units together, as a multinomial
    count. Thousands of units are of a few kinds, so it is about 30 times faster.

    Args:
        gains: (units,) integers, the first's number of right answers minus the second's.
        answers: (units,) integers, the number of answers of each strategy.
        seed: the seed of the resamples.
    """
    kinds, counts = np.unique(np.stack([gains, answers], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(gains), counts / counts.sum(), size=trial_run.RESAMPLES)
    sums = drawn @ kinds
    return np.quantile(sums[:, 0] / sums[:, 1], intervals.TAILS).tolist()


def seeds_agree(values: list[float]) -> bool:
    """Return whether the seeds agree that there is a difference.

    With five or more seeds Student's t-test decides. With fewer it would hardly ever find anything, so all differences
    must have the same sign; some may be 0, but not all.
    """
    if len(values) < trial_run.SEEDS_FOR_T_TEST or np.ptp(values) == 0:
        return any(values) and (min(values) >= 0 or max(values) <= 0)
    return bool(stats.ttest_1samp(values, 0).pvalue <= trial_run.SIGNIFICANCE)


def larger_than_noise(p: float, agree: bool) -> bool:
    """Return whether a difference is neither chance among the test photos nor luck of single seeds.

    The p covers only the choice of photos; the randomness of training shows in the seeds. Three seeds agree by chance
    one time in four, so use five or more where the accuracy varies much between seeds.
    """
    return bool(p <= trial_run.SIGNIFICANCE and agree)


def between(comparison: dict, first: str, second: str) -> tuple[float, bool] | None:
    """Return how much more accurate one row is than another, and whether that is larger than noise.

    It is None if the two have no common seed.
    """
    for pair in comparison["differences"]:
        if {pair["first"], pair["second"]} == {first, second}:
            return pair["difference"] * (1 if pair["first"] == first else -1), pair["larger_than_noise"]
    return None
