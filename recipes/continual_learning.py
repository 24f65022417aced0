"""Continual learning: new classes or domains, task after task, without the old photos (learning without forgetting).

When to use it: if photos of new classes, or of a new camera, come when the old photos are gone: no right or no space to
keep them. If you still have all photos, train on all of them.

Data: one source for each task, as for feature extraction, in the order in which they come. Or one source that is
parted, or a CSV with a column `task`:

    january/daisy/*.jpg   february/rose/*.jpg   march/tulip/*.jpg

Command:

    python recipes/continual_learning.py                                      # the demo: six classes in three tasks
    python recipes/continual_learning.py --data january/ february/ march/
    python recipes/continual_learning.py --data photos/ --tasks by-class 2 --compare
    python recipes/continual_learning.py --data photos.csv --tasks by-column camera --method replay
    python recipes/continual_learning.py --continue-from runs/continual_learning/latest --data april/

The methods, on one frozen network: `ridge` adds up sums of features, so its head is that of all photos at once, in any
order of the tasks. `replay` keeps the features of some photos (rehearsal). `ewc`, `si` and `lwf` keep no photo: elastic
weight consolidation (Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796), synaptic intelligence (Zenke et al.
2017, https://arxiv.org/abs/1703.04200) and learning without forgetting (Li and Hoiem 2016,
https://arxiv.org/abs/1606.09282). `expand` gives each task a head of its own. `naive` trains on, and `joint` has all
photos at once: the two ends of the scale. The run keeps in `state/` what its method needs to go on next month.

Expected, on two CPU cores: MEASURED
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import dataclasses
import json
import pathlib
import sys
import time
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
import tyro
from annotated_types import Ge, Gt, Le, doc

from common import devices, errors, flags
from common.data import sample_list, tasks
from common.evaluation import classification, forgetting
from common.features import fingerprint, frozen_prefix
from common.media import photos
from common.models import additive_heads, backbones, blocks, cut, freezing, linear_heads
from common.report import classes, task_by_task
from common.runs import finished_run
from common.runs import state as states
from common.training import importance, recorder, settings

METHODS = ("naive", "ewc", "si", "lwf", "replay", "expand", "ridge", "joint")
# The strengths to choose from, by the validation photos of the first two tasks, and the one without those of the first.
STRENGTHS = {
    "ewc": (tuple(10.0**power for power in range(7)), 100.0),
    "si": (tuple(10.0**power for power in range(-1, 5)), 10.0),
    "lwf": ((0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), 1.0),
}
TEMPERATURE = 2.0  # of the old model's answers, as in Li and Hoiem
EXAMPLES = 200  # photos whose gradients give Fisher's information of layers below the head
MISSING = -1e9  # the score of a class that a head does not have
HELD = "held"  # the features of validation and test photos, to measure with
# Settings that a run that goes on does not take from the run before.
OWN = ("data", "tasks", "continue_from", "out", "cache", "resume", "debug", "dry_run", "mlflow", "tensorboard",
       "no_cache", "skip_bad", "skip_unsupported", "same_names", "group_pattern", "compare", "orders", "seeds",
       "forget_tests", "cache_limit_gb")  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Learn tasks one after the other on a frozen network."""

    data: tuple[str, ...] = ("demo",)  # type: ignore[assignment]  # one source for each task, or one that is parted
    # How one source becomes tasks: by-class 2 (two classes a task; 3,2,2 for three, then two, then two) or by-column
    # NAME of its CSV. Default: a column task, or one task; by-class 2 on demo data.
    tasks: tuple[str, str] | None = None
    # class or domain: new classes, or the same classes of another kind; found from the data. task: as class, but the
    # task of each photo is known, which is far easier.
    scenario: Literal["class", "domain", "task"] | None = None
    # ridge adds up sums and forgets nothing; the others show what the articles name.
    method: Literal["naive", "ewc", "si", "lwf", "replay", "expand", "ridge", "joint"] = "ridge"
    # Of the penalty of ewc, si or lwf; default: chosen on the validation photos of the first two tasks.
    strength: Annotated[float, Gt(0)] | None = None
    per_class: Annotated[int, Gt(0)] = 20  # for replay: photos of each class and task whose features are kept
    # Number, name or block of the first layer that trains with the head; default: the head alone. It is the same for
    # all tasks.
    unfreeze_from: str | None = None
    epochs: Annotated[int, Gt(0)] = 30  # of the head, for each task; there is no early stopping
    fine_tuning_epochs: Annotated[int, Gt(0)] = 10  # of the unfrozen layers with the head, for each task
    fine_tuning_rate: Annotated[float, Gt(0)] = 1e-4  # 10 to 100 times lower than the head's
    continue_from: pathlib.Path | None = None  # the directory of a finished run, to add tasks to; old photos may be gone
    # Do not keep the features of validation and test photos: forgetting can no longer be measured later.
    forget_tests: bool = False
    compare: bool = False  # all methods, in several orders of the tasks; the model is that of the best one
    orders: Annotated[int, Gt(0)] = 3  # for --compare: the given one, then random ones
    seeds: Annotated[int, Gt(0)] = 1  # for --compare: each has its own splits
    views: Annotated[int, Gt(0), doc("the features are computed once, so there are no new views")] = 8
    no_baselines: tyro.conf.Suppress[bool] = True  # --compare has more

    FORMS_OF_DATA = "folders of class folders, a CSV, tfds:NAME or demo"

    def __post_init__(self) -> None:
        super().__post_init__()
        low = self.fine_tuning_rate <= self.learning_rate / 10
        flags.check(low, "fine_tuning_rate", "must be at most a tenth of --learning-rate")
        closed = self.method == "ridge" and self.unfreeze_from and not self.compare
        flags.check(not closed, "unfreeze_from", "is not for --method ridge, which trains the head alone; give replay")
        flags.check(not (self.continue_from and self.compare), "compare", "needs the photos of all tasks; remove it")
        flags.check(not (self.continue_from and self.method == "joint"), "method", "joint needs the photos of all tasks")

    def check_files(self) -> None:
        """Refuse a run to go on from that has no state."""
        super().check_files()
        run = self.continue_from
        if run and not (run.expanduser() / states.NAME).is_file():
            raise errors.UserError(
                f"--continue-from {run}: has no {states.NAME}; give the directory of a finished run of this recipe"
            )

    @property
    def parted(self) -> tuple[str, str] | None:
        """How one source is parted into tasks."""
        return self.tasks or (("by-class", "2") if self.data == ("demo",) and not self.continue_from else None)

    def of_one_source(self, seed: int | None = None) -> settings.PhotoConfig:
        """Return the settings of photos, with the first source as their data."""
        names = {field.name for field in dataclasses.fields(settings.PhotoConfig)}
        shared = {name: getattr(self, name) for name in names} | {"data": self.data[0]}
        return settings.PhotoConfig(**shared | ({} if seed is None else {"seed": seed}))


