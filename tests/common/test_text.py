import json
import os
import pathlib
import re
import types

import numpy as np
import pytest

from common import data, errors, text

pytest.importorskip("datasketch", reason="the extra `text` is not installed")


def settings(source, **changes):
    defaults = {
        "data": str(source), "encoding": "utf-8", "keep_layout": False, "document_characters": None, "seed": 0,
        "group_pattern": None, "duplicate_threshold": 0.5, "skip_bad": False, "split_seed": None,
        "validation_fraction": 0.2, "test_fraction": 0.2, "general": None,
    }  # fmt: skip
    return types.SimpleNamespace(**defaults | changes)


def write(folder, **documents):
    """Documents under names such as lease__a for lease/a.txt."""
    for name, content in documents.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def words(seed, count=200):
    """A text of words that no other seed has, without figures, which do not count for near-duplicates."""
    letters = str.maketrans("0123456789", "abcdefghij")
    order = np.random.default_rng(seed).permutation(count)
    return " ".join(f"{seed}x{number}".translate(letters) for number in order)


# Packing, to the token ----------------------------------------------------------------------------------------------


def test_packing_to_the_token():
    packed = text.pack([np.array([5, 6, 7]), np.array([8, 9])], length=3, end_token=1)
    assert packed.token_ids.tolist() == [[1, 5, 6], [7, 1, 8], [9, 0, 0]]
    assert packed.targets.tolist() == [[5, 6, 7], [1, 8, 9], [1, 0, 0]]
    assert packed.weights.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0]]
    assert packed.documents.tolist() == [[0, 0, 0], [0, 1, 1], [1, -1, -1]]
    assert (len(packed), packed.tokens) == (3, 7)


def test_a_token_0_of_a_document_is_no_padding():
    packed = text.pack([np.array([0, 4])], length=4, end_token=1)
    assert packed.targets.tolist() == [[0, 4, 1, 0]] and packed.weights.tolist() == [[1, 1, 1, 0]]


def test_every_token_is_a_target_once_whatever_the_length():
    documents = [np.random.default_rng(n).integers(2, 99, size) for n, size in enumerate((1, 17, 40, 0, 5))]
    expected = [token for document in documents for token in [*document, 1]]
    for length in (1, 2, 7, 16, 200):
        packed = text.pack(documents, length, end_token=1)
        counted = packed.weights > 0
        assert packed.targets[counted].tolist() == expected
        assert packed.documents[counted].tolist() == [n for n, d in enumerate(documents) for _ in range(len(d) + 1)]
        assert packed.token_ids[counted].tolist() == [1, *expected[:-1]]


def test_rows_of_a_classifier_hold_one_document_each():
    packed = text.pack_each([np.arange(2, 9), np.array([50])], length=6, end_token=1)
    assert packed.token_ids.tolist() == [[1, 2, 3, 4, 5, 6], [1, 50, 0, 0, 0, 0]]
    assert packed.documents.max(axis=1).tolist() == [0, 1]
    assert packed.weights.tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]


def test_nothing_to_pack_is_refused():
    with pytest.raises(ValueError, match="at least one document"):
        text.pack([], 4, 1)


# Reading ------------------------------------------------------------------------------------------------------------


def test_a_folder_with_types_and_one_without(tmp_path):
    write(tmp_path, lease__a="One two.", lease__deeper__b="Three.", loan__c="Four.")
    samples, texts, problems = text.read_source(settings(tmp_path))
    assert [(sample.label, texts[sample.path]) for sample in samples] == [
        ("lease", "One two."), ("lease", "Three."), ("loan", "Four."),
    ]  # fmt: skip
    assert not problems
    write(tmp_path / "flat", a="One.")
    assert [sample.label for sample in text.read_source(settings(tmp_path / "flat"))[0]] == [""]


def test_other_files_are_left_alone_and_said(tmp_path, capsys):
    write(tmp_path, lease__a="One two.", loan__c="Four.")
    (tmp_path / "loan" / "b.TXT").write_text("Three.")
    (tmp_path / "loan" / "d.pdf").touch()
    assert len(text.read_source(settings(tmp_path))[0]) == 3
    assert "left alone by their ending: 1 .pdf" in capsys.readouterr().err


