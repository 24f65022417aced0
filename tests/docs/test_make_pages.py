"""The site builds without a warning, has what it should have, and asks no other server for anything."""

import html.parser
import pathlib
import re
import subprocess
import sys

import make_pages
import pytest
import recipe_source

ROOT = recipe_source.ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it: any warning is an error."""
    pytest.importorskip("mkdocstrings", reason="needs pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    make_pages.main(make_pages.Config(out=folder, site=folder / "site"))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", folder / "mkdocs.yml"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder / "site"


class Requests(html.parser.HTMLParser):
    """Collects what a browser fetches on its own: not the links that people click."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found += [attributes[name] for name in ("src", "srcset", "data", "poster") if attributes.get(name)]
        if tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(attributes["href"])


def fetched(path):
    """The addresses that a page or a stylesheet makes a browser fetch."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
    parser = Requests()
    parser.feed(text)
    return parser.found


def test_no_page_asks_another_server(site):
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 30
    for path in files:
        outside = [address for address in fetched(path) if re.match(r"(\w+:)?//", address)]
        assert not outside, f"{path.relative_to(site)}: {outside}"


def test_what_is_fetched_is_there(site):
    for path in site.rglob("*.html"):
        if path.name == "404.html":  # served for any address, so its own are absolute
            continue
        for address in fetched(path):
            target = re.split("[?#]", address)[0]
            assert address.startswith("data:") or (path.parent / target).exists(), f"{path.name}: {address}"


def test_every_recipe_has_a_page_with_its_settings_and_model(site):
    for recipe in recipe_source.recipes():
        page = (site / "recipes" / f"{recipe.name}.html").read_text(encoding="utf-8")
        for heading in ("When to use it", "Data", "Command", "What to expect", "Limits", "Settings", "The whole file"):
            assert re.search(rf"<h2[^>]*>{heading}<", page), f"{recipe.name}: {heading}"
        for setting in recipe_source.settings_of(recipe):
            assert f"<code>{setting.flag}</code>" in page
        assert ("The model" in page) == recipe.has("build_model")


def test_pages_that_others_add_are_in_the_navigation(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        uri = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{uri}"' in page, path.name
    assert 'href="contributing.html"' in page and 'href="changelog.html"' in page


def test_the_readme_is_the_first_page_with_links_of_the_site(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="recipes/legal_text.html"' in page and 'href="data/flowers.html"' in page
    assert "README.md" not in page


def test_a_test_that_is_named_is_shown(site):
    page = (site / "frozen_prefix.html").read_text(encoding="utf-8")
    named = set(re.findall(r'href="source/(tests_\w+\.py)\.html#(test_\w+)"', page))
    assert len(named) >= 10
    for name, test in named:
        assert f'id="{test}"' in (site / "source" / f"{name}.html").read_text(encoding="utf-8"), test


def test_the_api_shows_docstrings(site):
    page = (site / "api" / "models" / "freezing.html").read_text(encoding="utf-8")
    assert "Freeze every layer: no weight changes" in page and "common.models.freezing.unfreeze" in page
    for room, names in make_pages.modules().items():
        for name in names:
            assert (site / "api" / room / f"{name}.html").is_file()


def test_every_module_is_in_the_api_by_room():
    found = [make_pages.heading(room) + "." + name for room, names in make_pages.modules().items() for name in names]
    paths = [path for path in (ROOT / "common").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(found) == sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    assert found[0].count(".") == 1 and set(make_pages.ROOMS) < set(make_pages.modules())


def test_pictures_are_small():
    for path in (ROOT / "docs" / "pictures").iterdir():
        assert path.stat().st_size < 150_000, path.name


def test_links_of_a_section_lead_where_they_led():
    linked = make_pages.with_site_links(
        "[a](recipes/x.py) [b](data/demo/README.md) [c](https://x.org) [d](#e)\n```\n[f](recipes/x.py)\n```\n",
        pathlib.PurePosixPath(),
        "guides/page.md",
    )
    assert linked.startswith("[a](../recipes/x.md) [b](../data/demo.md) [c](https://x.org) [d](#e)")
    assert linked.endswith("```\n[f](recipes/x.py)\n```\n")


def test_a_link_to_a_page_beside_the_readme_stays_in_the_site():
    linked = make_pages.with_site_links(
        "[a](../README.md#b) [c](../CONTRIBUTING.md)", make_pages.origin("x.md"), "x.md"
    )
    assert linked == "[a](index.md#b) [c](contributing.md)"
    assert make_pages.origin("index.md") == pathlib.PurePosixPath()


def test_a_recipe_without_a_page_has_its_docstring(tmp_path):
    (tmp_path / "toy.py").write_text(
        '"""Toy: does nothing.\n\nWhen to use it: never.\n"""\n\n\n'
        "class Config(flags.RunConfig):\n    one: int = 3  # or 5\n"
    )
    page = make_pages.recipe_page(make_pages.recipe_source.Source(tmp_path / "toy.py"))
    assert page.startswith("# Toy\n\nDoes nothing.\n\n## When to use it\n\nNever.\n\n## Settings")
    assert "`--one`" in page


def test_cells_say_what_a_flag_takes():
    assert make_pages.values("Literal['flatten', 'gap']") == "`flatten`, `gap`"
    assert make_pages.values("tuple[float, ...]") == "one or several: number"
    assert make_pages.values("pathlib.Path | None") == "path"
    assert make_pages.values("Annotated[float, Ge(0), Lt(1)] | None") == "number, at least 0 and below 1"
    assert make_pages.values("Annotated[int, Gt(0)]") == "whole number, above 0"
    assert [make_pages.default(source) for source in ("None", "False", "0", "0.5", "'mel'", "('a', 'b')", "f(x)")] == [
        "–", "off", "`0`", "`0.5`", "`mel`", "`a` `b`", "`f(x)`",
    ]  # fmt: skip
