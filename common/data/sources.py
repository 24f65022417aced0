"""Sources of samples: folders of class folders, a CSV file, a TFDS name, the drawn demo."""

import contextlib
import dataclasses
import hashlib
import io
import pathlib
import sys
import types
from collections.abc import Callable, Collection

from common import errors, files, outputs, words
from common.data import listings, sample_list, sides, tables, tfds
from common.demo import drawn_photos
from common.media import folders
from common.media import medium as media

# Sources ------------------------------------------------------------------------------------------------------


def read_source(
    source: str, cache_directory: pathlib.Path, medium: media.Medium, skip_unsupported: bool = False,
    least_classes: int = 2, columns: Collection[str] = (),
) -> list[sample_list.Sample]:  # fmt: skip
    """Return the items of `--data`, without decoding them.

    Args:
        source: `demo`, `tfds:NAME`, a folder of class folders (also inside train/validation/test folders), a CSV file
            with the columns `path,label[,group][,split]`, or a folder with such a table (`listings.in_folder`).
        cache_directory: the folder for the demo's drawn photos and for exported TFDS photos.
        medium: the medium of the items.
        skip_unsupported, least_classes: as for `read_folder`.
        columns: as for `listings.read`.

    Raises:
        UserError: there are no items, or the layout is not as expected.
    """
    if source == "demo":
        return read_folder(demo_folder(cache_directory), medium)
    if source.startswith("tfds:"):
        return read_folder(tfds.export(source.removeprefix("tfds:"), cache_directory / "tfds"), medium)
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        listed = listings.in_folder(path, medium, columns)
        samples = listed or read_folder(path, medium, (), skip_unsupported, least_classes)
        return with_groups_of_files(samples, medium)
    if path.is_file() and path.suffix.lower() in tables.ENDINGS:
        return with_groups_of_files(listings.read(path, medium, columns), medium)
    if path.exists():
        raise errors.UserError(f"--data {source}: neither a folder nor a .csv file")
    raise errors.UserError(
        f"--data {source}: no such file or folder; give a folder of class folders, a CSV, tfds:NAME or demo"
    )


def demo_folder(cache_directory: pathlib.Path) -> pathlib.Path:
    """Return the folder of the demo's photos, which are drawn at the first call."""
    return drawn_folder(cache_directory / "demo", drawn_photos, drawn_photos.write_photos)


def drawn_folder(parent: pathlib.Path, module: types.ModuleType, write: Callable) -> pathlib.Path:
    """Call `write(folder)` with a folder below `parent` that is specific to the version of the drawing code."""
    digest = hashlib.sha256()
    for path in sorted(_files_of(module)):
        digest.update(path.read_bytes())
    return write(parent / digest.hexdigest()[:8])


def _files_of(module: types.ModuleType) -> set[pathlib.Path]:
    """Return the file of a module, and those of the modules that it imports from its package."""
    imported = [each for each in vars(module).values() if isinstance(each, types.ModuleType)]
    neighbours = [each for each in imported if each.__package__ == module.__package__]
    return {pathlib.Path(str(module.__file__))}.union(*map(_files_of, neighbours))


def read_folder(
    folder: pathlib.Path, medium: media.Medium, ignored: Collection[str] = (), skip_unsupported: bool = False,
    least_classes: int = 2,
) -> list[sample_list.Sample]:  # fmt: skip
    """Return the items in `folder/<class>/…`, or in `folder/<train|validation|test>/<class>/…`.

    What is left alone is printed to stderr.

    Args:
        folder: the folder of the class folders.
        medium: the medium of the items.
        ignored: names of subfolders and files that are not part of the classes.
        skip_unsupported: go on if much of a class is in formats that are not read.
        least_classes: the number of classes that are needed.

    Raises:
        UserError: no class folders, too few classes, a class folder without items, another folder beside the split
            folders, split folders in a class folder, or much of a class is in formats that are not read.
    """
    folder = files.absolute(folder)
    if outputs.is_ours(folder):
        raise errors.UserError(f"{folder} holds the output of runs or a cache; give a folder of class folders")
    walk = folders.Walk(folder, " outside the class folders")
    subfolders, loose = ([path for path in paths if path.name not in ignored] for paths in walk.listed(folder))

    def holds_classes(subfolder: pathlib.Path) -> bool:
        inside, within = walk.listed(subfolder)
        return not any(map(medium.is_item, within)) and sum(not medium.is_item(path) for path in inside) > 1

    given = sides.of_folders(subfolders, holds_classes, folder)
    samples = []
    if given:
        for subfolder, side in given.items():
            class_folders, beside = walk.listed(subfolder)
            loose += beside
            samples += [
                dataclasses.replace(sample, split=side) for sample in _read_class_folders(class_folders, medium, walk)
            ]
    else:
        samples = _read_class_folders(subfolders, medium, walk)
    walk.note("", (), loose)
    if len({sample.label for sample in samples}) < least_classes:
        needed = (
            "a task needs a class folder" if least_classes == 1 else "a classifier needs at least two class folders"
        )
        raise errors.UserError(
            f"{folder}: {needed} with {medium.unit}s, such as cats/ and dogs/{_hint(folder, subfolders, loose, medium)}"
        )
    walk.tell()
    _say_listings(loose)
    if not skip_unsupported:
        walk.check(medium.unit, medium.wanted)
    return samples


