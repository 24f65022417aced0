import ast
import dataclasses
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))
# The calls that make a split.
LOADS = {
    "dataset.load", "documents.load", "photo_domains.load", "text_domains.load", "plans.splits_of_seeds", "tasks.load",
}  # fmt: skip
OWN_SETTINGS = 20  # of a recipe at most: those that its Config's base does not have


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_few_settings_of_its_own(recipe):
    config = importlib.import_module(f"recipes.{recipe}").Config
    (base,) = config.__bases__
    own = {field.name for field in dataclasses.fields(config)} - {field.name for field in dataclasses.fields(base)}
    assert len(own) <= OWN_SETTINGS, sorted(own)


@pytest.mark.parametrize("recipe", RECIPES)
def test_splits_are_made_before_a_network_is_known(recipe):
    """So they cannot depend on it, and two networks are compared on the same test items."""
    tree = ast.parse((ROOT / "recipes" / f"{recipe}.py").read_text(encoding="utf-8"))
    made = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    # Runs that are also trials of a comparison are prepared by a function of their own.
    called = [names_of_calls(made[name]) for name in ("run", "prepare") if name in made]
    names = next(each for each in called if LOADS & set(each))
    splits = [name in LOADS for name in names]
    networks = [name in ("backbones.choose", "tuning.open_preset", "choose_detector") for name in names]
    assert splits.index(True) < (networks.index(True) if True in networks else len(names))


def names_of_calls(function):
    """What a function calls, in the order of its lines."""
    calls = sorted((node for node in ast.walk(function) if isinstance(node, ast.Call)), key=lambda node: node.lineno)
    return [ast.unparse(call.func) for call in calls]


def recipes(*arguments):
    return subprocess.run([sys.executable, "-m", "recipes", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_list_has_every_recipe_with_a_line_and_loads_nothing_heavy():
    ended = recipes()
    names = {path.stem for path in (ROOT / "recipes").glob("[!_]*.py")}
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith("  ")]
    assert names <= {line[0] for line in lines if len(line) == 2 and len(line[1]) > 20}
    code = "import sys, runpy; runpy.run_module('recipes', run_name='__main__'); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_mistakes_are_one_line():
    for arguments, message in (
        (["predikt"], "did you mean predict?"),
        (["predict", "nowhere", "photo.jpg"], "no such file or folder"),
        (["predict"], "required"),
    ):
        ended = recipes(*arguments)
        assert ended.returncode == 2 and message in ended.stderr, ended.stderr
        assert ended.stdout == "" and len(ended.stderr.splitlines()) == 1


def test_a_reader_that_has_enough_is_no_error():
    ended = subprocess.run(
        f"{sys.executable} -m recipes --help | head -1", shell=True, cwd=ROOT, capture_output=True, text=True
    )
    assert ended.stderr == "" and len(ended.stdout.splitlines()) == 1
