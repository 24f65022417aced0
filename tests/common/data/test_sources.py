import collections

import litter
import numpy as np
import pytest
import tiny_dicom
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
    assert f"if the subfolders are the classes, give --data {stripes / 'across'}" in said


def test_folders_below_a_class_with_some_of_its_photos_are_spoken_of(stripes, capsys):
    for label, name, numbers in (("across", "day", "012"), ("across", "night", "3"), ("down", "more", "45")):
        (stripes / label / name).mkdir()
        for number in numbers:
            (stripes / label / f"0{number}.jpg").rename(stripes / label / name / f"0{number}.jpg")
    assert labels(stripes) == {("across", ""): 15, ("down", ""): 15}
    assert capsys.readouterr().err == (
        "data: 4 photos of class 'across', but not all, are in subfolders (day, night), and 2 of 1 other class; "
        "the names of subfolders are ignored\n"
    )


def link_all(folder, target, photos_of):
    """Fills `target/<class>/` with links to the photos of the given classes."""
    for label in photos_of:
        (target / label).mkdir(parents=True)
        for path in (folder / label).iterdir():
            (target / label / path.name).symlink_to(path)


def labels(folder):
    return collections.Counter((each.label, each.split) for each in sources.read_folder(folder, photos.PHOTOS))


def test_litter_in_a_class_folder_is_no_photo_of_the_class(stripes, capsys):
    for label in ("across", "down"):
        hidden_folders, hidden_files, links = litter.scatter(stripes / label, stripes / label / "00.jpg")
    assert labels(stripes) == {("across", ""): 15, ("down", ""): 15}
    said = capsys.readouterr().err
    assert f"left alone: {2 * hidden_folders} hidden or system folders" in said and said.count("\n") == 1
    assert f"{2 * hidden_files} hidden or system files" in said and f"{2 * links} links to folders" in said


def test_files_that_are_not_read_are_named_per_class_and_many_stop_the_run(stripes, capsys):
    for number in range(3):
        (stripes / "down" / f"x{number}.cr2").touch()
    (stripes / "down" / "labels.txt").touch()
    (stripes / "README.md").touch()
    with pytest.raises(errors.UserError, match=r"class 'down': 3 of 18 photos \(3 \.cr2, 1 \.txt\) are in formats"):
        sources.read_folder(stripes, photos.PHOTOS)
    assert len(sources.read_folder(stripes, photos.PHOTOS, skip_unsupported=True)) == 30
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        "data: 1 .md outside the class folders left alone", "data: class 'down': 3 .cr2, 1 .txt left alone"
    ]  # fmt: skip


def test_a_table_beside_the_class_folders_is_offered(stripes, capsys):
    (stripes / "groups.csv").write_text("path,label,group\nacross/00.jpg,across,1\n")
    (stripes / "notes.csv").write_text("what\nrain\n")
    assert len(sources.read_folder(stripes, photos.PHOTOS)) == 30
    told = [line for line in capsys.readouterr().err.splitlines() if "to use it" in line]
    assert told == [f"data: groups.csv has the columns path,label,group; to use it: --data {stripes / 'groups.csv'}"]


def test_a_class_with_unread_files_only_is_explained(stripes):
    (stripes / "raw").mkdir()
    (stripes / "raw" / "1.cr2").touch()
    with pytest.raises(errors.UserError, match=r"raw: no photos in this class folder; .* it has only 1 \.cr2"):
        sources.read_folder(stripes, photos.PHOTOS)


def test_photos_outside_of_class_folders_are_spoken_of(stripes, capsys):
    (stripes / "across" / "00.jpg").rename(stripes / "00.jpg")
    assert len(sources.read_folder(stripes, photos.PHOTOS)) == 29
    assert "data: 1 .jpg outside the class folders left alone" in capsys.readouterr().err
    with pytest.raises(errors.UserError, match="15 photos are directly in it, outside of any class folder"):
        sources.read_folder(stripes / "down", photos.PHOTOS)


