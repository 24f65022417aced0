"""Tuning of a language model on texts: the settings that recipes share, and the training by one strategy."""

from __future__ import annotations

import dataclasses
import functools
import gc
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge, Gt, Lt

from common import errors, flags
from common.data import documents
from common.features import frozen_windows
from common.models import encoder, freezing, language_model, linear_heads
from common.runs import cost, speed
from common.training import fitting, loss_scale, recorder, schedules
from common.training import plan as plans

# Adam's rates for GPT-2's width of 768; narrower networks use proportionally higher ones (https://arxiv.org/abs/2203.03466).
RATES = {"head": 2e-3, "last_blocks": 3e-4, "lora": 6e-4, "full": 2e-4, "scratch": 4e-4}
# Setting → the strategies on which it has an effect.
OF_STRATEGIES = {"blocks": ("last_blocks",), "lora_rank": ("lora",), "dropout": ("lora", "full", "scratch")}
# For encoders, also for a width of 768. BERT's authors tune all of it at 2e-5 to 5e-5 (https://arxiv.org/abs/1810.04805).
ENCODER_RATES = {"head": 2e-3, "last_blocks": 1e-4, "lora": 4e-4, "full": 3e-5, "scratch": 1e-4}
DEMO_RATE = 3  # factor on demo data, where all strategies have to learn in some two hundred steps
LONGEST_WINDOW = 256  # tokens, without --sequence-length
SHORTEST_FRAMED = 3  # tokens of an encoder's window: one of the text between those at its start and its end


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocumentConfig(flags.RunConfig):
    """Flags of every recipe that reads texts by a network."""

    FORMS_OF_DATA = "a folder of .txt files or a .jsonl"
    UNUSED = {"skip_unsupported": "only documents and lists of them are read"}

    data: str = "demo"  # demo, a folder of .txt files with a sub-folder for each type, or a .jsonl
    # hub: and a preset of KerasHub, hf://…, or a preset folder; default: gpt2_base_en (demo on demo data).
    backbone: str | None = None
    # Tokens of a window; default: 256, or the context of the network if that is shorter.
    sequence_length: Annotated[int, Gt(0)] | None = None
    # Most characters to read from the start of a document, also in the search for near-duplicates; default: all.
    document_characters: Annotated[int, Gt(0)] | None = None
    batch_size: Annotated[int, Gt(0)] = 8  # windows; halve it if memory runs out
    encoding: str = "utf-8"  # encoding of the files; latin-1 or cp1252 for old ones
    keep_layout: bool = False  # keep spaces and empty lines instead of reducing them to one
    group_pattern: str | None = None  # regular expression for the company in a document's file name
    # Documents that share more than this fraction of their five-word sequences stay on one side.
    duplicate_threshold: Annotated[float, Gt(0)] = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig(DocumentConfig):
    """Flags of every recipe that tunes a language model on texts."""

    strategy: str | None = None  # what trains, one of the recipe's strategies; default: full
    compare: bool = False  # try all five strategies and keep the best on validation
    blocks: Annotated[int, Gt(0)] = 1  # number of blocks that last_blocks trains; at most all
    lora_rank: Annotated[int, Gt(0)] = 8  # rank of lora, 4 to 16; more weights are rarely better
    # Batches per step of the optimizer; 4 with --batch-size 2 equals --batch-size 8, with less memory.
    gradient_accumulation_steps: Annotated[int, Gt(0)] = 1
    epochs: Annotated[int, Gt(0)] = 4  # an upper limit, since early stopping ends the training
    patience: Annotated[int, Gt(0)] = 2  # epochs without a lower validation loss before the training stops
    # Peak rate; default: depends on strategy and width, three times as high on demo data; printed before training.
    learning_rate: Annotated[float, Ge(0)] | None = None
    # Fraction of the steps in which the rate rises; then it falls along a cosine.
    warmup_ratio: Annotated[float, Ge(0), Lt(1)] = 0.1
    weight_decay: Annotated[float, Ge(0)] = 0.01  # does not apply to biases and norms
    clipnorm: Annotated[float, Gt(0)] = 1.0  # upper limit for the norm of a step's gradients
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0  # for lora, full and scratch; frozen blocks have none

    def __post_init__(self) -> None:
        super().__post_init__()
        flags.check(not (self.compare and self.strategy), "compare", "uses all strategies; remove --strategy")
        for name, its in OF_STRATEGIES.items():
            used = bool(set(its) & set(self.strategies))
            flags.check_used(self, used, f"without --strategy {' or '.join(its)}", name)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that this run tries."""
        return tuple(RATES) if self.compare else (self.strategy or "full",)


# Takes the name of the network, whether to load weights, and the dropout: `language_model.load`, or one like it.
Load = Callable[[str, bool, float], Any]


@dataclasses.dataclass(frozen=True)
class Cut:
    """A language model, cut before the first block that a strategy trains.

    Attributes:
        model: the whole model, a `language_model.LanguageModel` or one like it.
        first: number of the first block that trains; the number of blocks if none trains; None if all train.
        prefix, suffix: as `language_model.halves` makes them.
    """

    model: Any
    first: int | None
    prefix: keras.Model | None
    suffix: keras.Model

    @property
    def width(self) -> int:
        """The width of the input and output of a block."""
        return self.model.backbone.hidden_dim


def open_preset(
    config: DocumentConfig, load: Load = language_model.load, default: str = "gpt2_base_en"
) -> tuple[Any, int]:
    """Load the network that a run starts from; return it and the number of tokens of a window.

    Args:
        config: the settings.
        load: loads the network by its name, as `language_model.load` does.
        default: the preset without `--backbone`, unless the data are the demo's.

    Raises:
        UserError: there is no such preset, or `--sequence-length` is longer than the network's context, or too short
            for an encoder, whose windows begin and end with a token of their own.
    """
    model = load(config.backbone or ("demo" if config.data == "demo" else default), True, 0.0)
    if config.sequence_length and config.sequence_length > model.context:
        raise errors.UserError(
            f"--sequence-length {config.sequence_length}: this network sees at most {model.context} tokens"
        )
    if config.sequence_length and config.sequence_length < SHORTEST_FRAMED and encoder.reads_both_sides(model):
        raise errors.UserError(
            f"--sequence-length {config.sequence_length}: must be at least {SHORTEST_FRAMED} for an encoder, whose "
            "windows begin and end with a token of their own"
        )
    return model, config.sequence_length or min(LONGEST_WINDOW, model.context)


def begin(strategy: str, preset: str, record: recorder.Recorder, load: Load = language_model.load) -> Cut:
    """Load the preset anew, as if the strategy ran alone, and cut it before the first part that trains.

    Args:
        strategy: as for `language_model.freeze`.
        preset: as for `language_model.load`; `scratch` uses only its architecture.
        record: the run; its peak of memory is measured from here on.
        load: as for `open_preset`.
    """
    gc.collect()
    cost.forget_peak_memory()
    keras.utils.set_random_seed(record.config.seed)
    dropout = 0.0 if strategy in ("features", "head", "last_blocks") else record.config.dropout
    model = load(preset, strategy != "scratch", dropout)
    first = language_model.freeze(model, strategy, record.config.blocks, record.config.lora_rank)
    return Cut(model, first, *language_model.halves(model, first))


def optimizer(
    network: keras.Model, strategy: str, width: int, batches: int, config: TextConfig,
    rates: Mapping[str, float] = RATES,
) -> keras.optimizers.Optimizer:  # fmt: skip
    """Return AdamW with a warm-up and a cosine, clipping, accumulation, and no decay of biases and norms.

    Args:
        network: the network that trains.
        strategy: determines the rate if `--learning-rate` is not given.
        width: the width of the network's blocks.
        batches: the number of batches of the whole training.
        config: the settings.
        rates: strategy → rate for a width of 768.
    """
    rate = config.learning_rate
    if rate is None:
        rate = rates[strategy] * 768 / width * (DEMO_RATE if config.data == "demo" else 1)
        print(f"learning rate: {rate:.1e}", file=sys.stderr)
    warm_up = int(config.warmup_ratio * batches)  # Keras's schedules count batches, even with accumulation
    steps = config.gradient_accumulation_steps
    adam = keras.optimizers.AdamW(
        schedules.learning_rate(rate, batches, warm_up), weight_decay=config.weight_decay,
        global_clipnorm=config.clipnorm, gradient_accumulation_steps=steps if steps > 1 else None,
    )  # fmt: skip
    plain = [v for v in network.trainable_variables if v.name in ("bias", "gamma", "beta", "scale")]
    adam.exclude_from_weight_decay(plain)
    return loss_scale.LossScale(adam) if config.precision == "mixed_float16" else adam


def train(
    record: recorder.Recorder, part: Any, strategy: str, width: int, loss: keras.losses.Loss,
    *, stage: str | None = None, epochs: int | None = None, baseline: float | None = None,
    rates: Mapping[str, float] = RATES,
) -> dict[str, Any]:  # fmt: skip
    """Fit the part behind the frozen layers, and keep the best epoch on validation.

    Args:
        record: the run.
        part: the windows of the run, behind the frozen layers, or a `masked_windows.MaskedWindows`.
        strategy: the strategy to train by.
        width: the width of the network's blocks.
        loss: as for Keras's `compile`.
        stage: the name of the stage in history.csv; default: the strategy's.
        epochs: upper limit; default: `--epochs`.
        baseline: the validation loss before the stage. The cut network must have the same loss before any weight
            changes, and an epoch must be better to be kept.
        rates: as for `optimizer`.

    Returns:
        The strategy's row of the table: `recorder.Recorder.stage`, `strategy`, `peak_memory_bytes`, `cache_bytes`, and
        `seconds` including those of the frozen layers.

    Raises:
        UserError: there are more batches to accumulate than an epoch has, the loss differs from `baseline`, or the loss
            is not finite.
    """
    config, stage, epochs = record.config, stage or strategy, epochs or record.config.epochs
    steps = len(part.batches("train"))
    flags.check(
        config.gradient_accumulation_steps <= steps,
        "gradient_accumulation_steps",
        f"must be at most {steps}, the number of batches in an epoch",
    )
    part.suffix.compile(optimizer(part.suffix, strategy, width, epochs * steps, config, rates), loss)
    if baseline is not None:
        score = part.suffix.evaluate(part.batches("validation"), verbose=0)
        fitting.check_same_score(baseline, score, config)
    fitted = fitting.fit(record, part, stage, epochs, patience=config.patience, baseline=baseline)
    return _row(record, part, strategy, stage, fitted.score)


def _row(
    record: recorder.Recorder, part: Any, strategy: str, stage: str, score: dict[str, float],
    seconds: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """Return a strategy's row of the table; `seconds` are those that are not in history.csv."""
    row = record.stage(stage, part.suffix, score)
    row |= {"strategy": strategy, "seconds": round(row["seconds"] + part.seconds + seconds, 1)}
    return row | {"peak_memory_bytes": cost.peak_memory(), "cache_bytes": part.cache_bytes}


