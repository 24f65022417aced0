"""The plan of a dry run: `--dry-run` measures a few steps on this machine and prints time, memory and disk space."""

from __future__ import annotations

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import words
from common.data import pipeline, sample_list, splits
from common.features import frozen_prefix
from common.models import backbones, freezing
from common.runs import cost, speed

FINISHING_SECONDS = 4.0  # evaluation, saved model and report, besides what grows with the network
REPORT_BYTES = 4_000_000  # of report.html and figures/
FINISHING_PASSES = 40  # photos through the network for Grad-CAM and the check of the saved model


@dataclasses.dataclass(frozen=True)
class Step:
    """A line of the plan.

    Attributes:
        name: the name of the step.
        trains: the number of parameters that train.
        epochs: the likely number of epochs, since early stopping decides.
        seconds: the estimated time.
    """

    name: str
    trains: int
    epochs: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """The estimated cost of a run.

    Attributes:
        about: name → text, the lines on the data and the network.
        steps: the steps, in order.
        memory: the peak of the memory, in bytes.
        features: the bytes that the run will add to the cache.
        run: the largest size of the run directory, in bytes.
    """

    about: dict[str, str]
    steps: list[Step]
    memory: int
    features: int
    run: int

    def text(self, cache: pathlib.Path, out: pathlib.Path) -> str:
        """Return the plan as lines for the terminal."""
        rows = [
            (step.name, f"{step.trains:,}" if step.trains else "", str(step.epochs or ""), _about(step.seconds))
            for step in self.steps
        ]
        rows.append(("all", "", "", _about(sum(step.seconds for step in self.steps))))
        width = max(len(name) for name, *_ in rows)
        table = [
            f"{name:<{width}}{trains:>16}{epochs:>9}{takes:>16}"
            for name, trains, epochs, takes in [("step", "trains", "epochs", "takes about"), *rows]
        ]
        space = f"{words.size(self.features)} of features in {cache}" if self.features else "no new features"
        facts = self.about | {
            "memory": f"about {words.size(self.memory)} at the peak",
            "disk": f"{space}; up to {words.size(self.run)} in {out}",
        }
        lines = [*(f"{name:<9}{told}" for name, told in facts.items()), "", *table]
        return "\n".join([*lines, "Where training may stop early, the number of epochs is a typical one."])


def of_items(
    model: keras.Model,
    backbone: backbones.Backbone,
    data: splits.Splits,
    config: Any,
    stages: list[tuple[int, int]],
    network: keras.Model | None = None,
    turns: int = 1,
    at: dict[int, list] | None = None,
    unfreeze: Callable[[int], None] | None = None,
    loss: Any = "categorical_crossentropy",
    further: int = 0,
) -> Plan:
    """Plan a run on photos or clips. This trains the model on noise, so it cannot be used afterwards.

    Args:
        model: the classifier on the network.
        backbone: the network.
        data: the items.
        config: a `settings.PhotoConfig`.
        stages: for each stage, the number of the first layer that trains and the likely number of epochs.
        network: the network whose layers are counted; default: that of the backbone.
        turns: as for `frozen_prefix.FrozenPrefix`.
        at: the stage's first layer → tensors to cut at, as for `frozen_prefix.FrozenPrefix`.
        unfreeze: a function of a stage's first layer that freezes the network as that stage does; default: all layers
            from there on train.
        loss: the loss of the training.
        further: how often items pass the network besides, for baselines and tests.
    """
    network = network or backbone.model
    counts = {side: len(getattr(data, side)) for side in sample_list.SPLIT_NAMES}
    train_steps, val_steps = (pipeline.steps(counts[side], config.batch_size) for side in ("train", "validation"))
    paths = data.paths("train")[: config.batch_size]
    how = paths, backbone, data.medium, config.batch_size
    batch = speed.batches(*how)[0].numpy()
    reading = speed.of_reading(*how, config.augmentation or None)  # of a training item, the dearest
    targets = np.array(data.targets.encoded(data.labels("train")[: len(paths)]))

    parts, steps, forward = [], [], 0.0
    for (first, epochs), times in collections.Counter(stages or [(len(network.layers), 0)]).items():
        if unfreeze:
            unfreeze(first)
        else:
            freezing.unfreeze(network, first, getattr(config, "batch_norm", "adapt"))
        part = frozen_prefix.FrozenPrefix(model, backbone, data, config, turns, (at or {}).get(first), fill=False)
        parts.append(part)
        if part.cut and part.cut.prefix and not forward:
            forward = speed.usual_seconds(functools.partial(part.cut.prefix.predict_on_batch, batch)) / len(paths)
        if epochs:
            zeros = [np.zeros((len(paths), *tensor.shape[1:]), "float32") for tensor in part.tensors] or [batch]
            begin, step = speed.of_training(part.suffix, zeros if len(zeros) > 1 else zeros[0], targets, loss)
            epoch = speed.of_epoch(step, train_steps, val_steps)
            if not part.tensors:
                epoch += reading * (counts["train"] + counts["validation"])
            trains, _ = freezing.count_parameters(model)
            name = _name(network, first, backbone) + (f", {times} times" if times > 1 else "")
            steps.append(Step(name, trains, epochs, times * (begin + epochs * epoch)))
    missing = max(part.missing for part in parts)
    if missing:
        steps.insert(0, Step(f"frozen network, {missing:,} times", 0, 0, missing * (reading + forward)))
    finishing = FINISHING_SECONDS + (FINISHING_PASSES + further) * (reading + forward)
    steps.append(Step("evaluation, report", 0, 0, finishing))

    trains = max([step.trains for step in steps])
    sides = ", ".join(f"{counts[side]:,} {side}" for side in sample_list.SPLIT_NAMES)
    classes = f" in {len(data.class_names)} classes" if data.class_names else ""
    about = {
        "data": f"{data.source}: {words.plural(sum(counts.values()), data.medium.unit)}{classes}: {sides}",
        "network": f"{backbone.name}, weights {backbone.weights}, {backbone.image_size} pixels, "
        f"{model.count_params():,} parameters",
    }
    return Plan(
        about, steps, memory=cost.peak_memory() + frozen_prefix.PORTION_BYTES + 2 * parts[0].cache_bytes,
        features=sum(part.missing_bytes for part in parts), run=space(model.count_params(), trains),
    )  # fmt: skip


def space(parameters: int, trains: int) -> int:
    """Return the bytes of a run directory at its peak: model, best epoch, the optimizer's moments, and the report."""
    return 4 * (parameters + 4 * trains) + REPORT_BYTES


def _name(network: keras.Model, first: int, backbone: backbones.Backbone) -> str:
    """Return what trains: the head, all layers, or those from a named one on."""
    if first >= len(network.layers):
        return "head"
    if first <= 1 and network is backbone.model:
        return "all layers"
    return f"from {next(each.name for each in network.layers[first:] if each.weights)}"


def _about(seconds: float) -> str:
    return words.duration(max(1, round(seconds)))
