"""A classifier of documents: its head, how it is saved, and what it says of new ones."""

import dataclasses
import json
import pathlib
import sys
import zipfile

import keras
import numpy as np

from common import errors, files, scan, text, text_model


def build_head(width: int, num_classes: int) -> keras.Model:
    """What enters, what leaves the last block, and the padding mask, each of a whole document, to probabilities.

    The mean and the maximum over all of a document's tokens are ULMFiT's pooling (https://arxiv.org/abs/1801.06146).
    Those of what enters, the words' embeddings where all trains, keep what stands there, whatever the blocks make.
    """
    entering, hidden = (keras.Input((None, width), name=name) for name in ("entering", "hidden"))
    mask = keras.Input((None,), dtype="int32", name="mask")
    seen = keras.ops.expand_dims(keras.ops.cast(mask, hidden.dtype), -1)
    pooled = []
    for one in (entering, hidden):
        pooled.append(keras.ops.sum(one * seen, axis=1) / keras.ops.sum(seen, axis=1))
        pooled.append(keras.ops.max(one - 1e4 * (1 - seen), axis=1))
    # Keras's epsilon, 1e-3: on seven splits of real contracts 1e-5, which lets more of the words in, validated worse.
    pooled = [keras.layers.LayerNormalization(dtype="float32")(one) for one in pooled]
    x = keras.layers.Dropout(0.3, dtype="float32")(keras.layers.Concatenate(dtype="float32")(pooled))
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model([entering, hidden, mask], output, name="class_head")


def save(
    folder: pathlib.Path, model: text_model.LanguageModel, first: int | None, head: keras.Model, class_names, config
):
    """Writes `preset`, the network with its tokenizer, and `classifier.keras` with the class names inside the archive.

    The classifier takes whole documents, [token_ids, padding_mask], and needs `keras_hub` to be imported. It is put
    together anew from the saved network, because a graph that was cut cannot be saved.

    Args:
        folder: the run directory.
        model, first, head: as for `with_class_head`, trained.
        class_names: in the order of its outputs.
        config: has `window` and `windows_per_document`.
    """
    text_model.save(model, folder / "preset")
    fresh = text_model.load(str((folder / "preset").absolute()))
    inputs = [fresh.backbone.input[name] for name in ("token_ids", "padding_mask")]
    outputs = [text_model.entering(fresh, first, inputs[0]), fresh.backbone.output]
    features = keras.Model(inputs, outputs, name="features")
    features = text_model.for_documents(features, config.window, config.window * config.windows_per_document)
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
        class_names: in the order of the outputs.
        settings: the run's, from config.json: window, windows_per_document, encoding and the like.
    """

    model: keras.Model
    language: text_model.LanguageModel
    class_names: list[str]
    settings: dict

    @classmethod
    def load(cls, run: pathlib.Path) -> "Classifier":
        """That of a run's directory.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        path = run / "classifier.keras"
        text_model.keras_hub()  # its layers are in the file
        try:
            settings = json.loads((run / "config.json").read_text(encoding="utf-8"))["config"]
            with zipfile.ZipFile(path) as archive:
                class_names = json.loads(archive.read("class_names.json"))
            model = keras.saving.load_model(path, compile=False)
            if model.inputs[0].shape[1] != settings["window"] * settings["windows_per_document"]:
                raise ValueError("made by an earlier version: train again")
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise errors.UserError(f"{path}: not readable as a classifier of documents ({error})") from error
        return cls(model, text_model.load(str((run / "preset").absolute())), class_names, settings)

    def probabilities(self, content: str) -> np.ndarray:
        """Those of one document, tidied, (classes,)."""
        length = self.settings["window"] * self.settings["windows_per_document"]
        row = text.pack_each(self.language.encode([content]), length, self.language.end_token)
        return self.model.predict_on_batch([row.token_ids, (row.weights > 0).astype("int32")])[0]


def predict(run: pathlib.Path, names, csv: pathlib.Path | None = None) -> int:
    """Prints `path  class  probability` for each document; what is none gets a line on stderr.

    Args:
        run: the directory of a finished run of legal_text with `--task classify`.
        names: .txt files, or folders of them.
        csv: where to write path,label,probability and a column for each class, or None.

    Returns:
        The exit code: 0, or 2 when a file was refused.

    Raises:
        UserError: no classifier there, no files given.
    """
    paths = [path for name in names for path in (text.text_files(name) if name.is_dir() else [name])]
    if not paths:
        folders = ", ".join(map(str, names))
        raise errors.UserError(
            f"{folders}: no .txt files there; turn PDF and Word files into text first"
            if folders
            else "no documents given: python -m recipes predict RUN FILE.txt…"
        )
    classifier, rows, refused = Classifier.load(run), [], 0
    for path in paths:
        content, problem = _read(path, classifier.settings)
        if content is None:
            print(f"{scan.printable(str(path))}: {problem}", file=sys.stderr)
            refused += 1
            continue
        probabilities = classifier.probabilities(content)
        best = int(probabilities.argmax())
        answer = [classifier.class_names[best], f"{probabilities[best]:.4f}"]
        print("\t".join([scan.printable(str(path)), *answer]))
        rows.append([path, *answer, *(f"{p:.6g}" for p in probabilities)])
    if csv:
        files.write_csv(csv, ["path", "label", "probability", *(f"p_{name}" for name in classifier.class_names)], rows)
    return 2 if refused else 0


def _read(path: pathlib.Path, settings: dict) -> tuple[str | None, str]:
    """A file's text, tidied as in the run, and "", or None and why it cannot be used."""
    try:
        content, problem = text.decoded(path.read_bytes(), settings["encoding"])
    except FileNotFoundError:
        return None, "missing"
    except OSError as error:
        return None, error.strerror or str(error)
    if content is None:
        return None, f"{problem}; convert it to {settings['encoding']} text"
    kept = text.tidy(content, settings["keep_layout"])[: settings["document_characters"]].strip()
    return (kept, "") if kept else (None, "empty")
