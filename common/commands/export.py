"""A finished run's model in other formats, each loaded again in its own runtime and compared with the Keras model.

The formats, and what is inside of each:

- `keras`: the run's model.keras as it is. Photos of any size.
- `saved_model`: TensorFlow's, for TensorFlow Serving and the like. Photos of any size.
- `onnx`: for ONNX Runtime. Photos of the network's own size, as many at a time as one likes.
- `litert`: for LiteRT, which was TensorFlow Lite, on phones and small boards. One photo of the network's own size.

Preprocessing is inside of all of them. Resizing is inside where photos of any size are taken; ONNX and LiteRT have no
antialiased bilinear resizing that gives the same pixels, so there it is the caller's, and described in the JSON.
"""

from __future__ import annotations

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
from typing import Annotated, Literal

import keras
import numpy as np
import tensorflow as tf
import tqdm
import tyro

from common import devices, errors, files, startup, words
from common.data import sample_list
from common.models import freezing
from common.runs import cost, exported_model, finished_run, saved_model

PACKAGES = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "litert": ("ai_edge_litert",)}
# Of a probability: what a float32 export may differ by from a network that computes in a precision. Converters know
# float32 alone, so an export of a half-precise network differs by the network's own rounding.
TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-1}
MOST_COMPARED = 500  # test photos, evenly chosen; more say nothing new about rounding
CALIBRATED_ON = 100  # training photos; the ranges of activations settle within a few dozen
LONGEST_REASON = 200  # letters of a converter's complaint
WARM_UP, REPEATS = 5, 30  # calls before and while the time is taken


@dataclasses.dataclass(frozen=True)
class Photos:
    """The files of a run's split that are there: those to compare on, and those that int8 is calibrated on."""

    compared: list[pathlib.Path]
    test: int  # how many test photos there are
    calibration: list[pathlib.Path]
    training: int


