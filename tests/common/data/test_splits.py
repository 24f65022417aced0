import collections
import dataclasses

import pytest

from common import errors
from common.data import sample_list, splits, targets
from common.media import photos

pytestmark = pytest.mark.quick


def samples_of(counts, groups=None):
    """Samples `a0, a1, …` for {"a": n}, with groups[i] as the group of each class's photo i."""
    return [
        sample_list.Sample(f"{label}{i}", label, groups[i] if groups else "")
        for label, n in counts.items()
        for i in range(n)
    ]


def split(samples, seed=0, validation=0.2, test=0.2, contents=None):
    contents = contents or {sample.path: sample.path for sample in samples}
    return splits.split(samples, splits.units_of(samples, contents), seed, validation, test)


def counts_of(samples):
    return collections.Counter((sample.split, sample.label) for sample in samples)


def test_fractions_hold_in_every_class():
    counts = counts_of(split(samples_of({"a": 50, "b": 10, "c": 3}), test=0.3, validation=0.1))
    assert [counts[side, "a"] for side in sample_list.SPLIT_NAMES] == [30, 5, 15]
    assert [counts[side, "b"] for side in sample_list.SPLIT_NAMES] == [6, 1, 3]
    assert [counts[side, "c"] for side in sample_list.SPLIT_NAMES] == [1, 1, 1]


def test_the_seed_fixes_the_split_and_another_seed_changes_it():
    samples = samples_of({"a": 30, "b": 30})
    assert split(samples, seed=1) == split(samples, seed=1)
    assert split(samples, seed=1) != split(samples, seed=2)


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_divided_and_the_fractions_still_hold(seed):
    groups = [f"patient {i // 4}" for i in range(100)]
    dealt = split(samples_of({"a": 100, "b": 60}, groups), seed)
    sides = collections.defaultdict(set)
    for sample in dealt:
        sides[sample.group].add(sample.split)
    assert all(len(side) == 1 for side in sides.values())
    counts = counts_of(dealt)
    assert abs(counts["test", "a"] - 20) <= 4 and abs(counts["test", "b"] - 12) <= 4


def test_copies_of_a_file_stay_together_also_through_a_group():
    samples = samples_of({"a": 20, "b": 20})
    samples[0] = dataclasses.replace(samples[0], group="burst")
    samples[1] = dataclasses.replace(samples[1], group="burst")
    contents = {sample.path: sample.path for sample in samples} | {"a1": "same", "a2": "same"}
    for seed in range(10):
        dealt = split(samples, seed, contents=contents)
        assert len({sample.split for sample in dealt[:3]}) == 1


def test_fractions_by_group_count_groups_and_not_photos():
    """A fifth of the groups of each class, although ten of the hundred have nine photos each."""
    groups = [f"big {i // 9}" for i in range(90)] + [f"small {i}" for i in range(90)]
    samples = samples_of({"a": 180}, groups) + samples_of({"b": 20}, [f"b{i}" for i in range(20)])
    units = splits.units_of(samples, {sample.path: sample.path for sample in samples})
    for by_group in (False, True):
        dealt = splits.split(samples, units, 0, 0.2, 0.2, by_group)
        number = {
            side: len({sample.group for sample in dealt if sample.split == side}) for side in sample_list.SPLIT_NAMES
        }
        splits.check_leaks(dealt, {sample.path: sample.path for sample in samples})
        if by_group:
            assert number == {"train": 72, "validation": 24, "test": 24}
    by_class = collections.Counter((sample.split, sample.label) for sample in dealt if sample.label == "b")
    assert by_class == {("train", "b"): 12, ("validation", "b"): 4, ("test", "b"): 4}


def test_too_few_groups_are_refused():
    with pytest.raises(errors.UserError, match="class 'a' has only 2"):
        split(samples_of({"a": 6}, ["x", "x", "x", "y", "y", "y"]))
    with pytest.raises(errors.UserError, match="leave something to train on"):
        split(samples_of({"a": 9}), validation=0.5, test=0.5)


def test_a_leak_stops_the_run():
    first, second = sample_list.Sample("1", "a", "g", "train"), sample_list.Sample("2", "a", "g", "test")
    with pytest.raises(errors.UserError, match="leak: group 'g'"):
        splits.check_leaks([first, second], {"1": "x", "2": "y"})
    first, second = dataclasses.replace(first, group=""), dataclasses.replace(second, group="")
    splits.check_leaks([first, second], {"1": "x", "2": "y"})
    with pytest.raises(errors.UserError, match="leak: 1 .train. and 2 .test. are the same file"):
        splits.check_leaks([first, second], {"1": "x", "2": "x"})


def test_photos_are_counted_for_each_class():
    train, test = samples_of({"a": 6, "b": 2}), samples_of({"c": 1})
    sides = [dataclasses.replace(sample, split="train") for sample in train]
    sides += [dataclasses.replace(sample, split="test") for sample in test]
    whole = splits.Splits.of("x", photos.PHOTOS, targets.CLASSES, sides, {}, {})
    assert whole.counts().tolist() == [6, 2, 0]
    assert whole.counts("test").tolist() == [0, 0, 1]


def test_weights_belong_to_the_classes_that_are_there():
    samples = [sample_list.Sample(f"{n}", "a" if n < 6 else "c", split="train") for n in range(8)]
    samples.append(sample_list.Sample("v", "b", split="validation"))
    found = splits.Splits.of("x", photos.PHOTOS, targets.CLASSES, samples, {}, {})
    assert found.class_weights() == {0: pytest.approx(8 / 12), 2: pytest.approx(2.0)}
