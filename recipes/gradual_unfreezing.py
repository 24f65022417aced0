"""Gradual unfreezing: block by block from the top, for as long as it pays.

When to use it: when you do not know how much of the network to fine-tune. It starts from a converged head, unfreezes
the last block, then the one before, watches the validation photos, and stops where the next block gains too little.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/gradual_unfreezing.py                                   # the demo, nothing is downloaded
    python recipes/gradual_unfreezing.py --data photos/                    # VGG16: block5, block4, block3
    python recipes/gradual_unfreezing.py --data photos/ --backbone MobileNetV2 --head gap --max-blocks 4

It follows the articles' advice ("start by unfreezing only the final layer and gradually unfreeze earlier ones, monitor
a validation set to identify the point of diminishing returns") and Howard and Ruder (2018), who named it. Every stage
goes on from the weights of the one before; those of a stage that harms are thrown away. The frozen layers before each
cut run once per photo, all stages together in one pass through the network.

Expected, on two CPU cores: with 165 labelled flowers and MobileNetV2 a mean test accuracy of 0.854 (0.805 – 0.880,
five splits; the head alone 0.838), with 330 0.883 (0.857 – 0.913; 0.867), in half a minute
(`python benchmarks/sample_size.py`); on the demo 0.825 (0.764 – 0.836, five seeds; the head alone 0.783), in 5 to 15
seconds, the first run in 40.
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
    """Unfreeze block by block from the top, for as long as it pays."""

    backbone: str | None = None  # a name in keras.applications, MobileNetV2:0.35; default VGG16, on demo data demo
    max_blocks: int = 3  # the most that are unfrozen; further down the features to cache grow, 1.6 MB a photo in VGG16
    blocks_per_stage: int = 1  # how many more train from stage to stage; 2 or 3 where blocks are many and small
    monitor: Literal["accuracy", "loss"] = "accuracy"  # on validation; loss also punishes being sure and wrong
    min_improvement: float = 0.01  # of the error or loss, relative: a stage that gains less is the last; 0: none is
    head: Literal["flatten", "gap"] = "flatten"  # gap has far fewer weights: better with few photos
    hidden_units: int | None = None  # Dense units before the softmax; default 256 after flatten, none (0) after gap
    dropout: float | None = None  # before each Dense; default 0 after flatten, 0.3 after gap
    l2: float = 0.0  # penalty on the head's weights; 1e-4 to 1e-2 when training accuracy runs ahead of validation
    epochs: int = 200  # of the head, an upper limit: early stopping ends the training
    patience: int = 10  # epochs of the head without a better validation loss before it stops
    learning_rate: float = 1e-3  # of the head: Adam's default
    fine_tuning_epochs: int = 15  # of each further stage; its rate falls to nothing in the last
    fine_tuning_rate: float = 1e-4  # 10 to 100 times below the head's: pretrained weights are worth keeping
    warm_up: int = 1  # epochs of each further stage in which its rate rises from nothing
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many photos

    def __post_init__(self):
        super().__post_init__()
        for name in ("max_blocks", "blocks_per_stage", "patience", "fine_tuning_epochs", "fine_tuning_rate"):
            config.check(getattr(self, name) > 0, name, "must be above 0")
        config.check(self.blocks_per_stage <= self.max_blocks, "blocks_per_stage", "must be at most --max-blocks")
        demand = "must be below --fine-tuning-epochs: add --warm-up 0"
        config.check(self.warm_up < self.fine_tuning_epochs, "warm_up", demand)
        for name in ("l2", "min_improvement", "warm_up"):
            config.check(getattr(self, name) >= 0, name, "must be 0 or above")
        config.check(self.hidden_units is None or self.hidden_units >= 0, "hidden_units", "must be 0 or above")
        config.check(self.dropout is None or 0 <= self.dropout < 1, "dropout", "must be from 0 to below 1")
        config.check(
            self.fine_tuning_rate <= self.learning_rate / 10,
            "fine_tuning_rate",
            "must be 10 times below --learning-rate",
        )


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step: its name, how many blocks train, and the number of the first layer that does."""

    name: str
    blocks: int
    first: int


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


def plan(base_model: keras.Model, config: Config) -> list[Stage]:
    """The head alone, then one stage for every `blocks_per_stage` blocks from the top, the last with `max_blocks`."""
    stages = [Stage("head", 0, len(base_model.layers))]
    blocks = surgery.last_blocks(base_model, config.max_blocks)
    for count, (name, first) in enumerate(blocks, start=1):
        if count % config.blocks_per_stage == 0 or count == len(blocks):
            stages.append(Stage(f"from_{name}", count, first))
    return stages


