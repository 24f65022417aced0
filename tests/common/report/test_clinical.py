"""A run with clinical results gets the sections that it has numbers for, honest about leaks, and a model card."""

import dataclasses
import functools
import itertools
import json
import re

import markdown_it
import pytest
from made_up_runs import SCRIPT, Page, draw, make_run, model_explained_by, warm_left

from common import files, words
from common.data import metadata_table
from common.evaluation import classification, clinic, intervals, temperature_scaling
from common.report import clinical as report_clinical
from common.report import page
from common.runs import finished_run

NAMES = ["mel", "nv", "vasc"]
ALWAYS = {"target", "classes", "lesions", "groups", "calibration", "abstention"}
SOMETIMES = {"target-explained", "imbalance", "leak"}
IMBALANCE = {
    "used": "logit_adjust",
    "choices": [
        {"choice": choice, "accuracy": 0.8, "balanced_accuracy": 0.7, "macro_auc": 0.9, "log_loss": 0.5,
         "recall_of_rarest": 0.25}
        for choice in ("none", "logit_adjust")
    ],
}  # fmt: skip
SCORES = {"accuracy": 0.71, "accuracy_interval": [0.68, 0.74], "balanced_accuracy": 0.62,
          "balanced_accuracy_interval": [0.58, 0.66], "macro_auc": 0.9, "n": 200}  # fmt: skip
LEAK = {
    "lesion": SCORES,
    "random": SCORES | {"balanced_accuracy": 0.77, "balanced_accuracy_interval": [0.73, 0.81]},
    "lesions_on_both_sides": 0.375,
    "seen": {"n": 75, "accuracy": 0.9, "balanced_accuracy": 0.88},
    "unseen": {"n": 125, "accuracy": 0.6, "balanced_accuracy": 0.55},
}


def make_clinical_run(root, class_names=NAMES, targets=("mel",), photos=False, change=None, **more):
    """Write a run directory with clinical results, of two photos a lesion; `change(about)` alters the patients."""
    run = make_run(root, list(class_names), per_class=12, photos=photos)
    probabilities, labels = finished_run.FinishedRun.read(run).probabilities_and_labels()
    sexes, sites = itertools.cycle(["female", "female", "male", "male"]), itertools.cycle(["back", "back", "face"])
    about = [
        metadata_table.About(f"L{index // 2}", 20.0 + index, next(sexes), next(sites)) for index in range(len(labels))
    ]
    about = [change(facts) for facts in about] if change else about
    before = clinic.Side(probabilities, labels, about)
    side = clinic.Side(temperature_scaling.soften(probabilities, 1.3), labels, about)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "Bootstrap", functools.partial(intervals.Bootstrap, resamples=8))
        found = clinic.clinical(side, side, (before, side), class_names, targets, sensitivity=0.9)
    write_clinical_files(run, side, class_names, {"split": "lesion", "temperature": 1.3} | found | more)
    return run


def write_clinical_files(run, side, class_names, found):
    results = read_results(run)
    results["test"] = classification.scores(side.probabilities, side.labels, class_names, side.lesions, resamples=50)
    write_results(run, results | {"clinic": found})
    rows = []
    for row, probabilities, facts in zip(
        finished_run.FinishedRun.read(run).predictions, side.probabilities, side.about, strict=True
    ):
        told = [facts.lesion, facts.sex, "" if facts.age is None else facts.age, facts.site]
        rows.append([row["path"], row["label"], row["predicted"], probabilities.max(), 0, *probabilities, *told])
    columns = ["path", "label", "predicted", "confidence", "correct", *(f"p_{name}" for name in class_names)]
    files.write_csv(run / "predictions.csv", [*columns, "lesion", "sex", "age", "site"], rows)


def read_results(run):
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def write_results(run, results):
    files.write_json(run / "results.json", results)


def page_of(run, heatmap_function=None):
    return Page(draw(run, heatmap_function).read_text(encoding="utf-8"))


def anchors(page):
    return {section["id"] for section in page.all("section")}


