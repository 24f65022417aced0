"""Conversion of a network for photos to one for clips by inflated kernels (I3D, https://arxiv.org/abs/1705.07750)."""

import math
import re
from typing import Any

import keras
import numpy as np

from common import errors


def inflated(network: keras.Model, frames: int) -> keras.Model:
    """Call `inflate.inflate`, and turn its errors into a `UserError`.

    Raises:
        UserError: the network, or this part of it, cannot be inflated.
    """
    try:
        return inflate(network, frames)
    except ValueError as error:
        raise errors.UserError(
            f"--temporal inflated: {error}; use InceptionV3, VGG16, ResNet50 or MobileNetV2 for --backbone, a "
            "whole block for --unfreeze-from, or --temporal difference"
        ) from error


# A layer for photos → its counterpart for clips, and the number to put before the two spatial numbers of its settings.
# A kernel of 3 sees the previous, the current and the next frame.
COUNTERPARTS: dict[type[keras.layers.Layer], tuple[type[keras.layers.Layer], dict[str, Any]]] = {
    keras.layers.Conv2D: (keras.layers.Conv3D, {"kernel_size": 3, "strides": 1, "dilation_rate": 1}),
    keras.layers.DepthwiseConv2D: (keras.layers.DepthwiseConv2D, {}),  # Keras has none for clips, see `_depthwise`
    keras.layers.MaxPooling2D: (keras.layers.MaxPooling3D, {"pool_size": 1, "strides": 1}),
    keras.layers.AveragePooling2D: (keras.layers.AveragePooling3D, {"pool_size": 1, "strides": 1}),
    keras.layers.ZeroPadding2D: (keras.layers.ZeroPadding3D, {"padding": (0, 0)}),
    keras.layers.BatchNormalization: (keras.layers.BatchNormalization, {}),
    keras.layers.Concatenate: (keras.layers.Concatenate, {}),
    keras.layers.Activation: (keras.layers.Activation, {}),
    keras.layers.ReLU: (keras.layers.ReLU, {}),
    keras.layers.Add: (keras.layers.Add, {}),
    keras.layers.Dropout: (keras.layers.Dropout, {}),
}

# The values of a layer's settings that can be inflated.
INFLATABLE = {"axis": (-1, 3), "data_format": ("channels_last",), "groups": (1,), "noise_shape": (None,)}
INFLATABLE_DEPTHWISE = INFLATABLE | {"activation": ("linear",), "use_bias": (False,), "dilation_rate": ((1, 1),)}

TAPS = ("", "_now", "_next")  # suffixes of a depthwise layer's name for the previous, the current and the next frame


def inflate(model: keras.Model, frames: int) -> keras.Model:
    """Convert a network for photos to one for clips by spreading its kernels over time (Carreira & Zisserman 2017).

    Every kernel with more than one row is repeated over three frames and divided by three
    (https://arxiv.org/abs/1705.07750, section 2). A clip that repeats one photo then has the photo's features in every
    frame, because the first and last frame are repeated beyond the clip's ends. Zeros there would change all of 16
    frames after eight layers. Kernels with one row see one frame (1x1, and the 1x7 beside each 7x1 in InceptionV3), and
    so does pooling. Unlike in I3D, there are no strides over time: the number of frames stays the same, for a
    `GlobalAveragePooling3D`.

    A depthwise layer becomes three layers whose outputs are added, one per frame: `block_1_depthwise` for the previous
    frame, `block_1_depthwise_now` and `block_1_depthwise_next`. (`Conv3D` with one group per channel would be one
    layer, but takes about 100 times as long on a CPU.)

    Before training, each such kernel blurs moving things, and the features drift away from those of photos, more so in
    deeper networks. The last blocks alone hardly drift. To inflate only these, pass
    `keras.Model(base.get_layer("mixed7").output, base.output)`, for clips of the other layers' features of each frame.

    Args:
        model: a flat functional network of `keras.applications` without its top, or a part of one, which takes
            (batch, height, width, channels) with fixed height and width. It does not change.
        frames: number of frames in a clip, 2 or more.

    Returns:
        A flat functional network, (batch, frames, height, width, channels) to (batch, frames, ...), with copies of
        the model's layers and weights under the same names. The order of layers may differ within a block. Only
        operations of `keras.ops` are between them, so its file loads in safe mode, without this repository.

    Raises:
        ValueError: there are too few frames, the input shape is not valid, or a layer has no counterpart for clips.
    """
    shape = model.input_shape
    if frames < 2:
        raise ValueError(f"frames must be 2 or more; got {frames}")
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ValueError(f"{model.name} must take (height, width, channels) of fixed height and width; got {shape}")
    _count_past_names(model)
    clips = keras.Input((frames, *shape[1:]), name=model.layers[0].name)
    inflated = keras.models.clone_model(model, clips, clone_function=_counterpart, call_function=_on_clips)
    for layer in model.layers:
        _spread_weights(layer, inflated)
    return inflated


