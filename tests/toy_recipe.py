"""A recipe that trains nothing, for the tests of what runs recipes: it behaves as its config says."""

from common import startup  # noqa: F401, isort: skip  (first, as in every recipe)

import dataclasses
import os
import pathlib
import signal
import sys
import time
import types

from common import errors, files
from common.training import settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """What to do, and a file that gets a line at the start and one at the end."""

    name: str
    diary: pathlib.Path
    how: str = "succeeds"
    pause: float = 0.0  # seconds
    until: pathlib.Path | None = None  # goes on when this file is there


def run(settings):
    write_down(settings, "starts")
    directory = settings.out / "toy" / "run"
    directory.mkdir(parents=True)
    print("on stdout", sys.argv)
    print("on stderr", file=sys.stderr)
    os.system("echo from another program")
    time.sleep(settings.pause)
    while settings.until and not settings.until.exists():
        time.sleep(0.02)
    if settings.how == "errs":
        raise errors.UserError("no photos: give others")
    if settings.how == "errs in a pipeline":
        raise OSError("{{function_node x}}\ncommon.errors.UserError: no photo: leave it out\nmore")
    if settings.how == "raises":
        raise ValueError("first line\nsecond line")
    if settings.how == "leaves":
        sys.exit(3)
    if settings.how == "ends":
        os._exit(4)
    if settings.how == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    files.write_json(directory / "results.json", {"test": {"accuracy": 0.75}, "seed": settings.seed})
    write_down(settings, "ends")
    return types.SimpleNamespace(directory=directory)


def write_down(settings, what):
    with open(settings.diary, "a") as file:
        file.write(f"{what} {settings.name} {os.getpid()}\n")


def read(diary):
    """The lines so far: (what, name, process)."""
    lines = diary.read_text().splitlines() if diary.exists() else []
    return [(what, name, int(process)) for what, name, process in map(str.split, lines)]
