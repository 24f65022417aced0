import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common import generators

SHAPE = {"num_classes": 10, "resize": generators.resizing(8, "squash"), "batch_size": 4}


def unchanged(x):
    return x


@pytest.fixture
def photos(tmp_path):
    """Ten photos; photo i has the colour (20 i, 0, 255 - 20 i)."""
    for number in range(10):
        pixels = np.tile(np.array([20 * number, 0, 255 - 20 * number], "uint8"), (30, 20, 1))
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return [str(tmp_path / f"{number}.png") for number in range(10)]


def order_of(dataset, batches):
    return [np.argmax(labels.numpy(), axis=1).tolist() for _, labels in dataset.take(batches)]


def training(photos, seed=0, first_epoch=0, augmentation=None):
    return generators.training_batches(
        photos, range(10), **SHAPE, seed=seed, preprocess=unchanged, augmentation=augmentation, first_epoch=first_epoch
    )


def test_an_epoch_has_every_photo_once_with_its_own_label(photos):
    seen = []
    for pixels, labels in training(photos).take(3):
        numbers = np.argmax(labels.numpy(), axis=1)
        assert np.allclose(pixels.numpy()[:, 0, 0, 0], 20 * numbers)
        seen += numbers.tolist()
    assert sorted(seen) == list(range(10))


def test_the_seed_fixes_the_order_of_every_epoch(photos):
    first = order_of(training(photos, seed=1), 9)
    assert order_of(training(photos, seed=1), 9) == first
    assert order_of(training(photos, seed=2), 9) != first
    assert first[:3] != first[3:6]


def test_a_resumed_stream_goes_on_where_it_stopped(photos):
    augmentation = generators.Augmentation(flip=True, rotation=20, zoom=0.2, contrast=0.2)
    whole = list(training(photos, augmentation=augmentation).take(9))
    resumed = list(training(photos, augmentation=augmentation, first_epoch=2).take(3))
    for (pixels, labels), (pixels_again, labels_again) in zip(whole[6:], resumed, strict=True):
        assert np.array_equal(labels, labels_again)
        assert np.array_equal(pixels, pixels_again)


def test_balanced_draws_take_every_class_alike_often():
    labels = np.repeat([0, 1, 2], [8000, 900, 100])
    draws = np.array(generators.balanced_order(labels, seed=0, epoch=3))
    assert len(draws) == 9000
    shares = np.bincount(labels[draws]) / 9000
    assert np.abs(shares - 1 / 3).max() < 4 * (2 / 9 / 9000) ** 0.5  # four standard errors
    rare = np.bincount(draws[draws >= 8900] - 8900, minlength=100)
    assert rare.min() > 10 and rare.max() < 60  # each about 30 times
    assert np.array_equal(draws, generators.balanced_order(labels, seed=0, epoch=3))
    assert not np.array_equal(draws, generators.balanced_order(labels, seed=0, epoch=4))


def test_a_photo_drawn_twice_in_an_epoch_is_augmented_twice(photos):
    """One photo of class 1 and nine of class 0, so that about half of the draws are of the one."""
    batches = generators.training_batches(
        photos, [0] * 9 + [1], 2, SHAPE["resize"], 10, seed=0, preprocess=unchanged, balanced=True,
        augmentation=generators.Augmentation(colour=0.2),
    )  # fmt: skip
    pixels, labels = next(iter(batches))
    rare = pixels.numpy()[labels.numpy()[:, 1] == 1]
    assert len(rare) > 2
    assert len({tuple(photo[0, 0]) for photo in rare}) == len(rare)


def test_balanced_rows_take_another_view_every_batch():
    views = [lambda numbers, view=view: [np.full((len(numbers), 1), view, "float32")] for view in range(3)]
    shape = {"num_classes": 2, "batch_size": 2, "dtypes": ["float32"], "shapes": [(1,)], "seed": 0}
    for balanced, expected in ((False, [0, 0, 0, 1, 1, 1]), (True, [0, 1, 2, 1, 2, 0])):
        rows = generators.training_rows(views, [0, 0, 0, 0, 0, 1], balanced=balanced, **shape)
        assert [int(x.numpy()[0, 0]) for x, _ in rows.take(6)] == expected
    resumed = generators.training_rows(views, [0, 0, 0, 0, 0, 1], balanced=True, first_epoch=1, **shape)
    assert [int(x.numpy()[0, 0]) for x, _ in resumed.take(3)] == [1, 2, 0]


