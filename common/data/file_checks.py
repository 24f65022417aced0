"""Checks that open every file once before the training, so that a bad photo or clip cannot stop a run hours later.

`scan` collects the facts (and caches them), `find_problems` judges them, and `apply` stops the run or leaves the bad
files out. The medium defines how a file is read.
"""

import collections
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent import futures

import tqdm

from common import errors, files, words
from common.data import sample_list, unchanged
from common.data import targets as kinds
from common.media import medium as media

# Raise it whenever a medium judges or notes differently, so that no old result is reused. `_version` adds the
# decoder's version, because the decoder decides what can be read.
SCANNER_VERSION = "5"

MINIMUM_PER_CLASS = 3  # one each for training, validation and test

ADVICE = "remove or replace them"
RESUMED = "put them back as they were, or start a new run with --skip-bad"  # a run that goes on keeps its items
_LISTED_IN_MESSAGE = 3
_LISTED_ON_TERMINAL = 20
_PLACE = re.compile(r"^[^:]*, line \d+: ")  # of a problem that a table names


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file that cannot be used, and the reason."""

    path: str
    label: str
    reason: str  # "kind: details; what to do", several joined by " | "


# Finding the facts ------------------------------------------------------------------------------------------


def scan(
    paths: Iterable[str | os.PathLike], medium: media.Medium, cache_directory: str | os.PathLike | None = None,
    workers: int | None = None,
) -> dict:  # fmt: skip
    """Open every file once and return its facts, from the cache if the file has not changed.

    Args:
        paths: the files; each is opened once, even if it is listed several times.
        medium: the medium of the files.
        cache_directory: facts are stored in its folder `scan`, in one file per data set; None stores nothing.
        workers: threads that read and decode; default: one per CPU core.

    Returns:
        A dict from each path, as given, to its `medium.Facts`, in the order of `paths`.

    Raises:
        errors.UserError: the cache directory cannot be written.
    """
    names = list(dict.fromkeys(os.fspath(path) for path in paths))
    if cache_directory is None or not names:
        return dict(_inspect_all(names, workers, medium))
    cache_file = _cache_file(cache_directory, names, medium)
    known = _load(cache_file, medium)
    stamps = {path: unchanged.stamp(path) for path in names}
    facts = {path: _recall(known, path, stamps[path], medium) for path in names}
    unknown = [path for path in names if facts[path] is None]
    if unknown:
        facts |= _inspect_and_keep(unknown, stamps, cache_file, workers, medium)
    return facts


def _inspect_all(paths: list[str], workers: int | None, medium: media.Medium) -> Iterator[tuple[str, media.Facts]]:
    """Yield each path with its facts, in order; a progress bar appears after a second."""
    pool = futures.ThreadPoolExecutor(workers or os.cpu_count())
    try:
        found = pool.map(medium.inspect, paths)
        yield from zip(
            paths, tqdm.tqdm(found, "scan", len(paths), unit=medium.unit, delay=1, disable=None), strict=True
        )
    finally:
        # Without this, Ctrl-C would wait until the last photo of the data set is decoded.
        pool.shutdown(cancel_futures=True)


def _inspect_and_keep(
    paths: list[str],
    stamps: dict[str, list | None],
    cache_file: pathlib.Path,
    workers: int | None,
    medium: media.Medium,
) -> dict[str, media.Facts]:
    """Inspect the files and add them to the cache; an interruption keeps what was done before it."""
    _check_writable(cache_file)  # before the work, not after it
    facts: dict[str, media.Facts] = {}
    try:
        for path, found in _inspect_all(paths, workers, medium):
            facts[path] = found
    finally:
        # A file that could not be read is inspected again next time: new permissions do not change its stamp.
        read = {path: found for path, found in facts.items() if found.sha256}
        _save(cache_file, {os.path.abspath(path): _entry(stamps[path], read[path]) for path in read}, medium)
    return facts


# The cache --------------------------------------------------------------------------------------------------
#
# One text file per data set: a line with the SHA-256 of the rest, then JSON. It is always replaced as a
# whole, so a reader sees either the old or the new file. If two processes finish at the same moment,
# one may lose its entries; the only cost is that those photos are inspected again.


def _cache_file(cache_directory: str | os.PathLike, paths: list[str], medium: media.Medium) -> pathlib.Path:
    """Return the cache file of the data set, which is identified by its medium and the files' common folder."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    key = hashlib.sha256(medium.unit.encode() + b" " + os.fsencode(root)).hexdigest()[:16]
    return pathlib.Path(cache_directory) / "scan" / f"{key}.json"


