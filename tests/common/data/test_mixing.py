import numpy as np
import pytest
import tensorflow as tf

from common.data import mixing

pytestmark = pytest.mark.quick

STEPS, BATCH = 3, 4


def stream():
    """An endless stream of batches that tell which photos they contain, in the same order in each epoch."""
    numbers = tf.data.Dataset.range(STEPS * BATCH).map(lambda number: tf.cast(number, tf.float32))
    photos = numbers.map(lambda number: (tf.fill((6, 6, 1), number), tf.one_hot(tf.cast(number, tf.int32), 12)))
    return photos.batch(BATCH).repeat()


def batches(count, first_epoch=0, **kind):
    found = mixing.mixed(stream(), STEPS, seed=3, first_epoch=first_epoch, **kind).take(count)
    return [(x.numpy(), y.numpy()) for x, y in found]


def test_without_a_weight_the_batches_stay_as_they_are():
    plain = stream()
    assert mixing.mixed(plain, STEPS, seed=3) is plain


@pytest.mark.parametrize("kind", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_targets_are_shares_that_fit_the_pixels(kind):
    for photos, targets in batches(2 * STEPS, **kind):
        assert np.allclose(targets.sum(axis=1), 1) and (targets > 0).sum(axis=1).max() <= 2
        # A photo has its own number everywhere, so the mean of a mixture's pixels is that of its targets.
        assert np.allclose(photos.mean(axis=(1, 2, 3)), targets @ np.arange(12), atol=1e-4)


def test_mixup_is_linear_and_cutmix_keeps_pixels():
    (photos, targets), *_ = batches(1, mixup=1.0)
    assert np.allclose(photos, (targets @ np.arange(12))[:, None, None, None], atol=1e-4)
    for photos, targets in batches(STEPS, cutmix=1.0):
        whole = photos.reshape(BATCH, -1)
        assert np.array_equal(whole, whole.round())
        share = targets.max(axis=1)
        assert np.allclose(share * 36, (share * 36).round(), atol=1e-3)  # whole pixels of 36


def test_mixtures_are_between_the_features_of_several_tensors():
    one, two = tf.constant([[1.0], [3.0]]), tf.constant([[10.0, 0], [30.0, 4]])
    (first, second), targets = mixing.mixed_up((one, two), tf.eye(2), tf.constant([1, 0]), tf.constant(0.75))
    assert first.numpy().tolist() == [[1.5], [2.5]]
    assert second.numpy().tolist() == [[15.0, 1.0], [25.0, 3.0]]
    assert targets.numpy().tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_a_share_of_one_changes_nothing():
    one = tf.random.stateless_uniform((4, 5), (0, 1))
    mixed, targets = mixing.mixed_up(one, tf.eye(4), tf.constant([3, 2, 1, 0]), tf.constant(1.0))
    assert np.array_equal(mixed, one) and np.array_equal(targets, np.eye(4))


@pytest.mark.parametrize("kind", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_a_resumed_training_sees_the_same_mixtures_and_each_epoch_others(kind):
    whole = batches(3 * STEPS, **kind)
    resumed = batches(STEPS, first_epoch=2, **kind)
    for (photos, targets), (same_photos, same_targets) in zip(whole[2 * STEPS :], resumed, strict=True):
        assert np.array_equal(photos, same_photos) and np.array_equal(targets, same_targets)
    assert not np.array_equal(whole[0][1], whole[STEPS][1])


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0])
def test_shares_follow_the_beta_distribution(alpha):
    shares = np.array([mixing.beta(alpha, (5, number)) for number in range(400)])
    assert shares.min() >= 0 and shares.max() <= 1
    assert abs(shares.mean() - 0.5) < 0.08
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.02  # the variance of Beta(a, a)
