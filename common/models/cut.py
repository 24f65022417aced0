"""A functional model in two parts, cut where something starts to train or to be random.

The *frontier* is that cut. Both parts share the model's layers.
"""

import dataclasses
from typing import Any

import keras

from common import errors, flags
from common.models import freezing


@dataclasses.dataclass
class Cut:
    """A model in two parts.

    Attributes:
        tensors: the Keras tensors that cross the frontier, one or several.
        prefix: from the model's input to `tensors`; None if nothing is frozen.
        suffix: from `tensors` to the model's output; the model itself if nothing is frozen.
    """

    tensors: list
    prefix: keras.Model | None
    suffix: keras.Model


def cut(model: keras.Model, at: list | None = None) -> Cut:
    """Cut a functional model at its frontier, or at given tensors.

    The prefix contains the layers that are frozen, or that have no weights and nothing random (pooling, flatten), if
    they depend only on such layers. With a `GlobalAveragePooling2D` head, the cache thus contains the pooled features.

    Args:
        model: its layers frozen as they are to be trained.
        at: tensors through which all paths to trainable layers lead, with one row for each row of the input.

    Raises:
        ValueError: nothing trains; a layer is applied more than once; a model inside the model is frozen in part.
    """
    if not model.trainable_weights:
        raise ValueError("nothing trains: every layer of the model is frozen")
    if not at:
        _check_layout(model)
    tensors = at or crossing_tensors(model, _without_idle_ends(model, _computed_once(model)))
    if len(tensors) == 1 and tensors[0] is model.inputs[0]:
        return Cut(tensors, None, model)
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    return Cut(tensors, keras.Model(model.inputs, tensors), keras.Model(tensors, outputs))


def _check_layout(model: keras.Model) -> None:
    """Refuse a model whose operations' outputs are no place to cut, instead of computing it wrongly or slowly."""
    for layer in model.get_config()["layers"]:
        if len(layer["inbound_nodes"]) > 1:
            raise ValueError(f"the layer {layer['name']} is applied more than once; train the whole model (no_cache)")
    for layer in model.layers:
        inner = freezing.leaf_layers(layer) if hasattr(layer, "layers") else []
        if len({_is_fixed(leaf) for leaf in inner if not isinstance(leaf, keras.layers.InputLayer)}) > 1:
            raise ValueError(
                f"{layer.name} is a nested model and partly frozen; build on {layer.name}.output "
                "instead of calling it, or train the whole model (no_cache)"
            )


def crossing_tensors(model: keras.Model, before: list) -> list:
    """Return the outputs of the operations in `before` that other operations use or that are the model's outputs."""
    made = {id(tensor): tensor for operation in before for tensor in flat(operation.output)}
    inside = {id(operation) for operation in before}
    used = [t for op in model.operations if id(op) not in inside for t in flat(op.input)] + list(model.outputs)
    return list({id(tensor): tensor for tensor in used if id(tensor) in made}.values())


def _computed_once(model: keras.Model) -> list:
    """Return the operations whose result for a photo never changes during the training."""
    found = []
    results: set[int] = set()
    for operation in model.operations:
        if _is_fixed(operation) and all(id(tensor) in results for tensor in _inputs(operation)):
            found.append(operation)
            results.update(id(tensor) for tensor in flat(operation.output))
    return found


def _without_idle_ends(model: keras.Model, before: list) -> list:
    """Remove a final `Dropout` of 0 from the operations: heads with and without dropout then share their features."""
    kept = list(before)
    for operation in reversed(before):
        if isinstance(operation, keras.layers.Dropout) and operation.trainable and not operation.rate:
            used = {id(tensor) for each in kept for tensor in _inputs(each)}
            if id(operation.output) not in used:
                kept = [each for each in kept if each is not operation]
    return kept


def _inputs(operation: keras.Operation) -> list:
    return [] if isinstance(operation, keras.layers.InputLayer) else flat(operation.input)


def _is_fixed(operation: keras.Operation) -> bool:
    """Return whether an operation's result for an input never changes: nothing in it trains or is random."""
    if not isinstance(operation, keras.layers.Layer):
        return True
    if hasattr(operation, "layers"):
        return all(_is_fixed(leaf) for leaf in freezing.leaf_layers(operation))
    moves = bool(operation.trainable and operation.weights) or any(weight.trainable for weight in operation.weights)
    return not moves and not _is_random(operation)  # LoRA's weights train in a frozen layer


def _is_random(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is random in training, even if frozen: a rate above 0, or a seed without a rate.

    This includes the layers inside it.
    """
    return any(
        bool(freezing.random_rates(part))
        if any(hasattr(part, name) for name in freezing.RATES)
        else any(isinstance(value, keras.random.SeedGenerator) for value in vars(part).values())
        for part in freezing.inside(layer)
    )


def layer_named(model: keras.Model, name: str, flag: str) -> keras.layers.Layer:
    """Return a layer by name.

    Raises:
        UserError: there is no such layer; the message suggests the closest name.
    """
    layers = {layer.name: layer for layer in model.layers}
    if name not in layers:
        hint = flags.suggestion(name, list(layers))
        raise errors.UserError(f"{flag} {name}: {model.name} has no such layer{hint}")
    return layers[name]


def flat(tensors: Any) -> list:
    """Return the tensors of a nested structure, in order."""
    return keras.tree.flatten(tensors)
