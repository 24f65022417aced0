import concurrent.futures
import io
import itertools
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from common.media import colours, photos

pytestmark = pytest.mark.quick

# The colorants (X, Y, Z for D50) of red, green and blue; each column adds up to D50's white.
SRGB = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
DISPLAY_P3 = [(0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)]
PROPHOTO = [(0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)]


def fixed(*values):
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(kind, tags, connection=b"XYZ "):
    """The bytes of an ICC profile (version 2) for pictures of a kind: b"RGB ", b"GRAY" or b"CMYK"."""
    text = b"made by a test\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": description, b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)} | tags
    table, body, place = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", place + len(body), b"none", 0x02200000, b"mntr", kind, connection)
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + table + body


def gamma(value):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256)) + bytes(2)


def rgb_profile(colorants, value):
    curves = {name: gamma(value) for name in (b"rTRC", b"gTRC", b"bTRC")}
    primaries = {
        name: b"XYZ " + bytes(4) + fixed(*each)
        for name, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    }
    return profile(b"RGB ", primaries | curves)


def cmyk_profile():
    """Inks that darken to two thirds, not as plain arithmetic has it."""
    corners = itertools.product((0, 1), repeat=4)
    clut = b"".join(bytes((round(255 * (2 / 3) ** sum(inks)), 128, 128)) for inks in corners)
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + ramp * 4 + clut + ramp * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ")


def noise(mode="RGB"):
    channels = len(PIL.Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, channels), dtype=np.uint8)
    return PIL.Image.fromarray(pixels.squeeze(), mode)


