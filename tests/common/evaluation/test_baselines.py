"""The baselines of a run are what `linear_probe` finds on the same features."""

import dataclasses
import importlib

import numpy as np
import pytest

from common import errors
from common.evaluation import baselines
from common.report import classes
from recipes import feature_extraction, linear_probe, partial_unfreezing

pytestmark = pytest.mark.usefixtures("undrawn")
COMMON = {
    "backbone": "demo", "weights": "demo", "image_size": 32, "batch_size": 8, "validation_fraction": 0.2,
    "test_fraction": 0.2,
}  # fmt: skip


def run(recipe, photos, tmp_path, **settings):
    known = {field.name for field in dataclasses.fields(recipe.Config)}
    short = {"epochs": 2, "fine_tuning_epochs": 1, "warmup_epochs": 0}
    settings = {name: value for name, value in short.items() if name not in recipe.Config.UNUSED} | settings
    return recipe.run(
        recipe.Config(
            data=str(photos), out=tmp_path / "runs", cache=tmp_path / "cache",
            **{name: value for name, value in (COMMON | settings).items() if name in known},
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        (feature_extraction, {"head": "gap"}),
        (feature_extraction, {"head": "flatten"}),
        (partial_unfreezing, {"head": "gap", "flip": True, "views": 2}),  # the features are those before fine-tuning
    ],
)
def test_a_run_has_the_probes_of_the_same_features_beside_it(recipe, settings, stripes, tmp_path):
    found = run(recipe, stripes, tmp_path, **settings).results["baselines"]
    augmentation = {name: value for name, value in settings.items() if name != "head"}
    for name, chosen in (("logistic_regression", "C"), ("nearest_centroid", "sharpness")):
        alone = run(linear_probe, stripes, tmp_path, classifier=name, **augmentation).results
        assert found[name][chosen] == alone["chosen"][chosen]
        assert alone["baselines"].keys() == found.keys()
        for side in ("validation", "test"):
            for metric in ("accuracy", "accuracy_interval", "confusion_matrix"):
                assert found[name][side][metric] == alone[side][metric]
            assert found[name][side]["log_loss"] == pytest.approx(alone[side]["log_loss"], rel=1e-3)


def test_the_terminal_shows_them(stripes, tmp_path, capsys):
    result = run(feature_extraction, stripes, tmp_path, head="gap")
    told = capsys.readouterr().out
    accuracy = result.results["baselines"]["logistic_regression"]["test"]["accuracy"]
    line = next(line for line in told.splitlines() if line.startswith("  logistic regression"))
    assert line.endswith(f"{accuracy:.3f}") and "  always the largest class" in told
    # Two epochs are too few: the head trained on the same features validates worse, and that is said.
    assert "logistic regression" in next(line for line in told.splitlines() if "at least as good on validation" in line)


def test_a_baseline_that_validates_worse_is_not_recommended():
    def scores(accuracy):
        return {"validation": {"accuracy": accuracy, "balanced_accuracy": 1 - accuracy}}

    found = {"logistic_regression": scores(0.8), "nearest_centroid": scores(0.9)}
    run = {"strategy": "feature_extraction", "baselines": found} | scores(0.85)
    assert classes.baselines_as_good(run) == ["nearest centroid"]
    assert classes.baselines_as_good(run | {"clinic": {}}) == ["logistic regression"]  # there the balanced one counts
    assert classes.baselines_as_good(run | {"strategy": "logistic_regression"}) == []  # a probe is one itself


def test_without_cached_features_there_are_none_and_that_is_said(stripes, tmp_path, capsys):
    result = run(feature_extraction, stripes, tmp_path, no_cache=True)
    assert result.results["baselines"] == {}
    assert "baselines: skipped, since the features" in capsys.readouterr().err
    assert "baselines" not in run(feature_extraction, stripes, tmp_path, no_baselines=True).results


def test_maps_are_averaged_over_their_places():
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype("float32")
    means = maps.mean(axis=(2, 3))
    flat = maps.reshape(2, 3, -1)
    for features in (maps, flat, means):
        assert np.allclose(baselines._pooled(features, (4, 5, 6)), means, atol=1e-6)
    clips = np.zeros((1, 2, 18), "float32")  # pooled, with what appears and vanishes: three times as wide
    assert baselines._pooled(clips, (4, 5, 6)).shape == (1, 2, 18)


def test_a_comparison_fits_none_in_its_trials():
    compare_strategies = importlib.import_module("recipes.compare_strategies")
    config = compare_strategies.Config()
    for name, strategy in compare_strategies.compared(config).items():
        trial = compare_strategies.with_settings(config, strategy, weights="demo")
        assert trial.no_baselines, name
    with pytest.raises(errors.UserError, match="unknown argument"):
        flags = importlib.import_module("common.flags")
        flags.parse(compare_strategies.Config, ["--baselines"])
