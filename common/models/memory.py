"""Memory for a network at an image size and a batch size, estimated before anything is computed."""

import math
import pathlib
import re
from typing import Any

import keras

from common import errors, words
from common.models import cut

NUMBER_BYTES = 4
COPIES = 4  # of a weight that trains: itself, its gradient and Adam's two moments
# Under a limit for a container, as Linux's control groups of versions 2 and 1 tell it.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def of_a_batch(model: keras.Model, items: int, frames: int = 1) -> int:
    """Return the least memory in bytes that a batch takes on its way through a network.

    It is the most that the input and the output of one layer take together; a training takes more.

    Args:
        model: the network.
        items: the number of items of a batch.
        frames: the number of frames of an item that go through a network for photos.
    """
    sizes = [_size(model.inputs)]
    for layer in model.layers:
        try:
            sizes.append(_size(layer.input) + _size(layer.output))
        except (AttributeError, ValueError):  # a layer that is called several times has no single input
            continue
    return NUMBER_BYTES * max(sizes) * items * frames


def _size(tensors: Any) -> int:
    """Return how many numbers tensors hold for one item; sizes that are not fixed count as 1."""
    return sum(math.prod(side or 1 for side in tensor.shape[1:]) for tensor in cut.flat(tensors))


def available() -> int | None:
    """Return the bytes that this process may still use, None where the system does not tell."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
        free = 1024 * int(found[1]) if found else None
        for path in map(pathlib.Path, LIMITS):
            if path.is_file() and (limit := path.read_text().strip()).isdigit():
                free = min(free or int(limit), int(limit))
        return free
    except (OSError, ValueError):
        return None


def check(needed: int, advice: str) -> None:
    """Refuse what takes more memory than there is.

    Raises:
        UserError: with both numbers; the advice says what to change.
    """
    free = available()
    if free is not None and needed > free:
        raise errors.UserError(
            f"about {words.size(needed)} of memory are needed, but only {words.size(free)} are free; {advice}"
        )
