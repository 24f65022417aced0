"""Simulate comparisons of strategies: false pairs, found differences, and the coverage of a pair's interval.

A photo is as hard for every model (probit). A model gets 87 % of the photos right, and two equally good models
disagree on 8 %. Each seed tests its own photos, 15 % of all there are. Luck is the SD of a trained model's accuracy
about its strategy's.
"""

import functools

import numpy as np
import tables as markdown_tables
from scipy import optimize, stats

from common.compare import differences, trial_run
from common.evaluation import intervals

ACCURACY = 0.87
TEST_SHARE = 0.15
SEEDS, PHOTOS, LUCK = (3, 5, 10), (120, 550, 2000), (0.0, 0.01, 0.015)
STRATEGIES = 7


def tables(repetitions: int) -> list[str]:
    """Return the tables in Markdown, each cell from this number of made-up comparisons."""
    return [*identical(repetitions), unequal(repetitions), found(repetitions)]


def identical(repetitions: int) -> list[str]:
    """Return how often identical strategies have a false pair, and how often a pair's interval contains 0."""
    false, covered = [], []
    for seeds in SEEDS:
        for luck in LUCK:
            outcomes = [judged(repetitions, [ACCURACY] * STRATEGIES, luck, seeds, photos) for photos in PHOTOS]
            name = [str(seeds), f"{100 * luck:g}"]
            false.append(name + [f"{verdicts.any(axis=1).mean():.3f}" for verdicts, _ in outcomes])
            covered.append(name + [f"{inside.mean():.3f}" for _, inside in outcomes])
    columns = ["seeds", "luck in points", *(f"{photos:,} test photos" for photos in PHOTOS)]
    return [
        f"{STRATEGIES} identical strategies: share of comparisons with a pair that is called larger than noise\n\n"
        + markdown_tables.markdown(columns, false),
        f"{STRATEGIES} identical strategies: coverage of a pair's 95 % interval\n\n"
        + markdown_tables.markdown(columns, covered),
    ]


def unequal(repetitions: int) -> str:
    """Return how often equal strategies have a false pair in other cases: 550 test photos, luck 1 point."""
    equal, usual = [ACCURACY] * 6, 0.01
    cases = {
        "six equal, one 30 points worse": (equal + [ACCURACY - 0.3], usual, 7, {}),
        "six equal, one from scratch: 30 points worse, four times the luck": (
            equal + [ACCURACY - 0.3], [usual] * 6 + [4 * usual], 7, {"scratch": True},
        ),
        "six equal, one from scratch: as good, four times the luck": (
            equal + [ACCURACY], [usual] * 6 + [4 * usual], 7, {"scratch": True},
        ),
        "two strategies": (equal[:2], usual, 2, {}),
        "seven, the same test photos for all seeds": (equal + [ACCURACY], usual, 7, {"same_photos": True}),
    }  # fmt: skip
    rows = []
    for name, (accuracies, luck, strategies, settings) in cases.items():
        same = np.subtract.outer(accuracies, accuracies)[np.triu_indices(strategies, 1)] == 0
        outcomes = [judged(repetitions, accuracies, luck, seeds, 550, **settings)[0][:, same] for seeds in SEEDS]
        rows.append([name, *(f"{verdicts.any(axis=1).mean():.3f}" for verdicts in outcomes)])
    title = "Other cases, 550 test photos, luck 1 point: share of comparisons with a false pair\n\n"
    return title + markdown_tables.markdown(["strategies", *(f"{seeds} seeds" for seeds in SEEDS)], rows)


def found(repetitions: int) -> str:
    """Return how often the pairs of one worse strategy are found, and in brackets what `differences.power` says."""
    rows = []
    for strategies, points in ((STRATEGIES, 3), (STRATEGIES, 5), (2, 5)):
        for photos in PHOTOS:
            accuracies = [ACCURACY - points / 100] + [ACCURACY] * (strategies - 1)
            cells = []
            for seeds in SEEDS:
                verdicts = judged(repetitions, accuracies, 0.01, seeds, photos)[0][:, : strategies - 1]
                said = differences.power(seeds, photos, points / 100, strategies)
                cells.append(f"{verdicts.mean():.2f} ({said:.2f})")
            rows.append([str(strategies), f"{points} points", f"{photos:,}", *cells])
    title = "One worse strategy, luck 1 point: share of its pairs that are found (in brackets `differences.power`)\n\n"
    columns = ["strategies", "worse by", "test photos", *(f"{seeds} seeds" for seeds in SEEDS)]
    return title + markdown_tables.markdown(columns, rows)


