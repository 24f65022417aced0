"""A source domain with labels, and a new domain whose labels nothing may read before the test.

The labels of the new domain are put aside before its photos are split, scanned or adapted to. They come back in
`Domains.judged`, for the test, and in `Domains.few`, for the photos that someone has labelled.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np

from common import errors, files, words
from common.data import dataset, group_pattern, listings, names, sample_list, sources, splits, tables, targets
from common.demo import drawn_styles
from common.media import folders
from common.media import medium as media

ADAPTING = ("train", "validation")  # the sides of the new domain that are adapted to; the rest is the test
FRACTIONS = {"validation_fraction": 0.25, "test_fraction": 0.5}  # of the new domain: half adapts, half tests
SOURCE_FRACTIONS = {"validation_fraction": 0.15, "test_fraction": 0.15}
COLUMN = "domain"
DEMO_STYLE = "fog"
HIDDEN = "unlabelled"  # stands for the label of every photo of the new domain in its split.csv

Samples = list[sample_list.Sample]


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
class Domains:
    """A source domain and a new one.

    Attributes:
        name: the name of the new domain.
        source: the splits of the source, with its labels.
        target: the splits of the new domain, without labels.
        labels: path → class of the new domain's photos; empty if it has none.
    """

    name: str
    source: splits.Splits
    target: splits.Splits
    labels: dict[str, str] = dataclasses.field(repr=False)

    @property
    def adapting(self) -> tuple[str, ...]:
        """The sides of the new domain that are adapted to; without labels, there is no test, and so all."""
        return ADAPTING if self.labels else sample_list.SPLIT_NAMES

    def paths(self) -> list[str]:
        """Return the photos of the new domain that are adapted to, side by side."""
        return [path for side in self.adapting for path in self.target.paths(side)]

    def few(self, shots: int, new_labels: pathlib.Path | None, seed: int) -> dict[int, int]:
        """Return the adapting photos whose label is known, place in `paths` → class index.

        Args:
            shots: this many of each class are drawn, as if someone had labelled them; 0 for none.
            new_labels: a CSV with the columns path and label, which is used instead.
            seed: seed of the draw.

        Raises:
            UserError: the CSV lists a photo that is not in the new domain, or an unknown class.
        """
        place = {path: number for number, path in enumerate(self.paths())}
        known = self._listed(new_labels) if new_labels else self._drawn(shots, seed)
        index = {name: number for number, name in enumerate(self.source.class_names)}
        tested = [path for path in known if path not in place]
        if tested:
            told = f"{words.plural(len(tested), 'photo')} of --new-labels {'is' if len(tested) == 1 else 'are'}"
            print(f"data: {told} in the test half of {self.name}, and so not used", file=sys.stderr)
        return {place[path]: index[label] for path, label in known.items() if path in place}

    def every(self) -> dict[int, int]:
        """Return all adapting photos whose label the folders tell, place in `paths` → class index."""
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
                raise errors.UserError(f"--new-labels {path}: {sample.path} is not among the photos of --new-domain")
        _check_classes(samples, self.source.class_names, f"--new-labels {path}")
        return {sample.path: sample.label for sample in samples}

    def together(self) -> splits.Splits:
        """Return the splits of the source with all photos of the new domain among its test photos, for a plan."""
        theirs = [one for side in sample_list.SPLIT_NAMES for one in getattr(self.target, side)]
        contents = self.source.content_of | self.target.content_of
        return dataclasses.replace(self.source, test=[*self.source.test, *theirs], content_of=contents)

    def judged(self) -> splits.Splits:
        """Return the source's training and validation photos, with the new domain's test photos and their labels.

        Without labels, the test photos are the source's own.
        """
        test = [dataclasses.replace(one, label=self.labels[one.path]) for one in self.target.test if self.labels]
        return dataclasses.replace(
            self.source,
            test=test or self.source.test,
            content_of=self.source.content_of | self.target.content_of,
            properties=self.source.properties | self.target.properties,
        )

    def write(self, path: pathlib.Path) -> None:
        """Write the split.csv of a finished run: both domains, the adapting photos among those it has learnt from.

        The source's own test photos are left out, unless they are the test.
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


def demo(config: Any) -> str:
    """Return the folder of the demo's photos in another style, which are drawn at the first call.

    Raises:
        UserError: `--new-domain` is not one of the styles.
    """
    style = config.new_domain[0] if config.new_domain else DEMO_STYLE
    if style not in drawn_styles.STYLES:
        raise errors.UserError(f"--new-domain {style}: the demo's styles are {', '.join(drawn_styles.STYLES)}")
    parent = config.cache_directory / "demo_styles"
    return str(
        sources.drawn_folder(parent, drawn_styles, lambda folder: drawn_styles.write_photos(folder / style, style))
    )


# Reading ---------------------------------------------------------------------------------------------------------


