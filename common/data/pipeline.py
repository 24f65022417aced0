"""Items from disk to batches on `tf.data`: decoded in parallel, in an order that a seed fixes.

Every random number is drawn from (seed, epoch, photo) and not from a running state, so a training that was
interrupted and goes on at epoch 7 sees the photos that it would have seen.
"""

import math
import os

import numpy as np
import tensorflow as tf

from common.media import augmentation as augmentations
from common.media import medium as media


def training_batches(
    paths, labels, encode, resize, batch_size, seed, preprocess, medium, augmentation=None, first_epoch=0,
    balanced=False,
) -> tf.data.Dataset:  # fmt: skip
    """An endless stream of shuffled training batches, one epoch after the other.

    Args:
        paths: the items' files.
        labels: their targets, (n, …): of classes their indices.
        encode: brings a target to what the loss takes, as `Targets.encoded` does.
        resize: the layer of `resizing`.
        batch_size: items in a batch; an epoch's last batch may be smaller, batches do not cross epochs.
        seed: fixes the order and the augmentation of every epoch.
        preprocess: called on float32 batches of RGB 0–255.
        augmentation: an `Augmentation`, or None.
        first_epoch: the stream starts with this epoch's order.
        balanced: as many draws in an epoch, but with every class drawn alike often (`balanced_order`).
        medium: what the items are.

    Returns:
        A dataset of (float32 (batch, height, width, 3), encoded targets); call `fit` with
        `steps_per_epoch=steps(len(paths), batch_size)`.
    """

    names, labels = _constants(paths, labels)

    def load(path, label, number, epoch):
        photo_seed = augmentations.photo_seed(seed, epoch, number)
        pixels = _read_resized(path, resize, medium, augmentations.position_of(photo_seed))
        if augmentation:
            pixels = augmentations.augment(pixels, augmentation, photo_seed)
        return pixels, encode(label)

    def epoch_of(epoch):
        order = _order(labels, seed, epoch, balanced)
        # Drawn twice in an epoch, a photo should not look the same twice.
        numbers = tf.range(len(names)) if balanced else order
        dataset = tf.data.Dataset.from_tensor_slices(
            (tf.gather(names, order), tf.gather(labels, order), numbers, tf.fill(tf.shape(order), epoch))
        )
        return dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)

    return _preprocessed(_epochs(first_epoch).flat_map(epoch_of), preprocess)


def _epochs(first: int) -> tf.data.Dataset:
    return tf.data.Dataset.counter(first, dtype=tf.int32)


def epoch_order(photos: int, seed: int, epoch):
    """The order of an epoch: cached or not, the same seed shows the same photos in the same batches."""
    return tf.random.experimental.stateless_shuffle(tf.range(photos), seed=tf.stack([seed, epoch]))


def balanced_order(labels, seed: int, epoch):
    """As many draws as there are photos, with replacement: a class by lot, then one of its photos by lot.

    Args:
        labels: (n,) class indices, each class occurring.
        seed, epoch: the same give the same draws.
    """
    labels = tf.convert_to_tensor(labels, tf.int32)
    chances = -tf.math.log(tf.cast(tf.gather(tf.math.bincount(labels), labels), tf.float32))
    seeds = tf.stack([seed, epoch])
    return tf.random.stateless_categorical(chances[None], len(labels), seeds, dtype=tf.int32)[0]


def _order(labels, seed, epoch, balanced):
    return balanced_order(labels, seed, epoch) if balanced else epoch_order(len(labels), seed, epoch)


def evaluation_batches(
    paths, labels, encode, resize, batch_size, preprocess, medium, look=media.PLAIN
) -> tf.data.Dataset:
    """The items once, in the order given, each looked at in one way; arguments as in `training_batches`."""

    def load(path, label):
        pixels = _read_resized(path, resize, medium, look.position)
        return augmentations.turned(pixels, look.turn), encode(label)

    dataset = tf.data.Dataset.from_tensor_slices(_constants(paths, labels))
    return _preprocessed(dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size), preprocess)


