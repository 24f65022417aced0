"""The page of a comparison says what to use, for every odd outcome; the script that sorts its tables is allowed."""

import base64
import csv
import hashlib
import itertools
import json
import re

import numpy as np
import pytest
from made_up_runs import SCRIPT, Page
from made_up_trials import ROLES
from PIL import Image

from common.compare import page, trial_run

# name: what it is, accuracy with all photos, seconds, whether it needs features, whether it has epochs
STRATEGIES = {
    "partial_unfreezing": ("the head, then the last block too, slowly", 0.92, 14.0, True, True),
    "gradual_unfreezing": ("block after block from the top, each to convergence", 0.915, 38.0, True, True),
    "l2_sp": ("all layers, held near the weights they came with", 0.905, 61.0, False, True),
    "full_fine_tuning": ("all layers at once, slowly", 0.9, 60.0, False, True),
    "layerwise_rates": ("all layers, the deeper the slower", 0.91, 66.0, False, True),
    "logistic_regression": ("a straight line between the classes on frozen features", 0.89, 0.7, True, False),
    "feature_extraction": ("only a new head on frozen features", 0.885, 3.1, True, True),
    "nearest_centroid": ("the class whose mean feature is nearest", 0.82, 0.2, True, False),
    "from_scratch": ("the same network, nothing learnt before", 0.55, 75.0, False, True),
}


def spread_of(values):
    return [float(np.median(values)), min(values), max(values)]


def make_row(number, name, seeds, fractions, class_names, failed=()):
    """A row with made-up numbers; `failed` are the (seed, fraction) of trials that ended in an error."""
    strategy = name.partition(", ")[0]
    what, skill, seconds, needs_features, has_epochs = STRATEGIES.get(strategy, ("as one likes", 0.8, 9.0, True, True))
    random = np.random.default_rng(number)
    runs = []
    for seed, fraction in itertools.product(seeds, fractions):
        is_there = (seed, fraction) not in failed
        accuracy = skill - (1 - skill) * 0.6 * -np.log10(fraction) + random.normal(0, 0.008)
        path = f"trials/{name} {seed} {fraction:g}/report.html"
        runs.append({
            "seed": seed, "fraction": fraction, "accuracy": float(np.clip(accuracy, 0, 1)) if is_there else None,
            "validation": float(np.clip(accuracy + 0.01, 0, 1)) if is_there else None,
            "seconds": seconds * (0.4 + 0.6 * fraction) * random.uniform(0.9, 1.1) if is_there else None,
            "report": path if is_there else None, "error": None if is_there else f"out of memory in {SCRIPT}",
            "command": f"python recipes/{strategy}.py --data photos/ --seed {seed}",
        })  # fmt: skip
    full = [run for run in runs if run["fraction"] == max(fractions) and run["accuracy"] is not None]
    accuracy = full and spread_of([run["accuracy"] for run in full])
    taken = full and spread_of([run["seconds"] for run in full])
    points = []
    for fraction in sorted(fractions):
        done = [run for run in runs if run["fraction"] == fraction and run["accuracy"] is not None]
        if done:
            points.append({"fraction": fraction, "train": round(560 * fraction),
                           "accuracy": spread_of([run["accuracy"] for run in done]),
                           "seconds": spread_of([run["seconds"] for run in done])})  # fmt: skip
    recall = {label: float(np.clip(skill + random.normal(0, 0.05), 0, 1)) for label in class_names}
    return {
        "name": name, "strategy": strategy, "backbone": "MobileNetV2", "what": what, "failed": len(failed),
        "role": ROLES.get(strategy, ""),
        "test": {"accuracy": accuracy, "balanced_accuracy": [value - 0.01 for value in accuracy],
                 "log_loss": [1.2 - value for value in accuracy[:1] + accuracy[:0:-1]]} if full else None,
        "validation": {"accuracy": accuracy, "n": [55, 55, 55],
                       "mean": float(np.mean([run["validation"] for run in full]))} if full else None,
        "cost": {"seconds": taken, "feature_seconds": 12.3 if needs_features else 0, "epochs": [20, 18, 25],
                 "peak_memory_bytes": 1_234_000_000, "trainable_parameters": 6405 if needs_features else 2_230_277,
                 "total_parameters": 2_264_389} if full else None,
        "to_95": {"epochs": [4, 3, 6], "seconds": [value / 5 for value in taken]} if full and has_epochs else None,
        "fractions": points,
        "beats_scratch_from": min(fractions) if full and strategy != "from_scratch" else None,
        "per_class": recall | {class_names[-1]: None} if len(class_names) > 5 else recall,
        "kept": {"fine_tuning": len(full) - 1, "head": 1} if strategy == "partial_unfreezing" and full else {},
        "runs": runs,
        "convergence": [make_curve(run, random) for run in full] if has_epochs else [],
    }  # fmt: skip


