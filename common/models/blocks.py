"""The blocks of a network by name and number: `block5`, `conv5_block3`, `mixed8`."""

import re

import keras

from common import errors, flags
from common.models import cut

# The names of a block's layers, and of the layer that ends a block if the other layers' names do not contain it.
BLOCK = re.compile(
    r"stack\d+_block\d+|(?:transformer|encoder)_block_\d+|hierarchical_encoder_\d+_\d+|stage_\d+_blocks_\d+|layers_\d+$|"
    r"windowed_transformer_encoder(?:_\d+)?|block_\d+_\d+$|(?<!sampling_)block_?\d+[a-z]?(?=_|$)|conv\d+_block\d+|conv_[dp]w_\d+|stage_\d+_block_\d+|expanded_conv(?:_\d+)?"
)
BLOCK_END = re.compile(
    r"(Mixed_\d[a-z])|(mixed_?\d+[a-z]?)|(block\d+_\d+)_ac|(block8_10)_conv|((?:normal|reduction)_concat_\w+)"
)


def blocks(model: keras.Model) -> dict[str, int]:
    """Return block name → number of its first layer, by the layer names of `keras.applications`.

    Examples are `block5` (VGG16, Xception), `conv5_block3` (ResNet, DenseNet), `block_16` (MobileNetV2),
    `expanded_conv_10` (MobileNetV3), `conv_pw_13` (MobileNet), `block7a` (EfficientNet), `stage_3_block_2` (ConvNeXt).
    Some blocks have the name of their last layer: `mixed8` (InceptionV3), `block17_20` (InceptionResNetV2),
    `normal_concat_12` (NASNet).
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
    """Return the last `count` blocks from the output down, each with the number of its first layer.

    Raises:
        UserError: the layers are not named by blocks.
    """
    found = sorted(blocks(model).items(), key=lambda block: -block[1])
    if not found:
        raise errors.UserError(f"the layers of {model.name} are not named by blocks; give a layer to --unfreeze-from")
    return found[:count]


def ends(model: keras.Model, count: int) -> list[str]:
    """Return layers to cut a network after: its last one, and the last block's end at each larger size of its maps.

    They are `block5_pool`, `block4_pool` and `block3_pool` in VGG16, and `out_relu`, `block_12_add` and `block_5_add`
    in MobileNetV2. Earlier layers are more general, cheaper, and see smaller things.

    Args:
        model: a flat network that ends in a feature map.
        count: how many layers to return; fewer if there are fewer sizes, and only the last layer without named blocks.
    """
    found, seen = [model.layers[-1].name], {tuple(model.output.shape[1:3])}
    for start in sorted(blocks(model).values(), reverse=True):
        last = start - 1
        while isinstance(model.layers[last], keras.layers.ZeroPadding2D):  # of MobileNet, for the next block
            last -= 1
        layer = model.layers[last]
        size = tuple(layer.output.shape[1:3])
        if len(found) < count and last > 0 and len(layer.output.shape) == 4 and size not in seen:
            seen.add(size)
            found.append(layer.name)
    return found[:count]


def depths(model: keras.Model) -> list[int]:
    """Return for each layer the number of its block, counted from the output: 1 for the last block."""
    starts = list(blocks(model).values())
    return [1 + sum(start > number for start in starts) for number in range(len(model.layers))]


def layer_number(model: keras.Model, where: str) -> int:
    """Return the number of a layer given by number, name or block (the block's first layer).

    In InceptionV3, `mixed8` is a block and its last layer; the name means the block.

    Raises:
        UserError: there is no such layer or block; the message suggests the closest name.
    """
    names = {layer.name: number for number, layer in enumerate(model.layers)}
    places = names | blocks(model)
    if where in places:
        return places[where]
    if where.isdigit() and int(where) < len(model.layers):
        return int(where)
    if where.isdigit():
        raise errors.UserError(f"there is no layer {where}; the layers of the backbone are 0 to {len(names) - 1}")
    listed = ", ".join(blocks(model)) or "none"
    hint = flags.suggestion(where, list(places)) or f"; a layer's number or name will do, or a block: {listed}"
    raise errors.UserError(f"there is no layer or block {where!r}{hint}")


def layer_table(model: keras.Model) -> str:
    """Return a table of all layers: number, name, block, output and parameters."""
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


def halves(network: keras.Model, first: int) -> tuple[keras.Model, keras.Model]:
    """Cut a network into two parts that share its layers: those before number `first`, and the others.

    Args:
        network: a flat, functional model.
        first: number of the second part's first layer, counted as in `network.layers`; above 0.

    Raises:
        UserError: the second part has no weights to train.
    """
    if not any(layer.weights for layer in network.layers[first:]):
        raise errors.UserError(
            f"--unfreeze-from {network.layers[first].name}: no layer from there on has weights; give an earlier layer"
        )
    later = {id(layer) for layer in network.layers[first:]}
    before = [operation for operation in network.operations if id(operation) not in later]
    tensors = cut.crossing_tensors(network, before)
    crossing = tensors if len(tensors) > 1 else tensors[0]
    return keras.Model(network.input, crossing), keras.Model(crossing, network.output)
