"""What is done to a built model: freezing, the table of what trains, and the model file that takes raw pixels."""

import itertools
import math
import re
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import config as configuration
from common import errors

# What layers of a block are called, and what the layer that ends one is called where the others have no such name.
BLOCK = re.compile(
    r"(?<!sampling_)block_?\d+[a-z]?(?=_|$)|conv\d+_block\d+|conv_[dp]w_\d+|stage_\d+_block_\d+|expanded_conv(?:_\d+)?"
)
BLOCK_END = re.compile(r"(mixed_?\d+[a-z]?)|(block\d+_\d+)_ac|(block8_10)_conv|((?:normal|reduction)_concat_\w+)")

# How strongly a layer acts at random while training: Dropout and its kin, GaussianNoise, StochasticDepth.
RATES = ("rate", "stddev", "drop_path_rate")
# Layers → the rates that they had before they were frozen.
_rates: weakref.WeakKeyDictionary[keras.layers.Layer, dict[str, float]] = weakref.WeakKeyDictionary()


def freeze(model: keras.Model) -> None:
    """Freezes every layer: no weight changes, batch norm keeps its statistics, dropout is off.

    A frozen `BatchNormalization` runs in inference mode in Keras, a frozen `Dropout` does not: since Keras 3.15
    not even `base(x, training=False)` switches it off during `fit`. EfficientNet has one in every block. So its
    rate is set to 0, which is what a frozen network means; likewise noise and stochastic depth.
    """
    for layer in leaf_layers(model):
        layer.trainable = False
        if rates := random_rates(layer):
            _rates.setdefault(layer, rates)
            for name in rates:
                setattr(layer, name, 0.0)


def random_rates(layer: keras.layers.Layer) -> dict[str, float]:
    """The settings by which a layer acts at random while training, {} when it does not: {"rate": 0.2} for dropout."""
    rates = {name: getattr(layer, name) for name in RATES if isinstance(getattr(layer, name, None), (int, float))}
    return {name: rate for name, rate in rates.items() if rate > 0}


def unfreeze(model: keras.Model, first: int, batch_norm: str = "frozen") -> None:
    """Freezes the layers before number `first` and lets the others train.

    Args:
        model: a flat functional network, freshly frozen or not.
        first: number of the first layer that trains, counted as in `model.layers`.
        batch_norm: `frozen` keeps batch norm in inference mode, weights and statistics fixed (with few photos
            a batch says little about them, https://keras.io/guides/transfer_learning/); `adapt` trains it too.
    """
    freeze(model)
    for layer in model.layers[first:]:
        layer.trainable = batch_norm == "adapt" or not isinstance(layer, keras.layers.BatchNormalization)
        for name, rate in _rates.get(layer, {}).items():
            setattr(layer, name, rate)


def hold_near(model: keras.Model, strength: float) -> None:
    """Adds a penalty to the loss that holds the weights that train near the values that they have now (L2-SP).

    Plain weight decay pulls towards 0 and so away from what was pretrained; this pulls back to it (Li, Grandvalet and
    Davoine 2018, https://arxiv.org/abs/1802.01483). A saved model does not contain it.

    Args:
        model: a network of which some layers train.
        strength: times the summed squared distance is what the loss grows by; 0 is none.
    """
    for weight in model.trainable_weights if strength else []:
        weight.regularizer = _NearStart(strength, keras.ops.convert_to_numpy(weight))


class _NearStart(keras.regularizers.Regularizer):
    """`strength` times the squared distance from `start`."""

    def __init__(self, strength: float, start: np.ndarray):
        self.strength, self.start = strength, start

    def __call__(self, x):
        return self.strength * keras.ops.sum(keras.ops.square(x - keras.ops.cast(self.start, x.dtype)))