def continued(config: Config) -> Config:
    """Return the settings with those of the run to go on from, where they are not given."""
    if not config.continue_from or config.resume:
        return config
    run = config.continue_from.expanduser()
    with finished_run.sound(run):
        stored = flags.from_dict(Config, json.loads((run / "config.json").read_text(encoding="utf-8"))["config"])
    fields = [field for field in dataclasses.fields(Config) if field.name not in OWN]
    values = {field.name: getattr(config, field.name) for field in fields}
    taken = {each.name: getattr(stored, each.name) for each in fields if values[each.name] == each.default}
    if values["method"] not in (Config.method, stored.method):
        raise errors.UserError(f"--method {config.method}: the run before has the state of {stored.method}; remove it")
    return dataclasses.replace(config, **taken)


# The model ----------------------------------------------------------------------------------------------------


def build_body(base_model: keras.Model) -> keras.Model:
    """Put pooling on the base, and bring the channels of each photo to mean 0 and variance 1.

    The last step has no weights. Without it, all photos share a direction along which a new class overrules the others:
    on flowers, one class a task, EWC then gained nothing.
    """
    x = keras.layers.GlobalAveragePooling2D()(base_model.output)
    x = keras.layers.LayerNormalization(center=False, scale=False, dtype="float32")(x)
    return keras.Model(base_model.input, x, name="body")


def build_model(body: keras.Model, num_classes: int) -> keras.Model:
    """Build a classifier: the body, a dense layer of scores, softmax."""
    # float32 even under mixed precision, since the softmax and the loss need its digits.
    scores = keras.layers.Dense(num_classes, dtype="float32", name="scores")(body.output)
    output = keras.layers.Softmax(dtype="float32", name="probabilities")(scores)
    return keras.Model(body.input, output, name="classifier")


