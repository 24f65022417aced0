"""What `--backbones` lists: networks, and networks with settings of their own."""

import types

import pytest

from common import errors
from common.compare import networks

pytestmark = pytest.mark.quick

TEXTS = ("VGG16", "MobileNetV2:0.35", "deep=VGG16 --weights 'my file.h5' --last-layer block4_pool --image-size 96")


def test_each_is_read_and_written_alike():
    found = networks.named(TEXTS)
    assert list(found) == ["VGG16", "MobileNetV2:0.35", "deep"]
    assert found["deep"].own == networks.Own("my file.h5", "block4_pool", 96)
    again = networks.named([str(network) for network in found.values()])
    assert again == found


def test_own_settings_come_before_those_of_all():
    config = types.SimpleNamespace(weights=None, last_layer=None, image_size=64, preprocess="tf")
    plain, _, deep = networks.named(TEXTS).values()
    shared = {"backbone": "VGG16", "preprocess": None}  # it has its own preprocessing
    assert plain.settings(config) == shared | {"weights": "imagenet", "last_layer": None, "image_size": 64}
    own = {"weights": "my file.h5", "last_layer": "block4_pool", "image_size": 96}
    assert deep.settings(config) == shared | own


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("VGG16", "VGG16"), "must contain each network only once; VGG16 is listed twice"),
        (("a=VGG16", "a=MobileNet"), "a is listed twice"),
        (("a=VGG16 --image-size 0",), "--image-size must be above 0"),
        (("a=VGG16 --last-laye x",), "did you mean --last-layer?"),
        (("a=VGG16 --preprocess x",), "--preprocess"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(errors.UserError, match=message):
        networks.named(given)
