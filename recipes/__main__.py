"""`python -m recipes`: what there is, and what can be done with a finished run."""

import ast
import pathlib
import sys

COMMANDS = """
commands:
  python recipes/NAME.py --help                 a recipe's settings
  python -m recipes predict RUN FILE…           class and probability of photos or clips
  python -m recipes generate RUN --prompt "…"   go on with a text (of legal_text)
  python -m recipes report RUN                  draw a run's report again
  python -m recipes cache [--clear]             list what is cached, or clear it"""


def list_recipes() -> None:
    """Prints every recipe with the first line of its docstring; nothing heavy is imported for that."""
    folder = pathlib.Path(__file__).parent
    print("recipes:")
    for path in sorted(folder.glob("[!_]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        print(f"  {path.stem:<22} {docstring.splitlines()[0]}")
    print(COMMANDS)


def main() -> None:
    """Lists the recipes, or runs a command."""
    if len(sys.argv) == 1:
        return list_recipes()
    from common import commands

    commands.main()


if __name__ == "__main__":
    main()
