"""What a language model is worth: perplexity by token and by byte, what it copies, how it repeats, what it forgot."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from sklearn import feature_extraction, linear_model

from common import evaluation, files, generate, page, text

COPY_LENGTH = 8  # words; so many in a row that stand in the training text count as copied
RESAMPLES = 2000  # of the bootstrap
OPENING = 8  # words of a document that are a prompt
LARGEST_EXPONENT = 700.0  # what diverged has a perplexity that is still a number: a loss in nats stands beside it
PENALTIES = (0.1, 1.0, 10.0, 100.0)  # scikit-learn's C, tried for the baseline of a classifier


def document_losses(losses: np.ndarray, windows: text.Windows, count: int) -> tuple[np.ndarray, np.ndarray]:
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
    numbers = evaluation.group_numbers(list(groups), len(nats))
    units = numbers.max() + 1
    sums = np.zeros((units, 2))
    np.add.at(sums, numbers, np.stack([nats, sizes], axis=1))
    draws = np.concatenate([counts @ sums for counts in evaluation.bootstrap_counts(units, seed, RESAMPLES)])
    interval = _exp(np.quantile(draws[:, 0] / draws[:, 1], evaluation.TAILS)).tolist()
    by_type = {}
    for label in sorted(set(labels)):
        chosen = np.array([one == label for one in labels])
        by_type[label] = perplexity(nats[chosen], tokens[chosen], sizes[chosen]) | {"documents": int(chosen.sum())}
    found = perplexity(nats, tokens, sizes)
    return found | {"byte_perplexity_interval": interval, "interval_units": int(units), "by_type": by_type}


def of_windows(part, corpus: text.Corpus) -> dict:
    """What `evaluate` makes of every side of a model's windows but the training's.

    Args:
        part: a `text_model.FrozenWindows`.
        corpus: whose documents were packed.
    """
    found = {}
    for side, windows in part.windows.items():
        if side != "train":
            texts, labels = corpus.texts_of(side), [sample.label for sample in getattr(corpus, side)]
            nats, tokens = document_losses(part.token_losses(side), windows, len(texts))
            found[side] = evaluate(nats, tokens, [*map(text.byte_count, texts)], labels, corpus.groups(side))
    return found


# What is copied, what is repeated ---------------------------------------------------------------------------------


def words(document: str) -> list[str]:
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
            parts += [self.number_of.setdefault(word, len(self.number_of) + 1) for word in words(document)]
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
        return cls(words(written), len(words(prompt)))


def _runs(numbers: np.ndarray, length: int) -> np.ndarray:
    """A number of 64 bits for each run of `length` numbers: different runs differ but for a chance of 1 in 2^64."""
    if len(numbers) < length:
        return np.zeros(0, dtype="uint64")
    codes = text.scrambled(numbers.astype("uint64"))
    found = np.zeros(len(numbers) - length + 1, dtype="uint64")
    for place in range(length):
        found = found * np.uint64(0x100000001B3) + codes[place : place + len(found)]
    return text.scrambled(found)


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


def of_written(written: dict[str, list[str]], prompts: Sequence[str], corpus: text.Corpus) -> dict:
    """`of_samples` for each list of texts, and for as many test documents, cut to the same length."""
    training = TrainingText(corpus.texts_of("train"))
    longest = max(len(one.split()) for texts in written.values() for one in texts)
    people = page.spread([" ".join(document.split()[:longest]) for document in corpus.texts_of("test")], len(prompts))
    samples = {name: [*map(Sample.of, texts, prompts)] for name, texts in written.items()}
    samples["held_out"] = [Sample.of(one, " ".join(one.split()[:OPENING])) for one in people]
    return {name: of_samples(some, training) for name, some in samples.items()}


def openings(corpus: text.Corpus, count: int) -> list[str]:
    """The first words of so many validation documents, evenly chosen."""
    opening = rf"\A(?:\S+\s+){{0,{OPENING - 1}}}\S+"
    return [re.findall(opening, one)[0] for one in page.spread(corpus.texts_of("validation"), count)]


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


# The baseline of a classifier --------------------------------------------------------------------------------------


def counted_words(corpus: text.Corpus, seed: int = 0) -> dict:
    """Logistic regression on TF-IDF of words and pairs of words: what a classifier of texts has to beat.

    Its penalty is chosen on the validation documents; the test documents are read once.

    Returns:
        `C`, and what `evaluation.evaluate` makes of `validation` and `test`.
    """
    features = feature_extraction.text.TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    try:
        train = features.fit_transform(corpus.texts_of("train"))
    except ValueError:  # no word stands in two documents
        features.set_params(min_df=1)
        train = features.fit_transform(corpus.texts_of("train"))
    labels, tried = corpus.labels("train"), []
    for penalty in PENALTIES:
        model = linear_model.LogisticRegression(C=penalty, max_iter=1000, random_state=seed).fit(train, labels)
        tried.append((_answers(model, features, corpus, "validation", seed)["log_loss"], penalty, model))
    _, penalty, model = min(tried, key=lambda one: one[0])
    return {"C": penalty} | {side: _answers(model, features, corpus, side, seed) for side in ("validation", "test")}


def _answers(model, features, corpus, side: str, seed: int) -> dict:
    probabilities = model.predict_proba(features.transform(corpus.texts_of(side)))
    return evaluation.evaluate(probabilities, corpus.labels(side), corpus.class_names, corpus.groups(side), seed)


# Words for the terminal -------------------------------------------------------------------------------------------


def strategy_table(rows: Sequence[dict]) -> str:
    """The strategies side by side.

    Args:
        rows: `strategy, trainable_parameters, seconds, peak_memory_bytes, validation, test, kept`; the two are what
            `evaluate` here, or that of a classifier, makes.
    """
    classifies = "accuracy" in rows[0]["test"]
    last = ("validation", "test", "balanced") if classifies else ("validation", "test", "test per byte")
    names = ("accuracy", "balanced_accuracy") if classifies else ("perplexity", "byte_perplexity")
    shown = [("", "strategy", "trained", "seconds", "memory", *last)]
    for row in rows:
        values = [row["validation"][names[0]], row["test"][names[0]], row["test"][names[1]]]
        shown.append((
            ">" if row["kept"] else "", row["strategy"], f"{row['trainable_parameters']:,}", f"{row['seconds']:.1f}",
            f"{row['peak_memory_bytes'] / 2**20:,.0f} MB", *map(_shown, values),
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    title, chosen = ("accuracy", "log loss") if classifies else ("perplexity", "loss")
    lines = [
        f"{row[0]:<1} {row[1]:<{widths[1]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        for row in shown
    ]
    told = f"trained: parameters; validation and test: {title}; > kept, for the lowest {chosen} on validation"
    return "\n".join([*lines, told])


def _shown(value: float) -> str:
    return f"{value:.3f}" if value < 1e15 else f"{value:.3g}"


def summary(result) -> str:
    """The lines that a run ends with."""
    found, cost = result.results, result.results["cost"]
    lines = [strategy_table(found["strategies"])]
    test = found["test"]
    if found["task"] == "generate":
        before, (low, high) = found["before"]["test"], test["byte_perplexity_interval"]
        lines += [
            f"test perplexity {_shown(before['perplexity'])} before, {_shown(test['perplexity'])} after; per byte "
            f"{before['byte_perplexity']:.3f}, {test['byte_perplexity']:.3f} ({low:.3f} – {high:.3f})",
        ]
        if test["perplexity"] >= before["perplexity"]:
            lines.append("tuning brought nothing here: try another --learning-rate, or more --epochs")
        if found["general"]:
            lines.append(
                f"general texts: perplexity {_shown(found['before']['general']['perplexity'])} before, "
                f"{_shown(found['general']['perplexity'])} after"
            )
        copied, natural = found["copying"]["after"], found["copying"]["held_out"]
        lines.append(
            f"copied from the training documents: {_percent(copied['share'])} of runs of {COPY_LENGTH} words, the "
            f"longest {copied['longest']} words (held-out: {_percent(natural['share'])}, {natural['longest']} words)"
        )
        lines.append(f"note: {generate.WARNING}")
    else:
        low, high = test["accuracy_interval"]
        baseline = found["counted_words"]["test"]["accuracy"]
        lines.append(
            f"test accuracy {test['accuracy']:.3f} ({low:.3f} – {high:.3f}) on {test['n']} documents; logistic "
            f"regression on TF-IDF {baseline:.3f}"
        )
    lines.append(f"{cost['epochs']} epoch{'s' if cost['epochs'] != 1 else ''}, {cost['seconds']:.0f} s in all")
    return "\n".join([*lines, f"report: {result.directory / 'report.html'}"])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
