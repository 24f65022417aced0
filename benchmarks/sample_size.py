"""Compare feature extraction, partial and gradual unfreezing on few photos: 165 and 330 labelled flowers.

After `python data/flowers/prepare.py`, or with `--data` of your own:

    python benchmarks/sample_size.py
    python benchmarks/sample_size.py --backbone MobileNetV2:0.35 --labelled 100 --splits 3

A tenth of the labelled photos is for validation and the rest for training; all others are for the test. The sizes are
those of the Keras example https://keras.io/examples/keras_recipes/sample_size_estimate/, which printed 0.807 and 0.875
on the whole of tf_flowers. The chosen strategy is the one with the best validation accuracy, whatever its test
accuracy.
"""

import dataclasses
import pathlib
import statistics
import sys

import tables
import tyro

from common.data import sources
from common.media import photos as media_photos
from recipes import feature_extraction, gradual_unfreezing, partial_unfreezing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Three strategies on few labelled photos, over random splits."""

    data: str = "data/flowers/photos"  # a folder of class folders; data/flowers/prepare.py makes this one
    backbone: str = "MobileNetV2"  # a name in keras.applications
    labelled: tuple[int, ...] = (165, 330)  # numbers of photos for training and validation
    splits: int = 5  # number of seeds, each with its own split
    first_seed: int = 0  # the seed of the first split
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs


# The settings that the three share, and those that each adds.
SHARED = {
    "head": "gap",
    "learning_rate": 3e-3,
    "dropout": 0.0,
    "l2": 0.01,
    "image_size": 256,
    "flip": True,
    "rotation": 15.0,
    "zoom": 0.2,
    "contrast": 0.2,
}
FINE_TUNING = {"fine_tuning_rate": 3e-4}
# The deepest cut comes first, so that the features of the others are computed from those of the one before.
STRATEGIES = {
    "gradual unfreezing": (gradual_unfreezing, {"max_blocks": 3} | FINE_TUNING),
    "partial unfreezing": (partial_unfreezing, {"unfreeze_from": "block_16"} | FINE_TUNING),
    "feature extraction": (feature_extraction, {}),
}


def main(benchmark: Config) -> None:
    """Print the table."""
    rows = []
    photos = len(sources.read_source(benchmark.data, pathlib.Path(), media_photos.PHOTOS))
    for labelled in benchmark.labelled:
        fractions = {"validation_fraction": labelled / 10 / photos, "test_fraction": 1 - labelled / photos}
        results = {name: [] for name in STRATEGIES}
        for seed in range(benchmark.first_seed, benchmark.first_seed + benchmark.splits):
            for name, (recipe, settings) in STRATEGIES.items():
                config = recipe.Config(
                    data=benchmark.data, backbone=benchmark.backbone, seed=seed, out=benchmark.out,
                    **SHARED | fractions | settings,
                )  # fmt: skip
                results[name].append(tables.run_quietly(recipe, config))
                print(f"{labelled}, seed {seed}, {name}: {results[name][-1]['test']['accuracy']:.3f}", file=sys.stderr)
        chosen = max(results, key=lambda name: mean_accuracy(results[name], "validation"))
        for name, found in results.items():
            accuracies = [result["test"]["accuracy"] for result in found]
            sizes = "{train} + {validation} / {test}".format(**found[0]["data"])
            rows.append([
                sizes, name, f"{mean_accuracy(found, 'test'):.3f}", tables.median_and_range(accuracies),
                tables.median_and_range([seconds_without_features(result) for result in found], 0),
                "chosen" if name == chosen else "",
            ])  # fmt: skip
    columns = ["train + validation / test", "strategy", "test accuracy, mean", "median (range)",
               "seconds, features apart", "on validation"]  # fmt: skip
    print(tables.markdown(columns, rows))
    print(tables.footer(f"{benchmark.splits} random splits"))


def seconds_without_features(result: dict) -> float:
    """Return a run's seconds without the features, which the strategies share and whichever comes first computes."""
    return result["cost"]["seconds"] - result["cost"]["prefix_seconds"]


def mean_accuracy(results: list[dict], side: str) -> float:
    """Return the accuracy on one side of the split, as the mean over the splits."""
    return statistics.mean(result[side]["accuracy"] for result in results)


if __name__ == "__main__":
    main(tyro.cli(Config))
