"""Heads for two domains on pooled features, in closed form or by scikit-learn: plain arrays, no network.

In all functions, `source` and `target` are features (n, channels) and (m, channels), standardised already.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import keras
import numpy as np

from common.data import domains as data_domains

PENALTY = 0.01  # scikit-learn's C of logistic regression on standardised features
SHRINKAGE = 1.0  # added to both covariances, whose diagonal is about 1; few items do not tell a covariance
SHARES = (0.25, 0.5, 0.75, 1.0)  # of each predicted class, its surest items, that get a pseudo-label round by round
TINY = 1e-6

Head = tuple[np.ndarray, np.ndarray]  # kernel (channels, classes) and bias (classes,) of a softmax layer


@dataclasses.dataclass(frozen=True)
class Features:
    """The pooled features of both domains.

    Attributes:
        domains: the items.
        source: side → (n, channels).
        adapting: the new domain's items that are adapted to, (n, channels), in the order of `domains.paths()`.
        test: those that are tested, (n, channels); none if the new domain has no labels.
    """

    domains: data_domains.Domains
    source: dict[str, np.ndarray]
    adapting: np.ndarray
    test: np.ndarray

    @property
    def source_labels(self) -> np.ndarray:
        """The class indices of the source's training items."""
        return self.domains.source.labels("train")


def statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance of each channel, (channels,) each; a constant channel has a variance of 1."""
    variance = rows.var(axis=0)
    return rows.mean(axis=0), np.where(variance > TINY, variance, 1.0)


def standardised(rows: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return rows as `keras.layers.Normalization` with this mean and variance does."""
    return (rows - mean) / np.sqrt(variance)


def coral(
    source: np.ndarray, target: np.ndarray, rows: np.ndarray | None = None, shrinkage: float = SHRINKAGE
) -> np.ndarray:
    """Return features of the source with the mean and the covariance of the target: correlation alignment.

    (x - mean) C_s^(-1/2) C_t^(1/2) + the target's mean, with C = covariance + shrinkage · I (Sun, Feng and Saenko 2016,
    Return of Frustratingly Easy Domain Adaptation, https://arxiv.org/abs/1511.05547, where it is 1).

    Args:
        rows: other features of the source to map, such as those of its validation items; default: `source`.
    """
    white = _power(np.cov(source.T) + shrinkage * np.eye(source.shape[1]), -0.5)
    colour = _power(np.cov(target.T) + shrinkage * np.eye(source.shape[1]), 0.5)
    return ((source if rows is None else rows) - source.mean(0)) @ white @ colour + target.mean(0)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, TINY) ** exponent) @ vectors.T


def logistic_regression(rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, num_classes: int) -> Head:
    """Fit multinomial logistic regression with a fixed penalty.

    Args:
        rows: (n, channels).
        labels: (n,) class indices; a class without a row gets a bias so low that it is never the answer.
        weights: (n,), the weight of each row.
        num_classes: number of classes.
    """
    import threadpoolctl  # here, as in `linear_heads`: the import takes a second
    from sklearn import exceptions, linear_model

    # Aligned features may differ much in scale; after 1000 steps, the answers hardly change any more.
    ignored = warnings.catch_warnings(action="ignore", category=exceptions.ConvergenceWarning)
    with threadpoolctl.threadpool_limits(1), ignored:
        model = linear_model.LogisticRegression(C=PENALTY, max_iter=1000).fit(rows, labels, sample_weight=weights)
    kernel, bias = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn returns the logit of the second class only
        kernel, bias = np.hstack([-kernel / 2, kernel / 2]), np.concatenate([-bias / 2, bias / 2])
    whole = np.zeros((rows.shape[1], num_classes)), np.full(num_classes, -1e3)
    whole[0][:, model.classes_], whole[1][model.classes_] = kernel, bias
    return whole


def surest(probabilities: np.ndarray, share: float) -> np.ndarray:
    """Return the places of the surest answers: a share of those of each predicted class, at least one of each.

    Args:
        probabilities: (n, classes).
        share: above 0, at most 1.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    kept = []
    for number in np.unique(predicted):
        places = np.flatnonzero(predicted == number)
        order = places[np.argsort(-confidence[places], kind="stable")]
        kept.append(order[: int(np.ceil(share * len(order)))])
    return np.sort(np.concatenate(kept))


@dataclasses.dataclass
class Adapted:
    """What a method has fitted: the weights of the layers behind the standardisation, and what they were fitted on.

    Attributes:
        kernel, bias: of the softmax layer.
        bottleneck: kernel and bias of the layer before it; empty for none.
        mean, variance: the standardisation of the new domain.
        source: makes the source's pooled features into what the head was fitted on.
    """

    kernel: np.ndarray
    bias: np.ndarray
    bottleneck: list[np.ndarray]
    mean: np.ndarray
    variance: np.ndarray
    source: Callable[[np.ndarray], np.ndarray]

    @property
    def units(self) -> int:
        """The units of the bottleneck; 0 without one."""
        return self.bottleneck[0].shape[1] if self.bottleneck else 0

    def copy_into(self, model: keras.Model) -> None:
        """Set the weights of a model's layers `probabilities` and, if there is one, `bottleneck`."""
        model.get_layer("probabilities").set_weights([self.kernel, self.bias])
        if self.bottleneck:
            model.get_layer("bottleneck").set_weights(self.bottleneck)

    def target(self, features: np.ndarray) -> np.ndarray:
        """Return pooled features of the new domain, standardised."""
        return standardised(features, self.mean, self.variance)

    def seen(self, rows: np.ndarray) -> np.ndarray:
        """Return what the softmax layer sees of standardised rows."""
        return np.maximum(rows @ self.bottleneck[0] + self.bottleneck[1], 0) if self.bottleneck else rows

    def answers(self, rows: np.ndarray) -> np.ndarray:
        """Return the probabilities of standardised rows, (n, classes)."""
        logits = self.seen(rows) @ self.kernel + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
