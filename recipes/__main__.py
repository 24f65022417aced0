"""`python -m recipes`, installed as `keras-recipes`: run a recipe, or do something with a finished run."""

import pathlib
import sys

from common import errors, interrupts

interrupts.end_at_once()
sys.excepthook = errors.say_not_installed  # for the packages that the next line needs

from common.commands import main  # noqa: E402

RECIPES = pathlib.Path(__file__).parent


def command() -> None:
    """Run the installed command."""
    main.main("keras-recipes", RECIPES)


if __name__ == "__main__":
    main.main("python -m recipes", RECIPES)
