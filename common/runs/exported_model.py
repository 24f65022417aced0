"""Export a saved model of photos or clips to other formats, and load each export in its own runtime."""

from __future__ import annotations

import dataclasses
import functools
import logging
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

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
Inputs = tuple[np.ndarray, ...]  # one array for each input of a model, with a batch of 1
Predictor = Callable[..., np.ndarray]  # takes one array for each input of a model


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
    """A loaded export: a function from its inputs to its answers, and its size on disk in bytes."""

    ask: Predictor
    bytes: int


class Exportable(Protocol):
    """A run's model that can be exported: `Pictures`, or `exported_text_model.Documents`."""

    @property
    def beside(self) -> tuple[str, ...]:
        """The names of folders that `write` leaves beside the exports."""

    @property
    def model(self) -> keras.Model:
        """The whole model."""

    @property
    def reading(self) -> Any:
        """How files become inputs of the model: a `saved_model.Reading` or a `saved_text_model.Classifier`."""

    def exists(self, path: pathlib.Path) -> bool:
        """Return whether an item of split.csv is where it was."""

    def inputs(self, path: pathlib.Path) -> tuple[list[Inputs], list[Inputs]]:
        """Return the inputs for an item, one for each look: in its own size, and in the network's size.

        Raises:
            UnusableFile: the file cannot be read.
        """

    def expected(self, inputs: list[Inputs]) -> np.ndarray:
        """Return the Keras model's answer for the inputs of an item in the network's size."""

    def write(self, variant: Variant, calibration: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
        """Write one variant into a folder, as the file `variant.file`; int8 is calibrated on the given items."""

    def load(self, variant: Variant, path: pathlib.Path) -> Predictor:
        """Load an export."""

    def describe(self, variant: Variant) -> dict:
        """Return all that a program without this repository needs to know of an export, besides its `target`."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A run's model of photos or clips, documented in `Exportable`.

    Attributes:
        run: the directory of the run.
        saved, reading: its model, and how it reads files.
    """

    run: pathlib.Path
    saved: saved_model.SavedModel
    reading: saved_model.Reading

    beside: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, run: pathlib.Path) -> Pictures:
        """Return the model of a run; raises a UserError if there is none."""
        saved = saved_model.load_model(run)
        return cls(run, saved, saved_model.Reading.of(saved))

    @property
    def model(self) -> keras.Model:
        return self.saved.model

    def exists(self, path: pathlib.Path) -> bool:
        return path.exists()

    def inputs(self, path: pathlib.Path) -> tuple[list[Inputs], list[Inputs]]:
        # A model that takes whole clips samples frames by their number; it gets exactly as many as the look needs.
        pairs = [self.reading.medium.raw(path, look) for look in self.reading.medium.looks("test")]
        own: list[Inputs] = [(raw[None].astype("float32"),) for raw, _ in pairs]
        return own, [(self.reading.resized(taken)[None],) for _, taken in pairs]

    def expected(self, inputs: list[Inputs]) -> np.ndarray:
        return self.reading.probabilities([[look[0] for (look,) in inputs]])[0]

    def write(self, variant: Variant, calibration: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
        path = folder / variant.file
        looks = [look[0] for item in calibration for (look,) in self.inputs(item)[1]] if variant.int8 else []
        if variant.format == "keras":
            shutil.copyfile(self.run / "model.keras", path)
        elif variant.format == "saved_model":
            write_saved_model(self.model, path)
        elif variant == Variant("onnx"):
            write_onnx(_without_resizing(self.run), path)
        elif variant.format == "onnx":
            _quantise_onnx(folder / Variant("onnx").file, path, looks)
        else:
            write_litert(_without_resizing(self.run), path, looks if variant.int8 else None)

    def load(self, variant: Variant, path: pathlib.Path) -> Predictor:
        return load(variant, path)

    def describe(self, variant: Variant) -> dict:
        resize, medium = self.reading.resize, self.saved.medium
        size = [None, None] if variant.any_size else [resize.height, resize.width]
        frames = [None if variant.any_size else length for length in medium.shape[:-3]]
        batch = 1 if variant.format == "litert" else None
        told = {
            "format": variant.format,
            "weights": "int8" if variant.int8 else "float32",
            "class_names": list(self.saved.targets.named),
            "input": {
                "name": self.model.inputs[0].name if variant.any_size else INPUT,
                "shape": [batch, *frames, *size, 3],
                "axes": ["batch", *(["frames"] if frames else []), "height", "width", "colours"],
                "dtype": "float32",
                "range": [0, 255],
                "colours": "RGB",
                "before": "turned upright as EXIF says, transparent pixels on white; the model scales and normalises",
                "resize": None if variant.any_size else _resizing(resize),
            },
            "output": {"shape": [batch, *self.model.output_shape[1:]], "dtype": "float32"}
            | self.saved.targets.described(),
        }
        return told | medium.description(variant.any_size)


def _resizing(resize: keras.layers.Resizing) -> dict:
    """Return how to resize a photo to the network's size."""
    aspect = "squash: scale height and width by different factors"
    if resize.crop_to_aspect_ratio:
        aspect = "crop: first cut out the largest centred part with the target's aspect ratio"
    if resize.pad_to_aspect_ratio:
        aspect = "pad: first centre it on black with the target's aspect ratio"
    method = f"{resize.interpolation}, antialiased (Pillow's {resize.interpolation.upper()})"
    if resize.interpolation == "bilinear":
        method = "bilinear, antialiased (a triangle filter as wide as the scale; Pillow's BILINEAR)"
    return {"height": resize.height, "width": resize.width, "method": method, "aspect": aspect}


# Writing ------------------------------------------------------------------------------------------------------


def write_saved_model(model: keras.Model, path: pathlib.Path) -> None:
    """Write a SavedModel with `training=False`; in `model.export`, `Resizing` switches on the dropout behind it."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", functools.partial(model.__call__, training=False), signature(model, None))
    archive.write_out(str(path), verbose=False)


def write_onnx(model: keras.Model, path: pathlib.Path) -> None:
    """Write ONNX for any number of inputs at a time."""
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    model.export(str(path), format="onnx", verbose=False, input_signature=signature(model, None))


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


def signature(model: keras.Model, batch: int | None) -> list:
    """Return the input signature of an export, for `batch` inputs at a time; None for any number."""
    specs = [keras.InputSpec(shape=(batch, *each.shape[1:]), dtype=each.dtype, name=each.name) for each in model.inputs]
    return specs if len(specs) == 1 else [specs]  # several inputs are one argument, a list


def write_litert(model: keras.Model, path: pathlib.Path, looks: list[np.ndarray] | None = None) -> None:
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


def load(variant: Variant, path: pathlib.Path, names: Sequence[str] = (INPUT,)) -> Predictor:
    """Load an export as a function from its inputs, such as float32 (1, height, width, 3), to its answers.

    Args:
        variant: the format.
        path: the file or folder of the export.
        names: the names of the inputs in ONNX and LiteRT, in the order of the function's arguments.
    """
    if variant.format == "keras":
        return _load_keras(path)
    if variant.format == "saved_model":
        return _load_saved_model(path)
    return (_load_onnx if variant.format == "onnx" else _load_litert)(path, names)


def _load_keras(path: pathlib.Path) -> Predictor:
    model = keras.saving.load_model(path, compile=False)
    return lambda *arrays: model.predict_on_batch(list(arrays) if len(arrays) > 1 else arrays[0])


def _load_saved_model(path: pathlib.Path) -> Predictor:
    model = tf.saved_model.load(str(path))

    def ask(*arrays: np.ndarray) -> np.ndarray:  # the function keeps the model alive
        tensors = [tf.constant(array) for array in arrays]
        return model.serve(tensors if len(tensors) > 1 else tensors[0]).numpy()

    return ask


def _onnx_session(path: pathlib.Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _load_onnx(path: pathlib.Path, names: Sequence[str]) -> Predictor:
    session = _onnx_session(path)
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def _load_litert(path: pathlib.Path, names: Sequence[str]) -> Predictor:
    from ai_edge_litert import interpreter

    ask = interpreter.Interpreter(model_path=str(path)).get_signature_runner()

    def answer(*arrays: np.ndarray) -> np.ndarray:
        (answers,) = ask(**dict(zip(names, arrays, strict=True))).values()
        return answers

    return answer


def bytes_of(path: pathlib.Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
