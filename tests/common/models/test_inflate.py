import keras
import numpy as np
import pytest

from common.models import backbones, blocks, cut, freezing, inflate

FRAMES = 4


def network(name, last=None, seed=0):
    """A network without its top, at a small size, with batch norms that do something."""
    sizes = {"InceptionV3": 75, "MobileNetV2:0.35": 33}
    keras.utils.set_random_seed(seed)
    model = backbones.load(name, "demo" if name == "demo" else "none", sizes.get(name, 32)).model
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            weights = [random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()]
            weights[-3:-1] = [random.normal(0, 0.3, weight.shape) for weight in weights[-3:-1]]  # beta and mean
            weights[-1] *= 0.1  # the variance, so that random kernels do not let the photos fade
            layer.set_weights(weights)
    return keras.Model(model.input, model.get_layer(last).output) if last else model


def of_one_layer(*layers):
    inputs = x = keras.Input((9, 8, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def still_clips(model, frames=FRAMES):
    photos = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype("float32")
    return photos, np.repeat(photos[:, None], frames, axis=1)


def moving_clips(model, frames=FRAMES):
    return np.random.default_rng(2).normal(size=(2, frames, *model.input_shape[-3:])).astype("float32")


def predict(model, x):
    return model.predict(x, verbose=0)


def largest_error(got, expected):
    """The largest difference, relative to the largest of the expected numbers."""
    return np.abs(got - expected).max() / np.abs(expected).max()


def changed_taps(model):
    """Makes the kernels differ over time."""
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv3D, keras.layers.DepthwiseConv2D)):
            kernel, *bias = layer.get_weights()
            layer.set_weights([kernel * random.uniform(0.3, 1.7, kernel.shape), *bias])


