"""Control-C while a program loads its libraries."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from common import interrupts

pytestmark = pytest.mark.quick
ROOT = pathlib.Path(__file__).parents[2]
# A shell in the background starts its programs so that they ignore Control-C.
HEARD = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
SCRIPT = "import sys\nfrom recipes.__main__ import command\nif __name__ == '__main__':\n    command()\n"


PROGRAMS = ["recipes/linear_probe.py", "-m recipes linear_probe", "keras-recipes linear_probe"]
LIBRARIES = ["tyro", "numpy", "keras"]  # the first one, one that a recipe imports at once, a heavy one


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_it_ends_without_a_traceback_whatever_is_being_loaded(program, library, tmp_path):
    (tmp_path / f"{library}.py").write_text("import os, time\nos.write(1, b'loading')\ntime.sleep(60)\n")
    (tmp_path / "keras-recipes").write_text(SCRIPT)
    arguments = program.replace("keras-recipes", str(tmp_path / "keras-recipes")).split()
    started = subprocess.Popen(
        [sys.executable, "-c", HEARD, sys.executable, *arguments, "--out", str(tmp_path / "runs")], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert started.stdout.read(7) == b"loading"
    started.send_signal(signal.SIGINT)
    assert (*started.communicate(timeout=30), started.returncode) == (b"", b"", 130)
    assert not (tmp_path / "runs").exists()


def test_what_control_c_did_before_it_does_afterwards():
    before = signal.getsignal(signal.SIGINT)
    try:
        for handler in (signal.SIG_IGN, signal.default_int_handler):
            signal.signal(signal.SIGINT, handler)
            with interrupts.at_once():
                assert (signal.getsignal(signal.SIGINT) is handler) == (handler is signal.SIG_IGN)
                with interrupts.at_once():
                    pass
                assert (signal.getsignal(signal.SIGINT) is handler) == (handler is signal.SIG_IGN)
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
