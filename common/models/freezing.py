"""Freezing and unfreezing of layers, and tables of what trains."""

import itertools
import math
import weakref

import keras

# Attributes for the strength of randomness in training: Dropout and variants, GaussianNoise, StochasticDepth.
RATES = ("rate", "stddev", "drop_path_rate", "drop_prob")
# Layer → its rates before it was frozen.
_rates: weakref.WeakKeyDictionary[keras.layers.Layer, dict[str, float]] = weakref.WeakKeyDictionary()


def freeze(model: keras.Model) -> None:
    """Freeze every layer: no weight changes, batch norm keeps its statistics, dropout is off.

    A frozen `BatchNormalization` runs in inference mode in Keras, but a frozen `Dropout` does not. Since Keras 3.15,
    not even `base(x, training=False)` switches it off during `fit`. EfficientNet has a `Dropout` in every block.
    Therefore the rates of dropout, noise and stochastic depth are set to 0, as is expected of a frozen network.
    """
    for layer in leaf_layers(model):
        for part in inside(layer):  # Keras passes on a change only: a frozen layer may hold parts or LoRA that train
            part.trainable = False
        for weight in layer.weights:
            weight.trainable = False
        without_randomness(layer)


def without_randomness(layer: keras.layers.Layer) -> None:
    """Switch off the dropout, noise and stochastic depth of a layer and of those inside it, until it is unfrozen."""
    for part in inside(layer):
        if rates := random_rates(part):
            _rates.setdefault(part, rates)
            for name in rates:
                setattr(part, name, 0.0)


def inside(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer and all layers that it holds, such as the dropout in a transformer's block."""
    found: dict[int, keras.layers.Layer] = {}
    waiting: list = [layer]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, keras.layers.Layer) and id(thing) not in found:
            found[id(thing)] = thing
            waiting += vars(thing).values()
        elif isinstance(thing, (list, tuple)):
            waiting += thing
        elif isinstance(thing, dict):
            waiting += thing.values()
    return list(found.values())


def random_rates(layer: keras.layers.Layer) -> dict[str, float]:
    """Return the settings that make a layer random in training, {"rate": 0.2} for dropout; {} if it is not random."""
    rates = {name: getattr(layer, name) for name in RATES if isinstance(getattr(layer, name, None), (int, float))}
    return {name: rate for name, rate in rates.items() if rate > 0}


def unfreeze(model: keras.Model, first: int, batch_norm: str = "frozen") -> None:
    """Freeze the layers before number `first` and let the others train.

    Args:
        model: a flat functional network, in any state.
        first: number of the first layer that trains, counted as in `model.layers`.
        batch_norm: `frozen` keeps batch norm in inference mode with fixed weights and statistics, since a batch of few
            photos estimates them badly (https://keras.io/guides/transfer_learning/); `adapt` trains it too.
    """
    freeze(model)
    for layer in model.layers[first:]:
        parts = inside(layer)
        for part in parts:  # a model inside does not pass it on to its layers
            part.trainable = True
        for part in parts:
            if isinstance(part, keras.layers.BatchNormalization):
                part.trainable = batch_norm == "adapt"
            for name, rate in _rates.get(part, {}).items():
                setattr(part, name, rate)


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return all layers that contain no other layers, in order, including those inside nested models."""
    leaves = []
    for layer in model.layers:
        leaves.extend(leaf_layers(layer) if hasattr(layer, "layers") else [layer])
    return leaves


def trainable_table(model: keras.Model) -> str:
    """Return a table of all layers with weights: a line for each layer that trains and each run of frozen ones."""
    rows = [("layer", "output", "parameters", "trains")]
    layers = [layer for layer in leaf_layers(model) if layer.count_params()]
    for trains, neighbours in itertools.groupby(layers, key=_trains):
        run = list(neighbours)
        rows += [_row(run)] if trains == "no" else [_row([layer]) for layer in run]
    trainable, frozen = count_parameters(model)
    rows.append(("total", "", f"{trainable + frozen:,}", f"{trainable:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    )


def _row(layers: list[keras.layers.Layer]) -> tuple[str, str, str, str]:
    """Return a line of the table for a trainable layer or a run of frozen ones."""
    first, last = layers[0], layers[-1]
    name = first.name if len(layers) == 1 else f"{first.name} … {last.name} ({len(layers)} layers)"
    shape = " x ".join(str(size) for size in keras.tree.flatten(last.output)[0].shape[1:])
    parameters = sum(layer.count_params() for layer in layers)
    return name, shape, f"{parameters:,}", _trains(first)


def _trains(layer: keras.layers.Layer) -> str:
    """Return whether a layer trains, or only low-rank changes inside it."""
    return "yes" if layer.trainable else "LoRA" if any(weight.trainable for weight in layer.weights) else "no"


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """Return the numbers of trainable and of frozen parameters."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return trainable, model.count_params() - trainable


def moving_variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables that training can change: all variables of trainable layers, and some of frozen layers.

    Those of frozen layers are the trainable weights inside them (LoRA) and their random states.
    """
    found: dict[int, keras.Variable] = {}
    for layer in leaf_layers(model):
        fixed = set() if layer.trainable else {id(weight) for weight in layer.weights if not weight.trainable}
        found.update((id(variable), variable) for variable in layer.variables if id(variable) not in fixed)
    return list(found.values())
