"""Flags from a dataclass: the settings that all recipes share, their bounds, and messages for mistakes."""

import contextlib
import dataclasses
import difflib
import errno
import functools
import io
import math
import operator
import os
import pathlib
import re
import sys
import traceback
import typing
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any, Literal

import annotated_types
import tyro
from annotated_types import Ge, Gt, Le, Lt

from common import errors, interrupts

OS_ADVICE = {
    errno.ENOSPC: "free some space, or choose another --out and --cache",
    errno.EDQUOT: "free some space, or choose another --out and --cache",
    errno.EACCES: "change its permissions, or choose another --out and --cache",
    errno.EROFS: "choose another --out and --cache",
    errno.ENAMETOOLONG: "the name is too long for this disk; give a shorter one",
    errno.EFBIG: "the largest file that may be written here is smaller (ulimit -f); choose another --out and --cache",
}
HOLDS: dict[type, Callable[[float, float], bool]] = {
    annotated_types.Gt: operator.gt, annotated_types.Ge: operator.ge, annotated_types.Lt: operator.lt,
    annotated_types.Le: operator.le,
}  # fmt: skip
ALONE = {
    annotated_types.Gt: "above {}", annotated_types.Ge: "{} or above", annotated_types.Lt: "below {}",
    annotated_types.Le: "at most {}",
}  # fmt: skip
HOW_TO_GO_ON: list[str] = []  # the flags that continue the current run if it is interrupted
WITH_RESUME = ("--resume", "--debug")  # the flags that a run which goes on takes
REMOVE = "remove it"  # what messages say of settings without an effect
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OPTIONS = (tyro.conf.FlagCreatePairsOff,)


# The name of a flag in older versions → its names today; a recipe has one of them.
RENAMED = {
    "warm_up": ("warmup_epochs", "warmup_ratio"), "clip": ("clipnorm",), "accumulate": ("gradient_accumulation_steps",),
    "window": ("sequence_length",), "rate_decay": ("layer_decay",), "turns": ("test_time_views",),
    "looks": ("test_time_views",), "target": ("target_class",), "sensitivity": ("target_sensitivity",),
    "cache_limit": ("cache_limit_gb",), "preset": ("backbone",),
}  # fmt: skip
# The name of a flag in other software → its name here.
ELSEWHERE = {
    "lr": "learning_rate", "model": "backbone", "network": "backbone", "base_model": "backbone", "arch": "backbone",
    "num_epochs": "epochs", "n_epochs": "epochs", "bs": "batch_size", "batch": "batch_size", "img_size": "image_size",
    "input_size": "image_size", "size": "image_size", "data_dir": "data", "dataset": "data", "output_dir": "out",
    "output": "out", "val_split": "validation_fraction", "validation_split": "validation_fraction",
    "test_split": "test_fraction", "test_size": "test_fraction", "random_state": "seed", "random_seed": "seed",
    "early_stopping": "patience", "mixed_precision": "precision", "dtype": "precision", "unfreeze": "unfreeze_from",
    "fine_tune_at": "unfreeze_from", "fine_tuning_lr": "fine_tuning_rate", "fine_tune_epochs": "fine_tuning_epochs",
    "max_length": "sequence_length", "max_seq_length": "sequence_length", "warmup": "warmup_epochs",
    "warmup_steps": "warmup_ratio", "horizontal_flip": "flip", "tta": "test_time_views",
    "feature_layer": "last_layer", "n_shot": "shots", "k_shot": "shots",
}  # fmt: skip


