"""Leads a recipe that is run as a file to the `common` beside the folder of the recipes.

`python recipes/NAME.py` looks into this folder first, before PYTHONPATH and the installed packages. Without it, the
`common` of another clone in the same environment, or somebody else's, would be imported.
"""

import importlib
import pathlib
import sys

_RECIPES = pathlib.Path(__file__).resolve().parents[1]
# From now on, Python looks into the repository: some recipes also import `recipes`.
sys.path[:] = [str(_RECIPES.parent) if pathlib.Path(each).resolve() == _RECIPES else each for each in sys.path]
del sys.modules[__name__]
importlib.import_module(__name__)
