"""Pretrained networks by name, each with the preprocessing and the image size of its training."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import pathlib
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import keras

from common import errors, flags
from common.demo import drawn_photos, network
from common.models import cut, hub_backbones, memory, nested, own_backbones, raw_input

# https://keras.io/api/applications/, listed here so that a mistake is answered before Keras is loaded.
APPLICATIONS = (
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge", "DenseNet121", "DenseNet169",
    "DenseNet201", "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2",
    "EfficientNetV2B3", "EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S", "InceptionResNetV2", "InceptionV3",
    "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetLarge", "NASNetMobile", "ResNet101",
    "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2", "VGG16", "VGG19", "Xception",
)  # fmt: skip
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
        whole: a model with the layers and output of `model`, to be saved in its place; None if `model` can be saved.
    """

    name: str
    weights: str
    model: keras.Model
    preprocess: Callable
    image_size: int
    resize: keras.layers.Resizing
    whole: keras.Model | None = None

    def savable(self, classifier: keras.Model) -> keras.Model:
        """Return a classifier on `model` as it can be saved, with the same layers."""
        if self.whole is None:
            return classifier
        output = nested.applied([self.model.output], classifier.output, [self.whole.output])
        return keras.Model(self.whole.input, output, name=classifier.name)


def choose(config: Any, default: str, for_frames: bool = False) -> Backbone:
    """Load the backbone of the flags; by default `demo` on demo data, else `default` with ImageNet weights.

    Raises:
        UserError: as for `load`; or the network is `for_frames` of clips, and can only be saved whole, for photos; or
            the image size takes more memory than there is.
    """
    name = config.backbone or ("demo" if config.data == "demo" else default)
    weights = config.weights or default_weights(name, config.data)
    last_layer = getattr(config, "last_layer", None)
    preprocess = getattr(config, "preprocess", None)
    backbone = load(name, weights, config.image_size, config.aspect, last_layer, preprocess)
    if for_frames and backbone.whole is not None:
        raise errors.UserError(
            f"--backbone {name} is for photos only: a network of KerasHub's own layers is saved whole"
        )
    _check_memory(backbone, config)
    return backbone


def _check_memory(backbone: Backbone, config: Any) -> None:
    """Refuse an image size for which a single item, or a head on all features, takes more memory than there is.

    Raises:
        UserError: the estimate, and what is free.
    """
    needed = memory.of_a_batch(backbone.model, 1, getattr(config, "frames", 1))
    advice = f"choose a smaller --image-size than {backbone.image_size}"
    if getattr(config, "head", "") == "flatten":
        features = math.prod(side or 1 for side in backbone.model.output_shape[1:])
        weights = memory.NUMBER_BYTES * memory.COPIES * features * max(2, config.units)
        needed, advice = max(needed, weights), f"{advice}, or --head gap"
    memory.check(needed, advice)


def default_weights(name: str, data: str = "") -> str:
    """Return the pretrained weights of a network: `own` of a preset or file, `demo`, or `imagenet`."""
    if is_elsewhere(name):
        return "own"
    return "demo" if "demo" in (name, data) else "imagenet"


def is_elsewhere(name: str) -> bool:
    """Return whether a network is not one of `names()`, but a preset of KerasHub, a file or a run."""
    if name.partition(":")[0] in names():
        return False
    return name.startswith(hub_backbones.PREFIX) or own_backbones.is_path(name)


def takes_preprocess(name: str) -> bool:
    """Return whether a network is a file whose preprocessing must be told."""
    return is_elsewhere(name) and own_backbones.takes_preprocess(name)


