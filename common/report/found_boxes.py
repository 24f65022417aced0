"""The report of a run that finds things in photos, and the answers of its model for files."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from common import errors, files, words
from common.data import box_annotations, boxes, sample_list
from common.evaluation import detection
from common.media import medium as media
from common.models import detector
from common.report import answers, box_pictures, figures
from common.report import page as pages
from common.runs import finished_run, saved_model

FILES = ("templates/answer_boxes.html", "templates/found_boxes.html")
TRAINING_PHOTOS = 6
TEST_PHOTOS = 12  # those with the most mistakes, and as many evenly spaced ones
METRICS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
LISTED_FILES = 50
ANSWER_SIDE = 1200  # pixels on the longer side of an uploaded photo with its boxes
SPLITS = ("train", "validation", "test")


def page(run: finished_run.FinishedRun, saved: saved_model.SavedModel | None, parts: list[dict[str, Any]]) -> str:
    """Return the page of a run that finds boxes as HTML, and write its figures.

    Args:
        run: the run to report.
        saved: not used.
        parts: further sections, each with `name`, `template` and `contents`, as for `classes.page`.
    """
    results = run.results
    targets = boxes.Boxes(**{
        name: results["data"][name] for name in ("box_classes", "aspect", "threshold", "overlap")
    })  # fmt: skip
    samples = sample_list.read_csv(run.directory / "split.csv")
    train, test = ([sample for sample in samples if sample.split == side] for side in ("train", "test"))
    judged = judged_photos(run.directory, test, targets)
    worst = sorted(judged, key=lambda each: -each["mistakes"])[: TEST_PHOTOS // 2]
    others = words.spread([each for each in judged if each not in worst], TEST_PHOTOS // 2)
    return pages.template("found_boxes.html").render(
        run=run, results=results, data=results["data"], test=results["test"], cost=results["cost"], unit=run.unit,
        metrics=METRICS, splits=SPLITS, classes=list(targets.box_classes), listed_files=LISTED_FILES,
        groups=any(sample.group for sample in test),
        samples=_sheet(run, "training_boxes", _annotated(train)),
        worst=_sheet(run, "most_mistakes", [(each["path"], each["marks"]) for each in worst]),
        others=_sheet(run, "test_boxes", [(each["path"], each["marks"]) for each in others]),
        curves=pages.figure(run, "precision_recall", "Precision against recall of each class", box_pictures.curves,
                            results["test"]["curves"]),
        losses=_losses(run), parts=parts, **{part["name"]: part for part in parts},
    )  # fmt: skip


def draw_annotated(directory: pathlib.Path, splits: Any) -> None:
    """Write figures/training_boxes.png before the training: mistakes in the boxes are seen best in a picture."""
    (directory / "figures").mkdir(exist_ok=True)
    shown = _drawn(splits.medium, _annotated(splits.train))
    if shown:
        pages.write_figure(types.SimpleNamespace(directory=directory), "training_boxes", _photo_sheet(shown))
        print(f"boxes: {directory / 'figures' / 'training_boxes.png'} shows some training photos", file=sys.stderr)


def _annotated(samples: Sequence[sample_list.Sample]) -> list[tuple[str, list[box_pictures.Mark]]]:
    return [
        (sample.path, [box_pictures.Mark(box.edges, box.label, "true") for box in box_annotations.boxes_of(sample)])
        for sample in words.spread(samples, TRAINING_PHOTOS)
    ]


def _losses(run: finished_run.FinishedRun) -> pages.Figure | None:
    if not run.history:
        return None
    alt = f"Loss on training and validation photos in {len(run.history)} epochs"
    return pages.figure(run, "loss", alt, figures.learning_curve, run.history, "loss", None)


def judged_photos(
    directory: pathlib.Path, samples: Sequence[sample_list.Sample], targets: boxes.Boxes
) -> list[dict[str, Any]]:
    """Return for each photo the boxes to draw, right, missed and false, and the number of mistakes."""
    found: dict[int, list[list[float]]] = {}
    for row in json.loads((directory / detection.FOUND).read_text(encoding="utf-8")):
        left, top, across, down = row["bbox"]
        found.setdefault(row["image_id"], []).append(
            [left, top, left + across, top + down, row["score"], row["category_id"] - 1]
        )
    judged = []
    for number, sample in enumerate(samples, start=1):
        rows = np.array(found.get(number, []), float).reshape(-1, 6)
        rows, true = rows[rows[:, 4] >= targets.threshold], targets.truth(sample)
        pairs = detection.matched(rows, true)
        right, seen = {one for one, _ in pairs}, {other for _, other in pairs}
        marks = [
            box_pictures.Mark(tuple(row[:4]), f"{targets.box_classes[int(row[5])]} {row[4]:.2f}",
                              "right" if place in right else "false")
            for place, row in enumerate(rows.tolist())
        ] + [
            box_pictures.Mark(tuple(row[:4]), targets.box_classes[int(row[4])], "missed")
            for place, row in enumerate(true.tolist()) if place not in seen
        ]  # fmt: skip
        mistakes = len(rows) - len(right) + len(true) - len(seen)
        judged.append({"path": sample.path, "marks": marks, "mistakes": mistakes})
    return judged


def _sheet(
    run: finished_run.FinishedRun, name: str, rows: Sequence[tuple[str, list[box_pictures.Mark]]]
) -> list[dict[str, str]]:
    """Return pictures as sources with file names, and write the sheet figures/<name>.png; moved photos are left out."""
    shown = _drawn(run.medium, rows)
    if shown:
        pages.write_figure(run, name, _photo_sheet(shown))
    return [{"source": pages.jpeg_uri(picture), "name": os.path.basename(path)} for path, picture in shown]


def _drawn(
    medium: media.Medium, rows: Sequence[tuple[str, list[box_pictures.Mark]]]
) -> list[tuple[str, np.ndarray]]:  # fmt: skip
    """Return the photos that can be read, with their boxes."""
    shown = []
    for path, marks in rows:
        if os.path.exists(path):
            with contextlib.suppress(errors.UnusableFile):
                shown.append((path, box_pictures.drawn(medium.thumbnail(path), marks)))
    return shown


def _photo_sheet(shown: Sequence[tuple[str, np.ndarray]]) -> figures.Png:
    return figures.photo_sheet([picture for _, picture in shown], [os.path.basename(path) for path, _ in shown], 3)


def summary(result: finished_run.Result) -> str:
    """Return the table printed at the end of a run."""
    found, cost = result.results, result.results["cost"]
    lines = [f"{'':<26}{'validation':>12}{'test':>10}   95 % interval"]
    for name, title in METRICS.items():
        values = [words.decimal(found[side][name]) for side in ("validation", "test")]
        limits = found["test"][f"{name}_interval"]
        interval = f"{limits[0]:.3f} – {limits[1]:.3f}" if limits else "too few for an interval"
        lines.append(f"{title:<26}{values[0]:>12}{values[1]:>10}   {interval}")
    lines.append(f"{'AP50 of the usual boxes':<26}{'':>12}{words.decimal(found['usual_boxes']['ap50']):>10}")
    for name in METRICS if "untrained" in found else ():
        before = [words.decimal(found["untrained"][side][name]) for side in ("validation", "test")]
        lines.append(f"{f'{METRICS[name]} before the training':<26}{before[0]:>12}{before[1]:>10}")
    lines.append(f"{'class':<26}{'boxes':>12}{'AP50':>10}{'found':>8}{'right':>8}   at a score of "
                 f"{found['data']['threshold']:.2f} or more")  # fmt: skip
    for name, row in found["test"]["per_class"].items():
        lines.append(f"{figures.short(name):<26}{row['true']:>12}{words.decimal(row['ap50']):>10}{row['found']:>8}"
                     f"{row['right']:>8}")  # fmt: skip
    lines.append(
        f"a photo's number of boxes is off by {found['test']['counting_error']:.2f} on average; "
        f"{words.plural(cost['epochs'], 'epoch')}, {cost['seconds']:.0f} s, "
        f"{cost['peak_memory_bytes'] / 1e6:,.0f} MB of memory"
    )
    return "\n".join([*lines, f"report: {result.directory / 'report.html'}"])


# Answers for files -------------------------------------------------------------------------------------------------


def found_in(reading: saved_model.Reading, path: pathlib.Path, least: float | None = None) -> tuple[np.ndarray, tuple]:
    """Return the boxes that a run's model finds in a photo, (n, 6) in pixels of it, and its width and height.

    Args:
        reading: the run's model.
        path: the photo.
        least: the least score; default: the run's threshold.

    Raises:
        UnusableFile: the file cannot be read.
    """
    targets: Any = reading.targets
    pixels = reading.medium.read(path, media.PLAIN)
    size = pixels.shape[1], pixels.shape[0]
    output = reading.model.predict_on_batch(reading.resized(pixels)[None])
    (rows,) = detector.suppressed(np.asarray(output), overlap=targets.overlap)
    return targets.in_photo(rows, size, least), size


def in_both(targets: boxes.Boxes, first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of the boxes of two answers to one photo that have their like in the other; 1 without boxes.

    Args:
        targets: of the run.
        first, second: (places, 4 + classes) as `detector.decoded` gives.
    """
    one, other = (targets.in_photo(rows, (1, 1)) for rows in detector.suppressed(
        np.stack([first, second]), overlap=targets.overlap
    ))  # fmt: skip
    count = len(one) + len(other)
    return 2 * len(detection.matched(one, np.delete(other, 4, axis=1))) / count if count else 1.0


