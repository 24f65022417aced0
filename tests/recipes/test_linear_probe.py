"""A probe is scikit-learn's classifier, inside a Keras model."""

import numpy as np
import pytest
from PIL import Image

from common import errors
from common.models import linear_heads
from common.runs import saved_model
from recipes import linear_probe


@pytest.mark.parametrize("classifier", list(linear_heads.CLASSIFIERS))
def test_the_saved_model_answers_as_the_probe_did(classifier, stripes, tmp_path, capsys):
    config = linear_probe.Config(
        data=str(stripes), backbone="demo", weights="demo", image_size=32, classifier=classifier, flip=True, views=2,
        shots=(1, 3), episodes=20, out=tmp_path / "runs", cache=tmp_path / "cache",
    )  # fmt: skip
    cached = linear_probe.run(config)
    one, three = cached.results["few_shot"]
    assert (one["shots"], three["shots"]) == (1, 3) and 0.5 < one["ridge"][0] <= three["ridge"][0] <= 1
    assert "of 20 episodes" in capsys.readouterr().out
    assert cached.results["test"]["accuracy"] > 0.7 and cached.results["cost"]["epochs"] == 0
    assert cached.results["cost"]["trainable_parameters"] == 2 * (80 + 1)
    whole = linear_probe.run(linear_probe.Config(**vars(config) | {"no_cache": True}))
    assert whole.results["test"]["log_loss"] == pytest.approx(cached.results["test"]["log_loss"], rel=1e-3)
    saved = saved_model.load_model(cached.directory)
    for row in (cached.directory / "predictions.csv").read_text().splitlines()[1:4]:
        path, *_ = row.split(",")
        answer = saved.model.predict(np.array(Image.open(path))[None], verbose=0)[0]
        assert answer == pytest.approx([float(value) for value in row.split(",")[-2:]], abs=1e-4)


def test_live_augmentation_and_no_photos_are_refused():
    with pytest.raises(errors.UserError, match="--views must be above 0"):
        linear_probe.Config(flip=True, views=0)
    with pytest.raises(errors.UserError, match="--shots must be above 0"):
        linear_probe.Config(shots=(5, 0))


def test_features_on_a_grid_keep_where_things_are(stripes, tmp_path):
    settings = {
        "data": str(stripes), "backbone": "demo", "weights": "demo", "image_size": 64, "classifier": "ridge",
        "no_baselines": True, "out": tmp_path / "runs", "cache": tmp_path / "cache",
    }  # fmt: skip
    cached = linear_probe.run(linear_probe.Config(pool_grid=2, **settings))
    assert cached.results["cost"]["trainable_parameters"] == 2 * (4 * 80 + 1)
    whole = linear_probe.run(linear_probe.Config(pool_grid=2, no_cache=True, **settings))
    assert whole.results["test"]["log_loss"] == pytest.approx(cached.results["test"]["log_loss"], rel=1e-3)
    with pytest.raises(errors.UserError, match="--pool-grid must be at most 2, the size of the network's maps"):
        linear_probe.run(linear_probe.Config(pool_grid=3, **settings))


@pytest.mark.drawn
@pytest.mark.parametrize("weights", ["none", "demo"])
def test_a_network_with_random_weights_is_called_that(weights, stripes, tmp_path, capsys):
    config = linear_probe.Config(
        data=str(stripes), backbone="demo", weights=weights, image_size=32, no_baselines=True, out=tmp_path / "runs",
        cache=tmp_path / "cache",
    )  # fmt: skip
    result = linear_probe.run(config)
    page = (result.directory / "report.html").read_text()
    told = "network: random weights, not pretrained (--weights none)" in capsys.readouterr().err
    assert told == ("The network was not pretrained." in page) == (weights == "none")
    assert result.results.get("untrained_network", False) == told
