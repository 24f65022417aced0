"""Gradual unfreezing: fine-tune block by block from the top, while it pays (the articles' layer freezing strategy).

When to use it: when you do not know how much of the network to fine-tune. It starts from a converged head, and
unfreezes the last block, then the block before it. It stops at the first block that does not validate better.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/gradual_unfreezing.py                                   # the demo, nothing is downloaded
    python recipes/gradual_unfreezing.py --data photos/                    # MobileNetV2: its last three blocks
    python recipes/gradual_unfreezing.py --data photos/ --max-blocks 4

It follows Howard and Ruder (2018), who named it, and the articles' advice: "start by unfreezing only the final layer
and gradually unfreeze earlier ones, monitor a validation set to identify the point of diminishing returns". Every stage
continues from the weights of the previous one; a stage that does not validate better is discarded. The frozen layers
before each cut run once per photo, for all stages in one pass through the network.

Expected, on two CPU cores: with 165 labelled flowers and MobileNetV2, a mean test accuracy of 0.845 (0.806 – 0.872,
five splits; the head alone 0.827). With 330, 0.874 (0.855 – 0.889; the head alone 0.852), in half a minute
(`python benchmarks/sample_size.py`). On the demo, 0.856 (0.822 – 0.864, five seeds; the head alone 0.825), in 10 to
27 seconds beside other work.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import sys
from typing import Annotated

import keras
from annotated_types import Gt

from common import devices, flags
from common.data import dataset, pipeline
from common.evaluation import classification
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, blocks, freezing
from common.report import classes
from common.runs import finished_run
from common.training import fine_tuning, fitting, recorder, schedules

STRATEGIES: dict[str, tuple[str, dict]] = {"gradual_unfreezing": ("the head, then block by block while it pays", {})}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(fine_tuning.FineTuningConfig):
    """Unfreeze block by block from the top, as long as it pays."""

    # Most blocks to unfreeze; further down, the features to cache grow, to 1.6 MB per photo in VGG16.
    max_blocks: Annotated[int, Gt(0)] = 3
    # Blocks that each stage adds; 2 or 3 if blocks are many and small.
    blocks_per_stage: Annotated[int, Gt(0)] = 1

    REMOVED = fine_tuning.FineTuningConfig.REMOVED | {
        "min_improvement": flags.Removed(
            0.01, "no longer exists: a block that does not validate better is the last; --keep-worse tries all blocks"
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        flags.check(self.blocks_per_stage <= self.max_blocks, "blocks_per_stage", "must be at most --max-blocks")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage: its name, the number of blocks that train, and the number of the first layer that trains."""

    name: str
    blocks: int
    first: int


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """Build the model: the base, Flatten (or global average pooling), Dense, softmax."""
    x = base_model.output
    x = keras.layers.Flatten()(x) if config.head == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    penalty = keras.regularizers.L1L2(config.l1, config.l2)
    if config.units:
        x = keras.layers.Dropout(config.dropout_rate)(x)
        x = keras.layers.Dense(config.units, activation="relu", kernel_regularizer=penalty)(x)
    x = keras.layers.Dropout(config.dropout_rate)(x)
    # float32 even under mixed precision, since the softmax and the loss need its digits.
    output = keras.layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=penalty, dtype="float32", name="probabilities"
    )(x)
    return keras.Model(base_model.input, output, name="classifier")


def plan(base_model: keras.Model, config: Config) -> list[Stage]:
    """Return the stages: the head, then one per `blocks_per_stage` blocks from the top, up to `max_blocks`."""
    stages = [Stage("head", 0, len(base_model.layers))]
    found = blocks.last_blocks(base_model, config.max_blocks)
    for count, (name, first) in enumerate(found, start=1):
        if count % config.blocks_per_stage == 0 or count == len(found):
            stages.append(Stage(f"from_{name}", count, first))
    return stages


def optimizer(stage: Stage, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """Return Adam at the head's rate, or for further stages at the low rate.

    The low rate rises over `warmup_epochs` and then falls to 0 along a cosine.
    """
    if stage.blocks == 0:
        return keras.optimizers.Adam(config.learning_rate)
    total, warm_up = config.fine_tuning_epochs * steps, config.warmup_epochs * steps
    return keras.optimizers.Adam(schedules.learning_rate(config.fine_tuning_rate, total, warm_up, config.schedule))


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage, the number of its first trainable layer and its likely number of epochs."""
    whole, *further = plan(base_model, config)
    return [(whole.first, config.likely_epochs), *((stage.first, config.fine_tuning_epochs) for stage in further)]


def run(config: Config) -> finished_run.Result:
    """Train stage after stage while validation improves, and read the test photos once."""
    record = recorder.Recorder("gradual_unfreezing", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data and model.
    splits = dataset.load(config, record.directory, photos.Photos())
    with device.scope():
        backbone = backbones.choose(config, default="MobileNetV2")
        model = build_model(backbone.model, len(splits.class_names), config)
    planned = plan(backbone.model, config)
    freezing.unfreeze(backbone.model, planned[-1].first, config.batch_norm)
    record.begin(backbone, model, splits, stages(backbone.model, config))

    # The layers before each stage's cut run once per photo. The features furthest from the head are computed first and
    # all others from the ones before them. All stages together thus need one pass through the network.
    prefixes = {}
    for stage in reversed(planned):
        freezing.unfreeze(backbone.model, stage.first, config.batch_norm)
        prefixes[stage] = frozen_prefix.FrozenPrefix(model, backbone, splits, config)

    # Training: each stage continues from the one before. The rate falls to 0 in each stage, so its last epoch counts.
    # The first stage that does not validate better (no fewer right answers, and a lower log loss) is the last, and the
    # weights from before it are put back.
    steps = pipeline.steps(len(splits.train), config.batch_size)
    rows, kept = [], planned[0]
    score: dict | None = None
    for stage in planned:
        freezing.unfreeze(backbone.model, stage.first, config.batch_norm)
        print(freezing.trainable_table(model), file=sys.stderr)
        part = prefixes[stage]
        with device.scope():
            adam = optimizer(stage, steps, config)
            loss = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
            part.suffix.compile(adam, loss, metrics=["accuracy", "categorical_crossentropy"])
        if score is None:
            fitted = fitting.fit(record, part, "head", config.epochs, patience=config.patience)
        else:
            # Before any weight changes, the model with more unfrozen layers must have the same score as before.
            fitted = fitting.fit(
                record, part, stage.name, config.fine_tuning_epochs, before=score, keep_worse=config.keep_worse
            )
        score = fitted.score
        rows.append(record.stage(stage.name, model, score) | {"blocks": stage.blocks})
        if not fitted.improved:
            break
        kept = stage
    freezing.unfreeze(backbone.model, kept.first, config.batch_norm)

    # Evaluation: here and nowhere else, the test photos are compared with their labels.
    return record.finish(
        part, f"kept {kept.name}", task=classification, sections=[classes], stages=rows, kept_stage=kept.name,
        frozen=prefixes[planned[0]], others=tuple(other for other in prefixes.values() if other is not part),
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