def optimizer(stage: Stage, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """Adam at the head's rate; for further stages at the low one, which rises over `warm_up` epochs and then falls to 0
    along a cosine."""
    if stage.blocks == 0:
        return keras.optimizers.Adam(config.learning_rate)
    rate, warm_up, total = config.fine_tuning_rate, config.warm_up * steps, config.fine_tuning_epochs * steps
    start, target = (rate / 100, rate) if warm_up else (rate, None)
    return keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(start, total - warm_up, warmup_target=target, warmup_steps=warm_up)
    )


def error(score: dict, config: Config) -> float:
    """What is watched on the validation photos: the share of wrong answers, or the loss."""
    return score["loss"] if config.monitor == "loss" else 1 - score["accuracy"]


def pays(before: dict, after: dict, config: Config) -> bool:
    """Whether the error fell by more than `min_improvement` of what it was, so that it pays to unfreeze more."""
    was, became = error(before, config), error(after, config)
    return config.min_improvement == 0 or was - became > config.min_improvement * was


def run(config: Config) -> runs.Result:
    """Trains stage after stage while validation improves, drops what harms, reads the test photos once."""
    record = runs.Run("gradual_unfreezing", config)
    config = record.config  # that of the interrupted run when --resume is given
    strategy = device.set_up(config.seed, config.precision, config.deterministic)

    # Data and model.
    splits = data.load(config, record.directory)
    with strategy.scope():
        backbone = backbones.choose(config, default="VGG16")
        model = build_model(backbone.model, len(splits.class_names), config)
    stages = plan(backbone.model, config)
    record.write_config(backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size)

    # The layers before each stage's cut run once per photo. The cut furthest from the head comes first, so that
    # every other is computed from the one before: all of them together cost one pass through the network.
    augmentation = generators.Augmentation(config.flip, config.rotation, config.zoom, config.contrast)
    prefixes = {}
    for stage in reversed(stages):
        surgery.unfreeze(backbone.model, stage.first, config.batch_norm)
        prefixes[stage] = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation)

    # Training: each stage goes on from the one before, and the one that gains too little is the last. The rate
    # of a stage falls to 0, so it is its last epoch that counts; the weights that it started from come back where that
    # validates worse, in accuracy by more than chance allows (on 30 photos one more wrong answer says nothing).
    steps = generators.steps(len(splits.train), config.batch_size)
    rows, kept = [], stages[0]
    score: dict | None = None
    best: dict | None = None
    for stage in stages:
        surgery.unfreeze(backbone.model, stage.first, config.batch_norm)
        print(surgery.trainable_table(model), file=sys.stderr)
        if best is None:
            stopping = runs.EarlyStopping(record, config.patience, config.epochs, stage="head")
        else:
            noise = evaluation.accuracy_noise(best["accuracy"], len(splits.validation))
            stopping = runs.EarlyStopping(
                record, None, config.fine_tuning_epochs, stage=stage.name, monitor=config.monitor, baseline=best,
                margin=noise if config.monitor == "accuracy" else 0.0,
            )  # fmt: skip
        with strategy.scope():
            prefixes[stage].suffix.compile(
                optimizer(stage, steps, config), loss="categorical_crossentropy", metrics=["accuracy"]
            )
        # Before any weight moves, the model with more unfrozen must score as the one before it did.
        score = runs.fit(prefixes[stage], stopping, before=score)
        rows.append(record.stage(stage.name, model, score) | {"blocks": stage.blocks})
        kept = stage if stopping.improved else kept
        if best is not None and not pays(best, score, config):
            break
        best = score if best is None else min(best, score, key=lambda s: error(s, config))
    surgery.unfreeze(backbone.model, kept.first, config.batch_norm)

    # Evaluation: here, and nowhere else, the test photos are compared with their labels.
    results = {"strategy": f"kept {kept.name}", "data": splits.summary(), "stages": rows}
    results["kept_stage"] = kept.name
    probabilities = {split: prefixes[stage].predict(split)[0] for split in data.SPLIT_NAMES}
    for split, predicted in probabilities.items():
        results[split] = evaluation.evaluate(
            predicted, splits.labels(split), splits.class_names, splits.groups(split), config.seed
        )
    runs.write_predictions(record.directory, splits, probabilities["test"])

    # What stays: a model that takes raw pixels, the numbers, the pictures.
    model_from_pixels = surgery.take_raw_pixels(model, backbone.preprocess, backbone.resize)
    runs.save_model(record.directory, model_from_pixels, splits.class_names)
    result = record.finish(results | {"cost": record.cost(model, *prefixes.values())})
    report.write(record.directory, grad_cam.for_photos(model_from_pixels))
    record.publish()
    print(runs.summary(result))
    return result


if __name__ == "__main__":
    config.main(Config, run, __doc__)
