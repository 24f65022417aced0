"""A finished run's model in other formats, each loaded again in its own runtime and compared with the Keras model.

The formats and their inputs:

- `keras`: the run's model.keras, unchanged. Photos of any size.
- `saved_model`: TensorFlow's format, for TensorFlow Serving and others. Photos of any size.
- `onnx`: for ONNX Runtime. Any number of photos of the network's own size at a time.
- `litert`: for LiteRT, formerly TensorFlow Lite, on phones and small boards. One photo of the network's own size.

All of them include the preprocessing. Those that take photos of any size include the resizing. ONNX and LiteRT have no
antialiased bilinear resizing that gives the same pixels, so the caller resizes as described in the JSON. Of a run on
texts, all formats take token numbers, and the tokenizer's vocabulary lies beside them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
import tqdm
import tyro

from common import devices, errors, files, outputs, startup, words
from common.data import sample_list
from common.models import freezing
from common.runs import cost, exported_model, finished_run

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
    model = _exportable(run, int8)
    precision = _precision(model.model)
    found = _photos(run, photos, model, int8)
    directory = (out or run / "export").expanduser()
    with _folder(directory), outputs.locked(run):
        _check_free(directory, run, variants, model.beside)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=directory) as unfinished:
            written = _write_all(variants, model, found.calibration, pathlib.Path(unfinished))
            if not written:
                return 2
            rows = _compare(written, model, found.compared)
            for variant, row in zip(written, rows, strict=True):
                description = describe(variant, model, finished_run.target_of(run)) | {"compared": row}
                files.write_json(_description(directory, variant), description)
                _move(pathlib.Path(unfinished) / variant.file, directory / variant.file)
            for name in model.beside:
                _move(pathlib.Path(unfinished) / name, directory / name)
        comparison = _comparison(run, rows, found, model, int8)
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
        what = "an edge or a score" if comparison["finds"] == "boxes" else "a probability"
        print(f"do not use {', '.join(wrong)}: {what} differs by more than {limit}", file=sys.stderr)
    return 2 if wrong or len(written) < len(variants) else 0


def _exportable(run: pathlib.Path, int8: bool) -> exported_model.Exportable:
    """Return the run's model.

    Raises:
        UserError: there is none, or int8 is asked of a model of texts.
    """
    if not (run / "classifier.keras").is_file():
        return exported_model.Pictures.of(run)
    if int8:
        raise errors.UserError("--int8: is for photos and clips, and this run classifies texts; remove it")
    return startup.by_name("runs.saved_text_model").Classifier.load(run).exportable(run)


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


def _photos(
    run: pathlib.Path, moved_to: pathlib.Path | None, model: exported_model.Exportable, int8: bool
) -> Photos:  # fmt: skip
    """Return the current paths of the test photos to compare on and of the training photos to calibrate on."""
    split_csv = run / "split.csv"
    if not split_csv.is_file():
        raise errors.UserError(f"{run} contains no split.csv, which lists the test photos; give a run's directory")
    unit = model.reading.medium.unit
    samples = sample_list.read_csv(split_csv)
    root = pathlib.Path(os.path.commonpath([os.path.dirname(sample.path) for sample in samples]))

    def side(split: str, count: int) -> tuple[list[pathlib.Path], int]:
        paths = [pathlib.Path(sample.path) for sample in samples if sample.split == split]
        if moved_to:
            paths = [moved_to.expanduser() / path.relative_to(root) for path in paths]
        missing = [path for path in paths if not model.exists(path)]
        if missing:
            where = f"not in --photos {moved_to}" if moved_to else "not where split.csv says"
            raise errors.UserError(
                f"{len(missing)} of {len(paths)} {split} {unit}s are {where}, such as {missing[0]}; an export needs "
                f"them: give the folder that now has the content of {root} with --photos DIR"
            )
        return words.spread(paths, count), len(paths)

    return Photos(*side("test", MOST_COMPARED), *(side("train", CALIBRATED_ON) if int8 else ([], 0)))


# Writing ------------------------------------------------------------------------------------------------------


def _write_all(
    variants: Sequence[exported_model.Variant], model: exported_model.Exportable,
    calibration: Sequence[pathlib.Path], folder: pathlib.Path,
) -> dict[exported_model.Variant, exported_model.Loaded]:  # fmt: skip
    """Write and load the variants; one that cannot be written gets a line on stderr."""
    written: dict[exported_model.Variant, exported_model.Loaded] = {}
    for variant in variants:
        if variant.int8 and exported_model.Variant(variant.format) not in written:
            continue
        print(f"export: {variant.name}", file=sys.stderr)
        try:
            with startup.stderr_held_back([]):
                model.write(variant, calibration, folder)
                path = folder / variant.file
                written[variant] = exported_model.Loaded(model.load(variant, path), exported_model.bytes_of(path))
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


def _check_free(
    directory: pathlib.Path, run: pathlib.Path, variants: Sequence[exported_model.Variant], beside: Sequence[str]
) -> None:  # fmt: skip
    """Raise a UserError if the folder contains another run's exports or a file with an export's name."""
    earlier = directory / "export.json"
    if earlier.is_file() and finished_run.read_json(earlier).get("run") != _name_of(run):
        raise errors.UserError(f"{directory} contains the exports of another run; choose another --out")
    own = {directory / variant.file: _description(directory, variant) for variant in variants}
    for path, mark in (own | {directory / name: earlier for name in beside}).items():
        if path.exists() and not mark.is_file():
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
    written: dict[exported_model.Variant, exported_model.Loaded], model: exported_model.Exportable,
    paths: Sequence[pathlib.Path],
) -> list[dict]:  # fmt: skip
    """Compare every export with the Keras model on the same files.

    Returns:
        For each export its `bytes` on disk, `milliseconds` per file, `runtime`, the largest `difference` of a
        probability (or of an edge or a score of a box), and the `agreement`: the share of files with the same most
        probable class, or the mean share of boxes that both find.
    """
    # On a recent GPU the Keras model would multiply with ten bits (TensorFloat-32), but the exports with all bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    differences: dict[exported_model.Variant, list[float]] = {variant: [] for variant in written}
    agreements: dict[exported_model.Variant, list[float]] = {variant: [] for variant in written}
    first: Any = None
    for path in tqdm.tqdm(paths, desc="comparing", unit="file", disable=None):
        try:
            own, resized = model.inputs(path)
        except errors.UnusableFile as error:
            raise errors.UserError(f"{path}: {error}; an export is compared on the run's test files") from error
        first = first or resized
        expected = model.expected(resized)
        for variant, export in written.items():
            looks = own if variant.any_size else resized
            answer = np.mean([export.ask(*look)[0] for look in looks], axis=0)
            differences[variant].append(float(np.abs(answer - expected).max()))
            agreements[variant].append(_agreement(model.reading.targets, answer, expected))
    return [
        {
            "name": variant.name,
            "file": variant.file,
            "difference": max(differences[variant]),
            "agreement": statistics.fmean(agreements[variant]),
            "bytes": export.bytes,
            "milliseconds": round(_milliseconds(variant, export.ask, first), 3),
            "runtime": _runtime(variant),
        }
        for variant, export in written.items()
    ]


def _agreement(targets: Any, answer: np.ndarray, expected: np.ndarray) -> float:
    """Return 1 if two answers have the same most probable class, else 0; of boxes, the share that is in both."""
    if targets.name == "boxes":
        return startup.by_name("report.found_boxes").in_both(targets, answer, expected)
    return float(np.argmax(answer) == np.argmax(expected))


def _runtime(variant: exported_model.Variant) -> str:
    """Return the name and version of the package that runs a variant."""
    package = exported_model.RUNTIMES[variant.format]
    return f"{package} {importlib.metadata.version(package)}"


def _milliseconds(
    variant: exported_model.Variant, ask: exported_model.Predictor, looks: list[exported_model.Inputs]
) -> float:  # fmt: skip
    """Return the median time of some calls for one file in the network's size, after calls that warm up."""
    for _ in range(WARM_UP):
        ask(*looks[0])
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        ask(*looks[0])
        seconds.append(time.perf_counter() - started)
    # A model of clips of any length takes all windows in one call.
    return 1000 * statistics.median(seconds) * (1 if variant.any_size else len(looks))


