"""`python -m recipes stress`: a run's own test photos under worse light, blur, noise, other angles and more."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import tqdm
import tyro

from common import errors, files, outputs, words
from common.data import targets, unchanged
from common.evaluation import robustness
from common.media import corruptions
from common.report import figures, robustness_page
from common.runs import cost, finished_run, saved_model

NAMED = 3  # missing files in a message
MIDDLE = 128  # of the brightness of pixels
LIMITS = ("low", "high")


def command(
    run: tyro.conf.Positional[pathlib.Path],
    /,
    kinds: tuple[corruptions.Name, ...] = (),
    most: int = 500,
    out: pathlib.Path | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> int:
    """Measure how a run's accuracy falls if its test photos are darker, blurred, noisy, turned, cropped or covered.

    Args:
        run: the directory of a finished run on photos or clips.
        kinds: the kinds of changes; default: all.
        most: take at most this many test photos, at random by --seed; fewer is faster.
        out: the folder of stress.csv, stress.json, stress.png and stress.html; default: the folder stress in the run.
        batch_size: photos per batch.
        seed: fixes what is random in the changes.
    """
    for name, value, least in (("most", most, 1), ("batch-size", batch_size, 1), ("seed", seed, 0)):
        if value < least:
            raise errors.UserError(f"--{name} must be at least {least}")
    run = run.expanduser()
    folder = (out or run / "stress").expanduser()
    finished, results, examples = evaluated(run, kinds, most, batch_size, seed)
    with outputs.made(folder), outputs.locked(folder):
        write(folder, finished, results, examples)
    print(summary(results))
    print(folder)
    return 0


def evaluated(
    run: pathlib.Path, kinds: tuple[str, ...] = (), most: int = 500, batch_size: int = 32, seed: int = 0
) -> tuple[finished_run.FinishedRun, dict[str, Any], dict[str, list[np.ndarray]]]:
    """Return a finished run, the content of its stress.json, and the examples; arguments as for `command`.

    Raises:
        UserError: as `opened`, `chosen` and `measure`.
    """
    finished, reading = opened(run)
    rows = chosen(run, finished, most, seed)
    clean, answers, examples = measure(finished, reading, rows, kinds or tuple(corruptions.KINDS), batch_size, seed)
    labels = np.array([finished.class_names.index(row["label"]) for row in rows])
    group_of = dict(zip((row["path"] for row in finished.predictions), finished.test_groups, strict=True))
    metric = "balanced_accuracy" if "clinic" in finished.results else "accuracy"
    found = robustness.evaluate(clean, answers, labels, [group_of[row["path"]] for row in rows], metric)
    given = [finished.class_names[index] for index in clean.argmax(axis=1)]
    titles = {name: corruptions.KINDS[name].title for name in found["kinds"]}
    results = {
        "run": str(run),
        "unit": finished.unit,
        "seed": seed,
        "size": list(next(iter(examples.values()))[0].shape[1::-1]),
        "left_out": len(finished.predictions) - len(rows),
        "different": sum(now != row["predicted"] for now, row in zip(given, rows, strict=True)),
        "verdict": robustness.verdict(found, titles, finished.unit),
        **found,
        "command": cost.command(),
        "versions": cost.versions(),
    }
    return finished, results, examples


def opened(run: pathlib.Path) -> tuple[finished_run.FinishedRun, saved_model.Reading]:
    """Return a finished run and the reader of its model.

    Raises:
        UserError: it is not a finished run of a classifier of photos or clips, or its model is that of another run.
    """
    if run.is_file():
        raise errors.UserError(f"{run}: give the directory of the run, which says which photos are its test photos")
    saved = saved_model.load_model(run)
    if not (run / "results.json").is_file():
        raise errors.UserError(f"{run} contains no results.json; give the directory of a finished run")
    if not isinstance(saved.targets, targets.Classes):
        raise errors.UserError(f"{run}: its model predicts {saved.targets.name}, but stress only supports classes")
    if saved.model.input_shape[-1] != 3:
        raise errors.UserError(f"{run}: stress changes pictures, but this run is on {saved.medium.unit}s")
    finished = finished_run.FinishedRun.read(run)
    finished.check_split()
    if list(saved.class_names) != list(finished.class_names):
        raise errors.UserError(
            f"{run}: model.keras knows {words.listed(list(saved.class_names))}, but the run learnt "
            f"{words.listed(finished.class_names)}; put its own model back"
        )
    return finished, saved_model.Reading.of(saved)


def chosen(run: pathlib.Path, finished: finished_run.FinishedRun, most: int, seed: int) -> list[dict]:
    """Return the rows of predictions.csv to measure, at most `most`, in their order.

    Raises:
        UserError: the run has no test items, or some of them are gone.
    """
    rows, unit = finished.predictions, finished.unit
    if not rows:
        raise errors.UserError(f"{run}: no test {unit}s in its predictions.csv, so there is nothing to measure")
    gone = [row["path"] for row in rows if not pathlib.Path(row["path"]).exists()]
    if gone:
        told = ", ".join(map(words.printable, gone[:NAMED])) + (" …" if len(gone) > NAMED else "")
        raise errors.UserError(
            f"{run}: {len(gone)} of its {words.plural(len(rows), f'test {unit}')} are not there any more ({told}); put "
            "them back where they were"
        )
    kept = sorted(np.random.default_rng(seed).permutation(len(rows))[:most].tolist())
    return [rows[number] for number in kept]


def measure(
    finished: finished_run.FinishedRun, reading: saved_model.Reading, rows: list[dict], kinds: tuple[str, ...],
    batch_size: int, seed: int,
) -> tuple[np.ndarray, dict[str, list[np.ndarray]], dict[str, list[np.ndarray]]]:  # fmt: skip
    """Return the model's answers for the items as they are and with each kind and severity, and example pictures.

    Args:
        finished: the run.
        reading: reads the items and asks the model.
        rows: rows of predictions.csv.
        kinds: names of `corruptions.KINDS`.
        batch_size: items per batch.
        seed: fixes the changes, together with the content of an item.

    Returns:
        The answers (n, classes), kind → the answers for each severity, and kind → the example with each severity shown.

    Raises:
        UserError: an item cannot be read, or it is not the one that the run tested.
    """
    contents = {row["path"]: row.get(unchanged.COLUMN) or "" for row in finished.split}
    reader = unchanged.Reader(finished.medium, {path: digest for path, digest in contents.items() if digest})
    kinds = tuple(dict.fromkeys(kinds))
    steps = [(kind, severity) for kind in kinds for severity in corruptions.SEVERITIES]
    clean: list[np.ndarray] = []
    answers: dict[tuple[str, int], list[np.ndarray]] = {step: [] for step in steps}
    examples: dict[str, list[np.ndarray]] = {}
    with tqdm.tqdm(total=len(rows), desc="stress", unit=finished.unit, disable=None) as progress:
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            looks = [_looks(row["path"], reading, reader) for row in batch]
            seeds = [[seed, *_numbers(contents.get(row["path"]) or row["path"])] for row in batch]
            clean.append(reading.probabilities(looks))
            for step in steps:
                changed = [
                    [corruptions.corrupted(look, *step, own) for look in each]
                    for each, own in zip(looks, seeds, strict=True)
                ]
                answers[step].append(reading.probabilities(changed))
            if not start:
                # A photo that is neither dark nor light shows the changes of light best.
                place = min(range(len(batch)), key=lambda number: abs(float(looks[number][0].mean()) - MIDDLE))
                examples = {kind: _shown(looks[place][0], kind, seeds[place]) for kind in kinds}
            progress.update(len(batch))
    return (
        np.concatenate(clean),
        {kind: [np.concatenate(answers[kind, severity]) for severity in corruptions.SEVERITIES] for kind in kinds},
        examples,
    )


def _looks(path: str, reading: saved_model.Reading, reader: unchanged.Reader) -> list[np.ndarray]:
    """Return the looks at an item in the network's size, if its content is still that of the test."""
    reader.check(path)
    try:
        return reading.looks(pathlib.Path(path))
    except errors.UnusableFile as error:
        raise errors.UserError(f"{words.printable(path)}: {error}") from error


