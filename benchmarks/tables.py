"""Functions that the benchmarks share: runs over seeds, and a Markdown table with median and range."""

from common import startup  # noqa: F401, isort: skip  (first: it imports TensorFlow quietly)

import contextlib
import statistics
import sys
from typing import Any

from common import devices
from common.runs import cost


def run_quietly(recipe: Any, config: Any) -> dict:
    """Run a recipe, and return its results; its output goes to stderr, so that stdout contains only the table."""
    return finish_quietly(recipe, config).results


def finish_quietly(recipe: Any, config: Any) -> Any:
    """Run a recipe as `run_quietly` does, and return its `finished_run.Result`."""
    with contextlib.redirect_stdout(sys.stderr):
        return recipe.run(config)


def median_and_range(values: list[float], digits: int = 3) -> str:
    """Return median and range as text: `0.853 (0.840 – 0.871)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} – {max(values):.{digits}f})"


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table whose columns are also aligned in the terminal."""
    widths = [max(len(str(row[i])) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(f"{cell!s:<{w}}" for cell, w in zip(line, widths, strict=True)) + " |"
                     for line in lines)  # fmt: skip


def footer(repeats: str) -> str:
    """Return the line that says how the table was made; `repeats` is, for example, `3 seeds`."""
    return f"\nmedian (range) over {repeats}; {devices.description()}; `{cost.command()}`"
