"""A finished run's model on new photos."""

import pathlib
import sys

import numpy as np
import tqdm

from common import data, errors, files, images, runs


def predict(run: pathlib.Path, names, csv: pathlib.Path | None = None, batch_size: int = 32) -> int:
    """Prints `path  class  probability` for each photo; what is not a photo gets a line on stderr.

    For a run that chose a threshold for a target (`skin_lesions`) two more columns follow: the target's probability,
    and whether it reaches the threshold.

    Args:
        run: the directory of a finished run, or its model.keras.
        names: photo files; a folder stands for the photos in it.
        csv: where to write path,label,probability and a column for each class, or None.
        batch_size: photos at a time.

    Returns:
        The exit code: 0, or 2 when a file was refused.

    Raises:
        UserError: no model there, no files given.
    """
    paths = _photos_of(names)
    model, class_names = runs.load_model(run)
    target = _target(run)
    resize = next(layer for layer in model.get_layer("preprocessing").layers if layer.name.startswith("resizing"))
    rows, refused = [], 0
    for start in tqdm.trange(
        0, len(paths), batch_size, desc="predicting", unit="batch", disable=len(paths) <= batch_size
    ):
        photos = {
            path: pixels for path in paths[start : start + batch_size] if (pixels := _read(path, resize)) is not None
        }
        refused += len(paths[start : start + batch_size]) - len(photos)
        if photos:
            probabilities = model.predict_on_batch(np.stack(list(photos.values())))
            rows += [_row(path, p, class_names) for path, p in zip(photos, probabilities, strict=True)]
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


def _photos_of(names) -> list[pathlib.Path]:
    paths = []
    for name in names:
        paths += sorted(filter(data.is_photo, name.rglob("*"))) if name.is_dir() else [name]
    if not paths:
        raise errors.UserError("no photos given: python -m recipes predict RUN FILE…")
    return paths


def _read(path: pathlib.Path, resize) -> np.ndarray | None:
    """A photo as the model's `Resizing` layer would make it; a refusal is printed and gives None."""
    try:
        # Resized here, not in the model: a batch needs photos of one size.
        return np.array(resize(images.read(path).astype("float32")))
    except images.ImageError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return None


def _row(path: pathlib.Path, probabilities: np.ndarray, class_names: list[str]) -> list:
    best = int(probabilities.argmax())
    return [path, class_names[best], f"{probabilities[best]:.4f}", *(f"{p:.6g}" for p in probabilities)]
