"""New labelled data for a finished run: read as its recipe reads data, without items that the run has learnt from.

Unusable files and unknown classes are refused or left out. Every item whose content was in the run's training or
validation data is left out.
"""

import collections
import contextlib
import dataclasses
import io
import pathlib
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from common import errors, files, flags, startup, words
from common.data import (
    duplicates,
    file_checks,
    group_pattern,
    listings,
    name_families,
    name_series,
    names,
    picture_checks,
    sample_list,
    sources,
    splits,
    tables,
    unchanged,
)
from common.media import medium as media

LEARNT_FROM = ("train", "validation")
NAMED = 3  # files in one message

Samples = list[sample_list.Sample]
Found = tuple[Samples, dict[str, str], list[file_checks.Problem]]  # samples, path → text of documents, problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """New data that a run's model is evaluated on.

    Attributes:
        samples: the usable samples of the model's classes, without files that the run trained or validated on.
        texts: path → text of documents; empty for other media.
        reader: reads the items of other media, and refuses a file that has changed since it was checked.
        units: the unit of each sample, which is one piece of evidence: its group, and copies of one file.
        left_out: numbers of items that are `unusable`, of `unknown` classes (class → number), in `train` and in
            `validation`.
        tested: the number of samples that are also test samples of the run.
        shared_groups: the groups that have the name of a group in the run's training or validation data.
        gone: the number of files of the run that no longer exist; the samples may include their contents.
    """

    samples: Samples
    texts: dict[str, str] = dataclasses.field(repr=False)
    reader: unchanged.Reader
    units: list[str]
    left_out: dict
    tested: int
    shared_groups: list[str]
    gone: int

    def summary(self, class_names: Sequence[str]) -> dict:
        """Return the `data` section of the evaluation's results.json."""
        counts = collections.Counter(sample.label for sample in self.samples)
        return {
            "n": len(self.samples),
            "per_class": {name: counts[name] for name in class_names},
            "missing": [name for name in class_names if not counts[name]],
            "groups": len({sample.group for sample in self.samples if sample.group}),
            "left_out": self.left_out,
            "test_samples_of_the_run": self.tested,
            "groups_of_the_run": self.shared_groups,
            "files_of_the_run_gone": self.gone,
        }


