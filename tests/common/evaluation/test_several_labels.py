"""Metrics of several labels against values by hand."""

import numpy as np
import pytest

from common.data import sample_list, tags
from common.evaluation import several_labels

LABELS = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], float)
ANSWERS = np.array([[0.4, 0.1], [0.3, 0.6], [0.1, 0.7], [0.2, 0.8]])


def test_the_threshold_of_each_label_is_where_its_f1_is_highest():
    least = several_labels.thresholds(ANSWERS, LABELS)
    assert least == pytest.approx([0.3, 0.6]), "the first label is told apart far below 0.5"
    found = several_labels.scores(ANSWERS, LABELS, ("a", "b"), least)
    assert found["per_class"]["a"] == {"precision": 1, "recall": 1, "f1": 1, "support": 2, "average_precision": 1,
                                       "threshold": 0.3}  # fmt: skip
    other = found["per_class"]["b"]  # the third document is given b wrongly
    assert (other["precision"], other["recall"]) == (pytest.approx(2 / 3), 1) and other["f1"] == pytest.approx(0.8)
    assert other["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["macro_f1"] == pytest.approx(0.9) and found["micro_f1"] == pytest.approx(2 * 4 / (4 + 5))
    assert found["exact"] == 0.75 and found["n"] == 4
    by_hand = -np.mean([np.log(0.4 * 0.3 * 0.9 * 0.8), np.log(0.9 * 0.6 * 0.3 * 0.8)]) / 4
    assert found["log_loss"] == pytest.approx(by_hand)


def test_tags_are_arrays_of_0_and_1_and_answers_go_by_the_thresholds():
    samples = [sample_list.Sample("1", tags.joined(["b", " a", "b"])), sample_list.Sample("2", "")]
    targets = tags.Tags().seen(samples)
    assert samples[0].label == "a|b" and targets.class_names == ("a", "b")
    assert targets.array(samples).tolist() == [[1, 1], [0, 0]] and targets.summary(samples) == {"a": 1, "b": 1}
    chosen = tags.Tags(("a", "b"), (0.3, 0.6))
    assert chosen.answer(np.array([0.3, 0.5])) == {"labels": "a", "p_a": 0.3, "p_b": 0.5}
    assert chosen.judged(samples[0], np.array([0.4, 0.6]))["correct"] == 1
    assert chosen.judged(samples[1], np.array([0.1, 0.1])) == {
        "label": "", "predicted": "", "correct": 1, "p_a": 0.1, "p_b": 0.1,
    }  # fmt: skip
