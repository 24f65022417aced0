"""Tasks that a model learns one after the other: from the sources of `--data` to splits of each.

Each task is split on its own, so one that comes next month gets the same split as if it had been there from the start.
An item whose content or group was met in an earlier task takes the side that it has there: what has trained once is
never tested.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from common import errors, words
from common.data import dataset, group_pattern, name_series, names, sample_list, sources, splits, targets, unchanged
from common.demo import drawn_styles
from common.media import medium as media

COLUMN = "task"  # of a CSV with several tasks, and of split.csv
DRAWN = "demo:"  # before the name of a style, for the demo's classes in another domain
Samples = list[sample_list.Sample]


@dataclasses.dataclass(frozen=True)
class ClassesOfATask(targets.Classes):
    """Classes of which a task may have one only."""

    name = "classes_of_a_task"
    needed = "a task needs at least one class"

    def enough(self, samples: Sequence[sample_list.Sample]) -> bool:
        return bool(samples)


@dataclasses.dataclass(frozen=True)
class Task:
    """One task: its name and its items, split."""

    name: str
    splits: splits.Splits

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes, sorted."""
        return self.splits.class_names


# Reading ------------------------------------------------------------------------------------------------------


def load(
    given: Sequence[str], parted: tuple[str, str] | None, config: Any, directory: pathlib.Path, medium: media.Medium,
    earlier: Samples, known: Sequence[str] = (),
) -> list[Task]:  # fmt: skip
    """Read the tasks, split each, and write their `split.csv` into sub-folders of `directory`.

    Args:
        given: the sources. Each is a task, unless there is one only: this one may be parted.
        parted: how one source is parted, `("by-class", "2")` or `("by-column", NAME)`; None for a column `task`, or
            for one task.
        config: a `settings.PhotoConfig`; its `data` is replaced by each source.
        directory: the run directory.
        medium: the medium of the items.
        earlier: the items of earlier tasks, with their sides and hashes.
        known: the names of earlier tasks.

    Raises:
        UserError: as for `dataset.load`; or the source cannot be parted, or a task has nothing left on a side.
    """
    found: list[Task] = []
    met, labels = list(earlier), {sample.label for sample in earlier}
    for name, source, samples in _named(_read(given, parted, config, medium), known):
        folder = directory / "tasks" / f"{len(known) + len(found) + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        print(f"task {name}:", file=sys.stderr)
        _check_spelling(labels, samples, name)
        of_one = dataclasses.replace(config, data="demo" if source.startswith(DRAWN) else source)
        loaded = dataset.load(of_one, folder, medium, ClassesOfATask(), samples)
        _check_new(name, loaded, met, medium.unit)
        settled = with_known_sides(Task(name, loaded), met, medium.unit)
        found.append(settled)
        labels |= set(settled.classes)
        met += listed(settled.splits)
    return found


def _read(
    given: Sequence[str], parted: tuple[str, str] | None, config: Any, medium: media.Medium
) -> list[tuple[str, str, Samples]]:
    """Return the name, the source and the items of each task."""
    columns = (parted[1] if parted and parted[0] == "by-column" else COLUMN,) if len(given) == 1 else ()
    items = [(source, _samples(source, config, medium, columns)) for source in given]
    if len(items) > 1:
        if parted:
            raise errors.UserError("--tasks parts one source, but --data has several, each of which is a task")
        return [(pathlib.Path(source).name or source, source, samples) for source, samples in items]
    ((source, samples),) = items
    if parted is None and any(sample.about.get(COLUMN) for sample in samples):
        parted = ("by-column", COLUMN)
    if parted is None:
        return [(pathlib.Path(source).name or source, source, samples)]
    how, value = parted
    if how == "by-class":
        return [(name, source, part) for name, part in by_class(samples, value).items()]
    if how == "by-column":
        return [(name, source, part) for name, part in by_column(samples, value).items()]
    raise errors.UserError(f"--tasks {how}: must be by-class N or by-column NAME")


def _samples(source: str, config: Any, medium: media.Medium, columns: Collection[str]) -> Samples:
    """Return the items of a source, with the groups of `--group-pattern` or those that the names clearly say."""
    cache = config.cache_directory
    place = drawn_in_style(source.removeprefix(DRAWN), cache) if source.startswith(DRAWN) else source
    samples = sources.read_source(place, cache, medium, config.skip_unsupported, 1, columns)
    if config.group_pattern is None:
        return name_series.with_groups(samples, medium.title, medium.unit)
    samples = group_pattern.with_groups(samples, config.group_pattern, medium.title, medium.unit)
    group_pattern.say(samples, medium.unit)
    return samples


