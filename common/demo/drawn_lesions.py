"""Drawn pictures of skin lesions with their metadata, laid out as HAM10000 is.

HAM10000 (Tschandl et al., 2018, https://doi.org/10.1038/sdata.2018.161) has dermatoscopic photographs of seven
diagnoses, and several photographs of many a lesion. What is drawn here has the same folders, columns and codes,
for demonstrations without a download. Nothing in it is medical knowledge that anybody should rely on.

A diagnosis sets how likely things are, after the ABCD rule of dermatoscopy (Stolz et al., 1994, Eur. J. Dermatol.
4:521-527): asymmetry, border, colours, and diameter with differential structures. A lesion draws its own outline,
colours, structures and skin from that once, and its pictures show this very lesion under other light, hair and
zoom. Lesions of one diagnosis differ more than pictures of one lesion, and one lesion in twelve looks like another
diagnosis. So a network that has seen a lesion recognises it, which a split by picture mistakes for knowledge.

A lesion is painted on a plane of skin with the lesion in the middle, x to the right and y down, where 1 is half
the side of a picture taken from the usual distance.
"""

import dataclasses
import functools
import pathlib

import numpy as np
import tqdm
from PIL import Image, ImageFilter

from common import files
from common.demo import drawn_photos

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
PICTURES = (0.1, 0.35, 0.35, 0.2)  # how many lesions have 1, 2, 3 and 4; in HAM10000 three in four have one only.
MIMICS = 0.08  # so many lesions look like another diagnosis, which is why doctors take biopsies.
STRAY = 0.03  # how likely a structure is in a diagnosis that it is not typical of.
TURN = 2 * np.pi
REACH = 1.9  # the plane goes from -1.9 to 1.9: a turned, shifted picture from further away never leaves it.
SUPERSAMPLING = 2  # a picture is taken at twice its size and averaged, which gives smooth edges.

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
    """How likely things are in one diagnosis.

    Attributes:
        lesions: how many are drawn; the proportions are HAM10000's, evened out.
        resembles: the diagnoses that its mimics look like.
        asymmetry: mean, 0 to 1, of outline, colours and structures alike.
        border: mean raggedness of the outline, 0 to 1.
        sharpness: mean of how abruptly the rim ends, 0 to 1.
        colours: mean number of colours, 1 to 6.
        radius: mean, in units of the plane.
        palette: weights of the colours.
        structures: how likely the typical structures are; `STRUCTURES` says how each is drawn.
        age: mean and standard deviation, in years.
        dx_types: weights of how the diagnosis was made.
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


PROFILES = {
    "akiec": Diagnosis(  # actinic keratosis and Bowen's disease: red and scaly
        lesions=26, resembles=("bcc", "bkl"),
        asymmetry=0.5, border=0.5, sharpness=0.25, colours=2.2, radius=0.72,
        palette={"red": 6, "light brown": 3, "white": 2},
        structures={"strawberry": 0.85, "scale": 0.85, "dotted_vessels": 0.4},
        age=(67, 11), dx_types={"histo": 1},
        places={"face": 4, "lower extremity": 2, "upper extremity": 2, "scalp": 1, "hand": 1},
    ),
    "bcc": Diagnosis(  # basal cell carcinoma
        lesions=34, resembles=("akiec", "mel", "vasc"),
        asymmetry=0.5, border=0.35, sharpness=0.45, colours=2.4, radius=0.62,
        palette={"red": 6, "white": 3, "blue grey": 1},
        structures={"vessels": 0.9, "nests": 0.85, "crust": 0.5},
        age=(67, 13), dx_types={"histo": 1},
        places={"back": 4, "face": 3, "chest": 1, "scalp": 1, "neck": 1, "ear": 1},
    ),
    "bkl": Diagnosis(  # benign keratosis
        lesions=42, resembles=("akiec", "mel", "nv"),
        asymmetry=0.4, border=0.5, sharpness=0.8, colours=2.2, radius=0.72,
        palette={"light brown": 6, "dark brown": 4, "white": 1, "blue grey": 1},
        structures={"cysts": 0.9, "plugs": 0.85, "network": 0.05},
        age=(64, 13), dx_types={"histo": 14, "consensus": 5, "confocal": 1},
        places={"face": 3, "back": 2, "lower extremity": 2, "upper extremity": 1, "chest": 1},
    ),
    "df": Diagnosis(  # dermatofibroma
        lesions=16, resembles=("bcc", "nv"),
        asymmetry=0.25, border=0.25, sharpness=0.15, colours=2.2, radius=0.56,
        palette={"light brown": 6, "red": 2},
        structures={"scar": 0.95, "network": 0.6},
        age=(53, 13), dx_types={"histo": 1, "consensus": 1},
        places={"lower extremity": 7, "upper extremity": 2},
    ),
    "mel": Diagnosis(  # melanoma
        lesions=42, resembles=("bkl", "nv"),
        asymmetry=0.8, border=0.7, sharpness=0.6, colours=4.0, radius=0.8,
        palette={"dark brown": 5, "black": 4, "light brown": 3, "blue grey": 3, "red": 2, "white": 2},
        structures={"veil": 0.8, "streaks": 0.75, "network": 0.6, "globules": 0.4, "regression": 0.35},
        age=(61, 15), dx_types={"histo": 1},
        places={"back": 3, "upper extremity": 2, "lower extremity": 2, "face": 1, "chest": 1, "abdomen": 1},
    ),
    "nv": Diagnosis(  # nevus, the common mole
        lesions=84, resembles=("bkl", "df", "mel"),
        asymmetry=0.25, border=0.25, sharpness=0.35, colours=1.9, radius=0.6,
        palette={"light brown": 6, "dark brown": 6, "red": 1, "black": 1},
        structures={"network": 0.8, "globules": 0.3},
        age=(46, 15), dx_types={"follow_up": 11, "histo": 7, "consensus": 2},
        places={"lower extremity": 3, "back": 3, "trunk": 3, "abdomen": 2, "upper extremity": 1, "foot": 1},
    ),
    "vasc": Diagnosis(  # angiomas and other vascular lesions
        lesions=18, resembles=("bcc", "mel"),
        asymmetry=0.3, border=0.25, sharpness=0.8, colours=1.8, radius=0.52,
        palette={"red": 8, "blue grey": 2, "black": 1},
        structures={"lacunae": 0.95, "veil": 0.15},
        age=(51, 20), dx_types={"histo": 1, "consensus": 1},
        places={"trunk": 3, "lower extremity": 3, "abdomen": 3, "back": 2, "face": 1},
    ),
}  # fmt: skip
DIAGNOSES: tuple[str, ...] = tuple(PROFILES)
LESIONS = sum(profile.lesions for profile in PROFILES.values())  # in one folder
PLACES: tuple[str, ...] = (
    "back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot", "scalp", "neck",
    "hand", "ear", "genital", "acral", "unknown",
)  # fmt: skip


# The plane of skin that a lesion is painted on.


def _noise(random, side, cells) -> np.ndarray:
    """Smooth noise (side, side), mean 0 and about -1 to 1, with about `cells` waves per side."""
    coarse = Image.fromarray(random.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def _step(plane, width) -> np.ndarray:
    """0 where the plane is below 0 and 1 where it is above, with a soft edge that is `width` wide."""
    return np.clip(plane / width + 0.5, 0, 1)


def _between(random, low, high, mean) -> float:
    """A number between `low` and `high`, about `mean`, spread so widely that the diagnoses overlap."""
    share = np.clip((mean - low) / (high - low), 0.05, 0.95)
    return low + (high - low) * random.beta(20 * share, 20 * (1 - share))


def _pick(random, weights: dict[str, float]) -> str:
    shares = np.array(list(weights.values())) / sum(weights.values())
    return list(weights)[random.choice(len(shares), p=shares)]


class Canvas:
    """The plane with one lesion's outline on it.

    Args:
        random: the lesion's own random stream.
        profile: the diagnosis that it looks like.
        side: pixels per side.

    Attributes:
        pixels: the colours so far, float32 (side, side, 3), 0 to 1.
        asymmetry: the lesion's own, 0 to 1.
        radius: its mean radius in units of the plane.
        depth: (side, side), 1 in the middle of the lesion, 0 on its rim and negative outside.
        cover: (side, side), how much of the skin is lesion, 0 to 1.
    """

    def __init__(self, random: np.random.Generator, profile: Diagnosis, side: int):
        self.random, self.side = random, side
        self.pixels = _skin(random, side)
        self.asymmetry = _between(random, 0, 1, profile.asymmetry)
        self.radius = _between(random, 0.3, 0.95, profile.radius)
        y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) * (2 * REACH / side) - REACH
        self.x, self.y = x + 0.06 * self.noise(6), y + 0.06 * self.noise(6)
        border = _between(random, 0, 1, profile.border)
        self.outline = self._outline(border)
        self.depth = 1 - np.hypot(self.x, self.y) / self.rim(np.arctan2(self.y, self.x))
        self.depth = self.depth + (0.02 + 0.12 * border) * (self.noise(18) + self.noise(36))
        self.cover = _step(self.depth, self._softness(_between(random, 0, 1, profile.sharpness)))

    def noise(self, cells) -> np.ndarray:
        """Smooth noise (side, side), about -1 to 1, with about `cells` waves from one end of the plane to the other."""
        return _noise(self.random, self.side, cells)

    def _outline(self, border) -> np.ndarray:
        """Distance of the rim from the centre in 360 directions: an ellipse, dented and ragged."""
        angles = np.radians(np.arange(360))
        shape = np.full(360, 1.0)
        waves = {2: self.random.uniform(0.02, 0.25)} | {wave: 0.22 * self.asymmetry / wave**0.5 for wave in (3, 4, 5)}
        waves |= dict.fromkeys((7, 9, 11), 0.06 * border)
        for wave, strength in waves.items():
            shape += strength * self.random.uniform(0.4, 1.1) * np.cos(wave * angles + self.random.uniform(0, TURN))
        return self.radius * np.clip(shape, 0.35, 1.8)

    def _softness(self, sharpness) -> np.ndarray:
        """How wide the rim is: the same all around where the lesion is symmetric, else only somewhere abrupt."""
        angle = np.arctan2(self.y, self.x) + self.random.uniform(0, TURN)
        return (0.04 + 0.7 * (1 - sharpness) ** 1.5) * (1 + 0.6 * self.asymmetry * np.cos(angle))

    def rim(self, angles) -> np.ndarray:
        """Distance of the rim from the centre in the given directions, in radians."""
        return np.interp(angles, np.linspace(0, TURN, len(self.outline), endpoint=False), self.outline, period=TURN)

    def field(self, cells=7) -> np.ndarray:
        """A plane of about -1 to 1 for spreading something: rings in a symmetric lesion, patches in others."""
        rings = np.cos(np.clip(self.depth, 0, 1) * self.random.uniform(2, 5) + self.random.uniform(0, TURN))
        angle = self.random.uniform(0, TURN)
        slope = (self.x * np.cos(angle) + self.y * np.sin(angle)) / self.radius
        patches = 1.1 * self.noise(cells) + 0.7 * self.asymmetry * slope
        return (1 - self.asymmetry) * rings + self.asymmetry**0.5 * patches

    def places(self, count, deepest=1.0, rim=0.1) -> np.ndarray:
        """So many random points (count, 2) inside the lesion, crowded to one side where it is asymmetric."""
        angles = self.random.normal(self.random.uniform(0, TURN), 0.7 + 3 * (1 - self.asymmetry), count)
        away = np.sqrt(self.random.uniform((1 - deepest) ** 2, (1 - rim) ** 2, count)) * self.rim(angles)
        return away[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def lay(self, weight, colour):
        """Blends a colour (3,) over the pixels by a weight (side, side) between 0 and 1."""
        self.pixels += np.clip(weight, 0, 1).astype(np.float32)[..., None] * (np.float32(colour) - self.pixels)

    def stencil(self) -> tuple[Image.Image, drawn_photos.Pen]:
        """An empty sheet and a pen that draws in the plane's coordinates, for `stamp`; colours are 0 to 255."""
        sheet = Image.new("L", (self.side, self.side))
        return sheet, drawn_photos.Pen(sheet, drawn_photos.Pose((0.5, 0.5), 1 / (2 * REACH)), (255,) * 4)

    def stamp(self, sheet, colour, blur=0.008, opacity=0.8):
        """Blends a colour over the pixels where the sheet is painted, its edges blurred by `blur` units."""
        soft = sheet.filter(ImageFilter.GaussianBlur(blur * self.side / (2 * REACH)))
        self.lay(np.asarray(soft, dtype=np.float32) * (opacity / 255), colour)

    def dots(self, count, smallest, largest, colour, oval=0.0, rim=0.1, blur=0.008, opacity=0.8):
        """So many dots with radii from `smallest` to `largest`; `oval` is how far from round they are, 0 to 1."""
        sheet, pen = self.stencil()
        for x, y in self.places(count, rim=rim):
            radius_x, radius_y = self.random.uniform(smallest, largest) * self.random.uniform(1 - oval, 1 + oval, 2)
            pen.ellipse(x, y, radius_x, radius_y, int(self.random.uniform(100, 255)))
        self.stamp(sheet, colour, blur, opacity)

    def honeycomb(self, period) -> np.ndarray:
        """A net of six-sided meshes, irregular where the lesion is asymmetric: 1 in a mesh, about -0.5 on a line."""
        turn, waves = self.random.uniform(0, TURN), np.zeros_like(self.x)
        bend = 0.15 + 0.6 * self.asymmetry
        x, y = (plane + bend * period * self.noise(14) for plane in (self.x, self.y))
        for angle in turn + np.radians([0, 120, 240]):
            waves = waves + np.cos((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
        return waves / 3


def _skin(random, side) -> np.ndarray:
    """Skin (side, side, 3): the patient's tone, blotches, fine furrows."""
    tone = PALE_SKIN + random.beta(1.2, 3) * (DARK_SKIN - PALE_SKIN)
    tone = tone + random.uniform(0, 0.8) * (RUDDY_SKIN - PALE_SKIN)
    blotches = 0.07 * random.uniform(0.2, 1) * _noise(random, side, 8)[..., None] * (0.3, 1.0, 1.0)
    furrows = 0.035 * random.uniform(0.2, 1) * _noise(random, side, 60)[..., None]
    return (tone + blotches + furrows).astype(np.float32)


# Differential structures. Each draws on a canvas; where and how strongly is the canvas's own random stream's choice.


def draw_network(canvas: Canvas):
    """A pigment network: brown lines around lighter meshes, fading out in places."""
    net = canvas.honeycomb(canvas.random.uniform(0.11, 0.17))
    fading = _step(canvas.field() + 0.5, 1.0) * _step(canvas.depth + 0.05, 0.2)
    strength = canvas.random.uniform(0.5, 0.9)
    canvas.lay(strength * fading * _step(0.1 - net, 0.7), 0.75 * np.array(COLOURS["dark brown"]))


def draw_globules(canvas: Canvas):
    """Brown to black dots and globules."""
    size = canvas.random.uniform(0.02, 0.05)
    canvas.dots(canvas.random.integers(8, 45), 0.7 * size, 1.3 * size, 0.6 * np.array(COLOURS["dark brown"]))


def draw_streaks(canvas: Canvas):
    """Dark radial lines that run over the rim."""
    sheet, pen = canvas.stencil()
    middle, width = canvas.random.uniform(0, TURN), canvas.random.uniform(0.025, 0.045)
    for angle in canvas.random.normal(middle, 0.9, canvas.random.integers(10, 26)):
        inside, outside = canvas.rim(angle) * np.array(
            [canvas.random.uniform(0.6, 0.9), canvas.random.uniform(1.1, 1.4)]
        )
        direction = np.array([np.cos(angle), np.sin(angle)])
        pen.stroke([inside * direction, outside * direction], width, 255, curved=False)
    canvas.stamp(sheet, COLOURS["black"], blur=0.012, opacity=canvas.random.uniform(0.4, 0.8))


def draw_veil(canvas: Canvas):
    """A blue-white veil: a milky blue haze over a part of the lesion."""
    haze = _step(canvas.field(5), 0.7) * _step(canvas.depth - 0.15, 0.3)
    canvas.lay(canvas.random.uniform(0.45, 0.85) * haze, (0.55, 0.60, 0.72))


def draw_regression(canvas: Canvas):
    """White, scar-like areas with grey peppering."""
    patch = _step(canvas.field(6) - 0.5, 0.4) * _step(canvas.depth - 0.05, 0.2)
    canvas.lay(canvas.random.uniform(0.4, 0.8) * patch, COLOURS["white"])
    canvas.lay(0.5 * patch * _step(canvas.noise(60) - 0.3, 0.3), COLOURS["blue grey"])


def draw_cysts(canvas: Canvas):
    """Milia-like cysts: small, bright, round."""
    canvas.dots(canvas.random.integers(8, 24), 0.03, 0.07, (0.97, 0.90, 0.78), blur=0.015, opacity=0.95)


def draw_plugs(canvas: Canvas):
    """Comedo-like openings: brown plugs, larger and less dark than globules."""
    canvas.dots(canvas.random.integers(5, 14), 0.05, 0.11, (0.30, 0.17, 0.08), oval=0.3, opacity=0.95)


def draw_vessels(canvas: Canvas):
    """Arborizing vessels: bright red trees with thin twigs."""
    sheet, pen = canvas.stencil()
    for start in canvas.places(canvas.random.integers(3, 7), deepest=0.6):
        _branch(pen, canvas.random, start, canvas.random.uniform(0, TURN), 0.04, 0.5 * canvas.radius)
    canvas.stamp(sheet, (0.68, 0.14, 0.16), blur=0.006, opacity=canvas.random.uniform(0.7, 0.95))


def _branch(pen, random, start, angle, width, length):
    """One vessel and, from its end, two thinner ones."""
    angles = angle + np.array([0.0, random.normal(0, 0.25)])
    steps = length / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    path = start + np.concatenate([[(0.0, 0.0)], np.cumsum(steps, axis=0)])
    pen.stroke(path, width, 255)
    if width > 0.015:
        for side in (-1, 1):
            turn = angles[-1] + side * random.uniform(0.3, 0.9)
            _branch(pen, random, path[-1], turn, width * 0.7, length * random.uniform(0.5, 0.9))


def draw_nests(canvas: Canvas):
    """Blue-grey ovoid nests."""
    count = canvas.random.integers(2, 9)
    canvas.dots(count, 0.08, 0.2, (0.26, 0.28, 0.40), oval=0.3, rim=0.2, blur=0.03, opacity=0.9)


def draw_crust(canvas: Canvas):
    """An ulcer under a crust: a ragged orange to dark red spot."""
    ((x, y),) = canvas.places(1)
    spot = canvas.random.uniform(0.08, 0.2) - np.hypot(canvas.x - x, canvas.y - y) + 0.12 * canvas.noise(25)
    colour = np.array((0.30, 0.08, 0.06)) + canvas.random.uniform() * np.array((0.35, 0.27, 0.10))
    canvas.lay(canvas.random.uniform(0.5, 0.85) * _step(spot, 0.08), colour)


def draw_lacunae(canvas: Canvas):
    """Lacunae: red to purple, sharply bounded, round, crowded."""
    count, opacity = canvas.random.integers(6, 18), canvas.random.uniform(0.8, 0.98)
    tone = canvas.random.uniform((0.40, 0.05, 0.12), (0.72, 0.18, 0.32))
    canvas.dots(count, 0.16 * canvas.radius, 0.36 * canvas.radius, tone, oval=0.2, rim=0.15, opacity=opacity)


def draw_scale(canvas: Canvas):
    """Scale: whitish-yellow flakes on the surface."""
    flakes = _step(canvas.noise(22) + 0.5 * canvas.field() - 0.35, 0.15) * _step(canvas.depth, 0.1)
    canvas.lay(canvas.random.uniform(0.6, 0.9) * flakes, (0.94, 0.86, 0.74))


def draw_strawberry(canvas: Canvas):
    """A strawberry surface: red between pale follicles."""
    follicles = canvas.honeycomb(canvas.random.uniform(0.13, 0.22))
    inside = _step(canvas.depth, 0.3)
    canvas.lay(canvas.random.uniform(0.5, 0.85) * inside * _step(0.1 - follicles, 0.5), (0.74, 0.28, 0.28))
    canvas.lay(canvas.random.uniform(0.5, 0.85) * inside * _step(follicles - 0.6, 0.3), (0.95, 0.84, 0.72))


def draw_dotted_vessels(canvas: Canvas):
    """Dotted and coiled vessels: small red dots."""
    canvas.dots(canvas.random.integers(15, 50), 0.012, 0.028, (0.66, 0.08, 0.12))


def draw_scar(canvas: Canvas):
    """A white patch in the middle, the hardened core of a dermatofibroma."""
    patch = _step(canvas.depth - canvas.random.uniform(0.3, 0.5) + 0.15 * canvas.noise(14), 0.25)
    canvas.lay(canvas.random.uniform(0.8, 0.95) * patch, (0.95, 0.86, 0.84))


STRUCTURES = {  # in the order in which they are drawn, the deepest first
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


# The lesion.


def _check(**numbers):
    for name, number in numbers.items():
        least = 32 if name == "size" else 0
        if number < least:
            raise ValueError(f"{name} must be {least} or more; got {number}")


@functools.cache
def _order() -> tuple[str, ...]:
    """The diagnoses of one folder's lesions, shuffled."""
    names = [name for name, profile in PROFILES.items() for _ in range(profile.lesions)]
    return tuple(names[index] for index in np.random.default_rng(7).permutation(len(names)))


def diagnosis(lesion: int) -> str:
    """The diagnosis of a lesion: of `LESIONS` in a row each has as many as its profile says.

    Args:
        lesion: 0 or more.

    Raises:
        ValueError: the number is negative.
    """
    _check(lesion=lesion)
    return _order()[lesion % LESIONS]


@functools.lru_cache(maxsize=2)  # The pictures of a lesion are drawn one after the other.
def paint_lesion(lesion: int, size: int = drawn_photos.IMAGE_SIZE) -> Image.Image:
    """The lesion itself on its skin, before any picture of it is taken.

    Args:
        lesion: 0 or more.
        size: side in pixels of the pictures that it is for, 32 or more.

    Returns:
        An RGB image of the whole plane, 3 * size pixels per side.

    Raises:
        ValueError: the lesion is negative or the size under 32.
    """
    _check(lesion=lesion, size=size)
    random = np.random.default_rng([1, lesion])
    profile = PROFILES[diagnosis(lesion)]
    if random.random() < MIMICS:
        profile = PROFILES[random.choice(profile.resembles)]
    canvas = Canvas(random, profile, 3 * size)
    _colour(canvas, profile)
    for name, structure in STRUCTURES.items():
        if random.random() < profile.structures.get(name, STRAY):
            structure(canvas)
    mottling = 0.12 * canvas.noise(40) + 0.12 * canvas.noise(90)
    canvas.pixels *= 1 + (mottling * canvas.cover)[..., None]
    return Image.fromarray((np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8))


def _colour(canvas: Canvas, profile: Diagnosis):
    """The lesion's ground: its own shades of its own colours, the first everywhere, the others in parts."""
    random, palette = canvas.random, dict(profile.palette)
    count = min(len(palette), round(_between(random, 0.5, 6.4, profile.colours)))
    opacity = random.uniform(0.55, 0.95)
    for index in range(max(1, count)):
        # Skin that is white all over would be no lesion, hence the first colour is another.
        name = _pick(random, {colour: palette[colour] for colour in palette if index or colour != "white"})
        del palette[name]
        shade = np.array(COLOURS[name]) * random.uniform(0.8, 1.2) + random.normal(0, 0.02, 3)
        part = _step(canvas.field() - random.uniform(0.0, 0.6), 0.8) if index else 1 + 0.25 * canvas.noise(16)
        canvas.lay(opacity * canvas.cover * part, shade)


# The picture.


def _hairs(photo: Image.Image, random):
    """Hairs across one picture in four, up to six of one shade."""
    if random.random() > 0.25:
        return
    pen = drawn_photos.Pen(photo, drawn_photos.Pose((0.5, 0.5), 0.5), ((0, 0, 0),) * 4)
    direction, shade = random.uniform(0, TURN), random.uniform(0.2, 1) * np.array((130, 95, 65))
    for _ in range(random.integers(1, 7)):
        angle = direction + random.normal(0, 0.4)
        along, across = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle, length = random.uniform(-1, 1, 2), random.uniform(0.4, 1.4)
        path = [middle - length * along, middle + random.normal(0, 0.2) * across, middle + length * along]
        pen.stroke(path, random.uniform(0.006, 0.018), tuple(shade.astype(int)))


def _bubbles(photo: np.ndarray, random) -> np.ndarray:
    """Bubbles in the gel under the glass: bright rims with a highlight."""
    sheet = Image.new("L", photo.shape[:2])
    pen = drawn_photos.Pen(sheet, drawn_photos.Pose((0.5, 0.5), 0.5), (0,) * 4)
    for _ in range(max(0, random.integers(-6, 4))):
        (x, y), radius = random.uniform(-0.95, 0.95, 2), random.uniform(0.03, 0.13)
        pen.stroke(drawn_photos.arc(x, y, radius, radius), 0.02, int(random.uniform(40, 130)))
        pen.ellipse(x - 0.4 * radius, y - 0.4 * radius, 0.2 * radius, 0.2 * radius, int(random.uniform(120, 230)))
    shine = np.asarray(sheet.filter(ImageFilter.GaussianBlur(len(photo) / 150)), dtype=np.float32)[..., None] / 255
    return photo + shine * (1 - photo)


def _take(plane: Image.Image, random, size) -> Image.Image:
    """The view of the plane from some distance and angle: (size, size) pixels."""
    zoom, turn = random.uniform(0.9, 1.12), random.normal(0, 0.25)
    step = plane.width / (2 * REACH) / zoom * 2 / size  # pixels of the plane per pixel of the picture
    cosine, sine = step * np.cos(turn), step * np.sin(turn)
    x, y = plane.width / 2 + random.normal(0, 0.05, 2) * plane.width / (2 * REACH)
    corner = (x - (cosine - sine) * size / 2, y - (sine + cosine) * size / 2)
    affine = (cosine, -sine, corner[0], sine, cosine, corner[1])
    return plane.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def _develop(photo: np.ndarray, random) -> np.ndarray:
    """Light, colour cast, contrast and the dark rim of the dermatoscope: (size, size, 3), 0 to 1."""
    y, x = np.mgrid[0 : len(photo), 0 : len(photo)] * (2 / len(photo)) - 1
    angle = random.uniform(0, TURN)
    light = 1 + random.uniform(0, 0.12) * (x * np.cos(angle) + y * np.sin(angle))
    distance = np.hypot(x - random.normal(0, 0.05), y - random.normal(0, 0.05))
    light = light * (1 - random.uniform(0, 0.2) * distance**2)
    if random.random() < 0.1:  # The edge of the round glass is in the picture.
        light = light * _step(random.uniform(1.1, 1.35) - distance, 0.06)
    photo = (photo - 0.5) * random.uniform(0.9, 1.12) + 0.5
    return photo * light[..., None] * random.uniform(0.93, 1.07, 3) * random.uniform(0.88, 1.1)


def draw(lesion: int, picture: int = 0, size: int = drawn_photos.IMAGE_SIZE) -> np.ndarray:
    """Draws one picture of a lesion.

    Args:
        lesion: 0 or more; `diagnosis(lesion)` says what it is.
        picture: 0 or more; another picture shows the same lesion in other circumstances.
        size: side in pixels, 32 or more.

    Returns:
        uint8 RGB pixels, (size, size, 3), the same for the same arguments.

    Raises:
        ValueError: the lesion or the picture is negative, or the size under 32.
    """
    _check(lesion=lesion, picture=picture, size=size)
    random = np.random.default_rng([2, lesion, picture])
    photo = _take(paint_lesion(lesion, size), random, SUPERSAMPLING * size)
    _hairs(photo, random)
    photo = photo.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.8) * SUPERSAMPLING * size / 96))
    pixels = _bubbles(np.asarray(photo.reduce(SUPERSAMPLING), dtype=np.float32) / 255, random)
    pixels = _develop(pixels, random) * 255
    # The sensor's noise is drawn last: it is as large as the picture, and all else must not depend on its size.
    noise = random.normal(0, random.uniform(0, 3), (size, size, 1)) + random.normal(0, 1.5, (size, size, 3))
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


