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


def test_without_groups_a_seed_gives_the_split_that_it_always_gave():
    """Measurements are quoted with their seeds."""
    samples = samples_of({"a": 30, "b": 12, "c": 4})
    contents = {sample.path: sample.path for sample in samples} | {"a1": "same", "a2": "same"}
    dealt = splits.split(samples, splits.units_of(samples, contents), 7, 0.2, 0.2)
    sides = {side: " ".join(each.path for each in dealt if each.split == side) for side in ("validation", "test")}
    assert sides == {"validation": "a6 a7 a9 a11 a14 a28 b8 b9 c2", "test": "a3 a5 a8 a10 a18 a29 b1 b6 c3"}


def in_groups(sizes, labels="ab"):
    """Return samples in a group of each size for each class."""
    return [
        sample_list.Sample(f"{label}{size}_{i}", label, f"{label}{size}")
        for label in labels for size in sizes for i in range(size)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "samples",
    [
        in_groups(range(1, 21)),
        in_groups(range(5, 41, 5), "abcde"),
        in_groups([*range(1, 20), 100]),
        [dataclasses.replace(each, group=each.group[1:]) for each in in_groups(range(1, 31), "abcd")],  # cameras
    ],
)
def test_ten_seeds_test_ten_different_sides_of_groups_of_different_sizes(samples):
    """The largest group trained for every seed, and all seeds had one split."""
    sides = []
    for seed in range(10):
        dealt = split(samples, seed, 0.15, 0.15)
        counts = collections.Counter(sample.split for sample in dealt)
        for side, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
            assert abs(counts[side] / len(dealt) - share) < 0.035
        assert {sample.label for sample in dealt if sample.split == "test"} == {sample.label for sample in samples}
        sides.append(frozenset(sample.group for sample in dealt if sample.split == "test"))
    assert len(set(sides)) == 10


def test_groups_of_all_sizes_are_tested_equally_often():
    samples, tested, number = in_groups(range(1, 21)), collections.Counter(), 200
    for seed in range(number):
        tested.update({each.group for each in split(samples, seed, 0.15, 0.15) if each.split == "test"})
    assert all(0.07 <= tested[f"{label}{size}"] / number <= 0.23 for label in "ab" for size in range(1, 21))


def test_groups_that_are_too_large_to_be_tested_are_named():
    for seed in range(20):
        dealt = split(in_groups([*range(1, 21), 80]), seed, 0.15, 0.15)
        assert {each.split for each in dealt if each.group in ("a80", "b80")} == {"train"}
    whole = splits.Splits.of("x", photos.PHOTOS, targets.CLASSES, dealt, {}, {})
    assert whole.summary()["large_groups"] == ["a80", "b80"]
    assert whole.summary()["shares"] == pytest.approx({"train": 0.7, "validation": 0.15, "test": 0.15}, abs=0.035)


def test_shares_that_groups_do_not_divide_into_are_printed(capsys):
    split(in_groups([10, 11, 12]), validation=0.15, test=0.15)
    assert "% train instead of 70%" in capsys.readouterr().err
    split(in_groups(range(1, 21)), validation=0.2, test=0.2)
    split(samples_of({"a": 3, "b": 3}))
    assert not capsys.readouterr().err


def test_every_class_is_on_every_side_although_it_has_three_groups():
    for seed in range(20):
        dealt = split([*in_groups([20, 3, 4], "r"), *in_groups(range(1, 21), "a")], seed, 0.15, 0.15)
        assert len(counts_of(dealt)) == 6


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