class Scores(keras.Model):
    """From the features at the cut to the classes' scores, trained with the loss of a method.

    Attributes:
        penalty: what holds important weights (EWC, SI), or None.
        distillation: the weight of the old model's answers (LwF), or None.
    """

    penalty: importance.Penalty | None = None
    distillation: keras.Variable | None = None

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the cross-entropy, and what the method adds to it.

        Args:
            x: the features; not used.
            y: (n, k) one-hot targets; for LwF, then the old model's answers (n, old + 1), softened.
            y_pred: (n, k) scores.
            sample_weight: (n,) or None.
            training: not used.
        """
        count = y_pred.shape[1]
        scores = importance.with_none(y_pred)
        targets = keras.ops.pad(y[:, :count], [[0, 0], [0, 1]])
        losses = keras.losses.categorical_crossentropy(targets, scores, from_logits=True)
        loss = keras.ops.mean(losses if sample_weight is None else losses * sample_weight)
        if self.distillation is not None:
            old = y[:, count:]
            known = importance.with_none(y_pred[:, : old.shape[1] - 1]) / TEMPERATURE
            answers = keras.losses.categorical_crossentropy(old, known, from_logits=True)
            loss += self.distillation * TEMPERATURE**2 * keras.ops.mean(answers)
        if self.penalty is not None:
            loss += self.penalty.loss()
        return loss


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The network behind the cut: what trains, and what it starts from.

    Attributes:
        base_model, body: the pretrained network, and the same with pooling.
        first: the number of the first layer of `base_model` that trains; their number for the head alone.
        tensor: where the network is cut.
        start: the pretrained weights of the layers that train, without the head's.
    """

    base_model: keras.Model
    body: keras.Model
    first: int
    tensor: Any
    start: list[np.ndarray]

    @classmethod
    def of(cls, base_model: keras.Model, config: Config) -> Network:
        """Cut a network before the layers that train.

        Raises:
            UserError: `--unfreeze-from` names no layer, or one before which several tensors are needed.
        """
        place = config.unfreeze_from
        first = blocks.layer_number(base_model, place) if place else len(base_model.layers)
        body = build_body(base_model)
        freezing.unfreeze(base_model, first)
        tensors = cut.cut(build_model(body, 1)).tensors
        if len(tensors) > 1 or tensors[0] is base_model.inputs[0]:
            raise errors.UserError(f"--unfreeze-from {place}: give the first layer of a later block, or its name")
        network = cls(base_model, body, first, tensors[0], [])
        weights = network.scores(1).trainable_weights[:-2]
        return dataclasses.replace(network, start=[keras.ops.convert_to_numpy(weight) for weight in weights])

    @property
    def is_head_alone(self) -> bool:
        """Whether no layer below the head trains."""
        return self.tensor is self.body.output

    def scores(self, num_classes: int, weights: list[np.ndarray] | None = None) -> Scores:
        """Return a new head on the layers behind the cut, which all heads share."""
        freezing.unfreeze(self.base_model, self.first)
        head = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="scores")
        model = Scores(self.tensor, head(self.body.output))
        for variable, value in zip(model.trainable_weights, weights or [], strict=weights is not None):
            variable.assign(value)
        return model

    def answers(self, weights: list[np.ndarray], features: np.ndarray) -> np.ndarray:
        """Return the scores (n, k) for features at the cut."""
        if self.is_head_alone:
            return features @ weights[-2] + weights[-1]
        model = self.scores(weights[-1].size, weights)
        parts = [features[start : start + 64] for start in range(0, len(features), 64)]
        return np.concatenate([keras.ops.convert_to_numpy(model(part, training=False)) for part in parts])


# A task -------------------------------------------------------------------------------------------------------