def _count_past_names(model: keras.Model) -> None:
    """Advance Keras's counters past the names in `model`, so that new operations get other names.

    A network from a file, or built before a `clear_session`, may contain the name `concatenate` that Keras uses next.
    """
    for layer in model.layers:
        if match := re.fullmatch(r"(add|concatenate|pad|reshape|split)(?:_(\d+))?", layer.name):
            while keras.backend.get_uid(match[1]) <= int(match[2] or 0):
                pass


def _counterpart(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return the layer for clips that replaces a layer for photos, without its weights.

    Raises:
        ValueError: the layer has no counterpart.
    """
    kind = type(layer)
    if kind not in COUNTERPARTS:
        raise ValueError(f"{layer.name} cannot be inflated: {kind.__name__} has no counterpart for clips")
    config = layer.get_config()
    for setting, values in (INFLATABLE_DEPTHWISE if kind is keras.layers.DepthwiseConv2D else INFLATABLE).items():
        if setting in config and config[setting] not in values:
            raise ValueError(f"{layer.name} cannot be inflated: {kind.__name__} with {setting}={config[setting]!r}")
    counterpart, first = COUNTERPARTS[kind]
    config |= {setting: (number, *config[setting]) for setting, number in first.items()}
    if kind is keras.layers.Conv2D and layer.kernel_size[0] == 1:
        config["kernel_size"] = (1, *layer.kernel_size)
    if "axis" in config:
        config["axis"] = -1  # 3 would be the width now
    return counterpart.from_config(config)


def _on_clips(layer: keras.layers.Layer, x: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
    """Apply a counterpart; for one that sees several frames, the first and last frame are repeated at the ends."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return _depthwise(layer, x)
    if not isinstance(layer, keras.layers.Conv3D) or layer.kernel_size[0] == 1:
        return layer(x, **options)
    frames = x.shape[1]
    first, _, last = _ends(x)
    x = layer(keras.ops.concatenate([first, x, last], axis=1), **options)
    # With padding="same", the layer has added zeros beyond these two and returns extra frames for them.
    return keras.ops.split(x, [1, frames + 1], axis=1)[1] if layer.padding == "same" else x


def _ends(x: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return the first frame, the frames between and the last frame, by `split`.

    On a CPU, its gradient took a sixth of the time of the gradient of `x[:, :1]`.
    """
    return keras.ops.split(x, [1, x.shape[1] - 1], axis=1)


def _depthwise(layer: keras.layers.DepthwiseConv2D, x: keras.KerasTensor) -> keras.KerasTensor:
    """Apply a depthwise convolution over three frames: the sum of a two-dimensional one for each frame.

    They run on all frames of a clip at once, which are placed below each other with padding between them:
    (batch, frames * rows, columns, channels). Folding frames into the batch would be slightly faster. But a tensor
    between the frozen layers and the others must have one row per clip (`frozen_prefix`).
    """
    frames, height, width, channels = x.shape[1:]
    kernel, stride = layer.kernel_size[0], layer.strides[0]
    top, bottom = _zeros(height, kernel, stride, layer.padding)
    sides = _zeros(width, layer.kernel_size[1], layer.strides[1], layer.padding)
    padded = top + height + bottom
    rows = math.ceil(padded / stride) * stride  # so that the stride starts again at every frame
    x = keras.ops.pad(x, ((0, 0), (0, 0), (top, rows - top - height), sides, (0, 0)))
    x = keras.ops.reshape(x, (-1, frames * rows, width + sum(sides), channels))
    x = keras.ops.pad(x, ((0, 0), (0, max(kernel - stride, 0)), (0, 0), (0, 0)))
    taps = []
    for tap in TAPS:
        config = layer.get_config() | {"name": layer.name + tap, "padding": "valid"}
        y = keras.layers.DepthwiseConv2D.from_config(config)(x)
        taps.append(keras.ops.reshape(y, (-1, frames, rows // stride, *y.shape[2:])))
    first, before, _ = _ends(taps[0])
    _, after, last = _ends(taps[2])
    x = keras.ops.concatenate([first, first, before], axis=1) + taps[1]
    x = x + keras.ops.concatenate([after, last, last], axis=1)
    return keras.ops.split(x, [(padded - kernel) // stride + 1], axis=2)[0]  # without the rows between the frames


def _zeros(size: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Return how many zeros TensorFlow adds before and after `size` numbers."""
    wanted = (math.ceil(size / stride) - 1) * stride + kernel if padding == "same" else 0
    zeros = max(wanted - size, 0)
    return zeros // 2, zeros - zeros // 2


def _spread_weights(layer: keras.layers.Layer, inflated: keras.Model) -> None:
    """Copy a layer's weights to its counterpart, with the kernel divided by the number of frames that it sees."""
    weights = layer.get_weights()
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        for tap in TAPS:
            inflated.get_layer(layer.name + tap).set_weights([weights[0] / len(TAPS)])
        return
    counterpart = inflated.get_layer(layer.name)
    if isinstance(layer, keras.layers.Conv2D):
        extent = counterpart.kernel_size[0]
        weights[0] = np.repeat(weights[0][None] / extent, extent, axis=0)
    counterpart.set_weights(weights)
