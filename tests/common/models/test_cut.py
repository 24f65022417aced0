import keras
import numpy as np
import pytest
import tiny_network

from common.models import backbones, blocks, cut, frames, freezing


def test_nothing_frozen_means_no_prefix_and_nothing_trained_is_an_error():
    model = tiny_network.with_head(backbones.load("demo", "none", 32).model)
    assert cut.cut(model).prefix is None and cut.cut(model).suffix is model
    model.trainable = False
    with pytest.raises(ValueError, match="nothing trains"):
        cut.cut(model)


def test_a_random_layer_is_not_cached_unless_it_is_frozen():
    inputs = keras.Input((8,))
    frozen = keras.layers.Dense(4, name="first")
    x = keras.layers.Dropout(0.5, name="drop")(frozen(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    frozen.trainable = False
    assert [layer.name for layer in cut.cut(model).prefix.layers][-1] == "first"
    freezing.freeze(keras.Model(inputs, x))
    assert [layer.name for layer in cut.cut(model).prefix.layers][-1] == "drop"


def test_a_dropout_of_nothing_at_the_end_is_left_to_the_suffix():
    """So heads with and without dropout share what is cached."""
    inputs = keras.Input((8,))
    frozen = keras.layers.Dense(4, name="first")
    x = frozen(inputs)
    models = [keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(rate)(x))) for rate in (0.0, 0.3)]
    frozen.trainable = False
    for model in models:
        part = cut.cut(model)
        assert [layer.name for layer in part.prefix.layers][-1] == "first"
        assert any(isinstance(layer, keras.layers.Dropout) for layer in part.suffix.layers)


def test_a_random_layer_without_a_rate_is_never_cached():
    inputs = keras.Input((8, 8, 3))
    frozen = keras.layers.Conv2D(2, 3, name="first")
    x = keras.layers.RandomFlip(name="flip")(frozen(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    freezing.freeze(keras.Model(inputs, x))
    assert [layer.name for layer in cut.cut(model).prefix.layers][-1] == "first"


def test_what_cannot_be_cut_is_refused():
    inputs = keras.Input((8,))
    shared = keras.layers.Dense(8, name="shared")
    with pytest.raises(ValueError, match="shared is applied more than once"):
        cut.cut(keras.Model(inputs, shared(shared(inputs))))
    base = keras.Sequential([inputs, keras.layers.Dense(8), keras.layers.Dense(8)], name="base")
    outer = keras.Input((8,))
    model = keras.Model(outer, keras.layers.Dense(2)(base(outer)))
    base.layers[0].trainable = False
    with pytest.raises(ValueError, match="build on base.output"):
        cut.cut(model)
    base.layers[1].trainable = False
    assert [layer.name for layer in cut.cut(model).prefix.layers][-1] == "base"


# Two halves of a network ---------------------------------------------------------------------------------------


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
