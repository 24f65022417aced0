"""The frozen prefix: what never changes in training is computed once per photo, not once per epoch.

In a functional model whose first layers are frozen, the *frontier* is the cut after which something trains or is
random. The part before it, the prefix, runs once over the photos, in inference mode, into a cache on disk. What
is trained is the part behind it, the suffix: the very same layer objects, so the whole model is trained too. The
losses and weights are those of training the whole model, within float rounding.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import sys
import time

import keras
import numpy as np
import tqdm

from common import device, errors, feature_store, generators, surgery

CACHE_VERSION = 2  # raise it when the same prefix would be stored otherwise
PORTION_BYTES = 128 * 2**20  # of decoded photos in memory
COMPUTED_BY = ("keras", "tensorflow", "pillow")  # another version of these may decode, resize or compute otherwise


@dataclasses.dataclass
class Cut:
    """A model in two parts.

    Attributes:
        tensors: the Keras tensors that cross the frontier, one or several.
        prefix: from the model's input to `tensors`; None when nothing is frozen.
        suffix: from `tensors` to the model's output, sharing the model's layers; the model itself when
            nothing is frozen.
    """

    tensors: list
    prefix: keras.Model | None
    suffix: keras.Model


def cut(model: keras.Model, at: list | None = None) -> Cut:
    """Cuts a functional model at its frontier, or at given tensors.

    Everything goes into the prefix that is frozen, or has nothing to train and nothing random (pooling, flatten),
    and depends on such layers only. So below a `GlobalAveragePooling2D` head the cache holds the pooled features.

    Args:
        model: its layers frozen as they are to be trained.
        at: tensors of the model that all paths to what trains lead through, with one row for each row of the input.

    Raises:
        ValueError: nothing trains; a layer is applied more than once; a model inside the model is frozen in part.
    """
    if not model.trainable_weights:
        raise ValueError("nothing trains: every layer of the model is frozen")
    if not at:
        _check_layout(model)
    tensors = at or crossing_tensors(model, _computed_once(model))
    if len(tensors) == 1 and tensors[0] is model.inputs[0]:
        return Cut(tensors, None, model)
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    return Cut(tensors, keras.Model(model.inputs, tensors), keras.Model(tensors, outputs))


def _check_layout(model: keras.Model) -> None:
    """Refuses what cannot be cut by its operations' outputs, instead of computing it wrongly or slowly."""
    for layer in model.get_config()["layers"]:
        if len(layer["inbound_nodes"]) > 1:
            raise ValueError(f"the layer {layer['name']} is applied more than once: train the whole model (no_cache)")
    for layer in model.layers:
        if hasattr(layer, "layers") and len({_is_fixed(leaf) for leaf in surgery.leaf_layers(layer)}) > 1:
            raise ValueError(
                f"{layer.name} is a model inside the model and frozen in part: build on {layer.name}.output "
                "instead of calling it, or train the whole model (no_cache)"
            )


def crossing_tensors(model: keras.Model, before: list) -> list:
    """The tensors made by the operations in `before` that others use or that are the model's outputs."""
    made = {id(tensor): tensor for operation in before for tensor in _flat(operation.output)}
    inside = {id(operation) for operation in before}
    used = [t for op in model.operations if id(op) not in inside for t in _flat(op.input)] + list(model.outputs)
    return list({id(tensor): tensor for tensor in used if id(tensor) in made}.values())


def _computed_once(model: keras.Model) -> list:
    """The operations whose result for a photo never changes during the training."""
    found = []
    results: set[int] = set()
    for operation in model.operations:
        inputs = [] if isinstance(operation, keras.layers.InputLayer) else _flat(operation.input)
        if _is_fixed(operation) and all(id(tensor) in results for tensor in inputs):
            found.append(operation)
            results.update(id(tensor) for tensor in _flat(operation.output))
    return found


def _is_fixed(operation) -> bool:
    """Whether what it makes of an input never changes: it has nothing that trains and nothing random."""
    if not isinstance(operation, keras.layers.Layer):
        return True
    if hasattr(operation, "layers"):
        return all(_is_fixed(leaf) for leaf in surgery.leaf_layers(operation))
    return not (operation.trainable and operation.weights) and not _is_random(operation)


