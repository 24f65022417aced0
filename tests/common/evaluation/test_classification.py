"""Metrics against formulas and brute force, intervals against simulations."""

import json
import time
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from common.data import sample_list, splits, targets
from common.evaluation import classification, intervals
from common.media import photos

pytestmark = pytest.mark.quick

CONTRACT = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "accuracy_interval", "per_class"]
INTERVALS = ["accuracy_interval", "balanced_accuracy_interval", "macro_f1_interval", "log_loss_interval"]


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests left to the garbage collector
        yield


def names(count):
    return [f"class {index}" for index in range(count)]


def random_answers(n, k, seed=0, skill=1.0):
    """Probabilities of a classifier that is right more often than not, and the labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(k, size=n)
    logits = generator.normal(size=(n, k)) + skill * np.eye(k)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def answers_of(correct):
    """Two-class probabilities whose answers are right where `correct` says so; all labels alternate."""
    correct = np.asarray(correct, bool)
    labels = np.arange(len(correct)) % 2
    return np.eye(2)[np.where(correct, labels, 1 - labels)] * 0.8 + 0.1, labels


def contains(interval, value):
    return interval[0] <= value <= interval[1]


def test_the_contract_of_results_json():
    probabilities, labels = random_answers(200, 4)
    result = classification.scores(probabilities, labels, names(4))
    assert set(CONTRACT + INTERVALS) < set(result)
    assert set(result["per_class"]["class 2"]) == {"precision", "recall", "f1", "auc", "support"}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("k", [2, 3, 10])
def test_equals_scikit_learn(k):
    probabilities, labels = random_answers(500, k, seed=k)
    predicted = probabilities.argmax(axis=1)
    result = classification.scores(probabilities, labels, names(k))
    expected = {
        "n": 500,
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_precision": metrics.precision_score(labels, predicted, average="macro"),
        "macro_recall": metrics.recall_score(labels, predicted, average="macro"),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "macro_auc": np.mean([metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in range(k)]),
        "log_loss": -np.mean(np.log(probabilities[np.arange(500), labels])),
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, rel=1e-9), name
    assert result["confusion_matrix"] == metrics.confusion_matrix(labels, predicted).tolist()
    assert sum(row["support"] for row in result["per_class"].values()) == 500


def test_two_classes_have_the_same_auc():
    probabilities, labels = random_answers(300, 2)
    rows = classification.scores(probabilities, labels, names(2))["per_class"]
    assert rows["class 0"]["auc"] == pytest.approx(rows["class 1"]["auc"])


def test_a_class_that_is_absent_is_null():
    probabilities, labels = random_answers(200, 4)
    labels = np.where(labels == 3, 0, labels)
    result = classification.scores(probabilities, labels, names(4))
    absent = {"precision": None, "recall": None, "f1": None, "auc": None, "support": 0}
    assert result["per_class"]["class 3"] == absent
    present = [row["f1"] for row in result["per_class"].values() if row["support"]]
    assert result["macro_f1"] == pytest.approx(np.mean(present))
    assert np.shape(result["confusion_matrix"]) == (4, 4)
    json.dumps(result, allow_nan=False)


def test_only_one_class_present():
    probabilities, labels = random_answers(50, 3)
    result = classification.scores(probabilities, np.zeros_like(labels), names(3))
    assert result["macro_auc"] is None
    assert result["balanced_accuracy"] == result["accuracy"]


def test_a_class_that_is_never_predicted_counts_as_zero():
    probabilities = np.tile([0.8, 0.2], (10, 1))
    result = classification.scores(probabilities, np.arange(10) % 2, names(2))
    assert result["per_class"]["class 1"]["precision"] == result["per_class"]["class 1"]["f1"] == 0
    assert result["balanced_accuracy"] == 0.5


def test_a_probability_of_zero_gives_a_finite_loss():
    result = classification.scores(np.eye(2)[[0, 1, 1]], np.array([0, 1, 0]), names(2))
    assert result["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps) / 3, rel=1e-6)
    assert contains(result["log_loss_interval"], result["log_loss"])


def test_ece_of_a_known_toy():
    # Bin (0.6, 0.667] holds two answers of 0.65, one right: |0.5 - 0.65|.
    # Bin (0.867, 0.933] holds two of 0.9, both right: |1 - 0.9|. Each weighs one half.
    confidence = np.array([0.65, 0.65, 0.9, 0.9])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    result = classification.scores(probabilities, [0, 1, 0, 0], names(2))
    assert result["ece"] == pytest.approx((0.15 + 0.1) / 2)


def test_ece_of_a_calibrated_classifier_is_small():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.5] * 4, size=20_000)
    labels = (probabilities.cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1)
    assert classification.scores(probabilities, labels, names(4), resamples=10)["ece"] < 0.015
    sharpened = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert classification.scores(sharpened, labels, names(4), resamples=10)["ece"] > 0.1


def test_reliability_against_brute_force():
    probabilities, labels = random_answers(400, 3)
    bins = classification.reliability(probabilities, labels, bins=7)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for index, (low, high) in enumerate(zip(bins["edges"], bins["edges"][1:], strict=False)):
        inside = (confidence > low) & (confidence <= high)
        assert bins["counts"][index] == inside.sum()
        expected = pytest.approx(correct[inside].mean()) if inside.any() else None
        assert bins["accuracy"][index] == expected
    assert sum(bins["counts"]) == 400 and bins["confidence"][0] is None


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    bins = classification.reliability([[0.6, 0.4], [1.0, 0.0]], [0, 0], bins=5)
    assert bins["counts"] == [0, 0, 1, 0, 1]


def test_bootstrap_equals_brute_force():
    probabilities, labels = random_answers(120, 3)
    result = classification.scores(probabilities, labels, names(3), seed=3, resamples=200)
    drawn = np.random.default_rng(3).integers(120, size=(200, 120))
    f1 = [metrics.f1_score(labels[row], probabilities[row].argmax(axis=1), average="macro") for row in drawn]
    tail = stats.norm.cdf(stats.t.ppf(0.025, 119) * np.sqrt(120 / 119))  # Hesterberg 2015
    assert result["macro_f1_interval"] == pytest.approx(np.quantile(f1, [tail, 1 - tail]).tolist())


def test_bootstrap_in_blocks_equals_one_block(monkeypatch):
    probabilities, labels = random_answers(60, 3)
    whole = classification.scores(probabilities, labels, names(3), resamples=100)
    monkeypatch.setattr(intervals, "BLOCK_COUNTS", 60 * 7)
    assert classification.scores(probabilities, labels, names(3), resamples=100) == whole


def test_the_seed_decides():
    probabilities, labels = random_answers(100, 3)
    first, again, other = (classification.scores(probabilities, labels, names(3), seed=s) for s in (0, 0, 1))
    assert first == again
    assert first["macro_f1_interval"] != other["macro_f1_interval"]
    assert first["ece_if_calibrated"] != other["ece_if_calibrated"]


def test_macro_f1_has_an_interval_only_where_there_are_enough_photos():
    def limits(counts, wrong):
        labels = np.repeat(np.arange(len(counts)), counts)
        answers = np.where(np.arange(len(labels)) < wrong, (labels + 1) % len(counts), labels)
        return classification.scores(np.eye(len(counts))[answers], labels, names(len(counts)))["macro_f1_interval"]

    low, high = limits([30, 10], 5)
    assert 0 < low < high < 1
    assert limits([30, 9], 5) is None and limits([30, 10], 4) is None


@pytest.mark.parametrize("groups", [1, 5])
def test_calibrated_answers_are_called_wrong_in_one_of_twenty(groups):
    """Each of 60 numbers is the confidence of 1 or 5 photos, which are right or wrong together."""
    generator, wrong = np.random.default_rng(0), []
    for _ in range(150):
        confidence = generator.uniform(0.5, 1, 60)
        labels = np.repeat(generator.random(60) > confidence, groups).astype(int)
        probabilities = np.repeat(np.stack([confidence, 1 - confidence], axis=1), groups, axis=0)
        error = classification.expected_calibration_error(classification.reliability(probabilities, labels))
        mean, limit = classification.error_if_calibrated(probabilities, np.arange(60).repeat(groups), draws=200)
        assert 0.05 < mean < limit
        wrong.append(error > limit)
    assert 0.01 <= np.mean(wrong) <= 0.09


def test_groups_widen_the_interval_when_photos_repeat():
    probabilities, labels = answers_of(np.random.default_rng(0).random(80) < 0.7)
    repeated, repeated_labels = np.repeat(probabilities, 5, axis=0), np.repeat(labels, 5)
    groups = [f"group {index // 5}" for index in range(400)]
    width = {}
    for name, choice in {"samples": None, "groups": groups}.items():
        result = classification.scores(repeated, repeated_labels, names(2), groups=choice)
        width[name] = np.ptp(result["accuracy_interval"])
    assert width["groups"] / width["samples"] == pytest.approx(np.sqrt(5), rel=0.15)


def test_an_empty_group_is_a_group_of_its_own():
    probabilities, labels = random_answers(100, 3)
    ungrouped = classification.scores(probabilities, labels, names(3))
    assert classification.scores(probabilities, labels, names(3), groups=[""] * 100) == ungrouped


@pytest.mark.parametrize("share", [0, 1])
def test_all_right_or_all_wrong_uses_the_exact_interval(share):
    probabilities, labels = answers_of(np.full(160, share))
    result = classification.scores(probabilities, labels, names(2))
    edge = 0.025 ** (1 / 160)  # solves edge**160 = 2.5 %
    assert result["accuracy_interval"] == pytest.approx([edge, 1] if share else [0, 1 - edge])
    assert result["macro_f1_interval"] is None  # every resample is the same
    assert result["balanced_accuracy_interval"][share] == share


def test_the_exact_interval_counts_groups():
    probabilities, labels = answers_of(np.ones(60))
    groups = [f"patient {index // 6}" for index in range(60)]
    low, high = classification.scores(probabilities, labels, names(2), groups=groups)["accuracy_interval"]
    assert [low, high] == pytest.approx([stats.beta.ppf(0.025, 10, 1), 1])


def test_2000_photos_take_less_than_3_seconds():
    probabilities, labels = random_answers(2000, 100, skill=3)
    started = time.process_time()
    classification.scores(probabilities, labels, names(100))
    assert time.process_time() - started < 3


GOOD = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("probabilities", "labels", "class_names", "groups"),
    [
        (np.full(4, 0.5), [0, 1, 0, 1], "ab", None),
        (np.empty((0, 2)), [], "ab", None),
        (np.ones((4, 1)), [0, 0, 0, 0], "a", None),
        (GOOD, [0, 1, 0], "ab", None),
        (GOOD, [[0], [1], [0], [1]], "ab", None),
        (GOOD, [0, 1, 0, 2], "ab", None),
        (GOOD, [0, 1, 0, -1], "ab", None),
        (GOOD, [0.0, 1.0, 0.0, 1.0], "ab", None),
        (GOOD, [0, 1, 0, 1], "abc", None),
        (GOOD, [0, 1, 0, 1], "aa", None),
        (GOOD * 1.01, [0, 1, 0, 1], "ab", None),
        (GOOD * np.nan, [0, 1, 0, 1], "ab", None),
        (GOOD + [1, -1], [0, 1, 0, 1], "ab", None),
        (GOOD, [0, 1, 0, 1], "ab", ["x"]),
    ],
)
def test_nonsense_is_refused(probabilities, labels, class_names, groups):
    with pytest.raises(ValueError, match=r"^(probabilities|labels|class_names|groups): "):
        classification.scores(probabilities, labels, class_names, groups)


def test_a_side_of_a_split_is_scored_with_its_labels_and_groups():
    probabilities, labels = random_answers(90, 3)
    samples = [
        sample_list.Sample(f"{index}.jpg", names(3)[label], f"patient {index // 3}", "test")
        for index, label in enumerate(labels)
    ]
    split = splits.Splits.of("photos", photos.PHOTOS, targets.CLASSES, samples, {}, {})
    patients = [sample.group for sample in samples]
    found = classification.evaluate(probabilities, split, "test", seed=3)
    assert found == classification.scores(probabilities, labels, names(3), patients, seed=3)
    alone = classification.evaluate(probabilities, split, "test", seed=3, groups=[""] * 90)
    assert alone == classification.scores(probabilities, labels, names(3), seed=3) != found


def test_rounded_probabilities_are_accepted():
    probabilities, labels = random_answers(100, 5)
    rounded = classification.scores(probabilities.round(5).astype("float32"), labels, names(5))
    exact = classification.scores(probabilities, labels, names(5))
    assert rounded["log_loss"] == pytest.approx(exact["log_loss"], rel=1e-3)


def test_guessing_is_the_largest_training_class():
    test = {"per_class": {"a": {"support": 6}, "b": {"support": 2}, "c": {"support": 0}}}
    results = {"test": test, "data": {"per_split": {"train": {"a": 1, "b": 5}}}}
    assert classification.guessing(results) == {"class": "b", "accuracy": 0.25, "balanced_accuracy": 0.5}
    assert classification.guessing({"test": test, "data": {}})["class"] == "a"
