"""Measurements stand on one page, with the commands that print them; what other pages say is a quotation of it."""

import re

import markdown_commands
import pytest

OWNER = "docs/measurements.md"
CODE = re.compile(r"(`+).+?\1")  # numbers in it are arguments
# Decimals, a range over seeds, per cent, seconds, times as long.
MEASURED = re.compile(r"\d\.\d|\(\d[\d.,]* – \d[\d.,]*\)|\d %|\d ?[sx]\b")
RANGE = re.compile(r"(?<![\d.,–-])(\d[\d.,]*) – (\d[\d.,]*\d|\d)")


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


def measurements(document):
    """(line, text of the section) of each table with at least three measured numbers."""
    found = tables_of(document)
    return [(line, section) for line, table, section in found if len(MEASURED.findall(CODE.sub("", table))) >= 3]


def without_command(document):
    """Lines of the tables of measurements whose section has no command and does not quote the page of measurements."""
    found = []
    for line, section in measurements(document):
        told = markdown_commands.commands_of(markdown_commands.Document(document.name, section))
        quotes = document.name != OWNER and "measurements.md" in section
        if not told and not quotes:
            found.append(line)
    return found


def ranges(text):
    """The ranges over seeds in a text, as (lowest, highest)."""
    return set(RANGE.findall(" ".join(text.split())))


@pytest.mark.parametrize("document", markdown_commands.documents(), ids=lambda document: document.name)
def test_each_table_has_its_command(document):
    assert not without_command(document)


def test_one_without_is_found():
    table = "| way | accuracy |\n|---|---|\n| a | 0.5 (0.4 – 0.6) |\n| b | 0.7 |\n"
    text = f"# One\n\n`make demo`\n\n## Two\n\n{table}"
    assert without_command(markdown_commands.Document("page.md", text)) == [7]
    assert not without_command(markdown_commands.Document("page.md", f"# One\n\n{table}\n`make demo`\n"))
    quoting = f"# One\n\n{table}\nFrom [here](measurements.md).\n"
    assert not without_command(markdown_commands.Document("page.md", quoting))
    assert without_command(markdown_commands.Document(OWNER, quoting)) == [3]
    seconds = "| a | b |\n|---|---|\n| 4 s | 8x |\n| 90 % | |\n"
    assert without_command(markdown_commands.Document("page.md", seconds)) == [1]


def owner():
    """The page of measurements."""
    (found,) = (document for document in markdown_commands.files() if document.name == OWNER)
    return found


def test_measurements_are_found():
    assert len(measurements(owner())) >= 15 and len(ranges(owner().text)) > 100


@pytest.mark.parametrize("document", markdown_commands.documents(), ids=lambda document: document.name)
def test_what_is_quoted_stands_on_the_page_of_measurements(document):
    assert ranges(document.text) <= ranges(owner().text)


def test_ranges_are_read_over_lines():
    assert ranges("0.8 (0.805 – 0.880,\nfive) 1,200 (1,100 –\n1,300) `a` 3 – 7.") == {
        ("0.805", "0.880"), ("1,100", "1,300"), ("3", "7"),
    }  # fmt: skip
