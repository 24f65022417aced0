"""What computes the frozen part of a network: Keras, or ONNX Runtime, which is faster.

ONNX Runtime's numbers are within 1e-5 of the largest feature. It folds batch norm and activations into convolutions. It
computes two photos at a time in each core's own thread, so what one layer hands to the next stays in the core's cache.
A network must be exported first, which takes a few seconds. The exported file stays beside the features, and is kept
only if it agrees with Keras.
"""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import importlib.util
import logging
import math
import os
import pathlib
import sys
import time
import warnings
from typing import Any, Literal

import keras
import numpy as np

from common import devices, errors, files, startup

Name = Literal["keras", "onnxruntime"]
NAMES: tuple[Name, ...] = ("onnxruntime", "keras")
BFLOAT16 = "bfloat16"  # Keras with its policy mixed_bfloat16
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")  # the extra `fast`
# Pixels, those of 2,000 photos of 224 x 224: from here on, ONNX Runtime saves more seconds than the export takes (two
# CPU seconds for MobileNetV2, eight for ResNet50, which save 2.1 and 5.6 ms a photo).
PAYS_FROM = 2000 * 224 * 224
BOUND = 1e-5  # of the largest feature: the bound within which our tests compare cached and uncached training
CHECKED = 4  # items on which both are compared
PIXELS_AT_ONCE = 2 * 224 * 224  # in a core's cache: of MobileNetV2, 32 photos at once take 1.4 times as long


def is_installed() -> bool:
    """Return whether the packages of ONNX Runtime and of the export to it are installed."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


def chosen(config: Any, pixels: int) -> Name:
    """Return the engine for features of this many pixels, whatever the cache contains.

    Args:
        config: a `settings.PhotoConfig`.
        pixels: of all items in all their views, in the network's size.

    Raises:
        UserError: `--prefix-precision bfloat16` on a CPU that would be slower with it.
    """
    if config.prefix_precision == BFLOAT16 and not devices.has_bfloat16():
        raise errors.UserError(
            "--prefix-precision bfloat16: this CPU has no units for bfloat16 (AMX or AVX512_BF16), so it would be "
            "slower; remove it"
        )
    pays = config.engine == "onnxruntime" or config.engine == "auto" and pixels >= PAYS_FROM
    is_exact = not config.deterministic and (config.precision, config.prefix_precision) == ("float32", "float32")
    return "onnxruntime" if pays and is_exact and is_installed() and not devices.has_gpu() else "keras"


def mark(name: str, precision: str) -> str:
    """Return what an engine and its precision add to the name of the features' folder, since their digits differ."""
    rounded = "" if precision == "float32" else f"-{precision}"
    return rounded if name == "keras" else f"-{name}-{importlib.metadata.version(name)}"


def in_bfloat16(network: keras.Model, name: str) -> keras.Model:
    """Return a copy of a network that computes in bfloat16, with weights in float32.

    Args:
        network: the network, or its frozen part.
        name: what `--backbone` calls it.

    Raises:
        UserError: a layer cannot be made anew from its settings, such as some of KerasHub's.
    """

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": "mixed_bfloat16"})

    try:
        copy = keras.models.clone_model(network, clone_function=copied, recursive=True)
        copy.set_weights(network.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise errors.UserError(
            f"--prefix-precision bfloat16: {name} has layers that cannot be made anew in bfloat16; remove it"
        ) from error
    return copy


def advice(config: Any, pixels: int) -> str:
    """Return a line that says why Keras is used for this many pixels, or "" if there is nothing to say."""
    if config.engine == "onnxruntime" and devices.has_gpu():
        return "engine: Keras, since ONNX Runtime is installed for the CPU here, and there is a GPU"
    if config.engine == "auto" and pixels >= PAYS_FROM and not is_installed() and not devices.has_gpu():
        return "engine: Keras; ONNX Runtime is up to 2.8 times as fast on a CPU: pip install 'keras-recipes[fast]'"
    return ""


class OnnxNetwork:
    """An exported network in ONNX Runtime, with the one method of a Keras model that features need."""

    def __init__(self, file: pathlib.Path) -> None:
        """Load the network."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = concurrent.futures.ThreadPoolExecutor(self._cores)

    def predict_on_batch(self, batch: Any) -> list[np.ndarray]:
        """Return the network's outputs (n, …) for preprocessed items (n, …), several at a time in each core."""
        items = np.asarray(batch)
        fits = PIXELS_AT_ONCE // math.prod(items.shape[1:-1])
        size = max(1, min(fits, math.ceil(len(items) / self._cores)))
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        return [np.concatenate(arrays) for arrays in zip(*self._threads.map(self._computed, parts), strict=True)]

    def _computed(self, items: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._session.get_inputs()[0].name: items})


def load(network: keras.Model, file: pathlib.Path, items: np.ndarray) -> OnnxNetwork | None:
    """Return a network in ONNX Runtime, or None if it does not compute what Keras computes; one line says which.

    Args:
        network: the frozen part of a model.
        file: where the exported network is, or will be kept; beside it, the reason why there is none, which counts for
            the same versions of the packages.
        items: preprocessed items to compare both on.
    """
    runtime = f"ONNX Runtime {importlib.metadata.version('onnxruntime')}"
    refused = file.with_suffix(".refused")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    if refused.is_file():
        *lines, of_versions = refused.read_text(encoding="utf-8").splitlines()
        if of_versions == versions:  # others may export what these cannot
            print(f"engine: Keras, since {' '.join(lines)}", file=sys.stderr)
            return None
    if file.is_file():
        print(f"engine: {runtime}, as it was exported and compared with Keras before", file=sys.stderr)
        return OnnxNetwork(file)
    started = time.perf_counter()
    try:
        with files.replacing(file) as temporary:
            expected = network([items] if isinstance(network.input, list) else items, training=False)
            _export(network, temporary)
            loaded = OnnxNetwork(temporary)
            difference = _difference(keras.tree.flatten(expected), loaded.predict_on_batch(items))
            if not difference <= BOUND:  # also if it is not a number
                raise ValueError(f"its features differ by {difference:.0e} of their size")
    except Exception as error:  # converters raise errors of any class
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        told = f"{runtime} does not compute this network as Keras does: {reason}"
        if not isinstance(error, OSError | MemoryError):  # not for a full disk, say
            refused.write_text(f"{told}\n{versions}", encoding="utf-8")
        print(f"engine: Keras, since {told}", file=sys.stderr)
        return None
    seconds = time.perf_counter() - started
    told = f"exported in {seconds:.1f} s; it differs from Keras by at most {difference:.0e} of the features' size"
    print(f"engine: {runtime}, {told}", file=sys.stderr)
    return loaded


def _export(network: keras.Model, file: pathlib.Path) -> None:
    """Export a network that has been called to ONNX; what the converter prints is dropped."""
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with startup.stderr_held_back([]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.export(str(file), format="onnx", verbose=False)


def _difference(expected: list, found: list[np.ndarray]) -> float:
    """Return the largest difference between outputs of Keras and of ONNX Runtime, relative to the output's size."""
    pairs = zip(map(keras.ops.convert_to_numpy, expected), found, strict=True)
    return float(np.max([np.abs(a - b).max() / (np.abs(a).max() or 1) for a, b in pairs]))  # NaN if one is