def load(
    name: str,
    weights: str,
    image_size: int | None = None,
    aspect: str = "squash",
    last_layer: str | None = None,
    preprocess: str | None = None,
) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        name: `demo` or a name in `keras.applications`, optionally with `:alpha`, the width multiplier; `hub:` and a
            preset of KerasHub; a .keras file or the directory of a run.
        weights: `imagenet`, `demo` (the demo backbone's own), `own` (of a preset or file), `none` (random) or a
            weights file.
        image_size: height and width in pixels; default: the network's training size.
        aspect: `squash`, `crop` or `pad`, see `raw_input.resizing`.
        last_layer: the layer after which the network is cut off; a weights file must match the remaining network.
        preprocess: the preprocessing of a .keras file, one of `own_backbones.MODES`.

    Raises:
        UserError: the name or layer is unknown, or the weights do not exist, do not fit or cannot be downloaded.
    """
    check_name(name, preprocess)
    if is_elsewhere(name):
        return _elsewhere(name, weights, image_size, aspect, last_layer, preprocess)
    if name == "demo":
        size = image_size or drawn_photos.IMAGE_SIZE
        build, prepare = network.vgg16_narrow, network.preprocess
    else:
        size = image_size or IMAGE_SIZES.get(name.partition(":")[0], 224)
        build, prepare = _application(name, weights)
    try:
        model = build(input_shape=(size, size, 3))
        model = _cut_off(model, last_layer) if last_layer else model
        _load_weights(model, name, weights)
    except errors.UserError:
        raise
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise errors.UserError(_explained(error, name, weights)) from error
    return Backbone(name, weights, model, prepare, size, raw_input.resizing(size, aspect))


def _elsewhere(
    name: str, weights: str, image_size: int | None, aspect: str, last_layer: str | None, preprocess: str | None
) -> Backbone:
    """Load the network of a preset, a file or a run."""
    if weights in ("imagenet", "demo"):
        raise errors.UserError(f"--weights {weights} are not for {name}, which has its own; remove --weights")
    try:
        if name.startswith(hub_backbones.PREFIX):
            found = hub_backbones.load(name, weights == "own", image_size)
        else:
            found = own_backbones.load(name, weights, image_size, preprocess, last_layer)
        if last_layer and found.whole is not None:
            raise errors.UserError(f"--last-layer cannot cut {name}: KerasHub's own layers are saved as one network")
        if last_layer:
            found = found._replace(model=_cut_off(found.model, last_layer))
        found.model.trainable = True  # also a network that was saved partly frozen
        _load_weights(found.model, name, weights)
    except errors.UserError:
        raise
    except Exception as error:
        raise errors.UserError(_explained(error, name, weights)) from error
    resize = raw_input.resizing(found.image_size, aspect, found.interpolation)
    return Backbone(name, weights, found.model, found.preprocess, found.image_size, resize, found.whole)


def names() -> list[str]:
    """Return the names of networks: `demo` and every network of `keras.applications`."""
    return ["demo", *APPLICATIONS]


def check_name(name: str | None, preprocess: str | None = None) -> None:
    """Refuse an unknown network at once, before the photos are read and TensorFlow is loaded.

    Raises:
        UserError: the name is unknown; the message suggests the closest known name. There is no such file, or its
            preprocessing is not known; KerasHub is not installed.
    """
    name = name or "demo"
    base_name = name.partition(":")[0]
    if is_elsewhere(name) and not name.startswith(hub_backbones.PREFIX):
        return own_backbones.check(name, preprocess)
    if preprocess:
        raise errors.UserError(f"--preprocess is for a .keras file; {name} has its own preprocessing; remove it")
    if name.startswith(hub_backbones.PREFIX):
        return hub_backbones.check(name)
    if base_name not in names():
        hint = flags.suggestion(base_name, names())
        hint = hint or f"; give hub:NAME, a .keras file, the directory of a run, or one of {', '.join(names())}"
        raise errors.UserError(f"unknown --backbone {base_name!r}{hint}")
    return None


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
    return keras.Model(model.input, cut.layer_named(model, last_layer, "--last-layer").output, name=model.name)


def _load_weights(model: keras.Model, name: str, weights: str) -> None:
    """Load the demo's weights or a file; the constructor has already loaded ImageNet weights."""
    if weights == "demo" and name != "demo":
        raise errors.UserError(f"--weights demo are for --backbone demo; for {name} use imagenet, none or a file")
    if weights == "own" and not is_elsewhere(name):
        raise errors.UserError(f"--weights own are for hub:NAME and files; for {name} use imagenet, none or a file")
    if weights == "imagenet" and name == "demo":
        raise errors.UserError("--backbone demo has no ImageNet weights; use --weights demo or another backbone")
    if weights in ("imagenet", "own", "none"):
        return
    path = network.WEIGHTS_PATH if weights == "demo" else pathlib.Path(weights).expanduser()
    if not path.is_file():
        raise errors.UserError(f"--weights {weights}: no such file; give imagenet, demo, none or a weights file")
    if _is_of_a_run(path):
        raise errors.UserError(
            f"--weights {weights}: a whole classifier of a run, not the weights of a backbone; go on from its network "
            f"with --backbone {path.parent}"
        )
    model.load_weights(path)


def _is_of_a_run(path: pathlib.Path) -> bool:
    """Return whether a file is the model.keras of a run."""
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return not {"targets.json", "class_names.json"}.isdisjoint(archive.namelist())


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