def _is_random(layer: keras.layers.Layer) -> bool:
    """Whether it acts at random while training, frozen or not: a rate above 0, or a seed and no rate (RandomFlip)."""
    if any(hasattr(layer, name) for name in surgery.RATES):
        return bool(surgery.random_rates(layer))
    return any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())


def _flat(tensors) -> list:
    return keras.tree.flatten(tensors)


# What the cache's key covers ------------------------------------------------------------------------------------


def fingerprint(prefix: keras.Model, backbone, cache_dtype: str) -> str:
    """A hash of everything but the photos that changes what the prefix computes.

    The layers with their settings and precision, their weights, the resizing, the preprocessing (by what it makes
    of probe pixels), the precision of the cache and the versions of what computes. Names that Keras counts up do not
    matter.
    """
    digest = hashlib.sha256()
    resizing = {key: value for key, value in backbone.resize.get_config().items() if key != "name"}
    versions = [importlib.metadata.version(package) for package in COMPUTED_BY]
    settings = [CACHE_VERSION, versions, cache_dtype, resizing, _architecture(prefix)]
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for weight in prefix.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    probe = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    digest.update(
        np.asarray(keras.ops.convert_to_numpy(backbone.preprocess(keras.ops.convert_to_tensor(probe)))).tobytes()
    )
    return digest.hexdigest()[:32]


def _layer_names(config: dict) -> list[str]:
    """The names of the layers in a model's config, then of those in the models among them."""
    inside = [layer["config"] for layer in config["layers"] if "layers" in layer["config"]]
    return [layer["name"] for layer in config["layers"]] + [name for part in inside for name in _layer_names(part)]


def _architecture(model: keras.Model):
    """The model's config with layer names replaced by numbers and without what does not change its output."""
    config = model.get_config()
    numbers = {name: f"layer {number}" for number, name in enumerate(_layer_names(config))} | {config["name"]: "model"}

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key not in ("trainable", "build_config")}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return numbers.get(value, value) if isinstance(value, str) else value

    return json.loads(json.dumps(plain(config), default=str))


# Photos through the prefix --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class View:
    """How a photo is looked at: as it is, as augmented view `number`, or in one of the eight turns of a square.

    Of a clip `position` says where its window lies, where frames are taken from a window; views have their own.
    """

    number: int | None = None
    turn: int = 0
    position: float = 0.5


