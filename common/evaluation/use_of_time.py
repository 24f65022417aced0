"""Whether a network for clips uses time: frames in other orders, classes that only time tells apart, single frames."""

import keras
import numpy as np
import tqdm

from common.evaluation import intervals
from common.models import frames

ORDERS = ("as it is", "reversed", "shuffled")
CERTAIN = 1e-6  # closer to 0 or 1 a float32 probability says nothing
MOST_CLIPS = 300  # in the order test, which decodes its clips and computes their frames once more


def order_test(classifier: keras.Model, batches, labels, seed: int = 0) -> dict:
    """How the answers change when each clip's frames come in another order.

    A network that does not use time gives the same answers in every order.

    Args:
        classifier: takes preprocessed clips, gives probabilities; its layer `each_frame` ends what treats each frame
            for itself, which runs once and not once an order.
        batches: of (clips (n, frames, …), anything), in order.
        labels: (n,) class indices of all clips.
        seed: fixes the shuffled orders; each clip has its own, which is never the one it came in.

    Returns:
        For each of `ORDERS` the `accuracy`, and the share of answers `changed` and the mean `difference` of the
        probabilities (half the sum over the classes, 0 to 1) against the clips as they are.
    """
    on_frames, joined = frames.frame_parts(classifier)
    random, labels = np.random.default_rng(seed), np.asarray(labels)
    found: dict[str, list] = {name: [] for name in ORDERS}
    with tqdm.tqdm(total=len(labels), desc="order test", unit="clip", disable=None) as progress:
        for clips, _ in batches:
            clips = on_frames.predict_on_batch(clips)
            shuffled = np.stack([clip[other_order(len(clip), random)] for clip in clips])
            for name, ordered in zip(ORDERS, (clips, clips[:, ::-1], shuffled), strict=True):
                found[name].append(joined.predict_on_batch(ordered))
            progress.update(len(clips))
    answers = {name: np.concatenate(parts) for name, parts in found.items()}
    straight = answers["as it is"]
    return {
        name: {
            "accuracy": float((given.argmax(-1) == labels).mean()),
            "changed": float((given.argmax(-1) != straight.argmax(-1)).mean()),
            "difference": float(np.abs(given - straight).sum(-1).mean() / 2),
        }
        for name, given in answers.items()
    }


def other_order(count: int, random) -> np.ndarray:
    """A random order of `count` things other than 0, 1, 2 …; of one thing there is none."""
    while count > 1:
        order = random.permutation(count)
        if (order != np.arange(count)).any():
            return order
    return np.arange(count)


def within_pair(probabilities, labels, class_names, pair: tuple[str, str]) -> dict:
    """How well two classes are told from each other, all others left aside; chance is 0.5 where both are as frequent.

    Args:
        probabilities: (n, k).
        labels: (n,) class indices.
        class_names: k names.
        pair: two of them.

    Returns:
        `classes`, `n` (the clips of the two), `accuracy` and its exact 95 % `interval`.
    """
    columns = [list(class_names).index(name) for name in pair]
    those = np.isin(labels, columns)
    right = np.take(columns, np.asarray(probabilities)[those][:, columns].argmax(-1)) == np.asarray(labels)[those]
    interval = intervals.exact_interval(int(right.sum()), len(right))
    return {"classes": list(pair), "n": len(right), "accuracy": float(right.mean()), "interval": list(interval)}


def frame_contributions(classifier: keras.Model, clips, class_indices) -> np.ndarray:
    """What each frame adds to an answer: how far its log-odds fall where the frame's neighbour replaces it.

    Log-odds, because the probability of a sure answer hardly moves, whatever one frame does.

    Args:
        classifier: as for `order_test`.
        clips: preprocessed, (n, frames, height, width, 3).
        class_indices: (n,) the answers to explain.

    Returns:
        (n, frames) differences of log(p / (1 - p)); above 0 the frame speaks for the answer.
    """
    on_frames, joined = frames.frame_parts(classifier)
    clips, rows = on_frames.predict(clips, batch_size=4, verbose=0), np.arange(len(clips))

    def log_odds(frames):
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
    """The numbers of the clips that the order test takes: all, or `MOST_CLIPS` evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, MOST_CLIPS)).round().astype(int).tolist()))
