"""Augmentation: how far a training photo or clip may be changed, and by how much it is.

Every amount is drawn from a seed and not from a running state, so an interrupted training sees the same views again.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

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


def position_of(seed):
    """Where a training clip's window lies, in 0–1, from two integers that no other photo or clip has."""
    return tf.random.stateless_uniform((), tf.random.experimental.stateless_fold_in(seed, 2))


def turned(pixels, turn):
    """A square photo, or a clip, in one of the eight orientations that it can lie in: exact, nothing is interpolated.

    Args:
        pixels: (height, width, 3), of a clip (frames, height, width, 3), with height = width.
        turn: 0 to 7: the number of quarter turns, from 4 on of the photo mirrored left to right.
    """
    if isinstance(turn, int) and turn == 0:
        return pixels
    mirrored = tf.where(turn >= TURNS // 2, tf.reverse(pixels, axis=[-2]), pixels)
    return tf.ensure_shape(tf.image.rot90(mirrored, turn % (TURNS // 2)), pixels.shape)


def photo_seed(seed, epoch, photo):
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
    transforms = tf.repeat(transform[None], tf.shape(frames)[0], axis=0)
    rotated = keras.ops.image.affine_transform(
        frames, transforms, interpolation="bilinear", fill_mode="reflect", data_format="channels_last"
    )
    return tf.reshape(rotated, pixels.shape)
