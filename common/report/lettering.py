"""Names in scripts that matplotlib's own font lacks: another installed font draws them, or numbers stand for them."""

import contextlib
import contextvars
import functools
import re
from collections.abc import Iterable, Iterator

import matplotlib.font_manager
import matplotlib.ft2font

OWN = "DejaVu Sans"  # comes with matplotlib
# matplotlib cannot draw the pictures of a coloured emoji font; "Last Resort" has boxes for all letters.
UNFIT = ("Color", "Last Resort")


class Lettering:
    """The letters of the names in one figure.

    Attributes:
        missing: the letters that no installed font has.
        seen: the letters of all names so far.
        legend: a group of missing letters → the number that stands for it.
    """

    def __init__(self, missing: Iterable[str] = ()) -> None:
        self.missing, self.seen = frozenset(missing), set[str]()
        self.legend: dict[str, int] = {}

    def shown(self, name: str) -> str:
        """Return a name with numbers in place of letters that cannot be drawn: `#1`."""
        self.seen |= set(name)
        if self.missing.isdisjoint(name):
            return name
        group = f"[{''.join(map(re.escape, sorted(self.missing)))}]+"
        return re.sub(group, lambda found: f"#{self.legend.setdefault(found[0], len(self.legend) + 1)}", name)


_CURRENT: contextvars.ContextVar[Lettering] = contextvars.ContextVar("lettering")


@contextlib.contextmanager
def of_figure(lettering: Lettering) -> Iterator[None]:
    """Let `shown` take and change names for one figure."""
    token = _CURRENT.set(lettering)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def shown(name: str) -> str:
    """Return a name as the current figure can draw it."""
    lettering = _CURRENT.get(None)
    return lettering.shown(name) if lettering else name


def fonts_for(letters: Iterable[str]) -> tuple[list[str], set[str]]:
    """Return installed fonts that have the letters, matplotlib's own first, and the letters that none has."""
    fonts = [OWN]
    missing = {letter for letter in letters if not letter.isspace()} - _letters(matplotlib.font_manager.findfont(OWN))
    for font in sorted(matplotlib.font_manager.fontManager.ttflist, key=lambda font: font.name) if missing else ():
        found = missing & _letters(font.fname) if not any(part in font.name for part in UNFIT) else set()
        if found:
            fonts.append(font.name)
            missing -= found
    return fonts, missing


@functools.cache
def _letters(path: str) -> frozenset[str]:
    """Return the letters that a font can draw at any size."""
    try:
        font = matplotlib.ft2font.FT2Font(path)
    except (OSError, RuntimeError):  # a damaged file, or a kind that matplotlib does not read
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
