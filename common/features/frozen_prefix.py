"""The frozen prefix: the frozen part of a model is computed once per item, not once per epoch.

In a functional model whose first layers are frozen, the *frontier* is the cut after which something trains or is
random. The part before it is the *prefix*. It runs once over the items in inference mode, and its outputs are cached
on disk. The part after it is the *suffix*, and only the suffix is trained. It has the same layer objects as the model,
so the whole model is trained too. Losses and weights equal those of training the whole model, within float rounding.
"""

import dataclasses
import hashlib
import math
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tqdm

from common import devices, errors
from common.data import mixing, pipeline, sample_list
from common.data import splits as data_splits
from common.features import engines, fingerprint, store
from common.media import medium as media
from common.models import backbones, cut, penultimate

PORTION_BYTES = 128 * 2**20  # decoded items in memory at a time
ROWS_AT_ONCE = 128  # of several cuts, in memory before they are written; an interruption loses no more

Work = dict[str, tuple[str, media.Look]]  # row name → (path, look)
Features = Iterator[tuple[list[str], list[np.ndarray]]]  # batches of (row names, arrays (n, …))


# Items through the prefix ---------------------------------------------------------------------------------------


class FrozenPrefix:
    """A model cut at its frontier, and the cached features of a run's items.

    Attributes:
        suffix: the model to compile and fit: the part that trains, or the whole model if nothing is cached.
        tensors: the tensors whose values are cached; empty if nothing is cached.
        engine: what computes the features, `keras` or `onnxruntime`; "" if nothing is cached.
        seconds: time spent on computing features.
        cache_bytes: size of the features that this run uses.
        missing, missing_bytes: the rows that are not in the cache yet and their size; 0 once they are computed.
    """

    def __init__(
        self,
        model: keras.Model,
        backbone: backbones.Backbone,
        splits: data_splits.Splits,
        config: Any,
        turns: int = 1,
        at: list | None = None,
        fill: bool = True,
    ) -> None:
        """Compute the features of all items that are not in the cache yet, with a progress bar.

        Args:
            model: a functional model of preprocessed items; its layers are already frozen as for the training.
            backbone: provides the preprocessing and the image size.
            splits: the items.
            config: a `settings.PhotoConfig`. With augmentation, `views` augmented views of each training photo are
                cached, and the epochs use them in turn. With 0 views, every epoch draws new ones, uncached.
            turns: how many of the eight orientations of a square `predict` uses for validation and test photos.
            at: the tensors of `model` to cut at, if the recipe knows them; otherwise `cut` finds them.
            fill: False only counts what is missing, for a plan; nothing is written.

        Raises:
            UserError: the cache cannot be written, or would be larger than its limit or the free space.
        """
        self.backbone, self.splits, self.config, self.turns = backbone, splits, config, turns
        self.augmentation, self.at = config.augmentation or None, at
        self.model, self.suffix, self.seconds, self.cache_bytes = model, model, 0.0, 0
        self.missing, self.missing_bytes = 0, 0
        self.engine = ""
        self._keys: dict[tuple, str] = {}  # of the tensors' prefixes, in the cache
        self._stores: dict[pathlib.Path, store.FeatureStore] = {}  # that were opened
        self.store: store.FeatureStore | None = None
        live = self.augmentation and config.views == 0
        self.cut = None if config.no_cache or live else cut.cut(model, at)
        self.tensors: list = []
        if self.cut and self.cut.prefix:
            self.tensors, self.suffix = self.cut.tensors, self.cut.suffix
            self.engine = self._chosen_engine()
            if not fill:
                self._count_missing()
                return
            started = time.perf_counter()
            self.store = self._filled_store(self.cut.prefix)
            self.seconds = time.perf_counter() - started

    def generators(self, first_epoch: int = 0, balanced: bool = False) -> pipeline.Generators:
        """Return `train_generator, val_generator, test_generator` for `suffix`, ordered as for the whole model.

        With `balanced`, training photos are sampled so that all classes appear equally often.
        """
        config, splits = self.config, self.splits
        if self.store:
            views = [self.store.reader(self._row_names("train", view)) for view in self._views("train")]
            train_generator = pipeline.training_rows(
                views, splits.labels("train"), seed=config.seed, first_epoch=first_epoch, balanced=balanced,
                **self._shape(),
            )  # fmt: skip
        else:
            train_generator, _, _ = splits.generators(
                self.backbone.resize, self.backbone.preprocess, config.batch_size, config.seed, self.augmentation,
                first_epoch, balanced,
            )  # fmt: skip
        train_generator = mixing.mixed(
            train_generator, pipeline.steps(len(splits.train), config.batch_size), config.seed, first_epoch,
            getattr(config, "mixup", 0.0), getattr(config, "cutmix", 0.0),  # flags of some recipes only
        )  # fmt: skip
        return train_generator, self._looks("validation")[0], self._looks("test")[0]

    def features(self, split: str) -> np.ndarray:
        """Return the features of a split's photos at the frontier, in each view or turn: (views, n, …).

        Raises:
            ValueError: nothing is frozen, or several tensors cross the frontier.
        """
        part = self.cut or cut.cut(self.model, self.at)
        if not part.prefix or len(part.tensors) > 1:
            raise ValueError("features: exactly one tensor must cross the frontier")
        names = [self._row_names(split, view) for view in self._views(split)]
        if self.store:
            rows = [self.store.reader(row)(range(len(row)))[0] for row in names]
            return np.stack([row if row.dtype == "float16" else row.astype("float32", copy=False) for row in rows])
        computed: dict[str, np.ndarray] = {}
        for batch, (features,) in self._from_items(self._work_of(split), part.prefix):
            computed.update(zip(batch, features, strict=True))
        return np.stack([[computed[name] for name in row] for row in names])

    def predict(self, split: str) -> np.ndarray:
        """Return the suffix's predictions in each turn (training photos: in each view), (turns, n, classes)."""
        return np.stack([self.suffix.predict(batches, verbose=0) for batches in self._looks(split)])

    def before_last(self, split: str) -> np.ndarray:
        """Return what the last dense layer sees of the first look at each item of a split, (n, channels)."""
        body = penultimate.features(self.model, self.tensors)
        return body.predict(self._looks(split)[0], verbose=0)

    def _looks(self, split: str) -> list:
        """Return, for each turn or view, the photos of a split in order, in batches for `suffix`."""
        splits, labels = self.splits, self.splits.labels(split)
        if self.store:
            readers = [self.store.reader(self._row_names(split, view)) for view in self._views(split)]
            return [pipeline.evaluation_rows(reader, labels, **self._shape()) for reader in readers]
        return [
            pipeline.evaluation_batches(
                splits.paths(split), labels, splits.targets.encoded, self.backbone.resize, self.config.batch_size,
                self.backbone.preprocess, splits.reader, look,
            )
            for look in self._views(split)
        ]  # fmt: skip

    def _shape(self) -> dict:
        """Return the arguments that describe cached rows to `common.data.pipeline`."""
        return {
            "encode": self.splits.targets.encoded,
            "batch_size": self.config.batch_size,
            "dtypes": [keras.backend.standardize_dtype(tensor.dtype) for tensor in self.tensors],
            "shapes": [tuple(tensor.shape[1:]) for tensor in self.tensors],
        }

    def _views(self, split: str) -> list[media.Look]:
        """Return the looks at each item of a split: augmented views for training items, turns for the others."""
        return self.splits.medium.looks(split, self.augmentation, self.config.views, self.turns, self.config.seed)

    def _row_names(self, split: str, look: media.Look) -> list[str]:
        """Return the names of a split's rows: the hash of the file's content, and a mark for what was done to it."""
        contents = self.splits.contents(split)
        mark = f"-{hashlib.sha256(look.mark.encode()).hexdigest()[:16]}" if look.mark else ""
        return [f"{content}{mark}" for content in contents]

    def _work(self) -> Work:
        """Return row name → (path, view) for all rows that the run needs."""
        return {name: item for split in ("train", "validation", "test") for name, item in self._work_of(split).items()}

    def _work_of(self, split: str) -> Work:
        """Return row name → (path, view) for one split."""
        work: Work = {}
        for view in self._views(split):
            items = [(path, view) for path in self.splits.paths(split)]
            work.update(zip(self._row_names(split, view), items, strict=True))
        return work

    def _pixels(self) -> int:
        """Return the number of pixels that go through the network for all items in all their views."""
        return len(self._work()) * math.prod(self.model.input_shape[1:-1])

    def _chosen_engine(self) -> str:
        """Return the engine for this run's items; the other one if `--engine auto` and it has computed them all."""
        name = engines.chosen(self.config, self._pixels())
        if self.config.engine != "auto" or self.config.deterministic or self.config.prefix_precision != "float32":
            return name
        for self.engine in sorted(engines.NAMES, key=lambda each: each != name):
            is_there = (self.engine == "keras" or engines.is_installed()) and self._directory(self.tensors).is_dir()
            stored = self._open(self.tensors) if is_there else ()
            if all(row in stored for row in self._work()):
                return self.engine
        return name

    def _network(self, prefix: keras.Model, file: pathlib.Path, work: Work) -> keras.Model | engines.OnnxNetwork | None:
        """Return what computes the prefix: Keras's model, or an exported one; None if it cannot be exported."""
        if self.engine == "keras":
            if told := engines.advice(self.config, self._pixels()):
                print(told, file=sys.stderr)
            rounds = self.config.prefix_precision == engines.BFLOAT16
            return engines.in_bfloat16(prefix, self.backbone.name) if rounds else prefix
        _, first = next(iter(work.values()))
        alike = [name for name, (_, look) in work.items() if (look.number is None) == (first.number is None)]
        return engines.load(prefix, file, next(iter(self._batches(alike[: engines.CHECKED], work))).numpy())

    def _filled_store(self, prefix: keras.Model) -> store.FeatureStore:
        """Open the features of this prefix and compute the missing ones."""
        store = self._open(self.tensors)
        work = self._work()
        missing = {name: item for name, item in work.items() if name not in store}
        self.cache_bytes = len(work) * store.row_bytes
        if missing:
            self._check_size(store, len(missing))
            source = self._source(missing, store)
            network = None if source else self._network(prefix, store.directory / "network.onnx", missing)
            if not source and not network:
                self.engine = "keras"
                return self._filled_store(prefix)
            self._say(prefix, store, source, len(missing), len(work))
            with tqdm.tqdm(total=len(missing), desc="frozen prefix", unit=self._row_unit(), disable=None) as progress:
                batches = self._from_features(*source, missing) if source else self._from_items(missing, network)
                store.write(_counted(batches, progress))
        return store

    def _count_missing(self) -> None:
        """Count the rows that are not in the cache, without making a folder for them."""
        names, directory = self._work(), self._directory(self.tensors)
        stored = self._open(self.tensors) if directory.is_dir() else ()
        row_bytes = store.row_bytes(self._specification(self.tensors))
        self.missing = sum(name not in stored for name in names)
        self.missing_bytes, self.cache_bytes = self.missing * row_bytes, len(names) * row_bytes

    def _say(
        self, prefix: keras.Model, store: store.FeatureStore, source: tuple | None, missing: int, total: int
    ) -> None:
        """Print what will be computed and the space that it needs."""
        unit = self.splits.medium.unit
        start = "from the features of an earlier cut" if source else f"from the {unit}s"
        each = unit if len(self._views("train")) == 1 else f"view of a {unit}"
        shapes = " + ".join(" x ".join(map(str, tensor.shape[1:])) for tensor in self.tensors)
        print(
            f"frozen prefix: {len(prefix.layers)} layers, once per {each}, {start}; {missing} of {total} "
            f"to compute, {shapes} numbers each, {_size(missing * store.row_bytes)} in {store.directory}",
            file=sys.stderr,
        )

    def _row_unit(self) -> str:
        """Return what a row is: an item, or a view if some items have several."""
        several = any(len(self._views(split)) > 1 for split in sample_list.SPLIT_NAMES)
        return "view" if several else self.splits.medium.unit

    def _specification(self, tensors: list) -> list[tuple[tuple[int, ...], str]]:
        """Return shape and dtype of what is stored of each tensor for one item."""
        dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors]
        dtypes = [self.config.cache_dtype if dtype == "float32" else dtype for dtype in dtypes]
        return [(tuple(tensor.shape[1:]), dtype) for tensor, dtype in zip(tensors, dtypes, strict=True)]

    def _open(self, tensors: list) -> store.FeatureStore:
        """Open the store of the prefix that ends in `tensors`."""
        about = {
            "backbone": self.backbone.name,
            "weights": self.backbone.weights,
            "image_size": self.backbone.image_size,
            "tensors": [[*_address(self.model, tensor), tensor.name, list(tensor.shape[1:])] for tensor in tensors],
        }
        directory = self._directory(tensors)
        if directory not in self._stores:  # all shards are read and checked
            self._stores[directory] = store.FeatureStore(directory, self._specification(tensors), about)
        return self._stores[directory]

    def _directory(self, tensors: list) -> pathlib.Path:
        place = tuple(map(id, tensors))
        if place not in self._keys:  # hashing the weights takes a while
            prefix = keras.Model(self.model.inputs, tensors)
            self._keys[place] = fingerprint.fingerprint(prefix, self.backbone, self.config.cache_dtype)
        key = self._keys[place]
        return (
            self.config.cache_directory / "features" / f"{key}{engines.mark(self.engine, self.config.prefix_precision)}"
        )

    def _check_size(self, store: store.FeatureStore, missing: int) -> None:
        """Raise an error before the computation if the features do not fit."""
        needed = missing * store.row_bytes
        advice = "use another --cache, --cache-dtype float16, fewer --views, or --no-cache"
        if needed > self.config.cache_limit_gb * 1e9:
            raise errors.UserError(
                f"the features need {_size(needed)}, more than --cache-limit-gb {self.config.cache_limit_gb:g}: "
                f"raise this limit, or {advice}"
            )
        free = shutil.disk_usage(store.directory).free
        if needed > free:
            raise errors.UserError(f"the features need {_size(needed)}, but only {_size(free)} are free: {advice}")

    def _from_items(self, work: Work, network: Any) -> Features:
        """Yield (names, features) batch by batch, first of unchanged items, then of augmented views."""
        for numbered in (False, True):
            names = [name for name, (_, view) in work.items() if (view.number is not None) == numbered]
            for part in self._portions(names):
                batches = self._batches(part, work)
                yield from _through(network, part, batches if devices.has_gpu() else list(batches))

    def _batches(self, names: list[str], work: Work) -> Iterable:
        """Return preprocessed batches of rows, all of unchanged items or all of augmented views."""
        paths, looks = zip(*(work[name] for name in names), strict=True)
        numbered = looks[0].number is not None
        return pipeline.look_batches(
            paths, looks, self.backbone.resize, self.config.batch_size, self.backbone.preprocess,
            self.splits.reader, self.augmentation if numbered else None,
            [view_seed(self.config.seed, name) for name in names] if numbered else None,
        )  # fmt: skip

    def _portions(self, names: list[str]) -> Iterator[list[str]]:
        """Yield the names in portions of whole batches; on the CPU a portion is decoded fully before it is computed.

        On the CPU, decoding and computing would compete for the cores. While a tf.data pipeline was alive, TensorFlow
        2.21 also left a core idle for a third of the time in about every other run (VGG16: 0.21 s per photo, not 0.14).
        """
        item_bytes = 4 * math.prod(self.model.input_shape[1:])
        batches = max(1, PORTION_BYTES // (item_bytes * self.config.batch_size))
        size = len(names) if devices.has_gpu() else batches * self.config.batch_size
        for start in range(0, len(names), max(1, size)):
            yield names[start : start + size]

    def _source(self, work: Work, own: store.FeatureStore) -> tuple[store.FeatureStore, keras.Model] | None:
        """Find a store of an earlier cut with all items, and the model from that cut to this one.

        If several stores qualify, the one with the smallest such model is returned. The result is None with a
        `--cache-dtype` or `--prefix-precision` of 16 bits: features computed from rounded ones would be rounded
        otherwise, and a key must always stand for the same numbers.
        """
        found = []
        if (self.config.cache_dtype, self.config.prefix_precision) != ("float32", "float32"):
            return None
        for path in self.config.cache_directory.glob("features/*"):
            tensors = _tensors_at(self.model, store.about_of(path).get("tensors", []))
            if path == own.directory or not tensors or self._directory(tensors) != path:
                continue
            try:
                bridge = keras.Model(tensors, self.tensors)
            except ValueError:  # this cut does not lie between the input and ours
                continue
            stored = self._open(tensors)
            if all(name in stored for name in work):
                found.append((stored, bridge))
        return min(found, key=lambda source: len(source[1].layers), default=None)

    def _from_features(self, store: store.FeatureStore, bridge: keras.Model, work: Work) -> Features:
        """Yield (names, features) computed from the features of an earlier cut."""
        names = list(work)
        read = store.reader(names)
        size = self.config.batch_size
        batches = (read(range(start, min(start + size, len(names)))) for start in range(0, len(names), size))
        yield from _through(bridge, names, batches)


def fill_together(prefixes: Sequence[FrozenPrefix]) -> float:
    """Compute what is missing of several cuts of one network, in one pass over the items, and return the seconds.

    Each cut has a store of its own, as if it had been computed alone.

    Args:
        prefixes: made with `fill=False`, of models on the same network and the same items.

    Raises:
        UserError: as for `FrozenPrefix`.
    """
    started, first = time.perf_counter(), prefixes[0]
    for each in prefixes:
        each.engine = engines.chosen(first.config, first._pixels())
    stores = [each._open(each.tensors) for each in prefixes]
    work = {name: item for name, item in first._work().items() if not all(name in rows for rows in stores)}
    if not work:
        return 0.0
    for each, rows in zip(prefixes, stores, strict=True):
        each._check_size(rows, len(work))
    joined = keras.Model(first.model.inputs, [each.tensors[0] for each in prefixes])
    name = hashlib.sha256(" ".join(rows.directory.name for rows in stores).encode()).hexdigest()[:16]
    network = first._network(joined, stores[0].directory / f"{name}.onnx", work)
    if not network:
        own = dataclasses.replace(first.config, engine="keras")
        for each in prefixes:
            each.config = own
        return fill_together(prefixes)
    unit = first.splits.medium.unit
    print(
        f"frozen prefix: {first.backbone.name}, {len(prefixes)} cuts in one pass over {len(work)} {unit}s",
        file=sys.stderr,
    )
    waiting: list[tuple[list[str], list[np.ndarray]]] = []
    with tqdm.tqdm(total=len(work), desc="frozen prefix", unit=unit, disable=None) as progress:
        for batch in _counted(first._from_items(work, network), progress):
            waiting.append(batch)
            if sum(len(names) for names, _ in waiting) >= ROWS_AT_ONCE:
                _write_each(stores, waiting)
                waiting = []
        _write_each(stores, waiting)
    return time.perf_counter() - started


def _write_each(stores: Sequence[store.FeatureStore], batches: list[tuple[list[str], list[np.ndarray]]]) -> None:
    """Write the n-th array of each batch to the n-th store."""
    for number, each in enumerate(stores):
        each.write((names, [arrays[number]]) for names, arrays in batches)


def _through(model: Any, names: list[str], batches: Iterable) -> Features:
    """Yield (names, outputs) for batches of inputs, computed in inference mode."""
    start = 0
    for batch in batches:
        outputs = model.predict_on_batch(batch)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        yield names[start : start + len(outputs[0])], outputs
        start += len(outputs[0])


def _counted(batches: Features, progress: tqdm.tqdm) -> Features:
    for names, arrays in batches:
        yield names, arrays
        progress.update(len(names))


def _size(count: int) -> str:
    """Return a number of bytes as text, in MB or GB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def view_seed(seed: int, name: str) -> tuple[int, int]:
    """Return two integers from the run's seed and the row's name, which identifies the photo's content and the view."""
    return seed, int(hashlib.sha256(name.encode()).hexdigest()[:7], 16)


def _address(model: keras.Model, tensor: keras.KerasTensor) -> tuple[int, int]:
    """Return the position of a tensor in the model: the number of its operation and of the output there."""
    for number, operation in enumerate(model.operations):
        for place, output in enumerate(cut.flat(operation.output)):
            if output is tensor:
                return number, place
    raise ValueError(f"{tensor.name} is not an output of any operation in {model.name}")


def _tensors_at(model: keras.Model, addresses: list) -> list | None:
    """Return the tensors at addresses written by another run; None if this model has no such position or shape."""
    found = []
    for number, place, _, shape in addresses:
        outputs = cut.flat(model.operations[number].output) if number < len(model.operations) else []
        if place >= len(outputs) or list(outputs[place].shape[1:]) != shape:
            return None
        found.append(outputs[place])
    return found
