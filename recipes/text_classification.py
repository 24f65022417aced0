"""Text classification: documents by type or sentiment, with BERT, GPT-2 and their kin (sentiment analysis).

When to use it: to sort documents if you have examples that people sorted: contracts by type, reviews by sentiment,
letters by who should answer. Logistic regression on counted words (TF-IDF) is trained for comparison and is often as
good; then use it. To make a model write in the style of your documents, use legal_text.

Data: a folder of .txt files, one document each, with a sub-folder for each class. Or a .jsonl file with `text`, `type`
and, if known, `group` in each line. Documents of one company or author must stay on one side of the split:
`--group-pattern` finds the company in the file's name.

    contracts/lease/1010775_2009-11-06_LEASE.txt
    contracts/loan/1011109_2001-08-14_LOAN AGREEMENT.txt

Command:

    pip install 'keras-recipes[text]'                                   # KerasHub
    python recipes/text_classification.py                               # drawn contracts, nothing is downloaded
    python recipes/text_classification.py --data reviews.jsonl --backbone hub:bert_base_en_uncased
    python recipes/text_classification.py --data reviews.jsonl --backbone hub:all_minilm_l6_v2_en --strategy features
    python recipes/text_classification.py --data contracts/ --group-pattern '^(\\d+)_'               # GPT-2, 124 M
    python recipes/text_classification.py --data contracts/ --compare   # six strategies side by side
    python recipes/text_classification.py --data topics.jsonl --multi-label   # several labels for a document
    python -m recipes predict runs/text_classification/… contract.txt

`--backbone` takes encoders (BERT, RoBERTa, XLM-RoBERTa, DistilBERT) and causal language models such as GPT-2.
The classifier of an encoder sees the mean over all of a document's tokens, a sentence embedding. That of GPT-2 sees the
mean and the maximum, after ULMFiT (Howard and Ruder 2018, https://arxiv.org/abs/1801.06146). With many documents, the
network itself is first tuned on them, without labels (`--adapt-epochs`, `--adapt-texts`). `--strategy` selects what
trains: `features` (logistic regression on the frozen network), `head` (the classifier, and GPT-2's last layer norm),
`last_blocks`, `lora` (Hu et al. 2021), `full`, or `scratch` (the same network from random weights). A document is read
in separate windows and has one answer, or several labels (`--multi-label`). Frozen first blocks run once instead of
once per epoch.

Expected: on 240 real contracts of six types (156 / 36 / 48, split by company), with a narrow GPT-2 that was not
pretrained, a test accuracy of 0.938 (0.917 – 1.000, ten seeds). It takes 59 seconds (45 – 81) on two CPU cores.
Logistic regression on TF-IDF reaches 0.958 (0.875 – 1.000)
(`python benchmarks/legal_text.py --recipe text_classification`).
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import keras
import numpy as np
from annotated_types import Ge, Gt

from common import devices, errors, flags, streams
from common.data import documents, sample_list, tags
from common.data import targets as kinds
from common.evaluation import classification, counted_words, nearest_texts, several_labels, shortcuts
from common.features import frozen_windows, masked_windows
from common.media import windows
from common.models import encoder, language_model, text_classifier
from common.report import text_classes, text_tags
from common.runs import finished_run, saved_text_model
from common.training import recorder, tuning

STRATEGIES = ("features", "head", "last_blocks", "lora", "full", "scratch")
# Settings of training in epochs, which logistic regression does without.
OF_TRAINING = (
    "learning_rate", "patience", "warmup_ratio", "weight_decay", "clipnorm", "gradient_accumulation_steps",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tuning.TextConfig):
    """Tune a language model or an encoder to classify documents."""

    # What trains; features: logistic regression on the frozen network; default: full.
    strategy: Literal["features", "head", "last_blocks", "lora", "full", "scratch"] | None = None
    compare: bool = False  # try all six strategies and keep the best on validation
    batch_size: Annotated[int, Gt(0)] = 8  # windows; a batch has as many documents as contain this many, at least one
    epochs: Annotated[int, Gt(0)] = 10  # an upper limit, since early stopping ends the training
    patience: Annotated[int, Gt(0)] = 4  # epochs without a lower validation loss before the training stops
    windows_per_document: Annotated[int, Gt(0)] = 4  # windows read from its start; more need more memory and time
    training_documents: Annotated[int, Gt(0)] | None = None  # how many to draw at random; default: all
    multi_label: bool = False  # a document can have several labels: "labels": ["a", "b"] in the .jsonl, or "a|b"
    # Most epochs in which to tune the network itself on the training documents first, without their labels.
    adapt_epochs: Annotated[int, Ge(0)] = 0
    adapt_texts: pathlib.Path | None = None  # further documents for it, without labels: a folder or a .jsonl

    REMOVED = tuning.TextConfig.REMOVED | {
        "task": flags.Removed("classify", "no longer exists: this recipe always classifies; remove the flag")
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        trains = self.strategies != ("features",)
        closed_form = "with --strategy features, which has a closed form"
        flags.check_used(self, trains, closed_form, "epochs")
        flags.check_used(self, trains or self.adapt_epochs > 0, closed_form, *OF_TRAINING)
        random = "with --strategy scratch, which starts from random weights"
        flags.check_used(self, self.strategies != ("scratch",), random, "adapt_epochs")
        flags.check(
            not (self.multi_label and self.training_documents),
            "multi_label",
            "draws no --training-documents; remove one",
        )
        flags.check_used(self, self.adapt_epochs > 0, "without --adapt-epochs", "adapt_texts")

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that this run tries."""
        return STRATEGIES if self.compare else (self.strategy or "full",)


