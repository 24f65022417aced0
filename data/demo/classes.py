"""The drawn classes that the demo's network is pretrained on. None of them is a class of the demo itself."""

import numpy as np

from common.demo import drawing, drawn_photos
from common.demo.drawing import arc, mirror

# Animals.


def paint_bird(pen: drawing.Pen, random: np.random.Generator) -> None:
    tail, belly = random.uniform(-0.3, 0.3), random.uniform(0.38, 0.55)
    pen.polygon([(0.3, 0), (0.98, tail), (0.9, tail + 0.3), (0.4, 0.3)], pen.trim)
    for x in (-0.1, 0.12):
        pen.stroke([(x, 0.3), (x - 0.05, 0.9)], 0.06, pen.ink)
    pen.polygon([(-0.7, -0.4), (-1.0, -0.25), (-0.7, -0.18)], pen.detail)
    pen.blob([(-0.75, -0.35), (-0.5, -0.62), (-0.2, -0.3), (0.6, 0.1), (0.1, belly), (-0.5, belly * 0.8)], pen.body)
    pen.blob([(-0.2, -0.1), (0.5, 0.05), (0.15, 0.3)], pen.trim)
    pen.ellipse(-0.52, -0.35, 0.06, 0.06, pen.ink)


def paint_duck(pen: drawing.Pen, random: np.random.Generator) -> None:
    neck = random.uniform(-0.75, -0.45)
    pen.polygon([(-0.65, neck), (-1.0, neck + 0.18), (-0.6, neck + 0.2)], pen.detail)
    pen.blob([(-0.65, 0.1), (0, 0.1), (0.6, 0.15), (0.95, -0.15), (0.8, 0.5), (0.2, 0.75), (-0.5, 0.6)], pen.body)
    pen.stroke([(-0.45, neck), (-0.35, -0.1), (-0.4, 0.35)], 0.3, pen.body)
    pen.ellipse(-0.48, neck, 0.26, 0.24, pen.body)
    pen.blob([(-0.1, 0.2), (0.65, 0.2), (0.2, 0.55)], pen.trim)
    pen.ellipse(-0.55, neck - 0.04, 0.05, 0.05, pen.ink)


def paint_cat(pen: drawing.Pen, random: np.random.Generator) -> None:
    ear, width = random.uniform(0.85, 1.0), random.uniform(0.65, 0.8)
    for side in (1, -1):
        pen.polygon(np.array([(0.2, -0.4), (0.6, -ear), (0.72, 0)]) * (side, 1), pen.body)
    pen.ellipse(0, 0.1, width, 0.62, pen.body)
    for side in (1, -1):
        pen.ellipse(0.28 * side, 0, 0.14, 0.16, pen.detail)
        pen.ellipse(0.28 * side, 0, 0.05, 0.13, pen.ink)
        pen.stroke([(0.2 * side, 0.32), (0.9 * side, random.uniform(0.2, 0.45))], 0.04, pen.ink)
    pen.polygon([(-0.1, 0.2), (0.1, 0.2), (0, 0.33)], pen.trim)


def paint_rabbit(pen: drawing.Pen, random: np.random.Generator) -> None:
    spread, ear = random.uniform(0.1, 0.4), random.uniform(0.12, 0.18)
    for side in (1, -1):
        pen.stroke([(0.2 * side, -0.1), ((0.2 + spread) * side, -0.85)], 2 * ear, pen.body)
        pen.stroke([(0.22 * side, -0.2), ((0.2 + spread) * side, -0.8)], ear, pen.trim)
    pen.ellipse(0, 0.35, 0.55, 0.55, pen.body)
    for side in (1, -1):
        pen.ellipse(0.22 * side, 0.25, 0.08, 0.1, pen.ink)
    pen.ellipse(0, 0.5, 0.16, 0.12, pen.detail)


def paint_turtle(pen: drawing.Pen, random: np.random.Generator) -> None:
    dome = random.uniform(0.5, 0.75)
    for x in (-0.5, 0.4):
        pen.blob([(x - 0.15, 0.2), (x + 0.2, 0.2), (x + 0.15, 0.7), (x - 0.15, 0.7)], pen.trim)
    pen.stroke([(-0.5, 0.2), (-0.82, -0.05)], 0.25, pen.trim)
    pen.ellipse(-0.85, -0.1, 0.16, 0.15, pen.trim)
    pen.polygon(arc(0, 0.3, 0.72, dome, 180, 360), pen.body)
    pen.ellipse(0, 0.3, 0.75, 0.1, pen.ink)
    for x in (-0.35, 0, 0.35):
        pen.ellipse(x, 0.25 - dome * (0.5 if x else 0.65), 0.13, 0.14, pen.detail)
    pen.ellipse(-0.9, -0.14, 0.035, 0.035, pen.ink)


