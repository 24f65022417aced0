"""Photos with boxes: from a folder of photos and annotations to samples, with every fault told by its file.

A sample's `about` has the width and the height of the photo and its boxes as JSON; its label lists its classes.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from common import errors, files, words
from common.data import box_formats as formats
from common.data import file_checks, group_pattern, name_series, names, sample_list, sources, tables
from common.demo import drawn_scenes
from common.media import folders
from common.media import medium as media

PHOTO_FOLDERS = ("photos", "images", "jpegimages", "pngimages", "img", "imgs")  # then masks beside them are no photos
ANNOTATION_FOLDERS = ("annotations", "labels", "annotation", "label", "xml")
NOT_BOXES = ("classes.txt", "obj.names", "data.yaml")
LISTING = "groups.csv"
NOTHING = "nothing"  # the label of a photo without boxes
# Edges up to this many pixels outside of the photo are rounding, and are clipped.
TOLERANCE = 2.0
NAMED = 3


@dataclasses.dataclass
class Found:
    """What a folder holds.

    Attributes:
        samples: the photos whose boxes are sound.
        problems: the photos and annotations that cannot be used.
    """

    samples: list[sample_list.Sample]
    problems: list[file_checks.Problem]


def boxes_of(sample: sample_list.Sample) -> list[formats.Box]:
    """Return the boxes of a sample, by their edges in pixels of the photo."""
    return [formats.Box(*each) for each in json.loads(sample.about["boxes"])]


def size_of(sample: sample_list.Sample) -> tuple[int, int]:
    """Return the width and the height of a sample's photo in pixels."""
    return int(sample.about["width"]), int(sample.about["height"])


def sample_of(path: str, size: tuple[int, int], boxes: Sequence[formats.Box], **further: Any) -> sample_list.Sample:
    """Return a photo with boxes as a sample."""
    about = {"width": str(size[0]), "height": str(size[1]), "boxes": json.dumps([
        [box.label, *(round(edge, 2) for edge in box.edges)] for box in boxes
    ])}  # fmt: skip
    label = "+".join(sorted({box.label for box in boxes})) or NOTHING
    return sample_list.Sample(path, label, about=about, **further)


# Reading ---------------------------------------------------------------------------------------------------------


def read(config: Any, medium: media.Medium) -> Found:
    """Read a folder of photos with annotations of any of the formats, and check each box against its photo.

    A photo belongs to the annotation that names it, or that has the same file name.

    Args:
        config: `data` is the folder; in it, folders such as `photos` and `annotations`, or both kinds of files
            together; `demo` is drawn. Further, `classes` to keep, `one_class` for all boxes, a `listing` of groups or
            sides, `group_pattern`, `same_names`, `cache_directory` and `no_cache`.
        medium: the medium of the photos.

    Raises:
        UserError: there are no photos or no annotations, or a class to keep is not there.
    """
    source = config.data
    if source == "demo":
        folder = sources.drawn_folder(config.cache_directory / "scenes", drawn_scenes, drawn_scenes.write_photos)
    else:
        folder = files.absolute(pathlib.Path(source).expanduser())
    if not folder.is_dir():
        raise errors.UserError(f"--data {source}: no such folder; give a folder of photos and their annotations")
    paths, others = _files_of(folder, medium)
    if not paths:
        raise errors.UserError(f"--data {source}: no {medium.unit}s in it; give {medium.unit}s and their annotations")
    places = _Places(folder, paths)
    listed, problems = _annotations(folder, others, places)
    if not listed and not problems:
        raise errors.UserError(
            f"--data {source}: no annotations beside the {len(paths)} {medium.unit}s; they may be XML of Pascal VOC, "
            "text of PASCAL 1.00 or YOLO, or JSON of COCO"
        )
    by_photo, more = _paired(listed, places)
    problems += more
    facts = file_checks.scan(by_photo, medium, None if config.no_cache else config.cache_directory)
    bad = {problem.path for problem in problems}
    for path in paths:
        if path not in by_photo and path not in bad:
            problems.append(file_checks.Problem(path, "", "no annotation: none names it; remove it, or annotate it"))
    from_one = _counts_from_one(listed)
    samples, outcome = [], collections.Counter[str]()
    for path, annotation in by_photo.items():
        size = facts[path].width, facts[path].height
        reason = facts[path].problem or _other_size(annotation, size)
        boxes, fault = ([], "") if reason else _checked(annotation, size, from_one, outcome)
        if reason or fault:
            told = reason or f"{_named(annotation.file, folder)}: {fault}"
            problems.append(file_checks.Problem(path, "", told))
        elif path not in bad:
            outcome["crowds"] += annotation.crowds
            samples.append(sample_of(path, size, boxes))
    _say(outcome)
    samples = _with_classes(samples, config)
    samples = _listed_groups(samples, folder, places, config)
    if config.group_pattern is not None:
        samples = group_pattern.with_groups(samples, config.group_pattern, medium.title, medium.unit)
        group_pattern.say(samples, medium.unit)
    else:
        samples = _with_series(samples, medium)
    return Found(samples, sorted(problems, key=lambda problem: problem.path))


