"""The classifier of documents that a run saves, and how it is asked."""

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Iterable

import keras
import numpy as np

from common import errors, files, flags
from common.data import targets as kinds
from common.media import texts, windows
from common.models import language_model


def save(
    folder: pathlib.Path, model: language_model.LanguageModel, first: int | None, head: keras.Model, class_names, config
):
    """Writes `preset`, the network with its tokenizer, and `classifier.keras` with the class names inside the archive.

    The classifier takes whole documents, [token_ids, padding_mask], and needs `keras_hub` to be imported. It is put
    together anew from the saved network, because a graph that was cut cannot be saved.

    Args:
        folder: the run directory.
        model, first, head: as for `with_class_head`, trained.
        class_names: in the order of its outputs.
        config: has `sequence_length` and `windows_per_document`.
    """
    language_model.save(model, folder / "preset")
    fresh = language_model.load(str((folder / "preset").absolute()))
    inputs = [fresh.backbone.input[name] for name in ("token_ids", "padding_mask")]
    outputs = [language_model.entering(fresh, first, inputs[0]), fresh.backbone.output]
    features = keras.Model(inputs, outputs, name="features")
    features = language_model.for_documents(
        features, config.sequence_length, config.sequence_length * config.windows_per_document
    )
    mask = features.inputs[1]
    classifier = keras.Model(features.inputs, head([*features.outputs, mask]), name="classifier")
    path = folder / "classifier.keras"
    with files.replacing(path) as temporary:
        classifier.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr("class_names.json", json.dumps(list(class_names), ensure_ascii=False))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """That of a finished run, asked as it was in its test.

    Attributes:
        model: takes a document's tokens and their mask, gives probabilities.
        language: has the tokenizer.
        targets: the types, in the order of the outputs.
        settings: the run's, from config.json: window, windows_per_document, encoding and the like.
    """

    model: keras.Model
    language: language_model.LanguageModel
    targets: kinds.Classes
    settings: dict

    @classmethod
    def load(cls, run: pathlib.Path) -> "Classifier":
        """That of a run's directory.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        path = run / "classifier.keras"
        language_model.keras_hub()  # its layers are in the file
        try:
            settings = flags.renamed(json.loads((run / "config.json").read_text(encoding="utf-8"))["config"])
            with zipfile.ZipFile(path) as archive:
                class_names = json.loads(archive.read("class_names.json"))
            model = keras.saving.load_model(path, compile=False)
            if model.inputs[0].shape[1] != settings["sequence_length"] * settings["windows_per_document"]:
                raise ValueError("made by an earlier version: train again")
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise errors.UserError(f"{path}: not readable as a classifier of documents ({error})") from error
        return cls(model, language_model.load(str((run / "preset").absolute())), kinds.Classes(class_names), settings)

    def find(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """The files that these names stand for: themselves, or the .txt files in a folder.

        Raises:
            UserError: there are none.
        """
        names = list(names)
        paths = self.medium.found(names)
        if not names:
            raise errors.UserError("no documents given: python -m recipes predict RUN FILE.txt…")
        if not paths:
            folders = ", ".join(map(str, names))
            raise errors.UserError(f"{folders}: no .txt files there; turn PDF and Word files into text first")
        return paths

    def looks(self, path: pathlib.Path) -> str:
        """A file's text, tidied as in the run.

        Raises:
            UnusableFile: it is missing, empty or cannot be decoded.
        """
        return self.medium.read(path)

    @property
    def medium(self) -> texts.Texts:
        """How the run read its documents."""
        settings = self.settings
        return texts.Texts(settings["encoding"], settings["keep_layout"], settings["document_characters"])

    def probabilities(self, contents: Iterable[str]) -> np.ndarray:
        """What the model says to documents, tidied, (n, classes); one at a time, as they differ in length."""
        return np.stack([self._answer(content) for content in contents])

    def _answer(self, content: str) -> np.ndarray:
        length = self.settings["sequence_length"] * self.settings["windows_per_document"]
        row = windows.pack_each(self.language.encode([content]), length, self.language.end_token)
        return self.model.predict_on_batch([row.token_ids, (row.weights > 0).astype("int32")])[0]
