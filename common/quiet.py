"""Keeps TensorFlow's start-up chatter off the terminal, and nothing else."""

import contextlib
import os
import re
import sys
import tempfile

# What TensorFlow 2.21 says at every start on a healthy machine; no log level hides the lines that
# come before its logging is set up. Whatever does not match is printed as it came.
CHATTER = re.compile(
    r"All log messages before absl::InitializeLog|oneDNN custom operations are on"
    r"|Could not find cuda drivers|failed call to cuInit|optimized to use available CPU instructions"
    r"|To enable the following instructions|Unable to register cu\w+ factory|computation placer already"
)


@contextlib.contextmanager
def start_up_chatter_hidden():
    """Holds back what is written to file descriptor 2 and lets through the lines that are not chatter."""
    lines: list[str] = []
    try:
        with _held_back(lines):
            yield
    finally:
        sys.stderr.writelines(line for line in lines if not CHATTER.search(line))


@contextlib.contextmanager
def stderr_hidden():
    """Holds back all that is written to file descriptor 2: of converters, whose errors come as exceptions too."""
    with _held_back([]):
        yield


@contextlib.contextmanager
def _held_back(lines: list[str]):
    """Appends to `lines`, when the block ends, what was written to file descriptor 2."""
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