class _Places:
    """Where the photos are: by their path, by their name with and without its ending, and by where annotations lie."""

    def __init__(self, folder: pathlib.Path, paths: Iterable[str]) -> None:
        self.folder = folder
        self.by_path: dict[str, str] = {}
        self.by_key: dict[str, set[str]] = collections.defaultdict(set)
        self.by_place: dict[str, set[str]] = collections.defaultdict(set)
        for path in paths:
            pure = pathlib.PurePath(path)
            self.by_path[pure.relative_to(folder).as_posix()] = path
            for key in {pure.name, pure.stem}:
                self.by_key[key].add(path)
            self.by_place[self._place(pure)].add(path)

    def beside(self, annotation: pathlib.Path) -> str | None:
        """Return the photo of an annotation file: images/train/1.jpg of labels/train/1.txt, or one of the same name."""
        if len(found := self.by_place.get(self._place(annotation), set())) == 1:
            return next(iter(found))
        return self.find(annotation.stem)

    def _place(self, path: pathlib.PurePath) -> str:
        """Return a path without its ending and without the folders that only tell photos from annotations."""
        *above, _ = path.relative_to(self.folder).parts
        kinds = (*PHOTO_FOLDERS, *ANNOTATION_FOLDERS)
        return "/".join([*(part for part in above if part.lower() not in kinds), path.stem])

    def whole(self, name: str) -> str | None:
        """Return the photo with this path in the folder; None if there is none."""
        return self.by_path.get(pathlib.PurePosixPath(name.replace("\\", "/")).as_posix())

    def find(self, name: str) -> str | None:
        """Return the photo with a name, perhaps with folders in front of it; None if none or several have it."""
        if whole := self.whole(name):
            return whole
        pure = pathlib.PurePosixPath(name.replace("\\", "/"))
        for key in (pure.name, pure.stem):
            if len(found := self.by_key.get(key, set())) == 1:
                return next(iter(found))
        return None


def _files_of(folder: pathlib.Path, medium: media.Medium) -> tuple[list[str], list[pathlib.Path]]:
    """Return the photos, only those in folders named for photos if there are some, and the other files."""
    walk = folders.Walk(folder)
    items, others = medium.sorted_out(folder, walk)
    inside = [path for path in items if _is_below(path, folder, PHOTO_FOLDERS)]
    if inside and len(inside) < len(items):
        rest = len(items) - len(inside)
        print(f"data: {words.plural(rest, 'picture')} outside of {inside[0].parent.name}/ left alone", file=sys.stderr)
    return [str(path) for path in inside or items], others


def _is_below(path: pathlib.Path, folder: pathlib.Path, of_names: Collection[str]) -> bool:
    return any(part.lower() in of_names for part in path.relative_to(folder).parts[:-1])


def _annotations(
    folder: pathlib.Path, others: Sequence[pathlib.Path], places: _Places
) -> tuple[list[formats.Annotation], list[file_checks.Problem]]:
    """Return what the annotation files say, and those that cannot be read."""
    found: list[formats.Annotation] = []
    problems, left_alone = [], []
    try:
        class_names = formats.yolo_names(folder)
    except formats.FormatError as error:
        raise errors.UserError(f"--data {folder}: the list of class names {error}") from error
    numbered = False
    for path in others:
        kind = path.suffix.lower()
        is_meant = places.beside(path) is not None or _is_below(path, folder, ANNOTATION_FOLDERS)
        if path.name in NOT_BOXES or kind not in (".xml", ".txt", ".json"):
            continue
        try:
            if kind == ".xml":
                found.append(formats.voc(path))
            elif kind == ".json":
                several, faults = formats.coco(path)
                found += several
                problems += [
                    file_checks.Problem(
                        places.find(photo) or str(path) if photo else str(path), "", f"{_named(path, folder)}: {fault}"
                    )
                    for photo, fault in faults
                ]
            elif _is_pascal(path):
                found.append(formats.pascal(path))
            elif is_meant:
                found.append(formats.yolo(path, class_names))
                numbered |= not class_names and bool(found[-1].boxes)
            else:
                left_alone.append(path.name)
        except formats.FormatError as error:
            if kind == ".json" and "not an annotation" in str(error) and not is_meant:
                left_alone.append(path.name)
            else:
                problems.append(file_checks.Problem(places.beside(path) or str(path), "",
                                                    f"{_named(path, folder)}: {error}"))  # fmt: skip
    if numbered:
        print("data: no classes.txt, obj.names or data.yaml, so the classes have numbers as names", file=sys.stderr)
    if left_alone:
        some = ", ".join(map(words.printable, left_alone[:NAMED]))
        print(f"data: {words.plural(len(left_alone), 'file')} without boxes left alone: {some}", file=sys.stderr)
    return found, problems


