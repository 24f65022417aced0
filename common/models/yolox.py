"""YOLOX-nano, a small detector trained on the 80 classes of COCO (https://arxiv.org/abs/2107.08430).

The weights are those that its authors published, `yolox_nano.onnx` of
https://github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0 (Apache-2.0), with batch norm inside the
convolutions. A .weights.h5 file that Keras saved of `network` is taken as well.
"""

from __future__ import annotations

import importlib.util
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import keras

from common import errors, words
from common.models import backbones, detector, raw_input

NAME = "yolox_nano"
IMAGE_SIZE = 416  # that it was trained with
PYRAMID = "lateral5"  # its first layer; those before it are the backbone
OBJECTNESS = 4  # after x, y, width and height; then the classes
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator",
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
HOW_TO_GET = (
    "--detector yolox needs --weights FILE: yolox_nano.onnx of "
    "https://github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0; --weights none are random ones"
)


# The network -----------------------------------------------------------------------------------------------------


class _Layers:
    """The layers of the network, and its convolutions in the order in which the authors' network computes them."""

    def __init__(self) -> None:
        self.convolutions: list[keras.layers.Layer] = []

    def conv(self, x: Any, filters: int, size: int, name: str, stride: int = 1, activation: str | None = "silu") -> Any:
        """Return a convolution, padded alike on both sides as in PyTorch, and its activation."""
        if stride > 1:
            x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
        padding = "valid" if stride > 1 else "same"
        self.convolutions.append(keras.layers.Conv2D(filters, size, strides=stride, padding=padding, name=name))
        x = self.convolutions[-1](x)
        return keras.layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x

    def separable(self, x: Any, filters: int, name: str, stride: int = 1) -> Any:
        """Return a 3x3 convolution of each channel, and a 1x1 convolution of all."""
        if stride > 1:
            x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid" if stride > 1 else "same"
        self.convolutions.append(keras.layers.DepthwiseConv2D(3, strides=stride, padding=padding, name=f"{name}_dw"))
        x = keras.layers.Activation("silu", name=f"{name}_dw_silu")(self.convolutions[-1](x))
        return self.conv(x, filters, 1, f"{name}_pw")

    def partial(self, x: Any, filters: int, count: int, name: str, shortcut: bool = True) -> Any:
        """Return a cross-stage partial block: half of the channels go through `count` bottlenecks."""
        half = filters // 2
        deep, direct = self.conv(x, half, 1, f"{name}_a"), self.conv(x, half, 1, f"{name}_b")
        for number in range(count):
            y = self.separable(self.conv(deep, half, 1, f"{name}_{number}_in"), half, f"{name}_{number}")
            deep = keras.layers.Add(name=f"{name}_{number}_add")([deep, y]) if shortcut else y
        return self.conv(keras.layers.Concatenate(name=f"{name}_cat")([deep, direct]), filters, 1, f"{name}_out")

    def levels(self, photos: Any) -> list[Any]:
        """Return the maps at strides 8, 16 and 32: the backbone, and a pyramid down and up again."""
        x = keras.layers.Concatenate(name="focus")([photos[:, i::2, j::2] for j in (0, 1) for i in (0, 1)])
        x = self.conv(x, 16, 3, "stem")
        x = self.partial(self.separable(x, 32, "dark2", 2), 32, 1, "dark2_csp")
        dark3 = self.partial(self.separable(x, 64, "dark3", 2), 64, 3, "dark3_csp")
        dark4 = self.partial(self.separable(dark3, 128, "dark4", 2), 128, 3, "dark4_csp")
        x = self.conv(self.separable(dark4, 256, "dark5", 2), 128, 1, "spp_in")
        pooled = [keras.layers.MaxPooling2D(size, 1, "same", name=f"spp_{size}")(x) for size in (5, 9, 13)]
        x = self.conv(keras.layers.Concatenate(name="spp")([x, *pooled]), 256, 1, "spp_out")
        dark5 = self.partial(x, 256, 1, "dark5_csp", shortcut=False)

        lateral5 = self.conv(dark5, 128, 1, "lateral5")
        x = self.partial(_above(lateral5, dark4, "up5"), 128, 1, "td4", shortcut=False)
        lateral4 = self.conv(x, 64, 1, "lateral4")
        level8 = self.partial(_above(lateral4, dark3, "up4"), 64, 1, "td3", shortcut=False)
        x = self.separable(level8, 64, "down3", 2)
        x = keras.layers.Concatenate(name="down3_cat")([x, lateral4])
        level16 = self.partial(x, 128, 1, "bu4", shortcut=False)
        x = self.separable(level16, 128, "down4", 2)
        x = keras.layers.Concatenate(name="down4_cat")([x, lateral5])
        return [level8, level16, self.partial(x, 256, 1, "bu5", shortcut=False)]

    def head(self, level: Any, stride: int, num_classes: int) -> Any:
        """Return the answers of a level's own head, (places, 5 + classes), as `network` describes them."""
        x = self.conv(level, 64, 1, f"head{stride}")
        classes = self.separable(self.separable(x, 64, f"cls{stride}_0"), 64, f"cls{stride}_1")
        classes = self.conv(classes, num_classes, 1, f"cls{stride}", activation=None)
        boxes = self.separable(self.separable(x, 64, f"reg{stride}_0"), 64, f"reg{stride}_1")
        parts = [self.conv(boxes, 4, 1, f"box{stride}", activation=None),
                 self.conv(boxes, 1, 1, f"obj{stride}", activation=None), classes]  # fmt: skip
        x = keras.layers.Concatenate(name=f"out{stride}")(parts)
        return keras.layers.Reshape((-1, 5 + num_classes), name=f"flat{stride}")(x)


