"""The commands that stand in Markdown: in blocks of code, and in text where they begin with a known program."""

import dataclasses
import pathlib
import re
import shlex

import markdown_it
import recipe_source

ROOT = recipe_source.ROOT
PROGRAM = re.compile(r"(?:\$ )?(?:\w+=\S* )*(?:\.venv/bin/)?(?:python3?|pip|make|keras-recipes)(?: |$)")
SHELL = ("", "sh", "bash", "shell", "console")


@dataclasses.dataclass(frozen=True)
class Document:
    """Markdown, and where it stands.

    Attributes:
        name: its path in the repository.
        text: the Markdown; its line 1 is the file's line 1.
    """

    name: str
    text: str

    def tokens(self):
        return markdown_it.MarkdownIt("commonmark").enable("table").parse(self.text)

    def shown_files(self) -> dict[str, str]:
        """Path → content of the files that blocks of code with a title show, part after part."""
        found: dict[str, str] = {}
        for token in self.tokens():
            if token.type == "fence" and (title := re.search(r'title="(.+?)"', token.info)):
                found[title[1]] = "\n\n".join(filter(None, [found.get(title[1]), token.content]))
        return found


@dataclasses.dataclass(frozen=True)
class Command:
    """A line for the shell, and where it stands."""

    text: str
    document: Document
    line: int

    @property
    def words(self) -> list[str]:
        """Program and arguments, without settings of the environment and the folder of the program."""
        words = shlex.split(self.text.removeprefix("$ "), comments=True)
        while re.fullmatch(r"\w+=.*", words[0]):
            words = words[1:]
        return [words[0].removeprefix(".venv/bin/").replace("python3", "python"), *words[1:]]

    def __str__(self):
        return f"{self.document.name}:{self.line} {self.text}"


def documents() -> list[Document]:
    """The files of Markdown, and the docstrings of the recipes, which notebooks and copies show."""
    return files() + [Document(f"recipes/{each.name}.py", each.docstring) for each in recipe_source.recipes()]


def files() -> list[Document]:
    """The README and what lies beside it, the pages of `docs/` and those of the data sets."""
    paths = [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "data").rglob("README.md")),
    ]
    return [Document(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def commands_of(document: Document) -> list[Command]:
    """The commands in a document, in order."""
    found = []
    for token in document.tokens():
        if token.type == "code_block" or token.type == "fence" and token.info.split(" ")[0] in SHELL:
            first = token.map[0] + 1 + (token.type == "fence")
            lines = logical_lines(token.content)
            found += [Command(without_comment(text), document, first + number) for number, text in lines]
        elif token.type == "inline":
            texts = [child.content for child in token.children if child.type == "code_inline"]
            found += [Command(text, document, token.map[0] + 1) for text in texts]
    return [command for command in found if PROGRAM.match(command.text)]


def without_comment(line: str) -> str:
    """A line for the shell without the comment behind it."""
    return re.sub(r"\s+#\s.*", "", line)


def logical_lines(code: str) -> list[tuple[int, str]]:
    """(number of the line, text), a line that ends in a backslash joined with the next.

    What stands behind a `cd` runs in another project and is left out: the tests of what made that project run it.
    """
    found, held, start = [], "", 0
    for number, line in enumerate(code.splitlines()):
        start = start if held else number
        held += line.strip()
        if held.endswith("\\"):
            held = held[:-1]
            continue
        if held.startswith("cd "):
            break
        found.append((start, held))
        held = ""
    return found


def all_commands() -> list[Command]:
    """Every command of every document."""
    return [command for document in documents() for command in commands_of(document)]


def write_shown_file(document: Document, path: str, folder: pathlib.Path) -> pathlib.Path | None:
    """Writes a file that a page shows below a folder; None where it shows none of that path."""
    content = document.shown_files().get(path)
    if content is None:
        return None
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    return target
