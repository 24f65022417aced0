import numpy as np
import pytest
from made_up_trials import compared, failed, right, trial
from simulations import choices

from common import files
from common.compare import table as compare_table

pytestmark = pytest.mark.quick

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
        "error": "out of memory", "validation": None,
    }  # fmt: skip
    assert broken["test"] is broken["cost"] is broken["validation"] is None and broken["failed"] == 2
    assert broken["kept"] == broken["per_class"] == {} and broken["fractions"] == broken["convergence"] == []
    assert found["chance"] == 0.5 and found["differences"] == []
    assert "Broken failed in 2 of 2 trials: see its row." in found["advice"]


def test_where_it_beats_scratch_and_rows_of_two_networks(tmp_path):
    sizes = ((0.1, 41), (0.3, 70), (1, 90))
    trials = []
    for seed in range(3):
        trials += [trial(tmp_path, "from_scratch", seed, right(40, 100))]
        trials += [trial(tmp_path, "head", seed, right(hits + 2 * seed - 2, 100), fraction) for fraction, hits in sizes]
        trials += [trial(tmp_path, "head", seed, right(80, 100), backbone="VGG16")]
    rows = compared(trials, tmp_path, demo=1.0)["rows"]
    assert [row["name"] for row in rows] == ["head, demo", "head, VGG16", "from_scratch, demo"]
    assert [row["beats_scratch_from"] for row in rows] == [0.3, None, None]  # one more of 100 right is noise
    assert [row["cost"]["feature_seconds"] for row in rows] == [0, 0, 0]
    assert rows[0]["step"]["difference"] == pytest.approx(0.2) and rows[1]["step"] is None
    two_seeds = compared([run for run in trials if run.seed < 2], tmp_path)["rows"]
    assert two_seeds[0]["beats_scratch_from"] is None and two_seeds[0]["step"] is None


def test_equal_strategies_seldom_beat_scratch_at_any_fraction():
    """The finding's case: 3 fractions, 3 seeds, 120 photos; by the medians a fraction was named in 67 % of cases."""
    assert choices.beats_scratch(60, fractions=3, seeds=3, photos=120) <= 0.07


def test_the_choice_is_made_on_validation_photos_and_then_by_time(tmp_path):
    def choice(**validation_and_seconds):
        trials = [
            trial(tmp_path, name, 0, right(9 if name == "flattered" else 5, 10), validation=validation, seconds=seconds)
            for name, (validation, seconds) in validation_and_seconds.items()
        ]
        found = compared(trials, tmp_path)
        assert found["validation"]["choice"] == found["choice"]
        return found["choice"]

    assert choice(flattered=(0.7, 1.0), solid=(0.8, 9.0)) == "solid"
    assert choice(flattered=(0.8, 9.0), solid=(0.8, 1.0)) == "solid"
    # One standard error of 0.8 on 100 photos is 4 points: the cheapest within it is chosen.
    assert choice(best=(0.80, 9.0), cheap=(0.77, 1.0), cheapest=(0.7, 0.5)) == "cheap"
    assert choice(best=(0.80, 9.0), cheap=(0.75, 1.0), cheapest=(0.7, 0.5)) == "best"


def test_the_choice_counts_the_features_and_leaves_out_what_failed(tmp_path):
    trials = [
        trial(tmp_path, name, seed, right(5, 10), validation=value, seconds=seconds, needs_features=name == "features")
        for name, seconds in (("best", 9.0), ("features", 1.0), ("lucky", 0.5))
        for seed, value in enumerate((0.9, 0.7, 0.8)) if name != "lucky" or value == 0.9
    ]  # fmt: skip
    found = compared([*trials, failed("lucky", 1), failed("lucky", 2)], tmp_path, demo=20.0)
    assert found["choice"] == found["validation"]["best"] == "best" and found["validation"]["lead"] == 0