def make_curve(run, random, epochs=20):
    steps = np.arange(1, epochs + 1)
    accuracy = run["accuracy"] * (1 - 0.6 * np.exp(-steps / 3)) + random.normal(0, 0.01, epochs)
    return {"seed": run["seed"], "epochs": steps.tolist(), "accuracy": accuracy.clip(0, 1).tolist(),
            "seconds": (run["seconds"] * steps / epochs).tolist()}  # fmt: skip


def make_comparison(names=tuple(STRATEGIES), seeds=(0, 1, 2), fractions=(0.1, 0.3, 1.0), classes=5, failed=None):
    """A comparison as `compare_strategies` writes it; `failed` maps names to their failed (seed, fraction)."""
    class_names = ["daisy", "dandelion", "roses", "sunflowers", "tulips"][:classes]
    class_names += [f"class number {index}" for index in range(5, classes)]
    rows = [make_row(number, name, seeds, fractions, class_names, (failed or {}).get(name, ()))
            for number, name in enumerate(names)]  # fmt: skip
    rows.sort(key=lambda row: -row["test"]["accuracy"][0] if row["test"] else 1)
    finished = [row for row in rows if row["test"]]
    differences = []
    for first, second in itertools.combinations(finished, 2):
        difference = first["test"]["accuracy"][0] - second["test"]["accuracy"][0]
        is_large = difference > 0.02
        differences.append({
            "first": first["name"], "second": second["name"], "difference": difference,
            "interval": [difference - 0.02, difference + 0.02], "p": 0.0005 if is_large else 0.3,
            "standard_error": 0.01, "larger_than_noise": is_large,
        })  # fmt: skip
    return {
        "recipe": "compare_strategies", "seed": 0,
        "data": {"source": "photos/", "class_names": class_names, "train": 560, "validation": 120, "test": 120},
        "plan": {"strategies": list(names), "backbones": ["MobileNetV2"], "seeds": list(seeds),
                 "fractions": list(fractions), "jobs": 1, "trials": len(names) * len(seeds) * len(fractions),
                 "estimated_seconds": 310.0},
        "chance": 0.2, "rows": rows, "differences": differences,
        "power": "With 120 test photos and 3 seeds a difference of 5 points is found in 3 of 10 cases.",
        "choice": finished[0]["name"] if finished else None,
        "model": next((run for run in finished[0]["runs"] if run["accuracy"]), None) if finished else None,
        "advice": ["Use partial unfreezing: it is right most often.", "Logistic regression costs a tenth."],
        "claims": [
            {"claim": "transfer beats training from scratch on small data", "verdict": "holds",
             "evidence": "88.0 % against 42.0 % with 56 photos"},
            {"claim": "fine-tuning is better with more data", "verdict": "does not hold", "evidence": "−0.3 points"},
            {"claim": "augmentation helps small sets", "verdict": "cannot tell", "evidence": "+0.8 points, p 0.2"},
        ],
        "cost": {"seconds": 290.0, "feature_seconds": 12.3, "device": "2 CPU cores, no GPU, float32",
                 "peak_memory_bytes": 1_500_000_000},
        "versions": {"python": "3.11.9", "keras": "3.15.1"},
    }  # fmt: skip


FIGURES = {"accuracy_against_seconds", "accuracy_against_photos", "convergence", "recall_per_class"}
SECTIONS = {"result", "cost", "strategies", "differences", "photos", "convergence", "classes", "claims", "made"}
ALL_TRIALS = list(itertools.product((0, 1, 2), (0.1, 0.3, 1.0)))


