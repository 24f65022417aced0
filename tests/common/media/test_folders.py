import collections
import os
import pathlib

import litter
import pytest

from common import errors
from common.media import folders

pytestmark = pytest.mark.quick


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(walk, folder):
    """The files that a walk finds, below a folder."""
    return sorted(str(path.relative_to(folder)) for _, files in walk.below(folder) for path in files)


def test_litter_is_left_alone_at_every_level_and_said(tmp_path, capsys):
    touch(tmp_path / "cats" / "a.jpg", tmp_path / "cats" / "day" / "b.jpg")
    found = collections.Counter()
    for place in (tmp_path / "cats", tmp_path / "cats" / "day"):
        hidden_folders, hidden_files, links = litter.scatter(place, next(place.glob("*.jpg")))
        found.update(folder=hidden_folders, file=hidden_files, link=links)
    walk = folders.Walk(tmp_path)
    assert names(walk, tmp_path / "cats") == ["a.jpg", "day/b.jpg"]
    walk.tell()
    assert capsys.readouterr().err == (
        f"data: left alone: {found['folder']} hidden or system folders ($RECYCLE.BIN, .Trash-1000, .git, …), "
        f"{found['file']} hidden or system files (.DS_Store, ._a.jpg, ._b.jpg, …), "
        f"{found['link']} links to folders that are read anyway (cats/again, cats/day/again, cats/day/once_more, …)\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "@Recently-Snapshot", "@sharebin", "@tmp", "~snapshot", "#recycle", "Network Trash Folder", "Temporary Items",
        "Recycle Bin", "Papierkorb", "_gsdata_", "found.000", "WPSystem", "Previews.lrdata", "Photos.photoslibrary",
        "venv", "node_modules", "wandb", "mlruns", "lightning_logs",
    ],
)  # fmt: skip
def test_folders_of_disks_clouds_and_tools_are_left_alone(tmp_path, capsys, name):
    touch(tmp_path / "cats" / "a.jpg", tmp_path / "cats" / name / "b.jpg", tmp_path / name / "c.jpg")
    walk = folders.Walk(tmp_path)
    assert names(walk, tmp_path) == ["cats/a.jpg"]
    walk.tell()
    assert capsys.readouterr().err == f"data: left alone: 2 hidden or system folders ({name})\n"


def test_files_of_systems_are_left_alone(tmp_path):
    litter_files = ("Folder.jpg", "AlbumArtSmall.jpg", "AlbumArt_{1}_Large.jpg", "~$report.docx")
    kept = ("album.jpg", "albumart.txt", "folder2.jpg", "found.0001", "lrdata", "venv2")
    touch(*(tmp_path / name for name in (*litter_files, *kept)))
    walk = folders.Walk(tmp_path)
    assert names(walk, tmp_path) == sorted(kept)
    assert {path.name for path in walk.hidden_files} == set(litter_files)


def test_folders_that_may_not_be_meant_are_read_and_named(tmp_path, capsys):
    touch(tmp_path / "cats" / "a.jpg", tmp_path / "cats" / "Thumbs" / "a.jpg", tmp_path / "labels" / "b.jpg")
    walk = folders.Walk(tmp_path)
    assert names(walk, tmp_path) == ["cats/Thumbs/a.jpg", "cats/a.jpg", "labels/b.jpg"]
    walk.tell()
    assert capsys.readouterr().err == (
        "data: read like all others: 2 folders that may not be meant (cats/Thumbs, labels); "
        "move away what is not part of the data\n"
    )
    assert folders.Walk(tmp_path / "labels").listed(tmp_path / "labels")[1]  # a name that the user gives is meant


def test_a_hidden_root_is_entered(tmp_path):
    touch(tmp_path / ".data" / "cats" / "a.jpg")
    assert names(folders.Walk(tmp_path / ".data"), tmp_path / ".data") == ["cats/a.jpg"]