def load(
    data: pathlib.Path, medium: media.Medium, class_names: Sequence[str], split: list[dict], settings: dict,
    skip_bad: bool, skipped_csv: pathlib.Path, skip_unsupported: bool = False,
) -> Labelled:  # fmt: skip
    """Read labelled data, check it, and print to stderr what is left out.

    Args:
        data: a folder of class folders or a CSV with the columns `path,label[,group]`. For documents: a folder with a
            sub-folder for each type, or a .jsonl. Names of classes and groups are compared by `names.key`.
        medium: the medium of the run.
        class_names: the classes that its model knows.
        split: the rows of the run's split.csv.
        settings: the settings of the run, from its config.json.
        skip_bad: leave out unusable items and unknown classes instead of refusing them.
        skipped_csv: the file that lists everything that is left out.
        skip_unsupported: go on if much of a class is in formats that are not read.

    Raises:
        UserError: there is no data, some of it is refused, or nothing is left.
    """
    if not data.exists():
        raise errors.UserError(f"{data}: no such file or folder; give labelled {medium.unit}s")
    samples, texts, problems = READERS.get(medium.name, _files)(data, medium, settings, skip_unsupported)
    samples = [dataclasses.replace(sample, split="") for sample in samples]  # all of them are test samples here
    total = len(samples) + len(problems)
    samples = names.settled(names.matched(samples, class_names), same_names=True, classes=False)
    known, unknown = _by_class(samples, class_names)
    if unknown and not skip_bad:
        raise errors.UserError(_unknown_classes(unknown, class_names, medium))
    strangers = [
        file_checks.Problem(sample.path, sample.label, "unknown class: the model has not learnt it")
        for each in unknown.values() for sample in each
    ]  # fmt: skip

    facts = (
        file_checks.facts_of_texts(texts) if texts else _scanned([sample.path for sample in known], medium, settings)
    )
    hashes = {path: found.sha256 for path, found in facts.items()}
    unchanged.check(known, hashes, medium.unit, str(data), is_resumed=False)
    problems += file_checks.find_problems(known, facts, 0, medium.unit)
    bad = {problem.path for problem in problems}
    known = [sample for sample in known if sample.path not in bad]
    nothing = "" if known else f"no {medium.unit} is"
    file_checks.leave_out([*problems, *strangers], total, skip_bad, skipped_csv, medium.unit, nothing)
    if not known:
        raise errors.UserError(f"{data}: no {medium.unit}s found")
    if not texts:
        picture_checks.check(known, facts, medium.unit)

    ours, contents, gone = _contents(known, facts, texts, split, medium, settings)
    seen = {sample.path: ours.get(contents[sample.path], {}) for sample in known}
    sides = {path: next((side for side in LEARNT_FROM if side in found), "") for path, found in seen.items()}
    leaks = [
        file_checks.Problem(sample.path, sample.label, f"leak: in {side} of the run, as {seen[sample.path][side]}")
        for sample in known if (side := sides[sample.path])
    ]  # fmt: skip
    if leaks:
        file_checks.leave_out([*problems, *strangers, *leaks], total, True, skipped_csv, medium.unit)
    kept = [sample for sample in known if not sides[sample.path]]
    if not kept:
        raise errors.UserError(
            f"{data}: all {words.plural(len(known), medium.unit)} were in the run's training or validation data, so "
            "there is nothing new to evaluate on"
        )
    kept = name_families.with_groups(kept, name_families.find(kept, medium.title))
    units = splits.units_of(kept, contents)
    groups = {names.key(row.get("group") or "") for row in split if row["split"] in LEARNT_FROM} - {""}
    found = Labelled(
        samples=kept,
        texts=texts,
        reader=unchanged.Reader(medium, hashes),
        units=[units[sample.path] for sample in kept],
        left_out={
            "unusable": len(problems),
            "unknown": {name: len(each) for name, each in unknown.items()},
            **{side: list(sides.values()).count(side) for side in LEARNT_FROM},
        },
        tested=sum("test" in seen[sample.path] for sample in kept),
        shared_groups=sorted({sample.group for sample in kept if names.key(sample.group) in groups}),
        gone=gone,
    )
    _say(found, leaks, class_names, medium, skipped_csv)
    return found


def _by_class(samples: Samples, class_names: Sequence[str]) -> tuple[Samples, dict[str, Samples]]:
    """Return the samples of classes that the model knows, and class → samples of the other classes."""
    known = [sample for sample in samples if sample.label in class_names]
    unknown: dict[str, Samples] = {}
    for sample in samples:
        if sample.label not in class_names:
            unknown.setdefault(sample.label, []).append(sample)
    return known, unknown


def _unknown_classes(unknown: dict[str, Samples], class_names: Sequence[str], medium: media.Medium) -> str:
    """Return the one-line message about all unknown classes."""
    counts = [
        f"{name!r} ({words.plural(len(samples), medium.unit)}{flags.suggestion(name, list(class_names))})"
        if name
        else f"none ({words.plural(len(samples), medium.unit)}, such as {words.printable(samples[0].path)})"
        for name, samples in sorted(unknown.items())
    ]
    listed = ", ".join(class_names[:20]) + (f" and {len(class_names) - 20} more" if len(class_names) > 20 else "")
    what = "class" if len(unknown) == 1 else "classes"
    return (
        f"the model does not know the {what} {', '.join(counts)}; it knows {listed}. Rename the {what}, or leave such "
        f"{medium.unit}s out with --skip-bad"
    )


