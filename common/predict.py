"""A finished run's model on new photos or clips."""

import pathlib
import sys

import numpy as np
import tqdm

from common import data, errors, files, images, runs, video


def predict(run: pathlib.Path, names, csv: pathlib.Path | None = None, batch_size: int = 32) -> int:
    """Prints `path  class  probability` for each photo or clip; what is neither gets a line on stderr.

    For a run that chose a threshold for a target (`skin_lesions`) two more columns follow: the target's probability,
    and whether it reaches the threshold.

    Args:
        run: the directory of a finished run, or its model.keras.
        names: photos or clips, as the run was trained on; a folder stands for those in it, and a folder of frames is
            a clip.
        csv: where to write path,label,probability and a column for each class, or None.
        batch_size: photos or clips at a time.

    Returns:
        The exit code: 0, or 2 when a file was refused.

    Raises:
        UserError: no model there, no files given.
    """
    saved = runs.load_model(run)
    class_names, kind = saved.class_names, video if saved.clips else images
    paths = _paths_of(names, kind)
    target = _target(run)
    # Frames are chosen here, from the file's own times; so the part of the model is asked that takes chosen frames.
    model = saved.model.get_layer("from_frames") if saved.clips else saved.model
    resize = next(layer for layer in model.get_layer("preprocessing").layers if layer.name.startswith("resizing"))
    rows, refused = [], 0
    for start in tqdm.trange(
        0, len(paths), batch_size, desc="predicting", unit="batch", disable=len(paths) <= batch_size
    ):
        asked = paths[start : start + batch_size]
        looks = {path: found for path in asked if (found := _looks(path, saved.clips, resize)) is not None}
        refused += len(asked) - len(looks)
        if looks:
            answers = [model.predict_on_batch(np.stack(look)) for look in zip(*looks.values(), strict=True)]
            rows += [_row(path, p, class_names) for path, p in zip(looks, np.mean(answers, axis=0), strict=True)]
    columns = ["path", "label", "probability", *(f"p_{name}" for name in class_names)]
    shown = [row[:3] for row in rows]
    if target:
        name = " or ".join(target["classes"])
        called = [_called(row[3:], class_names, target) for row in rows]
        rows, shown = ([row + more for row, more in zip(part, called, strict=True)] for part in (rows, shown))
        columns += [f"p_target_{name}", "called"]
        print(
            f"called {name}: where its probability reaches {target['threshold']:.4f}; no medical device",
            file=sys.stderr,
        )
    for row in shown:
        print("\t".join(map(str, row)))
    if csv:
        files.write_csv(csv, columns, rows)
    return 2 if refused else 0


def _target(run: pathlib.Path) -> dict | None:
    """What a run wants to find, with the threshold that it chose; None where there is no such thing."""
    if not (run / "results.json").is_file():
        return None
    return runs.Result.read(run).results.get("clinic", {}).get("target")


def _called(probabilities: list[str], class_names: list[str], target: dict) -> list:
    """The probability of the target classes together, and whether it reaches the threshold."""
    together = sum(float(probabilities[class_names.index(name)]) for name in target["classes"])
    return [f"{together:.4f}", "called" if together >= target["threshold"] else "not called"]


def _paths_of(names, kind) -> list[pathlib.Path]:
    is_wanted = video.is_clip if kind is video else data.is_photo
    paths = []
    for name in names:
        inside = name.is_dir() and not (kind is video and is_wanted(name))
        paths += sorted(filter(is_wanted, name.rglob("*"))) if inside else [name]
    if not paths:
        raise errors.UserError(f"no {kind.NAME}s given: python -m recipes predict RUN FILE…")
    return paths


def _looks(path: pathlib.Path, clips, resize) -> list[np.ndarray] | None:
    """A photo, or the windows of a clip, as the model's `Resizing` layer would make them; None after a refusal."""
    try:
        looks = [clips.read(path, position) for position in clips.positions()] if clips else [images.read(path)]
    except (images.ImageError, video.ClipError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return None
    # Resized here, not in the model: a batch needs one size.
    return [np.array(resize(look.astype("float32"))) for look in looks]


def _row(path: pathlib.Path, probabilities: np.ndarray, class_names: list[str]) -> list:
    best = int(probabilities.argmax())
    return [path, class_names[best], f"{probabilities[best]:.4f}", *(f"{p:.6g}" for p in probabilities)]
