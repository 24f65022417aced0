"""Checkpoints after every epoch: the state that the next epoch depends on, and the best weights."""

import csv
import dataclasses
import glob
import json
import pathlib
import sys
import time
from typing import Any

import keras
import numpy as np

from common import errors, files, flags
from common.models import freezing
from common.runs import finished_run

CROSSENTROPY = "categorical_crossentropy"  # the metric that is the loss without the penalties on weights


@dataclasses.dataclass
class Checkpoint:
    """The state after an epoch. Together with the config, it is all that the next epoch depends on."""

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
        """Read the checkpoint of a run directory; None if no epoch is finished."""
        path = directory / cls.NAME
        if not path.exists():
            return None
        with finished_run.sound(directory), np.load(path) as stored:
            state = json.loads(str(stored["state"]))
            for name, kind in (("epoch", int), ("best_epoch", int), ("best_value", float), ("seconds", float)):
                state[name] = kind(state[name])
            values = [stored[f"value_{i}"] for i in range(len(stored.files) - 1)]
            if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
                raise ValueError("a number of the checkpoint is not finite")
            return cls(**state, values=values)

    def write(self, directory: pathlib.Path) -> None:
        """Write the checkpoint; an incomplete one never replaces a complete one."""
        state = {key: value for key, value in vars(self).items() if key != "values"}
        arrays: dict[str, Any] = {f"value_{i}": value for i, value in enumerate(self.values)}
        with files.replacing(directory / self.NAME) as temporary:
            np.savez(temporary, state=json.dumps(state), **arrays)


class Diverged(errors.UserError):
    """The loss of the training is not finite."""


class Progress:
    """The progress of a run: finished stages, the state to continue from after an interruption, and its clock.

    Attributes:
        directory: the run directory.
        checkpoint: the state after the last finished epoch of an interrupted run; None for a new run.
        finished_stages: names of the finished training stages.
    """

    def __init__(self, directory: pathlib.Path, started: float | None = None) -> None:
        self.directory, self.started = directory, time.perf_counter() if started is None else started
        self.checkpoint = Checkpoint.read(directory)
        self.finished_stages = list(self.checkpoint.finished_stages) if self.checkpoint else []
        self.earlier_seconds = self.checkpoint.seconds if self.checkpoint else 0.0

    def first_epoch(self, stage: str, epochs: int) -> int:
        """Return the epoch at which a stage starts: 0, the one after its last, or `epochs` if it is finished."""
        if stage in self.finished_stages:
            return epochs
        if self.checkpoint and self.checkpoint.stage == stage:
            return self.checkpoint.epoch + 1
        return 0

    def give_up(self, stage: str) -> None:
        """End a stage that diverged; the checkpoint of the next epoch records it."""
        self.finished_stages.append(stage)
        for path in self.best_paths(stage):
            path.unlink()

    def given_up(self, stage: str) -> bool:
        """Return whether the stage was given up, in this or an earlier session of the run."""
        return stage in self.finished_stages and not self.best_paths(stage)

    def best_paths(self, stage: str) -> list[pathlib.Path]:
        """Return the files with the best weights of a stage: one, or two while they are replaced."""
        return list(self.directory.glob(f"best_{glob.escape(stage)}_[0-9][0-9][0-9][0-9].npz"))

    def seconds(self) -> float:
        """Return the run's wall time in seconds; earlier sessions count up to their last finished epoch."""
        return self.earlier_seconds + time.perf_counter() - self.started


