"""A run in progress: its directory, its clock, and its state when it is resumed.

`runs/<recipe>/<UTC time>_seed<seed>/` holds config.json, split.csv, history.csv, results.json, model.keras,
predictions.csv, figures/ and report.html. During training it also holds checkpoint.npz and best_<stage>_<epoch>.npz.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import pathlib
import shutil
import sys
import time
import types
import weakref
from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

import keras
import numpy as np

from common import devices, errors, files, flags, outputs, streams, words
from common.data import sample_list, unchanged
from common.evaluation import baselines, shortcuts
from common.models import backbones, freezing, memory
from common.models import raw_input as pixels
from common.report import page
from common.runs import cost, energy, familiar, finished_run, saved_model, speed, tracking
from common.training import checkpoints, plan

ConfigType = TypeVar("ConfigType", bound=flags.RunConfig)


class Recorder(Generic[ConfigType]):
    """A run: its directory, its clock, and its state when it is resumed.

    Attributes:
        config: the settings; those of the interrupted run if `--resume` is given.
        directory: the run directory.
        progress: what is finished, and the state from which the run continues.
    """

    def __init__(self, recipe: str, config: ConfigType) -> None:
        """Make a new run directory, or open the one that `config.resume` names.

        Raises:
            UserError: the directory to resume is not an interrupted run of this recipe, has lost its split or is
                written by another process, the backbone cannot be used, or `--tensorboard` or `--mlflow` needs
                something that is missing, or `--energy`.
        """
        config.check_files()
        started = time.perf_counter()
        self.recipe, self.command = recipe, cost.command()
        self.earlier_peaks: list[int] = []  # peak memory in bytes of parts of the run that are measured separately
        cost.forget_peak_memory()
        if config.resume:
            self.directory = config.resume.expanduser()
            self.config = self._interrupted_config(config)
        else:
            self.config = config
        tracking.check(self.config.tensorboard, self.config.mlflow)
        energy.check(self.config.energy)
        self._meter: energy.Meter | None = None
        if not config.resume:
            self.directory = self._new_directory()
            self._lock = outputs.lock(self.directory)
        if not self.config.no_cache:
            outputs.tag_cache(self.config.cache_directory)
        self.progress = checkpoints.Progress(self.directory, started)

    def _interrupted_config(self, config: ConfigType) -> ConfigType:
        path = self.directory / "config.json"
        if not path.is_file():
            raise errors.UserError(f"--resume {config.resume}: not a run directory, since it has no config.json")
        with finished_run.sound(self.directory):
            stored = json.loads(path.read_text(encoding="utf-8"))
            seals = stored.get("splits", {})  # older versions wrote none
            stored = {name: stored[name] for name in ("recipe", "command", "config")}
            finished_run.read_history(self.directory)  # a damaged one would be found at the end only
            seals = {name: {key: seal[key] for key in ("items", "hash")} for name, seal in seals.items()}
        if stored["recipe"] != self.recipe:
            raise errors.UserError(
                f"--resume {config.resume}: this is a run of {stored['recipe']}, not of {self.recipe}"
            )
        self._lock = outputs.lock(self.directory)
        if (self.directory / "results.json").is_file():
            drawn = (self.directory / "report.html").is_file()
            again = "to draw its report again" if drawn else "only its report is missing; to draw it"
            raise errors.UserError(
                f"--resume {config.resume}: this run is finished; {again}, use "
                f"`python -m recipes report {config.resume}`"
            )
        changed = [
            f"--{field.name.replace('_', '-')}"
            for field in dataclasses.fields(config)
            if f"--{field.name}" not in flags.WITH_RESUME and getattr(config, field.name) != field.default
        ]
        if changed:
            raise errors.UserError(f"--resume reuses the settings of the interrupted run; remove {', '.join(changed)}")
        self._check_split()
        with finished_run.sound(self.directory):
            unchanged.check_seals(self.directory, seals)
        self.command = stored["command"]  # the command that started the run
        with finished_run.sound(self.directory):
            return flags.from_dict(type(config), stored["config"])

    def _check_split(self) -> None:
        """Refuse a run whose training has begun and whose split is gone: a new split could test what it has learnt."""
        begun = any((self.directory / name).exists() for name in ("history.csv", checkpoints.Checkpoint.NAME, "trials"))
        splits = [self.directory / "split.csv", *self.directory.glob("splits/*/split.csv")]
        if begun and not any(path.is_file() for path in splits):
            raise errors.UserError(
                f"--resume {self.directory}: its split.csv is gone, so it is unknown which items were trained on; "
                "put it back, or start a new run"
            )

    def _new_directory(self) -> pathlib.Path:
        now = datetime.datetime.now(datetime.UTC)
        stem = f"{now:%Y-%m-%dT%H-%M-%SZ}_seed{self.config.seed}"
        for attempt in range(1, 1000):
            name = stem if attempt == 1 else f"{stem}_{attempt}"
            directory = self.config.out.expanduser() / self.recipe / name
            made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise errors.UserError(f"--out {self.config.out}: {error.strerror}; choose another folder") from error
            # A mistake in the flags may be found later; it should not leave an empty directory behind.
            self._remove = weakref.finalize(self, _remove_unused, made)
            return directory
        raise errors.UserError(
            f"--out {self.config.out}: too many runs started in the same second; start this one again"
        )

    def begin(
        self,
        backbone: backbones.Backbone,
        model: keras.Model,
        splits: Any,
        stages: list[tuple[int, int]],
        *,
        network: keras.Model | None = None,
        turns: int = 1,
        at: dict[int, list] | None = None,
        unfreeze: Callable[[int], None] | None = None,
        loss: Any = "categorical_crossentropy",
        further: int = 0,
        **resolved: Any,
    ) -> None:
        """Write config.json, with defaults that are now known; with `--dry-run` print the plan and stop the program.

        Args:
            backbone: the network that was chosen.
            model: the classifier on it, its layers frozen as in the stage that trains most.
            splits: the items.
            stages: for each stage, the number of the first layer that trains and the likely number of epochs.
            network, turns, at, unfreeze, loss, further: as for `plan.of_items`.
            resolved: further settings that are known now.

        Raises:
            UserError: the disk has too little free space for the run, or a batch takes more memory than there is.
            SystemExit: this is a dry run.
        """
        self._check_space(model)
        self._check_memory(model, backbone, splits)
        self.say_if_untrained()
        if self.config.dry_run:
            self.print_plan(
                plan.of_items(model, backbone, splits, self.config, stages, network, turns, at, unfreeze, loss, further)
            )
        self.write_config(backbone=backbone.name, weights=backbone.weights, image_size=backbone.image_size, **resolved)

    def print_plan(self, planned: plan.Plan) -> NoReturn:
        """Print the plan of a dry run, remove its directory and stop the program."""
        print(f"dry run of {self.recipe}: nothing was trained, and no run is kept")
        print(planned.text(self.config.cache_directory / "features", self.config.out / self.recipe))
        if self.config.price_per_hour:
            told = cost.said_price(sum(step.seconds for step in planned.steps), self.config.price_per_hour)
            print(f"price: about {told}")
        self.discard()
        sys.exit()

    def _check_space(self, model: keras.Model) -> None:
        """Refuse a disk that cannot hold the model, its best epoch and the optimizer's moments."""
        needed = plan.space(model.count_params(), freezing.count_parameters(model)[0])
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise errors.UserError(
                f"--out {self.config.out}: the run needs {words.size(needed)}, but only {words.size(free)} are free; "
                "free some space, or choose another folder"
            )

    def _check_memory(self, model: keras.Model, backbone: backbones.Backbone, splits: Any) -> None:
        """Refuse a batch that takes more memory than there is, before anything is computed."""
        largest = max((len(getattr(splits, side)) for side in sample_list.SPLIT_NAMES), default=1) if splits else 1
        items = min(self.config.batch_size, largest)
        frames = f", or fewer --frames than {self.config.frames}" if hasattr(self.config, "frames") else ""
        memory.check(
            memory.of_a_batch(model, items),
            f"choose a smaller --batch-size than {items}, a smaller --image-size than {backbone.image_size}{frames}",
        )

    @property
    def has_untrained_network(self) -> bool:
        """Whether `--weights none` gave random weights to a recipe that starts from pretrained ones."""
        return flags.changed(self.config).get("weights") == "none"

    def say_if_untrained(self) -> None:
        """Print that the network has random weights, if it was to have pretrained ones."""
        if self.has_untrained_network:
            told = "random weights, not pretrained (--weights none): the result says nothing about transfer learning"
            print(f"network: {told}", file=sys.stderr)

    def write_config(self, **resolved: Any) -> None:
        """Write config.json: the settings with `resolved` filled in, the versions, the command; not in a dry run."""
        self.config = dataclasses.replace(self.config, **resolved)
        if self.config.dry_run or getattr(self.config, "find_learning_rate", False):
            return
        files.write_json(self.directory / "config.json", {
            "recipe": self.recipe,
            "command": self.command,
            "config": flags.to_dict(self.config),
            "splits": unchanged.seals(self.directory),
            "versions": cost.versions(),
            "device": devices.description(),
            "started": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        })  # fmt: skip
        print(f"run: {self.directory} (if it is interrupted: --resume {self.directory})", file=sys.stderr)
        flags.HOW_TO_GO_ON.append(f"--resume {self.directory}")
        if self.config.tensorboard:
            print(f"curves: tensorboard --logdir {self.directory / 'tensorboard'}", file=sys.stderr)
        if self.config.energy and not self._meter:
            self._meter = energy.Meter()

    def cost(self, model: keras.Model, *parts: Any) -> dict[str, Any]:
        """Return `cost` in results.json, for the whole model and every `FrozenPrefix` or `FrozenWindows` of the run."""
        history = finished_run.read_history(self.directory)
        trainable, frozen = freezing.count_parameters(model)
        seconds = round(self.progress.seconds(), 2)
        return {
            "seconds": seconds,
            "seconds_per_epoch": round(float(np.median([row["seconds"] for row in history])), 3) if history else None,
            "epochs": len(history),
            "peak_memory_bytes": max([cost.peak_memory(), *self.earlier_peaks]),
            "trainable_parameters": trainable,
            "total_parameters": trainable + frozen,
            "prefix_seconds": round(sum(part.seconds for part in parts), 2),
            "cache_bytes": sum(part.cache_bytes for part in parts),
        } | self.price_and_energy(seconds)

    def price_and_energy(self, seconds: float) -> dict[str, Any]:
        """Return the price of the seconds and the electricity since the begin, if they are asked for.

        After an interruption, the electricity is that of the last session only.
        """
        price = {"price": cost.price(seconds, self.config.price_per_hour)} if self.config.price_per_hour else {}
        return price | ({"energy_kwh": self._meter.kwh()} if self._meter else {})

    def stage(self, name: str, model: keras.Model, score: dict[str, float]) -> dict[str, Any]:
        """Return a row of `stages` in results.json: the validation metrics and the seconds without those of features.

        Args:
            name: the name of the stage in history.csv.
            model: the model, in which the layers that the stage trained are trainable.
            score: `loss`, `accuracy` and further metrics on the validation samples, after the stage.
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
        part: Any,
        strategy: str,
        *,
        task: types.ModuleType,
        sections: list[types.ModuleType],
        predictions: dict[str, np.ndarray] | None = None,
        raw_input: keras.Model | None = None,
        groups: dict[str, list[str]] | None = None,
        frozen: Any = None,
        columns: dict[str, list] | None = None,
        others: tuple = (),
        keeps_familiar: bool = True,
        **further: Any,
    ) -> finished_run.Result:
        """Evaluate and save the model, draw the report and print the summary: the end of a recipe.

        Args:
            part: the `FrozenPrefix` whose model was trained.
            strategy: what was done, in a few words.
            task: a module of `common.evaluation` with `evaluate(predictions, splits, side, seed, groups)`.
            sections: modules of `common.report`, as for `page.write`; each also has a `summary` for the terminal.
            predictions: side → outputs (n, …), for classes the probabilities; default: the model's predictions.
            raw_input: the model that takes items of any size; default: the model for photos.
            groups: side → the group of each sample, for the intervals; default: the groups of the split.
            frozen: the `FrozenPrefix` of the frozen network, on whose features baselines are fitted; None fits none.
            columns: further columns of predictions.csv, name → a value for each test sample.
            others: the run's other `FrozenPrefix`es, whose cost counts too.
            keeps_familiar: keep features of training items in the run, by which `predict` knows what is unlike them.
            further: further sections of results.json, placed before the cost.
        """
        splits, backbone = part.splits, part.backbone
        self._note_engine(part)
        sides = predictions or {side: part.predict(side)[0] for side in sample_list.SPLIT_NAMES}
        results = {"strategy": strategy, "medium": splits.medium.name}
        results |= {"evaluation": task.__name__.rpartition(".")[2], "data": splits.summary()} | further
        if self.has_untrained_network:
            results["untrained_network"] = True
        for side, predicted in sides.items():
            results[side] = task.evaluate(predicted, splits, side, self.config.seed, (groups or {}).get(side))
        with streams.appendix("the search for shortcuts"):
            results["shortcuts"] = shortcuts.evaluate(splits, self.config.seed)
        write_predictions(self.directory, splits, sides["test"], **columns or {})

        # The same layers, without the state of the optimizer that a model trained as a whole was compiled with.
        bare = keras.Model(part.model.input, part.model.output, name=part.model.name)
        model = raw_input or pixels.take_raw_pixels(backbone.savable(bare), backbone.preprocess, backbone.resize)
        saved = saved_model.SavedModel(model, splits.targets, splits.medium)
        saved_model.save_model(self.directory, saved)
        if keeps_familiar:
            results["unlike"] = self._keep_familiar(part)
        results["cost"] = self.cost(part.model, part, *others) | self._answering(saved, splits)
        if frozen and not frozen.config.no_baselines:
            with streams.appendix("the baselines on the same features"):
                of_features = baselines.on_features(frozen, task, self.config.seed, groups or {})
                results["baselines"] = of_features | results.get("baselines", {})
        return self.complete(results, sections, saved)

    def _note_engine(self, part: Any) -> None:
        """Write to config.json what has computed the features, in place of `auto`."""
        path = self.directory / "config.json"
        if getattr(part, "engine", "") and path.is_file():
            self.config = dataclasses.replace(self.config, **{"engine": part.engine})
            stored = json.loads(path.read_text(encoding="utf-8"))
            files.write_json(path, stored | {"config": flags.to_dict(self.config)})

    def _keep_familiar(self, part: Any) -> dict[str, Any]:
        """Write familiar.npz, and return its threshold and how many test items it calls unlike; nothing if it fails."""
        try:
            sides = {side: part.before_last(side) for side in sample_list.SPLIT_NAMES}
            known = familiar.Familiar.of(sides["train"], sides["validation"])
            called = known.distances(sides["test"]) > known.threshold
            known.save(self.directory)
        except Exception as error:  # the training has ended well, and this must not change it
            print(f"unlike: predict will not know what is unlike ({type(error).__name__}: {error})", file=sys.stderr)
            return {}
        return {"threshold": round(known.threshold, 4), "test": round(float(called.mean()), 4)}

    def _answering(self, saved: saved_model.SavedModel, splits: Any) -> dict[str, float]:
        """Return the milliseconds that the saved model takes for a test item; nothing if they cannot be measured."""
        try:
            reading = saved_model.Reading.of(saved)
            there = [path for path in map(pathlib.Path, splits.paths("test")) if path.exists()]  # old ones may be gone
            looks = reading.looks(there[0])
            return {"answer_milliseconds": round(1000 * speed.of_answer(reading.model, looks), 2)}
        except Exception as error:  # the training has ended well, and this must not change it
            print(f"speed of the model: not measured ({type(error).__name__}: {error})", file=sys.stderr)
            return {}

    def complete(
        self, results: dict, sections: list, saved: saved_model.SavedModel | None = None
    ) -> finished_run.Result:
        """Write results.json, which marks a run as finished, draw the report, publish the run and print the summary.

        What comes after results.json may fail, such as Grad-CAM for lack of memory. Then a line on stderr says so.

        Args:
            results: the content of results.json.
            sections: as for `finish`.
            saved: the model whose answers the report explains, or None.
        """
        names = [section.__name__.rpartition(".")[2] for section in sections]
        result = self.write_results(results | {"sections": names})
        drawn = False
        if saved:
            with streams.appendix("the report with explained answers", f"python -m recipes report {self.directory}"):
                drawn = bool(page.write(self.directory, sections, saved))
        if not drawn:
            with streams.appendix("the report", f"python -m recipes report {self.directory}"):
                page.write(self.directory, sections)
        self.publish()
        told = [section.warning for section in sections if hasattr(section, "warning")]  # before the numbers
        with streams.appendix("the summary"):
            for tell in [*told, *(section.summary for section in sections)]:
                print(tell(result))
        return result

    def write_results(self, results: dict[str, Any]) -> finished_run.Result:
        """Write results.json, and remove the checkpoint."""
        results = {"recipe": self.recipe, "seed": self.config.seed} | results | {"versions": cost.versions()}
        files.write_json(self.directory / "results.json", results)
        flags.HOW_TO_GO_ON.clear()
        for path in [self.directory / checkpoints.Checkpoint.NAME, *self.directory.glob("best_*.npz")]:
            path.unlink(missing_ok=True)
        return finished_run.Result(self.directory, results)

    def discard(self) -> None:
        """Remove the run directory in which nothing was trained, and the folders that were made for it."""
        shutil.rmtree(self.directory)
        self._remove()

    def publish(self) -> None:
        """Send the finished run with its report to MLflow, if `--mlflow` is given."""
        if uri := self.config.mlflow:
            with streams.appendix(f"--mlflow {uri}", f"python -m recipes publish {self.directory} --mlflow {uri}"):
                tracking.publish(self.directory, uri)
                print(f"mlflow: {uri} has this run", file=sys.stderr)


def _remove_unused(made: list[pathlib.Path]) -> None:
    """Remove a run directory that has no config.json: a run that was refused leaves nothing behind.

    Args:
        made: the directory, and after it the folders above it that were made for it; they go if they are empty.
    """
    directory, *above = made
    with contextlib.suppress(OSError):
        if not any(directory.rglob("config.json")):
            shutil.rmtree(directory, ignore_errors=True)
            for folder in above:
                folder.rmdir()  # fails, and is ignored, if it holds other runs


# Predictions and the saved model --------------------------------------------------------------------------------


def write_predictions(directory: pathlib.Path, splits: Any, outputs: np.ndarray, **further: list) -> None:
    """Write predictions.csv: the test items, with the true and the predicted answers.

    Args:
        directory: the run directory.
        splits: a `splits.Splits` or `documents.Corpus` with the test items.
        outputs: the outputs for the test items, (n, …) floats; for classes, the probabilities (n, k).
        further: columns to add, with n values each.
    """
    judged = [splits.targets.judged(sample, output) for sample, output in zip(splits.test, outputs, strict=True)]
    columns = ["path", *judged[0], *further]
    told = [[sample.path, *map(_written, row, row.values())] for sample, row in zip(splits.test, judged, strict=True)]
    values = zip(*further.values(), strict=True) if further else [()] * len(told)
    files.write_csv(
        directory / "predictions.csv", columns, [[*row, *more] for row, more in zip(told, values, strict=True)]
    )


def _written(column: str, value: Any) -> Any:
    """Format a value for predictions.csv: a confidence with six decimals, other floats with six digits."""
    return f"{value:.6f}" if column == "confidence" else f"{value:.6g}" if isinstance(value, float) else value
