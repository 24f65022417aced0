"""`python -m recipes`: run a recipe, or do something with a finished run, whichever recipe made it.

Each other module of this room is a command. Its function `command` defines the flags by its signature, and the help by
its docstring. A copied project contains the commands that were chosen.
"""

import ast
import importlib
import pathlib
import re
import sys
from collections.abc import Collection

from common import errors, flags, interrupts, outputs, streams

FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """Return the names of all commands, sorted."""
    return [name for name in _stems(FOLDER) if name != "main"]


def _stems(folder: pathlib.Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("[!_]*.py"))


def main(program: str, recipes_folder: pathlib.Path | None = None) -> None:
    """Run the recipe or command of the command line, or list all; exit with 2 if a file is refused or the user errs.

    Args:
        program: how it is called: `python -m recipes`.
        recipes_folder: the folder of the recipes, a package; None if there is only one recipe.
    """
    streams.set_up()
    with flags.reported_errors(debug="--debug" in sys.argv):
        sys.argv[1:] = outputs.with_latest(sys.argv[1:])  # what is written records its command
        arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
        if not arguments or arguments[0] in ("-h", "--help"):
            print(listing(program, recipes_folder))
            return
        recipes = _stems(recipes_folder) if recipes_folder else []
        if recipes_folder and arguments[0] in recipes:
            run(program, recipes_folder.name, arguments[0])
        else:
            sys.exit(call(program, *arguments, recipes=recipes))


def run(program: str, package: str, name: str) -> None:
    """Run a recipe as its own file does, with the arguments behind its name.

    Args:
        program: how the command is called.
        package: the package of the recipes.
        name: the name of the recipe.
    """
    with interrupts.at_once():
        from common import startup

        recipe = importlib.import_module(f"{package}.{name}")
    described = re.sub(rf"\bpython {package}/(\w+)\.py\b", rf"{program} \1", recipe.__doc__ or "")
    arguments = list(sys.argv[1:])
    arguments.remove(name)
    startup.main(recipe.Config, recipe.run, described, arguments, f"{program} {name}")


def call(program: str, name: str, *arguments: str, recipes: Collection[str] = ()) -> int:
    """Run one command and return its exit code.

    Args:
        program: how the command is called.
        name: the name of the command.
        arguments: the arguments after the name.
        recipes: the names of the recipes, for the suggestion after an unknown name.

    Raises:
        UserError: the command or an argument is unknown, or the command raised it.
    """
    if name not in names():
        known = [*recipes, *names()]
        hint = flags.suggestion(name, known) or f"; the commands are {', '.join(known)}"
        raise errors.UserError(f"unknown command {name}{hint}")
    with interrupts.at_once():  # importing it changes what Control-C does, for programs that begin with it
        from common import startup  # noqa: F401  (imports TensorFlow quietly; a list or an error does not need it)

        function = importlib.import_module(f"{__package__}.{name}").command
    return flags.call(function, list(arguments), f"{program} {name}")


def listing(program: str, recipes_folder: pathlib.Path | None) -> str:
    """Return the list of all recipes and commands, one per line, without importing them."""
    lines = []
    if recipes_folder:
        recipes = [(name, _first_line(recipes_folder / f"{name}.py")) for name in _stems(recipes_folder)]
        lines += ["recipes:", *(f"  {name:<22} {line}" for name, line in recipes), ""]
    commands = [(name, _first_line(FOLDER / f"{name}.py", "command")) for name in names()]
    lines += ["commands:", *(f"  {name:<22} {line}" for name, line in commands), ""]
    return "\n".join([*lines, f"{program} NAME --help says more."])


def _first_line(path: pathlib.Path, function: str = "") -> str:
    """Return the first line of the docstring of a module, or of a function in it."""
    node: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    if function:
        node = next(each for each in ast.walk(node) if isinstance(each, ast.FunctionDef) and each.name == function)
    return (ast.get_docstring(node) or "").partition("\n")[0]  # type: ignore[arg-type]