def _is_pascal(path: pathlib.Path) -> bool:
    try:
        with open(path, "rb") as file:
            return formats.PASCAL.encode() in file.read(200)
    except OSError:
        return False


def _named(path: pathlib.Path, folder: pathlib.Path) -> str:
    return words.printable(path.relative_to(folder).as_posix())


def _paired(
    listed: Sequence[formats.Annotation], places: _Places
) -> tuple[dict[str, formats.Annotation], list[file_checks.Problem]]:
    """Return photo → its annotation, and the annotations that have no photo or share one.

    The file's own name counts first: tools copy the photo's name from an earlier file, or give all the same.
    """
    by_photo: dict[str, formats.Annotation] = {}
    problems = []
    several: dict[str, list[str]] = {}
    for annotation in listed:
        own = places.beside(annotation.file) if annotation.file.suffix.lower() != ".json" else None
        path = own or (places.find(annotation.photo) if annotation.photo else None)
        if path is None:
            named = words.printable(annotation.photo or annotation.file.stem)
            told = f"no photo: it annotates {named}, which is not there"
            problems.append(file_checks.Problem(str(annotation.file), "", told))
        elif path in by_photo:
            several.setdefault(path, [by_photo[path].file.name]).append(annotation.file.name)
        else:
            by_photo[path] = annotation
    for path, places_of in several.items():
        del by_photo[path]
        told = f"annotated twice: in {words.listed(list(map(words.printable, places_of)))}; keep one"
        problems.append(file_checks.Problem(path, "", told))
    return by_photo, problems


# Checks ----------------------------------------------------------------------------------------------------------


def _counts_from_one(listed: Iterable[formats.Annotation]) -> bool:
    """Return whether VOC's pixels are counted from 1, as its standard says; a box that begins at 0 tells otherwise."""
    zero = next(
        (each for each in listed if each.counts_from_one and any(min(box.left, box.top) == 0 for box in each.boxes)),
        None,
    )
    if zero is not None:
        print(
            f"data: pixels are counted from 0, since {words.printable(zero.file.name)} has a box that begins at 0",
            file=sys.stderr,
        )
    return zero is None


def _other_size(annotation: formats.Annotation, size: tuple[int, int]) -> str:
    if annotation.size == size or not all(annotation.size):
        return ""
    told = "{} x {}".format(*annotation.size)
    return f"another size: {annotation.file.name} is of a photo of {told} pixels, and this has {size[0]} x {size[1]}"


def _checked(
    annotation: formats.Annotation, size: tuple[int, int], from_one: bool, outcome: collections.Counter[str]
) -> tuple[list[formats.Box], str]:
    """Return the boxes inside of the photo, each once, or the first fault in words, with the edges as in the file."""
    width, height = size
    kept: dict[formats.Box, None] = {}
    pixels = annotation.in_pixels(size, from_one)
    for number, (raw, box) in enumerate(zip(annotation.boxes, pixels, strict=True), start=1):
        told = f"box {number} ({words.printable(box.label)}) at " + ", ".join(f"{edge:g}" for edge in raw.edges)
        if raw.right <= raw.left or raw.bottom <= raw.top:
            return [], f"{told} has no size"
        if min(box.left, box.top, width - box.right, height - box.bottom) < -TOLERANCE:
            return [], f"{told} is outside of the photo of {width} x {height} pixels"
        inside = formats.Box(
            box.label, max(0, box.left), max(0, box.top), min(width, box.right), min(height, box.bottom)
        )
        if inside.right <= inside.left or inside.bottom <= inside.top:
            return [], f"{told} is outside of the photo of {width} x {height} pixels"
        outcome["clipped"] += inside != box
        outcome["repeated"] += inside in kept
        kept[inside] = None
    return list(kept), ""


def _say(outcome: collections.Counter[str]) -> None:
    """Print what was changed."""
    told = {
        "clipped": f"at most {TOLERANCE:g} pixels outside of the photo and clipped",
        "repeated": "listed twice in one photo and counted once",
        "crowds": "around a crowd and left out",
    }
    for kind, text in told.items():
        if count := outcome[kind]:
            print(f"data: {words.plural(count, 'box').replace('boxs', 'boxes')} {text}", file=sys.stderr)


# Classes and groups ----------------------------------------------------------------------------------------------


