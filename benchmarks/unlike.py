"""How many photos of a class that was left out of the training are called unlike it, by backbone and method.

    python benchmarks/unlike.py photos/ --backbones MobileNetV2:0.35 MobileNetV2

Each class is left out once. Half of the photos of the others are the training photos, a quarter gives the threshold
(5 % false alarms), and a quarter shows the false alarms on new photos.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tables
import threadpoolctl
import tyro
from sklearn import covariance, linear_model, preprocessing

from common.commands import features
from common.media import photos
from common.runs import familiar
from common.training import settings


def nearest(train: np.ndarray, labels: np.ndarray, k: int):
    """Return a function of features to 1 less the cosine of the k-th nearest training photo (Sun et al. 2022)."""
    known = unit(train)
    return lambda asked: 1 - np.sort(unit(asked) @ known.T, axis=1)[:, -k]


def mahalanobis(train: np.ndarray, labels: np.ndarray):
    """Return a function of features to the distance to the nearest class mean (Lee et al. 2018), shrunk by Ledoit-Wolf.

    The features have length 1, which found more in each domain of PACS with MobileNetV2:0.35 than their own length.
    """
    train = unit(train)
    means = np.stack([train[labels == one].mean(axis=0) for one in np.unique(labels)])
    inside = train - means[np.searchsorted(np.unique(labels), labels)]
    inverse = np.linalg.inv(covariance.ledoit_wolf(inside, assume_centered=True)[0])
    # x'Px - 2x'Pm + m'Pm for all means at once
    own = np.einsum("ij,ij->i", means @ inverse, means)

    def distance(asked: np.ndarray) -> np.ndarray:
        asked = unit(asked)
        turned = asked @ inverse
        return (np.einsum("ij,ij->i", turned, asked)[:, None] - 2 * turned @ means.T + own).min(axis=1)

    return distance


def least_probable(train: np.ndarray, labels: np.ndarray):
    """Return a function of features to 1 less the highest probability of logistic regression (Hendrycks 2017)."""
    scaler = preprocessing.StandardScaler().fit(train)
    model = linear_model.LogisticRegression(C=0.01, max_iter=300).fit(scaler.transform(train), labels)
    return lambda asked: 1 - model.predict_proba(scaler.transform(asked)).max(axis=1)


METHODS = {
    "nearest": lambda train, labels: nearest(train, labels, 1),
    "fifth nearest": lambda train, labels: nearest(train, labels, 5),
    "Mahalanobis": mahalanobis,
    "probability": least_probable,
}


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The data and the networks."""

    data: tyro.conf.Positional[tuple[pathlib.Path, ...]]  # folders of class folders; each is a data set of its own
    backbones: tuple[str, ...] = ("MobileNetV2:0.35", "MobileNetV2")  # as in the recipes
    weights: tuple[str, ...] = ()  # a file of weights for each backbone; imagenet for those of Keras
    cache: pathlib.Path | None = None  # the folder of the cache


def main(config: Config) -> None:
    """Print a table: for each backbone and method, the false alarms and the share found, median and range of classes.

    The lines before it also have the means.
    """
    rows = []
    for number, backbone in enumerate(config.backbones):
        given = config.weights[number] if config.weights else None
        own = settings.PhotoConfig(data=str(config.data[0]), backbone=backbone, weights=given, cache=config.cache)
        for folder in config.data:
            paths, found = features.of_photos(list(map(str, photos.PHOTOS.found([folder]))), own)
            labels = np.array([pathlib.Path(path).parent.name for path in paths])
            for name, method in METHODS.items():
                with threadpoolctl.threadpool_limits(1):
                    pairs = [left_out(found.astype("float64"), labels, one, method) for one in np.unique(labels)]
                false, seen = zip(*pairs, strict=True)
                rows.append([backbone, folder.name, name, *map(tables.median_and_range, (false, seen))])
                print(*rows[-1], f"{np.mean(false):.3f} {np.mean(seen):.3f}", flush=True)
    print(tables.markdown(["backbone", "data", "method", "false alarms", "left-out class found"], rows))


def left_out(rows: np.ndarray, labels: np.ndarray, one: str, method) -> tuple[float, float]:
    """Return the shares of new photos of known classes and of the photos of a left-out class that are called unlike."""
    kept = np.random.default_rng(0).permutation(np.flatnonzero(labels != one))
    train, validation, test = np.split(kept, [len(kept) // 2, 3 * len(kept) // 4])
    distance = method(rows[train], labels[train])
    threshold = familiar.threshold_of(distance(rows[validation]))
    return tuple(float((distance(rows[part]) > threshold).mean()) for part in (test, np.flatnonzero(labels == one)))


if __name__ == "__main__":
    main(tyro.cli(Config))
