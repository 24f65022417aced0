import itertools
import re
import statistics

import numpy as np
import pytest
from made_up_trials import ROLES

from common.compare import advice, trial_run

pytestmark = pytest.mark.quick


def row(name, accuracy, seconds=10.0, features=0.0, validation=None, curve=None, failed=0, backbone="demo", step=None):
    """A row with these accuracies of the seeds; `curve` has those of smaller fractions, `step` gain, low and high."""
    curve = (curve or {}) | {1.0: accuracy}
    return {
        "name": name, "strategy": name.partition(",")[0], "backbone": backbone, "failed": failed,
        "role": ROLES.get(name.partition(",")[0], ""),
        "test": {"accuracy": trial_run.spread(accuracy)},
        "validation": {"accuracy": trial_run.spread([validation or statistics.median(accuracy)])},
        "cost": {"seconds": [seconds] * 3, "feature_seconds": features, "trainable_parameters": 1000},
        "step": step and {"difference": step[0], "interval": step[1:]},
        "fractions": [
            {"fraction": fraction, "train": round(800 * fraction), "accuracy": trial_run.spread(values)}
            for fraction, values in curve.items()
        ],
        "runs": [
            {"seed": seed, "fraction": fraction, "accuracy": value}
            for fraction, values in curve.items() for seed, value in enumerate(values)
        ] + [{"seed": 99, "fraction": 1.0, "accuracy": None}] * failed,
    }  # fmt: skip


def mean_accuracy(row):
    return np.mean([run["accuracy"] for run in row["runs"] if run["fraction"] == 1 and run["accuracy"]])


def advised(rows, larger=(), chance=0.2, choice=None, power=None):
    """The advice on rows, best first; `larger` has the pairs that differ by more than noise."""
    differences = [
        {
            "first": first["name"], "second": second["name"],
            "difference": mean_accuracy(first) - mean_accuracy(second),
            "larger_than_noise": (first["name"], second["name"]) in larger,
        }
        for first, second in itertools.combinations(rows, 2)
    ]  # fmt: skip
    best = max(rows, key=lambda each: each["validation"]["accuracy"][0])["name"]
    reason = {"best": best, "lead": 0.012, "noise": 0.031}
    found = {"chance": chance, "rows": rows, "differences": differences, "choice": choice or best, "power": power,
             "validation": reason}  # fmt: skip
    return " ".join(advice.advice(found)).replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{NO-BREAK SPACE}", " ")


GOOD, FAIR = [0.86, 0.87, 0.88], [0.83, 0.84, 0.85]


def test_advice_says_what_to_use_and_that_it_is_better():
    text = advised([row("partial_unfreezing", GOOD), row("head", FAIR)], [("partial_unfreezing", "head")])
    assert text.startswith(
        "Use partial unfreezing: it did best on the validation photos, where nothing cheaper is within one standard "
        "error of it (3.1 points), and gets 87.0 % (86.0–88.0) of the test photos right (median and range of 3 seeds). "
        "It beats head, the only other strategy, by more than noise: by 3.0 "
        "points, the mean over the seeds."
    )
    three = [row("a", GOOD), row("b", FAIR), row("c", FAIR)]
    assert "It beats all 2 others by more than noise; b, the next, by 3.0 points, the mean over the seeds." in advised(
        three, [("a", "b"), ("a", "c")]
    )


def test_advice_names_what_cannot_be_told_apart():
    three = [row("a", GOOD), row("b", FAIR), row("c", FAIR)]
    assert "The results do not tell these 3 apart: a, b and c. With 120 photos" in advised(
        three, power="With 120 photos"
    )
    assert "The results do not tell the first 2 apart: a and b. " in advised(three, [("a", "c")])
    assert "The results do not tell a apart from c. " in advised(three, [("a", "b")])
    assert "The results do not tell a apart from b and c. " in advised(three, [("b", "c")])


def test_what_is_not_told_apart_is_never_called_equally_good():
    text = advised([row("a", GOOD), row("b", [0.8, 0.87, 0.93], seconds=1.0)])
    assert "may be noise" in text
    assert not re.search("as good|not worse|equal|no more than noise|within noise|same", text)


def test_advice_stays_with_the_validation_photos_where_the_test_photos_say_otherwise():
    rows = [row("flattered", GOOD, validation=0.7), row("solid", FAIR, validation=0.9)]
    text = advised(rows, [("flattered", "solid")])
    assert text.startswith("Use solid:")
    assert "On the test photos flattered gets 3.0 points more right, which is larger than noise;" in text
    assert "beats" not in text and "apart" not in text


