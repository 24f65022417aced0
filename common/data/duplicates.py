"""Items that come from one source: by the names of their files, by their pixels, or by a network's features.

They are kept on one side of a split, as far as no side is given, and listed in `duplicates.csv`.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from common import files, words
from common.data import name_families, picture_copies, sample_list, splits
from common.media import medium as media

NAME, COPY, FEATURES, TEXT = "name", "copy", "features", "text"
LARGEST = name_families.LARGEST  # a larger cluster is a fixed camera's or a form's, and is not kept together
COLUMNS = ["kind", "similarity", "path", "label", "split", "other_path", "other_label", "other_split", "kept_together"]

Samples = Sequence[sample_list.Sample]


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two items that come from one source.

    Attributes:
        first, second: their paths.
        kind: how they were found: `name`, `copy`, `features` or `text`.
        similarity: from 0 to 1; of names always 1.
        together: whether a split keeps them on one side.
    """

    first: str
    second: str
    kind: str
    similarity: float = 1.0
    together: bool = True


def find(samples: Samples, facts: Mapping[str, media.Facts], families: name_families.Families) -> list[Pair]:
    """Return the pairs of usable samples with one source: by their names, the same content and the same picture.

    Args:
        samples: the samples.
        facts: the result of `file_checks.scan` for their paths.
        families: the families by name.
    """
    pairs = by_name(families)
    first_of: dict[str, str] = {}
    for sample in samples:
        first = first_of.setdefault(facts[sample.path].sha256, sample.path)
        if first != sample.path:
            pairs.append(Pair(first, sample.path, COPY))
    labels = {sample.path: sample.label for sample in samples}
    same_picture = copies({sample.path: facts[sample.path] for sample in samples}, labels)
    return pairs + within_groups(same_picture, {sample.path: sample.group for sample in samples})


def within_groups(pairs: Sequence[Pair], group_of: Mapping[str, str]) -> list[Pair]:
    """Return pairs; those in two groups are not kept together, because whoever gave the groups knows the items.

    Args:
        pairs: the pairs.
        group_of: path → its group, "" for none.
    """
    return [
        dataclasses.replace(pair, together=False) if "" != group_of[pair.first] != group_of[pair.second] != "" else pair
        for pair in pairs
    ]


def by_name(families: name_families.Families) -> list[Pair]:
    """Return the pairs of the first file of each family and each other one."""
    return [Pair(first, other, NAME) for first, *others in families.families.values() for other in others]


def copies(facts: Mapping[str, media.Facts], label_of: Mapping[str, str] | None = None) -> list[Pair]:
    """Return the pairs of files that show the same picture and differ in their content.

    Args:
        facts, label_of: as for `picture_copies.pairs`.
    """
    found = picture_copies.pairs(facts, label_of)
    return bounded([Pair(first, second, COPY, likeness) for first, second, likeness in found])


def bounded(pairs: Sequence[Pair], units: Mapping[str, str] | None = None) -> list[Pair]:
    """Return the pairs, those in clusters of more than `LARGEST` items marked as not kept together.

    Of such a cluster, only the most similar pair of each item is returned.

    Args:
        pairs: the pairs, the most similar first.
        units: path → what is kept together anyway; default: nothing is.
    """
    ends = [path for pair in pairs for path in (pair.first, pair.second)]
    unit_of = units or {path: path for path in ends}
    number_of = splits.connected(
        map(unit_of.__getitem__, ends), ((unit_of[pair.first], unit_of[pair.second]) for pair in pairs)
    )
    sizes = collections.Counter(number_of.get(unit) for unit in unit_of.values())
    seen: set[str] = set()
    found = []
    for pair in pairs:
        together = sizes[number_of[unit_of[pair.first]]] <= LARGEST
        if together or not seen >= {pair.first, pair.second}:
            found.append(dataclasses.replace(pair, together=together))
        seen |= {pair.first, pair.second}
    return found


def joined(pairs: Iterable[Pair]) -> list[tuple[str, str]]:
    """Return the paths of the pairs that a split keeps together."""
    return [(pair.first, pair.second) for pair in pairs if pair.together]


# What is said -----------------------------------------------------------------------------------------------------


def say(samples: Samples, pairs: Sequence[Pair], families: name_families.Families, unit: str) -> None:
    """Print to stderr what was found, a line for each kind.

    Args:
        samples: the samples with their sides.
        pairs: the pairs.
        families: the families by name.
        unit: what one sample is called.
    """
    by_path = {sample.path: sample for sample in samples}
    alike = [pair for pair in pairs if pair.kind == COPY]
    lines = [
        *_about_names(families, unit),
        *_about_copies(alike, by_path, unit),
        *_about_features([pair for pair in pairs if pair.kind == FEATURES], unit),
        *_about_classes(alike, by_path, unit),
        *_about_sides(pairs, by_path, unit),
    ]
    for line in lines:
        print(f"data: {line}", file=sys.stderr)


