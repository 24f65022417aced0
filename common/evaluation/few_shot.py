"""Few-shot accuracy: many small training sets are drawn from the training photos, and each answers all test photos.

The features are those of a frozen pretrained network. Each episode subtracts the mean of its own few training photos
and divides every feature vector by its length, as SimpleShot does (Wang et al. 2019, https://arxiv.org/abs/1911.04623).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import threadpoolctl
from scipy import stats

from common import errors, words
from common.data import splits as data_splits
from common.evaluation import intervals
from common.models import additive_heads

PENALTY = 1.0  # of ridge regression on vectors of length 1; one photo of each class leaves none to choose it with


def evaluate(
    features: dict[str, np.ndarray], splits: data_splits.Splits, shots: Sequence[int], episodes: int, seed: int
) -> list[dict]:
    """Measure class means and ridge regression with few training photos.

    Args:
        features: `train` and `test`, (n, channels) floats.
        splits: the photos; of a group, an episode trains on one photo at most.
        shots: numbers of training photos of each class.
        episodes: how many training sets to draw for each number.
        seed: determines what is drawn.

    Returns:
        For each number of shots: `shots`, `episodes`, and for `class_means` and `ridge` the mean balanced accuracy on
        the test photos with its 95 % interval over the episodes, [mean, low, high]. Limits of one episode are None.

    Raises:
        UserError: a class has too few training photos or groups.
    """
    labels = {side: splits.labels(side) for side in features}
    pools = _pools(splits)
    _check(pools, splits.class_names, max(shots))
    random = np.random.default_rng(seed)
    found = []
    for number in shots:
        with threadpoolctl.threadpool_limits(1):  # for matrices this small, more threads only wait for each other
            drawn = [_episode(features, labels, _drawn(pools, number, random)) for _ in range(episodes)]
        accuracies = {name: np.array([each[name] for each in drawn]) for name in drawn[0]}
        found.append(
            {"shots": number, "episodes": episodes} | {name: _mean(values) for name, values in accuracies.items()}
        )
    return found


def _pools(splits: data_splits.Splits) -> list[list[np.ndarray]]:
    """Return for each class its units: the numbers of the training photos of each group, or of a photo without one."""
    labels = splits.labels("train")
    units = intervals.group_numbers(splits.groups("train"), len(labels))
    of_class = [np.flatnonzero(labels == number) for number in range(len(splits.class_names))]
    return [[rows[units[rows] == unit] for unit in np.unique(units[rows])] for rows in of_class]


def _check(pools: list[list[np.ndarray]], class_names: Sequence[str], most: int) -> None:
    """Refuse a number of shots that a class does not have."""
    fewest = min(range(len(pools)), key=lambda number: len(pools[number]))
    if len(pools[fewest]) < most:
        raise errors.UserError(
            f"--shots {most}: class {class_names[fewest]} has only {len(pools[fewest])} training photos or groups; "
            "give fewer shots"
        )


def _drawn(pools: list[list[np.ndarray]], shots: int, random: np.random.Generator) -> np.ndarray:
    """Draw as many units of each class, and a photo of each; return the numbers of the photos."""
    chosen = [units[number] for units in pools for number in random.choice(len(units), shots, replace=False)]
    return np.array([random.choice(photos) for photos in chosen])


def _episode(features: dict[str, np.ndarray], labels: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    """Return the balanced accuracy of each classifier on the test photos, trained on a few photos."""
    num_classes = labels["train"].max() + 1
    mean = features["train"][rows].mean(axis=0)
    train, test = (_normalised(each - mean) for each in (features["train"][rows], features["test"]))
    own = labels["train"][rows]
    heads = {
        "class_means": additive_heads.class_means(_means_only(train, own, num_classes)),
        "ridge": additive_heads.ridge(additive_heads.Spectrum.of_rows(train, own, num_classes, False), PENALTY),
    }
    return {name: _balanced(test @ kernel + bias, labels["test"]) for name, (kernel, bias) in heads.items()}


def _normalised(rows: np.ndarray) -> np.ndarray:
    """Return vectors divided by their lengths."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _means_only(rows: np.ndarray, labels: np.ndarray, num_classes: int) -> additive_heads.Sums:
    """Return sums without products, which class means do not need."""
    totals = np.zeros((num_classes, rows.shape[1]))
    np.add.at(totals, labels, rows)
    return additive_heads.Sums(np.bincount(labels, minlength=num_classes).astype(float), totals, np.zeros((0, 0)))


def _balanced(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes of the share of right answers."""
    right = scores.argmax(axis=1) == labels
    return float(np.mean([right[labels == number].mean() for number in np.unique(labels)]))


def _mean(values: np.ndarray) -> list[float | None]:
    """Return [mean, low, high], the 95 % interval of the mean over episodes by Student's t."""
    if len(values) < 2:
        return [float(values[0]), None, None]
    reach = stats.t.ppf(intervals.TAILS[1], len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return [float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)]


def table(found: list[dict]) -> str:
    """Return the accuracies as text for the terminal."""
    lines = [("photos per class", "class means", "ridge")]
    lines += [(str(row["shots"]), words.estimate(row["class_means"]), words.estimate(row["ridge"])) for row in found]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(f"{text:>{width}}" for text, width in zip(line, widths, strict=True)) for line in lines]
    count = words.plural(found[0]["episodes"], "episode")
    return "\n".join(
        [*texts, f"Mean balanced accuracy on the test photos of {count}, 95 % interval over the episodes."]
    )
