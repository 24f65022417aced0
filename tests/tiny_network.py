"""Networks for photos that are small enough for tests, and clips of noise."""

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


def random_clips(*shape: int) -> np.ndarray:
    """Clips (or photos) of noise, float32 (*shape, 3) of 0 to 255."""
    return np.random.default_rng(1).uniform(0, 255, (*shape, 3)).astype("float32")
