"""The evaluation of detectors by pycocotools: average precision as COCO defines it, and what a threshold finds.

COCO's average precision (AP) is the mean over classes and over overlaps from 0.50 to 0.95 of the area under the curve
of precision and recall (https://cocodataset.org/#detection-eval). AP50 and AP75 are those at one overlap.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize

from common import errors, files
from common.data import box_annotations, sample_list
from common.data import boxes as box_targets
from common.evaluation import intervals

HEADLINE = "ap50"  # the metric that a report begins with
RESAMPLES = 200  # of photos; each takes some hundredths of a second
MOST = 100  # boxes of a photo that count, as in COCO
SIZES = ("all", "small", "medium", "large")  # up to 32², up to 96² pixels of the photo, and larger, as in COCO
FOUND, TRUTH = "found.json", "truth.json"  # of the test photos in a run directory, for any tool that reads COCO
RIGHT = 0.5  # the overlap from which on a found box is right, for the threshold and the pictures


def check_installed() -> None:
    """Refuse a run that could not be evaluated at its end.

    Raises:
        UserError: pycocotools is not installed.
    """
    if importlib.util.find_spec("pycocotools") is None:
        raise errors.UserError("average precision needs an extra package: pip install 'keras-recipes[detection]'")


def write_found(
    directory: pathlib.Path, predictions: np.ndarray, samples: Sequence[sample_list.Sample], targets: box_targets.Boxes
) -> None:
    """Write found.json (COCO's results) and truth.json (COCO's data) of the test photos into a run directory."""
    files.write_json(directory / TRUTH, coco_truth(samples, targets))
    files.write_json(directory / FOUND, coco_found(predictions, samples, targets))


def evaluate(
    predictions: np.ndarray, splits: Any, side: str, seed: int = 0, groups: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the scores of found boxes on one side.

    Args:
        predictions: (n, m, 6) boxes of each item, as `detector.suppressed` returns them.
        splits: the items; their targets are `boxes.Boxes`, with the threshold.
        side: the side of the items.
        seed: of the bootstrap over photos, or over groups of photos.
        groups: the group of each item; default: those of the split.

    Returns:
        `ap`, `ap50` and `ap75`, each with an `_interval`; `by_size` and `per_class` with the same keys; `curves`, the
        precision at 101 recalls for each class at an overlap of 0.5; and at the threshold `precision`, `recall`, `f1`
        and `counting_error`, the mean difference between the true and the found number of boxes of a photo.
    """
    samples, targets = getattr(splits, side), splits.targets
    evaluated = coco_evaluation(predictions, samples, targets)
    precision, recall = evaluated.eval["precision"], evaluated.eval["recall"]
    units = intervals.group_numbers(groups if groups is not None else splits.groups(side), len(samples))
    scores: dict[str, Any] = {"n": len(samples), **_averages(precision[:, :, :, 0])}
    scores |= _intervals(evaluated, units, seed)
    scores["by_size"] = {name: _averages(precision[:, :, :, place]) for place, name in enumerate(SIZES) if place}
    scores["per_class"] = {
        name: _averages(precision[:, :, [number], 0]) | {"recall50": _known(recall[0, number, 0, -1])}
        for number, name in enumerate(targets.box_classes)
    }
    scores["curves"] = {name: [round(float(value), 4) for value in precision[0, :, number, 0, -1]]
                        for number, name in enumerate(targets.box_classes)}  # fmt: skip
    scores |= at_threshold(predictions, samples, targets)
    for name in targets.box_classes:
        alone = at_threshold(predictions, samples, targets, name)
        scores["per_class"][name] |= {key: alone[key] for key in ("true", "found", "right", "precision", "recall")}
    return scores


def coco_evaluation(predictions: np.ndarray, samples: Sequence[sample_list.Sample], targets: box_targets.Boxes) -> Any:
    """Return the `COCOeval` of found boxes, evaluated and accumulated."""
    return evaluated(coco_truth(samples, targets), coco_found(predictions, samples, targets))


