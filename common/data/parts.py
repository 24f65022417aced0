"""Stratification if a class has few groups, or if every domain, task or client must be on every side."""

from __future__ import annotations

import collections
from collections.abc import Callable

from common.data import sample_list, splits


def pooled(
    samples: list[sample_list.Sample], units: dict[str, str], strata: splits.Strata, host: splits.Strata
) -> splits.Strata:
    """Merge strata of fewer than three units with others, so that each side can have its share.

    Args:
        samples: the items.
        units: as `units_of` returns them.
        strata: the wanted strata.
        host: a function of a sample; only strata with the same host are merged.
    """
    members = collections.defaultdict(set)
    for sample in samples:
        if sample.split not in ("", "train"):  # the source gives its side, so it is not split
            continue
        members[host(sample), strata(sample)].add(units[sample.path])
    replaced = {}
    for (place, stratum), own in members.items():
        if len(own) < 3:
            others = [(len(found), name) for (at, name), found in members.items() if at == place and len(found) >= 3]
            replaced[place, stratum] = min(others)[1] if others else place
    return lambda sample: replaced.get((host(sample), strata(sample)), strata(sample))


def by_column(column: str, strata: splits.Strata = splits.by_label) -> Callable:
    """Stratify by each value of a column, and within it by class as far as possible.

    Args:
        column: a column of the samples' `about`, such as domain, task or client.
        strata: the wanted strata in each part.

    Returns:
        The argument `stratify` of `dataset.load`, before `Splits.parts(column)`.
    """

    def part(sample: sample_list.Sample) -> str:
        return f"{column} {splits.value_of(sample, column)}"

    return lambda samples, units: pooled(samples, units, lambda sample: f"{strata(sample)} of {part(sample)}", part)
