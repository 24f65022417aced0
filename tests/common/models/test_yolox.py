import os
import pathlib
import sys

import keras
import numpy as np
import onnx
import pytest

from common import errors
from common.data import boxes
from common.media import medium, photos
from common.models import detector, yolox

REAL = pathlib.Path(os.environ.get("REAL_DATA") or "/nowhere")
WEIGHTS = REAL / "weights" / "yolox_nano_coco.weights.h5"
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs REAL_DATA with the weights of YOLOX-nano")


@pytest.fixture(scope="module")
def made():
    """The network for COCO with random weights that differ from layer to layer, and its convolutions."""
    model, _, convolutions = yolox.network(64)
    random = np.random.default_rng(0)
    for layer in convolutions:
        layer.set_weights([random.normal(0, 0.1, weight.shape) for weight in layer.weights])
    return model, convolutions


def test_the_network_is_that_of_the_paper_with_batch_norm_inside(made):
    model, convolutions = made
    assert model.count_params() == 904_463 and len(convolutions) == 113
    assert model.output_shape == (None, 64 + 16 + 4, 85)
    _, base_model, _ = yolox.network(64, 3)
    assert [tuple(level.shape[1:]) for level in base_model.outputs] == [(8, 8, 64), (4, 4, 128), (2, 2, 256)]
    names = [layer.name for layer in convolutions]
    assert names[:6] == ["stem", "dark2_dw", "dark2_pw", "dark2_csp_a", "dark2_csp_b", "dark2_csp_0_in"]
    assert names[-13:-8] == ["obj16", "head32", "cls32_0_dw", "cls32_0_pw", "cls32_1_dw"]
    assert names[-7:] == ["cls32", "reg32_0_dw", "reg32_0_pw", "reg32_1_dw", "reg32_1_pw", "box32", "obj32"]


def test_the_published_format_and_keras_own_fill_the_same_layers(made, tmp_path):
    model, convolutions = made
    initial, nodes = [], []
    for number, layer in enumerate(convolutions):
        kernel, bias = layer.get_weights()
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)  # (channels, 1, 3, 3) in PyTorch
        kernel = np.moveaxis(kernel, 2, 0)[:, None, :, :, 0] if is_depthwise else kernel.transpose(3, 2, 0, 1)
        names = f"kernel{number}", f"bias{number}"
        initial += [onnx.numpy_helper.from_array(np.ascontiguousarray(kernel), names[0]),
                    onnx.numpy_helper.from_array(bias, names[1])]  # fmt: skip
        nodes.append(onnx.helper.make_node("Conv", [f"x{number}", *names], [f"x{number + 1}"]))
        nodes.append(onnx.helper.make_node("Sigmoid", [f"x{number + 1}"], [f"y{number}"]))
    graph = onnx.helper.make_graph(nodes, "yolox", [], [], initial)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "yolox_nano.onnx")
    model.save_weights(tmp_path / "yolox.weights.h5")
    for name in ("yolox_nano.onnx", "yolox.weights.h5"):
        found = yolox.read(str(tmp_path / name))
        for got, wanted in zip(found.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_classes_of_coco_keep_their_outputs_and_others_begin_anew(made):
    source, _ = made
    model, _, _ = yolox.network(64, 3)
    names = ("Cell_Phone", "platelet", "person")
    assert yolox.start_from(model, source, names) == ["Cell_Phone", "person"]
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    ours, theirs = model.predict(pixels, verbose=0), source.predict(pixels, verbose=0)
    places = [5 + yolox.COCO.index(name) for name in ("cell phone", "person")]
    np.testing.assert_allclose(ours[..., [*range(5), 5, 7]], theirs[..., [*range(5), *places]], rtol=1e-4, atol=1e-4)
    _, bias = model.get_layer("cls16").get_weights()
    assert bias[1] == pytest.approx(np.log(detector.PRIOR / (1 - detector.PRIOR)))


def test_answers_become_boxes_and_scores():
    answers = np.zeros((1, 84, 7), "float32")
    place = 64 + 4 + 2  # stride 16, second row, third column
    answers[0, place] = [0.5, 0.25, np.log(2), np.log(1.5), 0.0, 3.0, -3.0]
    assert np.allclose(np.array(yolox.edges(answers, 64, 2))[0, place], [40 - 16, 20 - 12, 40 + 16, 20 + 12])
    decoded = np.array(yolox.decoded(answers, 64, 2))[0, place]
    assert np.allclose(decoded[:4] * 64, [24, 8, 56, 32]) and np.allclose(decoded[4:], [0.4763, 0.0237], atol=1e-4)


@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras says it of the wrong file
def test_mistakes_are_one_line(tmp_path):
    for weights in (None, "imagenet", str(tmp_path / "nothing.onnx")):
        with pytest.raises(errors.UserError, match="yolox_nano.onnx of https"):
            yolox.check_weights(weights)
    (tmp_path / "other.onnx").write_bytes(b"no graph")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    for name in ("other.onnx", "other.weights.h5"):
        with pytest.raises(errors.UserError, match="not the weights of YOLOX-nano"):
            yolox.load(str(tmp_path / name), 64, "pad", ("person",))
    with pytest.raises(errors.UserError, match="--image-size 100: must be a multiple of 32"):
        yolox.load("none", 100, "pad", ("person",))


# With the published weights --------------------------------------------------------------------------------------


@needs_weights
def test_its_answers_are_those_of_the_source():
    """The source is another builder, compared with the published ONNX file."""
    sys.path.insert(0, str(WEIGHTS.parent))
    try:
        import yolox as source
    finally:
        sys.path.remove(str(WEIGHTS.parent))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype("float32")
    theirs = source.yolox_nano((96, 96, 3))
    theirs.load_weights(WEIGHTS)
    backbone, model = yolox.load(str(WEIGHTS), 96, "pad", yolox.COCO)
    swapped = np.asarray(backbone.preprocess(pixels))  # the network takes BGR
    assert np.array_equal(swapped, pixels[..., [2, 1, 0]])
    wanted = theirs.predict(swapped, verbose=0)
    found = model.predict(swapped, verbose=0)
    np.testing.assert_allclose(found[..., :4], wanted[..., :4], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(1 / (1 + np.exp(-found[..., 4:])), wanted[..., 4:], atol=1e-5)


@needs_weights
def test_persons_are_found_before_any_training():
    """The first photo of Penn-Fudan has two persons."""
    pixels = photos.PHOTOS.read(REAL / "pedestrians" / "photos" / "FudanPed00001.jpg", medium.PLAIN)
    backbone, model = yolox.load(str(WEIGHTS), 416, "pad", ("person",))
    square = backbone.resize(pixels[None].astype("float32"))
    answers = model.predict(backbone.preprocess(square), verbose=0)
    (found,) = detector.suppressed(np.array(yolox.decoded(answers, 416, 1)))
    found = boxes.Boxes(("person",), threshold=0.5).in_photo(found, pixels.shape[1::-1])
    text = (REAL / "pedestrians" / "annotations" / "FudanPed00001.txt").read_text()
    assert len(found) == text.count("Bounding box")
