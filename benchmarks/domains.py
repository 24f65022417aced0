"""Compare the methods of domain adaptation on pairs of domains: each domain to each other, several seeds.

With a folder of domains that have the same classes, such as PACS (`photo/dog/…`, `cartoon/dog/…`, `sketch/dog/…`):

    python benchmarks/domains.py --data pacs/ --backbone MobileNet:0.25 --seeds 3
    python benchmarks/domains.py --data pacs/ --methods none standardise+mcc few_labels target_labels
    python benchmarks/domains.py --pedestrians PennFudanPed/ --methods none standardise standardise+mcc few_labels

With a folder of .jsonl files of texts, one for each domain, it measures text_domains, and counted words beside it:

    python benchmarks/domains.py --texts sentiment_four_domains/ --backbone minilm_l6_v2/ --methods none standardise+mcc

`--pedestrians` cuts the photos of two cities (Penn-Fudan, https://www.cis.upenn.edu/~jshi/ped_html/) into crops with a
person, by their boxes, and as many without one. It prints the mean test accuracy of each method in each pair.
"""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import re
import sys
import tempfile
import time
import types
from collections.abc import Iterator

import numpy as np
import tyro
from PIL import Image

from common import startup  # noqa: F401  isort: skip  (imports TensorFlow quietly)
from common import devices
from common.data import documents, photo_domains
from common.data import text_domains as text_data
from common.features import of_domains
from common.media import photos
from common.models import backbones, encoder, freezing
from common.training import domain_training, tuning
from recipes import domain_adaptation, text_domains

SIDE = 112  # pixels of the width of a crop; twice as many high
TRIES = 200  # random places for a crop without a person


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Pairs of domains, methods and seeds."""

    data: pathlib.Path | None = None  # a folder with one folder for each domain, with class folders inside
    texts: pathlib.Path | None = None  # a folder with one .jsonl for each domain
    sequence_length: int = 256  # of texts, as in text_domains
    windows_per_document: int = 1  # of texts, as in text_domains
    pedestrians: pathlib.Path | None = None  # PennFudanPed with PNGImages or photos, and Annotation or annotations
    backbone: str = "MobileNet:0.25"  # as in all recipes
    weights: str | None = None  # as in all recipes
    preprocess: str | None = None  # as in all recipes
    methods: tuple[str, ...] = domain_training.COMPARED  # of domain_adaptation
    seeds: int = 3  # number of splits
    cache: pathlib.Path | None = None  # folder of the feature cache


def main(config: Config) -> None:
    """Print a row for each method: the mean over all pairs, then the mean over seeds of each pair."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        root = cut_out(config.pedestrians, work / "crops") if config.pedestrians else config.texts or config.data
        found = [path for path in root.iterdir() if path.suffix == ".jsonl" or (path.is_dir() and not config.texts)]
        pairs = list(itertools.permutations(sorted(found), 2))
        accuracy: dict[str, dict[tuple, list[float]]] = {}
        seconds = []
        for pair in pairs:
            for trials, taken in (of_texts if config.texts else of_photos)(pair, config, work):
                seconds.append(taken)
                for trial in trials:
                    accuracy.setdefault(trial["method"], {}).setdefault(pair, []).append(trial["accuracy"])
            told = ", ".join(f"{method} {np.mean(found[pair]):.3f}" for method, found in accuracy.items())
            print(f"{pair[0].stem} to {pair[1].stem}: {told}", file=sys.stderr)
    width = max(map(len, accuracy)) + 2
    headings = [f"{ours.stem[:6]}>{theirs.stem[:6]}" for ours, theirs in pairs]
    print(
        f"{'method':<{width}}{'mean':>7}{'range of seeds':>17}{'worst':>7}"
        + "".join(f"{each:>15}" for each in headings)
    )
    for method, found in accuracy.items():
        each = np.array([found[pair] for pair in pairs])  # (pairs, seeds)
        low, high = each.mean(axis=0).min(), each.mean(axis=0).max()
        cells = "".join(f"{value:>15.3f}" for value in each.mean(axis=1))
        worst = each.mean(axis=1).min()
        print(f"{method:<{width}}{each.mean():>7.3f}{f'{low:.3f} – {high:.3f}':>17}{worst:>7.3f}{cells}")
    for name, taken in zip(("seconds", "CPU seconds"), zip(*seconds, strict=True), strict=True):
        print(f"{name} for all methods on one pair: {np.median(taken):.0f} ({min(taken):.0f} – {max(taken):.0f})")


Trials = Iterator[tuple[list[dict], tuple[float, float]]]  # of each seed, and the seconds that passed and those of CPUs


