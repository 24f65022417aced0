"""Photos with boxes drawn on them: true ones, and found ones that are right, missed or false."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Sequence

import matplotlib.figure
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.report import figures

# From Okabe and Ito's palette for colour-blind readers; the lines differ too.
COLOURS = {"true": (0, 158, 115), "right": (0, 158, 115), "missed": (213, 94, 0), "false": (204, 60, 160)}
DASHES = {"missed": (7, 4), "false": (2, 3)}  # pixels drawn and left out; the others are whole lines
SIDE = 560  # pixels on the longer side, twice what a page shows


@dataclasses.dataclass(frozen=True)
class Mark:
    """A box to draw: its edges in pixels of the photo, a word, and its kind, one of `COLOURS`."""

    edges: tuple[float, float, float, float]
    text: str
    kind: str


def drawn(pixels: np.ndarray, marks: Iterable[Mark], side: int | None = SIDE) -> np.ndarray:
    """Return a photo with boxes, uint8 (height, width, 3).

    Args:
        pixels: the photo, uint8 (height, width, 3).
        marks: the boxes.
        side: the longer side of the result; None keeps the photo's size.
    """
    scale = side / max(pixels.shape[:2]) if side else 1.0
    size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
    image = Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.LANCZOS)
    pen, width = ImageDraw.Draw(image), max(2, round(max(size) / 220))
    font = ImageFont.load_default(max(10, round(max(size) / 38)))
    for mark in marks:
        colour = COLOURS[mark.kind]
        left, top, right, bottom = (edge * scale for edge in mark.edges)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        for start, stop in zip(corners, corners[1:], strict=False):
            _line(pen, start, stop, colour, width, DASHES.get(mark.kind))
        if mark.text:
            place = (left + width, max(0.0, top - 1))
            pen.rectangle(pen.textbbox(place, mark.text, font=font), fill=colour)
            pen.text(place, mark.text, fill=(255, 255, 255), font=font)
    return np.asarray(image)


def _line(
    pen: ImageDraw.ImageDraw, start: tuple[float, float], stop: tuple[float, float], colour: tuple[int, int, int],
    width: int, dashes: tuple[int, int] | None,
) -> None:  # fmt: skip
    """Draw an upright or level line, whole or in dashes."""
    first, last = np.array(start), np.array(stop)
    length = float(np.abs(last - first).sum())
    if not dashes or not length:
        pen.line([start, stop], fill=colour, width=width)
        return
    on, off = (part * width / 2 for part in dashes)
    for begin in np.arange(0, length, on + off):
        ends = [first + (last - first) * place / length for place in (begin, min(begin + on, length))]
        pen.line([tuple(map(float, end)) for end in ends], fill=colour, width=width)


def png(picture: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


@figures.png(colours=256)
def curves(by_class: dict[str, Sequence[float]], *, theme: figures.Theme) -> matplotlib.figure.Figure:
    """Draw precision against recall at an overlap of 0.5, a line for each class.

    Args:
        by_class: the precision at 101 recalls from 0 to 1; below 0 where it is not defined.
    """
    figure, axes = figures.new_figure(5.4, 3.9)
    recalls = np.linspace(0, 1, 101)
    for number, (name, values) in enumerate(by_class.items()):
        if min(values) < 0:
            continue
        style = "-" if number < len(theme.lines) else "--"
        axes.plot(recalls, values, style, color=theme.lines[number % len(theme.lines)], label=figures.short(name))
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(figures.PERCENT)
    figure.legend(loc="outside upper left", ncols=4)
    return figure
