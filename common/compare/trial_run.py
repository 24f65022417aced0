"""One trial of a comparison: its settings, its scores, and its answers on the test samples."""

import dataclasses
import functools
import json
import pathlib
import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from common.runs import finished_run

SCRATCH = "scratch"  # the role of the strategy that uses no pretrained weights
SIGNIFICANCE = 0.05
SEEDS_TO_JUDGE = 3  # fewer say nothing about the luck of training
TO_95 = 0.95  # convergence is measured at this share of the best validation accuracy
ROUNDING = 1e-6  # Keras's accuracies are float32: 0.95 is 0.94999999


# Trials -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers of a run on its test photos, in the order of their paths.

    Attributes:
        paths: n paths.
        units: (n,) names of the independent units: a photo's group, or the photo itself if it has no group.
        right: (n,) integers, 1 where the answer is right, else 0.
    """

    paths: list[str]
    units: np.ndarray
    right: np.ndarray


@dataclasses.dataclass(frozen=True)
class Run:
    """A trial and its outcome.

    Attributes:
        strategy, backbone, seed: which trial it is.
        fraction: the fraction of the training photos, above 0 and up to 1.
        what: a description of the strategy, one line.
        needs_features: whether it uses the pass through the frozen network that trials of a backbone share.
        command: the command that runs it alone.
        directory: the run directory; None if the trial failed.
        error: one line; None if the trial finished.
        role: the strategy's role in the claims and the advice: `head`, `gradual`, `full`, `scratch`, or "".
    """

    strategy: str
    backbone: str
    seed: int
    fraction: float
    what: str
    needs_features: bool
    command: str
    directory: pathlib.Path | None
    error: str | None = None
    role: str = ""

    @property
    def finished(self) -> bool:
        """Whether there are results."""
        return self.directory is not None

    @property
    def _folder(self) -> pathlib.Path:
        """The run directory of a trial that did not fail."""
        if self.directory is None:
            raise ValueError(f"{self.strategy} with seed {self.seed} failed, so it has no results")
        return self.directory

    @functools.cached_property
    def results(self) -> dict:
        """The content of results.json."""
        return json.loads((self._folder / "results.json").read_text(encoding="utf-8"))

    @functools.cached_property
    def history(self) -> list[dict]:
        """The epochs of all stages; empty if the strategy has no epochs."""
        return finished_run.read_history(self._folder)

    @functools.cached_property
    def answers(self) -> Answers:
        """The test photos of predictions.csv, with their groups from split.csv."""
        rows = sorted(finished_run.read_rows(self._folder / "predictions.csv"), key=lambda row: row["path"])
        group_of = {row["path"]: row.get("group") for row in finished_run.read_rows(self._folder / "split.csv")}
        paths = [row["path"] for row in rows]
        units = [f"group {group_of[path]}" if group_of.get(path) else f"photo {path}" for path in paths]
        right = [int(row["label"] == row["predicted"]) for row in rows]
        return Answers(paths, np.array(units, dtype=str), np.array(right, dtype=int))

    @functools.cached_property
    def sides(self) -> dict[str, frozenset[str]]:
        """The photos on each side of the run's split."""
        rows = finished_run.read_rows(self._folder / "split.csv")
        return {
            side: frozenset(row["path"] for row in rows if row["split"] == side)
            for side in {row["split"] for row in rows}
        }

    @functools.cached_property
    def stress(self) -> dict | None:
        """The content of the run's stress.json; None if its test photos were not corrupted."""
        path = self.directory / "stress" / "stress.json" if self.directory else None
        return json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else None

    @property
    def accuracy(self) -> float:
        """The accuracy on the test photos."""
        return self.results["test"]["accuracy"]

    @property
    def seconds(self) -> float:
        """The seconds of the run without those of its frozen prefix, since trials share the features."""
        cost = self.results["cost"]
        return round(max(cost["seconds"] - cost["prefix_seconds"], 0.0), 2)

    def to_95(self) -> tuple[int, float] | None:
        """Return the epochs and seconds until 95 % of the run's best validation accuracy; None without epochs."""
        if not self.history:
            return None
        accuracies = [epoch["val_accuracy"] for epoch in self.history]
        goal = TO_95 * max(accuracies) - ROUNDING
        epochs = next(number for number, accuracy in enumerate(accuracies, start=1) if accuracy >= goal)
        return epochs, sum(epoch["seconds"] for epoch in self.history[:epochs])


def under_stress(found: dict) -> float:
    """Return the mean accuracy over all kinds and severities of corruptions, from the content of a stress.json."""
    return statistics.fmean(kind["mean"]["accuracy"][0] for kind in found["kinds"].values())


def by_seed(trials: list[Run]) -> dict[int, Run]:
    """Return seed → run for the finished trials of one strategy and fraction, in the order of the seeds."""
    return {run.seed: run for run in sorted(trials, key=lambda run: run.seed) if run.finished}


def paired(first: list[Run], second: list[Run]) -> list[tuple[Run, Run]]:
    """Return the pairs of runs of two strategies, for the seeds that both finished."""
    others = by_seed(second)
    return [(run, others[seed]) for seed, run in by_seed(first).items() if seed in others]


def enough(first: list[Run], second: list[Run]) -> bool:
    """Return whether two strategies have at least three seeds in common, without which nothing is said about them."""
    return len(paired(first, second)) >= SEEDS_TO_JUDGE


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for the number of tests after Holm (1979), in their order.

    With those up to 0.05, the chance that any of them is luck is about 5 %. It is `multipletests(method="holm")` of
    statsmodels, which scipy lacks.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    return adjusted


def spread(values: Iterable[float]) -> list[float]:
    """Return [median, lowest, highest]."""
    values = [float(value) for value in values]
    return [statistics.median(values), min(values), max(values)]


def by_validation(row: dict) -> tuple[float, float]:
    """Return a key that sorts rows by validation accuracy, the best first; ties are sorted by cost."""
    return -row["validation"]["accuracy"][0], row["cost"]["seconds"][0]


def price(row: dict) -> float:
    """Return the seconds of a run alone: the median, and the features that the row's trials share."""
    return row["cost"]["seconds"][0] + row["cost"]["feature_seconds"]


def is_scratch(row: dict) -> bool:
    """Return whether the row's strategy uses no pretrained weights."""
    # The rows of comparisons that older versions wrote have no role, only the name `from_scratch`.
    return row.get("role", row["strategy"].rpartition("_")[2]) == SCRATCH


def scratch(rows: list[dict], backbone: str) -> dict | None:
    """Return the row of training from scratch with a backbone; None if none has finished."""
    found = [row for row in rows if is_scratch(row) and row["backbone"] == backbone and row["test"]]
    return found[0] if found else None
