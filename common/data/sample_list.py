"""Samples: the facts about each item of a data set, and the CSV file that lists them."""

import collections
import csv
import dataclasses
import os
import pathlib
from collections.abc import Iterable

from common import errors, files
from common.data import sides

SPLIT_NAMES = ("train", "validation", "test")

COLUMNS = ("path", "label", "group", "split")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One item: its file, its label, and further facts.

    Attributes:
        path: the file.
        label: a class, or another value that the targets define.
        group: items of one group stay on one side of a split; "" for none.
        split: its side; "" before the split.
        about: its further columns, such as a domain, a task or a client, name → value.
    """

    path: str
    label: str
    group: str = ""
    split: str = ""
    about: dict[str, str] = dataclasses.field(default_factory=dict, hash=False)


def read_csv(path: pathlib.Path) -> list[Sample]:
    """Read samples from a CSV as `write_csv` writes it, such as split.csv; `listings.read` reads those of people.

    Relative paths are relative to the CSV's folder. Further columns are kept as `about`.

    Raises:
        UserError: a column or a value is missing, a split has another name, or a path is listed twice.
    """
    folder = files.absolute(path).parent
    # File names are bytes on Linux; "surrogateescape" also reads names that are not UTF-8.
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        missing = {"path", "label"} - set(reader.fieldnames or ())
        if missing:
            raise errors.UserError(
                f"{path}: no column {' and '.join(sorted(missing))}; its first line must name the "
                "columns path,label[,group][,split]"
            )
        named: set[str] = set()
        samples = []
        for row in reader:
            samples.append(_sample_of_row(row, folder, f"{path}, line {reader.line_num}"))
            named.add((row.get("split") or "").strip())
    sides.tell(named, str(path))
    repeated = [name for name, count in collections.Counter(sample.path for sample in samples).items() if count > 1]
    if repeated:
        raise errors.UserError(f"{path}: {repeated[0]} is listed more than once")
    return samples


def _sample_of_row(row: dict, folder: pathlib.Path, place: str) -> Sample:
    if any(value.strip() for value in row.get(None) or ()):
        raise errors.UserError(
            f"{place}: more values than columns in the first line; quote values that contain a comma"
        )
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if not values["path"] or not values["label"]:
        raise errors.UserError(f"{place}: path or label is empty")
    if values["split"] and not sides.side_of(values["split"]):
        raise errors.UserError(f"{place}: split is {values['split']!r}; it must be train, validation or test")
    values["split"] = sides.side_of(values["split"])
    return of_row(row | values | {"path": str(folder / os.path.expanduser(values["path"]))})


def of_row(row: dict) -> Sample:
    """Return the sample of a CSV row, which may have further columns."""
    about = {name.strip(): (value or "").strip() for name, value in row.items() if name and name not in COLUMNS}
    return Sample(**{name: row.get(name) or "" for name in COLUMNS}, about=about)


def write_csv(path: pathlib.Path, samples: Iterable[Sample]) -> None:
    """Write samples as path,label,group,split and their further columns; `read_csv` reads the file."""
    samples = list(samples)
    further = list(dict.fromkeys(name for sample in samples for name in sample.about))
    rows = [
        [*(getattr(sample, name) for name in COLUMNS), *(sample.about.get(name, "") for name in further)]
        for sample in samples
    ]
    files.write_csv(path, [*COLUMNS, *further], rows)
