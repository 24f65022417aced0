"""Two domains of texts: what is hidden, what comes back, and what a list of a few labels gives."""

import json
import types

import pytest

from common import errors
from common.data import domains, sample_list, text_domains
from common.demo import drawn_texts
from common.training import tuning

WORDS = "one two three four five six seven eight nine ten".split()


def lines(folder, name, count, labels="ab"):
    """A .jsonl of texts that share no run of five words; every second has the second label, "" is none."""
    path = folder / f"{name}.jsonl"
    texts = [" ".join(f"{name}{number}{word}".translate(LETTERS) for word in WORDS) for number in range(count)]
    rows = [{"text": text, "label": labels[number % len(labels)]} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps({key: value for key, value in row.items() if value}) + "\n" for row in rows))
    return path, texts


LETTERS = str.maketrans("0123456789", "abcdefghij")  # digits are all alike in the search for near-duplicates


@pytest.fixture
def config(tmp_path):
    return tuning.DocumentConfig(data=str(lines(tmp_path, "ours", 40)[0]), cache=tmp_path / "cache")


def test_labels_are_put_aside_and_come_back_for_the_test(config, tmp_path):
    theirs, texts = lines(tmp_path, "theirs", 20, "AB")
    loaded = text_domains.load(config, tmp_path / "run", str(theirs), 0)
    assert (loaded.name, len(loaded.paths()), loaded.target.class_names) == ("theirs", 10, ())
    hidden = [one for side in sample_list.SPLIT_NAMES for one in getattr(loaded.target, side)]
    assert {one.label for one in hidden} == {domains.HIDDEN} and len(hidden) == 20
    judged = loaded.judged()
    assert {one.label for one in judged.test} == {"a", "b"} and set(judged.texts_of("test")) < set(texts)
    assert judged.train == loaded.source.train and len(loaded.together().test) == len(loaded.source.test) + 20


def test_few_labels_are_found_by_their_texts(config, tmp_path, capsys):
    theirs, texts = lines(tmp_path, "theirs", 20, ("",))
    loaded = text_domains.load(config, tmp_path / "run", str(theirs), 0)
    assert loaded.labels == {} and len(loaded.paths()) == 20 and loaded.few(3, None, 0) == {}
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({"text": texts[n], "label": "b"}) + "\n" for n in (4, 7)))
    assert {loaded.paths()[place]: label for place, label in loaded.few(0, few, 0).items()} == {
        f"{theirs}:5": 1, f"{theirs}:8": 1,
    }  # fmt: skip
    few.write_text(json.dumps({"text": "something else", "label": "b"}))
    with pytest.raises(errors.UserError, match="the text of .*few.jsonl:1 is not among those of --new-domain"):
        loaded.few(0, few, 0)
    few.write_text(json.dumps({"text": texts[4], "label": "c"}))
    with pytest.raises(errors.UserError, match="--new-labels .*: the source has no class 'c'"):
        loaded.few(0, few, 0)


def test_a_near_duplicate_of_the_source_is_refused(config, tmp_path):
    theirs, texts = lines(tmp_path, "theirs", 20)
    _, ours = lines(tmp_path, "ours", 40)
    with open(theirs, "a") as file:
        file.write(json.dumps({"text": f"{ours[3]} and more", "label": "b"}))
    with pytest.raises(errors.UserError, match=r"1 pair of documents of both domains .* \(75%\); remove one of each"):
        text_domains.load(config, tmp_path / "run", str(theirs), 0)


def test_labels_of_some_texts_only_are_refused(config, tmp_path):
    theirs, _ = lines(tmp_path, "theirs", 20, ("a", ""))
    for read in (text_domains.check, lambda *given: text_domains.load(given[0], tmp_path / "run", given[1], 0)):
        with pytest.raises(errors.UserError, match="10 of 20 documents have no label .unlabelled.; give all of them"):
            read(config, str(theirs))


def test_the_demos_scans_are_contracts_with_letters_misread(tmp_path):
    asked = types.SimpleNamespace(new_domain=(), cache_directory=tmp_path)
    folder = text_domains.demo(asked)
    assert folder == text_domains.demo(asked) and folder.endswith("scans")
    assert len(list((tmp_path / "demo_text_domains").rglob("*.txt"))) == 6 * drawn_texts.CONTRACTS
    scan = drawn_texts.scanned("a million loans", 0)
    assert scan != "a million loans" and scan == drawn_texts.scanned("a million loans", 0)
    with pytest.raises(errors.UserError, match="--new-domain faxes: the demo has only scans"):
        text_domains.demo(types.SimpleNamespace(new_domain=("faxes",), cache_directory=tmp_path))