class Removed(typing.NamedTuple):
    """A flag of older versions: the value that had no effect, and what to do instead."""

    unused: Any
    advice: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Flags of every recipe, whatever its data. A recipe's `Config` adds its own and may change a default."""

    data: str = "demo"  # demo, or the path of the data
    batch_size: Annotated[int, Gt(0), Le(100_000)] = 32  # halve it if memory runs out; 16 to 64 hardly differ
    epochs: Annotated[int, Gt(0)] = 50  # an upper limit, since early stopping ends the training
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0  # of weights, order, augmentation; report at least three seeds
    split_seed: Annotated[int, Ge(0), Le(2**31 - 1)] | None = None  # seed of the split; default: the same as --seed
    validation_fraction: Annotated[float, Gt(0), Lt(1)] | None = None  # of all samples; default: depends on the data
    test_fraction: Annotated[float, Gt(0), Lt(1)] | None = None  # of all samples; default: depends on the data
    # Of all computation. mixed is faster on GPUs; mixed_bfloat16 also for some networks on CPUs with AMX.
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    deterministic: bool = False  # the same weights every time, bit for bit; somewhat slower on a GPU
    out: pathlib.Path = pathlib.Path("runs")  # the folder in which the run directory is made
    resume: pathlib.Path | None = None  # the directory of an interrupted run, to continue after its last epoch
    cache: pathlib.Path | None = None  # folder of the feature cache; default: ~/.cache/keras_recipes
    no_cache: bool = False  # do not read or write the cache, and compute the frozen layers again in every epoch
    # 16 bits halve the cache, but features lose digits: float16 keeps 11 bits, bfloat16 8, of numbers of any size.
    cache_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    cache_limit_gb: Annotated[float, Gt(0)] = 20.0  # most gigabytes that the features at one cut may add to the cache
    dry_run: bool = False  # read the data, print the plan with its time, memory and disk space, and stop
    skip_bad: bool = False  # leave out unusable files instead of stopping; skipped.csv lists them
    # Go on although more than a tenth of the files of a class are in formats that are not read.
    skip_unsupported: bool = False
    same_names: bool = False  # join classes or groups whose names only look alike, such as Cat and cat
    tensorboard: bool = False  # write curves of every epoch to the run directory: tensorboard --logdir runs
    mlflow: str | None = None  # MLflow server or database to send the finished run to, http://127.0.0.1:5000
    # What an hour of this machine costs; plans and results then say what a run costs.
    price_per_hour: Annotated[float, Gt(0)] | None = None
    energy: bool = False  # estimate the electricity that the run uses, by codecarbon (extra energy)
    debug: bool = False  # show the traceback of an error

    FORMS_OF_DATA = "the path of the data, or demo"  # without an annotation, so it is not a field
    ARTICLE: typing.ClassVar[dict[str, Any]] = {}  # the settings of the article's example, for recipes with --article
    # Flags of older versions.
    REMOVED = {"train_base": Removed(False, "no longer exists: a separate recipe trains all layers from scratch")}

    UNUSED: typing.ClassVar[dict[str, str]] = {}  # inherited settings without an effect in a recipe, name → why

    def __post_init__(self) -> None:
        check_bounds(self)
        for name, why in self.UNUSED.items():
            check_used(self, False, f"here: {why}", name)

    def check_files(self) -> None:
        """Refuse further files in the settings that cannot be used; a kind of data adds its own."""

    @property
    def cache_directory(self) -> pathlib.Path:
        """The folder for results that can be computed again."""
        return (self.cache or default_cache_directory()).expanduser()


def check_paths(config: RunConfig) -> None:
    """Refuse a path of data or of a run that does not exist, before anything heavy is loaded.

    Raises:
        UserError: a path does not exist; the message names its flag.
    """
    for source in () if config.resume else sources_of(config):
        special = source == "demo" or source.startswith(("demo:", "tfds:"))
        if not special and not pathlib.Path(source).expanduser().exists():
            raise errors.UserError(f"--data {source}: no such file or folder; give {config.FORMS_OF_DATA}")
    if config.resume and not config.resume.expanduser().is_dir():
        raise errors.UserError(f"--resume {config.resume}: no such directory; give that of an interrupted run")
    if config.resume and not (config.resume.expanduser() / "config.json").is_file():
        raise errors.UserError(f"--resume {config.resume}: not a run directory, since it has no config.json")
    if not config.resume:
        config.check_files()


def sources_of(config: Any) -> tuple[str, ...]:
    """Return the sources of `--data`, of which some recipes take several."""
    return (config.data,) if isinstance(config.data, str) else config.data


def check_bounds(config: Any) -> None:
    """Refuse a setting outside the bounds or the choices in its type, such as `Annotated[float, Ge(0), Lt(1)]`.

    Raises:
        UserError: a value is out of bounds or no choice; the message names the flag and what it takes.
    """
    for name, hint in typing.get_type_hints(type(config), include_extras=True).items():
        bounds, value = _bounds(hint), getattr(config, name)
        if choices := _choices(hint):
            check(value in choices, name, f"must be one of {', '.join(map(str, choices))}")
        if bounds and value is not None:
            holds = all(HOLDS[type(bound)](value, limit) for bound, limit in bounds)
            check(holds, name, _demand([(type(bound), limit) for bound, limit in bounds]) + _hint(hint))
            check(math.isfinite(value), name, "must be a finite number")


