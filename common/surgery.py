"""What is done to a built model: freezing, the table of what trains, and the model file that takes raw pixels."""

import itertools
import math
import re
import weakref
from collections.abc import Callable

import keras

from common import config as configuration
from common import errors

# What layers of a block are called, and what the layer that ends one is called where the others have no such name.
BLOCK = re.compile(
    r"(?<!sampling_)block_?\d+[a-z]?(?=_|$)|conv\d+_block\d+|conv_[dp]w_\d+|stage_\d+_block_\d+|expanded_conv(?:_\d+)?"
)
BLOCK_END = re.compile(r"(mixed_?\d+[a-z]?)|(block\d+_\d+)_ac|(block8_10)_conv|((?:normal|reduction)_concat_\w+)")

# How strongly a layer acts at random while training: Dropout and its kin, GaussianNoise, StochasticDepth.
RATES = ("rate", "stddev", "drop_path_rate")
_rates = weakref.WeakKeyDictionary()  # layers → the rates that they had before they were frozen


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
        return {match[match.lastindex]: start for (_, match), start in zip(ends, starts, strict=False)}
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

    Raises:
        UserError: there is none such; the closest name is suggested.
    """
    names = {layer.name: number for number, layer in enumerate(model.layers)}
    places = blocks(model) | names
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
    for trainable, run in itertools.groupby(layers, key=lambda layer: layer.trainable):
        run = list(run)
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
    """
    photos = keras.Input((None, None, 3), name="photos")
    preprocessing = keras.Model(photos, preprocess(resize(photos)), name="preprocessing")
    pixels = keras.Input((None, None, 3), name="pixels")
    x = preprocessing(pixels)
    if turns == 1:
        return keras.Model(pixels, classifier(x), name="from_raw_pixels")
    mirrored = keras.ops.flip(x, axis=2)
    looks = [keras.ops.rot90(mirrored if turn >= 4 else x, turn % 4, axes=(1, 2)) for turn in range(turns)]
    answers = keras.ops.reshape(classifier(keras.ops.concatenate(looks)), (turns, -1, classifier.output.shape[-1]))
    return keras.Model(pixels, keras.ops.mean(answers, axis=0), name="from_raw_pixels")


def moving_variables(model: keras.Model) -> list:
    """All variables that training can change: weights, batch-norm statistics and random states of the
    layers that train."""
    return [variable for layer in leaf_layers(model) if layer.trainable for variable in layer.variables]
