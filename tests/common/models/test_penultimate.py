"""What the last dense layer sees: the same in training, from the middle of a network and in a saved model."""

import keras
import numpy as np
import pytest

from common.models import penultimate, raw_input


def classifier():
    """Return a small classifier with a hidden dense layer, and the tensor in its middle."""
    photos = keras.Input((8, 8, 3))
    middle = keras.layers.Conv2D(4, 3)(photos)
    x = keras.layers.Dense(5, activation="relu")(keras.layers.GlobalAveragePooling2D()(middle))
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(photos, keras.layers.Dense(3, activation="softmax")(x)), middle


@pytest.mark.parametrize("turns", [1, 8])
def test_they_are_the_same_everywhere(tmp_path, turns):
    model, middle = classifier()
    pixels = np.random.default_rng(0).integers(256, size=(4, 8, 8, 3)).astype("float32")
    wanted = penultimate.features(model).predict(pixels / 255, verbose=0)
    assert wanted.shape == (4, 5) and wanted.any()
    values = keras.Model(model.input, middle).predict(pixels / 255, verbose=0)
    np.testing.assert_allclose(penultimate.features(model, [middle]).predict(values, verbose=0), wanted, atol=1e-6)

    resize = keras.layers.Resizing(8, 8)
    raw_input.take_raw_pixels(model, lambda x: x / 255, resize, turns).save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras")
    answers, seen = penultimate.beside_answers(saved).predict(pixels, verbose=0)
    np.testing.assert_allclose(seen, wanted, atol=1e-5)
    np.testing.assert_allclose(answers, saved.predict(pixels, verbose=0), atol=1e-6)


def test_the_tensor_itself_may_be_the_beginning():
    model, _ = classifier()
    seen = model.layers[-1].input
    values = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    np.testing.assert_array_equal(penultimate.features(model, [seen]).predict(values, verbose=0), values)


def test_a_model_without_a_dense_layer_is_refused():
    photos = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="no dense layer"):
        penultimate.features(keras.Model(photos, keras.layers.Flatten()(photos)))
