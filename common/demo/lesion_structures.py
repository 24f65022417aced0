"""The structures of drawn skin lesions, painted on a plane of skin: network, globules, streaks, veil and others.

Each function draws on a canvas, whose own random stream determines where and how strongly.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from common.demo import drawing

TURN = 2 * np.pi
REACH = 1.9  # the plane goes from -1.9 to 1.9, so that no turned, shifted or more distant picture leaves it.

# The six colours of the ABCD rule: red, green, blue, 0 to 1.
COLOURS = {
    "white": (0.91, 0.80, 0.77),
    "red": (0.76, 0.34, 0.35),
    "light brown": (0.66, 0.44, 0.30),
    "dark brown": (0.40, 0.23, 0.16),
    "blue grey": (0.43, 0.44, 0.52),
    "black": (0.15, 0.10, 0.10),
}


PALE_SKIN, DARK_SKIN, RUDDY_SKIN = np.array([(0.94, 0.79, 0.72), (0.66, 0.48, 0.38), (0.88, 0.62, 0.62)])


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The probabilities of features in one diagnosis.

    Attributes:
        lesions: number of lesions that are drawn; the proportions are those of HAM10000, made more even.
        resembles: the diagnoses that its mimics look like.
        asymmetry: mean asymmetry of outline, colours and structures, 0 to 1.
        border: mean raggedness of the outline, 0 to 1.
        sharpness: mean abruptness of the rim, 0 to 1.
        colours: mean number of colours, 1 to 6.
        radius: mean radius, in units of the plane.
        palette: weights of the colours.
        structures: probabilities of the typical structures; `STRUCTURES` contains the functions that draw them.
        age: mean and standard deviation, in years.
        dx_types: weights of the ways in which the diagnosis was made.
        places: weights of the typical places on the body, named as in HAM10000.
    """

    lesions: int
    resembles: tuple[str, ...]
    asymmetry: float
    border: float
    sharpness: float
    colours: float
    radius: float
    palette: dict[str, float]
    structures: dict[str, float]
    age: tuple[float, float]
    dx_types: dict[str, float]
    places: dict[str, float]


# The plane of skin that a lesion is painted on.


