"""Reading a source domain and a new one of photos; the labels of the new one are put aside (`data.domains`)."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import Any

from common import errors, files, words
from common.data import dataset, domains, group_pattern, listings, sample_list, sources, tables
from common.demo import drawn_styles
from common.media import folders
from common.media import medium as media

SOURCE_FRACTIONS = {"validation_fraction": 0.15, "test_fraction": 0.15}
DEMO_STYLE = "fog"

Samples = list[sample_list.Sample]


def demo(config: Any) -> str:
    """Return the folder of the demo's photos in another style, which are drawn at the first call.

    Raises:
        UserError: `--new-domain` is not one of the styles.
    """
    style = config.new_domain[0] if config.new_domain else DEMO_STYLE
    if style not in drawn_styles.STYLES:
        raise errors.UserError(f"--new-domain {style}: the demo's styles are {', '.join(drawn_styles.STYLES)}")
    parent = config.cache_directory / "demo_styles"
    return str(
        sources.drawn_folder(parent, drawn_styles, lambda folder: drawn_styles.write_photos(folder / style, style))
    )


def load(config: Any, directory: pathlib.Path, medium: media.Medium, new_domain: str, seed: int) -> domains.Domains:
    """Read the source and one new domain, split each by itself, and put the new domain's labels aside.

    Args:
        config: a `settings.PhotoConfig`.
        directory: `source/` and `target/` are written into it, each as `dataset.load` does.
        medium: the medium of the items.
        new_domain: a folder, a CSV, or a value of the column `domain` if `--data` is a CSV with it.
        seed: the seed of both splits.

    Raises:
        UserError: as for `dataset.load`; the new domain has a class that the source lacks, or a file of the source.
    """
    ours, theirs = _divided(config, medium, new_domain)
    settings = dataclasses.replace(config, split_seed=seed)
    if config.data == "demo":  # the few training photos of the other recipes' demo are not the point here
        of_the_demo = {name: getattr(config, name) or share for name, share in SOURCE_FRACTIONS.items()}
        settings = dataclasses.replace(settings, **of_the_demo)
    source = dataset.load(settings, domains.made(directory / "source"), medium, samples=ours)
    if theirs is None:
        theirs = read_new(pathlib.Path(new_domain).expanduser(), config, medium)
    known, hidden = domains.put_aside(theirs, source.class_names, new_domain, medium.unit)
    theirs_settings = dataclasses.replace(settings, data=new_domain, **domains.FRACTIONS)
    target = dataset.load(
        theirs_settings, domains.made(directory / "target"), medium, domains.Unlabelled(), samples=hidden
    )
    domains.check_apart(source, target, new_domain)
    return domains.Domains(pathlib.Path(new_domain).name, source, target, known)


def check(config: Any, medium: media.Medium, new_domain: str) -> None:
    """Refuse a new domain that is not there, or that has classes of its own, before any file is decoded.

    Raises:
        UserError: as for `load`.
    """
    ours, theirs = _divided(config, medium, new_domain)
    if ours is None:
        ours = sources.read_source(config.data, config.cache_directory, medium, config.skip_unsupported)
    if theirs is None:
        theirs = read_new(pathlib.Path(new_domain).expanduser(), config, medium)
    class_names = tuple(sorted({one.label for one in ours}))
    domains.put_aside(theirs, class_names, new_domain, medium.unit)


def _divided(config: Any, medium: media.Medium, new_domain: str) -> tuple[Samples | None, Samples | None]:
    """Return the samples of the source and of the new domain, if they are rows of one CSV; else None, None."""
    data = pathlib.Path(config.data).expanduser()
    if not (data.is_file() and data.suffix.lower() in tables.ENDINGS) or pathlib.Path(new_domain).exists():
        return None, None
    samples = listings.read(data, medium, (domains.COLUMN,))
    values = sorted({one.about.get(domains.COLUMN, "") for one in samples})
    if new_domain not in values:
        told = f"it has {words.listed(values)}" if any(values) else "it has no such column"
        raise errors.UserError(
            f"--new-domain {new_domain}: neither a folder nor a value of the column {domains.COLUMN} of {data}; {told}"
        )
    theirs = [one for one in samples if one.about[domains.COLUMN] == new_domain]
    return [one for one in samples if one.about[domains.COLUMN] != new_domain], theirs


def read_new(path: pathlib.Path, config: Any, medium: media.Medium) -> Samples:
    """Read the photos of a new domain: class folders, a CSV, or a folder with photos and no classes.

    Raises:
        UserError: there are no photos.
    """
    if not path.exists():
        raise errors.UserError(f"--new-domain {path}: no such file or folder")
    if path.is_file():
        samples = listings.read(path, medium)
    else:
        samples = listings.in_folder(path, medium) or _loose(path, medium)
        samples = samples or sources.read_folder(path, medium, (), config.skip_unsupported, least_classes=1)
    if config.group_pattern is not None:
        samples = group_pattern.with_groups(samples, config.group_pattern, medium.title, medium.unit)
    return samples


def _loose(path: pathlib.Path, medium: media.Medium) -> Samples:
    """Return the photos directly in a folder, if none is in a sub-folder."""
    walk = folders.Walk(files.absolute(path))
    inside, beside = walk.listed(walk.root)
    found = [each for each in beside if medium.is_item(each)]
    if not found or any(medium.find(each, walk) for each in inside):
        return []
    print(f"data: {path} has no class folders, so its {medium.unit}s have no labels and there is no test",
          file=sys.stderr)  # fmt: skip
    return [sample_list.Sample(str(each), domains.HIDDEN) for each in found]
