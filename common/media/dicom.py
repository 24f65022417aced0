"""Decoding DICOM pictures (https://www.dicomstandard.org) with pydicom, an optional package.

A picture is shown as a viewer shows it: stored values are rescaled, the file's first window or table of grey values is
applied, and MONOCHROME1, where 0 is white, is inverted.
"""

import io
import logging
import os
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from common import errors

EXTENSIONS = (".dcm", ".dicom", ".ima")
INSTALL = "DICOM: reading it needs an extra package; pip install 'keras-recipes[medical]'"
# 128 bytes and DICM; files of old scanners begin with the first data elements instead.
_BEGINNING = re.compile(rb".{128}DICM|\x08\0[\0\x01\x05\x08\x16]\0", re.DOTALL)


def is_dicom(content: bytes) -> bool:
    """Return whether a file's content begins like DICOM."""
    return bool(_BEGINNING.match(content))


def decoded(content: bytes, check_size: Callable[[int, int], None]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return uint8 pixels (height, width, 3), and notes about special handling.

    Args:
        content: the file's content.
        check_size: raises an error for a width and height that are not allowed.

    Raises:
        UnusableFile: pydicom is not installed, or there is not one picture that can be decoded.
    """
    pydicom = _pydicom()
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(dataset.dir()):
        raise errors.UnusableFile("no picture: this DICOM file has no pixels; remove it")
    check_size(int(dataset.Columns), int(dataset.Rows))
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise errors.UnusableFile(f"several frames: {frames}; save the one that you want as PNG")
    _check_compression(pydicom, dataset)
    try:
        stored = pydicom.pixels.pixel_array(dataset)
    except ValueError as error:
        if "less than expected" in str(error):
            raise errors.UnusableFile("truncated: the file ends too early; copy or download it again") from error
        raise
    return _coloured(pydicom, dataset, stored) if stored.ndim == 3 else _grey(pydicom, dataset, stored)


def patient(path: str | os.PathLike) -> str:
    """Return the patient's identifier in a file, "" if there is none or the file cannot be read."""
    try:
        tags = ["PatientID", "IssuerOfPatientID"]
        found = _pydicom().dcmread(path, force=True, stop_before_pixels=True, specific_tags=tags)
        names = [str(found.get(tag) or "").strip() for tag in tags]
    except Exception:  # the scan says what is wrong with the file
        return ""
    return " of ".join(filter(None, names)) if names[0] else ""


def _pydicom() -> Any:
    """Return the package, which is silent about unusual files; the filter is set again if other code removed it."""
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise errors.UnusableFile(INSTALL) from error
    if ("ignore", None, Warning, re.compile(r"pydicom\."), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"pydicom\.")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return pydicom


def _check_compression(pydicom: Any, dataset: Any) -> None:
    """Raise an error if the package that decompresses the pixels is not installed."""
    meta = getattr(dataset, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta else None
    if syntax is None:
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        if not dataset.original_encoding[0]:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    elif syntax.is_compressed and not pydicom.pixels.get_decoder(syntax).is_available:
        raise errors.UnusableFile(
            f"compressed: {syntax.name} needs an extra package; pip install 'keras-recipes[medical]', or save it as PNG"
        )


def _coloured(pydicom: Any, dataset: Any, stored: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    return _to_8_bits(stored, 0, 2 ** int(dataset.BitsStored) - 1), ()


def _grey(pydicom: Any, dataset: Any, stored: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = pydicom.pixels.apply_color_lut(stored, dataset)
        return _to_8_bits(colours[..., :3], 0, np.iinfo(colours.dtype).max), ("palette expanded",)
    values = pydicom.pixels.apply_modality_lut(stored, dataset)
    shown, notes = _windowed(pydicom, dataset, values)
    if shown is None:
        low, high = _own_range(dataset, stored, values)
        shown, notes = _to_8_bits(values, low, high), notes + _note_range(low, high)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown, notes = 255 - shown, (*notes, "MONOCHROME1 inverted")
    return np.repeat(shown[:, :, np.newaxis], 3, axis=2), (*notes, "grey")


def _windowed(pydicom: Any, dataset: Any, values: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the values in the file's first window or table, None if there is none that can be used."""
    apply = pydicom.pixels.apply_voi_lut
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        whole = np.rint(values).astype(np.int64)
        return _to_8_bits(apply(whole, dataset), 0, 2**bits - 1), ("DICOM window applied",)
    try:
        with np.errstate(all="ignore"):
            low, high = apply(np.array([-1e30, 1e30]), dataset)
            if low == -1e30:  # no window
                return None, ()
            return _to_8_bits(apply(values, dataset), low, high), ("DICOM window applied",)
    except (ValueError, TypeError):  # such as a width of 0
        return None, ("DICOM window unusable",)


def _own_range(dataset: Any, stored: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Return the values of black and white of a file without a window; padding does not count."""
    if stored.dtype.kind == "u" and int(dataset.BitsStored) == 8 and values is stored:
        return 0, 255
    padding = dataset.get("PixelPaddingValue")
    inside = values[stored != padding] if padding is not None else values
    inside = inside if inside.size else values
    return float(inside.min()), float(inside.max())


def _note_range(low: float, high: float) -> tuple[str, ...]:
    return () if (low, high) == (0, 255) else ("no DICOM window: scaled to its own range",)


def _to_8_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values with `low` as 0 and `high` as 255, rounded and clipped."""
    if (low, high) == (0, 255) and values.dtype == np.uint8:
        return values
    scaled = (values.astype(np.float64) - low) * (255 / (high - low or 1))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)
