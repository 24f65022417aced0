"""`python -m recipes similar`: the training photos that a run's network finds most similar to new ones."""

import pathlib
from typing import Any

import numpy as np
import tyro

from common import devices, errors, files, words
from common.data import file_checks, sample_list, unchanged
from common.features import pooled
from common.models import backbones
from common.report import figures, page
from common.runs import finished_run, saved_model
from common.training import settings


def command(
    run: tyro.conf.Positional[pathlib.Path],
    paths: tyro.conf.Positional[tuple[pathlib.Path, ...]],
    /,
    count: int = 5,
    picture: pathlib.Path | None = None,
) -> int:
    """Show the training photos of a run that are most similar to new photos, by its network's features.

    Args:
        run: the directory of a finished run on photos.
        paths: photos, or folders of them.
        count: the number of training photos for each.
        picture: the file of the picture; default: similar.png in the run's figures.
    """
    if count < 1:
        raise errors.UserError("--count must be above 0")
    saved = saved_model.load_model(run)
    saved_model.refuse_boxes(saved, run, "similar")
    if saved.medium.name != "photos":
        raise errors.UserError(f"{run}: similar is for runs on photos, and this one is on {saved.medium.unit}s")
    finished = finished_run.FinishedRun.read(run)
    finished.check_split()
    train = [sample_list.of_row(row) for row in finished.split if row["split"] == "train"]
    asked = [str(path) for path in saved.medium.found(paths)]
    if not asked:
        raise errors.UserError("no photos given; use python -m recipes similar RUN photo.jpg")
    target = picture or run / "figures" / "similar.png"
    if picture and not target.absolute().parent.is_dir():
        raise errors.UserError(f"--picture {target}: no such folder")
    nearest = neighbours(run, saved.medium, asked, train, finished.config["config"], count)
    label_of = {sample.path: sample.label for sample in train}
    for path, found in nearest.items():
        for other, similarity in found:
            print("\t".join([words.printable(path), words.printable(other), label_of[other], f"{similarity:.4f}"]))
    if not picture:  # the folder is missing if the report could not be drawn
        target.parent.mkdir(exist_ok=True)
    draw(target, saved.medium, nearest, label_of, count)
    print(target)
    return 0


def neighbours(
    run: pathlib.Path, medium: Any, asked: list[str], train: list[sample_list.Sample], config: dict, count: int
) -> dict[str, list[tuple[str, float]]]:
    """Return photo → its nearest training photos with the cosine similarity of their features, the nearest first.

    Args:
        run: the directory of the run, whose network computes the features.
        medium: the run's medium.
        asked, train: the new photos and the training photos; a training photo that is gone or unreadable is left out.
        config: the run's settings, from its config.json.
        count: the number of training photos for each.

    Raises:
        UserError: a new photo cannot be read, or no training photo can, or some have changed since the run.
    """
    own = settings.PhotoConfig(
        data="demo", backbone=str(run), batch_size=config["batch_size"], no_cache=config["no_cache"],
        cache=pathlib.Path(config["cache"]) if config["cache"] else None,
    )  # fmt: skip
    learnt = [sample.path for sample in train]
    facts = file_checks.scan([*asked, *learnt], medium, None if own.no_cache else own.cache_directory)
    for path in asked:
        if facts[path].problem:
            raise errors.UserError(f"{path}: {facts[path].problem}")
    hashes = {path: fact.sha256 for path, fact in facts.items()}
    unchanged.check(train, hashes, medium.unit, str(run / "split.csv"), is_resumed=True)
    there = [path for path in learnt if not facts[path].problem]
    if not there:
        raise errors.UserError(f"{run}: none of its training photos can be read any more")
    devices.set_up(own)
    every = list(dict.fromkeys([*asked, *there]))
    contents = {path: hashes[path] for path in every}
    features = pooled.of_files(backbones.choose(own, default=""), medium, every, contents, own)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    row_of = {path: row for row, path in enumerate(every)}
    others = np.array([row_of[path] for path in there])
    found = {}
    for path in asked:
        similarity = features[others] @ features[row_of[path]]
        order = np.argsort(-similarity, kind="stable")[:count]
        found[path] = [(there[place], float(similarity[place])) for place in order]
    return found


def draw(
    target: pathlib.Path, medium: Any, nearest: dict[str, list[tuple[str, float]]], label_of: dict[str, str], count: int
) -> None:
    """Write a sheet with a row for each photo: the photo, then its nearest training photos."""
    pictures, captions = [], []
    for path, found in nearest.items():
        row = [(path, pathlib.Path(path).name), *((other, f"{label_of[other]}\n{value:.3f}") for other, value in found)]
        row += [("", "")] * (count + 1 - len(row))
        for name, caption in row:
            small = page.read_small(name, medium) if name else None
            pictures.append(small if isinstance(small, np.ndarray) else None)
            captions.append(caption)
    with files.replacing(target) as temporary:
        temporary.write_bytes(figures.photo_sheet(pictures, captions, count + 1))
