import unicodedata

import pytest

from common import errors
from common.data import names, sample_list

pytestmark = pytest.mark.quick

CAFE, TWO_SIGNS = "caf\xe9", "cafe\u0301"


def samples_of(*labels, group=""):
    return [sample_list.Sample(f"{number}.png", label, group) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    "other",
    ["Cat", "CAT", " cat ", "cat\u200b", "ca\xadt", "\ufeffcat", "c\u2060at", "\uff43\uff41\uff54", "cat\t", "cat\x07"],
)
def test_spellings_of_one_name_have_one_key(other):
    assert names.key(other) == names.key("cat") == "cat"


def test_blanks_and_unicode_forms_do_not_matter_but_letters_do():
    assert names.key("big\xa0 \u3000cat") == names.key("Big cat") != names.key("bigcat")
    assert names.key(CAFE) == names.key(TWO_SIGNS) != names.key("cafe")
    assert names.key("Stra\xdfe") == names.key("STRASSE") and names.key("cat_1") != names.key("cat 1")
    assert names.key("\udcfc.jpg") == "\udcfc.jpg"  # of a file's name that is not UTF-8


@pytest.mark.parametrize(
    ("labels", "seen"),
    [
        (["Cat", "cat", "Cat", "dog"], "'Cat' (2) and 'cat' (1)"),
        (["big\xa0cat", "big cat", "dog"], r"'big cat' (1) and 'big\xa0cat' (1)"),
        (["cat\u200b", "cat", "cat\u200b"], r"'cat\u200b' (2) and 'cat' (1)"),
        ([CAFE, TWO_SIGNS, CAFE], f"'{CAFE}' NFC (2) and '{TWO_SIGNS}' NFD (1)"),
        ([CAFE, TWO_SIGNS, "CAF\xc9"], f"'CAF\xc9' (1) and '{CAFE}' NFC (1) and '{TWO_SIGNS}' NFD (1)"),
        (["cat", "Cat", "dog", "Dog", "a", "A", "b", "B"], "; and 1 more; write them alike"),
    ],
)
def test_names_that_only_look_alike_stop_the_run_visibly_or_are_joined(labels, seen, capsys):
    for what in ("class", "group"):
        with pytest.raises(errors.UserError) as refused:
            names.one_spelling(labels, what, same_names=False)
        message = str(refused.value)
        assert seen in message and "--same-names" in message and what in message and "\n" not in message
    settled = names.settled(samples_of(*labels), same_names=True)
    found = {sample.label for sample in settled}
    assert len({names.key(name) for name in labels}) == len(found) and found <= set(labels)
    assert "names of classes that are one are joined: " in capsys.readouterr().err


def test_the_most_frequent_spelling_is_kept_and_of_equal_ones_the_plain_one():
    assert names.one_spelling(["Cat", "cat", "Cat"], "class", True) == {"cat": "Cat"}
    assert names.one_spelling(["cat\u200b", "cat"], "class", True) == {"cat\u200b": "cat"}
    assert names.one_spelling([TWO_SIGNS, CAFE], "class", True) == {TWO_SIGNS: CAFE}
    assert unicodedata.is_normalized("NFD", TWO_SIGNS)


def test_groups_that_only_look_alike_stop_too_but_no_group_is_none(capsys):
    samples = [*samples_of("cat", "dog", group="P1"), *samples_of("cat", "dog", group="p1"), *samples_of("cat", "dog")]
    with pytest.raises(errors.UserError, match="names of groups .*'P1' .2. and 'p1' .2."):
        names.settled(samples, same_names=False)
    assert {sample.group for sample in names.settled(samples, same_names=True)} == {"P1", ""}
    assert names.settled(samples_of("cat", "dog"), same_names=False) == samples_of("cat", "dog")


def test_17_and_17_0_are_one(capsys):
    settled = names.settled(samples_of("17", "17.0", "18.0", "17.5", "v1.0"), same_names=False)
    assert [sample.label for sample in settled] == ["17", "17", "18.0", "17.5", "v1.0"]
    assert capsys.readouterr().err == "data: names of classes that are one are joined: '17.0' as '17'\n"


def test_labels_that_are_no_classes_stay_as_they_are():
    """The targets are numbers, say."""
    samples = samples_of("17", "17.0", "a", "A")
    assert names.settled(samples, same_names=False, classes=False) == samples


def test_new_data_have_the_names_of_the_model(capsys):
    new = samples_of("CAT", "dog", "cat\u200b", "17.0", "bird", "Eagle")
    found = names.matched(new, ["cat", "dog", "17", "eagle", "EAGLE"])
    assert [sample.label for sample in found] == ["cat", "dog", "cat", "17", "bird", "Eagle"]  # which eagle?
    assert r"'CAT' as 'cat', 'cat\u200b' as 'cat'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["cat, small", "cat, large", "dog"], "2 of 3 labels, such as 'cat, large', look like several labels joined"),
        (["cat;dog", "cat", "dog"], "1 of 3 labels, such as 'cat;dog', look like several labels joined by ';'"),
        (["a|b", "b|c"], "2 of 2 labels"),
        (["20", "21", "22", "23", "24"], "all 5 labels are numbers (20 to 24), which looks like a quantity"),
        (["1.5", "2", "0.25"], "all 3 labels are numbers (0.25 to 2)"),
        (["unknown", "cat", "None"], "are taken for classes: 'None' (1 photo), 'unknown' (1 photo)"),
        (["nan", "cat"], "taken for classes: 'nan' (1 photo)"),
    ],
)
def test_labels_that_look_like_something_else_are_told_in_a_line(labels, told, capsys):
    names.say_odd_labels(samples_of(*labels), "photo")
    said = capsys.readouterr().err
    assert said.startswith("data: ") and told in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "labels",
    [
        ["cat", "dog"],
        ["0", "1", "2"],
        ["1", "2", "3", "4", "5"],
        ["2019", "2020"],
        ["lock, stock", "barrel"],
        ["a", ""],
    ],
)
def test_plain_classes_are_not_spoken_of(labels, capsys):
    names.say_odd_labels(samples_of(*labels), "photo")
    assert not capsys.readouterr().err


def test_letters_that_only_look_latin_are_read_as_latin_ones():
    assert names.key("r\u043ese") == names.key("Rose") and names.key("\u0440\u043e\u0437\u0430") != names.key("роса")


def test_missing_groups_and_those_that_mean_none_are_spoken_of(capsys):
    groups = ["", "a", "b", "unknown", "unknown"]
    names.say_odd_groups([sample_list.Sample(f"{number}", "x", group) for number, group in enumerate(groups)], "photo")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "data: 1 photo of 5 have no group, so each is split on its own"
    assert lines[1].startswith("data: 2 photos have the group 'unknown' and stay on one side together")
    names.say_odd_groups([sample_list.Sample("a", "x", "g"), sample_list.Sample("b", "x", "h")], "photo")
    names.say_odd_groups([sample_list.Sample("a", "x"), sample_list.Sample("b", "x")], "photo")
    assert capsys.readouterr().err == ""
