"""`--dry-run`: what it promises, and that it leaves nothing."""

import dataclasses
import importlib
import re

import pytest
import tiny_network

from common import errors
from common.data import dataset
from common.media import photos
from common.models import freezing
from common.training import plan, recorder, settings
from recipes import feature_extraction, gradual_unfreezing

pytestmark = pytest.mark.usefixtures("undrawn")
ALL = [
    "feature_extraction", "linear_probe", "partial_unfreezing", "gradual_unfreezing", "from_scratch",
]  # fmt: skip


def config_of(recipe, photos, tmp_path, **changes):
    changes = {"epochs": 3, "fine_tuning_epochs": 2} | changes
    changes = {name: value for name, value in changes.items() if name not in recipe.Config.UNUSED}
    known = {field.name for field in dataclasses.fields(recipe.Config)}
    own = {"backbone": "demo", "weights": "none" if recipe.__name__.endswith("scratch") else "demo", "image_size": 32,
           "head": "gap", "batch_size": 8, "max_blocks": 2, "out": tmp_path / "made" / "runs",
           "cache": tmp_path / "cache", "dry_run": True} | changes  # fmt: skip
    return recipe.Config(data=str(photos), **{name: value for name, value in own.items() if name in known})


def stopped(recipe, config, capsys) -> str:
    """What a dry run prints on stdout."""
    with pytest.raises(SystemExit) as stop:
        recipe.run(config)
    assert not stop.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ALL)
def test_a_dry_run_prints_a_plan_and_leaves_nothing(name, stripes, tmp_path, capsys):
    recipe = importlib.import_module(f"recipes.{name}")
    told = stopped(recipe, config_of(recipe, stripes, tmp_path), capsys)
    assert "30 photos in 2 classes: 22 train, 4 validation, 4 test" in told
    for line in (r"^memory +about .*[GM]B at the peak$", r"^disk +.*; up to .*B in .*", r"^all +(\d+ min )?\d+\ss$"):
        assert re.search(line, told, re.MULTILINE), line
    assert not (tmp_path / "made").exists()  # nor the folders above the run
    assert not (tmp_path / "cache" / "features").exists()


def test_texts_take_it_too(tmp_path, shared_cache, capsys):
    pytest.importorskip("keras_hub", reason="the extra `text` is not installed")
    for name, extra in (("legal_text", {"strategy": "last_blocks"}), ("text_classification", {"adapt_epochs": 1})):
        recipe = importlib.import_module(f"recipes.{name}")
        config = recipe.Config(out=tmp_path / "runs", cache=shared_cache, dry_run=True, **extra)
        told = stopped(recipe, config, capsys)
        assert "demo: documents: 65 train, 19 validation, 24 test" in told
        assert re.search(r"^(last_blocks +198,528 +4|adapt +1,116,928 +1)\b", told, re.MULTILINE)
    assert not (tmp_path / "runs").exists()


def test_what_the_cache_has_is_not_planned_again(stripes, tmp_path, capsys):
    first = config_of(feature_extraction, stripes, tmp_path)
    assert "frozen network, 30 times" in stopped(feature_extraction, first, capsys)
    result = feature_extraction.run(dataclasses.replace(first, dry_run=False, epochs=1))
    capsys.readouterr()
    again = stopped(feature_extraction, first, capsys)
    assert "no new features" in again and "frozen network" not in again
    assert result.directory.is_dir()  # an earlier run stays


def test_the_plan_counts_what_the_run_trains_and_stores(stripes, tmp_path):
    own = config_of(gradual_unfreezing, stripes, tmp_path, dry_run=False)
    record = recorder.Recorder("toy", own)
    splits = dataset.load(own, record.directory, photos.Photos())
    backbone = tiny_network.demo()
    model = gradual_unfreezing.build_model(backbone.model, 2, own)
    stages = gradual_unfreezing.stages(backbone.model, own)
    planned = plan.of_items(model, backbone, splits, own, stages)
    result = gradual_unfreezing.run(own)
    trained = [row["trainable_parameters"] for row in result.results["stages"]]
    steps = [step.trains for step in planned.steps if step.trains]
    assert steps[: len(trained)] == trained
    assert planned.features == result.results["cost"]["cache_bytes"]
    assert [step.name for step in planned.steps][:2] == ["frozen network, 30 times", "head"]


def test_a_run_without_a_cache_is_planned_with_the_whole_network_in_every_epoch(stripes, tmp_path):
    own = config_of(feature_extraction, stripes, tmp_path, dry_run=False, no_cache=True)
    record = recorder.Recorder("toy", own)
    splits = dataset.load(own, record.directory, photos.Photos())
    backbone = tiny_network.demo()
    freezing.freeze(backbone.model)
    model = feature_extraction.build_model(backbone.model, 2, own)
    stages = feature_extraction.stages(backbone.model, own)
    uncached = plan.of_items(model, backbone, splits, own, stages)
    cached = plan.of_items(model, backbone, splits, dataclasses.replace(own, no_cache=False), stages)
    assert (uncached.features, len(uncached.steps)) == (0, 2) and (len(cached.steps), cached.features > 0) == (3, True)


def test_bad_photos_stop_a_dry_run_as_they_stop_a_run(stripes, tmp_path):
    (stripes / "down" / "bad.jpg").write_bytes(b"no photo")
    with pytest.raises(errors.UserError, match="bad.jpg"):
        feature_extraction.run(config_of(feature_extraction, stripes, tmp_path))


def test_resuming_takes_no_dry_run(tmp_path):
    folder = tmp_path / "runs" / "toy" / "one"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"recipe": "toy", "command": "x", "config": {}}')
    with pytest.raises(errors.UserError, match="remove --dry-run"):
        recorder.Recorder("toy", settings.PhotoConfig(resume=folder, dry_run=True))