def paint_crab(pen: drawing.Pen, random: np.random.Generator) -> None:
    reach = random.uniform(0.6, 0.9)
    for side in (1, -1):
        for y in (0.15, 0.35, 0.5):
            pen.stroke([(0.3 * side, y), (0.75 * side, y - 0.1), (0.95 * side, y + 0.3)], 0.08, pen.trim)
        pen.stroke([(0.4 * side, 0), (0.75 * side, -0.2), (0.7 * side, -reach)], 0.12, pen.trim)
        pen.polygon(arc(0.68 * side, -reach, 0.25, 0.25, -60 + 15 * side, 240 + 15 * side), pen.body)
        pen.stroke([(0.15 * side, 0), (0.17 * side, -0.4)], 0.06, pen.ink)
        pen.ellipse(0.17 * side, -0.42, 0.08, 0.08, pen.ink)
    pen.ellipse(0, 0.2, 0.55, random.uniform(0.32, 0.42), pen.body)


def paint_spider(pen: drawing.Pen, random: np.random.Generator) -> None:
    knee = random.uniform(0.25, 0.45)
    for side in (1, -1):
        for y in (-0.6, -0.2, 0.25, 0.65):
            pen.stroke([(0, y * 0.2), (0.5 * side, y - knee + 0.2), (0.95 * side, y + 0.2)], 0.06, pen.ink)
    pen.ellipse(0, 0.25, 0.36, random.uniform(0.4, 0.5), pen.body)
    pen.ellipse(0, -0.3, 0.24, 0.22, pen.trim)
    pen.ellipse(0, 0.25, 0.1, 0.2, pen.detail)


def paint_bee(pen: drawing.Pen, random: np.random.Generator) -> None:
    for x in (-0.15, 0.2):
        pen.ellipse(x, -0.5, random.uniform(0.16, 0.25), 0.42, pen.detail)
    pen.ellipse(0.05, 0.12, 0.7, 0.4, pen.body)
    for x in (-0.15, 0.12, 0.4):
        pen.stroke([(x, -0.2), (x + 0.06, 0.12), (x, 0.45)], 0.12, pen.ink)
    pen.ellipse(-0.65, 0.08, 0.26, 0.26, pen.trim)
    for x in (-0.75, -0.6):
        pen.stroke([(x, -0.1), (x - 0.15, -0.45)], 0.05, pen.ink)


def paint_whale(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.blob(
        [
            (-0.95, 0.15),
            (-0.7, -0.35),
            (-0.1, -0.4),
            (0.45, 0),
            (0.75, -0.3),
            (0.9, -0.1),
            (0.7, 0.3),
            (0.1, 0.6),
            (-0.65, 0.55),
        ],
        pen.body,
    )
    pen.blob([(0.72, -0.2), (0.5, -0.65), (0.78, -0.5), (1.0, -0.6), (0.9, -0.2)], pen.body)
    pen.stroke([(-0.85, 0.4), (-0.4, 0.52), (0.1, 0.48)], 0.12, pen.trim)
    for side in (1, -1):
        pen.stroke([(-0.35, -0.4), (-0.35 + 0.05 * side, -0.75), (-0.35 + 0.25 * side, -0.8)], 0.06, pen.detail)
    pen.ellipse(-0.6, 0.05, 0.06, 0.06, pen.ink)


def paint_octopus(pen: drawing.Pen, random: np.random.Generator) -> None:
    sway = random.uniform(-0.2, 0.2)
    for x in np.linspace(-0.45, 0.45, 6):
        pen.stroke([(x, 0), (x * 1.7 + sway, 0.45), (x * 1.4 - sway, 0.7), (x * 2 + sway, 0.92)], 0.13, pen.trim)
    pen.ellipse(0, -0.35, random.uniform(0.48, 0.6), 0.58, pen.body)
    for side in (1, -1):
        pen.ellipse(0.2 * side, -0.15, 0.12, 0.14, pen.detail)
        pen.ellipse(0.2 * side, -0.12, 0.06, 0.07, pen.ink)


def paint_starfish(pen: drawing.Pen, random: np.random.Generator) -> None:
    inner, angles = random.uniform(0.35, 0.5), np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.resize([1.0, inner], 10)
    pen.blob(np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1), pen.body)
    for angle in angles[::2]:
        for away in (0.25, 0.5, 0.72):
            pen.ellipse(away * np.cos(angle), away * np.sin(angle), 0.06, 0.06, pen.detail)


def paint_elephant(pen: drawing.Pen, random: np.random.Generator) -> None:
    trunk = random.uniform(-0.98, -0.8)
    for x in (-0.35, 0.0, 0.4, 0.65):
        pen.box(x - 0.11, 0.2, x + 0.11, 0.9, pen.trim if x in (0.0, 0.65) else pen.body)
    pen.ellipse(0.2, 0.0, 0.68, 0.48, pen.body)
    pen.stroke([(-0.55, -0.2), (-0.85, 0.2), (trunk, 0.75)], 0.2, pen.body)
    pen.ellipse(-0.5, -0.3, 0.38, 0.38, pen.body)
    pen.ellipse(-0.2, -0.25, 0.25, 0.36, pen.trim)
    pen.ellipse(-0.62, -0.38, 0.06, 0.06, pen.ink)