def _bounds(hint: Any) -> list[tuple[Any, float]]:
    """Return the bounds in a type, each with its limit; also for an optional value."""
    own = [(bound, getattr(bound, type(bound).__name__.lower())) for bound in getattr(hint, "__metadata__", ())
           if type(bound) in HOLDS]  # fmt: skip
    return own + [bound for part in typing.get_args(hint) for bound in _bounds(part)]


def _choices(hint: Any) -> list:
    """Return the values of a `Literal`, with None if the value is optional; none for another type."""
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    optional = [None] * (len(parts) < len(typing.get_args(hint)))
    return [*found, *optional] if len(parts) == 1 and (found := _choices(parts[0])) else []


def _hint(hint: Any) -> str:
    """Return the text of `annotated_types.doc` in a type."""
    told = [part.documentation for part in getattr(hint, "__metadata__", ()) if hasattr(part, "documentation")]
    return "".join(f": {each}" for each in told)


def _demand(bounds: list[tuple[type, float]]) -> str:
    """Return bounds in words: `must be above 0`, `must be from 0 to below 1`."""
    (kind, low), *others = bounds
    if not others:
        return f"must be {ALONE[kind].format(f'{low:g}')}"
    ((other, high),) = others
    if kind is annotated_types.Ge:
        return f"must be from {low:g} to {'below ' if other is annotated_types.Lt else ''}{high:.10g}"
    return f"must be {'between {} and {}' if other is annotated_types.Lt else 'above {} and at most {}'}".format(
        low, high
    )


def check(holds: bool, name: str, demand: str) -> None:
    """Refuse a setting whose value does not meet a demand.

    Raises:
        UserError: `holds` is false; the message names the flag and the demand.
    """
    if not holds:
        raise errors.UserError(f"--{name.replace('_', '-')} {demand}")


class NoEffect(errors.UserError):
    """A setting is given that has no effect.

    Attributes:
        name: the setting.
    """

    def __init__(self, name: str, why: str) -> None:
        """Say why it has none: "without --compare"."""
        super().__init__(f"--{name.replace('_', '-')} has no effect {why}; {REMOVE}")
        self.name = name


def check_used(config: RunConfig, used: bool, why: str, *names: str) -> None:
    """Refuse settings that are given and have no effect.

    Args:
        config: the settings.
        used: whether they have an effect.
        why: when they have none: "without --compare".
        names: the settings.

    Raises:
        NoEffect: one of them is not its default; the message names its flag.
    """
    idle = [name for name in names if name in changed(config)]
    if idle and not used:
        raise NoEffect(idle[0], why)


