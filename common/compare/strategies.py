"""The strategies of a comparison: recipes with other settings, and the ways in which `--strategies` names them."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from types import ModuleType

from common import errors, flags


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A recipe with some settings that differ from its defaults, and a description in words."""

    what: str
    recipe: ModuleType
    settings: dict = dataclasses.field(default_factory=dict)


def named(
    given: Sequence[str], strategies: Mapping[str, Strategy], elsewhere: Mapping[str, str]
) -> dict[str, Strategy]:
    """Return name → strategy for what `--strategies` lists: NAME, or NAME=STRATEGY with flags of its recipe.

    Args:
        given: the values of the flag.
        strategies: name → strategy.
        elsewhere: a name that is usual elsewhere → the name here.

    Raises:
        UserError: a name or flag is unknown or not valid, or a name is listed twice.
    """
    found: dict[str, Strategy] = {}
    for each in given:
        name, is_defined, definition = each.partition("=")
        if name in found:
            raise errors.UserError(f"--strategies: {name!r} is listed twice")
        if not name.replace("_", "").replace("-", "").isalnum():
            raise errors.UserError(f"--strategies: {name!r} is not a valid name (letters, digits, - and _)")
        base, *own = (shlex.split(definition) or [""]) if is_defined else [name]
        found[name] = _defined(definition, _known(base, strategies, elsewhere), own)
    return found


def _known(name: str, strategies: Mapping[str, Strategy], elsewhere: Mapping[str, str]) -> Strategy:
    """Return the strategy with this name."""
    if name not in strategies:
        here = elsewhere.get(name.lower().replace("-", "_"))
        hint = f"; here it is {here}" if here else flags.suggestion(name, list(strategies))
        hint = hint or f"; the strategies are {', '.join(strategies)}"
        raise errors.UserError(f"--strategies: unknown strategy {name!r}{hint}")
    return strategies[name]


def _defined(definition: str, base: Strategy, own: list[str]) -> Strategy:
    """Return a strategy with flags of its own."""
    if not own:
        return base
    try:
        changed = flags.changed(flags.parse(base.recipe.Config, own))
    except errors.UserError as error:
        raise errors.UserError(f"--strategies {definition!r}: {error}") from error
    return Strategy(f"{base.what}; {' '.join(own)}", base.recipe, base.settings | changed)
