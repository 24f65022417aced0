"""What a language model is worth: perplexity by token and by byte, what it copies, how it repeats, what it forgot."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from common import files, words
from common.data import documents
from common.evaluation import intervals
from common.media import texts, windows

COPY_LENGTH = 8  # words; so many in a row that stand in the training text count as copied
RESAMPLES = 2000  # of the bootstrap
OPENING = 8  # words of a document that are a prompt
LARGEST_EXPONENT = 700.0  # what diverged has a perplexity that is still a number: a loss in nats stands beside it


def document_losses(losses: np.ndarray, windows: windows.Windows, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Losses of targets as sums over documents.

    Args:
        losses: nats of each target, (windows, length).
        windows: where they stand.
        count: how many documents there are.

    Returns:
        Nats and numbers of targets of each document, float64 and int64 (count,).
    """
    counted = windows.documents >= 0
    owners = windows.documents[counted]
    nats = np.bincount(owners, weights=losses[counted].astype("float64"), minlength=count)
    return nats, np.bincount(owners, minlength=count)


def perplexity(nats, tokens, sizes) -> dict:
    """Perplexity of documents by token and by byte.

    By byte, exp(nats / bytes), it does not depend on the vocabulary, so models with different ones can be compared. The
    end token of each document is predicted too and counts among the tokens and the nats.

    Args:
        nats, tokens, sizes: of each document: the sum of its losses, how many targets, bytes in UTF-8.

    Returns:
        `perplexity`, `byte_perplexity`, `bits_per_byte`, `loss` (nats a token), `tokens`, `bytes`.
    """
    total, tokens, size = float(np.sum(nats)), int(np.sum(tokens)), int(np.sum(sizes))
    return {
        "perplexity": float(_exp(total / tokens)),
        "byte_perplexity": float(_exp(total / size)),
        "bits_per_byte": total / size / float(np.log(2)),
        "loss": total / tokens,
        "tokens": tokens,
        "bytes": size,
    }


def _exp(nats):
    return np.exp(np.minimum(nats, LARGEST_EXPONENT))


def evaluate(nats, tokens, sizes, labels: Sequence[str], groups: Sequence[str], seed: int = 0) -> dict:
    """Perplexity over all documents with a 95 % interval, and by type of document.

    The interval is a percentile bootstrap over groups (companies), documents without a group by themselves.

    Args:
        nats, tokens, sizes: as for `perplexity`.
        labels: the type of each document.
        groups: the group of each, "" where it has none.
        seed: of the bootstrap.
    """
    nats, tokens, sizes = map(np.asarray, (nats, tokens, sizes))
    numbers = intervals.group_numbers(list(groups), len(nats))
    units = numbers.max() + 1
    sums = np.zeros((units, 2))
    np.add.at(sums, numbers, np.stack([nats, sizes], axis=1))
    draws = np.concatenate([counts @ sums for counts in intervals.bootstrap_counts(units, seed, RESAMPLES)])
    interval = _exp(np.quantile(draws[:, 0] / draws[:, 1], intervals.TAILS)).tolist()
    by_type = {}
    for label in sorted(set(labels)):
        chosen = np.array([one == label for one in labels])
        by_type[label] = perplexity(nats[chosen], tokens[chosen], sizes[chosen]) | {"documents": int(chosen.sum())}
    found = perplexity(nats, tokens, sizes)
    return found | {"byte_perplexity_interval": interval, "interval_units": int(units), "by_type": by_type}


def of_windows(part, corpus: documents.Corpus) -> dict:
    """What `evaluate` makes of every side of a model's windows but the training's.

    Args:
        part: a `frozen_windows.FrozenWindows`.
        corpus: whose documents were packed.
    """
    found = {}
    for side, packed in part.windows.items():
        if side != "train":
            documents, labels = corpus.texts_of(side), [sample.label for sample in getattr(corpus, side)]
            nats, tokens = document_losses(part.token_losses(side), packed, len(documents))
            found[side] = evaluate(nats, tokens, [*map(texts.byte_count, documents)], labels, corpus.groups(side))
    return found


# What is copied, what is repeated ---------------------------------------------------------------------------------


def words_of(document: str) -> list[str]:
    """Its words, letter case aside."""
    return re.findall(r"\w+", document.lower())


