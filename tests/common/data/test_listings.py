"""CSVs as people have them; the files are empty, since nothing opens them here."""

import pathlib
import random

import helpers
import pytest

from common import errors
from common.data import listings, sample_list
from common.media import clips, photos

pytestmark = pytest.mark.quick

FILES = ("1.jpg", "2.jpg", "sub/3.jpg", "sub/4.png")


@pytest.fixture
def folder(tmp_path):
    """A folder of its own inside another, since files are also looked for beside the CSV's folder."""
    touch(tmp_path / "folder", *FILES)
    return tmp_path / "folder"


def touch(folder, *paths):
    for name in paths:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def read(folder, content, encoding="utf-8"):
    (folder / "a.csv").write_text(content, encoding=encoding)
    return listings.read(folder / "a.csv", photos.PHOTOS)


def names_of(samples, folder):
    return [str(pathlib.Path(sample.path).relative_to(folder)) for sample in samples]


def test_a_plain_csv_is_read_without_a_word(folder, capsys):
    first, second = read(folder, "path,label,group,split\n1.jpg,a,g1,train\nsub/3.jpg,b,,Val\n")
    assert first == sample_list.Sample(str(folder / "1.jpg"), "a", "g1", "train")
    assert second == sample_list.Sample(str(folder / "sub/3.jpg"), "b", "", "validation")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "header",
    ["path,label,Group", "Path,Label,GROUP", "file_name,label,patient_id", "filename,Class,Patient",
     "Image,target,subject", "FILE,category,lesion_id", "image_path,class name,Patient-ID"],
)  # fmt: skip
def test_known_columns_are_used_with_a_line(folder, header, capsys):
    samples = read(folder, f"{header}\n1.jpg,cat,p1\n2.jpg,dog,p2\n")
    assert [(sample.label, sample.group, sample.about) for sample in samples] == [("cat", "p1", {}), ("dog", "p2", {})]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"column '{header.split(',')[2]}' is used as group" in said
    assert said.startswith("data: a.csv: ")


def test_what_is_not_read_is_named_and_kept(folder, capsys):
    first, _ = read(folder, "path,label,site,set,Label\n1.jpg,cat,north,7,x\n2.jpg,dog,south,8,y\n")
    assert first.about == {"site": "north", "set": "7", "Label": "x"} and not first.split and not first.group
    assert capsys.readouterr().err == "data: a.csv: 3 columns are not read: 'site', 'set', 'Label'\n"


def test_a_split_under_another_name(folder, capsys):
    samples = read(folder, "path,label,Set\n1.jpg,cat,train\n2.jpg,dog,TEST\n")
    assert [sample.split for sample in samples] == ["train", "test"]
    assert "column 'Set' is used as split" in capsys.readouterr().err
    with pytest.raises(errors.UserError, match="line 3: split is 'tast'; it must be train, validation or test"):
        read(folder, "path,label,subset\n1.jpg,cat,train\n2.jpg,dog,tast\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label,patient_id,lesion_id\n1.jpg,a,p,l\n", "'patient_id' and 'lesion_id' could all be .* 'group'"),
        ("file_name,image,label\n1.jpg,2.jpg,a\n", "'file_name' and 'image' could all be the column 'path'"),
        ("id,breed\n7,pug\n", "no column path and label; its first line has 'id', 'breed', and must name"),
        ("id,breed,age\n1,pug,30\n2,boxer,40\n", "no column label; its first line has 'id', 'breed', 'age'"),
        ("image,MEL,NV,BCC\n1,1,0,0\n2,0,1,1\n3,0,0,0\n", "line 3: of the columns .*exactly one must be 1, which is "
         "not so in 2 rows; add a column label"),
        ("1.jpg,cat\n2.jpg,dog\n", "its first line is a row already; put the names"),
        ("", "no column path and label; its first line has no names"),
        ("Bild;Bezeichnung;Alter\n1;Hund;30\n2;Katze;40\n;;\n", "no column label; its first line has 'Bild', "
         r"'Bezeichnung', 'Alter', and must name .* \(column 'Bild' names files that are there\); other names that are "
         "known: for label: labels, label_name, class"),
        ("Datei;Klasse\n1.jpg;Hund\n2.jpg;Katze\n9.jpg;Hund\n", "no column path and label; .*'Datei', 'Klasse'.*"
         r"\(column 'Datei' names files that are there, but not in 1 row, such as '9.jpg'\); other.* for path: file, "),
        ("path,label\n1.jpg,\n", "line 2: path or label is empty"),
        ("path,label\n1.jpg,a\n2.jpg,NaN\n1.jpg,nan\n", r"line 3: label is 'NaN', which pandas .*\(2 rows\)"),
        ("path,label\n1.jpg,a\n1.jpg,b\n", "1.jpg is listed more than once"),
        ("path,label\nsub/3.jpg,a\nsub\\3.jpg,b\n", "3.jpg is listed more than once"),
    ],
)  # fmt: skip
def test_what_is_unclear_is_explained(folder, content, message):
    with pytest.raises(errors.UserError, match=message):
        read(folder, content)


