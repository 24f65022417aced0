import importlib
import math
import pathlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import errors
from common.evaluation import temperature_scaling
from common.training import fitting, settings

pytestmark = pytest.mark.quick

BENCHMARKS = pathlib.Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def simulation(monkeypatch):
    """The simulation whose table the documentation quotes."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("simulations.stages")


def test_the_joined_score_may_not_change():
    fitting.check_same_score(0.5, 0.50005, settings.PhotoConfig())
    fitting.check_same_score(0.5, 0.505, settings.PhotoConfig(cache_dtype="float16"))
    with pytest.raises(errors.UserError, match="before any training"):
        fitting.check_same_score(0.5, 0.505, settings.PhotoConfig())


def test_the_score_is_without_the_penalty_on_weights():
    """Two equal logits have the cross-entropy log 2; 8 weights of 1 with L2 0.1 add 0.8 to Keras's loss."""
    kernel = {"kernel_initializer": "ones", "kernel_regularizer": keras.regularizers.L2(0.1)}
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax", **kernel)])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy", "categorical_crossentropy"])
    inputs, targets = np.ones((3, 4)), np.eye(2)[[0, 1, 1]]
    score = fitting._score(types.SimpleNamespace(suffix=model), tf.data.Dataset.from_tensors((inputs, targets)))
    assert model.evaluate(inputs, targets, verbose=0)[0] == pytest.approx(math.log(2) + 0.8, abs=1e-5)
    assert score["loss"] == pytest.approx(math.log(2), abs=1e-5) and sorted(score) == ["accuracy", "loss"]


def of_right(*probabilities):
    """Predictions (1, n, 2) that give class 0, the true one, these probabilities."""
    return np.stack([probabilities, 1 - np.array(probabilities)], axis=-1)[None]


def test_a_stage_needs_both_a_score_as_high_and_a_lower_loss():
    labels, before = np.zeros(4, int), of_right(0.9, 0.8, 0.6, 0.4)
    for after, expected in (
        (of_right(0.9, 0.8, 0.7, 0.45), True),  # as many right, more clearly
        (of_right(0.9, 0.8, 0.55, 0.3), False),  # as many right, less clearly
        (of_right(0.99, 0.99, 0.45, 0.45), False),  # one more wrong
        (before, False),  # no change
        (temperature_scaling.soften(of_right(0.9, 0.8, 0.7, 0.45), 0.4), True),  # overconfident, as the first
    ):
        assert fitting.is_better(before, after, labels)[0] == expected
    two_views = np.concatenate([of_right(0.9, 0.8, 0.9, 0.9), of_right(0.9, 0.8, 0.5, 0.3)])
    better, told = fitting.is_better(before, two_views, labels)
    assert better and "accuracy on validation 0.750 → 1.000" in told and told.endswith("kept")


def test_few_photos_seldom_keep_a_stage_that_harms(simulation):
    """The margin of one standard error kept 0.71 of stages that lose 3 points; the scaled rule 0.15."""
    harm, gain = (simulation.kept(change, 30, 200, sure=2.5) for change in (-0.03, 0.03))
    (rule,) = [rule for rule in harm if "scaled" in rule]
    assert harm[rule] <= 0.2 and gain[rule] >= 0.7


@pytest.mark.long
@pytest.mark.parametrize("sure", [1.0, 2.5])
@pytest.mark.parametrize("size", [30, 60, 120, 550])
def test_stages_that_harm_are_seldom_kept_and_others_mostly(simulation, size, sure):
    harm, gain = (simulation.kept(change, size, 400, sure) for change in (-0.03, 0.03))
    (rule,) = [rule for rule in harm if "scaled" in rule]
    assert harm[rule] <= 0.2 and gain[rule] >= 0.7
