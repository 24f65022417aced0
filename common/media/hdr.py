"""HDR video: from brightness in nits to sRGB, so that white paper is as white as in other clips.

HDR clips carry light up to 10,000 nits (PQ) or relative to the screen (HLG), in the wider colours of BT.2020. Both
formats put diffuse white, such as paper, at 203 nits (ITU-R BT.2408). It becomes 255 here, and brighter lights too.
FFmpeg's scale filter does the same with `out_transfer`, at five times the cost.
"""

import functools

import numpy as np

TRANSFERS = {16: "PQ", 18: "HLG"}  # the numbers of ITU-T H.273
DIFFUSE_WHITE = 203.0  # nits
HLG_PEAK = 1000.0  # nits of the screen that HLG is meant for
ROWS = 256  # converted at once, which bounds the memory

BT2020, BT709 = 9, 1
# Linear light, from BT.2020's primaries to those of BT.709 (ITU-R BT.2087).
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], "float32")
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], "float32")


def to_srgb(pixels: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Return an HDR picture as sRGB, uint8 (height, width, 3).

    Args:
        pixels: uint16 (height, width, 3), the RGB signal from 0 to 65535.
        transfer: one of `TRANSFERS`.
        primaries: as in ITU-T H.273; anything but BT.709 is taken for BT.2020, which HDR is made in.
    """
    shown = np.empty(pixels.shape, np.uint8)
    for first in range(0, len(pixels), ROWS):
        light = _light(transfer)[pixels[first : first + ROWS]]
        if TRANSFERS[transfer] == "HLG":
            light *= (light @ _LUMINANCE)[..., np.newaxis] ** 0.2 * np.float32(HLG_PEAK / DIFFUSE_WHITE)
        if primaries != BT709:
            light = light @ _TO_BT709.T
        shown[first : first + ROWS] = _srgb()[np.rint(np.clip(light, 0, 1) * 65535).astype(np.uint16)]
    return shown


@functools.cache
def _light(transfer: int) -> np.ndarray:
    """Return the light for each signal of 16 bits, float32: for PQ 1 is diffuse white, for HLG the scene's maximum."""
    signal = np.linspace(0, 1, 65536)
    if TRANSFERS[transfer] == "PQ":  # SMPTE ST 2084
        power = signal ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (nits / DIFFUSE_WHITE).astype("float32")
    # ITU-R BT.2100
    return np.where(
        signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    ).astype("float32")


@functools.cache
def _srgb() -> np.ndarray:
    """Return the sRGB value, 0–255, for each linear light of 16 bits (IEC 61966-2-1)."""
    light = np.linspace(0, 1, 65536)
    return np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)).astype(
        "uint8"
    )
