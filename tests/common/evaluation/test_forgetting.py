"""Forgetting and transfer of matrices whose measures can be counted by hand."""

import pytest

from common.evaluation import forgetting

pytestmark = pytest.mark.quick


def test_the_measures_are_those_counted_by_hand():
    matrix = [[0.9, 0.5, None], [0.7, 0.8, 0.4], [0.75, 0.6, 0.7]]
    found = forgetting.measures(matrix, [None, 0.25, 0.25])
    assert found["average_accuracy"] == pytest.approx((0.75 + 0.6 + 0.7) / 3)
    assert found["forgetting"] == pytest.approx(((0.9 - 0.75) + (0.8 - 0.6)) / 2)
    assert found["backward_transfer"] == pytest.approx(((0.75 - 0.9) + (0.6 - 0.8)) / 2)
    assert found["forward_transfer"] == pytest.approx(((0.5 - 0.25) + (0.4 - 0.25)) / 2)


def test_the_best_of_an_earlier_task_may_come_later_than_the_task():
    found = forgetting.measures([[0.6, None, None], [0.8, 0.9, None], [0.7, 0.9, 0.5]], [None] * 3)
    assert found["forgetting"] == pytest.approx(0.05) and found["backward_transfer"] == pytest.approx(0.05)
    assert found["forward_transfer"] is None


def test_one_task_and_tasks_that_were_not_measured_have_no_forgetting():
    assert forgetting.measures([[0.9]], [None])["forgetting"] is None
    found = forgetting.measures([[0.9, None], [None, 0.8]], [None, None])
    assert found["average_accuracy"] == 0.8 and found["forgetting"] is None
