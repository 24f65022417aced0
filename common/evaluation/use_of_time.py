"""Whether a network for clips uses time and place: other orders, other places, classes that only time distinguishes."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tqdm

from common.evaluation import intervals
from common.models import frames

Batches = Iterable[tuple[np.ndarray, Any]]  # clips (n, frames, …), and anything

ORDERS, PLACES = ("as it is", "reversed", "shuffled"), ("as it is", "exchanged")
CERTAIN = 1e-6  # a float32 probability closer than this to 0 or 1 carries no information
MOST_CLIPS = 300  # limit for the order test, which decodes its clips and computes their frames once more


def order_and_place(
    classifier: keras.Model, batches: Batches, labels: Sequence[int] | np.ndarray,
    groups: Sequence[str] | None = None, seed: int = 0,
) -> dict[str, dict[str, dict]]:  # fmt: skip
    """Measure how the answers change when each clip's frames are reordered, and when places in its maps are exchanged.

    A network that does not use time gives the same answers for every order. A head that pools over the whole picture
    gives the same answers wherever things are. Each clip is read and goes through the first part once.

    Args:
        classifier: returns the probabilities of preprocessed clips. It is cut after its layer `each_frame`, before
            which each frame is treated alone, and after `maps`, (batch, time, height, width, channels).
        batches: (clips (n, frames, …), anything), in order.
        labels: (n,) class indices of all clips.
        groups: their groups, such as persons; clips of one group are not independent evidence.
        seed: fixes the shuffled orders; each clip has its own, which is never its original order. Places are exchanged
            alike in all frames of a clip.

    Returns:
        `order`, with a row for each of `ORDERS`, and `place`, with one for each of `PLACES`. A row has `accuracy`,
        `fall`, `falls`, `changed` and `difference`. `fall` is the loss of accuracy against the original clips, [value,
        low, high]. The same clips are compared, and its interval is `intervals.mean` over groups; the limits are None
        for a single group. `falls` is the loss of each class, by its index. `changed` is the share of answers that
        differ from those for the original clips. `difference` is the mean difference of the probabilities from the
        original ones (half the sum over the classes, 0 to 1).
    """
    labels, order, place = np.asarray(labels), np.random.default_rng(seed), np.random.default_rng(seed)
    each, last = (classifier.get_layer(name).output for name in ("each_frame", "maps"))
    on_frames, to_maps = keras.Model(classifier.input, each), keras.Model(each, last)
    head = keras.Model(last, classifier.output)
    found: dict[str, list] = {name: [] for name in (*ORDERS, *PLACES)}
    with tqdm.tqdm(total=len(labels), desc="order and place", unit="clip", disable=None) as progress:
        for clips, _ in batches:
            each_frame = on_frames.predict_on_batch(clips)
            shuffled = np.stack([clip[other_order(len(clip), order)] for clip in each_frame])
            straight, *reordered = (
                to_maps.predict_on_batch(changed) for changed in (each_frame, each_frame[:, ::-1], shuffled)
            )
            changed = straight, *reordered, _exchanged(straight, place)
            for name, maps in zip((*ORDERS, "exchanged"), changed, strict=True):
                found[name].append(head.predict_on_batch(maps))
            progress.update(len(clips))
    answers = {name: np.concatenate(each) for name, each in found.items()}
    units = intervals.group_numbers(groups, len(labels))
    return {
        "order": {name: _row(answers["as it is"], answers[name], labels, units) for name in ORDERS},
        "place": {name: _row(answers["as it is"], answers[name], labels, units) for name in PLACES},
    }


def _exchanged(maps: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return maps (n, time, height, width, channels) with their places in another order, alike in all frames."""
    flat = maps.reshape(*maps.shape[:2], -1, maps.shape[-1])
    return np.stack([each[:, other_order(flat.shape[2], random)] for each in flat]).reshape(maps.shape)


