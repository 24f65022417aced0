"""Drawn pictures of skin lesions with their metadata, in the layout of HAM10000.

HAM10000 (Tschandl et al., 2018, https://doi.org/10.1038/sdata.2018.161) has dermatoscopic photographs of seven
diagnoses, with several photographs of many lesions. The drawn pictures have the same folders, columns and codes, for
demonstrations without a download. Do not rely on them for medical knowledge.

A diagnosis sets the probabilities of features after the ABCD rule of dermatoscopy (Stolz et al., 1994, Eur. J.
Dermatol. 4:521-527): asymmetry, border, colours, and diameter with differential structures. Each lesion samples its
outline, colours, structures and skin once; its pictures show the same lesion with different light, hair and zoom.
Lesions of one diagnosis differ more than pictures of one lesion, and one lesion in twelve looks like another diagnosis.
So a network recognises a lesion that it has seen, which a split by picture mistakes for knowledge.

A lesion is painted in the middle of a plane of skin, with x to the right and y down; 1 is half the side of a picture
taken from the usual distance.
"""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import tqdm
from PIL import Image, ImageFilter

from common import files
from common.demo import drawing, drawn_photos, lesion_structures

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
PICTURES = (0.1, 0.35, 0.35, 0.2)  # shares of lesions with 1 to 4 pictures; in HAM10000 three in four have only one.
MIMICS = 0.08  # the share of lesions that look like another diagnosis, which is why doctors take biopsies.
STRAY = 0.03  # the probability of a structure in a diagnosis for which it is not typical.
SUPERSAMPLING = 2  # a picture is taken at twice its size and averaged, which gives smooth edges.


