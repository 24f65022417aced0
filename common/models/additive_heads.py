"""Linear heads from sums of features, which can be added, subtracted and saved: class means and ridge regression.

The sums of two sets of samples are those of both, in any order. So a head can learn class by class, client by client or
in portions, forget samples again, and is the same as if all samples had been there at once.

Ridge regression is that of scikit-learn's `RidgeClassifier`: one target for each class, 1 for its samples and -1 for
all others, and a penalty on all weights but the bias (https://scikit-learn.org/stable/modules/linear_model.html).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np

from common import files

Linear = tuple[np.ndarray, np.ndarray]  # kernel (channels, classes) and bias (classes,)
PENALTIES = tuple(10.0 ** (power / 2) for power in range(-2, 13))  # for standardised features
SMALLEST = 1e-10  # directions that vary less than this share of the widest one are rounding
DEGREE = 1.4  # samples that each degree of freedom needs
STILL = 1e-6  # a channel whose standard deviation is below this share of the mean one is constant


# Sums ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """What a linear head needs to know of its samples.

    Attributes:
        counts: (classes,) the number of samples of each class.
        totals: (classes, channels) the sum of their features.
        products: (channels, channels) the sum of the products of all pairs of channels, over all samples.
        fingerprint: what computed the features (`features.fingerprint`); only alike sums can be added.
    """

    counts: np.ndarray
    totals: np.ndarray
    products: np.ndarray
    fingerprint: str = ""

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray, num_classes: int, fingerprint: str = "") -> Self:
        """Sum the features (n, channels) of samples of the classes `labels` (n,), in float64."""
        features = np.asarray(features, "float64")
        totals = np.zeros((num_classes, features.shape[1]))
        np.add.at(totals, labels, features)
        counts = np.bincount(labels, minlength=num_classes).astype("float64")
        return cls(counts, totals, features.T @ features, fingerprint)

    def __add__(self, other: Self) -> Self:
        """Return the sums over the samples of both."""
        self._check(other)
        return dataclasses.replace(
            self, counts=self.counts + other.counts, totals=self.totals + other.totals,
            products=self.products + other.products,
        )  # fmt: skip

    def __sub__(self, other: Self) -> Self:
        """Return the sums without the samples of the other, which must be among ours."""
        self._check(other)
        if (other.counts > self.counts).any():
            raise ValueError("there are fewer samples of a class than are to be taken away")
        return self + dataclasses.replace(other, counts=-other.counts, totals=-other.totals, products=-other.products)

    def __mul__(self, share: float) -> Self:
        """Return the sums in which each sample counts as a share of one."""
        return dataclasses.replace(
            self, counts=self.counts * share, totals=self.totals * share, products=self.products * share
        )

    def for_classes(self, num_classes: int) -> Self:
        """Return the sums with as many classes; further ones have no samples yet."""
        further = num_classes - len(self.counts)
        return dataclasses.replace(
            self, counts=np.pad(self.counts, (0, further)), totals=np.pad(self.totals, ((0, further), (0, 0)))
        )

    def _check(self, other: Self) -> None:
        if self.totals.shape != other.totals.shape:
            raise ValueError(f"sums of {self.totals.shape} and {other.totals.shape} (classes, channels) do not add up")
        if self.fingerprint != other.fingerprint:
            raise ValueError("the sums are of features of two networks, so they do not add up")

    def save(self, path: pathlib.Path) -> None:
        """Write the sums to a .npz file."""
        with files.replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, counts=self.counts, totals=self.totals, products=self.products, fingerprint=self.fingerprint)

    @classmethod
    def load(cls, path: pathlib.Path) -> Self:
        """Read the sums that `save` wrote."""
        with np.load(path, allow_pickle=False) as found:
            return cls(found["counts"], found["totals"], found["products"], str(found["fingerprint"]))


# Class means --------------------------------------------------------------------------------------------------


def class_means(sums: Sums) -> Linear:
    """Return the head that picks the nearest class mean; a class without samples is never picked.

    Minus the squared distance |x - m|² is 2 m·x - |m|² plus a term that is the same for all classes.
    """
    means = sums.totals / np.maximum(sums.counts, 1)[:, None]
    bias = np.where(sums.counts > 0, -(means**2).sum(axis=1), -np.inf)
    return 2 * means.T, bias


# Ridge regression ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Samples as ridge regression sees them: the directions in which their features vary, for all penalties at once.

    Attributes:
        count: number of samples n.
        mean, scale: (channels,) what is subtracted from the features, and what they are then divided by.
        directions: (channels, r) orthonormal columns.
        sizes: (r,) the sum of the squared features in each direction.
        along: (r, classes) the sum of the products of these features with the targets.
        target_mean: (classes,) the mean target.
    """

    count: float
    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    sizes: np.ndarray
    along: np.ndarray
    target_mean: np.ndarray

    @classmethod
    def of(cls, sums: Sums, standardise: bool = True) -> Self:
        """Compute it from sums.

        Args:
            sums: at least one sample of each of two classes.
            standardise: give all channels the same variance, as a penalty supposes; constant channels are left out.
        """
        count = sums.counts.sum()
        mean = sums.totals.sum(axis=0) / count
        centred = sums.products - count * np.outer(mean, mean)
        scale = _scale(np.sqrt(np.maximum(np.diag(centred), 0) / count), standardise)
        sizes, directions = np.linalg.eigh(centred / np.outer(scale, scale))
        kept = sizes > SMALLEST * sizes[-1]
        products = 2 * (sums.totals - sums.counts[:, None] * mean) / scale
        return cls(count, mean, scale, directions[:, kept], sizes[kept], directions[:, kept].T @ products.T,
                   2 * sums.counts / count - 1)  # fmt: skip

    @classmethod
    def of_rows(cls, features: np.ndarray, labels: np.ndarray, num_classes: int, standardise: bool = True) -> Self:
        """Compute it from the samples themselves, which is faster than from sums with fewer samples than channels."""
        count, channels = features.shape
        if count >= channels:
            return cls.of(Sums.of(features, labels, num_classes), standardise)
        features = np.asarray(features, "float64")
        mean = features.mean(axis=0)
        scale = _scale(features.std(axis=0), standardise)
        rows = (features - mean) / scale
        sizes, sides = np.linalg.eigh(rows @ rows.T)
        kept = sizes > SMALLEST * sizes[-1]
        sizes, sides = sizes[kept], sides[:, kept]
        targets = _targets(labels, num_classes)
        along = np.sqrt(sizes)[:, None] * (sides.T @ (targets - targets.mean(axis=0)))
        return cls(count, mean, scale, rows.T @ sides / np.sqrt(sizes), sizes, along, targets.mean(axis=0))

    def placed(self, features: np.ndarray) -> np.ndarray:
        """Return features (n, channels) along the directions, (n, r)."""
        return (np.asarray(features, "float64") - self.mean) / self.scale @ self.directions


