"""`python -m recipes features`: the features of photos by a pretrained network or a run, for work of one's own."""

import pathlib
import sys
from typing import Literal

import numpy as np
import tyro

from common import devices, errors, files, words
from common.data import file_checks
from common.features import pooled
from common.media import photos
from common.models import backbones
from common.training import settings

ENDINGS = (".npz", ".csv")


def command(
    paths: tyro.conf.Positional[tuple[pathlib.Path, ...]],
    /,
    backbone: str = "MobileNetV2",
    out: pathlib.Path = pathlib.Path("features.npz"),
    weights: str | None = None,
    preprocess: Literal["torch", "tf", "caffe", "none"] | None = None,
    last_layer: str | None = None,
    image_size: int | None = None,
    batch_size: int = 32,
    cache: pathlib.Path | None = None,
    no_cache: bool = False,
) -> int:
    """Write a pretrained network's features of photos to a file: one row of numbers for each photo.

    Args:
        paths: photos, or folders of them; the label of a photo is the name of the folder that it is in.
        backbone: the network: as in the recipes, or the directory of a finished run.
        out: the file, .npz (arrays features, paths, labels) or .csv.
        weights: as in the recipes.
        preprocess: as in the recipes.
        last_layer: as in the recipes.
        image_size: as in the recipes.
        batch_size: photos per batch.
        cache: folder of the cache.
        no_cache: do not read or write the cache.
    """
    if out.suffix.lower() not in ENDINGS or not out.absolute().parent.is_dir():
        raise errors.UserError(f"--out {out}: name a .npz or .csv file in an existing folder")
    if batch_size < 1:
        raise errors.UserError("--batch-size must be above 0")
    config = settings.PhotoConfig(
        data=str(paths[0]) if paths else "", backbone=backbone, weights=weights, preprocess=preprocess,
        last_layer=last_layer, image_size=image_size, batch_size=batch_size, cache=cache, no_cache=no_cache,
    )  # fmt: skip
    config.check_files()
    found = [str(path) for path in photos.PHOTOS.found(paths)]
    if not found:
        raise errors.UserError("no photos given; use python -m recipes features photos/ --backbone MobileNetV2")
    names, features = of_photos(found, config)
    write(out, names, features)
    print(f"{words.plural(len(names), 'photo')}, {features.shape[1]:,} numbers each: {out}")
    return 0 if len(names) == len(found) else 2


def of_photos(found: list[str], config: settings.PhotoConfig) -> tuple[list[str], np.ndarray]:
    """Return the photos that can be read, and their features, float32 (n, channels).

    Args:
        found: the photos; one that cannot be read gets a line on stderr.
        config: the network and the cache.

    Raises:
        UserError: no photo can be read, or the network cannot be used.
    """
    facts = file_checks.scan(found, photos.PHOTOS, None if config.no_cache else config.cache_directory)
    for path in found:
        if facts[path].problem:
            print(f"{words.printable(path)}: {facts[path].problem}", file=sys.stderr)
    names = [path for path in dict.fromkeys(found) if not facts[path].problem]
    if not names:
        raise errors.UserError("no photo can be read")
    devices.set_up(config)
    medium = photos.PHOTOS.fitted(facts[path] for path in names)
    backbone = backbones.choose(config, default="MobileNetV2")
    contents = {path: facts[path].sha256 for path in names}
    return names, pooled.of_files(backbone, medium, names, contents, config)


def write(out: pathlib.Path, names: list[str], features: np.ndarray) -> None:
    """Write paths, the names of their folders and the features to a .npz or .csv file."""
    labels = [pathlib.Path(path).absolute().parent.name for path in names]
    if out.suffix.lower() == ".csv":
        columns = ["path", "label", *(f"f{number}" for number in range(features.shape[1]))]
        rows = ([path, label, *row.tolist()] for path, label, row in zip(names, labels, features, strict=True))
        files.write_csv(out, columns, rows)
        return
    with files.replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, features=features, paths=np.array(names), labels=np.array(labels))
