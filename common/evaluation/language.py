"""Evaluation of a language model: perplexity by token and by byte, copied text, repetition."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from common import files, words
from common.data import documents
from common.evaluation import intervals
from common.media import texts, windows

COPY_LENGTH = 8  # words; a run of this many words that occurs in the training text counts as copied
OPENING = 8  # the first words of a document, used as a prompt
LARGEST_EXPONENT = 700.0  # keeps the perplexity of a diverged model finite; the loss in nats is reported beside it


def document_losses(losses: np.ndarray, windows: windows.Windows, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum the losses of targets over each document.

    Args:
        losses: nats of each target, (windows, length).
        windows: the windows of the targets.
        count: number of documents.

    Returns:
        The nats and the number of targets of each document, float64 and int64 (count,).
    """
    counted = windows.documents >= 0
    owners = windows.documents[counted]
    nats = np.bincount(owners, weights=losses[counted].astype("float64"), minlength=count)
    return nats, np.bincount(owners, minlength=count)


def perplexity(nats: ArrayLike, tokens: ArrayLike, sizes: ArrayLike) -> dict:
    """Compute the perplexity of documents by token and by byte.

    The perplexity by byte, exp(nats / bytes), does not depend on the vocabulary, so models with different vocabularies
    can be compared. The end token of each document is also predicted; it counts among the tokens and the nats.

    Args:
        nats: the sum of the losses of each document.
        tokens: the number of targets of each document.
        sizes: the bytes of each document in UTF-8.

    Returns:
        `perplexity`, `byte_perplexity`, `bits_per_byte`, `loss` (nats per token), `tokens`, `bytes`.
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


def _exp(nats: ArrayLike) -> np.ndarray:
    return np.exp(np.minimum(nats, LARGEST_EXPONENT))


def evaluate(
    nats: ArrayLike, tokens: ArrayLike, sizes: ArrayLike, labels: Sequence[str], groups: Sequence[str]
) -> dict:
    """Compute the perplexity over all documents with a 95 % interval, and by type of document.

    The interval goes by groups (companies), with Student's t on the logarithm of the perplexity (`intervals.mean`); a
    document without a group is its own group. It is None for a single group.

    Args:
        nats, tokens, sizes: as for `perplexity`.
        labels: the type of each document.
        groups: the group of each document, "" if it has none.
    """
    nats, tokens, sizes = map(np.asarray, (nats, tokens, sizes))
    numbers = intervals.group_numbers(list(groups), len(nats))
    sums = intervals.unit_sums(np.stack([nats, sizes], axis=1), numbers)
    limits = intervals.mean(*sums.T)
    interval = _exp(limits).tolist() if limits else None
    by_type = {}
    for label in sorted(set(labels)):
        chosen = np.array([one == label for one in labels])
        by_type[label] = perplexity(nats[chosen], tokens[chosen], sizes[chosen]) | {"documents": int(chosen.sum())}
    found = perplexity(nats, tokens, sizes)
    return found | {"byte_perplexity_interval": interval, "interval_units": len(sums), "by_type": by_type}


def of_windows(part: Any, corpus: documents.Corpus) -> dict:
    """Return the results of `evaluate` for every side of a model's windows except the training side.

    Args:
        part: a `frozen_windows.FrozenWindows`.
        corpus: the documents that were packed into the windows.
    """
    found = {}
    for side, packed in part.windows.items():
        if side != "train":
            documents, labels = corpus.texts_of(side), [sample.label for sample in getattr(corpus, side)]
            nats, tokens = document_losses(part.token_losses(side), packed, len(documents))
            found[side] = evaluate(nats, tokens, [*map(texts.byte_count, documents)], labels, corpus.groups(side))
    return found


# Copied and repeated text -----------------------------------------------------------------------------------------


def words_of(document: str) -> list[str]:
    """Return the words of a document in lower case."""
    return re.findall(r"\w+", document.lower())


class TrainingText:
    """The training documents as word numbers, in which runs of words can be found.

    Args:
        documents: the texts; a run of words does not continue into the next text.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        self.number_of: dict[str, int] = {}
        parts = []
        for number, document in enumerate(documents):
            parts += [self.number_of.setdefault(word, len(self.number_of) + 1) for word in words_of(document)]
            parts.append(-1 - number)  # a separator that does not occur in any text
        self.numbers = np.array(parts, dtype="int64")

    def copied(self, samples: Sequence["Sample"], length: int) -> list[np.ndarray]:
        """Return whether each run of `length` words that ends after a prompt is in the training text, bool (runs,)."""
        known, found = np.unique(_runs(self.numbers, length)), []
        for sample in samples:
            numbers = np.array([self.number_of.get(word, 0) for word in sample.words], dtype="int64")
            runs = _runs(numbers[max(0, sample.prompt - length + 1) :], length)
            places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
            found.append(known[places] == runs if len(known) else np.zeros(len(runs), dtype=bool))
        return found

    def longest(self, samples: Sequence["Sample"]) -> int:
        """Return the length, in words, of the longest run that ends after a prompt and is in a training document.

        A binary search finds it, because a copied run without its first word is also a copied run.
        """
        low, high = 0, max((len(sample.words) for sample in samples), default=0)
        while low < high:
            middle = (low + high + 1) // 2
            copied = any(flags.any() for flags in self.copied(samples, middle))
            low, high = (middle, high) if copied else (low, middle - 1)
        return low


