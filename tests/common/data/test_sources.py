import pytest
from PIL import Image

from common import errors
from common.data import sources
from common.media import photos

pytestmark = pytest.mark.quick


def test_sources_that_are_not_there_are_explained(tmp_path):
    (tmp_path / "one_class" / "rose").mkdir(parents=True)
    with pytest.raises(errors.UserError, match="no photos in this class folder"):
        sources.read_source(str(tmp_path / "one_class"), tmp_path, photos.PHOTOS)
    Image.new("RGB", (9, 9)).save(tmp_path / "one_class" / "rose" / "1.png")
    with pytest.raises(errors.UserError, match="at least two class folders"):
        sources.read_source(str(tmp_path / "one_class"), tmp_path, photos.PHOTOS)
    with pytest.raises(errors.UserError, match="no such file or folder"):
        sources.read_source(str(tmp_path / "nowhere"), tmp_path, photos.PHOTOS)
    (tmp_path / "photos.txt").touch()
    with pytest.raises(errors.UserError, match="neither a folder nor a .csv"):
        sources.read_source(str(tmp_path / "photos.txt"), tmp_path, photos.PHOTOS)


def test_classes_one_folder_deeper_are_pointed_at(stripes):
    with pytest.raises(errors.UserError, match=f"one folder deeper; give {stripes}$"):
        sources.read_folder(stripes.parent, photos.PHOTOS)


def test_folders_below_a_class_are_spoken_of(stripes, capsys):
    (stripes / "across").rename(stripes / "a")
    (stripes / "across").mkdir()
    for number, path in enumerate(sorted((stripes / "a").iterdir())):
        (stripes / "across" / str(number % 2)).mkdir(exist_ok=True)
        path.rename(stripes / "across" / str(number % 2) / path.name)
    (stripes / "a").rmdir()
    assert {sample.label for sample in sources.read_folder(stripes, photos.PHOTOS)} == {"across", "down"}
    said = capsys.readouterr().err
    assert "all photos of class 'across' are in subfolders, such as '0'" in said and "'down'" not in said
