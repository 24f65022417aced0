"""Training from scratch: the same network without pretrained weights, as the baseline of transfer learning.

When to use it: to measure the gain from pretrained weights on your photos. Also with many photos (some ten thousand)
that look unlike everything that a network was pretrained on.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/from_scratch.py                                            # the demo, nothing is downloaded
    python recipes/from_scratch.py --data photos/                             # MobileNetV2
    python recipes/from_scratch.py --data photos/ --learning-rates 1e-3       # no search for the rate

A fair baseline is trained as well as possible. A network without normalisation, such as VGG16, gets batch norm after
every convolution (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167) and He initialisation (He et al. 2015,
https://arxiv.org/abs/1502.01852). Several learning rates are tried for a few epochs each, and validation chooses one.
All layers train and nothing is cached: every epoch runs the whole network on every photo.

Expected: on the demo, with 120 training photos, a test accuracy of 0.217 (0.192 – 0.258, five seeds; chance is 0.167).
It takes 331 seconds (215 – 379) on two CPU cores beside much other work. A head on pretrained layers reaches 0.825.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import math
import sys
from typing import Annotated, Any, Literal

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

# A comparison gives all of its trials the same weights, unless a strategy sets its own.
STRATEGIES: dict[str, tuple[str, dict]] = {
    "from_scratch": ("all layers, from random weights", {"weights": "none", "patience": 20})
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.HeadConfig):
    """Train a network for photos from random weights."""

    weights: Literal["none"] = "none"  # random weights; the other recipes start from pretrained ones
    learning_rate: tyro.conf.Suppress[float] = 1e-3  # replaced by --learning-rates
    find_learning_rate: tyro.conf.Suppress[bool] = False  # --learning-rates searches
    no_baselines: tyro.conf.Suppress[bool] = True  # they need pretrained features
    # Rates of Adam; each of several is tried for --search-epochs, and the best on validation trains the network.
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    search_epochs: Annotated[int, Gt(0)] = 5  # epochs for each rate; one that is far too high or low shows by then
    epochs: Annotated[int, Gt(0)] = 200  # of the training; an upper limit, since early stopping ends it
    # Epochs without a higher validation accuracy before the training stops; the first epochs hardly improve it.
    patience: Annotated[int, Gt(0)] = 20

    UNUSED = {"engine": "no layer is frozen", "prefix_precision": "no layer is frozen"}

    def __post_init__(self) -> None:
        super().__post_init__()
        sound = len(self.learning_rates) > 0 and all(0 < rate < math.inf for rate in self.learning_rates)
        flags.check(sound, "learning_rates", "must contain at least one rate, each above 0")
        flags.check_used(self, len(self.learning_rates) > 1, "with one of --learning-rates", "search_epochs")

    @property
    def gets_features(self) -> bool:
        """Whether the training gets cached features: never, as nothing is frozen."""
        return False


def normalised(base_model: keras.Model) -> keras.Model:
    """Prepare a network for training from random weights.

    A network without normalisation layers gets batch norm between each convolution and its activation, and new
    kernels by He initialisation. In other networks only the momentum of batch norm changes. Its statistics must
    converge in a few hundred steps, while the 0.999 of MobileNetV2 takes thousands.
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
    """Copy a layer; a convolution is He-initialised and loses its activation and bias, which layers behind it add."""
    settings_of_copy = layer.get_config()
    if isinstance(layer, keras.layers.Conv2D):
        settings_of_copy |= {"activation": "linear", "use_bias": False, "kernel_initializer": "he_normal"}
    return type(layer).from_config(settings_of_copy)


def with_batch_norm(layer: keras.layers.Layer, *arguments: Any, **options: Any) -> Any:
    """Call a copied layer on its input; after a convolution, add batch norm and ReLU."""
    x = layer(*arguments, **options)
    if not isinstance(layer, keras.layers.Conv2D):
        return x
    x = keras.layers.BatchNormalization(name=f"{layer.name}_batch_norm")(x)
    return keras.layers.ReLU(name=f"{layer.name}_relu")(x)


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


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage, the number of its first trainable layer and its likely number of epochs."""
    searches = len(config.learning_rates) if len(config.learning_rates) > 1 else 0
    return [(1, config.search_epochs)] * searches + [(1, config.likely_epochs)]


def train(
    whole: frozen_prefix.FrozenPrefix, record: recorder.Recorder[Config], device: devices.Strategy, stage: str,
    rate: float, epochs: int, patience: int | None = None,
) -> fitting.Fitted:  # fmt: skip
    """Train all layers with Adam at a constant rate."""
    with device.scope():
        adam = keras.optimizers.Adam(rate)
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=record.config.label_smoothing)
        whole.suffix.compile(adam, loss, metrics=["accuracy", "categorical_crossentropy"])
    return fitting.fit(record, whole, stage, epochs, patience=patience, monitor="accuracy")


def search(
    whole: frozen_prefix.FrozenPrefix, record: recorder.Recorder[Config], device: devices.Strategy
) -> dict[float, float]:
    """Return rate → validation loss after `search_epochs`, infinite if it diverged; all start from the same weights."""
    config, found = record.config, {}
    variables = whole.model.variables  # with the state of dropout, which `get_weights` leaves out
    start = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    for rate in config.learning_rates:
        stage, found[rate] = f"rate_{rate:g}", math.inf
        if record.progress.given_up(stage):
            continue
        try:
            found[rate] = train(whole, record, device, stage, rate, config.search_epochs).score["loss"]
        except checkpoints.Diverged:  # a rate that is too high is never chosen, and the search continues
            record.progress.give_up(stage)
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
    return found


def run(config: Config) -> finished_run.Result:
    """Choose the rate and the best epoch on validation, read the test photos once and write the report."""
    record = recorder.Recorder("from_scratch", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)

    # Data and model: nothing is frozen, so the part after the frozen prefix is the whole model.
    splits = dataset.load(config, record.directory, photos.Photos())
    with device.scope():
        backbone = backbones.choose(config, default="MobileNetV2")
        model = build_model(normalised(backbone.model), len(splits.class_names), config)
    record.begin(backbone, model, splits, stages(backbone.model, config))
    print(freezing.trainable_table(model), file=sys.stderr)
    whole = frozen_prefix.FrozenPrefix(model, backbone, splits, config)

    # Training: try each rate for a few epochs, then train from the start with the best one.
    losses = search(whole, record, device) if len(config.learning_rates) > 1 else {config.learning_rates[0]: None}
    rate = min(losses, key=lambda rate: losses[rate] or 0.0)
    print(f"learning rate: {rate:g}", file=sys.stderr)
    fitted = train(whole, record, device, "training", rate, config.epochs, config.patience)
    rows = [record.stage("training", model, fitted.score)]

    # Evaluation: here and nowhere else, the test photos are compared with their labels.
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
