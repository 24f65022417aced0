import keras
import numpy as np
import pytest
import tiny_network

from common.data import targets
from common.media import clips, film
from common.models import backbones, frames, freezing
from common.runs import saved_model


def test_a_network_on_each_frame_is_the_network_on_frames():
    network = tiny_network.demo().model
    inputs = keras.Input((3, 32, 32, 3))
    outputs = frames.on_each_frame(network, [inputs])
    x = tiny_network.random_clips(2, 3, 32, 32)
    expected = np.stack([network.predict(clip, verbose=0) for clip in x])
    np.testing.assert_allclose(keras.Model(inputs, outputs).predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_what_treats_frames_and_what_joins_them_are_the_classifier():
    inputs = keras.Input((3, 4, 4, 1))
    between = keras.layers.Identity(name="each_frame")(inputs * 2)
    classifier = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(between)))
    on_frames, joined = frames.frame_parts(classifier)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(on_frames.predict(x, verbose=0), 2 * x)
    np.testing.assert_allclose(joined.predict(2 * x, verbose=0), classifier.predict(x, verbose=0), rtol=1e-5)


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
