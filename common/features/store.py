"""Named rows of numbers on disk: written as a stream, read in any order, verified by checksums.

A store is a folder of shard files. A shard is a line of JSON (the names of its rows, a checksum) and the rows, all
of one length. A shard gets its final name when it is complete, so a killed writer loses a few seconds of work. A shard
with a wrong size or checksum is removed, and its rows count as missing. Rows are read with `pread`, not by
memory-mapping. Memory use therefore does not grow with the store, and a truncated file is an error, not a crash.
"""

import contextlib
import json
import math
import os
import pathlib
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

import numpy as np

from common import errors, files

SHARD_BYTES = 64 * 2**20
SHARD_SECONDS = 5.0  # an interruption costs at most this much work
CHECKED_AT_ONCE = 4 * 2**20


class FeatureStore:
    """The rows of one prefix.

    Attributes:
        directory: the folder of the shards.
        specification: (shape, dtype name) of each array in a row.
        row_bytes: length of a row in bytes.
    """

    def __init__(self, directory: pathlib.Path, specification: list[tuple[tuple[int, ...], str]], about: dict) -> None:
        """Open the folder, create it if necessary, and check every shard.

        Args:
            directory, specification: as the attributes.
            about: JSON-serializable facts for `about.json`, for people and for the search for an earlier cut.

        Raises:
            UserError: the folder cannot be created or written.
        """
        self.directory, self.specification = directory, specification
        self.row_bytes = row_bytes(specification)
        self.places: dict[str, tuple[pathlib.Path, int]] = {}  # name → (shard, offset)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if about_of(directory) != about:
                files.write_json(directory / "about.json", about)
            _remove_old_leftovers(directory)
        except OSError as error:
            raise errors.UserError(
                f"the cache {directory} cannot be written ({error.strerror}): choose another with --cache DIR, or use "
                "--no-cache"
            ) from error
        for path in sorted(directory.glob("[!.]*.shard")):  # a process is still writing a file with a leading dot
            self._open(path)

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def __len__(self) -> int:
        return len(self.places)

    def _open(self, path: pathlib.Path) -> None:
        """Register a shard's rows, or remove a damaged shard; another process may have removed it already."""
        try:
            with open(path, "rb") as file:
                header = _header_of(file.readline())
                start = file.tell()
                sound = _is_sound(file, header, self.row_bytes)
        except FileNotFoundError:
            return
        if not sound:
            count = len(header.get("names", []))
            print(f"cache: {path} is damaged; its {count} rows will be recomputed", file=sys.stderr)
            path.unlink(missing_ok=True)
            return
        for number, name in enumerate(header["names"]):
            self.places[name] = (path, start + number * self.row_bytes)

    def write(self, batches: Iterable[tuple[list[str], Sequence[np.ndarray]]]) -> None:
        """Add rows from an iterable of (names, arrays); arrays are (n, …) as in `specification`.

        Raises:
            OSError: the disk is full; shards that are already complete are kept.
            UserError: a number is too large for float16.
        """
        names, rows, size, since = [], [], 0, time.monotonic()
        for batch_names, arrays in batches:
            names += batch_names
            rows.append(self._packed(arrays))
            size += rows[-1].nbytes
            if size >= SHARD_BYTES or time.monotonic() - since > SHARD_SECONDS:
                self._write_shard(names, rows)
                names, rows, size, since = [], [], 0, time.monotonic()
        if names:
            self._write_shard(names, rows)

    def _packed(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return arrays (n, …) side by side as bytes, uint8 (n, row_bytes).

        Raises:
            UserError: a number is too large for float16; it would be stored as infinity.
        """
        for array, (_, dtype) in zip(arrays, self.specification, strict=True):
            largest = np.abs(array).max(initial=0) if dtype == "float16" else 0
            if largest > np.finfo("float16").max:
                raise errors.UserError(
                    f"features of up to {largest:,.0f} do not fit into float16, which ends at 65,504; "
                    "use --cache-dtype float32, and no --precision mixed_float16"
                )
        parts = [
            np.ascontiguousarray(np.asarray(array).astype(dtype_of(dtype), copy=False))
            .view("uint8")
            .reshape(len(array), -1)
            for array, (_, dtype) in zip(arrays, self.specification, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def _write_shard(self, names: list[str], rows: list[np.ndarray]) -> None:
        checksum = _start_of_checksum(names)
        for part in rows:
            checksum = zlib.crc32(part.data, checksum)
        header = json.dumps({"names": names, "row_bytes": self.row_bytes, "crc32": checksum}).encode() + b"\n"
        path = self.directory / f"{uuid.uuid4().hex}.shard"
        with files.replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(header)
            for part in rows:
                file.write(part.data)
        self._open(path)

    def reader(self, names: list[str]) -> Callable[[Sequence[int] | np.ndarray], list[np.ndarray]]:
        """Return a function of row numbers (n,) in `names` that returns the list of their arrays (n, …)."""
        places = [self.places[name] for name in names]

        def read(numbers: Sequence[int] | np.ndarray) -> list[np.ndarray]:
            packed = np.empty((len(numbers), self.row_bytes), "uint8")
            for i, number in enumerate(numbers):
                path, offset = places[number]
                self._read_row(path, offset, packed[i])
            return self._unpacked(packed)

        return read

    def _read_row(self, path: pathlib.Path, offset: int, row: np.ndarray) -> None:
        """Read one row; the file is opened each time, because a large store has more shards than a process may open."""
        try:
            with open(path, "rb", buffering=0) as file:
                length = os.preadv(file.fileno(), [row.data], offset)
        except FileNotFoundError:
            length = 0
        if length != self.row_bytes:
            raise errors.UserError(f"{path} was truncated or removed while it was in use; start again with --resume")

    def _unpacked(self, packed: np.ndarray) -> list[np.ndarray]:
        arrays, start = [], 0
        for shape, dtype in self.specification:
            end = start + math.prod(shape) * dtype_of(dtype).itemsize
            part = np.ascontiguousarray(packed[:, start:end])
            arrays.append(part.view(dtype_of(dtype)).reshape(len(packed), *shape))
            start = end
        return arrays


def about_of(directory: pathlib.Path) -> dict:
    """Return the content of a store's `about.json`, {} if it is missing or damaged."""
    try:
        return json.loads((directory / "about.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _remove_old_leftovers(directory: pathlib.Path) -> None:
    """Remove incomplete files of killed writers after a day; a newer file may still be in use by its writer."""
    for path in directory.glob(".*.shard"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > 86400:
                path.unlink()


def row_bytes(specification: list[tuple[tuple[int, ...], str]]) -> int:
    """Return the length of a row that holds arrays of these shapes and dtypes."""
    return sum(math.prod(shape) * dtype_of(dtype).itemsize for shape, dtype in specification)


def dtype_of(name: str) -> np.dtype:
    """Return a NumPy dtype by name, including `bfloat16`."""
    if name == "bfloat16":
        import ml_dtypes  # a dependency of TensorFlow

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _header_of(line: bytes) -> dict:
    try:
        header = json.loads(line)
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def _start_of_checksum(names: list[str]) -> int:
    """Return the checksum of the names; a damaged name would give one photo's features to another."""
    return zlib.crc32("\n".join(map(str, names)).encode())


def _is_sound(file: BinaryIO, header: dict, row_bytes: int) -> bool:
    """Return whether the rest of the file has the length and the checksum given in its header."""
    if header.get("row_bytes") != row_bytes or not isinstance(header.get("names"), list):
        return False
    length, checksum = 0, _start_of_checksum(header["names"])
    while part := file.read(CHECKED_AT_ONCE):
        length += len(part)
        checksum = zlib.crc32(part, checksum)
    return length == row_bytes * len(header["names"]) and checksum == header.get("crc32")
