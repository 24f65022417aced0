"""A recipe uses the `common` beside it, wherever it is started and whatever else has that name."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.quick

ROOT = pathlib.Path(__file__).parents[2]
WAYS = (["-m", "recipes"], ["-m", "recipes.linear_probe", "--help"], [ROOT / "recipes/linear_probe.py", "--help"])


def run(folder, *command, **environment):
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("kind", ["file", "package", "folder"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way[-2]))
def test_another_common_in_the_current_folder_or_on_the_path_is_not_imported(tmp_path, way, kind):
    other = {"file": "common.py", "package": "common/__init__.py", "folder": "common/photo.txt"}[kind]
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).write_text("raise SystemExit('the wrong one')")
    for path in ("", str(tmp_path)):
        ended = run(tmp_path, *way, PYTHONPATH=path)
        assert (ended.returncode, ended.stderr) == (0, "") and "linear_probe" in ended.stdout


def test_a_second_clone_uses_its_own_modules(tmp_path):
    """Also the recipes that it imports; the first clone is the one that is installed."""
    for name in ("recipes", "common"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "\nprint([sys.modules[name].__file__ for name in ('common.startup', 'recipes', 'common')])\n"
    later = "\nif False:\n    startup.main()\n"  # as in every recipe, so that TensorFlow is not loaded
    script = tmp_path / "recipes" / "probe.py"
    script.write_text(f"from common import startup\nimport sys\nimport recipes{code}{later}")
    ended = run(ROOT, script, PYTHONPATH=str(ROOT))
    expected = [str(tmp_path / name) for name in ("common/startup.py", "recipes/__init__.py", "common/__init__.py")]
    assert ended.stdout == f"{expected}\n", ended.stderr


def test_a_common_that_is_in_use_already_is_not_replaced(tmp_path):
    (tmp_path / "common.py").touch()
    ended = run(tmp_path, "-c", f"import common, sys; sys.path.insert(0, {str(ROOT)!r}); import recipes")
    assert f"ImportError: another module named common is in use ({tmp_path / 'common.py'})" in ended.stderr


@pytest.mark.parametrize("way", [WAYS[0], [ROOT / "recipes/feature_extraction.py"], WAYS[1]], ids=str)
def test_a_python_in_which_nothing_is_installed_says_what_to_do(tmp_path, way):
    ended = run(tmp_path, "-S", *way, PYTHONPATH=str(ROOT))  # -S: without the installed packages
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"error: {sys.executable} has no package annotated_types; ")
    assert "`make demo`" in ended.stderr or "/.venv/bin/python" in ended.stderr


def test_a_package_that_is_missing_later_is_one_line_too(tmp_path):
    """Keras is imported late; the traceback is there for those who ask."""
    (tmp_path / "keras.py").write_text("import nowhere.at_all")
    command = [ROOT / "recipes/linear_probe.py", "--data", tmp_path]
    ended = run(tmp_path, *command, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 2 and ended.stderr.startswith("error: ") and "has no package nowhere; " in ended.stderr
    assert "Traceback" in run(tmp_path, *command, "--debug", PYTHONPATH=str(tmp_path)).stderr
