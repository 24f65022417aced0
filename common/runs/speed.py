"""How fast this machine reads items and trains a model, from a few measured batches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras

from common.data import pipeline
from common.media import augmentation as augmentations
from common.media import medium as media
from common.models import backbones

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


def of_answer(model: keras.Model, looks: Sequence[Any]) -> float:
    """Return the seconds that a model takes for the looks at one item, (height, width, 3) each, one after the other."""
    return usual_seconds(lambda: [model.predict_on_batch(look[None]) for look in looks])


def of_training(model: keras.Model, inputs: Any, targets: Any, loss: Any = "categorical_crossentropy") -> tuple:
    """Take a few training steps on one batch, at a rate close to 0.

    Returns:
        The seconds until the first step is done, which includes tracing and compiling, and the seconds of a later step.
    """
    metrics = ["accuracy"] if loss == "categorical_crossentropy" else None
    model.compile(keras.optimizers.Adam(1e-6), loss, metrics=metrics)
    first = seconds(lambda: model.train_on_batch(inputs, targets))
    return first, statistics.median(seconds(lambda: model.train_on_batch(inputs, targets)) for _ in range(MEASURED))


def of_epoch(step: float, train_steps: int, val_steps: int) -> float:
    """Return the seconds of an epoch; a validation step takes a third of a training step: it has no backward pass."""
    return step * (train_steps + val_steps / 3)


def batches(
    paths: Sequence[str], backbone: backbones.Backbone, medium: media.Medium, batch_size: int,
    augmentation: augmentations.Augmentation | None = None,
) -> list:  # fmt: skip
    """Return items as the network takes them, in batches, changed at random if an augmentation is given."""
    looks = [media.Look(0) if augmentation else media.PLAIN] * len(paths)
    seeds = [(0, number) for number in range(len(paths))] if augmentation else None
    return list(
        pipeline.look_batches(
            paths, looks, backbone.resize, batch_size, backbone.preprocess, medium, augmentation, seeds
        )
    )


def of_reading(paths: Sequence[str], *arguments: Any) -> float:
    """Return the seconds to read an item, and to change it if an augmentation is given; arguments as for `batches`."""
    return usual_seconds(lambda: batches(paths, *arguments)) / len(paths)
