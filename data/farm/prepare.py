"""List the horses, people and dogs of PACS as a CSV: from one domain, or each class from another one.

    python data/farm/prepare.py --folder PACS/kfold/
    python data/farm/prepare.py --folder PACS/kfold/ --domains photo cartoon sketch

Expected: `farm.csv` in that folder, with the columns path, label and domain. The domain `photo` has 199 horses, 432
people and 189 dogs. The photos stay where they are.
"""

import dataclasses
import pathlib
import sys
from typing import Annotated

import tyro

from common import errors, files, flags

CLASSES = ("horse", "person", "dog")
ENDINGS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings: the folder, and the domains of the classes."""

    folder: Annotated[pathlib.Path, tyro.conf.arg(help="PACS, with a folder for each domain")]
    # One domain for all classes, or one each for horse, person and dog, to see what goes wrong.
    domains: tuple[str, ...] = ("photo",)

    def __post_init__(self) -> None:
        flags.check(len(self.domains) in (1, len(CLASSES)), "domains", "must be one domain, or one for each class")


def prepare(settings: Config) -> pathlib.Path:
    """Write `farm.csv` into the folder, and return its path.

    Raises:
        UserError: a class has no photos in its domain.
    """
    folder, rows = settings.folder.expanduser(), []
    domains = settings.domains * (len(CLASSES) // len(settings.domains))
    for name, domain in zip(CLASSES, domains, strict=True):
        found = sorted(path for path in (folder / domain / name).glob("*") if path.suffix.lower() in ENDINGS)
        if not found:
            raise errors.UserError(f"--folder {folder}: no photos in {domain}/{name}; give the folder of the domains")
        rows += [(path.relative_to(folder).as_posix(), name, domain) for path in found]
    table = folder / "farm.csv"
    files.write_csv(table, ["path", "label", "domain"], rows)
    return table


if __name__ == "__main__":
    with flags.reported_errors():
        print(prepare(flags.parse(Config, sys.argv[1:], __doc__)))
