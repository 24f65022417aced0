"""Files must stay what they were when a run scanned them, or their features and labels would belong to other content.

A file is known by its inode, its times and its size, and by the hash of its content, which split.csv keeps. The time of
the last change of the inode matters: `cp -p`, `rsync -t` and `tar` set the modification time back, but never that one.
"""

import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from common import errors, words
from common.data import sample_list
from common.media import medium as media

COLUMN = "sha256"  # the further column of split.csv with the hash of an item's content


def stamp(path: str) -> list | None:
    """Return inode, times (ns) and size of a file, a hash of those of a folder's files, or None if unreadable."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            stamps = sorted([entry.name, *_identity(entry.stat())] for entry in os.scandir(path))
            return [hashlib.sha256(json.dumps(stamps).encode()).hexdigest()]
    except (OSError, ValueError):
        return None
    return _identity(status)


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_ctime_ns, status.st_size, status.st_mtime_ns]


class Reader:
    """A medium's `read` for a run, which stops the run if a file is no longer the one that was scanned.

    The content is hashed once per file; as long as the stamp stays the same, so does the content.

    Attributes:
        shape: as the medium's.
    """

    def __init__(self, medium: media.Medium, contents: Mapping[str, str]) -> None:
        """`contents` is path → the hash of the content that was scanned; other files are read without a check."""
        self.medium, self.contents = medium, contents
        self._stamps: dict[str, list] = {}  # of the files whose content was compared

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of what `read` returns."""
        return self.medium.shape

    def read(self, path: str, look: media.Look = media.PLAIN) -> Any:
        """Return what the medium reads.

        Raises:
            UserError: the file has changed since the scan.
        """
        self.check(path)
        item = self.medium.read(path, look)
        self.check(path)
        return item

    def check(self, path: str) -> None:
        """Raise a UserError if the content of a file is not the one that was scanned."""
        expected, found = self.contents.get(path), stamp(path)
        if expected is None or found is not None and self._stamps.get(path) == found:
            return
        if found is None or self.medium.digest(path) != expected:
            what = "removed" if found is None else "changed"
            raise errors.UserError(
                f"{words.printable(path)}: the file was {what} after it had been checked; start again, and leave the "
                "data as they are while they are read"
            )
        self._stamps[path] = found


# The hashes in split.csv ----------------------------------------------------------------------------------------


def with_contents(samples: Iterable[sample_list.Sample], contents: Mapping[str, str]) -> list[sample_list.Sample]:
    """Return the samples with the hashes of their contents as a further column."""
    return [
        dataclasses.replace(sample, about=sample.about | {COLUMN: contents[sample.path]}) for sample in samples
    ]  # fmt: skip


def check(
    samples: Iterable[sample_list.Sample], contents: Mapping[str, str], unit: str, source: str, is_resumed: bool
) -> None:
    """Compare the hashes that a CSV lists with the contents of its files; files that cannot be read are not compared.

    Args:
        samples: the samples that the CSV lists.
        contents: path → hash of the content, "" for a file that could not be read.
        unit: the name of one item in messages.
        source: the CSV, in words.
        is_resumed: the CSV is the split.csv of the run that goes on.

    Raises:
        UserError: some files have another content.
    """
    samples = list(samples)
    listed = [sample for sample in samples if re.fullmatch("[0-9a-f]{64}", sample.about.get(COLUMN, ""))]
    changed = [each for each in listed if contents.get(each.path) and contents[each.path] != each.about[COLUMN]]
    if changed:
        advice = "put the old files back, or start a new run"
        if not is_resumed:
            advice = f"put the old files back, or remove the column {COLUMN} to read them as they are"
        raise errors.UserError(
            f"{source}: {len(changed)} of {words.plural(len(samples), unit)} have changed since it was written, such "
            f"as {words.printable(changed[0].path)}; {advice}"
        )
    if is_resumed and len(listed) < len(samples):
        print(
            f"data: {source} is of an older version and lists no {COLUMN}, so it is unknown whether the {unit}s have "
            "changed since the run began",
            file=sys.stderr,
        )


# A split.csv as a whole ---------------------------------------------------------------------------------------


def seals(directory: pathlib.Path) -> dict[str, dict]:
    """Return, for each split of a run directory, its number of items and a hash of what it says about them.

    The hash does not depend on the order of the rows or on where the files are, since their contents have hashes.

    Raises:
        OSError, ValueError: a split cannot be read.
    """
    paths = [*directory.glob("split.csv"), *sorted(directory.glob("splits/*/*.csv")),
             *sorted(directory.glob("tasks/*/split.csv"))]  # fmt: skip
    return {path.relative_to(directory).as_posix(): _seal(path) for path in paths}


def _seal(path: pathlib.Path) -> dict:
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = sorted(
            json.dumps([row.get(name) or "" for name in ("label", "group", "split")] + [row.get(COLUMN) or row["path"]])
            for row in csv.DictReader(file)
        )
    return {"items": len(rows), "hash": hashlib.sha256("\n".join(rows).encode()).hexdigest()}


def check_seals(directory: pathlib.Path, known: Mapping[str, dict]) -> None:
    """Compare the splits of a run with their seals in its config.json; runs of older versions have none.

    Raises:
        UserError: a split is gone, lacks rows or has other ones.
    """
    found = seals(directory)
    for name, seal in known.items():
        if found.get(name) == seal:
            continue
        path, items = directory / name, found.get(name, {}).get("items", 0)
        told = f"has {items:,} of its {seal['items']:,} items" if items != seal["items"] else "has been changed"
        raise errors.UserError(f"{path} {told} since the run began; put back the file as it was, or start a new run")