def _version(medium: media.Medium) -> str:
    return f"{SCANNER_VERSION}, {medium.decoder}"


def _entry(stamp: list | None, facts: media.Facts) -> dict:
    fields = dataclasses.asdict(facts)
    del fields["path"]
    return {"stamp": stamp, "facts": fields}


def _recall(known: dict[str, dict], path: str, stamp: list | None, medium: media.Medium) -> media.Facts | None:
    """Return the facts in the cache, or None for a file that is new, changed or removed."""
    entry = known.get(os.path.abspath(path))
    if stamp is None or entry is None or entry["stamp"] != stamp:
        return None
    fields = entry["facts"]
    return medium.facts(path=path, **(fields | {"notes": tuple(fields["notes"])}))


def _load(cache_file: pathlib.Path, medium: media.Medium) -> dict[str, dict]:
    """Return the entries in the cache by absolute path; none if it is absent, old or damaged."""
    entries = _parse(cache_file, medium)
    if entries is None:
        print(f"The scan cache {cache_file} is damaged and will be rebuilt.", file=sys.stderr)
    return entries or {}


def _parse(cache_file: pathlib.Path, medium: media.Medium) -> dict[str, dict] | None:
    """Return the entries in the cache, or None if it is damaged."""
    try:
        digest, _, body = cache_file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(cache_file, error) from error
    if _digest(body) != digest:
        return None
    content = json.loads(body)
    return content["files"] if content["version"] == _version(medium) else {}


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _check_writable(cache_file: pathlib.Path) -> None:
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_file.parent):
            pass
    except OSError as error:
        raise _unusable(cache_file, error) from error


def _save(cache_file: pathlib.Path, entries: dict[str, dict], medium: media.Medium) -> None:
    """Add entries to the cache on disk, which another process may have changed in the meantime."""
    known = _parse(cache_file, medium) or {}
    others = {path: entry for path, entry in known.items() if os.path.exists(path)}
    body = json.dumps({"version": _version(medium), "files": others | entries}).encode()
    try:
        with files.replacing(cache_file) as temporary:
            temporary.write_bytes(_digest(body) + b"\n" + body)
    except OSError as error:
        raise _unusable(cache_file, error) from error


def _unusable(cache_file: pathlib.Path, error: OSError) -> errors.UserError:
    directory = cache_file.parent.parent
    return errors.UserError(
        f"the cache {directory} cannot be used ({error.strerror}); choose another with --cache DIR, or use --no-cache"
    )


# Judging them -----------------------------------------------------------------------------------------------


def find_problems(
    samples: Iterable[sample_list.Sample], facts: dict[str, media.Facts], minimum_per_class: int = MINIMUM_PER_CLASS,
    unit: str = "photo", targets: kinds.Targets = kinds.CLASSES,
) -> list[Problem]:  # fmt: skip
    """Return a `Problem` for every sample that cannot be used, in the order of the samples.

    Problems are files that cannot be read, and all copies of a content that is in two classes or in two given splits.
    If a class then has fewer than `minimum_per_class` usable photos (copies count once), its remaining items are
    problems too. Without all these samples, `find_problems` finds nothing more. Copies in one class and one split are
    not a problem, because the splits keep them together.

    Args:
        samples, facts: the samples, and the result of `scan` for their paths.
        minimum_per_class: the number of photos that a class needs.
        unit: the name of one item in messages.
        targets: what is learnt; they define what a class is.
    """
    samples = list(samples)
    reasons: dict[int, list[str]] = collections.defaultdict(list)
    for index, sample in enumerate(samples):
        if facts[sample.path].problem:
            reasons[index].append(facts[sample.path].problem)
    for copies in _copies(samples, facts):
        _judge_copies(samples, copies, reasons)
    _judge_classes(samples, facts, minimum_per_class, reasons, unit, targets)
    return [Problem(samples[index].path, samples[index].label, " | ".join(reasons[index])) for index in sorted(reasons)]


