"""What a run's network has seen: whether an item is unlike all that it was trained on.

The distance of an item is 1 less the cosine of its features and those of the nearest training item (Sun et al. 2022,
Out-of-Distribution Detection with Deep Nearest Neighbors, https://arxiv.org/abs/2204.06507, with k = 1). The features
are those that the last dense layer sees. The threshold is the distance that 5 % of the validation items exceed.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib

import numpy as np

from common import files
from common.runs import finished_run, saved_model

NAME = "familiar.npz"
FALSE_ALARMS = 0.05  # the share of validation items that are called unlike
MOST_ROWS = 2000  # training items that are kept; further ones change little, and each takes 2.5 kB


@dataclasses.dataclass(frozen=True)
class Familiar:
    """The features of training items, and the distance from which on an item is unlike them.

    Attributes:
        rows: (n, channels) float16, each of length 1.
        threshold: from 0 to 2.
    """

    rows: np.ndarray
    threshold: float

    @classmethod
    def of(cls, train: np.ndarray, validation: np.ndarray) -> Familiar:
        """Return what is familiar after a training.

        Args:
            train, validation: the features of the items, (n, channels); of very many training items, some are kept.
        """
        kept = np.linspace(0, len(train) - 1, min(len(train), MOST_ROWS)).round().astype(int)
        rows = _unit(train[kept]).astype("float16")
        return cls(rows, threshold_of(cls(rows, math.inf).distances(validation)))

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return the distance of items to the nearest training item, (n,), from their features, (n, channels)."""
        return 1 - (_unit(features) @ self.rows.astype("float32").T).max(axis=1)

    def save(self, directory: pathlib.Path) -> None:
        """Write the rows and the threshold, plain numbers, into a run directory."""
        with files.replacing(directory / NAME) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=self.rows, threshold=self.threshold)

    @classmethod
    def load(cls, run: pathlib.Path, reading: saved_model.Reading) -> Familiar | None:
        """Return what is familiar to a run; None if its file is missing or belongs to another model.

        Args:
            run: the directory of a finished run, or the model.keras in it.
            reading: the run's model.

        Raises:
            UserError: the file is damaged.
        """
        path = (run if run.is_dir() else run.parent) / NAME
        if not path.is_file():
            return None
        with finished_run.sound(path.parent), np.load(path, allow_pickle=False) as stored:
            found = cls(stored["rows"], float(stored["threshold"]))
        try:
            width = reading.both.output_shape[1][-1]
        except ValueError:
            return None
        return found if found.rows.shape[1:] == (width,) else None


def threshold_of(distances: np.ndarray) -> float:
    """Return the distance that a new item of the same kind exceeds with a probability of at most `FALSE_ALARMS`.

    It is a quantile of a conformal predictor. With fewer than 19 items, it is the largest distance.
    """
    place = math.ceil((len(distances) + 1) * (1 - FALSE_ALARMS)) - 1
    return float(np.sort(distances)[min(place, len(distances) - 1)])


def _unit(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1).astype("float32")
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
