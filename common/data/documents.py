"""Reading documents from `--data` into splits without leaks.

A document is on the same side of the split as its group (the company that filed it) and all of its near-duplicates.
Contracts are filled-in forms; with one form in both training and test, memorizing it would pass the test.
"""

import csv
import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np

from common import errors, files, words
from common.data import duplicates as one_source
from common.data import (
    file_checks,
    group_pattern,
    listings,
    name_families,
    names,
    near_duplicates,
    parts,
    sample_list,
    sides,
    splits,
    tables,
    tags,
    unchanged,
)
from common.data import targets as kinds
from common.demo import drawn_texts
from common.media import folders, windows
from common.media import texts as media_texts

LISTED = 5  # bad files named in one message
DEFAULT_FRACTIONS = {"validation": 0.15, "test": 0.2}
DEMO_GROUPS = r"^(\d+)_"  # the company in the demo's file names
Read = Iterator[tuple[sample_list.Sample, str | None, str]]  # (sample, text, reason why the text cannot be read)
# Samples, path → text, and problems of documents that cannot be used.
Source = tuple[list[sample_list.Sample], dict[str, str], list[file_checks.Problem]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus(splits.Splits):
    """Splits of documents; their types are the classes, or one class "" if there are no types.

    Attributes:
        texts: path → text.
        duplicates: pairs of near-duplicates, the most similar first.
        general: samples of general texts, which have no type and are never trained on; may be empty.
    """

    texts: dict[str, str] = dataclasses.field(repr=False)
    duplicates: list[near_duplicates.Pair] = dataclasses.field(default_factory=list)
    general: list[sample_list.Sample] = dataclasses.field(default_factory=list)

    @property
    def sides(self) -> tuple[str, ...]:
        """The names of the splits, and `general` if there are general texts."""
        return (*sample_list.SPLIT_NAMES, *(("general",) if self.general else ()))

    def texts_of(self, split: str) -> list[str]:
        """Return the texts of a split's documents."""
        return [self.texts[sample.path] for sample in getattr(self, split)]

    def with_training(self, count: int, seed: int) -> Self:
        """Return the same splits with fewer training documents, one of each type and the rest in proportion, at random.

        Raises:
            UserError: there are fewer, or this is too few for one of each type.
        """
        types = len(self.class_names)
        if not types <= count <= len(self.train):
            raise errors.UserError(
                f"--training-documents {count}: must be from {types}, one for each type, to {len(self.train)}, the "
                "number of training documents"
            )
        if count == len(self.train):
            return self
        generator = np.random.default_rng(seed)
        _, type_of = np.unique(self.labels("train"), return_inverse=True)
        there = np.bincount(type_of)
        drawn = np.ones_like(there)
        for _ in range(count - len(there)):  # one more of the type that lacks most of its share
            lacks = np.where(drawn < there, count * there / len(type_of) - drawn, -np.inf)
            drawn[generator.choice(np.flatnonzero(lacks == lacks.max()))] += 1
        chosen = [generator.choice(np.flatnonzero(type_of == kind), drawn[kind], replace=False)
                  for kind in range(len(there))]  # fmt: skip
        return dataclasses.replace(self, train=[self.train[number] for number in sorted(np.concatenate(chosen))])

    def summary(self) -> dict:
        """Return the `data` section of results.json."""
        sides = {name: getattr(self, name) for name in sample_list.SPLIT_NAMES}
        return super().summary() | {
            "bytes": {name: sum(map(media_texts.byte_count, self.texts_of(name))) for name in sides},
            "groups": {name: len({sample.group for sample in side if sample.group}) for name, side in sides.items()},
            "near_duplicates": [dataclasses.asdict(pair) for pair in self.duplicates],
        }


def load(
    config: Any, directory: pathlib.Path, least_types: int = 0, source: Source | None = None,
    targets: kinds.Targets = kinds.CLASSES,
) -> Corpus:  # fmt: skip
    """Read the documents, find near-duplicates, split and check, and write `split.csv` into `directory`.

    An existing `split.csv` (a resumed run) is used unchanged.

    Args:
        config: has `data, encoding, keep_layout, document_characters, group_pattern, duplicate_threshold` and the flags
            of every recipe, and `general` if there can be general texts.
        directory: the run directory; `skipped.csv` is also written there if documents are left out.
        least_types: the least number of document types; 2 for a classifier.
        source: what `read_source` returns, if the recipe has read `config.data` itself.
        targets: what is learnt from the documents.

    Raises:
        UserError: nothing usable at `--data`, unusable documents without `--skip-bad`, names that only look alike
            without `--same-names`, a leak, or given splits that lack a type.
    """
    samples, texts, problems = source or read_source(config)
    split_csv = directory / "split.csv"
    resumed = split_csv.is_file()
    several, joining = isinstance(targets, tags.Tags), config.same_names or resumed
    samples = names.settled(samples, same_names=joining, classes=not several)
    if several:
        samples = tags.respelled(samples, joining)
    elif not resumed:
        names.say_odd_labels(samples, "document")
    total = len(samples) + len(problems)
    if least_types:
        problems += file_checks.find_problems(
            samples, file_checks.facts_of_texts(texts), unit="document", targets=targets
        )
    bad = {problem.path for problem in problems}
    samples = [sample for sample in samples if sample.path not in bad]
    texts = {sample.path: texts[sample.path] for sample in samples}
    undecoded = any(problem.reason.startswith(f"not {config.encoding}") for problem in problems)
    advice = {"advice": "correct them, give their --encoding"} if undecoded else {}
    advice = {"advice": file_checks.RESUMED} if resumed else advice
    skipped_csv = None if config.dry_run else directory / "skipped.csv"
    file_checks.leave_out(problems, total, config.skip_bad, skipped_csv, "document", **advice)
    if problems:
        listed = "as listed above" if config.dry_run else "listed in skipped.csv of the run"
        print(f"data: {len(problems)} of {words.plural(total, 'document')} left out, {listed}", file=sys.stderr)
    if not samples:
        raise errors.UserError(f"--data {config.data}: no document is left")
    if not several and len({sample.label for sample in samples}) < least_types:
        raise errors.UserError(f"--data {config.data}: a classifier needs at least two types: one sub-folder for each")
    if not any(sample.group for sample in samples):
        print(
            "data: it is unknown which documents belong to one company, so a company may be on both sides; "
            "--group-pattern finds the company in the file's name", file=sys.stderr,
        )  # fmt: skip
    general = read_general(config) if least_types == 0 else {}
    contents = {path: facts.sha256 for path, facts in file_checks.facts_of_texts(texts).items()}
    if resumed:
        samples = _as_split_before(samples, split_csv)
        unchanged.check(samples, contents, "document", str(split_csv), is_resumed=True)
    duplicates = near_duplicates.near_duplicates(texts, config.duplicate_threshold)
    content_of = near_duplicates.clusters(texts, duplicates)
    families = name_families.find(samples, medium_of(config).title)
    pairs = [
        *one_source.by_name(families),
        *(one_source.Pair(pair.first, pair.second, one_source.TEXT, pair.similarity) for pair in duplicates),
    ]
    if not resumed:
        samples = split(samples, content_of, config, least_types > 0 and not several, one_source.joined(pairs))
    samples = unchanged.with_contents(samples, contents)
    _check_duplicates(samples, duplicates)
    splits.check_leaks(samples, content_of)
    if several:
        tags.check(samples)
    elif least_types:
        splits.check_classes(samples, splits.by_label)
    if not resumed:
        sample_list.write_csv(split_csv, samples)
    one_source.say(samples, [pair for pair in pairs if pair.kind == one_source.NAME], families, "document")
    one_source.write(directory / "duplicates.csv", samples, pairs)
    quality = {"skipped": len(problems), "duplicates": one_source.counts(samples, pairs, families)["duplicates"]}
    medium = medium_of(config)
    properties = {sample.path: medium.properties_of(sample.path, texts[sample.path]) for sample in samples}
    return Corpus.of(
        config.data, medium, targets, samples, quality, content_of, properties=properties,
        texts=texts | general, duplicates=duplicates, general=[sample_list.Sample(path, "") for path in general],
    )  # fmt: skip


def medium_of(config: Any) -> media_texts.Texts:
    """Return the medium that reads documents as the flags say."""
    return media_texts.Texts(config.encoding, config.keep_layout, config.document_characters)


def _check_duplicates(samples: list[sample_list.Sample], duplicates: list[near_duplicates.Pair]) -> None:
    """Raise an error for near-duplicates on two given sides; the splits made here have none."""
    side_of = {sample.path: sample.split for sample in samples}
    for pair in duplicates:
        if side_of[pair.first] != side_of[pair.second]:
            raise errors.UserError(
                f"leak: {pair.first} ({side_of[pair.first]}) and {pair.second} ({side_of[pair.second]}) share "
                f"{pair.similarity:.0%} of their runs of {near_duplicates.RUN} words; put both on one side, "
                "remove one, or raise --duplicate-threshold"
            )


# Sources ------------------------------------------------------------------------------------------------------


def read_source(config: Any) -> Source:
    """Read the documents of `--data`: samples, path → text, and problems of documents that cannot be used.

    Raises:
        UserError: there are no documents, or the layout is not as expected.
    """
    pattern = config.group_pattern
    if config.data == "demo":
        path = drawn_texts.write_contracts(config.cache_directory / "demo_text" / drawn_texts.version())
        pattern = DEMO_GROUPS if pattern is None else pattern
    else:
        path = files.absolute(pathlib.Path(config.data).expanduser())
    if path.is_dir():
        found = _read_folder(path, config.encoding, getattr(config, "skip_unsupported", False))
    elif path.is_file() and path.suffix.lower() == ".jsonl":
        found = _read_lines(path, config.encoding, getattr(config, "multi_label", False))
    elif path.exists():
        raise errors.UserError(f"--data {config.data}: neither a folder of .txt files nor a .jsonl file")
    else:
        raise errors.UserError(f"--data {config.data}: no such file or folder; give a folder of .txt files or a .jsonl")
    samples: list[sample_list.Sample] = []
    texts: dict[str, str] = {}
    problems, medium = [], medium_of(config)
    for sample, text, reason in found:
        try:
            texts[sample.path] = medium.tidied(text or "")
            samples.append(sample)
        except errors.UnusableFile as error:
            problems.append(file_checks.Problem(sample.path, sample.label, reason or str(error)))
    samples = samples if pattern is None else with_groups(samples, pattern)
    names.say_odd_groups(samples, "document")
    if config.group_pattern is not None:
        group_pattern.say(samples, "document")
    return samples, texts, problems


def read_general(config: Any) -> dict[str, str]:
    """Return path → text for measuring what a model forgets: the demo's drawn prose, --general, or nothing.

    Raises:
        UserError: there are no texts, or a text cannot be read.
    """
    if not config.general:
        drawn = drawn_texts.general_texts() if config.data == "demo" else []
        return {f"general text {number}": text for number, text in enumerate(drawn)}
    return _texts_at(config, "general")


def read_unlabelled(config: Any, corpus: Corpus) -> list[str]:
    """Return the texts of `--adapt-texts` that are not nearly the same as a document of the splits.

    So no validation or test document is learnt from, and no training document twice.

    Args:
        config: has `adapt_texts`, and what `load` needs.
        corpus: the splits.

    Raises:
        UserError: there are no texts, a text cannot be read, or none is left.
    """
    if not config.adapt_texts:
        return []
    medium = medium_of(config)
    texts = {f"further {path}": medium.tidied(text) for path, text in _texts_at(config, "adapt_texts").items()}
    known = [sample.path for side in corpus.sides for sample in getattr(corpus, side)]
    both = texts | {f"known {path}": corpus.texts[path] for path in known}
    pairs = near_duplicates.near_duplicates(both, config.duplicate_threshold)
    seen = {name for pair in pairs for name in (pair.first, pair.second) if pair.second not in texts}
    left = [text for name, text in texts.items() if name not in seen]
    told = f"--adapt-texts {config.adapt_texts}: {len(left):,} of {len(texts):,} texts are used"
    if not left:
        raise errors.UserError(f"{told}, because each is nearly the same as a document of --data; remove it")
    print(f"{told}; the others are nearly the same as a document of --data", file=sys.stderr)
    return left


def _texts_at(config: Any, name: str) -> dict[str, str]:
    """Return path → text of the folder or .jsonl that a setting names.

    Raises:
        UserError: there are no texts, or a text cannot be read.
    """
    flag = f"--{name.replace('_', '-')} {getattr(config, name)}"
    folder = getattr(config, name).expanduser()
    if not folder.exists():
        raise errors.UserError(f"{flag}: no such file or folder; give a folder of .txt files or a .jsonl")
    found = list((_read_folder if folder.is_dir() else _read_lines)(folder, config.encoding))
    bad = [f"{sample.path}: {reason}" for sample, _, reason in found if reason]
    if bad:
        raise errors.UserError(f"{flag}: {len(bad)} unusable texts: {'; '.join(bad[:LISTED])}")
    texts = {sample.path: text for sample, raw, _ in found if (text := media_texts.tidy(raw or "", config.keep_layout))}
    if not texts:
        raise errors.UserError(f"{flag}: all texts are empty")
    return texts


def _read_folder(folder: pathlib.Path, encoding: str, skip_unsupported: bool = True) -> Read:
    """Yield (sample, text, reason) for the .txt files of a folder; the first sub-folder is the type."""
    walk, medium = folders.Walk(folder), media_texts.Texts()
    paths, others = medium.sorted_out(folder, walk)
    tops = {path.relative_to(folder).parts[0] for path in paths}
    given = sides.of_folders([folder / name for name in sorted(tops)], lambda top: _holds_types(top, paths), folder)

    def type_of(path: pathlib.Path) -> str:
        parts = path.relative_to(folder).parts[:-1]
        return "".join(parts[1:2] if folder / "".join(parts[:1]) in given else parts[:1])

    of_type: dict[str, tuple[list[pathlib.Path], list[pathlib.Path]]] = {}
    for number, found in enumerate((paths, others)):
        for path in found:
            of_type.setdefault(type_of(path), ([], []))[number].append(path)
    for label, (own, rest) in of_type.items():
        walk.note(label, own, rest, medium.kin)
    walk.tell()
    if not skip_unsupported:
        walk.check(medium.unit, medium.wanted)
    if not paths:
        raise errors.UserError(f"{folder}: no .txt files; give one document per file, in a sub-folder per type")
    for path in paths:
        sample = sample_list.Sample(
            str(path), type_of(path), split=given.get(folder / path.relative_to(folder).parts[0], "")
        )
        try:
            yield sample, *media_texts.decoded(media_texts.content_of(path), encoding)
        except errors.UnusableFile as error:
            yield sample, None, str(error)


def _holds_types(top: pathlib.Path, paths: Iterable[pathlib.Path]) -> bool:
    """Return whether a folder has no documents itself, and several sub-folders with some."""
    inside = [path.relative_to(top).parts for path in paths if path.is_relative_to(top)]
    return all(len(parts) > 1 for parts in inside) and len({parts[0] for parts in inside}) > 1


def _read_lines(path: pathlib.Path, encoding: str, several: bool = False) -> Read:
    """Yield (sample, text, reason) for the lines of a .jsonl: `text`, if known `label` or `type`, `group`, `split`.

    Keys with a similar name are used if there is only one, with a message, as of a CSV. If documents can have several
    labels, the label is a list, or a text with `tags.MARK` between them.
    """
    named: set[str] = set()
    lines = list(_parsed(path, encoding))
    keys = _keys(path, dict.fromkeys(key for _, row, _ in lines for key in row))
    for number, row, reason in lines:
        values = [next((row[key] for key in keys[role] if row.get(key) is not None), "") for role in keys]
        if several:
            values[0], reason = _several(values[0], reason)
        label, group, side = map(str, values)
        group = "" if values[1] != values[1] else group  # NaN
        if nested := next((value for value in values if isinstance(value, dict | list)), None):
            row, reason = {}, f"not one value: {json.dumps(nested)[:40]}; give a text or a number"
        if side and not sides.side_of(side):
            row, reason = {}, f"split is {side!r}, must be train, validation or test"
        if names.key(label) in names.NO_VALUE:
            row, reason = {}, f"no label: {label!r} stands for a missing one; leave it out, or rename the class"
        try:
            "".join((row.get("text", ""), label, group)).encode()
        except UnicodeEncodeError as error:  # such as "\ud83d", half of an emoji
            row, reason = {}, f"half a character ({error.object[error.start]!r})"
        named.add(side)
        yield sample_list.Sample(f"{path}:{number}", label, group, sides.side_of(side)), row.get("text"), reason
    sides.tell(named, str(path))


def _several(value: Any, reason: str) -> tuple[str, str]:
    """Return the labels of a line as one text, and why it cannot be used, or ""."""
    if isinstance(value, str) and value:
        return tags.joined(tags.split(value)), reason
    if not isinstance(value, list) or not all(isinstance(one, str) and tags.MARK not in one for one in value):
        return "", reason or 'no list of labels: give "labels": ["a", "b"] (names without |), and [] if it has none'
    return tags.joined(value), reason


def _parsed(path: pathlib.Path, encoding: str) -> Iterator[tuple[int, dict, str]]:
    """Yield the number, the content and "" for each line that is not blank; an unusable line is {} with a reason."""
    for number, (raw, reason) in enumerate(media_texts.decoded_lines(path.read_bytes(), encoding), start=1):
        if raw is not None and not raw.strip():
            continue
        try:
            row = json.loads(raw) if raw is not None else {}
        except ValueError as error:
            row, reason = {}, f"not valid JSON ({error})"
        if not reason and not (isinstance(row, dict) and isinstance(row.get("text"), str)):
            row, reason = {}, 'no text: a line must look like {"text": "…", "type": "…", "group": "…"}'
        yield number, row, reason


def _keys(path: pathlib.Path, found: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return label, group and split → the keys that give them, and print which are used and which are not read."""
    table = tables.Table(path, tuple(found), [])
    keys: dict[str, tuple[str, ...]] = {}
    for role in ("label", "group", "split"):
        key = tables.find(table, role, () if role == "label" and "type" in table.columns else listings.SYNONYMS[role])
        keys[role] = (key,) if key else ()
    used = {role: key for role, (key, *_) in ((role, each or ("",)) for role, each in keys.items()) if key}
    types = ("type",) if "type" in table.columns else ()
    usual = {name: name for name in ("text", "label", "group", "split", *types)}
    tables.say_columns(table, used | {name: name for name in ("text", *types)}, usual)
    return keys | {"label": (*keys["label"], *types)}


def with_groups(samples: Iterable[sample_list.Sample], pattern: str) -> list[sample_list.Sample]:
    """Return the samples with the group in their file's name: what the pattern captures, or its whole match.

    Raises:
        UserError: the pattern is not a valid regular expression, or finds no group in some names.
    """
    samples = list(samples)
    in_lines = any(".jsonl:" in sample.path for sample in samples[:1])
    advice = '; in a .jsonl, give each line its own "group": "…"' if in_lines else ""
    return group_pattern.with_groups(samples, pattern, lambda path: pathlib.Path(path).name, "document", advice)


# Splits -------------------------------------------------------------------------------------------------------


def split(
    samples: list[sample_list.Sample],
    content_of: dict[str, str],
    config: Any,
    stratify_all: bool,
    pairs: Iterable[tuple[str, str]] = (),
) -> list[sample_list.Sample]:
    """Assign every document a side, stratified by type; groups and clusters of near-duplicates are not divided.

    Args:
        samples: the documents.
        content_of: as `near_duplicates.clusters` returns it.
        config: has the fractions and the seeds.
        stratify_all: every type must be on every side, as a classifier needs it. Otherwise, types with fewer than
            three groups are stratified together.
        pairs: paths of further documents that belong together.
    """
    units = splits.units_of(samples, content_of, pairs)
    strata: splits.Strata = splits.by_label
    if not stratify_all:
        strata = parts.pooled(samples, units, splits.by_label, lambda sample: "")
    fractions = splits.fractions_of(config, DEFAULT_FRACTIONS)
    try:
        return splits.split(samples, units, splits.seed_of(config), *fractions, strata=strata)
    except errors.UserError as error:
        alike, companies = len(samples) - len(set(content_of.values())), {sample.group for sample in samples} - {""}
        hints = [
            f"{alike} documents are near-duplicates of others and count as one with them (--duplicate-threshold)"
            if alike
            else "",
            f"--group-pattern finds {len(companies)} companies in {len(samples)} documents" if companies else "",
        ]
        raise errors.UserError("; ".join([str(error), *filter(None, hints)])) from error


def _as_split_before(samples: list[sample_list.Sample], split_csv: pathlib.Path) -> list[sample_list.Sample]:
    """Return the documents on the sides given in split.csv.

    Raises:
        UserError: the documents are no longer those of the split.
    """
    with open(split_csv, newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = {row["path"]: sample_list.of_row(row) for row in csv.DictReader(file)}
    here = {sample.path for sample in samples}
    changed = sorted(here ^ set(rows))
    if changed:
        raise errors.UserError(f"{changed[0]}: was added or removed after the run began; start a new run")
    return [rows[sample.path] for sample in samples]


def count_table(windows: dict[str, windows.Windows], length: int, duplicates: int) -> str:
    """Return a line for the terminal with the number of tokens, windows and near-duplicates."""
    counts = ", ".join(f"{part.tokens:,} tokens in {len(part):,} for {side}" for side, part in windows.items())
    pairs = "no pair of documents is" if duplicates == 0 else words.plural(duplicates, "pair") + " of documents are"
    return f"data: windows of {length}: {counts}; {pairs} nearly the same"


def documents_line(summary: dict, config: Any) -> str:
    """Return lines for the terminal about a classifier's data; `summary` is the `data` section of results.json."""
    counts = " / ".join(f"{summary[side]:,}" for side in sample_list.SPLIT_NAMES)
    companies, pairs = sum(summary["groups"].values()), len(summary["near_duplicates"])
    known = f", {companies:,} companies" if companies else ""
    alike = f"; {words.plural(pairs, 'pair')} of documents share much of their text" if pairs else ""
    return (
        f"data: {counts} documents to train, validate and test, {len(summary['class_names'])} types{known}{alike}\n"
        f"data: the network reads {summary['read']:.0%} of the text: the first {config.windows_per_document} windows "
        f"of {config.sequence_length} tokens of each document (--windows-per-document)"
    )
