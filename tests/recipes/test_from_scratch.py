import helpers
import keras
import numpy as np
import pytest

from common import errors
from common.models import backbones
from common.runs import finished_run, saved_model
from recipes import feature_extraction, from_scratch


def settings(photos, tmp_path, **changes):
    quick = {
        "backbone": "demo", "image_size": 32, "epochs": 2, "search_epochs": 1, "batch_size": 8,
        "validation_fraction": 0.2, "test_fraction": 0.2,
    }  # fmt: skip
    if len(changes.get("learning_rates", (1, 2))) == 1:
        del quick["search_epochs"]  # there is no search
    return from_scratch.Config(
        **{"data": str(photos), "out": tmp_path / "runs", "cache": tmp_path / "cache", **quick, **changes}
    )


def batch_norms(network):
    return [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]


def weights_of(result):
    return saved_model.load_model(result.directory).model.get_layer("classifier").get_weights()


def test_training_from_scratch_moves_every_layer(stripes, tmp_path):
    result = from_scratch.run(settings(stripes, tmp_path, learning_rates=(1e-3,), epochs=1))
    assert "untrained_network" not in result.results  # here it is the point
    assert "baselines" not in result.results  # there are no pretrained features to fit them on
    classifier = saved_model.load_model(result.directory).model.get_layer("classifier")
    statistics = sum(2 * layer.moving_mean.shape[0] for layer in batch_norms(classifier))
    cost = result.results["cost"]
    assert cost["trainable_parameters"] == cost["total_parameters"] - statistics
    assert result.results["strategy"] == "from_scratch"


def test_the_statistics_of_batch_norm_follow_within_a_few_hundred_steps():
    found = []
    for prepare in (lambda base: base, from_scratch.normalised):
        base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
        feature_extraction.build_model(prepare(base), 2, feature_extraction.Config(head="gap"))
        found.append({layer.momentum for layer in batch_norms(base)})
    assert found == [{0.999}, {0.9}]


def test_a_network_without_normalisation_gets_batch_norm_between_convolution_and_activation():
    plain = backbones.load("demo", "none", 32).model
    ready = from_scratch.normalised(plain)
    convolutions = [layer for layer in ready.layers if isinstance(layer, keras.layers.Conv2D)]
    assert not batch_norms(plain) and len(batch_norms(ready)) == len(convolutions) == 13
    for convolution in convolutions:
        place = ready.layers.index(convolution)
        assert [type(layer).__name__ for layer in ready.layers[place : place + 3]] == [
            "Conv2D", "BatchNormalization", "ReLU",
        ]  # fmt: skip
        assert convolution.activation is keras.activations.linear and not convolution.use_bias
    assert {layer.momentum for layer in batch_norms(ready)} == {0.9} and ready.output_shape == plain.output_shape


def test_the_rate_with_the_lowest_loss_trains_the_network_from_the_start(stripes, tmp_path):
    """After a search, also over a rate that diverges, the training is that of a run with the chosen rate alone."""
    rates = (1e30, 1e-5, 1e-2)
    searched = from_scratch.run(settings(stripes, tmp_path, learning_rates=rates, deterministic=True))
    chosen = searched.results["chosen"]
    losses = {row["learning_rate"]: row["validation_loss"] for row in chosen["tried"]}
    assert tuple(losses) == rates and losses.pop(1e30) is None
    assert chosen["learning_rate"] == min(losses, key=losses.get)
    stages = [row["stage"] for row in finished_run.read_history(searched.directory)]
    assert [stage for stage in stages if stage != "rate_1e+30"] == ["rate_1e-05", "rate_0.01", "training", "training"]
    assert not list(searched.directory.glob("best_*.npz"))
    alone = from_scratch.run(settings(stripes, tmp_path, learning_rates=(chosen["learning_rate"],), deterministic=True))
    assert alone.results["test"] == searched.results["test"]
    assert all(np.array_equal(a, b) for a, b in zip(weights_of(alone), weights_of(searched), strict=True))


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_run_goes_on_in_its_stage(stripes, tmp_path, monkeypatch):
    config = settings(stripes, tmp_path, learning_rates=(1e-4, 1e-3), deterministic=True, head="gap")  # with dropout
    undisturbed = from_scratch.run(config)
    for stage, epoch in (("rate_0.0001", 0), ("training", 0)):
        interrupted = helpers.killed_after(from_scratch, stage, epoch, config, monkeypatch)
        resumed = from_scratch.run(from_scratch.Config(resume=interrupted))
        assert resumed.results["test"] == undisturbed.results["test"]
        assert resumed.results["chosen"] == undisturbed.results["chosen"]
        assert all(np.array_equal(a, b) for a, b in zip(weights_of(undisturbed), weights_of(resumed), strict=True))


@pytest.mark.parametrize("rates", [(), (1e-3, 0.0), (float("inf"),)])
def test_rates_are_checked(rates):
    with pytest.raises(errors.UserError, match="--learning-rates must contain at least one rate, each above 0"):
        from_scratch.Config(learning_rates=rates)
