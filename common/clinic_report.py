"""What a clinic asks of a run: sections of its report, and its model card, from results.json and predictions.csv."""

import os
import pathlib
import re

import numpy as np

from common import clinic, figures, files, metadata, page

EXPLAINED_PHOTOS = 6  # with Grad-CAM, of the found, the missed and the false alarms each
SHOWN_COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
GROUPS = {"sex": "Sex", "age": "Age", "site": "Body site"}
AGES = list(dict.fromkeys(map(metadata.age_band, range(metadata.HIGHEST_AGE + 1))))  # in their order
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


def sections(run, heatmap_function=None):
    """What `clinic.html` shows, with the figures written.

    Args:
        run: a `page.Run` whose results have a section `clinic`.
        heatmap_function: as `report.write` takes it; without it nothing is explained.

    Returns:
        A dict for the template.
    """
    results = run.results["clinic"]
    return _facts(run) | {
        "contents": _contents(results, heatmap_function is not None),
        "roc": _roc_curve(run, results["target"]),
        "class_forest": _class_forest(run, results["per_class"]),
        "group_forest": _group_forest(run, results),
        "reliability": _reliability_diagrams(run, results["calibration"]),
        "abstention_curve": _abstention_curve(run, results["abstention"]),
        "imbalance_figure": _imbalance_figure(run, results.get("imbalance")),
        "leak_figure": _leak_figure(run, results.get("leak")),
        "explained": _explained_target(run, heatmap_function) if heatmap_function else None,
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
    run = page.Run.read(pathlib.Path(run_directory))
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
    of_ham10000 = set(run.class_names) == set(metadata.HAM10000_DIAGNOSES)
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
        "resamples": clinic.RESAMPLES,
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
    return page.figure(run, "roc", alt, figures.roc_curve, target)


def _class_forest(run, per_class):
    rows = [
        {"name": name, "count": f"{row['lesions']:,}", "pale": row["lesions"] < clinic.SMALLEST_GROUP,
         "sensitivity": row["sensitivity"], "auc": row["auc"]}
        for name, row in per_class.items()
    ]  # fmt: skip
    measures = [("sensitivity", "sensitivity", 1 / len(rows)), ("auc", "AUC", 0.5)]
    alt = f"Sensitivity and AUC of {len(rows)} classes with their intervals; the table has the numbers"
    return page.figure(run, "class_sensitivity", alt, figures.forest_plot, rows, measures, "lesions", "guessing")


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
    return page.figure(run, "groups", alt, figures.forest_plot, rows, measures, *labels)


def _reliability_diagrams(run, calibration):
    return {
        when: page.figure(run, f"reliability_{when}", f"Accuracy against confidence {when} calibration",
                          figures.reliability_diagram, calibration[when]["reliability"])
        for when in ("before", "after")
    }  # fmt: skip


def _abstention_curve(run, curve):
    alt = "Accuracy and balanced accuracy of the surest share of the photos; the table has the numbers"
    return page.figure(run, "abstention", alt, figures.abstention_curve, curve)


def _imbalance_figure(run, imbalance):
    if not imbalance:
        return None
    alt = f"Validation results of {len(imbalance['choices'])} ways to treat rare classes; the table has the numbers"
    choices, used = imbalance["choices"], imbalance["used"]
    return page.figure(run, "imbalance", alt, figures.imbalance_choices, choices, used)


def _leak_figure(run, leak):
    if not leak:
        return None
    alt = "Results of a split by lesion and of one by picture, which leaks; the table has the numbers"
    return page.figure(run, "leak", alt, figures.leak_bars, leak)


# What the network looked at -----------------------------------------------------------------------


def _explained_target(run, heatmap_function):
    """Photos with the heat for the first target class, as {"found": […], "missed": […], "alarms": […]}."""
    groups = _found_missed_and_alarms(run)
    rows = [row for group in groups.values() for row in group]
    heat_for = [run.results["clinic"]["target"]["classes"][0]] * len(rows)
    photos = iter(page.explained_photos(run, "grad_cam_target", rows, heat_for, heatmap_function))
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
