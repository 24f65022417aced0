"""What Python files import, need and define is read from their text as Python itself finds it."""

import dataclasses
import importlib
import pathlib

from common import source_code

ROOT = pathlib.Path(source_code.__file__).resolve().parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("[!_]*.py"))


def test_imports_are_followed_also_those_inside_functions(tmp_path, monkeypatch):
    monkeypatch.setattr(source_code, "CODE", tmp_path)
    (tmp_path / "common").mkdir()
    texts = {"a": "from common import b\nimport os", "b": "def f():\n    import common.c", "c": "", "d": ""}
    for name, text in texts.items():
        (tmp_path / "common" / f"{name}.py").write_text(text)
    start = tmp_path / "common" / "a.py"
    assert source_code.imported_names(start) == {"common", "common.b", "os"}
    assert source_code.imported(start) == {tmp_path / "common" / "b.py"}
    assert [path.stem for path in source_code.reached([start])] == ["a", "b", "c"]


def test_every_file_besides_python_belongs_to_one_module():
    """So a copy has the templates and the weights of its modules, and no others."""
    modules = [path for folder in ("common", "recipes") for path in sorted((ROOT / folder).rglob("*.py"))]
    named = [file for path in modules for file in source_code.needed_files(path)]
    assert all(file.is_file() for file in named) and len(named) == len(set(named))
    templates = {file for file in (ROOT / "common").rglob("templates/**/*") if file.is_file()}
    assert templates <= set(named)
    assert {path.relative_to(ROOT).parts[0] for path in set(named) - templates} == {"data"}


def test_the_fields_of_a_config_are_read_with_those_of_its_bases():
    for recipe in RECIPES:
        config = importlib.import_module(f"recipes.{recipe}").Config
        known = {field.name for field in dataclasses.fields(config)}
        assert source_code.fields(ROOT / "recipes" / f"{recipe}.py") == known


def test_the_settings_that_a_recipe_refuses_are_read_from_its_constants():
    assert source_code.refused(ROOT / "recipes" / "domain_adaptation.py") == {
        "epochs", "learning_rate", "tensorboard", "views",
    }  # fmt: skip
    assert not source_code.refused(ROOT / "recipes" / "feature_extraction.py")