def default_cache_directory() -> pathlib.Path:
    """Return `$XDG_CACHE_HOME/keras_recipes`, by default `~/.cache/keras_recipes`."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keras_recipes"


@contextlib.contextmanager
def reported_errors(debug: bool = False) -> Iterator[None]:
    """Turn errors that a user can fix into one line on stderr and exit code 2, and Control-C into exit code 130."""
    interrupts.raise_again()
    try:
        yield
    except errors.UserError as error:
        fail(str(error), debug)
    except KeyboardInterrupt:
        print("\nstopped by you" + "".join(f"; go on with {how}" for how in HOW_TO_GO_ON[-1:]), file=sys.stderr)
        sys.exit(interrupts.EXIT_CODE)
    except RuntimeError as error:
        # Of pathlib, without the path: the home of the user in ~user/photos.
        if "determine home directory" not in str(error):
            raise
        named = next((argument for argument in sys.argv if "~" in argument), "~")
        fail(
            f"{named}: ~ and a name stand for the folder of a user, and there is no such user; write out the path",
            debug,
        )
    except BrokenPipeError:  # a reader such as `head` has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        advice = OS_ADVICE.get(error.errno or 0)
        if not advice:
            raise
        fail(f"{error.filename or 'writing'}: {error.strerror}; {advice}", debug)
    except Exception as error:
        inside = re.search(
            r"\bUserError: (.+)", str(error)
        )  # raised in a tf.data pipeline, which passes on only the text
        if not inside:
            for how in HOW_TO_GO_ON[-1:]:
                print(f"stopped by an unexpected error; nothing is lost: go on with {how}", file=sys.stderr)
            raise
        fail(inside.group(1), debug)


def fail(message: str, debug: bool = False) -> None:
    """Print `error: message` and exit with code 2."""
    if debug:
        traceback.print_exc()
    print(f"error: {advice_under_resume(' '.join(message.split()), sys.argv)}", file=sys.stderr)
    sys.exit(2)


def advice_under_resume(message: str, arguments: Collection[str]) -> str:
    """Return a message that says so if the flags that it advises are refused, because a run goes on.

    Args:
        message: one line.
        arguments: the command line; a flag that it contains is no advice. Nor is one at the start of the message,
            which says what is wrong with it, or one in a message that ends in the advice to remove it.
    """
    given = [argument.partition("=")[0] for argument in arguments]
    if "--resume" not in given or "start a new run with" in message or REMOVE in message:
        return message
    subject = FLAG.match(message)
    advice = message[subject.end() if subject else 0 :]
    advised = [flag for flag in dict.fromkeys(FLAG.findall(advice)) if flag not in (*given, *WITH_RESUME)]
    if not advised:
        return message
    them = "it" if len(advised) == 1 else "them"
    return f"{message}; --resume takes no such flag: for {' or '.join(advised)}, start a new run with {them}"


def parse(
    config_class: type[Any], arguments: list[str], description: str | None = None, program: str | None = None
) -> Any:
    """Make a config from command-line arguments.

    Raises:
        UserError: a value is not valid, or a flag is unknown; the message names the closest valid flag, or says what
            replaces the flag.
    """
    defaults = {}
    if "--article" in arguments and "article" in flag_names(config_class):
        defaults["default"] = article(config_class)  # other flags beside it win
        arguments = [each for each in arguments if each != "--article"]
    with _one_line_errors():
        parsed, unknown = tyro.cli(
            config_class,
            args=arguments,
            prog=program,
            description=description,
            return_unknown_args=True,
            config=OPTIONS,
            **defaults,
        )
    if unknown:
        name = unknown[0].partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_")
        if name in getattr(config_class, "REMOVED", ()):
            raise errors.UserError(_removed(config_class, name))
        here = [new for new in (*RENAMED.get(name, ()), ELSEWHERE.get(name)) if new in flag_names(config_class)]
        if here and unknown[0].startswith("-"):
            said = "is now" if name in RENAMED else "is called"
            raise errors.UserError(f"{unknown[0]} {said} --{here[0].replace('_', '-')}; --help lists all")
        flags = ["--" + name.replace("_", "-") for name in sorted(flag_names(config_class))]
        raise errors.UserError(f"unknown argument {unknown[0]}{suggestion(unknown[0], flags)}; --help lists all")
    return parsed


def article(config_class: type[Any]) -> Any:
    """Return the settings of the article's example that a recipe follows."""
    return config_class(article=True, **config_class.ARTICLE)


def _removed(config_class: type[Any], name: str) -> str:
    """Return the message for a flag of older versions."""
    return f"--{name.replace('_', '-')} {config_class.REMOVED[name].advice}"


def call(function: Callable, arguments: list[str], program: str) -> Any:
    """Call a function with flags that are made from its signature.

    Raises:
        UserError: an argument is unknown, or the function raises it.
    """
    # tyro's messages are held back during parsing only; the function itself prints freely.
    with _one_line_errors():
        chosen = tyro.cli(
            _deferred(function),
            args=arguments,
            prog=program,
            config=(*OPTIONS, tyro.conf.PositionalMetavarFromFieldName),
        )
    return chosen()


def _deferred(function: Callable) -> Callable:
    """Return a function with the same signature that returns the call, to be made later."""

    @functools.wraps(function)
    def remember(*arguments: Any, **settings: Any) -> functools.partial:
        return functools.partial(function, *arguments, **settings)

    return remember


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn tyro's framed messages into a `UserError`."""
    frame = io.StringIO()
    try:
        with contextlib.redirect_stderr(frame):
            yield
    except SystemExit as stop:
        if not stop.code or not frame.getvalue():
            raise
        raise errors.UserError(unboxed(frame.getvalue())) from None


