"""A notebook of every recipe, made from the recipe's own source, for Colab and for here.

    python docs/make_notebooks.py
    python docs/make_notebooks.py --recipes feature_extraction --out /tmp/notebooks
    python docs/make_notebooks.py --repository https://example.org/you/keras-recipes

The docstring becomes text, every function and class a cell with the comment before it as text, and where the file would
call `main` the demo runs and its report's figures are shown.
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
RUN_IN_PROCESSES = ("compare_strategies",)  # their trials import the recipe by its name, which a notebook is not

SET_UP = """\
# On Colab: fetches the recipes and installs what they need. Here it finds them and does nothing.
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

    recipes: tuple[str, ...] = ()  # whose; default: all
    out: pathlib.Path = ROOT / "notebooks"  # where they go
    repository: str = ""  # what Colab clones; default: the url in setup.cfg, else the clone's origin


def main(settings: Config) -> None:
    """Writes the notebooks and prints their paths."""
    repository = settings.repository or copy.repository_url() or PLACEHOLDER
    if repository == PLACEHOLDER:
        print("no repository is known: name it by --repository, or Colab cannot clone it", file=sys.stderr)
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
    """A recipe as a notebook.

    Args:
        recipe: its source.
        repository: what the first cell clones where `common` is not there.
        arguments: of the `Config` of the cell that runs it, `epochs=1`; none is the demo as the shell runs it.
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
    """What runs the demo."""
    if recipe.name not in RUN_IN_PROCESSES:
        return f"result = run(Config({arguments}))"
    return (
        "# The trials are processes of their own, which import the recipe by name: the file runs, not these cells.\n"
        f"from recipes import {recipe.name}\n\nresult = {recipe.name}.run({recipe.name}.Config({arguments}))"
    )


def own_call(recipe: recipe_source.Source) -> str:
    """The line for one's own data, with the `--data` of the docstring's commands."""
    data = re.search(r"--data (\S+)", recipe.docstring)[1]
    place = f"{recipe.name}." if recipe.name in RUN_IN_PROCESSES else ""
    return f'result = {place}run({place}Config(data="{data}"))'


def inherited(recipe: recipe_source.Source) -> str:
    """A table of the settings that a recipe's `Config` inherits, as those of a new head; nothing where it has none."""
    own = {each.flag for each in recipe.settings()}
    rows = [
        f"| `{each.flag.removeprefix('--').replace('-', '_')}` | `{each.default}` | {each.rule} |"
        for each in recipe_source.settings_of(recipe)
        if each.flag not in own
    ]
    lead = "\n\n`Config` inherits these settings, among others:\n\n"
    return lead + "\n".join(["| setting | default | rule of thumb |", "|---|---|---|", *rows]) if rows else ""


def blocks(recipe: recipe_source.Source) -> list[tuple[str, str]]:
    """("text" or "code", content) of a recipe's file behind its docstring, without the call of `main` at its end.

    Functions and classes have a cell each, what stands between them one together. A comment before one, on lines of its
    own, becomes text. Statements keep their place, so the cells in order do what the file does.
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
    """Lines of the file, both ends included, without empty ones around them."""
    return "\n".join(recipe.lines[first - 1 : last]).strip("\n")


def is_main_guard(node: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__": …`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


if __name__ == "__main__":
    main(tyro.cli(Config))
