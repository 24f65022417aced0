"""The figures are PNGs of a readable size for every kind of run, and leave matplotlib as it was."""

import warnings

import helpers
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from common.evaluation import classification
from common.report import clinical_figures, figures, writing

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of what earlier tests left to the garbage collector
        yield


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
    colours = helpers.colours_of(figures.learning_curve(history(), metric, 5, theme=theme))
    assert {helpers.rgb(theme.background), helpers.rgb(theme.train), helpers.rgb(theme.validation)} <= colours


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
    assert helpers.opened(figures.learning_curve(rows, "loss")).size == (960, 640)


def test_stages_are_shaded():
    plain = figures.learning_curve(history(6, ["head"] * 6), "loss")
    staged = figures.learning_curve(history(6, ["head"] * 3 + ["fine_tuning"] * 3), "loss")
    area = helpers.opened(staged).size[0] * helpers.opened(staged).size[1]
    white = [np.all(np.asarray(helpers.opened(png)) == 255, axis=-1).sum() for png in (plain, staged)]
    assert white[0] - white[1] > 0.2 * area


@pytest.mark.parametrize("count", [1, 4, 17])
def test_stage_curve_of_few_and_many_stages(count):
    stages = [
        {"stage": f"from_conv4_block{number}", "blocks": number, "validation_loss": 1 / (number + 1),
         "validation_accuracy": 0.8, "seconds": 10.0 * number}
        for number in range(count)
    ]  # fmt: skip
    assert helpers.opened(figures.stage_curve(stages, "from_conv4_block0")).size == (960, 920)
    without_blocks = [{name: value for name, value in row.items() if name != "blocks"} for row in stages]
    assert helpers.opened(figures.stage_curve(without_blocks, None)).size == (960, 920)


def test_close_stages_have_different_marks():
    rows = [
        {"stage": f"s{n}", "validation_loss": 0.6, "validation_accuracy": 0.74 + n / 1000, "seconds": 1} for n in (0, 4)
    ]
    figure = figures.stage_curve.__wrapped__(rows, "s4", theme=figures.LIGHT)
    figure.draw_without_rendering()
    axes = figure.axes[1]
    marks = [
        label.get_text()
        for label in axes.get_yticklabels()
        if axes.get_ylim()[0] <= label.get_position()[1] <= axes.get_ylim()[1]
    ]
    assert len(marks) == len(set(marks)) >= 2


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_perplexities_of_general_texts_are_there_where_they_are_known(theme):
    ways = ("before tuning", "full", "last_blocks")
    rows = [{"name": name, "test": 10.0**n, "general": None} for n, name in enumerate(ways, start=1)]
    alone = helpers.colours_of(writing.perplexities(rows, theme=theme))
    general = writing.perplexities([row | {"general": 30.0} for row in rows], theme=theme)
    assert helpers.rgb(theme.train) in alone & helpers.colours_of(general)
    assert writing._digits(17593.2) == "17,600" and writing._digits(4.0625) == "4.06"


@pytest.mark.parametrize("num_classes", [2, 5, 20, 21, 60])
def test_confusion_matrix_is_readable_from_few_to_many_classes(num_classes):
    names = [f"a class with a rather long name {index}" for index in range(num_classes)]
    width, height = helpers.opened(figures.confusion_matrix(confusion(num_classes), names)).size
    assert width / num_classes > 24  # pixels per class, room for a line of text
    assert 0.6 < width / height < 1.7


def test_confusion_matrix_with_an_absent_class():
    assert helpers.opened(figures.confusion_matrix([[3, 1], [0, 0]], ["present", "absent"])).width > 100


@pytest.mark.parametrize("name", ["US$ 1 $", "$\\frac{$", "a\\b_{c}^2", "", "雛菊", "<script>"])
def test_names_are_not_taken_for_formulas(name):
    drawn = [
        figures.confusion_matrix(confusion(2), [name, "other"]),
        figures.photo_sheet([np.zeros((8, 8, 3), "uint8")], [name]),
        figures.learning_curve(history(4, [name] * 2 + ["other"] * 2), "loss"),
        clinical_figures.forest_plot(forest_rows([name]), MEASURES, name, "guessing"),
        clinical_figures.imbalance_choices([CHOICES[1] | {"choice": name}], "none"),
    ]
    assert all(helpers.opened(figure).width > 100 for figure in drawn)


def test_reliability_diagram():
    probabilities = np.random.default_rng(0).dirichlet([0.4] * 3, size=300)
    bins = classification.reliability(probabilities, probabilities.argmax(axis=1))
    assert helpers.rgb(figures.LIGHT.train) in helpers.colours_of(figures.reliability_diagram(bins))


