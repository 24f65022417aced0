"""A run while it is alive: its directory, its clock, and where it stands when it is resumed.

`runs/<recipe>/<UTC time>_seed<seed>/` holds config.json, split.csv, history.csv, results.json, model.keras,
predictions.csv, figures/ and report.html; while it trains also checkpoint.npz and best_<stage>_<epoch>.npz.
"""

import contextlib
import dataclasses
import datetime
import json
import pathlib
import shutil
import sys
import time
import weakref

import keras
import numpy as np

from common import devices, errors, files, flags, words
from common.data import sample_list
from common.models import backbones, freezing
from common.models import raw_input as pixels
from common.report import page
from common.runs import cost, finished_run, saved_model, tracking
from common.training import checkpoints


class Recorder:
    """One run: its directory, its clock, and where it stands when it is resumed.

    Attributes:
        config: the settings, those of the interrupted run when `--resume` was given.
        directory: the run directory.
        progress: where it stands: what is finished, what it goes on from.
    """

    def __init__(self, recipe: str, config):
        """Makes a new run directory, or opens the one that `config.resume` names.

        Raises:
            UserError: the directory to resume is not an interrupted run of this recipe, the backbone is unknown, or
                what `--tensorboard` or `--mlflow` need is not there.
        """
        backbones.check_name(getattr(config, "backbone", None))  # recipes on texts have none
        started = time.perf_counter()
        self.recipe, self.command = recipe, cost.command()
        self.earlier_peaks: list[int] = []  # of memory, of parts of the run that are measured alone
        cost.forget_peak_memory()
        if config.resume:
            self.directory = config.resume.expanduser()
            self.config = self._interrupted_config(config)
        else:
            self.config = config
        tracking.check(self.config.tensorboard, self.config.mlflow)
        if not config.resume:
            self.directory = self._new_directory()
        self.progress = checkpoints.Progress(self.directory, started)

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
            raise errors.UserError(f"--resume takes all settings from the run: leave {', '.join(changed)} out")
        self.command = stored["command"]  # the one that began it
        return flags.from_dict(type(config), stored["config"])

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

    def begin(self, backbone, model: keras.Model | None = None, **resolved) -> None:
        """Writes config.json, with what the settings leave open, and says on stderr what trains.

        Args:
            backbone: the `backbones.Backbone` that was chosen.
            model: of which a table is shown.
            resolved: further settings that are known now.

        Raises:
            UserError: the disk would be full before the end.
        """
        if model is not None:
            self._check_space(model)
        self.write_config(backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size, **resolved)
        if model is not None:
            print(freezing.trainable_table(model), file=sys.stderr)

    def _check_space(self, model: keras.Model) -> None:
        """Refuses a disk that would be full at the end: of the model, its best epoch, and the optimizer's moments."""
        trainable, frozen = freezing.count_parameters(model)
        needed, free = 4 * (frozen + 5 * trainable), shutil.disk_usage(self.directory).free
        if needed > free:
            raise errors.UserError(
                f"--out {self.config.out}: the run needs {words.size(needed)} there, {words.size(free)} are free; "
                "free some, or choose another"
            )

    def write_config(self, **resolved) -> None:
        """Writes config.json: the settings with the defaults filled in, the versions, the command."""
        self.config = dataclasses.replace(self.config, **resolved)
        files.write_json(self.directory / "config.json", {
            "recipe": self.recipe,
            "command": self.command,
            "config": flags.to_dict(self.config),
            "versions": cost.versions(),
            "device": devices.description(),
            "started": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        })  # fmt: skip
        print(f"run: {self.directory} (if it is interrupted: --resume {self.directory})", file=sys.stderr)
        flags.HOW_TO_GO_ON.append(f"--resume {self.directory}")
        if self.config.tensorboard:
            print(f"curves: tensorboard --logdir {self.directory / 'tensorboard'}", file=sys.stderr)

    def cost(self, model: keras.Model, *parts) -> dict:
        """The `cost` section of results.json.

        Args:
            model: the whole one.
            parts: every `FrozenPrefix` or `FrozenWindows` of the run.
        """
        history = finished_run.read_history(self.directory)
        trainable, frozen = freezing.count_parameters(model)
        return {
            "seconds": round(self.progress.seconds(), 2),
            "seconds_per_epoch": round(float(np.median([row["seconds"] for row in history])), 3) if history else None,
            "epochs": len(history),
            "peak_memory_bytes": max([cost.peak_memory(), *self.earlier_peaks]),
            "trainable_parameters": trainable,
            "total_parameters": trainable + frozen,
            "prefix_seconds": round(sum(part.seconds for part in parts), 2),
            "cache_bytes": sum(part.cache_bytes for part in parts),
        }

    def stage(self, name: str, model: keras.Model, score: dict) -> dict:
        """A row of the `stages` section of results.json: what a training stage brought on validation, and its seconds
        of training; those of the features, which stages share, are in `cost`.

        Args:
            name: of the stage, as in history.csv.
            model: with the layers trainable that the stage trained.
            score: `loss`, `accuracy` and further metrics on the validation photos, after the stage.
        """
        seconds = [row["seconds"] for row in finished_run.read_history(self.directory) if row["stage"] == name]
        return {
            "stage": name,
            **{f"validation_{metric}": round(value, 4) for metric, value in score.items()},
            "epochs": len(seconds),
            "seconds": round(sum(seconds), 1),
            "trainable_parameters": freezing.count_parameters(model)[0],
        }

    def finish(
        self,
        part,
        strategy: str,
        *,
        task,
        sections: list,
        predictions: dict[str, np.ndarray] | None = None,
        raw_input: keras.Model | None = None,
        groups: dict[str, list[str]] | None = None,
        columns: dict[str, list] | None = None,
        others: tuple = (),
        **further,
    ) -> finished_run.Result:
        """Evaluates, saves what stays, draws the report and says what came out: a recipe's end.

        Args:
            part: the `FrozenPrefix` whose model was trained.
            strategy: what was done, in a few words.
            task: a module of `common.evaluation` with `evaluate(predictions, splits, side, seed, groups)`.
            sections: modules of `common.report`, as for `page.write`; each also has a `summary` for the terminal.
            predictions: side → outputs (n, …), of classes their probabilities; default: what the model gives.
            raw_input: the model that takes items as they come; default: that of photos.
            groups: side → those of its samples, for the intervals; default: those of the split.
            columns: further columns of predictions.csv, name → a value for each test sample.
            others: the run's other `FrozenPrefix`es, whose cost counts too.
            further: more for results.json, before the cost.
        """
        splits, backbone = part.splits, part.backbone
        sides = predictions or {side: part.predict(side)[0] for side in sample_list.SPLIT_NAMES}
        results = {"strategy": strategy, "medium": splits.medium.name}
        results |= {"evaluation": task.__name__.rpartition(".")[2], "data": splits.summary()} | further
        for side, predicted in sides.items():
            results[side] = task.evaluate(predicted, splits, side, self.config.seed, (groups or {}).get(side))
        write_predictions(self.directory, splits, sides["test"], **columns or {})

        model = raw_input or pixels.take_raw_pixels(part.model, backbone.preprocess, backbone.resize)
        saved = saved_model.SavedModel(model, splits.targets, splits.medium)
        saved_model.save_model(self.directory, saved)
        return self.complete(results | {"cost": self.cost(part.model, part, *others)}, sections, saved)

    def complete(self, results: dict, sections: list, saved=None) -> finished_run.Result:
        """Writes results.json, the mark of a finished run, draws the report, publishes, and prints the summary.

        Args:
            results: what the run found.
            sections: as for `finish`.
            saved: the `saved_model.SavedModel` that the report explains answers with, or None.
        """
        names = [section.__name__.rpartition(".")[2] for section in sections]
        result = self.write_results(results | {"sections": names})
        page.write(self.directory, sections, saved)
        self.publish()
        for section in sections:  # what puts the numbers in doubt comes before them
            if hasattr(section, "warning"):
                print(section.warning(result))
        for section in sections:
            print(section.summary(result))
        return result

    def write_results(self, results: dict) -> finished_run.Result:
        """Writes results.json, and removes the checkpoint."""
        results = {"recipe": self.recipe, "seed": self.config.seed} | results | {"versions": cost.versions()}
        files.write_json(self.directory / "results.json", results)
        flags.HOW_TO_GO_ON.clear()
        for path in [self.directory / checkpoints.Checkpoint.NAME, *self.directory.glob("best_*.npz")]:
            path.unlink(missing_ok=True)
        return finished_run.Result(self.directory, results)

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


# Predictions and the saved model --------------------------------------------------------------------------------


def write_predictions(directory: pathlib.Path, splits, outputs: np.ndarray, **further) -> None:
    """Writes predictions.csv: the test items with the answers beside the truth.

    Args:
        directory: the run directory.
        splits: a `splits.Splits` whose test items were asked about.
        outputs: (n, …) floats: of classes (n, k) their probabilities.
        further: columns to add, n values each.
    """
    judged = [splits.targets.judged(sample, output) for sample, output in zip(splits.test, outputs, strict=True)]
    columns = ["path", *judged[0], *further]
    told = [[sample.path, *map(_written, row, row.values())] for sample, row in zip(splits.test, judged, strict=True)]
    values = zip(*further.values(), strict=True) if further else [()] * len(told)
    files.write_csv(
        directory / "predictions.csv", columns, [[*row, *more] for row, more in zip(told, values, strict=True)]
    )


def _written(column: str, value):
    """A value as predictions.csv has it: a confidence with six decimals, other fractions with six digits."""
    return f"{value:.6f}" if column == "confidence" else f"{value:.6g}" if isinstance(value, float) else value
