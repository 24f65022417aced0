"""I3D: Inception-v1 with three-dimensional kernels, trained on Kinetics-400 (https://arxiv.org/abs/1705.07750).

It is the RGB stream, without the classifier. The weights are a published checkpoint of its authors
(https://github.com/google-deepmind/kinetics-i3d, Apache-2.0), `data/checkpoints/rgb_scratch/model.ckpt` or another RGB
one there, or such a checkpoint as an .npz file with one array `<layer>/<variable>` for each variable.
"""

from __future__ import annotations

import os
import pathlib

import keras
import numpy as np

from common import errors
from common.models import backbones, cut, raw_input

# The channels of each block's four branches: 1x1; 1x1 and 3x3; 1x1 and 3x3; 1x1 after pooling.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32), "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64), "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64), "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128), "Mixed_5c": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
NAME = "I3D"
LAST_LAYER = "Mixed_4f"  # the block above it knows Kinetics' own classes best, and less of where things move
FEWEST_FRAMES, SMALLEST = 4, 32
# Our branches → the names of the checkpoint. One of them has another name there.
BRANCHES = {
    "b0_1x1": "Branch_0/Conv3d_0a_1x1", "b1_1x1": "Branch_1/Conv3d_0a_1x1", "b1_3x3": "Branch_1/Conv3d_0b_3x3",
    "b2_1x1": "Branch_2/Conv3d_0a_1x1", "b2_3x3": "Branch_2/Conv3d_0b_3x3", "b3_1x1": "Branch_3/Conv3d_0b_1x1",
}  # fmt: skip
RENAMED = {"Mixed_5b_b2_3x3": "Mixed_5b/Branch_2/Conv3d_0a_3x3"}
HOW_TO_GET = (
    "--temporal i3d needs --weights FILE: data/checkpoints/rgb_scratch/model.ckpt of "
    "https://github.com/google-deepmind/kinetics-i3d, or the same as .npz; --weights none are random ones"
)


def network(frames: int, image_size: int) -> keras.Model:
    """Build the network with random weights: (batch, frames, image_size, image_size, 3) to maps of 1,024 channels.

    A unit has the layers `<unit>_conv`, `<unit>_bn` and `<unit>`, the ReLU; the output of a block has the block's name.
    The time is divided by 4 and the space by 16 up to `Mixed_4f`, by 8 and 32 after it.
    """
    clips = keras.Input((frames, image_size, image_size, 3), name="clips")
    x = _unit(clips, 64, 7, "Conv3d_1a_7x7", strides=2)
    x = keras.layers.MaxPooling3D((1, 3, 3), (1, 2, 2), padding="same", name="MaxPool3d_2a_3x3")(x)
    x = _unit(x, 64, 1, "Conv3d_2b_1x1")
    x = _unit(x, 192, 3, "Conv3d_2c_3x3")
    x = keras.layers.MaxPooling3D((1, 3, 3), (1, 2, 2), padding="same", name="MaxPool3d_3a_3x3")(x)
    for block, channels in MIXED.items():
        if block == "Mixed_4b":
            x = keras.layers.MaxPooling3D(3, 2, padding="same", name="MaxPool3d_4a_3x3")(x)
        elif block == "Mixed_5b":
            x = keras.layers.MaxPooling3D(2, 2, padding="same", name="MaxPool3d_5a_2x2")(x)
        x = _mixed(x, channels, block)
    return keras.Model(clips, x, name="i3d")


