"""Texts of a new domain are adapted to without its labels, by a tiny BERT: reviews of films and of loans."""

import csv
import dataclasses
import json
import pathlib

import helpers
import numpy as np
import pytest
import tiny_encoder

from common import errors
from common.commands import evaluate, predict
from common.data import text_domains as reading
from common.models import domain_heads
from common.runs import saved_text_model
from common.training import domain_training
from recipes import text_domains

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

SOME = ("none", "standardise", "coral", "standardise+mcc", "few_labels", "target_labels")
FILMS, LOANS = ["film", "story", "this", "was"], ["rent", "loan", "of", "not", "and"]


def write_reviews(path, fillers, seed, count=48, labelled=True):
    """Reviews as a .jsonl: one of two words decides, the others are a domain's own; four are of one author."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        label = ("bad", "good")[number % 2]
        drawn = [*random.choice(fillers, 9), label]
        line = {"text": " ".join(random.permutation(drawn)), "group": f"{path.stem} {number // 4}"}
        lines.append(line | ({"label": label} if labelled else {}))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module", autouse=True)
def short():
    with helpers.short_adaptation():
        yield


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_encoder.write(tmp_path_factory.mktemp("preset") / "tiny")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    write_reviews(folder / "films.jsonl", FILMS, 0)
    write_reviews(folder / "loans.jsonl", LOANS, 1)
    return folder


def settings(reviews, bert, out, **changed):
    usual = {
        "data": str(reviews / "films.jsonl"), "new_domain": (str(reviews / "loans.jsonl"),), "backbone": bert,
        "sequence_length": 16, "duplicate_threshold": 1.0, "out": out / "runs", "cache": reviews / "cache",
    }  # fmt: skip
    return text_domains.Config(**usual | changed)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def text_of(path):
    """The text of a line of a .jsonl."""
    file, _, number = path.rpartition(":")
    return json.loads(pathlib.Path(file).read_text().splitlines()[int(number) - 1])["text"]


@pytest.fixture(scope="module")
def compared(reviews, bert, tmp_path_factory):
    """A run of some methods, with two seeds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(domain_training, "COMPARED", SOME)
        return text_domains.run(settings(reviews, bert, tmp_path_factory.mktemp("runs"), compare=True, seeds=2))


def test_all_methods_and_counted_words_are_side_by_side(compared):
    found = compared.results["domains"]
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == [*SOME, "counted words (TF-IDF)"] and found["seeds"] == [0, 1]
    assert (found["name"], found["adapting"], found["tested"]) == ("loans", 24, 24)
    assert rows["counted words (TF-IDF)"]["accuracy"] == [1, 1, 1], "one word decides in both domains"
    assert compared.results["counted_words"]["test"]["accuracy"] == 1
    assert rows["none"]["gap"]["proxy_a_distance"] > 1.5 > 0.5 > rows["coral"]["gap"]["proxy_a_distance"]
    assert rows["none"]["gap"]["mmd"] > rows["standardise"]["gap"]["mmd"]
    assert found["verdict"][-1].endswith("more than standardise: counting words is enough.")
    page = (compared.directory / "report.html").read_text(encoding="utf-8")
    told = ("From the source to loans", "24 documents of the new domain adapted", "A map of both domains",
            "The validation documents are those of the source, and the test documents those of loans")  # fmt: skip
    assert all(each in page for each in told) and "photo" not in page.partition("<body>")[2]
    points = rows_of(compared.directory / "domains.csv")
    assert {row["domain"] for row in points} == {"source", "loans"}


def test_groups_stay_together_in_both_domains(compared):
    for domain in ("source", "target"):
        rows = rows_of(compared.directory / "splits" / "seed0" / domain / "split.csv")
        sides = {(row["group"], row["split"]) for row in rows}
        assert len(sides) == len({group for group, _ in sides}) == 12
    assert {row["label"] for row in rows} == {"unlabelled"}


def test_the_saved_model_answers_as_in_the_test(compared, tmp_path, capsys):
    rows = rows_of(compared.directory / "predictions.csv")
    texts = [text_of(row["path"]) for row in rows]
    again = saved_text_model.Classifier.load(compared.directory).probabilities(texts)
    assert np.allclose(again[:, 0], [float(row["p_bad"]) for row in rows], atol=1e-3)
    (tmp_path / "new.txt").write_text(texts[0])
    assert predict.command(compared.directory, (tmp_path / "new.txt",)) == 0
    assert rows[0]["predicted"] in capsys.readouterr().out


def test_texts_that_it_adapted_to_are_no_new_data(compared, reviews):
    assert evaluate.command(compared.directory, reviews / "loans.jsonl", name="loans") == 0
    rows = rows_of(compared.directory / "split.csv")
    adapted = [row["path"] for row in rows if row["domain"] == "loans" and row["split"] == "train"]
    skipped = (compared.directory / "evaluations" / "loans" / "skipped.csv").read_text()
    assert len(adapted) == 24 and all(f"{path}," in skipped for path in adapted)


