"""Photos from disk to batches on `tf.data`: decoded in parallel, in an order that a seed fixes.

Every random number is drawn from (seed, epoch, photo) and not from a running state, so a training that was
interrupted and goes on at epoch 7 sees the photos that it would have seen.
"""

import dataclasses
import math
import os

import keras
import numpy as np
import tensorflow as tf

from common import images, video

TURNS = 8  # orientations of a square: four quarter turns, and these mirrored


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How far a training photo may be changed; all zero means not at all.

    Attributes:
        flip: mirrored left to right in half of the cases.
        rotation: at most this many degrees to either side.
        zoom: at most this fraction closer or further (0.1: 0.9 to 1.1 times).
        contrast: at most this fraction more or less.
        colour: each of red, green and blue at most this fraction more or less, as under other light.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0

    def __bool__(self):
        return any(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True)
class Clips:
    """Clips instead of photos: which frames are read, as `video.read` takes it.

    Attributes:
        frames: of each clip; a clip is (frames, height, width, 3) wherever a photo is (height, width, 3).
        sampling: `whole`, evenly over the clip, or `window`, close together.
        stride: frames from one to the next in a window.
        looks: windows of a validation or test clip, evenly spaced; a training clip's window lies anywhere.
    """

    frames: int = 16
    sampling: str = "whole"
    stride: int = 2
    looks: int = 1

    def read(self, path: str, position: float):
        """The frames of a clip, uint8 (frames, height, width, 3); `position` of the window is in 0–1."""
        return video.read(path, self.frames, self.sampling, self.stride, float(position))

    def positions(self) -> list[float]:
        """Of the windows of a validation or test clip, from 0 (its beginning) to 1; the middle one comes first."""
        looks = self.looks if self.sampling == "window" else 1
        positions = [(look + 0.5) / looks for look in range(looks)]
        return sorted(positions, key=lambda position: abs(position - 0.5))


def training_batches(
    paths, labels, num_classes, resize, batch_size, seed, preprocess, augmentation=None, first_epoch=0, balanced=False,
    clips=None,
) -> tf.data.Dataset:  # fmt: skip
    """An endless stream of shuffled training batches, one epoch after the other.

    Args:
        paths: photo files.
        labels: their class indices.
        num_classes: length of the one-hot labels.
        resize: the layer of `resizing`.
        batch_size: photos in a batch; an epoch's last batch may be smaller, batches do not cross epochs.
        seed: fixes the order and the augmentation of every epoch.
        preprocess: called on float32 batches of RGB 0–255.
        augmentation: an `Augmentation`, or None.
        first_epoch: the stream starts with this epoch's order.
        balanced: as many draws in an epoch, but with every class drawn alike often (`balanced_order`).
        clips: a `Clips` where the files are no photos, or None.

    Returns:
        A dataset of (float32 (batch, height, width, 3), one-hot float32 (batch, num_classes)); call `fit` with
        `steps_per_epoch=steps(len(paths), batch_size)`.
    """

    names, labels = _constants(paths, labels)

    def load(path, label, number, epoch):
        photo_seed = _photo_seed(seed, epoch, number)
        pixels = _read_resized(path, resize, clips, position_of(photo_seed))
        if augmentation:
            pixels = augment(pixels, augmentation, photo_seed)
        return pixels, tf.one_hot(label, num_classes)

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
    paths, labels, num_classes, resize, batch_size, preprocess, turn=0, clips=None, position=0.5
) -> tf.data.Dataset:
    """The photos once, in the order given, not augmented; arguments as in `training_batches`.

    With a `turn` all photos are turned or mirrored as `turned` says; `position` is that of the clips' windows.
    """

    def load(path, label):
        return turned(_read_resized(path, resize, clips, position), turn), tf.one_hot(label, num_classes)

    dataset = tf.data.Dataset.from_tensor_slices(_constants(paths, labels))
    return _preprocessed(dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size), preprocess)


