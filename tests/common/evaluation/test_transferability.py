"""The scores of features: their formulas, scikit-learn's answers, and units that do not count for themselves."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn import linear_model, model_selection, neighbors, preprocessing

from common.evaluation import transferability
from common.models import additive_heads

pytestmark = pytest.mark.quick


def clouds(count=90, channels=8, spread=1.0, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return random.normal(size=(3, channels))[labels] + spread * random.normal(size=(count, channels)), labels


@pytest.mark.parametrize("channels", [4, 60])
def test_log_evidence_is_the_largest_density_of_the_targets(channels):
    features, labels = clouds(40, channels)

    def minus_density(logs, target):
        prior, noise = np.exp(logs)
        covariance = np.eye(len(features)) / noise + features @ features.T / prior
        return -stats.multivariate_normal(np.zeros(len(features)), covariance).logpdf(target)

    expected = [-optimize.minimize(minus_density, [0.0, 0.0], args=((labels == number).astype(float),),
                                   method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8}).fun / 40
                for number in range(3)]  # fmt: skip
    assert transferability.log_evidence(features, labels) == pytest.approx(np.mean(expected), abs=1e-4)


def test_neighbours_are_those_of_scikit_learn():
    features, labels = clouds()
    found = transferability.nearest_neighbours(features, labels, np.arange(90), count=1)
    theirs = neighbors.KNeighborsClassifier(1, metric="cosine")
    alone = model_selection.cross_val_predict(theirs, features, labels, cv=model_selection.LeaveOneOut())
    assert (found == alone).all()


def test_ridge_answers_are_those_of_heads_fitted_without_each_unit():
    features, labels = clouds(spread=2.0)
    units = np.arange(90) // 2
    spectrum = additive_heads.Spectrum.of_rows(features, labels, 3)
    answers, penalty = transferability.left_out_answers(spectrum, features, labels, units)
    rows = preprocessing.StandardScaler().fit_transform(features)
    head = linear_model.RidgeClassifier(penalty)
    folds = model_selection.LeaveOneGroupOut()
    assert (answers == model_selection.cross_val_predict(head, rows, labels, cv=folds, groups=units)).all()


def test_photos_of_one_unit_do_not_vouch_for_each_other():
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 3)
    features = random.normal(size=(60, 200))[units] + 0.01 * random.normal(size=(180, 200))
    labels = (np.arange(60) % 3)[units]  # nothing in the features says it, but each unit knows itself
    alone = transferability.scores(features, labels, np.arange(180))
    by_unit = transferability.scores(features, labels, units)
    assert max(by_unit.ridge, by_unit.nearest) < 0.5
    assert alone.ridge > 0.95 and alone.nearest > by_unit.nearest + 0.1


def test_better_features_score_higher():
    found = [transferability.scores(*clouds(spread=spread), np.arange(90)) for spread in (0.5, 1.5, 5.0)]
    for name in ("ridge", "nearest", "log_evidence"):
        values = [getattr(each, name) for each in found]
        assert values == sorted(values, reverse=True) and values[0] > values[-1], name
    assert found[0].right.mean() == found[0].ridge