# The folder.


def metadata(seed: int = 0) -> list[dict[str, str]]:
    """The rows of `metadata.csv`, one for each picture; all pictures of a lesion share everything but `image_id`.

    Args:
        seed: 0 or more; another seed has other lesions, none of them shared.

    Returns:
        Rows with the keys `COLUMNS`. `image_id` is the lesion's and the picture's number; `age` is in years, in
        steps of five, as text with one decimal, and empty where it is unknown.

    Raises:
        ValueError: the seed is negative.
    """
    _check(seed=seed)
    rows = []
    for lesion in range(seed * LESIONS, (seed + 1) * LESIONS):
        random = np.random.default_rng([3, lesion])
        patient, lesion_id = _patient(random, diagnosis(lesion)), f"DEMO_{lesion:07d}"
        for picture in range(1 + random.choice(len(PICTURES), p=PICTURES)):
            rows.append({"lesion_id": lesion_id, "image_id": f"{lesion_id}_{picture}", **patient})
    return rows


def _patient(random, dx: str) -> dict[str, str]:
    profile = PROFILES[dx]
    age = 5.0 * round(np.clip(random.normal(*profile.age), 0, 85) / 5)
    anywhere = random.random() < 0.25
    return {
        "dx": dx,
        "dx_type": _pick(random, profile.dx_types),
        "age": "" if random.random() < 0.01 else str(age),
        "sex": _pick(random, {"male": 54, "female": 45, "unknown": 1}),
        "localization": str(random.choice(PLACES)) if anywhere else _pick(random, profile.places),
    }