class BestEpoch(keras.callbacks.Callback):
    """A callback that keeps the weights of the best epoch on validation, and stops the training early.

    It is Keras's `EarlyStopping` with a memory on disk. After every epoch it appends to history.csv and writes
    everything that the next epoch depends on: weights, the optimizer's state, dropout's random state, the best epoch.
    A killed run can therefore continue as if it had not been interrupted.

    Args:
        progress: the progress of the run; a finished stage is added to it.
        config: the settings of the run, for the error message if the training diverges.
        stage: the name of this part of the training; each `fit` of a run has its own.
        epochs: the `epochs` of `fit`.
        patience: epochs without a better one before the training stops. With None or 0, it runs to the last, and only
            that one counts. None suits a rate that falls to 0. The last epoch is then as good as any, and a choice on a
            few dozen validation photos would be noise.
        monitor: `loss`, or a metric that is better if it is higher, on the validation photos. Of epochs with the same
            accuracy, the last one is kept. The loss is without the penalties on weights (L2, L2-SP) if the model was
            compiled with the metric `categorical_crossentropy`; Keras's own `val_loss` contains them.
        baseline: the monitored value of the weights before the stage. If no epoch is better, these weights are
            restored. With None, the first epoch is kept however bad it is.

    Attributes:
        improved: after `fit`, whether the stage's weights were kept rather than those from before.
    """

    def __init__(
        self,
        progress: Progress,
        config: flags.RunConfig,
        stage: str,
        epochs: int,
        patience: int | None = None,
        monitor: str = "loss",
        baseline: float | None = None,
    ) -> None:
        super().__init__()
        self.progress, self.config, self.directory = progress, config, progress.directory
        self.patience, self.stage, self.epochs, self.monitor = patience or None, stage, epochs, monitor
        self.first_epoch, self.over = progress.first_epoch(stage, epochs), stage in progress.finished_stages
        stored = progress.checkpoint if progress.checkpoint and progress.checkpoint.stage == stage else None
        self.checkpoint, self.baseline = stored, baseline
        self.best_epoch = stored.best_epoch if stored else -1
        self.best_value = stored.best_value if stored else float("inf")
        self.epoch_started = 0.0

    @property
    def improved(self) -> bool:
        """Whether the stage's weights were kept."""
        return self.best_epoch >= 0

    def _value(self, value: float) -> float:
        """Return the monitored value in a form where lower is better."""
        return float(value if self.monitor == "loss" else 1.0 - value)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # It is built even for a finished stage: MultiOptimizer needs it in an empty `fit`.
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if self.over:
            return
        print(f"stage: {self.stage.replace('_', ' ')}", file=sys.stderr)
        with finished_run.sound(self.directory):
            trim_history(self.directory, self.progress.finished_stages, self.stage, self.first_epoch)
        if self.checkpoint:
            with finished_run.sound(self.directory):
                for variable, value in zip(self._state(), self.checkpoint.values, strict=True):
                    variable.assign(value)
        elif self.baseline is not None:
            self.best_value = self._value(self.baseline)
            self._write_best()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch_started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {"stage": self.stage, "epoch": epoch, **logs, "learning_rate": _learning_rate(self.model.optimizer)}
        row["seconds"] = round(time.perf_counter() - self.epoch_started, 3)
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            slow = self.stage != "head" and hasattr(self.config, "fine_tuning_rate")
            flag = "--learning-rates" if hasattr(self.config, "learning_rates") else "--learning-rate"
            flag = "--fine-tuning-rate" if slow else flag
            raise Diverged(
                f"the loss became {logs['loss']} in epoch {epoch + 1} of stage {self.stage}; start again with a lower "
                f"{flag}{'' if self.config.precision == 'float32' else ' or with --precision float32'}"
            )
        with finished_run.sound(self.directory):
            append_history(self.directory, row)
        monitored = logs[f"val_{self.monitor}"]
        if self.monitor == "loss":
            monitored = logs.get(f"val_{CROSSENTROPY}", monitored)
        value = self._value(monitored)
        first = self.best_epoch < 0 and self.baseline is None
        better = first or value < self.best_value or value == self.best_value and self.monitor != "loss"
        if better and (self.patience is not None or epoch + 1 == self.epochs):
            self.best_epoch, self.best_value = epoch, value
            self._write_best()
        if self.patience is not None:
            self.model.stop_training = epoch - max(self.best_epoch, 0) >= self.patience
        self._write_checkpoint(epoch)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.over and not self.checkpoint:  # A later stage has begun: only the best weights are left.
            (path,) = self.progress.best_paths(self.stage)
            self.best_epoch = int(path.stem.rpartition("_")[2]) - 1
        else:
            path = self._best_path()
            self._remove_all_but(path)
        with finished_run.sound(self.directory), np.load(path) as best:
            for i, variable in enumerate(freezing.moving_variables(self.model)):
                variable.assign(best[f"arr_{i}"])
        if not self.over:
            self.progress.finished_stages.append(self.stage)

    def _remove_all_but(self, best: pathlib.Path) -> None:
        for path in self.progress.best_paths(self.stage):
            if path != best:
                with finished_run.sound(self.directory):
                    path.unlink()

    def _state(self) -> list[keras.Variable]:
        return freezing.moving_variables(self.model) + list(self.model.optimizer.variables)

    def _best_path(self) -> pathlib.Path:
        return self.directory / f"best_{self.stage}_{self.best_epoch + 1:04d}.npz"

    def _write_best(self) -> None:
        with files.replacing(self._best_path()) as temporary:
            np.savez(temporary, *[keras.ops.convert_to_numpy(v) for v in freezing.moving_variables(self.model)])

    def _write_checkpoint(self, epoch: int) -> None:
        """Write the checkpoint, which refers to the best weights already on disk, then remove outdated weights."""
        finished = list(self.progress.finished_stages)
        if self.model.stop_training or epoch + 1 == self.epochs:
            finished.append(self.stage)
        values = [keras.ops.convert_to_numpy(variable) for variable in self._state()]
        state = Checkpoint(
            self.stage, finished, epoch, self.best_epoch, self.best_value, self.progress.seconds(), values
        )
        state.write(self.directory)
        self._remove_all_but(self._best_path())


def _learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the current learning rate; the highest one of several optimizers."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # loss scaling under mixed_float16 wraps the optimizer
    return max(float(single.learning_rate) for single in getattr(optimizer, "optimizers", [optimizer]))


# History ------------------------------------------------------------------------------------------------------


def append_history(directory: pathlib.Path, row: dict) -> None:
    """Append an epoch to history.csv; the first one also writes the column names.

    A resumed run that an older version began keeps its columns.
    """
    path = directory / "history.csv"
    with open(path, "a+", newline="", encoding="utf-8") as file:
        file.seek(0)
        columns = next(csv.reader(file), None)
        writer = csv.DictWriter(file, columns or row, extrasaction="ignore", lineterminator="\n")
        if not columns:
            writer.writeheader()
        writer.writerow(row)


def trim_history(directory: pathlib.Path, finished_stages: list[str], stage: str, epochs: int) -> None:
    """Remove the epochs after the checkpoint: a kill between the two writes leaves one epoch too many."""
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
