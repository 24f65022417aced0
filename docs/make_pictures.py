"""The pictures of the recipes' pages: each is a figure of the report that the recipe writes on the demo's drawn data.

    python docs/make_pictures.py
    python docs/make_pictures.py --recipes gradual_unfreezing

Runs each recipe once and puts one figure into `docs/pictures/`, as a picture of few colours. Only data that were drawn
by code are shown.
"""

import contextlib
import dataclasses
import importlib
import pathlib
import sys
import tempfile

import tyro
from PIL import Image

from common import flags

FOLDER = pathlib.Path(__file__).parent / "pictures"

# Recipe → the figure that shows its point, and flags where the defaults do not show it. The page of compare_strategies
# has the README's picture.
FIGURES = {
    "linear_probe": ("confusion_matrix", ""),
    "feature_extraction": ("grad_cam", ""),
    "partial_unfreezing": ("accuracy", ""),
    "gradual_unfreezing": ("stages", "--min-improvement 0"),
    "from_scratch": ("accuracy", ""),
    "skin_lesions": ("leak", ""),
    "video_actions": ("right_frames", ""),
    "legal_text": ("perplexities", ""),
    "text_classification": ("confusion_matrix", "--strategy head --epochs 3"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Draw the pictures of the recipes' pages."""

    recipes: tuple[str, ...] = tuple(FIGURES)  # whose pictures
    out: pathlib.Path = FOLDER  # where they go


def main(settings: Config) -> None:
    """Runs the recipes and keeps a figure of each."""
    settings.out.mkdir(parents=True, exist_ok=True)
    for name in settings.recipes:
        figure, further = FIGURES[name]
        recipe = importlib.import_module(f"recipes.{name}")
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            result = recipe.run(flags.parse(recipe.Config, [*further.split(), "--out", folder]))
            small(result.directory / "figures" / f"{figure}.png").save(settings.out / f"{name}.png", optimize=True)
        print(settings.out / f"{name}.png")


def small(path: pathlib.Path, width: int = 800, colours: int = 128) -> Image.Image:
    """A picture at most `width` pixels wide and with a palette, which takes a third of the space."""
    with Image.open(path) as picture:
        picture.thumbnail((width, 2 * width))
        return picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main(tyro.cli(Config))
