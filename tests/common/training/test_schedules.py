import pytest

from common.training import schedules


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_it_rises_in_a_line_and_falls_along_half_a_cosine():
    schedule = schedules.learning_rate(0.1, steps=110, warmup_steps=10)
    assert rates(schedule, [0, 5, 10]) == pytest.approx([0.001, 0.0505, 0.1])
    expected = [0.1, 0.0853553, 0.05, 0.0146447, 0.0]  # 0.05 * (1 + cos(pi * share of the way))
    assert rates(schedule, [10, 35, 60, 85, 110]) == pytest.approx(expected, abs=1e-6)


def test_without_warm_up_it_begins_with_the_rate_itself():
    schedule = schedules.learning_rate(0.1, steps=100)
    assert rates(schedule, [0, 50, 100]) == pytest.approx([0.1, 0.05, 0.0], abs=1e-7)


def test_behind_the_last_step_it_stays_at_nothing():
    assert rates(schedules.learning_rate(0.1, 20, 5), [20, 21, 1000]) == pytest.approx([0, 0, 0], abs=1e-7)


def test_a_constant_rate_rises_and_then_stays():
    schedule = schedules.learning_rate(0.1, steps=110, warmup_steps=10, schedule="constant")
    assert rates(schedule, [0, 5, 10, 60, 110, 1000]) == pytest.approx([0.001, 0.0505, 0.1, 0.1, 0.1, 0.1])
    assert rates(schedules.learning_rate(0.1, 100, schedule="constant"), [0, 99]) == pytest.approx([0.1, 0.1])
