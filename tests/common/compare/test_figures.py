"""The figures of a comparison: names that do not cover each other, colours that can be told apart."""

import warnings

import helpers
import matplotlib
import numpy as np
import pytest

from common.compare import figures as compare_figures
from common.report import figures


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests left to the garbage collector
        yield


def strategies(count, name="a strategy of thirty letters", spread=0.05):
    """Points for `cost_front`, close together."""
    random = np.random.default_rng(0)
    values = 0.9 - spread * random.random(count)
    return [
        {"name": f"{name} {index}", "seconds": 10 * random.uniform(1, 1.5), "on_front": value == max(values),
         "accuracy": [value, value - 0.01, value + 0.01], "is_choice": index == 1}
        for index, value in enumerate(values)
    ]  # fmt: skip


def curves(count, photos=(56, 168, 560), name="a strategy of thirty letters"):
    accuracy = [[0.5, 0.4, 0.6], [0.7, None, None], [0.8, 0.79, 0.81]][: len(photos)]
    return [{"name": f"{name} {index}", "photos": photos, "accuracy": accuracy, "is_choice": index == 1}
            for index in range(count)]  # fmt: skip


def runs(count, epochs=20, name="a strategy"):
    run = {"seconds": np.arange(1, epochs + 1) / 10, "accuracy": np.linspace(0.2, 1, epochs)}
    return [{"name": f"{name} {index}", "runs": [run] * 3, "is_choice": index == 1} for index in range(count)]


def boxes_of_names(draw, rows):
    """Where a figure's names of strategies stand, (n, 4) in pixels, and the figure's width and height."""
    figure = draw.__wrapped__(rows, theme=figures.LIGHT)
    figure.draw_without_rendering()
    axes, names = figure.axes[0], {row["name"] for row in rows}
    texts = [text for text in axes.texts if text.get_text() in names]
    assert len(texts) == len(rows)
    # Of an annotation the text alone, without its arrow.
    return np.array([matplotlib.text.Text.get_window_extent(text).extents for text in texts]), figure.bbox.size


@pytest.mark.parametrize("rows", [strategies(12), strategies(12, spread=0), strategies(12, spread=0.8)])
def test_names_beside_dots_neither_overlap_nor_leave_the_figure(rows):
    assert stand_apart_inside(*boxes_of_names(compare_figures.cost_front, rows))


def test_names_at_the_ends_of_lines_neither_overlap_nor_leave_the_figure():
    assert stand_apart_inside(*boxes_of_names(compare_figures.data_curves, curves(12)))


def stand_apart_inside(boxes, size):
    """Whether no two of the boxes (left, bottom, right, top) overlap and all lie within the figure."""
    left, bottom, right, top = boxes.T
    apart = (right[:, None] <= left) | (left[:, None] >= right) | (top[:, None] <= bottom) | (bottom[:, None] >= top)
    np.fill_diagonal(apart, True)
    return apart.all() and boxes.min() >= 0 and (boxes[:, 2:].max(axis=0) <= size).all()


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_the_front_its_choice_and_what_is_beaten_have_their_colours(theme):
    colours = helpers.colours_of(compare_figures.cost_front(strategies(4), theme=theme))
    assert {helpers.rgb(theme.train), helpers.rgb(theme.validation), helpers.rgb(theme.muted)} <= colours


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_every_line_can_be_told_from_the_background(theme):
    assert min(compare_figures._contrast(colour, theme.background) for colour in theme.lines) > 3
    assert {helpers.rgb(colour) for colour in theme.lines} <= helpers.colours_of(
        compare_figures.data_curves(curves(7), theme=theme)
    )


def test_figures_of_strategies_with_one_of_everything():
    for value in (0.0, 0.5, 1.0):
        point = {"name": "one", "seconds": 0, "accuracy": [value, None, None], "on_front": True, "is_choice": False}
        assert helpers.opened(compare_figures.cost_front([point])).width == 1480
        assert len(compare_figures.cost_front.__wrapped__([point], theme=figures.LIGHT).axes[0].get_yticks()) > 1
    assert helpers.opened(compare_figures.data_curves(curves(1, photos=(56,)))).width == 1480
    assert helpers.opened(compare_figures.convergence_panels(runs(1, epochs=1))).width > 600
    assert helpers.opened(compare_figures.share_table([[np.nan]], ["one"], ["class"], "recall")).width > 100


def test_panels_and_tables_grow_with_the_strategies():
    few, many = (helpers.opened(compare_figures.convergence_panels(runs(count))) for count in (3, 12))
    assert many.height > 3 * few.height and many.width == few.width
    shares = np.linspace(0.3, 1, 240).reshape(12, 20)
    names = [f"a class with a rather long name {index}" for index in range(20)]
    width, height = helpers.opened(
        compare_figures.share_table(shares, [f"strategy {row}" for row in range(12)], names, "recall")
    ).size
    assert 1400 < width < 2400 and 800 < height < 1600


def test_a_long_name_of_a_strategy_keeps_its_backbone():
    name = "a_strategy_with_a_name_without_end, MobileNetV2:0.35"
    short = compare_figures._cut(name)
    assert len(short) <= compare_figures.LONGEST_STRATEGY and short.endswith("MobileNetV2:0.35")


@pytest.mark.parametrize("name", ["US$ 1 $", "$\\frac{$", "a\\b_{c}^2", "", "雛菊", "<script>"])
def test_names_are_not_taken_for_formulas(name):
    drawn = [
        compare_figures.cost_front(strategies(2, name)),
        compare_figures.data_curves(curves(2, name=name)),
        compare_figures.convergence_panels(runs(2, name=name)),
        compare_figures.share_table([[0.5, 0.1]], [name], [name, "other"], "recall"),
    ]
    assert all(helpers.opened(figure).width > 100 for figure in drawn)
