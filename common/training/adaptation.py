"""Training a head on the features of two domains: the losses of domain adaptation, and the model that minimises them.

`source` and `target` are what the last layer sees of a batch of either domain, (n, units) and (m, units).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import devices
from common.models import domain_heads

BOTTLENECK = ("deep_coral", "mmd", "dann", "cdan")  # they move features, so they need a layer that can
# Fixed beforehand: a choice by the new domain's labels is not possible, and one by the source's would not suit it.
STEPS, RATE, HEAD_RATE = 300, 1e-3, 1e-2  # of Adam; a head that starts from logistic regression takes the higher rate
UNITS, BATCH = 256, 512  # of the bottleneck; photos of each domain in a step
DECAY, HEAD_DECAY = 1e-3, 0.05  # penalty on the last layer's squared weights, behind a bottleneck and without one
WEIGHTS = {"deep_coral": 10.0, "mmd": 1.0, "dann": 1.0, "cdan": 1.0, "mcc": 1.0}
CONFUSION_TEMPERATURE = 2.5  # that of the paper


# The losses -----------------------------------------------------------------------------------------------------------


def reversed_gradient(x: Any, strength: Any) -> Any:
    """Return x, whose gradient is multiplied by -strength: the discriminator's gain is the features' loss.

    Ganin and Lempitsky 2015, https://arxiv.org/abs/1409.7495.
    """
    return keras.ops.stop_gradient((1 + strength) * x) - strength * x


def domain_loss(discriminator: keras.Model, source: Any, target: Any, progress: Any) -> Any:
    """Return the log loss of telling the domains apart, of features behind a reversed gradient (DANN).

    The strength of the reversal rises from 0 to 1 with `progress`, as in Ganin et al. 2016 (JMLR 17).
    """
    strength = 2 / (1 + keras.ops.exp(-10.0 * progress)) - 1
    right = [keras.ops.log_sigmoid(-discriminator(reversed_gradient(source, strength))),
             keras.ops.log_sigmoid(discriminator(reversed_gradient(target, strength)))]  # fmt: skip
    return -sum(keras.ops.mean(each) for each in right) / 2


def with_answers(features: Any, answers: Any) -> Any:
    """Return the products of all features and answers, (n, units x classes): what CDAN's discriminator sees."""
    products = features[:, :, None] * keras.ops.stop_gradient(answers)[:, None, :]
    return keras.ops.reshape(products, (-1, features.shape[1] * answers.shape[1]))


def deep_coral_loss(source: Any, target: Any) -> Any:
    """Return |C_s - C_t|² / (4 d²), with the covariances of d features (https://arxiv.org/abs/1607.01719)."""

    def covariance(x: Any) -> Any:
        centred = x - keras.ops.mean(x, axis=0)
        return keras.ops.transpose(centred) @ centred / (keras.ops.cast(keras.ops.shape(x)[0], x.dtype) - 1)

    return keras.ops.sum((covariance(source) - covariance(target)) ** 2) / (4 * source.shape[1] ** 2)


def mmd_loss(source: Any, target: Any) -> Any:
    """Return the squared maximum mean discrepancy, with the mean of five Gaussian kernels (DAN).

    The widths are 1/4 to 4 times the mean squared distance (Long et al. 2015, https://arxiv.org/abs/1502.02791).
    """
    rows = keras.ops.concatenate([source, target])
    squares = keras.ops.sum(rows**2, axis=1)
    distances = keras.ops.maximum(squares[:, None] + squares - 2 * rows @ keras.ops.transpose(rows), 0)
    width = keras.ops.stop_gradient(keras.ops.mean(distances)) + 1e-6
    kernel = sum(keras.ops.exp(-distances / (width * factor)) for factor in (0.25, 0.5, 1.0, 2.0, 4.0)) / 5
    n = keras.ops.shape(source)[0]
    within = keras.ops.mean(kernel[:n, :n]) + keras.ops.mean(kernel[n:, n:])
    return within - 2 * keras.ops.mean(kernel[:n, n:])


def class_confusion(logits: Any) -> Any:
    """Return the share of pairs of answers that confuse two classes: minimum class confusion.

    With p the softmax at a temperature, C_jk = Σ w_i p_ij p_ik, each row divided by its sum; the loss is what is beside
    the diagonal. Sure answers weigh more: w_i ~ 1 + exp(-entropy) (Jin et al. 2020, https://arxiv.org/abs/1912.03699).
    """
    p = keras.ops.softmax(logits / CONFUSION_TEMPERATURE)
    entropy = -keras.ops.sum(p * keras.ops.log(p + 1e-7), axis=1, keepdims=True)
    weights = 1 + keras.ops.exp(-entropy)
    weights = weights / keras.ops.mean(weights)
    confusion = keras.ops.transpose(p * weights) @ p
    confusion = confusion / keras.ops.sum(confusion, axis=1, keepdims=True)
    return (keras.ops.sum(confusion) - keras.ops.sum(keras.ops.diagonal(confusion))) / logits.shape[1]


