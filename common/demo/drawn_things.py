"""Things that drawn people handle: a ball, a flag, a hoop, a cupboard, a balloon."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from common.demo import drawing, drawn_people


def ball_part(
    point: np.ndarray, radius: float, colours: Sequence[drawn_people.Colour], view: drawn_people.View, turn: float = 0.0
) -> drawn_people.Part:
    """Return a ball with a stripe."""
    across = np.array([np.cos(turn), np.sin(turn), 0.0]) * radius * 0.75

    def paint(pen: drawing.Pen) -> None:
        drawn_people.disc(pen, point, radius, colours[0])
        drawn_people.line(pen, [point - across, point + across], radius * 0.5, colours[1])

    return view.depth(point), paint


def flag_part(
    hand: np.ndarray,
    along: np.ndarray,
    across: np.ndarray,
    length: float,
    colours: Sequence[drawn_people.Colour],
    flutter: float,
    view: drawn_people.View,
) -> drawn_people.Part:
    """Return a flag: its stick points `along`, its cloth `across`, each (3,); `flutter`, -1 to 1, bends the cloth."""
    top, middle = hand + along * 1.6 * length, hand + along * 0.7 * length
    bend = 0.12 * length * flutter * along
    cloth = [top, top + across * 0.6 * length + bend, top + across * 1.2 * length - bend]
    cloth += [middle + across * 1.2 * length - bend, middle + across * 0.6 * length + bend, middle]

    def paint(pen: drawing.Pen) -> None:
        drawn_people.line(pen, [hand - along * 0.2 * length, top], 0.04, (70, 56, 44))
        pen.polygon(cloth, colours[0])
        stripe = [0.65 * upper + 0.35 * lower for upper, lower in zip(cloth[:3], cloth[:2:-1], strict=True)]
        drawn_people.line(pen, stripe, 0.28 * length, colours[1])

    return view.depth(hand) + 0.1, paint


def hoop_parts(
    middle: np.ndarray,
    radius: float,
    tilt: tuple[float, float],
    colours: Sequence[drawn_people.Colour],
    view: drawn_people.View,
) -> list[drawn_people.Part]:
    """Return the back and front half of a hoop around a person, `tilt` metres higher on the right and in front."""

    def half(start: float) -> drawn_people.Part:
        angles = np.linspace(start, start + np.pi, 14)
        ring = np.stack([np.cos(angles), tilt[0] * np.cos(angles) + tilt[1] * np.sin(angles), np.sin(angles)], axis=1)
        points = middle + radius * ring

        def paint(pen: drawing.Pen) -> None:
            drawn_people.line(pen, points, 0.09, colours[0])
            drawn_people.line(pen, points[4:10], 0.09, colours[1])

        return view.depth(middle) + radius * (1 if start == 0 else -1), paint

    return [half(0), half(np.pi)]


def bright(random: np.random.Generator, person: drawn_people.Person) -> tuple[drawn_people.Colour, drawn_people.Colour]:
    """Return two colours for a thing that stands out from the person's wall and clothes."""
    return drawn_people.contrast(random, person.wall, (0.6, 1.0), (0.6, 1.0)), drawn_people.colour(
        random, (0.0, 0.4), (0.85, 1.0)
    )


def face(left: float, bottom: float, right: float, top: float, z: float) -> np.ndarray:
    """Return the corners of an upright rectangle that faces the viewer, (4, 3)."""
    return np.array([(left, bottom, z), (right, bottom, z), (right, top, z), (left, top, z)])


def _side(x: float, bottom: float, back: float, top: float, front: float) -> np.ndarray:
    return np.array([(x, bottom, back), (x, bottom, front), (x, top, front), (x, top, back)])


