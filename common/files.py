"""Atomic writing of files: an incomplete file never has its final name."""

import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from common import errors

PACKAGE = pathlib.Path(__file__).resolve().parent
# The folder that has `data/demo`: the repository's or a copied project's; an installed package has it in `root`.
ROOT = PACKAGE / "root" if (PACKAGE / "root").is_dir() else PACKAGE.parent


def absolute(path: pathlib.Path) -> pathlib.Path:
    """Return the absolute path, without `..`, which makes messages hard to read; links are kept where there is none."""
    return path.resolve() if ".." in path.parts else path.absolute()


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`, and rename it to `path` when the block ends without an error.

    A link stays one, and the file that it leads to is replaced. A device or a pipe, such as /dev/stdout, is yielded
    itself.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path = pathlib.Path(os.path.realpath(path)) if path.is_symlink() else path
    # The suffix does not change, because Keras chooses the format by it.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write indented JSON; NaN and infinity raise a `ValueError`."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    if re.search("[\ud800-\udfff]", text):  # a file's name that is not UTF-8, which JSON can only escape
        text = json.dumps(value, indent=2, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: pathlib.Path, columns: list[str], rows: Iterable[Iterable]) -> None:
    """Write a CSV file with the column names in its first line."""
    # File names are bytes on Linux; "surrogateescape" writes names that are not UTF-8 unchanged.
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def complete_folder(
    folder: pathlib.Path, is_complete: Callable[[pathlib.Path], bool], write: Callable[[pathlib.Path], None], what: str
) -> pathlib.Path:
    """Make a folder with all its files at once, unless it already exists and is complete.

    The files are written to a temporary folder beside it, which is renamed at the end. A run that is killed therefore
    leaves nothing under the final name.

    Args:
        folder: the folder to make.
        is_complete: returns whether an existing folder is the wanted one.
        write: writes the files into an empty folder.
        what: the files, in words.

    Returns:
        The folder's path.

    Raises:
        UserError: the folder contains something else, or cannot be written.
    """
    folder = pathlib.Path(folder)
    if folder.is_dir() and is_complete(folder):
        return folder
    if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
        raise errors.UserError(f"{folder} contains something other than {what}; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write(unfinished)
            unfinished.chmod(0o755)  # mkdtemp's own mode denies access to all other users
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        if folder.is_dir() and is_complete(folder):  # another process was faster
            return folder
        raise errors.UserError(f"cannot write {what} to {folder}: {error.strerror or error}") from error
    return folder
