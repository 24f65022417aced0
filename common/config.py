"""Flags from a dataclass: the settings that all recipes share, and the way from the shell into `run`."""

import contextlib
import dataclasses
import difflib
import errno
import functools
import io
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, Literal

import tyro

from common import errors

OS_ADVICE = {
    errno.ENOSPC: "free some space, or choose another --out and --cache",
    errno.EDQUOT: "free some space, or choose another --out and --cache",
    errno.EACCES: "change its permissions, or choose another --out and --cache",
    errno.EROFS: "choose another --out and --cache",
}
OPTIONS = (tyro.conf.FlagCreatePairsOff,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The flags of every recipe, whatever its data. A recipe's `Config` adds its own and may change a default."""

    data: str = "demo"  # demo, or the place of the data
    batch_size: int = 32  # halve it when memory runs out; 16 to 64 rarely changes the result
    epochs: int = 50  # an upper limit: early stopping ends the training
    seed: int = 0  # weights, order and augmentation; one seed says little, report at least three
    split_seed: int | None = None  # which samples are test samples; default: the same as --seed
    validation_fraction: float | None = None  # of all samples; the default depends on the data
    test_fraction: float | None = None  # of all samples; the default depends on the data
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"  # mixed pays on GPUs only
    deterministic: bool = False  # the same weights bit for bit, somewhat slower on a GPU
    out: pathlib.Path = pathlib.Path("runs")  # the run directory is made below it
    resume: pathlib.Path | None = None  # a run directory that was interrupted: go on after its last epoch
    cache: pathlib.Path | None = None  # default: ~/.cache/keras_recipes
    no_cache: bool = False  # neither read nor write it: every epoch computes the frozen layers again
    cache_dtype: Literal["float32", "float16"] = "float32"  # float16 halves the cache; features lose digits
    cache_limit: float = 20.0  # gigabytes that the features at one cut may add to the cache
    skip_bad: bool = False  # leave unusable files out instead of stopping; they are listed in skipped.csv
    tensorboard: bool = False  # curves of every epoch in the run directory: tensorboard --logdir runs
    mlflow: str | None = None  # an MLflow server or data base that gets the finished run: http://127.0.0.1:5000
    debug: bool = False  # show the traceback of an error

    def __post_init__(self):
        for name in ("batch_size", "epochs", "cache_limit"):
            check(getattr(self, name) is None or getattr(self, name) > 0, name, "must be above 0")
        for name in ("seed", "split_seed"):
            seed = getattr(self, name)
            check(seed is None or 0 <= seed < 2**31, name, "must be from 0 to 2147483647")
        for name in ("validation_fraction", "test_fraction"):
            fraction = getattr(self, name)
            check(fraction is None or 0 < fraction < 1, name, "must be between 0 and 1")

    @property
    def cache_directory(self) -> pathlib.Path:
        """Where results that can be computed again are kept."""
        return (self.cache or default_cache_directory()).expanduser()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedConfig(RunConfig):
    """The flags of every recipe on photos or clips."""

    data: str = "demo"  # demo, a folder of class folders, a CSV with path,label[,group][,split], or tfds:NAME
    backbone: str | None = None  # demo, or a name in keras.applications, with :alpha where it has one
    weights: str | None = None  # imagenet, demo, none or a file; default: demo for demo data, else imagenet
    image_size: int | None = None  # pixels a side; default: what the backbone was trained at
    learning_rate: float = 1e-3  # Adam's default, right for a new head on a frozen base
    aspect: Literal["squash", "crop", "pad"] = "squash"  # photos to squares; crop if borders do not matter
    split_seed: int | None = None  # which photos are test photos; default: the same as --seed
    validation_fraction: float | None = None  # of all photos; default 0.15 (demo 0.2)
    test_fraction: float | None = None  # of all photos; default 0.15 (demo 0.6: 20 photos a class train)
    flip: bool = False  # mirror training photos left to right; not where the side carries meaning
    rotation: float = 0.0  # turn them by up to so many degrees; 10 is small
    zoom: float = 0.0  # up to this fraction closer or further; 0.1 is small
    contrast: float = 0.0  # up to this fraction more or less contrast; 0.1 is small
    views: int = 8  # augmented views cached of each training photo; 0 draws new ones each epoch, uncached, slow
    skip_bad: bool = False  # leave unusable photos out instead of stopping; they are listed in skipped.csv

    def __post_init__(self):
        super().__post_init__()
        for name in ("image_size", "learning_rate"):
            check(getattr(self, name) is None or getattr(self, name) > 0, name, "must be above 0")
        check(self.views >= 0, "views", "must be 0 or above")
        check(0 <= self.rotation <= 180, "rotation", "must be from 0 to 180 degrees")
        check(0 <= self.zoom < 1, "zoom", "must be from 0 to below 1: 0.1 is 10 %")
        check(0 <= self.contrast <= 1, "contrast", "must be from 0 to 1: 0.1 is 10 %")


def check(holds: bool, name: str, demand: str) -> None:
    """Refuses a setting.

    Raises:
        UserError: `holds` is false; the message names the flag and the demand.
    """
    if not holds:
        raise errors.UserError(f"--{name.replace('_', '-')} {demand}")


def default_cache_directory() -> pathlib.Path:
    """`$XDG_CACHE_HOME/keras_recipes`, by default `~/.cache/keras_recipes`."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keras_recipes"


def main(config_class: type, run, description: str | None = None) -> None:
    """Parses the command line, calls `run(config)` and prints the run directory as stdout's last line.

    A `UserError` ends in one line on stderr and exit code 2; `--debug` shows the traceback too.
    """
    with reported_errors(debug="--debug" in sys.argv):
        config = parse(config_class, sys.argv[1:], description)
        result = run(config)
        print(result.directory)


@contextlib.contextmanager
def reported_errors(debug: bool = False):
    """Turns what a user can put right into one line on stderr and exit code 2."""
    try:
        yield
    except errors.UserError as error:
        fail(str(error), debug)
    except KeyboardInterrupt:
        print("\nstopped by you", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # head and the like have read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        advice = OS_ADVICE.get(error.errno or 0)
        if not advice:
            raise
        fail(f"{error.filename or 'writing'}: {error.strerror}; {advice}", debug)
    except Exception as error:
        inside = re.search(r"\bUserError: (.+)", str(error))  # raised in a tf.data pipeline, which passes on only words
        if not inside:
            raise
        fail(inside.group(1), debug)


def fail(message: str, debug: bool = False) -> None:
    """Prints `error: message` and leaves with exit code 2."""
    if debug:
        traceback.print_exc()
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def parse(config_class: type[Any], arguments: list[str], description: str | None = None) -> Any:
    """Makes a config from command-line arguments.

    Raises:
        UserError: an unknown flag (the closest valid one is named) or a value that does not fit.
    """
    with _one_line_errors():
        parsed, unknown = tyro.cli(
            config_class, args=arguments, description=description, return_unknown_args=True, config=OPTIONS
        )
    if unknown:
        flags = [
            "--" + field.name.replace("_", "-") for field in dataclasses.fields(config_class)
            if "Suppress" not in str(field.type)
        ]  # fmt: skip
        raise errors.UserError(f"unknown argument {unknown[0]}{suggestion(unknown[0], flags)}; --help lists all")
    return parsed


def command(commands: dict[str, Callable], arguments: list[str]) -> Any:
    """Calls the function that the first argument names, with flags made from its signature.

    Raises:
        UserError: an unknown command or argument.
    """
    if arguments[0] not in commands and not arguments[0].startswith("-"):
        hint = suggestion(arguments[0], list(commands)) or f"; there are {', '.join(commands)}"
        raise errors.UserError(f"unknown command {arguments[0]}{hint}")
    # Only the parsing is done while tyro's complaints are held back; the command itself speaks freely.
    with _one_line_errors():
        deferred = {name: _deferred(function) for name, function in commands.items()}
        chosen = tyro.extras.subcommand_cli_from_dict(
            deferred,
            args=arguments,
            prog="python -m recipes",
            config=(*OPTIONS, tyro.conf.PositionalMetavarFromFieldName),
        )
    return chosen()


def _deferred(function: Callable) -> Callable:
    """A function of the same signature that remembers the call instead of making it."""

    @functools.wraps(function)
    def remember(*arguments, **settings):
        return functools.partial(function, *arguments, **settings)

    return remember


@contextlib.contextmanager
def _one_line_errors():
    """Turns tyro's framed complaints into a `UserError`."""
    frame = io.StringIO()
    try:
        with contextlib.redirect_stderr(frame):
            yield
    except SystemExit as stop:
        if not stop.code or not frame.getvalue():
            raise
        raise errors.UserError(unboxed(frame.getvalue())) from None


def unboxed(box: str) -> str:
    """The message of one of tyro's framed errors as one line."""
    lines = [line.strip("│╭╮╰╯ \n") for line in box.splitlines()]
    body = [line for line in lines if line and not line.endswith("─")]
    rule = next((i for i, line in enumerate(lines) if line and set(line) == {"─"}), len(lines))
    message = " ".join(line for line in lines[:rule] if line in body)
    return message or " ".join(body)


def suggestion(word: str, valid: list[str]) -> str:
    """`; did you mean …?` with the valid word closest to `word`, or nothing when none is near."""
    lowered = {name.lower(): name for name in valid}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[close[0]]}?" if close else ""


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The config with paths as strings, ready for JSON."""
    values = dataclasses.asdict(config)
    return {name: str(value) if isinstance(value, pathlib.Path) else value for name, value in values.items()}


def changed(config) -> dict[str, Any]:
    """The settings that differ from the defaults."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        field.name: values[field.name] for field in dataclasses.fields(config) if values[field.name] != field.default
    }


def arguments(config) -> list[str]:
    """The command-line arguments that `parse` makes the config from: what differs from the defaults."""
    found = []
    for name, value in changed(config).items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            found.append(flag if value else flag.replace("--", "--no-", 1))
        elif value is not None:
            found += [flag, *map(str, value if isinstance(value, tuple) else [value])]
    return found


def from_dict(config_class: type, values: dict[str, Any]) -> Any:
    """The inverse of `to_dict`; fields that the class no longer has are refused.

    Raises:
        UserError: a field is unknown, so the file was written by another version.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise errors.UserError(
            f"the run's config.json has unknown settings ({', '.join(unknown)}): another version wrote it"
        )
    paths = {name for name, field in fields.items() if "Path" in str(field.type)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return config_class(
        **{
            name: pathlib.Path(value) if name in paths and value is not None else value
            for name, value in values.items()
        }
    )
