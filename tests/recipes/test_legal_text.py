import csv
import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tiny_language_model

from common import errors
from common.commands import predict
from common.demo import drawn_texts
from common.media import texts, windows
from common.models import language_model
from common.report import page, writing
from common.runs import finished_run
from recipes import legal_text

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")
pytest.importorskip("datasketch", reason="the extra `text` is not installed")

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def contracts(tmp_path_factory):
    """Drawn contracts of three types, 16 of each by 8 companies, and one that two companies have filed."""
    folder = tmp_path_factory.mktemp("contracts")
    for kind in ("lease", "loan", "nda"):
        (folder / kind).mkdir()
        for number in range(16):
            content = drawn_texts.contract(kind, 500 + number, drawn_texts.company_name(f"{kind} {number // 2}"))
            (folder / kind / f"{kind}{number // 2}_{number}.txt").write_text(content)
    first = (folder / "loan" / "loan0_0.txt").read_text()
    (folder / "loan" / "loan99_0.txt").write_text(first.replace("Lender", "Creditor"))
    return folder


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny")


def settings(contracts, preset, tmp_path, **changes):
    few = {"preset": preset, "document_characters": 600, "epochs": 1, "window": 64, "duplicate_threshold": 0.8,
           "learning_rate": 1e-2}  # fmt: skip
    few |= {"samples": 2, "sample_tokens": 12} if changes.get("task") != "classify" else {}
    return legal_text.Config(
        **{"data": str(contracts), "out": tmp_path / "runs", "cache": tmp_path / "cache",
           "group_pattern": r"^(\w+?)_", "validation_fraction": 0.2, "test_fraction": 0.2} | few | changes
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(contracts, preset, tmp_path_factory):
    """One run with all strategies, for several tests."""
    return legal_text.run(settings(contracts, preset, tmp_path_factory.mktemp("compared"), compare=True))


# The loss ---------------------------------------------------------------------------------------------------------


def test_the_loss_of_three_tokens_by_hand():
    """Two windows of two targets over a vocabulary of three; one target is padding."""
    logits = np.log([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6], [1 / 3, 1 / 3, 1 / 3]]]).astype("float32")
    targets, weights = np.array([[0, 1], [2, 0]]), np.array([[1, 1], [1, 0]], "float32")
    loss = legal_text.language_loss()(targets, logits, weights)
    assert float(loss) == pytest.approx(-(np.log(0.5) + np.log(0.8) + np.log(0.6)) / 3, rel=1e-6)