def evaluated(true: dict[str, Any], listed: list[dict[str, Any]], at_half: bool = False) -> Any:
    """Return the `COCOeval` of found boxes, evaluated and accumulated; it prints nothing.

    Args:
        true, listed: the content of truth.json and of found.json.
        at_half: at an overlap of one half and for boxes of all sizes only, which is ten times as fast.
    """
    from pycocotools import coco, cocoeval  # an optional package

    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = true
        truth.createIndex()
        rows = [row | {"id": number} for number, row in enumerate(listed, start=1)]
        found = coco.COCO()
        found.dataset = truth.dataset | {"annotations": [
            row | {"area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0} for row in rows
        ]}  # fmt: skip
        found.createIndex()
        evaluation = cocoeval.COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = [1, 10, MOST]
        if at_half:
            params = evaluation.params
            params.iouThrs, params.areaRng, params.areaRngLbl = np.array([RIGHT]), params.areaRng[:1], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def coco_truth(samples: Sequence[sample_list.Sample], targets: box_targets.Boxes) -> dict[str, Any]:
    """Return the true boxes as COCO's data: photos and classes are numbered from 1."""
    listed = [row for number, sample in enumerate(samples, start=1) for row in _rows(number, targets.truth(sample))]
    return {
        "info": {}, "images": [
            {"id": number, "file_name": sample.path, "width": size[0], "height": size[1]}
            for number, sample in enumerate(samples, start=1) for size in [box_annotations.size_of(sample)]
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(targets.box_classes, start=1)],
        "annotations": [row | {"id": number, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}
                        for number, row in enumerate(listed, start=1)],
    }  # fmt: skip


def coco_found(
    predictions: np.ndarray, samples: Sequence[sample_list.Sample], targets: box_targets.Boxes, least: float = 0.0
) -> list[dict[str, Any]]:
    """Return found boxes as COCO's list of results, photos numbered from 1."""
    found = []
    for number, (sample, rows) in enumerate(zip(samples, predictions, strict=True), start=1):
        inside = targets.in_photo(rows, box_annotations.size_of(sample), least)
        scores = inside[:, 4]
        for row, score in zip(_rows(number, inside[:, [0, 1, 2, 3, 5]]), scores, strict=True):
            found.append(row | {"score": round(float(score), 6)})
    return found


def _rows(photo: int, rows: np.ndarray) -> list[dict[str, Any]]:
    """Return boxes as COCO writes them, rounded as in the files of a run, so that these give the same scores."""
    return [
        {"image_id": photo, "category_id": int(label) + 1, "bbox": [
            round(value, 2) for value in (left, top, right - left, bottom - top)
        ]}
        for left, top, right, bottom, label in rows.tolist()
    ]  # fmt: skip


def _averages(precision: np.ndarray) -> dict[str, float | None]:
    """Return AP, AP50 and AP75 from precision (overlaps, recalls, classes, numbers of boxes); -1 is not defined."""
    part = precision[..., -1]
    rows = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
    return {name: _mean(part[chosen]) for name, chosen in rows.items()}


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _known(value: float) -> float | None:
    return None if value < 0 else float(value)


def _intervals(evaluated: Any, units: np.ndarray, seed: int) -> dict[str, list[float] | None]:
    """Return the intervals by a bootstrap over units of photos; None for fewer than `intervals.FEW_UNITS` units."""
    count = units.max() + 1 if len(units) else 0
    names = ("ap", "ap50", "ap75")
    if count < intervals.FEW_UNITS:
        return dict.fromkeys(f"{name}_interval" for name in names)
    members = [np.flatnonzero(units == unit) for unit in range(count)]
    random, draws = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[unit] for unit in random.integers(count, size=count)])
        draws.append(_averages(resampled(evaluated, drawn)))
    columns = {name: np.array([draw[name] for draw in draws], float) for name in names}  # None becomes NaN
    return {f"{name}_interval": intervals.limits(values, int(count)) for name, values in columns.items()}


def resampled(evaluated: Any, numbers: np.ndarray) -> np.ndarray:
    """Return COCO's precision (overlaps, recalls, classes, 1) for photos by their places, each as often as named."""
    one = copy.copy(evaluated)
    photos, areas = len(evaluated._paramsEval.imgIds), len(evaluated._paramsEval.areaRng)
    classes = len(evaluated._paramsEval.catIds)
    starts = [label * areas * photos for label in range(classes)]
    one.evalImgs = [evaluated.evalImgs[start + number] for start in starts for number in numbers]
    params = copy.copy(evaluated._paramsEval)
    params.imgIds, params.areaRng, params.areaRngLbl = list(range(len(numbers))), params.areaRng[:1], ["all"]
    params.maxDets = [MOST]
    one.params = one._paramsEval = params
    with contextlib.redirect_stdout(io.StringIO()):
        one.accumulate(params)
    return one.eval["precision"][:, :, :, 0]


def ap50(evaluated: Any, numbers: np.ndarray) -> float | None:
    """Return the AP50 of photos by their places, each as often as named; None if they have no boxes."""
    return _averages(resampled(evaluated, numbers))["ap50"]


