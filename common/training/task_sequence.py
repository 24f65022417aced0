"""Sequences of tasks that are learnt one after the other: what is answered and measured, and what a state holds."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from common import errors
from common.data import sample_list, tasks
from common.evaluation import forgetting
from common.features import of_tasks
from common.models import suffix
from common.runs import finished_run
from common.runs import state as states

Task = of_tasks.TaskFeatures
FACTS = {"method", "fingerprint", "classes", "tasks", "matrix", "first", "chances", "strength", "sharpness", "seconds"}
# Method → the arrays of a state that it needs beside its weights.
NEEDED = {
    "ridge": ("counts", "totals", "products"), "replay": ("replay_features", "replay_labels", "replay_tasks"),
    "ewc": ("importance.0",), "si": ("importance.0",),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Learner:
    """Learns tasks one after the other; a recipe's subclass has the methods.

    Attributes:
        network: the layers behind the cut. Their weights are set at each call, so nothing is left of earlier calls.
        config: the settings, with `method`, `strength` and `seed`.
        scenario: with `task`, the task of an item is known: only its classes, and its own head, can answer.
    """

    network: suffix.Suffix
    config: Any
    scenario: str

    def learn(self, state: states.State, task: Task, held: dict[str, Task]) -> states.State:
        """Learn one task: from what is kept of earlier ones, and the task's own items, to what is kept afterwards.

        Args:
            state: after the earlier tasks. Its list `weight` are the weights behind the cut, or `head0`, `head1`, … are
                those of a head for each task.
            task: the new one.
            held: earlier tasks of which the validation items are known.
        """
        raise NotImplementedError

    def empty_state(self, fingerprint: str = "") -> states.State:
        """Return the state before the first task."""
        about = {"method": self.config.method, "fingerprint": fingerprint, "classes": [], "tasks": [], "matrix": [],
                 "first": {}, "chances": [], "strength": self.config.strength, "sharpness": 1.0, "seconds": [],
                 "scenario": self.scenario}  # fmt: skip
        return states.State(about, {})

    def scores(self, state: states.State, task: Task, side: str) -> np.ndarray:
        """Return the scores (n, classes known) for one side of a task."""
        features, about = task.sides[side][0], state.about
        heads = [state.listed(f"head{number}") for number in range(len(about["tasks"]))]
        if not any(heads):
            scores = self.network.scores(state.listed("weight"), features)
        else:
            names = [each["name"] for each in about["tasks"]]
            is_told = self.scenario == "task" and task.name in names
            scores = np.full((len(features), len(about["classes"])), suffix.MISSING, "float32")
            for number in [names.index(task.name)] if is_told else range(len(names)):  # the surest head answers
                own = about["tasks"][number]["classes"]
                scores[:, own] = np.maximum(scores[:, own], self.network.scores(heads[number], features))
        if self.scenario != "task":
            return scores
        return np.where([name in task.classes for name in about["classes"]], scores, suffix.MISSING)

    def probabilities(self, state: states.State, task: Task, side: str) -> np.ndarray:
        """Return the probabilities of all classes, (n, k), for one side of a task."""
        scores = state.about["sharpness"] * self.scores(state, task, side)
        return keras.ops.convert_to_numpy(keras.ops.softmax(scores.astype("float32")))

    def accuracy(self, state: states.State, task: Task, side: str = "test") -> float:
        """Return the share of right answers on one side of a task."""
        return of_tasks.accuracy(self.scores(state, task, side), task.sides[side][1], state.about["classes"])

    def learn_and_measure(self, state: states.State, task: Task, held: dict[str, Task]) -> states.State:
        """Learn one task, add it to `held`, and measure: the task before it is learnt, and all that are held after."""
        known, matrix = state.about["classes"], [list(row) for row in state.about["matrix"]]
        is_known = bool(known) and set(task.classes) <= set(known)
        chance = 1 / len(task.classes if self.scenario == "task" else known) if is_known else None
        if matrix:  # does what was learnt so far help already?
            matrix[-1].append(self.accuracy(state, task) if is_known else None)
        state = self.learn(state, task, held)
        held[task.name] = task
        there = [held.get(each["name"]) for each in state.about["tasks"]]
        matrix.append([each and self.accuracy(state, each) for each in there])
        labels = task.sides["test"][1]
        right = self.scores(state, task, "test").argmax(axis=1) == of_tasks.numbers(labels, state.about["classes"])
        shares = {name: float(right[np.array(labels) == name].mean()) for name in task.classes}
        chances, first = [*state.about["chances"], chance], shares | state.about["first"]
        return state.with_arrays({"matrix": matrix, "chances": chances, "first": first})


def told(state: states.State) -> dict[str, Any]:
    """Return what a sequence came to, for results.json: the matrix, its measures, bytes and seconds."""
    about, kept = state.about, state.size((of_tasks.HELD,))
    matrix = [[*row, *[None] * (len(about["tasks"]) - len(row))] for row in about["matrix"]]
    cost = {"seconds": round(sum(about["seconds"]), 2), "kept_bytes": kept, "held_bytes": state.size() - kept}
    return {"matrix": matrix, "strength": about["strength"]} | forgetting.measures(matrix, about["chances"]) | cost


def with_held(state: states.State, held: dict[str, Task]) -> states.State:
    """Return the state with the features of validation and test items of the tasks in `held`, and of no others."""
    kept = {name: value for name, value in state.arrays.items() if not name.startswith(of_tasks.HELD)}
    names = [each["name"] for each in state.about["tasks"]]
    return states.State(state.about, kept | of_tasks.to_arrays(names, held))


def run_before(run: pathlib.Path, strength: float | None) -> tuple[states.State, tasks.Samples]:
    """Return the state and the items of a run to go on from.

    Args:
        run: its directory.
        strength: of the penalty from now on; None for that of the state.

    Raises:
        UserError: it is gone, or its split.csv is not as the run wrote it.
    """
    state = states.State.load(run)
    if state is None or not (run / "results.json").is_file():
        raise errors.UserError(f"--continue-from {run}: there is no finished run; put it back, or start a new one")
    check_complete(state, run)
    finished_run.FinishedRun.read(run).check_split()
    earlier = sample_list.read_csv(run / "split.csv")
    for task in of_tasks.from_arrays([each["name"] for each in state.about["tasks"]], state.arrays).values():
        for side in task.sides:
            rows = [each.label for each in earlier if (each.about[tasks.COLUMN], each.split) == (task.name, side)]
            if rows != task.sides[side][1]:
                told = "its rows are not in the order in which the run wrote them"
                raise errors.UserError(f"{run / 'split.csv'} does not fit the state: {told}; put it back as it was")
    return state.with_arrays({"strength": strength} if strength else {}), earlier


def check_complete(state: states.State, run: pathlib.Path) -> None:
    """Refuse a state that lacks what its method needs to go on.

    Raises:
        UserError: something is missing.
    """
    method = state.about.get("method", "")
    arrays = ("head0.0",) if method == "expand" else ("weight.0", *NEEDED.get(method, ()))
    missing = [*(FACTS - state.about.keys()), *(name for name in arrays if name not in state.arrays)]
    if missing and (state.about.get("tasks") or missing[0] in FACTS):
        raise errors.UserError(f"{run / states.NAME} is damaged: it lacks {missing[0]}; put back a copy of it")


# Rehearsal ----------------------------------------------------------------------------------------------------


def with_replayed(state: states.State, rows: of_tasks.Side) -> tuple[of_tasks.Side, np.ndarray]:
    """Return the rows with those that are kept of earlier tasks, and weights: each class of a task counts the same."""
    labels, of_task = state.arrays["replay_labels"].tolist(), state.arrays["replay_tasks"].tolist()
    shares = of_tasks.equal_shares([*(("", label) for label in rows[1]), *zip(of_task, labels, strict=True)])
    return of_tasks.joined([rows, (state.arrays["replay_features"], labels)]), shares


def with_more_to_replay(state: states.State, task: Task, per_class: int, seed: int) -> states.State:
    """Return the state with the features of some training items of each class of a task, drawn at random."""
    number = len(state.about["tasks"])
    features, labels = of_tasks.drawn(task.sides["train"], per_class, [seed, number])
    new = {"features": features, "labels": np.array(labels), "tasks": np.full(len(labels), str(number))}
    kept = {name: [state.arrays[f"replay_{name}"]] if number else [] for name in new}
    return state.with_arrays(**{f"replay_{name}": np.concatenate([*kept[name], new[name]]) for name in new})


# Methods side by side -----------------------------------------------------------------------------------------


def compare(
    learner: Learner, methods: Sequence[str], by_seed: dict[int, list[Task]], orders: int
) -> list[dict[str, Any]]:
    """Return a row for each method, seed and order of the tasks; the features are there, so each takes seconds.

    Args:
        learner: its settings are used, but for the method and the seed.
        methods: their names.
        by_seed: the tasks, in the split of each seed.
        orders: the number of orders.
    """
    rows = []
    for seed, given in by_seed.items():
        for order, method in itertools.product(tasks.orders(len(given), orders, min(by_seed)), methods):
            settings = dataclasses.replace(learner.config, method=method, seed=seed)
            own = dataclasses.replace(learner, config=settings)
            held: dict[str, Task] = {}
            state = own.empty_state()
            for task in (given[place] for place in order):
                state = own.learn_and_measure(state, task, held)
            validation = float(np.mean([own.accuracy(state, task, "validation") for task in given]))
            row = {"method": method, "seed": seed, "order": [given[place].name for place in order]}
            rows.append(row | told(state) | {"validation": validation})
            average = rows[-1]["average_accuracy"]
            shown = ", ".join(str(place + 1) for place in order)
            line = f"{method}: average accuracy on the tests {average:.3f}"
            print(f"compare: seed {seed}, order {shown}, {line}", file=sys.stderr)
    return rows


def best_method(rows: list[dict[str, Any]], bound: str, preferred: str) -> str:
    """Return the method with the highest mean accuracy on validation items.

    Args:
        rows: as `compare` returns them.
        bound: a method that is no choice.
        preferred: the choice among equals.
    """
    methods = dict.fromkeys(row["method"] for row in rows if row["method"] != bound)
    means = {method: np.mean([row["validation"] for row in rows if row["method"] == method]) for method in methods}
    return max(means, key=lambda method: (means[method], method == preferred))