def _unit(x: keras.KerasTensor, channels: int, size: int, name: str, strides: int = 1) -> keras.KerasTensor:
    x = keras.layers.Conv3D(channels, size, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = keras.layers.BatchNormalization(scale=False, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=name)(x)


def _mixed(x: keras.KerasTensor, channels: tuple[int, ...], name: str) -> keras.KerasTensor:
    first, middle, second, low, third, fourth = channels
    pooled = keras.layers.MaxPooling3D(3, 1, padding="same", name=f"{name}_b3_pool")(x)
    return keras.layers.Concatenate(name=name)(
        [
            _unit(x, first, 1, f"{name}_b0_1x1"),
            _unit(_unit(x, middle, 1, f"{name}_b1_1x1"), second, 3, f"{name}_b1_3x3"),
            _unit(_unit(x, low, 1, f"{name}_b2_1x1"), third, 3, f"{name}_b2_3x3"),
            _unit(pooled, fourth, 1, f"{name}_b3_1x1"),
        ]
    )


def check_weights(weights: str | None) -> None:
    """Refuse missing weights, before the clips are read.

    Raises:
        UserError: none are given, or there is no such file.
    """
    if weights is None or weights in ("imagenet", "demo", "own"):
        raise errors.UserError(HOW_TO_GET)
    if weights != "none" and not _files(weights):
        raise errors.UserError(f"--weights {weights}: no such file. {HOW_TO_GET}")


def _files(weights: str) -> list[pathlib.Path]:
    """Return the file, or the index file of a checkpoint."""
    path = pathlib.Path(weights).expanduser()
    return [each for each in (path, path.with_name(f"{path.name}.index")) if each.is_file()]


def load(weights: str, frames: int, image_size: int, aspect: str, last_layer: str | None = None) -> backbones.Backbone:
    """Build the network up to a layer and load its weights.

    Args:
        weights: `none` (random), an .npz file or a checkpoint (its path without `.index`).
        frames: of a clip.
        image_size, aspect: as for `backbones.load`.
        last_layer: the last layer; default: `LAST_LAYER`.

    Raises:
        UserError: the clips are too short or too small, the layer is unknown, or the weights do not fit.
    """
    check_weights(weights)
    for flag, value, least in (("frames", frames, FEWEST_FRAMES), ("image-size", image_size, SMALLEST)):
        if value < least:
            raise errors.UserError(f"--{flag} {value}: I3D needs at least {least}")
    whole = network(frames, image_size)
    if weights != "none":
        try:
            set_weights(whole, read(weights))
        except (KeyError, OSError, ValueError) as error:
            raise errors.UserError(
                f"--weights {weights}: not the weights of I3D's RGB network ({' '.join(str(error).split())[:200]})"
            ) from error
    end = cut.layer_named(whole, last_layer or LAST_LAYER, "--last-layer")
    model = keras.Model(whole.input, end.output, name="i3d")
    return backbones.Backbone(NAME, weights, model, _preprocess, image_size, raw_input.resizing(image_size, aspect))


def _preprocess(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Bring RGB 0–255 to -1 to 1."""
    return pixels / 127.5 - 1.0


def set_weights(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Fill the network from arrays `<layer>/<variable>` of any float type.

    Raises:
        KeyError: one is missing.
        ValueError: one has another shape.
    """
    for layer in model.layers:
        layer.set_weights([arrays[f"{layer.name}/{weight.name}"].astype("float32") for weight in layer.weights])


def read(weights: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, or of the published checkpoint under our names.

    Raises:
        KeyError, OSError, ValueError: it is neither.
    """
    path = os.path.expanduser(weights)
    if path.endswith(".npz"):
        with np.load(path, allow_pickle=False) as found:
            return dict(found)
    import tensorflow as tf  # here: Keras cannot read TensorFlow's checkpoints

    try:
        reader = tf.train.load_checkpoint(path.removesuffix(".index"))
        return {ours: reader.get_tensor(theirs).reshape(shape) for ours, theirs, shape in _names()}
    except (tf.errors.OpError, tf.errors.DataLossError) as error:
        raise ValueError(error.message) from error


def _names() -> list[tuple[str, str, tuple[int, ...]]]:
    """Return our name, the checkpoint's name and the shape of every variable.

    The checkpoint keeps the values of batch norm as (1, 1, 1, 1, channels).
    """
    kinds = {
        "kernel": "conv_3d/w", "beta": "batch_norm/beta", "moving_mean": "batch_norm/moving_mean",
        "moving_variance": "batch_norm/moving_variance",
    }  # fmt: skip
    return [
        (f"{layer.name}/{weight.name}",
         f"RGB/inception_i3d/{_theirs(layer.name.rpartition('_')[0])}/{kinds[weight.name]}", tuple(weight.shape))
        for layer in network(FEWEST_FRAMES, SMALLEST).layers for weight in layer.weights
    ]  # fmt: skip


def _theirs(unit: str) -> str:
    """Return the checkpoint's name of a unit."""
    if unit in RENAMED:
        return RENAMED[unit]
    block, branch = unit[:8], unit[9:]
    return f"{block}/{BRANCHES[branch]}" if block in MIXED else unit