# Made-up comparisons ------------------------------------------------------------------------------------------


@functools.cache
def shared_hardness() -> float:
    """Return the share of a photo's hardness that all models see, from how often two models disagree."""
    limit = stats.norm.ppf(ACCURACY)
    wanted = ACCURACY - differences.DISAGREEMENT / 2

    def excess(share: float) -> float:
        both = stats.multivariate_normal(cov=[[1, share], [share, 1]]).cdf([limit, limit])
        return float(both) - wanted

    return float(optimize.brentq(excess, 0.01, 0.99))


def comparison(
    random: np.random.Generator, accuracies: np.ndarray, luck: np.ndarray, seeds: int, photos: int, everything: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the answers of one comparison as `differences.estimates` takes them.

    Args:
        random: the source of all that is drawn.
        accuracies: (strategies,) floats, the true accuracy of each.
        luck: (strategies,) floats, the SD of a trained model's accuracy about it.
        seeds: the number of seeds.
        photos: the number of test photos of one seed.
        everything: the number of photos that they are drawn from.
    """
    share = np.float32(shared_hardness())
    hardness = random.standard_normal(everything, dtype=np.float32)
    units = np.concatenate([random.choice(everything, photos, replace=False, shuffle=False) for _ in range(seeds)])
    trained = accuracies[:, None] + luck[:, None] * random.standard_normal((len(accuracies), seeds))
    limits = np.repeat(stats.norm.ppf(np.clip(trained, 0.01, 0.999)), photos, axis=1).astype(np.float32)
    own = random.standard_normal((len(accuracies), seeds * photos), dtype=np.float32)
    right = np.sqrt(share) * hardness[units] + np.sqrt(1 - share) * own < limits
    return right.astype(int), np.repeat(np.arange(seeds), photos), units


def judged(
    repetitions: int,
    accuracies: list[float],
    luck: float | list[float],
    seeds: int,
    photos: int,
    scratch: bool = False,
    same_photos: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `differences` says of the pairs of made-up comparisons.

    Args:
        repetitions: the number of comparisons.
        accuracies: the true accuracy of each strategy.
        luck: the SD of a trained model's accuracy about it, for all or for each.
        seeds: the number of seeds.
        photos: the number of test photos of one seed.
        scratch: whether the last strategy is training from scratch.
        same_photos: whether all seeds test the same photos.

    Returns:
        Two (repetitions, pairs) boolean arrays: called larger than noise, and true difference inside the interval.
    """
    random = np.random.default_rng([seeds, photos])
    true, pairs = np.array(accuracies), np.triu_indices(len(accuracies), 1)
    apart = np.arange(len(true)) == (len(true) - 1 if scratch else -1)
    spread = np.broadcast_to(luck, true.shape)
    verdicts, inside = [], []
    for _ in range(repetitions):
        answers = comparison(random, true, spread, seeds, photos, photos if same_photos else round(photos / TEST_SHARE))
        difference, variance, freedom = (each[pairs] for each in differences.estimates(*answers, apart))
        error = np.sqrt(variance)
        verdicts.append(np.sqrt(2) * np.abs(difference) >= needed_range(len(true), freedom) * error)
        off = np.abs(difference - (true[pairs[0]] - true[pairs[1]]))
        inside.append(off <= stats.t.ppf(intervals.TAILS[1], freedom) * error)
    return np.array(verdicts), np.array(inside)


def needed_range(strategies: int, freedom: np.ndarray) -> np.ndarray:
    """Return the studentized range whose `differences.p_values` is 0.05: each p by itself would take milliseconds."""
    return np.interp(1 / freedom, *_ranges(strategies))


@functools.cache
def _ranges(strategies: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inverse degrees of freedom in ascending order, and the range for each."""
    freedom = np.array([np.inf, 1000, 300, 120, 60, 40, 30, 24, 20, *np.arange(18, 1.9, -0.5)])
    return 1 / freedom, stats.studentized_range.ppf(1 - trial_run.SIGNIFICANCE, strategies, freedom)
