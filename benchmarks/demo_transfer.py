"""Is a pretrained base worth it? The demo's task, 20 training photos per class, from the base and from scratch.

    python benchmarks/demo_transfer.py

Both networks are the same narrow VGG16; the one from scratch has batch norm, which its training needs. It trains all
layers, with the learning rate that is best on validation and twice the patience. The test photos are read once, after
all choices.
"""

import dataclasses
import pathlib
import sys
import tempfile
import types
from typing import Any

import tables

from recipes import feature_extraction, from_scratch

SEEDS = 5


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as out:
        pretrained = feature_extraction.Config(out=pathlib.Path(out))
        scratch = from_scratch.Config(out=pathlib.Path(out), epochs=100)
        rows = [
            row("pretrained base, new head", feature_extraction, pretrained),
            row("from scratch, all layers", from_scratch, scratch),
        ]
    print(tables.markdown(["demo, 120 training photos, 6 classes", "test accuracy", "epochs", "seconds"], rows))
    print(tables.footer(f"{SEEDS} seeds"))


def row(name: str, recipe: types.ModuleType, config: Any) -> list[str]:
    """Run a recipe over the seeds, and return one line of the table."""
    results = []
    for seed in range(SEEDS):
        results.append(tables.run_quietly(recipe, dataclasses.replace(config, seed=seed)))
        print(f"{name}, seed {seed}: {results[-1]['test']['accuracy']:.3f}", file=sys.stderr)
    return [
        name,
        tables.median_and_range([result["test"]["accuracy"] for result in results]),
        tables.median_and_range([result["cost"]["epochs"] for result in results], 0),
        tables.median_and_range([result["cost"]["seconds"] for result in results], 0),
    ]


if __name__ == "__main__":
    main()
