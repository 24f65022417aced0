"""What earlier tasks teach about a new one: which network is likely to win, and which settings won on similar tasks.

A file has a line for each task: numbers of photos and classes, the scores of each network, the test accuracies of
what was trained, settings and seconds. It contains no photos, no paths and no names of classes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from common import errors, words
from common.evaluation import intervals

SCORES = ("ridge", "nearest", "log_evidence")
FEWEST_TASKS = 6  # fewer say nothing about which way of predicting is better
NEIGHBOURS = 3
SETTINGS = ("--fine-tuning-rate", "--unfreeze-from", "--max-blocks", "--learning-rate", "--head")  # if not the default
PENALTY = 3.0  # of the regression, on scores of variance 1

Task = dict[str, Any]
Gains = dict[str, float]  # network → its expected accuracy, less that of the task's networks on average


# The file -----------------------------------------------------------------------------------------------------


def append(path: pathlib.Path, task: Task) -> None:
    """Add a task to a file, and make the file if there is none.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(task) + "\n")
    except OSError as error:
        raise errors.UserError(f"--experience {path}: {error.strerror}; choose another file") from error


def file_of(config: Any) -> pathlib.Path | None:
    """Return the file of `--experience`, by default `experience.jsonl` beside the runs; None with `--no-experience`."""
    return None if config.no_experience else config.experience or config.out.expanduser() / "experience.jsonl"


def keep(config: Any, task: Task) -> None:
    """Add a task to the file of the flags, and say so; a file that cannot be written does not fail a finished run."""
    path = file_of(config)
    if path is None:
        return
    try:
        append(path, task)
    except errors.UserError as error:
        print(f"experience: nothing was added: {error}", file=sys.stderr)
    else:
        print(f"experience: this task was added to {path} (--no-experience leaves it out)", file=sys.stderr)


def read(path: pathlib.Path) -> list[Task]:
    """Return the tasks of a file; none if there is no such file.

    Raises:
        UserError: a line is no task.
    """
    if not path.is_file():
        return []
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError(f"--experience {path}: not a file of tasks; give another, or --no-experience") from error
    for number, line in enumerate(lines, start=1):
        try:
            task = json.loads(line)
            task = {"networks": {}, "accuracy": {}, "trained": []} | {"photos": task["photos"]} | task
            _check(task)
            found.append(task)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise errors.UserError(
                f"--experience {path}, line {number}: not a task; remove the line, or use --no-experience"
            ) from error
    return found


def _check(task: Task) -> None:
    """Raise one of the errors of wrong types if a task's numbers are none."""
    numbers = [task["photos"], task["classes"], *task["accuracy"].values()]
    numbers += [network[score] for network in task["networks"].values() for score in SCORES]
    if not all(isinstance(each, (int, float)) for each in numbers) or not isinstance(task["trained"], list):
        raise TypeError("a number is none")


def of_ranking(data: dict, ranked: dict, contents: Iterable[str]) -> Task:
    """Return a task of choose_backbone.

    Args:
        data: its data, with `train`, `validation` and `class_names`.
        ranked: as `ranking.rank` returns it; the best cut of each network is kept.
        contents: the hashes of its photos; a hash of them tells a second run on the same photos from a new task.
    """
    source = hashlib.sha256("\n".join(sorted(set(contents))).encode()).hexdigest()[:16]
    networks = {
        row["network"]: {"ridge": row["right"][0], "nearest": row["nearest"], "log_evidence": row["log_evidence"],
                         "layer": row["layer"], "operations": row["operations"]}
        for row in ranked["rows"] if row["is_best_cut"]
    }  # fmt: skip
    return _size(data) | {"source": source, "networks": networks, "accuracy": {}, "trained": []}


def with_training(task: Task, accuracy: dict[str, float], rows: Sequence[dict]) -> Task:
    """Return a task of choose_backbone with what was trained on it.

    Args:
        task: as `of_ranking` returns it.
        accuracy: `ranking.named` of a candidate → test accuracy; those of the best cuts are kept.
        rows: the rows of the comparison.
    """
    named = {name: f"{name} up to {network['layer']}" for name, network in task["networks"].items()}
    kept = {name: accuracy[candidate] for name, candidate in named.items() if candidate in accuracy}
    return task | {"accuracy": kept, "trained": trained_in(rows)}


def of_comparison(data: dict, rows: Sequence[dict]) -> Task:
    """Return a task of compare_strategies.

    Args:
        data: its data, with `train`, `validation` and `class_names`.
        rows: the rows of its results.
    """
    return _size(data) | {"networks": {}, "accuracy": {}, "trained": trained_in(rows)}


