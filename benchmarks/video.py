"""Measure clips: the accuracy of 3D pooling in cross-validation, and the cost of the frozen prefix.

With `--data` of your own, whose groups are in the names of the clips (recipes/video_actions.py), or the drawn clips:

    python benchmarks/video.py --data clips/ --temporal frames difference inflated
    python benchmarks/video.py --data demo --backbone demo --folds 0 --seeds 3
    python benchmarks/video.py --data clips/ --measure speed

`accuracy` distributes whole groups over `--folds` parts (scikit-learn's StratifiedGroupKFold) and tests on each part in
turn, so that every clip is a test clip once. With 0 folds every seed has the recipe's own split. `speed` compares the
extraction, including reading and decoding, with a batched `predict` on frames in memory and with one `predict` per
frame.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import contextlib
import dataclasses
import io
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tables
import tyro
from sklearn import model_selection

from common import devices, flags, words
from common.data import clip_groups, sample_list, targets
from common.data import splits as data_splits
from common.features import frozen_prefix
from common.media import clips
from common.models import backbones, frames
from recipes import video_actions

_RECIPE_FIELDS = dataclasses.fields(video_actions.Config)
Temporal = Literal["frames", "difference", "inflated", "i3d"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The recipe for clips: its accuracy by whole groups, or its speed."""

    data: str = "data/ucf101/clips"  # as in the recipe; data/ucf101/prepare.py makes this one
    measure: Literal["accuracy", "speed"] = "accuracy"  # the quantity to measure
    temporal: tuple[Temporal, ...] = ("frames", "difference", "inflated")  # the ways to compare
    backbone: str = "InceptionV3"  # as in the recipe, like the next ones, but not for i3d
    weights: str | None = None
    i3d_weights: str | None = None  # weights of i3d
    frames: int | None = None
    pool_grid: int | None = None
    time_bins: int | None = None
    head: Literal["ridge", "dense"] | None = None
    zoom: float | None = None
    contrast: float | None = None
    group_pattern: str | None = None
    last_layer: str | None = None
    image_size: int | None = None
    unfreeze_from: str | None = None
    epochs: int | None = None
    views: int | None = None
    flip: bool = False
    validation_fraction: float | None = None
    folds: int = 5  # parts of whole groups, each tested once; 0: the recipe's own split
    seeds: int = 1  # number of seeds, each with other folds
    repeats: int = 3  # repeats of the speed measurement
    speed_clips: tuple[int, int] = (24, 96)  # small and large number of clips whose extraction is timed
    out: pathlib.Path = pathlib.Path("runs")  # the folder of the runs
    cache: pathlib.Path | None = None  # as in the recipe


def recipe_settings(settings: Config, **changes: Any) -> video_actions.Config:
    """Return the recipe's settings."""
    own = {field.name for field in dataclasses.fields(settings)} & {field.name for field in _RECIPE_FIELDS}
    given = {name: getattr(settings, name) for name in own - {"temporal"} if getattr(settings, name) is not None}
    if changes.get("temporal") == "i3d":
        given |= {"backbone": None, "weights": settings.i3d_weights, "last_layer": None}
    return video_actions.Config(**given | changes)


def in_folds(settings: Config, seed: int, folder: pathlib.Path) -> list[pathlib.Path]:
    """Write a CSV file for each fold, in which one part is for the test and the others train and validate."""
    samples = clip_groups.load(settings.data, flags.default_cache_directory(), settings.group_pattern)
    folds = model_selection.StratifiedGroupKFold(settings.folds, shuffle=True, random_state=seed)
    labels, groups = [sample.label for sample in samples], [sample.group for sample in samples]
    paths = []
    for number, (_, test) in enumerate(folds.split(samples, labels, groups)):
        sides = np.full(len(samples), "train", object)
        sides[test] = "test"
        paths.append(folder / f"fold_{seed}_{number}.csv")
        sample_list.write_csv(
            paths[-1], [dataclasses.replace(s, split=side) for s, side in zip(samples, sides, strict=True)]
        )
    return paths


