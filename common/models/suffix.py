"""The layers of a network behind a cut, under heads of any number of classes; what is before the cut stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import errors
from common.models import blocks, cut, freezing

AT_ONCE = 64  # items in one call
MISSING = -1e9  # the score of a class that a head does not have


class WithLoss(keras.Model):
    """A functional model with a loss of its own: a function of targets, outputs and the weights of the samples."""

    own_loss: Callable[[Any, Any, Any], Any]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of a batch, as Keras asks for it."""
        return self.own_loss(y, y_pred, sample_weight)


@dataclasses.dataclass(frozen=True, eq=False)
class Suffix:
    """The layers that train behind the cut.

    Attributes:
        base_model: a pretrained network.
        body: the same with pooling, from its input to what a head sees.
        first: the number of the first layer of `base_model` that trains; their number for the head alone.
        tensor: where the network is cut.
        start: the pretrained weights of the layers that train, without a head's.
    """

    base_model: keras.Model
    body: keras.Model
    first: int
    tensor: Any
    start: list[np.ndarray]

    @classmethod
    def of(cls, base_model: keras.Model, body: keras.Model, unfreeze_from: str | None) -> Suffix:
        """Cut a network before the layers that train.

        Args:
            base_model, body: as the attributes.
            unfreeze_from: number, name or block of the first layer that trains; None for the head alone.

        Raises:
            UserError: there is no such layer, or what it sees are several tensors or photos.
        """
        first = blocks.layer_number(base_model, unfreeze_from) if unfreeze_from else len(base_model.layers)
        freezing.unfreeze(base_model, first)
        tensors = cut.cut(keras.Model(body.input, keras.layers.Dense(1)(body.output))).tensors
        if len(tensors) > 1 or tensors[0] is base_model.inputs[0]:
            raise errors.UserError(f"--unfreeze-from {unfreeze_from}: give a later layer, the first one of a block")
        suffix = cls(base_model, body, first, tensors[0], [])
        weights = suffix.with_head(1).trainable_weights[:-2]
        return dataclasses.replace(suffix, start=[keras.ops.convert_to_numpy(weight) for weight in weights])

    @property
    def prefix(self) -> keras.Model:
        """The network before the cut."""
        return keras.Model(self.body.input, self.tensor)

    @property
    def is_head_alone(self) -> bool:
        """Whether no layer below the head trains."""
        return self.tensor is self.body.output

    def with_head(self, num_classes: int, weights: list[np.ndarray] | None = None) -> keras.Model:
        """Return a model from the cut to the scores of a new head; all heads share the layers below.

        Args:
            num_classes: the number of scores.
            weights: of all that trains: the layers below, then kernel and bias; None leaves the layers as they are.
        """
        freezing.unfreeze(self.base_model, self.first)
        # float32 even under mixed precision: the loss needs the digits.
        head = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="scores")
        model = keras.Model(self.tensor, head(self.body.output))
        if weights is not None:
            assign(model, weights)
        return model

    def scores(self, weights: list[np.ndarray], features: np.ndarray) -> np.ndarray:
        """Return the scores (n, k) for features (n, …) at the cut."""
        if self.is_head_alone:
            return features @ weights[-2] + weights[-1]
        model = self.with_head(weights[-1].size, weights)
        parts = [features[start : start + AT_ONCE] for start in range(0, len(features), AT_ONCE)]
        return np.concatenate([keras.ops.convert_to_numpy(model(part, training=False)) for part in parts])

    def surest(self, heads: list[list[np.ndarray]], classes: list[list[int]], num_classes: int) -> Any:
        """Return a tensor of scores (n, num_classes), of which each is the highest of the heads with that class.

        Args:
            heads: for each head, the weights of all that trains; each gets layers of its own.
            classes: for each head, the places of its classes.
            num_classes: the number of all classes.
        """
        scores = []
        for weights, own in zip(heads, classes, strict=True):
            shared = self.with_head(len(own), weights)
            layers = keras.models.clone_model(shared)
            layers.set_weights(shared.get_weights())
            further = keras.ops.pad(layers(self.tensor), [[0, 0], [0, 1]], constant_values=MISSING)
            places = [own.index(place) if place in own else len(own) for place in range(num_classes)]
            scores.append(keras.ops.take(further, places, axis=1))
        return scores[0] if len(scores) == 1 else keras.layers.Maximum(dtype="float32")(scores)


def assign(model: keras.Model, weights: list[np.ndarray]) -> None:
    """Set all that trains in a model with a head; without weights for the head, it begins with zeros."""
    variables = model.trainable_weights
    whole = [*weights, *(np.zeros(variable.shape) for variable in variables[len(weights) :])]
    for variable, value in zip(variables, whole, strict=True):
        variable.assign(value)


def widened(weights: list[np.ndarray], num_classes: int) -> list[np.ndarray]:
    """Return weights, or what belongs to each of them, with columns of zeros in the head for further classes."""
    *below, kernel, bias = weights
    further = num_classes - bias.size
    return [*below, np.pad(kernel, ((0, 0), (0, further))), np.pad(bias, (0, further))]
