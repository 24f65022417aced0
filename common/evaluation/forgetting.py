"""What a sequence of tasks has cost and gained: from accuracies after each task to forgetting and transfer.

The matrix R has a row for each task that was learnt and a column for each task that was tested: R[i, j] is the accuracy
on task j after task i. It is None where nothing was measured.
"""

from collections.abc import Sequence

import numpy as np

Matrix = Sequence[Sequence[float | None]]


def measures(matrix: Matrix, chances: Sequence[float | None]) -> dict[str, float | None]:
    """Return what the matrix comes to; None where there is only one task, or nothing was measured.

    Args:
        matrix: R, (tasks, tasks); the entries above the diagonal are those before a task was learnt.
        chances: for each task, the accuracy of guessing before it is learnt; None if no answer could have been right.

    Returns:
        `average_accuracy`: the mean of the last row. `forgetting`: how much lower the accuracy on an earlier task is
        at the end than at its best since it was learnt, the mean (Chaudhry et al. 2018,
        https://arxiv.org/abs/1801.10112, who also count what a task had before it was learnt).
        `backward_transfer`: how much higher it is at the end than right after the task; `forward_transfer`: how much
        better than guessing a task is answered just before it is learnt (both Lopez-Paz and Ranzato 2017,
        https://arxiv.org/abs/1706.08840).
    """
    values = np.array([[np.nan if value is None else value for value in row] for row in matrix], float)
    last, count = values[-1], len(values)
    best = [np.max(values[task:-1, task], initial=-np.inf) for task in range(count - 1)]
    before = [values[task - 1, task] - chance for task, chance in enumerate(chances) if task and chance is not None]
    return {
        "average_accuracy": _mean(last),
        "forgetting": _mean([best[task] - last[task] for task in range(count - 1)]),
        "backward_transfer": _mean([last[task] - values[task, task] for task in range(count - 1)]),
        "forward_transfer": _mean(before),
    }


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    """Return the mean of the values that were measured, None if none was."""
    measured = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(measured)) if measured else None
