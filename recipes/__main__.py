"""`python -m recipes`: what there is, and what can be done with a finished run."""

import pathlib

from common.commands import main

if __name__ == "__main__":
    main.main("python -m recipes", pathlib.Path(__file__).parent)
