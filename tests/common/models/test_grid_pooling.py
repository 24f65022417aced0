import keras
import numpy as np
import pytest

from common.models import grid_pooling


def pooled(maps, grid, bins):
    inputs = keras.Input(maps.shape[1:])
    return keras.Model(inputs, grid_pooling.on_grid(inputs, grid, bins)).predict(maps, verbose=0)


def test_cells_are_means_of_parts_that_differ_by_one_place_at_most():
    maps = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 2)).astype("float32")
    found = pooled(maps, 2, 2).reshape(2, 2, 2, 2, 2)  # batch, time, y, x, channels
    for t, frames in enumerate((slice(0, 3), slice(3, 5))):
        for y, rows in enumerate((slice(0, 2), slice(2, 3))):
            for x, columns in enumerate((slice(0, 2), slice(2, 4))):
                wanted = maps[:, frames, rows, columns].mean(axis=(1, 2, 3))
                np.testing.assert_allclose(found[:, t, y, x], wanted, atol=1e-6)


def test_one_cell_is_the_mean_of_all():
    maps = np.random.default_rng(1).normal(size=(3, 4, 5, 5, 2)).astype("float32")
    np.testing.assert_allclose(pooled(maps, 1, 1), maps.mean(axis=(1, 2, 3)), atol=1e-6)


@pytest.mark.parametrize(("grid", "knows"), [(1, False), (2, True)])
def test_only_a_grid_knows_on_which_side_something_is(grid, knows):
    left = np.zeros((1, 2, 4, 4, 1), "float32")
    left[:, :, :, 0] = 1.0
    difference = np.abs(pooled(left, grid, 1) - pooled(left[:, :, :, ::-1], grid, 1)).max()
    assert (difference > 0.1) == knows


def test_a_grid_of_photos_is_that_of_clips_of_one_frame():
    maps = np.random.default_rng(2).normal(size=(2, 5, 4, 3)).astype("float32")
    np.testing.assert_allclose(pooled(maps, 2, 1), pooled(maps[:, None], 2, 1), atol=1e-6)
    np.testing.assert_allclose(pooled(maps, 1, 1), maps.mean(axis=(1, 2)), atol=1e-6)