def _copies(samples: list[sample_list.Sample], facts: dict[str, media.Facts]) -> list[list[int]]:
    """Return, for each content of several usable samples, the positions of these samples."""
    by_content = collections.defaultdict(list)
    for index, sample in enumerate(samples):
        if not facts[sample.path].problem:
            by_content[facts[sample.path].sha256].append(index)
    return [copies for copies in by_content.values() if len(copies) > 1]


def _judge_copies(samples: list[sample_list.Sample], copies: list[int], reasons: dict[int, list[str]]) -> None:
    """Add a reason to each copy that has another copy in another class or another given split."""
    by_label = {samples[index].label: samples[index] for index in copies}
    by_split = {samples[index].split: samples[index] for index in copies if samples[index].split}
    for index in copies:
        sample = samples[index]
        for label, other in by_label.items():
            if label != sample.label:
                where = f"{words.printable(other.path)} in class '{words.printable(label)}'"
                reasons[index].append(f"in two classes: the same content is {where}; keep the right one")
                break
        for split, other in by_split.items():
            if sample.split and split != sample.split:
                where = f"{words.printable(other.path)} in {split}"
                reasons[index].append(f"in two splits: the same content is {where}; keep one of them")
                break


def _judge_classes(
    samples: list[sample_list.Sample], facts: dict[str, media.Facts], minimum_per_class: int,
    reasons: dict[int, list[str]], unit: str, targets: kinds.Targets,
) -> None:  # fmt: skip
    """Add a reason to the remaining samples of each class that is too small, or to all of a class without any."""
    bad = set(reasons)
    contents = collections.defaultdict(set)  # copies count once, because they stay on one side of a split
    for index, sample in enumerate(samples):
        if index not in bad:
            contents[targets.strata(sample)].add(facts[sample.path].sha256)
    for index, sample in enumerate(samples):
        name = targets.strata(sample)
        count = len(contents[name])
        if count < minimum_per_class and not (count and index in bad):
            reasons[index].append(_too_few(name, count, minimum_per_class, unit))


def _too_few(name: str, count: int, minimum_per_class: int, unit: str) -> str:
    few = f"only {count} usable {unit}{'s' if count > 1 else ''}" if count else f"no usable {unit}"
    what = f"class '{words.printable(name)}' has {few}" if name else f"{few} without a class"
    return f"{what}, needs at least {minimum_per_class}"


def facts_of_texts(texts: dict[str, str]) -> dict[str, media.Facts]:
    """Return path → facts of documents that have been read."""
    return {
        path: media.Facts(path=path, sha256=hashlib.sha256(text.encode()).hexdigest()) for path, text in texts.items()
    }


# Acting on them ---------------------------------------------------------------------------------------------


def apply(
    samples: Iterable[sample_list.Sample], facts: dict[str, media.Facts], skip_bad: bool = False,
    skipped_csv: str | os.PathLike | None = None, minimum_per_class: int = MINIMUM_PER_CLASS,
    known: Iterable[Problem] = (), unit: str = "photo", targets: kinds.Targets = kinds.CLASSES, advice: str = ADVICE,
) -> list[sample_list.Sample]:  # fmt: skip
    """Stop the run because of bad files, or leave them out.

    Args:
        samples, facts, minimum_per_class, unit, targets: as for `find_problems`.
        skip_bad: leave bad files out instead of stopping.
        skipped_csv: the file for the list of what is left out, with the columns path, label, reason. A run that stops
            leaves no file behind, and prints a list that is too long for its message to stderr.
        known: problems found before, of files that are not among the samples.

    Returns:
        The usable samples, as a list in the same order.

    Raises:
        errors.UserError: there are bad files, and `skip_bad` is not set or the remaining samples are too few.
    """
    samples = list(samples)
    problems = [*known, *find_problems(samples, facts, minimum_per_class, unit, targets)]
    if not problems:
        return samples
    bad = {problem.path for problem in problems}
    kept = [sample for sample in samples if sample.path not in bad]
    too_little = "" if targets.enough(kept) else targets.too_little
    leave_out(problems, len(samples) + len(tuple(known)), skip_bad, skipped_csv, unit, too_little, advice)
    return kept


