"""Compare a comparison of strategies with the same trials run one by one, each training the whole model.

After `python data/flowers/prepare.py`, or with `--data` of your own:

    python benchmarks/compare.py
    python benchmarks/compare.py --data photos/ --backbone MobileNetV2 --strategies feature_extraction full_fine_tuning

`python recipes/compare_strategies.py` starts with an empty cache. Then the commands of the first seed, which its page
shows, run one after the other with `--no-cache`. Their seconds are multiplied by the number of seeds. Strategies that
train all layers (full_fine_tuning, from_scratch) gain nothing, and so are not among the six.
"""

import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

import tables
import tyro


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One comparison and its trials one by one."""

    data: str = "data/flowers/photos"  # a folder of class folders; data/flowers/prepare.py makes this one
    backbone: str = "MobileNetV2:0.35"  # a name in keras.applications
    strategies: tuple[str, ...] = (
        "nearest_centroid", "logistic_regression", "feature_extraction", "partial_unfreezing", "gradual_unfreezing",
        "two_blocks=partial_unfreezing --unfreeze-from block_15",
    )  # fmt: skip
    seeds: int = 3  # number of seeds of the comparison
    fractions: tuple[float, ...] = (0.3, 1.0)  # fractions of the training photos


def main(benchmark: Config) -> None:
    """Print a line for each strategy and one for all."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["recipes/compare_strategies.py", "--data", benchmark.data, "--backbones", benchmark.backbone,
                   "--strategies", *benchmark.strategies, "--seeds", str(benchmark.seeds),
                   "--fractions", *map(str, benchmark.fractions), "--cache", f"{folder}/cache",
                   "--out", f"{folder}/runs"]  # fmt: skip
        together, directory = timed(command)
        comparison = json.loads((directory / "compare.json").read_text())
        lines, apart = [], 0.0
        for row in comparison["rows"]:
            seconds, equal = one_by_one(row["runs"], pathlib.Path(folder), directory)
            apart += seconds * benchmark.seeds
            ours = sum(run["seconds"] for run in row["runs"])
            accuracy = tables.median_and_range([run["accuracy"] for run in row["runs"] if run["fraction"] == 1.0])
            lines.append([row["name"], accuracy, f"{ours:.0f}", f"{seconds * benchmark.seeds:.0f}", equal])
    lines.append(
        ["all, features and start included", "", f"{together:.0f}", f"{apart:.0f}", f"{apart / together:.1f}x"]
    )
    columns = ["strategy", "test accuracy", "together, s", "one by one, s", "largest difference in accuracy"]
    print(tables.markdown(columns, lines))
    estimated = comparison["plan"]["estimated_seconds"]
    print(f"estimated before: {estimated:.0f} s; one by one: seed 0, times the seeds")
    print(tables.footer(f"{benchmark.seeds} seeds"))


def one_by_one(trials: list[dict], folder: pathlib.Path, directory: pathlib.Path) -> tuple[float, str]:
    """Return the seconds of the first seed's trials as separate commands, and the largest difference in accuracy."""
    first, seconds, differences = min(run["seed"] for run in trials), 0.0, []
    for trial in trials:
        if trial["seed"] == first:
            _, *command = shlex.split(trial["command"])
            taken, alone = timed([*command, "--no-cache", "--out", str(folder / "alone")])
            seconds += taken
            accuracy = json.loads((alone / "results.json").read_text())["test"]["accuracy"]
            differences.append(abs(accuracy - trial["accuracy"]))
            print(f"{' '.join(command)}: {taken:.0f} s, {accuracy:.3f}", file=sys.stderr)
    return seconds, f"{max(differences):.3f}"


def timed(command: list[str]) -> tuple[float, pathlib.Path]:
    """Run a recipe's command, and return its seconds and run directory."""
    began = time.perf_counter()
    shown = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True).stdout
    return time.perf_counter() - began, pathlib.Path(shown.splitlines()[-1])


if __name__ == "__main__":
    main(tyro.cli(Config))
