import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from common import errors, streams

pytestmark = pytest.mark.quick
ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("latin-1", b"-> 3\xe9 \\u65e5 \xe9"),
        ("ascii", b"-> 3\\xe9 \\u65e5 \xe9"),
        ("utf-8", "→ 3é 日 ".encode() + b"\xe9"),
    ],
)
def test_what_a_terminal_cannot_show_is_replaced_and_names_keep_their_bytes(encoding, written):
    streams.set_up()
    assert ("→ 3é 日 " + os.fsdecode(b"\xe9")).encode(encoding, streams.HANDLER) == written


PROGRAM = """
import os, subprocess, sys
from common import streams
streams.set_up()
with open(sys.argv[1], "wb") as file:
    os.write(1, b"native code")
    print("a word", 1 / 3, "\\u2192")
    print("another", file=sys.stderr)
    subprocess.run([sys.executable, "-c", "print(1, flush=True)"], check=True)
    file.write(b"ours")
    file.flush()
    streams.print_last("the last line")
"""


@pytest.mark.parametrize("how", [">&- 2>&- <&-", ">&-", "2>&-"])
def test_closed_streams_end_no_program_and_reach_no_file(how, tmp_path):
    command = f'"{sys.executable}" -c "$PROGRAM" "{tmp_path}/file" {how}'
    environment = os.environ | {"PROGRAM": PROGRAM, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(["bash", "-c", command], capture_output=True, env=environment)
    assert (ended.returncode, (tmp_path / "file").read_bytes()) == (0, b"ours"), ended.stderr
    if how == "2>&-":
        assert ended.stdout.endswith(b"->\n1\nthe last line\n")


def test_a_last_line_that_cannot_be_written_is_no_failure():
    program = "from common import streams; streams.set_up(); streams.print_last('the last line')"
    for how in (">/dev/full", "| true"):
        command = f'set -o pipefail; sleep 0.1; "{sys.executable}" -c "{program}" {how}'
        ended = subprocess.run(["bash", "-c", command], capture_output=True, cwd=ROOT)
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_what_comes_after_the_training_fails_in_one_line(capsys, monkeypatch):
    with streams.appendix("the report", "python -m recipes report runs/1"):
        raise MemoryError("no room\nfor Grad-CAM")
    assert capsys.readouterr().err == (
        "the report: failed, the run itself is complete (MemoryError: no room); "
        "to repeat it: python -m recipes report runs/1\n"
    )
    with streams.appendix("--mlflow x"):
        raise errors.UserError("no server; retry")
    assert capsys.readouterr().err == "--mlflow x: failed, the run itself is complete (no server; retry)\n"
    with pytest.raises(KeyboardInterrupt), streams.appendix("the report"):
        raise KeyboardInterrupt
    monkeypatch.setattr(sys, "argv", ["x", "--debug"])
    with streams.appendix("the report"):
        raise ValueError("why")
    assert "Traceback" in capsys.readouterr().err


def test_what_is_said_for_each_seed_is_said_once_and_bars_still_move(capsys):
    once = streams.each_line_once()
    for seed in (0, 1):
        with once:
            print("data: two photos show one picture", file=sys.stderr)
            print(f"data: seed {seed}", file=sys.stderr)
            sys.stderr.write("\r50 %")
    told = "data: two photos show one picture\ndata: seed 0\n\r50 %data: seed 1\n\r50 %"
    assert capsys.readouterr().err == told


def test_settings_of_other_projects_are_overruled_with_a_line(capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    streams.settle_environment()
    assert (os.environ["MPLBACKEND"], os.environ["KERAS_BACKEND"]) == ("agg", "tensorflow")
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("MPLBACKEND=module://matplotlib_inline.backend_inline is of a notebook")
    assert said[1] == "KERAS_BACKEND=torch is not used: the recipes run on TensorFlow"
    streams.settle_environment()
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.delenv("KERAS_BACKEND")
    streams.settle_environment()
    assert not capsys.readouterr().err and os.environ["KERAS_BACKEND"] == "tensorflow"


def test_without_a_temporary_folder_another_one_is_used(tmp_path, capsys, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    streams.settle_temporary_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()  # the system has one
    monkeypatch.setattr(tempfile, "gettempdir", none)
    streams.settle_temporary_folder(tmp_path / "file" / "a", tmp_path / "b")
    assert os.environ["TMPDIR"] == tempfile.tempdir == str(tmp_path / "b")
    assert f"temporary files go to {tmp_path / 'b'}" in capsys.readouterr().err
