import keras
import numpy as np
import pytest
import tiny_language_model

from common.models import language_model, text_classifier
from common.training import loss_scale

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

WINDOW = tiny_language_model.WINDOW


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny GPT-2 with random weights, the demo's vocabulary, and room for windows of 64 tokens."""
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny", layers=3)


@pytest.mark.parametrize("first", [None, 0, 2, 3])
def test_each_window_of_a_document_goes_through_by_itself(preset, first):
    """Also one of nothing but padding, as the short document has."""
    model = language_model.load(preset)
    ids, mask = tiny_language_model.rows()
    whole = language_model.joined(*language_model.halves(model, first))
    expected = np.concatenate(
        [whole([ids[:, start : start + WINDOW], mask[:, start : start + WINDOW]]) for start in (0, 8, 16)], axis=1
    )
    parts = [
        part and language_model.for_documents(part, WINDOW, 3 * WINDOW) for part in language_model.halves(model, first)
    ]
    found = np.asarray(language_model.joined(*parts)([ids, mask]))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_the_head_sees_the_mean_and_the_maximum_wherever_they_stand_and_no_padding(which):
    head = text_classifier.build_head(4, 2)
    inputs = np.random.default_rng(0).normal(size=(2, 1, 6, 4)).astype("float32")
    mask = np.array([[1, 1, 1, 1, 0, 0]], "int32")
    inputs[which, 0, :4, 0] = [0, 1, 2, 3]

    def answer(*first):
        """With other values of the first feature."""
        changed = inputs.copy()
        changed[which, 0, :, 0] = first
        return np.asarray(head([*changed, mask]))

    expected = answer(0, 1, 2, 3, 0, 0)
    assert expected.sum() == pytest.approx(1)
    assert np.array_equal(answer(0, 1, 2, 3, 1e3, -1e3), expected)
    assert np.allclose(answer(3, 0, 1, 2, 0, 0), expected, atol=1e-6)
    assert not np.allclose(answer(0, 0, 0, 6, 0, 0), expected, atol=1e-3), "the same mean, another maximum"
    assert not np.allclose(answer(0, 0, 0, 3, 0, 0), expected, atol=1e-3), "the same maximum, another mean"


def test_a_gradient_that_overflows_float16_costs_a_step_and_not_the_network(preset):
    """The scale is far too high at first. Keras alone asks the last of a word's rows only, and all becomes NaN."""
    try:
        keras.config.set_dtype_policy("mixed_float16")
        model = language_model.load(preset)
        head = text_classifier.build_head(model.backbone.hidden_dim, 3)
        _, suffix = language_model.halves(model, None)
        network = language_model.with_class_head(model, language_model.for_documents(suffix, WINDOW, 3 * WINDOW), head)
        network.compile(
            loss_scale.LossScale(keras.optimizers.Adam(1e-3), initial_scale=2.0**24), "sparse_categorical_crossentropy"
        )
        history = network.fit([*tiny_language_model.rows()], np.arange(3), epochs=30, verbose=0).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.optimizer.dynamic_scale < 2.0**24 and history[-1] < history[0]
    assert all(np.isfinite(weight).all() for weight in network.get_weights())
