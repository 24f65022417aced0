"""Mixtures of the items of a training batch and of their targets: mixup and CutMix.

Every random number depends only on (seed, epoch, batch), so a resumed training sees the same mixtures.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def mixed(
    batches: tf.data.Dataset, steps: int, seed: int, first_epoch: int = 0, mixup: float = 0.0, cutmix: float = 0.0
) -> tf.data.Dataset:
    """Return training batches in which each item is mixed with another one of its batch.

    Args:
        batches: an endless stream of (inputs, targets), both (n, …); inputs may be several tensors. Targets are shares
            of classes, such as one-hot labels.
        steps: the number of batches of an epoch.
        seed: fixes the mixtures of every epoch.
        first_epoch: the epoch with which the stream starts.
        mixup: the parameter of mixup's Beta distribution, 0 for none.
        cutmix: the parameter of CutMix's Beta distribution, 0 for none; not together with `mixup`.
    """
    if not mixup and not cutmix:
        return batches
    mix, alpha = (mixed_up, mixup) if mixup else (cut_in, cutmix)

    def load(number: tf.Tensor, batch: tuple) -> tuple:
        inputs, targets = batch
        # 1 tells these numbers from those of `pipeline.epoch_order`.
        own = tf.random.experimental.stateless_fold_in(tf.constant([seed, 1], tf.int64), number)
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(targets)[0]), seed=own)
        return mix(inputs, targets, order, beta(alpha, tf.random.experimental.stateless_fold_in(own, 1)), own)

    numbered = batches.enumerate(first_epoch * steps)
    return numbered.map(load, num_parallel_calls=2).prefetch(2)


def beta(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Return a float32 number between 0 and 1 from Beta(alpha, alpha); `alpha` is above 0, `seed` two integers."""
    one, other = tf.unstack(tf.random.stateless_gamma((2,), seed, tf.constant(alpha, tf.float64), dtype=tf.float64))
    return tf.cast(tf.math.divide_no_nan(one, one + other), tf.float32)


def mixed_up(inputs: Any, targets: tf.Tensor, order: tf.Tensor, share: tf.Tensor, seed: Any = None) -> tuple:
    """Return `share` of each item plus the rest of another, and the targets alike.

    This is mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412), with one share for a batch as in its code. On
    features of a hidden layer, it is Manifold Mixup (Verma et al. 2019, https://arxiv.org/abs/1806.05236).

    Args:
        inputs: a float tensor (n, …), or a tuple of them, which are mixed alike.
        targets: (n, k).
        order: (n,) for each item, the number of the other.
        share: from 0 to 1.
        seed: not used.
    """

    def mix(values: tf.Tensor) -> tf.Tensor:
        part = tf.cast(share, values.dtype)
        return part * values + (1 - part) * tf.gather(values, order)

    return tf.nest.map_structure(mix, inputs), mix(targets)


def cut_in(photos: tf.Tensor, targets: tf.Tensor, order: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tuple:
    """Return photos with a rectangle from another photo, and targets mixed by the areas.

    This is CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899).

    Args:
        photos: (n, height, width, channels).
        targets: (n, k).
        order: (n,) for each photo, the number of the other.
        share: of the photo that stays, from 0 to 1; where the rectangle leaves the photo, more of it stays.
        seed: two integers that fix the middle of the rectangle, which is the same in the whole batch.
    """
    middle = tf.unstack(tf.random.stateless_uniform((2,), tf.random.experimental.stateless_fold_in(seed, 2)))
    reach = tf.sqrt(1 - share) / 2
    inside = [
        tf.abs((tf.range(size, dtype=tf.float32) + 0.5) / size - place) < reach
        for size, place in zip(photos.shape[1:3], middle, strict=True)
    ]
    cut = inside[0][:, None, None] & inside[1][None, :, None]
    stays = 1 - tf.reduce_mean(tf.cast(cut, tf.float32))
    _, mixed_targets = mixed_up((), targets, order, stays)
    return tf.where(cut, tf.gather(photos, order), photos), mixed_targets
