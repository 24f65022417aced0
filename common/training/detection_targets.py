"""Which place of a detector's levels learns which box.

By the rules of FCOS (https://arxiv.org/abs/1904.01355), the sizes and places of the boxes say it; by those of YOLOX
(https://arxiv.org/abs/2107.08430), what the detector finds there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from common.models import detector

# A level learns boxes whose farthest edge is at most this many of its strides away, the last level all larger ones.
# FCOS has 8; a head on frozen features does better if large things go to the coarser levels earlier.
REACH = 6.0
RADIUS = 1.5  # strides from the middle of a box: only such places learn it
MOST_PLACES = 10  # that learn a box by YOLOX's rules
EDGES_COST = 3.0  # of a bad overlap there, in costs of a wrong class


class Targets(NamedTuple):
    """What each of n places is to answer.

    Attributes:
        classes: (batch, n, classes), 1 for the class of its box; all 0 for the background.
        boxes: (batch, n, 4) in pixels of the network's square; arbitrary for the background.
        centerness: (batch, n), 1 in the middle of a box, and less towards its edges.
        positive: (batch, n), 1 for a place with a box.
    """

    classes: Any
    boxes: Any
    centerness: Any
    positive: Any


def assign(truth: Any, image_size: int, num_classes: int) -> Targets:
    """Give each place the smallest of the boxes around it that are for its level, or the background.

    Args:
        truth: (batch, m, 5) class, left, top, right, bottom in fractions of the square; class -1 in empty rows.
        image_size: the side of the square in pixels.
        num_classes: the number of classes.
    """
    ops = keras.ops
    middles, strides = detector.places(image_size)
    boxes = truth[..., 1:] * image_size
    left, top, right, bottom = (boxes[:, None, :, side] for side in range(4))  # (batch, 1, m)
    x, y, stride = middles[None, :, :1], middles[None, :, 1:], strides[None, :, None]  # (1, n, 1)
    reach = ops.stack([x - left, y - top, right - x, bottom - y], axis=-1)  # (batch, n, m, 4)
    farthest = ops.max(reach, axis=-1)
    limits = np.array([[0.0 if number == 0 else REACH * detector.STRIDES[number - 1],
                        np.inf if number == detector.LEVELS - 1 else REACH * own]
                       for number, own in enumerate(detector.STRIDES)], "float32")  # fmt: skip
    low, high = (limits[np.searchsorted(detector.STRIDES, strides)][:, side][None, :, None] for side in (0, 1))
    near = ops.maximum(ops.abs(x - (left + right) / 2), ops.abs(y - (top + bottom) / 2)) <= RADIUS * stride
    mine = ((ops.min(reach, axis=-1) > 0) & near & (farthest > low) & (farthest <= high)
            & (truth[:, None, :, 0] >= 0))  # fmt: skip
    return _targets(truth, boxes, mine, (right - left) * (bottom - top), middles, num_classes)


def assign_by_cost(truth: Any, image_size: int, found: Any, thing: Any, class_logits: Any) -> Targets:
    """Give each box the places around its middle that already find it best, and the other places the background.

    A box gets as many places as its best overlaps are in sum, at least one. A place costs the cross-entropy of its
    classes and the negative logarithm of its overlap (SimOTA, https://arxiv.org/abs/2107.08430, section 2).

    Args:
        truth, image_size: as for `assign`.
        found: (batch, n, 4) boxes in pixels.
        thing: (batch, n, 1) logits of a thing, whatever its class.
        class_logits: (batch, n, classes).
    """
    ops = keras.ops
    found, thing, class_logits = map(ops.stop_gradient, (found, thing, class_logits))
    middles, strides = detector.places(image_size)
    num_classes = class_logits.shape[-1]
    boxes = truth[..., 1:] * image_size
    away = ops.abs((boxes[..., :2] + boxes[..., 2:])[:, :, None] / 2 - middles)  # (batch, m, n, 2)
    near = (ops.max(away, axis=-1) <= RADIUS * strides) & (truth[..., :1] >= 0)
    overlap = ops.where(near, iou(found[:, None], boxes[:, :, None]), 0.0)
    sure = ops.clip(ops.sqrt(ops.sigmoid(thing) * ops.sigmoid(class_logits)), 1e-6, 1 - 1e-6)
    labels = ops.one_hot(ops.cast(ops.maximum(truth[..., 0], 0), "int32"), num_classes)
    own = ops.matmul(labels, ops.transpose(ops.log(1 - sure) - ops.log(sure), (0, 2, 1)))  # (batch, m, n)
    cost = own - ops.sum(ops.log(1 - sure), axis=-1)[:, None] - EDGES_COST * ops.log(overlap + 1e-8)
    cost = ops.where(near, cost, np.float32(1e9))
    count = ops.cast(ops.sum(ops.top_k(overlap, MOST_PLACES)[0], axis=-1, keepdims=True), "int32")
    cheapest = -ops.top_k(-cost, MOST_PLACES)[0]
    dearest = ops.take_along_axis(cheapest, ops.clip(count - 1, 0, MOST_PLACES - 1), axis=-1)
    mine, cost = (ops.transpose(each, (0, 2, 1)) for each in (near & (cost <= dearest), cost))
    return _targets(truth, boxes, mine, cost, middles, num_classes)


def _targets(truth: Any, boxes: Any, mine: Any, cost: Any, middles: np.ndarray, num_classes: int) -> Targets:
    """Return what places are to answer that may learn several boxes: the cheapest of them.

    Args:
        truth: as for `assign`.
        boxes: (batch, m, 4) in pixels.
        mine: (batch, n, m) whether a place may learn a box.
        cost: (batch, n or 1, m).
        middles: (n, 2) of the places in pixels.
        num_classes: the number of classes.
    """
    ops = keras.ops
    chosen = ops.argmin(ops.where(mine, cost, np.float32(1e12)), axis=-1)  # (batch, n)
    positive = ops.cast(ops.any(mine, axis=-1), "float32")
    own = ops.take_along_axis(boxes, chosen[..., None], axis=1)
    labels = ops.take_along_axis(truth[..., 0], chosen, axis=1)
    across, down = own[..., 2] - own[..., 0], own[..., 3] - own[..., 1]
    sides = ops.stack([middles[None, :, 0] - own[..., 0], middles[None, :, 1] - own[..., 1],
                       own[..., 2] - middles[None, :, 0], own[..., 3] - middles[None, :, 1]], axis=-1)  # fmt: skip
    sides = ops.maximum(sides, 1e-6)
    shares = [ops.minimum(sides[..., one], sides[..., one + 2]) / ops.maximum(sides[..., one], sides[..., one + 2])
              for one in (0, 1)]  # fmt: skip
    centerness = positive * ops.sqrt(shares[0] * shares[1] * ops.cast((across > 0) & (down > 0), "float32"))
    classes = ops.one_hot(ops.cast(ops.maximum(labels, 0), "int32"), num_classes) * positive[..., None]
    return Targets(classes, own, centerness, positive)


def iou(boxes: Any, others: Any) -> Any:
    """Return the intersection over union of pairs of boxes (…, 4), from 0 to 1."""
    shared, union = _shared_and_union(boxes, others)
    return shared / union


def generalised_iou(boxes: Any, others: Any) -> Any:
    """Return the generalised intersection over union of pairs of boxes (…, 4), from -1 to 1.

    Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630: unlike the plain one, it says how far apart boxes are
    that do not meet.
    """
    ops = keras.ops
    outer = ops.maximum(boxes[..., 2:], others[..., 2:]) - ops.minimum(boxes[..., :2], others[..., :2])
    shared, union = _shared_and_union(boxes, others)
    around = ops.maximum(ops.prod(outer, axis=-1), 1e-6)
    return shared / union - (around - union) / around


def _shared_and_union(boxes: Any, others: Any) -> tuple[Any, Any]:
    ops = keras.ops
    inner = ops.minimum(boxes[..., 2:], others[..., 2:]) - ops.maximum(boxes[..., :2], others[..., :2])
    shared = ops.prod(ops.maximum(inner, 0.0), axis=-1)
    areas = [ops.prod(ops.maximum(each[..., 2:] - each[..., :2], 0.0), axis=-1) for each in (boxes, others)]
    return shared, ops.maximum(areas[0] + areas[1] - shared, 1e-6)