def permuted(found):
    """Domains whose new one has other labels: every second is another one."""
    other = {"bad": "good", "good": "bad"}
    swapped = {path: other[label] for path, label in list(found.labels.items())[::3]}
    return dataclasses.replace(found, labels=found.labels | swapped)


def test_no_label_of_the_new_domain_can_reach_the_model(reviews, bert, tmp_path, monkeypatch):
    """The labels permuted: the same model, to the bit, and another result of the test."""
    config = settings(reviews, bert, tmp_path, deterministic=True, method="standardise+coral+mcc")
    plain = text_domains.run(config)
    load = reading.load
    monkeypatch.setattr(reading, "load", lambda *arguments: permuted(load(*arguments)))
    other = text_domains.run(config)
    weights = [saved_text_model.Classifier.load(each.directory).model.get_weights() for each in (plain, other)]
    assert all((one == two).all() for one, two in zip(*weights, strict=True))
    assert plain.results["test"]["accuracy"] != other.results["test"]["accuracy"]
    counted = [each.results["counted_words"]["C"] for each in (plain, other)]
    assert counted[0] == counted[1]


def test_counted_words_see_no_label_of_the_new_domain(reviews, bert, tmp_path):
    config = settings(reviews, bert, tmp_path)
    loaded = reading.load(config, tmp_path, config.new_domain[0], 0)
    zeros = {side: np.zeros((len(getattr(loaded.source, side)), 2)) for side in ("train", "validation", "test")}
    scores = [
        text_domains.count_words(domain_heads.Features(each, zeros, np.zeros((24, 2)), np.zeros((24, 2))), 0)
        for each in (loaded, permuted(loaded))
    ]
    assert scores[0]["information_maximisation"] == scores[1]["information_maximisation"]
    assert scores[0]["accuracy"] == 1 and scores[1]["accuracy"] < 1


def test_texts_without_labels_have_no_test(reviews, bert, tmp_path):
    loose = write_reviews(tmp_path / "loose.jsonl", LOANS, 1, labelled=False)
    result = text_domains.run(settings(reviews, bert, tmp_path, new_domain=(str(loose),), method="standardise"))
    found = result.results["domains"]
    assert (found["adapting"], found["tested"]) == (48, 0) and {row["accuracy"] for row in found["rows"]} == {None}
    assert found["verdict"][0].startswith("No document of loose has a label")


def test_an_interrupted_run_goes_on_with_its_own_settings(reviews, bert, tmp_path):
    config = settings(reviews, bert, tmp_path, method="coral", seed=3)
    whole = text_domains.run(config)
    killed = dataclasses.replace(config, out=tmp_path / "killed")
    resumed = helpers.interrupted_and_resumed(text_domains, killed, domain_training, "measure")
    assert whole.results["test"] == resumed.results["test"]
    assert rows_of(whole.directory / "predictions.csv") == rows_of(resumed.directory / "predictions.csv")


def test_a_dry_run_counts_the_texts_of_both_domains(reviews, bert, tmp_path, capsys):
    with pytest.raises(SystemExit):
        text_domains.run(settings(reviews, bert, tmp_path, dry_run=True, cache=tmp_path / "cache"))
    out = capsys.readouterr().out
    assert "frozen part" in out and "28 train, 8 validation, 60 test" in out and not (tmp_path / "runs").exists()


def other_classes(reviews, tmp_path):
    (tmp_path / "more.jsonl").write_text('{"text": "a loan", "label": "dull"}\n' * 8)
    return {"new_domain": (str(reviews / "loans.jsonl"), str(tmp_path / "more.jsonl"))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_classes, "the source has no class 'dull'; it has bad, good. Remove these documents"),
        (lambda reviews, tmp_path: {"new_domain": ()}, "--new-domain is needed"),
        (lambda reviews, tmp_path: {"new_domain": (str(tmp_path / "gone"),)}, "no such file or folder"),
        (lambda reviews, tmp_path: {"new_domain": (str(reviews / "films.jsonl"),)}, "documents of both domains are"),
        (lambda reviews, tmp_path: {"method": "few_labels", "shots": 0}, "needs labels of at least two classes"),
        (lambda reviews, tmp_path: {"new_labels": tmp_path / "x", "method": "few_labels"}, "--new-labels .*: no such"),
        (lambda reviews, tmp_path: {"method": "mcc", "shots": 5}, "--shots has no effect with a --method that takes"),
        (lambda reviews, tmp_path: {"epochs": 3}, "--epochs has no effect here"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(change, message, reviews, bert, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        text_domains.run(settings(reviews, bert, tmp_path, **change(reviews, tmp_path)))
    assert not (tmp_path / "runs").exists()
