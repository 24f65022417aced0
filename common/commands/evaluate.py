"""`python -m recipes evaluate`: a finished run's model on new labelled data, compared with the run's own test."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import re
import shutil
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import tqdm
import tyro

from common import errors, files, outputs, startup, words
from common.data import labelled, targets
from common.evaluation import new_data
from common.report import other_data, page
from common.runs import cost, finished_run, saved_model
from common.training import recorder

SHOWN = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro f1", "macro_auc": "macro auc",
    "log_loss": "log loss", "ece": "ece",
}  # fmt: skip


def command(
    run: tyro.conf.Positional[pathlib.Path],
    data: tyro.conf.Positional[pathlib.Path],
    /,
    name: str | None = None,
    batch_size: int = 32,
    skip_bad: bool = False,
    skip_unsupported: bool = False,
) -> int:
    """Measure a finished run's model on new labelled photos, clips or documents.

    Args:
        run: the directory of a finished run.
        data: a folder of class folders or a CSV with path,label[,group]; for documents a folder with a sub-folder for
            each type, or a .jsonl.
        name: the name of the evaluation's folder in the run's evaluations/; default: the current time.
        batch_size: files per batch.
        skip_bad: leave out unusable files and unknown classes instead of stopping.
        skip_unsupported: go on although more than a tenth of the files of a class are in formats that are not read.
    """
    if batch_size < 1:
        raise errors.UserError("--batch-size must be above 0")
    run, data = run.expanduser(), data.expanduser()
    if not data.exists():
        raise errors.UserError(f"{data}: no such file or folder; give labelled data that the run has not seen")
    if run.is_file():
        raise errors.UserError(f"{run}: give the directory of the run, which also contains its own test result")
    folder = _folder(run, name)
    reading, saved = _reading(run)
    with _kept_if_finished(folder):
        results = evaluate(run, data, folder, reading, batch_size, skip_bad, skip_unsupported)
    with finished_run.sound(run):
        told = summary(results)
    print(told)
    _draw(run, saved)
    print(folder)
    return 0


def evaluate(
    run: pathlib.Path, data: pathlib.Path, folder: pathlib.Path, reading: Any, batch_size: int, skip_bad: bool,
    skip_unsupported: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Predict the data, and write predictions.csv and then results.json, which marks a finished evaluation.

    Args:
        run: the directory of a finished run.
        data: as for `labelled.load`.
        folder: the folder to write into.
        reading: a `saved_model.Reading` or a `saved_text_model.Classifier`.
        batch_size: files per batch.
        skip_bad, skip_unsupported: as for `labelled.load`.

    Returns:
        The content of results.json.

    Raises:
        UserError: as `labelled.load`.
    """
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    (folder / "skipped.csv").unlink(missing_ok=True)  # from an attempt that was killed
    finished = finished_run.FinishedRun.read(run)
    finished.check_split()
    class_names, unit = list(reading.targets.class_names), reading.medium.unit
    found = labelled.load(
        data, reading.medium, class_names, finished.split, finished.config["config"], skip_bad, folder / "skipped.csv",
        skip_unsupported,
    )  # fmt: skip
    outputs = _answers(reading, found, batch_size)
    summed = found.summary(class_names)
    with finished_run.sound(run):
        seed, test = finished.results["seed"], finished.results["test"]
        if summed["missing"]:
            present = [name for name in class_names if name not in summed["missing"]]
            probabilities, labels = finished.probabilities_and_labels()
            test = new_data.same_classes(test, probabilities, labels, class_names, finished.test_groups, present, seed)
        scores = new_data.evaluate(
            outputs, reading.targets.array(found.samples), class_names, found.units, test, _trained(finished),
            finished_run.target_of(run), seed,
        )  # fmt: skip
    results = {"name": folder.name, "started": f"{started:%Y-%m-%dT%H:%M:%SZ}", "unit": unit}
    results |= {"data": {"source": str(data)} | summed, **scores}
    if "target" in scores:
        results["target"]["test"] = finished.results["clinic"]["target"]["test"]
    results["verdict"] = new_data.verdict(results, unit)
    results |= {"command": cost.command(), "versions": cost.versions()}
    recorder.write_predictions(folder, types.SimpleNamespace(targets=reading.targets, test=found.samples), outputs)
    files.write_json(folder / "results.json", results | {"seconds": round(time.perf_counter() - clock, 2)})
    return results


def _folder(run: pathlib.Path, name: str | None) -> pathlib.Path:
    """Return the folder of the evaluation, which is created later.

    Raises:
        UserError: the name is not valid, or is taken.
    """
    place = run / other_data.FOLDER
    if name is None:
        stem = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H-%M-%SZ}"
        free = (stem if attempt == 1 else f"{stem}_{attempt}" for attempt in range(1, 1000))
        return next(place / each for each in free if not (place / each).exists())
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise errors.UserError(f"--name {name!r} is not a valid name (letters, digits, -, _ and .)")
    if (place / name / "results.json").is_file():
        raise errors.UserError(f"--name {name}: {place / name} already exists; choose another name")
    return place / name


