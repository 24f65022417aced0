"""Where labelled clips come from, and which of them belong together.

Clips that were cut from one video, or that show the same people in the same place, are a group and must not be
divided: a network that has seen one of them knows the others. Data sets of clips say so in the names of their files
(`v_Punch_g01_c02.avi`: clip 2 of group 1), and that is where the groups are read from.
"""

import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Sequence

from common import errors
from common.data import sample_list, sources
from common.demo import drawn_clips
from common.media import clips

UCF101_PATTERN = r"_(g\d+)_c\d+"  # v_Punch_g01_c02
UT_INTERACTION_PATTERN = r"(set\d+_seq\d+)_"  # set1_seq03_13_3_2
DEFAULT_PATTERNS = (UCF101_PATTERN, UT_INTERACTION_PATTERN)
OFFICIAL_SPLITS = (1, 2, 3)
LISTS_FOLDER = "splits"


def load(
    source: str,
    cache_directory: pathlib.Path,
    group_pattern: str | None = None,
    official_split: int | None = None,
) -> list[sample_list.Sample]:
    """The clips behind `--data`, not yet opened, with their groups.

    A clip is a video file, or a folder of photos, its frames; both at any depth below a class folder.

    Args:
        source: `demo`, a folder of class folders (also inside train/validation/test folders), or a CSV file with the
            columns `path,label[,group][,split]`.
        cache_directory: where the demo's drawn clips are put.
        group_pattern: as `pattern` of `with_groups`; not together with a CSV that has groups.
        official_split: 1, 2 or 3: the sides that UCF101's lists of this number give, see `with_official_split`; only
            for a folder.

    Raises:
        UserError: nothing usable at `--data`, or one of the other two does not fit it.
    """
    if official_split is not None and official_split not in OFFICIAL_SPLITS:
        raise errors.UserError(f"--official-split {official_split}: must be 1, 2 or 3")
    path = pathlib.Path(source).expanduser()
    if source != "demo" and path.is_dir():
        samples = read_folder(path)
        if official_split is not None:
            samples = with_official_split(samples, path, official_split)
        return with_groups(samples, group_pattern)
    if official_split is not None and (source == "demo" or path.exists()):
        raise errors.UserError(
            f"--official-split {official_split}: only for a folder of UCF101's clips, as data/ucf101/prepare.py makes "
            f"it, not for --data {source}"
        )
    if source == "demo":
        folder = sources.drawn_folder(cache_directory / "demo_clips", drawn_clips, drawn_clips.write_clips)
        # g03 is the same person in every class, unlike in UCF101.
        return with_groups(read_folder(folder), UCF101_PATTERN if group_pattern is None else group_pattern)
    if path.is_file() and path.suffix.lower() == ".csv":
        return _with_missing_groups(sample_list.read_csv(path), source, group_pattern)
    if path.exists():
        raise errors.UserError(f"--data {source}: neither a folder nor a .csv file")
    raise errors.UserError(
        f"--data {source}: no such file or folder; give a folder of class folders with clips, a CSV or demo"
    )


# Folders ------------------------------------------------------------------------------------------------------


def read_folder(folder: pathlib.Path) -> list[sample_list.Sample]:
    """Clips in `folder/<class>/…`, or in `folder/<train|validation|test>/<class>/…`.

    UCF101's lists may lie in `folder/splits`.

    Raises:
        UserError: fewer than two classes, or a class folder that `clips.find_clips` refuses.
    """
    lists = any((folder / LISTS_FOLDER).glob("trainlist*.txt"))
    return sources.read_folder(folder, clips.Clips(), ignored={LISTS_FOLDER} if lists else ())


# Groups -------------------------------------------------------------------------------------------------------


def with_groups(samples: Sequence[sample_list.Sample], pattern: str | None = None) -> list[sample_list.Sample]:
    """Gives each clip the group that its name says.

    A pattern is looked for anywhere in the file's name without its ending, or in the name of the folder of frames.
    The group is what the pattern's one pair of parentheses captures, or all that it matches if it has none. Two cases:

    - Clips of *all classes* with the same match are one group: `set1_seq03_13_3_2` → `set1_seq03`, because a sequence
      of UT-Interaction shows several actions. So it is with every pattern that is given.
    - Only where no pattern is given and the names are those of UCF101, a group is a *class* together with its match:
      `v_Punch_g01_c02` → `Punch g01`, because UCF101 counts anew in each class: another g01 is another video.

    Where `g01` is the same person in every class, as in the demo, give the pattern `_(g\\d+)_c\\d+` itself.

    Args:
        samples: clips without groups.
        pattern: a regular expression; by default the one of `DEFAULT_PATTERNS` that finds most groups. If none finds
            any, the groups stay "", which is said on stderr.

    Raises:
        UserError: the pattern is none, or it finds a group in some names only, or, if it is given, in no name.
    """
    patterns = DEFAULT_PATTERNS if pattern is None else (pattern,)
    matches = {tried: _groups(samples, _compiled(tried)) for tried in patterns}
    chosen, groups = max(matches.items(), key=lambda match: sum(map(bool, match[1])))
    without = [_name(sample.path) for sample, group in zip(samples, groups, strict=True) if not group]
    if pattern is None and not any(groups):
        print(
            f"data: the names of the clips, such as {without[0]!r}, say no group, so nobody knows which belong "
            "together: each is dealt out by itself, and the result is too good where sister clips are parted; "
            "--group-pattern or a CSV with a column group can say it",
            file=sys.stderr,
        )
        return list(samples)
    if without:
        what = f"the pattern '{chosen}'" if pattern is None else f"--group-pattern '{chosen}'"
        raise errors.UserError(
            f"{what} finds no group in {len(without)} of the {len(samples)} clips' names, such as {without[0]!r}; give "
            "a --group-pattern that fits all names, or a CSV with the columns path,label,group"
        )
    if pattern is None and chosen == UCF101_PATTERN:
        groups = [f"{sample.label} {group}" for sample, group in zip(samples, groups, strict=True)]
    return [dataclasses.replace(sample, group=group) for sample, group in zip(samples, groups, strict=True)]


