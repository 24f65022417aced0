"""The cache key of features: a hash of everything that they depend on, so other weights or versions change the key."""

import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Iterator

import keras
import numpy as np

from common import devices
from common.data import pipeline
from common.media import medium
from common.models import backbones

CACHE_VERSION = 2  # raise it if the same prefix would be stored differently
# Other versions of these may decode, resize or compute differently; av is PyAV, and the last three are optional.
COMPUTED_BY = ("keras", "tensorflow", "numpy", "pillow", "av", "pillow-heif", "pydicom", "python-gdcm")


# What the cache's key covers ------------------------------------------------------------------------------------


def fingerprint(prefix: keras.Model, backbone: backbones.Backbone, cache_dtype: str) -> str:
    """Return a hash of everything except the photos that changes what the prefix computes.

    It covers the layers with their settings, precision and weights, the resizing and the preprocessing (its output for
    probe pixels). It also covers the precision of the cache, the kind of device, the versions of `COMPUTED_BY`, and our
    own code that decodes, augments and batches items. Layer names are ignored, because Keras numbers them.
    """
    digest = hashlib.sha256()
    resizing = {key: value for key, value in backbone.resize.get_config().items() if key != "name"}
    settings = [CACHE_VERSION, computed_by(COMPUTED_BY), cache_dtype, resizing, _architecture(prefix)]
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for source in sources():
        digest.update(source.read_bytes())
    for part in _bytes(prefix, backbone):
        digest.update(part)
    return digest.hexdigest()[:32]


def network(prefix: keras.Model, backbone: backbones.Backbone) -> str:
    """Return a hash of the network alone: its weights, kinds of layers, output, preprocessing and image size.

    Unlike `fingerprint`, it stays the same under other versions of the packages and of our code, in which features may
    differ in their last digits. So what was learnt from features can be used for years.
    """
    kinds = [type(layer).__name__ for layer in prefix.layers]
    outputs = [list(tensor.shape[1:]) for tensor in prefix.outputs]
    resizing = [backbone.image_size, backbone.resize.crop_to_aspect_ratio, backbone.resize.pad_to_aspect_ratio]
    digest = hashlib.sha256(json.dumps([kinds, outputs, resizing]).encode())
    for part in _bytes(prefix, backbone):
        digest.update(part)
    return digest.hexdigest()[:32]


def _bytes(prefix: keras.Model, backbone: backbones.Backbone) -> Iterator[bytes]:
    """Yield the weights of a network, then the output of its preprocessing for probe pixels."""
    for weight in prefix.weights:
        yield np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes()
    probe = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    seen = backbone.preprocess(keras.ops.convert_to_tensor(probe))
    yield np.asarray(keras.ops.convert_to_numpy(seen)).tobytes()


def computed_by(packages: tuple[str, ...]) -> list[str]:
    """Return the kind of device and the versions of packages, "" for one that is not installed."""
    versions = []
    for package in packages:
        try:
            versions.append(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            versions.append("")
    return ["GPU" if devices.has_gpu() else "CPU", *versions]


def sources() -> list[pathlib.Path]:
    """Return our own files that turn an item's file into batches of pixels: the media and the pipeline."""
    return [*sorted(pathlib.Path(medium.__file__).parent.glob("*.py")), pathlib.Path(pipeline.__file__)]


def _layer_names(config: dict) -> list[str]:
    """Return the names of the layers in a model's config, then those of the layers in nested models."""
    inside = [layer["config"] for layer in config["layers"] if "layers" in layer["config"]]
    return [layer["name"] for layer in config["layers"]] + [name for part in inside for name in _layer_names(part)]


def _architecture(model: keras.Model) -> dict:
    """Return the model's config with layer names replaced by numbers, without entries that do not change its output."""
    config = model.get_config()
    numbers = {name: f"layer {number}" for number, name in enumerate(_layer_names(config))} | {config["name"]: "model"}

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key not in ("trainable", "build_config")}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    return json.loads(json.dumps(plain(config), default=str))
