import itertools
import json
import math
import pathlib
import statistics

import numpy as np
import pytest
from scipy import stats

from common import comparison, errors, files

CLASSES = ["daisy", "rose"]


def trial(
    root, strategy, seed, right, fraction=1.0, backbone="demo", paths=None, groups=None, seconds=10.0, history=(),
    validation=0.8, needs_features=False, train=100, results=None,
):  # fmt: skip
    """A finished run whose answers are right where `right` is 1; of its photos those with even numbers are daisies."""
    directory = root / "trials" / f"{strategy}-{backbone}-{seed}-{fraction}"
    directory.mkdir(parents=True, exist_ok=True)
    paths = paths or [f"seed{seed}/{number:05d}.jpg" for number in range(len(right))]
    labels = [CLASSES[number % 2] for number in range(len(right))]
    answers = [label if hit else "tulip" for label, hit in zip(labels, right, strict=True)]
    files.write_csv(
        directory / "predictions.csv", ["path", "label", "predicted"], zip(paths, labels, answers, strict=True)
    )
    files.write_csv(
        directory / "split.csv", ["path", "label", "group", "split"],
        [(*row, "test") for row in zip(paths, labels, groups or [""] * len(right), strict=True)],
    )  # fmt: skip
    if history:
        files.write_csv(
            directory / "history.csv", ["stage", "epoch", "val_accuracy", "seconds"],
            [(stage, number, accuracy, 2.0) for number, (stage, accuracy) in enumerate(history)],
        )  # fmt: skip
    recall = {name: list(right)[place::2] for place, name in enumerate(CLASSES)}
    per_class = {
        name: {"recall": sum(hits) / len(hits) if hits else None, "support": len(hits)} for name, hits in recall.items()
    }
    accuracy = sum(right) / len(right)
    test = {
        "n": len(right),
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "log_loss": 1.0,
        "per_class": per_class,
    }
    cost = {
        "seconds": seconds + 3.0, "prefix_seconds": 3.0, "epochs": len(history), "peak_memory_bytes": 100 + seed,
        "trainable_parameters": 10, "total_parameters": 20,
    }  # fmt: skip
    content = {
        "data": {"class_names": CLASSES, "train": train}, "test": test,
        "validation": {"accuracy": validation, "n": 100}, "cost": cost,
    }  # fmt: skip
    files.write_json(directory / "results.json", content | (results or {}))
    return comparison.Run(
        strategy, backbone, seed, fraction, f"what {strategy} does", needs_features, "python …", directory
    )


def failed(strategy, seed, error="out of memory", fraction=1.0, backbone="demo"):
    return comparison.Run(strategy, backbone, seed, fraction, "", False, "python …", None, error)


def right(count, of):
    return [1] * count + [0] * (of - count)


def compared(trials, root, **features):
    found = comparison.compare(trials, root, features)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


# Differences and noise ----------------------------------------------------------------------------------------


def enumerated_p(gains):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gains))))
    return float((np.abs(signs @ gains) >= abs(sum(gains))).mean())


@pytest.mark.parametrize(
    "gains",
    [[1, 1, 1, 1, 1, 1, 1, 0, 0, -1], [1, -1, 0], [3, 2, -1, 1, 0, 2, -2, 1, 1, 3], [5, 1, 1, 1, -4, 2], [0, 0]],
)
def test_the_p_of_ten_photos_is_that_of_all_their_swaps(gains):
    assert comparison.permutation_p(np.array(gains)) == pytest.approx(enumerated_p(gains), abs=1e-12)


