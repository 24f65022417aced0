"""The report of a finished run: one page that opens without a network, and its figures as PNG files."""

import collections
import os
import pathlib

import numpy as np

from common import clinic_report, clip_report, evaluation, figures, files, page

SAMPLE_PHOTOS = 24
WRONG_PHOTOS = 12
EXPLAINED_PHOTOS = 6  # with Grad-CAM, of the right and of the wrong answers each
MIX_UPS = 8
LISTED_FILES = 50
SPLITS = ("train", "validation", "test")
CURVES = ("loss", "accuracy", "balanced_accuracy")


def write(run_directory, explain=None):
    """Write `figures/*.png` and `report.html` into a run directory, from nothing but the files in it.

    Args:
        run_directory: holds config.json, results.json and predictions.csv, and as far as the run wrote them
            history.csv, split.csv and skipped.csv. The photos are read from the paths in these files. Where
            results.json has a section `clinic`, the page has what a clinic asks for, and a model card is written too;
            where it has a section `clips`, the page says whether time is used.
        explain: takes a list of paths and a list of class indices, and returns as many uint8 pictures (height, width,
            3) and heatmaps (height, width) in 0..1, as `grad_cam.for_photos` makes it; for clips
            `clip_evaluation.for_clips`. Without it the page has no section on what the network looked at.

    Returns:
        The path of report.html.

    Raises:
        OSError, KeyError, ValueError: a file of the run is missing or not as the recipes write it.
    """
    run = page.Run.read(pathlib.Path(run_directory))
    (run.directory / "figures").mkdir(exist_ok=True)
    has_clips = "clips" in run.results
    html = page.template("report.html").render(
        run=run,
        results=run.results,
        test=run.results["test"],
        headline=_headline(run),
        groups=_has_groups(run),
        samples=_sample_photos(run),
        history=_trained(run),
        curves=_learning_curves(run),
        best_epoch=_kept_epoch(run),
        stages=_stage_curve(run),
        confusion=_confusion_matrix(run),
        mix_ups=_mix_ups(run),
        reliability=None if "clinic" in run.results else _reliability_diagram(run),
        wrong=_wrong_photos(run),
        num_wrong=sum(not row["correct"] for row in run.predictions),
        explained=_explained_photos(run, explain) if explain and not has_clips else None,
        clinic=clinic_report.sections(run, explain) if "clinic" in run.results else None,
        clips=clip_report.sections(run, explain) if has_clips else None,
        unit=_unit(run),
        few_units=evaluation.FEW_UNITS,
        listed_files=LISTED_FILES,
        splits=SPLITS,
    )
    path = run.directory / "report.html"
    with files.replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    if "clinic" in run.results:
        clinic_report.write_model_card(run.directory)
    return path


def _unit(run):
    return "clip" if "clips" in run.results else "photo"


# The sections -------------------------------------------------------------------------------------


def _headline(run):
    """The number at the top, its interval, and what always guessing the largest training class would give.

    That is the accuracy; with clinical results, where one class is most of the photos, the balanced accuracy.
    """
    test = run.results["test"]
    supports = {name: row["support"] for name, row in test["per_class"].items()}
    counts = run.results["data"].get("per_split", {}).get("train", supports)
    largest = max(run.class_names, key=lambda name: counts.get(name, 0))
    metric = "balanced_accuracy" if "clinic" in run.results else "accuracy"
    guessing = {
        "accuracy": supports[largest] / max(1, sum(supports.values())),
        "balanced_accuracy": 1 / max(1, sum(support > 0 for support in supports.values())),
    }
    return {
        "metric": metric,
        "value": test[metric],
        "interval": test[f"{metric}_interval"],
        "guessing": guessing[metric],
        "guessing_accuracy": guessing["accuracy"],
        "largest_class": largest,
        "right": sum(row["correct"] for row in run.predictions),
        "total": len(run.predictions),
    }


def _has_groups(run):
    return any(row.get("group") and row["split"] == "test" for row in run.split)


