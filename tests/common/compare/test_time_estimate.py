import dataclasses

import pytest

from common.compare import time_estimate

pytestmark = pytest.mark.quick

COUNTS = {"train": 64, "validation": 32, "test": 40}
CACHED = time_estimate.Work(COUNTS, batch_size=32, views=1, augmented=False, live=False)
SPEED = time_estimate.Speed(
    starting=4.0, build=0.0, read=0.1, change=0.3, forward=0.0,
    start={(9, False): 5.0, (9, True): 7.0, (1, False): 11.0},
    step={(9, False): 1.0, (9, True): 10.0, (1, False): 20.0}, stages={"head": [(9, 3)], "all": [(1, 3)], "probe": []},
)  # fmt: skip


def seconds(strategy, **changes):
    work = dataclasses.replace(CACHED, **changes)
    return SPEED.of_trial(strategy, work) - time_estimate.FINISHING_SECONDS


def test_a_trial_with_cached_features_reads_no_photo():
    assert seconds("head") == pytest.approx(5 + 3 * (2 + 1 / 3))  # two steps to train, one to validate
    assert seconds("head", views=8, augmented=True) == seconds("head")  # views are used in turn
    assert seconds("probe") == 0


def test_without_a_cache_every_epoch_reads_the_photos_and_runs_the_network():
    epoch = 10 * (2 + 1 / 3) + 96 * 0.1
    at_the_end = 136 * 0.1  # all sides are predicted once
    assert seconds("head", live=True) == pytest.approx(7 + 3 * epoch + at_the_end)
    changed = seconds("head", live=True, augmented=True) - seconds("head", live=True)
    assert changed == pytest.approx(4 * 64 * 0.2)  # in three epochs and at the end
    assert seconds("probe", live=True) == pytest.approx(2 * at_the_end)


def test_training_all_layers_reads_the_photos_with_a_cache_too():
    assert seconds("all") == pytest.approx(11 + 3 * (20 * (2 + 1 / 3) + 96 * 0.1))


def test_every_view_goes_through_the_frozen_network():
    network = dataclasses.replace(SPEED, forward=1.0)
    assert network.of_features(CACHED) == pytest.approx(136 * 1.1)
    views = dataclasses.replace(CACHED, views=8, augmented=True)
    assert network.of_features(views) == pytest.approx(72 * 1.1 + 8 * 64 * 1.3)


def test_processes_start_for_the_trials_and_for_the_features_of_each_network():
    page = time_estimate.FINISHING_SECONDS
    assert time_estimate.of_the_rest([SPEED, SPEED], shared_features=False) == 4 + page
    assert time_estimate.of_the_rest([SPEED, SPEED], shared_features=True) == 3 * 4 + page


def test_the_plan_has_a_price_for_each_line():
    given = {"head": [1800.0, 1800.0]}, 3600.0, 0.0, 7200.0
    assert "price" not in time_estimate.table(*given)
    lines = time_estimate.table(*given, price_per_hour=0.5).splitlines()
    assert [line.split()[-1] for line in lines] == ["price", "0.50", "0.50", "0", "1.00"]
