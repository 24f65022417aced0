"""Networks beyond keras.applications, through recipes from the flags to predictions and exports."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys

import helpers
import numpy as np
import pytest
import tiny_hub
import tiny_network

from common import errors
from common.commands import export, predict
from common.compare import networks as compared
from common.evaluation import grad_cam
from common.models import backbones, hub_backbones
from common.runs import saved_model
from recipes import compare_strategies, feature_extraction, partial_unfreezing

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Flags of each network: a preset of KerasHub with its own layers, one with Keras's layers, and a file."""
    folder = tmp_path_factory.mktemp("networks")
    tiny_network.attention().save(folder / "attention.keras")
    return {
        "vit": {"backbone": tiny_hub.preset("ViT", folder / "vit")},
        "resnet": {"backbone": tiny_hub.preset("ResNet", folder / "resnet"), "image_size": 32},
        "file": {"backbone": str(tiny_network.file(folder / "mine.keras")), "preprocess": "tf"},
        "attention": {"backbone": str(folder / "attention.keras"), "preprocess": "tf"},
    }


def settings(recipe, photos, tmp_path, network, **changes):
    quick = {"epochs": 2, "batch_size": 8, "head": "gap", "validation_fraction": 0.2, "test_fraction": 0.2}
    if recipe is partial_unfreezing:
        quick |= {"fine_tuning_epochs": 2, "keep_worse": True}
    places = {"data": str(photos), "out": tmp_path / "runs", "cache": tmp_path / "cache"}
    return recipe.Config(**places | quick | network | changes)


def answers(run, photos):
    """The probabilities of a saved model for photos of another size."""
    saved = saved_model.load_model(run.directory if hasattr(run, "directory") else run)
    return saved.model.predict(photos, verbose=0)


# The families of KerasHub are cut and trained in tests/common/models/test_hub_backbones.py too.
@pytest.mark.parametrize("name", [*(pytest.param(each, marks=pytest.mark.long) for each in ("vit", "resnet")), "file"])
def test_cached_training_is_that_of_the_whole_network(networks, stripes, tmp_path, name):
    photos = tiny_network.random_clips(3, 50, 40)
    runs = [
        partial_unfreezing.run(settings(partial_unfreezing, stripes, tmp_path, networks[name], no_cache=no_cache))
        for no_cache in (False, True)
    ]
    np.testing.assert_allclose(*(answers(run, photos) for run in runs), atol=1e-5)
    assert runs[0].results["cost"]["cache_bytes"] > 0


@pytest.mark.parametrize("name", [pytest.param("vit", marks=pytest.mark.long), "file"])
def test_a_killed_run_goes_on_and_its_model_is_used_everywhere(networks, stripes, tmp_path, name, monkeypatch, capsys):
    config = settings(feature_extraction, stripes, tmp_path, networks[name], epochs=3)
    whole = feature_extraction.run(config)
    directory = helpers.killed_after(feature_extraction, "head", 2, config, monkeypatch)
    feature_extraction.run(feature_extraction.Config(resume=directory))
    photos = tiny_network.random_clips(3, 50, 40)
    np.testing.assert_allclose(answers(whole, photos), answers(directory, photos), atol=1e-5)

    predict.predict(directory, [stripes / "across" / "00.jpg"])
    assert "across/00.jpg" in capsys.readouterr().out
    form = {"vit": "saved_model", "file": "onnx"}[name]  # tf2onnx has no exact GELU, which a ViT needs
    assert export.export(directory, [form]) == 0  # it answers as the Keras model does

    again = backbones.load(str(directory), "own")  # the run as a backbone
    first = backbones.load(networks[name]["backbone"], "own", preprocess=networks[name].get("preprocess"))
    x = np.array(first.preprocess(tiny_network.random_clips(2, first.image_size, first.image_size)))
    np.testing.assert_allclose(again.model.predict(x, verbose=0), first.model.predict(x, verbose=0), atol=1e-5)
    assert len(again.model.layers) == len(first.model.layers)


@pytest.mark.filterwarnings("error:Skipping variable loading")  # a saved optimizer, which did not fit
@pytest.mark.parametrize(
    ("name", "first", "features"),
    [("attention", "block2_mha", 8), pytest.param("vit", "transformer_block_2", 32, marks=pytest.mark.long)],
)
def test_lora_is_cached_exactly_moves_nothing_else_and_goes_on_bit_for_bit(
    networks, stripes, tmp_path, monkeypatch, name, first, features
):
    """The head converges first; then low-rank changes in the last two blocks of three train, behind a cached one."""
    place = networks[name] | {"lora_rank": 2, "fine_tuning_rate": 1e-2, "unfreeze_from": first}
    config = settings(partial_unfreezing, stripes, tmp_path, place, warmup_epochs=0, deterministic=True)
    cached = partial_unfreezing.run(config)
    whole = partial_unfreezing.run(dataclasses.replace(config, no_cache=True))
    photos = tiny_network.random_clips(3, 50, 40)
    np.testing.assert_allclose(answers(cached, photos), answers(whole, photos), atol=1e-5)
    assert cached.results["strategy"] == f"head, then LoRA from {first}"
    # Queries, keys and values (width, heads, size), output (heads, size, width), in two blocks.
    width, heads, size = {"vit": (16, 2, 8), "attention": (8, 2, 4)}[name]
    each = 3 * (width * heads * 2 + 2 * size) + heads * size * 2 + 2 * width
    head = features * 2 + 2
    assert [row["trainable_parameters"] for row in cached.results["stages"]] == [head, head + 2 * each]

    before = backbones.load(place["backbone"], "own", preprocess=place.get("preprocess")).model
    after = backbones.load(str(cached.directory), "own").model  # an ordinary network, without further weights
    pairs = list(zip(before.weights, after.weights, strict=True))
    moved = {old.path for old, new in pairs if not np.array_equal(old, new)}
    assert len(moved) == 2 * 4 and all("mha" in path and path.endswith("kernel") for path in moved), moved
    assert not any("block_1" in path or "block1" in path for path in moved)

    for stage, epoch in (("head", 0), ("fine_tuning", 0)):
        interrupted = helpers.killed_after(partial_unfreezing, stage, epoch, config, monkeypatch)
        resumed = partial_unfreezing.run(partial_unfreezing.Config(resume=interrupted))
        np.testing.assert_array_equal(answers(resumed, photos), answers(cached, photos))