def _with_classes(samples: list[sample_list.Sample], config: Any) -> list[sample_list.Sample]:
    """Return the samples with one spelling of each class, only the classes asked for, and one name for all if asked."""
    boxes = [boxes_of(sample) for sample in samples]
    spelled = names.one_spelling((box.label for each in boxes for box in each), "class", config.same_names)
    wanted = set(config.classes)
    known = {spelled.get(box.label, box.label) for each in boxes for box in each}
    if missing := wanted - known:
        raise errors.UserError(
            f"--classes: no box of {words.listed(sorted(missing))}; there are {words.listed(sorted(known))}"
        )
    if wanted and known - wanted:
        print(f"data: boxes of {words.listed(sorted(known - wanted))} left out (--classes)", file=sys.stderr)
    named = [[dataclasses.replace(box, label=spelled.get(box.label, box.label)) for box in each] for each in boxes]
    kept = [[box for box in each if not wanted or box.label in wanted] for each in named]
    if config.one_class:
        print(f"data: boxes of {words.listed(sorted(wanted or known))} are all {config.one_class}", file=sys.stderr)
        kept = [[dataclasses.replace(box, label=config.one_class) for box in each] for each in kept]
    return [
        sample_of(
            sample.path, size_of(sample), each,
            group=sample.group, split=sample.split,
        )
        for sample, each in zip(samples, kept, strict=True)
    ]  # fmt: skip


def _with_series(samples: list[sample_list.Sample], medium: media.Medium) -> list[sample_list.Sample]:
    """Return the samples with frames of one video and the like as groups, where the names say so.

    Photos are dealt out whatever is in them, so all count as one class here.
    """
    label = "+".join(sorted({box.label for sample in samples for box in boxes_of(sample)}))
    alike = [dataclasses.replace(sample, label=label) for sample in samples]
    groups = [sample.group for sample in name_series.with_groups(alike, medium.title, medium.unit)]
    return [dataclasses.replace(sample, group=group) for sample, group in zip(samples, groups, strict=True)]


def _listed_groups(
    samples: list[sample_list.Sample], folder: pathlib.Path, places: _Places, config: Any
) -> list[sample_list.Sample]:
    """Return the samples with the groups and sides that a CSV lists: `--listing`, or groups.csv in the folder."""
    path = config.listing.expanduser() if config.listing else folder / LISTING
    if not path.is_file():
        if config.listing:
            raise errors.UserError(f"--listing {config.listing}: no such file; give a CSV with path and group or split")
        return samples
    table = tables.read(path)
    if "path" not in table.columns or not {"group", "split"} & set(table.columns):
        raise errors.UserError(f"{path}: needs a column path, and group or split")
    rows, unknown = _rows_of_photos(table, places)
    without = [sample for sample in samples if sample.path not in rows]
    if without and "split" in table.columns:
        raise errors.UserError(f"{path}: does not list {words.printable(without[0].path)}; give all photos a side")
    if not any(sample.path in rows for sample in samples):
        raise errors.UserError(f"{path}: lists none of the photos; its paths are relative to {folder}")
    if unknown:
        print(
            f"data: {words.plural(len(unknown), 'row')} of {path.name} left alone, since there is no such photo: "
            f"{', '.join(map(words.printable, unknown[:NAMED]))}",
            file=sys.stderr,
        )
    if without:
        some = ", ".join(words.printable(pathlib.PurePath(sample.path).name) for sample in without[:NAMED])
        print(
            f"data: {words.plural(len(without), 'photo')} not in {path.name}, each a group of its own: {some}",
            file=sys.stderr,
        )
    told = {sample.path: rows.get(sample.path, {}) for sample in samples}
    return [
        dataclasses.replace(sample, group=told[sample.path].get("group", ""), split=told[sample.path].get("split", ""))
        for sample in samples
    ]


def _rows_of_photos(table: tables.Table, places: _Places) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return photo → its row, and the paths that are those of no photo.

    A whole path counts first. The end of a path counts if one row and one photo have it, so that slideA/1.jpg is never
    slideB/1.jpg of another row.

    Raises:
        UserError: a photo is listed twice, with another group or side.
    """
    whole = {row["path"]: found for _, row in table.rows if (found := places.whole(row["path"]))}
    others = {row["path"]: places.find(row["path"]) for _, row in table.rows if row["path"] not in whole}
    counts = collections.Counter(found for found in others.values() if found and found not in set(whole.values()))
    photo_of = whole | {path: found for path, found in others.items() if found and counts[found] == 1}
    rows: dict[str, dict[str, str]] = {}
    for line, row in table.rows:
        if not (found := photo_of.get(row["path"])):
            continue
        if any(rows.setdefault(found, row).get(name) != row.get(name) for name in ("group", "split")):
            raise errors.UserError(
                f"{table.path}, line {line}: {words.printable(row['path'])} is listed twice, with another group or "
                "split"
            )
    return rows, [row["path"] for _, row in table.rows if row["path"] not in photo_of]
