"""Masked windows: which tokens are masked, how many, and that the seed and the epoch determine it."""

import types

import keras
import numpy as np
import pytest
import tiny_encoder

from common import errors
from common.features import masked_windows

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")


@pytest.fixture(scope="module")
def part():
    random = np.random.default_rng(0)
    documents = [random.integers(5, 74, 50).astype("int32") for _ in range(40)]
    config = types.SimpleNamespace(sequence_length=34, batch_size=16, seed=3)
    return masked_windows.MaskedWindows(
        tiny_encoder.model("Bert"), {"train": documents, "validation": documents[:5]}, config
    )


def test_fifteen_percent_of_the_tokens_of_the_text_are_masked(part):
    (ids, mask, positions), targets, weights = part._drawn("train", 0)
    real, padding = part.windows["train"]
    assert ids.shape == (80, 34) and (mask == padding).all() and positions.shape == targets.shape == (80, 8)
    assert 0.12 < weights.sum() / (40 * 50) < 0.18
    rows = np.repeat(np.arange(80)[:, None], 8, axis=1)[weights > 0]
    chosen = positions[weights > 0]
    assert (targets[weights > 0] == real[rows, chosen]).all() and not np.isin(targets[weights > 0], (0, 2, 3)).any()
    assert 0.7 < (ids[rows, chosen] == 4).mean() < 0.9, "[MASK]; the others are random or as they were"
    changed = np.zeros(real.shape, bool)
    changed[rows, chosen] = True
    assert (ids == real)[~changed].all()


def test_every_epoch_has_its_own_masks_and_a_resumed_one_the_same(part):
    batches = part.batches("train", seed=3)
    first = [array for batch in batches for array in (*batch[0], *batch[1:])]
    batches.on_epoch_end()
    second = [array for batch in batches for array in (*batch[0], *batch[1:])]
    again = [array for batch in part.batches("train", seed=3, first_epoch=1) for array in (*batch[0], *batch[1:])]
    assert all((one == other).all() for one, other in zip(second, again, strict=True))
    assert any((one != other).any() for one, other in zip(first, second, strict=True))
    held_out = part.batches("validation")
    before = held_out[0]
    held_out.on_epoch_end()
    assert (held_out[0][0][0] == before[0][0]).all(), "losses of two epochs are about the same tokens"


def test_too_few_documents_to_hold_some_out_are_refused(part):
    documents = {"train": [np.array([7, 8])], "validation": [np.array([], "int32")]}
    with pytest.raises(errors.UserError, match="--adapt-epochs: the documents that are held out have no token to mask"):
        masked_windows.MaskedWindows(part.model, documents, part.config)


def test_the_network_tells_masked_tokens(part):
    """The loss of a head that has learnt nothing is about that of guessing; its words are the word embeddings."""
    inputs, targets, weights = part.batches("validation")[0]
    logits = np.asarray(part.suffix(inputs))
    words = part.model.backbone.vocabulary_size
    assert logits.shape == (*targets.shape, words) and logits.dtype == "float32"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    assert float(loss(targets, logits, weights)) == pytest.approx(np.log(words), rel=0.3)
    assert part.model.backbone.token_embedding in part.suffix.get_layer("masked_lm_head")._flatten_layers()
