"""Samples: what is known of each item of a data set, and the CSV file that lists them."""

import collections
import csv
import dataclasses
import pathlib
from collections.abc import Iterable

from common import errors, files

SPLIT_NAMES = ("train", "validation", "test")
FOLDER_SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sample:
    """One photo: its file, its class, and, where they are known, its group and its given split."""

    path: str
    label: str
    group: str = ""
    split: str = ""


def read_csv(path: pathlib.Path) -> list[Sample]:
    """Photos from a CSV with the columns `path,label[,group][,split]`; relative paths start at the CSV's folder.

    Raises:
        UserError: a column or a value is missing, a split has another name, or a path stands there twice.
    """
    folder = path.absolute().parent
    # File names are bytes to Linux; "surrogateescape" reads those, too, that are not UTF-8.
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        missing = {"path", "label"} - set(reader.fieldnames or ())
        if missing:
            raise errors.UserError(
                f"{path}: no column {' and '.join(sorted(missing))}; its first line must name the "
                "columns path,label[,group][,split]"
            )
        samples = [_sample_of_row(row, folder, f"{path}, line {reader.line_num}") for row in reader]
    repeated = [name for name, count in collections.Counter(sample.path for sample in samples).items() if count > 1]
    if repeated:
        raise errors.UserError(f"{path}: {repeated[0]} is listed more than once")
    if len({sample.label for sample in samples}) < 2:
        raise errors.UserError(f"{path}: a classifier needs at least two classes")
    return samples


def _sample_of_row(row: dict, folder: pathlib.Path, place: str) -> Sample:
    values = {name: (row.get(name) or "").strip() for name in ("path", "label", "group", "split")}
    if not values["path"] or not values["label"]:
        raise errors.UserError(f"{place}: path or label is empty")
    if values["split"] and values["split"].lower() not in FOLDER_SPLITS:
        raise errors.UserError(f"{place}: split is {values['split']!r}, must be train, validation or test")
    values["split"] = FOLDER_SPLITS.get(values["split"].lower(), "")
    return Sample(**values | {"path": str(folder / pathlib.Path(values["path"]).expanduser())})


def write_csv(path: pathlib.Path, samples: Iterable[Sample]) -> None:
    """Writes samples as path,label,group,split; `read_csv` takes the file as a source again."""
    columns = [field.name for field in dataclasses.fields(Sample)]
    files.write_csv(path, columns, [dataclasses.astuple(sample) for sample in samples])
