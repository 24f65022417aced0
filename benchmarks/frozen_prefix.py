"""Ten epochs of VGG16 feature extraction: the documentation's code against the frozen prefix, side by side.

    python benchmarks/frozen_prefix.py
    python benchmarks/frozen_prefix.py --photos 250 --epochs 10 --repeats 3

Both train the same model (VGG16 at 224 with random weights, Flatten, Dense 256, softmax; Adam) on the same noise
photos from JPEG files, in one process, in turn; the time of ours contains the extraction. Ratios are medians.
"""

import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time

import tables
import tyro

from common import backbones, config, data, frozen_prefix, generators

import keras  # isort: skip
import numpy as np
from PIL import Image

from recipes import feature_extraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The documentation's feature extraction against the frozen prefix."""

    photos: int = 120  # of two classes; 70 % train, 15 % validate
    epochs: int = 10  # of training
    repeats: int = 3  # of each, in turn
    image_size: int = 224  # pixels a side


def draw_photos(folder: pathlib.Path, count: int) -> None:
    """Noise in two classes, one brighter than the other, as JPEG files of 320 x 240."""
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 200 + 55 * (number % 2), (240, 320, 3)).astype("uint8")
        path = folder / ("bright" if number % 2 else "dark") / f"{number:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)


def train(splits, settings, epochs: int) -> tuple[dict[str, float], list[np.ndarray]]:
    """Seconds, of which extraction and second run, and the final weights."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone = backbones.load("VGG16", "none", settings.image_size)
    model = feature_extraction.build_model(backbone.model, 2, feature_extraction.Config())
    started = time.perf_counter()
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, settings)
    train_generator, val_generator, _ = prefix.generators()
    prefix.suffix.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    prefix.suffix.fit(
        train_generator,
        epochs=epochs,
        steps_per_epoch=generators.steps(len(splits.train), settings.batch_size),
        validation_data=val_generator,
        verbose=0,
        shuffle=False,
    )
    return {"seconds": time.perf_counter() - started, "extraction": prefix.seconds}, model.get_weights()


def main(benchmark: Config) -> None:
    """Prints the table and the largest difference of the final weights."""
    ways = {"documentation": {"no_cache": True}, "frozen prefix": {}, "frozen prefix, second run": {}}
    seconds = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "photos").mkdir()
        draw_photos(folder / "photos", benchmark.photos)
        for repeat in range(benchmark.repeats):
            weights = {}
            (folder / f"run{repeat}").mkdir()
            shared = config.SharedConfig(
                data=str(folder / "photos"), cache=folder / f"cache{repeat}", image_size=benchmark.image_size
            )
            splits = data.load(shared, folder / f"run{repeat}")
            for way, change in ways.items():
                cost, weights[way] = train(splits, dataclasses.replace(shared, **change), benchmark.epochs)
                seconds[way].append(cost["seconds"])
                print(f"{way}: {cost['seconds']:.1f} s, extraction {cost['extraction']:.1f} s", file=sys.stderr)
            pairs = zip(weights["documentation"], weights["frozen prefix"], strict=True)
            difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    rows = [
        [way, tables.median_and_range(values, 1), f"{statistics.median(ratios(seconds, way)):.1f}x"]
        for way, values in seconds.items()
    ]
    columns = [f"VGG16 at {benchmark.image_size}, {len(splits.train)} + {len(splits.validation)} photos, "
               f"{benchmark.epochs} epochs", "seconds", "faster"]  # fmt: skip
    print(tables.markdown(columns, rows))
    print(f"\nlargest difference of a final weight: {difference:.1e}")
    print(tables.footer(f"{benchmark.repeats} repeats"))


def ratios(seconds: dict[str, list[float]], way: str) -> list[float]:
    """How many times faster than the documentation's code, repeat by repeat."""
    return [slow / fast for slow, fast in zip(seconds["documentation"], seconds[way], strict=True)]


if __name__ == "__main__":
    main(tyro.cli(Config))