def paint_giraffe(pen: drawing.Pen, random: np.random.Generator) -> None:
    lean = random.uniform(-0.6, -0.3)
    for x in (-0.2, 0.0, 0.35, 0.5):
        pen.stroke([(x, 0.3), (x, 0.95)], 0.1, pen.trim)
    pen.ellipse(0.15, 0.2, 0.48, 0.27, pen.body)
    pen.polygon([(-0.28, 0.2), (0.1, 0.05), (lean + 0.14, -0.8), (lean - 0.1, -0.75)], pen.body)
    pen.stroke([(lean, -0.78), (lean - 0.25, -0.65)], 0.22, pen.body)
    pen.stroke([(lean + 0.02, -0.8), (lean + 0.05, -0.98)], 0.05, pen.ink)
    for x, y in ((0, 0.1), (0.25, 0.2), (0.4, 0.1), (lean * 0.4, -0.2), (lean * 0.7, -0.5)):
        pen.ellipse(x, y, 0.08, 0.07, pen.detail)


def paint_hedgehog(pen: drawing.Pen, random: np.random.Generator) -> None:
    angles = np.linspace(np.pi, 2.15 * np.pi, 23)
    radius = np.resize([random.uniform(0.72, 0.85), 0.6], 23)
    spines = np.stack([0.15 + radius * np.cos(angles), 0.3 + radius * np.sin(angles)], 1)
    pen.blob([(-0.98, 0.35), (-0.4, -0.15), (0.2, 0.2), (0.5, 0.55), (-0.4, 0.55)], pen.trim)
    pen.polygon(np.concatenate([spines, [(0.6, 0.55), (-0.2, 0.5)]]), pen.body)
    pen.ellipse(-0.95, 0.33, 0.08, 0.08, pen.ink)
    pen.ellipse(-0.58, 0.2, 0.05, 0.05, pen.ink)


def paint_snake(pen: drawing.Pen, random: np.random.Generator) -> None:
    wave, y = random.uniform(0.25, 0.5), np.array([1, -1, 1, -1, 0.3])
    path = np.stack([np.linspace(0.95, -0.75, 5), y * wave], 1)
    pen.stroke(path, 0.24, pen.body)
    pen.stroke(path, 0.07, pen.detail)
    pen.ellipse(-0.78, wave * 0.3, 0.22, 0.16, pen.body)
    pen.ellipse(-0.82, wave * 0.3 - 0.06, 0.045, 0.045, pen.ink)


# Plants and food.


def paint_flower(pen: drawing.Pen, random: np.random.Generator) -> None:
    petals, angles = random.integers(5, 9), random.uniform(0, 6)
    pen.stroke([(0, -0.3), (random.uniform(-0.15, 0.15), 0.4), (0, 1)], 0.09, pen.trim)
    pen.blob([(0, 0.75), (0.3, 0.4), (0.6, 0.4), (0.3, 0.7)], pen.trim)
    for angle in angles + np.arange(petals) * 2 * np.pi / petals:
        pen.ellipse(0.36 * np.cos(angle), -0.4 + 0.36 * np.sin(angle), 0.21, 0.21, pen.body)
    pen.ellipse(0, -0.4, 0.22, 0.22, pen.detail)