def drawn_in_style(style: str, cache_directory: pathlib.Path) -> str:
    """Return the folder of the demo's photos in another style, which are drawn at the first call.

    Raises:
        UserError: there is no such style.
    """
    if style not in drawn_styles.STYLES:
        known = ", ".join(DRAWN + each for each in drawn_styles.STYLES)
        raise errors.UserError(f"--data {DRAWN}{style}: there is no such demo; give {known}")
    write = functools.partial(_write_style, style)
    return str(sources.drawn_folder(cache_directory / "demo_styles", drawn_styles, write))


def _write_style(style: str, folder: pathlib.Path) -> pathlib.Path:
    return drawn_styles.write_photos(folder / style, style)


def by_class(samples: Samples, sizes: str) -> dict[str, Samples]:
    """Part items by classes in alphabetical order: "2" for two classes a task, "3,2,2" for three, two and two.

    Raises:
        UserError: the sizes are no whole numbers above 0, or do not add up to the number of classes.
    """
    labels = sorted({sample.label for sample in samples})
    counts = [int(size) if size.strip().isdigit() else 0 for size in sizes.split(",")]
    if not all(counts):
        raise errors.UserError(f"--tasks by-class {sizes}: must be a whole number above 0, or several, such as 3,2,2")
    if len(counts) == 1:
        counts = counts * -(-len(labels) // counts[0])
    elif sum(counts) != len(labels):
        raise errors.UserError(
            f"--tasks by-class {sizes}: adds up to {sum(counts)}, but there are {len(labels)} classes"
        )
    parts, start = {}, 0
    for count in counts:
        own = labels[start : start + count]
        parts[" + ".join(own)] = [sample for sample in samples if sample.label in own]
        start += count
    return parts


def by_column(samples: Samples, column: str) -> dict[str, Samples]:
    """Part items by the values of a column, such as a domain, in the order in which they first appear.

    Raises:
        UserError: an item has no value.
    """
    parts: dict[str, Samples] = {}
    for sample in samples:
        parts.setdefault(splits.value_of(sample, column), []).append(sample)
    return parts


def _named(read: Iterable[tuple[str, str, Samples]], known: Sequence[str]) -> Iterable[tuple[str, str, Samples]]:
    """Yield the tasks; one whose name is taken gets a number."""
    taken = set(known)
    for name, source, samples in read:
        free = next(each for each in (name, *(f"{name} {n}" for n in range(2, 10_000))) if each not in taken)
        taken.add(free)
        yield free, source, samples


def _check_new(name: str, loaded: splits.Splits, met: Samples, unit: str) -> None:
    """Refuse a task whose training items have all been met: it would count twice."""
    contents = {sample.about[unchanged.COLUMN] for sample in met}
    if contents and set(loaded.contents("train")) <= contents:
        raise errors.UserError(
            f"task {name}: all of its training {unit}s are in earlier tasks, so it was learnt before; give new {unit}s"
        )


def _check_spelling(labels: Iterable[str], samples: Samples, name: str) -> None:
    """Refuse a class whose name only looks like that of an earlier task, such as Cat and cat."""
    met = {names.key(label): label for label in labels}
    for label in {sample.label for sample in samples}:
        other = met.get(names.key(label), label)
        if other != label:
            raise errors.UserError(
                f"task {name}: class {label!r} is spelt {other!r} in an earlier task; rename one of them, so that both "
                "are one class or two"
            )


# Across tasks -------------------------------------------------------------------------------------------------


def with_known_sides(task: Task, met: Samples, unit: str) -> Task:
    """Move items whose content or group an earlier task has to the side that they have there; a line says how many.

    Raises:
        UserError: a class has nothing left on a side.
    """
    contents = {sample.about[unchanged.COLUMN]: sample.split for sample in met if unchanged.COLUMN in sample.about}
    groups = {sample.group: sample.split for sample in met if sample.group}
    samples = listed(task.splits)
    unit_of = splits.units_of(samples, task.splits.content_of)  # what belongs together moves together
    there: dict[str, set[str]] = {}
    for sample in samples:
        sides_there = {contents.get(task.splits.content_of[sample.path]), groups.get(sample.group or "")} - {None}
        there.setdefault(unit_of[sample.path], set()).update(side for side in sides_there if side)
    known = [sample for sample in samples if there[unit_of[sample.path]]]
    if not known:
        return task
    after = [
        dataclasses.replace(sample, split=next(iter(there[unit_of[sample.path]]), sample.split))
        for sample in samples
        if len(there[unit_of[sample.path]]) < 2
    ]
    _say_known(task, known, after, met, unit)
    try:
        splits.check_classes(after, task.splits.targets.strata)
    except errors.UserError as error:
        raise errors.UserError(f"task {task.name}, after the {unit}s of earlier tasks: {error}") from error
    sides: dict[str, Any] = {side: [each for each in after if each.split == side] for side in sample_list.SPLIT_NAMES}
    return dataclasses.replace(task, splits=dataclasses.replace(task.splits, **sides))


def _say_known(task: Task, known: Samples, after: Samples, met: Samples, unit: str) -> None:
    """Print what is known of a task's items from earlier tasks.

    Args:
        task: the task as it was split.
        known: its items that are in earlier tasks, or whose group is.
        after: all its items on their sides, without those that are left out.
        met: the items of earlier tasks.
        unit: what an item is called.
    """
    side_of, content_of = {sample.path: sample.split for sample in after}, task.splits.content_of
    moved = sum(side_of.get(sample.path, sample.split) != sample.split for sample in known)
    told = f"{words.plural(len(known), unit)} of task {task.name} or others of their group are in earlier tasks"
    print(f"data: {told}, and take the side that they have there; {moved} of them change sides", file=sys.stderr)
    labels = {sample.about[unchanged.COLUMN]: sample.label for sample in met if unchanged.COLUMN in sample.about}
    other = [one for one in known if labels.get(content_of[one.path], one.label) != one.label]
    if other:
        told = f"{words.plural(len(other), unit)} of task {task.name} had another class in an earlier task"
        was = labels[content_of[other[0].path]]
        print(f"data: {told}: {other[0].path} is now {other[0].label}, and was {was}", file=sys.stderr)
    if left_out := len(known) - sum(sample.path in side_of for sample in known):
        told = f"{words.plural(left_out, unit)} of task {task.name} are left out"
        print(f"data: {told}: what belongs together is on several sides in earlier tasks", file=sys.stderr)


def together(tasks: Sequence[Task], class_names: Sequence[str]) -> splits.Splits:
    """Return the items of all tasks as one `Splits`, task by task, each with its task in a further column.

    Args:
        tasks: at least one.
        class_names: all classes, in the order of the model's outputs.
    """
    sides: dict[str, Any] = {side: [] for side in sample_list.SPLIT_NAMES}
    for task, side in ((task, side) for task in tasks for side in sides):
        sides[side] += [_of_task(sample, task.name) for sample in getattr(task.splits, side)]
    first = tasks[0].splits
    skipped = sum(task.splits.quality.get("skipped", 0) for task in tasks)
    join: Callable = functools.partial(functools.reduce, lambda one, other: one | other)
    return dataclasses.replace(
        first, **sides, source=" ".join(dict.fromkeys(task.splits.source for task in tasks)),
        targets=targets.Classes(tuple(class_names)), quality={"skipped": skipped},
        content_of=join([task.splits.content_of for task in tasks]),
        properties=join([task.splits.properties for task in tasks]),
    )  # fmt: skip


def with_earlier(found: splits.Splits, earlier: Samples, tested: Sequence[str]) -> splits.Splits:
    """Return splits with the items of earlier runs before their own; their files may be gone.

    Args:
        found: as `together` returns them.
        earlier: the items of earlier runs, with the columns `task` and `sha256`.
        tested: the tasks of which the validation and test items are still known.
    """
    sides: dict[str, Any] = {}
    for side in sample_list.SPLIT_NAMES:
        there = [each for each in earlier if each.split == side and (side == "train" or each.about[COLUMN] in tested)]
        sides[side] = there + getattr(found, side)
    contents = {sample.path: sample.about[unchanged.COLUMN] for sample in earlier}
    return dataclasses.replace(found, **sides, content_of=contents | found.content_of)


def _of_task(sample: sample_list.Sample, name: str) -> sample_list.Sample:
    return dataclasses.replace(sample, about={key: value for key, value in sample.about.items() if key != COLUMN} | {
        COLUMN: name
    })  # fmt: skip


def listed(found: splits.Splits) -> Samples:
    """Return the items of all sides."""
    return [sample for side in sample_list.SPLIT_NAMES for sample in getattr(found, side)]


def scenario_of(classes: Sequence[Sequence[str]], wanted: str | None) -> str:
    """Return the scenario: `class` if a later task brings new classes, otherwise `domain`; or `task` if it is wanted.

    In the first two, the model is not told to which task an item belongs (van de Ven and Tolias 2019,
    https://arxiv.org/abs/1904.07734).

    Args:
        classes: the classes of each task.
        wanted: the value of `--scenario`.

    Raises:
        UserError: the wanted scenario does not suit the classes.
    """
    met = set(classes[0])
    same = len(classes) > 1 and all(set(each) <= met for each in classes[1:])
    found = "domain" if same else "class"
    if wanted in (None, "task", found) or len(classes) < 2:
        return wanted or found
    told = "no later task has a new class" if same else "later tasks have new classes"
    raise errors.UserError(f"--scenario {wanted}: {told}, which is --scenario {found}; or give task")


def orders(count: int, number: int, seed: int) -> list[list[int]]:
    """Return orders of `count` tasks: the given one, then random ones, all different, `number` if there are as many."""
    found, random = {tuple(range(count)): None}, np.random.default_rng(seed)
    while len(found) < min(number, math.factorial(count)):
        found[tuple(random.permutation(count).tolist())] = None
    return [list(order) for order in found]
