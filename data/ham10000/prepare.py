"""Write HAM10000 as a folder of pictures and one table; it is downloaded, unless you give files that you have.

    python data/ham10000/prepare.py
    python data/ham10000/prepare.py --archive ~/Downloads
    python data/ham10000/prepare.py --with-test

Expected: 10,015 pictures in `data/ham10000/pictures/images/` and `metadata.csv` beside them, 2.8 GB. The download
comes from Harvard Dataverse (https://doi.org/10.7910/DVN/DBW86T) and resumes after an interruption.
"""

import collections
import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import tqdm

from common import errors, files, flags
from common.data import download

FOLDER = pathlib.Path(__file__).parent
SERVER = "https://dataverse.harvard.edu"
RECORD = "doi:10.7910/DVN/DBW86T"
PAGE = "https://doi.org/10.7910/DVN/DBW86T"

COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
COUNTS = {
    "train": {
        "pictures": 10015,
        "lesions": 7470,
        **{"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115},
    },
    "test": {
        "pictures": 1511,
        **{"nv": 908, "mel": 171, "bkl": 217, "bcc": 93, "akiec": 43, "vasc": 35, "df": 44},
    },
}
# The files of each split in the record; the table is the last one.
FILES = {
    "train": ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip", "HAM10000_metadata.csv"),
    "test": ("ISIC2018_Task3_Test_Images.zip", "ISIC2018_Task3_Test_GroundTruth.csv"),
}
PICTURE = re.compile(r"ISIC_\d{7}\.jpg")
TABLE_SUFFIXES = ("", ".tab", ".csv", ".tsv", ".txt")
# Only these zip files are opened in a folder, since it may be the browser's folder for all downloads.
ZIP_NAMES = ("ham10000_images_part", "isic2018_task3_test_images", "dataverse_files", "dbw86t")
# A synthetic picture: it has a row in the test table, but the zip file lacks it and the challenge does not score it.
SYNTHETIC = "ISIC_0035068"

# Dataverse answers 403 to the default user agents of Python's libraries
# (https://github.com/IQSS/dataverse.harvard.edu/issues/479).
USER_AGENT = "keras-recipes"


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings: which files to use, and which splits to write."""

    archive: tuple[pathlib.Path, ...] = ()  # a folder or files from Dataverse or Kaggle; default: download them
    with_test: bool = False  # include the 1,511 test pictures of ISIC 2018 Task 3; adds the column split

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits to write."""
        return ("train", "test") if self.with_test else ("train",)


@dataclasses.dataclass(frozen=True)
class Source:
    """A file in a folder, in a zip file or in a zip file inside a zip file."""

    where: str  # its path, through zip files too
    size: int  # bytes
    reader: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return pathlib.PurePosixPath(self.where).name

    def read(self) -> bytes:
        """Return the file's content.

        Raises:
            UserError: the zip file that contains it is damaged.
        """
        with reported_damage(self.where):
            return self.reader()


def prepare(
    settings: Config, folder: pathlib.Path = FOLDER, expected: dict = COUNTS, server: str = SERVER
) -> pathlib.Path:
    """Write `folder/pictures`, or only check it if it exists.

    Args:
        settings: see `Config`.
        folder: the folder for `pictures/`, and for `.unfinished/` until that is complete.
        expected: for each split the required numbers of pictures, lesions and pictures of each diagnosis.
        server: the address of a Dataverse installation.

    Returns:
        The path of `folder/pictures`.

    Raises:
        UserError: there is no internet connection, a file is missing or damaged, or the counts are wrong.
    """
    pictures, unfinished = folder / "pictures", folder / ".unfinished"
    if not pictures.is_dir():
        archives = settings.archive or (download_record(settings, unfinished / "downloads", server),)
        lay_out(archives, settings, unfinished / "pictures", expected)
        (unfinished / "pictures").rename(pictures)
    shutil.rmtree(unfinished, ignore_errors=True)
    rows = read_laid_out(pictures, settings)
    check(rows, {path.name for path in (pictures / "images").iterdir()}, settings, expected, pictures)
    for split in settings.splits:
        print(f"{split}: {in_words(count(rows, split), expected[split])}")
    return pictures


def lay_out(archives: Iterable[pathlib.Path], settings: Config, folder: pathlib.Path, expected: dict) -> None:
    """Write `images/` and `metadata.csv`, after checking everything.

    Raises:
        UserError: a file is missing or damaged, or the counts are wrong.
    """
    with contextlib.ExitStack() as opened:
        tables, pictures = collect(archives, opened)
        rows, sources = [], {}
        for split in settings.splits:
            if split not in tables:
                name = pathlib.Path(FILES[split][-1]).stem
                raise by_hand(f"{in_line(archives)}: there is no {name} (.tab or .csv)", settings)
            rows += [{**row, "split": split} for row in read_table(tables[split])]
            sources |= pictures[split]
        check(rows, set(sources), settings, expected, in_line(archives))
        write_pictures(sources, folder / "images")
    columns = [*COLUMNS, "split"] if settings.with_test else COLUMNS
    files.write_csv(folder / "metadata.csv", columns, ([row[column] for column in columns] for row in rows))


def collect(archives: Iterable[pathlib.Path], opened: contextlib.ExitStack) -> tuple[dict, dict]:
    """Find the tables (split → source) and the pictures (split → file name → source).

    Raises:
        UserError: a file does not exist, a zip file is damaged, or two different pictures have the same name.
    """
    tables, pictures = {}, {split: {} for split in FILES}
    for archive in archives:
        for source in sources_in(archive, opened):
            split = "test" if "ISIC2018_Task3_Test" in source.where else "train"
            if PICTURE.fullmatch(source.name) and source.name != f"{SYNTHETIC}.jpg":
                # Kaggle's zip file has every picture twice.
                twin = pictures[split].setdefault(source.name, source)
                if twin.size != source.size:
                    raise errors.UserError(f"{twin.where} and {source.where} differ; give --archive only one of them")
            elif is_table(source.name, split):
                tables.setdefault(split, source)
    return tables, pictures


def is_table(name: str, split: str) -> bool:
    """Return whether this is the table of the split; Dataverse gives it one of several endings, or none."""
    path = pathlib.PurePath(name)
    return path.stem == pathlib.PurePath(FILES[split][-1]).stem and path.suffix in TABLE_SUFFIXES


def sources_in(path: pathlib.Path, opened: contextlib.ExitStack) -> Iterator[Source]:
    """Yield all files in a folder or a zip file, or the file itself.

    Raises:
        UserError: there is no such file, or a zip file is damaged.
    """
    path = path.expanduser().resolve()
    if not path.exists():
        raise errors.UserError(f"--archive {path}: no such file or folder")
    if path.suffix.lower() == ".zip" and path.is_file():
        yield from sources_in_zip(path, path.name, opened)
        return
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        where = file.relative_to(path.parent).as_posix()
        if is_wanted_zip(where) and file.is_file():
            yield from sources_in_zip(file, where, opened)
        elif file.is_file():
            yield Source(where, file.stat().st_size, file.read_bytes)


def sources_in_zip(file: pathlib.Path | IO[bytes], where: str, opened: contextlib.ExitStack) -> Iterator[Source]:
    """Yield all files in a zip file (a path or an open file) and in the zip files inside it.

    Raises:
        UserError: a zip file is damaged.
    """
    with reported_damage(where):
        archive = opened.enter_context(zipfile.ZipFile(file))
    for member in archive.infolist():
        inside = f"{where}/{member.filename}"
        if is_wanted_zip(inside):
            with reported_damage(inside):
                nested = opened.enter_context(archive.open(member))
            yield from sources_in_zip(nested, inside, opened)
        elif not member.is_dir():
            yield Source(inside, member.file_size, functools.partial(archive.read, member))


def is_wanted_zip(where: str) -> bool:
    """Return whether a file has the name of one of the record's zip files."""
    name = pathlib.PurePosixPath(where).name.lower()
    return name.endswith(".zip") and any(known in name for known in ZIP_NAMES)


@contextlib.contextmanager
def reported_damage(where: str) -> Iterator[None]:
    """Turn the errors of a damaged zip file into a `UserError`."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise errors.UserError(f"{where} is damaged or incomplete ({error}); download it again") from error


def read_table(source: Source) -> list[dict[str, str]]:
    """Return the rows of a table, separated by commas or tabs; only `COLUMNS` are kept.

    Raises:
        UserError: a column is missing.
    """
    text = source.read().decode("utf-8-sig", errors="replace")
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise errors.UserError(
            f"{source.where} has no column {', '.join(missing)}; use the file of this name from {PAGE}"
        )
    rows = [{column: row[column] or "" for column in COLUMNS} for row in reader]
    return [row for row in rows if row["image_id"] != SYNTHETIC]


def check(rows: list[dict], names: set[str], settings: Config, expected: dict, where: str | pathlib.Path) -> None:
    """Compare the rows with the names of the pictures, and the numbers with the expected ones.

    Raises:
        UserError: they differ; the message says what was found and what was expected.
    """
    listed = {f"{row['image_id']}.jpg" for row in rows}
    for strays, problem in ((listed - names, "there is no picture"), (names - listed, "no row names the picture")):
        if strays:
            more = f" and {len(strays) - 1:,} more" if len(strays) > 1 else ""
            raise errors.UserError(
                f"{where}: {problem} {min(strays)}{more}; found {len(names):,} pictures, expected {len(listed):,}"
            )
    for split in settings.splits:
        found = count(rows, split)
        wrong = [name for name, number in expected[split].items() if found[name] != number]
        if wrong:
            raise errors.UserError(
                f"{where}: found {in_words(found, wrong)}, expected {in_words(expected[split], wrong)} ({split})"
            )


def count(rows: list[dict], split: str) -> collections.Counter:
    """Return the numbers of pictures, lesions and pictures of each diagnosis."""
    chosen = [row for row in rows if row["split"] == split]
    found = collections.Counter(row["dx"] for row in chosen)
    found["pictures"] = len(chosen)
    found["lesions"] = len({row["lesion_id"] for row in chosen})
    return found


def in_words(numbers: dict, names: Iterable[str]) -> str:
    """Return numbers as text: `pictures 10,015, nv 6,705`."""
    return ", ".join(f"{name} {numbers[name]:,}" for name in names)


def in_line(paths: Iterable[pathlib.Path]) -> str:
    """Return paths as text for a message."""
    return ", ".join(str(path) for path in paths)


def write_pictures(sources: dict[str, Source], folder: pathlib.Path) -> None:
    """Copy the pictures unchanged; those that an interrupted run has written are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in sources:
            path.unlink()
    for name, source in tqdm.tqdm(sources.items(), "writing pictures", unit="picture", disable=None):
        path = folder / name
        if not path.is_file() or path.stat().st_size != source.size:
            with files.replacing(path) as temporary:
                temporary.write_bytes(source.read())


def read_laid_out(pictures: pathlib.Path, settings: Config) -> list[dict[str, str]]:
    """Return the rows of `metadata.csv`; without a column `split` all are `train`.

    Raises:
        UserError: the table contains the test set although it should not, or the other way round.
    """
    with open(pictures / "metadata.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if any("split" in row for row in rows) != settings.with_test:
        has = "no test set" if settings.with_test else "also the test set (--with-test)"
        raise errors.UserError(f"{pictures} already exists and has {has}; remove the folder and start again")
    return [{"split": "train", **row} for row in rows]


def download_record(settings: Config, folder: pathlib.Path, server: str) -> pathlib.Path:
    """Download the files that are not yet in `folder`, and return `folder`.

    The API is described at https://guides.dataverse.org/en/latest/api/dataaccess.html.

    Raises:
        UserError: there is no internet connection, the download was interrupted, or an MD5 sum is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for split in settings.splits for name in FILES[split] if not (folder / name).is_file()]
    record = list_record(settings, server) if names else {}
    for name in names:
        stem = pathlib.PurePath(name).stem
        if stem not in record:
            raise by_hand(f"the record at {server} has no {stem}", settings)
        download_file(record[stem], folder / name, settings, server)
    return folder


def list_record(settings: Config, server: str) -> dict[str, dict]:
    """Return the API's facts about the record's files (`id`, `filesize`, `md5`), by name without the ending.

    Raises:
        UserError: there is no internet connection, or the answer has an unexpected form.
    """
    url = f"{server}/api/datasets/:persistentId/?persistentId={RECORD}"
    content = download.read(url, "the list of files", advice(settings), USER_AGENT)
    try:
        entries = json.loads(content)["data"]["latestVersion"]["files"]
        return {pathlib.PurePath(entry["label"]).stem: entry["dataFile"] for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise by_hand(f"the answer of {server} is not a list of files", settings) from error


def download_file(entry: dict, path: pathlib.Path, settings: Config, server: str) -> None:
    """Download one file as `<path>.part`, resuming if that exists, and rename it.

    Raises:
        UserError: there is no internet connection, the download was interrupted, or the MD5 sum is wrong.
    """
    url = f"{server}/api/access/datafile/{entry['id']}"
    part = path.with_name(f"{path.name}.part")
    if path.suffix == ".csv":
        # The API's size and MD5 sum of a table may be those of another format of it
        # (https://github.com/IQSS/dataverse/issues/9501). So it is downloaded anew, and its rows are counted later.
        part.unlink(missing_ok=True)
        download.append(f"{url}?format=original", part, advice(settings), USER_AGENT)
    else:
        if not part.is_file() or part.stat().st_size < entry["filesize"]:
            download.append(url, part, advice(settings), USER_AGENT)
        check_md5(part, entry["md5"])
    os.replace(part, path)


def check_md5(path: pathlib.Path, expected: str) -> None:
    """Remove a file if its MD5 sum is not the expected one.

    Raises:
        UserError: the file was removed.
    """
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != expected:
        path.unlink()
        raise errors.UserError(
            f"{path.stem}: found the MD5 sum {found}, expected {expected}; it was removed, start again"
        )


def by_hand(problem: str, settings: Config) -> errors.UserError:
    """Return an error that says how to continue without this script's download."""
    return errors.UserError(f"{problem}; {advice(settings)}")


def advice(settings: Config) -> str:
    """Return how to continue without this script's download."""
    names = ", ".join(name for split in settings.splits for name in FILES[split])
    flag = "--with-test " if settings.with_test else ""
    return (
        f"download {names} from {PAGE} with a browser into one folder, "
        f"then run: python data/ham10000/prepare.py {flag}--archive FOLDER"
    )


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
