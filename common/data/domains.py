"""A source domain with labels, and a new domain whose labels nothing may read before the test.

The labels of the new domain are put aside before its items are split, scanned or adapted to. They come back in
`Domains.judged`, for the test, and in `Domains.few`, for the items that someone has labelled.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys
from typing import Any, Generic, TypeVar

import numpy as np

from common import errors, words
from common.data import listings, names, sample_list, splits, targets

ADAPTING = ("train", "validation")  # the sides of the new domain that are adapted to; the rest is the test
FRACTIONS = {"validation_fraction": 0.25, "test_fraction": 0.5}  # of the new domain: half adapts, half tests
COLUMN = "domain"
HIDDEN = "unlabelled"  # stands for the label of every item of the new domain in its split.csv

Samples = list[sample_list.Sample]
Kind = TypeVar("Kind", bound=splits.Splits)  # of the splits of both domains


@dataclasses.dataclass(frozen=True)
class Unlabelled(targets.Targets):
    """No target: the items of the new domain while a model adapts to it."""

    name = "unlabelled"
    shown = ()

    def of(self, sample: sample_list.Sample) -> int:
        return 0

    def encoded(self, values: Any) -> Any:
        return values


@dataclasses.dataclass(frozen=True)
class Domains(Generic[Kind]):
    """A source domain and a new one.

    Attributes:
        name: the name of the new domain.
        source: the splits of the source, with its labels.
        target: the splits of the new domain, without labels.
        labels: path → class of the new domain's items; empty if it has none.
    """

    name: str
    source: Kind
    target: Kind
    labels: dict[str, str] = dataclasses.field(repr=False)

    @property
    def adapting(self) -> tuple[str, ...]:
        """The sides of the new domain that are adapted to; without labels, there is no test, and so all."""
        return ADAPTING if self.labels else sample_list.SPLIT_NAMES

    def paths(self) -> list[str]:
        """Return the items of the new domain that are adapted to, side by side."""
        return [path for side in self.adapting for path in self.target.paths(side)]

    def few(self, shots: int, new_labels: pathlib.Path | None, seed: int) -> dict[int, int]:
        """Return the adapting items whose label is known, place in `paths` → class index.

        Args:
            shots: this many of each class are drawn, as if someone had labelled them; 0 for none.
            new_labels: a CSV with the columns path and label, which is used instead.
            seed: seed of the draw.

        Raises:
            UserError: the CSV lists an item that is not in the new domain, or an unknown class.
        """
        place = {path: number for number, path in enumerate(self.paths())}
        known = self._listed(new_labels) if new_labels else self._drawn(shots, seed)
        index = {name: number for number, name in enumerate(self.source.class_names)}
        tested = [path for path in known if path not in place]
        if tested:
            told = f"{words.plural(len(tested), self.target.medium.unit)} of --new-labels"
            told += " is" if len(tested) == 1 else " are"
            print(f"data: {told} in the test half of {self.name}, and so not used", file=sys.stderr)
        return {place[path]: index[label] for path, label in known.items() if path in place}

    def every(self) -> dict[int, int]:
        """Return all adapting items whose label the folders tell, place in `paths` → class index."""
        names = self.source.class_names
        return {place: names.index(self.labels[path]) for place, path in enumerate(self.paths()) if path in self.labels}

    def _drawn(self, shots: int, seed: int) -> dict[str, str]:
        if not self.labels:
            return {}
        paths = [path for path in self.paths() if path in self.labels]
        order = np.random.default_rng(seed).permutation(len(paths))
        counts: collections.Counter = collections.Counter()
        found = {}
        for path in (paths[number] for number in order):
            counts[self.labels[path]] += 1
            if counts[self.labels[path]] <= shots:
                found[path] = self.labels[path]
        return found

    def _listed(self, path: pathlib.Path) -> dict[str, str]:
        samples = names.matched(listings.read(path, self.target.medium), self.source.class_names)
        here = {each for side in sample_list.SPLIT_NAMES for each in self.target.paths(side)}
        for sample in samples:
            if sample.path not in here:
                unit = self.target.medium.unit
                raise errors.UserError(f"--new-labels {path}: {sample.path} is not among the {unit}s of --new-domain")
        check_classes(samples, self.source.class_names, f"--new-labels {path}", self.target.medium.unit)
        return {sample.path: sample.label for sample in samples}

    def joined(self, test: Samples) -> Kind:
        """Return the splits of the source with other test items, and what is known of the files of both domains."""
        quality = {name: fact for name, fact in self.source.quality.items() if name != "different_pictures"}
        return dataclasses.replace(
            self.source,
            test=test,
            content_of=self.source.content_of | self.target.content_of,
            properties=self.source.properties | self.target.properties,
            quality=quality,  # the number of different pictures is that of the source alone
        )

    def together(self) -> Kind:
        """Return the splits of the source with all items of the new domain among its test items, for a plan."""
        theirs = [one for side in sample_list.SPLIT_NAMES for one in getattr(self.target, side)]
        return self.joined([*self.source.test, *theirs])

    def judged(self) -> Kind:
        """Return the source's training and validation items, with the new domain's test items and their labels.

        Without labels, the test items are the source's own.
        """
        test = [dataclasses.replace(one, label=self.labels[one.path]) for one in self.target.test if self.labels]
        return self.joined(test or self.source.test)

    def write(self, path: pathlib.Path) -> None:
        """Write the split.csv of a finished run: both domains, the adapting items among those it has learnt from.

        The source's own test items are left out, unless they are the test.
        """
        rows = self.judged()
        listed = [(one, "source") for one in (*rows.train, *rows.validation)]
        listed += [(one, self.name) if self.labels else (one, "source") for one in rows.test]
        for side in self.adapting:
            for one in getattr(self.target, side):
                known = dataclasses.replace(one, label=self.labels.get(one.path, HIDDEN), split="train")
                listed.append((known, self.name))
        sample_list.write_csv(
            path, [dataclasses.replace(one, about=one.about | {COLUMN: domain}) for one, domain in listed]
        )


# What readers share ------------------------------------------------------------------------------------------------


def put_aside(
    samples: Samples, class_names: tuple[str, ...], new_domain: str, unit: str
) -> tuple[dict[str, str], Samples]:
    """Return the labels of a new domain, path → class, and its samples without them and without sides.

    Args:
        samples: all of the new domain; the label of one that has none is `HIDDEN`.
        class_names: the classes of the source.
        new_domain: the value of `--new-domain`.
        unit: the name of one item in messages.

    Raises:
        UserError: only some samples have a label, or the source lacks a class.
    """
    samples = names.matched(samples, class_names)
    labelled = [one for one in samples if one.label != HIDDEN]
    if labelled and len(labelled) < len(samples):
        raise errors.UserError(
            f"--new-domain {new_domain}: {len(samples) - len(labelled)} of {len(samples)} {unit}s have no label "
            f"({HIDDEN}); give all of them a class or none, and the labels of a few by --new-labels"
        )
    check_classes(labelled, class_names, f"--new-domain {new_domain}", unit)
    known = {one.path: one.label for one in labelled}
    return known, [dataclasses.replace(one, label=HIDDEN, split="", about={}) for one in samples]


def made(folder: pathlib.Path) -> pathlib.Path:
    """Make a folder if it is not there, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_classes(samples: Samples, class_names: tuple[str, ...], given: str, unit: str) -> None:
    """Refuse samples of classes that the source lacks; `given` is their flag and its value."""
    unknown = sorted({one.label for one in samples} - set(class_names))
    if unknown:
        how = f"Remove these {unit}s, or, if the folders are no classes, put all {unit}s into one"
        how = "Correct or remove these rows" if given.startswith("--new-labels") else how
        raise errors.UserError(
            f"{given}: the source has no class {words.listed([repr(name) for name in unknown[:5]])}; it has "
            f"{', '.join(class_names)}. {how}"
        )


def check_apart(source: splits.Splits, target: splits.Splits, new_domain: str) -> None:
    """Refuse a new domain that has a file of the source."""
    there = {content: path for path, content in target.content_of.items()}
    for path, content in source.content_of.items():
        if content in there:
            raise errors.UserError(
                f"--new-domain {new_domain}: {there[content]} is the same file as {path} of the source; remove one"
            )
