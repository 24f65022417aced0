import helpers
import keras
import numpy as np
import pytest

from common import errors
from common.features import frozen_prefix
from common.models import backbones
from common.runs import finished_run, saved_model
from recipes import feature_extraction, from_scratch, gradual_unfreezing, partial_unfreezing


def settings(photos, tmp_path, **changes):
    quick = {
        "backbone": "demo",
        "weights": "demo",
        "image_size": 32,
        "epochs": 2,
        "fine_tuning_epochs": 3,
        "batch_size": 8,
    }
    return partial_unfreezing.Config(
        **{"data": str(photos), "out": tmp_path / "runs", "cache": tmp_path / "cache", **quick, **changes}
    )


def weights_of(result):
    model = saved_model.load_model(result.directory).model
    classifier = model.get_layer("classifier")
    return {layer.name: layer.get_weights() for layer in classifier.layers if layer.get_weights()}


def test_what_is_unfrozen_moves_and_what_is_frozen_does_not(stripes, tmp_path):
    changes = {"learning_rate": 1e-2, "fine_tuning_rate": 1e-3, "warmup_epochs": 2, "keep_worse": True}
    result = partial_unfreezing.run(settings(stripes, tmp_path, **changes))
    before = backbones.load("demo", "demo", 32).model
    for name, weights in weights_of(result).items():
        if name.startswith("block"):
            same = all(np.array_equal(a, b) for a, b in zip(weights, before.get_layer(name).get_weights(), strict=True))
            assert same == (not name.startswith("block5")), name
    assert result.results["strategy"] == "head, then from block5_conv1"
    assert [row["stage"] for row in result.results["stages"]] == ["head", "fine_tuning"]
    history = finished_run.read_history(result.directory)
    assert [row["stage"] for row in history] == ["head"] * 2 + ["fine_tuning"] * 3
    rising, highest, falling = (row["learning_rate"] for row in history[2:])
    assert falling < rising < highest == pytest.approx(1e-3, rel=0.35)  # warm-up of two epochs, then to nothing


def test_rates_fall_with_depth(stripes, tmp_path):
    """Adam's first step moves a weight by the learning rate, whatever its gradient (Kingma and Ba, 2015)."""
    changes = {
        "unfreeze_from": "block3",
        "layer_decay": 0.5,
        "warmup_epochs": 0,
        "fine_tuning_epochs": 1,
        "batch_size": 32,
        "keep_worse": True,
    }
    result = partial_unfreezing.run(settings(stripes, tmp_path, **changes, epochs=1, seed=1))
    assert result.results["kept_stage"] == "fine_tuning"
    before, after = backbones.load("demo", "demo", 32).model, weights_of(result)
    moved = {
        name: max(float(abs(a - b).max()) for a, b in zip(weights, before.get_layer(name).get_weights(), strict=True))
        for name, weights in after.items() if name.startswith("block")
    }  # fmt: skip
    for block, depth in (("block5", 1), ("block4", 2), ("block3", 3)):
        assert moved[f"{block}_conv1"] == pytest.approx(1e-4 * 0.5**depth, rel=0.02)
    assert moved["block2_conv1"] == 0.0


def test_layers_are_listed_without_a_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        partial_unfreezing.run(partial_unfreezing.Config(list_layers=True, out=tmp_path))
    assert not ended.value.code and not list(tmp_path.iterdir())
    assert "block5_conv1" in capsys.readouterr().out


def test_cached_and_whole_give_the_same_model(stripes, tmp_path):
    cached, whole = (
        partial_unfreezing.run(settings(stripes, tmp_path, no_cache=no_cache, keep_worse=True))
        for no_cache in (False, True)
    )
    assert cached.results["test"]["accuracy"] == whole.results["test"]["accuracy"]
    for layer, same_layer in zip(weights_of(cached).values(), weights_of(whole).values(), strict=True):
        for a, b in zip(layer, same_layer, strict=True):
            assert np.allclose(a, b, atol=1e-4)  # Adam divides by small numbers, which magnifies rounding


def test_where_fine_tuning_harms_the_head_is_kept(stripes, tmp_path, monkeypatch):
    """The run dies before the decision, which is made after it is resumed."""
    changes = {"head": "gap", "learning_rate": 1.0, "fine_tuning_rate": 0.1, "epochs": 20}
    interrupted = helpers.killed_after(
        partial_unfreezing, "fine_tuning", 2, settings(stripes, tmp_path, **changes), monkeypatch
    )
    result = partial_unfreezing.run(partial_unfreezing.Config(resume=interrupted))
    assert result.results["kept_stage"] == "head"
    history = [row for row in finished_run.read_history(result.directory) if row["stage"] == "head"]
    best = min(history, key=lambda row: row["val_loss"])
    assert result.results["validation"]["log_loss"] <= best["val_loss"] * 1.001 + 1e-6


