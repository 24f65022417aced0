"""Training from scratch: the same network without what it was pretrained on, as the baseline of transfer learning.

When to use it: to know what the pretrained weights are worth on your photos, and where there are many photos (some
ten thousand) that look like nothing that a network was pretrained on.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/from_scratch.py                                            # the demo, nothing is downloaded
    python recipes/from_scratch.py --data photos/ --backbone MobileNetV2 --head gap
    python recipes/from_scratch.py --data photos/ --learning-rates 1e-3       # no search for the rate

A baseline should be the best honest one. A network without normalisation, such as VGG16, gets batch norm behind every
convolution (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167) and He initialisation (He et al. 2015,
https://arxiv.org/abs/1502.01852). A few epochs with each of several rates come first, and validation chooses. All
layers train and nothing is cached: every epoch runs the whole network on every photo.

Expected: on the demo, with 120 training photos, a test accuracy of 0.211 (0.175 – 0.264, five seeds; chance is 0.167),
in 78 seconds (77 – 119) on two CPU cores beside other work; a head on pretrained layers has 0.783 there.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import math
import sys
from typing import Annotated, Literal

import keras
import tyro
from annotated_types import Gt

from common import devices, flags
from common.data import dataset
from common.evaluation import classification
from common.features import frozen_prefix
from common.media import photos
from common.models import backbones, freezing
from common.report import classes
from common.runs import finished_run
from common.training import checkpoints, fitting, recorder, settings

# A comparison hands the same weights to all of its trials, except where a strategy sets its own.
STRATEGIES: dict[str, tuple[str, dict]] = {
    "from_scratch": ("all layers, from random weights", {"weights": "none", "patience": 20})
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.HeadConfig):
    """Train a network for photos from random weights."""

    weights: Literal["none"] = "none"  # random ones; the other recipes begin with pretrained ones
    learning_rate: tyro.conf.Suppress[float] = 1e-3  # here it is --learning-rates
    # Of Adam; with several, each is tried for --search-epochs, and the best on validation trains the network.
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    search_epochs: Annotated[int, Gt(0)] = 5  # with each rate; a rate that is far too high or low shows by then
    epochs: Annotated[int, Gt(0)] = 200  # of the training, an upper limit: early stopping ends it
    # Epochs without a better validation accuracy before it stops; it takes a while until the first ones help.
    patience: Annotated[int, Gt(0)] = 20

    def __post_init__(self):
        super().__post_init__()
        sound = len(self.learning_rates) > 0 and all(0 < rate < math.inf for rate in self.learning_rates)
        flags.check(sound, "learning_rates", "must be one or several, each above 0")


def normalised(base_model: keras.Model) -> keras.Model:
    """The network ready to be trained from random weights.

    One without normalisation layers gets batch norm between each convolution and its activation, and kernels drawn
    anew by He initialisation. Other networks stay as they are but for the momentum of their batch norm: a few hundred
    steps must do for its statistics, where the 0.999 of MobileNetV2 takes thousands.
    """
    layers = keras.layers
    normalisation = layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization
    if not any(isinstance(layer, normalisation) for layer in base_model.layers):
        base_model = keras.models.clone_model(base_model, clone_function=linear_copy, call_function=with_batch_norm)
    for layer in base_model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return base_model


def linear_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a layer; a convolution without its activation and bias, which come behind it, and He-initialised."""
    settings_of_copy = layer.get_config()
    if isinstance(layer, keras.layers.Conv2D):
        settings_of_copy |= {"activation": "linear", "use_bias": False, "kernel_initializer": "he_normal"}
    return type(layer).from_config(settings_of_copy)


def with_batch_norm(layer: keras.layers.Layer, *arguments, **options):
    """What a copied layer makes of its input; behind a convolution follow batch norm and ReLU."""
    x = layer(*arguments, **options)
    if not isinstance(layer, keras.layers.Conv2D):
        return x
    x = keras.layers.BatchNormalization(name=f"{layer.name}_batch_norm")(x)
    return keras.layers.ReLU(name=f"{layer.name}_relu")(x)


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


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """What trains, as far as one can know: of each stage the number of its first layer, and its epochs."""
    searches = len(config.learning_rates) if len(config.learning_rates) > 1 else 0
    return [(1, config.search_epochs)] * searches + [(1, config.likely_epochs)]


def train(whole, record, device, stage: str, rate: float, epochs: int, patience: int | None = None) -> fitting.Fitted:
    """Fits all layers with Adam at a constant rate."""
    with device.scope():
        adam = keras.optimizers.Adam(rate)
        whole.suffix.compile(adam, loss="categorical_crossentropy", metrics=["accuracy"])
    return fitting.fit(record, whole, stage, epochs, patience=patience, monitor="accuracy" if patience else "loss")


def search(whole, record, device) -> dict[float, float]:
    """Rate → validation loss after `search_epochs`, infinite where it diverged; each begins with the same weights."""
    config, start, found = record.config, whole.model.get_weights(), {}
    for rate in config.learning_rates:
        stage, found[rate] = f"rate_{rate:g}", math.inf
        if record.progress.given_up(stage):
            continue
        try:
            found[rate] = train(whole, record, device, stage, rate, config.search_epochs).score["loss"]
        except checkpoints.Diverged:  # a rate that is too high loses, and the search goes on
            record.progress.give_up(stage)
        whole.model.set_weights(start)
    return found


def run(config: Config) -> finished_run.Result:
    """Chooses the rate and the best epoch on validation, reads the test photos once, writes the report."""
    record = recorder.Recorder("from_scratch", config)
    config = record.config  # under --resume the settings of the interrupted run
    device = devices.set_up(config)

    # Data and model: nothing is frozen, so the part behind the frozen prefix is the whole model.
    splits = dataset.load(config, record.directory, photos.Photos())
    with device.scope():
        backbone = backbones.choose(config, default="VGG16")
        model = build_model(normalised(backbone.model), len(splits.class_names), config)
    record.begin(backbone, model, splits, stages(backbone.model, config))
    print(freezing.trainable_table(model), file=sys.stderr)
    whole = frozen_prefix.FrozenPrefix(model, backbone, splits, config)

    # Training: the rate first, a few epochs with each; then from the start with the best one.
    losses = search(whole, record, device) if len(config.learning_rates) > 1 else {config.learning_rates[0]: None}
    rate = min(losses, key=lambda rate: losses[rate] or 0.0)
    print(f"learning rate: {rate:g}", file=sys.stderr)
    fitted = train(whole, record, device, "training", rate, config.epochs, config.patience)
    rows = [record.stage("training", model, fitted.score)]

    # Evaluation: here, and nowhere else, the test photos are compared with their labels.
    tried = [
        {"learning_rate": each, "validation_loss": loss if loss is not None and math.isfinite(loss) else None}
        for each, loss in losses.items()
    ]
    chosen = {"learning_rate": rate, "tried": tried}
    return record.finish(
        whole, "from_scratch", task=classification, sections=[classes], stages=rows, chosen=chosen, monitor="accuracy"
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
