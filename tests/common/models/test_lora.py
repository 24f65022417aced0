"""Low-rank changes: nothing changes at first, only they train, and the saved model is an ordinary one."""

import math

import keras
import numpy as np
import pytest
import tiny_network

from common import errors
from common.models import cut, freezing, lora

RANK = 3


def weights_of(model):
    return {variable.path: keras.ops.convert_to_numpy(variable).copy() for variable in model.variables}


@pytest.fixture(scope="module")
def fitted():
    """A classifier whose third layer of attention was changed in a few steps; its network; its weights before."""
    network = tiny_network.attention()
    x = keras.layers.GlobalAveragePooling2D()(network.output)
    model = keras.Model(network.input, keras.layers.Dense(2, name="answer")(x))
    lora.train_only(network, 6, RANK)
    before = weights_of(model)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(tiny_network.random_clips(8, 32, 32), np.eye(2)[[0, 1] * 4], epochs=2, verbose=0)
    return model, network, before


def test_nothing_changes_at_first_and_the_number_of_weights_is_known():
    network, x = tiny_network.attention(), tiny_network.random_clips(2, 32, 32)
    before = network.predict(x, verbose=0)
    lora.train_only(network, 0, RANK)
    np.testing.assert_array_equal(network.predict(x, verbose=0), before)
    # Of each kernel: queries, keys and values (8, 2, 4), output (2, 4, 8); A has all axes but the last, B has the last.
    count = 3 * (3 * (8 * 2 * RANK + RANK * 4) + (2 * 4 * RANK + RANK * 8))
    assert freezing.count_parameters(network)[0] == count
    lora.train_only(network, 4, RANK)  # once more, and from the second layer of attention on
    assert freezing.count_parameters(network)[0] == count / 3 * 2
    freezing.freeze(network)
    assert not network.trainable_weights


class WindowAttention(keras.layers.Layer):
    """Only what counts here: two `Dense` layers inside a layer of another package whose name tells what it is."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = keras.layers.Dense(24), keras.layers.Dense(8)

    def call(self, x):
        return self.out(self.qkv(x))


def test_dense_projections_have_rank_times_in_and_out():
    tokens = keras.Input((16, 8))
    network = keras.Model(tokens, keras.layers.Dense(5)(WindowAttention()(tokens)))
    lora.train_only(network, 0, RANK)
    assert freezing.count_parameters(network)[0] == RANK * (8 + 24) + RANK * (24 + 8)


def test_only_the_changes_move_and_dropout_is_on(fitted):
    model, network, before = fitted
    after = weights_of(model)
    moved = {path for path, value in after.items() if not np.array_equal(value, before[path])}
    rest = {path for path in moved if "seed" not in path and "answer" not in path}
    assert rest and all(path.split("/")[-1] in lora.PAIR and "block3_mha" in path for path in rest)
    assert len(rest) == 2 * 4
    rates = [part.rate for part in freezing.inside(network.layers[7]) if isinstance(part, keras.layers.Dropout)]
    assert rates == [0.2]
    assert "LoRA" in freezing.trainable_table(model)


def test_the_frozen_part_ends_before_the_first_change():
    network = tiny_network.attention()
    model = tiny_network.with_head(network)
    for first, tensor in ((0, "tokens"), (4, "block1_add"), (6, "block2_add")):
        lora.train_only(network, first, RANK)
        assert cut.cut(model).tensors == [network.get_layer(tensor).output]


def test_the_saved_model_is_an_ordinary_one_with_the_same_answers(fitted, tmp_path):
    model, _, _ = fitted
    x = tiny_network.random_clips(4, 32, 32)
    answers = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), answers, atol=1e-5)
    plain = keras.Model(model.input, model.output).count_params() - freezing.count_parameters(model)[0] + 8 * 2 + 2
    assert loaded.count_params() == plain == sum(math.prod(weight.shape) for weight in loaded.weights)
    assert not any("lora" in weight.name for weight in loaded.weights)
    freezing.unfreeze(loaded, 0)
    assert len(loaded.trainable_weights) == len(loaded.weights)


def test_a_network_without_attention_is_refused():
    network = tiny_network.base()
    with pytest.raises(errors.UserError, match="--lora-rank changes attention layers, and MobileNetV2 has none; "):
        lora.first_attention(network, "MobileNetV2")
    small = tiny_network.attention()
    assert (lora.first_attention(small, "small"), lora.first_attention(small, "small", 4)) == (3, 5)
    with pytest.raises(errors.UserError, match="small has none from block3_add on"):
        lora.first_attention(small, "small", 8)