def expected(image, icc):
    """What the library says."""
    shown = ImageCms.profileToProfile(image, io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(shown).astype(int)


def saved(tmp_path, image, icc, name="photo.png"):
    image.save(tmp_path / name, icc_profile=icc)
    return tmp_path / name


PROFILES = {
    "p3": rgb_profile(DISPLAY_P3, 2.2), "prophoto": rgb_profile(PROPHOTO, 1.8), "linear": rgb_profile(SRGB, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_a_photo_is_read_as_its_profile_says(tmp_path, name, ending):
    icc, options = PROFILES[name], {"lossless": True} if ending == "webp" else {}
    noise().save(tmp_path / f"photo.{ending}", icc_profile=icc, **options)
    read = photos.read(tmp_path / f"photo.{ending}").astype(int)
    assert np.abs(read - expected(noise(), icc)).max() <= 2
    assert np.abs(read - np.asarray(noise())).mean() > 5
    assert photos.inspect(tmp_path / f"photo.{ending}").notes == ("colour profile applied",)


def test_srgb_changes_nothing(tmp_path):
    """Under any name; its curve is that of sRGB."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path, noise(), icc)
    np.testing.assert_array_equal(photos.read(path), np.asarray(noise()))
    assert photos.inspect(path).notes == ()


def test_grey(tmp_path):
    icc = profile(b"GRAY", {b"kTRC": gamma(1.0)})
    path = saved(tmp_path, noise("L"), icc)
    np.testing.assert_allclose(photos.read(path).astype(int), expected(noise("L"), icc), atol=2)
    assert photos.inspect(path).notes == ("grey", "colour profile applied")
    path = saved(tmp_path, noise("L"), PROFILES["linear"])
    linear = expected(noise("L").convert("RGB"), PROFILES["linear"])
    np.testing.assert_allclose(photos.read(path).astype(int), linear, atol=2)


def test_cmyk(tmp_path):
    icc = cmyk_profile()
    path = saved(tmp_path, noise("CMYK"), icc, "photo.tif")
    read, plain = photos.read(path).astype(int), photos.read(saved(tmp_path, noise("CMYK"), None, "plain.tif"))
    np.testing.assert_allclose(read, expected(noise("CMYK"), icc), atol=2)
    assert np.abs(read - plain).mean() > 20
    assert photos.inspect(path).notes == ("CMYK converted", "colour profile applied")


def test_alpha_and_palettes_keep_their_profile(tmp_path):
    icc, picture = PROFILES["linear"], noise()
    picture.putalpha(PIL.Image.fromarray(np.tile(np.uint8([[0, 255]]), (32, 24))))
    read = photos.read(saved(tmp_path, picture, icc)).astype(int)
    assert (read[:, ::2] == 255).all()
    np.testing.assert_allclose(read[:, 1::2], expected(noise(), icc)[:, 1::2], atol=2)
    few = noise().quantize(16)
    read = photos.read(saved(tmp_path, few, icc)).astype(int)
    np.testing.assert_allclose(read, expected(few.convert("RGB"), icc), atol=2)


def test_profiles_that_cannot_be_applied_are_noted(tmp_path):
    for icc, why in (
        (b"no profile at all", "it is damaged"), (PROFILES["p3"][:200], "it is damaged"),
        (cmyk_profile(), "it is for another kind of picture"),
        (profile(b"GRAY", {b"kTRC": gamma(1.0)}), "it is for another kind of picture"),
    ):  # fmt: skip
        path = saved(tmp_path, noise(), icc)
        np.testing.assert_array_equal(photos.read(path), np.asarray(noise()))
        assert photos.inspect(path).notes == (f"colour profile ignored: {why}",)


ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
CHRM = {
    "adobe": (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000),
    "srgb": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}


def png(tmp_path, image, *chunks):
    """A PNG with chunks before its pixels, each a name and numbers of four bytes."""
    file = io.BytesIO()
    image.save(file, "PNG")
    content = file.getvalue()
    for name, *numbers in reversed(chunks):
        data = name + (bytes(numbers) if name == b"sRGB" else struct.pack(f">{len(numbers)}I", *numbers))
        content = (
            content[:33] + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)) + content[33:]
        )
    (tmp_path / "photo.png").write_bytes(content)
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    ("chunks", "colorants", "value"),
    [
        ([(b"gAMA", 100000)], SRGB, 1.0), ([(b"gAMA", 55556), (b"cHRM", *CHRM["srgb"])], SRGB, 1.8),
        ([(b"gAMA", 45455), (b"cHRM", *CHRM["adobe"])], ADOBE_RGB, 2.2),
        ([(b"gAMA", 100000), (b"cHRM", *CHRM["adobe"])], ADOBE_RGB, 1.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_png_is_read_as_its_chunks_say(tmp_path, chunks, colorants, value, mode):
    path = png(tmp_path, noise().convert(mode), *chunks)
    read, icc = photos.read(path).astype(int), rgb_profile(colorants, value)
    difference = np.abs(read - expected(noise().convert(mode).convert("RGB"), icc))
    assert difference.mean() < 0.6 and difference.max() <= 4
    assert "PNG gamma applied" in photos.inspect(path).notes


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", 45455)], [(b"gAMA", 45455), (b"cHRM", *CHRM["srgb"])], [(b"sRGB", 0), (b"gAMA", 100000)],
        [(b"gAMA", 0)], [(b"cHRM", *CHRM["adobe"])], [(b"gAMA", 45455), (b"cHRM", *[0] * 8)],
    ],
)  # fmt: skip
def test_chunks_of_srgb_or_none_change_nothing(tmp_path, chunks):
    path = png(tmp_path, noise(), *chunks)
    np.testing.assert_array_equal(photos.read(path), np.asarray(noise()))
    assert photos.inspect(path).notes == ()


@pytest.mark.parametrize(("space", "index", "is_adobe"), [(0xFFFF, "R03", True), (2, "", True), (0xFFFF, "R98", False),
                                                          (1, "R03", False), (0xFFFF, None, False)])  # fmt: skip
def test_adobe_rgb_that_a_camera_marks_in_exif(tmp_path, space, index, is_adobe):
    exif = PIL.Image.Exif()
    exif[34665] = {0xA001: space} | ({0xA005: {1: index}} if index is not None else {})
    path = tmp_path / "photo.jpg"
    noise().save(path, quality=100, subsampling=0, exif=exif)
    with PIL.Image.open(path) as image:
        plain = image.convert("RGB")
    wanted = expected(plain, rgb_profile(ADOBE_RGB, 563 / 256)) if is_adobe else np.asarray(plain)
    assert np.abs(photos.read(path).astype(int) - wanted).mean() < 0.6
    assert photos.inspect(path).notes == (("Adobe RGB converted",) if is_adobe else ())
    path = saved(tmp_path, plain, PROFILES["p3"], "profile.jpg")  # a profile goes before
    assert photos.inspect(path).notes == ("colour profile applied",)


def test_threads_share_a_profile():
    pictures = [noise().resize((300 + number, 200)) for number in range(8)]
    wanted = [expected(picture, PROFILES["p3"]) for picture in pictures]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda picture: colours.to_srgb(picture, PROFILES["p3"])[0], pictures * 4)
        for one, other in zip(found, wanted * 4, strict=True):
            np.testing.assert_array_equal(np.asarray(one), other)
