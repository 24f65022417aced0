"""The model that a run saves, which takes raw pixels and knows its class names."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import zipfile
from collections.abc import Iterable

import keras
import numpy as np

from common import errors, files
from common.data import targets as kinds
from common.media import medium as media
from common.models import penultimate, presets

TOLD = ("targets.json", "medium.json", "class_names.json", "clips.json")  # the last two in models of older versions
RESIZED_AT_ONCE = 2**24  # numbers of a clip's frames as float32: 64 MiB


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """The content of a model.keras.

    Attributes:
        model: takes RGB pixels 0–255 of any size.
        targets: what the model predicts.
        medium: what an item is, and how the model reads it.
    """

    model: keras.Model
    targets: kinds.Targets
    medium: media.Medium

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the model's outputs; empty if the targets are not classes."""
        return getattr(self.targets, "class_names", ())


def save_model(directory: pathlib.Path, saved: SavedModel) -> None:
    """Write model.keras into a run directory, with `targets.json` and `medium.json` inside the same archive."""
    with files.replacing(directory / "model.keras") as temporary:
        saved.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            for name, part in (("targets", saved.targets), ("medium", saved.medium)):
                archive.writestr(f"{name}.json", json.dumps(part.saved()))


def load_model(directory: pathlib.Path) -> SavedModel:
    """Load the model of a finished run, which takes RGB pixels 0–255 of any size.

    Args:
        directory: the directory of the run, or its model.keras.

    Raises:
        UserError: there is no model.keras, or it cannot be read.
    """
    if not directory.exists():
        raise errors.UserError(f"{directory}: no such file or folder; give the directory of a finished run")
    path = directory / "model.keras" if directory.is_dir() else directory
    if (directory / "compare.json").is_file():
        raise errors.UserError(
            f"{directory} is a comparison; give one of its runs, a folder with a model.keras below {directory}/trials/"
        )
    if (directory / "config.json").is_file() and not (directory / "results.json").is_file():
        raise errors.UserError(f"{directory} is not finished; continue it with --resume {directory}")
    if (directory / "preset").is_dir():
        asked = "predict, serve, export" if (directory / "classifier.keras").is_file() else "generate"
        raise errors.UserError(f"{directory} is a run on texts; use it with the commands {asked} and report")
    if not path.is_file():
        raise errors.UserError(f"{directory} has no model.keras; give the directory of a finished run")
    presets.import_for(path, f"{path} needs")
    try:
        with zipfile.ZipFile(path) as archive:
            told = {name: json.loads(archive.read(name)) for name in TOLD if name in archive.namelist()}
        if not told:
            raise ValueError("it names no classes, so another program wrote it")
        told = told if "medium.json" in told else _of_older_versions(told)
        targets, medium = kinds.restored(told["targets.json"]), media.restored(told["medium.json"])
        saved = SavedModel(keras.saving.load_model(path, compile=False), targets, medium)
        if saved.class_names and len(saved.class_names) != saved.model.output_shape[-1]:
            raise ValueError(f"{len(saved.class_names)} names for {saved.model.output_shape[-1]} outputs")
        return saved
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, OSError, errors.UserError) as error:
        raise errors.UserError(f"{path}: not a model file of these recipes ({str(error).splitlines()[0]})") from error


def refuse_boxes(saved: SavedModel, run: pathlib.Path, command: str) -> None:
    """Refuse a run whose model finds boxes, for a command that shows classes.

    Raises:
        UserError: the model's targets are boxes.
    """
    if saved.targets.name == "boxes":
        raise errors.UserError(
            f"{run}: finds boxes, and {command} is for runs that classify; use `python -m recipes predict {run} FILE`"
        )


def _of_older_versions(told: dict) -> dict:
    """Return the content of targets.json and medium.json for a model of an earlier version."""
    medium = {"name": "photos"}
    if how := told.get("clips.json"):
        medium = {"name": "clips", "windows": how.pop("looks")} | how
    targets = {"name": "classes", "class_names": told["class_names.json"]}
    return {"targets.json": targets, "medium.json": medium}


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files become inputs of a run's model; predict, the comparison of exports and the page of serve share it.

    A photo has one look, a clip one for each window. The looks are chosen here, from the file itself. A model that
    chooses frames by itself is therefore used from its layer `from_frames` on.

    Attributes:
        model: takes looks of one size, (n, height, width, 3), for clips (n, frames, height, width, 3); RGB 0–255.
        resize: the model's own layer that resizes looks to the network's size.
        medium: what an item is.
        targets: what the model predicts.
    """

    model: keras.Model
    resize: keras.layers.Resizing
    medium: media.Medium
    targets: kinds.Targets

    @classmethod
    def of(cls, saved: SavedModel) -> Reading:
        """Return the reading of a saved model."""
        model = next((layer for layer in saved.model.layers if layer.name == "from_frames"), saved.model)
        layers = model.get_layer("preprocessing").layers
        resize = next(layer for layer in layers if isinstance(layer, keras.layers.Resizing))
        return cls(model, resize, saved.medium, saved.targets)

    def find(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """Return the files that the names stand for: a file itself, or the files in a folder.

        Raises:
            UserError: no file is found.
        """
        paths = self.medium.found(names)
        if not paths:
            raise errors.UserError(f"no {self.medium.unit}s given; use python -m recipes predict RUN FILE…")
        return paths

    def looks(self, path: pathlib.Path) -> list[np.ndarray]:
        """Return the looks at a file in the network's size, float32.

        Raises:
            UnusableFile: the file cannot be read.
        """
        return [self.resized(self.medium.read(path, look)) for look in self.medium.looks("test")]

    def resized(self, look: np.ndarray) -> np.ndarray:
        """Resize a look to the network's size, float32, before the model: a batch needs one size."""
        if look.ndim == 3:
            return np.array(self.resize(look.astype("float32")))
        step = max(1, RESIZED_AT_ONCE // look[0].size)  # large frames one at a time
        parts = [look[start : start + step] for start in range(0, len(look), step)]
        return np.concatenate([self.resize(part.astype("float32")) for part in parts])

    @functools.cached_property
    def both(self) -> keras.Model:
        """The model with a second output (`penultimate.beside_answers`); raises a ValueError if it cannot be built."""
        return penultimate.beside_answers(self.model)

    def with_features(self, looks: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Return `probabilities`, and what the last dense layer sees of the first look at each file, (n, channels)."""
        outputs = [self.both.predict_on_batch(np.stack(look)) for look in zip(*looks, strict=True)]
        return np.mean([answers for answers, _ in outputs], axis=0), np.asarray(outputs[0][1])

    def probabilities(self, looks: list[list[np.ndarray]]) -> np.ndarray:
        """Return the model's answers for files, (n, classes).

        Args:
            looks: the resized looks of each file; the answer is the mean over them.
        """
        answers = [self.model.predict_on_batch(np.stack(look)) for look in zip(*looks, strict=True)]
        return np.mean(answers, axis=0)
