"""Every file is opened once before the training, so that no run dies of a photo or a clip hours later.

`scan` finds the facts (and remembers them), `find_problems` judges them, `apply` stops the run or
leaves the bad files out. A sample is any object with the strings `.path`, `.label`, `.group` ("" for
none) and `.split` ("" unless the data source itself gives it). How a file is read, its medium says.
"""

import collections
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import stat
import statistics
import sys
import tempfile
from collections.abc import Iterable
from concurrent import futures

import tqdm

from common import errors, files, words
from common.data import targets as kinds
from common.media import medium as media

# To be raised whenever a medium judges or notes differently, so that no old verdict is kept. The decoder's
# version belongs to it, because the decoder decides what can be read.
SCANNER_VERSION = "1"

MINIMUM_PER_CLASS = 3  # one each for training, validation and test

_LISTED_IN_MESSAGE = 3
_LISTED_ON_STDERR = 20


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file that cannot take part, and why."""

    path: str
    label: str
    reason: str  # "kind: details; what to do", several joined by " | "


# Finding the facts ------------------------------------------------------------------------------------------


def scan(
    paths: Iterable[str | os.PathLike],
    medium: media.Medium,
    cache_directory: str | os.PathLike | None = None,
    workers: int | None = None,
) -> dict:
    """Opens every file once and returns its facts, taken from the cache if it has not changed.

    Args:
        paths: the files; each is opened once, however often it is named.
        medium: what a file is.
        cache_directory: facts are kept in one file per data set below its folder `scan`; None keeps
            none.
        workers: threads that read and decode; by default one per CPU core.

    Returns:
        A dict from each path, as given, to its `medium.Facts`, in the order of `paths`.

    Raises:
        errors.UserError: the cache directory cannot be written.
    """
    paths = list(dict.fromkeys(os.fspath(path) for path in paths))
    if cache_directory is None or not paths:
        return dict(_inspect_all(paths, workers, medium))
    cache_file = _cache_file(cache_directory, paths, medium)
    known = _load(cache_file, medium)
    stamps = {path: _stamp(path) for path in paths}
    facts = {path: _recall(known, path, stamps[path], medium) for path in paths}
    unknown = [path for path in paths if facts[path] is None]
    if unknown:
        facts |= _inspect_and_keep(unknown, stamps, cache_file, workers, medium)
    return facts


def _inspect_all(paths, workers, medium):
    """Yields each path with its facts, in order; a progress bar appears after a second."""
    pool = futures.ThreadPoolExecutor(workers or os.cpu_count())
    try:
        found = pool.map(medium.inspect, paths)
        yield from zip(
            paths, tqdm.tqdm(found, "scan", len(paths), unit=medium.unit, delay=1, disable=None), strict=True
        )
    finally:
        # Without this, Ctrl-C would wait until the last photo of the data set is decoded.
        pool.shutdown(cancel_futures=True)


def _inspect_and_keep(paths, stamps, cache_file, workers, medium):
    """Inspects the files and adds them to the cache, also what was done before an interruption."""
    _check_writable(cache_file)  # before the work, not after it
    facts = {}
    try:
        for path, found in _inspect_all(paths, workers, medium):
            facts[path] = found
    finally:
        # A file that could not be read is asked again: its permissions may change, and its stamp not.
        read = {path: found for path, found in facts.items() if found.sha256}
        _save(cache_file, {os.path.abspath(path): _entry(stamps[path], read[path]) for path in read}, medium)
    return facts


# The cache --------------------------------------------------------------------------------------------------
#
# One text file per data set: a line with the SHA-256 of the rest, then JSON. It is always replaced as a
# whole, so a reader sees the old one or the new one; of two processes that finish at the same moment,
# one may lose its entries, which costs a second look at those photos and nothing else.


def _cache_file(cache_directory, paths, medium):
    """Returns the file for the data set, which is known by its kind and the folder that all its files share."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    key = hashlib.sha256(medium.unit.encode() + b" " + os.fsencode(root)).hexdigest()[:16]
    return pathlib.Path(cache_directory) / "scan" / f"{key}.json"


def _version(medium):
    return f"{SCANNER_VERSION}, {medium.decoder}"


