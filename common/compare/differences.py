"""Differences between strategies: all pairs of a comparison at once, with what a comparison of its size can tell."""

import functools
import itertools

import numpy as np
from scipy import stats

from common import errors, words
from common.compare import trial_run
from common.evaluation import intervals

VERDICT_SEEDS = 3  # fewer give no verdict
# What is usual, for the plan of a comparison: the SD of a trained model's accuracy about its strategy's, and the share
# of the test photos that one of two equally good models gets right and the other wrong.
LUCK, DISAGREEMENT = 0.01, 0.08
DRAWS = 4_000
MORE_SEEDS = (3, 5, 10)
TOLD = (0.05, 0.03, 0.02, 0.01)  # differences that the sentence on the power may speak of

# All pairs ----------------------------------------------------------------------------------------------------


def differences(full_size: dict[str, list[trial_run.Run]]) -> list[dict]:
    """Return each pair of rows, the more accurate one first, and whether they differ by more than noise.

    Two things are noise: the luck of training, which the seeds show, and the choice of the test photos (`estimates`).
    Tukey's test judges all pairs at once: where all strategies are equally good, the chance that any pair is called
    larger than noise is about 5 %. With two strategies it is the paired t-test.

    Args:
        full_size: name of the row → its runs with all training photos.

    Returns:
        Dicts with `first`, `second` and `difference`: the first's share of right answers minus the second's, over the
        photos and the seeds of `common_seeds`. `standard_error`, `interval` (95 %, of this pair alone) and `p` belong
        to it. They are None with fewer than three seeds or with one group of test photos; then `larger_than_noise`
        is False.

    Raises:
        UserError: under one seed two rows have different test photos.
    """
    shares = shares_right(full_size)
    runs = {name: common_seeds(full_size)[name] for name in sorted(shares, key=lambda name: -shares[name])}
    pairs: list[dict] = [
        {"first": first, "second": second, "difference": shares[first] - shares[second], "standard_error": None,
         "interval": None, "p": None, "larger_than_noise": False}
        for first, second in itertools.combinations(runs, 2)
    ]  # fmt: skip
    if not pairs:
        return []
    right, seeds, units = _answers(list(runs.values()))
    if seeds[-1] + 1 < VERDICT_SEEDS or not units.any():
        return pairs
    apart = np.array([row[0].role == trial_run.SCRATCH for row in runs.values()])
    return judged(pairs, *estimates(right, seeds, units, apart))


def judged(pairs: list[dict], difference: np.ndarray, variance: np.ndarray, freedom: np.ndarray) -> list[dict]:
    """Return pairs with what belongs to their differences, as `differences` describes it.

    Args:
        pairs: of all strategies, in the order of `itertools.combinations`.
        difference, variance, freedom: (strategies, strategies), as `estimates` returns them.
    """
    strategies = len(difference)
    found = [each[np.triu_indices(strategies, 1)] for each in (difference, variance, freedom)]
    difference, variance, freedom = found
    reach = stats.t.ppf(intervals.TAILS[1], freedom) * np.sqrt(variance)
    p = p_values(difference, variance, freedom, strategies)
    for number, pair in enumerate(pairs):
        pair |= {
            "standard_error": float(np.sqrt(variance[number])),
            "interval": [float(difference[number] - reach[number]), float(difference[number] + reach[number])],
            "p": float(p[number]),
            "larger_than_noise": bool(p[number] <= trial_run.SIGNIFICANCE),
        }
    return pairs


def common_seeds(full_size: dict[str, list[trial_run.Run]]) -> dict[str, list[trial_run.Run]]:
    """Return the runs of each row for the seeds that all rows finished.

    A row takes no part if it failed so often that fewer than three common seeds would be left.
    """
    finished = {name: trial_run.by_seed(runs) for name, runs in full_size.items()}
    often_first = sorted(finished, key=lambda name: -len(finished[name]))
    seeds = set(finished[often_first[0]]) if finished else set()
    needed, kept = min(len(seeds), VERDICT_SEEDS), set()
    for name in often_first:
        if len(seeds & finished[name].keys()) >= needed:
            seeds &= finished[name].keys()
            kept.add(name)
    return {name: [finished[name][seed] for seed in sorted(seeds)] for name in full_size if name in kept}


