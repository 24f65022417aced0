"""Export a saved model to other formats, and load each export in its own runtime."""

from __future__ import annotations

import dataclasses
import functools
import logging
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.models import freezing
from common.runs import saved_model

NAMES = {"keras": "model.keras", "saved_model": "saved_model", "onnx": "model.onnx", "litert": "model.tflite"}
FORMATS = tuple(NAMES)
ANY_SIZE = ("keras", "saved_model")  # the model resizes its input
WITH_INT8 = ("onnx", "litert")
RUNTIMES = {"keras": "keras", "saved_model": "tensorflow", "onnx": "onnxruntime", "litert": "ai-edge-litert"}

INPUT = "pixels"  # name of the input in ONNX and LiteRT
Predictor = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A file or folder to write: a format, in float32 or int8."""

    format: str
    int8: bool = False

    @property
    def name(self) -> str:
        """The name in tables: `onnx int8`."""
        return f"{self.format} int8" if self.int8 else self.format

    @property
    def file(self) -> str:
        """The name of the file in the export's folder: `model_int8.onnx`."""
        return NAMES[self.format].replace(".", "_int8.") if self.int8 else NAMES[self.format]

    @property
    def any_size(self) -> bool:
        """Whether the export takes photos of any size."""
        return self.format in ANY_SIZE


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A loaded export: a function from float32 photos to probabilities, and its size on disk in bytes."""

    ask: Predictor
    bytes: int


def write(
    variant: Variant, saved: saved_model.SavedModel, reading: saved_model.Reading, looks: list[np.ndarray],
    folder: pathlib.Path, run: pathlib.Path,
) -> None:  # fmt: skip
    """Write one variant of a saved model into a folder.

    Args:
        variant: the format, in float32 or int8.
        saved, reading: the model of the run, and how it reads files.
        looks: training photos in the network's size, float32, to calibrate int8 with.
        folder: the folder for the file `variant.file`.
        run: the directory of the run.
    """
    path = folder / variant.file
    if variant.format == "keras":
        shutil.copyfile(run / "model.keras", path)
    elif variant.format == "saved_model":
        _write_saved_model(saved.model, path)
    elif variant == Variant("onnx"):
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
        model = _without_resizing(run)
        model.export(str(path), format="onnx", verbose=False, input_signature=signature(model, None))
    elif variant.format == "onnx":
        _quantise_onnx(folder / Variant("onnx").file, path, looks)
    else:
        _write_litert(_without_resizing(run), path, looks if variant.int8 else None)


def _write_saved_model(model: keras.Model, path: pathlib.Path) -> None:
    """Write a SavedModel with `training=False`; in `model.export`, `Resizing` switches on the dropout behind it."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [keras.InputSpec(shape=model.input_shape, dtype="float32", name=model.inputs[0].name)]
    archive.add_endpoint("serve", functools.partial(model.__call__, training=False), signature)
    archive.write_out(str(path), verbose=False)


def _without_resizing(run: pathlib.Path) -> keras.Model:
    """Return a run's network in float32 without its resizing, for photos of the network's size."""
    reading = saved_model.Reading.of(saved_model.load_model(run))
    for layer in freezing.leaf_layers(reading.model):
        layer.dtype_policy = "float32"
    preprocessing = reading.model.get_layer("preprocessing")

    def call(layer: keras.layers.Layer, *arguments: Any, **settings: Any) -> Any:
        if layer is reading.resize:
            return arguments[0]
        return walk(layer, arguments[0]) if layer is preprocessing else layer(*arguments, **settings)

    def walk(model: keras.Model, pixels: keras.KerasTensor) -> keras.KerasTensor:
        graph = keras.Model(model.input, model.output)
        walked = keras.models.clone_model(
            graph, input_tensors=pixels, clone_function=lambda layer: layer, call_function=call
        )
        return walked.output

    pixels = keras.Input((*reading.medium.shape[:-3], reading.resize.height, reading.resize.width, 3), name=INPUT)
    return keras.Model(pixels, walk(reading.model, pixels))


def signature(model: keras.Model, batch: int | None) -> list[keras.InputSpec]:
    """Return the input signature of an export, for `batch` inputs at a time; None for any number."""
    return [keras.InputSpec(shape=(batch, *model.input_shape[1:]), dtype="float32", name=INPUT)]


def _write_litert(model: keras.Model, path: pathlib.Path, looks: list[np.ndarray] | None) -> None:
    """Write LiteRT with its built-in operations only: TensorFlow's would need the Flex library on the phone."""
    options: dict[str, object] = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if looks is not None:
        options |= {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([look[None]] for look in looks),
        }
    model.export(str(path), format="litert", verbose=False, input_signature=signature(model, 1), **options)


def _quantise_onnx(source: pathlib.Path, path: pathlib.Path, looks: list[np.ndarray]) -> None:
    """Quantise statically, as in https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html."""
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    class Calibration(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(looks)

        def get_next(self) -> dict[str, np.ndarray] | None:
            look = next(self.left, None)
            return None if look is None else {name: look[None]}

    name = _onnx_session(source).get_inputs()[0].name
    prepared = path.with_suffix(".prepared.onnx")
    shape_inference.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared), str(path), Calibration(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    prepared.unlink()


# Comparing ----------------------------------------------------------------------------------------------------


def load(variant: Variant, path: pathlib.Path) -> Predictor:
    """Load an export as a function from float32 (1, height, width, 3) to probabilities (1, classes)."""
    return {"keras": _load_keras, "saved_model": _load_saved_model, "onnx": _load_onnx, "litert": _load_litert}[
        variant.format
    ](path)


def _load_keras(path: pathlib.Path) -> Predictor:
    return keras.saving.load_model(path, compile=False).predict_on_batch


def _load_saved_model(path: pathlib.Path) -> Predictor:
    model = tf.saved_model.load(str(path))
    # The function keeps the model alive.
    return lambda photos: model.serve(tf.constant(photos)).numpy()


def _onnx_session(path: pathlib.Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _load_onnx(path: pathlib.Path) -> Predictor:
    session = _onnx_session(path)
    name = session.get_inputs()[0].name
    return lambda photos: session.run(None, {name: photos})[0]


def _load_litert(path: pathlib.Path) -> Predictor:
    from ai_edge_litert import interpreter

    model = interpreter.Interpreter(model_path=str(path))
    model.allocate_tensors()
    (taken,), (given,) = model.get_input_details(), model.get_output_details()

    def ask(photos: np.ndarray) -> np.ndarray:
        model.set_tensor(taken["index"], photos)
        model.invoke()
        return model.get_tensor(given["index"])

    return ask


def bytes_of(path: pathlib.Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
