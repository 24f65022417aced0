"""text_classification with a tiny BERT: the sentiment of drawn sentences, which the words good and bad tell."""

import csv
import json
import types

import helpers
import keras
import numpy as np
import pytest
import tiny_encoder

from common import errors, flags
from common.commands import evaluate, export, predict, serve
from common.data import documents, targets
from common.models import encoder
from common.report import answers
from common.runs import saved_text_model
from recipes import text_classification

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_encoder.write(tmp_path_factory.mktemp("preset") / "tiny")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """Drawn sentences as a .jsonl: one of two words decides; the others are drawn at random."""
    random, lines = np.random.default_rng(0), []
    for number in range(90):
        label = ("bad", "good")[number % 2]
        drawn = [*random.choice(["film", "story", "rent", "loan", "this", "very", "of", "it"], 9), label]
        lines.append({"text": " ".join(random.permutation(drawn)), "label": label})
    path = tmp_path_factory.mktemp("reviews") / "reviews.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def settings(reviews, bert, tmp_path, **changes):
    few = {"data": str(reviews), "backbone": bert, "sequence_length": 8, "batch_size": 16, "out": tmp_path,
           "duplicate_threshold": 1.0, "cache": tmp_path / "cache"}  # fmt: skip
    trained = {} if changes.get("strategy") == "features" else {"epochs": 2, "learning_rate": 1e-2}
    return text_classification.Config(**few | trained | changes)


