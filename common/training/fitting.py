"""`fit` for the part behind a frozen prefix, with resumption after an interruption and the best weights kept."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from common import errors, flags, startup
from common.data import pipeline
from common.evaluation import temperature_scaling
from common.models import freezing
from common.runs import tracking
from common.training import checkpoints, recorder


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The outcome of a stage.

    Attributes:
        score: metric → value on the validation samples, for the weights that were kept. If the model was compiled with
            the metric `categorical_crossentropy`, `loss` is its value: the loss without penalties on weights.
        improved: whether these weights are the stage's own rather than those from before.
    """

    score: dict[str, float]
    improved: bool


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right answers, from probabilities (n, k) and class indices (n,)."""
    return float((probabilities.argmax(axis=-1) == labels).mean())


def fit(
    record: recorder.Recorder,
    part: Any,
    stage: str,
    epochs: int,
    *,
    patience: int | None = None,
    monitor: str = "loss",
    baseline: float | None = None,
    before: dict | None = None,
    keep_worse: bool = False,
    measure: Callable[[np.ndarray, np.ndarray], float] = accuracy,
    balanced: bool = False,
    class_weight: dict[int, float] | None = None,
) -> Fitted:
    """Fit the compiled part behind a frozen prefix, on samples in an order that the seed determines.

    A stage that continues from an earlier one keeps its weights only if they validate better: see `is_better`. The
    decision depends only on the weights before and after the stage, so a resumed run makes the same one. With
    `--find-learning-rate`, the rates are tested in place of the training.

    Args:
        record: the run.
        part: a `FrozenPrefix` or `FrozenWindows`; its suffix is trained, which shares its layers with the whole model.
        stage, epochs, patience, monitor, baseline: as for `checkpoints.BestEpoch`.
        before: the scores with fewer layers unfrozen; they must be the same before any weight changes.
        keep_worse: keep the stage's weights even if they validate worse.
        measure: the score that must not fall, as for `is_better`.
        balanced, class_weight: as for `FrozenPrefix.generators` and Keras's `fit`.

    Raises:
        UserError: unfreezing alone changed the score, or the loss is not finite.
    """
    config, progress = record.config, record.progress
    if getattr(config, "find_learning_rate", False):
        startup.by_name("training.rate_finder").find(record, part, stage, balanced, class_weight)
    best = checkpoints.BestEpoch(progress, config, stage, epochs, patience, monitor, baseline)
    callbacks: list = [best]
    if config.tensorboard and not best.over:
        callbacks.append(tracking.tensorboard_callback(record.directory, stage))
    train_generator, val_generator, _ = part.generators(best.first_epoch, balanced)
    if before:
        check_same_score(before["loss"], _score(part, val_generator)["loss"], config)
    variables = freezing.moving_variables(part.suffix) if before and not keep_worse else []
    start = [keras.ops.convert_to_numpy(variable).copy() for variable in variables]
    earlier = part.predict("validation") if variables else None
    part.suffix.fit(
        train_generator,
        verbose=verbosity(),
        shuffle=False,  # the generator shuffles
        steps_per_epoch=pipeline.steps(len(part.splits.train), part.config.batch_size),
        initial_epoch=best.first_epoch,
        epochs=epochs,
        validation_data=val_generator,
        class_weight=class_weight,
        callbacks=callbacks,
    )
    improved = best.improved
    if earlier is not None:
        labels = part.splits.labels("validation")
        improved, told = is_better(earlier, part.predict("validation"), labels, measure)
        print(f"{stage.replace('_', ' ')}: {told}", file=sys.stderr)
        for variable, value in zip(variables, start, strict=True) if not improved else ():
            variable.assign(value)
    return Fitted(_score(part, val_generator), improved)


def score(part: Any) -> dict[str, float]:
    """Return `Fitted.score` of a compiled part for the weights that it has now."""
    return _score(part, part.generators()[1])


def _score(part: Any, val_generator: Any) -> dict[str, float]:
    """Return metric → value on the validation samples; `loss` is without penalties if the metrics tell it."""
    score = part.suffix.evaluate(val_generator, verbose=0, return_dict=True)
    if checkpoints.CROSSENTROPY in score:
        score["loss"] = score.pop(checkpoints.CROSSENTROPY)
    return score


def is_better(
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], float] = accuracy,
) -> tuple[bool, str]:
    """Return whether a stage validates better than what it started from, and both scores in words.

    Its score must be no lower, and its log loss must be lower. Each side's log loss is at the temperature that suits
    the side best (Guo et al. 2017, https://arxiv.org/abs/1706.04599), because fine-tuned networks are often
    overconfident. The score alone would keep many stages that harm: two equally good models have the same accuracy on
    30 photos in one case of four.

    With 30 validation photos, this keeps a stage that loses 3 points of accuracy in about 1 of 7 cases, and one that
    gains 3 points in 3 of 4. With 550 photos both are near 0 and 1 (`python benchmarks/simulate.py --parts stages`).

    Args:
        before, after: (m, n, k) floats, the probabilities for m views of each validation sample.
        labels: (n,) class indices.
        measure: a function of probabilities (n, k) and labels that returns a score to maximise.
    """
    scores, losses = [], []
    for looks in (before, after):
        temperature = temperature_scaling.fit_temperature(looks, labels)
        scores.append(measure(temperature_scaling.soften(looks, temperature).mean(axis=0), labels))
        losses.append(temperature_scaling.log_loss(looks, labels, temperature))
    better = scores[1] >= scores[0] and losses[1] < losses[0]
    return better, (
        f"{measure.__name__.replace('_', ' ')} on validation {scores[0]:.3f} → {scores[1]:.3f}, log loss after "
        f"temperature scaling {losses[0]:.3f} → {losses[1]:.3f}: {'kept' if better else 'put back, as not better'}"
    )


def verbosity() -> int:
    """Return `verbose` for `fit`: a progress bar on a terminal, one line per epoch in a log file."""
    return 1 if sys.stdout.isatty() else 2


def check_same_score(before: float, after: float, config: flags.RunConfig) -> None:
    """Stop if unfreezing alone has changed the validation loss by more than 1e-4 (relative for losses above 1).

    With features or layers of 16 bits, the two stages round in different places, and the limit is 1e-2.

    Raises:
        UserError: the loss has changed, so the two stages do not train the same model.
    """
    precisions = {config.precision, config.cache_dtype, getattr(config, "prefix_precision", "float32")}
    tolerance = 1e-4 if precisions == {"float32"} else 1e-2
    if abs(before - after) > tolerance * max(1.0, abs(before)):
        raise errors.UserError(
            f"unfreezing alone changed the validation loss from {before:.5f} to {after:.5f} before any training; "
            "compare with a run with --no-cache"
        )
