"""Drawn photos in another style: the same classes, other scenes, and another look."""

import numpy as np
import pytest
from PIL import Image

from common.demo import drawn_photos, drawn_styles

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("style", drawn_styles.STYLES)
def test_a_style_changes_the_look_and_always_alike(style):
    plain = drawn_photos.draw("fish", drawn_styles.FIRST_SEED, 32)
    drawn = drawn_styles.draw(style, "fish", 0, 32)
    assert drawn.shape == (32, 32, 3) and drawn.dtype == np.uint8
    assert (drawn == drawn_styles.draw(style, "fish", 0, 32)).all()
    assert np.abs(drawn.astype(int) - plain).mean() > 20
    spread = [np.ptp(picture.mean(axis=2)) for picture in (plain, drawn)]
    grey = np.abs(drawn.astype(int) - drawn.mean(axis=2, keepdims=True)).max()
    red_to_blue = [picture[..., 0].mean() / picture[..., 2].mean() for picture in (plain, drawn)]
    wanted = {"fog": spread[1] < 0.7 * spread[0], "dusk": red_to_blue[1] > 1.8 * red_to_blue[0]}
    assert wanted.get(style, grey <= 1)


def test_photos_are_written_once(tmp_path):
    folder = drawn_styles.write_photos(tmp_path / "fog", "fog", per_class=1, size=32)
    paths = sorted(folder.glob("*/*"))
    assert [path.parent.name for path in paths] == list(drawn_photos.CLASS_NAMES)
    assert Image.open(paths[0]).size == (32, 32)
    before = [path.stat().st_mtime_ns for path in paths]
    drawn_styles.write_photos(tmp_path / "fog", "fog", per_class=1, size=32)
    assert [path.stat().st_mtime_ns for path in paths] == before
