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
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests left to the garbage collector
        yield


def opened(png):
    return Image.open(io.BytesIO(png)).convert("RGB")


def colours_of(png):
    return {colour for _, colour in opened(png).getcolors(2**24)}


def rgb(colour):
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def history(epochs=8, stages=()):
    rows = [
        {"loss": 1 / (n + 1), "val_loss": 1.2 / (n + 1), "accuracy": 1 - 0.5 / (n + 1), "val_accuracy": 0.7,
         "balanced_accuracy": 0.5, "val_balanced_accuracy": 0.4}
        for n in range(epochs)
    ]  # fmt: skip
    for row, stage in zip(rows, stages, strict=False):
        row["stage"] = stage
    return rows


def confusion(num_classes):
    counts = np.random.default_rng(0).integers(0, 3, (num_classes, num_classes))
    return counts + 5 * np.eye(num_classes, dtype=int)


def target(sensitivity=(0.9, 0.8, 0.95), specificity=(0.7, 0.6, 0.8), rates=(0.0, 0.3, 1.0)):
    return {
        "classes": ["mel"],
        "wanted_sensitivity": 0.95,
        "roc": {"false_positive_rate": [0.0, 0.3, 1.0], "sensitivity": rates},
        "test": {"sensitivity": sensitivity, "specificity": specificity},
    }


def forest_rows(names=("female", "male"), pale=False):
    heading = {"name": "Sex"}
    estimates = {"sensitivity": [0.8, 0.7, 0.9], "auc": [0.9, 0.85, 0.97]}
    return [heading] + [{"name": name, "count": "4 of 20", "pale": pale} | estimates for name in names]


MEASURES = [("sensitivity", "sensitivity", 0.75), ("auc", "AUC", 0.5)]
CHOICES = [
    {"choice": choice, "accuracy": 0.8, "balanced_accuracy": 0.6, "recall_of_rarest": recall}
    for choice, recall in (("none", None), ("logit_adjust", 0.4))
]
LEAK = {
    "lesion": {"accuracy": 0.7, "accuracy_interval": [0.6, 0.8], "balanced_accuracy": 0.6},
    "random": {"accuracy": 0.9, "accuracy_interval": [0.85, 0.95], "balanced_accuracy": 0.8},
    "seen": {"accuracy": 0.99, "balanced_accuracy": 0.95},
    "unseen": {"accuracy": None, "balanced_accuracy": None},
}


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
@pytest.mark.parametrize("metric", ["loss", "accuracy", "balanced_accuracy"])
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
        figures.forest_plot(forest_rows([name]), MEASURES, name, "guessing"),
        figures.imbalance_choices([CHOICES[1] | {"choice": name}], "none"),
        figures.cost_front(strategies(2, name)),
        figures.data_curves(curves(2, name=name)),
        figures.convergence_panels(runs(2, name=name)),
        figures.share_table([[0.5, 0.1]], [name], [name, "other"], "recall"),
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


def blue_pixels(png):
    return np.all(np.asarray(opened(png)) == rgb(figures.LIGHT.train), axis=-1).sum()


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_roc_curve_has_the_curve_and_the_chosen_point(theme):
    colours = colours_of(figures.roc_curve(target(), theme=theme))
    assert {rgb(theme.background), rgb(theme.train), rgb(theme.validation)} <= colours


def test_roc_curve_without_a_target_among_the_photos():
    nothing = target(sensitivity=[None] * 3, rates=[None] * 3)
    assert opened(figures.roc_curve(nothing)).size == opened(figures.roc_curve(target())).size == (960, 960)
    assert blue_pixels(figures.roc_curve(nothing)) == 0


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_forest_plot_has_a_line_for_each_row(theme):
    few, many = (figures.forest_plot(forest_rows("ab" * n), MEASURES, "lesions", "all", theme=theme) for n in (2, 6))
    assert {rgb(theme.background), rgb(theme.train)} <= colours_of(few)
    assert opened(many).height > opened(few).height and opened(many).width == opened(few).width


def test_forest_plot_draws_small_groups_pale_and_leaves_out_what_is_not_known():
    solid = blue_pixels(figures.forest_plot(forest_rows(), MEASURES, "lesions", "all"))
    pale = blue_pixels(figures.forest_plot(forest_rows(pale=True), MEASURES, "lesions", "all"))
    unknown = [row | {"sensitivity": [None] * 3, "auc": [None] * 3} for row in forest_rows()[1:]]
    assert solid > 10 * pale
    assert blue_pixels(figures.forest_plot(unknown, MEASURES, "lesions", "all")) == 0
    no_reference = [(name, title, None) for name, title, _ in MEASURES]
    assert opened(figures.forest_plot(unknown, no_reference, "lesions", "all")).width > 100


