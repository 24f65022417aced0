"""Lazy imports, so that a program answers --help and reports mistakes before anything heavy loads.

A recipe imports this module first. TensorFlow and Keras take seconds to import. In our programs (`python recipes/x.py`,
`python -m recipes x`, the installed command), these two and our own modules are imported at their first use. `load_all`
imports all of them before the work begins. Elsewhere, in tests and notebooks, this module imports TensorFlow at once.
TensorFlow then reads its settings, and prints messages that no log level hides.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pathlib
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from common import errors, interrupts

# A line of every recipe, of a package's `__main__.py`, and of the script that pip writes for a command.
OURS = re.compile(rb"^ +startup\.main\(|\.commands import main( +#.*)?$|\.__main__ import command$", re.MULTILINE)


def _is_program_of_ours() -> bool:
    """Return whether what runs leaves its start to us, as recipes, `__main__.py` and the installed command do."""
    file = pathlib.Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    return file.is_file() and bool(OURS.search(file.read_bytes()))


if _is_program_of_ours():
    interrupts.end_at_once()
try:
    from common import flags, outputs, streams
except ModuleNotFoundError:
    sys.excepthook = errors.say_not_installed
    raise

# What TensorFlow 2.21 prints at every start on a healthy machine. No log level hides the lines that
# it prints before its logging is set up. Lines that do not match are printed unchanged.
CHATTER = re.compile(
    r"All log messages before absl::InitializeLog|oneDNN custom operations are on"
    r"|Could not find cuda drivers|failed call to cuInit|optimized to use available CPU instructions"
    r"|To enable the following instructions|Unable to register cu\w+ factory|computation placer already"
)


def main(
    config_class: type,
    run: Callable[[Any], Any],
    description: str | None = None,
    arguments: list[str] | None = None,
    program: str | None = None,
) -> None:
    """Parse the command line, call `run(config)` and print the run directory as the last line of stdout.

    A `UserError` becomes one line on stderr and exit code 2; `--debug` also prints the traceback.

    Args:
        config_class: the dataclass whose fields are the flags.
        run: the recipe.
        description: the first lines of the help.
        arguments: the command line; default: that of this process.
        program: the name of the program in the help; default: the script.
    """
    streams.set_up()
    with flags.reported_errors(debug="--debug" in (arguments or sys.argv)):
        if arguments is None:
            sys.argv[1:] = arguments = outputs.with_latest(sys.argv[1:])  # the run records its command
        config = flags.parse(config_class, arguments, description, program)
        flags.check_paths(config)
        streams.settle_temporary_folder(config.cache_directory / "tmp", config.out.expanduser() / ".tmp")
        load_all()
        result = run(config)
        streams.print_last(result.directory)


def by_name(name: str) -> types.ModuleType:
    """Return a module that only some recipes need, such as `media.clips`; a copied project may lack it.

    Raises:
        UserError: this project does not include the module.
    """
    whole = f"{__package__}.{name}"
    if any(importlib.util.find_spec(each) is None for each in (whole.rpartition(".")[0], whole)):
        raise errors.UserError(f"this project does not include {name}, which belongs to another recipe")
    module = importlib.import_module(whole)
    if _waits(module):
        _load(module)
    return module


@contextlib.contextmanager
def start_up_chatter_hidden() -> Iterator[None]:
    """Hide the lines on file descriptor 2 that match `CHATTER`, and print the others when the block ends."""
    lines: list[str] = []
    try:
        with stderr_held_back(lines):
            yield
    finally:
        sys.stderr.writelines(line for line in lines if not CHATTER.search(line))


@contextlib.contextmanager
def stderr_held_back(lines: list[str]) -> Iterator[None]:
    """Append to `lines`, when the block ends, what Python or native code wrote to file descriptor 2."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.memfd_create("stderr"), "w+b") as held_back:  # in memory: there may be no temporary folder
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held_back.seek(0)
            lines += held_back.read().decode(errors="replace").splitlines(keepends=True)


# Modules that are loaded at their first use ------------------------------------------------------------------


HEAVY = ("keras", "tensorflow")
_LOCK = threading.RLock()  # for all loading: two threads may need the same module at once


class _Later(types.ModuleType):
    """A module that is loaded at the first access to one of its attributes."""

    def __getattr__(self, name: str) -> Any:
        if not _load(self):  # a module that this one imports asks for the name before it is defined
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)


def _load(module: types.ModuleType) -> bool:
    """Load a waiting module once, and return whether it is loaded; False while its loading is in progress."""
    with _LOCK:
        loader = module.__dict__.pop("_loader", None)
        if loader is None:
            return type(module) is not _Later
        module.__dict__.update(module.__dict__.pop("_hidden"))
        with _loading() if module.__name__ in HEAVY else contextlib.nullcontext():
            loader.exec_module(module)
            module.__class__ = types.ModuleType
            if module.__name__ in SETTLED:
                SETTLED[module.__name__](module)
        return True


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Load a heavy library, which Control-C ends at once."""
    with interrupts.at_once(), start_up_chatter_hidden():
        yield


class _LaterLoader(importlib.abc.Loader):
    """A loader that returns a `_Later` in place of the module that another loader would load."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Later(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        # Without `__path__`, no module of a package can be imported before the package itself is loaded.
        hidden = {name: module.__dict__.pop(name) for name in ("__path__",) if name in module.__dict__}
        module.__dict__.update(_loader=self.loader, _hidden=hidden)


class _LaterFinder(importlib.abc.MetaPathFinder):
    """A finder of the heavy libraries and of the modules in our rooms."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in HEAVY and not name.startswith(f"{__package__}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        is_room = name not in HEAVY and spec is not None and spec.submodule_search_locations is not None
        if spec is not None and spec.loader is not None and not is_room:
            spec.loader = _LaterLoader(spec.loader)
        return spec


def _settle(tensorflow: types.ModuleType) -> None:
    """Let TensorFlow print its start-up messages now, and silence its later warnings."""
    tensorflow.config.list_physical_devices()  # Without a GPU, CUDA complains at the first query.
    tensorflow.get_logger().setLevel("ERROR")  # It warns about retracing, which a run with several models needs.


def _settle_keras(keras: types.ModuleType) -> None:
    """Undo the settings that another project has left in ~/.keras/keras.json; `KERAS_BACKEND` overrides its backend."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


SETTLED = {"tensorflow": _settle, "keras": _settle_keras}


def load_all() -> None:
    """Load all modules that wait, the heavy libraries first, so that nothing is left to load when threads start."""
    with interrupts.at_once():
        while waiting := [module for module in list(sys.modules.values()) if _waits(module)]:
            for module in sorted(waiting, key=lambda module: module.__name__ not in HEAVY):
                _load(module)


def _waits(module: object) -> bool:
    return type(module) is _Later and "_loader" in module.__dict__


# oneDNN made VGG16 inference about 15 % faster on an AMD CPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if _is_program_of_ours():
    streams.settle_environment()
    sys.excepthook = errors.say_not_installed
    sys.meta_path.insert(0, _LaterFinder())
else:
    os.environ.setdefault(streams.BACKEND, "tensorflow")
    with start_up_chatter_hidden():
        import keras  # TensorFlow imports it anyway
        import tensorflow

        _settle(tensorflow)
        _settle_keras(keras)
