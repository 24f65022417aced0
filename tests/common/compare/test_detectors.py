"""Strategies of finding boxes side by side: the choice, the differences and the page, on made-up trials."""

import csv
import dataclasses
import json
import types

import numpy as np
import pytest

from common import errors
from common.compare import detectors, trial_run
from common.evaluation import detection
from common.report import boxes_compared

PHOTOS, SIDE = 30, 100
SECONDS = {"frozen": 10.0, "partial": 20.0, "full": 60.0, "from_scratch": 90.0}


def made_up(folder, name, seed, share, validation=None, photos=PHOTOS):
    """A trial that finds the boxes of this share of its photos, and nothing in the others."""
    place = folder / name / f"seed{seed}"
    place.mkdir(parents=True)
    random = np.random.default_rng([seed, len(name)])
    names = [f"/photos/{(number * 3 + seed) % 40}.jpg" for number in range(photos)]
    box = [10.0, 10.0, 30.0, 30.0]
    truth = {
        "info": {}, "categories": [{"id": 1, "name": "cup"}],
        "images": [{"id": number, "file_name": path, "width": SIDE, "height": SIDE}
                   for number, path in enumerate(names, start=1)],
        "annotations": [{"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 900.0, "iscrowd": 0}
                        for number in range(1, photos + 1)],
    }  # fmt: skip
    kept = np.flatnonzero(random.permutation(photos) < share * photos) + 1
    found = [{"image_id": int(number), "category_id": 1, "bbox": box, "score": 0.9} for number in kept]
    (place / detection.TRUTH).write_text(json.dumps(truth))
    (place / detection.FOUND).write_text(json.dumps(found))
    with open(place / "split.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        rows.writerows([path, "1", "test"] for path in names)
    score = detection.ap50(detection.evaluated(truth, found), np.arange(photos))
    seen = score if validation is None else validation
    results = {
        "test": {"ap50": score, "ap": score}, "usual_boxes": {"ap50": 0.01, "ap": 0.0},
        "validation": {"ap50": seen, "ap": seen, "ap50_interval": [seen - 0.05, seen + 0.05]},
        "cost": {"seconds": SECONDS[name] + 5 + seed, "prefix_seconds": 5.0, "trainable_parameters": 1000},
    }  # fmt: skip
    (place / "results.json").write_text(json.dumps(results))
    role = trial_run.SCRATCH if name == "from_scratch" else ""
    return trial_run.Run(
        name, "", seed, 1.0, f"what {name} is", not role, f"python -m x --seed {seed}", place, None, role
    )


def trials(folder, shares, seeds=3, **settings):
    """Trials of each strategy; its share goes up and down with the seeds, as those of others do or not."""
    luck = {"frozen": (0.0, -0.1, 0.1), "partial": (-0.07, 0.07, 0.0)}
    return {name: [made_up(folder, name, seed, share + luck.get(name, (0, 0, 0))[seed], **settings)
                   for seed in range(seeds)] for name, share in shares.items()}  # fmt: skip


def test_scores_from_the_files_of_a_run_are_those_of_pycocotools(tmp_path):
    run = made_up(tmp_path, "frozen", 0, 0.5)
    fast = detection.evaluated(*detectors._files(run), at_half=True)
    assert detection.ap50(fast, np.arange(PHOTOS)) == pytest.approx(run.results["test"]["ap50"], abs=1e-9)
    assert 0.45 < run.results["test"]["ap50"] < 0.55


def test_a_large_difference_is_told_apart_and_a_small_one_is_not(tmp_path):
    found = detectors.compare(trials(tmp_path, {"frozen": 0.8, "partial": 0.83, "from_scratch": 0.1}), tmp_path)
    marks = {row["name"]: row["mark"] for row in found["rows"]}
    assert marks == {"frozen": "not told apart", "partial": "best", "from_scratch": "worse"}
    assert found["choice"]["choice"] == "frozen" and found["choice"]["best"] == "partial"
    assert "trains the fewest parameters of those within one standard error (0.026)" in found["told"][0]
    assert any(told.startswith("from_scratch against frozen") and "larger than noise" in told for told in found["told"])
    assert found["usual_boxes"]["ap50"] == [0.01, 0.01, 0.01] and found["feature_seconds"] == 45.0
    assert found["rows"][0]["cost"]["seconds"] == [11.0, 10.0, 12.0]


def test_a_dearer_strategy_is_chosen_where_it_is_better_by_more_than_noise(tmp_path):
    found = detectors.compare(trials(tmp_path, {"frozen": 0.5, "full": 0.8}), tmp_path)
    assert found["choice"]["choice"] == "full" and found["model"]["report"].startswith("full/seed")


def test_two_seeds_give_no_verdict(tmp_path):
    found = detectors.compare(trials(tmp_path, {"frozen": 0.9, "from_scratch": 0.1}, seeds=2), tmp_path)
    assert found["pairs"][0]["p"] is None and not found["pairs"][0]["larger_than_noise"]
    assert [row["mark"] for row in found["rows"]] == ["best", "too few seeds"]
    assert any("No difference is judged" in told for told in found["told"])


def test_failures_stay_in_the_table_and_are_not_chosen(tmp_path):
    runs = trials(tmp_path, {"frozen": 0.5, "full": 0.9})
    runs["full"] = [dataclasses.replace(run, directory=None, error="was killed") for run in runs["full"][:1]] + runs[
        "full"
    ][1:]
    runs["from_scratch"] = [dataclasses.replace(run, strategy="from_scratch", directory=None, error="was killed")
                            for run in runs["frozen"]]  # fmt: skip
    found = detectors.compare(runs, tmp_path)
    assert found["choice"]["choice"] == "frozen"  # full lacks a seed, which may be the hard one
    assert [row["failed"] for row in found["rows"]] == [0, 1, 3] and found["rows"][2]["mark"] == "–"
    assert "full failed in 1 of 3 trials: was killed" in found["told"]
    result = types.SimpleNamespace(results={"comparison": found})
    lines = boxes_compared.summary(result).splitlines()
    assert (
        lines[1].startswith("> frozen") and "1 of 3" in lines[2] and lines[3].split()[:3] == ["from_scratch", "–", "–"]
    )


def test_nothing_finished_is_an_error_with_its_cause(tmp_path):
    runs = {"frozen": [dataclasses.replace(made_up(tmp_path, "frozen", 0, 0.5), directory=None, error="no memory")]}
    with pytest.raises(errors.UserError, match="no trial has finished; frozen with seed 0: no memory"):
        detectors.compare(runs, tmp_path)


def test_other_test_photos_under_one_seed_are_refused(tmp_path):
    runs = trials(tmp_path, {"frozen": 0.5, "full": 0.9})
    path = runs["full"][1].directory / "split.csv"
    path.write_text(path.read_text().replace("1.jpg", "99.jpg"))
    with pytest.raises(errors.UserError, match="have different test photos with seed 1"):
        detectors.compare(runs, tmp_path)


def test_what_seeds_share_is_their_covariance():
    """Seeds that test the same photos vary together; independent ones share nothing."""
    random = np.random.default_rng(0)
    alike = random.normal(size=(20_000, 1, 1)) * np.array([1.0, 0.0])[:, None] * np.ones(3)
    assert detectors.shared(alike)[0, 1] == pytest.approx(2 / 3, rel=0.05)  # of a variance of 1
    apart = random.normal(size=(20_000, 1, 3)) * np.array([1.0, 0.0])[:, None]
    assert abs(detectors.shared(apart)[0, 1]) < 0.02
