"""The start of a program, which a recipe imports first: help and mistakes are answered before anything heavy loads.

TensorFlow and Keras take seconds to import. In a program of ours (`python recipes/x.py`, `python -m recipes x`, or the
installed command) these two and our own modules are imported at their first use; `load_all` does that for all of them
before the work begins. Elsewhere, in tests and notebooks, TensorFlow is imported here and now. It reads its settings
meanwhile, and says much that no log level hides.
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
import tempfile
import threading
import types

from common import errors, flags

# What TensorFlow 2.21 says at every start on a healthy machine; no log level hides the lines that
# come before its logging is set up. Whatever does not match is printed as it came.
CHATTER = re.compile(
    r"All log messages before absl::InitializeLog|oneDNN custom operations are on"
    r"|Could not find cuda drivers|failed call to cuInit|optimized to use available CPU instructions"
    r"|To enable the following instructions|Unable to register cu\w+ factory|computation placer already"
)
# A line of every recipe, of a package's `__main__.py`, and of the script that pip writes for a command.
OURS = re.compile(rb"^ +startup\.main\(|\.commands import main$|\.__main__ import command$", re.MULTILINE)


def main(
    config_class: type,
    run,
    description: str | None = None,
    arguments: list[str] | None = None,
    program: str | None = None,
) -> None:
    """Parses the command line, calls `run(config)` and prints the run directory as stdout's last line.

    A `UserError` ends in one line on stderr and exit code 2; `--debug` shows the traceback too.

    Args:
        config_class: whose fields are the flags.
        run: what is called.
        description: what the help says first.
        arguments: those of the command line; None takes the process's own.
        program: what the help calls it; None takes the name of the script.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    with flags.reported_errors(debug="--debug" in arguments):
        config = flags.parse(config_class, arguments, description, program)
        flags.check_paths(config)
        load_all()
        result = run(config)
        print(result.directory)


def by_name(name: str) -> types.ModuleType:
    """A module that only some recipes need, such as `media.clips`: a copied project has those that its recipe imports.

    Raises:
        UserError: this project does not have it.
    """
    whole = f"{__package__}.{name}"
    if any(importlib.util.find_spec(each) is None for each in (whole.rpartition(".")[0], whole)):
        raise errors.UserError(f"this project does not include {name}, which belongs to another recipe")
    module = importlib.import_module(whole)
    if _waits(module):
        _load(module)
    return module


@contextlib.contextmanager
def start_up_chatter_hidden():
    """Holds back what is written to file descriptor 2 and lets through the lines that are not chatter."""
    lines: list[str] = []
    try:
        with stderr_held_back(lines):
            yield
    finally:
        sys.stderr.writelines(line for line in lines if not CHATTER.search(line))


@contextlib.contextmanager
def stderr_held_back(lines: list[str]):
    """Appends to `lines`, when the block ends, what was written to file descriptor 2: of converters, too."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
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
_LOCK = threading.RLock()  # of all loading: two threads may need one module first


class _Later(types.ModuleType):
    """A module that is loaded when it is first asked for something."""

    def __getattr__(self, name):
        if not _load(self):  # asked by what itself imports: not there yet
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)


def _load(module) -> bool:
    """Loads a module that waits, once; whether it is loaded then: while it is being loaded it is not."""
    with _LOCK:
        loader = module.__dict__.pop("_loader", None)
        if loader is None:
            return type(module) is not _Later
        module.__dict__.update(module.__dict__.pop("_hidden"))
        with start_up_chatter_hidden() if module.__name__ in HEAVY else contextlib.nullcontext():
            loader.exec_module(module)
            module.__class__ = types.ModuleType
            if module.__name__ == "tensorflow":
                _settle(module)
        return True


class _LaterLoader(importlib.abc.Loader):
    """Makes a `_Later` of what another loader would load."""

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return _Later(spec.name)

    def exec_module(self, module):
        # Without a path nobody can import a module of the package past the package itself.
        hidden = {name: module.__dict__.pop(name) for name in ("__path__",) if name in module.__dict__}
        module.__dict__.update(_loader=self.loader, _hidden=hidden)


class _LaterFinder(importlib.abc.MetaPathFinder):
    """Finds the heavy libraries and the modules of our rooms."""

    def find_spec(self, name, path=None, target=None):
        if name not in HEAVY and not name.startswith(f"{__package__}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        is_room = name not in HEAVY and spec is not None and spec.submodule_search_locations is not None
        if spec is not None and spec.loader is not None and not is_room:
            spec.loader = _LaterLoader(spec.loader)
        return spec


def _settle(tensorflow) -> None:
    """Lets TensorFlow say what it has to say, once."""
    tensorflow.config.list_physical_devices()  # Without a GPU, CUDA complains at the first look.
    tensorflow.get_logger().setLevel("ERROR")  # It warns of retracing, which a run of several models needs.


def load_all() -> None:
    """Loads what has been imported and not loaded yet, the libraries first: all is there before the first thread."""
    while waiting := [module for module in list(sys.modules.values()) if _waits(module)]:
        for module in sorted(waiting, key=lambda module: module.__name__ not in HEAVY):
            _load(module)


def _waits(module) -> bool:
    return type(module) is _Later and "_loader" in module.__dict__


def _is_program_of_ours() -> bool:
    """Return whether what runs leaves its start to us, as recipes, `__main__.py` and the installed command do."""
    file = pathlib.Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    return file.is_file() and bool(OURS.search(file.read_bytes()))


# oneDNN made VGG16 inference about 15 % faster on an AMD CPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

if _is_program_of_ours():
    sys.meta_path.insert(0, _LaterFinder())
else:
    with start_up_chatter_hidden():
        import tensorflow

        _settle(tensorflow)
