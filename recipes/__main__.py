"""`python -m recipes`, installed as `keras-recipes`: run a recipe, or do something with a finished run."""

from common import startup  # noqa: F401, isort: skip  (first: it says what is not installed)

import pathlib

from common.commands import main

RECIPES = pathlib.Path(__file__).parent


def command() -> None:
    """Run the installed command."""
    main.main("keras-recipes", RECIPES)


if __name__ == "__main__":
    main.main("python -m recipes", RECIPES)
