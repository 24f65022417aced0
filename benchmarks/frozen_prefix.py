"""Measure what the frozen prefix saves: the documentation's code, the Keras guide's, plain PyTorch's and ours.

    python benchmarks/frozen_prefix.py
    python benchmarks/frozen_prefix.py --ways documentation guide pytorch ours --epochs 1 5 10 30 --repeats 1
    python benchmarks/frozen_prefix.py --measure efficiency
    python benchmarks/frozen_prefix.py --measure growth

All ways train the same model from the same weights (VGG16 with random weights, Flatten, Dense 256, softmax; Adam)
on the same batches of the same noise photos, in one process, in turn. The time is from the JPEG files to the trained
weights; the models are built before. Ours includes the scan of the files, which is all that "features in the cache"
reads of them. The others keep the photos in memory, like `train_images` in the articles. Ratios are medians over the
repeats.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Literal

import keras
import numpy as np
import tables
import tyro
from PIL import Image

from common.data import dataset, pipeline
from common.data import splits as data_splits
from common.features import frozen_prefix
from common.media import medium, photos
from common.models import backbones, blocks, freezing, raw_input
from common.runs import cost
from common.training import settings as training_settings
from recipes import feature_extraction

Task = Literal["feature_extraction", "layer_15"]
FIRST_TRAINED = {"feature_extraction": 19, "layer_15": 15}  # index of VGG16's first layer that trains
SIZES = (250, 1000, 4000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Measure what the frozen prefix saves."""

    measure: Literal["speed", "efficiency", "growth"] = "speed"  # the quantity to measure
    ways: tuple[Literal["documentation", "guide", "pytorch", "ours"], ...] = ("documentation", "ours")  # to compare
    tasks: tuple[Task, ...] = ("feature_extraction", "layer_15")  # which part trains
    photos: int = 120  # number of photos, of two classes; 15 % of them are for validation
    epochs: tuple[int, ...] = (1, 5, 10)  # the time is measured after each of these
    optimizer: Literal["adam", "sgd"] = "adam"  # the articles use adam; sgd, with momentum, does not magnify rounding
    repeats: int = 3  # repeats of each, in turn
    image_size: int = 224  # pixels per side
    folder: pathlib.Path | None = None  # the photos of one size, which growth measures in a separate process


@dataclasses.dataclass(frozen=True)
class Work:
    """The input of every way: photos on disk, the settings, the initial weights."""

    task: str
    splits: data_splits.Splits
    settings: training_settings.PhotoConfig
    epochs: int
    optimizer: str
    initial: list[np.ndarray]

    def compile(self, model: keras.Model) -> None:
        """Compile a model as in the articles, or with `SGD(1e-3, momentum=0.9)`."""
        optimizer = {"adam": keras.optimizers.Adam(), "sgd": keras.optimizers.SGD(1e-3, momentum=0.9)}[self.optimizer]
        model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])


class Clock(keras.callbacks.Callback):
    """A clock of the seconds since its creation, at the end of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.seconds = time.perf_counter(), []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.started)


class InMemory(keras.utils.PyDataset):
    """Batches of `train_images, train_labels` in the order of the recipes, so that all ways see the same batches."""

    def __init__(self, photos: np.ndarray, labels: np.ndarray, settings: training_settings.PhotoConfig) -> None:
        super().__init__()
        self.photos, self.labels, self.settings, self.epoch = photos, labels, settings, 0

    def __len__(self) -> int:
        return pipeline.steps(len(self.photos), self.settings.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        order = np.array(pipeline.epoch_order(len(self.photos), self.settings.seed, self.epoch))
        chosen = order[step * self.settings.batch_size : (step + 1) * self.settings.batch_size]
        return self.photos[chosen], self.labels[chosen]

    def on_epoch_end(self) -> None:
        self.epoch += 1


# The ways: each returns the seconds after every epoch and the final weights -----------------------------------------


def documentation(work: Work) -> tuple[list[float], list[np.ndarray]]:
    """Train with the articles' code, line by line."""
    base_model = keras.applications.VGG16(include_top=False, weights=None, input_shape=_shape(work))
    x = keras.layers.Flatten()(base_model.output)
    x = keras.layers.Dense(256, activation="relu")(x)
    output = keras.layers.Dense(2, activation="softmax")(x)
    model = keras.Model(inputs=base_model.input, outputs=output)
    for layer in base_model.layers[: FIRST_TRAINED[work.task]]:
        layer.trainable = False
    return _fitted(model, work)