def _about_names(families: name_families.Families, unit: str) -> Iterator[str]:
    if families.families:
        count, some = sum(map(len, families.families.values())), next(iter(families.families.values()))
        yield (
            f"by their names, {count:,} {unit}s were made of {len(families.families):,} sources, such as "
            f"{_shown(some[1])} and {_shown(some[0])}; those of one source stay on one side"
        )
    if families.too_large:
        first, second = next(iter(families.too_large.values()))[:2]
        yield (
            f"{words.plural(len(families.too_large), 'source')} would have more than {LARGEST} {unit}s by the names, "
            f"such as {_shown(first)} and {_shown(second)}; they are not kept together (--group-pattern)"
        )


def _about_copies(alike: Sequence[Pair], by_path: Mapping[str, sample_list.Sample], unit: str) -> Iterator[str]:
    if kept := [pair for pair in alike if pair.together]:
        yield f"{_count(kept, unit)} show the same picture{_such_as(kept)}; they stay on one side"
    groups = [pair for pair in alike if not pair.together and _groups_differ(pair, by_path)]
    if groups:
        yield f"{_count(groups, unit)} in two groups look the same{_such_as(groups)}; the groups are kept as given"
    if many := [pair for pair in alike if not pair.together and pair not in groups]:
        count = len({path for pair in many for path in (pair.first, pair.second)})
        yield (
            f"{count:,} {unit}s look the same in clusters of more than {LARGEST}, as from a fixed camera"
            f"{_such_as(many)}; they are not kept together (--group-pattern)"
        )


def _about_features(similar: Sequence[Pair], unit: str) -> Iterator[str]:
    if similar:
        kept = [pair for pair in similar if pair.together]
        together = f"{len(kept)} stay on one side" if kept else "--keep-near-duplicates-together keeps them on one side"
        yield f"{_count(similar, unit)} are much alike{_such_as(similar)}; {together}"


def _about_classes(alike: Sequence[Pair], by_path: Mapping[str, sample_list.Sample], unit: str) -> Iterator[str]:
    if mixed := [pair for pair in alike if pair.together and _labels_differ(pair, by_path)]:
        one, other = by_path[mixed[0].first], by_path[mixed[0].second]
        yield (
            f"{_count(mixed, unit)} show the same picture in two classes, such as {words.printable(one.path)} in "
            f"{one.label!r} and {words.printable(other.path)} in {other.label!r}; one of the labels may be wrong"
        )


def _about_sides(pairs: Sequence[Pair], by_path: Mapping[str, sample_list.Sample], unit: str) -> Iterator[str]:
    for kind, told in ((NAME, "come from one source by their names"), (COPY, "look the same")):
        if apart := [pair for pair in pairs if pair.kind == kind and _sides_differ(pair, by_path)]:
            one, other = by_path[apart[0].first], by_path[apart[0].second]
            yield (
                f"{_count(apart, unit)} on two sides {told}, such as {words.printable(one.path)} ({one.split}) and "
                f"{words.printable(other.path)} ({other.split}); remove copies, or give them one group"
            )


def _count(pairs: Sequence[Pair], unit: str) -> str:
    return f"{words.plural(len(pairs), 'pair')} of {unit}s"


def _such_as(pairs: Sequence[Pair]) -> str:
    return f", such as {_shown(pairs[0].first)} and {_shown(pairs[0].second)}"


def _shown(path: str) -> str:
    """Return a file's name with its folder, which is often the class."""
    return words.printable("/".join(pathlib.PurePath(path).parts[-2:]))


def _sides_differ(pair: Pair, by_path: Mapping[str, sample_list.Sample]) -> bool:
    return by_path[pair.first].split != by_path[pair.second].split


def _groups_differ(pair: Pair, by_path: Mapping[str, sample_list.Sample]) -> bool:
    return "" != by_path[pair.first].group != by_path[pair.second].group != ""


def _labels_differ(pair: Pair, by_path: Mapping[str, sample_list.Sample]) -> bool:
    return by_path[pair.first].label != by_path[pair.second].label


# What is kept -----------------------------------------------------------------------------------------------------


def counts(samples: Samples, pairs: Sequence[Pair], families: name_families.Families) -> dict:
    """Return the numbers for results.json: pairs of each kind, those on two sides, and those in two classes."""
    by_path = {sample.path: sample for sample in samples}
    alike = [pair for pair in pairs if pair.kind == COPY]
    return {
        "near_copies": sum(_sides_differ(pair, by_path) for pair in alike),
        "duplicates": {
            "families": len(families.families),
            "in_families": sum(map(len, families.families.values())),
            **{kind: sum(pair.kind == kind for pair in pairs) for kind in (COPY, FEATURES, TEXT)},
            "on_two_sides": sum(_sides_differ(pair, by_path) for pair in pairs),
            "in_two_classes": sum(_labels_differ(pair, by_path) for pair in pairs),
        },
    }


def write(path: pathlib.Path, samples: Samples, pairs: Sequence[Pair]) -> None:
    """Write the pairs to a CSV file, those on two sides first; without pairs no file."""
    if not pairs:
        return
    by_path = {sample.path: sample for sample in samples}
    rows = []
    for pair in sorted(pairs, key=lambda pair: not _sides_differ(pair, by_path)):
        first, second = by_path[pair.first], by_path[pair.second]
        rows.append([pair.kind, pair.similarity, first.path, first.label, first.split, second.path, second.label,
                     second.split, "yes" if pair.together and first.split == second.split else "no"])  # fmt: skip
    files.write_csv(path, COLUMNS, rows)
