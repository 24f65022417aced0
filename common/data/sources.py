"""Where samples come from: folders of class folders, a CSV file, a TFDS name, the drawn demo."""

import dataclasses
import hashlib
import pathlib
import sys
import types
from collections.abc import Collection

from common import errors
from common.data import sample_list, tfds
from common.demo import drawn_photos
from common.media import medium as media

# Sources ------------------------------------------------------------------------------------------------------


def read_source(source: str, cache_directory: pathlib.Path, medium: media.Medium) -> list[sample_list.Sample]:
    """The items behind `--data`, not yet opened.

    Args:
        source: `demo`, `tfds:NAME`, a folder of class folders (also inside train/validation/test folders), or a
            CSV file with the columns `path,label[,group][,split]`.
        cache_directory: where the demo's drawn photos and exported TFDS photos are put.
        medium: what the items are.

    Raises:
        UserError: nothing there, or not laid out as expected.
    """
    if source == "demo":
        return read_folder(demo_folder(cache_directory), medium)
    if source.startswith("tfds:"):
        return read_folder(tfds.export(source.removeprefix("tfds:"), cache_directory / "tfds"), medium)
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return read_folder(path, medium)
    if path.is_file() and path.suffix.lower() == ".csv":
        return sample_list.read_csv(path)
    if path.exists():
        raise errors.UserError(f"--data {source}: neither a folder nor a .csv file")
    raise errors.UserError(
        f"--data {source}: no such file or folder; give a folder of class folders, a CSV, tfds:NAME or demo"
    )


def demo_folder(cache_directory: pathlib.Path) -> pathlib.Path:
    """The folder of the demo's photos, drawn at the first call."""
    return drawn_folder(cache_directory / "demo", drawn_photos, drawn_photos.write_photos)


def drawn_folder(parent: pathlib.Path, module: types.ModuleType, write) -> pathlib.Path:
    """`write(folder)` below `parent`, in a folder of its own for each version of the code that draws."""
    digest = hashlib.sha256()
    for path in sorted(_files_of(module)):
        digest.update(path.read_bytes())
    return write(parent / digest.hexdigest()[:8])


def _files_of(module: types.ModuleType) -> set[pathlib.Path]:
    """The file of a module, and those of the modules of its room that it imports."""
    imported = [each for each in vars(module).values() if isinstance(each, types.ModuleType)]
    neighbours = [each for each in imported if each.__package__ == module.__package__]
    return {pathlib.Path(str(module.__file__))}.union(*map(_files_of, neighbours))


def read_folder(folder: pathlib.Path, medium: media.Medium, ignored: Collection[str] = ()) -> list[sample_list.Sample]:
    """Items in `folder/<class>/…`, or in `folder/<train|validation|test>/<class>/…`.

    Args:
        folder: with the class folders.
        medium: what the items are.
        ignored: names of subfolders that are no class folders.

    Raises:
        UserError: no class folders, fewer than two classes, a class folder without items, or another folder beside
            those of a split.
    """
    folder = folder.absolute()
    subfolders = [subfolder for subfolder in _visible_folders(folder) if subfolder.name not in ignored]
    given = [subfolder for subfolder in subfolders if subfolder.name.lower() in sample_list.FOLDER_SPLITS]
    check_given_folders({subfolder.name for subfolder in given}, [one for one in subfolders if one not in given])
    if given and len(given) == len(subfolders):
        samples = [
            dataclasses.replace(sample, split=sample_list.FOLDER_SPLITS[subfolder.name.lower()])
            for subfolder in given for sample in _read_class_folders(_visible_folders(subfolder), medium)
        ]  # fmt: skip
    else:
        samples = _read_class_folders(subfolders, medium)
    if len({sample.label for sample in samples}) < 2:
        hint = (
            "; skin lesions with a metadata.csv have a recipe of their own"
            if (folder / "metadata.csv").is_file()
            else ""
        )
        if len(subfolders) == 1 and len(_visible_folders(subfolders[0])) > 1:
            hint = f"; the classes seem to lie one folder deeper: give {subfolders[0]}"
        raise errors.UserError(
            f"{folder}: a classifier needs at least two class folders with {medium.unit}s in it, such as cats/ and "
            f"dogs/{hint}"
        )
    return samples


def check_given_folders(names: set[str], others: list[pathlib.Path]) -> None:
    """Refuses what is beside the folders of a split, which would turn `train` and `test` into classes.

    One such name alone is a class: `train` beside `bus`.

    Args:
        names: of the folders that are called as a side of a split is.
        others: the other files or folders with data in them.
    """
    if others and len({sample_list.FOLDER_SPLITS[name.lower()] for name in names}) > 1:
        raise errors.UserError(
            f"{others[0]} is beside the folders of a split, {' and '.join(sorted(names))}: put it into one of "
            "them, move it away, or rename them if they are classes"
        )


def _read_class_folders(class_folders: list[pathlib.Path], medium: media.Medium) -> list[sample_list.Sample]:
    samples = []
    for folder in class_folders:
        paths = medium.find(folder)
        inside = {path.relative_to(folder).parts[0] for path in paths if path.parent != folder}
        if len(inside) > 1 and all(path.parent != folder for path in paths):
            print(
                f"data: all {medium.unit}s of class {folder.name!r} lie in folders below it, such as {min(inside)!r}, "
                f"whose names do not count; if these are the classes, give --data {folder}", file=sys.stderr,
            )  # fmt: skip
        samples += [sample_list.Sample(str(path), folder.name) for path in paths]
    return samples


def _visible_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
