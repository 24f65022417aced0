import keras
import pytest
import tiny_network

from common.models import backbones, cut, freezing


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
