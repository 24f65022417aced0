"""Reading labelled clips and their groups.

Clips that were cut from one video, or that show the same people in the same place, are a group. A group must not be
divided, because a network that has seen one of its clips knows the others. Data sets of clips name the group in the
file names (`v_Punch_g01_c02.avi`: clip 2 of group 1), so the groups are read from there.
"""

import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Sequence

from common import errors
from common.data import group_pattern as patterns
from common.data import listings, sample_list, sources, tables
from common.demo import drawn_clips
from common.media import clips

UCF101_PATTERN = r"_(g\d+)_c\d+"  # v_Punch_g01_c02
UT_INTERACTION_PATTERN = r"(set\d+_seq\d+)_"  # set1_seq03_13_3_2
DEFAULT_PATTERNS = (UCF101_PATTERN, UT_INTERACTION_PATTERN)
OFFICIAL_SPLITS = (1, 2, 3)
LISTS_FOLDER = "splits"
CSV_INSTEAD = ", or a CSV with the columns path,label,group"


def load(
    source: str,
    cache_directory: pathlib.Path,
    group_pattern: str | None = None,
    official_split: int | None = None,
    skip_unsupported: bool = False,
) -> list[sample_list.Sample]:
    """Return the clips of `--data` with their groups, without opening them.

    A clip is a video file or a folder of photos (its frames), at any depth below a class folder.

    Args:
        source: `demo`, a folder of class folders (also inside train/validation/test folders), a CSV file with the
            columns `path,label[,group][,split]`, or a folder with such a table (`listings.in_folder`).
        cache_directory: the folder for the demo's drawn clips.
        group_pattern: the `pattern` of `with_groups`; not allowed for a CSV that has groups.
        official_split: 1, 2 or 3, the number of UCF101's lists that give the sides, see `with_official_split`; only for
            a folder.
        skip_unsupported: as for `sources.read_folder`.

    Raises:
        UserError: nothing usable at `--data`, or `group_pattern` or `official_split` does not fit it.
    """
    if official_split is not None and official_split not in OFFICIAL_SPLITS:
        raise errors.UserError(f"--official-split {official_split}: must be 1, 2 or 3")
    path = pathlib.Path(source).expanduser()
    if source != "demo" and path.is_dir():
        samples = listings.in_folder(path, clips.Clips()) or read_folder(path, skip_unsupported)
        if official_split is not None:
            samples = with_official_split(samples, path, official_split)
        return _with_missing_groups(samples, source, group_pattern)
    if official_split is not None and (source == "demo" or path.exists()):
        raise errors.UserError(
            f"--official-split {official_split}: works only with a folder of UCF101's clips, as data/ucf101/prepare.py "
            f"makes it, not with --data {source}"
        )
    if source == "demo":
        folder = sources.drawn_folder(cache_directory / "demo_clips", drawn_clips, drawn_clips.write_clips)
        # g03 is the same person in every class, unlike in UCF101.
        return with_groups(read_folder(folder), UCF101_PATTERN if group_pattern is None else group_pattern)
    if path.is_file() and path.suffix.lower() in tables.ENDINGS:
        return _with_missing_groups(listings.read(path, clips.Clips()), source, group_pattern)
    if path.exists():
        raise errors.UserError(f"--data {source}: neither a folder nor a .csv file")
    raise errors.UserError(
        f"--data {source}: no such file or folder; give a folder of class folders with clips, a CSV or demo"
    )


# Folders ------------------------------------------------------------------------------------------------------


def read_folder(
    folder: pathlib.Path, skip_unsupported: bool = False, least_classes: int = 2
) -> list[sample_list.Sample]:
    """Return the clips in `folder/<class>/…`, or in `folder/<train|validation|test>/<class>/…`.

    UCF101's lists may be in `folder` or in `folder/splits`. The other arguments are those of `sources.read_folder`.

    Raises:
        UserError: too few classes, or a class folder that `clips.find_clips` refuses.
    """
    lists = {path.name for path in folder.glob("t*list0*.txt")}
    lists |= {LISTS_FOLDER} if any((folder / LISTS_FOLDER).glob("trainlist*.txt")) else set()
    return sources.read_folder(folder, clips.CLIPS, lists, skip_unsupported, least_classes)


# Groups -------------------------------------------------------------------------------------------------------


