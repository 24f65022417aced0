"""Networks of one's own as backbones: a .keras file with a functional model, or a run of these recipes."""

from __future__ import annotations

import functools
import pathlib
import re
import sys
import textwrap
import zipfile
from collections.abc import Callable
from typing import Any

import keras

from common import errors
from common.models import cut, hub_backbones, nested, presets

MODES = {  # as in keras.applications.imagenet_utils.preprocess_input
    "torch": "scales to 0–1, then by ImageNet's mean and standard deviation", "tf": "scales to -1–1",
    "caffe": "BGR minus ImageNet's mean", "none": "leaves RGB 0–255 as it is",
}  # fmt: skip
OLD = (".h5", ".hdf5", ".pb", ".tflite", ".onnx", ".pt", ".pth", ".safetensors")


def is_path(name: str) -> bool:
    """Return whether a backbone is meant as a file or folder."""
    path = pathlib.Path(name).expanduser()
    return name.startswith(("~", ".", "/")) or "/" in name or path.suffix in (".keras", *OLD) or path.is_dir()


def takes_preprocess(name: str) -> bool:
    """Return whether a path needs `--preprocess`: it is a file, and not the model of a run."""
    file = pathlib.Path(name).expanduser()
    return file.is_file() and zipfile.is_zipfile(file) and not is_ours(file)


def check(name: str, preprocess: str | None) -> None:
    """Refuse, without loading it, a path that is no such file, and a file whose preprocessing is not known.

    Raises:
        UserError: the message says what to give instead.
    """
    path, flag = pathlib.Path(name).expanduser(), f"--backbone {name}"
    if not path.exists():
        raise errors.UserError(f"{flag}: no such file or folder; give a .keras file or the directory of a finished run")
    if path.is_dir() and not (path / "model.keras").is_file():
        if (path / "config.json").is_file() and any(path.glob("*.weights.h5")):
            raise errors.UserError(f"{flag} is the folder of a preset; use --backbone hub:{name}")
        raise errors.UserError(f"{flag} has no model.keras; give the directory of a finished run on photos")
    file = path / "model.keras" if path.is_dir() else path
    if not zipfile.is_zipfile(file):
        raise errors.UserError(f"{flag} is not a .keras file; save the model with model.save('my_model.keras')")
    ours = is_ours(file)
    if ours and preprocess:
        raise errors.UserError(f"{flag} is a run, whose model contains its preprocessing; remove --preprocess")
    if not ours and not preprocess:
        told = "; ".join(f"{mode} {does}" for mode, does in MODES.items())
        raise errors.UserError(f"{flag} needs --preprocess, the input that the network was trained with: {told}")


def is_ours(file: pathlib.Path) -> bool:
    """Return whether a .keras file is the model of a run, which takes raw pixels."""
    with zipfile.ZipFile(file) as archive:
        return "medium.json" in archive.namelist()


def load(
    name: str, weights: str, image_size: int | None, preprocess: str | None, last_layer: str | None
) -> nested.Network:
    """Load the network of a file: its layers up to the last feature map, or to a layer, as a flat model.

    Args:
        name: a .keras file or the directory of a finished run.
        weights: `own` for those of the file, or `none` for random ones.
        image_size: height and width in pixels; default: that of the file.
        preprocess: one of `MODES`; None for a run, whose model contains its preprocessing.
        last_layer: the layer after which the network is cut off; default: the last with a feature map.

    Raises:
        UserError: the file is not a functional network for photos, or has layers that Keras does not know.
    """
    check(name, preprocess)
    path = pathlib.Path(name).expanduser()
    file = path / "model.keras" if path.is_dir() else path
    model, prepare = _loaded(file, name), _mode(preprocess or "none")
    if is_ours(file):
        model, prepare = _of_a_run(model, name)
    _check_kind(model, name)
    shape = model.inputs[0].shape[1:3]
    size = image_size or shape[0] or shape[1] or 224
    if any(side not in (None, size) for side in shape):
        advice = "remove --image-size" if shape[0] == shape[1] else "only networks for square photos are supported"
        raise errors.UserError(f"--backbone {name} takes photos of {shape[0]} x {shape[1]} pixels; {advice}")
    if (tower := hub_backbones.inside(model)) is not None:
        network, whole = hub_backbones.as_feature_map(tower)
        return nested.Network(network, prepare, size, whole)
    left_out: list[str] = []
    flat = nested.taken_apart(model, size, weights != "none", lambda layer: _is_augmentation(layer, left_out))
    last = cut.layer_named(flat, last_layer, "--last-layer") if last_layer else _last_feature_map(flat, name)
    network = keras.Model(flat.input, last.output, name=model.name)
    after = [layer.name for layer in flat.layers[flat.layers.index(last) + 1 :]]
    if after or left_out:
        shape = " x ".join(map(str, network.output.shape[1:]))
        print(
            f"backbone: {name} up to {last.name}, {shape}; left out: {', '.join([*left_out, *after])}", file=sys.stderr
        )
    return nested.Network(network, prepare, size)


