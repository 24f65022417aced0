import collections
import json
import os
import pathlib
import re
import types

import helpers
import pytest

from common import errors
from common.data import documents, near_duplicates, sample_list
from common.data import targets as kinds
from common.media import texts as media_texts

pytestmark = pytest.mark.quick


def settings(source, **changes):
    defaults = {
        "data": str(source), "encoding": "utf-8", "keep_layout": False, "document_characters": None, "seed": 0,
        "group_pattern": None, "duplicate_threshold": 0.5, "skip_bad": False, "split_seed": None,
        "validation_fraction": 0.2, "test_fraction": 0.2, "general": None, "same_names": False, "dry_run": False,
    }  # fmt: skip
    return types.SimpleNamespace(**defaults | changes)


def write(folder, **contents):
    """Documents under names such as lease__a for lease/a.txt."""
    for name, content in contents.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


# Reading ------------------------------------------------------------------------------------------------------------


def test_a_folder_with_types_and_one_without(tmp_path):
    write(tmp_path, lease__a="One two.", lease__deeper__b="Three.", loan__c="Four.")
    samples, texts, problems = documents.read_source(settings(tmp_path))
    assert [(sample.label, texts[sample.path]) for sample in samples] == [
        ("lease", "One two."), ("lease", "Three."), ("loan", "Four."),
    ]  # fmt: skip
    assert not problems
    write(tmp_path / "flat", a="One.")
    assert [sample.label for sample in documents.read_source(settings(tmp_path / "flat"))[0]] == [""]


def test_other_files_are_left_alone_and_said(tmp_path, capsys):
    write(tmp_path, lease__a="One two.", loan__c="Four.")
    (tmp_path / "loan" / "b.TXT").write_text("Three.")
    (tmp_path / "loan" / "d.pdf").touch()
    with pytest.raises(errors.UserError, match=r"class 'loan': 1 of 3 documents \(1 \.pdf\) are .*--skip-unsupported"):
        documents.read_source(settings(tmp_path))
    assert len(documents.read_source(settings(tmp_path, skip_unsupported=True))[0]) == 3
    assert capsys.readouterr().err.endswith("data: class 'loan': 1 .pdf left alone\n")


def test_given_sides(tmp_path):
    write(tmp_path, train__lease__a="One.", test__lease__b="Two.", validation__lease__c="Three.")
    samples, *_ = documents.read_source(settings(tmp_path))
    assert {(sample.label, sample.split) for sample in samples} == {
        ("lease", "train"), ("lease", "test"), ("lease", "validation"),
    }  # fmt: skip


def test_a_stray_document_beside_given_sides_is_refused(tmp_path):
    write(tmp_path, train__lease__a="One.", test__lease__b="Two.", README="Three.")
    with pytest.raises(errors.UserError, match=r"README\.txt is beside the split folders"):
        documents.read_source(settings(tmp_path))


def test_hidden_folders_are_left_alone(tmp_path):
    write(tmp_path, **{"lease__a": "One.", ".ipynb_checkpoints__a": "Two."})
    assert [sample.label for sample in documents.read_source(settings(tmp_path))[0]] == ["lease"]


def test_near_duplicates_across_given_sides_are_refused(tmp_path):
    write(tmp_path, train__a=helpers.words(1), validation__b=helpers.words(2), test__c=helpers.words(1) + " and more")
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match=r"c\.txt \(test\) and .*a\.txt \(train\) share 99% .*--duplicate-th"):
        documents.load(settings(tmp_path), tmp_path / "run")


def test_documents_that_are_all_alike_are_said_to_be(tmp_path):
    write(tmp_path / "d", **{f"a{n}": helpers.words(1) + f" end{'x' * n}" for n in range(9)})
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match=r"there is only one .* 8 documents are near-duplicates"):
        documents.load(settings(tmp_path / "d"), tmp_path / "run")


