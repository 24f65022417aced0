"""Names of classes and groups: which are one name in two spellings, and which look like no name of a class."""

import collections
import dataclasses
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from common import errors, words
from common.data import sample_list

SHOWN = 3  # pairs of names in one message
PLURALS = {"class": "classes", "group": "groups"}
WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")  # pandas writes 17.0 for 17 if a value of the column is missing
# pandas writes these for a missing value. Where a file gives a label for each item, they stop the run.
NO_VALUE = {"nan", "<na>", "nat"}
MAY_MEAN_NONE = NO_VALUE | {"none", "na", "n/a", "null", "unknown", "unk", "undefined", "missing", "?", "-"}


# Letters of Cyrillic and Greek that look like Latin ones.
LATIN = str.maketrans("аеорсухіјѕԁһӏкмтвнгѵοαρνικτυχ", "aeopcyxijsdhlkmtbhrvoapvikt" + "ux")


def key(name: str) -> str:
    """Return what the spellings of one name share: no case, unseen characters or kinds of blanks, one Unicode form.

    Letters that only look like Latin ones are read as these.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    if not folded.isascii():
        folded = folded.translate(LATIN)
    unseen = {each: None for each in map(ord, set(folded)) if _is_unseen(chr(each))}
    return " ".join((folded.translate(unseen) if unseen else folded).split())  # translating takes long on a long text


def _is_unseen(character: str) -> bool:
    """Return whether a character has no width, such as a soft hyphen."""
    return unicodedata.category(character) in ("Cf", "Cc") and not character.isspace()


# Names that only look alike --------------------------------------------------------------------------------------


def settled(samples: Sequence[sample_list.Sample], same_names: bool, classes: bool = True) -> list[sample_list.Sample]:
    """Return the samples with one spelling of each class and group.

    Args:
        samples: the samples of all sides.
        same_names: join names that only look alike; otherwise they stop the run.
        classes: the labels are classes.

    Raises:
        UserError: two names only look alike, and `same_names` is not set.
    """
    labels = one_spelling((sample.label for sample in samples), "class", same_names) if classes else {}
    groups = one_spelling((sample.group for sample in samples), "group", same_names)
    return respelled(samples, labels, groups)


def respelled(
    samples: Sequence[sample_list.Sample], labels: dict[str, str], groups: dict[str, str]
) -> list[sample_list.Sample]:
    """Return the samples with other spellings of some labels and groups."""
    return [
        dataclasses.replace(
            sample, label=labels.get(sample.label, sample.label), group=groups.get(sample.group, sample.group)
        )
        for sample in samples
    ]  # fmt: skip


def one_spelling(names: Iterable[str], what: str, same_names: bool) -> dict[str, str]:
    """Return which spelling to use for each name that is written in several ways; `17.0` is always read as `17`.

    Args:
        names: the names of all items; an empty one is left out.
        what: `class` or `group`.
        same_names: join names with the same `key` into the most frequent spelling.

    Raises:
        UserError: names have the same `key`, and `same_names` is not set.
    """
    counts = collections.Counter(filter(None, names))
    numbers = {name: match[1] for name in counts if (match := WHOLE_NUMBER.fullmatch(name)) and match[1] in counts}
    _say_joined(numbers, what)
    for name, number in numbers.items():
        counts[number] += counts.pop(name)
    families = collections.defaultdict(list)
    for name in counts:
        families[key(name)].append(name)
    alike = [sorted(each, key=lambda name: _rank(name, counts)) for each in families.values() if len(each) > 1]
    if alike and not same_names:
        raise errors.UserError(_only_look_alike(alike, counts, what))
    joined = {name: family[0] for family in alike for name in family[1:]}
    _say_joined(joined, what)
    return {name: joined.get(number, number) for name, number in numbers.items()} | joined


def _rank(name: str, counts: collections.Counter) -> tuple:
    """Return the order of spellings: the most frequent one first, of equal ones the one without unseen characters."""
    return -counts[name], not name.isprintable(), not unicodedata.is_normalized("NFC", name), name


def _say_joined(joined: dict[str, str], what: str) -> None:
    if joined:
        told = [" as ".join(visible(pair)) for pair in sorted(joined.items())[:SHOWN]]
        more = f" and {len(joined) - SHOWN} more" if len(joined) > SHOWN else ""
        print(f"data: names of {PLURALS[what]} that are one are joined: {', '.join(told)}{more}", file=sys.stderr)


def _only_look_alike(alike: list[list[str]], counts: collections.Counter, what: str) -> str:
    shown = [
        " and ".join(f"{seen} ({counts[name]})" for name, seen in zip(family, visible(family), strict=True))
        for family in alike[:SHOWN]
    ]
    more = f"; and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
    return (
        f"names of {PLURALS[what]} differ only in case, blanks, unseen characters or Unicode form: {'; '.join(shown)}"
        f"{more}; write them alike, or join them with --same-names; if they are different, rename one"
    )


def visible(names: Collection[str]) -> list[str]:
    """Return names in quotation marks, with what cannot be seen written out, as in 'cat\\u200b'.

    Names that differ in Unicode form only, such as é as one character or as two, are followed by their form.
    """
    forms = collections.Counter(unicodedata.normalize("NFC", name) for name in names)
    return [
        f"'{words.printable(name)}'" + (f" {_form(name)}" if forms[unicodedata.normalize("NFC", name)] > 1 else "")
        for name in names
    ]


def _form(name: str) -> str:
    return next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, name)), "neither NFC nor NFD")


def matched(samples: Sequence[sample_list.Sample], class_names: Collection[str]) -> list[sample_list.Sample]:
    """Return new samples with the names of a model's classes; other classes keep their names."""
    return respelled(samples, spelled_as((sample.label for sample in samples), class_names), {})


