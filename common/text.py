"""Texts: from `--data` to documents that are split without leaks, and from documents to windows of tokens.

A document stands on one side of the split together with all of its group (the company that filed it) and with every
document that says nearly the same: contracts are filled-in forms, and a form in training and test is a test passed by
heart.
"""

import collections
import csv
import dataclasses
import hashlib
import json
import pathlib
import re
import sys
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from common import data, demo_text, errors, files

SHINGLE = 5  # words; two documents are as alike as their sets of such runs
PERMUTATIONS = 128  # of a MinHash: a similarity of 0.5 is estimated to 0.04
IGNORED_DIFFERENCE = 0.15  # LSH is asked for pairs so much less alike, …
MISSED = 0.9  # … and a missed one weighs so much, a needless comparison the rest: at 0.2 one in a thousand is missed
LISTED = 5  # bad files named in one message
DEFAULT_FRACTIONS = {"validation": 0.15, "test": 0.2}
DEMO_GROUPS = r"^(\d+)_"  # of the demo's file names: the company
END_TOKENS = ("<|endoftext|>", "</s>", "<s>")  # a text that has one in it would end in its middle


@dataclasses.dataclass(frozen=True)
class Problem:
    """A document that cannot be used, and why."""

    path: str
    label: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two documents that are nearly the same; `similarity` is the Jaccard index of their runs of five words."""

    first: str
    second: str
    similarity: float


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Documents on their sides.

    Attributes:
        source: the `--data` that they came from.
        class_names: the types of documents, sorted; `("",)` where there are none.
        train, validation, test: lists of `data.Sample`.
        general: samples of general texts, which are of no type and nobody trains on; empty where there are none.
        texts: path → text.
        duplicates: pairs of near-duplicates, the most alike first.
        skipped: how many documents were left out.
    """

    source: str
    class_names: tuple[str, ...]
    train: list[data.Sample]
    validation: list[data.Sample]
    test: list[data.Sample]
    texts: dict[str, str] = dataclasses.field(repr=False)
    duplicates: list[Pair] = dataclasses.field(default_factory=list)
    skipped: int = 0
    general: list[data.Sample] = dataclasses.field(default_factory=list)

    def labels(self, split: str) -> np.ndarray:
        """Indices of the types of a split's documents, int64 (n,); not for `general`."""
        return np.array([self.class_names.index(sample.label) for sample in getattr(self, split)], dtype="int64")

    def paths(self, split: str) -> list[str]:
        """The names of a split's documents."""
        return [sample.path for sample in getattr(self, split)]

    def groups(self, split: str) -> list[str]:
        """The groups of a split's documents, "" where one has none."""
        return [sample.group for sample in getattr(self, split)]

    def texts_of(self, split: str) -> list[str]:
        """The texts of a split's documents."""
        return [self.texts[sample.path] for sample in getattr(self, split)]

    def summary(self) -> dict:
        """The `data` section of results.json."""
        sides = {name: getattr(self, name) for name in data.SPLIT_NAMES}
        per_split = {
            name: dict(sorted(collections.Counter(sample.label for sample in side).items()))
            for name, side in sides.items()
        }
        return {
            "source": self.source,
            "class_names": list(self.class_names),
            **{name: len(side) for name, side in sides.items()},
            "per_split": per_split,
            "bytes": {name: sum(map(byte_count, self.texts_of(name))) for name in sides},
            "groups": {name: len({sample.group for sample in side if sample.group}) for name, side in sides.items()},
            "near_duplicates": [dataclasses.asdict(pair) for pair in self.duplicates],
            "skipped": self.skipped,
        }


def byte_count(text: str) -> int:
    """Its length in UTF-8, which does not depend on a vocabulary."""
    return len(text.encode("utf-8"))


