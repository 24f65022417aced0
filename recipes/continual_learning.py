"""Continual learning: new classes or domains, task after task, without the old photos (learning without forgetting).

When to use it: if photos of new classes, or of a new camera, come when the old photos are gone: no right or no space to
keep them. If you still have all photos, train on all of them.

Data: one source for each task, as for feature extraction, in the order in which they come. Or one source that is
parted, or a CSV with a column `task`:

    january/daisy/*.jpg   february/rose/*.jpg   march/tulip/*.jpg

Command:

    python recipes/continual_learning.py                                      # the demo: six classes in three tasks
    python recipes/continual_learning.py --data demo demo:dusk demo:pencil    # the demo: one domain after the other
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

Expected, on two CPU cores, with MobileNet at 0.25 of its width: on 800 flowers, one class a task, `ridge` ends with an
average accuracy of 0.867 (0.858 – 0.867) (3 seeds x 3 orders), replay with 0.783 (0.758 – 0.850), EWC with 0.425 (0.208
– 0.500) and `naive` with 0.208 (0.200 – 0.225); all photos at once give 0.833 (0.817 – 0.875).
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
import tyro
from annotated_types import Gt, doc

from common import devices, errors, flags, words
from common.data import sample_list, tasks
from common.evaluation import classification
from common.features import fingerprint, frozen_prefix, of_tasks
from common.media import photos
from common.models import additive_heads, backbones, blocks, freezing, linear_heads, suffix
from common.report import classes, task_by_task
from common.runs import finished_run
from common.runs import state as states
from common.training import importance, recorder, settings, task_sequence, task_training

METHODS = ("naive", "ewc", "si", "lwf", "replay", "expand", "ridge", "joint")
# The strengths to choose from, by the validation photos of the first two tasks, and the one without those of the first.
STRENGTHS = {
    "ewc": (tuple(10.0**power for power in range(7)), 100.0),
    "si": (tuple(10.0**power for power in range(-1, 5)), 10.0),
    "lwf": ((0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), 1.0),
}
Task = of_tasks.TaskFeatures
EXAMPLES = 200  # photos whose gradients give Fisher's information of layers below the head
# Settings that a run that goes on does not take from the run before.
OWN = ("data", "tasks", "continue_from", "out", "cache", "resume", "debug", "dry_run", "mlflow", "tensorboard",
       "no_cache", "skip_bad", "skip_unsupported", "same_names", "group_pattern", "compare", "methods", "orders",
       "seeds", "cache_limit_gb", *settings.OF_THE_MACHINE)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(settings.PhotoConfig):
    """Learn tasks one after the other on a frozen network."""

    data: tuple[str, ...] = ("demo",)  # one source for each task, or one that is parted
    # How one source becomes tasks: by-class 2 (two classes a task; 3,2,2 for three, then two, then two) or by-column
    # NAME of its CSV. Default: a column task, or one task; by-class 2 on demo data.
    tasks: tuple[str, str] | None = None
    # class or domain: new classes, or the same classes of another kind; found from the data. task: as class, but the
    # task of each photo is known, which is far easier.
    scenario: Literal["class", "domain", "task"] | None = None
    # ridge adds up sums, and its head is that of all photos at once; the others show what the articles name.
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
    # The directory of a finished run, to add tasks to; the old photos may be gone.
    continue_from: pathlib.Path | None = None
    # Do not keep the features of validation and test photos: forgetting can no longer be measured later.
    forget_tests: bool = False
    compare: bool = False  # all methods, in several orders of the tasks; the model is that of the best one
    methods: tuple[str, ...] = METHODS  # for --compare: which ones
    orders: Annotated[int, Gt(0)] = 3  # for --compare: the given one, then random ones
    seeds: Annotated[int, Gt(0)] = 1  # for --compare: each has its own splits
    # Number of augmented views of each training photo, if there is an augmentation.
    views: Annotated[int, Gt(0), doc("the features are computed once, so there are no new views")] = 8
    no_baselines: tyro.conf.Suppress[bool] = True  # --compare has more

    FORMS_OF_DATA = "folders of class folders, a CSV, tfds:NAME, demo, or demo:STYLE for another domain"
    UNUSED = {"tensorboard": "it writes no curves"}
    # Of heads that are trained, and of layers below them, so without an effect by default.
    IDLE = ("epochs", "learning_rate", "fine_tuning_epochs", "fine_tuning_rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        low = self.fine_tuning_rate <= self.learning_rate / 10
        flags.check(low, "fine_tuning_rate", "must be at most a tenth of --learning-rate")
        known = set(self.methods) <= set(METHODS) and set(self.methods) - {"joint"}
        flags.check(bool(known), "methods", f"must be some of {', '.join(METHODS)}, and not joint alone")
        closed = self.method == "ridge" and self.unfreeze_from and not self.compare
        flags.check(not closed, "unfreeze_from", "is not for --method ridge, which trains the head alone; give replay")
        flags.check_used(self, self.compare, "without --compare", "methods", "orders", "seeds")
        goes_on = bool(self.continue_from)
        for name, methods in (("strength", STRENGTHS), ("per_class", ("replay",))):
            used = self.compare or goes_on or self.method in methods  # going on, the method is that of the run before
            flags.check_used(self, used, f"with --method {self.method}", name)
        trains = self.compare or goes_on or self.method != "ridge"
        flags.check_used(self, trains, "with --method ridge, which has a closed form", *self.IDLE[:2])
        fine = bool(self.unfreeze_from) or goes_on
        flags.check_used(self, fine, "without --unfreeze-from", *self.IDLE[2:])
        half = self.unfreeze_from and self.precision == "mixed_float16"
        flags.check(not half, "precision", "mixed_float16 is not for --unfreeze-from here; give mixed_bfloat16")
        alone = self.compare and self.unfreeze_from and self.methods != METHODS and "ridge" in self.methods
        flags.check(not alone, "methods", "ridge is not for --unfreeze-from, since it trains the head alone; remove it")
        flags.check(not (goes_on and self.compare), "compare", "needs the photos of all tasks; remove it")
        flags.check(not (goes_on and self.method == "joint"), "method", "joint needs the photos of all tasks")

    def check_files(self) -> None:
        """Refuse a run to go on from that has no state, and settings of one method where all are compared."""
        super().check_files()
        if self.compare:
            flags.check_used(self, False, "with --compare, which tries --methods", "method")
            for name, methods in (("strength", set(STRENGTHS)), ("per_class", {"replay"})):
                flags.check_used(self, bool(methods & set(self.methods)), "with these --methods", name)
        run = self.continue_from
        for name in (states.NAME, "results.json", "config.json", "split.csv"):
            if run and not (run.expanduser() / name).is_file():
                raise errors.UserError(
                    f"--continue-from {run}: has no {name}; give the directory of a finished run of this recipe (an "
                    "interrupted one goes on by --resume)"
                )
        flags.check(not run or self.data != ("demo",), "data", "must name the new photos, beside --continue-from")

    @property
    def parted(self) -> tuple[str, str] | None:
        """How one source is parted into tasks."""
        return self.tasks or (("by-class", "2") if self.data == ("demo",) and not self.continue_from else None)

    def of_one_source(self, seed: int | None = None) -> settings.PhotoConfig:
        """Return the settings of photos, with the first source as their data; a drawn domain is demo data too."""
        names = {field.name for field in dataclasses.fields(settings.PhotoConfig)}
        first = "demo" if self.data[0].startswith(tasks.DRAWN) else self.data[0]
        shared = {name: getattr(self, name) for name in names} | {"data": first}
        return settings.PhotoConfig(**shared | ({} if seed is None else {"seed": seed}))


def continued(config: Config) -> Config:
    """Return the settings with those of the run to go on from, where they are not given."""
    if not config.continue_from or config.resume:
        return config
    run = config.continue_from.expanduser()
    with finished_run.sound(run):
        values = json.loads((run / "config.json").read_text(encoding="utf-8"))["config"]
        values = {name: value for name, value in values.items() if name not in settings.OF_THE_MACHINE}
        stored = flags.from_dict(Config, values)
    state = states.State.load(run)
    method = state.about["method"] if state else stored.method  # after --compare, the state is that of the best one
    if config.method not in (Config.method, method):
        told = "its state is that method's; remove --method"
        raise errors.UserError(f"--method {config.method}: the run before learnt by {method}, and {told}")
    given = [field.name for field in dataclasses.fields(Config) if getattr(config, field.name) != field.default]
    used = {"strength": method in STRENGTHS, "per_class": method == "replay",
            **dict.fromkeys(Config.IDLE, method != "ridge")}  # fmt: skip
    for name in given:
        flags.check_used(config, used.get(name, True), f"with the {method} of the run before", name)
    scenario = state.about.get("scenario") if state else None
    if config.scenario and scenario and "task" in (config.scenario, scenario) and config.scenario != scenario:
        told = f"the run before has --scenario {scenario}, and results of the two cannot be compared"
        raise errors.UserError(f"--scenario {config.scenario}: {told}; remove it")
    if "image_size" in given and stored.image_size not in (None, config.image_size):
        told = f"the state is that of features at --image-size {stored.image_size}"
        raise errors.UserError(f"--image-size {config.image_size}: {told}; remove it")
    for name in ("precision", "prefix_precision", "cache_dtype"):
        old, new = getattr(stored, name), getattr(config, name)
        if old != new and name in (*given, *settings.OF_THE_MACHINE):
            flag = f"--{name.replace('_', '-')}"
            print(f"{flag} {new}: the run before had {old}, so old and new features differ a little", file=sys.stderr)
    kept = {*OWN, "method", *given}
    taken = {field.name: getattr(stored, field.name) for field in dataclasses.fields(Config) if field.name not in kept}
    if scenario == "task":
        taken |= {"scenario": scenario}
    changed = {name: value for name, value in (taken | {"method": method}).items() if value != getattr(config, name)}
    if changed:
        told = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in changed.items())
        print(f"settings of the run before: {told}", file=sys.stderr)
    return dataclasses.replace(config, **taken | {"method": method})


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


# What the methods do ------------------------------------------------------------------------------------------


class Methods(task_sequence.Learner):
    """The methods: each learns a task from what is kept of earlier ones, and from the task's own photos."""

    config: Config

    def learn(self, state: states.State, task: Task, held: dict[str, Task]) -> states.State:
        """Learn one task; only `joint` looks at the training photos of earlier tasks."""
        started, number = time.perf_counter(), len(state.about["tasks"])
        keras.utils.set_random_seed((self.config.seed + 7919 * number) % 2**31)
        known = [*state.about["classes"], *(name for name in task.classes if name not in state.about["classes"])]
        if self.config.method == "ridge":
            learnt = ridge(state, task, known, held)
        elif self.config.method == "expand":
            head = task_training.Trained(self.network, task.classes, self.config)
            learnt = state.with_arrays(**{f"head{number}": head.fit(task.sides["train"], self.network.start)})
        elif self.config.method == "joint":
            rows = of_tasks.joined([each.sides["train"] for each in (*held.values(), task)])
            learnt = state.with_arrays(
                weight=task_training.Trained(self.network, known, self.config).fit(rows, self.network.start)
            )
        else:
            learnt = self.train_on(state, task, known, held)
        about = {"name": task.name, "classes": of_tasks.numbers(task.classes, known).tolist(),
                 "photos": {side: task.count(side) for side in task.sides}}  # fmt: skip
        seconds = [*state.about["seconds"], round(time.perf_counter() - started, 3)]
        return learnt.with_arrays({"classes": known, "tasks": [*state.about["tasks"], about], "seconds": seconds})

    def train_on(self, state: states.State, task: Task, known: list[str], held: dict[str, Task]) -> states.State:
        """Train on from the weights after the earlier tasks: `naive`, `ewc`, `si`, `lwf` or `replay`."""
        method, is_first, rows, shares = self.config.method, not state.about["tasks"], task.sides["train"], None
        start = self.network.start if is_first else suffix.widened(state.listed("weight"), len(known))
        trained = task_training.Trained(self.network, known, self.config)
        if method == "replay" and not is_first:
            rows, shares = task_sequence.with_replayed(state, rows)
        if method in ("ewc", "si") and not is_first:
            trained.hold(start, suffix.widened(state.listed("importance"), len(known)))
        if method == "lwf" and not is_first:
            trained.distil(self.network.scores(state.listed("weight"), rows[0]))
        strength = None if is_first else state.about["strength"]
        if method in STRENGTHS and not is_first and not strength:
            strength = self.chosen_strength(trained, rows, start, [*held.values(), task])
            if not self.config.compare:
                print(f"strength of {method}: {strength:g}, by the validation photos of two tasks", file=sys.stderr)
        weights = trained.fit(rows, start, strength, shares)
        learnt = state.with_arrays({"strength": strength or state.about["strength"]}, weight=weights)
        if method == "replay":
            return task_sequence.with_more_to_replay(learnt, task, self.config.per_class, self.config.seed)
        if method not in ("ewc", "si"):
            return learnt
        if method == "ewc":
            values = self.fisher(weights, task.sides["train"][0])
        else:
            before = [*start, np.zeros_like(weights[-2]), np.zeros_like(weights[-1])][: len(weights)]
            moved = [one - other for one, other in zip(weights, before, strict=True)]
            values = importance.of_paths(trained.paths, moved)
        if not is_first:
            earlier = suffix.widened(state.listed("importance"), len(known))
            values = [one + other for one, other in zip(values, earlier, strict=True)]
        return learnt.with_arrays(importance=[each.astype("float32") for each in values])

    def chosen_strength(
        self, trained: task_training.Trained, rows: of_tasks.Side, start: list[np.ndarray], given: list[Task]
    ) -> float:  # fmt: skip
        """Return the strength with the best validation accuracy on the first two tasks, and of equals the lowest loss.

        Args:
            trained: the head, with the method's penalty.
            rows, start: as for its `fit`.
            given: the first two tasks; only the second if the validation photos of the first are gone.
        """
        choices, usual = STRENGTHS[self.config.method]
        if len(given) != 2:
            print(f"strength: {usual:g}, since the first task's validation photos are gone", file=sys.stderr)
            return usual
        fits = {}
        for strength in choices:
            weights, found = trained.fit(rows, start, strength), []
            for features, labels in (each.sides["validation"] for each in given):
                scores, right = self.network.scores(weights, features), of_tasks.numbers(labels, trained.known)
                found.append((float((scores.argmax(axis=1) == right).mean()), -linear_heads.log_loss(scores, right)))
            fits[strength] = tuple(np.mean(found, axis=0))
        return max(choices, key=lambda strength: fits[strength])

    def fisher(self, weights: list[np.ndarray], features: np.ndarray) -> list[np.ndarray]:
        """Return Fisher's information of the weights for a task's photos, example by example."""
        if self.network.is_head_alone:
            return importance.fisher_of_head(features, self.network.scores(weights, features))
        chosen = np.random.default_rng(self.config.seed).permutation(len(features))[:EXAMPLES]
        return importance.fisher(self.network.with_head(weights[-1].size, weights), features[chosen])


