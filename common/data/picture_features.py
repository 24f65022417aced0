"""Pictures of one scene, by the features of a small network that is the same for all runs.

Splits must not depend on the network that a run trains, so it is always MobileNetV2 with 0.35 of its width.
"""

import hashlib
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from concurrent import futures

import keras
import numpy as np
from PIL import Image

from common import errors, files
from common.data import duplicates, sample_list
from common.media import medium as media

WEIGHTS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
WIDTH, SIZE = 0.35, 128  # at 224 pixels it takes twice as long and finds the same
BATCH = 64
BLOCK = 1024  # items compared with all others at a time


def pairs(
    samples: Sequence[sample_list.Sample], units: Mapping[str, str], contents: Mapping[str, str], medium: media.Medium,
    cache: pathlib.Path | None,
) -> list[duplicates.Pair]:  # fmt: skip
    """Return pairs of items that look like one scene, the most similar first; none, with a line, without weights.

    Each is the other's nearest neighbour, and they are nearer than every pair of two classes.

    Args:
        samples: the items.
        units: path → unit that is kept together anyway; pairs within a unit are left out.
        contents: path → sha256 of the file.
        medium: the items' medium.
        cache: the folder for the features; None keeps none.
    """
    weights = weights_file()
    if not weights.is_file():
        print(
            f"data: near-duplicates were not searched for, because {weights} is not there; a run with --backbone "
            f"MobileNetV2:{WIDTH} downloads it", file=sys.stderr,
        )  # fmt: skip
        return []
    found = features([sample.path for sample in samples], contents, medium, weights, cache)
    labels = np.unique([sample.label for sample in samples], return_inverse=True)[1]
    numbers = np.unique([units[sample.path] for sample in samples], return_inverse=True)[1]
    alike = mutual(found, labels, numbers)
    return duplicates.bounded(
        [duplicates.Pair(samples[one].path, samples[other].path, duplicates.FEATURES, likeness)
         for one, other, likeness in alike], units,
    )  # fmt: skip


def weights_file() -> pathlib.Path:
    """Return the place where Keras keeps the network's ImageNet weights."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    return pathlib.Path(home).expanduser() / "models" / WEIGHTS


def features(
    paths: Sequence[str], contents: Mapping[str, str], medium: media.Medium, weights: pathlib.Path,
    cache: pathlib.Path | None,
) -> np.ndarray:  # fmt: skip
    """Return the network's pooled features of each item's picture, (n, 1280) of length 1; from the cache if there."""
    known = [SIZE, weights.stat().st_size, medium.decoder, *(contents[path] for path in paths)]
    key = hashlib.sha256("\n".join(map(str, known)).encode()).hexdigest()[:16]
    file = cache / "near_duplicates" / f"{key}.npy" if cache else None
    if file and file.is_file():
        return np.load(file).astype("float32")
    network = keras.applications.MobileNetV2(
        input_shape=(SIZE, SIZE, 3), alpha=WIDTH, include_top=False, pooling="avg", weights=str(weights)
    )

    def small(path: str) -> np.ndarray:
        try:
            picture = Image.fromarray(medium.thumbnail(path))
        except errors.UnusableFile as error:
            raise errors.UserError(f"{path}: {error}") from error
        return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    found = []
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), BATCH):
            batch = np.stack(list(pool.map(small, paths[start : start + BATCH]))).astype("float32")
            found.append(network.predict_on_batch(keras.applications.mobilenet_v2.preprocess_input(batch)))
    rows = np.concatenate(found)
    rows = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).astype("float16")
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(file) as temporary:
            np.save(temporary, rows)
    return rows.astype("float32")  # of what is kept, so that a split does not depend on the cache


def mutual(rows: np.ndarray, labels: np.ndarray, units: np.ndarray) -> list[tuple[int, int, float]]:
    """Return pairs of items that are each other's nearest, and nearer than every pair of two classes.

    Args:
        rows: (n, features), of length 1.
        labels, units: (n,) numbers; two items of one unit are not compared.

    Returns:
        (i, j, cosine) with i < j, the nearest first.
    """
    nearest, cosine, between = np.empty(len(rows), int), np.empty(len(rows)), -1.0
    for start in range(0, len(rows), BLOCK):
        here = slice(start, start + BLOCK)
        likeness = rows[here] @ rows.T
        likeness[units[here, None] == units] = -1
        nearest[here], cosine[here] = likeness.argmax(axis=1), likeness.max(axis=1)
        between = max(between, likeness[labels[here, None] != labels].max(initial=-1))
    found = [
        (one, other, round(float(cosine[one]), 4))
        for one, other in enumerate(nearest.tolist()) if one < other and nearest[other] == one and cosine[one] > between
    ]  # fmt: skip
    return sorted(found, key=lambda pair: -pair[2])