def load(config, directory: pathlib.Path, least_types: int = 0) -> Corpus:
    """Reads the documents, finds near-duplicates, splits, checks, and writes `split.csv` into `directory`.

    A `split.csv` that is there already (a resumed run) is used as it stands.

    Args:
        config: has `data, encoding, keep_layout, document_characters, group_pattern, duplicate_threshold` and the flags
            of every recipe; `general` where there may be general texts.
        directory: the run directory; `skipped.csv` is written there too where documents are left out.
        least_types: refuse data with fewer types of documents: 2 for a classifier.

    Raises:
        UserError: nothing usable at `--data`, unusable documents without `--skip-bad`, or a leak.
    """
    samples, texts, problems = read_source(config)
    if least_types:
        samples, texts, problems = _without_contradictions(samples, texts, problems)
    _report_problems(problems, config.skip_bad, directory)
    if not samples:
        raise errors.UserError(f"--data {config.data}: no document is left")
    names = tuple(sorted({sample.label for sample in samples}))
    if len(names) < least_types:
        raise errors.UserError(f"--data {config.data}: a classifier needs at least two types: one sub-folder for each")
    if not any(sample.group for sample in samples):
        print(
            "data: which documents are of one company is not known, so a company may be on both sides; --group-pattern "
            "finds it in the file's name", file=sys.stderr,
        )  # fmt: skip
    general = read_general(config) if least_types == 0 else {}
    duplicates = near_duplicates(texts, config.duplicate_threshold)
    content_of = clusters(texts, duplicates)
    split_csv = directory / "split.csv"
    if split_csv.is_file():
        samples = _as_split_before(samples, split_csv)
    else:
        samples = split(samples, content_of, config, stratify_all=least_types > 0)
    _check_duplicates(samples, duplicates)
    data.check_leaks(samples, content_of)
    if not split_csv.is_file():
        data.write_csv(split_csv, samples)
    sides = {name: [sample for sample in samples if sample.split == name] for name in data.SPLIT_NAMES}
    return Corpus(
        config.data, names, **sides, texts=texts | general, duplicates=duplicates, skipped=len(problems),
        general=[data.Sample(path, "") for path in general],
    )  # fmt: skip


def _without_contradictions(samples, texts: dict[str, str], problems: list[Problem]):
    """What `read_source` gives, and every copy of a text that stands in two types is a problem."""
    types_of = collections.defaultdict(set)
    for sample in samples:
        types_of[texts[sample.path]].add(sample.label)
    clear, added = [], []
    for sample in samples:
        others = sorted(types_of[texts[sample.path]] - {sample.label})
        if others:
            added.append(Problem(sample.path, sample.label, f"the same text is in {others[0]!r}; keep the right one"))
        else:
            clear.append(sample)
    return clear, {sample.path: texts[sample.path] for sample in clear}, problems + added


def _check_duplicates(samples: list[data.Sample], duplicates: list[Pair]) -> None:
    """Refuses sides that were given and have near-duplicates across them; the splits made here have none."""
    side_of = {sample.path: sample.split for sample in samples}
    for pair in duplicates:
        if side_of[pair.first] != side_of[pair.second]:
            raise errors.UserError(
                f"leak: {pair.first} ({side_of[pair.first]}) and {pair.second} ({side_of[pair.second]}) share "
                f"{pair.similarity:.0%} of their runs of {SHINGLE} words: put both on one side, remove one, or raise "
                "--duplicate-threshold"
            )


def _report_problems(problems: list[Problem], skip_bad: bool, directory: pathlib.Path) -> None:
    """Stops at unusable documents, or lists them in skipped.csv."""
    if not problems:
        return
    shown = "; ".join(f"{problem.path}: {problem.reason}" for problem in problems[:LISTED])
    more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    if not skip_bad:
        raise errors.UserError(
            f"{len(problems)} unusable document{'s' if len(problems) > 1 else ''}: {shown}{more}. Put them right, name "
            "their --encoding, or leave them out with --skip-bad"
        )
    rows = [dataclasses.astuple(problem) for problem in problems]
    files.write_csv(directory / "skipped.csv", [field.name for field in dataclasses.fields(Problem)], rows)
    print(f"data: {len(problems)} documents left out, see {directory / 'skipped.csv'}", file=sys.stderr)


# Sources ------------------------------------------------------------------------------------------------------


