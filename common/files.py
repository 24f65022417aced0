"""Writing files so that a half-written one never stands under its final name."""

import contextlib
import csv
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable

from common import errors

PACKAGE = pathlib.Path(__file__).resolve().parent
# The folder that has `data/demo`: the repository's or a copied project's; an installed package has it in `root`.
ROOT = PACKAGE / "root" if (PACKAGE / "root").is_dir() else PACKAGE.parent


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
    """Makes a folder with all its files at once, or finds it as it should be.

    The files are written to a temporary folder beside it, which is renamed at the end: a run that dies leaves nothing
    under the final name.

    Args:
        folder: where to; made if it does not exist.
        is_complete: whether the folder that is there is the one that is wanted.
        write: writes the files into the empty folder that it is given.
        what: the files, in words.

    Returns:
        The folder's path.

    Raises:
        UserError: something else is in the folder, or it cannot be written.
    """
    folder = pathlib.Path(folder)
    if folder.is_dir() and is_complete(folder):
        return folder
    if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
        raise errors.UserError(f"{folder} holds something other than {what}; name another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write(unfinished)
            unfinished.chmod(0o755)  # mkdtemp's own mode shuts everybody else out
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        if folder.is_dir() and is_complete(folder):  # another process was quicker
            return folder
        raise errors.UserError(f"cannot write {what} to {folder}: {error.strerror or error}") from error
    return folder
