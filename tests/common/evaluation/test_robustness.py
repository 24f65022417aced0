"""Falls of made-up answers that are known, and what is said about them."""

import numpy as np
import pytest

from common.evaluation import robustness

pytestmark = pytest.mark.quick
LABELS = np.arange(120) % 2
TITLES = {"blur": "blur", "noise": "noise", "fog": "fog"}


def answers(right, labels=LABELS):
    """Probabilities that are right where `right` says so."""
    return np.eye(2)[np.where(right, labels, 1 - labels)]


def wrong_from(*counts):
    """For each severity, as many wrong answers, at the beginning."""
    return [answers(np.arange(len(LABELS)) >= count) for count in counts]


def test_the_falls_are_counted_on_the_same_items():
    found = robustness.evaluate(answers(np.arange(120) >= 12), {"blur": wrong_from(12, 36, 72)}, LABELS, None)
    assert found["clean"]["accuracy"][0] == pytest.approx(0.9) and found["n"] == found["units"] == 120
    first, second, third = (each["change"]["accuracy"] for each in found["kinds"]["blur"]["severities"])
    assert [first[0], second[0], third[0]] == pytest.approx([0, -0.2, -0.5])
    assert first[1] < 0 < first[2] and first[2] - first[1] < 0.1  # the same answers, but a finite number of them
    assert -0.29 < second[1] < -0.2 < second[2] < -0.12
    assert found["kinds"]["blur"]["mean"]["accuracy"][0] == pytest.approx((0.9 + 0.7 + 0.4) / 3)


def test_groups_make_the_interval_wider():
    kinds = {"blur": wrong_from(48)}
    alone, grouped = (
        robustness.evaluate(answers(np.ones(120)), kinds, LABELS, groups)["kinds"]["blur"]["severities"][0]
        for groups in (None, [str(number // 12) for number in range(120)])
    )
    widths = [each["change"]["accuracy"][2] - each["change"]["accuracy"][1] for each in (alone, grouped)]
    assert widths[1] > 1.5 * widths[0]


def test_the_balanced_accuracy_weighs_classes_alike():
    labels = np.array([0] * 90 + [1] * 10)
    changed = answers(labels == 0, labels)  # the rare class is lost
    found = robustness.evaluate(answers(labels >= 0, labels), {"fog": [changed]}, labels, None, "balanced_accuracy")
    (only,) = found["kinds"]["fog"]["severities"]
    assert only["change"]["balanced_accuracy"][0] == -0.5 and only["change"]["accuracy"][0] == pytest.approx(-0.1)
    assert "balanced accuracy by 50.0 points" in robustness.verdict(found, TITLES, "photo")[0]


def test_a_class_without_items_does_not_count():
    probabilities = np.eye(3)[LABELS]
    found = robustness.evaluate(probabilities, {"fog": [probabilities[::-1]]}, LABELS, None, "balanced_accuracy")
    assert found["clean"]["balanced_accuracy"][0] == 1
    assert found["kinds"]["fog"]["severities"][0]["change"]["balanced_accuracy"][0] == -1


@pytest.mark.parametrize("labels", [np.array([0, 0, 0, 1]), np.array([0])])
def test_a_class_with_one_item_has_wide_intervals_but_numbers(labels):
    """Of which a part of the severities is answered rightly."""
    kinds = {"fog": [answers(labels >= 0, labels), answers(labels < 0, labels)]}
    found = robustness.evaluate(answers(labels >= 0, labels), kinds, labels, None, "balanced_accuracy")
    gain, low, high = found["kinds"]["fog"]["mean"]["change"]["balanced_accuracy"]
    assert gain == -0.5 and -1.1 < low < -0.5 < high < 1
    assert np.isfinite([each["balanced_accuracy"] for each in found["kinds"]["fog"]["severities"]]).all()


def test_the_worst_is_named_and_what_may_be_as_bad():
    kinds = {"blur": wrong_from(20, 40), "noise": wrong_from(50, 70), "fog": wrong_from(54, 68)}
    found = robustness.evaluate(answers(np.ones(120)), kinds, LABELS, None)
    assert robustness.worst(found) == "fog"
    first, second = robustness.verdict(found, TITLES, "photo")
    assert first.startswith("Worst: fog. On average over its 2 severities, it lowers the accuracy by 50.8 points")
    assert "from 100.0 % on the photos as they are to 49.2 %." in first.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert second == "Not told apart from it: noise."


def test_nothing_is_worst_where_nothing_is_worse():
    kinds = {"blur": wrong_from(12), "noise": wrong_from(13)}
    found = robustness.evaluate(answers(np.arange(120) >= 12), kinds, LABELS, None)
    (only,) = robustness.verdict(found, TITLES, "clip")
    assert only.startswith("No kind lowers the accuracy by more than chance explains; noise comes nearest, with -0.8")
