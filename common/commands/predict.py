"""`python -m recipes predict`: a finished run's model on new photos, clips or documents."""

import os
import pathlib
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import tqdm
import tyro

from common import errors, files, startup, words
from common.runs import familiar, finished_run, saved_model


def command(
    run: tyro.conf.Positional[pathlib.Path],
    files: tyro.conf.Positional[tuple[pathlib.Path, ...]],
    /,
    csv: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    batch_size: int = 32,
    top: int = 1,
    coco: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
    draw: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
) -> int:
    """Print class and probability for each photo, clip or document, or the boxes in each photo.

    A file that cannot be used does not stop it: stderr names the file, and the others are answered. The exit code is
    then 2, else 0.

    Args:
        run: the directory of a finished run, or a model.keras.
        files: photos, clips or .txt files, of the kind that the run was trained on, or folders of them.
        csv: also write path,label,probability, distance, unlike and one column per class to this file.
        batch_size: files per batch; a run that finds boxes takes one photo at a time.
        top: print this many of the most probable classes, with their probabilities.
        coco: for a run that finds boxes: also write them as JSON of COCO to this file.
        draw: for a run that finds boxes: also write the photos with their boxes into this folder, as PNG.
    """
    if coco and (coco.is_dir() or not coco.absolute().parent.is_dir()):
        raise errors.UserError(f"--coco {coco}: {'a folder; name a file in it' if coco.is_dir() else 'no such folder'}")
    if csv and (csv.is_dir() or not csv.absolute().parent.is_dir()):
        raise errors.UserError(f"--csv {csv}: {'a folder; name a file in it' if csv.is_dir() else 'no such folder'}")
    if draw and not _can_be_folder(draw):
        raise errors.UserError(f"--draw {draw}: a file; name a folder")
    if batch_size < 1:
        raise errors.UserError("--batch-size must be above 0")
    if top < 1:
        raise errors.UserError("--top must be above 0")
    return predict(run, files, csv, batch_size, top, coco, draw)


