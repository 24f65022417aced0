"""Measure how many photos that were saved again are found, and how many pairs of a folder's own photos are.

python benchmarks/copies.py --data photos/ --groups groups.csv
"""

import csv
import dataclasses
import io
import itertools
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np
import tables
import tyro
from PIL import Image

from common.data import duplicates, file_checks, picture_copies
from common.media import medium, photos


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Copies among the photos of a folder, and made copies of some of them."""

    data: pathlib.Path  # a folder of photos, at any depth
    groups: pathlib.Path | None = None  # a CSV whose first column is the file and whose column GROUP its group
    group: str = "group"  # the column of the group
    copies: int = 200  # photos to copy
    seed: int = 0  # of the choice of photos


def saved(image: Image.Image, quality: int, scale: float = 1.0) -> Image.Image:
    """Return a photo scaled and saved again as JPEG."""
    file = io.BytesIO()
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return a photo without a share of its width and height at each border."""
    across, down = round(image.width * share), round(image.height * share)
    return image.crop((across, down, image.width - across, image.height - down))


MADE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "quality 90": lambda image: saved(image, 90),
    "quality 50": lambda image: saved(image, 50),
    "half size, quality 60": lambda image: saved(image, 60, 0.5),
    "half size, quality 60, mirrored": lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 60, 0.5),
    "square of 128 pixels": lambda image: saved(image.resize((128, 128)), 75),
    "grey": lambda image: saved(image.convert("L").convert("RGB"), 80),
    "20 % lighter": lambda image: saved(image.point(lambda value: min(255, int(value * 1.2))), 80),
    "1 % cropped at each border": lambda image: saved(cropped(image, 0.01), 80),
    "2 % cropped at each border": lambda image: saved(cropped(image, 0.02), 80),
}


def recall(change: Callable[[Image.Image], Image.Image], paths: list[str]) -> float:
    """Return the share of photos that are found again after a change."""
    found = 0
    for path in paths:
        pixels = photos.read(path)
        pair = {
            name: medium.Facts(path=name, sha256=name, small=photos.small_grey(each))
            for name, each in (("source", pixels), ("copy", np.asarray(change(Image.fromarray(pixels)))))
        }
        found += bool(picture_copies.pairs(pair))
    return found / len(paths)


def main(config: Config) -> None:
    """Print the table."""
    paths = [str(path) for path in photos.PHOTOS.find(config.data)]
    facts = {path: each for path, each in file_checks.scan(paths, photos.PHOTOS).items() if not each.problem}
    began = time.process_time()
    pairs = duplicates.copies(facts)
    seconds = time.process_time() - began
    line = f"{len(facts):,} photos, {seconds:.1f} s: {len(pairs)} pairs of one picture"
    if config.groups:
        with open(config.groups, newline="") as file:
            rows = list(csv.DictReader(file))
        group_of = {pathlib.Path(next(iter(row.values()))).stem: row[config.group] for row in rows}
        known = [tuple(group_of.get(pathlib.Path(end).stem) for end in (pair.first, pair.second)) for pair in pairs]
        line += f", {sum(first == second for first, second in known)} of them in one group"
    print(line)
    for pair in itertools.islice(pairs, 10):
        print(f"  {pair.similarity} {pair.first} {pair.second}", file=sys.stderr)
    chosen = np.random.default_rng(config.seed).permutation(sorted(facts))[: config.copies].tolist()
    rows = [[name, f"{recall(change, chosen):.3f}"] for name, change in MADE.items()]
    print(tables.markdown(["made from a photo", f"found of {len(chosen)}"], rows))
    print(tables.footer("one seed"))


if __name__ == "__main__":
    main(tyro.cli(Config))
