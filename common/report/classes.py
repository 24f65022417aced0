"""The report of a classification run: one page that opens without a network, and its figures."""

from __future__ import annotations

import collections
import os
import textwrap
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import words
from common.data import dataset
from common.evaluation import classification, grad_cam, shortcuts, symptoms
from common.report import figures, mix_ups
from common.report import page as pages
from common.runs import finished_run, saved_model

FILES = ("templates/classes.html",)
SAMPLE_PHOTOS = 24
WRONG_PHOTOS = 12
EXPLAINED_PHOTOS = 6  # right and wrong answers shown with Grad-CAM, 6 of each
ALIKE_PAIRS = 12
LISTED_FILES = 50
TERMINAL = 100  # characters in a line of a long sentence
SPLITS = ("train", "validation", "test")
TRIVIAL = ("motion grid", "middle frame")  # baselines that are no network for clips
CURVES = ("loss", "accuracy", "balanced_accuracy")


def page(run: finished_run.FinishedRun, saved: saved_model.SavedModel | None, parts: list[dict[str, Any]]) -> str:
    """Return the page of a classification run as HTML, and write its figures.

    Args:
        run: the run to report.
        saved: the run's model; None leaves out the pictures that explain answers.
        parts: what further sections return, in their order. Each is a dict with the `template` that shows it and its
            entries in the `contents` (anchor, title). It also has the anchors of the page's sections that it `covers`.
            Optional keys are its `name` in templates, the template `top` above the result, the `headline` metric,
            what is `counted` as independent, and whether the split `leaks`.
    """
    covered = {anchor for part in parts for anchor in part["covers"]}
    groups = _has_groups(run)
    units = [
        f"groups of {run.unit}s" if groups else f"{run.unit}s",
        *(part["counted"] for part in parts if "counted" in part),
    ]
    explains = saved and saved.medium.explained_by == "classes" and "explained" not in covered
    metrics = ["accuracy", *(part["headline"] for part in parts if "headline" in part)]
    return pages.template("classes.html").render(
        run=run,
        results=run.results,
        test=run.results["test"],
        parts=parts,
        **{part["name"]: part for part in parts},
        covered=covered,
        headline=_headline(run, metrics[-1]),
        as_good=(as_good := baselines_as_good(run.results)),
        trivial=[name for name in as_good if name in TRIVIAL],
        leaks=any(part.get("leaks") for part in parts),
        groups=groups,
        shortcuts=shortcuts.shown(run.results, run.unit),
        counted=units[-1],
        samples=_sample_photos(run),
        alike=_alike_photos(run),
        history=_trained(run.results, run.history),
        suffers=symptoms_of(run.results, run.history, run.unit),
        curves=_learning_curves(run),
        best_epoch=_kept_epoch(run),
        stages=_stage_curve(run),
        **mix_ups.confusions(run),
        reliability=None if "calibration" in covered else _reliability_diagram(run),
        wrong=_wrong_photos(run),
        num_wrong=sum(not row["correct"] for row in run.predictions),
        explained=_explained_photos(run, saved) if saved and explains else None,
        unit=run.unit,
        listed_files=LISTED_FILES,
        splits=SPLITS,
    )


# The sections -------------------------------------------------------------------------------------


def _headline(run: finished_run.FinishedRun, metric: str) -> dict[str, Any]:
    """Return the number at the top, its interval, and the score of always guessing the largest training class.

    Args:
        metric: `accuracy`, or `balanced_accuracy` if most photos are of one class.
    """
    test = run.results["test"]
    guessing = classification.guessing(run.results)
    return {
        "metric": metric,
        "value": test[metric],
        "interval": test[f"{metric}_interval"],
        "guessing": guessing[metric],
        "guessing_accuracy": guessing["accuracy"],
        "largest_class": guessing["class"],
        "right": sum(row["correct"] for row in run.predictions),
        "total": len(run.predictions),
    }


def _has_groups(run: finished_run.FinishedRun) -> bool:
    return any(row.get("group") and row["split"] == "test" for row in run.split)


def _sample_photos(run: finished_run.FinishedRun) -> list[pages.Photo]:
    """Return training photos, about equally many of each class and evenly spaced in its list: always the same ones."""
    by_class = collections.defaultdict(list)
    rows = run.split
    if "domains" in run.results:  # items of the new domain have adapted without their labels
        rows = [row for row in finished_run.read_rows(run.directory / "split.csv") if row["domain"] == "source"]
    for row in rows:
        if row["split"] == "train":
            by_class[row["label"]].append(row)
    names = words.spread([name for name in run.class_names if by_class[name]], SAMPLE_PHOTOS)
    chosen = []
    for index, name in enumerate(names):
        each, rest = divmod(SAMPLE_PHOTOS, len(names))
        chosen += words.spread(by_class[name], each + (index < rest))
    return pages.photo_sheet(run, f"training_{run.unit}s", chosen)


