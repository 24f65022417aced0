import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from common.data import picture_copies
from common.media import medium, photos

pytestmark = pytest.mark.quick


def picture(seed, size=(96, 80)):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), "uint8")
    return PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC)


def saved(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return PIL.Image.open(file).convert("RGB")


def facts(pictures):
    return {
        name: medium.Facts(path=name, sha256=name, small=photos.small_grey(np.asarray(image.convert("RGB"))))
        for name, image in pictures.items()
    }


MADE = {
    "smaller": lambda image: saved(image.resize((48, 40)), 60),
    "worse": lambda image: saved(image, 50),
    "square": lambda image: saved(image.resize((64, 64)), 75),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: saved(image.point(lambda value: value * 0.8 + 40), 80),
    "mirrored": lambda image: saved(image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), 80),
    "turned": lambda image: saved(image.transpose(PIL.Image.Transpose.ROTATE_90), 80),
    "upside down": lambda image: saved(image.transpose(PIL.Image.Transpose.ROTATE_180), 80),
    "turned and mirrored": lambda image: saved(image.transpose(PIL.Image.Transpose.TRANSVERSE), 80),
    "framed": lambda image: saved(PIL.ImageOps.expand(image.resize((480, 400)), 40, "white"), 85),
    "letterboxed": lambda image: saved(PIL.ImageOps.pad(image, (480, 600), color="black"), 85),
    "a little cropped": lambda image: saved(image.crop((1, 1, 96, 80)), 80),
}


@pytest.mark.parametrize("how", MADE)
def test_a_changed_copy_is_found_among_others(how):
    pictures = {str(seed): picture(seed) for seed in range(40)}
    pairs = picture_copies.pairs(facts(pictures | {f"{seed} again": MADE[how](picture(seed)) for seed in range(20)}))
    assert {pair[:2] for pair in pairs} == {(str(seed), f"{seed} again") for seed in range(20)}
    assert all(picture_copies.ALIKE <= likeness <= 1.0001 for *_, likeness in pairs)


def test_blank_pictures_small_ones_and_other_media_say_nothing():
    blank = {str(level): PIL.Image.new("RGB", (50, 50), (level, level, level)) for level in (0, 254, 255)}
    tiny = {f"tiny {seed}": picture(0, (8, 8)) for seed in range(2)}
    assert picture_copies.pairs(facts(blank | tiny)) == []
    assert picture_copies.pairs({name: medium.Facts(path=name, sha256=name) for name in "ab"}) == []
    assert picture_copies.pairs({}) == []


def test_files_of_one_content_are_one():
    one = facts({"a": picture(0), "b": picture(0)})
    assert len(picture_copies.pairs(one)) == 1
    same = {name: medium.Facts(path=name, sha256="x", small=each.small) for name, each in one.items()}
    assert picture_copies.pairs(same) == []


def test_all_blocks_are_compared(monkeypatch):
    pictures = facts({str(seed): picture(seed % 15) for seed in range(30)})
    expected = picture_copies.pairs(pictures)
    monkeypatch.setattr(picture_copies, "BLOCK", 4)
    assert picture_copies.pairs(pictures) == expected and len(expected) == 15


def test_a_fixed_camera_does_not_take_all_memory(monkeypatch):
    """Every photo looks like every other; some pairs of each are enough to see that."""
    monkeypatch.setattr(picture_copies, "MOST_NEAR", 5)
    pairs = picture_copies.pairs(facts({str(seed): saved(picture(0), 60 + seed) for seed in range(30)}))
    assert 29 <= len(pairs) <= 2 * 5 * 30


def test_a_common_frame_makes_no_copies():
    pictures = {str(seed): PIL.ImageOps.expand(picture(seed), 20, "white") for seed in range(40)}
    assert picture_copies.pairs(facts(pictures)) == []


def test_pictures_of_two_classes_that_differ_in_direction_are_no_copies():
    pictures = {"left": picture(1), "right": picture(1).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)}
    assert len(picture_copies.pairs(facts(pictures))) == 1
    assert picture_copies.pairs(facts(pictures), {"left": "left", "right": "right"}) == []
    same = {"left": picture(1), "again": saved(picture(1), 60)}
    assert len(picture_copies.pairs(facts(same), {"left": "a", "again": "b"})) == 1