def spelled_as(given: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return name → the known name that it only looks like, for names that are not known themselves."""
    by_key = collections.defaultdict(list)
    for name in known:
        by_key[_number_or_key(name)].append(name)
    alike = {name: by_key.get(_number_or_key(name), []) for name in set(given).difference(known)}
    found = {name: ours[0] for name, ours in alike.items() if len(ours) == 1}
    _say_joined(found, "class")
    return found


def _number_or_key(name: str) -> str:
    number = WHOLE_NUMBER.fullmatch(name)
    return key(number[1] if number else name)


# Labels that may be no classes -----------------------------------------------------------------------------------


def say_odd_groups(samples: Sequence[sample_list.Sample], unit: str) -> None:
    """Print a line if some items have no group where others have one, or one that may mean "none"."""
    without = sum(not sample.group for sample in samples)
    if 0 < without < len(samples):
        print(
            f"data: {words.plural(without, unit)} of {len(samples):,} have no group, so each is split on its own",
            file=sys.stderr,
        )
    for group, count in collections.Counter(sample.group for sample in samples).items():
        if key(group) in MAY_MEAN_NONE:
            print(
                f"data: {words.plural(count, unit)} have the group {group!r} and stay on one side together; if it "
                "means that the group is unknown, leave it empty",
                file=sys.stderr,
            )


def say_odd_labels(samples: Iterable[sample_list.Sample], unit: str) -> None:
    """Print a line for labels that look like several in one, like quantities, or like missing ones; all are classes."""
    counts = collections.Counter(sample.label for sample in samples)
    notes = [_joined_labels(counts), _quantities(counts), _missing(counts, unit)]
    for note in filter(None, notes):
        print(f"data: {note}", file=sys.stderr)


def _joined_labels(counts: Collection[str]) -> str:
    """Describe labels such as `cat, small`, if a part of one occurs in others."""
    for mark in ",;|":
        parts = {name: {part.strip() for part in name.split(mark)} for name in counts}
        recurring = collections.Counter(part for each in parts.values() for part in each)
        several = sorted(
            name for name, each in parts.items() if len(each) > 1 and any(recurring[part] > 1 for part in each)
        )
        if several:
            return (
                f"{len(several)} of {len(counts)} labels, such as {visible(several[:1])[0]}, look like several labels "
                f"joined by '{mark}'; each is taken for one class of its own"
            )
    return ""


def _quantities(counts: Collection[str]) -> str:
    """Describe labels such as ages. Class numbers, which count from 0 or 1, are not meant."""
    try:
        numbers = {float(name): name for name in counts if name}
    except ValueError:
        return ""
    ordered = sorted(numbers)
    if len(ordered) < 3 or ordered in ([float(each + first) for each in range(len(ordered))] for first in (0, 1)):
        return ""
    return (
        f"all {len(ordered)} labels are numbers ({numbers[ordered[0]]} to {numbers[ordered[-1]]}), which looks like a "
        "quantity; each number is taken for the name of a class, and their order is not used"
    )


def _missing(counts: collections.Counter, unit: str) -> str:
    """Describe labels that often mean that there is none."""
    found = sorted(name for name in counts if key(name) in MAY_MEAN_NONE)
    told = ", ".join(
        f"{seen} ({words.plural(counts[name], unit)})" for name, seen in zip(found, visible(found), strict=True)
    )
    return f"labels that may mean that there is none are taken for classes: {told}" if found else ""