class TrainingText:
    """The training documents as word numbers, to look runs of words up in.

    Args:
        documents: their texts; a run does not go from one to the next.
    """

    def __init__(self, documents: Sequence[str]):
        self.number_of: dict[str, int] = {}
        parts = []
        for number, document in enumerate(documents):
            parts += [self.number_of.setdefault(word, len(self.number_of) + 1) for word in words_of(document)]
            parts.append(-1 - number)  # a mark that no text has
        self.numbers = np.array(parts, dtype="int64")

    def copied(self, samples: Sequence["Sample"], length: int) -> list[np.ndarray]:
        """Whether each run of `length` words that ends behind a prompt stands in a training document: bool (runs,)."""
        known, found = np.unique(_runs(self.numbers, length)), []
        for sample in samples:
            numbers = np.array([self.number_of.get(word, 0) for word in sample.words], dtype="int64")
            runs = _runs(numbers[max(0, sample.prompt - length + 1) :], length)
            places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
            found.append(known[places] == runs if len(known) else np.zeros(len(runs), dtype=bool))
        return found

    def longest(self, samples: Sequence["Sample"]) -> int:
        """Words in the longest run that ends behind a prompt and stands in a training document.

        Found by halving, as a copied run without its first word is a copied run.
        """
        low, high = 0, max((len(sample.words) for sample in samples), default=0)
        while low < high:
            middle = (low + high + 1) // 2
            copied = any(flags.any() for flags in self.copied(samples, middle))
            low, high = (middle, high) if copied else (low, middle - 1)
        return low


@dataclasses.dataclass(frozen=True)
class Sample:
    """A text and how many words of it were given: what is said of it is said of what comes behind them."""

    words: list[str]
    prompt: int = 0

    @classmethod
    def of(cls, written: str, prompt: str = "") -> "Sample":
        """That of a text that begins with its prompt."""
        return cls(words_of(written), len(words_of(prompt)))


def _runs(numbers: np.ndarray, length: int) -> np.ndarray:
    """A number of 64 bits for each run of `length` numbers: different runs differ but for a chance of 1 in 2^64."""
    if len(numbers) < length:
        return np.zeros(0, dtype="uint64")
    codes = _scrambled(numbers.astype("uint64"))
    found = np.zeros(len(numbers) - length + 1, dtype="uint64")
    for place in range(length):
        found = found * np.uint64(0x100000001B3) + codes[place : place + len(found)]
    return _scrambled(found)


def copying(samples: Sequence[Sample], training: TrainingText) -> dict:
    """How much of some texts stands word for word in the training documents.

    Returns:
        `longest`: words in the longest copied run; `share`: of the runs of eight words those that are copied, None
        where there is no such run; `runs`: how many there are.
    """
    flags = training.copied(samples, COPY_LENGTH)
    total = sum(map(len, flags))
    return {
        "longest": training.longest(samples),
        "share": sum(int(flag.sum()) for flag in flags) / total if total else None,
        "runs": total,
    }


def distinct(samples: Sequence[Sample], length: int) -> float | None:
    """Of the runs of `length` words in some texts the share that are different (Li et al. 2016); None without any."""
    runs: list[tuple[str, ...]] = []
    for sample in samples:
        written = sample.words[sample.prompt :]
        runs += zip(*(written[place:] for place in range(length)), strict=False)
    return len(set(runs)) / len(runs) if runs else None


def of_samples(samples: Sequence[Sample], training: TrainingText) -> dict:
    """Copying and variety of some texts, ready for JSON."""
    return copying(samples, training) | {f"distinct_{length}": distinct(samples, length) for length in (1, 2, 3)}


def of_written(written: dict[str, list[str]], prompts: Sequence[str], corpus: documents.Corpus) -> dict:
    """`of_samples` for each list of texts, and for as many test documents, cut to the same length."""
    training = TrainingText(corpus.texts_of("train"))
    longest = max(len(one.split()) for texts in written.values() for one in texts)
    people = words.spread([" ".join(document.split()[:longest]) for document in corpus.texts_of("test")], len(prompts))
    samples = {name: [*map(Sample.of, texts, prompts)] for name, texts in written.items()}
    samples["held_out"] = [Sample.of(one, " ".join(one.split()[:OPENING])) for one in people]
    return {name: of_samples(some, training) for name, some in samples.items()}


def openings(corpus: documents.Corpus, count: int) -> list[str]:
    """The first words of so many validation documents, evenly chosen."""
    opening = rf"\A(?:\S+\s+){{0,{OPENING - 1}}}\S+"
    return [re.findall(opening, one)[0] for one in words.spread(corpus.texts_of("validation"), count)]


def write_samples(path: pathlib.Path, prompts: list[str], written: dict[str, list[str]]) -> list[dict]:
    """Writes a line of JSON for each prompt with what was written `before` and `after`; returns the rows."""
    rows = [
        {"prompt": prompt, "before": one, "after": other}
        for prompt, one, other in zip(prompts, written["before"], written["after"], strict=True)
    ]
    with files.replacing(path) as temporary:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def _scrambled(values: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits with every bit depending on all others (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(factor)
    return values ^ (values >> np.uint64(33))
