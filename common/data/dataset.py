"""From `--data` to splits that cannot leak, in one call."""

import functools
import pathlib
import re
import sys
from collections.abc import Callable, Collection

from common import errors
from common.data import file_checks, sample_list, sources, splits
from common.data import targets as kinds
from common.media import medium as media

# Words for sides in the names of classes.
SIDES = re.compile(
    r"(?<![a-z])(left|right|links|rechts|gauche|droite|izquierda|derecha|(anti)?clockwise)(?![a-z])", re.I
)
FEW_TO_CHOOSE_BY = 15  # validation photos; of 15 one more right is 7 points


def load(
    config,
    directory: pathlib.Path,
    medium: media.Medium,
    targets: kinds.Targets = kinds.CLASSES,
    samples: list[sample_list.Sample] | None = None,
    problems: Collection[file_checks.Problem] = (),
    by_group: bool = False,
    stratify: Callable | None = None,
) -> splits.Splits:
    """Reads the source, scans every file, splits, checks and writes `split.csv` into `directory`.

    A `split.csv` that is there already (a resumed run) is used as it stands.

    Args:
        config: a `common.training.settings.PhotoConfig`.
        directory: the run directory; `skipped.csv` is written there too where items are left out.
        medium: what the items are.
        targets: what is learnt from them.
        samples: the items, where the recipe has read `config.data` itself.
        problems: what the recipe has found then, to be treated like what the scan finds.
        by_group: the fractions are those of the groups of each class, not of its items.
        stratify: of the samples and their units, gives what a sample is stratified by; default: what the targets say.

    Raises:
        UserError: nothing usable at `--data`, unusable items without `--skip-bad`, or a leak.
    """
    split_csv, skipped_csv = directory / "split.csv", directory / "skipped.csv"
    resumed = split_csv.is_file()
    if resumed:
        samples, problems = sample_list.read_csv(split_csv), file_checks.read_problems(skipped_csv)
    elif samples is None:
        samples = sources.read_source(config.data, config.cache_directory, medium)
    if not targets.enough(samples):
        raise errors.UserError(f"--data {config.data}: {targets.needed}")
    cache = None if config.no_cache else config.cache_directory
    facts = file_checks.scan([sample.path for sample in samples], medium, cache)
    judge = functools.partial(file_checks.apply, samples, facts, unit=medium.unit, targets=targets)
    # Of a resumed run those that were left out are; one more would change what the first epochs were trained on.
    usable = judge() if resumed else judge(config.skip_bad, skipped_csv, known=problems)
    total = len(samples) + len(problems)
    left_out = total - len(usable)
    if left_out:
        print(f"data: {left_out} of {total} {medium.unit}s left out, see {skipped_csv}", file=sys.stderr)
    contents = {path: fact.sha256 for path, fact in facts.items()}
    if not resumed:
        given = splits.DEMO_FRACTIONS if config.data == "demo" else splits.DEFAULT_FRACTIONS
        units = splits.units_of(usable, contents)
        strata = stratify(usable, units) if stratify else targets.strata
        fractions = splits.fractions_of(config, given)
        usable = splits.split(usable, units, splits.seed_of(config), *fractions, by_group, strata)
    splits.check_leaks(usable, contents)
    if not resumed:
        sample_list.write_csv(split_csv, usable)
    found = splits.Splits.of(
        config.data, medium, targets, usable, file_checks.summarise(facts) | {"skipped": left_out}, contents
    )
    sided = [name for name in found.class_names if SIDES.search(name)] if config.flip else []
    if sided:
        print(
            f"data: --flip mirrors left and right, and the name of class {sided[0]!r} contains a side; a "
            "mirrored item would belong to another class; leave --flip out",
            file=sys.stderr,
        )
    if len(found.validation) < FEW_TO_CHOOSE_BY:
        print(
            f"data: only {len(found.validation)} {medium.unit}s validate; what is chosen by so few is mostly chance: "
            "raise --validation-fraction",
            file=sys.stderr,
        )
    return found
