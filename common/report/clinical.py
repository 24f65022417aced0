"""The clinical evaluation of a run: sections of its report, and its model card, from its files."""

import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from common import files, words
from common.data import metadata_table
from common.evaluation import clinic, grad_cam, intervals, shortcuts
from common.report import clinical_figures, figures, page
from common.runs import finished_run, saved_model

FILES = ("templates/clinical.html", "templates/clinical_top.html", "templates/model_card.md")
EXPLAINED_PHOTOS = 6  # found, missed and false alarms shown with Grad-CAM, this many of each
SHOWN_COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
GROUPS = {"sex": "Sex", "age": "Age", "site": "Body site"}
AGES = list(dict.fromkeys(map(metadata_table.age_band, range(metadata_table.HIGHEST_AGE + 1))))  # in their order
DRAWN_SOURCE = "demo"
FULL_NAMES = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic naevus",
    "vasc": "vascular lesion",
}


def section(run: finished_run.FinishedRun, saved: saved_model.SavedModel | None = None) -> dict[str, Any]:
    """Return the sections of a clinical run, and write its figures and model card.

    Args:
        run: a run whose results have a section `clinic`.
        saved: the run's model; without it, the page explains no answers.

    Returns:
        A part for `classes.page`.
    """
    results = run.results["clinic"]
    write_model_card(run.directory)
    return _facts(run) | {
        "name": "clinic",
        "template": "clinical.html",
        "top": "clinical_top.html",
        "covers": ("classes", "calibration"),
        "headline": "balanced_accuracy",
        "counted": "lesions",
        "contents": _contents(results, saved is not None),
        "roc": _roc_curve(run, results["target"]),
        "class_forest": _class_forest(run, results["per_class"]),
        "group_forest": _group_forest(run, results),
        "reliability": _reliability_diagrams(run, results["calibration"]),
        "abstention_curve": _abstention_curve(run, results["abstention"]),
        "imbalance_figure": _imbalance_figure(run, results.get("imbalance")),
        "leak_figure": _leak_figure(run, results.get("leak")),
        "explained": _explained_target(run, saved) if saved else None,
    }


def write_model_card(run_directory: pathlib.Path) -> pathlib.Path:
    """Write `model_card.md` into a run directory, after Mitchell et al. 2019, https://arxiv.org/abs/1810.03993.

    Args:
        run_directory: contains config.json and a results.json with a section `clinic`.

    Returns:
        The path of model_card.md.

    Raises:
        OSError, KeyError, ValueError: a file of the run is missing or was not written by the recipe.
    """
    run = finished_run.FinishedRun.read(pathlib.Path(run_directory))
    card = page.template("model_card.md").render(
        run=run, results=run.results, test=run.results["test"], shortcuts=shortcuts.shown(run.results, "picture"),
        **_facts(run),
    )  # fmt: skip
    path = run.directory / "model_card.md"
    with files.replacing(path) as temporary:
        temporary.write_text(re.sub(r"\n{3,}", "\n\n", card), encoding="utf-8", errors="replace")
    return path


def _facts(run: finished_run.FinishedRun) -> dict[str, Any]:
    """Return the facts that both the page and the model card show."""
    results = run.results["clinic"]
    counts = results["target"]["test"]
    with_target = counts["true_positives"] + counts["false_negatives"]
    without = counts["true_negatives"] + counts["false_positives"]
    of_ham10000 = set(run.class_names) == set(metadata_table.HAM10000_DIAGNOSES)
    return {
        "leaks": results["split"] == "random",
        "drawn": run.results["data"]["source"] == DRAWN_SOURCE,
        "of_ham10000": of_ham10000,
        "full_names": FULL_NAMES if of_ham10000 else {},
        "target_name": " or ".join(results["target"]["classes"]),
        "with_target": with_target,
        "without_target": without,
        "target_share": with_target / max(1, with_target + without),
        "abstained": _abstained(results["abstention"]),
        "groups": _groups(results["subgroups"]),
        "without_lesion": sum(not row.get("lesion") for row in run.predictions),
        "smallest_group": clinic.SMALLEST_GROUP,
        "few_units": intervals.FEW_UNITS,
        "promise": promise(results["target"]),
    }


