"""Closed forms on two domains, against formulas and on toys with a known answer."""

import numpy as np
import pytest
from scipy import linalg

from common.models import domain_heads

pytestmark = pytest.mark.quick
RANDOM = np.random.default_rng(0)


def test_coral_gives_the_source_the_mean_and_the_covariance_of_the_target():
    source = RANDOM.normal(size=(300, 4)) @ RANDOM.normal(size=(4, 4))
    target = 3 + RANDOM.normal(size=(300, 4)) @ RANDOM.normal(size=(4, 4))
    mapped = domain_heads.coral(source, target, shrinkage=0)
    assert np.cov(mapped.T) == pytest.approx(np.cov(target.T)) and mapped.mean(0) == pytest.approx(target.mean(0))
    shrunk = [np.cov(rows.T) + np.eye(4) for rows in (source, target)]
    matrix = linalg.inv(linalg.sqrtm(shrunk[0])) @ linalg.sqrtm(shrunk[1])
    expected = (source[:5] - source.mean(0)) @ matrix + target.mean(0)
    assert domain_heads.coral(source, target, rows=source[:5]) == pytest.approx(expected)


def test_statistics_are_those_of_the_layer_and_bear_a_constant_channel():
    rows = np.array([[1.0, 5.0], [3.0, 5.0]])
    mean, variance = domain_heads.statistics(rows)
    assert mean.tolist() == [2, 5] and variance.tolist() == [1, 1]
    assert domain_heads.standardised(rows, mean, variance).tolist() == [[-1, 0], [1, 0]]


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_bears_a_missing_class_and_heeds_weights(classes):
    rows, labels = np.repeat([[-1.0], [1.0]], 20, axis=0), np.repeat([0, classes - 1], 20)
    kernel, bias = domain_heads.logistic_regression(rows, labels, np.ones(40), classes)
    assert kernel.shape == (1, classes) and ((rows @ kernel + bias).argmax(axis=1) == labels).all()
    heavy = domain_heads.logistic_regression(rows, labels, np.where(labels == 0, 50.0, 1.0), classes)
    assert (np.zeros((1, 1)) @ heavy[0] + heavy[1]).argmax() == 0


def test_the_surest_answers_are_taken_class_by_class():
    answers = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.45, 0.55]])
    assert domain_heads.surest(answers, 0.25).tolist() == [0, 3]
    assert domain_heads.surest(answers, 0.5).tolist() == [0, 2, 3]
    assert domain_heads.surest(answers, 1.0).tolist() == [0, 1, 2, 3]
