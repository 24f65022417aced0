"""Photos with boxes in four formats: what is read, what is checked, and faults that end in one line each."""

import json
import pathlib
import types

import numpy as np
import pytest
from PIL import Image

from common import errors
from common.data import box_annotations, file_checks
from common.data import box_formats as formats
from common.media import photos

pytestmark = pytest.mark.quick
NAMES = ("cat", "dog")
TRUE = [("cat", 0.0, 0.0, 10.0, 20.0), ("dog", 30.0, 5.0, 40.0, 30.0)]  # in a photo of 40 x 30 pixels


def config(folder, **changed):
    settings = {"data": str(folder), "classes": (), "one_class": None, "listing": None, "group_pattern": None,
                "same_names": False, "cache_directory": None, "no_cache": True}  # fmt: skip
    return types.SimpleNamespace(**settings | changed)


def read(folder, **changed):
    return box_annotations.read(config(folder, **changed), photos.PHOTOS)


def photo(folder, stem, size=(40, 30)):
    (folder / "photos").mkdir(exist_ok=True, parents=True)
    pixels = np.random.default_rng([*stem.encode()]).integers(0, 255, (size[1], size[0], 3), "uint8")
    Image.fromarray(pixels).save(folder / "photos" / f"{stem}.png")


def voc(stem, boxes=TRUE, size=(40, 30), shift=1):
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{left + shift:g}</xmin><ymin>{top + shift:g}</ymin>"
        f"<xmax>{right - 1 + shift:g}</xmax><ymax>{bottom - 1 + shift:g}</ymax></bndbox></object>"
        for label, left, top, right, bottom in boxes
    )
    return (
        f"<annotation><filename>{stem}.png</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"{objects}</annotation>"
    )


def pascal(stem):
    lines = "\n".join(
        f'Bounding box for object {number} "{label}" (Xmin, Ymin) - (Xmax, Ymax) : ({left + 1:g}, {top + 1:g}) - '
        f"({right:g}, {bottom:g})"
        for number, (label, left, top, right, bottom) in enumerate(TRUE, start=1)
    )
    return (
        f'# Compatible with PASCAL Annotation Version 1.00\nImage filename : "photos/{stem}.png"\n'
        f"Image size (X x Y x C) : 40 x 30 x 3\nObjects with ground truth : 2 {{ }}\n{lines}\n"
    )


def yolo():
    return "\n".join(
        f"{NAMES.index(label)} {(left + right) / 80} {(top + bottom) / 60} {(right - left) / 40} {(bottom - top) / 30}"
        for label, left, top, right, bottom in TRUE
    )


def coco(stems, **changed):
    listed = [
        {"id": 10 * photo + number, "image_id": photo, "category_id": NAMES.index(label) + 5,
         "bbox": [left, top, right - left, bottom - top]}
        for photo in range(len(stems)) for number, (label, left, top, right, bottom) in enumerate(TRUE)
    ]  # fmt: skip
    images = [
        {"id": number, "file_name": f"{stem}.png", "width": 40, "height": 30} for number, stem in enumerate(stems)
    ]
    categories = [{"id": number + 5, "name": name} for number, name in enumerate(NAMES)]
    return {"images": images, "annotations": listed, "categories": categories} | changed


def write(folder, stem, text, kind="xml"):
    (folder / "annotations").mkdir(exist_ok=True, parents=True)
    (folder / "annotations" / f"{stem}.{kind}").write_text(text)


def of_format(folder, kind, stems=("a", "b")):
    for stem in stems:
        photo(folder, stem)
        if kind != "coco":
            text, ending = {"voc": (voc(stem), "xml"), "pascal": (pascal(stem), "txt"), "yolo": (yolo(), "txt")}[kind]
            write(folder, stem, text, ending)
    if kind == "coco":
        write(folder, "instances", json.dumps(coco(stems)), "json")
    if kind == "yolo":
        (folder / "data.yaml").write_text("train: x\nnames:\n  0: cat\n  1: 'dog'\nnc: 2\n")


