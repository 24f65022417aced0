"""The demo's network: a narrow VGG16, whose weights `data/demo/prepare.py` trained on other drawn classes."""

from __future__ import annotations

from typing import Any

import keras

from common import files
from common.demo import drawn_photos

FILES = ("data/demo/vgg16_narrow.weights.h5",)
WEIGHTS_PATH = files.ROOT / FILES[0]


BLOCKS = ((2, 16), (2, 32), (3, 64), (3, 80), (3, 80))  # (convolutions, filters); VGG16 has 64 to 512.


def vgg16_narrow(
    input_shape: tuple[int, int, int] = (drawn_photos.IMAGE_SIZE, drawn_photos.IMAGE_SIZE, 3),
) -> keras.Model:
    """Return VGG16 without its top (Simonyan & Zisserman, 2014, arXiv:1409.1556), at about a quarter of its width.

    Its 19 layers, their names and their order are those of `keras.applications.VGG16(include_top=False)`.
    The weights are initialised at random by He's rule: with Glorot's, 13 layers without batch norm hardly learn.

    Args:
        input_shape: (height, width, 3); height and width are 32 or more, or None for any size.

    Raises:
        ValueError: `input_shape` is not such a shape.
    """
    if len(input_shape) != 3 or input_shape[2] != 3 or any(side and side < 32 for side in input_shape[:2]):
        raise ValueError(f"input_shape must be (height, width, 3) with sides of 32 or more; got {input_shape}")
    inputs = x = keras.Input(input_shape)
    for block, (convolutions, filters) in enumerate(BLOCKS, start=1):
        for index in range(1, convolutions + 1):
            x = keras.layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal",
                name=f"block{block}_conv{index}",
            )(x)  # fmt: skip
        x = keras.layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="vgg16_narrow")


def preprocess(x: Any) -> Any:
    """Scale RGB from 0..255 to -1..1, for arrays, tensors and symbolic tensors of any shape."""
    return x / 127.5 - 1.0
