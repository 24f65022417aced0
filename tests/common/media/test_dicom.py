import sys

import numpy as np
import pytest
import tiny_dicom
from pydicom import dataset

from common.media import dicom, photos

pytestmark = pytest.mark.quick

# Stored values 0 to 4095, of which the window shows 1024 to 3072 (in Hounsfield units 0 to 2048).
STORED = np.linspace(0, 4095, 16 * 16).round().astype(np.uint16).reshape(16, 16)
SCALED = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": "1", "RescaleIntercept": "-1024"}
WINDOW = {"WindowCenter": "1024", "WindowWidth": "2048", "VOILUTFunction": "LINEAR_EXACT"}


@pytest.fixture
def read(tmp_path):
    """A function that reads DICOM content: (pixels, notes)."""

    def read_content(content):
        path = tmp_path / "one.dcm"
        path.write_bytes(content)
        facts = photos.inspect(path)
        assert not facts.problem and facts.format == "DICOM" and not any("named" in note for note in facts.notes)
        pixels = photos.read(path)
        assert pixels.dtype == np.uint8 and pixels.shape == (facts.height, facts.width, 3)
        return pixels, facts.notes

    return read_content


@pytest.fixture
def problem(tmp_path):
    """A function that returns what is wrong with a file's content."""

    def problem_of(content):
        (tmp_path / "bad.dcm").write_bytes(content)
        facts = photos.inspect(tmp_path / "bad.dcm")
        with pytest.raises(photos.ImageError) as raised:
            photos.read(tmp_path / "bad.dcm")
        assert facts.problem == str(raised.value)
        return facts.problem

    return problem_of


def test_the_window_is_applied_to_rescaled_values(read):
    pixels, notes = read(tiny_dicom.dicom(STORED, **SCALED, **WINDOW))
    right = np.rint(((STORED.astype(float) - 1024) / 2048).clip(0, 1) * 255)
    assert abs(pixels - right[..., None]).max() <= 1 and notes == ("DICOM window applied", "grey")


def test_the_first_of_several_windows_counts(read):
    several = {"WindowCenter": ["1024", "0"], "WindowWidth": ["2048", "1"], "VOILUTFunction": "LINEAR_EXACT"}
    one, other = (read(tiny_dicom.dicom(STORED, **SCALED, **window))[0] for window in (WINDOW, several))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", [{}, WINDOW, {"RescaleSlope": "-1", "RescaleIntercept": "0"}])
def test_monochrome1_is_inverted(read, how):
    plain, _ = read(tiny_dicom.dicom(STORED, **how))
    inverted, notes = read(tiny_dicom.dicom(STORED, **how, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverted, 255 - plain)
    assert "MONOCHROME1 inverted" in notes


def test_a_table_of_grey_values_is_applied(read):
    table = dataset.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], [65535, 0, 32768, 16384]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    stored = np.repeat(np.arange(8, dtype=np.uint8), 8).reshape(8, 8)
    pixels, _ = read(tiny_dicom.dicom(stored, VOILUTSequence=[table]))
    assert pixels[:, 0, 0].tolist() == [255, 0, 128, 64, 64, 64, 64, 64]


def test_signed_values_without_a_window_fill_their_own_range_without_padding(read):
    signed = (STORED.astype(np.int16) - 2048).clip(-1000, 1000)
    signed[0, 0] = -2000
    pixels, notes = read(tiny_dicom.dicom(signed, PixelPaddingValue=-2000))
    assert notes == ("no DICOM window: scaled to its own range", "grey")
    assert pixels[0, 0, 0] == 0 and pixels.max() == 255
    assert abs(int(pixels[8, 0, 0]) - round((int(signed[8, 0]) + 1000) / 2000 * 255)) <= 1


def test_a_window_of_no_width_is_noted(read):
    _, notes = read(tiny_dicom.dicom(STORED, WindowCenter="5", WindowWidth="0"))
    assert notes[0] == "DICOM window unusable"


def test_8_bits_and_colours_stay_as_they_are(read):
    grey = np.arange(100, dtype=np.uint8).reshape(10, 10)
    pixels, notes = read(tiny_dicom.dicom(grey))
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, axis=2))
    assert notes == ("grey",)
    colours = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read(tiny_dicom.dicom(colours))[0], colours)


def test_what_cannot_be_one_picture_is_refused(problem, monkeypatch):
    grey = np.zeros((10, 10), np.uint8)
    assert problem(tiny_dicom.dicom(np.zeros((30, 10), np.uint8), Rows=10, NumberOfFrames=3)).startswith(
        "several frames: 3; save"
    )
    assert problem(tiny_dicom.dicom(grey)[:-60]).startswith("truncated")
    assert problem(tiny_dicom.dicom(grey, Rows=60000, Columns=60000)).startswith("too many pixels: 60,000 x 60,000")
    assert problem(tiny_dicom.dicom(grey[:5])).startswith("too small")
    assert problem(tiny_dicom.dicom(grey)[:300]).startswith("no picture")
    monkeypatch.setitem(sys.modules, "pydicom", None)  # as if it were not installed
    assert problem(tiny_dicom.dicom(grey)) == dicom.INSTALL


def test_a_picture_is_known_by_its_content(tmp_path):
    (tmp_path / "scan.jpg").write_bytes(tiny_dicom.dicom(np.zeros((10, 10), np.uint8)))
    assert photos.inspect(tmp_path / "scan.jpg").notes == ("DICOM named .jpg", "grey")


def test_the_patient(tmp_path):
    grey = np.zeros((10, 10), np.uint8)
    for name, elements in {"a": {"PatientID": " 17 "}, "b": {"PatientID": ""}, "c": {}}.items():
        (tmp_path / f"{name}.dcm").write_bytes(tiny_dicom.dicom(grey, **elements))
    (tmp_path / "d.dcm").write_bytes(b"junk")
    assert [photos.PHOTOS.group(tmp_path / f"{name}.dcm") for name in "abcd"] == ["17", "", "", ""]
    (tmp_path / "a.dcm").rename(tmp_path / "a.png")
    assert photos.PHOTOS.group(tmp_path / "a.png") == ""  # only files that are named like DICOM are opened for it
