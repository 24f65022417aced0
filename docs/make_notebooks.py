"""Make a notebook of every recipe from the recipe's own source, for Colab and for this computer.

    python docs/make_notebooks.py
    python docs/make_notebooks.py --recipes feature_extraction --out /tmp/notebooks
    python docs/make_notebooks.py --repository https://example.org/you/keras-recipes

The docstring becomes text, and every function and class becomes a cell with the comment before it as text. Instead of
the call of `main`, the demo runs and its report's figures are shown.
"""

import ast
import dataclasses
import pathlib
import re
import sys

import recipe_source
import tyro

from common.commands import copy

try:
    import nbformat
except ModuleNotFoundError:
    print("error: making notebooks needs nbformat: pip install -e '.[notebooks]'", file=sys.stderr)
    sys.exit(2)

ROOT = recipe_source.ROOT
PLACEHOLDER = "https://example.org/SET-THE-REPOSITORY/keras-recipes"
RUN_IN_PROCESSES = ("compare_strategies",)  # their trials import the recipe by its name, which a notebook lacks

SET_UP = """\
# On Colab this clones the recipes and installs their requirements. Inside a clone it only finds them.
import importlib.util
import os
import pathlib
import subprocess
import sys

for folder in (pathlib.Path.cwd(), *pathlib.Path.cwd().parents):  # opened from within the repository
    if (folder / "common" / "features" / "frozen_prefix.py").is_file():
        sys.path.insert(0, str(folder))
        break
if importlib.util.find_spec("common") is None:
    repository = "{repository}"
    subprocess.run(["git", "clone", "--depth", "1", repository, "keras-recipes"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"{more}],
                   cwd="keras-recipes", check=True)
    sys.path.insert(0, os.path.abspath("keras-recipes"))\
"""

SHOW_RESULTS = """\
from IPython import display

numbers = {name: value for name, value in result.results.get("test", {}).items() if isinstance(value, float)}
rows = [f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in numbers.items()]
display.display(display.Markdown("\\n".join(["| on data never seen | |", "|---|---|", *rows])))\
"""

SHOW_COMPARISON = """\
from IPython import display

from common.compare import table

print(table.table(result.results))
print("\\n".join(result.results["advice"]))\
"""

SHOW_FIGURES = """\
for picture in sorted((result.directory / "figures").glob("*.png")):
    display.display(display.Markdown(f"`{picture.name}`"), display.Image(filename=str(picture)))\
"""

ON_YOUR_OWN = """\
## On your own data

Put your folder beside the notebook and run this in a cell; every setting of `Config` can be given as an argument.
ImageNet weights are downloaded the first time. Your data stay on the machine that the notebook runs on.

```python
{call}
```\
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Make the notebooks."""

    recipes: tuple[str, ...] = ()  # names of recipes; default: all
    out: pathlib.Path = ROOT / "notebooks"  # the folder of the notebooks
    repository: str = ""  # the URL that Colab clones; default: the url in setup.cfg, else the clone's origin


def main(settings: Config) -> None:
    """Write the notebooks and print their paths."""
    repository = settings.repository or copy.repository_url() or PLACEHOLDER
    if repository == PLACEHOLDER:
        print("the repository is unknown; give it with --repository, or Colab cannot clone it", file=sys.stderr)
    unknown = set(settings.recipes) - {recipe.name for recipe in recipe_source.recipes()}
    if unknown:
        sys.exit(f"--recipes: there is no {', '.join(sorted(unknown))}")
    settings.out.mkdir(parents=True, exist_ok=True)
    for recipe in recipe_source.recipes():
        if not settings.recipes or recipe.name in settings.recipes:
            path = settings.out / f"{recipe.name}.ipynb"
            nbformat.write(notebook(recipe, repository), path)
            print(path)


def notebook(recipe: recipe_source.Source, repository: str, arguments: str = "") -> nbformat.NotebookNode:
    """Return a recipe as a notebook.

    Args:
        recipe: the recipe's source.
        repository: the URL that the first cell clones if `common` is missing.
        arguments: arguments of `Config` in the cell that runs the recipe, such as `epochs=1`; by default the demo.
    """
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    more = "".join(f', "{line}"' for line in copy.told_extras(recipe.docstring))
    cells = [
        markdown(f"# {recipe.title}\n\n{recipe.what}\n\n{recipe.markdown()}"),
        code(SET_UP.format(repository=repository, more=more)),
        *(markdown(text) if kind == "text" else code(text) for kind, text in blocks(recipe)),
        markdown("## The demo\n\nOn data that are drawn by code; nothing is downloaded."),
        code(run_cell(recipe, arguments)),
        code(SHOW_COMPARISON if recipe.name in RUN_IN_PROCESSES else SHOW_RESULTS),
        code(SHOW_FIGURES),
        markdown(ON_YOUR_OWN.format(call=own_call(recipe)) + inherited(recipe)),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same source makes the same file
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def run_cell(recipe: recipe_source.Source, arguments: str) -> str:
    """Return the code that runs the demo."""
    if recipe.name not in RUN_IN_PROCESSES:
        return f"result = run(Config({arguments}))"
    return (
        "# The trials are separate processes, which import the recipe by name: the file runs, not these cells.\n"
        f"from recipes import {recipe.name}\n\nresult = {recipe.name}.run({recipe.name}.Config({arguments}))"
    )


def own_call(recipe: recipe_source.Source) -> str:
    """Return the line for the reader's own data, with the `--data` of the docstring's commands."""
    data = re.search(r"--data (\S+)", recipe.docstring)[1]
    place = f"{recipe.name}." if recipe.name in RUN_IN_PROCESSES else ""
    return f'result = {place}run({place}Config(data="{data}"))'


def inherited(recipe: recipe_source.Source) -> str:
    """Return a table of the settings that a recipe's `Config` inherits, such as those of a new head, or ""."""
    own = {each.flag for each in recipe.settings()}
    rows = [
        f"| `{each.flag.removeprefix('--').replace('-', '_')}` | `{each.default}` | {each.rule} |"
        for each in recipe_source.settings_of(recipe)
        if each.flag not in own
    ]
    lead = "\n\n`Config` inherits these settings, among others:\n\n"
    return lead + "\n".join(["| setting | default | rule of thumb |", "|---|---|---|", *rows]) if rows else ""


def blocks(recipe: recipe_source.Source) -> list[tuple[str, str]]:
    """Return ("text" or "code", content) for a recipe's file after its docstring, without the final call of `main`.

    Each function or class has its own cell; the statements between two of them share one. A comment before a function
    or class becomes text. Statements keep their order, so the cells do what the file does.
    """
    found, start = [], recipe.tree.body[1].lineno
    for node in recipe.tree.body[1:]:
        if is_main_guard(node):
            found.append(("code", lines(recipe, start, node.lineno - 1)))
            break
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        first = recipe_source.first_line(node)
        comment = recipe.comment_before(first)
        found.append(("code", lines(recipe, start, first - len(comment) - 1)))
        found.append(("text", " ".join(comment)))
        found.append(("code", lines(recipe, first, node.end_lineno)))
        start = node.end_lineno + 1
    return [(kind, text) for kind, text in found if text]


def lines(recipe: recipe_source.Source, first: int, last: int) -> str:
    """Return lines of the file, both ends included, without empty lines around them."""
    return "\n".join(recipe.lines[first - 1 : last]).strip("\n")


def is_main_guard(node: ast.stmt) -> bool:
    """Return whether a statement is `if __name__ == "__main__": …`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


if __name__ == "__main__":
    main(tyro.cli(Config))