def test_advice_on_one_strategy_that_is_no_better_than_guessing():
    text = advised([row("a", [0.5, 0.5])], chance=0.5)
    assert "no better than always predicting the largest class, which gets 50.0 % right." in text
    assert "No other strategy finished, so there is nothing to compare it with." in text
    assert "no better than always" not in advised([row("a", [0.5, 0.6])], chance=0.5)


def test_advice_on_what_is_cheaper():
    choice = row("best", GOOD, seconds=30.0, features=5.0)
    tenth, better_tenth = row("x", [0.8] * 3, 1.0, 5.0), row("y", FAIR, 3.0, 5.0)
    half, dear = row("h", FAIR, 15.0, 5.0), row("d", FAIR, 20.0, 5.0)
    assert (
        "A tenth of the cost or less: y takes 3 s instead of 30 s (plus 5 s for the features of both) and gets "
        "84.0 % (83.0–85.0) right. Seed by seed, it gets 3.0 points less (mean), which is larger than noise."
    ) in advised([choice, better_tenth, half, tenth], [("best", "y")])
    assert "Half of the cost or less: h takes 15 s instead of 30 s" in advised([choice, half, dear])
    assert "3.0 points less (mean), which may be noise." in advised([choice, half])
    assert "Nothing that was tried costs half as much or less; the cheapest is d." in advised([choice, dear])
    assert "Nothing cheaper was tried." in advised([choice, row("slow", FAIR, 99.0)])
    # Where only one of the two needs features, its price has them in it.
    assert "Half of the cost or less: x takes 13 s instead of 30 s (features included)" in advised(
        [row("best", GOOD, 30.0), row("x", FAIR, 1.0, 12.0)]
    )


def test_advice_on_training_from_scratch():
    head, scratch = row("head", GOOD), row("from_scratch", [0.4, 0.5, 0.6])
    assert (
        "Training from scratch gets 50.0 % (40.0–60.0) right. Seed by seed, it gets 37.0 points less (mean), which is "
        "larger than noise, so the pretrained weights help."
    ) in advised([head, scratch], [("head", "from_scratch")])
    assert "which may be noise, so the results do not show that pretrained weights help." in advised([head, scratch])
    winner = row("from_scratch", [0.9, 0.9, 0.9])
    assert (
        "Training from scratch wins here: head, the best with pretrained weights, gets 87.0 % (86.0–88.0) right. Seed "
        "by seed, it gets 3.0 points less (mean), which may be noise."
    ) in advised([winner, head])
    flattered = advised([winner, head], [("from_scratch", "head")], choice="head")
    assert flattered.startswith(
        "Use head: it is the cheapest that the validation photos do not tell apart from the best, from scratch (by "
        "1.2 points, where one standard error is 3.1 points), and gets 87.0 %"
    )
    assert "3.0 points more (mean), which is larger than noise, so pretrained weights do not help here." in flattered
    assert "from scratch" not in advised([head, row("other", FAIR)])


def test_advice_on_more_photos():
    def text(*step, many=(0.80, 0.82, 0.84)):
        return advised([row("a", list(many), curve={0.25: [0.7, 0.7, 0.7]}, step=step or None)])

    assert (
        "More photos are likely to help: from 200 to 800 training photos the test accuracy changed by +4.0 points "
        "(95 % interval +0.5 to +7.5). If each doubling keeps adding as much, twice as many photos would give about "
        "84 % (an extrapolation, not a measurement)."
    ) in text(0.04, 0.005, 0.075)
    assert "would give about 100 %" in text(0.49, 0.4, 0.58, many=[0.99, 0.99, 0.99])
    assert "More photos are not likely to help much: from 200" in text(0.0, -0.009, 0.009)
    for unclear in ((0.02, -0.01, 0.05), (0.0, -0.02, 0.02)):
        assert "It is unclear whether more photos would help: from" in text(*unclear)
    assert "It is not known whether more photos would help; --fractions 0.3 1 measures it." in advised([row("a", GOOD)])
    assert "fewer than three seeds finished with both numbers of photos" in text()


def test_advice_on_one_seed_and_on_failures():
    one = advised([row("a", [0.8], curve={0.5: [0.7]}), row("full_fine_tuning", [0.7, 0.7], failed=1)])
    assert "gets 80.0 % of the test photos right (one seed)." in one
    assert "All this rests on 1 seed; --seeds 5 shows" in one and "fewer than three seeds" in one
    assert one.endswith("Full fine tuning failed in 1 of 3 trials: see its row.")
    assert "rests on" not in advised([row("a", GOOD)])


def test_advice_names_the_network_where_there_are_several():
    rows = [row("head, VGG16", GOOD, backbone="VGG16"), row("l2_sp, demo", FAIR)]
    text = advised(rows)
    assert "Use head with VGG16:" in text and "apart: head with VGG16 and l2 sp with demo." in text
