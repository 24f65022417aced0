"""Gradual unfreezing: block by block from the top, for as long as it pays.

When to use it: when you do not know how much of the network to fine-tune. It starts from a converged head, unfreezes
the last block, then the one before, watches the validation loss, and stops where the next block gains too little.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/gradual_unfreezing.py                                   # the demo, nothing is downloaded
    python recipes/gradual_unfreezing.py --data photos/                    # VGG16: block5, block4, block3
    python recipes/gradual_unfreezing.py --data photos/ --backbone MobileNetV2 --head gap --max-blocks 4

It follows the articles' advice ("start by unfreezing only the final layer and gradually unfreeze earlier ones, monitor
a validation set to identify the point of diminishing returns") and Howard and Ruder (2018), who named it. Every stage
goes on from the best weights so far; one that makes them no better changes nothing. The frozen layers before each cut
run once per photo, all stages together in one pass through the network.

Expected: EXPECTED
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
    min_improvement: float = 0.01  # relative, of the validation loss: a stage that gains less is the last; 0 never stops
    head: Literal["flatten", "gap"] = "flatten"  # gap has far fewer weights: better with few photos
    hidden_units: int | None = None  # Dense units before the softmax; default 256 after flatten, none (0) after gap
    dropout: float | None = None  # before each Dense; default 0 after flatten, 0.3 after gap
    epochs: int = 200  # of the head, an upper limit: early stopping ends the training
    patience: int = 10  # epochs of the head without a better validation loss before it stops
    learning_rate: float = 1e-3  # of the head: Adam's default
    fine_tuning_epochs: int = 30  # of each further stage, an upper limit
    fine_tuning_patience: int = 5  # its epochs without a better validation loss before it stops
    fine_tuning_rate: float = 3e-5  # 10 to 100 times below the head's: pretrained weights are worth keeping
    warm_up: int = 1  # epochs of each further stage in which its rate rises from nothing
    batch_norm: Literal["frozen", "adapt"] = "frozen"  # adapt only with large batches and many photos
    flip: bool = False  # mirror training photos left to right; not where the side carries meaning
    rotation: float = 0.0  # turn them by up to so many degrees; 10 is small
    zoom: float = 0.0  # up to this fraction closer or further; 0.1 is small
    contrast: float = 0.0  # up to this fraction more or less contrast; 0.1 is small

    def __post_init__(self):
        super().__post_init__()
        for name in ("max_blocks", "blocks_per_stage", "patience", "fine_tuning_epochs", "fine_tuning_patience",
                     "fine_tuning_rate"):  # fmt: skip
            config.check(getattr(self, name) > 0, name, "must be above 0")
        config.check(self.blocks_per_stage <= self.max_blocks, "blocks_per_stage", "must be at most --max-blocks")
        for name in ("min_improvement", "warm_up", "rotation", "zoom", "contrast"):
            config.check(getattr(self, name) >= 0, name, "must be 0 or above")
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
    x = base_model.output
    x = keras.layers.Flatten()(x) if config.head == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    if hidden_units:
        x = keras.layers.Dropout(dropout)(x) if dropout else x
        x = keras.layers.Dense(hidden_units, activation="relu")(x)
    x = keras.layers.Dropout(dropout)(x) if dropout else x
    # float32 also under mixed precision: the softmax and the loss need the digits.
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(base_model.input, output, name="classifier")


def plan(base_model: keras.Model, config: Config) -> list[Stage]:
    """The head alone, then one stage for every `blocks_per_stage` blocks from the top, `max_blocks` at most."""
    stages = [Stage("head", 0, len(base_model.layers))]
    for count, (name, first) in enumerate(surgery.last_blocks(base_model, config.max_blocks), start=1):
        if count % config.blocks_per_stage == 0:
            stages.append(Stage(f"from_{name}", count, first))
    return stages


def optimizer(stage: Stage, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """Adam: at the head's rate, or at the low one, which rises from nothing in the first `warm_up` epochs."""
    rate, warm_up = config.fine_tuning_rate, config.warm_up * steps
    if stage.blocks == 0:
        rate = config.learning_rate
    elif warm_up:
        rate = keras.optimizers.schedules.PolynomialDecay(rate / 100, warm_up, end_learning_rate=rate)
    return keras.optimizers.Adam(rate)


def run(config: Config) -> runs.Result:
    """Trains stage after stage while validation improves, keeps the best, reads the test photos once."""
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

    # Training: each stage goes on from the best weights so far, and the one that gains too little is the last.
    steps = generators.steps(len(splits.train), config.batch_size)
    rows, best, kept = [], None, stages[0]
    for stage in stages:
        surgery.unfreeze(backbone.model, stage.first, config.batch_norm)
        print(surgery.trainable_table(model), file=sys.stderr)
        is_head = stage.blocks == 0
        epochs = config.epochs if is_head else config.fine_tuning_epochs
        patience = config.patience if is_head else config.fine_tuning_patience
        stopping = runs.EarlyStopping(record, patience, epochs, stage=stage.name, baseline=best)
        train_generator, val_generator, test_generator = prefixes[stage].generators(stopping.first_epoch)
        part = prefixes[stage].suffix
        with strategy.scope():
            part.compile(optimizer(stage, steps, config), loss="categorical_crossentropy", metrics=["accuracy"])
        if not is_head and config.batch_norm == "frozen":
            # Before any weight moves, the model with more unfrozen must score as the one before it did.
            surgery.check_same_score(best, part.evaluate(val_generator, verbose=0, return_dict=True)["loss"])
        part.fit(
            train_generator,
            verbose=runs.verbosity(),
            shuffle=False,  # the generator shuffles
            steps_per_epoch=steps,
            initial_epoch=stopping.first_epoch,
            epochs=epochs,
            validation_data=val_generator,
            callbacks=[stopping],
        )
        score = part.evaluate(val_generator, verbose=0, return_dict=True)
        rows.append(record.stage(stage.name, model, prefixes[stage], score) | {"blocks": stage.blocks})
        if is_head:
            best = score["loss"]
            continue
        kept = stage if surgery.is_better(score["loss"], best) else kept
        gain, best = max(best - score["loss"], 0.0), min(best, score["loss"])
        print(f"{stage.name}: the validation loss fell by {gain:.4f} to {best:.4f}", file=sys.stderr)
        if config.min_improvement and gain <= config.min_improvement * (best + gain):
            break
    surgery.unfreeze(backbone.model, kept.first, config.batch_norm)

    # Evaluation: here, and nowhere else, the test photos are compared with their labels.
    results = {"strategy": f"gradual, {kept.name}", "data": splits.summary(), "stages": rows}
    results["kept_stage"] = kept.name
    probabilities = {
        "validation": part.predict(val_generator, verbose=0),
        "test": part.predict(test_generator, verbose=0),
    }
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
    print(runs.summary(result))
    return result


if __name__ == "__main__":
    config.main(Config, run, __doc__)