class Answers(answers.Answerer):
    """The answers of a run that finds boxes: those that `predict` prints, drawn on the photo and as a table."""

    def __init__(self, reading: saved_model.Reading) -> None:
        super().__init__(reading, reading.targets.box_classes)  # type: ignore[attr-defined]
        # Called once, so that the first answer is as fast as the others.
        reading.model.predict_on_batch(np.full((1, reading.resize.height, reading.resize.width, 3), 128, "float32"))

    def _answer(self, path: pathlib.Path, explain: int | None, charset: str) -> str:
        told = self._data(path, charset)
        marks = []
        for box in told["boxes"]:
            edges = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
            marks.append(box_pictures.Mark(edges, f"{box['class']} {box['score']:.2f}", "right"))
        picture = box_pictures.drawn(self.medium.read(path, media.PLAIN), marks, ANSWER_SIDE)
        counts = collections.Counter(box["class"] for box in told["boxes"])
        return pages.template("answer_boxes.html").render(told, picture=pages.jpeg_uri(picture), counts=counts)

    def _data(self, path: pathlib.Path, charset: str) -> dict:
        """Return the boxes in pixels of the upright photo, the surest first, its size, and the threshold."""
        found, (width, height) = found_in(self.reading, path)
        boxes_found = [
            {"class": self.class_names[int(label)], "score": score, "x": left, "y": top, "width": right - left,
             "height": bottom - top}
            for left, top, right, bottom, score, label in found.tolist()
        ]  # fmt: skip
        return {
            "boxes": boxes_found,
            "photo": {"width": width, "height": height},
            "threshold": self.reading.targets.threshold,
        }


