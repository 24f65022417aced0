"""Pictures described by a table: a folder with images and `metadata.csv`, the layout of HAM10000 and ISIC.

The table gives the diagnosis, the lesion and facts about the patient for each picture. Only the picture is given to a
network; the other columns group the pictures and define subgroups for the evaluation.
"""

import collections
import csv
import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Collection, Mapping

from common import errors, flags
from common.data import file_checks, group_pattern, sample_list, sources
from common.demo import drawn_lesions
from common.media import photos

FILE_NAME = "metadata.csv"
HAM10000_DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
HIGHEST_AGE = 120
UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Columns:
    """The names of the columns; the defaults are HAM10000's. The age, sex and site columns may be missing."""

    image: str = "image_id"
    label: str = "dx"
    group: str = "lesion_id"
    age: str = "age"
    sex: str = "sex"
    site: str = "localization"


@dataclasses.dataclass(frozen=True)
class About:
    """Facts about a picture other than its diagnosis.

    Attributes:
        lesion: the lesion in the picture, "" if it is not known.
        age: the patient's age in years, None if it is not known.
        sex, site: the values in the table, `unknown` for empty fields.
    """

    lesion: str = ""
    age: float | None = None
    sex: str = UNKNOWN
    site: str = UNKNOWN


@dataclasses.dataclass(frozen=True)
class Table:
    """The usable pictures, the facts about each (path → `About`), and the rows and files that cannot be used."""

    samples: list[sample_list.Sample]
    about: dict[str, About]
    problems: list[file_checks.Problem] = dataclasses.field(default_factory=list)


def load(
    source: str, cache_directory: pathlib.Path, columns: Columns = Columns(), diagnoses: tuple[str, ...] = (),
    pattern: str | None = None,
) -> Table:  # fmt: skip
    """Return the pictures of `--data` with the facts about them.

    Args:
        source: `demo` (drawn lesions), a folder with metadata.csv, or a source of `sources.read_source`, whose groups
            are used as lesions.
        cache_directory: the folder for the drawn lesions.
        columns, diagnoses: as for `read`.
        pattern: the lesion in a picture's file name (`group_pattern.with_groups`), for a source without lesions.

    Raises:
        UserError: there are no pictures, or the layout is not as expected.
    """
    folder = pathlib.Path(source).expanduser()
    if pattern is not None and (source == "demo" or (folder / FILE_NAME).is_file()):
        raise errors.UserError(
            f"--group-pattern: the {FILE_NAME} of --data {source} gives the lesions; remove the option"
        )
    if source == "demo":
        return read(sources.drawn_folder(cache_directory / "demo_lesions", drawn_lesions, drawn_lesions.write_pictures))
    if (folder / FILE_NAME).is_file():
        return read(folder, columns, diagnoses)
    try:
        samples = sources.read_source(source, cache_directory, photos.PHOTOS)
    except errors.UserError as error:
        raise errors.UserError(f"{error}; or give a folder with images and a {FILE_NAME}") from error
    if pattern is not None:
        samples = group_pattern.with_groups(samples, pattern, photos.PHOTOS.title, photos.PHOTOS.unit)
        group_pattern.say(samples, photos.PHOTOS.unit)
    if not any(sample.group for sample in samples):
        print(
            f"data: {source} has no {FILE_NAME}, so it is unknown which pictures show the same lesion. Each picture "
            "counts as a lesion of its own; the result is too good if some show the same lesion",
            file=sys.stderr,
        )
    return Table(samples, {sample.path: About(sample.group) for sample in samples})


def read(folder: pathlib.Path, columns: Columns = Columns(), diagnoses: tuple[str, ...] = ()) -> Table:
    """Read `folder/metadata.csv` and find the images by name, at any depth below the folder.

    A column `split` (train, validation, test) is used if the table has one.

    Args:
        folder: the folder with metadata.csv and the images.
        columns: the names of the columns.
        diagnoses: the allowed labels; default: HAM10000's seven if the label column is `dx`, otherwise all.

    Returns:
        A `Table`. Its `problems` are rows without an image, images without a row, unknown diagnoses, invalid ages, and
        lesions with two diagnoses.

    Raises:
        UserError: the table cannot be read, lacks a column, or lists an image twice.
    """
    path = folder.absolute() / FILE_NAME
    rows = _rows(path, columns)
    files = _image_files(path.parent)
    diagnoses = diagnoses or (HAM10000_DIAGNOSES if columns.label == Columns.label else ())
    if not any(row.image in files for row in rows):
        raise errors.UserError(f"{path}: none of its {len(rows)} images ({rows[0].image}, …) is in {path.parent}")
    problems = [
        file_checks.Problem(str(file), "", f"no row: {FILE_NAME} does not list it; add a row or remove the image")
        for image, file in sorted(files.items()) if image not in {row.image for row in rows}
    ]  # fmt: skip
    two_diagnoses = _lesions_with_two_diagnoses(rows)
    samples, about = [], {}
    for row in rows:
        reason = _reason(row, files, diagnoses, two_diagnoses)
        file = str(files.get(row.image, path.parent / row.image))
        if reason:
            problems.append(file_checks.Problem(file, row.label, f"{FILE_NAME}, line {row.line}: {reason}"))
        else:
            samples.append(sample_list.Sample(file, row.label, row.lesion, row.split))
            about[file] = About(row.lesion, _age(row.age), row.sex or UNKNOWN, row.site or UNKNOWN)
    _say_what_is_unknown(about.values())
    return Table(samples, about, problems)