class FrozenPrefix:
    """A model cut at its frontier, and the photos of a run on the far side of it.

    Attributes:
        suffix: what to compile and fit: the part that trains, or the whole model where nothing is cached.
        tensors: those whose values are cached, none where nothing is.
        seconds: time spent on computing features.
        cache_bytes: size of the features that this run uses.
    """

    def __init__(
        self,
        model: keras.Model,
        backbone,
        splits,
        config,
        augmentation=None,
        turns: int = 1,
        clips: generators.Clips | None = None,
        at: list | None = None,
    ):
        """Computes the features of all photos that are not in the cache yet, with a progress bar.

        Args:
            model: functional, taking preprocessed photos, its layers frozen as they are to be trained.
            backbone: a `backbones.Backbone`, for its preprocessing and image size.
            splits: a `data.Splits`.
            config: a `common.config.SharedConfig`.
            augmentation: a `generators.Augmentation` for the training photos, or None. `config.views` augmented
                views of each are cached and taken in turn; with 0 views every epoch draws new ones, uncached.
            turns: in how many of the eight orientations of a square `predict` looks at validation and test photos.
            clips: how clips are read, where the files are no photos.
            at: the tensors of `model` to cut at, where the recipe knows them; else `cut` finds them.

        Raises:
            UserError: the cache cannot be written, or would be larger than its limit or the free space.
        """
        self.backbone, self.splits, self.config, self.augmentation = backbone, splits, config, augmentation or None
        self.turns, self.clips, self.at = turns, clips, at
        self.model, self.suffix, self.store, self.seconds, self.cache_bytes = model, model, None, 0.0, 0
        live = augmentation and config.views == 0
        self.cut = None if config.no_cache or live else cut(model, at)
        self.tensors: list = []
        if self.cut and self.cut.prefix:
            self.tensors, self.suffix = self.cut.tensors, self.cut.suffix
            started = time.perf_counter()
            self.store = self._filled_store(self.cut.prefix)
            self.seconds = time.perf_counter() - started

    def generators(self, first_epoch: int = 0, balanced: bool = False):
        """`train_generator, val_generator, test_generator` for `suffix`, in the whole model's order.

        With `balanced` the training photos are drawn so that every class comes alike often.
        """
        config, splits = self.config, self.splits
        if self.store:
            views = [self.store.reader(self._row_names("train", view)) for view in self._views("train")]
            train_generator = generators.training_rows(
                views, splits.labels("train"), seed=config.seed, first_epoch=first_epoch, balanced=balanced,
                **self._shape(),
            )  # fmt: skip
        else:
            train_generator, _, _ = splits.generators(
                self.backbone.resize, self.backbone.preprocess, config.batch_size, config.seed, self.augmentation,
                first_epoch, balanced, self.clips,
            )  # fmt: skip
        return train_generator, self._looks("validation")[0], self._looks("test")[0]

    def features(self, split: str) -> np.ndarray:
        """What crosses the frontier of a split's photos, in each of their views or turns: (views, n, …).

        Raises:
            ValueError: nothing is frozen, or several tensors cross the frontier.
        """
        part = self.cut or cut(self.model, self.at)
        if not part.prefix or len(part.tensors) > 1:
            raise ValueError("features: one tensor must cross the frontier")
        names = [self._row_names(split, view) for view in self._views(split)]
        if self.store:
            return np.stack([self.store.reader(row)(range(len(row)))[0] for row in names])
        computed: dict[str, np.ndarray] = {}
        for batch, (features,) in self._from_photos(self._work_of(split), part.prefix):
            computed.update(zip(batch, features, strict=True))
        return np.stack([[computed[name] for name in row] for row in names])

    def predict(self, split: str) -> np.ndarray:
        """What the suffix says of a split's photos in each of their turns, of training photos in each of their views:
        (turns, n, classes)."""
        return np.stack([self.suffix.predict(batches, verbose=0) for batches in self._looks(split)])

    def _looks(self, split: str) -> list:
        """For each turn the photos of a split in order, in batches for `suffix`."""
        splits, labels = self.splits, self.splits.labels(split)
        if self.store:
            readers = [self.store.reader(self._row_names(split, view)) for view in self._views(split)]
            return [generators.evaluation_rows(reader, labels, **self._shape()) for reader in readers]
        return [
            generators.evaluation_batches(
                splits.paths(split), labels, len(splits.class_names), self.backbone.resize, self.config.batch_size,
                self.backbone.preprocess, view.turn, self.clips, view.position,
            )
            for view in self._views(split)
        ]  # fmt: skip

    def _shape(self) -> dict:
        """What `common.generators` has to know of cached rows."""
        return {
            "num_classes": len(self.splits.class_names),
            "batch_size": self.config.batch_size,
            "dtypes": [keras.backend.standardize_dtype(tensor.dtype) for tensor in self.tensors],
            "shapes": [tuple(tensor.shape[1:]) for tensor in self.tensors],
        }

    def _views(self, split: str) -> list["View"]:
        """How each photo of a split is looked at: training photos augmented, the others in their turns."""
        windows = self.clips and self.clips.sampling == "window"
        if split == "train":
            several = self.augmentation or windows
            return [View(number=number) for number in range(max(1, self.config.views))] if several else [View()]
        positions = self.clips.positions() if self.clips else [0.5]  # the first one validates during the training
        return [View(turn=turn, position=position) for position in positions for turn in range(self.turns)]

    def _row_names(self, split: str, view: "View") -> list[str]:
        """Names of a split's rows: the file's content, and what was done to the photo, if anything."""
        contents = self.splits.contents(split)
        if view == View() and not self.clips:
            return contents
        marks = f"turn {view.turn}"
        if view.number is not None:
            changes = dataclasses.asdict(self.augmentation) if self.augmentation else None
            marks = json.dumps([changes, self.config.seed, view.number])
        if self.clips:
            frames = [self.clips.frames, self.clips.sampling, self.clips.stride, view.position]
            marks = json.dumps([marks, frames])
        return [f"{content}-{hashlib.sha256(marks.encode()).hexdigest()[:16]}" for content in contents]

    def _work(self) -> dict[str, tuple[str, "View"]]:
        """Row name → (path, view) for all that the run needs."""
        return {name: item for split in ("train", "validation", "test") for name, item in self._work_of(split).items()}

    def _work_of(self, split: str) -> dict[str, tuple[str, "View"]]:
        """Likewise for one split."""
        work: dict[str, tuple[str, View]] = {}
        for view in self._views(split):
            items = [(path, view) for path in self.splits.paths(split)]
            work.update(zip(self._row_names(split, view), items, strict=True))
        return work

    def _filled_store(self, prefix: keras.Model) -> feature_store.FeatureStore:
        """Opens the features of this prefix and computes the missing ones."""
        store = self._open(self.tensors)
        work = self._work()
        missing = {name: item for name, item in work.items() if name not in store}
        self.cache_bytes = len(work) * store.row_bytes
        if missing:
            self._check_size(store, len(missing))
            source = self._source(missing, store)
            self._say(prefix, store, source, len(missing), len(work))
            with tqdm.tqdm(total=len(missing), desc="frozen prefix", unit=self._unit) as progress:
                batches = self._from_features(*source, missing) if source else self._from_photos(missing, prefix)
                store.write(_counted(batches, progress))
        return store

    @property
    def _unit(self) -> str:
        return "clip" if self.clips else "photo"

    def _say(self, prefix: keras.Model, store, source, missing: int, total: int) -> None:
        """What is going to be computed, and the space that it takes."""
        start = "from the features of an earlier cut" if source else f"from the {self._unit}s"
        each = self._unit if len(self._views("train")) == 1 else f"view of a {self._unit}"
        shapes = " + ".join(" x ".join(map(str, tensor.shape[1:])) for tensor in self.tensors)
        print(
            f"frozen prefix: {len(prefix.layers)} layers, once a {each}, {start}; {missing} of {total} "
            f"to do, {shapes} each, {_size(missing * store.row_bytes)} in {store.directory}",
            file=sys.stderr,
        )

    def _open(self, tensors: list) -> feature_store.FeatureStore:
        """The store of the prefix that ends in `tensors`."""
        dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors]
        if self.config.cache_dtype == "float16":
            dtypes = ["float16" if dtype == "float32" else dtype for dtype in dtypes]
        about = {
            "backbone": self.backbone.name,
            "weights": self.backbone.weights,
            "image_size": self.backbone.image_size,
            "tensors": [[*_address(self.model, tensor), tensor.name, list(tensor.shape[1:])] for tensor in tensors],
        }
        specification = [(tuple(tensor.shape[1:]), dtype) for tensor, dtype in zip(tensors, dtypes, strict=True)]
        return feature_store.FeatureStore(self._directory(tensors), specification, about)

    def _directory(self, tensors: list) -> pathlib.Path:
        key = fingerprint(keras.Model(self.model.inputs, tensors), self.backbone, self.config.cache_dtype)
        return self.config.cache_directory / "features" / key

    def _check_size(self, store, missing: int) -> None:
        """Refuses what does not fit, before the work."""
        needed = missing * store.row_bytes
        advice = "take another --cache, --cache-dtype float16, fewer --views, or --no-cache"
        if needed > self.config.cache_limit * 1e9:
            raise errors.UserError(
                f"the features need {_size(needed)}, more than --cache-limit {self.config.cache_limit:g} (GB): "
                f"raise it, or {advice}"
            )
        free = shutil.disk_usage(store.directory).free
        if needed > free:
            raise errors.UserError(f"the features need {_size(needed)}, {_size(free)} are free: {advice}")

    def _from_photos(self, work: dict[str, tuple[str, "View"]], prefix: keras.Model):
        """Yields (names, features) batch by batch, photos first as they are, then augmented."""
        for numbered in (False, True):
            names = [name for name, (_, view) in work.items() if (view.number is not None) == numbered]
            for part in self._portions(names):
                batches = generators.photo_batches(
                    [work[name][0] for name in part], self.backbone.resize, self.config.batch_size,
                    self.backbone.preprocess, self.augmentation if numbered else None,
                    [_view_seed(self.config.seed, name) for name in part], [work[name][1].turn for name in part],
                    self.clips, None if numbered else [work[name][1].position for name in part],
                )  # fmt: skip
                yield from _through(prefix, part, batches if device.has_gpu() else list(batches))

    def _portions(self, names: list[str]):
        """The names in portions of whole batches; on the CPU one is decoded to its end before it is computed.

        There the two would only compete for the cores, and worse: while a tf.data pipeline was alive, TensorFlow 2.21
        left a core idle for a third of the time in about every other run (VGG16: 0.21 instead of 0.14 s a photo).
        """
        photo_bytes = self.backbone.image_size**2 * 3 * 4 * (self.clips.frames if self.clips else 1)
        batches = max(1, PORTION_BYTES // (photo_bytes * self.config.batch_size))
        size = len(names) if device.has_gpu() else batches * self.config.batch_size
        for start in range(0, len(names), max(1, size)):
            yield names[start : start + size]

    def _source(self, work, own) -> tuple[feature_store.FeatureStore, keras.Model] | None:
        """A store of the same network cut further out that has all the photos, and the model from there to this cut;
        the smallest such.

        None under `--cache-dtype float16`: features computed from rounded ones would be rounded twice, and the same key
        must always stand for the same numbers.
        """
        found = []
        if self.config.cache_dtype == "float16":
            return None
        for path in self.config.cache_directory.glob("features/*"):
            tensors = _tensors_at(self.model, feature_store.about_of(path).get("tensors", []))
            if path == own.directory or not tensors or self._directory(tensors) != path:
                continue
            try:
                bridge = keras.Model(tensors, self.tensors)
            except ValueError:  # not between the input and our cut
                continue
            store = self._open(tensors)
            if all(name in store for name in work):
                found.append((store, bridge))
        return min(found, key=lambda source: len(source[1].layers), default=None)

    def _from_features(self, store: feature_store.FeatureStore, bridge: keras.Model, work):
        """Yields (names, features) computed from the features of a cut further out."""
        names = list(work)
        read = store.reader(names)
        size = self.config.batch_size
        batches = (read(range(start, min(start + size, len(names)))) for start in range(0, len(names), size))
        yield from _through(bridge, names, batches)


def _through(model: keras.Model, names: list[str], batches):
    """Yields (names, outputs) for batches of inputs; inference mode."""
    start = 0
    for batch in batches:
        outputs = model.predict_on_batch(batch)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        yield names[start : start + len(outputs[0])], outputs
        start += len(outputs[0])


def _counted(batches, progress):
    for names, arrays in batches:
        yield names, arrays
        progress.update(len(names))


def _size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _view_seed(seed: int, name: str) -> tuple[int, int]:
    """Two integers from the run's seed and the row's name, which holds the photo's content and the view."""
    return seed, int(hashlib.sha256(name.encode()).hexdigest()[:7], 16)


def _address(model: keras.Model, tensor) -> tuple[int, int]:
    """Where in the model a tensor is made: the operation's number and the number among its outputs."""
    for number, operation in enumerate(model.operations):
        for place, output in enumerate(_flat(operation.output)):
            if output is tensor:
                return number, place
    raise ValueError(f"{tensor.name} is not made in {model.name}")


def _tensors_at(model: keras.Model, addresses: list) -> list | None:
    """The tensors at addresses written by another run, None when this model has no such place or shape."""
    found = []
    for number, place, _, shape in addresses:
        outputs = _flat(model.operations[number].output) if number < len(model.operations) else []
        if place >= len(outputs) or list(outputs[place].shape[1:]) != shape:
            return None
        found.append(outputs[place])
    return found