def test_given_sides(tmp_path):
    write(tmp_path, train__lease__a="One.", test__lease__b="Two.", validation__lease__c="Three.")
    samples, *_ = text.read_source(settings(tmp_path))
    assert {(sample.label, sample.split) for sample in samples} == {
        ("lease", "train"), ("lease", "test"), ("lease", "validation"),
    }  # fmt: skip


def test_a_stray_document_beside_given_sides_is_refused(tmp_path):
    write(tmp_path, train__lease__a="One.", test__lease__b="Two.", README="Three.")
    with pytest.raises(errors.UserError, match=r"README\.txt stands beside the folders of a split"):
        text.read_source(settings(tmp_path))


def test_hidden_folders_are_left_alone(tmp_path):
    write(tmp_path, **{"lease__a": "One.", ".ipynb_checkpoints__a": "Two."})
    assert [sample.label for sample in text.read_source(settings(tmp_path))[0]] == ["lease"]


def test_near_duplicates_across_given_sides_are_refused(tmp_path):
    write(tmp_path, train__a=words(1), validation__b=words(2), test__c=words(1) + " and more")
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match=r"c\.txt \(test\) and .*a\.txt \(train\) share 99% .*--duplicate-th"):
        text.load(settings(tmp_path), tmp_path / "run")


def test_documents_that_are_all_alike_are_said_to_be(tmp_path):
    write(tmp_path / "d", **{f"a{n}": words(1) + f" end{'x' * n}" for n in range(9)})
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match=r"there is only one .* 8 documents are near-duplicates"):
        text.load(settings(tmp_path / "d"), tmp_path / "run")


def test_general_texts_are_a_side_of_their_own(tmp_path):
    write(tmp_path / "d", **{f"lease__{n}": words(n) for n in range(9)})
    write(tmp_path / "general", a="Some prose.", b=" ")
    (tmp_path / "run").mkdir()
    corpus = text.load(settings(tmp_path / "d", general=tmp_path / "general"), tmp_path / "run")
    assert corpus.texts_of("general") == ["Some prose."] and corpus.groups("general") == [""]
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 9
    (tmp_path / "general" / "a.txt").write_text("\n")
    with pytest.raises(errors.UserError, match="--general .* all empty"):
        text.load(settings(tmp_path / "d", general=tmp_path / "general"), tmp_path / "run")


def test_null_is_no_name(tmp_path):
    lines = [{"text": "One.", "type": None, "group": None}, {"text": "Two.", "group": float("nan")}]
    lines.append({"text": "Three.", "label": None, "type": "loan"})
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    samples, *_ = text.read_source(settings(tmp_path / "all.jsonl"))
    assert [(sample.label, sample.group) for sample in samples] == [("", ""), ("", ""), ("loan", "")]


def test_lines_of_json_in_other_encodings(tmp_path):
    lines = [{"text": "Grüße."}, {"text": "Two."}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-16")
    _, texts, problems = text.read_source(settings(tmp_path / "a.jsonl", encoding="utf-16"))
    assert [*texts.values()] == ["Grüße.", "Two."] and not problems
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "f\xfcr"}\r\n{"text": "Two."}\r\n{"text": "\\ud83d"}\r\n')
    _, texts, problems = text.read_source(settings(tmp_path / "b.jsonl"))
    assert [*texts.values()] == ["Two."]
    assert "not utf-8 (byte fc" in problems[0].reason and "half a character" in problems[1].reason


def test_lines_of_json(tmp_path):
    lines = [{"text": "One.", "type": "loan", "group": "7"}, {"text": "Two.", "label": "lease"}]
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + '\n\n{"txt": 1}\nno json\n')
    samples, texts, problems = text.read_source(settings(tmp_path / "all.jsonl"))
    assert [(sample.label, sample.group) for sample in samples] == [("loan", "7"), ("lease", "")]
    assert [texts[sample.path] for sample in samples] == ["One.", "Two."]
    assert "no text" in problems[0].reason and problems[0].path.endswith(":4") and "no JSON" in problems[1].reason


