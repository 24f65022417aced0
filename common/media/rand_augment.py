"""RandAugment: two random changes of a photo from a list, both of one strength (Cubuk et al. 2020).

The list and the largest changes are those of the paper's code (https://arxiv.org/abs/1909.13719), without the
equalisation of the histogram. `keras.layers.RandAugment` has its own state, which a resumed training would not have,
and makes photos coarser the lower its strength is.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

CHANGES = 2  # changes of each photo, the paper's N
STRONGEST = 10.0  # the strength at which the changes are largest

# The largest changes: parts of the range for colours, a shear, radians, and parts of the photo's size.
COLOUR, SHEAR, ANGLE, SHIFT = 0.9, 0.3, np.pi / 6, 0.3


def changed(pixels: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Return a photo or clip after two random changes; the seed fixes which and in which direction.

    Args:
        pixels: float32 (height, width, 3), RGB 0–255; (frames, height, width, 3) for a clip, all changed equally.
        strength: from 0, which leaves most changes without effect, to 10.
        seed: two integers, as for TensorFlow's stateless random functions.
    """
    size = strength / STRONGEST
    signs = tf.sign(tf.random.stateless_uniform((CHANGES,), seed, minval=-1.0, maxval=1.0))
    which_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    which = tf.random.stateless_uniform((CHANGES,), which_seed, maxval=len(OPERATIONS), dtype=tf.int32)
    for number in range(CHANGES):
        sign, before = signs[number], pixels
        branches = [lambda operation=operation: operation(before, size, sign) for operation in OPERATIONS]  # noqa: B023
        pixels = tf.ensure_shape(tf.switch_case(which[number], branches), before.shape)
    return pixels


# The changes ------------------------------------------------------------------------------------------------------


def brighter(pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiply all pixels by a factor, within 0–255."""
    return tf.clip_by_value(pixels * factor, 0.0, 255.0)


def more_colourful(pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiply the distance of each pixel from its grey by a factor, within 0–255; 0 makes the photo grey."""
    grey = tf.image.rgb_to_grayscale(pixels)
    return tf.clip_by_value(grey + (pixels - grey) * factor, 0.0, 255.0)


def moved(pixels: tf.Tensor, linear: tuple, shift: tuple = (0.0, 0.0), fill_mode: str = "reflect") -> tf.Tensor:
    """Return a photo or clip after an affine map about its middle; what comes from outside is filled by reflection.

    Args:
        pixels: (height, width, channels), or (frames, height, width, channels).
        linear: (a, b, d, e): the output pixel (x, y), from the middle, is the input pixel (a x + b y, d x + e y).
        shift: added to the input pixel's x and y.
        fill_mode: `constant` fills with black instead.
    """
    height, width = pixels.shape[-3], pixels.shape[-2]
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    a, b, d, e = linear
    transform = tf.stack([
        a, b, middle_x - a * middle_x - b * middle_y + shift[0],
        d, e, middle_y - d * middle_x - e * middle_y + shift[1],
        0.0, 0.0,
    ])  # fmt: skip
    frames = tf.reshape(pixels, (-1, height, width, pixels.shape[-1]))
    transforms = tf.repeat(transform[None], tf.shape(frames)[0], axis=0)
    result = keras.ops.image.affine_transform(
        frames, transforms, interpolation="bilinear", fill_mode=fill_mode, data_format="channels_last"
    )
    return tf.reshape(result, pixels.shape)


def _identity(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return pixels


def _brightness(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return brighter(pixels, 1.0 + sign * COLOUR * size)


def _saturation(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return more_colourful(pixels, 1.0 + sign * COLOUR * size)


def _contrast(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(tf.image.rgb_to_grayscale(pixels))
    return tf.clip_by_value(mean + (pixels - mean) * (1.0 + sign * COLOUR * size), 0.0, 255.0)


def _sharpness(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    """Move away from a smoothed photo, or towards it."""
    kernel = np.ones((3, 3), "float32")
    kernel[1, 1] = 5.0
    frames = tf.reshape(pixels, (-1, *pixels.shape[-3:]))
    kernels = tf.constant(np.repeat((kernel / kernel.sum())[:, :, None, None], pixels.shape[-1], axis=2))
    edges = tf.pad(frames, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
    smooth = tf.reshape(tf.nn.depthwise_conv2d(edges, kernels, [1, 1, 1, 1], "VALID"), pixels.shape)
    return tf.clip_by_value(smooth + (pixels - smooth) * (1.0 + sign * COLOUR * size), 0.0, 255.0)


def _auto_contrast(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to 0–255; the strength does not matter."""
    axes = list(range(len(pixels.shape) - 1))
    low, high = tf.reduce_min(pixels, axes), tf.reduce_max(pixels, axes)
    return tf.where(high > low, tf.math.divide_no_nan(pixels - low, high - low) * 255.0, pixels)


def _posterize(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    """Keep 8 bits of each value, or at the largest strength 4."""
    step = 2.0 ** round(4 * size)
    return tf.floor(pixels / step) * step


def _solarize(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    """Invert the values above a threshold, which falls from 256 to 0."""
    return tf.where(pixels < 256.0 * (1.0 - size), pixels, 255.0 - pixels)


def _rotate(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    angle = sign * ANGLE * size
    return moved(pixels, (tf.cos(angle), -tf.sin(angle), tf.sin(angle), tf.cos(angle)))


def _shear_x(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return moved(pixels, (1.0, sign * SHEAR * size, 0.0, 1.0))


def _shear_y(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return moved(pixels, (1.0, 0.0, sign * SHEAR * size, 1.0))


def _shift_x(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return moved(pixels, (1.0, 0.0, 0.0, 1.0), (sign * SHIFT * size * pixels.shape[-2], 0.0))


def _shift_y(pixels: tf.Tensor, size: float, sign: tf.Tensor) -> tf.Tensor:
    return moved(pixels, (1.0, 0.0, 0.0, 1.0), (0.0, sign * SHIFT * size * pixels.shape[-3]))


OPERATIONS = (
    _identity, _brightness, _saturation, _contrast, _sharpness, _auto_contrast, _posterize, _solarize, _rotate,
    _shear_x, _shear_y, _shift_x, _shift_y,
)  # fmt: skip