def with_groups(samples: Sequence[sample_list.Sample], pattern: str | None = None) -> list[sample_list.Sample]:
    """Assign each clip the group in its name.

    The pattern is searched in the file's name without its extension, or in the name of the folder of frames.
    The group is what the pattern's one pair of parentheses captures, or the whole match without parentheses. Two cases:

    - Clips of *all classes* with the same match are one group: `set1_seq03_13_3_2` → `set1_seq03`, because a sequence
      of UT-Interaction shows several actions. This is the rule for every given pattern.
    - Without a pattern and with the names of UCF101, a group is a *class* together with its match:
      `v_Punch_g01_c02` → `Punch g01`, because UCF101 numbers each class separately: g01 of another class is another
      video.

    If `g01` is the same person in every class, as in the demo, give the pattern `_(g\\d+)_c\\d+` explicitly.

    Args:
        samples: clips without groups.
        pattern: a regular expression; default: the one of `DEFAULT_PATTERNS` that finds most groups. If neither finds
            any, the groups stay "" and a message is printed to stderr.

    Raises:
        UserError: the pattern is not valid, finds a group in some names only, or, if it is given, in no name.
    """
    if pattern is not None:
        found = patterns.with_groups(samples, pattern, clips.Clips().title, "clip", CSV_INSTEAD)
        patterns.say(found, "clip")
        return found
    names = [clips.Clips().title(sample.path) for sample in samples]
    matches = {tried: patterns.groups(names, re.compile(tried)) for tried in DEFAULT_PATTERNS}
    chosen, groups = max(matches.items(), key=lambda match: sum(map(bool, match[1])))
    without = [name for name, group in zip(names, groups, strict=True) if not group]
    if not any(groups):
        print(
            f"data: the names of the clips, such as {without[0]!r}, contain no group, so it is unknown which clips "
            "belong together. Each clip is split on its own; the result is too good if related clips are on two sides. "
            "Give the groups with --group-pattern or in a CSV with a column group",
            file=sys.stderr,
        )
        return list(samples)
    if without:
        raise errors.UserError(
            f"the pattern '{chosen}' finds no group in {len(without)} of the {len(samples)} clips' names, such as "
            f"{without[0]!r}; give a --group-pattern that fits all names{CSV_INSTEAD}"
        )
    if chosen == UCF101_PATTERN:
        groups = [f"{sample.label} {group}" for sample, group in zip(samples, groups, strict=True)]
    return [dataclasses.replace(sample, group=group) for sample, group in zip(samples, groups, strict=True)]


def _with_missing_groups(
    samples: list[sample_list.Sample], source: str, pattern: str | None
) -> list[sample_list.Sample]:
    """Return the samples with groups from their names, unless the CSV gives some."""
    if not any(sample.group for sample in samples):
        return with_groups(samples, pattern)
    if pattern is not None:
        raise errors.UserError(
            f"--group-pattern '{pattern}': --data {source} already has groups; remove the option or the column group"
        )
    return samples


# UCF101's official splits -------------------------------------------------------------------------------------


def with_official_split(
    samples: Sequence[sample_list.Sample], folder: pathlib.Path, number: int
) -> list[sample_list.Sample]:
    """Assign each clip the side, train or test, that UCF101's lists give it.

    `trainlist0N.txt` and `testlist0N.txt` (`Punch/v_Punch_g08_c01.avi 70` on a line, in the second without the number)
    are searched in `folder/../splits`, `folder/splits` and `folder`. Listed clips of classes that are not in `folder`
    are ignored. There is no validation side; `splits.split` takes it from train, in whole groups.

    Args:
        samples: the clips in `folder`.
        folder: the class folders; a clip may also be a folder of frames with the file's name without its extension.
        number: 1, 2 or 3.

    Raises:
        UserError: the lists do not exist, lists and clips do not match, or `folder` already gives sides.
    """
    option = f"--official-split {number}"
    if any(sample.split for sample in samples):
        raise errors.UserError(f"{option}: {folder} already has train and test folders; remove the option")
    folder = pathlib.Path(os.path.abspath(folder))
    lists, sides = _read_lists(folder, number)
    keys = [_key(os.path.relpath(sample.path, folder)) for sample in samples]
    strays = [sample.path for sample, key in zip(samples, keys, strict=True) if key not in sides]
    if strays:
        raise errors.UserError(
            f"{option}: the lists in {lists} do not contain {len(strays)} of the {len(samples)} clips, such as "
            f"{strays[0]}; remove them, or prepare clips and lists together with data/ucf101/prepare.py"
        )
    classes = {key.partition("/")[0] for key in keys}
    expected = [key for key in sides if key.partition("/")[0] in classes]
    missing = sorted(set(expected) - set(keys))
    if missing:
        raise errors.UserError(
            f"{option}: {len(missing)} of the {len(expected)} clips that the lists in {lists} contain for these "
            f"classes are not in {folder}, such as {sides[missing[0]][1]}; add them, or prepare clips and lists "
            "together with data/ucf101/prepare.py"
        )
    return [dataclasses.replace(sample, split=sides[key][0]) for sample, key in zip(samples, keys, strict=True)]


def _read_lists(folder: pathlib.Path, number: int) -> tuple[pathlib.Path, dict[str, tuple[str, str]]]:
    """Return the folder of the lists, and key of a clip → its side and its name in the list."""
    names = {side: f"{side}list{number:02d}.txt" for side in ("train", "test")}
    places = (folder.parent / LISTS_FOLDER, folder / LISTS_FOLDER, folder)
    place = next((place for place in places if all((place / name).is_file() for name in names.values())), None)
    if place is None:
        raise errors.UserError(
            f"--official-split {number}: {' and '.join(names.values())} are in none of {', '.join(map(str, places))}; "
            "create them with data/ucf101/prepare.py"
        )
    sides: dict[str, tuple[str, str]] = {}
    for side, name in names.items():
        lines = (place / name).read_text(encoding="utf-8-sig", errors="replace").splitlines()
        for clip in (re.sub(r"\s+\d+$", "", line.strip()) for line in lines if line.strip()):
            if sides.setdefault(_key(clip), (side, clip))[0] != side:
                raise errors.UserError(
                    f"--official-split {number}: both lists in {place} contain {clip}; create correct lists with "
                    "data/ucf101/prepare.py"
                )
    return place, sides


def _key(clip: str) -> str:
    """Return the key of a clip in lower case: copies of UCF101 write HandstandPushups or HandStandPushups."""
    return clips.without_ending(pathlib.PurePath(clip)).as_posix().lower()