def trained_in(rows: Sequence[dict]) -> list[dict]:
    """Return what each row of a comparison trained: its strategy and how it did, with the settings of its commands."""
    found = []
    for row in filter(lambda row: row["test"], rows):
        command = shlex.split(row["runs"][0]["command"])
        settings = {flag: command[command.index(flag) + 1] for flag in SETTINGS if flag in command[:-1]}
        found.append({
            "strategy": row["strategy"], "network": row["backbone"], "test": row["test"]["accuracy"][0],
            "validation": row["validation"]["mean"], "seconds": row["cost"]["seconds"][0],
            "kept": next(iter(row["kept"]), None), "settings": settings,
        })  # fmt: skip
    return found


def _size(data: dict) -> Task:
    return {"photos": data["train"] + data["validation"], "classes": len(data["class_names"])}


# Predictions --------------------------------------------------------------------------------------------------


def by_average(past: Sequence[Task], task: Task) -> Gains:
    """Return the mean gain of each network over the past tasks: "always the best on average"."""
    gains = [_gains(each) for each in past]
    means = {name: [each[name] for each in gains if name in each] for name in task["networks"]}
    return {name: float(np.mean(values)) if values else 0.0 for name, values in means.items()}


def by_score(past: Sequence[Task], task: Task) -> Gains:
    """Return the default score of each network, less the mean: the past is not used."""
    return dict(zip(task["networks"], _scores(task)[:, 0], strict=True))


def by_neighbours(past: Sequence[Task], task: Task) -> Gains:
    """Return the mean gain of each network on the most similar tasks.

    Tasks are similar if they have similar numbers of photos and classes, and if the networks score alike on them.
    """
    descriptions = np.array([_description(each, list(task["networks"])) for each in (*past, task)])
    scaled = (descriptions - descriptions.mean(axis=0)) / np.maximum(descriptions.std(axis=0), 1e-9)
    distances = np.linalg.norm(scaled[:-1] - scaled[-1], axis=1)
    return by_average([past[number] for number in np.argsort(distances, kind="stable")[:NEIGHBOURS]], task)


def by_regression(past: Sequence[Task], task: Task) -> Gains:
    """Return the gains that ridge regression predicts from the three scores and from which network it is."""
    from sklearn import linear_model  # here: the import takes a second

    names = sorted({name for each in (*past, task) for name in each["networks"]})
    spread = np.concatenate([_scores(each) for each in past]).std(axis=0)

    def inputs(each: Task) -> np.ndarray:
        return np.hstack([_scores(each) / np.maximum(spread, 1e-9), [np.eye(len(names))[names.index(name)]
                                                                     for name in each["networks"]]])  # fmt: skip

    rows = [(row, _gains(each)[name]) for each in past
            for name, row in zip(each["networks"], inputs(each), strict=True) if name in each["accuracy"]]  # fmt: skip
    model = linear_model.Ridge(PENALTY).fit(*map(np.array, zip(*rows, strict=True)))
    return dict(zip(task["networks"], model.predict(inputs(task)).tolist(), strict=True))


WAYS: dict[str, Callable[[Sequence[Task], Task], Gains]] = {
    "always the best on average": by_average, "the score alone": by_score,
    "nearest tasks": by_neighbours, "regression": by_regression,
}  # fmt: skip
EXPERIENCED = ("nearest tasks", "regression")


def _others(tasks: Sequence[Task], task: Task) -> list[Task]:
    """Return the tasks without this one and without others on photos of the same source."""
    source = task.get("source")
    return [each for each in tasks if each is not task and not (source and each.get("source") == source)]


def _gains(task: Task) -> Gains:
    """Return each network's accuracy on a task, less the mean over its networks."""
    accuracy = {name: value for name, value in task["accuracy"].items() if name in task["networks"]}
    mean = np.mean(list(accuracy.values())) if accuracy else 0.0
    return {name: float(value - mean) for name, value in accuracy.items()}


def _scores(task: Task) -> np.ndarray:
    """Return the scores of each network, less their means over the networks, (networks, scores)."""
    found = np.array([[network[score] for score in SCORES] for network in task["networks"].values()])
    return found - found.mean(axis=0)