def test_wrong_encodings_are_named_and_can_be_left_out(tmp_path):
    write(tmp_path / "d", good="Gut.", latin="f\xfcr".encode("latin-1"), empty=" \n ")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(
        errors.UserError, match=r"2 unusable documents.*empty\.txt: empty.*latin\.txt: not utf-8 \(byte fc"
    ):
        text.load(settings(tmp_path / "d"), run)
    samples, texts, _ = text.read_source(settings(tmp_path / "d", encoding="latin-1"))
    assert "für" in texts.values()
    write(tmp_path / "d", **{f"more{n}": words(n) for n in range(9)})
    corpus = text.load(settings(tmp_path / "d", skip_bad=True), run)
    assert corpus.skipped == 2 and "latin.txt" in (run / "skipped.csv").read_text()
    with pytest.raises(errors.UserError, match="no such encoding"):
        text.read_source(settings(tmp_path / "d", encoding="klingon"))


@pytest.mark.parametrize(
    ("source", "message"), [("nowhere", "no such file or folder"), ("empty", "no .txt files"), ("a.pdf", "neither")]
)
def test_no_data(tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pdf").touch()
    with pytest.raises(errors.UserError, match=message):
        text.read_source(settings(tmp_path / source))


def test_tidying():
    assert text.tidy("\r\n A\tb  c \r\n\r\n \r\n\r\n d <|endoftext|>\n") == "A b c\n\nd"
    assert text.tidy(" a  b\n\n\n\nc\n", keep_layout=True) == " a  b\n\n\n\nc"


def test_groups(tmp_path):
    samples = [data.Sample("/x/1010_2009_A.txt", ""), data.Sample("/x/77_B.txt", "")]
    assert [sample.group for sample in text.with_groups(samples, r"^(\d+)_")] == ["1010", "77"]
    for pattern, message in (
        (r"^(\d+", "no regular expression"),
        (r"^(z+)", "finds no group in 2"),
        ("(a)(b)", "one pair"),
    ):
        with pytest.raises(errors.UserError, match=message):
            text.with_groups(samples, pattern)


# Near-duplicates and splits -------------------------------------------------------------------------------------------


def test_near_duplicates_are_found_and_strangers_are_not():
    form = words(1)
    texts = {"a": form, "b": form.replace("bxf ", "other "), "c": words(2), "d": form.upper(), "e": words(3)}
    found = {(pair.first, pair.second): pair.similarity for pair in text.near_duplicates(texts, 0.5)}
    assert set(found) == {("a", "b"), ("a", "d"), ("b", "d")}
    assert found["a", "d"] == 1.0 and 0.5 < found["a", "b"] < 1.0


def test_the_similarity_is_the_jaccard_index():
    first, second = text.shingles("a b c d e f"), text.shingles("A b c d e g 1")
    assert len(first) == 2 and len(second) == 3
    assert text.jaccard(first, second) == pytest.approx(1 / 4)  # of abcde, bcdef, bcdeg, cdeg0 one is common


@pytest.mark.parametrize(("shared", "own", "threshold", "most"), [(300, 90, 0.55, 0.65), (104, 196, 0.2, 0.21)])
def test_of_pairs_above_the_threshold_hardly_one_is_missed(shared, own, threshold, most):
    """Sixty pairs that share words and have some of their own; the second kind is just above the default threshold."""
    texts = {
        f"{seed}{one}": f"{words(seed, shared)} {words(1000 * place + seed, own)}"
        for seed in range(60) for place, one in enumerate("ab", start=1)
    }  # fmt: skip
    likeness = [text.jaccard(*(text.shingles(texts[f"{seed}{one}"]) for one in "ab")) for seed in range(60)]
    assert threshold < min(likeness) and max(likeness) < most
    pairs = text.near_duplicates(texts, threshold)
    assert all(pair.first[:-1] == pair.second[:-1] for pair in pairs) and len(pairs) >= 59


def test_companies_and_near_duplicates_stay_on_one_side(tmp_path):
    documents = {
        f"{kind}__{company}_{n}": words(start + 10 * company + n)
        for kind, start in (("lease", 0), ("loan", 1000)) for company in range(20) for n in range(2)
    }  # fmt: skip
    documents["lease__3_0"] = documents["loan__17_1"] + " and one word more"
    write(tmp_path / "d", **documents)
    for seed in range(3):
        run = tmp_path / f"run{seed}"
        run.mkdir()
        corpus = text.load(settings(tmp_path / "d", group_pattern=r"^(\d+)_", split_seed=seed), run)
        sides = {sample.path: (side, sample.group) for side in data.SPLIT_NAMES for sample in getattr(corpus, side)}
        assert len({group: side for side, group in sides.values()}) == len(set(sides.values()))
        assert sides[str(tmp_path / "d/lease/3_0.txt")][0] == sides[str(tmp_path / "d/loan/17_1.txt")][0]
        assert len(corpus.duplicates) == 1 and 0.1 < len(corpus.test) / len(documents) < 0.35
        again = text.load(settings(tmp_path / "d", group_pattern=r"^(\d+)_", split_seed=99), run)  # a resumed run
        assert again.test == corpus.test


def test_rare_types_do_not_stop_a_language_model_but_a_classifier(tmp_path):
    write(tmp_path / "d", rare__x=words(1), **{f"lease__{n}": words(10 + n) for n in range(12)})
    (tmp_path / "run").mkdir()
    corpus = text.load(settings(tmp_path / "d"), tmp_path / "run")
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 13
    (tmp_path / "other").mkdir()
    with pytest.raises(errors.UserError, match="'rare' has only one independent file"):
        text.load(settings(tmp_path / "d"), tmp_path / "other", least_types=2)


def test_the_same_text_in_two_types_is_none_to_learn_from(tmp_path):
    write(tmp_path / "d", **{f"{name}__{n}": words(10 * n + len(name)) for n in range(5) for name in ("lease", "loan")})
    (tmp_path / "d/loan/again.txt").write_text((tmp_path / "d/lease/0.txt").read_text())
    for folder in ("run", "other"):
        (tmp_path / folder).mkdir()
    with pytest.raises(errors.UserError, match=r"2 unusable.*lease/0\.txt: the same text is in 'loan'"):
        text.load(settings(tmp_path / "d"), tmp_path / "run", least_types=2)
    corpus = text.load(settings(tmp_path / "d", skip_bad=True), tmp_path / "run", least_types=2)
    assert corpus.skipped == 2 and len(corpus.texts) == 9
    assert len(text.load(settings(tmp_path / "d"), tmp_path / "other").texts) == 11, "a language model does not mind"


def test_a_pattern_that_finds_one_company_is_named(tmp_path):
    write(
        tmp_path / "d", **{f"{name}__1_{n}": words(10 * n + len(name)) for n in range(5) for name in ("lease", "loan")}
    )
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match="--group-pattern finds 1 companies in 10 documents"):
        text.load(settings(tmp_path / "d", group_pattern=r"^(\d)_"), tmp_path / "run", least_types=2)


