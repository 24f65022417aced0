"""Batches of items from disk with `tf.data`: decoded in parallel, in an order that a seed fixes.

Every random number depends only on (seed, epoch, photo) and not on a generator's state. A training that was interrupted
and continues at epoch 7 therefore sees the same photos as without the interruption.
"""

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import sparse

from common.data import unchanged
from common.media import augmentation as augmentations
from common.media import medium as media

Paths = Sequence[str | os.PathLike]
Items = media.Medium | unchanged.Reader  # what reads an item's file
Shapes = Sequence[tuple[int, ...]]
Labels = Sequence[int] | np.ndarray
Function = Callable[[Any], Any]  # of one tensor or array
Reader = Callable[..., list[np.ndarray]]  # row numbers (n,) → arrays (n, …)
Generators = tuple[tf.data.Dataset, tf.data.Dataset, tf.data.Dataset]  # train, validation, test


def training_batches(
    paths: Paths, labels: Labels, encode: Function, resize: keras.Layer, batch_size: int, seed: int,
    preprocess: Function, medium: Items, augmentation: augmentations.Augmentation | None = None,
    first_epoch: int = 0, balanced: bool = False,
) -> tf.data.Dataset:  # fmt: skip
    """Return an endless stream of shuffled training batches, one epoch after the other.

    Args:
        paths: the items' files.
        labels: the targets of the items, (n, …); for classes, their indices.
        encode: converts targets to the form that the loss needs, as `Targets.encoded` does.
        resize: the layer of `resizing`.
        batch_size: items per batch; an epoch's last batch may be smaller, because batches do not cross epochs.
        seed: fixes the order and the augmentation of every epoch.
        preprocess: called on float32 batches of RGB 0–255.
        augmentation: the limits of the augmentation, or None.
        first_epoch: the stream starts with this epoch's order.
        balanced: sample as many items per epoch, but all classes equally often (`balanced_order`).
        medium: the medium of the items.

    Returns:
        A dataset of (float32 (batch, height, width, 3), encoded targets); call `fit` with
        `steps_per_epoch=steps(len(paths), batch_size)`.
    """
    names, labels = _constants(paths, labels)

    def load(path: tf.Tensor, label: tf.Tensor, number: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        photo_seed = augmentations.photo_seed(seed, epoch, number)
        pixels = _read_resized(path, resize, medium, augmentations.position_of(photo_seed))
        if augmentation:
            pixels = augmentations.augment(pixels, augmentation, photo_seed)
        return pixels, encode(label)

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _order(labels, seed, epoch, balanced)
        # A photo that is drawn twice in an epoch should be augmented differently each time.
        numbers = tf.range(len(names)) if balanced else order
        dataset = tf.data.Dataset.from_tensor_slices(
            (tf.gather(names, order), tf.gather(labels, order), numbers, tf.fill(tf.shape(order), epoch))
        )
        return dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)

    return _preprocessed(_epochs(first_epoch).flat_map(epoch_of), preprocess)


def _epochs(first: int) -> tf.data.Dataset:
    return tf.data.Dataset.counter(first, dtype=tf.int32)


