"""A learning rate range test: `--find-learning-rate` shows the loss at rising rates and suggests one; nothing is kept.

Smith 2017, https://arxiv.org/abs/1506.01186: train for a few hundred steps while the rate rises exponentially. Where
the loss falls, the rate is high enough; where it rises again, it is too high.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import keras
import matplotlib.figure
import numpy as np

from common import errors, files, words
from common.report import figures
from common.training import recorder

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 140  # 20 for each power of ten
SMOOTHING = 0.9  # of the exponential moving average of the losses
DIVERGED = 4.0  # times the lowest loss; the test ends there
BELOW_LOWEST = 10.0  # the suggestion is the rate of the lowest loss over this: there, it still falls


def find(
    record: recorder.Recorder, part: Any, stage: str, balanced: bool, class_weight: dict[int, float] | None
) -> NoReturn:
    """Test the rates on the first stage of a run, print a suggestion, write the curve and stop the program.

    Args:
        record: the run; its directory is removed.
        part, balanced, class_weight: as for `fitting.fit`.
        stage: the name of the stage.
    """
    check_enough(len(part.splits.train), part.config.batch_size, part.splits.medium.unit)
    rates, losses = losses_at(part, balanced, class_weight)
    smooth = smoothed(losses)
    rate = suggestion(rates, smooth)
    folder, name = record.directory.parent, f"{record.directory.name}_learning_rate.png"
    record.discard()
    folder.mkdir(parents=True, exist_ok=True)
    with files.replacing(folder / name) as temporary:
        temporary.write_bytes(curve(rates, losses, smooth, rate))
    unit = part.splits.medium.unit
    print(f"learning rate range test of {record.recipe}: nothing was trained to keep, and no run is kept")
    print(
        f"stage {words.words(stage)}: {len(rates)} steps of {part.config.batch_size} {unit}s at rates from "
        f"{rates[0]:.0e} to {rates[-1]:.2g}; the smoothed loss is lowest at {rates[smooth.argmin()]:.2g}"
    )
    print(f"suggestion: --learning-rate {rate:g} (now {record.config.learning_rate:g}); compare both on validation")
    print(folder / name)
    sys.exit()


def check_enough(count: int, batch_size: int, unit: str) -> None:
    """Refuse a batch that has all training items, since every step would then see the same ones.

    Args:
        count: the number of training items.
        batch_size: items per step.
        unit: the name of one item.

    Raises:
        UserError: there are no two batches.
    """
    if batch_size >= count:
        raise errors.UserError(
            f"--find-learning-rate needs at least two batches of different {unit}s, but --batch-size {batch_size} "
            f"takes all {words.plural(count, f'training {unit}')} at once; choose --batch-size {max(1, count // 4)} or "
            "smaller"
        )


def losses_at(
    part: Any, balanced: bool = False, class_weight: dict[int, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Train with Adam at exponentially rising rates until the loss diverges.

    Args:
        part, balanced, class_weight: as for `fitting.fit`; its suffix is compiled, and trained afterwards.

    Returns:
        The rates and the losses of the steps, each (steps,).
    """
    optimizer = keras.optimizers.Adam(LOWEST)
    part.suffix.compile(optimizer=optimizer, loss=part.suffix.loss)
    train_generator, *_ = part.generators(0, balanced)
    rates, losses = np.geomspace(LOWEST, HIGHEST, STEPS), []
    for rate, (inputs, targets, *_) in zip(rates, train_generator.repeat(), strict=False):
        optimizer.learning_rate = rate
        part.suffix.reset_metrics()
        answer = part.suffix.train_on_batch(inputs, targets, class_weight=class_weight, return_dict=True)
        losses.append(float(answer["loss"]))
        smooth = smoothed(np.array(losses))
        if not np.isfinite(losses[-1]) or smooth[-1] > DIVERGED * smooth.min():
            break
    sound = [loss for loss in losses if np.isfinite(loss)]
    return rates[: len(sound)], np.array(sound)


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Return the exponential moving average of losses (n,), corrected for its start at 0."""
    average, found = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        found.append(average / (1 - SMOOTHING**number))
    return np.array(found)


def suggestion(rates: np.ndarray, smooth: np.ndarray) -> float:
    """Return a tenth of the rate at which the smoothed loss is lowest, rounded to 1, 2 or 5 times a power of ten."""
    rate = rates[int(smooth.argmin())] / BELOW_LOWEST
    power = 10.0 ** np.floor(np.log10(rate))
    nearest = min((1, 2, 5, 10), key=lambda digit: abs(np.log(rate / power / digit)))
    return float(f"{nearest * power:.0e}")


@figures.png(colours=256)
def curve(
    rates: np.ndarray, losses: np.ndarray, smooth: np.ndarray, rate: float, *, theme: figures.Theme
) -> matplotlib.figure.Figure:
    """Draw the losses over the rates, and the suggestion."""
    figure = matplotlib.figure.Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, ".", color=theme.muted, markersize=3, label="loss of a step")
    axes.plot(rates, smooth, color=theme.train, label="smoothed")
    axes.axvline(rate, color=theme.validation, linestyle="dashed", linewidth=1.2)
    axes.annotate(
        f" suggestion {rate:g}", (rate, 1), xycoords=("data", "axes fraction"), va="top", color=theme.validation
    )
    axes.set_xscale("log")
    axes.set_ylim(0, 1.1 * min(losses.max(), 2 * smooth[: max(1, len(smooth) // 2)].max()))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend(loc="lower left")
    return figure