def leave_out(
    problems: list[Problem], total: int, skip_bad: bool, skipped_csv: str | os.PathLike | None, unit: str = "photo",
    too_little: str = "", advice: str = ADVICE,
) -> None:  # fmt: skip
    """List bad files, and stop unless they may be left out.

    Args:
        problems: the bad files; nothing happens if there are none.
        total: the number of files, including the bad ones.
        skip_bad, skipped_csv, unit: as for `apply`. Without `skipped_csv`, the list is printed to stderr.
        too_little: why the bad files cannot be left out, "" if they can.
        advice: what to do about them.

    Raises:
        errors.UserError: the bad files may not be left out.
    """
    if not problems:
        return
    if skip_bad and not too_little and skipped_csv:
        _write_csv(problems, pathlib.Path(skipped_csv))
        return
    if skip_bad and not too_little:
        _print_list(problems)
        return
    if len(problems) > _LISTED_IN_MESSAGE:
        _print_list(problems)
    if not too_little and advice != RESUMED:
        advice += ", or leave them out with --skip-bad"
    elif skip_bad and too_little:
        advice += f", because without them {too_little} left"
    raise errors.UserError(_message(problems, total, advice, unit))


def _message(problems: list[Problem], total: int, advice: str, name: str) -> str:
    """Return a one-line message that suits 1 bad file as well as 500."""
    shown = [f"{words.printable(problem.path)} ({problem.reason})" for problem in problems[:_LISTED_IN_MESSAGE]]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    return f"{len(problems)} of {total} {name}s cannot be used: {', '.join(shown)}; {advice}"


def _print_list(problems: list[Problem]) -> None:
    """Print the bad files to stderr: the first ones to a terminal, all of them to a file."""
    missing = [problem for problem in problems if problem.reason.startswith("missing:")][_LISTED_IN_MESSAGE:]
    if missing:  # one cause, such as a wrong folder, so the names say little
        problems = [problem for problem in problems if problem not in missing]
    count = _LISTED_ON_TERMINAL if sys.stderr.isatty() else len(problems)
    for problem in problems[:count]:
        print(f"{words.printable(problem.path)}: {problem.reason}", file=sys.stderr)
    if len(problems) > count:
        print(f"… and {len(problems) - count} more; 2> FILE writes all of them to a file", file=sys.stderr)
    if missing:
        print(f"… and {words.plural(len(missing), 'more file')} that are not there", file=sys.stderr)


def kinds_of(problems: Iterable[Problem]) -> str:
    """Return how many files have which problem, in words; of copies in two classes or splits, all are bad.

    Args:
        problems: the bad files; of each, the first reason counts.
    """
    reasons = (_PLACE.sub("", problem.reason.split(" | ")[0]) for problem in problems)
    counts = _counts(reason.split(":")[0] for reason in reasons)
    return ", ".join(f"{count:,} {words.printable(kind)}" for kind, count in counts.items())


def read_problems(path: str | os.PathLike) -> list[Problem]:
    """Return the problems in a skipped.csv; an empty list if the file does not exist."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Problem(**row) for row in csv.DictReader(file)]


def _write_csv(problems: list[Problem], path: pathlib.Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_csv(path, ["path", "label", "reason"], map(dataclasses.astuple, problems))
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); choose another --out"
        raise errors.UserError(message) from error


def summarise(facts: dict[str, media.Facts]) -> dict:
    """Return counts for the report, ready for JSON.

    Args:
        facts: the result of `scan`.

    Returns:
        A dict of `files` and `usable` (counts) and `bytes` (of all files). `smallest` and `largest` (by area) and
        `median` (of each side) are [width, height] in pixels, None without a usable photo. `formats`, `notes` and
        `problems` (of both, their kind only) have counts, the most frequent first.
    """
    usable = [found for found in facts.values() if not found.problem]
    sizes = sorted(((found.width, found.height) for found in usable), key=lambda size: size[0] * size[1])
    median = [round(statistics.median(side)) for side in zip(*sizes, strict=True)]
    return {
        "files": len(facts),
        "usable": len(usable),
        "bytes": sum(found.bytes for found in facts.values()),
        "smallest": list(sizes[0]) if sizes else None,
        "median": median or None,
        "largest": list(sizes[-1]) if sizes else None,
        "formats": _counts(found.format for found in usable),
        "notes": _counts(note.split(":")[0] for found in usable for note in found.notes),
        "problems": _counts(found.problem.split(":")[0] for found in facts.values() if found.problem),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(collections.Counter(values).most_common())
