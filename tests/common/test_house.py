"""What import-linter cannot see: `common` knows no recipe, not even by name; its contracts list all there is."""

import ast
import configparser
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = sorted((ROOT / "common").rglob("*.py"))
RUN_OTHERS = {"choose_backbone", "compare_strategies"}  # the recipes that may import others


def modules(folder):
    return {path.stem for path in folder.glob("[!_]*.py")}


RECIPES = modules(ROOT / "recipes")


def docstrings(tree):
    """The constants that are docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            yield node.body[0].value


def imported(tree):
    """The names of all modules that are imported anywhere, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_of_recipes(name):
    return name.split(".")[0] == "recipes"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_common_knows_no_recipe(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [name for name in imported(tree) if is_of_recipes(name)]
    told = {id(constant) for constant in docstrings(tree)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [
        f"line {string.lineno}: {string.value}"
        for string in strings
        if id(string) not in told and string.value.removeprefix("recipes.") in RECIPES
    ]


def test_what_is_looked_for_would_be_found():
    tree = ast.parse(
        '"""linear_probe"""\ndef f():\n    "linear_probe"\n    from recipes import linear_probe\n    import recipes.x'
    )
    assert [name for name in imported(tree) if is_of_recipes(name)] == ["recipes", "recipes.linear_probe", "recipes.x"]
    assert [constant.value for constant in docstrings(tree)] == ["linear_probe", "linear_probe"]
    assert "linear_probe" in RECIPES and len(SOURCES) > 60


def contract(name):
    """The list of modules of one of import-linter's contracts, without their package."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    found = settings[f"importlinter:contract:{name}"]
    assert found["type"] == "independence"
    listed = found["modules"].split()
    assert len(set(listed)) == len(listed)
    return {module.rpartition(".")[2] for module in listed}


def test_the_contracts_list_all_recipes_and_commands():
    assert contract("recipes") == RECIPES - RUN_OTHERS and RUN_OTHERS < RECIPES
    assert contract("commands") == modules(ROOT / "common" / "commands") - {"main"}


def test_every_room_stands_in_the_layers():
    """A new room, or a new file beside the rooms, needs its place."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    layers = settings["importlinter:contract:rooms"]["layers"].replace("|", " ").split()
    rooms = {path.name for path in (ROOT / "common").iterdir() if (path / "__init__.py").is_file()}
    assert sorted(layers) == sorted(["recipes", *(f"common.{name}" for name in rooms | modules(ROOT / "common"))])
    assert all((ROOT / "common" / room / "__init__.py").read_text() == "" for room in rooms)
    packages = {"common", "recipes", "common.root", *(f"common.{room}" for room in rooms)}
    assert sorted(settings["options"]["packages"].split()) == sorted(packages)
