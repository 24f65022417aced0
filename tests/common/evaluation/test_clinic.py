import numpy as np
import pytest
from sklearn import metrics

from common.data import metadata_table
from common.evaluation import classification, clinic, intervals, temperature_scaling

NAMES = ("bkl", "mel", "nv")


def side_of(seed=0, lesions=60, repeats=1, sure=2.0, **about):
    """Random answers to `lesions` lesions with `repeats` pictures each, whose logits differ little within a lesion."""
    random = np.random.default_rng(seed)
    labels = np.repeat(random.choice(3, lesions, p=[0.2, 0.2, 0.6]), repeats)
    logits = np.repeat(random.normal(0, 1.5, (lesions, 3)), repeats, axis=0) + random.normal(0, 0.1, (len(labels), 3))
    logits[np.arange(len(labels)), labels] += 1.5
    facts = [metadata_table.About(f"lesion {i // repeats}", **about) for i in range(len(labels))]
    return clinic.Side(temperature_scaling.soften(np.exp(logits), 1 / sure), labels, facts)


def softened(side, temperature):
    return clinic.Side(temperature_scaling.soften(side.probabilities, temperature), side.labels, side.about)


def test_calibration_improves_and_answers_stay():
    before = side_of(lesions=2000, sure=4.0)
    after = softened(before, temperature_scaling.fit_temperature(before.probabilities[None], before.labels))
    found = clinic.calibration(before, after)
    assert found["after"]["ece"] < found["before"]["ece"] / 2
    assert found["after"]["log_loss"] < found["before"]["log_loss"]
    np.testing.assert_array_equal(before.probabilities.argmax(1), after.probabilities.argmax(1))
    expected = metrics.log_loss(before.labels, before.probabilities)
    assert found["before"]["log_loss"] == pytest.approx(expected)


def test_per_class_results_are_scikit_learns():
    side = side_of()
    table = clinic.per_class(side, NAMES)
    answers = side.probabilities.argmax(1)
    for index, name in enumerate(NAMES):
        of_class, said = side.labels == index, answers == index
        row = table[name]
        assert row["support"] == row["lesions"] == of_class.sum()
        assert row["sensitivity"][0] == pytest.approx(metrics.recall_score(of_class, said))
        assert row["specificity"][0] == pytest.approx(metrics.recall_score(~of_class, ~said))
        assert row["auc"][0] == pytest.approx(metrics.roc_auc_score(of_class, side.probabilities[:, index]))
        average_precision = metrics.average_precision_score(of_class, side.probabilities[:, index])
        assert row["average_precision"][0] == pytest.approx(average_precision)
        for value, low, high in (row["sensitivity"], row["specificity"], row["auc"], row["average_precision"]):
            assert low <= value <= high
        assert row["sensitivity"] == intervals.share(said, of_class, side.units)


def test_weighted_rankings_are_scikit_learns():
    random = np.random.default_rng(0)
    positive, scores = random.random(60) < 0.3, random.random(60).round(1)  # with many ties
    weights = random.integers(0, 4, (5, 60)).astype(float)
    ours = clinic.auc(positive, scores, weights), clinic.average_precision(positive, scores, weights)
    for i, row in enumerate(weights):
        assert ours[0][i] == pytest.approx(metrics.roc_auc_score(positive, scores, sample_weight=row))
        assert ours[1][i] == pytest.approx(metrics.average_precision_score(positive, scores, sample_weight=row))
    nothing_positive = np.where(positive, 0.0, weights)
    assert np.isnan(clinic.auc(positive, scores, nothing_positive)).all()
    assert np.isnan(clinic.average_precision(positive, scores, nothing_positive)).all()


def test_a_class_that_does_not_occur_has_no_results():
    side = side_of()
    probabilities = np.hstack([side.probabilities, np.zeros((60, 1))])
    row = clinic.per_class(clinic.Side(probabilities, side.labels, side.about), (*NAMES, "df"))["df"]
    assert row["support"] == 0 and row["sensitivity"] == row["auc"] == [None, None, None]
    assert row["specificity"][0] == 1.0


