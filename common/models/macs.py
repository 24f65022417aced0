"""The work of a network in multiply-accumulate operations, which do not depend on the machine."""

from __future__ import annotations

import math

import keras

from common.models import freezing

# The weights of a layer that are multiplied with its inputs at every place of its output.
KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def multiply_accumulates(model: keras.Model) -> int:
    """Return the multiply-accumulate operations for one photo, in convolutions and dense layers.

    Biases, normalisation, activations and the products inside attention are not counted, as is usual. A nested layer
    counts once for each place of its output, so all places of a network must be known.

    Args:
        model: a functional model with a fixed input size.
    """
    return sum(map(_of_layer, freezing.leaf_layers(model)))


def _of_layer(layer: keras.layers.Layer) -> int:
    """Return the operations of one layer: the size of each kernel times the places where it is applied."""
    found = 0
    for name in KERNELS:
        kernel = getattr(layer, name, None)
        if kernel is not None and hasattr(kernel, "shape"):
            shape = keras.tree.flatten(layer.output)[0].shape
            found += math.prod(kernel.shape) * math.prod(shape[1:-1])
    return found