def test_a_searched_strategy_is_not_chosen_for_its_looks():
    """The finding's case: five equal strategies, one takes the best of 4 looks at 120 validation photos; .62 before."""
    assert choices.searched(150, looks=4, seeds=3, photos=120) <= 0.3


def test_the_model_is_the_median_on_validation_with_its_own_test_number(tmp_path):
    def model(*validations):
        trials = [
            trial(tmp_path, "head", seed, right(seed, 10), validation=value) for seed, value in enumerate(validations)
        ]
        found = compared([*trials, trial(tmp_path, "head", 9, right(9, 10), fraction=0.1), failed("head", 8)], tmp_path)
        return found["model"]["seed"], found["model"]["accuracy"], found["model"]["report"]

    assert model(0.9, 0.7, 0.8) == (2, 0.2, "trials/head-demo-2-1.0/report.html")
    assert model(0.9, 0.7, 0.8, 0.85)[0] == 2
    assert model(0.9)[0] == 0


def test_rows_are_in_the_order_of_the_means_which_the_verdicts_are_about(tmp_path):
    counts = {"high_median": (50, 90, 91), "high_mean": (88, 89, 90)}
    trials = [
        trial(tmp_path, name, seed, right(count, 100)) for name, of in counts.items() for seed, count in enumerate(of)
    ]
    found = compared(trials, tmp_path)
    first, second = found["rows"]
    assert (first["name"], second["name"]) == ("high_mean", "high_median")
    assert first["test"]["accuracy"][0] < second["test"]["accuracy"][0]
    assert found["differences"][0]["first"] == "high_mean"
    assert "not told apart" in compare_table.table(found).splitlines()[2]


def test_chance_is_what_the_largest_training_class_gets(tmp_path):
    data = {"class_names": ["daisy", "rose"], "train": 100, "per_split": {"train": {"daisy": 40, "rose": 60}}}
    found = compared([trial(tmp_path, "one", 0, right(5, 9), results={"data": data})], tmp_path)
    assert found["chance"] == pytest.approx(4 / 9)  # daisies are the larger class of the test photos, with 5 of 9


def test_when_nothing_finished_it_says_so(tmp_path):
    found = compared([failed("one", 0), failed("one", 1), failed("two", 0)], tmp_path)
    assert (
        found["choice"] is found["model"] is found["validation"] is None
        and found["chance"] is None
        and found["differences"] == []
    )
    assert found["advice"] == [
        "No trial with all training photos finished, so there is no advice.",
        "One failed in 2 of 2 trials: see its row.",
        "Two failed in 1 of 1 trial: see its row.",
    ]
    assert "2 of 2" in compare_table.table(found)


# The table ----------------------------------------------------------------------------------------------------


def test_the_table_fits_and_says_who_is_as_good(tmp_path):
    long = "layerwise_rates_with_a_name_that_never_ends"
    rows = ((long, 90, 12345.0), ("head", 89, 2.0), ("from_scratch", 30, 99.0))
    lucky = np.array([[0, 0, 0], [1, -3, 2], [-1, 3, -1]])
    trials = [
        trial(
            tmp_path,
            name,
            seed,
            right(hits + lucky[seed, row], 100),
            seconds=seconds,
            needs_features=name == "head",
            backbone=backbone,
        )
        for row, (name, hits, seconds) in enumerate(rows)
        for seed in range(3)
        for backbone in ("EfficientNetV2B0", "MobileNetV2:0.35")
    ]
    trials.append(failed("head", 3, backbone="MobileNetV2:0.35"))
    found = compared(trials, tmp_path, **{"EfficientNetV2B0": 23.4})
    lines = compare_table.table(found).replace("\N{NARROW NO-BREAK SPACE}", " ").splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) == 1 + 6 + 4
    assert [line.split()[0] == ">" for line in lines[1:7]] == [row["name"] == found["choice"] for row in found["rows"]]
    table = dict(zip((row["name"] for row in found["rows"]), lines[1:7], strict=True))
    assert table[f"{long}, EfficientNetV2B0"].endswith(
        "90.0 % (89.0–91.0)      80.0 %      12,345       10  best                 –"
    )
    assert "89.0 % (86.0–92.0)      80.0 %  2.0 + 23.4       10  not told apart" in table["head, EfficientNetV2B0"]
    assert table["head, MobileNetV2:0.35"].endswith("1 of 4")
    assert "30.0 % (29.0–32.0)      80.0 %        99.0       10  worse" in table["from_scratch, MobileNetV2:0.35"]
    assert all(line.count("…") == 1 for name, line in table.items() if name.startswith(long))
    assert len(set(lines)) == len(lines)