def _alike_photos(run: finished_run.FinishedRun) -> list[dict[str, Any]]:
    """Return pairs of items from one source, those on two sides or in two classes first and those by name last."""
    rows = finished_run.read_rows(run.directory / "duplicates.csv")
    apart = {row["path"]: (row["split"] == row["other_split"], row["label"] == row["other_label"]) for row in rows}
    rows.sort(key=lambda row: (*apart[row["path"]], row["kind"] == "name", -float(row["similarity"])))
    rows = rows[:ALIKE_PAIRS]
    ends = [
        {"path": row[f"{other}path"], "label": row[f"{other}label"]} for row in rows for other in ("", "other_")
    ]  # fmt: skip
    photos = pages.photo_sheet(run, f"alike_{run.unit}s", ends)
    return [row | {"photos": photos[2 * number : 2 * number + 2]} for number, row in enumerate(rows)]


def _trained(results: dict[str, Any], history: list[dict]) -> list[dict]:
    """Return the epochs of this run's model, without those of models that were only compared with it.

    Their `loss` and `val_loss` are without the penalties on weights, unless an older version made the run.
    """
    stages = [row["stage"] for row in results.get("stages", [])]
    plain = {"loss": "categorical_crossentropy", "val_loss": "val_categorical_crossentropy"}
    return [
        row | {name: row[metric] for name, metric in plain.items() if metric in row}
        for row in history
        if not stages or row.get("stage", stages[0]) in stages
    ]


def symptoms_of(results: dict[str, Any], history: list[dict], unit: str, said_below: int = 0) -> list[str]:
    """Return what the run is likely to suffer from, in sentences; arguments as for `symptoms.found`."""
    return symptoms.found(results, _trained(results, history), unit, headline_metric(results), said_below)


def _learning_curves(run: finished_run.FinishedRun) -> list[pages.Figure]:
    history, best = _trained(run.results, run.history), _kept_epoch(run)
    metrics = [name for name in CURVES if any(name in row or f"val_{name}" in row for row in history)]
    told = f"on training and validation data in {len(history)} epochs"
    return [
        pages.figure(run, metric, f"{words.words(metric).capitalize()} {told}",
                    figures.learning_curve, history, metric, best)
        for metric in metrics
    ]  # fmt: skip


def _stage_curve(run: finished_run.FinishedRun) -> pages.Figure | None:
    stages = run.results.get("stages", [])
    if len(stages) < 2:
        return None
    kept = run.results.get("kept_stage")
    alt = (
        f"Validation loss, validation accuracy and seconds of {len(stages)} training stages; the table has the numbers"
    )
    return pages.figure(run, "stages", alt, figures.stage_curve, stages, kept)


def _kept_epoch(run: finished_run.FinishedRun) -> int | None:
    """Return the epoch to mark as the best; None if the kept weights were not chosen by the lowest loss."""
    by_loss = run.results.get("monitor", "loss") == "loss"
    return _best_epoch(_trained(run.results, run.history)) if by_loss and "kept_stage" not in run.results else None


def _best_epoch(history: list[dict]) -> int | None:
    """Return the epoch with the lowest validation loss, counted from 0; None if there is no validation loss."""
    losses = np.array([row.get("val_loss", np.nan) for row in history])
    return int(np.nanargmin(losses)) if np.isfinite(losses).any() else None


def _reliability_diagram(run: finished_run.FinishedRun) -> pages.Figure:
    bins = classification.reliability(*run.probabilities_and_labels())
    alt = "Accuracy against confidence, in bins of confidence"
    return pages.figure(run, "reliability", alt, figures.reliability_diagram, bins)


def _wrong_photos(run: finished_run.FinishedRun) -> list[pages.Photo]:
    wrong = [row for row in run.predictions if not row["correct"]]
    return pages.photo_sheet(run, f"wrong_{run.unit}s", sorted(wrong, key=_minus_confidence)[:WRONG_PHOTOS])


def _minus_confidence(row: dict) -> float:
    return -row["confidence"]


def _explained_photos(run: finished_run.FinishedRun, saved: saved_model.SavedModel) -> dict[str, list[pages.Photo]]:
    """Return photos with the heatmap of the predicted class, as {"wrong": [...], "right": [...]}."""
    rows = _rows_to_explain(run)
    heat = grad_cam.for_files(saved.model, saved.medium.read)
    photos = pages.explained_photos(run, "grad_cam", rows, [row["predicted"] for row in rows], heat)
    return {
        "wrong": [photo for photo, row in zip(photos, rows, strict=True) if not row["correct"]],
        "right": [photo for photo, row in zip(photos, rows, strict=True) if row["correct"]],
    }


def _rows_to_explain(run: finished_run.FinishedRun) -> list[dict]:
    """Return the most confident wrong answers, and the most confident right answer of evenly spaced classes."""
    there = sorted((row for row in run.predictions if os.path.isfile(row["path"])), key=_minus_confidence)
    wrong = [row for row in there if not row["correct"]]
    surest = {row["label"]: row for row in reversed(there) if row["correct"]}
    right = [surest[name] for name in run.class_names if name in surest]
    return wrong[:EXPLAINED_PHOTOS] + words.spread(right, EXPLAINED_PHOTOS)


