"""Networks of KerasHub's presets, flat, with the preset's preprocessing and image size.

A vision transformer returns a sequence of tokens. It becomes a feature map: the tokens of the patches lie as the
patches lie in the photo. A class token is added to each place as further channels. Behind average pooling, a head
thus sees the mean of the patches and the class token. DINOv2's linear evaluation uses these features (Oquab et al.
2023, https://arxiv.org/abs/2304.07193), as does `Dinov2ForImageClassification` of transformers. ViT, DeiT and CLIP
were pretrained by the class token alone. Register and distillation tokens are left out.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import errors, flags
from common.models import applied_again, nested, presets

PREFIX = "hub:"
WANTED_BY = "--backbone hub:… needs"
TOWERS = ("vision_encoder", "image_encoder", "backbone")  # attributes with the network for photos of a larger model
WITH_CLASS = "patches_and_class"  # the layer that adds the class token to a feature map


def source_of(name: str) -> str:
    """Return the preset after `hub:`; the folder of a preset with `~` replaced."""
    source = name.removeprefix(PREFIX)
    return source if "://" in source else str(pathlib.Path(source).expanduser()) if is_folder(source) else source


def is_folder(source: str) -> bool:
    """Return whether a preset is meant as a folder: its name looks like a path."""
    return "://" not in source and ("/" in source or source.startswith(("~", ".")) or pathlib.Path(source).is_dir())


def check(name: str) -> None:
    """Refuse, without loading anything, a folder that does not exist, and a preset where KerasHub is missing.

    Raises:
        UserError: the message says what to give, or to install.
    """
    source = name.removeprefix(PREFIX)
    if importlib.util.find_spec("keras_hub") is None:
        raise errors.UserError(presets.install(WANTED_BY))
    if not source:
        raise errors.UserError("--backbone hub: needs a preset, such as hub:vit_base_patch16_224_imagenet")
    if is_folder(source) and not pathlib.Path(source).expanduser().joinpath("config.json").is_file():
        raise errors.UserError(f"--backbone {name}: no such preset folder; give a folder that save_to_preset wrote")


def load(name: str, weights: bool, image_size: int | None) -> nested.Network:
    """Load the network of a preset.

    Args:
        name: `hub:` and a preset of KerasHub, `hf://…`, `kaggle://…` or a folder.
        weights: whether to load the weights; otherwise they are random.
        image_size: height and width in pixels; default: that of the preset.

    Raises:
        UserError: there is no such preset, it cannot be downloaded, or it is no network for photos.
    """
    package, source = presets.keras_hub(WANTED_BY), source_of(name)
    presets.check_reachable(f"--backbone {name}", source)
    try:
        backbone = package.models.Backbone.from_preset(source, load_weights=weights)
    except Exception as error:  # KerasHub, Kaggle and Hugging Face raise different types
        raise errors.UserError(_explained(error, name, source, package)) from error
    tower = _tower(backbone, name)
    converter = _converter(package, source, name)
    fixed = tower.inputs[0].shape[1]
    size = image_size or fixed or (converter.image_size or (224,))[0]
    if fixed != size:
        tower = _resized(tower, size, name, weights)
    network, whole = as_feature_map(tower)
    preprocess = functools.partial(_preprocess, converter.scale, converter.offset)
    return nested.Network(network, preprocess, size, whole, converter.interpolation)


def _preprocess(scale: Any, offset: Any, photos: Any) -> Any:
    """Scale RGB 0–255 as the preset's `ImageConverter` does; arrays, tensors and Keras tensors."""
    x = photos
    if scale is not None:
        x = x * np.asarray(scale, "float32")
    return x if offset is None else x + np.asarray(offset, "float32")


def _converter(package: Any, source: str, name: str) -> Any:
    """Load the preprocessing of a preset."""
    try:
        return package.layers.ImageConverter.from_preset(source)
    except Exception as error:
        raise errors.UserError(
            f"--backbone {name}: the preset has no image converter ({presets.reason(error)}); add one, "
            "keras_hub.layers.ImageConverter(…).save_to_preset(folder)"
        ) from error