def test_documents_that_changed_since_the_run_began_are_noticed(tmp_path):
    write(tmp_path / "d", **{f"lease__{n}": words(n) for n in range(9)})
    (tmp_path / "run").mkdir()
    text.load(settings(tmp_path / "d"), tmp_path / "run")
    (tmp_path / "d/lease/4.txt").unlink()
    with pytest.raises(errors.UserError, match=r"4\.txt: has come or gone"):
        text.load(settings(tmp_path / "d"), tmp_path / "run")


# Real contracts -------------------------------------------------------------------------------------------------------

CONTRACTS = pathlib.Path(os.environ.get("REAL_DATA", "/nowhere")) / "contracts"


@pytest.mark.skipif(not CONTRACTS.is_dir(), reason="no real contracts: REAL_DATA names no folder with contracts/")
def test_planted_and_real_near_duplicates_among_real_contracts(tmp_path):
    _, texts, problems = text.read_source(settings(CONTRACTS))
    assert len(texts) == 240 and not problems
    planted = {}
    for number, name in enumerate(
        list(texts)[::24]
    ):  # filed again: other names, dates and sums, and every 40th line lost
        changed = re.sub(r"\b(Inc|Corp|LLC|Company)\b", "Holdings", re.sub(r"\d", str(number), texts[name]))
        lines = [line for place, line in enumerate(changed.split("\n")) if place % 40]
        planted[name] = f"planted {number}"
        texts[planted[name]] = "\n".join(lines)
    found = {(pair.first, pair.second): pair.similarity for pair in text.near_duplicates(texts, 0.2)}
    assert all(found[name, copy] > 0.5 for name, copy in planted.items())
    real = {
        tuple(pathlib.Path(name).name.partition("_")[0] for name in pair) for pair in set(found) - set(planted.items())
    }
    assert ("48898", "721083") in real and len(real) < 12  # two credit agreements on one bank's form
