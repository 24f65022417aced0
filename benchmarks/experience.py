"""Measure what experience is worth: the regret of each way to choose a network, each task left out in turn.

    python benchmarks/networks.py --data flowers/ … --backbones MobileNetV2:0.35 … --write tasks.jsonl
    python benchmarks/experience.py --tasks tasks.jsonl

Tasks on the same photos, such as a subset of the classes, are left out together.
"""

import dataclasses
import pathlib

import numpy as np
import tables
import tyro

from common.compare import experience


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Experience on tasks that were measured."""

    tasks: pathlib.Path  # the file that benchmarks/networks.py --write made


def main(config: Config) -> None:
    """Print the regret on each task, and the mean."""
    tasks = experience.read(config.tasks)
    regrets = experience.left_out_regrets(tasks)
    rows = []
    for number, task in enumerate(tasks):
        own = [f"{100 * regrets[way][number]:.1f}" for way in experience.WAYS]
        best = max(task["accuracy"], key=task["accuracy"].__getitem__)
        rows.append(
            [task["data"], f"{task['photos']:,}", task["classes"], f"{best} {task['accuracy'][best]:.3f}", *own]
        )
    means = [np.array(list(regrets[way].values())) for way in experience.WAYS]
    errors = [each.std(ddof=1) / len(each) ** 0.5 for each in means]
    told = [f"{100 * each.mean():.1f} ± {100 * error:.1f}" for each, error in zip(means, errors, strict=True)]
    rows.append(["mean ± standard error", "", "", "", *told])
    print(tables.markdown(["task", "photos", "classes", "best network, test accuracy", *experience.WAYS], rows))
    alone = dict(zip(experience.WAYS, means, strict=True))
    for way in experience.EXPERIENCED:
        for other in (name for name in experience.WAYS if name not in experience.EXPERIENCED):
            steps = 100 * (alone[other] - alone[way])
            error = steps.std(ddof=1) / len(steps) ** 0.5
            print(f"{way} against {other}: {steps.mean():+.1f} points of regret saved, standard error {error:.1f}")
    print(tables.footer(f"{len(tasks)} tasks, regret in points"))


if __name__ == "__main__":
    main(tyro.cli(Config))