def build_model(
    model: language_model.TextModel, suffix: keras.Model, num_classes: int, several: bool = False
) -> keras.Model:
    """Add a classifier to the last part of the network, for the probabilities of each document, (batch, classes).

    Behind an encoder, the head sees the mean of the vectors of all of a document's tokens, a sentence embedding. Behind
    a causal language model, it sees the mean and the maximum of the input and the output of the blocks. Layer norm,
    Dropout and softmax follow, or sigmoid if a document can have several labels.
    """
    build_head = text_classifier.build_mean_head if encoder.reads_both_sides(model) else text_classifier.build_head
    activation = "sigmoid" if several else "softmax"
    return language_model.with_class_head(model, suffix, build_head(model.backbone.hidden_dim, num_classes, activation))


def loss_of(config: Config) -> keras.losses.Loss:
    """Return the loss of the classifier: categorical cross-entropy, or a binary one for each of several labels."""
    return keras.losses.BinaryCrossentropy() if config.multi_label else keras.losses.SparseCategoricalCrossentropy()


def scores_of(answers: dict[str, np.ndarray], corpus: documents.Corpus, config: Config) -> dict[str, dict]:
    """Return side → the scores of probabilities, (documents, classes); several labels have thresholds of validation."""
    if config.multi_label:
        return several_labels.evaluate(answers, corpus)
    return {side: classification.evaluate(given, corpus, side, config.seed) for side, given in answers.items()}


