"""Exceptions for problems that the user can fix."""

import pathlib
import sys
import types


class UserError(Exception):
    """A problem that the user can fix.

    The message is one line that says what is wrong and what to do about it. The command
    line prints it without a traceback and exits with code 2.
    """


class UnusableFile(UserError):
    """A file that cannot be used as a photo, clip or text; each medium has a subclass of its own.

    The message reads "kind: details; what to do", on one line. It leaves out the path, because the
    caller knows how to show it.
    """


def say_not_installed(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Print one line for a package that this Python lacks, and exit with code 2; a `sys.excepthook`."""
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name in ("", __package__) or "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {sys.executable} has no package {name}; {_how_to_install()}", file=sys.stderr)
    sys.exit(2)


def _how_to_install() -> str:
    """Return how to install what is needed: for a clone of the repository, a project, or an installed package."""
    root = pathlib.Path(__file__).resolve().parents[1]
    python = root / ".venv" / "bin" / "python"
    if python.is_file() and pathlib.Path(sys.executable) != python:
        return f"use {python}, or activate its environment: source {root / '.venv' / 'bin' / 'activate'}"
    if (root / "Makefile").is_file():
        return f"run `make demo` in {root} and use its .venv/bin/python, or `pip install {root}`"
    if (root / "requirements.txt").is_file():
        return f"run `pip install -r {root / 'requirements.txt'}`"
    return "install this program again with pip, with all that it requires"
