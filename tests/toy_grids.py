"""A recipe on a medium and a target that `common` does not know: grids of grey values in text files, a number for each.

The module is its recipe, its task (`evaluate`) and the section of its report (`page`, `summary`) at once.
"""

from common import startup  # noqa: F401, isort: skip  (first, as in every recipe)

import dataclasses
import hashlib
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from common import devices, errors
from common.data import dataset, targets
from common.features import frozen_prefix
from common.media import medium
from common.models import backbones, freezing, raw_input
from common.training import fitting, recorder, settings

SIZE = 12


@dataclasses.dataclass(frozen=True)
class Grids(medium.Medium):
    """Grey values, a line of text for each row of a grid; `brightest` is white."""

    name = "grids"
    unit = "grid"
    extensions = (".grid",)

    brightest: float = 1.0

    @property
    def shape(self):
        return None, None, 1

    def inspect(self, path):
        content = pathlib.Path(path).read_bytes()
        told = {"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        try:
            height, width, _ = self.read(path).shape
        except errors.UnusableFile as error:
            return medium.Facts(**told, problem=str(error))
        return medium.Facts(**told, format="grid", width=width, height=height)

    def read(self, path, look=medium.PLAIN):
        try:
            values = np.loadtxt(path, ndmin=2)
        except ValueError as error:
            raise errors.UnusableFile("not numbers: write a grid of them; remove it") from error
        return (255 * values[..., None] / self.brightest).clip(0, 255).astype("uint8")

    def thumbnail(self, path):
        return self.read(path).repeat(3, axis=-1)


@dataclasses.dataclass(frozen=True)
class Numbers(targets.Targets):
    """A number, centred on the mean of the training samples."""

    name = "numbers"
    shown = ("value",)

    mean: float = 0.0

    def seen(self, samples):
        return Numbers(float(np.mean([self.of(sample) for sample in samples if sample.split == "train"])))

    def of(self, sample):
        return float(sample.label)

    def encoded(self, values):
        return tf.expand_dims(tf.cast(values, "float32") - self.mean, -1)

    def answer(self, output):
        return {"value": float(output[0]) + self.mean}

    def judged(self, sample, output):
        value = self.answer(output)["value"]
        return {"label": sample.label, "predicted": value, "error": abs(value - self.of(sample))}


def draw(folder, count=40):
    """Grids with a disc, their CSV with the disc's radius, which is what is to be learnt."""
    folder.mkdir()
    random, lines = np.random.default_rng(0), ["path,label,site"]
    across = np.arange(SIZE)
    for number in range(count):
        radius, (x, y) = random.uniform(1, 5), random.uniform(4, 8, 2)
        grid = (np.hypot(across - x, across[:, None] - y) < radius) + random.uniform(0, 0.2, (SIZE, SIZE))
        np.savetxt(folder / f"{number}.grid", grid, "%.3f")
        lines.append(f"{number}.grid,{radius:.3f},{'north' if number % 2 else 'south'}")
    (folder / "radii.csv").write_text("\n".join(lines))
    return folder / "radii.csv"


# The recipe -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Tell how large a disc is."""

    epochs: int = 200
    learning_rate: float = 3e-2


def run(config):
    record = recorder.Recorder("toy_grids", config)
    config = record.config
    device = devices.set_up(config)
    splits = dataset.load(config, record.directory, Grids(brightest=1.2), Numbers())

    network = keras.Sequential([
        keras.Input((SIZE, SIZE, 1)), keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
    ])  # fmt: skip
    network = keras.Model(network.inputs, network.outputs[0])
    resize = raw_input.resizing(SIZE, "squash")
    backbone = backbones.Backbone("demo", "none", network, lambda x: x / 255.0, SIZE, resize)
    freezing.freeze(network)
    pooled = keras.layers.GlobalAveragePooling2D()(network.output)
    model = keras.Model(network.input, keras.layers.Dense(1)(pooled), name="regressor")
    record.begin(backbone, model, splits, [(len(network.layers), config.epochs)])

    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, config)
    with device.scope():
        prefix.suffix.compile(keras.optimizers.Adam(config.learning_rate), "mse")
    fitting.fit(record, prefix, "head", config.epochs, patience=20)

    pixels = keras.Input((None, None, 1), name="pixels")
    preprocessing = keras.Model(pixels, backbone.preprocess(resize(pixels)), name="preprocessing")
    raw = keras.Input((None, None, 1), name="grids")
    this = sys.modules[__name__]
    return record.finish(
        prefix, "a head on random features", task=this, sections=[this],
        raw_input=keras.Model(raw, model(preprocessing(raw), training=False)),
    )  # fmt: skip


# Its task and its section ---------------------------------------------------------------------------------------------

HEADLINE = "error"


def evaluate(predictions, splits, side, seed=0, groups=None):
    values = splits.targets.mean + predictions[:, 0]
    errors_of = np.abs(values - splits.labels(side))
    guessed = np.abs(splits.targets.mean - splits.labels(side))
    return {"n": len(values), "error": float(errors_of.mean()), "error_of_the_mean": float(guessed.mean())}


def page(run, saved, parts):
    rows = [f"{row['label']}: {float(row['predicted']):.1f}" for row in run.predictions]
    assert run.medium == Grids() and saved.medium == Grids(brightest=1.2) and not parts
    return f"<p>{len(rows)} {run.unit}s</p>" + "".join(rows)


def summary(result):
    return f"error {result.results['test']['error']:.2f} on {result.results['test']['n']} {result.unit}s"
