"""How to stratify where a class has few groups, or where every domain, task or client must be on every side."""

import collections
from collections.abc import Callable

from common.data import sample_list, splits


def pooled(
    samples: list[sample_list.Sample], units: dict[str, str], strata: splits.Strata, host: splits.Strata
) -> splits.Strata:
    """Strata with those of fewer than three units put together with others, so that each side can have its share.

    Args:
        samples: the items.
        units: as `units_of` makes them.
        strata: those wanted.
        host: of a sample, which strata may be put together: those whose samples it calls alike.
    """
    members = collections.defaultdict(set)
    for sample in samples:
        if sample.split not in ("", "train"):  # the source gives its side: it is not dealt out
            continue
        members[host(sample), strata(sample)].add(units[sample.path])
    replaced = {}
    for (place, stratum), own in members.items():
        if len(own) < 3:
            others = [(len(found), name) for (at, name), found in members.items() if at == place and len(found) >= 3]
            replaced[place, stratum] = min(others)[1] if others else place
    return lambda sample: replaced.get((host(sample), strata(sample)), strata(sample))


def by_column(column: str, strata: splits.Strata = splits.by_label) -> Callable:
    """How `dataset.load` gives each value of a column its share of every side, and of its classes as far as possible.

    Args:
        column: of the samples' `about`: domain, task, client.
        strata: those wanted in each part.

    Returns:
        What `dataset.load` takes as `stratify`, before `Splits.parts(column)`.
    """

    def part(sample):
        return f"{column} {splits.value_of(sample, column)}"

    return lambda samples, units: pooled(samples, units, lambda sample: f"{strata(sample)} of {part(sample)}", part)
