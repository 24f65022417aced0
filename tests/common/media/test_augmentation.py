import numpy as np
import pytest
import tensorflow as tf

from common.media import augmentation, rand_augment

pytestmark = pytest.mark.quick


def augmented(pixels, seed=(0, 1), **limits):
    return augmentation.augment(tf.constant(pixels, "float32"), augmentation.Augmentation(**limits), seed).numpy()


@pytest.fixture
def picture():
    return np.random.default_rng(0).uniform(0, 255, (17, 17, 3)).astype("float32")


def test_no_augmentation_changes_nothing(picture):
    assert np.array_equal(augmented(picture), picture)
    assert not augmentation.Augmentation() and augmentation.Augmentation(zoom=0.1)


def test_flip_mirrors_about_half_of_the_photos(picture):
    results = [augmented(picture, (0, number), flip=True) for number in range(60)]
    mirrored = sum(np.array_equal(result, picture[:, ::-1]) for result in results)
    assert mirrored + sum(np.array_equal(result, picture) for result in results) == 60
    assert 15 < mirrored < 45


def test_rotation_by_a_quarter_turn(picture):
    turned = augmentation._rotated(tf.constant(picture), tf.constant(np.pi / 2, tf.float32), 1.0).numpy()
    assert np.allclose(turned, np.rot90(picture, -1), atol=0.1) or np.allclose(turned, np.rot90(picture), atol=0.1)


def test_zoom_magnifies_about_the_middle():
    pixels = np.zeros((17, 17, 1), "float32")
    pixels[8, 10] = 1  # two pixels right of the middle
    closer = augmentation._rotated(tf.constant(pixels), tf.constant(0.0), 2.0).numpy()
    assert np.unravel_index(closer.argmax(), closer.shape) == (8, 12, 0)


def test_contrast_keeps_the_mean_and_the_range(picture):
    calm = picture / 4 + 96
    changed = augmented(calm, contrast=0.5)
    assert np.isclose(changed.mean(), calm.mean(), atol=0.1)
    assert not np.isclose(changed.std(), calm.std(), rtol=0.01)
    assert augmented(picture * 100, contrast=0.5).max() <= 255


def test_the_eight_turns_are_those_of_a_square(picture):
    results = [augmentation.turned(tf.constant(picture), turn).numpy() for turn in range(augmentation.TURNS)]
    expected = [np.rot90(side, turn) for side in (picture, picture[:, ::-1]) for turn in range(4)]
    for result, same in zip(results, expected, strict=True):
        assert np.array_equal(result, same)
    assert len({result.tobytes() for result in results}) == 8


def test_colour_changes_each_channel_by_a_factor(picture):
    changed = augmented(picture / 2, colour=0.1)
    factors = (changed / (picture / 2)).reshape(-1, 3)
    assert np.allclose(factors, factors[0], atol=1e-4)
    assert np.all(np.abs(factors[0] - 1) <= 0.1) and len(set(factors[0].round(4))) == 3
    assert augmented(picture, colour=0.5).max() <= 255


def test_colour_leaves_what_the_others_draw(picture):
    flipped = [augmented(picture, (0, number), flip=True) for number in range(8)]
    coloured = [augmented(picture, (0, number), flip=True, colour=1e-9) for number in range(8)]
    assert np.allclose(flipped, coloured, atol=1e-3)


def test_all_frames_of_a_clip_are_augmented_alike():
    frame = np.random.default_rng(0).uniform(0, 255, (16, 16, 3)).astype("float32")
    limits = augmentation.Augmentation(
        flip=True, rotation=30, zoom=0.2, contrast=0.3, colour=0.2, brightness=0.2, saturation=0.3, hue=0.1,
        erasing=0.5, randaugment=7.0,
    )  # fmt: skip
    for number in range(12):
        clip = augmentation.augment(tf.constant(np.stack([frame] * 3)), limits, (0, number)).numpy()
        alone = augmentation.augment(tf.constant(frame), limits, (0, number)).numpy()
        assert np.allclose(clip, alone[None], atol=0.05)


