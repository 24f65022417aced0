"""`--group-pattern`: the groups of items by a regular expression that is searched in the names of their files."""

import dataclasses
import re
import sys
from collections.abc import Callable, Sequence

from common import errors, words
from common.data import sample_list

EXAMPLE = r"^(patient\d+)_"


def compiled(pattern: str) -> re.Pattern:
    """Return the compiled pattern.

    Raises:
        UserError: it is not a regular expression, or has more than one pair of parentheses.
    """
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError, TypeError) as error:
        raise errors.UserError(
            f"--group-pattern '{pattern}': not a valid regular expression ({error}); a valid one is '{EXAMPLE}'"
        ) from error
    if found.groups > 1:
        raise errors.UserError(
            f"--group-pattern '{pattern}': has {found.groups} pairs of parentheses, but only one can mark the "
            "group; write the others as (?:…)"
        )
    return found


def groups(names: Sequence[str], pattern: re.Pattern) -> list[str]:
    """Return what the pattern captures in each name, or its whole match without parentheses; "" without a match."""
    matches = [pattern.search(name) for name in names]
    return [(match[pattern.groups] or "") if match else "" for match in matches]


def with_groups(
    samples: Sequence[sample_list.Sample], pattern: str, name: Callable[[str], str], unit: str, advice: str = ""
) -> list[sample_list.Sample]:
    """Assign each sample the group in its name; samples of all classes with the same match are one group.

    Args:
        samples: samples without groups.
        pattern: a regular expression; the group is what its one pair of parentheses captures, or its whole match.
        name: from a sample's path to the name to search in.
        unit: what one sample is called.
        advice: what else can be done if names have no group.

    Raises:
        UserError: some samples have groups, or the pattern is not valid or finds no group in some names.
    """
    if any(sample.group for sample in samples):
        raise errors.UserError(
            f"--group-pattern '{pattern}': the data already has groups; remove the option or the column of groups"
        )
    names = [name(sample.path) for sample in samples]
    found = groups(names, compiled(pattern))
    without = [each for each, group in zip(names, found, strict=True) if not group]
    if without:
        raise errors.UserError(
            f"--group-pattern '{pattern}': finds no group in {len(without)} of the {len(names)} {unit}s' names, such "
            f"as {without[0]!r}; give a pattern that fits all names{advice}"
        )
    return [dataclasses.replace(sample, group=group) for sample, group in zip(samples, found, strict=True)]


def say(samples: Sequence[sample_list.Sample], unit: str) -> None:
    """Print how many groups a pattern has found."""
    count = len({sample.group for sample in samples})
    print(f"data: --group-pattern finds {words.plural(count, 'group')} in {len(samples):,} {unit}s", file=sys.stderr)
