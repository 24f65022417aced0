import collections
import shutil

import keras
import pytest
import tiny_network

from common import errors
from common.training import recorder, settings


def test_a_disk_that_would_be_full_at_the_end_is_found_before_the_training(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 6 * 10**6, 6 * 10**6))
    record = recorder.Recorder("toy", settings.PhotoConfig(out=tmp_path / "runs"))
    backbone = tiny_network.demo()
    with pytest.raises(errors.UserError, match=r"the run needs .*, but only 6\sMB are free; free some"):
        record.begin(backbone, backbone.model, splits=None, stages=[])
    assert not (record.directory / "config.json").exists()
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    record.begin(backbone, small, splits=None, stages=[])
    assert (record.directory / "config.json").exists()