def test_with_one_answer_a_photo_the_p_is_mcnemars_and_what_scipy_finds_by_random_swaps():
    gains = np.array([1] * 40 + [-1] * 22 + [0] * 300)
    found = comparison.permutation_p(gains)
    assert found == pytest.approx(stats.binomtest(22, 62).pvalue, abs=1e-12)
    answers = (np.maximum(gains, 0), np.maximum(-gains, 0))
    swapped = stats.permutation_test(
        answers, lambda first, second, axis: (first - second).mean(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=4999, random_state=np.random.default_rng(0),
    )  # fmt: skip
    assert found == pytest.approx(swapped.pvalue, abs=0.01)


def test_the_interval_is_what_scipy_finds():
    random = np.random.default_rng(0)
    answers = random.integers(1, 4, 500)
    gains = np.clip(random.integers(-1, 3, 500), -answers, answers)
    found = stats.bootstrap(
        (gains, answers), lambda gains, answers, axis: gains.sum(axis=axis) / answers.sum(axis=axis), paired=True,
        vectorized=True, method="percentile", random_state=random,
    )  # fmt: skip
    assert comparison.bootstrap_interval(gains, answers) == pytest.approx(list(found.confidence_interval), abs=0.006)


def test_of_equally_good_strategies_one_pair_in_twenty_looks_different():
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        hard = random.random(400)  # a photo is as hard for both
        first, second = (random.random((2, 400)) > hard).astype(int)
        found.append(comparison.permutation_p(first - second) <= 0.05)
    assert 0.01 <= np.mean(found) <= 0.08


def test_the_same_strategy_under_two_names_is_not_different(tmp_path):
    answers = [right(70, 100), right(60, 100)]
    trials = [trial(tmp_path, name, seed, answers[seed]) for name in ("this", "that") for seed in (0, 1)]
    (pair,) = compared(trials, tmp_path)["differences"]
    assert (pair["difference"], pair["interval"], pair["p"], pair["q"]) == (0, [0, 0], 1, 1)
    assert not pair["seeds_agree"] and not pair["larger_than_noise"]


def test_a_large_difference_is_found_whichever_comes_first(tmp_path):
    trials = [trial(tmp_path, "poor", seed, right(50 + seed, 100)) for seed in (0, 1)]
    trials += [trial(tmp_path, "good", seed, right(80, 100)) for seed in (0, 1, 2)]  # seed 2 has no partner
    found = compared(trials, tmp_path)
    (pair,) = found["differences"]
    assert (pair["first"], pair["second"]) == ("good", "poor")
    assert pair["difference"] == pytest.approx((0.30 + 0.29) / 2)
    assert 0 < pair["interval"][0] < pair["difference"] < pair["interval"][1] < 0.5
    assert pair["p"] < 1e-6 and pair["larger_than_noise"] and pair["seeds_agree"]
    assert [row["name"] for row in found["rows"]] == ["good", "poor"]


def test_one_lucky_seed_is_noise(tmp_path):
    lucky = {0: right(90, 100), 1: right(49, 100), 2: right(49, 100)}
    trials = [trial(tmp_path, "lucky", seed, answers) for seed, answers in lucky.items()]
    trials += [trial(tmp_path, "steady", seed, right(50, 100)) for seed in lucky]
    (pair,) = compared(trials, tmp_path)["differences"]
    assert pair["q"] < 0.05 and pair["difference"] > 0.1
    assert not pair["seeds_agree"] and not pair["larger_than_noise"]


def test_photos_that_come_back_under_other_seeds_or_in_a_group_are_one_unit(tmp_path):
    """The same answers three times over are no more evidence than once; with photos of their own they are."""
    better, worse, paths = right(8, 10), right(3, 10), [f"{number}.jpg" for number in range(10)]

    def pair(folder, seeds, **settings):
        sides = [
            [trial(tmp_path / folder, name, seed, answers, **settings) for seed in seeds]
            for name, answers in (("better", better), ("worse", worse))
        ]
        return comparison.difference(*sides)

    once, thrice = pair("once", [0], paths=paths), pair("thrice", [0, 1, 2], paths=paths)
    assert once["p"] == thrice["p"] == pytest.approx(2 / 2**5)
    assert once["difference"] == thrice["difference"] == pytest.approx(0.5)
    assert once["interval"] == pytest.approx(thrice["interval"])
    assert pair("others", [0, 1, 2])["p"] == pytest.approx(2 / 2**15)
    assert pair("groups", [0], groups=["patient 1"] * 5 + ["patient 2"] * 5)["p"] == pytest.approx(2 / 2**2)


def test_looking_at_many_pairs_is_paid_for(tmp_path):
    # Against "middle" the p of "good" is 2 / 2**6 = 0.03, enough by itself; of the six pairs that is nothing special.
    answers = {"good": right(56, 100), "middle": right(50, 100), "equal": right(50, 100), "same": right(50, 100)}
    trials = [trial(tmp_path, name, 0, hits) for name, hits in answers.items()]
    pairs = compared(trials, tmp_path)["differences"]
    assert len(pairs) == 6
    good = [pair for pair in pairs if pair["first"] == "good"]
    assert [pair["p"] for pair in good] == pytest.approx([2 / 2**6] * 3)
    assert [pair["q"] for pair in good] == pytest.approx([4 / 2**6] * 3)
    assert not any(pair["larger_than_noise"] for pair in pairs)


def test_other_test_photos_under_the_same_seed_are_refused(tmp_path):
    trials = [trial(tmp_path, "one", 0, right(5, 10)), trial(tmp_path, "two", 0, right(5, 11))]
    with pytest.raises(errors.UserError, match="one and two: seed 0 has other test photos"):
        comparison.compare(trials, tmp_path, {})


# Rows and choice ----------------------------------------------------------------------------------------------


def test_until_95_percent_of_the_best_by_hand(tmp_path):
    history = [("head", 0.3), ("head", 0.75999999), ("fine_tuning", 0.8), ("fine_tuning", 0.7)]
    run = trial(tmp_path, "tuned", 0, right(8, 10), history=history)
    assert run.to_95() == (2, 4.0)  # 0.76 but for float32's rounding; epochs take 2 s
    assert trial(tmp_path, "probe", 0, right(8, 10)).to_95() is None
    tuned, probe = compared([run, trial(tmp_path, "probe", 0, right(7, 10))], tmp_path)["rows"]
    assert tuned["to_95"] == {"epochs": [2, 2, 2], "seconds": [4, 4, 4]} and probe["to_95"] is None
    assert tuned["convergence"] == [
        {"seed": 0, "epochs": [1, 2, 3, 4], "seconds": [2, 4, 6, 8], "accuracy": [0.3, 0.75999999, 0.8, 0.7]}
    ]
    assert probe["convergence"] == []


def test_a_row_is_made_of_all_its_trials(tmp_path):
    kept = [{"kept_stage": "head"}, {"kept_stage": "fine_tuning"}, {"kept_stage": "fine_tuning"}]
    trials = [
        trial(tmp_path, "tuned", seed, right(6 + seed, 10), seconds=4.0 + seed, needs_features=True, results=kept[seed])
        for seed in range(3)
    ]
    trials += [trial(tmp_path, "tuned", seed, right(3, 10), fraction=0.1, train=10) for seed in (0, 1)]
    trials += [failed("tuned", 2, fraction=0.1), failed("broken", 0), failed("broken", 1)]
    found = compared(trials, tmp_path, demo=12.5)
    row, broken = found["rows"]
    assert row["test"]["accuracy"] == [0.7, 0.6, 0.8] and row["what"] == "what tuned does"
    assert row["cost"] == {
        "seconds": [5, 4, 6], "feature_seconds": 12.5, "epochs": [0, 0, 0], "peak_memory_bytes": 102,
        "trainable_parameters": 10, "total_parameters": 20,
    }  # fmt: skip
    assert [(each["fraction"], each["train"], each["accuracy"]) for each in row["fractions"]] == [
        (0.1, 10, [0.3, 0.3, 0.3]), (1.0, 100, [0.7, 0.6, 0.8])
    ]  # fmt: skip
    assert row["kept"] == {"fine_tuning": 2, "head": 1} and row["failed"] == 1
    assert row["per_class"] == {"daisy": 0.8, "rose": 0.6}
    assert [(run["fraction"], run["seed"], run["accuracy"]) for run in row["runs"]] == [
        (0.1, 0, 0.3), (0.1, 1, 0.3), (0.1, 2, None), (1.0, 0, 0.6), (1.0, 1, 0.7), (1.0, 2, 0.8)
    ]  # fmt: skip
    assert row["runs"][-1]["report"] == "trials/tuned-demo-2-1.0/report.html"
    assert row["runs"][2] | {"command": ""} == {
        "seed": 2, "fraction": 0.1, "accuracy": None, "seconds": None, "report": None, "command": "",
        "error": "out of memory",
    }  # fmt: skip
    assert broken["test"] is broken["cost"] is broken["validation"] is None and broken["failed"] == 2
    assert broken["kept"] == broken["per_class"] == {} and broken["fractions"] == broken["convergence"] == []
    assert found["chance"] == 0.5 and found["differences"] == []
    assert "Broken failed in 2 of 2 trials: see its row." in found["advice"]


def test_where_it_beats_scratch_and_rows_of_two_networks(tmp_path):
    trials = [trial(tmp_path, "from_scratch", 0, right(5, 10))]
    trials += [trial(tmp_path, "head", 0, right(hits, 10), fraction) for fraction, hits in ((0.1, 5), (0.3, 6), (1, 9))]
    trials += [trial(tmp_path, "head", 0, right(8, 10), backbone="VGG16")]
    rows = compared(trials, tmp_path, demo=1.0)["rows"]
    assert [row["name"] for row in rows] == ["head, demo", "head, VGG16", "from_scratch, demo"]
    assert [row["beats_scratch_from"] for row in rows] == [0.3, None, None]
    assert [row["cost"]["feature_seconds"] for row in rows] == [0, 0, 0]


def test_the_choice_is_made_on_validation_photos_and_then_by_time(tmp_path):
    def choice(**validation_and_seconds):
        trials = [
            trial(tmp_path, name, 0, right(9 if name == "flattered" else 5, 10), validation=validation, seconds=seconds)
            for name, (validation, seconds) in validation_and_seconds.items()
        ]
        return compared(trials, tmp_path)["choice"]

    assert choice(flattered=(0.7, 1.0), solid=(0.8, 9.0)) == "solid"
    assert choice(flattered=(0.8, 9.0), solid=(0.8, 1.0)) == "solid"


def test_when_nothing_finished_it_says_so(tmp_path):
    found = compared([failed("one", 0), failed("one", 1), failed("two", 0)], tmp_path)
    assert found["choice"] is None and found["chance"] is None and found["differences"] == []
    assert found["advice"] == [
        "Not one trial with all training photos finished, so there is no advice.",
        "One failed in 2 of 2 trials: see its row.",
        "Two failed in 1 of 1 trial: see its row.",
    ]
    assert "2 of 2" in comparison.table(found)


# Advice -------------------------------------------------------------------------------------------------------


def row(name, accuracy, seconds=10.0, features=0.0, validation=None, curve=None, failed=0, backbone="demo"):
    """A row with these accuracies of the seeds; `curve` has those of smaller fractions: fraction → accuracies."""
    curve = (curve or {}) | {1.0: accuracy}
    return {
        "name": name, "strategy": name.partition(",")[0], "backbone": backbone, "failed": failed,
        "test": {"accuracy": comparison.spread(accuracy)},
        "validation": {"accuracy": comparison.spread([validation or statistics.median(accuracy)])},
        "cost": {"seconds": [seconds] * 3, "feature_seconds": features, "trainable_parameters": 1000},
        "fractions": [
            {"fraction": fraction, "train": round(800 * fraction), "accuracy": comparison.spread(values)}
            for fraction, values in curve.items()
        ],
        "runs": [
            {"seed": seed, "fraction": fraction, "accuracy": value}
            for fraction, values in curve.items() for seed, value in enumerate(values)
        ] + [{"seed": 99, "fraction": 1.0, "accuracy": None}] * failed,
    }  # fmt: skip


def mean_accuracy(row):
    return np.mean([run["accuracy"] for run in row["runs"] if run["fraction"] == 1 and run["accuracy"]])


def advised(rows, larger=(), chance=0.2, choice=None):
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
    found = {"chance": chance, "rows": rows, "differences": differences, "choice": choice or best}
    return (
        " ".join(comparison.advice(found)).replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{NO-BREAK SPACE}", " ")
    )


GOOD, FAIR = [0.86, 0.87, 0.88], [0.83, 0.84, 0.85]


def test_advice_says_what_to_use_and_that_it_is_better():
    text = advised([row("partial_unfreezing", GOOD), row("head", FAIR)], [("partial_unfreezing", "head")])
    assert text.startswith(
        "Use partial unfreezing: it did best on the validation photos, and has 87.0 % (86.0–88.0) of the test photos "
        "right (median and range of 3 seeds). It beats head, the only other, by more than noise: 3.0 points "
        "on average."
    )
    three = [row("a", GOOD), row("b", FAIR), row("c", FAIR)]
    assert "It beats all 2 others by more than noise; b, the next, by 3.0 points on average." in advised(
        three, [("a", "b"), ("a", "c")]
    )


def test_advice_names_what_cannot_be_told_apart():
    three = [row("a", GOOD), row("b", FAIR), row("c", FAIR)]
    assert "Nothing here tells all 3 apart: a, b and c differ by no more than noise." in advised(three)
    assert "Nothing here tells the first 2 apart: a and b differ" in advised(three, [("a", "c")])
    assert "Nothing here tells a apart from c: they differ by no more than noise." in advised(three, [("a", "b")])
    assert "Nothing here tells a apart from b and c: they" in advised(three, [("b", "c")])


def test_advice_stays_with_the_validation_photos_where_the_test_photos_say_otherwise():
    rows = [row("flattered", GOOD, validation=0.7), row("solid", FAIR, validation=0.9)]
    text = advised(rows, [("flattered", "solid")])
    assert text.startswith("Use solid:")
    assert "On the test photos flattered has 3.0 points more right, which is larger than noise;" in text
    assert "beats" not in text and "apart" not in text


def test_advice_on_one_strategy_that_is_no_better_than_guessing():
    text = advised([row("a", [0.5, 0.5])], chance=0.5)
    assert "no better than naming the largest class every time, which has 50.0 % right." in text
    assert "Nothing else finished that it could be compared with." in text
    assert "no better than naming" not in advised([row("a", [0.5, 0.6])], chance=0.5)


def test_advice_on_what_is_cheaper():
    choice = row("best", GOOD, seconds=30.0, features=5.0)
    tenth, better_tenth = row("x", [0.8] * 3, 1.0, 5.0), row("y", FAIR, 3.0, 5.0)
    half, dear = row("h", FAIR, 15.0, 5.0), row("d", FAIR, 20.0, 5.0)
    assert (
        "A tenth of the cost or less: y takes 3 s instead of 30 s (the features, 5 s, come on top for both), and has "
        "84.0 % (83.0–85.0) right; on average 3.0 points less, which is larger than noise."
    ) in advised([choice, better_tenth, half, tenth], [("best", "y")])
    assert "Half of the cost or less: h takes 15 s instead of 30 s" in advised([choice, half, dear])
    assert "3.0 points less, which is within noise." in advised([choice, half])
    assert "Nothing that was tried costs less than half as much; the cheapest is d." in advised([choice, dear])
    assert "Nothing cheaper was tried." in advised([choice, row("slow", FAIR, 99.0)])
    # Where only one of the two needs features, its price has them in it.
    assert "Half of the cost or less: x takes 13 s instead of 30 s (features included)" in advised(
        [row("best", GOOD, 30.0), row("x", FAIR, 1.0, 12.0)]
    )


def test_advice_on_training_from_scratch():
    head, scratch = row("head", GOOD), row("from_scratch", [0.4, 0.5, 0.6])
    assert (
        "Training from scratch has 50.0 % (40.0–60.0) right; on average 37.0 points less, which is larger than noise, "
        "so the pretrained weights pay."
    ) in advised([head, scratch], [("head", "from_scratch")])
    assert "which is within noise, so nothing here shows that pretrained weights pay." in advised([head, scratch])
    winner = row("from_scratch", [0.9, 0.9, 0.9])
    assert (
        "Training from scratch wins here: with pretrained weights the best, head, has 87.0 % (86.0–88.0) right; on "
        "average 3.0 points less, which is within noise."
    ) in advised([winner, head])
    flattered = advised([winner, head], [("from_scratch", "head")], choice="head")
    assert "3.0 points more, which is larger than noise, so pretrained weights do not pay here." in flattered
    assert "from scratch" not in advised([head, row("other", FAIR)])


def test_advice_on_more_photos():
    def text(few, many=(0.80, 0.82, 0.84)):
        return advised([row("a", list(many), curve={0.25: few})])

    likely = text([0.76, 0.78, 0.80])
    assert (
        "More photos are likely to help: from 200 to 800 training photos it changed by +4.0 points (+4.0 to +4.0); if "
        "each doubling goes on to bring as much, twice as many photos would bring it to about 84 % (an extrapolation, "
        "not a measurement)."
    ) in likely
    assert "bring it to about 100 %" in text([0.5, 0.5, 0.5], [0.99, 0.99, 0.99])
    assert "More photos are not likely to help much: from 200" in text([0.80, 0.82, 0.84])
    assert "cannot be told: from 200 to 800 training photos it changed by +3.0 points (-1.0 to +4.0)." in text(
        [0.81, 0.79, 0.80]
    )
    assert "cannot be told: from" in text([0.793, 0.813, 0.833])  # 0.7 points
    assert "is not known: --fractions 0.3 1 would tell." in advised([row("a", GOOD)])
    apart = row("a", GOOD, curve={0.25: [0.5]})
    apart["runs"][0]["seed"] = 7  # the only seed with few photos is none of those with all
    assert "no seed finished with few and with all photos" in advised([apart])


def test_advice_on_one_seed_and_on_failures():
    one = advised([row("a", [0.8], curve={0.5: [0.7]}), row("full_fine_tuning", [0.7, 0.7], failed=1)])
    assert "has 80.0 % of the test photos right (one seed)." in one
    assert "one seed says little" in one and "changed by +10.0 points; if" in one
    assert one.endswith("Full fine tuning failed in 1 of 3 trials: see its row.")
    assert "little" not in advised([row("a", GOOD)])


def test_advice_names_the_network_where_there_are_several():
    rows = [row("head, VGG16", GOOD, backbone="VGG16"), row("l2_sp, demo", FAIR)]
    text = advised(rows)
    assert "Use head with VGG16:" in text and "head with VGG16 and l2 sp with demo differ" in text


# The table ----------------------------------------------------------------------------------------------------


def test_the_table_fits_and_says_who_is_as_good(tmp_path):
    long = "layerwise_rates_with_a_name_that_never_ends"
    trials = [
        trial(tmp_path, name, seed, right(hits, 100), seconds=seconds, needs_features=name == "head", backbone=backbone)
        for name, hits, seconds in ((long, 90, 12345.0), ("head", 89, 2.0), ("from_scratch", 30, 99.0))
        for seed in range(3)
        for backbone in ("EfficientNetV2B0", "MobileNetV2:0.35")
    ]
    trials.append(failed("head", 3, backbone="MobileNetV2:0.35"))
    found = compared(trials, tmp_path, **{"EfficientNetV2B0": 23.4})
    lines = comparison.table(found).replace("\N{NARROW NO-BREAK SPACE}", " ").splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) == 1 + 6 + 2
    assert [line.split()[0] == ">" for line in lines[1:7]] == [row["name"] == found["choice"] for row in found["rows"]]
    table = dict(zip((row["name"] for row in found["rows"]), lines[1:7], strict=True))
    assert table[f"{long}, EfficientNetV2B0"].endswith("90.0 %      12,345       10  best            –")
    assert "89.0 %  2.0 + 23.4       10  ≈ best" in table["head, EfficientNetV2B0"]
    assert table["head, MobileNetV2:0.35"].endswith("1 of 4")
    assert "30.0 %        99.0       10  worse" in table["from_scratch, MobileNetV2:0.35"]
    assert all(line.count("…") == 1 for name, line in table.items() if name.startswith(long))
    assert len(set(lines)) == len(lines)


def test_a_run_reads_its_files_once(tmp_path):
    run = trial(tmp_path, "head", 0, right(5, 10), groups=["patient"] * 2 + [""] * 8)
    assert run.answers.units.tolist()[:3] == ["group patient", "group patient", "photo seed0/00002.jpg"]
    pathlib.Path(run.directory / "predictions.csv").unlink()
    assert run.answers.right.sum() == 5 and run.seconds == 10.0 and math.isclose(run.accuracy, 0.5)
