"""Compare augmentations and penalties on real photos, each paired with none: the same splits, the same test photos.

After `python data/flowers/prepare.py`, or with `--data` of your own:

    python benchmarks/augmentations.py
    python benchmarks/augmentations.py --recipe partial_unfreezing --methods none mixup randaugment

A method's difference is the mean over all seeds and test photos, with its interval and p from the test that
`compare_strategies` uses for two strategies; p is adjusted for the number of methods after Holm.
"""

import dataclasses
import pathlib
import statistics
import sys
from typing import Literal

import photos
import tables
import tyro

from common.compare import differences, trial_run

SHAPE = {"flip": True, "rotation": 15.0, "zoom": 0.2}
COLOURS = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}
METHODS = {
    "none": {},
    "shape": SHAPE,
    "colours": COLOURS,
    "erasing": {"erasing": 0.5},
    "randaugment": {"flip": True, "randaugment": 7.0},
    "mixup": {"mixup": 0.2},
    "mixup_strong": {"mixup": 1.0},
    "cutmix": {"cutmix": 1.0, "no_cache": True, "epochs": 60},  # an epoch of photos is slow
    "label_smoothing": {"label_smoothing": 0.1},
    "l1": {"l1": 1e-4},
    "l2": {"l2": 1e-2},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Augmentations and penalties, each paired with none, over seeds."""

    data: str = "data/flowers/photos"  # a folder of class folders; data/flowers/prepare.py makes this one
    backbone: str = "MobileNetV2:0.35"  # a name in keras.applications
    weights: str | None = None  # as in the recipe
    image_size: int = 160  # in pixels
    recipe: Literal["feature_extraction", "partial_unfreezing", "gradual_unfreezing"] = "feature_extraction"
    methods: tuple[str, ...] = tuple(METHODS)  # names of the settings above; none is always run
    seeds: int = 5  # each with another split
    epochs: int = 200  # an upper limit, since early stopping ends the training
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs
    cache: pathlib.Path | None = None  # as in the recipe


def run_of(config: Config, name: str, seed: int) -> trial_run.Run:
    """Train with a method, and return its run."""
    recipe = photos.RECIPES[config.recipe]
    shared = {
        "data": config.data, "backbone": config.backbone, "weights": config.weights, "image_size": config.image_size,
        "epochs": config.epochs, "seed": seed, "out": config.out, "cache": config.cache, "no_baselines": True,
    }  # fmt: skip
    settings = recipe.Config(**shared | METHODS[name])
    directory = tables.finish_quietly(recipe, settings).directory
    run = trial_run.Run(name, config.backbone, seed, 1.0, name, True, "", directory)
    print(f"{name}, seed {seed}: {run.accuracy:.3f}", file=sys.stderr)
    return run


def rows_of(runs: dict[str, list[trial_run.Run]]) -> list[list[str]]:
    """Return the rows of the table from the runs of each method, of which none is the first."""
    found = {name: differences.difference(runs[name], runs["none"]) or {} for name in list(runs)[1:]}
    tested = [name for name in found if found[name].get("p") is not None]
    adjusted = dict(zip(tested, trial_run.holm([found[name]["p"] for name in tested]), strict=True))
    rows = []
    for name, each in runs.items():
        settings = " ".join(f"{key}={value}" for key, value in METHODS[name].items())
        paired = ["", ""]
        if name in adjusted:
            low, high = found[name]["interval"]
            size = f"{100 * found[name]['difference']:+.1f} ({100 * low:+.1f} – {100 * high:+.1f})"
            paired = [size, f"{adjusted[name]:.2g}"]
        gaps = [100 * (run.results["train"]["accuracy"] - run.results["validation"]["accuracy"]) for run in each]
        rows.append([
            name, settings, tables.median_and_range([run.accuracy for run in each]), *paired,
            f"{statistics.mean(run.results['test']['log_loss'] for run in each):.3f}", f"{statistics.mean(gaps):.1f}",
            tables.median_and_range([run.seconds for run in each], 0),
        ])  # fmt: skip
    return rows


def main(config: Config) -> None:
    """Print the table."""
    names = list(dict.fromkeys(["none", *config.methods]))
    runs = {name: [run_of(config, name, seed) for seed in range(config.seeds)] for name in names}
    columns = ["method", "settings", "test accuracy", "points against none (95 %)", "p after Holm", "log loss, mean",
               "train − validation, points", "seconds without features"]  # fmt: skip
    print(tables.markdown(columns, rows_of(runs)))
    print(tables.footer(f"{config.seeds} seeds, {config.recipe}"))


if __name__ == "__main__":
    main(tyro.cli(Config))