def _noise(random: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """Return smooth noise (side, side), mean 0 and about -1 to 1, with about `cells` waves per side."""
    coarse = Image.fromarray(random.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def step(plane: np.ndarray | float, width: np.ndarray | float) -> np.ndarray:
    """Return 0 where the plane is below 0 and 1 where it is above, with a soft edge of this `width`."""
    return np.clip(plane / width + 0.5, 0, 1)


def between(random: np.random.Generator, low: float, high: float, mean: float) -> float:
    """Return a random number between `low` and `high` around `mean`, spread so widely that the diagnoses overlap."""
    share = np.clip((mean - low) / (high - low), 0.05, 0.95)
    return low + (high - low) * random.beta(20 * share, 20 * (1 - share))


def pick(random: np.random.Generator, weights: dict[str, float]) -> str:
    """Return a random name; its probability is proportional to its weight."""
    shares = np.array(list(weights.values())) / sum(weights.values())
    return list(weights)[random.choice(len(shares), p=shares)]


class Canvas:
    """The plane with one lesion's outline on it.

    Args:
        random: the lesion's own random stream.
        profile: the diagnosis that the lesion looks like.
        side: pixels per side.

    Attributes:
        pixels: the current colours, float32 (side, side, 3), 0 to 1.
        asymmetry: the lesion's asymmetry, 0 to 1.
        radius: the lesion's mean radius in units of the plane.
        depth: (side, side), 1 in the middle of the lesion, 0 on its rim and negative outside.
        cover: (side, side), the share of the skin that is covered by the lesion, 0 to 1.
    """

    def __init__(self, random: np.random.Generator, profile: Diagnosis, side: int) -> None:
        self.random, self.side = random, side
        self.pixels = skin(random, side)
        self.asymmetry = between(random, 0, 1, profile.asymmetry)
        self.radius = between(random, 0.3, 0.95, profile.radius)
        y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) * (2 * REACH / side) - REACH
        self.x, self.y = x + 0.06 * self.noise(6), y + 0.06 * self.noise(6)
        border = between(random, 0, 1, profile.border)
        self.outline = self._outline(border)
        self.depth = 1 - np.hypot(self.x, self.y) / self.rim(np.arctan2(self.y, self.x))
        self.depth = self.depth + (0.02 + 0.12 * border) * (self.noise(18) + self.noise(36))
        self.cover = step(self.depth, self._softness(between(random, 0, 1, profile.sharpness)))

    def noise(self, cells: int) -> np.ndarray:
        """Return smooth noise (side, side), about -1 to 1, with about `cells` waves across the plane."""
        return _noise(self.random, self.side, cells)

    def _outline(self, border: float) -> np.ndarray:
        """Return the distance of the rim from the centre in 360 directions: a dented and ragged ellipse."""
        angles = np.radians(np.arange(360))
        shape = np.full(360, 1.0)
        waves = {2: self.random.uniform(0.02, 0.25)} | {wave: 0.22 * self.asymmetry / wave**0.5 for wave in (3, 4, 5)}
        waves |= dict.fromkeys((7, 9, 11), 0.06 * border)
        for wave, strength in waves.items():
            shape += strength * self.random.uniform(0.4, 1.1) * np.cos(wave * angles + self.random.uniform(0, TURN))
        return self.radius * np.clip(shape, 0.35, 1.8)

    def _softness(self, sharpness: float) -> np.ndarray:
        """Return the width of the rim: constant if the lesion is symmetric, else narrow only on one side."""
        angle = np.arctan2(self.y, self.x) + self.random.uniform(0, TURN)
        return (0.04 + 0.7 * (1 - sharpness) ** 1.5) * (1 + 0.6 * self.asymmetry * np.cos(angle))

    def rim(self, angles: np.ndarray | float) -> np.ndarray:
        """Return the distance of the rim from the centre in the given directions, in radians."""
        return np.interp(angles, np.linspace(0, TURN, len(self.outline), endpoint=False), self.outline, period=TURN)

    def field(self, cells: int = 7) -> np.ndarray:
        """Return a plane of about -1 to 1 to distribute a feature: rings in a symmetric lesion, patches in others."""
        rings = np.cos(np.clip(self.depth, 0, 1) * self.random.uniform(2, 5) + self.random.uniform(0, TURN))
        angle = self.random.uniform(0, TURN)
        slope = (self.x * np.cos(angle) + self.y * np.sin(angle)) / self.radius
        patches = 1.1 * self.noise(cells) + 0.7 * self.asymmetry * slope
        return (1 - self.asymmetry) * rings + self.asymmetry**0.5 * patches

    def places(self, count: int | np.integer, deepest: float = 1.0, rim: float = 0.1) -> np.ndarray:
        """Return random points (count, 2) inside the lesion; in an asymmetric lesion most are on one side."""
        angles = self.random.normal(self.random.uniform(0, TURN), 0.7 + 3 * (1 - self.asymmetry), count)
        away = np.sqrt(self.random.uniform((1 - deepest) ** 2, (1 - rim) ** 2, count)) * self.rim(angles)
        return away[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def lay(self, weight: np.ndarray, colour: Any) -> None:
        """Blend a colour (3,) over the pixels by a weight (side, side) between 0 and 1."""
        self.pixels += np.clip(weight, 0, 1).astype(np.float32)[..., None] * (np.float32(colour) - self.pixels)

    def stencil(self) -> tuple[Image.Image, drawing.Pen]:
        """Return an empty sheet for `stamp`, and a pen that draws in the plane's coordinates; colours are 0 to 255."""
        sheet = Image.new("L", (self.side, self.side))
        return sheet, drawing.Pen(sheet, drawing.Pose((0.5, 0.5), 1 / (2 * REACH)), (255,) * 4)

    def stamp(self, sheet: Image.Image, colour: Any, blur: float = 0.008, opacity: float = 0.8) -> None:
        """Blend a colour over the pixels where the sheet is painted; edges are blurred by `blur` units."""
        soft = sheet.filter(ImageFilter.GaussianBlur(blur * self.side / (2 * REACH)))
        self.lay(np.asarray(soft, dtype=np.float32) * (opacity / 255), colour)

    def dots(
        self,
        count: int | np.integer,
        smallest: float,
        largest: float,
        colour: Any,
        oval: float = 0.0,
        rim: float = 0.1,
        blur: float = 0.008,
        opacity: float = 0.8,
    ) -> None:
        """Draw dots with radii from `smallest` to `largest`; `oval`, 0 to 1, is their deviation from a circle."""
        sheet, pen = self.stencil()
        for x, y in self.places(count, rim=rim):
            radius_x, radius_y = self.random.uniform(smallest, largest) * self.random.uniform(1 - oval, 1 + oval, 2)
            pen.ellipse(x, y, radius_x, radius_y, int(self.random.uniform(100, 255)))
        self.stamp(sheet, colour, blur, opacity)

    def honeycomb(self, period: float) -> np.ndarray:
        """Return a net of hexagons, irregular if the lesion is asymmetric: 1 in a hexagon, about -0.5 on a line."""
        turn, waves = self.random.uniform(0, TURN), np.zeros_like(self.x)
        bend = 0.15 + 0.6 * self.asymmetry
        x, y = (plane + bend * period * self.noise(14) for plane in (self.x, self.y))
        for angle in turn + np.radians([0, 120, 240]):
            waves = waves + np.cos((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
        return waves / 3


def skin(random: np.random.Generator, side: int) -> np.ndarray:
    """Return skin (side, side, 3): the patient's tone, blotches and fine furrows."""
    tone = PALE_SKIN + random.beta(1.2, 3) * (DARK_SKIN - PALE_SKIN)
    tone = tone + random.uniform(0, 0.8) * (RUDDY_SKIN - PALE_SKIN)
    blotches = 0.07 * random.uniform(0.2, 1) * _noise(random, side, 8)[..., None] * (0.3, 1.0, 1.0)
    furrows = 0.035 * random.uniform(0.2, 1) * _noise(random, side, 60)[..., None]
    return (tone + blotches + furrows).astype(np.float32)


# Differential structures.


def draw_network(canvas: Canvas) -> None:
    """Draw a pigment network: brown lines around lighter meshes, which fade out in places."""
    net = canvas.honeycomb(canvas.random.uniform(0.11, 0.17))
    fading = step(canvas.field() + 0.5, 1.0) * step(canvas.depth + 0.05, 0.2)
    strength = canvas.random.uniform(0.5, 0.9)
    canvas.lay(strength * fading * step(0.1 - net, 0.7), 0.75 * np.array(COLOURS["dark brown"]))


def draw_globules(canvas: Canvas) -> None:
    """Draw brown to black dots and globules."""
    size = canvas.random.uniform(0.02, 0.05)
    canvas.dots(canvas.random.integers(8, 45), 0.7 * size, 1.3 * size, 0.6 * np.array(COLOURS["dark brown"]))


def draw_streaks(canvas: Canvas) -> None:
    """Draw dark radial lines that cross the rim."""
    sheet, pen = canvas.stencil()
    middle, width = canvas.random.uniform(0, TURN), canvas.random.uniform(0.025, 0.045)
    for angle in canvas.random.normal(middle, 0.9, canvas.random.integers(10, 26)):
        inside, outside = canvas.rim(angle) * np.array(
            [canvas.random.uniform(0.6, 0.9), canvas.random.uniform(1.1, 1.4)]
        )
        direction = np.array([np.cos(angle), np.sin(angle)])
        pen.stroke([inside * direction, outside * direction], width, 255, curved=False)
    canvas.stamp(sheet, COLOURS["black"], blur=0.012, opacity=canvas.random.uniform(0.4, 0.8))


def draw_veil(canvas: Canvas) -> None:
    """Draw a blue-white veil: a milky blue haze over a part of the lesion."""
    haze = step(canvas.field(5), 0.7) * step(canvas.depth - 0.15, 0.3)
    canvas.lay(canvas.random.uniform(0.45, 0.85) * haze, (0.55, 0.60, 0.72))


def draw_regression(canvas: Canvas) -> None:
    """Draw white, scar-like areas with grey peppering."""
    patch = step(canvas.field(6) - 0.5, 0.4) * step(canvas.depth - 0.05, 0.2)
    canvas.lay(canvas.random.uniform(0.4, 0.8) * patch, COLOURS["white"])
    canvas.lay(0.5 * patch * step(canvas.noise(60) - 0.3, 0.3), COLOURS["blue grey"])


def draw_cysts(canvas: Canvas) -> None:
    """Draw milia-like cysts: small, bright, round."""
    canvas.dots(canvas.random.integers(8, 24), 0.03, 0.07, (0.97, 0.90, 0.78), blur=0.015, opacity=0.95)


def draw_plugs(canvas: Canvas) -> None:
    """Draw comedo-like openings: brown plugs, larger and less dark than globules."""
    canvas.dots(canvas.random.integers(5, 14), 0.05, 0.11, (0.30, 0.17, 0.08), oval=0.3, opacity=0.95)


def draw_vessels(canvas: Canvas) -> None:
    """Draw arborizing vessels: bright red trees with thin twigs."""
    sheet, pen = canvas.stencil()
    for start in canvas.places(canvas.random.integers(3, 7), deepest=0.6):
        _branch(pen, canvas.random, start, canvas.random.uniform(0, TURN), 0.04, 0.5 * canvas.radius)
    canvas.stamp(sheet, (0.68, 0.14, 0.16), blur=0.006, opacity=canvas.random.uniform(0.7, 0.95))


def _branch(
    pen: drawing.Pen, random: np.random.Generator, start: np.ndarray, angle: float, width: float, length: float
) -> None:
    """Draw a vessel and two thinner ones from its end."""
    angles = angle + np.array([0.0, random.normal(0, 0.25)])
    steps = length / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    path = start + np.concatenate([[(0.0, 0.0)], np.cumsum(steps, axis=0)])
    pen.stroke(path, width, 255)
    if width > 0.015:
        for side in (-1, 1):
            turn = angles[-1] + side * random.uniform(0.3, 0.9)
            _branch(pen, random, path[-1], turn, width * 0.7, length * random.uniform(0.5, 0.9))


def draw_nests(canvas: Canvas) -> None:
    """Draw blue-grey ovoid nests."""
    count = canvas.random.integers(2, 9)
    canvas.dots(count, 0.08, 0.2, (0.26, 0.28, 0.40), oval=0.3, rim=0.2, blur=0.03, opacity=0.9)


def draw_crust(canvas: Canvas) -> None:
    """Draw an ulcer under a crust: a ragged orange to dark red spot."""
    ((x, y),) = canvas.places(1)
    spot = canvas.random.uniform(0.08, 0.2) - np.hypot(canvas.x - x, canvas.y - y) + 0.12 * canvas.noise(25)
    colour = np.array((0.30, 0.08, 0.06)) + canvas.random.uniform() * np.array((0.35, 0.27, 0.10))
    canvas.lay(canvas.random.uniform(0.5, 0.85) * step(spot, 0.08), colour)


def draw_lacunae(canvas: Canvas) -> None:
    """Draw lacunae: red to purple, sharply bounded, round, crowded."""
    count, opacity = canvas.random.integers(6, 18), canvas.random.uniform(0.8, 0.98)
    tone = canvas.random.uniform((0.40, 0.05, 0.12), (0.72, 0.18, 0.32))
    canvas.dots(count, 0.16 * canvas.radius, 0.36 * canvas.radius, tone, oval=0.2, rim=0.15, opacity=opacity)


def draw_scale(canvas: Canvas) -> None:
    """Draw scale: whitish-yellow flakes on the surface."""
    flakes = step(canvas.noise(22) + 0.5 * canvas.field() - 0.35, 0.15) * step(canvas.depth, 0.1)
    canvas.lay(canvas.random.uniform(0.6, 0.9) * flakes, (0.94, 0.86, 0.74))


def draw_strawberry(canvas: Canvas) -> None:
    """Draw a strawberry surface: red between pale follicles."""
    follicles = canvas.honeycomb(canvas.random.uniform(0.13, 0.22))
    inside = step(canvas.depth, 0.3)
    canvas.lay(canvas.random.uniform(0.5, 0.85) * inside * step(0.1 - follicles, 0.5), (0.74, 0.28, 0.28))
    canvas.lay(canvas.random.uniform(0.5, 0.85) * inside * step(follicles - 0.6, 0.3), (0.95, 0.84, 0.72))


def draw_dotted_vessels(canvas: Canvas) -> None:
    """Draw dotted and coiled vessels: small red dots."""
    canvas.dots(canvas.random.integers(15, 50), 0.012, 0.028, (0.66, 0.08, 0.12))


def draw_scar(canvas: Canvas) -> None:
    """Draw a white patch in the middle, the hardened core of a dermatofibroma."""
    patch = step(canvas.depth - canvas.random.uniform(0.3, 0.5) + 0.15 * canvas.noise(14), 0.25)
    canvas.lay(canvas.random.uniform(0.8, 0.95) * patch, (0.95, 0.86, 0.84))


STRUCTURES = {  # in drawing order, the deepest first
    "network": draw_network,
    "globules": draw_globules,
    "streaks": draw_streaks,
    "nests": draw_nests,
    "lacunae": draw_lacunae,
    "strawberry": draw_strawberry,
    "veil": draw_veil,
    "regression": draw_regression,
    "scar": draw_scar,
    "plugs": draw_plugs,
    "cysts": draw_cysts,
    "vessels": draw_vessels,
    "dotted_vessels": draw_dotted_vessels,
    "crust": draw_crust,
    "scale": draw_scale,
}
