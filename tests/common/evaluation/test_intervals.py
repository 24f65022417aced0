import numpy as np
import pytest

from common.evaluation import intervals

pytestmark = pytest.mark.quick


def test_four_pictures_of_a_lesion_say_no_more_than_one():
    def share(repeats):
        lesions = np.arange(50).repeat(repeats)
        return intervals.Bootstrap(lesions).share(lesions % 3 == 0, np.ones(len(lesions), bool))

    np.testing.assert_allclose(share(1), share(4))


def test_all_right_is_not_certain():
    value, low, high = intervals.Bootstrap(np.arange(10)).share(np.ones(10, bool), np.ones(10, bool))
    assert (value, high) == (1.0, 1.0) and low == pytest.approx(0.025 ** (1 / 10))  # Clopper and Pearson by hand


def test_one_lesion_says_nothing_about_others():
    assert intervals.Bootstrap(np.zeros(3, int)).share([True, False, False], np.ones(3, bool)) == [1 / 3, 0.0, 1.0]


def test_noise_of_an_accuracy_is_its_standard_error_and_at_least_one_answer():
    draws = np.random.default_rng(0).binomial(50, 0.8, 20_000) / 50
    assert intervals.accuracy_noise(0.8, 50) == pytest.approx(draws.std(), rel=0.02)
    assert intervals.accuracy_noise(1.0, 15) == pytest.approx(1 / 15, rel=1e-4)