def source_of(directory, comparison):
    """The page's source; the comparison is as it comes back from compare.json."""
    path = page.write(directory, json.loads(json.dumps(comparison, allow_nan=False)))
    assert path == directory / "compare.html"
    return path.read_text(encoding="utf-8")


def page_of(directory, comparison):
    """The page as a parser reads it, without its script."""
    return Page(without_script(source_of(directory, comparison)))


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The directory of a usual comparison's page, and its source."""
    directory = tmp_path_factory.mktemp("usual")
    return directory, source_of(directory, make_comparison())


def without_script(source):
    return re.sub("<script>.*</script>", "", source, flags=re.DOTALL)


def sections_of(page):
    return {section["id"] for section in page.all("section")}


def test_the_top_says_what_to_use_how_good_it_is_and_what_others_are(tmp_path):
    comparison = make_comparison(["partial_unfreezing", "feature_extraction", "from_scratch"])
    comparison["choice"] = "feature_extraction"  # which is not the first
    comparison["model"] = {"seed": 0, "accuracy": 0.8}
    rows = {row["name"]: row for row in comparison["rows"]}
    page = page_of(tmp_path, comparison)
    top = page.text.partition("Accuracy against seconds")[0]
    median, low, high = (100 * value for value in rows["feature_extraction"]["test"]["accuracy"])
    assert "Use feature extraction Only a new head on frozen features." in top
    assert f"{median:.1f} % of the test photos right" in top.replace("\u202f", " ")
    assert f"range {low:.1f} % to {high:.1f} %" in top.replace("\u202f", " ")
    scratch, _, _ = (100 * value for value in rows["from_scratch"]["test"]["accuracy"])
    assert f"from scratch {scratch:.1f} %" in top.replace("\u202f", " ")
    assert "always the largest class 20.0 %" in top.replace("\u202f", " ")
    assert "Its model is that of seed 0, the median on the validation photos:" in top
    assert "it is right most often. Logistic regression costs a tenth." in top


def test_training_from_scratch_of_another_backbone_is_no_rival(tmp_path):
    comparison = make_comparison(["feature_extraction", "from_scratch"])
    comparison["rows"][1]["backbone"] = "VGG16"
    top = page_of(tmp_path, comparison).text.partition("Accuracy against seconds")[0]
    assert "from scratch" not in top and "always the largest class" in top


def test_a_usual_comparison_has_everything(usual):
    directory, source = usual
    assert sections_of(Page(without_script(source))) == SECTIONS
    assert {path.stem for path in (directory / "figures").iterdir()} == FIGURES
    assert len(source) < 1.5e6 and not list(directory.rglob(".*"))


def test_the_page_asks_for_nothing_and_allows_only_its_own_script(usual):
    directory, source = usual
    script = re.search("<script>(.*)</script>", source, re.DOTALL)[1]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search('http-equiv="Content-Security-Policy" content="(.*?)"', source)[1]
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}';" in policy
    page = Page(source.replace(script, ""))
    assert page.all("script") == [{}] and not page.all("iframe") and not page.all("link")
    assert not re.search(r"https?://|@import|url\(| on[a-z]+=", source)
    pictures = [image["src"] for image in page.all("img")] + [image["srcset"] for image in page.all("source")]
    assert pictures and all(picture.startswith("data:image/png;base64,") for picture in pictures)
    assert b"\r" not in (directory / "compare.html").read_bytes()


