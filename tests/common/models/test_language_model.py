import socket
import sys

import keras
import numpy as np
import pytest
import tiny_language_model

from common import errors
from common.demo import drawn_texts
from common.models import language_model

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

IDS = np.random.default_rng(0).integers(2, 1500, (3, 12)).astype("int32")
MASK = np.ones_like(IDS)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny GPT-2 with random weights, the demo's vocabulary, and room for windows of 64 tokens."""
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny", layers=3)


def logits(model):
    return keras.ops.convert_to_numpy(model.task({"token_ids": IDS, "padding_mask": MASK}))


def tune_a_little(model, network):
    network.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit([IDS, MASK], np.roll(IDS, -1, axis=1), epochs=3, verbose=0)


def test_the_demo_is_a_preset_below_3_megabytes():
    model = language_model.load("demo")

    size = sum(path.stat().st_size for path in drawn_texts.PRESET.rglob("*") if path.is_file())
    assert size < 3e6 and model.context == 128 and len(model.blocks) == 4
    sample = "The Tenant shall pay £1,500 on 3 May — naïve; 東京."
    (tokens,) = model.encode([sample])
    assert model.decode(tokens) == sample
    assert 0 not in tokens and model.end_token not in tokens


@pytest.mark.parametrize("first", [0, 1, 3, None])
def test_both_halves_make_the_whole(preset, first):
    model = language_model.load(preset)
    prefix, suffix = language_model.halves(model, first)
    assert (prefix is None) == (first is None)
    whole = language_model.joined(prefix, tiny_language_model.with_logits(model, suffix))
    assert np.allclose(whole([IDS, MASK]), logits(model), atol=1e-5)


def test_token_losses_are_cross_entropies(preset):
    model = language_model.load(preset)
    network = tiny_language_model.with_logits(model, language_model.halves(model, None)[1])
    targets = np.roll(IDS, -1, axis=1)
    found = language_model.token_losses(network).predict([IDS, MASK, targets], verbose=0)
    expected = keras.losses.sparse_categorical_crossentropy(targets, network([IDS, MASK]), from_logits=True)
    assert np.allclose(found, expected, atol=1e-4)


def test_lora_changes_its_own_weights_alone_and_can_be_saved_and_merged(preset, tmp_path):
    model = language_model.load(preset)
    before = logits(model)
    language_model.enable_lora(model, 4)
    assert np.allclose(logits(model), before, atol=1e-6)
    network = tiny_language_model.with_logits(model, language_model.halves(model, None)[1])
    names = [variable.name for variable in network.trainable_variables]
    assert set(names) == {"lora_kernel_a", "lora_kernel_b"} and len(names) == 3 * 2 * 2
    weights = [keras.ops.convert_to_numpy(weight) for weight in network.weights]
    tune_a_little(model, network)
    for old, weight in zip(weights, network.weights, strict=True):
        changed = not np.array_equal(old, keras.ops.convert_to_numpy(weight))
        assert changed == weight.name.startswith("lora"), weight.path
    after = logits(model)
    assert np.abs(after - before).max() > 0.1

    model.backbone.save_lora_weights(str(tmp_path / "adapter.lora.h5"))
    alone = language_model.load(preset)
    alone.backbone.load_lora_weights(str(tmp_path / "adapter.lora.h5"))
    assert np.allclose(logits(alone), after, atol=1e-5)

    language_model.save(model, tmp_path / "merged")
    merged = language_model.load(str(tmp_path / "merged"))
    assert not [weight for weight in merged.backbone.weights if "lora" in weight.name]
    assert np.allclose(logits(merged), after, atol=1e-4)


def test_a_network_that_was_frozen_is_saved_to_be_trained(preset, tmp_path):
    model = language_model.load(preset)
    model.backbone.trainable = False
    language_model.save(model, tmp_path / "frozen")
    alone = language_model.keras_hub().models.CausalLM.from_preset(str(tmp_path / "frozen"))
    count = len(model.backbone.weights)
    assert len(alone.backbone.trainable_weights) == count and not model.backbone.trainable_weights
    model.task.save_to_preset(str(tmp_path / "as_it_is"))
    assert len(language_model.load(str(tmp_path / "as_it_is")).backbone.trainable_weights) == count


def test_dropout_is_that_which_was_asked_for(preset, tmp_path):
    plain, model = language_model.load(preset), language_model.load(preset, dropout=0.5)
    inputs = {"token_ids": IDS, "padding_mask": MASK}
    assert np.array_equal(logits(plain), logits(model))
    assert not np.allclose(model.task(inputs, training=True), model.task(inputs, training=True))
    language_model.save(model, tmp_path / "half")
    model = language_model.load(str(tmp_path / "half"))
    assert np.array_equal(model.task(inputs, training=True), logits(plain))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_network_in_mixed_precision_is_saved_and_loaded(preset, tmp_path, policy):
    expected = logits(language_model.load(preset))
    try:
        keras.config.set_dtype_policy(policy)
        model = language_model.load(preset)
        assert model.blocks[0].compute_dtype == policy.removeprefix("mixed_")
        language_model.save(model, tmp_path / "mixed")
        again = language_model.load(str(tmp_path / "mixed"))
        assert again.blocks[0].compute_dtype == policy.removeprefix("mixed_")
    finally:
        keras.config.set_dtype_policy("float32")
    plain = language_model.load(str(tmp_path / "mixed"))
    assert plain.blocks[0].compute_dtype == "float32" and np.array_equal(logits(plain), expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [("gpt2_bose_en", "cannot be loaded"), ("no/such/folder", "no such folder"),
     ("hf://no-such-user/no-such-model", "hf://no-such-user/no-such-model")],
)  # fmt: skip
def test_a_preset_that_cannot_be_had_is_one_line(name, message, monkeypatch):
    def unreachable(*arguments):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(errors.UserError, match=message) as caught:
        language_model.load(name)
    assert "\n" not in str(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(errors.UserError, match=r"pip install 'keras-recipes\[text\]'"):
        language_model.load("demo")


def test_what_each_strategy_trains():
    counts = {}
    for strategy in ("head", "last_blocks", "lora", "full", "scratch"):
        model = language_model.load("demo", weights=strategy != "scratch")
        _, suffix = language_model.halves(model, language_model.freeze(model, strategy, blocks=2, lora_rank=8))
        network = tiny_language_model.with_logits(model, suffix)
        counts[strategy] = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    total, block = model.backbone.count_params(), model.blocks[0].count_params()
    assert counts["head"] == 2 * 128 and counts["last_blocks"] == 2 * block + 2 * 128
    assert counts["full"] == counts["scratch"] == total
    # Queries and values of four blocks; Keras splits a kernel of (128, 4, 32) into (128, 4, 8) and (8, 32).
    assert counts["lora"] == 4 * 2 * (128 * 4 * 8 + 8 * 32)


def test_the_whole_network_has_its_own_output_layer(preset):
    model = language_model.load(preset)
    whole = language_model.whole(model)
    assert np.allclose(whole([IDS, MASK]), logits(model), atol=1e-6) and whole.output.dtype == "float32"
