"""Made-up runs that suffer from one thing, and healthy ones."""

import numpy as np
import pytest

from common.evaluation import classification, symptoms

pytestmark = pytest.mark.quick
NAMES = ("cat", "dog")


def scores(right, count, cats=None):
    """Answers of which `right` are right, wrong ones evenly among the classes."""
    labels = np.arange(count) % 2 if cats is None else (np.arange(count) >= cats).astype(int)
    order = np.random.default_rng(0).permutation(count)
    chosen = np.where(order < right, labels, 1 - labels)
    return classification.scores(np.eye(2)[chosen] * 0.8 + 0.1, labels, NAMES, resamples=50)


def history(losses, rates=None, stage="head"):
    return [
        {"stage": stage, "val_loss": loss, "learning_rate": rate}
        for loss, rate in zip(losses, rates or [1e-3] * len(losses), strict=True)
    ]


STOPPED = history([1.0, 0.5, 0.4, 0.38, 0.39, 0.4, 0.41, 0.4, 0.42, 0.43])


def found(train, validation, epochs=STOPPED, metric="accuracy"):
    return symptoms.found({"train": train, "validation": validation}, epochs, "photo", metric)


def test_a_healthy_run_is_told_nothing():
    assert found(scores(570, 600), scores(108, 120)) == []  # 95 % and 90 %
    assert found(scores(600, 600), scores(110, 120)) == []  # a gap of 8 points
    assert symptoms.found({"validation": scores(108, 120)}, STOPPED, "photo") == []  # no training score is known


def test_a_gap_beyond_noise_is_overfitting():
    (told,) = found(scores(600, 600), scores(180, 240))
    assert told.startswith("Likely overfitting: the accuracy is 100.0")
    assert (
        "25.0 points lower on validation (95 % interval 19.7 to 31.0 points)" in told and "More training photos" in told
    )


def test_the_same_gap_may_be_noise_with_few_photos():
    told = found(scores(90, 100), scores(15, 20))
    assert len(told) == 1 and told[0].startswith("Few validation photos: with 20,")


def test_answers_that_do_not_depend_on_the_photo_are_said_to_have_learnt_nothing():
    """As of a probe whose strongest penalty validates best, with 0.333 for all classes."""
    random = np.random.default_rng(0)
    labels, names = np.arange(90) % 3, ("cat", "dog", "cow")

    def answers(noise, knows=0.0):
        values = 1 / 3 + random.uniform(-noise, noise, (90, 3)) + knows * np.eye(3)[labels]
        return classification.scores(values / values.sum(axis=1, keepdims=True), labels, names, resamples=50)

    told = found(answers(1e-4), answers(1e-4))[0]
    assert told.startswith("Likely underfitting")
    assert "The head has learnt nothing from these features: whatever photo it sees, it gives nearly the same" in told
    assert "differ by at most 0.000" in told
    for others in ((0.2, 0.0), (1e-4, 1e-3)):  # wrong, but not alike; nearly alike, but all right
        assert not any("learnt nothing" in each for each in found(answers(*others), answers(*others)))


def test_no_better_than_guessing_is_underfitting():
    (told,) = found(scores(110, 200), scores(110, 200))
    assert told.startswith("Likely underfitting: even on its own training photos, the accuracy is 55.0")
    assert "always answering cat has 50.0" in told


def test_less_than_half_of_what_can_be_learnt_is_perhaps_underfitting():
    (told,) = found(scores(600, 1000), scores(600, 1000))
    assert told.startswith("Perhaps underfitting") and "not half of the way from guessing" in told
    assert found(scores(800, 1000), scores(800, 1000)) == []


def test_a_rare_class_counts_in_the_balanced_accuracy():
    """Always the common class: 90 % are right, and the balanced accuracy is that of guessing."""
    labels = np.arange(400) >= 360
    always = classification.scores(np.tile([0.9, 0.1], (400, 1)), labels.astype(int), NAMES, resamples=50)
    for metric in ("accuracy", "balanced_accuracy"):
        (told,) = found(always, always, metric=metric)
        assert told.startswith("Likely underfitting") and words_of(metric) in told


def words_of(metric):
    return metric.replace("_", " ")


def test_a_loss_that_still_fell_asks_for_more_epochs():
    falling = history([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.36, 0.32])
    (told,) = found(scores(570, 600), scores(108, 120), falling)
    assert told.startswith("Perhaps too few epochs: the validation loss of the stage head was lowest in the last of 10")
    assert "fell by 20.0" in told.replace("\N{NARROW NO-BREAK SPACE}", " ")
    earlier = history([1.0, 0.9, 0.8], stage="head")
    assert found(scores(570, 600), scores(108, 120), [*falling, *history([0.3, 0.31, 0.3, 0.31], stage="tuned")]) == []
    assert len(found(scores(570, 600), scores(108, 120), [*earlier, *falling])) == 1


@pytest.mark.parametrize(
    "epochs",
    [
        history(np.linspace(1, 0.5, 10), list(np.linspace(1e-3, 0, 10))),  # the schedule has ended it
        history([1.0, *[0.5 - n / 1000 for n in range(9)]]),  # by less than noise
        history([1.0, 0.5]),  # too few to say
        [],
    ],
)
def test_a_loss_that_has_settled_does_not(epochs):
    assert found(scores(570, 600), scores(108, 120), epochs) == []


def test_few_validation_photos_are_a_wide_interval():
    (told,) = found(scores(285, 300), scores(27, 30))
    assert "with 30, the accuracy on validation is known to 73–98 % only" in told
    assert found(scores(285, 300), scores(90, 100)) == []