def to_adapt_on(
    model: language_model.TextModel, encoded: dict[str, list], corpus: documents.Corpus, config: Config
) -> dict[str, list]:
    """Return the token numbers of the documents that the network itself is tuned on, and of those that judge this.

    An encoder is judged by a tenth of the training documents; it never sees those for validation.
    """
    own = [*encoded["train"], *model.encode(documents.read_unlabelled(config, corpus))]
    if not encoder.reads_both_sides(model):
        return {"train": own, "validation": encoded["validation"]}
    order = np.random.default_rng(config.seed).permutation(len(own))
    held_out = max(1, len(own) // 10)
    return {"train": [own[n] for n in order[held_out:]], "validation": [own[n] for n in order[:held_out]]}


def prepare_adaptation(preset: str, own: dict[str, list], record: recorder.Recorder) -> tuple[tuning.Cut, Any]:
    """Load the whole network, pack the documents to tune it on into windows, and return both."""
    config = record.config
    cut = tuning.begin("full", preset, record, encoder.load)
    if encoder.reads_both_sides(cut.model):
        return cut, masked_windows.MaskedWindows(cut.model, own, config)
    packed = {side: windows.pack(ids, config.sequence_length, cut.model.end_token) for side, ids in own.items()}
    return cut, frozen_windows.FrozenWindows(cut.model, None, language_model.whole(cut.model), packed, config)


def adapt(preset: str, own: dict[str, list], record: recorder.Recorder) -> tuple[str, list[dict]]:
    """Tune the network itself on documents without labels; return the path of its preset, and the rows of the stages.

    A causal language model learns the next token. An encoder learns masked tokens: its head is new, so first the head
    alone trains, and then all of it, in as many epochs.
    """
    epochs, loss = record.config.adapt_epochs, tuning.language_loss()
    cut, part = prepare_adaptation(preset, own, record)
    rows, rates = [], tuning.RATES
    if encoder.reads_both_sides(cut.model):
        rates, cut.model.backbone.trainable = tuning.ENCODER_RATES, False
        rows = [tuning.train(record, part, "head", cut.width, loss, stage="adapt_head", epochs=epochs, rates=rates)]
        cut.model.backbone.trainable = True
    before = rows[0]["validation_loss"] if rows else None
    rows.append(
        tuning.train(record, part, "full", cut.width, loss, stage="adapt", epochs=epochs, baseline=before, rates=rates)
    )
    folder = record.directory / "preset"
    language_model.save(cut.model, folder)
    kept = ("stage", "validation_loss", "epochs", "seconds")
    return str(folder), [{name: row[name] for name in kept} | {"documents": len(own["train"])} for row in rows]


def check_preset(corpus: documents.Corpus, record: recorder.Recorder) -> None:
    """Refuse a network that cannot be saved with a classifier, before anything is trained."""
    config = record.config
    cut = tuning.begin("full", config.backbone, record, encoder.load)
    suffix = language_model.for_documents(cut.suffix, config.sequence_length, config.sequence_length)
    head = build_model(cut.model, suffix, len(corpus.class_names), config.multi_label).get_layer("class_head")
    try:
        with tempfile.TemporaryDirectory() as folder:
            one = dataclasses.replace(config, windows_per_document=1)
            saved_text_model.save(pathlib.Path(folder), cut.model, cut.first, head, corpus.targets, one)
    except (OSError, errors.UserError):  # a full disk, say
        raise
    except Exception as error:  # KerasHub and Keras raise errors of any kind
        name = type(cut.model.backbone).__name__
        raise errors.UserError(
            f"--backbone {config.backbone}: a classifier on a {name} cannot be saved ({error}); use GPT-2 or BERT"
        ) from error


def prepare(
    strategy: str, preset: str, beginnings: dict[str, windows.Windows], corpus: documents.Corpus,
    record: recorder.Recorder,
) -> tuple[tuning.Cut, keras.Model, keras.Model, frozen_windows.FrozenWindows]:  # fmt: skip
    """Cut a preset before the part that a strategy trains; return it, its suffix, its head and its `FrozenWindows`."""
    config = record.config
    cut = tuning.begin(strategy, preset, record, encoder.load)
    length = config.sequence_length * config.windows_per_document
    prefix, suffix = (
        half and language_model.for_documents(half, config.sequence_length, length) for half in (cut.prefix, cut.suffix)
    )
    if encoder.reads_both_sides(cut.model) and cut.first == len(cut.model.blocks):
        prefix, suffix = language_model.ending_in_mean(prefix)
    network = build_model(cut.model, suffix, len(corpus.class_names), config.multi_label)
    targets = {side: corpus.labels(side) for side in beginnings}
    in_documents = dataclasses.replace(config, batch_size=max(1, config.batch_size // config.windows_per_document))
    part = frozen_windows.FrozenWindows(
        cut.model, prefix, network, beginnings, in_documents, targets, fill=not config.dry_run
    )
    return cut, suffix, network.get_layer("class_head"), part


def sentence_embeddings(
    model: encoder.Encoder, beginnings: dict[str, windows.Windows], window: int, config: Config
) -> dict[str, np.ndarray]:
    """Return the mean over a document's tokens behind the untuned network, side → (documents, width); cached."""
    prefix, _ = language_model.halves(model, len(model.blocks))
    length = next(iter(beginnings.values())).token_ids.shape[1]
    parts = language_model.ending_in_mean(language_model.for_documents(prefix, window, length))
    part = frozen_windows.FrozenWindows(model, *parts, beginnings, config)
    return {side: part.suffix.predict(part.batches(side), verbose=0) for side in beginnings}


def planned(
    preset: str, own: dict[str, list], beginnings: dict[str, windows.Windows], corpus: documents.Corpus,
    record: recorder.Recorder,
) -> Iterator[tuning.Stage]:  # fmt: skip
    """Yield the stages that a dry run measures."""
    config = record.config
    if own:
        cut, part = prepare_adaptation(preset, own, record)
        if encoder.reads_both_sides(cut.model):
            cut.model.backbone.trainable = False
            yield "adapt head", part, tuning.language_loss(), config.adapt_epochs
            cut.model.backbone.trainable = True
        yield "adapt", part, tuning.language_loss(), config.adapt_epochs
    for name in config.strategies:
        part = prepare(name, preset, beginnings, corpus, record)[-1]
        yield name, part, loss_of(config), 1 if name == "features" else config.epochs


def tune(
    strategy: str, preset: str, beginnings: dict[str, windows.Windows], corpus: documents.Corpus,
    record: recorder.Recorder,
) -> tuple[tuple[tuning.Cut, keras.Model], frozen_windows.FrozenWindows, dict[str, Any], np.ndarray]:  # fmt: skip
    """Tune a preset by one strategy; return the cut model and its head, its `FrozenWindows`, its row, its answers."""
    config = record.config
    cut, suffix, head, part = prepare(strategy, preset, beginnings, corpus, record)
    loss = loss_of(config)
    if strategy == "features":
        reader = language_model.with_class_head(cut.model, suffix, text_classifier.without_answers(head))
        labels = {side: corpus.labels(side) for side in ("train", "validation")}
        row = tuning.fit_features(record, part, part.behind_cache(reader), head, labels, loss)
    else:
        rates = tuning.ENCODER_RATES if encoder.reads_both_sides(cut.model) else tuning.RATES
        row = tuning.train(record, part, strategy, cut.width, loss, rates=rates)
    answers = {side: part.suffix.predict(part.batches(side), verbose=0) for side in ("validation", "test")}
    row |= scores_of(answers, corpus, config)
    return (cut, head), part, row, answers["test"]


def run(config: Config) -> finished_run.Result:
    """Tune a classifier by each strategy, keep the best on validation, and compare it with counted words."""
    record = recorder.Recorder("text_classification", config)
    config = record.config  # with --resume, the settings of the interrupted run
    devices.set_up(config)

    # Data: the texts are read first, so that a wrong path does not cost the download of a network.
    targets = tags.Tags() if config.multi_label else kinds.CLASSES
    corpus = documents.load(config, record.directory, least_types=2, targets=targets)
    if config.training_documents:
        corpus = corpus.with_training(config.training_documents, config.seed)
    model, window = tuning.open_preset(config, encoder.load)
    encoded = {side: model.encode(corpus.texts_of(side)) for side in sample_list.SPLIT_NAMES}
    longest = max(len(ids) for side in encoded.values() for ids in side)
    most = min(config.windows_per_document, model.windows_of(longest, window))
    record.write_config(backbone=model.preset, sequence_length=window, windows_per_document=most)
    config = record.config
    if not encoder.reads_both_sides(model) and type(model.backbone).__name__ != "GPT2Backbone":  # known to be savable
        check_preset(corpus, record)

    # A document is one row of its first windows: all of them together show its type, not each of them.
    beginnings = {side: model.rows(ids, window, most) for side, ids in encoded.items()}
    summary = corpus.summary() | {"read": windows.share_read(beginnings, encoded)}
    print(documents.documents_line(summary, config), file=sys.stderr)
    own = to_adapt_on(model, encoded, corpus, config) if config.adapt_epochs else {}
    if config.dry_run:
        record.print_plan(tuning.plan(record, planned(model.preset, own, beginnings, corpus, record), corpus))

    # First tune the network itself on documents without labels, if --adapt-epochs is given.
    preset, stages = adapt(model.preset, own, record) if own else (model.preset, [])

    # Training: every strategy starts from the same preset, and the validation documents choose one.
    rows: list[dict] = []
    best: tuple = ()
    for strategy in config.strategies:
        tuned, part, row, answers = tune(strategy, preset, beginnings, corpus, record)
        rows.append(row)
        if not best or row["validation"]["log_loss"] < best[2]["validation"]["log_loss"]:
            best = tuned, part, row, answers
    (cut, head), part, kept, answers = best

    # Files: the answers, a classifier of whole documents, the numbers and those of counted words, the page.
    if isinstance(corpus.targets, tags.Tags):
        least = tuple(one["threshold"] for one in kept["test"]["per_class"].values())
        corpus = dataclasses.replace(corpus, targets=dataclasses.replace(corpus.targets, thresholds=least))
    recorder.write_predictions(record.directory, corpus, answers)
    saved_text_model.save(record.directory, cut.model, cut.first, head, corpus.targets, config)
    found = tuning.results(record, rows, kept, part) | {
        "data": summary, "stages": stages, "counted_words": counted_words.evaluate(corpus, config.seed),
    }  # fmt: skip
    if config.multi_label:
        return record.complete(found | {"always_alike": several_labels.always_alike(corpus)}, [text_tags])
    if encoder.reads_both_sides(model):
        with streams.appendix("the nearest texts"):
            embeddings = sentence_embeddings(model, beginnings, window, config)
            found["nearest_texts"] = nearest_texts.evaluate(embeddings, corpus, config.seed)
    with streams.appendix("the search for shortcuts"):
        found["shortcuts"] = shortcuts.evaluate(corpus, config.seed)
    return record.complete(found, [text_classes])


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