def answer_files(
    reading: saved_model.Reading, paths: Sequence[pathlib.Path], csv: pathlib.Path | None, coco: pathlib.Path | None,
    draw: pathlib.Path | None,
) -> int:  # fmt: skip
    """Print `path  class  score  left  top  right  bottom` for each box found, and write it as asked.

    Args:
        reading: the run's model.
        paths: the photos.
        csv: a file for the lines with a header, or None.
        coco: a file for COCO's JSON, with the photos, the classes and the boxes, or None.
        draw: a folder for the photos with their boxes drawn, or None.

    Returns:
        The exit code: 0, or 2 if a file was refused.
    """
    targets: Any = reading.targets
    rows: list[list[Any]] = []
    images: list[dict[str, Any]] = []
    refused, names = 0, set[str]()
    for path in tqdm.tqdm(paths, desc="predicting", unit="photo", disable=len(paths) < 20 or None):
        try:
            found, size = found_in(reading, path)
        except errors.UnusableFile as error:
            print(f"{words.printable(str(path))}: {words.without_advice(error)}", file=sys.stderr)
            refused += 1
            continue
        images.append({"id": len(images) + 1, "file_name": str(path), "width": size[0], "height": size[1]})
        for *edges, score, label in found.tolist():
            rows.append([len(images), str(path), targets.box_classes[int(label)], score, edges])
        if draw:
            marks = [box_pictures.Mark(tuple(edges), f"{targets.box_classes[int(label)]} {score:.2f}", "right")
                     for *edges, score, label in found.tolist()]  # fmt: skip
            picture = box_pictures.drawn(reading.medium.read(path, media.PLAIN), marks, None)
            name = path.stem if path.stem not in names else f"{path.stem}_{len(images)}"
            names.add(name)
            draw.mkdir(parents=True, exist_ok=True)
            with files.replacing(draw / f"{name}.png") as temporary:
                temporary.write_bytes(box_pictures.png(picture))
    lines = [[path, label, f"{score:.4f}", *(f"{edge:.1f}" for edge in edges)] for _, path, label, score, edges in rows]
    if csv:
        files.write_csv(csv, ["path", "class", "score", "left", "top", "right", "bottom"], lines)
    if coco:
        files.write_json(coco, {
            "images": images,
            "categories": [{"id": number, "name": name} for number, name in enumerate(targets.box_classes, start=1)],
            "annotations": [
                {"id": number, "image_id": image, "category_id": targets.box_classes.index(label) + 1, "iscrowd": 0,
                 "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
                 "area": round((right - left) * (bottom - top), 2), "score": round(score, 4)}
                for number, (image, _, label, score, (left, top, right, bottom)) in enumerate(rows, start=1)
            ],
        })  # fmt: skip
    for path, *told in lines:
        print("\t".join([words.printable(path), *told]))
    counts = f"{words.plural(len(images), 'photo')}, {len(rows)} found"
    print(f"{counts} with a score of {targets.threshold:.2f} or more", file=sys.stderr)
    return 2 if refused else 0
