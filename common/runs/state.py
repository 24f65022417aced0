"""What a run keeps, so that another run goes on from it later: arrays and facts in one file, `state/state.npz`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import errors, files
from common.runs import finished_run

NAME = pathlib.PurePath("state", "state.npz")
_ABOUT = "about"


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """What is kept; it does not change, `with_arrays` and `dataclasses.replace` return another one.

    Attributes:
        about: facts for JSON. `fingerprint` is that of the network whose features the arrays are made of.
        arrays: name → numbers or text. The arrays of a list have the names `<list>.0`, `<list>.1`, …
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def listed(self, name: str) -> list[np.ndarray]:
        """Return the arrays of a list, in order; an empty list if there is none."""
        count = sum(key.rpartition(".")[0] == name for key in self.arrays)
        return [self.arrays[f"{name}.{number}"] for number in range(count)]

    def with_arrays(self, about: dict[str, Any] | None = None, /, **changed: Any) -> State:
        """Return the state with changed facts, and with other arrays or lists of arrays in place of those so named."""
        arrays = {key: value for key, value in self.arrays.items() if key.rpartition(".")[0] not in changed}
        for name, value in changed.items():
            if isinstance(value, list):
                arrays |= {f"{name}.{number}": np.asarray(each) for number, each in enumerate(value)}
            else:
                arrays[name] = np.asarray(value)
        return State(self.about | (about or {}), arrays)

    def size(self, but: Sequence[str] = ()) -> int:
        """Return the bytes of the arrays, but those whose names begin with one of some words."""
        return sum(value.nbytes for key, value in self.arrays.items() if not key.startswith(tuple(but)))

    def save(self, run: pathlib.Path) -> None:
        """Write the state into a run directory; an incomplete one never replaces a complete one."""
        (run / NAME).parent.mkdir(exist_ok=True)
        with files.replacing(run / NAME) as temporary, open(temporary, "wb") as file:
            arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(self.about, ensure_ascii=False))} | self.arrays
            np.savez(file, **arrays)

    @classmethod
    def load(cls, run: pathlib.Path) -> State | None:
        """Read the state in a run directory; None if there is none.

        Raises:
            UserError: the file is damaged.
        """
        if not (run / NAME).is_file():
            return None
        with finished_run.sound(run), np.load(run / NAME, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files if key != _ABOUT}
            return cls(json.loads(str(stored[_ABOUT])), arrays)

    def check(self, fingerprint: str, flag: str) -> None:
        """Refuse a state of the features of another network.

        Args:
            fingerprint: that of this run's network.
            flag: the flag that named the state, with its value.

        Raises:
            UserError: they differ.
        """
        if self.about.get("fingerprint") != fingerprint:
            raise errors.UserError(
                f"{flag}: its state belongs to other weights or another cut of the network than this run's; give the "
                "same --backbone, --weights, --image-size, --last-layer and --unfreeze-from, or none of them"
            )