def for_answers(model: keras.Model) -> Callable[[np.ndarray, int], dict[str, str]]:
    """Return a function that explains the answers of a run's model, which takes raw pixels.

    It takes a photo in the network's size and a class index. It returns two data URIs: `seen` is the photo as the
    network sees it, `heat` the same with the class's heatmap.
    """
    explain = grad_cam.for_pictures(model)

    def pictures(look: np.ndarray, index: int) -> dict[str, str]:
        (heatmap,) = explain([look], np.array([index]))
        seen = np.clip(look.round(), 0, 255).astype("uint8")
        return {"seen": pages.jpeg_uri(seen), "heat": pages.jpeg_uri(grad_cam.overlay(seen, heatmap))}

    return pictures


def headline_metric(results: dict[str, Any]) -> str:
    """Return the metric that counts: balanced accuracy where one class is most of the items, else accuracy."""
    return "balanced_accuracy" if "clinic" in results else "accuracy"


def baselines_as_good(results: dict[str, Any]) -> list[str]:
    """Return the baselines, in words, that validate at least as well as the run.

    None for a run that is one itself, and for one of two domains, whose validation is the source's.
    """
    found, metric = results.get("baselines", {}), headline_metric(results)
    if results.get("strategy") in found or "domains" in results:
        return []
    return [
        words.words(name)
        for name, scores in found.items()
        if scores["validation"][metric] >= results["validation"][metric]
    ]


def _baseline_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the terminal's table on what the run has to beat."""
    found, metric = results.get("baselines", {}), headline_metric(results)
    rows = [
        (f"  {words.words(name)}", *(f"{scores[side][metric]:.3f}" for side in ("validation", "test")))
        for name, scores in found.items()
        if name != results.get("strategy")  # a linear probe is one itself
    ]
    guessing = classification.guessing(results)
    rows.append(("  always the largest class", "", f"{guessing[metric]:.3f}"))
    return [(f"{words.words(metric)} of baselines", "", ""), *rows]


def _sides(results: dict[str, Any]) -> tuple[str, str]:
    """Return what the columns of validation and test are called; with two domains, one of them is at home."""
    if "domains" not in results:
        return "validation", "test"
    return "source val.", "test" if results["domains"]["tested"] else "test at home"


def summary(result: finished_run.Result) -> str:
    """Return the table printed at the end of a run: validation and test metrics, the cost, the path of the report."""
    rows: list[tuple[str, ...]] = [("", *_sides(result.results))]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        rows.append(
            (name.replace("_", " "), *(f"{result.results[split][name]:.3f}" for split in ("validation", "test")))
        )
    sides = [result.results[split] for split in ("validation", "test")]
    rows.append(("  if calibrated, below", *(f"{side['ece_if_calibrated'][1]:.3f}" for side in sides)))
    low, high = result.results["test"]["accuracy_interval"]
    rows.append(("95 % interval of accuracy", "", f"{low:.3f} – {high:.3f}"))
    if all("interval_units" in side and side["interval_units"] < side["n"] for side in sides):
        rows.append(("independent groups", *(str(side["interval_units"]) for side in sides)))
    rows.append((f"{result.unit}s", *(str(result.results[split]["n"]) for split in ("validation", "test"))))
    rows += _baseline_rows(result.results)
    cost = result.results["cost"]
    lines = [f"{name:<26}{validation:>12}{test:>16}".rstrip() for name, validation, test in rows]
    epochs = f"{words.plural(cost['epochs'], 'epoch')}, " if cost["epochs"] else ""
    price = f" ({words.price(cost['price'])} for the machine)" if "price" in cost else ""
    lines.append(
        f"{epochs}{cost['seconds']:.0f} s{price}, {cost['peak_memory_bytes'] / 1e6:,.0f} MB of memory, "
        f"{cost['trainable_parameters']:,} of {cost['total_parameters']:,} parameters trained"
    )
    if better := baselines_as_good(result.results):
        cheaper = ", and cheaper" * (result.unit == "photo")
        lines.append(f"{words.listed(better)}: at least as good on validation{cheaper}")
    if "kept_stage" in result.results:
        lines.append(f"kept: {result.results['kept_stage'].replace('_', ' ')}, by its score on validation")
    history = finished_run.read_history(result.directory)
    for sentence in symptoms_of(result.results, history, result.unit, dataset.FEW_TO_CHOOSE_BY):
        lines.append(textwrap.fill(sentence, TERMINAL, subsequent_indent="  ", break_on_hyphens=False))
    lines += shortcuts.lines(result.results, result.unit)
    return "\n".join([*lines, f"report: {result.directory / 'report.html'}"])
