"""Cached against uncached: the frozen prefix must change nothing but the time."""

import dataclasses
import importlib.metadata

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from common import errors
from common.data import dataset, pipeline, sample_list
from common.features import frozen_prefix
from common.media import clips, film, photos
from common.models import backbones, freezing
from common.training import settings as training_settings

EPOCHS = 3


def classifier(base, pooling=True):
    x = keras.layers.GlobalAveragePooling2D()(base.output) if pooling else keras.layers.Flatten()(base.output)
    x = keras.layers.Dropout(0.2, seed=1)(x)
    return keras.Model(base.input, keras.layers.Dense(2, activation="softmax", dtype="float32")(x))


def unfreeze_from(model, base, layer_name):
    """Everything up to the layer frozen, what comes after it trains but for batch norm."""
    freezing.freeze(base)
    names = [layer.name for layer in base.layers]
    for layer in base.layers[names.index(layer_name) + 1 :]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


@pytest.fixture
def settings(stripes, tmp_path):
    return training_settings.PhotoConfig(
        data=str(stripes), cache=tmp_path / "cache", batch_size=4, seed=3, validation_fraction=0.2, test_fraction=0.2
    )


@pytest.fixture
def splits(settings, tmp_path):
    (tmp_path / "run").mkdir()
    return dataset.load(settings, tmp_path / "run", photos.PHOTOS)