def photo_batches(
    paths, resize, batch_size, preprocess, augmentation=None, seeds=None, turns=None, clips=None, positions=None
) -> tf.data.Dataset:
    """The photos once, in the order given, without labels, on their way to the cache.

    Args:
        paths, resize, batch_size, preprocess: as in `training_batches`.
        augmentation: an `Augmentation`, or None.
        seeds: two integers for each photo, which fix its augmentation.
        turns: for each photo the number of one of the `TURNS`, or None.
        clips: as in `training_batches`.
        positions: for each clip the position of its window, or None for the position that its seed draws.
    """

    def load(path, photo_seed, turn, position):
        pixels = _read_resized(path, resize, clips, position if positions else position_of(photo_seed))
        pixels = pixels if clips else turned(pixels, turn)
        return augment(pixels, augmentation, photo_seed) if augmentation else pixels

    names, turns = _constants(paths, turns or [0] * len(paths))
    seeds = tf.constant(seeds or [(0, 0)] * len(paths), tf.int32)
    dataset = tf.data.Dataset.from_tensor_slices((names, seeds, turns, positions or [0.5] * len(paths)))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    return dataset.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def training_rows(
    views, labels, num_classes, batch_size, dtypes, shapes, seed, first_epoch=0, balanced=False
) -> tf.data.Dataset:
    """An endless stream of shuffled batches of cached features, in `training_batches`'s order.

    Args:
        views: for each augmented view a function of row numbers (n,) to a list of arrays (n, …); epoch e takes
            view e modulo their number. With balanced draws every batch takes the next one, since there a rare photo
            comes several times in an epoch.
        labels: class indices of the rows.
        num_classes, batch_size, seed, first_epoch, balanced: as in `training_batches`.
        dtypes, shapes: of the arrays' rows.
    """
    labels = tf.constant(list(labels), tf.int32)

    def epoch_of(epoch):
        order = _order(labels, seed, epoch, balanced)
        batches = tf.data.Dataset.from_tensor_slices((order, tf.gather(labels, order))).batch(batch_size)
        first_view = tf.cast(epoch, tf.int64)
        return batches.enumerate().map(
            lambda step, rows: (*rows, (first_view + (step if balanced else 0)) % len(views))
        )  # fmt: skip

    def load(numbers, batch, view):
        rows = _rows(lambda numbers, view: views[view](numbers), [numbers, view], dtypes, shapes)
        return rows, tf.one_hot(batch, num_classes)

    return _epochs(first_epoch).flat_map(epoch_of).map(load, num_parallel_calls=2).prefetch(4)


def evaluation_rows(read, labels, num_classes, batch_size, dtypes, shapes) -> tf.data.Dataset:
    """Cached features once, in order; arguments as in `training_rows`."""

    def load(numbers, batch):
        return _rows(read, [numbers], dtypes, shapes), tf.one_hot(batch, num_classes)

    labels = tf.constant(list(labels), tf.int32)
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


def resizing(image_size: int, aspect: str) -> keras.layers.Resizing:
    """The layer that every photo goes through, here and inside the saved model: bilinear, antialiased.

    Args:
        image_size: height and width in pixels.
        aspect: `squash` distorts, as Keras's own loaders do by default; `crop` cuts the longer side, `pad` adds black
            borders.
    """
    # float32 also under mixed precision: the photos are the same whatever the network computes in.
    return keras.layers.Resizing(
        image_size, image_size, antialias=True, crop_to_aspect_ratio=aspect == "crop",
        pad_to_aspect_ratio=aspect == "pad", dtype="float32",
    )  # fmt: skip


def _constants(paths, labels):
    """Paths as the bytes that they are to the file system, and labels, as tensors."""
    return tf.constant([os.fsencode(path) for path in paths]), tf.constant(list(labels), tf.int32)


