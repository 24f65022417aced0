"""Distances of two domains and validators without labels, on toys with a known answer."""

import numpy as np
import pytest
from scipy import linalg

from common.evaluation import domain_gap, domain_methods

pytestmark = pytest.mark.quick


def normal(count, channels, mean=0.0, scale=1.0, seed=0):
    return mean + scale * np.random.default_rng(seed).normal(size=(count, channels))


def test_mmd_is_the_unbiased_estimate_of_its_formula():
    x, y = normal(5, 3), normal(4, 3, mean=1.0, seed=1)
    rows = np.concatenate([x, y])
    pairs = [((a - b) ** 2).sum() for i, a in enumerate(rows) for b in rows[i + 1 :]]

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum() / np.median(pairs))

    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert domain_gap.mmd_test(x, y)[0] == pytest.approx(within_x + within_y - 2 * between)


def test_the_p_value_is_small_for_two_domains_and_uniform_for_one():
    assert domain_gap.mmd_test(normal(40, 5), normal(40, 5, mean=1.0, seed=1))[1] == pytest.approx(1 / 201)
    values = [
        domain_gap.mmd_test(normal(20, 5, seed=seed), normal(20, 5, seed=100 + seed), seed)[1] for seed in range(60)
    ]
    assert np.mean(np.array(values) <= 0.25) == pytest.approx(0.25, abs=0.17)


def test_the_proxy_a_distance_is_0_for_one_domain_and_2_for_two_also_if_only_the_variance_differs():
    here = normal(100, 5)
    assert domain_gap.proxy_a_distance(here, normal(100, 5, seed=1)) < 0.5
    assert domain_gap.proxy_a_distance(here, normal(100, 5, mean=8.0, seed=1)) == 2
    assert domain_gap.proxy_a_distance(here, normal(100, 5, scale=6.0, seed=1)) > 1.5


def test_the_frechet_distance_is_that_of_the_matrices_also_with_fewer_items_than_channels():
    x, y = normal(50, 4), normal(60, 4, mean=0.5, scale=2.0, seed=1)
    root = linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
    assert domain_gap.frechet_distance(x, y) == pytest.approx(expected)
    few = normal(6, 30)
    assert domain_gap.frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    assert domain_gap.frechet_distance(few, few + 2) == pytest.approx(4 * 30)


def test_a_comparison_has_its_own_zero():
    found = domain_gap.compare(normal(80, 6), normal(80, 6, mean=2.0, seed=1))
    same = domain_gap.compare(normal(80, 6), normal(80, 6, seed=1))
    assert found["frechet"] > 5 * found["frechet_at_home"] and same["frechet"] < 2 * same["frechet_at_home"]
    assert found == domain_gap.compare(normal(80, 6), normal(80, 6, mean=2.0, seed=1))


def test_validators_know_sure_and_varied_answers():
    sure = np.eye(4)[np.arange(40) % 4] * 0.96 + 0.01
    unsure, one = np.full((40, 4), 0.25), np.tile(sure[:1], (40, 1))
    assert domain_gap.information_maximisation(np.eye(4)) == pytest.approx(np.log(4))
    for worse in (unsure, one):
        assert domain_gap.information_maximisation(worse) == pytest.approx(0, abs=1e-9)
        assert domain_gap.information_maximisation(sure) > 1
    # 40 equal answers have all 39 others as neighbours; in four clusters, each has nine.
    assert domain_gap.soft_neighbourhood_density(one) == pytest.approx(np.log(39))
    assert domain_gap.soft_neighbourhood_density(sure) == pytest.approx(np.log(9), abs=0.01)


def test_the_rank_correlation_tells_a_good_validator_from_a_bad_one():
    accuracy = [0.3, 0.5, 0.6, 0.9]
    rows = [
        {"accuracy": value, "source_validation": 1 - value, "information_maximisation": value**2,
         "soft_neighbourhood_density": 1.0} for value in accuracy
    ]  # fmt: skip
    assert domain_gap.rank_correlations(rows) == {
        "source_validation": -1, "information_maximisation": pytest.approx(1), "soft_neighbourhood_density": None,
    }  # fmt: skip
    assert set(domain_gap.rank_correlations(rows[:2]).values()) == {None}


def trials_of(right):
    """A trial for each method, whose test answers are those given; three adapting photos."""
    labels = {"validation": np.array([0, 1]), "test": np.zeros(40, int)}
    found = []
    for method, count in right.items():
        test = np.eye(2)[(np.arange(40) >= count).astype(int)]
        answers = {"validation": np.eye(2), "adapting": np.eye(2)[[0, 1, 0]], "test": test}
        found.append(domain_methods.trial(method, 0, 1.0, labels, answers))
    return found


@pytest.mark.parametrize(
    ("right", "told"),
    [
        ({"none": 10, "standardise": 30, "few_labels": 25}, ["+50.0 points", "better."]),
        ({"none": 30, "standardise": 10}, ["worse.", "No method without labels is better than doing nothing."]),
        ({"none": 20, "standardise": 21, "few_labels": 38}, ["not told apart", "Label 3 photos of each class"]),
    ],
)
def test_the_verdict_may_be_to_do_nothing_or_to_label_a_few(right, told):
    trials = trials_of(right)
    found = {
        "name": "paintings", "method": "standardise", "at_home": [0.9, 0.9, 0.9], "few": "3 photos of each class",
        "seeds": [0], "classes": [],
        "rows": domain_methods.rows(trials, {}), "gain": domain_methods.gain(trials, "standardise"),
    }  # fmt: skip
    said = " ".join(domain_methods.verdict(found, "photo"))
    assert all(each in said for each in told) and said.startswith("The source's model has an accuracy of 90.0")


def test_with_several_seeds_the_gain_is_that_of_all_of_them():
    trials = [each | {"seed": seed} for seed, right in enumerate([(10, 12), (20, 30)])
              for each in trials_of(dict(zip(("none", "standardise"), right, strict=True)))]  # fmt: skip
    gain = domain_methods.gain(trials, "standardise")
    assert gain == pytest.approx([0.15, 0.05, 0.25])
    lost = {"class": "dog", "n": 9, "before": 0.9, "after": 0.3}
    found = {
        "name": "paintings", "method": "standardise", "at_home": [0.9, 0.8, 1.0], "few": "", "seeds": [0, 1],
        "classes": [lost, lost | {"class": "cat", "n": 2}], "rows": domain_methods.rows(trials, {}), "gain": gain,
    }  # fmt: skip
    said = " ".join(domain_methods.verdict(found, "photo"))
    assert "+15.0 points (+5.0 to +25.0 over 2 splits), better on each of them" in said
    assert "It finds far fewer photos of dog (90.0\u202f% to 30.0\u202f%)." in said
    assert "--method mcc+few_labels" in said and "mcc+few" not in " ".join(domain_methods.verdict(found, "document"))


def test_without_labels_the_verdict_claims_nothing():
    trials = trials_of({"none": 10})
    row = domain_methods.rows(trials, {})[0] | {"accuracy": None}
    said = domain_methods.verdict({"name": "new", "method": "none", "rows": [row]}, "photo")
    assert len(said) == 1 and "unknown" in said[0]


def test_classes_that_lose_most_come_first():
    labels = np.array([0, 0, 1, 1])
    found = domain_methods.by_class(["a", "b", "c"], labels, np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]))
    assert [(row["class"], row["before"], row["after"]) for row in found] == [("a", 1.0, 0.5), ("b", 0.5, 1.0)]
