"""Write the film reviews of Pang and Lee as a .jsonl: one sentence for each line, positive or negative.

    python data/film_reviews/prepare.py --folder rt-polaritydata/

Expected: `reviews.jsonl` in that folder, with 5,331 positive and 5,331 negative sentences. Download and unpack
`rt-polaritydata.tar.gz` first, from https://www.cs.cornell.edu/people/pabo/movie-review-data/.
"""

import dataclasses
import json
import pathlib
import sys
from typing import Annotated

import tyro

from common import errors, files, flags

SIDES = {"positive": "rt-polarity.pos", "negative": "rt-polarity.neg"}
ENCODING = "latin-1"
EXPECTED = {"positive": 5331, "negative": 5331}


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings: where the two files are."""

    folder: Annotated[pathlib.Path, tyro.conf.arg(help="a folder with rt-polarity.pos and rt-polarity.neg")]


def prepare(settings: Config, expected: dict[str, int] = EXPECTED) -> pathlib.Path:
    """Write `reviews.jsonl` into the folder, and return its path.

    Raises:
        UserError: a file is missing, or does not have the expected number of sentences.
    """
    folder, rows = settings.folder.expanduser(), []
    for label, name in SIDES.items():
        path = folder / name
        if not path.is_file():
            raise errors.UserError(f"--folder {folder}: no {name}; give the unpacked folder of rt-polaritydata.tar.gz")
        sentences = [line.strip() for line in path.read_text(ENCODING).split("\n") if line.strip()]
        if len(sentences) != expected[label]:
            raise errors.UserError(f"{path}: found {len(sentences)} sentences, expected {expected[label]}")
        rows += [{"text": sentence, "label": label} for sentence in sentences]
    target = folder / "reviews.jsonl"
    with files.replacing(target) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return target


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
