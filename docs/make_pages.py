"""Write the pages of the documentation into `build/`, from which `make docs` builds the site.

    python docs/make_pages.py

These pages are written by hand: README.md, which is the site's first page, CONTRIBUTING.md, CHANGELOG.md, those in
`docs/` and the data sets' READMEs. They can be read as plain files too, and link to any file of the repository
(`../recipes/x.py`, `../tests/common/test_x.py#test_name`). The recipe's settings, model and source are appended to its
page in `docs/recipes/`. The pages of the API are made from the sources. The output is plain Markdown and a
configuration with the navigation, so another program could build the site. Nothing of the project is imported, so
TensorFlow is not needed.
"""

import ast
import dataclasses
import json
import pathlib
import posixpath
import re
import shutil
import sys

import recipe_source
import tyro

ROOT = recipe_source.ROOT
DOCS = ROOT / "docs"
SETTINGS = DOCS / "mkdocs.yml"

# Pages beside the README: path in the site → file.
BESIDE = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}

# Pages with their own tab; all others of `docs/` are under "Guides".
PLACES = {
    "index.md": "Home",
    "articles.md": "The articles",
    "strategy.md": "Which strategy?",
    "frozen_prefix.md": "The frozen prefix",
    "measurements.md": "Measurements",
}
FIRST_GUIDES = ("usage.md", "runs.md", "migration.md", "notebooks.md", "add_a_recipe.md")

# The rooms of `common` in the order of a run; the modules outside the rooms come first.
ROOMS = (
    "data", "media", "models", "features", "training", "evaluation", "runs", "report", "compare", "commands", "demo",
)  # fmt: skip

FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
BOUNDS = {"Gt": "above {}", "Ge": "at least {}", "Lt": "below {}", "Le": "at most {}"}
ASSETS = (".png", ".jpg", ".svg", ".webp", ".css")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Write the documentation's pages."""

    out: pathlib.Path = ROOT / "build"  # the folder for pages/ and mkdocs.yml
    site: pathlib.Path = ROOT / "site"  # the folder in which MkDocs will write the site


def main(settings: Config) -> None:
    """Write `pages/` anew, and `mkdocs.yml` beside it."""
    pages, folder = written_pages() | made_pages(), settings.out / "pages"
    linked = {path for uri, text in pages.items() for path in linked_files(text, uri)}
    finished_pages = {uri: with_site_links(text, origin(uri), uri) for uri, text in pages.items()}
    for path in linked:
        if path.suffix not in ASSETS:
            finished_pages.setdefault(site_uri(path), source_page(path))
    shutil.rmtree(folder, ignore_errors=True)
    for uri in PLACES:  # a tab with one page needs no list of pages
        finished_pages[uri] = f"---\nhide: [navigation]\n---\n\n{finished_pages[uri]}"
    for uri, text in finished_pages.items():
        (folder / uri).parent.mkdir(parents=True, exist_ok=True)
        (folder / uri).write_text(text, encoding="utf-8")
    assets = {pathlib.PurePosixPath(path.relative_to(ROOT).as_posix()) for path in DOCS.rglob("*")} | linked
    for path in assets:
        if path.suffix in ASSETS:
            (folder / site_uri(path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / site_uri(path))
    further = {
        "INHERIT": str(SETTINGS),
        "docs_dir": "pages",
        "site_dir": str(settings.site.resolve()),
        "plugins": {"mkdocstrings": {"handlers": {"python": {"paths": [str(ROOT)]}}}},
        "nav": navigation(),
    }
    text = json.dumps(further, indent=1, ensure_ascii=False)  # JSON is YAML
    (settings.out / "mkdocs.yml").write_text(text, encoding="utf-8")
    print(settings.out / "mkdocs.yml")


def navigation() -> list:
    """Return the site's navigation, from the existing files."""
    guides = {path.name for path in DOCS.glob("*.md")} - set(PLACES)
    guides = [name for name in FIRST_GUIDES if name in guides] + sorted(guides - set(FIRST_GUIDES))
    recipes = [{each.title: f"recipes/{each.name}.md"} for each in recipe_source.recipes()]
    api = {room: [{name: api_uri(room, name)} for name in names] for room, names in modules().items()}
    return [
        {PLACES["index.md"]: "index.md"},
        {"Recipes": ["recipes/index.md", *recipes, "recipes/settings.md"]},
        *({title: name} for name, title in PLACES.items() if name != "index.md"),
        {"Guides": [*guides, *(uri for uri in BESIDE if uri not in PLACES)]},
        {"Data sets": [f"data/{path.parent.name}.md" for path in data_sets()]},
        {"API": ["api/index.md", *({heading(room): entries} for room, entries in api.items())]},
    ]


# Text ---------------------------------------------------------------------------------------------------------------


def origin(uri: str) -> pathlib.PurePosixPath:
    """Return the folder of the repository to which a page's links are relative."""
    if uri in BESIDE:
        return pathlib.PurePosixPath()
    folder, name = posixpath.split(uri)
    if folder == "data":
        return pathlib.PurePosixPath("data") / name.removesuffix(".md")
    return pathlib.PurePosixPath("docs") / folder


def with_site_links(markdown: str, folder: pathlib.PurePosixPath, uri: str) -> str:
    """Convert links relative to a folder of the repository into links relative to a page of the site."""

    def replaced(link: re.Match) -> str:
        path = in_repository(folder, link[1])
        return f"]({posixpath.relpath(site_uri(path), posixpath.dirname(uri) or '.')}{link[2] or ''})"

    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(replaced, part) for part in parts[::2]]  # every second one is code
    return "".join(parts)


