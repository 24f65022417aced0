"""Families by name: a file and what was made of it before the run, such as 17.jpg, 17_aug1.jpg and 17_flip.jpg.

Data sets are often augmented on the disk. Then a photo is trained on and its mirrored copy is tested, and even random
labels seem to be learnt. The names tell: they are equal but for a tail or head that says how the copy was made.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

from common.data import sample_list

LARGEST = 20  # members; names that more files share say something else than the source

_GAP = r"[ _.\-]*"
# What says by itself that a file is a copy: 17_aug3, 17 - Copy (2), 17_jpg.rf.0123456789abcdef0123456789abcdef.
_CLEAR = (
    r"(?:_(?:jpe?g|png|bmp|webp|tiff?))?\.rf\.[0-9a-z]{16,}",
    rf"[ _.\-]+(?:aug|augmented|augmentation|copy|kopie|copie|copia){_GAP}(?:\d{{1,4}}|\(\d{{1,3}}\))?",
)
# What also has other meanings (front_flip_2, wheat_crop_7), so the rest of the name must be that of a source.
_MAKING = r"flip(?:ped)?|[hv]flip|mirror(?:ed)?|rot(?:ate|ated|ation)?|crop(?:ped)?"
_UNCLEAR = (rf"[ _.\-]+(?P<word>{_MAKING}){_GAP}\d{{0,4}}", r" ?\(\d{1,3}\)", r"[ _.\-][0-9a-f]{32}")
_HEADS = (
    r"(?:aug|augmented|copy of|kopie von)[ _.\-]+(?:\d{1,4}[ _.\-]+)?",
    rf"(?P<word>{_MAKING}){_GAP}(?:\d{{1,4}})?[ _.\-]+",
)
_CLEAR_TAIL = re.compile(f"(?P<source>.+?)(?:{'|'.join(_CLEAR)})")
_UNCLEAR_TAIL = re.compile(f"(?P<source>.+?)(?:{'|'.join(_UNCLEAR)})")
_CLEAR_HEAD, _UNCLEAR_HEAD = (re.compile(f"{head}(?P<source>.+)") for head in _HEADS)
# Keras saves augmented photos as prefix_number_random; the number is that of the source.
_KERAS = re.compile(r"(?P<source>(?:aug)?_\d+)_\d{1,8}")


@dataclasses.dataclass(frozen=True)
class Families:
    """Families of at least two files of one class.

    Attributes:
        families: group → the paths of a family, that of the source first if it is there.
        too_large: the same for families of more than `LARGEST` files, which are not kept together.
    """

    families: dict[str, list[str]]
    too_large: dict[str, list[str]]


def find(samples: Iterable[sample_list.Sample], title: Callable[[str], str]) -> Families:
    """Find the families among samples without other groups: who gives groups knows what belongs together.

    Args:
        samples: the samples.
        title: from a path to the name without its ending.
    """
    by_class: dict[str, dict[str, sample_list.Sample]] = collections.defaultdict(dict)
    for sample in samples:
        by_class[sample.label][sample.path] = sample
    found: dict[str, list[str]] = {}
    for label, those in by_class.items():
        names = {path: title(path).lower() for path in those}
        there, members = set(names.values()), collections.defaultdict(list)
        for path, name in names.items():
            of = source(name, there, label)
            if those[path].group in ("", f"{label} {of}"):
                members[of].append(path)
        for of, paths in members.items():
            if len(paths) > 1 and any(names[path] != of for path in paths):  # or only the folders differ
                found[f"{label} {of}"] = sorted(paths, key=lambda path: (len(names[path]), path))
    return Families(
        {group: paths for group, paths in found.items() if len(paths) <= LARGEST},
        {group: paths for group, paths in found.items() if len(paths) > LARGEST},
    )


def with_groups(samples: Sequence[sample_list.Sample], found: Families) -> list[sample_list.Sample]:
    """Return the samples with families as groups, but for families on two given sides."""
    side_of = {sample.path: sample.split for sample in samples}
    group_of = {
        path: group
        for group, paths in found.families.items() if len({side_of[path] for path in paths}) == 1
        for path in paths
    }  # fmt: skip
    return [dataclasses.replace(sample, group=group_of.get(sample.path, sample.group)) for sample in samples]


def source(name: str, names: set[str], label: str = "") -> str:
    """Return the name of the file that a file was made of, or its own name.

    Args:
        name: without the ending, in lower case.
        names: all names of the class.
        label: the class; a word in it, such as crop, says nothing about how a file was made.
    """
    if (match := _KERAS.fullmatch(name)) and name.rpartition("_")[2] not in names:
        return match["source"]
    while True:
        before = name
        for pattern in (_CLEAR_TAIL, _CLEAR_HEAD):
            if match := pattern.fullmatch(name):
                name = match["source"]
        for pattern in (_UNCLEAR_TAIL, _UNCLEAR_HEAD):
            match = pattern.fullmatch(name)
            if match and _is_source(match, names, label):
                name = match["source"]
        if name == before:
            return name


def _is_source(match: re.Match, names: set[str], label: str) -> bool:
    """Return whether what is left of a name is a source's: with a digit, or, without a word for it, a file itself.

    Different photos are often called images (1), images (2), and 3_crop_1 may be the first field of crops.
    """
    of, word = match["source"], match["word"]
    has_digit = any(character.isdigit() for character in of)
    if word is None:
        return has_digit and of in names
    return word not in label.lower() and (has_digit or of in names)
