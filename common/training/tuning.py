"""Tuning of a language model on texts: the settings that recipes share, and how one strategy trains."""

from __future__ import annotations

import dataclasses
import functools
import gc
import sys
from collections.abc import Iterable
from typing import Annotated, Literal

import keras
from annotated_types import Ge, Gt, Lt

from common import errors, flags
from common.data import documents
from common.features import frozen_windows
from common.models import freezing, language_model
from common.runs import cost, speed
from common.training import fitting, loss_scale, recorder, schedules
from common.training import plan as plans

# Adam's rates for GPT-2's width of 768; narrower networks take higher ones in proportion (https://arxiv.org/abs/2203.03466).
RATES = {"head": 2e-3, "last_blocks": 3e-4, "lora": 6e-4, "full": 2e-4, "scratch": 4e-4}
DEMO_RATE = 3  # times these on the demo's data, where all have to learn in some two hundred steps
LONGEST_WINDOW = 256  # tokens, where none is asked for


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig(flags.RunConfig):
    """The flags of every recipe that tunes a language model on texts."""

    FORMS_OF_DATA = "a folder of .txt files or a .jsonl"

    data: str = "demo"  # demo, a folder of .txt files with a sub-folder for each type, or a .jsonl
    # A name of KerasHub's, hf://…, or a preset folder; default gpt2_base_en, on demo data demo.
    preset: str | None = None
    strategy: Literal["head", "last_blocks", "lora", "full", "scratch"] | None = None  # what trains; default full
    compare: bool = False  # all five strategies; the one that validates best is kept
    blocks: Annotated[int, Gt(0)] = 1  # of last_blocks, at most all
    lora_rank: Annotated[int, Gt(0)] = 8  # 4 to 16; more weights, rarely better
    # Tokens; default 256, or all that the network can see where that is less.
    sequence_length: Annotated[int, Gt(0)] | None = None
    # Of each document at most, its beginning, also for the search for near-duplicates; default: all.
    document_characters: Annotated[int, Gt(0)] | None = None
    batch_size: Annotated[int, Gt(0)] = 8  # windows; halve it when memory runs out
    # Batches for one step: 4 with --batch-size 2 is as 8, with less memory.
    gradient_accumulation_steps: Annotated[int, Gt(0)] = 1
    epochs: Annotated[int, Gt(0)] = 4  # an upper limit: early stopping ends the training
    patience: Annotated[int, Gt(0)] = 2  # epochs without a better validation loss before it stops
    # The peak; default by strategy and the network's width, on demo data three times as high, printed when it trains.
    learning_rate: Annotated[float, Ge(0)] | None = None
    # Share of the steps in which the rate rises from nothing; then it falls along a cosine.
    warmup_ratio: Annotated[float, Ge(0), Lt(1)] = 0.1
    weight_decay: Annotated[float, Ge(0)] = 0.01  # not of biases and norms
    clipnorm: Annotated[float, Gt(0)] = 1.0  # norm of a step's gradients at most
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0  # of lora, full and scratch; a frozen block has none
    encoding: str = "utf-8"  # of the files; latin-1 or cp1252 for old ones
    keep_layout: bool = False  # keep blanks and empty lines as they are instead of one
    group_pattern: str | None = None  # regular expression that finds a document's company in its file's name
    # Documents that share more of their runs of five words stay on one side.
    duplicate_threshold: Annotated[float, Gt(0)] = 0.2

    def __post_init__(self):
        super().__post_init__()
        flags.check(not (self.compare and self.strategy), "compare", "takes all strategies: leave --strategy out")


@dataclasses.dataclass(frozen=True)
class Cut:
    """A language model in front of what a strategy trains.

    Attributes:
        model: the whole.
        first: number of the first block that trains; the number of blocks where none does; None where all train.
        prefix, suffix: as `language_model.halves` makes them.
    """

    model: language_model.LanguageModel
    first: int | None
    prefix: keras.Model | None
    suffix: keras.Model

    @property
    def width(self) -> int:
        """Of what a block takes and gives."""
        return self.model.backbone.hidden_dim


def open_preset(config: TextConfig) -> tuple[language_model.LanguageModel, int]:
    """Load the network that a run begins with; return it and the tokens of a window.

    Raises:
        UserError: there is no such preset, or `--sequence-length` is longer than what its network sees.
    """
    model = language_model.load(config.preset or ("demo" if config.data == "demo" else "gpt2_base_en"))
    if config.sequence_length and config.sequence_length > model.context:
        raise errors.UserError(
            f"--sequence-length {config.sequence_length}: this network sees {model.context} tokens at most"
        )
    return model, config.sequence_length or min(LONGEST_WINDOW, model.context)


def begin(strategy: str, preset: str, record) -> Cut:
    """Load the preset anew, as if the strategy ran alone, and cut it in front of what trains.

    Args:
        strategy: as for `language_model.freeze`.
        preset: as for `language_model.load`; of `scratch` only the architecture is taken.
        record: the `recorder.Recorder` of the run, whose peak of memory is measured from here on.
    """
    gc.collect()
    cost.forget_peak_memory()
    keras.utils.set_random_seed(record.config.seed)
    dropout = 0.0 if strategy in ("head", "last_blocks") else record.config.dropout
    model = language_model.load(preset, strategy != "scratch", dropout)
    first = language_model.freeze(model, strategy, record.config.blocks, record.config.lora_rank)
    return Cut(model, first, *language_model.halves(model, first))