def blocks(model: keras.Model) -> dict[str, int]:
    """Block name → number of its first layer, by the names that `keras.applications` gives its layers.

    `block5` (VGG16, Xception), `conv5_block3` (ResNet, DenseNet), `block_16` (MobileNetV2), `expanded_conv_10`
    (MobileNetV3), `conv_pw_13` (MobileNet), `block7a` (EfficientNet), `stage_3_block_2` (ConvNeXt); where a block is
    named by the layer that it ends in: `mixed8` (InceptionV3), `block17_20` (InceptionResNetV2), `normal_concat_12`
    (NASNet).
    """
    ends = [(number, match) for number, layer in enumerate(model.layers) if (match := BLOCK_END.fullmatch(layer.name))]
    if ends:
        starts = [1, *(number + 1 for number, _ in ends)]  # layer 0 is the input
        return {match[match.lastindex or 0]: start for (_, match), start in zip(ends, starts, strict=False)}
    found: dict[str, int] = {}
    for number, layer in enumerate(model.layers):
        if match := BLOCK.search(layer.name):
            found.setdefault(match.group(), number)
    return found


def last_blocks(model: keras.Model, count: int) -> list[tuple[str, int]]:
    """The last `count` blocks from the output down, each with the number of its first layer.

    Raises:
        UserError: the layers are not named by blocks.
    """
    found = sorted(blocks(model).items(), key=lambda block: -block[1])
    if not found:
        raise errors.UserError(
            f"the layers of {model.name} are not named by blocks: give --unfreeze-from of partial_unfreezing a layer"
        )
    return found[:count]


def depths(model: keras.Model) -> list[int]:
    """For each layer the number of its block counted from the output: 1 for the last block."""
    starts = list(blocks(model).values())
    return [1 + sum(start > number for start in starts) for number in range(len(model.layers))]


def layer_number(model: keras.Model, where: str) -> int:
    """The number of a layer given by number, name or block (then its first layer).

    In InceptionV3 `mixed8` is a block and the layer that ends it: the block is meant.

    Raises:
        UserError: there is none such; the closest name is suggested.
    """
    names = {layer.name: number for number, layer in enumerate(model.layers)}
    places = names | blocks(model)
    if where in places:
        return places[where]
    if where.isdigit() and int(where) < len(model.layers):
        return int(where)
    if where.isdigit():
        raise errors.UserError(f"there is no layer {where}: the backbone has the layers 0 to {len(names) - 1}")
    hint = configuration.suggestion(where, list(places)) or "; --list-layers shows them all"
    raise errors.UserError(f"there is no layer or block {where!r}{hint}")


def check_same_score(before: float, after: float, config) -> None:
    """Stops when unfreezing alone has changed the validation loss by more than 1e-4 (relative above 1).

    With features or layers of 16 bits the two stages round in different places: there it is 1e-2.

    Raises:
        UserError: it has, so the two stages do not train the same model.
    """
    tolerance = 1e-4 if (config.precision, config.cache_dtype) == ("float32", "float32") else 1e-2
    if abs(before - after) > tolerance * max(1.0, abs(before)):
        raise errors.UserError(
            f"the validation loss went from {before:.5f} to {after:.5f} by unfreezing alone, before any weight moved; "
            "compare with a run under --no-cache"
        )


