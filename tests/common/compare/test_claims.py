import pytest
from made_up_trials import failed, right, trial

from common.compare import claims

pytestmark = pytest.mark.quick

FEW, ALL = 0.1, 1.0
NAMES = {
    "head": "feature_extraction",
    "gradual": "gradual_unfreezing",
    "full": "full_fine_tuning",
    "scratch": "from_scratch",
}


def judged(word, trials):
    """Verdict and evidence of the claim with that word in it, on these trials."""
    (found,) = [each for each in claims.check(claims.Trials(trials, NAMES)) if word in each["claim"]]
    return found["verdict"], found["evidence"].replace("\N{NARROW NO-BREAK SPACE}", " ").replace(
        "\N{NO-BREAK SPACE}", " "
    )


def pair(root, first, second, hits, fraction):
    """Two strategies under three seeds; `hits` has the right answers of each out of 100, seed by seed."""
    return [
        trial(root, name, seed, right(count, 100), fraction=fraction, train=round(fraction * 800))
        for seed, counts in enumerate(hits) for name, count in zip((first, second), counts, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "first", "second"),
    [
        ("transfer", "feature_extraction", "from_scratch"),
        ("augmentation", "with_augmentation", "without_augmentation"),
    ],
)
def test_claims_about_the_test_photos(tmp_path, word, first, second):
    def verdict(*hits):
        # With all photos it is the other way round, which must not count.
        other = pair(tmp_path, first, second, [(10, 90), (10, 90)], ALL)
        return judged(word, other + pair(tmp_path, first, second, hits, FEW))

    holds, evidence = verdict((80, 40), (80, 50), (83, 45))
    assert holds == "holds"
    assert f"{first.replace('_', ' ')} 80.0 % (80.0–83.0) and" in evidence and "45.0 % (40.0–50.0) of the" in evidence
    assert "with 80 training photos, 3 seeds; difference +36.0 points (95 % interval +30" in evidence
    assert verdict((40, 80), (50, 80), (45, 83))[0] == "does not hold"
    assert verdict((80, 80), (81, 80), (80, 80))[0] == "cannot tell"
    assert verdict((90, 50), (80, 81), (80, 81))[0] == "cannot tell"  # one lucky seed


def test_what_was_not_run_or_failed_cannot_be_told(tmp_path):
    alone = [trial(tmp_path, "feature_extraction", 0, right(5, 10)), failed("from_scratch", 0, "out of memory")]
    found = claims.check(claims.Trials(alone, NAMES))
    assert len(found) == 7 and {each["verdict"] for each in found} == {"cannot tell"}
    assert all("not run: " in each["evidence"] for each in found[1:])
    assert found[0]["evidence"] == "from scratch failed: out of memory"
    strangers = [
        trial(tmp_path, "feature_extraction", 0, right(5, 10)),
        trial(tmp_path, "from_scratch", 1, right(5, 10)),
    ]
    assert judged("transfer", strangers)[1] == "not run: feature extraction and from scratch under the same seed"


def test_feature_extraction_is_faster(tmp_path):
    def verdict(*epochs):
        """An epoch takes 2 s."""
        return judged("faster", [
            trial(tmp_path, name, seed, right(5, 10), history=[("head", 0.5)] * count)
            for seed, counts in enumerate(epochs)
            for name, count in zip(("feature_extraction", "full_fine_tuning"), counts, strict=True)
        ])  # fmt: skip

    assert verdict((10, 30), (11, 31), (12, 32)) == (
        "holds",
        "feature extraction 22 s (20–24) and full fine tuning 1 min 2 s (60–64) of training, without the features, "
        "with 100 training photos, 3 seeds",
    )
    assert verdict((30, 10), (31, 11))[0] == "does not hold"
    assert verdict((10, 11), (20, 21))[0] == "cannot tell"  # less than 10 %
    assert verdict((10, 30), (10, 30), (11, 10))[0] == "cannot tell"  # the seeds disagree


def test_fine_tuning_pays_more_with_more_photos(tmp_path):
    def verdict(few, many):
        names = "full_fine_tuning", "feature_extraction"
        return judged("pays more", pair(tmp_path, *names, few, FEW) + pair(tmp_path, *names, many, ALL))

    few = [(60, 65), (60, 65), (60, 65)]
    holds, evidence = verdict(few, [(85, 80), (87, 80), (85, 80)])
    assert holds == "holds" and "growth +10.0 points (+10.0 to +12.0)" in evidence
    assert "-5.0 points (-5.0 to -5.0) with 80 and +5.0 points (+5.0 to +7.0) with 800 training photos" in evidence
    assert verdict(few, [(60, 80), (61, 80), (60, 80)])[0] == "does not hold"
    assert (
        verdict(few, [(77, 80), (77, 80), (77, 80)])[0] == "cannot tell"
    )  # 2 points are within the noise of 100 photos
    assert verdict(few, [(85, 80), (87, 80), (74, 80)])[0] == "cannot tell"  # one seed went the other way
    assert (
        "--fractions 0.1 1"
        in judged("pays more", pair(tmp_path, "full_fine_tuning", "feature_extraction", few, ALL))[1]
    )