def command(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    *,
    format: tuple[Literal["keras", "saved_model", "onnx", "litert"], ...],
    int8: bool = False,
    out: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
    photos: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Writes the model in other formats, and compares each with the Keras model on the test photos.

    Args:
        run: the directory of a finished run.
        format: one or several, such as onnx litert.
        int8: also an int8 copy of those that have one (onnx, litert): smaller, not quite the same answers.
        out: where to write; default export/ in the run's directory.
        photos: where the run's photos (or clips) are now, if their folder was moved.
    """
    return export(run, format, int8, out, photos)


def export(
    run: pathlib.Path, formats, int8: bool = False, out: pathlib.Path | None = None, photos: pathlib.Path | None = None
) -> int:
    """Writes a run's model in other formats, with a JSON beside each that says what it takes and gives; compares all
    with the Keras model on the run's test photos, without their labels; prints a table and writes export.json.

    Args:
        run: the directory of a finished run.
        formats: of `FORMATS`.
        int8: also an int8 copy of those that have one (`WITH_INT8`), calibrated on training photos.
        out: the folder to write into, by default `export` in the run's directory.
        photos: where the folder with the run's photos is now, if it was moved.

    Returns:
        The exit code: 0, or 2 when a format cannot hold this network or does not agree with the Keras model.

    Raises:
        UserError: no run there, the photos were moved, a package is missing, no format has int8.
    """
    variants = _variants(formats, int8)
    _check_installed(variants)
    saved = saved_model.load_model(run)
    reading = saved_model.Reading.of(saved)
    precision = _precision(saved.model)
    found = _photos(run, photos, reading, int8)
    directory = _folder(run, out, variants)
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
        print(f"the run computes in {precision}, onnx and litert in float32: that is a difference", file=sys.stderr)
    limit = TOLERANCES[precision]
    wrong = [variant.name for variant, row in zip(written, rows, strict=True) if not _agrees(variant, row, limit)]
    if wrong:
        print(f"do not use {', '.join(wrong)}: a probability differs by more than {limit}", file=sys.stderr)
    return 2 if wrong or len(written) < len(variants) else 0


def _variants(formats, int8: bool) -> list[exported_model.Variant]:
    """What is to be written, in the order of `FORMATS`."""
    chosen = [name for name in exported_model.FORMATS if name in formats]
    if not chosen:
        raise errors.UserError(f"--format: name one or several of {', '.join(exported_model.FORMATS)}")
    without = [name for name in chosen if name not in exported_model.WITH_INT8]
    if int8 and without:
        line = f"--int8: only {' and '.join(exported_model.WITH_INT8)} have it, {' and '.join(without)} not"
        if without == chosen:
            raise errors.UserError(f"{line}; name another --format, or leave --int8 out")
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
    """The test photos to compare on and the training photos to calibrate on, where they are now."""
    split_csv = run / "split.csv"
    if not split_csv.is_file():
        raise errors.UserError(f"{run}: no split.csv there, which names the test photos; give a run's directory")
    unit = reading.medium.unit
    samples = sample_list.read_csv(split_csv)
    root = pathlib.Path(os.path.commonpath([os.path.dirname(sample.path) for sample in samples]))

    def side(split, count):
        paths = [pathlib.Path(sample.path) for sample in samples if sample.split == split]
        if moved_to:
            paths = [moved_to.expanduser() / path.relative_to(root) for path in paths]
        missing = [path for path in paths if not path.exists()]
        if missing:
            where = f"not below --photos {moved_to}" if moved_to else "not where split.csv says"
            raise errors.UserError(
                f"{len(missing)} of {len(paths)} {split} {unit}s are {where}, such as {missing[0]}; an export is "
                f"compared on them: --photos DIR with what {root} held"
            )
        return words.spread(paths, count), len(paths)

    return Photos(*side("test", MOST_COMPARED), *(side("train", CALIBRATED_ON) if int8 else ([], 0)))


def _looks(path: pathlib.Path, reading: saved_model.Reading) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is asked about a file: its looks in their own size, uint8, for models that take any, and in the network's.

    A model that takes whole clips counts frames; it gets exactly as many as it needs to take the frames of the look.
    """
    pairs = [reading.medium.raw(path, look) for look in reading.medium.looks("test")]
    return [raw for raw, _ in pairs], [reading.resized(taken) for _, taken in pairs]


# Writing ------------------------------------------------------------------------------------------------------


def _write_all(
    variants, saved, reading, calibration, folder: pathlib.Path, run: pathlib.Path
) -> dict[exported_model.Variant, exported_model.Loaded]:
    """Writes and loads what can be; what cannot gets a line on stderr."""
    looks = [look for path in calibration for look in _looks(path, reading)[1]]
    written = {}
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
        except Exception as error:  # converters throw whatever their own code runs into
            print(f"--format {variant.name} cannot hold this network: {_reason(error)}", file=sys.stderr)
    return written


def _reason(error: Exception) -> str:
    """A converter's complaint on one line; which operations are missing, where it says so."""
    missing = re.findall(r"'tf\.(\w+)' op is neither|No Op registered for (\w+)", str(error))
    if missing:
        return f"the format has no {', '.join(sorted({one or other for one, other in missing}))}"
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


def _precision(model: keras.Model) -> str:
    """What most of a network computes in: `float32`, `float16` or `bfloat16`."""
    used = {layer.compute_dtype for layer in freezing.leaf_layers(model) if layer.weights}
    return next((name for name in TOLERANCES if name in used and name != "float32"), "float32")


def _folder(run: pathlib.Path, out: pathlib.Path | None, variants) -> pathlib.Path:
    """The folder to write into, made if it is not there.

    Raises:
        UserError: it holds another run's exports, or something else under the name of one; or it cannot be made.
    """
    directory = (out or run / "export").expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f"--out {directory}: no folder can be made there ({error.strerror})") from error
    earlier = directory / "export.json"
    if earlier.is_file() and json.loads(earlier.read_text(encoding="utf-8")).get("run") != _name_of(run):
        raise errors.UserError(f"{directory} holds the exports of another run: name another --out")
    for variant in variants:
        path = directory / variant.file
        if path.exists() and not _description(directory, variant).is_file():
            raise errors.UserError(f"{path} is there and was not exported by this program: name another --out")
    return directory