def _stamp(path):
    """Returns what changes when a file changes: its size and its time of change, in ns; of a folder, its files'."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            entries = [(entry.name, entry.stat()) for entry in os.scandir(path)]
            stamps = sorted([name, found.st_size, found.st_mtime_ns] for name, found in entries)
            return [hashlib.sha256(json.dumps(stamps).encode()).hexdigest()]
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


def _entry(stamp, facts):
    fields = dataclasses.asdict(facts)
    del fields["path"]
    return {"stamp": stamp, "facts": fields}


def _recall(known, path, stamp, medium):
    """Returns the facts in the cache, or None for a file that is new, changed or gone."""
    entry = known.get(os.path.abspath(path))
    if stamp is None or entry is None or entry["stamp"] != stamp:
        return None
    fields = entry["facts"]
    return medium.facts(path=path, **(fields | {"notes": tuple(fields["notes"])}))


def _load(cache_file, medium):
    """Returns the entries in the cache by absolute path; none if it is absent, old or damaged."""
    entries = _parse(cache_file, medium)
    if entries is None:
        print(f"The scan cache {cache_file} is damaged; it is built again.", file=sys.stderr)
    return entries or {}


def _parse(cache_file, medium):
    """Returns the entries in the cache, or None if it is damaged."""
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


def _digest(body):
    return hashlib.sha256(body).hexdigest().encode()


def _check_writable(cache_file):
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_file.parent):
            pass
    except OSError as error:
        raise _unusable(cache_file, error) from error


def _save(cache_file, entries, medium):
    """Adds entries to the cache on the disk, which another process may have changed meanwhile."""
    known = _parse(cache_file, medium) or {}
    others = {path: entry for path, entry in known.items() if os.path.exists(path)}
    body = json.dumps({"version": _version(medium), "files": others | entries}).encode()
    try:
        with files.replacing(cache_file) as temporary:
            temporary.write_bytes(_digest(body) + b"\n" + body)
    except OSError as error:
        raise _unusable(cache_file, error) from error


def _unusable(cache_file, error):
    directory = cache_file.parent.parent
    return errors.UserError(
        f"the cache {directory} cannot be used ({error.strerror}); choose another with --cache DIR, "
        "or do without by --no-cache"
    )


# Judging them -----------------------------------------------------------------------------------------------


def find_problems(
    samples: Iterable,
    facts: dict,
    minimum_per_class: int = MINIMUM_PER_CLASS,
    unit: str = "photo",
    targets: kinds.Targets = kinds.CLASSES,
) -> list[Problem]:
    """Returns a `Problem` for every sample that cannot take part, in the order of the samples.

    These are the files that cannot be read, all copies of a content that stands in two classes or in
    two given splits, and all that is left of a class with fewer than `minimum_per_class` usable
    photos (copies count once). Without them, `find_problems` finds nothing more. The same content
    twice in one class and one split is no problem, as the splits keep copies together.

    Args:
        samples: objects with `.path`, `.label`, `.group` and `.split`.
        facts: what `scan` returned for their paths.
        minimum_per_class: photos that a class needs.
        unit: what is counted.
        targets: what is learnt, which says what a class is.
    """
    samples = list(samples)
    reasons = collections.defaultdict(list)
    for index, sample in enumerate(samples):
        if facts[sample.path].problem:
            reasons[index].append(facts[sample.path].problem)
    for copies in _copies(samples, facts):
        _judge_copies(samples, copies, reasons)
    _judge_classes(samples, facts, minimum_per_class, reasons, unit, targets)
    return [Problem(samples[index].path, samples[index].label, " | ".join(reasons[index])) for index in sorted(reasons)]


def _copies(samples, facts):
    """Returns the positions of the usable samples with the same content, for each such content."""
    by_content = collections.defaultdict(list)
    for index, sample in enumerate(samples):
        if not facts[sample.path].problem:
            by_content[facts[sample.path].sha256].append(index)
    return [copies for copies in by_content.values() if len(copies) > 1]


def _judge_copies(samples, copies, reasons):
    """Adds to the reasons of each copy another one in another class or another given split."""
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


def _judge_classes(samples, facts, minimum_per_class, reasons, unit, targets):
    """Adds a reason to what is left of each class that is too small, or to all of an unusable one."""
    bad = set(reasons)
    contents = collections.defaultdict(set)  # copies count once, for no split can separate them
    for index, sample in enumerate(samples):
        if index not in bad:
            contents[targets.strata(sample)].add(facts[sample.path].sha256)
    for index, sample in enumerate(samples):
        name = targets.strata(sample)
        count = len(contents[name])
        if count < minimum_per_class and not (count and index in bad):
            reasons[index].append(_too_few(name, count, minimum_per_class, unit))


def _too_few(name, count, minimum_per_class, unit):
    few = f"only {count} usable {unit}{'s' if count > 1 else ''}" if count else f"no usable {unit}"
    what = f"class '{words.printable(name)}' has {few}" if name else f"{few} without a class"
    return f"{what}, needs at least {minimum_per_class}"


# Acting on them ---------------------------------------------------------------------------------------------


def apply(
    samples: Iterable,
    facts: dict,
    skip_bad: bool = False,
    skipped_csv: str | os.PathLike | None = None,
    minimum_per_class: int = MINIMUM_PER_CLASS,
    known: Iterable[Problem] = (),
    unit: str = "photo",
    targets: kinds.Targets = kinds.CLASSES,
) -> list:
    """Stops the run because of bad files, or leaves them out.

    Args:
        samples, facts, minimum_per_class, unit, targets: as for `find_problems`.
        skip_bad: leave bad files out instead of stopping.
        skipped_csv: where to write the full list, with the columns path, label, reason. Without it,
            a run that stops prints the first of them to stderr. Nothing is written when all is well.
        known: problems found before, of files that are not among the samples.

    Returns:
        The samples that take part, as a list in the same order.

    Raises:
        errors.UserError: there are bad files, and `skip_bad` is not set or nothing could be learnt from
            what would be left.
    """
    samples = list(samples)
    problems = [*known, *find_problems(samples, facts, minimum_per_class, unit, targets)]
    if not problems:
        return samples
    bad = {problem.path for problem in problems}
    kept = [sample for sample in samples if sample.path not in bad]
    too_little = "" if targets.enough(kept) else targets.too_little
    leave_out(problems, len(samples) + len(tuple(known)), skip_bad, skipped_csv, unit, too_little)
    return kept


def leave_out(
    problems: list[Problem],
    total: int,
    skip_bad: bool,
    skipped_csv: str | os.PathLike | None,
    unit: str = "photo",
    too_little: str = "",
    advice: str = "remove or replace them",
) -> None:
    """Lists bad files, and stops unless they may be left out.

    Args:
        problems: what is wrong; nothing happens where nothing is.
        total: how many files there are, the bad ones too.
        skip_bad, skipped_csv, unit: as for `apply`.
        too_little: why they cannot be left out, "" if they can.
        advice: what to do about them.

    Raises:
        errors.UserError: they may not.
    """
    if not problems:
        return
    if skipped_csv:
        _write_csv(problems, pathlib.Path(skipped_csv))
    if skip_bad and not too_little:
        return
    if not skipped_csv:
        _print_list(problems)
    if not too_little:
        advice += ", or leave them out with --skip-bad"
    elif skip_bad:
        advice += f", for without them {too_little} left"
    raise errors.UserError(_message(problems, total, skipped_csv, advice, unit))


def _message(problems, total, skipped_csv, advice, name):
    """Returns one line that says enough about 1 bad file and about 500."""
    shown = [f"{words.printable(problem.path)} ({problem.reason})" for problem in problems[:_LISTED_IN_MESSAGE]]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    listed = f" [all of them: {skipped_csv}]" if skipped_csv else ""
    return f"{len(problems)} of {total} {name}s cannot be used: {', '.join(shown)}{listed}; {advice}"


def _print_list(problems):
    for problem in problems[:_LISTED_ON_STDERR]:
        print(f"{words.printable(problem.path)}: {problem.reason}", file=sys.stderr)
    if len(problems) > _LISTED_ON_STDERR:
        print(f"… and {len(problems) - _LISTED_ON_STDERR} more", file=sys.stderr)


def read_problems(path: str | os.PathLike) -> list[Problem]:
    """What stands in a skipped.csv; nothing where there is none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Problem(**row) for row in csv.DictReader(file)]


def _write_csv(problems, path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_csv(path, ["path", "label", "reason"], map(dataclasses.astuple, problems))
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror}); choose another --out"
        raise errors.UserError(message) from error


def summarise(facts: dict) -> dict:
    """Returns counts for the report, ready for JSON.

    Args:
        facts: what `scan` returned.

    Returns:
        A dict of `files` and `usable` (counts), `bytes` (all files), `smallest`, `median` and
        `largest` ([width, height] in pixels; by area, the median of each side; None without a usable
        photo), and `formats`, `notes`, `problems` (the kind alone) with their counts, most frequent first.
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
        "notes": _counts(note for found in usable for note in found.notes),
        "problems": _counts(found.problem.split(":")[0] for found in facts.values() if found.problem),
    }


def _counts(values):
    return dict(collections.Counter(values).most_common())
