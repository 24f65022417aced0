"""The networks of a comparison, each with settings of its own, and the ways in which `--backbones` names them."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from annotated_types import Gt

from common import errors, flags
from common.models import backbones

NAMED = re.compile(r"([\w.:-]+)=(.+)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Own:
    """The settings that a network can have for itself; None for that of all networks."""

    weights: str | None = None
    last_layer: str | None = None
    image_size: Annotated[int, Gt(0)] | None = None
    preprocess: Literal["torch", "tf", "caffe", "none"] | None = None

    def __post_init__(self) -> None:
        flags.check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of a comparison.

    Attributes:
        name: what it is called in tables.
        backbone: as for `--backbone`.
        own: its own settings.
    """

    name: str
    backbone: str
    own: Own = Own()  # noqa: B008  (it is frozen)

    @property
    def place(self) -> str:
        """The folder of its trials."""
        return re.sub("[^0-9A-Za-z._-]", "_", self.name)

    @property
    def takes_preprocess(self) -> bool:
        """Whether it is a file whose preprocessing must be told."""
        return backbones.takes_preprocess(self.backbone)

    def __str__(self) -> str:
        """Return it as `--backbones` takes it."""
        settings = {name: value for name, value in vars(self.own).items() if value is not None}
        own = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        if self.name == self.backbone and not own:
            return self.backbone
        return f"{self.name}={shlex.join([self.backbone, *own])}"

    def settings(self, config: Any) -> dict[str, Any]:
        """Return the settings of a run with this network: its own, else those of all networks."""
        found = {name: value if value is not None else getattr(config, name) for name, value in vars(self.own).items()}
        found["weights"] = found["weights"] or backbones.default_weights(self.backbone)
        found["preprocess"] = found["preprocess"] if self.takes_preprocess else None
        return {"backbone": self.backbone} | found


def named(given: Sequence[str]) -> dict[str, Network]:
    """Return name → network for what `--backbones` lists: NETWORK, or NAME=NETWORK with flags of its own.

    Raises:
        UserError: a name or flag is not valid, or a network is listed twice.
    """
    found: dict[str, Network] = {}
    for each in given:
        network = _read(each)
        if network.place in {other.place for other in found.values()}:
            raise errors.UserError(f"--backbones must contain each network only once; {network.name} is listed twice")
        found[network.name] = network
    return found


def _read(text: str) -> Network:
    """Return the network that a text names."""
    match = NAMED.fullmatch(text)
    if not match:
        return Network(text, text)
    name, (backbone, *own) = match[1], shlex.split(match[2]) or [""]
    try:
        return Network(name, backbone, flags.parse(Own, own) if own else Own())
    except errors.UserError as error:
        raise errors.UserError(f"--backbones {text!r}: {error}") from error


def check(networks: Sequence[Network], preprocess: str | None, files: bool = False) -> None:
    """Refuse unknown names, and with `files` also what cannot be a network, and a preprocessing that none takes.

    Args:
        networks: the networks.
        preprocess: `--preprocess`, for those that need one and have none of their own.
        files: whether to look for files, which a check of settings alone does not.
    """
    for network in networks:
        if files or not backbones.is_elsewhere(network.backbone):
            shared = preprocess if files and network.takes_preprocess else None
            backbones.check_name(network.backbone, network.own.preprocess or shared)
    needed = any(network.takes_preprocess for network in networks) if files else True
    flags.check(not preprocess or needed, "preprocess", "is for a .keras file; add it to --backbones")
