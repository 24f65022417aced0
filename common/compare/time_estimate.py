"""Estimates of the training time on this machine, from a few measured steps."""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from common import words
from common.data import pipeline
from common.models import backbones, cut, freezing
from common.runs import cost, speed

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

    @classmethod
    def of(cls, config: Any, counts: dict[str, int]) -> "Work":
        """Return what a trial with the settings `config` (a `settings.PhotoConfig`) does."""
        augmented = bool(config.augmentation)
        live = config.no_cache or (augmented and config.views == 0)
        return cls(counts, config.batch_size, max(1, config.views) if augmented else 1, augmented, live)

    @property
    def rows(self) -> int:
        """The number of looks at photos of all sides."""
        return sum(self.counts.values()) + (self.views - 1) * self.counts["train"]


@dataclasses.dataclass(frozen=True)
class Speed:
    """The cost of a network on this machine, in seconds.

    Attributes:
        starting: the time to start a process with TensorFlow.
        build: the time to build the network and load its weights.
        read: the time to read a photo.
        change: the time to read a photo and change it at random.
        forward: the time of one photo through the whole network.
        start: (index of the first layer that trains, live) → the time of the first training step (with tracing).
        step: (index, live) → the time of a training step on a batch, of cached features or, if live, of pixels.
        stages: name of a strategy → its training stages in order, each as (index of the first layer, epochs).
    """

    starting: float
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
            epoch = speed.of_epoch(self.step[first, work.live], steps, validated)
            seconds += self.start[first, work.live] + epochs * (epoch + (reading if work.live or first <= 1 else 0.0))
        passes = 2 - bool(self.stages[strategy])  # a probe computes its features, and all predict every side
        return seconds + (passes * self.of_features(work) if work.live else 0.0)

    def of_features(self, work: Work) -> float:
        """Return the estimated seconds of all photos through the frozen network, in all views."""
        changed = work.counts["train"] * work.views if work.augmented else 0
        return work.rows * (self.forward + self.read) + changed * (self.change - self.read)

    def of_shared_features(self, trials: Iterable[tuple[str, Work, Any]]) -> float:
        """Return the estimated seconds of the features that trials share: every photo once, and every seed's views.

        Args:
            trials: the strategy, the work and the settings of each trial.
        """
        plain, views = 0, collections.defaultdict[tuple, float](float)
        for strategy, work, config in trials:
            first = [first for first, _ in self.stages[strategy]]
            if work.live or (first and max(first) <= 1):
                continue  # it has no features in the cache
            train, key = work.counts["train"], (config.seed, config.augmentation)
            if work.augmented:
                views[key] = max(views[key], train * work.views * (self.change + self.forward))
            plain = max(plain, sum(work.counts.values()) - (train if work.augmented else 0))
        return plain * (self.read + self.forward) + sum(views.values())


def of_the_rest(speeds: Iterable[Speed], shared_features: bool) -> float:
    """Return the estimated seconds of a comparison besides features and trials: its processes and its page.

    Args:
        speeds: of each network.
        shared_features: whether a process for each network computes the features before the trials.
    """
    starting = [each.starting for each in speeds]
    return max(starting) + sum(starting) * shared_features + FINISHING_SECONDS


def measure(
    backbone: backbones.Backbone, starting: float, build: float, model: keras.Model, stages: dict[str, list],
    needed: Iterable[tuple[int, bool]], reading: tuple[float, float], batch_size: int,
) -> Speed:  # fmt: skip
    """Measure a few steps on random pixels and features.

    Args:
        backbone: the network.
        starting: the seconds that the start of this process took.
        build: the seconds that building it took.
        model: a classifier built on the network; it is trained on noise here.
        stages: name of a strategy → (index of the first layer that trains, epochs) of each of its stages;
            `len(backbone.model.layers)` is the head alone.
        needed: (index of the first layer that trains, live) of every training to measure.
        reading: the seconds to read a photo, and to read it and change it at random.
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
    return Speed(starting, build, *reading, forward, start, step, stages)


def table(
    seconds: dict[str, list[float]], features: float, rest: float, total: float, price_per_hour: float | None = None
) -> str:
    """Return the plan with its estimated times, as text.

    Args:
        seconds: name of a strategy → the seconds of each of its trials.
        features: the seconds of the pass through the frozen network.
        rest: the seconds of everything else.
        total: the seconds of the whole plan, in which trials may run in parallel.
        price_per_hour: what an hour of the machine costs; with it, each line has its price.
    """
    rows = [(name, str(len(each)), sum(each)) for name, each in seconds.items()]
    rows += [("the frozen network, computed once", "", features), ("starting, and the page", "", rest)]
    rows += [("all", str(sum(map(len, seconds.values()))), total)]
    width = max(len(name) for name, *_ in rows)
    prices = [f"{words.price(cost.price(each, price_per_hour)):>10}" if price_per_hour else "" for _, _, each in rows]
    lines = [
        f"{name:<{width}}{count:>9}{words.duration(round(each)):>16}{price}"
        for (name, count, each), price in zip(rows, prices, strict=True)
    ]
    heading = f"{'plan':<{width}}{'trials':>9}{'takes about':>16}" + (f"{'price':>10}" if price_per_hour else "")
    return "\n".join([heading, *lines])