def linked_files(markdown: str, uri: str) -> set[pathlib.PurePosixPath]:
    """Return the files of the repository outside `docs/` to which a page links."""
    links = (link for part in FENCE.split(markdown)[::2] for link in LINK.finditer(part))
    found = {in_repository(origin(uri), link[1]) for link in links}
    return {path for path in found if (ROOT / path).is_file() and path.parts[0] != "docs"}


def in_repository(folder: pathlib.PurePosixPath, target: str) -> pathlib.PurePosixPath:
    """Return a link's target as a path from the repository's root; for a folder it is the README."""
    path = pathlib.PurePosixPath(posixpath.normpath(folder / target))
    return path / "README.md" if (ROOT / path / "README.md").is_file() else path


def site_uri(path: pathlib.PurePosixPath) -> str:
    """Return the path in the site of a file of the repository."""
    parts = path.parts
    if path.as_posix() in BESIDE.values():
        return next(uri for uri, name in BESIDE.items() if name == path.as_posix())
    if parts[0] == "docs":
        return "/".join(parts[1:])
    if parts[0] == "recipes" and path.suffix == ".py":
        return f"recipes/{path.stem}.md"
    if parts[0] == "data" and path.name == "README.md":
        return f"data/{path.parent.name}.md"
    if path.suffix in ASSETS:
        return f"pictures/{'_'.join(parts)}"
    return f"source/{'_'.join(parts)}.md"


# Pages --------------------------------------------------------------------------------------------------------------


def written_pages() -> dict[str, str]:
    """Return path in the site → Markdown, for the pages written by hand."""
    paths = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
    paths |= {uri: ROOT / name for uri, name in BESIDE.items()}
    paths |= {f"data/{path.parent.name}.md": path for path in data_sets()}
    return {uri: path.read_text(encoding="utf-8") for uri, path in paths.items()}


def made_pages() -> dict[str, str]:
    """Return path in the site → Markdown, for the pages made from sources, as a whole or in part."""
    recipes = recipe_source.recipes()
    pages = {f"recipes/{each.name}.md": recipe_page(each) for each in recipes}
    pages["recipes/index.md"] = recipe_list(recipes)
    pages["recipes/settings.md"] = settings_page()
    pages["api/index.md"] = api_list()
    for room, names in modules().items():
        for name in names:
            whole = f"{heading(room)}.{name}"
            pages[api_uri(room, name)] = f"# {whole}\n\n::: {whole}\n"
    return pages


def recipe_page(recipe: recipe_source.Source) -> str:
    """Return a recipe's page in `docs/recipes/`, else its docstring, with settings, model and source appended."""
    written = DOCS / "recipes" / f"{recipe.name}.md"
    if written.is_file():
        parts = [written.read_text(encoding="utf-8").rstrip()]
    else:
        parts = [f"# {recipe.title}", recipe.what, recipe.markdown()]
    own = recipe_source.settings_of(recipe)
    parts.append(f"## Settings\n\nBesides [those of every recipe](settings.md):\n\n{settings_table(own)}")
    if recipe.has("build_model"):
        parts.append(f"## The model\n\n{fenced(recipe.code_of('build_model'))}")
    parts.append(f"## The whole file\n\n{folded(f'recipes/{recipe.name}.py', recipe.text)}")
    return "\n\n".join(filter(None, parts)) + "\n"


def recipe_list(recipes: list[recipe_source.Source]) -> str:
    """Return the list of recipes with their first lines."""
    rows = [f"| [{each.title}]({each.name}.md) | {each.what} |" for each in recipes]
    return "\n".join(["# Recipes", "", "| recipe | what it does |", "|---|---|", *rows, ""])


def settings_page() -> str:
    """Return the page of the flags that recipes share."""
    parts = ["# Settings of every recipe", "Some recipes change a default, as their own tables say."]
    for what, settings in recipe_source.shared_settings().items():
        parts += [what, settings_table(settings)]
    return "\n\n".join(parts) + "\n"


