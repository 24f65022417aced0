import keras
import numpy as np
import pytest
import tiny_language_model

from common import errors, flags
from common.features import frozen_windows
from common.media import windows
from common.models import language_model, text_classifier

pytest.importorskip("keras_hub", reason="the extra `text` is not installed")


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A tiny GPT-2 with random weights, the demo's vocabulary, and room for windows of 64 tokens."""
    return tiny_language_model.write(tmp_path_factory.mktemp("preset") / "tiny", layers=3)


def settings(tmp_path, **changes):
    return flags.RunConfig(cache=tmp_path / "cache", batch_size=2, **changes)


@pytest.fixture
def sides():
    documents = [np.random.default_rng(n).integers(2, 1500, 40 + n) for n in range(5)]
    return {"train": windows.pack(documents, 16, 1), "validation": windows.pack(documents[:2], 16, 1)}


@pytest.mark.parametrize("first", [2, 3])
def test_training_behind_the_cache_is_training_the_whole(preset, sides, tmp_path, first):
    losses, weights = [], []
    for no_cache in (False, True):
        model = language_model.load(preset)
        model.backbone.trainable = False
        for layer in [*model.blocks[first:], model.backbone.layer_norm]:
            layer.trainable = True
        prefix, suffix = language_model.halves(model, first)
        network, own = tiny_language_model.with_logits(model, suffix), settings(tmp_path, no_cache=no_cache)
        part = frozen_windows.FrozenWindows(model, prefix, network, sides, own)
        assert (part.store is None) == no_cache and (part.cache_bytes > 0) != no_cache
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        part.suffix.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
        train, validation, _ = part.generators()
        history = part.suffix.fit(train, validation_data=validation, epochs=3, verbose=0, shuffle=False).history
        losses.append(history["loss"] + history["val_loss"])
        weights.append([keras.ops.convert_to_numpy(weight) for weight in model.backbone.weights])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0][2] < losses[0][0]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(*weights, strict=True))


def test_the_cache_is_used_again_but_not_for_other_weights(preset, sides, tmp_path, capsys):
    def computed(change=0.0):
        model = language_model.load(preset)
        model.blocks[0].weights[0].assign_add(change + 0 * model.blocks[0].weights[0])
        prefix, suffix = language_model.halves(model, 2)
        frozen_windows.FrozenWindows(model, prefix, suffix, sides, settings(tmp_path))
        return "to compute" in capsys.readouterr().err

    assert [computed(), computed(), computed(0.01), computed()] == [True, False, True, False]
    with pytest.raises(errors.UserError, match="--cache-limit"):
        model = language_model.load(preset)
        prefix, suffix = language_model.halves(model, 1)
        frozen_windows.FrozenWindows(model, prefix, suffix, sides, settings(tmp_path, cache_limit_gb=1e-9))


def test_the_order_of_an_epoch_is_that_of_its_number():
    rows = np.arange(10)
    batches = frozen_windows.Batches(lambda chosen: [rows[chosen]], rows, rows, 4, seed=3)
    first = [batches[n][1].tolist() for n in range(3)]
    batches.on_epoch_end()
    second = [batches[n][1].tolist() for n in range(3)]
    resumed = frozen_windows.Batches(lambda chosen: [rows[chosen]], rows, rows, 4, seed=3, first_epoch=1)
    assert first != second == [resumed[n][1].tolist() for n in range(3)]
    assert sorted(sum(first, [])) == list(range(10))


@pytest.mark.parametrize("first", [2, 3])
def test_behind_the_cache_the_answers_are_those_of_the_whole(preset, tmp_path, first):
    """And another window has features of its own, though the documents are as long."""
    packed = windows.pack_each(tiny_language_model.DOCUMENTS, 16, end_token=1)
    sides = {"train": packed, "validation": packed}
    model, answers, keys = language_model.load(preset), [], []
    head = text_classifier.build_head(model.backbone.hidden_dim, 3)
    for window, no_cache in ((8, False), (8, True), (16, False)):
        settings = flags.RunConfig(cache=tmp_path / "cache", batch_size=2, no_cache=no_cache)
        prefix, suffix = (language_model.for_documents(one, window, 16) for one in language_model.halves(model, first))
        network = language_model.with_class_head(model, suffix, head)
        part = frozen_windows.FrozenWindows(model, prefix, network, sides, settings, dict.fromkeys(sides, np.arange(3)))
        answers.append(part.suffix.predict(part.batches("validation"), verbose=0))
        keys.append(part.store and part.store.directory)
    assert np.allclose(answers[0], answers[1], atol=1e-5) and not np.allclose(answers[0], answers[2], atol=1e-5)
    assert keys[1] is None and keys[0] != keys[2]