def _can_be_folder(path: pathlib.Path) -> bool:
    """Return whether a path is a folder, or can be made one: the first that exists of it and its parents is one."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place)).is_dir()


def predict(
    run: pathlib.Path, names: Iterable[pathlib.Path], csv: pathlib.Path | None = None, batch_size: int = 32,
    top: int = 1, coco: pathlib.Path | None = None, draw: pathlib.Path | None = None,
) -> int:  # fmt: skip
    """Print `path  class  probability` for each file, and a line on stderr for each file that cannot be used.

    An item that is unlike all that the run was trained on (`runs.familiar`) is marked `unlike` in the last column. For
    a run that chose a threshold for a target, two more columns follow: the target's probability, and whether it reaches
    the threshold.

    Args:
        run: the directory of a finished run, or its model.keras.
        names: photos, clips or .txt files, of the kind that the run was trained on, or folders of them. A folder of
            frames is a clip.
        csv: where to write path,label,probability, a column for each class, distance and unlike, or None.
        batch_size: files per batch; a run that finds boxes takes one photo at a time.
        top: how many of the most probable classes are printed.
        coco, draw: as for `found_boxes.answer_files`, for a run that finds boxes.

    Returns:
        The exit code: 0, or 2 if a file was refused.

    Raises:
        UserError: there is no model, no files are given, or several classes are asked of a model that has none.
    """
    reading = _reading(run)
    paths, targets = reading.find(names), reading.targets
    if top > 1 and targets.name == "boxes":
        raise errors.UserError("--top: a run that finds boxes gives one class for each; remove it")
    if targets.name == "boxes":
        return startup.by_name("report.found_boxes").answer_files(reading, paths, csv, coco, draw)
    if coco or draw:
        raise errors.UserError(f"--{'coco' if coco else 'draw'}: this run does not find boxes; remove it")
    target, known = finished_run.target_of(run), _familiar(run, reading)
    if top > 1 and (targets.name == "tags" or not hasattr(targets, "class_names")):
        raise errors.UserError("--top: this run does not choose between classes")
    answers, distances, refused = [], [], 0
    for start in tqdm.trange(
        0, len(paths), batch_size, desc="predicting", unit="batch", disable=len(paths) <= batch_size or None
    ):
        asked = paths[start : start + batch_size]
        looks = [(path, found) for path in asked if (found := _looks(path, reading)) is not None]
        refused += len(asked) - len(looks)
        if looks:
            asked_looks = [found for _, found in looks]
            if known:
                outputs, features = reading.with_features(asked_looks)
                distances += known.distances(features).tolist()
            else:
                outputs = reading.probabilities(asked_looks)
            answers += [(path, targets.answer(output)) for (path, _), output in zip(looks, outputs, strict=True)]
    rows = [{"path": path} | _written(answer, targets) for path, answer in answers]
    shown = [[row[name] for name in ("path", *targets.shown)] for row in rows]
    for line, (_, answer) in zip(shown, answers, strict=True):
        line += _runners_up(answer, targets, top)
    if target:
        name = " or ".join(target["classes"])
        for row, line, (_, answer) in zip(rows, shown, answers, strict=True):
            called = _called(answer, target)
            row |= dict(zip((f"p_target_{name}", "called"), called, strict=True))
            line += called
        print(
            f"{name} is called if its probability reaches {target['threshold']:.4f}; this is not a medical device",
            file=sys.stderr,
        )
    if known:
        _mark(rows, shown, distances, known, reading.medium.unit)
    if csv:
        columns = ["path", *targets.columns, *([f"p_target_{name}", "called"] if target else [])]
        columns += ["distance", "unlike"] if known else []
        files.write_csv(csv, columns, [row.values() for row in rows])
    for path, *answer in shown:
        print("\t".join([words.printable(str(path)), *map(str, answer)]))
    return 2 if refused else 0


def _familiar(run: pathlib.Path, reading: Any) -> familiar.Familiar | None:
    """Return what is familiar to a run; None, and a line on stderr, if it is not known."""
    if not isinstance(reading, saved_model.Reading):  # of texts
        return None
    known = familiar.Familiar.load(run, reading)
    if known is None:
        print(
            f"{run}: has no {familiar.NAME}, so it is not known which {reading.medium.unit}s are unlike those that it "
            "was trained on; new runs of most recipes write it", file=sys.stderr,
        )  # fmt: skip
    return known


def _mark(rows: list[dict], shown: list[list], distances: list[float], known: familiar.Familiar, unit: str) -> None:
    """Add the distances to rows and lines, and say how many items are unlike the training items."""
    for row, line, distance in zip(rows, shown, distances, strict=True):
        unlike = distance > known.threshold
        row |= {"distance": f"{distance:.4f}", "unlike": "yes" if unlike else "no"}
        line += ["unlike"] if unlike else []
    if count := sum(distance > known.threshold for distance in distances):
        print(
            f"unlike: {count} of {words.plural(len(distances), unit)} are unlike all that the run was trained on, so "
            f"their answers mean little (of {unit}s like those, about 5 % are marked too)", file=sys.stderr,
        )  # fmt: skip


def _runners_up(answer: dict, targets: Any, top: int) -> list[str]:
    """Return class and probability of the classes after the most probable one, `top` in total with it."""
    if top < 2:
        return []
    order = sorted(targets.class_names, key=lambda name: -answer[f"p_{name}"])
    return [text for name in order[1:top] for text in (name, f"{answer[f'p_{name}']:.4f}")]


def _called(answer: dict, target: dict) -> list:
    """Return the total probability of the target classes, and whether it reaches the threshold."""
    together = sum(answer[f"p_{name}"] for name in target["classes"])
    return [f"{together:.4f}", "called" if together >= target["threshold"] else "not called"]


def _written(answer: dict, targets: Any) -> dict:
    """Return an answer as strings: floats that are printed have four decimals, the others six digits."""
    return {
        name: (f"{value:.4f}" if name in targets.shown else f"{value:.6g}") if isinstance(value, float) else value
        for name, value in answer.items()
    }


def _reading(run: pathlib.Path) -> Any:
    """Return the reader of the run's model: a `saved_model.Reading`, or a `saved_text_model.Classifier`."""
    if (run / "classifier.keras").is_file():
        return startup.by_name("runs.saved_text_model").Classifier.load(run)
    return saved_model.Reading.of(saved_model.load_model(run))


def _looks(path: pathlib.Path, reading: Any) -> Any:
    """Return the model's input for a file; None, and a line on stderr, if the file cannot be used."""
    try:
        return reading.looks(path)
    except errors.UnusableFile as error:
        print(f"{words.printable(str(path))}: {words.without_advice(error)}", file=sys.stderr)
        return None
