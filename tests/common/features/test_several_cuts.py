"""Several cuts of one network in one pass give what each cut gives alone, in the cache that runs use."""

import numpy as np
import pytest

from common.data import dataset
from common.demo import network
from common.features import several_cuts
from common.media import photos
from common.models import backbones
from common.training import settings
from recipes import linear_probe


@pytest.fixture
def config(stripes, tmp_path):
    (tmp_path / "run").mkdir()
    shape = {"backbone": "demo", "weights": "demo", "image_size": 32}
    return settings.PhotoConfig(data=str(stripes), **shape, no_baselines=True, out=tmp_path / "runs",
                                cache=tmp_path / "cache")  # fmt: skip


def test_one_pass_gives_the_features_after_each_layer(config, tmp_path, capsys):
    splits = dataset.load(config, tmp_path / "run", photos.PHOTOS)
    backbone = backbones.choose(config, "demo")
    layers = ["block5_pool", "block4_pool"]
    cuts = several_cuts.SeveralCuts(backbone, layers, splits, config)
    assert cuts.seconds > 0 and capsys.readouterr().err.count("in one pass over 30 photos") == 1
    for layer in layers:
        # The weights file of the whole network also fits the one that is cut off.
        alone = backbones.load("demo", str(network.WEIGHTS_PATH), 32, last_layer=layer)
        (batch,) = splits.generators(alone.resize, alone.preprocess, 32, 0)[2]
        maps = alone.model.predict_on_batch(np.asarray(batch[0]))
        np.testing.assert_allclose(cuts.features(layer, "test"), maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    again = several_cuts.SeveralCuts(backbones.choose(config, "demo"), layers, splits, config)
    assert again.seconds == 0 and "in one pass" not in capsys.readouterr().err
    # A probe on the network that is cut off there finds its features.
    values = {name: value for name, value in vars(config).items() if name != "last_layer"}
    linear_probe.run(linear_probe.Config(**values, last_layer="block4_pool"))
    assert "to compute" not in capsys.readouterr().err