@contextlib.contextmanager
def _kept_if_finished(folder: pathlib.Path) -> Iterator[None]:
    """Make and lock the folder of an evaluation; one that is refused or interrupted leaves nothing behind."""
    with outputs.made(folder.parent), outputs.made(folder), outputs.locked(folder):
        try:
            yield
        finally:
            if not (folder / "results.json").is_file():
                shutil.rmtree(folder, ignore_errors=True)


def _reading(run: pathlib.Path) -> tuple[Any, saved_model.SavedModel | None]:
    """Return the reader of the run's model, and the saved model with which the report explains answers.

    Raises:
        UserError: the run is not finished, or its model is not a classifier.
    """
    if (run / "classifier.keras").is_file() and (run / "results.json").is_file():
        reading = startup.by_name("runs.saved_text_model").Classifier.load(run)
        reading.check_one_answer(run, "evaluate")
        return reading, None
    saved = saved_model.load_model(run)
    if not (run / "results.json").is_file():
        raise errors.UserError(f"{run} contains no results.json; give the directory of a finished run")
    if not isinstance(saved.targets, targets.Classes):
        raise errors.UserError(f"{run}: its model predicts {saved.targets.name}, but evaluate only supports classes")
    return saved_model.Reading.of(saved), saved


def _answers(reading: Any, found: labelled.Labelled, batch_size: int) -> np.ndarray:
    """Return the model's probabilities, (n, classes)."""
    outputs, samples = [], found.samples
    for start in tqdm.trange(
        0, len(samples), batch_size, desc="evaluating", unit="batch", disable=len(samples) <= batch_size or None
    ):
        asked = [sample.path for sample in samples[start : start + batch_size]]
        outputs.append(reading.probabilities([_looks(path, reading, found) for path in asked]))
    return np.concatenate(outputs)


def _looks(path: str, reading: Any, found: labelled.Labelled) -> Any:
    """Return the model's input for a file, which was readable a moment ago and must not have changed since then."""
    if found.texts:
        return found.texts[path]
    try:
        found.reader.check(path)
        looks = reading.looks(pathlib.Path(path))
        found.reader.check(path)
        return looks
    except errors.UnusableFile as error:
        raise errors.UserError(f"{path}: {error}") from error


def _trained(finished: finished_run.FinishedRun) -> dict[str, int]:
    """Return class → number of training items."""
    labels = [row["label"] for row in finished.split if row["split"] == "train"]
    return {name: labels.count(name) for name in finished.class_names}


def _draw(run: pathlib.Path, saved: saved_model.SavedModel | None) -> None:
    """Draw the run's report with its evaluations, which are complete even if drawing fails."""
    try:
        names = finished_run.sections_of(finished_run.Result.read(run).results)
        with outputs.locked(run):
            path = page.write(run, [*(startup.by_name(f"report.{name}") for name in names), other_data], saved)
        print(f"report: {path}")
    except Exception as error:
        told = " ".join(str(error).split())
        print(
            f"the report could not be drawn ({type(error).__name__}: {told}); the evaluation is complete, and "
            f"`python -m recipes report {run}` draws it again",
            file=sys.stderr,
        )


def summary(results: dict) -> str:
    """Return the table for the terminal: the new data beside the run's test, and the verdict."""
    new, test, data = results["result"], results["test"], results["data"]
    rows: list[tuple[str, ...]] = [("", "new data", "test, same classes" if data["missing"] else "test")]
    for name, title in SHOWN.items():
        rows.append((title, words.decimal(new[name]), words.decimal(test[name])))
        if name == "accuracy":
            limits = (f"{low:.3f} – {high:.3f}" for low, high in (each["accuracy_interval"] for each in (new, test)))
            rows.append(("95 % interval of accuracy", *limits))
    baseline = results["baseline"]
    rows.append((f"always {baseline['class']}", words.decimal(baseline["accuracy"]), ""))
    if target := results.get("target"):
        name = " or ".join(target["classes"])
        for measure in ("sensitivity", "specificity"):
            told = (words.estimate(each[measure], is_share=False) for each in (target, target["test"]))
            rows.append((f"{measure} for {name}", *told))
    rows.append((f"{results['unit']}s", str(new["n"]), str(test["n"])))
    units = [each.get("interval_units", each["n"]) for each in (new, test)]
    if units != [new["n"], test["n"]]:
        rows.append(("independent units", *map(str, units)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}".rstrip() for row in rows]
    return "\n".join([*lines, *results["verdict"]])
