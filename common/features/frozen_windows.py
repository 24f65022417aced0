"""The frozen prefix of a language model: its first blocks run once for each window of text."""

import hashlib
import importlib.metadata
import json
import shutil
import sys
import time
import types

import keras
import numpy as np
import tqdm

from common import errors
from common.features import store
from common.media import windows
from common.models import language_model

CACHE_VERSION = 1  # raise it when the same prefix would be stored otherwise
COMPUTED_BY = ("keras", "keras-hub", "tensorflow")  # another version of these may compute otherwise

# Windows through the frozen part ----------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    """Batches of windows: (inputs, targets, weights), shuffled anew each epoch, or in order for evaluation.

    Args:
        read: takes row numbers, returns the list of the model's inputs.
        targets: one row for each window, or one number for each.
        weights: of the same length.
        batch_size: windows at a time.
        seed: of the order; None: as they stand.
        first_epoch: the number of the epoch that comes first: an interrupted run goes on in the same order.
        with_targets: give the targets as a last input, as `token_losses` wants them.
    """

    def __init__(self, read, targets, weights, batch_size, seed=None, first_epoch=0, with_targets=False):
        super().__init__()
        self.read, self.targets, self.weights, self.batch_size = read, targets, weights, batch_size
        self.seed, self.epoch, self.with_targets = seed, first_epoch, with_targets
        self._shuffle()

    def _shuffle(self):
        count = len(self.targets)
        self.order = np.arange(count)
        if self.seed is not None:
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(count)

    def __len__(self):
        return -(-len(self.targets) // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        inputs = [np.asarray(array) for array in self.read(rows)]
        if self.with_targets:
            return (*inputs, self.targets[rows]), self.targets[rows]
        return tuple(inputs), self.targets[rows], self.weights[rows]

    def on_epoch_end(self):
        self.epoch += 1
        self._shuffle()


class FrozenWindows:
    """Windows of a run behind the frozen part of a model, which is computed once for each and kept in the cache.

    It is to texts what `frozen_prefix.FrozenPrefix` is to photos, and `fitting.fit` takes both.

    Attributes:
        suffix: what to compile and fit: the part that trains, or the whole where nothing is cached.
        whole: the prefix with it, to be counted.
        seconds: time spent on computing features.
        cache_bytes: size of the features that this run uses.
    """

    def __init__(
        self,
        model: language_model.LanguageModel,
        prefix,
        suffix,
        windows: dict[str, windows.Windows],
        config,
        targets=None,
    ):
        """Computes what is not in the cache yet, with a progress bar.

        Args:
            model: whose parts these are, for the cache's key.
            prefix, suffix: as `halves` makes them.
            windows: side → windows; `train` and `validation` at least.
            config: has `batch_size`, `seed` and the flags of the cache.
            targets: side → one for each row where they are not the next tokens: a classifier's, all of one weight.

        Raises:
            UserError: the cache cannot be written, or would be larger than its limit or the free space.
        """
        self.windows, self.config, self.store = windows, config, None
        self.losses: keras.Model | None = None
        self.seconds, self.cache_bytes = 0.0, 0
        self.targets = {name: (part.targets, part.weights) for name, part in windows.items()}
        if targets:
            self.targets = {name: (every, np.ones(len(every), "float32")) for name, every in targets.items()}
        self.splits = types.SimpleNamespace(**windows)  # `fitting.fit` asks for the length of its `train`
        self.suffix = self.whole = language_model.joined(prefix, suffix)
        if prefix is not None and not config.no_cache:
            self.suffix = suffix
            started = time.perf_counter()
            self.store = self._filled_store(model, prefix)
            self.seconds = time.perf_counter() - started

    def generators(self, first_epoch: int = 0, balanced: bool = False):
        """`train_generator, val_generator, test_generator` for `suffix`; the last is None without such a side."""
        train = self.batches("train", seed=self.config.seed, first_epoch=first_epoch)
        return train, self.batches("validation"), self.batches("test") if "test" in self.windows else None

    def batches(self, side: str, **options) -> Batches:
        """The batches of one side, as they stand unless a seed is given."""
        targets, weights = self.targets[side]
        return Batches(self._reader(self.windows[side]), targets, weights, self.config.batch_size, **options)

    def token_losses(self, side: str) -> np.ndarray:
        """The loss of every target of one side in nats, float32 (windows, length)."""
        self.losses = self.losses or language_model.token_losses(self.suffix)  # compiled once for all sides
        return self.losses.predict(self.batches(side, with_targets=True), verbose=0)

    def _reader(self, windows: windows.Windows):
        masks = (np.arange(windows.token_ids.shape[1]) == 0) | (windows.weights > 0)  # nothing would be left of padding
        if self.store is None:
            return lambda rows: [windows.token_ids[rows], masks[rows].astype("int32")]
        read = self.store.reader(_row_names(windows))
        return lambda rows: [read(rows)[0].astype(self.suffix.inputs[0].dtype), masks[rows].astype("int32")]

    def _filled_store(self, model, prefix) -> store.FeatureStore:
        length = self.windows["train"].token_ids.shape[1]
        shape, dtype = (length, prefix.output.shape[-1]), keras.backend.standardize_dtype(prefix.output.dtype)
        dtype = "float16" if self.config.cache_dtype == "float16" and dtype == "float32" else dtype
        about = {"what": f"{model.preset}, {' x '.join(map(str, shape))} for a row of tokens"}
        key = fingerprint(model, prefix, length, dtype)
        stored = store.FeatureStore(self.config.cache_directory / "features" / key, [(shape, dtype)], about)
        work = {
            name: (windows, row)
            for windows in self.windows.values() for row, name in enumerate(_row_names(windows))
        }  # fmt: skip
        missing = [name for name in work if name not in stored]
        self.cache_bytes = len(work) * stored.row_bytes
        if missing:
            self._check_size(stored, len(missing))
            print(
                f"frozen prefix: once each; {len(missing)} of {len(work)} to do, "
                f"{len(missing) * stored.row_bytes / 1e6:,.0f} MB in {stored.directory}",
                file=sys.stderr,
            )
            stored.write(self._computed(prefix, missing, work))
        return stored

    def _computed(self, prefix, names, work):
        """Yields (names, features) batch by batch."""
        size = self.config.batch_size
        for start in tqdm.trange(0, len(names), size, desc="frozen prefix", unit="batch"):
            part = names[start : start + size]
            rows = [work[name] for name in part]
            ids = np.stack([windows.token_ids[row] for windows, row in rows])
            masks = np.stack([windows.weights[row] > 0 for windows, row in rows])
            masks[:, 0] = True
            yield part, [prefix.predict_on_batch([ids, masks.astype("int32")])]

    def _check_size(self, store, missing: int) -> None:
        """Refuses what does not fit, before the work."""
        needed, free = missing * store.row_bytes, shutil.disk_usage(store.directory).free
        limit = min(self.config.cache_limit_gb * 1e9, free)
        if needed > limit:
            raise errors.UserError(
                f"the features need {needed / 1e9:.2f} GB, but --cache-limit-gb or the disk leave {limit / 1e9:.2f}: "
                "take another --cache, --cache-dtype float16, a higher --cache-limit-gb, or --no-cache"
            )


def _row_names(windows: windows.Windows) -> list[str]:
    """A name for each window: its tokens and how many of them count."""
    counts = windows.weights.sum(axis=1).astype("int32")
    return [
        hashlib.sha256(tokens.tobytes() + count.tobytes()).hexdigest()
        for tokens, count in zip(windows.token_ids, counts, strict=True)
    ]


def fingerprint(model: language_model.LanguageModel, prefix: keras.Model, length: int, dtype: str) -> str:
    """A hash of everything but the windows that changes what the prefix computes."""
    settings = {key: value for key, value in model.backbone.get_config().items() if key not in ("name", "trainable")}
    versions = [importlib.metadata.version(package) for package in COMPUTED_BY]
    about = [CACHE_VERSION, versions, type(model.backbone).__name__, settings, length, dtype,
             prefix.name, [layer.__class__.__name__ for layer in prefix.layers], str(prefix.output.dtype)]  # fmt: skip
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for weight in prefix.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return digest.hexdigest()[:32]