def _say_listings(loose: list[pathlib.Path]) -> None:
    """Print that a table beside the class folders lists items and could be the data instead."""
    for path in loose:
        if path.suffix.lower() not in tables.ENDINGS:
            continue
        columns: tuple[str, ...] = ()
        with contextlib.suppress(errors.UserError), contextlib.redirect_stderr(io.StringIO()):
            columns = tables.read(path).columns
        if {"path", "label"} <= set(columns):
            told = f"data: {path.name} has the columns {','.join(columns)}; to use it: --data {path}"
            print(told, file=sys.stderr)


def _hint(folder: pathlib.Path, subfolders: list[pathlib.Path], loose: list[pathlib.Path], medium: media.Medium) -> str:
    """Return where the classes may be instead."""
    if (folder / "metadata.csv").is_file():
        return "; for skin lesions with a metadata.csv, use the recipe skin_lesions"
    if len(subfolders) == 1 and len(folders.Walk(subfolders[0]).listed(subfolders[0])[0]) > 1:
        return f"; the classes seem to be one folder deeper; give {subfolders[0]}"
    if count := sum(map(medium.is_item, loose)):
        return f"; {words.plural(count, medium.unit)} are directly in it, outside of any class folder"
    return ""


def _read_class_folders(
    class_folders: list[pathlib.Path], medium: media.Medium, walk: folders.Walk
) -> list[sample_list.Sample]:
    samples = []
    deeper: dict[pathlib.Path, set[str]] = {}  # class folder → the subfolders that all its items are in
    partly: dict[pathlib.Path, list[str]] = {}  # class folder → the subfolder of each of its items that is in one
    for folder in class_folders:
        paths = medium.find(folder, walk)
        below = [path.relative_to(folder).parts[0] for path in paths if path.parent != folder]
        _check_no_sides(folder, set(below))
        if len(below) == len(paths):
            deeper[folder] = set(below)
        elif below:
            partly[folder] = below
        samples += [sample_list.Sample(str(path), folder.name) for path in paths]
    _tell_subfolders(deeper, partly, medium.unit)
    return samples


def _check_no_sides(folder: pathlib.Path, subfolders: set[str]) -> None:
    """Refuse a class folder that is split itself, as in daisy/train and daisy/test.

    Raises:
        UserError: two sides of a split are among the subfolders; one, such as train in vehicles, may be a kind.
    """
    found = sorted(filter(sides.side_of, subfolders))
    if len(set(map(sides.side_of, found))) > 1:
        raise errors.UserError(
            f"{folder}: the split folders {words.listed(found)} are inside the class folder; turn the levels round "
            f"({found[0]}/{folder.name}), or give a CSV with the columns path, label and split"
        )


def _tell_subfolders(deeper: dict[pathlib.Path, set[str]], partly: dict[pathlib.Path, list[str]], unit: str) -> None:
    """Print which classes have all of their items in subfolders, and which have some."""
    if deeper:
        first = max(deeper, key=lambda folder: len(deeper[folder]) > 1)
        more = f" and {words.plural(len(deeper) - 1, 'other')}" if len(deeper) > 1 else ""
        advice = f"; if the subfolders are the classes, give --data {first}" if len(deeper[first]) > 1 else ""
        print(
            f"data: all {unit}s of class {first.name!r}{more} are in subfolders, such as "
            f"{min(deeper[first])!r}, whose names are ignored{advice}", file=sys.stderr,
        )  # fmt: skip
    if partly:
        first = max(partly, key=lambda folder: len(partly[folder]))
        names = sorted(set(partly[first]))
        shown = [words.printable(name) for name in names[: folders.NAMED]] + ["…"] * (len(names) > folders.NAMED)
        count, rest = len(partly[first]), sum(map(len, partly.values())) - len(partly[first])
        more = f", and {rest:,} of {_other_classes(len(partly) - 1)}" if rest else ""
        are = "is" if count + rest == 1 else "are"
        print(
            f"data: {words.plural(count, unit)} of class {first.name!r}, but not all, {are} in subfolders "
            f"({', '.join(shown)}){more}; the names of subfolders are ignored", file=sys.stderr,
        )  # fmt: skip


def _other_classes(count: int) -> str:
    return f"{count} other class{'es' if count > 1 else ''}"


def with_groups_of_files(samples: list[sample_list.Sample], medium: media.Medium) -> list[sample_list.Sample]:
    """Return the samples with the groups that the files themselves name, unless any sample has a group.

    The names are hashed, because a patient's identifier must not get into the files of a run.
    """
    if any(sample.group for sample in samples):
        return samples
    named = [medium.group(sample.path) for sample in samples]
    count, own = len(list(filter(None, named))), set(named) - {""}
    if not own:
        return samples
    told = f"data: {words.plural(count, medium.unit)} of {len(samples):,} name {words.plural(len(own), 'patient')}"
    if len(own) == 1:
        print(f"{told}; one patient is no group, so each {medium.unit} is split on its own", file=sys.stderr)
        return samples
    print(f"{told}, who are the groups; other groups can be given in a CSV with a column group", file=sys.stderr)
    hashed = {name: f"patient {hashlib.sha256(name.encode()).hexdigest()[:12]}" for name in own}
    return [
        dataclasses.replace(sample, group=hashed.get(name, "")) for sample, name in zip(samples, named, strict=True)
    ]
