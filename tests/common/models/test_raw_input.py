import keras
import numpy as np
import pytest
import tiny_network

from common.data import targets
from common.media import augmentation, clips, film
from common.models import backbones, frames, freezing, raw_input
from common.runs import saved_model


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


def classifier_of(backbone, count):
    """Answers that depend on the order of the frames, so that wrong ones are found out."""
    size = backbone.image_size
    inputs = keras.Input((count, size, size, 3), name="clips")
    (maps,) = frames.on_each_frame(backbone.model, [inputs])
    pooled = keras.layers.Flatten()(keras.ops.mean(maps, axis=(2, 3)))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled), name="classifier")


@pytest.mark.parametrize(
    "sampling, looks, aspect",
    [("whole", 1, "squash"), ("whole", 1, "pad"), ("window", 1, "squash"), ("window", 3, "pad")],
)
def test_the_raw_model_takes_the_frames_that_a_file_gives(tmp_path, sampling, looks, aspect):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone, how = backbones.load("demo", "demo", 32, aspect), clips.Clips(4, sampling, 2, looks)
    classifier = classifier_of(backbone, 4)
    model = frames.take_raw_clips(classifier, backbone.preprocess, backbone.resize, how)
    saved_model.save_model(tmp_path, saved_model.SavedModel(model, targets.Classes("abc"), how))
    saved = saved_model.load_model(tmp_path)
    assert saved.medium == how and saved.class_names == ("a", "b", "c")
    for length, height, width in ((11, 40, 56), (30, 56, 40), (7, 32, 32), (3, 20, 30), (1, 40, 40)):
        clip = tiny_network.random_clips(length, height, width).round().astype("uint8")
        film.write(tmp_path / "clip.mkv", clip, rate=1, lossless=True)
        windows = [np.array(backbone.resize(how.read(tmp_path / "clip.mkv", look).astype("float32")))
                   for look in how.looks("test")]  # fmt: skip
        expected = classifier.predict(np.stack([backbone.preprocess(window) for window in windows]), verbose=0).mean(0)
        answer = saved.model.predict(clip[None], verbose=0)[0]
        np.testing.assert_allclose(answer, expected, atol=2e-5, err_msg=f"{length} frames of {height} x {width}")


def test_the_raw_model_loads_without_this_repository(tmp_path):
    backbone = tiny_network.demo()
    model = frames.take_raw_clips(classifier_of(backbone, 2), backbone.preprocess, backbone.resize, clips.Clips(2))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    names = {type(layer).__module__.partition(".")[0] for layer in freezing.leaf_layers(loaded)}
    assert names == {"keras"}
    assert loaded.predict(tiny_network.random_clips(1, 1, 9, 14), verbose=0).shape == (1, 3)
