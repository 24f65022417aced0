import json

import made_up_runs
import pytest

from common import files
from common.commands import report
from common.report import page, text_classes
from common.runs import finished_run

NAMES = ["lease", "loan", made_up_runs.SCRIPT]


@pytest.fixture
def run(tmp_path):
    """A run of texts with made-up answers, as the recipe leaves it."""
    folder = made_up_runs.make_run(tmp_path, NAMES, photos=False, stages=("full",) * 5)
    results = json.loads((folder / "results.json").read_text())
    scores = results["test"]
    row = {"strategy": "full", "trainable_parameters": 1_121_030, "seconds": 16.8, "peak_memory_bytes": 2**30,
           "validation": scores, "test": scores, "kept": True}  # fmt: skip
    sides = {"train": 12, "validation": 12, "test": 12}
    data = {"groups": sides, "bytes": sides, "read": 0.5, "skipped": 2,
            "near_duplicates": [{"first": "a/x.txt", "second": "b/y.txt", "similarity": 0.9}]}  # fmt: skip
    better = scores | {"accuracy": scores["accuracy"] + 0.1}
    results |= {"medium": "texts", "sections": ["text_classes"], "strategy": "full", "strategies": [row],
                "counted_words": {"validation": better, "test": better}}  # fmt: skip
    files.write_json(folder / "results.json", results | {"data": results["data"] | data})
    config = json.loads((folder / "config.json").read_text())
    config["config"] |= {"preset": "demo", "sequence_length": 64, "windows_per_document": 3, "duplicate_threshold": 0.2}
    files.write_json(folder / "config.json", config)
    return folder


def test_the_page_says_what_was_right_and_what_counting_words_would_be(run):
    seen = made_up_runs.Page(page.write(run, [text_classes]).read_text())
    assert "is better: counting words is enough for these documents" in seen.text and made_up_runs.SCRIPT in seen.text
    assert "the first 3 windows of 64 tokens of each document" in seen.text
    assert "1 pair of documents" in seen.text and "Left out: 2 documents" in seen.text
    assert "Most confidently wrong" in seen.text and "Not legal advice" not in seen.text
    anchors = {attributes["href"][1:] for attributes in seen.all("a") if attributes["href"].startswith("#")}
    assert anchors <= {attributes.get("id") for attributes in seen.all("section")}
    assert {path.stem for path in (run / "figures").iterdir()} == {"loss", "confusion_matrix"}


def test_the_page_has_the_evaluations_on_other_data(run):
    scores = json.loads((run / "results.json").read_text())["test"]
    nothing = {"unusable": 1, "unknown": {}, "train": 2, "validation": 0}
    (run / "evaluations" / "autumn").mkdir(parents=True)
    files.write_json(run / "evaluations" / "autumn" / "results.json", {
        "name": "autumn", "started": "2026-11-21T03:33:40Z", "unit": "document", "result": scores, "test": scores,
        "data": {"source": "new/", "missing": [], "groups": 3, "left_out": nothing}, "verdict": ["It is the same."],
        "difference": {"accuracy": [0.0, -0.1, 0.1]}, "baseline": {"class": "lease", "accuracy": 0.25},
    })  # fmt: skip
    (run / "preset").mkdir()
    assert report.command(run) == 0
    seen = made_up_runs.Page((run / "report.html").read_text())
    assert seen.text.count("On other data") == 2 and "12 documents in 3 groups" in seen.text
    assert "2 documents from the training or validation data of the run and 1 unusable document" in seen.text
    assert "other-data" in {attributes.get("id") for attributes in seen.all("section")}
    assert "+0.0 -10.0 to +10.0" in seen.text and "Always lease" in seen.text


def test_a_run_of_an_older_version_is_drawn_alike(run, capsys):
    """There one module drew all pages of texts, by the task."""
    expected = page.write(run, [text_classes]).read_text()
    results = json.loads((run / "results.json").read_text())
    (run / "preset").mkdir()
    for older in ({"sections": ["writing"]}, {}):
        without = {name: value for name, value in results.items() if name != "sections"}
        files.write_json(run / "results.json", without | {"task": "classify"} | older)
        assert report.command(run) == 0
        assert (run / "report.html").read_text() == expected
    assert capsys.readouterr().out


def test_the_last_lines(run):
    lines = text_classes.summary(finished_run.Result.read(run)).splitlines()
    assert lines[0].split() == ["strategy", "trained", "seconds", "memory", "validation", "test", "balanced"]
    assert lines[1].startswith("> full") and "1,121,030" in lines[1] and "1,074 MB" in lines[1]
    assert "kept" not in lines[2] and all(told in lines[3] for told in ("on 12 documents", "TF-IDF", "always "))
    assert lines[-1] == f"report: {run / 'report.html'}"
    results = json.loads((run / "results.json").read_text())
    row = results["strategies"][0]
    files.write_json(run / "results.json", results | {"strategies": [row | {"kept": False}, row]})
    lines = text_classes.summary(finished_run.Result.read(run)).splitlines()
    assert (
        lines[1].startswith("  full") and lines[2].startswith("> full") and "kept, for the lowest log loss" in lines[3]
    )
