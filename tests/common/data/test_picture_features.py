import shutil

import numpy as np
import PIL.Image
import pytest

from common.data import duplicates, picture_features
from common.data.sample_list import Sample
from common.media import photos


def rows(*angles):
    return np.array([[np.cos(angle), np.sin(angle)] for angle in angles])


@pytest.mark.quick
def test_pairs_are_nearest_to_each_other_and_nearer_than_two_classes():
    features = rows(0.0, 0.01, 0.05, 0.5, 0.52, 1.0, 1.1)  # 0.05 is near to 0.01, which is nearer to 0.0
    classes = np.array([0, 0, 0, 0, 0, 1, 2])
    found = picture_features.mutual(features, classes, np.arange(7))
    assert [pair[:2] for pair in found] == [(0, 1), (3, 4)]  # 1.0 and 1.1 are the nearest of two classes
    assert found[0][2] == pytest.approx(np.cos(0.01), abs=1e-4)
    blurred = picture_features.mutual(features, np.array([0, 0, 0, 0, 1, 1, 2]), np.arange(7))
    assert [pair[:2] for pair in blurred] == [(0, 1)]


@pytest.mark.quick
def test_what_is_kept_together_anyway_is_not_compared():
    found = picture_features.mutual(rows(0.0, 0.01, 0.02), np.zeros(3), np.array([0, 0, 1]))
    assert [pair[:2] for pair in found] == [(1, 2)]
    assert picture_features.mutual(rows(0.0, 0.01), np.zeros(2), np.zeros(2)) == []


def test_without_weights_a_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert picture_features.pairs([Sample("a", "x")], {"a": "1"}, {"a": "1"}, photos.PHOTOS, None) == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "not searched for" in said and str(tmp_path / "models") in said


def test_a_cropped_photo_is_found_by_the_network_and_its_features_are_kept(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(real_data / "keras_home"))
    flowers = sorted((real_data / "flowers").glob("*/*.jpg"))[::40]
    samples = []
    for path in flowers:
        shutil.copy(path, tmp_path / path.name)
        samples.append(Sample(str(tmp_path / path.name), path.parent.name))
    for path in flowers[:3]:
        image = PIL.Image.open(path)
        width, height = image.size
        image.crop((width // 20, height // 20, width, height)).save(tmp_path / f"cropped {path.name}")
        samples.append(Sample(str(tmp_path / f"cropped {path.name}"), path.parent.name))
    units = contents = {sample.path: sample.path for sample in samples}
    found = picture_features.pairs(samples, units, contents, photos.PHOTOS, tmp_path / "cache")
    made = {(str(tmp_path / path.name), str(tmp_path / f"cropped {path.name}")) for path in flowers[:3]}
    assert made <= {(pair.first, pair.second) for pair in found}
    assert {pair.kind for pair in found} == {duplicates.FEATURES}
    for sample in samples:
        (tmp_path / sample.path).unlink()  # the second time, no photo is read
    assert picture_features.pairs(samples, units, contents, photos.PHOTOS, tmp_path / "cache") == found
