"""Legal text: fine-tune GPT-2 on contracts and generate, or classify them.

When to use it: to make a language model write as your documents do, and to know what that costs, what it copies from
them and what it forgets; or, with `--task classify`, to sort documents by type. Generated text is not legal advice.

Data: a folder of .txt files, one document each, in a sub-folder for each type if there are types; or a .jsonl with
`text` and, where known, `type` and `group` in each line. Documents of one company must stay on one side of the split:
`--group-pattern` finds the company in the file's name.

    contracts/lease/1010775_2009-11-06_LEASE.txt
    contracts/loan/1011109_2001-08-14_LOAN AGREEMENT.txt

Command:

    pip install -e '.[text]'                                            # KerasHub, and what finds near-duplicates
    python recipes/legal_text.py                                        # drawn contracts, nothing is downloaded
    python recipes/legal_text.py --data contracts/ --group-pattern '^(\\d+)_'                        # GPT-2, 124 M
    python recipes/legal_text.py --data contracts/ --compare            # five strategies side by side
    python recipes/legal_text.py --data contracts/ --task classify --group-pattern '^(\\d+)_'
    python -m recipes predict runs/legal_text/… contract.txt                                         # its type
    python -m recipes generate runs/legal_text/… --prompt "This Agreement"

The example that it mirrors never trains: `model.train(input_ids)` only sets a mode in PyTorch. Here the documents are
packed into windows, every next token is predicted, and what trains is `--strategy`: `head` (the last layer norm, on a
frozen network), `last_blocks`, `lora` (Hu et al. 2021), `full`, or `scratch` (the same network from random weights).
With the first blocks frozen they run once for each window and not once an epoch.

Expected: on the drawn contracts a test perplexity of 2.55 (2.47 – 2.58, three seeds) where the pretrained network has
2,686 (it has never seen a contract) and one from scratch 160, in three minutes on two CPU cores, all five strategies.
"""

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import gc
import pathlib
import sys
from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt, Lt

from common import devices, errors, flags
from common.data import documents, sample_list
from common.evaluation import baselines, classification, language
from common.features import frozen_windows
from common.media import windows
from common.models import generation, language_model, text_classifier
from common.report import writing
from common.runs import finished_run, saved_text_model
from common.training import fitting, recorder, schedules

