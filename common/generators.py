"""Photos from disk to batches on `tf.data`: decoded in parallel, in an order that a seed fixes.

Every random number is drawn from (seed, epoch, photo) and not from a running state, so a training that was
interrupted and goes on at epoch 7 sees the photos that it would have seen.
"""

import dataclasses
import math
import os

import numpy as np
import tensorflow as tf

from common import images


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How far a training photo may be changed; all zero means not at all.

    Attributes:
        flip: mirrored left to right in half of the cases.
        rotation: at most this many degrees to either side.
        zoom: at most this fraction closer or further (0.1: 0.9 to 1.1 times).
        contrast: at most this fraction more or less.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0

    def __bool__(self):
        return bool(self.flip or self.rotation or self.zoom or self.contrast)


def training_batches(
    paths, labels, num_classes, image_size, batch_size, seed, preprocess, augmentation=None, first_epoch=0
) -> tf.data.Dataset:
    """An endless stream of shuffled training batches, one epoch after the other.

    Args:
        paths: photo files.
        labels: their class indices.
        num_classes: length of the one-hot labels.
        image_size: height and width in pixels.
        batch_size: photos in a batch; an epoch's last batch may be smaller, batches do not cross epochs.
        seed: fixes the order and the augmentation of every epoch.
        preprocess: called on float32 batches of RGB 0–255.
        augmentation: an `Augmentation`, or None.
        first_epoch: the stream starts with this epoch's order.

    Returns:
        A dataset of (float32 (batch, height, width, 3), one-hot float32 (batch, num_classes)); call `fit` with
        `steps_per_epoch=steps(len(paths), batch_size)`.
    """

    names, labels = _constants(paths, labels)

    def load(path, label, photo, epoch):
        pixels = _read_resized(path, image_size)
        if augmentation:
            pixels = augment(pixels, augmentation, _photo_seed(seed, epoch, photo))
        return pixels, tf.one_hot(label, num_classes)

    def epoch_of(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(names)), seed=tf.stack([seed, epoch]))
        dataset = tf.data.Dataset.from_tensor_slices(
            (tf.gather(names, order), tf.gather(labels, order), order, tf.fill(tf.shape(order), epoch))
        )
        return dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)

    epochs = tf.data.Dataset.counter(first_epoch, dtype=tf.int32)
    return _preprocessed(epochs.flat_map(epoch_of), preprocess)


def evaluation_batches(paths, labels, num_classes, image_size, batch_size, preprocess) -> tf.data.Dataset:
    """The photos once, in the order given, not augmented; arguments as in `training_batches`."""

    def load(path, label):
        return _read_resized(path, image_size), tf.one_hot(label, num_classes)

    dataset = tf.data.Dataset.from_tensor_slices(_constants(paths, labels))
    return _preprocessed(dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size), preprocess)


def steps(photos: int, batch_size: int) -> int:
    """The number of batches in an epoch."""
    return math.ceil(photos / batch_size)


def resize(pixels, image_size: int):
    """Bilinear with antialiasing, squashed to a square: what the saved model's `Resizing` layer does."""
    return tf.image.resize(pixels, (image_size, image_size), method="bilinear", antialias=True)


def _constants(paths, labels):
    """Paths as the bytes that they are to the file system, and labels, as tensors."""
    return tf.constant([os.fsencode(path) for path in paths]), tf.constant(list(labels), tf.int32)


def _read_resized(path, image_size):
    """A photo file as float32 (image_size, image_size, 3), RGB 0–255."""
    # Pillow decodes without holding Python's lock, so the parallel map does run in parallel.
    pixels = tf.numpy_function(lambda name: images.read(os.fsdecode(name)), [path], tf.uint8, stateful=False)
    pixels.set_shape((None, None, 3))
    return tf.ensure_shape(resize(pixels, image_size), (image_size, image_size, 3))


def _preprocessed(batches, preprocess):
    return batches.map(lambda x, y: (preprocess(x), y), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _photo_seed(seed, epoch, photo):
    """A pair of integers that no other photo and epoch of this run has."""
    return tf.random.experimental.stateless_fold_in(
        tf.random.experimental.stateless_fold_in(tf.stack([seed, 0]), epoch), photo
    )


def augment(pixels, augmentation: Augmentation, seed):
    """One photo flipped, turned, zoomed and changed in contrast, by an amount that `seed` fixes.

    Args:
        pixels: float32 (height, width, 3), RGB 0–255.
        augmentation: the limits.
        seed: two integers, as TensorFlow's stateless random functions take.

    Returns:
        A float32 tensor of the same shape and range; what moves in from outside mirrors the border.
    """
    draw = tf.random.stateless_uniform((4,), seed, minval=-1.0, maxval=1.0)
    if augmentation.flip:
        pixels = tf.where(draw[0] > 0, pixels, tf.reverse(pixels, axis=[1]))
    if augmentation.rotation or augmentation.zoom:
        angle = draw[1] * augmentation.rotation * (np.pi / 180)
        pixels = _turned(pixels, angle, 1.0 + draw[2] * augmentation.zoom)
    if augmentation.contrast:
        mean = tf.reduce_mean(pixels)
        pixels = tf.clip_by_value((pixels - mean) * (1.0 + draw[3] * augmentation.contrast) + mean, 0.0, 255.0)
    return pixels


def _turned(pixels, angle, zoom):
    """Rotation by `angle` radians and magnification by `zoom` about the middle, bilinear."""
    height, width = pixels.shape[0], pixels.shape[1]
    cosine, sine = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # Each output pixel (x, y) is taken from (a x + b y + c, d x + e y + f) of the input.
    transform = tf.stack([
        cosine, -sine, middle_x - cosine * middle_x + sine * middle_y,
        sine, cosine, middle_y - sine * middle_x - cosine * middle_y,
        0.0, 0.0,
    ])  # fmt: skip
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[None], transforms=transform[None], output_shape=(height, width), fill_value=0.0,
        interpolation="BILINEAR", fill_mode="REFLECT",
    )[0]  # fmt: skip
