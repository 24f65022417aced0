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

import dataclasses
import sys
from typing import Literal

from common import (
    backbones,
    config,
    data,
    device,
    evaluation,
    frozen_prefix,
    generators,
    grad_cam,
    report,
    runs,
    surgery,
)

import keras  # isort: skip  (after common, which imports TensorFlow quietly)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.SharedConfig):
    """Train the head, then fine-tune the network from a layer on."""

    backbone: str | None = None  # a name in keras.applications, MobileNetV2:0.35; default VGG16, on demo data demo
    unfreeze_from: str | None = None  # number, name or block of the first layer that trains; default: last block
    head: Literal["flatten", "gap"] = "flatten"  # gap has far fewer weights: better with few photos
    hidden_units: int | None = None  # Dense units before the softmax; default 256 after flatten, none (0) after gap
    dropout: float | None = None  # before each Dense; default 0 after flatten, 0.3 after gap
    l2: float = 0.0  # penalty on the head's weights; 1e-4 to 1e-2 when training accuracy runs ahead of validation
    epochs: int = 200  # of the head, an upper limit: early stopping ends the training
    patience: int = 10  # epochs of the head without a better validation loss before it stops
    learning_rate: float = 1e-3  # of the head: Adam's default
    fine_tuning_epochs: int = 15  # of the second stage; its rate falls to nothing in the last
    fine_tuning_rate: float = 1e-4  # 10 to 100 times below the head's: pretrained weights are worth keeping
    rate_decay: float = 1.0  # each block learns this many times as fast as the one above it; 0.4 in ULMFiT, 1 is off
    warm_up: int = 1  # epochs in which the fine-tuning rate rises from nothing
    l2_sp: float = 0.0  # holds unfrozen weights near the pretrained ones (L2-SP); 1e-3 to 1e-1 where photos are few
    keep_worse: bool = False  # keep fine-tuned layers that validate worse than the head, to see what a rate does
    monitor: Literal["accuracy", "loss"] = "accuracy"  # on validation; loss also punishes being sure and wrong
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many photos
    list_layers: bool = False  # print the backbone's layers and blocks, which --unfreeze-from takes, and stop

    def __post_init__(self):
        super().__post_init__()
        for name in ("patience", "fine_tuning_epochs", "fine_tuning_rate"):
            config.check(getattr(self, name) > 0, name, "must be above 0")
        config.check(self.dropout is None or 0 <= self.dropout < 1, "dropout", "must be from 0 to below 1")
        config.check(0 < self.rate_decay <= 1, "rate_decay", "must be above 0 and at most 1")
        config.check(
            self.fine_tuning_rate <= self.learning_rate / 10 or self.keep_worse,
            "fine_tuning_rate",
            "must be 10 times below --learning-rate",
        )
        demand = "must be below --fine-tuning-epochs: add --warm-up 0"
        config.check(self.warm_up < self.fine_tuning_epochs, "warm_up", demand)
        for name in ("l2", "l2_sp", "warm_up"):
            config.check(getattr(self, name) >= 0, name, "must be 0 or above")
        config.check(self.hidden_units is None or self.hidden_units >= 0, "hidden_units", "must be 0 or above")


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """The base, Flatten (or global average pooling), Dense, softmax."""
    hidden_units = {"flatten": 256, "gap": 0}[config.head] if config.hidden_units is None else config.hidden_units
    dropout = {"flatten": 0.0, "gap": 0.3}[config.head] if config.dropout is None else config.dropout
    l2 = keras.regularizers.L2(config.l2) if config.l2 else None

    x = base_model.output
    x = keras.layers.Flatten()(x) if config.head == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    if hidden_units:
        x = keras.layers.Dropout(dropout)(x) if dropout else x
        x = keras.layers.Dense(hidden_units, activation="relu", kernel_regularizer=l2)(x)
    x = keras.layers.Dropout(dropout)(x) if dropout else x
    # float32 also under mixed precision: the softmax and the loss need the digits.
    output = keras.layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=l2, dtype="float32", name="probabilities"
    )(x)
    return keras.Model(base_model.input, output, name="classifier")


def optimizer(base_model: keras.Model, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """Adam for stage 2: the rate rises over `warm_up` epochs, then falls to 0 along a cosine.

    With `rate_decay` below 1 the head learns at `fine_tuning_rate`, the last block at that times `rate_decay`, the
    block before it at that times its square … (discriminative rates, Howard and Ruder 2018,
    https://arxiv.org/abs/1801.06146); each has an Adam of its own.
    """
    warm_up, total = config.warm_up * steps, config.fine_tuning_epochs * steps

    def adam(rate):
        start, target = (rate / 100, rate) if warm_up else (rate, None)
        return keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(start, total - warm_up, warmup_target=target, warmup_steps=warm_up)
        )

    if config.rate_decay == 1:
        return adam(config.fine_tuning_rate)
    depths = surgery.depths(base_model)
    depth_of = {id(v): depth for layer, depth in zip(base_model.layers, depths, strict=True) for v in layer.variables}
    optimizers = [adam(config.fine_tuning_rate * config.rate_decay**depth) for depth in range(max(depths) + 1)]
    return keras.optimizers.MultiOptimizer(lambda variable: optimizers[depth_of.get(id(variable), 0)])


