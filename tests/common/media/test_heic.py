import io
import sys

import numpy as np
import PIL.Image
import pillow_heif
import pytest

from common.media import heic, photos

pytestmark = pytest.mark.quick


def picture():
    pixels = np.full((64, 80, 3), 255, np.uint8)
    pixels[:32, :40] = (200, 40, 30)
    return PIL.Image.fromarray(pixels)


def encoded(*pictures, orientation=1):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    made = pillow_heif.from_pillow(pictures[0])
    made.info["exif"] = exif.tobytes()
    for other in pictures[1:]:
        made.add_from_pillow(other)
    file = io.BytesIO()
    made.save(file, quality=95)
    return file.getvalue()


@pytest.mark.parametrize("extension", heic.EXTENSIONS)
def test_a_phone_s_photo_is_read(tmp_path, extension):
    path = tmp_path / f"photo{extension}"
    path.write_bytes(encoded(picture()))
    assert abs(photos.read(path).astype(int) - np.asarray(picture())).max() < 12
    facts = photos.inspect(path)
    assert (facts.format, facts.width, facts.height, facts.notes) == ("HEIF", 80, 64, ())


def test_it_is_upright(tmp_path):
    (tmp_path / "turned.heic").write_bytes(encoded(picture(), orientation=6))
    pixels = photos.read(tmp_path / "turned.heic")
    assert pixels.shape == (80, 64, 3) and pixels[5, 60].tolist()[0] < 220 and pixels[5, 5].min() > 240


def test_the_first_of_several_pictures_is_taken(tmp_path):
    (tmp_path / "two.heic").write_bytes(encoded(picture(), PIL.Image.new("RGB", (80, 64))))
    assert photos.inspect(tmp_path / "two.heic").notes == ("first picture of several taken",)
    assert photos.read(tmp_path / "two.heic").mean() > 150


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.98])
def test_a_cut_off_file_is_refused(tmp_path, kept):
    content = encoded(picture())
    (tmp_path / "cut.heic").write_bytes(content[: int(kept * len(content))])
    assert photos.inspect(tmp_path / "cut.heic").problem.startswith("truncated")


def test_without_the_extra_the_command_is_named(tmp_path, monkeypatch):
    (tmp_path / "photo.heic").write_bytes(encoded(picture()))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert photos.inspect(tmp_path / "photo.heic").problem == heic.INSTALL


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    (tmp_path / "photo.heic").write_bytes(encoded(picture()))
    monkeypatch.setattr(photos, "MAX_PIXELS", 5000)
    monkeypatch.setattr(pillow_heif.HeifImageFile, "load", lambda image: pytest.fail("decoded"))
    assert photos.inspect(tmp_path / "photo.heic").problem.startswith("too many pixels: 80 x 64")
