"""Corrections for rare classes: class weights, balanced sampling, and losses."""

from __future__ import annotations

import typing
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

Tensor = Any  # a tensor of the backend, or a symbolic one
Choice = Literal["none", "weights", "effective_number", "sampling", "focal", "logit_adjust", "posthoc"]
CHOICES: tuple[Choice, ...] = typing.get_args(Choice)

EFFECTIVE_NUMBER_BETA = 0.999  # the value in Cui et al. (2019) for a few thousand samples
FOCUSING = 2.0  # gamma of Lin et al. (2017), best in their experiments


def inverse_frequency(counts: npt.ArrayLike) -> np.ndarray:
    """Return weights that give all classes the same influence: n / (classes x samples of the class).

    Args:
        counts: (k,) training samples of each class, each above 0.

    Returns:
        (k,) float64; their mean over the samples is 1.
    """
    counts = np.asarray(counts, float)
    return counts.sum() / (len(counts) * counts)


def effective_number(counts: npt.ArrayLike, beta: float = EFFECTIVE_NUMBER_BETA) -> np.ndarray:
    """Return weights by the effective number of samples, (1 - beta) / (1 - beta^n), milder than `inverse_frequency`.

    Cui et al. 2019, https://arxiv.org/abs/1901.05555, equation 2.

    Args:
        counts: (k,) training samples of each class, each above 0.
        beta: from 0 (no weights) to below 1 (towards the inverse frequency).

    Returns:
        (k,) float64 with mean 1 over the classes, as in the paper.
    """
    weights = (1 - beta) / (1 - beta ** np.asarray(counts, float))
    return weights / weights.mean()


def class_weights(choice: Choice, counts: npt.ArrayLike) -> dict[int, float] | None:
    """Return `class_weight` for `fit`; None if the choice does not use class weights."""
    formulas = {"weights": inverse_frequency, "effective_number": effective_number}
    return dict(enumerate(formulas[choice](counts).tolist())) if choice in formulas else None


def loss(choice: Choice, counts: npt.ArrayLike) -> keras.losses.Loss:
    """Return the loss of a choice: cross-entropy, or its replacement.

    Args:
        choice: one of `CHOICES`.
        counts: (k,) training samples of each class.
    """
    if choice == "focal":
        alpha = inverse_frequency(counts).tolist()
        return keras.losses.CategoricalFocalCrossentropy(alpha=alpha, gamma=FOCUSING)
    if choice == "logit_adjust":
        return LogitAdjustedCrossentropy(priors(counts))
    return keras.losses.CategoricalCrossentropy()


def priors(counts: npt.ArrayLike) -> list[float]:
    """Return each class's share of the training samples.

    Args:
        counts: (k,) training samples of each class, each above 0.
    """
    return (np.asarray(counts, float) / np.sum(counts)).tolist()


def without_prior(probabilities: npt.ArrayLike, counts: npt.ArrayLike) -> np.ndarray:
    """Return the probabilities for equally frequent classes: divided by the prior, and scaled to sum to 1.

    This is logit adjustment after a training with plain cross-entropy ("post-hoc"), Menon et al. 2021,
    https://arxiv.org/abs/2007.07314, section 4.1, with tau 1.

    Args:
        probabilities: (…, k).
        counts: (k,) training samples of each class.
    """
    weighted = np.asarray(probabilities) / priors(counts)
    return weighted / weighted.sum(-1, keepdims=True)


def take_prior_out(layer: keras.layers.Dense, counts: npt.ArrayLike) -> None:
    """Change a softmax layer so that its answers are those of `without_prior`: subtract log(prior) from its bias."""
    weights, bias = layer.get_weights()
    layer.set_weights([weights, bias - np.log(priors(counts))])


@keras.saving.register_keras_serializable("keras_recipes")
class LogitAdjustedCrossentropy(keras.losses.Loss):
    """Cross-entropy with log(prior) added to the logits, so that the network learns what the prior does not contain.

    See Menon et al. 2021, https://arxiv.org/abs/2007.07314, equation 10 with tau 1. The softmax of the network
    estimates the probabilities for equally frequent classes, which maximise the balanced accuracy.

    Args:
        priors: k shares of the training samples, summing to 1.
    """

    def __init__(self, priors: list[float], name: str = "logit_adjusted_crossentropy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.priors = priors

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each sample, (n,), from one-hot labels and probabilities, both (n, k)."""
        # softmax(z + log prior) is softmax(z) times the prior, scaled to a sum of 1.
        weighted = y_pred * keras.ops.convert_to_tensor(self.priors, y_pred.dtype)
        return keras.losses.categorical_crossentropy(y_true, weighted / keras.ops.sum(weighted, -1, keepdims=True))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return super().get_config() | {"priors": self.priors}


class BalancedAccuracy(keras.metrics.Metric):
    """The mean recall over the classes seen so far: scikit-learn's `balanced_accuracy_score` as a Keras metric.

    Args:
        num_classes: k; labels are one-hot and predictions are probabilities, both (n, k).
        priors: k numbers that the probabilities are divided by (`without_prior`), or None.
    """

    def __init__(
        self, num_classes: int, priors: list[float] | None = None, name: str = "balanced_accuracy", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self.num_classes, self.priors = num_classes, priors
        self.hits = self.add_variable((num_classes,), "zeros", name="hits")
        self.totals = self.add_variable((num_classes,), "zeros", name="totals")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count a batch; sample weights are ignored, since every class already has the same weight."""
        y_true = keras.ops.cast(y_true, self.hits.dtype)
        if self.priors:
            y_pred = y_pred / keras.ops.convert_to_tensor(self.priors, y_pred.dtype)
        right = keras.ops.equal(keras.ops.argmax(y_true, -1), keras.ops.argmax(y_pred, -1))
        self.totals.assign_add(keras.ops.sum(y_true, 0))
        self.hits.assign_add(keras.ops.sum(y_true * keras.ops.cast(right, y_true.dtype)[:, None], 0))

    def result(self) -> Tensor:
        """Return the mean over the classes that occurred."""
        present = keras.ops.cast(self.totals > 0, self.hits.dtype)
        recall = self.hits / keras.ops.maximum(self.totals, 1)
        return keras.ops.sum(recall * present) / keras.ops.maximum(keras.ops.sum(present), 1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return super().get_config() | {"num_classes": self.num_classes, "priors": self.priors}
