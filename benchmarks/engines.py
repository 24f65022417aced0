"""How fast the frozen part of a network is: Keras's `predict` and `predict_on_batch` beside ONNX Runtime.

    python benchmarks/engines.py                                          # pixels in memory → features
    python benchmarks/engines.py --measure extraction --data photos/      # photos on disk → features in the cache
    python benchmarks/engines.py --measure steps                          # training, by batch size and precision

All ways of a network take turns, so that a busy machine slows all of them. Weights are random, which changes no time.
`extraction` compares with the way before: resizing by Keras's layer in `tf.data`, then `predict_on_batch`.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import keras
import numpy as np
import tables
import tensorflow as tf
import tyro

from common import devices
from common.data import dataset
from common.data import splits as data_splits
from common.features import engines, frozen_prefix, store
from common.media import photos
from common.models import backbones, freezing
from common.runs import cost, speed
from common.training import settings as training_settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compare what computes the frozen part of a network."""

    measure: Literal["networks", "extraction", "steps"] = "networks"  # the quantity to measure
    networks: tuple[str, ...] = ("MobileNetV2:0.35", "MobileNetV2", "ResNet50", "InceptionV3", "VGG16")
    data: str = "demo"  # for extraction: a folder of class folders
    batch_sizes: tuple[int, ...] = (8, 32, 128)  # for steps
    repeats: int = 5  # of each way, in turn


def in_turn(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each way's calls, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, function in ways.items():
            started = time.perf_counter()
            function()
            seconds[name] += [time.perf_counter() - started] if repeat else []
    return seconds


def table(rows: dict[str, dict[str, list[float]]], items: int, first: str, repeats: int, unit: str) -> None:
    """Print the milliseconds of each way for each network, and how many times as fast as the first way it is."""
    cells = [
        [name, *(
            f"{1000 * statistics.median(seconds) / items:.2f}"
            + (f" ({statistics.median(a / b for a, b in zip(ways[first], seconds, strict=True)):.2f}x)"
               if way != first else "")
            for way, seconds in ways.items()
        )]
        for name, ways in rows.items()
    ]  # fmt: skip
    print(tables.markdown([f"ms a photo, {unit}", *next(iter(rows.values()))], cells))
    print(tables.footer(f"{repeats} repeats in turn, ratios of the repeats"))


def pooled(name: str) -> tuple[backbones.Backbone, keras.Model]:
    """Return a network with random weights, and the model of its pooled features."""
    keras.utils.clear_session()
    backbone = backbones.load(name, "none", None)
    output = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
    return backbone, keras.Model(backbone.model.input, output)


# Pixels in memory -----------------------------------------------------------------------------------------------


def measure_networks(config: Config) -> None:
    """Print the time of 32 photos in memory."""
    rows = {}
    for name in config.networks:
        backbone, network = pooled(name)
        pixels = np.random.default_rng(0).normal(size=(32, backbone.image_size, backbone.image_size, 3))
        batch = pixels.astype("float32")
        with tempfile.TemporaryDirectory() as folder:
            ways = {
                "predict": functools.partial(network.predict, batch, verbose=0),
                "predict_on_batch": functools.partial(network.predict_on_batch, batch),
            }
            if loaded := engines.load(network, pathlib.Path(folder) / "network.onnx", batch[: engines.CHECKED]):
                ways["ONNX Runtime"] = functools.partial(loaded.predict_on_batch, batch)
            if devices.has_bfloat16():
                ways["Keras, bfloat16"] = functools.partial(engines.in_bfloat16(network, name).predict_on_batch, batch)
            rows[name] = in_turn(ways, config.repeats)
    table(rows, 32, "predict_on_batch", config.repeats, "in memory")


# Photos on disk -------------------------------------------------------------------------------------------------


def measure_extraction(config: Config) -> None:
    """Print the time from photos on disk to features in the cache, without that of the export."""
    rows, differences = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "run").mkdir()
        settings = training_settings.PhotoConfig(data=config.data, cache=folder / "cache")
        splits = dataset.load(settings, folder / "run", photos.PHOTOS)
        items = sum(len(side) for side in (splits.train, splits.validation, splits.test))
        for network_name in config.networks:
            backbone, network = pooled(network_name)
            freezing.freeze(backbone.model)
            model = keras.Model(backbone.model.input, keras.layers.Dense(2)(network.output))
            found: dict[str, np.ndarray] = {}
            ways = {"before": functools.partial(_before, splits, backbone, network, folder / "before", found)}
            for engine in engines.NAMES[::-1]:
                own = dataclasses.replace(settings, engine=engine)
                ways[f"now, {engine}"] = functools.partial(_now, model, backbone, splits, own, found)
            with contextlib.redirect_stderr(io.StringIO()) as told:
                rows[network_name] = in_turn(ways, config.repeats)
            print(
                *(line for line in told.getvalue().splitlines() if line.startswith("engine")), sep="\n", file=sys.stderr
            )
            differences += [
                np.abs(each - found["before"]).max() / np.abs(found["before"]).max() for each in found.values()
            ]
    table(rows, items, "before", config.repeats, f"{items} photos")
    print(f"largest difference from before: {max(differences):.0e} of the largest feature")


