r"""What the files' properties alone tell of the classes, for one data set: the check of every run, without a run.

python benchmarks/shortcuts.py photos/
python benchmarks/shortcuts.py clips/ --is-clips --group-pattern "^(set\d_seq\d+)"
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
import time

import tyro

from common.data import dataset, documents
from common.evaluation import shortcuts
from common.media import clips, photos
from common.training import settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Documents(settings.PhotoConfig):
    """The settings of documents that count here."""

    encoding: str = "utf-8"
    keep_layout: bool = False
    document_characters: int | None = None
    duplicate_threshold: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The check of one data set."""

    data: tyro.conf.Positional[str]  # as --data of the recipes
    group_pattern: str | None = None  # as in the recipes
    is_clips: bool = False  # the items are clips
    is_texts: bool = False  # the items are documents


def main(settled: Config) -> None:
    """Print what the check finds."""
    data, group_pattern = settled.data, settled.group_pattern
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        if settled.is_texts:
            found = documents.load(Documents(data=data, group_pattern=group_pattern, cache=directory), directory, 2)
        else:
            medium = clips.Clips() if settled.is_clips else photos.Photos()
            config = settings.PhotoConfig(data=data, group_pattern=group_pattern, cache=directory, skip_bad=True)
            found = dataset.load(config, directory, medium)
    started = time.perf_counter()
    result = shortcuts.evaluate(found)
    print(json.dumps(result, indent=1))
    print("\n".join(shortcuts.sentences(result, found.medium.unit)))
    print(f"{time.perf_counter() - started:.1f} seconds for {len(found.properties)} items, without the scan")


if __name__ == "__main__":
    main(tyro.cli(Config))
