import numpy as np
import pytest
import tensorflow as tf

from common.media import augmentation

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
    limits = augmentation.Augmentation(flip=True, rotation=30, zoom=0.2, contrast=0.3, colour=0.2)
    for number in range(6):
        clip = augmentation.augment(tf.constant(np.stack([frame] * 3)), limits, (0, number)).numpy()
        alone = augmentation.augment(tf.constant(frame), limits, (0, number)).numpy()
        assert np.allclose(clip, alone[None], atol=0.05)