def test_general_texts_are_a_side_of_their_own(tmp_path):
    write(tmp_path / "d", **{f"lease__{n}": helpers.words(n) for n in range(9)})
    write(tmp_path / "general", a="Some prose.", b=" ")
    (tmp_path / "run").mkdir()
    corpus = documents.load(settings(tmp_path / "d", general=tmp_path / "general"), tmp_path / "run")
    assert corpus.texts_of("general") == ["Some prose."] and corpus.groups("general") == [""]
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 9
    (tmp_path / "general" / "a.txt").write_text("\n")
    with pytest.raises(errors.UserError, match="--general .* all texts are empty"):
        documents.load(settings(tmp_path / "d", general=tmp_path / "general"), tmp_path / "run")


def test_null_is_no_name(tmp_path):
    lines = [{"text": "One.", "type": None, "group": None}, {"text": "Two.", "group": float("nan")}]
    lines.append({"text": "Three.", "label": None, "type": "loan"})
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    samples, *_ = documents.read_source(settings(tmp_path / "all.jsonl"))
    assert [(sample.label, sample.group) for sample in samples] == [("", ""), ("", ""), ("loan", "")]


def test_lines_of_json_in_other_encodings(tmp_path):
    lines = [{"text": "Grüße."}, {"text": "Two."}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-16")
    _, texts, problems = documents.read_source(settings(tmp_path / "a.jsonl", encoding="utf-16"))
    assert [*texts.values()] == ["Grüße.", "Two."] and not problems
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "f\xfcr"}\r\n{"text": "Two."}\r\n{"text": "\\ud83d"}\r\n')
    _, texts, problems = documents.read_source(settings(tmp_path / "b.jsonl"))
    assert [*texts.values()] == ["Two."]
    assert "not utf-8 (byte fc" in problems[0].reason and "half a character" in problems[1].reason


def test_lines_of_json(tmp_path):
    lines = [{"text": "One.", "type": "loan", "group": "7"}, {"text": "Two.", "label": "lease"}]
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + '\n\n{"txt": 1}\nno json\n')
    samples, texts, problems = documents.read_source(settings(tmp_path / "all.jsonl"))
    assert [(sample.label, sample.group) for sample in samples] == [("loan", "7"), ("lease", "")]
    assert [texts[sample.path] for sample in samples] == ["One.", "Two."]
    assert (
        "no text" in problems[0].reason and problems[0].path.endswith(":4") and "not valid JSON" in problems[1].reason
    )


def test_wrong_encodings_are_named_and_can_be_left_out(tmp_path):
    write(tmp_path / "d", good="Gut.", latin="f\xfcr".encode("latin-1"), empty=" \n ")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(
        errors.UserError,
        match=r"2 of 3 documents.*empty\.txt \(empty\).*latin\.txt \(not utf-8 \(byte fc.*give their --encoding",
    ):
        documents.load(settings(tmp_path / "d"), run)
    samples, texts, _ = documents.read_source(settings(tmp_path / "d", encoding="latin-1"))
    assert "für" in texts.values()
    write(tmp_path / "d", **{f"more{n}": helpers.words(n) for n in range(9)})
    corpus = documents.load(settings(tmp_path / "d", skip_bad=True), run)
    assert corpus.quality["skipped"] == 2 and "latin.txt" in (run / "skipped.csv").read_text()
    with pytest.raises(errors.UserError, match="no such encoding"):
        documents.read_source(settings(tmp_path / "d", encoding="klingon"))


