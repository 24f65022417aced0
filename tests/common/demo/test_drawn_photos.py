"""The demo's photos are drawn as promised."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from sklearn import linear_model

from common import errors
from common.demo import drawing, drawn_photos


def silhouette(class_name, seed) -> np.ndarray:
    """Where a thing covers a sheet, bool (32, 32), drawn upright in the middle."""
    sheet = Image.new("RGBA", (32, 32))
    colours = [(255, 255, 255)] * 4
    pen = drawing.Pen(sheet, drawing.Pose((0.5, 0.5), 0.45), colours)
    drawn_photos.PAINTERS[class_name](pen, np.random.default_rng(seed))
    return np.asarray(sheet)[..., 3] > 0


# The photos.


def test_there_are_at_least_five_target_classes():
    assert len(set(drawn_photos.CLASS_NAMES)) == len(drawn_photos.CLASS_NAMES) >= 5


@pytest.mark.parametrize("class_name", drawn_photos.CLASS_NAMES)
def test_a_photo_is_rgb_of_the_asked_size_and_never_flat(class_name):
    for size in (32, 64, drawn_photos.IMAGE_SIZE):
        photo = drawn_photos.draw(class_name, 3, size)
        assert photo.shape == (size, size, 3) and photo.dtype == np.uint8 and photo.std() > 5


@pytest.mark.parametrize("class_name", drawn_photos.CLASS_NAMES)
def test_the_same_class_and_seed_give_the_same_photo(class_name):
    np.testing.assert_array_equal(drawn_photos.draw(class_name, 5), drawn_photos.draw(class_name, 5))


def test_other_seeds_and_other_classes_give_other_photos():
    photos = {drawn_photos.draw(name, seed, 32).tobytes() for name in drawn_photos.CLASS_NAMES for seed in range(10)}
    assert len(photos) == 10 * len(drawn_photos.CLASS_NAMES)


def test_a_thing_looks_more_like_its_own_class_than_like_any_other():
    """The truth is in the shape: without pose, colour and background a class is found by its outline."""
    names = drawn_photos.CLASS_NAMES
    means = {name: np.mean([silhouette(name, seed) for seed in range(20)], axis=0) for name in names}
    for name in names:
        for seed in range(100, 110):
            distance = {other: np.abs(silhouette(name, seed) - mean).sum() for other, mean in means.items()}
            assert min(distance, key=distance.get) == name


def test_colour_does_not_give_the_class_away():
    """A logistic regression on the colour histogram stays near the chance of 1 in 6."""

    def histograms(seeds):
        photos = [drawn_photos.draw(name, seed, 32) for name in drawn_photos.CLASS_NAMES for seed in seeds]
        pixels = [photo.reshape(-1, 3) for photo in photos]
        return np.array([np.histogramdd(each, 4, [(0, 256)] * 3)[0].ravel() for each in pixels])

    train, test = range(60), range(60, 100)
    probe = linear_model.LogisticRegression(C=1e-4, max_iter=2000)
    probe.fit(histograms(train), np.repeat(drawn_photos.CLASS_NAMES, len(train)))
    assert probe.score(histograms(test), np.repeat(drawn_photos.CLASS_NAMES, len(test))) < 0.3


@pytest.mark.parametrize("arguments", [("dragon", 0), ("fish", -1), ("fish", 0, 31)])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        drawn_photos.draw(*arguments)


# The folder.


def digest(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/*"))
    }


def test_photos_are_written_into_class_folders_the_same_each_time(tmp_path):
    first, again = (drawn_photos.write_photos(tmp_path / name, per_class=3, size=32) for name in ("first", "again"))
    assert sorted(path.name for path in first.iterdir()) == sorted(drawn_photos.CLASS_NAMES)
    assert (first / "fish" / "fish_0002.jpg").is_file() and len(digest(first)) == 3 * len(drawn_photos.CLASS_NAMES)
    assert digest(first) == digest(again)
    assert Image.open(first / "fish" / "fish_0000.jpg").size == (32, 32)


def test_another_seed_shares_no_photo(tmp_path):
    first, second = (drawn_photos.write_photos(tmp_path / str(seed), 3, seed, 32) for seed in (0, 1))
    assert not set(digest(first).values()) & set(digest(second).values())


def test_a_complete_folder_is_left_alone(tmp_path, monkeypatch):
    before = digest(drawn_photos.write_photos(tmp_path / "photos", per_class=2, size=32))
    monkeypatch.setattr(drawn_photos, "draw", lambda *_: pytest.fail("drawn again"))
    assert digest(drawn_photos.write_photos(tmp_path / "photos", per_class=2, size=32)) == before


def test_a_run_that_dies_leaves_nothing(tmp_path, monkeypatch):
    draw = drawn_photos.draw

    def dies_in_the_middle(class_name, seed, size):
        if class_name == drawn_photos.CLASS_NAMES[2]:
            raise KeyboardInterrupt
        return draw(class_name, seed, size)

    monkeypatch.setattr(drawn_photos, "draw", dies_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        drawn_photos.write_photos(tmp_path / "photos", per_class=2, size=32)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(errors.UserError, match="something other"):
        drawn_photos.write_photos(tmp_path, per_class=2, size=32)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


def test_a_place_that_cannot_be_written_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(errors.UserError, match="cannot write"):
        drawn_photos.write_photos(tmp_path / "file" / "photos", per_class=2, size=32)