def unboxed(box: str) -> str:
    """Return the message of one of tyro's framed errors as one line."""
    lines = [line.strip("│╭╮╰╯ \n") for line in box.splitlines()]
    body = [line for line in lines if line and not line.endswith("─")]
    rule = next((i for i, line in enumerate(lines) if line and set(line) == {"─"}), len(lines))
    message = " ".join(line for line in lines[:rule] if line in body)
    wrong = re.search(r"Error parsing (--\S+): (invalid literal for int|could not convert string to float).*", message)
    if wrong:
        return f"{wrong[1]} must be a {'whole number' if 'int' in wrong[2] else 'number'}"
    # A type with bounds is shown as the type alone: only programmers understand `typing.Annotated[int, Ge(ge=0)]`.
    return re.sub(r"typing\.Annotated\[(\w+),[^\]]*\]", r"\1", message or " ".join(body))


def suggestion(word: str, valid: list[str]) -> str:
    """Return `; did you mean …?` with the valid word closest to `word`, or an empty text if none is close."""
    lowered = {name.lower(): name for name in valid}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[close[0]]}?" if close else ""


def flag_names(config_class: type) -> set[str]:
    """Return the fields that have a flag; a recipe may hide fields of its base classes that it does not need."""
    return {field.name for field in dataclasses.fields(config_class) if "Suppress" not in str(field.type)}


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Return the config as a dict for JSON: paths as strings, and only fields that have a flag in this recipe."""
    values = {name: value for name, value in dataclasses.asdict(config).items() if name in flag_names(type(config))}
    return {name: str(value) if isinstance(value, pathlib.Path) else value for name, value in values.items()}


def changed(config: RunConfig) -> dict[str, Any]:
    """Return the settings that differ from the defaults."""
    return {
        field.name: value for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) != field.default
    }  # fmt: skip


def arguments(config: RunConfig) -> list[str]:
    """Return the command-line arguments from which `parse` makes this config: what differs from the defaults."""
    like_article = getattr(config, "article", False)
    settings, found = changed(config), ["--article"] if like_article else []
    if like_article:
        example = article(type(config))
        values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        settings = {name: value for name, value in values.items() if value != getattr(example, name)}
    for name, value in settings.items():
        if name not in flag_names(type(config)):
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            found.append(flag if value else flag.replace("--", "--no-", 1))
        elif value is not None:
            found += [flag, *map(str, value if isinstance(value, tuple) else [value])]
    return found


def renamed(values: dict[str, Any], fields: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings of a run under today's names.

    Args:
        values: name → value, as in config.json.
        fields: the names to choose from if a setting has several today; default: the first.
    """
    found = {}
    for name, value in values.items():
        new = RENAMED.get(name, (name,))
        found[name if name in fields else next((each for each in new if each in fields), new[0])] = value
    return found


def from_dict(config_class: type[Any], values: dict[str, Any]) -> Any:
    """Make a config from a dict; the inverse of `to_dict`.

    Settings without an effect, which older versions took, get their defaults: a run that has them can be resumed.

    Raises:
        UserError: a field is unknown, or was removed and its value had an effect: another version wrote the file.
        ValueError: a value cannot be a path.
    """
    if "\0" in "".join(map(str, values.values())):
        raise ValueError("a null byte in a setting")
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    values = renamed(values, fields)
    removed = sorted(config_class.REMOVED.keys() & values.keys() - fields.keys())
    for name in removed:
        if values[name] != config_class.REMOVED[name].unused:
            raise errors.UserError(
                f"the run was made with --{name.replace('_', '-')} {values[name]}; {_removed(config_class, name)}; "
                "start a new run"
            )
    values = {name: value for name, value in values.items() if name not in removed}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise errors.UserError(
            f"the run's config.json has unknown settings ({', '.join(unknown)}); another version wrote it"
        )
    paths = {name for name, field in fields.items() if "Path" in str(field.type)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    values = {
        name: pathlib.Path(value) if name in paths and value is not None else value for name, value in values.items()
    }
    while True:
        try:
            return config_class(**values)
        except NoEffect as error:
            if values.pop(error.name, None) is None:
                raise
