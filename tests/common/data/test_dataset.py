import collections
import dataclasses
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

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
    assert lines[0] == "path,label,group,split,sha256" and len(lines) == 31


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


@pytest.mark.parametrize("cut", [1, 2])
def test_a_resumed_run_refuses_a_split_with_a_cut_line(stripes, tmp_path, cut):
    dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    header, *rows = (tmp_path / "split.csv").read_text().splitlines()
    rows[4] = rows[4].rsplit(",", cut)[0]
    (tmp_path / "split.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(errors.UserError, match="a line has no split or no sha256"):
        dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)


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


@pytest.mark.parametrize("side", sample_list.SPLIT_NAMES)
def test_given_splits_need_every_class(stripes, tmp_path, side):
    """Without photos of a class its weight is infinite, and so is the noise of the balanced accuracy."""
    whole = dataset.load(settings(stripes, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    samples = [*whole.train, *whole.validation, *whole.test]
    lacking = [sample for sample in samples if (sample.label, sample.split) != ("down", side)]
    sample_list.write_csv(tmp_path / "given.csv", lacking)
    config = settings(tmp_path / "given.csv", tmp_path / "cache")
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match=f"given {side} split has no item of class 'down'; move some .* only in"):
        dataset.load(config, tmp_path / "run", photos.PHOTOS)


def test_demo_photos_train_with_twenty_a_class(shared_cache, tmp_path):
    splits = dataset.load(training_settings.PhotoConfig(cache=shared_cache), tmp_path, photos.PHOTOS)
    assert set(collections.Counter(sample.label for sample in splits.train).values()) == {20}
    assert len(splits.class_names) >= 5


def test_splits_never_depend_on_the_network_or_how_it_is_trained(stripes, tmp_path):
    """Or two networks could not be compared on the same test photos: only these settings may change a split."""
    of_the_data = {"data", "seed", "split_seed", "validation_fraction", "test_fraction", "skip_bad", "skip_unsupported",
                   "same_names", "group_pattern", "find_near_duplicates", "keep_near_duplicates_together"}  # fmt: skip
    others = {"backbone": "MobileNetV2", "weights": "none", "preprocess": "tf", "last_layer": "x",
              "image_size": 64, "aspect": "crop", "batch_size": 7,
              "epochs": 3, "learning_rate": 0.5, "precision": "mixed_float16", "deterministic": True, "flip": True,
              "rotation": 9.0, "zoom": 0.5, "contrast": 0.5, "brightness": 0.5, "saturation": 0.5, "hue": 0.5,
              "erasing": 0.5, "randaugment": 9.0, "views": 2, "no_cache": True, "cache_dtype": "float16",
              "cache_limit_gb": 1.0, "tensorboard": True, "mlflow": "x", "out": tmp_path, "resume": tmp_path,
              "cache": tmp_path / "other", "debug": True, "dry_run": True, "no_baselines": True,
              "price_per_hour": 0.5, "energy": True, "engine": "keras", "prefix_precision": "bfloat16"}  # fmt: skip
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


# Names and labels -----------------------------------------------------------------------------------------------------


def listed(folder, name, rows, header="path,label"):
    """A CSV of photos of noise, `rows` of labels and further values; the first photo is 0.png."""
    for number in range(len(rows)):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")
    lines = [f"{number}.png,{row}" for number, row in enumerate(rows)]
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return folder / name


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("big\xa0cat", "big cat"), ("cat\u200b", "cat")])
def test_labels_that_only_look_alike_stop_the_run_or_are_joined(tmp_path, one, other):
    table = listed(tmp_path, "a.csv", [one, other, "dog", "dog"] * 5)
    with pytest.raises(errors.UserError, match="names of classes differ only in .*--same-names"):
        dataset.load(settings(table, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert not (tmp_path / "split.csv").exists()
    splits = dataset.load(settings(table, tmp_path / "cache", same_names=True), tmp_path, photos.PHOTOS)
    assert len(splits.class_names) == 2 and splits.counts().tolist() == [6, 6]
    resumed = dataset.load(settings(table, tmp_path / "cache"), tmp_path, photos.PHOTOS)  # what was split stays so
    assert resumed.class_names == splits.class_names


def test_class_folders_in_two_unicode_forms_are_one_class(stripes, tmp_path):
    """As one side was packed on a Mac and the other was not."""
    forms = {"train": "caf\xe9", "test": "cafe\u0301"}
    for side, cafe in forms.items():
        for label, name in (("across", cafe), ("down", "bar")):
            (tmp_path / "given" / side / name).mkdir(parents=True)
            for path in sorted((stripes / label).iterdir())[slice(0, 10) if side == "train" else slice(10, 15)]:
                shutil.copy(path, tmp_path / "given" / side / name)
    with pytest.raises(errors.UserError, match="'caf\xe9' NFC .10. and 'cafe\u0301' NFD .5."):
        dataset.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    config = settings(tmp_path / "given", tmp_path / "cache", same_names=True)
    splits = dataset.load(config, tmp_path, photos.PHOTOS)
    assert splits.class_names == ("bar", "caf\xe9") and {sample.label for sample in splits.test} == {"bar", "caf\xe9"}


@pytest.mark.parametrize("header", ["path,label,Group", "path,label,patient_id"])
def test_a_column_like_group_keeps_its_photos_together(tmp_path, header, capsys):
    rows = [f"{label},{label}{number // 4}" for label in ("cat", "dog") for number in range(20)]
    table = listed(tmp_path, "a.csv", rows, header)
    splits = dataset.load(settings(table, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    sides = [{sample.group for sample in side} for side in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 10
    assert f"column '{header.split(',')[-1]}' is used as group" in capsys.readouterr().err


@pytest.mark.parametrize(("groups", "told"), [(5, "is only 1 group on the test side"), (40, "")])
def test_few_groups_on_a_side_are_spoken_of(tmp_path, groups, told, capsys):
    rows = [f"{label},{number % groups}" for label in ("cat", "dog") for number in range(40)]
    table = listed(tmp_path, "a.csv", rows, "path,label,group")
    dataset.load(settings(table, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert told in (text := capsys.readouterr().err) and ("on the test side" in text) == bool(told)


def test_messages_do_not_climb_up_folders(stripes, tmp_path, monkeypatch, capsys):
    (stripes / "down" / "00.jpg").write_bytes(b"")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    source = os.path.relpath(stripes)
    with pytest.raises(errors.UserError, match=f"1 of 30 photos cannot be used: {stripes}/down/00.jpg"):
        dataset.load(settings(source, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    splits = dataset.load(settings(source, tmp_path / "cache", skip_bad=True), tmp_path, photos.PHOTOS)
    assert "data: 1 of 30 photos left out (1 empty), listed in" in capsys.readouterr().err
    (tmp_path / "below" / "a.csv").write_text(
        "path,label\n" + "".join(f"../{os.path.relpath(each.path, tmp_path)},{each.label}\n" for each in splits.train)
    )
    listed = sources.read_source("a.csv", tmp_path, photos.PHOTOS)
    assert [each.path for each in listed] == splits.paths("train")


def test_groups_that_only_look_alike_stop_the_run(tmp_path):
    rows = [f"{label},{label}{number // 2}" for label in ("cat", "dog") for number in range(20)]
    rows[1] = rows[1].upper().replace("CAT,", "cat,")
    table = listed(tmp_path, "a.csv", rows, "path,label,group")
    with pytest.raises(errors.UserError, match="names of groups .*'CAT0' .1. and 'cat0' .1."):
        dataset.load(settings(table, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    splits = dataset.load(settings(table, tmp_path / "cache", same_names=True), tmp_path, photos.PHOTOS)
    assert len({sample.group for sample in splits.train + splits.validation + splits.test}) == 20


def test_labels_that_look_like_no_classes_are_spoken_of(tmp_path, capsys):
    table = listed(tmp_path, "a.csv", [str(20 + number % 5) for number in range(30)])
    splits = dataset.load(settings(table, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert splits.class_names == ("20", "21", "22", "23", "24")
    assert "all 5 labels are numbers (20 to 24), which looks like a quantity" in capsys.readouterr().err


def test_a_folder_of_hugging_face_is_read(tmp_path):
    for side, count in (("train", 20), ("test", 6)):
        (tmp_path / "given" / side).mkdir(parents=True)
        listed(tmp_path / "given" / side, "metadata.csv", ["cat", "dog"] * (count // 2), "file_name,label")
        for path in (tmp_path / "given" / side).glob("*.png"):
            with open(path, "ab") as file:  # different contents on the two sides
                file.write(side.encode())
    splits = dataset.load(settings(tmp_path / "given", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert splits.class_names == ("cat", "dog") and len(splits.test) == 6
    assert all("/test/" in path for path in splits.paths("test"))


def test_the_deepest_photo_decides_what_white_is_and_marks_of_a_class_are_named(tmp_path, capsys):
    """12-bit photos in 16 bits, which would be black; those of one class have an alpha channel of 0."""
    draws = np.random.default_rng(0)
    for label in ("bright", "dark"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(15):
            samples = draws.integers(0, 4096 if label == "bright" else 512, (20, 20)).astype(np.uint16)
            Image.fromarray(samples).save(tmp_path / "photos" / label / f"{number}.png")
    for number in range(10):
        picture = Image.fromarray(draws.integers(0, 256, (20, 20, 4), dtype=np.uint8))
        picture.putalpha(0)
        picture.save(tmp_path / "photos" / "dark" / f"mask_{number}.png")
    splits = dataset.load(settings(tmp_path / "photos", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert splits.medium == photos.Photos(white=4095)
    read = {label: splits.medium.read(tmp_path / "photos" / label / "0.png") for label in ("bright", "dark")}
    assert read["bright"].max() > 250 and 25 < read["dark"].max() < 35
    said = capsys.readouterr().err.splitlines()
    assert "data: no 16-bit file has a value above 4,095, so 4,095 is read as white" in said
    example = tmp_path / "photos" / "dark" / "mask_0.png"
    assert (
        f"data: alpha ignored: 10 photos, such as {example} (it is 0 everywhere): 10 of 25 dark, 0 of 15 bright" in said
    )
    assert splits.summary()["notes_per_class"]["alpha ignored"] == {"dark": [10, 25], "bright": [0, 15]}
    assert splits.summary()["different_pictures"] == 40
    resumed = dataset.load(settings(tmp_path / "photos", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert resumed.medium == splits.medium
