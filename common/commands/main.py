"""`python -m recipes`: what there is, and what can be done with a finished run, whichever recipe made it.

Each other module of this room is a command: the signature of its function `command` makes the flags, the docstring the
help. A copied project has those that were asked for.
"""

import ast
import importlib
import pathlib
import sys

from common import errors, flags

FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """The commands that there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "main")


def main(program: str, recipes_folder: pathlib.Path | None = None) -> None:
    """Runs the command that the shell names, or lists all; exit code 2 when a file was refused or the user erred.

    Args:
        program: how it is called: `python -m recipes`.
        recipes_folder: the folder of the recipes, where there are several.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with flags.reported_errors(debug="--debug" in sys.argv):
        if not arguments or arguments[0] in ("-h", "--help"):
            print(listing(program, recipes_folder))
            return
        sys.exit(call(program, *arguments))


def call(program: str, name: str, *arguments: str) -> int:
    """Runs one command; returns its exit code.

    Raises:
        UserError: an unknown command or argument, or what the command finds wrong.
    """
    if name not in names():
        hint = flags.suggestion(name, names()) or f"; there are {', '.join(names())}"
        raise errors.UserError(f"unknown command {name}{hint}")
    from common import startup  # noqa: F401  (imports TensorFlow, quietly; not for a list or a mistake)

    function = importlib.import_module(f"{__package__}.{name}").command
    return flags.call(function, list(arguments), f"{program} {name}")


def listing(program: str, recipes_folder: pathlib.Path | None) -> str:
    """All recipes and commands, a line each; nothing heavy is imported for that."""
    lines = []
    if recipes_folder:
        lines += ["recipes (python recipes/NAME.py --help lists a recipe's settings):"]
        lines += [f"  {path.stem:<22} {_first_line(path)}" for path in sorted(recipes_folder.glob("[!_]*.py"))]
        lines += [""]
    lines += [f"commands ({program} NAME --help says more):"]
    return "\n".join(lines + [f"  {name:<22} {_first_line(FOLDER / f'{name}.py', 'command')}" for name in names()])


def _first_line(path: pathlib.Path, function: str = "") -> str:
    """That of the docstring of a module, or of a function in it."""
    node: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    if function:
        node = next(each for each in ast.walk(node) if isinstance(each, ast.FunctionDef) and each.name == function)
    return (ast.get_docstring(node) or "").partition("\n")[0]  # type: ignore[arg-type]
