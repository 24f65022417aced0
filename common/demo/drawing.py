"""A pen for drawn photos: shapes in object coordinates, seen through one pose.

Object coordinates have x to the right and y down, both about -1 to 1. Pose and colours belong to the pen, so that no
class can have its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Colour = int | tuple[int, ...]  # a grey value, or (red, green, blue); 0 to 255


def arc(x: float, y: float, radius_x: float, radius_y: float, start: float = 0.0, stop: float = 360.0) -> np.ndarray:
    """Return points (16, 2) on an arc of an ellipse; angles are in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, stop, 16))
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def mirror(points: Any) -> np.ndarray:
    """Reflect the points (n, 2) left to right."""
    return np.asarray(points, dtype=float) * (-1.0, 1.0)


def smooth(points: Any, closed: bool, steps: int = 6) -> np.ndarray:
    """Return a Catmull-Rom curve through the points: (n, 2) becomes about (n * steps, 2)."""
    points = np.asarray(points, dtype=float)
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([ends[0], points, ends[1]])
    before, start, stop, after = (padded[i : len(padded) - 3 + i] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    slope = (stop - before) / 2
    next_slope = (after - start) / 2
    bend = 3 * (stop - start) - 2 * slope - next_slope
    turn = 2 * (start - stop) + slope + next_slope
    curve = (start + t * (slope + t * (bend + t * turn))).swapaxes(0, 1).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


class Pose:
    """The place and orientation of a thing in the picture: a mild perspective transform.

    Args:
        centre: position in the picture, (x, y), each 0 to 1.
        scale: length of one object unit, as a fraction of the picture's side.
        turn: rotation in radians.
        stretch, shear, tilt: width over height, slant, and perspective (x and y); 1, 0 and (0, 0) for none.
        mirrored: whether left and right are exchanged.
    """

    def __init__(
        self, centre: Any, scale: float, turn: float = 0.0, stretch: float = 1.0, shear: float = 0.0,
        tilt: Any = (0.0, 0.0), mirrored: bool = False,
    ) -> None:  # fmt: skip
        cosine, sine = np.cos(turn), np.sin(turn)
        slant = np.array([[stretch * (-1 if mirrored else 1), shear], [0.0, 1.0 / stretch]])
        self.matrix = np.array([[cosine, -sine], [sine, cosine]]) @ slant * scale
        self.centre, self.scale, self.tilt = np.asarray(centre), scale, np.asarray(tilt)

    def __call__(self, points: Any) -> np.ndarray:
        """Convert object coordinates (n, 2) to fractions of the picture's side (n, 2)."""
        points = np.asarray(points, dtype=float)
        distance = 1.0 + points @ self.tilt
        return self.centre + points @ self.matrix.T / distance[:, None]


class Pen:
    """A pen that draws shapes through a pose onto a transparent sheet.

    Colours are (red, green, blue), 0 to 255. A pen has four: `body` and `trim` for the large parts, `detail` for
    things on them, and `ink`, which is dark, for lines and eyes.

    Args:
        sheet: an RGBA image of any size, drawn on in place.
        pose: a `Pose`, or another callable that maps points to fractions of the side and has a `scale`.
        colours: the four colours, in that order.
    """

    def __init__(self, sheet: Image.Image, pose: Any, colours: Sequence[Colour]) -> None:
        self.pose, self.side = pose, sheet.width
        self.canvas = ImageDraw.Draw(sheet)
        self.body, self.trim, self.detail, self.ink = colours

    def polygon(self, points: Any, colour: Colour) -> None:
        """Draw a filled shape with straight edges; `points` is (n, 2)."""
        self.canvas.polygon((self.pose(points) * self.side).ravel().tolist(), fill=colour)

    def blob(self, points: Any, colour: Colour) -> None:
        """Draw a filled shape with a smooth outline through the points (n, 2)."""
        self.polygon(smooth(points, closed=True), colour)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        """Draw a filled ellipse with its axes along those of the object."""
        self.polygon(arc(x, y, radius_x, radius_y), colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw a filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def stroke(self, points: Any, width: float, colour: Colour, curved: bool = True) -> None:
        """Draw a line with round ends through the points (n, 2); `width` is in object units."""
        path = self.pose(smooth(points, closed=False) if curved else points) * self.side
        pixels = max(1, round(width * self.pose.scale * self.side))
        self.canvas.line(path.ravel().tolist(), fill=colour, width=pixels, joint="curve")
        for x, y in (path[0], path[-1]):
            radius = pixels / 2
            self.canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