def test_an_interval_that_leaves_its_value_out_is_drawn():
    odd = [row | {"auc": [0.5, 0.6, 0.7], "sensitivity": [0.5, None, None]} for row in forest_rows()]
    assert blue_pixels(figures.forest_plot(odd, MEASURES, "lesions", "all")) > 0


def test_abstention_curve():
    curve = {"coverage": [0.1, 0.5, 1.0], "accuracy": [1.0, 0.9, 0.8], "balanced_accuracy": [0.9, None, 0.6]}
    assert {rgb(figures.DARK.train), rgb(figures.DARK.validation)} <= colours_of(
        figures.abstention_curve(curve, theme=figures.DARK)
    )


def test_imbalance_choices_are_side_by_side():
    one, two = (opened(figures.imbalance_choices(CHOICES[:count], "none")) for count in (1, 2))
    assert two.height > one.height and two.width == one.width
    assert rgb(figures.LIGHT.validation) in colours_of(figures.imbalance_choices(CHOICES, "logit_adjust"))


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_the_bar_that_leaks_is_red(theme):
    colours = colours_of(figures.leak_bars(LEAK, theme=theme))
    assert {rgb(theme.leak), rgb(theme.train)} <= colours


def test_leak_bars_without_anything_seen():
    seen = LEAK | {"seen": LEAK["unseen"]}
    assert opened(figures.leak_bars(seen)).size == opened(figures.leak_bars(LEAK)).size


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
    assert stand_apart_inside(*boxes_of_names(figures.cost_front, rows))


def test_names_at_the_ends_of_lines_neither_overlap_nor_leave_the_figure():
    assert stand_apart_inside(*boxes_of_names(figures.data_curves, curves(12)))


def stand_apart_inside(boxes, size):
    """Whether no two of the boxes (left, bottom, right, top) overlap and all lie within the figure."""
    left, bottom, right, top = boxes.T
    apart = (right[:, None] <= left) | (left[:, None] >= right) | (top[:, None] <= bottom) | (bottom[:, None] >= top)
    np.fill_diagonal(apart, True)
    return apart.all() and boxes.min() >= 0 and (boxes[:, 2:].max(axis=0) <= size).all()


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_the_front_its_choice_and_what_is_beaten_have_their_colours(theme):
    colours = colours_of(figures.cost_front(strategies(4), theme=theme))
    assert {rgb(theme.train), rgb(theme.validation), rgb(theme.muted)} <= colours


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_every_line_can_be_told_from_the_background(theme):
    assert min(figures._contrast(colour, theme.background) for colour in theme.lines) > 3
    assert {rgb(colour) for colour in theme.lines} <= colours_of(figures.data_curves(curves(7), theme=theme))


def test_figures_of_strategies_with_one_of_everything():
    for value in (0.0, 0.5, 1.0):
        point = {"name": "one", "seconds": 0, "accuracy": [value, None, None], "on_front": True, "is_choice": False}
        assert opened(figures.cost_front([point])).width == 1480
        assert len(figures.cost_front.__wrapped__([point], theme=figures.LIGHT).axes[0].get_yticks()) > 1
    assert opened(figures.data_curves(curves(1, photos=(56,)))).width == 1480
    assert opened(figures.convergence_panels(runs(1, epochs=1))).width > 600
    assert opened(figures.share_table([[np.nan]], ["one"], ["class"], "recall")).width > 100


def test_panels_and_tables_grow_with_the_strategies():
    few, many = (opened(figures.convergence_panels(runs(count))) for count in (3, 12))
    assert many.height > 3 * few.height and many.width == few.width
    shares = np.linspace(0.3, 1, 240).reshape(12, 20)
    names = [f"a class with a rather long name {index}" for index in range(20)]
    width, height = opened(figures.share_table(shares, [f"strategy {row}" for row in range(12)], names, "recall")).size
    assert 1400 < width < 2400 and 800 < height < 1600


def test_a_long_name_of_a_strategy_keeps_its_backbone():
    name = "a_strategy_with_a_name_without_end, MobileNetV2:0.35"
    short = figures._cut(name)
    assert len(short) <= figures.LONGEST_STRATEGY and short.endswith("MobileNetV2:0.35")


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
