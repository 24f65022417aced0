"""A run's directory: what is written there while it trains, how it goes on after an interruption, its cost.

`runs/<recipe>/<UTC time>_seed<seed>/` holds config.json, split.csv, history.csv, results.json, model.keras,
predictions.csv, figures/ and report.html; while it trains also checkpoint.npz and best_<stage>_<epoch>.npz.
"""

import contextlib
import csv
import dataclasses
import datetime
import glob
import importlib.metadata
import json
import pathlib
import platform
import shlex
import shutil
import sys
import threading
import time
import weakref
import zipfile
from typing import Any

import keras
import numpy as np
import psutil

from common import backbones, device, errors, evaluation, files, frozen_prefix, generators, surgery, tracking
from common import config as configuration

VERSIONED_PACKAGES = (
    "tensorflow", "keras", "keras-hub", "numpy", "pillow", "scikit-learn", "datasketch", "keras-recipes"
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Result:
    """What a recipe's `run` returns: the run directory and the content of its results.json."""

    directory: pathlib.Path
    results: dict

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Result":
        """The result of a finished run."""
        return cls(directory, json.loads((directory / "results.json").read_text(encoding="utf-8")))


class Run:
    """One run: its directory, its clock, and where it stands when it is resumed.

    Attributes:
        config: the settings, those of the interrupted run when `--resume` was given.
        directory: the run directory.
        finished_stages: names of the training stages that are over.
    """

    def __init__(self, recipe: str, config):
        """Makes a new run directory, or opens the one that `config.resume` names.

        Raises:
            UserError: the directory to resume is not an interrupted run of this recipe, the backbone is unknown, or
                what `--tensorboard` or `--mlflow` need is not there.
        """
        backbones.check_name(getattr(config, "backbone", None))  # recipes on texts have none
        self.recipe, self.command = recipe, command()
        self.started = time.perf_counter()
        self.memory = PeakMemory()
        self.memory.start()
        if config.resume:
            self.directory = config.resume.expanduser()
            self.config = self._interrupted_config(config)
        else:
            self.config = config
        tracking.check(self.config.tensorboard, self.config.mlflow)
        if not config.resume:
            self.directory = self._new_directory()
        self.checkpoint = Checkpoint.read(self.directory)
        self.finished_stages = list(self.checkpoint.finished_stages) if self.checkpoint else []
        self.earlier_seconds = self.checkpoint.seconds if self.checkpoint else 0.0

    def first_epoch(self, stage: str, epochs: int) -> int:
        """Where a stage starts: at 0, after its last finished epoch, or at `epochs` when it is over."""
        if stage in self.finished_stages:
            return epochs
        if self.checkpoint and self.checkpoint.stage == stage:
            return self.checkpoint.epoch + 1
        return 0

    def _interrupted_config(self, config):
        path = self.directory / "config.json"
        if not path.is_file():
            raise errors.UserError(f"--resume {config.resume}: no config.json there, so it is not a run directory")
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["recipe"] != self.recipe:
            raise errors.UserError(
                f"--resume {config.resume}: that is a run of {stored['recipe']}, not of {self.recipe}"
            )
        if (self.directory / "results.json").is_file():
            raise errors.UserError(
                f"--resume {config.resume}: that run is finished; its report can be drawn again by "
                f"`python -m recipes report {config.resume}`"
            )
        changed = [
            f"--{field.name.replace('_', '-')}"
            for field in dataclasses.fields(config)
            if field.name not in ("resume", "debug") and getattr(config, field.name) != field.default
        ]
        if changed:
            raise errors.UserError(f"--resume takes all settings from the run: leave {', '.join(changed)} away")
        self.command = stored["command"]  # the one that began it
        return configuration.from_dict(type(config), stored["config"])

    def _new_directory(self) -> pathlib.Path:
        now = datetime.datetime.now(datetime.UTC)
        stem = f"{now:%Y-%m-%dT%H-%M-%SZ}_seed{self.config.seed}"
        for attempt in range(1, 1000):
            name = stem if attempt == 1 else f"{stem}_{attempt}"
            directory = self.config.out.expanduser() / self.recipe / name
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise errors.UserError(f"--out {self.config.out}: {error.strerror}; choose another folder") from error
            # A mistake in the flags may show after this; it should not leave directories behind.
            weakref.finalize(self, _remove_unused, directory)
            return directory
        raise errors.UserError(f"--out {self.config.out}: too many runs started in the same second")

    def write_config(self, **resolved) -> None:
        """Writes config.json: the settings with the defaults filled in, the versions, the command."""
        self.config = dataclasses.replace(self.config, **resolved)
        files.write_json(self.directory / "config.json", {
            "recipe": self.recipe,
            "command": self.command,
            "config": configuration.to_dict(self.config),
            "versions": versions(),
            "device": device.description(),
            "started": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        })  # fmt: skip
        print(f"run: {self.directory} (if it is interrupted: --resume {self.directory})", file=sys.stderr)
        if self.config.tensorboard:
            print(f"curves: tensorboard --logdir {self.directory / 'tensorboard'}", file=sys.stderr)

    def seconds(self) -> float:
        """Wall time of this run so far, with the sessions before an interruption up to their last finished epoch."""
        return self.earlier_seconds + time.perf_counter() - self.started

    def cost(self, model: keras.Model, *prefixes: frozen_prefix.FrozenPrefix) -> dict:
        """The `cost` section of results.json."""
        history = read_history(self.directory)
        trainable, frozen = surgery.count_parameters(model)
        return {
            "seconds": round(self.seconds(), 2),
            "seconds_per_epoch": round(float(np.median([row["seconds"] for row in history])), 3) if history else None,
            "epochs": len(history),
            "peak_memory_bytes": self.memory.peak,
            "trainable_parameters": trainable,
            "total_parameters": trainable + frozen,
            "prefix_seconds": round(sum(prefix.seconds for prefix in prefixes), 2),
            "cache_bytes": sum(prefix.cache_bytes for prefix in prefixes),
        }

    def stage(self, name: str, model: keras.Model, score: dict) -> dict:
        """A row of the `stages` section of results.json: what a training stage brought on validation, and its seconds
        of training; those of the features, which stages share, are in `cost`.

        Args:
            name: of the stage, as in history.csv.
            model: with the layers trainable that the stage trained.
            score: `loss`, `accuracy` and further metrics on the validation photos, after the stage.
        """
        seconds = [row["seconds"] for row in read_history(self.directory) if row["stage"] == name]
        return {
            "stage": name,
            **{f"validation_{metric}": round(value, 4) for metric, value in score.items()},
            "epochs": len(seconds),
            "seconds": round(sum(seconds), 1),
            "trainable_parameters": surgery.count_parameters(model)[0],
        }

    def finish(self, results: dict) -> Result:
        """Writes results.json, the mark of a finished run, and removes the checkpoint."""
        results = {"recipe": self.recipe, "seed": self.config.seed} | results | {"versions": versions()}
        files.write_json(self.directory / "results.json", results)
        for path in [self.directory / Checkpoint.NAME, *self.directory.glob("best_*.npz")]:
            path.unlink(missing_ok=True)
        self.memory.stop()
        return Result(self.directory, results)

    def discard(self) -> None:
        """Removes the run directory in which nothing was trained."""
        _remove_unused(self.directory)

    def publish(self) -> None:
        """Sends the finished run with its report to MLflow, where `--mlflow` names it.

        Raises:
            UserError: MLflow refused; the run itself is complete.
        """
        if self.config.mlflow:
            tracking.publish(self.directory, self.config.mlflow)
            print(f"mlflow: {self.config.mlflow} has this run", file=sys.stderr)


def _remove_unused(directory: pathlib.Path) -> None:
    """Removes a run directory in which no training was set up; a list of bad photos stays."""
    with contextlib.suppress(OSError):
        files_there = {path.name for path in directory.rglob("*") if path.is_file()}
        if "config.json" not in files_there and "skipped.csv" not in files_there:
            shutil.rmtree(directory)
            directory.parent.rmdir()  # where it was the only one


@dataclasses.dataclass
class Checkpoint:
    """The state after an epoch; together with the config it is all that the next epoch depends on."""

    NAME = "checkpoint.npz"

    stage: str
    finished_stages: list[str]
    epoch: int
    best_epoch: int
    best_value: float
    seconds: float
    values: list[np.ndarray]

    @classmethod
    def read(cls, directory: pathlib.Path) -> "Checkpoint | None":
        """The checkpoint of a run directory, None when no epoch was finished."""
        path = directory / cls.NAME
        if not path.is_file():
            return None
        with np.load(path) as stored:
            state = json.loads(str(stored["state"]))
            return cls(**state, values=[stored[f"value_{i}"] for i in range(len(stored.files) - 1)])

    def write(self, directory: pathlib.Path) -> None:
        """Writes the checkpoint; a half-written one never replaces a good one."""
        state = {key: value for key, value in vars(self).items() if key != "values"}
        arrays: dict[str, Any] = {f"value_{i}": value for i, value in enumerate(self.values)}
        with files.replacing(directory / self.NAME) as temporary:
            np.savez(temporary, state=json.dumps(state), **arrays)


class EarlyStopping(keras.callbacks.Callback):
    """Keeps the weights of the epoch that validates best, and stops when none has been better for a while.

    Keras's callback of that name with a memory on disk: after every epoch it appends to history.csv and writes
    everything that the next epoch depends on (weights, the optimizer's state, dropout's random state, the best
    epoch), so that a killed run goes on as if nothing had happened.

    Args:
        run: the run that is recorded.
        patience: epochs without a better one before the training stops. None: it goes on to the last, and only the last
            counts. That is for a rate that falls to 0: there the last epoch is as good as any, and to choose one on
            a few dozen validation photos would be choosing noise.
        epochs: the `epochs` of `fit`.
        stage: name of this part of the training; one name for each `fit` of a run.
        monitor: `loss`, or a metric of which more is better, on the validation photos. Of the same accuracies the
            later one counts.
        baseline: what `evaluate` made of the weights that the stage starts from, metric → value. Where the stage
            brings nothing better, these weights come back. None: the first epoch is kept however bad it is.
        margin: how much worse than the baseline still counts as no worse.

    Attributes:
        improved: after `fit`, whether the stage's weights were kept rather than those that it started from.
    """

    def __init__(
        self,
        run: Run,
        patience: int | None,
        epochs: int,
        stage: str,
        monitor: str = "loss",
        baseline: dict | None = None,
        margin: float = 0.0,
    ):
        super().__init__()
        self.run, self.patience, self.stage, self.epochs, self.monitor = run, patience, stage, epochs, monitor
        self.first_epoch, self.over = run.first_epoch(stage, epochs), stage in run.finished_stages
        stored = run.checkpoint if run.checkpoint and run.checkpoint.stage == stage else None
        self.checkpoint, self.baseline, self.margin = stored, baseline, margin
        self.best_epoch = stored.best_epoch if stored else -1
        self.best_value = stored.best_value if stored else float("inf")
        self.epoch_started = 0.0

    @property
    def improved(self) -> bool:
        """Whether the stage's weights were kept."""
        return self.best_epoch >= 0

    def _value(self, value: float) -> float:
        """What is monitored, so that less is better."""
        return float(value if self.monitor == "loss" else 1.0 - value)

    def on_train_begin(self, logs=None):
        if not self.model.optimizer.built:  # Built also when over: MultiOptimizer needs it to end an empty `fit`.
            self.model.optimizer.build(self.model.trainable_variables)
        if self.over:
            return
        print(f"stage: {self.stage.replace('_', ' ')}", file=sys.stderr)
        trim_history(self.run.directory, self.run.finished_stages, self.stage, self.first_epoch)
        if self.checkpoint:
            for variable, value in zip(self._state(), self.checkpoint.values, strict=True):
                variable.assign(value)
        elif self.baseline is not None:
            self.best_value = self._value(self.baseline[self.monitor]) + self.margin
            self._write_best()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        row = {"stage": self.stage, "epoch": epoch, **logs, "learning_rate": _learning_rate(self.model.optimizer)}
        row["seconds"] = round(time.perf_counter() - self.epoch_started, 3)
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            slow = self.stage != "head" and hasattr(self.run.config, "fine_tuning_rate")
            flag = "--fine-tuning-rate" if slow else "--learning-rate"
            raise errors.UserError(
                f"the loss became {logs['loss']} in epoch {epoch + 1} of stage {self.stage}: start again with a lower "
                f"{flag}{'' if self.run.config.precision == 'float32' else ' or with --precision float32'}"
            )
        append_history(self.run.directory, row)
        value = self._value(logs[f"val_{self.monitor}"])
        first = self.best_epoch < 0 and self.baseline is None
        better = first or value < self.best_value or value == self.best_value and self.monitor != "loss"
        if better and (self.patience is not None or epoch + 1 == self.epochs):
            self.best_epoch, self.best_value = epoch, value
            self._write_best()
        if self.patience is not None:
            self.model.stop_training = epoch - max(self.best_epoch, 0) >= self.patience
        self._write_checkpoint(epoch)

    def on_train_end(self, logs=None):
        if self.over and not self.checkpoint:  # A later stage has begun since: only the best one is left.
            (path,) = self._best_paths()
            self.best_epoch = int(path.stem.rpartition("_")[2]) - 1
        else:
            path = self._best_path()
            self._remove_all_but(path)
        with np.load(path) as best:
            for i, variable in enumerate(surgery.moving_variables(self.model)):
                variable.assign(best[f"arr_{i}"])
        if not self.over:
            self.run.finished_stages.append(self.stage)

    def _remove_all_but(self, best: pathlib.Path) -> None:
        for path in self._best_paths():
            if path != best:
                path.unlink()

    def _state(self):
        return surgery.moving_variables(self.model) + list(self.model.optimizer.variables)

    def _best_path(self) -> pathlib.Path:
        return self.run.directory / f"best_{self.stage}_{self.best_epoch + 1:04d}.npz"

    def _best_paths(self) -> list[pathlib.Path]:
        return list(self.run.directory.glob(f"best_{glob.escape(self.stage)}_[0-9][0-9][0-9][0-9].npz"))

    def _write_best(self) -> None:
        with files.replacing(self._best_path()) as temporary:
            np.savez(temporary, *[keras.ops.convert_to_numpy(v) for v in surgery.moving_variables(self.model)])

    def _write_checkpoint(self, epoch: int) -> None:
        """The best weights first, then the checkpoint that points to them, then the outdated best ones go."""
        finished = list(self.run.finished_stages)
        if self.model.stop_training or epoch + 1 == self.epochs:
            finished.append(self.stage)
        values = [keras.ops.convert_to_numpy(variable) for variable in self._state()]
        state = Checkpoint(self.stage, finished, epoch, self.best_epoch, self.best_value, self.run.seconds(), values)
        state.write(self.run.directory)
        self._remove_all_but(self._best_path())


def fit(
    prefix: frozen_prefix.FrozenPrefix, stopping: EarlyStopping, before: dict | None = None, balanced: bool = False,
    class_weight=None,
) -> dict:  # fmt: skip
    """Fits what lies behind a frozen prefix, as it was compiled, in the order of photos that the seed fixes.

    Args:
        prefix: its suffix is trained, and so the model that it was cut from.
        stopping: says where the stage begins and ends, and keeps its weights or those before.
        before: what the model scored, with less of it unfrozen; it must score the same before any weight moves.
        balanced, class_weight: as for `FrozenPrefix.generators` and Keras's `fit`.

    Returns:
        The score on the validation photos, metric → value, of the weights that were kept.

    Raises:
        UserError: the score changed by unfreezing alone.
    """
    part, config = prefix.suffix, stopping.run.config
    callbacks = [stopping]
    if config.tensorboard and not stopping.over:
        callbacks.append(tracking.tensorboard_callback(stopping.run.directory, stopping.stage))
    train_generator, val_generator, _ = prefix.generators(stopping.first_epoch, balanced)
    if before:
        joined_score = part.evaluate(val_generator, verbose=0, return_dict=True)
        surgery.check_same_score(before["loss"], joined_score["loss"], config)
    part.fit(
        train_generator,
        verbose=verbosity(),
        shuffle=False,  # the generator shuffles
        steps_per_epoch=generators.steps(len(prefix.splits.train), prefix.config.batch_size),
        initial_epoch=stopping.first_epoch,
        epochs=stopping.epochs,
        validation_data=val_generator,
        class_weight=class_weight,
        callbacks=callbacks,
    )
    return part.evaluate(val_generator, verbose=0, return_dict=True)


def _learning_rate(optimizer) -> float:
    """The rate in use; of several optimizers the highest."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of the loss scaling under mixed_float16
    return max(float(single.learning_rate) for single in getattr(optimizer, "optimizers", [optimizer]))


def summary(result: Result) -> str:
    """The table that a run ends with: validation and test side by side, the cost, and where the report is."""
    rows: list[tuple[str, ...]] = [("", "validation", "test")]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        rows.append(
            (name.replace("_", " "), *(f"{result.results[split][name]:.3f}" for split in ("validation", "test")))
        )
    low, high = result.results["test"]["accuracy_interval"]
    rows.append(("95 % interval of accuracy", "", f"{low:.3f} – {high:.3f}"))
    if result.results["test"].get("interval_units", evaluation.FEW_UNITS) < evaluation.FEW_UNITS:
        rows.append(("of so few groups it says little", "", f"{result.results['test']['interval_units']} groups"))
    unit = "clips" if "clips" in result.results else "photos"
    rows.append((unit, *(str(result.results[split]["n"]) for split in ("validation", "test"))))
    cost = result.results["cost"]
    lines = [f"{name:<26}{validation:>12}{test:>16}" for name, validation, test in rows]
    lines.append(
        f"{cost['epochs']} epochs, {cost['seconds']:.0f} s, {cost['peak_memory_bytes'] / 2**20:,.0f} MB of memory, "
        f"{cost['trainable_parameters']:,} of {cost['total_parameters']:,} parameters trained"
    )
    if "kept_stage" in result.results:
        lines.append(f"kept: {result.results['kept_stage'].replace('_', ' ')}, by its score on validation")
    return "\n".join([*lines, f"report: {result.directory / 'report.html'}"])


# History ------------------------------------------------------------------------------------------------------


def append_history(directory: pathlib.Path, row: dict) -> None:
    """Adds one epoch to history.csv; the first one writes the column names."""
    path = directory / "history.csv"
    new = not path.is_file() or not path.stat().st_size
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def read_history(directory: pathlib.Path) -> list[dict]:
    """The epochs of history.csv, an empty list when there is none: `stage` is text, all else are numbers."""
    path = directory / "history.csv"
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: value if name == "stage" else float(value) for name, value in row.items()} for row in rows]


def trim_history(directory: pathlib.Path, finished_stages: list[str], stage: str, epochs: int) -> None:
    """Drops what was written after the checkpoint: a kill between the two writes leaves an epoch too many."""
    path = directory / "history.csv"
    if not path.is_file() or not path.stat().st_size:
        return
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if row[0] in finished_stages or (row[0] == stage and int(row[1]) < epochs)]
    if kept:
        files.write_csv(path, header, kept)
    else:
        path.unlink()


# Predictions and the saved model --------------------------------------------------------------------------------


def write_predictions(directory: pathlib.Path, splits, probabilities: np.ndarray, **further) -> None:
    """Writes predictions.csv: the test photos with their true and predicted class and all probabilities.

    Args:
        directory: the run directory.
        splits: whose test photos, or texts, were predicted: it has `class_names` and `test`.
        probabilities: (n, k) floats.
        further: columns to add, n values each.
    """
    names = splits.class_names
    rows = []
    for sample, row, values in zip(splits.test, probabilities, _transposed(further, len(probabilities)), strict=True):
        predicted = names[int(row.argmax())]
        rows.append([sample.path, sample.label, predicted, f"{row.max():.6f}", int(predicted == sample.label),
                     *(f"{p:.6g}" for p in row), *values])  # fmt: skip
    columns = ["path", "label", "predicted", "confidence", "correct", *(f"p_{name}" for name in names), *further]
    files.write_csv(directory / "predictions.csv", columns, rows)


def _transposed(columns: dict, length: int) -> list[tuple]:
    return list(zip(*columns.values(), strict=True)) if columns else [()] * length


def save_model(directory: pathlib.Path, model: keras.Model, class_names, clips=None) -> None:
    """Writes model.keras, with the class names as `class_names.json` inside the same archive.

    Args:
        directory: the run directory.
        model: takes RGB 0–255 of any size.
        class_names: in the order of its outputs.
        clips: the `generators.Clips` by which it looks at clips; it goes into the archive as `clips.json`.
    """
    with files.replacing(directory / "model.keras") as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr("class_names.json", json.dumps(list(class_names), ensure_ascii=False))
            if clips:
                archive.writestr("clips.json", json.dumps(dataclasses.asdict(clips)))


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """What stands in a model.keras: the model, its class names, and how it looks at clips; None for photos."""

    model: keras.Model
    class_names: list[str]
    clips: generators.Clips | None


def load_model(directory: pathlib.Path) -> SavedModel:
    """The model of a finished run, taking RGB 0–255 of any size.

    Args:
        directory: of the run, or its model.keras.

    Raises:
        UserError: there is no model.keras, or it cannot be read.
    """
    path = directory / "model.keras" if directory.is_dir() else directory
    if (directory / "compare.json").is_file():
        raise errors.UserError(
            f"{directory} is a comparison: give one of its runs, a folder with a model.keras below {directory}/trials/"
        )
    if (directory / "preset").is_dir():
        raise errors.UserError(
            f"{directory} is a run on texts: it knows generate and report, with --task classify predict"
        )
    if (directory / "config.json").is_file() and not (directory / "results.json").is_file():
        raise errors.UserError(f"{directory} is not finished: go on with --resume {directory}")
    if not path.is_file():
        raise errors.UserError(f"{directory}: no model.keras there; give the directory of a finished run")
    try:
        with zipfile.ZipFile(path) as archive:
            class_names = json.loads(archive.read("class_names.json"))
            has_clips = "clips.json" in archive.namelist()
            clips = generators.Clips(**json.loads(archive.read("clips.json"))) if has_clips else None
        return SavedModel(keras.saving.load_model(path, compile=False), class_names, clips)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise errors.UserError(f"{path}: not a model file of these recipes ({str(error).splitlines()[0]})") from error


# Cost and surroundings ------------------------------------------------------------------------------------------


class PeakMemory(threading.Thread):
    """Watches this process's resident memory, ten times a second; `peak` is its maximum in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process = psutil.Process()
        self.peak = self.process.memory_info().rss
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.1):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def restart(self):
        """Forgets the maximum so far."""
        self.peak = self.process.memory_info().rss

    def stop(self):
        """Ends the watching."""
        self.stopped.set()


def verbosity() -> int:
    """`verbose` for `fit`: a bar where somebody watches, a line an epoch in a log file."""
    return 1 if sys.stdout.isatty() else 2


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command line that started this process, as one would type it."""
    return shlex.join(["python", *sys.argv])
