import numpy as np
import pytest
from made_up_trials import compared, right, trial
from scipy import stats

from common import errors
from common.compare import differences
from common.compare import table as compare_table

pytestmark = pytest.mark.quick


def test_one_pair_by_itself_is_a_paired_t_test(tmp_path):
    """Each seed has its own test photos, so the seeds share nothing."""
    random = np.random.default_rng(0)
    accuracies = {"first": [0.80, 0.83, 0.85, 0.81, 0.86], "second": [0.78, 0.84, 0.80, 0.79, 0.82]}
    runs = {
        name: [
            trial(tmp_path, name, seed, random.permutation(right(round(400 * share), 400)).tolist())
            for seed, share in enumerate(shares)
        ]
        for name, shares in accuracies.items()
    }  # fmt: skip
    found = differences.difference(runs["first"], runs["second"])
    expected = stats.ttest_rel(accuracies["first"], accuracies["second"])
    assert found["difference"] == pytest.approx(0.024) and found["p"] == pytest.approx(expected.pvalue, rel=0.05)
    assert found["interval"] == pytest.approx(list(expected.confidence_interval()), abs=2e-3)
    turned = differences.difference(runs["second"], runs["first"])
    assert turned["difference"] == -found["difference"] and turned["p"] == found["p"]
    assert turned["interval"] == pytest.approx([-limit for limit in reversed(found["interval"])])
    assert differences.difference(runs["first"][:2], runs["second"]) is None


def hits(random, accuracy, of=100):
    return (random.random(of) < accuracy).astype(int).tolist()


def test_the_same_strategy_under_two_names_is_not_different(tmp_path):
    answers = [right(70, 100), right(60, 100), right(65, 100)]
    trials = [trial(tmp_path, name, seed, answers[seed]) for name in ("this", "that") for seed in range(3)]
    (pair,) = compared(trials, tmp_path)["differences"]
    assert (pair["difference"], pair["interval"], pair["p"]) == (0, [0, 0], 1) and not pair["larger_than_noise"]


def test_a_large_difference_is_found_whichever_comes_first(tmp_path):
    trials = [trial(tmp_path, "poor", seed, right(50 + seed, 100)) for seed in range(3)]
    trials += [trial(tmp_path, "good", seed, right(80 - seed % 2, 100)) for seed in range(4)]  # the last has no partner
    found = compared(trials, tmp_path)
    (pair,) = found["differences"]
    assert (pair["first"], pair["second"]) == ("good", "poor")
    assert pair["difference"] == pytest.approx((0.30 + 0.28 + 0.28) / 3)
    assert 0 < pair["interval"][0] < pair["difference"] < pair["interval"][1] < 0.5
    assert pair["p"] < 0.01 and pair["larger_than_noise"]
    assert [row["name"] for row in found["rows"]] == ["good", "poor"]


