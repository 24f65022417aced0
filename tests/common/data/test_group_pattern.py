import pytest

from common import errors
from common.data import group_pattern, sample_list
from common.media import clips, photos

pytestmark = pytest.mark.quick


def samples(*names, **further):
    return [sample_list.Sample(f"somewhere/{name}", "a", **further) for name in names]


def groups(names, pattern, title=photos.PHOTOS.title):
    return [sample.group for sample in group_pattern.with_groups(samples(*names), pattern, title, "photo")]


@pytest.mark.parametrize(
    ("pattern", "found"), [(r"^(p\d+)_", ["p1", "p1", "p2"]), (r"^p\d+", ["p1", "p1", "p2"]), (r"\d$", ["1", "2", "1"])]
)
def test_the_group_is_what_is_captured_or_the_whole_match(pattern, found):
    assert groups(["p1_1.jpg", "p1_2.JPG", "p2_1.png"], pattern) == found


def test_the_ending_is_no_part_of_the_name_and_a_folder_of_frames_has_none():
    assert groups(["x.7.mp4", "y.8"], r"\d$", clips.Clips().title) == ["7", "8"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"'\('.*not a valid regular expression"),
        ("(a)(b)", "has 2 pairs of parentheses"),
        ("q", "finds no group in 2 of the 2 photos' names, such as 'p1_1'; give a pattern that fits all names"),
        ("p1", "finds no group in 1 of the 2 photos' names, such as 'p2_1'"),
        ("", "finds no group in 2 of the 2"),
    ],
)
def test_a_pattern_that_does_not_fit_is_explained(pattern, message):
    with pytest.raises(errors.UserError, match=message):
        groups(["p1_1.jpg", "p2_1.jpg"], pattern)


def test_groups_that_are_known_are_not_replaced():
    with pytest.raises(errors.UserError, match="already has groups"):
        group_pattern.with_groups(samples("1.jpg", group="x"), "1", photos.PHOTOS.title, "photo")


def test_the_number_of_groups_is_said(capsys):
    group_pattern.say(samples("1", "2", group="x"), "photo")
    assert capsys.readouterr().err == "data: --group-pattern finds 1 group in 2 photos\n"