STRATEGIES = ("head", "last_blocks", "lora", "full", "scratch")
# Adam's rates for GPT-2's width of 768; narrower networks take higher ones in proportion (https://arxiv.org/abs/2203.03466).
RATES = {"head": 2e-3, "last_blocks": 3e-4, "lora": 6e-4, "full": 2e-4, "scratch": 4e-4}
DEMO_RATE = 3  # times these on the demo's data, where all have to learn in some two hundred steps
LIMITS = {"generate": {"epochs": 4, "patience": 2}, "classify": {"epochs": 10, "patience": 4}}
ONLY_FOR = dict.fromkeys(("general", "samples", "sample_tokens", "temperature"), "generate") | dict.fromkeys(
    ("windows_per_document", "adapt_epochs"), "classify"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(flags.RunConfig):
    """Tune a language model on legal texts, or classify them."""

    data: str = "demo"  # demo, a folder of .txt files with a sub-folder for each type, or a .jsonl
    task: Literal["generate", "classify"] = "generate"  # write on, or tell the types apart
    # A name of KerasHub's, hf://…, or a preset folder; default gpt2_base_en, on demo data demo.
    preset: str | None = None
    strategy: Literal["head", "last_blocks", "lora", "full", "scratch"] | None = None  # what trains; default full
    compare: bool = False  # all five, the best on validation is kept; generate on demo data does so by default
    blocks: Annotated[int, Gt(0)] = 1  # of last_blocks, at most all
    lora_rank: Annotated[int, Gt(0)] = 8  # 4 to 16; more weights, rarely better
    # Tokens; default 256, or all that the network can see where that is less.
    window: Annotated[int, Gt(0)] | None = None
    # Of each document at most, its beginning, also for the search for near-duplicates; default: all.
    document_characters: Annotated[int, Gt(0)] | None = None
    batch_size: Annotated[int, Gt(0)] = 8  # windows; of classify the documents that have so many, at least one
    accumulate: Annotated[int, Gt(0)] = 1  # batches for one step: 4 with --batch-size 2 is as 8, with less memory
    # An upper limit: early stopping ends the training; default 4, of classify 10.
    epochs: Annotated[int, Gt(0)] | None = None  # type: ignore[assignment]
    # Epochs without a better validation loss before it stops; default 2, of classify 4.
    patience: Annotated[int, Gt(0)] | None = None
    # The peak; default by strategy and the network's width, on demo data three times as high, printed when it trains.
    learning_rate: Annotated[float, Ge(0)] | None = None
    # Share of the steps in which the rate rises from nothing; then it falls along a cosine.
    warm_up: Annotated[float, Ge(0), Lt(1)] = 0.1
    weight_decay: Annotated[float, Ge(0)] = 0.01  # not of biases and norms
    clip: Annotated[float, Gt(0)] = 1.0  # norm of a step's gradients at most
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0  # of lora, full and scratch; a frozen block has none
    encoding: str = "utf-8"  # of the files; latin-1 or cp1252 for old ones
    keep_layout: bool = False  # keep blanks and empty lines as they are instead of one
    group_pattern: str | None = None  # regular expression that finds a document's company in its file's name
    # Documents that share more of their runs of five words stay on one side.
    duplicate_threshold: Annotated[float, Gt(0)] = 0.2
    general: pathlib.Path | None = None  # a folder of general texts: how much of them is forgotten? Not for classify
    samples: Annotated[int, Gt(0)] = 8  # texts written before and after, from the first words of validation documents
    sample_tokens: Annotated[int, Gt(0)] = 80  # of each; at most half of what the network sees
    temperature: Annotated[float, Gt(0)] = 0.7  # of them; below 1 plainer, above 1 wilder
    windows_per_document: Annotated[int, Gt(0)] = 4  # of classify: how far it reads; more need more memory and time
    # Of classify: first tune the language model on the training documents, if they are many.
    adapt_epochs: Annotated[int, Ge(0)] = 0

    def __post_init__(self):
        super().__post_init__()
        flags.check(not (self.compare and self.strategy), "compare", "takes all strategies: leave --strategy away")
        for name, task in ONLY_FOR.items():
            untouched = getattr(self, name) == getattr(Config, name)
            flags.check(self.task == task or untouched, name, f"is for --task {task}")

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that this run tries."""
        compares = self.compare or (self.data == "demo" and self.strategy is None and self.task == "generate")
        return STRATEGIES if compares else (self.strategy or "full",)


def freeze(model: language_model.LanguageModel, strategy: str, config: Config) -> int | None:
    """Leaves trainable what the strategy trains; returns the first block behind the frozen ones, None if all train.

    The token embedding is the output layer too, so it stays as it is wherever the first blocks are frozen.
    """
    if strategy == "lora":
        language_model.enable_lora(model, config.lora_rank)
    if strategy in ("lora", "full", "scratch"):
        return None
    first = len(model.blocks) - (min(config.blocks, len(model.blocks)) if strategy == "last_blocks" else 0)
    model.backbone.trainable = False
    for layer in [*model.blocks[first:], model.backbone.layer_norm]:
        layer.trainable = True
    return first


def build_model(model: language_model.LanguageModel, suffix: keras.Model) -> keras.Model:
    """The last part of the network with the tied output layer: logits of the next token, (batch, length, vocabulary).

    float32 also under mixed precision: the softmax and the loss need the digits.
    """

    embedding = model.backbone.token_embedding
    return language_model.with_head(suffix, lambda x, inputs: keras.ops.cast(embedding(x, reverse=True), "float32"))


def language_loss() -> keras.losses.Loss:
    """The mean cross-entropy of the targets that count; Keras's default would divide by those on padding, too."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def optimizer(network: keras.Model, strategy: str, width: int, batches: int, config: Config):
    """AdamW with a warm-up and a cosine, clipping, accumulation, and no decay of biases and norms."""
    rate = config.learning_rate
    if rate is None:
        rate = RATES[strategy] * 768 / width * (DEMO_RATE if config.data == "demo" else 1)
        print(f"learning rate: {rate:.1e}", file=sys.stderr)
    warm_up = int(config.warm_up * batches)  # Keras's schedules count batches, also where it accumulates
    adam = keras.optimizers.AdamW(
        schedules.warmup_cosine(rate, batches, warm_up), weight_decay=config.weight_decay, global_clipnorm=config.clip,
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
    )  # fmt: skip
    plain = [v for v in network.trainable_variables if v.name in ("bias", "gamma", "beta", "scale")]
    adam.exclude_from_weight_decay(plain)
    return devices.LossScale(adam) if config.precision == "mixed_float16" else adam


def train(part, stage: str, strategy: str, width: int, record, epochs: int, loss, baseline=None) -> dict:
    """Fits what lies behind the frozen part and keeps the epoch that validates best; the score on validation."""
    settings, steps = record.config, len(part.batches("train"))
    flags.check(settings.accumulate <= steps, "accumulate", f"must be at most {steps}, the batches of an epoch")
    part.suffix.compile(optimizer(part.suffix, strategy, width, epochs * steps, settings), loss)
    if baseline:  # the cut network must score as the whole one before any weight moves
        score = part.suffix.evaluate(part.batches("validation"), verbose=0)
        fitting.check_same_score(baseline["loss"], score, settings)
    return fitting.fit(record, part, stage, epochs, patience=settings.patience, baseline=baseline).score


def begin(strategy: str, preset: str, record: recorder.Recorder):
    """The preset anew, as if the strategy ran alone, cut in front of what trains: model, first block, both halves."""
    gc.collect()
    record.memory.restart()
    keras.utils.set_random_seed(record.config.seed)
    dropout = 0.0 if strategy in ("head", "last_blocks") else record.config.dropout
    model = language_model.load(preset, strategy != "scratch", dropout)
    first = freeze(model, strategy, record.config)
    return model, first, *language_model.halves(model, first)


def row_of(
    stage: str, strategy: str, part: frozen_windows.FrozenWindows, score: dict, record: recorder.Recorder
) -> dict:
    """A trained strategy's line of the table: what it cost and how it validated."""
    row = record.stage(stage, part.suffix, score)
    row |= {"strategy": strategy, "seconds": row["seconds"] + round(part.seconds, 1)}
    return row | {"peak_memory_bytes": record.memory.peak, "cache_bytes": part.cache_bytes}


def tune(strategy: str, preset: str, windows: dict, record, baseline=None, stage=None, epochs=None):
    """One strategy: the preset tuned on the training windows; the model, its windows and its row of the table."""
    config, stage = record.config, stage or strategy
    model, _, prefix, suffix = begin(strategy, preset, record)
    part = frozen_windows.FrozenWindows(model, prefix, build_model(model, suffix), windows, config)
    score = train(part, stage, strategy, model.backbone.hidden_dim, record, epochs or config.epochs,
                  language_loss(), None if strategy == "scratch" else baseline)  # fmt: skip
    return model, part, row_of(stage, strategy, part, score, record)


def run(config: Config) -> finished_run.Result:
    """Reads and splits the documents, then tunes a model that writes on, or one that tells their types apart."""
    record = recorder.Recorder("legal_text", config)
    config = record.config  # under --resume the settings of the interrupted run
    devices.set_up(config)
    # The texts first: a wrong path should not cost the download of a network.
    corpus = documents.load(config, record.directory, least_types=2 if config.task == "classify" else 0)
    preset = config.preset or ("demo" if config.data == "demo" else "gpt2_base_en")
    model = language_model.load(preset)
    if config.window and config.window > model.context:
        raise errors.UserError(f"--window {config.window}: this network sees {model.context} tokens at most")
    sides = [*sample_list.SPLIT_NAMES, *(["general"] if corpus.general else [])]
    encoded = {side: model.encode(corpus.texts_of(side)) for side in sides}
    window = config.window or min(256, model.context)
    resolved = {name: getattr(config, name) or value for name, value in LIMITS[config.task].items()}
    if config.task == "classify":
        longest = max(len(ids) + 1 for side in encoded.values() for ids in side)
        resolved["windows_per_document"] = min(config.windows_per_document, -(-longest // window))
    record.write_config(preset=preset, window=window, **resolved)
    return (classify if config.task == "classify" else write_on)(record, model, corpus, encoded)


def finish(record: recorder.Recorder, rows: list[dict], kept: dict, part, **results) -> finished_run.Result:
    """Marks the strategy that is kept, writes the numbers and the page, and says what came out."""
    for row in rows:
        row["kept"] = row is kept
    record.memory.peak = max(row["peak_memory_bytes"] for row in rows)
    return record.complete({
        "task": record.config.task, "medium": "texts", "strategy": kept["strategy"], "validation": kept["validation"],
        "test": kept["test"], "strategies": rows, "cost": record.cost(part.whole, part), **results,
    }, [writing])  # fmt: skip


def write_on(
    record: recorder.Recorder, model: language_model.LanguageModel, corpus: documents.Corpus, encoded: dict
) -> finished_run.Result:
    """Tunes under each strategy, keeps the one that validates best, and says what it writes, copies and forgets."""
    config, directory = record.config, record.directory
    packed = {side: windows.pack(ids, config.window, model.end_token) for side, ids in encoded.items()}
    print(documents.count_table(packed, config.window, len(corpus.duplicates)), file=sys.stderr)

    # Before: what the pretrained network makes of the texts, by its own output layer.
    inputs = [model.task.input[name] for name in ("token_ids", "padding_mask")]
    whole = keras.Model(inputs, keras.ops.cast(model.task.output, "float32"), name="pretrained")
    part = frozen_windows.FrozenWindows(model, None, whole, packed, config)
    whole.compile(loss=language_loss())
    baseline = {"loss": whole.evaluate(part.batches("validation"), verbose=0)}
    before = language.of_windows(part, corpus)
    openings = language.openings(corpus, config.samples)
    prompts = [model.decode(ids[: model.context // 3]) for ids in model.encode(openings)]
    tokens = min(config.sample_tokens, model.context // 2)
    sampling = generation.Sampling(tokens, temperature=config.temperature, seed=config.seed)
    written = {"before": generation.generate(model, prompts, sampling)}

    # Training: every strategy starts from the same preset; the validation documents choose.
    rows: list[dict] = []
    best: tuple = ()
    for strategy in config.strategies:
        tuned, part, row = tune(strategy, config.preset, packed, record, baseline)
        row |= language.of_windows(part, corpus)
        rows.append(row)
        if not best or row["validation"]["loss"] < best[1]["validation"]["loss"]:
            best = tuned, row, part
    model, kept, part = best

    # What it writes, and how much of that it has by heart.
    written["after"] = generation.generate(model, prompts, sampling)
    copying = language.of_written(written, prompts, corpus)
    samples = language.write_samples(directory / "samples.jsonl", prompts, written)

    # What stays: a preset that KerasHub loads by itself, LoRA's weights alone, the numbers, the page.
    language_model.save(model, directory / "preset")
    if kept["strategy"] == "lora":
        model.backbone.save_lora_weights(str(directory / "adapter.lora.h5"))
    summary = corpus.summary() | {"tokens": {side: part.tokens for side, part in packed.items()}}
    about = {"before": before, "general": kept.get("general"), "samples": samples, "copying": copying}
    return finish(record, rows, kept, part, data=summary, **about)


def classify(
    record: recorder.Recorder, model: language_model.LanguageModel, corpus: documents.Corpus, encoded: dict
) -> finished_run.Result:
    """Puts a classifier on the network, frozen or tuned, beside logistic regression on counted words."""
    config, preset, stages = record.config, record.config.preset, []
    # A document is one row of its first windows: its type stands in all of them together, not in each.
    length = config.window * config.windows_per_document
    beginnings = {side: windows.pack_each(ids, length, model.end_token) for side, ids in encoded.items()}
    targets = {side: corpus.labels(side) for side in beginnings}
    in_documents = dataclasses.replace(config, batch_size=max(1, config.batch_size // config.windows_per_document))
    summary = corpus.summary() | {"read": windows.share_read(beginnings, encoded)}
    print(documents.documents_line(summary, config), file=sys.stderr)

    if config.adapt_epochs:  # the language model first, on the training documents (Howard and Ruder 2018)
        packed = {side: windows.pack(encoded[side], config.window, model.end_token) for side in ("train", "validation")}
        adapted, _, row = tune("full", preset, packed, record, stage="adapt", epochs=config.adapt_epochs)
        preset = str(record.directory / "preset")
        language_model.save(adapted, pathlib.Path(preset))
        stages.append({name: row[name] for name in ("stage", "validation_loss", "epochs", "seconds")})

    rows: list[dict] = []
    best: tuple = ()
    for strategy in config.strategies:
        model, first, prefix, suffix = begin(strategy, preset, record)
        head = text_classifier.build_head(model.backbone.hidden_dim, len(corpus.class_names))
        prefix, suffix = (
            half and language_model.for_documents(half, config.window, length) for half in (prefix, suffix)
        )
        network = language_model.with_class_head(model, suffix, head)
        part = frozen_windows.FrozenWindows(model, prefix, network, beginnings, in_documents, targets)
        score = train(part, strategy, strategy, model.backbone.hidden_dim, record, config.epochs,
                      keras.losses.SparseCategoricalCrossentropy())  # fmt: skip
        row = row_of(strategy, strategy, part, score, record)
        answers = {side: part.suffix.predict(part.batches(side), verbose=0) for side in ("validation", "test")}
        for side, given in answers.items():
            about = corpus.labels(side), corpus.class_names, corpus.groups(side)
            row[side] = classification.scores(given, *about, config.seed)
        rows.append(row)
        if not best or row["validation"]["log_loss"] < best[0]["validation"]["log_loss"]:
            best = row, answers["test"], (model, first, head), part
    kept, probabilities, (model, first, head), part = best

    recorder.write_predictions(record.directory, corpus, probabilities)
    saved_text_model.save(record.directory, model, first, head, corpus.class_names, config)
    baseline = baselines.counted_words(corpus, config.seed)
    return finish(record, rows, kept, part, data=summary, stages=stages, counted_words=baseline)


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