def _loaded(file: pathlib.Path, name: str) -> Any:
    """Load a .keras file in Keras's safe mode."""
    presets.import_for(file, f"--backbone {name} needs")
    try:
        return keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises many types for a file that it cannot read
        message = str(error)
        if "Lambda" in message:
            advice = "it contains a Lambda layer, which is Python code, not run from a file; use Keras's own layers"
        elif custom := re.search(r"Could not locate (?:class|function) '([^']+)'", message):
            advice = f"its layer {custom[1]} is not one of Keras, so its code is missing; use Keras's own layers"
        else:
            advice = textwrap.shorten(message or type(error).__name__, 160, placeholder=" …")
        raise errors.UserError(f"--backbone {name} cannot be loaded: {advice}") from error


def _of_a_run(model: Any, name: str) -> tuple[Any, Callable]:
    """Return the classifier in a run's model, and its preprocessing of photos that are already resized."""
    parts = {layer.name: layer for layer in model.layers}
    if "classifier" not in parts or "preprocessing" not in parts:
        raise errors.UserError(f"--backbone {name} is not a run on photos; give the directory of a run on photos")
    preprocessing = parts["preprocessing"]
    resize = next(layer for layer in preprocessing.layers if isinstance(layer, keras.layers.Resizing))
    if resize.output is preprocessing.output:
        return parts["classifier"], _mode("none")
    photos = keras.Input((None, None, 3), name="photos")
    prepared = nested.applied([resize.output], preprocessing.output, [photos])
    return parts["classifier"], keras.Model(photos, prepared, name="scaling")


def _mode(mode: str) -> Callable:
    """Return the preprocessing of one of `MODES`."""
    if mode == "none":
        return lambda photos: photos
    return functools.partial(keras.applications.imagenet_utils.preprocess_input, mode=mode)


def _check_kind(model: Any, name: str) -> None:
    """Refuse what cannot be cut: a model without a graph of layers, with several inputs, or not for photos."""
    if not getattr(model, "inputs", None):
        problem = "is not a functional model: its layers cannot be frozen one by one"
    elif len(model.inputs) > 1 or len(model.outputs) > 1:
        problem = f"has {len(model.inputs)} inputs and {len(model.outputs)} outputs, not one of each"
    elif len(model.inputs[0].shape) != 4 or model.inputs[0].shape[-1] != 3:
        shape = " x ".join("any" if side is None else str(side) for side in model.inputs[0].shape[1:])
        problem = f"takes {shape}, not photos (height x width x 3)"
    else:
        return
    raise errors.UserError(f"--backbone {name} {problem}; give a functional Keras model for RGB photos")


def _is_augmentation(layer: Any, found: list[str]) -> bool:
    """Return whether a layer changes photos at random in training, and note it: the flags do that here."""
    is_one = type(layer).__name__.startswith("Random") and type(layer).__module__.startswith("keras.")
    if is_one:
        found.append(layer.name)
    return is_one


def _last_feature_map(flat: keras.Model, name: str) -> keras.layers.Layer:
    """Return the last layer whose output has height and width."""
    for layer in reversed(flat.layers):
        shape = getattr(layer.output, "shape", ())
        if len(shape) == 4 and 1 not in shape[1:3] and not isinstance(layer, keras.layers.InputLayer):
            return layer
    raise errors.UserError(f"--backbone {name} has no feature map (height x width x channels), so a head has no input")
