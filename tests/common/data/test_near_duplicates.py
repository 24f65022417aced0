import helpers
import pytest

from common.data import near_duplicates

pytestmark = pytest.mark.quick

pytest.importorskip("datasketch", reason="the extra `text` is not installed")


def test_near_duplicates_are_found_and_strangers_are_not():
    form = helpers.words(1)
    texts = {
        "a": form,
        "b": form.replace("bxf ", "other "),
        "c": helpers.words(2),
        "d": form.upper(),
        "e": helpers.words(3),
    }
    found = {(pair.first, pair.second): pair.similarity for pair in near_duplicates.near_duplicates(texts, 0.5)}
    assert set(found) == {("a", "b"), ("a", "d"), ("b", "d")}
    assert found["a", "d"] == 1.0 and 0.5 < found["a", "b"] < 1.0


def test_the_similarity_is_the_jaccard_index():
    first, second = near_duplicates.shingles("a b c d e f"), near_duplicates.shingles("A b c d e g 1")
    assert len(first) == 2 and len(second) == 3
    assert near_duplicates.jaccard(first, second) == pytest.approx(1 / 4)  # of abcde, bcdef, bcdeg, cdeg0 one is common


@pytest.mark.parametrize(("shared", "own", "threshold", "most"), [(300, 90, 0.55, 0.65), (104, 196, 0.2, 0.21)])
def test_of_pairs_above_the_threshold_hardly_one_is_missed(shared, own, threshold, most):
    """Sixty pairs that share words and have some of their own; the second kind is just above the default threshold."""
    texts = {
        f"{seed}{one}": f"{helpers.words(seed, shared)} {helpers.words(1000 * place + seed, own)}"
        for seed in range(60) for place, one in enumerate("ab", start=1)
    }  # fmt: skip
    likeness = [
        near_duplicates.jaccard(*(near_duplicates.shingles(texts[f"{seed}{one}"]) for one in "ab"))
        for seed in range(60)
    ]
    assert threshold < min(likeness) and max(likeness) < most
    pairs = near_duplicates.near_duplicates(texts, threshold)
    assert all(pair.first[:-1] == pair.second[:-1] for pair in pairs) and len(pairs) >= 59
