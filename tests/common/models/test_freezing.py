import keras
import numpy as np
import pytest
import tiny_network

from common.models import freezing

pytestmark = pytest.mark.quick


def train_a_step(model):
    random = np.random.default_rng(0)
    model.compile("sgd", "categorical_crossentropy")
    model.fit(random.normal(size=(8, 8, 8, 3)), np.eye(2)[random.integers(0, 2, 8)], verbose=0)


def test_a_frozen_base_does_not_move_not_even_its_batch_norm():
    base = tiny_network.base()
    freezing.freeze(base)
    model = tiny_network.with_head(base)
    before = [weight.numpy() for weight in base.weights]
    head = model.get_layer("head").kernel.numpy()
    train_a_step(model)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, base.weights, strict=True))
    assert not np.array_equal(head, model.get_layer("head").kernel.numpy())


def test_dropout_in_a_frozen_base_is_off_while_training():
    base = tiny_network.base()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    assert not np.allclose(base(x, training=True), base(x, training=False))
    freezing.freeze(base)
    assert np.array_equal(base(x, training=True), base(x, training=False))


def test_frozen_stochastic_depth_of_efficientnet_is_off_while_training():
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    freezing.freeze(base)
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    assert np.allclose(base(x, training=True), base(x, training=False))


@pytest.mark.parametrize(
    "layer", [keras.layers.GaussianNoise(1.0), keras.layers.SpatialDropout2D(0.5), keras.layers.GaussianDropout(0.5)]
)
def test_frozen_noise_is_off_while_training_and_comes_back(layer):
    inputs = keras.Input((8, 8, 3))
    base = keras.Model(inputs, layer(inputs))
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    freezing.freeze(base)
    assert np.array_equal(base(x, training=True), x)
    freezing.unfreeze(base, 0)
    assert not np.allclose(base(x, training=True), x)


def test_table_and_counts():
    base = tiny_network.base()
    freezing.freeze(base)
    model = tiny_network.with_head(base)
    assert freezing.count_parameters(model) == (10, 112 + 16)
    lines = freezing.trainable_table(model).splitlines()
    assert [line.split()[-1] for line in lines] == ["trains", "no", "yes", "10"]
    assert lines[1].startswith("conv … norm (2 layers)") and "6 x 6 x 4" in lines[1]


def test_only_what_trains_is_moving():
    base = tiny_network.base()
    model = tiny_network.with_head(base)
    everything = freezing.moving_variables(model)
    assert len(everything) == 2 + 4 + 1 + 2  # conv, norm with its statistics, dropout's random state, head
    freezing.freeze(base)
    moving = freezing.moving_variables(model)
    assert {v.path.split("/")[0] for v in moving if "seed_generator" not in v.path} == {"head"}
    assert len(moving) == 2 + 1  # the head, and the random state that dropout keeps while it is frozen


def test_unfreezing_leaves_batch_norm_frozen_unless_it_is_to_adapt():
    base = tiny_network.base()
    freezing.unfreeze(base, 1)
    assert [layer.trainable for layer in base.layers[1:]] == [True, False, True]
    assert base.get_layer("drop").rate == 0.5
    freezing.unfreeze(base, 1, "adapt")
    assert base.get_layer("norm").trainable
    freezing.unfreeze(base, 2)
    assert not base.get_layer("conv").trainable


def test_dropout_comes_back_with_its_own_rate():
    base = tiny_network.base()
    freezing.freeze(base)
    freezing.freeze(base)
    assert base.get_layer("drop").rate == 0.0
    freezing.unfreeze(base, 1)
    assert base.get_layer("drop").rate == 0.5
