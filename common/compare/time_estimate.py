"""Estimates of the training time on this machine, from a few measured steps."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from common import words
from common.data import pipeline
from common.media import augmentation as augmentations
from common.media import medium as media
from common.models import backbones, cut, freezing
from common.runs import speed

FINISHING_SECONDS = 3.0  # the part of evaluation, saving and report of a trial that does not grow with the network


@dataclasses.dataclass(frozen=True)
class Work:
    """What a trial does, as far as its time depends on it.

    Attributes:
        counts: side of the split → its number of photos.
        batch_size: photos per step.
        views: looks at each training photo that are cached, more than 1 only with augmentation.
        augmented: whether training photos are changed at random.
        live: whether nothing is cached, so that every epoch reads the photos and runs the whole network.
    """

    counts: dict[str, int]
    batch_size: int
    views: int
    augmented: bool
    live: bool

    @property
    def rows(self) -> int:
        """The number of looks at photos of all sides."""
        return sum(self.counts.values()) + (self.views - 1) * self.counts["train"]


@dataclasses.dataclass(frozen=True)
class Speed:
    """The cost of a network on this machine, in seconds.

    Attributes:
        build: the time to build the network and load its weights.
        read: the time to read a photo.
        change: the time to read a photo and change it at random.
        forward: the time of one photo through the whole network.
        start: (index of the first layer that trains, live) → the time of the first training step (with tracing).
        step: likewise → the time of a training step on a batch, of cached features or, if live, of pixels.
        stages: name of a strategy → its training stages in order, each as (index of the first layer, epochs).
    """

    build: float
    read: float
    change: float
    forward: float
    start: dict[tuple[int, bool], float]
    step: dict[tuple[int, bool], float]
    stages: dict[str, list[tuple[int, int]]]

    def of_trial(self, strategy: str, work: Work) -> float:
        """Return the estimated seconds of a trial whose features are in the cache, if it uses the cache."""
        steps, validated = (pipeline.steps(work.counts[side], work.batch_size) for side in ("train", "validation"))
        reading = work.counts["train"] * (self.change if work.augmented else self.read)
        reading += work.counts["validation"] * self.read
        seconds = 2 * self.build + 30 * self.forward + FINISHING_SECONDS
        for first, epochs in self.stages[strategy]:
            # A step without the backward pass takes about a third of the time.
            epoch = self.step[first, work.live] * (steps + validated / 3)
            seconds += self.start[first, work.live] + epochs * (epoch + (reading if work.live or first <= 1 else 0.0))
        passes = 2 - bool(self.stages[strategy])  # a probe computes its features, and all predict every side
        return seconds + (passes * self.of_features(work) if work.live else 0.0)

    def of_features(self, work: Work) -> float:
        """Return the estimated seconds of all photos through the frozen network, in all views."""
        changed = work.counts["train"] * work.views if work.augmented else 0
        return work.rows * (self.forward + self.read) + changed * (self.change - self.read)


def measure(
    backbone: backbones.Backbone, build: float, model: keras.Model, stages: dict[str, list],
    needed: Iterable[tuple[int, bool]], reading: dict[str, float], batch_size: int,
) -> Speed:  # fmt: skip
    """Measure a few steps on random pixels and features.

    Args:
        backbone: the network.
        build: the seconds that building it took.
        model: a classifier built on the network; it is trained on noise here.
        stages: name of a strategy → (index of the first layer that trains, epochs) of each of its stages;
            `len(backbone.model.layers)` is the head alone.
        needed: (index of the first layer that trains, live) of every training to measure.
        reading: `read` and `change`, the seconds of a photo.
        batch_size: photos per step.
    """
    pixels = np.random.default_rng(0).normal(size=(batch_size, *backbone.model.input_shape[1:])).astype("float32")
    labels = np.eye(model.output_shape[-1], dtype="float32")[np.zeros(batch_size, int)]
    forward = speed.usual_seconds(lambda: backbone.model.predict_on_batch(pixels)) / batch_size
    start, step = {}, {}
    for first, live in sorted(needed, reverse=True):
        freezing.unfreeze(backbone.model, first)
        part = cut.cut(model)
        arrays = [np.zeros((batch_size, *tensor.shape[1:]), "float32") for tensor in part.tensors]
        trained, given = (model, pixels) if live else (part.suffix, arrays if len(arrays) > 1 else arrays[0])
        start[first, live], step[first, live] = speed.of_training(trained, given, labels)
    return Speed(build, reading["read"], reading["change"], forward, start, step, stages)


def of_reading(
    paths: Sequence[str], backbone: backbones.Backbone, medium: media.Medium, batch_size: int,
    augmentation: augmentations.Augmentation,
) -> dict[str, float]:  # fmt: skip
    """Measure the seconds to `read` a photo and to `change` it, on some photos, as a recipe does."""

    def read(changed: bool) -> None:
        looks = [media.Look(0) if changed else media.PLAIN] * len(paths)
        batches = pipeline.look_batches(
            paths, looks, backbone.resize, batch_size, backbone.preprocess, medium,
            augmentation if changed else None, [(0, number) for number in range(len(paths))] if changed else None,
        )  # fmt: skip
        for _ in batches:
            pass

    return {
        name: speed.usual_seconds(functools.partial(read, changed)) / len(paths)
        for name, changed in (("read", False), ("change", bool(augmentation)))
    }


def table(seconds: dict[str, list[float]], features: float, total: float) -> str:
    """Return the plan with its estimated times, as text.

    Args:
        seconds: name of a strategy → the seconds of each of its trials.
        features: the seconds of the pass through the frozen network.
        total: the seconds of the whole plan, in which trials may run in parallel.
    """
    rows = [(name, str(len(each)), sum(each)) for name, each in seconds.items()]
    rows += [("the frozen network, computed once", "", features)]
    rows += [("all", str(sum(map(len, seconds.values()))), total)]
    width = max(len(name) for name, *_ in rows)
    lines = [f"{name:<{width}}{count:>9}{words.duration(round(each)):>16}" for name, count, each in rows]
    return "\n".join([f"{'plan':<{width}}{'trials':>9}{'takes about':>16}", *lines])
