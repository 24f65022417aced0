"""The section "On other data" of a report: the results of evaluations, beside those of the run's own test."""

import dataclasses
import json
import pathlib
from typing import Any

from common import words
from common.report import mix_ups
from common.runs import finished_run

FILES = ("templates/other_data.html",)
FOLDER = "evaluations"  # in the run directory
METRICS = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1", "macro_auc": "Macro AUC",
    "log_loss": "Log loss", "ece": "Calibration error",
}  # fmt: skip
ARE_SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "ece")


def section(run: finished_run.FinishedRun, saved: object = None) -> dict[str, Any]:
    """Return the section on the evaluations of a run, and draw their confusion matrices.

    Args:
        run: the run to report.
        saved: not used.

    Returns:
        A part for `classes.page`.
    """
    paths = run.directory.joinpath(FOLDER).glob("*/results.json")
    found = [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    found.sort(key=lambda each: (each[1]["started"], each[1]["name"]))
    return {
        "name": "other_data",
        "template": "other_data.html",
        "top": "",
        "covers": (),
        "contents": [("other-data", "On other data")] if found else [],
        "evaluations": [_shown(run, folder, results) for folder, results in found],
        "metrics": METRICS,
        "are_shares": ARE_SHARES,
    }


def _shown(run: finished_run.FinishedRun, folder: pathlib.Path, results: dict) -> dict[str, Any]:
    """Return an evaluation with its figure and its most frequent mix-ups."""
    view = dataclasses.replace(run, directory=folder, results=run.results | {"test": results["result"]})
    (folder / "figures").mkdir(exist_ok=True)
    left_out = _left_out(results["data"]["left_out"], results["unit"])
    return results | mix_ups.confusions(view) | {"left_out": left_out}


def _left_out(counts: dict, unit: str) -> str:
    """Return in words what the evaluation leaves out; "" if nothing."""
    learnt, unknown = counts["train"] + counts["validation"], counts["unknown"]
    told = [
        f"{words.plural(learnt, unit)} from the training or validation data of the run" if learnt else "",
        f"{words.plural(sum(unknown.values()), unit)} of classes that the model does not know ({', '.join(unknown)})"
        if unknown
        else "",
        words.plural(counts["unusable"], f"unusable {unit}") if counts["unusable"] else "",
    ]
    return words.listed(list(filter(None, told))) if any(told) else ""