def shares_right(full_size: dict[str, list[trial_run.Run]]) -> dict[str, float]:
    """Return name → the share of right answers over the common seeds, for the rows that take part."""
    runs = common_seeds(full_size)
    return {name: float(np.concatenate([run.answers.right for run in row]).mean()) for name, row in runs.items()}


def _answers(rows: list[list[trial_run.Run]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the answers of the rows as `estimates` takes them."""
    for first, other in ((first, other) for row in rows for first, other in zip(rows[0], row, strict=True)):
        if first.answers.paths != other.answers.paths:
            raise errors.UserError(
                f"{first.strategy} and {other.strategy} have different test photos with seed {first.seed}, so the data "
                "changed between the two runs; start the comparison again with another --out"
            )
    right = np.array([np.concatenate([run.answers.right for run in row]) for row in rows])
    units = np.unique(np.concatenate([run.answers.units for run in rows[0]]), return_inverse=True)[1]
    return right, np.repeat(np.arange(len(rows[0])), [len(run.answers.right) for run in rows[0]]), units


def estimates(
    right: np.ndarray, seeds: np.ndarray, units: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each pair's difference, its variance and the degrees of freedom of the variance.

    The variance is that of the seeds (`luck`) plus what the seeds share because they test the same photos: that of the
    units over all seeds minus that of each unit in each seed by itself. This is clustering in two ways (Cameron,
    Gelbach and Miller 2011, https://doi.org/10.1198/jbes.2010.07136). The degrees of freedom are those of the seeds,
    raised for the share that is not theirs (Satterthwaite 1946, https://doi.org/10.2307/3002019).

    Args:
        right: (strategies, answers) integers, 1 where the answer is right.
        seeds: (answers,) integers from 0 in ascending order, the seed; at least two.
        units: (answers,) integers from 0, the photo or its group, the same under all seeds; at least two.
        apart: (strategies,) booleans, see `luck`.

    Returns:
        Three (strategies, strategies) arrays; the difference is that of the row minus that of the column.
    """
    accuracies = np.array([np.bincount(seeds, each) for each in right]) / np.bincount(seeds)
    of_seeds, freedom = luck(accuracies, apart)
    share = right.mean(axis=1)
    residuals = right - share[:, None]
    count = units.max() + 1

    def clustered(numbers: np.ndarray) -> np.ndarray:
        sums = np.array([np.bincount(numbers, each) for each in residuals])
        return _of_pairs(sums @ sums.T) / len(units) ** 2

    shared = count / (count - 1) * clustered(units) - clustered(seeds * count + units)
    return share[:, None] - share, *with_shared(of_seeds, freedom, shared, count)


def with_shared(
    of_seeds: np.ndarray, freedom: np.ndarray, shared: np.ndarray, units: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of `luck` and of what the seeds share, and its degrees of freedom.

    Args:
        of_seeds, freedom: as `luck` returns them.
        shared: the variance that the seeds share, as they test the same photos; below 0, it counts as 0.
        units: the number of photos or groups.
    """
    variance = of_seeds + np.maximum(shared, 0)
    ratio = np.divide(variance, of_seeds, out=np.ones_like(variance), where=of_seeds > 0)
    freedom = np.where(of_seeds > 0, freedom * ratio**2, np.inf)
    return variance, np.minimum(freedom, units - 1)


def luck(accuracies: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of each pair's mean difference over seeds, and its degrees of freedom.

    It is the larger of two: what an analysis of variance by strategy and seed leaves unexplained, which all strategies
    estimate together, and the variance of the pair's own differences. A strategy that is `apart`, such as training
    from scratch, may vary far more than the others. It stays out of what they estimate together, and its pairs have
    the degrees of freedom of their own differences.

    Args:
        accuracies: (…, strategies, seeds) floats, the accuracy under each seed.
        apart: (strategies,) booleans.

    Returns:
        (…, strategies, strategies) variances, and (strategies, strategies) degrees of freedom.
    """
    seeds = accuracies.shape[-1]
    steps = accuracies - accuracies.mean(axis=-1, keepdims=True)
    own = _of_pairs(steps @ np.swapaxes(steps, -1, -2)) / (seeds - 1)
    alike = steps[..., ~apart, :]
    freedom = max(alike.shape[-2] - 1, 0) * (seeds - 1)
    left = (
        ((alike - alike.mean(axis=-2, keepdims=True)) ** 2).sum(axis=(-2, -1))
        if freedom
        else np.zeros(accuracies.shape[:-2])
    )
    pooled = 2 * left[..., None, None] / max(freedom, 1)
    return np.maximum(pooled, own) / seeds, np.where(apart[:, None] | apart, seeds - 1, freedom)


def _of_pairs(products: np.ndarray) -> np.ndarray:
    """Return (…, n, n) sums of squares of the differences of n vectors from the (…, n, n) products of the vectors."""
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    return np.maximum(squares[..., :, None] + squares[..., None, :] - 2 * products, 0)


def p_values(difference: np.ndarray, variance: np.ndarray, freedom: np.ndarray, strategies: int) -> np.ndarray:
    """Return the p of each pair, adjusted for all pairs of the strategies (Tukey's studentized range).

    It is the chance that the largest difference among equally good strategies is at least as large, in standard errors
    (https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.studentized_range.html).
    """
    size = np.abs(difference)
    ratio = np.divide(size, np.sqrt(variance), out=np.where(size > 0, np.inf, 0.0), where=variance > 0)
    return stats.studentized_range.sf(np.sqrt(2) * ratio, strategies, freedom)


# What a comparison can tell -----------------------------------------------------------------------------------


@functools.cache
def power(seeds: int, test_photos: int, difference: float, strategies: int = 7, variance: float | None = None) -> float:
    """Return the chance that one strategy's difference to another is found, from made-up comparisons.

    Accuracies are drawn from normal distributions, and judged as `differences` judges them.

    Args:
        seeds: the number of seeds.
        test_photos: the number of test photos of one seed.
        difference: the true difference, 0.05 for five points.
        strategies: the number of strategies, which are all compared with each other.
        variance: of a pair's difference under one seed. By default the usual one: that of the luck of training
            (`LUCK`), and that of test photos of which two models disagree on 8 % (`DISAGREEMENT`).
    """
    if seeds < VERDICT_SEEDS or strategies < 2:
        return 0.0
    variance = usual_variance(test_photos) if variance is None else variance
    drawn = np.random.default_rng(0).normal(scale=np.sqrt(variance / 2), size=(DRAWS, strategies, seeds))
    found, freedom = luck(drawn, np.zeros(strategies, bool))
    sizes = (difference + (drawn[:, 0] - drawn[:, 1]).mean(axis=-1)) / np.sqrt(found[:, 0, 1])
    needed = stats.studentized_range.ppf(1 - trial_run.SIGNIFICANCE, strategies, freedom[0, 1]) / np.sqrt(2)
    return float(np.mean(sizes >= needed))


def usual_variance(test_photos: int) -> float:
    """Return the usual variance of the difference of two equally good strategies under one seed."""
    return 2 * LUCK**2 + DISAGREEMENT / test_photos


def can_tell(seeds: int, test_photos: int, strategies: int, variance: float | None = None) -> str:
    """Return a sentence on the differences that a comparison finds, and that more seeds would find; see `power`."""

    def cases(count: int, size: float) -> str:
        chance = power(count, test_photos, size, strategies, variance)
        return "nearly all" if chance >= 0.95 else "hardly any" if chance < 0.05 else f"{10 * chance:.0f}"

    counts = sorted({count for count in (seeds, *MORE_SEEDS) if count >= max(seeds, VERDICT_SEEDS)})
    size = next((size for size in TOLD if cases(counts[0], size) != "nearly all"), TOLD[-1])
    found = [cases(count, size) for count in counts]
    if "nearly all" in found:
        found = found[: found.index("nearly all") + 1]
    of_ten = " of 10" if found[0].isdigit() else ""
    what = f"{words.plural(round(100 * size), 'point')} is found in {found[0]}{of_ten} cases"
    more = [f"with {count} in {each}" for count, each in zip(counts[1:], found[1:], strict=False)]
    begin = f"With {words.plural(test_photos, 'test photo')} and {words.plural(seeds, 'seed')}"
    if seeds < VERDICT_SEEDS:
        what = f"no difference can be told from luck; with {counts[0]} seeds one of {what}"
        return f"{begin} {', '.join([what, *more])}."
    return f"{begin} a difference of {'; '.join([what, ', '.join(more)] if more else [what])}."


def said_power(full_size: dict[str, list[trial_run.Run]], pairs: list[dict]) -> str | None:
    """Return the sentence of `can_tell` on a comparison that has run; None with fewer than two rows.

    The noise is the usual one, or that of these results if it is larger: a few seeds may agree by chance.

    Args:
        full_size: name of the row → its runs with all training photos.
        pairs: their `differences`.
    """
    rows = list(common_seeds(full_size).values())
    if len(rows) < 2:
        return None
    seeds = len(rows[0])
    test_photos = round(float(np.mean([len(run.answers.right) for run in rows[0]])))
    scratch = {name for name, runs in full_size.items() if runs[0].role == trial_run.SCRATCH}
    measured = [
        seeds * pair["standard_error"] ** 2
        for pair in pairs
        if pair["standard_error"] is not None and not scratch & {pair["first"], pair["second"]}
    ]
    variance = max([usual_variance(test_photos), *([float(np.median(measured))] if measured else [])])
    return can_tell(seeds, test_photos, len(rows), variance)


# Reading them -------------------------------------------------------------------------------------------------


def between(comparison: dict, first: str, second: str) -> tuple[float, bool] | None:
    """Return how much more accurate one row is than another, and whether that is larger than noise.

    It is None if one of them finished too few seeds.
    """
    for pair in comparison["differences"]:
        if {pair["first"], pair["second"]} == {first, second}:
            return pair["difference"] * (1 if pair["first"] == first else -1), pair["larger_than_noise"]
    return None


def worse(comparison: dict, name: str) -> bool:
    """Return whether a row is worse than the first row or the choice by more than noise."""
    found = [between(comparison, name, other) for other in (comparison["rows"][0]["name"], comparison["choice"])]
    return any(pair[1] and pair[0] < 0 for pair in found if pair)


def not_told_apart(comparison: dict) -> set[str]:
    """Return the rows that were compared with the first row, and of which it is open whether they are worse."""
    best = comparison["rows"][0]["name"] if comparison["rows"] else None
    pairs = [pair for pair in comparison["differences"] if best in (pair["first"], pair["second"])]
    names = {name for pair in pairs if pair["p"] is not None for name in (pair["first"], pair["second"])} - {best}
    return {name for name in names if not worse(comparison, name)}


# One pair, for the claims -------------------------------------------------------------------------------------


def difference(first: list[trial_run.Run], second: list[trial_run.Run]) -> dict | None:
    """Return the difference of two strategies by themselves, judged as in `differences`.

    Args:
        first, second: the runs of two strategies, one for each seed; only seeds that both finished count.

    Returns:
        `difference` (the first's share of right answers minus the second's), its `interval` (95 %) and `p`; None with
        fewer than three common seeds.

    Raises:
        UserError: under one seed the two have different test photos.
    """
    (pair,) = differences({"first": first, "second": second}) or [{"p": None}]
    if pair["p"] is None:
        return None
    sign = 1 if pair["first"] == "first" else -1
    interval = sorted(sign * limit for limit in pair["interval"])
    return {"difference": sign * pair["difference"], "interval": interval, "p": pair["p"]}
