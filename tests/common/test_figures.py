"""The figures are PNGs of a readable size for every kind of run, and leave matplotlib as it was."""

import io
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from common import evaluation, figures


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def opened(png):
    return Image.open(io.BytesIO(png)).convert("RGB")


def colours_of(png):
    return {colour for _, colour in opened(png).getcolors(2**24)}


def rgb(colour):
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def history(epochs=8, stages=()):
    rows = [
        {"loss": 1 / (n + 1), "val_loss": 1.2 / (n + 1), "accuracy": 1 - 0.5 / (n + 1), "val_accuracy": 0.7}
        for n in range(epochs)
    ]
    for row, stage in zip(rows, stages, strict=False):
        row["stage"] = stage
    return rows


def confusion(num_classes):
    counts = np.random.default_rng(0).integers(0, 3, (num_classes, num_classes))
    return counts + 5 * np.eye(num_classes, dtype=int)


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_learning_curve_has_both_lines_in_the_themes_colours(theme, metric):
    colours = colours_of(figures.learning_curve(history(), metric, 5, theme=theme))
    assert {rgb(theme.background), rgb(theme.train), rgb(theme.validation)} <= colours


@pytest.mark.parametrize(
    "rows",
    [
        history(1),
        history(200),
        history(6, ["head"] * 3 + ["fine_tuning"] * 3),
        [{"loss": 1.0}, {"loss": 0.5}],
        [{"loss": 1.0, "val_loss": float("nan")}, {"loss": 0.5, "val_loss": 0.4}],
    ],
)
def test_learning_curve_of_odd_histories(rows):
    assert opened(figures.learning_curve(rows, "loss")).size == (960, 640)


def test_stages_are_shaded():
    plain = figures.learning_curve(history(6, ["head"] * 6), "loss")
    staged = figures.learning_curve(history(6, ["head"] * 3 + ["fine_tuning"] * 3), "loss")
    area = opened(staged).size[0] * opened(staged).size[1]
    white = [np.all(np.asarray(opened(png)) == 255, axis=-1).sum() for png in (plain, staged)]
    assert white[0] - white[1] > 0.2 * area


@pytest.mark.parametrize("count", [1, 4, 17])
def test_stage_curve_of_few_and_many_stages(count):
    stages = [
        {"stage": f"from_conv4_block{number}", "blocks": number, "validation_loss": 1 / (number + 1),
         "validation_accuracy": 0.8, "seconds": 10.0 * number}
        for number in range(count)
    ]  # fmt: skip
    assert opened(figures.stage_curve(stages, "from_conv4_block0")).size == (960, 920)
    without_blocks = [{name: value for name, value in row.items() if name != "blocks"} for row in stages]
    assert opened(figures.stage_curve(without_blocks, None)).size == (960, 920)


@pytest.mark.parametrize("num_classes", [2, 5, 20, 21, 60])
def test_confusion_matrix_is_readable_from_few_to_many_classes(num_classes):
    names = [f"a class with a rather long name {index}" for index in range(num_classes)]
    width, height = opened(figures.confusion_matrix(confusion(num_classes), names)).size
    assert width / num_classes > 24  # pixels per class, room for a line of text
    assert 0.6 < width / height < 1.7


def test_confusion_matrix_with_an_absent_class():
    assert opened(figures.confusion_matrix([[3, 1], [0, 0]], ["present", "absent"])).width > 100


@pytest.mark.parametrize("name", ["US$ 1 $", "$\\frac{$", "a\\b_{c}^2", "", "雛菊", "<script>"])
def test_names_are_not_taken_for_formulas(name):
    drawn = [
        figures.confusion_matrix(confusion(2), [name, "other"]),
        figures.photo_sheet([np.zeros((8, 8, 3), "uint8")], [name]),
        figures.learning_curve(history(4, [name] * 2 + ["other"] * 2), "loss"),
    ]
    assert all(opened(figure).width > 100 for figure in drawn)


def test_reliability_diagram():
    probabilities = np.random.default_rng(0).dirichlet([0.4] * 3, size=300)
    bins = evaluation.reliability(probabilities, probabilities.argmax(axis=1))
    assert rgb(figures.LIGHT.train) in colours_of(figures.reliability_diagram(bins))


def test_reliability_diagram_of_a_single_photo():
    assert opened(figures.reliability_diagram(evaluation.reliability([[1.0, 0.0]], [0]))).width > 100


def test_bins_of_few_photos_are_pale():
    few = evaluation.reliability([[0.99, 0.01]] * (figures.FEW_PHOTOS - 1), [0] * (figures.FEW_PHOTOS - 1))
    many = evaluation.reliability([[0.99, 0.01]] * figures.FEW_PHOTOS, [0] * figures.FEW_PHOTOS)
    blue = []
    for bins in (few, many):
        pixels = np.asarray(opened(figures.reliability_diagram(bins)))
        blue.append(np.all(pixels == rgb(figures.LIGHT.train), axis=-1).sum())
    assert blue[1] > 10 * blue[0]


@pytest.mark.parametrize("count", [1, 5, 13])
def test_photo_sheet_with_places_left_empty(count):
    pictures = [np.full((30, 40, 3), 90, "uint8")] * (count - 1) + [None]
    width, _ = opened(figures.photo_sheet(pictures, ["a\nb"] * count)).size
    assert width == round(min(count, 6) * 1.6 * figures.PHOTO_DPI)


def test_the_users_settings_neither_matter_nor_change():
    plain = figures.learning_curve(history(), "loss")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        before = dict(matplotlib.rcParams)
        assert figures.learning_curve(history(), "loss") == plain
        assert dict(matplotlib.rcParams) == before


def test_no_figure_is_left_open_in_pyplot():
    figures.learning_curve(history(), "loss")
    assert pyplot.get_fignums() == []
