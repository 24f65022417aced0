"""Tables that people give: CSV files as spreadsheets, pandas and other programs write them, and their columns."""

import codecs
import collections
import csv
import dataclasses
import io
import os
import pathlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping

from common import errors, words
from common.data import names, sides

ENDINGS = (".csv", ".tsv")
DELIMITERS = ",;\t"
EMPTY = re.compile(rf"[\s{DELIMITERS}\"]*")  # spreadsheets write rows of separators below and above a table
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Table:
    """The names of a table's columns, and its rows: the number of the line, and column → value."""

    path: pathlib.Path
    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]


# Reading ---------------------------------------------------------------------------------------------------------


def read(path: pathlib.Path) -> Table:
    """Read a table whose first line names its columns, separated by commas, semicolons or tabs.

    It may be in UTF-8, UTF-16 or UTF-32. Lines that are none of these are read as Windows-1252, with a note. Lines that
    begin with # are left out, with a note, and so are rows of separators alone and the line `sep=;` of spreadsheets.

    Raises:
        UserError: the file is no such table.
    """
    lines = list(io.StringIO(_text(path), newline=""))
    start, delimiter = _beginning(path, lines)
    records = _records(path, lines[start:], delimiter, start)
    _, _, header = next(records, (0, "", []))
    repeated = [name for name, count in collections.Counter(filter(None, header)).items() if count > 1]
    if repeated:
        raise errors.UserError(f"{path}: column {repeated[0]!r} is there more than once; remove or rename one of them")
    rows, foreign, unnamed = [], [], 0
    comments = sum(line.startswith("#") for line in lines[:start])
    empty = sum(bool(line.strip("\r\n") and EMPTY.fullmatch(line)) for line in lines[:start])
    for line, raw, values in records:
        if all(map(EMPTY.fullmatch, values)):
            empty += 1
            continue
        if raw.startswith("#") and not os.path.exists(path.parent / values[0]):
            comments += 1
            continue
        if any(values[len(header) :]):
            mark = {",": "comma", ";": "semicolon", "\t": "tab"}.get(delimiter, repr(delimiter))
            raise errors.UserError(
                f"{path}, line {line}: more values than columns in the first line; quote values that contain a {mark}"
            )
        known = [_repaired(value, path.parent) for value in values]
        foreign += [line] if known != values else []
        row = dict(zip(header, known + [""] * len(header), strict=False))
        unnamed += bool(row.pop("", ""))
        rows += [(line, row)]
    if any(header) and not rows:
        raise errors.UserError(f"{path}: no rows below the names of the columns")
    _say(path, comments, empty, foreign, unnamed)
    return Table(path, tuple(filter(None, header)), rows)


def _text(path: pathlib.Path) -> str:
    content = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    # File names are bytes on Linux; "surrogateescape" also reads names that are not UTF-8.
    handling = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    try:
        text = content.decode(encoding, handling)
    except UnicodeDecodeError as error:
        raise errors.UserError(f"{path}: not {encoding.upper()}, as its first bytes say; save it in UTF-8") from error
    if "\0" in text:
        raise errors.UserError(f"{path}: contains NUL bytes, as UTF-16 and binary files do; save it as CSV in UTF-8")
    return text


def _beginning(path: pathlib.Path, lines: list[str]) -> tuple[int, str]:
    """Return the place of the line that names the columns, and the delimiter, which this line decides."""
    start, given = 0, ""
    while start < len(lines) - 1:
        mark = re.fullmatch(r'"?sep=(.)"?\s*', lines[start], re.IGNORECASE)
        if mark:
            given = mark[1]
        elif not EMPTY.fullmatch(lines[start]) and not lines[start].startswith("#"):
            break
        start += 1
    if given or not lines:
        return start, given or ","
    widths = {mark: len(next(csv.reader([lines[start]], delimiter=mark))) for mark in DELIMITERS}
    found = [mark for mark, width in widths.items() if width == max(widths.values())]
    if len(found) > 1 and widths[found[0]] > 1:
        raise errors.UserError(
            f"{path}: its first line, {lines[start].strip()!r}, can be divided in several ways; separate the names of "
            "columns by commas only"
        )
    return start, found[0]