def _say(
    found: Labelled, leaks: list[file_checks.Problem], class_names: Sequence[str], medium: media.Medium,
    skipped_csv: pathlib.Path,
) -> None:  # fmt: skip
    """Print to stderr what is left out and what is doubtful."""
    left_out, unit = found.left_out, medium.unit
    notes = []
    if count := left_out["unusable"] + sum(left_out["unknown"].values()):
        which = f", {', '.join(map(repr, left_out['unknown']))} unknown to the model" if left_out["unknown"] else ""
        notes.append(f"{words.plural(count, unit)} left out{which}, see {skipped_csv}")
    if leaks:
        some = ", ".join(words.printable(leak.path) for leak in leaks[:NAMED])
        more = f" and {len(leaks) - NAMED} more" if len(leaks) > NAMED else ""
        notes.append(
            f"leak: {words.plural(len(leaks), unit)} left out because the run used them for training or validation: "
            f"{some}{more}, see {skipped_csv}"
        )
    if found.tested:
        notes.append(
            f"{words.plural(found.tested, unit)} of the new data also in the run's test data, so the two results are "
            "not independent"
        )
    if found.shared_groups:
        some = ", ".join(found.shared_groups[:NAMED])
        notes.append(f"training data also has groups named {some}; if they are the same groups, the result is too good")
    if found.gone:
        notes.append(
            f"{words.plural(found.gone, unit)} of the run can no longer be read; the new data may contain them"
        )
    if missing := found.summary(class_names)["missing"]:
        some = ", ".join(missing[:20])
        notes.append(f"no {unit} of {some}; the metrics cover the other classes only")
    for note in notes:
        print(f"data: {note}", file=sys.stderr)


# What the run has learnt from -----------------------------------------------------------------------------------------


def _contents(
    samples: Samples, facts: dict[str, media.Facts], texts: dict[str, str], split: list[dict], medium: media.Medium,
    settings: dict,
) -> tuple[dict[str, dict[str, str]], dict[str, str], int]:  # fmt: skip
    """Return content → side → file of the run, path → content of the samples, and the number of missing files.

    The content of a file is its bytes, whose hash the run's split.csv lists, except in older versions. Copies of one
    picture and near-duplicate documents count as one content, as in the run's own split.
    """
    if texts:
        theirs = _texts_of_the_run(split, medium)
        similar = startup.by_name("data.near_duplicates")
        both = {**theirs, **{sample.path: texts[sample.path] for sample in samples}}
        contents = similar.clusters(both, similar.near_duplicates(both, settings["duplicate_threshold"]))
        known = {path: contents[path] for path in theirs}
    else:
        here = {sample.path: facts[sample.path] for sample in samples}
        listed = {row["path"]: row[unchanged.COLUMN] for row in split if row.get(unchanged.COLUMN)}
        scanned = _scanned([row["path"] for row in split], medium, settings)
        learnt = {
            path: found for path, found in scanned.items()
            if found.sha256 and listed.get(path, found.sha256) == found.sha256
        }  # fmt: skip
        every = learnt | here
        groups = {row["path"]: row.get("group") or "" for row in split} | {one.path: one.group for one in samples}
        labels = {row["path"]: row["label"] for row in split} | {one.path: one.label for one in samples}
        copies = duplicates.joined(duplicates.within_groups(duplicates.copies(every, labels), groups))
        number_of = splits.connected(
            {*listed.values(), *(found.sha256 for found in every.values())},
            ((every[first].sha256, every[second].sha256) for first, second in copies),
        )
        contents = {path: str(number_of[found.sha256]) for path, found in here.items()}
        hashes = {path: found.sha256 for path, found in learnt.items()} | listed
        known = {path: str(number_of[sha256]) for path, sha256 in hashes.items()}
    ours: dict[str, dict[str, str]] = {}
    for row in split:
        if row["path"] in known:
            ours.setdefault(known[row["path"]], {}).setdefault(row["split"], row["path"])
    return ours, contents, len({row["path"] for row in split} - known.keys())


def _texts_of_the_run(split: list[dict], medium: Any) -> dict[str, str]:
    """Return path → text of the documents of a run that can still be read; a line of a .jsonl is path:number."""
    texts: dict[str, str] = {}
    lists = {path for row in split if (path := row["path"].rpartition(":")[0]).lower().endswith(".jsonl")}
    for path in sorted(lists):
        if pathlib.Path(path).is_file():
            texts |= _documents(pathlib.Path(path), medium, {}, True)[1]
    for row in split:
        with contextlib.suppress(errors.UnusableFile):
            if row["path"].rpartition(":")[0] not in lists:
                texts[row["path"]] = medium.read(row["path"])
    here = {row["path"] for row in split}
    return {path: text for path, text in texts.items() if path in here}


