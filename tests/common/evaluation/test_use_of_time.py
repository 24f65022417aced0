import keras
import numpy as np
import pytest

from common.evaluation import use_of_time


def maps_of(clips):
    return keras.layers.Identity(name="maps")(keras.layers.Identity(name="each_frame")(clips))


def last_frame_decides():
    """Says class 1 the brighter the last frame is: (n, frames, 1, 1, 1) to (n, 2)."""
    clips = keras.Input((None, 1, 1, 1))
    last = maps_of(clips)[:, -1, 0, 0]
    return keras.Model(clips, keras.ops.concatenate([1 - last, last], axis=-1))


def mean_decides():
    clips = keras.Input((None, 1, 1, 1))
    mean = keras.ops.mean(maps_of(clips), axis=(1, 2, 3))
    return keras.Model(clips, keras.ops.concatenate([1 - mean, mean], axis=-1))


def rising_and_falling(count):
    ramp = np.linspace(0.1, 0.9, 5).reshape(1, 5, 1, 1, 1)
    clips = np.concatenate([ramp, ramp[:, ::-1]] * (count // 2)).astype("float32")
    return clips, np.array([1, 0] * (count // 2))


def batches_of(clips, size):
    return [(clips[start : start + size], None) for start in range(0, len(clips), size)]


def test_backwards_a_network_that_knows_the_direction_is_wrong():
    clips, labels = rising_and_falling(8)
    found = use_of_time.order_and_place(last_frame_decides(), batches_of(clips, 3), labels)["order"]
    assert found["as it is"].pop("falls") == {"0": 0.0, "1": 0.0} and found["reversed"]["falls"] == {"0": 1.0, "1": 1.0}
    assert found["as it is"] == {"accuracy": 1.0, "fall": [0.0, 0.0, 0.0], "changed": 0.0, "difference": 0.0}
    assert found["reversed"]["accuracy"] == 0.0 and found["reversed"]["changed"] == 1.0
    assert found["reversed"]["difference"] == pytest.approx(0.8) and found["reversed"]["fall"] == [1.0, 1.0, 1.0]
    assert 0 < found["shuffled"]["difference"] < 0.8


def test_a_network_that_does_not_use_time_answers_the_same_in_every_order():
    clips, labels = rising_and_falling(8)
    found = use_of_time.order_and_place(mean_decides(), batches_of(clips, 8), labels)["order"]
    for row in found.values():
        assert row["changed"] == 0.0 and row["difference"] == pytest.approx(0, abs=1e-6)


def test_exchanged_places_change_a_network_that_knows_places_only():
    """Two classes that differ by the side of the spot: one head looks at the left side, the other everywhere."""
    left, right = np.zeros((2, 4, 1, 2, 1), "float32")
    left[:, :, 0], right[:, :, 1] = 1.0, 1.0
    clips, labels = np.stack([left, right] * 4), np.array([1, 0] * 4)
    inputs = keras.Input((4, 1, 2, 1))
    maps = maps_of(inputs)
    of_left = keras.ops.mean(maps[:, :, :, 0], axis=(1, 2))
    knows = keras.Model(inputs, keras.ops.concatenate([1 - of_left, of_left], axis=-1))
    everywhere = keras.ops.mean(maps, axis=(1, 2, 3))
    pools = keras.Model(inputs, keras.ops.concatenate([1 - everywhere, everywhere], axis=-1))
    found = use_of_time.order_and_place(knows, batches_of(clips, 3), labels)["place"]
    assert found["as it is"]["accuracy"] == 1.0 and found["exchanged"]["accuracy"] == 0.0  # of two places
    assert found["exchanged"]["falls"] == {"0": 1.0, "1": 1.0}
    found = use_of_time.order_and_place(pools, batches_of(clips, 3), labels)["place"]
    assert found["exchanged"]["changed"] == 0.0 and found["exchanged"]["difference"] < 1e-6


def test_another_order_is_another_one():
    random = np.random.default_rng(0)
    orders = {tuple(use_of_time.other_order(3, random)) for _ in range(200)}
    assert len(orders) == 5 and (0, 1, 2) not in orders
    assert use_of_time.other_order(1, random).tolist() == [0]


def test_within_a_pair_only_its_two_classes_count():
    probabilities = [[0.5, 0.2, 0.3], [0.6, 0.1, 0.3], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]
    found = use_of_time.within_pair(probabilities, [1, 2, 1, 0], ["a", "b", "c"], ("b", "c"))
    # Of the clips of b, c, b the answers among b and c alone are c, c, b: two of three.
    assert found["n"] == 3 and found["accuracy"] == pytest.approx(2 / 3)
    low, high = found["interval"]
    assert low == pytest.approx(0.0943, abs=1e-4) and high == pytest.approx(0.9916, abs=1e-4)  # Clopper and Pearson


def test_clips_of_one_person_are_not_independent():
    """Of ten people's clips, doubled clips change nothing, and clips as independent say too much."""
    random, people = np.random.default_rng(0), np.arange(10).repeat(4)
    right = random.random(40) < np.repeat(random.choice([0.3, 1.0], 10), 4)
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])

    def width(repeats, groups):
        rows = probabilities.repeat(repeats, axis=0)
        groups = None if groups is None else list(map(str, groups.repeat(repeats)))
        found = use_of_time.within_pair(rows, np.zeros(len(rows), int), ["a", "b"], ("a", "b"), groups)
        return np.ptp(found["interval"])

    assert width(2, people) == pytest.approx(width(1, people), abs=0.02)
    assert width(2, np.arange(40)) == pytest.approx(width(1, None), abs=0.01)
    assert width(1, people) > 1.2 * width(1, None)


def test_the_fall_is_of_the_same_clips_and_goes_by_people():
    clips, labels = rising_and_falling(8)
    labels = labels ^ np.array([0, 0, 0, 0, 0, 0, 1, 1])  # the last two are wrong as they come, right backwards
    batches = batches_of(clips, 8)
    fall = use_of_time.order_and_place(last_frame_decides(), batches, labels, list("aabbccdd"))["order"]["reversed"][
        "fall"
    ]
    assert fall[0] == 0.5 and fall[1] < 0  # four people, one of whom says the opposite
    assert fall[1] < use_of_time.order_and_place(last_frame_decides(), batches, labels)["order"]["reversed"]["fall"][1]
    alone = use_of_time.order_and_place(last_frame_decides(), batches, labels, ["a"] * 8)["order"]["reversed"]["fall"]
    assert alone == [0.5, None, None]


def test_a_frame_contributes_what_its_neighbour_would_take_away():
    clips = np.full((1, 4, 1, 1, 1), 0.2, "float32")
    clips[0, 3] = 0.7
    fall = np.log(0.7 / 0.3) - np.log(0.2 / 0.8)
    found = use_of_time.frame_contributions(last_frame_decides(), clips, [1])
    assert found == pytest.approx(np.array([[0, 0, 0, fall]]), abs=1e-5)
    against = use_of_time.frame_contributions(last_frame_decides(), clips, [0])
    assert against == pytest.approx(np.array([[0, 0, 0, -fall]]), abs=1e-5)


def test_the_frame_behind_a_sure_answer_still_shows():
    clips = np.array([0.5, 0.5, 0.9999], "float32").reshape(1, 3, 1, 1, 1)
    assert use_of_time.frame_contributions(last_frame_decides(), clips, [1])[0, 2] == pytest.approx(9.21, abs=0.01)


def test_of_one_frame_nothing_can_be_said():
    found = use_of_time.frame_contributions(mean_decides(), np.zeros((2, 1, 1, 1, 1)), [0, 1])
    assert found.tolist() == [[0], [0]]


def test_the_order_test_takes_some_of_very_many_clips():
    assert use_of_time.some_of(5) == [0, 1, 2, 3, 4]
    many = use_of_time.some_of(10_000)
    assert len(many) == use_of_time.MOST_CLIPS and many[0] == 0 and many[-1] == 9_999