@pytest.fixture(scope="module")
def full_run(tmp_path_factory):
    """A run with everything, its page drawn with photos, figures and heat."""
    run = make_clinical_run(tmp_path_factory.mktemp("full"), photos=True, imbalance=IMBALANCE, leak=LEAK)
    draw(run, warm_left)
    return run


@pytest.fixture(scope="module")
def full_page(full_run):
    return Page((full_run / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def no_figures(monkeypatch):
    """Figures take most of a page's time; a test of words does without."""
    nothing = page.data_uri(b"", "png")
    monkeypatch.setattr(page, "figure", lambda *_: page.Figure(nothing, nothing, "a figure", 480))


# The page -----------------------------------------------------------------------------------------


def test_every_section_is_there_and_can_be_reached(full_page):
    assert anchors(full_page) >= ALWAYS | SOMETIMES
    assert {link["href"][1:] for link in full_page.all("a")} <= anchors(full_page)
    assert [section["id"] for section in full_page.all("section")].count("classes") == 1


def test_a_section_without_data_is_not_there(tmp_path, no_figures):
    page = page_of(make_clinical_run(tmp_path))
    assert anchors(page) >= ALWAYS and not SOMETIMES & anchors(page)
    assert {link["href"][1:] for link in page.all("a")} <= anchors(page)


def test_a_run_without_clinical_results_has_none_of_it(tmp_path, no_figures):
    text = page_of(make_run(tmp_path, NAMES, photos=False)).text
    assert "medical device" not in text and "Specificity" not in text and "lesion" not in text


def test_figures_stand_beside_the_page(full_run):
    there = {path.stem for path in (full_run / "figures").iterdir()}
    assert there >= {
        "roc", "class_sensitivity", "groups", "reliability_before", "reliability_after", "abstention", "imbalance",
        "leak", "grad_cam_target",
    }  # fmt: skip
    assert "reliability" not in there  # what it would show, `reliability_after` does


def test_the_page_is_accessible_and_asks_for_nothing_from_outside(full_run, full_page):
    assert all(image["alt"] for image in full_page.all("img"))
    assert all(cell["scope"] in ("row", "col", "rowgroup") for cell in full_page.all("th"))
    sources = [image["src"] for image in full_page.all("img")]
    sources += [source["srcset"] for source in full_page.all("source")]
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?://|@import|url\(", (full_run / "report.html").read_text(encoding="utf-8"))


def test_drawn_again_the_page_and_the_card_are_the_same(full_run):
    before = (full_run / "report.html").read_bytes(), report_clinical.write_model_card(full_run).read_bytes()
    again = draw(full_run, warm_left).read_bytes(), report_clinical.write_model_card(full_run).read_bytes()
    assert again == before


def test_the_headline_is_the_balanced_accuracy(full_run, full_page):
    test = read_results(full_run)["test"]
    low, high = (100 * limit for limit in test["balanced_accuracy_interval"])
    assert f"{100 * test['balanced_accuracy']:.1f} % Balanced accuracy" in full_page.text
    assert f"95 % interval {low:.1f}–{high:.1f}" in full_page.text and "Guessing has 33.3" in full_page.text
    assert f"Accuracy {100 * test['accuracy']:.1f}" in full_page.text


def test_the_counts_at_the_threshold_are_told(full_run, full_page):
    test = read_results(full_run)["clinic"]["target"]["test"]
    found, missed = test["true_positives"], test["false_negatives"]
    assert f"the network found {found} of {found + missed} and missed {missed}" in full_page.text
    assert f"called {test['false_positives']} by mistake" in full_page.text
    assert "Validation, by construction" in full_page.text
    # One picture of each of six lesions: the lowest score finds 6 of 7 on average, and 90 % or more in 1 - 0.9**6.
    assert "6 validation lesions with the target counts" in full_page.text and "85.7 % on average" in full_page.text
    assert "with a probability of 47 %. So few lesions cannot promise more" in full_page.text


def test_small_groups_are_called_so(full_page):
    assert full_page.text.count("too few to judge") > 3  # each of these groups has fewer than ten lesions with mel
    assert "Not a medical device" in full_page.text


def test_an_honest_split_has_no_red(tmp_path, no_figures):
    source = draw(make_clinical_run(tmp_path)).read_text(encoding="utf-8")
    assert 'class="number"' in source and 'class="banner"' not in source and 'class="badge"' not in source
    assert "leaks" not in Page(source).text


def test_lesions_that_nobody_knows_are_said_at_the_top(tmp_path, no_figures):
    run = make_clinical_run(tmp_path, change=lambda facts: dataclasses.replace(facts, lesion=""))
    source = draw(run).read_text(encoding="utf-8")
    assert "It is not known which pictures show the same lesion" in source[: source.index('id="result"')]
    assert "**Lesions are not known.**" in (run / "model_card.md").read_text(encoding="utf-8")


def test_a_random_split_is_marked(tmp_path, no_figures):
    source = draw(make_clinical_run(tmp_path, split="random")).read_text(encoding="utf-8")
    assert 'class="number leaks"' in source and 'class="banner" role="alert"' in source
    assert "This split leaks: pictures of one lesion are on both sides" in Page(source).text


def test_the_demonstration_marks_the_split_that_leaks(full_run, full_page):
    assert "By lesion honest 200 62.0 % 58.0–66.0" in full_page.text
    assert "By picture leaks 200 77.0 % 73.0–81.0" in full_page.text
    assert "37.5 % of the test photos show a lesion that is also in the training set" in full_page.text
    assert '<tr class="leaks">' in (full_run / "report.html").read_text(encoding="utf-8")
    assert 'class="number"' in (full_run / "report.html").read_text(encoding="utf-8")


def hollow(value):
    """The same with None for every number that may be missing."""
    if isinstance(value, dict):
        return {key: hollow(inner) for key, inner in value.items()}
    if isinstance(value, list) and len(value) == 3 and all(isinstance(inner, float) for inner in value):
        return [None] * 3
    return [hollow(inner) for inner in value] if isinstance(value, list) else value


def test_missing_values_are_dashes(tmp_path):
    run = make_clinical_run(tmp_path, imbalance=IMBALANCE, leak=LEAK)
    results = read_results(run)
    found = results["clinic"]
    for name in ("per_class", "subgroups", "target"):
        found[name] = hollow(found[name])
    found["leak"]["unseen"] = {"n": 0, "accuracy": None, "balanced_accuracy": None}
    found["leak"]["random"]["balanced_accuracy_interval"] = None
    found["imbalance"]["choices"][0] |= {"macro_auc": None, "recall_of_rarest": None}
    found["lesion_level"]["macro_auc"] = None
    write_results(run, results)
    text = page_of(run).text
    assert "None" not in text and "No test photo shows mel" in text and "mel 12 6 – –" in text
    card = report_clinical.write_model_card(run).read_text(encoding="utf-8")
    assert "None" not in card and "| – |" in card


def test_names_are_escaped(tmp_path, no_figures):
    names = [SCRIPT, 'a "quoted" | <b>name</b>', "nv"]
    run = make_clinical_run(
        tmp_path,
        names,
        (SCRIPT, names[1]),
        change=lambda facts: metadata_table.About(facts.lesion, 50.0, SCRIPT, SCRIPT),
    )
    page = page_of(run)
    source = (run / "report.html").read_text(encoding="utf-8")
    assert SCRIPT not in source and "<b>name" not in source and not page.all("script")
    assert f"Finding {SCRIPT} or a" in page.text
    card = report_clinical.write_model_card(run).read_text(encoding="utf-8")
    assert "<script>" not in markdown_it.MarkdownIt("commonmark").enable("table").render(card)
    assert [row[0] for row in tables(card)["Classes"]] == [SCRIPT, 'a "quoted" | <b>name</b>', "nv"]


# What the network looked at -----------------------------------------------------------------------


def test_found_missed_and_alarms_are_told_apart_by_the_threshold(full_run):
    run = finished_run.FinishedRun.read(full_run)
    threshold = run.results["clinic"]["target"]["threshold"]
    groups = report_clinical._found_missed_and_alarms(run)
    assert groups["found"]
    for name, is_target, is_called in (("found", True, True), ("missed", True, False), ("alarms", False, True)):
        for row in groups[name]:
            assert (row["label"] == "mel", float(row["p_mel"]) >= threshold) == (is_target, is_called)
        lesions = [row["lesion"] for row in groups[name]]
        assert len(set(lesions)) == len(lesions) <= report_clinical.EXPLAINED_PHOTOS


def test_the_heat_is_that_of_the_first_target(tmp_path, no_figures):
    run = make_clinical_run(tmp_path, targets=("nv", "mel"), photos=True)
    (run / "figures").mkdir()
    asked = []

    def heatmap_function(paths, class_indices):
        asked.append(set(class_indices))
        return warm_left(paths, class_indices)

    with model_explained_by(heatmap_function) as saved:
        found = report_clinical.section(finished_run.FinishedRun.read(run), saved)["explained"]
    assert asked == [{NAMES.index("nv")}]
    assert {photo.label for photo in found["found"] + found["missed"]} <= {"nv", "mel"}


def test_photos_that_moved_are_not_explained(tmp_path, no_figures):
    text = page_of(make_clinical_run(tmp_path), warm_left).text
    assert "None of these test photos was found at its path" in text


# The model card -----------------------------------------------------------------------------------


def tables(card):
    """The cells of the body of each table, by the heading that it stands under."""
    found, heading, row = {}, "", None
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(card)
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open":
            heading = token.content
        if token.type == "tr_open":
            row = []
        if before.type == "td_open":
            row.append("".join(child.content for child in token.children))
        if token.type == "tr_close" and row:
            found.setdefault(heading, []).append(row)
    return found


def plain(text):
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def full_card(full_run):
    return plain(report_clinical.write_model_card(full_run).read_text(encoding="utf-8"))


def shown(estimate):
    value, low, high = (100 * number for number in estimate)
    return f"{value:.1f} % ({low:.1f}–{high:.1f})"


def test_the_cards_numbers_are_those_of_the_results(full_run, full_card):
    results, found = read_results(full_run), tables(full_card)
    test, clinical = results["test"], results["clinic"]
    overall = {row[0]: row[1:] for row in found["Quantitative analyses"]}
    for name in ("balanced_accuracy", "accuracy", "macro_f1"):
        levels = (test, clinical["lesion_level"])
        assert overall[words.words(name).capitalize().replace("f1", "F1")] == [
            shown([level[name], *level[f"{name}_interval"]])
            if level[f"{name}_interval"]
            else f"{100 * level[name]:.1f} % (too few for an interval)"
            for level in levels
        ]
    for name, *cells in found["Classes"]:
        row = clinical["per_class"][name]
        assert cells[:2] == [str(row["support"]), str(row["lesions"])]
        assert cells[2:4] == [shown(row["sensitivity"]), shown(row["specificity"])]
        assert cells[4] == f"{row['auc'][0]:.3f}"  # six lesions are too few for an interval
    target = {row[0]: row[1:] for row in found["Finding mel"]}
    assert target["Sensitivity"] == [shown(clinical["target"][side]["sensitivity"]) for side in ("test", "validation")]
    assert f"**{clinical['target']['threshold']:.4f}**" in full_card
    groups = {
        f"{title}: {row['value']}": row
        for key, title in report_clinical.GROUPS.items()
        for row in clinical["subgroups"][key]
    }
    assert sorted(cells[0] for cells in found["Groups"]) == sorted(groups)
    for name, *cells in found["Groups"]:
        row = groups[name]
        assert cells[:3] == [str(row["lesions"]), str(row["target_lesions"]), shown(row["accuracy"])]
        assert (cells[5] == "too few to judge") == row["too_small"]


def test_the_cards_tables_are_whole(full_card):
    found = tables(full_card)
    assert {len(row) for rows in found.values() for row in rows} == {2, 4, 3, 7, 5}
    lines = full_card.splitlines()
    for before, line in itertools.pairwise(lines):
        if line.startswith("|"):  # one row a line, as many cells as the row above, and an empty line before the first
            assert not before or before.count("|") - before.count("\\|") == line.count("|") - line.count("\\|")
    assert sum(len(rows) for rows in found.values()) == sum(
        line.startswith("|") for line in lines
    ) - 2 * sum(set(line) <= set("|-:") and line != "" for line in lines)  # fmt: skip


def test_the_card_has_all_that_is_asked_of_one(full_card):
    for phrase in (
        "Not a medical device", "## Intended use", "Out of scope", "Split by lesion", "## Evaluation data",
        "too few to judge", "By picture, **leaks**", "## Caveats", "photos/", "3.15.1", "--data 'my photos'",
    ):  # fmt: skip
        assert phrase in full_card, phrase
    assert "{{" not in full_card and "\n\n\n" not in full_card and "This split leaks" not in full_card


def card_of(root, change=lambda results: None, **options):
    run = make_clinical_run(root, **options)
    results = read_results(run)
    change(results)
    write_results(run, results)
    return report_clinical.write_model_card(run).read_text(encoding="utf-8")


def test_ham10000_is_spoken_of_only_where_its_classes_are(tmp_path, full_card):
    card = card_of(tmp_path, class_names=list(metadata_table.HAM10000_DIAGNOSES))
    assert "HAM10000" in card and "Mostly light skin" in card and "mel (melanoma)" in card
    assert "HAM10000" not in full_card and "light skin" not in full_card and "dermatoscop" not in full_card


def test_drawn_pictures_are_called_drawn(tmp_path, full_card):
    def from_demo(results):
        results["data"]["source"] = "demo"

    card = card_of(tmp_path, from_demo, class_names=list(metadata_table.HAM10000_DIAGNOSES))
    assert "The pictures are drawn" in card and "HAM10000" not in card and "Vienna" not in card
    assert "pictures are drawn" not in full_card


def test_the_card_of_a_random_split_says_so(tmp_path):
    card = card_of(tmp_path, split="random")
    assert "**This split leaks.**" in card and "by picture, which leaks" in card and "Split by lesion" not in card


def test_full_names_are_there_for_all_of_ham10000():
    assert tuple(report_clinical.FULL_NAMES) == metadata_table.HAM10000_DIAGNOSES


def test_some_coverages_are_told():
    coverage = clinic.COVERAGES.tolist()
    told = report_clinical._abstained({"coverage": coverage, "accuracy": coverage, "balanced_accuracy": coverage})
    assert [round(row["accuracy"], 3) for row in told] == list(report_clinical.SHOWN_COVERAGES)
    assert len(report_clinical._abstained({"coverage": [1.0], "accuracy": [0.5], "balanced_accuracy": [0.5]})) == 1


def test_ages_stand_in_their_order():
    rows = [{"value": value} for value in ("45 to 59", "unknown", "75 and over", "under 30")]
    (told,) = report_clinical._groups({"sex": [], "age": rows}).values()
    assert [row["value"] for row in told] == ["under 30", "45 to 59", "75 and over", "unknown"]


def test_pictures_without_a_lesion_are_told(tmp_path, no_figures, full_card):
    run = make_clinical_run(tmp_path, change=lambda facts: metadata_table.About("", facts.age, facts.sex, facts.site))
    assert "36 test photos without a lesion in the data count as separate lesions" in page_of(run).text
    assert "36 test pictures without a lesion" in report_clinical.write_model_card(run).read_text(encoding="utf-8")
    assert "without a lesion" not in full_card


def test_a_class_of_few_lesions_is_pale(full_run, monkeypatch):
    drawn = {}
    monkeypatch.setattr(page, "figure", lambda run, name, alt, draw, *arguments: drawn.update({name: arguments}))
    report_clinical.section(finished_run.FinishedRun.read(full_run))
    rows, *_ = drawn["class_sensitivity"]
    assert [row["pale"] for row in rows] == [True] * 3 and {row["count"] for row in rows} == {"6"}
    headings = [row["name"] for row in drawn["groups"][0] if "count" not in row]
    assert headings == list(report_clinical.GROUPS.values())