def ridge(state: states.State, task: Task, known: list[str], held: dict[str, Task]) -> states.State:
    """Add the sums of a task to those of the earlier ones, and solve for the head of all of them.

    The views of a photo count as one photo together: they are alike, and would make the penalty too small.
    """
    features, labels = task.sides["train"]
    sums = additive_heads.Sums.of(features, of_tasks.numbers(labels, known), len(known)) * (1 / task.views)
    names = ("counts", "totals", "products")
    if "counts" in state.arrays:
        counts, totals, products = (state.arrays[name] for name in names)
        sums = additive_heads.Sums(counts, totals, products).for_classes(len(known)) + sums
    kept = {name: getattr(sums, name) for name in names}
    if len(known) == 1:
        return state.with_arrays(weight=[np.zeros((features.shape[1], 1)), np.zeros(1)], **kept)
    spectrum = additive_heads.Spectrum.of(sums)
    # The earlier features are gone, so the penalty is that of generalised cross-validation, which needs the sums only.
    found = additive_heads.generalised_errors(spectrum, additive_heads.PENALTIES)
    penalty = additive_heads.PENALTIES[int(found.argmin())]
    kernel, bias = additive_heads.ridge(spectrum, penalty)
    # The scores lie between -1 and 1. How sharp the softmax over them is does not change an answer.
    seen, names_seen = of_tasks.joined([each.sides["validation"] for each in (*held.values(), task)])
    sharpness = linear_heads.sharpness_of(seen @ kernel + bias, of_tasks.numbers(names_seen, known))
    return state.with_arrays({"penalty": penalty, "sharpness": sharpness}, weight=[kernel, bias], **kept)


