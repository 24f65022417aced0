"""ONNX Runtime and Keras compute the same features, and what only Keras can compute is said."""

import keras
import numpy as np
import pytest
from PIL import Image

from common import devices, errors
from common.data import sample_list, splits, targets
from common.features import engines, frozen_prefix
from common.media import photos
from common.models import backbones, freezing, raw_input
from common.training import settings

for package in engines.PACKAGES:
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Splits of twelve photos of noise."""
    folder, random, samples = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for number in range(12):
        path, side = folder / f"{number}.png", ("train", "train", "validation", "test")[number % 4]
        Image.fromarray(random.integers(0, 256, (20, 24, 3), "uint8")).save(path)
        samples.append(sample_list.Sample(str(path), "ab"[number % 2], split=side))
    contents = {sample.path: photos.PHOTOS.digest(sample.path) for sample in samples}
    return splits.Splits.of("noise", photos.PHOTOS, targets.Classes(("a", "b")), samples, {}, contents)


def network(layer=None):
    """A network with random weights, batch norm's too, and a branch: two tensors cross after its first block."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(pixels)
    x = keras.layers.BatchNormalization()(x)
    x = layer(x) if layer else x
    y = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="branch")(x)
    model = keras.Model(pixels, keras.layers.Add()([x, keras.layers.Conv2D(8, 1, name="last")(y)]), name="small")
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    resize = raw_input.resizing(16, "squash")
    return backbones.Backbone("small", "none", model, lambda x: x / 127.5 - 1, 16, resize)


def computed(items, cache, trains=None, layer=None, **changes):
    """The frozen prefix of a head on the network, and its features of each side as one list of arrays."""
    backbone = network(layer)
    freezing.freeze(backbone.model)
    if trains:
        backbone.model.get_layer(trains).trainable = True
    head = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(backbone.model.output))
    config = settings.PhotoConfig(cache=cache, batch_size=5, **changes)
    prefix = frozen_prefix.FrozenPrefix(keras.Model(backbone.model.input, head), backbone, items, config)
    rows = list(prefix._work())
    return prefix, prefix.store.reader(rows)(range(len(rows)))


@pytest.mark.parametrize(("trains", "changes"), [(None, {}), ("last", {"flip": True, "rotation": 10.0, "views": 2})])
def test_onnx_runtime_computes_what_keras_computes_under_a_key_of_its_own(items, tmp_path, capsys, trains, changes):
    (with_keras, expected), (with_onnx, found) = (
        computed(items, tmp_path, trains, engine=name, **changes) for name in ("keras", "onnxruntime")
    )
    assert (with_keras.engine, with_onnx.engine) == ("keras", "onnxruntime")
    assert with_keras.store.directory != with_onnx.store.directory
    assert len(expected) == len(found) == (2 if trains else 1)
    for a, b in zip(expected, found, strict=True):
        assert a.std() > 0.01 and np.abs(a - b).max() <= engines.BOUND * np.abs(a).max()
    told = capsys.readouterr().err
    assert "exported in" in told and "differs from Keras by at most" in told

    # Features that are gone: the network is not exported again.
    for shard in with_onnx.store.directory.glob("*.shard"):
        shard.unlink()
    again = computed(items, tmp_path, trains, engine="onnxruntime", **changes)[1]
    assert all(map(np.array_equal, again, found))
    assert "exported and compared with Keras before" in capsys.readouterr().err


class Odd(keras.layers.Layer):
    """A layer that ONNX has no operation for."""

    def call(self, x):
        """Return the inverse error function of values below 1."""
        return keras.ops.erfinv(0.9 * keras.ops.tanh(x))


def test_what_cannot_be_exported_is_said_and_computed_by_keras(items, tmp_path, capsys):
    prefix, found = computed(items, tmp_path, layer=Odd(), engine="onnxruntime")
    told = capsys.readouterr().err
    assert prefix.engine == "keras" and "engine: Keras, since ONNX Runtime" in told
    expected = computed(items, tmp_path / "other", layer=Odd(), engine="keras")[1]
    assert all(map(np.array_equal, found, expected))
    computed(items, tmp_path, layer=Odd(), engine="onnxruntime")  # the reason is kept; nothing is tried again
    assert prefix.store.directory.is_dir() and "engine: Keras, since" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "kept"), [(ValueError("odd"), True), (MemoryError(), False), (OSError(), False)])
