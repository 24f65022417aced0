"""How important each weight is for what a model has learnt, and a penalty that holds the important ones.

The scores of a softmax here have one more class, "none of these", with a fixed score of 0. So a head of one class can
be trained, and a new class begins where "none of these" was.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

Arrays = list[np.ndarray]


def with_none(scores: Any) -> Any:
    """Return scores, (n, k), with the score 0 of "none of these", (n, k + 1)."""
    return keras.ops.pad(scores, [[0, 0], [0, 1]])


class Penalty:
    """`strength` times the sum over all weights of importance times the squared distance from where they started.

    The quadratic penalty of EWC (Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796, whose lambda is twice our
    strength) and of SI (Zenke et al. 2017, https://arxiv.org/abs/1703.04200).

    Attributes:
        weights: the variables that train.
        strength: a variable, so that a model can be trained again with another strength.
    """

    def __init__(self, weights: list[keras.Variable], importance: Arrays) -> None:
        """Hold the weights at their present values; `importance` has an array of the same shape for each."""
        self.weights = weights
        self.start = [keras.Variable(weight, trainable=False) for weight in weights]
        self.importance = [keras.Variable(each, trainable=False, dtype="float32") for each in importance]
        self.strength = keras.Variable(0.0, trainable=False, dtype="float32")

    def loss(self) -> Any:
        """Return the penalty for the weights as they are."""
        parts = zip(self.weights, self.start, self.importance, strict=True)
        return self.strength * sum(keras.ops.sum(each * keras.ops.square(w - start)) for w, start, each in parts)

    def gradient(self, weight: keras.Variable, value: Any) -> Any:
        """Return the gradient of the penalty with respect to one of the weights, where it has a value."""
        place = next(number for number, each in enumerate(self.weights) if each is weight)
        return 2 * self.strength * self.importance[place] * (value - self.start[place])


class PathIntegral(keras.optimizers.Adam):
    """Adam that adds up how much each weight has lowered the loss: SI's path integral.

    After each step it subtracts gradient times change. The gradient is that of the task alone, without the penalty's.
    """

    def __init__(self, learning_rate: float, penalty: Penalty | None = None) -> None:
        super().__init__(learning_rate)
        self.penalty = penalty
        self.trained: list[keras.Variable] = []
        self.paths: list[keras.Variable] = []

    def build(self, variables: list[keras.Variable]) -> None:
        """Make a path for each variable, 0 at the beginning."""
        if not self.built:
            self.trained = variables
            self.paths = [self.add_variable_from_reference(each, "path") for each in variables]
        super().build(variables)

    def apply(self, grads: list, trainable_variables: list[keras.Variable] | None = None) -> None:
        """Apply gradients as Adam does, and extend the paths."""
        weights = self.trained if trainable_variables is None else trainable_variables
        before = [keras.ops.copy(weight.value) for weight in weights]
        super().apply(grads, trainable_variables)
        for weight, start, gradient, path in zip(weights, before, grads, self.paths, strict=True):
            own = gradient - self.penalty.gradient(weight, start) if self.penalty else gradient
            path.assign(path - own * (weight - start))


# Fisher's information -----------------------------------------------------------------------------------------


def fisher_of_head(inputs: np.ndarray, scores: np.ndarray) -> Arrays:
    """Return the mean diagonal of Fisher's information for a softmax layer, in closed form: of kernel and bias.

    The gradient of the log-probability of class c is (1[k = c] - p_k) x. Its square, expected over c as the model
    itself draws it, is p_k (1 - p_k) x².

    Args:
        inputs: (n, channels), what the layer sees.
        scores: (n, k), what it returns before the softmax, without that of "none of these".
    """
    inputs = np.asarray(inputs, "float64")
    shares = _softmax(scores)[:, :-1]
    spread = shares * (1 - shares)
    return [(inputs**2).T @ spread / len(inputs), spread.mean(axis=0)]


def fisher(model: keras.Model, rows: np.ndarray) -> Arrays:
    """Return the mean diagonal of Fisher's information for all weights that train, example by example.

    It is the squared gradient of the log-probability of each class, weighted by the model's probability of this class;
    never the square of a mean gradient (Kunstner et al. 2019, https://arxiv.org/abs/1905.12558).

    Args:
        model: from rows (n, …) to scores (n, k), without that of "none of these".
        rows: at least one; each takes a pass backwards for each class.
    """
    variables = [weight.value for weight in model.trainable_variables]

    @tf.function
    def squares(row: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            logs = tf.nn.log_softmax(with_none(model(row[None], training=False)))[0]
        # A loop over the classes: not all layers have a vectorised one.
        jacobians = tape.jacobian(logs, variables, experimental_use_pfor=False)
        return [tf.tensordot(tf.exp(logs), tf.square(each), 1) for each in jacobians]

    totals = [np.zeros(weight.shape) for weight in variables]
    for row in rows:
        totals = [total + each.numpy() for total, each in zip(totals, squares(tf.constant(row)), strict=True)]
    return [total / len(rows) for total in totals]


def of_paths(paths: Arrays, moved: Arrays, damping: float = 1e-3) -> Arrays:
    """Return SI's importance of weights: what each has gained per squared distance that it moved.

    Args:
        paths: the path integrals; negative ones, of weights that raised the loss, count as 0.
        moved: how far each weight moved during the task.
        damping: keeps weights that hardly moved from an infinite importance.
    """
    return [np.maximum(path, 0) / (way**2 + damping) for path, way in zip(paths, moved, strict=True)]


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, k + 1) of scores (n, k) and of "none of these"."""
    scores = np.pad(np.asarray(scores, "float64"), ((0, 0), (0, 1)))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
