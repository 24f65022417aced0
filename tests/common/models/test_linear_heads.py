"""Linear heads are scikit-learn's classifiers, as a kernel and a bias."""

import numpy as np
import pytest
from sklearn import linear_model, neighbors, preprocessing

from common.models import additive_heads, linear_heads


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


def test_the_penalty_of_left_out_groups_is_the_one_that_fits_again_and_again():
    """The choice in closed form is that of fitting without each group, with the scaling of all rows."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(10), 3)
    labels = np.tile([0, 1, 0], 10)
    own = random.normal(size=(10, 6))[groups]  # a group's own features, which say nothing about others
    features = np.concatenate(
        [own + 0.1 * random.normal(size=own.shape), labels[:, None] + random.normal(size=(30, 2))], 1
    )
    _, _, chosen = linear_heads.ridge_left_out(features, labels, 2, [f"g{group}" for group in groups])
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    best = (np.inf, 0.0)
    for penalty in additive_heads.PENALTIES:
        scores = np.empty(30)
        for group in range(10):
            inside = groups == group
            model = linear_model.RidgeClassifier(alpha=penalty).fit(scaled[~inside], labels[~inside])
            scores[inside] = model.decision_function(scaled[inside])
        signs = np.where(labels == 1, 1, -1)
        losses = [
            np.log1p(np.exp(-2 * sharpness * signs * scores)).mean() for sharpness in linear_heads.SCORE_SHARPNESS
        ]
        best = min(best, (min(losses), penalty))
    assert chosen["penalty"] == best[1]
