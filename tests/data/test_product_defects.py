import csv
import pathlib

import helpers
import PIL.Image
import pytest

from common import errors
from common.data import sources
from common.media import photos

pytestmark = pytest.mark.quick
PREPARE = pathlib.Path(__file__).parents[2] / "data" / "product_defects" / "prepare.py"


@pytest.fixture
def defects(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


@pytest.fixture
def folder(tmp_path, defects):
    """The layout of the published repository: two photos of a tile in each kind, a light apart."""
    for place, kind in enumerate(defects.KINDS):
        (tmp_path / kind / "Imgs").mkdir(parents=True)
        for light in (1, 4):
            name = tmp_path / kind / "Imgs" / f"exp{light}_num_{2000 * place + 100 * light}.jpg"
            PIL.Image.new("L", (20, 30), 40 * place + light).save(name)
            PIL.Image.new("1", (20, 30)).save(name.with_suffix(".png"))
    return tmp_path


def rows_of(table):
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def test_lights_of_one_tile_are_one_group(defects, folder):
    table = defects.prepare(defects.Config(folder))
    rows = rows_of(table)
    assert [row["label"] for row in rows] == ["good"] * 2 + ["defect"] * 10
    assert rows[0] == {
        "path": "MT_Free/Imgs/exp1_num_100.jpg", "label": "good", "group": "tile_000100", "light": "1",
        "mask": "MT_Free/Imgs/exp1_num_100.png",
    }  # fmt: skip
    assert len({row["group"] for row in rows}) == 6
    samples = sources.read_source(str(table), folder, photos.PHOTOS)
    assert len(samples) == 12 and len({sample.group for sample in samples}) == 6
    assert samples[0].about == {"light": "1", "mask": "MT_Free/Imgs/exp1_num_100.png"}


def test_kinds_of_defects_and_other_groups(defects, folder):
    rows = rows_of(defects.prepare(defects.Config(folder, labels="kind", frames_apart=299)))
    assert [row["label"] for row in rows[::2]] == ["good", "blowhole", "break", "crack", "fray", "uneven"]
    assert len({row["group"] for row in rows}) == 12
    assert {row["group"] for row in rows_of(defects.prepare(defects.Config(folder, frames_apart=0)))} == {""}
    assert defects.tiles_of([10, 500, 1000, 1501], 500) == ["tile_000010"] * 3 + ["tile_001501"]


def test_mistakes_are_one_line(defects, folder, tmp_path):
    with pytest.raises(errors.UserError, match="no photos in MT_Free/Imgs; give the repository's folder"):
        defects.prepare(defects.Config(tmp_path / "MT_Break"))
    (folder / "MT_Fray/Imgs/exp1_num_8100.png").unlink()
    with pytest.raises(errors.UserError, match="its mask exp1_num_8100.png is missing"):
        defects.prepare(defects.Config(folder))
    (folder / "MT_Fray/Imgs/8100.jpg").write_bytes(b"")
    with pytest.raises(errors.UserError, match="the name has not the form exp3_num_853.jpg"):
        defects.prepare(defects.Config(folder))
    assert not (folder / "tiles.csv").exists()