def by_hand(clips, kernel, strides, padding):
    """A convolution over (time, rows, columns), first and last frame repeated, zeros around the pictures."""
    clips = np.pad(clips, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)), mode="edge")
    if padding == "same":  # as in TensorFlow: the size is divided by the stride and rounded up, an odd zero goes last
        for axis in (2, 3):
            size, stride, width = clips.shape[axis], strides[axis - 2], kernel.shape[axis - 1]
            zeros = max((-(-size // stride) - 1) * stride + width - size, 0)
            around = [(0, 0)] * 5
            around[axis] = (zeros // 2, zeros - zeros // 2)
            clips = np.pad(clips, around)
    depth, height, width = kernel.shape[:3]
    steps = [clips.shape[1] - depth + 1]
    steps += [(clips.shape[axis] - kernel.shape[axis - 1]) // strides[axis - 2] + 1 for axis in (2, 3)]
    result = np.zeros((len(clips), *steps, kernel.shape[-1]))
    for time, row, column in np.ndindex(*steps):
        y, x = row * strides[0], column * strides[1]
        window = clips[:, time : time + depth, y : y + height, x : x + width]
        result[:, time, row, column] = np.einsum("bthwc,thwcf->bf", window, kernel)
    return result


NETWORKS = [
    pytest.param("InceptionV3", "mixed8", marks=pytest.mark.long),
    pytest.param("VGG16", None, marks=pytest.mark.long),
    ("MobileNetV2:0.35", None), ("demo", "block4_conv3"), ("ResNet50", "conv3_block2_out"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "last"), NETWORKS)
def test_a_clip_of_one_photo_has_its_features_in_every_frame_and_the_file_loads_safely(name, last, tmp_path):
    model = network(name, last)
    before = [weight.numpy() for weight in model.weights]
    inflated = inflate.inflate(model, FRAMES)
    photos, clips = still_clips(model)
    features, expected = predict(inflated, clips), predict(model, photos)
    assert features.shape == (2, FRAMES, *expected.shape[1:])
    assert expected.std() > 1e-4
    for frame in range(FRAMES):
        assert largest_error(features[:, frame], expected) < 1e-4

    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.weights, strict=True))
    assert all(layer.trainable for layer in model.layers) and model.input_shape[1:] == photos.shape[1:]

    inflated.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert np.array_equal(predict(loaded, clips), features)
    assert all(type(operation).__module__.split(".")[0] == "keras" for operation in loaded.operations)
    assert not any(isinstance(layer, (keras.layers.Lambda, keras.Model)) for layer in loaded.layers)


def test_imagenet_features_are_kept(real_data):
    weights = real_data / "keras_home/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    model = backbones.load("MobileNetV2:0.35", weights, 96).model
    photos = np.random.default_rng(0).uniform(-1, 1, (2, 96, 96, 3)).astype("float32")
    features = predict(inflate.inflate(model, 16), np.repeat(photos[:, None], 16, axis=1))
    for frame in range(16):
        assert largest_error(features[:, frame], predict(model, photos)) < 1e-4


@pytest.mark.parametrize(("name", "last"), [("demo", None), ("MobileNetV2:0.35", "block_4_add")])
def test_a_moving_clip_has_features_of_its_own_which_turn_with_it_until_the_taps_differ(name, last):
    model = network(name, last)
    inflated = inflate.inflate(model, FRAMES)
    clips = moving_clips(model)
    features = predict(inflated, clips)
    one_by_one = predict(model, clips.reshape(-1, *clips.shape[2:])).reshape(features.shape)
    assert largest_error(features, one_by_one) > 0.1
    assert largest_error(predict(inflated, clips[:, ::-1]), features[:, ::-1]) < 1e-5

    changed_taps(inflated)
    assert largest_error(predict(inflated, clips[:, ::-1]), predict(inflated, clips)[:, ::-1]) > 0.01


def test_the_last_block_alone_can_be_inflated_and_drifts_less_from_the_photos():
    model = network("demo")
    between = model.get_layer("block4_pool").output
    clips = moving_clips(model)
    photos = clips.reshape(-1, *clips.shape[2:])
    features = predict(keras.Model(model.input, between), photos).reshape(2, FRAMES, *between.shape[1:])
    inflated = inflate.inflate(keras.Model(between, model.output), FRAMES)
    expected = predict(model, photos).reshape(2, FRAMES, *model.output_shape[1:])
    drift = largest_error(predict(inflated, features), expected)
    assert [layer.name for layer in inflated.layers[1:]] == [layer.name for layer in model.layers[-4:]]
    assert 0.01 < drift < 0.8 * largest_error(predict(inflate.inflate(model, FRAMES), clips), expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "strides"), [((3, 3), 1), ((3, 3), 2), ((7, 1), 1), ((2, 3), 2), ((5, 4), (1, 2))])
def test_a_convolution_by_hand(size, strides, padding):
    layer = keras.layers.Conv2D(5, size, strides, padding, bias_initializer="normal", name="conv")
    inflated = inflate.inflate(of_one_layer(layer), FRAMES)
    changed_taps(inflated)
    kernel, bias = inflated.get_layer("conv").get_weights()
    clips = moving_clips(inflated)
    assert kernel.shape == (3, *size, 3, 5)
    expected = by_hand(clips, kernel, layer.strides, padding) + bias
    assert predict(inflated, clips).shape == expected.shape and largest_error(predict(inflated, clips), expected) < 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "stride"), [((3, 3), 1), ((3, 3), 2), ((5, 3), 1), ((2, 4), 1), ((2, 2), 3)])
def test_a_depthwise_convolution_by_hand(size, stride, padding):
    layer = keras.layers.DepthwiseConv2D(size, stride, padding, use_bias=False, depth_multiplier=2, name="depthwise")
    inflated = inflate.inflate(of_one_layer(layer), FRAMES)
    changed_taps(inflated)
    kernel = np.zeros((3, *size, 3, 3, 2))
    for channel in range(3):
        for time, name in enumerate(["depthwise", "depthwise_now", "depthwise_next"]):
            kernel[time, :, :, channel, channel] = inflated.get_layer(name).get_weights()[0][:, :, channel]
    clips = moving_clips(inflated)
    expected = by_hand(clips, kernel.reshape(3, *size, 3, 6), (stride, stride), padding)
    assert predict(inflated, clips).shape == expected.shape and largest_error(predict(inflated, clips), expected) < 1e-5


