"""Corruptions whose result is known by a formula, and what all of them have in common."""

import typing

import numpy as np
import pytest

from common.media import corruptions

pytestmark = pytest.mark.quick
SEEDS = [3, 1, 4]
PHOTO = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype="uint8").repeat(8, axis=0).repeat(8, axis=1)


def grey(value):
    return np.full((40, 40, 3), value, "uint8")


def changed(name, severity, pixels=PHOTO, seeds=SEEDS):
    return corruptions.corrupted(pixels, name, severity, seeds)


def distances(name):
    return [np.abs(changed(name, severity).astype(float) - PHOTO).mean() for severity in corruptions.SEVERITIES]


@pytest.mark.parametrize("name", corruptions.KINDS)
def test_every_kind_is_graded_and_depends_on_its_seeds_only(name):
    found = distances(name)
    assert found[0] > 0 and found[0] < found[-1]
    if name != "crop":  # parts of a random photo are as far from it as others
        assert found == sorted(found)
    result = changed(name, 3)
    assert result.shape == PHOTO.shape and result.dtype == np.uint8
    assert (result == changed(name, 3)).all() and (result == changed(name, 3, PHOTO.astype("float32") + 0.3)).all()


@pytest.mark.parametrize("name", corruptions.KINDS)
def test_all_frames_of_a_clip_change_alike(name):
    clip = np.stack([PHOTO, PHOTO, PHOTO[::-1]])
    found = changed(name, 5, clip)
    assert found.shape == clip.shape and (found[0] == found[1]).all() and (found[0] == changed(name, 5)).all()
    assert (found[2] != found[0]).any()


@pytest.mark.parametrize("name", ["noise", "rotation", "crop", "occlusion", "colour_cast"])
def test_what_is_random_differs_from_photo_to_photo(name):
    assert any((changed(name, 5) != changed(name, 5, seeds=[3, 1, other])).any() for other in range(6))


def test_names_and_kinds_are_the_same():
    assert typing.get_args(corruptions.Name) == tuple(corruptions.KINDS)
    assert all(len(kind.levels) == len(corruptions.SEVERITIES) for kind in corruptions.KINDS.values())
    assert [corruptions.KINDS["darker"].level(1), corruptions.KINDS["jpeg"].level(5)] == ["-1 EV", "quality 7"]
    with pytest.raises(ValueError, match="from 1 to 5"):
        changed("blur", 6)


def test_one_stop_less_is_half_the_light():
    """Of sRGB: 188 has about half the light of 255, and 137 a quarter."""
    assert np.unique(changed("darker", 1, grey(255))).tolist() == [188]
    assert np.unique(changed("darker", 2, grey(255))).tolist() == [137]
    assert np.unique(changed("brighter", 2, grey(137))).tolist() == pytest.approx([188], abs=1)
    assert changed("brighter", 5, grey(200)).min() == 255  # clipped, as a camera does


def test_noise_has_the_given_standard_deviation():
    for severity, percent in enumerate(corruptions.KINDS["noise"].levels[:3], 1):
        error = changed("noise", severity, np.full((200, 200, 3), 128, "uint8")).astype(float) - 128
        assert error.std() / 255 == pytest.approx(percent / 100, rel=0.03) and abs(error.mean()) < 1


def test_blur_has_the_given_width():
    """The picture of a line is a bell with this standard deviation, in pixels."""
    line = np.zeros((201, 201, 3), "uint8")
    line[:, 100] = 255
    row = changed("blur", 5, line)[100, :, 0].astype(float)
    spread = np.sqrt((row * (np.arange(201) - 100) ** 2).sum() / row.sum())
    assert spread == pytest.approx(0.03 * 201, rel=0.1)


def test_a_crop_is_a_part_and_an_occlusion_hides_one():
    ramp = np.linspace(0, 255, 100).astype("uint8")[None, :, None] * np.ones((100, 1, 3), "uint8")
    part = changed("crop", 5, ramp)
    assert np.ptp(part.astype(int)) == pytest.approx(0.5 * 255, abs=6)
    hidden = (changed("occlusion", 5, grey(0)) == corruptions.GREY).all(-1)
    assert hidden.mean() == pytest.approx(0.4, abs=0.02)
    assert hidden.any(0).sum() * hidden.any(1).sum() == hidden.sum()  # a rectangle


def test_a_rotation_keeps_the_middle_and_turns_by_the_angle():
    """A spoke that points to the right points down or up after 45 degrees by as much as to the right."""
    spoke = np.zeros((101, 101, 3), "uint8")
    spoke[49:52, 50:] = 255
    rows, columns = np.nonzero(changed("rotation", 5, spoke)[10:91, 10:91, 0] > 128)
    angle = np.degrees(np.arctan2(np.abs(rows - 40).mean(), (columns - 40).mean()))
    assert angle == pytest.approx(45, abs=4)


def test_colour_goes_and_changes():
    colours = np.zeros((9, 9, 3), "uint8") + np.array([100, 100, 100], "uint8")
    tilted = np.unique(changed("colour_cast", 5, colours).reshape(-1, 3), axis=0).tolist()
    assert tilted in ([[150, 100, 50]], [[50, 100, 150]])
    assert np.ptp(changed("fading", 5).astype(int), axis=-1).max() == 0
