import av
import numpy as np
import pytest
import tiny_clips

from common.media import clips, hdr

PQ, HLG, BT2020, BT2020_MATRIX = 16, 18, 9, 9


def pq(nits):
    """The signal of a brightness (SMPTE ST 2084)."""
    power = (np.asarray(nits) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def srgb(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def shown(signal, transfer, primaries=BT2020):
    pixels = np.rint(np.broadcast_to(signal, (300, 2, 3)) * 65535).astype(np.uint16)
    found = hdr.to_srgb(pixels, transfer, primaries)
    assert (found == found[0, 0]).all()
    return found[0, 0].astype(int)


@pytest.mark.quick
@pytest.mark.parametrize("nits", [0.1, 1, 20, 100, 203, 400, 10_000])
def test_pq_is_shown_as_bright_as_it_is_against_white_paper(nits):
    np.testing.assert_allclose(shown(pq(nits), PQ), np.repeat(srgb(nits / 203), 3), atol=1)


@pytest.mark.quick
def test_hlg():
    """ITU-R BT.2408: 75 % of the signal is 203 nits, 38 % is 26 nits (a grey card of 18 %)."""
    assert shown(0.75, HLG).min() >= 254 and shown(1.0, HLG).tolist() == [255, 255, 255]
    np.testing.assert_allclose(shown(0.38, HLG), np.repeat(srgb(26 / 203), 3), atol=2)
    assert shown(0, HLG).max() == 0


@pytest.mark.quick
def test_colours_of_the_wider_space():
    """BT.709's red, as BT.2020 has it (ITU-R BT.2087), and a grey that stays one."""
    red = np.array([0.6274, 0.0691, 0.0164]) * 203
    np.testing.assert_allclose(shown(pq(red), PQ), [255, 0, 0], atol=6)
    np.testing.assert_allclose(shown(pq([203, 0, 0]), PQ, primaries=hdr.BT709), [255, 0, 0], atol=1)


@pytest.mark.parametrize(("transfer", "signal"), [(PQ, pq(203)), (HLG, 0.75)])
@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "gbrap16le"])
def test_white_paper_in_a_clip_is_white(tmp_path, transfer, signal, pixel_format):
    path, value = tmp_path / "clip.mkv", round(signal * 65535)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for moment in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint16), "rgb48le")
            frame = frame.reformat(format=pixel_format, dst_colorspace=BT2020_MATRIX)
            frame.color_trc, frame.color_primaries, frame.pts = transfer, BT2020, moment
            stream.codec_context.color_trc, stream.codec_context.color_primaries = transfer, BT2020
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert clips.read(path, 2).min() >= 250
    assert f"HDR ({hdr.TRANSFERS[transfer]}) converted" in clips.inspect(path).notes


def test_an_ordinary_clip_is_not_changed(tmp_path):
    path = tiny_clips.encode(tmp_path / "clip.mkv", "ffv1", "yuv420p10le", range(2))
    assert not any("HDR" in note for note in clips.inspect(path).notes)
