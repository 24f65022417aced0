"""The drawn lesions: laid out as promised, the same each time, and a lesion is known again in its next picture."""

import collections
import csv
import hashlib

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from common import errors
from common.demo import drawn_lesions, drawn_photos, lesion_structures

SIZE = 48  # half the demo's own, drawn in a third of the time


def lesions_of(dx, count) -> list[int]:
    """The first lesions of a diagnosis."""
    lesions = (lesion for lesion in range(100 * count) if drawn_lesions.diagnosis(lesion) == dx)
    return [next(lesions) for _ in range(count)]


# What a measurement sees: the pixels alone.


def histogram(photo) -> np.ndarray:
    """Shares (512,) of the colours in the middle of a picture, relative to its skin; no turn changes them."""
    y, x = np.mgrid[: len(photo), : len(photo)] - (len(photo) - 1) / 2
    pixels = photo[np.hypot(x, y) < 0.4 * len(photo)]
    relative = pixels / np.percentile(pixels, 75, axis=0)
    counts = np.histogramdd(relative.clip(0, 1.5), 8, [(0, 1.5)] * 3)[0]
    return ndimage.gaussian_filter(counts / len(pixels), 0.7).ravel()


def lesion_mask(photo) -> np.ndarray:
    """Where a picture differs from the skin in its corners: the piece nearest to the middle, without hair."""
    smooth = np.asarray(photo.filter(ImageFilter.MedianFilter(5)), dtype=float)
    edge = len(smooth) // 5
    skin = np.median(smooth[:edge].reshape(-1, 3), axis=0)
    pieces, count = ndimage.label(np.abs(smooth - skin).sum(axis=2) > 60)
    if not count:
        return np.zeros(pieces.shape, bool)
    sizes = ndimage.sum_labels(np.ones_like(pieces), pieces, range(1, count + 1))
    return pieces == 1 + sizes.argmax()


def asymmetry(mask) -> float:
    """The share of a shape that is not covered when it is turned by 180 degrees about its centre."""
    shape = ndimage.shift(mask.astype(float), np.array(mask.shape) / 2 - 0.5 - ndimage.center_of_mass(mask), order=1)
    return 1 - np.minimum(shape, shape[::-1, ::-1]).sum() / shape.sum()


def number_of_colours(photo, mask) -> int:
    """How many of the ABCD rule's six colours a lesion has, each on 4 % of it or more."""
    colours = 255 * np.array(list(lesion_structures.COLOURS.values()))
    distances = np.linalg.norm(np.asarray(photo, dtype=float)[mask][:, None] - colours, axis=2)
    return int((np.bincount(distances.argmin(axis=1), minlength=6) > 0.04 * mask.sum()).sum())


# One picture.


@pytest.mark.parametrize("dx", drawn_lesions.DIAGNOSES)
def test_a_picture_is_rgb_of_the_asked_size_and_never_flat(dx):
    lesion = lesions_of(dx, 1)[0]
    for size in (32, SIZE, drawn_photos.IMAGE_SIZE):
        photo = drawn_lesions.draw(lesion, 1, size)
        assert photo.shape == (size, size, 3) and photo.dtype == np.uint8 and photo.std() > 5


def test_the_same_arguments_give_the_same_picture():
    first = drawn_lesions.draw(5, 2)
    drawn_lesions.paint_lesion.cache_clear()
    np.testing.assert_array_equal(drawn_lesions.draw(5, 2), first)


def test_a_picture_does_not_depend_on_what_was_drawn_before():
    drawn_lesions.draw(5, 1, SIZE)
    expected = drawn_lesions.draw(5, 0, SIZE)
    drawn_lesions.paint_lesion.cache_clear()
    np.testing.assert_array_equal(drawn_lesions.draw(5, 0, SIZE), expected)


def test_other_lesions_and_other_pictures_differ():
    photos = {drawn_lesions.draw(lesion, picture, 32).tobytes() for lesion in range(10) for picture in range(4)}
    assert len(photos) == 40


@pytest.mark.parametrize("lesion", range(0, 40, 8))
def test_a_larger_picture_shows_the_same(lesion):
    small, large = (drawn_lesions.draw(lesion, 0, size).astype(float) for size in (SIZE, 2 * SIZE))
    halved = large.reshape(SIZE, 2, SIZE, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - small).mean() < 5


@pytest.mark.parametrize("arguments", [(-1, 0, SIZE), (0, -1, SIZE), (0, 0, 31)])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        drawn_lesions.draw(*arguments)


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="seed"):
        drawn_lesions.write_pictures(tmp_path / "lesions", seed=-1)


# Many pictures.


