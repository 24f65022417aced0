"""Sources of samples: folders of class folders, a CSV file, a TFDS name, the drawn demo."""

import dataclasses
import hashlib
import pathlib
import sys
import types
from collections.abc import Callable, Collection

from common import errors, folders
from common.data import sample_list, tfds
from common.demo import drawn_photos
from common.media import medium as media

# Sources ------------------------------------------------------------------------------------------------------


def read_source(source: str, cache_directory: pathlib.Path, medium: media.Medium) -> list[sample_list.Sample]:
    """Return the items of `--data`, without opening them.

    Args:
        source: `demo`, `tfds:NAME`, a folder of class folders (also inside train/validation/test folders), or a
            CSV file with the columns `path,label[,group][,split]`.
        cache_directory: the folder for the demo's drawn photos and for exported TFDS photos.
        medium: the medium of the items.

    Raises:
        UserError: there are no items, or the layout is not as expected.
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


def read_folder(folder: pathlib.Path, medium: media.Medium, ignored: Collection[str] = ()) -> list[sample_list.Sample]:
    """Return the items in `folder/<class>/…`, or in `folder/<train|validation|test>/<class>/…`.

    Args:
        folder: the folder of the class folders.
        medium: the medium of the items.
        ignored: names of subfolders that are not class folders.

    Raises:
        UserError: no class folders, fewer than two classes, a class folder without items, or another folder beside
            the split folders.
    """
    folder = folder.absolute()
    if folders.is_ours(folder):
        raise errors.UserError(f"{folder} holds the output of runs or a cache; give a folder of class folders")
    for subfolder in filter(folders.is_ours, sorted(folder.iterdir())):
        folders.say_left_alone(subfolder)
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
        lesions = "; for skin lesions with a metadata.csv, use the recipe skin_lesions"
        hint = lesions if (folder / "metadata.csv").is_file() else ""
        if len(subfolders) == 1 and len(_visible_folders(subfolders[0])) > 1:
            hint = f"; the classes seem to be one folder deeper; give {subfolders[0]}"
        raise errors.UserError(
            f"{folder}: a classifier needs at least two class folders with {medium.unit}s, such as cats/ and "
            f"dogs/{hint}"
        )
    return samples


def check_given_folders(names: set[str], others: list[pathlib.Path]) -> None:
    """Raise an error for other folders beside split folders, which would make `train` and `test` classes.

    `names` are the folders that are named like a side of a split; `others` are the other files or folders with data.
    A single such name is a class, such as `train` beside `bus`.
    """
    if others and len({sample_list.FOLDER_SPLITS[name.lower()] for name in names}) > 1:
        raise errors.UserError(
            f"{others[0]} is beside the split folders {' and '.join(sorted(names))}; move it into one of them, move it "
            "elsewhere, or rename the split folders if they are classes"
        )


def _read_class_folders(class_folders: list[pathlib.Path], medium: media.Medium) -> list[sample_list.Sample]:
    samples = []
    for folder in class_folders:
        paths = medium.find(folder)
        inside = {path.relative_to(folder).parts[0] for path in paths if path.parent != folder}
        if len(inside) > 1 and all(path.parent != folder for path in paths):
            print(
                f"data: all {medium.unit}s of class {folder.name!r} are in subfolders, such as {min(inside)!r}, whose "
                f"names are ignored; if the subfolders are the classes, give --data {folder}", file=sys.stderr,
            )  # fmt: skip
        samples += [sample_list.Sample(str(path), folder.name) for path in paths]
    return samples


def _visible_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    visible = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in visible if not folders.is_ours(path))
