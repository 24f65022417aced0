import collections
import dataclasses
import pathlib
import shutil

import pytest

from common import errors
from common.data import dataset, file_checks, sample_list, sources
from common.media import photos
from common.training import settings as training_settings

pytestmark = pytest.mark.quick


def settings(photos, cache, **changes):
    fractions = {"validation_fraction": 0.2, "test_fraction": 0.2}
    return training_settings.PhotoConfig(data=str(photos), cache=cache, **fractions | changes)


def test_a_folder_becomes_splits_and_a_csv(stripes, tmp_path):
    splits = dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert splits.class_names == ("across", "down")
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [18, 6, 6]
    assert splits.labels("test").tolist().count(0) == 3
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "path,label,group,split" and len(lines) == 31


def test_the_same_seed_writes_the_same_csv_and_a_resumed_run_keeps_it(stripes, tmp_path):
    written = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        (tmp_path / name).mkdir()
        dataset.load(settings(stripes, tmp_path / "cache", seed=seed), tmp_path / name, photos.PHOTOS)
        written.append((tmp_path / name / "split.csv").read_bytes())
    assert written[0] == written[1] != written[2]
    resumed = dataset.load(settings(stripes, tmp_path / "cache", seed=7), tmp_path / "one", photos.PHOTOS)
    assert (tmp_path / "one" / "split.csv").read_bytes() == written[0] and len(resumed.train) == 18


def test_a_written_split_is_a_source_too(stripes, tmp_path):
    first = dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    (tmp_path / "again").mkdir()
    again = dataset.load(
        settings(tmp_path / "split.csv", tmp_path / "cache", seed=9), tmp_path / "again", photos.PHOTOS
    )
    assert again.paths("test") == first.paths("test")


def test_split_folders_are_kept_and_a_missing_validation_comes_out_of_train(stripes, tmp_path):
    for side in ("train", "test"):
        for label in ("across", "down"):
            folder = tmp_path / "given" / side / label
            folder.mkdir(parents=True)
            for path in sorted((stripes / label).iterdir())[slice(0, 10) if side == "train" else slice(10, 15)]:
                shutil.copy(path, folder)
    splits = dataset.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [16, 4, 10]
    assert all("/test/" in path for path in splits.paths("test"))


def test_a_folder_beside_those_of_a_split_is_refused_but_a_class_may_be_called_train(stripes, tmp_path):
    for side in ("train", "test", "extra"):
        shutil.copytree(stripes, tmp_path / "given" / side)
    with pytest.raises(errors.UserError, match="extra is beside the split folders test and train"):
        dataset.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    shutil.copytree(stripes / "across", tmp_path / "vehicles" / "train")
    shutil.copytree(stripes / "down", tmp_path / "vehicles" / "bus")
    assert dataset.load(settings(tmp_path / "vehicles", tmp_path / "cache"), tmp_path, photos.PHOTOS).class_names == (
        "bus",
        "train",
    )


def test_the_same_photo_in_two_given_splits_stops_the_run(stripes, tmp_path):
    for side in ("train", "val", "test"):
        shutil.copytree(stripes, tmp_path / "given" / side)
    with pytest.raises(errors.UserError, match="two splits"):
        dataset.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path, photos.PHOTOS)


def test_bad_photos_stop_the_run_or_are_left_out(stripes, tmp_path):
    (stripes / "down" / "00.jpg").write_bytes(b"")
    with pytest.raises(errors.UserError, match="--skip-bad"):
        dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    splits = dataset.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path, photos.PHOTOS)
    assert splits.summary()["skipped"] == 1
    assert sum(len(getattr(splits, side)) for side in sample_list.SPLIT_NAMES) == 29
    assert "00.jpg" in (tmp_path / "skipped.csv").read_text()


def test_a_resumed_run_knows_what_was_left_out_and_leaves_out_no_more(stripes, tmp_path):
    (stripes / "down" / "00.jpg").write_bytes(b"")
    first = dataset.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path, photos.PHOTOS)
    listed = (tmp_path / "skipped.csv").read_bytes()
    again = dataset.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path, photos.PHOTOS)
    assert again.summary()["skipped"] == 1 and again.train == first.train
    pathlib.Path(first.train[0].path).unlink()
    with pytest.raises(errors.UserError, match="1 of 29 photos cannot be used"):
        dataset.load(settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path, photos.PHOTOS)
    assert (tmp_path / "skipped.csv").read_bytes() == listed


