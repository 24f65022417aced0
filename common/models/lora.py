"""Low-rank adaptation (LoRA): the weights of attention layers stay as they are, and low-rank changes to them train.

Hu et al. 2021, https://arxiv.org/abs/2106.09685. A kernel W becomes W + AB, where A and B have `rank` columns and rows.
Keras's own `enable_lora` does it (https://keras.io/api/layers/core_layers/dense/). B starts at 0, so nothing changes at
first. When a model is saved, Keras merges AB into W, and the layers around are saved as they always are.
"""

from __future__ import annotations

from typing import Any

import keras

from common import errors
from common.models import freezing

PAIR = ("lora_kernel_a", "lora_kernel_b")


def projections(layer: keras.layers.Layer) -> list[Any]:
    """Return the `Dense` and `EinsumDense` layers of the attention inside a layer: queries, keys, values, output."""
    found: dict[int, Any] = {}
    kinds = keras.layers.Dense, keras.layers.EinsumDense
    for part in freezing.inside(layer):
        if "Attention" in type(part).__name__:
            dense = (each for each in freezing.inside(part) if isinstance(each, kinds))
            found.update((id(each), each) for each in dense)
    return list(found.values())


def first_attention(network: keras.Model, name: str, start: int = 0) -> int:
    """Return the number of the first layer with attention, from a layer on.

    Args:
        network: a flat functional network.
        name: its name for the user.
        start: the number of the first layer to look at.

    Raises:
        UserError: there is none.
    """
    for number, layer in enumerate(network.layers[start:], start):
        if projections(layer):
            return number
    where = f" from {network.layers[start].name} on" if start else ""
    raise errors.UserError(
        f"--lora-rank changes attention layers, and {name} has none{where}; remove --lora-rank, or give a vision "
        "transformer, such as --backbone hub:vit_base_patch16_224_imagenet"
    )


def train_only(network: keras.Model, first: int, rank: int, seed: int = 0) -> None:
    """Freeze a network, and let only low-rank changes of its attention layers train; dropout is as when unfrozen.

    Args:
        network: a flat functional network, in any state.
        first: the number of the first layer that changes, counted as in `network.layers`.
        rank: the rank of the changes; an unchanged kernel (in, out) gets `rank` x (in + out) weights.
        seed: determines the first values of A.
    """
    freezing.unfreeze(network, first)
    for layer in network.layers:
        layer.trainable = False
    changed = [part for layer in network.layers[first:] for part in projections(layer)]
    for number, part in enumerate(changed):
        if not part.lora_enabled:
            part.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=seed + number))
        for weight in part.weights:
            weight.trainable = weight.name in PAIR
