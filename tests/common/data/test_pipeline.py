import numpy as np
import pytest
from PIL import Image

from common.data import pipeline, targets
from common.media import augmentation as augmentations
from common.media import photos as media_photos
from common.models import raw_input

pytestmark = pytest.mark.quick


def one_hot(classes):
    return targets.Classes(tuple(map(str, range(classes)))).encoded


SHAPE = {
    "encode": one_hot(10),
    "resize": raw_input.resizing(8, "squash"),
    "batch_size": 4,
    "medium": media_photos.PHOTOS,
}


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
    return pipeline.training_batches(
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
    augmentation = augmentations.Augmentation(flip=True, rotation=20, zoom=0.2, contrast=0.2)
    whole = list(training(photos, augmentation=augmentation).take(9))
    resumed = list(training(photos, augmentation=augmentation, first_epoch=2).take(3))
    for (pixels, labels), (pixels_again, labels_again) in zip(whole[6:], resumed, strict=True):
        assert np.array_equal(labels, labels_again)
        assert np.array_equal(pixels, pixels_again)


def test_balanced_draws_take_every_class_alike_often():
    labels = np.repeat([0, 1, 2], [8000, 900, 100])
    draws = np.array(pipeline.balanced_order(labels, seed=0, epoch=3))
    assert len(draws) == 9000
    shares = np.bincount(labels[draws]) / 9000
    assert np.abs(shares - 1 / 3).max() < 4 * (2 / 9 / 9000) ** 0.5  # four standard errors
    rare = np.bincount(draws[draws >= 8900] - 8900, minlength=100)
    assert rare.min() > 10 and rare.max() < 60  # each about 30 times
    assert np.array_equal(draws, pipeline.balanced_order(labels, seed=0, epoch=3))
    assert not np.array_equal(draws, pipeline.balanced_order(labels, seed=0, epoch=4))


def test_a_photo_drawn_twice_in_an_epoch_is_augmented_twice(photos):
    """One photo of class 1 and nine of class 0, so that about half of the draws are of the one."""
    batches = pipeline.training_batches(
        photos, [0] * 9 + [1], one_hot(2), SHAPE["resize"], 10, seed=0, preprocess=unchanged,
        medium=media_photos.PHOTOS, balanced=True,
        augmentation=augmentations.Augmentation(colour=0.2),
    )  # fmt: skip
    pixels, labels = next(iter(batches))
    rare = pixels.numpy()[labels.numpy()[:, 1] == 1]
    assert len(rare) > 2
    assert len({tuple(photo[0, 0]) for photo in rare}) == len(rare)


def test_balanced_rows_take_another_view_every_batch():
    views = [lambda numbers, view=view: [np.full((len(numbers), 1), view, "float32")] for view in range(3)]
    shape = {"encode": one_hot(2), "batch_size": 2, "dtypes": ["float32"], "shapes": [(1,)], "seed": 0}
    for balanced, expected in ((False, [0, 0, 0, 1, 1, 1]), (True, [0, 1, 2, 1, 2, 0])):
        rows = pipeline.training_rows(views, [0, 0, 0, 0, 0, 1], balanced=balanced, **shape)
        assert [int(x.numpy()[0, 0]) for x, _ in rows.take(6)] == expected
    resumed = pipeline.training_rows(views, [0, 0, 0, 0, 0, 1], balanced=True, first_epoch=1, **shape)
    assert [int(x.numpy()[0, 0]) for x, _ in resumed.take(3)] == [1, 2, 0]


def test_validation_and_test_come_in_order_and_once(photos):
    batches = pipeline.evaluation_batches(photos, range(10), **SHAPE, preprocess=lambda x: x / 255)
    assert order_of(batches, -1) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    pixels = np.concatenate([x for x, _ in batches])
    assert pixels.shape == (10, 8, 8, 3) and pixels.dtype == "float32"
    assert np.allclose(pixels[5, 3, 3], [100 / 255, 0, 155 / 255], atol=1e-5)


def test_a_name_that_is_not_utf8(tmp_path):
    path = bytes(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (9, 9), (10, 20, 30)).save(open(path, "wb"), "PNG")
    batches = pipeline.evaluation_batches([path.decode(errors="surrogateescape")], [0], **SHAPE, preprocess=unchanged)
    assert np.allclose(next(iter(batches))[0][0, 0, 0], [10, 20, 30])


@pytest.mark.parametrize("aspect", ["squash", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_resizing_in_front_of_the_network_gives_the_bits_of_keras_s_layer(aspect, interpolation):
    resize = raw_input.resizing(32, aspect, interpolation)
    random = np.random.default_rng(0)
    for shape in [(32, 32), (20, 31), (33, 90), (700, 41), (2, 47, 64)]:
        pixels = random.integers(0, 256, (*shape, 3), dtype="uint8")
        assert np.array_equal(pipeline.resized(pixels, resize), resize(pixels.astype("float32")).numpy()), shape