def test_kernels_of_one_row_see_one_frame():
    model = of_one_layer(keras.layers.Conv2D(4, 1, name="a"), keras.layers.Conv2D(4, (1, 3), 2, name="b"))
    inflated = inflate.inflate(model, FRAMES)
    assert [inflated.get_layer(name).kernel.shape[:3] for name in "ab"] == [(1, 1, 1), (1, 1, 3)]
    clips = moving_clips(model)
    one_by_one = predict(model, clips.reshape(-1, *clips.shape[2:]))
    assert largest_error(predict(inflated, clips).reshape(one_by_one.shape), one_by_one) < 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.AveragePooling2D(3, 1, "same"), keras.layers.AveragePooling2D(2, 2, "same"),
        keras.layers.MaxPooling2D(3, 2, "same"), keras.layers.MaxPooling2D(2),
        keras.layers.ZeroPadding2D(((0, 1), (2, 3))), keras.layers.ReLU(6.0), keras.layers.Activation("tanh"),
        keras.layers.Dropout(0.5),
    ],
)  # fmt: skip
def test_the_other_layers_treat_each_frame_as_a_photo(layer):
    model = of_one_layer(layer)
    clips = moving_clips(model)
    one_by_one = predict(model, clips.reshape(-1, *clips.shape[2:]))
    assert np.allclose(predict(inflate.inflate(model, FRAMES), clips).reshape(one_by_one.shape), one_by_one, atol=1e-6)


@pytest.mark.parametrize(("name", "last"), NETWORKS[:4])
def test_layers_and_blocks_keep_their_names(name, last):
    model = network(name, last)
    inflated = inflate.inflate(model, FRAMES)
    names = [{layer.name for layer in net.layers} for net in (model, inflated)]
    taps = {layer.name + tap for layer in model.layers for tap in ("_now", "_next") if layer.name[-9:] == "depthwise"}
    assert names[1] == names[0] | taps
    assert list(blocks.blocks(inflated)) == list(blocks.blocks(model))
    for block, number in blocks.blocks(model).items():
        above = {layer.name for layer in inflated.layers[blocks.blocks(inflated)[block] :]}
        assert above - taps == {layer.name for layer in model.layers[number:]}
        assert blocks.layer_number(inflated, block) == blocks.blocks(inflated)[block]


def test_a_cut_inception_trains_its_last_block_in_all_taps_and_nothing_else():
    inflated = inflate.inflate(network("InceptionV3", "mixed8"), FRAMES)
    freezing.unfreeze(inflated, blocks.layer_number(inflated, "mixed8"))
    x = keras.layers.GlobalAveragePooling3D()(inflated.output)
    model = keras.Model(inflated.input, keras.layers.Dense(2)(x))
    parts = cut.cut(model)
    clips = moving_clips(inflated)
    features = keras.tree.flatten(parts.prefix.predict_on_batch(clips))
    assert all(len(feature) == len(clips) for feature in features)
    assert largest_error(predict(parts.suffix, features), predict(model, clips)) < 1e-5

    before = {weight.path: weight.numpy() for weight in model.weights}
    parts.suffix.compile("sgd", "mse")
    parts.suffix.train_on_batch(features, np.ones((2, 2)))
    trained = {weight.path for weight in model.trainable_weights}
    for weight in model.weights:
        assert (weight.path in trained) != np.array_equal(weight.numpy(), before[weight.path])
    kernels = [layer.kernel for layer in inflated.layers if layer.trainable_weights and layer.kernel_size[0] == 3]
    assert len(kernels) == 3  # 3x3, 7x1 and 3x3
    for kernel in kernels:
        moved = kernel.numpy() - before[kernel.path]
        assert all(np.abs(tap).max() > 0 for tap in moved)
        assert not np.allclose(moved[0], moved[1], rtol=1e-3) and not np.allclose(moved[1], moved[2], rtol=1e-3)


