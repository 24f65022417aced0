"""How fast a model trains on this machine, from a few measured steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import keras

MEASURED = 3


def seconds(act: Callable[[], object]) -> float:
    """Return the wall-clock seconds that a call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def usual_seconds(act: Callable[[], object]) -> float:
    """Return the median seconds of three calls, after one that is not counted."""
    act()
    return statistics.median(seconds(act) for _ in range(MEASURED))


def of_training(model: keras.Model, inputs: Any, targets: Any, loss: Any = "categorical_crossentropy") -> tuple:
    """Take a few training steps on one batch, at a rate close to 0.

    Returns:
        The seconds until the first step is done, which includes tracing and compiling, and the seconds of a later step.
    """
    model.compile(keras.optimizers.Adam(1e-6), loss, metrics=["accuracy"])
    first = seconds(lambda: model.train_on_batch(inputs, targets))
    return first, statistics.median(seconds(lambda: model.train_on_batch(inputs, targets)) for _ in range(MEASURED))