def optimizer(
    network: keras.Model, strategy: str, width: int, batches: int, config: TextConfig
) -> keras.optimizers.Optimizer:
    """Return AdamW with a warm-up and a cosine, clipping, accumulation, and no decay of biases and norms.

    Args:
        network: what trains.
        strategy: by which the rate is chosen, if `--learning-rate` does not.
        width: of the network's blocks.
        batches: of the whole training.
        config: the settings.
    """
    rate = config.learning_rate
    if rate is None:
        rate = RATES[strategy] * 768 / width * (DEMO_RATE if config.data == "demo" else 1)
        print(f"learning rate: {rate:.1e}", file=sys.stderr)
    warm_up = int(config.warmup_ratio * batches)  # Keras's schedules count batches, also where it accumulates
    steps = config.gradient_accumulation_steps
    adam = keras.optimizers.AdamW(
        schedules.warmup_cosine(rate, batches, warm_up), weight_decay=config.weight_decay,
        global_clipnorm=config.clipnorm, gradient_accumulation_steps=steps if steps > 1 else None,
    )  # fmt: skip
    plain = [v for v in network.trainable_variables if v.name in ("bias", "gamma", "beta", "scale")]
    adam.exclude_from_weight_decay(plain)
    return loss_scale.LossScale(adam) if config.precision == "mixed_float16" else adam


def train(
    record, part, strategy: str, width: int, loss, *, stage: str | None = None, epochs: int | None = None,
    baseline: float | None = None,
) -> dict:  # fmt: skip
    """Fit what lies behind the frozen part and keep the epoch that validates best.

    Args:
        record: the `recorder.Recorder` of the run.
        part: a `FrozenWindows`.
        strategy: that trains.
        width: of the network's blocks.
        loss: as for Keras's `compile`.
        stage: its name in history.csv; default: the strategy's.
        epochs: at most; default: `--epochs`.
        baseline: the validation loss before, which the cut network must score too before any weight moves; an epoch
            has to beat it.

    Returns:
        The strategy's row of the table: `recorder.Recorder.stage`, `strategy`, `peak_memory_bytes`, `cache_bytes`, and
        in `seconds` those of the frozen part too.

    Raises:
        UserError: more batches to accumulate than an epoch has, another score than `baseline`, or a loss that is not
            finite.
    """
    config, stage, epochs = record.config, stage or strategy, epochs or record.config.epochs
    steps = len(part.batches("train"))
    flags.check(
        config.gradient_accumulation_steps <= steps,
        "gradient_accumulation_steps",
        f"must be at most {steps}, the batches of an epoch",
    )
    part.suffix.compile(optimizer(part.suffix, strategy, width, epochs * steps, config), loss)
    if baseline is not None:
        score = part.suffix.evaluate(part.batches("validation"), verbose=0)
        fitting.check_same_score(baseline, score, config)
    before = None if baseline is None else {"loss": baseline}
    fitted = fitting.fit(record, part, stage, epochs, patience=config.patience, baseline=before)
    row = record.stage(stage, part.suffix, fitted.score)
    row |= {"strategy": strategy, "seconds": row["seconds"] + round(part.seconds, 1)}
    return row | {"peak_memory_bytes": cost.peak_memory(), "cache_bytes": part.cache_bytes}


# A stage of a plan: its name, its windows, not filled, its loss and its epochs.
Stage = tuple[str, "frozen_windows.FrozenWindows", "keras.losses.Loss", int]


def language_loss() -> keras.losses.Loss:
    """Return the mean cross-entropy over real tokens; Keras's default would also divide by those on padding."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")


def plan(record: recorder.Recorder, stages: Iterable[Stage], corpus: documents.Corpus) -> plans.Plan:
    """Plan a run. The models are trained on noise for this and are of no further use.

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
        # A validation step, without the way back, takes about a third of a training step.
        seconds = begin + epochs * step * (train_steps + val_steps / 3)
        trains, _ = freezing.count_parameters(part.suffix)
        steps.append(plans.Step(name, trains, epochs, seconds))
        memory, features = max(memory, cost.peak_memory()), features + part.missing_bytes
        parameters, most = part.whole.count_params(), max(most, trains)
        passes += step * val_steps
    steps.append(plans.Step("evaluation, report", 0, 0, plans.FINISHING_SECONDS + 2 * passes))
    sides = ", ".join(f"{len(getattr(corpus, side)):,} {side}" for side in corpus.sides)
    about = {
        "data": f"{corpus.source}: documents: {sides}",
        "network": f"{record.config.preset}, {parameters:,} parameters",
    }
    return plans.Plan(about, steps, memory, features, plans.space(parameters, most))


def results(record, rows: list[dict], kept: dict, part) -> dict:
    """Mark the strategy that is kept; return what results.json says of every run on texts.

    Args:
        record: the `recorder.Recorder` of the run.
        rows: what `train` returned, with the scores of `validation` and `test`.
        kept: one of them.
        part: its `FrozenWindows`.
    """
    for row in rows:
        row["kept"] = row is kept
    record.earlier_peaks += [row["peak_memory_bytes"] for row in rows]
    return {
        "medium": "texts", "strategy": kept["strategy"], "validation": kept["validation"], "test": kept["test"],
        "strategies": rows, "cost": record.cost(part.whole, part),
    }  # fmt: skip
