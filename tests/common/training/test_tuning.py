import keras
import numpy as np
import pytest
import tiny_language_model

from common import errors
from common.models import language_model
from common.training import tuning

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny GPT-2 with random weights, the demo's vocabulary, and room for windows of 64 tokens."""
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny")


def test_what_decays_and_what_the_rate_does():
    model = language_model.load("demo")
    network = language_model.whole(model)
    adam = tuning.optimizer(network, "full", 128, 200, tuning.TextConfig())
    adam.build(network.trainable_variables)
    decays = {variable.path for variable in network.trainable_variables if adam._use_weight_decay(variable)}
    assert decays and all(path.rpartition("/")[2] in ("kernel", "embeddings") for path in decays)
    rates = [float(adam._learning_rate(step)) for step in (0, 10, 20, 110, 200)]
    assert rates[0] < rates[1] < rates[2] == pytest.approx(2e-4 * 6 * tuning.DEMO_RATE, rel=1e-3)
    assert rates[3] == pytest.approx(rates[2] / 2, rel=1e-3) and rates[4] == pytest.approx(0, abs=1e-9)


def test_accumulating_two_batches_is_one_of_twice_the_size(preset):
    """Windows without padding: a mean of means is the mean; the rate of a step is read half a step later."""
    losses = []
    for accumulate in (1, 2):
        model = language_model.load(preset)
        network = language_model.whole(model)
        setting = tuning.TextConfig(gradient_accumulation_steps=accumulate, warmup_ratio=0.0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(tuning.optimizer(network, "full", 128, 400, setting), loss)
        ids = np.random.default_rng(0).integers(2, 1500, (16, 9)).astype("int32")
        network.fit(
            [ids[:, :-1], np.ones_like(ids[:, 1:])], ids[:, 1:], batch_size=4 // accumulate, shuffle=False, verbose=0
        )
        losses.append(network.evaluate([ids[:, :-1], np.ones_like(ids[:, 1:])], ids[:, 1:], verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_the_window_is_what_the_network_sees_or_less(preset):
    for window, expected in ((None, 64), (32, 32)):
        model, found = tuning.open_preset(tuning.TextConfig(backbone=preset, sequence_length=window))
        assert (model.preset, found) == (preset, expected)
    with pytest.raises(errors.UserError, match="^--sequence-length 65: this network sees at most 64 tokens$"):
        tuning.open_preset(tuning.TextConfig(backbone=preset, sequence_length=65))


def test_a_comparison_takes_no_strategy():
    with pytest.raises(errors.UserError, match="^--compare uses all strategies"):
        tuning.TextConfig(compare=True, strategy="full")
