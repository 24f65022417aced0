"""The losses of domain adaptation against formulas, and what training by them changes."""

import helpers
import keras
import numpy as np
import pytest
import tensorflow as tf

from common import devices
from common.training import adaptation, settings

RANDOM = np.random.default_rng(0)


def test_the_reversed_gradient_is_minus_the_strength_and_the_value_is_unchanged():
    x = tf.Variable([1.0, -2.0])
    with tf.GradientTape() as tape:
        reversed_ = adaptation.reversed_gradient(x, 0.3)
        loss = tf.reduce_sum(reversed_**2)
    assert reversed_.numpy() == pytest.approx([1, -2])
    assert tape.gradient(loss, x).numpy() == pytest.approx([-0.3 * 2, 0.3 * 4])


def test_the_discriminator_gains_what_the_features_lose():
    """One step along both gradients: the discriminator's own loss falls, the features' gradient points uphill."""
    discriminator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    source, target = (tf.Variable(RANDOM.normal(mean, 1, (8, 3)).astype("float32")) for mean in (0, 1))

    def loss():
        return adaptation.domain_loss(discriminator, source, target, progress=1.0)

    with tf.GradientTape() as tape:
        value = loss()
    of_weights, of_source = tape.gradient(value, [discriminator.trainable_weights[0], source])
    before = float(value)
    discriminator.trainable_weights[0].assign_sub(0.1 * of_weights)
    assert float(loss()) < before
    source.assign_sub(0.1 * of_source)
    discriminator.trainable_weights[0].assign_add(0.1 * of_weights)
    assert float(loss()) > before


def test_deep_coral_is_its_formula_and_0_for_equal_covariances():
    x, y = RANDOM.normal(size=(20, 3)).astype("float32"), RANDOM.normal(size=(30, 3)).astype("float32") * 2
    expected = ((np.cov(x.T) - np.cov(y.T)) ** 2).sum() / (4 * 3**2)
    assert float(adaptation.deep_coral_loss(x, y)) == pytest.approx(expected, rel=1e-4)
    assert float(adaptation.deep_coral_loss(x, x + 5)) == pytest.approx(0, abs=1e-6)


def test_mmd_is_its_formula_and_grows_with_the_distance():
    x, y = RANDOM.normal(size=(6, 2)).astype("float32"), RANDOM.normal(1, 1, (5, 2)).astype("float32")
    rows = np.concatenate([x, y])
    distances = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    kernel = np.mean([np.exp(-distances / (distances.mean() * each)) for each in (0.25, 0.5, 1, 2, 4)], axis=0)
    expected = kernel[:6, :6].mean() + kernel[6:, 6:].mean() - 2 * kernel[:6, 6:].mean()
    assert float(adaptation.mmd_loss(x, y)) == pytest.approx(expected, rel=1e-4)
    assert float(adaptation.mmd_loss(x, y + 3)) > expected
    assert float(adaptation.mmd_loss(x, x)) == pytest.approx(0, abs=1e-6)


def test_class_confusion_is_its_formula_and_0_for_sure_answers():
    logits = RANDOM.normal(size=(10, 3)).astype("float32")
    p = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1)
    weights = 10 * (1 + np.exp(-entropy)) / (1 + np.exp(-entropy)).sum()
    confusion = sum(w * np.outer(row, row) for w, row in zip(weights, p, strict=True))
    confusion /= confusion.sum(1, keepdims=True)
    expected = (confusion.sum() - np.trace(confusion)) / 3
    assert float(adaptation.class_confusion(logits)) == pytest.approx(expected, rel=1e-4)
    sure = 200 * np.eye(3, dtype="float32")[[0, 1, 2, 0]]
    assert float(adaptation.class_confusion(sure)) == pytest.approx(0, abs=1e-5)


def test_cdan_sees_products_whose_answers_get_no_gradient():
    features, answers = tf.Variable([[1.0, 2.0]]), tf.Variable([[0.25, 0.75]])
    with tf.GradientTape() as tape:
        products = adaptation.with_answers(features, answers)
        total = tf.reduce_sum(products)
    assert products.numpy().tolist() == [[0.25, 0.75, 0.5, 1.5]]
    of_features, of_answers = tape.gradient(total, [features, answers])
    assert of_features.numpy() == pytest.approx(np.ones((1, 2))) and of_answers is None


def two_domains(count, shift, scale, seed):
    """Two classes that differ in one channel; the other three differ by domain, in their mean and their variance."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = random.normal(0, 0.5, (count, 4)) * scale + np.outer(2 * labels - 1, [1, 0, 0, 0]) + shift
    return rows.astype("float32"), labels


def trained(parts):
    """What a head and its bottleneck, trained with these parts, make of both domains, and the head's logits."""
    source, labels = two_domains(80, [0, 0, 0, 0], 1, 0)
    target, _ = two_domains(80, [0, 0.8, 0.5, 0], [1, 1, 1, 2.5], 1)
    kernel, bias, bottleneck = adaptation.fit(
        frozenset(parts), source, labels, np.ones(80), target, 2, 0, devices.set_up(settings.PhotoConfig())
    )
    seen = [np.maximum(rows @ bottleneck[0] + bottleneck[1], 0) if bottleneck else rows for rows in (source, target)]
    assert ((seen[0] @ kernel + bias).argmax(axis=1) == labels).mean() > 0.9
    return *seen, seen[1] @ kernel + bias


@pytest.fixture(scope="module")
def short():
    with helpers.short_adaptation() as patched:
        yield patched


@pytest.fixture(scope="module")
def without(short):
    """The same training with the part switched off."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(adaptation.WEIGHTS, "mmd", 0.0)
        return trained({"mmd"})


@pytest.mark.parametrize("part", adaptation.BOTTLENECK)
def test_each_trained_part_leaves_less_of_a_gap_than_the_same_training_without_it(part, without, short):
    left = adaptation.mmd_loss if part == "mmd" else adaptation.deep_coral_loss
    *seen, _ = trained({part})
    assert float(left(*seen)) < 0.85 * float(left(*without[:2]))


def test_minimum_class_confusion_leaves_less_of_it(short):
    confusion = [float(adaptation.class_confusion(trained(parts)[2])) for parts in ({"none"}, {"mcc"})]
    assert confusion[1] < 0.95 * confusion[0]
