"""The names that people give to the sides of a split, as folders and in the column `split`."""

import pathlib
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from common import errors, words

NAMES = {
    "train": "train", "training": "train", "trn": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "validate": "validation",
    "dev": "validation", "devel": "validation", "development": "validation", "eval": "validation",
    "evaluation": "validation",
    "test": "test", "testing": "test", "tst": "test", "holdout": "test", "heldout": "test",
}  # fmt: skip
NAMED = 3  # folders in one message
PLAIN = ("train", "training", "val", "valid", "validation", "test", "testing")  # these need no explanation


def side_of(name: str) -> str:
    """Return the side that a name stands for, such as train for `Training_Set` or `train2017`; "" for none."""
    return NAMES.get(_word(name), "")


def _word(name: str) -> str:
    """Return a name in lower case without separators, and without a year or a word such as set at its end."""
    word = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"(?<=.)((19|20)\d\d|set|split|data|images|photos|clips|videos|texts)$", "", word)


def tell(names: Iterable[str], where: str) -> None:
    """Refuse two names for one side, and print what unusual names are taken for.

    Raises:
        UserError: two different names stand for one side.
    """
    names = sorted(filter(side_of, names))
    for side in dict.fromkeys(map(side_of, names)):
        ours = {_word(name): name for name in names if side_of(name) == side}
        if len(ours) > 1:
            raise errors.UserError(
                f"{where}: {words.listed(sorted(map(repr, ours.values())))} all mean the {side} side; name the sides "
                "train, validation and test"
            )
    unusual = [f"{name!r} as {side_of(name)}" for name in names if name.lower() not in PLAIN]
    if unusual:
        print(f"data: {where}: {words.listed(unusual)}", file=sys.stderr)


def of_folders(
    folders: Sequence[pathlib.Path], holds_classes: Callable[[pathlib.Path], bool], where: pathlib.Path
) -> dict[pathlib.Path, str]:
    """Return the side of each folder, or nothing if the folders are classes.

    A single name of a side is a class, such as `train` beside `bus`, unless that folder has class folders itself.

    Args:
        folders: the folders in the data set's folder.
        holds_classes: returns whether a folder consists of class folders.
        where: the data set's folder.

    Raises:
        UserError: other folders are beside the sides, which would make `train` and `test` classes, or two folders
            stand for one side.
    """
    sides = {folder: side for folder in folders if (side := side_of(folder.name))}
    others = [folder for folder in folders if folder not in sides]
    if others and not (len(set(sides.values())) > 1 or any(map(holds_classes, sides))):
        return {}
    if others and sides:
        more = [f"{len(others) - NAMED} more"] if len(others) > NAMED else []
        raise errors.UserError(
            f"{where}: {words.listed([each.name for each in others[:NAMED]] + more)} "
            f"{'is' if len(others) == 1 else 'are'} beside the split folder{'s' if len(sides) > 1 else ''} "
            f"{words.listed([each.name for each in sides])}; name the sides of a split train, validation and test, and "
            "move everything else elsewhere. If all of them are classes, rename those that are named like a side"
        )
    tell([folder.name for folder in sides], str(where))
    return sides
