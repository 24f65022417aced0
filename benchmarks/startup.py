"""Measure help texts and error messages: CPU seconds and memory of whole processes, medians over repeats.

python benchmarks/startup.py
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

import tables
import tyro

ROOT = pathlib.Path(__file__).parents[1]
ANSWERS = (
    "recipes/feature_extraction.py --help",
    "recipes/compare_strategies.py --help",
    "recipes/text_classification.py --help",
    "recipes/feature_extraction.py --epoch 3",
    "recipes/feature_extraction.py --data /nowhere",
    "recipes/feature_extraction.py --resume /nowhere",
    "-m recipes",
    "-m recipes feature_extraction --help",
    "-m recipes predict /nowhere photo.jpg",
    "-m recipes export /nowhere --format onnx",
    "-m recipes cache",
    "-m recipes copy feature_extraction {folder}/project",
    "-m recipes copy --thin feature_extraction {folder}/project",
)
# This runs in its own process, because Linux adds up the usage of all children of a process.
MEASURE = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the time until help texts and error messages appear."""

    repeats: int = 5


def main(config: Config) -> None:
    """Print the table."""
    rows = []
    for answer in ANSWERS:
        seconds, memory = zip(*(measured(answer) for _ in range(config.repeats)), strict=True)
        rows.append([f"`python {answer}`", tables.median_and_range(seconds), f"{max(memory) / 1e6:,.0f} MB"])
    print(tables.markdown(["what is typed", "CPU seconds", "memory"], rows))
    print(tables.footer(f"{config.repeats} repeats"))


def measured(answer: str) -> tuple[float, int]:
    """Return CPU seconds and peak bytes of one command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *answer.format(folder=folder).split()]
        done = subprocess.run([sys.executable, "-c", MEASURE, *command], cwd=ROOT, capture_output=True, text=True)
    return tuple(json.loads(done.stdout))


if __name__ == "__main__":
    main(tyro.cli(Config))
