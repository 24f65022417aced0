"""How well features of a pretrained network suit a task, in seconds and without training: three scores.

All three need the features and the classes only. A photo never counts for itself, nor does another photo of its unit,
such as a second photo of one patient: both would flatter every network, and not all of them equally.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import threadpoolctl

from common.models import additive_heads

NEIGHBOURS = 10
BLOCK = 500  # samples whose neighbours are searched at a time
FEW = 2_000  # photos or channels: one thread is enough
STEPS, CONVERGED = 100, 1e-5  # of LogME; it needs about five


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The scores of the features of one network.

    Attributes:
        right: (n,) 1 where ridge regression that is fitted without the photo's unit answers right, else 0.
        ridge: the share of right answers, 0 to 1: the default score.
        penalty: the penalty of ridge regression, that with the smallest left-out squared error.
        nearest: the share of right answers of the nearest neighbours, 0 to 1.
        log_evidence: LogME, a mean log density; larger is better, also below 0.
        seconds: the time that the scores took.
    """

    right: np.ndarray
    ridge: float
    penalty: float
    nearest: float
    log_evidence: float
    seconds: float


def scores(features: np.ndarray, labels: np.ndarray, units: np.ndarray) -> Scores:
    """Compute the scores of one network's features.

    Args:
        features: (n, channels) floats.
        labels: (n,) class indices; each class occurs in at least two units.
        units: (n,) the number of each photo's unit.
    """
    started = time.perf_counter()
    # Small matrices gain nothing from more threads, which wait for each other: 12 seconds, not 0.4, beside other work.
    with threadpoolctl.threadpool_limits(1 if min(features.shape) < FEW else None):
        spectrum = additive_heads.Spectrum.of_rows(features, labels, labels.max() + 1)
        answers, penalty = left_out_answers(spectrum, features, labels, units)
        near = nearest_neighbours(features, labels, units) == labels
        evidence = log_evidence(features, labels)
    right = (answers == labels).astype(int)
    seconds = time.perf_counter() - started
    return Scores(right, float(right.mean()), penalty, float(near.mean()), evidence, seconds)


def left_out_answers(
    spectrum: additive_heads.Spectrum, features: np.ndarray, labels: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the answer for each photo by ridge regression without its unit, (n,), and the penalty.

    The penalty is that with the smallest squared error of these answers' scores, as in scikit-learn's
    `RidgeClassifierCV`.
    """
    found = additive_heads.left_out(spectrum, features, labels, additive_heads.PENALTIES, units)
    targets = 2 * np.eye(found.shape[-1])[labels] - 1
    best = int(((found - targets) ** 2).mean(axis=(1, 2)).argmin())
    return found[best].argmax(axis=1), additive_heads.PENALTIES[best]


def nearest_neighbours(
    features: np.ndarray, labels: np.ndarray, units: np.ndarray, count: int = NEIGHBOURS
) -> np.ndarray:
    """Return the most frequent class among the photos of other units with the largest cosine similarity, (n,).

    Of equally frequent classes, the one with the more similar photos is returned. In 42,000 experiments, nearest
    neighbours ranked networks better than published scores did (https://arxiv.org/abs/2503.18528).
    """
    rows = np.asarray(features, "float32")
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    classes = np.eye(labels.max() + 1)[labels]
    count = min(count, len(rows) - 1)
    found = []
    for start in range(0, len(rows), BLOCK):
        similarity = rows[start : start + BLOCK] @ rows.T
        similarity[units[start : start + BLOCK, None] == units] = -np.inf
        near = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        similar = np.take_along_axis(similarity, near, axis=1)
        votes = np.where(np.isfinite(similar), 1 + similar / (2 * count), 0)
        found.append((votes[..., None] * classes[near]).sum(axis=1).argmax(axis=1))
    return np.concatenate(found)


def log_evidence(features: np.ndarray, labels: np.ndarray) -> float:
    """Return LogME: the log of the maximum evidence of linear regression to each class, a mean per photo.

    The weights have a Gaussian prior and the targets (1 for the class, else 0) Gaussian noise. The evidence is
    maximised over the precisions of both by fixed-point steps (You et al. 2021, https://arxiv.org/abs/2102.11005).

    Args:
        features: (n, channels) floats, as they are: LogME subtracts no mean.
        labels: (n,) class indices.
    """
    rows = np.asarray(features, "float64")
    count, channels = rows.shape
    small = rows @ rows.T if count < channels else rows.T @ rows
    sizes, directions = np.linalg.eigh(small)
    kept = sizes > additive_heads.SMALLEST * sizes[-1]
    sizes, directions = sizes[kept], directions[:, kept]
    sides = directions if count < channels else rows @ directions / np.sqrt(sizes)
    found = []
    for number in range(labels.max() + 1):
        target = (labels == number).astype("float64")
        along = (sides.T @ target) ** 2
        rest = max(target @ target - along.sum(), 0.0)  # what no weights can explain
        found.append(_largest_evidence(sizes, along, rest, count, channels) / count)
    return float(np.mean(found))


def _largest_evidence(sizes: np.ndarray, along: np.ndarray, rest: float, count: int, channels: int) -> float:
    """Return the log evidence at its maximum over the precisions of the prior and of the noise."""
    prior = noise = 1.0
    for _ in range(STEPS):
        ratio = prior / noise
        used = (sizes / (sizes + ratio)).sum()
        weights = (sizes * along / (sizes + ratio) ** 2).sum()
        error = (along * (ratio / (sizes + ratio)) ** 2).sum() + rest
        prior, noise = used / (weights + 1e-12), (count - used) / (error + 1e-12)
        if abs(prior / noise - ratio) <= CONVERGED * ratio:
            break
    ratio = prior / noise
    weights = (sizes * along / (sizes + ratio) ** 2).sum()
    error = (along * (ratio / (sizes + ratio)) ** 2).sum() + rest
    log_determinant = np.log(prior + noise * sizes).sum() + (channels - len(sizes)) * np.log(prior)
    return float(
        channels / 2 * np.log(prior) + count / 2 * np.log(noise / (2 * np.pi)) - log_determinant / 2
        - noise / 2 * error - prior / 2 * weights
    )  # fmt: skip
