"""Download the German Traffic Sign Recognition Benchmark and list its photos with the sign that each one shows.

    python data/traffic_signs/prepare.py
    python data/traffic_signs/prepare.py --archive ~/Downloads/GTSRB_Final_Training_Images.zip
    python data/traffic_signs/prepare.py --per-sign 3 --classes stop yield no_entry

Expected: 39,209 photos of 43 kinds of signs in `data/traffic_signs/photos/<class>/`, and `data/traffic_signs/signs.csv`
with their groups, about 300 MB. An interrupted download continues where it stopped.
"""

import dataclasses
import io
import pathlib
import re
import shutil
import sys
import zipfile
import zlib
from typing import Annotated

import PIL.Image
import tqdm
from annotated_types import Ge, Le

from common import errors, files, flags
from common.data import download

FOLDER = pathlib.Path(__file__).parent
ARCHIVE = "GTSRB_Final_Training_Images.zip"
PAGE = "https://benchmark.ini.rub.de/gtsrb_dataset.html"
SERVER = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
PER_SIGN = 30  # photos of one sign, from far to near
EXPECTED = {"photos": 39_209, "classes": 43}

CLASSES = (
    "limit_20", "limit_30", "limit_50", "limit_60", "limit_70", "limit_80", "end_of_limit_80", "limit_100",
    "limit_120", "no_passing", "no_passing_for_trucks", "right_of_way", "priority_road", "yield", "stop",
    "no_vehicles", "no_trucks", "no_entry", "danger", "bend_left", "bend_right", "double_bend", "bumpy_road",
    "slippery_road", "narrow_road", "roadworks", "traffic_lights", "pedestrians", "children", "bicycles",
    "ice_or_snow", "wild_animals", "end_of_limits", "turn_right", "turn_left", "straight_on", "straight_or_right",
    "straight_or_left", "keep_right", "keep_left", "roundabout", "end_of_no_passing", "end_of_no_passing_for_trucks",
)  # fmt: skip

# GTSRB/Final_Training/Images/00014/00003_00029.ppm: the class, the sign's number in it, the photo's number.
PHOTO = re.compile(r"(?:.*/)?(\d{5})/(\d{5})_(\d{5})\.ppm")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings: which archive, classes and photos to use."""

    archive: pathlib.Path | None = None  # the file GTSRB_Final_Training_Images.zip; default: download it
    classes: tuple[str, ...] = ()  # only these, such as stop and yield; default: all 43
    per_sign: Annotated[int, Ge(1), Le(PER_SIGN)] = PER_SIGN  # photos of each sign, evenly over its 30, the nearest too

    def __post_init__(self) -> None:
        flags.check_bounds(self)
        for name in self.classes:
            if name not in CLASSES:
                hint = flags.suggestion(name, CLASSES) or f"; the classes are {', '.join(CLASSES)}"
                raise errors.UserError(f"--classes: there is no class {name}{hint}")


def prepare(
    settings: Config, folder: pathlib.Path = FOLDER, expected: dict[str, int] = EXPECTED, server: str = SERVER
) -> pathlib.Path:
    """Write `folder/photos` and `folder/signs.csv`, or return the table if it exists.

    Args:
        settings: see `Config`.
        folder: the folder for both, and for the download until they are complete.
        expected: the required numbers of photos and classes in the archive.
        server: the address of the archive's folder.

    Raises:
        UserError: there is no internet connection, or the archive is damaged or another one.
    """
    table, photos, unfinished = folder / "signs.csv", folder / "photos", folder / ".unfinished"
    if table.is_file():
        print(f"{table} exists; remove it and {photos} to make them again", file=sys.stderr)
        return table
    unfinished.mkdir(exist_ok=True)
    archive = settings.archive.expanduser() if settings.archive else unfinished / ARCHIVE
    if not archive.is_file():
        if settings.archive:
            raise errors.UserError(f"--archive {settings.archive}: no such file")
        advice = f"download {ARCHIVE} from {PAGE} with a browser, then use --archive FILE"
        download.fetch(f"{server}/{ARCHIVE}", archive, advice)
    rows = _written(archive, settings, unfinished / "photos", expected)
    shutil.rmtree(photos, ignore_errors=True)
    (unfinished / "photos").rename(photos)
    files.write_csv(table, ["path", "label", "group"], rows)
    shutil.rmtree(unfinished)
    return table


def _written(
    archive: pathlib.Path, settings: Config, photos: pathlib.Path, expected: dict[str, int]
) -> list[tuple[str, str, str]]:
    """Write the photos as PNG, which loses nothing, and return a row (path, label, group) for each."""
    shutil.rmtree(photos, ignore_errors=True)
    rows = []
    try:
        with zipfile.ZipFile(archive) as opened:
            found = sorted(match.groups() + (name,) for name in opened.namelist() if (match := PHOTO.fullmatch(name)))
            counts = {"photos": len(found), "classes": len({number for number, *_ in found})}
            if counts != expected:
                raise errors.UserError(f"{archive}: found {counts}, expected {expected}; download it again from {PAGE}")
            wanted = [each for each in found if _is_wanted(*map(int, each[:3]), settings)]
            for number, sign, photo, name in tqdm.tqdm(wanted, "photos", unit="photo", disable=None):
                label = CLASSES[int(number)]
                path = photos / label / f"{sign}_{photo}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.open(io.BytesIO(opened.read(name)), formats=("PPM",)).save(path)
                rows.append((f"photos/{label}/{path.name}", label, f"{label}_{sign}"))
    except (zipfile.BadZipFile, zlib.error, EOFError, PIL.UnidentifiedImageError) as error:
        raise errors.UserError(f"{archive} is damaged or incomplete ({error}); download it again") from error
    return rows


def _is_wanted(number: int, sign: int, photo: int, settings: Config) -> bool:
    """Return whether a photo is one of the classes and one of the `per_sign` photos of its sign."""
    kept = {round((place + 1) * PER_SIGN / settings.per_sign) - 1 for place in range(settings.per_sign)}
    return photo in kept and (not settings.classes or CLASSES[number] in settings.classes)


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
