"""Export a run's classifier of documents, with the vocabulary of its tokenizer beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import pathlib
import shutil
import types
from collections.abc import Sequence
from typing import ClassVar

import keras
import numpy as np

from common import errors
from common.data import documents
from common.media import texts
from common.models import encoder
from common.runs import exported_model, saved_text_model

INPUTS = ("token_ids", "padding_mask")
TOKENIZER = "tokenizer"  # the folder beside the exports
OF_TOKENIZER = ("config.json", "metadata.json", "tokenizer.json")  # of a preset, beside its assets
README = """\
This is the tokenizer of the models beside this folder. KerasHub loads it by
keras_hub.tokenizers.Tokenizer.from_preset; other programs need only its
vocabulary, in assets/tokenizer. How token numbers become the inputs of a
model is in the JSON of that model, under "input".
"""


@dataclasses.dataclass(frozen=True)
class Documents:
    """A run's classifier of documents, documented in `exported_model.Exportable`.

    Attributes:
        run: the directory of the run.
        reading: its classifier.
    """

    run: pathlib.Path
    reading: saved_text_model.Classifier

    beside: ClassVar[tuple[str, ...]] = (TOKENIZER,)

    @classmethod
    def of(cls, run: pathlib.Path, reading: saved_text_model.Classifier) -> Documents:
        """Return the classifier of a run.

        Raises:
            UserError: it computes in half precision.
        """
        if (precision := reading.settings.get("precision") or "float32") != "float32":
            raise errors.UserError(f"{run}: computes in {precision}, and texts are exported in float32 only")
        return cls(run, reading)

    @property
    def model(self) -> keras.Model:
        return self.reading.model

    def exists(self, path: pathlib.Path) -> bool:
        return (_file_of(path) or path).exists()

    def inputs(self, path: pathlib.Path) -> tuple[list[exported_model.Inputs], list[exported_model.Inputs]]:
        lines = _file_of(path)
        text = _lines(lines, self.reading.medium)[str(path)] if lines else self.reading.looks(path)
        inputs: list[exported_model.Inputs] = [self.reading.tokens(text)]
        return inputs, inputs

    def expected(self, inputs: list[exported_model.Inputs]) -> np.ndarray:
        return self.model.predict_on_batch(list(inputs[0]))[0]

    def write(
        self, variant: exported_model.Variant, calibration: Sequence[pathlib.Path], folder: pathlib.Path
    ) -> None:  # fmt: skip
        path = folder / variant.file
        if variant.format == "keras":
            shutil.copyfile(self.run / "classifier.keras", path)
        elif variant.format == "saved_model":
            exported_model.write_saved_model(self.model, path)
        elif variant.format == "onnx":
            exported_model.write_onnx(self.model, path)
        else:
            exported_model.write_litert(self.model, path)
        if not (folder / TOKENIZER).exists():
            shutil.copytree(self.run / "preset" / "assets" / "tokenizer", folder / TOKENIZER / "assets" / "tokenizer")
            for name in OF_TOKENIZER:
                shutil.copy(self.run / "preset" / name, folder / TOKENIZER)
            (folder / TOKENIZER / "README.txt").write_text(README, encoding="utf-8")

    def load(self, variant: exported_model.Variant, path: pathlib.Path) -> exported_model.Predictor:
        return exported_model.load(variant, path, INPUTS)

    def describe(self, variant: exported_model.Variant) -> dict:
        batch = 1 if variant.format == "litert" else None
        return {
            "format": variant.format,
            "weights": "float32",
            "class_names": list(self.reading.targets.named),
            "input": {
                "names": list(INPUTS),
                "shape": [batch, self.model.inputs[0].shape[1]],
                "dtype": "int32",
                "before": self._before(),
                "tokenizer": {"folder": TOKENIZER, "class": type(self.reading.language.tokenizer).__name__},
                "padding_mask": "1 for the document's tokens and those at its edges, 0 for padding",
                **self._rows(),
            },
            "output": {"shape": [batch, len(self.reading.targets.named)], "dtype": "float32"}
            | self.reading.targets.described(),
        }

    def _before(self) -> str:
        """Return what is done to a text before it is cut into tokens."""
        medium = self.reading.medium
        kept = f"; only the first {medium.characters} characters" if medium.characters else ""
        if medium.keep_layout:
            return f"line ends are \\n, empty lines at both ends removed{kept}"
        return f"runs of spaces and tabs become one space, runs of empty lines one, both ends are stripped{kept}"

    def _rows(self) -> dict:
        """Return how token numbers become a row of `token_ids`."""
        language, length = self.reading.language, self.reading.settings["sequence_length"]
        if not encoder.reads_both_sides(language):
            row = "`start`, then the document's first tokens, then `padding`"
            return {"row": row, "start": language.end_token, "padding": 0}  # type: ignore[attr-defined]
        start, end = language.edges
        row = (
            "windows of `window` numbers: `start`, the document's next `window` - 2 tokens, `end`, then `padding`; "
            "windows behind the document are padding alone"
        )
        padding = int(language.tokenizer.pad_token_id)
        return {"row": row, "window": length, "start": start, "end": end, "padding": padding}


def _file_of(path: pathlib.Path) -> pathlib.Path | None:
    """Return the .jsonl that has a document as its line, FILE:LINE; None for a document that is a file of its own."""
    file = path.with_name(path.name.rpartition(":")[0] or path.name)
    return file if file != path and file.suffix.lower() == ".jsonl" else None


@functools.cache
def _lines(path: pathlib.Path, medium: texts.Texts) -> dict[str, str]:
    """Return FILE:LINE → tidied text of the documents in a .jsonl."""
    settings = types.SimpleNamespace(
        data=str(path), encoding=medium.encoding, keep_layout=medium.keep_layout,
        document_characters=medium.characters, group_pattern=None, skip_unsupported=True,
    )  # fmt: skip
    with contextlib.redirect_stderr(io.StringIO()):  # the run has said which of its columns are read
        return documents.read_source(settings)[1]
