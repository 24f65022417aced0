"""`python -m recipes labels`: the photos of a run whose label the other photos contradict."""

import contextlib
import dataclasses
import pathlib
import sys
import warnings
from typing import Any

import numpy as np
import tyro

from common import devices, errors, files, flags, words
from common.data import file_checks, sample_list, splits, unchanged
from common.features import pooled
from common.models import backbones
from common.report import figures, page
from common.runs import finished_run, saved_model
from common.training import settings

FOLDS = 5
PENALTY = 0.01  # scikit-learn's C of logistic regression on standardised features
SHOWN = 36  # photos in the picture
COLUMNS = ("path", "label", "suggested", "p_label", "p_suggested", "split")


def command(run: tyro.conf.Positional[pathlib.Path], /) -> int:
    """List the photos of a run whose label is probably wrong: label_errors.csv, and a picture of the first ones.

    Every photo is judged by a classifier that has not learnt its label. Photos of all sides are judged, those of the
    test too. The list is for you to look at; no choice of the run depends on it.

    Args:
        run: the directory of a finished run on photos.
    """
    saved = saved_model.load_model(run)
    if saved.medium.name != "photos" or not saved.class_names:
        raise errors.UserError(f"{run}: labels is for runs that classify photos")
    if not run.is_dir():
        raise errors.UserError(f"{run}: give the directory of the run, which lists its photos")
    finished = finished_run.FinishedRun.read(run)
    finished.check_split()
    samples, rows, units = features(finished, saved.medium)
    labels = np.array([saved.class_names.index(sample.label) for sample in samples])
    probabilities = cross_validated(rows, labels, units)
    suspected = suspects(labels, probabilities)
    found = [_row(samples[place], labels[place], probabilities[place], saved.class_names) for place in suspected]
    files.write_csv(run / "label_errors.csv", list(COLUMNS), [row.values() for row in found])
    for row in found:
        print("\t".join([words.printable(row["path"]), *(str(row[name]) for name in COLUMNS[1:])]))
    if found:
        _draw(run, saved.medium, found[:SHOWN])
    told = f"{words.plural(len(found), 'label')} of {len(samples):,} may be wrong: look at each"
    print(told if found else f"none of {len(samples):,} labels is contradicted by the others", file=sys.stderr)
    print(run / "label_errors.csv")
    return 0


def features(
    finished: finished_run.FinishedRun, medium: Any
) -> tuple[list[sample_list.Sample], np.ndarray, np.ndarray]:
    """Return a run's photos, their features (n, channels) and the numbers of their units, (n,).

    The features are those of the pretrained network that the run began with, which has not learnt the labels.

    Raises:
        UserError: photos have changed since the run, none can be read any more, or the network cannot be used.
    """
    config = settings_of(finished.config["config"])
    labelled = [row for row in finished.split if row["label"] in finished.class_names]  # a new domain may have none
    samples = [sample_list.of_row(row) for row in labelled]
    facts = file_checks.scan(
        [each.path for each in samples], medium, None if config.no_cache else config.cache_directory
    )
    hashes = {path: fact.sha256 for path, fact in facts.items()}
    unchanged.check(samples, hashes, medium.unit, str(finished.directory / "split.csv"), is_resumed=True)
    gone = sum(bool(fact.problem) for fact in facts.values())
    samples = [sample for sample in samples if not facts[sample.path].problem]
    if not samples:
        raise errors.UserError(f"{finished.directory}: none of its photos can be read any more")
    if gone:
        print(f"labels: {words.plural(gone, 'photo')} left out, which cannot be read any more", file=sys.stderr)
    devices.set_up(config)
    paths, contents = [sample.path for sample in samples], hashes
    backbone = backbones.choose(config, default="MobileNetV2")
    unit_of = splits.units_of(samples, contents)
    units = np.unique([unit_of[path] for path in paths], return_inverse=True)[1]
    return samples, pooled.of_files(backbone, medium, paths, contents, config), units


def settings_of(stored: dict[str, Any]) -> settings.PhotoConfig:
    """Return the settings by which a run's photos are read, from its config.json."""
    known = {field.name for field in dataclasses.fields(settings.PhotoConfig)}
    known -= {"resume", "out", "dry_run", *settings.OF_THE_MACHINE}
    return flags.from_dict(settings.PhotoConfig, {name: value for name, value in stored.items() if name in known})


def cross_validated(rows: np.ndarray, labels: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the probabilities of each photo, (n, classes), by a classifier that has not seen its unit.

    Args:
        rows: features, (n, channels).
        labels, units: (n,) integers.
    """
    import threadpoolctl  # here, as in `linear_heads`
    from sklearn import linear_model, model_selection, pipeline, preprocessing

    found = np.zeros((len(rows), labels.max() + 1))
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression(C=PENALTY, max_iter=1000)
    )
    folds = model_selection.StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    # A class may have fewer units than there are folds; then some folds do without it.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        for train, test in folds.split(rows, labels, units):
            if len(test):
                model.fit(rows[train], labels[train])
                found[np.ix_(test, model.classes_)] = model.predict_proba(rows[test])
    return found


def suspects(labels: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """Return the places of labels that are probably wrong, the least probable first: confident learning.

    Northcutt et al. 2021, Confident Learning: Estimating Uncertainty in Dataset Labels
    (https://arxiv.org/abs/1911.00068), as in cleanlab: a photo counts as of another class if it is at least as probable
    there as that class's own photos are on average, and as many are listed as these counts estimate.

    Args:
        labels: (n,) integers.
        probabilities: as `cross_validated` returns them.

    Raises:
        UserError: cleanlab is not installed.
    """
    try:
        from cleanlab import filter as cleaning
    except ImportError as error:
        raise errors.UserError("labels needs cleanlab: pip install 'keras-recipes[labels]'") from error
    with contextlib.redirect_stdout(sys.stderr):
        found = cleaning.find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(place) for place in found]


def _row(
    sample: sample_list.Sample, label: int, probabilities: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {
        "path": sample.path, "label": sample.label, "suggested": class_names[best],
        "p_label": f"{probabilities[label]:.4f}", "p_suggested": f"{probabilities[best]:.4f}", "split": sample.split,
    }  # fmt: skip


def _draw(run: pathlib.Path, medium: Any, found: list[dict]) -> None:
    """Write figures/label_errors.png: the photos with their labels and the suggested ones."""
    pictures = [page.read_small(row["path"], medium) for row in found]
    shown = [None if isinstance(picture, str) else picture for picture in pictures]
    captions = [f"{row['label']}\n→ {row['suggested']} {float(row['p_suggested']):.0%}" for row in found]
    (run / "figures").mkdir(exist_ok=True)  # it is missing if the report could not be drawn
    with files.replacing(run / "figures" / "label_errors.png") as temporary:
        temporary.write_bytes(figures.photo_sheet(shown, captions))
