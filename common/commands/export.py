"""A finished run's model in other formats, each loaded again in its own runtime and compared with the Keras model.

The formats and their inputs:

- `keras`: the run's model.keras, unchanged. Photos of any size.
- `saved_model`: TensorFlow's format, for TensorFlow Serving and others. Photos of any size.
- `onnx`: for ONNX Runtime. Any number of photos of the network's own size at a time.
- `litert`: for LiteRT, formerly TensorFlow Lite, on phones and small boards. One photo of the network's own size.

All of them include the preprocessing. Those that take photos of any size include the resizing. ONNX and LiteRT have no
antialiased bilinear resizing that gives the same pixels, so the caller resizes as described in the JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
import tqdm
import tyro

from common import devices, errors, files, outputs, startup, words
from common.data import sample_list
from common.models import freezing
from common.runs import cost, exported_model, finished_run, saved_model

PACKAGES = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "litert": ("ai_edge_litert",)}
# The precision of a network → the largest difference of a probability that a float32 export may have. Converters only
# support float32, so an export of a half-precision network differs by the network's own rounding.
TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-1}
MOST_COMPARED = 500  # evenly spaced test photos; more of them say nothing new about rounding
CALIBRATED_ON = 100  # training photos; the ranges of activations settle within a few dozen
LONGEST_REASON = 200  # characters of a converter's message
WARM_UP, REPEATS = 5, 30  # calls before and during the time measurement


@dataclasses.dataclass(frozen=True)
class Photos:
    """The files of a run's split on which exports are compared, and those on which int8 is calibrated."""

    compared: list[pathlib.Path]
    test: int  # number of test photos
    calibration: list[pathlib.Path]
    training: int  # number of training photos


