"""Keras's loss scale for float16, corrected for networks on words."""

from typing import Any

import keras


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scale, which skips a step if a gradient overflows float16, for networks on words.

    An embedding's gradient is a list of rows. Keras 3.15 checks only the last row of each word: an overflow in another
    row goes unnoticed and makes all weights NaN. This class checks all rows.
    """

    def check_finite(self, grads: list[Any]) -> Any:
        return super().check_finite([getattr(gradient, "values", gradient) for gradient in grads])
