import collections
import dataclasses
import pathlib
import shutil

import pytest
from PIL import Image

from common import config, data, errors, scan


def samples_of(counts, groups=None):
    """Samples `a0, a1, …` for {"a": n}, with groups[i] as the group of each class's photo i."""
    return [
        data.Sample(f"{label}{i}", label, groups[i] if groups else "") for label, n in counts.items() for i in range(n)
    ]


def split(samples, seed=0, validation=0.2, test=0.2, contents=None):
    contents = contents or {sample.path: sample.path for sample in samples}
    return data.split(samples, data.units_of(samples, contents), seed, validation, test)


def counts_of(samples):
    return collections.Counter((sample.split, sample.label) for sample in samples)


def test_fractions_hold_in_every_class():
    counts = counts_of(split(samples_of({"a": 50, "b": 10, "c": 3}), test=0.3, validation=0.1))
    assert [counts[side, "a"] for side in data.SPLIT_NAMES] == [30, 5, 15]
    assert [counts[side, "b"] for side in data.SPLIT_NAMES] == [6, 1, 3]
    assert [counts[side, "c"] for side in data.SPLIT_NAMES] == [1, 1, 1]


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
    units = data.units_of(samples, {sample.path: sample.path for sample in samples})
    for by_group in (False, True):
        dealt = data.split(samples, units, 0, 0.2, 0.2, by_group)
        number = {side: len({sample.group for sample in dealt if sample.split == side}) for side in data.SPLIT_NAMES}
        data.check_leaks(dealt, {sample.path: sample.path for sample in samples})
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
    first, second = data.Sample("1", "a", "g", "train"), data.Sample("2", "a", "g", "test")
    with pytest.raises(errors.UserError, match="leak: group 'g'"):
        data.check_leaks([first, second], {"1": "x", "2": "y"})
    first, second = dataclasses.replace(first, group=""), dataclasses.replace(second, group="")
    data.check_leaks([first, second], {"1": "x", "2": "y"})
    with pytest.raises(errors.UserError, match="leak: 1 .train. and 2 .test. are the same file"):
        data.check_leaks([first, second], {"1": "x", "2": "x"})


def settings(photos, cache, **changes):
    fractions = {"validation_fraction": 0.2, "test_fraction": 0.2}
    return config.SharedConfig(data=str(photos), cache=cache, **fractions | changes)


def test_a_folder_becomes_splits_and_a_csv(stripes, tmp_path):
    splits = data.load(settings(stripes, tmp_path / "cache"), tmp_path)
    assert splits.class_names == ("across", "down")
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [18, 6, 6]
    assert splits.labels("test").tolist().count(0) == 3
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "path,label,group,split" and len(lines) == 31


def test_the_same_seed_writes_the_same_csv_and_a_resumed_run_keeps_it(stripes, tmp_path):
    written = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        (tmp_path / name).mkdir()
        data.load(settings(stripes, tmp_path / "cache", seed=seed), tmp_path / name)
        written.append((tmp_path / name / "split.csv").read_bytes())
    assert written[0] == written[1] != written[2]
    resumed = data.load(settings(stripes, tmp_path / "cache", seed=7), tmp_path / "one")
    assert (tmp_path / "one" / "split.csv").read_bytes() == written[0] and len(resumed.train) == 18


def test_a_written_split_is_a_source_too(stripes, tmp_path):
    first = data.load(settings(stripes, tmp_path / "cache"), tmp_path)
    (tmp_path / "again").mkdir()
    again = data.load(settings(tmp_path / "split.csv", tmp_path / "cache", seed=9), tmp_path / "again")
    assert again.paths("test") == first.paths("test")


def test_split_folders_are_kept_and_a_missing_validation_comes_out_of_train(stripes, tmp_path):
    for side in ("train", "test"):
        for label in ("across", "down"):
            folder = tmp_path / "given" / side / label
            folder.mkdir(parents=True)
            for path in sorted((stripes / label).iterdir())[slice(0, 10) if side == "train" else slice(10, 15)]:
                shutil.copy(path, folder)
    splits = data.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [16, 4, 10]
    assert all("/test/" in path for path in splits.paths("test"))


def test_a_folder_beside_those_of_a_split_is_refused_but_a_class_may_be_called_train(stripes, tmp_path):
    for side in ("train", "test", "extra"):
        shutil.copytree(stripes, tmp_path / "given" / side)
    with pytest.raises(errors.UserError, match="extra stands beside the folders of a split, test and train"):
        data.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path)
    shutil.copytree(stripes / "across", tmp_path / "vehicles" / "train")
    shutil.copytree(stripes / "down", tmp_path / "vehicles" / "bus")
    assert data.load(settings(tmp_path / "vehicles", tmp_path / "cache"), tmp_path).class_names == ("bus", "train")


def test_the_same_photo_in_two_given_splits_stops_the_run(stripes, tmp_path):
    for side in ("train", "val", "test"):
        shutil.copytree(stripes, tmp_path / "given" / side)
    with pytest.raises(errors.UserError, match="two splits"):
        data.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\n1.jpg,a\n", "no column path"),
        ("path,label\n1.jpg,\n", "line 2: path or label is empty"),
        ("path,label,split\n1.jpg,a,tran\n", "must be train, validation or test"),
        ("path,label\n1.jpg,a\n1.jpg,b\n", "more than once"),
        ("path,label\n1.jpg,a\n2.jpg,a\n", "at least two classes"),
        ("", "no column"),
    ],
)
def test_a_broken_csv_is_explained(content, message, tmp_path):
    (tmp_path / "photos.csv").write_text(content)
    with pytest.raises(errors.UserError, match=message):
        data.read_csv(tmp_path / "photos.csv")


