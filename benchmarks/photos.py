"""Measure a recipe on a folder of real photos: test accuracy and cost over seeds, one line per backbone.

After `python data/flowers/prepare.py`, or with `--data` of your own:

    python benchmarks/photos.py --seeds 10
    python benchmarks/photos.py --recipe partial_unfreezing
    python benchmarks/photos.py --recipe partial_unfreezing --cache-dtype float16
"""

import dataclasses
import pathlib
import sys
from typing import Literal

import tables
import tyro

from recipes import feature_extraction, gradual_unfreezing, partial_unfreezing

RECIPES = {
    "feature_extraction": feature_extraction,
    "partial_unfreezing": partial_unfreezing,
    "gradual_unfreezing": gradual_unfreezing,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A recipe on real photos, over seeds."""

    data: str = "data/flowers/photos"  # a folder of class folders; data/flowers/prepare.py makes this one
    backbones: tuple[str, ...] = ("MobileNetV2", "MobileNetV2:0.35")  # names in keras.applications
    recipe: Literal["feature_extraction", "partial_unfreezing", "gradual_unfreezing"] = "feature_extraction"
    head: Literal["flatten", "gap"] = "gap"  # as in the recipe
    cache_dtype: Literal["float32", "float16"] = "float32"  # as in the recipe
    seeds: int = 3  # each with another split
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs


def main(config: Config) -> None:
    """Print the table."""
    recipe, rows = RECIPES[config.recipe], []
    for backbone in config.backbones:
        shared = {"data": config.data, "backbone": backbone, "head": config.head, "cache_dtype": config.cache_dtype}
        results = [
            tables.run_quietly(recipe, recipe.Config(**shared, seed=seed, out=config.out))
            for seed in range(config.seeds)
        ]
        accuracies = [result["test"]["accuracy"] for result in results]
        print(f"{backbone}: {accuracies}", file=sys.stderr)
        seconds = tables.median_and_range([result["cost"]["seconds"] for result in results], 0)
        sizes = results[0]["data"]
        photos = f"{sizes['train']} / {sizes['validation']} / {sizes['test']}"
        size = f"{results[0]['cost']['cache_bytes'] / 1e6:,.1f}"
        rows.append([f"{backbone}, {config.head}", photos, tables.median_and_range(accuracies), seconds, size])
    columns = ["backbone, head", "train / validation / test", "test accuracy", "seconds", "features, MB"]
    print(tables.markdown(columns, rows))
    print(tables.footer(f"{config.seeds} seeds"))


if __name__ == "__main__":
    main(tyro.cli(Config))
