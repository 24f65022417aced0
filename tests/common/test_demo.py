"""The demo's photos are drawn as promised, and its pretrained weights are worth something."""

import hashlib
import importlib.util
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import linear_model, pipeline, preprocessing

from common import demo, errors


def silhouette(class_name, seed) -> np.ndarray:
    """Where a thing covers a sheet, bool (32, 32), drawn upright in the middle."""
    sheet = Image.new("RGBA", (32, 32))
    colours = [(255, 255, 255)] * 4
    pen = demo.Pen(sheet, demo.Pose((0.5, 0.5), 0.45), colours)
    demo.PAINTERS[class_name](pen, np.random.default_rng(seed))
    return np.asarray(sheet)[..., 3] > 0


def labelled_photos(seeds) -> tuple[np.ndarray, np.ndarray]:
    """Preprocessed photos of all classes, float32 (n, 96, 96, 3), and their labels (n,)."""
    photos = [demo.draw(name, seed) for name in demo.CLASS_NAMES for seed in seeds]
    labels = np.repeat(np.arange(len(demo.CLASS_NAMES)), len(seeds))
    return demo.preprocess(np.stack(photos).astype("float32")), labels


def probe_accuracy(base, train, test) -> float:
    """Test accuracy of a logistic regression on the base's average-pooled features."""
    regression = linear_model.LogisticRegression(max_iter=1000)
    probe = pipeline.make_pipeline(preprocessing.StandardScaler(), regression)
    pool = keras.Sequential([base, keras.layers.GlobalAveragePooling2D()])
    probe.fit(pool.predict(train[0], verbose=0), train[1])
    return probe.score(pool.predict(test[0], verbose=0), test[1])


def pretrained(input_shape=(demo.IMAGE_SIZE, demo.IMAGE_SIZE, 3)) -> keras.Model:
    base = demo.vgg16_narrow(input_shape)
    base.load_weights(demo.WEIGHTS_PATH)
    return base