def _above(coarse: Any, fine: Any, name: str) -> Any:
    return keras.layers.Concatenate(name=f"{name}_cat")([keras.layers.UpSampling2D(2, name=name)(coarse), fine])


def network(image_size: int, num_classes: int = len(COCO)) -> tuple[keras.Model, keras.Model, list[keras.layers.Layer]]:
    """Build the network with random weights.

    Args:
        image_size: a multiple of 32.
        num_classes: the number of classes.

    Returns:
        The detector, its part up to the maps of strides 8, 16 and 32, and its convolutions in the authors' order. The
        input is BGR, 0 to 255. An answer is x, y, log width, log height, objectness, classes: x and y are in strides
        from the place's upper left corner, width and height in strides, the others logits.
    """
    made, photos = _Layers(), keras.Input((image_size, image_size, 3), name="photos")
    levels = made.levels(photos)
    answers = [made.head(x, stride, num_classes) for x, stride in zip(levels, detector.STRIDES, strict=True)]
    # float32 even under mixed precision, since the loss needs its digits.
    output = keras.layers.Concatenate(axis=1, dtype="float32", name="answers")(answers)
    return keras.Model(photos, output, name="detector"), keras.Model(photos, levels, name=NAME), made.convolutions


def edges(answers: Any, image_size: int, num_classes: int) -> Any:
    """Return the boxes (batch, n, 4) in pixels of the network's square, as `detector.edges` does."""
    middles, strides = detector.places(image_size)
    centre = keras.ops.add((answers[..., :2] - 0.5) * strides[:, None], middles)
    half = keras.ops.exp(answers[..., 2:OBJECTNESS]) * strides[:, None] / 2
    return keras.ops.concatenate([centre - half, centre + half], axis=-1)


def decoded(answers: Any, image_size: int, num_classes: int) -> Any:
    """Return (batch, n, 4 + classes), as `detector.decoded` does; a score is objectness times class probability."""
    corners = keras.ops.clip(edges(answers, image_size, num_classes) / image_size, 0.0, 1.0)
    sure = keras.ops.sigmoid(answers[..., OBJECTNESS : OBJECTNESS + 1]) * keras.ops.sigmoid(
        answers[..., OBJECTNESS + 1 :]
    )
    return keras.ops.concatenate([corners, sure], axis=-1)


# The weights -----------------------------------------------------------------------------------------------------


def check_weights(weights: str | None) -> None:
    """Refuse missing weights, before the photos are read.

    Raises:
        UserError: none are given, there is no such file, or it is an .onnx file and `onnx` is not installed.
    """
    if weights is None or weights in ("imagenet", "demo", "own"):
        raise errors.UserError(HOW_TO_GET)
    if weights != "none" and not pathlib.Path(weights).expanduser().is_file():
        raise errors.UserError(f"--weights {weights}: no such file. {HOW_TO_GET}")
    if weights.endswith(".onnx") and importlib.util.find_spec("onnx") is None:
        raise errors.UserError(f"--weights {weights} needs an extra package: pip install 'keras-recipes[fast]'")


