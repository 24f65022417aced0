import keras
import numpy as np
import pytest

from common import backbones, config, errors, generators, surgery


def small_network():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    return keras.Model(inputs, x, name="base")


def with_head(base):
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, keras.layers.Dense(2, activation="softmax", name="head")(x), name="classifier")


def train_a_step(model):
    random = np.random.default_rng(0)
    model.compile("sgd", "categorical_crossentropy")
    model.fit(random.normal(size=(8, 8, 8, 3)), np.eye(2)[random.integers(0, 2, 8)], verbose=0)


def test_a_frozen_base_does_not_move_not_even_its_batch_norm():
    base = small_network()
    surgery.freeze(base)
    model = with_head(base)
    before = [weight.numpy() for weight in base.weights]
    head = model.get_layer("head").kernel.numpy()
    train_a_step(model)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, base.weights, strict=True))
    assert not np.array_equal(head, model.get_layer("head").kernel.numpy())


def test_dropout_in_a_frozen_base_is_off_while_training():
    base = small_network()
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    assert not np.allclose(base(x, training=True), base(x, training=False))
    surgery.freeze(base)
    assert np.array_equal(base(x, training=True), base(x, training=False))


def test_frozen_stochastic_depth_of_efficientnet_is_off_while_training():
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    surgery.freeze(base)
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    assert np.allclose(base(x, training=True), base(x, training=False))


@pytest.mark.parametrize(
    "layer", [keras.layers.GaussianNoise(1.0), keras.layers.SpatialDropout2D(0.5), keras.layers.GaussianDropout(0.5)]
)
def test_frozen_noise_is_off_while_training_and_comes_back(layer):
    inputs = keras.Input((8, 8, 3))
    base = keras.Model(inputs, layer(inputs))
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    surgery.freeze(base)
    assert np.array_equal(base(x, training=True), x)
    surgery.unfreeze(base, 0)
    assert not np.allclose(base(x, training=True), x)


def test_table_and_counts():
    base = small_network()
    surgery.freeze(base)
    model = with_head(base)
    assert surgery.count_parameters(model) == (10, 112 + 16)
    lines = surgery.trainable_table(model).splitlines()
    assert [line.split()[-1] for line in lines] == ["trains", "no", "yes", "10"]
    assert lines[1].startswith("conv … norm (2 layers)") and "6 x 6 x 4" in lines[1]


def test_only_what_trains_is_moving():
    base = small_network()
    model = with_head(base)
    everything = surgery.moving_variables(model)
    assert len(everything) == 2 + 4 + 1 + 2  # conv, norm with its statistics, dropout's random state, head
    surgery.freeze(base)
    moving = surgery.moving_variables(model)
    assert {v.path.split("/")[0] for v in moving if "seed_generator" not in v.path} == {"head"}
    assert len(moving) == 2 + 1  # the head, and the random state that dropout keeps while it is frozen


@pytest.mark.parametrize("module", ["vgg16", "densenet", "mobilenet_v2", "efficientnet"])
def test_the_model_of_raw_pixels_loads_safely_and_agrees(module, tmp_path):
    preprocess = getattr(keras.applications, module).preprocess_input
    model = with_head(small_network())
    raw = surgery.take_raw_pixels(model, preprocess, generators.resizing(8, "crop"))
    raw.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    photo = np.random.default_rng(0).integers(0, 256, (1, 31, 17, 3)).astype("uint8")
    expected = model.predict(preprocess(np.array(generators.resizing(8, "crop")(photo.astype("float32")))), verbose=0)
    assert np.allclose(loaded.predict(photo, verbose=0), expected, atol=1e-5)
    assert np.allclose(loaded(photo), expected, atol=1e-5)  # called directly, too, dropout is off
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in surgery.leaf_layers(loaded))