def test_stress_adds_a_column(tmp_path):
    trials = [trial(tmp_path, "head", seed, right(9, 10)) for seed in range(3)]
    for run, accuracy in zip(trials, (0.3, 0.5, 0.6), strict=True):
        kinds = {name: {"mean": {"accuracy": [accuracy + more]}} for name, more in (("blur", 0.1), ("noise", -0.1))}
        (run.directory / "stress").mkdir()
        files.write_json(run.directory / "stress/stress.json", {"clean": {"accuracy": [0.9]}, "kinds": kinds})
    found = compared([*trials, trial(tmp_path, "other", 0, right(5, 10))], tmp_path)
    head, other = found["rows"]
    assert head["stress"]["accuracy"] == pytest.approx([0.5, 0.3, 0.6]) and other["stress"] is None
    assert head["stress"]["kinds"]["noise"] == pytest.approx([0.4, 0.2, 0.5])
    lines = compare_table.table(found).replace("\N{NARROW NO-BREAK SPACE}", " ").splitlines()
    assert lines[0].endswith("stressed") and lines[1].endswith("50.0 %") and lines[2].endswith("–")


def test_a_price_per_hour_adds_a_column(tmp_path):
    trials = [trial(tmp_path, "head", seed, right(9, 10), seconds=600.0, needs_features=True) for seed in range(3)]
    found = compared([*trials, failed("other", 0)], tmp_path, demo=1200.0)
    lines = compare_table.table(found | {"plan": {"price_per_hour": 2.0}}).splitlines()
    assert [line.split()[-1] for line in lines[:3]] == ["price", "1.00", "–"]  # half an hour
    assert lines[-1] == "Price: of one run alone with its features, at 2 an hour."
    assert "price" not in compare_table.table(found)


def marks(differences, choice="best"):
    """The column that compares with the best, for rows whose pairs have these p."""
    row = {"test": {"accuracy": [0.8, 0.8, 0.8]}, "validation": {"mean": 0.8}, "failed": 0, "runs": []}
    row["cost"] = {"seconds": [1.0] * 3, "feature_seconds": 0.0, "trainable_parameters": 1}
    names = ("best", "middle", "last")
    pairs = [
        {"first": first, "second": second, "difference": 0.05, "p": p, "larger_than_noise": p is not None and p <= 0.05}
        for (first, second), p in differences.items()
    ]
    found = {"rows": [row | {"name": name} for name in names], "differences": pairs, "choice": choice}
    return [line.split("1  ")[-1].rsplit("  ", 1)[0].strip() for line in compare_table.table(found).splitlines()[1:4]]


def test_a_row_that_the_best_or_the_choice_beats_is_worse():
    pairs = {("best", "middle"): 0.5, ("best", "last"): 0.2, ("middle", "last"): 0.01}
    assert marks(pairs) == ["best", "not told apart", "not told apart"]
    assert marks(pairs, choice="middle") == ["best", "not told apart", "worse"]
    assert marks(pairs | {("best", "last"): 0.01}) == ["best", "not told apart", "worse"]
    assert marks(dict.fromkeys(pairs)) == ["best", "too few seeds", "too few seeds"]
    assert marks({("best", "middle"): 0.5}) == ["best", "not told apart", "too few seeds"]
