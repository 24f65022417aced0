"""Setup of seeds, determinism, precision, GPU memory and the distribution strategy, in one call."""

import os
import pathlib
import sys
from typing import TypeAlias

import keras
import tensorflow as tf

from common import flags

Strategy: TypeAlias = tf.distribute.Strategy
BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")  # names in /proc/cpuinfo


def set_up(config: flags.RunConfig) -> Strategy:
    """Prepare this process for one run, and print on stderr which devices it uses.

    Args:
        config: the settings. `seed` seeds Python, NumPy and Keras (`keras.utils.set_random_seed`), and `precision` is
            a Keras dtype policy. With `deterministic`, only operations run that give the same bits every time
            (https://www.tensorflow.org/api_docs/python/tf/config/experimental/enable_op_determinism).

    Returns:
        The strategy in whose `scope()` the model is built: one replica for each GPU, or one without a GPU.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        _grow_memory(gpu)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    print(f"device: {description()}", file=sys.stderr)
    if config.precision == "mixed_bfloat16" and not gpus and has_bfloat16():
        told = "faster or slower on this CPU, depending on the network; compare the plans of --dry-run"
        print(f"device: mixed_bfloat16 is {told}", file=sys.stderr)
    elif config.precision != "float32" and not gpus:
        print(f"device: {config.precision} is not faster without a GPU", file=sys.stderr)
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def has_gpu() -> bool:
    """Return whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def has_bfloat16() -> bool:
    """Return whether a GPU or this CPU multiplies numbers in bfloat16."""
    try:
        told = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not on Linux
        told = ""
    return any(unit in told for unit in BFLOAT16_UNITS) or has_gpu()


def _grow_memory(gpu: tf.config.PhysicalDevice) -> None:
    """Let TensorFlow take GPU memory as needed, which it allows only before the GPU's first use."""
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        print(f"device: {gpu.name} is already in use, so its memory setting does not change", file=sys.stderr)


def description() -> str:
    """Return the devices and the precision in words: `2 CPU cores, no GPU, float32`."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{len(gpus)} x {gpus[0]}" if gpus else "no GPU"
    return f"{cores} CPU cores, {found}, {keras.config.dtype_policy().name}"