def _row(straight: np.ndarray, given: np.ndarray, labels: np.ndarray, units: np.ndarray) -> dict[str, Any]:
    """Compare answers (n, k) with the original ones."""
    right, then = straight.argmax(-1) == labels, given.argmax(-1) == labels
    return {
        "accuracy": float(then.mean()),
        "fall": _fall(right, then, units),
        "falls": _falls(right, then, labels),
        "changed": float((given.argmax(-1) != straight.argmax(-1)).mean()),
        "difference": float(np.abs(given - straight).sum(-1).mean() / 2),
    }


def _falls(right: np.ndarray, then: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return class index → the fall of its share of right answers from `right` to `then`, (n,) booleans each."""
    lost = right.astype(float) - then
    return {str(label): float(lost[labels == label].mean()) for label in np.unique(labels).tolist()}


def _fall(right: np.ndarray, then: np.ndarray, units: np.ndarray) -> list[float | None]:
    """Return the fall of the accuracy from `right` to `then`, (n,) booleans each, as [value, low, high]."""
    fall = right.astype(float) - then
    low, high = intervals.mean(*intervals.unit_sums(np.stack([fall, np.ones(len(fall))], axis=1), units).T) or (
        None,
        None,
    )
    limits = [None if limit is None else min(max(limit, -1.0), 1.0) for limit in (low, high)]  # with few groups
    return [float(fall.mean()), *limits]


def other_order(count: int, random: np.random.Generator) -> np.ndarray:
    """Return a random order of `count` items that is not 0, 1, 2 …; with at most one item, the order stays."""
    while count > 1:
        order = random.permutation(count)
        if (order != np.arange(count)).any():
            return order
    return np.arange(count)


def within_pair(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str], pair: tuple[str, str],
    groups: Sequence[str] | None = None,
) -> dict:  # fmt: skip
    """Measure how well two classes are distinguished, ignoring all others; chance is 0.5 if they are equally frequent.

    Args:
        probabilities: (n, k).
        labels: (n,) class indices.
        class_names: k names.
        pair: two of these names.
        groups: the groups of the n clips, such as persons; clips of one group are not independent evidence.

    Returns:
        `classes`, `n` (the number of clips of both classes), `accuracy` and its 95 % `interval`
        (`intervals.share`).
    """
    columns = [list(class_names).index(name) for name in pair]
    those = np.isin(labels, columns)
    right = np.take(columns, np.asarray(probabilities)[those][:, columns].argmax(-1)) == np.asarray(labels)[those]
    units = intervals.group_numbers(groups, len(those))[those]
    accuracy, *interval = intervals.share(right, np.ones(len(right), bool), units)
    return {"classes": list(pair), "n": len(right), "accuracy": accuracy, "interval": interval}


def frame_contributions(
    classifier: keras.Model, clips: np.ndarray, class_indices: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Return each frame's contribution to an answer: the fall of its log-odds if a neighbour replaces the frame.

    Log-odds are used because the probability of a confident answer hardly changes with one frame.

    Args:
        classifier: as for `order_and_place`.
        clips: preprocessed, (n, frames, height, width, 3).
        class_indices: (n,) the answers to explain.

    Returns:
        (n, frames) differences of log(p / (1 - p)); above 0 the frame supports the answer.
    """
    on_frames, joined = frames.frame_parts(classifier)
    clips, rows = on_frames.predict(clips, batch_size=4, verbose=0), np.arange(len(clips))

    def log_odds(frames: np.ndarray) -> np.ndarray:
        p = np.clip(joined.predict_on_batch(frames)[rows, class_indices].astype(float), CERTAIN, 1 - CERTAIN)
        return np.log(p / (1 - p))

    before = log_odds(clips)
    contributions = np.zeros(clips.shape[:2])
    for frame in range(clips.shape[1] if clips.shape[1] > 1 else 0):
        changed = clips.copy()
        changed[:, frame] = clips[:, frame - 1 if frame else 1]
        contributions[:, frame] = before - log_odds(changed)
    return contributions


def some_of(count: int) -> list[int]:
    """Return the numbers of the clips for the order test: all, or `MOST_CLIPS` evenly spread ones."""
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_CLIPS)).round().astype(int).tolist()))
