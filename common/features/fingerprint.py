"""What a cached feature depends on, as a hash: another weight, pixel or version gives another key."""

import hashlib
import importlib.metadata
import json

import keras
import numpy as np

CACHE_VERSION = 2  # raise it when the same prefix would be stored otherwise
COMPUTED_BY = ("keras", "tensorflow", "pillow")  # another version of these may decode, resize or compute otherwise


# What the cache's key covers ------------------------------------------------------------------------------------


def fingerprint(prefix: keras.Model, backbone, cache_dtype: str) -> str:
    """A hash of everything but the photos that changes what the prefix computes.

    The layers with their settings and precision, their weights, the resizing, the preprocessing (by what it makes
    of probe pixels), the precision of the cache and the versions of what computes. Names that Keras counts up do not
    matter.
    """
    digest = hashlib.sha256()
    resizing = {key: value for key, value in backbone.resize.get_config().items() if key != "name"}
    versions = [importlib.metadata.version(package) for package in COMPUTED_BY]
    settings = [CACHE_VERSION, versions, cache_dtype, resizing, _architecture(prefix)]
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for weight in prefix.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    probe = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    digest.update(
        np.asarray(keras.ops.convert_to_numpy(backbone.preprocess(keras.ops.convert_to_tensor(probe)))).tobytes()
    )
    return digest.hexdigest()[:32]


def _layer_names(config: dict) -> list[str]:
    """The names of the layers in a model's config, then of those in the models among them."""
    inside = [layer["config"] for layer in config["layers"] if "layers" in layer["config"]]
    return [layer["name"] for layer in config["layers"]] + [name for part in inside for name in _layer_names(part)]


def _architecture(model: keras.Model):
    """The model's config with layer names replaced by numbers and without what does not change its output."""
    config = model.get_config()
    numbers = {name: f"layer {number}" for number, name in enumerate(_layer_names(config))} | {config["name"]: "model"}

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key not in ("trainable", "build_config")}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    return json.loads(json.dumps(plain(config), default=str))
