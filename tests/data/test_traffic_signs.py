import csv
import io
import pathlib
import zipfile

import helpers
import PIL.Image
import pytest

from common import errors
from common.data import sources
from common.media import photos

pytestmark = pytest.mark.quick
PREPARE = pathlib.Path(__file__).parents[2] / "data" / "traffic_signs" / "prepare.py"
EXPECTED = {"photos": 2 * 2 * 30, "classes": 2}


@pytest.fixture
def signs(monkeypatch):
    return helpers.script(PREPARE, monkeypatch)


@pytest.fixture
def archive(tmp_path):
    """Classes 13 and 14 (yield, stop) with two signs each, in the layout of the official archive."""
    path = tmp_path / "GTSRB_Final_Training_Images.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for number in (13, 14):
            opened.writestr(f"GTSRB/Final_Training/Images/{number:05}/GT-{number:05}.csv", "Filename;Width\n")
            for sign in range(2):
                for photo in range(30):
                    content = io.BytesIO()
                    PIL.Image.new("RGB", (15 + photo, 16), (number, sign, photo)).save(content, "PPM")
                    name = f"GTSRB/Final_Training/Images/{number:05}/{sign:05}_{photo:05}.ppm"
                    opened.writestr(name, content.getvalue())
    return path


def rows_of(table):
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


def test_the_photos_of_one_sign_are_one_group(signs, archive, tmp_path):
    table = signs.prepare(signs.Config(archive=archive), tmp_path, EXPECTED)
    rows = rows_of(table)
    assert len(rows) == 120 and {row["label"] for row in rows} == {"yield", "stop"}
    assert sorted({row["group"] for row in rows}) == ["stop_00000", "stop_00001", "yield_00000", "yield_00001"]
    picture = PIL.Image.open(tmp_path / "photos/stop/00001_00007.png")
    assert picture.size == (22, 16) and picture.getpixel((0, 0)) == (14, 1, 7)
    samples = sources.read_source(str(table), tmp_path, photos.PHOTOS)
    assert len(samples) == 120 and len({sample.group for sample in samples}) == 4
    assert not (tmp_path / ".unfinished").exists()
    assert signs.prepare(signs.Config(), tmp_path, EXPECTED) == table  # made already


def test_some_photos_of_each_sign_and_some_classes(signs, archive, tmp_path):
    settings = signs.Config(archive=archive, per_sign=3, classes=("stop",))
    names = [pathlib.Path(row["path"]).name for row in rows_of(signs.prepare(settings, tmp_path, EXPECTED))]
    assert names == [f"0000{sign}_000{photo}.png" for sign in (0, 1) for photo in ("09", "19", "29")]


def test_mistakes_are_one_line(signs, archive, tmp_path):
    with pytest.raises(errors.UserError, match="there is no class stopp.*stop"):
        signs.Config(classes=("stopp",))
    with pytest.raises(errors.UserError, match="--archive nothing.zip: no such file"):
        signs.prepare(signs.Config(archive=pathlib.Path("nothing.zip")), tmp_path, EXPECTED)
    with pytest.raises(errors.UserError, match="found .*120.*expected .*39209.*download it again"):
        signs.prepare(signs.Config(archive=archive), tmp_path)
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(errors.UserError, match="damaged or incomplete"):
        signs.prepare(signs.Config(archive=archive), tmp_path, EXPECTED)
    assert not (tmp_path / "signs.csv").exists()


def test_there_are_43_classes_and_no_name_twice(signs):
    assert len(set(signs.CLASSES)) == signs.EXPECTED["classes"]
