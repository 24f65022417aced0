import socket

import pytest
import tensorflow_datasets
from PIL import Image

from common import errors
from common.data import sources, tfds
from common.media import photos


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **settings):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.parametrize(("name", "splits"), [("tf_flowers", ["train"]), ("cifar10", ["train", "test"])])
def test_photos_become_class_folders(name, splits, tfds_metadata, tmp_path):
    tfds_metadata(name, splits)
    with tensorflow_datasets.testing.mock_data(num_examples=40, data_dir=str(tmp_path / "tfds")):
        folder = tfds.export(name, tmp_path / "photos")
        class_names = tensorflow_datasets.builder(name).info.features["label"].names
    samples = sources.read_folder(folder, photos.PHOTOS)
    assert len(samples) == 40 * len(splits)
    assert {sample.split for sample in samples} == (set(splits) if len(splits) > 1 else {""})
    assert {sample.label for sample in samples} <= set(class_names)
    assert all(Image.open(sample.path).mode == "RGB" for sample in samples)
    assert tfds.export(name, tmp_path / "photos") == folder  # the second time without TFDS's data


def test_without_a_network_it_is_one_line_at_once(no_network, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(errors.UserError, match="no network.*run once on a machine with a network"):
        tfds.export("tf_flowers", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("tf_flower", "did you mean tf_flowers"), ("tf_flowers:9.9.9", "3.0.1"), ("imdb_reviews", "not an image class")],
)
def test_a_mistake_is_explained(name, message, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        tfds.export(name, tmp_path)
    assert not list(tmp_path.rglob("*.jpg"))
