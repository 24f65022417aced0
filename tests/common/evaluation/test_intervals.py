"""Intervals against known numbers, and their coverage of a known truth."""

import numpy as np
import pytest
from scipy import stats

from common.evaluation import intervals

pytestmark = pytest.mark.quick


def alone(count, right):
    """The interval of `right` of `count` single answers."""
    return intervals.share(np.arange(count) < right, np.ones(count, bool), np.arange(count))[1:]


def test_without_groups_a_share_has_clopper_and_pearsons_interval():
    for count, right in ((120, 119), (120, 120), (120, 0), (7, 3), (1, 1)):
        expected = stats.binomtest(right, count).proportion_ci(method="exact")
        assert alone(count, right) == pytest.approx(list(expected))
    assert alone(120, 119) == pytest.approx([0.954, 0.9998], abs=5e-4)


def test_nothing_has_no_interval_and_a_single_group_says_nothing():
    assert intervals.share([True], [False], np.arange(1)) == [None, None, None]
    assert intervals.share([True, False, False], [True] * 3, np.zeros(3, int)) == [1 / 3, 0.0, 1.0]


def test_several_pictures_of_a_lesion_say_no_more_than_one():
    def share(repeats, errors):
        lesions = np.arange(50).repeat(repeats)
        return intervals.share(lesions >= errors, np.ones(len(lesions), bool), lesions)

    for errors in (0, 1, 20):
        assert share(4, errors) == pytest.approx(share(1, errors), abs=0.01)


def test_the_design_effect_by_hand():
    """Korn and Graubard: 40 answers of four groups, of which 10, 10, 6 and 6 are right."""
    hits, sizes = np.array([[10.0], [10], [6], [6]]), np.full((4, 1), 10.0)
    variance = 4 / 3 * 4 * 2**2 / 40**2
    worth = 40 / (variance / (0.8 * 0.2 / 39)) * (stats.t.ppf(0.975, 39) / stats.t.ppf(0.975, 3)) ** 2
    low, high = intervals.proportions(hits, sizes)
    assert low == pytest.approx(stats.beta.ppf(0.025, 0.8 * worth, 0.2 * worth + 1))
    assert high == pytest.approx(stats.beta.ppf(0.975, 0.8 * worth + 1, 0.2 * worth))


def grouped(random, sizes, accuracy, correlation, repetitions):
    """How many answers of each group are right, (repetitions, groups); a group's own accuracy is beta distributed."""
    spread = (1 - correlation) / correlation
    own = random.beta(np.multiply(accuracy, spread), np.subtract(1, accuracy) * spread, (repetitions, sizes.shape[-1]))
    return random.binomial(sizes, own)


@pytest.mark.parametrize("accuracy", [0.87, 0.95])
@pytest.mark.parametrize("groups", [5, 10, 15, 20, 40])
def test_coverage_with_few_groups(groups, accuracy):
    random = np.random.default_rng(0)
    sizes = 1 + random.poisson(9, (2000, groups))
    low, high = intervals.proportions(grouped(random, sizes, accuracy, 0.3, 2000).T, sizes.T)
    assert np.mean((low <= accuracy) & (accuracy <= high)) >= 0.91


@pytest.mark.parametrize(("count", "accuracy"), [(120, 0.97), (550, 0.99), (120, 0.995), (20, 0.5)])
def test_coverage_near_one(count, accuracy):
    hits = np.random.default_rng(0).binomial(1, accuracy, (count, 1000))
    low, high = intervals.proportions(hits, np.ones(hits.shape))
    assert np.mean((low <= accuracy) & (accuracy <= high)) >= 0.95


RARE = {
    "100/100/3": ([100, 100, 3], [0.9, 0.9, 0.7]),
    "100/5": ([100, 5], [0.95, 0.8]),
    "60/40/12/5/3": ([60, 40, 12, 5, 3], [0.95, 0.95, 0.9, 0.9, 0.9]),
    "5 x 24": ([24] * 5, [0.87] * 5),
    "HAM10000": ([268, 44, 44, 20, 13, 6, 4], [0.95, 0.9, 0.9, 0.9, 0.85, 0.9, 0.8]),
}


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("name", RARE)
def test_coverage_of_a_balanced_accuracy_with_rare_classes(name, most):
    """Single photos, or lesions of 1 to 4 pictures with a correlation of .7."""
    random, (counts, recalls) = np.random.default_rng(0), RARE[name]
    classes = np.repeat(np.arange(len(counts)), counts)
    sizes, of_class = random.integers(1, most + 1, len(classes)), np.eye(len(counts))[classes]
    accuracy = np.array(recalls)[classes]
    hits = grouped(random, sizes, accuracy, 0.7, 250) if most > 1 else random.binomial(1, accuracy, (250, len(sizes)))
    found = np.array([intervals.mean_share(row[:, None] * of_class, sizes[:, None] * of_class) for row in hits])
    assert np.mean((found[:, 0] <= np.mean(recalls)) & (np.mean(recalls) <= found[:, 1])) >= 0.92


