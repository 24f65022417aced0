"""Partial unfreezing: train the head, then fine-tune the last block with it.

When to use it: when feature extraction has converged and there are enough photos to move more than a head (some
hundred), or when the photos look unlike the ones that the network was pretrained on.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/partial_unfreezing.py                                   # the demo, nothing is downloaded
    python recipes/partial_unfreezing.py --data photos/                    # VGG16 from layer 15, block5_conv1
    python recipes/partial_unfreezing.py --data photos/ --backbone MobileNetV2 --head gap --unfreeze-from block_16
    python recipes/partial_unfreezing.py --backbone ResNet50 --list-layers # what --unfreeze-from may name

It mirrors the example that freezes VGG16's layers up to 15 and trains the rest. Stage 1 trains the head to
convergence; stage 2 unfreezes, at a learning rate 10 to 100 times lower. The frozen layers before the cut run once
per photo, for both stages.

Expected, on two CPU cores: with 165 labelled flowers and MobileNetV2 from block_16 on a mean test accuracy of 0.851
(0.805 – 0.880, five splits; the head alone 0.838), with 330 0.883 (0.857 – 0.909; 0.867), in half a minute
(`python benchmarks/sample_size.py`); on the demo 0.800 (0.764 – 0.836, five seeds; the head alone 0.783), in 5 to 15
seconds.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import sys
from typing import Annotated

import keras
from annotated_types import Ge, Gt, Le

from common import devices
from common.data import dataset, pipeline
from common.evaluation import classification, intervals
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, blocks, freezing
from common.report import classes
from common.runs import finished_run
from common.training import fine_tuning, fitting, penalties, recorder, schedules

ALL_LAYERS = {"unfreeze_from": "1"}  # layer 0 is the input
STRATEGIES = {
    "partial_unfreezing": ("the head, then the last block too, slowly", {}),
    "full_fine_tuning": ("the head, then all layers, slowly", ALL_LAYERS),
    "layerwise_rates": ("the head, then all layers, the deeper the slower", ALL_LAYERS | {"layer_decay": 0.7}),
    "l2_sp": ("the head, then all layers, held near the pretrained weights", ALL_LAYERS | {"l2_sp": 0.01}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(fine_tuning.FineTuningConfig):
    """Train the head, then fine-tune the network from a layer on."""

    unfreeze_from: str | None = None  # number, name or block of the first layer that trains; default: last block
    # Each block learns this many times as fast as the one above it; 0.4 in ULMFiT, 1 is off.
    layer_decay: Annotated[float, Gt(0), Le(1)] = 1.0
    # Holds unfrozen weights near the pretrained ones (L2-SP); 1e-3 to 1e-1 where photos are few.
    l2_sp: Annotated[float, Ge(0)] = 0.0
    keep_worse: bool = False  # keep fine-tuned layers that validate worse than the head, to see what a rate does
    list_layers: bool = False  # print the backbone's layers and blocks, which --unfreeze-from takes, and stop


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """The base, Flatten (or global average pooling), Dense, softmax."""
    x = base_model.output
    x = keras.layers.Flatten()(x) if config.head == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    l2 = keras.regularizers.L2(config.l2)
    if config.units:
        x = keras.layers.Dropout(config.dropout_rate)(x)
        x = keras.layers.Dense(config.units, activation="relu", kernel_regularizer=l2)(x)
    x = keras.layers.Dropout(config.dropout_rate)(x)
    # float32 also under mixed precision: the softmax and the loss need the digits.
    output = keras.layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=l2, dtype="float32", name="probabilities"
    )(x)
    return keras.Model(base_model.input, output, name="classifier")


def optimizer(base_model: keras.Model, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """Adam for stage 2: the rate rises over `warmup_epochs`, then falls to 0 along a cosine.

    With `layer_decay` below 1 the head learns at `fine_tuning_rate`, the last block at that times `layer_decay`, the
    block before it at that times its square … (discriminative rates, Howard and Ruder 2018,
    https://arxiv.org/abs/1801.06146); each has an Adam of its own.
    """

    def adam(rate):
        schedule = schedules.warmup_cosine(rate, config.fine_tuning_epochs * steps, config.warmup_epochs * steps)
        return keras.optimizers.Adam(schedule)

    if config.layer_decay == 1:
        return adam(config.fine_tuning_rate)
    depths = blocks.depths(base_model)
    depth_of = {id(v): depth for layer, depth in zip(base_model.layers, depths, strict=True) for v in layer.variables}
    optimizers = [adam(config.fine_tuning_rate * config.layer_decay**depth) for depth in range(max(depths) + 1)]
    return keras.optimizers.MultiOptimizer(lambda variable: optimizers[depth_of.get(id(variable), 0)])


def first_unfrozen(base_model: keras.Model, config: Config) -> int:
    """The number of the layer that fine-tuning starts at; without a flag the last block's first."""
    if config.unfreeze_from:
        return blocks.layer_number(base_model, config.unfreeze_from)
    ((_, first),) = blocks.last_blocks(base_model, 1)
    return first


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """What trains, as far as one can know: of each stage the number of its first layer, and its epochs."""
    return [
        (len(base_model.layers), config.likely_epochs),
        (first_unfrozen(base_model, config), config.fine_tuning_epochs),
    ]


def run(config: Config) -> finished_run.Result:
    """Trains the head, then the last layers too, unless that harms; reads the test photos once."""
    if config.list_layers:
        name = config.backbone or ("demo" if config.data == "demo" else "VGG16")
        print(blocks.layer_table(backbones.load(name, "none").model))
        sys.exit()
    record = recorder.Recorder("partial_unfreezing", config)
    config = record.config  # under --resume the settings of the interrupted run
    device = devices.set_up(config)

    # Data and model.
    splits = dataset.load(config, record.directory, photos.Photos())
    with device.scope():
        backbone = backbones.choose(config, default="VGG16")
        model = build_model(backbone.model, len(splits.class_names), config)
    first = first_unfrozen(backbone.model, config)
    first_name = backbone.model.layers[first].name

    # The layers that never train run once per photo, up to the cut; the rest of the base, frozen in stage 1, is
    # computed from there.
    freezing.unfreeze(backbone.model, first, config.batch_norm)
    record.begin(backbone, model, splits, stages(backbone.model, config), unfreeze_from=first_name)
    unfrozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config)
    freezing.freeze(backbone.model)
    frozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config)

    # Stage 1: the head, on the frozen base, to convergence.
    print(freezing.trainable_table(model), file=sys.stderr)
    with device.scope():
        adam = keras.optimizers.Adam(config.learning_rate)
        frozen.suffix.compile(adam, loss="categorical_crossentropy", metrics=["accuracy"])
    head = fitting.fit(record, frozen, "head", config.epochs, patience=config.patience)
    rows = [record.stage("head", model, head.score)]

    # Stage 2: the head and the last layers, slowly. Before any weight moves the joined model must score as the
    # head did. The rate falls to 0, so it is the last epoch that counts; the head comes back where that validates
    # worse, in accuracy by more than chance allows (on 30 photos one more wrong answer says nothing).
    freezing.unfreeze(backbone.model, first, config.batch_norm)
    penalties.hold_near(backbone.model, config.l2_sp)
    print(freezing.trainable_table(model), file=sys.stderr)
    with device.scope():
        slow = optimizer(backbone.model, pipeline.steps(len(splits.train), config.batch_size), config)
        unfrozen.suffix.compile(slow, loss="categorical_crossentropy", metrics=["accuracy"])
    noise = intervals.accuracy_noise(head.score["accuracy"], len(splits.validation))
    tuned = fitting.fit(
        record, unfrozen, "fine_tuning", config.fine_tuning_epochs, monitor=config.monitor, before=head.score,
        baseline=None if config.keep_worse else head.score, margin=noise if config.monitor == "accuracy" else 0.0,
    )  # fmt: skip
    rows.append(record.stage("fine_tuning", model, tuned.score))
    if not tuned.improved:
        freezing.freeze(backbone.model)

    # Evaluation: here, and nowhere else, the test photos are compared with their labels.
    return record.finish(
        unfrozen, f"head, then from {first_name}", task=classification, sections=[classes], frozen=frozen,
        others=(frozen,), stages=rows, kept_stage="fine_tuning" if tuned.improved else "head",
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
