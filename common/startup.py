"""The start of a program: TensorFlow is imported here, once and quietly, so this is what a recipe imports first.

It reads its settings while it is imported, and says much that no log level hides.
"""

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import tempfile
import types

from common import errors, flags

# What TensorFlow 2.21 says at every start on a healthy machine; no log level hides the lines that
# come before its logging is set up. Whatever does not match is printed as it came.
CHATTER = re.compile(
    r"All log messages before absl::InitializeLog|oneDNN custom operations are on"
    r"|Could not find cuda drivers|failed call to cuInit|optimized to use available CPU instructions"
    r"|To enable the following instructions|Unable to register cu\w+ factory|computation placer already"
)


def main(config_class: type, run, description: str | None = None) -> None:
    """Parses the command line, calls `run(config)` and prints the run directory as stdout's last line.

    A `UserError` ends in one line on stderr and exit code 2; `--debug` shows the traceback too.
    """
    with flags.reported_errors(debug="--debug" in sys.argv):
        config = flags.parse(config_class, sys.argv[1:], description)
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
    return importlib.import_module(whole)


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


# oneDNN made VGG16 inference about 15 % faster on an AMD CPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

with start_up_chatter_hidden():
    import tensorflow

    tensorflow.config.list_physical_devices()  # Without a GPU, CUDA complains at the first look.
    tensorflow.get_logger().setLevel("ERROR")  # It warns of retracing, which a run of several models needs.