def test_groups_with_several_classes_widen_the_interval_of_a_balanced_accuracy():
    """Ten cameras, of which each gets both classes right or wrong: as two classes of ten cameras, not of twenty."""
    right = np.array([1.0] * 8 + [0] * 2)
    both = intervals.mean_share(np.stack([right, right], axis=1), np.ones((10, 2)))
    assert both == pytest.approx(alone(10, 8))
    apart = np.kron(np.eye(2), right[:, None])
    assert np.ptp(intervals.mean_share(apart, np.kron(np.eye(2), np.ones((10, 1))))) < 0.8 * np.ptp(both)


def test_the_mean_has_students_interval():
    values = np.random.default_rng(0).normal(2, 1, 12)
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert intervals.mean(values, np.ones(12)) == pytest.approx(expected)
    assert intervals.mean(values[:1], np.ones(1)) is None
    low, high = intervals.mean(values, np.ones(12), positive=True)
    assert low * high == pytest.approx(values.mean() ** 2) and low == pytest.approx(expected[0], rel=0.1)


@pytest.mark.parametrize("groups", [5, 10, 20])
def test_coverage_of_a_mean_loss(groups):
    random = np.random.default_rng(0)
    losses = np.exp(random.normal(size=(500, groups, 10)) + 0.6 * random.normal(size=(500, groups, 1)))
    found = [intervals.mean(row.sum(axis=1), np.full(groups, 10), positive=True) for row in losses]
    low, high = np.transpose(found)
    assert np.mean((low <= np.exp(0.68)) & (np.exp(0.68) <= high)) >= 0.91


def test_resamples_that_do_not_vary_or_too_few_units_give_no_limits():
    assert intervals.limits(np.ones(100), 50) is None
    tail = stats.norm.cdf(stats.t.ppf(0.025, 19) * np.sqrt(20 / 19))  # Hesterberg 2015
    assert intervals.limits(np.linspace(0, 1, 1001), 20) == pytest.approx([tail, 1 - tail])
    assert intervals.fewest(np.repeat([0, 1], 10), np.arange(20)) == 10
    assert intervals.fewest(np.repeat([0, 1], 10), np.arange(20) // 2) == 5


def test_noise_of_an_accuracy_is_its_standard_error_and_at_least_one_answer():
    draws = np.random.default_rng(0).binomial(50, 0.8, 20_000) / 50
    assert intervals.accuracy_noise(0.8, 50) == pytest.approx(draws.std(), rel=0.02)
    assert intervals.accuracy_noise(1.0, 15) == pytest.approx(1 / 15, rel=1e-4)


# Paired shares ------------------------------------------------------------------------------------------------------


def paired(both, first_only, then_only, neither):
    """Single answers by whether they are right the first time and then."""
    counts = (both, first_only, then_only, neither)
    hits = np.repeat([1.0, 1, 0, 0], counts)[:, None], np.repeat([1.0, 0, 1, 0], counts)[:, None]
    return intervals.paired_shares(*hits, np.ones((sum(counts), 1)))


def test_paired_shares_are_newcombes_tenth_method():
    """By hand, with Clopper and Pearson's limits in place of Wilson's, and his correction of phi."""
    both, first_only, then_only, neither = counts = (36, 12, 2, 10)
    n = sum(counts)
    shares = [(both + first_only) / n, (both + then_only) / n]
    limits = [stats.binomtest(round(share * n), n).proportion_ci(method="exact") for share in shares]
    product = both * neither - first_only * then_only
    phi = (product - n / 2) / np.sqrt(np.prod([n * share * n * (1 - share) for share in shares]))
    above, below = limits[0].high - shares[0], shares[1] - limits[1].low
    low = shares[1] - shares[0] - np.sqrt(above**2 + below**2 - 2 * phi * above * below)
    gain, found, high = paired(*counts)
    assert (gain, found) == pytest.approx((-10 / 60, low)) and found < gain < high < 0
    assert paired(both, then_only, first_only, neither) == pytest.approx([-gain, -high, -found])  # the other way round


def test_answers_that_do_not_change_are_no_proof():
    for right in (0, 30, 60):
        gain, low, high = paired(right, 0, 0, 60 - right)
        assert gain == 0 and -0.1 < low < -0.005 < 0.005 < high < 0.1


def test_paired_shares_cover_the_truth():
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        first = random.random(60) < 0.8
        then = np.where(first, random.random(60) < 0.7, random.random(60) < 0.2)
        _, low, high = intervals.paired_shares(*(hits[:, None] * 1.0 for hits in (first, then)), np.ones((60, 1)))
        inside += low <= -0.2 <= high
    assert inside >= 0.94 * 400