def edges(sample):
    return [(box.label, *box.edges) for box in box_annotations.boxes_of(sample)]


@pytest.mark.parametrize("kind", ["voc", "pascal", "yolo", "coco"])
def test_the_same_boxes_come_from_every_format(tmp_path, kind):
    of_format(tmp_path, kind)
    found = read(tmp_path)
    assert not found.problems and [pathlib.Path(sample.path).stem for sample in found.samples] == ["a", "b"]
    for sample in found.samples:
        assert [label for label, *_ in edges(sample)] == ["cat", "dog"] and sample.label == "cat+dog"
        assert np.allclose([box[1:] for box in edges(sample)], [box[1:] for box in TRUE], atol=0.01)
        assert box_annotations.size_of(sample) == (40, 30)


def test_pixels_that_are_counted_from_0_are_found_and_told(tmp_path, capsys):
    for stem in "ab":
        photo(tmp_path, stem)
        write(tmp_path, stem, voc(stem, shift=0))
    assert edges(read(tmp_path).samples[0]) == TRUE
    assert "pixels are counted from 0, since a.xml has a box that begins at 0" in capsys.readouterr().err


def test_boxes_of_polygons_and_of_run_lengths(tmp_path):
    photo(tmp_path, "a")
    mask = np.zeros((30, 40), "uint8")
    mask[5:30, 30:40] = 1
    runs = [int(run) for run in np.diff(np.flatnonzero(np.diff(np.concatenate([[2], mask.T.ravel(), [2]]))))]
    shapes = [[[0, 0, 10, 0, 10, 20, 0, 20]], {"size": [30, 40], "counts": runs}]
    listed = [{"id": number, "image_id": 0, "category_id": number + 5, "segmentation": shape}
              for number, shape in enumerate(shapes)]  # fmt: skip
    crowd = {"id": 9, "image_id": 0, "category_id": 5, "bbox": [0, 0, 40, 30], "iscrowd": 1}
    write(tmp_path, "a_list", json.dumps(coco(["a"], annotations=[*listed, crowd])), "json")
    assert edges(read(tmp_path).samples[0]) == TRUE


def test_yolo_polygons_and_numbers_as_names(tmp_path, capsys):
    photo(tmp_path, "a")
    write(tmp_path, "a", "1 0.25 0.1 0.75 0.1 0.5 0.9\n\n", "txt")
    photo(tmp_path, "b")
    write(tmp_path, "b", "", "txt")
    one, empty = read(tmp_path).samples
    assert edges(one) == [("1", 10.0, 3.0, 30.0, 27.0)] and edges(empty) == [] and empty.label == "nothing"
    assert "the classes have numbers as names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cat, 'dog']", {0: "cat", 1: "dog"}),
        ("names:\n- cat\n- dog\nx: 1", {0: "cat", 1: "dog"}),
        ("names: {1: cat, 2: dog}", {1: "cat", 2: "dog"}),
        ("names:\n  1: cat  # small\n\n  # large\n  0: dog\n", {0: "dog", 1: "cat"}),
        ("names: [\n  'cat, tabby',\n  no,\n]", {0: "cat, tabby", 1: "no"}),
    ],
)
def test_names_of_yolo_keep_their_numbers(tmp_path, text, names):
    (tmp_path / "data.yaml").write_text(text)
    assert formats.yolo_names(tmp_path) == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: cat", "names in data.yaml is neither"),
        ("names: [cat, [dog]]", "names in data.yaml is neither"),
        ("names: {cat: 0}", "names in data.yaml is neither"),
        ("names:\n", "names in data.yaml is neither"),
        ("x: 1\nnames: [cat", "data.yaml, line 2 is not YAML"),
    ],
)
def test_names_that_are_not_understood_are_refused(tmp_path, text, told):
    of_format(tmp_path, "yolo")
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(errors.UserError, match=told):
        read(tmp_path)


