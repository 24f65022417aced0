"""Families by name: a file and what was made of it before the run, such as 17.jpg, 17_aug1.jpg and 17_flip.jpg.

Data sets are often augmented on the disk. Then a photo is trained on and its mirrored copy is tested, and even random
labels seem to be learnt. The names tell: they are equal but for a tail or head that says how the copy was made.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from common.data import sample_list

LARGEST = 20  # members; names that more files share say something else than the source

_GAP = r"[ _.\-]*"
_ENDING = r"(?:jpe?g|png|bmp|webp|tiff?)"
# What says by itself that a file is a copy: 17_aug3, 17 - Copy (2), 17_jpg.rf.0123456789abcdef0123456789abcdef.
_CLEAR = (
    rf"(?:_{_ENDING})?\.rf\.[0-9a-z]{{16,}}",
    rf"[ _.\-]+(?:aug|augmented|augmentation|copy|kopie|copie|copia|コピー|副本){_GAP}(?:\d{{1,4}}|\(\d{{1,3}}\))?",
    r" ?\([^()]*conflicted copy[^()]*\)",  # Dropbox
    r"\.sync-conflict-[0-9a-z\-]+",  # Syncthing
)
# What also has other meanings (front_flip_2, wheat_crop_7), so the rest of the name must be that of a source.
_MAKING = r"flip(?:ped)?|[hv]flip|mirror(?:ed)?|rot(?:ate|ated|ation)?|crop(?:ped)?"
_UNCLEAR = (rf"[ _.\-]+(?P<word>{_MAKING}){_GAP}\d{{0,4}}", r" ?\(\d{1,3}\)", r"[ _.\-][0-9a-f]{32}",
            r" (?:[2-9]|[1-9]\d)")  # fmt: skip
_HEADS = (
    r"(?:aug|augmented|copy of|kopie von|copie de)[ _.\-]+(?:\d{1,4}[ _.\-]+)?",
    rf"(?P<word>{_MAKING}){_GAP}(?:\d{{1,4}})?[ _.\-]+",
)
_CLEAR_TAIL = re.compile(f"(?P<source>.+?)(?:{'|'.join(_CLEAR)})")
_UNCLEAR_TAIL = re.compile(f"(?P<source>.+?)(?:{'|'.join(_UNCLEAR)})")
_CLEAR_HEAD, _UNCLEAR_HEAD = (re.compile(f"{head}(?P<source>.+)") for head in _HEADS)
# Keras saves augmented photos as prefix_number_random; the number is that of the source.
_KERAS = re.compile(r"(?P<source>(?:aug)?_\d+)_\d{1,8}")
# Augmentor saves class_original_name.ending_uuid.
_AUGMENTOR = re.compile(
    rf"(?:.+?_original_)?(?P<source>.+)\.{_ENDING}_[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"
)
# What counts only if the source, or another file that seems to be made of it, is there.
_LIGHT = (
    r"bright(?:ness|er|ened)?|dark(?:er|ened)?|blur(?:red)?|nois[ey]|gr[ae]y(?:scale)?|contrast|sharpened|saturation"
)
_BESIDE_TAIL = re.compile(
    r"(?P<source>.+?)(?:"
    rf"[ _.\-](?P<word>{_LIGHT}|hdr|edit(?:ed)?|bearbeitet|enhanced(?:-nr)?|scaled|resized|thumb(?:nail)?)"
    r"(?:_?\d{1,2})?"
    r"|(?P<clear>[_\-]\d{2,4}x\d{2,4}|(?:\.[a-z]+)?(?:-\d\d)?\.(?:cover|original))"  # WordPress, Pixel phones
    r"|~\d{1,2}|@[1-4]x|[ _\-]v\d{1,2})"
)
_BESIDE_HEAD = re.compile(
    rf"(?:(?P<word>{_LIGHT}|thumb)[_\-](?P<named>.+)"
    r"|(?=\d*[a-f])[0-9a-f]{8}-(?P<uploaded>.+)"  # Label Studio; digits alone are a date
    r"|(?:aug|augmented)_(?P<numbered>.*[a-z_].*\d{3})_\d{1,2})"
)
_EDITED_ON_PHONE = re.compile(r"img_e(\d+)")


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
        shared = _shared(there)
        for path, name in names.items():
            of = source(name, there, label, shared)
            if those[path].group in ("", f"{label} {of}"):
                members[of].append(path)
        for of, paths in members.items():
            places = collections.Counter((os.path.dirname(path), title(path)) for path in paths)
            # Or only the folders differ; two forms in one folder, such as 1.tif and 1.jpg, are a family.
            if len(paths) > 1 and (any(names[path] != of for path in paths) or len(places) == 1):
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


def source(name: str, names: set[str], label: str = "", shared: Collection[str] | None = None) -> str:
    """Return the name of the file that a file was made of, or its own name.

    Args:
        name: without the ending, in lower case.
        names: all names of the class.
        label: the class; a word in it, such as crop, says nothing about how a file was made.
        shared: the sources that several of the names may have; default: they are found in `names`.
    """
    shared = _shared(names) if shared is None else shared
    if (match := _EDITED_ON_PHONE.fullmatch(name)) and f"img_{match[1]}" in names:
        return f"img_{match[1]}"
    if match := _AUGMENTOR.fullmatch(name):
        name = match["source"]
    if (match := _KERAS.fullmatch(name)) and name.rpartition("_")[2] not in names:
        return match["source"]
    while True:
        before = name
        for of, word, clear in _beside(name):
            digit = clear or any(map(str.isdigit, of))
            if not (word and word in label.lower()) and (of in names or (digit and of in shared)):
                name = of
                break
        for pattern in (_CLEAR_TAIL, _CLEAR_HEAD):
            if match := pattern.fullmatch(name):
                name = match["source"]
        for pattern in (_UNCLEAR_TAIL, _UNCLEAR_HEAD):
            match = pattern.fullmatch(name)
            if match and _is_source(match, names, label):
                name = match["source"]
        if name == before:
            return name


def _beside(name: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the sources that a name may have by a tail or head, the word for it, and whether it says enough alone."""
    if match := _BESIDE_TAIL.fullmatch(name):
        yield match["source"], match["word"] or "", bool(match["clear"])
    if match := _BESIDE_HEAD.fullmatch(name):
        yield match["named"] or match["uploaded"] or match["numbered"], match["word"] or "", False


def _shared(names: Iterable[str]) -> set[str]:
    """Return what several names may be made of. A number alone after a head, as in dark_1 and blur_1, is not."""
    found = collections.Counter(
        of for name in names for of in {of for of, *_ in _beside(name)} if not (of.isdigit() and name.endswith(of))
    )
    return {of for of, count in found.items() if count > 1}


def _is_source(match: re.Match, names: set[str], label: str) -> bool:
    """Return whether what is left of a name is a source's: with a digit, or, without a word for it, a file itself.

    Different photos are often called images (1), images (2), and 3_crop_1 may be the first field of crops.
    """
    of, word = match["source"], match["word"]
    has_digit = any(character.isdigit() for character in of)
    if word is None:
        return has_digit and of in names
    return word not in label.lower() and (has_digit or of in names)