@dataclasses.dataclass(frozen=True)
class Sample:
    """A text and the number of words in its prompt; only the words after the prompt are evaluated."""

    words: list[str]
    prompt: int = 0

    @classmethod
    def of(cls, written: str, prompt: str = "") -> "Sample":
        """Make a sample from a text that begins with its prompt."""
        return cls(words_of(written), len(words_of(prompt)))


def _runs(numbers: np.ndarray, length: int) -> np.ndarray:
    """Return a 64-bit hash of each run of `length` numbers; two different runs collide with probability 1 in 2^64."""
    if len(numbers) < length:
        return np.zeros(0, dtype="uint64")
    codes = _scrambled(numbers.astype("uint64"))
    found = np.zeros(len(numbers) - length + 1, dtype="uint64")
    for place in range(length):
        found = found * np.uint64(0x100000001B3) + codes[place : place + len(found)]
    return _scrambled(found)


def copying(samples: Sequence[Sample], training: TrainingText) -> dict:
    """Measure how much of some texts is copied word for word from the training documents.

    Returns:
        `longest`: words in the longest copied run. `runs`: the number of runs of eight words. `share`: the share of
        these runs that is copied, None if there is no such run.
    """
    flags = training.copied(samples, COPY_LENGTH)
    total = sum(map(len, flags))
    return {
        "longest": training.longest(samples),
        "share": sum(int(flag.sum()) for flag in flags) / total if total else None,
        "runs": total,
    }


def distinct(samples: Sequence[Sample], length: int) -> float | None:
    """Return the share of distinct runs among the runs of `length` words (Li et al. 2016); None if there are none."""
    runs: list[tuple[str, ...]] = []
    for sample in samples:
        written = sample.words[sample.prompt :]
        runs += zip(*(written[place:] for place in range(length)), strict=False)
    return len(set(runs)) / len(runs) if runs else None


def of_samples(samples: Sequence[Sample], training: TrainingText) -> dict:
    """Measure copying and variety of some texts, ready for JSON."""
    return copying(samples, training) | {f"distinct_{length}": distinct(samples, length) for length in (1, 2, 3)}


def of_written(written: dict[str, list[str]], prompts: Sequence[str], corpus: documents.Corpus) -> dict:
    """Return `of_samples` for each list of texts, and for as many test documents, cut to the same length."""
    training = TrainingText(corpus.texts_of("train"))
    longest = max(len(one.split()) for texts in written.values() for one in texts)
    people = words.spread([" ".join(document.split()[:longest]) for document in corpus.texts_of("test")], len(prompts))
    samples = {name: [*map(Sample.of, texts, prompts)] for name, texts in written.items()}
    samples["held_out"] = [Sample.of(one, " ".join(one.split()[:OPENING])) for one in people]
    return {name: of_samples(some, training) for name, some in samples.items()}


def openings(corpus: documents.Corpus, count: int) -> list[str]:
    """Return the first words of `count` evenly spread validation documents."""
    opening = rf"\A(?:\S+\s+){{0,{OPENING - 1}}}\S+"
    return [re.findall(opening, one)[0] for one in words.spread(corpus.texts_of("validation"), count)]


def write_samples(path: pathlib.Path, prompts: list[str], written: dict[str, list[str]]) -> list[dict]:
    """Write one line of JSON per prompt, with the texts written `before` and `after`; return the rows."""
    rows = [
        {"prompt": prompt, "before": one, "after": other}
        for prompt, one, other in zip(prompts, written["before"], written["after"], strict=True)
    ]
    with files.replacing(path) as temporary:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def _scrambled(values: np.ndarray) -> np.ndarray:
    """Mix 64-bit numbers so that every bit depends on all others (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(factor)
    return values ^ (values >> np.uint64(33))
