"""Schedules of the learning rate."""

import keras


def warmup_cosine(rate: float, steps: int, warmup_steps: int = 0) -> keras.optimizers.schedules.LearningRateSchedule:
    """A rate that rises in a line to `rate`, then falls to 0 along half a cosine.

    The warm-up keeps an optimizer that knows nothing of its gradients yet from a large first step (Goyal et al. 2017,
    https://arxiv.org/abs/1706.02677); the cosine is that of Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        rate: the highest.
        steps: of the whole training; at the last one the rate is 0.
        warmup_steps: in which it rises from a hundredth of `rate`; 0 begins with `rate` itself.
    """
    start, target = (rate / 100, rate) if warmup_steps else (rate, None)
    return keras.optimizers.schedules.CosineDecay(
        start, steps - warmup_steps, warmup_target=target, warmup_steps=warmup_steps
    )
