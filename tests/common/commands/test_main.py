import pathlib
import subprocess
import sys

import pytest

from common import errors
from common.commands import cache, main

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = "python -m recipes"


def stems(folder):
    return sorted(path.stem for path in folder.glob("[!_]*.py"))


def told(monkeypatch, *arguments, recipes=ROOT / "recipes"):
    """Calls `main` as the shell does."""
    monkeypatch.setattr(sys, "argv", ["recipes", *arguments])
    main.main(PROGRAM, recipes)


def test_an_unknown_command_is_one_line_with_the_closest_one(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        told(monkeypatch, "predikt", "run")
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.err == "error: unknown command predikt; did you mean predict?\n" and said.out == ""


def test_where_none_is_close_all_are_named():
    with pytest.raises(errors.UserError, match="^unknown command xyz; the commands are ") as refused:
        main.call(PROGRAM, "xyz")
    assert all(name in str(refused.value) for name in main.names())


def test_main_is_no_command():
    assert "main" not in main.names() and "cache" in main.names()
    with pytest.raises(errors.UserError, match="unknown command main"):
        main.call(PROGRAM, "main")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_list_has_every_recipe_and_command_with_a_line(arguments, monkeypatch, capsys):
    told(monkeypatch, *arguments)
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [name for name, _ in lines] == stems(ROOT / "recipes") + main.names()
    assert all(len(line) > 20 for _, line in lines)


def test_a_copied_project_lists_its_commands_alone(monkeypatch, capsys):
    told(monkeypatch, recipes=None)
    assert "recipes:" not in capsys.readouterr().out


def test_a_recipe_is_run_with_its_flags(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        told(monkeypatch, "linear_probe", "--classifer", "x")
    assert stop.value.code == 2 and "did you mean --classifier?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        told(monkeypatch, "linear_probe", "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert not stop.value.code and f"{PROGRAM} linear_probe --data photos/" in said
    assert "python recipes/" not in said


def test_a_recipe_with_a_mistake_in_its_name_is_one_line(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        told(monkeypatch, "linear_prob")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: unknown command linear_prob; did you mean linear_probe?\n"


def test_no_recipe_is_called_as_a_command_is():
    assert not set(stems(ROOT / "recipes")) & set(main.names())


def test_neither_the_list_nor_a_mistake_imports_tensorflow():
    for arguments, code in (([], 0), (["predikt"], 2)):
        program = f"""
import sys
from common.commands import main
sys.argv = ["recipes", *{arguments}]
try:
    main.main("python -m recipes", __import__("pathlib").Path("recipes"))
    code = 0
except SystemExit as stop:
    code = stop.code
heavy = [name for name in ("tensorflow", "keras") if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else code)
"""
        ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == code, ended.stderr


def test_a_command_is_called_with_its_flags(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        told(monkeypatch, "cache", "--cache", str(tmp_path), "--debug")
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == cache.table(tmp_path).strip()


def test_an_unknown_flag_is_one_line(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        told(monkeypatch, "cache", "--cleer")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "--cleer" in said and len(said.splitlines()) == 1


def test_the_help_of_every_command_is_made_from_its_signature(capsys):
    for name in main.names():
        with pytest.raises(SystemExit) as stop:
            main.call(PROGRAM, name, "--help")
        assert not stop.value.code
        assert f"{PROGRAM} {name}" in " ".join(capsys.readouterr().out.split())