def _agrees(variant: exported_model.Variant, row: dict, limit: float) -> bool:
    """Return whether an export gives the Keras model's answers; int8 is not expected to."""
    return variant.int8 or row["difference"] <= limit


def _comparison(
    run: pathlib.Path, rows: list[dict], found: Photos, model: exported_model.Exportable, int8: bool
) -> dict:  # fmt: skip
    """Return the content of export.json."""
    return {
        "run": _name_of(run),
        "unit": model.reading.medium.unit,
        "finds": model.reading.targets.name,
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
    unit, finds_boxes = comparison["unit"], comparison["finds"] == "boxes"
    same = "same boxes" if finds_boxes else "same class"
    lines = [("format", "largest difference", same, "MB", f"ms per {unit}")]
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
    compared = "Edges and scores" if finds_boxes else "Probabilities"
    notes = [
        f"{compared} compared with the Keras model's on {comparison['compared_on']}{chosen} test {unit}s; "
        f"one {unit} at a time, median of {REPEATS} calls, default threads; {comparison['device']}."
    ]
    if comparison["calibrated_on"]:
        notes.append(f"int8: calibrated on {comparison['calibrated_on']} of {comparison['training']} training {unit}s.")
    return "\n".join([*shown, *notes])


# What it takes and gives --------------------------------------------------------------------------------------


def describe(variant: exported_model.Variant, model: exported_model.Exportable, target: dict | None) -> dict:
    """Return the JSON beside an export: all that a program without this repository needs to know.

    Args:
        variant: the export.
        model: the run's model.
        target: the classes that the run is meant to find, with their threshold, or None.
    """
    told = model.describe(variant)
    if target and not variant.int8:  # int8 has different probabilities, for which the threshold was not chosen
        told["target"] = {"classes": target["classes"], "threshold": target["threshold"], "use": "no medical device"}
    return told
