"""The project's own statistics, simulated: error rates, power, coverage and splits, from the product's own functions.

    python benchmarks/simulate.py                             # all parts, minutes each
    python benchmarks/simulate.py --parts pairs --repetitions 2000

Each part is a module of `simulations` with `tables(repetitions)`. No data are read and nothing is trained.
"""

import dataclasses
import importlib
import pathlib
import sys
import time

import tables
import tyro

PARTS = tuple(sorted(path.stem for path in (pathlib.Path(__file__).parent / "simulations").glob("[!_]*.py")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Simulate the project's own statistics."""

    parts: tuple[str, ...] = PARTS  # modules in benchmarks/simulations
    repetitions: int = 2000  # of each case


def main(config: Config) -> None:
    """Print the tables of each part."""
    for part in config.parts:
        if part not in PARTS:
            sys.exit(f"--parts {part}: the parts are {', '.join(PARTS)}")
    for part in config.parts:
        began = time.perf_counter()
        module = importlib.import_module(f"simulations.{part}")
        print(f"\n## {part}: {(module.__doc__ or '').strip().splitlines()[0]}\n")
        print("\n\n".join(module.tables(config.repetitions)))
        print(f"{part}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    print(tables.footer(f"{config.repetitions:,} repetitions"))


if __name__ == "__main__":
    main(tyro.cli(Config))