def test_links_to_other_places_are_followed_once(tmp_path):
    root, disk = tmp_path / "photos", tmp_path / "disk"
    touch(root / "cats" / "a.jpg", root / "dogs" / "c.jpg", disk / "b.jpg", root / ".store" / "d.jpg")
    (root / "cats" / "linked").symlink_to(disk)
    (root / "cats" / "linked_again").symlink_to(disk)
    (disk / "back").symlink_to(root)
    (disk / "self").symlink_to(disk)
    (root / "cats" / "other_class").symlink_to(root / "dogs")
    (root / "cats" / "stored").symlink_to(root / ".store")  # which is not read otherwise
    walk = folders.Walk(root)
    assert names(walk, root / "cats") == ["a.jpg", "linked/b.jpg", "stored/d.jpg"]
    assert {path.name for path in walk.links} == {"linked_again", "back", "self", "other_class"}


def test_a_link_to_itself_or_to_nothing_is_a_file(tmp_path):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    assert names(folders.Walk(tmp_path), tmp_path) == ["gone.jpg", "loop.jpg"]  # the scan says what is wrong


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(errors.UserError, match=f"{tmp_path}: cannot be listed: Permission denied; change"):
        folders.Walk(tmp_path).listed(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.JPG", ".jpg"),
        ("IM0001", "without an ending"),
        ("1.2.840.113", "without an ending"),
        ("a.", "without an ending"),
        ("scan.nii.gz", ".gz"),
    ],
)
def test_endings(name, expected):
    assert folders.ending(pathlib.PurePath(name)) == expected


def paths(*names):
    return [pathlib.Path(name) for name in names]


def noted(read, left, others=()):
    """A walk that has read some photos of a class, left others in unknown formats, and left `others`."""
    walk = folders.Walk(pathlib.Path("photos"))
    items = paths(*(f"{number}.jpg" for number in range(read)))
    walk.note("cats", items, paths(*(f"x{number}.cr2" for number in range(left)), *others), {".cr2", ".mov"})
    return walk


def test_more_than_a_tenth_in_unread_formats_stops_the_run():
    noted(90, 10).check("photo", "JPEG")
    with pytest.raises(errors.UserError) as caught:
        noted(90, 11).check("photo", "JPEG")
    assert str(caught.value) == (
        "class 'cats': 11 of 101 photos (11 .cr2) are in formats that are not read; convert them to JPEG, or go on "
        "without them with --skip-unsupported"
    )


def test_what_is_plainly_no_data_does_not_count():
    walk = noted(9, 1, ["labels.txt", "a.xml", "b.xml", "c.json", "readme", "archive.zip"])
    assert walk.check("photo", "JPEG") is None  # it raises an error for too many files that could be photos


def test_another_form_of_a_photo_does_not_count():
    noted(9, 0, ["0.cr2", "1.cr2", "2.mov"]).check("photo", "JPEG")  # raw photos, and the film of a moving one
    with pytest.raises(errors.UserError, match=r"1 of 1 photos \(1 \.cr2\)"):
        noted(0, 0, ["0.cr2"]).check("photo", "JPEG")


def test_files_without_an_ending_count_if_they_are_numbered():
    with pytest.raises(errors.UserError, match=r"30 of 36 photos \(30 without an ending\)"):
        noted(6, 0, [f"IM{number:04d}" for number in range(30)]).check("photo", "JPEG")


def test_a_few_classes_are_told_and_the_rest_together(capsys):
    walk = folders.Walk(pathlib.Path("photos"))
    for number in range(20):
        walk.note(f"class{number:02d}", paths("a.jpg"), paths("a.xml", "b.txt"))
    walk.note("empty", paths("a.jpg"), [])
    walk.tell()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "data: class 'class00': 1 .xml, 1 .txt left alone" and len(said) == 6
    assert said[-1] == "data: 15 more classes: 15 .xml, 15 .txt left alone"
