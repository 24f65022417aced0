"""What is done to a built model: freezing, the table of what trains, and the model file that takes raw pixels."""

import itertools
import math
from collections.abc import Callable

import keras


def freeze(model: keras.Model) -> None:
    """Freezes every layer: no weight changes, batch norm keeps its statistics, dropout is off.

    A frozen `BatchNormalization` runs in inference mode in Keras, a frozen `Dropout` does not: since Keras 3.15
    not even `base(x, training=False)` switches it off during `fit`. EfficientNet has one in every block. So its
    rate is set to 0, which is what a frozen network means.
    """
    for layer in leaf_layers(model):
        layer.trainable = False
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


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


def take_raw_pixels(classifier: keras.Model, preprocess: Callable, resize: keras.layers.Layer) -> keras.Model:
    """The classifier behind its own resizing and preprocessing.

    Args:
        classifier: takes preprocessed (batch, image_size, image_size, 3), gives probabilities.
        preprocess: RGB 0–255 to what the classifier takes.
        resize: the layer that photos were brought to size with (`generators.resizing`).

    Returns:
        A model of RGB 0–255 photos of any size, (batch, height, width, 3), uint8 or float, sharing the
        classifier's layers. It holds no `Lambda`, so it loads in Keras's safe mode, without this repository.
    """
    photos = keras.Input((None, None, 3), name="photos")
    preprocessing = keras.Model(photos, preprocess(resize(photos)), name="preprocessing")
    pixels = keras.Input((None, None, 3), name="pixels")
    return keras.Model(pixels, classifier(preprocessing(pixels)), name="from_raw_pixels")


def moving_variables(model: keras.Model) -> list:
    """All variables that training can change: weights, batch-norm statistics and random states of the
    layers that train."""
    return [variable for layer in leaf_layers(model) if layer.trainable for variable in layer.variables]
