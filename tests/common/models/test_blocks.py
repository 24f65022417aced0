import keras
import numpy as np
import pytest
import tiny_network

from common import errors
from common.models import backbones, blocks, cut, frames, freezing

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


def test_both_halves_together_are_the_network():
    keras.utils.set_random_seed(0)
    network = backbones.load("MobileNetV2:0.35", "none", 64).model
    before, after = blocks.halves(network, blocks.layer_number(network, "block_16"))
    x = tiny_network.random_clips(2, 64, 64) / 255
    np.testing.assert_allclose(after.predict(before.predict(x, verbose=0), verbose=0), network.predict(x, verbose=0),
                               rtol=1e-4, atol=1e-5)  # fmt: skip
    assert not set(map(id, before.layers[1:])) & set(map(id, after.layers))


def test_halves_that_several_tensors_lead_between():
    network = backbones.load("ResNet50", "none", 64).model
    before, after = blocks.halves(network, blocks.layer_number(network, "conv5_block2_2_conv"))
    assert len(before.outputs) == len(after.inputs) == 2  # the branch, and the shortcut around it
    inputs = keras.Input((2, 64, 64, 3))
    (maps,) = frames.on_each_frame(after, frames.on_each_frame(before, [inputs]))
    x = tiny_network.random_clips(1, 2, 64, 64) / 255
    np.testing.assert_allclose(
        keras.Model(inputs, maps).predict(x, verbose=0)[0], network.predict(x[0], verbose=0), rtol=1e-4, atol=1e-5
    )


def test_a_cut_between_the_halves_trains_as_the_whole_model_does():
    x, y = tiny_network.random_clips(4, 2, 32, 32) / 255, np.eye(3)[[0, 1, 2, 0]]
    losses = []
    for cached in (False, True):
        network = tiny_network.demo().model
        first = blocks.layer_number(network, "block5")
        inputs = keras.Input((2, 32, 32, 3))
        before, after = blocks.halves(network, first)
        at = frames.on_each_frame(before, [inputs])
        (maps,) = frames.on_each_frame(after, at)
        pooled = keras.layers.GlobalAveragePooling3D()(maps)
        model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled))
        freezing.unfreeze(network, first)
        parts = cut.cut(model, at)
        trained, given = (parts.suffix, parts.prefix.predict(x, verbose=0)) if cached else (model, x)
        trained.compile(keras.optimizers.SGD(1e-2), "categorical_crossentropy")
        losses.append([trained.train_on_batch(given, y) for _ in range(4)])
        assert all(not layer.trainable for layer in network.layers[:first])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("VGG16", ["block5_pool", "block4_pool", "block3_pool"]),
        ("MobileNetV2:0.35", ["out_relu", "block_12_add", "block_5_add"]),
        ("MobileNet:0.25", ["conv_pw_13_relu", "conv_pw_11_relu", "conv_pw_5_relu"]),
        ("ResNet50", ["conv5_block3_out", "conv4_block6_out", "conv3_block4_out"]),
    ],
)
def test_a_network_is_cut_at_its_end_and_where_its_maps_become_smaller(name, layers):
    network = backbones.load(name, "none", 64).model
    assert blocks.ends(network, 3) == layers
    assert blocks.ends(network, 1) == layers[:1]


def test_without_named_blocks_the_only_cut_is_the_end():
    inputs = keras.Input((32, 32, 3))
    network = keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=2, name="only")(inputs))
    assert blocks.ends(network, 3) == ["only"]
