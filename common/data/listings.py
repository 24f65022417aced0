"""Items that a table lists: a CSV with `path,label[,group][,split]`, or Hugging Face's `metadata.csv` in a folder."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import pathlib
import sys
from collections.abc import Collection, Iterator

from common import errors, files, outputs, words
from common.data import names, sample_list, sides, tables, unchanged
from common.media import folders as walks
from common.media import medium as media

FILE_NAME = "metadata.csv"
# Other names of a column. `id` and `name` are too vague: they may be anything.
SYNONYMS = {
    "path": (
        "file", "file_name", "file_path", "image", "image_file", "image_id", "image_name", "image_path", "img",
        "img_name", "img_path", "photo", "picture", "video", "video_path", "clip", "clip_path",
    ),
    "label": ("labels", "label_name", "class", "class_name", "category", "target", "diagnosis"),
    "group": (
        "groups", "group_id", "group_name", "patient", "patient_id", "subject", "subject_id", "person", "person_id",
        "individual", "individual_id", "animal_id", "lesion", "lesion_id", "case_id", "study_id", "series_id",
        "session", "session_id", "video_id",
    ),
    "split": ("set", "subset", "partition"),
}  # fmt: skip
ROLES = {role: role for role in sample_list.COLUMNS}
FEW = 3  # missing files that a run lists one by one
MOST_SEEN = 50_000  # files that are looked at to find where a CSV's files are


# A CSV -----------------------------------------------------------------------------------------------------------


def read(path: pathlib.Path, medium: media.Medium, columns: Collection[str] = ()) -> list[sample_list.Sample]:
    """Read the items of a CSV with the columns `path,label[,group][,split]`; paths are relative to the CSV's folder.

    Columns with a similar name are used if there is only one, with a message. Further columns are kept as `about`. A
    file that is not there as written is looked for under similar names (`_Finder`).

    Args:
        path: the CSV.
        medium: the medium of the items.
        columns: further columns that the caller reads, if they are there.

    Raises:
        UserError: a column or a value is missing, a split has another name, or a path is listed twice.
    """
    table, finder = tables.read(path), _Finder(files.absolute(path).parent, medium)
    if tables.find(table, "label", SYNONYMS["label"]) is None:
        table = tables.with_one_label(table)
    column = {role: found for role, found in _columns(table, finder).items() if found}
    missing = [name for name in ("path", "label") if name not in column]
    if missing:
        raise errors.UserError(
            f"{path}: no column {' and '.join(missing)}; its first line has {_listed(table)}, and must name the "
            f"columns path,label[,group][,split]{_files_of(table, finder)}; other names that are known: "
            f"{'; '.join(_known(role) for role in missing)}"
        )
    further = {name: name for name in (unchanged.COLUMN, *columns) if name in table.columns}
    tables.say_columns(table, column | further, ROLES | further)
    _check_labels(table, column["label"])
    if "split" in column:
        sides.tell({row[column["split"]] for _, row in table.rows}, str(path))
    finder.settle(path, [row[column["path"]] for _, row in table.rows])
    samples = [_sample(row, column, finder, f"{path}, line {line}") for line, row in table.rows]
    finder.say(path.name)
    repeated = [name for name, count in collections.Counter(sample.path for sample in samples).items() if count > 1]
    if repeated:
        raise errors.UserError(f"{path}: {words.printable(repeated[0])} is listed more than once")
    return samples


def _columns(table: tables.Table, finder: _Finder) -> dict[str, str | None]:
    """Return role → column, None for a column that is missing.

    A column such as `id` is that of the paths if it alone names files, and the only other column that of the labels.
    """
    found = {role: tables.find(table, role, SYNONYMS[role]) for role in ("path", "label", "group")}
    found |= {"split": split_column(table)}
    rest = [column for column in table.columns if column not in found.values()]
    if not found["path"]:
        if any(map(finder.finds, table.columns)):
            raise errors.UserError(
                f"{table.path}: its first line is a row already; put the names of the columns, such as path,label, "
                "into a line above it"
            )
        named = [column for column in rest if finder.finds_all([row[column] for _, row in table.rows])]
        found["path"] = named[0] if len(named) == 1 else None
        rest = [column for column in rest if column not in named]
    if found["path"] and not found["label"] and len(rest) == 1:
        found["label"] = rest[0]
    return found


def split_column(table: tables.Table) -> str | None:
    """Return the column with the sides of a split; one with a name such as `set` needs names of sides as values."""
    found = tables.find(table, "split", SYNONYMS["split"])
    if found in (None, "split") or any(sides.side_of(row[found]) for _, row in table.rows):
        return found
    return None


def _files_of(table: tables.Table, finder: _Finder) -> str:
    """Return which column names files, some of which are not there; "" if that is not clear."""
    for column in table.columns:
        missing = [row[column] for _, row in table.rows if not row[column] or not finder.finds(row[column])]
        if 2 * len(missing) < len(table.rows):
            lost = f", but not in {words.plural(len(missing), 'row')}, such as {missing[0]!r}" if missing else ""
            return f" (column {names.visible([column])[0]} names files that are there{lost})"
    return ""


def _known(role: str) -> str:
    return f"for {role}: {', '.join(SYNONYMS[role])}"


def _listed(table: tables.Table) -> str:
    return ", ".join(names.visible(table.columns)) or "no names"


def _check_labels(table: tables.Table, column: str) -> None:
    """Refuse labels that stand for missing ones."""
    lines = [line for line, row in table.rows if names.key(row[column]) in names.NO_VALUE]
    if lines:
        value = next(row[column] for line, row in table.rows if line == lines[0])
        raise errors.UserError(
            f"{table.path}, line {lines[0]}: {column} is {value!r}, which pandas writes for a missing value "
            f"({words.plural(len(lines), 'row')}); fill it in or remove the row, or rename it if it is a class"
        )


def _sample(row: dict[str, str], column: dict[str, str], finder: _Finder, place: str) -> sample_list.Sample:
    values = {role: row[name] for role, name in column.items()}
    if not values["path"] or not values["label"]:
        raise errors.UserError(f"{place}: path or label is empty")
    side = values.get("split", "")
    if side and not sides.side_of(side):
        raise errors.UserError(f"{place}: split is {side!r}; it must be train, validation or test")
    values |= {"path": finder.find(values["path"]), "split": sides.side_of(side)}
    about = {name: value for name, value in row.items() if name not in column.values()}
    return sample_list.Sample(**values, about=about)


# A folder with tables ---------------------------------------------------------------------------------------------


def in_folder(
    folder: pathlib.Path, medium: media.Medium, columns: Collection[str] = ()
) -> list[sample_list.Sample] | None:
    """Read the items that Hugging Face's `metadata.csv` lists, in the folder itself or in train/, test/, … below it.

    The table needs a column with the file's name, such as `file_name`, and one with the label. Without a split in the
    table, the folders train/, test/, … that its files are in are the sides.

    Returns:
        The samples, or None if the folder has no such table.

    Raises:
        UserError: a table is not as `read` wants it, or a folder beside train/ with a table has none.
    """
    folder = files.absolute(folder)
    if (folder / FILE_NAME).is_file():
        if not _is_listing(folder / FILE_NAME):
            return None
        _say_used([folder])
        samples = read(folder / FILE_NAME, medium, columns)
        _say_unlisted(samples, [folder], medium)
        if any(sample.split for sample in samples):
            return samples
        tops = [pathlib.PurePath(os.path.relpath(sample.path, folder)).parts[0] for sample in samples]
        given = [sides.side_of(top) for top in tops]
        if not all(given) or len(set(given)) < 2:
            return samples
        sides.tell(set(tops), str(folder))
        return _with_sides(samples, given)
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir() and not walks.is_left_alone(path.name)]
    parts = [path for path in parts if not outputs.is_ours(path)]
    listed = [part for part in parts if (part / FILE_NAME).is_file() and sides.side_of(part.name)]
    if not listed or not all(_is_listing(part / FILE_NAME) for part in listed):
        return None
    sides.tell((part.name for part in listed), str(folder))
    _say_used(listed)
    samples = []
    for part in listed:
        own = read(part / FILE_NAME, medium)
        if any(sample.split for sample in own):
            raise errors.UserError(f"{part / FILE_NAME}: gives splits, and so does its folder; remove the column")
        samples += _with_sides(own, [sides.side_of(part.name)] * len(own))
    without = [part for part in parts if part not in listed and medium.found([part])]
    if without:
        raise errors.UserError(f"{without[0]}: has no {FILE_NAME}, but {listed[0]} has one; add it, or move the folder")
    _say_unlisted(samples, listed, medium)
    return samples


def _is_listing(path: pathlib.Path) -> bool:
    """Return whether a table has files and labels; print what it lacks."""
    table = tables.read(path)
    missing = [role for role in ("path", "label") if tables.find(table, role, SYNONYMS[role]) is None]
    if missing:
        print(f"data: {path} is not read: no column {' and '.join(missing)} in {_listed(table)}", file=sys.stderr)
    return not missing


def _say_used(folders: list[pathlib.Path]) -> None:
    told = words.listed([str(folder / FILE_NAME) for folder in folders])
    print(f"data: the labels are those in {told}, not the names of folders", file=sys.stderr)


def _with_sides(samples: list[sample_list.Sample], given: list[str]) -> list[sample_list.Sample]:
    return [dataclasses.replace(sample, split=side) for sample, side in zip(samples, given, strict=True)]


def _say_unlisted(samples: list[sample_list.Sample], folders: list[pathlib.Path], medium: media.Medium) -> None:
    """Print how many items in the folders the tables do not list."""
    here = {sample.path for sample in samples}
    others = [path for path in medium.found(folders) if str(path) not in here]
    if others:
        count = words.plural(len(others), medium.unit)
        told = words.printable(str(others[0]))
        print(f"data: {FILE_NAME} does not list {count}, such as {told}; not read", file=sys.stderr)


# Files -----------------------------------------------------------------------------------------------------------


class _Finder:
    """Finds the files that a table names, also where they are not there as written; `say` tells which.

    Then a backslash is read as a slash, a spelling that only looks alike is read as the file's, and an ending is added,
    if exactly one file is meant. If most files are in another folder than written, they are read there (`settle`).
    """

    def __init__(self, folder: pathlib.Path, medium: media.Medium) -> None:
        self.folder, self.medium = folder, medium
        self.moved: tuple[str, str] | None = None  # how paths begin as written, and how they really do
        self.places: dict[str, dict[str, list[str]]] = {}
        self.found: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)

    def find(self, written: str) -> str:
        """Return the path of a file; that of a missing one as written."""
        for how, name in self._readings(written):
            path = self._path(name)
            if os.path.exists(path):
                if how:
                    self.found[how].append((written, name))
                return path
        return self._path(written)

    def settle(self, table: pathlib.Path, paths: list[str]) -> None:
        """Find out in which folder the files are if most of them are not there as written.

        Raises:
            UserError: more than `FEW` and most of them are nowhere, or not all where the first one is.
        """
        missing = [path for path in paths if path and not self.finds(path)]
        if 2 * len(missing) <= len(paths) or not missing:
            return
        self.moved = self._moved(missing[0])
        still = [path for path in missing if not self.finds(path)]
        if not still:
            return
        place, self.moved = self.moved, None
        if len(missing) <= FEW:
            return
        named = ", ".join(map(words.printable, missing[:FEW])) + ", …"
        hint = f"paths are relative to {self.folder}"
        if place:
            hint += (
                f"; the first one is there with {place[1] or '.'}/ for {place[0] or '.'}/, but not "
                f"{words.printable(still[0])}"
            )
        raise errors.UserError(
            f"{table}: {len(missing):,} of its {words.plural(len(paths), 'file')} are not there ({named}); {hint}; "
            "correct the paths or move the CSV"
        )

    def finds_all(self, values: list[str]) -> bool:
        """Return whether all values name files, the first ones in a folder that may be another than written."""
        if not values or not all(values) or len(set(values)) < len(values):
            return False
        before = self.moved
        if not self.finds(values[0]):
            self.moved = self._moved(values[0])
        try:
            return all(map(self.finds, values))
        finally:
            self.moved = before

    def finds(self, written: str) -> bool:
        """Return whether a path names a file."""
        return any(os.path.exists(self._path(name)) for _, name in self._readings(written))

    def _moved(self, written: str) -> tuple[str, str] | None:
        """Return how a path begins as written, and how the only file that it can mean does; None if there is none."""
        parts = pathlib.PurePath(written.replace("\\", "/")).parts
        found: dict[int, set[tuple[str, int]]] = {}
        for root in (self.folder, self.folder.parent):
            for path in itertools.islice(_below(root), MOST_SEEN):
                if path.name == parts[-1] or (path.stem == parts[-1] and path.suffix.lower() in self.medium.extensions):
                    there = pathlib.PurePath(os.path.relpath(path.with_name(parts[-1]), self.folder)).parts
                    pairs = zip(reversed(parts), reversed(there), strict=False)
                    same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
                    found.setdefault(same, set()).add(("/".join(there[:-same]), same))
            if found:
                break
        best = found[max(found)] if found else set()
        if len(best) != 1:
            return None
        ((place, same),) = best
        return str(pathlib.PurePath(*parts[:-same])) if parts[:-same] else "", place

    def _path(self, name: str) -> str:
        return str(files.absolute(self.folder / os.path.expanduser(name)))

    def _readings(self, written: str) -> Iterator[tuple[str, str]]:
        """Yield ways to read a path, the most literal first, each with what was done to it."""
        yield "", written
        plain = written.replace("\\", "/")
        if self.moved and plain.startswith(self.moved[0]):
            before, place = self.moved
            told = f"in {place or '.'}/" + (f" instead of {before}/" if before else "")
            rest = plain.removeprefix(before).lstrip("/") if before else plain
            for name in self._forms(os.path.join(place, rest)):
                yield told, name
        if plain != written:
            yield "with / for \\", plain
        alike = self._alike(plain)
        if alike:
            yield "in the file's own spelling", alike
        for name in self._forms(plain)[1:]:
            yield "with the file's ending", name

    def _forms(self, path: str) -> list[str]:
        """Return a path, and also the one with a file's ending if exactly one file is meant."""
        folder, name = os.path.split(path)
        with_ending = self._names(folder).get(names.key(name + "."), [])
        return [path, *(os.path.join(folder, each) for each in with_ending if len(with_ending) == 1)]

    def _alike(self, name: str) -> str:
        """Return the one file whose path only looks like this one, or ""."""
        place = ""
        for part in pathlib.PurePath(name).parts:
            if os.path.exists(self.folder / place / part):
                place = os.path.join(place, part)
                continue
            found = self._names(place).get(names.key(part), [])
            if len(found) != 1:
                return ""
            place = os.path.join(place, found[0])
        return place

    def _names(self, place: str) -> dict[str, list[str]]:
        """Return the names in a folder by their key, those of items also by their key without ending, with a dot."""
        if place not in self.places:
            folder, listed = self.folder / place, collections.defaultdict(list)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                listed[names.key(name)].append(name)
                stem, ending = os.path.splitext(name)
                if ending.lower() in self.medium.extensions:
                    listed[names.key(stem + ".")].append(name)
            self.places[place] = listed
        return self.places[place]

    def say(self, table: str) -> None:
        """Print which files were not there as written."""
        for how, pairs in self.found.items():
            (written, name), count = pairs[0], words.plural(len(pairs), "path")
            seen = " as ".join(names.visible([written, name]))
            print(f"data: {table}: {count} not there as written, read {how}, such as {seen}", file=sys.stderr)


def _below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the files and folders below a folder, those near to it first, without what is left alone everywhere."""
    waiting = collections.deque([folder])
    while waiting:
        try:
            with os.scandir(waiting.popleft()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if walks.is_left_alone(entry.name):
                        continue
                    yield pathlib.Path(entry.path)  # also folders, since a clip may be one
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(pathlib.Path(entry.path))
        except OSError:
            continue
