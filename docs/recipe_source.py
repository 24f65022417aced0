"""The content of a recipe's file, read without importing it: docstring, settings with their comments, functions.

The documentation's pages and the notebooks are made from it, so that nothing is written twice.
"""

import ast
import dataclasses
import functools
import io
import pathlib
import re
import tokenize

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMON = ROOT / "common"

# The classes whose flags recipes share, and their files; each is the base of the next.
SHARED = {"RunConfig": COMMON / "flags.py", "PhotoConfig": COMMON / "training" / "settings.py"}

# The files of the classes between these and a recipe's own.
INHERITED = tuple(COMMON / "training" / f"{name}.py" for name in ("settings", "fine_tuning", "tuning"))

# The first words of a docstring's paragraph → the heading of the page's section.
LEADS = {
    "When to use it": "When to use it",
    "Data": "Data",
    "Command": "Command",
    "Expected": "Expected result",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A field of a `Config`: its flag, its type and default as written in the source, and its rule of thumb."""

    flag: str
    type: str
    default: str
    rule: str

    @property
    def is_hidden(self) -> bool:
        """Whether `--help` omits it."""
        return "Suppress" in self.type


class Source:
    """A Python file.

    Attributes:
        name: the file's name without its extension.
        text: the whole file.
        tree: its syntax tree.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.name, self.text = path.stem, path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.lines = self.text.splitlines()

    @property
    def title(self) -> str:
        """The title: `Feature extraction` in `Feature extraction: a new head on a frozen, pretrained network.`"""
        return self._first_line.partition(":")[0]

    @property
    def what(self) -> str:
        """The text after the title in the docstring's first line, with a capital letter."""
        what = self._first_line.partition(":")[2].strip()
        return what[:1].upper() + what[1:]

    @property
    def _first_line(self) -> str:
        return self.docstring.partition("\n\n")[0].replace("\n", " ")

    @property
    def docstring(self) -> str:
        """The file's docstring, indentation removed."""
        return ast.get_docstring(self.tree) or ""

    def markdown(self, level: int = 2) -> str:
        """Return the docstring after its first line as Markdown; leading words become headings of this level."""
        return "\n\n".join(_with_heading(block, level) for block in self.docstring.split("\n\n")[1:])

    def code_of(self, name: str) -> str:
        """Return the source of a top-level function or class, with its decorators.

        Raises:
            ValueError: there is none with this name.
        """
        for node in self.tree.body:
            if getattr(node, "name", None) == name:
                return "\n".join(self.lines[first_line(node) - 1 : node.end_lineno])
        raise ValueError(f"{self.name} has no {name}")

    def has(self, name: str) -> bool:
        """Return whether a top-level function or class has this name."""
        return any(getattr(node, "name", None) == name for node in self.tree.body)

    def settings(self, class_name: str = "Config") -> list[Setting]:
        """Return the fields of a dataclass in their order, without those that it inherits."""
        return [
            Setting(
                "--" + node.target.id.replace("_", "-"),
                ast.unparse(node.annotation),
                "" if node.value is None else ast.unparse(node.value),
                self._comment_of(node),
            )
            for node in self._class(class_name).body
            if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)
        ]

    def base(self, class_name: str = "Config") -> str:
        """Return the name of a class's base class, without its module."""
        return ast.unparse(self._class(class_name).bases[0]).rpartition(".")[2]

    def docstring_of(self, class_name: str) -> str:
        """Return a class's docstring."""
        return ast.get_docstring(self._class(class_name)) or ""

    def _class(self, name: str) -> ast.ClassDef:
        (found,) = (node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        return found

    def _comment_of(self, node: ast.stmt) -> str:
        """Return the comment after a statement, else the one on the lines before it."""
        if node.end_lineno in self._comments:
            return self._comments[node.end_lineno]
        return " ".join(self.comment_before(node.lineno))

    def comment_before(self, line: int) -> list[str]:
        """Return the lines of the comment block that ends right before a line."""
        found = []
        while line > 1 and self.lines[line - 2].lstrip().startswith("#"):
            line -= 1
            found.insert(0, self._comments[line])
        return found

    @functools.cached_property
    def _comments(self) -> dict[int, str]:
        """The comments: line number → text without the mark."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {each.start[0]: each.string.lstrip("# ") for each in tokens if each.type == tokenize.COMMENT}


def first_line(node: ast.stmt) -> int:
    """Return the line on which a statement begins, including its decorators."""
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])


def _with_heading(block: str, level: int) -> str:
    for lead, heading in LEADS.items():
        # The words between, as in `Expected, on two CPU cores: on the demo …`, begin the section.
        if match := re.match(rf"{lead}\b([^:]*):\s*", block):
            between, rest = match[1].strip(" ,()"), block[match.end() :]
            text = f"{between}: {rest}" if between else rest
            return f"{'#' * level} {heading}\n\n{text[:1].upper()}{text[1:]}".strip()
    return block


def recipes() -> list[Source]:
    """Return every recipe, in the order of the README's table; those that are not in it come last."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = [Source(path) for path in sorted((ROOT / "recipes").glob("[!_]*.py"))]
    places = {each.name: readme.find(f"| [{each.name}](") for each in found}
    return sorted(found, key=lambda each: places[each.name] if places[each.name] >= 0 else len(readme))


def settings_of(recipe: Source) -> list[Setting]:
    """Return a recipe's flags without those that all share: its own, then those that it inherits, as of a new head."""
    found, base = recipe.settings(), recipe.base()
    while base not in SHARED:
        source = next(each for each in map(Source, INHERITED) if each.has(base))
        known = {each.flag for each in found}
        found += [each for each in source.settings(base) if each.flag not in known]
        base = source.base(base)
    return [each for each in found if not each.is_hidden]


def shared_settings() -> dict[str, list[Setting]]:
    """Return the flags that recipes share: docstring of the class → its flags."""
    sources = {name: Source(path) for name, path in SHARED.items()}
    return {source.docstring_of(name): source.settings(name) for name, source in sources.items()}
