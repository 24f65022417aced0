import pytest

from common.data import name_families
from common.data.sample_list import Sample
from common.media import clips, photos

pytestmark = pytest.mark.quick

HASH = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "name",
    [
        f"17_jpg.rf.{HASH}", "17_aug3", "17-aug-3", "17_augmented", "17_copy", "17 copy 2", "17 - copy",
        "17 - copy (2)",
        "17 - kopie", "17_flip", "17_hflip", "17_flipped", "17_mirrored", "17_rot90", "17_rotated_90", "17-crop-2",
        "17_flip_rot90", "aug_17", "aug_0_17", "augmented_3_17", "copy of 17", "flipped_17", "rot90_17", "17 (1)",
        f"17_{HASH}",
    ],
)  # fmt: skip
def test_a_name_tells_the_source(name):
    assert name_families.source(name, {name, "17"}) == "17"


@pytest.mark.parametrize(
    "name",
    [
        "img_001", "img_1234", "1234", "photocopy", "august_17", "images (2)", "front_flip_2", "wheat_crop_7",
        "rotterdam_3", "17b", f"{HASH}", "crop", "_aug3", "flip_", "copy", "(1)",
    ],
)  # fmt: skip
def test_other_names_are_their_own_source(name):
    assert name_families.source(name, {name, "img_002", "images (1)"}) == name


def test_a_number_in_brackets_needs_its_file_beside_it():
    """Cat (1), cat (2), … are how Windows names different photos."""
    assert name_families.source("img_12 (2)", {"img_12 (1)"}) == "img_12 (2)"
    assert name_families.source("img_12 (2)", {"img_12"}) == "img_12"


def test_keras_numbers_the_source_and_then_draws_a_number():
    assert [name_families.source(name, set()) for name in ("_3_123456", "aug_3_99", "aug_4_99")] == [
        "_3", "aug_3", "aug_4"
    ]  # fmt: skip
    assert name_families.source("aug_3_99", {"99"}) == "99"


def test_a_word_of_the_class_says_nothing():
    assert name_families.source("3_flip", set(), "flip") == "3_flip" and name_families.source("3_flip", set()) == "3"


UUID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        "img_e2000", "img_2000-edited", "img_2000-bearbeitet", "img_2000~2", "img_2000_hdr", "img_2000.raw-01.cover",
        "img_2000.portrait-02.original", "img_2000 2", "copie de img_2000", "img_2000 - コピー",
        "img_2000 (ann's conflicted copy 2024-01-01)", "img_2000.sync-conflict-20240101-101010-abcdefg",
        "img_2000-300x200", "img_2000-scaled", "thumb_img_2000", "img_2000_thumb", "img_2000_resized", "img_2000@2x",
        "img_2000-edit", "img_2000-enhanced", "img_2000-enhanced-nr", "img_2000_v2",
        f"daisy_original_img_2000.jpg_{UUID}",
        "aug_img_2000_0", "img_2000_brightness", "img_2000_bright", "img_2000_dark", "blur_img_2000", "img_2000_blur",
        "noisy_img_2000", "img_2000_noise", "img_2000_gray", "img_2000_grey", "1a2b3c4d-img_2000",
    ],
)  # fmt: skip
def test_a_source_beside_it_explains_a_name(name):
    assert name_families.source(name, {name, "img_2000"}, "daisy") == "img_2000"


def test_a_sibling_explains_a_name_too():
    for names in (("img_1_dark", "img_1_bright"), ("img_1-300x200", "img_1-150x150"), ("blur_img_1", "noisy_img_1"),
                  ("aug_img_200_0", "aug_img_200_1"), ("1a2b3c4d-img_1", "2a2b3c4d-img_1"),
                  ("rose-300x200", "rose-150x150")):  # fmt: skip
        assert len({name_families.source(name, set(names)) for name in names}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("img_1_hdr", "img_2_hdr"), ("front_dark", "front_bright"), ("dark_1", "bright_1"), ("dog 2", "dog"),
        ("20240101-1", "20240102-1"), ("aug_img_2000", "aug_img_2001"), ("1a2b3c4d-image", "2a2b3c4d-image"),
        ("img_e2000", "img_2001"), ("img_1 2", "img_1 3"),
    ],
)  # fmt: skip
def test_names_without_their_source_are_no_family(names):
    assert len({name_families.source(name, set(names)) for name in names}) == 2


def test_two_forms_of_one_photo_in_one_folder_are_a_family():
    found = families(["x/a/1.jpg", "x/a/1.tif", "x/a/2.jpg", "y/a/2.tif"]).families
    assert found == {"a 1": ["x/a/1.jpg", "x/a/1.tif"]}


def families(paths, **group):
    samples = [Sample(path, path.split("/")[-2], **group) for path in paths]
    return name_families.find(samples, photos.PHOTOS.title)


def test_families_are_of_one_class_and_have_a_changed_name():
    found = families(["a/1.jpg", "a/1_aug1.jpg", "a/1_aug2.png", "b/1.jpg", "a/2.jpg", "x/b/3.jpg", "y/b/3.jpg"])
    assert found.families == {"a 1": ["a/1.jpg", "a/1_aug1.jpg", "a/1_aug2.png"]} and not found.too_large


def test_given_groups_count_more_than_names():
    assert not families(["a/1.jpg", "a/1_aug1.jpg"], group="patient 3").families
    assert families(["a/1.jpg", "a/1_aug1.jpg"], group="a 1").families  # a split that was written before


def test_a_name_that_many_share_is_no_source():
    many = [f"a/1_aug{number}.jpg" for number in range(21)]
    assert list(families(many).too_large) == ["a 1"] and not families(many).families
    assert list(families(many[:20]).families) == ["a 1"]


def test_clips_and_folders_of_frames_have_families_too():
    samples = [Sample(path, "a") for path in ("a/1.avi", "a/1_flip.mp4", "a/1_aug1", "a/2")]
    assert list(name_families.find(samples, clips.Clips().title).families.values()) == [
        ["a/1.avi", "a/1_aug1", "a/1_flip.mp4"]
    ]


def test_families_become_groups_unless_their_sides_are_given():
    samples = [Sample("a/1.jpg", "a", split="train"), Sample("a/1_aug1.jpg", "a", split="train"),
               Sample("a/2.jpg", "a", split="train"), Sample("a/2_aug1.jpg", "a", split="test")]  # fmt: skip
    found = name_families.find(samples, photos.PHOTOS.title)
    assert len(found.families) == 2
    assert [each.group for each in name_families.with_groups(samples, found)] == ["a 1", "a 1", "", ""]
