"""The rooms of the drawn clips: wall, floor, window, pictures and furniture."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.demo import drawing, drawn_people, drawn_things


def _paint_wall(pen: drawing.Pen, random: np.random.Generator, wall: drawn_people.Colour) -> None:
    pen.polygon(drawn_things.face(-6, 0, 6, 6, -1.2), wall)
    pattern = random.integers(4)
    if pattern == 1:
        for x in np.arange(-4, 4, random.uniform(0.25, 0.5)):
            pen.polygon(drawn_things.face(x, 0, x + 0.1, 4, -1.2), drawn_people.shade(wall, 0.92))
    elif pattern == 2:
        pen.polygon(drawn_things.face(-6, 0, 6, random.uniform(0.6, 1.1), -1.2), drawn_people.shade(wall, 0.8))
    elif pattern == 3:
        for height in np.arange(0, 3, 0.3):
            drawn_people.line(pen, [(-6, height, -1.2), (6, height, -1.2)], 0.02, drawn_people.shade(wall, 0.88))
    pen.polygon(drawn_things.face(-6, 0, 6, 0.1, -1.2), drawn_people.shade(wall, random.choice([0.6, 1.2])))


def _paint_floor(pen: drawing.Pen, random: np.random.Generator, floor: drawn_people.Colour) -> None:
    pen.polygon([(-6, 0, -1.2), (6, 0, -1.2), (6, 0, 3), (-6, 0, 3)], floor)
    if random.random() < 0.6:
        for x in np.arange(-4, 4, random.uniform(0.25, 0.6)):
            drawn_people.line(pen, [(x, 0, -1.2), (x, 0, 3)], 0.015, drawn_people.shade(floor, 0.85))
    if random.random() < 0.5:
        angles = np.linspace(0, 2 * np.pi, 24)
        rug = np.stack([1.1 * np.cos(angles), 0 * angles, 0.5 * np.sin(angles) + 0.1], axis=1)
        colour = drawn_people.colour(random, (0.2, 0.6), (0.4, 0.8))
        pen.polygon(rug, colour)
        pen.polygon(rug * 0.75, drawn_people.shade(colour, 1.2))


def _paint_window(pen: drawing.Pen, random: np.random.Generator, x: float) -> None:
    bottom, half = random.uniform(0.9, 1.1), random.uniform(0.28, 0.4)
    pen.polygon(
        drawn_things.face(x - half - 0.05, bottom - 0.05, x + half + 0.05, bottom + 0.85, -1.2), (240, 238, 232)
    )
    pen.polygon(drawn_things.face(x - half, bottom, x + half, bottom + 0.8, -1.2), (168, 206, 235))
    pen.polygon(drawn_things.face(x - half, bottom, x + half, bottom + 0.25, -1.2), (126, 168, 104))
    drawn_people.line(pen, [(x, bottom, -1.2), (x, bottom + 0.8, -1.2)], 0.03, (240, 238, 232))


def _paint_picture(pen: drawing.Pen, random: np.random.Generator, x: float) -> None:
    bottom, half, height = random.uniform(1.1, 1.4), random.uniform(0.15, 0.28), random.uniform(0.3, 0.5)
    pen.polygon(
        drawn_things.face(x - half, bottom, x + half, bottom + height, -1.2),
        drawn_people.colour(random, (0.2, 0.6), (0.2, 0.5)),
    )
    pen.polygon(
        drawn_things.face(x - half + 0.04, bottom + 0.04, x + half - 0.04, bottom + height - 0.04, -1.2),
        drawn_people.colour(random, (0.2, 0.7), (0.6, 1.0)),
    )
    drawn_people.disc(
        pen, (x, bottom + height / 2, -1.2), height * 0.22, drawn_people.colour(random, (0.4, 0.9), (0.4, 0.9))
    )


def _paint_plant(pen: drawing.Pen, random: np.random.Generator, x: float, z: float) -> None:
    green = drawn_people.shade((78, 148, 70), random.uniform(0.7, 1.2))
    for angle in np.linspace(-1.0, 1.0, 7) + random.uniform(-0.1, 0.1):
        length = random.uniform(0.4, 0.7)
        drawn_people.line(
            pen, [(x, 0.3, z), (x + length * np.sin(angle), 0.3 + length * np.cos(angle), z)], 0.08, green
        )
    pen.polygon(
        [(x - 0.16, 0.35, z), (x + 0.16, 0.35, z), (x + 0.11, 0, z), (x - 0.11, 0, z)],
        drawn_people.colour(random, (0.3, 0.8), (0.4, 0.8)),
    )


def _paint_lamp(pen: drawing.Pen, random: np.random.Generator, x: float, z: float) -> None:
    height = random.uniform(1.1, 1.5)
    drawn_people.line(pen, [(x, 0, z), (x, height, z)], 0.04, (70, 66, 62))
    drawn_people.line(pen, [(x - 0.12, 0.02, z), (x + 0.12, 0.02, z)], 0.05, (70, 66, 62))
    shade = [(x - 0.2, height, z), (x + 0.2, height, z), (x + 0.11, height + 0.28, z), (x - 0.11, height + 0.28, z)]
    pen.polygon(shade, drawn_people.colour(random, (0.1, 0.5), (0.85, 1.0)))


def _paint_ball(pen: drawing.Pen, random: np.random.Generator, x: float, z: float) -> None:
    radius = random.uniform(0.1, 0.16)
    drawn_people.disc(pen, (x, radius, z), radius, drawn_people.colour(random, (0.4, 0.9), (0.5, 1.0)))


def _paint_crate(pen: drawing.Pen, random: np.random.Generator, x: float, z: float) -> None:
    side, colour = random.uniform(0.25, 0.45), drawn_people.colour(random, (0.2, 0.6), (0.4, 0.9))
    pen.polygon(drawn_things.face(x - side / 2, 0, x + side / 2, side, z), colour)
    lid = drawn_things.face(x - side / 2, side, x + side / 2, side, z)
    lid[2:, 2] -= side
    pen.polygon(lid, drawn_people.shade(colour, 1.15))
    drawn_people.line(
        pen, [(x - side / 2, side / 2, z), (x + side / 2, side / 2, z)], 0.03, drawn_people.shade(colour, 0.7)
    )


def _paint_cupboard(pen: drawing.Pen, random: np.random.Generator, x: float, z: float) -> None:
    cupboard = drawn_things.make_cupboard(random, (128, 128, 128), x - 0.25, z)
    cupboard.paint(pen, random.choice([0.0, 1.5]))


FURNITURE = (_paint_plant, _paint_lamp, _paint_ball, _paint_crate, _paint_cupboard)


def paint(pen: drawing.Pen, person: drawn_people.Person, random: np.random.Generator) -> None:
    """Paint the person's room, and the furniture that `random` adds for one clip."""
    lasting = np.random.default_rng(person.room)
    _paint_wall(pen, lasting, person.wall)
    painters: Any = [_paint_window, _paint_picture, None]
    for x in (-0.75, 0.75):
        painter: Any = lasting.choice(painters)
        if painter:
            painter(pen, lasting, x + lasting.uniform(-0.2, 0.2))
    _paint_floor(pen, lasting, person.floor)
    if random.random() < 0.6:
        painter = FURNITURE[random.integers(len(FURNITURE))]
        painter(pen, random, random.choice([-1, 1]) * random.uniform(0.75, 1.0), random.uniform(-0.9, -0.6))


def shadow(pen: drawing.Pen, x: float, z: float, radius: float, floor: drawn_people.Colour) -> None:
    """Paint the shadow of something of this radius that stands at (x, 0, z)."""
    angles = np.linspace(0, 2 * np.pi, 20)
    pen.polygon(np.stack([x + radius * np.cos(angles), 0 * angles, z + 0.45 * radius * np.sin(angles)], 1), floor)