def test_the_page_is_accessible(usual):
    page = Page(without_script(usual[1]))
    assert all(image["alt"] for image in page.all("img"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
    assert {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")} <= SECTIONS
    assert all(button == {"type": "button"} for button in page.all("button"))
    sorted_columns = [cell for cell in page.all("th") if "aria-sort" in cell]
    assert [cell["aria-sort"] for cell in sorted_columns] == ["descending"]


def test_every_sortable_column_has_a_number_or_a_name_in_each_row(tmp_path):
    names = ["feature_extraction", "nearest_centroid", "l2_sp", "from_scratch"]
    source = source_of(tmp_path, make_comparison(names, failed={"l2_sp": ALL_TRIALS, "from_scratch": [(1, 1.0)]}))
    tables = re.findall('<table class="[^"]*sortable.*?</table>', source, re.DOTALL)
    assert len(tables) == 5
    for table in tables:
        head, *bodies = table.split("<tbody>")
        columns = re.findall("<th .*?</th>", head, re.DOTALL)
        for body in bodies:
            cells = re.findall("<t[hd].*?</t[hd]>", body.partition("</tr>")[0], re.DOTALL)
            assert len(cells) == len(columns)
            for column, cell in zip(columns, cells, strict=True):
                if "<button" in column and 'class="n"' in column:
                    value = re.search('data-value="(.*?)"', cell)[1]
                    assert value == "" or float(value) is not None


def test_rows_that_are_not_told_apart_from_the_best_are_marked(usual):
    comparison = make_comparison()
    best = comparison["rows"][0]["name"]
    marked = {row["name"] for row in page.Comparison.of(usual[0], comparison).rows if row["not_told_apart"]}
    expected = {pair["second"] for pair in comparison["differences"]
                if pair["first"] == best and not pair["larger_than_noise"]}  # fmt: skip
    assert marked == expected and len(expected) in range(1, 8)
    assert usual[1].count('title="from the best"') == len(expected)
    assert "a difference of 5 points is found in 3 of 10 cases." in usual[1]
    assert not re.search("≈|not worse|as good as", usual[1])


def test_differences_are_told_from_the_best_one_s_side(tmp_path):
    comparison = make_comparison(["partial_unfreezing", "feature_extraction"])
    comparison["differences"] = [
        {"first": "feature_extraction", "second": "partial_unfreezing", "difference": 0.004, "interval": [-0.011, 0.02],
         "p": 0.61, "standard_error": 0.008, "larger_than_noise": False},
    ]  # fmt: skip
    text = page_of(tmp_path, comparison).text
    assert "feature extraction −0.4 −2.0 to +1.1 0.610 may be noise" in text
    comparison["differences"][0] |= {"p": None, "interval": None}
    del comparison["power"]  # older versions wrote none
    assert "feature extraction −0.4 – – too few seeds" in page_of(tmp_path, comparison).text


def test_one_strategy_with_one_seed_has_no_ranges(tmp_path):
    comparison = make_comparison(["feature_extraction"], seeds=[0], fractions=[1.0])
    page = page_of(tmp_path, comparison)
    assert sections_of(page) == SECTIONS - {"cost", "differences", "photos"}
    assert not re.search(r"\d–\d|range|median of", page.text.partition("How it was made")[0])
    assert f"{100 * comparison['rows'][0]['test']['accuracy'][0]:.1f}" in page.text


def test_a_range_needs_two_finished_runs(tmp_path):
    comparison = make_comparison(["feature_extraction"], failed={"feature_extraction": [(0, 1.0), (1, 1.0), (0, 0.1)]})
    row = page.Comparison.of(tmp_path, comparison).rows[0]
    assert row["test"]["accuracy"][1:] == row["cost"]["seconds"][1:] == [None, None]
    assert [None in point["accuracy"] for point in row["fractions"]] == [False, False, True]


def test_corrupted_photos_have_a_section(tmp_path):
    comparison = make_comparison(["partial_unfreezing", "feature_extraction"])
    values = {"accuracy": [0.61, 0.6, 0.62], "clean": [0.9, 0.8, 0.95], "kinds": {"blur": [0.5, 0.4, 0.6]}}
    comparison["rows"][0]["stress"] = values
    comparison["plan"]["price_per_hour"] = 2.0
    page = page_of(tmp_path, comparison)
    assert "stress" in sections_of(page)
    text = page.text.replace("\u202f", " ")
    assert "Strategy As they are All kinds Blur" in text and "61.0 %" in text and "at 2.0 an hour" in text
    assert "stress" not in sections_of(page_of(tmp_path, make_comparison(["partial_unfreezing"])))


def test_failed_trials_are_told_in_their_row(tmp_path):
    failed = {"l2_sp": ALL_TRIALS, "from_scratch": [(1, 1.0)]}
    comparison = make_comparison(["feature_extraction", "l2_sp", "from_scratch"], failed=failed)
    text = page_of(tmp_path, comparison).text
    assert "9 of 9 trials failed: out of memory" in text and "1 of 9 trials failed: out of memory" in text
    with open(tmp_path / "compare.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 27 and sum(bool(row["error"]) for row in rows) == 10
    runs = [(row["name"], run) for row in comparison["rows"] for run in row["runs"]]
    for row, (name, run) in zip(rows, runs, strict=True):
        assert (row["name"], int(row["seed"]), float(row["fraction"])) == (name, run["seed"], run["fraction"])
        assert row["accuracy"] == ("" if run["accuracy"] is None else str(run["accuracy"]))


def test_nothing_finished(tmp_path):
    page = page_of(tmp_path, make_comparison(failed=dict.fromkeys(STRATEGIES, ALL_TRIALS)))
    assert sections_of(page) == {"result", "strategies", "claims", "made"}
    assert "Nothing to recommend" in page.text and not page.all("img")


def test_names_are_escaped_and_links_quoted(tmp_path):
    name = f"{SCRIPT}, a/b #1"
    comparison = make_comparison([name, "from_scratch"], seeds=[0], fractions=[0.5, 1.0])
    comparison["data"]["source"] = comparison["rows"][0]["what"] = comparison["advice"][0] = SCRIPT
    comparison["claims"][0]["evidence"] = comparison["versions"]["keras"] = SCRIPT
    page = page_of(tmp_path, comparison)
    assert SCRIPT not in re.sub("<script>\n?//.*?</script>", "", source_of(tmp_path, comparison), flags=re.DOTALL)
    assert not page.all("script") and SCRIPT in page.text
    links = [link["href"] for link in page.all("a") if "report.html" in link["href"]]
    assert "trials/%3Cscript%3Ealert%281%29%3C/script%3E%2C%20a/b%20%231%200%201/report.html" in links


def test_many_strategies_backbones_and_classes(tmp_path):
    names = [f"{name}, {backbone}" for backbone in ("VGG16", "MobileNetV2:0.35") for name in STRATEGIES]
    page = page_of(tmp_path, make_comparison(names, classes=102))
    assert "The figure shows the 20 of 102 classes on which the strategies differ most" in page.text
    assert "shows 12 of 18 strategies" in page.text
    assert (tmp_path / "compare.html").stat().st_size < 3e6
    assert Image.open(tmp_path / "figures" / "recall_per_class.png").width < 3000


def test_the_classes_that_tell_strategies_apart_come_first():
    recalls = np.full((3, 30), 0.5)
    recalls[0, 7], recalls[1, 21], recalls[:, 3], recalls[0, 4] = 0.9, 0.3, np.nan, np.nan
    shown = page.telling_classes(recalls)
    assert shown[:2] == [7, 21] and len(shown) == page.MOST_CLASSES and 3 not in shown
    assert page.telling_classes(recalls[:, :5]) == [0, 1, 2, 3, 4]


def test_the_front_is_what_nothing_cheaper_beats():
    values = [(1, 0.5), (2, 0.7), (2, 0.7), (3, 0.7), (4, 0.6), (9, 0.9), (9, 0.8)]
    points = [{"seconds": seconds, "accuracy": [accuracy, None, None]} for seconds, accuracy in values]
    on_front = [page.is_on_front(point, points) for point in points]
    assert on_front == [True, True, True, False, False, True, False]


def test_features_count_among_the_seconds():
    assert trial_run.price({"cost": {"seconds": [2.0, 1.0, 3.0], "feature_seconds": 12.5}}) == 14.5


@pytest.mark.parametrize(("difference", "words"), [(0.0123, "+1.2"), (-0.0123, "−1.2"), (0.0, "0.0"), (-1e-5, "0.0")])
def test_points(difference, words):
    assert page.points(difference) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.6842, "0.684"), (15.0, "15.0"), (63.16, "63.2"), (99.7, "100"), (3725.4, "3,725")]
)
def test_seconds(value, words):
    assert page.seconds(value) == words