def _numbers(name: str) -> list[int]:
    """Return integers from the hash of a content, or from another name, to seed a generator with."""
    return list(name.encode("utf-8", "surrogateescape"))


def _shown(look: np.ndarray, kind: str, seeds: list[int]) -> list[np.ndarray]:
    """Return a photo, or the middle frame of a clip, with the severities of a kind that the picture shows."""
    pictures = [corruptions.corrupted(look, kind, severity, seeds) for severity in robustness_page.SHOWN]
    return [picture if picture.ndim == 3 else picture[len(picture) // 2] for picture in pictures]


# The files --------------------------------------------------------------------------------------------------------


def write(folder: pathlib.Path, finished: finished_run.FinishedRun, results: dict[str, Any], examples: dict) -> None:
    """Write stress.csv, stress.png, stress.html and stress.json into an existing folder."""
    files.write_csv(folder / "stress.csv", *table(results))
    light, dark = (robustness_page.picture(results, examples, theme=theme) for theme in (figures.LIGHT, figures.DARK))
    with files.replacing(folder / "stress.png") as temporary:
        temporary.write_bytes(light)
    with files.replacing(folder / "stress.html") as temporary:
        temporary.write_text(robustness_page.html(finished, results, light, dark), encoding="utf-8", errors="replace")
    files.write_json(folder / "stress.json", results)


def table(results: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and the rows of stress.csv; the first row is that of the items as they are."""
    columns = ["kind", "severity", "level", "n"]
    for metric in robustness.METRICS:
        columns += [metric, *(f"{metric}_{limit}" for limit in LIMITS)]
        columns += [f"{metric}_change", *(f"{metric}_change_{limit}" for limit in LIMITS)]

    def row(kind: str, severity: int, scores: dict[str, Any]) -> list[Any]:
        level = corruptions.KINDS[kind].level(severity) if kind in corruptions.KINDS else ""
        change = scores.get("change", dict.fromkeys(robustness.METRICS, [""] * 3))
        values = [value for metric in robustness.METRICS for value in (*scores[metric], *change[metric])]
        return [kind, severity, level, results["n"], *(f"{value:.6f}" if value != "" else "" for value in values)]

    rows = [row("clean", 0, results["clean"])]
    for kind, found in results["kinds"].items():
        rows += [row(kind, severity, each) for severity, each in enumerate(found["severities"], 1)]
    return columns, rows


def summary(results: dict[str, Any]) -> str:
    """Return the table for the terminal, the worst kind first, and the verdict."""
    metric, titles = results["metric"], {name: corruptions.KINDS[name].title for name in results["kinds"]}
    order = sorted(results["kinds"], key=lambda name: results["kinds"][name]["mean"]["change"][metric][0])
    width = max(len(title) for title in titles.values())
    heads = "".join(f"{severity:>8}" for severity in corruptions.SEVERITIES)
    clean = words.estimate(results["clean"][metric])
    unit = results["unit"]
    count = words.plural(results["n"], f"test {unit}")
    lines = [f"{words.words(metric)} by severity in %; {count}, as they are {clean}"]
    if results["left_out"]:
        lines.append(f"{words.plural(results['left_out'], f'more test {unit}')} left out; --most takes more")
    if results["different"]:
        lines.append(
            f"{words.plural(results['different'], results['unit'])} got another answer than in predictions.csv"
        )
    lines.append(f"{'':<{width}}{heads}   mean change in points")
    for name in order:
        found = results["kinds"][name]
        values = "".join(f"{100 * each[metric][0]:>8.1f}" for each in found["severities"])
        gain, low, high = (100 * value for value in found["mean"]["change"][metric])
        lines.append(f"{titles[name]:<{width}}{values}   {gain:+.1f} ({low:+.1f} to {high:+.1f})")
    return "\n".join([*lines, *results["verdict"]])
