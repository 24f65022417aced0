"""Text classification: tell types of documents, or their sentiment, apart with a tuned language model.

When to use it: to sort documents that people have sorted before: contracts by type, reviews by sentiment, letters by
who should answer. Logistic regression on counted words (TF-IDF) is trained beside the network and is often as good:
where it is, use it. To make a model write as your documents do, use legal_text.

Data: a folder of .txt files, one document each, in a sub-folder for each class; or a .jsonl with `text`, `type` and,
where known, `group` in each line. Documents of one company or author must stay on one side of the split:
`--group-pattern` finds the company in the file's name.

    contracts/lease/1010775_2009-11-06_LEASE.txt
    contracts/loan/1011109_2001-08-14_LOAN AGREEMENT.txt

Command:

    pip install 'keras-recipes[text]'                                   # KerasHub, and what finds near-duplicates
    python recipes/text_classification.py                               # drawn contracts, nothing is downloaded
    python recipes/text_classification.py --data contracts/ --group-pattern '^(\\d+)_'               # GPT-2, 124 M
    python recipes/text_classification.py --data contracts/ --compare   # five strategies side by side
    python -m recipes predict runs/text_classification/… contract.txt

It mirrors ULMFiT (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146) on GPT-2: the language model is tuned on
the documents first if they are many (`--adapt-epochs`), then a classifier is put on the mean and the maximum over all
of a document's tokens, and what trains below it is `--strategy`: `head` (the last layer norm, on a frozen network),
`last_blocks`, `lora` (Hu et al. 2021), `full`, or `scratch` (the same network from random weights). A document is read
in windows, each by itself, and has one answer; with the first blocks frozen they run once and not once an epoch.

Expected: on 240 real contracts of six types (156 / 36 / 48, split by company), with a narrow GPT-2 that was not
pretrained, a test accuracy of 0.938 (0.938 – 0.979, ten seeds) in 64 seconds (56 – 93) on two CPU cores, where logistic
regression on TF-IDF has 0.979 (0.917 – 1.000) (`python benchmarks/legal_text.py --recipe text_classification`).
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
import tempfile
from typing import Annotated

import keras
from annotated_types import Ge, Gt

from common import devices, errors, flags
from common.data import documents, sample_list
from common.evaluation import baselines, classification
from common.features import frozen_windows
from common.media import windows
from common.models import language_model, text_classifier
from common.report import text_classes
from common.runs import finished_run, saved_text_model
from common.training import recorder, tuning

STRATEGIES = ("head", "last_blocks", "lora", "full", "scratch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tuning.TextConfig):
    """Tune a language model to tell classes of documents apart."""

    batch_size: Annotated[int, Gt(0)] = 8  # windows: as many documents as have so many, at least one
    epochs: Annotated[int, Gt(0)] = 10  # an upper limit: early stopping ends the training
    patience: Annotated[int, Gt(0)] = 4  # epochs without a better validation loss before it stops
    windows_per_document: Annotated[int, Gt(0)] = 4  # how far it reads; more need more memory and time
    # First tune the language model on the training documents, if they are many.
    adapt_epochs: Annotated[int, Ge(0)] = 0

    REMOVED = tuning.TextConfig.REMOVED | {
        "task": flags.Removed("classify", "no longer exists: this recipe classifies; leave it out")
    }

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that this run tries."""
        return STRATEGIES if self.compare else (self.strategy or "full",)


def build_model(model: language_model.LanguageModel, suffix: keras.Model, num_classes: int) -> keras.Model:
    """The last part of the network with a classifier behind it: probabilities of each document, (batch, classes).

    The head sees all of a document's tokens, what enters the blocks and what leaves them: mean and maximum over the
    tokens, layer norm, Dropout, softmax.
    """
    head = text_classifier.build_head(model.backbone.hidden_dim, num_classes)
    return language_model.with_class_head(model, suffix, head)


def adapt(encoded: dict[str, list], record) -> tuple[str, list[dict]]:
    """Tunes the language model itself on the training documents; the path of its preset, and a row on this stage."""
    config = record.config
    cut = tuning.begin("full", config.preset, record)
    packed = {
        side: windows.pack(encoded[side], config.sequence_length, cut.model.end_token)
        for side in ("train", "validation")
    }
    part = frozen_windows.FrozenWindows(cut.model, None, language_model.whole(cut.model), packed, config)
    # Keras's default would divide by the targets on padding, too.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    row = tuning.train(record, part, "full", cut.width, loss, stage="adapt", epochs=config.adapt_epochs)
    folder = record.directory / "preset"
    language_model.save(cut.model, folder)
    return str(folder), [{name: row[name] for name in ("stage", "validation_loss", "epochs", "seconds")}]


