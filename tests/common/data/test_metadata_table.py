import csv

import numpy as np
import pytest
from PIL import Image

from common import errors
from common.data import metadata_table, sources
from common.media import photos

pytestmark = pytest.mark.quick

HEADER = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
ROWS = [
    ["L1", "a1", "nv", "follow_up", "45.0", "female", "back"],
    ["L1", "a2", "nv", "follow_up", "45.0", "female", "back"],
    ["L2", "b1", "mel", "histo", "", "male", ""],
    ["L3", "c1", "bkl", "histo", "80", "", "face"],
]


@pytest.fixture
def folder(tmp_path):
    """Four pictures of three lesions, in two folders, and no table yet."""
    for name in ("part_1/a1.jpg", "part_1/a2.jpg", "part_2/b1.jpg", "part_2/c1.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), len(name) * 9, "uint8")).save(path)
    return tmp_path


def write(folder, rows, header=HEADER, encoding="utf-8", newline="\n"):
    with open(folder / "metadata.csv", "w", newline="", encoding=encoding) as file:
        csv.writer(file, lineterminator=newline).writerows([header, *rows])


def test_pictures_are_found_by_name_and_described(folder):
    write(folder, ROWS)
    table = metadata_table.read(folder)
    assert not table.problems
    assert [(sample.label, sample.group, sample.split) for sample in table.samples] == [
        ("nv", "L1", ""), ("nv", "L1", ""), ("mel", "L2", ""), ("bkl", "L3", "")
    ]  # fmt: skip
    assert table.samples[3].path == str(folder / "part_2" / "c1.png")
    assert table.about[table.samples[0].path] == metadata_table.About("L1", 45.0, "female", "back")
    assert table.about[table.samples[2].path] == metadata_table.About("L2", None, "male", "unknown")


def test_what_is_unknown_is_said(folder, capsys):
    write(folder, [*ROWS[:2], ["", "b1", "mel", "", "nan", "male", "ear"], ROWS[3]])
    metadata_table.read(folder)
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and "1 column is not read: 'dx_type'" in said
    assert "4 pictures, 1 without lesion, 1 without age, 1 without sex; a picture without a lesion counts as" in said


def test_other_names_of_columns_and_files_with_endings(folder):
    header = ["isic_id", "diagnosis", "patient_id"]
    write(
        folder,
        [["a1.jpg", "nevus", "p"], ["a2.JPG", "nevus", "p"], ["b1", "melanoma", "q"], ["c1", "other", "r"]],
        header,
    )
    columns = metadata_table.Columns(image="isic_id", label="diagnosis", group="patient_id")
    table = metadata_table.read(folder, columns)
    assert [sample.label for sample in table.samples] == ["nevus", "nevus", "melanoma", "other"]
    assert table.about[table.samples[0].path] == metadata_table.About("p")


def test_a_patient_is_a_wider_group_than_a_lesion(folder, capsys):
    """The lesions stay what the evaluation counts; a picture without a patient goes by its lesion."""
    rows = [[*row, patient] for row, patient in zip(ROWS, ["P1", "", "P1", ""], strict=True)]
    for name, header in (("patient_id", HEADER), ("Subject", ["lesion", *HEADER[1:]])):
        write(folder, rows, [*header, name])
        table = metadata_table.read(folder)
        assert [sample.group for sample in table.samples] == ["patient P1", "patient P1", "patient P1", "L3"]
        assert [table.about[sample.path].lesion for sample in table.samples] == ["L1", "L1", "L2", "L3"]
        said = capsys.readouterr().err
        assert "all pictures of a patient stay on one side (1 patient with 3 lesions); 1 picture without a pat" in said
    write(folder, [[*row, patient] for row, patient in zip(ROWS, "abcd", strict=True)], [*HEADER, "patient_id"])
    with pytest.raises(errors.UserError, match="line 3: lesion L1 belongs to two patients, a and b; correct it"):
        metadata_table.read(folder)


def test_a_column_for_each_diagnosis(folder, capsys):
    rows = [["a1", "L1", "1.0", "0.0", "0"], ["a2", "L1", "1.0", "0.0", "0"], ["b1", "L2", "0.0", "1.0", "0"],
            ["c1", "L3", "0.0", "0.0", "1"]]  # fmt: skip
    write(folder, rows, ["image", "lesion_id", "NV", "MEL", "BKL"])
    assert [sample.label for sample in metadata_table.read(folder).samples] == ["NV", "NV", "MEL", "BKL"]
    assert "the label is the one of the columns 'NV', 'MEL' and 'BKL' that is 1" in capsys.readouterr().err


def test_dx_type_is_not_read(folder):
    write(folder, ROWS)
    with_it = metadata_table.read(folder)
    write(folder, [[*row[:3], "something else", *row[4:]] for row in ROWS])
    assert metadata_table.read(folder) == with_it


def test_the_official_split_is_kept(folder):
    write(
        folder,
        [[*row, split] for row, split in zip(ROWS, ["train", "Train", "test", "val"], strict=True)],
        [*HEADER, "split"],
    )
    assert [sample.split for sample in metadata_table.read(folder).samples] == ["train", "train", "test", "validation"]


@pytest.mark.parametrize("missing", ["image_id", "dx", "lesion_id"])
def test_a_missing_column_is_named(folder, missing):
    write(folder, ROWS, [missing.upper() + "_x" if name == missing else name for name in HEADER])
    flag = {"image_id": "--image-column", "dx": "--label-column", "lesion_id": "--group-column"}[missing]
    with pytest.raises(errors.UserError, match=f"no column '{missing}'.*it has .*{flag}"):
        metadata_table.read(folder)


@pytest.mark.parametrize("column", ["age", "sex", "localization"])
def test_what_is_known_of_the_patient_may_be_missing(folder, column):
    place = HEADER.index(column)
    write(folder, [row[:place] + row[place + 1 :] for row in ROWS], HEADER[:place] + HEADER[place + 1 :])
    assert len(metadata_table.read(folder).samples) == 4


def test_another_encoding_is_read_with_a_note(folder, capsys):
    write(folder, [*ROWS[:2], ["L2", "b1", "mel", "histo", "50", "männlich", "rücken"], ROWS[3]], encoding="cp1252")
    table = metadata_table.read(folder)
    assert table.about[table.samples[2].path] == metadata_table.About("L2", 50.0, "männlich", "rücken")
    assert "metadata.csv: not UTF-8 in 1 line, such as 4: read as Windows-1252" in capsys.readouterr().err


def test_utf_8_with_a_mark_and_windows_lines_is_read(folder):
    write(folder, ROWS, encoding="utf-8-sig", newline="\r\n")
    assert len(metadata_table.read(folder).samples) == 4


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_delimiters_and_utf_16_are_read(folder, mark):
    write(folder, ROWS)
    with_commas = metadata_table.read(folder)
    content = "\n".join(mark.join(row) for row in [HEADER, *ROWS])
    (folder / "metadata.csv").write_text(content, encoding="utf-16")
    assert metadata_table.read(folder) == with_commas


def test_columns_with_other_names_are_used_and_named(folder, capsys):
    header = ["Patient ID", "isic_id", "diagnosis", "note", "age_approx", "gender", "site", "set"]
    sides = ["train", "train", "test", "test"]
    write(folder, [[*row, side] for row, side in zip(ROWS, sides, strict=True)], header)
    table = metadata_table.read(folder)
    assert [sample.group for sample in table.samples] == ["L1", "L1", "L2", "L3"]
    assert [sample.split for sample in table.samples] == sides
    assert table.about[table.samples[0].path] == metadata_table.About("L1", 45.0, "female", "back")
    said = capsys.readouterr().err
    assert "column 'Patient ID' is used as group" in said and "column 'isic_id' is used as image" in said
    assert "1 column is not read: 'note'" in said
    with pytest.raises(errors.UserError, match="no column 'mole'"):  # what a flag names is not replaced
        metadata_table.read(folder, metadata_table.Columns(group="mole"))


def test_two_columns_for_one_role_are_refused(folder):
    write(folder, ROWS, ["patient_id", "image_id", "dx", "subject", "age", "sex", "localization"])
    with pytest.raises(
        errors.UserError, match="columns 'patient_id' and 'subject' could all be the column 'lesion_id'"
    ):
        metadata_table.read(folder)


def test_images_are_found_under_names_that_only_look_alike(folder):
    rows = [[row[0], f"part_1\\{row[1].upper()}.JPG", *row[2:]] for row in ROWS]
    write(folder, rows)
    table = metadata_table.read(folder)
    assert [sample.path for sample in table.samples][:1] == [str(folder / "part_1" / "a1.jpg")]
    assert len(table.samples) == 4 and not table.problems


def test_diagnoses_and_lesions_that_only_look_alike_are_joined_when_asked(folder):
    rows = [["l1 ", "a1", "NV", *ROWS[0][3:]], ROWS[1], ROWS[2], ["UNK", "c1", "unknown", *ROWS[3][3:]]]
    write(folder, rows)
    with pytest.raises(errors.UserError, match=r"'NV' \(1\) and 'nv' \(1\).*--same-names"):
        metadata_table.read(folder)
    table = metadata_table.read(folder, same_names=True)
    assert [sample.label for sample in table.samples] == ["nv", "nv", "mel"]
    assert len({sample.group for sample in table.samples[:2]}) == 1 and "no diagnosis" in table.problems[0].reason
    assert {table.about[sample.path].lesion for sample in table.samples[:2]} == {table.samples[0].group}


def test_an_empty_table_is_refused(folder):
    write(folder, [])
    with pytest.raises(errors.UserError, match="no rows"):
        metadata_table.read(folder)


def test_an_image_named_twice_is_refused(folder):
    write(folder, [*ROWS, ["L9", "a1.jpg", "mel", "", "", "", ""]])
    with pytest.raises(errors.UserError, match="image 'a1' is listed in line 2 and in line 6; keep one"):
        metadata_table.read(folder)


def test_two_files_of_one_name_are_refused(folder):
    write(folder, ROWS)
    (folder / "part_2" / "a1.png").write_bytes((folder / "part_2" / "c1.png").read_bytes())
    with pytest.raises(errors.UserError, match="same name"):
        metadata_table.read(folder)


def test_a_table_for_other_images_is_refused(folder):
    write(folder, [["L1", "z1", "nv", "", "", "", ""]])
    with pytest.raises(errors.UserError, match="none of its 1 images"):
        metadata_table.read(folder)


def test_a_strange_split_is_refused(folder):
    write(folder, [[*row, "public"] for row in ROWS], [*HEADER, "split"])
    with pytest.raises(errors.UserError, match="line 2: split is 'public'"):
        metadata_table.read(folder)


@pytest.mark.parametrize(
    "row, reason",
    [
        (["L2", "b1", "mell", "", "50", "", ""], "line 4: unknown diagnosis 'mell'; did you mean mel"),
        (["L2", "b1", "", "", "50", "", ""], "line 4: no diagnosis"),
        (["L2", "b1", "UNK", "", "50", "", ""], "line 4: no diagnosis"),
        (["L2", "b2", "mel", "", "50", "", ""], "line 4: no image: there is no file named 'b2'"),
        (["L2", "b1", "mel", "", "fifty", "", ""], "line 4: not an age: 'fifty'"),
        (["L2", "b1", "mel", "", "-5", "", ""], "line 4: not an age: '-5'"),
        (["L2", "b1", "mel", "", "1970", "", ""], "line 4: not an age: '1970'"),
        (["L1", "b1", "mel", "", "50", "", ""], "line 4: two diagnoses: lesion L1 is mel and nv"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_problem(folder, row, reason):
    write(folder, [*ROWS[:2], row, ROWS[3]])
    table = metadata_table.read(folder)
    assert any(reason in problem.reason for problem in table.problems), table.problems
    assert all(sample.path not in {problem.path for problem in table.problems} for sample in table.samples)


def test_an_image_without_a_row_is_a_problem(folder):
    write(folder, ROWS[:3])
    (problem,) = metadata_table.read(folder).problems
    assert problem.path.endswith("c1.png") and problem.reason.startswith("no row")


def test_a_folder_without_a_table_and_without_classes_is_explained(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(errors.UserError, match="or give a folder with images and a metadata.csv"):
            metadata_table.load(str(source), tmp_path)
    (folder / "part_1" / "metadata.csv").touch()
    with pytest.raises(errors.UserError, match="at least two class folders.*metadata.csv, use the recipe"):
        sources.read_folder(folder / "part_1", photos.PHOTOS)


def test_a_group_of_other_sources_is_a_lesion(tmp_path, stripes, capsys):
    table = metadata_table.load(str(stripes), tmp_path)
    assert len(table.samples) == 30 and set(table.about.values()) == {metadata_table.About()}
    assert "it is unknown which pictures show the same lesion" in capsys.readouterr().err


@pytest.mark.parametrize(
    "age, band",
    [(None, "unknown"), (0, "under 30"), (29, "under 30"), (30, "30 to 44"), (74, "60 to 74"), (75, "75 and over")],
)
def test_age_bands(age, band):
    assert metadata_table.age_band(age) == band


def test_ham10000_is_read_whole(real_data):
    table = metadata_table.read(real_data / "ham10000")
    assert len(table.samples) == 10015 and not table.problems
    assert len({sample.group for sample in table.samples}) == 7470


def test_frames_by_name_are_lesions_of_data_without_a_table(stripes, tmp_path, capsys):
    """As in the other recipes for photos; the number that is told is that of the groups."""
    for label in ("across", "down"):
        for number, path in enumerate(sorted((stripes / label).iterdir())):
            path.rename(path.with_name(f"{label}{number // 2}_frame{number % 2}.jpg"))
    table = metadata_table.load(str(stripes), tmp_path)
    lesions = {about.lesion for about in table.about.values()}
    assert len(lesions) == 16 and "30 frames of 16 videos" in (said := capsys.readouterr().err)
    assert "is kept on one side" in said and "lesion of its own" not in said


def test_lesions_in_names_are_for_data_without_a_table(stripes, tmp_path, capsys):
    table = metadata_table.load(str(stripes), tmp_path, pattern=r"^(\d)")
    assert {about.lesion for about in table.about.values()} == {"0", "1"}
    assert capsys.readouterr().err == "data: --group-pattern finds 2 groups in 30 photos\n"
    with pytest.raises(errors.UserError, match=r"metadata.csv of --data demo gives the lesions; remove the option"):
        metadata_table.load("demo", tmp_path, pattern=r"^(\d)")
