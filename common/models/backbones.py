"""Pretrained networks by name, each with the preprocessing and the image size of its training."""

import dataclasses
import inspect
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import keras

from common import errors, flags
from common.demo import drawn_photos, network
from common.models import raw_input

# https://keras.io/api/applications/: all other networks were trained at 224.
IMAGE_SIZES = {
    "Xception": 299, "InceptionV3": 299, "InceptionResNetV2": 299, "NASNetLarge": 331,
    "EfficientNetB1": 240, "EfficientNetB2": 260, "EfficientNetB3": 300, "EfficientNetB4": 380,
    "EfficientNetB5": 456, "EfficientNetB6": 528, "EfficientNetB7": 600,
    "EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network without its classifier, with its preprocessing and image size.

    Attributes:
        name: the given name, such as `VGG16` or `MobileNetV2:0.35`.
        weights: `imagenet`, `demo`, `none` or a path.
        model: a functional Keras model, (batch, image_size, image_size, 3) to a feature map.
        preprocess: converts RGB 0–255 (array, tensor or Keras tensor) to the input of `model`.
        image_size: height and width in pixels.
        resize: the layer that resizes photos of any size to `image_size`.
    """

    name: str
    weights: str
    model: keras.Model
    preprocess: Callable
    image_size: int
    resize: keras.layers.Resizing


def choose(config: Any, default: str) -> Backbone:
    """Load the backbone of the flags; by default `demo` on demo data, else `default` with ImageNet weights."""
    name = config.backbone or ("demo" if config.data == "demo" else default)
    weights = config.weights or ("demo" if config.data == "demo" else "imagenet")
    return load(name, weights, config.image_size, config.aspect, getattr(config, "last_layer", None))


def load(
    name: str, weights: str, image_size: int | None = None, aspect: str = "squash", last_layer: str | None = None
) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        name: `demo` or a name in `keras.applications`, optionally with `:alpha`, the width multiplier.
        weights: `imagenet`, `demo` (the demo backbone's own), `none` (random) or a weights file.
        image_size: height and width in pixels; default: the network's training size.
        aspect: `squash`, `crop` or `pad`, see `raw_input.resizing`.
        last_layer: the layer after which the network is cut off; a weights file must match the remaining network.

    Raises:
        UserError: the name or layer is unknown, or the weights do not exist, do not fit or cannot be downloaded.
    """
    if name == "demo":
        size = image_size or drawn_photos.IMAGE_SIZE
        build, preprocess = network.vgg16_narrow, network.preprocess
    else:
        size = image_size or IMAGE_SIZES.get(name.partition(":")[0], 224)
        build, preprocess = _application(name, weights)
    try:
        model = build(input_shape=(size, size, 3))
        model = _cut_off(model, last_layer) if last_layer else model
        _load_weights(model, name, weights)
    except errors.UserError:
        raise
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise errors.UserError(_explained(error, name, weights)) from error
    return Backbone(name, weights, model, preprocess, size, raw_input.resizing(size, aspect))


def names() -> list[str]:
    """Return the values of `--backbone`: `demo` and every network of `keras.applications`."""
    return ["demo", *sorted(_constructors())]


def check_name(name: str | None) -> None:
    """Refuse an unknown network at once, before the photos are read.

    Raises:
        UserError: the name is unknown; the message suggests the closest known name.
    """
    base_name = (name or "demo").partition(":")[0]
    if base_name not in names():
        hint = flags.suggestion(base_name, names()) or f"; the networks are {', '.join(names())}"
        raise errors.UserError(f"unknown --backbone {base_name!r}{hint}")


def _constructors() -> dict[str, tuple[Callable, Callable]]:
    """Return name → (constructor, preprocess_input), from the modules of `keras.applications`."""
    found: dict[str, tuple[Callable, Callable]] = {}
    for module in vars(keras.applications).values():
        if hasattr(module, "preprocess_input"):
            for name, thing in vars(module).items():
                if name[0].isupper() and callable(thing):
                    found.setdefault(name, (thing, module.preprocess_input))
    for name in ("MobileNetV3Small", "MobileNetV3Large"):  # Their module contains only their preprocessing.
        found[name] = (getattr(keras.applications, name), keras.applications.mobilenet_v3.preprocess_input)
    return found


def _application(name: str, weights: str) -> tuple[Callable, Callable]:
    """Return a function of `input_shape` that builds the network, and its preprocessing."""
    base_name, _, alpha = name.partition(":")
    check_name(name)
    constructor, preprocess = _constructors()[base_name]
    options: dict[str, Any] = {"include_top": False, "weights": "imagenet" if weights == "imagenet" else None}
    if alpha:
        options["alpha"] = _alpha(base_name, alpha, constructor)

    def build(input_shape: tuple[int, ...]) -> keras.Model:
        with warnings.catch_warnings():  # MobileNet's weights for 224 pixels work at all sizes; Keras warns
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            return constructor(input_shape=input_shape, **options)

    return build, preprocess


def _alpha(name: str, alpha: str, constructor: Callable) -> float:
    """Return the width multiplier after the colon."""
    if "alpha" not in inspect.signature(constructor).parameters:
        raise errors.UserError(f"--backbone {name} has no width multiplier; remove :{alpha}")
    try:
        return float(alpha)
    except ValueError:
        raise errors.UserError(f"--backbone {name}:{alpha}: the width multiplier must be a number") from None


def _cut_off(model: keras.Model, last_layer: str) -> keras.Model:
    """Return the network up to a layer."""
    layers = {layer.name: layer for layer in model.layers}
    if last_layer not in layers:
        hint = flags.suggestion(last_layer, list(layers))
        raise errors.UserError(f"--last-layer {last_layer}: {model.name} has no such layer{hint}")
    return keras.Model(model.input, layers[last_layer].output, name=model.name)


def _load_weights(model: keras.Model, name: str, weights: str) -> None:
    """Load the demo's weights or a file; the constructor has already loaded ImageNet weights."""
    if weights == "demo" and name != "demo":
        raise errors.UserError(f"--weights demo are for --backbone demo; for {name} use imagenet, none or a file")
    if weights == "imagenet" and name == "demo":
        raise errors.UserError("--backbone demo has no ImageNet weights; use --weights demo or another backbone")
    if weights in ("imagenet", "none"):
        return
    path = network.WEIGHTS_PATH if weights == "demo" else pathlib.Path(weights).expanduser()
    if not path.is_file():
        raise errors.UserError(f"--weights {weights}: no such file; give imagenet, demo, none or a weights file")
    model.load_weights(path)


def _explained(error: Exception, name: str, weights: str) -> str:
    """Return what the user can do about an error that Keras raised while building or loading."""
    message = str(error)
    if "URL fetch failure" in message:
        folder = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"
        url = next((word.rstrip(":") for word in message.split() if word.startswith("http")), "")
        return (
            f"the ImageNet weights of {name} could not be downloaded (no network?): download {url} elsewhere and put "
            f"it into {folder}, or use --weights FILE, or --weights none for random weights"
        )
    return f"--backbone {name} --weights {weights}: {message.splitlines()[0] if message else type(error).__name__}"
