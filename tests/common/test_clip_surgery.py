import keras
import numpy as np
import pytest

from common import backbones, clip_surgery, frozen_prefix, generators, runs, surgery, video


def demo_network(size=32):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    return backbones.load("demo", "demo", size)


def random_clips(*shape):
    return np.random.default_rng(1).uniform(0, 255, (*shape, 3)).astype("float32")


def test_a_network_on_each_frame_is_the_network_on_frames():
    network = demo_network().model
    inputs = keras.Input((3, 32, 32, 3))
    outputs = clip_surgery.on_each_frame(network, [inputs])
    x = random_clips(2, 3, 32, 32)
    expected = np.stack([network.predict(clip, verbose=0) for clip in x])
    np.testing.assert_allclose(keras.Model(inputs, outputs).predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5)


def test_both_halves_together_are_the_network():
    keras.utils.set_random_seed(0)
    network = backbones.load("MobileNetV2:0.35", "none", 64).model
    before, after = clip_surgery.halves(network, surgery.layer_number(network, "block_16"))
    x = random_clips(2, 64, 64) / 255
    np.testing.assert_allclose(after.predict(before.predict(x, verbose=0), verbose=0), network.predict(x, verbose=0),
                               rtol=1e-4, atol=1e-5)  # fmt: skip
    assert not set(map(id, before.layers[1:])) & set(map(id, after.layers))


def test_what_treats_frames_and_what_joins_them_are_the_classifier():
    inputs = keras.Input((3, 4, 4, 1))
    between = keras.layers.Identity(name="each_frame")(inputs * 2)
    classifier = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(between)))
    on_frames, joined = clip_surgery.frame_parts(classifier)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(on_frames.predict(x, verbose=0), 2 * x)
    np.testing.assert_allclose(joined.predict(2 * x, verbose=0), classifier.predict(x, verbose=0), rtol=1e-5)


def test_halves_that_several_tensors_lead_between():
    network = backbones.load("ResNet50", "none", 64).model
    before, after = clip_surgery.halves(network, surgery.layer_number(network, "conv5_block2_2_conv"))
    assert len(before.outputs) == len(after.inputs) == 2  # the branch, and the shortcut around it
    inputs = keras.Input((2, 64, 64, 3))
    (maps,) = clip_surgery.on_each_frame(after, clip_surgery.on_each_frame(before, [inputs]))
    x = random_clips(1, 2, 64, 64) / 255
    np.testing.assert_allclose(
        keras.Model(inputs, maps).predict(x, verbose=0)[0], network.predict(x[0], verbose=0), rtol=1e-4, atol=1e-5
    )


# The model that takes raw clips --------------------------------------------------------------------------------


def classifier_of(backbone, frames):
    """Answers that depend on the order of the frames, so that wrong ones are found out."""
    size = backbone.image_size
    inputs = keras.Input((frames, size, size, 3), name="clips")
    (maps,) = clip_surgery.on_each_frame(backbone.model, [inputs])
    pooled = keras.layers.Flatten()(keras.ops.mean(maps, axis=(2, 3)))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled), name="classifier")


@pytest.mark.parametrize(
    "sampling, looks, aspect",
    [("whole", 1, "squash"), ("whole", 1, "pad"), ("window", 1, "squash"), ("window", 3, "pad")],
)
def test_the_raw_model_takes_the_frames_that_a_file_gives(tmp_path, sampling, looks, aspect):
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone, how = backbones.load("demo", "demo", 32, aspect), generators.Clips(4, sampling, 2, looks)
    classifier = classifier_of(backbone, 4)
    runs.save_model(
        tmp_path, clip_surgery.take_raw_clips(classifier, backbone.preprocess, backbone.resize, how), "abc", how
    )
    saved = runs.load_model(tmp_path)
    assert saved.clips == how and saved.class_names == ["a", "b", "c"]
    for length, height, width in ((11, 40, 56), (30, 56, 40), (7, 32, 32), (3, 20, 30), (1, 40, 40)):
        clip = random_clips(length, height, width).round().astype("uint8")
        video.write(tmp_path / "clip.mkv", clip, rate=1, lossless=True)
        windows = [np.array(backbone.resize(how.read(tmp_path / "clip.mkv", place).astype("float32")))
                   for place in how.positions()]  # fmt: skip
        expected = classifier.predict(np.stack([backbone.preprocess(frames) for frames in windows]), verbose=0).mean(0)
        answer = saved.model.predict(clip[None], verbose=0)[0]
        np.testing.assert_allclose(answer, expected, atol=2e-5, err_msg=f"{length} frames of {height} x {width}")


def test_windows_begin_with_the_middle_one_and_a_whole_clip_has_one():
    assert generators.Clips(4, "window", looks=3).positions() == pytest.approx([1 / 2, 1 / 6, 5 / 6])
    assert generators.Clips(4, "whole", looks=3).positions() == [0.5]


def test_the_raw_model_loads_without_this_repository(tmp_path):
    backbone = demo_network()
    model = clip_surgery.take_raw_clips(
        classifier_of(backbone, 2), backbone.preprocess, backbone.resize, generators.Clips(2)
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    names = {type(layer).__module__.partition(".")[0] for layer in surgery.leaf_layers(loaded)}
    assert names == {"keras"}
    assert loaded.predict(random_clips(1, 1, 9, 14), verbose=0).shape == (1, 3)


def test_a_cut_between_the_halves_trains_as_the_whole_model_does():
    x, y = random_clips(4, 2, 32, 32) / 255, np.eye(3)[[0, 1, 2, 0]]
    losses = []
    for cached in (False, True):
        network = demo_network().model
        first = surgery.layer_number(network, "block5")
        inputs = keras.Input((2, 32, 32, 3))
        before, after = clip_surgery.halves(network, first)
        at = clip_surgery.on_each_frame(before, [inputs])
        (maps,) = clip_surgery.on_each_frame(after, at)
        pooled = keras.layers.GlobalAveragePooling3D()(maps)
        model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(pooled))
        surgery.unfreeze(network, first)
        parts = frozen_prefix.cut(model, at)
        trained, given = (parts.suffix, parts.prefix.predict(x, verbose=0)) if cached else (model, x)
        trained.compile(keras.optimizers.SGD(1e-2), "categorical_crossentropy")
        losses.append([trained.train_on_batch(given, y) for _ in range(4)])
        assert all(not layer.trainable for layer in network.layers[:first])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]
