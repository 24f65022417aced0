"""Words for numbers and names, shared by the terminal, the pages and the error messages."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

import markupsafe

WARNING = "generated text is not legal advice: have a lawyer read it, and check every name, sum and reference"

# Characters of a name that Markdown would read as markup; a newline would end the row of a table.
MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_[]<>|&~#$"} | {"\n": " ", "\r": " "})


def share(values: list[float]) -> str:
    """Format an accuracy over seeds, [value, low, high], in percent; without the range if all values are equal."""
    return percent(values[0]) if values[1] == values[2] else estimate(values)


def points(gain: float) -> str:
    """Format -0.034 as 3.4 points."""
    return f"{abs(100 * gain):.1f} points"


def listed(names: list[str]) -> str:
    """Join the names with commas and an "and"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def upper(text: str) -> str:
    """Capitalise the first letter of a text and leave the others."""
    return text[0].upper() + text[1:]


def spread(items: Sequence, count: int) -> list:
    """Return at most `count` of the items, evenly spaced."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def percent(share: float | None, digits: int = 1) -> str:
    """Format 0.5 as 50.0 %."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def decimal(value: float | None, digits: int = 3) -> str:
    """Format 0.5 as 0.500, and a value that diverged as 1.01e+304."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e15 else f"{value:.3g}"


def estimate(values: Sequence[Any], is_share: bool = True) -> str:
    """Format [value, low, high] as 50.0 % (40.0–60.0), or as decimals; a missing value is a dash."""
    value, *limits = values
    shown = percent(value) if is_share else decimal(value)
    if value is None or None in limits:
        return shown
    low, high = (decimal(100 * limit, 1) if is_share else decimal(limit) for limit in limits)
    return f"{shown} ({low}–{high})"


def grouped(value: float | None) -> str:
    """Format 6424069 as 6,424,069."""
    return "–" if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Format 93.4 as 1 min 33 s."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: float | None) -> str:
    """Format 1500000000 bytes as 1.5 GB."""
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{count}\N{NO-BREAK SPACE}bytes"


def price(value: float) -> str:
    """Format 12.345 as 12.35, and a price below 0.1 with two digits."""
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"


def setting(value: Any) -> Any:
    """Return a value of the configuration in words: yes, no or not set; other values stay as they are."""
    if value is None or value == "":
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def words(name: object) -> str:
    """Format balanced_accuracy as balanced accuracy."""
    return str(name).replace("_", " ")


def plural(count: float, word: str) -> str:
    """Format a number with a noun: 1 photo, 2,000 photos."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def command_lines(command: str) -> str:
    """Format a command with a line for each flag; it can be copied into a shell."""
    try:
        arguments = shlex.split(command)
    except ValueError:  # an unbalanced quote, so the recipes did not write it
        return command
    breaks = [index for index, argument in enumerate(arguments) if argument.startswith("--")]
    parts = [arguments[start:end] for start, end in zip([0, *breaks], [*breaks, None], strict=True)]
    return " \\\n    ".join(shlex.join(part) for part in parts)


def breakable(text: object) -> markupsafe.Markup:
    """Escape a long path or name for HTML, and let it break after / and _."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))


def markdown_text(text: object) -> str:
    """Escape a name or a value for Markdown, also for a table."""
    return str(text).translate(MARKDOWN)


def printable(path: str) -> str:
    """Escape a path for one line of a terminal: a newline in a name shows as \\n."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in path
    )


def without_advice(error: Exception) -> str:
    """Return what is wrong with a file, without the advice to remove it, which suits only files of a data set."""
    return re.sub(r"(; | or )remove (it|the entry)$", "", str(error))
