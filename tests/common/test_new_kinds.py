"""A medium and a target that the tests alone define go through all rooms."""

import csv
import json
import pathlib
import zipfile

import numpy as np
import pytest
import toy_grids

from common import errors
from common.commands import predict
from common.data import dataset, parts, sample_list, targets
from common.media import medium
from common.runs import finished_run, saved_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    table = toy_grids.draw(folder / "grids")
    config = toy_grids.Config(data=str(table), out=folder / "runs", cache=folder / "cache")
    return folder / "grids", config, toy_grids.run(config).directory


def test_a_toy_medium_and_a_toy_target_run_from_load_to_finish(run):
    _, _, directory = run
    results = json.loads((directory / "results.json").read_text())
    assert results["medium"] == "grids" and results["evaluation"] == "toy_grids"
    assert results["test"]["error"] < 0.7 * results["test"]["error_of_the_mean"]
    assert results["data"]["per_split"]["test"] == {"n": results["test"]["n"]} and results["cost"]["prefix_seconds"] > 0
    assert "6 grids" in (directory / "report.html").read_text() and finished_run.Result.read(directory).unit == "grid"
    with open(directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "predicted", "error"] and len(rows) == results["test"]["n"]
    assert np.mean([float(row["error"]) for row in rows]) == pytest.approx(results["test"]["error"], abs=1e-4)
    first = sample_list.read_csv(directory / "split.csv")[0]
    assert first.about["site"] in ("north", "south")


def test_its_features_come_from_the_cache(run, capsys, undrawn):
    _, config, directory = run
    again = toy_grids.run(config).directory
    assert "frozen prefix" not in capsys.readouterr().err
    one, other = (json.loads((folder / "results.json").read_text())["test"] for folder in (directory, again))
    assert one["error"] == pytest.approx(other["error"], rel=1e-4)


def test_its_model_answers_as_the_run_did(run, capsys, tmp_path):
    folder, _, directory = run
    with open(directory / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (tmp_path / "bad.grid").write_text("a b\n")
    asked = [*(pathlib.Path(row["path"]) for row in rows[:3]), tmp_path / "bad.grid"]
    code = predict.predict(directory, asked, tmp_path / "a.csv")
    said, complaint = capsys.readouterr()
    assert code == 2 and "bad.grid: not numbers: write a grid of them\n" in complaint
    answers = [float(line.split("\t")[1]) for line in said.splitlines()]
    assert answers == pytest.approx([float(row["predicted"]) for row in rows[:3]], abs=1e-3)
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "path,value,distance,unlike"
    assert predict.predict(directory, [folder]) == 0 and len(capsys.readouterr().out.splitlines()) == 40


def test_a_saved_model_knows_both(run):
    _, _, directory = run
    saved = saved_model.load_model(directory)
    assert saved.medium == toy_grids.Grids(brightest=1.2) and isinstance(saved.targets, toy_grids.Numbers)
    with zipfile.ZipFile(directory / "model.keras") as archive:
        assert json.loads(archive.read("medium.json")) == {"name": "grids", "brightest": 1.2}


def test_bad_grids_are_named_and_numbers_need_no_classes(tmp_path):
    table = toy_grids.draw(tmp_path / "grids", 8)
    (tmp_path / "grids/3.grid").write_text("no number")
    config = toy_grids.Config(data=str(table), cache=tmp_path / "cache")
    with pytest.raises(errors.UserError, match=r"1 of 8 grids cannot be used: .*3\.grid \(not numbers.*--skip-bad"):
        dataset.load(config, tmp_path, toy_grids.Grids(), toy_grids.Numbers())


def test_what_nobody_has_defined_is_refused():
    for name in ("nowhere", "os.path", "../photos", ""):
        with pytest.raises(errors.UserError):
            medium.restored({"name": name})
    with pytest.raises(errors.UserError, match="this version has no targets 'nowhere'; it has .*classes"):
        targets.restored({"name": "nowhere"})


def test_each_site_is_split_in_itself(tmp_path):
    table = toy_grids.draw(tmp_path / "grids")
    config = toy_grids.Config(data=str(table), cache=tmp_path / "cache")
    kinds = toy_grids.Grids(), toy_grids.Numbers()
    splits = dataset.load(config, tmp_path, *kinds, stratify=parts.by_column("site", toy_grids.Numbers().strata))
    found = splits.parts("site")
    assert list(found) == ["north", "south"] and all(part.targets == splits.targets for part in found.values())
    for part in found.values():
        assert (len(part.train), len(part.validation), len(part.test)) == (14, 3, 3)
    with pytest.raises(errors.UserError, match="no patient; the data needs a column 'patient'"):
        splits.parts("patient")
