"""Fisher's information against automatic differentiation and counting, SI's path against a hand computation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import importance

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(6, 4)).astype("float32")


def head(classes=3):
    """A dense layer of scores with made-up weights."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(classes)(inputs))
    model.set_weights([RANDOM.normal(size=(4, classes)), RANDOM.normal(size=classes)])
    return model


def example_by_example(model, rows):
    """The definition: each class's squared gradient, weighted by its probability, one photo at a time."""
    variables = [each.value for each in model.trainable_variables]
    totals = [np.zeros(each.shape) for each in variables]
    for row in rows:
        for chosen in range(model.output_shape[-1] + 1):
            with tf.GradientTape() as tape:
                log = tf.nn.log_softmax(tf.pad(model(row[None]), [[0, 0], [0, 1]]))[0, chosen]
            for total, gradient in zip(totals, tape.gradient(log, variables), strict=True):
                total += np.exp(log) * gradient.numpy() ** 2 / len(rows)
    return totals


@pytest.mark.parametrize("classes", [1, 3])
def test_fisher_of_a_head_in_closed_form_is_that_of_gradients_example_by_example(classes):
    model = head(classes)
    expected = example_by_example(model, ROWS)
    closed = importance.fisher_of_head(ROWS, model.predict(ROWS, verbose=0))
    for one, other, third in zip(closed, expected, importance.fisher(model, ROWS), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        np.testing.assert_allclose(third, other, atol=1e-6)
        assert one.shape == other.shape and (one > 0).all()


def test_fisher_below_the_head_is_that_of_gradients_and_no_square_of_a_mean_gradient():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, activation="tanh")(keras.layers.DepthwiseConv2D(3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    rows = RANDOM.normal(size=(4, 6, 6, 2)).astype("float32")
    expected = example_by_example(model, rows)
    for one, other in zip(importance.fisher(model, rows), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # At a maximum of the likelihood, the mean gradient is 0, but Fisher's information is not.
    flat = head(1)
    flat.set_weights([np.zeros((4, 1)), np.zeros(1)])
    assert importance.fisher(flat, ROWS)[1] == pytest.approx(0.25)


class Hill(keras.Model):
    """A loss of its own for two weights: half the squared distance from (1, -2), with a curvature of 1 and 3."""

    penalty = None

    def __init__(self):
        super().__init__()
        self.place = self.add_weight(shape=(2,), initializer="zeros")

    def call(self, x):
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        away = self.place - keras.ops.array([1.0, -2.0])
        loss = 0.5 * keras.ops.sum(keras.ops.array([1.0, 3.0]) * away * away)
        return loss if self.penalty is None else loss + self.penalty.loss()


def adam(gradient, start, steps, rate):
    """Adam by hand, from its paper: the places, one more than the steps."""
    mean, square, places = np.zeros(2), np.zeros(2), [np.array(start, float)]
    for step in range(1, steps + 1):
        slope = gradient(places[-1])
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        change = rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-7)
        places.append(places[-1] - change)
    return np.array(places)


@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_the_path_integral_is_gradient_times_change_without_the_penalty(strength):
    model, steps = Hill(), 5
    model.place.assign([0.5, 0.5])
    values = np.array([2.0, 0.1])
    model.penalty = importance.Penalty([model.place], [values])
    model.penalty.strength.assign(strength)
    optimizer = importance.PathIntegral(0.1, model.penalty)
    model.compile(optimizer=optimizer)
    model.fit(np.zeros((steps, 1)), batch_size=1, verbose=0)

    def own(place):
        return np.array([1.0, 3.0]) * (place - np.array([1.0, -2.0]))

    places = adam(lambda place: own(place) + 2 * strength * values * (place - 0.5), [0.5, 0.5], steps, 0.1)
    expected = -sum(own(one) * (other - one) for one, other in zip(places[:-1], places[1:], strict=True))
    np.testing.assert_allclose(model.place.numpy(), places[-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(optimizer.paths[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_importance_of_a_path_is_what_was_gained_per_squared_distance():
    (found,) = importance.of_paths([np.array([0.4, -1.0, 0.1])], [np.array([0.2, 5.0, 0.0])], damping=0.01)
    np.testing.assert_allclose(found, [0.4 / 0.05, 0, 10])


def test_the_penalty_and_its_gradient_are_their_formula():
    weight = keras.Variable([1.0, 2.0])
    penalty = importance.Penalty([weight], [np.array([3.0, 5.0])])
    penalty.strength.assign(0.5)
    assert penalty.loss() == 0
    weight.assign([2.0, 4.0])
    assert float(penalty.loss()) == pytest.approx(0.5 * (3 * 1 + 5 * 4))
    np.testing.assert_allclose(penalty.gradient(weight, weight.value), [3.0, 10.0])
