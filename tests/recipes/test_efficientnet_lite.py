"""EfficientNet-Lite0 with its real weights, as a file and in KerasHub's own network, through recipes on flowers."""

import os
import pathlib
import shutil

import efficientnet_lite
import helpers
import keras
import numpy as np
import pytest
import tiny_network

from common.commands import export, predict
from common.models import backbones
from common.runs import finished_run, saved_model
from recipes import feature_extraction, partial_unfreezing

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Flags of the two forms of the network."""
    weights = pathlib.Path(os.environ.get("REAL_WEIGHTS", "/nowhere")) / "efficientnet_lite0_imagenet.weights.h5"
    if not weights.is_file():
        pytest.skip(f"REAL_WEIGHTS names no folder with {weights.name}")
    folder = tmp_path_factory.mktemp("lite0")
    file = efficientnet_lite.with_scaling(weights, folder / "lite0.keras")
    return {
        "file": {"backbone": file, "preprocess": "none"},
        "hub": {"backbone": efficientnet_lite.of_keras_hub(weights, folder / "lite0")},
    }


@pytest.fixture(scope="module")
def flowers(real_data, tmp_path_factory):
    """Twelve photos of each flower."""
    folder = tmp_path_factory.mktemp("flowers")
    for kind in sorted((real_data / "flowers").iterdir()):
        (folder / kind.name).mkdir()
        for photo in sorted(kind.iterdir())[:12]:
            shutil.copy(photo, folder / kind.name)
    return folder


def settings(recipe, photos, place, network, **changes):
    shares = {"validation_fraction": 0.2, "test_fraction": 0.3}
    places = {"data": str(photos), "out": place / "runs", "cache": place / "cache"}
    return recipe.Config(**places | shares | {"batch_size": 8, "no_baselines": True} | network | changes)


def answers(directory, photos):
    return saved_model.load_model(directory).model.predict(photos, verbose=0)


def test_keras_hubs_network_is_the_same_at_225_pixels(networks):
    photos = tiny_network.random_clips(2, 225, 225)
    file = backbones.load(networks["file"]["backbone"], "own", preprocess="none")
    whole = efficientnet_lite.lite0(225)
    ours = keras.Model(whole.input, whole.get_layer("head_relu").output)
    ours.set_weights(file.model.get_weights())
    hub = backbones.load(networks["hub"]["backbone"], "own")
    assert hub.image_size == 225
    found = hub.model.predict(np.array(hub.preprocess(photos)), verbose=0)
    assert found.max() == pytest.approx(6, abs=0.01)  # ReLU6
    np.testing.assert_allclose(found, ours.predict((photos - 127) / 128, verbose=0), atol=1e-4)


@pytest.mark.parametrize("name", ["file", "hub"])
def test_the_head_learns_goes_on_and_its_model_is_used(networks, flowers, tmp_path, name, monkeypatch, capsys):
    config = settings(feature_extraction, flowers, tmp_path, networks[name], epochs=60)
    whole = feature_extraction.run(config)
    assert whole.results["test"]["accuracy"] > 0.5  # guessing has 0.2
    directory = helpers.killed_after(feature_extraction, "head", 2, config, monkeypatch)
    feature_extraction.run(feature_extraction.Config(resume=directory))
    photos = tiny_network.random_clips(2, 250, 200)
    np.testing.assert_allclose(answers(whole.directory, photos), answers(directory, photos), atol=1e-5)
    assert export.export(directory, ["onnx"]) == 0  # it answers as the Keras model does
    row = finished_run.read_rows(directory / "predictions.csv")[0]
    capsys.readouterr()
    predict.predict(directory, [pathlib.Path(row["path"])])
    assert row["predicted"] in capsys.readouterr().out


@pytest.mark.parametrize("name", ["file", "hub"])
def test_the_last_block_trains_behind_the_cache_as_in_the_whole_network(networks, flowers, tmp_path, name):
    short = {"epochs": 2, "fine_tuning_epochs": 2, "keep_worse": True}
    config = settings(partial_unfreezing, flowers, tmp_path, networks[name], **short)
    runs = [partial_unfreezing.run(type(config)(**vars(config) | {"no_cache": live})) for live in (False, True)]
    assert runs[0].results["strategy"].startswith("head, then from block7a")
    photos = tiny_network.random_clips(2, 250, 200)
    np.testing.assert_allclose(*(answers(run.directory, photos) for run in runs), atol=1e-5)
