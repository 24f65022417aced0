"""Wrong labels: those that were swapped are found, and sound ones are not."""

import numpy as np
import pytest

from common.commands import labels
from common.features import engines
from common.training import settings

cleanlab = pytest.importorskip("cleanlab", reason="wrong labels need the extra labels")


def blobs(distance, seed=0):
    """Return features of three classes, 60 each, whose centres have this distance, and their labels."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), 60)
    return generator.normal(size=(180, 8)) + distance * np.eye(8)[truth], truth


def found(rows, given, units=None):
    """Return the places of suspected labels."""
    units = np.arange(len(given)) if units is None else units
    return labels.suspects(given, labels.cross_validated(rows, given, units))


def test_swapped_labels_are_found_and_only_those():
    rows, truth = blobs(8)
    assert found(rows, truth) == []
    swapped = [3, 8, 13, 70, 75, 130]
    given = truth.copy()
    given[swapped] = (given[swapped] + 1) % 3
    suspected = found(rows, given)  # as many as the counts of each pair of classes estimate, rounded
    assert len(suspected) >= 4 and set(suspected) <= set(swapped)


def test_without_a_difference_between_the_classes_few_of_the_swapped_ones_come_first():
    rows, truth = blobs(0)
    given = truth.copy()
    given[:9] = 1
    assert len(set(found(rows, given)[:9]) & set(range(9))) <= 4


def test_a_copy_with_the_same_wrong_label_does_not_vouch_for_it():
    rows, truth = blobs(8)
    rows, given = np.concatenate([rows, rows[:1].repeat(20, axis=0)]), np.concatenate([truth, np.full(20, 2)])
    given[0] = 2
    units = np.concatenate([np.arange(180), np.zeros(20, int)])  # one photo, 21 times
    answers = labels.cross_validated(rows, given, units)
    assert (answers[:1].argmax(axis=1) == 0).all() and (answers[180:].argmax(axis=1) == 0).all()


def test_probabilities_add_up_and_a_class_of_two_units_is_possible():
    rows, truth = blobs(3)
    given = truth.copy()
    given[:2] = 3
    answers = labels.cross_validated(rows, given, np.arange(180))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-9)
    assert answers.shape == (180, 4)


def test_what_the_machine_of_the_run_had_is_not_needed(monkeypatch):
    monkeypatch.setattr(engines, "PACKAGES", ("no_such_package",))
    stored = {"engine": "onnxruntime", "prefix_precision": "bfloat16", "aspect": "crop", "epochs": 7, "head": "gap"}
    assert labels.settings_of(stored) == settings.PhotoConfig(aspect="crop", epochs=7)