def test_with_few_lesions_of_a_class_a_ranking_has_no_interval():
    side = side_of(lesions=12)
    row = clinic.per_class(side, NAMES)["mel"]
    assert row["lesions"] < intervals.FEW_UNITS and row["auc"][0] > 0.5 and row["auc"][1:] == [None, None]


def width(interval):
    return interval[2] - interval[1]


def test_intervals_by_lesion_are_wider_than_by_picture_where_lesions_repeat():
    repeated = side_of(lesions=60, repeats=4)
    alone = clinic.Side(repeated.probabilities, repeated.labels, [metadata_table.About() for _ in repeated.labels])
    by_lesion, by_picture = (clinic.per_class(side, NAMES) for side in (repeated, alone))
    for name in NAMES:
        for measure in ("sensitivity", "specificity", "auc", "average_precision"):
            assert by_lesion[name][measure][0] == by_picture[name][measure][0]
            assert width(by_lesion[name][measure]) > 1.3 * width(by_picture[name][measure]), (name, measure)


@pytest.mark.parametrize(
    ("lesions", "rank", "on_average", "probability"),
    [
        (10, 10, 10 / 11, 0.40),
        (19, 19, 0.95, 0.62),
        (20, 20, 20 / 21, 0.64),
        (45, 44, 44 / 46, 0.66),
        (50, 49, 49 / 51, 0.72),
    ],
)
def test_the_threshold_promises_the_wanted_sensitivity_on_average(lesions, rank, on_average, probability):
    scores = np.random.default_rng(0).permutation(lesions) / lesions
    found, promise = clinic.choose_threshold(np.ones(lesions, bool), scores, np.arange(lesions), 0.95)
    assert (scores >= found).sum() == promise["rank"] == rank and promise["lesions"] == lesions
    assert promise["on_average"] == pytest.approx(on_average)
    assert promise["probability"] == pytest.approx(probability, abs=0.01)


def test_the_threshold_keeps_its_promise():
    """Scores are uniform, so the sensitivity at a threshold is one minus it."""
    random = np.random.default_rng(0)
    found = np.array([
        clinic.choose_threshold(np.ones(20, bool), random.random(20), np.arange(20), 0.9)[0] for _ in range(2000)
    ])  # fmt: skip
    promise = clinic.choose_threshold(np.ones(20, bool), random.random(20), np.arange(20), 0.9)[1]
    assert promise["rank"] == 19
    assert (1 - found).mean() == pytest.approx(promise["on_average"], abs=0.005)
    assert (1 - found >= 0.9).mean() == pytest.approx(promise["probability"], abs=0.04)


def test_the_first_picture_of_each_lesion_chooses_the_threshold():
    scores, units = np.array([0.9, 0.1, 0.5, 0.2, 0.7]), np.array([3, 3, 1, 1, 0])
    threshold, promise = clinic.choose_threshold(np.array([True] * 4 + [False]), scores, units, 0.95)
    assert threshold == 0.5 and promise["lesions"] == 2


def test_the_target_counts_by_hand():
    about = [metadata_table.About(str(i)) for i in range(6)]
    validation = clinic.Side(
        np.array([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2], [0.9, 0.1], [0.3, 0.7], [0.95, 0.05]]),
        np.array([1, 1, 1, 0, 0, 0]), about,
    )  # fmt: skip
    test = clinic.Side(
        np.array([[0.5, 0.5], [0.7, 0.3], [0.75, 0.25], [0.99, 0.01], [0.6, 0.4], [0.95, 0.05]]),
        np.array([1, 1, 0, 1, 0, 0]), about,
    )  # fmt: skip
    found = clinic.target(validation, test, ("nv", "mel"), ["mel"], 0.95)
    assert found["threshold"] == 0.2  # all three melanomas of validation are needed for 95 %
    assert found["validation"]["sensitivity"][0] == 1.0 and found["validation"]["specificity"][0] == pytest.approx(
        2 / 3
    )
    counts = [
        found["test"][name] for name in ("true_positives", "false_negatives", "false_positives", "true_negatives")
    ]
    assert counts == [2, 1, 2, 1]
    assert found["test"]["sensitivity"][0] == pytest.approx(2 / 3)
    assert found["test"]["positive_predictive_value"][0] == 0.5
    assert found["test"]["negative_predictive_value"][0] == 0.5
    assert found["roc"]["false_positive_rate"][0] == 0.0 and found["roc"]["sensitivity"][-1] == 1.0