def _now(
    model: keras.Model, backbone: backbones.Backbone, splits: data_splits.Splits,
    settings: training_settings.PhotoConfig, found: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Compute the features as a run does; the exported network stays."""
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, settings)
    found[settings.engine] = prefix.features("train")[0]
    for shard in prefix.store.directory.glob("*.shard"):
        shard.unlink()


def _before(
    splits: data_splits.Splits, backbone: backbones.Backbone, network: keras.Model, folder: pathlib.Path,
    found: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Compute the features as before: decoded and resized in `tf.data`, portion by portion, then `predict_on_batch`."""
    network = keras.Model(network.input, network.output)  # each run traces its network once
    paths = [path for side in ("train", "validation", "test") for path in splits.paths(side)]
    portion = frozen_prefix.PORTION_BYTES // (4 * 3 * backbone.image_size**2)

    def load(path: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(lambda name: splits.reader.read(os.fsdecode(name)), [path], tf.uint8)
        pixels.set_shape((None, None, 3))
        return backbone.resize(tf.cast(pixels, tf.float32))

    def batches() -> Iterator[tuple[list[str], list[np.ndarray]]]:
        for start in range(0, len(paths), portion):
            part = paths[start : start + portion]
            pixels = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in part])
            pixels = pixels.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(32)
            pixels = pixels.map(backbone.preprocess, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)
            for number, batch in enumerate(list(pixels)):
                yield part[32 * number : 32 * number + 32], [network.predict_on_batch(batch)]

    rows = store.FeatureStore(folder / network.name, [(tuple(network.output.shape[1:]), "float32")], {})
    rows.write(batches())
    train = splits.paths("train")
    found["before"] = rows.reader(train)(range(len(train)))[0]
    for shard in rows.directory.glob("*.shard"):
        shard.unlink()


# Training -------------------------------------------------------------------------------------------------------


def measure_steps(config: Config) -> None:
    """Print the time and the peak memory of a training step of whole networks, by batch size and precision."""
    rows = []
    for name in config.networks:
        for precision in ("float32", "mixed_bfloat16"):
            for size in config.batch_sizes:
                keras.utils.clear_session()
                keras.config.set_dtype_policy(precision)
                backbone, network = pooled(name)
                head = keras.layers.Dense(5, activation="softmax", dtype="float32")(network.output)
                model = keras.Model(network.input, head)
                items = np.zeros((size, backbone.image_size, backbone.image_size, 3), "float32")
                cost.forget_peak_memory()
                _, seconds = speed.of_training(model, items, np.eye(5, dtype="float32")[np.zeros(size, int)])
                memory = cost.peak_memory() / 2**20
                rows.append([name, precision, size, f"{1000 * seconds / size:.1f}", f"{memory:,.0f}"])
                print(rows[-1], file=sys.stderr)
    keras.config.set_dtype_policy("float32")
    print(tables.markdown(["network", "precision", "batch size", "ms a photo", "peak memory, MiB"], rows))
    print(tables.footer("a few steps of each, not in turn"))


def main(config: Config) -> None:
    """Run the chosen measurement."""
    measure = {"networks": measure_networks, "extraction": measure_extraction, "steps": measure_steps}
    measure[config.measure](config)


if __name__ == "__main__":
    main(tyro.cli(Config))
