"""The recipe of the page "add a recipe in ten minutes" works as it stands there."""

import importlib.util
import sys

import markdown_commands
import pytest

import recipes
from common import flags as common_flags

DOCUMENT = next(document for document in markdown_commands.documents() if document.name == "docs/add_a_recipe.md")
NAME = "smoothed_labels"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The recipe's module, from the file that the page shows."""
    path = markdown_commands.write_shown_file(DOCUMENT, f"recipes/{NAME}.py", tmp_path)
    specification = importlib.util.spec_from_file_location(f"recipes.{NAME}", path)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(recipes, NAME, module, raising=False)
    specification.loader.exec_module(module)
    return module


def test_it_runs_on_the_demo_and_leaves_a_whole_run(recipe, tmp_path, shared_cache, capsys):
    (command,) = (each for each in markdown_commands.commands_of(DOCUMENT) if each.text.endswith("--epochs 1"))
    flags = [*command.words[2:], "--out", str(tmp_path / "runs"), "--cache", str(shared_cache)]
    result = recipe.run(common_flags.parse(recipe.Config, flags))
    assert {path.name for path in result.directory.iterdir()} == {
        "config.json", "split.csv", "history.csv", "results.json", "model.keras", "predictions.csv", "figures",
        "report.html", ".run.lock", "familiar.npz",
    }  # fmt: skip
    assert result.results["recipe"] == NAME and result.results["cost"]["epochs"] == 1


def test_its_test_passes(recipe, stripes, tmp_path):
    path = markdown_commands.write_shown_file(DOCUMENT, f"tests/recipes/test_{NAME}.py", tmp_path)
    names = {}
    exec(path.read_text(), names)
    assert [name for name in names if name.startswith("test_")] == ["test_smoothing_makes_answers_less_sure"]
    names["test_smoothing_makes_answers_less_sure"](stripes, tmp_path / "runs")
    assert list((tmp_path / "runs").glob("**/results.json"))


def test_it_has_what_every_recipe_has(recipe):
    for lead in ("When to use it:", "Data:", "Command:", "Expected:"):
        assert f"\n{lead}" in recipe.__doc__
    for each in ("Config", "build_model", "run"):
        assert getattr(recipe, each).__doc__
