"""Checks on what was decoded: how many pictures differ, and which notes on the files give a class away.

A note, such as "alpha ignored", is often the mark of one camera or one program. If it is in one class only, a network
can learn the mark and not the class. So is a file format.
"""

import collections
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence

from scipy import stats

from common import words
from common.data import sample_list
from common.media import medium as media

# A note is uneven if its share differs between two classes by this much, and by more than chance explains.
UNEVEN, CHANCE = 0.5, 0.001
LISTED = 6  # classes in one message

OF_ONE_COLOUR = "one colour"

Counts = dict[str, list[int]]  # class → the number of its items with a note, and of all its items


@dataclasses.dataclass(frozen=True)
class Note:
    """A note on some items.

    Attributes:
        kind: the note without its details.
        details: those of the first item; "" for none.
        example: the path of the first item.
        counts: the class with the largest share first.
    """

    kind: str
    details: str
    example: str
    counts: Counts

    @property
    def count(self) -> int:
        """The number of items with the note."""
        return sum(count for count, _ in self.counts.values())

    @property
    def is_uneven(self) -> bool:
        """Whether the note gives classes away."""
        shares = [count / total for count, total in self.counts.values()]
        if max(shares) - min(shares) < UNEVEN:
            return False
        table = [[count, total - count] for count, total in self.counts.values()]
        return bool(stats.chi2_contingency(table).pvalue < CHANCE)

    def per_class(self) -> str:
        """Return the counts in words: 20 of 20 cat, 0 of 30 dog."""
        shown = [f"{count:,} of {total:,} {words.printable(name)}" for name, (count, total) in self.counts.items()]
        return ", ".join(shown if len(shown) <= LISTED else [*shown[:LISTED], f"{len(shown) - LISTED} more classes"])


def check(
    samples: Iterable[sample_list.Sample], facts: dict[str, media.Facts], unit: str = "photo",
    class_of: Callable[[sample_list.Sample], str] = lambda sample: sample.label,
) -> dict:  # fmt: skip
    """Print to stderr what is doubtful about the decoded items, and return the counts for the report.

    Notes with details ("kind: details") are always printed, others if they are uneven.

    Args:
        samples: the usable samples.
        facts: the result of `file_checks.scan` for their paths.
        unit: the name of one item in messages.
        class_of: returns the class of a sample.

    Returns:
        A dict of `different_pictures`, `notes_per_class` (note → class → [count, all]) and `uneven_notes`, a list of
        notes. Formats are among the notes if they are uneven.
    """
    samples = list(samples)
    found = _notes(samples, facts, class_of)
    uneven = [note for note in found if note.is_uneven]
    formats = {each.format for each in facts.values()}
    kept = [note for note in found if note.kind not in formats or note in uneven]
    pictures = [facts[sample.path].pixels_sha256 for sample in samples]
    different = len(set(pictures))
    contents = len({facts[sample.path].sha256 for sample in samples})  # copies of a file are told elsewhere
    if different < contents and all(pictures):
        print(
            f"data: {words.plural(contents, f'different {unit} file')} decode to {different:,} different pictures",
            file=sys.stderr,
        )
    for note in kept:
        if note in uneven or note.details or note.kind == OF_ONE_COLOUR:
            _say(note, unit, note in uneven)
    return {
        "different_pictures": different,
        "notes_per_class": {note.kind: note.counts for note in kept},
        "uneven_notes": [note.kind for note in uneven],
    }


def _notes(
    samples: Sequence[sample_list.Sample], facts: dict[str, media.Facts], class_of: Callable[..., str]
) -> list[Note]:
    """Return the notes on the samples, and their formats but the most frequent one."""
    totals = collections.Counter(map(class_of, samples))
    formats = collections.Counter(facts[sample.path].format for sample in samples).most_common()
    usual = formats[0][0] if formats else ""
    with_note: dict[str, list[tuple[sample_list.Sample, str]]] = {}
    for sample in samples:
        fact = facts[sample.path]
        for note in [*fact.notes, *([fact.format] if fact.format != usual else [])]:
            kind, _, details = note.partition(": ")
            with_note.setdefault(kind, []).append((sample, details))
    found = []
    for kind, items in with_note.items():
        counts = collections.Counter(class_of(sample) for sample, _ in items)
        order = sorted(totals, key=lambda name: (-counts[name] / totals[name], name))
        per_class = {name: [counts[name], totals[name]] for name in order}
        found.append(Note(kind, items[0][1], items[0][0].path, per_class))
    return sorted(found, key=lambda note: -note.count)


def _say(note: Note, unit: str, is_uneven: bool) -> None:
    details = f" ({note.details})" if note.details else ""
    warning = "; it is unevenly spread, so it may give the class away" if is_uneven else ""
    print(
        f"data: {note.kind}: {words.plural(note.count, unit)}, such as {words.printable(note.example)}{details}: "
        f"{note.per_class()}{warning}",
        file=sys.stderr,
    )
