"""Every table of measurements has, in its section, the command that prints it."""

import re

import markdown_commands
import pytest

CODE = re.compile(r"(`+).+?\1")  # numbers in it are arguments
MEASURED = re.compile(r"\d\.\d|\(\d[\d.,]* – \d[\d.,]*\)|\d %")  # decimals, a range over seeds, per cent


def tables_of(document):
    """(line, text of the table, text of its section) of each table."""
    lines = document.text.splitlines()
    tokens = document.tokens()
    headings = [token.map[0] for token in tokens if token.type == "heading_open"]
    for token in tokens:
        if token.type == "table_open":
            first, last = token.map
            start = max((line for line in headings if line < first), default=0)
            end = min((line for line in headings if line >= last), default=len(lines))
            yield first + 1, "\n".join(lines[first:last]), "\n".join(lines[start:end])


def without_command(document):
    """Lines of the tables of measurements in whose section no command stands."""
    found = []
    for line, table, section in tables_of(document):
        told = markdown_commands.commands_of(markdown_commands.Document(document.name, section))
        if len(MEASURED.findall(CODE.sub("", table))) >= 3 and not told:
            found.append(line)
    return found


@pytest.mark.parametrize("document", markdown_commands.documents(), ids=lambda document: document.name)
def test_each_has_its_command(document):
    assert not without_command(document)


def test_one_without_is_found():
    table = "| way | accuracy |\n|---|---|\n| a | 0.5 (0.4 – 0.6) |\n| b | 0.7 |\n"
    assert without_command(markdown_commands.Document("page.md", f"# One\n\n`make demo`\n\n## Two\n\n{table}")) == [7]
    assert not without_command(markdown_commands.Document("page.md", f"# One\n\n{table}\n`make demo`\n"))
