"""Copies of one source stay on one side of a split, are said, and are listed; also where sides are given."""

import csv
import dataclasses
import itertools

import numpy as np
import PIL.Image
import pytest

from common.data import dataset, duplicates, name_families, sample_list
from common.media import medium, photos
from common.training import settings as training_settings

pytestmark = pytest.mark.quick

SOURCES = 100


def picture(seed):
    """Soft random colours: a cropped copy is like its source and unlike all others."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), "uint8")
    return PIL.Image.fromarray(pixels).resize((48, 48), PIL.Image.Resampling.BICUBIC)


def changed(image, number):
    """A copy that only its name gives away: cropped or turned, and darker."""
    cropped = image.crop((0, 4, 44, 48)) if number == 1 else image.crop((5, 0, 48, 43))
    turned = cropped.resize((48, 48)) if number < 3 else image.rotate(9, PIL.Image.Resampling.BICUBIC)
    return turned.point(lambda value: value * 0.9)


def settings(data, cache, **changes):
    fractions = {"validation_fraction": 0.15, "test_fraction": 0.4}
    return training_settings.PhotoConfig(data=str(data), cache=cache, **fractions | changes)


def augmented(folder, name):
    """Photos with random labels, each with three changed copies; `name(source, number)` names the files."""
    labels = np.random.default_rng(1).permutation(["cat", "dog"] * (SOURCES // 2))
    for source, label in enumerate(labels):
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        image = picture(source)
        image.save(place / f"{name(source, 0)}.png")
        for number in (1, 2, 3):
            changed(image, number).save(place / f"{name(source, number)}.png")
    return folder


def accuracy_of_the_nearest(splits):
    """The test accuracy of the label of the nearest training photo, which knows every copy again."""
    seen, asked = (
        np.stack([np.asarray(PIL.Image.open(path).resize((8, 8)), "float32").ravel() for path in splits.paths(side)])
        for side in ("train", "test")
    )
    distances = ((asked[:, None] - seen[None]) ** 2).sum(axis=2)
    return (splits.labels("train")[distances.argmin(axis=1)] == splits.labels("test")).mean()


HASH = "0123456789abcdef0123456789abcde"
NAMES = {
    "numbered": lambda source, number: f"{source:03}_aug{number}" if number else f"{source:03}",
    "Roboflow": lambda source, number: f"{source:03}_jpg.rf.{HASH}{number}",
    "in words": lambda source, number: f"{source:03}{('', '_crop', '_copy', '_rot15')[number]}",
    "Keras": lambda source, number: f"_{source}_{number}9217",
}


@pytest.mark.parametrize("names", NAMES)
def test_random_labels_are_not_learnt_from_augmented_copies(names, tmp_path, capsys):
    folder = augmented(tmp_path / "photos", NAMES[names])
    splits = dataset.load(settings(folder, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert len(splits.test) == pytest.approx(160, abs=12)
    assert accuracy_of_the_nearest(splits) == pytest.approx(0.5, abs=0.2)  # 40 sources: two and a half deviations
    assert "by their names, 400 photos were made of 100 sources" in capsys.readouterr().err
    assert splits.summary()["duplicates"]["families"] == 100


def test_random_labels_would_be_learnt_if_the_names_said_nothing(tmp_path, capsys):
    folder = augmented(tmp_path / "photos", lambda source, number: f"{4 * source + number}")
    splits = dataset.load(settings(folder, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert accuracy_of_the_nearest(splits) > 0.8 and "data:" not in capsys.readouterr().err
    (tmp_path / "grouped").mkdir()
    folder = augmented(tmp_path / "more", lambda source, number: f"{source}-{'abcd'[number]}")
    grouped = dataset.load(
        settings(folder, tmp_path / "cache", group_pattern=r"^(\d+)-"), tmp_path / "grouped", photos.PHOTOS
    )
    assert accuracy_of_the_nearest(grouped) == pytest.approx(0.5, abs=0.2)
    assert capsys.readouterr().err == "data: --group-pattern finds 100 groups in 400 photos\n"


@pytest.fixture
def saved_again(tmp_path):
    """40 photos in two classes, each saved again in half its size."""
    for number in range(40):
        place = tmp_path / "photos" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        detailed = np.random.default_rng(number).integers(0, 256, (12, 12, 3), "uint8")
        image = PIL.Image.fromarray(detailed).resize((96, 80), PIL.Image.Resampling.BICUBIC)
        image.save(place / f"{number}.png")
        image.resize((48, 40)).save(place / f"{1000 + 7 * number}.jpg", quality=60)
    return tmp_path / "photos"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_photos_saved_again_stay_on_one_side_and_are_listed(saved_again, tmp_path, capsys):
    splits = dataset.load(settings(saved_again, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    listed = rows(tmp_path / "duplicates.csv")
    assert len(listed) == 40 and list(listed[0]) == duplicates.COLUMNS
    assert {(row["kind"], row["kept_together"], row["split"] == row["other_split"]) for row in listed} == {
        ("copy", "yes", True)
    }
    said = capsys.readouterr().err
    assert "40 pairs of photos show the same picture, such as cat/" in said and "two sides" not in said
    assert splits.quality["near_copies"] == 0 and splits.quality["duplicates"]["copy"] == 40


def test_a_resumed_run_lists_the_same(saved_again, tmp_path):
    (saved_again / "cat" / "0_aug1.png").write_bytes((saved_again / "cat" / "2.png").read_bytes())
    first = dataset.load(settings(saved_again, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    listed = rows(tmp_path / "duplicates.csv")
    again = dataset.load(settings(saved_again, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert rows(tmp_path / "duplicates.csv") == listed and again.quality == first.quality
    assert first.quality["duplicates"]["families"] == 1


def given(saved_again, tmp_path, side, label):
    """A CSV in which one pair has its second photo moved to a side and a class."""
    samples = dataset.load(settings(saved_again, tmp_path / "cache"), tmp_path, photos.PHOTOS)
    train = [each for each in samples.train if each.label == "cat"]
    pair = next(pair for pair in rows(tmp_path / "duplicates.csv") if pair["path"] in {each.path for each in train})
    (tmp_path / "run").mkdir()
    sample_list.write_csv(tmp_path / "given.csv", [
        dataclasses.replace(each, split=side, label=label) if each.path == pair["other_path"] else each
        for each in [*samples.train, *samples.validation, *samples.test]
    ])  # fmt: skip
    return settings(tmp_path / "given.csv", tmp_path / "cache"), pair


def test_copies_on_two_given_sides_are_a_warning(saved_again, tmp_path, capsys):
    config, pair = given(saved_again, tmp_path, "test", "cat")
    capsys.readouterr()
    splits = dataset.load(config, tmp_path / "run", photos.PHOTOS)
    said = capsys.readouterr().err
    assert f"1 pair of photos on two sides look the same, such as {pair['path']} (train) and" in said
    first = rows(tmp_path / "run" / "duplicates.csv")[0]  # what does harm comes first
    assert (first["split"], first["other_split"], first["kept_together"]) == ("train", "test", "no")
    assert splits.quality["near_copies"] == splits.quality["duplicates"]["on_two_sides"] == 1


def test_copies_in_two_classes_are_a_warning(saved_again, tmp_path, capsys):
    config, pair = given(saved_again, tmp_path, "train", "dog")
    capsys.readouterr()
    splits = dataset.load(config, tmp_path / "run", photos.PHOTOS)
    said = capsys.readouterr().err
    assert "1 pair of photos show the same picture in two classes, such as" in said and "'cat'" in said
    assert pair["other_path"] in said and splits.quality["duplicates"]["in_two_classes"] == 1


def test_families_on_two_given_sides_are_a_warning_and_no_leak(tmp_path, capsys):
    for side, label in itertools.product(("train", "validation", "test"), ("cat", "dog")):
        (tmp_path / "photos" / side / label).mkdir(parents=True)
        for number in range(4):
            place = f"{side}{label}{number}"
            picture(sum(map(ord, place)) * 31 + number).save(tmp_path / "photos" / side / label / f"{place}.png")
    picture(1).save(tmp_path / "photos" / "test" / "cat" / "traincat0_aug1.png")
    splits = dataset.load(settings(tmp_path / "photos", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    assert "1 pair of photos on two sides come from one source by their names" in capsys.readouterr().err
    assert not any(sample.group for sample in splits.train + splits.test)


def test_a_large_cluster_is_not_kept_together():
    def pairs(count):
        return [duplicates.Pair(str(place), str(place + 1), "copy", 0.99) for place in range(count - 1)]

    assert duplicates.joined(duplicates.bounded(pairs(20))) == [(str(place), str(place + 1)) for place in range(19)]
    assert duplicates.joined(duplicates.bounded(pairs(21))) == []
    one = [duplicates.Pair("a0", "b0", "features", 0.9)]  # 15 of each are kept together anyway
    units = {f"{unit}{number}": unit for unit in "ab" for number in range(15)}
    assert duplicates.joined(duplicates.bounded(one, units)) == [] and len(duplicates.joined(duplicates.bounded(one)))


def test_of_a_large_cluster_each_item_keeps_its_nearest():
    pairs = [duplicates.Pair(str(one), str(other), "copy") for one, other in itertools.combinations(range(30), 2)]
    found = duplicates.bounded(pairs)
    assert {end for pair in found for end in (pair.first, pair.second)} == set(map(str, range(30)))
    assert len(found) == 29 and not any(pair.together for pair in found)


def test_what_is_not_kept_together_is_said(capsys):
    samples = [sample_list.Sample(f"x/{number}.jpg", "x", split="train") for number in range(30)]
    pairs = [duplicates.Pair(f"x/{number}.jpg", f"x/{number + 1}.jpg", "copy", 0.99) for number in range(29)]
    none = name_families.Families({}, {})
    duplicates.say(samples, duplicates.bounded(pairs), none, "photo")
    assert "30 photos look the same in clusters of more than 20, as from a fixed camera" in capsys.readouterr().err
    similar = [duplicates.Pair("x/0.jpg", "x/1.jpg", "features", 0.9, together=False)]
    duplicates.say(samples, similar, none, "photo")
    assert "--keep-near-duplicates-together keeps them on one side" in capsys.readouterr().err
    duplicates.say(samples, [], name_families.Families({}, {"x 1": ["x/1_aug1.jpg", "x/1_aug2.jpg"]}), "photo")
    assert "1 source would have more than 20 photos by the names" in capsys.readouterr().err


def test_without_pairs_no_file_is_written(tmp_path):
    duplicates.write(tmp_path / "duplicates.csv", [], [])
    assert not list(tmp_path.iterdir())


def test_given_groups_are_trusted(tmp_path, capsys):
    """Two pictures of two lesions may look the same. Without groups they are copies."""
    small = photos.small_grey(np.asarray(picture(1)))
    facts = {name: medium.Facts(path=name, sha256=name, small=small) for name in ("a", "b")}
    for groups, kept in ((("1", "2"), False), (("1", "1"), True), (("1", ""), True), (("", ""), True)):
        samples = [sample_list.Sample(name, "cat", group=group) for name, group in zip(("a", "b"), groups, strict=True)]
        families = name_families.find(samples, str)
        found = duplicates.find(samples, facts, families)
        assert [pair.together for pair in found] == [kept]
        duplicates.say(samples, found, families, "photo")
        assert ("the groups are kept as given" in capsys.readouterr().err) != kept


@pytest.mark.parametrize("ending", ["tif", "jpg"])
def test_one_picture_in_two_formats_and_folders_is_one_source(ending, tmp_path, capsys):
    """On one side of a new split; of given sides and of two classes, a warning. Other pictures may share the stem."""
    for number in range(40):
        label = "ab"[number % 2]
        for part in ("one", "two"):
            (tmp_path / "photos" / label / part).mkdir(parents=True, exist_ok=True)
        image = picture(number)
        image.save(tmp_path / "photos" / label / "one" / f"{number}.png")
        image.save(tmp_path / "photos" / label / "two" / f"{number}.{ending}")
        picture(100 + number).save(tmp_path / "photos" / label / "two" / f"{number + 1}.png")  # the stem of another
    splits = dataset.load(settings(tmp_path / "photos", tmp_path / "cache"), tmp_path, photos.PHOTOS)
    side_of = {path: side for side in sample_list.SPLIT_NAMES for path in splits.paths(side)}
    for number in range(40):
        place = tmp_path / "photos" / "ab"[number % 2]
        assert side_of[str(place / "one" / f"{number}.png")] == side_of[str(place / "two" / f"{number}.{ending}")]
    assert splits.summary()["duplicates"]["copy"] == 40
    capsys.readouterr()
    given = tmp_path / "given"
    for side in ("train", "test"):
        for number in range(20):
            (given / side / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
            name = f"{number}.png" if side == "train" else f"{number}.{ending}"
            picture(number).save(given / side / "ab"[number % 2] / name)
    (tmp_path / "x").mkdir()
    dataset.load(settings(given, tmp_path / "cache", validation_fraction=0.2), tmp_path / "x", photos.PHOTOS)
    assert "on two sides" in capsys.readouterr().err