# The run ------------------------------------------------------------------------------------------------------


def classifier(network: suffix.Suffix, state: states.State) -> keras.Model:
    """Return the classifier of a state, from preprocessed photos to the probabilities of all classes."""
    known, sharpness = state.about["classes"], state.about["sharpness"]
    if state.about["method"] != "expand":
        *below, kernel, bias = state.listed("weight")
        network.with_head(len(known), [*below, kernel, bias])  # sets the layers below
        model = build_model(network.body, len(known))
        model.get_layer("scores").set_weights([sharpness * kernel, sharpness * bias])
        return model
    of_each = [each["classes"] for each in state.about["tasks"]]
    surest = network.surest([state.listed(f"head{number}") for number in range(len(of_each))], of_each, len(known))
    output = keras.layers.Softmax(dtype="float32", name="probabilities")(surest)
    return keras.Model(network.body.input, output, name="classifier")


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
    earlier_state, earlier = task_sequence.run_before(before, config.strength) if before else (None, [])
    done = earlier_state.about["tasks"] if earlier_state else []

    # Data: each task is split on its own.
    plain, medium = config.of_one_source(), photos.Photos()
    names = [each["name"] for each in done]
    loaded = tasks.load(config.data, config.parted, plain, record.directory, medium, earlier, names)
    known = earlier_state.about["classes"] if earlier_state else []
    known = [*known, *dict.fromkeys(name for task in loaded for name in task.classes if name not in known)]
    if len(known) < 2:
        raise errors.UserError(f"--data {' '.join(config.data)}: has one class; give a second task with another class")
    of_done = [[known[number] for number in each["classes"]] for each in done]
    scenario = tasks.scenario_of([*of_done, *(task.classes for task in loaded)], config.scenario)
    splits = tasks.together(loaded, known)

    # Model: the network is cut once, for all tasks, and what is before the cut stays as it is.
    with device.scope():
        backbone = backbones.choose(plain, default="MobileNetV2")
        network = suffix.Suffix.of(backbone.model, build_body(backbone.model), config.unfreeze_from)
        model = build_model(network.body, len(known))
    key = fingerprint.network(network.prefix, backbone)
    if earlier_state:
        earlier_state.check(key, f"--continue-from {config.continue_from}")
    sample_list.write_csv(record.directory / "split.csv", [*earlier, *tasks.listed(splits)])
    if config.compare and config.dry_run:
        count = len(config.methods) * config.orders * config.seeds
        print(f"this plan is that of one sequence of tasks; --compare runs up to {count}", file=sys.stderr)
    record.begin(backbone, model, splits, stages(backbone.model, config))
    counted = words.plural(len(loaded), "new task" if done else "task")
    print(f"scenario: {scenario}-incremental, {counted}", file=sys.stderr)
    if scenario == "task":
        print("the saved model is not told the task of a photo, so predict and evaluate are right less often",
              file=sys.stderr)  # fmt: skip
    print(freezing.trainable_table(model), file=sys.stderr)

    # The network before the cut runs once per photo.
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, plain)
    todo = of_tasks.computed(prefix, loaded)
    rows = []
    if config.compare:
        by_seed = {config.seed: todo} | {
            seed: further_split(config, seed, record.directory, model, backbone)
            for seed in range(config.seed + 1, config.seed + config.seeds)
        }
        methods = [method for method in config.methods if method != "ridge" or network.is_head_alone]
        if len(methods) < len(config.methods):
            print("ridge is left out: it trains the head alone", file=sys.stderr)
        rows = task_sequence.compare(Methods(network, config, scenario), methods, by_seed, config.orders)
        best: Any = task_sequence.best_method(rows, bound="joint", preferred="ridge")
        print(f"chosen by the validation photos: {best}", file=sys.stderr)
        config = dataclasses.replace(config, method=best)

    # Learning: one task after the other. The state on the disk always is that after a whole task.
    learner = Methods(network, config, scenario)
    state = states.State.load(record.directory) or earlier_state or learner.empty_state(key)
    state.check(key, f"--resume {record.directory}")
    task_sequence.check_complete(state, record.directory)
    if state.about["method"] != config.method:
        told = f"its state is that of {state.about['method']}, but its config.json says {config.method}"
        raise errors.UserError(f"--resume {record.directory}: {told}; put the file back as it was")
    held = of_tasks.from_arrays([each["name"] for each in state.about["tasks"]], state.arrays)
    for task in todo:
        if task.name in [each["name"] for each in state.about["tasks"]]:
            held[task.name] = task  # learnt before the interruption
            continue
        state = learner.learn_and_measure(state, task, held)
        state = task_sequence.with_held(state, {} if config.forget_tests else held)
        state.save(record.directory)
        shown = ", ".join("–" if value is None else f"{value:.3f}" for value in state.about["matrix"][-1])
        print(f"task {task.name}: learnt; accuracy on the tasks so far: {shown}", file=sys.stderr)

    # Evaluation: the test photos of all tasks that are held, of earlier runs too.
    prefix.model, prefix.splits = classifier(network, state), tasks.with_earlier(splits, earlier, list(held))
    sides = [
        side for side in sample_list.SPLIT_NAMES if side != "train" or not before
    ]  # the old training photos are gone
    predictions = {
        side: np.concatenate([learner.probabilities(state, task, side)[: task.count(side)] for task in held.values()])
        for side in sides
    }
    sequence = {"scenario": scenario, "method": config.method, "tasks": state.about["tasks"], "classes": known,
                "first": state.about["first"], "unmeasured": [each["name"] for each in state.about["tasks"]
                if each["name"] not in held]}  # fmt: skip
    return record.finish(
        prefix, config.method, task=classification, sections=[classes, task_by_task], predictions=predictions,
        keeps_familiar=False, sequence=sequence | task_sequence.told(state) | ({"comparison": rows} if rows else {}),
    )  # fmt: skip


def further_split(
    config: Config, seed: int, directory: pathlib.Path, model: keras.Model, backbone: backbones.Backbone
) -> list[Task]:
    """Return the tasks in the split of another seed, for `--compare`."""
    plain = config.of_one_source(seed)
    loaded = tasks.load(config.data, config.parted, plain, directory / "splits" / f"seed{seed}", photos.Photos(), [])
    known = dict.fromkeys(name for task in loaded for name in task.classes)
    return of_tasks.computed(
        frozen_prefix.FrozenPrefix(model, backbone, tasks.together(loaded, list(known)), plain), loaded
    )  # fmt: skip


if __name__ == "__main__":
    startup.main(Config, run, __doc__)
