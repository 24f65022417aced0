"""`python -m recipes cache`: list and clear the cache, whose content can be computed or downloaded again."""

import pathlib
import re
import shutil

from common import flags
from common.features import store

DRAWN = re.compile(r"[0-9a-f]{8}")
# Folder → the names of its entries; anything else in it belongs to somebody else and is kept.
KINDS = {
    "features": re.compile(r"[0-9a-f]{32}(-onnxruntime-[\w.]+|-bfloat16)?"),
    "scan": re.compile(r"[0-9a-f]{16}\.json"),
    "demo": DRAWN, "demo_clips": DRAWN, "demo_lesions": DRAWN, "demo_styles": DRAWN, "demo_text": DRAWN,
    "demo_text_domains": DRAWN, "scenes": DRAWN,
    "near_duplicates": re.compile(r"[0-9a-f]{16}\.npy"),
    "tfds": re.compile(r"\w[\w-]*"),
}  # fmt: skip
DESCRIPTIONS = {
    "scan": "facts about the photos of a folder",
    "demo": "drawn photos",
    "demo_clips": "drawn clips",
    "demo_lesions": "drawn lesions",
    "demo_styles": "drawn photos in another style",
    "demo_text": "drawn contracts",
    "demo_text_domains": "drawn contracts, scanned",
    "scenes": "drawn photos with boxes",
    "near_duplicates": "features of photos, to compare them",
    "tfds": "photos of TFDS",
}
VERSION = re.compile(r"\d+\.\d+\.\d+")  # a TFDS data set's folder contains a folder for each version


def entries(directory: pathlib.Path) -> list[tuple[pathlib.Path, int, str]]:
    """Return the folders and files of the cache with their sizes in bytes and descriptions, the largest first."""
    found = [path for kind in KINDS for path in (directory / kind).glob("[!.]*") if _is_ours(path)]
    return sorted(((path, _size(path), _description(path)) for path in found), key=lambda entry: -entry[1])


def table(directory: pathlib.Path) -> str:
    """Return the entries as text, with their total size."""
    rows = [
        f"{size / 1e6:10,.1f} MB  {path.parent.name}/{path.name:<34} {what}" for path, size, what in entries(directory)
    ]
    total = sum(size for _, size, _ in entries(directory))
    return "\n".join([*rows, f"{total / 1e6:10,.1f} MB  in {directory}"])


def remove(directory: pathlib.Path) -> int:
    """Remove the cache's own entries and nothing else, and return the number of bytes freed."""
    freed = 0
    for kind in KINDS:
        for path in [path for path in (directory / kind).glob("*") if _is_ours(path)]:
            freed += _size(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if (directory / kind).is_dir() and not any((directory / kind).iterdir()):
            (directory / kind).rmdir()
    return freed


def _is_ours(path: pathlib.Path) -> bool:
    """Return whether the cache itself wrote this path, finished or still unfinished (`.name-…`)."""
    kind, name = path.parent.name, re.sub(r"^\.(.+)-.*", r"\1", path.name)
    if kind == "tfds" and not (path.is_dir() and all(VERSION.match(one.name.lstrip(".")) for one in path.iterdir())):
        return False
    return bool(KINDS[kind].fullmatch(name))


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _description(path: pathlib.Path) -> str:
    if path.parent.name != "features":
        return DESCRIPTIONS[path.parent.name]
    facts = store.about_of(path)
    if not facts:
        return "features of a network that is no longer known"
    if "what" in facts:  # of windows of text
        return facts["what"]
    shapes = " + ".join(" x ".join(map(str, shape)) for *_, shape in facts["tensors"])
    return f"{facts['backbone']}, {facts['weights']}, at {facts['image_size']} pixels: {shapes} per photo"


def command(cache: pathlib.Path | None = None, clear: bool = False) -> int:
    """List the content of the cache, or clear it.

    Args:
        cache: the cache's folder; default ~/.cache/keras_recipes.
        clear: remove the content; the next run computes what it needs again.
    """
    directory = (cache or flags.default_cache_directory()).expanduser()
    print(f"freed {remove(directory) / 1e6:,.1f} MB" if clear else table(directory))
    return 0
