"""What a run cost: peak memory, versions, the command that started it."""

import contextlib
import importlib.metadata
import pathlib
import platform
import re
import shlex
import sys

from common import words

VERSIONED_PACKAGES = (
    "tensorflow", "keras", "keras-hub", "numpy", "pillow", "scikit-learn", "keras-recipes"
)  # fmt: skip


# Cost and surroundings ------------------------------------------------------------------------------------------


def peak_memory() -> int:
    """Return the peak memory of this process in bytes, since its start or since `forget_peak_memory`."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1])  # type: ignore[index]


def forget_peak_memory() -> None:
    """Reset Linux's peak of memory (https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html)."""
    with contextlib.suppress(OSError):  # where this is not allowed, the peak counts from the start
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def price(seconds: float, per_hour: float) -> float:
    """Return what these seconds cost at a price per hour, with four decimals."""
    return round(seconds / 3600 * per_hour, 4)


def said_price(seconds: float, per_hour: float) -> str:
    """Return the price of these seconds in words, such as `0.021, at 0.5 an hour`."""
    return f"{words.price(price(seconds, per_hour))}, at {per_hour:g} an hour"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """Return the command line that started this process, as one would type it."""
    program, *arguments = sys.argv
    path = pathlib.Path(program)
    if path.name == "__main__.py":
        return shlex.join(["python", "-m", path.parent.name, *arguments])
    if path.suffix == ".py" or program.startswith("-"):
        return shlex.join(["python", program, *arguments])
    return shlex.join([path.name, *arguments])  # an installed command
