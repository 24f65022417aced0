"""Features of tasks: what is drawn from them, how they are weighted, and that a state gives them back."""

import numpy as np

from common.features import of_tasks

ROWS = (np.arange(12.0, dtype="float32").reshape(6, 2), list("aabaab"))


def test_some_rows_of_each_class_are_drawn_and_the_seed_decides():
    features, labels = of_tasks.drawn(ROWS, 2, [0, 1])
    assert labels == list("aabb") and len(np.unique(features[:, 0])) == 4
    assert all(ROWS[1][int(row[0]) // 2] == label for row, label in zip(features, labels, strict=True))
    again, other = of_tasks.drawn(ROWS, 2, [0, 1]), [of_tasks.drawn(ROWS, 2, [seed, 1])[0] for seed in range(1, 9)]
    assert (again[0] == features).all() and not all((each == features).all() for each in other)


def test_all_cells_count_the_same_with_the_mean_1():
    shares = of_tasks.equal_shares([("new", "a")] * 6 + [("0", "a")] * 2 + [("0", "b")])
    np.testing.assert_allclose([shares[:6].sum(), shares[6:8].sum(), shares[8]], 3)
    assert shares.mean() == 1


def test_arrays_of_a_state_give_the_tasks_back_but_for_those_that_are_not_held():
    held = {"two": of_tasks.TaskFeatures("two", {"train": ROWS, "validation": ROWS, "test": (ROWS[0][:1], ["b"])})}
    arrays = of_tasks.to_arrays(["one", "two"], held)
    found = of_tasks.from_arrays(["one", "two"], arrays)
    assert (
        list(found) == ["two"] and found["two"].classes == ["b"] and set(found["two"].sides) == {"validation", "test"}
    )
    assert (found["two"].sides["validation"][0] == ROWS[0]).all() and found["two"].sides["validation"][1] == ROWS[1]
    assert all(name.startswith(of_tasks.HELD) for name in arrays)


def test_an_answer_of_a_class_that_is_not_known_yet_is_wrong():
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert of_tasks.accuracy(scores, ["a", "b", "c"], ["a", "b"]) == 2 / 3


def test_every_epoch_has_all_rows_in_an_order_of_its_own_that_the_seed_determines():
    numbers = np.arange(20)
    first, second = (
        [np.concatenate([batch[0].numpy() for batch in rows]) for _ in range(2)]
        for rows in (of_tasks.batches((numbers, 2 * numbers), 8, 5) for _ in range(2))
    )
    assert all(sorted(epoch) == numbers.tolist() for epoch in first) and (first[0] != first[1]).any()
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
