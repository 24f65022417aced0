import csv
import pathlib

import helpers
import pytest

from common import errors

pytestmark = pytest.mark.quick
PREPARE = pathlib.Path(__file__).parents[2] / "data" / "farm" / "prepare.py"


@pytest.fixture
def farm(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


@pytest.fixture
def folder(tmp_path):
    for domain in ("photo", "cartoon", "sketch"):
        for name in ("horse", "person", "dog", "guitar"):
            (tmp_path / domain / name).mkdir(parents=True)
            for number in range(2):
                (tmp_path / domain / name / f"{number}.jpg").touch()
    return tmp_path


def rows_of(table):
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def test_three_classes_from_one_domain_or_each_from_another(farm, folder):
    rows = rows_of(farm.prepare(farm.Config(folder)))
    assert [row["label"] for row in rows] == ["horse"] * 2 + ["person"] * 2 + ["dog"] * 2
    assert {row["domain"] for row in rows} == {"photo"} and rows[0]["path"] == "photo/horse/0.jpg"
    rows = rows_of(farm.prepare(farm.Config(folder, ("photo", "cartoon", "sketch"))))
    assert [row["path"] for row in rows[::2]] == ["photo/horse/0.jpg", "cartoon/person/0.jpg", "sketch/dog/0.jpg"]


def test_mistakes_are_one_line(farm, folder):
    with pytest.raises(errors.UserError, match="--domains must be one domain, or one for each class"):
        farm.Config(folder, ("photo", "sketch"))
    with pytest.raises(errors.UserError, match="no photos in painting/horse; give the folder of the domains"):
        farm.prepare(farm.Config(folder, ("painting",)))
