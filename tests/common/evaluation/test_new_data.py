import numpy as np
import pytest
from scipy import stats

from common.evaluation import classification, new_data

NAMES = ("cat", "dog")


def answers(labels, right):
    """Probabilities that are right where `right` says so, and sure of it."""
    chosen = np.where(right, labels, 1 - labels)
    return np.where(np.eye(2)[chosen] > 0, 0.9, 0.1)


def scores(labels, right, groups=None):
    return classification.scores(answers(labels, right), labels, NAMES, groups, resamples=300)


def test_the_difference_of_two_proportions_is_newcombes():
    """His example: 56 of 70 and 48 of 80, with Wilson's intervals."""
    limits = [stats.binomtest(hits, of).proportion_ci(method="wilson") for hits, of in ((56, 70), (48, 80))]
    found = new_data.difference(0.8, limits[0], 0.6, limits[1])
    assert found == pytest.approx([0.2, 0.0524, 0.3339], abs=1e-4)
    there, back = found, new_data.difference(0.6, limits[1], 0.8, limits[0])
    assert [-value for value in back] == pytest.approx([there[0], there[2], there[1]])


@pytest.mark.parametrize(("share", "size"), [(0.8, 60), (0.97, 40)])
def test_two_samples_of_the_same_truth_seldom_differ_by_more_than_chance(share, size):
    """At 95 % one pair in twenty may; near a perfect score a bootstrap would say so more often."""
    random, outside = np.random.default_rng(0), 0
    for _ in range(100):
        pair = []
        for count in (size, 2 * size):
            pair.append(scores(np.arange(count) % 2, random.random(count) < share))
        told = [value for each in pair for value in (each["accuracy"], each["accuracy_interval"])]
        _, low, high = new_data.difference(*told)
        outside += low > 0 or high < 0
    assert outside <= 10


def test_of_two_perfect_scores_the_difference_is_nothing_but_not_certain():
    test = scores(np.arange(40) % 2, np.ones(40, bool))
    labels = np.arange(20) % 2
    found = new_data.evaluate(answers(labels, True), labels, NAMES, list(map(str, labels.cumsum())), test, {"cat": 9})
    gain, low, high = found["difference"]["accuracy"]
    assert gain == 0 and low < -0.05 and high > 0.01
    assert found["difference"]["macro_f1"] == [0, None, None]  # a bootstrap of perfect answers says nothing


def test_the_largest_training_class_is_the_baseline():
    labels = np.array([0, 0, 0, 1])
    assert new_data.largest_class(labels, NAMES, {"cat": 2, "dog": 5}) == {
        "class": "dog", "accuracy": 0.25, "balanced_accuracy": 0.5,
    }  # fmt: skip
    absent = new_data.largest_class(np.zeros(4, int), NAMES, {"cat": 2, "dog": 5})
    assert absent["accuracy"] == absent["balanced_accuracy"] == 0


def test_where_a_class_is_missing_the_test_is_over_the_others_too():
    labels = np.array([0] * 10 + [1] * 10)
    right = np.array([True] * 5 + [False] * 5 + [True] * 10)
    whole = scores(labels, right)
    assert new_data.same_classes(whole, answers(labels, right), labels, NAMES, [""] * 20, NAMES) is whole
    cats = new_data.same_classes(whole, answers(labels, right), labels, NAMES, [""] * 20, ["cat"])
    assert whole["accuracy"] == 0.75 and cats["accuracy"] == 0.5 and cats["n"] == 10


def test_the_target_is_called_at_the_runs_threshold():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.3, 0.7], [0.1, 0.9], [0.25, 0.75], [0.0, 1.0]])
    target = {"classes": ["cat"], "threshold": 0.25}
    found = new_data.at_threshold(probabilities, labels, NAMES, list("abcd"), target)
    assert found["sensitivity"][0] == found["specificity"][0] == 0.5 and found["positives"] == 2
    assert new_data.at_threshold(probabilities[2:], labels[2:], NAMES, list("ab"), target)["sensitivity"] == [None] * 3


def told(labels, right, test_right, missing=(), groups=None, **data):
    test_labels = np.arange(len(test_right)) % 2
    found = new_data.evaluate(
        answers(labels, right), labels, NAMES, groups or list(map(str, range(len(labels)))),
        scores(test_labels, test_right), {"cat": 5, "dog": 4},
    )  # fmt: skip
    nothing = {"missing": list(missing), "test_samples_of_the_run": 0, "groups_of_the_run": [],
               "files_of_the_run_gone": 0}  # fmt: skip
    return " ".join(new_data.verdict(found | {"data": nothing | data}, "photo"))


def test_the_verdict():
    labels, test_right = np.arange(100) % 2, np.arange(100) % 10 > 0  # 90 %
    half = np.arange(100) % 4 > 1
    said = told(labels, half, test_right)
    assert "40.0 points lower than in the run's test, more than chance explains" in said
    assert "Always answering cat would be right for 50.0" in said
    said = told(labels, np.arange(100) % 25 > 2, test_right)
    assert "2.0 points lower than in the run's test; that may be chance" in said and "Always" not in said
    assert "the same as in the run's test (95" in told(labels, test_right, test_right)
    assert "higher than in the run's test, more" in told(labels, np.ones(100, bool), half)
    said = told(labels, half, test_right, groups=list("abcd") * 25)
    assert "The accuracy is 40.0 points lower than in the run's test; that may be chance" in said  # four groups
    said = told(labels * 0, half, test_right, missing=["dog"], test_samples_of_the_run=3, groups_of_the_run=["p1"],
                files_of_the_run_gone=1)  # fmt: skip
    for wanted in (
        "no photo of dog",
        "3 photos of the new data also occurred",
        "have the names of groups",
        "1 photo of the run",
    ):
        assert wanted in said
    mixed = np.array([0] * 90 + [1] * 10)  # 90 % are right, but of the dogs none is
    said = told(mixed, mixed == 0, test_right)
    assert "The accuracy is the same" in said and "The balanced accuracy is 40.0 points lower" in said
    said = told(labels * 0, half, test_right, missing=["dog"])
    assert "Always" not in said  # of one class alone the baseline says nothing
