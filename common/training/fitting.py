"""`fit` for the part behind a frozen prefix, with resumption after an interruption and the best weights kept."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from common import errors, flags
from common.data import pipeline
from common.runs import tracking
from common.training import checkpoints, recorder


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The outcome of a stage.

    Attributes:
        score: metric → value on the validation samples, for the weights that were kept.
        improved: whether these weights are the stage's own rather than those from before.
    """

    score: dict[str, float]
    improved: bool


def fit(
    record: recorder.Recorder,
    part: Any,
    stage: str,
    epochs: int,
    *,
    patience: int | None = None,
    monitor: str = "loss",
    baseline: dict | None = None,
    margin: float = 0.0,
    before: dict | None = None,
    balanced: bool = False,
    class_weight: dict[int, float] | None = None,
) -> Fitted:
    """Fit the compiled part behind a frozen prefix, on samples in an order that the seed determines.

    Args:
        record: the run.
        part: a `FrozenPrefix` or `FrozenWindows`; its suffix is trained, which shares its layers with the whole model.
        stage, epochs, patience, monitor, baseline, margin: as for `checkpoints.BestEpoch`.
        before: the scores with fewer layers unfrozen; they must be the same before any weight changes.
        balanced, class_weight: as for `FrozenPrefix.generators` and Keras's `fit`.

    Raises:
        UserError: unfreezing alone changed the score, or the loss is not finite.
    """
    config, progress = record.config, record.progress
    best = checkpoints.BestEpoch(progress, config, stage, epochs, patience, monitor, baseline, margin)
    callbacks: list = [best]
    if config.tensorboard and not best.over:
        callbacks.append(tracking.tensorboard_callback(record.directory, stage))
    train_generator, val_generator, _ = part.generators(best.first_epoch, balanced)
    if before:
        joined_score = part.suffix.evaluate(val_generator, verbose=0, return_dict=True)
        check_same_score(before["loss"], joined_score["loss"], config)
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
    return Fitted(part.suffix.evaluate(val_generator, verbose=0, return_dict=True), best.improved)


def verbosity() -> int:
    """Return `verbose` for `fit`: a progress bar on a terminal, one line per epoch in a log file."""
    return 1 if sys.stdout.isatty() else 2


def check_same_score(before: float, after: float, config: flags.RunConfig) -> None:
    """Stop if unfreezing alone has changed the validation loss by more than 1e-4 (relative for losses above 1).

    With features or layers of 16 bits, the two stages round in different places, and the limit is 1e-2.

    Raises:
        UserError: the loss has changed, so the two stages do not train the same model.
    """
    tolerance = 1e-4 if (config.precision, config.cache_dtype) == ("float32", "float32") else 1e-2
    if abs(before - after) > tolerance * max(1.0, abs(before)):
        raise errors.UserError(
            f"unfreezing alone changed the validation loss from {before:.5f} to {after:.5f} before any training; "
            "compare with a run with --no-cache"
        )
