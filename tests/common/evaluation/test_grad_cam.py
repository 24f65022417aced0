"""Grad-CAM on a net with a known answer, against the paper's formula, and on every family of backbones."""

import warnings

import keras
import numpy as np
import pytest

from common.evaluation import grad_cam

FAMILIES = {
    "VGG16": (64, "block5_conv3"),
    "MobileNetV2": (64, "out_relu"),
    "ResNet50": (64, "conv5_block3_out"),
    "EfficientNetB0": (64, "top_activation"),
    "InceptionV3": (128, "mixed10"),
    "DenseNet121": (64, "relu"),
    "ConvNeXtTiny": (64, "layer_normalization"),
}


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


def small_net(num_classes=3, head="flatten", size=16):
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2")(x)
    x = keras.layers.MaxPooling2D()(x)
    return keras.Model(inputs, classifier_head(x, num_classes, head))


def classifier_head(x, num_classes, head="gap"):
    x = keras.layers.Flatten()(x) if head == "flatten" else keras.layers.GlobalAveragePooling2D()(x)
    return keras.layers.Dense(num_classes, activation="softmax", dtype="float32")(x)


def random_images(n=3, size=16):
    return np.random.default_rng(0).uniform(0, 255, (n, size, size, 3)).astype("float32")


def assert_heatmaps(heat, n, size):
    assert heat.shape == (n, size, size) and heat.dtype == np.float32
    assert np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1


def left_half_net():
    """Only bright pixels in the left half can raise class 1, and only those in the right half class 0."""
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="brightness")(inputs)
    x = keras.layers.Flatten()(x)
    output = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, output(x))
    is_left = (np.arange(256) % 16 < 8).astype("float32")
    output.set_weights([np.stack([1 - is_left, is_left], axis=1), np.zeros(2)])
    return model


def red_or_green_net():
    """Channel 0 sees red, channel 1 sees green; red speaks for class 0 and green for class 1."""
    inputs = keras.Input((16, 16, 3))
    convolution = keras.layers.Conv2D(2, 1, use_bias=False)
    x = convolution(inputs)
    output = keras.layers.Dense(2, activation="softmax", use_bias=False)
    model = keras.Model(inputs, output(keras.layers.GlobalAveragePooling2D()(x)))
    convolution.set_weights([np.eye(3)[:, :2].reshape(1, 1, 3, 2)])
    output.set_weights([np.eye(2)])
    return model


def test_the_heat_is_where_the_class_is():
    image = np.zeros((1, 16, 16, 3), "float32")
    image[0, :8, :8, 0] = 1  # red, top left
    image[0, 8:, 8:, 1] = 1  # green, bottom right
    red, green = grad_cam.heatmaps_of(red_or_green_net())(np.repeat(image, 2, axis=0), [0, 1])
    assert red[:8, :8].min() == 1 and red.sum() == 64
    assert green[8:, 8:].min() == 1 and green.sum() == 64


def test_the_heat_is_on_the_left_when_only_the_left_half_counts():
    image = np.zeros((1, 16, 16, 1), "float32")
    image[0, 4:12, 2:6] = 1
    heat = grad_cam.heatmaps_of(left_half_net())(image, [1])[0]
    assert heat[:, :8].sum() > 0 and heat[:, 8:].sum() == 0


def test_no_evidence_gives_zero_and_no_nan():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests left to the garbage collector
        heat = grad_cam.heatmaps_of(red_or_green_net())(np.zeros((1, 16, 16, 3)), [1])
    assert heat.shape == (1, 16, 16) and not heat.any()


def test_the_formula_of_the_paper():
    """With global average pooling the weights of the channels are those of the head, as the paper proves."""
    model = small_net(head="gap")
    images = random_images()
    features = np.asarray(keras.Model(model.input, model.get_layer("conv2").output)(images))
    heat = grad_cam.heatmaps_of(model)(images, [2, 2, 2])
    # Max pooling hands each gradient to one cell of four, hence a mean gradient in proportion to the weight.
    weights = model.layers[-1].kernel.numpy()[:, 2]
    expected = np.maximum((features * weights).sum(axis=-1), 0)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    resized = np.asarray(keras.ops.image.resize(expected[..., None], (16, 16)))[..., 0]
    np.testing.assert_allclose(heat, resized, atol=1e-5)


def test_a_certain_classifier_still_has_heat():
    """The softmax is flat at probability 1; the score before it is not."""
    model = small_net(head="gap")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * 1e4, bias])
    images = random_images()
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    assert grad_cam.heatmaps_of(model)(images, predicted).max(axis=(1, 2)).min() > 0.5


def variants_of(net):
    """The same network put together in every usual way, with the same weights."""
    body, head = keras.Model(net.input, net.layers[-3].output), net.layers[-2:]
    inputs = keras.Input((16, 16, 3))
    x = body(inputs, training=False)
    yield "nested body", keras.Model(inputs, head[1](head[0](x)))
    yield "nested body and head", keras.Model(inputs, keras.Sequential(head)(x))
    yield "sequential", keras.Sequential([body, *head])
    yield "twice nested", keras.Model(inputs, keras.Sequential([body, *head])(inputs))
    augmentation = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2)])
    yield "behind augmentation", keras.Model(inputs, net(augmentation(inputs)))
    yield "softmax layer", keras.Model(inputs, split_softmax(net, keras.layers.Softmax())(inputs))
    yield "softmax activation", split_softmax(net, keras.layers.Activation("softmax"))


def split_softmax(net, softmax):
    linear = keras.layers.Dense(3)
    output = softmax(linear(net.layers[-2].output))
    linear.set_weights(net.layers[-1].get_weights())
    return keras.Model(net.input, output)


