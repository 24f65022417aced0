"""What a clinic asks of a run: sections of its report, and its model card, from results.json and predictions.csv."""

import os
import pathlib
import re

import numpy as np

from common import files
from common.data import metadata_table
from common.evaluation import clinic, grad_cam, intervals
from common.report import clinical_figures, figures, page
from common.runs import finished_run

FILES = ("templates/clinical.html", "templates/clinical_top.html", "templates/model_card.md")
EXPLAINED_PHOTOS = 6  # with Grad-CAM, of the found, the missed and the false alarms each
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


def section(run, saved=None):
    """What the page of a clinical run shows besides the classes, with the figures and the model card written.

    Args:
        run: a `finished_run.FinishedRun` whose results have a section `clinic`.
        saved: the run's `saved_model.SavedModel`; without it nothing is explained.

    Returns:
        A dict, as `classes.page` takes it.
    """
    results = run.results["clinic"]
    write_model_card(run.directory)
    return _facts(run) | {
        "name": "clinic",
        "template": "clinical.html",
        "top": "clinical_top.html",
        "covers": ("classes", "calibration"),
        "headline": "balanced_accuracy",
        "resampled": "lesions",
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


def write_model_card(run_directory):
    """Write `model_card.md` into a run directory, after Mitchell et al. 2019, https://arxiv.org/abs/1810.03993.

    Args:
        run_directory: holds config.json and a results.json with a section `clinic`.

    Returns:
        The path of model_card.md.

    Raises:
        OSError, KeyError, ValueError: a file of the run is missing or not as the recipe writes it.
    """
    run = finished_run.FinishedRun.read(pathlib.Path(run_directory))
    card = page.template("model_card.md").render(run=run, results=run.results, test=run.results["test"], **_facts(run))
    path = run.directory / "model_card.md"
    with files.replacing(path) as temporary:
        temporary.write_text(re.sub(r"\n{3,}", "\n\n", card), encoding="utf-8")
    return path


def _facts(run):
    """What the page and the card both say."""
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
        "resamples": intervals.RESAMPLES,
    }


def _groups(subgroups):
    """The rows under their title: the largest group first, ages in their order."""
    ages = sorted(subgroups.get("age", []), key=lambda row: (AGES + [row["value"]]).index(row["value"]))
    rows = subgroups | {"age": ages}
    return {title: rows[key] for key, title in GROUPS.items() if rows.get(key)}


def _contents(results, is_explained):
    """The sections' anchors and titles, in their order on the page."""
    classes = results["target"]["classes"]
    found = [("target", f"Finding {' or '.join(classes)}")]
    if is_explained:
        found.append(("target-explained", f"Grad-CAM of {classes[0]}"))
    found += [("classes", "Classes"), ("lesions", "Lesions"), ("groups", "Groups"), ("calibration", "Calibration"),
              ("abstention", "Abstention")]  # fmt: skip
    titles = {"imbalance": "Rare classes", "leak": "Leak"}
    return found + [(name, title) for name, title in titles.items() if results.get(name)]


def _abstained(curve):
    """Some places on the abstention curve, from all photos answered to half of them."""
    coverages = np.array(curve["coverage"])
    places = [int(np.abs(coverages - wanted).argmin()) for wanted in SHOWN_COVERAGES]
    return [{name: values[place] for name, values in curve.items()} for place in dict.fromkeys(places)]


# The figures --------------------------------------------------------------------------------------


def _roc_curve(run, target):
    alt = f"ROC curve of {' or '.join(target['classes'])} with the chosen threshold; the tables have the numbers"
    return page.figure(run, "roc", alt, clinical_figures.roc_curve, target)


def _class_forest(run, per_class):
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


def _group_forest(run, results):
    rows = []
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


def _reliability_diagrams(run, calibration):
    return {
        when: page.figure(run, f"reliability_{when}", f"Accuracy against confidence {when} calibration",
                          figures.reliability_diagram, calibration[when]["reliability"])
        for when in ("before", "after")
    }  # fmt: skip


def _abstention_curve(run, curve):
    alt = "Accuracy and balanced accuracy of the surest share of the photos; the table has the numbers"
    return page.figure(run, "abstention", alt, clinical_figures.abstention_curve, curve)


def _imbalance_figure(run, imbalance):
    if not imbalance:
        return None
    alt = f"Validation results of {len(imbalance['choices'])} ways to treat rare classes; the table has the numbers"
    choices, used = imbalance["choices"], imbalance["used"]
    return page.figure(run, "imbalance", alt, clinical_figures.imbalance_choices, choices, used)


def _leak_figure(run, leak):
    if not leak:
        return None
    alt = "Results of a split by lesion and of one by picture, which leaks; the table has the numbers"
    return page.figure(run, "leak", alt, clinical_figures.leak_bars, leak)


# What the network looked at -----------------------------------------------------------------------


def _explained_target(run, saved):
    """Photos with the heat for the first target class, as {"found": […], "missed": […], "alarms": […]}."""
    groups = _found_missed_and_alarms(run)
    rows = [row for group in groups.values() for row in group]
    heat_for = [run.results["clinic"]["target"]["classes"][0]] * len(rows)
    heat = grad_cam.for_files(saved.model, saved.medium.read)
    photos = iter(page.explained_photos(run, "grad_cam_target", rows, heat_for, heat))
    return {name: [next(photos) for _ in group] for name, group in groups.items()}


def _found_missed_and_alarms(run):
    """The clearest rows of each kind whose photo is there; `confidence` is that in the target."""
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


def _one_of_a_lesion(rows):
    first = {}
    for row in rows:
        first.setdefault(row.get("lesion") or row["path"], row)
    return list(first.values())[:EXPLAINED_PHOTOS]


def warning(result: finished_run.Result) -> str:
    """How the pictures were split: by picture the numbers that follow are too good."""
    leaks = result.results["clinic"]["split"] == "random"
    return "split by picture: LEAKS, do not quote" if leaks else "split by lesion"


def summary(result: finished_run.Result) -> str:
    """The lines that a run ends with, of the `clinic` section of results.json."""
    found = result.results["clinic"]
    chosen = found["target"]
    sensitivity, specificity = (
        "–" if chosen["test"][name][0] is None else "{:.3f} ({:.3f} – {:.3f})".format(*chosen["test"][name])
        for name in ("sensitivity", "specificity")
    )
    return (
        f"{' or '.join(chosen['classes'])}, where the probability reaches {chosen['threshold']:.4f}: "
        f"sensitivity {sensitivity}, specificity {specificity}\nno medical device; read model_card.md"
    )