@dataclasses.dataclass(frozen=True)
class _Row:
    line: int
    image: str
    label: str
    lesion: str
    age: str
    sex: str
    site: str
    split: str


def _rows(path: pathlib.Path, columns: Columns) -> list[_Row]:
    names = dataclasses.asdict(columns)
    reader = csv.DictReader(_text(path).splitlines())
    there = list(reader.fieldnames or [])
    if len(there) == 1 and any(mark in there[0] for mark in ";\t"):
        raise errors.UserError(f"{path}: the columns are not separated by commas; save the table as CSV with commas")
    for role in ("image", "label", "group"):
        if names[role] not in there:
            raise errors.UserError(
                f"{path}: no column {names[role]!r}{flags.suggestion(names[role], there)}; it has "
                f"{', '.join(there) or 'none'}; name the right one with --{role}-column"
            )
    rows = []
    for row in reader:
        value = {role: (row.get(name) or "").strip() for role, name in names.items()}
        split = (row.get("split") or "").strip().lower()
        if split and split not in sample_list.FOLDER_SPLITS:
            raise errors.UserError(f"{path}, line {reader.line_num}: split is {split!r}, must be train or test")
        rows.append(
            _Row(reader.line_num, _stem(value["image"]), value["label"], value["group"], value["age"], value["sex"],
                 value["site"], sample_list.FOLDER_SPLITS.get(split, ""))
        )  # fmt: skip
    if not rows:
        raise errors.UserError(f"{path}: no rows below the names of the columns")
    first_line: dict[str, int] = {}
    for each in rows:
        if first_line.setdefault(each.image, each.line) != each.line:
            places = f"line {first_line[each.image]} and in line {each.line}"
            raise errors.UserError(f"{path}: image {each.image!r} is listed in {places}; keep one")
    return rows


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise errors.UserError(f"{path}, line {line}: not UTF-8; save the table as CSV in UTF-8") from error


def _stem(image: str) -> str:
    path = pathlib.PurePath(image)
    return path.stem if path.suffix.lower() in photos.EXTENSIONS else path.name


def _image_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return name without extension → file, for all images below the folder; links to folders are followed."""
    files: dict[str, pathlib.Path] = {}
    found = (pathlib.Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names)
    for path in sorted(filter(photos.PHOTOS.is_item, found)):
        if files.setdefault(path.stem, path) != path:
            raise errors.UserError(f"{path} and {files[path.stem]} have the same name; remove one or rename it")
    return files


def _lesions_with_two_diagnoses(rows: list[_Row]) -> dict[str, list[str]]:
    diagnoses = collections.defaultdict(set)
    for row in rows:
        diagnoses[row.lesion].add(row.label)
    return {lesion: sorted(labels) for lesion, labels in diagnoses.items() if lesion and len(labels) > 1}


def _reason(
    row: _Row, files: Mapping[str, pathlib.Path], diagnoses: Collection[str], two_diagnoses: Mapping[str, list[str]]
) -> str:
    """Return why a row cannot be used, or ""."""
    if row.image not in files:
        return f"no image: there is no file named {row.image!r}; add it or remove the row"
    if not row.label or row.label.lower() in ("nan", "unk", UNKNOWN):
        return "no diagnosis: fill it in or remove the row"
    if diagnoses and row.label not in diagnoses:
        hint = flags.suggestion(row.label, list(diagnoses))
        return f"unknown diagnosis {row.label!r}{hint}; allowed are {', '.join(diagnoses)} (--diagnoses)"
    if row.lesion in two_diagnoses:
        return f"two diagnoses: lesion {row.lesion} is {' and '.join(two_diagnoses[row.lesion])}; keep one"
    try:
        age = _age(row.age)
    except ValueError:
        return f"not an age: {row.age!r}; give years, or leave it empty"
    if age is not None and not 0 <= age <= HIGHEST_AGE:
        return f"not an age: {row.age!r} years; give 0 to {HIGHEST_AGE}, or leave it empty"
    return ""


def _age(text: str) -> float | None:
    """Return years, None for an empty field or NaN.

    Raises:
        ValueError: the text is not a number.
    """
    years = float(text) if text and text.lower() not in ("na", UNKNOWN) else math.nan
    return None if math.isnan(years) else years


def _say_what_is_unknown(about: Collection[About]) -> None:
    missing = {
        "lesion": sum(not facts.lesion for facts in about),
        "age": sum(facts.age is None for facts in about),
        "sex": sum(facts.sex == UNKNOWN for facts in about),
        "site": sum(facts.site == UNKNOWN for facts in about),
    }
    found = ", ".join(f"{count} without {name}" for name, count in missing.items() if count)
    if found:
        advice = "; a picture without a lesion counts as a lesion of its own" if missing["lesion"] else ""
        print(f"{FILE_NAME}: {len(about)} pictures, {found}{advice}", file=sys.stderr)


def age_band(age: float | None) -> str:
    """Return one of five bands of at least 15 years, or `unknown`."""
    if age is None:
        return UNKNOWN
    bands = ((30, "under 30"), (45, "30 to 44"), (60, "45 to 59"), (75, "60 to 74"))
    return next((name for end, name in bands if age < end), "75 and over")