@pytest.fixture(scope="module")
def twelve_of_each() -> tuple[np.ndarray, np.ndarray]:
    """Diagnoses (84,) and histograms (2, 84, 512) of two pictures of twelve lesions of each diagnosis."""
    diagnoses = np.repeat(drawn_lesions.DIAGNOSES, 12)
    lesions = [lesion for dx in drawn_lesions.DIAGNOSES for lesion in lesions_of(dx, 12)]
    shots = [[histogram(drawn_lesions.draw(lesion, picture, SIZE)) for lesion in lesions] for picture in (0, 1)]
    return diagnoses, np.array(shots)


def test_a_lesion_is_known_again_in_its_next_picture(twelve_of_each):
    """By the colours alone, two pictures of a lesion are more alike than pictures of two with one diagnosis."""
    closer = []
    for dx in drawn_lesions.DIAGNOSES:
        first, second = twelve_of_each[1][:, twelve_of_each[0] == dx]
        distances = np.abs(first[:, None] - second[None]).sum(axis=2)
        others = ~np.eye(12, dtype=bool)
        assert np.diag(distances).mean() < 0.7 * distances[others].mean()
        closer.extend((np.diag(distances)[:, None] < distances)[others])
    assert np.mean(closer) > 0.8


def test_a_split_by_picture_leaks_and_a_split_by_lesion_does_not(twelve_of_each):
    """The nearest picture gives the diagnosis away if it may be one of the same lesion, and much less if not."""
    diagnoses, (first, second) = twelve_of_each
    distances = np.abs(first[:, None] - second[None]).sum(axis=2)
    by_picture = np.mean(diagnoses[distances.argmin(axis=1)] == diagnoses)
    np.fill_diagonal(distances, np.inf)
    by_lesion = np.mean(diagnoses[distances.argmin(axis=1)] == diagnoses)
    assert 2 / 7 < by_lesion < by_picture - 0.2


def test_a_melanoma_is_more_asymmetric_and_has_more_colours_than_a_nevus():
    """The A and the C of the ABCD rule, measured on the pixels of the lesions as they were painted."""
    shapes, colours = collections.defaultdict(list), collections.defaultdict(list)
    for dx in ("mel", "nv"):
        for lesion in lesions_of(dx, 30):
            plane = drawn_lesions.paint_lesion(lesion, SIZE)
            mask = lesion_mask(plane)
            if mask.sum() > 200:  # Paler lesions cannot be told from their skin in this simple way.
                shapes[dx].append(asymmetry(mask))
                colours[dx].append(number_of_colours(plane, mask))
    assert min(len(shapes["mel"]), len(shapes["nv"])) > 24
    assert np.mean(shapes["mel"]) > 1.2 * np.mean(shapes["nv"])
    assert np.mean(colours["mel"]) > np.mean(colours["nv"]) + 0.5


# The table.


def test_the_profiles_name_only_what_there_is():
    for profile in drawn_lesions.PROFILES.values():
        assert set(profile.resembles) <= set(drawn_lesions.DIAGNOSES)
        assert set(profile.palette) <= set(lesion_structures.COLOURS)
        assert set(profile.structures) <= set(lesion_structures.STRUCTURES)
        assert set(profile.places) <= set(drawn_lesions.PLACES)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return drawn_lesions.metadata()


def test_every_diagnosis_has_its_lesions_and_the_nevi_are_most(rows):
    lesions = collections.Counter({row["lesion_id"]: row["dx"] for row in rows}.values())
    assert lesions == {name: profile.lesions for name, profile in drawn_lesions.PROFILES.items()}
    assert sum(lesions.values()) == drawn_lesions.LESIONS == 262 and len(rows) == 699
    assert lesions.most_common(1)[0][0] == "nv" and min(lesions.values()) >= 12
    pictures = collections.Counter(row["lesion_id"] for row in rows).values()
    assert set(pictures) == {1, 2, 3, 4} and np.mean(np.array(list(pictures)) > 1) > 0.7


def test_all_pictures_of_a_lesion_share_everything_but_their_name(rows):
    by_lesion = collections.defaultdict(list)
    for row in rows:
        by_lesion[row["lesion_id"]].append({key: row[key] for key in row if key != "image_id"})
    assert all(row == rows[0] for rows in by_lesion.values() for row in rows)
    assert len({row["image_id"] for row in rows}) == len(rows)