def accuracy(settings: Config) -> None:
    """Print a line for each way to join the frames."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for temporal in settings.temporal:
            results, means = [], []
            for seed in range(settings.seeds):
                sources = in_folds(settings, seed, pathlib.Path(folder)) if settings.folds else [settings.data]
                found = [
                    tables.run_quietly(
                        video_actions, recipe_settings(settings, temporal=temporal, seed=seed, data=str(source))
                    )
                    for source in sources
                ]
                means.append(statistics.mean(result["test"]["accuracy"] for result in found))
                results += found
                print(f"{temporal}, seed {seed}: {means[-1]:.3f}", file=sys.stderr)
            rows.append(_row(settings, temporal, results, means))
    pairs = [" / ".join(pair["classes"]) for pair in results[0]["clips"]["time"]["pairs"]]
    each = f"of the {'folds' if settings.folds else 'seeds'}"
    tests = ["frames backwards", "places exchanged", "motion grid", "middle frame", *pairs]
    columns = ["", "accuracy", each, *tests, "features, s a clip", "training, s"]
    print(tables.markdown(columns, rows))
    repeats = f"{settings.folds} folds of whole groups, {settings.seeds} times" if settings.folds else "seeds"
    print(tables.footer(repeats if settings.folds else f"{settings.seeds} seeds"))


def _row(settings: Config, temporal: str, results: list[dict], means: list[float]) -> list[str]:
    accuracies = [result["test"]["accuracy"] for result in results]
    backwards = [result["clips"]["time"]["order"]["reversed"]["accuracy"] for result in results]
    exchanged = [result["clips"]["time"]["place"]["exchanged"]["accuracy"] for result in results]
    trivial = [
        [result["baselines"][name]["test"]["accuracy"] for result in results if name in result["baselines"]]
        for name in ("motion_grid", "middle_frame")
    ]
    pairs = zip(*[[pair["accuracy"] for pair in result["clips"]["time"]["pairs"]] for result in results], strict=True)
    first = results[0]  # the later ones find its features in the cache
    sides = first["data"]
    looks = (settings.views or video_actions.Config.views) * sides["train"] + sides["validation"] + sides["test"]
    training = [sum(stage["seconds"] for stage in result["stages"]) for result in results]
    return [
        temporal, f"{statistics.mean(means):.3f}", tables.median_and_range(accuracies),
        tables.median_and_range(backwards), tables.median_and_range(exchanged),
        *(f"{statistics.mean(each):.3f}" for each in trivial), *(tables.median_and_range(pair) for pair in pairs),
        f"{first['cost']['prefix_seconds'] / looks:.3f}", tables.median_and_range(training, 1),
    ]  # fmt: skip


# Speed ------------------------------------------------------------------------------------------------------------


def speed(settings: Config) -> None:
    """Print the seconds of three ways to compute the features of few and many clips, and of each additional clip.

    Every call of ours builds and traces its network anew, as a run does once; the others are traced before the clock
    starts. The time of an additional clip excludes this for all.
    """
    own = recipe_settings(settings, flip=False, zoom=0.0, contrast=0.0)
    samples = clip_groups.load(settings.data, flags.default_cache_directory())
    few, many = settings.speed_clips
    chosen = words.spread(samples, many)
    contents = {sample.path: clips.inspect(sample.path).sha256 for sample in chosen}  # as a run knows from its scan
    devices.set_up(own)
    size = own.image_size or (None if settings.data == "demo" else 112)
    backbone = backbones.load(settings.backbone, own.weights or "imagenet", size, "squash", own.last_layer)
    looking = clips.Clips(own.frames)
    photos = np.concatenate([
        np.asarray(backbone.preprocess(backbone.resize(looking.read(sample.path).astype("float32"))))
        for sample in chosen
    ])  # fmt: skip
    network = backbone.model
    ways = {
        "one predict for each frame": lambda n: [network.predict(x[None], verbose=0) for x in photos[: n * own.frames]],
        "batched predict, frames in memory": lambda n: network.predict(photos[: n * own.frames], 256, verbose=0),
        "frozen prefix, from files to the cache": lambda n: extract(backbone, chosen[:n], contents, own, looking),
    }
    for way in ways.values():
        way(1)
    seconds = {(name, count): [] for name in ways for count in (few, len(chosen))}
    for _ in range(settings.repeats):
        for name, count in seconds:
            started = time.perf_counter()
            ways[name](count)
            seconds[name, count].append(time.perf_counter() - started)
    more = len(chosen) - few
    further = {
        name: [(b - a) / more for a, b in zip(seconds[name, few], seconds[name, len(chosen)], strict=True)]
        for name in ways
    }
    ours = statistics.median(further["frozen prefix, from files to the cache"])
    rows = [
        [name, *(tables.median_and_range(seconds[name, count], 1) for count in (few, len(chosen))),
         tables.median_and_range(further[name]), f"{statistics.median(further[name]) / ours:.2f}x"]
        for name in ways
    ]  # fmt: skip
    columns = [
        f"clips of {own.frames} frames",
        f"{few} clips, s",
        f"{len(chosen)} clips, s",
        "a further clip, s",
        "ratio",
    ]
    print(tables.markdown(columns, rows))
    print(tables.footer(f"{settings.repeats} repeats in turn"))


def extract(
    backbone: backbones.Backbone, samples: Sequence[sample_list.Sample], contents: dict[str, str],
    own: video_actions.Config, looking: clips.Clips,
) -> None:  # fmt: skip
    """Compute the features into an empty cache, as the recipe does before it trains."""
    inputs = keras.Input((own.frames, *backbone.model.input.shape[1:]))
    (maps,) = frames.on_each_frame(backbone.model, [inputs])
    pooled = keras.layers.GlobalAveragePooling3D()(maps)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(pooled))
    samples = [dataclasses.replace(sample, split="train") for sample in samples]
    splits = data_splits.Splits.of(own.data, looking, targets.CLASSES, samples, {}, contents)
    with tempfile.TemporaryDirectory() as cache, contextlib.redirect_stderr(io.StringIO()):
        own = dataclasses.replace(own, cache=pathlib.Path(cache), views=1)
        frozen_prefix.FrozenPrefix(model, backbone, splits, own, at=[pooled])


def main(settings: Config) -> None:
    """Print the table."""
    accuracy(settings) if settings.measure == "accuracy" else speed(settings)


if __name__ == "__main__":
    main(tyro.cli(Config))
