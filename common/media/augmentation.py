"""Augmentation: the limits for changes of a training photo or clip, and the random changes.

Every change depends only on a seed and not on a generator's state, so a resumed training sees the same views again.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from common.media import rand_augment

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
        brightness: at most this fraction more or less light.
        saturation: at most this fraction more or less colourful.
        hue: the colours move by at most this part of the colour circle in either direction (0.5: to the opposite one).
        erasing: how often a random rectangle is covered, from 0 (never) to 1.
        randaugment: the strength of the two random changes of `rand_augment`, from 0 (none) to 10.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    brightness: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erasing: float = 0.0
    randaugment: float = 0.0

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))

    @property
    def fill_mode(self) -> str:
        """How areas from outside the photo are filled, as for `rand_augment.moved`."""
        return "reflect"


@dataclasses.dataclass(frozen=True)
class AugmentationOnBlack(Augmentation):
    """Changes in which areas from outside the photo are black, as its borders: a mirrored thing would have no box."""

    black: bool = True  # a field, so that cached views of both kinds have other names

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(dataclasses.replace(self, black=False)))

    @property
    def fill_mode(self) -> str:
        return "constant" if self.black else "reflect"


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


def placement(augmentation: Augmentation, seed: tuple[int, int]) -> tuple[bool, float, float]:
    """Return whether `augment` mirrors with this seed, by how many radians it turns, and how much it enlarges.

    What else is known about places in a photo, such as boxes, can so follow it into a view.
    """
    draw = tf.random.stateless_uniform((4,), seed, minval=-1.0, maxval=1.0).numpy()
    angle, zoom = float(draw[1]) * augmentation.rotation * (np.pi / 180), 1.0 + float(draw[2]) * augmentation.zoom
    return bool(augmentation.flip and not draw[0] > 0), angle, zoom


def augment(pixels: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Flip, rotate and zoom a photo or clip, change its colours and cover a part, by amounts that `seed` fixes.

    Each kind of change draws its own numbers, so adding one leaves the others as they are.

    Args:
        pixels: float32 (height, width, 3), RGB 0–255; (frames, height, width, 3) for a clip, all changed equally.
        augmentation: the limits of the changes.
        seed: two integers, as for TensorFlow's stateless random functions.

    Returns:
        A float32 tensor of the same shape and range; areas from outside the photo are filled as the augmentation says.
    """
    draw = tf.random.stateless_uniform((4,), seed, minval=-1.0, maxval=1.0)

    def own_seed(number: int) -> tf.Tensor:  # 1 is colour, 2 is `position_of`
        return tf.random.experimental.stateless_fold_in(seed, number)

    if augmentation.flip:
        pixels = tf.where(draw[0] > 0, pixels, tf.reverse(pixels, axis=[-2]))
    if augmentation.rotation or augmentation.zoom:
        angle = draw[1] * augmentation.rotation * (np.pi / 180)
        pixels = _rotated(pixels, angle, 1.0 + draw[2] * augmentation.zoom, augmentation.fill_mode)
    if augmentation.colour:
        gains = tf.random.stateless_uniform((3,), own_seed(1), 1.0 - augmentation.colour, 1.0 + augmentation.colour)
        pixels = tf.clip_by_value(pixels * gains, 0.0, 255.0)
    if augmentation.contrast:
        mean = tf.reduce_mean(pixels)
        pixels = tf.clip_by_value((pixels - mean) * (1.0 + draw[3] * augmentation.contrast) + mean, 0.0, 255.0)
    pixels = _recoloured(pixels, augmentation, own_seed(3))
    if augmentation.randaugment:
        pixels = rand_augment.changed(pixels, augmentation.randaugment, own_seed(4))
    return _erased(pixels, augmentation.erasing, own_seed(5)) if augmentation.erasing else pixels


def _recoloured(pixels: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Change brightness, saturation and hue, as torchvision's ColorJitter does."""
    light, colour, hue = tf.unstack(tf.random.stateless_uniform((3,), seed, minval=-1.0, maxval=1.0))
    if augmentation.brightness:
        pixels = rand_augment.brighter(pixels, 1.0 + light * augmentation.brightness)
    if augmentation.saturation:
        pixels = rand_augment.more_colourful(pixels, 1.0 + colour * augmentation.saturation)
    if augmentation.hue:
        pixels = tf.clip_by_value(tf.image.adjust_hue(pixels, hue * augmentation.hue), 0.0, 255.0)
    return pixels


def _erased(pixels: tf.Tensor, chance: float, seed: tf.Tensor) -> tf.Tensor:
    """Cover a rectangle with the mean colour, with this chance (Zhong et al. 2020, https://arxiv.org/abs/1708.04896).

    Its area is 2 to 33 % of the photo and its sides have a ratio of 0.3 to 3.3, as in the paper's experiments.
    """
    erase, area, ratio, top, left = tf.unstack(tf.random.stateless_uniform((5,), seed))
    shape = tf.exp((2.0 * ratio - 1.0) * np.log(10 / 3))  # from 0.3 to 3.3, as often wide as high
    size = tf.sqrt(0.02 + area * (0.33 - 0.02))
    height, width = tf.minimum(size * tf.sqrt(shape), 1.0), tf.minimum(size / tf.sqrt(shape), 1.0)
    inside = [
        (place >= start * (1.0 - length)) & (place < start * (1.0 - length) + length)
        for place, start, length in (
            ((tf.range(pixels.shape[-3], dtype=tf.float32) + 0.5) / pixels.shape[-3], top, height),
            ((tf.range(pixels.shape[-2], dtype=tf.float32) + 0.5) / pixels.shape[-2], left, width),
        )
    ]
    covered = inside[0][:, None, None] & inside[1][None, :, None] & (erase < chance)
    mean = tf.reduce_mean(pixels, axis=list(range(len(pixels.shape) - 1)))
    return tf.where(covered, mean, pixels)


def _rotated(pixels: tf.Tensor, angle: tf.Tensor, zoom: tf.Tensor, fill_mode: str = "reflect") -> tf.Tensor:
    """Rotate by `angle` radians and magnify by `zoom` about the middle, with bilinear interpolation."""
    cosine, sine = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    return rand_augment.moved(pixels, (cosine, -sine, sine, cosine), fill_mode=fill_mode)
