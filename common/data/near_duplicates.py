"""Near-duplicate texts, found by the runs of words that they share; they stay on one side of a split."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable

import numpy as np
from scipy import sparse
from sklearn.feature_extraction import text as text_features

from common.data import names, splits

RUN = 5  # words; the similarity of two documents is that of their sets of such runs
NUMBERS = 2**30  # hash values; among ten thousand runs, two hardly ever share one
BLOCK = 256  # documents compared with all others at a time


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two near-duplicate documents; `similarity` is the Jaccard index of their runs of five words."""

    first: str
    second: str
    similarity: float


# Near-duplicates ------------------------------------------------------------------------------------------------


def runs(text: str) -> list[str]:
    """Return a text's runs of five words, or the words of a shorter text.

    Digits are ignored, and so is what `names.key` ignores, such as case and soft hyphens, which would hide a copy.
    """
    words = re.findall(r"\w+", re.sub(r"\d+", "0", names.key(text))) or [""]
    return [" ".join(words[place : place + RUN]) for place in range(len(words) - RUN + 1)] or words


def near_duplicates(texts: dict[str, str], threshold: float) -> list[Pair]:
    """Return pairs of documents whose runs of five words have a Jaccard index of at least `threshold`.

    All pairs of documents are compared, by products of a sparse matrix. It has a row for each document and a 1 for each
    of its runs.

    Args:
        texts: name → text.
        threshold: above 0; 1 and more finds copies only.
    """
    names = list(texts)
    pairs: list[Pair] = []
    if not names:
        return []
    hashed = text_features.HashingVectorizer(
        n_features=NUMBERS, analyzer=runs, binary=True, norm=None, alternate_sign=False
    ).transform(texts.values())
    occurring, columns = np.unique(hashed.indices, return_inverse=True)
    rows = sparse.csr_array((hashed.data, columns, hashed.indptr), shape=(len(names), len(occurring)))
    sizes, transposed = rows.sum(axis=1), rows.T.tocsr()
    for start in range(0, len(names), BLOCK):
        shared = (rows[start : start + BLOCK] @ transposed).tocoo()
        second, first = shared.row + start, shared.col
        similarity = shared.data / (sizes[first] + sizes[second] - shared.data)
        found = (first < second) & (similarity >= min(threshold, 1.0))
        for one, other, likeness in zip(first[found], second[found], similarity[found].tolist(), strict=True):
            pairs.append(Pair(names[one], names[other], round(likeness, 4)))
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))


def clusters(texts: dict[str, str], duplicates: Iterable[Pair]) -> dict[str, str]:
    """Return name → the hash of one text of its cluster, which connects near-duplicates directly or through others."""
    number_of = splits.connected(texts, ((pair.first, pair.second) for pair in duplicates))
    first: dict[int, str] = {}
    for name, number in number_of.items():
        first.setdefault(number, hashlib.sha256(texts[name].encode()).hexdigest())
    return {name: first[number] for name, number in number_of.items()}
