"""Reading `--data` into splits without leaks, in one call."""

import dataclasses
import functools
import pathlib
import re
import sys
from collections.abc import Callable, Collection
from typing import Any

from common import errors, words
from common.data import (
    duplicates,
    file_checks,
    group_pattern,
    name_families,
    name_series,
    names,
    picture_checks,
    picture_features,
    sample_list,
    sources,
    splits,
    unchanged,
)
from common.data import targets as kinds
from common.media import medium as media

# Words for left and right in the names of classes.
SIDES = re.compile(
    r"(?<![a-z])(left|right|links|rechts|gauche|droite|izquierda|derecha|(anti)?clockwise)(?![a-z])", re.I
)
FEW_GROUPS = 5  # on one side
FEW_TO_CHOOSE_BY = 15  # validation photos; with 15, one more correct answer is 7 points


def load(
    config: Any, directory: pathlib.Path, medium: media.Medium, targets: kinds.Targets = kinds.CLASSES,
    samples: list[sample_list.Sample] | None = None, problems: Collection[file_checks.Problem] = (),
    by_group: bool = False, stratify: Callable | None = None,
) -> splits.Splits:  # fmt: skip
    """Read the source, scan every file, split and check the items, and write `split.csv` into `directory`.

    An existing `split.csv` (a resumed run) is used unchanged.

    Args:
        config: a `common.training.settings.PhotoConfig`.
        directory: the run directory; `skipped.csv` is also written there if items are left out, unless it is a dry
            run.
        medium: the medium of the items.
        targets: what is learnt from the items.
        samples: the items, if the recipe has read `config.data` itself.
        problems: problems that the recipe found while reading; they are treated like those of the scan.
        by_group: the fractions count the groups of each class, not its items.
        stratify: a function of the samples and their units that returns the strata; default: those of the targets.

    Raises:
        UserError: nothing usable at `--data`, unusable items without `--skip-bad`, names that only look alike without
            `--same-names`, a leak, given splits that lack a class, or files that are not the ones that a CSV lists by
            their hash.
    """
    split_csv, skipped_csv = directory / "split.csv", None if config.dry_run else directory / "skipped.csv"
    resumed = split_csv.is_file()
    if resumed:
        samples = sample_list.read_csv(split_csv)
        _check_complete(samples, split_csv)
        problems = file_checks.read_problems(directory / "skipped.csv")
    elif samples is None:
        samples = sources.read_source(config.data, config.cache_directory, medium, config.skip_unsupported)
        if config.group_pattern is not None:
            samples = group_pattern.with_groups(samples, config.group_pattern, medium.title, medium.unit)
            group_pattern.say(samples, medium.unit)
        samples = name_series.with_groups(samples, medium.title, medium.unit)
    if not resumed:
        samples = _named(samples, config, medium, targets)
        names.say_odd_groups(samples, medium.unit)
    if not targets.enough(samples):
        raise errors.UserError(f"--data {config.data}: {targets.needed}")
    cache = None if config.no_cache else config.cache_directory
    facts = file_checks.scan([sample.path for sample in samples], medium, cache)
    contents = {path: fact.sha256 for path, fact in facts.items()}
    listed_in = str(split_csv) if resumed else f"--data {config.data}"
    unchanged.check(samples, contents, medium.unit, listed_in, resumed)
    judge = functools.partial(file_checks.apply, samples, facts, unit=medium.unit, targets=targets)
    # A resumed run keeps the items that it left out; another one would change the data of the first epochs.
    usable = judge(advice=file_checks.RESUMED) if resumed else judge(config.skip_bad, skipped_csv, known=problems)
    total = len(samples) + len(problems)
    left_out = total - len(usable)
    if left_out:
        listed = "as listed above" if config.dry_run else "listed in skipped.csv of the run"
        bad = [*problems, *file_checks.find_problems(samples, facts, unit=medium.unit, targets=targets)]
        which = f" ({file_checks.kinds_of(bad)})" if bad else ""
        print(f"data: {left_out} of {total} {medium.unit}s left out{which}, {listed}", file=sys.stderr)
    families = name_families.find(usable, medium.title)
    pairs = duplicates.find(usable, facts, families)
    if not resumed:
        usable = name_families.with_groups(usable, families)
    units = splits.units_of(usable, contents, duplicates.joined(pairs))
    if config.find_near_duplicates or config.keep_near_duplicates_together:
        similar = picture_features.pairs(usable, units, contents, medium, cache)
        if not config.keep_near_duplicates_together:
            similar = [dataclasses.replace(pair, together=False) for pair in similar]
        pairs += similar
        units = splits.units_of(usable, contents, duplicates.joined(pairs))
    if not resumed:
        given = splits.DEMO_FRACTIONS if config.data == "demo" else splits.DEFAULT_FRACTIONS
        strata = stratify(usable, units) if stratify else targets.strata
        fractions = splits.fractions_of(config, given)
        usable = splits.split(usable, units, splits.seed_of(config), *fractions, by_group, strata)
    usable = unchanged.with_contents(usable, contents)
    splits.check_leaks(usable, contents)
    splits.check_classes(usable, targets.strata)
    if not resumed:
        sample_list.write_csv(split_csv, usable)
    duplicates.say(usable, pairs, families, medium.unit)
    duplicates.write(directory / "duplicates.csv", usable, pairs)
    medium = medium.fitted([facts[sample.path] for sample in usable])
    if medium.remark:
        print(f"data: {medium.remark}", file=sys.stderr)
    quality = file_checks.summarise(facts) | {"skipped": left_out} | duplicates.counts(usable, pairs, families)
    quality |= picture_checks.check(usable, facts, medium.unit, targets.strata)
    properties = {sample.path: medium.properties(facts[sample.path]) for sample in usable}
    found = splits.Splits.of(config.data, medium, targets, usable, quality, contents, properties=properties)
    named = found.class_names or getattr(found.targets, "box_classes", ())
    sided = [name for name in named if SIDES.search(name)] if config.flip else []
    if sided:
        print(
            f"data: --flip mirrors left and right, and the name of class {sided[0]!r} contains a side, so a mirrored "
            "item may belong to another class; if so, remove --flip",
            file=sys.stderr,
        )
    if len(found.validation) < FEW_TO_CHOOSE_BY:
        print(
            f"data: there are only {len(found.validation)} validation {medium.unit}s, so choices based on them are "
            "mostly chance; raise --validation-fraction",
            file=sys.stderr,
        )
    _say_few_groups(found)
    return found