def test_the_values_are_those_of_ham10000(rows):
    assert {row["dx"] for row in rows} == {"akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"}
    assert {row["dx_type"] for row in rows} == {"histo", "follow_up", "consensus", "confocal"}
    assert {row["sex"] for row in rows} <= {"male", "female", "unknown"}
    assert {row["localization"] for row in rows} <= set(drawn_lesions.PLACES)
    ages = {row["age"] for row in rows}
    assert "" in ages and all(float(age) % 5 == 0 and 0 <= float(age) <= 85 for age in ages if age)


def test_melanomas_are_older_and_only_nevi_were_followed_up(rows):
    age = {dx: np.mean([float(row["age"]) for row in rows if row["dx"] == dx and row["age"]]) for dx in ("mel", "nv")}
    assert age["mel"] > age["nv"] + 5
    assert {row["dx"] for row in rows if row["dx_type"] == "follow_up"} == {"nv"}
    assert {row["dx_type"] for row in rows if row["dx"] == "mel"} == {"histo"}


def test_another_seed_shares_no_lesion(rows):
    assert not {row["lesion_id"] for row in rows} & {row["lesion_id"] for row in drawn_lesions.metadata(seed=1)}


# The folder.


@pytest.fixture
def few(monkeypatch, rows):
    """Only the first 12 pictures are written."""
    metadata = drawn_lesions.metadata
    monkeypatch.setattr(drawn_lesions, "metadata", lambda seed=0: metadata(seed)[:12])


def digest(folder) -> dict[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_a_folder_holds_the_table_and_every_picture_in_it(tmp_path, rows, monkeypatch):
    """Each file is the picture of the lesion in its row; stand-ins, which say their numbers, are quickly drawn."""

    def number_plate(lesion, picture, size):
        return np.full((size, size, 3), (lesion % 256, 50 * picture, 0), np.uint8)

    monkeypatch.setattr(drawn_lesions, "draw", number_plate)
    folder = drawn_lesions.write_pictures(tmp_path / "lesions", size=32)
    with open(folder / "metadata.csv", newline="") as file:
        reader = csv.DictReader(file)
        assert list(reader) == rows and tuple(reader.fieldnames) == drawn_lesions.COLUMNS
    assert {path.stem for path in (folder / "images").iterdir()} == {row["image_id"] for row in rows}
    lesions = list(dict.fromkeys(row["lesion_id"] for row in rows))
    for row in rows:
        photo = np.asarray(Image.open(folder / "images" / f"{row['image_id']}.jpg"), dtype=int)
        lesion, picture = lesions.index(row["lesion_id"]), int(row["image_id"][-1])
        assert photo.shape == (32, 32, 3) and row["dx"] == drawn_lesions.diagnosis(lesion)
        assert np.abs(photo[16, 16] - (lesion % 256, 50 * picture, 0)).max() < 8
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_is_the_same_each_time_and_another_seed_shares_no_picture(tmp_path, few):
    first, again = (drawn_lesions.write_pictures(tmp_path / name, size=32) for name in ("first", "again"))
    other = drawn_lesions.write_pictures(tmp_path / "other", seed=1, size=32)
    assert digest(first) == digest(again) and len(digest(first)) == 13
    assert not set(digest(first).values()) & set(digest(other).values())


def test_a_complete_folder_is_left_alone(tmp_path, few, monkeypatch):
    before = digest(drawn_lesions.write_pictures(tmp_path / "lesions", size=32))
    monkeypatch.setattr(drawn_lesions, "draw", lambda *_: pytest.fail("drawn again"))
    assert digest(drawn_lesions.write_pictures(tmp_path / "lesions", size=32)) == before


@pytest.mark.parametrize("other", [{"seed": 1, "size": 32}, {"size": SIZE}])
def test_pictures_of_another_seed_or_size_are_not_taken_for_these(tmp_path, few, other):
    before = digest(drawn_lesions.write_pictures(tmp_path / "lesions", size=32))
    with pytest.raises(errors.UserError, match="something other"):
        drawn_lesions.write_pictures(tmp_path / "lesions", **other)
    assert digest(tmp_path / "lesions") == before


def test_a_run_that_dies_leaves_nothing(tmp_path, few, monkeypatch):
    draw = drawn_lesions.draw

    def dies_in_the_middle(lesion, picture, size):
        if lesion == 2:
            raise KeyboardInterrupt
        return draw(lesion, picture, size)

    monkeypatch.setattr(drawn_lesions, "draw", dies_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        drawn_lesions.write_pictures(tmp_path / "lesions", size=32)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(errors.UserError, match="something other"):
        drawn_lesions.write_pictures(tmp_path, size=32)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


def test_a_place_that_cannot_be_written_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(errors.UserError, match="cannot write"):
        drawn_lesions.write_pictures(tmp_path / "file" / "lesions", size=32)