def epoch_order(photos: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Return the order of an epoch; the same seed gives the same batches of photos, with or without the cache."""
    return tf.random.experimental.stateless_shuffle(tf.range(photos), seed=tf.stack([seed, epoch]))


def balanced_order(labels: Labels, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Draw as many photos as there are, with replacement: first a random class, then a random photo of it.

    Args:
        labels: (n,) class indices; every class must occur.
        seed, epoch: the same values give the same draws.
    """
    labels = tf.convert_to_tensor(labels, tf.int32)
    chances = -tf.math.log(tf.cast(tf.gather(tf.math.bincount(labels), labels), tf.float32))
    seeds = tf.stack([seed, epoch])
    return tf.random.stateless_categorical(chances[None], len(labels), seeds, dtype=tf.int32)[0]


def _order(labels: tf.Tensor, seed: int, epoch: tf.Tensor, balanced: bool) -> tf.Tensor:
    return balanced_order(labels, seed, epoch) if balanced else epoch_order(len(labels), seed, epoch)


def evaluation_batches(
    paths: Paths, labels: Labels, encode: Function, resize: keras.Layer, batch_size: int, preprocess: Function,
    medium: Items, look: media.Look = media.PLAIN,
) -> tf.data.Dataset:  # fmt: skip
    """Return all items once, in the given order, each in the same look; arguments as in `training_batches`."""

    def load(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = _read_resized(path, resize, medium, look.position)
        return augmentations.turned(pixels, look.turn), encode(label)

    dataset = tf.data.Dataset.from_tensor_slices(_constants(paths, labels))
    return _preprocessed(dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size), preprocess)


def look_batches(
    paths: Paths, looks: Sequence[media.Look], resize: keras.Layer, batch_size: int, preprocess: Function,
    medium: Items, augmentation: augmentations.Augmentation | None = None, seeds: Sequence[tuple] | None = None,
) -> tf.data.Dataset:  # fmt: skip
    """Return all items once, in the given order, each in its own look, without targets, for the cache.

    Args:
        paths, resize, batch_size, preprocess, medium: as in `training_batches`.
        looks: one look for each path.
        augmentation: the limits of the augmentation, or None.
        seeds: if all looks are augmented views, two integers for each path that fix its augmentation.
    """

    def load(path: tf.Tensor, item_seed: tf.Tensor, turn: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        place = augmentations.position_of(item_seed) if seeds else position
        pixels = augmentations.turned(_read_resized(path, resize, medium, place), turn if is_turned else 0)
        return augmentations.augment(pixels, augmentation, item_seed) if augmentation else pixels

    names, turns = _constants(paths, [look.turn for look in looks])
    positions = [look.position for look in looks]
    is_turned = any(look.turn for look in looks)  # turning costs half a millisecond, even by nothing
    dataset = tf.data.Dataset.from_tensor_slices((names, seeds or [(0, 0)] * len(paths), turns, positions))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    return dataset.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def training_rows(
    views: Sequence[Reader], labels: Labels, encode: Function, batch_size: int, dtypes: Sequence[str],
    shapes: Shapes, seed: int, first_epoch: int = 0, balanced: bool = False,
) -> tf.data.Dataset:  # fmt: skip
    """Return an endless stream of shuffled batches of cached features, in the order of `training_batches`.

    Args:
        views: for each augmented view, a function of row numbers (n,) that returns a list of arrays (n, …). Epoch e
            uses view e modulo their number. With `balanced`, every batch uses the next view, because a rare photo is
            drawn several times in an epoch.
        labels: targets of the rows.
        encode, batch_size, seed, first_epoch, balanced: as in `training_batches`.
        dtypes, shapes: dtype and shape of a row of each array.
    """
    labels = _targets(labels)

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _order(labels, seed, epoch, balanced)
        batches = tf.data.Dataset.from_tensor_slices((order, tf.gather(labels, order))).batch(batch_size)
        first_view = tf.cast(epoch, tf.int64)
        return batches.enumerate().map(
            lambda step, rows: (*rows, (first_view + (step if balanced else 0)) % len(views))
        )  # fmt: skip

    def load(numbers: tf.Tensor, batch: tf.Tensor, view: tf.Tensor) -> tuple:
        rows = _rows(lambda numbers, view: views[view](numbers), [numbers, view], dtypes, shapes)
        return rows, encode(batch)

    return _epochs(first_epoch).flat_map(epoch_of).map(load, num_parallel_calls=2).prefetch(4)


def evaluation_rows(
    read: Reader, labels: Labels, encode: Function, batch_size: int, dtypes: Sequence[str], shapes: Shapes
) -> tf.data.Dataset:
    """Return all cached features once, in order; arguments as in `training_rows`, and `read` is one view."""

    def load(numbers: tf.Tensor, batch: tf.Tensor) -> tuple:
        return _rows(read, [numbers], dtypes, shapes), encode(batch)

    labels = _targets(labels)
    batches = tf.data.Dataset.from_tensor_slices((tf.range(len(labels)), labels)).batch(batch_size)
    return batches.map(load, num_parallel_calls=2).prefetch(4)


def _rows(read: Reader, arguments: list[tf.Tensor], dtypes: Sequence[str], shapes: Shapes) -> Any:
    """Call `read` in the pipeline; return one tensor for one array, otherwise a tuple of tensors."""

    def as_float32(*values: np.ndarray) -> list[np.ndarray]:  # bfloat16 cannot be returned; float16 may be cached
        return [array.astype("float32") if array.dtype != "float32" else array for array in read(*values)]

    tensors = tf.numpy_function(as_float32, arguments, [tf.float32] * len(dtypes), stateful=False)
    for tensor, shape in zip(tensors, shapes, strict=True):
        tensor.set_shape((None, *shape))
    tensors = tuple(tf.cast(tensor, dtype) for tensor, dtype in zip(tensors, dtypes, strict=True))
    return tensors[0] if len(tensors) == 1 else tensors


def steps(photos: int, batch_size: int) -> int:
    """Return the number of batches in an epoch."""
    return math.ceil(photos / batch_size)


def _constants(paths: Paths, labels: Labels) -> tuple[tf.Tensor, tf.Tensor]:
    """Return paths, as the bytes of the file system, and targets as tensors."""
    return tf.constant([os.fsencode(path) for path in paths]), _targets(labels)


def _targets(labels: Labels) -> tf.Tensor:
    """Return integers as int32, other numbers as float32."""
    labels = np.asarray(labels)
    return tf.constant(labels, tf.int32 if labels.dtype.kind in "iub" else tf.float32)


def _read_resized(path: tf.Tensor, resize: keras.layers.Resizing, medium: Items, position: Any) -> tf.Tensor:
    """Read an item's file as float32 pixels, RGB 0–255, resized as by the layer `resize`."""

    def read(name: bytes, position: np.ndarray) -> np.ndarray:
        return resized(medium.read(os.fsdecode(name), media.Look(position=float(position))), resize)

    # Pillow and FFmpeg decode without holding Python's lock, so the parallel map does run in parallel.
    pixels = tf.numpy_function(read, [path, position], tf.float32, stateful=False)
    return tf.ensure_shape(pixels, resize.compute_output_shape(medium.shape))


def resized(pixels: np.ndarray, resize: keras.layers.Resizing) -> np.ndarray:
    """Return one item's pixels as a layer resizes them: the same bits, about five times as fast for a small photo.

    Each row of the result is a weighted sum of a few rows of the picture, and each column of a few columns. The layer
    computes these weights again for every picture; here they are sparse matrices, kept for the next one of that size.

    Args:
        pixels: uint8 (…, height, width, 3).
        resize: a layer of `raw_input.resizing`, to a square.

    Returns:
        float32 (…, size, size, 3).
    """
    if pixels.ndim > 3:
        return np.stack([resized(frame, resize) for frame in pixels])
    pixels, size = _in_aspect(pixels, resize), resize.height
    height, width, channels = pixels.shape
    rows, columns = (_weights(length, size, resize.interpolation) for length in (height, width))
    shorter = rows @ pixels.reshape(height, -1).astype("float32")
    narrower = columns @ _turned(shorter.reshape(size, width, channels)).reshape(width, -1)
    return _turned(narrower.reshape(size, size, channels))


def _in_aspect(pixels: np.ndarray, resize: keras.layers.Resizing) -> np.ndarray:
    """Return the square middle of a picture, the picture between black borders, or as it is."""
    height, width, _ = pixels.shape
    if resize.crop_to_aspect_ratio:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return pixels[top : top + side, left : left + side]
    if resize.pad_to_aspect_ratio:
        above, beside = ((max(height, width) - length) // 2 for length in (height, width))
        return np.pad(pixels, [(above, above), (beside, beside), (0, 0)])
    return pixels


def _turned(pixels: np.ndarray) -> np.ndarray:
    """Return float32 pixels with rows and columns exchanged; a pixel is moved as one, faster than its three numbers."""
    height, width, channels = pixels.shape
    whole = np.ascontiguousarray(pixels).view(f"V{4 * channels}")[..., 0]
    return np.ascontiguousarray(whole.T).view("float32").reshape(width, height, channels)


@functools.lru_cache(maxsize=1024)
def _weights(length: int, size: int, interpolation: str) -> sparse.csr_matrix:
    """Return the weights by which Keras resizes a row of pixels, float32 (size, length): what it makes of each pixel.

    Each column of the identity matrix is a channel of a picture that is one pixel wide.
    """
    with tf.device("CPU"):
        parts = [
            keras.ops.image.resize(
                np.eye(length, min(512, length - start), -start, dtype="float32")[:, np.newaxis], (size, 1),
                interpolation, antialias=True, data_format="channels_last",
            )
            for start in range(0, length, 512)
        ]  # fmt: skip
    return sparse.csr_matrix(np.concatenate([np.asarray(part)[:, 0] for part in parts], axis=1))


def _preprocessed(batches: tf.data.Dataset, preprocess: Function) -> tf.data.Dataset:
    return batches.map(lambda x, y: (preprocess(x), y), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
