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

from common import errors, files, flags
from common.models import language_model
from common.report import page, writing
from common.runs import finished_run
from common.training import tuning
from recipes import legal_text

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

ROOT = pathlib.Path(__file__).parents[2]


def settings(contracts, preset, tmp_path, **changes):
    few = {"backbone": preset, "document_characters": 600, "epochs": 1, "sequence_length": 64,
           "duplicate_threshold": 0.8, "learning_rate": 1e-2, "samples": 2, "sample_tokens": 12}  # fmt: skip
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
    loss = tuning.language_loss()(targets, logits, weights)
    assert float(loss) == pytest.approx(-(np.log(0.5) + np.log(0.8) + np.log(0.6)) / 3, rel=1e-6)


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
    """The run of all layers is one of an older version that was interrupted, and goes on."""
    config = settings(contracts, preset, tmp_path, strategy=strategy, learning_rate=0.0, document_characters=300)
    if strategy == "full":
        config = of_an_older_version(config, tmp_path, task="generate", windows_per_document=4)
    result = legal_text.run(config)
    if strategy == "full":
        assert result.directory == config.resume
    if strategy == "scratch":  # its weights are those of the seed
        keras.utils.set_random_seed(0)
        model = language_model.load(preset, weights=False)
        after = language_model.load(str(result.directory / "preset"))
        pairs = zip(model.backbone.weights, after.backbone.weights, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    else:
        assert result.results["test"]["loss"] == pytest.approx(result.results["before"]["test"]["loss"], rel=1e-6)
    assert (result.directory / "adapter.lora.h5").is_file() == (strategy == "lora")


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
        settings(contracts, preset, tmp_path, strategy="scratch", learning_rate=10.0, clipnorm=1e9, **few)
    )
    assert result.results["test"]["loss"] > 30 and "tuning did not improve the perplexity" in capsys.readouterr().out


def test_more_to_accumulate_than_there_is_is_refused(contracts, preset, tmp_path):
    with pytest.raises(errors.UserError, match="--gradient-accumulation-steps must be at most"):
        legal_text.run(
            settings(contracts, preset, tmp_path, gradient_accumulation_steps=1000, samples=1, document_characters=300)
        )


def test_settings_are_checked():
    for changes, message in (({"blocks": 0}, "--blocks"), ({"warmup_ratio": 1.0}, "--warmup-ratio"),
                             ({"sequence_length": 0}, "--sequence-length"),
                             ({"compare": True, "strategy": "full"}, "remove --strategy")):  # fmt: skip
        with pytest.raises(errors.UserError, match=message):
            legal_text.Config(**changes)
    assert legal_text.Config().strategies == legal_text.STRATEGIES
    assert legal_text.Config(data="x").strategies == ("full",)
    assert legal_text.Config(data="x", compare=True).strategies == legal_text.STRATEGIES
    assert not {"image_size", "flip"} & {field.name for field in dataclasses.fields(legal_text.Config)}


def test_what_classified_is_said_to_be_another_recipe():
    for arguments in (["--task", "classify"], ["--task=classify"], ["--windows-per-document", "8"]):
        with pytest.raises(errors.UserError, match="^--(task|windows-per-document) no longer .* text_classification"):
            flags.parse(legal_text.Config, arguments)


def of_an_older_version(config, tmp_path, **further):
    """The settings that resume an interrupted run of an older version, which had further ones."""
    directory = tmp_path / "runs" / "legal_text" / "old"
    directory.mkdir(parents=True)
    stored = flags.to_dict(config) | {"adapt_epochs": 0} | further
    files.write_json(directory / "config.json", {"recipe": "legal_text", "command": "x", "config": stored})
    return legal_text.Config(resume=directory)


def test_an_interrupted_run_that_classified_is_told_of_the_recipe_that_does_now(contracts, preset, tmp_path):
    config = settings(contracts, preset, tmp_path, strategy="full", document_characters=300)
    with pytest.raises(errors.UserError) as refused:
        legal_text.run(of_an_older_version(config, tmp_path, task="classify", windows_per_document=2))
    told = str(refused.value)
    assert "made with --task classify" in told and "text_classification" in told and told.endswith("start a new run")


def test_a_window_that_the_network_cannot_see_is_refused(contracts, preset, tmp_path):
    with pytest.raises(errors.UserError, match="sees at most 64 tokens"):
        legal_text.run(settings(contracts, preset, tmp_path, sequence_length=200))
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
    flags = ["--data", contracts, "--backbone", preset, "--document-characters", 300, "--epochs", 5, "--samples", 2,
             "--sample-tokens", 8, "--sequence-length", 32, "--group-pattern", r"^(\w+?)_", "--strategy", "last_blocks",
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
