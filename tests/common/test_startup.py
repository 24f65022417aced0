import os
import subprocess
import sys

import pytest

from common import errors, startup
from common.media import clips


def test_chatter_is_hidden_and_the_rest_comes_through(capfd):
    with startup.start_up_chatter_hidden():
        os.write(2, b"I0000 port.cc:153] oneDNN custom operations are on. You may see\n")
        os.write(2, b"E0000 something is really broken\n")
    assert capfd.readouterr().err == "E0000 something is really broken\n"


def test_an_error_is_not_swallowed(capfd):
    with pytest.raises(RuntimeError), startup.start_up_chatter_hidden():
        os.write(2, b"last words\n")
        raise RuntimeError
    assert "last words" in capfd.readouterr().err


def test_a_start_is_silent():
    code = "from common import startup; import keras; from common import devices; keras.ops.ones(2)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_module_is_found_by_its_name_where_the_project_has_it():
    assert startup.by_name("media.clips") is clips
    for name in ("media.sounds", "games.chess"):
        with pytest.raises(errors.UserError, match=f"this project does not include {name}, which belongs to another"):
            startup.by_name(name)
