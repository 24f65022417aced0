"""The frozen prefix of photos with boxes: the boxes of an augmented view are moved with its pixels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.data import boxes, pipeline
from common.features import frozen_prefix
from common.media import augmentation as augmentations


class BoxPrefix(frozen_prefix.FrozenPrefix):
    """A `FrozenPrefix` whose training batches have the boxes of the view that they show; cached and uncached alike."""

    def generators(self, first_epoch: int = 0, balanced: bool = False) -> tuple:
        """Return `train_generator, val_generator, test_generator` for `suffix`; epoch e shows view e of each photo.

        Raises:
            ValueError: `balanced` is asked for; a photo has no class.
        """
        if balanced:
            raise ValueError("balanced: photos with boxes have no class")
        return self._epochs(first_epoch), self._looks("validation")[0], self._looks("test")[0]

    def views(self) -> np.ndarray:
        """Return the boxes of each view of the training photos, (views, n, most, 5), as `Boxes.array` does."""
        plain = self.splits.labels("train")
        return np.stack([self._moved(plain, look) for look in self._views("train")])

    def _moved(self, plain: np.ndarray, look: Any) -> np.ndarray:
        if not self.augmentation:
            return plain
        places = [
            augmentations.placement(self.augmentation, frozen_prefix.view_seed(self.config.seed, name))
            for name in self._row_names("train", look)
        ]
        moved = (boxes.moved(rows, at[0], at[2]) for rows, at in zip(plain, places, strict=True))
        return np.stack(list(moved))

    def _epochs(self, first: int) -> Iterator[tuple]:
        """Yield shuffled batches for ever, in an order that the seed fixes."""
        looks, targets, size = self._views("train"), self.views(), self.config.batch_size
        names = [self._row_names("train", look) for look in looks]
        readers = [self.store.reader(each) for each in names] if self.store else []
        for epoch in itertools.count(first):
            order = np.array(pipeline.epoch_order(len(targets[0]), self.config.seed, epoch))
            view = epoch % len(looks)
            parts = [order[start : start + size] for start in range(0, len(order), size)]
            inputs = map(readers[view], parts) if readers else self._photos(order, looks[view], names[view])
            for numbers, arrays in zip(parts, inputs, strict=True):
                values = tuple(np.asarray(array, "float32") for array in arrays)
                yield (values if len(values) > 1 else values[0]), targets[view][numbers]

    def _photos(self, order: np.ndarray, look: Any, names: list[str]) -> Iterator[list[np.ndarray]]:
        """Yield batches of preprocessed photos in one look, where nothing is cached."""
        paths = self.splits.paths("train")
        seeds = [frozen_prefix.view_seed(self.config.seed, names[number]) for number in order]
        batches = pipeline.look_batches(
            [paths[number] for number in order], [look] * len(order), self.backbone.resize, self.config.batch_size,
            self.backbone.preprocess, self.splits.reader, self.augmentation, seeds if self.augmentation else None,
        )  # fmt: skip
        for batch in batches:
            yield [batch.numpy()]
