"""From `--data` to splits that cannot leak: sources, the split, its checks, its generators.

Everything is made from lists of photos. A group (a patient, a camera, a burst of the same scene) is never
divided, and neither are copies of one file.
"""

import collections
import csv
import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Collection, Iterable

import numpy as np

from common import demo, errors, files, generators, images, scan, tfds_export

SPLIT_NAMES = ("train", "validation", "test")
FOLDER_SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
FEW_TO_CHOOSE_BY = 15  # validation photos; of 15 one more right is 7 points
DEFAULT_FRACTIONS = {"validation": 0.15, "test": 0.15}
DEMO_FRACTIONS = {"validation": 0.2, "test": 0.6}  # 20 photos of each class train, enough to test on stay


@dataclasses.dataclass(frozen=True)
class Sample:
    """One photo: its file, its class, and, where they are known, its group and its given split."""

    path: str
    label: str
    group: str = ""
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Splits:
    """Who trains, who chooses, who judges.

    Attributes:
        source: the `--data` that it came from.
        class_names: sorted; a class's index is its place here.
        train, validation, test: lists of samples.
        quality: what the scan found (`scan.summarise`), plus `skipped`, for the report.
        content_of: path → sha256 of the file.
    """

    source: str
    class_names: tuple[str, ...]
    train: list[Sample]
    validation: list[Sample]
    test: list[Sample]
    quality: dict
    content_of: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    def contents(self, split: str) -> list[str]:
        """The sha256 of the files of a split's photos."""
        return [self.content_of[sample.path] for sample in getattr(self, split)]

    def labels(self, split: str) -> np.ndarray:
        """Class indices of a split's photos, int64 (n,)."""
        index = {name: i for i, name in enumerate(self.class_names)}
        return np.array([index[sample.label] for sample in getattr(self, split)], dtype="int64")

    def paths(self, split: str) -> list[str]:
        """The files of a split's photos."""
        return [sample.path for sample in getattr(self, split)]

    def groups(self, split: str) -> list[str]:
        """The groups of a split's photos, "" where a photo has none."""
        return [sample.group for sample in getattr(self, split)]

    def generators(
        self, resize, preprocess, batch_size, seed, augmentation=None, first_epoch=0, balanced=False, clips=None
    ):
        """`train_generator, val_generator, test_generator`; arguments as in `common.generators`."""
        shape = {"num_classes": len(self.class_names), "resize": resize, "batch_size": batch_size, "clips": clips}
        train_generator = generators.training_batches(
            self.paths("train"), self.labels("train"), **shape, seed=seed, preprocess=preprocess,
            augmentation=augmentation, first_epoch=first_epoch, balanced=balanced,
        )  # fmt: skip
        val_generator, test_generator = (
            generators.evaluation_batches(self.paths(split), self.labels(split), **shape, preprocess=preprocess)
            for split in ("validation", "test")
        )
        return train_generator, val_generator, test_generator

    def counts(self, split: str = "train") -> np.ndarray:
        """How many photos of each class a split has, int64 (classes,)."""
        return np.bincount(self.labels(split), minlength=len(self.class_names))

    def summary(self) -> dict:
        """The `data` section of results.json."""
        per_split = {
            name: dict(sorted(collections.Counter(sample.label for sample in getattr(self, name)).items()))
            for name in SPLIT_NAMES
        }
        sizes = {name: len(getattr(self, name)) for name in SPLIT_NAMES}
        names = {"source": self.source, "class_names": list(self.class_names)}
        return names | sizes | {"per_split": per_split} | self.quality


