import itertools

import numpy as np
import pytest
from made_up_trials import compared, right, trial
from scipy import stats

from common import errors
from common.compare import differences
from common.compare import table as compare_table

pytestmark = pytest.mark.quick


def enumerated_p(gains):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gains))))
    return float((np.abs(signs @ gains) >= abs(sum(gains))).mean())


@pytest.mark.parametrize(
    "gains",
    [[1, 1, 1, 1, 1, 1, 1, 0, 0, -1], [1, -1, 0], [3, 2, -1, 1, 0, 2, -2, 1, 1, 3], [5, 1, 1, 1, -4, 2], [0, 0]],
)
def test_the_p_of_ten_photos_is_that_of_all_their_swaps(gains):
    assert differences.permutation_p(np.array(gains)) == pytest.approx(enumerated_p(gains), abs=1e-12)


def test_with_one_answer_a_photo_the_p_is_mcnemars_and_what_scipy_finds_by_random_swaps():
    gains = np.array([1] * 40 + [-1] * 22 + [0] * 300)
    found = differences.permutation_p(gains)
    assert found == pytest.approx(stats.binomtest(22, 62).pvalue, abs=1e-12)
    answers = (np.maximum(gains, 0), np.maximum(-gains, 0))
    swapped = stats.permutation_test(
        answers, lambda first, second, axis: (first - second).mean(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=4999, random_state=np.random.default_rng(0),
    )  # fmt: skip
    assert found == pytest.approx(swapped.pvalue, abs=0.01)


def test_the_interval_is_what_scipy_finds():
    random = np.random.default_rng(0)
    answers = random.integers(1, 4, 500)
    gains = np.clip(random.integers(-1, 3, 500), -answers, answers)
    found = stats.bootstrap(
        (gains, answers), lambda gains, answers, axis: gains.sum(axis=axis) / answers.sum(axis=axis), paired=True,
        vectorized=True, method="percentile", random_state=random,
    )  # fmt: skip
    assert differences.bootstrap_interval(gains, answers) == pytest.approx(list(found.confidence_interval), abs=0.006)


def test_of_equally_good_strategies_one_pair_in_twenty_looks_different():
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        hard = random.random(400)  # a photo is as hard for both
        first, second = (random.random((2, 400)) > hard).astype(int)
        found.append(differences.permutation_p(first - second) <= 0.05)
    assert 0.01 <= np.mean(found) <= 0.08


def test_the_same_strategy_under_two_names_is_not_different(tmp_path):
    answers = [right(70, 100), right(60, 100)]
    trials = [trial(tmp_path, name, seed, answers[seed]) for name in ("this", "that") for seed in (0, 1)]
    (pair,) = compared(trials, tmp_path)["differences"]
    assert (pair["difference"], pair["interval"], pair["p"], pair["q"]) == (0, [0, 0], 1, 1)
    assert not pair["seeds_agree"] and not pair["larger_than_noise"]


def test_a_large_difference_is_found_whichever_comes_first(tmp_path):
    trials = [trial(tmp_path, "poor", seed, right(50 + seed, 100)) for seed in (0, 1)]
    trials += [trial(tmp_path, "good", seed, right(80, 100)) for seed in (0, 1, 2)]  # seed 2 has no partner
    found = compared(trials, tmp_path)
    (pair,) = found["differences"]
    assert (pair["first"], pair["second"]) == ("good", "poor")
    assert pair["difference"] == pytest.approx((0.30 + 0.29) / 2)
    assert 0 < pair["interval"][0] < pair["difference"] < pair["interval"][1] < 0.5
    assert pair["p"] < 1e-6 and pair["larger_than_noise"] and pair["seeds_agree"]
    assert [row["name"] for row in found["rows"]] == ["good", "poor"]


def test_one_lucky_seed_is_noise(tmp_path):
    lucky = {0: right(90, 100), 1: right(49, 100), 2: right(49, 100)}
    trials = [trial(tmp_path, "lucky", seed, answers) for seed, answers in lucky.items()]
    trials += [trial(tmp_path, "steady", seed, right(50, 100)) for seed in lucky]
    (pair,) = compared(trials, tmp_path)["differences"]
    assert pair["q"] < 0.05 and pair["difference"] > 0.1
    assert not pair["seeds_agree"] and not pair["larger_than_noise"]


def test_photos_that_come_back_under_other_seeds_or_in_a_group_are_one_unit(tmp_path):
    """The same answers three times over are no more evidence than once; with photos of their own they are."""
    better, worse, paths = right(8, 10), right(3, 10), [f"{number}.jpg" for number in range(10)]

    def pair(folder, seeds, **settings):
        sides = [
            [trial(tmp_path / folder, name, seed, answers, **settings) for seed in seeds]
            for name, answers in (("better", better), ("worse", worse))
        ]
        return differences.difference(*sides)

    once, thrice = pair("once", [0], paths=paths), pair("thrice", [0, 1, 2], paths=paths)
    assert once["p"] == thrice["p"] == pytest.approx(2 / 2**5)
    assert once["difference"] == thrice["difference"] == pytest.approx(0.5)
    assert once["interval"] == pytest.approx(thrice["interval"])
    assert pair("others", [0, 1, 2])["p"] == pytest.approx(2 / 2**15)
    assert pair("groups", [0], groups=["patient 1"] * 5 + ["patient 2"] * 5)["p"] == pytest.approx(2 / 2**2)


def test_looking_at_many_pairs_is_paid_for(tmp_path):
    # Against "middle" the p of "good" is 2 / 2**6 = 0.03, enough by itself; of the six pairs that is nothing special.
    answers = {"good": right(56, 100), "middle": right(50, 100), "equal": right(50, 100), "same": right(50, 100)}
    trials = [trial(tmp_path, name, 0, hits) for name, hits in answers.items()]
    pairs = compared(trials, tmp_path)["differences"]
    assert len(pairs) == 6
    good = [pair for pair in pairs if pair["first"] == "good"]
    assert [pair["p"] for pair in good] == pytest.approx([2 / 2**6] * 3)
    assert [pair["q"] for pair in good] == pytest.approx([4 / 2**6] * 3)
    assert not any(pair["larger_than_noise"] for pair in pairs)


def test_other_test_photos_under_the_same_seed_are_refused(tmp_path):
    trials = [trial(tmp_path, "one", 0, right(5, 10)), trial(tmp_path, "two", 0, right(5, 11))]
    with pytest.raises(errors.UserError, match="one and two have different test photos with seed 0"):
        compare_table.compare(trials, tmp_path, {})