def test_validation_and_test_come_in_order_and_once(photos):
    batches = generators.evaluation_batches(photos, range(10), **SHAPE, preprocess=lambda x: x / 255)
    assert order_of(batches, -1) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    pixels = np.concatenate([x for x, _ in batches])
    assert pixels.shape == (10, 8, 8, 3) and pixels.dtype == "float32"
    assert np.allclose(pixels[5, 3, 3], [100 / 255, 0, 155 / 255], atol=1e-5)


def test_a_name_that_is_not_utf8(tmp_path):
    path = bytes(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (9, 9), (10, 20, 30)).save(open(path, "wb"), "PNG")
    batches = generators.evaluation_batches([path.decode(errors="surrogateescape")], [0], **SHAPE, preprocess=unchanged)
    assert np.allclose(next(iter(batches))[0][0, 0, 0], [10, 20, 30])


def augmented(pixels, seed=(0, 1), **limits):
    return generators.augment(tf.constant(pixels, "float32"), generators.Augmentation(**limits), seed).numpy()


@pytest.fixture
def picture():
    return np.random.default_rng(0).uniform(0, 255, (17, 17, 3)).astype("float32")


def test_no_augmentation_changes_nothing(picture):
    assert np.array_equal(augmented(picture), picture)
    assert not generators.Augmentation() and generators.Augmentation(zoom=0.1)


def test_flip_mirrors_about_half_of_the_photos(picture):
    results = [augmented(picture, (0, number), flip=True) for number in range(60)]
    mirrored = sum(np.array_equal(result, picture[:, ::-1]) for result in results)
    assert mirrored + sum(np.array_equal(result, picture) for result in results) == 60
    assert 15 < mirrored < 45


def test_rotation_by_a_quarter_turn(picture):
    turned = generators._rotated(tf.constant(picture), tf.constant(np.pi / 2, tf.float32), 1.0).numpy()
    assert np.allclose(turned, np.rot90(picture, -1), atol=0.1) or np.allclose(turned, np.rot90(picture), atol=0.1)


def test_zoom_magnifies_about_the_middle():
    pixels = np.zeros((17, 17, 1), "float32")
    pixels[8, 10] = 1  # two pixels right of the middle
    closer = generators._rotated(tf.constant(pixels), tf.constant(0.0), 2.0).numpy()
    assert np.unravel_index(closer.argmax(), closer.shape) == (8, 12, 0)


def test_contrast_keeps_the_mean_and_the_range(picture):
    calm = picture / 4 + 96
    changed = augmented(calm, contrast=0.5)
    assert np.isclose(changed.mean(), calm.mean(), atol=0.1)
    assert not np.isclose(changed.std(), calm.std(), rtol=0.01)
    assert augmented(picture * 100, contrast=0.5).max() <= 255


def test_the_eight_turns_are_those_of_a_square(picture):
    results = [generators.turned(tf.constant(picture), turn).numpy() for turn in range(generators.TURNS)]
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


def test_resizing_is_antialiased():
    chequered = np.indices((64, 64)).sum(0)[..., None] % 2 * 255.0 * np.ones(3)
    assert np.abs(np.array(generators.resizing(8, "squash")(chequered)) - 127.5).max() < 10


def test_a_photo_that_is_not_square_is_cropped_squashed_or_padded():
    photo = np.zeros((20, 40, 3), "float32")
    photo[:, :10] = 255  # the left quarter is white
    left = {aspect: np.array(generators.resizing(10, aspect)(photo))[5, 0, 0] for aspect in ("crop", "squash", "pad")}
    assert left["crop"] == 0 and np.isclose(left["squash"], 255)
    padded = np.array(generators.resizing(10, "pad")(photo))
    assert padded[0].max() == 0 and np.isclose(padded[5, 0, 0], 255)
