"""Networks from elsewhere, and models inside models taken apart into one flat functional network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras


class Network(NamedTuple):
    """A network from elsewhere.

    Attributes:
        model: flat, (batch, image_size, image_size, 3) to a feature map.
        preprocess: converts RGB 0–255 to the input of `model`.
        image_size: height and width in pixels.
        whole: a model with the same weights and output that is saved in place of `model`; None if `model` can be saved.
        interpolation: how the network's photos were resized.
    """

    model: keras.Model
    preprocess: Callable
    image_size: int
    whole: keras.Model | None = None
    interpolation: str = "bilinear"


def taken_apart(model: Any, size: int, weights: bool, leave_out: Callable[[Any], bool]) -> keras.Model:
    """Return a flat copy of a model: freezing and cutting need one, since a model inside a model is one layer.

    The layers are copies. A layer that two models share would have two outputs.

    Args:
        model: functional or sequential, possibly with such models inside, for photos.
        size: height and width of the photos.
        weights: whether to copy the weights too; otherwise they are random.
        leave_out: says which layers are left out; their output is their first input.
    """
    copies: dict[int, tuple[Any, Any]] = {}
    names: set[str] = set()

    def call(layer: Any, *inputs: Any, **settings: Any) -> Any:
        if leave_out(layer):
            return inputs[0]
        if hasattr(layer, "layers") and getattr(layer, "inputs", None):
            return applied(layer.inputs, output_of(layer), keras.tree.flatten(inputs), call)
        if id(layer) not in copies:
            copy = type(layer).from_config(layer.get_config())
            while copy.name in names:  # layers of two models may have the same name
                copy.name += "_"
            names.add(copy.name)
            copies[id(layer)] = layer, copy
        return copies[id(layer)][1](*inputs, **{name: value for name, value in settings.items() if name != "training"})

    photos = keras.Input((size, size, 3), name="photos")
    flat = keras.Model(photos, applied(model.inputs, output_of(model), [photos], call), name=model.name)
    for layer, copy in copies.values():
        if weights and isinstance(layer, keras.layers.Layer):
            copy.set_weights(layer.get_weights())
    return flat


def output_of(model: Any) -> Any:
    """Return the symbolic output of a model; `output` of a `Sequential` is not connected to its input."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def _apply(layer: Any, *inputs: Any, **settings: Any) -> Any:
    return layer(*inputs, **settings)


def applied(sources: list, target: Any, inputs: list, call: Callable = _apply) -> Any:
    """Apply `call(layer, …)` to all layers between symbolic tensors, beginning with other inputs; return the output."""
    graph = keras.Model(sources if len(sources) > 1 else sources[0], target)
    made: list = []

    def called(layer: Any, *arguments: Any, **settings: Any) -> Any:
        made.append(call(layer, *arguments, **settings))
        return made[-1]

    # The clone itself would have inputs of its own if `inputs` are in the middle of a network.
    keras.models.clone_model(
        graph, input_tensors=inputs if len(inputs) > 1 else inputs[0], clone_function=lambda layer: layer,
        call_function=called,
    )  # fmt: skip
    return made[-1]
