"""Transfer-learning recipes for Keras 3: one scenario, one file. `python -m recipes` lists them."""

import importlib.util
import pathlib
import sys

_OWN = pathlib.Path(__file__).resolve().parents[1] / "common" / "__init__.py"
# `python -m recipes` looks into the current folder first, where `common` may be anything.
_found = sys.modules.get("common") or importlib.util.find_spec("common")
_file = getattr(_found, "__file__", None) or getattr(_found, "origin", None)
if not _file or pathlib.Path(_file).resolve() != _OWN:
    if "common" in sys.modules:
        raise ImportError(f"another module named common is in use ({_file}); import recipes before it, or without it")
    sys.path.insert(0, str(_OWN.parents[1]))
