import keras
import numpy as np
import pytest
from sklearn import metrics
from sklearn.utils import class_weight

from common.training import imbalance

pytestmark = pytest.mark.quick

COUNTS = [60, 30, 9, 1]


def draw(seed=0, samples=50, classes=4):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (samples, classes)).astype("float32")
    labels = random.choice(classes, samples, p=np.array(COUNTS) / 100)
    return logits, labels, np.eye(classes, dtype="float32")[labels]


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_inverse_frequency_is_scikit_learns_balanced():
    labels = np.repeat(range(4), COUNTS)
    expected = class_weight.compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(imbalance.inverse_frequency(COUNTS), expected)


def test_effective_number_by_hand():
    beta = 0.9
    numbers = np.array([sum(beta**i for i in range(n)) for n in COUNTS])  # equation 1: 1 + beta + … + beta^(n - 1)
    expected = 1 / numbers
    np.testing.assert_allclose(imbalance.effective_number(COUNTS, beta), expected / expected.mean())


def test_effective_number_goes_from_no_weights_to_the_inverse_frequency():
    np.testing.assert_allclose(imbalance.effective_number(COUNTS, 0.0), 1.0)
    inverse = imbalance.inverse_frequency(COUNTS)
    near = imbalance.effective_number(COUNTS, 1 - 1e-9)
    np.testing.assert_allclose(near / near[0], inverse / inverse[0], rtol=1e-5)


def test_only_weights_weigh():
    assert imbalance.class_weights("weights", [3, 1]) == pytest.approx({0: 4 / 6, 1: 2.0})
    assert set(imbalance.class_weights("effective_number", [3, 1])) == {0, 1}
    for choice in ("none", "sampling", "focal", "logit_adjust", "posthoc"):
        assert imbalance.class_weights(choice, [3, 1]) is None


def test_logit_adjustment_is_cross_entropy_of_shifted_logits():
    logits, labels, one_hot = draw()
    loss = imbalance.loss("logit_adjust", COUNTS)
    shifted = softmax(logits + np.log(np.array(COUNTS) / 100))
    expected = -np.log(shifted[np.arange(len(labels)), labels]).mean()
    assert float(loss(one_hot, softmax(logits))) == pytest.approx(expected, rel=1e-4)


def test_logit_adjustment_learns_the_balanced_probabilities():
    """Two overlapping classes, 9 to 1: the balanced decision boundary lies in the middle, the plain one does not."""
    random = np.random.default_rng(0)
    labels = (np.arange(4000) % 10 == 0).astype(int)
    x = (random.normal(0, 1, 4000) + 2 * labels).astype("float32")[:, None]
    boundary = {}
    for choice in ("none", "logit_adjust"):
        keras.utils.set_random_seed(0)  # twelve epochs from another start end up to 0.3 away
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
        model.compile(keras.optimizers.Adam(0.05), imbalance.loss(choice, np.bincount(labels)))
        model.fit(x, np.eye(2)[labels], epochs=12, batch_size=200, verbose=0)
        places = np.linspace(-2, 4, 601, dtype="float32")[:, None]
        boundary[choice] = places[model.predict(places, verbose=0)[:, 1] > 0.5][0, 0]
    assert boundary["logit_adjust"] == pytest.approx(1.0, abs=0.15)
    assert boundary["none"] == pytest.approx(1 + np.log(9) / 2, abs=0.25)  # the likelihoods meet 9 to 1 there


def test_taking_the_prior_out_by_hand():
    found = imbalance.without_prior([[0.6, 0.3, 0.09, 0.01], [0.9, 0.05, 0.03, 0.02]], COUNTS)
    np.testing.assert_allclose(found[0], [0.25] * 4)  # the prior itself says nothing
    odds = np.array([0.9 / 60, 0.05 / 30, 0.03 / 9, 0.02 / 1])
    np.testing.assert_allclose(found[1], odds / odds.sum())


def test_the_prior_is_taken_out_of_the_softmax_layer():
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(4, activation="softmax")
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    before = np.array(layer(x))
    imbalance.take_prior_out(layer, COUNTS)
    np.testing.assert_allclose(np.array(layer(x)), imbalance.without_prior(before, COUNTS), rtol=1e-4)


def test_balanced_accuracy_without_the_prior_is_scikit_learns():
    logits, labels, one_hot = draw()
    metric = imbalance.BalancedAccuracy(4, imbalance.priors(COUNTS))
    metric.update_state(one_hot, softmax(logits))
    answers = imbalance.without_prior(softmax(logits), COUNTS).argmax(-1)
    assert float(metric.result()) == pytest.approx(metrics.balanced_accuracy_score(labels, answers), abs=1e-6)


def test_logit_adjustment_can_be_saved():
    loss = imbalance.loss("logit_adjust", COUNTS)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    _, _, one_hot = draw()
    assert float(again(one_hot, np.full((50, 4), 0.25))) == float(loss(one_hot, np.full((50, 4), 0.25)))


def test_focal_loss_by_hand():
    logits, labels, one_hot = draw()
    chosen = softmax(logits)[np.arange(len(labels)), labels]
    alpha = imbalance.inverse_frequency(COUNTS)[labels]
    expected = (alpha * (1 - chosen) ** 2 * -np.log(chosen)).mean()
    assert float(imbalance.loss("focal", COUNTS)(one_hot, softmax(logits))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("choice", ["none", "weights", "effective_number", "sampling", "posthoc"])
def test_the_others_are_plain_cross_entropy(choice):
    logits, labels, one_hot = draw()
    expected = metrics.log_loss(labels, softmax(logits), labels=range(4))
    assert float(imbalance.loss(choice, COUNTS)(one_hot, softmax(logits))) == pytest.approx(expected, rel=1e-4)


def test_balanced_accuracy_is_scikit_learns_over_batches():
    logits, labels, one_hot = draw(seed=1, samples=200)
    metric = imbalance.BalancedAccuracy(4)
    for start in range(0, 200, 64):
        metric.update_state(one_hot[start : start + 64], logits[start : start + 64])
    expected = metrics.balanced_accuracy_score(labels, logits.argmax(-1))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur():
    metric = imbalance.BalancedAccuracy(3)
    metric.update_state(np.eye(3)[[0, 0, 1]], np.eye(3)[[0, 1, 1]])
    assert float(metric.result()) == pytest.approx(0.75)