def _scanned(paths: Iterable[str], medium: media.Medium, settings: dict) -> dict[str, media.Facts]:
    """Return the facts of files, from the run's cache if it has them."""
    if settings.get("no_cache"):
        return file_checks.scan(paths, medium)
    cache = pathlib.Path(settings.get("cache") or flags.default_cache_directory()).expanduser()
    try:
        return file_checks.scan(paths, medium, cache)
    except errors.UserError:  # it cannot be written
        print(f"data: the cache {cache} cannot be used; every file will be read again", file=sys.stderr)
        return file_checks.scan(paths, medium)


# Readers ----------------------------------------------------------------------------------------------------------


def _files(data: pathlib.Path, medium: media.Medium, settings: dict, skip_unsupported: bool) -> Found:
    """Read items such as photos; for a run with column settings also a folder with metadata.csv."""
    if "image_column" in settings and (data / "metadata.csv").is_file():
        lesions = startup.by_name("data.metadata_table")
        roles = [field.name for field in dataclasses.fields(lesions.Columns)]
        columns = lesions.Columns(**{role: settings[f"{role}_column"] for role in roles})
        diagnoses = tuple(settings.get("diagnoses") or ())
        table = lesions.read(data, columns, diagnoses, skip_unsupported, same_names=True)
        return table.samples, {}, list(table.problems)
    if data.is_dir():
        listed = listings.in_folder(data, medium)
        samples = listed or sources.read_folder(data, medium, skip_unsupported=skip_unsupported, least_classes=1)
    elif data.suffix.lower() in tables.ENDINGS:
        samples = listings.read(data, medium)
    else:
        raise errors.UserError(f"{data}: neither a folder of class folders nor a .csv file with the columns path,label")
    if pattern := settings.get("group_pattern"):
        samples = _grouped(
            samples, lambda: group_pattern.with_groups(samples, pattern, medium.title, medium.unit), medium
        )
    samples = sources.with_groups_of_files(samples, medium)
    return name_series.with_groups(samples, medium.title, medium.unit), {}, []


def _clips(data: pathlib.Path, medium: media.Medium, settings: dict, skip_unsupported: bool) -> Found:
    """Read clips with the groups in their names."""
    clip_groups = startup.by_name("data.clip_groups")
    pattern = settings.get("group_pattern")
    if data.is_dir():
        listed = listings.in_folder(data, medium)
        samples = listed or clip_groups.read_folder(data, skip_unsupported, least_classes=1)
    else:
        samples, _, _ = _files(data, medium, settings | {"group_pattern": None}, skip_unsupported)
    return _grouped(samples, lambda: clip_groups.with_groups(samples, pattern), medium), {}, []


def _documents(data: pathlib.Path, medium: Any, settings: dict, skip_unsupported: bool) -> Found:
    """Read documents with the groups that the run's pattern finds in their names, or with those of the .jsonl."""
    if not data.is_dir() and data.suffix.lower() != ".jsonl":
        raise errors.UserError(f"{data}: neither a folder with a sub-folder of .txt files for each type nor a .jsonl")
    documents, pattern = startup.by_name("data.documents"), settings.get("group_pattern")
    samples, texts, problems = documents.read_source(types.SimpleNamespace(
        data=str(files.absolute(data)), encoding=medium.encoding, keep_layout=medium.keep_layout,
        document_characters=medium.characters, group_pattern=None, skip_unsupported=skip_unsupported,
    ))  # fmt: skip
    if pattern:
        samples = _grouped(samples, lambda: documents.with_groups(samples, pattern), medium)
    return samples, texts, problems


READERS: dict[str, Callable[[pathlib.Path, media.Medium, dict, bool], Found]] = {"clips": _clips, "texts": _documents}


def _grouped(samples: Samples, find: Callable[[], Samples], medium: media.Medium) -> Samples:
    """Return the samples with their own groups, or with those that `find` finds; print a message if there are none."""
    if any(sample.group for sample in samples):
        return samples
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(errors.UserError):  # advice for recipes
        samples = find()
    if not any(sample.group for sample in samples):
        print(
            f"data: it is unknown which {medium.unit}s belong together; if some do, the intervals are too narrow",
            file=sys.stderr,
        )
    return samples
