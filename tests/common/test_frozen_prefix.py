"""Cached against uncached: the frozen prefix must change nothing but the time."""

import dataclasses
import importlib.metadata

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from common import backbones, config, data, errors, frozen_prefix, generators, surgery, video

EPOCHS = 3


def classifier(base, pooling=True):
    x = keras.layers.GlobalAveragePooling2D()(base.output) if pooling else keras.layers.Flatten()(base.output)
    x = keras.layers.Dropout(0.2, seed=1)(x)
    return keras.Model(base.input, keras.layers.Dense(2, activation="softmax", dtype="float32")(x))


def unfreeze_from(model, base, layer_name):
    """Everything up to the layer frozen, what comes after it trains but for batch norm."""
    surgery.freeze(base)
    names = [layer.name for layer in base.layers]
    for layer in base.layers[names.index(layer_name) + 1 :]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


@pytest.fixture
def settings(stripes, tmp_path):
    return config.SharedConfig(
        data=str(stripes), cache=tmp_path / "cache", batch_size=4, seed=3, validation_fraction=0.2, test_fraction=0.2
    )


@pytest.fixture
def splits(settings, tmp_path):
    (tmp_path / "run").mkdir()
    return data.load(settings, tmp_path / "run")


def trained(name, image_size, cut_at, splits, settings, optimizer=None, augmentation=None, pooling=True, validate=True):
    """Losses of three epochs and all weights, whole or cut at the frontier as `settings` say."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone = backbones.load(name, "none", image_size)
    model = classifier(backbone.model, pooling)
    unfreeze_from(model, backbone.model, cut_at or backbone.model.layers[-1].name)
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, settings, augmentation)
    train_generator, val_generator, _ = prefix.generators()
    part = prefix.suffix
    part.compile(optimizer or keras.optimizers.SGD(1e-3, momentum=0.9), "categorical_crossentropy")
    history = part.fit(
        train_generator, epochs=EPOCHS, steps_per_epoch=generators.steps(len(splits.train), settings.batch_size),
        validation_data=val_generator if validate else None, verbose=0, shuffle=False,
    ).history  # fmt: skip
    return np.array(list(history.values())), model.get_weights(), prefix


def assert_equal(cached, whole):
    (losses, weights, prefix), (whole_losses, whole_weights, no_prefix) = cached, whole
    assert prefix.store is not None and no_prefix.store is None
    assert np.allclose(losses, whole_losses, rtol=1e-5)
    for a, b in zip(weights, whole_weights, strict=True):
        assert np.allclose(a, b, atol=1e-5)


# The last frozen layer: VGG16 trains from layer 15 on. The last of the other nets' is inside a branched block,
# where more than one tensor crosses. `benchmarks/every_backbone.py` cuts at every block.
CUTS = [
    ("VGG16", 32, ["block4_pool"]),
    ("MobileNetV2:0.35", 32, ["block_12_project_BN", "block_14_depthwise"]),
]
DEEP_CUTS = [
    ("ResNet50", 32, ["conv4_block3_1_relu"]),
    ("InceptionV3", 75, ["conv2d_60"]),
    ("EfficientNetB0", 32, ["block5b_se_reduce"]),
    ("DenseNet121", 32, ["conv4_block5_1_relu"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "cut_at"),
    [(name, size, cut) for name, size, cuts in CUTS for cut in cuts]
    + [pytest.param(name, size, cut, marks=pytest.mark.long) for name, size, cuts in DEEP_CUTS for cut in cuts],
)
def test_training_behind_the_cache_is_training_the_whole_model(name, size, cut_at, splits, settings):
    whole = trained(name, size, cut_at, splits, dataclasses.replace(settings, no_cache=True), validate=False)
    assert_equal(trained(name, size, cut_at, splits, settings, validate=False), whole)


@pytest.mark.parametrize("pooling", [True, False])
def test_a_head_on_a_frozen_base(pooling, splits, settings):
    whole = trained("demo", 32, None, splits, dataclasses.replace(settings, no_cache=True), pooling=pooling)
    cached = trained("demo", 32, None, splits, settings, pooling=pooling)
    assert_equal(cached, whole)
    assert [tuple(tensor.shape[1:]) for tensor in cached[2].cut.tensors] == [(80,)]  # pooled or flattened: 1 x 1 x 80


def test_a_layer_of_a_branched_block_lets_two_tensors_cross(splits, settings):
    _, _, prefix = trained("MobileNetV2:0.35", 32, "block_14_depthwise", splits, settings)
    assert len(prefix.cut.tensors) == 2


def test_nothing_frozen_means_no_prefix_and_nothing_trained_is_an_error():
    model = classifier(backbones.load("demo", "none", 32).model)
    assert frozen_prefix.cut(model).prefix is None and frozen_prefix.cut(model).suffix is model
    model.trainable = False
    with pytest.raises(ValueError, match="nothing trains"):
        frozen_prefix.cut(model)


def test_a_random_layer_is_not_cached_unless_it_is_frozen():
    inputs = keras.Input((8,))
    frozen = keras.layers.Dense(4, name="first")
    x = keras.layers.Dropout(0.5, name="drop")(frozen(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    frozen.trainable = False
    assert [layer.name for layer in frozen_prefix.cut(model).prefix.layers][-1] == "first"
    surgery.freeze(keras.Model(inputs, x))
    assert [layer.name for layer in frozen_prefix.cut(model).prefix.layers][-1] == "drop"


def test_a_random_layer_without_a_rate_is_never_cached():
    inputs = keras.Input((8, 8, 3))
    frozen = keras.layers.Conv2D(2, 3, name="first")
    x = keras.layers.RandomFlip(name="flip")(frozen(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    surgery.freeze(keras.Model(inputs, x))
    assert [layer.name for layer in frozen_prefix.cut(model).prefix.layers][-1] == "first"


def test_what_cannot_be_cut_is_refused():
    inputs = keras.Input((8,))
    shared = keras.layers.Dense(8, name="shared")
    with pytest.raises(ValueError, match="shared is applied more than once"):
        frozen_prefix.cut(keras.Model(inputs, shared(shared(inputs))))
    base = keras.Sequential([inputs, keras.layers.Dense(8), keras.layers.Dense(8)], name="base")
    outer = keras.Input((8,))
    model = keras.Model(outer, keras.layers.Dense(2)(base(outer)))
    base.layers[0].trainable = False
    with pytest.raises(ValueError, match="build on base.output"):
        frozen_prefix.cut(model)
    base.layers[1].trainable = False
    assert [layer.name for layer in frozen_prefix.cut(model).prefix.layers][-1] == "base"


def test_portions_of_any_size_give_the_same_features(splits, settings, tmp_path, monkeypatch):
    whole = features(splits, settings)
    monkeypatch.setattr(frozen_prefix, "PORTION_BYTES", 1)  # one batch
    parts = features(splits, dataclasses.replace(settings, cache=tmp_path / "other"))
    names = splits.contents("train")
    a, b = (prefix.store.reader(names)(range(len(names)))[0] for prefix in (whole, parts))
    assert np.array_equal(a, b)


def test_a_second_run_computes_nothing(splits, settings, monkeypatch):
    first = trained("demo", 32, None, splits, settings)
    monkeypatch.setattr(generators, "photo_batches", None)
    second = trained("demo", 32, None, splits, settings)
    assert np.array_equal(first[0], second[0])


def features(splits, settings, name="demo", size=32, cut_at=None, augmentation=None):
    keras.utils.set_random_seed(0)
    backbone = backbones.load(name, "demo" if name == "demo" else "none", size, settings.aspect)
    model = classifier(backbone.model)
    unfreeze_from(model, backbone.model, cut_at or backbone.model.layers[-1].name)
    return frozen_prefix.FrozenPrefix(model, backbone, splits, settings, augmentation)


def count_of_computed(monkeypatch, *arguments, **settings):
    """How many photos go through the network (or half of it)."""
    computed = []
    through = frozen_prefix._through

    def counted(model, names, batches):
        computed.extend(names)
        yield from through(model, names, batches)

    with monkeypatch.context() as patched:
        patched.setattr(frozen_prefix, "_through", counted)
        features(*arguments, **settings)
    return len(computed)


def test_what_changes_the_features_misses_the_cache(splits, settings, monkeypatch, stripes, tmp_path):
    augmentation = generators.Augmentation(flip=True, rotation=10)
    two_views = dataclasses.replace(settings, views=2)
    assert count_of_computed(monkeypatch, splits, settings) == 30
    assert count_of_computed(monkeypatch, splits, settings) == 0
    assert count_of_computed(monkeypatch, splits, settings, size=48) == 30
    assert count_of_computed(monkeypatch, splits, dataclasses.replace(settings, aspect="pad")) == 30
    assert count_of_computed(monkeypatch, splits, dataclasses.replace(settings, cache_dtype="float16")) == 30
    # Other weights and another preprocessing.
    load = backbones.load
    monkeypatch.setattr(backbones, "load", lambda *a: _moved(load(*a)))
    assert count_of_computed(monkeypatch, splits, settings) == 30
    monkeypatch.setattr(backbones, "load", lambda *a: dataclasses.replace(load(*a), preprocess=lambda x: x / 255))
    assert count_of_computed(monkeypatch, splits, settings) == 30
    monkeypatch.setattr(backbones, "load", load)
    # Another version of what decodes and computes.
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version(name) + (name == "pillow") * ".1")
    assert count_of_computed(monkeypatch, splits, settings) == 30
    monkeypatch.setattr(importlib.metadata, "version", version)
    # Augmented views: validation and test photos are there already.
    assert count_of_computed(monkeypatch, splits, two_views, augmentation=augmentation) == 2 * 18
    assert count_of_computed(monkeypatch, splits, two_views, augmentation=augmentation) == 0
    assert (
        count_of_computed(monkeypatch, splits, dataclasses.replace(two_views, seed=4), augmentation=augmentation) == 36
    )
    stronger = dataclasses.replace(augmentation, rotation=20)
    assert count_of_computed(monkeypatch, splits, two_views, augmentation=stronger) == 36


def _moved(backbone):
    kernel = backbone.model.get_layer("block3_conv1").kernel
    kernel.assign(kernel + 1e-3)
    return backbone


def test_a_renamed_folder_hits_the_cache_and_a_changed_photo_misses_it(stripes, settings, tmp_path, monkeypatch):
    def splits_of(folder, name):
        (tmp_path / name).mkdir()
        return data.load(dataclasses.replace(settings, data=str(folder)), tmp_path / name)

    features(splits_of(stripes, "one"), settings)
    stripes.rename(tmp_path / "renamed")
    splits = splits_of(tmp_path / "renamed", "two")
    assert count_of_computed(monkeypatch, splits, settings) == 0
    path = splits.paths("train")[0]
    ImageOps.mirror(Image.open(path)).save(path)
    assert count_of_computed(monkeypatch, splits_of(tmp_path / "renamed", "three"), settings) == 1


def test_a_cut_further_in_is_computed_from_a_cut_further_out(splits, settings, tmp_path, monkeypatch):
    outer = features(splits, settings, cut_at="block4_pool")
    monkeypatch.setattr(generators, "photo_batches", None)  # no photo is read again
    inner = features(splits, settings, cut_at="block5_pool")
    assert inner.store.directory != outer.store.directory
    monkeypatch.undo()
    fresh = features(splits, dataclasses.replace(settings, cache=tmp_path / "other"), cut_at="block5_pool")
    names = splits.contents("test")
    assert np.allclose(inner.store.reader(names)(range(6))[0], fresh.store.reader(names)(range(6))[0], atol=1e-5)


def test_views_are_taken_in_turn(splits, settings):
    settings = dataclasses.replace(settings, views=2)
    prefix = features(splits, settings, augmentation=generators.Augmentation(rotation=30, contrast=0.5))
    train_generator, _, _ = prefix.generators()
    steps = generators.steps(len(splits.train), settings.batch_size)
    epochs = [np.sort(np.concatenate([x for x, _ in train_generator.skip(steps * e).take(steps)]), 0) for e in range(3)]
    assert np.array_equal(epochs[0], epochs[2]) and not np.allclose(epochs[0], epochs[1])


def test_features_are_what_the_frozen_part_makes_of_every_view(splits, settings):
    backbone = backbones.load("demo", "demo", 32)
    surgery.freeze(backbone.model)
    model, looks = classifier(backbone.model), []
    for no_cache in (False, True):
        changed = dataclasses.replace(settings, views=3, no_cache=no_cache)
        prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, changed, generators.Augmentation(flip=True))
        looks.append({split: prefix.features(split) for split in ("train", "validation")})
        assert looks[-1]["train"].shape == (3, len(splits.train), 80)
        assert looks[-1]["validation"].shape == (1, len(splits.validation), 80)
        head = keras.Model(model.layers[-3].output, model.output)  # dropout and softmax
        answers = head.predict(looks[-1]["validation"][0], verbose=0)
        assert np.allclose(answers, prefix.predict("validation")[0], atol=1e-5)
    for split in ("train", "validation"):
        assert np.allclose(looks[0][split], looks[1][split], atol=1e-5)
    assert len(np.unique(looks[0]["train"].round(4), axis=0)) > 1  # flipped or not


def test_turned_photos_are_cached_too(splits, settings, monkeypatch):
    """Behind the cache or through the whole model, every turn gives the same answers, and each turn others."""
    answers = []
    for no_cache in (False, True):
        keras.utils.set_random_seed(0)
        backbone = backbones.load("demo", "demo", 32)
        surgery.freeze(backbone.model)
        model = classifier(backbone.model)
        own = dataclasses.replace(settings, no_cache=no_cache)
        prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, own, turns=8)
        answers.append(prefix.predict("validation"))
    assert answers[0].shape == (8, len(splits.validation), 2)
    assert np.allclose(*answers, atol=1e-5)
    assert not any(np.allclose(answers[0][0], other, atol=1e-6) for other in answers[0][1:])
    # Training photos are there already; of the others so are the photos as they are.
    held_out = len(splits.validation + splits.test)
    assert frozen_prefix.FrozenPrefix(classifier(backbone.model), backbone, splits, settings).cache_bytes > 0
    store = features(splits, settings).store
    assert len({name for name in prefix._work() if name in store}) == len(splits.train) + held_out * 8


def test_float16_halves_the_cache_and_hardly_changes_the_features(splits, settings, tmp_path):
    exact = features(splits, settings)
    half = features(splits, dataclasses.replace(settings, cache_dtype="float16"))
    assert half.cache_bytes * 2 == exact.cache_bytes
    names = splits.contents("test")
    a, b = (prefix.store.reader(names)(range(6))[0].astype("float32") for prefix in (exact, half))
    assert np.allclose(a, b, rtol=2e-3, atol=1e-3) and not np.array_equal(a, b)
    # A cut further in is computed from the photos again: what was rounded once is not rounded twice.
    in16 = dataclasses.replace(settings, cache_dtype="float16")
    features(splits, in16, cut_at="block4_pool")
    after, fresh = (
        features(splits, dataclasses.replace(in16, cache=cache), cut_at="block5_conv1")
        for cache in (settings.cache, tmp_path / "fresh")
    )
    a, b = (prefix.store.reader(names)(range(6))[0] for prefix in (after, fresh))
    assert np.array_equal(a, b)


def test_too_large_a_cache_is_refused_before_the_work(splits, settings):
    with pytest.raises(errors.UserError, match="need 0.0 MB, more than --cache-limit 1e-06"):
        features(splits, dataclasses.replace(settings, cache_limit=1e-6))


def test_a_damaged_shard_is_computed_again_and_the_result_is_right(splits, settings, capsys, monkeypatch):
    before = trained("demo", 32, None, splits, settings)
    shard = next(before[2].store.directory.glob("*.shard"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0x40
    shard.write_bytes(content)
    after = trained("demo", 32, None, splits, settings)
    assert "damaged" in capsys.readouterr().err and np.array_equal(before[0], after[0])


# Clips: rows of several frames, and a cut that the caller has made --------------------------------------------------


@pytest.fixture
def clips(settings, tmp_path):
    """Splits of 2 x 10 clips of 20 frames, which brighten or darken with time."""
    random = np.random.default_rng(0)
    for label, change in (("up", 8), ("down", -8)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(10):
            frames = random.integers(90, 160, (1, 36, 40, 3)) + change * np.arange(-10, 10)[:, None, None, None]
            path = tmp_path / "clips" / label / f"{number}.mkv"
            video.write(path, frames.clip(0, 255).astype("uint8"), lossless=True)
    samples = [data.Sample(str(path), path.parent.name) for path in sorted((tmp_path / "clips").glob("*/*.mkv"))]
    (tmp_path / "run_of_clips").mkdir()
    return data.load(settings, tmp_path / "run_of_clips", samples, kind=video)


def pooled_frames(frames):
    """A frozen net on each frame, maps pooled over time and space, a head: the model and the tensors to cut at."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone = backbones.load("demo", "demo", 32)
    surgery.freeze(backbone.model)
    clip = keras.Input((frames, 32, 32, 3))
    maps = backbone.model(keras.ops.reshape(clip, (-1, 32, 32, 3)))
    pooled = keras.layers.GlobalAveragePooling3D()(keras.ops.reshape(maps, (-1, frames, *maps.shape[1:])))
    return backbone, keras.Model(clip, keras.layers.Dense(2, activation="softmax")(pooled)), [pooled]


