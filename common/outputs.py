"""Folders that programs write: run directories, which one process at a time may write, and the cache.

They are marked, so that they are never read as data: `cd photos; … --data .` must not learn `runs/` as a class.
"""

import contextlib
import fcntl
import os
import pathlib
import socket
import sys
import weakref
from collections.abc import Iterable, Iterator

from common import errors

LOCK = ".run.lock"  # marks a run directory; locked while a process writes there, and kept afterwards
CACHE_TAG = "CACHEDIR.TAG"  # marks a cache, see https://bford.info/cachedir/
IN_CACHE = (
    "features", "scan", "demo", "demo_clips", "demo_lesions", "demo_styles", "demo_text", "demo_text_domains", "scenes",
    "near_duplicates", "tfds",
)  # fmt: skip
LATEST = "latest"  # in place of the name of a run directory
SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


# Marks --------------------------------------------------------------------------------------------------------


def tag_cache(folder: pathlib.Path) -> None:
    """Make the folder of a cache and mark it; nothing happens if it cannot be written.

    A folder that holds something else is not marked, since backups leave out what is marked.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if all(path.name in IN_CACHE for path in folder.iterdir()):
            (folder / CACHE_TAG).write_bytes(SIGNATURE + b"\n# A cache: its content can be computed again.\n")


def is_ours(folder: pathlib.Path) -> bool:
    """Return whether a folder is a run directory or a cache, or holds nothing but such folders, as `runs/` does."""
    return _content(folder) == "ours"


def _content(folder: pathlib.Path) -> str:
    """Return what a folder holds: `ours`, `nothing` or `other`."""
    if _is_marked(folder):
        return "ours"
    kinds = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                kinds.add(_content(pathlib.Path(entry)) if entry.is_dir(follow_symlinks=False) else "other")
                if "other" in kinds:
                    return "other"
    except OSError:
        return "other"
    return "ours" if kinds == {"ours"} or kinds == {"ours", "nothing"} else "nothing"


def _is_marked(folder: pathlib.Path) -> bool:
    """Return whether a folder is a run directory, also one of older versions or copied without its lock, or a cache."""
    try:
        if (folder / LOCK).is_file():
            return True
        if (folder / "config.json").is_file() and ((folder / "split.csv").is_file() or (folder / "splits").is_dir()):
            return b'"recipe"' in (folder / "config.json").read_bytes()
        with open(folder / CACHE_TAG, "rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except (OSError, ValueError):
        return False


def with_latest(arguments: Iterable[str]) -> list[str]:
    """Return the arguments of a command line; `runs/…/latest` in them becomes the newest run there.

    After `--resume`, it is the newest one that is not finished, and elsewhere the newest finished one.

    Raises:
        UserError: there is no such run.
    """
    found: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.rpartition("=") if argument.startswith("--") else ("", "", argument)
        path = pathlib.Path(value).expanduser()
        if path.name == LATEST and not os.path.lexists(path):
            wanted = (flag or (found or [""])[-1]) == "--resume"
            value = str(_newest(path.parent, is_finished=not wanted))
            print(f"{LATEST}: {value}", file=sys.stderr)
        found.append(flag + equals + value)
    return found


def _newest(folder: pathlib.Path, is_finished: bool) -> pathlib.Path:
    """Return the run directory with the last name, which begins with the time, in a recipe's folder."""
    runs = sorted(path for path in folder.glob("*") if (path / "config.json").is_file())
    runs = [path for path in runs if (path / "results.json").is_file() == is_finished]
    if not runs:
        raise errors.UserError(
            f"{folder / LATEST}: {folder} has no {'finished' if is_finished else 'interrupted'} run; give the "
            "directory of a run"
        )
    return runs[-1]


# Locks --------------------------------------------------------------------------------------------------------


class Lock:
    """The right to write into a folder, until nobody holds this object any more or the process ends, however it ends.

    Args:
        descriptor: of the locked file; None if the folder cannot be locked.
    """

    def __init__(self, descriptor: int | None) -> None:
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor)


# Within a process, a later run of the same directory shares the lock: a notebook may still hold the interrupted one.
_HELD: weakref.WeakValueDictionary[str, Lock] = weakref.WeakValueDictionary()


def lock(folder: pathlib.Path) -> Lock:
    """Lock an existing folder against other processes.

    A folder that cannot be written needs no lock. Where the file system has no locks, a line on stderr says so.

    Raises:
        UserError: another process holds it; the message names that process.
    """
    key = os.path.realpath(folder)
    if held := _HELD.get(key):
        return held
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return Lock(None)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 200).decode(errors="replace").strip() or "one that does not tell its name"
        os.close(descriptor)
        raise errors.UserError(
            f"{folder}: another process writes there ({holder}); wait until it has finished"
        ) from None
    except OSError as error:  # such as some network file systems
        print(f"{folder} cannot be locked ({error.strerror}); let only one process write there", file=sys.stderr)
    else:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    found = _HELD[key] = Lock(descriptor)
    return found


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Hold the lock of an existing folder; raises as `lock`."""
    held = lock(folder)
    try:
        yield
    finally:
        del held


@contextlib.contextmanager
def made(folder: pathlib.Path) -> Iterator[None]:
    """Make a folder, and remove it and the folders above it that were made, if they are empty at the end.

    Raises:
        OSError: the folder cannot be made.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            for each in new:
                each.rmdir()  # fails, and is ignored, if it holds something