def test_nested_models_give_the_same_heat():
    net, images = small_net(), random_images()
    expected = grad_cam.heatmaps_of(net)(images, [0, 1, 2])
    for name, model in variants_of(net):
        heat = grad_cam.heatmaps_of(model)(images, [0, 1, 2])
        np.testing.assert_allclose(heat, expected, atol=1e-5, err_msg=name)


def test_the_model_is_left_as_it_was():
    model, images = small_net(), random_images()
    model.compile("adam", loss=lambda y_true, y_pred: keras.ops.mean(y_pred))
    before, outputs = model.get_config(), model.predict(images, verbose=0)
    first, second = (grad_cam.heatmaps_of(model)(images, [0, 1, 2]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert model.get_config() == before and model.compiled
    np.testing.assert_array_equal(model.predict(images, verbose=0), outputs)


def test_frozen_models_and_integer_images():
    model, images = small_net(), random_images().astype("uint8")
    expected = grad_cam.heatmaps_of(model)(images, [0, 1, 2])
    model.trainable = False
    np.testing.assert_array_equal(grad_cam.heatmaps_of(model)(images, [0, 1, 2]), expected)


def test_batches_equal_one_by_one():
    model, images = small_net(), random_images(n=grad_cam.BATCH_SIZE + 3)
    together = grad_cam.heatmaps_of(model)(images, [1] * len(images))
    alone = np.concatenate([grad_cam.heatmaps_of(model)(image[None], [1]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_images_give_no_heatmaps():
    assert grad_cam.heatmaps_of(small_net())(np.empty((0, 16, 16, 3)), []).shape == (0, 16, 16)


def test_another_last_activation_uses_the_logarithm():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="sigmoid")(x))
    assert_heatmaps(grad_cam.heatmaps_of(model)(random_images(size=8), [0, 1, 0]), 3, 8)


def test_any_size_of_input():
    body = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)])
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, classifier_head(body(keras.layers.Resizing(12, 12)(inputs)), 3))
    assert_heatmaps(grad_cam.heatmaps_of(model)(random_images(size=20), [0, 1, 2]), 3, 20)


@pytest.mark.parametrize(
    ("images", "class_indices"),
    [
        (np.zeros((16, 16, 3)), [0]),
        (np.zeros((2, 16, 16, 3)), [0]),
        (np.zeros((1, 16, 16, 3)), [3]),
        (np.zeros((1, 16, 16, 3)), [-1]),
    ],
)
def test_wrong_shapes_are_refused(images, class_indices):
    with pytest.raises(ValueError, match="expected"):
        grad_cam.heatmaps_of(small_net())(images, class_indices)


def test_a_model_without_a_feature_map_is_refused():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no layer has a spatial feature map"):
        grad_cam.heatmaps_of(model)(np.zeros((1, 4, 4, 3)), [0])


def backbone(family):
    size, feature_layer = FAMILIES[family]
    builder = getattr(keras.applications, family)
    return builder(weights=None, include_top=False, input_shape=(size, size, 3)), size, feature_layer


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_backbones(family):
    keras.backend.clear_session()  # the names of unnamed layers count from one
    base, size, feature_layer = backbone(family)
    images = random_images(n=2, size=size)
    for head in ("flatten", "gap"):
        model = keras.Model(base.input, classifier_head(base.output, 5, head))
        predicted = model.predict(images, verbose=0).argmax(axis=1)
        assert_heatmaps(grad_cam.heatmaps_of(model)(images, predicted), 2, size)
    assert grad_cam._feature_layer(model).name == feature_layer


@pytest.mark.slow
def test_a_nested_backbone_equals_a_flat_one():
    base, size, _ = backbone("MobileNetV2")
    flat = keras.Model(base.input, classifier_head(base.output, 5))
    inputs = keras.Input((size, size, 3))
    nested = keras.Model(inputs, flat.layers[-1](flat.layers[-2](base(inputs, training=False))))
    images = random_images(n=2, size=size)
    expected = grad_cam.heatmaps_of(flat)(images, [1, 4])
    np.testing.assert_allclose(grad_cam.heatmaps_of(nested)(images, [1, 4]), expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    mixed = small_net(head="gap")
    keras.config.set_dtype_policy("float32")
    exact = small_net(head="gap")
    exact.set_weights(mixed.get_weights())
    images = random_images() / 255
    heat = grad_cam.heatmaps_of(mixed)(images, [0, 1, 2])
    assert_heatmaps(heat, 3, 16)
    np.testing.assert_allclose(heat, grad_cam.heatmaps_of(exact)(images, [0, 1, 2]), atol=0.05)


def test_a_backbone_that_has_shrunk_to_one_cell_is_shown_one_stage_earlier():
    base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))
    model = keras.Model(base.input, classifier_head(base.output, 3))
    assert grad_cam._feature_layer(model).output.shape[1:3] == (2, 2)
    assert_heatmaps(grad_cam.heatmaps_of(model)(random_images(n=1, size=32), [0]), 1, 32)


def test_overlay():
    image = np.full((4, 6, 3), 200, "uint8")
    heat = np.zeros((4, 6), "float32")
    heat[1, 2] = 1
    result = grad_cam.overlay(image, heat)
    assert result.dtype == np.uint8 and result.shape == image.shape
    changed = (result != image).any(axis=-1)
    assert changed[1, 2] and changed.sum() == 1


def test_overlay_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="different sizes"):
        grad_cam.overlay(np.zeros((4, 4, 3), "uint8"), np.zeros((4, 5)))