PROFILES = {
    "akiec": lesion_structures.Diagnosis(  # actinic keratosis and Bowen's disease: red and scaly
        lesions=26, resembles=("bcc", "bkl"),
        asymmetry=0.5, border=0.5, sharpness=0.25, colours=2.2, radius=0.72,
        palette={"red": 6, "light brown": 3, "white": 2},
        structures={"strawberry": 0.85, "scale": 0.85, "dotted_vessels": 0.4},
        age=(67, 11), dx_types={"histo": 1},
        places={"face": 4, "lower extremity": 2, "upper extremity": 2, "scalp": 1, "hand": 1},
    ),
    "bcc": lesion_structures.Diagnosis(  # basal cell carcinoma
        lesions=34, resembles=("akiec", "mel", "vasc"),
        asymmetry=0.5, border=0.35, sharpness=0.45, colours=2.4, radius=0.62,
        palette={"red": 6, "white": 3, "blue grey": 1},
        structures={"vessels": 0.9, "nests": 0.85, "crust": 0.5},
        age=(67, 13), dx_types={"histo": 1},
        places={"back": 4, "face": 3, "chest": 1, "scalp": 1, "neck": 1, "ear": 1},
    ),
    "bkl": lesion_structures.Diagnosis(  # benign keratosis
        lesions=42, resembles=("akiec", "mel", "nv"),
        asymmetry=0.4, border=0.5, sharpness=0.8, colours=2.2, radius=0.72,
        palette={"light brown": 6, "dark brown": 4, "white": 1, "blue grey": 1},
        structures={"cysts": 0.9, "plugs": 0.85, "network": 0.05},
        age=(64, 13), dx_types={"histo": 14, "consensus": 5, "confocal": 1},
        places={"face": 3, "back": 2, "lower extremity": 2, "upper extremity": 1, "chest": 1},
    ),
    "df": lesion_structures.Diagnosis(  # dermatofibroma
        lesions=16, resembles=("bcc", "nv"),
        asymmetry=0.25, border=0.25, sharpness=0.15, colours=2.2, radius=0.56,
        palette={"light brown": 6, "red": 2},
        structures={"scar": 0.95, "network": 0.6},
        age=(53, 13), dx_types={"histo": 1, "consensus": 1},
        places={"lower extremity": 7, "upper extremity": 2},
    ),
    "mel": lesion_structures.Diagnosis(  # melanoma
        lesions=42, resembles=("bkl", "nv"),
        asymmetry=0.8, border=0.7, sharpness=0.6, colours=4.0, radius=0.8,
        palette={"dark brown": 5, "black": 4, "light brown": 3, "blue grey": 3, "red": 2, "white": 2},
        structures={"veil": 0.8, "streaks": 0.75, "network": 0.6, "globules": 0.4, "regression": 0.35},
        age=(61, 15), dx_types={"histo": 1},
        places={"back": 3, "upper extremity": 2, "lower extremity": 2, "face": 1, "chest": 1, "abdomen": 1},
    ),
    "nv": lesion_structures.Diagnosis(  # nevus, the common mole
        lesions=84, resembles=("bkl", "df", "mel"),
        asymmetry=0.25, border=0.25, sharpness=0.35, colours=1.9, radius=0.6,
        palette={"light brown": 6, "dark brown": 6, "red": 1, "black": 1},
        structures={"network": 0.8, "globules": 0.3},
        age=(46, 15), dx_types={"follow_up": 11, "histo": 7, "consensus": 2},
        places={"lower extremity": 3, "back": 3, "trunk": 3, "abdomen": 2, "upper extremity": 1, "foot": 1},
    ),
    "vasc": lesion_structures.Diagnosis(  # angiomas and other vascular lesions
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


# The lesion.


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        least = 32 if name == "size" else 0
        if number < least:
            raise ValueError(f"{name} must be {least} or more; got {number}")


@functools.cache
def _order() -> tuple[str, ...]:
    """Return the diagnoses of one folder's lesions, shuffled."""
    names = [name for name, profile in PROFILES.items() for _ in range(profile.lesions)]
    return tuple(names[index] for index in np.random.default_rng(7).permutation(len(names)))


def diagnosis(lesion: int) -> str:
    """Return the diagnosis of a lesion; among `LESIONS` in a row, each diagnosis has the number of its profile.

    Args:
        lesion: 0 or more.

    Raises:
        ValueError: the number is negative.
    """
    _check(lesion=lesion)
    return _order()[lesion % LESIONS]


@functools.lru_cache(maxsize=2)  # The pictures of a lesion are drawn one after the other.
def paint_lesion(lesion: int, size: int = drawn_photos.IMAGE_SIZE) -> Image.Image:
    """Return the lesion on its skin, before any picture of it is taken.

    Args:
        lesion: 0 or more.
        size: side in pixels of the pictures that will be taken, 32 or more.

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
    canvas = lesion_structures.Canvas(random, profile, 3 * size)
    _colour(canvas, profile)
    for name, structure in lesion_structures.STRUCTURES.items():
        if random.random() < profile.structures.get(name, STRAY):
            structure(canvas)
    mottling = 0.12 * canvas.noise(40) + 0.12 * canvas.noise(90)
    canvas.pixels *= 1 + (mottling * canvas.cover)[..., None]
    return Image.fromarray((np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8))


def _colour(canvas: lesion_structures.Canvas, profile: lesion_structures.Diagnosis) -> None:
    """Paint the lesion's ground: the first of its colours everywhere, the others in parts."""
    random, palette = canvas.random, dict(profile.palette)
    count = min(len(palette), round(lesion_structures.between(random, 0.5, 6.4, profile.colours)))
    opacity = random.uniform(0.55, 0.95)
    for index in range(max(1, count)):
        # White skin everywhere would not be a lesion, so the first colour is never white.
        name = lesion_structures.pick(
            random, {colour: palette[colour] for colour in palette if index or colour != "white"}
        )
        del palette[name]
        shade = np.array(lesion_structures.COLOURS[name]) * random.uniform(0.8, 1.2) + random.normal(0, 0.02, 3)
        part = (
            lesion_structures.step(canvas.field() - random.uniform(0.0, 0.6), 0.8)
            if index
            else 1 + 0.25 * canvas.noise(16)
        )
        canvas.lay(opacity * canvas.cover * part, shade)


# The picture.


def _hairs(photo: Image.Image, random: np.random.Generator) -> None:
    """Draw up to six hairs of one shade across one picture in four."""
    if random.random() > 0.25:
        return
    pen = drawing.Pen(photo, drawing.Pose((0.5, 0.5), 0.5), ((0, 0, 0),) * 4)
    direction, shade = random.uniform(0, lesion_structures.TURN), random.uniform(0.2, 1) * np.array((130, 95, 65))
    for _ in range(random.integers(1, 7)):
        angle = direction + random.normal(0, 0.4)
        along, across = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle, length = random.uniform(-1, 1, 2), random.uniform(0.4, 1.4)
        path = [middle - length * along, middle + random.normal(0, 0.2) * across, middle + length * along]
        pen.stroke(path, random.uniform(0.006, 0.018), tuple(shade.astype(int)))


def _bubbles(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add bubbles in the gel under the glass: bright rims with a highlight."""
    sheet = Image.new("L", photo.shape[:2])
    pen = drawing.Pen(sheet, drawing.Pose((0.5, 0.5), 0.5), (0,) * 4)
    for _ in range(max(0, int(random.integers(-6, 4)))):
        (x, y), radius = random.uniform(-0.95, 0.95, 2), random.uniform(0.03, 0.13)
        pen.stroke(drawing.arc(x, y, radius, radius), 0.02, int(random.uniform(40, 130)))
        pen.ellipse(x - 0.4 * radius, y - 0.4 * radius, 0.2 * radius, 0.2 * radius, int(random.uniform(120, 230)))
    shine = np.asarray(sheet.filter(ImageFilter.GaussianBlur(len(photo) / 150)), dtype=np.float32)[..., None] / 255
    return photo + shine * (1 - photo)


def _take(plane: Image.Image, random: np.random.Generator, size: int) -> Image.Image:
    """Return the view of the plane from a random distance and angle: (size, size) pixels."""
    zoom, turn = random.uniform(0.9, 1.12), random.normal(0, 0.25)
    step = plane.width / (2 * lesion_structures.REACH) / zoom * 2 / size  # pixels of the plane per pixel of the picture
    cosine, sine = step * np.cos(turn), step * np.sin(turn)
    x, y = plane.width / 2 + random.normal(0, 0.05, 2) * plane.width / (2 * lesion_structures.REACH)
    corner = (x - (cosine - sine) * size / 2, y - (sine + cosine) * size / 2)
    affine = (cosine, -sine, corner[0], sine, cosine, corner[1])
    return plane.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)


def _develop(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add light, colour cast, contrast and the dark rim of the dermatoscope: (size, size, 3), 0 to 1."""
    y, x = np.mgrid[0 : len(photo), 0 : len(photo)] * (2 / len(photo)) - 1
    angle = random.uniform(0, lesion_structures.TURN)
    light = 1 + random.uniform(0, 0.12) * (x * np.cos(angle) + y * np.sin(angle))
    distance = np.hypot(x - random.normal(0, 0.05), y - random.normal(0, 0.05))
    light = light * (1 - random.uniform(0, 0.2) * distance**2)
    if random.random() < 0.1:  # The edge of the round glass is in the picture.
        light = light * lesion_structures.step(random.uniform(1.1, 1.35) - distance, 0.06)
    photo = (photo - 0.5) * random.uniform(0.9, 1.12) + 0.5
    return photo * light[..., None] * random.uniform(0.93, 1.07, 3) * random.uniform(0.88, 1.1)


def draw(lesion: int, picture: int = 0, size: int = drawn_photos.IMAGE_SIZE) -> np.ndarray:
    """Draw one picture of a lesion.

    Args:
        lesion: 0 or more; `diagnosis(lesion)` returns its diagnosis.
        picture: 0 or more; another picture shows the same lesion under other conditions.
        size: side in pixels, 32 or more.

    Returns:
        uint8 RGB pixels, (size, size, 3), the same for the same arguments.

    Raises:
        ValueError: the lesion or the picture is negative, or the size is under 32.
    """
    _check(lesion=lesion, picture=picture, size=size)
    random = np.random.default_rng([2, lesion, picture])
    photo = _take(paint_lesion(lesion, size), random, SUPERSAMPLING * size)
    _hairs(photo, random)
    photo = photo.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.8) * SUPERSAMPLING * size / 96))
    pixels = _bubbles(np.asarray(photo.reduce(SUPERSAMPLING), dtype=np.float32) / 255, random)
    pixels = _develop(pixels, random) * 255
    # The sensor's noise comes last: its number of values depends on the picture's size, and nothing else may.
    noise = random.normal(0, random.uniform(0, 3), (size, size, 1)) + random.normal(0, 1.5, (size, size, 3))
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