def guide(work: Work) -> tuple[list[float], list[np.ndarray]]:
    """Train as in https://keras.io/guides/transfer_learning/: the base is a layer, called with `training=False`."""
    base_model = keras.applications.VGG16(include_top=False, weights=None, input_shape=_shape(work))
    for layer in base_model.layers[: FIRST_TRAINED[work.task]]:
        layer.trainable = False
    inputs = keras.Input(shape=_shape(work))
    x = base_model(inputs, training=False)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(256, activation="relu")(x)
    return _fitted(keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)), work)


def _fitted(model: keras.Model, work: Work) -> tuple[list[float], list[np.ndarray]]:
    model.set_weights(work.initial)
    work.compile(model)
    clock = Clock()
    (train, train_labels), validation = (_in_memory(work, split) for split in ("train", "validation"))
    train_generator = InMemory(train, train_labels, work.settings)
    model.fit(train_generator, epochs=work.epochs, validation_data=validation, verbose=0, shuffle=False,
              callbacks=[clock])  # fmt: skip
    return clock.seconds, model.get_weights()


def pytorch(work: Work) -> tuple[list[float], list[np.ndarray]]:
    """Train the same in plain PyTorch 2."""
    import torch_vgg16  # PyTorch is not among the requirements

    model = torch_vgg16.Classifier(work.initial, FIRST_TRAINED[work.task])
    clock = Clock()
    train, validation = (_in_memory(work, split) for split in ("train", "validation"))
    batches = InMemory(*train, work.settings)
    for epoch in torch_vgg16.epochs_of(model, batches, validation, work.epochs, work.optimizer):
        clock.on_epoch_end(epoch)
    return clock.seconds, model.keras_weights()


def ours(work: Work) -> tuple[list[float], list[np.ndarray]]:
    """Train with the frozen prefix, as the recipes do."""
    backbone = backbones.load("VGG16", "none", work.settings.image_size)
    model = feature_extraction.build_model(backbone.model, 2, feature_extraction.Config(head="flatten"))
    freezing.unfreeze(backbone.model, FIRST_TRAINED[work.task])
    model.set_weights(work.initial)
    clock = Clock()
    splits = splits_of(work.settings)
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, work.settings)
    train_generator, val_generator, _ = prefix.generators()
    work.compile(prefix.suffix)
    prefix.suffix.fit(
        train_generator, epochs=work.epochs, validation_data=val_generator, verbose=0, shuffle=False,
        steps_per_epoch=pipeline.steps(len(work.splits.train), work.settings.batch_size), callbacks=[clock],
    )  # fmt: skip
    return clock.seconds, model.get_weights()


def _shape(work: Work) -> tuple[int, int, int]:
    return (work.settings.image_size, work.settings.image_size, 3)


def _in_memory(work: Work, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return photos as VGG16 takes them, float32 (n, height, width, 3), and their one-hot labels."""
    resize = raw_input.resizing(work.settings.image_size, "squash")
    paths = work.splits.paths(split)
    batches = pipeline.look_batches(
        paths,
        [medium.PLAIN] * len(paths),
        resize,
        work.settings.batch_size,
        keras.applications.vgg16.preprocess_input,
        photos.PHOTOS,
    )
    return np.concatenate([np.array(batch) for batch in batches]), np.eye(2, dtype="float32")[work.splits.labels(split)]


# Speed --------------------------------------------------------------------------------------------------------------


def measure_speed(benchmark: Config, folder: pathlib.Path) -> None:
    """Print the seconds of every way after each number of epochs, compared with the documentation's code.

    The table also has the speed-up, and the largest difference between the final weights and those of that code.
    """
    functions = {"documentation": documentation, "guide": guide, "pytorch": pytorch, "ours": ours}
    names = {"documentation": "the documentation's code", "guide": "the Keras guide", "pytorch": "plain PyTorch",
             "ours": "ours, photos never seen", "again": "ours, features in the cache"}  # fmt: skip
    splits, settings = photos_of(benchmark, folder)
    rows = []
    for task in benchmark.tasks:
        taken, weights = {}, {}
        for repeat in range(benchmark.repeats):
            for way in [*benchmark.ways, *(["again"] if "ours" in benchmark.ways else [])]:
                cache = folder / f"cache-{task}-{repeat}"
                own = dataclasses.replace(settings, cache=cache)
                work = Work(task, splits, own, max(benchmark.epochs), benchmark.optimizer, initial(benchmark))
                keras.utils.clear_session()
                seconds, weights[way] = functions[way.replace("again", "ours")](work)
                taken.setdefault(way, []).append([seconds[epoch - 1] for epoch in benchmark.epochs])
                print(f"{task}, {way}: {', '.join(f'{s:.1f}' for s in taken[way][-1])} s", file=sys.stderr)
        rows += [
            [task.replace("_", " "), names[way], *cells(taken[way], taken.get("documentation")),
             f"{largest_difference(weights[way], weights.get('documentation', weights[way])):.1e}"]
            for way in taken
        ]  # fmt: skip
    sizes = f"VGG16 at {benchmark.image_size}, {len(splits.train)} + {len(splits.validation)} photos"
    columns = [sizes, "", *(f"{epochs} epochs" for epochs in benchmark.epochs), "weights differ by"]
    print(tables.markdown(columns, rows))
    print(tables.footer(f"{benchmark.repeats} repeats"))


def initial(benchmark: Config) -> list[np.ndarray]:
    """Return the weights from which every way starts."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    base_model = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(benchmark.image_size,) * 2 + (3,)
    )
    return feature_extraction.build_model(base_model, 2, feature_extraction.Config(head="flatten")).get_weights()


