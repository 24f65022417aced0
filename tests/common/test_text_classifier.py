import zipfile

import numpy as np
import pytest

from common import config, device, errors, text, text_classifier, text_model
from tests import tiny_language_model

import keras  # isort: skip

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

WINDOW = 8
DOCUMENTS = [np.random.default_rng(n).integers(2, 1500, length).astype("int32") for n, length in enumerate((40, 23, 5))]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny GPT-2 with random weights, the demo's vocabulary, and room for windows of 64 tokens."""
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny", layers=3)


def rows(most=3):
    packed = text.pack_each(DOCUMENTS, most * WINDOW, end_token=1)
    return packed.token_ids, (packed.weights > 0).astype("int32")


@pytest.mark.parametrize("first", [None, 0, 2, 3])
def test_each_window_of_a_document_goes_through_by_itself(preset, first):
    """Also one of nothing but padding, as the short document has."""
    model = text_model.load(preset)
    ids, mask = rows()
    whole = text_model.joined(*text_model.halves(model, first))
    expected = np.concatenate(
        [whole([ids[:, start : start + WINDOW], mask[:, start : start + WINDOW]]) for start in (0, 8, 16)], axis=1
    )
    parts = [part and text_model.for_documents(part, WINDOW, 3 * WINDOW) for part in text_model.halves(model, first)]
    found = np.asarray(text_model.joined(*parts)([ids, mask]))
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


@pytest.mark.parametrize("first", [2, 3])
def test_behind_the_cache_the_answers_are_those_of_the_whole(preset, tmp_path, first):
    """And another window has features of its own, though the documents are as long."""
    packed = text.pack_each(DOCUMENTS, 16, end_token=1)
    windows = {"train": packed, "validation": packed}
    model, answers, keys = text_model.load(preset), [], []
    head = text_classifier.build_head(model.backbone.hidden_dim, 3)
    for window, no_cache in ((8, False), (8, True), (16, False)):
        settings = config.RunConfig(cache=tmp_path / "cache", batch_size=2, no_cache=no_cache)
        prefix, suffix = (text_model.for_documents(one, window, 16) for one in text_model.halves(model, first))
        network = text_model.with_class_head(model, suffix, head)
        part = text_model.FrozenWindows(model, prefix, network, windows, settings, dict.fromkeys(windows, np.arange(3)))
        answers.append(part.suffix.predict(part.batches("validation"), verbose=0))
        keys.append(part.store and part.store.directory)
    assert np.allclose(answers[0], answers[1], atol=1e-5) and not np.allclose(answers[0], answers[2], atol=1e-5)
    assert keys[1] is None and keys[0] != keys[2]


def test_what_is_saved_answers_as_what_was_trained(preset, tmp_path):
    """Of a network that was cut; that of a whole one is in the recipe's test."""
    for first in (0, 2):
        model, folder = text_model.load(preset), tmp_path / str(first)
        folder.mkdir()
        settings = config.dataclasses.make_dataclass("Sizes", ["window", "windows_per_document"])(WINDOW, 3)
        head = text_classifier.build_head(model.backbone.hidden_dim, 3)
        prefix, suffix = (
            part and text_model.for_documents(part, WINDOW, 3 * WINDOW) for part in text_model.halves(model, first)
        )
        whole = text_model.joined(prefix, text_model.with_class_head(model, suffix, head))
        text_classifier.save(folder, model, first, head, ["a", "b", "c"], settings)
        saved = keras.saving.load_model(folder / "classifier.keras", compile=False)
        assert np.allclose(saved.predict_on_batch([*rows()]), whole.predict_on_batch([*rows()]), atol=1e-5)


def test_a_gradient_that_overflows_float16_costs_a_step_and_not_the_network(preset):
    """The scale is far too high at first. Keras alone asks the last of a word's rows only, and all becomes NaN."""
    try:
        keras.config.set_dtype_policy("mixed_float16")
        model = text_model.load(preset)
        head = text_classifier.build_head(model.backbone.hidden_dim, 3)
        _, suffix = text_model.halves(model, None)
        network = text_model.with_class_head(model, text_model.for_documents(suffix, WINDOW, 3 * WINDOW), head)
        network.compile(
            device.LossScale(keras.optimizers.Adam(1e-3), initial_scale=2.0**24), "sparse_categorical_crossentropy"
        )
        history = network.fit([*rows()], np.arange(3), epochs=30, verbose=0).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.optimizer.dynamic_scale < 2.0**24 and history[-1] < history[0]
    assert all(np.isfinite(weight).all() for weight in network.get_weights())


def test_a_classifier_of_an_earlier_version_is_refused(tmp_path):
    ids, mask = (keras.Input((None,), dtype="int32") for _ in range(2))
    keras.Model([ids, mask], keras.ops.cast(ids + mask, "float32")).save(tmp_path / "classifier.keras")
    with zipfile.ZipFile(tmp_path / "classifier.keras", "a") as archive:
        archive.writestr("class_names.json", "[]")
    (tmp_path / "config.json").write_text('{"config": {"window": 64, "windows_per_document": 8}}')
    with pytest.raises(errors.UserError, match="train again"):
        text_classifier.Classifier.load(tmp_path)
