"""The section "On other data" of a run's report: what its evaluations found, beside the run's own test."""

import dataclasses
import json

from common import words
from common.report import classes, figures, page

FILES = ("templates/other_data.html",)
FOLDER = "evaluations"  # in the run directory
METRICS = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1", "macro_auc": "Macro AUC",
    "log_loss": "Log loss", "ece": "Calibration error",
}  # fmt: skip
ARE_SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "ece")


def section(run, saved=None):
    """Return what the page of a run shows of its evaluations; their confusion matrices are drawn beside them.

    Args:
        run: a `finished_run.FinishedRun`.
        saved: not needed.

    Returns:
        A dict, as `classes.page` takes it.
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


def _shown(run, folder, results):
    """Return one evaluation with its figure and its most frequent mix-ups."""
    view = dataclasses.replace(run, directory=folder, results=run.results | {"test": results["result"]})
    (folder / "figures").mkdir(exist_ok=True)
    matrix = results["result"]["confusion_matrix"]
    alt = f"Confusion matrix on {results['name']}; the most frequent mix-ups are listed below"
    return results | {
        "confusion": page.figure(view, "confusion_matrix", alt, figures.confusion_matrix, matrix, run.class_names),
        "mix_ups": classes.mix_ups(view),
        "left_out": _left_out(results["data"]["left_out"], results["unit"]),
    }


def _left_out(counts, unit):
    """Return what does not count, in words; "" where everything does."""
    learnt, unknown = counts["train"] + counts["validation"], counts["unknown"]
    told = [
        f"{words.plural(learnt, unit)} that the run had trained or chosen with" if learnt else "",
        f"{words.plural(sum(unknown.values()), unit)} of classes that the model does not know ({', '.join(unknown)})"
        if unknown
        else "",
        words.plural(counts["unusable"], f"unusable {unit}") if counts["unusable"] else "",
    ]
    return words.listed(list(filter(None, told))) if any(told) else ""
