"""The report's sections for clips: whether the model uses time and place, and which frames support an answer."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import matplotlib.figure
import numpy as np

from common import words
from common.evaluation import use_of_time
from common.report import bars, figures, lettering, page
from common.runs import finished_run, saved_model

FILES = ("templates/motion.html",)
EXPLAINED_CLIPS = 5  # right and wrong answers, this many of each
SHOWN_FRAMES = 16  # side by side; evenly spaced frames of longer clips
STRIP_WIDTH = 1016  # CSS pixels, the width of the page
LITTLE = 0.02  # if the share of answers that change with the order is not above this, time is not used
TITLES = {"as it is": "As they come", "reversed": "Backwards", "shuffled": "In random order"}
PLACES = {"as it is": "As they are", "exchanged": "Exchanged"}


def section(run: finished_run.FinishedRun, saved: saved_model.SavedModel | None = None) -> dict[str, Any]:
    """Return the sections of a run on clips: whether the model uses time, and which frames support its answers.

    Args:
        run: a run whose results have a section `clips`.
        saved: the run's model; without it, the page has no strips of frames.

    Returns:
        A part for `classes.page`.
    """
    time = run.results["clips"]["time"]
    order, place = time["order"], time.get("place", {})  # older runs have no place test
    strips = _strips(run, for_clips(saved)) if saved else None
    return {
        "name": "clips",
        "template": "motion.html",
        "top": "",
        "covers": ("explained",),
        "contents": [("time", "Time"), *([("frames", "Frames")] if strips else [])],
        "titles": TITLES,
        "places": PLACES,
        "verdict": verdict(time),
        "uses_time": _changed(order) > LITTLE,
        "needs_time": _needed(order),
        "knows_direction": order["reversed"]["changed"] > LITTLE,
        "uses_place": _changed(place) > LITTLE,
        "needs_place": _needed(place),
        "falls": _falls(run, time),
        "order": _order_figure(run, time["order"]),
        "pairs": _pairs_figure(run, time["pairs"]) if time["pairs"] else None,
        "strips": strips,
    }


def _changed(rows: dict[str, dict]) -> float:
    """Return the largest share of answers that another order, or other places, change."""
    return max((row["changed"] for name, row in rows.items() if name != "as it is"), default=0.0)


def _needed(rows: dict[str, dict]) -> bool:
    """Return whether another order, or other places, cost accuracy beyond chance.

    Each lower limit is wrong in 2.5 % of runs, so two orders together are in at most 5 %.
    """
    falls = [row.get("fall", [None])[1:] for name, row in rows.items() if name != "as it is"]  # older runs have none
    return any(limits and limits[0] is not None and limits[0] > 0 for limits in falls)


def verdict(time: dict[str, Any]) -> str:
    """Return in words whether the answers depend on the order of the frames and on places in them."""
    motion, place = _needed(time["order"]), _needed(time.get("place", {}))
    if motion and place:
        return "uses motion and where it happens"
    if motion:
        return "uses motion; nothing shows that it uses where it happens"
    if place:
        return "uses where things are; nothing shows that it uses motion"
    return "nothing shows that it uses motion or places"


def _falls(run: finished_run.FinishedRun, time: dict[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """Return each class with what it loses of its right answers backwards, and with exchanged places."""
    backwards = time["order"]["reversed"].get("falls", {})
    exchanged = time.get("place", {}).get("exchanged", {}).get("falls", {})
    return [
        (name, backwards.get(str(number)), exchanged.get(str(number)))
        for number, name in enumerate(run.class_names)
        if str(number) in backwards
    ]


def _order_figure(run: finished_run.FinishedRun, order: dict[str, dict]) -> page.Figure:
    rows = [(TITLES[name], row["accuracy"], None) for name, row in order.items()]
    alt = "Test accuracy with the frames as they come, backwards and in random order; the table has the numbers"
    return page.figure(run, "order_test", alt, accuracy_bars, rows, 1 / len(run.class_names))


def _pairs_figure(run: finished_run.FinishedRun, pairs: list[dict]) -> page.Figure:
    rows = [(" / ".join(row["classes"]), row["accuracy"], row["interval"]) for row in pairs]
    alt = f"Accuracy within {len(pairs)} pairs of classes that differ only in the direction of time, or in the place"
    return page.figure(run, "time_pairs", alt, accuracy_bars, rows, 0.5)


def _strips(run: finished_run.FinishedRun, explain: Callable) -> dict[str, page.Figure | None]:
    """Return figures of frames with their contributions, as {"wrong": …, "right": …}; None if no such answer exists."""
    there = sorted((row for row in run.predictions if os.path.exists(row["path"])), key=lambda row: -row["confidence"])
    wrong = [row for row in there if not row["correct"]][:EXPLAINED_CLIPS]
    surest = {row["label"]: row for row in reversed(there) if row["correct"]}
    right = words.spread([surest[name] for name in run.class_names if name in surest], EXPLAINED_CLIPS)
    return {
        name: _strip_figure(run, name, rows, explain) if rows else None
        for name, rows in (("wrong", wrong), ("right", right))
    }


def _strip_figure(run: finished_run.FinishedRun, name: str, rows: list[dict], explain: Callable) -> page.Figure:
    indices = [run.class_names.index(row["predicted"]) for row in rows]
    clips, contributions = explain([row["path"] for row in rows], indices)
    chosen = words.spread(range(clips.shape[1]), SHOWN_FRAMES)
    captions = [_caption(row) for row in rows]
    alt = f"Frames of {len(rows)} test clips with {name} answers, and the contribution of each frame"
    strips = [np.stack([page.shrink(frame) for frame in clip[chosen]]) for clip in clips]
    figure = page.figure(run, f"{name}_frames", alt, frame_strips, strips, contributions[:, chosen], captions)
    return dataclasses.replace(figure, width=STRIP_WIDTH)


def _caption(row: dict) -> str:
    answer = row["label"] if row["correct"] else f"{row['label']} → {row['predicted']}"
    return f"{answer}  {row['confidence']:.0%}   {os.path.basename(row['path'])}"


# The figures that only clips have -----------------------------------------------------------------


@figures.png(colours=256)
def accuracy_bars(rows: Sequence[tuple], chance: float, *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw accuracies as horizontal bars, with a line at the accuracy of guessing.

    Args:
        rows: (name, accuracy, interval or None).
        chance: the accuracy of guessing.
    """
    figure, axes = figures.new_figure(4.8, 0.36 * len(rows) + 0.75)
    for place, (_, value, limits) in enumerate(rows):
        bars.draw_bar(axes, place, value, limits, theme, color=theme.train)
    axes.axvline(chance, color=theme.muted, label="guessing", **figures.DASHED)
    bars.set_share_axis(axes, 1.25)
    axes.set_yticks(range(len(rows)), [figures.short(name) for name, *_ in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    figure.legend(loc="outside upper left", fontsize=8)
    return figure


@figures.png(colours=None)
def frame_strips(
    strips: Sequence[np.ndarray], contributions: np.ndarray, captions: Sequence[str], *, theme: figures.Theme
) -> matplotlib.figure.Figure:
    """Draw clips as strips of frames, with bars below that show each frame's contribution to the answer.

    Args:
        strips: (frames, height, width, 3) uint8 for each clip, all with the same number of frames.
        contributions: (clips, frames) floats, drawn on one scale.
        captions: a string for each clip.
    """
    count = len(strips[0])
    figure = matplotlib.figure.Figure(figsize=(10.2, 1.35 * len(strips)), dpi=figures.PHOTO_DPI)
    top = max(np.abs(contributions).max(), 1e-3)
    places = figure.subplots(
        2 * len(strips), 1, squeeze=False,
        gridspec_kw={"height_ratios": [1.6, 1] * len(strips), "left": 0.005, "right": 0.995, "bottom": 0.01,
                     "top": 1 - 0.2 / len(strips), "hspace": 0.32},
    )[:, 0]  # fmt: skip
    for number, (strip, added, caption) in enumerate(zip(strips, contributions, captions, strict=True)):
        pictures, below = places[2 * number : 2 * number + 2]
        height, width = strip.shape[1:3]
        for frame, pixels in enumerate(strip):
            pictures.imshow(pixels, extent=(frame + 0.03, frame + 0.97, 0, 0.94 * height / width), aspect="auto")
        pictures.set_xlim(0, count)
        pictures.set_ylim(0, 0.94 * height / width)
        pictures.set_title(lettering.shown(caption), loc="left", fontsize=8.5, pad=3, color=theme.ink, parse_math=False)
        colours = [theme.train if value > 0 else theme.validation for value in added]
        below.bar(np.arange(count) + 0.5, added, 0.6, color=colours)
        below.axhline(0, color=theme.muted, linewidth=0.8)
        below.set_xlim(0, count)
        below.set_ylim(-1.1 * top, 1.1 * top)
        pictures.set_axis_off()
        below.set_axis_off()
    return figure


def summary(result: finished_run.Result) -> str:
    """Return the lines printed at the end of a run: whether it uses time, from `clips` in results.json."""
    found = result.results["clips"]
    lines = [f"{'order of the frames':<26}{'accuracy':>12}{'changed':>16}"]
    for name, row in found["time"]["order"].items():
        lines.append(f"  {name:<24}{row['accuracy']:>12.3f}{row['changed']:>15.0%} of {found['time']['clips']} clips")
    if row := found["time"].get("place", {}).get("exchanged"):
        counted = f"{row['changed']:>15.0%} of {found['time']['clips']} clips"
        lines.append(f"  {'places exchanged':<24}{row['accuracy']:>12.3f}{counted}")
    for row in found["time"]["pairs"]:
        lines.append(f"within {' / '.join(row['classes']):<19}{row['accuracy']:>12.3f}{row['n']:>16} clips")
    lines.append(f"it {verdict(found['time'])}" if _needed(found["time"]["order"]) else verdict(found["time"]))
    if found["windows"] > 1:
        lines.append(f"{'single windows':<26}{found['window_accuracy']:>12.3f}{found['windows']:>16} a clip")
    return "\n".join(lines)


def for_clips(saved: saved_model.SavedModel) -> Callable[[list[str], list[int]], tuple[np.ndarray, np.ndarray]]:
    """Return the function that explains clips for the strips of frames.

    It takes paths and class indices. It returns the frames that the network sees, uint8 (n, frames, height, width, 3),
    and their contributions (n, frames).

    Args:
        saved: the model of a run on clips.
    """
    preprocessing = saved.model.get_layer("from_frames").get_layer("preprocessing")
    resize = next(layer for layer in preprocessing.layers if isinstance(layer, keras.layers.Resizing))
    explain_frames = for_frames(saved.model)

    def explain(paths: list[str], class_indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        look = saved.medium.looks("test")[0]
        clips = np.stack([resize(saved.medium.read(path, look).astype("float32")) for path in paths])
        return np.clip(np.round(clips), 0, 255).astype("uint8"), explain_frames(clips, class_indices)

    return explain


def for_answers(model: keras.Model) -> Callable[[np.ndarray, int], dict[str, page.Figure]]:
    """Return a function from a clip's frames in the network's size and a class index to a figure `strip`.

    The figure shows the frames with their contributions to the answer.

    Args:
        model: as for `for_frames`.
    """
    explain = for_frames(model)

    def pictures(look: np.ndarray, index: int) -> dict[str, page.Figure]:
        contributions = explain(look[None], [index])
        chosen = words.spread(range(len(look)), SHOWN_FRAMES)
        shown = np.clip(look.round(), 0, 255).astype("uint8")[chosen]
        strips = [np.stack([page.shrink(frame) for frame in shown])]
        light, dark = (
            page.data_uri(frame_strips(strips, contributions[:, chosen], [""], theme=theme), "png")
            for theme in (figures.LIGHT, figures.DARK)
        )
        most = int(contributions[0].argmax()) + 1
        alt = f"{len(chosen)} frames with their contributions; of {len(look)} frames, number {most} contributes most"
        return {"strip": page.Figure(light, dark, alt, STRIP_WIDTH)}

    return pictures


def for_frames(model: keras.Model) -> Callable[[np.ndarray, Sequence[int]], np.ndarray]:
    """Return a function from frames and class indices to the frames' contributions, (n, frames).

    The frames are (n, frames, height, width, 3), RGB 0–255, in the network's size.

    Args:
        model: the model of a run on clips, which takes raw clips.
    """
    from_frames = model.get_layer("from_frames")
    preprocessing, classifier = from_frames.get_layer("preprocessing"), from_frames.get_layer("classifier")

    def explain(clips: np.ndarray, class_indices: Sequence[int]) -> np.ndarray:
        return use_of_time.frame_contributions(
            classifier, preprocessing.predict(clips, batch_size=4, verbose=0), class_indices
        )

    return explain