def _description(task: Task, names: Sequence[str]) -> list[float]:
    """Return what makes a task similar to others: photos per class, classes, level and pattern of the scores."""
    ridge = {name: network["ridge"] for name, network in task["networks"].items()}
    mean = float(np.mean(list(ridge.values())))
    pattern = [ridge.get(name, mean) - mean for name in names]
    return [np.log(task["photos"] / task["classes"]), np.log(task["classes"]), mean, *pattern]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What past tasks say of a new one.

    Attributes:
        tasks: how many past tasks it is from.
        way: the way of predicting with the smallest regret on the past tasks, each left out in turn.
        network: the network that it expects to win.
        regrets: way → mean regret on the past tasks, as shares.
        verdict: whether it is better than both ways without experience, in words.
    """

    tasks: int
    way: str
    network: str
    regrets: dict[str, float]
    verdict: str


def predict(found: Sequence[Task], task: Task) -> Prediction | None:
    """Predict the best network for a task from past tasks; None if too few of them trained networks of this task."""
    past = [each for each in _others(found, task) if len(_gains(each).keys() & task["networks"].keys()) > 1]
    if len(past) < FEWEST_TASKS:
        return None
    regrets = {way: np.array(list(values.values())) for way, values in left_out_regrets(past).items()}
    means = {way: float(values.mean()) for way, values in regrets.items()}
    way = min(EXPERIENCED, key=means.__getitem__)
    gains = WAYS[way](past, task)
    return Prediction(len(past), way, max(gains, key=gains.__getitem__), means, _verdict(regrets, way))


def _verdict(regrets: dict[str, np.ndarray], way: str) -> str:
    """Say whether a way beats both that use no experience, by more than the standard error allows (paired t-test)."""
    steps = [values - regrets[way] for name, values in regrets.items() if name not in EXPERIENCED]
    if min(each.mean() for each in steps) <= 0:
        return "it does not beat these, so go by the score"
    needed = [stats.t.ppf(intervals.TAILS[1], len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5 for each in steps]
    clear = all(each.mean() > reach for each, reach in zip(steps, needed, strict=True))
    return "it beats both" if clear else "it is better, but by no more than noise"


def left_out_regrets(tasks: Sequence[Task]) -> dict[str, dict[int, float]]:
    """Return, for each way of predicting, what its network lacks to the best one on each task, learnt from the others.

    Args:
        tasks: of at least two sources, each with accuracies of at least two networks.

    Returns:
        Way → number of the task → regret, a share of the test photos.
    """
    found: dict[str, dict[int, float]] = {way: {} for way in WAYS}
    for number, task in enumerate(tasks):
        known = {name: network for name, network in task["networks"].items() if name in task["accuracy"]}
        asked = task | {"networks": known, "accuracy": {}}
        past = _others(tasks, task)
        for way, predicted in WAYS.items():
            gains = predicted(past, asked)
            name = max(gains, key=gains.__getitem__)
            found[way][number] = max(task["accuracy"].values()) - task["accuracy"][name]
    return found


def settings_of_similar(found: Sequence[Task], task: Task) -> list[dict]:
    """Return what won, by validation accuracy, on the most similar tasks on which strategies were compared."""
    past = [each for each in found if each["trained"]]
    here = np.log([task["photos"] / task["classes"], task["classes"]])

    def distance(each: Task) -> float:
        return float(np.linalg.norm(np.log([each["photos"] / each["classes"], each["classes"]]) - here))

    near = sorted(past, key=distance)[:NEIGHBOURS]
    return [max(each["trained"], key=lambda row: row["validation"]) | {"photos": each["photos"]} for each in near]


def said(found: Sequence[Task], task: Task) -> list[str]:
    """Return what experience says of a task, in sentences; how good it was on the past tasks is always among them."""
    prediction, sentences = predict(found, task), []
    if prediction:
        regrets = ", ".join(f"{name} {words.points(regret)}" for name, regret in prediction.regrets.items())
        sentences.append(
            f"Experience of {prediction.tasks} tasks ({prediction.way}) expects {prediction.network} to win. Mean "
            f"regret on these tasks, each left out in turn: {regrets}. Compared with the first two, "
            f"{prediction.verdict}."
        )
    for row in settings_of_similar(found, task):
        how = [f"{flag} {value}" for flag, value in row["settings"].items()]
        how = [*(how or ["default settings"]), *([f"kept {row['kept']}"] if row["kept"] else [])]
        sentences.append(
            f"On a similar task with {row['photos']:,} photos, {row['strategy']} on {row['network']} did best "
            f"({', '.join(how)}): {words.percent(row['test'])} of the test photos."
        )
    return sentences
