import base64
import concurrent.futures
import hashlib
import io
import os
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.TiffImagePlugin
import pytest

from common import errors
from common.media import dicom, headers, heic, medium, photos

pytestmark = pytest.mark.quick

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
WIDTH, HEIGHT = 48, 32


def corners():
    """A picture whose quarters are red, green / blue, yellow."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = RED
    pixels[: HEIGHT // 2, WIDTH // 2 :] = GREEN
    pixels[HEIGHT // 2 :, : WIDTH // 2] = BLUE
    pixels[HEIGHT // 2 :, WIDTH // 2 :] = YELLOW
    return PIL.Image.fromarray(pixels)


def noise(seed=0, width=WIDTH, height=HEIGHT):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def encoded(image, picture_format, **options):
    file = io.BytesIO()
    image.save(file, picture_format, **options)
    return file.getvalue()


def with_orientation(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, bits, colour_type, data, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(width, height, bits, photometric, data):
    """A grey TIFF with one uncompressed strip; each tag is (number, type, count, value)."""
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, bits), (259, 3, 1, 1),
            (262, 3, 1, photometric), (273, 4, 1, 200), (277, 3, 1, 1), (278, 3, 1, height),
            (279, 4, 1, len(data))]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + data


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def write_file(content, name="photo.jpg"):
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write_file


def problem(path):
    """What `read` and `inspect` both say about a bad file."""
    with pytest.raises(photos.ImageError) as raised:
        photos.read(path)
    facts = photos.inspect(path)
    assert facts.problem == str(raised.value)
    assert facts.problem.isprintable() and str(path) not in facts.problem
    assert (facts.format, facts.width, facts.height, facts.notes) == ("", 0, 0, ())
    return facts.problem


def test_a_plain_photo_comes_back_as_it_was_saved(write):
    content = encoded(noise(), "PNG")
    path = write(content, "photo.png")
    pixels = photos.read(path)
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, np.asarray(noise()))
    digest = hashlib.sha256(content).hexdigest()
    assert photos.inspect(path) == medium.Facts(
        path=path, bytes=len(content), sha256=digest, format="PNG", width=WIDTH, height=HEIGHT,
        small=photos.small_grey(pixels), pixels_sha256=photos.pixels_sha256(pixels),
        header={"mode": "RGB"} | headers.border(pixels),
    )  # fmt: skip


def test_the_small_picture_has_the_mean_grey_of_each_place():
    ramp = np.repeat(np.arange(0, 256, 2).astype("uint8")[None, :, None], 160, axis=0).repeat(3, axis=2)
    small = np.frombuffer(base64.b64decode(photos.small_grey(ramp)), "uint8").reshape(32, 32)
    np.testing.assert_allclose(small, np.tile(np.arange(3, 256, 8), (32, 1)), atol=1)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "top_left", "top_right", "bottom_left", "bottom_right"),
    [
        (1, RED, GREEN, BLUE, YELLOW),
        (2, GREEN, RED, YELLOW, BLUE),
        (3, YELLOW, BLUE, GREEN, RED),
        (4, BLUE, YELLOW, RED, GREEN),
        (5, RED, BLUE, GREEN, YELLOW),
        (6, BLUE, RED, YELLOW, GREEN),
        (7, YELLOW, GREEN, BLUE, RED),
        (8, GREEN, YELLOW, RED, BLUE),
    ],
)
def test_exif_orientation(write, picture_format, orientation, top_left, top_right, bottom_left, bottom_right):
    path = write(encoded(corners(), picture_format, exif=with_orientation(orientation)), "photo")
    pixels = photos.read(path).astype(int)
    assert pixels.shape == ((WIDTH, HEIGHT, 3) if orientation >= 5 else (HEIGHT, WIDTH, 3))
    found = [pixels[2, 2], pixels[2, -3], pixels[-3, 2], pixels[-3, -3]]
    np.testing.assert_allclose(found, [top_left, top_right, bottom_left, bottom_right], atol=12)
    facts = photos.inspect(path)
    assert (facts.height, facts.width) == pixels.shape[:2]
    assert facts.notes == (("EXIF rotation applied",) if orientation > 1 else ())


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_damaged_exif_data_do_not_cost_the_photo(write, exif):
    path = write(encoded(noise(), "JPEG", exif=exif))
    assert photos.read(path).shape == (HEIGHT, WIDTH, 3)


def test_impossible_orientation_is_ignored(write):
    path = write(encoded(noise(), "JPEG", exif=with_orientation(9)))
    assert photos.inspect(path).notes == ()


def test_cmyk(write):
    path = write(encoded(corners().convert("CMYK"), "JPEG", quality=95))
    pixels = photos.read(path).astype(int)
    np.testing.assert_allclose([pixels[2, 2], pixels[-3, -3]], [RED, YELLOW], atol=12)
    assert photos.inspect(path).notes == ("CMYK converted",)


def test_grey(write):
    grey = noise().convert("L")
    path = write(encoded(grey, "PNG"), "photo.png")
    np.testing.assert_array_equal(photos.read(path), np.repeat(np.asarray(grey)[..., None], 3, axis=2))
    assert photos.inspect(path).notes == ("grey",)


def test_one_bit(write):
    path = write(encoded(PIL.Image.new("1", (9, 9), 1), "PNG"), "photo.png")
    assert (photos.read(path) == 255).all()
    assert photos.inspect(path).notes == ("1-bit expanded", "grey", "one colour")


@pytest.mark.parametrize("picture_format", ["PNG", "GIF", "BMP"])
def test_palette(write, picture_format):
    path = write(encoded(corners().quantize(4), picture_format), f"photo.{picture_format.lower()}")
    np.testing.assert_array_equal(photos.read(path), np.asarray(corners()))
    assert photos.inspect(path).notes == ("palette expanded",)


def test_half_transparent_is_half_white(write):
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[:5] = (255, 0, 0, 128)
    pixels[5:] = (0, 0, 255, 0)
    path = write(encoded(PIL.Image.fromarray(pixels), "PNG"), "photo.png")
    found = photos.read(path).astype(int)
    np.testing.assert_allclose(found[0, 0], (255, 127, 127), atol=1)
    np.testing.assert_array_equal(found[9, 9], (255, 255, 255))
    assert photos.inspect(path).notes == ("alpha composited on white",)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_of_0_everywhere_is_ignored(write, mode):
    picture = noise().convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    picture.putalpha(0)
    path = write(encoded(picture, "PNG"), "photo.png")
    np.testing.assert_array_equal(photos.read(path), expected)
    assert "alpha ignored: it is 0 everywhere" in photos.inspect(path).notes


def test_opaque_alpha_is_dropped(write):
    path = write(encoded(noise().convert("RGBA"), "PNG"), "photo.png")
    np.testing.assert_array_equal(photos.read(path), np.asarray(noise()))
    assert photos.inspect(path).notes == ()


@pytest.mark.parametrize("picture_format", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(write, picture_format):
    palette = PIL.Image.new("P", (10, 10), 0)
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.putpixel((3, 3), 1)
    content = encoded(palette, picture_format, transparency=1)
    pixels = photos.read(write(content, f"photo.{picture_format.lower()}"))
    assert pixels[3, 3].tolist() == [255, 255, 255] and pixels[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("picture_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257(write, picture_format):
    steps = np.linspace(0, 65535, 16 * 16).astype(np.uint16).reshape(16, 16)
    steps[0, 1] = 300  # Pillow's own conversion makes it white
    path = write(encoded(PIL.Image.fromarray(steps), picture_format), f"photo.{picture_format.lower()}")
    np.testing.assert_array_equal(photos.read(path)[..., 1], np.rint(steps / 257))
    assert photos.inspect(path).notes[0] == "16-bit scaled"


def test_16_bit_grey_with_one_transparent_value(write):
    samples = np.full((10, 10), 2570, ">u2")
    samples[0] = 25700
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    transparent = chunk(b"tRNS", samples[0, 0].tobytes())
    pixels = photos.read(write(png(10, 10, 16, 0, rows, transparent), "photo.png"))
    assert pixels[0, 0, 0] == 255 and pixels[1, 0, 0] == 10


def test_16_bit_colour(write):
    samples = np.random.default_rng(0).integers(0, 65536, (10, 10, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    path = write(png(10, 10, 16, 2, rows), "photo.png")
    np.testing.assert_allclose(photos.read(path), samples / 257, atol=1)
    assert photos.inspect(path).notes == ("16-bit scaled",)


def test_tiff_where_white_is_zero(write):
    samples = np.full((10, 10), 2570, "<u2")
    assert photos.read(write(tiff(10, 10, 16, 1, samples.tobytes()), "a.tif"))[0, 0, 0] == 10
    assert photos.read(write(tiff(10, 10, 16, 0, samples.tobytes()), "b.tif"))[0, 0, 0] == 245


def test_12_bit_tiff_is_as_bright_as_it_should_be(write):
    pixels = photos.read(write(tiff(10, 10, 12, 1, b"\xff" * 150), "photo.tif"))
    assert (pixels == 255).all()


def test_phone_photo_of_two_pictures_gives_the_first(write):
    content = encoded(corners(), "MPO", save_all=True, append_images=[noise()], quality=95)
    path = write(content)
    np.testing.assert_allclose(photos.read(path)[2, 2].astype(int), RED, atol=12)
    assert photos.inspect(path).notes == ("first picture of several taken",)


def test_wrong_extension_is_noted_and_read(write):
    path = write(encoded(noise(), "PNG"), "photo.JPG")
    assert photos.inspect(path).notes == ("PNG named .jpg",)
    np.testing.assert_array_equal(photos.read(path), np.asarray(noise()))


@pytest.mark.parametrize("extension", sorted({*photos.EXTENSIONS} - {*heic.EXTENSIONS, *dicom.EXTENSIONS}))
def test_every_extension_is_one_that_pillow_saves_and_we_read(write, extension):
    picture_format = PIL.Image.registered_extensions()[extension]
    facts = photos.inspect(write(encoded(noise(), picture_format), f"photo{extension}"))
    assert facts.problem == "" and not any("named" in note for note in facts.notes)


@pytest.mark.parametrize("name", ["blümchen 花.png", "a\nb.png", "a'\"b.png", b"\xff\xfe.png"])
def test_odd_names(write, name):
    path = write(encoded(noise(), "PNG"), os.fsdecode(name))
    assert photos.inspect(path).problem == ""
    assert photos.inspect(path).path == path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty: it has zero bytes"),
        (b"<!-- hm --><!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"\n<HTML><body>Not found", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML file"),
        (b"<?xml version='1.0'?><svg></svg>", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "truncated"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"%PDF-1.4\n%", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript drawing"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"PK\x03\x04\0\0", "a ZIP archive"),
        ("nur ein paar Wörter\n".encode() * 40, "a text file"),
        (b"\0" * 1000, "contains only zeros"),
        (b"\x93\xfa\x01\x88" * 50, "its format is unknown"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "truncated"),
        (b"GIF89a", "damaged: its header cannot be read"),
    ],
)
def test_what_is_no_image_is_named(write, content, expected):
    assert expected in problem(write(content))


@pytest.mark.parametrize("picture_format", ["PPM", "ICO", "TGA", "EPS"])
def test_formats_that_are_not_meant_are_not_opened(write, picture_format):
    assert problem(write(encoded(noise(), picture_format))).startswith("not an image")


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.98])
def test_cut_off_file(write, picture_format, kept):
    content = encoded(noise(width=128, height=128), picture_format)
    kind = problem(write(content[: int(kept * len(content))])).split(":")[0]
    # Without its header a file cannot be told from a damaged one, and AVIF's decoder does not try.
    vague = kept < 0.5 or picture_format == "AVIF"
    assert kind == "truncated" or (vague and kind == "damaged")


def test_a_library_that_tolerates_cut_off_files_changes_nothing(write, monkeypatch):
    content = encoded(noise(), "JPEG")
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert problem(write(content[:-100])).startswith("truncated")


def test_wrong_checksum_of_a_png_s_pixels(write):
    content = bytearray(encoded(noise(), "PNG"))
    content[-13] ^= 1  # the last byte of the IDAT chunk's checksum
    assert problem(write(bytes(content), "photo.png")).startswith("damaged")


@pytest.mark.parametrize("picture_format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animated(write, picture_format):
    content = encoded(noise(), picture_format, save_all=True, append_images=[noise(1), noise(2)])
    assert "animated: 3 frames" in problem(write(content))


def pages(*kinds):
    """A TIFF with a page for each value of the tag NewSubfileType, the first of `corners`, the others of noise."""
    file = io.BytesIO()
    with PIL.TiffImagePlugin.AppendingTiffWriter(file, True) as writer:
        for number, kind in enumerate(kinds):
            picture = noise(number) if number else corners()
            picture.save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    return file.getvalue()


@pytest.mark.parametrize("kind", [1, 4])
def test_a_reduced_copy_and_a_mask_are_no_pages(write, kind):
    path = write(pages(0, kind), "photo.tif")
    np.testing.assert_array_equal(photos.read(path), np.asarray(corners()))
    assert photos.inspect(path).notes == ("reduced copy in the file ignored",)
    path = write(pages(kind, 0), "photo.tif")
    np.testing.assert_array_equal(photos.read(path), np.asarray(noise(1)))
    assert problem(write(pages(0, 0, kind), "photo.tif")).startswith("several pages: 3")


def test_several_pages(write):
    content = encoded(noise(), "TIFF", save_all=True, append_images=[noise(1)])
    assert "several pages: 2" in problem(write(content, "photo.tif"))


def tiff_of(samples, sample_format, extra=False):
    """An uncompressed TIFF of (height, width, bands) samples; the format: 1 unsigned, 2 signed, 3 floating-point."""
    height, width, bands = samples.shape
    file = PIL.TiffImagePlugin.ImageFileDirectory_v2()
    file[256], file[257], file[259], file[277], file[278] = width, height, 1, bands, height
    file[258], file[339] = (8 * samples.itemsize,) * bands, (sample_format,) * bands
    file[262] = 2 if bands > 2 else 1
    file[273], file[279] = 0, samples.nbytes  # `tobytes` adds where the pixels begin
    if extra:
        file[338] = (0,) * (bands - 3)
    data = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    return b"II*\0" + struct.pack("<I", 8) + file.tobytes(8) + data


@pytest.mark.parametrize(
    ("dtype", "bands", "sample_format", "expected"),
    [
        (np.float32, 1, 3, "floating-point samples: their range is unknown; save it with 8 or 16 bits, unsigned"),
        (np.float32, 3, 3, "floating-point samples: their range is unknown"),
        (np.int16, 1, 2, "signed 16-bit samples: their range is unknown"),
        (np.int16, 3, 2, "signed 16-bit samples: their range is unknown"),
        (np.int32, 1, 2, "signed 32-bit samples: their range is unknown"),
        (np.uint32, 1, 1, "32-bit samples: their range is unknown"),
        (np.uint8, 5, 1, "5 bands: only grey and RGB are read; save the bands that you want as an RGB PNG"),
        (np.uint32, 3, 1, "32-bit samples: their range is unknown"),
        (np.int8, 1, 2, "signed 8-bit samples: their range is unknown"),
        (np.uint8, 2, 1, "unusual TIFF: 2 bands of 8 bits; convert it to PNG"),
    ],
)
def test_sound_files_of_other_kinds_are_called_what_they_are(write, dtype, bands, sample_format, expected):
    samples = np.random.default_rng(0).integers(0, 100, (10, 12, bands)).astype(dtype)
    assert problem(write(tiff_of(samples, sample_format), "photo.tif")).startswith(expected)


def test_grey_and_cmyk_with_alpha_are_read(write):
    for mode in ("LA", "CMYK", "RGBA"):
        assert photos.read(write(encoded(noise().convert(mode), "TIFF"), "photo.tif")).shape == (HEIGHT, WIDTH, 3)


def test_bands_that_pillow_would_drop(write):
    samples = np.random.default_rng(0).integers(0, 256, (10, 12, 6)).astype(np.uint8)
    assert problem(write(tiff_of(samples, 1, extra=True), "photo.tif")).startswith("6 bands: only grey and RGB")
    path = write(tiff_of(samples[..., :4].copy(), 1, extra=True), "photo.tif")
    np.testing.assert_array_equal(photos.read(path), samples[..., :3])
    assert photos.inspect(path).notes == ("fourth band ignored: it is neither a colour nor alpha",)


def test_a_damaged_tiff_is_still_called_damaged(write):
    content = tiff_of(np.zeros((10, 12, 5), np.uint8), 1)
    for end in (60, 30, 10, 6):
        assert problem(write(content[:end], "photo.tif")).startswith("damaged: its header cannot be read")


def test_decompression_bombs_are_refused_from_the_header(write, monkeypatch):
    huge = png(30_000, 30_000, 1, 0, b"\0" * 1000)
    large = png(12_000, 8_000, 1, 0, b"\0" * 1000)
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    assert problem(write(huge, "photo.png")).startswith("too many pixels")
    assert problem(write(large, "photo.png")).startswith("too many pixels: 12,000 x 8,000")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)  # as libraries do
    assert problem(write(huge, "photo.png")).startswith("too many pixels: 30,000 x 30,000")


@pytest.mark.parametrize(
    "options", [{}, {"exif": with_orientation(6)}, {"save_all": True, "append_images": [noise(1)]}]
)
def test_a_very_large_jpeg_is_scaled_while_it_is_decoded(write, monkeypatch, options):
    smooth = PIL.Image.linear_gradient("L").resize((640, 480)).convert("RGB")
    path = write(encoded(smooth, "MPO" if "save_all" in options else "JPEG", **options))
    monkeypatch.setattr(photos, "MAX_PIXELS", 640 * 480 // 2)
    monkeypatch.setattr(photos, "MAX_JPEG_PIXELS", 640 * 480)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow alone would refuse it
    pixels, facts = photos.read(path), photos.inspect(path)
    right = smooth.resize((320, 240)).rotate(-90 if "exif" in options else 0, expand=True)
    assert abs(pixels.astype(int) - np.asarray(right)).max() < 6
    assert pixels.shape == (facts.height, facts.width, 3) and facts.notes[0] == "scaled down while decoding"
    monkeypatch.setattr(photos, "MAX_JPEG_PIXELS", 640 * 480 - 1)
    assert problem(path).startswith("too many pixels: 640 x 480")


def test_too_small(write):
    assert problem(write(encoded(noise(width=7, height=99), "PNG"))).startswith("too small: 7 x 99")
    assert photos.inspect(write(encoded(noise(width=8, height=8), "PNG"))).problem == ""


def test_too_large_a_file_is_not_read(write, monkeypatch):
    path = write(encoded(noise(), "PNG"))
    monkeypatch.setattr(photos, "MAX_BYTES", 100)
    assert problem(path).startswith("too large")


def test_missing_folder_pipe_and_link(tmp_path):
    assert problem(tmp_path / "none.jpg") == ("missing: there is no such file; correct the path or remove the entry")
    (tmp_path / "folder.jpg").mkdir()
    assert "a folder" in problem(tmp_path / "folder.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "a pipe" in problem(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("nowhere")
    assert "a link to nothing" in problem(tmp_path / "link.jpg")
    assert problem("a\0b.jpg").startswith("unreadable")


def test_no_permission(write, monkeypatch):
    path = write(encoded(noise(), "PNG"))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Root may read everything, and tests often run as root: hence simulated.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(errors.UserError, match="unreadable: Permission denied; check"):
        photos.read(path)


@pytest.mark.parametrize(
    "thrown",
    [struct.error, SyntaxError, OverflowError, ZeroDivisionError, KeyError, MemoryError, RecursionError,
     EOFError, AssertionError, UnicodeDecodeError("utf-8", b"", 0, 1, "no"), OSError("two\nlines")],
)  # fmt: skip
def test_whatever_a_plugin_throws_is_an_image_error(write, monkeypatch, thrown):
    def throw(image):
        raise thrown

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", throw)
    assert problem(write(encoded(noise(), "BMP")))


def test_odd_metadata_say_nothing_on_the_terminal(write, capfd, recwarn):
    content = bytearray(encoded(noise(), "TIFF", compression="tiff_adobe_deflate"))
    content[40:60] = b"\xff" * 20  # libtiff would complain in C
    problem(write(bytes(content), "photo.tif"))
    apng = png(10, 10, 8, 0, b"\0" * 110, chunk(b"acTL", struct.pack(">II", 0, 0)))
    assert photos.inspect(write(apng, "photo.png")).problem == ""  # Pillow warns: "Invalid APNG"
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_silence_survives_a_reset_of_the_filters(write):
    apng = write(png(10, 10, 8, 0, b"\0" * 110, chunk(b"acTL", struct.pack(">II", 0, 0))), "photo.png")
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("error")
        assert photos.read(apng).shape == (10, 10, 3)


def test_threads_at_the_same_time(write):
    paths = [write(encoded(noise(seed), "PNG"), f"{seed}.png") for seed in range(20)]
    expected = [np.asarray(noise(seed)) for seed in range(20)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(photos.read, paths * 5), expected * 5, strict=True):
            np.testing.assert_array_equal(found, wanted)