# The model ------------------------------------------------------------------------------------------------------------


class Adaptation(keras.Model):
    """A head in training: source and target features share the bottleneck and the last layer.

    The loss is the source's cross-entropy and the terms of the method on both domains.
    """

    def __init__(self, channels: int, num_classes: int, parts: frozenset[str]) -> None:
        source, target = keras.Input((channels,)), keras.Input((channels,))
        bottleneck = keras.layers.Dense(UNITS, activation="relu") if parts & set(BOTTLENECK) else None
        penalty = keras.regularizers.L2(DECAY if bottleneck else HEAD_DECAY)
        head = keras.layers.Dense(num_classes, kernel_regularizer=penalty)
        seen = [bottleneck(x) if bottleneck else x for x in (source, target)]
        outputs = {"source": head(seen[0]), "target": head(seen[1]), "seen_source": seen[0], "seen_target": seen[1]}
        super().__init__(inputs=[source, target], outputs=outputs)
        self.parts, self.bottleneck, self.head = parts, bottleneck, head
        self.discriminators = {}
        for part, width in (("dann", UNITS), ("cdan", UNITS * num_classes)):
            if part in parts:
                self.discriminators[part] = keras.Sequential(
                    [keras.Input((width,)), keras.layers.Dense(UNITS, activation="relu"), keras.layers.Dense(1)]
                )

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of a batch; `y` are the classes of the source's rows, one-hot."""
        crossentropy = keras.losses.CategoricalCrossentropy(from_logits=True)
        loss = crossentropy(y, y_pred["source"], sample_weight) + sum(self.losses)
        seen = y_pred["seen_source"], y_pred["seen_target"]
        progress = keras.ops.cast(self.optimizer.iterations, "float32") / STEPS
        joint = (
            with_answers(y_pred["seen_source"], keras.ops.softmax(y_pred["source"])),
            with_answers(y_pred["seen_target"], keras.ops.softmax(y_pred["target"])),
        )
        terms: dict[str, Callable] = {
            "deep_coral": lambda: deep_coral_loss(*seen),
            "mmd": lambda: mmd_loss(*seen),
            "dann": lambda: domain_loss(self.discriminators["dann"], *seen, progress),
            "cdan": lambda: domain_loss(self.discriminators["cdan"], *joint, progress),
            "mcc": lambda: class_confusion(y_pred["target"]),
        }  # fmt: skip
        return loss + sum(WEIGHTS[part] * terms[part]() for part in WEIGHTS if part in self.parts)


class Batches(keras.utils.PyDataset):
    """`STEPS` batches of source rows with their labels and of target rows, in an order that the seed fixes."""

    def __init__(self, source: np.ndarray, labels: np.ndarray, weights: np.ndarray, target: np.ndarray, seed: int):
        super().__init__()
        self.arrays, self.target, self.seed = (source, labels, weights), target, seed

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> tuple:
        random = np.random.default_rng([self.seed, step])  # Keras may ask for a batch twice
        ours, theirs = (random.permutation(len(rows))[:BATCH] for rows in (self.arrays[0], self.target))
        source, labels, weights = (array[ours] for array in self.arrays)
        return (source, self.target[theirs]), labels, weights


def fit(
    parts: frozenset[str], rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, target: np.ndarray,
    num_classes: int, seed: int, device: devices.Strategy,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Return kernel, bias and bottleneck (kernel and bias, or nothing): logistic regression, and its training.

    Args:
        parts: of these, those in `WEIGHTS` are trained.
        rows, labels, weights: what is labelled, (n, channels), (n,) and (n,).
        target: the new domain's rows, (m, channels), without labels.
        num_classes: number of classes.
        seed: of the initial weights and of the order.
        device: where to train.
    """
    kernel, bias = domain_heads.logistic_regression(rows, labels, weights, num_classes)
    if not parts & set(WEIGHTS):
        return kernel, bias, []
    keras.utils.set_random_seed(seed)
    with device.scope():
        model = Adaptation(rows.shape[1], num_classes, parts)
        if not model.bottleneck:
            model.head.set_weights([kernel, np.maximum(bias, -10)])
        rate = RATE if model.bottleneck else HEAD_RATE
        model.compile(optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, STEPS)))
    one_hot = np.eye(num_classes, dtype="float32")[labels]
    weights = (weights / weights.mean()).astype("float32")
    batches = Batches(rows.astype("float32"), one_hot, weights, target.astype("float32"), seed)
    model.fit(batches, epochs=1, shuffle=False, verbose=0)
    bottleneck = model.bottleneck.get_weights() if model.bottleneck else []
    return (*model.head.get_weights(), bottleneck)