def of_photos(pair: tuple[pathlib.Path, pathlib.Path], config: Config, work: pathlib.Path) -> Trials:
    """Measure the methods on one pair of folders of photos."""
    settings = domain_adaptation.Config(
        data=str(pair[0]), new_domain=(str(pair[1]),), backbone=config.backbone, weights=config.weights,
        preprocess=config.preprocess, cache=config.cache,
    )  # fmt: skip
    device = devices.set_up(settings)
    backbone = backbones.choose(settings, default=config.backbone)
    freezing.freeze(backbone.model)
    for seed in range(config.seeds):
        place = work / "-".join(path.name for path in pair) / str(seed)
        loaded = photo_domains.load(settings, place, photos.Photos(), settings.new_domain[0], seed)
        model = domain_adaptation.build_model(backbone.model, len(loaded.source.class_names))
        features = of_domains.compute(loaded, model, backbone, settings)
        with timed() as taken:
            trials, _ = domain_training.measure(list(config.methods), features, seed, settings, device)
        yield trials, tuple(taken)


def of_texts(pair: tuple[pathlib.Path, pathlib.Path], config: Config, work: pathlib.Path) -> Trials:
    """Measure the methods on one pair of .jsonl files, and counted words before them."""
    settings = text_domains.Config(data=str(pair[0]), new_domain=(str(pair[1]),), backbone=config.backbone)
    device, vectors = devices.set_up(settings), embedded(pair[0], config) | embedded(pair[1], config)
    for seed in range(config.seeds):
        place = work / "-".join(path.name for path in pair) / str(seed)
        loaded = text_data.load(settings, place, settings.new_domain[0], seed)
        features = text_domains.features_of(loaded, vectors)
        with timed() as taken:
            trials, _ = domain_training.measure(list(config.methods), features, seed, settings, device)
        yield [text_domains.count_words(features, seed), *trials], tuple(taken)


@functools.cache
def embedded(path: pathlib.Path, config: Config) -> dict[str, np.ndarray]:
    """Return the sentence embeddings of the texts in a .jsonl, FILE:LINE → (width,)."""
    settings = text_domains.Config(data=str(path), backbone=config.backbone, cache=config.cache)
    model, length = tuning.open_preset(settings, encoder.load)[0], config.sequence_length
    texts = documents.read_source(settings)[1]
    rows = {"train": model.rows(model.encode(texts.values()), length, config.windows_per_document)}
    parts = text_domains.halves(model, length, config.windows_per_document)
    return text_domains.embed(model, parts, rows, {"train": types.SimpleNamespace(texts=texts)}, settings)[1]


@contextlib.contextmanager
def timed() -> Iterator[list[float]]:
    """Yield a list to which the seconds that passed and those of CPUs are appended at the end."""
    started, used, taken = time.perf_counter(), time.process_time(), []
    yield taken
    taken += [time.perf_counter() - started, time.process_time() - used]


def cut_out(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Write crops with and without a person as `<city>/<class>/<photo>_<number>.png`, and return the folder."""
    random = np.random.default_rng(0)
    photos_of = {path.stem: path for ending in ("png", "jpg") for path in source.rglob(f"*Ped0*.{ending}")}
    for notes in sorted(source.rglob("*Ped0*.txt")):
        path = photos_of[notes.stem]
        city, photo = path.stem.partition("Ped")[0], Image.open(path).convert("RGB")
        found = re.findall(r"\((\d+), (\d+)\) - \((\d+), (\d+)\)", notes.read_text(encoding="latin-1"))
        boxes = [tuple(map(int, box)) for box in found]
        for number, (left, top, right, bottom) in enumerate(boxes):
            height, width = bottom - top, (bottom - top) // 2
            middle = (left + right) // 2
            write(photo, (middle - width // 2, top), width, folder / city / "person" / f"{path.stem}_{number}.png")
            for _ in range(TRIES):
                x, y = (int(random.integers(0, max(1, photo.size[axis] - length))) for axis, length in
                        enumerate((width, height)))  # fmt: skip
                if not any(x < box[2] and box[0] < x + width and y < box[3] and box[1] < y + height for box in boxes):
                    write(photo, (x, y), width, folder / city / "street" / f"{path.stem}_{number}.png")
                    break
    return folder


def write(photo: Image.Image, corner: tuple[int, int], width: int, path: pathlib.Path) -> None:
    """Write a part of a photo that is twice as high as wide, with black where it leaves the photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = corner
    photo.crop((x, y, x + width, y + 2 * width)).resize((SIDE, 2 * SIDE)).save(path)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
