"""Keras's loss scale for float16, put right for networks on words."""

import keras


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scale, which leaves a step out when a gradient overflows float16, for networks on words.

    An embedding's gradient is a list of rows. Keras 3.15 looks at the last row of each word alone: an overflow in
    another one goes through, and all weights are NaN. Here all rows are looked at.
    """

    def check_finite(self, grads):
        return super().check_finite([getattr(gradient, "values", gradient) for gradient in grads])