def fit_features(
    record: recorder.Recorder, part: frozen_windows.FrozenWindows, reader: keras.Model, head: keras.Model,
    labels: dict[str, np.ndarray], loss: keras.losses.Loss,
) -> dict[str, Any]:  # fmt: skip
    """Fit only the last layer of a classifier, by logistic regression on its input, in closed form for each penalty.

    Args:
        record: the run.
        part: the windows of the run, behind the frozen layers; its network contains `head`.
        reader: like `part.suffix`, but it returns the input of the head's last layer, (n, features).
        head: the classifier; its last layer, `probabilities`, is set, and nothing else is trainable afterwards.
        labels: `train` and `validation` → (n,) class numbers, or (n, labels) if a document can have several.
        loss: the loss that is measured on validation.

    Returns:
        The row of the table as `train` returns it, and `chosen`: the penalty with the lowest validation log loss.
    """
    started = time.perf_counter()
    for layer in head.layers:
        layer.trainable = layer.name == "probabilities"
    features = {side: reader.predict(part.batches(side), verbose=0) for side in ("train", "validation")}
    last = head.get_layer("probabilities")
    several = labels["train"].ndim == 2
    fit = _one_for_each if several else functools.partial(linear_heads.logistic_regression, num_classes=last.units)
    kernel, bias, chosen = fit(features, labels)
    last.set_weights([kernel, bias])
    part.suffix.compile(loss=loss)
    score = {"loss": part.suffix.evaluate(part.batches("validation"), verbose=0)}
    return _row(record, part, "features", "features", score, time.perf_counter() - started) | {"chosen": chosen}


