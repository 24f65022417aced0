"""The classifier of documents that a run saves, and how to use it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from common import errors, files, flags
from common.data import tags
from common.data import targets as kinds
from common.media import texts
from common.models import encoder, language_model


def save(
    folder: pathlib.Path, model: language_model.TextModel, first: int | None, head: keras.Model,
    targets: kinds.Targets, config: Any,
) -> None:  # fmt: skip
    """Write `preset`, the network with its tokenizer, and `classifier.keras` with `targets.json` inside the archive.

    The classifier takes whole documents, [token_ids, padding_mask], and needs `keras_hub` to be imported. It is built
    anew from the saved network, because a graph that was cut cannot be saved.

    Args:
        folder: the run directory.
        model, first, head: the trained model, its first trained block (as for `language_model.halves`) and its head.
        targets: the classes, or the labels with their thresholds, in the order of the outputs.
        config: has `sequence_length` and `windows_per_document`.
    """
    language_model.save(model, folder / "preset")
    fresh = encoder.load(str((folder / "preset").absolute()))
    outputs = [fresh.output]
    if "entering" in [tensor.name for tensor in head.inputs]:
        outputs.append(language_model.entering(fresh, first, fresh.inputs[0]))
    features = keras.Model(fresh.inputs, outputs, name="features")
    features = language_model.for_documents(
        features, config.sequence_length, config.sequence_length * config.windows_per_document
    )
    answers = language_model.with_named(head, features.outputs[0], features.inputs[1], lambda: features.outputs[1])
    classifier = keras.Model(features.inputs, answers, name="classifier")
    path = folder / "classifier.keras"
    with files.replacing(path) as temporary:
        classifier.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr("targets.json", json.dumps(targets.saved()))


@dataclasses.dataclass(frozen=True)
class Classifier:
    """The classifier of a finished run, used as in the run's evaluation.

    Attributes:
        model: takes a document's tokens and their mask, and returns probabilities.
        language: the language model or the encoder, which has the tokenizer.
        targets: the classes, in the order of the outputs.
        settings: the settings of the run, from config.json: sequence_length, windows_per_document, encoding and others.
    """

    model: keras.Model
    language: language_model.TextModel
    targets: kinds.Targets
    settings: dict

    @classmethod
    def load(cls, run: pathlib.Path) -> Classifier:
        """Load the classifier in a run's directory.

        Raises:
            UserError: there is no classifier, or it cannot be read.
        """
        path = run / "classifier.keras"
        language_model.keras_hub()  # its layers are in the file
        try:
            settings = flags.renamed(json.loads((run / "config.json").read_text(encoding="utf-8"))["config"])
            with zipfile.ZipFile(path) as archive:
                older = "class_names.json" in archive.namelist()
                told = json.loads(archive.read("class_names.json" if older else "targets.json"))
            model = keras.saving.load_model(path, compile=False)
            if model.inputs[0].shape[1] != settings["sequence_length"] * settings["windows_per_document"]:
                raise ValueError("an earlier version made it; train again")
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise errors.UserError(f"{path}: not readable as a classifier of documents ({error})") from error
        targets = kinds.Classes(told) if older else kinds.restored(told)
        return cls(model, encoder.load(str((run / "preset").absolute())), targets, settings)

    def check_one_answer(self, run: pathlib.Path, command: str) -> None:
        """Refuse a command that cannot show several labels of a document."""
        if isinstance(self.targets, tags.Tags):
            raise errors.UserError(f"{run}: gives several labels to a document, which {command} cannot; use predict")

    def find(self, names: Iterable[pathlib.Path]) -> list[pathlib.Path]:
        """Return the files that the names stand for: a file itself, or the .txt files in a folder.

        Raises:
            UserError: no file is found.
        """
        names = list(names)
        paths = self.medium.found(names)
        if not names:
            raise errors.UserError("no documents given; use python -m recipes predict RUN FILE.txt…")
        if not paths:
            folders = ", ".join(map(str, names))
            raise errors.UserError(f"{folders}: no .txt files; convert PDF and Word files to text first")
        return paths

    def looks(self, path: pathlib.Path) -> str:
        """Return a file's text, tidied as in the run.

        Raises:
            UnusableFile: the file is missing or empty, or cannot be decoded.
        """
        return self.medium.read(path)

    def in_encoding(self, encoding: str) -> Classifier:
        """Return the classifier for documents in another encoding than that of the run's."""
        return dataclasses.replace(self, settings=self.settings | {"encoding": encoding})

    @property
    def medium(self) -> texts.Texts:
        """The medium with the settings by which the run read its documents."""
        settings = self.settings
        return texts.Texts(settings["encoding"], settings["keep_layout"], settings["document_characters"])

    def probabilities(self, contents: Iterable[str]) -> np.ndarray:
        """Return the model's answers for tidied texts, (n, classes); one at a time, since lengths differ."""
        return np.stack([self._answer(content) for content in contents])

    def exportable(self, run: pathlib.Path) -> Any:
        """Return an `exported_text_model.Documents`; through here, the copy of a recipe for texts has that module."""
        from common.runs import exported_text_model

        self.check_one_answer(run, "export")
        return exported_text_model.Documents.of(run, self)

    def tokens(self, content: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a tidied text as the model's inputs: token numbers and their mask, int32 (1, length)."""
        ids = self.language.encode([content])
        row = self.language.rows(ids, self.settings["sequence_length"], self.settings["windows_per_document"])
        return row.token_ids, (row.weights > 0).astype("int32")

    def _answer(self, content: str) -> np.ndarray:
        return self.model.predict_on_batch(list(self.tokens(content)))[0]
