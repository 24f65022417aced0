"""Make the pictures of the recipes' pages: figures of the reports that the recipes write on the demo's drawn data.

    python docs/make_pictures.py
    python docs/make_pictures.py --recipes gradual_unfreezing

Each recipe runs once, and one figure is written to `docs/pictures/`, as a picture with few colours. All data shown are
drawn by code.
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

# Recipe → the figure that shows its point, and flags if the defaults do not show it. The page of compare_strategies
# has the README's picture.
FIGURES = {
    "choose_backbone": ("accuracy_against_cost", ""),
    "linear_probe": ("confusion_matrix", ""),
    "feature_extraction": ("grad_cam", ""),
    "partial_unfreezing": ("accuracy", ""),
    "gradual_unfreezing": ("stages", "--keep-worse"),
    "from_scratch": ("accuracy", ""),
    "domain_adaptation": ("domain_map", ""),
    "continual_learning": ("tasks", "--method naive"),
    "object_detection": ("test_boxes", ""),
    "skin_lesions": ("leak", ""),
    "video_actions": ("right_frames", ""),
    "legal_text": ("perplexities", ""),
    "text_classification": ("confusion_matrix", "--strategy head --epochs 3"),
    "text_domains": ("domain_methods", ""),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Draw the pictures of the recipes' pages."""

    recipes: tuple[str, ...] = tuple(FIGURES)  # names of recipes
    out: pathlib.Path = FOLDER  # the folder of the pictures


def main(settings: Config) -> None:
    """Run the recipes and keep a figure of each."""
    settings.out.mkdir(parents=True, exist_ok=True)
    for name in settings.recipes:
        figure, further = FIGURES[name]
        recipe = importlib.import_module(f"recipes.{name}")
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            result = recipe.run(flags.parse(recipe.Config, [*further.split(), "--out", folder]))
            small(result.directory / "figures" / f"{figure}.png").save(settings.out / f"{name}.png", optimize=True)
        print(settings.out / f"{name}.png")


def small(path: pathlib.Path, width: int = 800, colours: int = 128) -> Image.Image:
    """Return a picture at most `width` pixels wide, with a palette, which takes a third of the space."""
    with Image.open(path) as picture:
        picture.thumbnail((width, 2 * width))
        return picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main(tyro.cli(Config))
