"""What a file's header tells: known values, and nothing for what is missing or damaged."""

import io

import numpy as np
import pytest
from PIL import Image

from common.media import headers, photos

pytestmark = pytest.mark.quick


def saved(exif=None, **settings):
    """Return the properties of a grey JPEG that is saved with these settings."""
    file = io.BytesIO()
    Image.new("L", (32, 32), 100).save(file, "JPEG", **settings, **({"exif": exif} if exif else {}))
    with Image.open(file) as image:
        return headers.properties(image)


def test_compression_and_tables_follow_the_quality():
    low, high = saved(quality=50), saved(quality=95)
    assert low["JPEG compression"] > high["JPEG compression"]
    assert low["JPEG quantisation tables"] != high["JPEG quantisation tables"]
    assert saved(quality=50) == low and low["mode"] == "L"


def test_camera_and_date():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Canon", "EOS\0", "2020:01:02 12:00:00"
    found = saved(exif.tobytes())
    assert found["EXIF camera"] == "Canon EOS" and found["EXIF date"] == 737426.5
    exif[0x0132] = "yesterday"
    found = saved(exif.tobytes())
    assert found["EXIF camera"] == "Canon EOS" and "EXIF date" not in found


def test_border_is_the_mean_of_the_edge():
    pixels = np.zeros((32, 64, 3), "uint8")
    pixels[2:-2, 2:-2] = 255  # the border of 1/16 of the shorter side is 2 pixels wide
    assert headers.border(pixels) == {f"{name} of the border": 0.0 for name in headers.COLOURS}
    pixels[..., 0] = 7
    assert headers.border(pixels)["red of the border"] == 7


def test_inspect_has_them(tmp_path):
    Image.new("RGB", (32, 16), (10, 20, 30)).save(tmp_path / "a.PNG")
    found = photos.PHOTOS.properties(photos.inspect(tmp_path / "a.PNG"))
    assert found["width"] == 32 and found["aspect"] == 2 and found["file ending"] == ".png"
    assert found["mode"] == "RGB" and found["green of the border"] == 20