Side = tuple[np.ndarray, list[str]]  # features (n, …) at the cut, and the classes' names


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A task as the methods see it: side → features and classes; training photos count once for each view."""

    name: str
    sides: dict[str, Side]

    @property
    def classes(self) -> list[str]:
        """Its classes, sorted."""
        return sorted(set(self.sides["test"][1]))


def of_features(prefix: frozen_prefix.FrozenPrefix, loaded: list[tasks.Task]) -> list[Task]:
    """Return the tasks with their features, from a prefix whose splits are those of all tasks together."""
    found: dict[str, dict[str, Side]] = {task.name: {} for task in loaded}
    for side in sample_list.SPLIT_NAMES:
        features, start = prefix.features(side).astype("float32"), 0
        for task in loaded:
            labels = [sample.label for sample in getattr(task.splits, side)]
            own = features[:, start : start + len(labels)]
            found[task.name][side] = np.concatenate(own), labels * len(own)
            start += len(labels)
    return [Task(name, sides) for name, sides in found.items()]


def empty_state(network: str, config: Config) -> states.State:
    """Return the state before the first task."""
    about = {"method": config.method, "fingerprint": network, "classes": [], "tasks": [], "matrix": [], "first": {},
             "strength": config.strength, "sharpness": 1.0, "seconds": []}  # fmt: skip
    return states.State(about, {})


def numbers(labels: list[str], known: list[str]) -> np.ndarray:
    """Return the places of classes in the list of known ones, (n,)."""
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[label] for label in labels], dtype="int64")


def accuracy(scores: np.ndarray, labels: list[str], known: list[str]) -> float:
    """Return the share of right answers; a class that is not known yet is answered wrongly."""
    right = [known[number] == label for number, label in zip(scores.argmax(axis=1), labels, strict=True)]
    return float(np.mean(right))


def answers(
    network: Network, state: states.State, features: np.ndarray, scenario: str, task: str, may: list[str] | None = None
) -> np.ndarray:
    """Return the scores (n, classes known) for features at the cut.

    Args:
        network: the network behind the cut.
        state: what was learnt.
        features: (n, …).
        scenario: with `task`, the task is known: only its classes, and its own head, can answer.
        task: the name of the features' task.
        may: its classes.
    """
    count = len(state.about["classes"])
    if state.about["method"] != "expand":
        scores = network.answers(state.listed("weight"), features)
    else:
        names = [each["name"] for each in state.about["tasks"]]
        chosen = [names.index(task)] if scenario == "task" and task in names else range(len(names))
        scores = np.full((len(features), count), MISSING, "float32")
        for number in chosen:  # the surest of the heads that have the class
            own = state.about["tasks"][number]["classes"]
            scores[:, own] = np.maximum(scores[:, own], network.answers(state.listed(f"head{number}"), features))
    if scenario == "task" and may:
        other = [number for number, name in enumerate(state.about["classes"]) if name not in may]
        scores = scores.copy()
        scores[:, other] = MISSING
    return scores


# The methods --------------------------------------------------------------------------------------------------


def learn(
    network: Network, state: states.State, task: Task, held: dict[str, Task], config: Config, scenario: str
) -> states.State:
    """Learn one task: from what is kept of earlier ones, and the task's own photos, to what is kept afterwards.

    Args:
        network: the network behind the cut; its weights are set here, so nothing is left of earlier calls.
        state: after the earlier tasks.
        task: the new one.
        held: the earlier tasks whose validation photos are known; those of the first choose the strength. `joint` alone
            looks at their training photos.
        config: the settings.
        scenario: as for `answers`.
    """
    started, number = time.perf_counter(), len(state.about["tasks"])
    keras.utils.set_random_seed((config.seed + 7919 * number) % 2**31)
    known = [*state.about["classes"], *(name for name in task.classes if name not in state.about["classes"])]
    about = {"classes": known, "tasks": [*state.about["tasks"], {
        "name": task.name, "classes": numbers(task.classes, known).tolist(),
        "photos": {side: len(labels) for side, (_, labels) in task.sides.items()},
    }]}  # fmt: skip
    method = state.about["method"]
    if method == "ridge":
        learnt = ridge(state, task, known, held)
    elif method == "expand":
        own = Trained(network, task.classes, config)
        learnt = state.with_arrays(**{f"head{number}": own.fit(task.sides["train"], network.start)})
    elif method == "joint":
        rows = joined([each.sides["train"] for each in (*held.values(), task)])
        learnt = state.with_arrays(weight=Trained(network, known, config).fit(rows, network.start))
    else:
        learnt = trained_on(network, state, task, known, held, config, scenario)
    seconds = [*state.about["seconds"], round(time.perf_counter() - started, 3)]
    return learnt.with_arrays(about | {"seconds": seconds})


def joined(parts: list[Side]) -> Side:
    """Return several sets of features and classes as one."""
    return np.concatenate([features for features, _ in parts]), [label for _, labels in parts for label in labels]


def ridge(state: states.State, task: Task, known: list[str], held: dict[str, Task]) -> states.State:
    """Add the sums of a task to those of the earlier ones, and solve for the head of all of them."""
    features, labels = task.sides["train"]
    sums = additive_heads.Sums.of(features, numbers(labels, known), len(known), state.about["fingerprint"])
    names = ("counts", "totals", "products")
    if "counts" in state.arrays:
        stored = [state.arrays[name] for name in names]
        sums = additive_heads.Sums(*stored, state.about["fingerprint"]).for_classes(len(known)) + sums
    kept = {name: getattr(sums, name) for name in names}
    if len(known) == 1:
        return state.with_arrays(weight=[np.zeros((features.shape[1], 1)), np.zeros(1)], **kept)
    spectrum = additive_heads.Spectrum.of(sums)
    # The features are gone, so the penalty is that of generalised cross-validation, which needs the sums only.
    found = additive_heads.generalised_errors(spectrum, additive_heads.PENALTIES)
    penalty = additive_heads.PENALTIES[int(found.argmin())]
    kernel, bias = additive_heads.ridge(spectrum, penalty)
    # The scores lie between -1 and 1. How sharp the softmax over them is does not change an answer.
    seen, names_seen = joined([each.sides["validation"] for each in (*held.values(), task)])
    sharpness = linear_heads.sharpness_of(seen @ kernel + bias, numbers(names_seen, known))
    return state.with_arrays({"penalty": penalty, "sharpness": sharpness}, weight=[kernel, bias], **kept)


def trained_on(
    network: Network, state: states.State, task: Task, known: list[str], held: dict[str, Task], config: Config,
    scenario: str,
) -> states.State:  # fmt: skip
    """Train on from the earlier weights: `naive`, `ewc`, `si`, `lwf` or `replay`."""
    method, number = state.about["method"], len(state.about["tasks"])
    before, values = state.listed("weight"), state.listed("importance")
    start = widened(before, len(known)) if before else network.start
    trained = Trained(network, known, config)
    rows, shares = task.sides["train"], None
    if method == "replay" and number:
        rows, shares = with_replayed(state, rows)
    if method in ("ewc", "si") and values:
        trained.hold(start, widened(values, len(known)))
    if method == "lwf" and before:
        trained.distil(network.answers(before, rows[0]))
    choices, usual = STRENGTHS.get(method, ((None,), None))
    strength = state.about["strength"]
    if method not in STRENGTHS or not number:
        weights = trained.fit(rows, start, None, shares)
    elif strength or number > 1 or not held:
        if not strength:
            print(f"{method}: strength {usual:g}, since the first task's validation photos are gone", file=sys.stderr)
        strength = strength or usual
        weights = trained.fit(rows, start, strength, shares)
    else:  # the second task: its validation photos and those of the first choose
        sides = [each.sides["validation"] for each in (*held.values(), task)]
        found = []
        for strength in choices:
            weights, paths = trained.fit(rows, start, strength, shares), trained.paths
            found.append((*fits(network, weights, sides, known), strength, weights, paths))
        *_, strength, weights, trained.paths = max(found, key=lambda each: each[:2])
    about = {"strength": strength}
    if method == "replay":
        return state.with_arrays(about, weight=weights, **chosen_rows(state, task, config))
    if method not in ("ewc", "si"):
        return state.with_arrays(about, weight=weights)
    if method == "ewc":
        new = fisher(network, weights, task.sides["train"][0], config.seed)
    else:
        begin = widened(before, len(known)) if before else [*network.start, np.zeros_like(weights[-2]), 0 * weights[-1]]
        new = importance.of_paths(trained.paths, [one - other for one, other in zip(weights, begin, strict=True)])
    old = widened(values, len(known)) if values else [np.zeros_like(each) for each in new]
    total = [(one + other).astype("float32") for one, other in zip(old, new, strict=True)]
    return state.with_arrays(about, weight=weights, importance=total)


def fits(network: Network, weights: list[np.ndarray], sides: list[Side], known: list[str]) -> tuple[float, float]:
    """Return the mean accuracy over tasks, and minus the mean log loss, which decides between equals."""
    scores = [(network.answers(weights, features), labels) for features, labels in sides]
    losses = [linear_heads.log_loss(each, numbers(labels, known)) for each, labels in scores]
    return float(np.mean([accuracy(each, labels, known) for each, labels in scores])), -float(np.mean(losses))


def widened(values: list[np.ndarray], num_classes: int) -> list[np.ndarray]:
    """Return weights (or what belongs to them) with further columns of zeros in the head, for new classes."""
    *below, kernel, bias = values
    further = num_classes - bias.size
    return [*below, np.pad(kernel, ((0, 0), (0, further))), np.pad(bias, (0, further))]


def fisher(network: Network, weights: list[np.ndarray], features: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return Fisher's information of the weights for a task's photos, example by example."""
    if network.is_head_alone:
        return importance.fisher_of_head(features, network.answers(weights, features))
    chosen = np.random.default_rng(seed).permutation(len(features))[:EXAMPLES]
    return importance.fisher(network.scores(weights[-1].size, weights), features[chosen])


