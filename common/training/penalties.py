"""Penalties that hold weights near their initial values."""

import keras
import numpy as np


def hold_near(model: keras.Model, strength: float) -> None:
    """Add a penalty to the loss that holds the trainable weights near their current values (L2-SP).

    Plain weight decay pulls weights towards 0 and thus away from the pretrained values; this penalty pulls them back
    (Li, Grandvalet and Davoine 2018, https://arxiv.org/abs/1802.01483). A saved model does not contain the penalty.

    Args:
        model: a network with some trainable layers.
        strength: the penalty is `strength` times the sum of squared distances; 0 adds none.
    """
    for weight in model.trainable_weights if strength else []:
        weight.regularizer = _NearStart(strength, keras.ops.convert_to_numpy(weight))


class _NearStart(keras.regularizers.Regularizer):
    """`strength` times the squared distance from `start`."""

    def __init__(self, strength: float, start: np.ndarray) -> None:
        self.strength, self.start = strength, start

    def __call__(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.strength * keras.ops.sum(keras.ops.square(x - keras.ops.cast(self.start, x.dtype)))