def _sample_photos(run):
    """Training photos, about as many of each class, spread evenly over its list: the same every time."""
    by_class = collections.defaultdict(list)
    for row in run.split:
        if row["split"] == "train":
            by_class[row["label"]].append(row)
    names = page.spread([name for name in run.class_names if by_class[name]], SAMPLE_PHOTOS)
    chosen = []
    for index, name in enumerate(names):
        each, rest = divmod(SAMPLE_PHOTOS, len(names))
        chosen += page.spread(by_class[name], each + (index < rest))
    return page.photos(run, f"training_{_unit(run)}s", chosen)


def _trained(run):
    """The epochs of this run's model; those of models that were only compared with it are left out."""
    stages = [row["stage"] for row in run.results.get("stages", [])]
    return [row for row in run.history if not stages or row.get("stage", stages[0]) in stages]


def _learning_curves(run):
    history, best = _trained(run), _kept_epoch(run)
    metrics = [name for name in CURVES if any(name in row or f"val_{name}" in row for row in history)]
    told = f"on training and validation data in {len(history)} epochs"
    return [
        page.figure(run, metric, f"{page.words(metric).capitalize()} {told}",
                    figures.learning_curve, history, metric, best)
        for metric in metrics
    ]  # fmt: skip


def _stage_curve(run):
    stages = run.results.get("stages", [])
    if len(stages) < 2:
        return None
    kept = run.results.get("kept_stage")
    alt = (
        f"Validation loss, validation accuracy and seconds of {len(stages)} training stages; the table has the numbers"
    )
    return page.figure(run, "stages", alt, figures.stage_curve, stages, kept)


def _kept_epoch(run):
    """The epoch to mark as the best; None where stages decided, and not the lowest loss, what was kept."""
    return None if "kept_stage" in run.results else _best_epoch(_trained(run))


def _best_epoch(history):
    """The epoch with the lowest validation loss, counted from 0; None where there is no validation loss."""
    losses = np.array([row.get("val_loss", np.nan) for row in history])
    return int(np.nanargmin(losses)) if np.isfinite(losses).any() else None


def _confusion_matrix(run):
    test = run.results["test"]
    alt = f"Confusion matrix of {len(run.class_names)} classes; the most frequent mix-ups are listed below"
    matrix = test["confusion_matrix"]
    return page.figure(run, "confusion_matrix", alt, figures.confusion_matrix, matrix, run.class_names)


def _mix_ups(run):
    """The most frequent wrong answers: true class, predicted class, count and share of the true class."""
    matrix = np.array(run.results["test"]["confusion_matrix"])
    totals = matrix.sum(axis=1)
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MIX_UPS]
    return [
        {"true": run.class_names[row], "predicted": run.class_names[column], "count": int(wrong[row, column]),
         "share": wrong[row, column] / totals[row]}
        for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[row, column]
    ]  # fmt: skip


def _reliability_diagram(run):
    bins = evaluation.reliability(*run.probabilities_and_labels())
    alt = "Accuracy against confidence, in bins of confidence"
    return page.figure(run, "reliability", alt, figures.reliability_diagram, bins)


def _wrong_photos(run):
    wrong = [row for row in run.predictions if not row["correct"]]
    return page.photos(run, f"wrong_{_unit(run)}s", sorted(wrong, key=_minus_confidence)[:WRONG_PHOTOS])


def _minus_confidence(row):
    return -row["confidence"]


def _explained_photos(run, heatmap_function):
    """Photos with the heat for the predicted class, as {"wrong": [...], "right": [...]}."""
    rows = _rows_to_explain(run)
    photos = page.explained_photos(run, "grad_cam", rows, [row["predicted"] for row in rows], heatmap_function)
    return {
        "wrong": [photo for photo, row in zip(photos, rows, strict=True) if not row["correct"]],
        "right": [photo for photo, row in zip(photos, rows, strict=True) if row["correct"]],
    }


def _rows_to_explain(run):
    """The surest wrong answers, and the surest right one of classes spread over the list."""
    there = sorted((row for row in run.predictions if os.path.isfile(row["path"])), key=_minus_confidence)
    wrong = [row for row in there if not row["correct"]]
    surest = {row["label"]: row for row in reversed(there) if row["correct"]}
    right = [surest[name] for name in run.class_names if name in surest]
    return wrong[:EXPLAINED_PHOTOS] + page.spread(right, EXPLAINED_PHOTOS)