def _description(directory: pathlib.Path, variant: exported_model.Variant) -> pathlib.Path:
    """The JSON beside an export."""
    return directory / f"{variant.file}.json"


def _name_of(run: pathlib.Path) -> str:
    return "/".join(run.resolve().parts[-2:])


def _move(source: pathlib.Path, target: pathlib.Path) -> None:
    """Puts a finished file or folder in the place of an earlier one."""
    if target.is_dir():
        os.replace(target, source.with_name(f"earlier_{source.name}"))  # goes with the temporary folder
    os.replace(source, target)


def _compare(
    written: dict[exported_model.Variant, exported_model.Loaded], reading: saved_model.Reading, paths
) -> list[dict]:
    """Asks the Keras model and every export about the same files.

    Returns:
        For each export the largest `difference` of a probability, the share of files with the same most probable
        class (`agreement`), `bytes` on disk, `milliseconds` a file, and the `runtime`.
    """
    # On a recent GPU the Keras model would multiply with ten bits (TensorFloat-32), the exports with all.
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
    """What runs a variant, and its version."""
    package = exported_model.RUNTIMES[variant.format]
    return f"{package} {importlib.metadata.version(package)}"


def _milliseconds(variant: exported_model.Variant, ask, looks, reading: saved_model.Reading) -> float:
    """For one file in the network's size, the median of some calls after others that warm up."""
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
    """Whether an export gives the Keras model's probabilities; of int8 nobody expects it."""
    return variant.int8 or row["difference"] <= limit


def _comparison(run: pathlib.Path, rows: list[dict], found: Photos, reading: saved_model.Reading, int8: bool) -> dict:
    """What export.json holds."""
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
    """The rows for the terminal."""
    unit = comparison["unit"]
    lines = [("format", "largest difference", "same class", "MB", f"ms a {unit}")]
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
        f"Probabilities against the Keras model's on {comparison['compared_on']}{chosen} test {unit}s; "
        f"one {unit} at a time, median of {REPEATS} calls, default threads; {comparison['device']}."
    ]
    if comparison["calibrated_on"]:
        notes.append(f"int8: calibrated on {comparison['calibrated_on']} of {comparison['training']} training {unit}s.")
    return "\n".join([*shown, *notes])


# What it takes and gives --------------------------------------------------------------------------------------


def describe(
    variant: exported_model.Variant, saved: saved_model.SavedModel, reading: saved_model.Reading, target: dict | None
) -> dict:
    """The JSON beside an export: all that a program needs to know which has none of this repository.

    Args:
        variant: the export.
        saved: the run's model.
        reading: how it is asked.
        target: what the run wants to find, with its threshold, or None.
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
            "before": "turned upright as EXIF says, transparent pixels on white; scaling and normalising is inside",
            "resize": None if variant.any_size else _resizing(reading.resize),
        },
        "output": {"shape": [batch, len(saved.class_names)], "dtype": "float32", "is": "probabilities of class_names"},
    }
    told |= saved.medium.description(variant.any_size)
    if target and not variant.int8:  # whose probabilities are others: the threshold would not find what it promises
        told["target"] = {"classes": target["classes"], "threshold": target["threshold"], "use": "no medical device"}
    return told


def _resizing(resize: keras.layers.Resizing) -> dict:
    """How a photo is brought to the network's size before it is asked."""
    aspect = "squash: height and width each by its own factor"
    if resize.crop_to_aspect_ratio:
        aspect = "crop: first the largest centred part with the target's aspect"
    if resize.pad_to_aspect_ratio:
        aspect = "pad: first centred on black with the target's aspect"
    method = "bilinear, antialiased (a triangle filter as wide as the scale; Pillow's BILINEAR)"
    return {"height": resize.height, "width": resize.width, "method": method, "aspect": aspect}
