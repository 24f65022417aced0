"""An anchor-free detector on any backbone: a feature pyramid, one head for all its levels, and boxes from its answers.

The head follows FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355) on a pyramid of three levels (Lin et al.
2017, https://arxiv.org/abs/1612.03144). Each place of a level answers for the object around it: how sure it is of each
class, how far the four edges are, in strides, and how near it is to the middle (centerness).
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from common import errors
from common.models import blocks, cut

LEVELS = 3
STRIDES = (8, 16, 32)
# The chance of a class at a place before the training: few places have an object (Lin et al. 2017, RetinaNet, 4.1).
PRIOR = 0.01
EDGES = 4  # after the classes: left, top, right, bottom; then the centerness


def levels(base_model: keras.Model) -> list:
    """Return the feature maps at strides 8, 16 and 32: the last block's end of each size.

    Raises:
        UserError: the network has no such maps, or its sides are not multiples of the strides.
    """
    side = base_model.input_shape[1]
    ends = {}
    for name in blocks.ends(base_model, 99):
        tensor = base_model.get_layer(name).output
        if tensor.shape[1]:
            ends[side / tensor.shape[1]] = tensor
    missing = [stride for stride in STRIDES if stride not in ends]
    if missing:
        raise errors.UserError(
            f"--backbone: {base_model.name} has no feature map of stride {missing[0]} at {side} pixels; choose an "
            f"--image-size that {STRIDES[-1]} divides, or a network such as MobileNetV2"
        )
    return [ends[stride] for stride in STRIDES]


def cut_at(model: keras.Model, tensors: list, first: int, base_model: keras.Model) -> list:
    """Return the tensors to cut a detector at, if the layers of its network from number `first` on train.

    Args:
        model: the detector.
        tensors: the levels of its pyramid.
        first: the number of the first layer that trains; the network's number of layers if only the head does.
        base_model: the network.
    """
    if first >= len(base_model.layers):
        return tensors
    later = {id(layer) for layer in base_model.layers[first:]}
    own = {id(operation) for operation in base_model.operations}
    before = [each for each in model.operations if id(each) in own and id(each) not in later]
    return cut.crossing_tensors(model, before)


def pyramid(tensors: list, channels: int) -> list:
    """Return a feature pyramid: each level is joined with what the coarser one saw, all with the same channels."""
    sides = [keras.layers.Conv2D(channels, 1, name=f"lateral{stride}")(x)
             for stride, x in zip(STRIDES, tensors, strict=True)]  # fmt: skip
    joined = sides[-1:]
    for stride, side in zip(STRIDES[-2::-1], sides[-2::-1], strict=True):
        larger = keras.layers.UpSampling2D(2, name=f"up{stride}")(joined[0])
        joined.insert(0, keras.layers.Add(name=f"join{stride}")([side, larger]))
    return [
        keras.layers.Conv2D(channels, 3, padding="same", activation="relu", kernel_initializer="he_normal",
                            name=f"pyramid{stride}")(x)
        for stride, x in zip(STRIDES, joined, strict=True)
    ]  # fmt: skip


def build_head(num_classes: int, channels: int, depth: int) -> keras.Model:
    """Return the head that all levels share: (height, width, channels) to (height * width, classes + 5).

    Args:
        num_classes: the number of classes.
        channels: of the pyramid and of the head's own layers.
        depth: the number of 3x3 convolutions before the answers, for classes and for edges each.
    """
    features = keras.Input((None, None, channels))
    towers = []
    for kind in ("class", "edge"):
        x = features
        for number in range(1, depth + 1):
            x = keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer="he_normal", use_bias=False,
                                    name=f"{kind}_conv{number}")(x)  # fmt: skip
            x = keras.layers.GroupNormalization(8, name=f"{kind}_norm{number}")(x)
            x = keras.layers.Activation("relu", name=f"{kind}_relu{number}")(x)
        towers.append(x)
    prior = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    small = keras.initializers.RandomNormal(stddev=0.01)
    parts = [
        keras.layers.Conv2D(num_classes, 3, padding="same", bias_initializer=prior, kernel_initializer=small,
                            name="classes")(towers[0]),
        keras.layers.Conv2D(EDGES + 1, 3, padding="same", kernel_initializer=small, name="edges")(towers[1]),
    ]  # fmt: skip
    x = keras.layers.Concatenate(name="both")(parts)
    return keras.Model(features, keras.layers.Reshape((-1, num_classes + EDGES + 1), name="places")(x), name="head")


def places(image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle (n, 2) of each place of all levels in pixels, x and y, and its stride (n,); float32."""
    middles, strides = [], []
    for stride in STRIDES:
        line = (np.arange(image_size // stride) + 0.5) * stride
        across, down = np.meshgrid(line, line)
        middles.append(np.stack([across.ravel(), down.ravel()], axis=1))
        strides.append(np.full(across.size, stride))
    return np.concatenate(middles).astype("float32"), np.concatenate(strides).astype("float32")


def edges(answers: Any, image_size: int, num_classes: int) -> Any:
    """Return the boxes (batch, n, 4) in pixels of the network's square, from its answers (batch, n, classes + 5)."""
    middles, strides = places(image_size)
    # softplus, and not FCOS's exp: its gradient stays small at the start.
    reach = keras.ops.softplus(answers[..., num_classes : num_classes + EDGES] + 2.0) * strides[:, None]
    corners = [keras.ops.subtract(middles, reach[..., :2]), keras.ops.add(middles, reach[..., 2:])]
    return keras.ops.concatenate(corners, axis=-1)


def decoded(answers: Any, image_size: int, num_classes: int) -> Any:
    """Return (batch, n, 4 + classes): edges as fractions of the network's square, and a score for each class.

    A score is the geometric mean of the class's probability and the centerness, as in FCOS.
    """
    corners = keras.ops.clip(edges(answers, image_size, num_classes) / image_size, 0.0, 1.0)
    sure = keras.ops.sigmoid(answers[..., :num_classes]) * keras.ops.sigmoid(answers[..., num_classes + EDGES :])
    return keras.ops.concatenate([corners, keras.ops.sqrt(sure)], axis=-1)


def suppressed(
    found: np.ndarray, least_score: float = 0.01, overlap: float = 0.5, most: int = 100, batch: int = 64
) -> np.ndarray:
    """Return the surest boxes without those that repeat one of their class: (m, most, 6), padded with a score of 0.

    Args:
        found: (m, n, 4 + classes) the output of `decoded`.
        least_score: boxes below it are left out.
        overlap: the intersection over union from which on two boxes of a class are one.
        most: the largest number of boxes of a photo.
        batch: photos at a time.

    Returns:
        For each box: left, top, right, bottom as in `found`, score, class index; the surest first.
    """
    import tensorflow as tf  # the library's non-maximum suppression

    rows = []
    for start in range(0, len(found), batch):
        part = tf.constant(found[start : start + batch], tf.float32)
        corners = tf.gather(part[..., :EDGES], [1, 0, 3, 2], axis=-1)[:, :, None]  # top, left, bottom, right
        boxes, scores, classes, _ = tf.image.combined_non_max_suppression(
            corners, part[..., EDGES:], most, most, overlap, least_score, clip_boxes=False
        )
        boxes = tf.gather(boxes, [1, 0, 3, 2], axis=-1)
        rows.append(tf.concat([boxes, scores[..., None], classes[..., None]], axis=-1).numpy())
    return np.concatenate(rows) if rows else np.zeros((0, most, 6), "float32")