def with_replayed(state: states.State, rows: Side) -> tuple[Side, np.ndarray]:
    """Return the rows with those that are kept of earlier tasks, and weights: each class of a task counts the same."""
    labels = state.arrays["replay_labels"].tolist()
    cells = [*(("new", label) for label in rows[1]),
             *zip(state.arrays["replay_tasks"].tolist(), labels, strict=True)]  # fmt: skip
    counts = {cell: cells.count(cell) for cell in set(cells)}
    shares = np.array([len(cells) / (len(counts) * counts[cell]) for cell in cells], "float32")
    return joined([rows, (state.arrays["replay_features"], labels)]), shares


def chosen_rows(state: states.State, task: Task, config: Config) -> dict[str, np.ndarray]:
    """Return the arrays of `replay`, with some features of each class of the task, drawn at random."""
    features, labels = task.sides["train"]
    number, own = len(state.about["tasks"]), np.array(labels)
    random = np.random.default_rng([config.seed, number])
    drawn = [random.permutation(np.flatnonzero(own == name))[: config.per_class] for name in task.classes]
    places = np.concatenate(drawn)
    new = {"features": features[places], "labels": own[places], "tasks": np.full(len(places), str(number))}
    if number:
        return {f"replay_{name}": np.concatenate([state.arrays[f"replay_{name}"], value]) for name, value in new.items()}
    return {f"replay_{name}": value for name, value in new.items()}