def _explained(error: Exception, name: str, source: str, package: Any) -> str:
    """Return what the user can do about a preset that cannot be loaded."""
    known = [*package.models.Backbone.presets]
    if source in known or "://" in source:
        advice = "check the network, or give the folder of a preset that save_to_preset wrote"
    elif is_folder(source):
        advice = "give a folder that save_to_preset wrote"
    else:
        hint = flags.suggestion(source, known).removeprefix("; ")
        advice = hint or "give a name from https://keras.io/keras_hub/presets/, hf://…, or the folder of a preset"
    return f"--backbone {name} cannot be loaded ({presets.reason(error)}); {advice}"


def _tower(backbone: Any, name: str) -> Any:
    """Return the part of a network that takes photos alone."""
    part = backbone
    while not _takes_photos(part) or any(_takes_photos(getattr(part, each, None)) for each in TOWERS):
        part = next((getattr(part, each) for each in TOWERS if getattr(part, each, None) is not None), None)
        if part is None:
            kind = type(backbone).__name__
            raise errors.UserError(f"--backbone {name} is a {kind}, which has no network for photos that can be used")
    return part


def _takes_photos(part: Any) -> bool:
    """Return whether a part is a functional model with photos as its only input."""
    inputs = getattr(part, "inputs", None) or []
    return len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[-1] == 3


def _resized(tower: Any, size: int, name: str, weights: bool) -> Any:
    """Return the same network for photos of another size."""
    try:
        config = tower.get_config()
        shape = "input_shape" if "input_shape" in config else "image_shape"
        other = type(tower).from_config(config | {shape: (size, size, 3)})
        if weights:
            other.set_weights(tower.get_weights())
        return other
    except Exception as error:
        raise errors.UserError(
            f"--backbone {name} was trained at {tower.inputs[0].shape[1] or 'other'} pixels and does not take {size} "
            f"({presets.reason(error)}); remove --image-size"
        ) from error


# From a sequence of tokens to a feature map -----------------------------------------------------------------------


def inside(model: keras.Model) -> Any:
    """Return the network of KerasHub that a saved classifier contains as one layer, or None."""
    return next((layer for layer in model.layers if is_of_the_hub(layer) and isinstance(layer, keras.Model)), None)


@functools.cache
def as_feature_map(tower: Any) -> tuple[keras.Model, keras.Model | None]:
    """Return a network of KerasHub as a flat network that ends in a feature map, with the same layers.

    Returns:
        The flat network. And a model with the same output that contains the whole network, to be saved: KerasHub
        saves its networks, but not each of their layers. None if all layers are Keras's own; the flat network can then
        be saved. Both are made once: a layer that is applied twice would have two outputs.
    """
    unroll = next((UNROLLED[kind.__name__] for kind in type(tower).__mro__ if kind.__name__ in UNROLLED), None)
    features = _chosen(unroll(tower) if unroll else tower.output)
    network = keras.Model(tower.inputs[0], _as_map(features), name=tower.name)
    photos = keras.Input(tower.inputs[0].shape[1:], name="photos")
    if len(_chosen(tower.output).shape) == 2:  # SigLIP's own output is pooled
        tokens = keras.Model(tower.inputs[0], tower.post_layer_norm.output, name=tower.name)(photos)
        return network, keras.Model(photos, _as_map(tokens[:, : _patches(tower)]), name=tower.name)
    if not _describe(network):
        return network, None
    output = tower(dict.fromkeys(tower.input, photos) if isinstance(tower.input, dict) else photos)
    return network, keras.Model(photos, _as_map(_chosen(output)), name=tower.name)


