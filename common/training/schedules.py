"""Schedules of the learning rate."""

from typing import Literal

import keras

Schedule = Literal["cosine", "constant"]


def learning_rate(
    rate: float, steps: int, warmup_steps: int = 0, schedule: Schedule = "cosine"
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that rises linearly to `rate`, then falls to 0 along half a cosine, or stays.

    The warm-up prevents large first steps, when the optimizer has no statistics of its gradients yet (Goyal et al.
    2017, https://arxiv.org/abs/1706.02677). The cosine is that of Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        rate: the highest rate.
        steps: steps of the whole training; at the last one the cosine is 0.
        warmup_steps: steps in which the rate rises from a hundredth of `rate`; 0 starts at `rate` itself.
        schedule: what follows the warm-up: the fall, or a constant rate.
    """
    start, target = (rate / 100, rate) if warmup_steps else (rate, None)
    return keras.optimizers.schedules.CosineDecay(
        start, steps - warmup_steps, alpha=float(schedule == "constant"), warmup_target=target,
        warmup_steps=warmup_steps,
    )  # fmt: skip