@pytest.mark.parametrize("other", ["data.yaml", "classes.txt"])
def test_key_points_are_not_read_as_polygons(tmp_path, other):
    of_format(tmp_path, "yolo")
    (tmp_path / other).write_text("names: [cat, dog]\n")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\nkpt_shape: [2, 2]\n")
    with pytest.raises(errors.UserError, match="one of poses: data.yaml has kpt_shape"):
        read(tmp_path)


def test_an_empty_line_in_a_list_of_names_counts(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    assert formats.yolo_names(tmp_path) == {0: "cat", 2: "dog"}


# Checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        (("cat", 5, 5, 5, 20), "box 1 (cat) at 6, 6, 5, 20 has no size"),
        (("cat", 35, 5, 50, 20), "box 1 (cat) at 36, 6, 50, 20 is outside of the photo of 40 x 30 pixels"),
        (("cat", 60, 5, 70, 20), "outside of the photo"),
    ],
)
def test_a_box_without_size_or_outside_is_a_fault_of_its_photo(tmp_path, box, fault):
    for stem in "ab":
        photo(tmp_path, stem)
    write(tmp_path, "a", voc("a", [box]))
    write(tmp_path, "b", voc("b"))
    found = read(tmp_path)
    (problem,) = found.problems
    assert problem.path.endswith("a.png") and problem.reason.startswith("annotations/a.xml: ")
    assert fault in problem.reason and len(found.samples) == 1


def test_edges_a_pixel_outside_are_clipped_and_repeated_boxes_count_once(tmp_path, capsys):
    photo(tmp_path, "a")
    write(tmp_path, "a", voc("a", [("cat", 20, 10, 41, 31), ("dog", 1, 1, 9, 9), ("dog", 1, 1, 9, 9)]))
    assert edges(read(tmp_path).samples[0]) == [("cat", 20, 10, 40, 30), ("dog", 1, 1, 9, 9)]
    told = capsys.readouterr().err
    assert "1 box at most 2 pixels outside of the photo and clipped" in told and "1 box listed twice" in told


def test_a_photo_without_annotation_and_the_reverse(tmp_path):
    for stem in "abc":
        photo(tmp_path, stem)
    for stem in "bcd":
        write(tmp_path, stem, voc(stem))
    write(tmp_path, "c", yolo(), "txt")
    told = {pathlib.Path(problem.path).name: problem.reason for problem in read(tmp_path).problems}
    assert told["a.png"].startswith("no annotation") and told["d.xml"].startswith("no photo: it annotates d.png")
    assert told["c.png"].startswith("annotated twice: in c.txt and c.xml") and len(told) == 3


@pytest.mark.parametrize("order", ["images/{0}|labels/{0}", "{0}/images|{0}/labels"])
def test_photos_of_one_name_in_several_folders_have_the_labels_of_their_folder(tmp_path, order):
    for number, side in enumerate(("train", "val")):
        photos_in, labels_in = (tmp_path / part.format(side) for part in order.split("|"))
        photo(tmp_path, side)
        for folder in (photos_in, labels_in):
            folder.mkdir(parents=True)
        (tmp_path / "photos" / f"{side}.png").rename(photos_in / "1.png")
        (labels_in / "1.txt").write_text(yolo().splitlines()[number])
    (tmp_path / "photos").rmdir()
    found = read(tmp_path)
    assert not found.problems
    assert [edges(sample)[0][0] for sample in found.samples if "train" in sample.path] == ["0"]
    assert [edges(sample)[0][0] for sample in found.samples if "val" in sample.path] == ["1"]


def test_an_annotation_of_a_photo_of_another_size_is_a_fault(tmp_path):
    photo(tmp_path, "a", (80, 60))
    write(tmp_path, "a", voc("a"))
    (problem,) = read(tmp_path).problems
    assert problem.reason == "another size: a.xml is of a photo of 40 x 30 pixels, and this has 80 x 60"