def _read_resized(path, resize, clips=None, position=0.5):
    """A photo file as float32 (height, width, 3) of the layer `resize`, RGB 0–255; a clip with a frame axis before."""

    def read(name, position):
        return clips.read(os.fsdecode(name), position) if clips else images.read(os.fsdecode(name))

    # Pillow and FFmpeg decode without holding Python's lock, so the parallel map does run in parallel.
    pixels = tf.numpy_function(read, [path, position], tf.uint8, stateful=False)
    shape = (clips.frames,) if clips else ()
    pixels.set_shape((*shape, None, None, 3))
    return tf.ensure_shape(resize(tf.cast(pixels, tf.float32)), (*shape, resize.height, resize.width, 3))


def position_of(seed):
    """Where a training clip's window lies, in 0–1, from two integers that no other photo or clip has."""
    return tf.random.stateless_uniform((), tf.random.experimental.stateless_fold_in(seed, 2))


def _preprocessed(batches, preprocess):
    return batches.map(lambda x, y: (preprocess(x), y), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def turned(pixels, turn):
    """A square photo in one of the eight orientations that it can lie in: exact, nothing is interpolated.

    Args:
        pixels: (height, width, 3) with height = width.
        turn: 0 to 7: the number of quarter turns, from 4 on of the photo mirrored left to right.
    """
    if isinstance(turn, int) and turn == 0:
        return pixels
    mirrored = tf.where(turn >= TURNS // 2, tf.reverse(pixels, axis=[1]), pixels)
    return tf.ensure_shape(tf.image.rot90(mirrored, turn % (TURNS // 2)), pixels.shape)


def _photo_seed(seed, epoch, photo):
    """A pair of integers that no other photo and epoch of this run has."""
    return tf.random.experimental.stateless_fold_in(
        tf.random.experimental.stateless_fold_in(tf.stack([seed, 0]), epoch), photo
    )


def augment(pixels, augmentation: Augmentation, seed):
    """One photo or clip flipped, turned, zoomed and changed in colour and contrast, by an amount that `seed` fixes.

    Args:
        pixels: float32 (height, width, 3), RGB 0–255; of a clip (frames, height, width, 3), all changed alike.
        augmentation: the limits.
        seed: two integers, as TensorFlow's stateless random functions take.

    Returns:
        A float32 tensor of the same shape and range; what moves in from outside mirrors the border.
    """
    draw = tf.random.stateless_uniform((4,), seed, minval=-1.0, maxval=1.0)
    if augmentation.flip:
        pixels = tf.where(draw[0] > 0, pixels, tf.reverse(pixels, axis=[-2]))
    if augmentation.rotation or augmentation.zoom:
        angle = draw[1] * augmentation.rotation * (np.pi / 180)
        pixels = _rotated(pixels, angle, 1.0 + draw[2] * augmentation.zoom)
    if augmentation.colour:
        other_seed = tf.random.experimental.stateless_fold_in(seed, 1)
        gains = tf.random.stateless_uniform((3,), other_seed, 1.0 - augmentation.colour, 1.0 + augmentation.colour)
        pixels = tf.clip_by_value(pixels * gains, 0.0, 255.0)
    if augmentation.contrast:
        mean = tf.reduce_mean(pixels)
        pixels = tf.clip_by_value((pixels - mean) * (1.0 + draw[3] * augmentation.contrast) + mean, 0.0, 255.0)
    return pixels


def _rotated(pixels, angle, zoom):
    """Rotation by `angle` radians and magnification by `zoom` about the middle, bilinear."""
    height, width = pixels.shape[-3], pixels.shape[-2]
    cosine, sine = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # Each output pixel (x, y) is taken from (a x + b y + c, d x + e y + f) of the input.
    transform = tf.stack([
        cosine, -sine, middle_x - cosine * middle_x + sine * middle_y,
        sine, cosine, middle_y - sine * middle_x - cosine * middle_y,
        0.0, 0.0,
    ])  # fmt: skip
    frames = tf.reshape(pixels, (-1, height, width, pixels.shape[-1]))
    rotated = tf.raw_ops.ImageProjectiveTransformV3(
        images=frames, transforms=transform[None], output_shape=(height, width), fill_value=0.0,
        interpolation="BILINEAR", fill_mode="REFLECT",
    )  # fmt: skip
    return tf.reshape(rotated, pixels.shape)
