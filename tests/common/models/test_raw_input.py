import keras
import numpy as np
import pytest
import tiny_network

from common.media import augmentation
from common.models import freezing, raw_input


@pytest.mark.quick
@pytest.mark.parametrize("module", ["vgg16", "densenet", "mobilenet_v2", "efficientnet"])
def test_the_model_of_raw_pixels_loads_safely_and_agrees(module, tmp_path):
    preprocess = getattr(keras.applications, module).preprocess_input
    model = tiny_network.with_head(tiny_network.base())
    raw = raw_input.take_raw_pixels(model, preprocess, raw_input.resizing(8, "crop"))
    raw.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    photo = np.random.default_rng(0).integers(0, 256, (1, 31, 17, 3)).astype("uint8")
    expected = model.predict(preprocess(np.array(raw_input.resizing(8, "crop")(photo.astype("float32")))), verbose=0)
    assert np.allclose(loaded.predict(photo, verbose=0), expected, atol=1e-5)
    assert np.allclose(loaded(photo), expected, atol=1e-5)  # called directly, too, dropout is off
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in freezing.leaf_layers(loaded))


@pytest.mark.quick
def test_with_turns_the_saved_model_answers_with_their_mean(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    resize = raw_input.resizing(8, "squash")
    for turns in (4, 8):
        raw = raw_input.take_raw_pixels(model, lambda x: x / 127.5 - 1, resize, turns)
        raw.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        photos = np.random.default_rng(0).integers(0, 256, (2, 31, 17, 3)).astype("uint8")
        small = np.array(resize(photos.astype("float32")))
        looks = [
            model.predict(np.stack([augmentation.turned(photo, turn) for photo in small]) / 127.5 - 1, verbose=0)
            for turn in range(turns)
        ]
        assert np.allclose(loaded.predict(photos, verbose=0), np.mean(looks, axis=0), atol=1e-5)
        assert np.ptp(looks, axis=0).max() > 0.01


@pytest.mark.quick
def test_resizing_is_antialiased():
    chequered = np.indices((64, 64)).sum(0)[..., None] % 2 * 255.0 * np.ones(3)
    assert np.abs(np.array(raw_input.resizing(8, "squash")(chequered)) - 127.5).max() < 10


@pytest.mark.quick
def test_a_photo_that_is_not_square_is_cropped_squashed_or_padded():
    photo = np.zeros((20, 40, 3), "float32")
    photo[:, :10] = 255  # the left quarter is white
    left = {aspect: np.array(raw_input.resizing(10, aspect)(photo))[5, 0, 0] for aspect in ("crop", "squash", "pad")}
    assert left["crop"] == 0 and np.isclose(left["squash"], 255)
    padded = np.array(raw_input.resizing(10, "pad")(photo))
    assert padded[0].max() == 0 and np.isclose(padded[5, 0, 0], 255)


# The model that takes raw clips --------------------------------------------------------------------------------
