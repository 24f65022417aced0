"""Linear heads are scikit-learn's classifiers, as a kernel and a bias."""

import numpy as np
import pytest
from sklearn import linear_model, neighbors, preprocessing

from common.models import linear_heads


def blobs(num_classes, spread=1.0, per_class=30):
    """Gaussian clouds in 5 dimensions of very different scales, for each side."""
    random = np.random.default_rng(0)
    middles = random.normal(size=(num_classes, 5))
    scales = np.array([1.0, 100.0, 0.01, 1.0, 10.0])
    labels = {split: np.repeat(np.arange(num_classes), per_class) for split in ("train", "validation")}
    features = {
        split: (middles[rows] + spread * random.normal(size=(len(rows), 5))) * scales + 3 * scales
        for split, rows in labels.items()
    }
    return features, labels


@pytest.mark.parametrize("num_classes", [2, 4])
def test_logistic_regression_is_scikit_learns(num_classes):
    features, labels = blobs(num_classes)
    kernel, bias, chosen = linear_heads.logistic_regression(features, labels, num_classes)
    scaler = preprocessing.StandardScaler().fit(features["train"])
    expected = linear_model.LogisticRegression(C=chosen["C"], max_iter=10_000, tol=1e-8)
    expected.fit(scaler.transform(features["train"]), labels["train"])
    found = linear_heads.probabilities(features["validation"], kernel, bias)
    assert np.allclose(found, expected.predict_proba(scaler.transform(features["validation"])), atol=5e-3)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_nearest_centroid_is_the_nearest(num_classes):
    features, labels = blobs(num_classes)
    kernel, bias, _ = linear_heads.nearest_centroid(features, labels, num_classes)
    scaler = preprocessing.StandardScaler().fit(features["train"])
    expected = neighbors.NearestCentroid().fit(scaler.transform(features["train"]), labels["train"])
    found = linear_heads.probabilities(features["validation"], kernel, bias).argmax(axis=1)
    assert np.array_equal(found, expected.predict(scaler.transform(features["validation"])))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_ridge_is_scikit_learns(num_classes):
    features, labels = blobs(num_classes)
    kernel, bias, chosen = linear_heads.ridge(features, labels, num_classes)
    scaler = preprocessing.StandardScaler().fit(features["train"])
    expected = linear_model.RidgeClassifier(chosen["penalty"]).fit(scaler.transform(features["train"]), labels["train"])
    found = linear_heads.probabilities(features["validation"], kernel, bias).argmax(axis=1)
    assert np.array_equal(found, expected.predict(scaler.transform(features["validation"])))


@pytest.mark.parametrize("fit", linear_heads.CLASSIFIERS.values())
def test_hard_problems_get_unsure_answers_and_easy_ones_sure_answers(fit):
    means = []
    for spread in (0.2, 3.0):
        features, labels = blobs(3, spread)
        kernel, bias, _ = fit(features, labels, 3)
        means.append(linear_heads.probabilities(features["validation"], kernel, bias).max(axis=1).mean())
    assert means[0] > 0.95 and means[1] < 0.65
