import pathlib

import helpers
import pytest
import tensorflow_datasets as tfds

from common import errors

PREPARE = pathlib.Path(__file__).parents[2] / "data" / "flowers" / "prepare.py"


@pytest.fixture
def flowers(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


def test_photos_are_laid_out_and_counted(flowers, tfds_metadata, tmp_path):
    tfds_metadata("tf_flowers", ["train"])
    drawn = tfds.testing.mock_data(num_examples=40, data_dir=str(tmp_path / "tfds"))
    with drawn, pytest.raises(errors.UserError, match="expected {'dandelion': 898"):
        flowers.prepare(tmp_path)
    photos = tmp_path / "photos"
    counts = {folder.name: len(list(folder.iterdir())) for folder in photos.iterdir()}
    assert sum(counts.values()) == 40
    assert flowers.prepare(tmp_path, counts) == photos  # laid out already: only counted
    assert sum(flowers.PHOTOS.values()) == 3670
