"""Feature extraction: a new head on a frozen, pretrained network.

When to use it: as the usual start. With a few hundred photos it is often the best, and cheap; whatever comes later
(fine-tuning) starts from this head and has to beat it.

Data: a folder with one folder of photos for each class (or a CSV with path,label[,group], or tfds:NAME):

    photos/daisy/*.jpg
    photos/rose/*.jpg

Command:

    python recipes/feature_extraction.py                                      # the demo, nothing is downloaded
    python recipes/feature_extraction.py --data photos/                       # VGG16, ImageNet weights
    python recipes/feature_extraction.py --data photos/ --backbone MobileNetV2 --head gap

It mirrors two examples: VGG16 with Flatten, Dense 256 and softmax (`--head flatten`), and VGG16 with
GlobalAveragePooling2D and softmax (`--head gap`), both frozen, with Adam and categorical cross-entropy. One thing is
added: dropout of 0.3 on the pooled features, since Adam soon fits a few hundred photos to the last one.
`--head gap --dropout 0` is the example to the letter.

Expected: on 800 flowers (560 train) with MobileNetV2 a test accuracy of 0.867 (0.825 – 0.925, ten seeds), in 4
seconds on two CPU cores and 10 to 20 more the first time; on the demo 0.783 (0.739 – 0.836, five seeds), in 2 (1 – 9).
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
    imbalance,
    report,
    runs,
    surgery,
)

import keras  # isort: skip  (after common, which imports TensorFlow quietly)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.SharedConfig):
    """A new head on a frozen, pretrained network."""

    backbone: str | None = None  # a name in keras.applications, MobileNetV2:0.35; default VGG16, on demo data demo
    head: Literal["flatten", "gap"] = "flatten"  # gap has far fewer weights: better with few photos
    hidden_units: int | None = None  # Dense units before the softmax; default 256 after flatten, none (0) after gap
    dropout: float | None = None  # before each Dense; default 0 after flatten, 0.3 after gap
    l2: float = 0.0  # penalty on the head's weights; 1e-4 to 1e-2 when training accuracy runs ahead of validation
    epochs: int = 200  # an upper limit: early stopping ends the training
    patience: int = 10  # epochs without a better validation loss before the training stops
    learning_rate: float = 1e-3  # Adam's default, right for a new head on a frozen base
    class_weights: bool = False  # rare classes count as much as common ones; for unbalanced data
    train_base: bool = False  # train the base too; with --weights none that is training from scratch

    def __post_init__(self):
        super().__post_init__()
        config.check(self.patience > 0, "patience", "must be above 0")
        config.check(self.hidden_units is None or self.hidden_units >= 0, "hidden_units", "must be 0 or above")
        config.check(self.dropout is None or 0 <= self.dropout < 1, "dropout", "must be from 0 to below 1")
        config.check(self.l2 >= 0, "l2", "must be 0 or above")


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """The documentation's model: the base, Flatten (or global average pooling), Dense, softmax."""
    if not config.train_base:
        surgery.freeze(base_model)
    for layer in base_model.layers if config.train_base else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # a few hundred steps must do for its statistics; MobileNetV2's 0.999 takes thousands
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


def run(config: Config) -> runs.Result:
    """Trains the head, chooses the best epoch on validation, reads the test photos once, writes the report."""
    record = runs.Run("feature_extraction", config)
    config = record.config  # that of the interrupted run when --resume is given
    strategy = device.set_up(config.seed, config.precision, config.deterministic)

    # Data: who trains, who chooses, who judges.
    splits = data.load(config, record.directory)

    # Model: the pretrained base (with the preprocessing and image size that belong to it), frozen, and a new head.
    with strategy.scope():
        backbone = backbones.choose(config, default="VGG16")
        model = build_model(backbone.model, len(splits.class_names), config)
    record.write_config(backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size)
    print(surgery.trainable_table(model), file=sys.stderr)

    # The frozen layers run once per photo, into a cache. What is trained is the part of the model behind them: it
    # shares its layers with `model`, so `model` is trained too. With --no-cache the part is the whole model.
    augmentation = generators.Augmentation(config.flip, config.rotation, config.zoom, config.contrast)
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, config, augmentation)
    with strategy.scope():
        prefix.suffix.compile(
            optimizer=keras.optimizers.Adam(config.learning_rate),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )

    # Training: stops early on the validation loss and puts the best epoch's weights back.
    runs.fit(
        prefix,
        runs.EarlyStopping(record, config.patience, config.epochs, stage="head"),
        class_weight=imbalance.class_weights("weights" if config.class_weights else "none", splits.counts()),
    )

    # Evaluation: here, and nowhere else, the test photos are compared with their labels.
    results = {"strategy": "all_layers" if config.train_base else "feature_extraction", "data": splits.summary()}
    probabilities = {split: prefix.predict(split)[0] for split in data.SPLIT_NAMES}
    for split, predicted in probabilities.items():
        results[split] = evaluation.evaluate(
            predicted, splits.labels(split), splits.class_names, splits.groups(split), config.seed
        )
    runs.write_predictions(record.directory, splits, probabilities["test"])

    # What stays: a model that takes raw pixels, the numbers, the pictures.
    model_from_pixels = surgery.take_raw_pixels(model, backbone.preprocess, backbone.resize)
    runs.save_model(record.directory, model_from_pixels, splits.class_names)
    result = record.finish(results | {"cost": record.cost(model, prefix)})
    report.write(record.directory, grad_cam.for_photos(model_from_pixels))
    record.publish()
    print(runs.summary(result))
    return result


if __name__ == "__main__":
    config.main(Config, run, __doc__)
