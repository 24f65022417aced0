"""The model that a run saves: it takes raw pixels, and knows its class names."""

import dataclasses
import json
import pathlib
import types
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from common import errors, files, startup
from common.data import sources
from common.media import photos

RESIZED_AT_ONCE = 2**24  # numbers of a clip's frames as float32: 64 MiB


def save_model(directory: pathlib.Path, model: keras.Model, class_names, clips=None) -> None:
    """Writes model.keras, with the class names as `class_names.json` inside the same archive.

    Args:
        directory: the run directory.
        model: takes RGB 0–255 of any size.
        class_names: in the order of its outputs.
        clips: the `media.clips.Clips` by which it looks at clips; it goes into the archive as `clips.json`.
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
    clips: Any  # a `media.clips.Clips` or None


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
            class_names = json.loads(archive.read("class_names.json"))
            how = json.loads(archive.read("clips.json")) if "clips.json" in archive.namelist() else None
        clips = startup.by_name("media.clips").Clips(**how) if how else None
        return SavedModel(keras.saving.load_model(path, compile=False), class_names, clips)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise errors.UserError(f"{path}: not a model file of these recipes ({str(error).splitlines()[0]})") from error


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files become what a run's model is asked; the same for predict, an export's comparison and the page.

    A photo is one look, a clip one for each window. Frames are chosen here, from the file's own times; so of a model of
    clips the part is asked that takes chosen frames.

    Attributes:
        model: takes looks of one size, (n, height, width, 3), of clips (n, frames, height, width, 3); RGB 0–255.
        resize: its own layer that brings them to the network's size.
        clips: how it looks at clips; None for photos.
        class_names: in the order of the probabilities.
    """

    model: keras.Model
    resize: keras.layers.Resizing
    clips: Any  # a `media.clips.Clips` or None
    class_names: list[str]

    @classmethod
    def of(cls, saved: SavedModel) -> "Reading":
        """That of a saved model."""
        model = saved.model.get_layer("from_frames") if saved.clips else saved.model
        layers = model.get_layer("preprocessing").layers
        resize = next(layer for layer in layers if isinstance(layer, keras.layers.Resizing))
        return cls(model, resize, saved.clips, saved.class_names)

    @property
    def kind(self) -> types.ModuleType:
        """The module that reads the files: `media.photos`, or `media.clips` by its name."""
        return startup.by_name("media.clips") if self.clips else photos

    def find(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """The files that these names stand for: themselves, or those in a folder; a folder of frames is a clip.

        Raises:
            UserError: there are none.
        """
        is_wanted = self.kind.is_clip if self.clips else sources.is_photo
        paths = []
        for name in names:
            inside = name.is_dir() and not (self.clips and is_wanted(name))
            paths += sorted(filter(is_wanted, name.rglob("*"))) if inside else [name]
        if not paths:
            raise errors.UserError(f"no {self.kind.NAME}s given: python -m recipes predict RUN FILE…")
        return paths

    def looks(self, path: pathlib.Path) -> list[np.ndarray]:
        """The looks at a file in the network's size.

        Raises:
            UnusableFile: it is no photo, or no clip.
        """
        return [self.resized(look) for look in self.pixels(path)]

    def pixels(self, path: pathlib.Path) -> Iterator[np.ndarray]:
        """Yields the looks at a file in its own size, uint8 ((frames,) height, width, 3).

        Raises:
            UnusableFile: it is no photo, or no clip.
        """
        if self.clips:
            yield from (self.clips.read(str(path), position) for position in self.clips.positions())
        else:
            yield photos.read(path)

    def resized(self, look: np.ndarray) -> np.ndarray:
        """A look in the network's size, float32. Resized here and not in the model, since a batch needs one size."""
        if not self.clips:
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
