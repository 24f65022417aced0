"""Networks beyond keras.applications, through recipes from the flags to predictions and exports."""

import pathlib
import shutil
import subprocess
import sys

import helpers
import keras
import numpy as np
import pytest
import tiny_hub
import tiny_network

from common.commands import export, predict
from common.evaluation import grad_cam
from common.models import backbones, hub_backbones
from common.runs import saved_model
from recipes import feature_extraction, partial_unfreezing

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Flags of each network: a preset of KerasHub with its own layers, one with Keras's layers, and a file."""
    folder = tmp_path_factory.mktemp("networks")
    photos = keras.Input((32, 32, 3))
    x = keras.layers.BatchNormalization(name="block1_norm")(keras.layers.Conv2D(4, 3, name="block1_conv")(photos))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="block2_conv")(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Dense(5, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(photos, x, name="mine").save(folder / "mine.keras")
    return {
        "vit": {"backbone": tiny_hub.preset("ViT", folder / "vit")},
        "resnet": {"backbone": tiny_hub.preset("ResNet", folder / "resnet"), "image_size": 32},
        "file": {"backbone": str(folder / "mine.keras"), "preprocess": "tf"},
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


@pytest.mark.parametrize("name", ["vit", pytest.param("resnet", marks=pytest.mark.long), "file"])
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
