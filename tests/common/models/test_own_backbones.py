import json
import os
import pathlib
import zipfile

import efficientnet_lite
import keras
import numpy as np
import pytest
import tiny_network

from common import errors
from common.models import backbones, blocks, freezing, own_backbones, raw_input


def classifier(last: str = "softmax") -> keras.Model:
    """A typical script's model: augmentation, scaling, a nested network, a head."""
    keras.utils.set_random_seed(0)
    inner = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv")(inner)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(6, 3, name="last_conv")(x)
    base = keras.Model(inner, keras.layers.ReLU(name="last_relu")(x), name="base")
    photos = keras.Input((32, 32, 3))
    x = keras.layers.RandomFlip(name="random_flip")(photos)
    x = base(keras.layers.Rescaling(1 / 255, name="rescaling")(x), training=False)
    x = keras.layers.Dense(8, name="hidden")(keras.layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(photos, keras.layers.Dense(3, activation=last, name="answer")(x), name="mine")


def features(model, x):
    """The output of the nested network."""
    return model.get_layer("base").predict(x / 255, verbose=0)


def test_the_head_of_a_file_is_cut_off_and_models_inside_are_taken_apart(tmp_path, capsys):
    model, x = classifier(), tiny_network.random_clips(2, 32, 32)
    model.save(tmp_path / "mine.keras")
    backbone = backbones.load(str(tmp_path / "mine.keras"), "own", preprocess="none")
    assert [layer.name for layer in backbone.model.layers[1:]] == [
        "rescaling", "conv", "norm", "last_conv", "last_relu"
    ]  # fmt: skip
    np.testing.assert_allclose(backbone.model.predict(x, verbose=0), features(model, x), atol=1e-6)
    told = capsys.readouterr().err
    assert "up to last_relu, 13 x 13 x 6; left out: random_flip, pool, hidden, answer" in told
    assert backbone.image_size == 32 and backbone.savable(model) is model
    freezing.unfreeze(backbone.model, 4)
    assert [layer.name for layer in backbone.model.layers if layer.trainable_weights] == ["last_conv"]


def test_a_layer_and_the_preprocessing_of_a_file_can_be_given(tmp_path):
    model = classifier()
    model.save(tmp_path / "mine.keras")
    x = tiny_network.random_clips(2, 32, 32)
    backbone = backbones.load(str(tmp_path / "mine.keras"), "own", last_layer="norm", preprocess="torch")
    assert backbone.model.layers[-1].name == "norm"
    expected = keras.applications.imagenet_utils.preprocess_input(x.copy(), mode="torch")
    np.testing.assert_allclose(backbone.preprocess(x.copy()), expected)
    random = backbones.load(str(tmp_path / "mine.keras"), "none", preprocess="none").model
    assert not np.allclose(random.predict(x, verbose=0), features(model, x))
    with pytest.raises(errors.UserError, match="--last-layer nrm: mine has no such layer; did you mean norm?"):
        backbones.load(str(tmp_path / "mine.keras"), "own", last_layer="nrm", preprocess="torch")


@pytest.mark.parametrize("preprocess", ["tf", "caffe", "none"])
def test_a_run_is_a_backbone_with_its_own_preprocessing(tmp_path, preprocess):
    network = tiny_network.base()
    model, resize = tiny_network.with_head(network), raw_input.resizing(8, "squash")
    prepare = own_backbones._mode(preprocess)
    (tmp_path / "run").mkdir()
    raw_input.take_raw_pixels(model, prepare, resize).save(tmp_path / "run" / "model.keras")
    with zipfile.ZipFile(tmp_path / "run" / "model.keras", "a") as archive:
        archive.writestr("medium.json", json.dumps({"name": "photos"}))
    x = tiny_network.random_clips(2, 8, 8)
    for name in ("run", "run/model.keras"):
        backbone = backbones.load(str(tmp_path / name), "own")
        expected = network.predict(np.array(prepare(x.copy())), verbose=0)
        np.testing.assert_allclose(
            backbone.model.predict(np.array(backbone.preprocess(x)), verbose=0), expected, rtol=1e-4, atol=1e-5
        )
    assert backbone.preprocess(x[:1, :4, :4]).shape == (1, 4, 4, 3)


def unreadable(kind: str):
    """A model that cannot be a backbone."""
    photos = keras.Input((8, 8, 3))
    if kind == "lambda":
        return keras.Model(photos, keras.layers.Lambda(lambda x: x * 2)(photos))
    if kind == "custom":
        return keras.Model(photos, Custom()(photos))
    if kind == "subclassed":
        model = Subclassed()
        model(np.zeros((1, 8, 8, 3)))
        return model
    if kind == "inputs":
        return keras.Model([photos, keras.Input((8, 8, 3))], photos)
    if kind == "grey":
        grey = keras.Input((8, 8, 1))
        return keras.Model(grey, keras.layers.Conv2D(2, 3)(grey))
    if kind == "oblong":
        oblong = keras.Input((8, 6, 3))
        return keras.Model(oblong, keras.layers.Conv2D(2, 3)(oblong))
    return keras.Model(photos, keras.layers.Dense(2)(keras.layers.Flatten()(photos)))


class Custom(keras.layers.Layer):
    def call(self, x):
        return x


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lambda", "contains a Lambda layer"),
        ("custom", "its layer Custom is not one of Keras"),
        ("subclassed", "its layer Subclassed is not one of Keras"),
        ("inputs", "has 2 inputs and 1 outputs"),
        ("grey", "takes 8 x 8 x 1, not photos"),
        ("oblong", "takes photos of 8 x 6 pixels; only networks for square photos"),
        ("flat", "has no feature map"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_line(tmp_path, kind, message):
    unreadable(kind).save(tmp_path / "mine.keras")
    with pytest.raises(errors.UserError, match=message):
        backbones.load(str(tmp_path / "mine.keras"), "own", preprocess="none")


def test_mistakes_are_found_without_loading_the_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "text.keras").write_text("x")
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "config.json").write_text("{}")
    (tmp_path / "preset" / "model.weights.h5").write_text("x")
    for name, preprocess, message in (
        ("mine.keras", None, "needs --preprocess, the input that the network was trained with: torch scales"),
        ("other.keras", "tf", "no such file or folder"),
        ("text.keras", "tf", "not a .keras file"),
        ("preset", None, "the folder of a preset; use --backbone hub:"),
        (".", None, "has no model.keras"),
    ):
        with pytest.raises(errors.UserError, match=message):
            backbones.check_name(str(tmp_path / name), preprocess)
    with pytest.raises(errors.UserError, match="--preprocess is for a .keras file; VGG16 has its own"):
        backbones.check_name("VGG16", "tf")
    with pytest.raises(errors.UserError, match="--weights imagenet are not for"):
        backbones.load(str(tmp_path / "mine.keras"), "imagenet", preprocess="tf")


def test_efficientnet_lite0_with_its_real_weights_is_a_file(tmp_path):
    folder = os.environ.get("REAL_WEIGHTS")
    weights = pathlib.Path(folder or "") / "efficientnet_lite0_imagenet.weights.h5"
    if not folder or not weights.is_file():
        pytest.skip(f"REAL_WEIGHTS is not set, or has no {weights.name}")
    name = efficientnet_lite.with_scaling(weights, tmp_path / "lite0.keras")
    model = efficientnet_lite.lite0()
    model.load_weights(weights)
    backbone = backbones.load(name, "own", preprocess="none")
    x = tiny_network.random_clips(2, 224, 224)
    expected = keras.Model(model.input, model.get_layer("head_relu").output).predict((x - 127) / 128, verbose=0)
    np.testing.assert_allclose(backbone.model.predict(x, verbose=0), expected, atol=1e-4)
    assert backbone.model.layers[-1].name == "head_relu" and [*blocks.blocks(backbone.model)][-1] == "block7a"
