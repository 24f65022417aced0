"""Baselines beside every result: linear classifiers on the features of the frozen network."""

import math
import sys
import time
from types import ModuleType
from typing import Any

import numpy as np

from common.data import sample_list
from common.models import linear_heads

NAMES = ("logistic_regression", "nearest_centroid")


def on_features(prefix: Any, task: ModuleType, seed: int, groups: dict[str, list[str]]) -> dict[str, dict]:
    """Evaluate logistic regression and the nearest centroid on the features that the head was trained on.

    They are fitted as `linear_heads` does, on all cached views of the training items. The answer for a validation or
    test item is the mean over its views. Feature maps are averaged over their places.

    Args:
        prefix: the `frozen_prefix.FrozenPrefix` of the frozen network, with its features in the cache.
        task: a module of `common.evaluation` with `evaluate(predictions, splits, side, seed, groups)`.
        seed: seed of the bootstrap.
        groups: side → groups of its samples, where they differ from those of the split.

    Returns:
        Name of the classifier → what was chosen (`C`, `sharpness`), `seconds`, and `validation` and `test` as `task`
        evaluates them. Empty, with a line on stderr, if nothing is cached.
    """
    if prefix.store is None:
        print("baselines: skipped, since the features of the frozen network are not cached", file=sys.stderr)
        return {}
    splits, places = prefix.splits, prefix.backbone.model.output_shape[1:]
    features = {side: _pooled(prefix.features(side), places) for side in sample_list.SPLIT_NAMES}
    rows = {side: np.concatenate(views) for side, views in features.items() if side != "test"}
    labels = {side: np.tile(splits.labels(side), len(features[side])) for side in rows}
    found = {}
    for name in NAMES:
        started = time.perf_counter()
        kernel, bias, chosen = linear_heads.CLASSIFIERS[name](rows, labels, len(splits.class_names))
        found[name] = chosen | {"seconds": max(0.01, round(time.perf_counter() - started, 2))}
        for side in ("validation", "test"):
            answers = linear_heads.probabilities(features[side], kernel, bias).mean(axis=0)
            found[name][side] = task.evaluate(answers, splits, side, seed, groups.get(side))
    return found


def _pooled(features: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Return features as float32 (views, n, channels); maps (…, height, width, channels), flat or not, are averaged."""
    views, count = features.shape[:2]
    flat = features.reshape(views, count, -1).astype("float32")
    is_map = features.ndim > 3 or flat.shape[-1] == math.prod(places)
    return flat.reshape(views, count, -1, places[-1]).mean(axis=2) if is_map else flat