def cells(seconds: list[list[float]], slow: list[list[float]] | None) -> list[str]:
    """Return `12.3 s, 8.1x` for each number of epochs: medians over the repeats, with the range of the ratio."""
    found = []
    for column in range(len(seconds[0])):
        median = statistics.median(row[column] for row in seconds)
        ratios = [b[column] / a[column] for a, b in zip(seconds, slow or seconds, strict=True)]
        spread = f" ({min(ratios):.1f} – {max(ratios):.1f})" if len(ratios) > 1 else ""
        found.append(f"{median:.1f} s, {statistics.median(ratios):.1f}x{spread}")
    return found


def largest_difference(weights: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Return the largest difference of any weight."""
    return max(float(np.abs(a - b).max()) for a, b in zip(weights, others, strict=True))


def photos_of(benchmark: Config, folder: pathlib.Path) -> tuple[data_splits.Splits, training_settings.PhotoConfig]:
    """Write noise photos to disk, and return their splits, without a test set, and the settings to read them."""
    draw_photos(folder / "photos", benchmark.photos)
    settings = training_settings.PhotoConfig(
        data=str(folder / "photos"), cache=folder / "cache", image_size=benchmark.image_size, cache_limit_gb=100
    )
    return splits_of(settings), settings


def splits_of(settings: training_settings.PhotoConfig) -> data_splits.Splits:
    """Return the photos as the recipes find and scan them; those of the test are added to the training."""
    with tempfile.TemporaryDirectory() as name:
        splits = dataset.load(settings, pathlib.Path(name), photos.PHOTOS)
    return dataclasses.replace(splits, train=splits.train + splits.test, test=[])


def draw_photos(folder: pathlib.Path, count: int) -> None:
    """Write noise in two classes, one brighter than the other, as JPEG files of 320 x 240."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 200 + 55 * (number % 2), (240, 320, 3)).astype("uint8")
        path = folder / ("bright" if number % 2 else "dark") / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


# Efficiency ---------------------------------------------------------------------------------------------------------


def measure_efficiency(benchmark: Config, folder: pathlib.Path) -> None:
    """Print the speed as a share of what the machine can do.

    The extraction is compared with `base.predict`, the training of the suffix with a bare loop of `train_on_batch`,
    both on arrays in memory.
    """
    splits, settings = photos_of(benchmark, folder)
    photos = [path for split in ("train", "validation") for path in splits.paths(split)]
    rates = {row: ([], []) for row in ("extraction", *(f"{task} suffix" for task in benchmark.tasks))}
    for repeat in range(benchmark.repeats):
        for task in ("feature_extraction", *benchmark.tasks):
            cache = folder / f"cache-{repeat}-{task}"
            own = dataclasses.replace(settings, cache=cache)
            work = Work(task, splits, own, 6, benchmark.optimizer, initial(benchmark))
            keras.utils.clear_session()
            backbone = backbones.load("VGG16", "none", benchmark.image_size)
            model = feature_extraction.build_model(backbone.model, 2, feature_extraction.Config(head="flatten"))
            freezing.unfreeze(backbone.model, FIRST_TRAINED[task])
            new = not cache.exists()
            prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, own)
            if task == "feature_extraction" and new:
                array, _ = _in_memory(work, "train")
                backbone.model.predict(array[:32], verbose=0)
                seconds = timed(lambda: backbone.model.predict(array, batch_size=32, verbose=0))  # noqa: B023
                rates["extraction"][0].append(len(photos) / prefix.seconds)
                rates["extraction"][1].append(len(array) / seconds)
                print(f"extraction: {rates['extraction']}", file=sys.stderr)
            else:
                for found, seconds in zip(rates[f"{task} suffix"], suffix_seconds(prefix, work), strict=True):
                    found.append(len(splits.train) / seconds)
                print(f"{task}: {rates[f'{task} suffix']}", file=sys.stderr)
    rows = []
    for name, (ours, bare) in rates.items():
        shares = [a / b for a, b in zip(ours, bare, strict=True)]
        rows.append([name, *(tables.median_and_range(values, 1) for values in (ours, bare)),
                     tables.median_and_range(shares, 2)])  # fmt: skip
    columns = [f"photos/s, VGG16 at {benchmark.image_size}, {len(photos)} photos", "ours", "the machine", "share"]
    print(tables.markdown(columns, rows))
    print(tables.footer(f"{benchmark.repeats} repeats"))