def trained(name, image_size, cut_at, splits, settings, optimizer=None, pooling=True, validate=True):
    """Losses of three epochs and all weights, whole or cut at the frontier as `settings` say."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone = backbones.load(name, "none", image_size)
    model = classifier(backbone.model, pooling)
    unfreeze_from(model, backbone.model, cut_at or backbone.model.layers[-1].name)
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, settings)
    train_generator, val_generator, _ = prefix.generators()
    part = prefix.suffix
    part.compile(optimizer or keras.optimizers.SGD(1e-3, momentum=0.9), "categorical_crossentropy")
    history = part.fit(
        train_generator, epochs=EPOCHS, steps_per_epoch=pipeline.steps(len(splits.train), settings.batch_size),
        validation_data=val_generator if validate else None, verbose=0, shuffle=False,
    ).history  # fmt: skip
    return np.array(list(history.values())), model.get_weights(), prefix


def assert_equal(cached, whole):
    (losses, weights, prefix), (whole_losses, whole_weights, no_prefix) = cached, whole
    assert prefix.store is not None and no_prefix.store is None
    assert np.allclose(losses, whole_losses, rtol=1e-5)
    for a, b in zip(weights, whole_weights, strict=True):
        assert np.allclose(a, b, atol=1e-5)


# The last frozen layer, and how many tensors cross: VGG16 trains from layer 15 on. The last of the other nets' is
# inside a branched block, where more than one tensor crosses. `benchmarks/every_backbone.py` cuts at every block.
CUTS = [("VGG16", 32, "block4_pool", 1), ("MobileNetV2:0.35", 32, "block_14_depthwise", 2)]
DEEP_CUTS = [
    ("MobileNetV2:0.35", 32, "block_12_project_BN", None),
    ("ResNet50", 32, "conv4_block3_1_relu", None),
    ("InceptionV3", 75, "conv2d_60", None),
    ("EfficientNetB0", 32, "block5b_se_reduce", None),
    ("DenseNet121", 32, "conv4_block5_1_relu", None),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "cut_at", "tensors"), CUTS + [pytest.param(*each, marks=pytest.mark.long) for each in DEEP_CUTS]
)
def test_training_behind_the_cache_is_training_the_whole_model(name, size, cut_at, tensors, splits, settings):
    whole = trained(name, size, cut_at, splits, dataclasses.replace(settings, no_cache=True), validate=False)
    cached = trained(name, size, cut_at, splits, settings, validate=False)
    assert_equal(cached, whole)
    assert tensors in (None, len(cached[2].cut.tensors))


@pytest.mark.parametrize("pooling", [True, False])
def test_a_head_on_a_frozen_base(pooling, splits, settings):
    whole = trained("demo", 32, None, splits, dataclasses.replace(settings, no_cache=True), pooling=pooling)
    cached = trained("demo", 32, None, splits, settings, pooling=pooling)
    assert_equal(cached, whole)
    assert [tuple(tensor.shape[1:]) for tensor in cached[2].cut.tensors] == [(80,)]  # pooled or flattened: 1 x 1 x 80


def test_portions_of_any_size_give_the_same_features(splits, settings, tmp_path, monkeypatch):
    whole = features(splits, settings)
    monkeypatch.setattr(frozen_prefix, "PORTION_BYTES", 1)  # one batch
    parts = features(splits, dataclasses.replace(settings, cache=tmp_path / "other"))
    names = splits.contents("train")
    a, b = (prefix.store.reader(names)(range(len(names)))[0] for prefix in (whole, parts))
    assert np.array_equal(a, b)


def test_a_second_run_computes_nothing(splits, settings, monkeypatch):
    first = trained("demo", 32, None, splits, settings)
    monkeypatch.setattr(pipeline, "look_batches", None)
    second = trained("demo", 32, None, splits, settings)
    assert np.array_equal(first[0], second[0])


def features(splits, settings, name="demo", size=32, cut_at=None):
    keras.utils.set_random_seed(0)
    backbone = backbones.load(name, "demo" if name == "demo" else "none", size, settings.aspect)
    model = classifier(backbone.model)
    unfreeze_from(model, backbone.model, cut_at or backbone.model.layers[-1].name)
    return frozen_prefix.FrozenPrefix(model, backbone, splits, settings)


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
    two_views = dataclasses.replace(settings, views=2, flip=True, rotation=10)
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
    assert count_of_computed(monkeypatch, splits, two_views) == 2 * 18
    assert count_of_computed(monkeypatch, splits, two_views) == 0
    assert count_of_computed(monkeypatch, splits, dataclasses.replace(two_views, seed=4)) == 36
    assert count_of_computed(monkeypatch, splits, dataclasses.replace(two_views, rotation=20)) == 36


def _moved(backbone):
    kernel = backbone.model.get_layer("block3_conv1").kernel
    kernel.assign(kernel + 1e-3)
    return backbone


def test_a_renamed_folder_hits_the_cache_and_a_changed_photo_misses_it(stripes, settings, tmp_path, monkeypatch):
    def splits_of(folder, name):
        (tmp_path / name).mkdir()
        return dataset.load(dataclasses.replace(settings, data=str(folder)), tmp_path / name, photos.PHOTOS)

    features(splits_of(stripes, "one"), settings)
    stripes.rename(tmp_path / "renamed")
    splits = splits_of(tmp_path / "renamed", "two")
    assert count_of_computed(monkeypatch, splits, settings) == 0
    path = splits.paths("train")[0]
    ImageOps.mirror(Image.open(path)).save(path)
    assert count_of_computed(monkeypatch, splits_of(tmp_path / "renamed", "three"), settings) == 1


def test_a_cut_further_in_is_computed_from_a_cut_further_out(splits, settings, tmp_path, monkeypatch):
    outer = features(splits, settings, cut_at="block4_pool")
    monkeypatch.setattr(pipeline, "look_batches", None)  # no photo is read again
    inner = features(splits, settings, cut_at="block5_pool")
    assert inner.store.directory != outer.store.directory
    monkeypatch.undo()
    fresh = features(splits, dataclasses.replace(settings, cache=tmp_path / "other"), cut_at="block5_pool")
    names = splits.contents("test")
    assert np.allclose(inner.store.reader(names)(range(6))[0], fresh.store.reader(names)(range(6))[0], atol=1e-5)


def test_views_are_taken_in_turn(splits, settings):
    settings = dataclasses.replace(settings, views=2, rotation=30, contrast=0.5)
    prefix = features(splits, settings)
    train_generator, _, _ = prefix.generators()
    steps = pipeline.steps(len(splits.train), settings.batch_size)
    epochs = [np.sort(np.concatenate([x for x, _ in train_generator.skip(steps * e).take(steps)]), 0) for e in range(3)]
    assert np.array_equal(epochs[0], epochs[2]) and not np.allclose(epochs[0], epochs[1])


def test_every_view_is_the_same_after_an_interruption(splits, settings, tmp_path):
    limits = {"hue": 0.1, "brightness": 0.2, "erasing": 0.7, "randaugment": 8.0, "views": 3, "rotation": 10.0}
    moving = dataclasses.replace(settings, **limits)
    whole = features(splits, moving).features("train")
    fewer = dataclasses.replace(splits, train=splits.train[::-1][:5])
    elsewhere = dataclasses.replace(moving, cache=tmp_path / "interrupted", batch_size=2)
    features(fewer, elsewhere)  # what an interrupted run has left
    assert np.allclose(features(splits, elsewhere).features("train"), whole, atol=1e-4)
    assert len({view.tobytes() for view in whole}) == 3 and np.abs(whole[0] - whole[1]).max() > 0.01


def test_mixup_mixes_cached_features_and_cutmix_photos(splits, settings):
    def batch(**changes):
        """The first training batch of this kind."""
        shared = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
        prefix = features(splits, training_settings.HeadConfig(**shared | changes))
        return [np.array(part) for part in next(iter(prefix.generators()[0]))]

    (plain, labels), (mixed, shares) = batch(), batch(mixup=1.0)
    assert not np.allclose(mixed, plain) and np.allclose(shares.sum(axis=1), 1)
    # The other items are the same ones in another order, so the mean of a mixed batch is that of the batch.
    assert np.allclose(mixed.mean(axis=0), plain.mean(axis=0), atol=1e-4)
    assert np.allclose(shares.mean(axis=0), labels.mean(axis=0), atol=1e-5)
    (pixels, _), (cut, _) = batch(no_cache=True), batch(no_cache=True, cutmix=1.0)
    assert pixels.shape[1:] == (32, 32, 3) == cut.shape[1:]
    known = {pixel.tobytes() for pixel in pixels.reshape(-1, 3)}
    assert {pixel.tobytes() for pixel in cut.reshape(-1, 3)} <= known and not np.array_equal(cut, pixels)


def test_features_are_what_the_frozen_part_makes_of_every_view(splits, settings):
    backbone = backbones.load("demo", "demo", 32)
    freezing.freeze(backbone.model)
    model, looks = classifier(backbone.model), []
    for no_cache in (False, True):
        changed = dataclasses.replace(settings, views=3, flip=True, no_cache=no_cache)
        prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, changed)
        looks.append({split: prefix.features(split) for split in ("train", "validation")})
        assert looks[-1]["train"].shape == (3, len(splits.train), 80)
        assert looks[-1]["validation"].shape == (1, len(splits.validation), 80)
        head = keras.Model(model.layers[-3].output, model.output)  # dropout and softmax
        answers = head.predict(looks[-1]["validation"][0], verbose=0)
        assert np.allclose(answers, prefix.predict("validation")[0], atol=1e-5)
    for split in ("train", "validation"):
        assert np.allclose(looks[0][split], looks[1][split], atol=1e-5)
    assert len(np.unique(looks[0]["train"].round(4), axis=0)) > 1  # flipped or not


def test_turned_pixelsare_cached_too(splits, settings, monkeypatch):
    """Behind the cache or through the whole model, every turn gives the same answers, and each turn others."""
    answers = []
    for no_cache in (False, True):
        keras.utils.set_random_seed(0)
        backbone = backbones.load("demo", "demo", 32)
        freezing.freeze(backbone.model)
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
    with pytest.raises(errors.UserError, match="need 0.0 MB, more than --cache-limit-gb 1e-06"):
        features(splits, dataclasses.replace(settings, cache_limit_gb=1e-6))


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
def clip_splits(settings, tmp_path):
    """Splits of 2 x 10 clips of 20 frames, which brighten or darken with time."""
    random = np.random.default_rng(0)
    for label, change in (("up", 8), ("down", -8)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(10):
            frames = random.integers(90, 160, (1, 36, 40, 3)) + change * np.arange(-10, 10)[:, None, None, None]
            path = tmp_path / "clips" / label / f"{number}.mkv"
            film.write(path, frames.clip(0, 255).astype("uint8"), lossless=True)
    samples = [sample_list.Sample(str(path), path.parent.name) for path in sorted((tmp_path / "clips").glob("*/*.mkv"))]
    (tmp_path / "run_of_clips").mkdir()

    def load(how):
        return dataset.load(settings, tmp_path / "run_of_clips", how, samples=samples)

    return load


def pooled_frames(frames):
    """A frozen net on each frame, maps pooled over time and space, a head: the model and the tensors to cut at."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    backbone = backbones.load("demo", "demo", 32)
    freezing.freeze(backbone.model)
    clip = keras.Input((frames, 32, 32, 3))
    maps = backbone.model(keras.ops.reshape(clip, (-1, 32, 32, 3)))
    pooled = keras.layers.GlobalAveragePooling3D()(keras.ops.reshape(maps, (-1, frames, *maps.shape[1:])))
    return backbone, keras.Model(clip, keras.layers.Dense(2, activation="softmax")(pooled)), [pooled]


