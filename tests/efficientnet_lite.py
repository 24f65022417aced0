"""EfficientNet-Lite0 (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) in Keras."""

import keras

#          kernel, repeats, filters, expansion, stride
STAGES = (
    (3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)  # fmt: skip


def lite0() -> keras.Model:
    """Return the network with its classifier, 224 pixels, its inputs scaled by (x - 127) / 128."""
    layers = keras.layers

    def normed(x, name, active=True):
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if active else x

    photos = keras.Input((224, 224, 3))
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
