"""Image classification data sets of TensorFlow Datasets, exported as class folders."""

import logging
import pathlib
import shutil
import socket
from typing import Any

import tqdm

from common import errors, flags

DOWNLOAD_HOST = ("storage.googleapis.com", 443)
SPLITS = ("train", "validation", "test")


def export(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Download a data set if necessary and write its photos, with unchanged bytes, into class folders.

    Args:
        name: the name in the catalogue (https://www.tensorflow.org/datasets/catalog), with `:version` or `/config`.
        folder: the photos are written to `folder/<name>/<version>/[<split>/]<class>/<number>.jpg` (or `.png`).

    Returns:
        The folder of the class folders, or of the split folders if the data set has more than one split.

    Raises:
        UserError: no such data set, no image and label in it, or no network to download it.
    """
    import tensorflow_datasets as tfds  # The import takes two seconds, so it is done only here.

    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of every version that is not downloaded yet.
    try:
        builder = tfds.builder(name)
    except Exception as error:  # TFDS raises DatasetNotFoundError and, for a bad version, AssertionError.
        hint = flags.suggestion(name, tfds.list_builders())
        raise errors.UserError(f"tfds:{name}: {str(error).splitlines()[0].rstrip('.')}{hint}") from error
    destination = folder / name.replace("/", "-").replace(":", "-") / str(builder.version)
    if destination.is_dir():
        return destination
    _check_features(name, builder.info.features)
    _prepare(name, builder)
    _write_photos(builder, destination)
    return destination


def _check_features(name: str, features: Any) -> None:
    if not {"image", "label"} <= set(features) or not hasattr(features["label"], "names"):
        raise errors.UserError(f"tfds:{name}: not an image classification data set; it has {', '.join(features)}")


def _prepare(name: str, builder: Any) -> None:
    """Download the data set; without a network, fail at once, while TFDS would retry for three minutes."""
    if builder.is_prepared():
        return
    try:
        socket.create_connection(DOWNLOAD_HOST, timeout=5).close()
    except OSError as error:
        raise errors.UserError(
            f"tfds:{name} is not in {builder.data_dir} and cannot be downloaded (no network?); run once on a machine "
            "with a network, or give a folder of class folders as --data"
        ) from error
    try:
        builder.download_and_prepare()
    except Exception as error:  # A download can fail in many ways; the first line of the error tells which.
        raise errors.UserError(f"tfds:{name}: the download failed: {str(error).splitlines()[0]}") from error


def _write_photos(builder: Any, destination: pathlib.Path) -> None:
    """Write all splits into a temporary folder that gets its final name when it is complete."""
    import tensorflow_datasets as tfds

    temporary = destination.with_name(f".{destination.name}-unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    splits = [split for split in SPLITS if split in builder.info.splits]
    class_names = builder.info.features["label"].names
    for split in splits:
        target = temporary / split if len(splits) > 1 else temporary
        # Without decoding, the files stay as they were stored, so a JPEG is not compressed again.
        dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
        total = builder.info.splits[split].num_examples
        for number, example in enumerate(
            tqdm.tqdm(dataset, f"writing {split} photos", total=total, unit="photo", disable=None)
        ):
            content = example["image"].numpy()
            class_folder = target / class_names[int(example["label"])].replace("/", "-")
            class_folder.mkdir(parents=True, exist_ok=True)
            suffix = "jpg" if content.startswith(b"\xff\xd8") else "png"
            (class_folder / f"{number:06d}.{suffix}").write_bytes(content)
    temporary.rename(destination)