def test_two_columns_in_another_language_are_read_if_one_names_files(folder, capsys):
    samples = read(folder, "Datei;Klasse\n1.jpg;Hund\n2.jpg;Katze\n;\n;;;\n")
    assert [sample.label for sample in samples] == ["Hund", "Katze"]
    said = capsys.readouterr().err
    assert "2 rows without any content left out" in said and "column 'Datei' is used as path, column 'Klasse'" in said


def test_files_are_found_that_are_not_there_as_written(folder, capsys):
    touch(folder, "caf\xe9/x.jpg", "big cat.jpg", "a.b.jpg")
    rows = ["1", "sub\\3.jpg", "SUB/4", "cafe\u0301/x.jpg", "big\xa0cat.jpg", "a.b", "sub\\9.jpg", "missing.jpg"]
    samples = read(folder, "path,label\n" + "".join(f"{row},a\n" for row in rows))
    found = ["1.jpg", "sub/3.jpg", "SUB/4", "caf\xe9/x.jpg", "big cat.jpg", "a.b.jpg", "sub\\9.jpg", "missing.jpg"]
    assert names_of(samples, folder) == found
    said = capsys.readouterr().err
    assert "2 paths not there as written, read with the file's ending, such as '1' as '1.jpg'" in said
    assert r"1 path not there as written, read with / for \, such as 'sub\3.jpg' as 'sub/3.jpg'" in said
    assert "2 paths not there as written, read in the file's own spelling" in said and said.count("\n") == 3


def test_columns_of_zeros_and_ones_are_one_label(folder, capsys):
    """As ISIC publishes its diagnoses; columns that name sides are none."""
    rows = "1,1.0,0.0,0.0,1,0\n2,0.0,1.0,0.0,1,0\n1.jpg,0.0,0.0,1.0,0,1\n".replace("1.jpg", "sub/3")
    samples = read(folder, "image,MEL,NV,BCC,is_train,is_test\n" + rows)
    assert [sample.label for sample in samples] == ["MEL", "NV", "BCC"]
    assert names_of(samples, folder) == ["1.jpg", "2.jpg", "sub/3.jpg"]
    said = capsys.readouterr().err
    assert "the label is the one of the columns 'MEL', 'NV' and 'BCC' that is 1" in said
    assert "2 columns are not read: 'is_train', 'is_test'" in said


def test_ids_of_files_in_a_folder_beside(folder, capsys):
    """As in Kaggle's dog breeds."""
    touch(folder, "train/0a1.jpg", "train/0b2.jpg", "test/0c3.jpg")
    samples = read(folder, "id,breed\n0a1,pug\n0b2,boxer\n")
    assert names_of(samples, folder) == ["train/0a1.jpg", "train/0b2.jpg"]
    assert [sample.label for sample in samples] == ["pug", "boxer"]
    said = capsys.readouterr().err
    assert "column 'id' is used as path, column 'breed' is used as label" in said
    assert "2 paths not there as written, read in train/, such as '0a1' as 'train/0a1.jpg'" in said


