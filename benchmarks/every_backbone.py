"""Is the cut exact everywhere? Every network of keras.applications, cut at every block boundary and inside blocks.

    python benchmarks/every_backbone.py
    python benchmarks/every_backbone.py --networks ResNet50 NASNetMobile

With random weights, at the smallest size that a network takes, prefix plus suffix are compared with the whole model.
The table has the largest difference relative to the largest output. Inside a block several tensors cross the cut.
"""

from common import startup  # noqa: F401, isort: skip  (first)

import dataclasses
import sys
import time
from typing import Any

import keras
import numpy as np
import tables
import tyro

from common import errors
from common.models import backbones, blocks, freezing
from common.models import cut as models_cut


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Every network, cut everywhere."""

    networks: tuple[str, ...] = tuple(name for name in backbones.names() if name != "demo")  # of keras.applications


def smallest(name: str) -> backbones.Backbone:
    """Return the network with random weights, at the first size that it takes."""
    for size in (32, 75, 224, 331):
        try:
            return backbones.load(name, "none", size)
        except errors.UserError:
            continue
    raise ValueError(f"{name} takes none of the sizes")


def difference(model: keras.Model, base: keras.Model, first: int, photos: Any) -> tuple[float, int]:
    """Return the relative difference after a cut before layer `first`, and the number of tensors that cross it."""
    freezing.unfreeze(base, first)
    cut = models_cut.cut(model)
    crossing = cut.prefix([photos], training=False)
    whole, joined = (np.array(x) for x in (model(photos, training=False), cut.suffix(crossing, training=False)))
    return float(np.abs(whole - joined).max() / np.abs(whole).max()), len(cut.tensors)


def main(benchmark: Config) -> None:
    """Print the table."""
    rows, started = [], time.perf_counter()
    for name in benchmark.networks:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        backbone = smallest(name)
        base, size = backbone.model, backbone.image_size
        model = keras.Model(base.input, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(base.output)))
        photos = backbone.preprocess(np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32"))
        starts = sorted(first for first in blocks.blocks(base).values() if first > 1)
        inside = [(a + b) // 2 for a, b in zip(starts, [*starts[1:], len(base.layers)], strict=True)][
            :: max(1, len(starts) // 3)
        ]
        found = [difference(model, base, first, photos) for first in starts]
        within = [difference(model, base, first, photos) for first in inside]
        rows.append([
            name, len(base.layers), len(starts), f"{max(d for d, _ in found):.0e}",
            len(inside), f"{max(d for d, _ in within):.0e}", max(n for _, n in found + within),
        ])  # fmt: skip
        print(rows[-1], f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    columns = ["network", "layers", "block boundaries", "difference", "cuts inside", "difference", "tensors, at most"]
    print(tables.markdown(columns, rows))
    print(tables.footer("1 run"))


if __name__ == "__main__":
    main(tyro.cli(Config))