@pytest.mark.parametrize("sampling", ["whole", "window"])
def test_clips_behind_the_cache_are_clips_through_the_whole_model(clip_splits, settings, sampling):
    found = []
    for no_cache in (False, True):
        backbone, model, at = pooled_frames(4)
        own = dataclasses.replace(settings, no_cache=no_cache)
        splits = clip_splits(clips.Clips(4, sampling, windows=2))
        prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, own, at=at)
        train_generator, val_generator, _ = prefix.generators()
        prefix.suffix.compile(keras.optimizers.SGD(1e-2), "categorical_crossentropy")
        # Training windows lie anywhere: cached views and live draws differ there, so only whole clips are trained on.
        if sampling == "whole":
            prefix.suffix.fit(train_generator, epochs=EPOCHS, steps_per_epoch=3, verbose=0, shuffle=False)
        found.append((prefix.suffix.evaluate(val_generator, verbose=0), prefix.predict("test")))
    (loss, answers), (whole_loss, whole_answers) = found
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert answers.shape == (1 if sampling == "whole" else 2, len(splits.test), 2)
    assert np.allclose(answers, whole_answers, atol=1e-5)
    if sampling == "window":  # the clip changes with time, and so does the answer with the window
        assert not np.allclose(answers[0], answers[1], atol=1e-6)


def test_training_windows_lie_anywhere_and_are_cached_as_views(clip_splits, settings):
    backbone, model, at = pooled_frames(4)
    splits, own = clip_splits(clips.Clips(4, "window", stride=1)), dataclasses.replace(settings, views=3)
    prefix = frozen_prefix.FrozenPrefix(model, backbone, splits, own, at=at)
    assert len(prefix._work()) == 3 * len(splits.train) + len(splits.validation) + len(splits.test)
    train_generator, _, _ = prefix.generators()
    steps = pipeline.steps(len(splits.train), settings.batch_size)
    epochs = [np.sort(np.concatenate([x for x, _ in train_generator.skip(steps * e).take(steps)]), 0) for e in range(4)]
    assert np.array_equal(epochs[0], epochs[3]) and not np.allclose(epochs[0], epochs[1])


def test_other_frames_of_a_clip_miss_the_cache(clip_splits, settings):
    backbone, model, at = pooled_frames(4)
    names = []
    for how in (clips.Clips(4), clips.Clips(4, "window"), clips.Clips(4, "window", stride=1)):
        names.append(set(frozen_prefix.FrozenPrefix(model, backbone, clip_splits(how), settings, at=at)._work()))
    assert not names[0] & names[1] and not names[1] & names[2]
