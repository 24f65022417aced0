"""Boxes in the network's square: there and back, in augmented views, and as rows of an array."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data import box_annotations, boxes, targets
from common.data import box_formats as formats
from common.media import augmentation as augmentations
from common.models import raw_input


def sample(size, *listed):
    return box_annotations.sample_of("a.png", size, [formats.Box(*each) for each in listed])


def bright(pixels):
    """The edges of the bright area of a picture (height, width, 3), in pixels."""
    rows, columns = (np.flatnonzero(pixels.mean(axis=2).max(axis=axis) > 127) for axis in (1, 0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def photo(size, box):
    pixels = np.zeros((size[1], size[0], 3), "float32")
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 255
    return pixels


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (80, 80), (61, 90)])
@pytest.mark.parametrize("aspect", boxes.ASPECTS)
def test_a_box_is_where_the_resized_photo_shows_it(size, aspect):
    box = (12, 9, 42, 48)
    shown = np.array(raw_input.resizing(96, aspect)(photo(size, box)))
    square = boxes.to_square(np.array([box], float), size, aspect)
    assert np.allclose(square[0] * 96, bright(shown), atol=1.0)
    assert np.allclose(boxes.from_square(square, size, aspect), [box], atol=1e-6)


@pytest.mark.parametrize(("size", "side", "box"), [((5, 10), 90, (1, 2, 4, 7)), ((8, 3), 56, (1, 1, 5, 2))])
def test_an_odd_photo_is_padded_as_keras_does(size, side, box):
    """Each pixel of the photo becomes a whole number of pixels, so that the edges are exact."""
    shown = np.array(raw_input.resizing(side, "pad")(photo(size, box)))
    square = boxes.to_square(np.array([box], float), size, "pad")
    assert np.allclose(square[0] * side, bright(shown), atol=0.3)
    assert boxes.to_square(np.array([[0, 0, 50, 101.0]]), (50, 101), "pad")[0].tolist() == [0.25, 0, 0.75, 1]


@pytest.mark.parametrize("seed", range(6))
def test_the_boxes_of_a_view_are_the_boxes_in_its_pixels(seed):
    """Mirrored and zoomed: the moved box is where the augmented picture shows it."""
    augmentation = augmentations.Augmentation(flip=True, zoom=0.3)
    pixels, place = photo((96, 96), (30, 36, 54, 66)), tf.constant([3, seed])
    shown = augmentations.augment(tf.constant(pixels), augmentation, place).numpy()
    mirrored, angle, zoom = augmentations.placement(augmentation, (3, seed))
    rows = np.array([[0, 30 / 96, 36 / 96, 54 / 96, 66 / 96]], "float32")
    assert np.allclose(boxes.moved(rows, mirrored, zoom)[0, 1:] * 96, bright(shown), atol=1.0) and angle == 0


def test_a_view_that_is_zoomed_out_shows_no_mirrored_copies():
    pixels = np.full((32, 32, 3), 255.0, "float32")
    seeds = [(3, number) for number in range(8)]
    kinds = augmentations.AugmentationOnBlack(zoom=0.5), augmentations.Augmentation(zoom=0.5)
    (seed, *_) = [seed for seed in seeds if augmentations.placement(kinds[0], seed)[2] < 0.8]
    black, reflected = (augmentations.augment(tf.constant(pixels), kind, tf.constant(seed)) for kind in kinds)
    side = 32 * augmentations.placement(kinds[0], seed)[2]
    assert np.array(reflected).min() == 255 and np.array(black)[0].max() == 0
    assert np.allclose(bright(np.array(black)), [16 - side / 2, 16 - side / 2, 16 + side / 2, 16 + side / 2], atol=1)
    assert kinds[0] and not augmentations.AugmentationOnBlack()


def test_flips_and_zooms_of_boxes_by_hand():
    rows = np.array([[2, 0.1, 0.2, 0.3, 0.6], [boxes.EMPTY, 0, 0, 0, 0]], "float32")
    assert np.allclose(boxes.moved(rows, True, 1.0)[0], [2, 0.7, 0.2, 0.9, 0.6], atol=1e-6)
    assert np.allclose(boxes.moved(rows, False, 1.5)[0], [2, 0, 0.05, 0.2, 0.65], atol=1e-6)  # a third is outside
    assert boxes.moved(rows, False, 1.0)[1, 0] == boxes.EMPTY
    twice = boxes.moved(boxes.moved(rows, True, 1.0), True, 1.0)
    assert np.allclose(twice[0], rows[0], atol=1e-6)


def test_a_box_that_has_left_the_view_counts_no_more():
    rows = np.array([[0, 0.0, 0.4, 0.1, 0.6]], "float32")
    assert boxes.moved(rows, False, 1.3)[0, 0] == boxes.EMPTY


def test_photos_become_rows_of_one_length():
    kind = boxes.Boxes().seen(both := [sample((40, 20), ("dog", 0, 0, 20, 20)), sample((40, 20))])
    assert kind.box_classes == ("dog",)
    array = kind.array(both)
    assert array.shape == (2, 1, 5) and array[1, 0, 0] == boxes.EMPTY
    assert np.allclose(array[0, 0], [0, 0, 0.25, 0.5, 0.75])  # the photo lies in the middle of a square
    assert keras.ops.convert_to_numpy(kind.encoded(array)).dtype == "float32"
    assert kind.summary(both) == {"n": 2, "dog": 1} and kind.enough(both) and not kind.enough(both[1:])


def test_only_boxes_above_the_threshold_are_told_and_they_stay_inside():
    kind = boxes.Boxes(box_classes=("cat", "dog"), threshold=0.5)
    found = np.array([[0.0, 0.2, 0.5, 0.75, 0.9, 1], [0.1, 0.3, 0.2, 0.4, 0.4, 0], [0, 0, 0, 0, 0, 0]])
    shown = kind.in_photo(found, (40, 20))
    assert np.allclose(shown, [[0, 0, 20, 20, 0.9, 1]])
    assert len(kind.in_photo(found, (40, 20), 0.0)) == 2
    row = kind.judged(sample((40, 20), ("dog", 0, 0, 20, 20)), found)
    assert row == {"label": "dog", "true_cat": 0, "found_cat": 0, "true_dog": 1, "found_dog": 1}


def test_saved_targets_come_back():
    kind = boxes.Boxes(box_classes=("cat",), aspect="squash", threshold=0.4)
    assert targets.restored(kind.saved()) == kind
