"""Estimates of the training time on this machine, from a few measured steps."""

import dataclasses

import keras
import numpy as np

from common import words
from common.data import pipeline
from common.models import backbones, cut, freezing
from common.runs import speed

FINISHING_SECONDS = 3.0  # the part of evaluation, saving and report of a trial that does not grow with the network


@dataclasses.dataclass(frozen=True)
class Speed:
    """The cost of a network on this machine, in seconds.

    Attributes:
        build: the time to build the network and load its weights.
        forward: the time of one photo through the whole network.
        start: index of the first layer that trains → the time of the first training step (with tracing, compiling).
        step: index of the first layer that trains → the time of a training step on a batch of cached features.
        stages: name of a strategy → its training stages in order, each as (index of the first layer, epochs).
    """

    build: float
    forward: float
    start: dict[int, float]
    step: dict[int, float]
    stages: dict[str, list[tuple[int, int]]]

    def of_trial(self, strategy: str, counts: dict[str, int], batch_size: int) -> float:
        """Return the estimated seconds of a trial whose features are in the cache.

        Args:
            strategy: the strategy's name.
            counts: side of the split → its number of photos.
            batch_size: photos per step.
        """
        steps, validated = (pipeline.steps(counts[side], batch_size) for side in ("train", "validation"))
        training = sum(  # a step without the backward pass takes about a third of the time
            self.start[first] + epochs * self.step[first] * (steps + validated / 3)
            for first, epochs in self.stages[strategy]
        )
        return training + 2 * self.build + 30 * self.forward + FINISHING_SECONDS


def measure(
    backbone: backbones.Backbone, build: float, model: keras.Model, stages: dict[str, list], batch_size: int
) -> Speed:
    """Measure a few steps on random pixels and features.

    Args:
        backbone: the network.
        build: the seconds that building it took.
        model: a classifier built on the network; it is trained on noise here.
        stages: name of a strategy → (index of the first layer that trains, epochs) of each of its stages;
            `len(backbone.model.layers)` is the head alone.
        batch_size: photos per step.
    """
    pixels = np.random.default_rng(0).normal(size=(batch_size, *backbone.model.input_shape[1:])).astype("float32")
    labels = np.eye(model.output_shape[-1], dtype="float32")[np.zeros(batch_size, int)]
    forward = speed.usual_seconds(lambda: backbone.model.predict_on_batch(pixels)) / batch_size
    start, step = {}, {}
    for first in sorted({first for each in stages.values() for first, _ in each}, reverse=True):
        freezing.unfreeze(backbone.model, first)
        part = cut.cut(model)
        arrays = [np.zeros((batch_size, *tensor.shape[1:]), "float32") for tensor in part.tensors]
        start[first], step[first] = speed.of_training(part.suffix, arrays if len(arrays) > 1 else arrays[0], labels)
    return Speed(build, forward, start, step, stages)


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