def test_one_lucky_seed_is_noise(tmp_path):
    lucky = {0: right(90, 100), 1: right(49, 100), 2: right(49, 100)}
    trials = [trial(tmp_path, "lucky", seed, answers) for seed, answers in lucky.items()]
    trials += [trial(tmp_path, "steady", seed, right(50, 100)) for seed in lucky]
    (pair,) = compared(trials, tmp_path)["differences"]
    assert pair["difference"] > 0.1 and pair["p"] > 0.3 and not pair["larger_than_noise"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_give_no_verdict(tmp_path, seeds):
    trials = [trial(tmp_path, name, seed, right(count, 100)) for name, count in (("good", 99), ("poor", 1))
              for seed in range(seeds)]  # fmt: skip
    (pair,) = compared(trials, tmp_path)["differences"]
    assert pair["difference"] == pytest.approx(0.98)
    assert pair["interval"] is pair["p"] is None and not pair["larger_than_noise"]


def test_test_photos_of_one_group_give_no_verdict(tmp_path):
    trials = [trial(tmp_path, name, seed, right(count, 10), groups=["patient"] * 10)
              for name, count in (("good", 9), ("poor", 1)) for seed in range(3)]  # fmt: skip
    assert compared(trials, tmp_path)["differences"][0]["p"] is None


def test_a_row_that_failed_often_does_not_take_the_verdicts_of_the_others(tmp_path):
    trials = [trial(tmp_path, name, seed, right(count + seed % 2, 100)) for name, count in (("good", 80), ("poor", 50))
              for seed in range(4)]  # fmt: skip
    trials += [trial(tmp_path, "frail", seed, right(99, 100)) for seed in (0, 3)]
    found = compared(trials, tmp_path)
    assert [row["name"] for row in found["rows"]] == ["good", "poor", "frail"]
    (pair,) = found["differences"]
    assert pair["larger_than_noise"]


def test_two_strategies_are_compared_as_by_the_paired_t_test(tmp_path):
    random = np.random.default_rng(0)
    sides = {name: [hits(random, accuracy) for _ in range(6)] for name, accuracy in (("good", 0.8), ("poor", 0.7))}
    trials = [trial(tmp_path, name, seed, answers) for name, side in sides.items() for seed, answers in enumerate(side)]
    (pair,) = compared(trials, tmp_path)["differences"]
    wanted = stats.ttest_rel(*(np.mean(side, axis=1) for side in sides.values()))
    low, high = wanted.confidence_interval()
    assert pair["p"] == pytest.approx(wanted.pvalue, rel=0.02) and pair["interval"] == pytest.approx(
        [low, high], rel=0.02
    )


def by_hand(right, seeds, units, first, second):
    """The variance of one pair's difference and its degrees of freedom, as loops."""
    x, strategies, count = right[first] - right[second], len(right), seeds.max() + 1
    accuracies = np.array([[row[seeds == seed].mean() for seed in range(count)] for row in right])
    residuals = accuracies - accuracies.mean(0) - accuracies.mean(1, keepdims=True) + accuracies.mean()
    square = (residuals**2).sum() / ((strategies - 1) * (count - 1))
    of_seeds = max(2 * square, np.var(accuracies[first] - accuracies[second], ddof=1)) / count
    over = {unit: (x[units == unit] - x.mean()).sum() ** 2 for unit in set(units)}
    cells = {(unit, seed): (x[(units == unit) & (seeds == seed)] - x.mean()).sum() ** 2
             for unit in set(units) for seed in range(count)}  # fmt: skip
    shared = len(over) / (len(over) - 1) * sum(over.values()) - sum(cells.values())
    variance = of_seeds + max(0, shared) / len(x) ** 2
    return variance, min((strategies - 1) * (count - 1) * (variance / of_seeds) ** 2, len(over) - 1)


@pytest.mark.parametrize("lasting", [0.0, 0.9])
def test_variance_and_degrees_of_freedom_by_hand(lasting):
    random = np.random.default_rng(1)
    seeds = np.repeat(np.arange(4), [30, 40, 35, 30])
    units = random.integers(0, 25, len(seeds))
    units[:25] = np.arange(25)
    own = random.random((3, 25))[:, units]  # what a strategy does with a unit under all seeds
    right = (np.where(random.random((3, len(seeds))) < lasting, own, random.random((3, len(seeds)))) < 0.7).astype(int)
    difference, variance, freedom = differences.estimates(right, seeds, units, np.zeros(3, bool))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        wanted = by_hand(right, seeds, units, first, second)
        assert (variance[first, second], freedom[first, second]) == pytest.approx(wanted)
        assert difference[first, second] == pytest.approx(right[first].mean() - right[second].mean())


def test_training_from_scratch_does_not_blur_the_other_pairs():
    random = np.random.default_rng(0)
    accuracies = random.normal(0.8, 0.01, (4, 5))
    accuracies[3] = random.normal(0.5, 0.2, 5)
    apart = np.array([False, False, False, True])
    variance, freedom = differences.luck(accuracies, apart)
    without, _ = differences.luck(accuracies[:3], apart[:3])
    assert variance[:3, :3] == pytest.approx(without) and freedom[0, 1] == 8
    assert variance[0, 3] == pytest.approx(np.var(accuracies[0] - accuracies[3], ddof=1) / 5) and freedom[0, 3] == 4


def test_p_is_that_of_the_largest_difference_of_all():
    random = np.random.default_rng(0)
    drawn = random.normal(size=(4000, 5)) / np.sqrt(random.chisquare(8, (4000, 1)) / 8)
    largest = np.ptp(drawn, axis=1)
    found = differences.p_values(np.array([3.0, 0.0, 1.0]), np.array([2.0, 2.0, 0.0]), np.array([8.0, 8, 8]), 5)
    assert found == pytest.approx([np.mean(largest >= 3), 1, 0], abs=0.02)


# Made-up comparisons ------------------------------------------------------------------------------------------


def verdicts(accuracies, luck, seeds, photos, repetitions, scratch=False):
    """Whether pairs are larger than noise, and whether their intervals contain the truth: (repetitions, pairs) each.

    A photo is as hard for all models, which have the same latent value but for a share of their own: equal ones
    disagree on about 8 %. Each seed tests 15 % of the photos.
    """
    random, pairs = np.random.default_rng(0), np.triu_indices(len(accuracies), 1)
    apart = np.arange(len(accuracies)) == (len(accuracies) - 1 if scratch else -1)
    least, most = stats.studentized_range.ppf(0.95, len(accuracies), [np.inf, seeds - 1])
    larger, inside = [], []
    for _ in range(repetitions):
        hard = random.standard_normal(round(photos / 0.15))
        units = np.concatenate([random.choice(len(hard), photos, replace=False) for _ in range(seeds)])
        trained = np.array(accuracies)[:, None] + np.reshape(luck, (-1, 1)) * random.normal(
            size=(len(accuracies), seeds)
        )
        limits = np.repeat(stats.norm.ppf(trained.clip(0.01, 0.999)), photos, axis=1)
        answers = np.sqrt(0.88) * hard[units] + np.sqrt(0.12) * random.standard_normal(limits.shape) < limits
        found = differences.estimates(answers.astype(int), np.repeat(np.arange(seeds), photos), units, apart)
        difference, variance, freedom = (each[pairs] for each in found)
        # Only a range between those of the most and the fewest degrees of freedom needs a p, which takes milliseconds.
        size = np.sqrt(2) * abs(difference) / np.sqrt(variance)
        p = (size < most).astype(float)
        near = (least <= size) & (size < most)
        p[near] = differences.p_values(difference[near], variance[near], freedom[near], len(accuracies))
        larger.append(p <= 0.05)
        off = difference - (np.array(accuracies)[pairs[0]] - np.array(accuracies)[pairs[1]])
        inside.append(abs(off) <= stats.t.ppf(0.975, freedom) * np.sqrt(variance))
    return np.array(larger), np.array(inside)


def test_identical_strategies_with_lucky_trainings_are_not_told_apart():
    larger, inside = verdicts([0.87] * 7, 0.015, 3, 550, 100)
    assert larger.any(axis=1).mean() <= 0.07 and inside.mean() >= 0.92


@pytest.mark.long
@pytest.mark.parametrize("luck", [0, 0.01, 0.015])
@pytest.mark.parametrize("photos", [120, 550, 2000])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_identical_strategies_are_not_told_apart(seeds, photos, luck):
    larger, inside = verdicts([0.87] * 7, luck, seeds, photos, 200)
    assert larger.any(axis=1).mean() <= 0.07 + 0.02 and inside.mean() >= 0.92  # 0.02: the SD of 200 repetitions


def test_a_far_worse_strategy_makes_no_other_pair_significant():
    larger, _ = verdicts([0.87] * 6 + [0.57], [0.01] * 6 + [0.04], 3, 550, 100, scratch=True)
    with_worst = np.triu_indices(7, 1)[1] == 6
    assert larger[:, ~with_worst].any(axis=1).mean() <= 0.07 and larger[:, with_worst].mean() > 0.7


# What a comparison can tell -----------------------------------------------------------------------------------

POWER = {  # points, test photos: 3, 5 and 10 seeds, seven strategies, luck 1 point; the same with other made-up answers
    (3, 120): (0.08, 0.21, 0.53), (3, 550): (0.20, 0.60, 0.94), (3, 2000): (0.38, 0.69, 0.99),
    (5, 120): (0.33, 0.67, 0.97), (5, 550): (0.73, 0.99, 1.00), (5, 2000): (0.86, 1.00, 1.00),
}  # fmt: skip


def test_the_power_is_that_of_made_up_answers():
    for (points, photos), wanted in POWER.items():
        found = [differences.power(seeds, photos, points / 100) for seeds in (3, 5, 10)]
        assert found == pytest.approx(wanted, abs=0.1)
    two = [differences.power(seeds, 120, 0.05, strategies=2) for seeds in (3, 5, 10)]
    assert two == pytest.approx((0.36, 0.85, 1), abs=0.1)
    assert differences.power(2, 2000, 0.5) == 0


def test_what_can_be_told_is_said_in_a_sentence():
    assert differences.can_tell(3, 120, 7) == (
        "With 120 test photos and 3 seeds a difference of 5 points is found in 3 of 10 cases; with 5 in 6, with 10 in "
        "nearly all."
    )
    assert differences.can_tell(1, 120, 7) == (
        "With 120 test photos and 1 seed no difference can be told from luck; with 3 seeds one of 5 points is found in "
        "3 of 10 cases, with 5 in 6, with 10 in nearly all."
    )
    # Where 5 points are nearly always found, it speaks of fewer.
    assert "10 seeds a difference of 3 points is found in 5 of 10 cases." in differences.can_tell(10, 120, 7)
    assert "hardly any cases" in differences.can_tell(3, 20, 7)
    assert "3 of 10" not in differences.can_tell(3, 120, 7, variance=0.01)


def test_the_sentence_goes_by_these_results_where_they_vary_more_than_usual(tmp_path):
    def power(name, counts):
        trials = [trial(tmp_path / name, strategy, seed, right(count, 100))
                  for strategy in ("one", "other") for seed, count in enumerate(counts[strategy])]  # fmt: skip
        return compared(trials, tmp_path)["power"]

    steady = power("steady", {"one": (80, 81, 80), "other": (80, 80, 81)})
    assert steady == differences.can_tell(3, 100, 2)
    assert "5 points is found in hardly any cases" in power("wild", {"one": (80, 40, 90), "other": (50, 80, 60)})


# One pair, for the claims -------------------------------------------------------------------------------------


def test_photos_that_come_back_under_other_seeds_or_in_a_group_are_one_unit(tmp_path):
    """The same answers three times over are no more evidence than once; with photos of their own they are."""
    better, worse, paths = right(8, 10), right(3, 10), [f"{number}.jpg" for number in range(10)]

    def pair(folder, seeds, **settings):
        sides = [
            [trial(tmp_path / folder, name, seed, answers, **settings) for seed in seeds]
            for name, answers in (("better", better), ("worse", worse))
        ]
        return differences.difference(*sides)

    seeds, groups = [0, 1, 2], ["patient 1"] * 3 + ["patient 2"] * 3 + ["patient 3"] * 4
    others, thrice = pair("others", seeds), pair("thrice", seeds, paths=paths)
    grouped = pair("groups", seeds, paths=paths, groups=groups)
    assert others["difference"] == thrice["difference"] == grouped["difference"] == pytest.approx(0.5)
    assert others["p"] < 0.001 < thrice["p"] < grouped["p"]
    assert pair("once", [0], paths=paths) is None


def test_other_test_photos_under_the_same_seed_are_refused(tmp_path):
    trials = [trial(tmp_path, "one", 0, right(5, 10)), trial(tmp_path, "two", 0, right(5, 11))]
    with pytest.raises(errors.UserError, match="one and two have different test photos with seed 0"):
        compare_table.compare(trials, tmp_path, {})
