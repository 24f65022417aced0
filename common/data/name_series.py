"""Series by name: frames of one video, tiles of one picture and bursts of one camera, such as clip03_frame0012.jpg.

Photos of one series show nearly the same. A split by photo trains on one and tests its neighbour, so that even random
labels seem to be learnt. Names that say so clearly are grouped, as far as enough groups remain; else a line says what
to do.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence

from common import words
from common.data import sample_list

_GAP = r"[ _.\-]*"
# What one photo is, what it is a part of, and what stands before the number in a name that says so by itself.
CLEAR = (
    ("frame", "video", rf"{_GAP}(?:key)?(?:frame|frm){_GAP}(?=\d)"),
    ("photo", "burst", rf"{_GAP}burst{_GAP}(?=\d)"),
    ("tile", "picture", rf"[ _.\-]x{_GAP}(?=\d+[ _.\-]+y{_GAP}\d)"),
    ("tile", "picture", rf"[ _.\-]r(?:ow)?{_GAP}(?=\d+[ _.\-]+c(?:ol)?{_GAP}\d)"),
    ("tile", "picture", rf"[ _.\-](?:tile|patch){_GAP}(?=\d)"),
)  # fmt: skip
LEAST = 10  # photos in series; a few similar names may be chance
FEWEST_UNITS = 5  # series and single photos of a class, without which series are not kept together without being asked
LARGEST_SHARE = 0.2  # of a class in one series; a larger one cannot be dealt out well
# Names that end in a number are series only if the numbers go on evenly, as frames that were taken from a video do.
_NUMBERED = re.compile(r"(?P<source>.*?)[ _.\-]*(?P<number>\d{2,9})", re.DOTALL)
LEAST_IN_NUMBERED, EVENLY = 3, 0.6  # photos of each series, share of its most frequent step
_OF_A_VIDEO = re.compile(
    r"(?:frame|frm|video|vid|clip|movie|film|mvi|scene|seq|sequence|recording|stream)\d*", re.IGNORECASE
)

Samples = Sequence[sample_list.Sample]


@dataclasses.dataclass(frozen=True)
class Series:
    """The series in a data set.

    Attributes:
        part, whole: what one photo is and what it is a part of, such as frame and video.
        source_of: path → the name of its series, for the photos that belong to one.
        example: the name of a photo in a series.
        pattern: the `--group-pattern` that finds these series, "" if the folders name them.
    """

    part: str
    whole: str
    source_of: dict[str, str]
    example: str
    pattern: str

    @property
    def members(self) -> dict[str, list[str]]:
        """Series of at least two photos → their paths."""
        found = collections.defaultdict(list)
        for path, source in self.source_of.items():
            found[source].append(path)
        return {source: paths for source, paths in found.items() if len(paths) > 1}


def with_groups(samples: Samples, title: Callable[[str], str], unit: str) -> list[sample_list.Sample]:
    """Return the samples with series as groups where that is safe, and print what the names say.

    Args:
        samples: the samples; nothing happens if one has a group.
        title: from a path to the name without its ending.
        unit: what one sample is called.
    """
    samples = list(samples)
    if any(sample.group for sample in samples):
        return samples
    found = find(samples, title)
    if not found:
        if told := numbered(samples, title, unit):
            print(f"data: {told}", file=sys.stderr)
        return samples
    count = len(set(found.source_of.values()))  # also those with one photo, since each becomes a group
    told = (
        f"data: the names look like {words.plural(len(found.source_of), found.part)} of "
        f"{words.plural(count, found.whole)}, such as {words.printable(found.example)!r}"
    )
    how = f"--group-pattern '{found.pattern}'" if found.pattern else "a CSV with the columns path,label,group"
    if not _is_safe(samples, found):
        print(f"{told}: keep each {found.whole} together with {how}, or the result is too good", file=sys.stderr)
        return samples
    print(f"{told}: each {found.whole} is kept on one side; other groups can be given with {how}", file=sys.stderr)
    return [dataclasses.replace(sample, group=found.source_of.get(sample.path, "")) for sample in samples]


def find(samples: Samples, title: Callable[[str], str]) -> Series | None:
    """Return the series that the names say clearly, of the kind that most photos belong to; None if there are none.

    Args:
        samples, title: as for `with_groups`.
    """
    names = {sample.path: title(sample.path) for sample in samples}
    label_of = {sample.path: sample.label for sample in samples}
    found = (_of_kind(part, whole, re.compile(mark, re.IGNORECASE), names, label_of) for part, whole, mark in CLEAR)
    series = max(found, key=lambda each: sum(map(len, each.members.values())))
    return series if sum(map(len, series.members.values())) >= LEAST else None


def _of_kind(part: str, whole: str, mark: re.Pattern, names: dict[str, str], label_of: dict[str, str]) -> Series:
    """Return the series of one kind; a word in the name of the class, such as frame, says nothing."""
    source_of: dict[str, str] = {}
    marks: set[str] = set()
    example, in_folders = "", False
    for path, name in names.items():
        match = mark.search(name)
        if not match or re.sub(r"[\W_]+", "", match[0]).lower() in label_of[path].lower():
            continue
        source, folder = name[: match.start()], os.path.dirname(path)
        if not source:  # frame0001.jpg, whose folder may name the video
            if os.path.basename(folder) == label_of[path]:
                continue
            source, in_folders = folder, True
        source_of[path], example = source, example or name
        marks.add(_written(mark, match))
    pattern = ""
    if marks and not in_folders:
        either = marks.pop() if len(marks) == 1 else f"(?i:{mark.pattern})"
        pattern = f"^(.+?){either}\\d"
        if not all(re.search(pattern, name) for name in names.values()):
            pattern = ""  # one that fits all names would make each other photo a group apart from its copies
    return Series(part, whole, source_of, example, pattern)


def _written(mark: re.Pattern, match: re.Match) -> str:
    """Return what stands before the number as a pattern for this spelling alone: `_frame`, `_x(?=\\d+_y\\d)`."""
    ahead = mark.pattern[mark.pattern.index("(?=") :]
    return re.sub(r"\\([-_ ])", r"\1", re.escape(match[0])) + ("" if ahead == r"(?=\d)" else ahead)


def _is_safe(samples: Samples, found: Series) -> bool:
    """Return whether each class can be dealt out to three sides in whole series, and no side is given."""
    if any(sample.split for sample in samples):
        return False
    of_class: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for sample in samples:
        of_class[sample.label][found.source_of.get(sample.path, sample.path)] += 1
    return all(
        len(counts) >= FEWEST_UNITS and max(counts.values()) <= LARGEST_SHARE * counts.total()
        for counts in of_class.values()
    )


# Plain numbers ----------------------------------------------------------------------------------------------------


def numbered(samples: Samples, title: Callable[[str], str], unit: str) -> str:
    """Return what to say on photos that are numbered like frames of several videos, or of one; "" for nothing.

    Args:
        samples, title, unit: as for `with_groups`.
    """
    of_class: dict[str, dict[tuple[str, str], list[tuple[int, str]]]] = {}
    for sample in samples:
        name = title(sample.path)
        match = _NUMBERED.fullmatch(name)
        source, number = (match["source"], int(match["number"])) if match else (name, 0)
        place = os.path.dirname(sample.path)
        if os.path.basename(place) == sample.label:
            place = ""
        of_class.setdefault(sample.label, {}).setdefault((place, source), []).append((number, name))
    several = {label: those for label, those in of_class.items() if _are_series(those)}
    if several:
        total = sum(len(members) for those in several.values() for members in those.values())
        count = len({key for those in several.values() for key in those})
        in_folders = any(place for those in several.values() for place, _ in those)
        how = "a CSV with the columns path,label,group" if in_folders else r"--group-pattern '^(.+?)[ _.-]*\d+$'"
        example = next(iter(next(iter(several.values())).values()))[0][1]
        return (
            f"{words.plural(total, unit)} are numbered in {count} series, such as {words.printable(example)!r}; if "
            f"each series shows one scene, as the frames of a video do, keep it together with {how}"
        )
    for label, those in of_class.items():
        (place, source), members = max(those.items(), key=lambda item: len(item[1]))
        word = re.split(r"[ _.\-]", source)[-1]
        is_video = _OF_A_VIDEO.fullmatch(word) and re.sub(r"\d", "", word).lower() not in label.lower()
        if not place and is_video and len(members) >= LEAST:
            return (
                f"{len(members):,} {unit}s of class '{words.printable(label)}' are named like frames of one video, "
                f"such as {words.printable(members[0][1])!r}; if they are, the result says nothing about other videos, "
                "so collect some from several videos, and give the groups in a CSV"
            )
    return ""


def _are_series(those: dict[tuple[str, str], list[tuple[int, str]]]) -> bool:
    """Return whether most photos of a class are in several series whose numbers go on evenly."""
    if len(those) < 2 or sum(map(len, those.values())) < LEAST_IN_NUMBERED * len(those):
        return False
    even = [members for members in those.values() if len(members) >= 3 and _is_even(members)]
    return len(even) >= 2 and len(even) >= 0.8 * len(those)


def _is_even(members: list[tuple[int, str]]) -> bool:
    numbers = sorted(number for number, _ in members)
    steps = [second - first for first, second in itertools.pairwise(numbers)]
    ((step, count),) = collections.Counter(steps).most_common(1)
    return step > 0 and count >= EVENLY * len(steps)
