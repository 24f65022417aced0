"""Pooling of maps on a coarse grid, so that a head knows where (and in clips, when) something is."""

from __future__ import annotations

import itertools

import keras
import numpy as np


def on_grid(maps: keras.KerasTensor, grid: int, time_bins: int = 1) -> keras.KerasTensor:
    """Average maps within the cells of a grid and parts of the time, one after the other.

    Global pooling says what is in a photo or clip, but not where; with a grid of 2, left and right, above and below are
    told apart, and with two parts of the time, the beginning and the end.

    Args:
        maps: (batch, height, width, channels) of photos, or (batch, frames, height, width, channels) of clips. Their
            sizes are fixed, except with a grid and time_bins of 1.
        grid: cells in each direction; at most the height and the width.
        time_bins: parts of the time of clips; at most the frames. Parts and cells differ by at most one frame or place.

    Returns:
        (batch, time_bins x grid x grid x channels); with 1 and 1, as `GlobalAveragePooling2D` or `3D`.
    """
    photos = len(maps.shape) == 4
    pool = keras.layers.GlobalAveragePooling2D if photos else keras.layers.GlobalAveragePooling3D
    counts = (grid, grid) if photos else (time_bins, grid, grid)
    if max(counts) == 1:
        return pool()(maps)
    edges = [_parts(size, count) for size, count in zip(maps.shape[1:-1], counts, strict=True)]
    cells = [pool()(maps[(slice(None), *itertools.starmap(slice, cell))]) for cell in itertools.product(*edges)]
    return keras.layers.Concatenate()(cells)


def _parts(size: int, count: int) -> list[tuple[int, int]]:
    """Return the first number and the one after the last of `count` parts of `size`."""
    return [(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(size), count)]