@pytest.mark.parametrize("before", ["", "/home/ann/photos/", "C:\\photos\\", "photos/"])
def test_files_in_another_folder_are_found_or_told_in_one_line(folder, before, capsys):
    touch(folder, *(f"images/{label}/{number}.jpg" for label in "ab" for number in range(30)))
    rows = [f"{before}{label}/{number}.jpg,{label}\n" for label in "ab" for number in range(30)]
    samples = read(folder, "path,label\n" + "".join(rows))
    assert names_of(samples, folder)[::30] == ["images/a/0.jpg", "images/b/0.jpg"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "60 paths not there as written, read in images/" in said
    (folder / "images/b/7.jpg").unlink()
    with pytest.raises(errors.UserError, match=r"60 of its 60 files are not there .*images/ for .*7\.jpg; correct"):
        read(folder, "path,label\n" + "".join(rows))
    with pytest.raises(errors.UserError, match=r"9 of its 9 files are not there \(x0, x1, x2, …\); paths are relative"):
        read(folder, "path,label\n" + "".join(f"x{number},a\n" for number in range(9)))


def test_nothing_is_guessed_where_two_files_are_meant(folder):
    touch(folder, "1.png", "Cat.jpg", "CAT.jpg")
    assert names_of(read(folder, "path,label\n1,a\ncat.jpg,b\n"), folder) == ["1", "cat.jpg"]


def test_a_table_of_clips(tmp_path):
    touch(tmp_path, "run.mp4", "walk/0.jpg")
    (tmp_path / "a.tsv").write_text("video\tclass\nrun\trun\nwalk\twalk\n")
    samples = listings.read(tmp_path / "a.tsv", clips.Clips())
    assert names_of(samples, tmp_path) == ["run.mp4", "walk"]


# Hugging Face's folders --------------------------------------------------------------------------------------------


def test_a_table_in_each_side_is_read(tmp_path, capsys):
    touch(tmp_path, "train/1.jpg", "train/2.jpg", "test/1.jpg", "test/2.jpg", "test/left/3.jpg")
    for side in ("train", "test"):
        (tmp_path / side / "metadata.csv").write_text("file_name,label\n1.jpg,cat\n2.jpg,dog\n")
    samples = listings.in_folder(tmp_path, photos.PHOTOS)
    assert sorted((sample.split, sample.label) for sample in samples) == [
        ("test", "cat"), ("test", "dog"), ("train", "cat"), ("train", "dog")
    ]  # fmt: skip
    said = capsys.readouterr().err
    assert (
        "column 'file_name' is used as path" in said and "does not list 1 photo" in said and "3.jpg; not read" in said
    )
    touch(tmp_path, "dev/9.jpg")
    with pytest.raises(errors.UserError, match="dev: has no metadata.csv, but .*test has one"):
        listings.in_folder(tmp_path, photos.PHOTOS)


@pytest.mark.parametrize("names", [("train/1.jpg", "test/2.jpg"), ("1.jpg", "2.jpg")])
def test_a_table_beside_the_files_is_read_and_folders_named_like_sides_are_sides(tmp_path, names):
    touch(tmp_path, *names)
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{names[0]},cat\n{names[1]},dog\n")
    samples = listings.in_folder(tmp_path, photos.PHOTOS)
    assert names_of(samples, tmp_path) == list(names)
    assert [sample.split for sample in samples] == (["train", "test"] if "/" in names[0] else ["", ""])


def test_folders_without_such_a_table_are_class_folders(tmp_path, capsys):
    touch(tmp_path, "cat/1.jpg", "dog/2.jpg")
    assert listings.in_folder(tmp_path, photos.PHOTOS) is None and not capsys.readouterr().err
    (tmp_path / "metadata.csv").write_text("file_name,caption\n1.jpg,a cat\n")
    assert listings.in_folder(tmp_path, photos.PHOTOS) is None
    assert "metadata.csv is not read: no column label in 'file_name', 'caption'" in capsys.readouterr().err


def test_mutated_tables_are_read_or_refused_in_one_line(folder):
    chance = random.Random(0)
    plain = 'path,label,group,split\n1.jpg,cat,p1,train\n2.jpg,"dog, big",p2,test\nsub/3.jpg,caf\xe9,,\n'
    originals = [plain.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "cp1252")]
    refused = 0
    for number in range(300):
        content = helpers.mutated(originals[number % 3], chance.choice(originals), chance, 40)
        (folder / "a.csv").write_bytes(content)
        try:
            listings.read(folder / "a.csv", photos.PHOTOS)
        except errors.UserError as error:
            refused += "\n" not in " ".join(str(error).split())
    assert 50 < refused < 300
