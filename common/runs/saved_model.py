"""The model that a run saves: it takes raw pixels, and knows its class names."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Iterable

import keras
import numpy as np

from common import errors, files
from common.data import targets as kinds
from common.media import medium as media

TOLD = ("targets.json", "medium.json", "class_names.json", "clips.json")  # the last two in models of older versions
RESIZED_AT_ONCE = 2**24  # numbers of a clip's frames as float32: 64 MiB


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """What stands in a model.keras.

    Attributes:
        model: takes items as they come: pixels RGB 0–255 of any size.
        targets: what it has learnt.
        medium: what an item is, and how the model looks at it.
    """

    model: keras.Model
    targets: kinds.Targets
    medium: media.Medium

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the model's outputs; none where the targets are no classes."""
        return getattr(self.targets, "class_names", ())


def save_model(directory: pathlib.Path, saved: SavedModel) -> None:
    """Writes model.keras, with `targets.json` and `medium.json` inside the same archive.

    Args:
        directory: the run directory.
        saved: what to write.
    """
    with files.replacing(directory / "model.keras") as temporary:
        saved.model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            for name, part in (("targets", saved.targets), ("medium", saved.medium)):
                archive.writestr(f"{name}.json", json.dumps(part.saved(), ensure_ascii=False))


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
    if (directory / "config.json").is_file() and not (directory / "results.json").is_file():
        raise errors.UserError(f"{directory} is not finished: go on with --resume {directory}")
    if (directory / "preset").is_dir():
        asked = "predict" if (directory / "classifier.keras").is_file() else "generate"
        raise errors.UserError(f"{directory} is a run on texts; the commands that take it are {asked} and report")
    if not path.is_file():
        raise errors.UserError(f"{directory}: no model.keras there; give the directory of a finished run")
    try:
        with zipfile.ZipFile(path) as archive:
            told = {name: json.loads(archive.read(name)) for name in TOLD if name in archive.namelist()}
        told = told if "medium.json" in told else _of_older_versions(told)
        targets, medium = kinds.restored(told["targets.json"]), media.restored(told["medium.json"])
        return SavedModel(keras.saving.load_model(path, compile=False), targets, medium)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise errors.UserError(f"{path}: not a model file of these recipes ({str(error).splitlines()[0]})") from error


def _of_older_versions(told: dict) -> dict:
    """What now stands in targets.json and medium.json, from what earlier versions wrote."""
    medium = {"name": "photos"}
    if how := told.get("clips.json"):
        medium = {"name": "clips", "windows": how.pop("looks")} | how
    targets = {"name": "classes", "class_names": told["class_names.json"]}
    return {"targets.json": targets, "medium.json": medium}


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files become what a run's model is asked; the same for predict, an export's comparison and the page.

    A photo is one look, a clip one for each window. What to look at is chosen here, from the file itself; so of a model
    that can choose, too, its part behind that is asked, the layer `from_frames`.

    Attributes:
        model: takes looks of one size, (n, height, width, 3), of clips (n, frames, height, width, 3); RGB 0–255.
        resize: its own layer that brings them to the network's size.
        medium: what an item is.
        targets: what it answers.
    """

    model: keras.Model
    resize: keras.layers.Resizing
    medium: media.Medium
    targets: kinds.Targets

    @classmethod
    def of(cls, saved: SavedModel) -> Reading:
        """That of a saved model."""
        model = next((layer for layer in saved.model.layers if layer.name == "from_frames"), saved.model)
        layers = model.get_layer("preprocessing").layers
        resize = next(layer for layer in layers if isinstance(layer, keras.layers.Resizing))
        return cls(model, resize, saved.medium, saved.targets)

    def find(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """The files that these names stand for: themselves, or those in a folder.

        Raises:
            UserError: there are none.
        """
        paths = self.medium.found(names)
        if not paths:
            raise errors.UserError(f"no {self.medium.unit}s given: python -m recipes predict RUN FILE…")
        return paths

    def looks(self, path: pathlib.Path) -> list[np.ndarray]:
        """The looks at a file in the network's size.

        Raises:
            UnusableFile: it cannot be read.
        """
        return [self.resized(self.medium.read(path, look)) for look in self.medium.looks("test")]

    def resized(self, look: np.ndarray) -> np.ndarray:
        """A look in the network's size, float32. Resized here and not in the model, since a batch needs one size."""
        if look.ndim == 3:
            return np.array(self.resize(look.astype("float32")))
        step = max(1, RESIZED_AT_ONCE // look[0].size)  # large frames one by one
        parts = [look[start : start + step] for start in range(0, len(look), step)]
        return np.concatenate([self.resize(part.astype("float32")) for part in parts])

    def probabilities(self, looks: list[list[np.ndarray]]) -> np.ndarray:
        """What the model says to files, (n, classes).

        Args:
            looks: for each file its resized looks; the answer is the mean over them.
        """
        answers = [self.model.predict_on_batch(np.stack(look)) for look in zip(*looks, strict=True)]
        return np.mean(answers, axis=0)