class Trained:
    """A head, and the layers between the cut and it, that can be trained several times from given weights."""

    def __init__(self, network: Network, known: list[str], config: Config) -> None:
        self.network, self.known, self.config = network, known, config
        self.model = network.scores(len(known))
        self.paths: list[np.ndarray] = []
        self.old: np.ndarray | None = None
        self.fresh: list[np.ndarray] = []  # the optimizer's variables before the first step

    def hold(self, start: list[np.ndarray], values: list[np.ndarray]) -> None:
        """Add the penalty of EWC or SI, which holds important weights where they start."""
        self._assign(start)
        self.model.penalty = importance.Penalty(list(self.model.trainable_variables), values)

    def distil(self, scores: np.ndarray) -> None:
        """Add the loss of LwF: the old model's scores (n, old) for the new photos are further targets."""
        self.old = keras.ops.convert_to_numpy(keras.ops.softmax(importance.with_none(scores) / TEMPERATURE))
        self.model.distillation = keras.Variable(0.0, trainable=False)

    def fit(
        self, rows: Side, start: list[np.ndarray], strength: float | None = None, shares: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Train the head, then the unfrozen layers with it at a low rate, and return the weights.

        Args:
            rows: the features and classes to train with.
            start: the weights to begin with; without the head's, that begins with zeros.
            strength: of the method's penalty.
            shares: (n,) the weight of each row in the loss.
        """
        self._assign(start)
        for variable in (self.model.penalty and self.model.penalty.strength, self.model.distillation):
            if variable is not None:
                variable.assign(strength)
        features, labels = rows
        targets = np.eye(len(self.known), dtype="float32")[numbers(labels, self.known)]
        if self.old is not None:
            targets = np.concatenate([targets, self.old], axis=1)
        arrays = (features, targets) if shares is None else (features, targets, shares)
        weights = self.model.trainable_weights
        self.paths = [np.zeros(weight.shape, "float32") for weight in weights]
        network, config = self.network, self.config
        self._stage(arrays, len(network.base_model.layers), config.learning_rate, config.epochs)
        if not network.is_head_alone:
            self._stage(arrays, network.first, config.fine_tuning_rate, config.fine_tuning_epochs)
        return [keras.ops.convert_to_numpy(weight).copy() for weight in weights]

    def _stage(self, arrays: tuple[np.ndarray, ...], first: int, rate: float, epochs: int) -> None:
        """Train the layers from `first` on, and the head."""
        count = len(self.paths)
        freezing.unfreeze(self.network.base_model, first)
        if self.fresh and self.network.is_head_alone:  # the same stage again, for another strength
            for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
                variable.assign(value)
        else:
            optimizer = keras.optimizers.Adam(rate)
            if self.config.method == "si":
                optimizer = importance.PathIntegral(rate, self.model.penalty)
            self.model.compile(optimizer=optimizer)
            optimizer.build(self.model.trainable_variables)
            self.fresh = [keras.ops.convert_to_numpy(each).copy() for each in optimizer.variables]
        self.model.fit(batches(arrays, self.config.batch_size, self.config.seed), epochs=epochs, verbose=0)
        for number, path in enumerate(getattr(self.model.optimizer, "paths", []), -len(self.model.trainable_weights)):
            self.paths[count + number] = self.paths[count + number] + keras.ops.convert_to_numpy(path)
        freezing.unfreeze(self.network.base_model, self.network.first)

    def _assign(self, weights: list[np.ndarray]) -> None:
        variables = self.model.trainable_weights
        whole = [*weights, *(np.zeros(variable.shape) for variable in variables[len(weights) :])]
        for variable, value in zip(variables, whole, strict=True):
            variable.assign(value)


def batches(arrays: tuple[np.ndarray, ...], batch_size: int, seed: int) -> tf.data.Dataset:
    """Return rows of arrays in batches, in another order in every epoch, which the seed determines."""
    tensors = [tf.constant(array) for array in arrays]
    order = tf.data.Dataset.range(len(arrays[0])).shuffle(len(arrays[0]), seed).batch(batch_size)
    return order.map(lambda places: tuple(tf.gather(tensor, places) for tensor in tensors))


# A sequence ---------------------------------------------------------------------------------------------------


def learn_and_measure(
    network: Network, state: states.State, task: Task, held: dict[str, Task], config: Config, scenario: str
) -> states.State:
    """Learn one task, add it to `held`, and add to the matrix: before it, and after it on all tasks that are held."""
    known = state.about["classes"]
    matrix = [list(row) for row in state.about["matrix"]]
    features, labels = task.sides["test"]
    may = task.classes if scenario == "task" else known
    is_known = bool(known) and set(task.classes) <= set(known)
    if matrix:  # just before the task: does what was learnt so far help already?
        scores = answers(network, state, features, scenario, task.name, task.classes) if is_known else None
        matrix[-1].append(None if scores is None else accuracy(scores, labels, known))
    state = learn(network, state, task, held, config, scenario)
    held[task.name] = task
    row: list[float | None] = []
    for each in state.about["tasks"]:
        there = held.get(each["name"])
        row.append(there and measured(network, state, there, scenario))
    first = dict(state.about["first"])
    scores = answers(network, state, features, scenario, task.name, task.classes)
    for name in task.classes:
        own = [place for place, label in enumerate(labels) if label == name]
        first.setdefault(name, accuracy(scores[own], [name] * len(own), state.about["classes"]))
    chances = [*state.about.get("chances", []), 1 / len(may) if is_known else None]
    return state.with_arrays({"matrix": [*matrix, row], "first": first, "chances": chances})


def measured(network: Network, state: states.State, task: Task, scenario: str, side: str = "test") -> float:
    """Return the accuracy on one side of a task."""
    features, labels = task.sides[side]
    scores = answers(network, state, features, scenario, task.name, task.classes)
    return accuracy(scores, labels, state.about["classes"])


def told(state: states.State) -> dict[str, Any]:
    """Return what a sequence came to, for results.json: the matrix, its measures, bytes and seconds."""
    about = state.about
    count = len(about["tasks"])
    matrix = [[*row, *[None] * (count - len(row))] for row in about["matrix"]]
    return {"matrix": matrix} | forgetting.measures(matrix, about["chances"]) | {
        "strength": about["strength"], "seconds": round(sum(about["seconds"]), 2), "kept_bytes": state.size((HELD,)),
        "held_bytes": state.size() - state.size((HELD,)),
    }  # fmt: skip


def with_held(state: states.State, held: dict[str, Task], config: Config) -> states.State:
    """Return the state with the features of validation and test photos, unless `--forget-tests` is given."""
    arrays: dict[str, np.ndarray] = {}
    for number, each in enumerate(state.about["tasks"]):
        for side in () if config.forget_tests or each["name"] not in held else ("validation", "test"):
            features, labels = held[each["name"]].sides[side]
            arrays |= {f"{HELD}_{number}_{side}": features, f"{HELD}_{number}_{side}_labels": np.array(labels)}
    kept = {name: value for name, value in state.arrays.items() if not name.startswith(HELD)}
    return states.State(state.about, kept | arrays)


def held_in(state: states.State) -> dict[str, Task]:
    """Return the tasks whose validation and test photos are held in a state."""
    found = {}
    for number, each in enumerate(state.about["tasks"]):
        names = {side: f"{HELD}_{number}_{side}" for side in ("validation", "test")}
        if names["test"] in state.arrays:
            sides = {side: (state.arrays[name], state.arrays[f"{name}_labels"].tolist()) for side, name in names.items()}
            found[each["name"]] = Task(each["name"], sides)
    return found


# All methods side by side -------------------------------------------------------------------------------------


def orders_of(count: int, number: int, seed: int) -> list[list[int]]:
    """Return orders of tasks: the given one, then random ones, all different as far as there are as many."""
    found, random = [list(range(count))], np.random.default_rng(seed)
    for _ in range(100 * number):
        order = random.permutation(count).tolist()
        if len(found) < number and order not in found:
            found.append(order)
    return found


def compare(network: Network, by_seed: dict[int, list[Task]], config: Config, scenario: str) -> list[dict[str, Any]]:
    """Return a row for each method, seed and order of the tasks; the features are there, so each takes seconds."""
    rows = []
    methods = [method for method in METHODS if method != "ridge" or network.is_head_alone]
    if len(methods) < len(METHODS):
        print("compare: without ridge, which trains the head alone", file=sys.stderr)
    for seed, given in by_seed.items():
        for order in orders_of(len(given), config.orders, config.seed):
            for method in methods:
                own = dataclasses.replace(config, method=method, seed=seed)
                state, held = empty_state("", own), {}
                for task in (given[place] for place in order):
                    state = learn_and_measure(network, state, task, held, own, scenario)
                validation = [measured(network, state, task, scenario, "validation") for task in given]
                row = {"method": method, "seed": seed, "order": [given[place].name for place in order]}
                rows.append(row | told(state) | {"validation": float(np.mean(validation))})
                print(
                    f"compare: seed {seed}, order {order}, {method}: average accuracy "
                    f"{rows[-1]['average_accuracy']:.3f}, {rows[-1]['seconds']:.1f} s", file=sys.stderr,
                )  # fmt: skip
    return rows


def best_method(rows: list[dict[str, Any]]) -> str:
    """Return the method with the highest mean accuracy on validation photos; `joint` is no choice, but a bound."""
    methods = dict.fromkeys(row["method"] for row in rows if row["method"] != "joint")
    means = {method: np.mean([row["validation"] for row in rows if row["method"] == method]) for method in methods}
    return max(means, key=lambda method: (means[method], method == "ridge"))


# The model to save --------------------------------------------------------------------------------------------


def classifier(network: Network, state: states.State) -> keras.Model:
    """Return the classifier of a state, from preprocessed photos to the probabilities of all classes."""
    known, sharpness = state.about["classes"], state.about["sharpness"]
    if state.about["method"] != "expand":
        weights = [*state.listed("weight")]
        weights[-2:] = [sharpness * each for each in weights[-2:]]
        for variable, value in zip(network.scores(len(known)).trainable_weights[:-2], weights[:-2], strict=True):
            variable.assign(value)
        model = build_model(network.body, len(known))
        model.get_layer("scores").set_weights(weights[-2:])
        return model
    scores = []
    for number, each in enumerate(state.about["tasks"]):
        own = network.scores(len(each["classes"]), state.listed(f"head{number}"))
        copy = keras.models.clone_model(keras.Model(own.inputs, own.outputs, name=f"task_{number + 1}"))
        copy.set_weights(own.get_weights())
        with_missing = keras.ops.pad(copy(network.tensor), [[0, 0], [0, 1]], constant_values=MISSING)
        places = [each["classes"].index(place) if place in each["classes"] else -1 for place in range(len(known))]
        scores.append(keras.ops.take(with_missing, [place % (len(each["classes"]) + 1) for place in places], axis=1))
    surest = scores[0] if len(scores) == 1 else keras.layers.Maximum(dtype="float32")(scores)
    output = keras.layers.Softmax(dtype="float32", name="probabilities")(surest)
    return keras.Model(network.body.input, output, name="classifier")


def probabilities(network: Network, state: states.State, task: Task, side: str, scenario: str) -> np.ndarray:
    """Return the probabilities of all classes, (n, k), for one side of a task."""
    scores = answers(network, state, task.sides[side][0], scenario, task.name, task.classes)
    return keras.ops.convert_to_numpy(keras.ops.softmax(state.about["sharpness"] * scores.astype("float32")))


# The run ------------------------------------------------------------------------------------------------------


def stages(base_model: keras.Model, config: Config) -> list[tuple[int, int]]:
    """Return, for each stage of a task, the number of its first trainable layer and its number of epochs."""
    if config.method == "ridge":
        return []
    whole = len(base_model.layers)
    if not config.unfreeze_from:
        return [(whole, config.epochs)]
    return [(whole, config.epochs), (blocks.layer_number(base_model, config.unfreeze_from), config.fine_tuning_epochs)]


def run(config: Config) -> finished_run.Result:
    """Learn the tasks one after the other, measure after each, save the state and the model, and write the report."""
    record = recorder.Recorder("continual_learning", continued(config))
    config = record.config  # with --resume, the settings of the interrupted run
    device = devices.set_up(config)
    before = config.continue_from and config.continue_from.expanduser()
    earlier_state = states.State.load(before) if before else None
    earlier = sample_list.read_csv(before / "split.csv") if before else []
    done = earlier_state.about["tasks"] if earlier_state else []

    # Data: each task is split on its own.
    plain, medium = config.of_one_source(), photos.Photos()
    names = [each["name"] for each in done]
    loaded = tasks.load(config.data, config.parted, plain, record.directory, medium, earlier, names)
    known = earlier_state.about["classes"] if earlier_state else []
    known = [*known, *dict.fromkeys(name for task in loaded for name in task.classes if name not in known)]
    of_done = [[known[number] for number in each["classes"]] for each in done]
    scenario = tasks.scenario_of([*of_done, *(task.classes for task in loaded)], config.scenario)
    splits = tasks.together(loaded, known)

    # Model: the network is cut once, for all tasks, and what is before the cut stays as it is.
    with device.scope():
        backbone = backbones.choose(plain, default="MobileNetV2")
        network = Network.of(backbone.model, config)
        model = build_model(network.body, len(known))
    key = fingerprint.network(keras.Model(network.body.input, network.tensor), backbone)
    if earlier_state:
        earlier_state.check(key, f"--continue-from {config.continue_from}")
    record.begin(backbone, model, splits, stages(backbone.model, config))
    sample_list.write_csv(record.directory / "split.csv", [*earlier, *tasks.listed(splits)])
    print(f"scenario: {scenario}-incremental, {len(loaded)} tasks; {freezing.trainable_table(model)}", file=sys.stderr)

    # The network before the cut runs once per photo.
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, plain)
    todo = of_features(prefix, loaded)
    rows = []
    if config.compare:
        by_seed = {config.seed: todo} | {
            seed: further_split(config, seed, record.directory, model, backbone)
            for seed in range(config.seed + 1, config.seed + config.seeds)
        }
        rows = compare(network, by_seed, config, scenario)
        config = dataclasses.replace(config, method=best_method(rows))

    # Learning: one task after the other. The state on the disk always is that after a whole task.
    state = states.State.load(record.directory) or earlier_state or empty_state(key, config)
    state.check(key, f"--resume {record.directory}")
    held = held_in(state)
    for task in todo:
        if task.name in [each["name"] for each in state.about["tasks"]]:
            held[task.name] = task  # learnt before the interruption
            continue
        state = with_held(learn_and_measure(network, state, task, held, config, scenario), held, config)
        state.save(record.directory)
        shown = ", ".join("–" if value is None else f"{value:.3f}" for value in state.about["matrix"][-1])
        print(f"task {task.name}: learnt; accuracy on the tasks so far: {shown}", file=sys.stderr)

    # Evaluation: the test photos of all tasks that are held, of earlier runs too.
    prefix.model, prefix.splits = classifier(network, state), tasks.with_earlier(splits, earlier, list(held))
    sides = [side for side in sample_list.SPLIT_NAMES if all(side in task.sides for task in held.values())]
    predictions = {
        side: np.concatenate([probabilities(network, state, task, side, scenario) for task in held.values()])
        for side in sides
    }
    sequence = {"scenario": scenario, "method": config.method, "tasks": state.about["tasks"], "classes": known,
                "first": state.about["first"], "unmeasured": [each["name"] for each in state.about["tasks"]
                if each["name"] not in held]}  # fmt: skip
    return record.finish(
        prefix, config.method, task=classification, sections=[classes, task_by_task], predictions=predictions,
        keeps_familiar=False, sequence=sequence | told(state) | ({"comparison": rows} if rows else {}),
    )  # fmt: skip


def further_split(
    config: Config, seed: int, directory: pathlib.Path, model: keras.Model, backbone: backbones.Backbone
) -> list[Task]:
    """Return the tasks in the split of another seed, for `--compare`."""
    plain = config.of_one_source(seed)
    loaded = tasks.load(config.data, config.parted, plain, directory / "splits" / f"seed{seed}", photos.Photos(), [])
    known = dict.fromkeys(name for task in loaded for name in task.classes)
    return of_features(
        frozen_prefix.FrozenPrefix(model, backbone, tasks.together(loaded, list(known)), plain), loaded
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
