import keras
import pytest

from common import errors
from common.models import backbones, blocks

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("name", "size", "last", "first_layer"),
    [
        ("VGG16", 32, "block5", "block5_conv1"),
        ("ResNet50", 32, "conv5_block3", "conv5_block3_1_conv"),
        ("MobileNetV2:0.35", 32, "block_16", "block_16_expand"),
        ("EfficientNetB0", 32, "block7a", "block7a_expand_conv"),
        ("DenseNet121", 32, "conv5_block16", "conv5_block16_0_bn"),
        ("MobileNet:0.25", 32, "conv_pw_13", "conv_pw_13"),
        ("MobileNetV3Small", 32, "expanded_conv_10", "expanded_conv_10_expand"),
        ("ConvNeXtTiny", 32, "stage_3_block_2", "convnext_tiny_stage_3_block_2_depthwise_conv"),
    ],
)
def test_blocks_are_found_by_name(name, size, last, first_layer):
    model = backbones.load(name, "none", size).model
    found = blocks.blocks(model)
    assert list(found)[-1] == last and model.layers[found[last]].name == first_layer
    assert blocks.layer_number(model, last) == blocks.layer_number(model, first_layer)
    assert list(found.values()) == sorted(found.values())


def test_blocks_that_are_named_by_their_last_layer():
    model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    found = blocks.blocks(model)
    assert list(found) == [f"mixed{number}" for number in range(11)]
    assert model.layers[found["mixed10"] - 1].name == "mixed9"
    assert blocks.last_blocks(model, 2) == [("mixed10", found["mixed10"]), ("mixed9", found["mixed9"])]


def test_a_layer_is_found_by_number_name_or_block_and_else_suggested():
    base = keras.applications.VGG16(include_top=False, weights=None)
    assert [blocks.layer_number(base, where) for where in ("15", "block5_conv1", "block5")] == [15, 15, 15]
    with pytest.raises(errors.UserError, match="did you mean block5_conv1?"):
        blocks.layer_number(base, "block5_convl")
    assert blocks.layer_table(base).splitlines()[16].split()[:3] == ["15", "block5_conv1", "block5"]