def test_a_reason_is_kept_for_the_same_versions_and_not_for_lack_of_space(tmp_path, capsys, monkeypatch, error, kept):
    calls = []

    def export(*_):
        calls.append(1)
        raise error

    monkeypatch.setattr(engines, "_export", export)
    model, rows = network().model, np.zeros((1, 16, 16, 3), "float32")
    for _ in range(2):
        assert engines.load(model, tmp_path / "x.onnx", rows) is None
    assert len(calls) == (1 if kept else 2) and (tmp_path / "x.refused").is_file() == kept
    told = capsys.readouterr().err.splitlines()
    assert told[0] == told[1]
    monkeypatch.setattr(engines.importlib.metadata, "version", lambda package: "99")
    engines.load(model, tmp_path / "x.onnx", rows)
    assert len(calls) == (2 if kept else 3)


def test_a_number_that_is_none_is_the_largest_difference_wherever_it_is():
    good, bad = np.ones(2), np.array([1.0, np.nan])
    for found in ([good, bad], [bad, good]):
        assert np.isnan(engines._difference([good, good], found))
    assert engines._difference([good, 2 * good], [good, 3 * good]) == 0.5


class Fixed(keras.layers.Layer):
    """A layer that cannot be made from its settings."""

    def __init__(self, needed):
        """Take what the settings lack."""
        super().__init__()

    def call(self, x):
        """Return the input."""
        return x


def test_a_network_that_cannot_be_copied_has_no_bfloat16():
    with pytest.raises(errors.UserError, match="^--prefix-precision bfloat16: hub:x has layers that .*; remove it$"):
        engines.in_bfloat16(network(Fixed(1)).model, "hub:x")


def test_other_numbers_are_refused(items, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engines, "BOUND", 0.0)
    assert computed(items, tmp_path, engine="onnxruntime")[0].engine == "keras"
    assert "its features differ by" in capsys.readouterr().err


def test_auto_exports_for_many_photos_only_and_takes_what_is_there(items, tmp_path, capsys, monkeypatch):
    assert computed(items, tmp_path / "few")[0].engine == "keras"
    monkeypatch.setattr(engines, "PAYS_FROM", 12 * 16 * 16)
    assert computed(items, tmp_path / "many")[0].engine == "onnxruntime"
    monkeypatch.undo()
    assert computed(items, tmp_path / "many")[0].engine == "onnxruntime"  # all features are there


def test_bfloat16_rounds_the_features_and_has_a_key_of_its_own(items, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "BFLOAT16_UNITS", ("processor",))  # so that this machine has them
    exact, expected = computed(items, tmp_path)
    rounded, found = computed(items, tmp_path, prefix_precision="bfloat16", cache_dtype="bfloat16")
    assert exact.cache_bytes == 2 * rounded.cache_bytes and exact.store.directory != rounded.store.directory
    difference = np.abs(expected[0] - found[0].astype("float32")).max() / np.abs(expected[0]).max()
    assert 1e-5 < difference < 0.03
    assert rounded.features("train").dtype == "float32"
    assert rounded.model.layers[1].compute_dtype == "float32"  # what the run saves
    monkeypatch.setattr(devices, "BFLOAT16_UNITS", ())
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    with pytest.raises(errors.UserError, match="has no units for bfloat16"):
        computed(items, tmp_path, prefix_precision="bfloat16")


def test_deterministic_and_other_precisions_mean_keras(monkeypatch):
    monkeypatch.setattr(engines, "PAYS_FROM", 1)
    assert engines.chosen(settings.PhotoConfig(), 10) == "onnxruntime"
    assert engines.chosen(settings.PhotoConfig(deterministic=True), 10) == "keras"
    assert engines.chosen(settings.PhotoConfig(precision="mixed_bfloat16"), 10) == "keras"
    for wrong in ({"deterministic": True}, {"precision": "mixed_float16"}, {"prefix_precision": "bfloat16"}):
        with pytest.raises(errors.UserError, match="onnxruntime is"):
            settings.PhotoConfig(engine="onnxruntime", **wrong)
    monkeypatch.setattr(engines, "PACKAGES", ("no_such_package",))
    assert engines.chosen(settings.PhotoConfig(), 10) == "keras"
    assert "pip install" in engines.advice(settings.PhotoConfig(), 10)
    with pytest.raises(errors.UserError, match=r"pip install 'keras-recipes\[fast\]'"):
        settings.PhotoConfig(engine="onnxruntime")
