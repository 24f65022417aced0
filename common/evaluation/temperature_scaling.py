"""Temperature scaling: probabilities as confident as they are right, by one number fitted on validation samples.

Guo et al. 2017, https://arxiv.org/abs/1706.04599.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

LOWEST_PROBABILITY = 1e-12
LONGEST_TEMPERATURE, SHORTEST_TEMPERATURE = 20.0, 0.05


def soften(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Return the softmax probabilities (…, k) after dividing the logits by `temperature`; above 1 lowers confidence."""
    logits = np.log(np.maximum(np.asarray(probabilities, float), LOWEST_PROBABILITY)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_loss(looks: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Return the mean log loss in nats, at a temperature; arguments as for `fit_temperature`."""
    chosen = soften(looks, temperature).mean(axis=0)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, LOWEST_PROBABILITY)).mean())


def fit_temperature(looks: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the lowest log loss on these (validation) samples.

    Args:
        looks: (m, n, k) floats, the probabilities for m views of each sample; the prediction is their mean.
        labels: (n,) class indices.
    """
    limits = np.log([SHORTEST_TEMPERATURE, LONGEST_TEMPERATURE])
    found = optimize.minimize_scalar(
        lambda logarithm: log_loss(looks, labels, np.exp(logarithm)), bounds=limits, method="bounded"
    )
    return float(np.exp(found.x))
