"""EfficientNet-Lite0 (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) in Keras."""

import pathlib

import keras

#          kernel, repeats, filters, expansion, stride
STAGES = (
    (3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)  # fmt: skip


def lite0(size: int = 224) -> keras.Model:
    """Return the network with its classifier, its inputs scaled by (x - 127) / 128."""
    layers = keras.layers

    def normed(x, name, active=True):
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if active else x

    photos = keras.Input((size, size, 3))
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(photos)
    x, width = normed(x, "stem"), 32
    for number, (kernel, repeats, filters, expansion, stride) in enumerate(STAGES, 1):
        for repeat in range(repeats):
            block, y = f"block{number}{'abcd'[repeat]}", x
            if expansion > 1:
                y = layers.Conv2D(width * expansion, 1, use_bias=False, name=f"{block}_expand_conv")(y)
                y = normed(y, f"{block}_expand")
            strides = stride if repeat == 0 else 1
            y = layers.DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{block}_dwconv")(y)
            y = normed(y, f"{block}_dw")
            y = layers.Conv2D(filters, 1, use_bias=False, name=f"{block}_project_conv")(y)
            y = normed(y, f"{block}_project", active=False)
            x, width = layers.Add(name=f"{block}_add")([x, y]) if repeat else y, filters
    x = normed(layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(x), "head")
    x = layers.Dropout(0.2, name="head_dropout")(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    return keras.Model(photos, x, name="efficientnet_lite0")


def with_scaling(weights: pathlib.Path, path: pathlib.Path) -> str:
    """Save the network with its real weights and its scaling as a file for RGB 0 to 255; return the backbone."""
    model = lite0()
    model.load_weights(weights)
    photos = keras.Input((224, 224, 3))
    scaled = keras.layers.Rescaling(1 / 128, -127 / 128, name="scale")(photos)
    keras.Model(photos, model(scaled), name="lite0").save(path)
    return str(path)


def of_keras_hub(weights: pathlib.Path, folder: pathlib.Path) -> str:
    """Save KerasHub's own network with the real weights as a preset for 225 pixels; return the name of the backbone.

    KerasHub pads all sides alike, as PyTorch does, and TensorFlow's strided convolutions only two sides of an even map.
    At 225 pixels all strided maps are odd, and both networks are the same.
    """
    import keras_hub

    kernels, repeats, filters, expansions, strides = map(list, zip(*STAGES, strict=True))
    network = keras_hub.models.EfficientNetBackbone(
        stackwise_kernel_sizes=kernels, stackwise_num_repeats=repeats, stackwise_input_filters=[32, *filters[:-1]],
        stackwise_output_filters=filters, stackwise_expansion_ratios=expansions, stackwise_strides=strides,
        stackwise_block_types=["v1"] * 7, stackwise_squeeze_and_excite_ratios=[0] * 7, width_coefficient=1.0,
        depth_coefficient=1.0, activation="relu6", batch_norm_epsilon=1e-3,
    )  # fmt: skip
    model = lite0()
    model.load_weights(weights)
    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.BatchNormalization
    ours, theirs = ([each for each in part.layers if isinstance(each, kinds)] for part in (model, network))
    for one, other in zip(ours, theirs, strict=True):
        other.set_weights(one.get_weights())
    network.save_to_preset(str(folder))
    scaling = {"image_size": (225, 225), "scale": 1 / 128, "offset": -127 / 128}
    keras_hub.layers.EfficientNetImageConverter(**scaling).save_to_preset(str(folder))
    return f"hub:{folder}"