def _check_complete(samples: list[sample_list.Sample], split_csv: pathlib.Path) -> None:
    """Refuse a run's split.csv in which a value is missing; those of older versions have no hashes at all."""
    hashed = [unchanged.COLUMN in sample.about and bool(sample.about[unchanged.COLUMN]) for sample in samples]
    if not all(sample.split for sample in samples) or any(hashed) != all(hashed):
        raise errors.UserError(
            f"{split_csv}: a line has no split or no {unchanged.COLUMN}; put back a copy of it, or start a new run"
        )


def _say_few_groups(found: splits.Splits) -> None:
    """Print a line if so few groups are left to choose or to test by that each of them decides much."""
    for side, purpose in (("validation", "choices"), ("test", "results")):
        groups = set(found.groups(side)) - {""}
        if groups and len(groups) < FEW_GROUPS:
            print(
                f"data: there {'is' if len(groups) == 1 else 'are'} only {words.plural(len(groups), 'group')} on the "
                f"{side} side, so {purpose} based on it say little about other groups; collect more groups",
                file=sys.stderr,
            )


def _named(
    samples: list[sample_list.Sample], config: Any, medium: media.Medium, targets: kinds.Targets
) -> list[sample_list.Sample]:
    """Return the samples with one spelling of each name; print a line for labels that may be no classes."""
    are_classes = isinstance(targets, kinds.Classes)
    samples = names.settled(samples, config.same_names, are_classes)
    if are_classes:
        names.say_odd_labels(samples, medium.unit)
    return samples
