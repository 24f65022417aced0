"""`python -m recipes`: the list of recipes, and the commands for finished runs."""

import pathlib

from common.commands import main

if __name__ == "__main__":
    main.main("python -m recipes", pathlib.Path(__file__).parent)