def test_reliability_diagram_of_a_single_photo():
    assert helpers.opened(figures.reliability_diagram(classification.reliability([[1.0, 0.0]], [0]))).width > 100


def test_bins_of_few_photos_are_pale():
    few = classification.reliability([[0.99, 0.01]] * (figures.FEW_PHOTOS - 1), [0] * (figures.FEW_PHOTOS - 1))
    many = classification.reliability([[0.99, 0.01]] * figures.FEW_PHOTOS, [0] * figures.FEW_PHOTOS)
    blue = []
    for bins in (few, many):
        pixels = np.asarray(helpers.opened(figures.reliability_diagram(bins)))
        blue.append(np.all(pixels == helpers.rgb(figures.LIGHT.train), axis=-1).sum())
    assert blue[1] > 10 * blue[0]


def blue_pixels(png):
    return np.all(np.asarray(helpers.opened(png)) == helpers.rgb(figures.LIGHT.train), axis=-1).sum()


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_roc_curve_has_the_curve_and_the_chosen_point(theme):
    colours = helpers.colours_of(clinical_figures.roc_curve(target(), theme=theme))
    assert {helpers.rgb(theme.background), helpers.rgb(theme.train), helpers.rgb(theme.validation)} <= colours


def test_roc_curve_without_a_target_among_the_photos():
    nothing = target(sensitivity=[None] * 3, rates=[None] * 3)
    assert {helpers.opened(clinical_figures.roc_curve(each)).size for each in (nothing, target())} == {(960, 960)}
    assert blue_pixels(clinical_figures.roc_curve(nothing)) == 0


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_forest_plot_has_a_line_for_each_row(theme):
    few, many = (
        clinical_figures.forest_plot(forest_rows("ab" * n), MEASURES, "lesions", "all", theme=theme) for n in (2, 6)
    )
    assert {helpers.rgb(theme.background), helpers.rgb(theme.train)} <= helpers.colours_of(few)
    small, large = helpers.opened(few), helpers.opened(many)
    assert large.height > small.height and large.width == small.width


def test_forest_plot_draws_small_groups_pale_and_leaves_out_what_is_not_known():
    solid = blue_pixels(clinical_figures.forest_plot(forest_rows(), MEASURES, "lesions", "all"))
    pale = blue_pixels(clinical_figures.forest_plot(forest_rows(pale=True), MEASURES, "lesions", "all"))
    unknown = [row | {"sensitivity": [None] * 3, "auc": [None] * 3} for row in forest_rows()[1:]]
    assert solid > 10 * pale
    assert blue_pixels(clinical_figures.forest_plot(unknown, MEASURES, "lesions", "all")) == 0
    no_reference = [(name, title, None) for name, title, _ in MEASURES]
    assert helpers.opened(clinical_figures.forest_plot(unknown, no_reference, "lesions", "all")).width > 100


def test_an_interval_that_leaves_its_value_out_is_drawn():
    odd = [row | {"auc": [0.5, 0.6, 0.7], "sensitivity": [0.5, None, None]} for row in forest_rows()]
    assert blue_pixels(clinical_figures.forest_plot(odd, MEASURES, "lesions", "all")) > 0


def test_abstention_curve():
    curve = {"coverage": [0.1, 0.5, 1.0], "accuracy": [1.0, 0.9, 0.8], "balanced_accuracy": [0.9, None, 0.6]}
    assert {helpers.rgb(figures.DARK.train), helpers.rgb(figures.DARK.validation)} <= helpers.colours_of(
        clinical_figures.abstention_curve(curve, theme=figures.DARK)
    )


def test_imbalance_choices_are_side_by_side():
    one, two = (helpers.opened(clinical_figures.imbalance_choices(CHOICES[:count], "none")) for count in (1, 2))
    assert two.height > one.height and two.width == one.width
    drawn = clinical_figures.imbalance_choices(CHOICES, "logit_adjust")
    assert helpers.rgb(figures.LIGHT.validation) in helpers.colours_of(drawn)


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_the_bar_that_leaks_is_red(theme):
    colours = helpers.colours_of(clinical_figures.leak_bars(LEAK, theme=theme))
    assert {helpers.rgb(theme.leak), helpers.rgb(theme.train)} <= colours


def test_leak_bars_without_anything_seen():
    seen = LEAK | {"seen": LEAK["unseen"]}
    assert (
        helpers.opened(clinical_figures.leak_bars(seen)).size == helpers.opened(clinical_figures.leak_bars(LEAK)).size
    )


@pytest.mark.parametrize("count", [1, 5, 13])
def test_photo_sheet_with_places_left_empty(count):
    pictures = [np.full((30, 40, 3), 90, "uint8")] * (count - 1) + [None]
    width, _ = helpers.opened(figures.photo_sheet(pictures, ["a\nb"] * count)).size
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