def load(
    config,
    directory: pathlib.Path,
    samples: list[Sample] | None = None,
    problems=(),
    by_group: bool = False,
    kind=images,
) -> Splits:
    """Reads the source, scans every file, splits, checks and writes `split.csv` into `directory`.

    A `split.csv` that is there already (a resumed run) is used as it stands.

    Args:
        config: a `common.config.SharedConfig`.
        directory: the run directory; `skipped.csv` is written there too where photos are left out.
        samples: the photos, where the recipe has read `config.data` itself.
        problems: `scan.Problem`s that the recipe has found then, to be treated like those of the scan.
        by_group: the fractions are those of the groups of each class, not of its photos.
        kind: the module that reads a file, `images` or `video`.

    Raises:
        UserError: nothing usable at `--data`, unusable photos without `--skip-bad`, or a leak.
    """
    split_csv = directory / "split.csv"
    resumed = split_csv.is_file()
    skipped_csv = directory / "skipped.csv"
    if resumed:
        samples, problems = read_csv(split_csv), scan.read_problems(skipped_csv)
    elif samples is None:
        samples = read_source(config.data, config.cache_directory)
    cache = None if config.no_cache else config.cache_directory
    facts = scan.scan([sample.path for sample in samples], cache, kind=kind)
    if resumed:  # those that were left out are; one more would change what the first epochs were trained on
        usable = scan.apply(samples, facts, kind=kind)
    else:
        usable = scan.apply(samples, facts, config.skip_bad, skipped_csv, known=problems, kind=kind)
    total = len(samples) + len(problems)
    left_out = total - len(usable)
    if left_out:
        print(f"data: {left_out} of {total} {kind.NAME}s left out, see {skipped_csv}", file=sys.stderr)
    contents = {path: fact.sha256 for path, fact in facts.items()}
    if not resumed:
        seed = config.seed if config.split_seed is None else config.split_seed
        fractions = DEMO_FRACTIONS if config.data == "demo" else DEFAULT_FRACTIONS
        usable = split(
            usable, units_of(usable, contents), seed, config.validation_fraction or fractions["validation"],
            config.test_fraction or fractions["test"], by_group,
        )  # fmt: skip
    check_leaks(usable, contents)
    if not resumed:
        write_csv(split_csv, usable)
    quality = scan.summarise(facts) | {"skipped": left_out}
    sides = {name: [sample for sample in usable if sample.split == name] for name in SPLIT_NAMES}
    if len(sides["validation"]) < FEW_TO_CHOOSE_BY:
        print(
            f"data: only {len(sides['validation'])} {kind.NAME}s validate; what is chosen by so few is mostly chance: "
            "raise --validation-fraction",
            file=sys.stderr,
        )
    return Splits(
        config.data, tuple(sorted({sample.label for sample in usable})), **sides, quality=quality, content_of=contents
    )


# Sources ------------------------------------------------------------------------------------------------------


