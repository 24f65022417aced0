"""Average precision on toys with a known answer, and what a threshold finds."""

import dataclasses
import json
import types

import numpy as np
import pytest

from common.data import box_annotations, boxes
from common.data import box_formats as formats
from common.evaluation import detection

pytest.importorskip("pycocotools")
SIZE = (100, 100)


def sample(number, *listed):
    return box_annotations.sample_of(f"{number}.png", SIZE, [formats.Box(*each) for each in listed])


SAMPLES = [sample(number, ("cat", 10, 10, 40 + number, 40), ("dog", 50, 50, 90, 80 + number)) for number in range(12)]
TARGETS = boxes.Boxes(threshold=0.5).seen(SAMPLES)
SPLITS = types.SimpleNamespace(test=SAMPLES, train=SAMPLES, targets=TARGETS, groups=lambda side: [""] * len(SAMPLES))


def perfect(score=0.9, shift=0.0):
    """The true boxes, moved to the right by `shift` pixels, as (n, 4, 6)."""
    found = np.zeros((len(SAMPLES), 4, 6))
    for number, each in enumerate(SAMPLES):
        for place, row in enumerate(TARGETS.of(each)):
            found[number, place] = [*(row[1:] + np.array([shift, 0, shift, 0]) / 100), score, row[0]]
    return found


def test_perfect_boxes_have_an_average_precision_of_one():
    scores = detection.evaluate(perfect(), SPLITS, "test")
    assert scores["ap"] == scores["ap50"] == scores["ap75"] == pytest.approx(1.0)
    assert scores["per_class"]["cat"]["ap50"] == pytest.approx(1.0) and scores["precision"] == scores["recall"] == 1.0
    assert scores["counting_error"] == 0 and scores["true"] == scores["found"] == 24
    assert len(scores["curves"]["dog"]) == 101 and scores["by_size"]["large"]["ap"] is None


def test_moved_boxes_are_right_at_small_overlaps_only():
    scores = detection.evaluate(perfect(shift=8), SPLITS, "test")  # overlap (w - 8) / (w + 8): 0.58 to 0.67
    assert scores["ap50"] == pytest.approx(1.0) and scores["ap75"] == 0 and 0 < scores["ap"] < 0.5


def test_missed_photos_halve_the_recall_and_have_an_interval():
    found = perfect()
    found[::2, :, 4] = 0
    scores = detection.evaluate(found, SPLITS, "test")
    assert scores["recall"] == 0.5 and scores["precision"] == 1.0 and scores["counting_error"] == 1.0
    assert scores["ap50"] == pytest.approx(51 / 101, abs=0.01)  # 101 recalls, and the precision is 1 up to a half
    low, high = scores["ap50_interval"]
    assert low < scores["ap50"] < high and high - low > 0.2


def test_a_resample_of_all_photos_once_is_the_whole():
    found = perfect()
    found[:5, 0, 4] = 0
    whole = detection.coco_evaluation(found, SAMPLES, TARGETS)
    same = detection.resampled(whole, np.arange(12))
    assert np.allclose(same[..., 0], whole.eval["precision"][:, :, :, 0, -1])
    twice = detection.resampled(whole, np.tile(np.arange(12), 2))
    assert np.allclose(twice[..., 0].mean(), same[..., 0].mean(), atol=0.01)
    assert detection.resampled(whole, np.arange(5, 12)).min() == pytest.approx(1.0)


def test_our_average_precision_is_that_of_pycocotools_on_the_files(tmp_path):
    """The files of a run, read by pycocotools alone, give the same number."""
    from pycocotools import coco, cocoeval

    found = perfect(shift=3)
    found[3:6, 1, 4] = 0.2
    found[7, 2] = [0.1, 0.6, 0.3, 0.9, 0.95, 0]
    detection.write_found(tmp_path, found, SAMPLES, TARGETS)
    truth = coco.COCO(str(tmp_path / detection.TRUTH))
    evaluation = cocoeval.COCOeval(truth, truth.loadRes(str(tmp_path / detection.FOUND)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = detection.evaluate(found, SPLITS, "test")
    assert [ours["ap"], ours["ap50"], ours["ap75"]] == pytest.approx(evaluation.stats[:3].tolist(), abs=1e-6)
    assert len(json.loads((tmp_path / detection.FOUND).read_text())) == 25


def test_the_threshold_is_that_of_the_best_f1():
    found = perfect(score=0.6)
    found[:, 2] = [0.1, 0.6, 0.3, 0.9, 0.4, 0]  # a false box in every photo, less sure
    assert detection.best_threshold(found, SAMPLES, TARGETS) == pytest.approx(0.5)
    chosen = dataclasses.replace(TARGETS, threshold=0.5)
    assert detection.at_threshold(found, SAMPLES, chosen)["f1"] == 1.0
    assert detection.at_threshold(found, SAMPLES, dataclasses.replace(TARGETS, threshold=0.3))["precision"] == 2 / 3
    # The last right box is above the threshold, whatever its digits.
    for score in (0.12345678, 0.99996, 3e-5):
        sure = perfect(score=score)
        lowest = dataclasses.replace(TARGETS, threshold=detection.best_threshold(sure, SAMPLES, TARGETS))
        assert detection.at_threshold(sure, SAMPLES, lowest)["recall"] == 1.0
    nothing = np.zeros((12, 1, 6))
    assert detection.best_threshold(nothing, SAMPLES, TARGETS) == TARGETS.threshold


def test_each_true_box_is_found_once():
    true = np.array([[0.0, 0, 10, 10, 1]])
    twice = np.array([[0.0, 0, 10, 10, 0.9, 1], [0, 0, 10, 9, 0.8, 1], [0, 0, 10, 10, 0.9, 0]])
    assert detection.matched(twice, true) == [(0, 0)]
    assert detection.overlaps(twice[:2], true).ravel() == pytest.approx([1.0, 0.9])
    assert detection.matched(twice[:0], true) == []


def test_the_usual_boxes_need_no_photo():
    usual = detection.usual_boxes(SPLITS, "test")
    assert (usual == usual[0]).all() and 0 < usual[0, 0, 4] <= 1
    assert detection.evaluate(usual, SPLITS, "test")["ap50"] < 0.5