def load(config: Any, directory: pathlib.Path, medium: media.Medium, new_domain: str, seed: int) -> Domains:
    """Read the source and one new domain, split each by itself, and put the new domain's labels aside.

    Args:
        config: a `settings.PhotoConfig`.
        directory: `source/` and `target/` are written into it, each as `dataset.load` does.
        medium: the medium of the items.
        new_domain: a folder, a CSV, or a value of the column `domain` if `--data` is a CSV with it.
        seed: the seed of both splits.

    Raises:
        UserError: as for `dataset.load`; the new domain has a class that the source lacks, or a file of the source.
    """
    ours, theirs = _divided(config, medium, new_domain)
    settings = dataclasses.replace(config, split_seed=seed)
    if config.data == "demo":  # the few training photos of the other recipes' demo are not the point here
        of_the_demo = {name: getattr(config, name) or share for name, share in SOURCE_FRACTIONS.items()}
        settings = dataclasses.replace(settings, **of_the_demo)
    source = dataset.load(settings, _made(directory / "source"), medium, samples=ours)
    if theirs is None:
        theirs = read_new(pathlib.Path(new_domain).expanduser(), config, medium)
    theirs = names.matched(theirs, source.class_names)
    labelled = [one for one in theirs if one.label != HIDDEN]
    if labelled and len(labelled) < len(theirs):
        raise errors.UserError(
            f"--new-domain {new_domain}: {len(theirs) - len(labelled)} of {len(theirs)} {medium.unit}s have no label "
            f"({HIDDEN}); give all of them a class or none, and the labels of a few by --new-labels"
        )
    _check_classes(labelled, source.class_names, f"--new-domain {new_domain}")
    known = {one.path: one.label for one in labelled}
    hidden = [dataclasses.replace(one, label=HIDDEN, split="", about={}) for one in theirs]
    theirs_settings = dataclasses.replace(settings, data=new_domain, **FRACTIONS)
    target = dataset.load(theirs_settings, _made(directory / "target"), medium, Unlabelled(), samples=hidden)
    _check_apart(source, target, new_domain)
    return Domains(pathlib.Path(new_domain).name, source, target, known)


def check(config: Any, medium: media.Medium, new_domain: str) -> None:
    """Refuse a new domain that is not there, or that has classes of its own, before any file is decoded.

    Raises:
        UserError: as for `load`.
    """
    ours, theirs = _divided(config, medium, new_domain)
    if ours is None:
        ours = sources.read_source(config.data, config.cache_directory, medium, config.skip_unsupported)
    if theirs is None:
        theirs = read_new(pathlib.Path(new_domain).expanduser(), config, medium)
    class_names = tuple(sorted({one.label for one in ours}))
    labelled = [one for one in names.matched(theirs, class_names) if one.label != HIDDEN]
    _check_classes(labelled, class_names, f"--new-domain {new_domain}")


def _made(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _divided(config: Any, medium: media.Medium, new_domain: str) -> tuple[Samples | None, Samples | None]:
    """Return the samples of the source and of the new domain, if they are rows of one CSV; else None, None."""
    data = pathlib.Path(config.data).expanduser()
    if not (data.is_file() and data.suffix.lower() in tables.ENDINGS) or pathlib.Path(new_domain).exists():
        return None, None
    samples = listings.read(data, medium)
    values = sorted({one.about.get(COLUMN, "") for one in samples})
    if new_domain not in values:
        told = f"it has {words.listed(values)}" if any(values) else "it has no such column"
        raise errors.UserError(
            f"--new-domain {new_domain}: neither a folder nor a value of the column {COLUMN} of {data}; {told}"
        )
    theirs = [one for one in samples if one.about[COLUMN] == new_domain]
    return [one for one in samples if one.about[COLUMN] != new_domain], theirs


def read_new(path: pathlib.Path, config: Any, medium: media.Medium) -> Samples:
    """Read the photos of a new domain: class folders, a CSV, or a folder with photos and no classes.

    Raises:
        UserError: there are no photos.
    """
    if not path.exists():
        raise errors.UserError(f"--new-domain {path}: no such file or folder")
    if path.is_file():
        samples = listings.read(path, medium)
    else:
        samples = listings.in_folder(path, medium) or _loose(path, medium)
        samples = samples or sources.read_folder(path, medium, (), config.skip_unsupported, least_classes=1)
    if config.group_pattern is not None:
        samples = group_pattern.with_groups(samples, config.group_pattern, medium.title, medium.unit)
    return samples


def _loose(path: pathlib.Path, medium: media.Medium) -> Samples:
    """Return the photos directly in a folder, if none is in a sub-folder."""
    walk = folders.Walk(files.absolute(path))
    inside, beside = walk.listed(walk.root)
    found = [each for each in beside if medium.is_item(each)]
    if not found or any(medium.find(each, walk) for each in inside):
        return []
    print(f"data: {path} has no class folders, so its {medium.unit}s have no labels and there is no test",
          file=sys.stderr)  # fmt: skip
    return [sample_list.Sample(str(each), HIDDEN) for each in found]


def _check_classes(samples: Samples, class_names: tuple[str, ...], given: str) -> None:
    unknown = sorted({one.label for one in samples} - set(class_names))
    if unknown:
        raise errors.UserError(
            f"{given}: the source has no class {words.listed([repr(name) for name in unknown[:5]])}; it has "
            f"{', '.join(class_names)}. Remove these photos, or, if the folders are no classes, put all photos into one"
        )


def _check_apart(source: splits.Splits, target: splits.Splits, new_domain: str) -> None:
    """Refuse a new domain that has a file of the source."""
    there = {content: path for path, content in target.content_of.items()}
    for path, content in source.content_of.items():
        if content in there:
            raise errors.UserError(
                f"--new-domain {new_domain}: {there[content]} is the same file as {path} of the source; remove one"
            )
