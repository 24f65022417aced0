"""Penalties that hold weights near where they started."""

import keras
import numpy as np


def hold_near(model: keras.Model, strength: float) -> None:
    """Adds a penalty to the loss that holds the weights that train near the values that they have now (L2-SP).

    Plain weight decay pulls towards 0 and so away from what was pretrained; this pulls back to it (Li, Grandvalet and
    Davoine 2018, https://arxiv.org/abs/1802.01483). A saved model does not contain it.

    Args:
        model: a network of which some layers train.
        strength: times the summed squared distance is what the loss grows by; 0 is none.
    """
    for weight in model.trainable_weights if strength else []:
        weight.regularizer = _NearStart(strength, keras.ops.convert_to_numpy(weight))


class _NearStart(keras.regularizers.Regularizer):
    """`strength` times the squared distance from `start`."""

    def __init__(self, strength: float, start: np.ndarray):
        self.strength, self.start = strength, start

    def __call__(self, x):
        return self.strength * keras.ops.sum(keras.ops.square(x - keras.ops.cast(self.start, x.dtype)))
