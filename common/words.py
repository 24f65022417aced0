"""Words for numbers and names: what the terminal, the pages and the error messages say alike."""

import re
import shlex

import markupsafe

WARNING = "generated text is not legal advice: have a lawyer read it, and check every name, sum and reference"

# What Markdown would take for markup in a name; a newline would end a table's row.
MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_[]<>|&~#$"} | {"\n": " ", "\r": " "})


def share(values: list[float]) -> str:
    """An accuracy over seeds in percent; without its range where there is none."""
    return percent(values[0]) if values[1] == values[2] else estimate(values)


def points(gain: float) -> str:
    """-0.034 as 3.4 points."""
    return f"{abs(100 * gain):.1f} points"


def listed(names: list[str]) -> str:
    """The names with commas and an "and"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def upper(text: str) -> str:
    """The text with a capital first letter; the others stay."""
    return text[0].upper() + text[1:]


def spread(items, count):
    """At most `count` of the items, evenly spaced."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def percent(share, digits=1):
    """0.5 as 50.0 %."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def decimal(value, digits=3):
    """0.5 as 0.500, and what diverged as 1.01e+304."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e15 else f"{value:.3g}"


def estimate(values, is_share=True):
    """[value, low, high] as 50.0 % (40.0–60.0), or as decimals; a dash where there is no value."""
    value, *limits = values
    shown = percent(value) if is_share else decimal(value)
    if value is None or None in limits:
        return shown
    low, high = (decimal(100 * limit, 1) if is_share else decimal(limit) for limit in limits)
    return f"{shown} ({low}–{high})"


def grouped(value):
    """6424069 as 6,424,069."""
    return "–" if value is None else f"{value:,}"


def duration(seconds):
    """93.4 as 1 min 33 s."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count):
    """1500000000 bytes as 1.5 GB."""
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{count}\N{NO-BREAK SPACE}bytes"


def setting(value):
    """A value of the configuration, as one would say it."""
    if value is None or value == "":
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def words(name):
    """balanced_accuracy as balanced accuracy."""
    return str(name).replace("_", " ")


def plural(count, word):
    """A number and what it counts: 1 photo, 2,000 photos."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def command_lines(command):
    """A command with a line for each flag, which can be copied into a shell as it is."""
    try:
        arguments = shlex.split(command)
    except ValueError:  # an unbalanced quote: not written by us
        return command
    breaks = [index for index, argument in enumerate(arguments) if argument.startswith("--")]
    parts = [arguments[start:end] for start, end in zip([0, *breaks], [*breaks, None], strict=True)]
    return " \\\n    ".join(shlex.join(part) for part in parts)


def breakable(text):
    """Let a long path or name break after its punctuation."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))


def markdown_text(text):
    """A name or a value as Markdown that shows just that, also in a table."""
    return str(text).translate(MARKDOWN)


def printable(path: str) -> str:
    """Returns a path fit for one line of a terminal: a newline in a name shows as \\n."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in path
    )


def without_advice(error: Exception) -> str:
    """What is wrong with a file, for whoever asks about it alone: removing it is advice for a data set."""
    return re.sub(r"(; | or )remove (it|the entry)$", "", str(error))
