"""Training of a head, and of layers below it, on a task: cross-entropy, with what EWC, SI or LwF add to it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from common.features import of_tasks
from common.models import freezing, suffix
from common.training import importance

TEMPERATURE = 2.0  # of the old model's answers, as in Li and Hoiem (https://arxiv.org/abs/1606.09282)


class Trained:
    """A head, and the layers between the cut and it, that can be trained several times from given weights.

    Attributes:
        known: the names of its classes.
        penalty: what holds important weights (EWC, SI), or None.
        distillation: the weight of the old model's answers (LwF), or None.
        paths: after `fit`, SI's path integral of each weight.
    """

    def __init__(self, network: suffix.Suffix, known: list[str], config: Any) -> None:
        self.network, self.known, self.config = network, known, config
        self.model = network.with_head(len(known))
        self.penalty: importance.Penalty | None = None
        self.distillation: keras.Variable | None = None
        self.old: np.ndarray | None = None
        self.paths: list[np.ndarray] = []
        # First layer that trains → the model that is compiled for it, and its optimizer's variables at the beginning.
        self.compiled: dict[int, tuple[keras.Model, list[np.ndarray]]] = {}

    def loss(self, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the cross-entropy, and what the method adds to it.

        Args:
            y: (n, k) one-hot targets; for LwF, then the old model's answers (n, old + 1), softened.
            y_pred: (n, k) scores.
            sample_weight: (n,) or None.
        """
        count = y_pred.shape[1]
        targets = keras.ops.pad(y[:, :count], [[0, 0], [0, 1]])
        losses = keras.losses.categorical_crossentropy(targets, importance.with_none(y_pred), from_logits=True)
        loss = keras.ops.mean(losses if sample_weight is None else losses * sample_weight)
        if self.distillation is not None:
            old = y[:, count:]
            known = importance.with_none(y_pred[:, : old.shape[1] - 1]) / TEMPERATURE
            answers = keras.losses.categorical_crossentropy(old, known, from_logits=True)
            loss += self.distillation * TEMPERATURE**2 * keras.ops.mean(answers)
        if self.penalty is not None:
            loss += self.penalty.loss()
        return loss

    def hold(self, start: list[np.ndarray], values: list[np.ndarray]) -> None:
        """Add the penalty of EWC or SI, which holds important weights where they start."""
        suffix.assign(self.model, start)
        self.penalty = importance.Penalty(list(self.model.trainable_variables), values)

    def distil(self, scores: np.ndarray) -> None:
        """Add the loss of LwF: the old model's scores (n, old) for the new photos are further targets."""
        self.old = keras.ops.convert_to_numpy(keras.ops.softmax(importance.with_none(scores) / TEMPERATURE))
        self.distillation = keras.Variable(0.0, trainable=False)

    def fit(
        self, rows: of_tasks.Side, start: list[np.ndarray], strength: float | None = None,
        shares: np.ndarray | None = None,
    ) -> list[np.ndarray]:  # fmt: skip
        """Train the head, then the unfrozen layers with it at a low rate, and return the weights.

        Args:
            rows: the features and classes to train with.
            start: the weights to begin with; without the head's, that begins with zeros.
            strength: of the method's penalty.
            shares: (n,) the weight of each row in the loss.
        """
        suffix.assign(self.model, start)
        if self.penalty is not None:
            self.penalty.strength.assign(strength)
        if self.distillation is not None:
            self.distillation.assign(strength)
        targets = np.eye(len(self.known), dtype="float32")[of_tasks.numbers(rows[1], self.known)]
        if self.old is not None:
            targets = np.concatenate([targets, self.old], axis=1)
        arrays = (rows[0], targets) if shares is None else (rows[0], targets, shares)
        weights, network, config = self.model.trainable_weights, self.network, self.config
        self.paths = [np.zeros(weight.shape, "float32") for weight in weights]
        self._stage(arrays, len(network.base_model.layers), config.learning_rate, config.epochs)
        if not network.is_head_alone:
            self._stage(arrays, network.first, config.fine_tuning_rate, config.fine_tuning_epochs)
        return [keras.ops.convert_to_numpy(weight).copy() for weight in weights]

    def _stage(self, arrays: tuple[np.ndarray, ...], first: int, rate: float, epochs: int) -> None:
        """Train the layers from `first` on, and the head."""
        freezing.unfreeze(self.network.base_model, first)
        if first not in self.compiled:
            self.compiled[first] = self._compiled(rate)
        model, fresh = self.compiled[first]
        for variable, value in zip(model.optimizer.variables, fresh, strict=True):
            variable.assign(value)
        rows = of_tasks.batches(arrays, self.config.batch_size, self.config.seed)
        model.fit(rows.repeat(epochs), shuffle=False, verbose=0)  # one long epoch, since nothing is done between
        first_path = len(self.paths) - len(model.trainable_weights)
        for number, path in enumerate(getattr(model.optimizer, "paths", []), first_path):
            self.paths[number] = self.paths[number] + keras.ops.convert_to_numpy(path)
        freezing.unfreeze(self.network.base_model, self.network.first)

    def _compiled(self, rate: float) -> tuple[keras.Model, list[np.ndarray]]:
        """Return the model, compiled for the layers that train now, and its optimizer's variables."""
        model = suffix.WithLoss(self.model.input, self.model.output)
        model.own_loss = self.loss
        is_si = self.config.method == "si"
        optimizer = importance.PathIntegral(rate, self.penalty) if is_si else keras.optimizers.Adam(rate)
        # Steps are short. The head computes in float32, so there is no loss to scale under mixed_float16.
        model.compile(optimizer=optimizer, steps_per_execution=10, auto_scale_loss=False)
        optimizer.build(model.trainable_variables)
        return model, [keras.ops.convert_to_numpy(each).copy() for each in optimizer.variables]
