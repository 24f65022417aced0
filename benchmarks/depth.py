"""Measure how many blocks gradual unfreezing keeps on data that are like ImageNet's photos, and on data that are not.

Which data are alike is said beforehand, and not by the result. All have as many photos:

    python benchmarks/depth.py --near flowers=data/flowers/photos photos=PACS/photo \\
        --far sketches=PACS/sketch signs=data/traffic_signs/signs.csv

The unit of the test is the data set, so seeds do not make it stronger. Its p is that of all ways to call as many of the
data sets near (an exact permutation test of the difference of the mean depths, two-sided).
"""

import dataclasses
import itertools
import pathlib
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence

import numpy as np
import tables
import tyro

from common import errors, files
from common.data import sample_list, sources
from common.media import photos
from recipes import gradual_unfreezing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Gradual unfreezing on several data sets, over seeds."""

    near: tuple[str, ...]  # NAME=PATH of data like ImageNet's: photos of things
    far: tuple[str, ...]  # NAME=PATH of other data
    photos: int = 420  # of each data set, the classes alike, whole groups
    backbone: str = "MobileNetV2:0.35"  # as in the recipe
    weights: str | None = None  # as in the recipe
    image_size: int = 160  # in pixels
    max_blocks: int = 4  # as in the recipe
    seeds: int = 3  # each with another split
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs
    cache: pathlib.Path | None = None  # as in the recipe


def part_of(samples: Sequence[sample_list.Sample], count: int) -> list[sample_list.Sample]:
    """Return about `count` samples, as many of each class, in whole groups chosen at random."""
    classes = sorted({sample.label for sample in samples})
    order = {sample.group or str(sample.path): random.Random(str(sample.path)).random() for sample in samples}
    kept: list[sample_list.Sample] = []
    for name in classes:
        of_class = [sample for sample in samples if sample.label == name]
        groups = sorted({sample.group or str(sample.path) for sample in of_class}, key=order.__getitem__)
        found: list[sample_list.Sample] = []
        for group in groups:
            if len(found) < count / len(classes):
                found += [sample for sample in of_class if (sample.group or str(sample.path)) == group]
        kept += found
    return kept


def run_of(config: Config, table: pathlib.Path, seed: int) -> dict[str, float]:
    """Return the blocks that a run kept, and the validation accuracies of the head and of what was kept."""
    settings = gradual_unfreezing.Config(
        data=str(table), backbone=config.backbone, weights=config.weights, image_size=config.image_size,
        max_blocks=config.max_blocks, seed=seed, out=config.out, cache=config.cache, no_baselines=True,
    )  # fmt: skip
    results = tables.run_quietly(gradual_unfreezing, settings)
    stages = {stage["stage"]: stage for stage in results["stages"]}
    kept = stages[results["kept_stage"]]
    return {
        "blocks": kept["blocks"],
        "gain": 100 * (kept["validation_accuracy"] - stages["head"]["validation_accuracy"]),
        "test": results["test"]["accuracy"],
    }


def permutation_p(near: Sequence[float], far: Sequence[float]) -> float:
    """Return the share of all ways to choose as many near data sets whose difference is at least as large."""
    values = np.array([*near, *far])

    def difference(chosen: Sequence[int]) -> float:
        inside = np.isin(np.arange(len(values)), chosen)
        return float(abs(values[~inside].mean() - values[inside].mean()))

    ways = [difference(chosen) for chosen in itertools.combinations(range(len(values)), len(near))]
    return float(np.mean(np.array(ways) >= ways[0] - 1e-9))


def main(config: Config) -> None:
    """Print the table."""
    rows, depths = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, each in (("near", config.near), ("far", config.far)):
            depths[kind] = []
            for given in each:
                name, _, path = given.partition("=")
                if not path:
                    raise errors.UserError(f"--{kind} {given}: give NAME=PATH")
                samples = part_of(sources.read_source(path, pathlib.Path(folder), photos.PHOTOS), config.photos)
                table = pathlib.Path(folder) / f"{name}.csv"
                told = [(str(pathlib.Path(one.path).resolve()), one.label, one.group or "") for one in samples]
                files.write_csv(table, ["path", "label", "group"], told)
                runs = [run_of(config, table, seed) for seed in range(config.seeds)]
                print(f"{name}: {runs}", file=sys.stderr)
                depths[kind].append(statistics.mean(run["blocks"] for run in runs))
                rows.append([
                    name, kind, len(samples), len({one.label for one in samples}),
                    " ".join(f"{run['blocks']:g}" for run in runs), f"{depths[kind][-1]:.1f}",
                    f"{statistics.mean(run['gain'] for run in runs):+.1f}",
                    tables.median_and_range([run["test"] for run in runs]),
                ])  # fmt: skip
    columns = ["data", "like ImageNet's", "photos", "classes", "blocks kept", "mean", "validation gain, points",
               "test accuracy"]  # fmt: skip
    print(tables.markdown(columns, rows))
    near, far = statistics.mean(depths["near"]), statistics.mean(depths["far"])
    p = permutation_p(depths["near"], depths["far"])
    print(f"\nmean depth {near:.2f} near, {far:.2f} far; p = {p:.2f} (permutation of the data sets)")
    print(tables.footer(f"{config.seeds} seeds"))


if __name__ == "__main__":
    main(tyro.cli(Config))
