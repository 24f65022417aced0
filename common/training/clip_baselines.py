"""Baselines for clips: what a coarse grid of motion tells, and what one frame tells, without a network for clips."""

from __future__ import annotations

import dataclasses
import time
from types import ModuleType
from typing import Any

import keras

from common import streams, words
from common.data import sample_list
from common.data import splits as splitting
from common.features import frozen_prefix
from common.media import clips
from common.models import backbones, frames, grid_pooling, linear_heads, raw_input

MOTION_FRAMES, MOTION_SIZE, MOTION_BINS = 32, 12, 5


def evaluate(
    backbone: backbones.Backbone, splits: splitting.Splits, config: Any, task: ModuleType
) -> dict[str, dict[str, Any]]:
    """Fit ridge regression on a grid of motion, and on the network's features of the middle frame.

    Args:
        backbone: the network of the run, for photos or for clips.
        splits: the clips.
        config: the settings of the run.
        task: a module of `common.evaluation`.

    Returns:
        `motion_grid` and `middle_frame`, as from `baselines.on_features`.
    """
    plain = dataclasses.replace(config, flip=False, zoom=0.0, contrast=0.0, views=1)
    found = {}
    for name, (model, network, count) in {
        "motion_grid": (*motion_grid(config.aspect), MOTION_FRAMES),
        "middle_frame": (middle_frame(backbone.model), backbone, 1),
    }.items():
        started = time.perf_counter()
        looked = dataclasses.replace(splits, medium=clips.Clips(frames=count))
        with streams.appendix(f"the baseline {words.words(name)}"):
            prefix = frozen_prefix.FrozenPrefix(model, network, looked, plain, at=[model.layers[-1].input])
            scores = _ridge(prefix, looked, config.seed, task)
            found[name] = scores | {"seconds": round(time.perf_counter() - started, 2)}
    return found


def _ridge(prefix: frozen_prefix.FrozenPrefix, splits: splitting.Splits, seed: int, task: ModuleType) -> dict[str, Any]:
    features = {side: prefix.features(side)[0].astype("float32") for side in sample_list.SPLIT_NAMES}
    kernel, bias, chosen = linear_heads.ridge_left_out(
        features["train"], splits.labels("train"), len(splits.class_names), splits.groups("train")
    )
    return chosen | {
        side: task.evaluate(linear_heads.probabilities(features[side], kernel, bias), splits, side, seed)
        for side in ("validation", "test")
    }


def motion_grid(aspect: str) -> tuple[keras.Model, backbones.Backbone]:
    """Return a model whose features are where and when the picture changes, and what resizes its frames.

    The frames are grey pictures of 12 x 12 pixels; the absolute differences from frame to frame are averaged in five
    parts of the time. What is above these features is a layer that trains, so that they are cached.
    """
    pixels = keras.Input((MOTION_FRAMES, MOTION_SIZE, MOTION_SIZE, 3), name="frames")
    grey = keras.ops.mean(pixels, axis=-1, keepdims=True)
    change = keras.ops.abs(grey[:, 1:] - grey[:, :-1])
    pooled = grid_pooling.on_grid(change, MOTION_SIZE, MOTION_BINS)
    resize = raw_input.resizing(MOTION_SIZE, aspect)
    network = backbones.Backbone("motion grid", "none", keras.Model(pixels, pixels), _unchanged, MOTION_SIZE, resize)
    return keras.Model(pixels, keras.layers.Dense(1)(pooled)), network


def _unchanged(pixels: Any) -> Any:
    return pixels


def middle_frame(network: keras.Model) -> keras.Model:
    """Return a model of clips of one frame, whose features are those of the network for it; for clips, standing still.

    Args:
        network: for photos, or for clips.
    """
    one = keras.Input((1, *network.input.shape[-3:]), name="frame")
    if len(network.input.shape) == 5:
        maps = network(keras.ops.repeat(one, network.input.shape[1], axis=1))
    else:
        (maps,) = frames.on_each_frame(network, [one])
    pooled = keras.layers.GlobalAveragePooling3D()(maps)
    return keras.Model(one, keras.layers.Dense(1)(pooled))