def test_lora_is_put_back_if_it_does_not_help(networks, stripes, tmp_path):
    harmful = {"lora_rank": 2, "fine_tuning_rate": 1.0, "warmup_epochs": 0, "keep_worse": False, "learning_rate": 0.1}
    network = networks["attention"]
    run = partial_unfreezing.run(settings(partial_unfreezing, stripes, tmp_path, network, **harmful))
    assert run.results["kept_stage"] == "head" and run.results["cost"]["trainable_parameters"] == 8 * 2 + 2
    before = backbones.load(network["backbone"], "own", preprocess="tf").model
    after = backbones.load(str(run.directory), "own").model
    for one, other in zip(before.weights, after.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_plan_trains_what_lora_trains(networks, stripes, tmp_path, capsys):
    config = settings(partial_unfreezing, stripes, tmp_path, networks["attention"], lora_rank=2, dry_run=True)
    with pytest.raises(SystemExit):
        partial_unfreezing.run(config)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    head, each = 8 * 2 + 2, 3 * (8 * 2 * 2 + 2 * 4) + 2 * 4 * 2 + 2 * 8
    assert ["head", f"{head}"] in [row[:2] for row in rows]
    assert ["from", "block1_mha", f"{head + 3 * each}"] in [row[:3] for row in rows]


def test_lora_is_refused_before_the_training_where_it_means_nothing(networks, stripes, tmp_path):
    with pytest.raises(errors.UserError, match="--lora-rank changes attention layers, and MobileNetV2:0.35 has none"):
        network = {"backbone": "MobileNetV2:0.35", "weights": "none", "image_size": 32, "lora_rank": 4}
        partial_unfreezing.run(settings(partial_unfreezing, stripes, tmp_path, network))
    assert not list((tmp_path / "runs").rglob("*"))
    for name, value in (("l2_sp", 0.1), ("batch_norm", "adapt")):
        with pytest.raises(errors.UserError, match=f"--{name.replace('_', '-')} has no effect"):
            partial_unfreezing.Config(lora_rank=4, **{name: value})


@pytest.mark.long
def test_networks_from_elsewhere_are_compared_and_the_comparison_goes_on(networks, stripes, tmp_path, capsys):
    """A preset of KerasHub, a file with its preprocessing and a run: in the plan, the table, the page and resumed."""
    run = feature_extraction.run(settings(feature_extraction, stripes, tmp_path, networks["file"])).directory
    names = (networks["vit"]["backbone"], networks["file"]["backbone"], str(run))
    wanted = ("logistic_regression", "partial_unfreezing", "lora")
    more = {"backbones": names, "preprocess": "tf", "strategies": wanted, "seeds": 1, "fine_tuning_epochs": 2}
    result = compare_strategies.run(settings(compare_strategies, stripes, tmp_path, more))
    shown = capsys.readouterr()
    assert f"lora on {names[1]}, lora on {names[2]}" in shown.err
    assert all(f"logistic_regression, {name}" in shown.out for name in names)
    rows = result.results["rows"]
    without = {("lora", names[1]), ("lora", names[2])}
    planned = {(strategy, name) for strategy in wanted for name in names} - without
    assert {(row["strategy"], row["backbone"]) for row in rows} == planned
    assert not any(row["failed"] for row in rows)
    page = (result.directory / "compare.html").read_text().replace("<wbr>", "")
    assert all(name.rpartition("/")[2] in page for name in names)

    trial = result.directory / "trials" / "lora" / compared.named(names)[names[0]].place / "seed0_1" / "outcome.json"
    for path in (result.directory / "results.json", trial):
        path.unlink()
    again = compare_strategies.run(compare_strategies.Config(resume=result.directory))
    first, second = ({(row["strategy"], row["backbone"]): row["test"] for row in each} for each in (
        rows, again.results["rows"]
    ))  # fmt: skip
    assert first == second


@pytest.mark.long
def test_the_model_needs_only_keras_hub_and_is_explained_by_tokens(networks, stripes, tmp_path):
    run = feature_extraction.run(settings(feature_extraction, stripes, tmp_path, networks["vit"]))
    shutil.copy(run.directory / "model.keras", tmp_path / "alone.keras")
    code = "import keras, keras_hub, numpy; m = keras.saving.load_model('alone.keras', compile=False); "
    code += "print(m.predict(numpy.ones((1, 40, 50, 3)), verbose=0).shape)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.strip() == "(1, 2)", ended.stderr

    classifier = saved_model.load_model(run.directory).model.get_layer("classifier")
    maps = grad_cam.heatmaps_of(classifier)(tiny_network.random_clips(2, 64, 64) / 127.5 - 1, np.array([0, 1]))
    assert maps.shape == (2, 64, 64) and maps.min() >= 0 and 0.9 < maps.max() <= 1
    flat, layer = grad_cam._with_tokens(classifier)
    assert layer.name == "transformer_block_2" and hub_backbones.WITH_CLASS in {each.name for each in flat.layers}
