"""Partial unfreezing: train the head, then fine-tune the last block with it (the articles' layers[:15] example).

When to use it: when feature extraction has converged and you have enough photos (some hundred) to train more than a
head. Also when the photos look unlike those of the pretraining.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/partial_unfreezing.py                                   # the demo, nothing is downloaded
    python recipes/partial_unfreezing.py --data photos/                    # MobileNetV2, its last block
    python recipes/partial_unfreezing.py --data photos/ --unfreeze-from block_15
    python recipes/partial_unfreezing.py --data photos/ --article          # VGG16 from layer 15, as in the article
    python recipes/partial_unfreezing.py --backbone ResNet50 --list-layers # what --unfreeze-from may name
    python recipes/partial_unfreezing.py --data photos/ --backbone hub:vit_base_patch16_224_imagenet --lora-rank 8

It follows the example that freezes VGG16's `layers[:15]` and trains the rest. Stage 1 trains the head to convergence.
Stage 2 also trains the unfrozen layers, at a learning rate 10 to 100 times lower. `--article` does neither: it trains
both for 10 epochs at one rate, and keeps whatever comes out. The frozen layers before the cut run once per photo.
For transformers, `--lora-rank` trains low-rank changes of the attention layers instead (LoRA, Hu et al. 2021).

Expected, on two CPU cores: with 165 labelled flowers and MobileNetV2 from block_16 on, a mean test accuracy of 0.844
(0.806 – 0.872, five splits; the head alone 0.827). With 330, 0.875 (0.862 – 0.904; the head alone 0.852), in half a
minute (`python benchmarks/sample_size.py`). On the demo, 0.833 (0.822 – 0.856, five seeds; the head alone 0.825), in 9
to 12 seconds.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import functools
import sys
from typing import Annotated

import keras
from annotated_types import Ge, Gt, Le

from common import devices, flags
from common.data import dataset, pipeline
from common.evaluation import classification
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, blocks, freezing, lora
from common.report import classes
from common.runs import finished_run
from common.training import fine_tuning, fitting, penalties, recorder, schedules

ALL_LAYERS = {"unfreeze_from": "1"}  # layer 0 is the input
STRATEGIES = {
    "partial_unfreezing": ("the head, then the last block too, at a low rate", {}),
    "full_fine_tuning": ("the head, then all layers, at a low rate", ALL_LAYERS),
    "layerwise_rates": ("the head, then all layers, at lower rates in lower blocks", ALL_LAYERS | {"layer_decay": 0.7}),
    "l2_sp": ("the head, then all layers, held near the pretrained weights", ALL_LAYERS | {"l2_sp": 0.01}),
    "lora": ("the head, then low-rank changes of all attention layers", {"lora_rank": 8, "fine_tuning_rate": 3e-4}),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(fine_tuning.FineTuningConfig):
    """Train the head, then fine-tune the network from a layer on."""

    article: bool = False  # the settings of the article's example to the letter; other flags beside it win
    unfreeze_from: str | None = None  # number, name or block of the first layer that trains; default: the last block
    # Learning rate of each block as a multiple of that of the block above; 0.4 in ULMFiT, 1 is off.
    layer_decay: Annotated[float, Gt(0), Le(1)] = 1.0
    # Penalty that holds unfrozen weights near the pretrained ones (L2-SP); 1e-3 to 1e-1 with few photos.
    l2_sp: Annotated[float, Ge(0)] = 0.0
    # Train low-rank changes of the attention layers instead of their weights (LoRA), for transformers; 0 is off, 4 to
    # 16 are usual, with a --fine-tuning-rate of about 3e-4. Without --unfreeze-from: in all attention layers.
    lora_rank: Annotated[int, Ge(0)] = 0
    list_layers: bool = False  # print the layers and blocks that --unfreeze-from takes, and stop

    # The head of feature extraction's example, then `layers[15:]` of VGG16 with it, both with Adam at its default rate
    # for 10 epochs. The head has not converged before, and the layers train at the head's rate.
    ARTICLE = {
        "head": "flatten", "dropout": 0.0, "epochs": 10, "patience": 0, "unfreeze_from": "15", "fine_tuning_epochs": 10,
        "fine_tuning_rate": 1e-3, "warmup_epochs": 0, "schedule": "constant", "keep_worse": True,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, off in (("l2_sp", 0.0), ("batch_norm", "frozen")):
            idle = self.lora_rank > 0 and getattr(self, name) != off
            flags.check(not idle, name, "has no effect with --lora-rank, which keeps all these weights; remove one")


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


def optimizer(base_model: keras.Model, steps: int, config: Config) -> keras.optimizers.Optimizer:
    """Return Adam for stage 2: the rate rises over `warmup_epochs`, then falls to 0 along a cosine.

    With `layer_decay` below 1, each block has its own Adam (discriminative rates, Howard and Ruder 2018,
    https://arxiv.org/abs/1801.06146). The head learns at `fine_tuning_rate`. The last block learns at that rate times
    `layer_decay`, the block before it at that rate times `layer_decay` squared, and so on.
    """

    def adam(rate: float) -> keras.optimizers.Adam:
        whole, warm_up = config.fine_tuning_epochs * steps, config.warmup_epochs * steps
        return keras.optimizers.Adam(schedules.learning_rate(rate, whole, warm_up, config.schedule))

    if config.layer_decay == 1:
        return adam(config.fine_tuning_rate)
    depths = blocks.depths(base_model)
    depth_of = {id(v): depth for layer, depth in zip(base_model.layers, depths, strict=True) for v in layer.variables}
    optimizers = [adam(config.fine_tuning_rate * config.layer_decay**depth) for depth in range(max(depths) + 1)]
    return keras.optimizers.MultiOptimizer(lambda variable: optimizers[depth_of.get(id(variable), 0)])


def default_backbone(config: Config) -> str:
    """Return the article's network, or the one that suits a few hundred photos and a CPU."""
    return "VGG16" if config.article else "MobileNetV2"


def list_layers(config: Config) -> None:
    """Print the layers and blocks of the network, without its weights."""
    random = dataclasses.replace(config, weights="none", image_size=None)
    print(blocks.layer_table(backbones.choose(random, default=default_backbone(config)).model))


def first_unfrozen(base_model: keras.Model, config: Config) -> int:
    """Return the number of the first layer to fine-tune; without a flag, the first layer of the last block.

    With `lora_rank`, it is the first layer with attention from there on, or without a flag, of the network.
    """
    if config.unfreeze_from:
        first = blocks.layer_number(base_model, config.unfreeze_from)
    elif config.lora_rank:
        first = 0
    else:
        ((_, first),) = blocks.last_blocks(base_model, 1)
    return lora.first_attention(base_model, config.backbone or base_model.name, first) if config.lora_rank else first


def unfreeze(base_model: keras.Model, config: Config, first: int) -> None:
    """Let the layers from number `first` on train, or with `lora_rank`, low-rank changes of their attention."""
    if config.lora_rank:
        lora.train_only(base_model, first, config.lora_rank, config.seed)
    else:
        freezing.unfreeze(base_model, first, config.batch_norm)


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage, the number of its first trainable layer and its likely number of epochs."""
    return [
        (len(base_model.layers), config.likely_epochs),
        (first_unfrozen(base_model, config), config.fine_tuning_epochs),
    ]


def run(config: Config) -> finished_run.Result:
    """Train the head, then the last layers too, unless that harms, and read the test photos once."""
    if config.list_layers:
        list_layers(config)
        sys.exit()
    record = recorder.Recorder("partial_unfreezing", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data and model.
    splits = dataset.load(config, record.directory, photos.Photos())
    with device.scope():
        backbone = backbones.choose(config, default=default_backbone(config))
        model = build_model(backbone.model, len(splits.class_names), config)
    first = first_unfrozen(backbone.model, config)
    first_name = backbone.model.layers[first].name

    # The layers that never train, up to the cut, run once per photo. The features of stage 1, behind the whole frozen
    # base, are computed from those at the cut.
    freezing.unfreeze(backbone.model, first, config.batch_norm)
    as_planned = functools.partial(unfreeze, backbone.model, config)
    record.begin(backbone, model, splits, stages(backbone.model, config), unfreeze=as_planned, unfreeze_from=first_name)
    unfrozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config)
    freezing.freeze(backbone.model)
    frozen = frozen_prefix.FrozenPrefix(model, backbone, splits, config)

    # Stage 1: train the head to convergence, on the frozen base.
    print(freezing.trainable_table(model), file=sys.stderr)
    with device.scope():
        adam = keras.optimizers.Adam(config.learning_rate)
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
        frozen.suffix.compile(adam, loss, metrics=["accuracy", "categorical_crossentropy"])
    head = fitting.fit(record, frozen, "head", config.epochs, patience=config.patience)
    rows = [record.stage("head", model, head.score)]

    # Stage 2: train the head and the last layers, or low-rank changes of their attention, at a low rate. Before any
    # weight changes, the joined model must have the head's score. The rate falls to 0, so the last epoch counts. The
    # head is put back unless the stage validates better: no fewer right answers, and a lower log loss.
    with device.scope():
        unfreeze(backbone.model, config, first)
    penalties.hold_near(backbone.model, config.l2_sp)
    print(freezing.trainable_table(model), file=sys.stderr)
    with device.scope():
        slow = optimizer(backbone.model, pipeline.steps(len(splits.train), config.batch_size), config)
        unfrozen.suffix.compile(slow, loss, metrics=["accuracy", "categorical_crossentropy"])
    tuned = fitting.fit(
        record, unfrozen, "fine_tuning", config.fine_tuning_epochs, before=head.score, keep_worse=config.keep_worse
    )
    rows.append(record.stage("fine_tuning", model, tuned.score))
    if not tuned.improved:
        freezing.freeze(backbone.model)

    # Evaluation: here and nowhere else, the test photos are compared with their labels.
    what = "LoRA from" if config.lora_rank else "from"
    return record.finish(
        unfrozen, f"head, then {what} {first_name}", task=classification, sections=[classes], frozen=frozen,
        others=(frozen,), stages=rows, kept_stage="fine_tuning" if tuned.improved else "head",
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
