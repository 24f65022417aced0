"""Feature extraction: a new head on a frozen, pretrained network (the articles' transfer learning example).

When to use it: as the usual first step. With a few hundred photos it is often the best method, and it is cheap.
Fine-tuning starts from this head and has to beat it.

Data: a folder with one folder of photos for each class (or a CSV with path,label[,group], or tfds:NAME):

    photos/daisy/*.jpg
    photos/rose/*.jpg

Command:

    python recipes/feature_extraction.py                                      # the demo, nothing is downloaded
    python recipes/feature_extraction.py --data photos/                       # MobileNetV2, ImageNet weights
    python recipes/feature_extraction.py --data photos/ --article             # the articles' VGG16 example

It follows two examples: a frozen VGG16 with Flatten, Dense 256 and softmax (`--article`), and one with
GlobalAveragePooling2D and softmax (`--article --head gap`). Adam minimises the categorical cross-entropy for 10 epochs.
By default, the network is MobileNetV2, which is better and faster on a few hundred photos, and the head of the second
example has dropout of 0.3 and stops early, because Adam soon overfits.

Expected: with MobileNetV2 on 800 flowers (560 train), a test accuracy of 0.867 (0.825 – 0.925, ten seeds) in 4 seconds
on two CPU cores, and 10 to 20 more the first time. On the demo, 0.825 (0.819 – 0.833, five seeds).
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import sys

import keras

from common import devices
from common.data import dataset
from common.evaluation import classification
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, freezing
from common.report import classes
from common.runs import finished_run
from common.training import fitting, recorder, settings

STRATEGIES: dict[str, tuple[str, dict]] = {"feature_extraction": ("a new head on the frozen network", {})}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.HeadConfig):
    """A new head on a frozen, pretrained network."""

    article: bool = False  # the settings of the article's example to the letter; other flags beside it win
    class_weights: bool = False  # give rare classes as much weight as common ones; for unbalanced data

    # Flatten, Dense 256 and softmax on VGG16, with Adam at its default rate for 10 epochs.
    ARTICLE = {"head": "flatten", "dropout": 0.0, "epochs": 10, "patience": 0}


def build_model(base_model: keras.Model, num_classes: int, config: Config) -> keras.Model:
    """Build the example's model: the base, Flatten (or global average pooling), Dense, softmax."""
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


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage, the number of its first trainable layer and its likely number of epochs."""
    return [(len(base_model.layers), config.likely_epochs)]


def run(config: Config) -> finished_run.Result:
    """Train the head, choose the best epoch on validation, read the test photos once and write the report."""
    record = recorder.Recorder("feature_extraction", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data: photos for training, for choices (validation) and for the final evaluation (test).
    splits = dataset.load(config, record.directory, photos.Photos())

    # Model: the frozen, pretrained base with its own preprocessing and image size, and a new head.
    with device.scope():
        backbone = backbones.choose(config, default="VGG16" if config.article else "MobileNetV2")
        freezing.freeze(backbone.model)
        model = build_model(backbone.model, len(splits.class_names), config)
    record.begin(backbone, model, splits, stages(backbone.model, config))
    print(freezing.trainable_table(model), file=sys.stderr)

    # The frozen layers run once per photo, and a cache keeps the result. The suffix trains; `model` shares its layers.
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, config)
    with device.scope():
        prefix.suffix.compile(
            optimizer=keras.optimizers.Adam(config.learning_rate),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
            metrics=["accuracy", "categorical_crossentropy"],
        )

    # Training: stop early on the validation cross-entropy (the loss also contains --l1 and --l2). The weights of the
    # best epoch are restored.
    weights = splits.class_weights() if config.class_weights else None
    fitting.fit(record, prefix, "head", config.epochs, patience=config.patience, class_weight=weights)

    # Evaluation: here and nowhere else, the test photos are compared with their labels.
    return record.finish(prefix, "feature_extraction", task=classification, sections=[classes], frozen=prefix)


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
