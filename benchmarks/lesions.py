"""Measure skin lesions over seeds: the scores with a split by lesion and with a split by picture, and the cost.

After `python data/ham10000/prepare.py`, or with `--data` of your own:

    python benchmarks/lesions.py
    python benchmarks/lesions.py --data demo --backbone demo

Every seed has its own split and its own augmented views. The time for computing the features is listed separately; the
rest is the time of a second run.
"""

import dataclasses
import pathlib
import sys

import tables
import tyro

from recipes import skin_lesions


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The skin-lesion recipe, over seeds."""

    data: str = "data/ham10000/pictures"  # as in the recipe; data/ham10000/prepare.py makes this one
    backbone: str = "MobileNetV2"  # a name in keras.applications, or demo
    weights: str | None = None  # as in the recipe
    image_size: int | None = None  # as in the recipe
    views: int = 8  # as in the recipe
    unfreeze_from: str | None = None  # as in the recipe
    seeds: int = 3  # each with another split
    show_leak: bool = True  # run again on a split by picture, with the same settings
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs
    cache: pathlib.Path | None = None  # as in the recipe


MEASURES = {
    "balanced accuracy": lambda test, clinic: test["balanced_accuracy"],
    "accuracy": lambda test, clinic: test["accuracy"],
    "macro AUC": lambda test, clinic: test["macro_auc"],
    "by lesion: balanced accuracy": lambda test, clinic: clinic["lesion_level"]["balanced_accuracy"],
    "target: sensitivity": lambda test, clinic: clinic["target"]["test"]["sensitivity"][0],
    "target: specificity": lambda test, clinic: clinic["target"]["test"]["specificity"][0],
    "target: AUC": lambda test, clinic: clinic["target"]["test"]["auc"][0],
    "calibration error before": lambda test, clinic: clinic["calibration"]["before"]["ece"],
    "calibration error after": lambda test, clinic: clinic["calibration"]["after"]["ece"],
}


def seconds(result: dict) -> float:
    """Return the seconds of the run itself, without the second run that shows the leak."""
    return result["cost"]["seconds"] - result["clinic"].get("leak", {}).get("seconds", 0.0)


def main(config: Config) -> None:
    """Print the tables."""
    names = ("data", "backbone", "weights", "image_size", "views", "unfreeze_from", "out", "cache", "show_leak")
    shared = {name: getattr(config, name) for name in names}
    results = []
    for seed in range(config.seeds):
        results.append(tables.run_quietly(skin_lesions, skin_lesions.Config(**shared, seed=seed)))
        print(f"seed {seed}: {results[-1]['test']['balanced_accuracy']:.3f}", file=sys.stderr)
    rows = [
        [name, tables.median_and_range([measure(result["test"], result["clinic"]) for result in results])]
        for name, measure in MEASURES.items()
    ]
    features = [result["cost"]["prefix_seconds"] for result in results]
    rows.append(["seconds, features and the leak apart", tables.median_and_range(
        [seconds(result) - apart for result, apart in zip(results, features, strict=True)], 0)])  # fmt: skip
    rows.append(["seconds for the features", tables.median_and_range(features, 0)])
    sizes = results[0]["data"]
    pictures = f"{sizes['train']} / {sizes['validation']} / {sizes['test']} pictures train, validate and test"
    print(tables.markdown(["on test pictures", config.backbone], rows))
    if config.show_leak:
        leaks = [result["clinic"]["leak"] for result in results]
        rows = [
            [name, *(tables.median_and_range([leak[split][name.replace(" ", "_")] for leak in leaks])
                     for split in ("lesion", "random", "seen", "unseen"))]
            for name in ("balanced accuracy", "accuracy")
        ]  # fmt: skip
        columns = ["test pictures", "split by lesion", "split by picture", "of it lesions seen", "not seen"]
        print("\n" + tables.markdown(columns, rows))
    print(tables.footer(f"{config.seeds} seeds, {pictures}"))


if __name__ == "__main__":
    main(tyro.cli(Config))
