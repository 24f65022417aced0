"""What several test files need: real data where it is, small made-up photos, and settings for quick runs."""

import fcntl
import gc
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

# Keras looks for its home once, while it is imported.
if os.environ.get("REAL_DATA"):
    os.environ.setdefault("KERAS_HOME", str(pathlib.Path(os.environ["REAL_DATA"]).resolve() / "keras_home"))

# Two workers with two threads each on two cores take 9 % more processor time than with one.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # its thread changes the environment while others read it
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

from common import startup  # noqa: E402, F401, I001  (imports TensorFlow quietly)

import helpers  # noqa: E402

from common.data import sources  # noqa: E402

gc.freeze()  # TensorFlow's objects stay anyway; looking through them again and again is 3 % of the time
gc.set_threshold(100_000, 50, 50)


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real photos and weights; tests that need it are skipped where it is absent."""
    folder = os.environ.get("REAL_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("REAL_DATA is not set: no real photos and weights here")
    return pathlib.Path(folder).resolve()


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> pathlib.Path:
    """One cache for the whole session and all of its workers, so that the demo's photos are drawn once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "shared_cache"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:  # another worker may be drawing them
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources.demo_folder(folder)
    return folder


@pytest.fixture
def undrawn():
    """Runs draw no report: for tests that do not look at it."""
    with helpers.without_report():
        yield


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that short ones fill the end, when workers run dry."""
    first = ["recipes", "common/features", "docs", "common/training", "common/models"]
    folders = [pathlib.Path(__file__).parent / name for name in first]
    items.sort(key=lambda item: [not item.path.is_relative_to(folder) for folder in folders])


@pytest.fixture
def stripes(tmp_path) -> pathlib.Path:
    """Class folders `across/` and `down/`, 15 striped JPEGs each, of different sizes and colours."""
    return write_stripes(tmp_path / "photos")


@pytest.fixture(scope="module")
def module_stripes(tmp_path_factory) -> pathlib.Path:
    """The folders of `stripes`, written once for a file of tests that leave them as they are."""
    return write_stripes(tmp_path_factory.mktemp("stripes") / "photos")


def write_stripes(folder: pathlib.Path) -> pathlib.Path:
    """Write the folders of `stripes` and return their folder."""
    random = np.random.default_rng(0)
    for label in ("across", "down"):
        (folder / label).mkdir(parents=True)
        for number in range(15):
            height, width = random.integers(40, 80, 2)
            place = np.arange(height)[:, None] if label == "across" else np.arange(width)[None, :]
            wave = np.sin(place * random.uniform(0.5, 1.0))[..., None] * np.ones((height, width, 1))
            pixels = 128 + 60 * wave * random.uniform(0.5, 1, 3) + random.normal(0, 20, (height, width, 3))
            picture = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
            picture.save(folder / label / f"{number:02d}.jpg", quality=90)
    return folder


@pytest.fixture
def tfds_metadata(tmp_path):
    """Writes below `tmp_path/tfds` what TFDS stores beside a prepared set; its mock takes the splits from there."""
    import tensorflow_datasets as tfds

    def write(name, splits):
        builder = tfds.builder(name)
        folder = tmp_path / "tfds" / name / str(builder.version)
        folder.mkdir(parents=True)
        info = {"name": name, "version": str(builder.version), "fileFormat": "tfrecord"}
        info["splits"] = [{"name": split, "numBytes": "9", "shardLengths": ["40"]} for split in splits]
        (folder / "dataset_info.json").write_text(json.dumps(info))
        (folder / "label.labels.txt").write_text("\n".join(builder.info.features["label"].names or "abc"))

    return write
