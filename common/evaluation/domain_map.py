"""A map of two domains: their photos in the plane by t-SNE, before and after the adaptation."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import files

NAME = "domains.csv"
COLUMNS = ("path", "domain", "label", "predicted", "x_before", "y_before", "x_after", "y_after")
MOST_PHOTOS = 300  # of each domain; more are slow, and hide each other
PERPLEXITY = 30.0  # scikit-learn's default; less with few photos


def embed(source: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    """Return the places of both domains in one plane, (n + m, 2), by t-SNE.

    van der Maaten and Hinton 2008, Visualizing Data using t-SNE, JMLR 9. Near photos stay near; the distances between
    clusters and their sizes mean nothing.

    Args:
        source, target: features (n, channels) and (m, channels), at least four together.
        seed: seed of the descent.
    """
    import threadpoolctl
    from sklearn import decomposition, manifold

    rows = np.concatenate([source, target]).astype("float32")
    with threadpoolctl.threadpool_limits(1):
        small = decomposition.PCA(min(50, *rows.shape), random_state=seed).fit_transform(rows)
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        return manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(small)


def write(
    directory: pathlib.Path, domains: Any, class_names: Sequence[str], before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray], answers: np.ndarray, seed: int,
) -> None:  # fmt: skip
    """Write domains.csv: the source's training photos and the new domain's adapting ones, in the plane.

    The labels of the new domain are those of its folders, for the picture only; "" without any.

    Args:
        directory: the run directory.
        domains: a `domains.Domains`.
        class_names: the classes in the order of the answers.
        before, after: features of the source and of the new domain, (n, channels) and (m, channels).
        answers: probabilities of the new domain's photos, (m, classes).
        seed: chooses the photos, of more than `MOST_PHOTOS`.
    """
    random = np.random.default_rng(seed)
    kept = [np.sort(random.permutation(len(rows))[:MOST_PHOTOS]) for rows in before]
    places = [embed(source[kept[0]], target[kept[1]], seed) for source, target in (before, after)]
    theirs = domains.paths()
    told = [(one.path, "source", one.label, "") for one in (domains.source.train[number] for number in kept[0])]
    told += [
        (theirs[number], domains.name, domains.labels.get(theirs[number], ""), class_names[answers[number].argmax()])
        for number in kept[1]
    ]
    points = np.round(np.concatenate(places, axis=1), 3).tolist()
    files.write_csv(directory / NAME, list(COLUMNS), [[*one, *point] for one, point in zip(told, points, strict=True)])
