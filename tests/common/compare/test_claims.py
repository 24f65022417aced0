import itertools

import numpy as np
import pytest
from made_up_trials import failed, right, trial
from scipy import stats
from simulations import choices

from common import files
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
    """Two strategies under some seeds; `hits` has the right answers of each out of 100, seed by seed."""
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

    holds, evidence = verdict((80, 40), (80, 50), (83, 45), (79, 41), (81, 47))
    assert holds == "holds"
    assert f"{first.replace('_', ' ')} 80.0 % (79.0–83.0) and" in evidence and "45.0 % (40.0–50.0) of the" in evidence
    assert "with 80 training photos, 5 seeds; difference: +36.0 points (mean; 95 % interval +3" in evidence
    assert verdict((40, 80), (50, 80), (45, 83), (41, 79), (47, 81))[0] == "does not hold"
    assert verdict((80, 80), (81, 80), (80, 80), (80, 80), (80, 80))[0] == "cannot tell"
    assert verdict((90, 50), (80, 81), (80, 81), (80, 81), (80, 81))[0] == "cannot tell"  # one lucky seed
    four, evidence = verdict((80, 40), (80, 50), (83, 45), (79, 41))
    assert four == "cannot tell" and evidence.endswith("; a verdict needs 5 seeds, and there are 4")


def test_beating_a_network_that_did_not_train_proves_nothing(tmp_path):
    def verdict(trained):
        trials = pair(tmp_path, "feature_extraction", "from_scratch", [(80, 20)] * 5, FEW)
        for run in trials:
            if run.strategy == "from_scratch":
                run.results["train"]["accuracy"] = trained
        return judged("transfer", trials)

    assert verdict(0.9)[0] == "holds"
    idle, evidence = verdict(0.55)  # of two classes, with 80 photos
    assert idle == "cannot tell" and "from scratch did not train: with 5 seeds of 5 it gets no more" in evidence


def test_what_was_not_run_or_failed_cannot_be_told(tmp_path):
    alone = [trial(tmp_path, "feature_extraction", 0, right(5, 10)), failed("from_scratch", 0, "out of memory")]
    found = claims.check(claims.Trials(alone, NAMES))
    assert len(found) == 10 and {each["verdict"] for each in found} == {"cannot tell"}
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
        "by definition",
        "full fine tuning begins with that head, so it takes longer however fast the machine is: feature extraction 22 "
        "s (20–24) and full fine tuning 1 min 2 s (60–64) of training, without the features, with 100 training photos, "
        "3 seeds",
    )


def test_fine_tuning_pays_more_with_more_photos(tmp_path):
    def verdict(few, many):
        names = "full_fine_tuning", "feature_extraction"
        return judged("pays more", pair(tmp_path, *names, few, FEW) + pair(tmp_path, *names, many, ALL))

    few = [(60, 65)] * 5
    holds, evidence = verdict(few, [(85, 80), (87, 80), (85, 80), (84, 80), (85, 80)])
    assert holds == "holds" and "5 seeds; growth: +10.2 points (mean; 95 % interval +8.5 to +11.9), p = " in evidence
    assert "-5.0 points (-5.0 to -5.0) with 80 and +5.0 points (+4.0 to +7.0) with 800 training photos" in evidence
    assert verdict(few, [(60, 80), (61, 80), (60, 80), (58, 80), (60, 80)])[0] == "does not hold"
    assert verdict(few, [(77, 80), (71, 80), (80, 80), (78, 80), (76, 80)])[0] == "cannot tell"
    assert verdict(few, [(85, 80), (87, 80), (64, 80), (85, 80), (84, 80)])[0] == "cannot tell"  # one went down
    assert verdict(few[:4], [(85, 80)] * 4)[1].endswith("growth +10.0 points (+10.0 to +10.0); a verdict needs 5 "
                                                        "seeds, and there are 4")  # fmt: skip
    assert (
        "--fractions 0.1 1"
        in judged("pays more", pair(tmp_path, "full_fine_tuning", "feature_extraction", few, ALL))[1]
    )


def test_seeds_that_share_their_photos_are_one_split(tmp_path):
    trials = [
        trial(tmp_path, name, seed, right(count, 100), paths=[f"{number:03d}.jpg" for number in range(100)],
              fraction=fraction, train=round(fraction * 800))
        for seed in range(5) for name, fraction, count in (
            ("full_fine_tuning", FEW, 60), ("feature_extraction", FEW, 70), ("full_fine_tuning", ALL, 90 + seed),
            ("feature_extraction", ALL, 80))
    ]  # fmt: skip
    verdict, evidence = judged("pays more", trials)
    assert verdict == "cannot tell" and "several seeds have the same test photos" in evidence


def tuned(root, name, seed, head, epochs, stage="fine_tuning"):
    """A run whose head validates so, and then, epoch by epoch, the network with more of it unfrozen."""
    history = [("head", 0.1), ("head", head), *((stage, accuracy) for accuracy in epochs)]
    stages = [{"stage": "head", "validation_accuracy": head}, {"stage": stage, "validation_accuracy": epochs[-1]}]
    return trial(root, name, seed, right(5, 10), history=history, results={"stages": stages})