def _with_missing_groups(samples, source: str, pattern: str | None) -> list[sample_list.Sample]:
    """Groups from the names, unless the CSV gives some."""
    if not any(sample.group for sample in samples):
        return with_groups(samples, pattern)
    if pattern is not None:
        raise errors.UserError(
            f"--group-pattern '{pattern}': --data {source} gives groups already; leave the option out, or remove the "
            "column group"
        )
    return samples


def _compiled(pattern: str) -> re.Pattern:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise errors.UserError(
            f"--group-pattern '{pattern}': no regular expression ({error}); give one such as '{UCF101_PATTERN}'"
        ) from error
    if compiled.groups > 1:
        raise errors.UserError(
            f"--group-pattern '{pattern}': has {compiled.groups} pairs of parentheses, and one must say what the group "
            "is; write the others as (?:…)"
        )
    return compiled


def _groups(samples, pattern: re.Pattern) -> list[str]:
    """What the pattern captures in each name, or matches if it captures nothing; "" where it is not found."""
    matches = [pattern.search(_name(sample.path)) for sample in samples]
    return [(match[pattern.groups] or "") if match else "" for match in matches]


def _name(path: str) -> str:
    return clips.without_ending(pathlib.Path(path)).name


# UCF101's official splits -------------------------------------------------------------------------------------


def with_official_split(
    samples: Sequence[sample_list.Sample], folder: pathlib.Path, number: int
) -> list[sample_list.Sample]:
    """Puts each clip on the side, train or test, that UCF101's lists give it.

    `trainlist0N.txt` and `testlist0N.txt` (`Punch/v_Punch_g08_c01.avi 70` on a line, in the second without the number)
    are looked for in `folder/../splits`, `folder/splits` and `folder`. Of what they list, only the classes that are
    there are asked for. There is no validation side; `splits.split` takes it out of train, in whole groups.

    Args:
        samples: the clips in `folder`.
        folder: the class folders; a clip there may also be a folder of frames, named like the file without its ending.
        number: 1, 2 or 3.

    Raises:
        UserError: there are no such lists, they and the clips do not fit together, or `folder` gives sides itself.
    """
    option = f"--official-split {number}"
    if any(sample.split for sample in samples):
        raise errors.UserError(f"{option}: {folder} has train and test folders already; leave the option out")
    folder = pathlib.Path(os.path.abspath(folder))
    lists, sides = _read_lists(folder, number)
    keys = [_key(os.path.relpath(sample.path, folder)) for sample in samples]
    strays = [sample.path for sample, key in zip(samples, keys, strict=True) if key not in sides]
    if strays:
        raise errors.UserError(
            f"{option}: the lists in {lists} do not name {len(strays)} of the {len(samples)} clips, such as "
            f"{strays[0]}; remove them, or lay clips and lists out together with data/ucf101/prepare.py"
        )
    classes = {key.partition("/")[0] for key in keys}
    expected = [key for key in sides if key.partition("/")[0] in classes]
    missing = sorted(set(expected) - set(keys))
    if missing:
        raise errors.UserError(
            f"{option}: {len(missing)} of the {len(expected)} clips that the lists in {lists} name for these classes "
            f"are not in {folder}, such as {sides[missing[0]][1]}; add them, or lay clips and lists out together with "
            "data/ucf101/prepare.py"
        )
    return [dataclasses.replace(sample, split=sides[key][0]) for sample, key in zip(samples, keys, strict=True)]


def _read_lists(folder: pathlib.Path, number: int) -> tuple[pathlib.Path, dict[str, tuple[str, str]]]:
    """Where the lists are, and key of a clip → its side and how the list writes it."""
    names = {side: f"{side}list{number:02d}.txt" for side in ("train", "test")}
    places = (folder.parent / LISTS_FOLDER, folder / LISTS_FOLDER, folder)
    place = next((place for place in places if all((place / name).is_file() for name in names.values())), None)
    if place is None:
        raise errors.UserError(
            f"--official-split {number}: {' and '.join(names.values())} are in none of {', '.join(map(str, places))}; "
            "data/ucf101/prepare.py makes them"
        )
    sides: dict[str, tuple[str, str]] = {}
    for side, name in names.items():
        lines = (place / name).read_text(encoding="utf-8-sig", errors="replace").splitlines()
        for clip in (re.sub(r"\s+\d+$", "", line.strip()) for line in lines if line.strip()):
            if sides.setdefault(_key(clip), (side, clip))[0] != side:
                raise errors.UserError(
                    f"--official-split {number}: both lists in {place} name {clip}; data/ucf101/prepare.py makes them "
                    "as they should be"
                )
    return place, sides


def _key(clip: str) -> str:
    """What a clip is found by: some copies of UCF101 write HandstandPushups, others HandStandPushups."""
    return clips.without_ending(pathlib.PurePath(clip)).as_posix().lower()