def test_what_decays_and_what_the_rate_does():
    model = language_model.load("demo")
    network = legal_text.build_model(
        model, language_model.halves(model, legal_text.freeze(model, "full", legal_text.Config()))[1]
    )
    adam = legal_text.optimizer(network, "full", 128, 200, legal_text.Config())
    adam.build(network.trainable_variables)
    decays = {variable.path for variable in network.trainable_variables if adam._use_weight_decay(variable)}
    assert decays and all(path.rpartition("/")[2] in ("kernel", "embeddings") for path in decays)
    rates = [float(adam._learning_rate(step)) for step in (0, 10, 20, 110, 200)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(2e-4 * 6 * legal_text.DEMO_RATE, rel=1e-3)
    assert rates[3] == pytest.approx(rates[2] / 2, rel=1e-3) and rates[4] == pytest.approx(0, abs=1e-9)


def test_what_each_strategy_trains():
    counts = {}
    for strategy in legal_text.STRATEGIES:
        model = language_model.load("demo", weights=strategy != "scratch")
        _, suffix = language_model.halves(model, legal_text.freeze(model, strategy, legal_text.Config(blocks=2)))
        network = legal_text.build_model(model, suffix)
        counts[strategy] = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    total, block = model.backbone.count_params(), model.blocks[0].count_params()
    assert counts["head"] == 2 * 128 and counts["last_blocks"] == 2 * block + 2 * 128
    assert counts["full"] == counts["scratch"] == total
    # Queries and values of four blocks; Keras splits a kernel of (128, 4, 32) into (128, 4, 8) and (8, 32).
    assert counts["lora"] == 4 * 2 * (128 * 4 * 8 + 8 * 32)


# Runs -------------------------------------------------------------------------------------------------------------


def test_a_comparison_leaves_what_is_promised(compared):
    results, directory = compared.results, compared.directory
    rows = {row["strategy"]: row for row in results["strategies"]}
    assert tuple(rows) == legal_text.STRATEGIES
    before = results["before"]["validation"]["loss"]
    assert all(rows[name]["validation"]["loss"] < before for name in ("head", "last_blocks", "lora", "full"))
    kept = min(rows.values(), key=lambda row: row["validation"]["loss"])
    assert results["strategy"] == kept["strategy"] and results["test"] == kept["test"] and kept["kept"]
    assert set(results["test"]["by_type"]) == {"lease", "loan", "nda"}
    assert len(results["data"]["near_duplicates"]) >= 1
    with open(directory / "split.csv", newline="") as file:
        sides = {row["group"]: row["split"] for row in csv.DictReader(file)}
        file.seek(0)
        assert all(sides[row["group"]] == row["split"] for row in csv.DictReader(file))
    samples = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 2 and all(one["after"].startswith(one["prompt"]) for one in samples)
    page = (directory / "report.html").read_text()
    assert "Not legal advice" in page and "Memorisation" in page and "near" in page.lower()
    assert not list(directory.glob("*.npz")) and (directory / "figures" / "loss.png").is_file()


def test_the_kept_model_loads_with_keras_hub_alone(compared):
    code = (
        "import keras_hub, sys; model = keras_hub.models.CausalLM.from_preset(sys.argv[1]); "
        "print(model.generate('This Agreement', max_length=12)); sys.exit('common' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(compared.directory / "preset")], cwd="/", capture_output=True
    )
    assert ended.returncode == 0 and b"This Agreement" in ended.stdout, ended.stderr[-2000:]


@pytest.mark.drawn
def test_the_report_can_be_drawn_again(compared):
    was = (compared.directory / "report.html").read_text()
    assert page.write(compared.directory, [writing]).read_text() == was


@pytest.mark.parametrize("strategy", ["lora", "full", "scratch"])
def test_a_rate_of_0_leaves_the_perplexity_as_it_is(contracts, preset, tmp_path, strategy):
    result = legal_text.run(
        settings(contracts, preset, tmp_path, strategy=strategy, learning_rate=0.0, document_characters=300)
    )
    if strategy == "scratch":  # its weights are those of the seed
        keras.utils.set_random_seed(0)
        model = language_model.load(preset, weights=False)
        after = language_model.load(str(result.directory / "preset"))
        pairs = zip(model.backbone.weights, after.backbone.weights, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    else:
        assert result.results["test"]["loss"] == pytest.approx(result.results["before"]["test"]["loss"], rel=1e-6)
    assert (result.directory / "adapter.lora.h5").is_file() == (strategy == "lora")


def test_accumulating_two_batches_is_one_of_twice_the_size(preset):
    """Windows without padding: a mean of means is the mean; the rate of a step is read half a step later."""
    losses = []
    for accumulate in (1, 2):
        model = language_model.load(preset)
        network = legal_text.build_model(model, language_model.halves(model, None)[1])
        setting = legal_text.Config(accumulate=accumulate, warm_up=0.0)
        network.compile(legal_text.optimizer(network, "full", 128, 400, setting), legal_text.language_loss())
        ids = np.random.default_rng(0).integers(2, 1500, (16, 9)).astype("int32")
        network.fit(
            [ids[:, :-1], np.ones_like(ids[:, 1:])], ids[:, 1:], batch_size=4 // accumulate, shuffle=False, verbose=0
        )
        losses.append(network.evaluate([ids[:, :-1], np.ones_like(ids[:, 1:])], ids[:, 1:], verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_what_a_head_cost_and_that_it_can_be_tuned_further(contracts, preset, tmp_path):
    """The cost holds the frozen part; what is left is not frozen for whom it is handed to."""
    first = legal_text.run(settings(contracts, preset, tmp_path, strategy="head"))
    cost, (row,) = first.results["cost"], first.results["strategies"]
    total = language_model.load(preset).backbone.count_params()
    assert cost["cache_bytes"] == row["cache_bytes"] > 0 and cost["prefix_seconds"] > 0
    assert cost["total_parameters"] == total > cost["trainable_parameters"] == row["trainable_parameters"]
    again = legal_text.run(settings(contracts, str(first.directory / "preset"), tmp_path, strategy="full"))
    assert again.results["strategies"][0]["trainable_parameters"] == total
    assert again.results["test"]["loss"] < again.results["before"]["test"]["loss"]


def test_what_diverges_ends_with_a_result(contracts, preset, tmp_path, capsys):
    few = {"samples": 1, "document_characters": 300}
    result = legal_text.run(
        settings(contracts, preset, tmp_path, strategy="scratch", learning_rate=10.0, clip=1e9, **few)
    )
    assert result.results["test"]["loss"] > 30 and "tuning brought nothing" in capsys.readouterr().out


def test_more_to_accumulate_than_there_is_is_refused(contracts, preset, tmp_path):
    with pytest.raises(errors.UserError, match="--accumulate must be at most"):
        legal_text.run(settings(contracts, preset, tmp_path, accumulate=1000, samples=1, document_characters=300))


@pytest.mark.drawn
def test_classification_with_the_baseline_beside_it(contracts, preset, tmp_path, capsys):
    result = legal_text.run(
        settings(
            contracts,
            preset,
            tmp_path,
            task="classify",
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


@pytest.mark.parametrize(("most", "batch"), [(2, 4), (4, 1)])
def test_an_epoch_of_a_classifier_is_all_documents(contracts, preset, tmp_path, capsys, most, batch):
    """Two windows of each, two of them at a time; or one alone, which has more windows than a batch should."""
    asked = {"task": "classify", "strategy": "last_blocks", "batch_size": batch, "windows_per_document": most}
    result = legal_text.run(settings(contracts, preset, tmp_path, **asked, document_characters=1000))
    steps = -(-result.results["data"]["train"] // (2 if batch == 4 else 1))
    said = capsys.readouterr()
    assert f"{steps}/{steps} - " in said.out
    assert f"first {most} windows of 64 tokens" in said.err and "3 types, " in said.err
    assert 0.2 < result.results["data"]["read"] < (0.6 if most == 2 else 1)


def test_settings_are_checked():
    for changes, message in (({"blocks": 0}, "--blocks"), ({"warm_up": 1.0}, "--warm-up"), ({"window": 0}, "--window"),
                             ({"compare": True, "strategy": "full"}, "leave --strategy"),
                             ({"windows_per_document": 2}, "--windows-per-document is for --task classify"),
                             ({"task": "classify", "samples": 2}, "--samples is for --task generate")):  # fmt: skip
        with pytest.raises(errors.UserError, match=message):
            legal_text.Config(**changes)
    assert legal_text.Config().strategies == legal_text.STRATEGIES
    assert legal_text.Config(data="x").strategies == ("full",)
    assert not {"image_size", "backbone", "flip"} & {field.name for field in dataclasses.fields(legal_text.Config)}


def test_a_window_that_the_network_cannot_see_is_refused(contracts, preset, tmp_path):
    with pytest.raises(errors.UserError, match="sees 64 tokens at most"):
        legal_text.run(settings(contracts, preset, tmp_path, window=200))
    assert not list((tmp_path / "runs").glob("*/*"))


def test_a_comparison_interrupted_between_its_strategies_ends_the_same(
    contracts, preset, compared, tmp_path, monkeypatch
):
    """Stopped before the second strategy: the first is not trained again, and both end as undisturbed."""
    monkeypatch.setattr(legal_text, "STRATEGIES", legal_text.STRATEGIES[:2])
    tune, begun = legal_text.tune, []

    def interrupted(strategy, *arguments):
        begun.append(strategy)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return tune(strategy, *arguments)

    monkeypatch.setattr(legal_text, "tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        legal_text.run(settings(contracts, preset, tmp_path, compare=True))
    (directory,) = tmp_path.glob("runs/*/*")
    done = finished_run.read_history(directory)
    result = legal_text.run(legal_text.Config(resume=directory))
    assert [row["stage"] for row in done] == ["head"] and finished_run.read_history(directory)[:1] == done
    found, undisturbed = result.results["strategies"], compared.results["strategies"][:2]
    for ours, theirs in zip(found, undisturbed, strict=True):
        assert ours["test"]["loss"] == pytest.approx(theirs["test"]["loss"], rel=1e-4)
    assert result.results["strategy"] == min(undisturbed, key=lambda row: row["validation"]["loss"])["strategy"]


# Killed and resumed -------------------------------------------------------------------------------------------------


def started(*arguments):
    """The recipe in a process of its own, all that it prints in one stream."""
    return subprocess.Popen(
        [sys.executable, "recipes/legal_text.py", *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def killed_at_random(process, chance):
    """Lets the process begin up to five pieces of work, and kills it in the middle; the line it was at."""
    patience = chance.randint(1, 5)
    for line in process.stdout:
        patience -= line.startswith(("frozen prefix", "Epoch", "stage"))
        if patience == 0:
            break
    time.sleep(chance.uniform(0, 0.3))
    process.kill()
    process.communicate()
    return line.strip()[:30]


@pytest.mark.long
def test_killed_at_random_it_ends_as_if_undisturbed(contracts, preset, tmp_path):
    """Killed by SIGKILL while the frozen blocks are computed or the last one trains; a new moment each time."""
    flags = ["--data", contracts, "--preset", preset, "--document-characters", 300, "--epochs", 5, "--samples", 2,
             "--sample-tokens", 8, "--window", 32, "--group-pattern", r"^(\w+?)_", "--strategy", "last_blocks",
             "--deterministic", "--duplicate-threshold", 0.8]  # fmt: skip
    output, _ = started(*flags, "--out", tmp_path / "whole", "--cache", tmp_path / "cache").communicate()
    undisturbed = pathlib.Path(output.splitlines()[-1])
    process = started(*flags, "--out", tmp_path / "killed", "--cache", tmp_path / "another")
    place = killed_at_random(process, random.Random(time.time()))
    (directory,) = tmp_path.glob("killed/*/*")
    process = started("--resume", directory)
    output, _ = process.communicate()
    print("killed at:", place)
    assert process.returncode == 0, output[-2000:]
    results = [json.loads((folder / "results.json").read_text()) for folder in (undisturbed, directory)]
    for name in ("validation", "test", "strategy", "samples"):
        assert results[0][name] == results[1][name]
    losses = [[row["val_loss"] for row in finished_run.read_history(folder)] for folder in (undisturbed, directory)]
    assert losses[0] == losses[1]
