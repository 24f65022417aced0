import re

import pytest

from common.data import group_pattern, name_series
from common.data.sample_list import Sample
from common.media import photos

pytestmark = pytest.mark.quick
title = photos.PHOTOS.title


def grouped(paths, capsys, **more):
    samples = [Sample(path, path.split("/")[1], **more) for path in paths]
    found = name_series.with_groups(samples, title, "photo")
    return {sample.path: sample.group for sample in found}, capsys.readouterr().err


def named(form, parts=4, wholes=6, labels="ab"):
    """Paths of `wholes` series with `parts` photos each in two classes, each series in one class."""
    numbers = [(label, whole, part) for label in labels for whole in range(wholes) for part in range(1, parts + 1)]
    return [f"x/{label}/" + form.format(w=f"{label}{whole}", p=part) for label, whole, part in numbers]


@pytest.mark.parametrize(
    ("form", "told", "pattern"),
    [
        ("clip{w}_frame{p:04}.jpg", "48 frames of 12 videos, such as 'clipa0_frame0001'", r"^(.+?)_frame\d"),
        ("{w}-Frame {p}.png", "48 frames of 12 videos", r"^(.+?)-Frame \d"),
        ("{w}frame{p}_aug1.jpg", "48 frames of 12 videos", r"^(.+?)frame\d"),
        ("IMG_{w}_BURST{p:03}.jpg", "48 photos of 12 bursts", r"^(.+?)_BURST\d"),
        ("slide{w}_x{p}_y4.png", "48 tiles of 12 pictures", r"^(.+?)_x(?=\d+[ _.\-]+y[ _.\-]*\d)\d"),
        ("slide{w}_row{p}_col4.png", "48 tiles of 12 pictures", None),
        ("{w}_tile_{p}.tif", "48 tiles of 12 pictures", r"^(.+?)_tile_\d"),
    ],
)
def test_names_that_say_so_are_kept_together_as_the_pattern_would(form, told, pattern, capsys):
    paths = named(form)
    groups, said = grouped(paths, capsys)
    assert len(set(groups.values())) == 12 and all(path.split("/")[1] in group for path, group in groups.items())
    assert f"data: the names look like {told}" in said and "is kept on one side" in said
    advised = re.search("--group-pattern '(.+)'", said)[1]
    assert pattern in (None, advised)
    by_pattern = group_pattern.groups([title(path) for path in paths], group_pattern.compiled(advised))
    assert by_pattern == list(groups.values())


def test_what_is_told_are_the_groups_that_the_split_gets(capsys):
    """Of some videos there is one frame only."""
    paths = [*named("v{w}_frame{p}.jpg"), *named("w{w}_frame{p}.jpg", parts=1, wholes=3), "x/a/portrait.jpg"]
    groups, said = grouped(paths, capsys)
    assert len(set(groups.values()) - {""}) == 18 and "54 frames of 18 videos" in said


def test_the_pattern_fits_all_spellings(capsys):
    paths = [*named("v{w}_frame{p}.jpg"), *named("u{w}_FRM{p}.jpg")]
    groups, said = grouped(paths, capsys)
    assert len(set(groups.values())) == 24 and "96 frames of 24 videos" in said
    pattern = group_pattern.compiled(re.search("--group-pattern '(.+)'", said)[1])
    assert group_pattern.groups([title(path) for path in paths], pattern) == list(groups.values())


def test_beside_photos_of_no_series_no_pattern_is_advised(capsys):
    """It would make each of them a group of its own, which is not joined with its copies under other names."""
    groups, said = grouped([*named("v{w}_frame{p}.jpg"), "x/a/portrait.jpg"], capsys)
    assert groups["x/a/portrait.jpg"] == "" and "a CSV with the columns path,label,group" in said


def test_folders_can_name_the_video(capsys):
    groups, said = grouped(named("{w}/frame_{p:03}.jpg"), capsys)
    assert len(set(groups.values())) == 12 and "a CSV with the columns path,label,group" in said
    assert not grouped(named("frame_{p:03}.jpg", parts=9, wholes=1), capsys)[1]  # the class may be called so


@pytest.mark.parametrize(
    ("paths", "more"),
    [
        (named("clip{w}_frame{p}.jpg", wholes=4), {}),  # too few for three sides
        ([*named("clip{w}_frame{p}.jpg"), *named("long{w}_frame{p}.jpg", 30, 1)], {}),  # one is half of the class
        (named("clip{w}_frame{p}.jpg"), {"split": "train"}),
    ],
)
def test_where_it_is_not_safe_a_line_says_what_to_do(paths, more, capsys):
    groups, said = grouped(paths, capsys, **more)
    assert set(groups.values()) == {""}
    assert r"keep each video together with --group-pattern '^(.+?)_frame\d', or the result is too good" in said


def test_numbers_that_go_on_evenly_are_told_and_not_joined(capsys):
    groups, said = grouped(named("cow{w}_{p:04}.jpg", parts=6, wholes=3), capsys)
    assert set(groups.values()) == {""} and "36 photos are numbered in 6 series, such as 'cowa0_0001'" in said
    pattern = group_pattern.compiled(re.search("--group-pattern '(.+)'", said)[1])
    assert group_pattern.groups(["cowa0_0001", "cow 7-12"], pattern) == ["cowa0", "cow 7"]
    _, said = grouped(named("video_{p:04}.jpg", parts=20, wholes=1), capsys)
    assert "20 photos of class 'a' are named like frames of one video, such as 'video_0001'" in said


@pytest.mark.parametrize(
    "paths",
    [
        named("ISIC_{p:07}.jpg", parts=50, wholes=1), named("pic_{p:03}.jpg", parts=50, wholes=1),
        [f"x/{label}/{number * number % 9973}_{number:x}_n.jpg" for label in "ab" for number in range(50)],
        [f"x/{label}/{synset}_{number**2:04}.jpg" for label in "ab" for synset in (12, 13) for number in range(20)],
        [f"x/frame/photo_frame_{number}.jpg" for number in range(30)],
        [f"x/videos/video_{number:03}.jpg" for number in range(30)],
        named("v{w}_frame{p}.jpg", parts=1, wholes=30),
    ],
)  # fmt: skip
def test_no_false_alarm(paths, capsys):
    groups, said = grouped(paths, capsys)
    assert not said and set(groups.values()) == {""}


def test_given_groups_count_more(capsys):
    groups, said = grouped(named("clip{w}_frame{p}.jpg"), capsys, group="mine")
    assert set(groups.values()) == {"mine"} and not said


@pytest.mark.parametrize(
    "place",
    ["flowers/*/*.jpg", "pacs/photo/*/*", "pacs/cartoon/*/*", "pacs/sketch/*/*", "pacs/*/*/*", "blood_cells/photos/*",
     "ham10000/images/*", "product_defects/photos/*/*"],
)  # fmt: skip
def test_no_false_alarm_on_real_photos(place, real_data, capsys):
    samples = [Sample(str(path), path.parent.name) for path in sorted(real_data.glob(place))]
    assert len(samples) > 300 and name_series.with_groups(samples, title, "photo") == samples
    assert not capsys.readouterr().err