def _patches(tower: Any) -> int:
    return (tower.inputs[0].shape[1] // tower.patch_size) ** 2


def _describe(network: keras.Model) -> bool:
    """Make the config of KerasHub's layers in a flat network fit for the cache's key; return whether there are any."""
    of_the_hub = [layer for layer in network.layers if is_of_the_hub(layer)]
    for layer in of_the_hub:
        setattr(layer, "get_config", functools.partial(_described, layer))  # noqa: B010
    return bool(of_the_hub)


def is_of_the_hub(layer: keras.layers.Layer) -> bool:
    """Return whether a layer or network is one of KerasHub."""
    return type(layer).__module__.startswith("keras_hub.")


def _described(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return the settings of a layer; the `get_config` of several of KerasHub's blocks fails or is incomplete."""
    simple = {name: value for name, value in vars(layer).items() if isinstance(value, (bool, int, float, str))}
    return {"name": layer.name} | {name: value for name, value in simple.items() if name[0] != "_" and name != "built"}


def _chosen(output: Any) -> Any:
    """Return one tensor of a network's output: the last stage's feature map, or CLIP's last tokens."""
    return output.get("sequence_output", list(output.values())[-1]) if isinstance(output, dict) else output


def _as_map(features: Any) -> Any:
    """Lay tokens (batch, tokens, width) out as the patches of a square photo lie, with the class token everywhere."""
    if len(features.shape) == 4:
        return features
    _, count, width = features.shape
    side = math.isqrt(count)
    first = count - side * side  # the class token, and tokens that are left out
    x = keras.layers.Cropping1D((first, 0), name="patch_tokens")(features) if first else features
    x = keras.layers.Reshape((side, side, width), name="patch_map")(x)
    if not first:
        return x
    summary = keras.layers.Cropping1D((0, count - 1), name="class_token")(features)
    summary = keras.layers.Reshape((1, 1, width), name="class_map")(summary)
    summary = keras.layers.UpSampling2D(side, name="class_everywhere")(summary)
    return keras.layers.Concatenate(name=WITH_CLASS)([x, summary])


# Encoders that are one layer, as their blocks ---------------------------------------------------------------------


def _again(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a layer that its network has applied already, as a layer with one output."""
    return applied_again.Again(layer, _described(layer))


def _vit(tower: Any) -> Any:
    encoder = tower.get_layer("vit_encoder")
    x = encoder.dropout(encoder.input)
    for layer in [*encoder.encoder_layers, encoder.layer_norm]:
        x = layer(x)
    return x


def _deit(tower: Any) -> Any:
    encoder = tower.get_layer("deit_encoder")
    x = encoder.input
    for block in encoder.encoder_layers:  # as their parts: a block also returns scores, which are None here
        for part in (block.layer_norm_1, block.mha, block.layer_norm_2, block.mlp, block.output_layer):
            part.name = f"{block.name}_{part.name}"
        normed = block.layer_norm_1(x)
        x = block.mha(normed, normed) + x
        x = block.output_layer(block.mlp(block.layer_norm_2(x)), x)
    return encoder.layer_norm(x)


def _dinov2(tower: Any) -> Any:
    x = tower.embeddings.output
    for layer in tower.encoder.layers:
        x = layer(x)
    return _again(tower.layernorm)(x)


def _dinov3(tower: Any) -> Any:
    """Use constants as rotary position embeddings: they depend on the size alone, and have no batch axis."""
    photos = np.zeros((1, *tower.inputs[0].shape[1:]), "float32")
    positions = tuple(np.array(part, "float32") for part in tower.rope_embedding(photos))
    x = tower.embeddings.output
    for layer in tower.encoder.layers:
        x = layer(x, position_embeddings=positions, num_prefix_tokens=1 + tower.num_register_tokens)
    return _again(tower.layernorm)(x)


def _siglip(tower: Any) -> Any:
    """Without the pooling head; the symbolic length is corrected, for KerasHub 0.32 counts a class token too many."""
    x = tower.embedding.output[:, : _patches(tower)]
    for layer in [*tower.encoder_layers, tower.post_layer_norm]:
        x = _again(layer)(x)
    return x


def _swin(tower: Any) -> Any:
    x = tower.get_layer("pos_drop").output
    for stage in tower.stages:
        for block in stage.blocks:
            block.name = f"{stage.name}_{block.name}"
            x = block(x)
        if stage.downsample is not None:
            height, width = stage.input_resolution
            stage.downsample.name = f"{stage.name}_{stage.downsample.name}"
            x = stage.downsample(x, H=height, W=width)
    return _again(tower.norm)(x)


def _hgnet(tower: Any) -> Any:
    x = tower.embedder_layer.output
    for stage in tower.encoder_layer.stages_list:
        for layer in [stage.downsample_layer, *stage.blocks_list]:
            x = x if isinstance(layer, keras.layers.Identity) else layer(x)
    return x


UNROLLED: dict[str, Callable[[Any], Any]] = {
    "ViTBackbone": _vit, "DeiTBackbone": _deit, "DINOV2Backbone": _dinov2, "DINOV3Backbone": _dinov3,
    "SigLIPVisionEncoder": _siglip, "SwinTransformerBackbone": _swin, "HGNetV2Backbone": _hgnet,
}  # fmt: skip