def _one_for_each(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Fit logistic regression for each of several labels that a sample can have at once, each with its own penalty.

    Args:
        features: as for `linear_heads.logistic_regression`.
        labels: of both sides, (n, labels), 1 where a label is there.

    Returns:
        Kernel (channels, labels) and bias (labels,) of a sigmoid layer, and what was chosen: `C`, for each label.
    """
    heads = [
        linear_heads.logistic_regression(
            features, {side: each[:, number].astype(int) for side, each in labels.items()}, 2
        )
        for number in range(labels["train"].shape[1])
    ]
    kernel = np.stack([kernel[:, 1] - kernel[:, 0] for kernel, _, _ in heads], axis=1)
    bias = np.array([bias[1] - bias[0] for _, bias, _ in heads])
    return kernel, bias, {"C": [chosen["C"] for _, _, chosen in heads]}


# A stage of a plan: its name, its windows, not filled, as `train` takes them, its loss and its epochs.
Stage = tuple[str, Any, "keras.losses.Loss", int]


def language_loss() -> keras.losses.Loss:
    """Return the mean cross-entropy over real tokens; Keras's default would also divide by those on padding."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def plan(record: recorder.Recorder, stages: Iterable[Stage], corpus: documents.Corpus) -> plans.Plan:
    """Plan a run. This trains the models on noise, so they cannot be used afterwards.

    Args:
        record: the `recorder.Recorder` of the run.
        stages: each is measured before the next is made.
        corpus: the documents.
    """
    steps: list[plans.Step] = []
    memory, features, parameters, most, passes = 0, 0, 0, 0, 0.0
    for name, part, loss, epochs in stages:
        train_steps, val_steps = (len(part.batches(side)) for side in ("train", "validation"))
        inputs, targets, _ = part.batches("train")[0]
        if part.prefix is not None and part.suffix is not part.whole:
            ids, masks = inputs
            look = functools.partial(part.prefix.predict_on_batch, [ids, masks])
            if part.missing:
                seconds = part.missing * speed.usual_seconds(look) / len(ids)
                steps.append(plans.Step(f"{name}, frozen part", 0, 0, seconds))
            inputs = (look(), masks)
        begin, step = speed.of_training(part.suffix, list(inputs), targets, loss)
        seconds = begin + epochs * speed.of_epoch(step, train_steps, val_steps)
        trains, _ = freezing.count_parameters(part.suffix)
        steps.append(plans.Step(name, trains, epochs, seconds))
        memory, features = max(memory, cost.peak_memory()), features + part.missing_bytes
        parameters, most = part.whole.count_params(), max(most, trains)
        passes += step * val_steps
    steps.append(plans.Step("evaluation, report", 0, 0, plans.FINISHING_SECONDS + 2 * passes))
    sides = ", ".join(f"{len(getattr(corpus, side)):,} {side}" for side in corpus.sides)
    about = {
        "data": f"{corpus.source}: documents: {sides}",
        "network": f"{record.config.backbone}, {parameters:,} parameters",
    }
    return plans.Plan(about, steps, memory, features, plans.space(parameters, most))


def results(
    record: recorder.Recorder, rows: list[dict[str, Any]], kept: dict[str, Any], part: frozen_windows.FrozenWindows
) -> dict[str, Any]:
    """Mark the strategy that is kept, and return the part of results.json that all runs on texts share.

    Args:
        record: the run.
        rows: the results of `train`, with the scores of `validation` and `test`.
        kept: the row of the strategy that is kept.
        part: the windows of this strategy.
    """
    for row in rows:
        row["kept"] = row is kept
    record.earlier_peaks += [row["peak_memory_bytes"] for row in rows]
    return {
        "medium": "texts", "strategy": kept["strategy"], "validation": kept["validation"], "test": kept["test"],
        "strategies": rows, "cost": record.cost(part.whole, part),
    }  # fmt: skip
