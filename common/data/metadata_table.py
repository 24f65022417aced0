"""Pictures described by a table: a folder with images and `metadata.csv`, the layout of HAM10000 and ISIC.

The table gives the diagnosis, the lesion and facts about the patient for each picture. Only the picture is given to a
network; the other columns group the pictures and define subgroups for the evaluation.
"""

import collections
import dataclasses
import math
import pathlib
import sys
from collections.abc import Collection, Mapping

from common import errors, files, flags, words
from common.data import file_checks, group_pattern, listings, name_series, names, sample_list, sides, sources, tables
from common.demo import drawn_lesions
from common.media import folders, photos

FILE_NAME = "metadata.csv"
HAM10000_DIAGNOSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
HIGHEST_AGE = 120
UNKNOWN = "unknown"
# Other names of a column, for columns without a flag of their own; the split's are those of a CSV.
SYNONYMS = {
    "image": ("path", "isic_id", *listings.SYNONYMS["path"]),
    "label": ("label", *listings.SYNONYMS["label"]),
    "group": ("group", *listings.SYNONYMS["group"]),
    "age": ("age_approx",),
    "sex": ("gender",),
    "site": ("site", "anatom_site", "anatom_site_general", "anatom_site_general_challenge"),
}
LESIONS = ("lesion",)
PATIENTS = ("patient", "subject", "subject_id", "person", "person_id")  # other names of the column patient_id


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
    skip_unsupported: bool = False, same_names: bool = False, pattern: str | None = None,
) -> Table:  # fmt: skip
    """Return the pictures of `--data` with the facts about them.

    Args:
        source: `demo` (drawn lesions), a folder with metadata.csv, or a source of `sources.read_source`, whose groups
            are used as lesions.
        cache_directory: the folder for the drawn lesions.
        columns, diagnoses, skip_unsupported, same_names: as for `read`.
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
        return read(folder, columns, diagnoses, skip_unsupported, same_names)
    try:
        samples = sources.read_source(source, cache_directory, photos.PHOTOS, skip_unsupported)
    except errors.UserError as error:
        raise errors.UserError(f"{error}; or give a folder with images and a {FILE_NAME}") from error
    if pattern is not None:
        samples = group_pattern.with_groups(samples, pattern, photos.PHOTOS.title, photos.PHOTOS.unit)
        group_pattern.say(samples, photos.PHOTOS.unit)
    samples = name_series.with_groups(samples, photos.PHOTOS.title, photos.PHOTOS.unit)
    samples = names.settled(samples, same_names)
    if not any(sample.group for sample in samples):
        print(
            f"data: {source} has no {FILE_NAME}, so it is unknown which pictures show the same lesion. Each picture "
            "counts as a lesion of its own; the result is too good if some show the same lesion",
            file=sys.stderr,
        )
    return Table(samples, {sample.path: About(sample.group) for sample in samples})


def read(
    folder: pathlib.Path,
    columns: Columns = Columns(),
    diagnoses: tuple[str, ...] = (),
    skip_unsupported: bool = False,
    same_names: bool = False,
) -> Table:
    """Read `folder/metadata.csv` and find the images by name, at any depth below the folder.

    A column `split` (train, validation, test) is used if the table has one.

    Args:
        folder: the folder with metadata.csv and the images.
        columns: the names of the columns. If one has its default name, and the table lacks it, one of `SYNONYMS` is
            used, with a message.
        diagnoses: the allowed labels; default: HAM10000's seven if the label column is `dx`, otherwise all.
        skip_unsupported: go on if more than a tenth of the folder's files are in formats that are not read.
        same_names: join diagnoses and lesions whose names only look alike.

    Returns:
        A `Table`. Its `problems` are rows without an image, images without a row, unknown diagnoses, invalid ages, and
        lesions with two diagnoses.

    Raises:
        UserError: the table cannot be read, lacks a column, or lists an image twice, or names only look alike.
    """
    path = files.absolute(folder) / FILE_NAME
    table = tables.read(path)
    if columns.label == Columns.label and tables.find(table, columns.label, SYNONYMS["label"]) is None:
        table = tables.with_one_label(table)
    column = _columns(table, columns)
    file_of = _image_files(path.parent, skip_unsupported)
    diagnoses = diagnoses or (HAM10000_DIAGNOSES if column["label"] == Columns.label else ())
    rows = _one_spelling(_rows(table, column, file_of), diagnoses, same_names)
    if not any(row.image in file_of for row in rows):
        raise errors.UserError(f"{path}: none of its {len(rows)} images ({rows[0].image}, …) is in {path.parent}")
    listed = {row.image for row in rows}
    problems = [
        file_checks.Problem(str(file), "", f"no row: {FILE_NAME} does not list it; add a row or remove the image")
        for image, file in sorted(file_of.items()) if image not in listed
    ]  # fmt: skip
    two_diagnoses = _lesions_with_two_diagnoses(rows)
    samples, about, patient_of = [], {}, _patients(path.name, rows)
    for row in rows:
        reason = _reason(row, file_of, diagnoses, two_diagnoses)
        file = str(file_of.get(row.image, path.parent / row.image))
        if reason:
            problems.append(file_checks.Problem(file, row.label, f"{FILE_NAME}, line {row.line}: {reason}"))
        else:
            samples.append(sample_list.Sample(file, row.label, patient_of.get(row.image) or row.lesion, row.split))
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
    patient: str


def _columns(table: tables.Table, columns: Columns) -> dict[str, str]:
    """Return role → column of the table, for the roles that have one, and print what is used and what is not read."""
    usual = {field.name: str(field.default) for field in dataclasses.fields(Columns)}
    wanted = dataclasses.asdict(columns)
    lesion = tables.find(table, Columns.group, LESIONS) if columns.group == Columns.group else None
    found = {role: tables.find(table, name, SYNONYMS[role] if name == usual[role] else ())
             for role, name in wanted.items() if not (lesion and role == "group")}  # fmt: skip
    found |= {"group": lesion} if lesion else {}
    for role in ("image", "label", "group"):
        if found[role] is None:
            hint = flags.suggestion(wanted[role], list(table.columns))
            raise errors.UserError(
                f"{table.path}: no column {wanted[role]!r}{hint}; it has {', '.join(table.columns) or 'none'}; name "
                f"the right one with --{role}-column"
            )
    # Beside a lesion, a patient is a wider group; alone, it is another name of the group.
    patient = tables.find(table, "patient_id", PATIENTS) if lesion else None
    found |= {"split": listings.split_column(table), "patient": patient}
    used = {role: name for role, name in found.items() if name}
    tables.say_columns(table, used, wanted | {"split": "split", "patient": patient})
    return used


def _rows(table: tables.Table, column: dict[str, str], file_of: Mapping[str, pathlib.Path]) -> list[_Row]:
    alike = collections.defaultdict(list)
    for name in file_of:
        alike[names.key(name)].append(name)
    rows, named = [], set()
    for line, row in table.rows:
        value = {field: row.get(column.get(field, ""), "") for field in (*SYNONYMS, "split", "patient")}
        if value["split"] and not sides.side_of(value["split"]):
            raise errors.UserError(f"{table.path}, line {line}: split is {value['split']!r}, must be train or test")
        rows.append(
            _Row(line, _image(value["image"], alike), value["label"], value["group"], value["age"], value["sex"],
                 value["site"], sides.side_of(value["split"]), value["patient"])
        )  # fmt: skip
        named.add(value["split"])
    sides.tell(named, str(table.path))
    first_line: dict[str, int] = {}
    for each in rows:
        if first_line.setdefault(each.image, each.line) != each.line:
            places = f"line {first_line[each.image]} and in line {each.line}"
            raise errors.UserError(f"{table.path}: image {each.image!r} is listed in {places}; keep one")
    return rows


def _one_spelling(rows: list[_Row], diagnoses: Collection[str], same_names: bool) -> list[_Row]:
    """Return the rows with one spelling of each diagnosis and lesion."""
    labels = [row.label for row in rows if not _lacks_diagnosis(row)]
    spelled = names.spelled_as(labels, diagnoses) if same_names else {}
    joined = names.one_spelling([spelled.get(label, label) for label in labels], "class", same_names)
    lesions = names.one_spelling((row.lesion for row in rows), "group", same_names)
    patients = names.one_spelling((row.patient for row in rows), "group", same_names)

    def diagnosis(label: str) -> str:
        return joined.get(spelled.get(label, label), spelled.get(label, label))

    return [
        dataclasses.replace(
            row, label=diagnosis(row.label), lesion=lesions.get(row.lesion, row.lesion),
            patient=patients.get(row.patient, row.patient),
        ) for row in rows
    ]  # fmt: skip


def _image(written: str, alike: Mapping[str, list[str]]) -> str:
    """Return an image's name without folder and ending; of a file whose name only looks alike, the file's name."""
    path = pathlib.PurePath(written.replace("\\", "/"))
    name = path.stem if path.suffix.lower() in photos.EXTENSIONS else path.name
    found = alike.get(names.key(name), [])
    return found[0] if len(found) == 1 else name


def _image_files(folder: pathlib.Path, skip_unsupported: bool) -> dict[str, pathlib.Path]:
    """Return name without extension → file, for all images at any depth below the folder."""
    walk, medium = folders.Walk(folder), photos.PHOTOS
    images, others = medium.sorted_out(folder, walk)
    walk.note("", images, [path for path in others if path != folder / FILE_NAME], medium.kin)
    walk.tell()
    if not skip_unsupported:
        walk.check(medium.unit, medium.wanted)
    file_of: dict[str, pathlib.Path] = {}
    for path in images:
        if file_of.setdefault(path.stem, path) != path:
            raise errors.UserError(f"{path} and {file_of[path.stem]} have the same name; remove one or rename it")
    return file_of


def _lesions_with_two_diagnoses(rows: list[_Row]) -> dict[str, list[str]]:
    diagnoses = collections.defaultdict(set)
    for row in rows:
        diagnoses[row.lesion].add(row.label)
    return {lesion: sorted(labels) for lesion, labels in diagnoses.items() if lesion and len(labels) > 1}


def _patients(table: str, rows: list[_Row]) -> dict[str, str]:
    """Return image → its patient, who is a wider group than the lesion; nothing if the table names no patients.

    Raises:
        UserError: a lesion belongs to two patients.
    """
    of_lesion: dict[str, str] = {}
    for row in rows:
        if row.lesion and row.patient and of_lesion.setdefault(row.lesion, row.patient) != row.patient:
            raise errors.UserError(
                f"{table}, line {row.line}: lesion {row.lesion} belongs to two patients, {of_lesion[row.lesion]} and "
                f"{row.patient}; correct it, or name the column of the groups with --group-column"
            )
    found = {row.image: row.patient or of_lesion.get(row.lesion, "") for row in rows}
    if not any(found.values()):
        return {}
    count, lesions = len({*found.values()} - {""}), len({row.lesion for row in rows} - {""})
    without = sum(not patient for patient in found.values())
    more = f"; {words.plural(without, 'picture')} without a patient go by their lesions" if without else ""
    print(
        f"{table}: all pictures of a patient stay on one side ({words.plural(count, 'patient')} with "
        f"{words.plural(lesions, 'lesion')}){more}",
        file=sys.stderr,
    )
    return {image: f"patient {patient}" if patient else "" for image, patient in found.items()}


def _reason(
    row: _Row, file_of: Mapping[str, pathlib.Path], diagnoses: Collection[str], two_diagnoses: Mapping[str, list[str]]
) -> str:
    """Return why a row cannot be used, or ""."""
    if row.image not in file_of:
        return f"no image: there is no file named {row.image!r}; add it or remove the row"
    if _lacks_diagnosis(row):
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


def _lacks_diagnosis(row: _Row) -> bool:
    return not row.label or row.label.lower() in ("nan", "unk", UNKNOWN)


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