def test_a_high_rate_destroys(tmp_path):
    usual = [tuned(tmp_path, "full_fine_tuning", seed, 0.8, [0.5, 0.82]) for seed in range(6)]
    error = "the loss became nan in epoch 1 of stage {}; start again with a lower --fine-tuning-rate"
    diverged, other = failed("high_rate", 5, error.format("fine_tuning")), failed("high_rate", 5, error.format("head"))

    def verdict(*lasts, more=()):
        trials = [tuned(tmp_path, "high_rate", seed, 0.8, [0.9, last]) for seed, last in enumerate(lasts)]
        return judged("too high", [*trials, *more, *usual])

    holds, evidence = verdict(0.2, 0.3, 0.25, 0.2, 0.25)
    assert holds == "holds"
    assert "at 100 times the rate validation accuracy goes from 80.0 % (80.0–80.0) with the head to 25.0 %" in evidence
    assert "at the usual rate validation accuracy goes from 80.0 % (80.0–80.0) with the head to 82.0 %" in evidence
    assert verdict(0.83, 0.85, 0.84, 0.83, 0.84)[0] == "does not hold"
    assert verdict(0.2, 0.85, 0.8, 0.81, 0.85)[0] == "cannot tell"
    assert verdict(0.2, 0.3, 0.25, 0.2)[0] == "cannot tell"  # four seeds
    holds, evidence = verdict(0.2, 0.3, 0.25, 0.2, more=[diverged])
    assert holds == "holds" and "the loss was not finite in 1 of 5 seeds" in evidence
    assert verdict(0.2, 0.3, 0.25, 0.2, more=[other])[0] == "cannot tell"  # no pretrained weight trained there
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

    holds, evidence = verdict((0.5, 0.79), (0.6, 0.9), (0.6, 0.75), (0.55, 0.78), (0.52, 0.8))
    assert holds == "holds"
    assert "full fine tuning +25.0 points (+20.0 to +30.0), gradual unfreezing +1.0 points (+0.0 to +5.0)" in evidence
    assert verdict((0.79, 0.5), (0.9, 0.6), (0.8, 0.55), (0.78, 0.52), (0.8, 0.57))[0] == "does not hold"
    assert verdict((0.79, 0.81), (0.78, 0.81), (0.8, 0.79), (0.79, 0.8), (0.8, 0.78))[0] == "cannot tell"
    assert verdict((0.5, 0.8), (0.8, 0.5), (0.5, 0.8), (0.5, 0.8), (0.8, 0.5))[0] == "cannot tell"


def test_dips_are_compared_over_as_many_epochs():
    """Of a constant truth, 45 epochs dip deeper than 15 by chance: by 1.8 points with 30 photos, before."""
    random, differences = np.random.default_rng(0), []
    for _ in range(2000):
        seen = random.binomial(30, 0.87, size=(4, 15)) / 30
        results = {"stages": [{"stage": "head", "validation_accuracy": 0.87}]}
        run = choices.run_of("any", 0, results=results)
        differences.append(claims.mean_dip(run, seen[:1].tolist(), 15) - claims.mean_dip(run, seen[1:].tolist(), 15))
    assert abs(np.mean(differences)) < 0.005
    assert claims.mean_dip(run, [[0.87, 0.77, 0.1], [0.9, 0.87, 0.1]], 2) == pytest.approx(0.05)


def test_regularisation_narrows_the_gap(tmp_path):
    def verdict(*trained):
        """Training accuracies with and without regularisation; on validation 0.8 everywhere."""
        return judged("narrows", [
            trial(tmp_path, name, seed, right(5, 10), results={"train": {"accuracy": accuracy}})
            for seed, accuracies in enumerate(trained)
            for name, accuracy in zip(("regularised", "unregularised"), accuracies, strict=True)
        ])  # fmt: skip

    holds, evidence = verdict((0.85, 1.0), (0.9, 1.0), (0.9, 0.99), (0.88, 1.0), (0.87, 0.99))
    assert holds == "holds"
    assert "unregularised +20.0 points (+19.0 to +20.0), regularised +8.0 points (+5.0 to +10.0), with 100" in evidence
    assert verdict((1.0, 0.85), (1.0, 0.9), (1.0, 0.9), (0.99, 0.88), (1.0, 0.86))[0] == "does not hold"
    assert verdict((0.85, 1.0), (1.0, 0.98), (0.85, 1.0), (1.0, 0.9), (0.99, 1.0))[0] == "cannot tell"


def test_fine_tuning_performs_better(tmp_path):
    def verdict(*hits):
        return judged("performs better", pair(tmp_path, "full_fine_tuning", "feature_extraction", hits, ALL))[0]

    assert verdict((90, 80), (91, 80), (88, 79), (90, 81), (89, 80)) == "holds"
    assert verdict((80, 90), (80, 91), (79, 88), (81, 90), (80, 89)) == "does not hold"
    assert verdict((80, 80), (81, 80), (80, 81), (80, 80), (80, 80)) == "cannot tell"