def read_source(source: str, cache_directory: pathlib.Path) -> list[Sample]:
    """The photos behind `--data`, not yet opened.

    Args:
        source: `demo`, `tfds:NAME`, a folder of class folders (also inside train/validation/test folders), or a
            CSV file with the columns `path,label[,group][,split]`.
        cache_directory: where the demo's drawn photos and exported TFDS photos are put.

    Raises:
        UserError: nothing there, or not laid out as expected.
    """
    if source == "demo":
        return read_folder(demo_folder(cache_directory))
    if source.startswith("tfds:"):
        return read_folder(tfds_export.export(source.removeprefix("tfds:"), cache_directory / "tfds"))
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return read_folder(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return read_csv(path)
    if path.exists():
        raise errors.UserError(f"--data {source}: neither a folder nor a .csv file")
    raise errors.UserError(
        f"--data {source}: no such file or folder; give a folder of class folders, a CSV, tfds:NAME or demo"
    )


def demo_folder(cache_directory: pathlib.Path) -> pathlib.Path:
    """The folder of the demo's photos, drawn at the first call."""
    return drawn_folder(cache_directory / "demo", demo, demo.write_photos)


def drawn_folder(parent: pathlib.Path, module, write) -> pathlib.Path:
    """`write(folder)` below `parent`, in a folder of its own for each version of the module that draws."""
    drawing = hashlib.sha256(pathlib.Path(module.__file__).read_bytes()).hexdigest()[:8]
    return write(parent / drawing)


def find_photos(class_folder: pathlib.Path) -> list[pathlib.Path]:
    """The photos at any depth below a class folder, in order.

    Raises:
        UserError: there are none.
    """
    paths = sorted(path for path in class_folder.rglob("*") if is_photo(path))
    if not paths:
        raise errors.UserError(
            f"{class_folder}: no photos in this class folder; fill it or remove it "
            f"(photos end in {' '.join(sorted(images.EXTENSIONS))})"
        )
    return paths


def read_folder(
    folder: pathlib.Path, find=find_photos, what: str = "photos", ignored: Collection[str] = ()
) -> list[Sample]:
    """Photos in `folder/<class>/…`, or in `folder/<train|validation|test>/<class>/…`.

    Args:
        folder: with the class folders.
        find: returns the paths of the samples below a class folder, or raises a UserError.
        what: the samples, in words.
        ignored: names of subfolders that are no class folders.

    Raises:
        UserError: no class folders, fewer than two classes, a class folder without photos, or another folder beside
            those of a split.
    """
    folder = folder.absolute()
    subfolders = [subfolder for subfolder in _visible_folders(folder) if subfolder.name not in ignored]
    given = [subfolder for subfolder in subfolders if subfolder.name.lower() in FOLDER_SPLITS]
    check_given_folders({subfolder.name for subfolder in given}, [one for one in subfolders if one not in given])
    if given and len(given) == len(subfolders):
        samples = [
            dataclasses.replace(sample, split=FOLDER_SPLITS[subfolder.name.lower()])
            for subfolder in given for sample in _read_class_folders(_visible_folders(subfolder), find)
        ]  # fmt: skip
    else:
        samples = _read_class_folders(subfolders, find)
    if len({sample.label for sample in samples}) < 2:
        is_table = (folder / "metadata.csv").is_file()
        raise errors.UserError(
            f"{folder}: a classifier needs at least two class folders with {what} in it, such as cats/ and dogs/"
            + ("; skin lesions with a metadata.csv have a recipe of their own" if is_table else "")
        )
    return samples


def check_given_folders(names: set[str], others: list[pathlib.Path]) -> None:
    """Refuses what stands beside the folders of a split, which would turn `train` and `test` into classes.

    One such name alone is a class: `train` beside `bus`.

    Args:
        names: of the folders that are called as a side of a split is.
        others: the other files or folders with data in them.
    """
    if others and len({FOLDER_SPLITS[name.lower()] for name in names}) > 1:
        raise errors.UserError(
            f"{others[0]} stands beside the folders of a split, {' and '.join(sorted(names))}: put it into one of "
            "them, move it away, or rename them if they are classes"
        )


def _read_class_folders(class_folders: list[pathlib.Path], find) -> list[Sample]:
    return [Sample(str(path), folder.name) for folder in class_folders for path in find(folder)]


def _visible_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def is_photo(path: pathlib.Path) -> bool:
    """Whether the file is named like a photo and not hidden."""
    return path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".")


def read_csv(path: pathlib.Path) -> list[Sample]:
    """Photos from a CSV with the columns `path,label[,group][,split]`; relative paths start at the CSV's folder.

    Raises:
        UserError: a column or a value is missing, a split has another name, or a path stands there twice.
    """
    folder = path.absolute().parent
    # File names are bytes to Linux; "surrogateescape" reads those, too, that are not UTF-8.
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        missing = {"path", "label"} - set(reader.fieldnames or ())
        if missing:
            raise errors.UserError(
                f"{path}: no column {' and '.join(sorted(missing))}; its first line must name the "
                "columns path,label[,group][,split]"
            )
        samples = [_sample_of_row(row, folder, f"{path}, line {reader.line_num}") for row in reader]
    repeated = [name for name, count in collections.Counter(sample.path for sample in samples).items() if count > 1]
    if repeated:
        raise errors.UserError(f"{path}: {repeated[0]} is listed more than once")
    if len({sample.label for sample in samples}) < 2:
        raise errors.UserError(f"{path}: a classifier needs at least two classes")
    return samples


def _sample_of_row(row: dict, folder: pathlib.Path, place: str) -> Sample:
    values = {name: (row.get(name) or "").strip() for name in ("path", "label", "group", "split")}
    if not values["path"] or not values["label"]:
        raise errors.UserError(f"{place}: path or label is empty")
    if values["split"] and values["split"].lower() not in FOLDER_SPLITS:
        raise errors.UserError(f"{place}: split is {values['split']!r}, must be train, validation or test")
    values["split"] = FOLDER_SPLITS.get(values["split"].lower(), "")
    return Sample(**values | {"path": str(folder / pathlib.Path(values["path"]).expanduser())})


def write_csv(path: pathlib.Path, samples: Iterable[Sample]) -> None:
    """Writes samples as path,label,group,split; `read_csv` takes the file as a source again."""
    columns = [field.name for field in dataclasses.fields(Sample)]
    files.write_csv(path, columns, [dataclasses.astuple(sample) for sample in samples])


