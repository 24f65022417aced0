import os
import pathlib

import keras
import numpy as np
import pytest
import tiny_encoder

from common import errors
from common.media import windows
from common.models import encoder, language_model

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")

WINDOW = tiny_encoder.WINDOW
SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


@pytest.fixture(scope="module")
def model():
    return tiny_encoder.model("Bert")


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_encoder.write(tmp_path_factory.mktemp("preset") / "tiny")


def rows():
    packed = windows.pack_framed(tiny_encoder.DOCUMENTS, WINDOW, 3, start_token=2, end_token=3, pad_token=0)
    return packed.token_ids, (packed.weights > 0).astype("int32")


def own_output(network, ids, mask):
    """KerasHub's own answer, with segments of 0."""
    given = {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}
    output = network({name: given[name] for name in network.input})
    return np.asarray(output["sequence_output"] if isinstance(output, dict) else output)


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
def test_the_parts_make_the_whole_window_by_window(family):
    """Also where a window has nothing but padding."""
    model = tiny_encoder.model(family)
    ids, mask = rows()
    starts = range(0, 3 * WINDOW, WINDOW)
    expected = np.concatenate(
        [own_output(model.backbone, *(x[:, n : n + WINDOW] for x in (ids, mask))) for n in starts], 1
    )
    assert np.isfinite(expected).all() and expected.std() > 0.1
    for first in (None, 1, 2):
        parts = [
            part and language_model.for_documents(part, WINDOW, 3 * WINDOW)
            for part in language_model.halves(model, first)
        ]
        assert np.allclose(np.asarray(language_model.joined(*parts)([ids, mask])), expected, atol=1e-5)


def test_the_mean_is_that_of_all_tokens_without_the_padding(model):
    ids, mask = rows()
    parts = language_model.halves(model, 2)
    network = language_model.joined(
        *language_model.ending_in_mean(language_model.for_documents(parts[0], WINDOW, 3 * WINDOW))
    )
    vectors = np.asarray(language_model.for_documents(parts[0], WINDOW, 3 * WINDOW)([ids, mask]))
    expected = [vector[seen > 0].mean(axis=0) for vector, seen in zip(vectors, mask, strict=True)]
    assert np.allclose(np.asarray(network([ids, mask])), expected, atol=1e-5)


@pytest.mark.parametrize(("family", "edges"), [("Bert", (2, 3)), ("Roberta", (0, 2)), ("DistilBert", (2, 3))])
def test_a_text_is_read_as_the_family_reads_it(family, edges):
    model = tiny_encoder.model(family)
    assert model.edges == edges
    texts = ["the film is very good", "bad", "the film " * 400]
    found = model.encode(texts)
    for text, ids in zip(texts, found, strict=True):
        assert np.array_equal(ids, np.asarray(model.tokenizer(text)).reshape(-1))
    row = model.rows(found[1:2], WINDOW, 1)
    filled = int(row.weights.sum())
    assert filled == len(found[1]) + 2 and (row.token_ids[0, 0], row.token_ids[0, filled - 1]) == edges
    assert set(row.token_ids[0, filled:]) == {model.tokenizer.pad_token_id}
    assert model.windows_of(WINDOW - 2, WINDOW) == 1 and model.windows_of(WINDOW - 1, WINDOW) == 2


def test_lora_merged_is_lora_apart_and_what_trains(preset, tmp_path):
    model = encoder.load(preset)
    assert language_model.freeze(model, "lora", 1, 2) is None
    assert {variable.name for variable in model.backbone.trainable_variables} == {"lora_kernel_a", "lora_kernel_b"}
    for number, variable in enumerate(model.backbone.trainable_variables):
        variable.assign(keras.random.normal(variable.shape, stddev=0.3, seed=number))
    ids, mask = rows()
    network = keras.Model(model.inputs, model.output)
    expected = np.asarray(network([ids, mask]))
    before = np.asarray(keras.Model((plain := encoder.load(preset)).inputs, plain.output)([ids, mask]))
    assert np.abs(expected - before).max() > 0.1
    language_model.save(model, tmp_path / "merged")
    merged = encoder.load(str(tmp_path / "merged"))
    assert np.allclose(np.asarray(keras.Model(merged.inputs, merged.output)([ids, mask])), expected, atol=1e-4)
    assert all("lora" not in weight.name for weight in merged.backbone.weights)


def test_what_each_strategy_trains(preset):
    model = encoder.load(preset)
    assert language_model.freeze(model, "last_blocks", 1, 8) == 1
    _, suffix = language_model.halves(model, 1)
    assert suffix.trainable_variables == model.blocks[1].trainable_variables != []
    for strategy in ("features", "head"):
        model = encoder.load(preset)
        assert language_model.freeze(model, strategy, 1, 8) == 2
        assert not language_model.halves(model, 2)[1].trainable_variables
    assert encoder.load(preset).backbone.dropout == 0 and encoder.load(preset, dropout=0.3).backbone.dropout == 0.3
    random = encoder.load(preset, weights=False)
    assert not np.allclose(random.backbone.get_weights()[0], encoder.load(preset).backbone.get_weights()[0])


def test_a_preset_of_each_kind_is_loaded_or_refused(preset, tmp_path):
    assert isinstance(encoder.load(preset), encoder.Encoder)
    assert isinstance(encoder.load(f"hub:{preset}"), encoder.Encoder)
    assert isinstance(encoder.load("demo"), language_model.LanguageModel)
    hub = language_model.keras_hub()
    hub.models.AlbertBackbone(20, 2, 2, 8, 16, 32, max_sequence_length=8).save_to_preset(str(tmp_path / "albert"))
    with pytest.raises(errors.UserError, match="Albert is not taken, because it applies one block several times"):
        encoder.load(str(tmp_path / "albert"))
    tiny_encoder.backbone("Bert").save_to_preset(str(tmp_path / "bare"))
    with pytest.raises(errors.UserError, match="the preset has no tokenizer"):
        encoder.load(str(tmp_path / "bare"))
    with pytest.raises(errors.UserError, match="no such folder"):
        encoder.load("hub:./nowhere")


def test_minilm_has_the_published_similarities():
    """Those of the model's page, https://sbert.net/docs/quickstart.html; the weights here are rounded to float16."""
    folder = pathlib.Path(os.environ.get("REAL_WEIGHTS", "/nowhere")) / "minilm_l6_v2"
    if not folder.is_dir():
        pytest.skip("REAL_WEIGHTS names no folder with minilm_l6_v2")
    model = encoder.load(str(folder))
    row = model.rows(model.encode(SENTENCES), 16, 1)
    prefix, _ = language_model.halves(model, len(model.blocks))
    means, _ = language_model.ending_in_mean(prefix)
    found = means.predict_on_batch([row.token_ids, (row.weights > 0).astype("int32")])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert (found @ found.T)[np.triu_indices(3, 1)] == pytest.approx([0.6660, 0.1046, 0.1411], abs=1e-3)
