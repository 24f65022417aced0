"""What this repository's Python files import, need and define, read from their text: none of them is imported."""

import ast
import functools
import pathlib
from collections.abc import Iterable

from common import files

CODE = pathlib.Path(__file__).resolve().parents[1]  # the folder of the packages
PACKAGES = ("common", "recipes")


def parsed(path: pathlib.Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return _tree(path.read_text(encoding="utf-8"))


@functools.cache
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


@functools.cache
def _names_in(text: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def imported_names(path: pathlib.Path) -> frozenset[str]:
    """Return the names of modules that a file imports; for `from a import b`, a and a.b."""
    return _names_in(path.read_text(encoding="utf-8"))


def file_of(module: str) -> pathlib.Path:
    """Return the file of the module with that name."""
    return CODE / f"{module.replace('.', '/')}.py"


def imported(path: pathlib.Path) -> set[pathlib.Path]:
    """Return the files of this repository that a file imports, at its top or inside functions."""
    names = imported_names(path)
    return {file_of(name) for name in names if name.partition(".")[0] in PACKAGES and file_of(name).is_file()}


def reached(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Return these files, those that they import, those that these import, and so on."""
    waiting, found = set(paths), set[pathlib.Path]()
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= imported(path) - found
    return sorted(found)


def needed_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the files that a module names in FILES; a folder gives all files in it."""
    for node in parsed(path).body:
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "FILES" for target in node.targets):
            named = ast.literal_eval(node.value)
            places = [beside if (beside := path.parent / name).exists() else files.ROOT / name for name in named]
            inside = ([file for file in sorted(one.rglob("*")) if file.is_file()] or [one] for one in places)
            return [file for folder in inside for file in folder]
    return []


def fields(path: pathlib.Path, name: str = "Config") -> set[str]:
    """Return the fields of a dataclass in a file and of its bases, which may be in other files of this repository."""
    tree = parsed(path)
    node = next((each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name), None)
    if node is None:
        return set()
    modules = {
        alias.asname or alias.name: file_of(f"{each.module}.{alias.name}")
        for each in tree.body if isinstance(each, ast.ImportFrom) for alias in each.names
    }  # fmt: skip
    annotated = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    found = {ast.unparse(each.target) for each in annotated if "ClassVar" not in ast.unparse(each.annotation)}
    for base in node.bases:
        module, _, inherited = ast.unparse(base).rpartition(".")
        place = modules.get(module) if module else path
        found |= fields(place, inherited) if place and place.is_file() else set()
    return found


def refused(path: pathlib.Path) -> set[str]:
    """Return the settings that a recipe refuses always, or beside its defaults: `Config.UNUSED` and `Config.IDLE`."""
    given = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Assign)]
    named = [node.value for node in given if ast.unparse(node.targets[0]) in ("UNUSED", "IDLE")]
    return {name for value in named for name in ast.literal_eval(value)}
