"""Control-C while a program starts: it ends at once, with exit code 130 and without a traceback.

The libraries take seconds to load, and nothing is written before they are there. Later, `flags.reported_errors` says
how an interrupted run goes on.
"""

import contextlib
import os
import signal
import threading
import types
from collections.abc import Iterator
from typing import Any

EXIT_CODE = 130


def end_at_once() -> bool:
    """Let Control-C end this process without more ado, until `raise_again` is called; return whether that is new.

    A process that ignores Control-C, as shells start those in the background, goes on doing so.
    """
    return _replace(signal.default_int_handler, _end)


def raise_again() -> None:
    """Let Control-C raise a KeyboardInterrupt, as Python does by default."""
    _replace(_end, signal.default_int_handler)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Let Control-C end this process at once while something loads; afterwards, it does what it did before."""
    changed = end_at_once()
    try:
        yield
    finally:
        if changed:
            raise_again()


def _replace(old: Any, new: Any) -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not old:
        return False
    signal.signal(signal.SIGINT, new)
    return True


def _end(number: int, frame: types.FrameType | None) -> None:
    os._exit(EXIT_CODE)  # an exception would be caught, or reworded, by a library that is being imported
