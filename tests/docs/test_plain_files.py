"""The pages read well where they lie: none has an empty section, links lead somewhere, every recipe has its page."""

import ast
import functools
import itertools
import pathlib
import posixpath
import re

import make_pictures
import markdown_commands
import pytest
import recipe_source

ROOT = recipe_source.ROOT
FILES = markdown_commands.files()
HEADINGS = ["When to use it", "Data", "Command", "What it does", "What to expect", "Limits"]


def read(name):
    """A file of the repository as a document."""
    return markdown_commands.Document(name, (ROOT / name).read_text(encoding="utf-8"))


def sections(document):
    """(level, title, text below it up to the next heading) of each heading."""
    lines = document.text.splitlines()
    tokens = document.tokens()
    found = [
        (int(token.tag[1]), tokens[number + 1].content, token.map)
        for number, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    ends = [place[0] for _, _, place in found[1:]] + [len(lines)]
    return [
        (level, title, "\n".join(lines[place[1] : end])) for (level, title, place), end in zip(found, ends, strict=True)
    ]


def empty_sections(document):
    """Titles that have neither text nor sections below them; a comment is no text."""
    found = sections(document)
    below = [level for level, _, _ in found[1:]] + [0]
    return [
        title
        for (level, title, text), following in zip(found, below, strict=True)
        if not re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).strip() and following <= level
    ]


@functools.cache
def anchors(document):
    """The names by which GitHub links to a document's headings."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for _, title, _ in sections(document))
    return {title.replace(" ", "-") for title in titles}


def links(document):
    """The targets of a document's links and pictures that are no addresses in the net."""
    children = [child for token in document.tokens() if token.type == "inline" for child in token.children]
    found = [
        child.attrGet("href") or child.attrGet("src") for child in children if child.type in ("link_open", "image")
    ]
    return [target for target in found if not re.match(r"\w+:", target)]


def dead_links(document):
    """Those of its links whose file, heading or test is not there."""
    found = []
    for link in links(document):
        path, _, anchor = link.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(document.name), path)) if path else document.name
        if path and not (ROOT / place).exists():
            found.append(link)
        elif anchor and place.endswith(".py"):
            if not re.search(rf"^(def|class) {anchor}\b", (ROOT / place).read_text(encoding="utf-8"), re.MULTILINE):
                found.append(link)
        elif anchor and anchor not in anchors(read(place) if path else document):
            found.append(link)
    return found


def test_the_readme_is_one_page():
    assert len(read("README.md").text) <= 9000


@pytest.mark.parametrize("document", FILES, ids=lambda document: document.name)
def test_no_section_is_empty(document):
    assert document.text.startswith("# ") and not empty_sections(document)


@pytest.mark.parametrize("document", FILES, ids=lambda document: document.name)
def test_links_lead_somewhere(document):
    assert not dead_links(document)


def test_what_is_empty_or_dead_is_found():
    text = (
        "# A\n\n## B\n\n<!-- README: B -->\n\n## C, D\n\n```\n# no heading\n```\n\n## E\n\n"
        "[a](README.md) [b](#c-d) [c](#c) [d](no.md) [e](docs/make_pages.py#main) [f](docs/make_pages.py#mein) "
        "[g](https://x.org)\n\n## F\n"
    )
    document = markdown_commands.Document("page.md", text)
    assert empty_sections(document) == ["B", "F"]
    assert dead_links(document) == ["#c", "no.md", "docs/make_pages.py#mein"]


@pytest.mark.parametrize("recipe", recipe_source.recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_has_a_row_and_a_page(recipe):
    assert f"\n| [{recipe.name}](docs/recipes/{recipe.name}.md) |" in read("README.md").text
    page = read(f"docs/recipes/{recipe.name}.md")
    assert [title for level, title, _ in sections(page)] == [recipe.title, *HEADINGS]
    assert "measurements.md" in {title: text for _, title, text in sections(page)}["What to expect"]


@pytest.mark.parametrize("recipe", recipe_source.recipes(), ids=lambda recipe: recipe.name)
def test_the_commands_of_its_docstring_are_on_its_page(recipe):
    page = read(f"docs/recipes/{recipe.name}.md")
    told = markdown_commands.commands_of(markdown_commands.Document("docstring", recipe.docstring))
    known = {command.text for command in markdown_commands.commands_of(page)}
    in_block = [command.text for command in told if f"\n    {command.text}" in recipe.docstring]
    assert in_block and set(in_block) <= known


@pytest.mark.parametrize("name", make_pictures.FIGURES)
def test_a_picture_says_what_drew_it(name):
    figure, further = make_pictures.FIGURES[name]
    text = read(f"docs/recipes/{name}.md").text
    command = f"python recipes/{name}.py {further}".strip()
    assert f"(../pictures/{name}.png)" in text
    assert f"*The figure `{figure}` of the report of `{command}`" in text


def flags_of(text):
    """The flags that a page names in code."""
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(re.findall(r"`[^`]+`", text))))


@pytest.mark.parametrize("recipe", recipe_source.recipes(), ids=lambda recipe: recipe.name)
def test_flags_in_the_text_of_its_page_exist(recipe):
    known = [*recipe_source.settings_of(recipe), *itertools.chain(*recipe_source.shared_settings().values())]
    commands = [recipe_source.Source(ROOT / "common" / "commands" / f"{name}.py") for name in ("generate", "predict")]
    names = {node.arg for each in commands for node in ast.walk(each.tree) if isinstance(node, ast.arg)}
    flags = {setting.flag for setting in known} | {f"--{name.replace('_', '-')}" for name in names}
    assert flags_of(read(f"docs/recipes/{recipe.name}.md").text) <= flags


def test_pages_of_recipes_belong_to_a_recipe():
    pages = {path.stem for path in pathlib.Path(ROOT / "docs" / "recipes").glob("*.md")}
    assert pages == {recipe.name for recipe in recipe_source.recipes()}