def test_what_is_worse_is_kept_where_one_wants_to_see_it(stripes, tmp_path):
    changes = {"learning_rate": 1.0, "fine_tuning_rate": 0.1, "epochs": 1}
    result = partial_unfreezing.run(settings(stripes, tmp_path, **changes, keep_worse=True))
    assert result.results["kept_stage"] == "fine_tuning"
    last = finished_run.read_history(result.directory)[-1]
    assert result.results["validation"]["accuracy"] == pytest.approx(last["val_accuracy"])


def test_l2_sp_keeps_the_unfrozen_layers_nearer_to_the_pretrained_ones(stripes, tmp_path):
    before, moved = backbones.load("demo", "demo", 32).model, []
    for strength in (0.0, 10.0):
        result = partial_unfreezing.run(
            settings(stripes, tmp_path, learning_rate=1e-2, fine_tuning_rate=1e-3, l2_sp=strength, keep_worse=True)
        )
        after = weights_of(result)["block5_conv1"][0]
        moved.append(float(((after - before.get_layer("block5_conv1").get_weights()[0]) ** 2).sum()))
    assert 0 < moved[1] < 0.5 * moved[0]


def test_a_score_that_changes_by_unfreezing_alone_stops_the_run(stripes, tmp_path, monkeypatch):
    generators = frozen_prefix.FrozenPrefix.generators

    def disturbed(self, *arguments):
        self.model.get_layer("block5_conv3").bias.assign_add(np.full(80, 0.5, "float32"))
        return generators(self, *arguments)

    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "generators", disturbed)
    with pytest.raises(errors.UserError, match="unfreezing alone changed"):
        partial_unfreezing.run(settings(stripes, tmp_path))


def test_a_killed_run_goes_on_in_its_stage(stripes, tmp_path, monkeypatch):
    config = settings(stripes, tmp_path, deterministic=True, head="gap", layer_decay=0.5)  # with dropout
    undisturbed = partial_unfreezing.run(config)
    for stage, epoch in (("head", 1), ("fine_tuning", 0)):
        interrupted = helpers.killed_after(partial_unfreezing, stage, epoch, config, monkeypatch)
        resumed = partial_unfreezing.run(partial_unfreezing.Config(resume=interrupted))
        assert resumed.results["test"] == undisturbed.results["test"]
        assert resumed.results["kept_stage"] == undisturbed.results["kept_stage"]
        losses = [[row["loss"] for row in finished_run.read_history(run.directory)] for run in (undisturbed, resumed)]
        assert losses[0] == losses[1] and len(losses[0]) == 5
        for layer, same_layer in zip(weights_of(undisturbed).values(), weights_of(resumed).values(), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(layer, same_layer, strict=True))


@pytest.mark.parametrize("where", ["15", "block5_conv1", "block5", None])
def test_number_name_and_block_mean_the_same_layer_of_vgg16(where):
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    assert partial_unfreezing.first_unfrozen(base, partial_unfreezing.Config(unfreeze_from=where)) == 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unfreeze_from": "block6"}, "did you mean block"),
        ({"unfreeze_from": "19"}, "layers of the backbone are 0 to 18"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(changes, message, stripes, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        partial_unfreezing.run(settings(stripes, tmp_path, **changes))


def test_a_fine_tuning_rate_near_the_heads_is_refused():
    with pytest.raises(errors.UserError, match="at most a tenth"):
        partial_unfreezing.Config(fine_tuning_rate=5e-4)


def test_the_article_trains_from_layer_15_at_the_heads_rate_and_keeps_the_last_epochs(stripes, tmp_path):
    short = {"epochs": 2, "fine_tuning_epochs": 2}
    config = settings(stripes, tmp_path, article=True, **partial_unfreezing.Config.ARTICLE | short)
    result = partial_unfreezing.run(config)
    rows = finished_run.read_history(result.directory)
    assert [row["stage"] for row in rows] == ["head"] * 2 + ["fine_tuning"] * 2
    assert result.results["strategy"] == "head, then from block5_conv1"
    assert result.results["kept_stage"] == "fine_tuning"  # whatever validation says
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3] * 4)


def settings_of(layer):
    return type(layer), {name: value for name, value in layer.get_config().items() if name != "name"}


@pytest.mark.parametrize("recipe", [from_scratch, partial_unfreezing, gradual_unfreezing])
def test_the_head_is_that_of_feature_extraction(recipe):
    """The recipes say it each for themselves; they must not drift apart."""
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    for head in ("flatten", "gap"):
        ours = recipe.build_model(base, 3, recipe.Config(head=head, l2=0.01)).layers[19:]
        theirs = feature_extraction.build_model(base, 3, feature_extraction.Config(head=head, l2=0.01)).layers[19:]
        assert [settings_of(layer) for layer in ours] == [settings_of(layer) for layer in theirs]
