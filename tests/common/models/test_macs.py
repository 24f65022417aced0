"""Multiply-accumulate operations are those that the papers of the networks give."""

import keras
import pytest

from common.models import backbones, macs

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("name", "millions"),
    [("MobileNet", 568), ("MobileNetV2", 300), ("VGG16", 15_350)],  # Howard 2017, Sandler 2018: with the classifier
)
def test_known_networks(name, millions):
    network = backbones.load(name, "none", 224).model
    assert macs.multiply_accumulates(network) == pytest.approx(millions * 1e6, rel=0.01)


def test_by_hand():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)  # 8 x 8 places x 3 x 3 x 3 x 4
    x = keras.layers.SeparableConv2D(5, 3, strides=2, padding="same")(x)  # 4 x 4 places x (3 x 3 x 4 + 4 x 5)
    x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))  # 5 x 2
    expected = 64 * 108 + 16 * (36 + 20) + 10
    assert macs.multiply_accumulates(keras.Model(inputs, x)) == expected
