"""A probe is scikit-learn's classifier, inside a Keras model."""

import numpy as np
import pytest
from PIL import Image
from scipy import special
from sklearn import linear_model, neighbors, preprocessing

from common import errors
from common.runs import saved_model
from recipes import linear_probe


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


def probabilities(features, kernel, bias):
    return special.softmax(features @ kernel + bias, axis=1)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_logistic_regression_is_scikit_learns(num_classes):
    features, labels = blobs(num_classes)
    kernel, bias, chosen = linear_probe.logistic_regression(features, labels, num_classes)
    scaler = preprocessing.StandardScaler().fit(features["train"])
    expected = linear_model.LogisticRegression(C=chosen["C"], max_iter=10_000, tol=1e-8)
    expected.fit(scaler.transform(features["train"]), labels["train"])
    found = probabilities(features["validation"], kernel, bias)
    assert np.allclose(found, expected.predict_proba(scaler.transform(features["validation"])), atol=5e-3)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_nearest_centroid_is_the_nearest(num_classes):
    features, labels = blobs(num_classes)
    kernel, bias, _ = linear_probe.nearest_centroid(features, labels, num_classes)
    scaler = preprocessing.StandardScaler().fit(features["train"])
    expected = neighbors.NearestCentroid().fit(scaler.transform(features["train"]), labels["train"])
    found = probabilities(features["validation"], kernel, bias).argmax(axis=1)
    assert np.array_equal(found, expected.predict(scaler.transform(features["validation"])))


@pytest.mark.parametrize("fit", linear_probe.CLASSIFIERS.values())
def test_hard_problems_get_unsure_answers_and_easy_ones_sure_answers(fit):
    means = []
    for spread in (0.2, 3.0):
        features, labels = blobs(3, spread)
        kernel, bias, _ = fit(features, labels, 3)
        means.append(probabilities(features["validation"], kernel, bias).max(axis=1).mean())
    assert means[0] > 0.95 and means[1] < 0.65


@pytest.mark.parametrize("classifier", list(linear_probe.CLASSIFIERS))
def test_the_saved_model_answers_as_the_probe_did(classifier, stripes, tmp_path):
    config = linear_probe.Config(
        data=str(stripes), backbone="demo", weights="demo", image_size=32, classifier=classifier, flip=True, views=2,
        out=tmp_path / "runs", cache=tmp_path / "cache",
    )  # fmt: skip
    cached = linear_probe.run(config)
    assert cached.results["test"]["accuracy"] > 0.7 and cached.results["cost"]["epochs"] == 0
    assert cached.results["cost"]["trainable_parameters"] == 2 * (80 + 1)
    whole = linear_probe.run(linear_probe.Config(**vars(config) | {"no_cache": True}))
    assert whole.results["test"]["log_loss"] == pytest.approx(cached.results["test"]["log_loss"], rel=1e-3)
    saved = saved_model.load_model(cached.directory)
    for row in (cached.directory / "predictions.csv").read_text().splitlines()[1:4]:
        path, *_ = row.split(",")
        answer = saved.model.predict(np.array(Image.open(path))[None], verbose=0)[0]
        assert answer == pytest.approx([float(value) for value in row.split(",")[-2:]], abs=1e-4)


def test_live_augmentation_is_refused():
    with pytest.raises(errors.UserError, match="--views must be above 0"):
        linear_probe.Config(flip=True, views=0)
