"""Learning without forgetting on real photos: every method, over seeds and orders of the tasks.

python benchmarks/continual.py --folder REAL_DATA
python benchmarks/continual.py --folder REAL_DATA --settings last_block --methods naive replay joint --orders 1
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Any

import tables  # imports TensorFlow quietly
import tyro
from annotated_types import Gt

from common.report import task_by_task
from recipes import continual_learning

CARTOONS = {"data": ("pacs/cartoon",), "tasks": ("by-class", "3,2,2")}
SETTINGS: dict[str, dict[str, Any]] = {
    "domains": {"data": ("pacs/photo", "pacs/cartoon", "pacs/sketch")},
    "cartoons": CARTOONS,
    "flowers": {"data": ("flowers",), "tasks": ("by-class", "1")},
    "last_block": CARTOONS | {"unfreeze_from": "conv_dw_13"},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Sequences of tasks with every method."""

    folder: pathlib.Path  # with the folders pacs/ and flowers/
    settings: tuple[str, ...] = ("domains", "cartoons", "flowers")
    methods: tuple[str, ...] = continual_learning.METHODS
    backbone: str = "MobileNet:0.25"
    seeds: Annotated[int, Gt(0)] = 3
    orders: Annotated[int, Gt(0)] = 3
    scenario: str | None = None
    out: pathlib.Path = pathlib.Path("runs")
    cache: pathlib.Path | None = None


def main(config: Config) -> None:
    """Print a table for each sequence."""
    for name in config.settings:
        found = SETTINGS[name]
        data = tuple(str(config.folder / each) for each in found["data"])
        settings = continual_learning.Config(**found | {
            "data": data, "compare": True, "methods": config.methods, "seeds": config.seeds, "orders": config.orders,
            "scenario": config.scenario, "backbone": config.backbone, "out": config.out, "cache": config.cache,
        })  # fmt: skip
        sequence = tables.run_quietly(continual_learning, settings)["sequence"]
        print(f"\n{name}: {sequence['scenario']}, {len(sequence['tasks'])} tasks, chosen: {sequence['method']}\n")
        print(tables.markdown(["method", "average accuracy", "forgetting", "kept", "seconds", "strength"], [
            [row["method"], *(_shown(row[name]) for name in ("average_accuracy", "forgetting")),
             row["kept"], f"{row['seconds'][0]:.1f}",
             ", ".join(f"{each:g}" for each in row["strengths"])]
            for row in task_by_task.rows_of(sequence["comparison"])
        ]))  # fmt: skip
    print(tables.footer(f"{config.seeds} seeds x {config.orders} orders"))


def _shown(values: list[float | None]) -> str:
    """Return median and range as text."""
    value, low, high = values
    return "–" if value is None else f"{value:.3f} ({low:.3f} – {high:.3f})"


if __name__ == "__main__":
    main(tyro.cli(Config))
