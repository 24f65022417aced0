"""Text domains: domain adaptation of texts, such as sentiment from books to kitchen goods (domain gap).

When to use it: your labelled texts (the source) are not like those on which the model will be used (the new domain).
The report shows how far apart the two are, what the gap costs, and which method closes part of it. Beside it is
logistic regression on counted words (TF-IDF) of the source. For photos, use domain_adaptation.

Data: two folders of .txt files with the same classes as sub-folders, or two .jsonl files with `text`, `label` and, if
known, `group` in each line. Half of the new domain's texts adapt, without their labels; the other half is the test.
Without labels in the new domain, all of them adapt, and there is no test.

    {"text": "I could not put it down.", "label": "positive", "group": "17"}

Command:

    pip install 'keras-recipes[text]'                                                # KerasHub
    python recipes/text_domains.py                                                   # the demo, nothing is downloaded
    python recipes/text_domains.py --data books.jsonl --new-domain kitchen.jsonl     # MiniLM, 22 million parameters
    python recipes/text_domains.py --data books.jsonl --new-domain kitchen.jsonl --compare --seeds 3  # all methods
    python recipes/text_domains.py --data books/ --new-domain kitchen/ --method few_labels --new-labels few.jsonl
    python -m recipes predict runs/text_domains/… review.txt

All methods work on sentence embeddings: the mean over a text's tokens behind a frozen encoder. They are those of
domain_adaptation (`common/training/domain_training.py`), and so is the rule: nothing is chosen by a label of the new
domain. All settings are fixed, and the last step counts. The saved model is a plain classifier for the new domain.

Expected: on reviews of books, DVDs, electronics and kitchen goods, twelve pairs, with MiniLM, a mean test accuracy of
0.685 (one seed). The source's model has 0.674, and counted words 0.730: use them there.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import pathlib
import sys
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge, Gt

from common import devices, flags, streams
from common.data import documents, text_domains
from common.evaluation import classification, counted_words, domain_methods, shortcuts
from common.features import frozen_windows
from common.media import windows
from common.models import domain_heads, encoder, language_model
from common.report import domain_gap_page, text_classes
from common.runs import cost, finished_run, saved_text_model
from common.training import domain_training, recorder, tuning


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(tuning.DocumentConfig):
    """Adapt a classifier of texts on a frozen network to a new domain, without its labels or with few of them."""

    # hub: and a preset of KerasHub, hf://…, or a preset folder; default: all_minilm_l6_v2_en (demo on demo data).
    backbone: str | None = None
    batch_size: Annotated[int, Gt(0)] = 16  # texts; halve it if memory runs out
    windows_per_document: Annotated[int, Gt(0)] = 4  # windows read from the start of each text; more take longer
    # Folders of .txt files or .jsonl files, with the source's classes or without labels; demo: scans.
    new_domain: tuple[str, ...] = ()
    # Some of none, standardise, coral, deep_coral, mmd, dann, cdan, mcc, pseudo_labels, few_labels, few_labels_alone,
    # target_labels, joined by +; mcc loses where topics outweigh classes.
    method: str = "standardise"
    compare: bool = False  # measure all methods, and the gap that each leaves; the default on demo data
    seeds: Annotated[int, Gt(0)] = 1  # with --compare, this many splits; the model is that of the first
    shots: Annotated[int, Ge(0)] = 3  # labels of each class of the new domain, for few_labels; drawn from its own
    # Texts of the new domain with their labels, as for --data, instead of --shots.
    new_labels: pathlib.Path | None = None

    UNUSED = {
        "epochs": "all settings of the training are fixed", "tensorboard": "there are no curves by epochs",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        domain_training.check(self)

    def check_files(self) -> None:
        super().check_files()
        flags.check(self.data == "demo" or bool(self.new_domain), "new_domain", "is needed: the other domain's texts")
        for name in self.new_domain if self.data != "demo" else ():
            flags.check(pathlib.Path(name).expanduser().exists(), "new_domain", f"{name}: no such file or folder")
        there = self.new_labels is None or self.new_labels.expanduser().exists()
        flags.check(there, "new_labels", f"{self.new_labels}: no such file or folder")

    @property
    def used_method(self) -> str:
        """The method."""
        return self.method

    @property
    def compares(self) -> bool:
        """Whether all methods are measured."""
        return self.compare or self.data == "demo"


# The model ---------------------------------------------------------------------------------------------------------


def build_model(
    width: int, num_classes: int, mean: np.ndarray | None = None, variance: np.ndarray | None = None, units: int = 0
) -> keras.Model:
    """Build the classifier of a sentence embedding: standardisation, bottleneck if any, softmax.

    Args:
        width: the number of values of an embedding, which is the mean over all of a document's tokens.
        mean, variance: those of the embeddings in the domain that the model is for, (width,); None leaves them out.
        units: of the bottleneck, a Dense layer with ReLU; 0 for none.
    """
    inputs = x = keras.Input((width,), name="mean")
    if mean is not None and variance is not None:
        x = keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist(), name="standardised")(x)
    if units:
        x = keras.layers.Dense(units, activation="relu", name="bottleneck")(x)
    output = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, output, name="class_head")


# Sentence embeddings -------------------------------------------------------------------------------------------------


def halves(model: language_model.TextModel, window: int, most: int) -> tuple[keras.Model, keras.Model]:
    """Return the frozen network, from a document's tokens to their mean, and a part that passes the mean on.

    Args:
        model: the network.
        window: the number of tokens that it reads at a time.
        most: the number of windows of a document.
    """
    network = keras.Model(model.inputs, model.output, name="network")
    return language_model.ending_in_mean(language_model.for_documents(network, window, window * most))


def embed(
    model: language_model.TextModel, parts: tuple[keras.Model, keras.Model], rows: dict[str, windows.Windows],
    corpora: dict[str, documents.Corpus], config: Config,
) -> tuple[frozen_windows.FrozenWindows, dict[str, np.ndarray]]:  # fmt: skip
    """Compute the embeddings that are not in the cache yet; return them with what computed them, path → (width,).

    Args:
        model, parts: the frozen network, and what `halves` returns for it.
        rows: the windows of the source, `train`, and of the new domain, `validation`.
        corpora: the documents of these windows, in their order.
    """
    part = frozen_windows.FrozenWindows(model, *parts, rows, config)
    found: dict[str, np.ndarray] = {}
    for side, corpus in corpora.items():
        vectors = part.suffix.predict(part.batches(side), verbose=0)
        found |= dict(zip(corpus.texts, vectors.astype("float32"), strict=True))
    return part, found


def features_of(data: text_domains.TextDomains, vectors: dict[str, np.ndarray]) -> domain_heads.Features:
    """Return the features of both domains on the sides of one split."""
    source = {side: np.stack([vectors[path] for path in data.source.paths(side)])
              for side in ("train", "validation", "test")}  # fmt: skip
    test = [vectors[path] for path in data.target.paths("test")] if data.labels else []
    adapting = np.stack([vectors[path] for path in data.paths()])
    return domain_heads.Features(data, source, adapting, np.reshape(test, (-1, adapting.shape[1])))


# The run -------------------------------------------------------------------------------------------------------------


def count_words(data: domain_heads.Features, seed: int) -> dict[str, Any]:
    """Return the scores of logistic regression on counted words of the source, as `domain_training.measure` does."""
    judged, target = data.domains.judged(), data.domains.target
    _, answer = counted_words.fit(judged, seed)
    texts = {"validation": judged.texts_of("validation"), "test": judged.texts_of("test")[: len(data.test)],
             "adapting": [target.texts[path] for path in data.domains.paths()]}  # fmt: skip
    labels = {side: judged.labels(side)[: len(texts[side])] for side in ("validation", "test")}
    answers = {side: answer(each) if each else np.zeros((0, len(judged.class_names))) for side, each in texts.items()}
    return domain_methods.trial(domain_methods.COUNTED_WORDS, seed, 0.0, labels, answers)


def run(config: Config) -> finished_run.Result:
    """Adapt to the new domain by the method, read its test labels once, and show what each method gains."""
    if len(config.new_domain) > 1:
        return run_each(config)
    record = recorder.Recorder("text_domains", config)
    config = record.config  # with --resume, the settings of the interrupted run
    device, method = devices.set_up(config), config.used_method

    # Data: the source, and the new domain without its labels; with several seeds, several splits.
    seeds = [config.seed + number for number in range(config.seeds if config.compares else 1)]
    new_domain = text_domains.demo(config) if config.data == "demo" else config.new_domain[0]
    places = {seed: record.directory / "splits" / f"seed{seed}" for seed in seeds}
    with streams.each_line_once():
        splits = [text_domains.load(config, places[seed], new_domain, seed) for seed in seeds]
    first, num_classes = splits[0], len(splits[0].source.class_names)
    methods = domain_training.methods_of(config, first)

    # The network is frozen; the mean over a text's tokens is computed once for each text.
    model, window = tuning.open_preset(config, encoder.load, "all_minilm_l6_v2_en")
    model.backbone.trainable = False
    corpora = {"train": first.source, "validation": first.target}
    encoded = {side: model.encode(corpus.texts.values()) for side, corpus in corpora.items()}
    longest = max(len(ids) for side in encoded.values() for ids in side)
    most = min(config.windows_per_document, model.windows_of(longest, window))
    record.write_config(backbone=model.preset, sequence_length=window, windows_per_document=most)
    config = record.config
    rows, parts = {side: model.rows(ids, window, most) for side, ids in encoded.items()}, halves(model, window, most)
    summary = first.judged().summary() | {"read": windows.share_read(rows, encoded)}
    print(documents.documents_line(summary, config), file=sys.stderr)
    if config.dry_run:
        record.print_plan(tuning.plan(record, planned(model, parts, rows, num_classes, config), first.together()))
    part, vectors = embed(model, parts, rows, corpora, config)
    features = [features_of(each, vectors) for each in splits]

    # Adaptation: every method starts from the same features.
    measured = [
        domain_training.measure(methods, each, seed, config, device)
        for each, seed in zip(features, seeds, strict=True)
    ]  # fmt: skip
    counted = [count_words(each, seed) for each, seed in zip(features, seeds, strict=True)]
    trials, heads = [*(each for found, _ in measured for each in found), *counted], measured[0][1]

    # The model of the new domain: its own standardisation, and the head of the method.
    head = heads[method]
    classifier = build_model(features[0].adapting.shape[1], num_classes, head.mean, head.variance, head.units)
    head.copy_into(classifier)
    saved_text_model.save(record.directory, model, len(model.blocks), classifier, first.source.targets, config)

    # Evaluation: here, and nowhere else, the test texts of the new domain are compared with their labels.
    first.write(record.directory / "split.csv")
    domain_training.write_map(record.directory, features[0], heads, config)
    found, answers = domain_training.section(features, trials, heads, config)
    network = language_model.joined(parts[0], language_model.with_class_head(model, parts[1], classifier))
    seconds = part.seconds + next(each["seconds"] for each in trials if each["method"] == method)
    results = scores(record, first.judged(), answers) | {"data": summary, "domains": found}
    results |= costs_of(record, network, part, seconds, results)
    return record.complete(results, [text_classes, domain_gap_page])


def scores(record: recorder.Recorder, judged: documents.Corpus, answers: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write predictions.csv, and return the scores on the source's validation and the new domain's test, and beside it.

    Args:
        record: the run.
        judged: the source's training and validation texts, and the test texts of the new domain.
        answers: side → the probabilities, (n, classes).
    """
    recorder.write_predictions(record.directory, judged, answers["test"])
    seed, sides = record.config.seed, ("validation", "test")
    found: dict[str, Any] = {side: classification.evaluate(answers[side], judged, side, seed) for side in sides}
    with streams.appendix("the search for shortcuts"):
        found["shortcuts"] = shortcuts.evaluate(judged, seed)
    return found | {"counted_words": counted_words.evaluate(judged, seed)}


