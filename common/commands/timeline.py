"""`python -m recipes timeline`: what happens when in a long video, by a run on clips."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import tqdm
import tyro

from common import errors, files, outputs, words
from common.media import clips, film
from common.report import figures, timeline_picture
from common.runs import finished_run, saved_model


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of the video: its begin and end in seconds, and the model's answer."""

    start: float
    end: float
    answer: np.ndarray


def command(
    run: tyro.conf.Positional[pathlib.Path],
    video: tyro.conf.Positional[pathlib.Path],
    /,
    seconds: float | None = None,
    step: float | None = None,
    out: pathlib.Path | None = None,
    batch_size: int = 8,
) -> int:
    """Print a timeline of a long video: which class a run on clips sees in each part of it.

    Args:
        run: the directory of a finished run on clips.
        video: a video file of any length; memory does not grow with its decoded frames.
        seconds: length of the window that slides over the video; default: the median length of the training clips.
        step: seconds from one window to the next; default: half a window.
        out: the folder of timeline.csv and timeline.png; default: the folder timeline/VIDEO in the run.
        batch_size: windows per batch.
    """
    run = run.expanduser()
    saved = saved_model.load_model(run)
    if not isinstance(saved.medium, clips.Clips):
        raise errors.UserError(f"{run}: a run on {saved.medium.unit}s; a timeline needs one on clips")
    if video.is_dir():
        raise errors.UserError(f"{video}: a folder; give one video file")
    usual = seconds is None
    seconds = typical_seconds(run) if seconds is None else seconds
    step = seconds / 2 if step is None else step
    told = "the median length of the training clips; " * usual
    if not (0 < seconds < float("inf") and 0 < step < float("inf") and batch_size > 0):
        raise errors.UserError("--seconds, --step and --batch-size must be above 0")
    print(
        f"timeline: windows of {seconds:.1f} s ({told}--seconds for shorter things), moved by {step:.1f} s (--step); "
        "each part gets one of the classes, also where nothing of them happens", file=sys.stderr,
    )  # fmt: skip
    try:
        found = list(windows(video, saved_model.Reading.of(saved), saved.medium, seconds, step, batch_size))
    except errors.UnusableFile as error:
        raise errors.UserError(f"{video}: {error}") from error
    folder = (out or run / "timeline" / video.stem).expanduser()
    names = list(saved.class_names)
    with outputs.made(folder), outputs.locked(folder):
        rows = [[f"{each.start:.2f}", f"{each.end:.2f}", names[each.answer.argmax()], f"{each.answer.max():.4f}",
                 *(f"{value:.6f}" for value in each.answer)] for each in found]  # fmt: skip
        columns = ["start", "end", "label", "probability", *(f"p_{name}" for name in names)]
        files.write_csv(folder / "timeline.csv", columns, rows)
        edges, answers = [(each.start, each.end) for each in found], np.stack([each.answer for each in found])
        drawn = timeline_picture.picture(edges, answers, names, theme=figures.LIGHT)
        with files.replacing(folder / "timeline.png") as temporary:
            temporary.write_bytes(drawn)
    for start, end, label, probability in parts(found, names):
        print(f"{clock(start)} – {clock(end)}\t{words.printable(label)}\t{probability:.3f}")
    print(folder)
    return 0


def typical_seconds(run: pathlib.Path) -> float:
    """Return the median length of a run's training clips.

    Raises:
        UserError: it is not known, since they were folders of frames, or the run is of an older version.
    """
    results = finished_run.FinishedRun.read(run).results if run.is_dir() else {}
    seconds = results.get("clips", {}).get("seconds")
    if not seconds:
        raise errors.UserError(f"{run}: the length of its training clips is not known; give --seconds")
    return float(seconds)


def windows(
    video: pathlib.Path,
    reading: saved_model.Reading,
    medium: clips.Clips,
    seconds: float,
    step: float,
    batch_size: int = 8,
) -> Iterator[Window]:
    """Yield the model's answer for each window of a video.

    A window's frames are those that training would take from a clip of this length, in its middle if the run samples
    windows itself. Frames are decoded once, one after the other, and kept in the network's size for as long as a window
    needs them.

    Args:
        video: the file.
        reading: reads the model's input.
        medium: the run's, which chooses frames.
        seconds: length of a window; a shorter video is one window.
        step: seconds from one window to the next.
        batch_size: windows per batch.

    Raises:
        ClipError: the file cannot be used.
    """
    with film.open_file(video) as file, film.open_film(file) as opened:
        length = opened.end
        seconds = min(seconds, length)
        starts = np.arange(0, max(length - seconds, 0) + 1e-6, step)
        if starts[-1] + seconds < length - step / 10:  # the end of the video
            starts = np.append(starts, length - seconds)
        shown = [np.array(_frames(opened, medium, start, seconds)) for start in starts]
        last = {int(number): place for place, each in enumerate(shown) for number in each}  # window that needs it last
        numbers = sorted(last)
        pictures = zip(numbers, film.stream(opened, numbers), strict=True)
        kept: dict[int, np.ndarray] = {}
        with tqdm.tqdm(total=len(starts), desc="timeline", unit="window", disable=None, file=sys.stderr) as progress:
            for places in _batched(range(len(starts)), batch_size):
                looks = []
                for place in places:
                    while not set(shown[place].tolist()) <= kept.keys():
                        number, pixels = next(pictures)
                        kept[number] = reading.resized(pixels)
                    looks.append([np.stack([kept[number] for number in shown[place].tolist()])])
                    kept = {number: pixels for number, pixels in kept.items() if last[number] > place}
                for place, answer in zip(places, reading.probabilities(looks), strict=True):
                    yield Window(float(starts[place]), float(starts[place] + seconds), answer)
                progress.update(len(places))


def _batched(values: range, size: int) -> Iterator[tuple[int, ...]]:
    """Yield the values in tuples of at most `size`, as `itertools.batched` does from Python 3.12 on."""
    for start in range(0, len(values), size):
        yield tuple(values[start : start + size])


def _frames(opened: film.Film, medium: clips.Clips, start: float, seconds: float) -> list[int]:
    """Return the numbers of a window's frames."""
    inside = [number for number, begin in enumerate(opened.starts) if start - 1e-6 <= begin < start + seconds] or [0]
    begins = [opened.starts[number] - opened.starts[inside[0]] for number in inside]
    chosen = clips.indices(begins, seconds, opened.rate, medium.frames, medium.sampling, medium.stride)
    return [inside[max(place, 0)] for place in chosen]


def parts(found: list[Window], names: list[str]) -> list[tuple[float, float, str, float]]:
    """Return the timeline's parts: from one change of the label to the next, with the mean of its probability.

    Windows overlap, so a change lies in the middle between the two windows' middles.
    """
    told = []
    for index, group in itertools.groupby(found, key=lambda each: int(each.answer.argmax())):
        same = list(group)
        told.append((same, names[index], float(np.mean([each.answer[index] for each in same]))))
    middles = [((each[0].start + each[0].end) / 2, (each[-1].start + each[-1].end) / 2) for each, _, _ in told]
    edges = [found[0].start, *((a[1] + b[0]) / 2 for a, b in itertools.pairwise(middles)), found[-1].end]
    return [
        (start, end, name, mean) for (start, end), (_, name, mean) in zip(itertools.pairwise(edges), told, strict=True)
    ]


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds: 1:02.5."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