def suffix_seconds(prefix: frozen_prefix.FrozenPrefix, work: Work) -> tuple[float, float]:
    """Return the median seconds of an epoch, with `fit` on cached rows and `train_on_batch` on arrays in memory."""
    steps = pipeline.steps(len(work.splits.train), work.settings.batch_size)
    train_generator, _, _ = prefix.generators()
    arrays = [(np.array(x), np.array(y)) for x, y in train_generator.take(steps)]
    work.compile(prefix.suffix)
    clock = Clock()
    prefix.suffix.fit(train_generator, steps_per_epoch=steps, epochs=work.epochs, verbose=0, shuffle=False,
                      callbacks=[clock])  # fmt: skip

    def bare_epoch() -> None:
        for x, y in arrays:
            prefix.suffix.train_on_batch(x, y)

    bare_epoch()
    bare = [timed(bare_epoch) for _ in range(work.epochs - 1)]
    return statistics.median(np.diff(clock.seconds)), statistics.median(bare)


def timed(function: Callable) -> float:
    """Return the seconds of a call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


# Growth -------------------------------------------------------------------------------------------------------------


def measure_growth(benchmark: Config, folder: pathlib.Path) -> None:
    """Print seconds and peak memory of extractions with an increasing number of photos, each in its own process."""
    rows = []
    for size in SIZES:
        draw_photos(folder / str(size), size)
        command = [sys.executable, __file__, "--measure", "growth", "--folder", str(folder / str(size))]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(ended.stdout.splitlines()[-1])
        rows.append(
            [f"{size:,}", f"{found['seconds']:.1f}", f"{found['cache'] / 1e6:,.0f}", f"{found['peak'] / 2**20:,.0f}"]
        )
        print(rows[-1], file=sys.stderr)
    print(tables.markdown(["photos", "seconds", "cache, MB", "peak memory, MiB"], rows))
    print(tables.footer("1 run of each size, MobileNetV2:0.35 at 224, cut before block_6"))


def extract(folder: pathlib.Path) -> None:
    """Run one extraction, and print its seconds, the size of the features and this process's peak memory."""
    settings = training_settings.PhotoConfig(
        data=str(folder), cache=folder.parent / f"cache-{folder.name}", image_size=224
    )
    run = folder.parent / f"run-{folder.name}"
    run.mkdir()
    splits = dataset.load(settings, run, photos.PHOTOS)
    backbone = backbones.load("MobileNetV2:0.35", "none", settings.image_size)
    model = feature_extraction.build_model(backbone.model, 2, feature_extraction.Config(head="gap"))
    freezing.unfreeze(backbone.model, blocks.layer_number(backbone.model, "block_6"))
    cost.forget_peak_memory()
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, settings)
    print(json.dumps({"seconds": prefix.seconds, "cache": prefix.cache_bytes, "peak": cost.peak_memory()}))


def main(benchmark: Config) -> None:
    """Run the chosen measurement."""
    if benchmark.folder:
        return extract(benchmark.folder)
    measure = {"speed": measure_speed, "efficiency": measure_efficiency, "growth": measure_growth}
    with tempfile.TemporaryDirectory() as name:
        measure[benchmark.measure](benchmark, pathlib.Path(name))


if __name__ == "__main__":
    main(tyro.cli(Config))
