"""The report of a run that classifies documents: one page, and its figures as PNG files."""

import os
from typing import Any

from common import words
from common.evaluation import classification, shortcuts
from common.report import mix_ups, text_page
from common.runs import finished_run

FILES = ("templates/text_classes.html",)
COLUMNS = {
    "validation": ("validation", "accuracy"), "test": ("test", "accuracy"), "balanced": ("test", "balanced_accuracy"),
}  # fmt: skip
LEGEND = "accuracy"
KEPT = "; > kept, for the lowest log loss on validation"  # of several


def page(run: finished_run.FinishedRun, saved: object, parts: list[dict[str, Any]]) -> str:
    """Return the page of a run that classifies documents as HTML, and write its figures.

    Args:
        run: the run to report.
        saved, parts: as for `classes.page`; `saved` is not used.
    """
    further = {part["name"]: part for part in parts}
    return text_page.render(
        "text_classes.html", run, parts=parts, guessing=classification.guessing(run.results),
        wrong=_wrong(run), shortcuts=shortcuts.shown(run.results, "document"), adapted=adapted(run.results),
        **mix_ups.confusions(run), **further,
    )  # fmt: skip


def _wrong(run: finished_run.FinishedRun) -> list[dict]:
    """Return the wrong answers, the most confident first."""
    wrong = sorted((row for row in run.predictions if not row["correct"]), key=lambda row: -row["confidence"])
    return [row | {"name": os.path.basename(row["path"])} for row in wrong]


def summary(result: finished_run.Result) -> str:
    """Return the lines printed at the end of a run."""
    found, test = result.results, result.results["test"]
    low, high = test["accuracy_interval"]
    guessing = classification.guessing(found)
    return "\n".join([
        text_page.strategy_table(found["strategies"], COLUMNS, LEGEND + KEPT * (len(found["strategies"]) > 1)),
        f"test accuracy {test['accuracy']:.3f} ({low:.3f} – {high:.3f}) on {test['n']} documents; logistic "
        f"regression on TF-IDF {found['counted_words']['test']['accuracy']:.3f}, {_nearest(found)}"
        f"always {guessing['class']} {guessing['accuracy']:.3f}",
        *filter(None, [adapted(found)]),
        *shortcuts.lines(found, "document"),
        *text_page.ending(result),
    ])  # fmt: skip


def _nearest(found: dict[str, Any]) -> str:
    """Return the accuracy of the nearest sentence embeddings, which only encoders have."""
    row = found.get("nearest_texts")
    return f"the {row['neighbours']} nearest texts {row['test']['accuracy']:.3f}, " if row else ""


def adapted(found: dict[str, Any]) -> str:
    """Return what `--adapt-epochs` did, "" without it; before all of an encoder trains, the head alone does."""
    rows = found.get("stages", [])
    if not rows:
        return ""
    what = "masked tokens of held-out training" if len(rows) > 1 else "the next tokens of validation"
    losses = " → ".join(f"{row['validation_loss']:.3f}" for row in rows)
    told = words.plural(rows[-1]["documents"], "document") if "documents" in rows[-1] else "the documents"
    seconds = sum(row["seconds"] for row in rows)
    return f"first tuned on {told} without labels: loss on {what} documents {losses} nats, {seconds:.0f} s"