def promise(target: dict) -> str:
    """Return in words what the chosen threshold promises for new lesions; "" for a run that does not say it."""
    if "promise" not in target:
        return ""
    found, wanted = target["promise"], target["wanted_sensitivity"]
    few = " So few lesions cannot promise more: it is their lowest score." if found["on_average"] < wanted else ""
    return (
        f"One picture of each of {words.plural(found['lesions'], 'validation lesion')} with the target counts. On new "
        f"lesions such a threshold finds {words.percent(found['on_average'])} on average, and "
        f"{words.percent(wanted, 0)} or more with a probability of {words.percent(found['probability'], 0)}.{few}"
    )


def _groups(subgroups: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Return title → rows of a kind of group: the largest group first, ages in ascending order."""
    ages = sorted(subgroups.get("age", []), key=lambda row: (AGES + [row["value"]]).index(row["value"]))
    rows = subgroups | {"age": ages}
    return {title: rows[key] for key, title in GROUPS.items() if rows.get(key)}


def _contents(results: dict, is_explained: bool) -> list[tuple[str, str]]:
    """Return the anchors and titles of the sections, in their order on the page."""
    classes = results["target"]["classes"]
    found = [("target", f"Finding {' or '.join(classes)}")]
    if is_explained:
        found.append(("target-explained", f"Grad-CAM of {classes[0]}"))
    found += [("classes", "Classes"), ("lesions", "Lesions"), ("groups", "Groups"), ("calibration", "Calibration"),
              ("abstention", "Abstention")]  # fmt: skip
    titles = {"imbalance": "Rare classes", "leak": "Leak"}
    return found + [(name, title) for name, title in titles.items() if results.get(name)]


def _abstained(curve: dict[str, list[float]]) -> list[dict[str, float]]:
    """Return some points of the abstention curve, from all photos answered to half of them."""
    coverages = np.array(curve["coverage"])
    places = [int(np.abs(coverages - wanted).argmin()) for wanted in SHOWN_COVERAGES]
    return [{name: values[place] for name, values in curve.items()} for place in dict.fromkeys(places)]


# The figures --------------------------------------------------------------------------------------


def _roc_curve(run: finished_run.FinishedRun, target: dict) -> page.Figure:
    alt = f"ROC curve of {' or '.join(target['classes'])} with the chosen threshold; the tables have the numbers"
    return page.figure(run, "roc", alt, clinical_figures.roc_curve, target)


def _class_forest(run: finished_run.FinishedRun, per_class: dict[str, dict]) -> page.Figure:
    rows = [
        {"name": name, "count": f"{row['lesions']:,}", "pale": row["lesions"] < clinic.SMALLEST_GROUP,
         "sensitivity": row["sensitivity"], "auc": row["auc"]}
        for name, row in per_class.items()
    ]  # fmt: skip
    measures = [("sensitivity", "sensitivity", 1 / len(rows)), ("auc", "AUC", 0.5)]
    alt = f"Sensitivity and AUC of {len(rows)} classes with their intervals; the table has the numbers"
    return page.figure(
        run, "class_sensitivity", alt, clinical_figures.forest_plot, rows, measures, "lesions", "guessing"
    )


def _group_forest(run: finished_run.FinishedRun, results: dict) -> page.Figure:
    rows: list[dict] = []
    for title, groups in _groups(results["subgroups"]).items():
        rows.append({"name": title})
        rows += [
            row | {"name": row["value"], "count": f"{row['target_lesions']:,} of {row['lesions']:,}",
                   "pale": row["too_small"]}
            for row in groups
        ]  # fmt: skip
    test = results["target"]["test"]
    measures = [(name, name, test[name][0]) for name in ("sensitivity", "specificity")]
    alt = "Sensitivity and specificity by sex, age and body site with their intervals; the table has the numbers"
    labels = "with target,\nof all lesions", "all test photos"
    return page.figure(run, "groups", alt, clinical_figures.forest_plot, rows, measures, *labels)


def _reliability_diagrams(run: finished_run.FinishedRun, calibration: dict) -> dict[str, page.Figure]:
    return {
        when: page.figure(run, f"reliability_{when}", f"Accuracy against confidence {when} calibration",
                          figures.reliability_diagram, calibration[when]["reliability"])
        for when in ("before", "after")
    }  # fmt: skip


def _abstention_curve(run: finished_run.FinishedRun, curve: dict) -> page.Figure:
    alt = "Accuracy and balanced accuracy of the most confident share of the photos; the table has the numbers"
    return page.figure(run, "abstention", alt, clinical_figures.abstention_curve, curve)


def _imbalance_figure(run: finished_run.FinishedRun, imbalance: dict | None) -> page.Figure | None:
    if not imbalance:
        return None
    alt = f"Validation results of {len(imbalance['choices'])} corrections for rare classes; the table has the numbers"
    choices, used = imbalance["choices"], imbalance["used"]
    return page.figure(run, "imbalance", alt, clinical_figures.imbalance_choices, choices, used)


def _leak_figure(run: finished_run.FinishedRun, leak: dict | None) -> page.Figure | None:
    if not leak:
        return None
    alt = "Results of a split by lesion and of one by picture, which leaks; the table has the numbers"
    return page.figure(run, "leak", alt, clinical_figures.leak_bars, leak)


# What the network looked at -----------------------------------------------------------------------


def _explained_target(run: finished_run.FinishedRun, saved: saved_model.SavedModel) -> dict[str, list[page.Photo]]:
    """Return photos with the heatmap of the first target class, as {"found": […], "missed": […], "alarms": […]}."""
    groups = _found_missed_and_alarms(run)
    rows = [row for group in groups.values() for row in group]
    heat_for = [run.results["clinic"]["target"]["classes"][0]] * len(rows)
    heat = grad_cam.for_files(saved.model, saved.medium.read)
    photos = iter(page.explained_photos(run, "grad_cam_target", rows, heat_for, heat))
    return {name: [next(photos) for _ in group] for name, group in groups.items()}


def _found_missed_and_alarms(run: finished_run.FinishedRun) -> dict[str, list[dict]]:
    """Return the most confident rows of each kind whose photo exists; `confidence` is the probability of the target."""
    target = run.results["clinic"]["target"]
    rows = [
        row | {"predicted": "", "confidence": sum(float(row[f"p_{name}"]) for name in target["classes"])}
        for row in run.predictions
        if os.path.isfile(row["path"])
    ]
    rows.sort(key=lambda row: -row["confidence"])
    called = [row for row in rows if row["confidence"] >= target["threshold"]]
    passed_over = [row for row in reversed(rows) if row["confidence"] < target["threshold"]]
    return {
        "found": _one_of_a_lesion(row for row in called if row["label"] in target["classes"]),
        "missed": _one_of_a_lesion(row for row in passed_over if row["label"] in target["classes"]),
        "alarms": _one_of_a_lesion(row for row in called if row["label"] not in target["classes"]),
    }


def _one_of_a_lesion(rows: Iterable[dict]) -> list[dict]:
    first: dict[str, dict] = {}
    for row in rows:
        first.setdefault(row.get("lesion") or row["path"], row)
    return list(first.values())[:EXPLAINED_PHOTOS]


def warning(result: finished_run.Result) -> str:
    """Return how the pictures were split; with a split by picture, the numbers that follow are too good."""
    leaks = result.results["clinic"]["split"] == "random"
    return "split by picture: LEAKS, do not quote" if leaks else "split by lesion"


def summary(result: finished_run.Result) -> str:
    """Return the lines printed at the end of a run, from `clinic` in results.json."""
    found = result.results["clinic"]
    chosen = found["target"]
    sensitivity, specificity = (
        "–" if chosen["test"][name][0] is None else "{:.3f} ({:.3f} – {:.3f})".format(*chosen["test"][name])
        for name in ("sensitivity", "specificity")
    )
    return (
        f"{' or '.join(chosen['classes'])}, where the probability reaches {chosen['threshold']:.4f}: "
        f"sensitivity {sensitivity}, specificity {specificity}\n"
        f"{promise(chosen)}\nnot a medical device; read model_card.md"
    )