def settings_table(settings: list[recipe_source.Setting]) -> str:
    """Return a table with flag, values, default and rule of thumb."""
    rows = [
        f"| `{each.flag}` | {values(each.type)} | {default(each.default)} | {escaped(each.rule)} |" for each in settings
    ]
    table = "\n".join(["| flag | value | default | rule of thumb |", "|---|---|---|---|", *rows])
    return f'<div class="settings" markdown>\n\n{table}\n\n</div>'


def values(annotation: str) -> str:
    """Return the values of a flag, from its type: the choices, or the kind in words, with its bounds."""
    kind = annotation.removesuffix(" | None")
    if choices := re.fullmatch(r"Literal\[(.*)\]", kind):
        return ", ".join(f"`{value}`" for value in ast.literal_eval(f"({choices[1]},)"))
    if bounded := re.fullmatch(r"Annotated\[(.*?), (\w+\(.*\))\]", kind):
        bounds = [BOUNDS[bound].format(limit) for bound, limit in re.findall(r"([GL][te])\((.*?)\)", bounded[2])]
        return f"{values(bounded[1])}, {' and '.join(bounds)}"
    if several := re.fullmatch(r"tuple\[(.*), \.\.\.\]", kind):
        return f"one or several: {values(several[1])}"
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "on or off", "pathlib.Path": "path"}
    return words.get(kind, f"`{kind}`")


def default(source: str) -> str:
    """Return a default as the user would type it; a dash if there is none or the rule of thumb states it."""
    path = re.fullmatch(r"pathlib\.Path\('(.*)'\)", source)
    if path:
        return f"`{path[1]}`"
    try:
        value = ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return "see its comment" if " for " in source else f"`{source}`" if source else "–"
    if isinstance(value, tuple):
        return " ".join(f"`{each}`" for each in value) or "–"
    if value is None:
        return "–"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"`{value}`"


def escaped(text: str) -> str:
    """Return a comment as Markdown text in a table's cell."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def api_list() -> str:
    """Return the list of modules, room by room, with the first lines of their docstrings."""
    intro = (
        "The modules of `common` carry no method. A program begins with `from common import startup`, which imports "
        "TensorFlow quietly. [The list of folders](../../CONTRIBUTING.md#folders) says what each room is for."
    )
    parts = ["# API", intro]
    for room, names in modules().items():
        rows = ["| module | what it does |", "|---|---|"]
        for name in names:
            first = recipe_source.Source(recipe_source.COMMON / room / f"{name}.py").docstring.partition("\n\n")[0]
            place = posixpath.relpath(api_uri(room, name), "api")
            rows.append(f"| [{name}]({place}) | {' '.join(first.split())} |")
        parts += [f"## {heading(room)}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def heading(room: str) -> str:
    """Return `common.data` for the room `data`, and `common` for the modules outside the rooms."""
    return f"common.{room}" if room else "common"


def api_uri(room: str, name: str) -> str:
    """Return the path in the site of a module's page."""
    return posixpath.join("api", room, f"{name}.md")


def source_page(path: pathlib.PurePosixPath) -> str:
    """Return the page of a linked file. Each function of a Python file has a heading, to which links can point."""
    text = (ROOT / path).read_text(encoding="utf-8")
    parts = [f"# {path.as_posix()}"]
    if path.suffix != ".py":
        return "\n\n".join([*parts, fenced(text, "")])
    source, start = recipe_source.Source(ROOT / path), 1
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        first = recipe_source.first_line(node)
        first -= len(source.comment_before(first))
        parts += [fenced("\n".join(source.lines[start - 1 : first - 1])), f"## `{node.name}` {{#{node.name}}}"]
        parts.append(fenced("\n".join(source.lines[first - 1 : node.end_lineno])))
        start = node.end_lineno + 1
    parts.append(fenced("\n".join(source.lines[start - 1 :])))
    return "\n\n".join(filter(None, parts))


def fenced(code: str, language: str = "python") -> str:
    """Return a block of code, or "" if the code is empty."""
    code = code.strip("\n")
    return f"```{language}\n{code}\n```" if code.strip() else ""


def folded(title: str, code: str) -> str:
    """Return a block of code that opens on a click."""
    block = fenced(code).replace("\n", "\n    ")
    return f'??? note "{title}"\n\n    {block}'


def data_sets() -> list[pathlib.Path]:
    """Return the README of every data set."""
    return sorted((ROOT / "data").rglob("README.md"))


def modules() -> dict[str, list[str]]:
    """Return room of `common` → its modules; those outside the rooms come first, under ""."""
    folders = [path.parent.name for path in recipe_source.COMMON.glob("*/__init__.py")]
    places = {room: number for number, room in enumerate(ROOMS)}
    rooms = ["", *sorted(folders, key=lambda room: (places.get(room, len(ROOMS)), room))]
    return {room: sorted(path.stem for path in (recipe_source.COMMON / room).glob("[!_]*.py")) for room in rooms}


if __name__ == "__main__":
    try:
        main(tyro.cli(Config))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