def tuned(root, name, seed, head, epochs, stage="fine_tuning"):
    """A run whose head validates so, and then, epoch by epoch, the network with more of it unfrozen."""
    history = [("head", 0.1), ("head", head), *((stage, accuracy) for accuracy in epochs)]
    stages = [{"stage": "head", "validation_accuracy": head}, {"stage": stage, "validation_accuracy": epochs[-1]}]
    return trial(root, name, seed, right(5, 10), history=history, results={"stages": stages})


def test_a_high_rate_destroys(tmp_path):
    usual = [tuned(tmp_path, "full_fine_tuning", seed, 0.8, [0.5, 0.82]) for seed in range(2)]
    error = "the loss became nan in epoch 1 of stage {}; start again with a lower --fine-tuning-rate"
    diverged, other = failed("high_rate", 2, error.format("fine_tuning")), failed("high_rate", 2, error.format("head"))

    def verdict(*lasts, more=()):
        trials = [tuned(tmp_path, "high_rate", seed, 0.8, [0.9, last]) for seed, last in enumerate(lasts)]
        return judged("too high", [*trials, *more, *usual])

    holds, evidence = verdict(0.2, 0.3)
    assert holds == "holds"
    assert "at 100 times the rate validation accuracy goes from 80.0 % (80.0–80.0) with the head to 25.0 %" in evidence
    assert "at the usual rate validation accuracy goes from 80.0 % (80.0–80.0) with the head to 82.0 %" in evidence
    assert verdict(0.78, 0.85)[0] == "does not hold"  # 2 points of 100 photos are noise
    assert verdict(0.2, 0.85)[0] == "cannot tell"
    assert verdict(0.2, 0.3, more=[diverged])[0] == verdict(more=[diverged])[0] == "holds"
    assert "the loss was not finite in 1 of 1 seed" in verdict(more=[diverged])[1]
    assert verdict(0.85, more=[diverged])[0] == "cannot tell"
    assert verdict(0.85, more=[other])[0] == "does not hold"  # no pretrained weight trained there
    assert verdict(more=[other])[0] == "cannot tell"


def test_all_at_once_is_less_stable(tmp_path):
    def verdict(*lowest):
        trials = [
            tuned(tmp_path, name, seed, 0.8, [low, 0.85], stage)
            for seed, lows in enumerate(lowest)
            for (name, stage), low in zip(
                (("full_fine_tuning", "fine_tuning"), ("gradual_unfreezing", "from_block_3")), lows, strict=True
            )
        ]  # fmt: skip
        return judged("less stable", trials)

    holds, evidence = verdict((0.5, 0.79), (0.6, 0.9), (0.6, 0.75))
    assert holds == "holds"
    assert "full fine tuning +20.0 points (+20.0 to +30.0), gradual unfreezing +1.0 points (+0.0 to +5.0)" in evidence
    assert verdict((0.79, 0.5), (0.9, 0.6))[0] == "does not hold"
    assert verdict((0.79, 0.81), (0.78, 0.81))[0] == "cannot tell"  # within noise
    assert verdict((0.5, 0.8), (0.8, 0.5), (0.5, 0.8))[0] == "cannot tell"  # the seeds disagree


def test_regularisation_narrows_the_gap(tmp_path):
    def verdict(*trained):
        """Training accuracies with and without regularisation; on validation 0.8 everywhere."""
        return judged("narrows", [
            trial(tmp_path, name, seed, right(5, 10), results={"train": {"accuracy": accuracy}})
            for seed, accuracies in enumerate(trained)
            for name, accuracy in zip(("regularised", "unregularised"), accuracies, strict=True)
        ])  # fmt: skip

    holds, evidence = verdict((0.85, 1.0), (0.9, 1.0), (0.9, 0.99))
    assert holds == "holds"
    assert (
        "unregularised +20.0 points (+19.0 to +20.0), regularised +10.0 points (+5.0 to +10.0); noise 4.0" in evidence
    )
    assert verdict((1.0, 0.85), (1.0, 0.9))[0] == "does not hold"
    assert verdict((0.98, 1.0), (0.98, 1.0))[0] == "cannot tell"  # within noise
    assert verdict((0.85, 1.0), (1.0, 0.98), (0.85, 1.0))[0] == "cannot tell"  # the seeds disagree


def test_of_several_networks_the_first_is_looked_at(tmp_path):
    first = [
        trial(tmp_path, name, 0, right(hits, 100)) for name, hits in (("feature_extraction", 80), ("from_scratch", 40))
    ]
    other = [
        trial(tmp_path, name, 0, right(50, 100), backbone="VGG16") for name in ("feature_extraction", "from_scratch")
    ]
    assert judged("transfer", first + other)[0] == "holds" and judged("transfer", other + first)[0] == "cannot tell"
