import keras
import numpy as np
import pytest
import tiny_hub

from common import errors
from common.models import backbones, blocks, cut, freezing, hub_backbones

QUICK = ("ResNet", "ViT")  # one of Keras's own layers, one of KerasHub's; the others are long
ALL = [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in tiny_hub.FAMILIES]


def photos(count=2):
    return np.random.default_rng(0).uniform(-1, 1, (count, tiny_hub.SIZE, tiny_hub.SIZE, 3)).astype("float32")


def tower_of(family):
    tower = hub_backbones._tower(tiny_hub.backbone(family), family)
    return tower if tower.inputs[0].shape[1] else hub_backbones._resized(tower, tiny_hub.SIZE, family, True)


def own_output(tower, x):
    """What KerasHub's network itself returns: a feature map, or tokens (those before SigLIP's pooling)."""
    output = tower.predict(dict.fromkeys(tower.input, x) if isinstance(tower.input, dict) else x, verbose=0)
    output = output.get("sequence_output", list(output.values())[-1]) if isinstance(output, dict) else output
    return output if output.ndim > 2 else np.array(keras.Model(tower.inputs[0], tower.post_layer_norm.output)(x))


@pytest.mark.parametrize("family", ALL)
def test_every_family_keeps_its_features_and_is_cut_trained_and_saved(family, tmp_path):
    tower, x, answers = tower_of(family), photos(), np.eye(2)
    expected = own_output(tower, x)
    network, whole = hub_backbones.as_feature_map(tower)
    maps = network.predict(x, verbose=0)
    side, width = maps.shape[1], expected.shape[-1]
    if expected.ndim == 3:
        np.testing.assert_allclose(maps[..., :width].reshape(2, -1, width), expected[:, -side * side :], atol=1e-5)
        for place in ((0, 0), (-1, -1)) if maps.shape[-1] > width else ():
            np.testing.assert_allclose(maps[:, *place, width:], expected[:, 0], atol=1e-5)
    else:
        np.testing.assert_allclose(maps, expected, atol=1e-5)

    # Frozen up to its last block, the cached part and the rest have the loss of the whole.
    ((name, first),) = blocks.last_blocks(network, 1)
    assert 0 < first < len(network.layers), name
    pooled = keras.layers.GlobalAveragePooling2D()(network.output)
    model = keras.Model(network.input, keras.layers.Dense(2, activation="softmax")(pooled))
    freezing.freeze(network)
    (features,) = cut.cut(model).tensors
    assert features.shape[1:] == maps.shape[-1:]  # pooled, so behind all layers
    freezing.unfreeze(network, first)
    assert not any(layer.trainable_weights for layer in network.layers[:first]) and network.trainable_weights
    for layer in network.layers[first:]:  # no dropout, so that the losses are the same
        freezing.without_randomness(layer)
    parts = cut.cut(model)
    assert parts.prefix and all(tensor.shape[1:] for tensor in parts.tensors)
    for each in (model, parts.suffix):
        each.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    loss = model.train_on_batch(x, answers)
    assert loss == pytest.approx(parts.suffix.train_on_batch(parts.prefix.predict(x, verbose=0), answers), abs=1e-5)

    saved = backbones.Backbone(family, "own", network, lambda x: x, side, None, whole).savable(model)
    saved.save(tmp_path / "saved.keras")
    loaded = keras.saving.load_model(tmp_path / "saved.keras", compile=False)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_a_preset_brings_its_preprocessing_size_and_weights(tmp_path):
    scaling = {"scale": [0.01, 0.02, 0.03], "offset": [-1.0, 0.0, 1.0], "interpolation": "bicubic"}
    name = tiny_hub.preset("ViT", tmp_path / "vit", **scaling)
    backbone = backbones.load(name, "own")
    pixels = np.random.default_rng(0).uniform(0, 255, (1, tiny_hub.SIZE, tiny_hub.SIZE, 3)).astype("float32")
    np.testing.assert_allclose(backbone.preprocess(pixels), pixels * [0.01, 0.02, 0.03] + [-1, 0, 1], atol=1e-5)
    assert backbone.image_size == tiny_hub.SIZE and backbone.resize.interpolation == "bicubic"
    tower = tiny_hub.backbone("ViT")
    maps = backbone.model.predict(photos(), verbose=0)
    np.testing.assert_allclose(maps[..., 16:][:, 0, 0], tower.predict(photos(), verbose=0)[:, 0], atol=1e-5)
    assert not np.allclose(backbones.load(name, "none").model.predict(photos(), verbose=0), maps, atol=1e-3)
    with pytest.raises(errors.UserError, match="trained at 64 pixels and does not take 96.*remove --image-size"):
        backbones.load(name, "own", 96)
    with pytest.raises(errors.UserError, match="--last-layer cannot cut"):
        backbones.load(name, "own", last_layer="transformer_block_2")


def test_a_convolutional_preset_takes_any_size_and_is_cut(tmp_path):
    name = tiny_hub.preset("ResNet", tmp_path / "resnet")
    backbone = backbones.load(name, "own", 96, last_layer="stack0_block0_out")
    assert backbone.image_size == 96 and backbone.model.output_shape == (None, 24, 24, 64) and backbone.whole is None
    assert list(blocks.blocks(backbones.load(name, "own").model)) == ["stack0_block0", "stack1_block0", "stack1_block1"]


def test_a_preset_that_cannot_be_used_is_one_line(tmp_path):
    tiny_hub.backbone("ResNet").save_to_preset(str(tmp_path / "bare"))
    for name, message in (
        (f"hub:{tmp_path / 'bare'}", "has no image converter"),
        (f"hub:{tmp_path / 'nowhere'}", "no such preset folder"),
        ("hub:", "needs a preset"),
        ("hub:vit_base_patch16_224_imagenett", "did you mean vit_base_patch16_224_imagenet?"),
    ):
        with pytest.raises(errors.UserError, match=message) as caught:
            backbones.load(name, "own")
        assert "\n" not in str(caught.value)
    with pytest.raises(errors.UserError, match="is a GPT2Backbone, which has no network for photos"):
        hub_backbones._tower(tiny_hub.presets.keras_hub("").models.GPT2Backbone(50, 1, 1, 8, 16), "hub:x")
