"""Pooling of clips' maps on a coarse grid, so that a head knows where and when something is."""

from __future__ import annotations

import itertools

import keras
import numpy as np


def on_grid(maps: keras.KerasTensor, grid: int, time_bins: int) -> keras.KerasTensor:
    """Average maps within the cells of a grid and parts of the time, one after the other.

    Global pooling says what is in a clip, but not where; with a grid of 2, left and right, above and below are told
    apart, and with two parts of the time, the beginning and the end.

    Args:
        maps: (batch, frames, height, width, channels) with fixed sizes.
        grid: cells in each direction; at most the height and the width.
        time_bins: parts of the time; at most the frames. Parts and cells differ by at most one frame or place.

    Returns:
        (batch, time_bins x grid x grid x channels); with 1 and 1, as `GlobalAveragePooling3D`.
    """
    edges = [_parts(size, count) for size, count in zip(maps.shape[1:4], (time_bins, grid, grid), strict=True)]
    pool = keras.layers.GlobalAveragePooling3D
    cells = [pool()(maps[:, t[0] : t[1], y[0] : y[1], x[0] : x[1]]) for t, y, x in itertools.product(*edges)]
    return keras.layers.Concatenate()(cells) if len(cells) > 1 else pool()(maps)


def _parts(size: int, count: int) -> list[tuple[int, int]]:
    """Return the first number and the one after the last of `count` parts of `size`."""
    return [(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(size), count)]
