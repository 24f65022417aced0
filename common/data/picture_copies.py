"""Copies of one picture: saved again, smaller, in other colours, turned, mirrored or framed; the pixels count."""

import base64
from collections.abc import Iterator, Mapping

import numpy as np

from common.media import medium as media

# Correlation of the details of two pictures of 32 x 32 grey pixels. Of photos saved again in half their size with JPEG
# quality 60, 94 to 100 % reach it, and so do 10 of HAM10000's 50 million pairs of two lesions.
ALIKE = 0.95
ALIKE_COARSELY = 0.9  # on 16 x 16 pixels, to compare fewer
CELLS = 8  # per side; details are the differences from the mean of a cell, so that light and shade do not count
FAINT = 1.0  # grey levels: pictures with fainter details are blank
BLOCK = 1024  # pictures compared with all others at a time
MOST_NEAR = 200  # of these, compared in full with each; more are a fixed camera's, and are no copies


def pairs(facts: Mapping[str, media.Facts], label_of: Mapping[str, str] | None = None) -> list[tuple[str, str, float]]:
    """Return pairs of files that show one picture, with their similarity, the most similar first.

    Files of the same content are not compared. Media without a small picture in their facts have no pairs.

    Args:
        facts: the result of `file_checks.scan`.
        label_of: path → class. Pictures of two classes that are alike only when turned or mirrored are no copies: what
            is seen may be the direction, as of arrows.
    """
    path_of: dict[str, str] = {}
    for path, each in facts.items():
        if each.small:
            path_of.setdefault(each.sha256, path)
    paths = list(path_of.values())
    if len(paths) < 2:
        return []
    small = np.stack([np.frombuffer(base64.b64decode(facts[path].small), "uint8") for path in paths])
    side = round(small.shape[1] ** 0.5)
    details = _details(small.reshape(-1, side, side).astype("float32"))
    clear = np.sqrt((details**2).mean(axis=(1, 2))) >= FAINT
    paths, details = [path for path, is_clear in zip(paths, clear, strict=True) if is_clear], details[clear]
    best: dict[tuple[int, int], float] = {}
    labels = [label_of[path] if label_of else "" for path in paths]
    for number, turned in enumerate(_turns(details)):
        for first, second, likeness in _alike(details, turned):
            if number == 0 or labels[first] == labels[second]:
                best[first, second] = max(likeness, best.get((first, second), 0.0))
    found = [(paths[first], paths[second], round(likeness, 4)) for (first, second), likeness in best.items()]
    return sorted(found, key=lambda pair: (-pair[2], pair[:2]))


def _turns(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pictures (n, side, side) turned by 0, 90, 180 and 270 degrees, each also mirrored."""
    for quarter in range(4):
        turned = np.rot90(pictures, quarter, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _details(pictures: np.ndarray) -> np.ndarray:
    """Return pictures (n, side, side) less the mean of each cell."""
    size = pictures.shape[1] // CELLS
    means = pictures.reshape(-1, CELLS, size, CELLS, size).mean(axis=(2, 4))
    return pictures - means.repeat(size, axis=1).repeat(size, axis=2)


def _alike(details: np.ndarray, others: np.ndarray) -> list[tuple[int, int, float]]:
    """Return the pairs (i, j), i < j, of which `details[i]` and `others[j]` correlate, and their correlations."""
    coarse, other_coarse = (_unit(each.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))) for each in (details, others))
    fine, other_fine = _unit(details), _unit(others)
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(details), BLOCK):
        near = np.triu(coarse[start : start + BLOCK] @ other_coarse[start:].T >= ALIKE_COARSELY, 1)
        if near.sum() > MOST_NEAR * len(near):
            near &= near.cumsum(axis=1, dtype="int32") <= MOST_NEAR
        first, second = (each + start for each in np.nonzero(near))
        likeness = np.einsum("ij,ij->i", fine[first], other_fine[second])
        alike = likeness >= ALIKE
        found += zip(first[alike].tolist(), second[alike].tolist(), likeness[alike].tolist(), strict=True)
    return found


def _unit(pictures: np.ndarray) -> np.ndarray:
    """Return pictures as rows of length 1."""
    rows = pictures.reshape(len(pictures), pictures.shape[1] * pictures.shape[2])
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