def test_problems_that_a_recipe_has_found_are_listed_too(stripes, tmp_path):
    samples = sources.read_folder(stripes, photos.PHOTOS)
    known = [file_checks.Problem("elsewhere.jpg", "", "no row")]
    with pytest.raises(errors.UserError, match="1 of 31 photos cannot be used: elsewhere.jpg"):
        dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS, samples=samples, problems=known)
    splits = dataset.load(
        settings(stripes, tmp_path / "cache", skip_bad=True), tmp_path, photos.PHOTOS, samples=samples, problems=known
    )
    assert splits.summary()["skipped"] == 1 and len(splits.train + splits.validation + splits.test) == 30
    assert "elsewhere.jpg" in (tmp_path / "skipped.csv").read_text()


@pytest.mark.parametrize(("side", "refused"), [("train", True), ("validation", True), ("test", False)])
def test_given_splits_need_every_class_to_learn_and_to_choose(stripes, tmp_path, capsys, side, refused):
    """Without photos of a class its weight is infinite, and so is the noise of the balanced accuracy."""
    whole = dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    samples = [*whole.train, *whole.validation, *whole.test]
    lacking = [sample for sample in samples if (sample.label, sample.split) != ("down", side)]
    sample_list.write_csv(tmp_path / "given.csv", lacking)
    config = settings(tmp_path / "given.csv", tmp_path / "cache")
    (tmp_path / "run").mkdir()
    if refused:
        with pytest.raises(errors.UserError, match=f"given {side} split has no item of class 'down'; move some"):
            dataset.load(config, tmp_path / "run", photos.PHOTOS)
    else:
        dataset.load(config, tmp_path / "run", photos.PHOTOS)
        assert "the given test split has no item of class 'down', so it is not tested" in capsys.readouterr().err


def test_demo_photos_train_with_twenty_a_class(shared_cache, tmp_path):
    splits = dataset.load(training_settings.PhotoConfig(cache=shared_cache), tmp_path, photos.PHOTOS)
    assert set(collections.Counter(sample.label for sample in splits.train).values()) == {20}
    assert len(splits.class_names) >= 5


def test_splits_never_depend_on_the_network_or_how_it_is_trained(stripes, tmp_path):
    """Or two networks could not be compared on the same test photos: only these settings may change a split."""
    of_the_data = {"data", "seed", "split_seed", "validation_fraction", "test_fraction", "skip_bad", "group_pattern",
                   "find_near_duplicates", "keep_near_duplicates_together"}  # fmt: skip
    others = {"backbone": "MobileNetV2", "weights": "none", "image_size": 64, "aspect": "crop", "batch_size": 7,
              "epochs": 3, "learning_rate": 0.5, "precision": "mixed_float16", "deterministic": True, "flip": True,
              "rotation": 9.0, "zoom": 0.5, "contrast": 0.5, "views": 2, "no_cache": True, "cache_dtype": "float16",
              "cache_limit_gb": 1.0, "tensorboard": True, "mlflow": "x", "out": tmp_path, "resume": tmp_path,
              "cache": tmp_path / "other", "debug": True, "dry_run": True, "no_baselines": True}  # fmt: skip
    plain = settings(stripes, tmp_path / "cache")
    assert {field.name for field in dataclasses.fields(plain)} == of_the_data | set(others)
    written = []
    for number, changed in enumerate([{}, *({name: value} for name, value in others.items())]):
        (tmp_path / str(number)).mkdir()
        dataset.load(dataclasses.replace(plain, **changed), tmp_path / str(number), photos.PHOTOS)
        written.append((tmp_path / str(number) / "split.csv").read_bytes())
    assert set(written) == {written[0]}


@pytest.mark.parametrize(
    ("name", "told"), [("turn_left", True), ("Right hand", True), ("bright", False), ("up", False)]
)
def test_mirroring_classes_that_speak_of_sides_is_warned_of(stripes, tmp_path, capsys, name, told):
    (stripes / "across").rename(stripes / name)
    for flip in (False, True):
        (tmp_path / str(flip)).mkdir()
        dataset.load(settings(stripes, tmp_path / "cache", flip=flip), tmp_path / str(flip), photos.PHOTOS)
        assert ("contains a side" in capsys.readouterr().err) == (told and flip)