def _scale(deviation: np.ndarray, standardise: bool) -> np.ndarray:
    """Return what to divide each channel by: infinity removes one that does not vary."""
    if not standardise:
        return np.ones_like(deviation)
    return np.where(deviation > STILL * deviation.mean(), deviation, np.inf)


def _targets(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return 1 for the class of each sample and -1 for the others, (n, classes)."""
    return 2.0 * np.eye(num_classes)[labels] - 1


def ridge(spectrum: Spectrum, penalty: float) -> Linear:
    """Return the head of ridge regression; its scores are near 1 for the right class and near -1 for the others."""
    weights = spectrum.along / (spectrum.sizes + penalty)[:, None]
    kernel = spectrum.directions @ weights / spectrum.scale[:, None]
    return kernel, spectrum.target_mean - spectrum.mean @ kernel


def generalised_errors(spectrum: Spectrum, penalties: Sequence[float]) -> np.ndarray:
    """Return the mean squared error of generalised cross-validation for each penalty, from the sums alone.

    It is n·RSS / (n - df)², where df counts the bias and the directions, each by how little it is shrunk (Golub, Heath
    and Wahba 1979, https://doi.org/10.1080/00401706.1979.10489751). Where df comes near n, both are near 0, and a few
    samples that are alike make the quotient too small. So a penalty that leaves less than 1 - 1/1.4 of the samples to
    judge by is infinitely bad (Kim and Gu 2004 let a degree of freedom count 1.4 times,
    https://doi.org/10.1046/j.1369-7412.2003.05316.x), unless all are.
    """
    count = spectrum.count
    total = count * (1 - spectrum.target_mean**2)  # of the squared targets about their mean
    found = []
    for penalty in penalties:
        weights = spectrum.along / (spectrum.sizes + penalty)[:, None]
        rest = total - (weights * (2 * spectrum.along - spectrum.sizes[:, None] * weights)).sum(axis=0)
        freedom = 1 + (spectrum.sizes / (spectrum.sizes + penalty)).sum()
        found.append(count * rest.mean() / (count - freedom) ** 2 if DEGREE * freedom < count else np.inf)
    if np.isinf(found).all():
        found[int(np.argmax(penalties))] = 1.0
    return np.array(found)


def left_out(
    spectrum: Spectrum, features: np.ndarray, labels: np.ndarray, penalties: Sequence[float],
    units: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the scores for each sample by the head that is fitted without it, (penalties, n, classes).

    No head is fitted again: the errors of the one head are divided by what the samples' own share in it leaves
    (Allen's PRESS). With units, such as patients, the head is fitted without the sample's whole unit. Only the scaling
    of the channels stays that of all samples.

    Args:
        spectrum: of all samples, these among them.
        features: (n, channels) of some or all samples; of a unit all or none.
        labels: (n,) their classes.
        penalties: the penalties to compute the scores for.
        units: (n,) the number of each sample's unit; default: each sample is one.
    """
    units = np.arange(len(labels)) if units is None else np.asarray(units)
    placed, targets = spectrum.placed(features), _targets(labels, len(spectrum.target_mean))
    by_size = list(_units_by_size(units))
    found = np.empty((len(penalties), *targets.shape))
    for number, penalty in enumerate(penalties):
        weights = spectrum.along / (spectrum.sizes + penalty)[:, None]
        errors = targets - placed @ weights - spectrum.target_mean
        shrunk = placed / np.sqrt(spectrum.sizes + penalty)
        for rows in by_size:  # (units of this size, samples)
            own = shrunk[rows]
            share = 1 / spectrum.count + own @ np.swapaxes(own, 1, 2)
            errors[rows] = np.linalg.solve(np.eye(rows.shape[1]) - share, errors[rows])
        found[number] = targets - errors
    return found


def _units_by_size(units: np.ndarray) -> Iterable[np.ndarray]:
    """Yield the numbers of the samples of all units with one sample, then of all with two, …, each (units, samples)."""
    order = np.argsort(units, kind="stable")
    _, sizes = np.unique(units, return_counts=True)
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        yield order[starts[sizes == size][:, None] + np.arange(size)]


def left_out_errors(
    spectrum: Spectrum, portions: Iterable[tuple[np.ndarray, ...]], penalties: Sequence[float]
) -> np.ndarray:
    """Return the mean squared error of `left_out` for each penalty, from one stream over the samples.

    Args:
        spectrum: of all samples.
        portions: (features, labels) or (features, labels, units) of some samples each; a unit is in one portion.
        penalties: the penalties to compute the errors for.
    """
    total, count = np.zeros(len(penalties)), 0
    for features, labels, *units in portions:
        scores = left_out(spectrum, features, labels, penalties, *units)
        total += ((scores - _targets(labels, scores.shape[-1])) ** 2).sum(axis=(1, 2))
        count += scores[0].size
    return total / count