def paint_tulip(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.stroke([(0, 0), (random.uniform(-0.1, 0.1), 0.5), (0, 1)], 0.09, pen.trim)
    for side in (1, -1):
        pen.blob([(0, 0.95), (0.3 * side, 0.5), (0.55 * side, random.uniform(-0.1, 0.2)), (0.2 * side, 0.8)], pen.trim)
    pen.polygon(
        [
            (-0.42, -0.9),
            (-0.2, -0.5),
            (0, -0.95),
            (0.2, -0.5),
            (0.42, -0.9),
            (0.42, -0.2),
            (0.2, 0.05),
            (-0.2, 0.05),
            (-0.42, -0.2),
        ],
        pen.body,
    )
    pen.stroke([(-0.12, -0.5), (-0.08, 0)], 0.06, pen.detail)


def paint_tree(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.polygon([(-0.12, 0), (0.12, 0), (0.2, 0.95), (-0.2, 0.95)], pen.ink)
    for x, y in ((-0.4, -0.1), (0.4, -0.1), (-0.25, -0.5), (0.28, -0.5), (0, -0.2)):
        radius = random.uniform(0.33, 0.46)
        pen.ellipse(x, y, radius, radius, pen.body)
    for _ in range(random.integers(0, 6)):
        pen.ellipse(random.uniform(-0.5, 0.5), random.uniform(-0.6, 0.1), 0.07, 0.07, pen.detail)


def paint_fir(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.box(-0.1, 0.6, 0.1, 0.98, pen.ink)
    for y, width in ((0.65, 0.75), (0.2, 0.58), (-0.25, 0.4)):
        pen.polygon([(-width, y), (0, y - random.uniform(0.6, 0.8)), (width, y)], pen.body)
    for _ in range(random.integers(0, 6)):
        pen.ellipse(random.uniform(-0.3, 0.3), random.uniform(-0.3, 0.5), 0.07, 0.07, pen.detail)


def paint_cactus(pen: drawing.Pen, random: np.random.Generator) -> None:
    left, right = random.uniform(-0.5, -0.1, 2)
    pen.stroke([(0, -0.75), (0, 0.7)], 0.34, pen.body)
    pen.stroke([(0, 0.35), (-0.5, 0.3), (-0.5, left)], 0.2, pen.body, curved=False)
    pen.stroke([(0, 0.15), (0.5, 0.1), (0.5, right)], 0.2, pen.body, curved=False)
    pen.polygon([(-0.45, 0.55), (0.45, 0.55), (0.3, 0.98), (-0.3, 0.98)], pen.trim)
    pen.stroke([(0, -0.7), (0, 0.45)], 0.05, pen.detail)


def paint_apple(pen: drawing.Pen, random: np.random.Generator) -> None:
    width = random.uniform(0.65, 0.8)
    pen.blob(
        [
            (0, -0.38),
            (width * 0.7, -0.5),
            (width, 0),
            (0.4, 0.8),
            (0, 0.7),
            (-0.4, 0.8),
            (-width, 0),
            (-width * 0.7, -0.5),
        ],
        pen.body,
    )
    pen.stroke([(0, -0.35), (0.08, -0.8)], 0.09, pen.ink)
    pen.blob([(0.08, -0.6), (0.35, -0.9), (0.65, -0.8), (0.35, -0.6)], pen.trim)
    pen.ellipse(-width * 0.5, -0.1, 0.1, 0.16, pen.detail)


def paint_pear(pen: drawing.Pen, random: np.random.Generator) -> None:
    waist = random.uniform(0.22, 0.34)
    pen.blob(
        [
            (0, -0.7),
            (waist, -0.5),
            (waist + 0.05, -0.1),
            (0.6, 0.4),
            (0.3, 0.85),
            (-0.3, 0.85),
            (-0.6, 0.4),
            (-waist - 0.05, -0.1),
            (-waist, -0.5),
        ],
        pen.body,
    )
    pen.stroke([(0, -0.65), (-0.1, -0.98)], 0.08, pen.ink)
    pen.ellipse(0.2, 0.35, 0.1, 0.16, pen.detail)


def paint_cherries(pen: drawing.Pen, random: np.random.Generator) -> None:
    drop = random.uniform(0.35, 0.6)
    pen.stroke([(0.15, -0.9), (-0.3, -0.4), (-0.45, drop)], 0.06, pen.ink)
    pen.stroke([(0.15, -0.9), (0.3, -0.3), (0.45, 0.5)], 0.06, pen.ink)
    pen.blob([(0.15, -0.9), (0.5, -0.98), (0.85, -0.7), (0.45, -0.65)], pen.trim)
    for x, y in ((-0.45, drop), (0.45, 0.5)):
        pen.ellipse(x, y, 0.36, 0.34, pen.body)
        pen.ellipse(x - 0.12, y - 0.1, 0.07, 0.09, pen.detail)


def paint_carrot(pen: drawing.Pen, random: np.random.Generator) -> None:
    for x in (-0.35, 0, 0.35):
        pen.stroke([(0, -0.35), (x * 0.6, -0.7), (x, random.uniform(-1.0, -0.8))], 0.14, pen.trim)
    pen.blob([(-0.35, -0.35), (0, -0.45), (0.35, -0.35), (0.2, 0.35), (0, 0.98), (-0.2, 0.35)], pen.body)
    for y in np.linspace(-0.2, 0.5, random.integers(2, 5)):
        pen.stroke([(-0.15, y), (0.1, y + 0.04)], 0.05, pen.detail)


def paint_strawberry(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.blob(
        [(0, -0.5), (0.55, -0.5), (0.65, -0.1), (0.3, 0.6), (0, 0.9), (-0.3, 0.6), (-0.65, -0.1), (-0.55, -0.5)],
        pen.body,
    )
    for x, y in ((-0.3, -0.1), (0.3, -0.1), (0, 0.05), (-0.2, 0.3), (0.2, 0.3), (0, 0.55)):
        pen.ellipse(x, y, 0.05, 0.07, pen.detail)
    radius = np.resize([0.6, 0.25], 12) * random.uniform(0.9, 1.1)
    angles = np.arange(12) * np.pi / 6
    pen.polygon(np.stack([radius * np.cos(angles), -0.55 + 0.45 * radius * np.sin(angles)], 1), pen.trim)


def paint_ice_cream(pen: drawing.Pen, random: np.random.Generator) -> None:
    scoops = random.integers(1, 3)
    pen.polygon([(-0.42, 0), (0.42, 0), (0, 0.98)], pen.trim)
    for x in (-0.2, 0.05):
        pen.stroke([(x, 0.02), (x + 0.15, 0.45)], 0.05, pen.ink)
    pen.ellipse(0, -0.15, 0.48, 0.38, pen.body)
    if scoops == 2:
        pen.ellipse(0, -0.58, 0.38, 0.34, pen.detail)
    pen.ellipse(0, -0.5 - 0.4 * (scoops - 1), 0.11, 0.11, pen.ink)


def paint_cupcake(pen: drawing.Pen, random: np.random.Generator) -> None:
    pen.polygon([(-0.6, 0.1), (0.6, 0.1), (0.42, 0.9), (-0.42, 0.9)], pen.trim)
    for x in (-0.3, 0, 0.3):
        pen.stroke([(x, 0.2), (x * 0.75, 0.85)], 0.06, pen.ink)
    for y, width in ((0.05, 0.75), (-0.28, 0.55), (-0.55, 0.33)):
        pen.ellipse(0, y, width * random.uniform(0.92, 1.05), 0.24, pen.body)
    pen.ellipse(0, -0.82, 0.14, 0.14, pen.detail)


# Household objects.


def paint_mug(pen: drawing.Pen, random: np.random.Generator) -> None:
    width = random.uniform(0.45, 0.6)
    pen.stroke(arc(width, 0.05, 0.36, 0.38, -90, 90), 0.14, pen.trim)
    pen.box(-width, -0.55, width, 0.7, pen.body)
    pen.ellipse(0, 0.7, width, 0.16, pen.body)
    pen.ellipse(0, -0.55, width, 0.17, pen.trim)
    pen.ellipse(0, -0.54, width * 0.8, 0.11, pen.ink)
    pen.ellipse(-0.05, 0.1, 0.2, 0.22, pen.detail)


def paint_bottle(pen: drawing.Pen, random: np.random.Generator) -> None:
    width, shoulder = random.uniform(0.27, 0.4), random.uniform(-0.3, 0)
    pen.box(-0.12, -0.85, 0.12, shoulder, pen.body)
    pen.blob(
        [
            (-0.12, shoulder - 0.15),
            (0.12, shoulder - 0.15),
            (width, shoulder + 0.25),
            (width, 0.85),
            (0, 0.95),
            (-width, 0.85),
            (-width, shoulder + 0.25),
        ],
        pen.body,
    )
    pen.box(-0.15, -0.98, 0.15, -0.8, pen.ink)
    pen.box(-width, 0.25, width, 0.65, pen.detail)


def paint_wine_glass(pen: drawing.Pen, random: np.random.Generator) -> None:
    width = random.uniform(0.4, 0.55)
    pen.stroke([(0, 0.1), (0, 0.85)], 0.09, pen.trim)
    pen.ellipse(0, 0.88, 0.42, 0.1, pen.trim)
    pen.polygon(
        np.concatenate([[(-width * 0.85, -0.9), (width * 0.85, -0.9)], arc(0, -0.4, width, 0.6, 0, 180)]), pen.detail
    )
    pen.polygon(arc(0, -0.4, width * 0.92, 0.52, 0, 180), pen.body)


def paint_lamp(pen: drawing.Pen, random: np.random.Generator) -> None:
    top, bottom = random.uniform(0.2, 0.4), random.uniform(0.6, 0.8)
    pen.stroke([(0, 0), (0, 0.85)], random.uniform(0.08, 0.2), pen.trim)
    pen.ellipse(0, 0.88, 0.42, 0.12, pen.trim)
    pen.polygon([(-top, -0.85), (top, -0.85), (bottom, 0.05), (-bottom, 0.05)], pen.body)
    pen.stroke([(-bottom, 0.0), (bottom, 0.0)], 0.08, pen.detail)


def paint_umbrella(pen: drawing.Pen, random: np.random.Generator) -> None:
    height = random.uniform(0.7, 0.95)
    pen.stroke([(0, -0.2), (0, 0.75), (0.12, 0.92), (0.25, 0.75)], 0.08, pen.ink)
    pen.polygon(arc(0, 0, 0.92, height, 180, 360), pen.body)
    pen.polygon(arc(0, 0, 0.32, height, 180, 360), pen.trim)
    pen.stroke([(0, -height), (0, -height - 0.1)], 0.06, pen.ink)


def paint_key(pen: drawing.Pen, random: np.random.Generator) -> None:
    radius, teeth = random.uniform(0.28, 0.38), random.integers(2, 4)
    pen.stroke([(-0.3, 0), (0.95, 0)], 0.15, pen.body)
    for x in np.linspace(0.5, 0.88, teeth):
        pen.stroke([(x, 0), (x, random.uniform(0.25, 0.38))], 0.12, pen.body)
    pen.stroke(arc(-0.55, 0, radius, radius), 0.2, pen.body)
    pen.stroke(arc(-0.55, 0, radius, radius, 180, 260), 0.07, pen.detail)


def paint_scissors(pen: drawing.Pen, random: np.random.Generator) -> None:
    spread = random.uniform(0.2, 0.45)
    for side, colour in ((1, pen.body), (-1, pen.trim)):
        pen.polygon([(0.12 * side, 0.15), (-0.12 * side, 0.1), (-spread * side, -0.98)], colour)
        pen.stroke([(0, 0.1), (0.3 * side, 0.45)], 0.13, colour)
        pen.stroke(arc(0.38 * side, 0.65, 0.22, 0.25), 0.13, pen.detail)
    pen.ellipse(0, 0.1, 0.07, 0.07, pen.ink)


def paint_hammer(pen: drawing.Pen, random: np.random.Generator) -> None:
    claw = random.uniform(0.6, 0.9)
    pen.stroke([(0, -0.5), (0, 0.95)], 0.2, pen.trim, curved=False)
    pen.polygon([(-0.65, -0.9), (0.2, -0.85), (claw, -0.5), (0.2, -0.5), (-0.65, -0.35)], pen.body)
    pen.box(-0.75, -0.98, -0.55, -0.28, pen.ink)
    pen.stroke([(0, 0.55), (0, 0.9)], 0.22, pen.detail)


def paint_bell(pen: drawing.Pen, random: np.random.Generator) -> None:
    flare = random.uniform(0.6, 0.85)
    pen.ellipse(0, 0.7, 0.17, 0.2, pen.ink)
    pen.stroke(arc(0, -0.8, 0.13, 0.13), 0.08, pen.trim)
    pen.blob(
        [
            (0, -0.72),
            (0.35, -0.5),
            (0.45, 0.15),
            (flare, 0.62),
            (0, 0.66),
            (-flare, 0.62),
            (-0.45, 0.15),
            (-0.35, -0.5),
        ],
        pen.body,
    )
    pen.stroke([(-flare * 0.8, 0.5), (0, 0.56), (flare * 0.8, 0.5)], 0.1, pen.detail)


def paint_clock(pen: drawing.Pen, random: np.random.Generator) -> None:
    for side in (1, -1):
        pen.stroke([(0.4 * side, 0.5), (0.6 * side, 0.95)], 0.12, pen.ink)
        pen.ellipse(0.45 * side, -0.68, 0.24, 0.24, pen.trim)
    pen.ellipse(0, 0, 0.78, 0.78, pen.body)
    pen.ellipse(0, 0, 0.6, 0.6, pen.detail)
    for length in (0.5, 0.35):
        angle = random.uniform(0, 2 * np.pi)
        pen.stroke([(0, 0), (length * np.cos(angle), length * np.sin(angle))], 0.08, pen.ink)


def paint_candle(pen: drawing.Pen, random: np.random.Generator) -> None:
    width, top = random.uniform(0.17, 0.28), random.uniform(-0.4, -0.1)
    pen.stroke(arc(0.45, 0.7, 0.2, 0.18, -120, 120), 0.1, pen.trim)
    pen.box(-width, top, width, 0.85, pen.body)
    pen.blob([(-0.7, 0.75), (0.6, 0.75), (0.4, 0.98), (-0.45, 0.98)], pen.trim)
    pen.stroke([(0, top), (0, top - 0.12)], 0.05, pen.ink)
    pen.blob([(0, top - 0.62), (0.15, top - 0.2), (0, top - 0.08), (-0.15, top - 0.2)], pen.detail)


def paint_glasses(pen: drawing.Pen, random: np.random.Generator) -> None:
    radius_x, radius_y = random.uniform(0.32, 0.42), random.uniform(0.25, 0.42)
    for side in (1, -1):
        pen.ellipse(0.48 * side, 0, radius_x, radius_y, pen.detail)
        pen.stroke(arc(0.48 * side, 0, radius_x, radius_y), 0.1, pen.body)
        pen.stroke([(0.85 * side, -0.1), (0.98 * side, -0.45)], 0.09, pen.body)
    pen.stroke([(-0.12, -0.05), (0, -0.12), (0.12, -0.05)], 0.09, pen.body)


def paint_guitar(pen: drawing.Pen, random: np.random.Generator) -> None:
    waist = random.uniform(0.25, 0.33)
    pen.stroke([(0, 0), (0, -0.75)], 0.14, pen.trim)
    pen.box(-0.13, -0.98, 0.13, -0.72, pen.ink)
    pen.blob(
        [(0, -0.15), (0.33, 0.0), (waist, 0.3), (0.5, 0.7), (0, 0.98), (-0.5, 0.7), (-waist, 0.3), (-0.33, 0.0)],
        pen.body,
    )
    pen.ellipse(0, 0.3, 0.15, 0.15, pen.ink)
    pen.stroke([(-0.18, 0.7), (0.18, 0.7)], 0.08, pen.detail)


def paint_hat(pen: drawing.Pen, random: np.random.Generator) -> None:
    crown, width = random.uniform(-0.8, -0.4), random.uniform(0.4, 0.55)
    pen.ellipse(0, 0.5, 0.98, 0.26, pen.trim)
    pen.polygon(
        np.concatenate(
            [
                [(-width, 0.45)],
                arc(0, crown + 0.2, width * 0.85, 0.22, 180, 360),
                [(width, 0.45)],
                arc(0, 0.45, width, 0.15, 0, 180),
            ]
        ),
        pen.body,
    )
    pen.stroke([(-width * 0.95, 0.3), (0, 0.42), (width * 0.95, 0.3)], 0.16, pen.detail)


def paint_boot(pen: drawing.Pen, random: np.random.Generator) -> None:
    shaft = random.uniform(-0.95, -0.6)
    pen.polygon([(-0.5, shaft), (0.15, shaft), (0.2, 0.15), (0.75, 0.3), (0.95, 0.7), (-0.5, 0.7)], pen.body)
    pen.box(-0.55, 0.65, 0.97, 0.82, pen.ink)
    pen.box(-0.55, shaft - 0.05, 0.2, shaft + 0.15, pen.trim)
    for y in (-0.2, 0.05):
        pen.stroke([(0, y), (0.22, y - 0.06)], 0.07, pen.detail)


# Buildings and vehicles.


def paint_house(pen: drawing.Pen, random: np.random.Generator) -> None:
    eaves, width = random.uniform(-0.25, 0), random.uniform(0.6, 0.75)
    pen.box(0.3, -0.85, 0.5, eaves, pen.ink)
    pen.box(-width, eaves, width, 0.85, pen.body)
    pen.polygon([(-width - 0.2, eaves), (0, random.uniform(-1, -0.75)), (width + 0.2, eaves)], pen.trim)
    pen.box(-0.42, 0.3, -0.1, 0.85, pen.ink)
    pen.box(0.12, 0.2, 0.46, 0.52, pen.detail)


def paint_windmill(pen: drawing.Pen, random: np.random.Generator) -> None:
    start, blades = random.uniform(0, 90), random.integers(4, 6)
    pen.polygon([(-0.2, -0.3), (0.2, -0.3), (0.42, 0.98), (-0.42, 0.98)], pen.body)
    pen.polygon(arc(0, -0.28, 0.26, 0.25, 180, 360), pen.trim)
    pen.box(-0.12, 0.65, 0.12, 0.98, pen.ink)
    for angle in np.radians(start + np.arange(blades) * 360 / blades):
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        middle = np.array([0, -0.3])
        pen.polygon(
            [middle, middle + 0.66 * along, middle + 0.66 * along + 0.2 * across, middle + 0.2 * along + 0.2 * across],
            pen.detail,
        )


def paint_lighthouse(pen: drawing.Pen, random: np.random.Generator) -> None:
    top = random.uniform(0.16, 0.24)
    pen.polygon([(-top, -0.45), (top, -0.45), (0.4, 0.95), (-0.4, 0.95)], pen.body)
    for y in (-0.2, 0.2, 0.6):
        width = top + (0.4 - top) * (y + 0.5) / 1.4
        pen.box(-width, y, width, y + 0.18, pen.trim)
    pen.box(-0.15, -0.75, 0.15, -0.45, pen.detail)
    pen.box(-0.3, -0.5, 0.3, -0.42, pen.ink)
    pen.polygon([(-0.22, -0.73), (0, -0.98), (0.22, -0.73)], pen.ink)


def paint_car(pen: drawing.Pen, random: np.random.Generator) -> None:
    roof, front = random.uniform(-0.55, -0.35), random.uniform(-0.5, -0.35)
    pen.polygon([(front - 0.15, 0.02), (front + 0.1, roof), (0.4, roof), (0.68, 0.02)], pen.trim)
    pen.polygon([(front + 0.02, 0), (front + 0.18, roof + 0.1), (0.02, roof + 0.1), (0.02, 0)], pen.detail)
    pen.blob([(-0.95, 0.15), (-0.5, 0), (0.6, -0.02), (0.95, 0.1), (0.95, 0.42), (-0.95, 0.42)], pen.body)
    for x in (-0.52, 0.52):
        pen.ellipse(x, 0.42, 0.23, 0.23, pen.ink)
        pen.ellipse(x, 0.42, 0.1, 0.1, pen.detail)


def paint_bicycle(pen: drawing.Pen, random: np.random.Generator) -> None:
    radius = random.uniform(0.33, 0.42)
    for x in (-0.55, 0.55):
        pen.stroke(arc(x, 0.4, radius, radius), 0.08, pen.ink)
    pen.stroke([(-0.55, 0.4), (-0.25, -0.2), (0.35, -0.2), (0.0, 0.4), (-0.55, 0.4)], 0.09, pen.body, curved=False)
    pen.stroke([(0.0, 0.4), (-0.3, -0.4)], 0.09, pen.body)
    pen.stroke([(0.55, 0.4), (0.3, -0.5), (0.5, -0.6)], 0.09, pen.body, curved=False)
    pen.stroke([(-0.42, -0.42), (-0.18, -0.42)], 0.12, pen.trim)


def paint_locomotive(pen: drawing.Pen, random: np.random.Generator) -> None:
    chimney = random.uniform(-0.75, -0.5)
    pen.polygon([(-0.65, -0.15), (-0.75, chimney), (-0.4, chimney), (-0.5, -0.15)], pen.ink)
    pen.box(-0.85, -0.2, 0.3, 0.35, pen.body)
    pen.box(0.25, -0.65, 0.85, 0.35, pen.trim)
    pen.box(0.15, -0.78, 0.95, -0.63, pen.ink)
    pen.box(0.4, -0.5, 0.7, -0.15, pen.detail)
    for x, radius in ((-0.6, 0.2), (-0.1, 0.2), (0.52, 0.3)):
        pen.ellipse(x, 0.7 - radius, radius, radius, pen.ink)
        pen.ellipse(x, 0.7 - radius, radius / 2, radius / 2, pen.detail)


def paint_airplane(pen: drawing.Pen, random: np.random.Generator) -> None:
    sweep, span = random.uniform(0.1, 0.5), random.uniform(0.8, 1.0)
    wing = np.array([(-0.05, -0.3), (span, -0.05 + sweep), (span, 0.15 + sweep), (-0.05, 0.2)])
    tail = np.array([(0, 0.55), (0.38, 0.75), (0.38, 0.9), (0, 0.8)])
    for part in (wing, tail):
        pen.polygon(part, pen.trim)
        pen.polygon(mirror(part), pen.trim)
    pen.blob(
        [(0, -0.98), (0.15, -0.6), (0.13, 0.4), (0.03, 0.95), (-0.03, 0.95), (-0.13, 0.4), (-0.15, -0.6)], pen.body
    )
    pen.ellipse(0, -0.68, 0.08, 0.12, pen.ink)


def paint_rocket(pen: drawing.Pen, random: np.random.Generator) -> None:
    fin = random.uniform(0.45, 0.65)
    pen.blob([(-0.2, 0.55), (0.2, 0.55), (0, 0.98)], pen.detail)
    for side in (1, -1):
        pen.polygon(np.array([(0.2, 0.1), (fin, 0.65), (0.2, 0.55)]) * (side, 1), pen.trim)
    pen.polygon(smooth_nose(random.uniform(0.24, 0.34)), pen.body)
    pen.ellipse(0, -0.25, 0.15, 0.15, pen.ink)
    pen.ellipse(0, -0.25, 0.1, 0.1, pen.detail)


def smooth_nose(width: float) -> np.ndarray:
    """Return a rocket's hull, (n, 2), with `width` from its middle to its side."""
    side = drawing.smooth([(0, -0.98), (width * 0.8, -0.55), (width, -0.1), (width * 0.7, 0.6)], closed=False)
    return np.concatenate([side, mirror(side)[::-1]])


def paint_balloon(pen: drawing.Pen, random: np.random.Generator) -> None:
    width = random.uniform(0.58, 0.7)
    for side in (1, -1):
        pen.stroke([(width * 0.6 * side, 0.2), (0.15 * side, 0.72)], 0.04, pen.ink)
    pen.blob(
        [
            (0, -0.98),
            (width, -0.6),
            (width * 0.95, -0.1),
            (0.2, 0.5),
            (-0.2, 0.5),
            (-width * 0.95, -0.1),
            (-width, -0.6),
        ],
        pen.body,
    )
    pen.blob([(0, -0.98), (0.28, -0.5), (0.12, 0.5), (-0.12, 0.5), (-0.28, -0.5)], pen.detail)
    pen.box(-0.18, 0.7, 0.18, 0.98, pen.trim)


def paint_kite(pen: drawing.Pen, random: np.random.Generator) -> None:
    width, middle = random.uniform(0.5, 0.65), random.uniform(-0.5, -0.3)
    tail = [(0, 0.4), (0.15, 0.6), (-0.1, 0.78), (0.1, 0.98)]
    pen.stroke(tail, 0.06, pen.ink)
    for x, y in tail[1:]:
        pen.polygon([(x - 0.13, y - 0.08), (x + 0.13, y + 0.08), (x + 0.13, y - 0.08), (x - 0.13, y + 0.08)], pen.trim)
    pen.polygon([(0, -0.98), (width, middle), (0, 0.42), (-width, middle)], pen.body)
    pen.polygon([(0, -0.98), (width, middle), (0, middle)], pen.detail)
    pen.polygon([(0, 0.42), (-width, middle), (0, middle)], pen.detail)


def paint_anchor(pen: drawing.Pen, random: np.random.Generator) -> None:
    depth = random.uniform(0.6, 0.8)
    pen.stroke([(0, -0.6), (0, 0.85)], 0.15, pen.body)
    pen.stroke([(-0.38, -0.35), (0.38, -0.35)], 0.13, pen.trim)
    pen.stroke(arc(0, -0.78, 0.16, 0.16), 0.1, pen.body)
    pen.stroke(arc(0, 0.2, 0.72, depth, 10, 170), 0.15, pen.body)
    for side in (1, -1):
        pen.polygon(np.array([(0.9, 0.45), (0.72, -0.02), (0.45, 0.4)]) * (side, 1), pen.body)


def paint_crown(pen: drawing.Pen, random: np.random.Generator) -> None:
    points = random.integers(2, 4)
    x = np.linspace(-0.8, 0.8, 2 * points + 1)
    y = np.resize([random.uniform(-0.7, -0.45), 0.1], len(x))
    pen.polygon(np.concatenate([np.stack([x, y], 1), [(0.65, 0.7), (-0.65, 0.7)]]), pen.body)
    for tip in zip(x[::2], y[::2], strict=True):
        pen.ellipse(*tip, 0.11, 0.11, pen.detail)
    pen.box(-0.66, 0.45, 0.66, 0.68, pen.trim)


def paint_heart(pen: drawing.Pen, random: np.random.Generator) -> None:
    dip = random.uniform(-0.5, -0.2)
    half = drawing.smooth([(0, dip), (0.35, -0.75), (0.85, -0.5), (0.7, 0.1), (0, 0.9)], closed=False)
    pen.polygon(np.concatenate([half, mirror(half)[::-1]]), pen.body)
    pen.stroke([(-0.6, -0.1), (-0.6, -0.4), (-0.4, -0.52)], 0.1, pen.detail)


PAINTERS: dict[str, drawn_photos.Painter] = {
    name.removeprefix("paint_"): painter for name, painter in list(globals().items()) if name.startswith("paint_")
}
CLASS_NAMES: tuple[str, ...] = tuple(PAINTERS)