def test_classes_to_keep_and_unknown_ones(tmp_path, capsys):
    of_format(tmp_path, "voc")
    samples = read(tmp_path, classes=("dog",)).samples
    assert [edges(sample) for sample in samples] == [
        TRUE[1:]
    ] * 2 and "boxes of cat left out" in capsys.readouterr().err
    samples = read(tmp_path, one_class="animal").samples
    assert [edges(sample) for sample in samples] == [[("animal", *box[1:]) for box in TRUE]] * 2
    assert "boxes of cat and dog are all animal" in capsys.readouterr().err
    with pytest.raises(errors.UserError, match="--classes: no box of cow; there are cat and dog"):
        read(tmp_path, classes=("cow",))


def test_groups_and_sides_of_a_listing(tmp_path):
    of_format(tmp_path, "voc")
    (tmp_path / "groups.csv").write_text("path,group\nphotos/a.png,slide1\nphotos/b.png,slide2\n")
    assert [sample.group for sample in read(tmp_path).samples] == ["slide1", "slide2"]
    (tmp_path / "sides.csv").write_text("path,split\na.png,train\nb.png,test\n")
    assert [sample.split for sample in read(tmp_path, listing=tmp_path / "sides.csv").samples] == ["train", "test"]
    (tmp_path / "sides.csv").write_text("path,split\na.png,train\n")
    with pytest.raises(errors.UserError, match=r"does not list .*b\.png; give all photos a side"):
        read(tmp_path, listing=tmp_path / "sides.csv")


def listed(folder, text):
    (folder / "groups.csv").write_text("path,group\n" + text)
    return {pathlib.Path(sample.path).name: sample.group for sample in read(folder).samples}


def test_rows_without_a_photo_and_photos_without_a_row_are_counted(tmp_path, capsys):
    of_format(tmp_path, "voc", ("a", "b", "c"))
    assert listed(tmp_path, "a.png,s1\ngone.png,s1\n") == {"a.png": "s1", "b.png": "", "c.png": ""}
    told = capsys.readouterr().err
    assert "1 row of groups.csv left alone, since there is no such photo: gone.png" in told
    assert "2 photos not in groups.csv, each a group of its own: b.png, c.png" in told


def test_a_photo_that_is_listed_twice_has_one_group(tmp_path):
    of_format(tmp_path, "voc")
    assert listed(tmp_path, "photos/a.png,s1\nphotos/a.png,s1\nb.png,s2\n") == {"a.png": "s1", "b.png": "s2"}
    with pytest.raises(errors.UserError, match=r"groups\.csv, line 3: .*a\.png is listed twice, with another group"):
        listed(tmp_path, "photos/a.png,s1\nphotos/a.png,s2\n")


def test_frames_of_one_video_are_a_group_whatever_is_in_them(tmp_path, capsys):
    for video in range(6):
        for frame in range(2):
            photo(tmp_path, stem := f"clip{video}_frame{frame:03}")
            write(tmp_path, stem, voc(stem, TRUE[: 1 + (video == 0)]))  # dogs in one video only
    assert [sample.group for sample in read(tmp_path).samples[::2]] == [f"clip{video}" for video in range(6)]
    assert "the names look like 12 frames of 6 videos" in capsys.readouterr().err
    assert read(tmp_path, group_pattern=r"^clip(\d)").samples[-1].group == "5"


def test_the_name_alone_counts_only_where_one_row_has_it(tmp_path, capsys):
    of_format(tmp_path, "voc")
    text = "slideA/a.png,s1\nphotos/a.png,s2\nx/b.png,s1\ny/b.png,s2\n"
    assert listed(tmp_path, text) == {"a.png": "s2", "b.png": ""}
    assert "3 rows of groups.csv left alone, since there is no such photo: slideA/a.png" in capsys.readouterr().err