# Splits -------------------------------------------------------------------------------------------------------


def split(
    samples: list[Sample], units: dict[str, str], seed: int, validation_fraction: float, test_fraction: float,
    by_group: bool = False,
) -> list[Sample]:  # fmt: skip
    """Puts every photo on one side: stratified by class, whole groups, copies of one file together.

    scikit-learn's `StratifiedGroupKFold` makes folds of equal size only, and may leave a rare class out of a
    fold. Here every side gets its fraction of every class and at least one group of each; groups are dealt out
    from the largest to the smallest (Sechidis et al. 2011, iterative stratification, uses the same greedy need).

    Splits that the source gives are kept; a missing validation or test side is taken from the training photos.

    Args:
        samples: usable photos.
        units: path → name of the unit that must stay on one side (`units_of`).
        seed: fixes the split.
        validation_fraction, test_fraction: of all photos, each in 0–1.
        by_group: the fractions are of the units instead: one with four photos counts as much as one with one.

    Raises:
        UserError: a class has too few groups for three sides, or the fractions leave nothing to train on.
    """
    if validation_fraction + test_fraction >= 1:
        raise errors.UserError("--validation-fraction and --test-fraction must leave something to train on")
    given = {sample.split for sample in samples}
    if given == {""}:
        fractions = {"train": 1 - validation_fraction - test_fraction, "validation": validation_fraction,
                     "test": test_fraction}  # fmt: skip
        return _deal_out(samples, units, seed, fractions, by_group)
    if "" in given or "train" not in given:
        raise errors.UserError("--data gives splits to some files only, or none to train on; give all or none")
    for side, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if side not in given:
            print(f"data: no {side} split given, so {fraction:.0%} of the training files are taken", file=sys.stderr)
            train = [sample for sample in samples if sample.split == "train"]
            shares = {"train": 1 - fraction, side: fraction}
            dealt = {sample.path: sample for sample in _deal_out(train, units, seed, shares, by_group)}
            samples = [dealt.get(sample.path, sample) for sample in samples]
    return samples


def units_of(samples: list[Sample], contents: dict[str, str]) -> dict[str, str]:
    """Path → the unit that must stay on one side: photos that share a group or their content, also through others.

    Args:
        samples: the photos.
        contents: path → sha256 of the file.
    """
    parent: dict[tuple, tuple] = {}

    def root(key):
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    for sample in samples:
        content = root(("content", contents[sample.path]))
        if sample.group:
            parent[content] = root(("group", sample.group))
    return {sample.path: " ".join(root(("content", contents[sample.path]))) for sample in samples}


def _deal_out(samples, unit_of: dict[str, str], seed: int, fractions: dict[str, float], by_group: bool) -> list[Sample]:
    """Gives every sample one of the sides named in `fractions`."""
    members = collections.defaultdict(list)
    for sample in samples:
        members[unit_of[sample.path]].append(sample)
    units = list(members.values())
    order = np.random.default_rng(seed).permutation(len(units))
    units = sorted((units[i] for i in order), key=len, reverse=True)
    needs = _needs(units, fractions, by_group)
    open_needs = {side: dict(need) for side, need in needs.items()}
    side_of: dict[str, str] = {}
    for unit in units:
        labels = _labels(unit, by_group)

        def urgency(side, labels=labels):
            return sum(n * open_needs[side][label] / needs[side][label] for label, n in labels.items())

        side = max(fractions, key=urgency)
        for label, count in labels.items():
            open_needs[side][label] -= count
        side_of.update((sample.path, side) for sample in unit)
    dealt = [dataclasses.replace(sample, split=side_of[sample.path]) for sample in samples]
    _check_every_class(dealt, fractions)
    return dealt


def _labels(unit, by_group: bool) -> collections.Counter:
    """How much a unit counts for each class that it has photos of: 1 for each photo, or 1 in all."""
    labels = collections.Counter(sample.label for sample in unit)
    return collections.Counter(set(labels)) if by_group else labels


