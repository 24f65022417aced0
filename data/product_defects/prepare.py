"""List the photos of the magnetic tile defects as a CSV: good or defect, or the kind of defect, grouped by tile.

    git clone https://github.com/abin24/Magnetic-tile-defect-datasets. tiles
    python data/product_defects/prepare.py --folder tiles/
    python data/product_defects/prepare.py --folder tiles/ --labels kind

Expected: `tiles/tiles.csv` with the columns path, label, group, light and mask, and 1,344 photos, of which 392 show a
defect. The photos stay where they are.
"""

import dataclasses
import pathlib
import re
import sys
from typing import Annotated, Literal

import tyro
from annotated_types import Ge

from common import errors, files, flags

KINDS = {
    "MT_Free": "good", "MT_Blowhole": "blowhole", "MT_Break": "break", "MT_Crack": "crack", "MT_Fray": "fray",
    "MT_Uneven": "uneven",
}  # fmt: skip

# exp3_num_853.jpg: the light, and the number of the film's frame.
PHOTO = re.compile(r"exp(\d+)_num_(\d+)\.jpg")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings: the folder, the labels, and how photos are grouped."""

    folder: Annotated[pathlib.Path, tyro.conf.arg(help="the repository's folder, with MT_Free, MT_Break, …")]
    labels: Literal["good_or_defect", "kind"] = "good_or_defect"  # two classes, or good and five kinds of defects
    # Photos that follow one another in the film by at most so many frames are of one tile; 0: no groups.
    frames_apart: Annotated[int, Ge(0)] = 500

    def __post_init__(self) -> None:
        flags.check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo: its path and its mask's in the folder, the kind of defect, the light and the frame of the film."""

    path: str
    mask: str
    kind: str
    light: int
    frame: int


def prepare(settings: Config) -> pathlib.Path:
    """Write `tiles.csv` into the folder, and return its path.

    Raises:
        UserError: a folder or mask is missing, or a photo's name tells no frame.
    """
    photos = find(settings.folder.expanduser())
    groups = tiles_of([photo.frame for photo in photos], settings.frames_apart)
    rows = []
    for photo, group in zip(photos, groups, strict=True):
        defect = photo.kind if settings.labels == "kind" or photo.kind == "good" else "defect"
        rows.append((photo.path, defect, group, photo.light, photo.mask))
    table = settings.folder.expanduser() / "tiles.csv"
    files.write_csv(table, ["path", "label", "group", "light", "mask"], rows)
    return table


def find(folder: pathlib.Path) -> list[Photo]:
    """Return the photos of all kinds in the order of the film.

    Raises:
        UserError: see `prepare`.
    """
    photos = []
    for name, kind in KINDS.items():
        paths = sorted((folder / name / "Imgs").glob("*.jpg"))
        if not paths:
            raise errors.UserError(f"--folder {folder}: no photos in {name}/Imgs; give the repository's folder")
        for path in paths:
            match, mask = PHOTO.fullmatch(path.name), path.with_suffix(".png")
            if not match:
                raise errors.UserError(f"{path}: the name has not the form exp3_num_853.jpg; get the repository again")
            if not mask.is_file():
                raise errors.UserError(f"{path}: its mask {mask.name} is missing; get the repository again")
            own, its = (each.relative_to(folder).as_posix() for each in (path, mask))
            photos.append(Photo(own, its, kind, *map(int, match.groups())))
    return sorted(photos, key=lambda photo: (photo.frame, photo.path))


def tiles_of(frames: list[int], apart: int) -> list[str]:
    """Return the name of each photo's group: a new one begins where the film goes on for more than `apart` frames.

    Args:
        frames: the numbers of the frames, in ascending order.
        apart: the largest step within a group; with 0, there are no groups, and all names are empty.
    """
    if not apart:
        return [""] * len(frames)
    names: list[str] = []
    for number, frame in enumerate(frames):
        new = not names or frame - frames[number - 1] > apart
        names.append(f"tile_{frame:06}" if new else names[-1])
    return names


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