def test_pretrained_weights_regularise(tmp_path):
    def verdict(*trained):
        """Training accuracies from scratch and of the pretrained network; on validation 0.8 everywhere."""
        return judged("regularise", [
            trial(tmp_path, name, seed, right(5, 10), results={
                "train": {"accuracy": accuracy, "per_class": {"daisy": {"support": 50}, "rose": {"support": 50}}}
            })
            for seed, accuracies in enumerate(trained)
            for name, accuracy in zip(("from_scratch", "full_fine_tuning"), accuracies, strict=True)
        ])  # fmt: skip

    holds, evidence = verdict((1.0, 0.85), (1.0, 0.9), (0.99, 0.9), (1.0, 0.88), (0.99, 0.87))
    assert holds == "holds" and "from scratch +20.0 points (+19.0 to +20.0), full fine tuning +8.0 points" in evidence
    assert verdict((0.85, 1.0), (0.9, 1.0), (0.9, 1.0), (0.88, 0.99), (0.86, 1.0))[0] == "does not hold"
    idle, evidence = verdict(*[(0.55, 0.9)] * 5)  # it knows its own photos no better than by guessing
    assert idle == "cannot tell" and evidence.endswith("the largest class, so its gap means nothing")


def test_fine_tuned_models_are_more_robust(tmp_path):
    def verdict(*left):
        """The accuracies on corrupted photos of the fine-tuned network and the head; as they are, both have 0.8."""
        trials = pair(tmp_path, "full_fine_tuning", "feature_extraction", [(80, 80)] * len(left), ALL)
        for run, accuracy in zip(trials, itertools.chain(*left), strict=True):
            kinds = {name: {"mean": {"accuracy": [accuracy + more]}} for name, more in (("blur", 0.1), ("noise", -0.1))}
            (run.directory / "stress").mkdir(exist_ok=True)
            files.write_json(run.directory / "stress/stress.json", {"clean": {"accuracy": [0.8]}, "kinds": kinds})
        return judged("lose less", trials)

    holds, evidence = verdict((0.7, 0.5), (0.72, 0.5), (0.7, 0.52), (0.69, 0.5), (0.7, 0.51))
    assert holds == "holds" and "feature extraction +30.0 points (+28.0 to +30.0), full fine tuning +10.0" in evidence
    assert verdict((0.5, 0.7), (0.5, 0.72), (0.5, 0.7), (0.52, 0.7), (0.5, 0.69))[0] == "does not hold"
    assert verdict((0.6, 0.61), (0.6, 0.59), (0.61, 0.6), (0.6, 0.6), (0.59, 0.6))[0] == "cannot tell"
    for run in tmp_path.glob("trials/*/stress/stress.json"):
        run.unlink()
    unmeasured = pair(tmp_path, "full_fine_tuning", "feature_extraction", [(80, 80)] * 5, ALL)
    assert judged("lose less", unmeasured)[1].endswith("by --stress")


def test_of_several_networks_the_first_is_looked_at(tmp_path):
    names = ("feature_extraction", 80), ("from_scratch", 40)
    first = [trial(tmp_path, name, seed, right(hits, 100)) for name, hits in names for seed in range(5)]
    other = [trial(tmp_path, name, seed, right(50, 100), backbone="VGG16") for name, _ in names for seed in range(5)]
    assert judged("transfer", first + other)[0] == "holds" and judged("transfer", other + first)[0] == "cannot tell"


# How they are judged ------------------------------------------------------------------------------------------


def test_the_t_test_over_seeds_is_scipys_where_no_photo_is_shared():
    values = [0.1, 0.02, 0.05, -0.01, 0.07]
    interval, p = claims.over_seeds(values, judging=0, others=100)
    known = stats.ttest_1samp(values, 0)
    assert p == pytest.approx(known.pvalue) and interval == pytest.approx(list(known.confidence_interval(0.95)))
    assert claims.over_seeds(values, judging=15, others=85)[1] > p
    assert claims.over_seeds([0.0] * 5, 15, 85) == ([0.0, 0.0], 1.0)


def test_claims_of_which_none_is_true_seldom_get_a_verdict():
    assert choices.any_verdict(choices.judged(40, seeds=5, photos=120, luck=0.01)) <= 0.07
    assert choices.holds(choices.judged(10, seeds=5, photos=120, fall=0.3), "too high") > 0.9


@pytest.mark.long
@pytest.mark.parametrize("luck", [0.0, 0.01, 0.015])
def test_claims_of_which_none_is_true_seldom_get_a_verdict_in_all_cases(luck):
    for seeds, photos in ((5, 120), (5, 550), (10, 120), (10, 550)):
        assert choices.any_verdict(choices.judged(300, seeds, photos, luck)) <= 0.08
