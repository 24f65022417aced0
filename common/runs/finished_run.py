"""What a finished run left in its directory, read again."""

import csv
import dataclasses
import functools
import json
import pathlib

import numpy as np

from common import flags
from common.data import sample_list
from common.media import medium as media


@dataclasses.dataclass(frozen=True)
class Result:
    """What a recipe's `run` returns: the run directory and the content of its results.json."""

    directory: pathlib.Path
    results: dict

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Result":
        """The result of a finished run."""
        return cls(directory, json.loads((directory / "results.json").read_text(encoding="utf-8")))

    @property
    def unit(self) -> str:
        """What one item is called: photo, clip."""
        return medium_of(self.results).unit


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """What stands in a run directory; `predictions` have numbers for numbers, `history` too."""

    directory: pathlib.Path
    config: dict
    results: dict
    history: list[dict]
    predictions: list[dict]
    split: list[dict]
    skipped: list[dict]

    @classmethod
    def read(cls, directory):
        """Read the files of a run."""
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        return cls(
            directory=directory,
            config=config | {"config": flags.renamed(config["config"])},
            results=json.loads((directory / "results.json").read_text(encoding="utf-8")),
            history=[_epoch(row) for row in read_rows(directory / "history.csv")],
            predictions=[_prediction(row) for row in read_rows(directory / "predictions.csv")],
            split=[_sample(row) for row in read_rows(directory / "split.csv")],
            skipped=read_rows(directory / "skipped.csv"),
        )

    @property
    def class_names(self):
        """The classes in the order of the model's outputs."""
        return self.results["data"]["class_names"]

    @functools.cached_property
    def medium(self):
        """What its items are, without the settings by which the model looks at them."""
        return medium_of(self.results)

    @property
    def unit(self):
        """What one item is called: photo, clip."""
        return self.medium.unit

    def probabilities_and_labels(self):
        """The test set's probabilities (n, k) and true class indices (n,)."""
        columns = [f"p_{name}" for name in self.class_names]
        probabilities = [[float(row[column]) for column in columns] for row in self.predictions]
        labels = [self.class_names.index(row["label"]) for row in self.predictions]
        return np.array(probabilities), np.array(labels)


def medium_of(results: dict) -> media.Medium:
    """What the items of a run are, without the settings by which its model looks at them."""
    old = "clips" if "clips" in results else "texts" if "task" in results else "photos"  # where versions name none
    return media.kind(results.get("medium", old))()


def sections_of(results: dict) -> list[str]:
    """The modules of `common.report` that draw a run, the first one the page itself."""
    if "task" in results:  # runs of older versions, in which one module drew both
        return ["text_classes" if results["task"] == "classify" else "writing"]
    if "sections" in results:
        return results["sections"]
    further = {"clinic": "clinical", "clips": "motion"}
    return ["classes", *(module for key, module in further.items() if key in results)]


def read_rows(path):
    """The rows of a CSV file as dicts; none where there is no such file."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def _epoch(row):
    """An epoch with its numbers as floats; what is empty is left out."""
    stage = {"stage": row["stage"]} if row.get("stage") else {}
    return stage | {name: float(value) for name, value in row.items() if name != "stage" and value}


def _sample(row):
    """Of a row of split.csv what every data set has; further columns may have any name."""
    return {name: row[name] for name in sample_list.COLUMNS if name in row}


def _prediction(row):
    if "confidence" not in row:  # targets that are no classes
        return row
    return row | {"confidence": float(row["confidence"]), "correct": row["label"] == row["predicted"]}


def target_of(run: pathlib.Path) -> dict | None:
    """What a run wants to find, its `classes` with the `threshold` that it chose; None where there is no such thing.

    Args:
        run: the directory of a run; a model.keras alone knows no target.
    """
    if not (run / "results.json").is_file():
        return None
    return Result.read(run).results.get("clinic", {}).get("target")


def read_history(directory: pathlib.Path) -> list[dict]:
    """The epochs of history.csv, an empty list when there is none: `stage` is text, all else are numbers."""
    rows = read_rows(directory / "history.csv")
    return [{name: value if name == "stage" else float(value) for name, value in row.items()} for row in rows]
