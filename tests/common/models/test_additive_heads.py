"""Heads from sums equal those that scikit-learn fits on the samples, and those fitted without a sample or a unit."""

import numpy as np
import pytest
from sklearn import linear_model, neighbors, preprocessing

from common.models import additive_heads

pytestmark = pytest.mark.quick

PENALTIES = (1e-1, 1.0, 10.0, 100.0)


def toy(count=60, channels=12, classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(classes, size=count - classes)])
    means = random.normal(size=(classes, channels))
    features = (means[labels] + random.normal(size=(count, channels))) * random.uniform(0.1, 9, channels) + 3
    return features, labels


def spectra(features, labels, standardise=True):
    """From sums, and from the rows; the two differ only by rounding."""
    sums = additive_heads.Sums.of(features, labels, labels.max() + 1)
    return (
        additive_heads.Spectrum.of(sums, standardise),
        additive_heads.Spectrum.of_rows(features, labels, labels.max() + 1, standardise),
    )


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize(("count", "channels", "classes"), [(60, 12, 3), (20, 50, 4), (40, 8, 2)])
def test_ridge_is_that_of_scikit_learn(count, channels, classes, standardise):
    features, labels = toy(count, channels, classes)
    rows = preprocessing.StandardScaler().fit_transform(features) if standardise else features
    for spectrum in spectra(features, labels, standardise):
        for penalty in PENALTIES:
            theirs = linear_model.RidgeClassifier(alpha=penalty).fit(rows, labels)
            kernel, bias = additive_heads.ridge(spectrum, penalty)
            scores = features @ kernel + bias
            expected = theirs.decision_function(rows)
            if classes == 2:  # one score, that of the second class; the first has minus it
                expected = np.stack([-expected, expected], axis=1)
            np.testing.assert_allclose(scores, expected, atol=1e-8)


@pytest.mark.parametrize(("count", "channels", "classes"), [(60, 12, 3), (20, 50, 4), (40, 8, 2)])
def test_the_errors_without_each_sample_are_those_of_scikit_learn(count, channels, classes):
    features, labels = toy(count, channels, classes)
    theirs = linear_model.RidgeClassifierCV(PENALTIES, store_cv_results=True).fit(features, labels)
    expected = theirs.cv_results_.reshape(count, -1, len(PENALTIES)).mean(axis=(0, 1))
    for spectrum in spectra(features, labels, standardise=False):
        portions = [(features[start : start + 7], labels[start : start + 7]) for start in range(0, count, 7)]
        found = additive_heads.left_out_errors(spectrum, portions, PENALTIES)
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        assert PENALTIES[found.argmin()] == theirs.alpha_


def test_scores_without_a_unit_are_those_of_a_head_fitted_without_it():
    features, labels = toy()
    units = np.random.default_rng(1).integers(20, size=len(labels))  # of one to seven samples
    for spectrum in spectra(features, labels, standardise=False):
        (found,) = additive_heads.left_out(spectrum, features, labels, [3.0], units)
        for unit in np.unique(units):
            rest = linear_model.RidgeClassifier(alpha=3.0).fit(features[units != unit], labels[units != unit])
            expected = rest.decision_function(features[units == unit])
            np.testing.assert_allclose(found[units == unit], expected, atol=1e-8)


def test_generalised_cross_validation_is_its_formula_and_gives_all_samples_the_mean_share():
    features, labels = toy()
    spectrum = spectra(features, labels)[0]
    rows = preprocessing.StandardScaler().fit_transform(features)
    targets = 2.0 * np.eye(3)[labels] - 1
    expected = []
    for penalty in PENALTIES:
        hat = 1 / len(rows) + rows @ np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T)
        errors = targets - hat @ targets
        expected.append((errors**2).mean() / (1 - np.trace(hat) / len(rows)) ** 2)
    np.testing.assert_allclose(additive_heads.generalised_errors(spectrum, PENALTIES), expected, rtol=1e-8)


def test_class_means_are_the_nearest_centroids_of_scikit_learn():
    features, labels = toy()
    theirs = neighbors.NearestCentroid().fit(features, labels)
    kernel, bias = additive_heads.class_means(additive_heads.Sums.of(features, labels, 3))
    np.testing.assert_allclose(kernel.T / 2, theirs.centroids_, atol=1e-8)
    assert ((features @ kernel + bias).argmax(axis=1) == theirs.predict(features)).all()
    _, bias = additive_heads.class_means(additive_heads.Sums.of(features, labels, 4))
    assert bias[3] == -np.inf  # a class that no sample has is never the answer


def test_sums_add_up_in_any_order_and_forget_what_is_taken_away(tmp_path):
    features, labels = toy()
    whole = additive_heads.Sums.of(features, labels, 3, "a network")
    order = np.argsort(labels)  # class by class
    parts = [additive_heads.Sums.of(features[some], labels[some], 3, "a network") for some in np.split(order, 4)]
    (first, *others) = parts
    together = others[2] + others[0] + first + others[1]
    kept = together - first
    without = additive_heads.Sums.of(features[order[15:]], labels[order[15:]], 3, "a network")
    kept.save(tmp_path / "sums.npz")
    loaded = additive_heads.Sums.load(tmp_path / "sums.npz")
    for found, expected in ((together, whole), (kept, without), (loaded, without)):
        for name in ("counts", "totals", "products"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
    assert loaded.fingerprint == "a network"
    with pytest.raises(ValueError, match="two networks"):
        whole + additive_heads.Sums.of(features, labels, 3, "another")
    with pytest.raises(ValueError, match="do not add up"):
        whole + additive_heads.Sums.of(features, labels, 4, "a network")
    with pytest.raises(ValueError, match="fewer samples"):
        first - whole


def test_a_constant_channel_changes_nothing():
    features, labels = toy()
    more = np.concatenate([features, np.full((len(features), 1), 7.0)], axis=1)
    for one, other in zip(spectra(features, labels), spectra(more, labels), strict=True):
        scores = [rows @ kernel + bias for rows, (kernel, bias) in
                  ((features, additive_heads.ridge(one, 1.0)), (more, additive_heads.ridge(other, 1.0)))]  # fmt: skip
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-8)


def test_a_penalty_that_leaves_nothing_to_judge_by_is_not_chosen():
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(40, 60)), np.arange(40) % 2
    features[:, 0] += 2 * labels
    features[1], labels[1] = features[3], labels[3]  # two samples that are alike, fewer samples than channels
    spectrum = additive_heads.Spectrum.of(additive_heads.Sums.of(features, labels, 2))
    penalties = [*additive_heads.PENALTIES]
    found = additive_heads.generalised_errors(spectrum, penalties)
    left_out = additive_heads.left_out(spectrum, features, labels, penalties)
    truth = ((left_out - (2 * np.eye(2)[labels] - 1)) ** 2).mean(axis=(1, 2))
    assert np.isinf(found[0])
    assert truth[found.argmin()] < 1.3 * truth.min() < truth[0]


def test_views_of_a_sample_count_as_one_together():
    random = np.random.default_rng(1)
    features, labels = random.normal(size=(30, 5)), np.arange(30) % 3
    once = additive_heads.Sums.of(features, labels, 3)
    twice = additive_heads.Sums.of(np.concatenate([features] * 2), np.tile(labels, 2), 3) * 0.5
    for name in ("counts", "totals", "products"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name))
