"""`fit` of what lies behind a frozen prefix: it goes on after an interruption, and keeps the best weights."""

import dataclasses
import sys

from common import errors
from common.data import pipeline
from common.runs import tracking
from common.training import checkpoints


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What came of a stage.

    Attributes:
        score: metric → value on the validation samples, of the weights that were kept.
        improved: whether these are the stage's own rather than those that it started from.
    """

    score: dict[str, float]
    improved: bool


def fit(
    record,
    part,
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
    """Fits what lies behind a frozen prefix, as it was compiled, in the order of samples that the seed fixes.

    Args:
        record: the `recorder.Recorder` of the run.
        part: a `FrozenPrefix` or `FrozenWindows`; its suffix is trained, and so the model that it was cut from.
        stage, epochs, patience, monitor, baseline, margin: as for `checkpoints.BestEpoch`.
        before: what the model scored, with less of it unfrozen; it must score the same before any weight moves.
        balanced, class_weight: as for `FrozenPrefix.generators` and Keras's `fit`.

    Raises:
        UserError: the score changed by unfreezing alone, or the loss is not finite.
    """
    config, progress = record.config, record.progress
    best = checkpoints.BestEpoch(progress, config, stage, epochs, patience, monitor, baseline, margin)
    callbacks = [best]
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
    """`verbose` for `fit`: a bar where somebody watches, a line an epoch in a log file."""
    return 1 if sys.stdout.isatty() else 2


def check_same_score(before: float, after: float, config) -> None:
    """Stops when unfreezing alone has changed the validation loss by more than 1e-4 (relative above 1).

    With features or layers of 16 bits the two stages round in different places: there it is 1e-2.

    Raises:
        UserError: it has, so the two stages do not train the same model.
    """
    tolerance = 1e-4 if (config.precision, config.cache_dtype) == ("float32", "float32") else 1e-2
    if abs(before - after) > tolerance * max(1.0, abs(before)):
        raise errors.UserError(
            f"the validation loss went from {before:.5f} to {after:.5f} by unfreezing alone, before any weight moved; "
            "compare with a run under --no-cache"
        )
