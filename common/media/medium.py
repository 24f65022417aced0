"""A medium: what one item of data is, a photo or a clip, and how it is found, inspected, read and looked at.

The splits of a run and its saved model carry one, and nobody else asks what an item is. A new kind of item is a
subclass of `Medium` in a module of this room that has the medium's name.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from common import errors, startup
from common.media import augmentation as augmentations

KINDS: dict[str, type["Medium"]] = {}  # those that have been imported, by their names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What `inspect` found out about one file."""

    path: str
    bytes: int = 0  # 0 where the file could not be read
    sha256: str = ""  # of the file's content; "" where it could not be read
    format: str = ""  # "JPEG", "MP4 h264", …; "" where there is a problem
    width: int = 0  # pixels of the upright picture; 0 where there is a problem, and for what is no picture
    height: int = 0
    notes: tuple[str, ...] = ()  # what had to be handled, such as "EXIF rotation applied"
    problem: str = ""  # why it cannot be used; "" when it can


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at an item.

    Attributes:
        number: of an augmented view; None shows the item as it is.
        turn: in which of the eight orientations of a square (`augmentation.turned`).
        position: where a window into a longer item lies, from 0 (its beginning) to 1; an augmented view draws its own.
        mark: what is done to the item, as part of its row's name in the cache; "" for nothing.
    """

    number: int | None = None
    turn: int = 0
    position: float = 0.5
    mark: str = ""


PLAIN = Look()  # as it is, of a longer item its middle


@dataclasses.dataclass(frozen=True)
class Medium:
    """One kind of item; the fields of a subclass are its settings, and are saved with a model.

    Attributes:
        name: that of its module in this room, as results.json has it: photos.
        unit: one item, where people read: photo.
        extensions: how the names of its files end, in lower case.
        decoder: what reads them, with its version: another one may judge otherwise.
        facts: what `inspect` returns.
        most_pixels: of a picture in it, at most; None where there is no such limit.
        several: what several looks at one item are called.
        explained_by: the module of `common.report` that shows what a network looked at in an item, "" for none.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]
    decoder: ClassVar[str] = ""
    facts: ClassVar[type[Facts]] = Facts
    most_pixels: ClassVar[int | None] = None
    several: ClassVar[str] = "views"
    explained_by: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        KINDS[cls.name] = cls

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of what `read` returns; None where items differ, as photos do in height and width."""
        raise NotImplementedError

    def inspect(self, path: str | os.PathLike) -> Facts:
        """What is known of a file, whatever it holds; one without a problem can be read."""
        raise NotImplementedError

    def read(self, path: str | os.PathLike, look: Look = PLAIN) -> np.ndarray:
        """An item as it lies in its file, uint8 pixels of `shape`, RGB 0–255; may be called from several threads.

        Args:
            path: the file.
            look: of which the position counts here; turning and augmenting come after the resizing.

        Raises:
            UnusableFile: it cannot be read.
        """
        raise NotImplementedError

    def thumbnail(self, path: str | os.PathLike) -> np.ndarray:
        """A picture of an item for a page, uint8 (height, width, 3); raises as `read` does."""
        raise NotImplementedError

    def is_item(self, path: pathlib.Path) -> bool:
        """Whether a file is named like an item and not hidden."""
        return path.suffix.lower() in self.extensions and not path.name.startswith(".")

    def find(self, folder: pathlib.Path) -> list[pathlib.Path]:
        """The items at any depth below a class folder, in order.

        Raises:
            UserError: there are none.
        """
        paths = sorted(path for path in folder.rglob("*") if self.is_item(path))
        if not paths:
            raise errors.UserError(
                f"{folder}: no {self.unit}s in this class folder; fill it or remove it "
                f"({self.unit}s end in {' '.join(sorted(self.extensions))})"
            )
        return paths

    def found(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """What files and folders stand for: themselves, or the items in a folder, none where it has none."""
        paths: list[pathlib.Path] = []
        for name in names:
            paths += sorted(filter(self.is_item, name.rglob("*"))) if name.is_dir() else [name]
        return paths

    def looks(
        self,
        side: str,
        augmentation: augmentations.Augmentation | None = None,
        views: int = 1,
        turns: int = 1,
        seed: int = 0,
    ) -> list[Look]:
        """How each item of a side is looked at: augmented views to train on, turns to judge by.

        Args:
            side: `train`, `validation` or `test`.
            augmentation: the limits, None for none.
            views: of each training item, taken in turn, if it is augmented.
            turns: in how many of the eight orientations of a square the others are looked at.
            seed: of the views.
        """
        if side == "train":
            return augmented_views(augmentation, views, seed) if augmentation else [PLAIN]
        return [Look(turn=turn, mark=f"turn {turn}" if turn else "") for turn in range(turns)]

    def raw(self, path: str | os.PathLike, look: Look) -> tuple[np.ndarray, np.ndarray]:
        """What a saved model is given that chooses for itself what to look at, and what it then takes: as `read`."""
        pixels = self.read(path, look)
        return pixels, pixels

    def description(self, chooses: bool) -> dict:
        """What a program must know of an item besides its pixels; `chooses`: the model takes whole items."""
        return {}

    def saved(self) -> dict:
        """Its name and settings, for `restored`."""
        return {"name": self.name} | dataclasses.asdict(self)


def augmented_views(augmentation: augmentations.Augmentation | None, views: int, seed: int) -> list[Look]:
    """Numbered views, at least one."""
    changes = dataclasses.asdict(augmentation) if augmentation else None
    return [Look(number, mark=json.dumps([changes, seed, number])) for number in range(max(1, views))]


def kind(name: str) -> type[Medium]:
    """The medium of that name.

    Raises:
        UserError: there is no such medium, or this project does not have it.
    """
    if name not in KINDS and name.isidentifier():
        with contextlib.suppress(errors.UserError):
            startup.by_name(f"media.{name}")
    if name not in KINDS:
        raise errors.UserError(f"{name!r} is no medium of this project; loaded are {', '.join(sorted(KINDS))}")
    return KINDS[name]


def restored(saved: dict) -> Medium:
    """A medium from what `Medium.saved` gives.

    Raises:
        UserError: this version does not have it.
    """
    name = saved.get("name") if isinstance(saved, dict) else None
    if not isinstance(name, str):
        raise errors.UserError(f"{name!r} is no medium")
    try:
        return kind(name)(**{key: value for key, value in saved.items() if key != "name"})
    except TypeError as error:
        raise errors.UserError(f"medium {name}: not as this version writes it ({error})") from error
