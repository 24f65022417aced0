"""Networks whose real weights have been laid beforehand: their features, and their opinion of daisies, are known."""

import os
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from common.models import backbones

pytestmark = pytest.mark.slow


def weights(name):
    path = pathlib.Path(os.environ.get("REAL_WEIGHTS", "/nowhere")) / name
    if not path.is_file():
        pytest.skip(f"REAL_WEIGHTS names no folder with {name}")
    return path


def test_vgg16_has_its_known_features():
    backbone = backbones.load("VGG16", str(weights("vgg16_imagenet_notop.weights.h5")), 64)
    down, right = np.mgrid[0:64, 0:64]
    picture = np.stack([4 * right, 4 * down, 255 - 2 * (down + right)], -1)[np.newaxis].astype("float32")
    maps = backbone.model.predict(backbone.preprocess(keras.ops.convert_to_tensor(picture)), verbose=0)
    pooled = maps.mean((1, 2))[0]
    assert np.argsort(-pooled)[:5].tolist() == [502, 298, 435, 455, 382]
    assert pooled[[502, 298, 435, 455, 382]] == pytest.approx([83.487, 64.908, 46.784, 45.484, 42.032], rel=1e-3)
    assert pooled.sum() == pytest.approx(1012.303, rel=1e-3)


def test_mobilenet_calls_daisies_daisies(real_data):
    path = weights("mobilenet_1.0_224.weights.h5")
    model = keras.applications.MobileNet(weights=None)
    model.load_weights(path)
    photos = sorted((real_data / "flowers" / "daisy").iterdir())[:24]
    pixels = np.stack([np.asarray(Image.open(photo).convert("RGB").resize((224, 224))) for photo in photos])
    found = model.predict(keras.applications.mobilenet.preprocess_input(pixels.astype("float32")), verbose=0)
    assert (found.argmax(-1) == 985).mean() >= 0.75  # ImageNet's class 985 is "daisy"
