"""The features of any photos by a network, pooled over their places, from the cache that runs use."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from common.data import sample_list, splits, targets
from common.features import frozen_prefix
from common.media import medium as media
from common.models import backbones, freezing


def of_files(
    backbone: backbones.Backbone, medium: media.Medium, paths: Sequence[str], contents: dict[str, str],
    config: Any,
) -> np.ndarray:  # fmt: skip
    """Return the features of files, float32 (n, channels): the means of the network's last feature map.

    They are those that `linear_probe` fits a classifier on, so a run on the same photos has them in the cache.

    Args:
        backbone: the network.
        medium: what the files are.
        paths: the files.
        contents: path → the hash of the file's content.
        config: a `settings.PhotoConfig` with the settings of the cache, and the batch size.

    Raises:
        UserError: the cache cannot be written, or a file is no longer what was scanned.
    """
    samples = [sample_list.Sample(path, "", split="test") for path in paths]
    items = splits.Splits.of("", medium, targets.CLASSES, samples, {}, contents)
    freezing.freeze(backbone.model)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
    # The frontier is where something trains, so something has to.
    model = keras.Model(backbone.model.input, keras.layers.Dense(1)(pooled))
    prefix = frozen_prefix.FrozenPrefix(model, backbone, items, config)
    return prefix.features("test")[0].astype("float32")
