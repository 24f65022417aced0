import json
import pathlib
import subprocess
import sys

import pytest

from common import errors
from common.commands import generate
from common.demo import drawn_texts
from common.models import generation

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

ROOT = pathlib.Path(__file__).parents[3]


def test_the_command_streams_writes_and_warns(tmp_path):
    def recipes(*arguments):
        command = [sys.executable, "-m", "recipes", "generate", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    (tmp_path / "prompts.txt").write_text("The meeting\n\nMembers shall\n")
    ended = recipes(
        drawn_texts.PRESET, "--file", tmp_path / "prompts.txt", "--max-tokens", 8, "--out", tmp_path / "made.jsonl"
    )
    assert ended.returncode == 0 and "not legal advice" in ended.stderr, ended.stderr
    rows = [json.loads(line) for line in (tmp_path / "made.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["The meeting", "Members shall"]
    assert all(row["text"] in ended.stdout for row in rows)
    ended = recipes(tmp_path, "--prompt", "x")
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1 and "no language model" in ended.stderr


def test_prompts_of_a_file(tmp_path):
    assert generate.prompts_of((), None) == [""] and generate.prompts_of(("a", "b"), None) == ["a", "b"]
    with pytest.raises(errors.UserError, match="no such file"):
        generate.prompts_of((), tmp_path / "none.txt")


def test_prompts_are_tidied_as_the_documents_were(tmp_path, capsys):
    sampling = generation.Sampling(max_tokens=3, greedy=True)
    assert generate.write_on(drawn_texts.PRESET, ["  The   members of the "], sampling) == 0
    assert capsys.readouterr().out.startswith("The members of the")


def test_what_cannot_be_done_is_said_before_anything_is_written(tmp_path):
    (tmp_path / "classifier.keras").touch()
    with pytest.raises(errors.UserError, match="use the command predict"):
        generate.load(tmp_path)
    with pytest.raises(errors.UserError, match="no such folder"):
        generate.write_on(drawn_texts.PRESET, [""], generation.Sampling(), tmp_path / "nowhere" / "x.jsonl")
    (tmp_path / "latin.txt").write_bytes("Bürge\n".encode("latin-1"))
    with pytest.raises(errors.UserError, match="give its --encoding"):
        generate.prompts_of((), tmp_path / "latin.txt")
    assert generate.prompts_of((), tmp_path / "latin.txt", "latin-1") == ["Bürge"]
