"""Which place learns which box, by hand, and the overlap of boxes."""

import numpy as np
import pytest

from common.models import detector
from common.training import detection_targets as targets

SIZE = 96


def truth(*rows, most=3):
    filled = np.full((1, most, 5), -1.0, "float32")
    for number, (label, *edges) in enumerate(rows):
        filled[0, number] = [label, *(edge / SIZE for edge in edges)]
    return filled


def assigned(*rows):
    return [np.array(part)[0] for part in targets.assign(truth(*rows), SIZE, 2)]


def test_a_small_box_is_learnt_at_stride_8_around_its_middle():
    classes, boxes, centerness, positive = assigned((1, 24, 32, 48, 56))
    middles, strides = detector.places(SIZE)
    here = positive > 0
    assert set(strides[here]) == {8} and (np.abs(middles[here] - [36, 44]).max(axis=1) <= 12).all()
    assert here.sum() == 9 and (classes[here] == [0, 1]).all() and (classes[~here] == 0).all()
    assert np.allclose(boxes[here], [24, 32, 48, 56], atol=1e-4)
    (middle,) = np.flatnonzero((middles == [36, 44]).all(axis=1) & (strides == 8))
    assert centerness[middle] == pytest.approx(1.0) and (centerness[~here] == 0).all()
    (side,) = np.flatnonzero((middles == [28, 44]).all(axis=1) & (strides == 8))
    assert centerness[side] == pytest.approx((4 / 20) ** 0.5, abs=1e-5)  # 4 to the left edge, 20 to the right


def test_a_large_box_is_learnt_at_a_coarse_level_and_the_smaller_box_wins():
    _, _, _, positive = assigned((0, 2, 2, 94, 94))
    strides = detector.places(SIZE)[1]
    assert set(strides[positive > 0]) <= {8, 16} and 16 in strides[positive > 0]
    classes, boxes, _, positive = assigned((0, 24, 24, 56, 56), (1, 32, 32, 48, 48))
    inner = (boxes[:, 0] == 32) & (positive > 0)
    assert inner.any() and (classes[inner, 1] == 1).all()


def by_cost(found, thing=0.0):
    """The places that learn a box of class 1, where all find the same box, or each its own."""
    places, strides = detector.places(SIZE)
    found = np.broadcast_to(np.array(found, "float32"), (1, len(places), 4))
    logits = np.full((1, len(places), 2), [-8.0, 8.0], "float32")
    things = np.broadcast_to(np.array(thing, "float32"), (len(places),))[None, :, None]
    rows = truth((1, 24, 32, 48, 56))
    return [np.array(part)[0] for part in targets.assign_by_cost(rows, SIZE, found, things, logits)]


def test_a_box_is_learnt_by_as_many_places_as_its_overlaps_say_and_the_cheapest():
    places, strides = detector.places(SIZE)
    assert by_cost([0, 0, 1, 1])[3].sum() == 9 + 9 + 9  # nothing is found: all near places cost the same
    (best,) = np.flatnonzero((places == [36, 44]).all(axis=1) & (strides == 8))
    found = np.zeros((len(places), 4))
    found[best] = [24, 32, 48, 56]
    classes, boxes, _, positive = by_cost(found)
    assert np.flatnonzero(positive).tolist() == [best] and classes[best].tolist() == [0, 1]
    assert boxes[best] == pytest.approx([24, 32, 48, 56])
    near = np.flatnonzero(np.abs(places - [36, 44]).max(axis=1) <= 1.5 * strides)
    sure = np.arange(len(places)) / 10 - 5  # all overlap: ten places, those that are surest of a thing
    assert np.flatnonzero(by_cost([24, 32, 48, 56], sure)[3]).tolist() == near[-10:].tolist()


def test_empty_rows_teach_nothing():
    assert assigned()[3].sum() == 0


def test_the_generalised_overlap_by_hand():
    one, same = np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 10]])
    half, apart = np.array([[0.0, 0, 10, 5]]), np.array([[20.0, 0, 30, 10]])
    values = [float(np.array(targets.generalised_iou(one, other))[0]) for other in (same, half, apart)]
    assert values == pytest.approx([1.0, 0.5, -10 / 30])
    assert [float(np.array(targets.iou(one, other))[0]) for other in (same, half, apart)] == [1.0, 0.5, 0.0]