def costs_of(
    record: recorder.Recorder, network: keras.Model, part: frozen_windows.FrozenWindows, seconds: float, found: dict
) -> dict[str, Any]:
    """Return the parts of results.json with the cost, and the row of the method in the page's table.

    Args:
        record: the run.
        network: the frozen network with the adapted head.
        part: what computed the embeddings.
        seconds: those of the embeddings and of the method.
        found: the scores of `validation` and `test`.
    """
    costs, method = record.cost(network, part), record.config.used_method
    row = {"strategy": method, "kept": True, "trainable_parameters": costs["trainable_parameters"],
           "seconds": round(seconds, 1), "peak_memory_bytes": cost.peak_memory(),
           "validation": found["validation"], "test": found["test"]}  # fmt: skip
    return {"medium": "texts", "strategy": method, "strategies": [row], "stages": [], "cost": costs}


def planned(
    model: language_model.TextModel, parts: tuple[keras.Model, keras.Model], rows: dict[str, windows.Windows],
    num_classes: int, config: Config,
) -> list[tuning.Stage]:  # fmt: skip
    """Return the stage that a dry run measures: the frozen network, and a step of the head."""
    prefix, mean = parts
    network = language_model.with_class_head(model, mean, build_model(model.backbone.hidden_dim, num_classes))
    targets = {side: np.zeros(len(each), "int32") for side, each in rows.items()}
    part = frozen_windows.FrozenWindows(model, prefix, network, rows, config, targets, fill=False)
    return [(config.used_method, part, keras.losses.SparseCategoricalCrossentropy(), 1)]


def run_each(config: Config) -> finished_run.Result:
    """Run the recipe for each new domain, and print a table of source x target."""
    for each in config.new_domain if config.data != "demo" else ():
        text_domains.check(config, each)  # report a mistake in the last one now, not after the first run
    results = [run(dataclasses.replace(config, new_domain=(each,))) for each in config.new_domain]
    print(domain_gap_page.table_of_targets(results))
    return results[-1]


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
