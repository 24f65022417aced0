"""`python -m recipes`: what there is, and what can be done with a finished run."""

import ast
import pathlib
import sys

import tyro

COMMANDS = """
commands:
  python recipes/NAME.py --help                 a recipe's settings
  python -m recipes copy NAME FOLDER            a recipe as a new project that stands on its own
  python -m recipes predict RUN FILE…           class and probability of photos or clips
  python -m recipes generate RUN --prompt "…"   go on with a text (of legal_text)
  python -m recipes report RUN                  draw a run's report again
  python -m recipes publish RUN --mlflow URI    send a finished run to MLflow
  python -m recipes export RUN --format NAME…   keras, saved_model, onnx or litert, compared with the run's model
  python -m recipes serve RUN                   try a run in the browser
  python -m recipes cache [--clear]             list what is cached, or clear it"""


def list_recipes() -> None:
    """Prints every recipe with the first line of its docstring; nothing heavy is imported for that."""
    folder = pathlib.Path(__file__).parent
    print("recipes:")
    for path in sorted(folder.glob("[!_]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"  {path.stem:<22} {docstring.splitlines()[0]}")
    print(COMMANDS)


def copy(
    recipe: tyro.conf.Positional[str],
    folder: tyro.conf.Positional[pathlib.Path],
    /,
    name: str | None = None,
    dry_run: bool = False,
) -> int:
    """Writes a recipe as a new project: train.py, the modules that it needs, requirements, a README and a test.

    Args:
        recipe: its name, as `python -m recipes` lists it.
        folder: where to; it must not exist yet, or be empty.
        name: of the project's package; default: the folder's name, with _ for -.
        dry_run: list the files and write nothing.
    """
    from common import project

    if dry_run:
        print(project.plan(recipe, folder, name).listing())
        return 0
    copied = project.copy(recipe, folder, name)
    print(f"{len(copied.files)} files; README.md there says how to go on", file=sys.stderr)
    print(folder)
    return 0


def main() -> None:
    """Lists the recipes, or runs a command."""
    if len(sys.argv) == 1:
        return list_recipes()
    from common import commands

    commands.main({"copy": copy})


if __name__ == "__main__":
    main()