def test_keys_like_group_are_used_and_unread_ones_are_named(tmp_path, capsys):
    lines = [
        {"text": "One.", "category": "a", "patient_id": 1, "rating": 5}, {"text": "Two.", "category": "b"},
        {"text": "Three.", "category": float("nan"), "patient_id": float("nan")},
        {"text": "Four.", "category": ["a"], "patient_id": 2},
    ]  # fmt: skip
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    samples, texts, problems = documents.read_source(settings(tmp_path / "all.jsonl"))
    assert [(sample.label, sample.group) for sample in samples] == [("a", "1"), ("b", "")]
    assert [problem.reason.partition(":")[0] for problem in problems] == ["no label", "not one value"]
    told = capsys.readouterr().err
    assert "column 'category' is used as label, column 'patient_id' is used as group; rename it if" in told
    assert "1 column is not read: 'rating'" in told


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
@pytest.mark.parametrize("really", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_found_out_under_every_encoding(tmp_path, encoding, really):
    write(tmp_path / "d", a="A contract.", b="Ein Vertrag über 20 €.".encode(really))
    _, texts, problems = documents.read_source(settings(tmp_path / "d", encoding=encoding))
    assert len(texts) == 1 and [problem.path[-5:] for problem in problems] == ["b.txt"]
    assert problems[0].reason.startswith(f"not {encoding}, but UTF-16 or UTF-32, as ")
    with pytest.raises(errors.UserError, match=f"not {encoding}, but UTF-16 .*give their --encoding"):
        documents.load(settings(tmp_path / "d", encoding=encoding), tmp_path)
    (tmp_path / "a.jsonl").write_bytes('{"text": "One."}\n{"text": "Two."}\n'.encode(really))
    _, texts, problems = documents.read_source(settings(tmp_path / "a.jsonl", encoding=encoding))
    assert not texts and len(problems) == 1 and "UTF-16" in problems[0].reason


def test_types_that_only_look_alike_stop_the_run_or_are_joined(tmp_path):
    """Sub-folders and lines alike, and the companies too."""
    write(tmp_path / "d", **{f"{kind}__{n}": helpers.words(n) for n, kind in enumerate(["Lease", "lease", "loan"] * 6)})
    lines = [{"text": helpers.words(n), "type": "loan" if n % 2 else "lease", "group": f"{'Aa'[n % 4 > 1]}cme {n // 6}"}
             for n in range(24)]  # fmt: skip
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for source, seen in (("d", "classes .*'Lease' .6. and 'lease' .6."), ("all.jsonl", "groups .*Acme 0.*acme 0")):
        with pytest.raises(errors.UserError, match=f"names of {seen}.*--same-names"):
            documents.load(settings(tmp_path / source), tmp_path, least_types=2)
    corpus = documents.load(settings(tmp_path / "d", same_names=True), tmp_path, least_types=2)
    assert corpus.class_names == ("Lease", "loan")
    assert documents.load(settings(tmp_path / "d"), tmp_path, least_types=2).class_names == ("Lease", "loan")  # resumed


def test_a_label_that_stands_for_a_missing_one_is_a_problem(tmp_path):
    lines = [{"text": "One.", "type": "nan"}, {"text": "Two.", "type": "loan"}]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    samples, _, problems = documents.read_source(settings(tmp_path / "all.jsonl"))
    assert len(samples) == 1 and problems[0].reason.startswith("no label: 'nan' stands for a missing one")


@pytest.mark.parametrize(
    ("source", "message"), [("nowhere", "no such file or folder"), ("empty", "no .txt files"), ("a.pdf", "neither")]
)
def test_no_data(tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pdf").touch()
    with pytest.raises(errors.UserError, match=message):
        documents.read_source(settings(tmp_path / source))


def test_groups(tmp_path):
    samples = [sample_list.Sample("/x/1010_2009_A.txt", ""), sample_list.Sample("/x/77_B.txt", "")]
    assert [sample.group for sample in documents.with_groups(samples, r"^(\d+)_")] == ["1010", "77"]
    for pattern, message in (
        (r"^(\d+", "not a valid regular expression"),
        (r"^(z+)", "finds no group in 2"),
        ("(a)(b)", "only one can mark the group"),
    ):
        with pytest.raises(errors.UserError, match=message):
            documents.with_groups(samples, pattern)


# Splits ---------------------------------------------------------------------------------------------------------------


def test_companies_and_near_duplicates_stay_on_one_side(tmp_path):
    contracts = {
        f"{kind}__{company}_{n}": helpers.words(start + 10 * company + n)
        for kind, start in (("lease", 0), ("loan", 1000)) for company in range(20) for n in range(2)
    }  # fmt: skip
    contracts["lease__3_0"] = contracts["loan__17_1"] + " and one word more"
    write(tmp_path / "d", **contracts)
    for seed in range(3):
        run = tmp_path / f"run{seed}"
        run.mkdir()
        corpus = documents.load(settings(tmp_path / "d", group_pattern=r"^(\d+)_", split_seed=seed), run)
        sides = {
            sample.path: (side, sample.group) for side in sample_list.SPLIT_NAMES for sample in getattr(corpus, side)
        }
        assert len({group: side for side, group in sides.values()}) == len(set(sides.values()))
        assert sides[str(tmp_path / "d/lease/3_0.txt")][0] == sides[str(tmp_path / "d/loan/17_1.txt")][0]
        assert len(corpus.duplicates) == 1 and 0.1 < len(corpus.test) / len(contracts) < 0.35
        again = documents.load(settings(tmp_path / "d", group_pattern=r"^(\d+)_", split_seed=99), run)  # a resumed run
        assert again.test == corpus.test


def test_rare_types_do_not_stop_a_language_model_but_a_classifier(tmp_path):
    write(
        tmp_path / "d",
        rare__x=helpers.words(1),
        **{f"lease__{n}": helpers.words(10 + n) for n in range(12)},
    )
    (tmp_path / "run").mkdir()
    corpus = documents.load(settings(tmp_path / "d"), tmp_path / "run")
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 13
    (tmp_path / "other").mkdir()
    with pytest.raises(
        errors.UserError,
        match="class 'rare' has only 1 usable document, needs at least 3.*leave them out with --skip-bad",
    ):
        documents.load(settings(tmp_path / "d"), tmp_path / "other", least_types=2)


def test_the_same_text_in_two_types_is_none_to_learn_from(tmp_path):
    write(
        tmp_path / "d",
        **{f"{name}__{n}": helpers.words(10 * n + len(name)) for n in range(5) for name in ("lease", "loan")},
    )
    (tmp_path / "d/loan/again.txt").write_text((tmp_path / "d/lease/0.txt").read_text())
    for folder in ("run", "other"):
        (tmp_path / folder).mkdir()
    with pytest.raises(
        errors.UserError, match=r"2 of 11 documents.*in two classes: the same content is .*in class 'loan'"
    ):
        documents.load(settings(tmp_path / "d"), tmp_path / "run", least_types=2)
    corpus = documents.load(settings(tmp_path / "d", skip_bad=True), tmp_path / "run", least_types=2)
    assert corpus.quality["skipped"] == 2 and len(corpus.texts) == 9
    assert len(documents.load(settings(tmp_path / "d"), tmp_path / "other").texts) == 11, (
        "a language model does not mind"
    )


def test_a_pattern_that_finds_one_company_is_named(tmp_path):
    write(
        tmp_path / "d",
        **{f"{name}__1_{n}": helpers.words(10 * n + len(name)) for n in range(5) for name in ("lease", "loan")},
    )
    (tmp_path / "run").mkdir()
    with pytest.raises(errors.UserError, match="--group-pattern finds 1 companies in 10 documents"):
        documents.load(settings(tmp_path / "d", group_pattern=r"^(\d)_"), tmp_path / "run", least_types=2)


def test_documents_that_changed_since_the_run_began_are_noticed(tmp_path):
    write(tmp_path / "d", **{f"lease__{n}": helpers.words(n) for n in range(9)})
    (tmp_path / "run").mkdir()
    documents.load(settings(tmp_path / "d"), tmp_path / "run")
    (tmp_path / "d/lease/4.txt").unlink()
    with pytest.raises(errors.UserError, match=r"4\.txt: was added or removed"):
        documents.load(settings(tmp_path / "d"), tmp_path / "run")


# Real contracts -------------------------------------------------------------------------------------------------------

CONTRACTS = pathlib.Path(os.environ.get("REAL_DATA", "/nowhere")) / "contracts"


@pytest.mark.skipif(not CONTRACTS.is_dir(), reason="no real contracts: REAL_DATA names no folder with contracts/")
def test_planted_and_real_near_duplicates_among_real_contracts(tmp_path):
    _, texts, problems = documents.read_source(settings(CONTRACTS))
    assert len(texts) == 240 and not problems
    planted = {}
    for number, name in enumerate(list(texts)[::24]):
        # Filed again: other names, dates and sums, and every 40th line lost.
        changed = re.sub(r"\b(Inc|Corp|LLC|Company)\b", "Holdings", re.sub(r"\d", str(number), texts[name]))
        lines = [line for place, line in enumerate(changed.split("\n")) if place % 40]
        planted[name] = f"planted {number}"
        texts[planted[name]] = "\n".join(lines)
    found = {(pair.first, pair.second): pair.similarity for pair in near_duplicates.near_duplicates(texts, 0.2)}
    assert all(found[name, copy] > 0.5 for name, copy in planted.items())
    real = {
        tuple(pathlib.Path(name).name.partition("_")[0] for name in pair) for pair in set(found) - set(planted.items())
    }
    assert ("48898", "721083") in real and len(real) < 12  # two credit agreements on one bank's form


def test_texts_changed_before_stay_on_the_side_of_their_source_and_are_listed(tmp_path, capsys):
    """A back-translation shares no words with its source, but its name says what it was made of."""
    names = [f"{kind}__{number}" for kind in ("lease", "loan") for number in range(8)]
    texts = {name: helpers.words(seed) for seed, name in enumerate(names)}
    for copy in (1, 2):
        texts |= {f"{name}_aug{copy}": helpers.words(100 * copy + seed) for seed, name in enumerate(names)}
    texts["lease__again"] = texts["lease__0"] + " and more"
    write(tmp_path / "d", **texts)
    (tmp_path / "run").mkdir()
    corpus = documents.load(settings(tmp_path / "d"), tmp_path / "run", least_types=2)
    sides = {}
    for side in sample_list.SPLIT_NAMES:
        for path in corpus.paths(side):
            sides.setdefault(path.removesuffix(".txt").partition("_aug")[0], set()).add(side)
    assert len(sides) == 17 and all(len(each) == 1 for each in sides.values())
    assert "by their names, 48 documents were made of 16 sources" in capsys.readouterr().err
    listed = (tmp_path / "run" / "duplicates.csv").read_text().splitlines()
    assert collections.Counter(row.partition(",")[0] for row in listed) == {"kind": 1, "name": 32, "text": 1}
    assert corpus.summary()["groups"] == {"train": 0, "validation": 0, "test": 0}  # they are no companies


# Few training documents ---------------------------------------------------------------------------------------------


def corpus_of(*counts):
    """A corpus with so many training documents of each type."""
    labels = [str(number) for number, count in enumerate(counts) for _ in range(count)]
    samples = [sample_list.Sample(f"{place}", label, split="train") for place, label in enumerate(labels)]
    return documents.Corpus.of("x", media_texts.Texts(), kinds.CLASSES, samples, {}, {}, texts={})


@pytest.mark.parametrize(
    ("count", "drawn"),
    [(3, [1, 1, 1]), (4, [2, 1, 1]), (20, [18, 1, 1]), (98, [88, 5, 5]), (100, [90, 5, 5])],
)  # fmt: skip
def test_few_documents_are_one_of_each_type_and_the_rest_in_proportion(count, drawn):
    corpus = corpus_of(90, 5, 5)
    few = corpus.with_training(count, 0)
    assert list(collections.Counter(sorted(sample.label for sample in few.train)).values()) == drawn
    assert [int(sample.path) for sample in few.train] == sorted({int(sample.path) for sample in few.train})
    assert few.train == corpus.with_training(count, 0).train
    assert count == 100 or few.train != corpus.with_training(count, 1).train


def test_few_documents_where_a_type_has_one():
    for count in (2, 99):
        few = corpus_of(99, 1).with_training(count, 0)
        assert collections.Counter(sample.label for sample in few.train) == {"0": count - 1, "1": 1}
    assert len(corpus_of(90, 5, 5).with_training(99, 0).train) == 99
    with pytest.raises(errors.UserError, match="--training-documents 2: must be from 3, one for each type, to 100"):
        corpus_of(90, 5, 5).with_training(2, 0)
