import os
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import errors
from common.models import blocks, i3d

REAL = os.environ.get("REAL_DATA")
WEIGHTS = pathlib.Path(REAL or "/nowhere") / "weights" / "i3d_kinetics400_float16.npz"


@pytest.fixture(scope="module")
def made():
    """The network with random weights that differ from layer to layer."""
    model, random = i3d.network(i3d.FEWEST_FRAMES, i3d.SMALLEST), np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([random.uniform(0.1, 1.0, weight.shape) for weight in layer.weights])
    return model


def test_time_and_space_shrink_as_in_the_paper():
    model = i3d.network(16, 64)
    shapes = {name: model.get_layer(name).output.shape[1:] for name in ("Mixed_3c", "Mixed_4f", "Mixed_5c")}
    assert shapes == {"Mixed_3c": (8, 8, 8, 480), "Mixed_4f": (4, 4, 4, 832), "Mixed_5c": (2, 2, 2, 1024)}
    assert model.count_params() == 12_294_544
    assert list(blocks.blocks(model))[-2:] == ["Mixed_5b", "Mixed_5c"]


def test_a_published_checkpoint_and_an_npz_fill_the_same_layers(made, tmp_path):
    """A checkpoint with the names of DeepMind's, where batch norm's values are (1, 1, 1, 1, channels)."""
    arrays = {f"{layer.name}/{w.name}": np.asarray(w) for layer in made.layers for w in layer.weights}
    np.savez(tmp_path / "i3d.npz", **arrays)
    theirs = {name: arrays[ours] for ours, name, _ in i3d._names()}
    assert "RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w" in theirs
    assert "RGB/inception_i3d/Conv3d_1a_7x7/batch_norm/moving_mean" in theirs and len(theirs) == len(arrays) == 228
    variables = [v if v.ndim == 5 else v.reshape(1, 1, 1, 1, -1) for v in theirs.values()]
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "model.ckpt"), tensor_names=list(theirs), shape_and_slices=[""] * len(theirs),
        tensors=[tf.constant(each) for each in variables],
    )  # fmt: skip
    for path in (tmp_path / "i3d.npz", tmp_path / "model.ckpt", tmp_path / "model.ckpt.index"):
        loaded = i3d.load(str(path), i3d.FEWEST_FRAMES, i3d.SMALLEST, "squash", "Mixed_3b")
        for layer in loaded.model.layers:
            for got, wanted in zip(layer.get_weights(), made.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(got, wanted)
    assert loaded.model.output.shape[-1] == 256 and loaded.name == "I3D"


def test_mistakes_are_one_line(made, tmp_path):
    for weights in (None, "imagenet", str(tmp_path / "nothing.npz")):
        with pytest.raises(errors.UserError, match="model.ckpt of https"):
            i3d.check_weights(weights)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.ckpt").write_text("no weights")
    for name in ("other.npz", "text.ckpt"):
        with pytest.raises(errors.UserError, match="not the weights of I3D"):
            i3d.load(str(tmp_path / name), 4, 32, "squash")
    with pytest.raises(errors.UserError, match="--frames 3: I3D needs at least 4"):
        i3d.load("none", 3, 32, "squash")
    with pytest.raises(errors.UserError, match="--last-layer Mixed_4g"):
        i3d.load("none", 4, 32, "squash", "Mixed_4g")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs REAL_DATA with the weights of I3D")
def test_its_features_are_those_of_the_source():
    """The values were computed by another builder from the same weights; a moving edge in 8 frames of 64 pixels."""
    sys.path.insert(0, str(WEIGHTS.parent))
    try:
        import i3d as source
    finally:
        sys.path.remove(str(WEIGHTS.parent))
    clip = np.full((1, 8, 64, 64, 3), 40.0, "float32")
    for frame in range(8):
        clip[:, frame, :, : 8 * (frame + 1)] = 200.0
    ours = i3d.load(str(WEIGHTS), 8, 64, "squash")
    found = ours.model.predict(np.asarray(ours.preprocess(clip)), verbose=0)
    base = source.load(source.i3d(include_top=False, input_shape=(8, 64, 64, 3)), WEIGHTS)
    theirs = keras.Model(base.input, base.get_layer("Mixed_4f").output).predict(clip / 127.5 - 1, verbose=0)
    np.testing.assert_allclose(found, theirs, atol=1e-5 * np.abs(theirs).max())
