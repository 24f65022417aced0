"""Augmentation: the limits for changes of a training photo or clip, and the random changes.

Every change depends only on a seed and not on a generator's state, so a resumed training sees the same views again.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

TURNS = 8  # orientations of a square: four quarter turns, each also mirrored


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The limits for changes of a training photo; all zero means no change.

    Attributes:
        flip: mirror left to right in half of the cases.
        rotation: at most this many degrees in either direction.
        zoom: at most this fraction larger or smaller (0.1: 0.9 to 1.1 times).
        contrast: at most this fraction more or less.
        colour: red, green and blue each at most this fraction more or less, as in different light.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))


def position_of(seed: tf.Tensor) -> tf.Tensor:
    """Return the position of a training clip's window, in 0–1, from two integers that are unique to the clip."""
    return tf.random.stateless_uniform((), tf.random.experimental.stateless_fold_in(seed, 2))


def turned(pixels: tf.Tensor, turn: int | tf.Tensor) -> tf.Tensor:
    """Return a square photo or clip in one of the eight orientations, without interpolation.

    Args:
        pixels: (height, width, 3), or (frames, height, width, 3) for a clip, with height = width.
        turn: 0 to 3 is the number of quarter turns; 4 to 7 are the same turns after mirroring left to right.
    """
    if isinstance(turn, int) and turn == 0:
        return pixels
    mirrored = tf.where(turn >= TURNS // 2, tf.reverse(pixels, axis=[-2]), pixels)
    return tf.ensure_shape(tf.image.rot90(mirrored, turn % (TURNS // 2)), pixels.shape)


def photo_seed(seed: int, epoch: int | tf.Tensor, photo: int | tf.Tensor) -> tf.Tensor:
    """Return a pair of integers that is unique to this photo and epoch in a run."""
    return tf.random.experimental.stateless_fold_in(
        tf.random.experimental.stateless_fold_in(tf.stack([seed, 0]), epoch), photo
    )


def augment(pixels: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Flip, rotate and zoom a photo or clip and change its colour and contrast, by amounts that `seed` fixes.

    Args:
        pixels: float32 (height, width, 3), RGB 0–255; (frames, height, width, 3) for a clip, all changed equally.
        augmentation: the limits of the changes.
        seed: two integers, as for TensorFlow's stateless random functions.

    Returns:
        A float32 tensor of the same shape and range; areas from outside the photo are filled by reflection.
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


def _rotated(pixels: tf.Tensor, angle: tf.Tensor, zoom: tf.Tensor) -> tf.Tensor:
    """Rotate by `angle` radians and magnify by `zoom` about the middle, with bilinear interpolation."""
    height, width = pixels.shape[-3], pixels.shape[-2]
    cosine, sine = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # The output pixel (x, y) is the input pixel (a x + b y + c, d x + e y + f).
    transform = tf.stack([
        cosine, -sine, middle_x - cosine * middle_x + sine * middle_y,
        sine, cosine, middle_y - sine * middle_x - cosine * middle_y,
        0.0, 0.0,
    ])  # fmt: skip
    frames = tf.reshape(pixels, (-1, height, width, pixels.shape[-1]))
    transforms = tf.repeat(transform[None], tf.shape(frames)[0], axis=0)
    rotated = keras.ops.image.affine_transform(
        frames, transforms, interpolation="bilinear", fill_mode="reflect", data_format="channels_last"
    )
    return tf.reshape(rotated, pixels.shape)