def test_several_targets_are_found_together():
    side = side_of()
    positive, scores = clinic.target_scores(side, NAMES, ("mel", "bkl"))
    np.testing.assert_array_equal(positive, side.labels != 2)
    np.testing.assert_allclose(scores, 1 - side.probabilities[:, 2])


def test_subgroups_count_lesions_and_name_the_small_ones():
    women, man = side_of(lesions=100, repeats=2, sex="female", age=52.0), side_of(1, lesions=3, sex="male", site="ear")
    about = women.about + [metadata_table.About(f"other {i}", None, "male", "ear") for i in range(3)]
    side = clinic.Side(
        np.vstack([women.probabilities, man.probabilities]), np.append(women.labels, man.labels), about
    )  # fmt: skip
    table = clinic.subgroups(side, NAMES, ["mel"], threshold=0.3)
    first, second = table["sex"]
    assert (first["value"], first["pictures"], first["lesions"], first["too_small"]) == ("female", 200, 100, False)
    assert (second["value"], second["pictures"], second["lesions"], second["too_small"]) == ("male", 3, 3, True)
    assert [row["value"] for row in table["age"]] == ["45 to 59", "unknown"]
    mel = women.labels == 1
    called = women.probabilities[:, 1] >= 0.3
    assert first["target_lesions"] == mel.sum() / 2
    assert first["sensitivity"][0] == pytest.approx(called[mel].mean())
    assert first["specificity"][0] == pytest.approx(1 - called[~mel].mean())
    assert first["accuracy"][0] == pytest.approx((women.probabilities.argmax(1) == women.labels).mean())


def test_abstention_answers_the_surest_first():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])
    side = clinic.Side(probabilities, np.array([0, 1, 1, 0]), [metadata_table.About() for _ in range(4)])
    curve = clinic.abstention(side)
    at = dict(zip(curve["coverage"], zip(curve["accuracy"], curve["balanced_accuracy"], strict=True), strict=True))
    assert at[0.5] == (1.0, 1.0) and at[1.0] == (0.5, 0.5)
    assert at[0.75] == (pytest.approx(2 / 3), pytest.approx(0.75))


def test_a_lesion_gets_the_mean_of_its_pictures():
    about = [
        metadata_table.About("a"),
        metadata_table.About("b", 40.0),
        metadata_table.About("a"),
        metadata_table.About(),
    ]
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.5, 0.5]])
    lesions = clinic.by_lesion(clinic.Side(probabilities, np.array([0, 1, 0, 1]), about))
    np.testing.assert_allclose(lesions.probabilities, [[0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    assert lesions.labels.tolist() == [0, 1, 1] and lesions.about[1].age == 40.0


def test_a_lesion_with_two_diagnoses_is_refused():
    about = [metadata_table.About("a"), metadata_table.About("a")]
    with pytest.raises(ValueError, match="two diagnoses"):
        clinic.by_lesion(clinic.Side(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), about))


def test_everything_fits_into_json():
    import json

    before, validation = side_of(lesions=100, repeats=2), side_of(1)
    temperature = temperature_scaling.fit_temperature(validation.probabilities[None], validation.labels)
    after = softened(before, temperature)
    found = clinic.clinical(softened(validation, temperature), after, (before, after), NAMES, ("mel",), 0.9)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["lesion_level"]["n"] == 100
    expected = classification.scores(after.probabilities, before.labels, NAMES)["accuracy"]
    assert found["abstention"]["accuracy"][-1] == pytest.approx(expected)
