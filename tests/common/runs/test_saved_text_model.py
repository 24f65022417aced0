import dataclasses
import zipfile

import keras
import numpy as np
import pytest
import tiny_encoder
import tiny_language_model

from common import errors
from common.data import targets
from common.models import language_model, text_classifier
from common.runs import saved_model, saved_text_model

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

WINDOW = tiny_language_model.WINDOW


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny GPT-2 with random weights, the demo's vocabulary, and room for windows of 64 tokens."""
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny", layers=3)


def test_what_is_saved_answers_as_what_was_trained(preset, tmp_path):
    """Of a network that was cut; that of a whole one is in the recipe's test."""
    for first in (0, 2):
        model, folder = language_model.load(preset), tmp_path / str(first)
        folder.mkdir()
        settings = dataclasses.make_dataclass("Sizes", ["sequence_length", "windows_per_document"])(WINDOW, 3)
        head = text_classifier.build_head(model.backbone.hidden_dim, 3)
        prefix, suffix = (
            part and language_model.for_documents(part, WINDOW, 3 * WINDOW)
            for part in language_model.halves(model, first)
        )
        whole = language_model.joined(prefix, language_model.with_class_head(model, suffix, head))
        saved_text_model.save(folder, model, first, head, targets.Classes(("a", "b", "c")), settings)
        saved = keras.saving.load_model(folder / "classifier.keras", compile=False)
        rows = [*tiny_language_model.rows()]
        assert np.allclose(saved.predict_on_batch(rows), whole.predict_on_batch(rows), atol=1e-5)


def test_a_classifier_of_an_earlier_version_is_refused(tmp_path):
    ids, mask = (keras.Input((None,), dtype="int32") for _ in range(2))
    keras.Model([ids, mask], keras.ops.cast(ids + mask, "float32")).save(tmp_path / "classifier.keras")
    with zipfile.ZipFile(tmp_path / "classifier.keras", "a") as archive:
        archive.writestr("class_names.json", "[]")
    (tmp_path / "config.json").write_text('{"config": {"sequence_length": 64, "windows_per_document": 8}}')
    with pytest.raises(errors.UserError, match="train again"):
        saved_text_model.Classifier.load(tmp_path)


def test_a_run_on_texts_names_the_commands_that_take_it(tmp_path):
    (tmp_path / "preset").mkdir()
    with pytest.raises(errors.UserError, match="use it with the commands generate and report$"):
        saved_model.load_model(tmp_path)
    (tmp_path / "classifier.keras").touch()
    with pytest.raises(errors.UserError, match="use it with the commands predict, serve, export and report$"):
        saved_model.load_model(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(errors.UserError, match="is not finished"):
        saved_model.load_model(tmp_path)


@pytest.mark.parametrize("family", ["Roberta", "DistilBert"])
def test_an_encoder_that_is_saved_answers_as_what_was_trained(family, tmp_path):
    """BERT's is in the recipe's test."""
    model = tiny_encoder.model(family)
    settings = dataclasses.make_dataclass("Sizes", ["sequence_length", "windows_per_document"])(WINDOW, 3)
    head = text_classifier.build_mean_head(model.backbone.hidden_dim, 3)
    suffix = language_model.for_documents(language_model.halves(model, None)[1], WINDOW, 3 * WINDOW)
    whole = language_model.with_class_head(model, suffix, head)
    saved_text_model.save(tmp_path, model, None, head, targets.Classes(("a", "b", "c")), settings)
    saved = keras.saving.load_model(tmp_path / "classifier.keras", compile=False)
    packed = model.rows(tiny_encoder.DOCUMENTS, WINDOW, 3)
    rows = [packed.token_ids, (packed.weights > 0).astype("int32")]
    assert np.allclose(saved.predict_on_batch(rows), whole.predict_on_batch(rows), atol=1e-5)