def _needs(units, fractions, by_group: bool) -> dict[str, dict[str, float]]:
    """How many photos (or groups) of each class every side should get: its fraction, at least one, the rest trains."""
    groups = sum((_labels(unit, by_group=True) for unit in units), collections.Counter())
    counts = sum((_labels(unit, by_group) for unit in units), collections.Counter())
    poor = sorted(label for label in counts if groups[label] < len(fractions))
    if poor:
        many = f"{groups[poor[0]]} independent files or groups"
        count = "one independent file or group" if groups[poor[0]] == 1 else many
        raise errors.UserError(
            f"{f'class {poor[0]!r} has' if poor[0] else 'there is'} only {count}, but each of {', '.join(fractions)} "
            f"needs one; add some{' or remove the class' if poor[0] else ''}"
        )
    others = [side for side in fractions if side != "train"]
    needs = {side: {label: max(1, round(fractions[side] * n)) for label, n in counts.items()} for side in others}
    train = {label: max(1, n - sum(needs[side][label] for side in others)) for label, n in counts.items()}
    return {"train": train} | needs


def _check_every_class(samples, sides) -> None:
    """Refuses a split in which a class is missing on a side: large groups can bring that about."""
    present = {(sample.split, sample.label) for sample in samples}
    for label in sorted({sample.label for sample in samples}):
        for side in sides:
            if (side, label) not in present:
                raise errors.UserError(
                    f"no group of class {label!r} fits into {side}: its groups are too large or too "
                    "few; try another --split-seed or other fractions"
                )


def count_sides(samples: Iterable[Sample]) -> dict[str, int]:
    """Side → how many of the samples are on it."""
    counts = collections.Counter(sample.split for sample in samples)
    return {side: counts[side] for side in SPLIT_NAMES}


def part_of_training(splits: Splits, fraction: float, seed: int) -> list[Sample]:
    """A fraction of the training photos of every class, by whole groups, and all validation and test photos.

    Nested: with the same seed a larger fraction holds all of a smaller one.

    Args:
        splits: whose training side is thinned out.
        fraction: above 0, up to 1; of every class at least one photo stays.
        seed: fixes which.
    """
    members = collections.defaultdict(list)
    units = units_of(splits.train, splits.content_of)
    for sample in splits.train:
        members[units[sample.path]].append(sample)
    counts = collections.Counter(sample.label for sample in splits.train)
    needs = collections.Counter({label: max(1, round(fraction * count)) for label, count in counts.items()})
    groups = list(members.values())
    kept: set[str] = set()
    for number in np.random.default_rng(seed).permutation(len(groups)):
        if any(needs[sample.label] > 0 for sample in groups[number]):
            kept.update(sample.path for sample in groups[number])
            needs.subtract(sample.label for sample in groups[number])
    return [sample for sample in splits.train if sample.path in kept] + splits.validation + splits.test


def splits_of_seeds(config, seeds: int, fractions, folder: pathlib.Path) -> dict[tuple[int, float], pathlib.Path]:
    """Splits the samples once for each seed and thins out the training side: what the trials of a comparison read.

    Args:
        config: of a recipe; its `seed` is the first.
        seeds: how many.
        fractions: of the training side, above 0 and up to 1; each holds the smaller ones.
        folder: where the splits are written; those that are there stay.

    Returns:
        (seed, fraction) → a CSV with the samples of every side.
    """
    found = {}
    for seed in range(config.seed, config.seed + seeds):
        place = folder / f"seed{seed}"
        place.mkdir(parents=True, exist_ok=True)
        splits = load(dataclasses.replace(config, seed=seed), place)
        for fraction in sorted(fractions, reverse=True):
            path = place / (f"{fraction:g}.csv" if fraction < 1 else "split.csv")
            if fraction < 1 and not path.is_file():
                write_csv(path, part_of_training(splits, fraction, seed))
            found[seed, fraction] = path
    return found


def check_leaks(samples: list[Sample], contents: dict[str, str]) -> None:
    """Stops when a group or a file's content stands on two sides.

    Raises:
        UserError: names the group or two of the files.
    """
    side_of_group: dict[str, str] = {}
    first_of_content: dict[str, Sample] = {}
    for sample in samples:
        if sample.group and side_of_group.setdefault(sample.group, sample.split) != sample.split:
            raise errors.UserError(
                f"leak: group {sample.group!r} is both in {side_of_group[sample.group]} and in "
                f"{sample.split}; a group must stay on one side"
            )
        first = first_of_content.setdefault(contents[sample.path], sample)
        if first.split != sample.split:
            raise errors.UserError(
                f"leak: {first.path} ({first.split}) and {sample.path} ({sample.split}) are the same file; remove one"
            )