@pytest.mark.parametrize("sampling", ["whole", "window"])
def test_clips_behind_the_cache_are_clips_through_the_whole_model(clips, settings, sampling):
    found = []
    for no_cache in (False, True):
        backbone, model, at = pooled_frames(4)
        own = dataclasses.replace(settings, no_cache=no_cache)
        how = generators.Clips(4, sampling, looks=2)
        prefix = frozen_prefix.FrozenPrefix(model, backbone, clips, own, clips=how, at=at)
        train_generator, val_generator, _ = prefix.generators()
        prefix.suffix.compile(keras.optimizers.SGD(1e-2), "categorical_crossentropy")
        # Training windows lie anywhere: cached views and live draws differ there, so only whole clips are trained on.
        if sampling == "whole":
            prefix.suffix.fit(train_generator, epochs=EPOCHS, steps_per_epoch=3, verbose=0, shuffle=False)
        found.append((prefix.suffix.evaluate(val_generator, verbose=0), prefix.predict("test")))
    (loss, answers), (whole_loss, whole_answers) = found
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert answers.shape == (1 if sampling == "whole" else 2, len(clips.test), 2)
    assert np.allclose(answers, whole_answers, atol=1e-5)
    if sampling == "window":  # the clip changes with time, and so does the answer with the window
        assert not np.allclose(answers[0], answers[1], atol=1e-6)


