"""Networks for photos that are small enough for tests, and clips of noise."""

import pathlib

import keras
import numpy as np

from common.models import backbones


def base() -> keras.Model:
    """A network with everything that freezing treats by itself: a convolution, batch norm and dropout."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    return keras.Model(inputs, x, name="base")


def with_head(network: keras.Model) -> keras.Model:
    """A classifier of two classes on a network."""
    x = keras.layers.GlobalAveragePooling2D()(network.output)
    return keras.Model(network.input, keras.layers.Dense(2, activation="softmax", name="head")(x), name="classifier")


def demo(size: int = 32) -> backbones.Backbone:
    """The demo's backbone, with the same names and random numbers at each call."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    return backbones.load("demo", "demo", size)


def file(path: pathlib.Path) -> pathlib.Path:
    """Save a convolutional classifier of 32 x 32 photos with two blocks, to be a backbone; return the path."""
    photos = keras.Input((32, 32, 3))
    x = keras.layers.BatchNormalization(name="block1_norm")(keras.layers.Conv2D(4, 3, name="block1_conv")(photos))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="block2_conv")(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Dense(5, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(photos, x, name="mine").save(path)
    return path


def attention() -> keras.Model:
    """A network of 32 x 32 photos with three blocks of Keras's own attention between 16 patches, and dropout inside."""
    keras.utils.set_random_seed(0)
    photos = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 8, strides=8, name="patches")(photos)
    x = keras.layers.Reshape((16, 8), name="tokens")(x)
    for number in (1, 2, 3):
        layer = keras.layers.MultiHeadAttention(2, 4, dropout=0.2, name=f"block{number}_mha")
        x = keras.layers.Add(name=f"block{number}_add")([x, layer(x, x)])
    return keras.Model(photos, keras.layers.Reshape((4, 4, 8), name="map")(x), name="small")


def random_clips(*shape: int) -> np.ndarray:
    """Clips (or photos) of noise, float32 (*shape, 3) of 0 to 255."""
    return np.random.default_rng(1).uniform(0, 255, (*shape, 3)).astype("float32")
