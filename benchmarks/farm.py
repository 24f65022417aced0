"""Measure what a network learns if each class comes from another source: horses, people and dogs of PACS.

    python benchmarks/farm.py --data PACS/kfold/

Training photos are of one domain (`photo`), or each class is of another domain. Each model is tested on new photos of
the same kind, and of the other kind. The classes are of three domains in turn, with several seeds.
"""

import dataclasses
import pathlib
import random
import statistics
import sys
import tempfile

import tables
import tyro

from common import files
from recipes import linear_probe

CLASSES = ("horse", "person", "dog")
DOMAINS = ("photo", "cartoon", "sketch")
SIDES = {"train": 34, "validation": 6, "test": 20}  # photos of a class in a domain


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Logistic regression on classes from one source and from several, over seeds."""

    data: pathlib.Path  # PACS, with a folder for each domain
    backbone: str = "MobileNetV2:0.35"  # as in the recipe
    weights: str | None = None  # as in the recipe
    image_size: int = 160  # in pixels
    seeds: int = 3  # each with another choice of photos
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs
    cache: pathlib.Path | None = None  # as in the recipe


def photos_of(config: Config, name: str, domain: str, side: str, seed: int) -> list[str]:
    """Return the photos of a class and domain on a side of the split."""
    paths = sorted((config.data / domain / name).glob("*.jpg"))
    paths = random.Random(f"{seed} {domain} {name}").sample(paths, sum(SIDES.values()))
    start = sum(count for each, count in SIDES.items() if list(SIDES).index(each) < list(SIDES).index(side))
    return [str(path.resolve()) for path in paths[start : start + SIDES[side]]]


def run_of(config: Config, training: tuple[str, ...], testing: tuple[str, ...], seed: int) -> dict:
    """Train on classes of some domains and test on new photos of classes of others; return the results."""
    rows = []
    for side in SIDES:
        for name, domain in zip(CLASSES, testing if side == "test" else training, strict=True):
            rows += [(path, name, side) for path in photos_of(config, name, domain, side, seed)]
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "farm.csv"
        files.write_csv(table, ["path", "label", "split"], rows)
        settings = linear_probe.Config(
            data=str(table), backbone=config.backbone, weights=config.weights, image_size=config.image_size, seed=seed,
            out=config.out, cache=config.cache, no_baselines=True,
        )  # fmt: skip
        return tables.run_quietly(linear_probe, settings)


def main(config: Config) -> None:
    """Print the table."""
    one = (DOMAINS[0],) * len(CLASSES)
    mixed = [DOMAINS[turn:] + DOMAINS[:turn] for turn in range(len(DOMAINS))]
    pairs = {
        ("one source", "the same"): [(one, one)],
        ("one source", "each class of another source"): [(one, each) for each in mixed],
        ("each class of another source", "the same"): [(each, each) for each in mixed],
        ("each class of another source", "one source"): [(each, one) for each in mixed],
        ("each class of another source", "sources exchanged"): [
            (each, other) for each, other in zip(mixed, mixed[1:] + mixed[:1], strict=True)
        ],
    }
    rows = []
    for names, each in pairs.items():
        results = [run_of(config, *pair, seed) for pair in each for seed in range(config.seeds)]
        accuracies = [result["test"]["accuracy"] for result in results]
        print(f"{names}: {accuracies}", file=sys.stderr)
        rows.append([*names, f"{statistics.mean(accuracies):.3f}", tables.median_and_range(accuracies), len(results)])
    print(tables.markdown(["trained on", "tested on", "accuracy, mean", "median (range)", "runs"], rows))
    print(tables.footer(f"{config.seeds} seeds, and three ways to give the classes a source"))


if __name__ == "__main__":
    main(tyro.cli(Config))
