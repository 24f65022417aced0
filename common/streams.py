"""Standard streams, settings and folders of the process, made usable wherever a program runs; done once at its start.

A terminal in Latin-1, streams that a scheduler has closed, settings of other projects in the environment and a
container without a temporary folder must not end a run that has trained for hours.
"""

import codecs
import contextlib
import os
import pathlib
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any

# What our texts contain, in letters of every terminal.
PLAIN = {
    "→": "->", "–": "-", "—": "-", "…": "...", "≈": "~", "≤": "<=", "≥": ">=", "×": "x", "±": "+/-", "−": "-", "“": '"',
    "”": '"', "’": "'", "·": "-", "²": "2", "✓": "+", "━": "-", "│": "|", "█": "#", "\u202f": " ",
}  # fmt: skip
HANDLER = "recipes_plain"
BACKEND = "KERAS_BACKEND"


def set_up() -> None:
    """Open streams that are closed, and let them replace what they cannot encode."""
    codecs.register_error(HANDLER, _plain)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the next file that is opened would get this number, and with it what native code prints
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="replace")
    sys.stdout, sys.stderr = _usable(sys.stdout, 1), _usable(sys.stderr, 2)


def _usable(stream: object, number: int) -> object:
    if stream is None:
        stream = open(number, "w", encoding="utf-8", buffering=1, closefd=False)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=HANDLER)
    return stream


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return a replacement for what cannot be encoded: bytes of a file's name, plain letters, or an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    if all(0xDC80 <= ord(letter) <= 0xDCFF for letter in found):  # bytes that are not UTF-8
        return found.encode("utf-8", "surrogateescape"), error.end
    plain = (PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in found)
    return "".join(plain), error.end


class _New:
    """A stream that drops lines which it has shown already; progress bars and the rest of the stream stay."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._shown, self._line = stream, set[str](), ""

    def write(self, text: str) -> int:
        if "\r" in text:
            self._stream.write(text)
            return len(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line not in self._shown:
                self._shown.add(line)
                self._stream.write(f"{line}\n")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def each_line_once() -> contextlib.redirect_stderr:
    """Return a context, for several uses, in which stderr shows a line only once: the same data read for many seeds."""
    return contextlib.redirect_stderr(_New(sys.stderr))


def print_last(text: object) -> None:
    """Print the last line of stdout; a stream that cannot be written any more changes nothing on what was done."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):  # a closed pipe or a full disk; Python would try again at its end
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextlib.contextmanager
def appendix(what: str, again: str = "") -> Iterator[None]:
    """Do what comes after a finished training: its failure is one line on stderr and changes nothing.

    Args:
        what: what is done.
        again: the command that repeats it.
    """
    try:
        yield
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        told = " ".join((str(error).strip().splitlines() or [""])[0].split())
        name = "" if type(error).__name__ == "UserError" else type(error).__name__
        reason = ": ".join(filter(None, [name, told]))
        how = f"; to repeat it: {again}" if again else ""
        with contextlib.suppress(OSError, ValueError):
            print(f"{what}: failed, the run itself is complete ({reason}){how}", file=sys.stderr)


# The environment ------------------------------------------------------------------------------------------------


def settle_environment() -> None:
    """Overrule settings of other projects before TensorFlow and Keras read them, and print which."""
    notebook = os.environ.get("MPLBACKEND", "")
    if notebook.lower() not in ("", "agg"):
        os.environ["MPLBACKEND"] = "agg"
        if notebook.startswith("module://"):
            print(f"MPLBACKEND={notebook} is of a notebook; figures are drawn into files", file=sys.stderr)
    backend = os.environ.get(BACKEND)
    if backend not in (None, "", "tensorflow"):
        print(f"{BACKEND}={backend} is not used: the recipes run on TensorFlow", file=sys.stderr)
    os.environ[BACKEND] = "tensorflow"


def settle_temporary_folder(*instead: pathlib.Path) -> None:
    """Let temporary files be written to one of these folders if the system has no folder for them.

    Args:
        instead: folders that can be written, the best first.
    """
    with contextlib.suppress(OSError):
        tempfile.gettempdir()
        return
    for folder in instead:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                tempfile.tempdir = os.environ["TMPDIR"] = str(folder.absolute())
            print(f"no temporary folder can be written; temporary files go to {folder}", file=sys.stderr)
            return
