"""The frozen prefix of a language model: its first blocks run once for each window of text."""

import hashlib
import json
import pathlib
import shutil
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tqdm

from common import errors
from common.features import fingerprint as keys
from common.features import store
from common.media import windows
from common.models import language_model

CACHE_VERSION = 1  # raise it if the same prefix would be stored differently
COMPUTED_BY = ("keras", "keras-hub", "tensorflow", "numpy")  # other versions of these may compute differently

# Windows through the frozen part ----------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    """Batches of windows (inputs, targets, weights), reshuffled each epoch, or in order for evaluation.

    Args:
        read: takes row numbers, returns the list of the model's inputs.
        targets: one row or one number for each window.
        weights: as many as there are targets.
        batch_size: windows per batch.
        seed: seed of the order; None keeps the windows in their order.
        first_epoch: the number of the first epoch; an interrupted run continues in the same order.
        with_targets: add the targets as the last input, as `token_losses` needs them.
    """

    def __init__(
        self, read: Callable[[np.ndarray], list[np.ndarray]], targets: np.ndarray, weights: np.ndarray, batch_size: int,
        seed: int | None = None, first_epoch: int = 0, with_targets: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.read, self.targets, self.weights, self.batch_size = read, targets, weights, batch_size
        self.seed, self.epoch, self.with_targets = seed, first_epoch, with_targets
        self._shuffle()

    def _shuffle(self) -> None:
        count = len(self.targets)
        self.order = np.arange(count)
        if self.seed is not None:
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(count)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        inputs = [np.asarray(array) for array in self.read(rows)]
        if self.with_targets:
            return (*inputs, self.targets[rows]), self.targets[rows]
        return tuple(inputs), self.targets[rows], self.weights[rows]

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()


class FrozenWindows:
    """A run's windows with the frozen part of a model, which is computed once per window and cached.

    It does for texts what `frozen_prefix.FrozenPrefix` does for photos; `fitting.fit` accepts both.

    Attributes:
        suffix: the model to compile and fit: the part that trains, or the whole model if nothing is cached.
        whole: prefix and suffix joined, for counting parameters.
        seconds: time spent on computing features.
        cache_bytes: size of the features that this run uses.
        missing, missing_bytes: the rows that are not in the cache yet and their size; 0 once they are computed.
    """

    def __init__(
        self,
        model: language_model.TextModel,
        prefix: keras.Model | None,
        suffix: keras.Model,
        windows: dict[str, windows.Windows],
        config: Any,
        targets: Mapping[str, np.ndarray] | None = None,
        fill: bool = True,
    ) -> None:
        """Compute the features that are not in the cache yet, with a progress bar.

        Args:
            model: the model that `prefix` and `suffix` are parts of, for the cache's key.
            prefix, suffix: as `halves` returns them.
            windows: side → windows; at least `train` and `validation`.
            config: has `batch_size`, `seed` and the flags of the cache.
            targets: side → one target for each row, all with weight 1, for a classifier; default: the next tokens.
            fill: False only counts what is missing, for a plan; nothing is written.

        Raises:
            UserError: the cache cannot be written, or would be larger than its limit or the free space.
        """
        self.windows, self.config, self.prefix = windows, config, prefix
        self.store: store.FeatureStore | None = None
        self.losses: keras.Model | None = None
        self.seconds, self.cache_bytes, self.missing, self.missing_bytes = 0.0, 0, 0, 0
        self.targets = {name: (part.targets, part.weights) for name, part in windows.items()}
        if targets:
            self.targets = {name: (every, np.ones(len(every), "float32")) for name, every in targets.items()}
        self.splits = types.SimpleNamespace(**windows)  # `fitting.fit` asks for the length of its `train`
        self.suffix = self.whole = language_model.joined(prefix, suffix)
        if prefix is not None and not config.no_cache:
            self.suffix = suffix
            if not fill:
                self._count_missing(model, prefix)
                return
            started = time.perf_counter()
            self.store = self._filled_store(model, prefix)
            self.seconds = time.perf_counter() - started

    def behind_cache(self, network: keras.Model) -> keras.Model:
        """Return a network behind the frozen part for the inputs that `batches` yields, as `suffix` is for them."""
        return network if self.store is not None else language_model.joined(self.prefix, network)

    def generators(self, first_epoch: int = 0, balanced: bool = False) -> tuple[Batches, Batches, Batches | None]:
        """Return the train, validation and test generators for `suffix`; the last is None if there is no test side."""
        train = self.batches("train", seed=self.config.seed, first_epoch=first_epoch)
        return train, self.batches("validation"), self.batches("test") if "test" in self.windows else None

    def batches(self, side: str, **options: Any) -> Batches:
        """Return the batches of one side, in order unless a seed is given."""
        targets, weights = self.targets[side]
        return Batches(self._reader(self.windows[side]), targets, weights, self.config.batch_size, **options)

    def token_losses(self, side: str) -> np.ndarray:
        """Return the loss of every target of one side in nats, float32 (windows, length)."""
        self.losses = self.losses or language_model.token_losses(self.suffix)  # compiled once for all sides
        return self.losses.predict(self.batches(side, with_targets=True), verbose=0)

    def _reader(self, windows: windows.Windows) -> Callable[[np.ndarray], list[np.ndarray]]:
        # The first token is never masked: a window of padding only would have nothing left.
        masks = (np.arange(windows.token_ids.shape[1]) == 0) | (windows.weights > 0)
        if self.store is None:
            return lambda rows: [windows.token_ids[rows], masks[rows].astype("int32")]
        read = self.store.reader(_row_names(windows))
        return lambda rows: [read(rows)[0].astype(self.suffix.inputs[0].dtype), masks[rows].astype("int32")]

    def _work(self) -> dict[str, tuple[windows.Windows, int]]:
        """Return, for each row name, the windows and the row's number in them."""
        return {
            name: (windows, row)
            for windows in self.windows.values() for row, name in enumerate(_row_names(windows))
        }  # fmt: skip

    def _place(self, model: language_model.TextModel, prefix: keras.Model) -> tuple[pathlib.Path, tuple[int, ...], str]:
        """Return the folder of the prefix's features, and the shape and dtype of a row."""
        length = self.windows["train"].token_ids.shape[1]
        shape = tuple(length if size is None else size for size in prefix.output.shape[1:])
        dtype = keras.backend.standardize_dtype(prefix.output.dtype)
        dtype = self.config.cache_dtype if dtype == "float32" else dtype
        return self.config.cache_directory / "features" / fingerprint(model, prefix, length, dtype), shape, dtype

    def _count_missing(self, model: language_model.TextModel, prefix: keras.Model) -> None:
        """Count the rows that are not in the cache, without making a folder for them."""
        names, (directory, shape, dtype) = self._work(), self._place(model, prefix)
        stored = self._open(model, directory, shape, dtype) if directory.is_dir() else ()
        row_bytes = store.row_bytes([(shape, dtype)])
        self.missing = sum(name not in stored for name in names)
        self.missing_bytes, self.cache_bytes = self.missing * row_bytes, len(names) * row_bytes

    def _open(
        self, model: language_model.TextModel, directory: pathlib.Path, shape: tuple[int, ...], dtype: str
    ) -> store.FeatureStore:
        about = {"what": f"{model.preset}, {' x '.join(map(str, shape))} for a row of tokens"}
        return store.FeatureStore(directory, [(shape, dtype)], about)

    def _filled_store(self, model: language_model.TextModel, prefix: keras.Model) -> store.FeatureStore:
        stored, work = self._open(model, *self._place(model, prefix)), self._work()
        missing = [name for name in work if name not in stored]
        self.cache_bytes = len(work) * stored.row_bytes
        if missing:
            self._check_size(stored, len(missing))
            print(
                f"frozen prefix: once per window; {len(missing)} of {len(work)} to compute, "
                f"{len(missing) * stored.row_bytes / 1e6:,.0f} MB in {stored.directory}",
                file=sys.stderr,
            )
            stored.write(self._computed(prefix, missing, work))
        return stored

    def _computed(
        self, prefix: keras.Model, names: list[str], work: dict[str, tuple[windows.Windows, int]]
    ) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        """Yield (names, features) batch by batch."""
        size = self.config.batch_size
        for start in tqdm.trange(0, len(names), size, desc="frozen prefix", unit="batch", disable=None):
            part = names[start : start + size]
            rows = [work[name] for name in part]
            ids = np.stack([windows.token_ids[row] for windows, row in rows])
            masks = np.stack([windows.weights[row] > 0 for windows, row in rows])
            masks[:, 0] = True
            yield part, [prefix.predict_on_batch([ids, masks.astype("int32")])]

    def _check_size(self, store: store.FeatureStore, missing: int) -> None:
        """Raise an error before the computation if the features do not fit."""
        needed, free = missing * store.row_bytes, shutil.disk_usage(store.directory).free
        limit = min(self.config.cache_limit_gb * 1e9, free)
        if needed > limit:
            raise errors.UserError(
                f"the features need {needed / 1e9:.2f} GB, but --cache-limit-gb or the free disk space allows only "
                f"{limit / 1e9:.2f} GB: use another --cache, --cache-dtype float16, a higher --cache-limit-gb, or "
                "--no-cache"
            )


def _row_names(windows: windows.Windows) -> list[str]:
    """Return a name for each window: a hash of its tokens and of the number of those that count."""
    counts = windows.weights.sum(axis=1).astype("int32")
    return [
        hashlib.sha256(tokens.tobytes() + count.tobytes()).hexdigest()
        for tokens, count in zip(windows.token_ids, counts, strict=True)
    ]


def fingerprint(model: language_model.TextModel, prefix: keras.Model, length: int, dtype: str) -> str:
    """Return a hash of everything except the windows that changes what the prefix computes."""
    settings = {key: value for key, value in model.backbone.get_config().items() if key not in ("name", "trainable")}
    about = [CACHE_VERSION, keys.computed_by(COMPUTED_BY), type(model.backbone).__name__, settings, length, dtype,
             prefix.name, [layer.__class__.__name__ for layer in prefix.layers], str(prefix.output.dtype)]  # fmt: skip
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for weight in prefix.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return digest.hexdigest()[:32]
