"""Texts that are nearly the same, found by the runs of words that they share; they stay on one side of a split."""

import dataclasses
import hashlib
import re
import zlib
from collections.abc import Iterable

import numpy as np

from common import errors
from common.data import splits

SHINGLE = 5  # words; two documents are as alike as their sets of such runs
PERMUTATIONS = 128  # of a MinHash: a similarity of 0.5 is estimated to 0.04
IGNORED_DIFFERENCE = 0.15  # LSH is asked for pairs so much less alike, …
MISSED = 0.9  # … and a missed one weighs so much, a needless comparison the rest: at 0.2 one in a thousand is missed


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two documents that are nearly the same; `similarity` is the Jaccard index of their runs of five words."""

    first: str
    second: str
    similarity: float


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
    number_of = splits.connected(texts, ((pair.first, pair.second) for pair in duplicates))
    first: dict[int, str] = {}
    for name, number in number_of.items():
        first.setdefault(number, hashlib.sha256(texts[name].encode()).hexdigest())
    return {name: first[number] for name, number in number_of.items()}
