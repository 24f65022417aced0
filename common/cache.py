"""What stands in the cache: to look at and to clear. All of it can be computed or downloaded again."""

import pathlib
import shutil

from common import feature_store

KINDS = {
    "features": "",  # described by what stands in them
    "scan": "what the photos of a folder are",
    "demo": "drawn photos",
    "demo_lesions": "drawn lesions",
    "demo_text": "drawn contracts",
    "tfds": "photos of TFDS",
}


def entries(directory: pathlib.Path) -> list[tuple[pathlib.Path, int, str]]:
    """The folders and files of the cache with their sizes in bytes and what they are, the largest first."""
    found = [path for kind in KINDS for path in (directory / kind).glob("*") if not path.name.startswith(".")]
    return sorted(((path, _size(path), _description(path)) for path in found), key=lambda entry: -entry[1])


def table(directory: pathlib.Path) -> str:
    """The entries as text, with their sum."""
    rows = [
        f"{size / 1e6:10,.1f} MB  {path.parent.name}/{path.name:<34} {what}" for path, size, what in entries(directory)
    ]
    total = sum(size for _, size, _ in entries(directory))
    return "\n".join([*rows, f"{total / 1e6:10,.1f} MB  in {directory}"])


def clear(directory: pathlib.Path) -> int:
    """Removes the cache's own folders, nothing else, and returns the bytes that were freed."""
    freed = sum(size for _, size, _ in entries(directory))
    for kind in KINDS:
        shutil.rmtree(directory / kind, ignore_errors=True)
    return freed


def _size(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _description(path: pathlib.Path) -> str:
    if path.parent.name != "features":
        return KINDS[path.parent.name]
    facts = feature_store.about_of(path)
    if not facts:
        return "features of a network that is not known any more"
    if "what" in facts:  # of windows of text
        return facts["what"]
    shapes = " + ".join(" x ".join(map(str, shape)) for *_, shape in facts["tensors"])
    return f"{facts['backbone']}, {facts['weights']}, at {facts['image_size']} pixels: {shapes} a photo"
