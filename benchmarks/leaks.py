"""Measure what a split that ignores groups claims: the same photos, split by group and by photo.

The data are a CSV with the columns path, label and group, such as those of `data/traffic_signs/prepare.py` and
`data/product_defects/prepare.py`:

    python benchmarks/leaks.py --data data/product_defects/tiles.csv --backbone MobileNetV2:0.35 \\
        --last-layer block_13_expand_relu

With a fifth of the groups in the test, the default of 15 splits tests each about three times.
"""

import csv
import dataclasses
import pathlib
import statistics
import sys
import tempfile
from typing import Any, Literal

import photos
import tables
import tyro

from common import files
from recipes import linear_probe

RECIPES = photos.RECIPES | {"linear_probe": linear_probe}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A recipe on photos with groups, split by group and by photo."""

    data: pathlib.Path  # a CSV with path, label and group
    recipe: Literal["linear_probe", "feature_extraction", "partial_unfreezing", "gradual_unfreezing"] = "linear_probe"
    backbone: str = "MobileNetV2"  # as in the recipe
    weights: str | None = None  # as in the recipe
    last_layer: str | None = None  # as in the recipe
    image_size: int | None = None  # as in the recipe
    classifier: str | None = None  # as in linear_probe
    pool_grid: int | None = None  # as in linear_probe
    kinds: tuple[Literal["group", "photo"], ...] = ("group", "photo")  # ways to split
    splits: int = 15  # number of seeds, each with its own split
    test_fraction: float = 0.2  # as in the recipe
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs
    cache: pathlib.Path | None = None  # as in the recipe


def without_groups(table: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Write the table without its column `group`, and return the path."""
    with open(table, newline="", encoding="utf-8") as file:
        rows = [(str(table.parent.resolve() / row["path"]), row["label"]) for row in csv.DictReader(file)]
    path = folder / "without_groups.csv"
    files.write_csv(path, ["path", "label"], rows)
    return path


def main(config: Config) -> None:
    """Print the table."""
    recipe, rows = RECIPES[config.recipe], []
    shared: dict[str, Any] = {
        name: getattr(config, name)
        for name in ("backbone", "weights", "last_layer", "image_size", "test_fraction", "out", "cache")
    }
    probe = {name: getattr(config, name) for name in ("classifier", "pool_grid")}
    shared |= {name: value for name, value in probe.items() if value is not None}
    with tempfile.TemporaryDirectory() as folder:
        tables_of = {"group": config.data, "photo": without_groups(config.data, pathlib.Path(folder))}
        for kind in config.kinds:
            results = []
            for seed in range(config.splits):
                settings = recipe.Config(data=str(tables_of[kind]), seed=seed, no_baselines=True, **shared)
                results.append(tables.run_quietly(recipe, settings))
                print(f"by {kind}, seed {seed}: {results[-1]['test']['balanced_accuracy']:.3f}", file=sys.stderr)
            found = {name: [result["test"][name] for result in results] for name in ("accuracy", "balanced_accuracy")}
            told = [f"{statistics.mean(each):.3f}, {tables.median_and_range(each)}" for each in found.values()]
            rows.append([f"by {kind}", *told])
    print(tables.markdown(["split", "accuracy: mean, median (range)", "balanced accuracy"], rows))
    print(tables.footer(f"{config.splits} splits, {config.recipe}"))


if __name__ == "__main__":
    main(tyro.cli(Config))
