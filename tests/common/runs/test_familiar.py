"""What is familiar: known distances, the share of false alarms, and files that fit no model."""

import types

import numpy as np
import pytest

from common import errors
from common.runs import familiar

pytestmark = pytest.mark.quick


def reading(width):
    """Return a stand-in for the reading of a model whose last dense layer sees so many numbers."""
    return types.SimpleNamespace(both=types.SimpleNamespace(output_shape=[(None, 3), (None, width)]))


def test_the_distance_is_one_less_the_cosine_of_the_nearest():
    known = familiar.Familiar.of(np.array([[1.0, 0, 0], [0, 2, 0]]), np.array([[3.0, 0, 0]]))
    found = known.distances(np.array([[5.0, 0, 0], [1, 1, 0], [0, 0, 1], [-1, -1, 0]]))
    np.testing.assert_allclose(found, [0, 1 - 0.5**0.5, 1, 1 + 0.5**0.5], atol=1e-3)


def test_one_in_twenty_of_the_same_kind_exceeds_the_threshold_and_another_kind_does():
    generator = np.random.default_rng(0)
    centre = np.eye(20)[0] * 8
    train, validation, new = (generator.normal(size=(count, 20)) + centre for count in (200, 400, 4000))
    known = familiar.Familiar.of(train, validation)
    assert 0.03 < (known.distances(new) > known.threshold).mean() < 0.07
    others = generator.normal(size=(100, 20)) - centre
    assert (known.distances(others) > known.threshold).all()


def test_few_validation_items_give_the_largest_distance():
    assert familiar.threshold_of(np.arange(10.0)) == 9
    assert familiar.threshold_of(np.arange(100.0)) == 95


def test_kept_rows_are_bounded(monkeypatch):
    monkeypatch.setattr(familiar, "MOST_ROWS", 10)
    assert len(familiar.Familiar.of(np.random.default_rng(0).normal(size=(95, 4)), np.ones((3, 4))).rows) == 10


def test_saved_and_loaded_it_is_the_same(tmp_path):
    known = familiar.Familiar.of(np.random.default_rng(0).normal(size=(9, 4)), np.ones((3, 4)))
    known.save(tmp_path)
    for run in (tmp_path, tmp_path / "model.keras"):
        found = familiar.Familiar.load(run, reading(4))
        np.testing.assert_array_equal(found.rows, known.rows)
        assert found.threshold == known.threshold
    assert familiar.Familiar.load(tmp_path, reading(5)) is None  # of another model


def test_no_file_is_none_and_a_damaged_one_is_told(tmp_path):
    assert familiar.Familiar.load(tmp_path, reading(4)) is None
    (tmp_path / familiar.NAME).write_bytes(b"PK\3\4 cut off")
    with pytest.raises(errors.UserError, match="damaged"):
        familiar.Familiar.load(tmp_path, reading(4))