@pytest.mark.parametrize(("name", "where"), [("demo", "block5"), ("MobileNetV2:0.35", "block_16_depthwise")])
def test_a_cut_before_a_layer_of_three_frames_keeps_one_entry_a_clip(name, where):
    inflated = inflate.inflate(network(name), FRAMES)
    freezing.unfreeze(inflated, blocks.layer_number(inflated, where))
    model = keras.Model(inflated.input, keras.layers.GlobalAveragePooling3D()(inflated.output))
    parts = cut.cut(model)
    clips = moving_clips(inflated)
    features = keras.tree.flatten(parts.prefix.predict_on_batch(clips))
    assert len(parts.tensors) == 1 and len(features[0]) == len(clips)
    assert largest_error(predict(parts.suffix, features), predict(model, clips)) < 1e-5
    before = [weight.numpy() for weight in model.trainable_weights]
    parts.suffix.compile("sgd", "mse")
    parts.suffix.train_on_batch(features, np.ones((2, model.output_shape[1])))
    assert all(not np.array_equal(a, b.numpy()) for a, b in zip(before, model.trainable_weights, strict=True))
    if "depthwise" in where:
        first = [layer.name for layer in inflated.layers if layer.trainable_weights][:3]
        assert sorted(first) == [where, f"{where}_next", f"{where}_now"]


def test_operations_get_other_names_than_the_layers_have():
    number = keras.backend.get_uid("concatenate")
    left = keras.layers.ReLU(name=f"concatenate_{number}")  # what Keras would call the next one
    right = keras.layers.ReLU(name=f"split_{keras.backend.get_uid('split') + 1}")
    model = of_one_layer(left, keras.layers.Conv2D(3, 3, name="conv"), right, keras.layers.Conv2D(3, 3, name="add"))
    assert [layer.name for layer in inflate.inflate(model, 2).layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (keras.layers.SeparableConv2D(3, 3, name="bad"), "SeparableConv2D"),
        (keras.layers.Flatten(name="bad"), "Flatten"),
        (keras.layers.GlobalAveragePooling2D(name="bad"), "GlobalAveragePooling2D"),
        (keras.layers.BatchNormalization(axis=1, name="bad"), "BatchNormalization with axis=1"),
        (keras.layers.Conv2D(3, 3, groups=3, name="bad"), "Conv2D with groups=3"),
        (keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 3), name="bad"), "Dropout with noise_shape"),
        (keras.layers.DepthwiseConv2D(3, name="bad"), "DepthwiseConv2D with use_bias=True"),
        (keras.layers.DepthwiseConv2D(3, use_bias=False, activation="relu", name="bad"), "with activation='relu'"),
        (keras.Sequential([keras.Input((9, 8, 3)), keras.layers.ReLU()], name="bad"), "Sequential"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(layer, reason):
    with pytest.raises(ValueError, match=f"bad cannot be inflated: .*{reason}"):
        inflate.inflate(of_one_layer(keras.layers.ReLU(), layer), FRAMES)


def test_other_axes_operations_inputs_and_too_few_frames_are_refused():
    inputs = keras.Input((8, 8, 3))
    stacked = keras.layers.Concatenate(axis=1, name="stacked")([inputs, inputs])
    with pytest.raises(ValueError, match="stacked cannot be inflated: Concatenate with axis=1"):
        inflate.inflate(keras.Model(inputs, stacked), FRAMES)
    with pytest.raises(ValueError, match="cannot be inflated: Flip"):
        inflate.inflate(keras.Model(inputs, keras.ops.flip(inputs, 1)), FRAMES)
    with pytest.raises(ValueError, match="frames must be 2 or more; got 1"):
        inflate.inflate(of_one_layer(keras.layers.ReLU()), 1)
    anything = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="fixed height and width"):
        inflate.inflate(keras.Model(anything, keras.layers.ReLU()(anything)), FRAMES)