def read_source(config) -> tuple[list[data.Sample], dict[str, str], list[Problem]]:
    """The documents behind `--data`: samples, path → text, and those that cannot be used.

    Raises:
        UserError: nothing there, or not laid out as expected.
    """
    pattern = config.group_pattern
    if config.data == "demo":
        path = demo_text.write_contracts(config.cache_directory / "demo_text" / demo_text.version())
        pattern = DEMO_GROUPS if pattern is None else pattern
    else:
        path = pathlib.Path(config.data).expanduser().absolute()
    if path.is_dir():
        found = _read_folder(path, config.encoding)
    elif path.is_file() and path.suffix.lower() == ".jsonl":
        found = _read_lines(path, config.encoding)
    elif path.exists():
        raise errors.UserError(f"--data {config.data}: neither a folder of .txt files nor a .jsonl file")
    else:
        raise errors.UserError(f"--data {config.data}: no such file or folder; give a folder of .txt files or a .jsonl")
    samples, texts, problems = [], {}, []
    for sample, text, reason in found:
        text = tidy(text, config.keep_layout)[: config.document_characters].strip() if text is not None else ""
        if reason or not text:
            problems.append(Problem(sample.path, sample.label, reason or "empty"))
        else:
            samples.append(sample)
            texts[sample.path] = text
    return (with_groups(samples, pattern) if pattern else samples), texts, problems


def read_general(config) -> dict[str, str]:
    """Path → text of what forgetting is measured on: the drawn prose of the demo, --general, or nothing.

    Raises:
        UserError: nothing there, or a text that cannot be read.
    """
    if not config.general:
        drawn = demo_text.general_texts() if config.data == "demo" else []
        return {f"general text {number}": text for number, text in enumerate(drawn)}
    folder = config.general.expanduser()
    if not folder.exists():
        raise errors.UserError(f"--general {config.general}: no such folder")
    found = list((_read_folder if folder.is_dir() else _read_lines)(folder, config.encoding))
    bad = [f"{sample.path}: {reason}" for sample, _, reason in found if reason]
    if bad:
        raise errors.UserError(f"--general {config.general}: {len(bad)} unusable texts: {'; '.join(bad[:LISTED])}")
    texts = {sample.path: text for sample, raw, _ in found if (text := tidy(raw, config.keep_layout))}
    if not texts:
        raise errors.UserError(f"--general {config.general}: its texts are all empty")
    return texts


def _read_folder(folder: pathlib.Path, encoding: str):
    """Yields (sample, text, reason) for the .txt files of a folder; the first sub-folder is the type."""
    paths = text_files(folder)
    every = {path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder))}
    others = collections.Counter(path.suffix.lower() or "none" for path in every - set(paths))
    if paths and others:
        kinds = ", ".join(f"{count} {ending}" for ending, count in others.most_common(5))
        print(f"data: only .txt files are read; left alone by their ending: {kinds}", file=sys.stderr)
    if not paths:
        raise errors.UserError(f"{folder}: no .txt files there; give one document per file, in a sub-folder per type")
    tops = {path.relative_to(folder).parts[0] for path in paths if path.parent != folder}
    sides = {name for name in tops if name.lower() in data.FOLDER_SPLITS}
    stray = [path for path in paths if path.relative_to(folder).parts[0] not in sides]
    data.check_given_folders(sides, stray)
    given = bool(sides) and not stray
    for path in paths:
        folders = path.relative_to(folder).parts[:-1]
        side = data.FOLDER_SPLITS[folders[0].lower()] if given else ""
        folders = folders[1:] if given else folders
        text, reason = decoded(path.read_bytes(), encoding)
        yield data.Sample(str(path), folders[0] if folders else "", split=side), text, reason


def text_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The .txt files at any depth below a folder, sorted; none that is hidden or in a hidden folder."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
    return sorted(path for path in found if not _hidden(path.relative_to(folder)))


