"""The demo's network is VGG16 but for its width, and its pretrained weights are worth something."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
from sklearn import linear_model, pipeline, preprocessing

from common.demo import drawn_photos, network


def labelled_photos(seeds) -> tuple[np.ndarray, np.ndarray]:
    """Preprocessed photos of all classes, float32 (n, 96, 96, 3), and their labels (n,)."""
    photos = [drawn_photos.draw(name, seed) for name in drawn_photos.CLASS_NAMES for seed in seeds]
    labels = np.repeat(np.arange(len(drawn_photos.CLASS_NAMES)), len(seeds))
    return network.preprocess(np.stack(photos).astype("float32")), labels


def probe_accuracy(base, train, test) -> float:
    """Test accuracy of a logistic regression on the base's average-pooled features."""
    regression = linear_model.LogisticRegression(max_iter=1000)
    probe = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    pool = keras.Sequential([base, keras.layers.GlobalAveragePooling2D()])
    probe.fit(pool.predict(train[0], verbose=0), train[1])
    return probe.score(pool.predict(test[0], verbose=0), test[1])


def pretrained(input_shape=(drawn_photos.IMAGE_SIZE, drawn_photos.IMAGE_SIZE, 3)) -> keras.Model:
    base = network.vgg16_narrow(input_shape)
    base.load_weights(network.WEIGHTS_PATH)
    return base


def load_script(name):
    """A module of the folder `data/demo`, which is not a package."""
    spec = importlib.util.spec_from_file_location(f"demo_{name}", network.WEIGHTS_PATH.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The network.


def test_the_network_has_the_layers_of_vgg16():
    narrow, full = network.vgg16_narrow(), keras.applications.VGG16(include_top=False, weights=None)
    assert [layer.name for layer in narrow.layers[1:]] == [layer.name for layer in full.layers[1:]]
    assert len(narrow.layers) == len(full.layers) == 19 and narrow.name == "vgg16_narrow"
    shared = ("kernel_size", "strides", "padding", "pool_size")
    for ours, theirs in zip(narrow.layers, full.layers, strict=True):
        ours_config, theirs_config = ours.get_config(), theirs.get_config()
        assert type(ours) is type(theirs)
        assert all(ours_config.get(key) == theirs_config.get(key) for key in (*shared, "activation"))


@pytest.mark.parametrize("side", [32, 50, 96, 224])
def test_the_network_takes_any_size_from_32(side):
    assert network.vgg16_narrow((side, side, 3)).output_shape == (None, side // 32, side // 32, 80)


@pytest.mark.parametrize("input_shape", [(31, 96, 3), (96, 96, 1), (96, 96)])
def test_the_network_refuses_other_shapes(input_shape):
    with pytest.raises(ValueError, match="input_shape"):
        network.vgg16_narrow(input_shape)


def test_preprocessing_is_the_same_for_arrays_tensors_and_symbols():
    photos = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3)).astype("float32")
    expected = network.preprocess(photos)
    assert expected.min() >= -1 and expected.max() <= 1
    assert network.preprocess(np.array([0, 255], dtype=np.uint8)).tolist() == [-1, 1]
    tensor = network.preprocess(keras.ops.convert_to_tensor(photos))
    inputs = keras.Input((40, 50, 3))
    symbolic = keras.Model(inputs, network.preprocess(inputs)).predict(photos, verbose=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(tensor), expected, atol=1e-6)
    np.testing.assert_allclose(symbolic, expected, atol=1e-6)


def test_a_model_with_the_preprocessing_inside_can_be_saved_and_loaded(tmp_path):
    inputs = keras.Input((64, 64, 3))
    model = keras.Model(inputs, network.vgg16_narrow((64, 64, 3))(network.preprocess(inputs)))
    model.save(tmp_path / "model.keras")
    photos = np.stack([drawn_photos.draw("snail", seed, 64) for seed in range(2)]).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(photos, verbose=0), model.predict(photos, verbose=0), atol=1e-6)


# The weights.


def test_the_committed_weights_are_small_and_fit_every_input_size():
    assert network.WEIGHTS_PATH.stat().st_size < 2_000_000
    for input_shape in ((96, 96, 3), (64, 64, 3), (None, None, 3)):
        assert all(np.isfinite(weight).all() for weight in pretrained(input_shape).get_weights())


def test_the_network_was_pretrained_on_other_classes():
    classes = load_script("classes")
    assert len(classes.CLASS_NAMES) >= 24 and not set(classes.CLASS_NAMES) & set(drawn_photos.CLASS_NAMES)
    assert not set(classes.PAINTERS.values()) & set(drawn_photos.PAINTERS.values())
    for painter in classes.PAINTERS.values():
        assert drawn_photos.paint_photo(painter, np.random.default_rng(0), 32).std() > 5


def test_folding_the_batch_norm_away_changes_nothing_that_is_computed(monkeypatch):
    monkeypatch.setitem(sys.modules, "classes", load_script("classes"))
    prepare, random = load_script("prepare"), np.random.default_rng(0)
    base = network.vgg16_narrow((64, 64, 3))
    twin = prepare.with_batch_norm(base)
    for layer in twin.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    prepare.fold(twin, base)
    photos = labelled_photos(range(1))[0][:, :64, :64]
    expected = twin.predict(photos, verbose=0)
    assert np.abs(expected).max() > 0
    folded = base.predict(photos, verbose=0)
    np.testing.assert_allclose(folded, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_pretrained_features_beat_random_ones():
    """The same net, the same probe, 20 photos per class: only the weights differ."""
    keras.utils.set_random_seed(0)
    train, test = labelled_photos(range(20)), labelled_photos(range(20, 50))
    random_accuracy = probe_accuracy(network.vgg16_narrow(), train, test)
    assert probe_accuracy(pretrained(), train, test) > random_accuracy + 0.15
