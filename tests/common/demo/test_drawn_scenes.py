"""The drawn scenes: things are inside of their boxes, and the same number gives the same photo."""

import numpy as np
import pytest

from common import errors
from common.data import box_formats
from common.demo import drawn_photos, drawn_scenes

pytestmark = pytest.mark.quick


def test_a_scene_is_the_same_again_and_its_boxes_are_inside():
    pixels, things = drawn_scenes.draw(3)
    again, same = drawn_scenes.draw(3)
    assert (pixels == again).all() and things == same and pixels.shape == (192, 192, 3)
    other, _ = drawn_scenes.draw(4)
    assert (pixels != other).any()
    for name, left, top, right, bottom in things:
        assert name in drawn_photos.CLASS_NAMES and 0 <= left < right <= 192 and 0 <= top < bottom <= 192
        assert 15 < max(right - left, bottom - top) < 110


def test_scenes_have_all_classes_and_different_counts():
    scenes = [drawn_scenes.draw(number, 96)[1] for number in range(24)]
    assert {thing[0] for things in scenes for thing in things} == set(drawn_photos.CLASS_NAMES)
    assert len({len(things) for things in scenes}) >= 4 and all(things for things in scenes)
    assert np.mean([len(things) for things in scenes]) > 2


def test_what_is_written_is_read_again(tmp_path):
    folder = drawn_scenes.write_photos(tmp_path / "scenes", 2, 96)
    assert drawn_scenes.write_photos(folder, 2, 96) == folder
    read = box_formats.voc(folder / "annotations" / "scene_0001.xml")
    boxes = [(box.label, *box.edges) for box in read.in_pixels((96, 96), from_one=True)]
    assert boxes == drawn_scenes.draw(1, 96)[1] and read.size == (96, 96)
    with pytest.raises(errors.UserError):
        drawn_scenes.write_photos(tmp_path / "scenes", 3, 96)
