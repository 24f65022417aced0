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

from common import errors, flags
from common.data import pipeline
from common.models import backbones
from common.runs import finished_run, saved_model
from recipes import gradual_unfreezing

ROOT = pathlib.Path(__file__).parents[2]


def settings(photos, tmp_path, **changes):
    quick = {
        "backbone": "demo",
        "weights": "demo",
        "image_size": 32,
        "epochs": 2,
        "fine_tuning_epochs": 2,
        "fine_tuning_rate": 1e-4,
        "max_blocks": 2,
        "batch_size": 8,
    }
    return gradual_unfreezing.Config(
        **{"data": str(photos), "out": tmp_path / "runs", "cache": tmp_path / "cache", **quick, **changes}
    )


def weights_of(result):
    model = saved_model.load_model(result.directory).model
    classifier = model.get_layer("classifier")
    return {layer.name: layer.get_weights() for layer in classifier.layers if layer.get_weights()}


def test_block_after_block_is_unfrozen_and_what_is_frozen_does_not_move(stripes, tmp_path, monkeypatch):
    read = []
    look_batches = pipeline.look_batches
    monkeypatch.setattr(pipeline, "look_batches", lambda paths, *a: read.append(len(paths)) or look_batches(paths, *a))
    result = gradual_unfreezing.run(settings(stripes, tmp_path, keep_worse=True))
    assert read == [30]  # every photo went through the network once, for all stages together
    rows = result.results["stages"]
    assert [(row["stage"], row["blocks"]) for row in rows] == [("head", 0), ("from_block5", 1), ("from_block4", 2)]
    assert [row["trainable_parameters"] for row in rows] == sorted({row["trainable_parameters"] for row in rows})
    assert result.results["kept_stage"] == "from_block4"
    assert result.results["cost"]["trainable_parameters"] == rows[-1]["trainable_parameters"]
    before = backbones.load("demo", "demo", 32).model
    for name, weights in weights_of(result).items():
        if name.startswith("block"):
            same = all(np.array_equal(a, b) for a, b in zip(weights, before.get_layer(name).get_weights(), strict=True))
            assert same == (name < "block4"), name


def test_a_stage_that_harms_changes_nothing(stripes, tmp_path):
    config = settings(stripes, tmp_path, learning_rate=1.0, fine_tuning_rate=0.1, warmup_epochs=0, epochs=3)
    result = gradual_unfreezing.run(config)
    head, first = result.results["stages"]
    assert first["validation_loss"] == head["validation_loss"]
    assert result.results["kept_stage"] == "head" and result.results["strategy"] == "kept head"
    before = backbones.load("demo", "demo", 32).model.get_layer("block5_conv1").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(weights_of(result)["block5_conv1"], before, strict=True))


def test_cached_and_whole_give_the_same_model(stripes, tmp_path):
    cached, whole = (
        gradual_unfreezing.run(settings(stripes, tmp_path, no_cache=no_cache, keep_worse=True))
        for no_cache in (False, True)
    )
    losses = [[row["validation_loss"] for row in result.results["stages"]] for result in (cached, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for layer, same_layer in zip(weights_of(cached).values(), weights_of(whole).values(), strict=True):
        for a, b in zip(layer, same_layer, strict=True):
            assert np.allclose(a, b, atol=1e-4)  # Adam divides by small numbers, which magnifies rounding


def test_the_plan_follows_the_blocks():
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    stages = gradual_unfreezing.plan(base, gradual_unfreezing.Config())
    assert [(stage.name, stage.blocks, stage.first) for stage in stages] == [
        ("head", 0, 19), ("from_block5", 1, 15), ("from_block4", 2, 11), ("from_block3", 3, 7)
    ]  # fmt: skip
    by_two = gradual_unfreezing.plan(base, gradual_unfreezing.Config(max_blocks=9, blocks_per_stage=2))
    assert [stage.name for stage in by_two] == ["head", "from_block4", "from_block2", "from_block1"]


@pytest.mark.parametrize(("flag", "advice"), [("--min-improvement", "--keep-worse"), ("--monitor", "both must hold")])
def test_removed_flags_say_what_holds_now(flag, advice):
    with pytest.raises(errors.UserError, match=f"{flag} no longer exists: .*{advice}"):
        flags.parse(gradual_unfreezing.Config, [flag, "0"])


def test_settings_are_checked():
    for changes, message in (({"max_blocks": 0}, "max-blocks"), ({"fine_tuning_rate": 1e-3}, "at most a tenth"),
                             ({"blocks_per_stage": 4}, "at most --max-blocks")):  # fmt: skip
        with pytest.raises(errors.UserError, match=message):
            gradual_unfreezing.Config(**changes)


def started(*arguments):
    """The recipe in a process of its own, all that it prints in one stream."""
    return subprocess.Popen(
        [sys.executable, "recipes/gradual_unfreezing.py", *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def killed_at_random(process, chance):
    """Lets the process begin up to three more pieces of work, and kills it in the middle; the line it was at."""
    patience = chance.randint(1, 3)
    for line in process.stdout:
        patience -= line.startswith(("frozen prefix", "Epoch"))
        if patience == 0:
            break
    time.sleep(chance.uniform(0, 0.3))
    process.kill()
    process.communicate()
    return line.strip()[:30]


@pytest.mark.long
def test_killed_twice_at_random_it_ends_as_if_undisturbed(stripes, tmp_path):
    """One run, killed twice in extraction and training by SIGKILL; the moments are new each time, and printed."""
    flags = ["--data", stripes, "--backbone", "demo", "--weights", "demo", "--image-size", 64, "--head", "gap",
             "--batch-size", 4, "--epochs", 12, "--fine-tuning-epochs", 6, "--keep-worse", "--flip",
             "--views", 4, "--deterministic", "--learning-rate", 0.01, "--fine-tuning-rate", 1e-4]  # fmt: skip
    output, _ = started(*flags, "--out", tmp_path / "whole", "--cache", tmp_path / "cache").communicate()
    undisturbed = pathlib.Path(output.splitlines()[-1])
    chance = random.Random(time.time())
    process, places = started(*flags, "--out", tmp_path / "killed", "--cache", tmp_path / "another"), []
    for _ in range(2):
        places.append(killed_at_random(process, chance))
        (directory,) = tmp_path.glob("killed/*/*")
        process = started("--resume", directory)
    output, _ = process.communicate()
    print(places)
    assert process.returncode == 0, output[-2000:]
    results = [json.loads((folder / "results.json").read_text()) for folder in (undisturbed, directory)]
    for name in ("validation", "test", "kept_stage"):
        assert results[0][name] == results[1][name]
    losses = [[row["val_loss"] for row in finished_run.read_history(folder)] for folder in (undisturbed, directory)]
    assert losses[0] == losses[1]
    weights = [saved_model.load_model(folder).model.get_weights() for folder in (undisturbed, directory)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