@pytest.mark.drawn
def test_features_are_logistic_regression_on_the_mean(reviews, bert, tmp_path, capsys):
    """Its answers, the files, the page, and the command on raw text."""
    result = text_classification.run(settings(reviews, bert, tmp_path, strategy="features"))
    found = result.results
    (row,) = found["strategies"]
    assert row["epochs"] == 0 and row["trainable_parameters"] == 2 * 16 + 2 and row["chosen"]["C"] > 0
    assert row["cache_bytes"] == 90 * 16 * 4, "one vector for each document"
    assert found["test"]["accuracy"] > 0.6 and found["counted_words"]["test"]["accuracy"] == 1
    assert found["nearest_texts"]["test"]["n"] == found["test"]["n"]
    out = capsys.readouterr().out
    assert f"the {found['nearest_texts']['neighbours']} nearest texts" in out
    page = (result.directory / "report.html").read_text()
    assert "by the untuned network" in page and "without epochs" in page and "The best epoch" not in page

    with open(result.directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = reviews.read_text().splitlines()
    texts = [json.loads(lines[int(row["path"].rpartition(":")[2]) - 1])["text"] for row in rows]
    classifier = saved_text_model.Classifier.load(result.directory)
    again = classifier.probabilities(texts)
    assert np.allclose(again[:, 0], [float(row["p_bad"]) for row in rows], atol=1e-4)
    assert isinstance(classifier.language, encoder.Encoder)

    # By hand: the mean over both windows, layer norm without scale, the last layer.
    model = encoder.load(bert)
    packed = model.rows(model.encode(texts), 8, 2)
    ids, mask = (x.reshape(-1, 8) for x in (packed.token_ids, (packed.weights > 0).astype("int32")))
    vectors = np.asarray(keras.Model(model.inputs, model.output)([ids, mask])).reshape(len(texts), 16, 16)
    means = (vectors * packed.weights[..., None]).sum(axis=1) / packed.weights.sum(axis=1, keepdims=True)
    normed = (means - means.mean(axis=1, keepdims=True)) / np.sqrt(means.var(axis=1, keepdims=True) + 1e-3)
    kernel, bias = classifier.model.get_layer("class_head").get_layer("probabilities").get_weights()
    assert np.allclose(np.asarray(keras.ops.softmax(normed @ kernel + bias)), again, atol=1e-3)

    (tmp_path / "new.txt").write_text(texts[0])
    assert predict.command(result.directory, (tmp_path / "new.txt",), tmp_path / "new.csv") == 0
    with open(tmp_path / "new.csv", newline="") as file:
        assert next(csv.DictReader(file))["label"] == rows[0]["predicted"]


def test_training_learns_the_words_and_is_what_is_saved(reviews, bert, tmp_path):
    result = text_classification.run(settings(reviews, bert, tmp_path, strategy="full", epochs=6, patience=6))
    assert result.results["test"]["accuracy"] > 0.85
    with open(result.directory / "predictions.csv", newline="") as file:
        row = next(csv.DictReader(file))
    line = json.loads(reviews.read_text().splitlines()[int(row["path"].rpartition(":")[2]) - 1])
    answer = saved_text_model.Classifier.load(result.directory).probabilities([line["text"]])[0]
    assert answer[0] == pytest.approx(float(row["p_bad"]), abs=1e-4)


@pytest.fixture(scope="module")
def classifier(reviews, bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return text_classification.run(settings(reviews, bert, folder, strategy="features")).directory


def test_the_page_of_serve_says_what_predict_says(classifier, tmp_path, capsys):
    """Of a text in the run's encoding, and in the one that a request names."""
    (tmp_path / "new.txt").write_text("a very  good film café\n")
    capsys.readouterr()
    assert predict.command(classifier, (tmp_path / "new.txt",)) == 0
    _, label, probability = capsys.readouterr().out.strip().split("\t")
    answerer = answers.load(classifier)
    content = (tmp_path / "new.txt").read_bytes()
    told = answerer.data(content)
    assert told["classes"][0]["class"] == label and {one["class"] for one in told["classes"]} == {"bad", "good"}
    assert told["classes"][0]["probability"] == pytest.approx(float(probability), abs=1e-4)
    assert told["target"] is None and told["unlike"] is None
    assert answerer.data(content.decode().encode("latin-1"), "iso-8859-1") == told
    html = answerer.answer(content)
    assert label in html and f"{100 * float(probability):.1f}" in html and "why?" not in html
    page = serve._page(answerer, classifier, 10**6, local=True)
    assert "<textarea" in page and 'type="file"' not in page and "test documents" in page
    for nothing, words in ((b" \n", "empty"), (b"%PDF-1.7", "a PDF"), (b"caf\xe9", "not utf-8")):
        with pytest.raises(errors.UnusableFile, match=words):
            answerer.data(nothing)


@pytest.mark.slow
def test_exports_give_the_answers_of_the_model_with_the_vocabulary_beside_them(classifier, bert, tmp_path):
    """ONNX Runtime and the tokenizer in the folder alone answer what `predict` does."""
    pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
    import keras_hub
    import onnxruntime

    out = tmp_path / "out"
    assert export.export(classifier, ["onnx", "litert"], out=out) == 0
    told = json.loads((out / "export.json").read_text())
    assert told["unit"] == "document" and [row["name"] for row in told["rows"]] == ["onnx", "litert"]
    assert all(row["difference"] < 1e-5 and row["agreement"] == 1.0 for row in told["rows"])

    told = json.loads((out / "model.onnx.json").read_text())
    asked, text = told["input"], "this story is very good of film loan and it and this and rent"
    tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(str(out / told["input"]["tokenizer"]["folder"]))
    numbers, row, room = list(map(int, tokenizer(text))), [], asked["window"] - 2
    for start in range(0, len(numbers), room):
        window = [asked["start"], *numbers[start : start + room], asked["end"]]
        row += window + [asked["padding"]] * (asked["window"] - len(window))
    assert len(row) > asked["window"] and told["class_names"] == ["bad", "good"]
    row = np.array([(row + [asked["padding"]] * asked["shape"][1])[: asked["shape"][1]]], "int32")
    mask = (row != asked["padding"]).astype("int32")
    session = onnxruntime.InferenceSession(out / "model.onnx")
    (answer,) = session.run(None, dict(zip(asked["names"], (row, mask), strict=True)))[0]
    assert answer == pytest.approx(saved_text_model.Classifier.load(classifier).probabilities([text])[0], abs=1e-4)

    assert export.export(classifier, ["onnx"], out=out) == 0  # once more, over the earlier ones
    (tmp_path / "own" / "tokenizer").mkdir(parents=True)
    with pytest.raises(errors.UserError, match="tokenizer exists and was not exported by this program"):
        export.export(classifier, ["onnx"], out=tmp_path / "own")
    with pytest.raises(errors.UserError, match="--int8: is for photos and clips"):
        export.export(classifier, ["onnx"], int8=True, out=out)


def test_cached_is_uncached(reviews, bert, tmp_path):
    few = {"strategy": "last_blocks", "epochs": 1, "training_documents": 20}
    cached, live = (
        text_classification.run(settings(reviews, bert, tmp_path, **few, no_cache=off, out=tmp_path / str(off)))
        for off in (False, True)
    )
    assert cached.results["data"]["train"] == 20 and live.results["strategies"][0]["cache_bytes"] == 0
    for side in ("validation", "test"):
        ours, theirs = (one.results[side]["log_loss"] for one in (cached, live))
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.drawn
@pytest.mark.long
def test_the_language_of_the_training_texts_is_learnt_first(reviews, bert, tmp_path, capsys, monkeypatch):
    """The loss falls; the features have their own key; a killed run goes on to the same bits."""
    own = {"strategy": "features", "adapt_epochs": 2, "learning_rate": 1e-2, "deterministic": True}
    result = text_classification.run(settings(reviews, bert, tmp_path, **own))
    head, whole = result.results["stages"]
    assert (head["stage"], whole["stage"]) == ("adapt_head", "adapt") and head["documents"] == 53
    assert whole["validation_loss"] < head["validation_loss"] - 0.2 < np.log(74)
    told = f"{head['validation_loss']:.3f} → {whole['validation_loss']:.3f} nats"
    assert told in capsys.readouterr().out and told in (result.directory / "report.html").read_text()
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2, "by the adapted and by the untuned network"

    config = settings(reviews, bert, tmp_path, **own, out=tmp_path / "again")
    interrupted = helpers.killed_after(text_classification, "adapt", 0, config, monkeypatch)
    resumed = text_classification.run(text_classification.Config(resume=interrupted))
    assert [row["validation_loss"] for row in resumed.results["stages"]] == [
        row["validation_loss"] for row in result.results["stages"]
    ]
    ours, theirs = ((each.directory / "predictions.csv").read_bytes() for each in (result, resumed))
    assert ours == theirs


def test_no_judged_text_is_learnt_from(reviews, bert, tmp_path):
    """Whatever the validation and test texts say, the texts to learn from are the same, also those given beside."""
    rows = [json.loads(line) for line in reviews.read_text().splitlines()]
    extra = tmp_path / "extra.jsonl"
    found = []
    for changed in (False, True):
        data = tmp_path / f"{changed}.jsonl"
        sides = [("train", "validation", "test")[number % 3] for number in range(90)]
        given = [row | {"split": side} for row, side in zip(rows, sides, strict=True)]
        given = [
            row | {"text": f"great {row['text']}"} if changed and row["split"] != "train" else row for row in given
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in given))
        beside = [*(row["text"] for row in given), "a dull story of rent and the rent of it", "great great great"]
        extra.write_text("".join(json.dumps({"text": text}) + "\n" for text in beside))
        config = settings(data, bert, tmp_path, strategy="features", epochs=10, adapt_epochs=1, adapt_texts=extra,
                          learning_rate=None)  # fmt: skip
        (tmp_path / str(changed)).mkdir()
        corpus = documents.load(config, tmp_path / str(changed), least_types=2)
        model = encoder.load(bert)
        encoded = {side: model.encode(corpus.texts_of(side)) for side in ("train", "validation", "test")}
        found.append(text_classification.to_adapt_on(model, encoded, corpus, config))
    for side in ("train", "validation"):
        ours, theirs = (each[side] for each in found)
        assert len(ours) == len(theirs) and all((a == b).all() for a, b in zip(ours, theirs, strict=True))
    assert len(found[0]["train"]) + len(found[0]["validation"]) == 30 + 2


LABEL_OF = {"film": "culture", "rent": "money", "good": "praise"}


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """Drawn sentences with none to three labels, each told by one word."""
    random, lines = np.random.default_rng(0), []
    for number in range(120):
        told = [word for word in LABEL_OF if random.random() < 0.4]
        drawn = random.permutation([*random.choice(["story", "this", "very", "of", "it", "dull"], 8), *told])
        labels = [LABEL_OF[word] for word in told]
        lines.append({"text": " ".join(drawn), "labels": "|".join(labels) if labels and number % 2 else labels})
    path = tmp_path_factory.mktemp("tagged") / "tagged.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.drawn
@pytest.mark.parametrize("strategy", ["features", "full"])
def test_documents_with_several_labels(tagged, bert, tmp_path, strategy, capsys):
    """The words tell the labels; predict gives what the run wrote; other commands say that they cannot."""
    more = {"epochs": 8, "patience": 8} if strategy == "full" else {}
    result = text_classification.run(settings(tagged, bert, tmp_path, strategy=strategy, multi_label=True, **more))
    found = result.results
    assert found["data"]["class_names"] == ["culture", "money", "praise"]
    assert found["counted_words"]["test"]["macro_f1"] > 0.95 and found["always_alike"]["test"]["macro_f1"] < 0.75
    assert found["test"]["mean_average_precision"] > found["always_alike"]["test"]["mean_average_precision"] + 0.1
    told = f"test: macro F1 {found['test']['macro_f1']:.3f}"
    assert told in capsys.readouterr().out and "Average precision" in (result.directory / "report.html").read_text()

    with open(result.directory / "predictions.csv", newline="") as file:
        row = max(csv.DictReader(file), key=lambda row: row["predicted"].count("|"))
    line = json.loads(tagged.read_text().splitlines()[int(row["path"].rpartition(":")[2]) - 1])
    (tmp_path / "new.txt").write_text(line["text"])
    assert predict.command(result.directory, (tmp_path / "new.txt",), tmp_path / "new.csv") == 0
    assert capsys.readouterr().out.strip().split("\t")[1] == row["predicted"]
    with open(tmp_path / "new.csv", newline="") as file:
        assert float(next(csv.DictReader(file))["p_praise"]) == pytest.approx(float(row["p_praise"]), abs=1e-4)
    for command in (lambda: answers.load(result.directory), lambda: export.export(result.directory, ["onnx"]),
                    lambda: evaluate.command(result.directory, tagged)):  # fmt: skip
        with pytest.raises(errors.UserError, match="several labels to a document, which .* cannot; use predict"):
            command()
    with pytest.raises(errors.UserError, match="--top: this run does not choose"):
        predict.command(result.directory, (tmp_path / "new.txt",), top=2)


def test_mistakes_with_several_labels_are_one_line(reviews, tagged, bert, tmp_path):
    with pytest.raises(errors.UserError, match="--multi-label: no document has several labels .*; remove it"):
        text_classification.run(settings(reviews, bert, tmp_path, multi_label=True))
    with pytest.raises(errors.UserError, match="--multi-label draws no --training-documents; remove one"):
        settings(tagged, bert, tmp_path, multi_label=True, training_documents=50)
    with pytest.raises(errors.UserError, match="not one value"):
        text_classification.run(settings(tagged, bert, tmp_path))
    rows = [json.loads(line) for line in tagged.read_text().splitlines()]
    rare = tmp_path / "rare.jsonl"
    rare.write_text("".join(json.dumps(row | {"labels": "rare|film" if number == 0 else row["labels"]}) + "\n"
                            for number, row in enumerate(rows)))  # fmt: skip
    with pytest.raises(errors.UserError, match=r"--multi-label: no \w+ document has the label '(rare|film)'"):
        text_classification.run(settings(rare, bert, tmp_path, multi_label=True))


def test_mistakes_are_one_line(reviews, bert, tmp_path):
    with pytest.raises(errors.UserError, match=r"--training-documents 500: must be from 2, one for each type, to \d+"):
        text_classification.run(settings(reviews, bert, tmp_path, training_documents=500))
    nowhere = {"adapt_epochs": 1, "adapt_texts": tmp_path / "nowhere"}
    with pytest.raises(errors.UserError, match=r"--adapt-texts .*nowhere: no such file or folder"):
        text_classification.run(settings(reviews, bert, tmp_path, **nowhere))
    with pytest.raises(errors.UserError, match="--sequence-length 2: must be at least 3 for an encoder"):
        text_classification.run(settings(reviews, bert, tmp_path, sequence_length=2))
    with pytest.raises(errors.UserError, match="--preset is now --backbone"):
        flags.parse(text_classification.Config, ["--preset", "gpt2_base_en"])


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError("no space left"), OSError), (errors.UserError("--out is gone"), errors.UserError),
     (ValueError("odd"), errors.UserError)],
)  # fmt: skip
def test_only_what_a_network_is_to_blame_for_is_said_of_it(reviews, bert, tmp_path, monkeypatch, error, told):
    def save(*_):
        raise error

    monkeypatch.setattr(saved_text_model, "save", save)
    record = types.SimpleNamespace(config=settings(reviews, bert, tmp_path))
    corpus = types.SimpleNamespace(class_names=("bad", "good"), targets=targets.Classes(("bad", "good")))
    with pytest.raises(told) as raised:
        text_classification.check_preset(corpus, record)
    assert ("cannot be saved (odd); use GPT-2 or BERT" in str(raised.value)) == isinstance(error, ValueError)
    assert isinstance(error, ValueError) or raised.value is error