def load(
    weights: str, image_size: int, aspect: str, class_names: Sequence[str]
) -> tuple[backbones.Backbone, keras.Model]:
    """Build a detector of these classes that starts from COCO's: all layers, and the outputs of classes of COCO.

    Args:
        weights: `none` (random), the published .onnx file, or a .weights.h5 file of `network`.
        image_size, aspect: as for `backbones.load`.
        class_names: the classes to find.

    Returns:
        The network up to the maps of the three strides, and the detector; they share their layers.

    Raises:
        UserError: the weights do not fit, or the size is not a multiple of 32.
    """
    check_weights(weights)
    if image_size % detector.STRIDES[-1]:
        raise errors.UserError(f"--image-size {image_size}: must be a multiple of {detector.STRIDES[-1]} for YOLOX")
    model, base_model, _ = network(image_size, len(class_names))
    if weights == "none":
        _set_priors(model)
    else:
        kept = start_from(model, read(weights), class_names)
        told = {"classes that COCO has": kept, "new": [name for name in class_names if name not in kept]}
        lists = [f"{kind}: {', '.join(map(words.printable, names))}" for kind, names in told.items() if names]
        advice = "" if kept else "; for things that COCO does not have, --detector fcos is usually better"
        print(f"yolox: {'; '.join(lists)}{advice}", file=sys.stderr)
    resize = raw_input.resizing(image_size, aspect)
    return backbones.Backbone(NAME, weights, base_model, _to_bgr, image_size, resize), model


def _to_bgr(pixels: Any) -> Any:
    """Bring RGB to BGR; the network takes 0 to 255."""
    return pixels[..., ::-1]


def read(weights: str) -> keras.Model:
    """Return the detector of COCO's classes with the weights of a file.

    Raises:
        UserError: the file cannot be read, or is of another network.
    """
    model, _, convolutions = network(IMAGE_SIZE)
    path = pathlib.Path(weights).expanduser()
    try:
        if path.suffix == ".onnx":
            _set_from_onnx(convolutions, path)
        else:
            model.load_weights(path)
    except Exception as error:  # the readers of both formats raise many types
        told = " ".join(str(error).split())[:200]
        raise errors.UserError(f"--weights {weights}: not the weights of YOLOX-nano ({told})") from error
    return model


def _set_from_onnx(convolutions: Sequence[keras.layers.Layer], path: pathlib.Path) -> None:
    """Fill the convolutions from those of an ONNX file in its order; kernels are (out, in, height, width) there."""
    import onnx  # an optional package

    graph = onnx.load(path).graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    for layer, node in zip(convolutions, nodes, strict=True):
        kernel, bias = (values[name] for name in node.input[1:])
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        layer.set_weights([kernel.transpose(2, 3, 0, 1) if is_depthwise else kernel.transpose(2, 3, 1, 0), bias])


def start_from(model: keras.Model, source: keras.Model, class_names: Sequence[str]) -> list[str]:
    """Copy the weights of COCO's detector into one of other classes, and return the classes that COCO has.

    A class of COCO, such as `person`, `Person` or `cell_phone`, keeps its output; the other outputs begin with the
    usual chance of a class, `detector.PRIOR`.
    """
    ours = known(class_names)
    _set_priors(model)
    for layer in model.layers:
        wanted = source.get_layer(layer.name).get_weights() if layer.weights else []
        if layer.name in _outputs("cls"):
            values = layer.get_weights()
            for name, place in ours.items():
                for value, coco in zip(values, wanted, strict=True):
                    value[..., list(class_names).index(name)] = coco[..., place]
            wanted = values
        layer.set_weights(wanted)
    return list(ours)


def known(class_names: Sequence[str]) -> dict[str, int]:
    """Return the classes that COCO has, with their places in its list."""
    plain = {name: name.lower().replace("_", " ").replace("-", " ").strip() for name in class_names}
    return {name: COCO.index(same) for name, same in plain.items() if same in COCO}


def _outputs(*kinds: str) -> list[str]:
    return [f"{kind}{stride}" for kind in kinds for stride in detector.STRIDES]


def _set_priors(model: keras.Model) -> None:
    """Let the outputs begin with a small chance of a thing and of a class, as the authors did."""
    for name in _outputs("cls", "obj"):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel * 0.1, bias * 0 - math.log((1 - detector.PRIOR) / detector.PRIOR)])