def test_training_windows_lie_anywhere_and_are_cached_as_views(clips, settings):
    backbone, model, at = pooled_frames(4)
    how, own = generators.Clips(4, "window", stride=1), dataclasses.replace(settings, views=3)
    prefix = frozen_prefix.FrozenPrefix(model, backbone, clips, own, clips=how, at=at)
    assert len(prefix._work()) == 3 * len(clips.train) + len(clips.validation) + len(clips.test)
    train_generator, _, _ = prefix.generators()
    steps = generators.steps(len(clips.train), settings.batch_size)
    epochs = [np.sort(np.concatenate([x for x, _ in train_generator.skip(steps * e).take(steps)]), 0) for e in range(4)]
    assert np.array_equal(epochs[0], epochs[3]) and not np.allclose(epochs[0], epochs[1])


def test_other_frames_of_a_clip_miss_the_cache(clips, settings):
    backbone, model, at = pooled_frames(4)
    first = frozen_prefix.FrozenPrefix(model, backbone, clips, settings, clips=generators.Clips(4), at=at)
    others = generators.Clips(4, "window"), generators.Clips(4, "window", stride=1)
    names = [set(first._work())]
    for how in others:
        names.append(set(frozen_prefix.FrozenPrefix(model, backbone, clips, settings, clips=how, at=at)._work()))
    assert not names[0] & names[1] and not names[1] & names[2]


