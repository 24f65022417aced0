"""A ranking of networks: what is noise in it, what is recommended, and what training says of it."""

import numpy as np
import pytest

from common.compare import ranking
from common.evaluation import transferability

pytestmark = pytest.mark.quick

COUNT = 400


def candidate(name, wrong, operations, layer="end", seed=0):
    right = np.ones(COUNT, int)
    right[np.random.default_rng(seed).permutation(COUNT)[:wrong]] = 0
    scores = transferability.Scores(right, float(right.mean()), 1.0, float(right.mean()), -0.1, 0.1)
    return ranking.Candidate(name, layer, name, ["--backbone", name], operations, 10, 1.0, scores)


def ranked(*candidates, units=None):
    return ranking.rank(candidates, np.arange(COUNT) if units is None else units)


def test_the_cheapest_within_a_standard_error_is_recommended():
    large = candidate("large", 40, 1000)
    close, far = candidate("close", 42, 100, seed=1), candidate("far", 120, 10, seed=2)
    found = ranked(far, close, large)
    assert [row["network"] for row in found["rows"]] == ["large", "close", "far"]
    rows = {row["network"]: row for row in found["rows"]}
    assert found["rows"][found["recommended"]]["network"] == "close"
    assert not rows["close"]["told_apart"] and rows["far"]["told_apart"] and rows["large"]["p"] is None
    # By hand: the answers differ on both kinds of photos, and the error is that of the mean difference.
    steps = large.scores.right - far.scores.right
    assert rows["far"]["lead"] == pytest.approx(0.2)
    assert rows["far"]["standard_error"] == pytest.approx(steps.std(ddof=1) / COUNT**0.5)
    told = ranking.advice(found)
    assert told[0].startswith(
        "Use close up to end: it has 100 operations instead of 1 k, and the best, large up to end"
    )
    assert told[1] == "Not told apart from the best network, large: close."


def test_photos_of_few_units_say_less():
    units = np.arange(COUNT) // 100
    right = np.repeat([1, 1, 1, 0], 100)
    scores = transferability.Scores(right, 0.75, 1.0, 0.7, -0.1, 0.1)
    other = ranking.Candidate("other", "end", "other", [], 10, 10, 1.0, scores)
    alone, by_unit = (ranked(candidate("best", 0, 1000), other, units=each) for each in (None, units))
    assert alone["rows"][1]["told_apart"] and not by_unit["rows"][1]["told_apart"]
    assert by_unit["rows"][1]["standard_error"] == pytest.approx(0.25)


def test_equal_networks_are_rarely_told_apart():
    random = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        own = []
        for number in range(5):
            right = (random.uniform(size=COUNT) < 0.8).astype(int)
            scores = transferability.Scores(right, float(right.mean()), 1.0, 0.5, 0.0, 0.1)
            own.append(ranking.Candidate(str(number), "end", "", [], 10, 10, 1.0, scores))
        found += any(row["told_apart"] for row in ranked(*own)["rows"])
    assert found / 200 < 0.1


def test_a_cut_that_matters_is_named():
    found = ranked(candidate("a", 10, 90, "early"), candidate("a", 150, 100, "end", 1), candidate("b", 60, 50, seed=2))
    assert [row["network"] for row in ranking.shown(found)] == ["a", "b"]
    assert "Where to cut matters: a after its other layers is worse by more than noise." in ranking.advice(found)
    assert ranking.table(found).splitlines()[1].startswith("> a")


def made_up(accuracies, told_apart=()):
    """A comparison of networks with these accuracies; the pairs named in `told_apart` differ by more than noise."""
    rows = [{"name": name, "backbone": name, "test": True, "validation": {"mean": accuracy},
             "runs": [{"accuracy": accuracy}, {"accuracy": None}]}
            for name, accuracy in accuracies.items()]  # fmt: skip
    names = sorted(accuracies, key=lambda name: -accuracies[name])
    pairs = [{"first": one, "second": other, "difference": accuracies[one] - accuracies[other],
              "larger_than_noise": (one, other) in told_apart}
             for number, one in enumerate(names) for other in names[number + 1 :]]  # fmt: skip
    return {"rows": rows, "differences": pairs}


def test_regret_and_rank_correlation():
    found = ranked(candidate("a", 10, 10), candidate("b", 60, 10, seed=1), candidate("c", 90, 10, seed=2))
    names = {name: f"{name} up to end" for name in "abc"}
    good = ranking.verification(found, made_up({"a": 0.9, "b": 0.8, "c": 0.7}), names)
    assert good["regret"] == 0 and good["rank_correlation"]["ridge"] == 1 and good["rank_correlation"]["LogME"] is None
    assert ranking.verified(good, ["x"])[0] == "Trained by x and tested: the recommended network is the most accurate."
    bad = ranking.verification(found, made_up({"a": 0.7, "b": 0.8, "c": 0.9}, {("c", "a")}), names)
    assert bad["regret"] == pytest.approx(0.2) and bad["rank_correlation"]["ridge"] == -1
    assert "20.0 points behind the most accurate, worse by more than noise" in ranking.verified(bad, ["x"])[0]
    gone = made_up({"b": 0.8, "c": 0.9})
    assert ranking.verification(found, gone, names)["regret"] is None