def test_brightness_multiplies_all_channels_by_one_factor(picture):
    factors = [augmented(picture / 2, (0, number), brightness=0.3) / (picture / 2) for number in range(8)]
    assert all(np.allclose(each, each[0, 0, 0], atol=1e-3) for each in factors)
    assert all(0.7 <= each[0, 0, 0] <= 1.3 for each in factors) and len({each[0, 0, 0] for each in factors}) == 8
    assert augmented(picture, brightness=1.0).max() <= 255


def test_saturation_leaves_grey_as_it_is_and_hue_its_light(picture):
    grey = np.repeat(picture[..., :1], 3, axis=-1)
    assert np.allclose(augmented(grey, saturation=0.9, hue=0.5), grey, atol=0.5)
    assert not np.allclose(augmented(picture, saturation=0.9), picture, atol=5)
    # In the model HSV, the value of a pixel is its largest channel.
    assert np.allclose(augmented(picture, hue=0.5).max(axis=-1), picture.max(axis=-1), atol=0.1)
    red, half = np.full((2, 2, 3), (200.0, 0, 0), "float32"), np.full((2, 2, 3), (0, 200.0, 200.0), "float32")
    assert np.allclose(tf.image.adjust_hue(red, 0.5), half, atol=0.1)


def test_erasing_covers_one_rectangle_with_the_mean_colour():
    picture = np.random.default_rng(1).uniform(0, 255, (40, 40, 3)).astype("float32")
    areas = []
    for number in range(60):
        changed = np.any(augmented(picture, (0, number), erasing=0.5) != picture, axis=-1)
        areas.append(changed.mean())
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert changed.sum() == len(rows) * len(columns)  # a full rectangle
    erased = [area for area in areas if area]
    assert 18 < len(erased) < 42 and min(erased) > 0.01 and max(erased) < 0.36
    assert all(augmented(picture, (0, number), erasing=1.0)[..., 0].std() < picture.std() for number in range(5))


def test_a_new_change_leaves_what_the_others_draw(picture):
    flipped = [augmented(picture, (0, number), flip=True) for number in range(8)]
    with_more = [augmented(picture, (0, number), flip=True, brightness=1e-9, erasing=1e-9) for number in range(8)]
    assert np.allclose(flipped, with_more, atol=1e-3)


@pytest.mark.parametrize("strength", [1.0, 9.0])
def test_randaugment_makes_two_changes_that_the_seed_fixes(picture, strength):
    found = [augmented(picture, (0, number), randaugment=strength) for number in range(40)]
    again = [augmented(picture, (0, number), randaugment=strength) for number in range(40)]
    assert np.array_equal(found, again)
    assert min(each.min() for each in found) >= 0 and max(each.max() for each in found) <= 255
    assert len({each.tobytes() for each in found}) > 20


def test_the_changes_of_randaugment_have_known_answers(picture):
    by_name = {each.__name__.strip("_"): each for each in rand_augment.OPERATIONS}
    one = tf.constant(1.0)

    def changed(name, size=1.0, pixels=picture):
        return by_name[name](tf.constant(pixels), size, one).numpy()

    assert np.array_equal(changed("identity"), picture)
    assert np.array_equal(changed("posterize") % 16, np.zeros_like(picture))  # four bits
    assert np.array_equal(changed("posterize", 0.0), np.floor(picture))
    assert np.allclose(changed("solarize"), 255 - picture) and np.array_equal(changed("solarize", 0.0), picture)
    narrow = picture / 2 + 60
    stretched = changed("auto_contrast", pixels=narrow)
    assert np.allclose([stretched.min((0, 1)), stretched.max((0, 1))], [[0] * 3, [255] * 3], atol=1e-3)
    assert np.allclose(changed("shift_x", 1 / (0.3 * 17) * 2)[:, :-2], picture[:, 2:], atol=1e-2)  # by two pixels
    assert np.allclose(changed("shift_y", 1 / (0.3 * 17) * 2)[:-2], picture[2:], atol=1e-2)
    for name in ("shear_x", "shear_y", "rotate"):
        assert np.allclose(changed(name)[8, 8], picture[8, 8], atol=1e-2)  # the middle stays
        assert not np.allclose(changed(name), picture, atol=5)
    flat = np.full_like(picture, 100.0)
    assert np.allclose(changed("sharpness", pixels=flat), flat) and changed("sharpness").std() > picture.std()
