"""Boxes as targets: which things are where in a photo, in the square that a network sees, and back in the photo."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from common.data import box_annotations, sample_list, targets

ASPECTS = ("pad", "squash")
EMPTY = -1.0  # the class of a row that only fills an array
LEAST_LEFT = 0.3  # of a box's area inside of an augmented view, for the box to count


def square(size: tuple[int, int], aspect: str) -> np.ndarray:
    """Return the width and height of a photo, and its left and top, as fractions of the network's square, (2, 2).

    `pad` puts the same border on both sides, as `keras.layers.Resizing` does; if an odd number of pixels is missing,
    what is padded is a pixel shorter than the longer side.

    Args:
        size: width and height in pixels.
        aspect: `pad` or `squash`, as for `raw_input.resizing`.
    """
    sides = np.array(size, float)
    if aspect == "squash":
        return np.array([[1.0, 1.0], [0.0, 0.0]])
    border = np.floor((sides.max() - sides) / 2)
    return np.stack([sides, border]) / (sides + 2 * border)


def to_square(corners: np.ndarray, size: tuple[int, int], aspect: str) -> np.ndarray:
    """Return boxes (n, 4) in pixels of a photo as fractions of the network's square: left, top, right, bottom."""
    scale, shift = square(size, aspect)
    return corners / np.tile(size, 2) * np.tile(scale, 2) + np.tile(shift, 2)


def from_square(corners: np.ndarray, size: tuple[int, int], aspect: str) -> np.ndarray:
    """Return boxes (n, 4) in fractions of the network's square as pixels of the photo, inside of the photo."""
    scale, shift = square(size, aspect)
    pixels = (corners - np.tile(shift, 2)) / np.tile(scale, 2) * np.tile(size, 2)
    return np.clip(pixels, 0, np.tile(size, 2))


def moved(rows: np.ndarray, mirrored: bool, zoom: float) -> np.ndarray:
    """Return the rows (n, 5) of a view that was mirrored left to right, or enlarged by `zoom` around its middle.

    A box of which less than `LEAST_LEFT` is still inside of the square becomes an empty row.

    Args:
        rows: class, left, top, right, bottom in fractions of the square; empty rows have the class `EMPTY`.
    """
    corners = rows[:, 1:].astype(float)
    if mirrored:
        corners = np.stack([1 - corners[:, 2], corners[:, 1], 1 - corners[:, 0], corners[:, 3]], axis=1)
    corners = (corners - 0.5) * zoom + 0.5
    inside = np.clip(corners, 0, 1)
    left = _area(inside) / np.maximum(_area(corners), 1e-12)
    labels = np.where((rows[:, 0] >= 0) & (left >= LEAST_LEFT), rows[:, 0], EMPTY)
    return np.concatenate([labels[:, None], inside], axis=1).astype("float32")


def _area(corners: np.ndarray) -> np.ndarray:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


@dataclasses.dataclass(frozen=True)
class Boxes(targets.Targets):
    """Boxes of classes; the index of a class is its position in the list.

    Attributes:
        box_classes: sorted; empty before a data set is seen.
        aspect: how photos become square: `pad` or `squash`.
        threshold: the score from which on a box counts as found.
        overlap: the intersection over union from which on two boxes of a class are one.
    """

    name = "boxes"
    shown = ("found",)
    needed = "a detector needs photos with boxes"

    box_classes: tuple[str, ...] = ()
    aspect: str = "pad"
    threshold: float = 0.3
    overlap: float = 0.6

    def __post_init__(self) -> None:
        object.__setattr__(self, "box_classes", tuple(self.box_classes))

    def seen(self, samples: Sequence[sample_list.Sample]) -> Self:
        found = {box.label for sample in samples for box in box_annotations.boxes_of(sample)}
        return dataclasses.replace(self, box_classes=tuple(sorted(found)))

    def enough(self, samples: Sequence[sample_list.Sample]) -> bool:
        return any(box_annotations.boxes_of(sample) for sample in samples)

    def of(self, sample: sample_list.Sample) -> np.ndarray:
        """Return the rows of a sample: class index, and the edges in fractions of the network's square, (n, 5)."""
        boxes = box_annotations.boxes_of(sample)
        if not boxes:
            return np.zeros((0, 5), "float32")
        size = box_annotations.size_of(sample)
        corners = to_square(np.array([box.edges for box in boxes], float), size, self.aspect)
        labels = [[self.box_classes.index(box.label)] for box in boxes]
        return np.concatenate([labels, corners], axis=1).astype("float32")

    def array(self, samples: Sequence[sample_list.Sample]) -> np.ndarray:
        """Return the rows of samples, (n, most, 5), filled up with empty rows."""
        rows = [self.of(sample) for sample in samples]
        filled = np.full((len(rows), max([1, *map(len, rows)]), 5), EMPTY, "float32")
        for number, each in enumerate(rows):
            filled[number, : len(each)] = each
        return filled

    def encoded(self, values: Any) -> tf.Tensor:
        return tf.cast(values, tf.float32)

    def truth(self, sample: sample_list.Sample) -> np.ndarray:
        """Return the true boxes of a sample in pixels of its photo: left, top, right, bottom, class index, (n, 5)."""
        rows = [[*box.edges, self.box_classes.index(box.label)] for box in box_annotations.boxes_of(sample)]
        return np.array(rows, float).reshape(-1, 5)

    def in_photo(self, found: np.ndarray, size: tuple[int, int], least: float | None = None) -> np.ndarray:
        """Return found boxes in pixels of a photo, the surest first, (n, 6).

        Args:
            found: (m, 6) boxes in fractions of the square with score and class index, as `detector.suppressed` gives.
            size: width and height of the photo.
            least: the least score; default: the threshold.
        """
        kept = found[found[:, 4] >= max(self.threshold if least is None else least, 1e-9)]
        return np.concatenate([from_square(kept[:, :4], size, self.aspect), kept[:, 4:]], axis=1)

    def judged(self, sample: sample_list.Sample, output: np.ndarray) -> dict:
        """Return the true and the found number of each class, for predictions.csv."""
        found = collections.Counter(self.in_photo(output, box_annotations.size_of(sample))[:, 5].astype(int).tolist())
        true = collections.Counter(box.label for box in box_annotations.boxes_of(sample))
        row: dict[str, Any] = {"label": sample.label}
        for number, name in enumerate(self.box_classes):
            row |= {f"true_{name}": true[name], f"found_{name}": found[number]}
        return row

    def summary(self, samples: Sequence[sample_list.Sample]) -> dict:
        counts = collections.Counter(box.label for sample in samples for box in box_annotations.boxes_of(sample))
        return {"n": len(samples)} | {name: counts[name] for name in self.box_classes}

    def about(self) -> dict:
        return dataclasses.asdict(self) | {"box_classes": list(self.box_classes)}

    @property
    def named(self) -> tuple[str, ...]:
        return self.box_classes

    def described(self) -> dict:
        """Return what the answers of all places are, and how boxes in the photo are made of them, as `predict` does."""
        inside = "the whole photo"
        if self.aspect == "pad":
            inside = "the photo with a border of floor((longer - shorter side) / 2) pixels along both longer sides"
        return {
            "is": "for each place, the left, top, right and bottom edge of a box in fractions of `square`, then a "
            "score for each of class_names",
            "square": inside,
            "threshold": self.threshold,
            "overlap": self.overlap,
            "after": "keep the boxes with a score of at least `threshold`; of those of one class whose intersection "
            "over union is above `overlap`, keep the one with the higher score",
        }