def _hidden(path: pathlib.Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_lines(path: pathlib.Path, encoding: str):
    """Yields (sample, text, reason) for the lines of a .jsonl: `text`, and where known `label` or `type`, `group`."""
    for number, (raw, reason) in enumerate(_decoded_lines(path.read_bytes(), encoding), start=1):
        if raw is not None and not raw.strip():
            continue
        try:
            row = json.loads(raw, parse_constant=lambda name: None) if raw is not None else {}
        except ValueError as error:
            row, reason = {}, f"no JSON ({error})"
        if not reason and not (isinstance(row, dict) and isinstance(row.get("text"), str)):
            row, reason = {}, 'no text: a line must look like {"text": "…", "type": "…", "group": "…"}'
        label, group = (
            str(next((row[key] for key in keys if row.get(key) is not None), ""))
            for keys in (("label", "type"), ("group",))
        )
        try:
            "".join((row.get("text", ""), label, group)).encode()
        except UnicodeEncodeError as error:  # "\ud83d" alone: an emoji that was cut in two
            row, reason = {}, f"half a character ({error.object[error.start]!r})"
        yield data.Sample(f"{path}:{number}", label, group), row.get("text"), reason


def _decoded_lines(content: bytes, encoding: str):
    """Yields (line, "") or (None, why it cannot be read); in an encoding with wider line ends all lines or none."""
    text, reason = decoded(content, encoding)
    if text is not None:
        yield from ((line, "") for line in text.split("\n"))
    elif "\n".encode(encoding) == b"\n":
        yield from (decoded(line, encoding) for line in content.split(b"\n"))
    else:
        yield None, reason


def decoded(content: bytes, encoding: str) -> tuple[str | None, str]:
    """The text and "", or None and why it cannot be read."""
    try:
        return content.decode("utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding), ""
    except LookupError as error:
        raise errors.UserError(
            f"--encoding {encoding}: no such encoding; latin-1, cp1252 and utf-16 are some"
        ) from error
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        return None, f"not {encoding} (byte {content[start : start + 1].hex() or '?'} at position {start:,})"


def tidy(text: str, keep_layout: bool = False) -> str:
    """Line ends as `\\n`, no end tokens; unless the layout is kept, one blank between words, at most one blank line.

    Filed contracts are set with tabs and dozens of blanks, which a model would spend its windows on.
    """
    for token in END_TOKENS:
        text = text.replace(token, " ")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", " ")
    if keep_layout:
        return text.strip("\n")
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n ?(?:\n ?)+", "\n\n", text).strip()


def with_groups(samples: Iterable[data.Sample], pattern: str) -> list[data.Sample]:
    """The samples with the group that a pattern finds in their file's name, what is in its parentheses or all of it.

    Raises:
        UserError: no regular expression, or it finds nothing in some name.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise errors.UserError(f"--group-pattern '{pattern}': no regular expression ({error})") from error
    if compiled.groups > 1:
        raise errors.UserError(f"--group-pattern '{pattern}': one pair of parentheses must say what the group is")
    grouped: list[data.Sample] = []
    without: list[data.Sample] = []
    for sample in samples:
        match = compiled.search(pathlib.Path(sample.path).name)
        group = match[compiled.groups] if match else ""
        (grouped if group else without).append(dataclasses.replace(sample, group=group))
    if without:
        advice = '; in a .jsonl each line names its own, "group": "…"' if ".jsonl:" in without[0].path else ""
        raise errors.UserError(
            f"--group-pattern '{pattern}': finds no group in {len(without)} names, such as "
            f"{pathlib.Path(without[0].path).name}{advice}"
        )
    return grouped


# Near-duplicates ------------------------------------------------------------------------------------------------


def shingles(text: str) -> np.ndarray:
    """The runs of five words of a text as sorted numbers of 32 bits, each once; case and figures do not count."""
    words = re.findall(r"\w+", re.sub(r"\d+", "0", text.lower()))
    codes = np.array([zlib.crc32(word.encode()) for word in words] or [0], dtype="uint64")
    if len(codes) < SHINGLE:
        return np.unique(codes)
    runs = len(codes) - SHINGLE + 1
    mixed = np.zeros(runs, dtype="uint64")
    for place in range(SHINGLE):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + codes[place : place + runs]
    return np.unique(scrambled(mixed) >> np.uint64(32))


def scrambled(values: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits with every bit depending on all others (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(factor)
    return values ^ (values >> np.uint64(33))


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """The share of two sets of numbers that both have."""
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


def near_duplicates(texts: dict[str, str], threshold: float) -> list[Pair]:
    """Pairs of documents whose runs of five words have a Jaccard index of at least `threshold`.

    Candidates come from MinHash with locality-sensitive hashing (Broder 1997; `datasketch`), so not every two
    documents are compared; the index of a candidate pair is computed exactly.

    Args:
        texts: name → text.
        threshold: above 0; 1 and more finds copies only.
    """
    datasketch = _datasketch()
    runs = {name: shingles(text) for name, text in texts.items()}
    asked = max(0.1, min(0.95, threshold - IGNORED_DIFFERENCE))
    index = datasketch.MinHashLSH(threshold=asked, num_perm=PERMUTATIONS, weights=(1 - MISSED, MISSED))
    hashes = {}
    for name, numbers in runs.items():
        hashes[name] = datasketch.MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)
        hashes[name].update_batch(numbers.tolist())
    pairs = []
    for name, minhash in hashes.items():
        for other in index.query(minhash):
            similarity = jaccard(runs[name], runs[other])
            if similarity >= min(threshold, 1.0):
                pairs.append(Pair(other, name, round(similarity, 4)))
        index.insert(name, minhash)
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def _datasketch():
    try:
        import datasketch
    except ImportError as error:
        raise errors.UserError("texts need further packages: pip install -e '.[text]'") from error
    return datasketch


def clusters(texts: dict[str, str], duplicates: Iterable[Pair]) -> dict[str, str]:
    """Name → what it shares with its near-duplicates, also through others: a hash of the text of one of them."""
    parent = {name: name for name in texts}

    def root(name):
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for pair in duplicates:
        parent[root(pair.second)] = root(pair.first)
    return {name: hashlib.sha256(texts[root(name)].encode()).hexdigest() for name in texts}


# Splits -------------------------------------------------------------------------------------------------------


def split(samples: list[data.Sample], content_of: dict[str, str], config, stratify_all: bool) -> list[data.Sample]:
    """Gives every document a side: by type, whole groups and clusters of near-duplicates together.

    Args:
        samples: the documents.
        content_of: as `clusters` makes it.
        config: has the fractions and the seeds.
        stratify_all: every type must be on every side, as a classifier needs it; else types with fewer than three
            groups are dealt out together.
    """
    units = data.units_of(samples, content_of)
    labels = {sample.path: sample.label for sample in samples}
    if not stratify_all:
        counts = collections.Counter(label for _, label in {(units[path], label) for path, label in labels.items()})
        rare = {label for label, count in counts.items() if count < 3}
        if rare:  # with the rarest of the others, so that there are enough
            host = min((label for label in counts if label not in rare), key=lambda label: counts[label], default="")
            labels = {path: host if label in rare else label for path, label in labels.items()}
    seed = config.seed if config.split_seed is None else config.split_seed
    stratified = [dataclasses.replace(sample, label=labels[sample.path]) for sample in samples]
    validation, test = (getattr(config, f"{side}_fraction") or share for side, share in DEFAULT_FRACTIONS.items())
    try:
        dealt = data.split(stratified, units, seed, validation, test)
    except errors.UserError as error:
        alike, companies = len(samples) - len(set(content_of.values())), {sample.group for sample in samples} - {""}
        hints = [
            f"{alike} documents are near-duplicates of others and count with them (--duplicate-threshold)"
            if alike
            else "",
            f"--group-pattern finds {len(companies)} companies in {len(samples)} documents" if companies else "",
        ]
        raise errors.UserError("; ".join([str(error), *filter(None, hints)])) from error
    side_of = {sample.path: sample.split for sample in dealt}
    return [dataclasses.replace(sample, split=side_of[sample.path]) for sample in samples]


def _as_split_before(samples: list[data.Sample], split_csv: pathlib.Path) -> list[data.Sample]:
    """The documents on the sides that split.csv names.

    Raises:
        UserError: the documents are no longer those of the split.
    """
    with open(split_csv, newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = {row["path"]: data.Sample(**row) for row in csv.DictReader(file)}
    here = {sample.path for sample in samples}
    changed = sorted(here ^ set(rows))
    if changed:
        raise errors.UserError(f"{changed[0]}: has come or gone since the run began; start a new run")
    return [rows[sample.path] for sample in samples]


# Windows ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Windows:
    """Documents packed into windows of one length: what a network is shown, and which token comes next each time.

    Attributes:
        token_ids: int32 (n, length).
        targets: int32 (n, length), the next token.
        weights: float32 (n, length), 1 where the target counts and 0 on padding.
        documents: int32 (n, length), the number of the document that the target belongs to, -1 on padding.
    """

    token_ids: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    documents: np.ndarray

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def tokens(self) -> int:
        """How many targets count."""
        return int(self.weights.sum())


def pack(documents: Sequence[np.ndarray], length: int, end_token: int, pad_token: int = 0) -> Windows:
    """Puts documents one after the other, with an end token before, between and behind, and cuts that into windows.

    Every token of every document is a target once, and so is the end token behind each. A window goes on where the
    one before it stopped; only the last one is padded. Padding counts for nothing, whatever its number: it is known by
    its place.

    Args:
        documents: token numbers of each, (tokens,).
        length: of a window.
        end_token, pad_token: their numbers.

    Raises:
        ValueError: there are no documents, or windows of no length.
    """
    if not documents or length < 1:
        raise ValueError("pack needs at least one document and a length of at least 1")
    parts, owners = [np.array([end_token])], [np.array([-1])]
    for number, tokens in enumerate(documents):
        parts += [np.asarray(tokens, dtype="int64"), np.array([end_token])]
        owners.append(np.full(len(tokens) + 1, number))
    stream, owner = np.concatenate(parts), np.concatenate(owners)
    count = -(-(len(stream) - 1) // length)

    def cut(values, filling):
        padded = np.full(count * length, filling, dtype="int32")
        padded[: len(values)] = values
        return padded.reshape(count, length)

    documents_of = cut(owner[1:], -1)
    return Windows(
        cut(stream[:-1], pad_token), cut(stream[1:], pad_token), (documents_of >= 0).astype("float32"), documents_of
    )


def count_table(windows: dict[str, Windows], length: int, duplicates: int) -> str:
    """What there is to train on, for the terminal."""
    counts = ", ".join(f"{part.tokens:,} tokens in {len(part):,} for {side}" for side, part in windows.items())
    pairs = "no pair of documents is" if duplicates == 0 else f"{duplicates} pairs of documents are"
    return f"data: windows of {length}: {counts}; {pairs} nearly the same"


def share_read(rows: dict[str, Windows], documents: dict[str, list[np.ndarray]]) -> float:
    """How much of all documents' tokens stands in their rows, 0 to 1."""
    whole = sum(len(tokens) + 1 for side in documents.values() for tokens in side)
    return sum(part.tokens for part in rows.values()) / whole


def documents_line(summary: dict, config) -> str:
    """What there is for a classifier, for the terminal; `summary` is the `data` section of results.json."""
    counts = " / ".join(f"{summary[side]:,}" for side in data.SPLIT_NAMES)
    companies, pairs = sum(summary["groups"].values()), len(summary["near_duplicates"])
    known = f", {companies:,} companies" if companies else ""
    alike = f"; {pairs} pairs of documents are nearly the same" if pairs else ""
    return (
        f"data: {counts} documents to train, validate and test, {len(summary['class_names'])} types{known}{alike}\n"
        f"data: the network reads {summary['read']:.0%} of their text: of each the first {config.windows_per_document} "
        f"windows of {config.window} tokens (--windows-per-document)"
    )


def pack_each(documents: Sequence[np.ndarray], length: int, end_token: int, pad_token: int = 0) -> Windows:
    """One row for each document, its beginning, padded: for a classifier.

    A document begins behind an end token, as it does in `pack`.
    """
    windows = [pack([tokens[: length - 1]], length, end_token, pad_token) for tokens in documents]
    numbered = [np.where(part.documents >= 0, number, -1) for number, part in enumerate(windows)]
    names = ("token_ids", "targets", "weights")
    fields = {name: np.concatenate([getattr(part, name) for part in windows]) for name in names}
    return Windows(**fields, documents=np.concatenate(numbered).astype("int32"))
