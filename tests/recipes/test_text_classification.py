import csv
import pathlib
import shutil

import helpers
import keras
import made_up_runs
import numpy as np
import pytest

from common import errors
from common.commands import predict
from common.media import texts, windows
from common.models import language_model
from common.report import page, text_classes
from common.runs import finished_run
from recipes import text_classification

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")


def settings(contracts, preset, tmp_path, **changes):
    few = {"backbone": preset, "document_characters": 600, "epochs": 1, "sequence_length": 64,
           "duplicate_threshold": 0.8, "learning_rate": 1e-2}  # fmt: skip
    return text_classification.Config(
        **{"data": str(contracts), "out": tmp_path / "runs", "cache": tmp_path / "cache",
           "group_pattern": r"^(\w+?)_", "validation_fraction": 0.2, "test_fraction": 0.2} | few | changes
    )  # fmt: skip


@pytest.mark.drawn
def test_classification_with_the_baseline_beside_it(contracts, preset, tmp_path, capsys):
    result = text_classification.run(
        settings(
            contracts,
            preset,
            tmp_path,
            strategy="full",
            epochs=8,
            adapt_epochs=1,
            patience=8,
            document_characters=1500,
        )
    )
    assert result.results["test"]["accuracy"] > 0.6 and result.results["counted_words"]["test"]["accuracy"] > 0.6
    assert result.results["stages"][0]["stage"] == "adapt"
    with open(result.directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result.results["data"]["test"]
    # The saved classifier gives the answers that were written down.
    classifier = keras.saving.load_model(result.directory / "classifier.keras", compile=False)
    model = language_model.load(str(result.directory / "preset"))
    contents = [pathlib.Path(row["path"]).read_text() for row in rows]
    contents = [texts.tidy(content)[:1500].strip() for content in contents]
    packed = windows.pack_each(model.encode(contents), 4 * 64, model.end_token)
    answers = np.asarray(classifier([packed.token_ids, (packed.weights > 0).astype("int32")]))
    names = result.results["data"]["class_names"]
    for answer, row in zip(answers, rows, strict=True):
        assert answer == pytest.approx([float(row[f"p_{name}"]) for name in names], abs=1e-4)
    assert "Logistic regression" in (result.directory / "report.html").read_text()
    # So does the command.
    (tmp_path / "empty.txt").touch()
    asked = [pathlib.Path(row["path"]) for row in rows]
    assert predict.command(result.directory, (*asked, tmp_path / "empty.txt"), tmp_path / "new.csv") == 2
    assert "empty.txt: empty" in capsys.readouterr().err
    with open(tmp_path / "new.csv", newline="") as file:
        for ours, row in zip(csv.DictReader(file), rows, strict=True):
            assert ours["label"] == row["predicted"] and ours["path"] == row["path"]
            assert all(float(ours[f"p_{name}"]) == pytest.approx(float(row[f"p_{name}"]), abs=1e-4) for name in names)
    helpers.check_evaluation_of_its_own_data(result, contracts)


def test_an_epoch_of_a_classifier_is_all_documents(contracts, preset, tmp_path, capsys):
    """One document at a time, which has more windows than a batch should."""
    asked = {"strategy": "last_blocks", "batch_size": 1, "windows_per_document": 4}
    result = text_classification.run(settings(contracts, preset, tmp_path, **asked, document_characters=1000))
    check_epoch(result, capsys.readouterr(), 1, 4)
    assert 0.2 < result.results["data"]["read"] < 1


def check_epoch(result, said, documents, windows):
    """Checks the steps of an epoch with so many documents in a batch, and what is said of their windows."""
    steps = -(-result.results["data"]["train"] // documents)
    assert f"{steps}/{steps} - " in said.out
    assert f"first {windows} windows of 64 tokens" in said.err and "3 types, " in said.err


@pytest.mark.drawn
def test_a_comparison_keeps_what_validates_best(contracts, preset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(text_classification, "STRATEGIES", ("head", "full"))
    changes = {"compare": True, "document_characters": 300, "windows_per_document": 1}
    result = text_classification.run(settings(contracts, preset, tmp_path, **changes))
    rows = {row["strategy"]: row for row in result.results["strategies"]}
    assert tuple(rows) == ("head", "full") and "task" not in result.results
    kept = min(rows.values(), key=lambda row: row["validation"]["log_loss"])
    assert result.results["strategy"] == kept["strategy"] and [row["kept"] for row in rows.values()].count(True) == 1
    assert (
        rows["head"]["cache_bytes"] > 0 and rows["head"]["trainable_parameters"] < rows["full"]["trainable_parameters"]
    )
    assert "kept, for the lowest log loss on validation" in capsys.readouterr().out
    was = (result.directory / "report.html").read_text()
    assert page.write(result.directory, [text_classes]).read_text() == was
    seen = made_up_runs.Page(was)
    assert "Strategies side by side" in seen.text and "logistic regression, TF-IDF" in seen.text
    assert "Not legal advice" not in seen.text and "Memorisation" not in seen.text


def test_an_interrupted_run_ends_as_if_undisturbed(contracts, preset, tmp_path, monkeypatch, capsys):
    """With two windows of each document, two documents at a time."""
    few = {"strategy": "last_blocks", "epochs": 3, "document_characters": 1000, "windows_per_document": 2}
    few |= {"batch_size": 4}
    whole = text_classification.run(settings(contracts, preset, tmp_path, **few))
    check_epoch(whole, capsys.readouterr(), 2, 2)
    assert 0.2 < whole.results["data"]["read"] < 0.6
    config = settings(contracts, preset, tmp_path, **few, out=tmp_path / "killed")
    directory = helpers.killed_after(text_classification, "last_blocks", 1, config, monkeypatch)
    resumed = text_classification.run(text_classification.Config(resume=directory))
    losses = [[row["val_loss"] for row in finished_run.read_history(one.directory)] for one in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == 3
    assert resumed.results["test"]["log_loss"] == pytest.approx(whole.results["test"]["log_loss"], rel=1e-3)


def test_one_type_is_none_to_tell_apart(contracts, preset, tmp_path):
    shutil.copytree(contracts / "loan", tmp_path / "contracts" / "loan")
    with pytest.raises(errors.UserError, match="at least two types"):
        text_classification.run(settings(tmp_path / "contracts", preset, tmp_path))


def test_defaults():
    config = text_classification.Config()
    assert (config.epochs, config.patience, config.batch_size, config.strategies) == (10, 4, 8, ("full",))
    assert text_classification.Config(compare=True).strategies == text_classification.STRATEGIES


def test_a_network_that_cannot_be_saved_is_refused_before_the_training(contracts, real_data, tmp_path):
    """KerasHub 0.32 cannot save a classifier on Llama; what can be saved goes on."""
    config = settings(contracts, str(real_data / "tinystories_260k"), tmp_path)
    with pytest.raises(errors.UserError, match="a classifier on a LlamaBackbone cannot be saved"):
        text_classification.run(config)
    (directory,) = (tmp_path / "runs" / "text_classification").iterdir()
    assert not (directory / "history.csv").exists()