# At a threshold --------------------------------------------------------------------------------------------------


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each pair of boxes (n, 4) and (m, 4), (n, m)."""
    inner = np.minimum(boxes[:, None, 2:4], others[None, :, 2:4]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = np.prod(np.clip(inner, 0, None), axis=-1)
    areas = [np.prod(each[:, 2:4] - each[:, :2], axis=-1) for each in (boxes, others)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12)


def matched(found: np.ndarray, true: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs (place in found, place in true) of boxes of one class that overlap by half, each box once.

    Args:
        found: (n, 6) left, top, right, bottom, score, class.
        true: (m, 5) left, top, right, bottom, class.
    """
    if not len(found) or not len(true):
        return []
    gain = overlaps(found, true) * (found[:, 5][:, None] == true[:, 4][None])
    gain = np.where(gain >= RIGHT, gain, 0.0)
    pairs = zip(*optimize.linear_sum_assignment(-gain), strict=True)
    return [(int(one), int(other)) for one, other in pairs if gain[one, other] > 0]


def at_threshold(
    predictions: np.ndarray, samples: Sequence[sample_list.Sample], targets: box_targets.Boxes, only: str = ""
) -> dict[str, Any]:
    """Return what the boxes above the threshold are worth, of all classes or of one."""
    true_count = found_count = right = 0
    errors = []
    for sample, rows in zip(samples, predictions, strict=True):
        found, true = targets.in_photo(rows, box_annotations.size_of(sample)), targets.truth(sample)
        if only:
            number = targets.box_classes.index(only)
            found, true = found[found[:, 5] == number], true[true[:, 4] == number]
        right += len(matched(found, true))
        true_count, found_count = true_count + len(true), found_count + len(found)
        errors.append(abs(len(found) - len(true)))
    precision = right / found_count if found_count else None
    recall = right / true_count if true_count else None
    return {
        "true": true_count, "found": found_count, "right": right, "precision": precision, "recall": recall,
        "f1": 2 * right / (found_count + true_count) if found_count + true_count else None,
        "counting_error": float(np.mean(errors)) if errors else None,
    }  # fmt: skip


def best_threshold(predictions: np.ndarray, samples: Sequence[sample_list.Sample], targets: box_targets.Boxes) -> float:
    """Return the threshold of the highest F1 score on these photos, the middle one of equally good ones.

    Pairs are those of the greedy matching by score, as in COCO: each found box takes the true box of its class that it
    overlaps most and that no surer one has.
    """
    scores, hits, total = [], [], 0
    for sample, rows in zip(samples, predictions, strict=True):
        found, true = targets.in_photo(rows, box_annotations.size_of(sample), 0.0), targets.truth(sample)
        total += len(true)
        gain = overlaps(found, true) * (found[:, 5][:, None] == true[:, 4][None]) if len(true) else None
        for number in range(len(found)):  # the surest first
            scores.append(found[number, 4])
            best = int(gain[number].argmax()) if gain is not None else 0
            hit = gain is not None and gain[number, best] >= RIGHT
            if hit and gain is not None:
                gain[:, best] = 0.0
            hits.append(hit)
    if not any(hits):
        return targets.threshold
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.cumsum(np.array(hits)[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + total)
    best = int(f1.argmax())
    below = order[best + 1] if best + 1 < len(order) else None
    middle = (scores[order[best]] + (scores[below] if below is not None else scores[order[best]])) / 2
    return math.floor(float(middle) * 1e6) / 1e6  # rounded down, so that the last right box stays above it


# A baseline ------------------------------------------------------------------------------------------------------


def usual_boxes(splits: Any, side: str) -> np.ndarray:
    """Return boxes without a look at the photos, as `predictions`: a grid of each class's usual box.

    The sides are the medians of the training boxes, and the score is how many boxes of the class a photo has on
    average. A network has to beat it.
    """
    targets, photos = splits.targets, getattr(splits, side)
    rows = np.concatenate([targets.of(sample) for sample in splits.train])
    found = []
    for number in range(len(targets.box_classes)):
        own = rows[rows[:, 0] == number]
        if not len(own):
            continue
        sides = np.median(own[:, 3:] - own[:, 1:3], axis=0)
        score = len(own) / len(splits.train)
        steps = [np.arange(side / 2, 1, side) for side in sides]
        middles = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 2)
        found.append(np.concatenate([middles - sides / 2, middles + sides / 2,
                                     np.tile([score, number], (len(middles), 1))], axis=1))  # fmt: skip
    every = np.concatenate(found)
    every[:, 4] /= 2 * math.ceil(every[:, 4].max())
    every = every[np.argsort(-every[:, 4], kind="stable")][:MOST]
    return np.repeat(every[None], len(photos), axis=0)
