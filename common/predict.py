"""A finished run's model on new photos or clips."""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator

import keras
import numpy as np
import tqdm

from common import data, errors, files, generators, images, runs, scan, video

RESIZED_AT_ONCE = 2**24  # numbers of a clip's frames as float32: 64 MiB


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files become what a run's model is asked; the same for predict, an export's comparison and the page.

    A photo is one look, a clip one for each window. Frames are chosen here, from the file's own times; so of a model of
    clips the part is asked that takes chosen frames.

    Attributes:
        model: takes looks of one size, (n, height, width, 3), of clips (n, frames, height, width, 3); RGB 0–255.
        resize: its own layer that brings them to the network's size.
        clips: how it looks at clips; None for photos.
    """

    model: keras.Model
    resize: keras.layers.Resizing
    clips: generators.Clips | None

    @classmethod
    def of(cls, saved: runs.SavedModel) -> "Reading":
        """That of a saved model."""
        model = saved.model.get_layer("from_frames") if saved.clips else saved.model
        layers = model.get_layer("preprocessing").layers
        return cls(model, next(layer for layer in layers if isinstance(layer, keras.layers.Resizing)), saved.clips)

    def pixels(self, path: pathlib.Path) -> Iterator[np.ndarray]:
        """Yields the looks at a file in its own size, uint8 ((frames,) height, width, 3).

        Raises:
            ImageError, ClipError: it is no photo, or no clip.
        """
        if self.clips:
            yield from (self.clips.read(str(path), position) for position in self.clips.positions())
        else:
            yield images.read(path)

    def resized(self, look: np.ndarray) -> np.ndarray:
        """A look in the network's size, float32. Resized here and not in the model, since a batch needs one size."""
        if not self.clips:
            return np.array(self.resize(look.astype("float32")))
        step = max(1, RESIZED_AT_ONCE // look[0].size)  # large frames one by one
        parts = [look[start : start + step] for start in range(0, len(look), step)]
        return np.concatenate([self.resize(part.astype("float32")) for part in parts])

    def probabilities(self, looks: list[list[np.ndarray]]) -> np.ndarray:
        """What the model says to files, (n, classes).

        Args:
            looks: for each file its resized looks; the answer is the mean over them.
        """
        answers = [self.model.predict_on_batch(np.stack(look)) for look in zip(*looks, strict=True)]
        return np.mean(answers, axis=0)


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
    target = target_of(run)
    reading = Reading.of(saved)
    rows, refused = [], 0
    for start in tqdm.trange(
        0, len(paths), batch_size, desc="predicting", unit="batch", disable=len(paths) <= batch_size
    ):
        asked = paths[start : start + batch_size]
        looks = {path: found for path in asked if (found := _looks(path, reading)) is not None}
        refused += len(asked) - len(looks)
        if looks:
            answers = reading.probabilities(list(looks.values()))
            rows += [_row(path, p, class_names) for path, p in zip(looks, answers, strict=True)]
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
    if csv:
        files.write_csv(csv, columns, rows)
    for path, *answer in shown:
        print("\t".join([scan.printable(str(path)), *map(str, answer)]))
    return 2 if refused else 0


def target_of(run: pathlib.Path) -> dict | None:
    """What a run wants to find, its `classes` with the `threshold` that it chose; None where there is no such thing.

    Args:
        run: the directory of a run; a model.keras alone knows no target.
    """
    if not (run / "results.json").is_file():
        return None
    return runs.Result.read(run).results.get("clinic", {}).get("target")


def target_probability(probabilities, class_names: list[str], target: dict) -> float:
    """That of the target classes together."""
    return sum(float(probabilities[class_names.index(name)]) for name in target["classes"])


def _called(probabilities: list[str], class_names: list[str], target: dict) -> list:
    """The probability of the target classes together, and whether it reaches the threshold."""
    together = target_probability(probabilities, class_names, target)
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


def _looks(path: pathlib.Path, reading: Reading) -> list[np.ndarray] | None:
    """A photo, or the windows of a clip, in the network's size; None after a refusal."""
    try:
        return [reading.resized(look) for look in reading.pixels(path)]
    except (images.ImageError, video.ClipError) as error:
        print(f"{scan.printable(str(path))}: {scan.without_advice(error)}", file=sys.stderr)
        return None


def _row(path: pathlib.Path, probabilities: np.ndarray, class_names: list[str]) -> list:
    best = int(probabilities.argmax())
    return [path, class_names[best], f"{probabilities[best]:.4f}", *(f"{p:.6g}" for p in probabilities)]
