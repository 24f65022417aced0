"""From `--data` to splits that cannot leak, in one call."""

import dataclasses
import pathlib
import sys

from common.data import file_checks, sample_list, sources, splits
from common.media import photos

FEW_TO_CHOOSE_BY = 15  # validation photos; of 15 one more right is 7 points


def load(
    config,
    directory: pathlib.Path,
    samples: list[sample_list.Sample] | None = None,
    problems=(),
    by_group: bool = False,
    kind=photos,
) -> splits.Splits:
    """Reads the source, scans every file, splits, checks and writes `split.csv` into `directory`.

    A `split.csv` that is there already (a resumed run) is used as it stands.

    Args:
        config: a `common.training.settings.PhotoConfig`.
        directory: the run directory; `skipped.csv` is written there too where photos are left out.
        samples: the photos, where the recipe has read `config.data` itself.
        problems: `file_checks.Problem`s that the recipe has found then, to be treated like those of the scan.
        by_group: the fractions are those of the groups of each class, not of its photos.
        kind: the module that reads a file, `photos` or `clips`.

    Raises:
        UserError: nothing usable at `--data`, unusable photos without `--skip-bad`, or a leak.
    """
    split_csv = directory / "split.csv"
    resumed = split_csv.is_file()
    skipped_csv = directory / "skipped.csv"
    if resumed:
        samples, problems = sample_list.read_csv(split_csv), file_checks.read_problems(skipped_csv)
    elif samples is None:
        samples = sources.read_source(config.data, config.cache_directory)
    cache = None if config.no_cache else config.cache_directory
    facts = file_checks.scan([sample.path for sample in samples], cache, kind=kind)
    if resumed:  # those that were left out are; one more would change what the first epochs were trained on
        usable = file_checks.apply(samples, facts, kind=kind)
    else:
        usable = file_checks.apply(samples, facts, config.skip_bad, skipped_csv, known=problems, kind=kind)
    total = len(samples) + len(problems)
    left_out = total - len(usable)
    if left_out:
        print(f"data: {left_out} of {total} {kind.NAME}s left out, see {skipped_csv}", file=sys.stderr)
    contents = {path: fact.sha256 for path, fact in facts.items()}
    if not resumed:
        seed = config.seed if config.split_seed is None else config.split_seed
        fractions = splits.DEMO_FRACTIONS if config.data == "demo" else splits.DEFAULT_FRACTIONS
        usable = splits.split(
            usable, splits.units_of(usable, contents), seed, config.validation_fraction or fractions["validation"],
            config.test_fraction or fractions["test"], by_group,
        )  # fmt: skip
    splits.check_leaks(usable, contents)
    if not resumed:
        sample_list.write_csv(split_csv, usable)
    quality = file_checks.summarise(facts) | {"skipped": left_out}
    sides = {name: [sample for sample in usable if sample.split == name] for name in sample_list.SPLIT_NAMES}
    if len(sides["validation"]) < FEW_TO_CHOOSE_BY:
        print(
            f"data: only {len(sides['validation'])} {kind.NAME}s validate; what is chosen by so few is mostly chance: "
            "raise --validation-fraction",
            file=sys.stderr,
        )
    return splits.Splits(
        config.data, tuple(sorted({sample.label for sample in usable})), **sides, quality=quality, content_of=contents
    )


def splits_of_seeds(config, seeds: int, fractions, folder: pathlib.Path) -> dict[tuple[int, float], pathlib.Path]:
    """Splits the samples once for each seed and thins out the training side: what the trials of a comparison read.

    Args:
        config: of a recipe; its `seed` is the first.
        seeds: how many.
        fractions: of the training side, above 0 and up to 1; each holds the smaller ones.
        folder: where the splits are written; those that are there stay.

    Returns:
        (seed, fraction) → a CSV with the samples of every side.
    """
    found = {}
    for seed in range(config.seed, config.seed + seeds):
        place = folder / f"seed{seed}"
        place.mkdir(parents=True, exist_ok=True)
        whole = load(dataclasses.replace(config, seed=seed), place)
        for fraction in sorted(fractions, reverse=True):
            path = place / (f"{fraction:g}.csv" if fraction < 1 else "split.csv")
            if fraction < 1 and not path.is_file():
                sample_list.write_csv(path, splits.part_of_training(whole, fraction, seed))
            found[seed, fraction] = path
    return found