def _records(path: pathlib.Path, lines: list[str], delimiter: str, skipped: int) -> Iterator[tuple]:
    """Yield the number of a record's last line, the text of its first line, and its values without blanks around."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        first = reader.line_num
        try:
            values = [value.strip() for value in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise errors.UserError(
                f"{path}, line {skipped + first + 1}: not readable as CSV ({error}); check its quotation marks"
            ) from error
        if values:
            yield skipped + reader.line_num, lines[first], values


def _repaired(value: str, folder: pathlib.Path) -> str:
    """Return a value that is not UTF-8 as Windows-1252, unless it is a file's name as it is."""
    try:
        value.encode()
        return value
    except UnicodeEncodeError:
        content = value.encode("utf-8", "surrogateescape")
    if os.path.exists(folder / value):
        return value
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:  # five bytes stand for nothing
        return content.decode("latin-1")


def _say(path: pathlib.Path, comments: int, empty: int, foreign: list[int], unnamed: int) -> None:
    notes = []
    if comments:
        notes.append(f"{words.plural(comments, 'line')} that begin with # are left out")
    if empty:
        notes.append(f"{words.plural(empty, 'row')} without any content left out")
    if foreign:
        notes.append(f"not UTF-8 in {words.plural(len(foreign), 'line')}, such as {foreign[0]}: read as Windows-1252")
    if unnamed:
        notes.append("a column without a name is not read")
    for note in notes:
        print(f"data: {path.name}: {note}", file=sys.stderr)


# Columns ---------------------------------------------------------------------------------------------------------


def find(table: Table, name: str, synonyms: Collection[str] = ()) -> str | None:
    """Return the column with exactly this name, else the one with a name like it or like a synonym, else None.

    Case, blanks, `_` and `-` do not matter for what is alike.

    Raises:
        UserError: several columns are alike.
    """
    if name in table.columns:
        return name
    alike = {_plain(each) for each in (name, *synonyms)}
    found = [column for column in table.columns if _plain(column) in alike]
    if len(found) > 1:
        raise errors.UserError(
            f"{table.path}: columns {words.listed(names.visible(found))} could all be the column {name!r}; rename the "
            f"right one to {name}"
        )
    return found[0] if found else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", names.key(name))


def with_one_label(table: Table, name: str = "label") -> Table:
    """Return a table whose columns of 0 and 1, one for each class, as ISIC publishes them, are joined into one.

    Args:
        table: a table without a column of labels.
        name: the name of the new column, which holds the name of the class's column.

    Raises:
        UserError: there are at least three such columns, but a row has several classes or none.
    """
    classes = [column for column in table.columns if _is_of_a_class(table, column)]
    if len(classes) < 2:
        return table
    chosen = [(line, [column for column in classes if float(row[column])]) for line, row in table.rows]
    unclear = [line for line, found in chosen if len(found) != 1]
    if unclear and len(classes) == 2:
        return table
    told = words.listed(names.visible(classes))
    if unclear:
        raise errors.UserError(
            f"{table.path}, line {unclear[0]}: of the columns {told}, exactly one must be 1, which is not so in "
            f"{words.plural(len(unclear), 'row')}; add a column {name} with one class for each row, or remove the rows"
        )
    print(f"data: {table.path.name}: the label is the one of the columns {told} that is 1", file=sys.stderr)
    rows = [
        (line, {column: value for column, value in row.items() if column not in classes} | {name: found[0]})
        for (line, row), (_, found) in zip(table.rows, chosen, strict=True)
    ]
    return Table(table.path, (*(column for column in table.columns if column not in classes), name), rows)


def _is_of_a_class(table: Table, column: str) -> bool:
    """Return whether a column holds 0 and 1 only, both of them, and is not named like a side of a split."""
    values = {row[column] for _, row in table.rows}
    both = values <= {"0", "1", "0.0", "1.0"} and len(set(map(float, values))) == 2
    return both and not sides.side_of(re.sub("^is[ _]?", "", column.lower()))


def say_columns(table: Table, used: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Print which columns are used in another role than their name says, and which are not read.

    Args:
        table: the table.
        used: role → column.
        expected: role → the column's usual name.
    """
    other = [
        f"column {names.visible([column])[0]} is used as {role}"
        for role, column in used.items()
        if column != expected[role]
    ]
    unread = [column for column in table.columns if column not in used.values()]
    if other:
        print(f"data: {table.path.name}: {', '.join(other)}; rename it if that is wrong", file=sys.stderr)
    if unread:
        what = "columns are" if len(unread) > 1 else "column is"
        told = ", ".join(names.visible(unread))
        print(f"data: {table.path.name}: {len(unread)} {what} not read: {told}", file=sys.stderr)
