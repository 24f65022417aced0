import dataclasses
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from common.media import clips, deep, medium, photos

pytestmark = pytest.mark.quick

GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6  # PNG's colour types


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples, colour_type, extra=b""):
    """A PNG of 16-bit samples, (height, width, channels), filtered so that a wrong sample size would show."""
    height, width, channels = samples.shape
    rows = b""
    for row in samples.astype(">u2"):
        raw = np.frombuffer(row.tobytes(), np.uint8).astype(int)
        raw[2 * channels :] -= raw[: -2 * channels].copy()
        rows += b"\1" + (raw % 256).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def draw(channels, largest, seed=0):
    samples = np.random.default_rng(seed).integers(0, largest + 1, (12, 16, channels)).astype(np.uint16)
    samples[0, 0] = largest
    return samples


def scaled(samples, white):
    return np.rint(np.minimum(samples, white) * (255 / white)).astype(int)


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="photo.png"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write_file


@pytest.mark.parametrize("white", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("colour_type", [GREY, RGB, GREY_ALPHA, RGB_ALPHA])
def test_every_bit_counts(write, colour_type, white):
    channels = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGB_ALPHA: 4}[colour_type]
    samples = draw(channels, white)
    if colour_type in (GREY_ALPHA, RGB_ALPHA):
        samples[..., -1] = 65535
    path = write(png(samples, colour_type))
    shown = samples[..., :3] if channels > 2 else samples[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(photos.read(path, white), scaled(shown, white))
    np.testing.assert_array_equal(photos.read(path), scaled(shown, 65535))
    facts = photos.inspect(path)
    assert facts.largest_sample == white and facts.pixels_sha256 == photos.pixels_sha256(photos.read(path, white))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_grey_tiff(tmp_path, compression):
    samples = draw(1, 4000)[..., 0]
    PIL.Image.fromarray(samples).save(tmp_path / "photo.tif", compression=compression)
    np.testing.assert_array_equal(photos.read(tmp_path / "photo.tif", 4095)[..., 0], scaled(samples, 4095))
    assert photos.inspect(tmp_path / "photo.tif").largest_sample == 4000


@pytest.mark.parametrize("order", ["<", ">"])
def test_colour_tiff(tmp_path, order):
    samples = draw(3, 4000)
    data = samples.astype(f"{order}u2").tobytes()
    tags = [(256, 4, 16), (257, 4, 12), (258, 3, 3), (259, 3, 1), (262, 3, 2), (273, 4, 140), (274, 3, 3),
            (277, 3, 3), (278, 4, 12), (279, 4, len(data))]  # fmt: skip
    content = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    for number, kind, value in tags:
        if number == 258:  # three values, which are at 134
            content += struct.pack(f"{order}HHII", number, kind, value, 134)
        else:
            content += struct.pack(f"{order}HHI" + {3: "HH", 4: "I"}[kind], number, kind, 1, *(value, 0)[: 5 - kind])
    content = (content + bytes(4)).ljust(134, b"\0") + struct.pack(f"{order}3H", 16, 16, 16) + data
    (tmp_path / "photo.tif").write_bytes(content)
    read = photos.read(tmp_path / "photo.tif", 4095)
    np.testing.assert_array_equal(read, scaled(samples, 4095)[::-1, ::-1])  # its orientation is upside down


def test_the_transparent_colour_has_16_bits(write):
    """Colours whose upper 8 bits are the same are not transparent."""
    samples = np.full((12, 16, 3), (0xF0F0, 0x8080, 0x1010), np.uint16)
    samples[:, :8], samples[:, 8:10] = (0x1234, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9ABD)
    path = write(png(samples, RGB, chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC))))
    read = photos.read(path)
    assert (
        (read[:, :8] == 255).all() and read[0, 8].tolist() == [18, 86, 154] and read[0, 15].tolist() == [240, 128, 16]
    )
    assert photos.inspect(path).notes == ("16-bit scaled", "alpha composited on white")


def test_the_deepest_file_decides_for_all():
    assert deep.white_of([0, 200, 1023]) == 1023 and deep.white_of([1024, 300]) == 4095
    assert (
        deep.white_of([255]) == 255 and deep.white_of([70, 65535]) == deep.white_of([]) == deep.white_of([0]) == 65535
    )


@pytest.mark.parametrize("kind", [photos.Photos(), clips.Clips(4), clips.Clips(4, "window", 2, 3)])
def test_a_medium_keeps_its_white(tmp_path, kind):
    """For `predict`, and in the names of cached features."""
    (tmp_path / "frames").mkdir()
    for number in range(5):
        (tmp_path / "frames" / f"{number}.png").write_bytes(png(draw(3, 3000 + number, number), RGB))
    path = tmp_path / "frames" / ("0.png" if kind.name == "photos" else "")
    facts = kind.inspect(path)
    fitted = kind.fitted([facts, dataclasses.replace(facts, largest_sample=0)])
    assert fitted == medium.restored(fitted.saved()) != kind and fitted.white == 4095
    assert fitted.remark == "no 16-bit file has a value above 4,095, so 4,095 is read as white" and not kind.remark
    assert fitted.read(path).max() > 180 > 20 > kind.read(path).max()
    assert fitted.thumbnail(path).max() > 180
    for side in ("train", "test"):
        assert {look.mark for look in fitted.looks(side)}.isdisjoint(look.mark for look in kind.looks(side))
    assert kind.fitted([dataclasses.replace(facts, largest_sample=0)]) == kind