def command(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    *,
    format: tuple[Literal["keras", "saved_model", "onnx", "litert"], ...],
    int8: bool = False,
    out: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
    photos: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Write the model in other formats, and compare each with the Keras model on the test photos.

    Args:
        run: the directory of a finished run.
        format: one or more formats, such as onnx litert.
        int8: also write int8 copies of the formats that support it (onnx, litert): smaller, slightly different answers.
        out: the folder to write into; default export/ in the run's directory.
        photos: the current folder of the run's photos (or clips), if it was moved.
    """
    return export(run, format, int8, out, photos)


def export(
    run: pathlib.Path, formats: Collection[str], int8: bool = False, out: pathlib.Path | None = None,
    photos: pathlib.Path | None = None,
) -> int:  # fmt: skip
    """Write a run's model in other formats, each with a JSON that describes its input and output.

    All are compared with the Keras model on the run's test photos, without their labels. The result is printed as a
    table and written to export.json.

    Args:
        run: the directory of a finished run.
        formats: some of `FORMATS`.
        int8: also write int8 copies of the formats that support it (`WITH_INT8`), calibrated on training photos.
        out: the folder to write into, by default `export` in the run's directory.
        photos: the current folder of the run's photos, if it was moved.

    Returns:
        The exit code: 0, or 2 if a format cannot represent this network or does not agree with the Keras model.

    Raises:
        UserError: there is no run, the photos were moved, a package is missing, or no format supports int8.
    """
    variants = _variants(formats, int8)
    _check_installed(variants)
    saved = saved_model.load_model(run)
    saved_model.refuse_boxes(saved, run, "export")
    reading = saved_model.Reading.of(saved)
    precision = _precision(saved.model)
    found = _photos(run, photos, reading, int8)
    directory = (out or run / "export").expanduser()
    with _folder(directory), outputs.locked(run):
        _check_free(directory, run, variants)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=directory) as unfinished:
            written = _write_all(variants, saved, reading, found.calibration, pathlib.Path(unfinished), run)
            if not written:
                return 2
            rows = _compare(written, reading, found.compared)
            for variant, row in zip(written, rows, strict=True):
                description = describe(variant, saved, reading, finished_run.target_of(run)) | {"compared": row}
                files.write_json(_description(directory, variant), description)
                _move(pathlib.Path(unfinished) / variant.file, directory / variant.file)
        comparison = _comparison(run, rows, found, reading, int8)
        files.write_json(directory / "export.json", comparison)
        print(table(comparison))
        print(directory)
        if precision != "float32":
            print(
                f"the run computes in {precision}, onnx and litert in float32, so they differ slightly", file=sys.stderr
            )
    limit = TOLERANCES[precision]
    wrong = [variant.name for variant, row in zip(written, rows, strict=True) if not _agrees(variant, row, limit)]
    if wrong:
        print(f"do not use {', '.join(wrong)}: a probability differs by more than {limit}", file=sys.stderr)
    return 2 if wrong or len(written) < len(variants) else 0


def _variants(formats: Collection[str], int8: bool) -> list[exported_model.Variant]:
    """Return the variants to write, in the order of `FORMATS`."""
    chosen = [name for name in exported_model.FORMATS if name in formats]
    if not chosen:
        raise errors.UserError(f"--format: give one or more of {', '.join(exported_model.FORMATS)}")
    without = [name for name in chosen if name not in exported_model.WITH_INT8]
    if int8 and without:
        line = f"--int8: only {' and '.join(exported_model.WITH_INT8)} support it, not {' and '.join(without)}"
        if without == chosen:
            raise errors.UserError(f"{line}; choose another --format or remove --int8")
        print(line, file=sys.stderr)
    small = [False, True] if int8 else [False]
    return [
        exported_model.Variant(name, how)
        for name in chosen
        for how in small
        if not how or name in exported_model.WITH_INT8
    ]


def _check_installed(variants: list[exported_model.Variant]) -> None:
    for name in dict.fromkeys(variant.format for variant in variants):
        missing = [package for package in PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]
        if missing:
            raise errors.UserError(
                f"--format {name} needs {' and '.join(missing)}: pip install 'keras-recipes[export]'"
            )


# The photos ---------------------------------------------------------------------------------------------------


def _photos(run: pathlib.Path, moved_to: pathlib.Path | None, reading: saved_model.Reading, int8: bool) -> Photos:
    """Return the current paths of the test photos to compare on and of the training photos to calibrate on."""
    split_csv = run / "split.csv"
    if not split_csv.is_file():
        raise errors.UserError(f"{run} contains no split.csv, which lists the test photos; give a run's directory")
    unit = reading.medium.unit
    samples = sample_list.read_csv(split_csv)
    root = pathlib.Path(os.path.commonpath([os.path.dirname(sample.path) for sample in samples]))

    def side(split: str, count: int) -> tuple[list[pathlib.Path], int]:
        paths = [pathlib.Path(sample.path) for sample in samples if sample.split == split]
        if moved_to:
            paths = [moved_to.expanduser() / path.relative_to(root) for path in paths]
        missing = [path for path in paths if not path.exists()]
        if missing:
            where = f"not in --photos {moved_to}" if moved_to else "not where split.csv says"
            raise errors.UserError(
                f"{len(missing)} of {len(paths)} {split} {unit}s are {where}, such as {missing[0]}; an export needs "
                f"them: give the folder that now has the content of {root} with --photos DIR"
            )
        return words.spread(paths, count), len(paths)

    return Photos(*side("test", MOST_COMPARED), *(side("train", CALIBRATED_ON) if int8 else ([], 0)))


def _looks(path: pathlib.Path, reading: saved_model.Reading) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return a file's looks (uint8) in their own size, for models that take any size, and in the network's size.

    A model that takes whole clips samples frames by their number; it gets exactly as many as the look needs.
    """
    pairs = [reading.medium.raw(path, look) for look in reading.medium.looks("test")]
    return [raw for raw, _ in pairs], [reading.resized(taken) for _, taken in pairs]


# Writing ------------------------------------------------------------------------------------------------------


def _write_all(
    variants: Sequence[exported_model.Variant], saved: saved_model.SavedModel, reading: saved_model.Reading,
    calibration: Sequence[pathlib.Path], folder: pathlib.Path, run: pathlib.Path,
) -> dict[exported_model.Variant, exported_model.Loaded]:  # fmt: skip
    """Write and load the variants; one that cannot be written gets a line on stderr."""
    looks = [look for path in calibration for look in _looks(path, reading)[1]]
    written: dict[exported_model.Variant, exported_model.Loaded] = {}
    for variant in variants:
        if variant.int8 and exported_model.Variant(variant.format) not in written:
            continue
        print(f"export: {variant.name}", file=sys.stderr)
        try:
            with startup.stderr_held_back([]):
                exported_model.write(variant, saved, reading, looks, folder, run)
                written[variant] = exported_model.Loaded(
                    exported_model.load(variant, folder / variant.file), exported_model.bytes_of(folder / variant.file)
                )
        except Exception as error:  # converters raise errors of any class
            print(f"--format {variant.name} cannot represent this network: {_reason(error)}", file=sys.stderr)
    return written


def _reason(error: Exception) -> str:
    """Return a converter's message on one line, or the missing operations if it names them."""
    missing = re.findall(r"'tf\.(\w+)' op is neither|No Op registered for (\w+)", str(error))
    if missing:
        return f"the format has no {', '.join(sorted({one or other for one, other in missing}))}"
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def _precision(model: keras.Model) -> str:
    """Return the precision in which most of a network computes: `float32`, `float16` or `bfloat16`."""
    used = {layer.compute_dtype for layer in freezing.leaf_layers(model) if layer.weights}
    return next((name for name in TOLERANCES if name in used and name != "float32"), "float32")


@contextlib.contextmanager
def _folder(directory: pathlib.Path) -> Iterator[None]:
    """Make the folder to write into if needed; it goes again if nothing is written.

    Raises:
        UserError: the folder cannot be created.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(outputs.made(directory))
        except OSError as error:
            raise errors.UserError(f"--out {directory}: cannot create this folder ({error.strerror})") from error
        yield


def _check_free(directory: pathlib.Path, run: pathlib.Path, variants: Sequence[exported_model.Variant]) -> None:
    """Raise a UserError if the folder contains another run's exports or a file with an export's name."""
    earlier = directory / "export.json"
    if earlier.is_file() and json.loads(earlier.read_text(encoding="utf-8")).get("run") != _name_of(run):
        raise errors.UserError(f"{directory} contains the exports of another run; choose another --out")
    for variant in variants:
        path = directory / variant.file
        if path.exists() and not _description(directory, variant).is_file():
            raise errors.UserError(f"{path} exists and was not exported by this program; choose another --out")


def _description(directory: pathlib.Path, variant: exported_model.Variant) -> pathlib.Path:
    """Return the path of the JSON that describes an export."""
    return directory / f"{variant.file}.json"


def _name_of(run: pathlib.Path) -> str:
    return "/".join(run.resolve().parts[-2:])


def _move(source: pathlib.Path, target: pathlib.Path) -> None:
    """Move a finished file or folder to its place, replacing an earlier one."""
    if target.is_dir():
        os.replace(target, source.with_name(f"earlier_{source.name}"))  # deleted with the temporary folder
    os.replace(source, target)


def _compare(
    written: dict[exported_model.Variant, exported_model.Loaded], reading: saved_model.Reading,
    paths: Sequence[pathlib.Path],
) -> list[dict]:  # fmt: skip
    """Compare every export with the Keras model on the same files.

    Returns:
        For each export its `bytes` on disk, `milliseconds` per file, `runtime`, the largest `difference` of a
        probability, and the share of files with the same most probable class (`agreement`).
    """
    # On a recent GPU the Keras model would multiply with ten bits (TensorFloat-32), but the exports with all bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    answers: dict[exported_model.Variant, list[np.ndarray]] = {variant: [] for variant in written}
    expected, first = [], None
    for path in tqdm.tqdm(paths, desc="comparing", unit="file", disable=None):
        try:
            raw, resized = _looks(path, reading)
        except errors.UnusableFile as error:
            raise errors.UserError(f"{path}: {error}; an export is compared on the run's test files") from error
        first = first or (raw, resized)
        expected.append(reading.probabilities([resized])[0])
        for variant, export in written.items():
            looks = raw if variant.any_size else resized
            answers[variant].append(np.mean([export.ask(look[None].astype("float32"))[0] for look in looks], axis=0))
    return [
        {
            "name": variant.name,
            "file": variant.file,
            "difference": float(np.abs(np.array(answers[variant]) - expected).max()),
            "agreement": float((np.argmax(answers[variant], -1) == np.argmax(expected, -1)).mean()),
            "bytes": export.bytes,
            "milliseconds": round(_milliseconds(variant, export.ask, first, reading), 3),
            "runtime": _runtime(variant),
        }
        for variant, export in written.items()
    ]


def _runtime(variant: exported_model.Variant) -> str:
    """Return the name and version of the package that runs a variant."""
    package = exported_model.RUNTIMES[variant.format]
    return f"{package} {importlib.metadata.version(package)}"


def _milliseconds(variant: exported_model.Variant, ask: Callable, looks: Any, reading: saved_model.Reading) -> float:
    """Return the median time of some calls for one file in the network's size, after calls that warm up."""
    raw, resized = looks
    photo = (reading.resized(raw[0]) if variant.any_size else resized[0])[None]
    for _ in range(WARM_UP):
        ask(photo)
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        ask(photo)
        seconds.append(time.perf_counter() - started)
    # A model of clips of any length takes all windows in one call.
    return 1000 * statistics.median(seconds) * (1 if variant.any_size else len(resized))


def _agrees(variant: exported_model.Variant, row: dict, limit: float) -> bool:
    """Return whether an export gives the Keras model's probabilities; int8 is not expected to."""
    return variant.int8 or row["difference"] <= limit


def _comparison(run: pathlib.Path, rows: list[dict], found: Photos, reading: saved_model.Reading, int8: bool) -> dict:
    """Return the content of export.json."""
    return {
        "run": _name_of(run),
        "unit": reading.medium.unit,
        "compared_on": len(found.compared),
        "test": found.test,
        "calibrated_on": len(found.calibration) if int8 else None,
        "training": found.training if int8 else None,
        "timing": {"batch": 1, "warm_up": WARM_UP, "repeats": REPEATS, "statistic": "median", "threads": "default"},
        "device": devices.description(),
        "versions": cost.versions(),
        "rows": rows,
    }


def table(comparison: dict) -> str:
    """Return the rows as text for the terminal."""
    unit = comparison["unit"]
    lines = [("format", "largest difference", "same class", "MB", f"ms per {unit}")]
    for row in comparison["rows"]:
        agreement = f"{100 * row['agreement']:.1f} %"
        size, duration = f"{row['bytes'] / 1e6:.2f}", f"{row['milliseconds']:.1f}"
        lines.append((row["name"], f"{row['difference']:.1e}", agreement, size, duration))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = [
        "  ".join(f"{cell:{'<' if column == 0 else '>'}{widths[column]}}" for column, cell in enumerate(line))
        for line in lines
    ]
    chosen = f" of {comparison['test']}" if comparison["test"] > comparison["compared_on"] else ""
    notes = [
        f"Probabilities compared with the Keras model's on {comparison['compared_on']}{chosen} test {unit}s; "
        f"one {unit} at a time, median of {REPEATS} calls, default threads; {comparison['device']}."
    ]
    if comparison["calibrated_on"]:
        notes.append(f"int8: calibrated on {comparison['calibrated_on']} of {comparison['training']} training {unit}s.")
    return "\n".join([*shown, *notes])


# What it takes and gives --------------------------------------------------------------------------------------


def describe(
    variant: exported_model.Variant, saved: saved_model.SavedModel, reading: saved_model.Reading, target: dict | None
) -> dict:
    """Return the JSON beside an export: all that a program without this repository needs to know.

    Args:
        variant: the export.
        saved: the run's model.
        reading: the reader of the model's inputs.
        target: the classes that the run is meant to find, with their threshold, or None.
    """
    size = [None, None] if variant.any_size else [reading.resize.height, reading.resize.width]
    frames = [None if variant.any_size else length for length in saved.medium.shape[:-3]]
    batch = 1 if variant.format == "litert" else None
    told = {
        "format": variant.format,
        "weights": "int8" if variant.int8 else "float32",
        "class_names": list(saved.class_names),
        "input": {
            "name": saved.model.inputs[0].name if variant.any_size else exported_model.INPUT,
            "shape": [batch, *frames, *size, 3],
            "axes": ["batch", *(["frames"] if frames else []), "height", "width", "colours"],
            "dtype": "float32",
            "range": [0, 255],
            "colours": "RGB",
            "before": "turned upright as EXIF says, transparent pixels on white; the model scales and normalises",
            "resize": None if variant.any_size else _resizing(reading.resize),
        },
        "output": {"shape": [batch, len(saved.class_names)], "dtype": "float32", "is": "probabilities of class_names"},
    }
    told |= saved.medium.description(variant.any_size)
    if target and not variant.int8:  # int8 has different probabilities, for which the threshold was not chosen
        told["target"] = {"classes": target["classes"], "threshold": target["threshold"], "use": "no medical device"}
    return told


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
