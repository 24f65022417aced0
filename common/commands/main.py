"""`python -m recipes`: the list of recipes, and the commands for a finished run of any recipe.

Each other module of this room is a command. Its function `command` defines the flags by its signature, and the help by
its docstring. A copied project contains the commands that were chosen.
"""

import ast
import importlib
import pathlib
import sys

from common import errors, flags

FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """Return the names of the commands, sorted."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "main")


def main(program: str, recipes_folder: pathlib.Path | None = None) -> None:
    """Run the command of the command line, or list all; the exit code is 2 if a file is refused or the user errs.

    Args:
        program: how it is called: `python -m recipes`.
        recipes_folder: the folder of the recipes; None if there is only one.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with flags.reported_errors(debug="--debug" in sys.argv):
        if not arguments or arguments[0] in ("-h", "--help"):
            print(listing(program, recipes_folder))
            return
        sys.exit(call(program, *arguments))


def call(program: str, name: str, *arguments: str) -> int:
    """Run one command, and return its exit code.

    Raises:
        UserError: the command or an argument is unknown, or the command raised it.
    """
    if name not in names():
        hint = flags.suggestion(name, names()) or f"; the commands are {', '.join(names())}"
        raise errors.UserError(f"unknown command {name}{hint}")
    from common import startup  # noqa: F401  (imports TensorFlow quietly; a list or an error does not need it)

    function = importlib.import_module(f"{__package__}.{name}").command
    return flags.call(function, list(arguments), f"{program} {name}")


def listing(program: str, recipes_folder: pathlib.Path | None) -> str:
    """Return the list of all recipes and commands, one per line, without importing them."""
    lines = []
    if recipes_folder:
        lines += ["recipes (python recipes/NAME.py --help lists a recipe's settings):"]
        lines += [f"  {path.stem:<22} {_first_line(path)}" for path in sorted(recipes_folder.glob("[!_]*.py"))]
        lines += [""]
    lines += [f"commands ({program} NAME --help explains each):"]
    return "\n".join(lines + [f"  {name:<22} {_first_line(FOLDER / f'{name}.py', 'command')}" for name in names()])


def _first_line(path: pathlib.Path, function: str = "") -> str:
    """Return the first line of the docstring of a module, or of a function in it."""
    node: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    if function:
        node = next(each for each in ast.walk(node) if isinstance(each, ast.FunctionDef) and each.name == function)
    return (ast.get_docstring(node) or "").partition("\n")[0]  # type: ignore[arg-type]