def test_names_that_keras_counts_up_inside_a_model_do_not_matter():
    """InceptionV3 leaves its layers' names to Keras; a second run in one process must find the first one's features."""
    directories = set()
    for _ in range(2):
        keras.utils.set_random_seed(0)
        photo = keras.Input((8, 8, 3))
        maps = keras.layers.ReLU()(keras.layers.Conv2D(4, 3)(photo))
        network = keras.Model(photo, keras.layers.Conv2D(2, 3, name="end")(maps))
        clip = keras.Input((2, 8, 8, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(network(keras.ops.reshape(clip, (-1, 8, 8, 3))))
        model = keras.Model(clip, pooled)
        for layer in surgery.leaf_layers(model):
            layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
        backbone = backbones.load("demo", "demo", 32)
        directories.add(frozen_prefix.fingerprint(model, backbone, "float32"))
    assert len(directories) == 1


def test_all_frames_of_a_clip_are_augmented_alike():
    frame = np.random.default_rng(0).uniform(0, 255, (16, 16, 3)).astype("float32")
    augmentation = generators.Augmentation(flip=True, rotation=30, zoom=0.2, contrast=0.3, colour=0.2)
    for number in range(6):
        clip = generators.augment(tf.constant(np.stack([frame] * 3)), augmentation, (0, number)).numpy()
        alone = generators.augment(tf.constant(frame), augmentation, (0, number)).numpy()
        assert np.allclose(clip, alone[None], atol=0.05)
