"""Reading the files of a finished run."""

import contextlib
import csv
import dataclasses
import errno
import functools
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from common import errors, flags, words
from common.data import unchanged
from common.media import medium as media

# Raised by content that a run never writes, and by a file that is gone.
UNFIT: tuple[type[Exception], ...] = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, RecursionError, zipfile.BadZipFile,
    FileNotFoundError, IsADirectoryError, NotADirectoryError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Result:
    """What a recipe's `run` returns: the run directory and the content of its results.json."""

    directory: pathlib.Path
    results: dict

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Result":
        """Read the result of a finished run."""
        return cls(directory, read_json(directory / "results.json"))

    @property
    def unit(self) -> str:
        """What one item is called: photo, clip."""
        return medium_of(self.results).unit


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """The files of a run directory; the numbers in `predictions` and `history` are floats."""

    directory: pathlib.Path
    config: dict
    results: dict
    history: list[dict]
    predictions: list[dict]
    split: list[dict]
    skipped: list[dict]

    @classmethod
    def read(cls, directory: pathlib.Path) -> "FinishedRun":
        """Read the files of a run; raises as `sound`."""
        config, results = read_json(directory / "config.json"), read_json(directory / "results.json")
        with sound(directory, name="config.json"):
            config |= {"config": flags.renamed(config["config"])}
        read: dict[str, Callable] = {
            "history": _epoch, "predictions": _prediction, "split": _sample, "skipped": dict,
        }  # fmt: skip
        tables: dict[str, list[dict]] = {}
        for table, convert in read.items():
            with sound(directory, name=f"{table}.csv"):
                tables[table] = [convert(row) for row in read_rows(directory / f"{table}.csv")]
        return cls(directory=directory, config=config, results=results, **tables)

    def check_split(self) -> None:
        """Refuse a split.csv that is not as the run wrote it: it would tell wrong labels, or learnt items as new ones.

        Raises:
            UserError: rows are gone or changed; runs of older versions have no seal to compare with.
        """
        with sound(self.directory):
            unchanged.check_seals(self.directory, self.config.get("splits", {}))

    def check_complete(self) -> None:
        """Refuse a run whose tables lack rows: a page that is drawn of the rest would tell other numbers.

        Raises:
            UserError: as `check_split`; or test items or all epochs are missing.
        """
        self.check_split()
        with sound(self.directory):
            tested, epochs = self.results.get("test", {}).get("n"), self.results.get("cost", {}).get("epochs")
        lacks = tested is not None and len(self.predictions) != tested
        told = f"predictions.csv has {words.plural(len(self.predictions), 'row')}, and the test had {tested}"
        if not lacks and epochs and not self.history:
            lacks, told = True, "history.csv is gone or empty"
        if lacks:
            raise errors.UserError(f"{self.directory}: {told}; put back a copy of it, or start a new run")

    @property
    def class_names(self) -> list[str]:
        """The classes in the order of the model's outputs."""
        return self.results["data"]["class_names"]

    @functools.cached_property
    def medium(self) -> media.Medium:
        """The medium of the run's items, with default settings rather than those of the run."""
        return medium_of(self.results)

    @property
    def unit(self) -> str:
        """What one item is called: photo, clip."""
        return self.medium.unit

    @property
    def test_groups(self) -> list[str]:
        """The groups of the test items, with which the run's own intervals were computed; "" for none."""
        group_of = {row["path"]: row.get("group", "") for row in self.split}
        return [group_of.get(row["path"]) or row.get("lesion", "") for row in self.predictions]

    def probabilities_and_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities (n, k) and the true class indices (n,) of the test set."""
        columns = [f"p_{name}" for name in self.class_names]
        probabilities = [[float(row[column]) for column in columns] for row in self.predictions]
        labels = [self.class_names.index(row["label"]) for row in self.predictions]
        return np.array(probabilities), np.array(labels)


@contextlib.contextmanager
def sound(directory: pathlib.Path, *further: type[Exception], name: str = "") -> Iterator[None]:
    """Read files of a run; what they cannot contain is told in one line.

    Args:
        directory: the run directory.
        further: what else the content of a damaged file raises.
        name: that of the file if only one is read.

    Raises:
        UserError: a file is gone or damaged, or was changed so that the files do not fit together.
    """
    unfit: tuple[type[Exception], ...] = (*UNFIT, *further)
    try:
        yield
    except errors.UserError:
        raise
    except OSError as error:
        if not isinstance(error, UNFIT) and error.errno != errno.ELOOP:
            raise
        raise errors.UserError(
            f"{error.filename or directory}: {error.strerror}; it belongs to a run, so put back a copy of it"
        ) from error
    except unfit as error:
        told = (str(error).splitlines() or [""])[0]
        what = f"{directory}: {name or 'a file of this run'} is damaged"
        raise errors.UserError(
            f"{what} ({type(error).__name__}: {told}); put back a copy of it, or start a new run"
        ) from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run; raises as `sound`."""
    with sound(path.parent, name=path.name):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return found


def medium_of(results: dict) -> media.Medium:
    """Return the medium of a run's items, with default settings rather than those of the run."""
    old = "clips" if "clips" in results else "texts" if "task" in results else "photos"  # older versions name none
    return media.kind(results.get("medium", old))()


def sections_of(results: dict) -> list[str]:
    """Return the modules of `common.report` that draw a run; the first one draws the page itself."""
    if "task" in results:  # runs of older versions, in which one recipe had both tasks
        return ["text_classes" if results["task"] == "classify" else "writing"]
    if "sections" in results:
        return results["sections"]
    further = {"clinic": "clinical", "clips": "motion"}
    return ["classes", *(module for key, module in further.items() if key in results)]


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the rows of a CSV file as dicts; an empty list if there is no such file."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def _epoch(row: dict[str, Any]) -> dict[str, Any]:
    """Return an epoch with its numbers as floats, without empty values."""
    stage = {"stage": row["stage"]} if row.get("stage") else {}
    return stage | {name: float(value) for name, value in row.items() if name != "stage" and value}


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a row of split.csv that every data set has; further columns may have any name."""
    needed = {name: row[name] for name in ("path", "label", "split")}
    return needed | {name: row[name] for name in ("group", unchanged.COLUMN) if name in row}


def _prediction(row: dict[str, Any]) -> dict[str, Any]:
    if "confidence" not in row:  # targets that are not classes
        return row
    return row | {"confidence": float(row["confidence"]), "correct": row["label"] == row["predicted"]}


def target_of(run: pathlib.Path) -> dict | None:
    """Return the `classes` that a run looks for and its `threshold`; None without them, as for a model.keras alone."""
    if not (run / "results.json").is_file():
        return None
    results = Result.read(run).results
    with sound(run, name="results.json"):
        return results.get("clinic", {}).get("target")


def read_history(directory: pathlib.Path) -> list[dict]:
    """Return the epochs of history.csv, or an empty list without a file; `stage` is text, the rest are floats."""
    with sound(directory):
        rows = read_rows(directory / "history.csv")
        return [{name: value if name == "stage" else float(value) for name, value in row.items()} for row in rows]