def test_with_turns_the_saved_model_answers_with_their_mean(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    resize = generators.resizing(8, "squash")
    for turns in (4, 8):
        raw = surgery.take_raw_pixels(model, lambda x: x / 127.5 - 1, resize, turns)
        raw.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        photos = np.random.default_rng(0).integers(0, 256, (2, 31, 17, 3)).astype("uint8")
        small = np.array(resize(photos.astype("float32")))
        looks = [
            model.predict(np.stack([generators.turned(photo, turn) for photo in small]) / 127.5 - 1, verbose=0)
            for turn in range(turns)
        ]
        assert np.allclose(loaded.predict(photos, verbose=0), np.mean(looks, axis=0), atol=1e-5)
        assert np.ptp(looks, axis=0).max() > 0.01


@pytest.mark.parametrize(
    ("name", "size", "last", "first_layer"),
    [
        ("VGG16", 32, "block5", "block5_conv1"),
        ("ResNet50", 32, "conv5_block3", "conv5_block3_1_conv"),
        ("MobileNetV2:0.35", 32, "block_16", "block_16_expand"),
        ("EfficientNetB0", 32, "block7a", "block7a_expand_conv"),
        ("DenseNet121", 32, "conv5_block16", "conv5_block16_0_bn"),
        ("MobileNet:0.25", 32, "conv_pw_13", "conv_pw_13"),
        ("MobileNetV3Small", 32, "expanded_conv_10", "expanded_conv_10_expand"),
        ("ConvNeXtTiny", 32, "stage_3_block_2", "convnext_tiny_stage_3_block_2_depthwise_conv"),
    ],
)
def test_blocks_are_found_by_name(name, size, last, first_layer):
    model = backbones.load(name, "none", size).model
    blocks = surgery.blocks(model)
    assert list(blocks)[-1] == last and model.layers[blocks[last]].name == first_layer
    assert surgery.layer_number(model, last) == surgery.layer_number(model, first_layer)
    assert list(blocks.values()) == sorted(blocks.values())


def test_blocks_that_are_named_by_their_last_layer():
    model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    blocks = surgery.blocks(model)
    assert list(blocks) == [f"mixed{number}" for number in range(11)]
    assert model.layers[blocks["mixed10"] - 1].name == "mixed9"
    assert surgery.last_blocks(model, 2) == [("mixed10", blocks["mixed10"]), ("mixed9", blocks["mixed9"])]


def test_a_layer_is_found_by_number_name_or_block_and_else_suggested():
    base = keras.applications.VGG16(include_top=False, weights=None)
    assert [surgery.layer_number(base, where) for where in ("15", "block5_conv1", "block5")] == [15, 15, 15]
    with pytest.raises(errors.UserError, match="did you mean block5_conv1?"):
        surgery.layer_number(base, "block5_convl")
    assert surgery.layer_table(base).splitlines()[16].split()[:3] == ["15", "block5_conv1", "block5"]


def test_unfreezing_leaves_batch_norm_frozen_unless_it_is_to_adapt():
    base = small_network()
    surgery.unfreeze(base, 1)
    assert [layer.trainable for layer in base.layers[1:]] == [True, False, True]
    assert base.get_layer("drop").rate == 0.5
    surgery.unfreeze(base, 1, "adapt")
    assert base.get_layer("norm").trainable
    surgery.unfreeze(base, 2)
    assert not base.get_layer("conv").trainable


def test_dropout_comes_back_with_its_own_rate():
    base = small_network()
    surgery.freeze(base)
    surgery.freeze(base)
    assert base.get_layer("drop").rate == 0.0
    surgery.unfreeze(base, 1)
    assert base.get_layer("drop").rate == 0.5


def test_the_joined_score_may_not_change():
    surgery.check_same_score(0.5, 0.50005, config.SharedConfig())
    surgery.check_same_score(0.5, 0.505, config.SharedConfig(cache_dtype="float16"))
    with pytest.raises(errors.UserError, match="before any weight moved"):
        surgery.check_same_score(0.5, 0.505, config.SharedConfig())


def test_l2_sp_is_the_squared_distance_and_does_not_go_into_the_saved_model(tmp_path):
    base = small_network()
    surgery.unfreeze(base, 0)
    surgery.hold_near(base, 0.5)
    assert float(sum(base.losses)) == 0.0
    kernel = base.get_layer("conv").kernel
    kernel.assign_add(np.full(kernel.shape, 0.1, "float32"))
    assert float(sum(base.losses)) == pytest.approx(0.5 * 0.1**2 * np.prod(kernel.shape), rel=1e-4)
    base.save(tmp_path / "base.keras")
    assert keras.saving.load_model(tmp_path / "base.keras").losses == []