def first_unfrozen(base_model: keras.Model, config: Config) -> int:
    """The number of the layer that fine-tuning starts at; without a flag the last block's first."""
    if config.unfreeze_from:
        return surgery.layer_number(base_model, config.unfreeze_from)
    ((_, first),) = surgery.last_blocks(base_model, 1)
    return first


def run(config: Config) -> runs.Result:
    """Trains the head, then the last layers too, unless that harms; reads the test photos once."""
    if config.list_layers:
        name = config.backbone or ("demo" if config.data == "demo" else "VGG16")
        print(surgery.layer_table(backbones.load(name, "none").model))
        sys.exit()
    record = runs.Run("partial_unfreezing", config)
    config = record.config  # that of the interrupted run when --resume is given
    strategy = device.set_up(config.seed, config.precision, config.deterministic)

    # Data and model.
    splits = data.load(config, record.directory)
    with strategy.scope():
        backbone = backbones.choose(config, default="VGG16")
        model = build_model(backbone.model, len(splits.class_names), config)
    first = first_unfrozen(backbone.model, config)
    first_name = backbone.model.layers[first].name
    record.write_config(
        backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size, unfreeze_from=first_name
    )

    # The layers that never train run once per photo, up to the cut; the rest of the base, frozen in stage 1, is
    # computed from there.
    augmentation = generators.Augmentation(config.flip, config.rotation, config.zoom, config.contrast)
    surgery.unfreeze(backbone.model, first, config.batch_norm)
    unfrozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation)
    surgery.freeze(backbone.model)
    frozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation)

    # Stage 1: the head, on the frozen base, to convergence.
    print(surgery.trainable_table(model), file=sys.stderr)
    steps = generators.steps(len(splits.train), config.batch_size)
    stopping = runs.EarlyStopping(record, config.patience, config.epochs, stage="head")
    with strategy.scope():
        adam = keras.optimizers.Adam(config.learning_rate)
        frozen.suffix.compile(adam, loss="categorical_crossentropy", metrics=["accuracy"])
    head_score = runs.fit(frozen, stopping)
    stages = [record.stage("head", model, head_score)]

    # Stage 2: the head and the last layers, slowly. Before any weight moves the joined model must score as the
    # head did. The rate falls to 0, so it is the last epoch that counts; the head comes back where that validates
    # worse, in accuracy by more than chance allows (on 30 photos one more wrong answer says nothing).
    surgery.unfreeze(backbone.model, first, config.batch_norm)
    surgery.hold_near(backbone.model, config.l2_sp)
    print(surgery.trainable_table(model), file=sys.stderr)
    noise = evaluation.accuracy_noise(head_score["accuracy"], len(splits.validation))
    stopping = runs.EarlyStopping(
        record, None, config.fine_tuning_epochs, stage="fine_tuning", monitor=config.monitor,
        baseline=None if config.keep_worse else head_score, margin=noise if config.monitor == "accuracy" else 0.0,
    )  # fmt: skip
    with strategy.scope():
        slow = optimizer(backbone.model, steps, config)
        unfrozen.suffix.compile(slow, loss="categorical_crossentropy", metrics=["accuracy"])
    score = runs.fit(unfrozen, stopping, before=head_score)
    stages.append(record.stage("fine_tuning", model, score))
    kept = "fine_tuning" if stopping.improved else "head"
    if kept == "head":
        surgery.freeze(backbone.model)

    # Evaluation: here, and nowhere else, the test photos are compared with their labels.
    results = {"strategy": f"head, then from {first_name}", "data": splits.summary(), "stages": stages}
    results["kept_stage"] = kept
    probabilities = {split: unfrozen.predict(split)[0] for split in data.SPLIT_NAMES}
    for split, predicted in probabilities.items():
        results[split] = evaluation.evaluate(
            predicted, splits.labels(split), splits.class_names, splits.groups(split), config.seed
        )
    runs.write_predictions(record.directory, splits, probabilities["test"])

    # What stays: a model that takes raw pixels, the numbers, the pictures.
    model_from_pixels = surgery.take_raw_pixels(model, backbone.preprocess, backbone.resize)
    runs.save_model(record.directory, model_from_pixels, splits.class_names)
    result = record.finish(results | {"cost": record.cost(model, unfrozen, frozen)})
    report.write(record.directory, grad_cam.for_photos(model_from_pixels))
    record.publish()
    print(runs.summary(result))
    return result


if __name__ == "__main__":
    config.main(Config, run, __doc__)
