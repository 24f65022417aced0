"""The pooled features of photos at several cuts of one network, from one pass and the cache that runs use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from common.data import splits as data_splits
from common.features import frozen_prefix
from common.models import backbones, freezing


class SeveralCuts:
    """The means of a network's feature maps after each of several layers, in the cache.

    A probe or a head on the network that `--last-layer` cuts off after the same layer finds its features there.

    Attributes:
        seconds: time spent on computing features; 0 if all were in the cache.
    """

    def __init__(
        self, backbone: backbones.Backbone, layers: Sequence[str], splits: data_splits.Splits, config: Any
    ) -> None:
        """Compute the features that are not in the cache yet.

        Args:
            backbone: the network.
            layers: names of its layers, each with a feature map as its output.
            splits: the items; they are not augmented.
            config: a `settings.PhotoConfig` with the settings of the cache; it must use one.

        Raises:
            UserError: as for `frozen_prefix.FrozenPrefix`.
        """
        freezing.freeze(backbone.model)
        models = {layer: _with_head(backbone.model, layer) for layer in layers}
        arguments = backbone, splits, config
        empty = [frozen_prefix.FrozenPrefix(model, *arguments, fill=False) for model in models.values()]
        self.seconds = frozen_prefix.fill_together(empty) if any(each.missing for each in empty) else 0.0
        self._prefixes = {layer: frozen_prefix.FrozenPrefix(model, *arguments) for layer, model in models.items()}

    def features(self, layer: str, split: str) -> np.ndarray:
        """Return the features of a split's items after a layer, float32 (n, channels)."""
        return self._prefixes[layer].features(split)[0].astype("float32")


def _with_head(network: keras.Model, layer: str) -> keras.Model:
    """Return the network up to a layer, with pooling and a layer that trains: the frontier is before what trains."""
    base = network if layer == network.layers[-1].name else keras.Model(network.input, network.get_layer(layer).output)
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, keras.layers.Dense(1)(pooled))