def check_preset(corpus: documents.Corpus, record) -> None:
    """Refuses a network that cannot be saved behind a classifier, before anything is trained."""
    config = record.config
    cut = tuning.begin("full", config.preset, record)
    suffix = language_model.for_documents(cut.suffix, config.sequence_length, config.sequence_length)
    head = build_model(cut.model, suffix, len(corpus.class_names)).get_layer("class_head")
    try:
        with tempfile.TemporaryDirectory() as folder:
            one = dataclasses.replace(config, windows_per_document=1)
            saved_text_model.save(pathlib.Path(folder), cut.model, cut.first, head, corpus.class_names, one)
    except Exception as error:  # KerasHub and Keras throw whatever their own code runs into
        name = type(cut.model.backbone).__name__
        raise errors.UserError(
            f"--preset {config.preset}: a classifier on a {name} cannot be saved ({error}); take a preset of GPT-2"
        ) from error


def tune(strategy: str, preset: str, beginnings: dict[str, windows.Windows], corpus: documents.Corpus, record):
    """Tunes a preset by one strategy: the cut model and its head, its documents, its row of the table, its answers."""
    config = record.config
    cut = tuning.begin(strategy, preset, record)
    length = config.sequence_length * config.windows_per_document
    prefix, suffix = (
        half and language_model.for_documents(half, config.sequence_length, length) for half in (cut.prefix, cut.suffix)
    )
    network = build_model(cut.model, suffix, len(corpus.class_names))
    targets = {side: corpus.labels(side) for side in beginnings}
    in_documents = dataclasses.replace(config, batch_size=max(1, config.batch_size // config.windows_per_document))
    part = frozen_windows.FrozenWindows(cut.model, prefix, network, beginnings, in_documents, targets)
    row = tuning.train(record, part, strategy, cut.width, keras.losses.SparseCategoricalCrossentropy())
    answers = {side: part.suffix.predict(part.batches(side), verbose=0) for side in ("validation", "test")}
    row |= {side: classification.evaluate(given, corpus, side, config.seed) for side, given in answers.items()}
    return (cut, network.get_layer("class_head")), part, row, answers["test"]


def run(config: Config) -> finished_run.Result:
    """Tunes a classifier by each strategy, keeps the one that validates best, and sets counted words beside it."""
    record = recorder.Recorder("text_classification", config)
    config = record.config  # under --resume the settings of the interrupted run
    devices.set_up(config)

    # Data: the texts first, since a wrong path should not cost the download of a network.
    corpus = documents.load(config, record.directory, least_types=2)
    model, window = tuning.open_preset(config)
    encoded = {side: model.encode(corpus.texts_of(side)) for side in sample_list.SPLIT_NAMES}
    longest = max(len(ids) + 1 for side in encoded.values() for ids in side)
    most = min(config.windows_per_document, -(-longest // window))
    record.write_config(preset=model.preset, sequence_length=window, windows_per_document=most)
    config = record.config
    if type(model.backbone).__name__ != "GPT2Backbone":  # of which it is known that it can be saved
        check_preset(corpus, record)

    # A document is one row of its first windows: its type stands in all of them together, not in each.
    beginnings = {side: windows.pack_each(ids, window * most, model.end_token) for side, ids in encoded.items()}
    summary = corpus.summary() | {"read": windows.share_read(beginnings, encoded)}
    print(documents.documents_line(summary, config), file=sys.stderr)

    # Before the classifier the language model, if asked for.
    preset, stages = adapt(encoded, record) if config.adapt_epochs else (model.preset, [])

    # Training: every strategy starts from the same preset; the validation documents choose.
    rows: list[dict] = []
    best: tuple = ()
    for strategy in config.strategies:
        tuned, part, row, answers = tune(strategy, preset, beginnings, corpus, record)
        rows.append(row)
        if not best or row["validation"]["log_loss"] < best[2]["validation"]["log_loss"]:
            best = tuned, part, row, answers
    (cut, head), part, kept, answers = best

    # What stays: the answers, a classifier of whole documents, the numbers beside those of counted words, the page.
    recorder.write_predictions(record.directory, corpus, answers)
    saved_text_model.save(record.directory, cut.model, cut.first, head, corpus.class_names, config)
    found = tuning.results(record, rows, kept, part) | {
        "data": summary, "stages": stages, "counted_words": baselines.counted_words(corpus, config.seed)
    }  # fmt: skip
    return record.complete(found, [text_classes])


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
