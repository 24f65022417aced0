"""The files of a ranking of networks: a table of all candidates, and a picture of accuracy against cost."""

from __future__ import annotations

import pathlib
import shlex

from common import files
from common.compare import figures, page, ranking

COLUMNS = (
    "network", "layer", "right", "low", "high", "nearest", "log_evidence", "lead", "standard_error", "p", "operations",
    "parameters", "milliseconds", "recommended", "flags",
)  # fmt: skip
AXIS = "seconds for 1,000 photos through the frozen network"
ACCURACY = "left-out accuracy of ridge regression"


def write(directory: pathlib.Path, ranked: dict) -> None:
    """Write networks.csv and figures/accuracy_against_cost.png.

    Args:
        directory: the run directory.
        ranked: as `ranking.rank` returns it.
    """
    rows = ranked["rows"]
    choice = rows[ranked["recommended"]]
    lines = [
        row | dict(zip(("right", "low", "high"), row["right"], strict=True))
        | {"recommended": int(row is choice), "flags": shlex.join(row["flags"])}
        for row in rows
    ]  # fmt: skip
    files.write_csv(directory / "networks.csv", list(COLUMNS), ([line[name] for name in COLUMNS] for line in lines))
    points = [
        {
            "name": ranking.named(row),
            "seconds": row["milliseconds"],
            "accuracy": row["right"],
            "is_choice": row is choice,
        }
        for row in ranking.shown(ranked)
    ]  # a thousand times as many photos, and seconds for milliseconds
    points = [point | {"on_front": page.is_on_front(point, points)} for point in points]
    (directory / "figures").mkdir(exist_ok=True)
    picture = figures.cost_front(points, AXIS, ACCURACY)
    (directory / "figures" / "accuracy_against_cost.png").write_bytes(picture)
