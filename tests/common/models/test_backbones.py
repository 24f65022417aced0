import urllib.error
import zipfile

import keras
import numpy as np
import pytest

from common import errors
from common.models import backbones


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2:0.35", "EfficientNetB0"])
def test_preprocessing_belongs_to_the_backbone(name):
    backbone = backbones.load(name, "none", 64)
    module = {"VGG16": "vgg16", "ResNet50": "resnet", "MobileNetV2:0.35": "mobilenet_v2"}.get(name, "efficientnet")
    photos = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(photos.copy())
    assert np.allclose(backbone.preprocess(keras.ops.convert_to_tensor(photos)), expected, atol=1e-4)
    assert backbone.model.output_shape[1:3] == (2, 2)


def test_every_network_of_keras_applications_is_known():
    networks = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(backbones.names()) == networks | {"demo"}


def test_the_demo_backbone_has_its_weights():
    pretrained, random = (backbones.load("demo", weights) for weights in ("demo", "none"))
    names = [layer.name for layer in pretrained.model.layers]
    assert names[1:] == [layer.name for layer in keras.applications.VGG16(include_top=False, weights=None).layers][1:]
    kernels = [backbone.model.get_layer("block3_conv1").kernel.numpy() for backbone in (pretrained, random)]
    assert not np.allclose(*kernels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("VGG17", "none"), "did you mean VGG1"),
        (("mobilenetv2", "none"), "did you mean MobileNetV2"),
        (("VGG16:0.5", "none"), "no width multiplier"),
        (("MobileNetV2:wide", "none"), "must be a number"),
        (("MobileNetV2:0.42", "imagenet"), "alpha"),
        (("VGG16", "nowhere.weights.h5"), "no such file"),
        (("VGG16", "demo"), "are for --backbone demo"),
        (("demo", "imagenet"), "no ImageNet weights"),
        (("VGG16", "none", 16), "at least 32"),
    ],
)
def test_a_mistake_is_explained(arguments, message):
    with pytest.raises(errors.UserError, match=message):
        backbones.load(*arguments)


def test_weights_from_a_file(tmp_path):
    original = backbones.load("demo", "demo", 32).model
    path = tmp_path / "mine.weights.h5"
    original.save_weights(path)
    loaded = backbones.load("demo", str(path), 32).model
    assert all(np.array_equal(a, b) for a, b in zip(original.get_weights(), loaded.get_weights(), strict=True))
    with pytest.raises(errors.UserError, match="--weights"):
        backbones.load("MobileNetV2:0.35", str(path), 32)


def test_the_model_of_a_run_is_no_weights_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("targets.json", "{}")
    with pytest.raises(errors.UserError, match=f"a whole classifier of a run.*with --backbone {tmp_path}$"):
        backbones.load("demo", str(tmp_path / "model.keras"))


def test_imagenet_weights_without_a_network_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def no_network(*arguments, **settings):
        raise urllib.error.URLError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("urllib.request.urlretrieve", no_network)
    with pytest.raises(errors.UserError) as caught:
        backbones.load("MobileNet:0.5", "imagenet", 224)
    assert "could not be downloaded" in str(caught.value) and "--weights none" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["Xception", "InceptionV3", "EfficientNetB1", "EfficientNetV2B2", "EfficientNetV2S", "VGG16"],
)
def test_default_image_sizes_are_those_of_keras(name):
    constructor, _ = backbones._constructors()[name]
    shape = constructor(weights=None).input_shape
    assert shape[1:3] == (backbones.IMAGE_SIZES.get(name, 224),) * 2