@dataclasses.dataclass(frozen=True)
class Cupboard:
    """A cupboard that faces the viewer, with one door; its hinge is on the right.

    Attributes:
        left, width, height, front: its place in metres; `front` is the z of the closed door.
        colour, inside: the colours of the wood and of the dark inside.
        content: the colours of the things on its shelves.
    """

    left: float
    width: float
    height: float
    front: float
    colour: drawn_people.Colour
    inside: drawn_people.Colour
    content: tuple[drawn_people.Colour, ...]

    def edge(self, angle: float, height: float) -> np.ndarray:
        """Return the point (3,) at this `height` on the edge of the door, opened by `angle` in radians."""
        right = self.left + self.width
        return np.array([right - self.width * np.cos(angle), height, self.front + self.width * np.sin(angle)])

    def handle(self, angle: float) -> np.ndarray:
        """Return the point (3,) where the hand holds the door."""
        hinge = self.edge(angle, self.height * 0.6)
        return 0.92 * hinge + 0.08 * np.array([self.left + self.width, self.height * 0.6, self.front])

    def paint(self, pen: drawing.Pen, angle: float) -> None:
        """Draw the cupboard with the door opened by `angle` in radians."""
        left, right, front, back = self.left, self.left + self.width, self.front, self.front - 0.4
        for x in (left, right):
            pen.polygon(_side(x, 0, back, self.height, front), drawn_people.shade(self.colour, 0.75))
        corners = face(left, self.height, right, self.height, front)
        corners[2:, 2] = back
        pen.polygon(corners, drawn_people.shade(self.colour, 1.1))
        pen.polygon(face(left, 0, right, self.height, front), self.colour)
        if angle > 0.02:
            self._paint_inside(pen)
        self._paint_door(pen, angle)

    def _paint_inside(self, pen: drawing.Pen) -> None:
        edge, shelves = 0.05, len(self.content) // 2
        left, right = self.left + edge, self.left + self.width - edge
        pen.polygon(face(left, edge, right, self.height - edge, self.front), self.inside)
        step = (self.height - 2 * edge) / shelves
        for shelf in range(shelves):
            bottom = edge + shelf * step
            for place in range(2):
                start = left + (0.12 + 0.46 * place) * (right - left)
                stop, top = start + 0.3 * (right - left), bottom + step * (0.75 - 0.2 * ((shelf + place) % 2))
                pen.polygon(face(start, bottom, stop, top, self.front - 0.05), self.content[2 * shelf + place])
            drawn_people.line(pen, [(left, bottom, self.front), (right, bottom, self.front)], 0.035, self.colour)

    def _paint_door(self, pen: drawing.Pen, angle: float) -> None:
        top, bottom = self.height - 0.02, 0.04
        hinge = np.array([self.left + self.width, 0, self.front])
        corners = [
            hinge + drawn_people.UP * bottom,
            self.edge(angle, bottom),
            self.edge(angle, top),
            hinge + drawn_people.UP * top,
        ]
        pen.polygon(corners, drawn_people.shade(self.colour, 0.95 - 0.25 * np.sin(angle)))
        drawn_people.line(pen, [*corners, corners[0]], 0.03, drawn_people.shade(self.colour, 0.6))
        drawn_people.disc(pen, self.handle(angle), 0.035, (40, 38, 36))


def make_balloon(random: np.random.Generator) -> Callable[[float, drawn_people.View], list[drawn_people.Part]]:
    """Return a balloon that floats behind the person in some clips: a motion that is unrelated to the action."""
    if random.random() > 0.3:
        return lambda progress, view: []
    start, drift = np.array([random.uniform(-0.8, 0.8), random.uniform(1.2, 1.7), -0.7]), random.uniform(-0.6, 0.6, 3)
    colour, radius = drawn_people.colour(random, (0.5, 0.9), (0.6, 1.0)), random.uniform(0.1, 0.16)

    def at(progress: float, view: drawn_people.View) -> list[drawn_people.Part]:
        point = start + drift * (1, 0.4, 0.2) * progress

        def paint(pen: drawing.Pen) -> None:
            drawn_people.line(pen, [point, point - drawn_people.UP * (radius + 0.35)], 0.015, (60, 60, 60))
            drawn_people.disc(pen, point, radius, colour)

        return [(view.depth(point), paint)]

    return at


def make_cupboard(random: np.random.Generator, wall: drawn_people.Colour, left: float, front: float) -> Cupboard:
    """Return a cupboard of random size in a colour that contrasts with the wall."""
    return Cupboard(
        left=left,
        width=random.uniform(0.44, 0.54),
        height=random.uniform(1.2, 1.7),
        front=front,
        colour=drawn_people.contrast(random, wall, (0.15, 0.6), (0.45, 0.95)),
        inside=drawn_people.colour(random, (0.2, 0.5), (0.12, 0.25)),
        content=tuple(drawn_people.colour(random, (0.4, 0.9), (0.6, 1.0)) for _ in range(2 * random.integers(3, 5))),
    )
