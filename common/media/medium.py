"""A medium defines one kind of item, such as a photo or a clip: how it is found, inspected, read and viewed.

It is stored in the splits of a run and in its saved model; no other code depends on the kind of item. A new kind is a
subclass of `Medium` in a module of this package with the medium's name.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from common import errors, startup
from common.media import augmentation as augmentations
from common.media import folders

KINDS: dict[str, type["Medium"]] = {}  # imported media, by name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """The result of `inspect` for one file."""

    path: str
    bytes: int = 0  # 0 if the file could not be read
    sha256: str = ""  # of the file's content; "" if it could not be read
    format: str = ""  # "JPEG", "MP4 h264", …; "" if there is a problem
    width: int = 0  # pixels of the upright picture; 0 if there is a problem or the item is not a picture
    height: int = 0
    notes: tuple[str, ...] = ()  # special handling, such as "grey"; something lost or guessed is "kind: details"
    problem: str = ""  # why the file cannot be used; "" if it can
    small: str = ""  # a photo as 32 x 32 grey pixels (`photos.small_grey`), base64; "" for other media
    pixels_sha256: str = ""  # of what was decoded, of a clip of some frames; "" if there is a problem, or for texts
    largest_sample: int = 0  # of a 16-bit file, or of such frames; 0 for others
    header: dict[str, float | str] = dataclasses.field(default_factory=dict, hash=False)  # as `headers` returns it


@dataclasses.dataclass(frozen=True)
class Look:
    """One way to view an item.

    Attributes:
        number: the number of an augmented view; None for the unchanged item.
        turn: one of the eight orientations of a square (`augmentation.turned`).
        position: of a window in a longer item, from 0 (its beginning) to 1; an augmented view draws its own.
        mark: describes the changes to the item in the name of its cached row; "" for none.
    """

    number: int | None = None
    turn: int = 0
    position: float = 0.5
    mark: str = ""


PLAIN = Look()  # the unchanged item; the middle of a longer item


@dataclasses.dataclass(frozen=True)
class Medium:
    """One kind of item; the fields of a subclass are its settings and are saved with a model.

    Attributes:
        name: the name of its module in this package and in results.json, such as photos.
        unit: the name of one item in texts, such as photo.
        extensions: the file name extensions, in lower case.
        described: the words between the unit and the extensions in messages.
        kin: the extensions of files that people take for items, even if they cannot be read.
        wanted: the format to convert other files to.
        decoder: the decoder with its version, because another version may judge files differently.
        facts: the class that `inspect` returns.
        most_pixels: the maximum number of pixels of a picture; None if there is no limit.
        several: the word for several looks at one item.
        explained_by: the module of `common.report` that explains a network's answer for an item, "" for none.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]
    described: ClassVar[str] = "end in"
    kin: ClassVar[frozenset[str]] = frozenset()
    wanted: ClassVar[str] = ""
    decoder: ClassVar[str] = ""
    facts: ClassVar[type[Facts]] = Facts
    most_pixels: ClassVar[int | None] = None
    several: ClassVar[str] = "views"
    explained_by: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        KINDS[cls.name] = cls

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the result of `read`; None for a size that varies, such as the height and width of photos."""
        raise NotImplementedError

    @property
    def remark(self) -> str:
        """What `fitted` has found out that users should know; "" for nothing."""
        return ""

    def inspect(self, path: str | os.PathLike) -> Facts:
        """Return the facts about any file; a file without a problem can be read."""
        raise NotImplementedError

    def properties(self, facts: Facts) -> dict[str, float | str]:
        """Return what a file tells without a look at what it shows: numbers, and names of kinds."""
        found: dict[str, float | str] = {
            "size in bytes": facts.bytes,
            "file ending": pathlib.PurePath(facts.path).suffix.lower(),
            "format": facts.format,
        }
        if facts.height:
            shape = {"width": facts.width, "height": facts.height, "aspect": facts.width / facts.height}
            found |= shape | {"bytes per pixel": facts.bytes / (facts.width * facts.height)}
        own, common = ([field.name for field in dataclasses.fields(kind)] for kind in (facts, Facts))
        return found | {name: getattr(facts, name) for name in own if name not in common} | facts.header

    def fitted(self, facts: Iterable[Facts]) -> Self:
        """Return the medium with the settings that a whole data set decides, from the facts about its items."""
        return self

    def read(self, path: str | os.PathLike, look: Look = PLAIN) -> Any:
        """Read an item from its file: uint8 pixels of `shape`, RGB 0–255; several threads may call this.

        Args:
            path: the file.
            look: only its position is used here; turning and augmentation are applied after the resizing.

        Raises:
            UnusableFile: the file cannot be read.
        """
        raise NotImplementedError

    def digest(self, path: str | os.PathLike) -> str:
        """Return the hash that `inspect` gives the content of an item, without decoding it; "" if unreadable."""
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):
            return ""

    def thumbnail(self, path: str | os.PathLike) -> np.ndarray:
        """Return a picture of an item for a page, uint8 (height, width, 3); raises the errors of `read`."""
        raise NotImplementedError

    def is_item(self, path: pathlib.Path) -> bool:
        """Return whether a file has an item's extension and is not hidden."""
        return path.suffix.lower() in self.extensions and not path.name.startswith(".")

    def title(self, path: str | os.PathLike) -> str:
        """Return the name of an item's file without its ending."""
        name = pathlib.PurePath(path)
        return name.stem if name.suffix.lower() in self.extensions else name.name

    def find(self, folder: pathlib.Path, walk: folders.Walk | None = None) -> list[pathlib.Path]:
        """Return the items at any depth below a class folder, in order.

        Args:
            folder: the class folder.
            walk: the walk through the data set, which notes what is left alone.

        Raises:
            UserError: there are no items.
        """
        walk = walk or folders.Walk(folder)
        paths, others = self.sorted_out(folder, walk)
        walk.note(folder.name, paths, others, self.kin)
        if not paths:
            instead = walk.others[folder.name]
            raise errors.UserError(
                f"{folder}: no {self.unit}s in this class folder; fill it or remove it "
                f"({self.unit}s {self.described} {' '.join(sorted(self.extensions))}"
                f"{f'; it has only {folders.endings_of(instead)}' if instead else ''})"
            )
        return paths

    def sorted_out(self, folder: pathlib.Path, walk: folders.Walk) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        """Return the items at any depth below a folder, in order, and the files that are not read."""
        found = sorted(path for _, files in walk.below(folder) for path in files)
        return list(filter(self.is_item, found)), [path for path in found if not self.is_item(path)]

    def found(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """Return the given files, and the items in the given folders; a folder may have none.

        What is left alone in the folders is printed to stderr.
        """
        paths: list[pathlib.Path] = []
        for name in names:
            if not name.is_dir():
                paths.append(name)
                continue
            walk = folders.Walk(name)
            items, others = self.sorted_out(name, walk)
            walk.note("", items, others)
            walk.tell()
            paths += items
        return paths

    def group(self, path: str | os.PathLike) -> str:
        """Return what a file itself says about its group, such as a patient's identifier; "" for nothing."""
        return ""

    def looks(
        self, side: str, augmentation: augmentations.Augmentation | None = None, views: int = 1, turns: int = 1,
        seed: int = 0,
    ) -> list[Look]:  # fmt: skip
        """Return the looks at each item of a side: augmented views for training, turns for evaluation.

        Args:
            side: `train`, `validation` or `test`.
            augmentation: the limits of the augmentation, None for none.
            views: number of views of each training item, if it is augmented.
            turns: number of orientations of a square, out of eight, for each validation or test item.
            seed: seed of the views.
        """
        if side == "train":
            return augmented_views(augmentation, views, seed) if augmentation else [PLAIN]
        return [Look(turn=turn, mark=f"turn {turn}" if turn else "") for turn in range(turns)]

    def raw(self, path: str | os.PathLike, look: Look) -> tuple[np.ndarray, np.ndarray]:
        """Return the input of a saved model that takes whole items, and the part of it that the model uses."""
        pixels = self.read(path, look)
        return pixels, pixels

    def description(self, chooses: bool) -> dict:
        """Return what a program must know about items besides pixels; with `chooses` the model takes whole items."""
        return {}

    def saved(self) -> dict:
        """Return the name and the settings, for `restored`."""
        return {"name": self.name} | dataclasses.asdict(self)


def augmented_views(augmentation: augmentations.Augmentation | None, views: int, seed: int) -> list[Look]:
    """Return numbered views, at least one."""
    changes = dataclasses.asdict(augmentation) if augmentation else None
    return [Look(number, mark=json.dumps([changes, seed, number])) for number in range(max(1, views))]


def kind(name: str) -> type[Medium]:
    """Return the medium with a name.

    Raises:
        UserError: there is no such medium, or this project does not have it.
    """
    if name not in KINDS and name.isidentifier():
        with contextlib.suppress(errors.UserError):
            startup.by_name(f"media.{name}")
    if name not in KINDS:
        raise errors.UserError(f"this project has no medium {name!r}; it has loaded {', '.join(sorted(KINDS))}")
    return KINDS[name]


def restored(saved: dict) -> Medium:
    """Return a medium from the result of `Medium.saved`.

    Raises:
        UserError: this version does not have the medium.
    """
    name = saved.get("name") if isinstance(saved, dict) else None
    if not isinstance(name, str):
        raise errors.UserError(f"{name!r} is not the name of a medium")
    try:
        return kind(name)(**{key: value for key, value in saved.items() if key != "name"})
    except TypeError as error:
        raise errors.UserError(f"medium {name}: not in this version's format ({error})") from error