def look_batches(
    paths, looks, resize, batch_size, preprocess, medium, augmentation=None, seeds=None
) -> tf.data.Dataset:
    """Items once, in the order given, each looked at in its own way, without targets, on their way to the cache.

    Args:
        paths, resize, batch_size, preprocess, medium: as in `training_batches`.
        looks: a `medium.Look` for each path.
        augmentation: an `Augmentation`, or None.
        seeds: two integers for each path where all looks are augmented views: they fix what each draws.
    """

    def load(path, item_seed, turn, position):
        place = augmentations.position_of(item_seed) if seeds else position
        pixels = augmentations.turned(_read_resized(path, resize, medium, place), turn)
        return augmentations.augment(pixels, augmentation, item_seed) if augmentation else pixels

    names, turns = _constants(paths, [look.turn for look in looks])
    positions = [look.position for look in looks]
    dataset = tf.data.Dataset.from_tensor_slices((names, seeds or [(0, 0)] * len(paths), turns, positions))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    return dataset.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def training_rows(
    views, labels, encode, batch_size, dtypes, shapes, seed, first_epoch=0, balanced=False
) -> tf.data.Dataset:
    """An endless stream of shuffled batches of cached features, in `training_batches`'s order.

    Args:
        views: for each augmented view a function of row numbers (n,) to a list of arrays (n, …); epoch e takes
            view e modulo their number. With balanced draws every batch takes the next one, since there a rare photo
            comes several times in an epoch.
        labels: targets of the rows.
        encode, batch_size, seed, first_epoch, balanced: as in `training_batches`.
        dtypes, shapes: of the arrays' rows.
    """
    labels = _targets(labels)

    def epoch_of(epoch):
        order = _order(labels, seed, epoch, balanced)
        batches = tf.data.Dataset.from_tensor_slices((order, tf.gather(labels, order))).batch(batch_size)
        first_view = tf.cast(epoch, tf.int64)
        return batches.enumerate().map(
            lambda step, rows: (*rows, (first_view + (step if balanced else 0)) % len(views))
        )  # fmt: skip

    def load(numbers, batch, view):
        rows = _rows(lambda numbers, view: views[view](numbers), [numbers, view], dtypes, shapes)
        return rows, encode(batch)

    return _epochs(first_epoch).flat_map(epoch_of).map(load, num_parallel_calls=2).prefetch(4)


def evaluation_rows(read, labels, encode, batch_size, dtypes, shapes) -> tf.data.Dataset:
    """Cached features once, in order; arguments as in `training_rows`."""

    def load(numbers, batch):
        return _rows(read, [numbers], dtypes, shapes), encode(batch)

    labels = _targets(labels)
    batches = tf.data.Dataset.from_tensor_slices((tf.range(len(labels)), labels)).batch(batch_size)
    return batches.map(load, num_parallel_calls=2).prefetch(4)


def _rows(read, arguments, dtypes, shapes):
    """Calls `read` in the pipeline; one tensor for one array, else a tuple of tensors."""

    def as_float32(*values):  # bfloat16 cannot leave a Python function, float16 may be the cache's choice
        return [array.astype("float32") if array.dtype != "float32" else array for array in read(*values)]

    tensors = tf.numpy_function(as_float32, arguments, [tf.float32] * len(dtypes), stateful=False)
    for tensor, shape in zip(tensors, shapes, strict=True):
        tensor.set_shape((None, *shape))
    tensors = tuple(tf.cast(tensor, dtype) for tensor, dtype in zip(tensors, dtypes, strict=True))
    return tensors[0] if len(tensors) == 1 else tensors


def steps(photos: int, batch_size: int) -> int:
    """The number of batches in an epoch."""
    return math.ceil(photos / batch_size)


def _constants(paths, labels):
    """Paths as the bytes that they are to the file system, and targets, as tensors."""
    return tf.constant([os.fsencode(path) for path in paths]), _targets(labels)


def _targets(labels):
    """Whole numbers as int32, others as float32."""
    labels = np.asarray(labels)
    return tf.constant(labels, tf.int32 if labels.dtype.kind in "iub" else tf.float32)


def _read_resized(path, resize, medium, position):
    """An item's file as float32 pixels of the layer `resize`, RGB 0–255."""

    def read(name, position):
        return medium.read(os.fsdecode(name), media.Look(position=float(position)))

    # Pillow and FFmpeg decode without holding Python's lock, so the parallel map does run in parallel.
    pixels = tf.numpy_function(read, [path, position], tf.uint8, stateful=False)
    pixels.set_shape(medium.shape)
    return tf.ensure_shape(resize(tf.cast(pixels, tf.float32)), resize.compute_output_shape(medium.shape))


def _preprocessed(batches, preprocess):
    return batches.map(lambda x, y: (preprocess(x), y), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
