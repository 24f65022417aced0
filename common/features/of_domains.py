"""The pooled features of a source domain and of a new one, by one frozen network, from the cache that runs use."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from common.data import domains as data_domains
from common.data import sample_list
from common.features import frozen_prefix
from common.models import backbones, domain_heads, penultimate


@dataclasses.dataclass(frozen=True)
class Features(domain_heads.Features):
    """The pooled features of both domains' photos.

    Attributes:
        prefixes: the `FrozenPrefix`es that computed them, of the source and of the new domain.
    """

    prefixes: tuple[frozen_prefix.FrozenPrefix, frozen_prefix.FrozenPrefix]


def compute(domains: data_domains.Domains, model: keras.Model, backbone: backbones.Backbone, config: Any) -> Features:
    """Compute the features of both domains that are not in the cache yet.

    Args:
        model: a classifier on the frozen network with a layer `pooled`.
        config: a `settings.PhotoConfig`.

    Raises:
        UserError: the cache cannot be written, or would be too large.
    """
    at = [model.get_layer("pooled").output]
    ours, theirs = (
        frozen_prefix.FrozenPrefix(model, backbone, each, config, at=at) for each in (domains.source, domains.target)
    )
    source = {side: ours.features(side)[0].astype("float32") for side in sample_list.SPLIT_NAMES}
    new = {side: theirs.features(side)[0].astype("float32") for side in sample_list.SPLIT_NAMES}
    adapting = np.concatenate([new[side] for side in domains.adapting])
    test = new["test"] if domains.labels else new["test"][:0]
    return Features(domains, source, adapting, test, (ours, theirs))


class ForTarget:
    """The part that `Recorder.finish` evaluates and saves: a model for the new domain, after its training.

    Its splits are `Domains.judged`, and what it calls familiar are the photos of the new domain that it adapted to.
    """

    def __init__(self, features: Features, model: keras.Model, backbone: backbones.Backbone, config: Any) -> None:
        """Open the cached features for a model.

        Args:
            model: the adapted classifier, with a layer `pooled`; nothing of it is trained any more.
        """
        at = [model.get_layer("pooled").output]
        self.features, self.model, self.backbone = features, model, backbone
        self.splits = features.domains.judged()
        self.frozen = frozen_prefix.FrozenPrefix(model, backbone, self.splits, config, at=at)
        self.seconds = sum(part.seconds for part in features.prefixes)
        self.cache_bytes = sum(part.cache_bytes for part in features.prefixes)
        self.body = penultimate.features(model, at)

    def before_last(self, split: str) -> np.ndarray:
        """Return what the last layer sees: of photos of the new domain, a quarter of them for validation."""
        rows, quarter = self.features.adapting, max(1, len(self.features.adapting) // 4)
        sides = {"train": rows[quarter:], "validation": rows[:quarter], "test": self.features.test}
        chosen = sides[split] if len(sides[split]) else rows[:quarter]
        return self.body.predict(chosen, verbose=0)