def layer_table(model: keras.Model) -> str:
    """Every layer with its number, name, block, output and parameters."""
    starts = sorted((number, name) for name, number in blocks(model).items())
    rows = [("number", "layer", "block", "output", "parameters")]
    for number, layer in enumerate(model.layers):
        block = next((name for start, name in reversed(starts) if start <= number), "")
        shape = " x ".join(str(size) for size in layer.output.shape[1:])
        rows.append((str(number), layer.name, block, shape, f"{layer.count_params():,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join([f"{row[0]:>{widths[0]}}", *(f"{row[i]:<{widths[i]}}" for i in (1, 2, 3)), f"{row[4]:>{widths[4]}}"])
        for row in rows
    )


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers that hold no other layers, in order, also those inside nested models."""
    leaves = []
    for layer in model.layers:
        leaves.extend(leaf_layers(layer) if hasattr(layer, "layers") else [layer])
    return leaves


def trainable_table(model: keras.Model) -> str:
    """A table of what trains: every trainable layer, and one line for each run of frozen ones.

    Layers without weights are left out.
    """
    rows = [("layer", "output", "parameters", "trains")]
    layers = [layer for layer in leaf_layers(model) if layer.count_params()]
    for trainable, neighbours in itertools.groupby(layers, key=lambda layer: layer.trainable):
        run = list(neighbours)
        rows += [_row([layer]) for layer in run] if trainable else [_row(run)]
    trainable, frozen = count_parameters(model)
    rows.append(("total", "", f"{trainable + frozen:,}", f"{trainable:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    )


def _row(layers: list[keras.layers.Layer]) -> tuple[str, str, str, str]:
    """One line of the table for a trainable layer or a run of frozen ones."""
    first, last = layers[0], layers[-1]
    name = first.name if len(layers) == 1 else f"{first.name} … {last.name} ({len(layers)} layers)"
    shape = " x ".join(str(size) for size in last.output.shape[1:])
    parameters = sum(layer.count_params() for layer in layers)
    return name, shape, f"{parameters:,}", "yes" if first.trainable else "no"


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """The number of trainable and of frozen parameters."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return trainable, model.count_params() - trainable


def take_raw_pixels(
    classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer, turns: int = 1
) -> keras.Model:
    """The classifier behind its own resizing and preprocessing.

    Args:
        classifier: takes preprocessed (batch, image_size, image_size, 3), gives probabilities.
        preprocess: RGB 0–255 to what the classifier takes, each pixel for itself.
        resize: the layer that photos were brought to size with (`generators.resizing`).
        turns: the answer is the mean over so many of the eight orientations of `generators.turned`.

    Returns:
        A model of RGB 0–255 photos of any size, (batch, height, width, 3), uint8 or float, sharing the
        classifier's layers. It holds no `Lambda`, so it loads in Keras's safe mode, without this repository.
        Called directly it answers as `predict` does.
    """
    photos = keras.Input((None, None, 3), name="photos")
    preprocessing = keras.Model(photos, preprocess(resize(photos)), name="preprocessing")
    pixels = keras.Input((None, None, 3), name="pixels")
    x = preprocessing(pixels)
    # Keras's `Resizing` is called as in training unless told otherwise, and all that comes after it then is, too: the
    # classifier's dropout. `predict` tells, `model(photos)` does not.
    if turns == 1:
        return keras.Model(pixels, classifier(x, training=False), name="from_raw_pixels")
    mirrored = keras.ops.flip(x, axis=2)
    looks = [keras.ops.rot90(mirrored if turn >= 4 else x, turn % 4, axes=(1, 2)) for turn in range(turns)]
    answers = classifier(keras.ops.concatenate(looks), training=False)
    answers = keras.ops.reshape(answers, (turns, -1, classifier.output.shape[-1]))
    return keras.Model(pixels, keras.ops.mean(answers, axis=0), name="from_raw_pixels")


def moving_variables(model: keras.Model) -> list:
    """All variables that training can change: weights, batch-norm statistics and random states of the layers that
    train, what trains inside a layer that is frozen but for that (LoRA), and the random states of frozen layers."""
    found: dict[int, keras.Variable] = {}
    for layer in leaf_layers(model):
        fixed = set() if layer.trainable else {id(weight) for weight in layer.weights if not weight.trainable}
        found.update((id(variable), variable) for variable in layer.variables if id(variable) not in fixed)
    return list(found.values())


# From photos to clips ---------------------------------------------------------------------------------------------

# A layer of photos → its counterpart for clips, and what goes before the two spatial numbers of its settings.
# A kernel of 3 sees the frame before, its own and the one after.
COUNTERPARTS: dict[type[keras.layers.Layer], tuple[type[keras.layers.Layer], dict[str, Any]]] = {
    keras.layers.Conv2D: (keras.layers.Conv3D, {"kernel_size": 3, "strides": 1, "dilation_rate": 1}),
    keras.layers.DepthwiseConv2D: (keras.layers.DepthwiseConv2D, {}),  # Keras has none for clips: `_depthwise`
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

# What a setting may be in a layer of photos, where it has it.
INFLATABLE = {"axis": (-1, 3), "data_format": ("channels_last",), "groups": (1,), "noise_shape": (None,)}
INFLATABLE_DEPTHWISE = INFLATABLE | {"activation": ("linear",), "use_bias": (False,), "dilation_rate": ((1, 1),)}

TAPS = ("", "_now", "_next")  # what the name of a depthwise layer ends in for the frame before, its own, the one after


def inflate(model: keras.Model, frames: int) -> keras.Model:
    """The same network for clips: its kernels spread over time, as in I3D (Carreira & Zisserman 2017).

    Every kernel of more than one row is repeated over three frames and divided by three
    (https://arxiv.org/abs/1705.07750, section 2). A clip that repeats one photo then has the photo's features, and
    has them in every frame, because the first and last frame go on beyond the clip's ends: zeros there would change
    all of 16 frames after eight layers. Kernels of one row see one frame (1x1, and the 1x7 that InceptionV3 puts
    beside each 7x1), and so does pooling. Unlike in I3D nothing strides over time: as many frames come out as go in,
    for a `GlobalAveragePooling3D`.

    A depthwise layer becomes three, one a frame, that are added: `block_1_depthwise` for the frame before,
    `block_1_depthwise_now` and `block_1_depthwise_next`. (`Conv3D` with one group a channel would be one layer, but
    takes about 100 times as long on a CPU.)

    Where things move, each such kernel blurs them until it is trained, and the features drift from those of the photos
    the more the deeper the network is. The last blocks alone hardly drift: inflate that part of it,
    `keras.Model(base.get_layer("mixed7").output, base.output)`, for clips of the features that the rest gives each
    frame.

    Args:
        model: a flat functional network of `keras.applications` without its top, or a part of one, of
            (batch, height, width, channels) with fixed height and width. It stays as it is.
        frames: how many a clip has, 2 or more.

    Returns:
        A flat functional network, (batch, frames, height, width, channels) to (batch, frames, ...), with copies of
        the model's layers, by the same names, and of its weights. Their order may differ within a block. What is
        between them are operations of `keras.ops`, so its file loads in safe mode, without this repository.

    Raises:
        ValueError: too few frames, another input shape, or a layer that has no counterpart for clips.
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
    """Moves Keras's counters past the names in `model`, so that the operations between its layers get others.

    A network from a file, or built before a `clear_session`, may hold the `concatenate` that Keras gives out next.
    """
    for layer in model.layers:
        if match := re.fullmatch(r"(add|concatenate|pad|reshape|split)(?:_(\d+))?", layer.name):
            while keras.backend.get_uid(match[1]) <= int(match[2] or 0):
                pass


def _counterpart(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer for clips that stands for a layer for photos, not yet with its weights.

    Raises:
        ValueError: there is none.
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


def _on_clips(layer: keras.layers.Layer, x, **options):
    """Applies a counterpart; around one that sees several frames, the first and last frame go on."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return _depthwise(layer, x)
    if not isinstance(layer, keras.layers.Conv3D) or layer.kernel_size[0] == 1:
        return layer(x, **options)
    frames = x.shape[1]
    first, _, last = _ends(x)
    x = layer(keras.ops.concatenate([first, x, last], axis=1), **options)
    # With padding="same" the layer has added zeros beyond the two and made frames of them.
    return keras.ops.split(x, [1, frames + 1], axis=1)[1] if layer.padding == "same" else x


def _ends(x) -> list:
    """The first frame, those between and the last, by `split`.

    On a CPU its gradient took a sixth of the time that the gradient of `x[:, :1]` took.
    """
    return keras.ops.split(x, [1, x.shape[1] - 1], axis=1)


def _depthwise(layer: keras.layers.DepthwiseConv2D, x):
    """A depthwise convolution over three frames: one over two dimensions for each, and their sum.

    They run on all frames of a clip at once, laid out one below the other with padding between them:
    (batch, frames * rows, columns, channels). Folding frames into the batch would be a little faster, but a
    tensor between the frozen layers and the others must hold one entry a clip (`frozen_prefix`).
    """
    frames, height, width, channels = x.shape[1:]
    kernel, stride = layer.kernel_size[0], layer.strides[0]
    top, bottom = _zeros(height, kernel, stride, layer.padding)
    sides = _zeros(width, layer.kernel_size[1], layer.strides[1], layer.padding)
    padded = top + height + bottom
    rows = math.ceil(padded / stride) * stride  # so that the stride starts anew with every frame
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
    """How many zeros TensorFlow puts before and after `size` numbers."""
    wanted = (math.ceil(size / stride) - 1) * stride + kernel if padding == "same" else 0
    zeros = max(wanted - size, 0)
    return zeros // 2, zeros - zeros // 2


def _spread_weights(layer: keras.layers.Layer, inflated: keras.Model) -> None:
    """Copies a layer's weights to its counterpart, the kernel divided among the frames that it sees."""
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
