import json

import numpy as np
import PIL.Image
import pytest

from common.data import file_checks, picture_checks
from common.data.sample_list import Sample
from common.media import medium, photos

pytestmark = pytest.mark.quick


def made(rows):
    """Samples and facts from rows of (label, notes, picture[, format])."""
    samples, facts = [], {}
    for number, (label, notes, picture, *kind) in enumerate(rows):
        path = f"{label}_{number}.png"
        samples.append(Sample(path, label))
        facts[path] = medium.Facts(
            path=path, sha256=str(number), format=(kind or ["PNG"])[0], notes=notes, pixels_sha256=str(picture)
        )
    return samples, facts


def test_nothing_doubtful_says_nothing(capsys):
    samples, facts = made([("ab"[number % 2], ("grey",), number) for number in range(40)])
    found = picture_checks.check(samples, facts)
    assert capsys.readouterr().err == ""
    assert found == {
        "different_pictures": 40,
        "notes_per_class": {"grey": {"a": [20, 20], "b": [20, 20]}},
        "uneven_notes": [],
    }
    assert json.loads(json.dumps(found)) == found


def test_a_mark_of_one_class_is_named(capsys):
    samples, facts = made([("ab"[number % 2], (("grey", "big")[number % 2],), number) for number in range(40)])
    found = picture_checks.check(samples, facts, "lesion")
    assert found["uneven_notes"] == ["grey", "big"]
    assert capsys.readouterr().err.splitlines()[0] == (
        "data: grey: 20 lesions, such as a_0.png: 20 of 20 a, 0 of 20 b; it is unevenly spread, so it may give the "
        "class away"
    )


def test_so_is_a_format(capsys):
    samples, facts = made(
        [("abb"[number % 3], (), number, ("BMP", "JPEG", "JPEG")[number % 3]) for number in range(60)]
    )
    found = picture_checks.check(samples, facts)
    assert found["uneven_notes"] == ["BMP"] and found["notes_per_class"]["BMP"] == {"a": [20, 20], "b": [0, 40]}
    assert capsys.readouterr().err.startswith("data: BMP: 20 photos, such as a_0.png: 20 of 20 a, 0 of 40 b; it is")


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_no_mark(capsys, seed):
    draws = np.random.default_rng(seed)
    rows = [(name, ("grey",) if draws.random() < 0.4 else (), n) for n, name in enumerate("abcdef" * 6)]
    assert picture_checks.check(*made(rows))["uneven_notes"] == []
    picture_checks.check(*made([("a", ("grey",), 1), ("a", ("grey",), 2), ("b", (), 3), ("b", (), 4)]))
    assert capsys.readouterr().err == ""


def test_what_is_lost_is_always_counted_per_class(capsys):
    notes = ("alpha ignored: it is 0 everywhere", "grey")
    samples, facts = made([("abcdefgh"[number % 8], notes if number % 9 else (), number) for number in range(80)])
    found = picture_checks.check(samples, facts)
    assert sum(count for count, _ in found["notes_per_class"]["alpha ignored"].values()) == 71
    assert capsys.readouterr().err == (
        "data: alpha ignored: 71 photos, such as b_1.png (it is 0 everywhere): 9 of 10 b, 9 of 10 c, 9 of 10 d, "
        "9 of 10 e, 9 of 10 f, 9 of 10 g, 2 more classes\n"
    )


def test_pictures_that_are_the_same(capsys):
    samples, facts = made([("a", ("one colour",) if number < 3 else (), max(number, 2)) for number in range(10)])
    assert picture_checks.check(samples, facts)["different_pictures"] == 8
    assert capsys.readouterr().err.splitlines() == [
        "data: 10 different photo files decode to 8 different pictures",
        "data: one colour: 3 photos, such as a_0.png: 3 of 10 a",
    ]


def test_real_files(tmp_path, capsys):
    """Ten photos, each in two formats: twenty files of ten pictures."""
    samples = []
    for number in range(10):
        picture = PIL.Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8))
        for ending in ("png", "bmp"):
            picture.save(tmp_path / f"{number}.{ending}")
            samples.append(Sample(str(tmp_path / f"{number}.{ending}"), "a"))
    facts = file_checks.scan([sample.path for sample in samples], photos.PHOTOS)
    assert picture_checks.check(samples, facts)["different_pictures"] == 10
    assert capsys.readouterr().err == "data: 20 different photo files decode to 10 different pictures\n"
