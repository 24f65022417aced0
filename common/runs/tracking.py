"""Experiment records: curves for TensorBoard while a run trains, and a finished run in MLflow.

Both show what the run records anyway, so neither can change a result. MLflow gets a run at its end. If the server is
not available then, `python -m recipes publish RUN --mlflow URI` sends the run later.
"""

import contextlib
import csv
import datetime
import http.client
import importlib.util
import os
import pathlib
import urllib.parse
import urllib.request
from collections.abc import Iterator

import keras

from common import errors
from common.runs import finished_run

EXPERIMENT = "transfer-learning recipes"
BATCH = 1000  # the most metrics that MLflow takes in one call
ARTEFACTS = ("report.html", "compare.html", "compare.csv", "model_card.md", "results.json", "config.json", "split.csv")


def check(tensorboard: bool, mlflow: str | None) -> None:
    """Check before the training that what TensorBoard and MLflow need is available.

    Raises:
        UserError: a package is not installed, or no MLflow server answers.
    """
    for name, wanted in (("tensorboard", tensorboard), ("mlflow", mlflow)):
        if wanted and not importlib.util.find_spec(name):
            raise errors.UserError(f"--{name} needs an extra package: pip install 'keras-recipes[track]'")
    try:
        address = urllib.parse.urlsplit(mlflow or "")
        has_password = bool(address.password)
    except ValueError as error:
        raise errors.UserError(f"--mlflow {mlflow}: not a valid address ({error})") from error
    if has_password:
        raise errors.UserError(
            "--mlflow: the password would be written to the run's files; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        )
    if mlflow and "://" not in mlflow and mlflow != "databricks":
        raise errors.UserError(
            f"--mlflow {mlflow}: give the address of a server, http://127.0.0.1:5000, or a database, sqlite:///mlflow.db"
        )
    if address.scheme in ("http", "https"):
        try:
            urllib.request.urlopen(f"{address.geturl().rstrip('/')}/health", timeout=10).close()
        except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
            reason = getattr(error, "reason", error)
            raise errors.UserError(f"--mlflow {mlflow}: no MLflow server answers at this address ({reason})") from error


def tensorboard_callback(directory: pathlib.Path, stage: str) -> keras.callbacks.Callback:
    """Return a callback that writes curves to `tensorboard/<stage>`; `tensorboard --logdir runs` shows them."""
    return keras.callbacks.TensorBoard(str(directory / "tensorboard" / stage), write_graph=False)


def publish(directory: pathlib.Path, uri: str) -> str:
    """Send a finished run to MLflow: its settings as parameters, epochs and scores as metrics, reports as artefacts.

    A run that was sent before becomes a new run in MLflow.

    Args:
        directory: the directory of a finished run or comparison.
        uri: the address of a tracking server, `http://…`, or of a database, `sqlite:///mlflow.db`.

    Returns:
        The run's id in MLflow.

    Raises:
        UserError: the run is not finished, or MLflow is not installed or refuses the run.
    """
    results_path = directory / "results.json"
    if not results_path.is_file():
        raise errors.UserError(f"{directory} has no results.json; give the directory of a finished run")
    check(False, uri)
    # MLflow would report its use to its makers. Its thread also changes the environment while requests read it.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow import entities

    results, about = finished_run.read_json(results_path), finished_run.read_json(directory / "config.json")
    with finished_run.sound(directory):
        started = datetime.datetime.fromisoformat(about["started"]).timestamp()
        ended = started + results["cost"]["seconds"]
        parameters = {name: str(value) for name, value in about["config"].items() if value is not None}
        numbers = [*epochs(directory, started), *((name, value, ended, 0) for name, value in scores(results))]
        metrics = [entities.Metric(name, value, round(1000 * at), step) for name, value, at, step in numbers]
        recipe, command = results["recipe"], about["command"]
    try:
        with _silence():
            client = mlflow.MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
            tags = {"recipe": recipe, "directory": str(directory.resolve()), "command": command}
            name = f"{recipe} {directory.name}"
            run = client.create_run(experiment_id, round(1000 * started), tags, run_name=name).info.run_id
            client.log_batch(run, params=[entities.Param(name, value) for name, value in parameters.items()])
            for first in range(0, len(metrics), BATCH):
                client.log_batch(run, metrics=metrics[first : first + BATCH])
            for path in _artefacts(directory):
                folder = path.relative_to(directory).parent
                client.log_artifact(run, str(path), str(folder) if folder.name else None)
            client.set_terminated(run, end_time=round(1000 * ended))
    except mlflow.exceptions.MlflowException as error:
        line = str(error).splitlines()[0]
        raise errors.UserError(
            f"--mlflow {uri}: {line}; the run is safe, retry with python -m recipes publish {directory} --mlflow {uri}"
        ) from error
    return run


def epochs(directory: pathlib.Path, started: float) -> list[tuple[str, float, float, int]]:
    """Return history.csv as (stage/metric, value, seconds since 1970, step); steps count through all stages."""
    if not (directory / "history.csv").is_file():
        return []
    found, at = [], started
    with open(directory / "history.csv", newline="", encoding="utf-8") as file:
        for step, row in enumerate(csv.DictReader(file)):
            stage, at = row.pop("stage"), at + float(row["seconds"])
            row.pop("epoch")
            found += [(f"{stage}/{name}", float(value), at, step) for name, value in row.items() if value]
    return found


def scores(results: dict) -> list[tuple[str, float]]:
    """Return the numbers of results.json for each split and for the cost, as (section/name, value)."""
    sections = {name: results[name] for name in ("train", "validation", "test", "cost") if name in results}
    return [
        (f"{section}/{name}", float(value))
        for section, values in sections.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    ]


def _artefacts(directory: pathlib.Path) -> list[pathlib.Path]:
    return [directory / name for name in ARTEFACTS if (directory / name).is_file()] + sorted(
        (directory / "figures").glob("*.png")
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Turn off MLflow's progress bars and limit its retries to 2: the user has already waited for the training."""
    wanted = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