@pytest.mark.parametrize(("validation", "test"), [("dev", "tst"), ("eval", "holdout"), ("val_set", "test_set")])
def test_the_names_that_people_give_to_sides(stripes, tmp_path, validation, test):
    for name in ("Training", validation, test):
        link_all(stripes, tmp_path / "given" / name, ("across", "down"))
    found = labels(tmp_path / "given")
    assert found == {(label, side): 15 for label in ("across", "down") for side in ("train", "validation", "test")}


def test_train_beside_class_folders(stripes, tmp_path):
    link_all(stripes, tmp_path / "given" / "train", ("across", "down"))
    link_all(stripes, tmp_path / "given" / "extra", ("across", "down"))
    with pytest.raises(errors.UserError, match="extra is beside the split folder train"):
        sources.read_folder(tmp_path / "given", photos.PHOTOS)
    (stripes / "across").rename(stripes / "train")
    assert labels(stripes) == {("train", ""): 15, ("down", ""): 15}


def test_sides_inside_the_classes_stop_the_run(stripes, capsys):
    for name, numbers in (("train", "012"), ("Test", "3")):
        (stripes / "down" / name).mkdir()
        for number in numbers:
            (stripes / "down" / f"0{number}.jpg").rename(stripes / "down" / name / f"0{number}.jpg")
    with pytest.raises(errors.UserError) as caught:
        sources.read_folder(stripes, photos.PHOTOS)
    assert str(caught.value) == (
        f"{stripes / 'down'}: the split folders Test and train are inside the class folder; turn the levels round "
        "(Test/down), or give a CSV with the columns path, label and split"
    )
    (stripes / "down" / "Test").rename(stripes / "down" / "tram")  # of one side alone, the name may mean a thing
    assert len(labels(stripes)) == 2 and "(train, tram)" in capsys.readouterr().err


def test_the_sides_of_a_csv_are_read_alike(stripes, tmp_path, capsys):
    rows = [f"{path},{path.parent.name},{side}" for path, side in zip(
        sorted(stripes.rglob("*.jpg")), ["Training", "dev", "hold-out"] * 10, strict=True)]  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]))
    found = sources.read_source(str(tmp_path / "list.csv"), tmp_path, photos.PHOTOS)
    assert collections.Counter(each.split for each in found) == {"train": 10, "validation": 10, "test": 10}
    assert "'dev' as validation and 'hold-out' as test" in capsys.readouterr().err
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]).replace("hold-out", "eval"))
    with pytest.raises(errors.UserError, match="'dev' and 'eval' all mean the validation side"):
        sources.read_source(str(tmp_path / "list.csv"), tmp_path, photos.PHOTOS)


def dicom_classes(folder, patients):
    """Class folders with one DICOM file for each patient of a class."""
    for label, names in patients.items():
        (folder / label).mkdir(parents=True)
        for number, name in enumerate(names):
            content = tiny_dicom.dicom(np.full((9, 9), number, np.uint8), PatientID=name)
            (folder / label / f"{number}.dcm").write_bytes(content)
    return folder


def test_patients_in_dicom_files_are_groups_without_their_names(tmp_path, capsys):
    folder = dicom_classes(tmp_path / "scans", {"ill": ["smith", "smith", "jones"], "well": ["jones", "", "brown"]})
    samples = sources.read_source(str(folder), tmp_path, photos.PHOTOS)
    groups = [sample.group for sample in samples]
    assert groups[0] == groups[1] and groups[2] == groups[3] and groups[4] == "" and len(set(groups)) == 4
    assert not any(name in group for group in groups for name in ("smith", "jones", "brown"))
    assert "5 photos of 6 name 3 patients, who are the groups" in capsys.readouterr().err


def test_given_groups_and_a_single_patient_count_otherwise(tmp_path, capsys):
    folder = dicom_classes(tmp_path / "scans", {"ill": ["anonymous"] * 3, "well": ["anonymous"] * 3})
    assert not any(sample.group for sample in sources.read_source(str(folder), tmp_path, photos.PHOTOS))
    assert "1 patient; one patient is no group" in capsys.readouterr().err
    (folder / "0.csv").write_text("path,label,group\nill/0.dcm,ill,site a\nwell/1.dcm,well,\n")
    samples = sources.read_source(str(folder / "0.csv"), tmp_path, photos.PHOTOS)
    assert [sample.group for sample in samples] == ["site a", ""] and not capsys.readouterr().err
