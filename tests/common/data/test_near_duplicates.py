import helpers
import pytest

from common.data import near_duplicates

pytestmark = pytest.mark.quick


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
    texts = {"a": "a b c d e f", "b": "A b c d e g 1", "c": "no, nothing of it!", "d": "", "e": "..."}
    pairs = near_duplicates.near_duplicates(texts, 0.01)
    assert [(pair.first, pair.second, pair.similarity) for pair in pairs] == [
        ("d", "e", 1.0), ("a", "b", 0.25),  # of abcde, bcdef, bcdeg, cdeg0 one is common
    ]  # fmt: skip
    assert near_duplicates.near_duplicates({}, 0.5) == []
    assert near_duplicates.runs("One, 2 three") == ["one", "0", "three"]


def test_no_pair_is_missed_and_none_is_too_much(monkeypatch):
    """Pairs that share words and have some of their own, around the default threshold; compared block by block."""
    texts = {
        f"{seed}{one}": f"{helpers.words(seed, 60 + 3 * seed)} {helpers.words(1000 * place + seed, 196)}"
        for seed in range(40) for place, one in enumerate("ab", start=1)
    }  # fmt: skip
    runs = {name: set(near_duplicates.runs(text)) for name, text in texts.items()}
    expected = {}
    for seed in range(40):
        first, second = runs[f"{seed}a"], runs[f"{seed}b"]
        expected[f"{seed}a", f"{seed}b"] = round(len(first & second) / len(first | second), 4)
    for block in (near_duplicates.BLOCK, 7):
        monkeypatch.setattr(near_duplicates, "BLOCK", block)
        found = {(pair.first, pair.second): pair.similarity for pair in near_duplicates.near_duplicates(texts, 0.2)}
        assert found == {pair: likeness for pair, likeness in expected.items() if likeness >= 0.2}
        assert 5 < len(found) < 35


def test_what_cannot_be_seen_hides_no_copy():
    form = helpers.words(1)
    marked = "\xad".join(form)  # a soft hyphen after each letter
    other = {"marked": marked, "wide": form.replace(" ", "\xa0\u200b "), "decomposed": "e\u0301t\xe9 " + form}
    found = near_duplicates.near_duplicates({"form": form, **other}, 0.9)
    assert {(pair.first, pair.second) for pair in found} >= {("form", name) for name in other}
    assert near_duplicates.runs("\xe9t\xe9") == near_duplicates.runs("E\u0301te\u0301") == ["\xe9t\xe9"]
