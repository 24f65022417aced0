"""Grad-CAM: which part of a photo is evidence for a class.

Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391. The feature map is the output of the last layer with a
spatial extent, pooling layers excluded. Networks like VGG end in a pooling layer; the layer before it
(`block5_conv3`, as in the paper) shows the same at twice the resolution. A normalisation, an activation or a
concatenation at the end of a network is used, because the head sees its output and not the convolution's.

In a transformer with a class token, the head sees the other tokens after the last block hardly or not at all. The
features are then the tokens that enter the last block, one for each patch of the photo, as in the advice for vision
transformers of https://github.com/jacobgil/pytorch-grad-cam.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf

from common.models import blocks, hub_backbones, nested

BATCH_SIZE = 16  # of a nested network the activations of all layers are kept: 60 MB per photo for VGG16 at 224
Explain = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (images, class indices) → heatmaps
POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
NOT_A_FEATURE_MAP = (*POOLING, keras.layers.ZeroPadding2D, keras.layers.Cropping2D, keras.layers.InputLayer)


def heatmaps_of(model: keras.Model) -> Explain:
    """Return a function that computes heatmaps: where in each image the evidence for a class is.

    The gradient is that of the class score before the softmax, as in the paper, because a confident classifier's
    softmax is flat. This score is available if the last layer is `Dense(activation="softmax")`, `Softmax` or
    `Activation("softmax")`. For any other last layer the logarithm of the output is used.

    Args:
        model: a functional or sequential Keras classifier, possibly with nested models. It has one input (height,
            width, channels; channels last) and one output of k class probabilities. It is taken apart once.

    Returns:
        A function `(images, class_indices)` that returns heatmaps. The images are (n, height, width, channels) as the
        model takes them, the class indices (n,) integers in 0..k-1. The heatmaps are (n, height, width) float32 in
        0..1, scaled so that the hottest cell of each feature map is 1. A map without evidence for the class is zero
        everywhere. The function raises ValueError for wrong shapes and for a model without a spatial feature map.
    """

    @functools.cache
    def parts() -> tuple[keras.Model, keras.layers.Layer]:
        score_layer = _last_layer(model)
        flat, feature_layer = _with_tokens(model) or (model, _feature_layer(model))
        return _expose(flat, feature_layer, score_layer), score_layer

    def explain(images: np.ndarray, class_indices: np.ndarray) -> np.ndarray:
        images, class_indices = np.asarray(images, "float32"), np.asarray(class_indices, int)
        _check(model, images, class_indices)
        maps = [np.zeros((0, *images.shape[1:3]), "float32")]
        for start in range(0, len(images), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            maps.append(_batch_heatmaps(*parts(), images[batch], class_indices[batch]))
        return np.concatenate(maps)

    return explain


def for_files(model: keras.Model, read: Callable[[str], np.ndarray]) -> Callable:
    """Return the function that `common.report.classes` uses for its pictures.

    Args:
        model: the model of a run, which takes raw pixels. It consists of the models `preprocessing` and
            `classifier` (`raw_input.take_raw_pixels`).
        read: returns the pixels of a path, uint8 (height, width, 3).

    Returns:
        A function of a list of paths and a list of class indices. It returns a list of uint8 pictures (height, width,
        3) and an array of heatmaps (n, height, width), both in the classifier's image size.
    """
    preprocessing, explain_pictures = model.get_layer("preprocessing"), for_pictures(model)
    resize = next(layer for layer in preprocessing.layers if isinstance(layer, keras.layers.Resizing))

    def explain(paths: list[str], class_indices: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        pictures = [np.array(resize(read(path).astype("float32"))) for path in paths]
        return [picture.round().astype("uint8") for picture in pictures], explain_pictures(pictures, class_indices)

    return explain


def for_pictures(model: keras.Model) -> Callable[[list[np.ndarray], np.ndarray], np.ndarray]:
    """Return a function (pictures in the network's size, RGB 0–255; class indices) → heatmaps, like `for_files`."""
    preprocessing, explain = model.get_layer("preprocessing"), heatmaps_of(model.get_layer("classifier"))
    return lambda pictures, indices: explain(preprocessing.predict(np.stack(pictures), verbose=0), indices)


def overlay(image: np.ndarray, heatmap: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Return a photo with a heatmap drawn over it; hotter places have more colour, cold places show the photo.

    Args:
        image: (height, width, 3) uint8.
        heatmap: (height, width) floats in 0..1.
        strength: opacity of the hottest place, 0..1.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: image and heatmap do not have the same height and width.
    """
    if np.shape(image) != (*np.shape(heatmap), 3):
        raise ValueError(f"overlay: image {np.shape(image)} and heatmap {np.shape(heatmap)} have different sizes")
    colours = matplotlib.colormaps["inferno"](heatmap)[..., :3] * 255
    opacity = strength * np.asarray(heatmap, float)[..., None]
    return np.round((1 - opacity) * image + opacity * colours).astype("uint8")


def _check(model: keras.Model, images: np.ndarray, class_indices: np.ndarray) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("heatmaps: the model must have one input and one output")
    if images.ndim != 4:
        raise ValueError(f"images: expected (n, height, width, channels), got shape {images.shape}")
    if class_indices.shape != images.shape[:1]:
        raise ValueError(f"class_indices: expected shape ({len(images)},), got {class_indices.shape}")
    num_classes = model.output_shape[-1]
    if class_indices.size and not 0 <= class_indices.min() <= class_indices.max() < num_classes:
        raise ValueError(f"class_indices: expected 0..{num_classes - 1}")


def _batch_heatmaps(
    exposed: keras.Model, score_layer: keras.layers.Layer, images: np.ndarray, class_indices: np.ndarray
) -> np.ndarray:
    images = tf.convert_to_tensor(images)
    before, after = _halves(exposed)
    entering = before(images, training=False) if before else images
    with tf.GradientTape() as tape:
        # By default the tape watches only trainable variables; with every layer frozen it would record nothing.
        tape.watch(entering)
        tensors = ({"features": entering} if before else {}) | after(entering, training=False)
        scores = tf.gather(_scores(score_layer, tensors), class_indices, axis=1, batch_dims=1)
    gradients = _by_place(tf.cast(tape.gradient(scores, tensors["features"]), tf.float32))
    features = _by_place(tf.cast(tensors["features"], tf.float32))
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1, keepdims=True))
    hottest = tf.reduce_max(maps, axis=(1, 2, 3), keepdims=True)
    resized = tf.image.resize(tf.math.divide_no_nan(maps, hottest), images.shape[1:3], method="bilinear")
    return np.clip(resized[..., 0].numpy(), 0, 1)


def _by_place(x: tf.Tensor) -> tf.Tensor:
    """Return (n, height, width, channels); of tokens, those of the patches, which are the last."""
    if x.shape.rank == 4:
        return x
    side = math.isqrt(x.shape[1])
    return tf.reshape(x[:, -side * side :], (-1, side, side, x.shape[2]))


def _with_tokens(model: keras.Model) -> tuple[keras.Model, keras.layers.Layer] | None:
    """Return a flat copy of a classifier on a transformer with a class token, and the layer before its last block."""
    tower = hub_backbones.inside(model)
    if tower is None or hub_backbones.WITH_CLASS not in {layer.name for layer in model.layers}:
        return None
    network, _ = hub_backbones.as_feature_map(tower)
    seen = model.get_layer(hub_backbones.WITH_CLASS).output
    flat = keras.Model(network.input, nested.applied([seen], model.output, [network.output]))
    ((_, first),) = blocks.last_blocks(network, 1)
    return flat, network.layers[first - 1]


def _halves(exposed: keras.Model) -> tuple[keras.Model | None, keras.Model]:
    """Return the network up to its features, and what follows: the gradient needs only the second.

    If the features are inside a nested model, nothing can be cut off, and the second is the whole network.
    """
    features = exposed.output["features"]
    rest = {name: tensor for name, tensor in exposed.output.items() if name != "features"}
    try:
        return keras.Model(exposed.inputs, features), keras.Model(features, rest)
    except ValueError:
        return None, exposed


def _scores(layer: keras.layers.Layer, tensors: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return the class scores before the softmax, (n, k), or log-probabilities if the scores are not available."""
    activation = getattr(layer, "activation", None)
    if isinstance(layer, keras.layers.Dense) and activation is keras.activations.softmax:
        scores = keras.ops.matmul(tensors["penultimate"], keras.ops.cast(layer.kernel, layer.compute_dtype))
        return scores + keras.ops.cast(layer.bias, scores.dtype) if layer.use_bias else scores
    if isinstance(layer, keras.layers.Softmax) or activation is keras.activations.softmax:
        return tensors["penultimate"]
    probabilities = keras.ops.cast(tensors["output"], "float32")
    return keras.ops.log(keras.ops.maximum(probabilities, keras.config.epsilon()))


def _is_graph(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is a model with accessible layers: functional or sequential, not subclassed."""
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def _feature_layer(model: keras.Model) -> keras.layers.Layer:
    for layer in reversed(list(_flat_layers(model))):
        if not isinstance(layer, NOT_A_FEATURE_MAP) and _has_extent(layer):
            return layer
    raise ValueError(f"{model.name}: no layer has a spatial feature map, so a heatmap cannot be computed")


def _last_layer(model: keras.Model) -> keras.layers.Layer:
    return list(_flat_layers(model))[-1]


def _flat_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if _is_graph(layer):
            yield from _flat_layers(layer)
        else:
            yield layer


def _has_extent(layer: keras.layers.Layer) -> bool:
    """Return whether the output is (batch, height, width, channels) with height and width not 1; None is any size."""
    shape = getattr(layer.output, "shape", ())
    return len(shape) == 4 and 1 not in shape[1:3]


def _expose(model: keras.Model, feature_layer: keras.layers.Layer, score_layer: keras.layers.Layer) -> keras.Model:
    """Return the same network with the same weights and the additional outputs `features` and `penultimate`.

    `features` is the output of `feature_layer` and `penultimate` the input of `score_layer`, if they are in
    `model`. The graph is rebuilt because the tensors inside a nested model are not connected to the outer input.
    """
    tensors = {}

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if _is_graph(layer):
            inner = _expose(layer, feature_layer, score_layer)(*args, **kwargs)
            tensors.update(inner)
            return inner["output"]
        output = layer(*args, **kwargs)
        if layer is feature_layer:
            tensors["features"] = output
        if layer is score_layer:
            tensors["penultimate"] = args[0]
        return output

    inputs, output = _walk(model, call)
    return keras.Model(inputs, {**tensors, "output": output})


def _walk(model: keras.Model, call: Callable) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Apply `call(layer, …)` to all layers of a graph; return its new input and its output."""
    inputs = keras.Input(batch_shape=model.input_shape)
    if isinstance(model, keras.Sequential):
        x = inputs
        for layer in model.layers:
            x = call(layer, x)
        return inputs, x
    # A new keras.Model has the same graph but is not compiled; clone_model would compile the clone of a compiled one.
    graph = keras.Model(model.input, model.output)
    walked = keras.models.clone_model(
        graph, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
    )
    return inputs, walked.output
