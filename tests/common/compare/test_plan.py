import pytest

from common.compare import plan
from common.data import sample_list, splits, targets
from common.media import photos
from common.training import settings


def test_a_part_of_the_training_photos_is_nested_and_stratified_and_keeps_groups_whole():
    train = [
        sample_list.Sample(f"{label}{group}{number}", label, f"{label}{group}" if group < 10 else "", "train")
        for label, groups in (("a", 40), ("b", 12), ("c", 2)) for group in range(groups)
        for number in range(3 if group < 10 else 1)
    ]  # fmt: skip
    others = [sample_list.Sample("v", "a", "", "validation"), sample_list.Sample("t", "a", "", "test")]
    contents = {sample.path: sample.path for sample in [*train, *others]}
    whole = splits.Splits.of("s", photos.PHOTOS, targets.CLASSES, [*train, *others], {}, contents)
    counts = {label: sum(sample.label == label for sample in train) for label in "abc"}
    parts = [plan.part_of_training(whole, fraction, seed=5) for fraction in (0.001, 0.1, 0.3, 0.9, 1.0)]
    for fraction, part, larger in zip((0.001, 0.1, 0.3, 0.9, 1.0), parts, [*parts[1:], [*train, *others]], strict=True):
        assert set(part) <= set(larger) and set(others) <= set(part)
        kept = [sample for sample in part if sample.split == "train"]
        for label in "abc":
            count = sum(sample.label == label for sample in kept)
            assert max(1, round(fraction * counts[label])) <= count <= max(1, round(fraction * counts[label])) + 2
        for group in {sample.group for sample in kept} - {""}:
            assert sum(sample.group == group for sample in kept) == sum(sample.group == group for sample in train)
    assert plan.part_of_training(whole, 0.3, seed=6) != parts[2]
    assert parts[-1] == [*train, *others]


def test_the_overlap_of_the_seeds_tests_is_the_mean_of_all_pairs(tmp_path):
    sources = {}
    for seed, tested in enumerate(["abcd", "abef", "ghij"]):
        sources[seed, 1.0] = tmp_path / f"{seed}.csv"
        samples = [
            sample_list.Sample(f"/{path}.jpg", "x", "", "test" if path in tested else "train") for path in "abcdefghij"
        ]
        sample_list.write_csv(sources[seed, 1.0], samples)
    assert plan.overlap_of_tests(sources) == pytest.approx((0.5 + 0 + 0) / 3)
    assert plan.overlap_of_tests({(0, 1.0): sources[0, 1.0]}) is None


def test_seeds_that_share_much_of_their_test_are_told(stripes, tmp_path, capsys):
    """A class of three groups has few splits."""
    rows = [
        sample_list.Sample(str(path), path.parent.name, f"{path.parent.name}{min(number // 3, 2)}")
        for name in ("across", "down") for number, path in enumerate(sorted((stripes / name).glob("*")))
    ]  # fmt: skip
    sample_list.write_csv(tmp_path / "photos.csv", rows)
    config = settings.PhotoConfig(data=str(tmp_path / "photos.csv"), cache=tmp_path / "cache")
    plan.splits_of_seeds(config, photos.PHOTOS, 3, (1.0,), tmp_path / "splits")
    assert "of their test photos on average" in capsys.readouterr().err
