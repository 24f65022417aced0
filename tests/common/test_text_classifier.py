import numpy as np
import pytest

from common import config, text, text_classifier, text_model
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


def test_the_head_sees_every_word_and_no_padding():
    """One token among many, with its own direction: wherever it stands, and whatever lies behind the mask."""
    head = text_classifier.build_head(4, 2)
    words, hidden = np.random.default_rng(0).normal(size=(2, 1, 6, 4)).astype("float32")
    mask = np.array([[1, 1, 1, 1, 0, 0]], "int32")
    answer = np.asarray(head([words, hidden, mask]))
    assert answer.sum() == pytest.approx(1)

    def changed(place, value):
        other = words.copy()
        other[0, place] = value
        return np.asarray(head([other, hidden, mask]))

    assert np.array_equal(changed(5, 1e3), answer) and not np.allclose(changed(3, [9, 0, 0, 0]), answer)
    moved = words.copy()
    moved[0, [1, 3]] = moved[0, [3, 1]]
    assert np.allclose(head([moved, hidden, mask]), answer, atol=1e-6)


@pytest.mark.parametrize("first", [2, 3])
def test_behind_the_cache_the_answers_are_those_of_the_whole(preset, tmp_path, first):
    """And another window has features of its own, though the documents are as long."""
    packed = text.pack_each(DOCUMENTS, 16, end_token=1)
    windows, about = {"train": packed, "validation": packed}, (np.arange(3), np.ones(3, "float32"))
    model, answers, keys = text_model.load(preset), [], []
    head = text_classifier.build_head(model.backbone.hidden_dim, 3)
    for window, no_cache in ((8, False), (8, True), (16, False)):
        settings = config.RunConfig(cache=tmp_path / "cache", batch_size=2, no_cache=no_cache)
        prefix, suffix = (text_model.for_documents(one, window, 16) for one in text_model.halves(model, first))
        network = text_model.with_class_head(model, suffix, head)
        part = text_model.FrozenWindows(model, prefix, network, windows, settings, dict.fromkeys(windows, about))
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