def test_a_csv_with_groups_and_a_byte_order_mark(tmp_path):
    (tmp_path / "photos.csv").write_text("path,label,group\nx/1.jpg,a,g1\n/y/2.jpg,b,\n", encoding="utf-8-sig")
    first, second = data.read_csv(tmp_path / "photos.csv")
    assert first == data.Sample(str(tmp_path / "x/1.jpg"), "a", "g1")
    assert second == data.Sample("/y/2.jpg", "b")


def test_sources_that_are_not_there_are_explained(tmp_path):
    (tmp_path / "one_class" / "rose").mkdir(parents=True)
    with pytest.raises(errors.UserError, match="no photos in this class folder"):
        data.read_source(str(tmp_path / "one_class"), tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "one_class" / "rose" / "1.png")
    with pytest.raises(errors.UserError, match="at least two class folders"):
        data.read_source(str(tmp_path / "one_class"), tmp_path)
    with pytest.raises(errors.UserError, match="no such file or folder"):
        data.read_source(str(tmp_path / "nowhere"), tmp_path)
    (tmp_path / "photos.txt").touch()
    with pytest.raises(errors.UserError, match="neither a folder nor a .csv"):
        data.read_source(str(tmp_path / "photos.txt"), tmp_path)


def test_bad_photos_stop_the_run_or_are_left_out(stripes, tmp_path):
    (stripes / "down" / "00.jpg").write_bytes(b"")
    with pytest.raises(errors.UserError, match="--skip-bad"):
        data.load(settings(stripes, tmp_path / "cache"), tmp_path)
    splits = data.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path)
    assert splits.summary()["skipped"] == 1
    assert sum(len(getattr(splits, side)) for side in data.SPLIT_NAMES) == 29
    assert "00.jpg" in (tmp_path / "skipped.csv").read_text()


def test_a_resumed_run_knows_what_was_left_out_and_leaves_out_no_more(stripes, tmp_path):
    (stripes / "down" / "00.jpg").write_bytes(b"")
    first = data.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path)
    listed = (tmp_path / "skipped.csv").read_bytes()
    again = data.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path)
    assert again.summary()["skipped"] == 1 and again.train == first.train
    pathlib.Path(first.train[0].path).unlink()
    with pytest.raises(errors.UserError, match="1 of 29 photos cannot be used"):
        data.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path)
    assert (tmp_path / "skipped.csv").read_bytes() == listed


def test_problems_that_a_recipe_has_found_are_listed_too(stripes, tmp_path):
    samples = data.read_folder(stripes)
    known = [scan.Problem("elsewhere.jpg", "", "no row")]
    with pytest.raises(errors.UserError, match="1 of 31 photos cannot be used: elsewhere.jpg"):
        data.load(settings(stripes, tmp_path / "cache"), tmp_path, samples, known)
    splits = data.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path, samples, known)
    assert splits.summary()["skipped"] == 1 and len(splits.train + splits.validation + splits.test) == 30
    assert "elsewhere.jpg" in (tmp_path / "skipped.csv").read_text()


def test_photos_are_counted_for_each_class():
    splits = data.Splits("x", ("a", "b", "c"), samples_of({"a": 6, "b": 2}), [], samples_of({"c": 1}), {})
    assert splits.counts().tolist() == [6, 2, 0]
    assert splits.counts("test").tolist() == [0, 0, 1]


def test_demo_photos_train_with_twenty_a_class(shared_cache, tmp_path):
    splits = data.load(config.SharedConfig(cache=shared_cache), tmp_path)
    assert set(collections.Counter(sample.label for sample in splits.train).values()) == {20}
    assert len(splits.class_names) >= 5


def test_a_part_of_the_training_photos_is_nested_and_stratified_and_keeps_groups_whole():
    train = [
        data.Sample(f"{label}{group}{number}", label, f"{label}{group}" if group < 10 else "", "train")
        for label, groups in (("a", 40), ("b", 12), ("c", 2)) for group in range(groups)
        for number in range(3 if group < 10 else 1)
    ]  # fmt: skip
    others = [data.Sample("v", "a", "", "validation"), data.Sample("t", "a", "", "test")]
    contents = {sample.path: sample.path for sample in [*train, *others]}
    splits = data.Splits("s", ("a", "b", "c"), train, others[:1], others[1:], {}, contents)
    counts = {label: sum(sample.label == label for sample in train) for label in "abc"}
    parts = [data.part_of_training(splits, fraction, seed=5) for fraction in (0.001, 0.1, 0.3, 0.9, 1.0)]
    for fraction, part, larger in zip((0.001, 0.1, 0.3, 0.9, 1.0), parts, [*parts[1:], [*train, *others]], strict=True):
        assert set(part) <= set(larger) and set(others) <= set(part)
        kept = [sample for sample in part if sample.split == "train"]
        for label in "abc":
            count = sum(sample.label == label for sample in kept)
            assert max(1, round(fraction * counts[label])) <= count <= max(1, round(fraction * counts[label])) + 2
        for group in {sample.group for sample in kept} - {""}:
            assert sum(sample.group == group for sample in kept) == sum(sample.group == group for sample in train)
    assert data.part_of_training(splits, 0.3, seed=6) != parts[2]
    assert parts[-1] == [*train, *others]