def _is_complete(folder, rows, size) -> bool:
    expected = {"metadata.csv", "images"} | {f"images/{row['image_id']}.jpg" for row in rows}
    if expected != {path.relative_to(folder).as_posix() for path in folder.rglob("*")}:
        return False
    with Image.open(folder / "images" / f"{rows[0]['image_id']}.jpg") as first:
        return first.size == (size, size)


def write_pictures(folder, seed: int = 0, size: int = drawn_photos.IMAGE_SIZE) -> pathlib.Path:
    """Writes `folder/images/<image_id>.jpg` and `folder/metadata.csv`, or finds them already there.

    The same seed and size give the same bytes.

    Args:
        folder: where to; made if it does not exist.
        seed: 0 or more; another seed gives other lesions, none of them shared.
        size: side in pixels, 32 or more.

    Returns:
        The folder's path.

    Raises:
        errors.UserError: something else is in the folder, or it cannot be written.
        ValueError: the seed is negative or the size under 32.
    """
    _check(seed=seed, size=size)
    rows = metadata(seed)

    def write(unfinished):
        (unfinished / "images").mkdir()
        for row in tqdm.tqdm(rows, desc="drawing lesions", unit="picture"):
            lesion, picture = (int(number) for number in row["image_id"].split("_")[1:])
            photo = Image.fromarray(draw(lesion, picture, size))
            photo.save(unfinished / "images" / f"{row['image_id']}.jpg", quality=drawn_photos.JPEG_QUALITY)
        files.write_csv(unfinished / "metadata.csv", list(COLUMNS), ([row[key] for key in COLUMNS] for row in rows))

    return files.complete_folder(folder, lambda found: _is_complete(found, rows, size), write, "the demo's lesions")
