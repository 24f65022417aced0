"""Seeds, determinism, precision, GPU memory and the distribution strategy, set in one call."""

import os
import sys

import keras
import tensorflow as tf


def set_up(config) -> tf.distribute.Strategy:
    """Prepares this process for one run and says on stderr what was found.

    Args:
        config: a `flags.RunConfig`. Its `seed` is that of Python, NumPy and Keras (`keras.utils.set_random_seed`), its
            `precision` a Keras dtype policy; where it is `deterministic`, only operations that give the same bits every
            time are used (https://www.tensorflow.org/api_docs/python/tf/config/experimental/enable_op_determinism).

    Returns:
        The strategy whose `scope()` the model is built in: one replica for each GPU, one for no GPU.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        _grow_memory(gpu)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    print(f"device: {description()}", file=sys.stderr)
    if config.precision != "float32" and not gpus:
        print(f"device: {config.precision} brings no speed without a GPU", file=sys.stderr)
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def _grow_memory(gpu) -> None:
    """Takes GPU memory as needed; TensorFlow allows the setting only before the GPU's first use."""
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        print(f"device: {gpu.name} is in use already, its memory setting stays", file=sys.stderr)


def description() -> str:
    """What computes, in words: `2 CPU cores, no GPU, float32`."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{len(gpus)} x {gpus[0]}" if gpus else "no GPU"
    return f"{cores} CPU cores, {found}, {keras.config.dtype_policy().name}"
