"""The report's sections for clips: whether time is used, and which frames spoke for an answer."""

import dataclasses
import os

import numpy as np

from common import evaluation, figures, page

EXPLAINED_CLIPS = 5  # of the right and of the wrong answers each
SHOWN_FRAMES = 16  # side by side; of longer clips as many, evenly chosen
STRIP_WIDTH = 1016  # CSS pixels, the width of the page
LITTLE = 0.02  # share of answers that change with the order below which time is not used
TITLES = {"as it is": "As they come", "reversed": "Backwards", "shuffled": "In random order"}


def sections(run, explain=None):
    """What `clips.html` shows.

    Args:
        run: a `page.Run` whose results have a section `clips`.
        explain: takes paths and class indices, returns the frames that the network saw and their contributions, as
            `clip_evaluation.for_clips` makes it. Without it the page has no strips of frames.
    """
    time = run.results["clips"]["time"]
    order = time["order"]
    changed = max(order[name]["changed"] for name in ("reversed", "shuffled"))
    fall = order["as it is"]["accuracy"] - min(order[name]["accuracy"] for name in ("reversed", "shuffled"))
    noise = evaluation.accuracy_noise(order["as it is"]["accuracy"], time["clips"])
    return {
        "titles": TITLES,
        "uses_time": changed > LITTLE,
        "needs_time": fall > 2 * noise,
        "knows_direction": order["reversed"]["changed"] > LITTLE,
        "order": _order_figure(run, time["order"]),
        "pairs": _pairs_figure(run, time["pairs"]) if time["pairs"] else None,
        "strips": _strips(run, explain) if explain else None,
    }


def _order_figure(run, order):
    bars = [(TITLES[name], row["accuracy"], None) for name, row in order.items()]
    alt = "Test accuracy with the frames as they come, backwards and in random order; the table has the numbers"
    return page.figure(run, "order_test", alt, figures.accuracy_bars, bars, 1 / len(run.class_names))


def _pairs_figure(run, pairs):
    bars = [(" / ".join(row["classes"]), row["accuracy"], row["interval"]) for row in pairs]
    alt = f"Accuracy within {len(pairs)} pairs of classes that only the direction of time tells apart"
    return page.figure(run, "time_pairs", alt, figures.accuracy_bars, bars, 0.5)


def _strips(run, explain):
    """Figures of frames with their contributions, as {"wrong": …, "right": …}, None where there is no such answer."""
    there = sorted((row for row in run.predictions if os.path.exists(row["path"])), key=lambda row: -row["confidence"])
    wrong = [row for row in there if not row["correct"]][:EXPLAINED_CLIPS]
    surest = {row["label"]: row for row in reversed(there) if row["correct"]}
    right = page.spread([surest[name] for name in run.class_names if name in surest], EXPLAINED_CLIPS)
    return {
        name: _strip_figure(run, name, rows, explain) if rows else None
        for name, rows in (("wrong", wrong), ("right", right))
    }


def _strip_figure(run, name, rows, explain):
    indices = [run.class_names.index(row["predicted"]) for row in rows]
    clips, contributions = explain([row["path"] for row in rows], indices)
    chosen = page.spread(range(clips.shape[1]), SHOWN_FRAMES)
    captions = [_caption(row) for row in rows]
    alt = f"Frames of {len(rows)} test clips with {name} answers, and what each frame added to the answer"
    strips = [np.stack([page.shrink(frame) for frame in clip[chosen]]) for clip in clips]
    figure = page.figure(run, f"{name}_clips", alt, figures.frame_strips, strips, contributions[:, chosen], captions)
    return dataclasses.replace(figure, width=STRIP_WIDTH)


def _caption(row):
    answer = row["label"] if row["correct"] else f"{row['label']} → {row['predicted']}"
    return f"{answer}  {row['confidence']:.0%}   {os.path.basename(row['path'])}"