# The folder.


def metadata(seed: int = 0) -> list[dict[str, str]]:
    """Return the rows of `metadata.csv`, one for each picture; pictures of a lesion differ only in `image_id`.

    Args:
        seed: 0 or more; different seeds share no lesion.

    Returns:
        Rows with the keys `COLUMNS`. `image_id` has the numbers of lesion and picture. `age` is in years, in steps of
        five, as text with one decimal, and empty if it is unknown.

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


def _patient(random: np.random.Generator, dx: str) -> dict[str, str]:
    profile = PROFILES[dx]
    age = 5.0 * round(np.clip(random.normal(*profile.age), 0, 85) / 5)
    anywhere = random.random() < 0.25
    return {
        "dx": dx,
        "dx_type": lesion_structures.pick(random, profile.dx_types),
        "age": "" if random.random() < 0.01 else str(age),
        "sex": lesion_structures.pick(random, {"male": 54, "female": 45, "unknown": 1}),
        "localization": str(random.choice(PLACES)) if anywhere else lesion_structures.pick(random, profile.places),
    }


def _is_complete(folder: pathlib.Path, rows: list[dict[str, str]], size: int) -> bool:
    expected = {"metadata.csv", "images"} | {f"images/{row['image_id']}.jpg" for row in rows}
    if expected != {path.relative_to(folder).as_posix() for path in folder.rglob("*")}:
        return False
    with Image.open(folder / "images" / f"{rows[0]['image_id']}.jpg") as first:
        return first.size == (size, size)


def write_pictures(folder: pathlib.Path, seed: int = 0, size: int = drawn_photos.IMAGE_SIZE) -> pathlib.Path:
    """Write `folder/images/<image_id>.jpg` and `folder/metadata.csv`, unless they already exist.

    The same seed and size give the same bytes.

    Args:
        folder: the folder to write into; created if it does not exist.
        seed: 0 or more; different seeds share no lesion.
        size: side in pixels, 32 or more.

    Returns:
        The folder's path.

    Raises:
        errors.UserError: the folder contains something else, or cannot be written.
        ValueError: the seed is negative, or the size is under 32.
    """
    _check(seed=seed, size=size)
    rows = metadata(seed)

    def write(unfinished: pathlib.Path) -> None:
        (unfinished / "images").mkdir()
        for row in tqdm.tqdm(rows, desc="drawing lesions", unit="picture", disable=None):
            lesion, picture = (int(number) for number in row["image_id"].split("_")[1:])
            photo = Image.fromarray(draw(lesion, picture, size))
            photo.save(unfinished / "images" / f"{row['image_id']}.jpg", quality=drawn_photos.JPEG_QUALITY)
        files.write_csv(unfinished / "metadata.csv", list(COLUMNS), ([row[key] for key in COLUMNS] for row in rows))

    return files.complete_folder(folder, lambda found: _is_complete(found, rows, size), write, "the demo's lesions")