def load_script(name):
    """A module of the folder `data/demo`, which is not a package."""
    spec = importlib.util.spec_from_file_location(f"demo_{name}", demo.WEIGHTS_PATH.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The photos.


def test_there_are_at_least_five_target_classes():
    assert len(set(demo.CLASS_NAMES)) == len(demo.CLASS_NAMES) >= 5


@pytest.mark.parametrize("class_name", demo.CLASS_NAMES)
def test_a_photo_is_rgb_of_the_asked_size_and_never_flat(class_name):
    for size in (32, 64, demo.IMAGE_SIZE):
        photo = demo.draw(class_name, 3, size)
        assert photo.shape == (size, size, 3) and photo.dtype == np.uint8 and photo.std() > 5


@pytest.mark.parametrize("class_name", demo.CLASS_NAMES)
def test_the_same_class_and_seed_give_the_same_photo(class_name):
    np.testing.assert_array_equal(demo.draw(class_name, 5), demo.draw(class_name, 5))


def test_other_seeds_and_other_classes_give_other_photos():
    photos = {demo.draw(name, seed, 32).tobytes() for name in demo.CLASS_NAMES for seed in range(10)}
    assert len(photos) == 10 * len(demo.CLASS_NAMES)


def test_a_thing_looks_more_like_its_own_class_than_like_any_other():
    """The truth is in the shape: without pose, colour and background a class is found by its outline."""
    names = demo.CLASS_NAMES
    means = {name: np.mean([silhouette(name, seed) for seed in range(20)], axis=0) for name in names}
    for name in names:
        for seed in range(100, 110):
            distance = {other: np.abs(silhouette(name, seed) - mean).sum() for other, mean in means.items()}
            assert min(distance, key=distance.get) == name


def test_colour_does_not_give_the_class_away():
    """A logistic regression on the colour histogram stays near the chance of 1 in 6."""

    def histograms(seeds):
        photos = [demo.draw(name, seed, 32) for name in demo.CLASS_NAMES for seed in seeds]
        pixels = [photo.reshape(-1, 3) for photo in photos]
        return np.array([np.histogramdd(each, 4, [(0, 256)] * 3)[0].ravel() for each in pixels])

    train, test = range(60), range(60, 100)
    probe = linear_model.LogisticRegression(C=1e-4, max_iter=2000)
    probe.fit(histograms(train), np.repeat(demo.CLASS_NAMES, len(train)))
    assert probe.score(histograms(test), np.repeat(demo.CLASS_NAMES, len(test))) < 0.3


@pytest.mark.parametrize("arguments", [("dragon", 0), ("fish", -1), ("fish", 0, 31)])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        demo.draw(*arguments)


# The folder.


def digest(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/*"))
    }


def test_photos_are_written_into_class_folders_the_same_each_time(tmp_path):
    first, again = (demo.write_photos(tmp_path / name, per_class=3, size=32) for name in ("first", "again"))
    assert sorted(path.name for path in first.iterdir()) == sorted(demo.CLASS_NAMES)
    assert (first / "fish" / "fish_0002.jpg").is_file() and len(digest(first)) == 3 * len(demo.CLASS_NAMES)
    assert digest(first) == digest(again)
    assert Image.open(first / "fish" / "fish_0000.jpg").size == (32, 32)


def test_another_seed_shares_no_photo(tmp_path):
    first, second = (demo.write_photos(tmp_path / str(seed), 3, seed, 32) for seed in (0, 1))
    assert not set(digest(first).values()) & set(digest(second).values())


def test_a_complete_folder_is_left_alone(tmp_path, monkeypatch):
    before = digest(demo.write_photos(tmp_path / "photos", per_class=2, size=32))
    monkeypatch.setattr(demo, "draw", lambda *_: pytest.fail("drawn again"))
    assert digest(demo.write_photos(tmp_path / "photos", per_class=2, size=32)) == before


def test_a_run_that_dies_leaves_nothing(tmp_path, monkeypatch):
    draw = demo.draw

    def dies_in_the_middle(class_name, seed, size):
        if class_name == demo.CLASS_NAMES[2]:
            raise KeyboardInterrupt
        return draw(class_name, seed, size)

    monkeypatch.setattr(demo, "draw", dies_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        demo.write_photos(tmp_path / "photos", per_class=2, size=32)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(errors.UserError, match="something other"):
        demo.write_photos(tmp_path, per_class=2, size=32)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


def test_a_place_that_cannot_be_written_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(errors.UserError, match="cannot write"):
        demo.write_photos(tmp_path / "file" / "photos", per_class=2, size=32)


# The network.


def test_the_network_has_the_layers_of_vgg16():
    narrow, full = demo.vgg16_narrow(), keras.applications.VGG16(include_top=False, weights=None)
    assert [layer.name for layer in narrow.layers[1:]] == [layer.name for layer in full.layers[1:]]
    assert len(narrow.layers) == len(full.layers) == 19 and narrow.name == "vgg16_narrow"
    shared = ("kernel_size", "strides", "padding", "pool_size")
    for ours, theirs in zip(narrow.layers, full.layers, strict=True):
        ours_config, theirs_config = ours.get_config(), theirs.get_config()
        assert type(ours) is type(theirs)
        assert all(ours_config.get(key) == theirs_config.get(key) for key in (*shared, "activation"))


@pytest.mark.parametrize("side", [32, 50, 96, 224])
def test_the_network_takes_any_size_from_32(side):
    assert demo.vgg16_narrow((side, side, 3)).output_shape == (None, side // 32, side // 32, 80)


@pytest.mark.parametrize("input_shape", [(31, 96, 3), (96, 96, 1), (96, 96)])
def test_the_network_refuses_other_shapes(input_shape):
    with pytest.raises(ValueError, match="input_shape"):
        demo.vgg16_narrow(input_shape)


def test_preprocessing_is_the_same_for_arrays_tensors_and_symbols():
    photos = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3)).astype("float32")
    expected = demo.preprocess(photos)
    assert expected.min() >= -1 and expected.max() <= 1
    assert demo.preprocess(np.array([0, 255], dtype=np.uint8)).tolist() == [-1, 1]
    tensor = demo.preprocess(keras.ops.convert_to_tensor(photos))
    inputs = keras.Input((40, 50, 3))
    symbolic = keras.Model(inputs, demo.preprocess(inputs)).predict(photos, verbose=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(tensor), expected, atol=1e-6)
    np.testing.assert_allclose(symbolic, expected, atol=1e-6)


def test_a_model_with_the_preprocessing_inside_can_be_saved_and_loaded(tmp_path):
    inputs = keras.Input((64, 64, 3))
    model = keras.Model(inputs, demo.vgg16_narrow((64, 64, 3))(demo.preprocess(inputs)))
    model.save(tmp_path / "model.keras")
    photos = np.stack([demo.draw("snail", seed, 64) for seed in range(2)]).astype("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(photos, verbose=0), model.predict(photos, verbose=0), atol=1e-6)


# The weights.


def test_the_committed_weights_are_small_and_fit_every_input_size():
    assert demo.WEIGHTS_PATH.stat().st_size < 2_000_000
    for input_shape in ((96, 96, 3), (64, 64, 3), (None, None, 3)):
        assert all(np.isfinite(weight).all() for weight in pretrained(input_shape).get_weights())


def test_the_network_was_pretrained_on_other_classes():
    classes = load_script("classes")
    assert len(classes.CLASS_NAMES) >= 24 and not set(classes.CLASS_NAMES) & set(demo.CLASS_NAMES)
    assert not set(classes.PAINTERS.values()) & set(demo.PAINTERS.values())
    for painter in classes.PAINTERS.values():
        assert demo.paint_photo(painter, np.random.default_rng(0), 32).std() > 5


def test_folding_the_batch_norm_away_changes_nothing_that_is_computed(monkeypatch):
    monkeypatch.setitem(sys.modules, "classes", load_script("classes"))
    prepare, random = load_script("prepare"), np.random.default_rng(0)
    base = demo.vgg16_narrow((64, 64, 3))
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
    random_accuracy = probe_accuracy(demo.vgg16_narrow(), train, test)
    assert probe_accuracy(pretrained(), train, test) > random_accuracy + 0.15