def test_a_folder_without_photos_or_annotations_is_told(tmp_path):
    with pytest.raises(errors.UserError, match="no photos in it"):
        read(tmp_path)
    photo(tmp_path, "a")
    with pytest.raises(errors.UserError, match="no annotations beside the 1 photos"):
        read(tmp_path)
    with pytest.raises(errors.UserError, match="no such folder"):
        read(tmp_path / "x")


def mutated(text, number):
    """The text with a fault that a crashed tool, a bad edit or a broken copy leaves."""
    random = np.random.default_rng(number)
    place = int(random.integers(1, len(text)))
    kind = number % 6
    if kind == 0:
        return text[:place]
    if kind == 1:
        digits = [at for at, letter in enumerate(text) if letter.isdigit()]
        at = digits[int(random.integers(len(digits)))]
        return text[:at] + "x" + text[at + 1 :]
    if kind == 2:
        return text[:place] + "\x00\x01" + text[place:]
    if kind == 3:
        return text.replace("5", "-999999", 1).replace("1", "nan", 3)
    if kind == 4:
        return text[place:]
    return text[:place] + text[place // 2 : place] + "<" + text[place:]


@pytest.mark.parametrize("kind", ["voc", "pascal", "yolo", "coco"])
def test_sixty_broken_annotations_end_in_one_line_each(tmp_path, kind):
    """Each is refused in one line that names it, or is still sound; none stops the reading of the others."""
    of_format(tmp_path, "voc", ("good",))
    refused = 0
    whole = {"voc": voc("z"), "pascal": pascal("z"), "yolo": yolo(), "coco": json.dumps(coco(["z"]))}[kind]
    ending = {"voc": "xml", "coco": "json"}.get(kind, "txt")
    photo(tmp_path, "z")
    if kind == "yolo":
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for number in range(15):
        write(tmp_path, "z", mutated(whole, number), ending)
        found = read(tmp_path)
        assert any(sample.path.endswith("good.png") for sample in found.samples)
        for problem in found.problems:
            assert "\n" not in problem.reason and len(problem.reason) < 300 and pathlib.Path(problem.path).exists()
        about_z = [problem for problem in found.problems if pathlib.Path(problem.path).stem == "z"]
        sound = [sample for sample in found.samples if sample.path.endswith("z.png")]
        assert bool(about_z) != bool(sound)
        for sample in sound:
            for _, left, top, right, bottom in edges(sample):
                assert 0 <= left < right <= 40 and 0 <= top < bottom <= 30
        refused += bool(about_z)
    assert refused >= 10


def test_a_run_stops_at_a_fault_or_leaves_the_photo_out(tmp_path):
    problem = file_checks.Problem("a.png", "", "annotations/a.xml: box 1 (cat) at 6, 6, 5, 20 has no size")
    with pytest.raises(errors.UserError, match=r"1 of 2 photos cannot be used: a\.png .*--skip-bad"):
        file_checks.leave_out([problem], 2, False, None)


def test_real_blood_cells_have_two_boxes_without_size(real_data):
    found = read(real_data / "blood_cells")
    told = sorted(problem.reason for problem in found.problems)
    assert [line.split(":")[0] for line in told] == [
        "annotations/BloodImage_00338.xml", "annotations/BloodImage_00343.xml"
    ]  # fmt: skip
    assert all("has no size" in line for line in told)
    assert len(found.samples) == 362 and len({sample.group for sample in found.samples}) == 333


def test_real_pedestrians_have_423_boxes(real_data):
    found = read(real_data / "pedestrians")
    assert not found.problems and sum(len(box_annotations.boxes_of(sample)) for sample in found.samples) == 423
    (first,) = (sample for sample in found.samples if sample.path.endswith("FudanPed00001.jpg"))
    assert edges(first)[0] == ("PASpersonWalking", 137.0, 155.0, 259.0, 370.0)
