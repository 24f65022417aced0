"""Writing files so that a half-written one never stands under its final name."""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Iterable


@contextlib.contextmanager
def replacing(path: pathlib.Path):
    """Gives a temporary path beside `path` and renames it to `path` when the block ends without an error."""
    # The suffix stays: Keras chooses its format by it.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: pathlib.Path, value) -> None:
    """Writes JSON, indented; NaN and infinity are refused (`ValueError`)."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: pathlib.Path, columns: list[str], rows: Iterable[Iterable]) -> None:
    """Writes a CSV file with a first line of column names."""
    # File names are bytes to Linux; "surrogateescape" writes those back that are not UTF-8.
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with replacing(path) as temporary, open(temporary, "w", **options) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
